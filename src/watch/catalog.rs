//! The kinds that an API server serves, and which of them a selection means. Pure.

use std::collections::{BTreeMap, BTreeSet};

use kube::core::Version;

use crate::core::near::nearest;
use crate::core::policy::Target;

/// One kind in one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// API group; empty for the core group.
    pub group: String,
    /// Version.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Name in paths.
    pub plural: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Whether it can be listed and watched.
    pub watchable: bool,
}

impl Served {
    /// See [`resource_name`].
    pub fn display(&self) -> String {
        resource_name(&self.plural, &self.version, &self.group)
    }
}

/// `PLURAL.VERSION.GROUP`, as `kubectl` takes it; without the group in the core group.
pub fn resource_name(plural: &str, version: &str, group: &str) -> String {
    match group {
        "" => format!("{plural}.{version}"),
        group => format!("{plural}.{version}.{group}"),
    }
}

/// Everything that is served.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    /// False until everything was read once: what is not found may still come.
    pub complete: bool,
    /// Groups of which not everything could be learnt.
    uncertain: BTreeSet<String>,
    /// By group and kind, preferred version first.
    kinds: BTreeMap<(String, String), Vec<Served>>,
}

/// Why a selection means no kind that is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unresolved {
    /// Not known at present.
    Unknown,
    /// Not served; the text says what is near.
    NotInstalled(String),
    /// Served, but cannot be watched or not as selected.
    Invalid(String),
}

impl Catalog {
    /// From what discovery says and what CustomResourceDefinitions say. Groups of `crd_groups` are taken from the
    /// definitions alone: they tell of changes at once, discovery a moment later.
    pub fn new(
        complete: bool,
        discovered: impl IntoIterator<Item = Served>,
        defined: impl IntoIterator<Item = Served>,
        crd_groups: &BTreeSet<String>,
    ) -> Self {
        let mut kinds: BTreeMap<(String, String), Vec<Served>> = BTreeMap::new();
        let discovered = discovered.into_iter().filter(|served| !crd_groups.contains(&served.group));
        for served in discovered.chain(defined) {
            kinds.entry((served.group.clone(), served.kind.clone())).or_default().push(served);
        }
        // A stable sort keeps the server's own preference where both are equally mature.
        for versions in kinds.values_mut() {
            versions.sort_by_key(|served| std::cmp::Reverse(Version::parse(&served.version).priority()));
            versions.dedup_by(|a, b| a.version == b.version);
        }
        Self { complete, uncertain: BTreeSet::new(), kinds }
    }

    /// With groups of which not everything could be learnt: what is missing there may be served nevertheless.
    pub fn with_uncertain(self, uncertain: BTreeSet<String>) -> Self {
        Self { uncertain, ..self }
    }

    /// The kind and version that a target means.
    pub fn resolve(&self, target: &Target) -> Result<&Served, Unresolved> {
        let key = (target.group.clone(), target.kind.clone());
        let Some(versions) = self.kinds.get(&key) else {
            return Err(match self.complete && !self.uncertain.contains(&target.group) {
                true => Unresolved::NotInstalled(self.not_installed(target)),
                false => Unresolved::Unknown,
            });
        };
        let found = match &target.version {
            None => versions.first(),
            Some(version) => versions.iter().find(|served| served.version == *version),
        };
        let Some(served) = found else {
            let list = versions.iter().map(|served| served.version.as_str()).collect::<Vec<_>>().join(", ");
            return Err(Unresolved::NotInstalled(format!(
                "the API server does not serve {} in version {}; it serves {list}. Name one of these, or write \
                 apiVersion {:?} to follow the preferred version",
                target.kind,
                target.version.as_deref().unwrap_or_default(),
                format!("{}/*", target.group).trim_start_matches('/'),
            )));
        };
        if !served.watchable {
            let text =
                format!("{} can not be listed and watched; no policy can be about it", served.display());
            return Err(Unresolved::Invalid(text));
        }
        if !served.namespaced && !target.namespaces.is_empty() {
            let text = format!("{} is cluster scoped; remove namespaces from the selection", served.kind);
            return Err(Unresolved::Invalid(text));
        }
        Ok(served)
    }

