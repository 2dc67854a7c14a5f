//! What users get wrong, and what they are told: bad expressions, kinds and selectors, and objects and texts of
//! extreme shape. None of it may stop the operator, another policy, or another rule of the same policy.
//!
//! All tests but the last share one operator, so each of them also shows that it outlives the others' input.

use std::collections::BTreeSet;

use axum::http::Request;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use polywatch::api::MonitorPolicyStatus;
use polywatch::api::status::{ResourceState, RuleStatus};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::support::{
    ControlPlane, Operator, PATIENCE, condition, custom_kind, eventually, in_state, is, names, offenders,
    start_with_operator,
};

struct Running {
    cluster: ControlPlane,
    operator: Operator,
}

/// The operator that the tests share. They have namespaces and policies of their own.
async fn running() -> &'static Running {
    static RUNNING: OnceCell<Running> = OnceCell::const_new();
    RUNNING
        .get_or_init(|| async {
            let (cluster, operator) = start_with_operator().await;
            cluster.apply_yaml(&custom_kind("bad", "Blob", &[("v1", true)])).await;
            Running { cluster, operator }
        })
        .await
}

impl Running {
    /// A namespace with a ConfigMap `object`, whose `data` is `{a: b}`.
    async fn namespace(&self, name: &str) {
        self.apply(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})).await;
        self.apply(config_map(name, "object", json!({"a": "b"}))).await;
    }

    /// Applies one object; JSON is YAML.
    async fn apply(&self, object: Value) {
        self.cluster.apply_yaml(&object.to_string()).await;
    }

    /// Applies a policy about the ConfigMap `object` of a namespace, with `rules` and further fields of its spec.
    async fn policy(&self, name: &str, namespace: &str, rules: Value, further: Value) {
        let mut spec = json!({
            "resources": [{
                "name": "maps", "apiVersion": "v1", "kind": "ConfigMap",
                "namespaces": [namespace], "names": ["object"],
            }],
            "rules": rules,
        });
        for (key, value) in further.as_object().expect("a map") {
            spec[key] = value.clone();
        }
        self.apply(policy(name, spec)).await;
    }

    /// Creates an object as it is; the clients' own decoders have limits that the server does not have.
    async fn post(&self, path: &str, object: &Value) {
        let request = Request::post(path)
            .header("Content-Type", "application/json")
            .body(object.to_string().into_bytes())
            .expect("a request");
        let client = self.cluster.admin().await;
        let answer = client.request_text(request).await;
        answer.unwrap_or_else(|e| panic!("POST {path}: {e}"));
    }
}

fn policy(name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "polywatch.dev/v1alpha1", "kind": "MonitorPolicy", "metadata": {"name": name}, "spec": spec,
    })
}

fn config_map(namespace: &str, name: &str, data: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": namespace, "name": name}, "data": data,
    })
}

fn blob(namespace: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "bad.example.io/v1", "kind": "Blob",
        "metadata": {"namespace": namespace, "name": name}, "spec": spec,
    })
}

/// A rule that every object violates.
fn violated(name: &str) -> Value {
    json!({"name": name, "expression": "false", "message": "as expected"})
}

fn rule<'a>(status: &'a MonitorPolicyStatus, name: &str) -> &'a RuleStatus {
    let rule = status.rules.iter().find(|rule| rule.name == name);
    rule.unwrap_or_else(|| panic!("no rule {name} in {status:?}"))
}

fn open_rules(status: &MonitorPolicyStatus) -> BTreeSet<String> {
    status.findings.iter().map(|finding| finding.rule.clone()).collect()
}

/// Whether a policy is not Ready for this reason, with all of `parts` in its message.
fn refused(status: &MonitorPolicyStatus, reason: &str, parts: &[&str]) -> bool {
    is(status, "Ready", "False") && {
        let (_, known, message) = condition(status, "Ready");
        known == reason && parts.iter().all(|part| message.contains(part))
    }
}

