//! The open findings of one policy, their order and their totals.
//!
//! A verdict goes in, a transition comes out when something changed. Totals are kept, not counted. Where a rule has
//! [`Patience`], what is wrong is pending before it is a finding, and what is right again stays open for a while; the
//! moments at which that ends are in a queue, which [`Ledger::expire`] works off.

mod pending;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use jiff::Timestamp;

use self::pending::Pending;
use super::finding::{Finding, FindingKey, ObjectId, Resolution, Severity, Transition};
use super::patience::{Openings, Patience};
use super::rules::{Drifted, Verdict, Violation};
use super::tags::Tags;
use super::timers::Timers;

/// Worst first, then oldest, then by key, so that the order is total and stable.
type Rank = (Reverse<Severity>, Timestamp, FindingKey);

fn rank(finding: &Finding) -> Rank {
    (Reverse(finding.severity), finding.since, finding.key.clone())
}

/// Open findings and rule errors of one policy.
#[derive(Debug, Default)]
pub struct Ledger {
    open: HashMap<FindingKey, Arc<Finding>>,
    order: BTreeSet<Rank>,
    by_severity: BTreeMap<Severity, usize>,
    by_rule: HashMap<Arc<str>, usize>,
    /// Findings of an earlier process that no event has confirmed yet.
    unconfirmed: HashSet<FindingKey>,
    /// What the open findings of drift rules are compared with.
    drifted: HashMap<FindingKey, Drifted>,
    /// What could not be judged: the object and the text of the error.
    errors: HashMap<FindingKey, Arc<str>>,
    errors_by_rule: HashMap<Arc<str>, usize>,
    last_error: HashMap<Arc<str>, FindingKey>,
    errors_changed: bool,
    /// Whether what waits changed since somebody asked.
    waiting_changed: bool,
    /// What rules wait for, of those that wait. None of a rule that is not in force: until it is, nothing of it opens
    /// or ends.
    patience: HashMap<Arc<str>, Option<Patience>>,
    /// What is wrong and is no finding yet.
    pending: Pending,
    /// Since when the object of an open finding complies, where the finding stays open nevertheless.
    complies: HashMap<FindingKey, Timestamp>,
    /// When findings of rules on flapping opened lately.
    openings: HashMap<FindingKey, Openings>,
    /// When time alone changes something of a key. None of what is in doubt, or fails.
    timers: Timers<FindingKey>,
}

