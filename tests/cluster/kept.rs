//! What is kept of the objects, and what that asks of the API server, as its requests tell.

use polywatch::api::MonitorPolicyStatus;

use crate::support::{ControlPlane, Operator, PATIENCE, eventually, start_with_operator};

const MAPS: [(&str, &str); 1] = [("resource", "configmaps.v1")];

fn policy(name: &str, selection: &str, rule: &str) -> String {
    format!(
        "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {{name: {name}}}
spec:
  resources: [{{name: maps, apiVersion: v1, kind: ConfigMap{selection}}}]
  rules: [{rule}]
"
    )
}

const LOW: &str = "{name: low, expression: 'int(object.data.?level.orValue(\"0\")) <= 3'}";
const NOTED: &str = "{name: noted, expression: 'has(object.data.note)'}";

async fn map(cluster: &ControlPlane, name: &str, labels: &str, data: &str) {
    let manifest = format!(
        "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, namespace: default, labels: {labels}}}, data: {data}}}"
    );
    cluster.apply_yaml(&manifest).await;
}

/// Complete lists of the ConfigMaps, and watch requests for them, so far.
async fn asked(operator: &Operator) -> (f64, f64) {
    let lists = operator.metric("polywatch_resyncs_total", &MAPS).await.unwrap_or_default();
    let labels = [("verb", "watch"), ("resource", "configmaps"), ("code", "200")];
    (lists, operator.metric("polywatch_api_requests_total", &labels).await.unwrap_or_default())
}

fn in_default(status: &MonitorPolicyStatus) -> Vec<String> {
    let resources = status.findings.iter().filter_map(|finding| finding.resource.as_ref());
    let own = resources.filter(|resource| resource.namespace.as_deref() == Some("default"));
    own.map(|resource| resource.name.clone()).filter(|name| name != "kube-root-ca.crt").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_judged_from_what_is_kept_and_listed_for_only_when_it_reads_more() {
    let (cluster, operator) = start_with_operator().await;
    map(&cluster, "high", "{app: web}", "{level: '9', note: x}").await;
    map(&cluster, "fine", "{app: web}", "{level: '1'}").await;
    map(&cluster, "other", "{app: db}", "{level: '7', note: x}").await;
    cluster.apply_yaml(&policy("first", "", LOW)).await;
    let first = cluster.ready("first").await;
    assert_eq!(in_default(&first).len(), 2, "{:?}", first.findings);
    let before = asked(&operator).await;

    // The same fields: nothing is asked.
    cluster.apply_yaml(&policy("same", "", LOW)).await;
    assert_eq!(in_default(&cluster.ready("same").await).len(), 2);
    // Some of the objects: nothing is asked either, and no other watch runs.
    let web = ", namespaces: [default], labelSelector: {matchLabels: {app: web}}";
    cluster.apply_yaml(&policy("named", ", namespaces: [default], names: [high, fine]", LOW)).await;
    let named = cluster.ready("named").await;
    assert_eq!((in_default(&named), named.summary.objects), (vec!["high".to_owned()], 2));
    assert_eq!(asked(&operator).await, before);
    assert_eq!(operator.metric("polywatch_watches_wanted", &[]).await, Some(1.0));

    // More fields: listed once more, for all that are applied in one go.
    let more = [policy("noted", "", NOTED), policy("labelled", web, LOW)].join("---\n");
    cluster.apply_yaml(&more).await;
    let noted = cluster.ready("noted").await;
    assert!(in_default(&noted).contains(&"fine".to_owned()), "{:?}", noted.findings);
    let labelled = cluster.ready("labelled").await;
    assert_eq!((in_default(&labelled), labelled.summary.objects), (vec!["high".to_owned()], 2));
    assert_eq!(asked(&operator).await.0, before.0 + 1.0);
    assert_eq!(operator.metric("polywatch_watches_wanted", &[]).await, Some(1.0));
    // Those who were judged before hear nothing of it.
    let again = cluster.ready("first").await;
    assert_eq!(again.findings, first.findings);
    assert_eq!(operator.log().matches("finding resolved").count(), 0);

    // An object that leaves the selection is no longer its business.
    map(&cluster, "high", "{app: db}", "{level: '9', note: x}").await;
    let left =
        |status: &MonitorPolicyStatus| status.summary.open_findings == 0 && status.summary.objects == 1;
    cluster.status_when("labelled", "it selects one map less", left).await;
    cluster.status_when("named", "the name is what it was", |status| status.summary.open_findings == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_objects_whose_names_are_read_only_metadata_is_asked_for() {
    let (cluster, operator) = start_with_operator().await;
    map(&cluster, "a-very-long-name", "{}", "{secret: hunter2}").await;
    cluster
        .apply_yaml(&policy(
            "short",
            ", namespaces: [default]",
            "{name: short, expression: object.metadata.name.size() < 10}",
        ))
        .await;
    let status = cluster.ready("short").await;
    assert_eq!(in_default(&status), ["a-very-long-name"]);
    map(&cluster, "another-long-name", "{}", "{x: z}").await;
    let both = |status: &MonitorPolicyStatus| in_default(status).len() == 2;
    let status = cluster.status_when("short", "the new one is found", both).await;
    let kind = status.findings[0].resource.as_ref().expect("an object");
    assert_eq!(
        (kind.api_version.as_str(), kind.kind.as_str()),
        ("v1", "ConfigMap"),
        "not those of the answer"
    );
    // Then it reads more, and whole objects are asked for.
    cluster.apply_yaml(&policy("short", ", namespaces: [default]", NOTED)).await;
    let all = |status: &MonitorPolicyStatus| in_default(status).len() == 2 && status.rules[0].name == "noted";
    cluster.status_when("short", "data is read", all).await;
    assert!(!operator.log().contains("hunter2"));
}

/// Requests so far: for the lease, and all others by what they were.
async fn requests(operator: &Operator) -> (f64, Vec<String>) {
    let text = operator.metrics().await;
    let all = text.lines().filter(|line| line.starts_with("polywatch_api_requests_total"));
    let (lease, others): (Vec<&str>, Vec<&str>) = all.partition(|line| line.contains("leases.coordination"));
    let count = |line: &&str| line.rsplit(' ').next().and_then(|number| number.parse::<f64>().ok());
    (lease.iter().filter_map(count).sum(), others.into_iter().map(str::to_owned).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn while_nothing_happens_only_the_lease_is_renewed() {
    let cluster = ControlPlane::start().await;
    cluster.install_crds().await;
    let mut operator =
        Operator::with(&cluster, &cluster.admin_kubeconfig()).arg("--lease-seconds").arg("3").start();
    operator.wait_ready().await;
    map(&cluster, "high", "{}", "{level: '9'}").await;
    cluster.apply_yaml(&policy("low", ", namespaces: [default]", LOW)).await;
    cluster.ready("low").await;
    cluster.event("ConfigMap", "high", "FindingOpened", 1).await;
    // What the first findings and the kinds of a new cluster ask for ends; then the lease alone goes on.
    let (mut since, mut before) = requests(&operator).await;
    eventually("four renewals in a row without any other request", PATIENCE, async || {
        let (lease, others) = requests(&operator).await;
        if others != before {
            (since, before) = (lease, others);
        }
        if lease - since >= 4.0 {
            Ok(())
        } else {
            Err(format!("{} renewals since {before:#?}", lease - since))
        }
    })
    .await;
}
