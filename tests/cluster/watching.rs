//! What is watched: kinds that come and go, rights that are given and taken, selections.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Api;
use polywatch::api::MonitorPolicyStatus;
use polywatch::api::status::ResourceState;

use crate::support::{
    ControlPlane, Operator, PATIENCE, Workloads, condition, custom_kind, eventually, in_state, is, names,
    offenders, resource, start_with_operator,
};

/// Following a kind that comes or goes takes less than two seconds; a machine that compiles at the same time
/// may take longer.
const PROMPT: Duration = Duration::from_secs(10);

/// A policy with one rule, for which every object whose `spec.size` is above ten is a finding.
fn size_policy(name: &str, api_version: &str) -> String {
    format!(
        "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {{name: {name}}}
spec:
  resources: [{{name: things, apiVersion: '{api_version}', kind: Thing}}]
  rules: [{{name: small, expression: object.spec.size <= 10}}]
"
    )
}

fn thing(group: &str, version: &str, name: &str, size: u32) -> String {
    format!(
        "{{apiVersion: {group}.example.io/{version}, kind: Thing, metadata: {{name: {name}}}, spec: {{size: {size}}}}}"
    )
}

fn message<'a>(status: &'a MonitorPolicyStatus, name: &str) -> &'a str {
    let message = resource(status, name).and_then(|resource| resource.message.as_deref());
    message.unwrap_or_else(|| panic!("no message for {name} in {status:?}"))
}

fn in_doubt(status: &MonitorPolicyStatus, reason: &str) {
    let (ready, why, _) = condition(status, "Ready");
    assert_eq!((ready, why), ("False", reason));
    assert_eq!(condition(status, "Compliant").0, "Unknown");
}

/// Waits until the operator wants and runs this many watches, all of one resource in all namespaces, and the API
/// server serves no others of it.
async fn watches(cluster: &ControlPlane, operator: &Operator, resource: &str, count: u32) {
    let count = f64::from(count);
    eventually(&format!("{count} watches run"), PATIENCE, async || {
        let wanted = operator.metric("polywatch_watches_wanted", &[]).await;
        let running = operator.metric("polywatch_watches_running", &[]).await;
        let served = served_watches(cluster, resource).await;
        match (wanted, running, served) == (Some(count), Some(count), count) {
            true => Ok(()),
            false => Err(format!("{wanted:?} are wanted, {running:?} run, {served} are served")),
        }
    })
    .await;
}

