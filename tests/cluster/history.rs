//! `polywatch record`, and whether replaying what it wrote says what the operator said.

use std::process::Command;

use polywatch::core::finding::Severity;
use serde_json::Value;

use crate::support::{ControlPlane, Operator, PATIENCE, Process, eventually, rule};

const POLICY: &str = "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: maps}
spec:
  severity: high
  resources:
  - name: maps
    apiVersion: v1
    kind: ConfigMap
    labelSelector: {matchLabels: {kept: 'yes'}}
    namespaceSelector: {matchLabels: {tier: front}}
  rules:
  - {name: safe, expression: object.data.mode == 'safe', messageExpression: \"'the mode is ' + object.data.mode\"}
";

fn map(name: &str, kept: &str, mode: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, namespace: shop, labels: {{kept: '{kept}'}}}}, \
         data: {{mode: {mode}}}}}"
    )
}

fn namespace(tier: &str) -> String {
    format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: shop, labels: {{tier: {tier}}}}}}}")
}

#[tokio::test]
async fn a_recorded_history_brings_out_what_the_operator_said() {
    let cluster = ControlPlane::start().await;
    cluster.install_crds().await;
    let mut operator =
        Operator::with(&cluster, &cluster.admin_kubeconfig()).env("POLYWATCH_LOG_FORMAT", "json").start();
    operator.wait_ready().await;
    cluster.apply_yaml(&namespace("front")).await;
    cluster.apply_yaml(POLICY).await;
    cluster.ready("maps").await;

    // It needs to list and watch the kinds, and nothing else.
    let user = cluster.restricted("recorder").await;
    cluster.grant(&user, &[rule(&[""], &["configmaps", "namespaces", "secrets"], &["list", "watch"])]).await;
    let folder = user.kubeconfig.parent().expect("a folder");
    let (policy, history) = (folder.join("maps.yaml"), folder.join("history.jsonl"));
    std::fs::write(&policy, POLICY).expect("a file");
    let mut command = Command::new("sh");
    // Standard output is the history; the rest is progress.
    command.args([
        "-c",
        "exec \"$0\" record -f \"$1\" --kind v1/Secret > \"$2\"",
        env!("CARGO_BIN_EXE_polywatch"),
    ]);
    command.args([&policy, &history]).env("KUBECONFIG", &user.kubeconfig);
    let mut recorder = Process::start("recorder", command, folder.join("recorder.log"));
    let recorded = || std::fs::read_to_string(&history).unwrap_or_default();
    eventually("every kind is listed", PATIENCE, async || {
        let listed = recorded().matches("\"Synced\"").count();
        if listed == 3 { Ok(()) } else { Err(format!("{listed} lists; {}", recorder.log_tail())) }
    })
    .await;

    let secret =
        "{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: shop}, stringData: {key: hunter2}}";
    cluster.apply_yaml(secret).await;
    for (state, open) in [
        (map("a", "yes", "fast"), 1),
        (map("b", "yes", "safe"), 1),
        (map("b", "yes", "odd"), 2),
        (map("a", "yes", "odd"), 2),
        // No longer what the API server hands out to the operator.
        (map("b", "no", "odd"), 1),
        (map("b", "yes", "odd"), 2),
        (namespace("back"), 0),
        (namespace("front"), 2),
        (map("a", "yes", "safe"), 1),
    ] {
        cluster.apply_yaml(&state).await;
        cluster.open("maps", open).await;
    }
    cluster.delete_yaml(&map("b", "yes", "odd")).await;
    cluster.open("maps", 0).await;
    let said = said(&operator.log());
    assert_eq!(said.len(), 11, "{said:#?}");
    eventually("the deletion is recorded", PATIENCE, async || {
        if recorded().contains("\"Gone\"") { Ok(()) } else { Err(recorder.log_tail()) }
    })
    .await;
    assert!(recorder.terminate().await.success(), "{}", recorder.log_tail());

    let text = recorded();
    assert!(
        text.contains("\"kind\":\"Secret\"") && !text.contains("hunter2") && !text.contains("aHVudGVyMg")
    );
    let mut check = Command::new(env!("CARGO_BIN_EXE_polywatch"));
    check.args(["check", "-o", "json", "-f"]).arg(&policy).arg("--history").arg(&history);
    let replayed = check.output().expect("it runs");
    assert_eq!(replayed.status.code(), Some(1), "{}", String::from_utf8_lossy(&replayed.stderr));
    let changes: Vec<Value> = serde_json::from_slice(&replayed.stdout).expect("JSON");
    assert_eq!(changes.iter().map(told).collect::<Vec<_>>(), said);

    let nowhere = Command::new(env!("CARGO_BIN_EXE_polywatch"))
        .args(["record", "--kind", "example.io/v1/Nothing", "--for", "1s"])
        .env("KUBECONFIG", &user.kubeconfig)
        .output()
        .expect("it runs");
    assert_eq!(nowhere.status.code(), Some(2));
    let why = String::from_utf8_lossy(&nowhere.stderr);
    assert!(why.contains("serves none of the kinds: example.io/v1/Nothing"), "{why}");
}

/// What the operator logged of findings, in order.
fn said(log: &str) -> Vec<String> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter_map(|fields| {
            let text = |key: &str| fields[key].as_str().unwrap_or_default().to_owned();
            let what = text("message").strip_prefix("finding ")?.to_owned();
            Some(format!(
                "{what} {}/{} {} {}: {} {}",
                text("policy"),
                text("rule"),
                text("severity"),
                text("object"),
                text("finding"),
                text("why")
            ))
        })
        .collect()
}

/// A transition of the replay, in the same words.
fn told(change: &Value) -> String {
    let text = |pointer: &str| change.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let severity = text("/severity");
    assert!(Severity::ALL.iter().any(|known| known.as_str() == severity), "{change}");
    format!(
        "{} {}/{} {severity} {} {}/{}: {} {}",
        text("/transition").to_lowercase(),
        text("/policy"),
        text("/rule"),
        text("/resource/kind"),
        text("/resource/namespace"),
        text("/resource/name"),
        text("/message"),
        text("/reason")
    )
}
