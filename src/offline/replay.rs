//! The operator's engine, and around it what an API server does for it: one list and watch for each kind, of which
//! every selection gets what it selects. Pure: time is told.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::kinds::{Kind, by_kind, guess_plural};
use super::select::Matcher;
use crate::core::engine::{Assignment, Engine, Outcome, Reader, Route};
use crate::core::event::{ObjectEvent, ObjectKey, WatchId};
use crate::core::finding::PolicyKey;
use crate::core::policy::{CompiledPolicy, PolicySet, Target};
use crate::core::project::ProjectedObject;
use crate::core::remembered::place::Place;

/// Most moments between two events at which something due is worked off; where there are more, several are one.
const MAX_TICKS: u32 = 10_000;

/// What an API server would know of a kind.
#[derive(Debug, Default)]
struct Served {
    objects: BTreeMap<ObjectKey, Arc<ProjectedObject>>,
    /// Seen since a list began; none outside of lists.
    listing: Option<BTreeSet<ObjectKey>>,
    /// Whether a list is complete.
    listed: bool,
}

/// One watch, shared by the selections that mean the same.
#[derive(Debug)]
struct Watch {
    id: WatchId,
    kind: Kind,
    /// What it selects; none for all.
    target: Option<Target>,
    /// The objects that it has handed out.
    handed: BTreeSet<ObjectKey>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Replay {
    engine: Engine,
    policies: PolicySet,
    served: BTreeMap<Kind, Served>,
    uninstalled: BTreeSet<Kind>,
    plurals: HashMap<Kind, String>,
    /// Kinds of which an object lives in no namespace.
    cluster_scoped: BTreeSet<Kind>,
    watches: Vec<Watch>,
    started: u64,
    now: Timestamp,
}

impl Replay {
    /// One that begins at a time; else it is 1970.
    pub fn at(now: Timestamp) -> Self {
        Self { now, ..Self::default() }
    }

