//! What is wrong and is not a finding yet, because its rule waits.

use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashMap;
use jiff::Timestamp;

use crate::core::finding::{Finding, FindingKey};

/// In the form of findings, whose `since` is when it began to be wrong. Totals are kept, not counted.
#[derive(Debug, Default)]
pub(super) struct Pending {
    by_key: HashMap<FindingKey, Arc<Finding>>,
    order: BTreeSet<(Timestamp, FindingKey)>,
    by_rule: HashMap<Arc<str>, usize>,
}

impl Pending {
    pub(super) fn insert(&mut self, finding: Arc<Finding>) {
        self.remove(&finding.key);
        *self.by_rule.entry(finding.key.rule.clone()).or_default() += 1;
        self.order.insert((finding.since, finding.key.clone()));
        self.by_key.insert(finding.key.clone(), finding);
    }

    pub(super) fn remove(&mut self, key: &FindingKey) -> Option<Arc<Finding>> {
        if self.by_key.is_empty() {
            return None;
        }
        let finding = self.by_key.remove(key)?;
        self.order.remove(&(finding.since, key.clone()));
        if let Some(count) = self.by_rule.get_mut(&key.rule) {
            *count = count.saturating_sub(1);
        }
        Some(finding)
    }

    pub(super) fn get(&self, key: &FindingKey) -> Option<&Arc<Finding>> {
        // Most of the time there is nothing, and looking is not for free.
        if self.by_key.is_empty() { None } else { self.by_key.get(key) }
    }

    /// Oldest first, then by key.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Finding>> {
        self.order.iter().filter_map(|(_, key)| self.by_key.get(key))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &FindingKey> {
        self.by_key.keys()
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    pub(super) fn count_of_rule(&self, rule: &str) -> usize {
        self.by_rule.get(rule).copied().unwrap_or_default()
    }
}
