//! The engine: policies, the objects that watches report, and what follows from both.
//!
//! Everything is synchronous and bounded: a call handles one event, or a slice of the work that a changed
//! policy or namespace leaves behind. Time is an argument.

mod asked;
mod assign;
mod backlog;
mod by_label;
mod changes;
mod dependents;
mod graph;
mod groups;
mod judge;
mod missed;
mod params;
mod plan;
mod related;
mod report;
mod subject;
#[cfg(test)]
mod tests;
mod time;
mod watches;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

pub use groups::{AT_ONCE, VALUES};
pub use judge::{Facts, Judgement, judge};
pub use missed::WatchMemory;
pub use params::{ByParams, GroupParams};
pub use report::{KeptReport, PolicyReport, RuleReport, SelectionReport, Standing};

use self::backlog::Work;
use self::changes::Happened;
use self::dependents::Dependents;
use self::groups::{Groups, PolicyGroups};
use self::judge::Case;
use self::plan::{Comparison, Plan};
use self::related::{Affected, Source};
use self::subject::Subject;
use self::watches::Watches;
use super::event::{ObjectEvent, ObjectKey, WatchId};
use super::finding::{Finding, FindingKey, PolicyKey, Resolution, Transition};
use super::history::History;
use super::ledger::Ledger;
use super::policy::{CompiledPolicy, PolicySet, Role};
use super::project::ProjectedObject;
use super::remembered::Part;
use super::schema::SchemaSet;
use super::store::Put;
use super::timers::Timers;

/// Policies of which it cannot be told when `now` decides otherwise are judged again this often, beside every change.
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
    /// How readers are served for whom the watch was not made; the default for all others.
    pub terms: BTreeMap<Reader, Terms>,
    /// Whether its objects live in no namespaces.
    pub cluster_scoped: bool,
    /// By what it is known to a later process; none when nothing of it outlives this one.
    pub memory: Option<RouteMemory>,
}

/// By what a watch is known to a later process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouteMemory {
    /// What the watch is of, the same in every process.
    pub name: Arc<str>,
    /// Identity of what each reader needs: see [`super::project::Shape::identity`].
    pub needs: BTreeMap<Reader, u64>,
}

/// How a watch serves a reader.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terms {
    /// From this generation of the projection on, all that the reader needs is kept. Objects of an earlier one say
    /// nothing to it.
    pub since: u32,
    /// Whether the watch is of more than the reader selects, so that the selection's target is applied here.
    pub select: bool,
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
    /// From which generation of its projection on all is kept that a policy needs of them; 0 where none is given.
    pub namespaces_since: BTreeMap<PolicyKey, u32>,
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
    groups: Groups,
    /// Policies of which something is due.
    due: VecDeque<PolicyKey>,
    restored: HashMap<PolicyKey, Restored>,
    /// What an earlier process knew of watches that have not begun yet, by their names.
    last_known: HashMap<Arc<str>, Vec<Arc<Part>>>,
    schemas: SchemaSet,
    quiet: Quiet,
    /// Objects that rules on states were asked about, each once for each policy.
    judged: u64,
}

