//! Tests of the test harness: what the other tests of this crate rely on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::api::{ListParams, WatchEvent, WatchParams};

use crate::support::{
    ControlPlane, Workloads, alive, eventually, remove_leftovers, rule, shared, shared_workloads,
};

const PATIENCE: Duration = Duration::from_secs(60);

fn config_map(name: &str, value: &str) -> String {
    format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}}}, data: {{key: {value}}}}}")
}

#[tokio::test]
async fn rights_are_granted_and_revoked() {
    let cluster = shared().await;
    let user = cluster.restricted("reader").await;
    let maps: Api<ConfigMap> = Api::default_namespaced(user.client().await);
    let list = async || maps.list(&ListParams::default()).await;

    let forbidden = |result: kube::Result<_>| match result {
        Err(kube::Error::Api(status)) => status.is_forbidden(),
        _ => false,
    };
    assert!(forbidden(list().await.map(|_| ())), "a new user may list");

    cluster.grant(&user, &[rule(&[""], &["configmaps"], &["list"])]).await;
    list().await.expect("allowed after the grant");

    cluster.revoke(&user).await;
    assert!(forbidden(list().await.map(|_| ())), "the user may still list after the revocation");
}

#[tokio::test]
async fn yaml_of_several_kinds_is_applied_and_deleted() {
    let cluster = shared().await;
    let yaml = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gadgets.harness.example.io}
spec:
  group: harness.example.io
  names: {kind: Gadget, plural: gadgets}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
apiVersion: harness.example.io/v1
kind: Gadget
metadata: {name: of-a-new-kind}
spec: {size: 3}
";
    cluster.apply_yaml(yaml).await;
    let size = cluster.kubectl(&["get", "gadget", "of-a-new-kind", "-o", "jsonpath={.spec.size}"]).await;
    assert_eq!(size, "3");

    let gadget = yaml.split("---").nth(1).expect("two documents");
    cluster.delete_yaml(gadget).await;
    let gone = cluster.try_kubectl(&["get", "gadget", "of-a-new-kind"]).await;
    assert!(gone.as_ref().is_err_and(|e| e.contains("NotFound")), "still there: {gone:?}");
}

#[tokio::test]
async fn data_outlives_a_restart_of_the_api_server() {
    let mut cluster = ControlPlane::start().await;
    let user = cluster.restricted("survivor").await;
    cluster.grant(&user, &[rule(&[""], &["configmaps"], &["get"])]).await;
    cluster.apply_yaml(&config_map("kept", "before")).await;
    let maps: Api<ConfigMap> = Api::default_namespaced(user.client().await);

    cluster.stop_apiserver();
    maps.get("kept").await.expect_err("nobody answers");
    cluster.start_apiserver().await;

    let kept = maps.get("kept").await.expect("the same client, user and object");
    assert_eq!(kept.data.unwrap_or_default()["key"], "before");
}

#[tokio::test]
async fn an_old_resource_version_is_gone_after_compaction() {
    let mut cluster = ControlPlane::start().await;
    cluster.apply_yaml(&config_map("changing", "one")).await;
    let old = {
        let maps: Api<ConfigMap> = Api::default_namespaced(cluster.admin().await);
        maps.list(&ListParams::default()).await.expect("a list")
    };
    let old = old.metadata.resource_version.expect("lists have a version");
    cluster.apply_yaml(&config_map("changing", "two")).await;

    cluster.stop_apiserver();
    let revision = cluster.compact_etcd().await;
    assert!(revision > old.parse().expect("a number"));
    cluster.start_apiserver().await;

    let maps: Api<ConfigMap> = Api::default_namespaced(cluster.admin().await);
    let exactly = ListParams::default().at(&old).matching(kube::api::VersionMatch::Exact);
    let listed = maps.list(&exactly).await.expect_err("no longer known");
    assert!(matches!(&listed, kube::Error::Api(s) if s.code == 410), "{listed}");

    let mut events = Box::pin(maps.watch(&WatchParams::default(), &old).await.expect("a watch is opened"));
    let first = events.next().await;
    assert!(matches!(&first, Some(Ok(WatchEvent::Error(e))) if e.code == 410), "{first:?}");
}

