//! What lookups find among manifests.

use std::collections::HashMap;
use std::sync::Arc;

use super::kinds::by_kind;
use super::manifests::Manifests;
use super::select::{Matcher, is_of_kind};
use crate::core::finding::ObjectId;
use crate::core::lookup::{Answer, MAX_FOUND, Query, Related, Wanted};
use crate::core::policy::{CompiledPolicy, Role, Target};
use crate::core::project::ProjectedObject;
use crate::core::tree::Node;

/// Where objects are among the manifests, by what they are looked for.
#[derive(Debug)]
pub struct Index<'m> {
    /// The manifests.
    pub manifests: &'m Manifests,
    by_name: HashMap<(&'m str, &'m str), Vec<usize>>,
    by_label: HashMap<(&'m str, &'m str, &'m str), Vec<usize>>,
    by_kind: HashMap<&'m str, Vec<usize>>,
}

impl<'m> Index<'m> {
    /// Of all objects.
    pub fn new(manifests: &'m Manifests) -> Self {
        let mut index =
            Self { manifests, by_name: HashMap::new(), by_label: HashMap::new(), by_kind: HashMap::new() };
        for (at, manifest) in manifests.objects.iter().enumerate() {
            let id = manifest.object.id();
            index.by_kind.entry(&id.kind).or_default().push(at);
            index.by_name.entry((&id.kind, &id.name)).or_default().push(at);
            for (key, value) in manifest.object.labels().map(Node::entries).unwrap_or_default() {
                if let Node::Str(value) = value {
                    index.by_label.entry((&id.kind, key, value)).or_default().push(at);
                }
            }
        }
        index
    }

    /// As the lookups of a policy see them.
    pub fn of<'i>(&'i self, policy: &'i CompiledPolicy) -> Among<'i> {
        Among { index: self, policy }
    }

    /// Whether the kind is there: built in, defined by what is at hand, or of an object at hand.
    pub(super) fn is_served(&self, target: &Target) -> bool {
        let of_kind = self.by_kind.get(target.kind.as_str()).into_iter().flatten();
        by_kind(&target.group, &target.kind).is_some()
            || self.is_defined(target)
            || of_kind.copied().any(|at| is_of_kind(target, self.manifests.objects[at].object.id()))
    }

    fn is_defined(&self, target: &Target) -> bool {
        if target.version.is_none() {
            return self.defined(target).is_some();
        }
        let id = ObjectId {
            api_version: target.api_version().into(),
            kind: target.kind.as_str().into(),
            namespace: None,
            name: "".into(),
            uid: "".into(),
        };
        self.manifests.schemas.of(&id).is_some()
    }

    fn defined(&self, target: &Target) -> Option<bool> {
        self.manifests.defined.get(&(target.group.clone(), target.kind.clone())).copied()
    }

    /// Whether the kind lives in namespaces. One of which nothing is known is taken to.
    fn is_namespaced(&self, target: &Target) -> bool {
        let built_in = by_kind(&target.group, &target.kind).map(|known| known.namespaced);
        built_in.or_else(|| self.defined(target)).unwrap_or(true)
    }
}

/// See [`Index::of`].
#[derive(Debug)]
pub struct Among<'i> {
    index: &'i Index<'i>,
    policy: &'i CompiledPolicy,
}

impl Related for Among<'_> {
    fn find(&self, selection: usize, query: &Query) -> Answer {
        let Some(selection) = self.policy.selections.get(selection) else {
            return Answer::NotKnown;
        };
        let target = &selection.target;
        let is_params = matches!(selection.role, Role::Lookup(place) if self.policy.is_params(place));
        if !self.index.is_served(target) {
            return Answer::NotServed;
        }
        if query.namespace.is_none()
            && (is_params || matches!(query.wanted, Wanted::Names(_)))
            && self.index.is_namespaced(target)
        {
            return Answer::NoNamespace;
        }
        let kind = target.kind.as_str();
        let of = |list: Option<&Vec<usize>>| list.cloned().unwrap_or_default();
        let candidates = match &query.wanted {
            Wanted::Names(names) => {
                names.iter().flat_map(|name| of(self.index.by_name.get(&(kind, &**name)))).collect()
            }
            Wanted::Labels(labels) => {
                let label = labels.first().into_iter();
                label
                    .flat_map(|(key, values)| values.iter().map(move |value| (kind, &**key, &**value)))
                    .flat_map(|label| of(self.index.by_label.get(&label)))
                    .collect()
            }
            Wanted::All => of(self.index.by_kind.get(kind)),
        };
        let matcher = Matcher::new(target);
        let object = |at: usize| -> &Arc<ProjectedObject> { &self.index.manifests.objects[at].object };
        let selected = candidates.into_iter().map(object).filter(|object| matcher.matches(object));
        let mut found: Vec<ProjectedObject> =
            selected.filter(|object| query.finds(object)).map(|object| (**object).clone()).collect();
        if found.len() > MAX_FOUND {
            return Answer::TooMany;
        }
        found.sort_by_cached_key(ProjectedObject::key);
        Answer::Objects(found)
    }
}
