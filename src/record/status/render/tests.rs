//! What users read, for each state that a policy can be in.

use std::sync::Arc;

use super::*;
use crate::core::cel::Position;
use crate::core::chain::Chain;
use crate::core::check::Warning;
use crate::core::engine::{RuleReport, SelectionReport};
use crate::core::finding::{FindingKey, ObjectId, PolicyKey};
use crate::core::policy::Problem;
use crate::core::tags::Tags;
use crate::policy::compile;

/// Of a policy that names no sinks.
fn render(
    policy: &CompiledPolicy,
    report: Option<&PolicyReport>,
    states: &[Option<SelectionState>],
    warnings: Option<&Warnings>,
    before: &MonitorPolicyStatus,
    now: Timestamp,
) -> MonitorPolicyStatus {
    let known = Known { report, states, warnings, sinks: &BySink::new() };
    super::render(policy, known, before, now)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

const SPEC: &str = "
resources:
- {name: pods, apiVersion: v1, kind: Pod}
- {name: apps, apiVersion: apps/v1, kind: Deployment}
rules:
- {name: limits, expression: 'true'}
";

fn policy(spec: &str) -> CompiledPolicy {
    let spec = crate::yaml::from_str(spec).expect("a spec");
    compile(PolicyKey("p".into()), "uid".into(), 4, &spec)
}

fn found(severity: Severity, name: &str) -> Arc<Finding> {
    Arc::new(Finding {
        key: FindingKey { rule: "limits".into(), selection: "pods".into(), uid: name.into() },
        severity,
        object: ObjectId {
            api_version: "v1".into(),
            kind: "Pod".into(),
            namespace: Some("shop".into()),
            name: name.into(),
            uid: name.into(),
        },
        message: "no limits".into(),
        fields: Default::default(),
        chain: Chain::default(),
        tags: Tags::default(),
        since: "2024-05-01T12:00:00.75Z".parse().expect("a time"),
        flaps: 0,
    })
}

/// Everything known and judged, nothing wrong.
fn fine() -> PolicyReport {
    let selection = |name: &str, objects| SelectionReport { name: name.into(), objects, settled: true };
    PolicyReport {
        uid: "uid".into(),
        generation: 4,
        selections: vec![selection("pods", 10), selection("apps", 3)],
        rules: vec![RuleReport {
            name: "limits".into(),
            open: 0,
            pending: 0,
            occurred: 0,
            errors: 0,
            last_error: None,
        }],
        worst: vec![],
        by_severity: [0; 5],
        pending: 0,
        oldest_pending: vec![],
        rule_errors: 0,
        latest: vec![],
        occurred: 0,
    }
}

fn in_state(state: ResourceState, message: Option<&str>) -> Option<SelectionState> {
    Some(SelectionState {
        state,
        resource: Some("pods.v1".into()),
        message: message.map(Into::into),
        since: at(50),
    })
}

fn watching() -> Option<SelectionState> {
    in_state(ResourceState::Watching, None)
}

fn rendered(report: &PolicyReport, states: [Option<SelectionState>; 2]) -> MonitorPolicyStatus {
    let before = MonitorPolicyStatus::default();
    render(&policy(SPEC), Some(report), &states, None, &before, at(100))
}

fn shown<'a>(status: &'a MonitorPolicyStatus, name: &str) -> &'a Condition {
    status.conditions.iter().find(|c| c.type_ == name).expect("a condition")
}

/// `Ready` and `Compliant`, each as `STATUS REASON`.
fn conditions(status: &MonitorPolicyStatus) -> [String; 2] {
    ["Ready", "Compliant"].map(|name| {
        let condition = shown(status, name);
        assert!(!condition.message.is_empty() && condition.message.len() <= MAX_CONDITION_LEN);
        assert_eq!(condition.observed_generation, Some(4));
        format!("{} {}", condition.status, condition.reason)
    })
}

