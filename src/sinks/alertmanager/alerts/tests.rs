use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::core::alert::Reason;
use crate::core::finding::Severity::{Critical, High, Low};
use crate::sinks::testing::{
    all_resolved, collapsed, counted, ended, item, notice, occurred, occurrence, opened, time,
};

const NOW: &str = "2026-01-02T09:00:02Z";

fn times() -> Times {
    Times { resend: Duration::from_secs(60), occurrences: Duration::from_secs(300) }
}

fn of(notice: &Notice) -> Vec<Alert> {
    let sink = BTreeMap::from([("cluster".to_owned(), "west".to_owned())]);
    alerts(notice, &sink, &times(), time(NOW))
}

fn labels(alert: &Alert) -> String {
    let labels: Vec<_> = alert.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    labels.join(" ")
}

#[test]
fn an_open_finding_is_an_alert_until_it_is_told_of_again() {
    let mut checkout = item("checkout", High);
    checkout.labels = [("app.kubernetes.io/name", "shop"), ("app-kubernetes-io/name", "other"), ("team", "")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    checkout.fields = "spec.limit: 100 → 1000".to_owned();
    checkout.flaps = 3;
    let alerts = of(&opened(&[checkout]));
    assert_eq!(
        serde_json::to_value(&alerts).expect("JSON"),
        json!([{
            "labels": {
                "alertname": "backend-available",
                "policy": "routes",
                "severity": "high",
                "kind": "APIRoute",
                "namespace": "team-a",
                "name": "checkout",
                "polywatch_id": item("checkout", High).id,
                "label_app_kubernetes_io_name": "other",
                "label_app_kubernetes_io_name_": "shop",
                "cluster": "west",
            },
            "annotations": {
                "summary": "APIRoute team-a/checkout: no backend of checkout is ready",
                "description": "no backend of checkout is ready",
                "since": "2026-01-02T08:00:00Z",
                "fields": "spec.limit: 100 → 1000",
                "flaps": "3",
            },
            "startsAt": "2026-01-02T08:00:00Z",
            "endsAt": "2026-01-02T09:05:00Z",
        }])
    );
}

#[test]
fn what_is_told_late_is_an_alert_all_the_same() {
    let late = Notice { valid_until: time("2026-01-02T08:59:00Z"), ..opened(&[item("checkout", High)]) };
    assert_eq!(of(&late)[0].ends_at, time("2026-01-02T09:02:02Z"));
}

#[test]
fn a_resolved_finding_ends_the_alert_that_it_was_and_never_before_it_began() {
    let open = &of(&opened(&[item("checkout", High)]))[0];
    let resolved = &of(&all_resolved(&[ended("checkout", High)]))[0];
    assert_eq!(open.labels, resolved.labels);
    assert_eq!(resolved.ends_at, time("2026-01-02T08:30:00Z"));

    let mut odd = ended("checkout", High);
    odd.ended = Some(time("2026-01-02T07:00:00Z"));
    odd.ended_because = Some("it is silenced".to_owned());
    let alert = &of(&all_resolved(&[odd]))[0];
    assert_eq!(alert.ends_at, alert.starts_at);
    assert_eq!(alert.annotations["ended_because"], "it is silenced");
}

#[test]
fn a_finding_of_another_severity_ends_the_alert_of_the_severity_before() {
    let before = of(&opened(&[item("checkout", High)]));
    let worse = Item { previous_severity: Some(High), ..item("checkout", Critical) };
    let reworded = Item { previous_severity: Some(Low), ..item("cart", Low) };
    let changed = counted(Notice {
        open: vec![worse.clone(), reworded.clone()],
        changed: vec![worse, reworded],
        ..notice(Reason::Changed)
    });
    let after = of(&changed);
    let severities: Vec<_> = after.iter().map(|alert| (&*alert.labels["severity"], alert.ends_at)).collect();
    let (open, ended) = (time("2026-01-02T09:05:00Z"), time("2026-01-02T09:00:00Z"));
    assert_eq!(severities, [("critical", open), ("low", open), ("high", ended)]);
    assert_eq!(after[2].labels, before[0].labels);
}

#[test]
fn a_change_that_occurred_is_an_alert_of_its_own_for_a_while_from_now_on() {
    let alerts = of(&occurred(&[occurrence("a", Low), occurrence("b", Low)]));
    assert_eq!(alerts.len(), 2);
    assert_ne!(alerts[0].labels, alerts[1].labels);
    assert_eq!(alerts[0].starts_at, time("2026-01-02T08:00:00Z"));
    assert_eq!(alerts[0].ends_at, time("2026-01-02T09:05:02Z"));
    assert_eq!(alerts[0].annotations["operation"], "Update");
}

#[test]
fn a_group_too_large_is_one_alert_that_ends_with_the_last_finding() {
    let alerts = of(&collapsed());
    assert_eq!(alerts.len(), 1);
    let id = &notice(Reason::Opened).group.id;
    assert_eq!(
        labels(&alerts[0]),
        format!(
            "alertname=PolywatchSummary cluster=west policy=routes polywatch_id={id} \
             polywatch_rule=backend-available severity=critical"
        )
    );
    let said = &alerts[0].annotations;
    assert_eq!(
        said["summary"],
        "250 findings of policy routes with rule=backend-available are open: 50 critical, 200 high"
    );
    assert!(said["description"].starts_with("critical APIRoute team-a/checkout: no backend"), "{said:?}");
    assert_eq!((&*said["open"], &*said["occurred"]), ("250", "0"));
    assert_eq!(alerts[0].ends_at, time("2026-01-02T09:05:00Z"));

    let mut over = Notice { collapsed: true, ..all_resolved(&[ended("checkout", Critical)]) };
    over.totals.resolved = 250;
    let ended = of(&over);
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].labels, alerts[0].labels);
    assert_eq!(ended[0].ends_at, over.time);
}

