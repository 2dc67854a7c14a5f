//! What outlives the operator: findings beyond those that a status lists, timers, and what changed while it was down.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, ListParams};

use polywatch::api::MonitorPolicyStatus;

use crate::support::{
    ControlPlane, Operator, PATIENCE, eventually, is, map_policy, occurrences as told_times, rule,
};

/// An operator whose lease nobody waits for when it is killed.
fn short_lived(cluster: &ControlPlane) -> Operator {
    Operator::with(cluster, &cluster.admin_kubeconfig()).arg("--lease-seconds").arg("3").start()
}

impl ControlPlane {
    /// The Secrets in which the operator remembers something for a purpose, by name, each with its version.
    async fn remembered(&self, purpose: &str) -> BTreeMap<String, String> {
        let secrets: Api<Secret> = Api::default_namespaced(self.admin().await);
        let params = ListParams::default().labels(&format!("polywatch.dev/remembers={purpose}"));
        let secrets = secrets.list(&params).await.unwrap_or_else(|e| panic!("cannot list Secrets: {e}"));
        let names = secrets.items.into_iter().map(|secret| {
            let meta = secret.metadata;
            (meta.name.unwrap_or_default(), meta.resource_version.unwrap_or_default())
        });
        names.collect()
    }

    /// Waits until the Secrets for a purpose do not change any more for longer than the pause between two passes.
    async fn remembered_in_the_end(&self, purpose: &str, pause: Duration) -> BTreeMap<String, String> {
        let mut last = (BTreeMap::new(), std::time::Instant::now());
        eventually("all is remembered", PATIENCE, async || {
            let now = self.remembered(purpose).await;
            if now.is_empty() || now != last.0 {
                last = (now, std::time::Instant::now());
            }
            if !last.0.is_empty() && last.1.elapsed() > pause {
                Ok(last.0.clone())
            } else {
                Err(format!("{last:?}"))
            }
        })
        .await
    }
}

