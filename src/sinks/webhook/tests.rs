use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::*;
use crate::core::alert::Reason;
use crate::core::finding::Severity::High;
use crate::sinks::testing::{
    Receiver, Reply, at_fault, item, key, nothing_shows, notice, opened, refused, secrets,
};

fn sink(config: Value) -> Webhook {
    Webhook::new(&serde_json::from_value(config).expect("a configuration")).expect("a sink")
}

fn problems(config: Value) -> String {
    let config = serde_json::from_value(config).expect("a configuration");
    let problems = Webhook::new(&config).expect_err("problems");
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    problems.join("\n")
}

fn secret(name: &str) -> Value {
    json!({ "name": "alerts", "key": name })
}

#[tokio::test]
async fn each_event_is_a_request_of_its_own_with_its_id_as_idempotency_key() {
    let receiver = Receiver::always(Reply::status(202, "")).await;
    let sink = sink(json!({
        "url": receiver.url("/in?tenant=a"),
        "source": "//west.example/polywatch/",
        "headers": { "X-Team": "platform" },
        "secretHeaders": { "X-Api-Key": secret("api") },
    }));
    assert_eq!((sink.kind(), sink.resend(), sink.secrets()), ("webhook", None, vec![key("api")]));
    let values = secrets(&[("api", "s3cr3t\n")]);
    let notice = opened(&[item("a", High), item("b", High)]);
    assert_eq!(sink.send(&notice, &values).await, Ok(Receipt::default()));
    let received = receiver.received();
    assert_eq!(received.len(), 2);
    for request in &received {
        assert_eq!((&*request.path, request.query.as_deref()), ("/in", Some("tenant=a")));
        assert_eq!(request.header("content-type"), "application/cloudevents+json");
        assert_eq!(request.header("x-team"), "platform");
        assert_eq!(request.header("x-api-key"), "s3cr3t");
        assert_eq!(request.header("x-polywatch-signature"), "");
        assert_eq!(request.json()["id"], request.header("idempotency-key"));
        assert_eq!(request.json()["source"], "//west.example/polywatch/policies/routes");
    }
    let keys: BTreeSet<_> = received.iter().map(|request| request.header("idempotency-key")).collect();
    assert_eq!(keys.len(), 2);

    sink.send(&notice, &values).await.expect("sent again");
    let again: BTreeSet<_> = receiver.received()[2..].iter().map(|request| request.body.clone()).collect();
    assert_eq!(again, received.iter().map(|request| request.body.clone()).collect());
}

#[tokio::test]
async fn events_in_lists_are_few_requests() {
    let receiver = Receiver::always(Reply::status(200, "")).await;
    let sink = sink(json!({ "url": receiver.url("/"), "mode": "Batched" }));
    let mut many = opened(&(0..100).map(|n| item(&format!("route-{n}"), High)).collect::<Vec<_>>());
    many.resolved = vec![item("gone", High)];
    sink.send(&many, &Secrets::default()).await.expect("taken");
    let received = receiver.received();
    let sizes: Vec<_> = received.iter().map(|request| request.json().as_array().map(Vec::len)).collect();
    assert_eq!(sizes, [Some(100), Some(1)]);
    assert_eq!(received[0].header("content-type"), "application/cloudevents-batch+json; charset=UTF-8");
    for request in &received {
        assert_eq!(request.json()[0]["id"], request.header("idempotency-key"));
    }
}

#[tokio::test]
async fn a_signature_can_be_checked_as_it_is_documented() {
    let receiver = Receiver::always(Reply::status(200, "")).await;
    let sink = sink(json!({ "url": receiver.url("/"), "signingKey": secret("hmac") }));
    let before = Timestamp::now().as_second();
    sink.send(&opened(&[item("a", High)]), &secrets(&[("hmac", "open sesame\n")])).await.expect("taken");
    let request = receiver.only();
    let (time, digits) = request.header("x-polywatch-signature").split_once(',').expect("two parts");
    let time = time.strip_prefix("t=").expect("a time");
    assert!((before..=before + 60).contains(&time.parse().expect("a number")));
    let digits = digits.strip_prefix("v1=").expect("a version");
    let tag: Vec<u8> = (0..digits.len())
        .step_by(2)
        .map(|n| u8::from_str_radix(&digits[n..n + 2], 16).expect("hex"))
        .collect();
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"open sesame");
    let signed = [time.as_bytes(), b".", request.body.as_slice()].concat();
    hmac::verify(&key, &signed, &tag).expect("it is right");
    hmac::verify(&key, &[signed, b"x".to_vec()].concat(), &tag).expect_err("of another body it is not");
}

#[test]
fn a_signature_is_that_of_other_tools() {
    // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac key
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"key");
    assert_eq!(
        signature(&key, 1_700_000_000, br#"{"a":1}"#),
        "t=1700000000,v1=a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03"
    );
}

