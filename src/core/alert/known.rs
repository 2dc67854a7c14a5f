//! Of which findings it is known whether they are open.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::told::Told;
use crate::core::finding::Finding;
use crate::core::policy::{CompiledPolicy, Selection};
use crate::core::rules::CompiledRule;
use crate::core::settled::is_known;

/// What can be said of the findings of a policy.
pub(super) struct Known<'a> {
    pub(super) policy: Option<&'a CompiledPolicy>,
    pub(super) settled: &'a HashSet<Arc<str>>,
}

impl Known<'_> {
    /// Whether not to be open means to be resolved, or that there is nobody to say otherwise.
    pub(super) fn selection(&self, name: &str) -> bool {
        is_known(self.policy, self.settled, name)
    }

    /// The same of what a rule finds in a selection; that of no name stands for groups of objects.
    pub(super) fn rule(&self, selection: &str, rule: &str) -> bool {
        if !selection.is_empty() {
            return self.selection(selection);
        }
        let Some((policy, rule)) = self.policy.and_then(|policy| Some((policy, find(policy, rule)?))) else {
            return true;
        };
        // A group is known when all objects are that it may be of, and it was judged since.
        self.settled.contains("") && concerned(policy, rule).all(|selection| self.selection(&selection.name))
    }

    /// The same of a finding.
    pub(super) fn finding(&self, finding: &Finding) -> bool {
        self.rule(&finding.key.selection, &finding.key.rule)
    }

    /// Since when such findings are news; none while they are not known.
    pub(super) fn news_since(&self, finding: &Finding, told: &Told) -> Option<Timestamp> {
        let of = |name: &str| told.selections.get(name).copied();
        if finding.key.group().is_none() {
            return of(&finding.key.selection);
        }
        let policy = self.policy?;
        concerned(policy, find(policy, &finding.key.rule)?).filter_map(|selection| of(&selection.name)).max()
    }

    /// Whether all is known that was known once.
    pub(super) fn everything(&self) -> bool {
        let of = |policy: &CompiledPolicy| {
            let mut judged = policy.selections.iter().filter(|selection| selection.is_judged());
            judged.all(|selection| self.selection(&selection.name)) && self.settled.contains("")
        };
        self.policy.is_none_or(of)
    }

    /// Why findings of a rule end that nobody mended.
    pub(super) fn gone(&self, rule: &str) -> Option<String> {
        match self.policy {
            None => Some("the policy is gone".to_owned()),
            Some(policy) if find(policy, rule).is_none() => Some("the rule is gone".to_owned()),
            Some(_) => None,
        }
    }
}

fn find<'p>(policy: &'p CompiledPolicy, rule: &str) -> Option<&'p CompiledRule> {
    policy.rules.iter().find(|known| *known.name == *rule)
}

fn concerned<'p>(policy: &'p CompiledPolicy, rule: &'p CompiledRule) -> impl Iterator<Item = &'p Selection> {
    policy.selections.iter().enumerate().filter(|(n, _)| rule.concerns(*n)).map(|(_, selection)| selection)
}
