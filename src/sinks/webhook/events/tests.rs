use serde_json::{Value, json};

use super::*;
use crate::core::finding::Severity::{Critical, High};
use crate::sinks::testing::{
    all_resolved, collapsed, counted, ended, item, notice, occurred, occurrence, opened,
};

fn of(notice: &Notice) -> Vec<Value> {
    let events = events(notice, "/polywatch").into_iter();
    events.map(|event| serde_json::to_value(event).expect("JSON")).collect()
}

#[test]
fn a_finding_that_opened_is_an_event_with_the_finding_as_data() {
    let checkout = item("checkout", High);
    let id = &checkout.id;
    let notice = opened(std::slice::from_ref(&checkout));
    assert_eq!(
        of(&notice),
        [json!({
            "specversion": "1.0",
            "type": "dev.polywatch.finding.opened",
            "source": "/polywatch/policies/routes",
            "id": checkout.event_id("dev.polywatch.finding.opened", &notice),
            "subject": "APIRoute team-a/checkout",
            "time": "2026-01-02T08:00:00Z",
            "datacontenttype": "application/json",
            "data": {
                "reason": "Opened",
                "group": { "id": "0123456789abcdef0123456789abcdef", "by": { "rule": "backend-available" } },
                "id": id,
                "policy": "routes",
                "rule": "backend-available",
                "severity": "high",
                "selectedBy": "routes",
                "object": {
                    "apiVersion": "example.dev/v1",
                    "kind": "APIRoute",
                    "namespace": "team-a",
                    "name": "checkout",
                    "uid": "00000000-0000-0000-0000-000000000001",
                },
                "message": "no backend of checkout is ready",
                "since": "2026-01-02T08:00:00Z",
            },
        })]
    );
}

#[test]
fn each_list_of_a_notice_has_its_type_and_time_and_no_id_is_there_twice() {
    let open = [item("a", High), item("b", Critical)];
    let many = counted(Notice {
        open: open.to_vec(),
        opened: open[..1].to_vec(),
        changed: open[1..].to_vec(),
        resolved: vec![ended("c", High)],
        occurred: vec![occurrence("d", High)],
        ..notice(Reason::MoreOpened)
    });
    let events = of(&many);
    let told: Vec<_> = events.iter().map(|event| (event["type"].as_str(), event["time"].as_str())).collect();
    assert_eq!(
        told,
        [
            (Some("dev.polywatch.finding.opened"), Some("2026-01-02T08:00:00Z")),
            (Some("dev.polywatch.finding.changed"), Some("2026-01-02T09:00:00Z")),
            (Some("dev.polywatch.finding.resolved"), Some("2026-01-02T08:30:00Z")),
            (Some("dev.polywatch.finding.occurred"), Some("2026-01-02T08:00:00Z")),
        ]
    );
    let ids: std::collections::BTreeSet<_> = events.iter().map(|event| event["id"].as_str()).collect();
    assert_eq!(ids.len(), 4);
    assert_eq!(events[3]["data"]["operation"], "Update");
    assert_eq!(of(&all_resolved(&[ended("c", High)]))[0]["data"]["reason"], "AllResolved");
    assert_eq!(of(&occurred(&[occurrence("d", High)])).len(), 1);
}

#[test]
fn a_large_group_and_a_first_judgement_are_one_summary_each() {
    let baseline = Notice { reason: Reason::Baseline, ..opened(&[item("a", High), item("b", High)]) };
    for (notice, open, listed) in [(collapsed(), 250, 2), (baseline, 2, 2)] {
        let events = of(&notice);
        assert_eq!(events.len(), 1);
        assert_eq!(events[0]["type"], "dev.polywatch.group.summary");
        assert_eq!(events[0]["id"], "notice-1");
        assert_eq!(events[0]["subject"], "rule=backend-available");
        assert_eq!(events[0]["data"]["totals"]["open"], open);
        assert_eq!(events[0]["data"]["open"].as_array().map(Vec::len), Some(listed));
    }
}

#[test]
fn a_test_is_a_test_and_what_is_only_repeated_is_nothing() {
    let test = Notice { reason: Reason::Test, ..opened(&[item("a", High)]) };
    let events = of(&test);
    assert_eq!((events.len(), &events[0]["type"]), (1, &json!("dev.polywatch.test")));
    let again = counted(Notice { open: vec![item("a", High)], ..notice(Reason::Resend) });
    assert_eq!(of(&again), [] as [Value; 0]);
}

#[test]
fn an_event_without_a_subject_has_no_empty_one() {
    let mut summary = collapsed();
    summary.group.by.clear();
    assert_eq!(of(&summary)[0].get("subject"), None);
}
