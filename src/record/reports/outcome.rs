//! What became of the reports of each policy, for its condition `Reports`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::MAX_LISTED;
use super::format::policy_label;
use crate::core::finding::PolicyKey;
use crate::nudge::Nudges;

/// What became of the reports of one policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All findings are in reports.
    Written,
    /// So many are open, which is more than reports list.
    Truncated(usize),
    /// The API server does not serve this kind.
    NotInstalled(&'static str),
    /// It does not allow the operator to read or write them.
    Forbidden(String),
    /// Reports are out of date.
    Failed(String),
}

impl Outcome {
    /// Status, reason and message of the condition.
    pub fn condition(&self, policy: &PolicyKey) -> (&'static str, &'static str, String) {
        let shown = || {
            let label = policy_label(policy);
            format!(
                "kubectl get reports.openreports.io,clusterreports.openreports.io -A -l polywatch.dev/policy={label}"
            )
        };
        match self {
            Self::Written => ("True", "Written", format!("all open findings are in reports: {}", shown())),
            Self::Truncated(open) => {
                let message =
                    format!("the {MAX_LISTED} worst of {open} open findings are in reports: {}", shown());
                ("True", "Truncated", message)
            }
            Self::NotInstalled(kind) => {
                let message = format!(
                    "the API server does not serve {kind} of openreports.io/v1alpha1, so only status.findings lists \
                     findings; kubectl apply -k config/openreports installs it, and reports follow by themselves"
                );
                ("False", "NotInstalled", message)
            }
            Self::Forbidden(why) => {
                let message = format!(
                    "{why}; config/rbac/controller_role.yaml grants what polywatch needs, and reports follow by \
                     themselves"
                );
                ("False", "Forbidden", message)
            }
            Self::Failed(why) => {
                ("False", "Failed", format!("reports are out of date: {why}; tried again by itself"))
            }
        }
    }
}

/// What became of the reports of each policy. The recorder of reports writes it, that of the status reads it.
#[derive(Debug, Default)]
pub struct Outcomes {
    policies: Mutex<BTreeMap<PolicyKey, Outcome>>,
    /// Whom a change is told.
    nudges: Arc<Nudges>,
}

impl Outcomes {
    /// Changes are told to whoever takes these.
    pub fn new(nudges: Arc<Nudges>) -> Self {
        Self { policies: Mutex::default(), nudges }
    }

    /// What became of the reports of a policy; none before it was tried.
    pub fn of(&self, policy: &PolicyKey) -> Option<Outcome> {
        self.policies.lock().unwrap_or_else(PoisonError::into_inner).get(policy).cloned()
    }

    /// Takes what became of them.
    pub fn set(&self, policy: &PolicyKey, outcome: Outcome) {
        let before = self
            .policies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(policy.clone(), outcome.clone());
        if before.as_ref() != Some(&outcome) {
            self.nudges.add(policy);
        }
    }

    /// Forgets a policy that is gone.
    pub fn forget(&self, policy: &PolicyKey) {
        self.policies.lock().unwrap_or_else(PoisonError::into_inner).remove(policy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_told_of_what_is_new_and_of_nothing_else() {
        let nudges = Arc::new(Nudges::default());
        let outcomes = Outcomes::new(nudges.clone());
        let policy = PolicyKey("p".into());
        assert_eq!(outcomes.of(&policy), None);
        outcomes.set(&policy, Outcome::Written);
        assert_eq!(nudges.take_now(), [policy.clone()].into());
        outcomes.set(&policy, Outcome::Written);
        assert!(nudges.take_now().is_empty());
        outcomes.set(&policy, Outcome::Failed("no".into()));
        assert_eq!(nudges.take_now(), [policy.clone()].into());
        outcomes.forget(&policy);
        assert_eq!(outcomes.of(&policy), None);
    }
}
