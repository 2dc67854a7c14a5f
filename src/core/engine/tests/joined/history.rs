//! An engine to which a history happens: watches that are in step or not, policies that come to be others, time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::super::{Assignment, Engine, Outcome, Reader, Route, Terms, at};
use super::objects::{KINDS, OPTIONAL, Step, is_cluster_scoped};
use super::policies::compiled;
use crate::core::event::{ObjectEvent, ObjectKey, WatchId};
use crate::core::finding::{Finding, FindingKey, PolicyKey, Transition};
use crate::core::policy::CompiledPolicy;
use crate::core::project::ProjectedObject;

type Objects = BTreeMap<ObjectKey, Arc<ProjectedObject>>;

/// One kind, as the engine is told of it.
#[derive(Debug, Default)]
pub(super) struct Watch {
    pub(super) id: u64,
    /// Whether anybody reads it.
    runs: bool,
    /// Whether it was ever listed completely.
    pub(super) synced: bool,
    /// What is left of the list that is being read.
    pub(super) listing: Option<VecDeque<Arc<ProjectedObject>>>,
    listed: BTreeSet<ObjectKey>,
    /// Whether it brings what happens.
    connected: bool,
    /// What the engine was told.
    pub(super) told: Objects,
}

pub(super) struct History {
    pub(super) engine: Engine,
    pub(super) policies: BTreeMap<PolicyKey, (usize, Arc<CompiledPolicy>)>,
    /// What runs, by kind; nothing for a kind that is not installed.
    pub(super) watches: BTreeMap<&'static str, Watch>,
    there: BTreeMap<&'static str, Objects>,
    pub(super) now: Timestamp,
    /// Objects judged in one go; none: work is left to whoever asks for it.
    pub(super) slice: Option<usize>,
    /// What the transitions come to.
    said: BTreeMap<(PolicyKey, FindingKey), Arc<Finding>>,
    ids: u64,
}

impl History {
    /// Nothing is listed yet.
    pub(super) fn new(policies: &[usize]) -> Self {
        let mut history = Self {
            engine: Engine::default(),
            policies: BTreeMap::new(),
            watches: BTreeMap::new(),
            there: KINDS.iter().map(|(kind, _)| (*kind, Objects::new())).collect(),
            now: at(1_200),
            slice: Some(usize::MAX),
            said: BTreeMap::new(),
            ids: 0,
        };
        KINDS.iter().for_each(|(kind, _)| history.serve(kind));
        for n in policies {
            let policy = compiled(*n, 0);
            history.policies.insert(policy.key.clone(), (*n, policy));
        }
        history.assign();
        history
    }

    fn serve(&mut self, kind: &'static str) {
        self.ids += 1;
        self.watches.insert(kind, Watch { id: self.ids, ..Watch::default() });
    }

    fn assign(&mut self) {
        let policies = self.policies.iter().map(|(key, (_, policy))| (key.clone(), policy.clone()));
        let mut assignment = Assignment { policies: Arc::new(policies.collect()), ..Assignment::default() };
        assignment.namespaces = self.watches.get("Namespace").map(|watch| WatchId(watch.id));
        for (_, policy) in self.policies.values() {
            for selection in &policy.selections {
                let reader = Reader { policy: policy.key.clone(), selection: selection.name.clone() };
                let Some(watch) = self.watches.get(&*selection.target.kind) else {
                    assignment.absent.insert(reader);
                    continue;
                };
                let route: &mut Route = assignment.routes.entry(WatchId(watch.id)).or_default();
                route.cluster_scoped = is_cluster_scoped(&selection.target.kind);
                // The watches are of all of the kind.
                let terms = Terms { since: 0, select: !selection.target.is_everything() };
                route.terms.insert(reader.clone(), terms);
                route.readers.insert(reader);
            }
        }
        // A watch that nobody reads ends; it is another one that begins when somebody does.
        let kinds: Vec<&'static str> = self.watches.keys().copied().collect();
        for kind in kinds {
            let is_read =
                kind == "Namespace" || assignment.routes.contains_key(&WatchId(self.watches[kind].id));
            if !is_read {
                self.serve(kind);
            }
            self.watches.entry(kind).and_modify(|watch| watch.runs = is_read);
        }
        let outcome = self.engine.assign(assignment, self.now);
        self.hear(outcome);
    }

    /// Takes a step.
    pub(super) fn happen(&mut self, step: Step) {
        self.take(step);
    }