#[test]
fn more_changes_than_are_told_one_by_one_are_one_alert_beside_what_is_open() {
    let mut many = collapsed();
    many.occurred = vec![occurrence("a", Low)];
    many.totals.occurred = 400;
    many.group.by = [("namespace", "team-a"), ("shop.example/team", "blue"), ("severity", "low")]
        .map(|(by, value)| (by.to_owned(), value.to_owned()))
        .into();
    let alerts = of(&many);
    assert_eq!(alerts.len(), 2);
    let occurred = labels(&alerts[1]);
    assert!(occurred.starts_with("alertname=PolywatchOccurrences "), "{occurred}");
    assert!(occurred.contains("label_shop_example_team=blue namespace=team-a"), "{occurred}");
    assert_eq!(alerts[1].ends_at, time("2026-01-02T09:05:02Z"));
    assert!(alerts[1].annotations["summary"].starts_with("400 changes occurred"), "{alerts:?}");
}

#[test]
fn a_test_says_in_its_labels_that_it_is_one() {
    let alerts = of(&notice(Reason::Test));
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0].labels["alertname"], "PolywatchTest");
    assert_eq!(alerts[0].labels["polywatch_test"], "true");
    assert_eq!(alerts[0].labels["severity"], "info");
    assert_eq!(alerts[0].ends_at, time("2026-01-02T09:05:02Z"));

    let about = counted(Notice { open: vec![item("checkout", High)], ..notice(Reason::Test) });
    let alerts = of(&about);
    assert_eq!((alerts.len(), &*alerts[0].labels["alertname"]), (1, "backend-available"));
    assert_eq!(alerts[0].labels["polywatch_test"], "true");
}

#[test]
fn no_label_is_set_twice_however_the_labels_of_objects_are_called() {
    let mut odd = item("checkout", High);
    odd.labels = [("a.b", "1"), ("a-b", "2"), ("a/b", "3"), ("a_b", "4")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    let labels = labels(&of(&opened(&[odd]))[0]);
    for value in ["label_a_b=2", "label_a_b_=1", "label_a_b__=3", "label_a_b___=4"] {
        assert!(labels.contains(value), "{labels}");
    }
}
