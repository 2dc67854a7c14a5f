use std::collections::VecDeque;

use serde_json::{Value, json};

use super::*;
use crate::core::finding::Severity::{Critical, High};
use crate::sinks::testing::{
    Received, Receiver, Reply, all_resolved, at_fault, collapsed, item, key, nothing_shows, notice, occurred,
    occurrence, opened, refused, secrets,
};

const TOKEN: &str = "xoxb-s3cr3t-token";

fn sink(config: Value) -> Slack {
    Slack::new(&serde_json::from_value(config).expect("a configuration")).expect("a sink")
}

fn problems(config: Value) -> String {
    let config = serde_json::from_value(config).expect("a configuration");
    let problems = Slack::new(&config).expect_err("problems");
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    problems.join("\n")
}

fn secret(name: &str) -> Value {
    json!({ "name": "alerts", "key": name })
}

fn app(receiver: &Receiver, on_update: &str) -> Slack {
    sink(json!({
        "token": secret("token"), "channel": "C0123456789", "onUpdate": on_update, "apiUrl": receiver.url("/api"),
    }))
}

fn token() -> Secrets {
    secrets(&[("token", TOKEN)])
}

/// A Slack that posts, unless something else comes first.
async fn slack(first: &[Value]) -> Receiver {
    let mut first: VecDeque<Value> = first.iter().cloned().collect();
    Receiver::new(move |_| {
        let posted = json!({ "ok": true, "channel": "C0123456789", "ts": "1700000000.000100" });
        Reply::status(200, &first.pop_front().unwrap_or(posted).to_string())
    })
    .await
}

