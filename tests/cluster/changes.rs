//! Rules on changes and on drift: who changed which field, told once.

use std::sync::atomic::{AtomicU32, Ordering};

use polywatch::api::MonitorPolicyStatus;
use polywatch::api::monitor_policy::Operation;
use polywatch::api::status::{FieldStatus, OccurrenceStatus, ResourceState};

use crate::support::{
    ControlPlane, Link, Operator, PATIENCE, eventually, in_state, is, map_policy, start_with_operator,
};

/// On ConfigMaps of the namespace `default`: a limit may not be raised, and only the pipeline may change data.
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
    resources: [maps]
    on: [Update]
    expression: int(object.data.limit) <= int(oldObject.data.limit)
    message: the limit was raised
  - name: not-deleted
    on: [Delete]
    expression: \"!('keep' in oldObject.data)\"
  - name: no-newcomers
    on: [Create]
    expression: \"!object.metadata.name.startsWith('new')\"
  - name: no-drift
    drift: {paths: [data], allowedManagers: [pipeline]}
";

fn fields(fields: &[FieldStatus]) -> Vec<String> {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let told = fields.iter().map(|field| {
        let [from, to, manager, operation] =
            [&field.from, &field.to, &field.manager, &field.operation].map(text);
        format!("{}: {from} {to} {manager} {operation}", field.path)
    });
    told.collect()
}

fn told(occurrence: &OccurrenceStatus) -> (String, String, Operation) {
    (occurrence.rule.clone(), occurrence.resource.name.clone(), occurrence.operation)
}

impl ControlPlane {
    /// Changes data of a ConfigMap as kubectl does, in the name of a field manager.
    async fn patch_data(&self, manager: &str, name: &str, data: &str) {
        let (patch, manager) = (format!("{{\"data\":{data}}}"), format!("--field-manager={manager}"));
        self.kubectl(&["patch", "configmap", name, "--type=merge", "-p", &patch, &manager]).await;
    }

    /// Applies a ConfigMap with this data, as a pipeline does.
    async fn deploy(&self, name: &str, data: &str) {
        let yaml = format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}}}, data: {data}}}");
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let file =
            std::env::temp_dir().join(format!("polywatch-changes-{}-{number}.yaml", std::process::id()));
        std::fs::write(&file, yaml).expect("the file is written");
        let path = file.display().to_string();
        let apply = ["apply", "--server-side", "--force-conflicts", "--field-manager=pipeline", "-f", &path];
        let applied = self.try_kubectl(&apply).await;
        std::fs::remove_file(&file).expect("the file is there");
        applied.expect("the ConfigMap is applied");
    }

    async fn occurred(&self, count: i64) -> MonitorPolicyStatus {
        let what = format!("{count} changes occurred");
        self.status_when("limits", &what, |status| status.summary.occurrences == count).await
    }
}

