//! The full list of findings, as OpenReports: slices that are bounded, placed by what is in them, and written only
//! when they changed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kube::Api;
use kube::api::{DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};
use polywatch::record::reports::MAX_SLICE_LEN;
use serde_json::{Value, json};

use crate::support::{
    ControlPlane, Operator, PATIENCE, condition, custom_kind, eventually, is, map_policy, rule,
    start_with_operator,
};

const KINDS: [&str; 2] = [
    include_str!("../../config/openreports/reports.openreports.io.yaml"),
    include_str!("../../config/openreports/clusterreports.openreports.io.yaml"),
];

async fn install(cluster: &ControlPlane) {
    for kind in KINDS {
        cluster.apply_yaml(kind).await;
    }
    eventually("reports are served", PATIENCE, async || {
        let all = cluster.try_kubectl(&["get", "reports.openreports.io,clusterreports.openreports.io", "-A"]);
        all.await.map(drop)
    })
    .await;
}

/// A control plane with the CRDs of OpenReports and of polywatch, and a ready operator.
async fn start() -> (ControlPlane, Operator) {
    let cluster = ControlPlane::start().await;
    install(&cluster).await;
    cluster.install_crds().await;
    let mut operator = Operator::start(&cluster, &cluster.admin_kubeconfig());
    operator.wait_ready().await;
    (cluster, operator)
}

fn api(kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("openreports.io", "v1alpha1", kind))
}

/// One report, by what the tests are about.
#[derive(Debug, Clone, PartialEq)]
struct Report {
    version: String,
    fail: i64,
    results: Vec<Value>,
    object: Value,
}

impl Report {
    fn names(&self) -> BTreeSet<String> {
        let names =
            self.results.iter().map(|result| result["resources"][0]["name"].as_str().unwrap_or_default());
        names.map(str::to_owned).collect()
    }

    fn annotation(&self, name: &str) -> &str {
        self.object["metadata"]["annotations"][format!("polywatch.dev/{name}")].as_str().unwrap_or_default()
    }
}

/// What is there of a policy: its overview, and the slices by namespace and name.
#[derive(Debug, Default)]
struct Reports {
    overview: Option<Report>,
    slices: BTreeMap<(String, String), Report>,
}

impl Reports {
    fn findings(&self) -> usize {
        self.slices.values().map(|slice| slice.results.len()).sum()
    }

    fn names(&self) -> BTreeSet<String> {
        self.slices.values().flat_map(Report::names).collect()
    }

    fn total(&self) -> i64 {
        self.overview.as_ref().map_or(-1, |overview| overview.fail)
    }

    fn versions(&self) -> BTreeMap<(String, String), String> {
        self.slices.iter().map(|(place, slice)| (place.clone(), slice.version.clone())).collect()
    }

    /// The slice that a finding on an object of this name is in.
    fn slice_of(&self, name: &str) -> &(String, String) {
        let of = self.slices.iter().find(|(_, slice)| slice.names().contains(name));
        of.unwrap_or_else(|| panic!("no report lists {name}")).0
    }
}

async fn reports(cluster: &ControlPlane, policy: &str) -> Reports {
    let client = cluster.admin().await;
    let params = ListParams::default().labels(&format!("polywatch.dev/policy={policy}"));
    let mut reports = Reports::default();
    for kind in ["ClusterReport", "Report"] {
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &api(kind));
        let list = api.list(&params).await.unwrap_or_else(|e| panic!("cannot list {kind}s: {e}"));
        for object in list {
            let object = serde_json::to_value(&object).expect("an object is JSON");
            let text =
                |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
            let report = Report {
                version: text("/metadata/resourceVersion"),
                fail: object["summary"]["fail"].as_i64().unwrap_or_default(),
                results: object["results"].as_array().cloned().unwrap_or_default(),
                object: object.clone(),
            };
            if text("/metadata/labels/polywatch.dev~1report") == "overview" {
                reports.overview = Some(report);
            } else {
                reports.slices.insert((text("/metadata/namespace"), text("/metadata/name")), report);
            }
        }
    }
    reports
}

async fn reports_when(
    cluster: &ControlPlane,
    policy: &str,
    what: &str,
    holds: impl Fn(&Reports) -> bool,
) -> Reports {
    eventually(&format!("{policy}: {what}"), PATIENCE, async || {
        let reports = reports(cluster, policy).await;
        if holds(&reports) {
            return Ok(reports);
        }
        let slices: Vec<_> =
            reports.slices.iter().map(|(place, slice)| (place, slice.names().len())).collect();
        Err(format!("the overview counts {}, the slices are {slices:?}", reports.total()))
    })
    .await
}

