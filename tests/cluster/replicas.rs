//! Several replicas, of which one leads, and how a leader ends.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;

use crate::support::{ControlPlane, Operator, PATIENCE, eventually, map_policy, occurrences};

fn replica(cluster: &ControlPlane, lease_seconds: &str) -> Operator {
    Operator::with(cluster, &cluster.admin_kubeconfig()).arg("--lease-seconds").arg(lease_seconds).start()
}

async fn leads(operator: &Operator) {
    operator.metric_when("polywatch_leader", &[], |value| value == 1.0).await;
}

/// What a replica has written to the API server: statuses and Events.
async fn writes(operator: &Operator) -> (f64, f64) {
    let count = async |name| operator.metric(name, &[]).await.expect("the counter is there");
    (count("polywatch_status_writes_total").await, count("polywatch_kubernetes_events_written_total").await)
}

async fn told_once(cluster: &ControlPlane, map: &str) {
    let events = cluster.events("ConfigMap", map, "FindingOpened").await;
    let counts: Vec<_> = events.iter().map(occurrences).collect();
    assert_eq!(counts, [1], "{map} was told once: {events:?}");
}

#[tokio::test]
async fn one_replica_leads_and_another_takes_over_when_it_ends() {
    let mut cluster = ControlPlane::start().await;
    cluster.install_crds().await;
    cluster.apply_yaml(&map_policy("maps")).await;
    cluster.put_map("first", "broken").await;

    let mut killed = replica(&cluster, "3");
    killed.wait_ready().await;
    leads(&killed).await;
    let mut second = replica(&cluster, "3");
    second.wait_ready().await;
    cluster.open("maps", 1).await;
    cluster.event("ConfigMap", "first", "FindingOpened", 1).await;
    assert_eq!(second.metric("polywatch_leader", &[]).await, Some(0.0));
    assert_eq!(writes(&second).await, (0.0, 0.0), "the one that waits writes nothing");

    // A crash: nobody gives the lease back.
    killed.kill_hard();
    leads(&second).await;
    cluster.put_map("second", "broken").await;
    cluster.open("maps", 2).await;
    cluster.event("ConfigMap", "second", "FindingOpened", 1).await;
    told_once(&cluster, "first").await;
    assert_eq!(writes(&second).await.1, 2.0, "Events of the second finding only");

    // A lease that lasts too long to be waited for: it has to be given back.
    let mut third = replica(&cluster, "120");
    third.wait_ready().await;
    assert!(second.terminate().await.success());
    leads(&third).await;
    let mut fourth = replica(&cluster, "3");
    fourth.wait_ready().await;
    assert_eq!(fourth.metric("polywatch_leader", &[]).await, Some(0.0));
    assert!(third.terminate().await.success());
    leads(&fourth).await;
    cluster.put_map("third", "broken").await;
    cluster.open("maps", 3).await;
    cluster.event("ConfigMap", "third", "FindingOpened", 1).await;
    told_once(&cluster, "first").await;
    told_once(&cluster, "second").await;

    // Another might lead by the time the API server is back, so this one must not go on.
    cluster.stop_apiserver();
    let status = eventually("the leader that cannot renew ends", PATIENCE, async || {
        fourth.exited().ok_or_else(|| "it still runs".to_owned())
    })
    .await;
    assert!(!status.success(), "{status}");
}

#[tokio::test]
async fn a_leader_that_is_asked_to_stop_writes_what_it_owes_and_gives_the_lease_back() {
    let cluster = ControlPlane::start().await;
    cluster.install_crds().await;
    cluster.apply_yaml(&map_policy("maps")).await;
    let mut operator = replica(&cluster, "15");
    operator.wait_ready().await;
    cluster.open("maps", 0).await;

    // The status was written just now, so the next write has to wait for its interval.
    cluster.put_map("first", "broken").await;
    cluster.open("maps", 1).await;
    cluster.put_map("second", "broken").await;
    eventually("the second finding is open", PATIENCE, async || {
        match operator.log().matches("finding opened").count() {
            2 => Ok(()),
            count => Err(format!("{count} are")),
        }
    })
    .await;
    assert!(operator.terminate().await.success());

    // Nobody runs who could still write: a single look must do.
    let status = cluster.status_within(Duration::from_secs(5), "maps", "it was written", |_| true);
    assert_eq!(status.await.summary.open_findings, 2);
    told_once(&cluster, "second").await;
    let leases: Api<Lease> = Api::default_namespaced(cluster.admin().await);
    let lease = leases.get("polywatch").await.expect("the lease is there");
    let holder = lease.spec.and_then(|spec| spec.holder_identity);
    assert_eq!(holder.unwrap_or_default(), "", "nobody holds the lease");
}

#[tokio::test]
async fn an_operator_that_can_hold_no_lease_is_not_ready_and_says_why() {
    let cluster = ControlPlane::start().await;
    cluster.install_crds().await;
    let mut operator = Operator::with(&cluster, &cluster.admin_kubeconfig())
        .namespace("nowhere")
        .arg("--lease-seconds")
        .arg("3")
        .start();
    operator.wait_listening().await;
    eventually("it is not ready for want of a lease", PATIENCE, async || match operator.ready().await {
        (503, text) if text.contains("namespace nowhere") && text.contains("--namespace") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    cluster.kubectl(&["create", "namespace", "nowhere"]).await;
    operator.wait_ready().await;
    operator.metric_when("polywatch_leader", &[], |n| n == 1.0).await;
}