#[tokio::test]
async fn who_changed_which_field_is_told_and_drift_stands_until_it_is_back() {
    let (cluster, operator) = start_with_operator().await;
    cluster.deploy("web", "{limit: '100', mode: strict}").await;
    // The ConfigMaps are watched already when somebody begins to ask who changes them.
    cluster.apply_yaml(&map_policy("others")).await;
    cluster.ready("others").await;
    // By kubectl, for which the word `on` without quotes is the boolean true.
    let file = std::env::temp_dir().join(format!("polywatch-changes-{}.yaml", std::process::id()));
    std::fs::write(&file, LIMITS).expect("the file is written");
    let applied = cluster.try_kubectl(&["apply", "-f", &file.display().to_string()]).await;
    std::fs::remove_file(&file).expect("the file is there");
    applied.expect("the policy is applied");
    cluster.ready("limits").await;
    // The list that tells who owns what has come.
    operator.metric_when("polywatch_resyncs_total", &[("resource", "configmaps.v1")], |n| n == 2.0).await;
    cluster.ready("limits").await;

    cluster.patch_data("night-shift", "web", r#"{"limit":"1000"}"#).await;
    let status = cluster.occurred(1).await;
    let change = &status.occurrences[0];
    assert_eq!(told(change), ("not-raised".into(), "web".into(), Operation::Update));
    let raised = r#"data.limit: "100" "1000" night-shift Update"#;
    assert_eq!(fields(&change.fields), [raised]);
    let sentence = r#"data.limit: "100" → "1000" by night-shift (Update)"#;
    assert_eq!(change.message, format!("the limit was raised: {sentence}"));
    let status = cluster.open("limits", 1).await;
    assert_eq!(status.findings[0].message, format!("drifted: {sentence}"));
    assert_eq!(fields(&status.findings[0].fields), [raised]);
    for (kind, name) in [("ConfigMap", "web"), ("MonitorPolicy", "limits")] {
        let event = cluster.event(kind, name, "ChangeOccurred", 1).await;
        assert!(event.note.as_deref().is_some_and(|note| note.contains(sentence)), "{event:?}");
        cluster.event(kind, name, "FindingOpened", 1).await;
    }
    let labels = [("policy", "limits"), ("severity", "high")];
    assert_eq!(operator.metric("polywatch_occurrences_total", &labels).await, Some(1.0));

    // The pipeline may change another field, which excuses nothing.
    cluster.patch_data("pipeline", "web", r#"{"mode":"lax"}"#).await;
    cluster.patch_data("night-shift", "web", r#"{"limit":"900"}"#).await;
    let lower = r#"data.limit: "100" "900" night-shift Update"#;
    let told_lower = |status: &MonitorPolicyStatus| {
        status.findings.iter().map(|f| fields(&f.fields)).collect::<Vec<_>>() == [[lower]]
    };
    cluster.status_when("limits", "only the limit drifted", told_lower).await;

    // Another process goes on where this one ended.
    assert!(operator.terminate().await.success());
    let mut operator = Operator::start(&cluster, &cluster.admin_kubeconfig());
    operator.wait_ready().await;
    operator.metric_when("polywatch_findings", &labels, |n| n == 1.0).await;
    let status = cluster.status_when("limits", "it is as it was", told_lower).await;
    assert_eq!((status.summary.occurrences, status.occurrences.len()), (1, 1));
    cluster.deploy("web", "{limit: '100', mode: strict}").await;
    cluster.open("limits", 0).await;
    for (kind, name) in [("ConfigMap", "web"), ("MonitorPolicy", "limits")] {
        cluster.event(kind, name, "FindingResolved", 1).await;
        cluster.event(kind, name, "ChangeOccurred", 1).await;
        cluster.event(kind, name, "FindingOpened", 1).await;
    }
}

#[tokio::test]
async fn what_happened_while_the_connection_was_lost_occurs_once() {
    let cluster = ControlPlane::start().await;
    cluster.install_crds().await;
    let link = Link::to(&cluster);
    let mut operator = Operator::with(&cluster, &link.kubeconfig).arg("--lease-seconds").arg("300").start();
    operator.wait_ready().await;
    cluster.deploy("web", "{limit: '1'}").await;
    cluster.deploy("kept", "{limit: '1', keep: 'yes'}").await;
    cluster.apply_yaml(LIMITS).await;
    cluster.ready("limits").await;

    link.cut();
    operator.metric_when("polywatch_watches_running", &[], |n| n == 0.0).await;
    cluster.deploy("web", "{limit: '2'}").await;
    cluster.deploy("newcomer", "{limit: '1'}").await;
    cluster.kubectl(&["delete", "configmap", "kept"]).await;
    link.mend();
    operator.wait_ready().await;
    let status = cluster.occurred(3).await;
    let mut occurred: Vec<_> = status.occurrences.iter().map(told).collect();
    occurred.sort();
    let each = |rule: &str, name: &str, operation| (rule.to_owned(), name.to_owned(), operation);
    assert_eq!(
        occurred,
        [
            each("no-newcomers", "newcomer", Operation::Create),
            each("not-deleted", "kept", Operation::Delete),
            each("not-raised", "web", Operation::Update),
        ]
    );
    cluster.event("ConfigMap", "web", "ChangeOccurred", 1).await;
    cluster.event("ConfigMap", "newcomer", "ChangeOccurred", 1).await;
    // What is gone has no Event, its policy does.
    eventually("the policy has an Event for each", PATIENCE, async || {
        let count = cluster.events("MonitorPolicy", "limits", "ChangeOccurred").await.len();
        if count == 3 { Ok(()) } else { Err(format!("it has {count}")) }
    })
    .await;
    assert_eq!(cluster.events("ConfigMap", "kept", "ChangeOccurred").await, []);

    // A change of another kind of the same object shows that nothing was to come after these.
    cluster.deploy("web", "{limit: '3'}").await;
    cluster.occurred(4).await;
}

#[tokio::test]
async fn another_value_of_a_secret_occurs_and_is_shown_nowhere() {
    let cluster = ControlPlane::start().await;
    cluster.install_crds().await;
    let mut operator = Operator::with(&cluster, &cluster.admin_kubeconfig()).env("RUST_LOG", "debug").start();
    operator.wait_ready().await;
    let secret = |value: &str| {
        format!(
            "{{apiVersion: v1, kind: Secret, metadata: {{name: key}}, data: {{password: {value}, user: c2FtZQ==}}}}"
        )
    };
    // hunter2-first and hunter2-second, as the API has them.
    let (first, second) = ("aHVudGVyMi1maXJzdA==", "aHVudGVyMi1zZWNvbmQ=");
    cluster.apply_yaml(&secret(first)).await;
    cluster
        .apply_yaml(
            "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: limits}
spec:
  resources: [{name: secrets, apiVersion: v1, kind: Secret, namespaces: [default], names: [key]}]
  rules:
  - name: password-kept
    on: [Update]
    expression: object.data.password == oldObject.data.password && object.data.user == oldObject.data.user
    messageExpression: \"oldObject.data.password + ' became ' + object.data.password\"
  - {name: no-drift, drift: {paths: [data]}}
  - {name: failing, on: [Update], expression: \"{'a': true}[object.data.password]\"}
",
        )
        .await;
    cluster.ready("limits").await;
    cluster.apply_yaml(&secret(second)).await;
    let status = cluster.occurred(1).await;
    assert_eq!(
        status.occurrences[0].message,
        r#"<redacted> became <redacted>: data.password: "<redacted>" → "<redacted>" by tests (Apply)"#
    );
    assert_eq!(
        fields(&status.occurrences[0].fields),
        [r#"data.password: "<redacted>" "<redacted>" tests Apply"#]
    );
    cluster.open("limits", 1).await;
    cluster.event("Secret", "key", "ChangeOccurred", 1).await;
    cluster.event("Secret", "key", "FindingOpened", 1).await;
    // The same again is no change, and what it was before is back.
    cluster.apply_yaml(&secret(second)).await;
    cluster.apply_yaml(&secret(first)).await;
    cluster.occurred(2).await;
    cluster.open("limits", 0).await;

    let shown = [
        ("the metrics", operator.metrics().await),
        ("the log", operator.log()),
        ("the policy", cluster.kubectl(&["get", "monitorpolicies", "-o", "yaml"]).await),
        ("the Events", cluster.kubectl(&["get", "events", "-A", "-o", "yaml"]).await),
    ];
    for (what, text) in &shown {
        // The values, the same in base 64, and the hashes by which they are told apart.
        for needle in ["hunter2", "aHVudGVyMi", "<redacted:"] {
            let line = text.lines().find(|line| line.contains(needle));
            assert_eq!(line, None, "{what} shows {needle}");
        }
    }
}

#[tokio::test]
async fn the_api_server_refuses_what_is_no_rule_and_a_baseline_has_a_state_of_its_own() {
    let (cluster, _operator) = start_with_operator().await;
    let policy = |rule: &str| {
        format!(
            "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {{name: limits}}
spec:
  resources: [{{name: maps, apiVersion: v1, kind: ConfigMap, namespaces: [default], names: [web]}}]
  rules: [{rule}]
"
        )
    };
    let refused = async |rule: &str| {
        let file = std::env::temp_dir().join(format!("polywatch-refused-{}.yaml", std::process::id()));
        std::fs::write(&file, policy(rule)).expect("the file is written");
        let path = file.display().to_string();
        cluster.try_kubectl(&["apply", "--dry-run=server", "-f", &path]).await.expect_err("it is refused")
    };
    for (rule, lesson) in [
        ("{name: a}", "a rule has either expression"),
        ("{name: a, expression: 'true', drift: {}}", "a rule has either expression"),
        ("{name: a, on: [Update], drift: {}}", "on belongs to expression"),
        ("{name: a, 'on': [Update], drift: {}}", "on belongs to expression"),
        ("{name: a, 'on': [Update], on: [Update], expression: 'true'}", "give one of them"),
        ("{name: a, 'on': [Updated], expression: 'true'}", "\"Create\", \"Update\", \"Delete\""),
        ("{name: a, drift: {baseline: {}}}", "a baseline is either object"),
    ] {
        let said = refused(rule).await;
        assert!(said.contains(lesson), "{rule}: {said}");
    }

    let golden = "{name: same, drift: {paths: [data], baseline: {object: {apiVersion: v1, kind: ConfigMap, \
                  namespace: default, name: golden}}}}";
    cluster.deploy("web", "{limit: '1'}").await;
    cluster.apply_yaml(&policy(golden)).await;
    let no_baseline = |status: &MonitorPolicyStatus| {
        let said = status.rules.first().and_then(|rule| rule.last_error.clone()).unwrap_or_default();
        in_state(status, "same/baseline", ResourceState::Watching) && said.contains("does not exist")
    };
    cluster.status_when("limits", "the baseline is missing", no_baseline).await;
    cluster.deploy("golden", "{limit: '2'}").await;
    let status = cluster.open("limits", 1).await;
    assert_eq!(fields(&status.findings[0].fields), [r#"data.limit: "2" "1" pipeline Apply"#]);
    assert_eq!(status.summary.objects, 1, "what is only compared with is not judged");
    cluster.patch_data("night-shift", "golden", r#"{"limit":"1"}"#).await;
    let status = cluster.open("limits", 0).await;
    assert!(is(&status, "Compliant", "True"));
}