#[tokio::test]
async fn a_rule_that_does_not_compile_is_pointed_at_and_the_others_go_on() {
    let running = running().await;
    running.namespace("compile").await;
    let rules = |second: &str| json!([violated("first"), {"name": "second", "expression": second}, violated("third")]);
    running.policy("compile-neighbour", "compile", json!([violated("only")]), json!({})).await;
    running.policy("compile", "compile", rules("object.data.a ==\n  'b' &&"), json!({})).await;

    let all =
        |status: &MonitorPolicyStatus| status.summary.open_findings == 2 && is(status, "Ready", "False");
    let status = running.cluster.status_when("compile", "two rules are in force", all).await;
    let (_, reason, message) = condition(&status, "Ready");
    assert_eq!(reason, "InvalidSpec");
    assert_eq!(message, "spec.rules[1].expression: the expression ends too early (at 2:9)");
    assert_eq!(open_rules(&status), names(["first", "third"]));
    assert_eq!(rule(&status, "second").last_error.as_deref(), Some(message));
    assert!(is(&status, "Compliant", "False"));
    let neighbour = running.cluster.ready("compile-neighbour").await;
    assert_eq!(open_rules(&neighbour), names(["only"]));

    running.policy("compile", "compile", rules("object.data.a == 'c'"), json!({})).await;
    let repaired =
        |status: &MonitorPolicyStatus| is(status, "Ready", "True") && status.summary.open_findings == 3;
    running.cluster.status_when("compile", "it is repaired", repaired).await;
}

#[tokio::test]
async fn what_is_wrong_with_an_expression_is_said_in_words() {
    let running = running().await;
    running.namespace("words").await;
    let chain = |item: &str, last: &str| {
        let operators = (4096 - last.len()) / item.len();
        let chain = format!("{}{last}", item.repeat(operators));
        assert!(chain.len() > 4000);
        chain
    };
    let cases = [
        ("int", "1 + 1", "this is an int (at 1:3), want a bool; compare it with something"),
        (
            "unknown",
            "object.data.a",
            "this is a value whose type is known only at run time (at 1:12), want a bool",
        ),
        ("types", "1 == 'a'", "`==` does not take an int and a string (at 1:3)"),
        ("text", "'a'", "this is a string (at 1:1), want a bool"),
        ("root", "objct.data.a == 'b'", "there is no variable `objct` (at 1:1); did you mean `object`?"),
        (
            "variable",
            "variables.limt > 1",
            "there is no variable `variables.limt` (at 1:10); did you mean `variables.limit`?",
        ),
        (
            "function",
            "object.data.a.startWith('b')",
            "there is no function `startWith` (at 1:24); did you mean `startsWith`?",
        ),
        ("pattern", "object.data.a.matches('(')", "invalid regular expression: missing closing ) (at 1:22)"),
        (
            "authorizer",
            "authorizer.path('/x').check('get').allowed()",
            "`authorizer` exists only while a request is admitted (at 1:1)",
        ),
        (
            "user",
            "request.userInfo.username == 'a'",
            "`request.userInfo` exists only while a request is admitted (at 1:8)",
        ),
        ("sum", &chain("1+", "1==1"), "operations are nested more than 200 deep"),
        ("call", &chain("size([", "1"), "nested"),
        ("junk", &chain("🚦\u{1}", "1"), "unexpected character"),
    ];
    for (name, expression, _) in &cases {
        let rules = json!([{"name": "wrong", "expression": expression}, violated("other")]);
        let further = json!({"variables": [{"name": "limit", "expression": "5"}]});
        running.policy(&format!("words-{name}"), "words", rules, further).await;
    }
    for (name, _, text) in &cases {
        let parts = ["spec.rules[0].expression: ", text];
        let told = |status: &MonitorPolicyStatus| {
            refused(status, "InvalidSpec", &parts) && open_rules(status) == names(["other"])
        };
        let status = running.cluster.status_when(&format!("words-{name}"), text, told).await;
        let (_, _, message) = condition(&status, "Ready");
        assert!(message.len() <= 1024 && !message.contains(char::is_control), "{message:?}");
    }
}