    /// The engine, to be asked for reports.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The policies in force.
    pub fn policies(&self) -> &PolicySet {
        &self.policies
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Puts a policy in force, or replaces it. To be followed by [`Replay::assign`].
    pub fn apply(&mut self, policy: Arc<CompiledPolicy>) {
        self.policies.insert(policy.key.clone(), policy);
    }

    /// Takes a policy out of force; false when there is none of that name. To be followed by [`Replay::assign`].
    pub fn withdraw(&mut self, key: &PolicyKey) -> bool {
        self.policies.remove(key).is_some()
    }

    /// Tells the name of a kind in paths, which `request` shows.
    pub fn name_plural(&mut self, kind: &Kind, plural: &str) {
        self.plurals.insert(kind.clone(), plural.to_owned());
    }

    /// Hands the policies to the engine, with a watch for whatever they select.
    pub fn assign(&mut self) -> Outcome {
        let mut assignment =
            Assignment { policies: Arc::new(self.policies.clone()), ..Assignment::default() };
        let mut watches = std::mem::take(&mut self.watches);
        let (mut kept, mut fresh) = (BTreeSet::new(), Vec::new());
        let mut watch = |kind: Kind, target: Option<Target>, fresh: &mut Vec<WatchId>| {
            let same = watches.iter().find(|watch| watch.kind == kind && watch.target == target);
            let id = same.map(|watch| watch.id).unwrap_or_else(|| {
                self.started += 1;
                let id = WatchId(self.started);
                watches.push(Watch { id, kind, target, handed: BTreeSet::new() });
                fresh.push(id);
                id
            });
            kept.insert(id);
            id
        };
        for policy in self.policies.values().filter(|policy| !policy.suspended) {
            for selection in &policy.selections {
                let reader = Reader { policy: policy.key.clone(), selection: selection.name.clone() };
                let target = &selection.target;
                if self.uninstalled.iter().any(|kind| kind.is_meant_by(target)) {
                    assignment.absent.insert(reader);
                    continue;
                }
                let known = self.served.keys().find(|kind| kind.is_meant_by(target)).cloned();
                let Some(kind) = known.or_else(|| Kind::named(target)) else {
                    continue;
                };
                let resource = resource(&self.plurals, &kind);
                let cluster_scoped = is_cluster_scoped(&self.cluster_scoped, &kind);
                let name = format!("{kind:?} {target:?}");
                let id = watch(kind, Some(target.clone()), &mut fresh);
                let route: &mut Route = assignment.routes.entry(id).or_default();
                route.resource = resource;
                route.cluster_scoped = cluster_scoped;
                let memory = route.memory.get_or_insert_default();
                memory.name = name.into();
                // Whole objects are kept here.
                memory.needs.insert(reader.clone(), 0);
                route.readers.insert(reader);
            }
            if policy.needs_namespaces() {
                let id = watch(Kind::namespaces(), None, &mut fresh);
                assignment.namespaces = Some(id);
                assignment.routes.entry(id).or_default();
            }
        }
        watches.retain(|watch| kept.contains(&watch.id));
        self.watches = watches;
        let mut outcome = self.engine.assign(assignment, self.now);
        outcome.extend(self.work());
        for id in fresh {
            outcome.extend(self.catch_up(id));
        }
        outcome
    }

    /// A list of a kind begins.
    pub fn relisting(&mut self, kind: &Kind) -> Outcome {
        self.uninstalled.remove(kind);
        let mut outcome = self.serve(kind);
        self.served.entry(kind.clone()).or_default().listing = Some(BTreeSet::new());
        outcome.extend(self.each_watch(kind, |_| Some(ObjectEvent::Relisting)));
        outcome
    }

    /// An object is as it says.
    pub fn seen(&mut self, object: Arc<ProjectedObject>) -> Outcome {
        let kind = Kind::of(&object);
        if self.uninstalled.contains(&kind) {
            return Outcome::new();
        }
        let mut outcome = self.serve(&kind);
        if object.id().namespace.is_none() && !is_cluster_scoped(&self.cluster_scoped, &kind) {
            self.cluster_scoped.insert(kind.clone());
            outcome.extend(self.assign());
        }
        let (served, key) = (self.served.entry(kind.clone()).or_default(), object.key());
        served.objects.insert(key.clone(), object.clone());
        if let Some(listing) = &mut served.listing {
            listing.insert(key.clone());
        }
        outcome.extend(self.each_watch(&kind, |watch| {
            if watch.target.as_ref().is_none_or(|target| Matcher::new(target).matches(&object)) {
                watch.handed.insert(key.clone());
                return Some(ObjectEvent::Seen(object.clone()));
            }
            // What no longer matches is deleted, for those who watch what matches.
            watch.handed.remove(&key).then(|| ObjectEvent::Gone(key.clone()))
        }));
        outcome
    }

    /// An object is gone.
    pub fn gone(&mut self, kind: &Kind, key: &ObjectKey) -> Outcome {
        if let Some(served) = self.served.get_mut(kind) {
            served.objects.remove(key);
        }
        self.each_watch(kind, |watch| watch.handed.remove(key).then(|| ObjectEvent::Gone(key.clone())))
    }

    /// The list of a kind is complete.
    pub fn synced(&mut self, kind: &Kind) -> Outcome {
        if self.uninstalled.contains(kind) {
            return Outcome::new();
        }
        let mut outcome = self.serve(kind);
        let served = self.served.entry(kind.clone()).or_default();
        served.listed = true;
        if let Some(listing) = served.listing.take() {
            served.objects.retain(|key, _| listing.contains(key));
            outcome.extend(self.each_watch(kind, |watch| {
                watch.handed.retain(|key| listing.contains(key));
                Some(ObjectEvent::Synced)
            }));
        }
        outcome
    }

    /// A kind is no longer served, until it is listed again. None when it was not.
    pub fn uninstall(&mut self, kind: &Kind) -> Option<Outcome> {
        self.served.remove(kind)?;
        self.uninstalled.insert(kind.clone());
        Some(self.assign())
    }

    /// The operator restarts with what stood, what occurred and the last known objects; every kind is to be listed anew.
    pub fn restart(&mut self) -> Outcome {
        let before = std::mem::take(&mut self.engine);
        self.watches.clear();
        self.served.values_mut().for_each(|served| *served = Served::default());
        for (key, policy) in &self.policies {
            let open = before.open(key).iter().map(|finding| (**finding).clone()).collect();
            self.engine.restore(key.clone(), policy.uid.clone(), open);
            let pending = before.pending(key).iter().map(|pending| (**pending).clone()).collect();
            self.engine.restore_pending(key.clone(), policy.uid.clone(), pending);
            let complying = before.standing(key, 0).map(|standing| standing.complying).unwrap_or_default();
            self.engine.restore_complying(key.clone(), policy.uid.clone(), complying);
            self.engine.restore_history(key.clone(), policy.uid.clone(), before.history(key));
        }
        let all = Place { index: 0, of: 1 };
        for memory in before.memories() {
            let part = before.part(&memory, all, self.now);
            self.engine.recall(memory.name, vec![part]);
        }
        self.assign()
    }

    /// Time passes, to `time`, from one moment at which something is due to the next; each outcome with its time. Time
    /// never goes back.
    pub fn advance(&mut self, time: Timestamp) -> Vec<(Timestamp, Outcome)> {
        let mut outcomes = Vec::new();
        for tick in 0..MAX_TICKS {
            let Some(due) = self.engine.next_deadline().filter(|due| *due < time) else {
                break;
            };
            // In the second half of what may be, far enough for the rest.
            let step = match tick < MAX_TICKS / 2 {
                true => 0,
                false => time.duration_since(self.now).as_secs() / i64::from(MAX_TICKS - tick),
            };
            let earliest = self.now.saturating_add(SignedDuration::from_secs(step)).unwrap_or(time);
            self.now = due.max(earliest);
            outcomes.push(self.tick());
        }
        self.now = self.now.max(time);
        outcomes.push(self.tick());
        outcomes.retain(|(_, outcome)| !outcome.is_empty());
        outcomes
    }

    fn tick(&mut self) -> (Timestamp, Outcome) {
        self.engine.tick(self.now);
        (self.now, self.work())
    }

    /// A kind that was not known may be what a selection means.
    fn serve(&mut self, kind: &Kind) -> Outcome {
        if self.served.contains_key(kind) {
            return Outcome::new();
        }
        self.served.insert(kind.clone(), Served::default());
        self.assign()
    }

    /// A new watch begins with a list of what there is.
    fn catch_up(&mut self, id: WatchId) -> Outcome {
        let Some(watch) = self.watches.iter_mut().find(|watch| watch.id == id) else {
            return Outcome::new();
        };
        let Some(served) = self.served.get(&watch.kind).filter(|served| served.listed) else {
            return Outcome::new();
        };
        let matcher = watch.target.as_ref().map(Matcher::new);
        let mut events = vec![ObjectEvent::Relisting];
        for (key, object) in &served.objects {
            if matcher.as_ref().is_none_or(|matcher| matcher.matches(object)) {
                watch.handed.insert(key.clone());
                events.push(ObjectEvent::Seen(object.clone()));
            }
        }
        events.push(ObjectEvent::Synced);
        let mut outcome = Outcome::new();
        for event in events {
            outcome.extend(self.engine.step(id, event, self.now));
            outcome.extend(self.work());
        }
        outcome
    }

    fn each_watch(
        &mut self,
        kind: &Kind,
        mut event: impl FnMut(&mut Watch) -> Option<ObjectEvent>,
    ) -> Outcome {
        let mut outcome = Outcome::new();
        for at in 0..self.watches.len() {
            let watch = &mut self.watches[at];
            let id = watch.id;
            if watch.kind == *kind
                && let Some(event) = event(watch)
            {
                outcome.extend(self.engine.step(id, event, self.now));
                outcome.extend(self.work());
            }
        }
        outcome
    }

    fn work(&mut self) -> Outcome {
        let mut outcome = Outcome::new();
        while self.engine.has_work() {
            outcome.extend(self.engine.work(64, self.now));
        }
        outcome
    }
}

/// Whether objects of a kind live in no namespace, as far as that is known.
fn is_cluster_scoped(known: &BTreeSet<Kind>, kind: &Kind) -> bool {
    known.contains(kind) || by_kind(kind.group(), &kind.kind).is_some_and(|known| !known.namespaced)
}

fn resource(plurals: &HashMap<Kind, String>, kind: &Kind) -> [Arc<str>; 3] {
    let known = plurals.get(kind).cloned();
    let built_in = || by_kind(kind.group(), &kind.kind).map(|known| known.plural.to_owned());
    let plural = known.or_else(built_in).unwrap_or_else(|| guess_plural(&kind.kind));
    [kind.group().into(), kind.version().into(), plural.into()]
}
