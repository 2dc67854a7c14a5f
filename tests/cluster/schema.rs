//! What the schemas of real kinds say of policies: in their status, as soon as the schemas say it, and in an Event.

use k8s_openapi::api::events::v1::Event;
use polywatch::api::MonitorPolicyStatus;
use polywatch::api::status::ResourceState;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::support::{
    ControlPlane, Operator, PATIENCE, condition, custom_kind, eventually, in_state, is, rule,
    start_with_operator,
};

struct Running {
    cluster: ControlPlane,
    operator: Operator,
}

/// The operator that the tests share. They have kinds and policies of their own.
async fn running() -> &'static Running {
    static RUNNING: OnceCell<Running> = OnceCell::const_new();
    RUNNING
        .get_or_init(|| async {
            let (cluster, operator) = start_with_operator().await;
            Running { cluster, operator }
        })
        .await
}

/// A namespaced kind `Box` of the API group `GROUP.example.io` whose `spec` has this schema.
fn boxes(group: &str, spec: &Value) -> String {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("boxes.{group}.example.io")},
        "spec": {
            "group": format!("{group}.example.io"),
            "names": {"kind": "Box", "plural": "boxes"},
            "scope": "Namespaced",
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
            }],
        },
    })
    .to_string()
}

fn policy(name: &str, resources: Value, expressions: &[&str]) -> String {
    let rules: Vec<Value> = expressions
        .iter()
        .enumerate()
        .map(|(n, expression)| json!({"name": format!("r{n}"), "expression": expression}))
        .collect();
    let spec = json!({"resources": resources, "rules": rules});
    json!({"apiVersion": "polywatch.dev/v1alpha1", "kind": "MonitorPolicy", "metadata": {"name": name}, "spec": spec})
        .to_string()
}

fn kind(api_version: &str, kind: &str) -> Value {
    json!([{"name": "objects", "apiVersion": api_version, "kind": kind}])
}

/// Each warning as `FIELD POSITION MESSAGE`.
fn said(status: &MonitorPolicyStatus) -> Vec<String> {
    status.warnings.iter().map(|w| format!("{} {} {}", w.field, w.position, w.message)).collect()
}

impl Running {
    async fn warned(&self, policy: &str, count: usize) -> MonitorPolicyStatus {
        let what = format!("it is ready with {count} warnings");
        let checked =
            |status: &MonitorPolicyStatus| is(status, "Ready", "True") && status.warnings.len() == count;
        self.cluster.status_when(policy, &what, checked).await
    }

    /// Waits until the schemas of a kind were read, as a policy about it that is wrong shows; then the warnings of
    /// `policy` are all that there are.
    async fn silent(&self, policy: &str, resources: Value) {
        let wrong = format!("{policy}-wrong");
        self.cluster.apply_yaml(&self::policy(&wrong, resources, &["object.metadata.lables == {}"])).await;
        self.warned(&wrong, 1).await;
        let status = self.cluster.ready(policy).await;
        assert_eq!(said(&status), [] as [String; 0]);
    }
}

#[tokio::test]
async fn a_misspelt_field_of_a_custom_kind_is_pointed_at_and_the_policy_is_in_force() {
    let running = running().await;
    let spec = json!({"type": "object", "properties": {
        "size": {"type": "integer"}, "tags": {"type": "array", "items": {"type": "string"}},
    }});
    running.cluster.apply_yaml(&boxes("misspelt", &spec)).await;
    let expressions = [
        "has(object.spec.sise) && object.spec.size < 10",
        "object.spec.tags.all(t, t != 3)",
        "object.spec.size > 0",
    ];
    running.cluster.apply_yaml(&policy("misspelt", kind("misspelt.example.io/*", "Box"), &expressions)).await;

    let status = running.warned("misspelt", 2).await;
    let said = said(&status);
    assert_eq!(
        said[0],
        "spec.rules[0].expression 1:16 there is no field `sise` in object.spec; did you mean `size`?"
    );
    assert!(said[1].starts_with("spec.rules[1].expression 1:27 "), "{said:?}");
    assert_eq!(status.warnings[0].rule.as_deref(), Some("r0"));
    assert_eq!(status.warnings[0].resources, ["objects"]);
    let (ready, reason, message) = condition(&status, "Ready");
    assert_eq!((ready, reason), ("True", "Watching"));
    assert!(message.ends_with("; 2 schema warnings, see status.warnings"), "{message}");

    let event: Event = running.cluster.event("MonitorPolicy", "misspelt", "SchemaWarnings", 1).await;
    let note = event.note.unwrap_or_default();
    assert!(note.contains("did you mean `size`?") && note.contains("1 more"), "{note}");
    let described = running.cluster.kubectl(&["describe", "monitorpolicy", "misspelt"]).await;
    assert!(
        described.contains("did you mean `size`?") && described.contains("SchemaWarnings"),
        "{described}"
    );
}

