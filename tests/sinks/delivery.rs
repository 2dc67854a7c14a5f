//! From a finding in the cluster to a sink, with a real operator: what arrives, what is said of it, and what a restart
//! changes.

use std::path::{Path, PathBuf};

use kube::Api;
use polywatch::api::{AlertSink, AlertSinkStatus};
use serde_json::Value;

use crate::support::{ControlPlane, Operator, PATIENCE, condition, eventually, start_with_operator};

/// A sink that writes to a file.
pub fn log_sink(name: &str, path: &Path) -> String {
    format!(
        "
apiVersion: polywatch.dev/v1alpha1
kind: AlertSink
metadata: {{name: {name}}}
spec: {{log: {{path: {}}}}}
---
",
        path.display()
    )
}

/// ConfigMaps of the namespace default are to be fine; who is told waits for little.
pub fn told_policy(name: &str, notify: &str) -> String {
    format!(
        "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {{name: {name}}}
spec:
  severity: high
  resources: [{{name: maps, apiVersion: v1, kind: ConfigMap, namespaces: [default]}}]
  rules:
  - name: fine
    expression: \"!has(object.data) || !has(object.data.state) || object.data.state == 'fine'\"
    messageExpression: \"'it is ' + object.data.state\"
  notify: {notify}
"
    )
}

/// What a log sink wrote, one line each.
pub fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// The lines in short: event and name of the object.
fn said(path: &Path) -> Vec<String> {
    let short = |line: &Value| {
        let name = line["object"]["name"].as_str().unwrap_or_default();
        format!("{} {name}", line["event"].as_str().unwrap_or_default())
    };
    lines(path).iter().map(short).collect()
}

async fn said_when(path: &Path, what: &str, holds: impl Fn(&[String]) -> bool) -> Vec<String> {
    eventually(what, PATIENCE, async || {
        let said = said(path);
        if holds(&said) { Ok(said) } else { Err(format!("{said:?}")) }
    })
    .await
}

/// The status of a sink, when it holds.
pub async fn sink_when(
    cluster: &ControlPlane,
    name: &str,
    what: &str,
    holds: impl Fn(&AlertSinkStatus) -> bool,
) -> AlertSinkStatus {
    let sinks: Api<AlertSink> = Api::all(cluster.admin().await);
    eventually(what, PATIENCE, async || {
        let sink = sinks.get(name).await.map_err(|error| error.to_string())?;
        let status = sink.status.unwrap_or_default();
        if holds(&status) { Ok(status) } else { Err(format!("{status:?}")) }
    })
    .await
}

/// Status and reason of the condition Ready.
pub fn ready(status: &AlertSinkStatus) -> (&str, &str) {
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
    ready.map_or(("", ""), |ready| (ready.status.as_str(), ready.reason.as_str()))
}

fn file(cluster: &ControlPlane, name: &str) -> PathBuf {
    cluster.dir().state().join(name)
}

/// What opens in the moment in which the policy becomes ready may count as what was wrong before.
const SOON: &str = "groupWait: 1s, groupInterval: 1s, onFirstSync: Each";

#[tokio::test]
async fn what_opens_changes_and_is_resolved_is_told_once_also_over_a_restart() {
    let (cluster, operator) = start_with_operator().await;
    let path = file(&cluster, "alerts.jsonl");
    cluster.apply_yaml(&log_sink("file", &path)).await;
    cluster.apply_yaml(&told_policy("maps", &format!("[{{sink: file, {SOON}}}]"))).await;
    cluster.ready("maps").await;
    let status = cluster.status_when("maps", "the sink is known", |status| !status.notify.is_empty()).await;
    assert_eq!(condition(&status, "Notifying").0, "True");

    cluster.put_map("a", "broken").await;
    said_when(&path, "a is told", |said| said == ["opened a"]).await;
    cluster.put_map("a", "worse").await;
    said_when(&path, "the change is told", |said| said == ["opened a", "changed a"]).await;

    // While nobody looks, one is resolved and one opens.
    operator.kill_hard();
    cluster.put_map("a", "fine").await;
    cluster.put_map("b", "broken").await;
    let mut operator = Operator::start(&cluster, &cluster.admin_kubeconfig());
    operator.wait_ready().await;
    let all = ["opened a", "changed a", "opened b", "resolved a"];
    said_when(&path, "what happened meanwhile is told", |said| said.len() >= all.len()).await;
    cluster.put_map("b", "fine").await;
    let told = said_when(&path, "b is resolved", |said| said.len() > all.len()).await;
    assert_eq!(told, [&all[..], &["resolved b"]].concat());
    let status = sink_when(&cluster, "file", "all is told", |status| status.owed == 0).await;
    assert_eq!(ready(&status), ("True", "Delivering"));
    assert_eq!(status.kind.as_deref(), Some("log"));
}