/// What the API server says of itself.
async fn served_watches(cluster: &ControlPlane, resource: &str) -> f64 {
    let metrics = cluster.kubectl(&["get", "--raw", "/metrics"]).await;
    let resource = format!("resource=\"{resource}\"");
    let labels = [resource.as_str(), "scope=\"cluster\"", "verb=\"WATCH\""];
    metrics
        .lines()
        .filter(|line| line.starts_with("apiserver_longrunning_requests{"))
        .filter(|line| labels.iter().all(|label| line.contains(label)))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

#[tokio::test]
async fn a_watch_starts_and_stops_as_its_kind_comes_and_goes() {
    let (cluster, operator) = start_with_operator().await;
    let definition = custom_kind("later", "Thing", &[("v1", true)]);
    cluster.apply_yaml(&size_policy("early", "later.example.io/v1")).await;
    let absent = |status: &MonitorPolicyStatus| in_state(status, "things", ResourceState::NotInstalled);
    let status = cluster.status_when("early", "its kind is not installed", absent).await;
    in_doubt(&status, "NotInstalled");
    assert_eq!(status.summary.watching, "0/1");
    assert!(message(&status, "things").contains("later.example.io/v1 Thing is not served"), "{status:?}");
    watches(&cluster, &operator, "things", 0).await;

    for _ in 0..2 {
        cluster.apply_yaml(&definition).await;
        let status = cluster
            .status_within(PROMPT, "early", "its kind is watched", |status| is(status, "Ready", "True"))
            .await;
        let things = resource(&status, "things").expect("the entry");
        assert_eq!(things.state, ResourceState::Watching);
        assert_eq!(things.resource.as_deref(), Some("things.v1.later.example.io"));
        watches(&cluster, &operator, "things", 1).await;
        cluster.apply_yaml(&thing("later", "v1", "big", 11)).await;
        let status = cluster
            .status_when("early", "the finding is open", |status| status.summary.open_findings == 1)
            .await;
        assert_eq!(offenders(&status), names(["default/big"]));

        // With a definition go its objects.
        cluster.delete_yaml(&definition).await;
        let status = cluster.status_within(PROMPT, "early", "its kind is not installed", absent).await;
        in_doubt(&status, "NotInstalled");
        assert_eq!((status.summary.open_findings, status.findings.len()), (0, 0));
        watches(&cluster, &operator, "things", 0).await;
    }
    // The two that were called big are two objects.
    for reason in ["FindingOpened", "FindingResolved"] {
        eventually(&format!("two Events {reason}"), PATIENCE, async || {
            match cluster.events("Thing", "big", reason).await.len() {
                2 => Ok(()),
                other => Err(format!("there are {other}")),
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_version_that_is_dropped_ends_the_watches_pinned_to_it_and_no_others() {
    let (cluster, operator) = start_with_operator().await;
    let serve = async |v1beta1, v1| {
        let versions = [("v1beta1", v1beta1), ("v1", v1)];
        cluster.apply_yaml(&custom_kind("moving", "Thing", &versions)).await;
    };
    serve(true, false).await;
    cluster.apply_yaml(&thing("moving", "v1beta1", "big", 11)).await;
    cluster.apply_yaml(&size_policy("pinned", "moving.example.io/v1beta1")).await;
    cluster.apply_yaml(&size_policy("following", "moving.example.io/*")).await;
    let reads = |version: &'static str| {
        move |status: &MonitorPolicyStatus| {
            let wanted = format!("things.{version}.moving.example.io");
            let things = resource(status, "things");
            is(status, "Ready", "True")
                && things.is_some_and(|things| things.resource.as_deref() == Some(wanted.as_str()))
                && status.summary.open_findings == 1
        }
    };
    for policy in ["pinned", "following"] {
        cluster.status_when(policy, "it reads v1beta1", reads("v1beta1")).await;
    }
    watches(&cluster, &operator, "things", 1).await;
    let since = cluster.ready("following").await.findings[0].since.clone();

    serve(true, true).await;
    cluster.status_within(PROMPT, "following", "it reads the preferred version", reads("v1")).await;
    watches(&cluster, &operator, "things", 2).await;

    serve(false, true).await;
    let status = cluster
        .status_within(PROMPT, "pinned", "its version is gone", |status| {
            in_state(status, "things", ResourceState::NotInstalled)
        })
        .await;
    in_doubt(&status, "NotInstalled");
    let text = message(&status, "things");
    assert!(
        text.contains("does not serve Thing in version v1beta1; it serves v1.")
            && text.contains("\"moving.example.io/*\""),
        "{text}"
    );
    watches(&cluster, &operator, "things", 1).await;

    serve(true, false).await;
    let status = cluster
        .status_within(PROMPT, "following", "it reads the version that is left", reads("v1beta1"))
        .await;
    // It was the same object and the same finding all the time.
    assert_eq!(status.findings[0].since, since);
    cluster.status_within(PROMPT, "pinned", "its version is back", reads("v1beta1")).await;
    watches(&cluster, &operator, "things", 1).await;
    let of_following = async |reason| {
        let events = cluster.events("Thing", "big", reason).await.into_iter();
        let related = |event: &k8s_openapi::api::events::v1::Event| {
            event.related.as_ref().and_then(|related| related.name.clone()) == Some("following".to_owned())
        };
        events.filter(related).collect::<Vec<_>>()
    };
    let opened = of_following("FindingOpened").await;
    assert!(opened.len() == 1 && opened[0].series.is_none(), "{opened:?}");
    let resolved = of_following("FindingResolved").await;
    assert!(resolved.is_empty(), "{resolved:?}");
}

/// A ClusterRole that the reader role of `config/rbac` takes in.
fn reader_role(rule: &PolicyRule) -> String {
    let rule = serde_json::to_string(rule).unwrap_or_else(|e| panic!("{e}"));
    format!(
        "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: reads-things, labels: {{polywatch.dev/aggregate-to-reader: 'true'}}}}
rules: [{rule}]
"
    )
}

/// The rule that the message of a forbidden resource proposes.
fn proposed(message: &str) -> PolicyRule {
    let rule = message.split("the rule ").nth(1);
    let rule = rule.unwrap_or_else(|| panic!("no rule in {message}"));
    polywatch::yaml::from_str(rule).unwrap_or_else(|e| panic!("{rule} is no rule: {e}"))
}

/// With the identity and the rights of `config/rbac` and nothing else, so that these are enough.
#[tokio::test]
async fn a_kind_is_watched_while_the_rights_of_the_shipped_roles_cover_it() {
    let cluster = ControlPlane::start().await;
    // It has the controller that aggregates roles.
    let _workloads = Workloads::start(&cluster).await;
    cluster.install_crds().await;
    cluster.apply_yaml(include_str!("../../config/manager/namespace.yaml")).await;
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/config/rbac");
    cluster.kubectl(&["apply", "-k", config]).await;
    cluster.apply_yaml(&custom_kind("guarded", "Thing", &[("v1", true)])).await;
    for (name, size) in [("mended", 11), ("broken", 12)] {
        cluster.apply_yaml(&thing("guarded", "v1", name, size)).await;
    }
    let account = cluster.service_account("polywatch-system", "polywatch").await;
    let mut operator = Operator::with(&cluster, &account.kubeconfig)
        .namespace("polywatch-system")
        // A right that is taken away is noticed when the watch is made again.
        .arg("--watch-seconds")
        .arg("2")
        .start();
    operator.wait_ready().await;
    cluster
        .apply_yaml(
            "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: guard}
spec:
  resources:
  - {name: maps, apiVersion: v1, kind: ConfigMap, namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: default}}}
  - {name: things, apiVersion: guarded.example.io/v1, kind: Thing}
  - {name: here, apiVersion: guarded.example.io/v1, kind: Thing, namespaces: [default]}
  rules:
  - {name: small, resources: [things], expression: object.spec.size <= 10}
  - {name: allowed, resources: [maps, here], expression: 'true'}
",
        )
        .await;

    let forbidden = |status: &MonitorPolicyStatus| {
        let forbidden = |name| in_state(status, name, ResourceState::Forbidden);
        in_state(status, "maps", ResourceState::Watching) && forbidden("things") && forbidden("here")
    };
    let status = cluster.status_when("guard", "its own kind is forbidden", forbidden).await;
    in_doubt(&status, "Forbidden");
    let text = message(&status, "things").to_owned();
    assert!(text.contains("may not list and watch things.guarded.example.io in all namespaces"), "{text}");
    let of_one = message(&status, "here");
    assert!(
        of_one.contains("may not list and watch things.guarded.example.io in namespace default"),
        "{of_one}"
    );

    // Half of the rights is not enough, and the message names the other half.
    let rule = proposed(&text);
    let only_list = PolicyRule { verbs: vec!["list".to_owned()], ..rule.clone() };
    cluster.apply_yaml(&reader_role(&only_list)).await;
    cluster
        .status_when("guard", "only the watch is forbidden", |status| {
            forbidden(status)
                && message(status, "things")
                    .contains("may not watch things.guarded.example.io in all namespaces")
        })
        .await;

    cluster.apply_yaml(&reader_role(&rule)).await;
    let status = cluster.ready("guard").await;
    assert_eq!(offenders(&status), names(["default/broken", "default/mended"]));
    for name in ["broken", "mended"] {
        cluster.event("Thing", name, "FindingOpened", 1).await;
    }

    cluster.delete_yaml(&reader_role(&rule)).await;
    let status = cluster.status_when("guard", "its own kind is forbidden again", forbidden).await;
    assert_eq!(condition(&status, "Ready").1, "Forbidden");
    assert_eq!(offenders(&status), names(["default/broken", "default/mended"]));

    // What happens meanwhile is seen when the right is back.
    cluster.apply_yaml(&thing("guarded", "v1", "mended", 1)).await;
    cluster.apply_yaml(&reader_role(&rule)).await;
    let status = cluster
        .status_when("guard", "the mended one is resolved", |status| {
            is(status, "Ready", "True") && status.summary.open_findings == 1
        })
        .await;
    assert_eq!(offenders(&status), names(["default/broken"]));
    cluster.event("Thing", "mended", "FindingResolved", 1).await;
    cluster.event("Thing", "mended", "FindingOpened", 1).await;
    cluster.event("Thing", "broken", "FindingOpened", 1).await;
    let resolved = cluster.events("Thing", "broken", "FindingResolved").await;
    assert!(resolved.is_empty(), "{resolved:?}");

    // A series takes rights of its own.
    cluster.apply_yaml(&thing("guarded", "v1", "mended", 13)).await;
    cluster.event("Thing", "mended", "FindingOpened", 2).await;

    // Everything but the kind that was forbidden was allowed all the time.
    for kind in ["policy_watch", "discovery", "status_write", "event_write", "memory", "lease"] {
        let errors = operator.metric("polywatch_errors_total", &[("kind", kind)]).await;
        assert_eq!(errors, None, "{kind}: {}", operator.log());
    }
    assert!(operator.terminate().await.success());
    let leases: Api<Lease> = Api::namespaced(cluster.admin().await, "polywatch-system");
    let lease = leases.get("polywatch").await.expect("the lease");
    let holder = lease.spec.and_then(|spec| spec.holder_identity);
    assert_eq!(holder.unwrap_or_default(), "", "the lease is given back");
}

/// A policy that finds fault with every object that it selects, so that its findings are its selection.
fn selection(name: &str, what: &str) -> String {
    format!(
        "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {{name: {name}}}
spec:
  resources: [{{name: all, apiVersion: v1, {what}}}]
  rules: [{{name: never, expression: 'false'}}]
"
    )
}

fn namespace(name: &str, tier: &str) -> String {
    format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}, labels: {{tier: {tier}}}}}}}")
}

