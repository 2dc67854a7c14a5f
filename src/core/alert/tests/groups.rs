//! What is told together, what as a summary, and what not at all because it is not known.

use super::*;

#[test]
fn what_was_wrong_before_is_one_summary_that_is_kept_up_to_date() {
    let mut case = Case::unknown("groupWait: 1s, groupInterval: 1s");
    for n in 0..30 {
        let rule = if n % 2 == 0 { "ready" } else { "limits" };
        case.open(finding(rule, &format!("pod-{n:02}"), Severity::High, -100));
    }
    case.settle(&["pods", "routes", ""]);
    case.decide(0);
    let out = case.decide(1).due;
    assert_eq!(out.len(), 1);
    assert_eq!(short(&out[0].notice), "Baseline first sync=open before: 30 open, +30 -0");
    assert_eq!((out[0].notice.open.len(), out[0].notice.totals.by_severity[&Severity::High]), (20, 30));
    case.desk.sent(&out[0], None, at(1));
    // What opens from now on is told by itself, also if it was open before.
    case.open(finding("ready", "new", Severity::High, 5));
    case.resolve("ready", "pod-00");
    case.decide(5);
    assert_eq!(
        case.tell(6),
        ["SomeResolved first sync=open before: 29 open, +0 -1", "Opened rule=ready: +new"]
    );
    case.open(finding("ready", "pod-00", Severity::High, 10));
    assert_eq!(case.tell(10), ["MoreOpened rule=ready: +pod-00"]);
    case.restart();
    for n in 1..30 {
        case.resolve(if n % 2 == 0 { "ready" } else { "limits" }, &format!("pod-{n:02}"));
    }
    assert_eq!(case.tell(20), ["AllResolved first sync=open before: 0 open, +0 -29"]);
}

#[test]
fn what_was_wrong_before_may_be_told_as_any_other_finding_or_not_at_all() {
    let said = |notify: &str| {
        let mut case = Case::unknown(notify);
        case.open(finding("ready", "a", Severity::High, -100));
        case.settle(&["pods", "routes", ""]);
        case.decide(0);
        let said = case.tell(1);
        case.resolve("ready", "a");
        (said, case.tell(100))
    };
    let (first, last) = said("groupWait: 1s, onFirstSync: Each");
    assert_eq!(
        (first, last),
        (vec!["Opened rule=ready: +a".into()], vec!["AllResolved rule=ready: -a".into()])
    );
    assert_eq!(said("groupWait: 1s, onFirstSync: Nothing"), (Vec::new(), Vec::new()));
}

#[test]
fn nothing_is_said_of_what_is_not_known() {
    let mut case = Case::new("groupWait: 1s, groupInterval: 1s");
    case.open(finding("ready", "a", Severity::High, 5));
    case.open(finding("ready", "b", Severity::High, 5));
    let mut route = finding("ready", "r", Severity::High, 5);
    route.key.selection = "routes".into();
    case.open(route);
    case.decide(5);
    assert_eq!(case.tell(6), ["Opened rule=ready: +a +b +r"]);
    // A new process has not listed the pods yet.
    case.restart();
    let open = std::mem::take(&mut case.open);
    case.truth.open.clear();
    case.settle(&["routes"]);
    assert_eq!(case.tell(100), ["SomeResolved rule=ready: -r"], "only of routes it is known");
    case.restart();
    case.open = open;
    case.open.retain(|key, _| &*key.uid != "r");
    case.resolve("ready", "a");
    case.settle(&["pods", "routes", ""]);
    assert_eq!(case.tell(200), ["SomeResolved rule=ready: -a"]);
    case.resolve("ready", "b");
    assert_eq!(case.tell(300), ["AllResolved rule=ready: -b"]);
}

#[test]
fn a_group_of_objects_is_known_when_all_objects_are_that_it_may_be_of() {
    let spec = "{resources: [{name: pods, apiVersion: v1, kind: Pod}],
         rules: [{name: enough, groupBy: object.metadata.namespace, expression: 'objects.size() > 1'}],
         notify: [{sink: on-call, groupWait: 1s, groupInterval: 1s}]}";
    let spec = crate::yaml::from_str(spec).expect("a spec");
    let policy = crate::policy::compile(PolicyKey("p".into()), "uid".into(), 1, &spec);
    let mut case = Case::unknown("");
    case.truth.policy = Some(Arc::new(policy));
    case.settle(&["pods", ""]);
    case.decide(0);
    let mut group = finding("enough", "team-a", Severity::High, 5);
    group.key = FindingKey::of_group("enough".into(), "team-a");
    group.object = ObjectId::of_group("team-a");
    case.open(group);
    case.decide(5);
    let out = case.decide(6).due.remove(0);
    assert_eq!(out.notice.opened[0].object_group.as_deref(), Some("team-a"));
    case.desk.sent(&out, None, at(6));
    case.open.clear();
    case.truth.open.clear();
    for unknown in [&[""][..], &["pods"], &[]] {
        case.settle(unknown);
        assert!(case.tell(100).is_empty(), "{unknown:?}");
    }
    case.settle(&["pods", ""]);
    assert_eq!(case.decide(100).due[0].notice.reason, Reason::AllResolved);
}

