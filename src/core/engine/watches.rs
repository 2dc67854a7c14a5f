//! The objects that the watches reported, and which of them a selection admits.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use super::by_label::ByLabel;
use super::missed::Owed;
use super::plan::Plan;
use super::{Reader, Route, Terms, Tracked};
use crate::core::event::{ObjectKey, WatchId};
use crate::core::paths::Paths;
use crate::core::policy::{Role, Selection};
use crate::core::project::ProjectedObject;
use crate::core::remembered::place::Place;
use crate::core::remembered::{self, MAX_PARTS};
use crate::core::store::{Cursor, Put, Store};

/// Namespaces that are remembered after they went. Watches are not in step: the deletion of an object may be told
/// after that of its namespace, and is judged nevertheless.
const MAX_DEPARTED: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Watches {
    pub(super) by_id: HashMap<WatchId, Watched>,
    pub(super) namespaces: Option<WatchId>,
    departed: VecDeque<ProjectedObject>,
}

#[derive(Debug, Default)]
pub(super) struct Watched {
    pub(super) route: Route,
    pub(super) plans: Arc<[Plan]>,
    /// What the plans' rules are decided by.
    pub(super) views: Arc<[Paths]>,
    /// For each plan that selects by itself, how many objects it selects.
    pub(super) selected: Vec<usize>,
    pub(super) objects: Store,
    /// Filled as lookups ask.
    pub(super) by_label: RefCell<ByLabel>,
    /// What an earlier process knew, for those who have not been told what became of it.
    pub(super) owed: HashMap<Reader, Owed>,
    /// How often the objects of each part changed, where that outlives the process.
    pub(super) revisions: Option<[u64; MAX_PARTS as usize]>,
    /// The objects as trees, where others are judged by them: namespaces, and what drift is compared with.
    ready: Option<BTreeMap<ObjectKey, ProjectedObject>>,
    /// Counts lists, so that what a list no longer has is known by not being seen in it.
    pass: u32,
    /// The earliest generation of the projection among the objects of the list that is being read.
    listing: u32,
    /// The same of the last complete list and of what came since then, and so of all objects.
    pub(super) generation: u32,
    pub(super) synced: bool,
    /// Whether a list is being read: some of the objects are as it says, and others as they were before.
    pub(super) in_list: bool,
}

impl Watched {
    pub(super) fn begin_list(&mut self) {
        self.in_list = true;
        self.pass = self.pass.wrapping_add(1);
        self.listing = u32::MAX;
    }

    /// What the list no longer has.
    pub(super) fn end_list(&mut self) -> Vec<ObjectKey> {
        self.synced = true;
        self.in_list = false;
        self.generation = self.listing;
        self.objects.not_seen_in(self.pass)
    }

    /// Whether all that a reader needs of the objects is known.
    pub(super) fn is_complete(&self, since: u32) -> bool {
        self.synced && self.generation >= since
    }

    pub(super) fn terms(&self, reader: &Reader) -> Terms {
        self.route.terms.get(reader).copied().unwrap_or_default()
    }

    /// Keeps an object as it is now.
    pub(super) fn keep(&mut self, object: &ProjectedObject) -> Put {
        self.listing = self.listing.min(object.generation());
        if !self.in_list {
            // What came since the last list is of the objects, too.
            self.generation = self.generation.min(object.generation());
        }
        let put = self.objects.put(object, self.pass);
        let counted = |plan: &Plan| match &put {
            Put::New => false,
            Put::Same { generation, .. } => *generation >= plan.terms.since && plan.selects(object),
            Put::Changed(before) | Put::Replaced(before) => plan.counts(before),
        };
        for (plan, selected) in
            self.plans.iter().zip(&mut self.selected).filter(|(plan, _)| plan.terms.select)
        {
            *selected = *selected + usize::from(plan.counts(object)) - usize::from(counted(plan));
        }
        if let Some(ready) = &mut self.ready {
            ready.insert(object.key(), object.clone());
        }
        let before = match &put {
            Put::Changed(before) | Put::Replaced(before) => Some(before),
            Put::New | Put::Same { .. } => None,
        };
        if !matches!(put, Put::Same { .. }) {
            self.by_label.get_mut().note(before, Some(object));
            self.revise(&object.key());
        }
        put
    }

    /// Forgets an object; returns what was known of it.
    pub(super) fn drop(&mut self, key: &ObjectKey) -> Option<ProjectedObject> {
        let object = self.objects.remove(key)?;
        for (plan, selected) in
            self.plans.iter().zip(&mut self.selected).filter(|(plan, _)| plan.terms.select)
        {
            *selected -= usize::from(plan.counts(&object));
        }
        if let Some(ready) = &mut self.ready {
            ready.remove(key);
        }
        self.by_label.get_mut().note(Some(&object), None);
        self.revise(key);
        Some(object)
    }

