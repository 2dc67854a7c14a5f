//! Which watches the policies want. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::catalog::{Catalog, Served, Unresolved, resource_name};
use crate::core::engine::Reader;
use crate::core::needs::{identity, labels};
use crate::core::policy::{PolicySet, Target};
use crate::core::project::Shape;

/// What makes two watches the same watch, so that policies share it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchKey {
    /// API group; empty for the core group.
    pub group: String,
    /// Version.
    pub version: String,
    /// Name in paths.
    pub plural: String,
    /// Kind.
    pub kind: String,
    /// Whether the kind's objects live in namespaces.
    pub namespaced: bool,
    /// Only this namespace; none for all.
    pub namespace: Option<String>,
    /// Text of the label selector; empty for all.
    pub label_selector: String,
    /// Text of the field selector; empty for all.
    pub field_selector: String,
}

impl WatchKey {
    /// The watch of every namespace of the cluster.
    pub fn namespaces() -> Self {
        Self {
            group: String::new(),
            version: "v1".into(),
            plural: "namespaces".into(),
            kind: "Namespace".into(),
            namespaced: false,
            namespace: None,
            label_selector: String::new(),
            field_selector: String::new(),
        }
    }

    /// The watch of every object of a kind.
    pub fn of_all(served: &Served) -> Self {
        Self {
            group: served.group.clone(),
            version: served.version.clone(),
            plural: served.plural.clone(),
            kind: served.kind.clone(),
            namespaced: served.namespaced,
            namespace: None,
            label_selector: String::new(),
            field_selector: String::new(),
        }
    }

    /// `GROUP/VERSION`, or the version alone in the core group.
    pub fn api_version(&self) -> String {
        match self.group.as_str() {
            "" => self.version.clone(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// What a later process knows the watch by.
    pub fn identity(&self) -> String {
        let Self { namespace, label_selector, field_selector, .. } = self;
        let namespace = namespace.as_deref().unwrap_or_default();
        format!("{} namespace={namespace} labels={label_selector} fields={field_selector}", self.resource())
    }

    /// See [`resource_name`]: the label of metrics, and what status shows.
    pub fn resource(&self) -> String {
        resource_name(&self.plural, &self.version, &self.group)
    }
}

impl fmt::Display for WatchKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.resource())?;
        if let Some(namespace) = &self.namespace {
            write!(f, " in {namespace}")?;
        }
        for selector in [&self.label_selector, &self.field_selector] {
            if !selector.is_empty() {
                write!(f, " [{selector}]")?;
            }
        }
        Ok(())
    }
}

/// What all policies together want.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Each wanted watch, and for whom.
    pub watches: BTreeMap<WatchKey, Want>,
    /// Whether the watch of the namespaces is wanted whoever else reads it.
    pub namespaces: bool,
    /// Selections that mean no watch, and why.
    pub unresolved: BTreeMap<Reader, Unresolved>,
}

/// What is wanted of one watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// Who reads it, and what of each object.
    pub readers: BTreeMap<Reader, Part>,
    /// What all readers together need of each object, and what is needed of namespaces.
    pub shape: Shape,
}

/// What one reader wants of a watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What it needs of each object.
    pub shape: Shape,
    /// Whether the watch is of more than it selects.
    pub select: bool,
}

impl Default for Want {
    /// Which object it is is known in any case, so no rule that reads it is a reason to list anything again.
    fn default() -> Self {
        Self { readers: BTreeMap::new(), shape: identity().into() }
    }
}

impl Want {
    fn add(&mut self, reader: Reader, part: Part) {
        self.shape.add(&part.shape);
        self.readers.insert(reader, part);
    }
}