#[test]
fn all_is_well() {
    let status = rendered(&fine(), [watching(), watching()]);
    assert_eq!(conditions(&status), ["True Watching", "True NoFindings"]);
    assert_eq!(shown(&status, "Ready").message, "1 rule in force, 2 resources watched");
    assert_eq!((status.summary.watching.as_str(), status.summary.objects), ("2/2", 13));
    assert_eq!(status.observed_generation, Some(4));
    assert_eq!((status.findings.len(), status.findings_omitted), (0, 0));
    let pods = &status.resources[0];
    assert_eq!((pods.name.as_str(), pods.state, pods.objects), ("pods", ResourceState::Watching, 10));
    assert_eq!(pods.since.as_deref(), Some("1970-01-01T00:00:50Z"));
}

#[test]
fn every_state_of_a_resource_has_its_reason_and_compliance_is_unknown() {
    let cases = [
        (ResourceState::Syncing, "Syncing"),
        (ResourceState::Stale, "Stale"),
        (ResourceState::NotInstalled, "NotInstalled"),
        (ResourceState::Forbidden, "Forbidden"),
        (ResourceState::Invalid, "InvalidResource"),
    ];
    for (state, reason) in cases {
        let status = rendered(&fine(), [watching(), in_state(state, Some("do this"))]);
        assert_eq!(conditions(&status), [format!("False {reason}"), format!("Unknown {reason}")]);
        assert_eq!(shown(&status, "Ready").message, format!("resource apps is {state:?}: do this"));
        assert_eq!(status.summary.watching, "1/2");
        assert_eq!(is_syncing(&status), state == ResourceState::Syncing);
    }
}

#[test]
fn the_worst_state_gives_the_reason_and_the_message_has_all() {
    let stale = in_state(ResourceState::Stale, Some("cut"));
    let status = rendered(&fine(), [stale, in_state(ResourceState::Forbidden, Some("may not"))]);
    assert_eq!(conditions(&status)[0], "False Forbidden");
    assert_eq!(
        shown(&status, "Ready").message,
        "resource pods is Stale: cut; resource apps is Forbidden: may not"
    );
}

/// "No findings" must never mean "not looking".
#[test]
fn what_is_watched_but_not_judged_yet_is_syncing() {
    let mut report = fine();
    report.selections[1].settled = false;
    let status = rendered(&report, [watching(), watching()]);
    assert_eq!(conditions(&status), ["False Syncing", "Unknown Syncing"]);
    assert_eq!(status.resources[1].message.as_deref(), Some("the objects are being judged"));
    // Nothing is known of it at all.
    let status = rendered(&fine(), [watching(), None]);
    assert_eq!(conditions(&status), ["False Syncing", "Unknown Syncing"]);
}

#[test]
fn open_findings_are_counted_by_severity_and_the_list_says_what_it_omits() {
    let mut report = fine();
    report.by_severity = [1, 0, 0, 7, 2];
    report.worst = vec![found(Severity::Critical, "a"), found(Severity::High, "b")];
    let status = rendered(&report, [watching(), watching()]);
    assert_eq!(conditions(&status), ["True Watching", "False FindingsOpen"]);
    assert_eq!(shown(&status, "Compliant").message, "10 open findings: 2 critical, 7 high, 1 info");
    let summary = &status.summary;
    assert_eq!((summary.open_findings, summary.critical, summary.high), (10, 2, 7));
    assert_eq!((summary.medium, summary.low, summary.info), (0, 0, 1));
    assert_eq!(status.findings_omitted, 8);
    let first = &status.findings[0];
    assert_eq!((first.rule.as_str(), first.message.as_str()), ("limits", "no limits"));
    assert_eq!(first.since, "2024-05-01T12:00:00Z", "whole seconds");
    let resource = first.resource.as_ref().expect("an object");
    assert_eq!(resource.selected_by.as_deref(), Some("pods"));
    assert_eq!(resource.uid.as_deref(), Some("a"));
}

