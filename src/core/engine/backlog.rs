//! What is to be judged again without an event: in slices, so that nothing large keeps anything else waiting.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::judge::Case;
use super::plan::Plan;
use super::subject::Subject;
use super::watches::Watched;
use super::{Engine, Outcome, Reader};
use crate::core::event::WatchId;
use crate::core::finding::PolicyKey;
use crate::core::policy::Role;
use crate::core::rules::CompiledRule;
use crate::core::store::Cursor;

/// What is to be done without an event.
#[derive(Debug)]
pub(super) enum Work {
    /// Objects of a watch are to be judged again.
    Pass(Pass),
    /// Objects of a policy are to be judged again because of what lookups find.
    Affected(PolicyKey),
}

impl Work {
    pub(super) fn policy(&self) -> &PolicyKey {
        match self {
            Self::Pass(pass) => &pass.reader.policy,
            Self::Affected(policy) => policy,
        }
    }

    pub(super) fn as_pass(&self) -> Option<&Pass> {
        match self {
            Self::Pass(pass) => Some(pass),
            Self::Affected(_) => None,
        }
    }
}

/// Objects of one watch to judge again for one reader.
#[derive(Debug)]
pub(super) struct Pass {
    pub(super) reader: Reader,
    pub(super) watch: WatchId,
    /// Only this namespace; none for all.
    namespace: Option<Arc<str>>,
    /// How far it has come; none at the beginning.
    from: Option<Cursor>,
}

impl Pass {
    /// Whether it is a pass over all that has not come to this namespace.
    fn is_before(&self, namespace: Option<&Arc<str>>) -> bool {
        self.namespace.is_none() && self.from.as_ref().is_none_or(|from| from.namespace() < namespace)
    }
}

impl Engine {
    /// Works off up to `limit` of what is due, or judges up to `limit` queued objects, or groups that come to as many;
    /// returns what came of it. Call again while [`Engine::has_work`].
    pub fn work(&mut self, limit: usize, now: Timestamp) -> Outcome {
        let groups = self.next_groups().cloned();
        self.take_turns();
        if let Some(policy) = groups {
            return self.judge_groups(&policy, limit, now);
        }
        let mut out = Vec::new();
        if let Some(policy) = self.due.pop_front() {
            self.work_due(policy, limit, now, &mut out);
            return out;
        }
        let mut work = match self.work.pop_front() {
            Some(Work::Pass(pass)) => pass,
            Some(Work::Affected(policy)) => {
                self.work_on_affected(policy, limit, now, &mut out);
                return out;
            }
            None => return out,
        };
        let namespace = work.namespace.clone();
        let first = namespace.is_some().then(|| Cursor::before(namespace));
        let from = work.from.as_ref().or(first.as_ref());
        let watch = self.watches.by_id.get(&work.watch);
        let plans = watch.map(|watch| watch.plans.clone()).unwrap_or_default();
        // What others are judged by is not judged itself.
        let is_judged = |plan: &&Plan| plan.reader == work.reader && plan.role == Role::Judged;
        let plan = plans.iter().find(is_judged);
        let objects = |watch: &Watched| watch.objects.slice(from, first.is_some(), limit);
        let (objects, next) = watch.filter(|_| plan.is_some()).map(objects).unwrap_or_default();
        for (plan, object) in
            plan.into_iter().flat_map(|plan| objects.iter().map(move |object| (plan, object)))
        {
            self.judge(plan, work.watch, Case::Again, object, now, &mut out);
        }
        match next {
            // Back of the queue: one large watch does not keep others waiting.
            Some(next) => {
                work.from = Some(next);
                self.work.push_back(Work::Pass(work));
            }
            None => self.settle(&work.reader, now, &mut out),
        }
        out
    }

    /// Whether something is due, or objects or groups are queued to be judged.
    pub fn has_work(&self) -> bool {
        !self.due.is_empty() || !self.work.is_empty() || self.has_groups()
    }