#[tokio::test]
async fn a_policy_without_all_of_its_match_conditions_judges_nothing() {
    let running = running().await;
    running.namespace("conditions").await;
    let conditions = json!({"matchConditions": [
        {"name": "good", "expression": "true"},
        {"name": "bad", "expression": "object.data.a = 'b'"},
    ]});
    running.policy("conditions", "conditions", json!([violated("rule")]), conditions).await;
    let parts = ["spec.matchConditions[1].expression: ", "two things are compared with `==`", "(at 1:15)"];
    let told = |status: &MonitorPolicyStatus| {
        refused(status, "InvalidSpec", &parts) && in_state(status, "maps", ResourceState::Watching)
    };
    let status = running.cluster.status_when("conditions", "it says why", told).await;
    assert_eq!(status.summary.open_findings, 0, "{status:?}");
    assert!(is(&status, "Compliant", "Unknown"), "{status:?}");
}

#[tokio::test]
async fn a_rule_that_fails_on_an_object_is_an_error_and_no_verdict() {
    let running = running().await;
    running.namespace("fails").await;
    let numbers: Vec<usize> = (0..20_000).collect();
    running
        .post("/apis/bad.example.io/v1/namespaces/fails/blobs", &blob("fails", "many", json!({"n": numbers})))
        .await;
    let rules = json!([
        {"name": "not-bool", "expression": "object.spec.n && true"},
        {"name": "no-key", "expression": "object.spec.missing == 1"},
        {"name": "types", "expression": "object.spec.n > 'a'"},
        {"name": "costly", "expression": "object.spec.n.all(a, object.spec.n.all(b, a + b >= 0))"},
        {"name": "doubles", "expression": "variables.g == ''"},
        {"name": "pattern", "expression": "object.spec.n.all(a, variables.f.matches('(x+x+)+y') || true)"},
        {"name": "pairs", "expression": "object.spec.n.map(a, object.spec.n + object.spec.n).size() > 0"},
        violated("after"),
    ]);
    let resources = json!([{"name": "blobs", "apiVersion": "bad.example.io/v1", "kind": "Blob", "namespaces": ["fails"]}]);
    // Each is ten times the one before: 640 characters become 640 million.
    let ten = |name: &str| vec![format!("variables.{name}"); 10].join(" + ");
    let texts =
        [("a", "'x'.replace('x', 'xxxxxxxx')".to_owned()), ("b", ten("a")), ("c", ten("b")), ("d", ten("c"))];
    let texts = texts.into_iter().chain([("e", ten("d")), ("f", ten("e")), ("g", ten("f"))]);
    let variables: Vec<Value> =
        texts.map(|(name, expression)| json!({"name": name, "expression": expression})).collect();
    let spec = json!({"resources": resources, "variables": variables, "rules": rules});
    running.apply(policy("fails", spec)).await;
    let judged =
        |status: &MonitorPolicyStatus| is(status, "Ready", "True") && status.summary.open_findings == 1;
    let status = running.cluster.status_when("fails", "it is judged", judged).await;
    assert_eq!(open_rules(&status), names(["after"]));
    assert_eq!(status.summary.rule_errors, 7);
    for (name, text) in [
        ("doubles", "too costly: takes more than 1000000 steps"),
        ("pattern", "too costly: takes more than 1000000 steps"),
        ("pairs", "too costly: takes more than 1000000 steps"),
        ("not-bool", "`&&` does not take a list"),
        ("no-key", "no such key: missing"),
        ("types", "`>` does not take a list and a string"),
        ("costly", "too costly: takes more than 1000000 steps"),
    ] {
        let rule = rule(&status, name);
        let error = rule.last_error.as_deref().unwrap_or_default();
        assert!(error.contains(text), "{name}: {error}");
        assert_eq!((rule.open, rule.errors), (0, 1), "{name}");
    }

    // Errors alone are not compliance either.
    let rules = json!([{"name": "no-key", "expression": "object.spec.missing == 1"}]);
    running.apply(policy("fails", json!({"resources": resources, "rules": rules}))).await;
    let unknown = |status: &MonitorPolicyStatus| is(status, "Compliant", "Unknown");
    let status = running.cluster.status_when("fails", "only the error is left", unknown).await;
    assert_eq!(condition(&status, "Compliant").1, "RuleErrors");
    let metric = eventually("the error is in the metrics", PATIENCE, async || {
        let metric = running.operator.metric("polywatch_rule_errors", &[("policy", "fails")]).await;
        metric.filter(|&errors| errors == 1.0).ok_or_else(|| format!("it is {metric:?}"))
    });
    metric.await;
}