#[test]
fn a_group_is_named_by_its_key_and_read_back() {
    let mut finding = Arc::unwrap_or_clone(found(Severity::High, "a"));
    (finding.key, finding.object) =
        (FindingKey::of_group("limits".into(), "edge"), ObjectId::of_group("edge"));
    finding.since = at(60);
    let report =
        PolicyReport { worst: vec![Arc::new(finding.clone())], by_severity: [0, 0, 0, 1, 0], ..fine() };
    let status = rendered(&report, [watching(), watching()]);
    let shown = &status.findings[0];
    assert_eq!((shown.group.as_deref(), &shown.resource), (Some("edge"), &None));
    assert_eq!(crate::record::restore::from_status(shown), Some(finding));
}

#[test]
fn what_is_wrong_is_said_even_while_not_everything_is_watched() {
    let mut report = fine();
    report.by_severity = [0, 0, 1, 0, 0];
    let status = rendered(&report, [watching(), in_state(ResourceState::Stale, Some("cut"))]);
    assert_eq!(conditions(&status), ["False Stale", "False FindingsOpen"]);
}

#[test]
fn rules_that_fail_make_compliance_unknown() {
    let mut report = fine();
    report.rule_errors = 3;
    report.rules[0].errors = 3;
    report.rules[0].last_error = Some("no such key: limits".into());
    let status = rendered(&report, [watching(), watching()]);
    assert_eq!(conditions(&status), ["True Watching", "Unknown RuleErrors"]);
    assert_eq!((status.summary.rule_errors, status.rules[0].errors), (3, 3));
    assert_eq!(status.rules[0].last_error.as_deref(), Some("no such key: limits"));
}

#[test]
fn problems_of_the_spec_come_first_and_broken_rules_are_listed_beside_the_others() {
    let broken = policy(&format!("{SPEC}- {{name: broken, expression: '1'}}\n"));
    let status = render(
        &broken,
        Some(&fine()),
        &[watching(), in_state(ResourceState::Stale, Some("cut"))],
        None,
        &MonitorPolicyStatus::default(),
        at(100),
    );
    assert_eq!(conditions(&status), ["False InvalidSpec", "Unknown InvalidSpec"]);
    let message = &shown(&status, "Ready").message;
    assert!(message.starts_with("spec.rules[1].expression: "), "{message}");
    let rules: Vec<_> = status.rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(rules, ["limits", "broken"]);
    let error = status.rules[1].last_error.as_deref().expect("why");
    assert!(error.starts_with("spec.rules[1].expression: "), "{error}");
}

#[test]
fn a_suspended_policy_is_neither_ready_nor_compliant() {
    let suspended = policy(&format!("suspend: true\n{SPEC}"));
    let status = render(&suspended, None, &[None, None], None, &MonitorPolicyStatus::default(), at(100));
    assert_eq!(conditions(&status), ["False Suspended", "Unknown Suspended"]);
    assert_eq!((status.summary.open_findings, status.summary.objects), (0, 0));
}

#[test]
fn long_and_odd_messages_are_one_bounded_line() {
    let mut odd = policy(SPEC);
    odd.problems = (0..64)
        .map(|n| Problem {
            field: format!("spec.rules[{n}].expression"),
            rule: None,
            message: "é\n\u{1b}[2J".repeat(60),
        })
        .collect();
    let status = render(
        &odd,
        Some(&fine()),
        &[watching(), watching()],
        None,
        &MonitorPolicyStatus::default(),
        at(100),
    );
    let message = &shown(&status, "Ready").message;
    assert!(message.len() <= MAX_CONDITION_LEN && !message.contains(char::is_control));
    let long = "x".repeat(10_000);
    let status = rendered(&fine(), [watching(), in_state(ResourceState::Invalid, Some(&long))]);
    assert!(status.resources[1].message.as_ref().is_some_and(|text| text.len() <= MAX_CONDITION_LEN));
}

