//! What `config/` and `crds/` promise to those who install polywatch: the API server accepts it, the schema
//! teaches, the roles suffice and grant no more, and the manifests fit the binary.

use std::path::{Path, PathBuf};
use std::process::Command;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Container, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::Api;
use kube::api::{DynamicObject, PostParams};
use kube::core::ApiResource;
use polywatch::api::MonitorPolicy;
use polywatch::offline::input::Source;
use polywatch::offline::{InputError, policies};
use serde_json::{Value, json};

use crate::support::{ControlPlane, Operator, PATIENCE, Workloads, eventually, is, offenders, shared};

const ACCOUNT: &str = "system:serviceaccount:polywatch-system:polywatch";

// --- The manifests and the binary ---------------------------------------------------------------------

#[test]
fn the_help_names_every_environment_variable() {
    let source = include_str!("../../src/cli/run.rs");
    let own: Vec<&str> = source.split("env = \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(own.contains(&"POLYWATCH_LISTEN"), "{own:?}");
    let general = ["KUBECONFIG", "RUST_LOG"];

    let run = help(&["run"]);
    for name in own.iter().chain(&general) {
        assert!(run.contains(name), "polywatch run --help does not name {name}:\n{run}");
    }
    let top = help(&[]);
    for name in general.iter().chain(&["POLYWATCH_LISTEN"]) {
        assert!(top.contains(name), "polywatch --help does not name {name}:\n{top}");
    }
}

#[test]
fn the_deployment_fits_the_binary() {
    let deployment = deployment();
    let spec = deployment.spec;
    assert_eq!(spec.replicas, Some(2), "one works, one stands by");
    let pod = spec.template.spec.expect("a pod");
    let container = pod.containers.first().expect("a container");

    // Reads the arguments up to the last one, which is what stops it from running.
    let args: Vec<&str> = container.args.iter().flatten().map(String::as_str).collect();
    assert_eq!(container.command, None, "the image's own entry point");
    assert_eq!(args.first(), Some(&"run"));
    let help = help(&args);
    for variable in container.env.iter().flatten() {
        let shown = format!("[env: {}=", variable.name);
        assert!(help.contains(&shown), "polywatch does not read {}:\n{help}", variable.name);
    }

    let listen = args.iter().find_map(|arg| arg.strip_prefix("--listen="));
    let port = listen.and_then(|address| address.rsplit(':').next()?.parse().ok());
    let ports = container.ports.iter().flatten();
    let port_of = |probe: &Option<Probe>| {
        let get = probe.as_ref()?.http_get.as_ref()?;
        let IntOrString::String(name) = &get.port else {
            return None;
        };
        ports.clone().find(|port| port.name.as_ref() == Some(name)).map(|p| p.container_port)
    };
    assert!(port.is_some(), "no --listen in {args:?}");
    assert_eq!(port_of(&container.liveness_probe), port);
    assert_eq!(port_of(&container.readiness_probe), port);

    // As long as the grace period that src/app.rs gives to queued writes, and then some.
    assert!(pod.termination_grace_period_seconds >= Some(15));
}

fn help(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_polywatch"))
        .args(args)
        .arg("--help")
        .env_remove("COLUMNS")
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "polywatch {args:?} --help: {said}");
    String::from_utf8(output.stdout).expect("help is text")
}

fn deployment() -> Deployment {
    let text = include_str!("../../config/manager/deployment.yaml");
    polywatch::yaml::from_str(text).expect("deployment.yaml is a Deployment")
}

fn probe_path(probe: fn(&Container) -> &Option<Probe>) -> String {
    let pod = deployment().spec.template.spec.expect("a pod");
    let probe = probe(&pod.containers[0]).clone().expect("a probe");
    probe.http_get.and_then(|get| get.path).expect("a path")
}

// --- The whole of it, on a cluster --------------------------------------------------------------------

