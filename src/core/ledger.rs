//! The open findings of one policy, their order and their totals.
//!
//! A verdict goes in, a transition comes out when something changed. Totals are kept, not counted.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use jiff::Timestamp;

use super::finding::{Finding, FindingKey, ObjectId, Resolution, Severity, Transition};
use super::rules::{Drifted, Verdict, Violation};

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
}

impl Ledger {
    /// Takes over what an earlier process had open. Announces nothing; what no event confirms by the time its
    /// selection is complete is resolved by [`Ledger::settle`].
    pub fn restore(&mut self, finding: Finding) {
        if !self.open.contains_key(&finding.key) {
            self.unconfirmed.insert(finding.key.clone());
            self.insert(Arc::new(finding));
        }
    }

    /// Enters what a rule says about an object.
    pub fn enter(
        &mut self,
        key: &FindingKey,
        severity: Severity,
        object: &ObjectId,
        verdict: Verdict,
        now: Timestamp,
    ) -> Option<Transition> {
        self.confirm(key);
        match verdict {
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
                self.resolve(key, Resolution::Compliant)
            }
            Verdict::Violation(Violation { message, fields, chain }) => {
                self.clear_error(key);
                match self.open.get(key) {
                    Some(known)
                        if known.message == message
                            && known.severity == severity
                            && known.fields == fields
                            && known.chain == chain =>
                    {
                        None
                    }
                    Some(known) => {
                        let since = known.since;
                        self.remove(key);
                        let finding = self.insert(Arc::new(Finding {
                            key: key.clone(),
                            severity,
                            object: object.clone(),
                            message,
                            fields,
                            chain,
                            since,
                        }));
                        Some(Transition::Changed(finding))
                    }
                    None => {
                        let (key, object) = (key.clone(), object.clone());
                        let finding = Finding { key, severity, object, message, fields, chain, since: now };
                        Some(Transition::Opened(self.insert(Arc::new(finding))))
                    }
                }
            }
        }
    }

    /// Forgets what is known of one rule and object: it is gone, or no longer judged.
    pub fn forget(&mut self, key: &FindingKey, why: Resolution) -> Option<Transition> {
        self.clear_error(key);
        self.resolve(key, why)
    }

    /// The object is there, and there is nothing new to say of it.
    pub fn confirm(&mut self, key: &FindingKey) {
        // Most of the time there is nothing, and looking is not for free.
        if !self.unconfirmed.is_empty() {
            self.unconfirmed.remove(key);
        }
    }

    /// These objects may have been lost from sight: their open findings wait for [`Ledger::settle`].
    pub fn doubt(&mut self, lost: impl Fn(&FindingKey) -> bool) {
        let errors: Vec<FindingKey> = self.errors.keys().filter(|key| lost(key)).cloned().collect();
        errors.iter().for_each(|key| self.clear_error(key));
        self.unconfirmed.extend(self.open.keys().filter(|key| lost(key)).cloned());
    }

    /// Whether nothing is known of any object: none is open, in doubt or could not be judged.
    pub fn is_blank(&self) -> bool {
        self.open.is_empty() && self.errors.is_empty()
    }

    /// Keeps no longer what the open findings of a rule are compared with: it is made again from what they list.
    pub fn forget_drifted(&mut self, rule: &str) {
        self.drifted.retain(|key, _| *key.rule != *rule);
    }

    /// Keeps what the finding of a drift rule is compared with, for as long as it is open.
    pub fn keep_drifted(&mut self, key: &FindingKey, drifted: Option<Drifted>) {
        if drifted.is_none() && self.drifted.is_empty() {
            return;
        }
        match drifted.filter(|_| self.open.contains_key(key)) {
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
        let stale: Vec<FindingKey> =
            self.open.keys().chain(self.errors.keys()).filter(|key| !keep(key)).cloned().collect();
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

    /// Whether errors came, went or changed since the last call: no transition tells of them.
    pub fn take_errors_changed(&mut self) -> bool {
        std::mem::take(&mut self.errors_changed)
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
        if self.open.is_empty() {
            return None;
        }
        self.confirm(key);
        if !self.drifted.is_empty() {
            self.drifted.remove(key);
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
mod tests {
    use super::*;
    use crate::core::chain::Chain;
    use crate::core::fields::Fields;
    use proptest::prelude::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn key(rule: &str, uid: &str) -> FindingKey {
        FindingKey { rule: rule.into(), selection: "all".into(), uid: uid.into() }
    }

    fn object(uid: &str) -> ObjectId {
        ObjectId {
            api_version: "v1".into(),
            kind: "Pod".into(),
            namespace: Some("n".into()),
            name: uid.into(),
            uid: uid.into(),
        }
    }

    fn enter(
        ledger: &mut Ledger,
        rule: &str,
        uid: &str,
        severity: Severity,
        verdict: Verdict,
        t: i64,
    ) -> Option<Transition> {
        ledger.enter(&key(rule, uid), severity, &object(uid), verdict, at(t))
    }

    fn violation(text: &str) -> Verdict {
        Verdict::Violation(Violation {
            message: text.into(),
            fields: Fields::default(),
            chain: Chain::default(),
        })
    }

    #[test]
    fn a_finding_opens_once_changes_and_resolves_once() {
        let mut ledger = Ledger::default();
        let high = Severity::High;
        assert!(matches!(enter(&mut ledger, "r", "a", high, violation("x"), 1), Some(Transition::Opened(_))));
        assert_eq!(enter(&mut ledger, "r", "a", high, violation("x"), 2), None);
        let Some(Transition::Changed(changed)) = enter(&mut ledger, "r", "a", high, violation("y"), 3) else {
            panic!("a new message is a change");
        };
        assert_eq!(changed.since, at(1), "a change keeps its age");
        assert!(matches!(
            enter(&mut ledger, "r", "a", high, Verdict::Compliant, 4),
            Some(Transition::Resolved(_, Resolution::Compliant))
        ));
        assert_eq!(enter(&mut ledger, "r", "a", high, Verdict::Compliant, 5), None);
        assert!(ledger.is_empty());
    }

    #[test]
    fn an_error_neither_opens_nor_resolves_and_is_counted_until_it_is_mended() {
        let mut ledger = Ledger::default();
        let error = || Verdict::Error("no such key".into());
        assert_eq!(enter(&mut ledger, "r", "a", Severity::Low, error(), 1), None);
        assert_eq!((ledger.len(), ledger.errors()), (0, 1));
        assert!(ledger.take_errors_changed() && !ledger.take_errors_changed());
        enter(&mut ledger, "r", "a", Severity::Low, error(), 1);
        assert!(!ledger.take_errors_changed(), "the same error again is no news");
        enter(&mut ledger, "r", "b", Severity::Low, violation("x"), 2);
        assert_eq!(enter(&mut ledger, "r", "b", Severity::Low, error(), 3), None);
        assert_eq!((ledger.len(), ledger.errors_of_rule("r").0), (1, 2));
        let text = |ledger: &Ledger| ledger.errors_of_rule("r").1.map(ToString::to_string);
        assert_eq!(text(&ledger).as_deref(), Some("Pod n/b: no such key"));
        enter(&mut ledger, "r", "b", Severity::Low, violation("x"), 4);
        assert_eq!(
            text(&ledger).as_deref(),
            Some("Pod n/a: no such key"),
            "an error that is mended is not shown while another is left"
        );
        enter(&mut ledger, "r", "a", Severity::Low, Verdict::Compliant, 5);
        assert_eq!((ledger.errors(), ledger.errors_of_rule("r")), (0, (0, None)));
        assert!(ledger.take_errors_changed());
    }

    #[test]
    fn the_list_is_worst_and_oldest_first() {
        let mut ledger = Ledger::default();
        enter(&mut ledger, "r", "new-low", Severity::Low, violation("x"), 9);
        enter(&mut ledger, "r", "old-low", Severity::Low, violation("x"), 1);
        enter(&mut ledger, "r", "new-critical", Severity::Critical, violation("x"), 8);
        enter(&mut ledger, "r", "old-critical", Severity::Critical, violation("x"), 2);
        let order: Vec<_> = ledger.open().map(|f| f.object.name.to_string()).collect();
        assert_eq!(order, ["old-critical", "new-critical", "old-low", "new-low"]);
    }

    #[test]
    fn what_was_restored_is_confirmed_silently_or_resolved_when_its_selection_is_complete() {
        let finding = |uid: &str| Finding {
            key: key("r", uid),
            severity: Severity::High,
            object: object(uid),
            message: "x".into(),
            fields: Fields::default(),
            chain: Chain::default(),
            since: at(1),
        };
        let mut ledger = Ledger::default();
        ledger.restore(finding("stays"));
        ledger.restore(finding("went-away"));
        assert_eq!(enter(&mut ledger, "r", "stays", Severity::High, violation("x"), 50), None);
        assert!(ledger.settle("another-selection").is_empty());
        let settled = ledger.settle("all");
        assert_eq!(settled.len(), 1);
        assert_eq!(&*settled[0].finding().object.name, "went-away");
        assert_eq!(ledger.get(&key("r", "stays")).map(|f| f.since), Some(at(1)));
        assert!(ledger.settle("all").is_empty());
    }

    proptest! {
        /// Totals equal what counting the list gives, whatever came in.
        #[test]
        fn totals_are_exact(steps in prop::collection::vec((0..3u8, 0..4u8, 0..3u8, 0..4u8), 0..80)) {
            let mut ledger = Ledger::default();
            for (t, (rule, uid, severity, what)) in steps.into_iter().enumerate() {
                let (rule, uid) = (format!("r{rule}"), format!("u{uid}"));
                let severity = [Severity::Low, Severity::High, Severity::Critical][severity as usize];
                let verdict = match what {
                    0 => Verdict::Compliant,
                    1 => Verdict::Error("e".into()),
                    n => violation(&n.to_string()),
                };
                enter(&mut ledger, &rule, &uid, severity, verdict, t as i64);
                let listed: Vec<_> = ledger.open().cloned().collect();
                prop_assert_eq!(listed.len(), ledger.len());
                for severity in Severity::ALL {
                    prop_assert_eq!(listed.iter().filter(|f| f.severity == severity).count(), ledger.count(severity));
                }
                for rule in ["r0", "r1", "r2"] {
                    prop_assert_eq!(listed.iter().filter(|f| &*f.key.rule == rule).count(), ledger.count_of_rule(rule));
                }
                let ranks: Vec<_> = listed.iter().map(|f| rank(f)).collect();
                prop_assert!(ranks.is_sorted());
            }
        }
    }
}