    /// Takes a step; returns the kind that it is about when it is about one.
    pub(super) fn take(&mut self, step: Step) -> Option<&'static str> {
        match step {
            Step::Put(kind, object) => {
                if !self.watches.contains_key(kind) {
                    return Some(kind);
                }
                self.there.entry(kind).or_default().insert(object.key(), object.clone());
                self.bring(kind, ObjectEvent::Seen(object));
                return Some(kind);
            }
            Step::Delete(kind, key) => {
                let known = self.there.entry(kind).or_default().remove(&key);
                if known.is_some() {
                    self.bring(kind, ObjectEvent::Gone(key));
                }
                return Some(kind);
            }
            Step::Lose(kind) => {
                if let Some(watch) = self.watches.get_mut(kind) {
                    watch.connected = false;
                }
                return Some(kind);
            }
            Step::List(kind) => {
                let kind = self.to_list(kind);
                self.list(kind);
                return Some(kind);
            }
            Step::Read(kind, some) => {
                let kind = self.to_read(kind)?;
                (0..some).for_each(|_| self.read(kind));
                return Some(kind);
            }
            Step::Install if !self.watches.contains_key(OPTIONAL) => {
                self.serve(OPTIONAL);
                self.assign();
            }
            Step::Uninstall if self.watches.remove(OPTIONAL).is_some() => {
                self.there.insert(OPTIONAL, Objects::new());
                self.assign();
            }
            Step::Install | Step::Uninstall => {}
            Step::Edit(n, form) => {
                let policy = compiled(n, form);
                self.policies.insert(policy.key.clone(), (n, policy));
                self.assign();
            }
            Step::Wait(seconds) => {
                let until = self.now.saturating_add(SignedDuration::from_secs(seconds)).expect("a time");
                // Where work is left for later, so is what is due.
                while self.pass(until) && self.slice.is_some() {}
                self.now = until;
            }
            Step::Restart => self.restart(),
        }
        None
    }

    /// Time passes to the next moment, at most until then; returns whether there is more to come.
    pub(super) fn pass(&mut self, until: Timestamp) -> bool {
        let due = self.engine.next_deadline().map(|due| due.max(self.now));
        let more = due.is_some_and(|due| due <= until);
        self.now = due.filter(|_| more).unwrap_or(until);
        self.engine.tick(self.now);
        self.work();
        assert!(self.engine.next_deadline().is_none_or(|due| due > self.now || self.slice.is_none()));
        more
    }

    fn restart(&mut self) {
        let before = std::mem::take(&mut self.engine);
        for (key, (_, policy)) in &self.policies {
            let plain = |findings: Vec<Arc<Finding>>| findings.iter().map(|f| (**f).clone()).collect();
            self.engine.restore(key.clone(), policy.uid.clone(), plain(before.open(key)));
            self.engine.restore_pending(key.clone(), policy.uid.clone(), plain(before.pending(key)));
        }
        let kinds: Vec<&'static str> = self.watches.keys().copied().collect();
        kinds.iter().for_each(|kind| self.serve(kind));
        self.assign();
    }

    /// What happens to the objects of a kind, told if its watch is in step.
    fn bring(&mut self, kind: &'static str, event: ObjectEvent) {
        match self.watches.get_mut(kind) {
            Some(watch) if watch.connected && watch.listing.is_none() => self.tell(kind, event),
            Some(watch) => watch.connected = false,
            None => {}
        }
    }

    fn to_list(&self, kind: &'static str) -> &'static str {
        let is_behind = |watch: &Watch| watch.runs && !watch.connected && watch.listing.is_none();
        self.next(kind, is_behind).unwrap_or(kind)
    }

    /// The next kind of which a list is being read.
    pub(super) fn to_read(&self, kind: &'static str) -> Option<&'static str> {
        self.next(kind, |watch| watch.listing.is_some())
    }

    /// The first from this kind on of which something holds.
    fn next(&self, kind: &'static str, holds: impl Fn(&Watch) -> bool) -> Option<&'static str> {
        let kinds = KINDS.iter().map(|(kind, _)| *kind);
        let mut kinds = kinds.clone().chain(kinds).skip_while(|known| *known != kind);
        kinds.find(|kind| self.watches.get(kind).is_some_and(&holds))
    }

    /// Begins a list of what there is now.
    pub(super) fn list(&mut self, kind: &'static str) {
        let objects = self.there[kind].values().cloned().collect();
        self.list_in(kind, objects);
    }

    /// Begins a list of these.
    pub(super) fn list_in(&mut self, kind: &'static str, objects: VecDeque<Arc<ProjectedObject>>) {
        let Some(watch) = self.watches.get_mut(kind).filter(|watch| watch.runs) else { return };
        watch.listing = Some(objects);
        self.tell(kind, ObjectEvent::Relisting);
    }

    /// Reads one more of a list.
    pub(super) fn read(&mut self, kind: &'static str) {
        let Some(watch) = self.watches.get_mut(kind) else { return };
        let Some(listing) = &mut watch.listing else { return };
        match listing.pop_front() {
            Some(object) => self.tell(kind, ObjectEvent::Seen(object)),
            None => {
                watch.listing = None;
                self.tell(kind, ObjectEvent::Synced);
            }
        }
    }

    /// Tells the engine.
    pub(super) fn tell(&mut self, kind: &'static str, event: ObjectEvent) {
        let Some(watch) = self.watches.get_mut(kind).filter(|watch| watch.runs) else { return };
        let id = WatchId(watch.id);
        match &event {
            ObjectEvent::Relisting => {
                watch.connected = true;
                watch.listed.clear();
            }
            ObjectEvent::Seen(object) => {
                watch.listed.insert(object.key());
                drop(watch.told.insert(object.key(), object.clone()))
            }
            ObjectEvent::Gone(key) => drop(watch.told.remove(key)),
            ObjectEvent::Synced => {
                watch.synced = true;
                let listed = &watch.listed;
                watch.told.retain(|key, _| listed.contains(key));
            }
        }
        let outcome = self.engine.step(id, event, self.now);
        self.hear(outcome);
    }

    fn hear(&mut self, outcome: Outcome) {
        self.note(outcome);
        self.work();
    }

    /// Works off what follows, if it is to be.
    fn work(&mut self) {
        let Some(slice) = self.slice else { return };
        let mut rounds = 0;
        while self.engine.has_work() {
            let outcome = self.engine.work(slice, self.now);
            self.note(outcome);
            rounds += 1;
            assert!(rounds < 100_000, "work has an end");
        }
        for key in self.policies.keys() {
            let open: Vec<_> = self.engine.open(key);
            let said = self.said.iter().filter(|((policy, _), _)| policy == key);
            let mut open: Vec<_> = open.iter().map(|finding| (&finding.key, finding)).collect();
            open.sort_by_key(|(key, _)| *key);
            let said: Vec<_> = said.map(|((_, key), finding)| (key, finding)).collect();
            assert_eq!(said, open, "what is open is what the transitions come to");
        }
    }

    /// Works a little.
    pub(super) fn work_some(&mut self, slice: usize) {
        let outcome = self.engine.work(slice, self.now);
        self.note(outcome);
    }

    fn note(&mut self, outcome: Outcome) {
        for (policy, transition) in outcome {
            let finding = transition.finding().clone();
            let key = (policy, finding.key.clone());
            match transition {
                Transition::Opened(_) => {
                    assert!(self.said.insert(key, finding.clone()).is_none(), "opened twice: {finding:?}")
                }
                Transition::Changed(_) => {
                    assert!(
                        self.said.insert(key, finding.clone()).is_some(),
                        "changed, but not open: {finding:?}"
                    )
                }
                Transition::Resolved(..) => {
                    assert!(self.said.remove(&key).is_some(), "resolved, but not open: {finding:?}")
                }
                Transition::Occurred(_) => panic!("no rule is about changes"),
            }
        }
    }

    /// Every watch is in step.
    pub(super) fn catch_up(&mut self) {
        let kinds: Vec<&'static str> = self.watches.keys().copied().collect();
        for kind in kinds {
            let Watch { runs, connected, listing, .. } = &self.watches[kind];
            if *runs && !connected && listing.is_none() {
                self.list(kind);
            }
            while self.watches[kind].listing.is_some() {
                self.read(kind);
            }
            // It missed something while it was listed.
            if self.watches[kind].runs && !self.watches[kind].connected {
                self.list(kind);
                while self.watches[kind].listing.is_some() {
                    self.read(kind);
                }
            }
        }
    }

    /// Every watch is in step, all is judged, and what waits has its time.
    pub(super) fn come_to_rest(&mut self) {
        self.slice = self.slice.or(Some(7));
        self.work();
        self.catch_up();
        // The end of a minute: whatever is judged once a minute was judged in it.
        let until = at((self.now.as_second() / 60 + 6) * 60 + 59);
        while self.pass(until) {}
    }

    pub(super) fn policies_that_read(&self, kind: &str) -> BTreeSet<PolicyKey> {
        let reads = |policy: &CompiledPolicy| {
            kind == "Namespace" || policy.selections.iter().any(|selection| selection.target.kind == kind)
        };
        self.policies
            .values()
            .filter(|(_, policy)| reads(policy))
            .map(|(_, policy)| policy.key.clone())
            .collect()
    }
}
