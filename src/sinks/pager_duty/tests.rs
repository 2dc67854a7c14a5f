use serde_json::{Value, json};

use super::*;
use crate::core::alert::Reason;
use crate::core::finding::Severity::{Critical, High, Info, Low, Medium};
use crate::sinks::testing::{
    Receiver, Reply, all_resolved, at_fault, collapsed, counted, item, key, nothing_shows, notice, occurred,
    occurrence, opened, refused, secrets,
};

const KEY: &str = "0123456789abcdefs3cr3t0123456789";

fn sink(config: Value) -> PagerDuty {
    let mut whole = json!({ "routingKey": { "name": "alerts", "key": "routing" } });
    for (field, value) in config.as_object().expect("fields") {
        whole[field] = value.clone();
    }
    PagerDuty::new(&serde_json::from_value(whole).expect("a configuration")).expect("a sink")
}

fn values() -> Secrets {
    secrets(&[("routing", &format!("{KEY}\n"))])
}

async fn posted(config: Value, notice: &Notice) -> Vec<Value> {
    let body = r#"{"status":"success","message":"Event processed","dedup_key":"x"}"#;
    let receiver = Receiver::always(Reply::status(202, body)).await;
    let mut config = config;
    config["url"] = receiver.url("").into();
    assert_eq!(sink(config).send(notice, &values()).await, Ok(Receipt::default()));
    for request in receiver.received() {
        assert_eq!((&*request.method, &*request.path), ("POST", "/v2/enqueue"));
        assert_eq!(request.header("content-type"), "application/json");
        assert_eq!(request.json()["routing_key"], KEY);
    }
    receiver.received().iter().map(crate::sinks::testing::Received::json).collect()
}

#[tokio::test]
async fn the_first_finding_of_a_group_triggers_an_incident() {
    let notice = opened(&[item("checkout", High)]);
    assert_eq!(
        posted(json!({ "summary": "{{ policy }}\n is odd" }), &notice).await,
        [json!({
            "routing_key": KEY,
            "event_action": "trigger",
            "dedup_key": notice.group.id,
            "client": "polywatch",
            "payload": {
                "summary": "routes  is odd",
                "source": "APIRoute team-a/checkout",
                "severity": "error",
                "timestamp": "2026-01-02T08:00:00Z",
                "component": "APIRoute team-a/checkout",
                "group": "rule=backend-available",
                "class": "backend-available",
                "custom_details": {
                    "policy": "routes",
                    "reason": "Opened",
                    "totals": {
                        "open": 1, "bySeverity": { "high": 1 },
                        "opened": 1, "changed": 0, "resolved": 0, "occurred": 0,
                    },
                    "findings": [{
                        "severity": "high",
                        "rule": "backend-available",
                        "subject": "APIRoute team-a/checkout",
                        "message": "no backend of checkout is ready",
                        "since": "2026-01-02T08:00:00Z",
                    }],
                },
            },
        })]
    );
    let sink = sink(json!({}));
    assert_eq!((sink.kind(), sink.resend(), sink.secrets()), ("pagerDuty", None, vec![key("routing")]));
}

#[tokio::test]
async fn the_incident_is_resolved_with_the_last_finding_and_not_before() {
    let open = [item("checkout", High)];
    let id = notice(Reason::Opened).group.id;
    let resolve = json!({ "routing_key": KEY, "event_action": "resolve", "dedup_key": id });
    assert_eq!(posted(json!({}), &all_resolved(&open)).await, [resolve]);
    let some = counted(Notice {
        open: open.to_vec(),
        resolved: vec![item("cart", High)],
        ..notice(Reason::SomeResolved)
    });
    assert_eq!(posted(json!({}), &some).await, [] as [Value; 0]);
    let again = counted(Notice { open: open.to_vec(), ..notice(Reason::Resend) });
    assert_eq!(posted(json!({}), &again).await, [] as [Value; 0]);
}

#[tokio::test]
async fn what_is_new_of_a_group_is_about_the_same_incident() {
    let open = [item("checkout", Critical), item("cart", Low)];
    let id = notice(Reason::Opened).group.id;
    let more = Notice { opened: vec![open[1].clone()], open: open.to_vec(), ..notice(Reason::MoreOpened) };
    let changed = Notice { changed: vec![open[0].clone()], open: open.to_vec(), ..notice(Reason::Changed) };
    let baseline = Notice { open: open.to_vec(), ..notice(Reason::Baseline) };
    for notice in [counted(more), counted(changed), counted(baseline), collapsed()] {
        let events = posted(json!({}), &notice).await;
        assert_eq!(events.len(), 1);
        assert_eq!((&events[0]["event_action"], &events[0]["dedup_key"]), (&json!("trigger"), &json!(id)));
        assert_eq!(events[0]["payload"]["severity"], "critical");
        assert!(events[0]["payload"]["summary"].as_str().is_some_and(|text| text.contains("routes")));
    }
}

#[tokio::test]
async fn each_change_that_occurred_is_an_incident_and_many_are_one() {
    let few = occurred(&[occurrence("a", High), occurrence("b", Low)]);
    let events = posted(json!({}), &few).await;
    let ids: Vec<_> = events.iter().map(|event| event["dedup_key"].as_str()).collect();
    assert_eq!(ids, [Some(&*few.occurred[0].id), Some(&*few.occurred[1].id)]);
    assert_eq!(events[1]["payload"]["severity"], "info");
    assert_eq!(events[1]["payload"]["class"], "limits-stay");
    assert_eq!(events[1]["payload"]["custom_details"]["findings"].as_array().map(Vec::len), Some(1));

    let many: Vec<_> = (0..=events::MAX_OCCURRENCES).map(|n| occurrence(&format!("o{n}"), High)).collect();
    for (notice, number) in [(occurred(&many), 11), (Notice { collapsed: true, ..occurred(&many[..2]) }, 400)]
    {
        let mut notice = notice;
        notice.totals.occurred = number;
        let events = posted(json!({}), &notice).await;
        assert_eq!(events.len(), 1);
        assert_eq!(events[0]["dedup_key"], "notice-1");
        assert_eq!(events[0]["payload"]["custom_details"]["totals"]["occurred"], number);
    }
}

