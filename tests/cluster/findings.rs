//! What is judged, and how users learn of it: status, columns, conditions, Events.

use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use polywatch::api::MonitorPolicyStatus;
use polywatch::api::status::RuleStatus;

use crate::support::{
    ControlPlane, PATIENCE, condition, custom_kind, eventually, is, names, occurrences, offenders,
    start_with_operator,
};

/// Before the status is looked at anyway, which it is twice a minute.
const SOON: Duration = Duration::from_secs(20);

/// A ConfigMap in `default` with one entry, which the rules below are about.
fn config_map(name: &str, key: &str, value: &str) -> String {
    format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}}}, data: {{{key}: '{value}'}}}}")
}

fn rule<'a>(status: &'a MonitorPolicyStatus, name: &str) -> &'a RuleStatus {
    let rule = status.rules.iter().find(|rule| rule.name == name);
    rule.unwrap_or_else(|| panic!("no rule {name} in {status:?}"))
}

async fn uid_of(cluster: &ControlPlane, config_map: &str) -> Option<String> {
    let maps: Api<ConfigMap> = Api::default_namespaced(cluster.admin().await);
    let map = maps.get(config_map).await;
    map.unwrap_or_else(|e| panic!("{config_map}: {e}")).metadata.uid
}

const SHOP: &str = "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: shop}
spec:
  severity: high
  resources:
  - {name: settings, apiVersion: v1, kind: ConfigMap, namespaces: [default]}
  - {name: orders, apiVersion: shop.example.io/v1, kind: Order}
  rules:
  - name: safe-mode
    resources: [settings]
    expression: object.data.mode == 'safe'
    messageExpression: \"'the mode is ' + object.data.mode\"
  - name: small-order
    resources: [orders]
    severity: critical
    expression: object.spec.size <= 10
    message: nobody orders that much
";

fn order(size: u32) -> String {
    format!(
        "{{apiVersion: shop.example.io/v1, kind: Order, metadata: {{name: first}}, spec: {{size: {size}}}}}"
    )
}