fn map(namespace: &str, name: &str, size: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, namespace: {namespace}, labels: {{size: {size}}}}}}}"
    )
}

#[tokio::test]
async fn a_policy_is_about_exactly_the_objects_that_it_selects() {
    let (cluster, _operator) = start_with_operator().await;
    for color in ["red", "green", "blue"] {
        cluster.apply_yaml(&namespace(color, "any")).await;
        for (name, size) in [("a", "small"), ("b", "large"), ("c", "huge")] {
            cluster.apply_yaml(&map(color, name, size)).await;
        }
    }
    for name in ["waits", "fails"] {
        cluster
            .apply_yaml(&format!(
                "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: red}},
                spec: {{containers: [{{name: one, image: none}}]}}}}"
            ))
            .await;
    }
    let phase = async |pod, phase| {
        let patch = format!(r#"{{"status": {{"phase": "{phase}"}}}}"#);
        let what = ["patch", "pod", pod, "-n", "red", "--subresource=status", "-p", &patch];
        cluster.kubectl(&what).await;
    };
    phase("fails", "Failed").await;

    let cases: [(&str, &str, &[&str]); 8] = [
        (
            "by-namespace-and-name",
            "kind: ConfigMap, namespaces: [red, green], names: [a, c, none]",
            &["red/a", "red/c", "green/a", "green/c"],
        ),
        ("by-name", "kind: ConfigMap, names: [b]", &["red/b", "green/b", "blue/b"]),
        (
            "by-label",
            "kind: ConfigMap, labelSelector: {matchLabels: {size: large}}",
            &["red/b", "green/b", "blue/b"],
        ),
        (
            "by-expression",
            "kind: ConfigMap, namespaces: [red], labelSelector: {matchExpressions: [
            {key: size, operator: In, values: [large, huge]}, {key: size, operator: NotIn, values: [huge]}]}",
            &["red/b"],
        ),
        (
            "by-exclusion",
            "kind: ConfigMap, excludeNamespaces: [red, kube-system], labelSelector: {matchExpressions: [
            {key: size, operator: Exists}]}",
            &["green/a", "green/b", "green/c", "blue/a", "blue/b", "blue/c"],
        ),
        (
            "by-field",
            "kind: ConfigMap, fieldSelector: 'metadata.namespace=green,metadata.name!=a'",
            &["green/b", "green/c"],
        ),
        ("by-phase", "kind: Pod, fieldSelector: status.phase=Failed", &["red/fails"]),
        (
            "by-all",
            "kind: ConfigMap, namespaces: [red, blue], names: [a, b], excludeNamespaces: [blue],
            fieldSelector: metadata.name!=b, labelSelector: {matchLabels: {size: small}}",
            &["red/a"],
        ),
    ];
    for (name, what, _) in &cases {
        cluster.apply_yaml(&selection(name, what)).await;
    }
    cluster.apply_yaml(&selection("impossible", "kind: ConfigMap, fieldSelector: data.key=x")).await;
    for (name, _, selected) in &cases {
        let status = cluster.ready(name).await;
        let expected = selected.iter().map(|&object| object.to_owned()).collect();
        assert_eq!(offenders(&status), expected, "{name}");
        assert_eq!(status.summary.objects, selected.len() as i64, "{name}");
    }

    let status = cluster
        .status_when("impossible", "its selection is invalid", |status| {
            in_state(status, "all", ResourceState::Invalid)
        })
        .await;
    in_doubt(&status, "InvalidResource");
    assert!(message(&status, "all").contains("\"data.key\" is not a known field selector"), "{status:?}");

    // What leaves a selection is resolved, what enters is found.
    phase("waits", "Failed").await;
    phase("fails", "Succeeded").await;
    cluster
        .status_when("by-phase", "the other one failed", |status| offenders(status) == names(["red/waits"]))
        .await;
    cluster.event("Pod", "fails", "FindingResolved", 1).await;
    cluster.apply_yaml(&map("red", "b", "small")).await;
    cluster
        .status_when("by-label", "one lost its label", |status| {
            offenders(status) == names(["green/b", "blue/b"])
        })
        .await;
}

