//! Our Slack.

use serde_json::{Value, json};

use crate::support::http;
use crate::support::receiver::{Receiver, Slack};

async fn post(slack: &Receiver<Slack>, path: &str, token: Option<&str>, body: &Value) -> (u16, String) {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![("Content-Type", "application/json; charset=utf-8")];
    if let Some(bearer) = &bearer {
        headers.push(("Authorization", bearer));
    }
    let answer = http::send(slack.port(), "POST", path, &headers, body.to_string().as_bytes()).await;
    let answer = answer.expect("an answer");
    (answer.status, answer.text().expect("text"))
}

async fn method(slack: &Receiver<Slack>, name: &str, body: &Value) -> Value {
    let path = format!("{}/{name}", Slack::API_PATH);
    let (status, answer) = post(slack, &path, Some(slack.vendor().token()), body).await;
    assert_eq!(status, 200, "{answer}");
    serde_json::from_str(&answer).expect("JSON")
}

#[tokio::test]
async fn messages_have_threads_and_can_be_updated() {
    let slack = Slack::start(&["alerts", "other"]);
    let channel = slack.vendor().channel("alerts");
    let blocks = json!([
        {"type": "header", "text": {"type": "plain_text", "text": "Two findings"}},
        {"type": "section", "text": {"type": "mrkdwn", "text": "*a* &lt; b, <https://example.com/?a=1&b=2|here>\n> quoted"}},
        {"type": "divider"},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "polywatch"}]},
        {"type": "actions", "elements": [
            {"type": "button", "text": {"type": "plain_text", "text": "Runbook"}, "url": "https://example.com"},
        ]},
    ]);
    let message = json!({"channel": "#alerts", "text": "two findings", "blocks": blocks});
    let answer = method(&slack, "chat.postMessage", &message).await;
    assert_eq!((&answer["ok"], &answer["channel"]), (&json!(true), &json!(channel)), "{answer}");
    let ts = answer["ts"].as_str().expect("a time");

    let reply = json!({"channel": channel, "text": "one is resolved", "thread_ts": ts});
    let reply = method(&slack, "chat.postMessage", &reply).await;
    assert_eq!(reply["ok"], true, "{reply}");
    let update = json!({"channel": channel, "ts": ts, "text": "one finding"});
    let update = method(&slack, "chat.update", &update).await;
    assert_eq!(update["ok"], true, "{update}");

    let seen = slack.seen();
    let roots = seen.view.roots();
    assert_eq!((roots.len(), roots[0].text.as_str(), roots[0].edits), (1, "one finding", 1));
    assert_eq!(roots[0].blocks.len(), 5, "an update leaves what it does not name");
    assert_eq!(seen.view.replies(ts).len(), 1);
    slack.assert_no_violations();

    // An update by name is none, and what a person deleted has no thread any more.
    let by_name = method(&slack, "chat.update", &json!({"channel": "alerts", "ts": ts, "text": "x"})).await;
    assert_eq!(by_name["error"], "channel_not_found");
    slack.by_hand(|view| drop(view.messages.remove(ts)));
    let gone = method(&slack, "chat.update", &json!({"channel": channel, "ts": ts, "text": "x"})).await;
    assert_eq!(gone["error"], "message_not_found");
    let gone = json!({"channel": channel, "text": "x", "thread_ts": ts});
    assert_eq!(method(&slack, "chat.postMessage", &gone).await["error"], "thread_not_found");
    slack.assert_no_violations();
}

#[tokio::test]
async fn the_address_of_a_webhook_is_its_credential() {
    let slack = Slack::start(&["alerts"]);
    let body = json!({"text": "hello"});
    assert_eq!(post(&slack, Slack::WEBHOOK_PATH, None, &body).await, (200, "ok".to_owned()));
    let other = post(&slack, "/services/T00000000/B00000000/other", None, &body).await;
    assert_eq!(other, (404, "no_service".to_owned()));
    let seen = slack.seen();
    assert_eq!((seen.taken, seen.refused), (1, 1));
    assert!(seen.view.roots()[0].by_webhook);
    slack.assert_no_violations();
}

#[tokio::test]
async fn methods_need_the_token() {
    let slack = Slack::start(&["alerts"]);
    let body = json!({"channel": "alerts", "text": "hello"});
    for (token, error) in [(None, "not_authed"), (Some("xoxb-other"), "invalid_auth")] {
        let (status, answer) = post(&slack, "/api/chat.postMessage", token, &body).await;
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!((status, answer), (200, json!({"ok": false, "error": error})));
    }
    assert_eq!(slack.seen().refused, 2);
    slack.assert_no_violations();
}

#[tokio::test]
async fn messages_that_are_not_as_documented_are_found() {
    let slack = Slack::start(&["alerts"]);
    let section = |text: &str| json!([{"type": "section", "text": {"type": "mrkdwn", "text": text}}]);
    let header = |text: &str| json!([{"type": "header", "text": {"type": "plain_text", "text": text}}]);
    let of = |blocks: Value| json!({"channel": "alerts", "text": "x", "blocks": blocks});
    let refused = [
        ("neither text nor blocks", json!({"channel": "alerts"})),
        ("channel is missing", json!({"text": "x"})),
        ("text has 40001", json!({"channel": "alerts", "text": "x".repeat(40_001)})),
        ("blocks[0].text.text has 3001", of(section(&"x".repeat(3001)))),
        ("blocks[0].text.text is empty", of(section(""))),
        ("blocks[0].text.text has 151", of(header(&"x".repeat(151)))),
        ("blocks has 51", of(json!(vec![json!({"type": "divider"}); 51]))),
        ("blocks[0].type is heading", of(json!([{"type": "heading"}]))),
        ("blocks[0].elements is missing", of(json!([{"type": "context", "elements": []}]))),
    ];
    for (n, (what, message)) in refused.iter().enumerate() {
        let answer = method(&slack, "chat.postMessage", message).await;
        assert_eq!(answer["ok"], false, "{what}: {answer}");
        let seen = slack.seen();
        assert_eq!(seen.violations.len(), n + 1, "{what}: {:#?}", seen.violations);
        assert!(seen.violations[n].contains(what), "{what}: {:#?}", seen.violations);
    }

    let slack = Slack::start(&["alerts"]);
    let let_pass = [
        ("< that begins no link", json!({"channel": "alerts", "text": "a < b"})),
        ("< that begins no link", json!({"channel": "alerts", "text": "<!channel> help"})),
        ("& that is not escaped", json!({"channel": "alerts", "text": "a & b"})),
        ("> that is not escaped", json!({"channel": "alerts", "text": "a -> b"})),
        ("text is missing", json!({"channel": "alerts", "blocks": section("x")})),
        ("colour is no field", json!({"channel": "alerts", "text": "x", "colour": "red"})),
    ];
    for (n, (what, message)) in let_pass.iter().enumerate() {
        let answer = method(&slack, "chat.postMessage", message).await;
        assert_eq!(answer["ok"], true, "{what}: {answer}");
        let seen = slack.seen();
        assert_eq!(seen.violations.len(), n + 1, "{what}: {:#?}", seen.violations);
        assert!(seen.violations[n].contains(what), "{what}: {:#?}", seen.violations);
    }
}
