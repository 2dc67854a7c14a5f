//! Rules on groups: objects come to groups and leave them with each event, and the groups that changed are judged in
//! slices, when all their objects are known.
//!
//! A group is not judged while a selection of its rule is incomplete, a list of it is being read or its objects are
//! queued to be judged again: it would be one that never was. One of more than [`AT_ONCE`] members, all of which have
//! to be read, waits for its time ([`pace`]). Of most rules nothing has to be read: each member contributes to totals
//! when it changes ([`Aggregates`](crate::core::cel::Aggregates)).

mod pace;
mod rule;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;

use self::pace::Pace;
pub(super) use self::rule::Witness;
use self::rule::{Read, RuleGroups, State};
use super::backlog::Work;
use super::params::{ByParams, GroupParams};
use super::related::InWatches;
use super::watches::Watches;
use super::{Engine, Outcome, Tracked};
use crate::core::cel::{Bindings, GroupInputs, Upkeep};
use crate::core::event::WatchId;
use crate::core::finding::{FindingKey, ObjectId, PolicyKey, Resolution};
use crate::core::members::Member;
use crate::core::policy::CompiledPolicy;
use crate::core::project::ProjectedObject;
use crate::core::rules::{CompiledRule, Group, Place, Verdict};
use crate::core::tags::Tags;
use crate::core::timers::Timers;
use crate::core::tree::Node;

/// Most members of a group that are read again whenever one of them changes.
pub const AT_ONCE: usize = 256;
/// Kept values that are gone through in the time in which a member is read.
pub const VALUES: usize = 16;

/// Groups that wait, of all policies.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// Policies with groups to judge.
    ready: VecDeque<PolicyKey>,
    /// Large groups that changed, the first to change first: policy, rule, key.
    waiting: VecDeque<(PolicyKey, usize, Arc<str>)>,
    pace: Pace,
    /// Whether it is the turn of groups, when objects are to be judged as well.
    turn: bool,
}

impl Groups {
    fn next_deadline(&self) -> Option<Timestamp> {
        (!self.waiting.is_empty()).then(|| self.pace.free_at())
    }

    fn wake(&mut self, policy: &PolicyKey) {
        if !self.ready.contains(policy) {
            self.ready.push_back(policy.clone());
        }
    }
}

/// The groups of one policy.
#[derive(Debug, Default)]
pub(super) struct PolicyGroups {
    /// Each with the position of its rule in the policy.
    rules: Vec<(usize, RuleGroups)>,
    /// When a comparison with `now` comes out otherwise: the rule's position in the policy, and the group's key.
    moments: Timers<(usize, Arc<str>)>,
    /// Whether a list is being read that may change them.
    held: bool,
}