#[test]
fn a_storm_is_a_summary_with_exact_numbers_until_it_is_over() {
    let mut case = Case::new("groupWait: 1s, groupInterval: 1s");
    case.open(finding("ready", "first", Severity::Critical, 5));
    case.decide(5);
    assert_eq!(case.tell(6), ["Opened rule=ready: +first"]);
    for n in 0..500 {
        case.open(finding("ready", &format!("pod-{n}"), Severity::High, 10));
    }
    let out = case.decide(10).due.remove(0);
    assert_eq!(short(&out.notice), "MoreOpened rule=ready: 501 open, +500 -0");
    assert_eq!(out.notice.replaced.len(), 1, "what was told one by one is part of it now");
    case.desk.sent(&out, None, at(10));
    for n in 0..450 {
        case.resolve("ready", &format!("pod-{n}"));
    }
    case.open(finding("ready", "late", Severity::High, 11));
    case.restart();
    assert_eq!(case.tell(20), ["MoreOpened rule=ready: 52 open, +1 -450"]);
    case.open.clear();
    case.truth.open.clear();
    assert_eq!(case.tell(30), ["AllResolved rule=ready: 0 open, +0 -52"]);
    assert!(case.desk.told().groups.is_empty());
}

#[test]
fn groups_are_by_what_the_policy_says() {
    let label = |mut finding: Finding, value: &str| {
        finding.tags.labels = [("team".into(), value.into())].into();
        finding
    };
    let by = |notify: &str| {
        let mut case = Case::new(&format!("groupWait: 1s, {notify}"));
        case.open(label(finding("ready", "a", Severity::High, 5), "red"));
        case.open(label(finding("limits", "b", Severity::High, 5), "red"));
        let mut other = label(finding("limits", "c", Severity::High, 5), "blue");
        other.object.namespace = Some("team-b".into());
        case.open(other);
        case.decide(5);
        let mut said = case.tell(6);
        said.sort();
        said
    };
    assert_eq!(by("groupBy: []"), ["Opened : +b +c +a"]);
    assert_eq!(by("groupBy: [Namespace]"), ["Opened namespace=team-a: +b +a", "Opened namespace=team-b: +c"]);
    assert_eq!(
        by("groupBy: [Label], groupByLabels: [team]"),
        ["Opened label team=blue: +c", "Opened label team=red: +b +a"]
    );
    assert_eq!(by("labelSelector: {matchLabels: {team: blue}}"), ["Opened rule=limits: +c"]);
}

#[test]
fn more_groups_than_are_told_apart_are_one_more() {
    let mut case = Case::new("groupWait: 1s, groupInterval: 1s, groupBy: [Namespace]");
    for n in 0..MAX_GROUPS + 50 {
        let mut finding = finding("ready", &format!("pod-{n:03}"), Severity::High, 5);
        finding.object.namespace = Some(format!("ns-{n:03}").into());
        case.open(finding);
    }
    case.decide(5);
    let said = case.tell(6);
    assert_eq!(said.len(), MAX_GROUPS + 1);
    let rest: Vec<&String> = said.iter().filter(|said| said.contains("rest=")).collect();
    assert_eq!(rest, ["Opened rest=all other groups: 50 open, +50 -0"]);
    assert!(case.tell(100).is_empty());
}

#[test]
fn a_policy_that_is_gone_or_names_the_sink_no_more_is_taken_back() {
    let mut case = Case::new("groupWait: 1s");
    case.open(finding("ready", "a", Severity::High, 5));
    case.decide(5);
    case.tell(6);
    assert!(!case.desk.is_done(&case.truth, SINK));
    case.truth.policy = None;
    case.truth.open.clear();
    let out = case.decide(10).due.remove(0);
    assert_eq!(out.notice.resolved[0].ended_because.as_deref(), Some("the policy is gone"));
    assert!(!case.desk.is_done(&case.truth, SINK));
    case.desk.sent(&out, None, at(10));
    assert!(case.desk.is_done(&case.truth, SINK));
}

#[test]
fn a_suspended_policy_says_nothing_and_goes_on_where_it_was() {
    let mut case = Case::new("groupWait: 1s, groupInterval: 1s");
    case.open(finding("ready", "a", Severity::High, 5));
    case.decide(5);
    case.tell(6);
    let policy = case.truth.policy.clone();
    let spec = "{suspend: true, resources: [{name: pods, apiVersion: v1, kind: Pod}],
         rules: [{name: ready, expression: 'true'}], notify: [{sink: on-call}]}";
    let spec = crate::yaml::from_str(spec).expect("a spec");
    case.truth.policy = Some(Arc::new(crate::policy::compile(PolicyKey("p".into()), "uid".into(), 2, &spec)));
    case.truth.open.clear();
    assert_eq!(case.decide(100), Decision::default());
    case.truth.policy = policy;
    assert_eq!(case.tell(200), ["AllResolved rule=ready: -a"]);
}