#[tokio::test]
async fn a_finding_opens_and_resolves_on_a_built_in_and_on_a_custom_kind() {
    let (cluster, _operator) = start_with_operator().await;
    cluster.apply_yaml(&custom_kind("shop", "Order", &[("v1", true)])).await;
    cluster.apply_yaml(&config_map("web", "mode", "safe")).await;
    cluster.apply_yaml(&order(10)).await;
    cluster.apply_yaml(SHOP).await;

    let status = cluster.ready("shop").await;
    assert_eq!(condition(&status, "Ready").1, "Watching");
    assert_eq!(condition(&status, "Compliant"), ("True", "NoFindings", "no finding is open"));
    assert_eq!((status.summary.watching.as_str(), status.summary.objects), ("2/2", 2));
    assert_eq!(columns(&cluster, &[]).await, ["shop", "True", "True", "0", "2/2"]);

    cluster.apply_yaml(&config_map("web", "mode", "fast")).await;
    cluster.apply_yaml(&order(11)).await;
    let status = cluster
        .status_when("shop", "two findings are open", |status| status.summary.open_findings == 2)
        .await;
    assert!(is(&status, "Ready", "True"), "{status:?}");
    assert_eq!(
        condition(&status, "Compliant"),
        ("False", "FindingsOpen", "2 open findings: 1 critical, 1 high")
    );
    assert_eq!((status.summary.critical, status.summary.high), (1, 1));
    assert_eq!((rule(&status, "safe-mode").open, rule(&status, "small-order").open), (1, 1));
    let listed: Vec<_> = status
        .findings
        .iter()
        .filter_map(|f| Some((f, f.resource.as_ref()?)))
        .map(|(f, object)| (f.rule.as_str(), object.kind.as_str(), object.name.as_str(), f.message.as_str()))
        .collect();
    // The worst first.
    assert_eq!(
        listed,
        [
            ("small-order", "Order", "first", "nobody orders that much"),
            ("safe-mode", "ConfigMap", "web", "the mode is fast"),
        ]
    );
    assert_eq!(columns(&cluster, &[]).await, ["shop", "True", "False", "2", "2/2"]);
    assert_eq!(columns(&cluster, &["-o", "wide"]).await[6..], ["1", "0", "2", "Watching"]);

    for (kind, name, severity) in [("ConfigMap", "web", "high"), ("Order", "first", "critical")] {
        let event = cluster.event(kind, name, "FindingOpened", 1).await;
        assert_eq!(event.type_.as_deref(), Some("Warning"));
        assert_eq!(event.metadata.namespace.as_deref(), Some("default"));
        assert_eq!(event.related.as_ref().and_then(|related| related.name.as_deref()), Some("shop"));
        let note = event.note.unwrap_or_default();
        assert!(note.contains("policy shop") && note.contains(severity), "{note}");
    }
    assert_eq!(events_of_shop(&cluster, "FindingOpened").await, [1, 1]);
    for arguments in [["mpol", "shop"], ["configmap", "web"], ["order", "first"]] {
        let told = cluster.kubectl(&["describe", arguments[0], arguments[1]]).await;
        assert!(told.contains("FindingOpened"), "{arguments:?}:\n{told}");
        assert!(!told.contains("FindingResolved"), "{arguments:?}:\n{told}");
    }
    let told = cluster.kubectl(&["describe", "mpol", "shop"]).await;
    assert!(told.contains("the mode is fast (ConfigMap default/web, rule safe-mode, high)"), "{told}");

    cluster.apply_yaml(&config_map("web", "mode", "safe")).await;
    cluster.apply_yaml(&order(1)).await;
    let status =
        cluster.status_when("shop", "it complies again", |status| is(status, "Compliant", "True")).await;
    assert_eq!((status.summary.open_findings, status.findings.len()), (0, 0));
    for (kind, name) in [("ConfigMap", "web"), ("Order", "first")] {
        let event = cluster.event(kind, name, "FindingResolved", 1).await;
        assert_eq!(event.type_.as_deref(), Some("Normal"));
        let note = event.note.unwrap_or_default();
        assert!(note.starts_with("resolved: "), "{note}");
    }
    assert_eq!(events_of_shop(&cluster, "FindingResolved").await, [1, 1]);
    for arguments in [["mpol", "shop"], ["configmap", "web"], ["order", "first"]] {
        let told = cluster.kubectl(&["describe", arguments[0], arguments[1]]).await;
        assert!(told.contains("FindingOpened") && told.contains("FindingResolved"), "{arguments:?}:\n{told}");
    }

    // What happens again is a series of the Event that exists.
    cluster.apply_yaml(&config_map("web", "mode", "fast")).await;
    cluster.event("ConfigMap", "web", "FindingOpened", 2).await;
    assert_eq!(events_of_shop(&cluster, "FindingOpened").await, [1, 2]);
    cluster.apply_yaml(&config_map("web", "mode", "safe")).await;
    cluster.event("ConfigMap", "web", "FindingResolved", 2).await;
    assert_eq!(events_of_shop(&cluster, "FindingResolved").await, [1, 2]);
}

/// How often each Event on the policy with this reason happened.
async fn events_of_shop(cluster: &ControlPlane, reason: &str) -> Vec<i32> {
    let events = cluster.events("MonitorPolicy", "shop", reason).await;
    let mut times: Vec<i32> = events.iter().map(occurrences).collect();
    times.sort_unstable();
    times
}

/// What `kubectl get` shows of the only policy, without its age, which is the sixth column.
async fn columns(cluster: &ControlPlane, arguments: &[&str]) -> Vec<String> {
    let arguments = [&["get", "mpol", "--no-headers"], arguments].concat();
    let line = cluster.kubectl(&arguments).await;
    let mut columns: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    if arguments.len() == 3 {
        columns.truncate(5);
    }
    columns
}