/// When the log says that findings opened, by object.
fn opened(log: &str) -> BTreeMap<String, usize> {
    let mut opened = BTreeMap::new();
    for line in log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()) {
        if line["message"] == "finding opened" {
            *opened.entry(line["object"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        }
    }
    opened
}

#[tokio::test]
async fn two_hundred_findings_outlive_a_crash_with_the_time_at_which_they_began() {
    const MANY: i64 = 200;
    let names = || (0..MANY).map(|n| format!("map-{n:03}"));
    let cluster = ControlPlane::start().await;
    cluster.install_crds().await;
    cluster.apply_yaml(&map_policy("maps")).await;
    cluster.put_maps(names(), "broken").await;
    let mut operator = short_lived(&cluster);
    operator.wait_ready().await;
    cluster.open("maps", MANY).await;
    cluster.remembered_in_the_end("findings", Duration::from_secs(3)).await;
    assert_eq!(opened(&operator.log()).len(), MANY as usize);
    operator.kill_hard();

    // The Events, which know 50 of them, are gone, as they are after an hour.
    cluster.kubectl(&["delete", "events.events.k8s.io", "--all", "-n", "default"]).await;
    cluster.put_map("map-007", "fine").await;
    let restarted = jiff::Timestamp::now();
    let mut operator = short_lived(&cluster);
    operator.wait_ready().await;
    operator.metric_when("polywatch_watches_running", &[], |n| n == 1.0).await;
    cluster.put_map("late", "broken").await;
    eventually("what is new is said", PATIENCE, async || {
        let log = operator.log();
        if log.contains("default/late") { Ok(()) } else { Err(log) }
    })
    .await;
    let mut status = cluster.open("maps", MANY).await;
    let log = operator.log();
    assert_eq!(opened(&log).into_keys().collect::<Vec<_>>(), ["ConfigMap default/late"]);
    assert_eq!(log.matches("finding resolved").count(), 1, "the one that was mended");

    // All of them began before: the status lists the oldest, so they come up as the others are mended.
    let mut began = BTreeMap::new();
    while began.len() < MANY as usize {
        let listed: Vec<String> = status
            .findings
            .iter()
            .map(|finding| {
                let name = finding.resource.as_ref().expect("an object").name.clone();
                began.insert(name.clone(), finding.since.parse::<jiff::Timestamp>().expect("a time"));
                name
            })
            .collect();
        assert!(!listed.is_empty(), "{} of them were listed", began.len());
        cluster.put_maps(listed, "fine").await;
        status = cluster.open("maps", MANY - began.len() as i64).await;
    }
    let late: Vec<&String> =
        began.iter().filter(|(_, since)| **since >= restarted).map(|(name, _)| name).collect();
    assert_eq!(late, ["late"]);
    eventually("what is mended is not remembered", PATIENCE, async || {
        let left = cluster.remembered("findings").await;
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
}

#[tokio::test]
async fn what_waits_goes_on_waiting_after_a_crash() {
    let cluster = ControlPlane::start().await;
    cluster.install_crds().await;
    let mut operator = short_lived(&cluster);
    operator.wait_ready().await;
    let policy = map_policy("waits") + "    for: 1h\n    keepFor: 1h\n";
    cluster.apply_yaml(&policy).await;
    cluster.ready("waits").await;
    // More than a status lists, and sooner than it would list them.
    cluster.put_maps((0..30).map(|n| format!("map-{n:02}")), "broken").await;
    operator.metric_when("polywatch_cache_objects", &[("resource", "configmaps.v1")], |n| n >= 30.0).await;
    cluster.remembered_in_the_end("findings", Duration::from_secs(3)).await;
    operator.kill_hard();
    let down = jiff::Timestamp::now();

    let mut operator = short_lived(&cluster);
    operator.wait_ready().await;
    cluster.apply_yaml(&policy.replace("for: 1h", "for: 1s")).await;
    let status = cluster.open("waits", 30).await;
    for finding in &status.findings {
        let since: jiff::Timestamp = finding.since.parse().expect("a time");
        assert!(since < down, "it began before the crash: {finding:?}");
    }
    assert_eq!(status.findings.len(), 20);
}

#[tokio::test]
async fn without_the_right_to_remember_all_goes_on_and_is_remembered_once_it_is_granted() {
    let cluster = ControlPlane::start().await;
    cluster.install_crds().await;
    let user = cluster.restricted("forgetful").await;
    let needed = [
        rule(&["polywatch.dev"], &["monitorpolicies"], &["get", "list", "watch"]),
        rule(&["polywatch.dev"], &["monitorpolicies/status"], &["patch"]),
        rule(&["events.k8s.io"], &["events"], &["create", "get", "list", "patch"]),
        rule(&["apiextensions.k8s.io"], &["customresourcedefinitions"], &["get", "list", "watch"]),
        rule(&["apiregistration.k8s.io"], &["apiservices"], &["list", "watch"]),
        rule(&["coordination.k8s.io"], &["leases"], &["create", "get", "update"]),
        rule(&[""], &["configmaps"], &["list", "watch"]),
    ];
    cluster.grant(&user, &needed).await;
    let mut operator = Operator::with(&cluster, &user.kubeconfig).start();
    operator.wait_ready().await;
    cluster.apply_yaml(&map_policy("maps")).await;
    cluster.put_map("one", "broken").await;
    cluster.open("maps", 1).await;
    operator.metric_when("polywatch_errors_total", &[("kind", "memory")], |n| n >= 3.0).await;
    let log = operator.log();
    let said =
        log.lines().filter(|line| line.contains("WARN") && line.contains("outlives a restart")).count();
    assert_eq!(said, 1, "{log}");
    assert!(log.contains("config/rbac"), "it says what to do");

    cluster.grant(&user, &[rule(&[""], &["secrets"], &["list", "create", "patch", "delete"])]).await;
    eventually("it is remembered", PATIENCE * 2, async || {
        let there = cluster.remembered("findings").await;
        if there.len() == 1 { Ok(()) } else { Err(format!("{there:?}")) }
    })
    .await;
}

#[tokio::test]
async fn what_is_remembered_is_no_concern_of_policies_and_goes_with_its_own() {
    let cluster = ControlPlane::start().await;
    cluster.install_crds().await;
    let mut operator = short_lived(&cluster);
    operator.wait_ready().await;
    // Each write would be a change, which would be written.
    cluster
        .apply_yaml(
            "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: secrets}
spec:
  resources: [{name: secrets, apiVersion: v1, kind: Secret}]
  rules:
  - {name: none, 'on': [Create, Update, Delete], expression: 'false'}
  - {name: small, expression: \"!has(object.data) || object.data.size() < 2\"}
",
        )
        .await;
    cluster.ready("secrets").await;
    let secret = |name: &str| {
        format!("{{apiVersion: v1, kind: Secret, metadata: {{name: {name}}}, stringData: {{a: b, c: d}}}}")
    };
    cluster.apply_yaml(&secret("one")).await;
    cluster.open("secrets", 1).await;
    let there = cluster.remembered_in_the_end("findings", Duration::from_secs(3)).await;
    assert_eq!(there.len(), 2, "what stands, and what occurred: {there:?}");
    let status = cluster.status_when("secrets", "one came", |status| status.summary.occurrences > 0).await;
    assert_eq!((status.summary.occurrences, status.summary.open_findings), (1, 1), "{status:?}");

    // Suspended, nothing is kept; and when it is gone.
    cluster
        .kubectl(&["patch", "mpol", "secrets", "--type=merge", "-p", "{\"spec\":{\"suspend\":true}}"])
        .await;
    let gone = async || match cluster.remembered("findings").await {
        left if left.is_empty() => Ok(()),
        left => Err(format!("{left:?}")),
    };
    eventually("nothing is kept of a policy that is suspended", PATIENCE, gone).await;
    cluster
        .kubectl(&["patch", "mpol", "secrets", "--type=merge", "-p", "{\"spec\":{\"suspend\":false}}"])
        .await;
    cluster.open("secrets", 1).await;
    cluster.remembered_in_the_end("findings", Duration::from_secs(2)).await;
    operator.kill_hard();
    let policies: Api<polywatch::api::MonitorPolicy> = Api::all(cluster.admin().await);
    policies.delete("secrets", &DeleteParams::default()).await.expect("it is there");
    let mut operator = short_lived(&cluster);
    operator.wait_ready().await;
    eventually("nothing is kept of a policy that went while nobody looked", PATIENCE, gone).await;
}

/// On ConfigMaps of the namespace `default`: a limit may not be raised, and so on.
const LIMITS: &str = "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: limits}
spec:
  severity: high
  resources:
  - {name: maps, apiVersion: v1, kind: ConfigMap, namespaces: [default]}
  rules:
  - name: not-raised
    'on': [Update]
    paths: [data]
    expression: int(object.data.limit) <= int(oldObject.data.limit)
    message: the limit was raised
  - {name: not-deleted, 'on': [Delete], expression: \"!('keep' in oldObject.data)\"}
  - {name: no-newcomers, 'on': [Create], expression: \"!object.metadata.name.startsWith('new')\"}
  - {name: no-drift, drift: {paths: [data], allowedManagers: [tests]}}
";

fn map(name: &str, data: &str) -> String {
    format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}}}, data: {data}}}")
}

/// Rule, object and message of each occurrence.
fn occurrences(status: &MonitorPolicyStatus) -> Vec<(String, String, String)> {
    let told =
        status.occurrences.iter().map(|o| (o.rule.clone(), o.resource.name.clone(), o.message.clone()));
    let mut told: Vec<_> = told.collect();
    told.sort();
    told
}

impl ControlPlane {
    async fn raise(&self, name: &str, limit: u32) {
        let patch = format!("{{\"data\":{{\"limit\":\"{limit}\"}}}}");
        let by = "--field-manager=night-shift";
        self.kubectl(&["patch", "configmap", name, "--type=merge", "-p", &patch, by]).await;
    }

    async fn limits_when(&self, what: &str, occurred: i64, open: i64) -> MonitorPolicyStatus {
        self.status_when("limits", what, |status| {
            is(status, "Ready", "True")
                && (status.summary.occurrences, status.summary.open_findings) == (occurred, open)
        })
        .await
    }
}

#[tokio::test]
async fn what_changed_came_and_went_while_the_operator_was_down_is_told_once_with_who_did_it() {
    let cluster = ControlPlane::start().await;
    cluster.install_crds().await;
    cluster.apply_yaml(&map("web", "{limit: '100'}")).await;
    cluster.apply_yaml(&map("kept", "{limit: '1', keep: 'yes'}")).await;
    cluster.apply_yaml(&map("lowered", "{limit: '7'}")).await;
    cluster.apply_yaml(LIMITS).await;
    let mut operator = short_lived(&cluster);
    operator.wait_ready().await;
    cluster.limits_when("nothing happened", 0, 0).await;
    eventually("the objects are remembered", PATIENCE, async || {
        let there = cluster.remembered("objects").await;
        if there.len() == 1 { Ok(()) } else { Err(format!("{there:?}")) }
    })
    .await;
    operator.kill_hard();

    cluster.raise("web", 1000).await;
    cluster.kubectl(&["delete", "configmap", "kept"]).await;
    cluster.apply_yaml(&map("newcomer", "{limit: '1'}")).await;
    cluster.apply_yaml(&map("lowered", "{limit: '6'}")).await;
    let mut operator = short_lived(&cluster);
    operator.wait_ready().await;
    let status = cluster.limits_when("all of it occurred", 3, 1).await;
    let raised = r#"data.limit: "100" → "1000" by night-shift (Update)"#;
    let each = |rule: &str, name: &str, message: &str| (rule.to_owned(), name.to_owned(), message.to_owned());
    let expected = [
        each("no-newcomers", "newcomer", "created by tests (Apply)"),
        each("not-deleted", "kept", "deleted"),
        each("not-raised", "web", &format!("the limit was raised: {raised}")),
    ];
    assert_eq!(occurrences(&status), expected);
    assert_eq!(status.findings[0].message, format!("drifted: {raised}"));
    for name in ["web", "newcomer"] {
        cluster.event("ConfigMap", name, "ChangeOccurred", 1).await;
    }
    // Whether or not what is known now was written by then.
    operator.kill_hard();

    let mut operator = short_lived(&cluster);
    operator.wait_ready().await;
    operator.metric_when("polywatch_watches_running", &[], |n| n == 1.0).await;
    cluster.apply_yaml(&map("newer", "{limit: '1'}")).await;
    let status = cluster.limits_when("only the last one is new", 4, 1).await;
    let others = occurrences(&status).into_iter().filter(|(_, name, _)| name != "newer");
    assert_eq!(others.collect::<Vec<_>>(), expected);
    for name in ["web", "newcomer", "newer"] {
        cluster.event("ConfigMap", name, "ChangeOccurred", 1).await;
    }
    let on_policy = cluster.events("MonitorPolicy", "limits", "ChangeOccurred").await;
    assert_eq!(on_policy.iter().map(told_times).collect::<Vec<_>>(), [1; 4]);
}

#[tokio::test]
async fn a_crash_right_after_a_change_was_told_repeats_nothing() {
    let cluster = ControlPlane::start().await;
    cluster.install_crds().await;
    for name in ["web", "other", "gone"] {
        cluster.apply_yaml(&map(name, "{limit: '100', keep: 'yes'}")).await;
    }
    cluster.apply_yaml(LIMITS).await;
    let mut operator = short_lived(&cluster);
    operator.wait_ready().await;
    cluster.limits_when("nothing happened", 0, 0).await;
    let before = eventually("the objects are remembered", PATIENCE, async || {
        let there = cluster.remembered("objects").await;
        if there.len() == 1 { Ok(there) } else { Err(format!("{there:?}")) }
    })
    .await;
    cluster.raise("web", 200).await;
    cluster.kubectl(&["delete", "configmap", "gone"]).await;
    cluster.apply_yaml(&map("new", "{limit: '1'}")).await;
    let known = cluster.limits_when("each occurred", 3, 1).await;
    assert_eq!(cluster.remembered("objects").await, before, "what is remembered is behind");
    operator.kill_hard();

    // Of no interest to any rule, but the versions are others.
    for name in ["web", "new"] {
        cluster.kubectl(&["label", "configmap", name, "touched=yes"]).await;
    }
    let mut operator = short_lived(&cluster);
    operator.wait_ready().await;
    operator.metric_when("polywatch_watches_running", &[], |n| n == 1.0).await;
    cluster.raise("other", 300).await;
    let status = cluster.limits_when("only the last one is new", 4, 2).await;
    assert_eq!(status.occurrences[1..], known.occurrences);
    let log = operator.log();
    assert_eq!(log.matches("change occurred").count(), 1, "{log}");
}
