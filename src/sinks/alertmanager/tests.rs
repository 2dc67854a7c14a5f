use serde_json::{Value, json};

use super::*;
use crate::core::finding::Severity::High;
use crate::sinks::http::{Auth, BasicAuth};
use crate::sinks::testing::{
    Receiver, Reply, at_fault, item, key, nobody, nothing_shows, opened, refused, secrets,
};

fn config(value: Value) -> AlertmanagerConfig {
    serde_json::from_value(value).expect("a configuration")
}

fn sink(urls: &[String]) -> Alertmanager {
    Alertmanager::new(&config(json!({ "urls": urls }))).expect("a sink")
}

fn problems(value: Value) -> String {
    let problems = Alertmanager::new(&config(value)).expect_err("problems");
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    problems.join("\n")
}

#[tokio::test]
async fn alerts_are_posted_as_a_list_and_a_long_one_in_pieces() {
    let receiver = Receiver::always(Reply::status(200, "")).await;
    let sink = sink(&[receiver.url("/prefix/")]);
    assert_eq!((sink.kind(), sink.resend()), ("alertmanager", Some(Duration::from_secs(60))));
    let notice = opened(&[item("checkout", High)]);
    assert_eq!(sink.send(&notice, &Secrets::default()).await, Ok(Receipt::default()));
    let posted = receiver.only();
    assert_eq!((&*posted.method, &*posted.path), ("POST", "/prefix/api/v2/alerts"));
    assert_eq!(posted.header("content-type"), "application/json");
    assert_eq!(posted.json()[0]["labels"]["name"], "checkout");

    let many: Vec<_> = (0..100).map(|n| item(&format!("route-{n}"), High)).collect();
    sink.send(&opened(&many), &Secrets::default()).await.expect("taken");
    let sizes = receiver.received().into_iter().map(|posted| posted.json().as_array().map_or(0, Vec::len));
    assert_eq!(sizes.collect::<Vec<_>>(), [1, 64, 36]);
}

#[tokio::test]
async fn every_member_is_told_and_one_that_takes_it_is_enough() {
    let notice = opened(&[item("checkout", High)]);
    let well = Receiver::always(Reply::status(200, "")).await;
    let refusing = Receiver::always(Reply::status(401, "no")).await;
    let broken = Receiver::always(Reply::status(500, "oh")).await;
    let sink_of =
        |members: &[&Receiver]| sink(&members.iter().map(|member| member.url("")).collect::<Vec<_>>());
    let all = sink_of(&[&refusing, &broken, &well]);
    all.send(&notice, &Secrets::default()).await.expect("taken");
    for member in [&refusing, &broken, &well] {
        assert_eq!(member.received().len(), 1);
    }
    // Of those that do not, the one that may do later.
    let error =
        sink_of(&[&refusing, &broken]).send(&notice, &Secrets::default()).await.expect_err("an error");
    assert!(matches!(&error, SendError::Passing { why, .. } if why.contains("answers 500")), "{error:?}");
    let error = sink_of(&[&refusing]).send(&notice, &Secrets::default()).await.expect_err("an error");
    assert!(matches!(error, SendError::Credentials(_)), "{error:?}");
}

#[tokio::test]
async fn a_member_that_is_silent_makes_nobody_wait_once_another_took_it() {
    let well = Receiver::always(Reply::status(200, "")).await;
    let silent = Receiver::always(Reply::Silence).await;
    let sink = sink(&[silent.url(""), well.url(""), nobody().await]);
    let notice = opened(&[item("checkout", High)]);
    let values = Secrets::default();
    let sent = tokio::time::timeout(Duration::from_secs(10), sink.send(&notice, &values));
    sent.await.expect("in time").expect("taken");
    assert_eq!(silent.received().len(), 1);
}