#[tokio::test]
async fn a_group_that_ends_while_something_occurs_is_two_events() {
    let both =
        counted(Notice { occurred: vec![occurrence("a", High)], ..all_resolved(&[item("checkout", High)]) });
    let events = posted(json!({}), &both).await;
    let actions: Vec<_> = events.iter().map(|event| event["event_action"].as_str()).collect();
    assert_eq!(actions, [Some("resolve"), Some("trigger")]);
}

#[tokio::test]
async fn clusters_that_share_a_key_are_told_apart_by_their_source() {
    let notice = opened(&[item("checkout", High)]);
    let events = posted(json!({ "source": "west" }), &notice).await;
    assert_eq!(events[0]["payload"]["source"], "west");
    assert_eq!(events[0]["dedup_key"], format!("west/{}", notice.group.id));
    let events = posted(json!({ "source": "west" }), &all_resolved(&[item("checkout", High)])).await;
    assert_eq!(events[0]["dedup_key"], format!("west/{}", notice.group.id));
}

#[tokio::test]
async fn a_test_says_that_it_is_one_and_is_an_incident_of_its_own() {
    let test = notice(Reason::Test);
    let events = posted(json!({ "summary": "hello" }), &test).await;
    assert_eq!(events.len(), 1);
    assert_eq!(
        (&events[0]["event_action"], &events[0]["dedup_key"]),
        (&json!("trigger"), &json!("notice-1"))
    );
    assert_eq!(events[0]["payload"]["summary"], "[test] hello");
    assert_eq!(events[0]["payload"]["severity"], "info");
    assert_eq!(events[0]["payload"]["source"], "policy routes");
}

#[tokio::test]
async fn no_event_is_larger_than_the_api_takes() {
    let mut items: Vec<_> = (0..100).map(|n| item(&format!("route-{n}"), Medium)).collect();
    for item in &mut items {
        item.message = "m".repeat(10_000);
        item.fields = "f".repeat(100_000);
    }
    let events =
        posted(json!({ "summary": "{% for item in open %}{{ item.message }}{% endfor %}" }), &opened(&items))
            .await;
    assert!(events[0].to_string().len() < 512 * 1000);
    assert!(events[0]["payload"]["summary"].as_str().is_some_and(|text| text.len() <= 1024));
    assert_eq!(events[0]["payload"]["severity"], "warning");
    let info = posted(json!({ "summary": " " }), &opened(&[item("a", Info)])).await;
    assert!(info[0]["payload"]["summary"].as_str().is_some_and(|text| text.contains("routes")), "{info:?}");
}

#[tokio::test]
async fn a_key_that_pagerduty_does_not_know_is_a_fault_of_the_key() {
    let said = r#"{"status":"invalid event","message":"Event object is invalid","errors":["Length of 'routing_key' is incorrect (should be 32 characters)"]}"#;
    let other = r#"{"status":"invalid event","message":"Event object is invalid","errors":["'payload.summary' is missing or blank"]}"#;
    for (body, key) in [(said, true), (other, false)] {
        let receiver = Receiver::always(Reply::status(400, body)).await;
        let sent =
            sink(json!({ "url": receiver.url("") })).send(&opened(&[item("a", High)]), &values()).await;
        let sent = sent.expect_err("an error");
        assert_eq!(matches!(sent, SendError::Credentials(_)), key, "{sent:?}");
        assert_eq!(matches!(sent, SendError::Permanent(_)), !key, "{sent:?}");
    }
}

#[tokio::test]
async fn each_fault_on_the_way_is_what_it_is_and_shows_no_key() {
    let outcomes = at_fault(&opened(&[item("a", High)]), |url| (sink(json!({ "url": url })), values())).await;
    nothing_shows(outcomes.values(), &[KEY]);
}

#[test]
fn the_api_server_takes_what_works_and_says_what_is_wrong_with_the_rest() {
    let whole = json!({
        "routingKey": { "name": "a", "key": "b" }, "source": "west 1", "summary": "{{ policy }}",
        "url": "https://events.eu.pagerduty.com", "tls": {},
    });
    assert_eq!(refused::<PagerDutyConfig>(&whole), "");
    assert!(PagerDuty::new(&serde_json::from_value(whole.clone()).expect("a configuration")).is_ok());
    for (field, value, said, found) in [
        ("url", json!("https://events.pagerduty.com/v2/enqueue"), "without /v2/enqueue", "remove /v2/..."),
        ("url", json!("pagerduty.com"), "must be an address", "pagerDuty.url: must be an address"),
        ("source", json!(" "), "one line of ASCII", "pagerDuty.source: is empty"),
        ("summary", json!("{{ policy"), "", "pagerDuty.summary: "),
    ] {
        let mut config = whole.clone();
        config[field] = value;
        let text = refused::<PagerDutyConfig>(&config);
        assert!(text.contains(said), "{field}: {text}");
        let made = PagerDuty::new(&serde_json::from_value(config).expect("a configuration"));
        let text = made.err().into_iter().flatten().map(|problem| problem.to_string()).collect::<String>();
        assert!(text.contains(found), "{field}: {text}");
    }
}
