//! From one assignment to the next: what a policy or route that changed means for what is known.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::backlog::Work;
use super::dependents::Dependents;
use super::groups::PolicyGroups;
use super::plan::{Plan, Views};
use super::related::Affected;
use super::watches::{Watched, Watches};
use super::{Assignment, Engine, NOW_INTERVAL, Outcome, Reader, Restored, Route, Tracked};
use crate::core::cel::Root;
use crate::core::diff::FieldScope;
use crate::core::event::WatchId;
use crate::core::finding::{Finding, FindingKey, PolicyKey, Resolution, Transition};
use crate::core::history::History;
use crate::core::ledger::Ledger;
use crate::core::lookup::Lookup;
use crate::core::paths::Paths;
use crate::core::policy::{CompiledPolicy, Role};
use crate::core::rules::CompiledRule;
use crate::core::timers::Timers;

impl Engine {
    /// Hands over what an earlier process had open for a policy. To be called before the policy is assigned;
    /// ignored when the policy that is assigned has another UID.
    pub fn restore(&mut self, policy: PolicyKey, uid: Arc<str>, findings: Vec<Finding>) {
        let restored = self.restored.entry(policy).or_default();
        (restored.uid, restored.findings) = (uid, findings);
    }

    /// Hands over what was pending in an earlier process, under the same conditions.
    pub fn restore_pending(&mut self, policy: PolicyKey, uid: Arc<str>, pending: Vec<Finding>) {
        let restored = self.restored.entry(policy).or_default();
        (restored.uid, restored.pending) = (uid, pending);
    }

    /// Hands over since when the objects of open findings comply, where the findings stay open, under the same conditions.
    pub fn restore_complying(
        &mut self,
        policy: PolicyKey,
        uid: Arc<str>,
        complying: Vec<(FindingKey, Timestamp)>,
    ) {
        let restored = self.restored.entry(policy).or_default();
        (restored.uid, restored.complying) = (uid, complying);
    }

    /// Hands over what occurred in an earlier process, under the same conditions.
    pub fn restore_history(&mut self, policy: PolicyKey, uid: Arc<str>, history: History) {
        let restored = self.restored.entry(policy).or_default();
        (restored.uid, restored.history) = (uid, history);
    }

    /// Takes the whole of what is to be judged. Findings that the change ends are resolved at once; objects that
    /// have to be judged again are queued for [`Engine::work`].
    pub fn assign(&mut self, assignment: Assignment, now: Timestamp) -> Outcome {
        let mut out = Vec::new();
        self.policies.retain(|key, tracked| {
            assignment.policies.get(key).is_some_and(|p| p.uid == tracked.policy.uid && !p.suspended)
        });
        // What was open before a policy was suspended is forgotten.
        self.restored.retain(|key, _| !assignment.policies.get(key).is_some_and(|policy| policy.suspended));
        let mut changed: HashSet<PolicyKey> = HashSet::new();
        for (key, policy) in assignment.policies.iter().filter(|(_, policy)| !policy.suspended) {
            match self.policies.get_mut(key) {
                Some(tracked) if Arc::ptr_eq(&tracked.policy, policy) => {}
                Some(tracked) => {
                    changed.insert(key.clone());
                    out.extend(tracked.replace(policy.clone(), now).into_iter().map(|t| (key.clone(), t)));
                }
                None => {
                    let mut tracked = Tracked::new(policy.clone(), now);
                    if let Some(Restored { uid, findings, pending, complying, history }) =
                        self.restored.remove(key)
                        && uid == policy.uid
                    {
                        tracked.history = history;
                        let covered = |finding: &Finding| covers(policy, &finding.key);
                        findings.into_iter().filter(covered).for_each(|open| tracked.ledger.restore(open));
                        let pending = pending.into_iter().filter(covered);
                        pending.for_each(|pending| tracked.ledger.restore_pending(pending));
                        let complying = complying.into_iter();
                        complying.for_each(|(key, since)| tracked.ledger.restore_complying(key, since));
                    }
                    self.policies.insert(key.clone(), tracked);
                }
            }
        }
        for (key, tracked) in &mut self.policies {
            let since = assignment.namespaces_since.get(key).copied().unwrap_or_default();
            if std::mem::replace(&mut tracked.namespaces_since, since) != since {
                changed.insert(key.clone());
            }
        }
        self.route(assignment.routes, assignment.namespaces, &changed);
        for (key, tracked) in &mut self.policies {
            let absent = assignment.absent.iter().filter(|reader| reader.policy == *key);
            tracked.absent = absent.map(|reader| reader.selection.clone()).collect();
        }
        let keys: Vec<PolicyKey> = self.policies.keys().cloned().collect();
        self.note_sources(keys.iter());
        for reader in &assignment.absent {
            if let Some(tracked) = self.policies.get_mut(&reader.policy) {
                tracked.settled.insert(reader.selection.clone());
                let gone = tracked.ledger.settle(&reader.selection);
                out.extend(gone.into_iter().map(|t| (reader.policy.clone(), t)));
            }
        }
        let readers: Vec<Reader> = self.readers();
        for reader in readers {
            self.settle(&reader, now, &mut out);
        }
        let policies: Vec<PolicyKey> = self.policies.keys().cloned().collect();
        policies.iter().for_each(|policy| self.review_groups(policy, &mut out));
        out
    }

