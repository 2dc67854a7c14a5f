//! The engine: policies, the objects that watches report, and what follows from both.
//!
//! Everything is synchronous and bounded: a call handles one event, or a slice of the work that a changed
//! policy or namespace leaves behind. Time is an argument.

mod assign;
mod backlog;
mod changes;
mod judge;
mod report;
#[cfg(test)]
mod tests;
mod watches;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

pub use judge::{Facts, Judgement, judge};
pub use report::{PolicyReport, RuleReport, SelectionReport};

use self::backlog::Work;
use self::watches::Watches;
use super::event::{ObjectEvent, ObjectKey, WatchId};
use super::finding::{Finding, FindingKey, PolicyKey, Resolution, Transition};
use super::history::History;
use super::ledger::Ledger;
use super::policy::{CompiledPolicy, PolicySet};
use super::project::ProjectedObject;
use super::schema::SchemaSet;

/// Policies that read `now` are judged again this often, beside every change.
pub const NOW_INTERVAL: SignedDuration = SignedDuration::from_secs(60);

/// One selection of one policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reader {
    /// The policy.
    pub policy: PolicyKey,
    /// The selection's name.
    pub selection: Arc<str>,
}

/// What a watch is of, and for whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Route {
    /// Who reads it.
    pub readers: BTreeSet<Reader>,
    /// Group, version and plural, for `request.resource`.
    pub resource: [Arc<str>; 3],
}

/// What is to be judged: always the whole of it, never a difference.
#[derive(Debug, Clone, Default)]
pub struct Assignment {
    /// The policies in force.
    pub policies: Arc<PolicySet>,
    /// Which watch feeds whom.
    pub routes: BTreeMap<WatchId, Route>,
    /// The watch of all namespaces, when a policy needs it.
    pub namespaces: Option<WatchId>,
    /// Selections whose kind is known not to be served.
    pub absent: BTreeSet<Reader>,
}

/// Transitions, each with the policy that it belongs to.
pub type Outcome = Vec<(PolicyKey, Transition)>;

/// See the module.
#[derive(Debug, Default)]
pub struct Engine {
    policies: BTreeMap<PolicyKey, Tracked>,
    watches: Watches,
    work: VecDeque<Work>,
    restored: HashMap<PolicyKey, Restored>,
    schemas: SchemaSet,
}

/// What an earlier process left of one policy.
#[derive(Debug, Default)]
struct Restored {
    /// UID of the policy.
    uid: Arc<str>,
    findings: Vec<Finding>,
    history: History,
}

#[derive(Debug)]
struct Tracked {
    policy: Arc<CompiledPolicy>,
    ledger: Ledger,
    history: History,
    /// Selections whose objects are all known and judged.
    settled: HashSet<Arc<str>>,
    feeds: HashMap<Arc<str>, BTreeSet<WatchId>>,
    needs_namespaces: bool,
    uses_namespace_object: bool,
    uses_request: bool,
    judge_again: Option<Timestamp>,
}

impl Engine {
    /// Takes the whole of the schemas that are known. They name the elements of lists in whatever is compared from
    /// now on; nothing is judged again for that.
    pub fn know(&mut self, schemas: SchemaSet) {
        self.schemas = schemas;
    }

    /// Takes one event of a watch.
    pub fn step(&mut self, id: WatchId, event: ObjectEvent, now: Timestamp) -> Outcome {
        let mut out = Vec::new();
        // An event of a watch that has just been stopped is nobody's.
        let Some(watch) = self.watches.by_id.get_mut(&id) else {
            return out;
        };
        match event {
            ObjectEvent::Relisting => watch.epoch += 1,
            ObjectEvent::Seen(object) => self.seen(id, object, now, &mut out),
            ObjectEvent::Gone(key) => self.gone(id, &key, now, &mut out),
            ObjectEvent::Synced => {
                let epoch = watch.epoch;
                watch.synced = true;
                let missed: Vec<ObjectKey> = watch
                    .objects
                    .iter()
                    .filter(|(_, kept)| kept.epoch != epoch)
                    .map(|(key, _)| key.clone())
                    .collect();
                missed.iter().for_each(|key| self.gone(id, key, now, &mut out));
                if self.watches.namespaces == Some(id) {
                    self.queue_for_namespaces(None);
                }
                let readers: Vec<Reader> = self
                    .watches
                    .by_id
                    .get(&id)
                    .map(|w| w.route.readers.iter().cloned().collect())
                    .unwrap_or_default();
                for reader in &readers {
                    self.queue_if_baseline(reader);
                    self.settle(reader, &mut out);
                }
            }
        }
        out
    }

