//! The operator's metrics, as Prometheus reads them.

use serde_json::json;

use crate::delivery::{log_sink, told_policy};
use crate::harness::{SOON, routes, sink};
use crate::support::receiver::{CloudEvents, Fault};
use crate::support::{Prometheus, check_metrics, map_policy, start_with_operator};

#[tokio::test]
async fn prometheus_scrapes_the_operator_and_promtool_finds_nothing_wrong() {
    let (cluster, operator) = start_with_operator().await;
    // So that counters and histograms have samples.
    cluster.apply_yaml(&map_policy("scraped")).await;
    cluster.ready("scraped").await;
    cluster.put_maps(["kept".to_owned()], "broken").await;
    operator
        .metric_when("polywatch_findings", &[("policy", "scraped"), ("severity", "medium")], |findings| {
            findings > 0.0
        })
        .await;
    // Sinks to which everything happens that can.
    let (refuses, fails) = (CloudEvents::start(None), CloudEvents::start(None));
    refuses.set(Fault::Refuses);
    fails.set(Fault::Broken(500));
    cluster.apply_yaml(&log_sink("works", &cluster.dir().state().join("alerts.jsonl"))).await;
    for (name, receiver) in [("refuses", &refuses), ("fails", &fails)] {
        let spec = json!({"webhook": {"url": receiver.url(CloudEvents::PATH)}});
        cluster.apply_yaml(&sink(name, &spec)).await;
    }
    let sinks = [("works", "sent"), ("refuses", "dead"), ("fails", "failed")];
    cluster.apply_yaml(&told_policy("told", &routes(&sinks.map(|(sink, _)| sink), SOON))).await;
    for (sink, outcome) in sinks {
        let labels = [("outcome", outcome), ("sink", sink)];
        operator.metric_when("polywatch_sink_notices_total", &labels, |notices| notices > 0.0).await;
    }

    let address = operator.address();
    let prometheus = Prometheus::scraping(&[&address]).await;
    prometheus.target_up(&address).await;
    let findings = prometheus
        .query_when("sum(polywatch_findings{policy=\"scraped\"})", "there is one", |samples| {
            samples.first().is_some_and(|sample| sample.value == 1.0)
        })
        .await;
    assert_eq!(findings.len(), 1, "{findings:?}");
    let counters = prometheus.query("polywatch_events_processed_total{resource=\"configmaps.v1\"}").await;
    assert!(counters.as_ref().is_ok_and(|samples| samples.len() == 1), "{counters:?}");
    let quantile = "histogram_quantile(1, sum by (le) (polywatch_handler_duration_seconds_bucket))";
    let quantile = prometheus.query(quantile).await.expect("a query");
    assert!(quantile.first().is_some_and(|sample| sample.value > 0.0), "{quantile:?}");
    for (query, value) in [
        ("polywatch_sink_dead{sink=\"refuses\"}", 1.0),
        ("polywatch_sink_dead{sink=\"works\"}", 0.0),
        ("polywatch_sink_owed{sink=\"works\"}", 0.0),
        ("polywatch_sink_owed{sink=\"fails\"}", 1.0),
        ("polywatch_sink_breaker{sink=\"works\"}", 0.0),
        ("polywatch_sink_latency_seconds_count{sink=\"works\"}", 1.0),
        ("polywatch_sink_notices_total{sink=\"refuses\",outcome=\"dead\"}", 1.0),
        // As an alert on it would ask.
        ("sum by (sink) (polywatch_sink_notices_total{outcome=\"failed\",sink=\"fails\"}) > bool 0", 1.0),
    ] {
        let is = |samples: &[crate::support::Sample]| matches!(samples, [sample] if sample.value == value);
        prometheus.query_when(query, &format!("it is {value}"), is).await;
    }

    let text = operator.metrics_as("text/plain").await;
    assert_eq!(check_metrics(&text).await, Ok(()), "{text}");
    let text = operator.metrics().await;
    assert_eq!(check_metrics(&text).await, Ok(()), "what curl gets: {text}");
    let text = operator.metrics_as("application/openmetrics-text; version=1.0.0").await;
    assert!(text.ends_with("# EOF\n"), "{text}");
}

/// Otherwise the check above says nothing.
#[tokio::test]
async fn promtool_says_what_is_wrong() {
    let complaint =
        check_metrics("# TYPE errors counter\nerrors 1\n").await.expect_err("a bad name, and no help");
    assert!(complaint.contains("no help text") && complaint.contains("_total"), "{complaint}");
    let complaint = check_metrics("not metrics at all\n").await.expect_err("no metrics");
    assert!(complaint.contains("error"), "{complaint}");
}
