//! The operator and a real Alertmanager: what stands as an alert, for how long, and what becomes of a storm.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::delivery::{ready, sink_when, told_policy};
use crate::harness::{SOON, map, routes, sink, to_alertmanager};
use crate::support::receiver::Hook;
use crate::support::{Alert, Alertmanager, Operator, Route, free_port, start_with_operator};

/// Names of the objects of alerts, with their severity.
fn alerting(alerts: &[Alert]) -> BTreeSet<(&str, &str)> {
    alerts.iter().map(|alert| (alert.label("name"), alert.label("severity"))).collect()
}

async fn told_by(hook: Option<String>) -> Alertmanager {
    let route = Route {
        group_by: vec!["policy".to_owned(), "label_team".to_owned()],
        webhook: hook,
        ..Route::default()
    };
    Alertmanager::start(&route).await
}

/// About 40 s, half of them for an alert to expire: the least time between two that the spec of a sink takes is 10 s,
/// and an alert is kept for two of them, however often the policy tells of it.
#[tokio::test]
async fn a_finding_is_an_alert_for_as_long_as_it_stands_and_somebody_says_so() {
    let hook = Hook::start();
    let alertmanager = told_by(Some(hook.url(Hook::PATH))).await;
    let (cluster, operator) = start_with_operator().await;
    let mut spec = to_alertmanager(&alertmanager);
    spec["alertmanager"]["labels"] = serde_json::json!({"cluster": "west"});
    cluster.apply_yaml(&sink("alerts", &spec)).await;
    let often = format!("{SOON}, resendInterval: 2s, groupBy: [Label], groupByLabels: [team]");
    let policy = told_policy("maps", &routes(&["alerts"], &often));
    cluster.apply_yaml(&policy).await;
    cluster.ready("maps").await;

    for (name, team) in [("a", "one"), ("b", "two"), ("c", "two")] {
        cluster.apply_yaml(&map(name, team, "broken")).await;
    }
    let alerts = alertmanager.alerts_when("three stand", |alerts| alerts.len() == 3).await;
    assert_eq!(alerting(&alerts), [("a", "high"), ("b", "high"), ("c", "high")].into());
    let a = alerts.iter().find(|alert| alert.label("name") == "a").expect("an alert");
    for (label, value) in [
        ("alertname", "fine"),
        ("policy", "maps"),
        ("kind", "ConfigMap"),
        ("namespace", "default"),
        ("label_team", "one"),
        ("cluster", "west"),
    ] {
        assert_eq!(a.label(label), value, "{a:#?}");
    }
    assert_eq!(a.annotations["summary"], "ConfigMap default/a: it is broken");
    let groups = alertmanager.groups().await;
    let sizes: Vec<_> =
        groups.iter().map(|group| (&*group.labels["label_team"], group.alerts.len())).collect();
    assert_eq!(sizes, [("one", 1), ("two", 2)]);

    // It is told of again and again, and ends later each time.
    let later = |alerts: &[Alert]| {
        let now = alerts.iter().find(|alert| alert.fingerprint == a.fingerprint);
        now.is_some_and(|now| now.updated_at > a.updated_at && now.ends_at > a.ends_at)
    };
    let kept = alertmanager.alerts_when("they are told again", later).await;
    assert_eq!(kept.len(), 3);
    let kept = kept.iter().find(|alert| alert.fingerprint == a.fingerprint).expect("it still stands");
    assert_eq!(kept.starts_at, a.starts_at, "it is the same alert");

    // Alertmanager knows an alert by its labels: of another severity it is another one, and the first is over.
    cluster.apply_yaml(&policy.replace("severity: high", "severity: critical")).await;
    let all_critical = |alerts: &[Alert]| {
        alerting(alerts) == [("a", "critical"), ("b", "critical"), ("c", "critical")].into()
    };
    alertmanager.alerts_when("all are critical, and nothing else", all_critical).await;

    cluster.apply_yaml(&map("a", "one", "fine")).await;
    cluster.apply_yaml(&map("b", "two", "fine")).await;
    alertmanager.alerts_when("one stands", |alerts| alerting(alerts) == [("c", "critical")].into()).await;
    hook.when("people are told the same", |seen| {
        let firing: Vec<_> = seen.view.firing().map(|alert| alert.labels["name"].as_str()).collect();
        firing == ["c"]
    })
    .await;
    let status = sink_when(&cluster, "alerts", "it delivers", |status| ready(status).0 == "True").await;
    assert_eq!(ready(&status), ("True", "Delivering"));

    // Nobody says any more that it stands.
    operator.kill_hard();
    let killed = Instant::now();
    alertmanager.alerts_when("it expires", <[Alert]>::is_empty).await;
    let lasted = killed.elapsed();
    assert!(lasted > Duration::from_secs(8), "a late word ends nothing: {lasted:?}");
    let mut operator = Operator::with(&cluster, &cluster.admin_kubeconfig()).lease("second").start();
    operator.wait_ready().await;
    alertmanager
        .alerts_when("it stands again", |alerts| alerting(alerts) == [("c", "critical")].into())
        .await;
    hook.assert_no_violations();
}