#[tokio::test]
async fn a_warning_comes_and_goes_with_the_definition() {
    let running = running().await;
    let with =
        json!({"type": "object", "properties": {"size": {"type": "integer"}, "width": {"type": "integer"}}});
    let without = json!({"type": "object", "properties": {"width": {"type": "integer"}}});
    // The policy is there before its kind.
    let reads = policy("changing", kind("changing.example.io/v1", "Box"), &["object.spec.size > 0"]);
    running.cluster.apply_yaml(&reads).await;
    let absent = |status: &MonitorPolicyStatus| in_state(status, "objects", ResourceState::NotInstalled);
    running.cluster.status_when("changing", "its kind is not installed", absent).await;
    running.cluster.apply_yaml(&boxes("changing", &without)).await;
    running.warned("changing", 1).await;
    running.cluster.apply_yaml(&boxes("changing", &with)).await;
    running.warned("changing", 0).await;
    running.cluster.apply_yaml(&boxes("changing", &without)).await;
    let status = running.warned("changing", 1).await;
    assert!(said(&status)[0].contains("`size`"), "{:?}", said(&status));
    // Said once for a generation of the policy.
    running.cluster.event("MonitorPolicy", "changing", "SchemaWarnings", 1).await;
    // A kind that is gone says nothing.
    running.cluster.delete_yaml(&boxes("changing", &without)).await;
    let gone = |status: &MonitorPolicyStatus| absent(status) && status.warnings.is_empty();
    running.cluster.status_when("changing", "its kind and the warning are gone", gone).await;
}

#[tokio::test]
async fn built_in_kinds_are_checked_by_what_the_api_server_publishes() {
    let running = running().await;
    let expressions = [
        "object.spec.replica > 1",
        "object.spec.template.spec.containers.name != ''",
        "object.spec.replicas == '3'",
        "object.metadata.name.all(x, x != '')",
        "object.spec.template.spec.containers.all(c, has(c.resources.limits) && 'memory' in c.resources.limits)",
        "object.spec.strategy.rollingUpdate.maxSurge != '25%'",
        "timestamp(object.metadata.creationTimestamp) < now",
    ];
    running.cluster.apply_yaml(&policy("deployments", kind("apps/v1", "Deployment"), &expressions)).await;
    let said = said(&running.warned("deployments", 4).await);
    let starts = [
        "spec.rules[0].expression 1:12 there is no field `replica` in object.spec; did you mean `replicas`?",
        "spec.rules[1].expression 1:37 ",
        "spec.rules[2].expression 1:22 ",
        "spec.rules[3].expression 1:16 ",
    ];
    assert!(said.iter().zip(starts).all(|(text, start)| text.starts_with(start)), "{said:#?}");

    let pods =
        ["object.spec.containers.exists(c, c.imagePullPolcy == 'Always')", "object.status.podIP != ''"];
    running.cluster.apply_yaml(&policy("pods", kind("v1", "Pod"), &pods)).await;
    let said = self::said(&running.warned("pods", 1).await);
    assert!(said[0].contains("did you mean `imagePullPolicy`?"), "{said:?}");
    assert_eq!(running.operator.metric("polywatch_errors_total", &[("kind", "schema")]).await, None);
}

#[tokio::test]
async fn what_a_schema_leaves_open_is_not_warned_of() {
    let running = running().await;
    running.cluster.apply_yaml(&custom_kind("open", "Blob", &[("v1", true)])).await;
    let blobs = kind("open.example.io/v1", "Blob");
    running
        .cluster
        .apply_yaml(&policy("open", blobs.clone(), &["object.spec.any.thing > 3 || object.nothing == 'a'"]))
        .await;
    running.silent("open", blobs).await;

    let spec = json!({"type": "object", "properties": {
        "config": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}, "port": {"x-kubernetes-int-or-string": true},
    }});
    running.cluster.apply_yaml(&boxes("partly", &spec)).await;
    let partly = kind("partly.example.io/v1", "Box");
    let expressions = ["object.spec.config.a.b == 1 && object.spec.port == 80 && object.spec.port != 'http'"];
    running.cluster.apply_yaml(&policy("partly", partly.clone(), &expressions)).await;
    running.silent("partly", partly).await;
}

#[tokio::test]
async fn each_kind_of_a_rule_is_checked_and_named() {
    let running = running().await;
    let resources = json!([
        {"name": "deployments", "apiVersion": "apps/v1", "kind": "Deployment"},
        {"name": "sets", "apiVersion": "apps/v1", "kind": "StatefulSet"},
        {"name": "daemons", "apiVersion": "apps/v1", "kind": "DaemonSet"},
    ]);
    let expressions = ["object.spec.replicas > 0", "object.spec.tmplate != null"];
    running.cluster.apply_yaml(&policy("several", resources, &expressions)).await;
    let status = running.warned("several", 2).await;
    assert_eq!(status.warnings[0].resources, ["daemons"]);
    assert_eq!(status.warnings[1].resources, ["deployments", "sets", "daemons"]);
}