/// Waits until the reports of a policy list exactly the findings on objects of these names, and count them.
async fn listed<const N: usize>(cluster: &ControlPlane, policy: &str, names: [&str; N]) -> Reports {
    let names: BTreeSet<String> = names.map(str::to_owned).into();
    reports_when(cluster, policy, &format!("its reports list {names:?}"), |reports| {
        reports.names() == names && reports.findings() == names.len() && reports.total() == names.len() as i64
    })
    .await
}

const MIXED: &str = "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: mixed}
spec:
  severity: high
  resources:
  - {name: maps, apiVersion: v1, kind: ConfigMap, namespaces: [team-a, team-b]}
  - {name: spaces, apiVersion: v1, kind: Namespace, names: [team-a, team-b]}
  rules:
  - name: not-broken
    resources: [maps]
    severity: critical
    expression: object.?data.?state.orValue('') != 'broken'
    messageExpression: \"'the map is ' + object.data.state + ' at ' + object.data.?at.orValue('home')\"
  - name: has-owner
    resources: [spaces]
    severity: low
    expression: has(object.metadata.labels) && 'owner' in object.metadata.labels
    message: nobody owns the namespace
  - name: two-of-each
    resources: [maps]
    groupBy: object.metadata.namespace
    expression: objects.size() >= 2
    message: there are too few
";

fn map(namespace: &str, name: &str, state: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, namespace: {namespace}}}, data: {{state: {state}}}}}\n---\n"
    )
}

#[tokio::test]
async fn findings_are_reported_beside_their_objects_and_those_of_the_cluster_and_of_groups_apart() {
    let (cluster, operator) = start().await;
    let spaces = "
{apiVersion: v1, kind: Namespace, metadata: {name: team-a, labels: {owner: me}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: team-b}}
---
";
    let maps =
        map("team-a", "one", "broken") + &map("team-a", "two", "fine") + &map("team-b", "three", "broken");
    cluster.apply_yaml(&(spaces.to_owned() + &maps + MIXED)).await;
    let found = reports_when(&cluster, "mixed", "all four findings are in reports", |reports| {
        reports.findings() == 4 && reports.total() == 4
    })
    .await;
    let by_place: Vec<(&str, Vec<String>)> = found
        .slices
        .iter()
        .map(|((namespace, _), slice)| {
            let said = |result: &Value| {
                let text = |key: &str| result[key].as_str().unwrap_or_default().to_owned();
                text("rule") + ": " + &text("message")
            };
            (namespace.as_str(), slice.results.iter().map(said).collect())
        })
        .collect();
    // The worst first.
    let of_the_cluster = ["two-of-each: there are too few", "has-owner: nobody owns the namespace"];
    let of_a_team = ["not-broken: the map is broken at home"];
    assert_eq!(
        by_place,
        [
            ("", of_the_cluster.map(str::to_owned).into()),
            ("team-a", of_a_team.map(str::to_owned).into()),
            ("team-b", of_a_team.map(str::to_owned).into()),
        ]
    );
    let overview = found.overview.expect("the overview");
    assert_eq!(overview.annotation("findings-by-severity"), "critical=2 high=1 medium=0 low=1 info=0");
    assert_eq!((overview.annotation("findings-listed"), overview.annotation("findings-omitted")), ("4", "0"));

    // What a tool needs, in the words of OpenReports.
    let slice =
        &found.slices[found.slices.keys().find(|place| place.0 == "team-a").expect("a report of team-a")];
    let one = cluster.kubectl(&["get", "configmap", "one", "-n", "team-a", "-o", "json"]).await;
    let one: Value = serde_json::from_str(&one).expect("JSON");
    let policy: Value =
        serde_json::from_str(&cluster.kubectl(&["get", "mpol", "mixed", "-o", "json"]).await).expect("JSON");
    let result = &slice.results[0];
    for (key, value) in [
        ("source", json!("polywatch")),
        ("policy", json!("mixed")),
        ("severity", json!("critical")),
        ("result", json!("fail")),
        ("scored", json!(true)),
    ] {
        assert_eq!(result[key], value, "{key}");
    }
    assert_eq!(
        result["resources"],
        json!([{
            "apiVersion": "v1", "kind": "ConfigMap", "namespace": "team-a", "name": "one",
            "uid": one["metadata"]["uid"],
        }])
    );
    assert_eq!(result["properties"]["selection"], "maps");
    assert_eq!(result["properties"]["policyUid"], policy["metadata"]["uid"]);
    let since = cluster.ready("mixed").await.findings[0].since.clone();
    assert_eq!(result["properties"]["since"], since);
    let owner = &slice.object["metadata"]["ownerReferences"][0];
    assert_eq!((&owner["kind"], &owner["name"]), (&json!("MonitorPolicy"), &json!("mixed")));
    assert_eq!(owner["uid"], policy["metadata"]["uid"]);
    assert_eq!(slice.object["metadata"]["labels"]["app.kubernetes.io/managed-by"], "polywatch");
    let group = found.slices.values().flat_map(|slice| &slice.results).find(|r| r["rule"] == "two-of-each");
    assert_eq!(group.expect("the group")["properties"]["group"], "team-b");

    let status = cluster.status_when("mixed", "it says where", |status| is(status, "Reports", "True")).await;
    let (_, reason, message) = condition(&status, "Reports");
    assert_eq!(reason, "Written");
    let command = message.split_once("kubectl ").expect("how to see them").1;
    let shown = cluster.kubectl(&command.split(' ').collect::<Vec<_>>()).await;
    assert_eq!(shown.lines().filter(|line| line.contains("polywatch-mixed-")).count(), 4, "{shown}");

    // What resolves goes, and so does a report without findings.
    cluster.apply_yaml(&map("team-a", "one", "fine")).await;
    let found = reports_when(&cluster, "mixed", "three are left", |reports| {
        reports.findings() == 3 && reports.total() == 3
    })
    .await;
    assert!(found.slices.keys().all(|(namespace, _)| namespace != "team-a"), "{:?}", found.slices.keys());

    let errors = operator.metric("polywatch_errors_total", &[("kind", "report_write")]).await;
    assert_eq!(errors.unwrap_or_default(), 0.0);
    suspended_and_deleted(&cluster).await;
}