#[test]
fn times_are_those_of_the_last_change_of_status() {
    let render_after = |before: &MonitorPolicyStatus, report: &PolicyReport, state, now| {
        render(&policy(SPEC), Some(report), &[watching(), state], None, before, at(now))
    };
    let time =
        |status: &MonitorPolicyStatus, name: &str| shown(status, name).last_transition_time.0.as_second();
    let stale = || in_state(ResourceState::Stale, Some("cut"));
    let first = render_after(&MonitorPolicyStatus::default(), &fine(), stale(), 100);
    assert_eq!((time(&first, "Ready"), time(&first, "Compliant")), (100, 100));
    // Another reason, the same status.
    let forbidden = in_state(ResourceState::Forbidden, Some("may not"));
    let second = render_after(&first, &fine(), forbidden, 200);
    assert_eq!(conditions(&second)[0], "False Forbidden");
    assert_eq!((time(&second, "Ready"), time(&second, "Compliant")), (100, 100));
    let third = render_after(&second, &fine(), watching(), 300);
    assert_eq!((time(&third, "Ready"), time(&third, "Compliant")), (300, 300));
    // Nothing changed: the same status, whatever the time.
    assert_eq!(render_after(&third, &fine(), watching(), 400), third);
}

#[test]
fn since_of_a_resource_is_kept_while_its_state_stays() {
    let first = rendered(&fine(), [watching(), watching()]);
    let mut later = watching();
    // A restarted process knows only since when it watches itself.
    if let Some(state) = &mut later {
        state.since = at(5000);
    }
    let second = render(&policy(SPEC), Some(&fine()), &[watching(), later], None, &first, at(5000));
    assert_eq!(second.resources[1].since, first.resources[1].since);
    let stale = in_state(ResourceState::Stale, None);
    let third = render(&policy(SPEC), Some(&fine()), &[watching(), stale], None, &first, at(5000));
    assert_eq!(third.resources[1].since.as_deref(), Some("1970-01-01T00:00:50Z"));
}

#[test]
fn a_status_that_differs_in_counts_of_objects_only_is_the_same_without_counts() {
    let before = rendered(&fine(), [watching(), watching()]);
    let mut more = fine();
    more.selections[0].objects = 99;
    let after = rendered(&more, [watching(), watching()]);
    assert_ne!(before, after);
    assert_eq!(without_counts(&before), without_counts(&after));
    more.by_severity[0] = 1;
    let found = rendered(&more, [watching(), watching()]);
    assert_ne!(without_counts(&before), without_counts(&found));
    let stale = rendered(&fine(), [watching(), in_state(ResourceState::Stale, None)]);
    assert_ne!(without_counts(&before), without_counts(&stale));
}

#[test]
fn what_is_pending_is_counted_and_listed_and_is_no_reason_to_write_at_once() {
    let mut report = fine();
    report.pending = 25;
    report.rules[0].pending = 25;
    report.oldest_pending = (0..25).map(|n| found(Severity::High, &format!("web-{n:02}"))).collect();
    let status = rendered(&report, [watching(), watching()]);
    assert_eq!((status.summary.pending, status.rules[0].pending, status.pending.len()), (25, 25, 20));
    assert_eq!((status.summary.open_findings, status.findings.len()), (0, 0));
    assert_eq!(status.pending[0].since, "2024-05-01T12:00:00Z");
    assert_eq!(conditions(&status), ["True Watching", "True NoFindings"]);
    let none = rendered(&fine(), [watching(), watching()]);
    assert_eq!(without_counts(&status), without_counts(&none));
}

#[test]
fn what_flaps_is_shown_and_read_back() {
    let mut report = fine();
    report.worst = vec![Arc::new(Finding { flaps: 4, ..(*found(Severity::High, "web")).clone() })];
    let status = rendered(&report, [watching(), watching()]);
    assert_eq!(status.findings[0].flaps, 4);
    let read = crate::record::restore::from_status(&status.findings[0]).expect("a finding");
    assert_eq!(read.flaps, 4);
}

fn warnings() -> Warnings {
    let warning = Warning {
        field: "spec.rules[0].expression".into(),
        rule: Some("limits".into()),
        at: Position { line: 1, column: 13 },
        message: format!("there is no field `replica`\n{}", "x".repeat(1000)).into(),
        selections: vec!["pods".into(), "apps".into()],
    };
    Warnings { listed: vec![warning], omitted: 2 }
}