#[tokio::test]
async fn a_message_expression_that_fails_leaves_the_message() {
    let running = running().await;
    running.namespace("messages").await;
    let rule = |name: &str, expression: &str| json!({"name": name, "expression": "false", "message": "as written", "messageExpression": expression});
    let rules = json!([
        rule("syntax", "'a' +"),
        rule("not-text", "1"),
        rule("no-key", "string(object.data.missing)"),
        rule("no-text", "object.data"),
        rule("empty", "''"),
        rule("line-breaks-only", "'\\n'"),
        rule("good", "'from ' + object.data.a"),
        {"name": "neither", "expression": "false", "messageExpression": "string(object.data.missing)"},
    ]);
    running.policy("messages", "messages", rules, json!({})).await;
    let all = |status: &MonitorPolicyStatus| status.summary.open_findings == 8;
    let status = running.cluster.status_when("messages", "all rules are in force", all).await;
    for finding in &status.findings {
        let expected = match finding.rule.as_str() {
            "good" => "from b",
            "neither" => "rule neither is not satisfied",
            _ => "as written",
        };
        assert_eq!(finding.message, expected, "{}", finding.rule);
    }
    assert_eq!(status.summary.rule_errors, 0, "the verdicts are good");
    let parts = [
        "spec.rules[0].messageExpression: the expression ends too early",
        "spec.rules[1].messageExpression: this is an int (at 1:1), want a string; use string(…)",
        "spec.rules[3].messageExpression: this is a value whose type is known only at run time (at 1:7), want a string",
    ];
    assert!(refused(&status, "InvalidSpec", &parts), "{status:?}");
}

#[tokio::test]
async fn a_kind_with_a_typo_is_answered_with_what_is_near() {
    let running = running().await;
    let cases = [
        (
            "kind",
            "bad.example.io/v1",
            "Blop",
            "bad.example.io/v1 Blop is not served; did you mean kind Blob?",
        ),
        ("plural", "apps/v1", "Deployments", "did you mean kind Deployment?"),
        ("group", "bad.exmple.io/*", "Blob", "Blob is a kind of bad.example.io"),
        ("both", "bad.exmple.io/v1", "Blop", "did you mean group bad.example.io?"),
        ("moved", "extensions/v1beta1", "Deployment", "Deployment is a kind of apps"),
        ("core", "apps/v1", "Pod", "Pod is a kind of the core group"),
        (
            "version",
            "apps/v2",
            "Deployment",
            "it serves v1. Name one of these, or write apiVersion \"apps/*\"",
        ),
        ("nothing", "nobody.knows.this/v1", "Thing", "is not served, and neither is its group"),
    ];
    for (name, version, kind, _) in cases {
        let resources = json!([{"name": "typo", "apiVersion": version, "kind": kind}]);
        running
            .apply(policy(
                &format!("typo-{name}"),
                json!({"resources": resources, "rules": [violated("rule")]}),
            ))
            .await;
    }
    for (name, _, _, text) in cases {
        let told = |status: &MonitorPolicyStatus| {
            refused(status, "NotInstalled", &[text]) && in_state(status, "typo", ResourceState::NotInstalled)
        };
        let status = running.cluster.status_when(&format!("typo-{name}"), text, told).await;
        assert!(is(&status, "Compliant", "Unknown"), "{status:?}");
    }
}

