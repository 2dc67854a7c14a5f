//! Rules on groups, and rules that wait, against a real API server.

use std::time::Duration;

use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams, PostParams};
use polywatch::api::MonitorPolicy;

use crate::support::{Operator, custom_kind, is, start_with_operator};

const GATEWAYS: &str = "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: gateways}
spec:
  resources:
  - {name: gateways, apiVersion: shop.example.io/v1, kind: Gateway}
  params: {apiVersion: v1, kind: ConfigMap, name: limits, namespace: default}
  rules:
  - name: enough
    severity: high
    groupBy: object.spec.role
    groups: {values: [edge, internal]}
    expression: objects.filter(g, g.spec.ready).size() >= int(params.data.least)
    messageExpression: \"'fewer than ' + params.data.least + ' ready: ' + group\"
  - name: names-are-unique
    severity: low
    groupBy: object.spec.host
    expression: objects.size() == 1
    message: several have this host
";

fn gateway(name: &str, role: &str, ready: bool, host: &str) -> String {
    format!(
        "{{apiVersion: shop.example.io/v1, kind: Gateway, metadata: {{name: {name}}}, \
         spec: {{role: {role}, ready: {ready}, host: {host}}}}}"
    )
}

const LIMITS: &str = "{apiVersion: v1, kind: ConfigMap, metadata: {name: limits}, data: {least: '1'}}";

#[tokio::test]
async fn an_empty_group_is_a_finding_of_its_own_and_events_are_on_the_policy() {
    let (cluster, operator) = start_with_operator().await;
    cluster.apply_yaml(&custom_kind("shop", "Gateway", &[("v1", true)])).await;
    cluster.apply_yaml(LIMITS).await;
    cluster.apply_yaml(&gateway("one", "edge", true, "a")).await;
    cluster.apply_yaml(GATEWAYS).await;
    let status = cluster
        .status_when("gateways", "there is no internal gateway", |status| status.summary.open_findings == 1)
        .await;
    let finding = &status.findings[0];
    assert_eq!((finding.group.as_deref(), &finding.resource), (Some("internal"), &None));
    assert_eq!(finding.message, "fewer than 1 ready: internal");
    let events = cluster.events("MonitorPolicy", "gateways", "FindingOpened").await;
    let all: Api<Event> = Api::all(cluster.admin().await);
    let opened = ListParams::default().fields("reason=FindingOpened");
    let all = all.list(&opened).await.expect("Events").items.len();
    assert!(all == events.len(), "{all} Events, of which {} are on the policy", events.len());

    cluster.apply_yaml(&gateway("two", "internal", true, "a")).await;
    let status = cluster
        .status_when("gateways", "two have one host", |status| {
            status.findings.first().is_some_and(|finding| finding.rule == "names-are-unique")
        })
        .await;
    assert_eq!((status.findings.len(), status.findings[0].group.as_deref()), (1, Some("a")));

    // A restart says nothing twice, and what was open is known again.
    let before = cluster.events("MonitorPolicy", "gateways", "FindingOpened").await.len();
    operator.terminate().await;
    let mut operator = Operator::start(&cluster, &cluster.admin_kubeconfig());
    operator.wait_ready().await;
    cluster.apply_yaml(&gateway("two", "internal", true, "b")).await;
    cluster.status_when("gateways", "all is in order", |status| is(status, "Compliant", "True")).await;
    assert_eq!(cluster.events("MonitorPolicy", "gateways", "FindingOpened").await.len(), before);

    cluster.apply_yaml(&LIMITS.replace("'1'", "'2'")).await;
    let status = cluster
        .status_when("gateways", "the limit is another", |status| status.summary.open_findings == 2)
        .await;
    assert_eq!(status.findings[0].message, "fewer than 2 ready: edge");
}

