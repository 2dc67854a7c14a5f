//! Which reports there are, from one look to the next and over a restart.

use std::collections::BTreeSet;
use std::hash::RandomState;

use super::*;
use crate::core::chain::Chain;
use crate::core::fields::Fields;
use crate::core::finding::{ObjectId, PolicyKey};
use crate::policy::compile;

fn policy(spec: &str) -> CompiledPolicy {
    compile(PolicyKey("p".into()), "uid".into(), 1, &crate::yaml::from_str(spec).expect("a spec"))
}

fn pods() -> CompiledPolicy {
    policy("{resources: [{name: pods, apiVersion: v1, kind: Pod}], rules: [{name: r, expression: 'true'}]}")
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

fn finding(name: &str, namespace: Option<&str>, since: i64) -> Finding {
    Finding {
        key: FindingKey { rule: "r".into(), selection: "pods".into(), uid: name.into() },
        severity: Severity::High,
        object: ObjectId {
            api_version: "v1".into(),
            kind: "Pod".into(),
            namespace: namespace.map(Into::into),
            name: name.into(),
            uid: name.into(),
        },
        message: "m".into(),
        fields: Fields::default(),
        chain: Chain::default(),
        tags: crate::core::tags::Tags::default(),
        since: at(since),
        flaps: 0,
    }
}

fn open(name: &str, since: i64) -> Arc<Finding> {
    Arc::new(finding(name, Some("n"), since))
}

struct Process {
    hasher: RandomState,
    memory: Memory,
    policy: CompiledPolicy,
}

impl Process {
    fn new(policy: CompiledPolicy) -> Self {
        Self { hasher: RandomState::new(), memory: Memory::default(), policy }
    }

    fn plan(&mut self, open: &[Arc<Finding>], settled: &[&str]) -> Plan {
        let settled = settled.iter().map(|name| Arc::from(*name)).collect();
        self.memory.plan(&Truth { policy: &self.policy, open, settled: &settled }, &self.hasher)
    }

    fn subject(&self) -> Subject<'_> {
        Subject { key: &self.policy.key, uid: &self.policy.uid }
    }

    /// All that the slices of a plan list.
    fn results(&self, plan: &Plan) -> Vec<ReportResult> {
        let slices = plan.reports.iter().filter(|(place, _)| plan.overview.as_ref() != Some(*place));
        let results = slices.flat_map(|(_, wanted)| {
            wanted.rows.iter().map(|row| match &row.what {
                What::Open(finding) => self.subject().result(finding, row.since),
                What::Kept(result) => ReportResult::clone(result),
            })
        });
        results.collect()
    }

    /// Names of the objects that are listed, with the second since which.
    fn listed(&self, plan: &Plan) -> BTreeSet<(String, i64)> {
        let listed = self.results(plan);
        listed.iter().map(|result| (result.key().expect("a key").uid.to_string(), result.since())).collect()
    }

    fn restarted(self, plan: &Plan) -> Self {
        let results = self.results(plan);
        let mut next = Self::new(self.policy);
        next.hasher = self.hasher;
        next.memory.inherit("uid", results);
        next
    }
}

fn digests(plan: &Plan) -> BTreeMap<Place, u64> {
    plan.reports.iter().map(|(place, wanted)| (place.clone(), wanted.digest)).collect()
}

fn since(names: &[(&str, i64)]) -> BTreeSet<(String, i64)> {
    names.iter().map(|(name, since)| ((*name).to_owned(), *since)).collect()
}

#[test]
fn findings_are_beside_their_objects_and_the_overview_counts_them() {
    let mut process = Process::new(pods());
    let plan = process.plan(&[open("a", 1), Arc::new(finding("b", None, 1))], &["pods", ""]);
    let places: Vec<_> = plan.reports.keys().map(|place| place.namespace.as_deref()).collect();
    assert_eq!(places, [None, None, Some("n")]);
    assert_eq!(plan.overview.as_ref().map(|place| plan.reports.contains_key(place)), Some(true));
    assert_eq!(
        plan.totals,
        Totals { open: 2, listed: 2, by_severity: [0, 0, 0, 2, 0], not_known: Vec::new() }
    );
    let none = process.plan(&[], &["pods", ""]);
    assert_eq!((none.reports.len(), none.totals), (1, Totals::default()));
    assert_eq!(process.plan(&[], &[]).totals.not_known, ["pods".into()]);
}

#[test]
fn what_is_the_same_is_the_same_and_another_message_touches_its_report_alone() {
    let mut process = Process::new(pods());
    let findings: Vec<_> = (0..2_000).map(|n| open(&format!("pod-{n}"), 1)).collect();
    let first = process.plan(&findings, &["pods"]);
    assert!(first.reports.len() > 3, "{}", first.reports.len());
    for (place, wanted) in &first.reports {
        let body = serde_json::to_value(wanted.body(&process.subject(), place)).expect("JSON");
        let size = body["results"].to_string().len();
        assert!(size <= MAX_SLICE_LEN, "{size} bytes in {place:?}");
        assert_eq!(body["metadata"]["name"], *place.name);
    }
    let mut shuffled = findings.clone();
    shuffled.reverse();
    // Not the same allocation either.
    shuffled[7] = Arc::new(Finding::clone(&shuffled[7]));
    assert_eq!(digests(&process.plan(&shuffled, &["pods"])), digests(&first));
    let mut changed = findings;
    changed[7] = Arc::new(Finding { message: "other".into(), ..Finding::clone(&changed[7]) });
    let (before, after) = (digests(&first), digests(&process.plan(&changed, &["pods"])));
    let touched = before.iter().filter(|(place, digest)| after.get(*place) != Some(*digest));
    assert_eq!((touched.count(), after.len()), (1, before.len()));
}