#[tokio::test]
async fn what_was_wrong_before_is_one_summary() {
    let (cluster, _operator) = start_with_operator().await;
    let path = file(&cluster, "alerts.jsonl");
    cluster.put_maps((0..25).map(|n| format!("old-{n}")), "broken").await;
    cluster.apply_yaml(&log_sink("file", &path)).await;
    cluster.apply_yaml(&told_policy("maps", "[{sink: file, groupWait: 1s, groupInterval: 1s}]")).await;
    said_when(&path, "the summary is told", |said| said == ["summary "]).await;
    assert_eq!(lines(&path)[0]["totals"]["open"], 25);
    cluster.put_map("new", "broken").await;
    said_when(&path, "what is new is told by itself", |said| said == ["summary ", "opened new"]).await;
    cluster.put_maps((0..25).map(|n| format!("old-{n}")), "fine").await;
    eventually("the summary is resolved", PATIENCE, async || {
        let lines = lines(&path);
        let last = lines.iter().rfind(|line| line["event"] == "summary");
        let open = last.map(|line| line["totals"]["open"].clone());
        if open == Some(0.into()) { Ok(()) } else { Err(format!("{open:?}")) }
    })
    .await;
}

#[tokio::test]
async fn a_silenced_object_is_not_told_of_and_the_status_says_so() {
    let (cluster, _operator) = start_with_operator().await;
    let path = file(&cluster, "alerts.jsonl");
    cluster.apply_yaml(&log_sink("file", &path)).await;
    cluster.apply_yaml(&told_policy("maps", &format!("[{{sink: file, {SOON}}}]"))).await;
    cluster.ready("maps").await;
    let silenced = |until: &str| {
        format!(
            "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: quiet, annotations: \
             {{polywatch.dev/silence-until: '{until}'}}}}, data: {{state: broken}}}}"
        )
    };
    cluster.apply_yaml(&silenced("2099-01-01T00:00:00Z")).await;
    let status = cluster.status_when("maps", "it is silenced", |status| {
        status.notify.first().is_some_and(|sink| sink.silenced == 1)
    });
    let status = status.await;
    assert_eq!(status.findings[0].silenced_until.as_deref(), Some("2099-01-01T00:00:00Z"));
    cluster.put_map("loud", "broken").await;
    said_when(&path, "the other is told", |said| said == ["opened loud"]).await;
    cluster.apply_yaml(&silenced("tomorrow")).await;
    let told = said_when(&path, "what cannot be understood silences nothing", |said| said.len() == 2).await;
    assert_eq!(told, ["opened loud", "opened quiet"]);
    let status = cluster.status_when("maps", "the problem is said", |status| {
        status.findings.iter().any(|finding| finding.silence_problem.is_some())
    });
    status.await;
}

#[tokio::test]
async fn a_sink_that_is_not_there_or_not_right_is_said_in_the_policy() {
    let (cluster, _operator) = start_with_operator().await;
    cluster.apply_yaml(&told_policy("maps", "[{sink: nowhere}]")).await;
    let status = cluster
        .status_when("maps", "there is no such sink", |status| condition(status, "Notifying").0 == "False")
        .await;
    assert_eq!(condition(&status, "Notifying").1, "SinkNotFound");
    let path = file(&cluster, "alerts.jsonl");
    cluster.apply_yaml(&log_sink("nowhere", &path)).await;
    cluster
        .status_when("maps", "there is one now", |status| condition(status, "Notifying").0 == "True")
        .await;

    let broken = "{apiVersion: polywatch.dev/v1alpha1, kind: AlertSink, metadata: {name: chat}, spec: {slack: \
                  {webhookUrl: {name: missing, key: url}, text: '{{ findings }}'}}}";
    cluster.apply_yaml(broken).await;
    let status = sink_when(&cluster, "chat", "the template is refused", |s| ready(s).0 == "False").await;
    assert_eq!(ready(&status).1, "InvalidSpec");
    assert!(status.conditions[0].message.contains("spec.slack.text"), "{status:?}");
}

#[tokio::test]
async fn a_test_message_goes_through_the_operator_and_is_answered() {
    let (cluster, _operator) = start_with_operator().await;
    let path = file(&cluster, "alerts.jsonl");
    cluster.apply_yaml(&log_sink("file", &path)).await;
    let missing = "{apiVersion: polywatch.dev/v1alpha1, kind: AlertSink, metadata: {name: chat}, spec: {slack: \
                   {webhookUrl: {name: missing, key: url}}}}";
    cluster.apply_yaml(missing).await;
    let test = |name: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_polywatch"));
        command.args(["sink", "test", name]).env("KUBECONFIG", cluster.admin_kubeconfig());
        tokio::task::spawn_blocking(move || command.output().expect("the command runs"))
    };
    let output = test("file").await.expect("no panic");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(said(&path), ["test "]);
    let output = test("chat").await.expect("no panic");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("Secret missing does not exist in namespace default"), "{text}");
    let output = test("nobody").await.expect("no panic");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}