/// A policy that is not judged reports nothing, nor does one that is gone, with or without a garbage collector; this
/// cluster has none.
async fn suspended_and_deleted(cluster: &ControlPlane) {
    let none = |reports: &Reports| reports.overview.is_none() && reports.slices.is_empty();
    let suspend = |value| {
        let patch = format!("{{\"spec\":{{\"suspend\":{value}}}}}");
        async move { cluster.kubectl(&["patch", "mpol", "mixed", "--type=merge", "-p", &patch]).await }
    };
    suspend(true).await;
    reports_when(cluster, "mixed", "none while it is suspended", none).await;
    let status = cluster
        .status_when("mixed", "it says why", |status| condition(status, "Reports").1 == "Suspended")
        .await;
    assert_eq!(condition(&status, "Reports").0, "Unknown");
    suspend(false).await;
    reports_when(cluster, "mixed", "they are back", |reports| {
        reports.total() == 3 && reports.findings() == 3
    })
    .await;
    cluster.kubectl(&["delete", "mpol", "mixed"]).await;
    reports_when(cluster, "mixed", "they go with their policy", none).await;
}

/// A little more than one slice takes, so that there are several.
const MANY: usize = 1_000;

fn maps(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|n| format!("map-{n:05}"))
}

fn changed(before: &Reports, after: &Reports) -> BTreeSet<(String, String)> {
    let (before, after) = (before.versions(), after.versions());
    let places: BTreeSet<_> = before.keys().chain(after.keys()).cloned().collect();
    places.into_iter().filter(|place| before.get(place) != after.get(place)).collect()
}