#[tokio::test]
async fn a_storm_is_one_alert_and_ends_as_one() {
    let hook = Hook::start();
    let alertmanager = told_by(Some(hook.url(Hook::PATH))).await;
    let (cluster, _operator) = start_with_operator().await;
    // A member of the cluster that is gone keeps nobody from being told.
    let mut spec = to_alertmanager(&alertmanager);
    let urls = [format!("http://127.0.0.1:{}", free_port()), alertmanager.url()];
    spec["alertmanager"]["urls"] = serde_json::json!(urls);
    cluster.apply_yaml(&sink("alerts", &spec)).await;
    cluster.apply_yaml(&told_policy("maps", &routes(&["alerts"], SOON))).await;
    cluster.ready("maps").await;

    // Some are alerts of their own before there are too many.
    let names = |from: usize, to: usize| (from..to).map(|n| format!("map-{n}"));
    cluster.put_maps(names(0, 40), "broken").await;
    alertmanager.alerts_when("each is an alert", |alerts| alerts.len() == 40).await;
    cluster.put_maps(names(40, 190), "broken").await;
    let summary = |open: &str, alerts: &[Alert]| {
        let [alert] = alerts else { return false };
        alert.label("alertname") == "PolywatchSummary" && alert.annotations["open"] == open
    };
    let alerts = alertmanager.alerts_when("all are one alert", |alerts| summary("190", alerts)).await;
    assert_eq!((alerts[0].label("policy"), alerts[0].label("polywatch_rule")), ("maps", "fine"));
    hook.when("people are told the same", |seen| {
        let firing: Vec<_> = seen.view.firing().map(|alert| alert.labels["alertname"].as_str()).collect();
        firing == ["PolywatchSummary"]
    })
    .await;

    // It stays one until nothing is open, so that a group at the limit is not told in turns.
    cluster.put_maps(names(10, 190), "fine").await;
    alertmanager.alerts_when("it counts those that are left", |alerts| summary("10", alerts)).await;
    cluster.put_maps(names(0, 10), "fine").await;
    alertmanager.alerts_when("it is over", <[Alert]>::is_empty).await;
    let seen = hook.when("people are told so", |seen| seen.view.firing().count() == 0).await;
    let opened: u32 = seen.view.alerts.values().map(|alert| alert.opened).sum();
    assert!(opened <= 41 + 1, "40 alerts, and one for all: {opened}");
    cluster.put_map("map-0", "broken").await;
    let alerts = alertmanager.alerts_when("the next is one of its own", |alerts| alerts.len() == 1).await;
    assert_eq!(alerting(&alerts), [("map-0", "high")].into());
    hook.assert_no_violations();
    let status = sink_when(&cluster, "alerts", "it delivers", |status| ready(status).0 == "True").await;
    assert_eq!(ready(&status), ("True", "Delivering"));
}