/// What an earlier process left of one policy.
#[derive(Debug, Default)]
struct Restored {
    /// UID of the policy.
    uid: Arc<str>,
    findings: Vec<Finding>,
    pending: Vec<Finding>,
    complying: Vec<(FindingKey, Timestamp)>,
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
    /// See [`Assignment::namespaces_since`].
    namespaces_since: u32,
    uses_namespace_object: bool,
    uses_request: bool,
    groups: PolicyGroups,
    /// When all of its objects are judged again.
    judge_again: Option<Timestamp>,
    /// When single objects are judged again.
    moments: Timers<Subject>,
    /// Selections whose kind is known not to be served.
    absent: HashSet<Arc<str>>,
    /// Where lookups find their objects, by their places.
    sources: Vec<Source>,
    /// Which objects depend on what lookups find.
    dependents: Dependents,
    /// Those that are to be judged again because of that.
    affected: Affected,
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
            ObjectEvent::Relisting => {
                watch.begin_list();
                for plan in watch.plans.clone().iter() {
                    self.review_groups(&plan.reader.policy, &mut out);
                }
            }
            ObjectEvent::Seen(object) => self.seen(id, &object, now, &mut out),
            ObjectEvent::Gone(key) => self.gone(id, &key, now, &mut out),
            ObjectEvent::Synced => {
                let missed = watch.end_list();
                let plans = watch.plans.clone();
                missed.iter().for_each(|key| self.gone(id, key, now, &mut out));
                if self.watches.namespaces == Some(id) {
                    self.queue_for_namespaces(None);
                }
                let policies: BTreeSet<PolicyKey> = plans
                    .iter()
                    .filter(|plan| matches!(plan.role, Role::Lookup(_)))
                    .map(|plan| plan.reader.policy.clone())
                    .collect();
                self.note_sources(policies.iter());
                for plan in plans.iter() {
                    self.queue_if_baseline(plan);
                    self.settle(&plan.reader, now, &mut out);
                    self.review_groups(&plan.reader.policy, &mut out);
                }
            }
        }
        out
    }

    fn seen(&mut self, id: WatchId, object: &ProjectedObject, now: Timestamp, out: &mut Outcome) {
        let Some(watch) = self.watches.by_id.get_mut(&id) else {
            return;
        };
        // A first list says what there is, not what came.
        let was_synced = watch.synced;
        let plans = watch.plans.clone();
        let (before, another) = match watch.keep(object) {
            Put::New => (None, false),
            Put::Same { managers_known, generation } => {
                // The same state, and now there is more to say of it: what a reader waited for, or whose it is.
                let told = object.knows_managers() && !managers_known;
                let news = |plan: &&Plan| generation < plan.terms.since || (told && plan.policy.asks_who());
                plans
                    .iter()
                    .filter(|plan| !matches!(plan.role, Role::Lookup(_)) && news(plan))
                    .for_each(|plan| self.judge(plan, id, Case::Again, object, now, out));
                return;
            }
            Put::Changed(before) => (Some(before), false),
            Put::Replaced(before) => {
                // Deleted and created again while nobody looked.
                self.departed(id, &before, now, out);
                (None, true)
            }
        };
        let is_new = before.is_none() && (another || was_synced);
        let views = self.watches.by_id.get(&id).map(|watch| watch.views.clone()).unwrap_or_default();
        let comparison = before.as_ref().map(|before| Comparison::new(&views, before, object));
        for plan in plans.iter() {
            if let Role::Lookup(place) = plan.role {
                self.related_changed(plan, place, before.as_ref(), Some(object), comparison.as_ref());
                continue;
            }
            match &comparison {
                // What was kept for others before does not tell what was before.
                Some(comparison) if comparison.before.generation() >= plan.terms.since => {
                    self.judge(plan, id, Case::Changed(comparison), object, now, out);
                    self.catch_up(plan, id, &object.key(), Some(comparison.before), now, out);
                    self.judge_change(plan, id, Happened::Changed(comparison), None, now, out);
                }
                _ => {
                    self.judge(plan, id, Case::Again, object, now, out);
                    if is_new {
                        self.catch_up(plan, id, &object.key(), None, now, out);
                        self.judge_change(plan, id, Happened::Came(object), None, now, out);
                    }
                }
            }
            self.queue_if_baseline(plan);
        }
        if self.watches.namespaces == Some(id) {
            let relabelled = before.is_none_or(|known| known.labels() != object.labels());
            self.queue_for_namespace(&object.id().name, relabelled);
        }
    }

    fn gone(&mut self, id: WatchId, key: &ObjectKey, now: Timestamp, out: &mut Outcome) {
        let Some(object) = self.watches.by_id.get_mut(&id).and_then(|watch| watch.drop(key)) else {
            return;
        };
        self.departed(id, &object, now, out);
    }

    /// An object is no longer there.
    fn departed(&mut self, id: WatchId, object: &ProjectedObject, now: Timestamp, out: &mut Outcome) {
        let Some(plans) = self.watches.by_id.get(&id).map(|watch| watch.plans.clone()) else {
            return;
        };
        for plan in plans.iter() {
            if let Role::Lookup(place) = plan.role {
                self.related_changed(plan, place, Some(object), None, None);
                continue;
            }
            let Some(tracked) = self.policies.get_mut(&plan.reader.policy) else {
                continue;
            };
            tracked.unjoin(id, plan, object);
            let uid = object.id().uid.clone();
            tracked.forget(&plan.reader.selection, uid, Resolution::ObjectGone, &plan.reader.policy, out);
            let grouped = !tracked.groups.is_empty();
            tracked.groups.remove(object.id(), (plan.index, id), &self.watches);
            tracked.forget_moment(id, plan, object);
            self.quiet.note(&plan.reader.policy, &mut tracked.ledger);
            if object.generation() >= plan.terms.since {
                self.catch_up(plan, id, &object.key(), Some(object), now, out);
                self.judge_change(plan, id, Happened::Went(object), None, now, out);
            }
            self.queue_if_baseline(plan);
            if grouped {
                self.wake_groups(&plan.reader.policy);
            }
        }
        if self.watches.namespaces == Some(id) {
            self.watches.remember_departed(object.clone());
            // Watches are not in step: a namespace may go before its objects do.
            self.queue_for_namespaces(Some(&object.id().name));
        }
    }

    /// How often rules on states were asked about an object, each time once for a policy.
    pub fn judged(&self) -> u64 {
        self.judged
    }

    /// The policies that read a watch.
    pub fn readers_of(&self, id: WatchId) -> BTreeSet<PolicyKey> {
        let plans = self.watches.by_id.get(&id).into_iter().flat_map(|watch| watch.plans.iter());
        plans.map(|plan| plan.reader.policy.clone()).collect()
    }

    /// The policies whose rule errors changed since the last call: no transition tells of them.
    pub fn take_erring(&mut self) -> BTreeSet<PolicyKey> {
        std::mem::take(&mut self.quiet.erring)
    }

    /// The policies of which something began or ceased to wait since the last call: no transition tells of it, either.
    pub fn take_waiting(&mut self) -> BTreeSet<PolicyKey> {
        std::mem::take(&mut self.quiet.waiting)
    }
}