    /// Compares the routes with those in force: what a reader no longer gets is put in doubt, what it newly
    /// gets is queued.
    fn route(
        &mut self,
        routes: BTreeMap<WatchId, Route>,
        namespaces: Option<WatchId>,
        changed: &HashSet<PolicyKey>,
    ) {
        let namespaces_changed = self.watches.namespaces != namespaces;
        let fresh: Vec<WatchId> =
            routes.keys().filter(|id| !self.watches.by_id.contains_key(id)).copied().collect();
        self.watches.namespaces = namespaces;
        let nobody = Route::default();
        let ended: Vec<WatchId> = self.watches.by_id.keys().copied().collect();
        for id in ended {
            let wanted = routes.get(&id);
            let Some(watch) = self.watches.by_id.get(&id) else {
                continue;
            };
            for reader in watch.route.readers.difference(&wanted.unwrap_or(&nobody).readers) {
                if let Some(tracked) = self.policies.get_mut(&reader.policy) {
                    tracked.lose(&reader.selection, id, watch, &self.watches);
                }
            }
            if wanted.is_none() && namespaces != Some(id) {
                self.watches.by_id.remove(&id);
            }
        }
        if let Some(id) = namespaces {
            self.watches.by_id.entry(id).or_default();
        }
        for (id, route) in routes {
            let mut again = Vec::new();
            let before = self.watches.by_id.entry(id).or_default().route.terms.clone();
            for reader in &route.readers {
                let Some(tracked) = self.policies.get_mut(&reader.policy) else {
                    continue;
                };
                let new = tracked.feeds.entry(reader.selection.clone()).or_default().insert(id);
                let other_terms = before.get(reader) != route.terms.get(reader);
                let by_namespaces = namespaces_changed && tracked.needs_namespaces;
                if new || changed.contains(&reader.policy) || other_terms || by_namespaces {
                    tracked.settled.remove(&reader.selection);
                    if tracked.judges(&reader.selection) {
                        again.push(reader.clone());
                    }
                }
            }
            let (plans, views) = self.plans(&route);
            let baseline = |plan: &Plan| plan.policy.selections[plan.index].is_baseline();
            let ready = namespaces == Some(id) || plans.iter().any(baseline);
            let watch = self.watches.by_id.entry(id).or_default();
            watch.route = route;
            watch.serve(plans, views, ready);
            if fresh.contains(&id) {
                let name = watch.route.memory.as_ref().map(|memory| &memory.name);
                let parts = name.and_then(|name| self.last_known.remove(name));
                watch.recall(parts.unwrap_or_default());
            }
            again.into_iter().for_each(|reader| self.queue(reader, id, None));
        }
        if let Some(watch) = namespaces.and_then(|id| self.watches.by_id.get_mut(&id))
            && watch.route.readers.is_empty()
        {
            watch.serve(Vec::new(), Arc::default(), true);
        }
        // What an earlier assignment queued may be of a watch that its reader no longer reads.
        let by_id = &self.watches.by_id;
        self.work.retain(|work| {
            let Some(pass) = work.as_pass() else { return true };
            let watch = by_id.get(&pass.watch);
            watch.is_some_and(|watch| watch.route.readers.contains(&pass.reader))
        });
    }

    fn plans(&self, route: &Route) -> (Vec<Plan>, Arc<[Paths]>) {
        let mut views = Views::default();
        let mut plan = |reader: &Reader| {
            let policy = self.policies.get(&reader.policy)?.policy.clone();
            let index = policy.selection(&reader.selection)?;
            let terms = route.terms.get(reader).copied().unwrap_or_default();
            let selection = &policy.selections[index];
            let place = match selection.role {
                Role::Lookup(place) => Some(place),
                Role::Judged | Role::Baseline => None,
            };
            let lookup = place.and_then(|place| policy.lookup(place));
            Some(Plan {
                role: selection.role,
                views: match place {
                    Some(place) => [views.of(policy.decides_by_lookup(place))].into(),
                    None => policy.rules.iter().map(|rule| views.of(policy.decides(rule, index))).collect(),
                },
                by_labels: selection.reads_labels()
                    || (terms.select && selection.target.reads_labels())
                    || lookup.is_some_and(Lookup::reads_labels),
                reader: reader.clone(),
                policy,
                index,
                terms,
            })
        };
        let plans = route.readers.iter().filter_map(&mut plan).collect();
        (plans, views.into_paths())
    }