#[tokio::test]
async fn objects_join_and_leave_with_the_labels_of_their_namespace() {
    let (cluster, _operator) = start_with_operator().await;
    for (name, tier) in [("one", "prod"), ("two", "test"), ("three", "prod")] {
        cluster.apply_yaml(&namespace(name, tier)).await;
        cluster.apply_yaml(&map(name, "x", "any")).await;
    }
    cluster
        .apply_yaml(&selection(
            "prod",
            "kind: ConfigMap, names: [x], namespaceSelector: {matchLabels: {tier: prod}}, excludeNamespaces: [three]",
        ))
        .await;
    assert_eq!(offenders(&cluster.ready("prod").await), names(["one/x"]));

    let found = async |expected| {
        let what = format!("the findings are {expected:?}");
        cluster.status_when("prod", &what, |status| offenders(status) == expected).await
    };
    cluster.apply_yaml(&namespace("two", "prod")).await;
    let status = found(names(["one/x", "two/x"])).await;
    assert!(is(&status, "Ready", "True"), "{status:?}");
    cluster.apply_yaml(&namespace("one", "test")).await;
    found(names(["two/x"])).await;
    cluster.event("ConfigMap", "x", "FindingResolved", 1).await;

    // A namespace that comes later, and one that loses the label.
    cluster.apply_yaml(&namespace("four", "prod")).await;
    cluster.apply_yaml(&map("four", "x", "any")).await;
    found(names(["two/x", "four/x"])).await;
    cluster.kubectl(&["label", "namespace", "two", "tier-"]).await;
    found(names(["four/x"])).await;

    // Namespaces themselves are selected by their own labels.
    cluster
        .apply_yaml(&selection(
            "namespaces",
            "kind: Namespace, namespaceSelector: {matchLabels: {tier: prod}}, excludeNamespaces: [three]",
        ))
        .await;
    assert_eq!(offenders(&cluster.ready("namespaces").await), names(["four"]));
}