#[tokio::test]
async fn an_object_that_can_not_be_judged_is_an_error_and_neither_opens_nor_resolves_a_finding() {
    let (cluster, operator) = start_with_operator().await;
    cluster
        .apply_yaml(
            "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: limits}
spec:
  resources: [{name: maps, apiVersion: v1, kind: ConfigMap, namespaces: [default]}]
  rules:
  - {name: low, expression: int(object.data.limit) < 5}
  - {name: has-data, expression: has(object.data)}
",
        )
        .await;
    cluster.apply_yaml(&config_map("odd", "limit", "many")).await;
    cluster.apply_yaml(&config_map("fine", "limit", "4")).await;

    let unjudged = |status: &MonitorPolicyStatus| status.summary.rule_errors == 1;
    let status = cluster.status_when("limits", "one judgement failed", unjudged).await;
    assert_eq!((status.summary.open_findings, status.findings.len()), (0, 0));
    let low = rule(&status, "low");
    assert_eq!((low.open, low.errors), (0, 1));
    let error = low.last_error.clone().unwrap_or_default();
    assert!(
        error.contains("int") && error.contains("odd"),
        "the error tells neither what failed nor on which object: {error}"
    );
    let other = rule(&status, "has-data");
    assert_eq!((other.errors, other.last_error.as_deref()), (0, None));
    let compliant = condition(&status, "Compliant");
    assert_eq!((compliant.0, compliant.1), ("Unknown", "RuleErrors"));
    assert!(is(&status, "Ready", "True"), "{status:?}");
    let errors = operator.metric("polywatch_rule_errors", &[("policy", "limits")]).await;
    assert_eq!(errors, Some(1.0));

    cluster.apply_yaml(&config_map("odd", "limit", "9")).await;
    let status = cluster
        .status_when("limits", "the finding is open", |status| status.summary.open_findings == 1)
        .await;
    assert_eq!((status.summary.rule_errors, rule(&status, "low").last_error.as_deref()), (0, None));
    let since = status.findings[0].since.clone();
    cluster.event("ConfigMap", "odd", "FindingOpened", 1).await;

    cluster.apply_yaml(&config_map("odd", "limit", "many")).await;
    let status = cluster.status_within(SOON, "limits", "the judgement failed again", unjudged).await;
    assert_eq!(offenders(&status), names(["default/odd"]));
    assert_eq!(status.findings[0].since, since);

    cluster.apply_yaml(&config_map("odd", "limit", "3")).await;
    let status = cluster.status_when("limits", "it complies", |status| is(status, "Compliant", "True")).await;
    assert_eq!((status.summary.rule_errors, rule(&status, "low").last_error.as_deref()), (0, None));
    cluster.event("ConfigMap", "odd", "FindingResolved", 1).await;
    cluster.event("ConfigMap", "odd", "FindingOpened", 1).await;

    // An error goes with its object, too.
    cluster.apply_yaml(&config_map("odd", "limit", "some")).await;
    cluster.status_within(SOON, "limits", "the judgement failed once more", unjudged).await;
    cluster.kubectl(&["delete", "configmap", "odd"]).await;
    cluster
        .status_when("limits", "it complies without the object", |status| {
            is(status, "Compliant", "True") && status.summary.rule_errors == 0
        })
        .await;
}

#[tokio::test]
async fn a_deleted_object_resolves_and_a_new_one_of_its_name_is_judged_anew() {
    let (cluster, _operator) = start_with_operator().await;
    cluster
        .apply_yaml(
            "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: modes}
spec:
  resources: [{name: maps, apiVersion: v1, kind: ConfigMap, namespaces: [default]}]
  rules: [{name: safe, expression: object.data.mode == 'safe'}]
",
        )
        .await;
    let found = |status: &MonitorPolicyStatus| status.summary.open_findings == 1;
    cluster.apply_yaml(&config_map("web", "mode", "fast")).await;
    let first = cluster.status_when("modes", "the finding is open", found).await;
    assert_eq!(first.findings[0].resource.as_ref().expect("an object").uid, uid_of(&cluster, "web").await);

    cluster.kubectl(&["delete", "configmap", "web"]).await;
    let status = cluster
        .status_when("modes", "the finding is resolved", |status| is(status, "Compliant", "True"))
        .await;
    assert_eq!((status.summary.objects, status.findings.len()), (0, 0));
    cluster.event("ConfigMap", "web", "FindingResolved", 1).await;

    cluster.apply_yaml(&config_map("web", "mode", "wild")).await;
    let second = cluster.status_when("modes", "the new one is a finding", found).await;
    assert_eq!(second.findings[0].resource.as_ref().expect("an object").uid, uid_of(&cluster, "web").await);
    assert_ne!(
        second.findings[0].resource.as_ref().expect("an object").uid,
        first.findings[0].resource.as_ref().expect("an object").uid
    );

    // Too quick for a status in between: what counts is the new object, whatever the old one did.
    cluster.delete_yaml(&config_map("web", "mode", "wild")).await;
    cluster.apply_yaml(&config_map("web", "mode", "safe")).await;
    let third = uid_of(&cluster, "web").await;
    cluster
        .status_when("modes", "the replacement complies", |status| {
            is(status, "Compliant", "True") && status.summary.objects == 1
        })
        .await;

    // Three objects were called web. Each that did not comply opened once and resolved once.
    for reason in ["FindingOpened", "FindingResolved"] {
        eventually(&format!("two objects have {reason}"), PATIENCE, async || {
            let events = cluster.events("ConfigMap", "web", reason).await;
            let about = |uid: &Option<String>| {
                let of = events
                    .iter()
                    .filter(|event| event.regarding.as_ref().is_some_and(|object| object.uid == *uid));
                of.map(occurrences).collect::<Vec<_>>()
            };
            let told = [
                about(&first.findings[0].resource.as_ref().expect("an object").uid),
                about(&second.findings[0].resource.as_ref().expect("an object").uid),
                about(&third),
            ];
            match told == [vec![1], vec![1], vec![]] {
                true => Ok(()),
                false => Err(format!("{events:?}")),
            }
        })
        .await;
    }
}