impl PolicyGroups {
    pub(super) fn new(policy: &CompiledPolicy) -> Self {
        let of = |(n, rule): (usize, &CompiledRule)| {
            rule.as_group().map(|group| (n, RuleGroups::new(rule.name.clone(), group)))
        };
        Self { rules: policy.rules.iter().enumerate().filter_map(of).collect(), ..Self::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    fn of(&mut self, rule: usize) -> Option<&mut RuleGroups> {
        self.rules.iter_mut().find(|(n, _)| *n == rule).map(|(_, groups)| groups)
    }

    /// What an object is to the groups of a rule, for one of those who see it.
    pub(super) fn place(
        &mut self,
        rule: &CompiledRule,
        object: &ProjectedObject,
        by: Witness,
        place: &Place,
        watches: &Watches,
    ) {
        if let Some((_, groups)) = self.rules.iter_mut().find(|(_, groups)| groups.name == rule.name) {
            let member = Member::of(object.id());
            groups.place(&member, by, Some((&place.member_of, object)), watches);
            groups.naming(&member, by, Some(&place.expects));
        }
    }

    /// An object is nothing to the groups of any rule any more, for one of those who saw it.
    pub(super) fn remove(&mut self, object: &ObjectId, by: Witness, watches: &Watches) {
        if self.is_empty() {
            return;
        }
        let member = Member::of(object);
        for (_, groups) in &mut self.rules {
            groups.place(&member, by, None, watches);
            groups.naming(&member, by, None);
        }
    }

    /// One of those who see objects sees none any more.
    pub(super) fn lose(&mut self, by: Witness, watches: &Watches) {
        self.rules.iter_mut().for_each(|(_, groups)| groups.lose(by, watches));
    }

    /// All groups are to be judged, because of the time.
    pub(super) fn queue_all(&mut self) {
        self.rules.iter_mut().for_each(|(_, groups)| groups.queue_all());
    }

    /// Whether all objects are known, and groups still to be judged for the first time.
    pub(super) fn are_fresh(&self) -> bool {
        self.rules.iter().any(|(_, groups)| groups.is_fresh())
    }

    /// Queues the groups of which a comparison with `now` comes out otherwise by now; returns whether there are any.
    pub(super) fn queue_due(&mut self, now: Timestamp) -> bool {
        let mut any = false;
        while let Some((rule, key)) = self.moments.pop(now) {
            if let Some(groups) = self.of(rule) {
                groups.queue_again(&key);
                any = true;
            }
        }
        any
    }

    /// When that is so next.
    pub(super) fn next_moment(&self) -> Option<Timestamp> {
        self.moments.next()
    }

    fn is_ready(&self) -> bool {
        !self.held && self.rules.iter().any(|(_, groups)| groups.is_ready())
    }
}

impl Read for Watches {
    fn read(&self, (_, watch): Witness, member: &Member) -> Option<ProjectedObject> {
        self.by_id.get(&watch)?.objects.get(&member.key())
    }
}

impl Engine {
    /// Queues the groups of a policy that changed, if they may be judged.
    pub(super) fn wake_groups(&mut self, policy: &PolicyKey) {
        if self.policies.get(policy).is_some_and(|tracked| tracked.groups.is_ready()) {
            self.groups.wake(policy);
        }
    }

    /// Looks again which groups of a policy may be judged: a list began or ended, or a selection was completed.
    pub(super) fn review_groups(&mut self, policy: &PolicyKey, out: &mut Outcome) {
        if let Some(tracked) = self.policies.get_mut(policy) {
            review(policy, tracked, &self.watches, out);
            self.wake_groups(policy);
        }
    }

    /// Lets go of the large groups whose time has come.
    pub(super) fn groups_due(&mut self, now: Timestamp) {
        while let Some((policy, rule, key)) = self.groups.waiting.pop_front() {
            let Some(tracked) = self.policies.get_mut(&policy) else { continue };
            let groups = tracked.groups.of(rule);
            let asked = tracked.policy.rules.get(rule).and_then(CompiledRule::as_group);
            let (Some(groups), Some(asked)) = (groups, asked) else { continue };
            let Some(effort) = groups.waiting(&key).map(|state| effort(asked, state)) else { continue };
            if !self.groups.pace.take(effort, now) {
                self.groups.waiting.push_front((policy, rule, key));
                return;
            }
            groups.release(&key);
            self.wake_groups(&policy);
        }
    }

    /// When the next of the groups that wait for their time may be judged; none while none waits.
    pub fn next_group_deadline(&self) -> Option<Timestamp> {
        self.groups.next_deadline()
    }

    /// Whether groups are queued to be judged.
    pub(super) fn has_groups(&self) -> bool {
        !self.groups.ready.is_empty()
    }

    /// The policy whose groups are to be judged next; none when it is the turn of objects.
    pub(super) fn next_groups(&self) -> Option<&PolicyKey> {
        if self.work.is_empty() {
            return self.groups.ready.front();
        }
        if !self.groups.turn || self.groups.ready.is_empty() {
            return None;
        }
        let pending: HashSet<&PolicyKey> = self.work.iter().map(Work::policy).collect();
        self.groups.ready.iter().find(|policy| !pending.contains(policy))
    }

    /// Gives the turn to the other kind of work.
    pub(super) fn take_turns(&mut self) {
        self.groups.turn = !self.groups.turn;
    }

    /// Judges groups of a policy, as many as come to `limit` members that are read.
    pub(super) fn judge_groups(&mut self, policy: &PolicyKey, limit: usize, now: Timestamp) -> Outcome {
        let mut out = Vec::new();
        self.groups.ready.retain(|ready| ready != policy);
        let Some(tracked) = self.policies.get_mut(policy) else {
            return out;
        };
        let policy_of_groups = tracked.policy.clone();
        let params = {
            let related =
                InWatches { watches: &self.watches, policy: &policy_of_groups, sources: &tracked.sources };
            GroupParams::of(&policy_of_groups, &related)
        };
        let mut read = 0;
        while read < limit && tracked.groups.is_ready() {
            for (n, groups) in &mut tracked.groups.rules {
                let Some(key) = groups.next() else { continue };
                let Some(rule) = tracked.policy.rules.get(*n) else { continue };
                let (Some(state), Some(asked)) = (groups.get(&key), rule.as_group()) else { continue };
                let finding = FindingKey::of_group(rule.name.clone(), &key);
                if state.is_gone() {
                    groups.remove(&key);
                    tracked.groups.moments.set(&(*n, key.clone()), None);
                    let gone = tracked.ledger.forget(&finding, Resolution::ObjectGone);
                    out.extend(gone.map(|transition| (policy.clone(), transition)));
                    read += 1;
                    continue;
                }
                let effort = effort(asked, state);
                if effort > AT_ONCE && !state.is_free() && !self.groups.pace.take(effort, now) {
                    groups.wait(&key);
                    self.groups.waiting.push_back((policy.clone(), *n, key));
                    continue;
                }
                read += effort.max(1);
                let judged = judge(&rule.name, asked, &key, state, params.as_ref(), &self.watches, now);
                if matches!(judged, Judged::NotKnown) {
                    // It is queued again when the params are known.
                    groups.put_off(&key);
                    continue;
                }
                groups.begin(&key);
                let transition = match judged {
                    Judged::NotKnown | Judged::NoParams => {
                        tracked.ledger.forget(&finding, Resolution::NoParams)
                    }
                    Judged::Known(verdict, moment) => {
                        tracked.groups.moments.set(&(*n, key.clone()), moment);
                        let object = ObjectId::of_group(&key);
                        let about = (&object, &Tags::default());
                        tracked.ledger.enter(&finding, rule.severity, about, verdict, now)
                    }
                };
                out.extend(transition.map(|transition| (policy.clone(), transition)));
            }
        }
        self.quiet.note(policy, &mut tracked.ledger);
        self.wake_groups(policy);
        out
    }
}

#[cfg(test)]
impl Engine {
    /// What totals say of each group of a policy that is judged by them.
    pub(super) fn by_totals(&self, policy: &PolicyKey, now: Timestamp) -> Vec<(String, String, Verdict)> {
        let Some(tracked) = self.policies.get(policy) else { return Vec::new() };
        let mut verdicts = Vec::new();
        for (n, groups) in &tracked.groups.rules {
            let rule = &tracked.policy.rules[*n];
            let Some(asked) = rule.as_group() else { continue };
            for (key, state) in groups.all().filter(|(_, state)| state.kept().is_some()) {
                let judged = judge(&rule.name, asked, key, state, None, &self.watches, now);
                let Judged::Known(verdict, _) = judged else { continue };
                verdicts.push((rule.name.to_string(), key.to_string(), verdict));
            }
        }
        verdicts
    }
}

/// What judging a group takes, in members that are read: none when only totals are looked at.
fn effort(rule: &Group, state: &State) -> usize {
    match (rule.upkeep(), state.kept()) {
        (Upkeep::Incremental, Some(_)) => 0,
        (Upkeep::Values, Some(_)) => state.len() / VALUES,
        _ => state.len(),
    }
}

/// What judging a group came to.
enum Judged {
    /// The verdict, and when a comparison with `now` comes out otherwise.
    Known(Verdict, Option<Timestamp>),
    /// There are no params to judge it by.
    NoParams,
    /// It is not known yet which params there are.
    NotKnown,
}

fn judge(
    name: &str,
    rule: &Group,
    key: &str,
    state: &State,
    params: Option<&GroupParams<'_>>,
    watches: &Watches,
    now: Timestamp,
) -> Judged {
    let read = |(member, watch): (&Member, WatchId)| watches.by_id.get(&watch)?.objects.get(&member.key());
    let objects: Vec<ProjectedObject> = match state.kept() {
        Some(_) => Vec::new(),
        None => state.members().filter_map(read).collect(),
    };
    let objects: Vec<&Node> = objects.iter().map(ProjectedObject::root).collect();
    let mut bindings = match state.kept() {
        Some(kept) => Bindings::of_totals(kept, key, now),
        None => Bindings::of_group(GroupInputs { objects: &objects, group: key, now }),
    };
    let once = |bindings: &mut Bindings<'_>| match state.kept() {
        Some(_) => rule.judge_kept(name, bindings),
        None => rule.judge(name, bindings),
    };
    let verdict = match params.filter(|_| rule.reads_params()) {
        None => once(&mut bindings),
        Some(params) => match params.judge(&mut bindings, once) {
            ByParams::Known(verdict) => verdict,
            ByParams::None => return Judged::NoParams,
            ByParams::NotKnown => return Judged::NotKnown,
        },
    };
    Judged::Known(verdict, bindings.next_flip())
}

/// Finds out which rules on groups know all their objects. What an earlier process or an earlier form of the rule
/// left open of groups that are not there is resolved then.
pub(super) fn review(policy: &PolicyKey, tracked: &mut Tracked, watches: &Watches, out: &mut Outcome) {
    let Tracked { policy: compiled, ledger, settled, feeds, groups, .. } = tracked;
    if groups.is_empty() {
        return;
    }
    let listing = |id| watches.by_id.get(id).is_some_and(|watch| watch.in_list);
    let held = feeds.values().flatten().any(listing);
    groups.held = held;
    for (n, groups) in &mut groups.rules {
        let Some(rule) = compiled.rules.get(*n) else { continue };
        let mut concerned = compiled.selections.iter().enumerate().filter(|(at, _)| rule.concerns(*at));
        let complete = concerned.all(|(_, selection)| settled.contains(&selection.name));
        // Within a list a group may be missing that never was.
        if complete && !held && !groups.reviewed {
            let known = |key: &FindingKey| {
                key.rule != rule.name || key.group().is_none_or(|group| groups.contains(group))
            };
            let mut stale = ledger.retain(known, Resolution::NotSeen);
            stale.sort_by(|a, b| a.finding().key.cmp(&b.finding().key));
            out.extend(stale.into_iter().map(|transition| (policy.clone(), transition)));
        }
        groups.reviewed = complete && (groups.reviewed || !held);
        groups.set_complete(complete);
    }
}
