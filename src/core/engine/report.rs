//! What the engine tells of a policy.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::plan::Plan;
use super::watches::Watched;
use super::{Engine, Tracked};
use crate::core::alert::Truth;
use crate::core::event::WatchId;
use crate::core::finding::{Finding, FindingKey, Occurrence, PolicyKey, Severity};
use crate::core::history::History;
use crate::core::policy::Selection;

/// State and totals of one policy.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyReport {
    /// UID of the policy that was judged.
    pub uid: Arc<str>,
    /// Generation of its spec that was judged.
    pub generation: i64,
    /// One entry for each selection, in the order of the spec.
    pub selections: Vec<SelectionReport>,
    /// One entry for each rule that compiled.
    pub rules: Vec<RuleReport>,
    /// Open findings, worst and oldest first, at most as many as asked for.
    pub worst: Vec<Arc<Finding>>,
    /// Open findings by severity, in the order of [`Severity::ALL`].
    pub by_severity: [usize; 5],
    /// Objects that do not satisfy a rule that waits before that is a finding.
    pub pending: usize,
    /// The oldest of them, at most as many as asked for, in the form of findings.
    pub oldest_pending: Vec<Arc<Finding>>,
    /// Pairs of rule and object that could not be judged.
    pub rule_errors: usize,
    /// What occurred, the latest first, at most as many as asked for.
    pub latest: Vec<Arc<Occurrence>>,
    /// All that occurred.
    pub occurred: u64,
}

impl PolicyReport {
    /// All open findings.
    pub fn open(&self) -> usize {
        self.by_severity.iter().sum()
    }
}

/// What of a policy outlives the process.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// UID of the policy.
    pub uid: Arc<str>,
    /// Open findings, worst and oldest first.
    pub open: Vec<Arc<Finding>>,
    /// What is wrong and is no finding yet, oldest first.
    pub pending: Vec<Arc<Finding>>,
    /// Since when the objects of open findings comply, where the findings stay open nevertheless.
    pub complying: Vec<(FindingKey, Timestamp)>,
    /// What occurred.
    pub history: History,
}

/// What is kept of the objects of a watch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeptReport {
    /// How many there are.
    pub objects: usize,
    /// Bytes that they take, without what the allocator adds.
    pub bytes: usize,
    /// Distinct sets of fields that decide rules.
    pub views: usize,
}

/// What one selection covers.
#[derive(Debug, Clone, PartialEq)]
pub struct SelectionReport {
    /// Its name.
    pub name: Arc<str>,
    /// Objects that it selects.
    pub objects: usize,
    /// Whether all its objects are known and judged, and the groups that they come to.
    pub settled: bool,
}

/// What one rule found.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleReport {
    /// Its name.
    pub name: Arc<str>,
    /// Open findings.
    pub open: usize,
    /// Objects that do not satisfy it, and not for so long that it is a finding.
    pub pending: usize,
    /// Changes that it does not allow and that happened.
    pub occurred: u64,
    /// Objects that it could not be judged on.
    pub errors: usize,
    /// The last such error, while there is one.
    pub last_error: Option<Arc<str>>,
}

impl Engine {
    /// State and totals of a policy, with its `limit` worst findings and latest occurrences.
    pub fn report(&self, key: &PolicyKey, limit: usize) -> Option<PolicyReport> {
        let tracked = self.policies.get(key)?;
        let selections = tracked.policy.selections.iter().map(|selection| SelectionReport {
            name: selection.name.clone(),
            objects: self.objects_of(key, tracked, selection),
            settled: tracked.settled.contains(&selection.name) && !tracked.groups.are_fresh(),
        });
        let rules = tracked.policy.rules.iter().map(|rule| {
            let (errors, last_error) = tracked.ledger.errors_of_rule(&rule.name);
            RuleReport {
                name: rule.name.clone(),
                open: tracked.ledger.count_of_rule(&rule.name),
                pending: tracked.ledger.pending_of_rule(&rule.name),
                occurred: tracked.history.of_rule(&rule.name),
                errors,
                last_error: last_error.cloned(),
            }
        });
        Some(PolicyReport {
            uid: tracked.policy.uid.clone(),
            generation: tracked.policy.generation,
            selections: selections.collect(),
            rules: rules.collect(),
            worst: tracked.ledger.open().take(limit).cloned().collect(),
            by_severity: Severity::ALL.map(|severity| tracked.ledger.count(severity)),
            pending: tracked.ledger.count_of_pending(),
            oldest_pending: tracked.ledger.pending().take(limit).cloned().collect(),
            rule_errors: tracked.ledger.errors(),
            latest: tracked.history.latest().take(limit).cloned().collect(),
            occurred: tracked.history.total(),
        })
    }