fn sections(request: &Received) -> String {
    let body = request.json();
    let blocks = body["blocks"].as_array().expect("blocks").clone();
    blocks.iter().filter_map(|block| block["text"]["text"].as_str()).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn an_incoming_webhook_is_posted_a_message_of_its_own_each_time() {
    let receiver = Receiver::always(Reply::status(200, "ok")).await;
    let sink = sink(
        json!({ "webhookUrl": secret("url"), "text": "{{ policy }}: {% for item in opened %}{{ item.message }}{% endfor %}" }),
    );
    assert_eq!((sink.kind(), sink.resend(), sink.secrets()), ("slack", None, vec![key("url")]));
    let values = secrets(&[("url", &receiver.url("/services/T0/B0/x\n"))]);
    assert_eq!(sink.send(&opened(&[item("a", High)]), &values).await, Ok(Receipt::default()));
    let request = receiver.only();
    assert_eq!((&*request.method, &*request.path), ("POST", "/services/T0/B0/x"));
    assert_eq!(request.header("content-type"), "application/json; charset=utf-8");
    assert_eq!(request.header("authorization"), "");
    let text = "routes: no backend of a is ready";
    let section = json!({ "type": "section", "text": { "type": "mrkdwn", "text": text, "verbatim": true } });
    assert_eq!(
        request.json(),
        json!({ "text": text, "blocks": [section], "unfurl_links": false, "unfurl_media": false })
    );
}

#[tokio::test]
async fn an_app_begins_a_thread_and_replies_in_it() {
    let receiver = slack(&[]).await;
    let sink = app(&receiver, "Thread");
    assert_eq!(sink.secrets(), [key("token")]);
    let receipt = sink.send(&opened(&[item("a", High)]), &token()).await.expect("sent");
    assert_eq!(receipt.reference.as_deref(), Some("C0123456789:1700000000.000100"));
    let resolved = Notice { reference: receipt.reference, ..all_resolved(&[item("a", High)]) };
    assert_eq!(sink.send(&resolved, &token()).await, Ok(Receipt::default()));

    let received = receiver.received();
    for request in &received {
        assert_eq!(
            (&*request.path, request.header("authorization")),
            ("/api/chat.postMessage", "Bearer xoxb-s3cr3t-token")
        );
        assert_eq!(request.json()["channel"], "C0123456789");
        assert_eq!(request.json()["ts"], Value::Null);
    }
    assert_eq!(received[0].json()["thread_ts"], Value::Null);
    assert_eq!(received[1].json()["thread_ts"], "1700000000.000100");
}

#[tokio::test]
async fn an_app_edits_its_first_message_where_that_is_wanted() {
    let receiver = slack(&[]).await;
    let reference = Some("C0123456789:1700000000.000100".to_owned());
    let resolved = Notice { reference, ..all_resolved(&[item("a", High)]) };
    assert_eq!(app(&receiver, "Update").send(&resolved, &token()).await, Ok(Receipt::default()));
    let request = receiver.only();
    assert_eq!(request.path, "/api/chat.update");
    assert_eq!(
        (&request.json()["ts"], &request.json()["thread_ts"]),
        (&json!("1700000000.000100"), &Value::Null)
    );
}

#[tokio::test]
async fn what_can_not_be_followed_any_more_is_begun_anew() {
    for (on_update, error) in [
        ("Thread", "thread_not_found"),
        ("Thread", "is_archived"),
        ("Update", "message_not_found"),
        ("Update", "edit_window_closed"),
        ("Update", "cant_update_message"),
    ] {
        let receiver = slack(&[json!({ "ok": false, "error": error })]).await;
        let reference = Some("C0123456789:1600000000.000100".to_owned());
        let again = Notice { reference, ..opened(&[item("a", High)]) };
        let receipt = app(&receiver, on_update).send(&again, &token()).await.expect("sent");
        assert_eq!(receipt.reference.as_deref(), Some("C0123456789:1700000000.000100"), "{error}");
        let request = receiver.received().pop().expect("a request");
        assert_eq!((&*request.path, &request.json()["thread_ts"]), ("/api/chat.postMessage", &Value::Null));
    }
}

#[tokio::test]
async fn another_channel_in_the_spec_is_used_at_once_and_a_name_follows_the_id() {
    for (channel, to, thread) in
        [("C9999999999", "C9999999999", Value::Null), ("#alerts", "C0123456789", json!("1.2"))]
    {
        let receiver = slack(&[]).await;
        let sink =
            sink(json!({ "token": secret("token"), "channel": channel, "apiUrl": receiver.url("/api") }));
        let later = Notice { reference: Some("C0123456789:1.2".to_owned()), ..opened(&[item("a", High)]) };
        sink.send(&later, &token()).await.expect("sent");
        let body = receiver.only().json();
        assert_eq!((&body["channel"], &body["thread_ts"]), (&json!(to), &thread));
    }
}

#[tokio::test]
async fn every_kind_of_notice_is_a_message_and_a_test_leaves_the_thread_alone() {
    for notice in [
        opened(&[item("a", High), item("b", Critical)]),
        collapsed(),
        all_resolved(&[item("a", High)]),
        occurred(&[occurrence("a", High)]),
    ] {
        let receiver = slack(&[]).await;
        app(&receiver, "Thread").send(&notice, &token()).await.expect("sent");
        let text = sections(&receiver.only());
        assert!(
            text.starts_with('*') && text.lines().next().is_some_and(|line| line.ends_with('*')),
            "{text}"
        );
    }
    let receiver = slack(&[]).await;
    let test = Notice { reference: Some("C0123456789:1.2".to_owned()), ..notice(Reason::Test) };
    assert_eq!(app(&receiver, "Update").send(&test, &token()).await, Ok(Receipt::default()));
    let request = receiver.only();
    assert_eq!((&*request.path, &request.json()["thread_ts"]), ("/api/chat.postMessage", &Value::Null));

    let own = sink(json!({
        "token": secret("token"), "channel": "C0123456789", "apiUrl": receiver.url("/api"), "text": "hello",
    }));
    own.send(&test, &token()).await.expect("sent");
    assert_eq!(receiver.received()[1].json()["text"], "[test] hello");
}

#[tokio::test]
async fn no_text_of_a_finding_mentions_anybody_and_that_of_the_template_may() {
    let receiver = slack(&[]).await;
    let mut odd = item("a", High);
    odd.message = "<!channel> look".to_owned();
    let text = "<!here> {% for item in opened %}{{ item.message }}{% endfor %}";
    let own = sink(json!({
        "token": secret("token"), "channel": "C0123456789", "apiUrl": receiver.url("/api"), "text": text,
    }));
    own.send(&opened(&[odd.clone()]), &token()).await.expect("sent");
    assert_eq!(sections(&receiver.only()), "<!here> &lt;!channel&gt; look");
    app(&receiver, "Thread").send(&opened(&[odd]), &token()).await.expect("sent");
    let request = receiver.received().pop().expect("a request");
    assert!(!String::from_utf8_lossy(&request.body).contains("<!"), "{:?}", request.json());
}

#[tokio::test]
async fn an_empty_text_and_what_is_only_repeated_are_not_sent() {
    let receiver = slack(&[]).await;
    let quiet = sink(json!({
        "token": secret("token"), "channel": "C0123456789", "apiUrl": receiver.url("/api"),
        "text": "{% if reason == 'Occurred' %}look{% endif %}",
    }));
    assert_eq!(quiet.send(&opened(&[item("a", High)]), &token()).await, Ok(Receipt::default()));
    let again = notice(Reason::Resend);
    assert_eq!(app(&receiver, "Thread").send(&again, &token()).await, Ok(Receipt::default()));
    assert!(receiver.received().is_empty());
}

#[tokio::test]
async fn each_error_of_slack_is_what_it_is_and_shows_no_token() {
    for error in ["invalid_auth", "not_authed", "account_inactive", "token_revoked", "missing_scope"] {
        let receiver = slack(&[json!({ "ok": false, "error": error, "got": TOKEN })]).await;
        let sent = app(&receiver, "Thread").send(&opened(&[item("a", High)]), &token()).await;
        let sent = sent.expect_err(error);
        assert!(matches!(&sent, SendError::Credentials(text) if text.contains(error)), "{sent:?}");
        nothing_shows([&sent], &[TOKEN]);
    }
    for error in ["channel_not_found", "not_in_channel", "is_archived", "msg_too_long", "what_is_that"] {
        let receiver = slack(&[json!({ "ok": false, "error": error })]).await;
        let sent = app(&receiver, "Thread").send(&opened(&[item("a", High)]), &token()).await;
        assert!(matches!(&sent, Err(SendError::Permanent(text)) if text.contains(error)), "{sent:?}");
        assert_eq!(receiver.received().len(), 1);
    }
    for error in ["ratelimited", "rate_limited", "internal_error", "fatal_error"] {
        let headers = vec![("retry-after", "30".to_owned())];
        let body = json!({ "ok": false, "error": error }).to_string();
        let receiver = Receiver::always(Reply::Whole(200, headers, body)).await;
        let sent = app(&receiver, "Thread").send(&opened(&[item("a", High)]), &token()).await;
        let wait = Some(std::time::Duration::from_secs(30));
        assert!(
            matches!(&sent, Err(SendError::Passing { retry_after, .. }) if *retry_after == wait),
            "{sent:?}"
        );
    }
    for reply in [Reply::status(200, "<html>"), Reply::status(200, ""), Reply::Endless(200)] {
        let receiver = Receiver::always(reply).await;
        let sent = app(&receiver, "Thread").send(&opened(&[item("a", High)]), &token()).await;
        assert!(matches!(&sent, Err(SendError::Passing { .. })), "{sent:?}");
    }
}

#[tokio::test]
async fn a_webhook_that_was_revoked_needs_another_one() {
    for (status, said) in
        [(404, "no_service"), (404, "no_team"), (403, "invalid_token"), (400, "no_active_hooks")]
    {
        let receiver = Receiver::always(Reply::status(status, said)).await;
        let sink = sink(json!({ "webhookUrl": secret("url") }));
        let values = secrets(&[("url", &receiver.url("/services/T0/B0/s3cr3t"))]);
        let sent = sink.send(&opened(&[item("a", High)]), &values).await;
        assert!(matches!(&sent, Err(SendError::Credentials(text)) if text.contains(said)), "{sent:?}");
    }
}

#[tokio::test]
async fn each_fault_on_the_way_is_what_it_is_and_shows_no_secret() {
    let outcomes = at_fault(&opened(&[item("a", High)]), |url| {
        let sink = sink(json!({
            "token": secret("token"), "channel": "C0123456789", "apiUrl": format!("{url}/api"),
        }));
        (sink, token())
    })
    .await;
    nothing_shows(outcomes.values(), &[TOKEN]);
    let path = "/services/T0123/B0123/s3cr3t-path";
    let outcomes = at_fault(&opened(&[item("a", High)]), |url| {
        (sink(json!({ "webhookUrl": secret("url") })), secrets(&[("url", &format!("{url}{path}"))]))
    })
    .await;
    nothing_shows(outcomes.values(), &[path, "s3cr3t-path", "127.0.0.1"]);
}

#[test]
fn the_api_server_takes_what_works_and_says_what_is_wrong_with_the_rest() {
    let whole = json!({
        "token": secret("token"), "channel": "#alerts", "onUpdate": "Update", "text": "{{ policy }}",
        "apiUrl": "https://slack-gov.com/api", "tls": {},
    });
    assert_eq!(refused::<SlackConfig>(&whole), "");
    sink(whole);
    assert_eq!(refused::<SlackConfig>(&json!({ "webhookUrl": secret("url") })), "");
    for (config, said, found) in [
        (json!({}), "either webhookUrl", "slack: give either"),
        (json!({ "token": secret("a") }), "token and channel belong together", "slack.channel: token and"),
        (json!({ "webhookUrl": secret("a"), "channel": "x" }), "belong together", "slack.channel: token and"),
        (
            json!({ "webhookUrl": secret("a"), "onUpdate": "Thread" }),
            "onUpdate belongs",
            "slack.onUpdate: belongs",
        ),
        (
            json!({ "webhookUrl": secret("a"), "apiUrl": "https://x" }),
            "apiUrl belongs",
            "slack.apiUrl: belongs",
        ),
        (json!({ "token": secret("a"), "channel": "a b" }), "ID or the name", "slack.channel: is not the ID"),
        (
            json!({ "token": secret("a"), "channel": "C1", "apiUrl": "https://x/?a=b" }),
            "without query",
            "slack.apiUrl: has a query",
        ),
    ] {
        let text = refused::<SlackConfig>(&config);
        assert!(text.contains(said), "{config}: {text}");
        let text = problems(config.clone());
        assert!(text.contains(found), "{config}: {text}");
    }
    let text = problems(json!({ "webhookUrl": secret("a"), "text": "{{ policy" }));
    assert!(text.starts_with("slack.text: "), "{text}");
}