/// What no transition tells.
#[derive(Debug, Default)]
struct Quiet {
    /// Policies whose rule errors changed.
    erring: BTreeSet<PolicyKey>,
    /// Policies of which something began or ceased to wait.
    waiting: BTreeSet<PolicyKey>,
}

impl Quiet {
    fn note(&mut self, policy: &PolicyKey, ledger: &mut Ledger) {
        if ledger.take_errors_changed() {
            self.erring.insert(policy.clone());
        }
        if ledger.take_waiting_changed() {
            self.waiting.insert(policy.clone());
        }
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
        if self.ledger.is_blank() {
            return;
        }
        let mut key = FindingKey { rule: "".into(), selection: selection.clone(), uid };
        for rule in &self.policy.rules {
            key.rule = rule.name.clone();
            out.extend(self.ledger.forget(&key, why).map(|t| (policy.clone(), t)));
        }
    }

    /// Whether a selection's objects are judged.
    fn judges(&self, selection: &str) -> bool {
        self.policy.selections.iter().any(|known| *known.name == *selection && known.is_judged())
    }

    fn readers(&self, key: &PolicyKey) -> Vec<Reader> {
        let names = self.policy.selections.iter().map(|selection| selection.name.clone());
        names.map(|selection| Reader { policy: key.clone(), selection }).collect()
    }
}