    /// What is true of a policy, for those who tell of it.
    pub fn truth(&self, key: &PolicyKey) -> Option<Truth> {
        let tracked = self.policies.get(key)?;
        Some(Truth {
            policy: Some(tracked.policy.clone()),
            open: tracked.ledger.open().cloned().collect(),
            settled: self.settled(key),
            history: tracked.history.clone(),
        })
    }

    /// All open findings of a policy, worst and oldest first.
    pub fn open(&self, key: &PolicyKey) -> Vec<Arc<Finding>> {
        self.policies.get(key).map(|tracked| tracked.ledger.open().cloned().collect()).unwrap_or_default()
    }

    /// What is pending of a policy, oldest first.
    pub fn pending(&self, key: &PolicyKey) -> Vec<Arc<Finding>> {
        let tracked = self.policies.get(key);
        tracked.map(|tracked| tracked.ledger.pending().cloned().collect()).unwrap_or_default()
    }

    /// What of a policy outlives the process: at most `limit` open findings, the worst, and as many of what is pending,
    /// the oldest.
    pub fn standing(&self, key: &PolicyKey, limit: usize) -> Option<Standing> {
        let tracked = self.policies.get(key)?;
        let ledger = &tracked.ledger;
        Some(Standing {
            uid: tracked.policy.uid.clone(),
            open: ledger.open().take(limit).cloned().collect(),
            pending: ledger.pending().take(limit).cloned().collect(),
            complying: ledger.complying().map(|(key, since)| (key.clone(), since)).collect(),
            history: tracked.history.clone(),
        })
    }

    /// What occurred in a policy, the latest first.
    pub fn history(&self, key: &PolicyKey) -> History {
        self.policies.get(key).map(|tracked| tracked.history.clone()).unwrap_or_default()
    }

    /// The selections of a policy that are settled, so that what is not open is not wrong. That of no name stands for
    /// groups: it is settled while all of them are judged.
    pub fn settled(&self, key: &PolicyKey) -> HashSet<Arc<str>> {
        let settled = |tracked: &Tracked| {
            let groups = (!tracked.groups.are_fresh()).then(|| "".into());
            tracked.settled.iter().cloned().chain(groups).collect()
        };
        self.policies.get(key).map(settled).unwrap_or_default()
    }

    /// What is kept for a watch; nothing of one that is not known.
    pub fn kept(&self, id: WatchId) -> KeptReport {
        let watch = self.watches.by_id.get(&id);
        let kept = |watch: &Watched| KeptReport {
            objects: watch.objects.len(),
            bytes: watch.objects.bytes(),
            views: watch.views.len(),
        };
        watch.map(kept).unwrap_or_default()
    }

    /// Objects kept for a watch.
    pub fn objects(&self, id: WatchId) -> usize {
        self.watches.by_id.get(&id).map_or(0, |watch| watch.objects.len())
    }

    fn objects_of(&self, key: &PolicyKey, tracked: &Tracked, selection: &Selection) -> usize {
        let feeds = tracked.feeds.get(&selection.name).into_iter().flatten();
        let of = |watch: &Watched| {
            let reads = |plan: &Plan| plan.reader.policy == *key && plan.reader.selection == selection.name;
            let plan = watch.plans.iter().position(reads)?;
            Some(self.watches.count(watch, selection, plan))
        };
        feeds.filter_map(|id| self.watches.by_id.get(id)).filter_map(of).sum()
    }
}