#[tokio::test]
async fn after_the_first_failure_no_further_event_is_sent() {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    let receiver = Receiver::new(move |_| match counter.fetch_add(1, Ordering::Relaxed) {
        0 => Reply::status(503, "later"),
        _ => Reply::status(200, ""),
    })
    .await;
    let sink = sink(json!({ "url": receiver.url("/") }));
    let many = opened(&(0..100).map(|n| item(&format!("route-{n}"), High)).collect::<Vec<_>>());
    let error = sink.send(&many, &Secrets::default()).await.expect_err("an error");
    assert!(matches!(error, SendError::Passing { .. }), "{error:?}");
    assert!(count.load(Ordering::Relaxed) < 2 * MAX_REQUESTS, "{count:?}");
}

#[tokio::test]
async fn a_notice_with_nothing_new_is_no_request_and_needs_no_secret() {
    let sink = sink(json!({ "urlSecret": secret("url") }));
    let again = notice(Reason::Resend);
    assert_eq!(sink.send(&again, &Secrets::default()).await, Ok(Receipt::default()));
    let error = sink.send(&opened(&[item("a", High)]), &Secrets::default()).await;
    assert!(matches!(error, Err(SendError::Credentials(_))), "{error:?}");
}

#[tokio::test]
async fn each_fault_of_a_receiver_is_what_it_is_and_shows_no_secret() {
    let hidden = ["t0ken-of-some-length", "ap1-k3y", "s1gning k3y", "/hooks/s3cr3t-path", "s3cr3t-query"];
    for mode in ["Structured", "Batched"] {
        let outcomes = at_fault(&opened(&[item("a", High)]), |url| {
            let sink = sink(json!({
                "urlSecret": secret("url"),
                "mode": mode,
                "secretHeaders": { "X-Api-Key": secret("api") },
                "signingKey": secret("hmac"),
                "auth": { "bearerTokenSecret": secret("token") },
            }));
            let url = format!("{url}{}?key={}", hidden[3], hidden[4]);
            let values = [("url", &*url), ("api", hidden[1]), ("hmac", hidden[2]), ("token", hidden[0])];
            (sink, secrets(&values))
        })
        .await;
        nothing_shows(outcomes.values(), &hidden);
        nothing_shows(outcomes.values(), &["s3cr3t-path", "127.0.0.1", "host.invalid"]);
        let text = outcomes["404"].to_string();
        assert!(
            text.starts_with("the address in key url of Secret alerts answers 404 Not Found: "),
            "{text}"
        );
    }
}

#[tokio::test]
async fn of_an_address_in_the_spec_the_query_is_not_shown() {
    let outcomes = at_fault(&opened(&[item("a", High)]), |url| {
        (sink(json!({ "url": format!("{url}/in?key=s3cr3t") })), Secrets::default())
    })
    .await;
    nothing_shows(outcomes.values(), &["s3cr3t"]);
}

#[test]
fn the_api_server_takes_what_works_and_says_what_is_wrong_with_the_rest() {
    let whole = json!({
        "url": "https://host.example:8443/path?tenant=a",
        "mode": "Batched",
        "source": "//west.example/polywatch",
        "headers": { "X-Team": "platform" },
        "secretHeaders": { "Authorization": secret("a") },
        "signingKey": secret("b"),
        "tls": { "insecureSkipVerify": true },
    });
    assert_eq!(refused::<WebhookConfig>(&whole), "");
    sink(whole);
    for (field, value, said, found) in [
        ("url", json!("ftp://host"), "must be an address", "webhook.url: must be an address"),
        ("url", json!("https://me:pass@host/"), "must be an address", "webhook.url: user and password"),
        ("urlSecret", secret("x"), "either url or", "webhook: a webhook has either url or"),
        ("source", json!("a b"), "URI reference", "webhook.source: must be a URI"),
        ("headers", json!({ "authorization": "x" }), "credentials belong", "credentials belong in auth"),
        ("headers", json!({ "Host": "x" }), "set by polywatch", "webhook.headers.Host: is set by polywatch"),
        ("headers", json!({ "a b": "x" }), "names of headers", "webhook.headers.a b: is no name"),
        ("headers", json!({ "a": "line\nbreak" }), "printable ASCII", "printable ASCII"),
        ("secretHeaders", json!({ "Idempotency-Key": secret("x") }), "set by polywatch", "set by polywatch"),
        ("auth", json!({}), "either basicAuth", "webhook.auth: auth is either"),
    ] {
        let mut config = json!({ "url": "https://host.example/" });
        config[field] = value;
        let text = refused::<WebhookConfig>(&config);
        assert!(text.contains(said), "{field}: {text}");
        let text = problems(config);
        assert!(text.contains(found), "{field}: {text}");
    }
    let twice = json!({
        "url": "https://host.example/",
        "headers": { "X-Key": "x" },
        "secretHeaders": { "x-key": secret("x"), "authorization": secret("y") },
        "auth": { "bearerTokenSecret": secret("z") },
    });
    let text = refused::<WebhookConfig>(&twice);
    assert!(text.contains("either in headers or in secretHeaders") && text.contains("auth sets"), "{text}");
    let text = problems(twice);
    assert!(text.contains("given twice") && text.contains("auth sets the same header"), "{text}");
}
