//! The objects that the watches reported, and which of them a selection admits.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use super::Route;
use crate::core::event::{ObjectKey, WatchId};
use crate::core::policy::Selection;
use crate::core::project::ProjectedObject;

/// Namespaces that are remembered after they went. Watches are not in step: the deletion of an object may be told
/// after that of its namespace, and is judged nevertheless.
const MAX_DEPARTED: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Watches {
    pub(super) by_id: HashMap<WatchId, Watched>,
    pub(super) namespaces: Option<WatchId>,
    departed: VecDeque<Arc<ProjectedObject>>,
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

    /// The namespace, or what it was when it went.
    pub(super) fn last_of_namespace(&self, name: &str) -> Option<&Arc<ProjectedObject>> {
        let departed = || self.departed.iter().rev().find(|namespace| &*namespace.id().name == name);
        self.namespace(name).or_else(departed)
    }

    pub(super) fn remember_departed(&mut self, namespace: Arc<ProjectedObject>) {
        if self.departed.len() == MAX_DEPARTED {
            self.departed.pop_front();
        }
        self.departed.push_back(namespace);
    }

    /// The object that the watches of a selection found, which finds one at most; nothing while they are incomplete.
    pub(super) fn only<'a>(
        &'a self,
        mut feeds: impl Iterator<Item = &'a WatchId>,
    ) -> Option<Option<&'a Arc<ProjectedObject>>> {
        let watch = self.by_id.get(feeds.next()?).filter(|watch| watch.synced)?;
        Some(watch.objects.values().next().map(|kept| &kept.object))
    }

    pub(super) fn namespaces_synced(&self) -> bool {
        self.namespaces.and_then(|id| self.by_id.get(&id)).is_some_and(|watch| watch.synced)
    }

    /// Whether a selection admits an object that went.
    pub(super) fn admitted(&self, selection: &Selection, object: &ProjectedObject) -> bool {
        let id = object.id();
        if id.namespace.is_none() {
            return self.admits(selection, object);
        }
        let labels = |name: &str| self.last_of_namespace(name).map(|namespace| namespace.labels());
        selection.filter.admits(id.namespace.as_deref(), labels)
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