impl Ledger {
    /// Takes what the rules of the policy wait for, none for a rule that is not in force. What waits is in doubt until
    /// it is judged again, by the rules as they are now.
    pub fn heed<'r>(&mut self, rules: impl Iterator<Item = (&'r Arc<str>, Option<Patience>)>) {
        let waits = rules.filter(|(_, patience)| *patience != Some(Patience::default()));
        self.patience = waits.map(|(rule, patience)| (rule.clone(), patience)).collect();
        let patience = &self.patience;
        // Of a rule that is not in force it is not known.
        let flaps = |patience: &Option<Patience>| patience.is_none_or(|known| known.flapping.is_some());
        self.openings.retain(|key, _| patience.get(&key.rule).is_some_and(flaps));
        let waiting: Vec<FindingKey> = self.pending.keys().chain(self.complies.keys()).cloned().collect();
        self.unconfirmed.extend(waiting);
        self.timers = Timers::default();
        let remembered: Vec<FindingKey> = self.openings.keys().cloned().collect();
        remembered.iter().for_each(|key| self.schedule(key));
    }

    /// Takes over what an earlier process had open. Announces nothing; what no event confirms by the time its
    /// selection is complete is resolved by [`Ledger::settle`].
    pub fn restore(&mut self, finding: Finding) {
        if !self.open.contains_key(&finding.key) {
            self.unconfirmed.insert(finding.key.clone());
            let patience = self.patience_of(&finding.key.rule).unwrap_or_default();
            if patience.flapping.is_some() {
                let openings = Openings::restored(finding.flaps, patience.opens(finding.since));
                self.openings.insert(finding.key.clone(), openings);
            }
            self.insert(Arc::new(finding));
        }
    }

    /// The same of what was pending. It goes on where it was when an event confirms that it is still wrong.
    pub fn restore_pending(&mut self, finding: Finding) {
        if !self.open.contains_key(&finding.key) {
            self.unconfirmed.insert(finding.key.clone());
            self.pending.insert(Arc::new(finding));
        }
    }

    /// The same of since when the object of an open finding complies, where the finding stays open nevertheless. To be
    /// called after [`Ledger::restore`].
    pub fn restore_complying(&mut self, key: FindingKey, since: Timestamp) {
        if self.open.contains_key(&key) {
            self.complies.insert(key, since);
        }
    }

    /// Enters what a rule says about an object.
    pub fn enter(
        &mut self,
        key: &FindingKey,
        severity: Severity,
        (object, tags): (&ObjectId, &Tags),
        verdict: Verdict,
        now: Timestamp,
    ) -> Option<Transition> {
        self.unconfirm(key, false);
        let transition = match verdict {
            Verdict::Error(text) => {
                // Neither compliant nor a finding: what was open stays open.
                let text: Arc<str> = format!("{object}: {text}").into();
                let before = self.errors.insert(key.clone(), text.clone());
                if before.is_none() {
                    *self.errors_by_rule.entry(key.rule.clone()).or_default() += 1;
                }
                self.errors_changed |= before != Some(text);
                self.last_error.insert(key.rule.clone(), key.clone());
                None
            }
            Verdict::Compliant => {
                self.clear_error(key);
                self.take_pending(key);
                self.comply(key, now)
            }
            Verdict::Violation(Violation { message, fields, chain }) => {
                self.clear_error(key);
                if !self.complies.is_empty() {
                    self.waiting_changed |= self.complies.remove(key).is_some();
                }
                let known = self.standing(key);
                let since = known.map_or(now, |known| known.since);
                let flaps = known.map_or(0, |known| known.flaps);
                let same = known.is_some_and(|known| {
                    known.message == message
                        && known.severity == severity
                        && known.fields == fields
                        && known.chain == chain
                        && known.tags == *tags
                });
                let finding = || {
                    let (key, object, tags) = (key.clone(), object.clone(), tags.clone());
                    Arc::new(Finding { key, severity, object, message, fields, chain, tags, since, flaps })
                };
                if self.open.contains_key(key) {
                    (!same).then(|| {
                        self.remove(key);
                        Transition::Changed(self.insert(finding()))
                    })
                } else if self.patience_of(&key.rule).is_none_or(|patience| patience.opens(since) > now) {
                    if !same {
                        self.pending.insert(finding());
                        self.waiting_changed = true;
                    }
                    None
                } else {
                    self.take_pending(key);
                    Some(self.begin(finding(), now))
                }
            }
        };
        self.schedule(key);
        transition
    }

    /// Works off up to `limit` of what is due by now: what was wrong for long enough opens, what was right for long
    /// enough ends.
    pub fn expire(&mut self, limit: usize, now: Timestamp) -> Vec<Transition> {
        let mut out = Vec::new();
        for _ in 0..limit {
            let Some(key) = self.timers.pop(now) else {
                break;
            };
            if self.due(&key).is_some_and(|due| due <= now) {
                match self.take_pending(&key) {
                    Some(finding) => out.push(self.begin(finding, now)),
                    None => out.extend(self.resolve(&key, Resolution::Compliant)),
                }
            } else {
                self.openings.remove(&key);
            }
            self.schedule(&key);
        }
        out
    }

    /// When time alone changes something next.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    /// What is wrong and is no finding yet, oldest first, in the form of findings.
    pub fn pending(&self) -> impl Iterator<Item = &Arc<Finding>> {
        self.pending.iter()
    }

    /// The open findings whose object complies, each with since when: they stay open for a while.
    pub fn complying(&self) -> impl Iterator<Item = (&FindingKey, Timestamp)> {
        self.complies.iter().map(|(key, since)| (key, *since))
    }

    /// How many are pending.
    pub fn count_of_pending(&self) -> usize {
        self.pending.len()
    }

    /// How many of one rule.
    pub fn pending_of_rule(&self, rule: &str) -> usize {
        self.pending.count_of_rule(rule)
    }

    /// The finding, or what is pending and will be one.
    pub fn standing(&self, key: &FindingKey) -> Option<&Arc<Finding>> {
        self.open.get(key).or_else(|| self.pending.get(key))
    }

    /// Forgets what is known of one rule and object: it is gone, or no longer judged.
    pub fn forget(&mut self, key: &FindingKey, why: Resolution) -> Option<Transition> {
        self.clear_error(key);
        self.take_pending(key);
        let transition = self.resolve(key, why);
        if !self.openings.is_empty() {
            self.openings.remove(key);
        }
        self.timers.set(key, None);
        transition
    }

    /// The object is there, and there is nothing new to say of it.
    pub fn confirm(&mut self, key: &FindingKey) {
        self.unconfirm(key, true);
    }

    /// The object is there, and it is not known at present what to say of it: what waits does not go on until it is.
    pub fn suspend(&mut self, key: &FindingKey) {
        let waits = self.pending.get(key).is_some() || self.complies.contains_key(key);
        if waits && self.unconfirmed.insert(key.clone()) {
            self.schedule(key);
        }
    }

    fn unconfirm(&mut self, key: &FindingKey, schedule: bool) {
        // Most of the time there is nothing, and looking is not for free.
        if !self.unconfirmed.is_empty() && self.unconfirmed.remove(key) && schedule {
            self.schedule(key);
        }
    }

    /// These objects may have been lost from sight: their open findings wait for [`Ledger::settle`].
    pub fn doubt(&mut self, lost: impl Fn(&FindingKey) -> bool) {
        let errors: Vec<FindingKey> = self.errors.keys().filter(|key| lost(key)).cloned().collect();
        errors.iter().for_each(|key| self.clear_error(key));
        let doubted: Vec<FindingKey> =
            self.open.keys().chain(self.pending.keys()).filter(|key| lost(key)).cloned().collect();
        self.unconfirmed.extend(doubted.iter().cloned());
        doubted.iter().chain(&errors).for_each(|key| self.schedule(key));
    }

    /// Whether nothing is known of any object: none is open, pending, in doubt or could not be judged, and none was
    /// open lately as far as that matters.
    pub fn is_blank(&self) -> bool {
        self.open.is_empty() && self.errors.is_empty() && self.pending.is_empty() && self.openings.is_empty()
    }

    /// Keeps no longer what the open findings of a rule are compared with: it is made again from what they list.
    pub fn forget_drifted(&mut self, rule: &str) {
        self.drifted.retain(|key, _| *key.rule != *rule);
    }

    /// Keeps what the finding of a drift rule is compared with, for as long as it is open or pending.
    pub fn keep_drifted(&mut self, key: &FindingKey, drifted: Option<Drifted>) {
        if drifted.is_none() && self.drifted.is_empty() {
            return;
        }
        match drifted.filter(|_| self.standing(key).is_some()) {
            Some(drifted) => self.drifted.insert(key.clone(), drifted),
            None => self.drifted.remove(key),
        };
    }

    /// What the finding of a drift rule is compared with.
    pub fn drifted(&self, key: &FindingKey) -> Option<&Drifted> {
        self.drifted.get(key)
    }

    /// Keeps only what `keep` says, for a policy that changed.
    pub fn retain(&mut self, keep: impl Fn(&FindingKey) -> bool, why: Resolution) -> Vec<Transition> {
        let known = self.open.keys().chain(self.errors.keys());
        let known = known.chain(self.pending.keys()).chain(self.openings.keys());
        let stale: BTreeSet<FindingKey> = known.filter(|key| !keep(key)).cloned().collect();
        stale.iter().filter_map(|key| self.forget(key, why)).collect()
    }

    /// A selection is complete: what an earlier process had open and nothing confirmed is resolved.
    pub fn settle(&mut self, selection: &str) -> Vec<Transition> {
        let mut gone: Vec<FindingKey> =
            self.unconfirmed.iter().filter(|key| &*key.selection == selection).cloned().collect();
        gone.sort();
        gone.iter().filter_map(|key| self.forget(key, Resolution::NotSeen)).collect()
    }

    /// Open findings, worst and oldest first.
    pub fn open(&self) -> impl Iterator<Item = &Arc<Finding>> {
        self.order.iter().filter_map(|(_, _, key)| self.open.get(key))
    }

    /// Whether a finding is open.
    pub fn get(&self, key: &FindingKey) -> Option<&Arc<Finding>> {
        self.open.get(key)
    }

    /// How many findings are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether no finding is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Open findings of one severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.by_severity.get(&severity).copied().unwrap_or_default()
    }

    /// Open findings of one rule.
    pub fn count_of_rule(&self, rule: &str) -> usize {
        self.by_rule.get(rule).copied().unwrap_or_default()
    }

    /// Pairs of rule and object that could not be judged.
    pub fn errors(&self) -> usize {
        self.errors.len()
    }

    /// Objects on which one rule could not be judged, and the last such error, with the object. When that one is
    /// mended, any other that is left.
    pub fn errors_of_rule(&self, rule: &str) -> (usize, Option<&Arc<str>>) {
        let count = self.errors_by_rule.get(rule).copied().unwrap_or_default();
        if count == 0 {
            return (0, None);
        }
        let last = self.last_error.get(rule).and_then(|key| self.errors.get(key));
        let any = || self.errors.iter().find(|(key, _)| &*key.rule == rule);
        (count, last.or_else(|| any().map(|(_, text)| text)))
    }

    #[cfg(test)]
    pub(super) fn all_errors(&self) -> BTreeMap<FindingKey, String> {
        self.errors.iter().map(|(key, text)| (key.clone(), text.to_string())).collect()
    }

    /// Whether errors came, went or changed since the last call: no transition tells of them.
    pub fn take_errors_changed(&mut self) -> bool {
        std::mem::take(&mut self.errors_changed)
    }

    /// Whether what is pending, or what complies and stays open, changed since the last call: no transition tells of it.
    pub fn take_waiting_changed(&mut self) -> bool {
        std::mem::take(&mut self.waiting_changed)
    }

    fn take_pending(&mut self, key: &FindingKey) -> Option<Arc<Finding>> {
        let pending = self.pending.remove(key);
        self.waiting_changed |= pending.is_some();
        pending
    }

    /// The object complies: the finding ends, at once or when it did so for long enough.
    fn comply(&mut self, key: &FindingKey, now: Timestamp) -> Option<Transition> {
        let finding = if self.open.is_empty() { None } else { self.open.get(key) };
        let flaps = finding?.flaps;
        let since = self.complies.get(key).copied().unwrap_or(now);
        if self.patience_of(&key.rule).is_none_or(|patience| patience.ends(since, flaps) > now) {
            self.waiting_changed |= self.complies.insert(key.clone(), since).is_none();
            return None;
        }
        self.resolve(key, Resolution::Compliant)
    }

    /// Opens a finding.
    fn begin(&mut self, finding: Arc<Finding>, now: Timestamp) -> Transition {
        let flapping = self.patience_of(&finding.key.rule).and_then(|patience| patience.flapping);
        let finding = match flapping {
            None => finding,
            Some(flapping) => {
                let flaps = self.openings.entry(finding.key.clone()).or_default().add(flapping, now);
                Arc::new(Finding { flaps, ..Arc::unwrap_or_clone(finding) })
            }
        };
        Transition::Opened(self.insert(finding))
    }

    /// What a rule waits for; none while it is not in force.
    fn patience_of(&self, rule: &str) -> Option<Patience> {
        if self.patience.is_empty() {
            return Some(Patience::default());
        }
        self.patience.get(rule).copied().unwrap_or(Some(Patience::default()))
    }

    /// When what is pending opens, or an open finding whose object complies ends: never while the last verdict is an
    /// error, or in doubt.
    fn due(&self, key: &FindingKey) -> Option<Timestamp> {
        if self.errors.contains_key(key) || self.unconfirmed.contains(key) {
            return None;
        }
        let patience = self.patience_of(&key.rule)?;
        if let Some(pending) = self.pending.get(key) {
            return Some(patience.opens(pending.since));
        }
        let complies = self.complies.get(key)?;
        self.open.get(key).map(|finding| patience.ends(*complies, finding.flaps))
    }

    /// Sets the timer of a key to what is known of it.
    fn schedule(&mut self, key: &FindingKey) {
        if self.patience.is_empty() && self.timers.is_empty() {
            return;
        }
        // Of what is open the openings are known for as long as it is.
        let openings = self.openings.get(key).filter(|_| !self.open.contains_key(key));
        let flapping = self.patience_of(&key.rule).and_then(|patience| patience.flapping);
        let forgotten = openings.zip(flapping).and_then(|(openings, flapping)| openings.expire(flapping));
        let next = self.due(key).into_iter().chain(forgotten).min();
        self.timers.set(key, next);
    }

    fn insert(&mut self, finding: Arc<Finding>) -> Arc<Finding> {
        *self.by_severity.entry(finding.severity).or_default() += 1;
        *self.by_rule.entry(finding.key.rule.clone()).or_default() += 1;
        self.order.insert(rank(&finding));
        self.open.insert(finding.key.clone(), finding.clone());
        finding
    }

    fn remove(&mut self, key: &FindingKey) -> Option<Arc<Finding>> {
        let finding = self.open.remove(key)?;
        self.order.remove(&rank(&finding));
        decrement(&mut self.by_severity, &finding.severity);
        if let Some(count) = self.by_rule.get_mut(&finding.key.rule) {
            *count = count.saturating_sub(1);
        }
        Some(finding)
    }

    fn resolve(&mut self, key: &FindingKey, why: Resolution) -> Option<Transition> {
        self.unconfirm(key, false);
        if !self.drifted.is_empty() {
            self.drifted.remove(key);
        }
        if !self.complies.is_empty() {
            self.complies.remove(key);
        }
        if self.open.is_empty() {
            return None;
        }
        self.remove(key).map(|finding| Transition::Resolved(finding, why))
    }

    fn clear_error(&mut self, key: &FindingKey) {
        if self.errors.is_empty() || self.errors.remove(key).is_none() {
            return;
        }
        self.errors_changed = true;
        if let Some(count) = self.errors_by_rule.get_mut(&key.rule) {
            *count = count.saturating_sub(1);
        }
    }
}

fn decrement<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests;