    /// The policy that [`Engine::work`] turns to next.
    pub fn next_work(&self) -> Option<PolicyKey> {
        let groups = self.next_groups();
        groups.or_else(|| self.due.front()).or_else(|| self.work.front().map(Work::policy)).cloned()
    }

    /// Queues a pass over a watch, or over one namespace of it. A pass over all that is under way begins again for
    /// another such, and goes on when it will come to the namespace anyway: changes of namespaces starve nobody.
    pub(super) fn queue(&mut self, reader: Reader, watch: WatchId, namespace: Option<Arc<str>>) {
        let passes = self.work.iter_mut().filter_map(|work| match work {
            Work::Pass(pass) => Some(pass),
            Work::Affected(_) => None,
        });
        let mut same = passes.filter(|work| work.reader == reader && work.watch == watch);
        let covering = match &namespace {
            None => same.find(|work| work.namespace.is_none()),
            Some(_) => same.find(|work| work.namespace == namespace || work.is_before(namespace.as_ref())),
        };
        match covering {
            Some(work) if work.namespace == namespace => work.from = None,
            Some(_) => {}
            None => self.work.push_back(Work::Pass(Pass { reader, watch, namespace, from: None })),
        }
    }

    /// Judges what is known by its subject again, if it is still there and still of interest.
    pub(super) fn judge_again(
        &mut self,
        policy: &PolicyKey,
        subject: &Subject,
        now: Timestamp,
        out: &mut Outcome,
    ) {
        let Some(watch) = self.watches.by_id.get(&subject.watch) else { return };
        let plans = watch.plans.clone();
        let reads = |plan: &&Plan| plan.reader.policy == *policy && plan.index == subject.selection;
        if let Some(plan) = plans.iter().find(reads)
            && let Some(object) = watch.objects.get(&subject.key)
        {
            self.judge(plan, subject.watch, Case::Again, &object, now, out);
        }
    }

    /// What a baseline is compared with is judged again when the baseline may be another.
    pub(super) fn queue_if_baseline(&mut self, plan: &Plan) {
        let (reader, policy) = (&plan.reader, &plan.policy);
        if !policy.selections[plan.index].is_baseline() {
            return;
        }
        let compares = |rule: &&CompiledRule| rule.baseline() == Some(&reader.selection);
        let rules = policy.rules.iter().filter(compares);
        let selections = policy.selections.iter().enumerate();
        let judged: BTreeSet<Arc<str>> = rules
            .flat_map(|rule| selections.clone().filter(|(n, _)| rule.judges(*n)))
            .map(|(_, selection)| selection.name.clone())
            .collect();
        for selection in judged {
            let reader = Reader { policy: reader.policy.clone(), selection };
            for watch in self.feeds(&reader) {
                self.queue(reader.clone(), watch, None);
            }
        }
    }

    pub(super) fn queue_for_namespaces(&mut self, namespace: Option<&Arc<str>>) {
        let readers: Vec<Reader> = self
            .policies
            .iter()
            .filter(|(_, tracked)| tracked.needs_namespaces)
            .flat_map(|(key, tracked)| tracked.readers(key))
            .collect();
        for reader in readers {
            for watch in self.feeds(&reader) {
                self.queue(reader.clone(), watch, namespace.cloned());
            }
        }
    }

    pub(super) fn queue_for_namespace(&mut self, name: &Arc<str>, relabelled: bool) {
        if relabelled || self.policies.values().any(|tracked| tracked.uses_namespace_object) {
            self.queue_for_namespaces(Some(name));
        }
    }

    pub(super) fn feeds(&self, reader: &Reader) -> Vec<WatchId> {
        let feeds =
            self.policies.get(&reader.policy).and_then(|tracked| tracked.feeds.get(&reader.selection));
        feeds.into_iter().flatten().copied().collect()
    }
}
