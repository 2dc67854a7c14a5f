//! What becomes of policies and objects because time passes, and nothing else.
//!
//! Three things wait for a moment: what the ledger of a policy waits for, single objects and groups of which a comparison
//! with `now` comes out otherwise, and all objects of a policy that uses `now` in a way of which no moment is known. Each
//! policy has its own queues; while nothing is due, none of what waits is looked at.

use jiff::Timestamp;

use super::plan::Plan;
use super::subject::Subject;
use super::{Engine, NOW_INTERVAL, Outcome, Tracked};
use crate::core::event::WatchId;
use crate::core::finding::PolicyKey;
use crate::core::project::ProjectedObject;

impl Engine {
    /// When time alone changes something next. Between two calls of anything else it stays the same.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let policies = self.policies.values().filter_map(Tracked::next_deadline).min();
        policies.into_iter().chain(self.next_group_deadline()).min()
    }

    /// Queues what the passing of time may have changed, for [`Engine::work`].
    pub fn tick(&mut self, now: Timestamp) {
        self.groups_due(now);
        let (mut passes, mut groups) = (Vec::new(), Vec::new());
        for (key, tracked) in &mut self.policies {
            if tracked.judge_again.is_some_and(|at| at <= now) {
                tracked.judge_again = Some(now.saturating_add(NOW_INTERVAL).unwrap_or(Timestamp::MAX));
                passes.extend(tracked.readers(key));
                tracked.groups.queue_all();
                groups.push(key.clone());
            }
            if tracked.groups.queue_due(now) {
                groups.push(key.clone());
            }
            if tracked.next_timer().is_some_and(|at| at <= now) && !self.due.contains(key) {
                self.due.push_back(key.clone());
            }
        }
        for reader in passes {
            for watch in self.feeds(&reader) {
                self.queue(reader.clone(), watch, None);
            }
        }
        groups.iter().for_each(|policy| self.wake_groups(policy));
    }

    /// Works off up to `limit` of what is due of one policy.
    pub(super) fn work_due(&mut self, policy: PolicyKey, limit: usize, now: Timestamp, out: &mut Outcome) {
        let Some(tracked) = self.policies.get_mut(&policy) else {
            return;
        };
        let due: Vec<Subject> = std::iter::from_fn(|| tracked.moments.pop(now)).take(limit).collect();
        let left = limit - due.len();
        for subject in due {
            self.judge_again(&policy, &subject, now, out);
        }
        let Some(tracked) = self.policies.get_mut(&policy) else {
            return;
        };
        // What time made compliant at this moment does not open at it.
        let expired = tracked.ledger.expire(left, now);
        out.extend(expired.into_iter().map(|transition| (policy.clone(), transition)));
        if tracked.next_timer().is_some_and(|at| at <= now) {
            // Back of the queue: one policy does not keep others waiting.
            self.due.push_back(policy);
        }
    }
}

impl Tracked {
    fn next_deadline(&self) -> Option<Timestamp> {
        self.next_timer().into_iter().chain(self.judge_again).chain(self.groups.next_moment()).min()
    }

    fn next_timer(&self) -> Option<Timestamp> {
        self.ledger.next_deadline().into_iter().chain(self.moments.next()).min()
    }

    /// Notes when an object is to be judged again; a moment that is known and earlier stays if that `may_stand`.
    pub(super) fn note_moment(
        &mut self,
        watch: WatchId,
        plan: &Plan,
        object: &ProjectedObject,
        moment: Option<Timestamp>,
        may_stand: impl FnOnce() -> bool,
    ) {
        if moment.is_none() && self.moments.is_empty() {
            return;
        }
        let subject = Subject::new(watch, plan, object);
        let known = self.moments.get(&subject).filter(|_| may_stand());
        self.moments.set(&subject, moment.into_iter().chain(known).min());
    }

    /// The object is gone or not selected: no moment is of interest any more.
    pub(super) fn forget_moment(&mut self, watch: WatchId, plan: &Plan, object: &ProjectedObject) {
        self.note_moment(watch, plan, object, None, || false);
    }

    /// A watch no longer feeds a selection.
    pub(super) fn forget_moments(&mut self, watch: WatchId, selection: usize) {
        self.moments.retain(|subject| subject.watch != watch || subject.selection != selection);
    }
}
