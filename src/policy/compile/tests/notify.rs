//! What is wrong with whom a policy tells, and what the parts of it mean.

use super::*;
use crate::core::alert::{Baseline, Dimension};
use jiff::SignedDuration;

fn with(notify: &str) -> CompiledPolicy {
    compiled(&format!("{POD}\nrules: [{{name: a, expression: 'true'}}]\nnotify: {notify}"))
}

/// All that is wrong, as `FIELD: MESSAGE`.
fn told(notify: &str) -> Vec<String> {
    with(notify).problems.iter().map(|p| format!("{}: {}", p.field, p.message)).collect()
}

#[test]
fn what_is_not_said_has_its_default() {
    let policy = with("[{sink: on-call}]");
    assert_eq!(policy.problems, []);
    let route = &policy.routes[0];
    assert_eq!(route.min_severity, Severity::Info);
    assert_eq!(route.group_by, [Dimension::Rule].into());
    assert_eq!((route.wait, route.interval, route.resend), (None, None, None));
    assert_eq!((route.send_resolved, route.baseline), (true, Baseline::Summary));
    assert!(route.mute.is_empty() && policy.noted_labels.is_empty());
}

#[test]
fn labels_that_decide_who_is_told_are_noted_and_read() {
    let policy = with(
        "[{sink: a, labelSelector: {matchLabels: {tier: public}}, groupBy: [Namespace, Label], groupByLabels: [team],
           groupWait: 30s}]",
    );
    assert_eq!(policy.problems, []);
    let noted: Vec<&str> = policy.noted_labels.iter().map(|label| &**label).collect();
    assert_eq!(noted, ["team", "tier"]);
    assert_eq!(policy.routes[0].wait, Some(SignedDuration::from_secs(30)));
    let lines = policy.needs(0, false).paths.lines();
    for path in [
        "metadata.labels.team",
        "metadata.labels.tier",
        "metadata.annotations[\"polywatch.dev/silence-until\"]",
    ] {
        assert!(lines.contains(&format!("{path}.…")), "{path} is not among {lines:?}");
    }
    // Who tells nobody reads nothing for it.
    let quiet = compiled(&format!("{POD}\nrules: [{{name: a, expression: 'true'}}]"));
    assert!(!quiet.needs(0, false).paths.lines().iter().any(|line| line.contains("annotations")));
}

#[test]
fn what_is_wrong_is_said_with_its_field_and_nobody_is_told_by_a_part() {
    for (notify, problem) in [
        ("[{sink: a, rules: [b]}]", "spec.notify[0].rules[0]: there is no rule \"b\""),
        ("[{sink: a, groupWait: soon}]", "spec.notify[0].groupWait: \"soon\" is no time to wait"),
        (
            "[{sink: a, mute: [{from: '25:00', to: '06:00'}]}]",
            "spec.notify[0].mute[0].from: \"25:00\" is no time of the day",
        ),
        (
            "[{sink: a, mute: [{from: '22:00', to: '06:00', timeZone: Mars/Olympus}]}]",
            "spec.notify[0].mute[0].timeZone: \"Mars/Olympus\" is no time zone",
        ),
        (
            "[{sink: a, labelSelector: {matchLabels: {'a b': c}}}]",
            "spec.notify[0].labelSelector.matchLabels: ",
        ),
    ] {
        let told = told(notify);
        assert!(told.len() == 1 && told[0].starts_with(problem), "{notify}: {told:?}");
        assert!(with(notify).routes.is_empty(), "{notify}");
    }
    let twice = with("[{sink: a}, {sink: a, minSeverity: high}]");
    assert_eq!((twice.problems.len(), twice.routes.len()), (1, 1));
}
