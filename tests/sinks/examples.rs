//! The manifests of `examples/alerts`, and the commands of its README.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::ListParams;
use polywatch::api::{AlertSink, MonitorPolicy};
use polywatch::yaml;
use serde_json::Value;

use crate::delivery::{ready, sink_when};
use crate::support::{ControlPlane, Operator, PATIENCE, condition, eventually};

/// The namespace that the Secrets are in.
const NAMESPACE: &str = "polywatch-system";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/alerts")
}

/// The files with a sink, by name.
fn sink_files() -> Vec<(String, Vec<Value>)> {
    let files = std::fs::read_dir(folder()).expect("the folder is there");
    let mut found: Vec<(String, Vec<Value>)> = files
        .map(|file| file.expect("a file").file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".yaml"))
        .map(|name| {
            let text = std::fs::read_to_string(folder().join(&name)).expect("a text");
            let documents = yaml::read(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
            (name, documents.iter().map(|document| document.tree.to_json()).collect())
        })
        .filter(|(_, documents): &(_, Vec<Value>)| documents.iter().any(|one| one["kind"] == "AlertSink"))
        .collect();
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    found
}

fn policy() -> MonitorPolicy {
    let text = std::fs::read_to_string(folder().join("policy.yaml")).expect("the policy is there");
    yaml::from_str(&text).expect("policy.yaml is a MonitorPolicy")
}

#[test]
fn each_sink_compiles_and_reads_no_more_than_the_secret_beside_it() {
    let mut kinds = BTreeSet::new();
    let mut names = BTreeSet::new();
    for (file, documents) in sink_files() {
        let (sinks, secrets): (Vec<Value>, Vec<Value>) =
            documents.into_iter().partition(|document| document["kind"] == "AlertSink");
        assert_eq!(sinks.len(), 1, "{file} has one sink");
        let sink: AlertSink = serde_json::from_value(sinks[0].clone()).expect("an AlertSink");
        let name = sink.metadata.name.unwrap_or_default();
        assert_eq!(format!("{name}.yaml"), file, "a file is called as its sink");
        let destination = sink.spec.destination().unwrap_or_else(|problems| panic!("{file}: {problems:?}"));
        kinds.insert(destination.kind());
        names.insert(name);

        let mut beside = BTreeSet::new();
        for secret in secrets {
            let secret: Secret = serde_json::from_value(secret).expect("a Secret");
            assert_eq!(secret.metadata.namespace.as_deref(), Some(NAMESPACE), "{file}");
            for (key, value) in secret.string_data.unwrap_or_default() {
                assert!(value.contains("REPLACE"), "{file}: {key} is clearly to be replaced");
                beside.insert((secret.metadata.name.clone().unwrap_or_default(), key));
            }
        }
        let read = destination.secrets().into_iter().map(|secret| (secret.name, secret.key));
        assert_eq!(read.collect::<BTreeSet<_>>(), beside, "{file}: what it reads, and what is there");
    }
    let all = ["alertmanager", "email", "log", "pagerDuty", "slack", "webhook"];
    assert_eq!(kinds, BTreeSet::from(all), "there is an example for each kind");
    let told: BTreeSet<String> = policy().spec.notify.into_iter().map(|route| route.sink).collect();
    assert_eq!(names, told, "the policy tells each of them");
}

/// Nothing of it leaves the machine: nothing is owed to a sink outside of it.
#[tokio::test]
async fn an_api_server_takes_the_examples_and_the_commands_of_the_readme_do_what_it_says() {
    let cluster = ControlPlane::start().await;
    cluster.install_crds().await;
    cluster.kubectl(&["apply", "-f", "config/manager/namespace.yaml"]).await;
    let mut operator = Operator::with(&cluster, &cluster.admin_kubeconfig()).namespace(NAMESPACE).start();
    operator.wait_ready().await;

    follow_the_readme(&cluster, &operator).await;

    for (file, _) in sink_files() {
        cluster.kubectl(&["apply", "-f", &format!("examples/alerts/{file}")]).await;
    }
    cluster.kubectl(&["apply", "-f", "examples/alerts/policy.yaml"]).await;
    for (file, _) in sink_files() {
        let name = file.trim_end_matches(".yaml");
        let known = |status: &polywatch::api::AlertSinkStatus| !status.conditions.is_empty();
        let status = sink_when(&cluster, name, "its status is written", known).await;
        assert_eq!(ready(&status).0, "True", "{name}: {status:?}");
    }
    let status = cluster
        .status_when("workloads", "all sinks are there", |status| condition(status, "Notifying").0 == "True")
        .await;
    assert_eq!(condition(&status, "Ready").0, "True");
    assert_eq!(status.notify.len(), policy().spec.notify.len(), "{:?}", status.notify);
    assert_eq!(status.warnings, []);
}