/// Compares the policies with what is served.
///
/// A selection of some objects of a kind is served from the watch of all of them when there is one anyway that keeps
/// what it needs, labels aside: that costs a comparison for each change, and saves a request, a stream, and every
/// object that it would have kept a second time. Not from one that is `refused`: who may not read all of a kind may
/// read some of it.
pub fn wanted(policies: &PolicySet, catalog: &Catalog, refused: &BTreeSet<WatchKey>) -> Wanted {
    let mut wanted = Wanted::default();
    let mut narrower = Vec::new();
    for (key, policy) in policies.iter().filter(|(_, policy)| !policy.suspended) {
        if policy.needs_namespaces() {
            wanted.namespaces = true;
            let namespaces = wanted.watches.entry(WatchKey::namespaces()).or_default();
            namespaces.shape.paths.add(&policy.needs_of_namespaces());
        }
        for (index, selection) in policy.selections.iter().enumerate() {
            let reader = Reader { policy: key.clone(), selection: selection.name.clone() };
            let resolved = match &selection.invalid {
                Some(text) => Err(Unresolved::Invalid(text.clone())),
                None => catalog.resolve(&selection.target),
            };
            match resolved {
                Ok(served) if selection.target.is_everything() => {
                    let part = Part { shape: policy.needs(index, false), select: false };
                    wanted.watches.entry(WatchKey::of_all(served)).or_default().add(reader, part);
                }
                Ok(served) => narrower.push((served, policy, index, reader)),
                Err(why) => {
                    wanted.unresolved.insert(reader, why);
                }
            }
        }
    }
    let mut parts = Vec::new();
    for (served, policy, index, reader) in narrower {
        let selection = &policy.selections[index];
        let (wide, shape) = (WatchKey::of_all(served), policy.needs(index, true));
        let serves = |want: &Want| {
            let mut kept = want.shape.clone();
            kept.paths.add(&labels());
            kept.includes(&shape)
        };
        let served_here = selection.can_select_here() && !refused.contains(&wide);
        if served_here && wanted.watches.get(&wide).is_some_and(serves) {
            parts.push((wide, reader, Part { shape, select: true }));
            continue;
        }
        let part = Part { shape: policy.needs(index, false), select: false };
        parts.extend(keys(served, &selection.target).map(|key| (key, reader.clone(), part.clone())));
    }
    // One that is served must not be the reason for which the next is.
    for (key, reader, part) in parts {
        wanted.watches.entry(key).or_default().add(reader, part);
    }
    wanted
}

/// One watch for each namespace and name that the selection lists: the API server has no "or" for fields.
fn keys(served: &Served, target: &Target) -> impl Iterator<Item = WatchKey> {
    let each = |set: &BTreeSet<String>| match set.is_empty() {
        true => vec![None],
        false => set.iter().cloned().map(Some).collect(),
    };
    let (namespaces, names) = (each(&target.namespaces), each(&target.names));
    namespaces.into_iter().flat_map(move |namespace| {
        let key = |name: &Option<String>| {
            let name = name.as_ref().map(|name| format!("metadata.name={name}"));
            let fields = [name, Some(target.field_selector.clone()).filter(|text| !text.is_empty())];
            WatchKey {
                namespace: namespace.clone(),
                label_selector: target.labels.to_string(),
                field_selector: fields.into_iter().flatten().collect::<Vec<_>>().join(","),
                ..WatchKey::of_all(served)
            }
        };
        names.iter().map(key).collect::<Vec<_>>()
    })
}