#[tokio::test]
async fn config_default_gives_the_operator_what_it_needs_and_no_more() {
    let cluster = ControlPlane::start().await;
    // The roles are aggregated by the controller manager.
    let _workloads = Workloads::start(&cluster).await;
    cluster.kubectl(&["apply", "-k", &folder("config/default")]).await;
    // Its pods are admitted by the Pod Security of their namespace, or there would be none.
    let rollout = "-n polywatch-system rollout status deployment/polywatch --timeout=60s";
    cluster.kubectl(&words(rollout)).await;

    the_operator_may(&cluster).await;
    users_may(&cluster).await;

    let account = cluster.service_account("polywatch-system", "polywatch").await;
    assert_eq!(account.name, ACCOUNT);
    let start = || Operator::with(&cluster, &account.kubeconfig).namespace("polywatch-system").start();
    let mut operator = start();
    operator.wait_ready().await;
    leads(&operator, 1.0).await;
    let mut standby = start();
    standby.wait_ready().await;
    assert_eq!(standby.metric("polywatch_leader", &[]).await, Some(0.0));
    for probe in [
        probe_path(|container| &container.liveness_probe),
        probe_path(|container| &container.readiness_probe),
    ] {
        for replica in [&operator, &standby] {
            let (status, body) = replica.get(&probe).await;
            assert_eq!(status, 200, "{probe} answers {body}");
        }
    }

    cluster.kubectl(&["apply", "-k", &folder("config/samples")]).await;
    let sample = "deployments-available";
    let compliant = |status: &_| is(status, "Ready", "True") && is(status, "Compliant", "True");
    cluster.status_when(sample, "the sample is Ready", compliant).await;
    cluster.apply_yaml(STUCK).await;
    let open = |status: &_| offenders(status).contains("default/stuck");
    let status = cluster.status_when(sample, "it finds what is wrong", open).await;
    assert_eq!(status.findings[0].message, "0 of 1 replicas are available");
    cluster.event("Deployment", "stuck", "FindingOpened", 1).await;
    cluster.delete_yaml(STUCK).await;
    cluster.status_when(sample, "the finding resolves", compliant).await;
    cluster.event("Deployment", "stuck", "FindingResolved", 1).await;

    for replica in [&operator, &standby] {
        let metrics = replica.metrics().await;
        let refused: Vec<&str> = metrics.lines().filter(|line| line.contains("code=\"403\"")).collect();
        assert!(refused.is_empty(), "the operator was refused: {refused:#?}");
    }
    assert!(operator.terminate().await.success());
    leads(&standby, 1.0).await;
    assert!(standby.terminate().await.success());
    let leases: Api<Lease> = Api::namespaced(cluster.admin().await, "polywatch-system");
    let lease = leases.get("polywatch").await.expect("the lease stays");
    let holder = lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default();
    assert_eq!(holder, "", "the lease is given back");
}

const STUCK: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: stuck}
spec:
  selector: {matchLabels: {app: stuck}}
  template:
    metadata: {labels: {app: stuck}}
    spec:
      schedulerName: nobody
      containers: [{name: stuck, image: none}]
";

async fn leads(operator: &Operator, value: f64) {
    eventually("the operator leads", PATIENCE, async || {
        match operator.metric("polywatch_leader", &[]).await {
            Some(known) if known == value => Ok(()),
            other => Err(format!("polywatch_leader is {other:?}")),
        }
    })
    .await;
}