#[tokio::test]
async fn what_is_wrong_for_long_enough_is_a_finding_and_what_is_pending_outlives_a_restart() {
    let (cluster, operator) = start_with_operator().await;
    cluster.apply_yaml(&custom_kind("shop", "Gateway", &[("v1", true)])).await;
    cluster.apply_yaml(&gateway("one", "edge", false, "a")).await;
    let policy = "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: waits}
spec:
  resources: [{name: gateways, apiVersion: shop.example.io/v1, kind: Gateway}]
  rules:
  - {name: soon, expression: object.spec.ready == true, message: not ready, for: 2s, keepFor: 1s}
  - {name: later, expression: object.spec.ready == true, message: not ready for long, for: 1h}
";
    cluster.apply_yaml(policy).await;
    let status = cluster
        .status_when("waits", "it was not ready for two seconds", |status| status.summary.open_findings == 1)
        .await;
    let since: jiff::Timestamp = status.findings[0].since.parse().expect("a time");
    assert!(status.findings[0].rule == "soon" && since.as_second() > 0);
    // What is pending is written with the first status, and changes of it alone twice a minute.
    let status = cluster
        .status_within(Duration::from_secs(90), "waits", "one is pending", |status| {
            status.pending.iter().any(|pending| pending.rule == "later")
        })
        .await;
    let pending =
        status.pending.iter().find(|pending| pending.rule == "later").expect("pending").since.clone();

    operator.terminate().await;
    let mut operator = Operator::start(&cluster, &cluster.admin_kubeconfig());
    operator.wait_ready().await;
    cluster.apply_yaml(&gateway("two", "edge", false, "b")).await;
    let status = cluster
        .status_when("waits", "the other is a finding as well", |status| status.summary.open_findings == 2)
        .await;
    let first = status.pending.iter().find(|pending| {
        pending.rule == "later" && pending.resource.as_ref().is_some_and(|object| object.name == "one")
    });
    assert_eq!(first.map(|pending| pending.since.clone()), Some(pending), "it goes on waiting");

    for name in ["one", "two"] {
        cluster.apply_yaml(&gateway(name, "edge", true, name)).await;
    }
    cluster.status_when("waits", "both are ready", |status| is(status, "Compliant", "True")).await;
}

#[tokio::test]
async fn the_api_server_refuses_what_can_never_work() {
    let (cluster, _operator) = start_with_operator().await;
    let policy = |rule: &str, more: &str| {
        format!(
            "{{apiVersion: polywatch.dev/v1alpha1, kind: MonitorPolicy, metadata: {{name: refused}}, spec: {{\
             resources: [{{name: pods, apiVersion: v1, kind: Pod}}], rules: [{{name: r, {rule}}}]{more}}}}}"
        )
    };
    let state = "expression: 'true'";
    let kind = ApiResource::erase::<MonitorPolicy>(&());
    let policies: Api<DynamicObject> = Api::all_with(cluster.admin().await, &kind);
    for (yaml, reason) in [
        (policy("groupBy: object.metadata.name, 'on': [Update], expression: 'true'", ""), "groupBy and on"),
        (policy("groups: {values: [a]}, expression: 'true'", ""), "groups belongs to groupBy"),
        (policy("for: soon, expression: 'true'", ""), "for must be a time"),
        (policy("for: 5m, 'on': [Update], expression: 'true'", ""), "for, keepFor and flapping"),
        (policy("flapping: {opens: 1, within: 5m}, expression: 'true'", ""), "opens"),
        (
            policy(
                state,
                ", lookups: [{name: a, apiVersion: v1, kind: Pod, nameExpression: x, labels: {a: b}}]",
            ),
            "exclude each other",
        ),
        (policy(state, ", params: {apiVersion: v1, kind: ConfigMap}"), "by name or by labelSelector"),
    ] {
        let policy: DynamicObject = polywatch::yaml::from_str(&yaml).expect("a policy");
        match policies.create(&PostParams::default(), &policy).await {
            Err(kube::Error::Api(status)) => {
                assert!(status.message.contains(reason), "{yaml}: {}", status.message);
            }
            other => panic!("{yaml}: {other:?}"),
        }
    }
}
