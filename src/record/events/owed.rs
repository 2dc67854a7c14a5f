//! What is owed: what is true against what was told. Pure.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;

use super::Announced;
use super::format::Reason;
use crate::core::finding::{Finding, FindingKey, Occurrence};
use crate::core::history::History;
use crate::core::policy::CompiledPolicy;
use crate::core::settled::is_known;

/// What is true of a policy.
pub struct Truth<'a> {
    /// The policy, while it exists.
    pub policy: Option<&'a CompiledPolicy>,
    /// Its open findings, worst first.
    pub open: &'a [Arc<Finding>],
    /// Its selections for which that is all there is to know.
    pub settled: &'a HashSet<Arc<str>>,
    /// What occurred.
    pub history: &'a History,
}

/// One thing to tell.
#[derive(Debug, Clone)]
pub struct Owed {
    /// What happened.
    pub reason: Reason,
    /// To what.
    pub finding: Arc<Finding>,
    /// Set when it is an occurrence.
    pub occurrence: Option<Arc<Occurrence>>,
}

/// First what is to be taken back, which is never more than was told; then what opened or occurred, worst first.
pub fn owed(announced: &Announced, truth: &Truth<'_>) -> Vec<Owed> {
    let told = &announced.findings;
    let still_open: HashSet<&FindingKey> = truth.open.iter().map(|finding| &finding.key).collect();
    let mut resolved: Vec<&Arc<Finding>> = told
        .values()
        .filter(|finding| {
            !still_open.contains(&finding.key)
                && is_known(truth.policy, truth.settled, &finding.key.selection)
        })
        .collect();
    resolved.sort_by(|a, b| (b.severity, a.since, &a.key).cmp(&(a.severity, b.since, &b.key)));
    let opened = truth.open.iter().filter(|finding| !told.contains_key(&finding.key));
    let owed =
        |reason| move |finding: &Arc<Finding>| Owed { reason, finding: finding.clone(), occurrence: None };
    let occurred =
        truth.history.latest().filter(|o| !announced.occurrences.contains(&o.id())).map(|occurrence| {
            let finding = occurrence.finding.clone();
            Owed { reason: Reason::ChangeOccurred, finding, occurrence: Some(occurrence.clone()) }
        });
    let mut news: Vec<Owed> = opened.map(owed(Reason::FindingOpened)).chain(occurred).collect();
    news.sort_by_key(|owed| (Reverse(owed.finding.severity), owed.finding.since));
    resolved.into_iter().map(owed(Reason::FindingResolved)).chain(news).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::chain::Chain;
    use crate::core::fields::Fields;
    use crate::core::finding::{ObjectId, PolicyKey, Severity};
    use crate::core::rules::Operation;
    use crate::core::tags::Tags;
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
        Arc::new(Finding {
            key,
            severity,
            object,
            message: "m".into(),
            fields: Fields::default(),
            chain: Chain::default(),
            tags: Tags::default(),
            since: jiff::Timestamp::UNIX_EPOCH,
            flaps: 0,
        })
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
        let findings = told.iter().map(|finding| (finding.key.clone(), finding.clone())).collect();
        let settled = settled.iter().map(|name| Arc::from(*name)).collect();
        let announced = Announced { findings, ..Announced::default() };
        let history = &History::default();
        let owed = owed(&announced, &Truth { policy, open, settled: &settled, history });
        owed.iter().map(|owed| format!("{:?} {}", owed.reason, owed.finding.object.name)).collect()
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
    fn each_occurrence_is_owed_once_among_what_opened_by_severity() {
        let occurrence = |name: &str, severity, version: &str| {
            Arc::new(Occurrence {
                finding: finding(name, "pods", severity),
                operation: Operation::Update,
                resource_version: version.into(),
            })
        };
        let mut history = History::default();
        let told = occurrence("told", Severity::Critical, "1");
        history.add(told.clone());
        history.add(occurrence("told", Severity::Critical, "2"));
        history.add(occurrence("minor", Severity::Low, "3"));
        let announced = Announced { occurrences: [told.id()].into(), ..Announced::default() };
        let (policy, settled) = (policy(), HashSet::from(["pods".into()]));
        let truth =
            Truth { policy: Some(&policy), open: &[pod("open")], settled: &settled, history: &history };
        let owed: Vec<String> = owed(&announced, &truth)
            .iter()
            .map(|owed| format!("{:?} {}", owed.reason, owed.finding.object.name))
            .collect();
        assert_eq!(owed, ["ChangeOccurred told", "FindingOpened open", "ChangeOccurred minor"]);
    }

    #[test]
    fn what_is_not_known_yet_is_not_taken_back() {
        let policy = policy();
        assert!(said(&[pod("a")], &[], &[], Some(&policy)).is_empty());
        // Nor is what is a group, before the policy is judged at all.
        let mut group = Arc::unwrap_or_clone(pod("a"));
        group.key = FindingKey::of_group("r".into(), "a");
        let group = Arc::new(group);
        assert!(said(std::slice::from_ref(&group), &[], &["pods"], Some(&policy)).is_empty());
        assert_eq!(said(&[group], &[], &["pods", ""], Some(&policy)), ["FindingResolved a"]);
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
