//! The operator's metrics, as Prometheus reads them.

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