    /// Notes that what is remembered of an object is not what it is.
    fn revise(&mut self, key: &ObjectKey) {
        let Some(revisions) = &mut self.revisions else { return };
        let place = Place::of_hash(remembered::hash(key), MAX_PARTS);
        if let Some(revision) = revisions.get_mut(place.index as usize) {
            *revision += 1;
        }
    }

    /// Takes new readers, and what they look at.
    pub(super) fn serve(&mut self, plans: Vec<Plan>, views: Arc<[Paths]>, ready: bool) {
        (self.plans, self.views) = (plans.into(), views);
        let remembers = self.route.memory.is_some() && self.plans.iter().any(Plan::remembers);
        self.revisions = remembers.then(|| self.revisions.unwrap_or_default());
        self.owed
            .retain(|reader, owed| self.plans.iter().any(|plan| plan.reader == *reader && owed.is_of(plan)));
        self.selected = vec![0; self.plans.len()];
        if self.plans.iter().any(|plan| plan.terms.select) {
            for object in self.objects.objects() {
                for (plan, selected) in self.plans.iter().zip(&mut self.selected) {
                    *selected += usize::from(plan.terms.select && plan.counts(&object));
                }
            }
        }
        if !self.plans.iter().any(|plan| matches!(plan.role, Role::Lookup(_))) {
            *self.by_label.get_mut() = ByLabel::default();
        }
        // Those that are known by now cost least before the first object comes.
        for label in self.plans.iter().flat_map(Plan::labels_looked_for) {
            self.by_label.get_mut().learn(&self.objects, label);
        }
        match (ready, &self.ready) {
            (true, None) => {
                self.ready = Some(self.objects.objects().map(|object| (object.key(), object)).collect());
            }
            (false, Some(_)) => self.ready = None,
            _ => {}
        }
    }
}

impl Watches {
    pub(super) fn namespace(&self, name: &str) -> Option<&ProjectedObject> {
        let key = ObjectKey { namespace: None, name: name.into() };
        self.by_id.get(&self.namespaces?)?.ready.as_ref()?.get(&key)
    }

    /// The namespace, or what it was when it went.
    pub(super) fn last_of_namespace(&self, name: &str) -> Option<&ProjectedObject> {
        let departed = || self.departed.iter().rev().find(|namespace| &*namespace.id().name == name);
        self.namespace(name).or_else(departed)
    }

    pub(super) fn remember_departed(&mut self, namespace: ProjectedObject) {
        if self.departed.len() == MAX_DEPARTED {
            self.departed.pop_front();
        }
        self.departed.push_back(namespace);
    }

    /// The object that the watches of a selection found, which finds one at most; nothing while they are incomplete.
    pub(super) fn only<'a>(
        &'a self,
        mut feeds: impl Iterator<Item = &'a WatchId>,
    ) -> Option<Option<&'a ProjectedObject>> {
        let watch = self.by_id.get(feeds.next()?)?;
        let since = watch.plans.iter().map(|plan| plan.terms.since).max().unwrap_or_default();
        if !watch.is_complete(since) {
            return None;
        }
        Some(watch.ready.as_ref().and_then(|ready| ready.values().next()))
    }

    /// Whether all that judging a policy takes of the namespaces is known.
    pub(super) fn knows_namespaces_for(&self, tracked: &Tracked) -> bool {
        let watch = self.namespaces.and_then(|id| self.by_id.get(&id));
        !tracked.needs_namespaces || watch.is_some_and(|watch| watch.is_complete(tracked.namespaces_since))
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
        selection.filter.is_empty()
            || selection.admits(object, |name| self.namespace(name).map(|object| object.labels()))
    }

    /// How many objects of a watch one of its readers selects.
    pub(super) fn count(&self, watch: &Watched, selection: &Selection, plan: usize) -> usize {
        if watch.plans.get(plan).is_some_and(|plan| plan.terms.select) {
            return watch.selected.get(plan).copied().unwrap_or_default();
        }
        if selection.filter.is_empty() {
            return watch.objects.len();
        }
        let admitted = |(namespace, count): (Option<&Arc<str>>, usize)| match namespace {
            Some(_) if self.passes(selection, namespace.map(|name| &**name)) => count,
            Some(_) => 0,
            // Namespaces are matched one by one, and other cluster scoped objects are few.
            None => self.cluster_scoped(watch, selection),
        };
        watch.objects.namespaces().map(admitted).sum()
    }

    fn cluster_scoped(&self, watch: &Watched, selection: &Selection) -> usize {
        let (objects, _) = watch.objects.slice(Some(&Cursor::before(None)), true, usize::MAX);
        objects.iter().filter(|object| self.admits(selection, object)).count()
    }

    pub(super) fn passes(&self, selection: &Selection, namespace: Option<&str>) -> bool {
        selection.filter.admits(namespace, |name| self.namespace(name).map(|object| object.labels()))
    }
}