/// Changes of elements name them by the keys of the definition, also when these change.
#[tokio::test]
async fn a_changed_element_is_named_by_the_keys_of_the_schema() {
    let running = running().await;
    // What the misspelt rule is warned of tells that a schema was read, which the judge knows first.
    let keyed_by = |key: &str, field: &str| {
        let text = json!({"type": "string"});
        let fields = json!({"host": text, "path": text, "limit": {"type": "integer"}});
        let element = json!({"type": "object", "required": ["host", "path"], "properties": fields});
        let rules = json!({"type": "array", "items": element, "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": [key]});
        boxes("keyed", &json!({"type": "object", "properties": {"rules": rules, field: text}}))
    };
    let gateway = async |limit: u32| {
        let rules = json!([{"host": "b.example", "path": "/b", "limit": 1},
            {"host": "a.example", "path": "/a", "limit": limit}]);
        let gateway = json!({"apiVersion": "keyed.example.io/v1", "kind": "Box",
            "metadata": {"name": "gateway", "namespace": "default"}, "spec": {"rules": rules}});
        running.cluster.apply_yaml(&gateway.to_string()).await;
    };
    let policy = json!({
        "apiVersion": "polywatch.dev/v1alpha1", "kind": "MonitorPolicy", "metadata": {"name": "keyed"},
        "spec": {"resources": kind("keyed.example.io/v1", "Box"), "rules": [
            {"name": "misspelt", "expression": "!has(object.spec.owner)"},
            {"name": "kept", "on": ["Update"], "expression": "object.spec == oldObject.spec"},
        ]},
    });
    let changed = async |count: usize| {
        let what = format!("{count} changes occurred");
        let occurred = |status: &MonitorPolicyStatus| status.occurrences.len() == count;
        let status = running.cluster.status_when("keyed", &what, occurred).await;
        status.occurrences[0].fields.iter().map(|field| field.path.clone()).collect::<Vec<_>>()
    };
    running.cluster.apply_yaml(&keyed_by("host", "ovner")).await;
    running.cluster.apply_yaml(&policy.to_string()).await;
    running.warned("keyed", 1).await;
    gateway(1).await;
    gateway(100).await;
    assert_eq!(changed(1).await, ["spec.rules[host=a.example].limit"]);

    running.cluster.apply_yaml(&keyed_by("path", "owner")).await;
    running.warned("keyed", 0).await;
    gateway(1000).await;
    assert_eq!(changed(2).await, ["spec.rules[path=/a].limit"]);
}

/// A part of the rights is enough for all but the schemas: nothing is warned of, and the rest goes on.
#[tokio::test]
async fn without_the_right_to_read_a_definition_its_kind_is_not_checked() {
    let cluster = ControlPlane::start().await;
    cluster.install_crds().await;
    let user = cluster.restricted("no-definitions").await;
    let spec = json!({"type": "object", "properties": {"size": {"type": "integer"}}});
    cluster.apply_yaml(&boxes("unread", &spec)).await;
    let rules = [
        rule(&["polywatch.dev"], &["monitorpolicies"], &["get", "list", "watch"]),
        rule(&["polywatch.dev"], &["monitorpolicies/status"], &["patch"]),
        rule(&["events.k8s.io"], &["events"], &["create", "get", "list", "patch"]),
        rule(&["apiextensions.k8s.io"], &["customresourcedefinitions"], &["list", "watch"]),
        rule(&["apiregistration.k8s.io"], &["apiservices"], &["list", "watch"]),
        rule(&["coordination.k8s.io"], &["leases"], &["create", "get", "update"]),
        rule(&["unread.example.io"], &["boxes"], &["list", "watch"]),
        rule(&["apps"], &["deployments"], &["list", "watch"]),
    ];
    cluster.grant(&user, &rules).await;
    let mut operator = Operator::start(&cluster, &user.kubeconfig);
    operator.wait_ready().await;
    cluster
        .apply_yaml(&policy("unread", kind("unread.example.io/v1", "Box"), &["object.spec.sise > 0"]))
        .await;
    cluster
        .apply_yaml(&policy("deployments", kind("apps/v1", "Deployment"), &["object.spec.replica > 0"]))
        .await;
    let warned = |status: &MonitorPolicyStatus| status.warnings.len() == 1;
    cluster.status_when("deployments", "OpenAPI may be read by everybody", warned).await;
    eventually("the refusal is counted", PATIENCE, async || {
        match operator.metric("polywatch_errors_total", &[("kind", "schema")]).await {
            Some(count) if count >= 1.0 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let status = cluster.ready("unread").await;
    assert_eq!(said(&status), [] as [String; 0]);
}