#[test]
fn warnings_are_listed_and_do_not_make_a_policy_not_ready() {
    let states = [watching(), watching()];
    let before = MonitorPolicyStatus::default();
    let status = render(&policy(SPEC), Some(&fine()), &states, Some(&warnings()), &before, at(100));
    assert_eq!(conditions(&status), ["True Watching", "True NoFindings"]);
    let ready = &shown(&status, "Ready").message;
    assert_eq!(ready, "1 rule in force, 2 resources watched; 3 schema warnings, see status.warnings");
    let [warning] = status.warnings.as_slice() else { panic!("{:?}", status.warnings) };
    assert_eq!((warning.rule.as_deref(), warning.position.as_str()), (Some("limits"), "1:13"));
    assert_eq!(warning.resources, ["pods", "apps"]);
    assert!(warning.message.len() <= MAX_MESSAGE_LEN && !warning.message.contains('\n'));
    assert_eq!(status.warnings_omitted, 2);
}

#[test]
fn what_an_earlier_process_warned_of_stays_until_the_policy_is_checked_again() {
    let states = [watching(), watching()];
    let policy = policy(SPEC);
    let empty = MonitorPolicyStatus::default();
    let before = render(&policy, Some(&fine()), &states, Some(&warnings()), &empty, at(100));
    let restarted = render(&policy, Some(&fine()), &states, None, &before, at(200));
    assert_eq!(restarted, before);
    let checked = render(&policy, Some(&fine()), &states, Some(&Warnings::default()), &before, at(200));
    assert_eq!((checked.warnings.len(), checked.warnings_omitted), (0, 0));
    // They were about another spec.
    let older = MonitorPolicyStatus { observed_generation: Some(3), ..before };
    assert!(render(&policy, Some(&fine()), &states, None, &older, at(200)).warnings.is_empty());
}

#[test]
fn the_condition_on_reports_says_what_became_of_them_and_nothing_depends_on_it() {
    let empty = MonitorPolicyStatus::default();
    let of = |outcome: Option<Outcome>, before: &MonitorPolicyStatus, now| {
        let mut status = rendered(&fine(), [watching(), watching()]);
        status.conditions.push(reports(&policy(SPEC), outcome.as_ref(), before, at(now)));
        assert_eq!(conditions(&status), ["True Watching", "True NoFindings"]);
        status
    };
    let said = |status: &MonitorPolicyStatus| {
        let condition = shown(status, "Reports");
        format!("{} {}", condition.status, condition.reason)
    };
    assert_eq!(said(&of(None, &empty, 100)), "Unknown Pending");
    let written = of(Some(Outcome::Written), &empty, 100);
    assert_eq!(said(&written), "True Written");
    let message = &shown(&written, "Reports").message;
    assert!(message.contains("-l polywatch.dev/policy=p"), "{message}");
    // A new process has not tried yet.
    let restarted = of(None, &written, 200);
    assert_eq!(shown(&restarted, "Reports"), shown(&written, "Reports"));
    let truncated = of(Some(Outcome::Truncated(12_345)), &written, 300);
    assert_eq!(said(&truncated), "True Truncated");
    assert_eq!(shown(&truncated, "Reports").last_transition_time, Time(at(100)));
    assert!(shown(&truncated, "Reports").message.contains("10000 worst of 12345"));
    for (outcome, reason, remedy) in [
        (Outcome::NotInstalled("Report"), "NotInstalled", "kubectl apply -k config/openreports"),
        (Outcome::Forbidden("may not".into()), "Forbidden", "config/rbac/controller_role.yaml"),
        (Outcome::Failed("no disk".into()), "Failed", "no disk; tried again by itself"),
    ] {
        let status = of(Some(outcome), &written, 400);
        assert_eq!(said(&status), format!("False {reason}"));
        assert!(shown(&status, "Reports").message.contains(remedy), "{}", shown(&status, "Reports").message);
        assert_eq!(shown(&status, "Reports").last_transition_time, Time(at(400)));
    }
    let suspended = policy(&format!("{SPEC}suspend: true\n"));
    let condition = reports(&suspended, Some(&Outcome::Written), &written, at(500));
    assert_eq!((&*condition.status, &*condition.reason), ("Unknown", "Suspended"));
}