#[tokio::test]
async fn rules_see_variables_and_the_namespace_and_only_objects_that_meet_the_match_conditions() {
    let (cluster, _operator) = start_with_operator().await;
    cluster
        .apply_yaml(
            "
{apiVersion: v1, kind: Namespace, metadata: {name: judged, labels: {tier: gold}}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: good, namespace: judged}, data: {tier: gold}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: bad, namespace: judged}, data: {tier: tin}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: draft-bad, namespace: judged}, data: {tier: tin}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: without, namespace: judged}, data: {size: big}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: empty, namespace: judged}}
---
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: tiers}
spec:
  resources: [{name: maps, apiVersion: v1, kind: ConfigMap, namespaces: [judged]}]
  matchConditions:
  - {name: has-a-tier, expression: \"has(object.data) && has(object.data.tier)\"}
  - {name: no-draft, expression: \"!object.metadata.name.startsWith('draft')\"}
  variables:
  - {name: here, expression: \"namespaceObject.metadata.labels[?'tier'].orValue('none')\"}
  - {name: text, expression: \"object.data.tier + ' in ' + variables.here\"}
  - {name: unread, expression: \"1 / 0\"}
  rules:
  - name: same-tier
    expression: object.data.tier == variables.here
    messageExpression: variables.text
---
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: cluster-scoped}
spec:
  resources: [{name: namespaces, apiVersion: v1, kind: Namespace, names: [judged]}]
  rules: [{name: has-a-namespace, expression: namespaceObject != null}]
",
        )
        .await;
    let status = cluster.ready("tiers").await;
    assert_eq!(offenders(&status), names(["judged/bad"]));
    assert_eq!(status.findings[0].message, "tin in gold");
    assert_eq!(status.summary.rule_errors, 0, "{status:?}");

    cluster.kubectl(&["label", "namespace", "judged", "tier=tin", "--overwrite"]).await;
    let status = cluster
        .status_when("tiers", "the namespace's new label counts", |status| {
            offenders(status) == names(["judged/good"])
        })
        .await;
    assert_eq!(status.findings[0].message, "gold in tin");

    // An object that no longer meets a condition is no longer judged, which resolves.
    cluster
        .kubectl(&[
            "patch",
            "configmap",
            "good",
            "-n",
            "judged",
            "--type=json",
            "-p",
            r#"[{"op": "remove", "path": "/data/tier"}]"#,
        ])
        .await;
    cluster.status_when("tiers", "it complies", |status| is(status, "Compliant", "True")).await;

    let status = cluster
        .status_when("cluster-scoped", "it is a finding", |status| status.summary.open_findings == 1)
        .await;
    assert_eq!(offenders(&status), names(["judged"]));
}

#[tokio::test]
async fn the_number_of_objects_is_kept_up_without_findings() {
    let (cluster, _operator) = start_with_operator().await;
    cluster
        .apply_yaml(
            "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: all-is-well}
spec:
  resources: [{name: maps, apiVersion: v1, kind: ConfigMap, namespaces: [default]}]
  rules: [{name: fine, expression: 'true'}]
",
        )
        .await;
    assert_eq!(cluster.ready("all-is-well").await.summary.objects, 0);
    cluster.apply_yaml(&config_map("one", "mode", "safe")).await;
    // It takes half a minute, so that a busy cluster does not mean a busy status.
    let status = cluster
        .status_when("all-is-well", "the object is counted", |status| status.summary.objects == 1)
        .await;
    assert_eq!(status.resources[0].objects, 1);
}