async fn the_operator_may(cluster: &ControlPlane) {
    let needs = [
        "list monitorpolicies",
        "watch monitorpolicies",
        "patch monitorpolicies --subresource=status",
        "list alertsinks",
        "watch alertsinks",
        "patch alertsinks --subresource=status",
        "create events.events.k8s.io -n team-a",
        "get events.events.k8s.io -n team-a",
        "patch events.events.k8s.io -n team-a",
        "list events.events.k8s.io --all-namespaces",
        "create reports.openreports.io -n team-a",
        "patch reports.openreports.io -n team-a",
        "delete reports.openreports.io -n team-a",
        "list reports.openreports.io --all-namespaces",
        "create clusterreports.openreports.io",
        "patch clusterreports.openreports.io",
        "delete clusterreports.openreports.io",
        "list clusterreports.openreports.io",
        "get customresourcedefinitions",
        "get /openapi/v3",
        "list customresourcedefinitions",
        "watch customresourcedefinitions",
        "list apiservices",
        "watch apiservices",
        "list namespaces",
        "watch namespaces",
        "create leases -n polywatch-system",
        "get leases/polywatch -n polywatch-system",
        "update leases/polywatch -n polywatch-system",
        "get secrets -n polywatch-system",
        "list secrets -n polywatch-system",
        "create secrets -n polywatch-system",
        "patch secrets -n polywatch-system",
        "delete secrets -n polywatch-system",
        "watch pods --all-namespaces",
        "list nodes",
        "list deployments.apps --all-namespaces",
        "watch endpointslices.discovery.k8s.io --all-namespaces",
    ];
    for what in needs {
        // The aggregated role is filled a moment after it is created.
        eventually(&format!("the operator may {what}"), PATIENCE, async || {
            match can(cluster, ACCOUNT, what).await {
                true => Ok(()),
                false => Err("it may not".to_owned()),
            }
        })
        .await;
    }
    let refused = [
        "get secrets --all-namespaces",
        "list secrets --all-namespaces",
        "watch secrets -n polywatch-system",
        "create secrets -n team-a",
        "delete secrets --all-namespaces",
        "create monitorpolicies",
        "update monitorpolicies",
        "patch monitorpolicies",
        "delete monitorpolicies",
        "create alertsinks",
        "patch alertsinks",
        "delete events.events.k8s.io --all-namespaces",
        "update leases/another -n polywatch-system",
        "update leases/polywatch -n kube-system",
        "delete leases/polywatch -n polywatch-system",
        "create pods --all-namespaces",
        "create pods --subresource=exec --all-namespaces",
        "get pods --subresource=log --all-namespaces",
        "get nodes --subresource=proxy",
        "patch deployments.apps --all-namespaces",
        "delete namespaces",
        "patch customresourcedefinitions",
        "create clusterroles.rbac.authorization.k8s.io",
        "escalate clusterroles.rbac.authorization.k8s.io",
        "bind clusterroles.rbac.authorization.k8s.io",
        "create serviceaccounts --subresource=token -n polywatch-system",
        "impersonate users",
        "list storageclasses.storage.k8s.io",
    ];
    for what in refused {
        assert!(!can(cluster, ACCOUNT, what).await, "the operator may {what}");
    }
    // One more kind by one more role, as reader_role.yaml says.
    let role = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: test-reader, labels: {polywatch.dev/aggregate-to-reader: 'true'}}
rules: [{apiGroups: [storage.k8s.io], resources: [storageclasses], verbs: [list, watch]}]
";
    cluster.apply_yaml(role).await;
    eventually("a labelled ClusterRole adds to what it may read", PATIENCE, async || {
        match can(cluster, ACCOUNT, "list storageclasses.storage.k8s.io").await {
            true => Ok(()),
            false => Err("not yet".to_owned()),
        }
    })
    .await;
}

/// Findings are for all who may view the cluster; policies are written by those who were chosen.
async fn users_may(cluster: &ControlPlane) {
    let roles = [
        ("viewer", "view"),
        ("owner", "admin"),
        ("author", "polywatch-edit"),
        ("alerter", "polywatch-sinks-edit"),
    ];
    for (user, role) in roles {
        let bind = format!("create clusterrolebinding {user} --clusterrole={role} --user={user}");
        cluster.kubectl(&words(&bind)).await;
    }
    let bind = "-n team-a create rolebinding tenant --clusterrole=view --user=tenant";
    cluster.kubectl(&["create", "namespace", "team-a"]).await;
    cluster.kubectl(&words(bind)).await;
    for (user, what) in [
        ("viewer", "list monitorpolicies"),
        ("viewer", "list clusterreports.openreports.io"),
        ("tenant", "list reports.openreports.io -n team-a"),
    ] {
        eventually(&format!("{user} may {what}"), PATIENCE, async || match can(cluster, user, what).await {
            true => Ok(()),
            false => Err("not yet".to_owned()),
        })
        .await;
    }
    assert!(!can(cluster, "tenant", "list reports.openreports.io --all-namespaces").await);
    assert!(!can(cluster, "tenant", "list clusterreports.openreports.io").await);
    assert!(!can(cluster, "owner", "delete clusterreports.openreports.io").await);
    assert!(!can(cluster, "viewer", "create monitorpolicies").await);
    assert!(!can(cluster, "owner", "create monitorpolicies").await);
    assert!(can(cluster, "author", "create monitorpolicies").await);
    assert!(!can(cluster, "author", "patch monitorpolicies --subresource=status").await);
    // An AlertSink sends Secrets of the operator anywhere.
    assert!(can(cluster, "viewer", "list alertsinks").await);
    assert!(!can(cluster, "owner", "patch alertsinks").await);
    assert!(!can(cluster, "author", "create alertsinks").await);
    assert!(can(cluster, "alerter", "create alertsinks").await);
    assert!(!can(cluster, "alerter", "create monitorpolicies").await);
    assert!(!can(cluster, "alerter", "patch alertsinks --subresource=status").await);
}