/// Group, version and plural of a watch, as `request.resource` shows them.
pub fn resource_of(key: &WatchKey) -> [Arc<str>; 3] {
    [key.group.as_str().into(), key.version.as_str().into(), key.plural.as_str().into()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::MonitorPolicySpec;
    use crate::core::finding::PolicyKey;
    use crate::core::paths::Paths;
    use crate::core::policy::CompiledPolicy;
    use crate::policy::compile;

    const IMAGES: &str =
        "rules: [{name: r, expression: 'object.spec.containers.all(c, c.image != \"bad\")'}]";

    /// The paths that are kept, but for what is kept of every object.
    fn told_paths(shape: &Shape) -> String {
        let always = identity().lines();
        let lines = shape.paths.lines().into_iter().filter(|line| !always.contains(line));
        lines.collect::<Vec<_>>().join(", ")
    }

    fn policy(name: &str, selection: &str, rules: &str) -> (PolicyKey, Arc<CompiledPolicy>) {
        let spec = format!("resources: [{{name: pods, apiVersion: v1, kind: Pod{selection}}}]\n{rules}");
        let spec: MonitorPolicySpec = crate::yaml::from_str(&spec).expect("a spec");
        let key = PolicyKey(name.into());
        let policy = compile(key.clone(), name.into(), 1, &spec);
        assert_eq!(policy.problems, []);
        (key, Arc::new(policy))
    }

    fn wanted_of<const N: usize>(policies: [(PolicyKey, Arc<CompiledPolicy>); N]) -> Wanted {
        wanted_when(policies, &BTreeSet::new())
    }

    fn wanted_when<const N: usize>(
        policies: [(PolicyKey, Arc<CompiledPolicy>); N],
        refused: &BTreeSet<WatchKey>,
    ) -> Wanted {
        let pods = Served {
            group: String::new(),
            version: "v1".into(),
            kind: "Pod".into(),
            plural: "pods".into(),
            namespaced: true,
            watchable: true,
            definition: None,
        };
        wanted(&policies.into_iter().collect(), &Catalog::new(true, [pods], [], &BTreeSet::new()), refused)
    }

    /// Each watch, what it keeps, and who reads it; `*` behind those who select by themselves.
    fn told(wanted: &Wanted) -> Vec<String> {
        let reader = |(reader, part): (&Reader, &Part)| {
            format!("{}{}", reader.policy, if part.select { "*" } else { "" })
        };
        let watch = |(key, want): (&WatchKey, &Want)| {
            let readers: Vec<String> = want.readers.iter().map(reader).collect();
            format!("{key}: {} for {}", told_paths(&want.shape), readers.join(", "))
        };
        wanted.watches.iter().map(watch).collect()
    }

    #[test]
    fn a_watch_keeps_the_union_of_what_its_readers_read() {
        let labels = "rules: [{name: r, expression: has(object.metadata.labels.team)}]";
        let wanted = wanted_of([policy("a", "", IMAGES), policy("b", "", labels)]);
        assert_eq!(
            told(&wanted),
            ["pods.v1: metadata.labels.team, spec.containers.*, spec.containers[].image for a, b"]
        );
    }

    #[test]
    fn a_narrower_selection_is_served_where_that_keeps_no_more_than_labels() {
        let narrow = ", namespaces: [shop], labelSelector: {matchLabels: {app: web}}";
        let wide = policy("wide", "", IMAGES);
        let wanted = wanted_of([wide.clone(), policy("narrow", narrow, IMAGES)]);
        assert_eq!(
            told(&wanted),
            ["pods.v1: metadata.labels.…, spec.containers.*, spec.containers[].image for narrow*, wide"]
        );
        let more = "rules: [{name: r, expression: object.spec.nodeName != 'n1'}]";
        let wanted = wanted_of([wide, policy("narrow", narrow, more)]);
        assert_eq!(
            told(&wanted),
            [
                "pods.v1: spec.containers.*, spec.containers[].image for wide",
                "pods.v1 in shop [app=web]: spec.nodeName for narrow"
            ]
        );
    }

    #[test]
    fn what_only_the_api_server_can_select_has_a_watch_of_its_own() {
        let wide = || policy("wide", "", IMAGES);
        for selection in [
            ", fieldSelector: status.phase=Running",
            ", namespaces: [shop], excludeNamespaces: [bank]",
            ", namespaces: [shop], namespaceSelector: {matchLabels: {tier: public}}",
        ] {
            let wanted = wanted_of([wide(), policy("narrow", selection, IMAGES)]);
            let own = wanted.watches.iter().filter(|(key, _)| key.plural == "pods").count();
            assert_eq!(own, 2, "{selection}");
        }
        // Who may not read all Pods may read those of one namespace.
        let all = wanted_of([wide()]).watches.into_keys().collect();
        let wanted = wanted_when([wide(), policy("narrow", ", namespaces: [shop]", IMAGES)], &all);
        assert_eq!(wanted.watches.len(), 2);
        // Two narrow ones do not make a wide one.
        let wanted = wanted_of([
            policy("a", ", namespaces: [shop]", IMAGES),
            policy("b", ", namespaces: [bank]", IMAGES),
        ]);
        assert_eq!(wanted.watches.len(), 2);
    }

    #[test]
    fn rules_on_metadata_need_nothing_else_and_rules_on_updates_need_all() {
        let shape = |rules: &str| {
            let wanted = wanted_of([policy("p", "", rules)]);
            wanted.watches.into_values().next().expect("a watch").shape
        };
        let names = shape("rules: [{name: r, expression: object.metadata.name.size() < 40}]");
        assert!(names.is_metadata_only() && !names.managed_fields);
        assert!(!shape(IMAGES).is_metadata_only());
        let changes = |on: &str| {
            shape(&format!("rules: [{{name: r, 'on': [{on}], expression: 'has(object.spec.nodeName)'}}]"))
        };
        assert_eq!(told_paths(&changes("Create")), "spec.nodeName");
        let all = Shape { managed_fields: true, ..Shape::from(Paths::only([&["spec"][..], &["status"]])) };
        assert!(changes("Update").includes(&all) && !changes("Create").includes(&all));
        let some = shape(
            "rules: [{name: r, 'on': [Update], paths: ['spec.containers[*].image'], expression: 'has(object.spec.nodeName)'}]",
        );
        // Elements are told apart by texts and numbers of theirs.
        assert_eq!(
            told_paths(&some),
            "spec.containers.*.image.…, spec.containers[].image.…, spec.containers[].*, spec.nodeName"
        );
    }
}
