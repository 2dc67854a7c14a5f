//! Findings about several objects: lookups against a real API server.

use polywatch::api::status::ResourceState;

use crate::support::{ControlPlane, Operator, custom_kind, is, rule, start_with_operator};

const ROUTES: &str = "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: routes}
spec:
  resources:
  - {name: routes, apiVersion: shop.example.io/v1, kind: Route}
  lookups:
  - {name: service, apiVersion: v1, kind: Service, nameExpression: object.spec.service}
  - name: slices
    apiVersion: discovery.k8s.io/v1
    kind: EndpointSlice
    labels: {kubernetes.io/service-name: lookups.service.metadata.name}
    expression: lookups.slices.exists(s, s.endpoints.exists(e, e.?conditions.?ready.orValue(true)))
    message: no ready endpoint
  rules:
  - name: serves
    severity: critical
    expression: >-
      lookups.service != null
      && lookups.slices.exists(s, s.endpoints.exists(e, e.?conditions.?ready.orValue(true)))
    message: nothing serves the route
";

const ROUTE: &str =
    "{apiVersion: shop.example.io/v1, kind: Route, metadata: {name: checkout}, spec: {service: checkout}}";
const SERVICE: &str =
    "{apiVersion: v1, kind: Service, metadata: {name: checkout}, spec: {ports: [{port: 80}]}}";

fn slice(ready: bool) -> String {
    format!(
        "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, \
         metadata: {{name: checkout-1, labels: {{kubernetes.io/service-name: checkout}}}}, \
         endpoints: [{{addresses: [10.0.0.1], conditions: {{ready: {ready}}}}}]}}"
    )
}

#[tokio::test]
async fn a_finding_names_the_chain_in_status_and_events_and_the_failing_object_has_one_too() {
    let (cluster, _operator) = start_with_operator().await;
    cluster.apply_yaml(&custom_kind("shop", "Route", &[("v1", true)])).await;
    for yaml in [ROUTE, SERVICE, &slice(true), ROUTES] {
        cluster.apply_yaml(yaml).await;
    }
    let status = cluster.ready("routes").await;
    assert_eq!(status.summary.watching, "3/3");
    assert_eq!(status.summary.objects, 1, "what is looked up is not judged");
    let names: Vec<&str> = status.resources.iter().map(|resource| resource.name.as_str()).collect();
    assert_eq!(names, ["routes", "lookups/service", "lookups/slices"]);
    assert!(is(&status, "Compliant", "True"), "{status:?}");

    cluster.apply_yaml(&slice(false)).await;
    let status = cluster
        .status_when("routes", "the chain is broken", |status| status.summary.open_findings == 1)
        .await;
    let finding = &status.findings[0];
    assert_eq!(
        finding.message,
        "nothing serves the route [Service checkout → EndpointSlice checkout-1: no ready endpoint]"
    );
    let chain: Vec<_> = finding
        .chain
        .iter()
        .map(|link| (link.lookup.as_str(), link.objects[0].name.as_str(), link.failed.as_deref()))
        .collect();
    assert_eq!(chain, [("service", "checkout", None), ("slices", "checkout-1", Some("no ready endpoint"))]);
    cluster.event("Route", "checkout", "FindingOpened", 1).await;
    let event = cluster.event("EndpointSlice", "checkout-1", "FindingOpened", 1).await;
    let note = event.note.unwrap_or_default();
    assert!(note.contains("Route default/checkout, policy routes, rule serves"), "{note}");
    assert_eq!(event.related.and_then(|related| related.name).as_deref(), Some("checkout"));

    cluster.apply_yaml(&slice(true)).await;
    cluster.status_when("routes", "it is whole", |status| is(status, "Compliant", "True")).await;
    cluster.event("EndpointSlice", "checkout-1", "FindingResolved", 1).await;

    cluster.delete_yaml(SERVICE).await;
    let status = cluster
        .status_when("routes", "the Service is gone", |status| status.summary.open_findings == 1)
        .await;
    assert_eq!(status.findings[0].message, "nothing serves the route [Service checkout does not exist]");
}