#[tokio::test]
async fn policies_share_watches_and_a_new_rule_starts_none() {
    let (cluster, operator) = start_with_operator().await;
    cluster.apply_yaml(&map("default", "x", "small")).await;
    let policy = |name: &str, size: &str, allowed: &str| {
        format!(
            "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {{name: {name}}}
spec:
  resources: [{{name: maps, apiVersion: v1, kind: ConfigMap, labelSelector: {{matchLabels: {{size: {size}}}}}}}]
  rules: [{{name: allowed, expression: \"object.metadata.name == '{allowed}'\"}}]
"
        )
    };
    let requests = async || {
        let labels = [("verb", "watch"), ("resource", "configmaps")];
        operator.metric("polywatch_api_requests_total", &labels).await
    };
    let lists = async || {
        let labels = [("resource", "configmaps.v1")];
        operator.metric("polywatch_resyncs_total", &labels).await
    };
    cluster.apply_yaml(&policy("first", "small", "x")).await;
    assert!(is(&cluster.ready("first").await, "Compliant", "True"));
    watches(&cluster, &operator, "configmaps", 1).await;
    assert_eq!((requests().await, lists().await), (Some(1.0), Some(1.0)));

    cluster.apply_yaml(&policy("second", "small", "y")).await;
    assert_eq!(offenders(&cluster.ready("second").await), names(["default/x"]));
    cluster.apply_yaml(&policy("first", "small", "y")).await;
    assert_eq!(offenders(&cluster.ready("first").await), names(["default/x"]));
    cluster.apply_yaml(&policy("second", "small", "x")).await;
    assert!(is(&cluster.ready("second").await, "Compliant", "True"));
    watches(&cluster, &operator, "configmaps", 1).await;
    assert_eq!((requests().await, lists().await), (Some(1.0), Some(1.0)));

    // Another selection is another watch, for as long as somebody wants it.
    cluster.apply_yaml(&policy("second", "large", "x")).await;
    assert_eq!(cluster.ready("second").await.summary.objects, 0);
    watches(&cluster, &operator, "configmaps", 2).await;
    assert_eq!((requests().await, lists().await), (Some(2.0), Some(2.0)));
    cluster.kubectl(&["delete", "mpol", "second"]).await;
    watches(&cluster, &operator, "configmaps", 1).await;
    cluster.apply_yaml(&map("default", "x", "small")).await;
    assert_eq!(offenders(&cluster.ready("first").await), names(["default/x"]));
    cluster.kubectl(&["delete", "mpol", "first"]).await;
    watches(&cluster, &operator, "configmaps", 0).await;
}
