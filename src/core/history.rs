//! What occurred in one policy: the last occurrences and exact totals.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;

use super::fields::FieldChange;
use super::finding::Occurrence;
use super::rules::Operation;

/// Occurrences that are kept, the latest.
pub const MAX_KEPT: usize = 100;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// The latest first; at most [`MAX_KEPT`].
    latest: VecDeque<Arc<Occurrence>>,
    total: u64,
    by_rule: BTreeMap<Arc<str>, u64>,
}

impl History {
    /// What an earlier process left: occurrences, the latest first, and totals, which count them as well.
    pub fn restored(
        latest: impl IntoIterator<Item = Arc<Occurrence>>,
        total: u64,
        by_rule: BTreeMap<Arc<str>, u64>,
    ) -> Self {
        Self { latest: latest.into_iter().take(MAX_KEPT).collect(), total, by_rule }
    }

    /// Adds the latest.
    pub fn add(&mut self, occurrence: Arc<Occurrence>) {
        self.total = self.total.saturating_add(1);
        let of_rule = self.by_rule.entry(occurrence.finding.key.rule.clone()).or_default();
        *of_rule = of_rule.saturating_add(1);
        self.latest.truncate(MAX_KEPT - 1);
        self.latest.push_front(occurrence);
    }

    /// How much each rule did not allow.
    pub fn by_rule(&self) -> impl Iterator<Item = (&Arc<str>, u64)> {
        self.by_rule.iter().map(|(rule, count)| (rule, *count))
    }

    /// Whether it has this already, which was found by what an earlier process knew at a time. That is so when it has the
    /// same state of the object; when the object came or went since then; and when each field that differs was told to be
    /// what it is since then, in one change or several.
    pub fn tells(&self, occurrence: &Occurrence, since: Timestamp) -> bool {
        let Occurrence { finding, operation, resource_version } = occurrence;
        let same =
            |known: &&Arc<Occurrence>| known.finding.key == finding.key && known.operation == *operation;
        let known = self.latest.iter().filter(same);
        if !resource_version.is_empty()
            && known.clone().any(|known| known.resource_version == *resource_version)
        {
            return true;
        }
        let later: Vec<&Arc<Occurrence>> = known.filter(|known| known.finding.since >= since).collect();
        if later.is_empty() || *operation != Operation::Update {
            return !later.is_empty();
        }
        let told = |field: &FieldChange| {
            let mut latest = later.iter().flat_map(|known| known.finding.fields.listed.iter());
            latest.find(|known| known.path == field.path).is_some_and(|known| known.to == field.to)
        };
        finding.fields.listed.iter().all(told)
    }

    /// Forgets rules that no longer exist. What they did stays in the list and in the total.
    pub fn retain(&mut self, exists: impl Fn(&str) -> bool) {
        self.by_rule.retain(|rule, _| exists(rule));
    }

    /// The latest first.
    pub fn latest(&self) -> impl Iterator<Item = &Arc<Occurrence>> {
        self.latest.iter()
    }

    /// All that ever occurred, also what is no longer kept.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The same of one rule.
    pub fn of_rule(&self, rule: &str) -> u64 {
        self.by_rule.get(rule).copied().unwrap_or_default()
    }
}