#[tokio::test]
async fn a_change_writes_the_slice_that_it_is_in_and_a_restart_writes_nothing() {
    let (cluster, operator) = start().await;
    cluster.put_maps(maps(MANY), "broken").await;
    cluster
        .apply_yaml(
            "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: maps}
spec:
  resources: [{name: maps, apiVersion: v1, kind: ConfigMap, namespaces: [default]}]
  rules:
  - name: not-broken
    expression: \"!object.?data.?state.orValue('').startsWith('broken')\"
    messageExpression: \"'it is ' + object.data.state\"
",
        )
        .await;
    let all = |reports: &Reports| reports.findings() == MANY && reports.total() == MANY as i64;
    let first = reports_when(&cluster, "maps", "all are in reports", all).await;
    assert!(first.slices.len() >= 4, "{:?}", first.slices.keys());
    cluster.status_when("maps", "all is written", |status| is(status, "Reports", "True")).await;

    // One finding says something else.
    let place = first.slice_of("map-00007").clone();
    cluster.put_map("map-00007", "broken at the edge").await;
    let second = reports_when(&cluster, "maps", "the report says what is new", |reports| {
        let says = |result: &Value| result["message"] == "it is broken at the edge";
        reports.slices.get(&place).is_some_and(|slice| slice.results.iter().any(says))
    })
    .await;
    assert_eq!(changed(&first, &second), [place.clone()].into());
    assert_eq!(first.overview, second.overview, "the totals are the same, so that nobody writes them");

    // Another one resolves: beside its slice only the totals are others.
    let place = second.slice_of("map-00008").clone();
    cluster.put_map("map-00008", "fine").await;
    let third = reports_when(&cluster, "maps", "it is no longer in it", |reports| {
        reports.findings() == MANY - 1 && reports.total() == MANY as i64 - 1
    })
    .await;
    assert_eq!(changed(&second, &third), [place].into());

    // Most of them are neither in the status nor in Events, so that a new process has them from nowhere but reports.
    assert!(operator.terminate().await.success());
    let mut operator = Operator::start(&cluster, &cluster.admin_kubeconfig());
    operator.wait_ready().await;
    cluster.open("maps", MANY as i64 - 1).await;
    operator.metric_when("polywatch_kubernetes_events_written_total", &[], |written| written > 0.0).await;
    let place = third.slice_of("map-00009").clone();
    cluster.put_map("map-00009", "fine").await;
    let fourth = reports_when(&cluster, "maps", "the new process writes", |reports| {
        reports.findings() == MANY - 2 && reports.total() == MANY as i64 - 2
    })
    .await;
    assert_eq!(changed(&third, &fourth), [place].into());
    let writes = operator.metric("polywatch_report_writes_total", &[]).await;
    assert_eq!(writes, Some(2.0), "the slice and the totals");
}

#[tokio::test]
async fn five_thousand_findings_stay_within_the_bounds_of_bytes_and_rate() {
    const COUNT: usize = 5_000;
    let (cluster, operator) = start().await;
    cluster.apply_yaml(&map_policy("maps")).await;
    cluster.ready("maps").await;
    cluster.put_maps(maps(COUNT), "broken").await;
    let found = reports_when(&cluster, "maps", "all are in reports", |reports| {
        reports.findings() == COUNT && reports.total() == COUNT as i64
    })
    .await;
    assert_eq!(found.names(), maps(COUNT).collect());
    for (place, slice) in &found.slices {
        let size = serde_json::to_string(&slice.results).expect("JSON").len();
        assert!(size <= MAX_SLICE_LEN, "{place:?} has {size} bytes");
        assert_eq!(slice.fail, slice.results.len() as i64);
    }
    let slices = found.slices.len();
    assert!((10..=60).contains(&slices), "{slices} slices");

    // All at once change again: each slice is written once in a second at most, and all together at their rate.
    let before = operator.metric("polywatch_report_writes_total", &[]).await.unwrap_or_default();
    let start = tokio::time::Instant::now();
    cluster.put_maps(maps(COUNT), "fine").await;
    reports_when(&cluster, "maps", "all are gone", |reports| {
        reports.slices.is_empty() && reports.total() == 0
    })
    .await;
    let seconds = start.elapsed().as_secs_f64();
    let writes = operator.metric("polywatch_report_writes_total", &[]).await.unwrap_or_default() - before;
    assert!(writes <= 20.0 + 20.0 * seconds, "{writes} writes in {seconds} s");
    assert!(
        writes <= (slices as f64 + 1.0) * (seconds + 2.0),
        "{writes} writes of {slices} slices in {seconds} s"
    );
}