async fn can(cluster: &ControlPlane, user: &str, what: &str) -> bool {
    let as_user = format!("--as={user}");
    let mut arguments = vec!["auth", "can-i"];
    arguments.extend(words(what));
    arguments.push(&as_user);
    // It ends with an error when the answer is no, and says so on standard output.
    match cluster.try_kubectl(&arguments).await {
        Ok(answer) => {
            assert_eq!(answer.trim(), "yes", "{what}");
            true
        }
        Err(said) => {
            let trouble = said.lines().find(|line| !line.starts_with("Warning:") && !line.is_empty());
            assert_eq!(trouble, None, "kubectl auth can-i {what}");
            false
        }
    }
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

fn folder(name: &str) -> String {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    path.display().to_string()
}

// --- The schema ---------------------------------------------------------------------------------------

#[tokio::test]
async fn kubectl_explain_teaches_how_to_write_a_rule() {
    let cluster = shared().await;
    cluster.install_crds().await;
    let text = eventually("kubectl explain knows the kind", PATIENCE, async || {
        let explain = ["explain", "monitorpolicy.spec.rules"];
        cluster.try_kubectl(&explain).await
    })
    .await;
    let text = words(&text).join(" ");
    for part in [
        "One with an expression says what a compliant object is",
        "Makes this a rule on drift: fields must stay as they are in the baseline.",
        "true is compliant, false is a finding, an error is neither",
        "CEL expression with a boolean result. Variables: object, oldObject (null unless the rule has on), namespaceObject",
        "Severity of the findings of this rule. Absent: the severity of the policy.",
        "info, low, medium, high",
        "When it fails, or its result is not a string or empty, message is used.",
        "Names of entries in spec.resources whose objects this rule judges. All, when absent.",
        "name <string> -required-",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    let text = cluster.kubectl(&["explain", "mpol.spec.resources.apiVersion"]).await;
    let text = words(&text).join(" ");
    assert!(text.contains("\"GROUP/*\" follows the version"), "{text}");
}

/// A policy of which each case changes something.
fn policy() -> Value {
    json!({
        "resources": [
            {"name": "pods", "apiVersion": "v1", "kind": "Pod"},
            {"name": "routes", "apiVersion": "gateway.example.io/*", "kind": "APIRoute"},
        ],
        "matchConditions": [{"name": "a", "expression": "true"}],
        "variables": [{"name": "a", "expression": "1"}],
        "rules": [
            {"name": "first", "expression": "true"},
            {"name": "second", "resources": ["routes"], "expression": "object.spec.x == 1"},
        ],
    })
}

/// Like a merge of JSON at the end of a path such as `/rules/0`; `null` removes.
fn with(path: &str, value: Value) -> Value {
    let mut spec = policy();
    let (parent, key) = path.rsplit_once('/').expect("a path");
    let parent = spec.pointer_mut(parent).expect("the parent is there");
    match parent {
        Value::Array(items) => items[key.parse::<usize>().expect("a number")] = value,
        parent => parent[key] = value,
    }
    spec
}

/// What the API server says to a policy with this spec, and to the same in strict form.
async fn create(cluster: &ControlPlane, spec: Value) -> Result<(), String> {
    let resource = ApiResource::erase::<MonitorPolicy>(&());
    let policies: Api<DynamicObject> = Api::all_with(cluster.admin().await, &resource);
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let object = DynamicObject::new("p", &resource).data(json!({ "spec": spec }));
    match policies.create(&dry_run, &object).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 422 => Err(status.message.clone()),
        Err(e) => panic!("the API server answers {e}"),
    }
}

/// What `polywatch check` says to a policy with this spec.
fn offline(spec: &Value) -> Vec<InputError> {
    let policy = json!({"apiVersion": "polywatch.dev/v1alpha1", "kind": "MonitorPolicy", "metadata": {"name": "p"}, "spec": spec});
    let source = Source { file: "p.json".into(), text: policy.to_string() };
    policies::read(&[source]).err().unwrap_or_default()
}

#[tokio::test]
async fn the_api_server_rejects_what_can_never_work_and_says_where_and_why() {
    let cluster = shared().await;
    cluster.install_crds().await;
    let long = |length| Value::from("x".repeat(length));
    let pods = |selection: Value| {
        let mut pods = policy()["resources"][0].clone();
        for (key, value) in selection.as_object().expect("a map") {
            pods[key] = value.clone();
        }
        with("/resources/0", pods)
    };
    let both = json!({"namespaces": ["a"], "namespaceSelector": {"matchLabels": {"a": "b"}}});
    let version = "apiVersion must be VERSION such as v1, GROUP/VERSION such as apps/v1, or GROUP/*";
    let cases: Vec<(&str, Value, &str, &str)> = vec![
        (
            "two resources of one name",
            with("/resources/1/name", "pods".into()),
            "spec.resources[1]",
            "Duplicate value",
        ),
        ("two rules of one name", with("/rules/1/name", "first".into()), "spec.rules[1]", "Duplicate value"),
        (
            "two variables of one name",
            with("/variables", json!([{"name": "a", "expression": "1"}, {"name": "a", "expression": "2"}])),
            "spec.variables[1]",
            "Duplicate value",
        ),
        (
            "two conditions of one name",
            with(
                "/matchConditions",
                json!([{"name": "a", "expression": "true"}, {"name": "a", "expression": "true"}]),
            ),
            "spec.matchConditions[1]",
            "Duplicate value",
        ),
        (
            "a rule about an unknown resource",
            with("/rules/0/resources", json!(["pods", "nodes"])),
            "spec",
            "every name in rules[].resources must be the name of an entry in spec.resources",
        ),
        (
            "an empty expression",
            with("/rules/0/expression", "".into()),
            "spec.rules[0].expression",
            "at least 1 char",
        ),
        (
            "no expression",
            with("/rules/0", json!({"name": "first"})),
            "spec.rules[0]",
            "a rule has either expression",
        ),
        (
            "an empty variable",
            with("/variables/0/expression", "".into()),
            "spec.variables[0].expression",
            "at least 1",
        ),
        (
            "an expression of 4097",
            with("/rules/0/expression", long(4097)),
            "spec.rules[0].expression",
            "more than 4096",
        ),
        (
            "a messageExpression of 4097",
            with("/rules/0/messageExpression", long(4097)),
            "spec.rules[0].messageExpression",
            "more than 4096",
        ),
        ("a message of 513", with("/rules/0/message", long(513)), "spec.rules[0].message", "more than 512"),
        (
            "namespaces twice",
            pods(both),
            "spec.resources[0]",
            "namespaces and namespaceSelector exclude each other: give one of them",
        ),
        ("three parts", pods(json!({"apiVersion": "apps/v1/x"})), "spec.resources[0].apiVersion", version),
        ("capitals", pods(json!({"apiVersion": "Apps/v1"})), "spec.resources[0].apiVersion", version),
        ("no version", pods(json!({"apiVersion": "apps/"})), "spec.resources[0].apiVersion", version),
        (
            "a kind of two words",
            pods(json!({"kind": "Daemon Set"})),
            "spec.resources[0].kind",
            "kind must be the name of one kind such as Pod",
        ),
        (
            "a kind with its group",
            pods(json!({"kind": "deployments.apps"})),
            "spec.resources[0].kind",
            "kind must be the name of one kind such as Pod",
        ),
        (
            "a pattern of namespaces",
            pods(json!({"namespaces": ["team-*"]})),
            "spec.resources[0].namespaces",
            "each entry must be the name of one namespace such as team-a",
        ),
        (
            "a path of a namespace",
            pods(json!({"namespaces": ["team-a/secrets?"]})),
            "spec.resources[0].namespaces",
            "each entry must be the name of one namespace such as team-a",
        ),
        (
            "a pattern of namespaces to leave out",
            pods(json!({"excludeNamespaces": ["kube-*"]})),
            "spec.resources[0].excludeNamespaces",
            "patterns are not possible, labels are",
        ),
        (
            "a pattern of names",
            pods(json!({"names": ["web-*"]})),
            "spec.resources[0].names",
            "each entry must be the name of one object",
        ),
        (
            "an unknown severity",
            with("/severity", "urgent".into()),
            "spec.severity",
            "supported values: \"info\", \"low\", \"medium\", \"high\", \"critical\"",
        ),
        (
            "an unknown severity of a rule",
            with("/rules/0/severity", "High".into()),
            "spec.rules[0].severity",
            "supported values: \"info\", \"low\", \"medium\", \"high\", \"critical\"",
        ),
        ("no rules", with("/rules", json!([])), "spec.rules", "at least 1 items"),
        ("rules left out", with("/rules", Value::Null), "spec.rules", "Required value"),
        ("no resources", with("/resources", json!([])), "spec.resources", "at least 1 items"),
        ("a name of 64", with("/rules/0/name", long(64)), "spec.rules[0].name", "more than 63"),
        ("a name with a blank", with("/rules/0/name", "a b".into()), "spec.rules[0].name", "should match"),
        (
            "a variable that no expression can read",
            with("/variables/0/name", "a-b".into()),
            "spec.variables[0].name",
            "should match",
        ),
    ];
    for (what, spec, path, text) in cases {
        let offline = offline(&spec);
        let said = offline.iter().any(|error| error.text.starts_with(&format!("{path}: ")));
        assert!(said, "{what}: polywatch check does not find {path:?}: {offline:?}");
        match create(cluster, spec).await {
            Ok(()) => panic!("{what} is accepted"),
            Err(message) => {
                let mut reasons = message.split(' ').map(|word| word.trim_start_matches('['));
                assert!(
                    reasons.any(|word| word.strip_suffix(':') == Some(path)) && message.contains(text),
                    "{what}: neither {path:?} nor {text:?} can be missing in: {message}"
                );
            }
        }
    }
}

#[tokio::test]
async fn the_api_server_accepts_what_can_work() {
    let cluster = shared().await;
    cluster.install_crds().await;
    let everything = json!({
        "suspend": true,
        "severity": "critical",
        "resources": [{
            "name": "a", "apiVersion": "v1", "kind": "Pod", "namespaces": ["a", "b"], "names": ["x.y", "system:node-1"],
            "excludeNamespaces": ["c"], "labelSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]},
            "fieldSelector": "status.phase!=Running,metadata.name!=x",
        }, {
            "name": "b", "apiVersion": "x-y.example.io/v1alpha1", "kind": "x509Route",
            "namespaceSelector": {"matchLabels": {"a": "b"}},
        }],
        "matchConditions": [{"name": "not a label: Größe", "expression": "true"}],
        "variables": [{"name": "_A1", "expression": "{'a': [1]}"}],
        "rules": [{
            "name": "a", "description": "Größe 尺寸 🚦", "resources": ["a", "b"], "expression": "true\n&& true",
            "message": "尺寸\t\u{1f6a6}", "messageExpression": "'x'", "severity": "info",
        }],
    });
    // As large as each limit allows, so that the rule about names fits into the server's budget.
    let name = |n: usize| format!("{n:0>63}");
    let names: Vec<String> = (0..32).map(name).collect();
    let expression = format!("'{}' == ''", "x".repeat(4088));
    assert_eq!(expression.len(), 4096);
    let largest = json!({
        "resources": names.iter().map(|n| json!({"name": n, "apiVersion": "v1", "kind": "Pod"})).collect::<Vec<_>>(),
        "rules": (0..64)
            .map(|n| json!({"name": name(n), "resources": names, "expression": expression}))
            .collect::<Vec<_>>(),
    });
    let unicode = "尺".repeat(512);
    let cases = [
        ("the policy that the others change", policy()),
        ("everything at once", everything),
        ("the largest of policies", largest),
        ("a message of 512 characters in 1,536 bytes", with("/rules/0/message", unicode.into())),
        (
            "an expression that does not compile, which its status tells",
            with("/rules/0/expression", "(".into()),
        ),
    ];
    for (what, spec) in cases {
        let offline = offline(&spec);
        let compiles = !what.contains("does not compile");
        assert_eq!(offline.is_empty(), compiles, "{what}: polywatch check says {offline:?}");
        if let Err(message) = create(cluster, spec).await {
            panic!("{what} is rejected: {message}");
        }
    }
}
