//! What depends on an object, asked of a running operator.

use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{ControlPlane, Operator, PATIENCE, custom_kind, eventually};

const POLICY: &str = "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: routes}
spec:
  resources: [{name: routes, apiVersion: shop.example.io/v1, kind: Route}]
  lookups:
  - {name: service, apiVersion: v1, kind: Service, nameExpression: object.spec.service}
  rules:
  - {name: serves, expression: lookups.service != null}
";

async fn polywatch(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_polywatch"));
    command.args(arguments).env_clear();
    let ran = tokio::task::spawn_blocking(move || command.output()).await.expect("it ends");
    ran.expect("the binary runs")
}

#[tokio::test]
async fn a_running_operator_tells_what_depends_on_an_object() {
    let cluster = ControlPlane::start().await;
    cluster.install_crds().await;
    let mut operator = Operator::with(&cluster, &cluster.admin_kubeconfig()).with_debug().start();
    operator.wait_ready().await;
    cluster.apply_yaml(&custom_kind("shop", "Route", &[("v1", true)])).await;
    for (route, service) in [("checkout", "checkout"), ("lost", "gone")] {
        cluster
            .apply_yaml(&format!(
                "{{apiVersion: shop.example.io/v1, kind: Route, metadata: {{name: {route}}}, spec: {{service: {service}}}}}"
            ))
            .await;
    }
    cluster
        .apply_yaml(
            "{apiVersion: v1, kind: Service, metadata: {name: checkout}, spec: {ports: [{port: 80}]}}",
        )
        .await;
    cluster.apply_yaml(POLICY).await;
    cluster.ready("routes").await;
    cluster
        .status_when("routes", "the lost route is found", |status| status.summary.open_findings == 1)
        .await;

    let from = format!("http://{}", operator.debug_address());
    let route = "Route.shop.example.io/default/checkout";
    let tree = eventually("the operator draws it", PATIENCE, async || {
        let ran = polywatch(&["graph", "Service/default/checkout", "--from", &from]).await;
        match ran.status.code() {
            Some(0) => Ok(String::from_utf8_lossy(&ran.stdout).into_owned()),
            code => Err(format!("{code:?}: {}", String::from_utf8_lossy(&ran.stderr))),
        }
    })
    .await;
    assert_eq!(
        tree,
        format!(
            "Service/default/checkout\ndepends on it:\n  {route}\n    by policy routes, lookup service, for serves\n\
             it depends on:\n  nothing, as far as policies look\n"
        )
    );

    let ran = polywatch(&["graph", "Route/default/lost", "--from", &from, "-o", "json"]).await;
    let drawn: Value = serde_json::from_slice(&ran.stdout).expect("JSON");
    let (status, body) = operator.debug("/debug/graph?object=Route/default/lost").await.expect("an answer");
    assert_eq!((status, serde_json::from_slice(&body).ok()), (200, Some(drawn.clone())));
    assert_eq!(drawn["edges"][0]["to"], "Service/default/gone");
    assert_eq!(drawn["edges"][0]["violated"], serde_json::json!(["serves"]));
    assert_eq!(drawn["vertices"][1]["missing"], true);

    let ran = polywatch(&["graph", "Service/default/nobody", "--from", &from]).await;
    assert_eq!(ran.status.code(), Some(1), "{}", String::from_utf8_lossy(&ran.stderr));
    let (status, body) = operator.debug("/debug/graph?object=Service").await.expect("an answer");
    let body = String::from_utf8_lossy(&body);
    assert!(status == 400 && body.contains("an object is written as KIND/NAMESPACE/NAME"), "{status} {body}");
}