    /// Resolves what an earlier process or routing left in doubt, once all objects of a selection are judged.
    pub(super) fn settle(&mut self, reader: &Reader, now: Timestamp, out: &mut Outcome) {
        let pending = self.work.iter().filter_map(Work::as_pass).any(|pass| pass.reader == *reader);
        let Some(tracked) = self.policies.get_mut(&reader.policy) else {
            return;
        };
        let index = tracked.policy.selection(&reader.selection);
        let pending = pending || index.is_some_and(|index| tracked.affected.concerns(index));
        let Some(feeds) = tracked.feeds.get(&reader.selection).filter(|feeds| !feeds.is_empty()) else {
            return;
        };
        let complete = |id: &WatchId| {
            let watch = self.watches.by_id.get(id);
            watch.is_some_and(|watch| watch.is_complete(watch.terms(reader).since))
        };
        let synced = feeds.iter().all(complete);
        let known = self.watches.knows_namespaces_for(tracked) && tracked.knows_lookups(&reader.selection);
        if pending || !synced || !known {
            return;
        }
        self.catch_up_all(reader, now, out);
        let Some(tracked) = self.policies.get_mut(&reader.policy) else {
            return;
        };
        if tracked.settled.insert(reader.selection.clone()) {
            let gone = tracked.ledger.settle(&reader.selection);
            out.extend(gone.into_iter().map(|t| (reader.policy.clone(), t)));
            self.review_groups(&reader.policy, out);
        }
    }

    fn readers(&self) -> Vec<Reader> {
        self.policies.iter().flat_map(|(key, tracked)| tracked.readers(key)).collect()
    }
}

impl Tracked {
    fn new(policy: Arc<CompiledPolicy>, now: Timestamp) -> Self {
        let mut tracked = Self {
            policy,
            ledger: Ledger::default(),
            history: History::default(),
            settled: HashSet::new(),
            feeds: HashMap::new(),
            needs_namespaces: false,
            namespaces_since: 0,
            uses_namespace_object: false,
            uses_request: false,
            groups: PolicyGroups::default(),
            judge_again: None,
            moments: Timers::default(),
            absent: HashSet::new(),
            sources: Vec::new(),
            dependents: Dependents::default(),
            affected: Affected::default(),
        };
        tracked.note_needs(now);
        tracked
    }

    fn note_needs(&mut self, now: Timestamp) {
        self.groups = PolicyGroups::new(&self.policy);
        self.needs_namespaces = self.policy.needs_namespaces();
        self.uses_namespace_object = self.policy.uses(Root::NamespaceObject);
        self.uses_request = self.policy.uses(Root::Request);
        let next = now.saturating_add(NOW_INTERVAL).unwrap_or(Timestamp::MAX);
        self.judge_again = self.policy.needs_interval().then_some(next);
        let rules = self.policy.rules.iter();
        self.ledger.heed(rules.map(|rule| (&rule.name, rule.kind.as_ref().map(|_| rule.patience))));
    }

    fn replace(&mut self, policy: Arc<CompiledPolicy>, now: Timestamp) -> Vec<Transition> {
        let before = std::mem::replace(&mut self.policy, policy);
        self.note_needs(now);
        // All objects are judged again, and say then for when.
        self.moments = Timers::default();
        // What was kept of an object that drifted lacks the fields that the rule is about now.
        for rule in self.policy.rules.iter().filter(|rule| rule.drift_scope() != drift_scope(&before, rule)) {
            self.ledger.forget_drifted(&rule.name);
        }
        // Lookups may have other places; all is judged again anyway.
        self.sources.clear();
        self.dependents = Dependents::default();
        let Self { policy, ledger, history, feeds, settled, .. } = self;
        history.retain(|rule| policy.rules.iter().any(|known| *known.name == *rule));
        feeds.retain(|name, _| policy.selections.iter().any(|s| s.name == *name));
        settled.clear();
        let covered = |key: &FindingKey| covers(policy, key);
        ledger.retain(covered, Resolution::RuleGone)
    }

    /// The watch no longer feeds the selection. Its findings stay until what replaces it is complete.
    fn lose(&mut self, selection: &Arc<str>, id: WatchId, watch: &Watched, watches: &Watches) {
        if let Some(feeds) = self.feeds.get_mut(selection) {
            feeds.remove(&id);
        }
        self.settled.remove(selection);
        if let Some(at) = self.policy.selection(selection) {
            self.forget_moments(id, at);
            self.dependents.forget_watch(at, id);
            self.groups.lose((at, id), watches);
        }
        if self.ledger.is_blank() {
            return;
        }
        let lost: HashSet<Arc<str>> = watch.objects.uids().collect();
        self.ledger.doubt(|key| key.selection == *selection && lost.contains(&key.uid));
    }
}

fn drift_scope<'p>(policy: &'p CompiledPolicy, rule: &CompiledRule) -> Option<&'p FieldScope> {
    policy.rules.iter().find(|known| known.name == rule.name).and_then(CompiledRule::drift_scope)
}

fn covers(policy: &CompiledPolicy, key: &FindingKey) -> bool {
    let selection = policy.selection(&key.selection);
    let rule = policy.rules.iter().find(|rule| rule.name == key.rule);
    if let Some(rule) = rule.filter(|_| key.group().is_some()) {
        return rule.kind.is_none() || rule.as_group().is_some();
    }
    // Of one object nothing stands against a rule on groups; of a change rule nothing stands at all, and a change that it could not judge is not judged again.
    let stands = |rule: &CompiledRule| rule.as_change().is_none() && rule.as_group().is_none();
    selection.zip(rule).is_some_and(|(index, rule)| rule.judges(index) && stands(rule))
}