#[tokio::test]
async fn each_fault_of_an_alertmanager_is_what_it_is_and_shows_no_password() {
    let auth = Auth {
        basic_auth: Some(BasicAuth { username: "polywatch".into(), password_secret: key("password") }),
        bearer_token_secret: None,
    };
    let hidden = ["s3cr3t \"pass\"", "polywatch:s3cr3t \"pass\""];
    let outcomes = at_fault(&opened(&[item("checkout", High)]), |url| {
        let mut config = config(json!({ "urls": [format!("{url}/prefix")] }));
        config.auth = Some(auth.clone());
        (Alertmanager::new(&config).expect("a sink"), secrets(&[("password", hidden[0])]))
    })
    .await;
    nothing_shows(outcomes.values(), &hidden);
    assert!(outcomes["400"].to_string().contains("/prefix/api/v2/alerts answers 400 Bad Request: "));
}

#[test]
fn the_api_server_takes_what_works_and_says_what_is_wrong_with_the_rest() {
    let refused = |config: Value| refused::<AlertmanagerConfig>(&config);
    let urls = json!(["http://alertmanager-0.monitoring:9093/prefix", "https://[::1]:9093"]);
    let whole = json!({
        "urls": urls,
        "labels": { "cluster": "west" },
        "resendInterval": "30s",
        "occurrencesLast": "1h30m",
        "auth": { "basicAuth": { "username": "me", "passwordSecret": { "name": "a", "key": "b" } } },
        "tls": { "ca": { "name": "a", "key": "b" } },
    });
    assert_eq!(refused(whole.clone()), "");
    Alertmanager::new(&config(whole)).expect("a sink");
    for (field, value, why) in [
        ("urls", json!([]), "must have at least 1"),
        ("urls", json!(["alertmanager:9093"]), "each entry must be an address"),
        ("urls", json!(["http://me:secret@alertmanager"]), "each entry must be an address"),
        ("urls", json!(["http://alertmanager/api/v2/alerts"]), "without /api/v2"),
        ("labels", json!({ "severity": "x" }), "set by polywatch"),
        ("labels", json!({ "a-b": "x" }), "letters, digits and underscores"),
        ("labels", json!({ "a": "x".repeat(257) }), "256"),
        ("resendInterval", json!("5s"), "from 10s to 24h"),
        ("occurrencesLast", json!("2d"), "from 10s to 24h"),
        ("auth", json!({}), "either basicAuth or bearerTokenSecret"),
        (
            "auth",
            json!({ "basicAuth": { "username": "a:b", "passwordSecret": { "name": "a", "key": "b" } } }),
            "match",
        ),
        (
            "tls",
            json!({ "ca": { "name": "a", "key": "b" }, "insecureSkipVerify": true }),
            "exclude each other",
        ),
    ] {
        let mut config = json!({ "urls": urls });
        config[field] = value;
        let text = refused(config);
        assert!(text.contains(why), "{field}: {text}");
    }
}

#[test]
fn what_can_not_work_is_refused_with_the_field() {
    let urls = json!(["http://alertmanager:9093"]);
    assert_eq!(problems(json!({ "urls": [] })), "alertmanager.urls: needs one address, and may have 8");
    assert!(problems(json!({ "urls": ["nowhere"] })).starts_with("alertmanager.urls[0]: must be an address"));
    assert!(problems(json!({ "urls": ["http://a/api/v2"] })).contains("remove /api"));
    for (name, why) in [("severity", "set by polywatch"), ("label_x", "set by"), ("a-b", "letters, digits")] {
        let text = problems(json!({ "urls": urls, "labels": { name: "x" } }));
        assert!(text.starts_with(&format!("alertmanager.labels.{name}: ")) && text.contains(why), "{text}");
    }
    for time in ["5s", "25h", "soon", "-1m"] {
        let text = problems(json!({ "urls": urls, "resendInterval": time, "occurrencesLast": time }));
        assert!(text.contains("alertmanager.resendInterval: ") && text.contains("occurrencesLast"), "{text}");
    }
    assert!(problems(json!({ "urls": urls, "auth": {} })).contains("either basicAuth or bearerTokenSecret"));
}