#[tokio::test]
async fn a_selector_that_selects_nothing_possible_is_pointed_at_and_other_resources_go_on() {
    let running = running().await;
    running.namespace("selectors").await;
    let labels = |operator: &str, values: Value| json!({"labelSelector": {"matchExpressions": [{"key": "a", "operator": operator, "values": values}]}});
    let (spec, server) = ("InvalidSpec", "InvalidResource");
    let cases = [
        (
            "operator",
            labels("Near", json!(["b"])),
            spec,
            "spec.resources[0].labelSelector.matchExpressions[0].operator: \"Near\" is not an operator; use In, NotIn, Exists or DoesNotExist",
        ),
        (
            "no-values",
            labels("In", json!([])),
            spec,
            "matchExpressions[0].values: In and NotIn need at least one value",
        ),
        (
            "values",
            labels("Exists", json!(["b"])),
            spec,
            "matchExpressions[0].values: Exists and DoesNotExist take no values",
        ),
        (
            "namespaces",
            json!({"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "in", "values": ["b"]}]}}),
            spec,
            "spec.resources[0].namespaceSelector.matchExpressions[0].operator: \"in\" is not an operator",
        ),
        (
            "syntax",
            json!({"fieldSelector": "metadata.name"}),
            spec,
            "spec.resources[0].fieldSelector: \"metadata.name\" is not a requirement; write FIELD=VALUE or FIELD!=VALUE",
        ),
        (
            "field",
            json!({"fieldSelector": "data.a=b"}),
            server,
            "\"data.a\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
        ),
        (
            "label-value",
            json!({"labelSelector": {"matchLabels": {"a": "b,object"}}}),
            spec,
            "spec.resources[0].labelSelector.matchLabels: \"b,object\" is not a label value",
        ),
        (
            "label-values",
            labels("NotIn", json!(["b", "c d"])),
            spec,
            "matchExpressions[0].values: \"c d\" is not a label value",
        ),
        (
            "label-key",
            json!({"labelSelector": {"matchLabels": {"a b": "c"}}}),
            spec,
            "matchLabels: \"a b\" is not a label key; write NAME or PREFIX/NAME",
        ),
    ];
    for (name, selection, ..) in &cases {
        let mut bad = json!({"name": "bad", "apiVersion": "v1", "kind": "ConfigMap"});
        for (key, value) in selection.as_object().expect("a map") {
            bad[key] = value.clone();
        }
        let good = json!({
            "name": "good", "apiVersion": "v1", "kind": "ConfigMap", "namespaces": ["selectors"], "names": ["object"],
        });
        let spec = json!({"resources": [bad, good], "rules": [violated("rule")]});
        running.apply(policy(&format!("selectors-{name}"), spec)).await;
    }
    for (name, _, reason, text) in &cases {
        let told = |status: &MonitorPolicyStatus| {
            refused(status, reason, &[text])
                && in_state(status, "bad", ResourceState::Invalid)
                && in_state(status, "good", ResourceState::Watching)
                && offenders(status) == names(["selectors/object"])
        };
        running.cluster.status_when(&format!("selectors-{name}"), text, told).await;
    }
}

#[tokio::test]
async fn large_and_deep_objects_are_judged_like_any_other() {
    let running = running().await;
    running.namespace("shapes").await;
    let path = "/apis/bad.example.io/v1/namespaces/shapes/blobs";
    let large = |name: &str| {
        let object = blob("shapes", name, json!({"mark": "bad", "text": "x".repeat(1_400_000)}));
        assert!(object.to_string().len() > 1_400_000);
        object
    };
    let deep = |name: &str| {
        let lists = (0..100).fold(json!("bottom"), |inner, _| json!([inner]));
        let deep = (0..100).fold(lists, |inner, _| json!({"a": inner}));
        blob("shapes", name, json!({"mark": "bad", "deep": deep}))
    };
    // One of each in the first list of the watch, one of each as a change.
    running.post(path, &large("large-before")).await;
    running.post(path, &deep("deep-before")).await;
    running.apply(config_map("shapes", "large-map", json!({"text": "x".repeat(1_000_000)}))).await;
    let resources = json!([
        {"name": "blobs", "apiVersion": "bad.example.io/v1", "kind": "Blob", "namespaces": ["shapes"]},
        {"name": "maps", "apiVersion": "v1", "kind": "ConfigMap", "namespaces": ["shapes"], "names": ["large-map"]},
    ]);
    let rules = json!([
        {"name": "mark", "resources": ["blobs"], "expression": "object.spec.mark == 'good'"},
        {"name": "text", "resources": ["maps"], "expression": "object.data.text.size() < 1000", "messageExpression": "string(object.data.text)"},
    ]);
    running.apply(policy("shapes", json!({"resources": resources, "rules": rules}))).await;
    let before = names(["shapes/large-before", "shapes/deep-before", "shapes/large-map"]);
    let listed = |status: &MonitorPolicyStatus| is(status, "Ready", "True") && offenders(status) == before;
    let status = running.cluster.status_when("shapes", "what was there is judged", listed).await;
    let text = status.findings.iter().find(|finding| finding.rule == "text").expect("a finding");
    assert!(text.message.ends_with("x…") && text.message.len() <= 512, "{}", text.message);

    running.post(path, &large("large-after")).await;
    running.post(path, &deep("deep-after")).await;
    let all = |status: &MonitorPolicyStatus| {
        let found = offenders(status);
        found.contains("shapes/large-after")
            && found.contains("shapes/deep-after")
            && found.is_superset(&before)
    };
    let status = running.cluster.status_when("shapes", "what came later is judged", all).await;
    assert_eq!(status.summary.rule_errors, 0, "{:?}", status.rules);
    assert!(is(&status, "Ready", "True"), "{status:?}");
    running.cluster.delete_yaml(&blob("shapes", "deep-after", json!({})).to_string()).await;
    let gone = |status: &MonitorPolicyStatus| !offenders(status).contains("shapes/deep-after");
    running.cluster.status_when("shapes", "a deletion is noticed", gone).await;
}

/// Names of roles may be of any length and have any characters but `/` and `%`: who may create a Role could blind
/// the policies that select it.
#[tokio::test]
async fn status_stays_valid_and_bounded_whatever_objects_are_called() {
    let running = running().await;
    running.namespace("odd-names").await;
    let odd = "odd\u{7f}\u{80}\u{fffe}".to_owned();
    for name in [odd, "n".repeat(100_000)] {
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": {"namespace": "odd-names", "name": name}, "rules": [],
        });
        running.post("/apis/rbac.authorization.k8s.io/v1/namespaces/odd-names/roles", &role).await;
    }
    let resources = json!([{
        "name": "roles", "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "namespaces": ["odd-names"],
    }]);
    let rules = json!([violated("violated"), {"name": "error", "expression": "object.missing == 1"}]);
    running.apply(policy("odd-names", json!({"resources": resources, "rules": rules}))).await;
    let judged =
        |status: &MonitorPolicyStatus| status.summary.open_findings == 2 && status.summary.rule_errors == 2;
    let status = running.cluster.status_when("odd-names", "both are judged", judged).await;
    for text in status
        .findings
        .iter()
        .map(|finding| &finding.resource.as_ref().expect("an object").name)
        .chain(&rule(&status, "error").last_error)
    {
        assert!(text.len() <= 1024 && !text.contains(char::is_control), "{text:?}");
    }
}