    fn seen(&mut self, id: WatchId, object: Arc<ProjectedObject>, now: Timestamp, out: &mut Outcome) {
        let key = object.key();
        let known =
            self.watches.by_id.get(&id).and_then(|w| w.objects.get(&key)).map(|kept| kept.object.clone());
        let another = known.as_ref().is_some_and(|known| known.id().uid != object.id().uid);
        if another {
            // Deleted and created again while nobody looked.
            self.gone(id, &key, now, out);
        }
        let before = known.filter(|_| !another);
        let Some(watch) = self.watches.by_id.get_mut(&id) else {
            return;
        };
        watch.keep(key.clone(), object.clone());
        // A first list says what there is, not what came.
        let is_news = before.is_some() || another || watch.synced;
        let readers = watch.route.readers.clone();
        if let Some(before) = before.as_ref().filter(|known| known.fingerprint() == object.fingerprint()) {
            if object.knows_managers() && !before.knows_managers() {
                // The same state, and now it is known whose it is.
                let asks =
                    |reader: &&Reader| self.policies.get(&reader.policy).is_some_and(|t| t.policy.asks_who());
                let asking: Vec<&Reader> = readers.iter().filter(asks).collect();
                asking.into_iter().for_each(|reader| self.judge(reader, id, None, &object, now, out));
            }
            return;
        }
        for reader in &readers {
            self.judge(reader, id, before.as_deref(), &object, now, out);
            if is_news {
                self.judge_change(reader, id, before.as_deref(), Some(&object), now, out);
            }
            self.queue_if_baseline(reader);
        }
        if self.watches.namespaces == Some(id) {
            let relabelled = before.is_none_or(|known| known.labels() != object.labels());
            self.queue_for_namespace(&key.name, relabelled);
        }
    }

    fn gone(&mut self, id: WatchId, key: &ObjectKey, now: Timestamp, out: &mut Outcome) {
        let Some(watch) = self.watches.by_id.get_mut(&id) else {
            return;
        };
        let Some(object) = watch.drop(key) else {
            return;
        };
        for reader in &watch.route.readers.clone() {
            let Some(tracked) = self.policies.get_mut(&reader.policy) else {
                continue;
            };
            let uid = object.id().uid.clone();
            tracked.forget(&reader.selection, uid, Resolution::ObjectGone, &reader.policy, out);
            self.judge_change(reader, id, Some(&object), None, now, out);
            self.queue_if_baseline(reader);
        }
        if self.watches.namespaces == Some(id) {
            self.watches.remember_departed(object);
        }
        // Watches are not in step: a namespace may go before its objects do.
        if self.watches.namespaces == Some(id) {
            self.queue_for_namespaces(Some(&key.name));
        }
    }

    /// The policies that read a watch.
    pub fn readers_of(&self, id: WatchId) -> BTreeSet<PolicyKey> {
        let readers = self.watches.by_id.get(&id).into_iter().flat_map(|watch| &watch.route.readers);
        readers.map(|reader| reader.policy.clone()).collect()
    }

    /// Those of the policies that read a watch whose rule errors changed since the last call: no transition tells
    /// of them.
    pub fn errors_changed(&mut self, id: WatchId) -> Vec<PolicyKey> {
        let Some(watch) = self.watches.by_id.get(&id) else {
            return Vec::new();
        };
        let changed = |policy: &&PolicyKey| {
            let tracked = self.policies.get_mut(*policy);
            tracked.is_some_and(|tracked| tracked.ledger.take_errors_changed())
        };
        let readers = watch.route.readers.iter().map(|reader| &reader.policy);
        readers.filter(changed).cloned().collect()
    }
}

impl Tracked {
    fn forget(
        &mut self,
        selection: &Arc<str>,
        uid: Arc<str>,
        why: Resolution,
        policy: &PolicyKey,
        out: &mut Outcome,
    ) {
        let mut key = FindingKey { rule: "".into(), selection: selection.clone(), uid };
        for rule in &self.policy.rules {
            key.rule = rule.name.clone();
            out.extend(self.ledger.forget(&key, why).map(|t| (policy.clone(), t)));
        }
    }

    fn readers(&self, key: &PolicyKey) -> Vec<Reader> {
        let names = self.policy.selections.iter().map(|selection| selection.name.clone());
        names.map(|selection| Reader { policy: key.clone(), selection }).collect()
    }
}
