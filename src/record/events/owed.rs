//! What is owed: what is true against what was told. Pure.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::format::Reason;
use crate::core::finding::{Finding, FindingKey};
use crate::core::policy::CompiledPolicy;

/// What is true of a policy.
pub struct Truth<'a> {
    /// The policy, while it exists.
    pub policy: Option<&'a CompiledPolicy>,
    /// Its open findings, worst first.
    pub open: &'a [Arc<Finding>],
    /// Its selections for which that is all there is to know.
    pub settled: &'a HashSet<Arc<str>>,
}

impl Truth<'_> {
    /// Not open may mean not known yet, unless the selection is complete or gone.
    fn is_known(&self, selection: &Arc<str>) -> bool {
        let exists = |policy: &CompiledPolicy| policy.selections.iter().any(|s| s.name == *selection);
        self.settled.contains(selection) || !self.policy.is_some_and(exists)
    }
}

/// First what is to be taken back, which is never more than was told; then what opened, worst first.
pub fn owed(told: &HashMap<FindingKey, Arc<Finding>>, truth: &Truth<'_>) -> Vec<(Reason, Arc<Finding>)> {
    let still_open: HashSet<&FindingKey> = truth.open.iter().map(|finding| &finding.key).collect();
    let mut resolved: Vec<&Arc<Finding>> = told
        .values()
        .filter(|finding| !still_open.contains(&finding.key) && truth.is_known(&finding.key.selection))
        .collect();
    resolved.sort_by(|a, b| (b.severity, a.since, &a.key).cmp(&(a.severity, b.since, &b.key)));
    let opened = truth.open.iter().filter(|finding| !told.contains_key(&finding.key));
    let resolved = resolved.into_iter().map(|finding| (Reason::FindingResolved, finding.clone()));
    resolved.chain(opened.map(|finding| (Reason::FindingOpened, finding.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::finding::{ObjectId, PolicyKey, Severity};
    use crate::policy::compile;

    fn finding(name: &str, selection: &str, severity: Severity) -> Arc<Finding> {
        let object = ObjectId {
            api_version: "v1".into(),
            kind: "Pod".into(),
            namespace: None,
            name: name.into(),
            uid: name.into(),
        };
        let key = FindingKey { rule: "r".into(), selection: selection.into(), uid: name.into() };
        Arc::new(Finding { key, severity, object, message: "m".into(), since: jiff::Timestamp::UNIX_EPOCH })
    }

    fn pod(name: &str) -> Arc<Finding> {
        finding(name, "pods", Severity::High)
    }

    fn policy() -> CompiledPolicy {
        let spec = crate::yaml::from_str(
            "{resources: [{name: pods, apiVersion: v1, kind: Pod}], rules: [{name: r, expression: 'true'}]}",
        );
        compile(PolicyKey("p".into()), "uid".into(), 1, &spec.expect("a spec"))
    }

    fn said(
        told: &[Arc<Finding>],
        open: &[Arc<Finding>],
        settled: &[&str],
        policy: Option<&CompiledPolicy>,
    ) -> Vec<String> {
        let told = told.iter().map(|finding| (finding.key.clone(), finding.clone())).collect();
        let settled = settled.iter().map(|name| Arc::from(*name)).collect();
        let owed = owed(&told, &Truth { policy, open, settled: &settled });
        owed.iter().map(|(reason, finding)| format!("{reason:?} {}", finding.object.name)).collect()
    }

    #[test]
    fn the_difference_is_owed_and_nothing_else() {
        let policy = policy();
        let (a, b, c) = (pod("a"), pod("b"), pod("c"));
        assert_eq!(
            said(&[a.clone(), b.clone()], &[b.clone(), c], &["pods"], Some(&policy)),
            ["FindingResolved a", "FindingOpened c"]
        );
        assert!(said(&[a.clone(), b.clone()], &[a, b], &["pods"], Some(&policy)).is_empty());
    }

    #[test]
    fn what_is_not_known_yet_is_not_taken_back() {
        let policy = policy();
        assert!(said(&[pod("a")], &[], &[], Some(&policy)).is_empty());
        // A selection or a policy that is gone will never be known better.
        let other = finding("a", "was-removed", Severity::High);
        assert_eq!(said(&[other], &[], &[], Some(&policy)), ["FindingResolved a"]);
        assert_eq!(said(&[pod("a")], &[], &[], None), ["FindingResolved a"]);
    }

    #[test]
    fn the_order_is_the_same_each_time_with_what_is_taken_back_first_and_the_worst_first() {
        let told: Vec<_> = [("x", Severity::Low), ("z", Severity::Critical), ("y", Severity::Critical)]
            .map(|(name, severity)| finding(name, "pods", severity))
            .into();
        assert_eq!(
            said(&told, &[pod("new")], &["pods"], Some(&policy())),
            ["FindingResolved y", "FindingResolved z", "FindingResolved x", "FindingOpened new"]
        );
    }
}