    fn not_installed(&self, target: &Target) -> String {
        let wanted = target.display();
        let later = "The watch starts when it is installed";
        let in_group: Vec<&str> = self
            .kinds
            .keys()
            .filter(|(group, _)| *group == target.group)
            .map(|(_, kind)| kind.as_str())
            .collect();
        let elsewhere: Vec<&str> = self
            .kinds
            .keys()
            .filter(|(_, kind)| *kind == target.kind)
            .map(|(group, _)| group.as_str())
            .collect();
        if let Some(group) = elsewhere.first() {
            let group = if group.is_empty() { "the core group" } else { group };
            return format!("{wanted} is not served; {} is a kind of {group}. {later}", target.kind);
        }
        if !in_group.is_empty() {
            return match nearest(&target.kind, in_group.iter().copied()) {
                Some(near) => format!("{wanted} is not served; did you mean kind {near}? {later}"),
                None => format!("{wanted} is not served; its group has {}. {later}", sample(&in_group)),
            };
        }
        let groups: BTreeSet<&str> = self.kinds.keys().map(|(group, _)| group.as_str()).collect();
        match nearest(&target.group, groups.into_iter().filter(|group| !group.is_empty())) {
            Some(near) => format!("{wanted} is not served; did you mean group {near}? {later}"),
            None => format!("{wanted} is not served, and neither is its group. {later}"),
        }
    }
}

fn sample(names: &[&str]) -> String {
    let more = names.len().saturating_sub(8);
    let mut list = names.iter().take(8).copied().collect::<Vec<_>>().join(", ");
    if more > 0 {
        list.push_str(&format!(" and {more} more"));
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(group: &str, version: &str, kind: &str) -> Served {
        Served {
            group: group.into(),
            version: version.into(),
            kind: kind.into(),
            plural: format!("{}s", kind.to_lowercase()),
            namespaced: kind != "Node",
            watchable: kind != "Binding",
        }
    }

    fn target(group: &str, version: Option<&str>, kind: &str) -> Target {
        Target {
            group: group.into(),
            version: version.map(Into::into),
            kind: kind.into(),
            namespaces: BTreeSet::new(),
            names: BTreeSet::new(),
            labels: Default::default(),
            field_selector: String::new(),
        }
    }

    fn catalog() -> Catalog {
        let builtin = [served("", "v1", "Pod"), served("", "v1", "Node"), served("", "v1", "Binding")];
        let defined = [
            served("gw.example.io", "v1beta1", "Route"),
            served("gw.example.io", "v1", "Route"),
            served("gw.example.io", "v2alpha1", "Route"),
        ];
        Catalog::new(true, builtin, defined, &["gw.example.io".to_owned()].into())
    }

    fn why(target: Target) -> String {
        match catalog().resolve(&target) {
            Err(Unresolved::NotInstalled(text) | Unresolved::Invalid(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_star_follows_the_most_mature_version() {
        let catalog = catalog();
        assert_eq!(
            catalog.resolve(&target("gw.example.io", None, "Route")).map(|s| s.version.as_str()),
            Ok("v1")
        );
        let pinned = target("gw.example.io", Some("v1beta1"), "Route");
        assert_eq!(catalog.resolve(&pinned).map(|s| s.version.as_str()), Ok("v1beta1"));
    }

    #[test]
    fn groups_of_definitions_are_not_taken_from_discovery() {
        // Discovery still names a kind whose definition was deleted a moment ago.
        let stale = [served("gw.example.io", "v1", "Old")];
        let catalog = Catalog::new(true, stale, [], &["gw.example.io".to_owned()].into());
        assert!(catalog.resolve(&target("gw.example.io", None, "Old")).is_err());
    }

    #[test]
    fn a_typo_is_answered_with_what_is_near() {
        assert!(why(target("gw.example.io", Some("v1"), "Ruote")).contains("did you mean kind Route?"));
        assert!(
            why(target("gw.exmple.io", Some("v1"), "Thing")).contains("did you mean group gw.example.io?")
        );
        assert!(why(target("apps", Some("v1"), "Pod")).contains("Pod is a kind of the core group"));
        let version = why(target("gw.example.io", Some("v3"), "Route"));
        assert!(
            version.contains("it serves v1, v1beta1, v2alpha1") && version.contains("gw.example.io/*"),
            "{version}"
        );
    }

    #[test]
    fn what_can_not_be_watched_as_selected_is_invalid() {
        assert!(why(target("", Some("v1"), "Binding")).contains("can not be listed and watched"));
        let mut nodes = target("", Some("v1"), "Node");
        nodes.namespaces.insert("default".into());
        assert!(why(nodes).contains("cluster scoped"));
    }

    #[test]
    fn nothing_is_called_missing_before_everything_was_read() {
        let uncertain = catalog().with_uncertain(["metrics.x.io".to_owned()].into());
        assert_eq!(uncertain.resolve(&target("metrics.x.io", None, "PodMetrics")), Err(Unresolved::Unknown));
        let empty = Catalog::default();
        assert_eq!(empty.resolve(&target("", Some("v1"), "Pod")), Err(Unresolved::Unknown));
    }
}