/// Runs the lines of the README's `sh` blocks, in order, and waits for what it says that they do.
async fn follow_the_readme(cluster: &ControlPlane, operator: &Operator) {
    let text = std::fs::read_to_string(folder().join("README.md")).expect("README.md is there");
    let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let commands: Vec<&str> = blocks.flat_map(str::lines).collect();
    let effects = [
        ("sink test log", "test"),
        ("apply -f examples/alerts/broken.yaml", "opened"),
        ("silence-until=", "resolved"),
        ("silence-until-", "opened"),
        ("--replicas=0", "occurred"),
        ("delete -f examples/alerts/broken.yaml", "resolved"),
    ];
    let mut expected: Vec<&str> = Vec::new();
    for command in commands {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words[0] {
            // There is no Pod here; below its log is read where it is.
            "kubectl" if words.contains(&"logs") => continue,
            "kubectl" => drop(cluster.kubectl(&words[1..]).await),
            "polywatch" => test_sink(cluster, &words[1..]).await,
            _ => panic!("{command} is neither kubectl nor polywatch"),
        }
        if command.ends_with("policy.yaml") && command.contains("apply") {
            cluster.ready("workloads").await;
        }
        let Some((_, event)) = effects.iter().find(|(part, _)| command.contains(part)) else { continue };
        expected.push(event);
        eventually(&format!("{command}: {event} is told"), PATIENCE, async || {
            let told = told(operator);
            // The rule that waits may find that nobody serves meanwhile.
            let events: Vec<&str> = told
                .iter()
                .filter(|line| line["rule"] != "serves")
                .filter_map(|line| line["event"].as_str())
                .collect();
            if events == expected { Ok(()) } else { Err(format!("{events:?}")) }
        })
        .await;
    }
    assert_eq!(expected.len(), effects.len(), "the README has all commands");
    let because = told(operator).iter().any(|line| {
        line["endedBecause"].as_str().is_some_and(|why| text.contains(&format!("\"endedBecause\":\"{why}\"")))
    });
    assert!(because, "the README quotes why it is resolved");
    the_line_of_the_readme_has_the_form_of_today(&text, &told(operator));
    let sinks: Api<AlertSink> = Api::all(cluster.admin().await);
    let left = sinks.list(&ListParams::default()).await.expect("sinks can be listed");
    assert!(left.items.is_empty(), "the README leaves {:?}", left.items);
}

/// What the log sink wrote to the standard output, among what the operator logs.
fn told(operator: &Operator) -> Vec<Value> {
    let log = operator.log();
    let lines = log.lines().filter(|line| line.starts_with("{\"schema\":"));
    lines.map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

fn the_line_of_the_readme_has_the_form_of_today(readme: &str, told: &[Value]) {
    let quoted = readme.lines().find(|line| line.starts_with("{\"schema\":")).expect("a line of the log");
    let quoted: Value = serde_json::from_str(quoted).expect("JSON");
    let now = told.iter().find(|line| line["event"] == quoted["event"]).expect("the same event");
    let fields = |line: &Value| -> BTreeSet<String> {
        line.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(fields(&quoted), fields(now));
    for field in ["rule", "message", "severity", "labels", "policy"] {
        assert_eq!(quoted[field], now[field], "{field}");
    }
}

async fn test_sink(cluster: &ControlPlane, arguments: &[&str]) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_polywatch"));
    command.args(arguments).env("KUBECONFIG", cluster.admin_kubeconfig());
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic");
    let output = output.expect("the command runs");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}
