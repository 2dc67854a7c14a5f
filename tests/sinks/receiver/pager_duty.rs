//! Our PagerDuty.

use serde_json::{Value, json};

use crate::support::http;
use crate::support::receiver::{IncidentState, PagerDuty, Receiver};

async fn send(receiver: &Receiver<PagerDuty>, event: &Value) -> (u16, Value) {
    let answer = http::post(receiver.port(), PagerDuty::PATH, &event.to_string()).await;
    let (status, body) = answer.expect("an answer");
    (status, serde_json::from_str(&body).expect("JSON"))
}

fn event(receiver: &Receiver<PagerDuty>, action: &str, key: &str) -> Value {
    let mut event =
        json!({"routing_key": receiver.vendor().routing_key(), "event_action": action, "dedup_key": key});
    if action == "trigger" {
        event["payload"] = json!({
            "summary": "route checkout has no authentication",
            "source": "polywatch",
            "severity": "critical",
            "timestamp": "2026-01-02T03:04:05Z",
            "custom_details": {"rule": "authenticated"},
        });
        event["links"] = json!([{"href": "https://example.com/runbook", "text": "what to do"}]);
    }
    event
}

#[tokio::test]
async fn incidents_are_known_by_their_key() {
    let pager = PagerDuty::start();
    let trigger = event(&pager, "trigger", "one");
    let (status, answer) = send(&pager, &trigger).await;
    assert_eq!(status, 202);
    assert_eq!(answer, json!({"status": "success", "message": "Event processed", "dedup_key": "one"}));
    send(&pager, &trigger).await;
    send(&pager, &event(&pager, "trigger", "two")).await;
    send(&pager, &event(&pager, "acknowledge", "two")).await;
    assert_eq!(pager.seen().view.open(), ["one", "two"]);
    assert_eq!(pager.seen().view.incidents["two"].state, IncidentState::Acknowledged);

    send(&pager, &event(&pager, "resolve", "one")).await;
    send(&pager, &event(&pager, "resolve", "one")).await;
    send(&pager, &trigger).await;
    let seen = pager.seen();
    let one = &seen.view.incidents["one"];
    assert_eq!((one.triggers, one.opened, one.resolved, one.state), (3, 2, 1, IncidentState::Triggered));
    assert_eq!(seen.view.idle, 1, "the second resolve");
    pager.assert_no_violations();
}

#[tokio::test]
async fn another_key_is_refused_and_no_breach() {
    let pager = PagerDuty::start();
    let mut trigger = event(&pager, "trigger", "one");
    trigger["routing_key"] = json!("f".repeat(32));
    assert_eq!(send(&pager, &trigger).await.0, 400);
    assert_eq!(pager.seen().refused, 1);
    pager.assert_no_violations();
}

#[tokio::test]
async fn events_that_are_not_as_documented_are_refused_with_the_reason() {
    let pager = PagerDuty::start();
    type Spoil = fn(&mut Value);
    let wrong: &[(&str, Spoil)] = &[
        ("routing_key", |event| event["routing_key"] = json!("short")),
        ("event_action", |event| event["event_action"] = json!("open")),
        ("dedup_key has 256 characters", |event| event["dedup_key"] = json!("x".repeat(256))),
        ("payload is missing", |event| drop(event.as_object_mut().expect("an object").remove("payload"))),
        ("payload.summary has 1025", |event| event["payload"]["summary"] = json!("é".repeat(1025))),
        ("payload.source is missing", |event| event["payload"]["source"] = Value::Null),
        ("payload.severity", |event| event["payload"]["severity"] = json!("Critical")),
        ("payload.timestamp", |event| event["payload"]["timestamp"] = json!("yesterday")),
        ("payload.custom_details", |event| event["payload"]["custom_details"] = json!("text")),
        ("links[0].href", |event| event["links"] = json!([{"text": "nowhere"}])),
        ("images[0].src", |event| event["images"] = json!([{"src": "http://example.com/x.png"}])),
    ];
    for (n, (what, spoil)) in wrong.iter().enumerate() {
        let mut trigger = event(&pager, "trigger", "one");
        spoil(&mut trigger);
        let (status, answer) = send(&pager, &trigger).await;
        assert_eq!((status, &answer["status"]), (400, &json!("invalid event")), "{what}");
        let seen = pager.seen();
        assert_eq!(seen.violations.len(), n + 1, "{what}: {:#?}", seen.violations);
        assert!(seen.violations[n].contains(what), "{what}: {:#?}", seen.violations);
        assert!(seen.view.incidents.is_empty(), "{what}");
    }
    let mut resolve = event(&pager, "resolve", "one");
    resolve.as_object_mut().expect("an object").remove("dedup_key");
    assert_eq!(send(&pager, &resolve).await.0, 400);

    let mut trigger = event(&pager, "trigger", "one");
    trigger["payload"]["colour"] = json!("red");
    assert_eq!(send(&pager, &trigger).await.0, 202, "unknown fields are let pass");
    let seen = pager.seen();
    assert!(seen.violations.last().is_some_and(|last| last.contains("payload.colour")), "{seen:#?}");
}