#[tokio::test]
async fn without_the_kinds_the_condition_says_so_and_they_may_come_later() {
    let (cluster, operator) = start_with_operator().await;
    cluster.apply_yaml(&map_policy("maps")).await;
    cluster.put_map("bad", "broken").await;
    let status = cluster.open("maps", 1).await;
    assert!(is(&status, "Ready", "True"));
    let status = cluster
        .status_when("maps", "it says that reports are missing", |status| is(status, "Reports", "False"))
        .await;
    let (_, reason, message) = condition(&status, "Reports");
    assert_eq!(reason, "NotInstalled");
    assert!(message.contains("kubectl apply -k config/openreports"), "{message}");
    let errors = operator.metric("polywatch_errors_total", &[("kind", "report_write")]).await;
    assert_eq!(errors.unwrap_or_default(), 0.0, "to do without is no error");

    install(&cluster).await;
    listed(&cluster, "maps", ["bad"]).await;
    cluster.status_when("maps", "they are written", |status| is(status, "Reports", "True")).await;

    // They go, which the next write notices.
    for kind in KINDS {
        cluster.delete_yaml(kind).await;
    }
    eventually("the kinds are gone", PATIENCE, async || {
        match cluster.try_kubectl(&["get", "clusterreports.openreports.io"]).await {
            Err(_) => Ok(()),
            Ok(all) => Err(all),
        }
    })
    .await;
    cluster.put_map("worse", "broken").await;
    cluster.status_when("maps", "it says so again", |status| is(status, "Reports", "False")).await;
    install(&cluster).await;
    listed(&cluster, "maps", ["bad", "worse"]).await;
}

#[tokio::test]
async fn without_the_rights_the_condition_says_what_grants_them() {
    let cluster = ControlPlane::start().await;
    install(&cluster).await;
    cluster.install_crds().await;
    let user = cluster.restricted("operator").await;
    let basic = [
        rule(&["polywatch.dev"], &["monitorpolicies"], &["get", "list", "watch"]),
        rule(&["polywatch.dev"], &["monitorpolicies/status"], &["patch"]),
        rule(&["coordination.k8s.io"], &["leases"], &["create", "get", "update"]),
        rule(&["events.k8s.io"], &["events"], &["create", "get", "list", "patch"]),
        rule(&["apiextensions.k8s.io"], &["customresourcedefinitions"], &["get", "list", "watch"]),
        rule(&["apiregistration.k8s.io"], &["apiservices"], &["list", "watch"]),
        rule(&[""], &["namespaces", "configmaps"], &["get", "list", "watch"]),
    ];
    cluster.grant(&user, &basic).await;
    let mut operator = Operator::start(&cluster, &user.kubeconfig);
    operator.wait_ready().await;
    cluster.put_map("bad", "broken").await;
    cluster.apply_yaml(&map_policy("maps")).await;
    let status = cluster.status_when("maps", "it is refused", |status| is(status, "Reports", "False")).await;
    let (_, reason, message) = condition(&status, "Reports");
    assert_eq!(reason, "Forbidden");
    assert!(message.contains("clusterreports") && message.contains("controller_role.yaml"), "{message}");
    let status = cluster.open("maps", 1).await;
    assert!(is(&status, "Ready", "True"), "nothing depends on it");

    let reporting =
        [rule(&["openreports.io"], &["clusterreports", "reports"], &["create", "delete", "list", "patch"])];
    cluster.grant(&user, &[&basic[..], &reporting].concat()).await;
    let patience = Duration::from_secs(100);
    cluster.status_within(patience, "maps", "they are written", |status| is(status, "Reports", "True")).await;
    listed(&cluster, "maps", ["bad"]).await;
}

#[tokio::test]
async fn reports_of_a_policy_that_went_while_nobody_looked_are_deleted_and_a_new_one_of_its_name_has_its_own()
{
    let (cluster, operator) = start().await;
    cluster.apply_yaml(&custom_kind("shop", "Order", &[("v1", true)])).await;
    cluster.put_map("bad", "broken").await;
    cluster.apply_yaml(&(map_policy("goes") + "---" + &map_policy("again"))).await;
    listed(&cluster, "goes", ["bad"]).await;
    let before = listed(&cluster, "again", ["bad"]).await;
    assert!(operator.terminate().await.success());
    cluster.kubectl(&["delete", "mpol", "goes", "again"]).await;
    cluster.apply_yaml(&map_policy("again")).await;

    let mut operator = Operator::start(&cluster, &cluster.admin_kubeconfig());
    operator.wait_ready().await;
    reports_when(&cluster, "goes", "what it left is deleted", |reports| {
        reports.overview.is_none() && reports.slices.is_empty()
    })
    .await;
    let after = reports_when(&cluster, "again", "the first one's reports are gone", |reports| {
        reports.findings() == 1 && before.slices.keys().all(|place| !reports.slices.contains_key(place))
    })
    .await;
    let uid = |reports: &Reports| {
        let slice = reports.slices.values().next().expect("a report");
        slice.object["metadata"]["ownerReferences"][0]["uid"].clone()
    };
    assert_ne!(uid(&before), uid(&after));
}