#[tokio::test]
async fn deployments_run_and_services_have_endpoints() {
    let cluster = shared_workloads().await;
    cluster
        .apply_yaml(
            "
apiVersion: v1
kind: Namespace
metadata: {name: harness-workloads}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: harness-workloads}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: harness-workloads}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: waiting, namespace: harness-workloads}
spec: {schedulerName: nobody, containers: [{name: waiting, image: web}]}
",
        )
        .await;
    let client = cluster.admin().await;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "harness-workloads");
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), "harness-workloads");
    eventually("web is available with three endpoints", PATIENCE, async || {
        let web = deployments.get("web").await.map_err(|e| e.to_string())?;
        let available = web.status.and_then(|s| s.available_replicas).unwrap_or(0);
        let slices = slices.list(&ListParams::default()).await;
        let ready = slices
            .map_err(|e| e.to_string())?
            .into_iter()
            .flat_map(|slice| slice.endpoints.into_iter().flatten())
            .filter(|endpoint| endpoint.conditions.as_ref().and_then(|c| c.ready) == Some(true))
            .count();
        match (available, ready) {
            (3, 3) => Ok(()),
            _ => Err(format!("{available} available, {ready} endpoints ready")),
        }
    })
    .await;

    let pods: Api<Pod> = Api::namespaced(client, "harness-workloads");
    let waiting = pods.get("waiting").await.expect("the pod");
    assert_eq!(waiting.spec.and_then(|spec| spec.node_name), None);

    cluster.kubectl(&["delete", "namespace", "harness-workloads", "--timeout=60s"]).await;
}

/// The environment variable that tells the second process of the test below where to write the ids of its own.
const PIDS_FILE: &str = "HARNESS_PIDS_FILE";

#[cfg(target_os = "linux")]
#[tokio::test]
async fn no_process_is_left_when_the_test_process_is_killed() {
    if let Some(pids_file) = std::env::var_os(PIDS_FILE) {
        wait_to_be_killed(Path::new(&pids_file)).await;
    }
    let pids_file =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("harness-pids-{}", std::process::id()));
    let mut victim = std::process::Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "harness::no_process_is_left_when_the_test_process_is_killed", "--nocapture"])
        .env(PIDS_FILE, &pids_file)
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("a second test process");
    let pids: Vec<u32> = eventually("the second test process has started all", PATIENCE * 2, async || {
        let text = std::fs::read_to_string(&pids_file).map_err(|e| e.to_string())?;
        serde_json::from_str(&text).map_err(|e| e.to_string())
    })
    .await;
    assert_eq!(pids.len(), 4);
    assert!(pids.iter().all(|&pid| alive(pid)), "{pids:?} should run");

    victim.kill().expect("it runs");
    victim.wait().expect("it ends");
    eventually("all its processes are gone", PATIENCE, async || {
        let left: Vec<_> = pids.iter().filter(|&&pid| alive(pid)).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?} are left")) }
    })
    .await;
    std::fs::remove_file(&pids_file).expect("the file is there");
    remove_leftovers();
}

/// What the second process of the test above does: starts everything and waits.
async fn wait_to_be_killed(pids_file: &Path) {
    // Started on a thread that ends: its processes must not end with it.
    let start = || async {
        let control_plane = ControlPlane::start().await;
        let workloads = Workloads::start(&control_plane).await;
        (control_plane, workloads)
    };
    let started = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(start())
    });
    let (control_plane, workloads) = started.join().expect("all starts");
    let pids: Vec<u32> = control_plane.pids().into_iter().chain(workloads.pids()).collect();
    control_plane.kubectl(&["get", "nodes"]).await;
    std::fs::write(pids_file, serde_json::to_string(&pids).expect("numbers are JSON"))
        .expect("the file is written");
    std::future::pending::<()>().await;
}
