//! That the real Alertmanager does in tests what it does elsewhere.

use serde_json::json;

use crate::support::receiver::Hook;
use crate::support::{Alertmanager, Route};

#[tokio::test]
async fn alertmanager_groups_alerts_and_tells_whom_it_is_to_tell() {
    let hook = Hook::start();
    let route = Route {
        group_by: vec!["policy".to_owned()],
        webhook: Some(hook.url(Hook::PATH)),
        ..Route::default()
    };
    let alertmanager = Alertmanager::start(&route).await;
    assert_eq!(alertmanager.alerts().await, []);

    let alert = |policy: &str, name: &str| {
        json!({
            "labels": {"alertname": name, "policy": policy},
            "annotations": {"summary": "a test"},
            "generatorURL": "http://127.0.0.1/",
        })
    };
    let alerts = json!([alert("one", "a"), alert("one", "b"), alert("two", "a")]);
    assert_eq!(alertmanager.post(&alerts).await.0, 200);
    let alerts = alertmanager.alerts_when("three stand", |alerts| alerts.len() == 3).await;
    assert!(alerts.iter().all(|alert| alert.annotations["summary"] == "a test"), "{alerts:#?}");
    assert!(alerts.iter().all(|alert| alert.receivers[0].name == "ours"), "{alerts:#?}");
    let groups = alertmanager.groups().await;
    let sizes: Vec<_> = groups.iter().map(|group| (&*group.labels["policy"], group.alerts.len())).collect();
    assert_eq!(sizes, [("one", 2), ("two", 1)]);

    let told = hook.when("three alerts are told", |seen| seen.view.firing().count() == 3).await;
    assert_eq!(told.view.groups.len(), 2, "{:#?}", told.view);

    let mut over = alert("two", "a");
    over["endsAt"] = json!("2020-01-01T00:00:00Z");
    over["startsAt"] = json!("2019-01-01T00:00:00Z");
    assert_eq!(alertmanager.post(&json!([over])).await.0, 200);
    let left = alertmanager.alerts_when("one is over", |alerts| alerts.len() == 2).await;
    assert!(left.iter().all(|alert| alert.label("policy") == "one"), "{left:#?}");
    hook.when("two alerts stand", |seen| seen.view.firing().count() == 2).await;
    hook.assert_no_violations();

    // What it refuses it says so, and what is wrong with a client is seen.
    let (status, body) = alertmanager.post(&json!([{"labels": {"not a name": "x"}}])).await;
    assert_eq!(status, 400, "{body}");
}

#[tokio::test]
async fn alertmanager_forgets_alerts_when_it_is_started_again() {
    let alertmanager = Alertmanager::start(&Route::default()).await;
    let alerts = json!([{"labels": {"alertname": "forgotten"}}]);
    alertmanager.post(&alerts).await;
    alertmanager.alerts_when("one stands", |alerts| alerts.len() == 1).await;
    alertmanager.kill();
    alertmanager.try_alerts().await.expect_err("nobody answers");
    alertmanager.start_again().await;
    assert_eq!(alertmanager.alerts().await, []);
}