#[tokio::test]
async fn status_and_events_stay_valid_and_bounded_whatever_the_text() {
    let running = running().await;
    let namespace = format!("texts-{}", "n".repeat(57));
    assert_eq!(namespace.len(), 63);
    running.namespace(&namespace).await;
    let text = "尺寸🚦é\u{202e}\r\n\t\u{1}\u{7f}\u{85}\u{2028}\u{feff}\u{fffe}\u{ffff}".repeat(200);
    let long = |character: &str| character.repeat(253);
    let map = config_map(&namespace, &long("o"), json!({"text": text, "one": "\u{1}"}));
    running.post(&format!("/api/v1/namespaces/{namespace}/configmaps"), &map).await;
    let written: String = text.chars().take(512).collect();
    let rule = |name: &str, expression: &str| json!({"name": name, "expression": "false", "messageExpression": expression, "message": written});
    let rule_name = "r".repeat(63);
    let rules = json!([
        rule(&rule_name, "string(object.data.text)"),
        rule("static", "string(object.data.missing)"),
        rule("control-only", "string(object.data.one)"),
        {"name": "error", "expression": "object.data[object.data.text] == 'x'"},
    ]);
    let selection = "s".repeat(63);
    let resources = json!([{
        "name": selection, "apiVersion": "v1", "kind": "ConfigMap",
        "namespaces": [namespace], "names": [long("o")],
    }]);
    let name = long("p");
    let texts = policy(&name, json!({"resources": resources, "rules": rules}));
    running.post("/apis/polywatch.dev/v1alpha1/monitorpolicies", &texts).await;
    let found =
        |status: &MonitorPolicyStatus| is(status, "Ready", "True") && status.summary.open_findings == 3;
    let status = running.cluster.status_when(&name, "three findings are open", found).await;
    let fits = |text: &str, most: usize| {
        let control =
            |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}');
        assert!(!text.is_empty() && text.len() <= most && !text.contains(control), "{text:?}");
    };
    for finding in &status.findings {
        fits(&finding.message, 512);
        assert_eq!(finding.resource.as_ref().expect("an object").name, long("o"));
    }
    let message = |name: &str| {
        let finding = status.findings.iter().find(|finding| finding.rule == name);
        finding.map(|finding| finding.message.as_str()).unwrap_or_default()
    };
    assert!(message(&rule_name).starts_with("尺寸🚦é"), "{status:?}");
    assert!(message("static").starts_with("尺寸🚦é"), "{status:?}");
    fits(self::rule(&status, "error").last_error.as_deref().unwrap_or_default(), 512);

    let events: Api<Event> = Api::all(running.cluster.admin().await);
    let params = ListParams::default().fields("reason=FindingOpened");
    eventually("six Events tell of the findings", PATIENCE, async || {
        let events = events.list(&params).await.map_err(|e| e.to_string())?;
        let about = |event: &Event, names: &[&String]| {
            let name = event.regarding.as_ref().and_then(|object| object.name.clone()).unwrap_or_default();
            names.contains(&&name)
        };
        let told: Vec<&Event> = events.iter().filter(|event| about(event, &[&name, &long("o")])).collect();
        for event in &told {
            let note = event.note.as_deref().unwrap_or_default();
            fits(note, 1024);
            assert!(note.ends_with(')'), "what the Event is about is cut off: {note}");
        }
        if told.len() == 6 { Ok(()) } else { Err(format!("{told:#?}")) }
    })
    .await;
    running.cluster.kubectl(&["describe", "monitorpolicy", &name]).await;
}