#[tokio::test]
async fn a_kind_that_comes_later_and_one_that_may_not_be_read_are_told_apart() {
    let cluster = ControlPlane::start().await;
    cluster.install_crds().await;
    let user = cluster.restricted("operator").await;
    let all = |groups: &[&str], resources: &[&str]| rule(groups, resources, &["*"]);
    let mut rights = vec![
        all(&["polywatch.dev"], &["*"]),
        all(&["events.k8s.io"], &["events"]),
        all(&["coordination.k8s.io"], &["leases"]),
        all(&["apiextensions.k8s.io"], &["customresourcedefinitions"]),
        all(&["apiregistration.k8s.io"], &["apiservices"]),
        all(&["shop.example.io"], &["*"]),
    ];
    cluster.grant(&user, &rights).await;
    let mut operator = Operator::start(&cluster, &user.kubeconfig);
    operator.wait_ready().await;
    cluster.apply_yaml(&custom_kind("shop", "Route", &[("v1", true)])).await;
    for yaml in [ROUTE, SERVICE, &slice(true)] {
        cluster.apply_yaml(yaml).await;
    }
    let with_limit = ROUTES.replace(
        "  lookups:\n",
        "  lookups:\n  - {name: limit, apiVersion: shop.example.io/v1, kind: Limit, nameExpression: object.metadata.name}\n",
    ) + "  - {name: limited, expression: '!has(lookups.limit) || lookups.limit != null', message: no limit}\n";
    cluster.apply_yaml(&with_limit).await;
    let state = |status: &polywatch::api::MonitorPolicyStatus, name: &str| {
        status.resources.iter().find(|resource| resource.name == name).map(|resource| resource.state)
    };
    let status = cluster
        .status_when("routes", "the states of lookups are told", |status| {
            state(status, "lookups/service") == Some(ResourceState::Forbidden)
        })
        .await;
    assert_eq!(state(&status, "lookups/limit"), Some(ResourceState::NotInstalled));
    assert!(is(&status, "Ready", "False") && is(&status, "Compliant", "Unknown"), "{status:?}");
    assert_eq!(status.summary.open_findings, 0, "what is not known is no finding");

    cluster.apply_yaml(&custom_kind("shop", "Limit", &[("v1", true)])).await;
    let status = cluster
        .status_when("routes", "there is no limit, now that there could be one", |status| {
            status.summary.open_findings == 1
        })
        .await;
    assert_eq!(status.findings[0].message, "no limit [Limit checkout does not exist]");

    rights.extend([all(&[""], &["services"]), all(&["discovery.k8s.io"], &["endpointslices"])]);
    cluster.grant(&user, &rights).await;
    cluster.apply_yaml("{apiVersion: shop.example.io/v1, kind: Limit, metadata: {name: checkout}}").await;
    cluster.status_when("routes", "all is read and in order", |status| is(status, "Compliant", "True")).await;
}

#[tokio::test]
async fn what_is_looked_up_is_kept_as_far_as_it_is_read() {
    let (cluster, operator) = start_with_operator().await;
    cluster.apply_yaml(&custom_kind("shop", "Route", &[("v1", true)])).await;
    for yaml in [ROUTE, SERVICE, &slice(true), ROUTES] {
        cluster.apply_yaml(yaml).await;
    }
    cluster.ready("routes").await;
    // Addresses are read by no rule: nothing is judged again for them.
    let slices = [("resource", "endpointslices.v1.discovery.k8s.io")];
    let events =
        async || operator.metric("polywatch_events_processed_total", &slices).await.unwrap_or_default();
    let judged = async || operator.metric("polywatch_judgements_total", &[]).await.unwrap_or_default();
    let before = (events().await, judged().await);
    cluster.apply_yaml(&slice(true).replace("10.0.0.1", "10.0.0.2")).await;
    operator.metric_when("polywatch_events_processed_total", &slices, |count| count > before.0).await;
    assert_eq!(judged().await, before.1);
    cluster.apply_yaml(&slice(false)).await;
    operator.metric_when("polywatch_judgements_total", &[], |count| count == before.1 + 1.0).await;
}
