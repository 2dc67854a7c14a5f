//! The objects that the watches reported, and which of them a selection admits.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::Route;
use crate::core::event::{ObjectKey, WatchId};
use crate::core::policy::Selection;
use crate::core::project::ProjectedObject;

#[derive(Debug, Default)]
pub(super) struct Watches {
    pub(super) by_id: HashMap<WatchId, Watched>,
    pub(super) namespaces: Option<WatchId>,
}

#[derive(Debug, Default)]
pub(super) struct Watched {
    pub(super) route: Route,
    pub(super) objects: BTreeMap<ObjectKey, Kept>,
    /// How many of the objects are in each namespace; no entry for none.
    per_namespace: BTreeMap<Option<Arc<str>>, usize>,
    pub(super) epoch: u64,
    pub(super) synced: bool,
}

#[derive(Debug)]
pub(super) struct Kept {
    pub(super) object: Arc<ProjectedObject>,
    pub(super) epoch: u64,
}

impl Watched {
    /// Keeps an object as it is now.
    pub(super) fn keep(&mut self, key: ObjectKey, object: Arc<ProjectedObject>) {
        let namespace = key.namespace.clone();
        if self.objects.insert(key, Kept { object, epoch: self.epoch }).is_none() {
            *self.per_namespace.entry(namespace).or_default() += 1;
        }
    }

    /// Forgets an object; returns what was known of it.
    pub(super) fn drop(&mut self, key: &ObjectKey) -> Option<Arc<ProjectedObject>> {
        let kept = self.objects.remove(key)?;
        if let Some(count) = self.per_namespace.get_mut(&key.namespace) {
            *count -= 1;
            if *count == 0 {
                self.per_namespace.remove(&key.namespace);
            }
        }
        Some(kept.object)
    }
}

impl Watches {
    pub(super) fn namespace(&self, name: &str) -> Option<&Arc<ProjectedObject>> {
        let key = ObjectKey { namespace: None, name: name.into() };
        self.by_id.get(&self.namespaces?)?.objects.get(&key).map(|kept| &kept.object)
    }

    pub(super) fn namespaces_synced(&self) -> bool {
        self.namespaces.and_then(|id| self.by_id.get(&id)).is_some_and(|watch| watch.synced)
    }

    pub(super) fn admits(&self, selection: &Selection, object: &ProjectedObject) -> bool {
        selection.admits(object, |name| self.namespace(name).map(|object| object.labels()))
    }

    /// How many objects of a watch a selection admits.
    pub(super) fn count(&self, watch: &Watched, selection: &Selection) -> usize {
        if selection.filter.is_empty() {
            return watch.objects.len();
        }
        let admitted = |(namespace, count): (&Option<Arc<str>>, &usize)| match namespace {
            Some(_) if self.passes(selection, namespace.as_deref()) => *count,
            Some(_) => 0,
            // Namespaces are matched one by one, and other cluster scoped objects are few.
            None => self.cluster_scoped(watch, selection),
        };
        watch.per_namespace.iter().map(admitted).sum()
    }

    fn cluster_scoped(&self, watch: &Watched, selection: &Selection) -> usize {
        let objects = watch.objects.iter().take_while(|(key, _)| key.namespace.is_none());
        objects.filter(|(_, kept)| self.admits(selection, &kept.object)).count()
    }

    pub(super) fn passes(&self, selection: &Selection, namespace: Option<&str>) -> bool {
        selection.filter.admits(namespace, |name| self.namespace(name).map(|object| object.labels()))
    }
}
