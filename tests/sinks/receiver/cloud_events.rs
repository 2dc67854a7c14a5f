//! Our webhook for CloudEvents.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::support::http;
use crate::support::receiver::{CloudEvents, Receiver, signature};

const SECRET: &[u8] = b"a secret of the tests";

fn event(id: &str) -> Value {
    json!({
        "specversion": "1.0",
        "id": id,
        "source": "/polywatch/tests",
        "type": "dev.polywatch.finding",
        "time": "2026-01-02T03:04:05.678Z",
        "severity": "critical",
        "data": {"reason": "Opened"},
    })
}

async fn send(hook: &Receiver<CloudEvents>, kind: &str, signature: &str, body: &Value) -> u16 {
    let mut headers = vec![("Content-Type", kind)];
    if !signature.is_empty() {
        headers.push(("X-Polywatch-Signature", signature));
    }
    let body = body.to_string();
    http::send(hook.port(), "POST", CloudEvents::PATH, &headers, body.as_bytes())
        .await
        .expect("an answer")
        .status
}

async fn single(hook: &Receiver<CloudEvents>, event: &Value) -> u16 {
    send(hook, "application/cloudevents+json; charset=utf-8", "", event).await
}

#[tokio::test]
async fn events_come_alone_and_in_batches_and_repeats_are_counted() {
    let hook = CloudEvents::start(None);
    assert_eq!(single(&hook, &event("one")).await, 204);
    let batch = json!([event("two"), event("one")]);
    assert_eq!(send(&hook, "application/cloudevents-batch+json", "", &batch).await, 204);
    let seen = hook.seen();
    let order: Vec<_> =
        seen.view.in_order().map(|delivered| (&delivered.event["id"], delivered.times)).collect();
    assert_eq!(order, [(&json!("one"), 2), (&json!("two"), 1)]);
    assert_eq!((seen.view.repeats(), seen.view.batches), (1, 1));
    hook.assert_no_violations();

    let mut other = event("one");
    other["data"]["reason"] = json!("AllResolved");
    assert_eq!(single(&hook, &other).await, 204);
    let seen = hook.seen();
    assert_eq!(seen.violations.len(), 1, "{:#?}", seen.violations);
    assert!(seen.violations[0].contains("id one was another event"), "{:#?}", seen.violations);
}

#[tokio::test]
async fn only_what_is_signed_is_taken() {
    let hook = CloudEvents::start(Some(SECRET));
    let kind = "application/cloudevents+json";
    let body = event("one");
    let sign = |secret: &[u8], time: i64| signature(secret, time, body.to_string().as_bytes());
    let now = Timestamp::now().as_second();
    assert_eq!(send(&hook, kind, &sign(SECRET, now), &body).await, 204);
    // While the secret is replaced, there are two.
    let both = sign(b"the next one", now) + &sign(SECRET, now).replacen(&format!("t={now}"), "", 1);
    assert_eq!(send(&hook, kind, &both, &body).await, 204, "{both}");
    hook.assert_no_violations();

    assert_eq!(send(&hook, kind, &sign(b"another", now), &body).await, 401);
    assert_eq!(send(&hook, kind, &sign(SECRET, now), &event("two")).await, 401, "it is of another body");
    hook.assert_no_violations();

    let wrong =
        [String::new(), sign(SECRET, now - 3600), sign(SECRET, now).to_uppercase(), format!("t={now}")];
    for (n, signature) in wrong.iter().enumerate() {
        assert_eq!(send(&hook, kind, signature, &body).await, 401, "{signature}");
        assert_eq!(hook.seen().violations.len(), n + 1, "{signature}");
    }
    assert_eq!(hook.seen().view.events.len(), 1);
}

/// What `openssl dgst -sha256 -hmac key` says of `1700000000.{}`.
#[test]
fn the_signature_is_over_time_and_body() {
    let expected = "t=1700000000,v1=9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae";
    assert_eq!(signature(b"key", 1_700_000_000, b"{}"), expected);
}

#[tokio::test]
async fn events_that_are_not_as_specified_are_refused_with_the_reason() {
    let hook = CloudEvents::start(None);
    type Spoil = fn(&mut Value);
    let wrong: &[(&str, Spoil)] = &[
        ("specversion", |event| event["specversion"] = json!("0.3")),
        ("id is missing", |event| event["id"] = Value::Null),
        ("id is empty", |event| event["id"] = json!("")),
        ("source is no URI", |event| event["source"] = json!("not a URI")),
        ("type is missing", |event| event["type"] = Value::Null),
        ("time is no time", |event| event["time"] = json!("2026-01-02 03:04:05Z")),
        ("subject is empty", |event| event["subject"] = json!("")),
        ("traceParent is no name", |event| event["traceParent"] = json!("00")),
        ("labels is neither", |event| event["labels"] = json!({"a": "b"})),
        ("count is neither", |event| event["count"] = json!(1u64 << 40)),
        ("data and data_base64", |event| event["data_base64"] = json!("YQ==")),
        ("data is of type text/plain", |event| event["datacontenttype"] = json!("text/plain")),
    ];
    for (n, (what, spoil)) in wrong.iter().enumerate() {
        let mut event = event("wrong");
        spoil(&mut event);
        assert_eq!(single(&hook, &event).await, 400, "{what}");
        let seen = hook.seen();
        assert_eq!(seen.violations.len(), n + 1, "{what}: {:#?}", seen.violations);
        assert!(seen.violations[n].contains(what), "{what}: {:#?}", seen.violations);
    }
    let before = hook.seen().violations.len();
    assert_eq!(send(&hook, "application/json", "", &event("one")).await, 415);
    assert_eq!(send(&hook, "application/cloudevents-batch+json", "", &event("one")).await, 400);
    let batch = json!([event("good"), {"specversion": "1.0"}]);
    assert_eq!(send(&hook, "application/cloudevents-batch+json", "", &batch).await, 400);
    let seen = hook.seen();
    assert!(seen.violations.len() >= before + 3, "{:#?}", seen.violations);
    assert!(seen.view.events.is_empty(), "a batch is taken whole or not at all");
}