#[test]
fn beyond_the_cap_the_worst_are_listed_and_all_are_counted() {
    let mut process = Process::new(pods());
    let mut findings: Vec<_> = (0..MAX_LISTED as i64).map(|n| open(&format!("pod-{n}"), n)).collect();
    let bad = Finding { severity: Severity::Critical, ..finding("bad", Some("n"), 99_999) };
    findings.extend([open("last", 99_998), Arc::new(bad)]);
    let plan = process.plan(&findings, &["pods"]);
    assert_eq!((plan.totals.open, plan.totals.listed), (MAX_LISTED + 2, MAX_LISTED));
    assert_eq!(plan.totals.by_severity, [0, 0, 0, MAX_LISTED + 1, 1]);
    let listed = process.listed(&plan);
    assert_eq!(listed.len(), MAX_LISTED);
    assert!(listed.contains(&("bad".into(), 99_999)) && !listed.contains(&("last".into(), 99_998)));
    assert!(!listed.iter().any(|(name, _)| name == &format!("pod-{}", MAX_LISTED - 1)));
}

#[test]
fn a_restart_leaves_what_is_not_known_and_when_it_began() {
    let mut process = Process::new(pods());
    let plan = process.plan(&[open("a", 1), open("b", 2), open("c", 3)], &["pods"]);
    let before = digests(&plan);
    let mut process = process.restarted(&plan);
    // Nothing is known, then some, then all: each but c, which is gone, since when it was.
    let all = since(&[("a", 1), ("b", 2), ("c", 3)]);
    let plan = process.plan(&[], &[]);
    assert_eq!(process.listed(&plan), all);
    let slices = |digests: &BTreeMap<Place, u64>| -> BTreeMap<Place, u64> {
        digests.iter().filter(|(place, _)| place.namespace.is_some()).map(|(p, d)| (p.clone(), *d)).collect()
    };
    assert_eq!(slices(&digests(&plan)), slices(&before));
    let plan = process.plan(&[open("a", 100)], &[]);
    assert_eq!(process.listed(&plan), all);
    assert_eq!(slices(&digests(&plan)), slices(&before));
    let plan = process.plan(&[open("a", 100), open("b", 2)], &["pods"]);
    assert_eq!(process.listed(&plan), since(&[("a", 1), ("b", 2)]));
    // It is as old for as long as it is open.
    let plan = process.plan(&[open("a", 100), open("c", 150)], &["pods"]);
    assert_eq!(process.listed(&plan), since(&[("a", 1), ("c", 150)]));
    let plan = process.plan(&[open("a", 200)], &["pods"]);
    assert_eq!(process.listed(&plan), since(&[("a", 200)]), "it was mended and opened again");
    let plan = process.plan(&[open("a", 100)], &["pods"]);
    assert_eq!(process.listed(&plan), since(&[("a", 100)]), "what is over is not remembered");
}

#[test]
fn what_was_known_once_is_not_unknown_again() {
    let mut process = Process::new(pods());
    let plan = process.plan(&[open("a", 1)], &["pods"]);
    let mut process = process.restarted(&plan);
    process.plan(&[open("a", 100)], &[]);
    // This process saw it resolve.
    let plan = process.plan(&[], &[]);
    assert_eq!(process.listed(&plan), since(&[]));
}

#[test]
fn what_can_never_be_known_better_goes_at_once() {
    let mut process = Process::new(pods());
    let plan = process.plan(&[open("a", 1)], &["pods"]);
    let of = |policy: CompiledPolicy| {
        let mut next = Process::new(policy);
        next.memory.inherit("uid", process.results(&plan));
        let plan = next.plan(&[], &[]);
        next.listed(&plan).len()
    };
    assert_eq!(of(pods()), 1);
    let without_rule =
        "{resources: [{name: pods, apiVersion: v1, kind: Pod}], rules: [{name: s, expression: 'true'}]}";
    assert_eq!(of(policy(without_rule)), 0);
    let without_selection =
        "{resources: [{name: all, apiVersion: v1, kind: Pod}], rules: [{name: r, expression: 'true'}]}";
    assert_eq!(of(policy(without_selection)), 0);
    let mut next = Process::new(pods());
    next.memory.inherit("another policy of that name", process.results(&plan));
    let plan = next.plan(&[], &[]);
    assert_eq!(next.listed(&plan).len(), 0);
}

#[test]
fn groups_are_not_known_before_all_that_is_judged_is() {
    let mut process = Process::new(pods());
    let mut group = finding("g", None, 1);
    group.key = FindingKey::of_group("r".into(), "g");
    group.object = ObjectId::of_group("g");
    let plan = process.plan(&[Arc::new(group)], &["pods", ""]);
    let mut process = process.restarted(&plan);
    let plan = process.plan(&[], &["pods"]);
    assert_eq!(process.listed(&plan).len(), 1);
    let plan = process.plan(&[], &["pods", ""]);
    assert_eq!(process.listed(&plan).len(), 0);
}