/// Rules that would print a Secret in every way that a rule can.
const SECRETS: &str = "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: secrets}
spec:
  resources: [{name: secrets, apiVersion: v1, kind: Secret, namespaces: [vault]}]
  variables: [{name: password, expression: object.data.password}]
  rules:
  - {name: plain, expression: 'false', messageExpression: \"'it is ' + object.data.password\"}
  - {name: variable, expression: 'false', messageExpression: \"'it is ' + variables.password\"}
  - {name: decoded, expression: 'false', messageExpression: 'string(base64.decode(object.data.password))', message: hidden}
  - {name: joined, expression: 'false', messageExpression: \"object.data.map(k, k + ' is ' + object.data[k]).join(', ')\"}
  - {name: applied, expression: 'false', messageExpression: \"string(object.metadata.annotations['kubectl.kubernetes.io/last-applied-configuration'])\"}
  - {name: not-bool, expression: object.data.password && true}
  - {name: no-key, expression: \"{'a': true}[object.data.password]\"}
  - {name: failing, expression: 'object.data.password > 5'}
";

#[tokio::test]
async fn the_values_of_secrets_are_shown_nowhere_not_even_in_a_debug_log() {
    let cluster = ControlPlane::start().await;
    cluster.install_crds().await;
    let start = || Operator::with(&cluster, &cluster.admin_kubeconfig()).env("RUST_LOG", "debug").start();
    let mut operator = start();
    operator.wait_ready().await;
    cluster.apply_yaml("{apiVersion: v1, kind: Namespace, metadata: {name: vault}}").await;
    // By kubectl, which keeps a copy of what it applied in an annotation.
    let apply = async |value: &str| {
        let literal = format!("--from-literal=password={value}");
        let secret =
            ["-n", "vault", "create", "secret", "generic", "key", &literal, "--dry-run=client", "-o", "yaml"];
        let file = std::env::temp_dir().join(format!("polywatch-test-{}-{value}.yaml", std::process::id()));
        std::fs::write(&file, cluster.kubectl(&secret).await).expect("the file is written");
        let applied = cluster.try_kubectl(&["apply", "-f", &file.display().to_string()]).await;
        std::fs::remove_file(&file).expect("the file is there");
        applied.expect("the Secret is applied");
    };
    // The same in base 64, as the API has it.
    let needles = [("hunter2-first", "aHVudGVyMi1maXJzdA"), ("hunter2-second", "aHVudGVyMi1zZWNvbmQ")];
    apply(needles[0].0).await;
    cluster.apply_yaml(SECRETS).await;
    let judged =
        |status: &MonitorPolicyStatus| status.summary.open_findings == 5 && is(status, "Ready", "True");
    let status = cluster.status_when("secrets", "all rules are judged", judged).await;
    let message = |rule: &str| {
        let finding = status.findings.iter().find(|finding| finding.rule == rule);
        finding.map(|finding| finding.message.clone()).unwrap_or_default()
    };
    assert_eq!(message("plain"), "it is <redacted>");
    assert_eq!(message("joined"), "password is <redacted>");
    assert_eq!(status.summary.rule_errors, 3, "{:?}", status.rules);
    eventually("Events on the Secret tell of all findings", PATIENCE, async || {
        let told = cluster.events("Secret", "key", "FindingOpened").await.len();
        if told == 5 { Ok(()) } else { Err(format!("{told} do")) }
    })
    .await;

    // A change, and then the first list of another process.
    let seen = operator.metric("polywatch_events_processed_total", &[("resource", "secrets.v1")]).await;
    apply(needles[1].0).await;
    eventually("the change is seen", PATIENCE, async || {
        let now = operator.metric("polywatch_events_processed_total", &[("resource", "secrets.v1")]).await;
        if now > seen { Ok(()) } else { Err(format!("{now:?} events, as before")) }
    })
    .await;
    let mut shown = vec![("the metrics", operator.metrics().await), ("the log", operator.log())];
    assert!(operator.terminate().await.success());
    let mut operator = start();
    operator.wait_ready().await;
    eventually("the new process judges the Secret", PATIENCE, async || {
        let errors = operator.metric("polywatch_rule_errors", &[("policy", "secrets")]).await;
        if errors == Some(3.0) { Ok(()) } else { Err(format!("{errors:?}")) }
    })
    .await;
    shown.push(("the metrics after a restart", operator.metrics().await));
    shown.push(("the log after a restart", operator.log()));
    shown.push(("the policy", cluster.kubectl(&["get", "monitorpolicies", "-o", "yaml"]).await));
    shown.push(("the Events", cluster.kubectl(&["get", "events", "-A", "-o", "yaml"]).await));
    for (what, text) in &shown {
        for needle in needles.iter().flat_map(|(plain, encoded)| [plain, encoded]) {
            let line = text.lines().find(|line| line.contains(needle));
            assert_eq!(line, None, "{what} shows {needle}");
        }
        if what.contains("log") {
            assert!(text.contains("\"DEBUG\"") && text.contains("secrets.v1"), "{what} is no debug log");
        } else if !what.contains("metrics") {
            assert!(text.contains("it is <redacted>"), "{what} has no findings of Secrets: {text}");
        }
    }
}
