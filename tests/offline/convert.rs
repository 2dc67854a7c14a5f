//! `polywatch convert` and `polywatch explain`.

use crate::{Folder, polywatch, verdicts};

const VAP: &str = "apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: replicas}
spec:
  failurePolicy: Fail
  matchConstraints:
    namespaceSelector: {matchLabels: {tier: prod}}
    resourceRules:
    - {apiGroups: [apps], apiVersions: [v1], operations: [CREATE, UPDATE, DELETE], resources: [deployments, deployments/scale]}
  matchConditions:
  - {name: not-paused, expression: '!object.spec.?paused.orValue(false)'}
  variables:
  - {name: count, expression: object.spec.replicas}
  validations:
  - {expression: variables.count <= 5, messageExpression: \"'replicas: ' + string(variables.count)\", reason: Invalid}
  - {expression: \"object.metadata.name != 'bad'\", message: a bad name}
  auditAnnotations:
  - {key: x, valueExpression: \"'x'\"}
";

const BINDING: &str = "---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: prod}
spec:
  policyName: replicas
  validationActions: [Deny, Audit]
  matchResources: {objectSelector: {matchLabels: {app: web}}}
";

#[test]
fn what_is_converted_judges_as_it_did() {
    let folder = Folder::new("convert");
    let ran = polywatch(&["convert", "-f", "-"], (VAP.to_owned() + BINDING).as_bytes());
    assert_eq!(ran.code, 0, "{}", ran.err);
    for told in
        ["auditAnnotations", "failurePolicy", "operations DELETE", "deployments/scale", "validationActions"]
    {
        assert!(ran.out.contains(&format!("# Not carried over: {told}")), "{told} is not in {}", ran.out);
    }
    let policy = folder.write("policy.yaml", &ran.out);
    let object = |name: &str, app: &str, spec: &str| {
        format!(
            "---\n{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: {name}, namespace: shop, labels: {{app: {app}}}}}, spec: {{{spec}}}}}\n"
        )
    };
    let objects = "{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {tier: prod}}}\n"
        .to_owned()
        + &object("big", "web", "replicas: 9")
        + &object("bad", "web", "replicas: 1")
        + &object("idle", "web", "replicas: 9, paused: true")
        + &object("other", "db", "replicas: 9");
    let ran = polywatch(&["check", "-f", &policy, "-r", "-", "-o", "json"], objects.as_bytes());
    assert_eq!(
        verdicts(&ran.out),
        [
            "Violation replicas/invalid-1 Deployment shop/big: replicas: 9",
            "Compliant replicas/validation-2 Deployment shop/big: ",
            "Compliant replicas/invalid-1 Deployment shop/bad: ",
            "Violation replicas/validation-2 Deployment shop/bad: a bad name",
            "Skipped replicas/invalid-1 Deployment shop/idle: matchCondition not-paused is false",
            "Skipped replicas/validation-2 Deployment shop/idle: matchCondition not-paused is false",
        ],
        "{}",
        ran.err
    );
    let told = polywatch(&["explain", "-f", &policy], b"");
    assert_eq!(told.code, 0);
    for line in [
        "deployments: apps/v1 Deployment in namespaces with [tier=prod] with labels [app=web]",
        "invalid-1 (high)",
        "reads       object, variables.count",
    ] {
        assert!(told.out.contains(line), "{line:?} is not in {}", told.out);
    }
}

/// Groups and resources are lists of their own, of which not every pair exists.
#[test]
fn pairs_of_group_and_resource_that_do_not_exist_are_left_out() {
    let mixed = VAP
        .replace("apiGroups: [apps]", "apiGroups: ['', apps]")
        .replace("resources: [deployments, deployments/scale]", "resources: [pods, deployments]");
    assert_ne!(mixed, VAP);
    let ran = polywatch(&["convert", "-f", "-"], format!("{mixed}{BINDING}").as_bytes());
    assert_eq!(ran.code, 0, "{}", ran.err);
    for line in ["kind: Pod", "kind: Deployment", "pods of the group \"apps\", which has none"] {
        assert!(ran.out.contains(line), "{line} is not in {}", ran.out);
    }
    assert_eq!(ran.out.matches("kind: ").count(), 3, "{}", ran.out);
}

#[test]
fn each_binding_is_a_policy_of_its_own() {
    let second = BINDING.replace("name: prod", "name: test").replace("[Deny, Audit]", "[Warn]");
    let ran = polywatch(&["convert", "-f", "-"], format!("{VAP}{BINDING}{second}").as_bytes());
    assert_eq!(ran.code, 0, "{}", ran.err);
    for line in ["name: replicas-prod", "name: replicas-test", "severity: high", "severity: medium"] {
        assert!(ran.out.contains(line), "{line} is not in {}", ran.out);
    }
}

#[test]
fn what_has_no_counterpart_is_refused_with_place_and_reason() {
    for (from, to, told) in [
        (
            "variables.count <= 5",
            "authorizer.group('').check('x').allowed()",
            ":15:18: spec.validations[0].expression: reads authorizer: who may do what",
        ),
        (
            "variables.count <= 5",
            "request.userInfo.username != ''",
            "reads request.userInfo: who asked is known at admission only",
        ),
        (
            "variables.count <= 5",
            "params.x == 'y'",
            "the policy has no params; say in spec.params what they are",
        ),
        (
            "apiGroups: [apps]",
            "apiGroups: ['*']",
            "resourceRules[0].apiGroups: every kind at once is too much to watch",
        ),
        (
            "[deployments, deployments/scale]",
            "['*']",
            "resourceRules[0].resources: every kind at once is too much to watch",
        ),
        (
            "[deployments, deployments/scale]",
            "[deployments/scale]",
            "deployments/scale have no objects to watch",
        ),
        ("[deployments, deployments/scale]", "[gadgets]", "say --kind gadgets.apps=KIND"),
        ("[CREATE, UPDATE, DELETE]", "[DELETE]", "DELETE can not be watched for"),
        (
            "failurePolicy",
            "failurePolicey",
            ":5:3: spec.failurePolicey: unknown field; did you mean failurePolicy?",
        ),
        (
            "kind: ValidatingAdmissionPolicy\n",
            "kind: Pod\n",
            "only ValidatingAdmissionPolicies and their bindings are converted",
        ),
        ("variables.count <= 5", "variables.m <= 5", "the MonitorPolicy made of standard input:"),
        (
            "policyName: replicas",
            "policyName: other",
            "this binds the policy other, which is not in these files",
        ),
    ] {
        let ran = polywatch(&["convert", "-f", "-"], (VAP.to_owned() + BINDING).replace(from, to).as_bytes());
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{to}: {}", ran.err);
        assert!(ran.err.contains(told), "{to}: {told:?} is not in {}", ran.err);
    }
    let custom = VAP
        .replace("apiGroups: [apps]", "apiGroups: [example.io]")
        .replace("[deployments, deployments/scale]", "[gadgets]");
    let ran = polywatch(&["convert", "-f", "-", "--kind", "gadgets.example.io=Gadget"], custom.as_bytes());
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("kind: Gadget") && ran.out.contains("its severity is a guess"), "{}", ran.out);
}

/// The policy with params, as this binds it.
fn with_params(reference: &str) -> String {
    let policy = VAP
        .replace("spec:\n", "spec:\n  paramKind: {apiVersion: v1, kind: ConfigMap}\n")
        .replace("variables.count <= 5", "variables.count <= int(params.data.most)");
    let binding = BINDING.replace("  matchResources:", &format!("  {reference}\n  matchResources:"));
    policy + &binding
}

#[test]
fn params_are_carried_over() {
    for (reference, params) in [
        (
            "paramRef: {name: limits, parameterNotFoundAction: Allow}",
            "  params:\n    apiVersion: v1\n    kind: ConfigMap\n    name: limits\n    parameterNotFoundAction: Allow\n",
        ),
        (
            "paramRef: {selector: {matchLabels: {for: apps}}, namespace: platform, parameterNotFoundAction: Deny}",
            "  params:\n    apiVersion: v1\n    kind: ConfigMap\n    labelSelector:\n      matchLabels:\n        for: apps\n    \
             namespace: platform\n    parameterNotFoundAction: Deny\n",
        ),
    ] {
        let ran = polywatch(&["convert", "-f", "-"], with_params(reference).as_bytes());
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(ran.out.contains(params), "{params} is not in {}", ran.out);
        let lost = "# Not carried over: that nothing is asked where there are no params: the validations 2 do not read them";
        assert!(ran.out.contains(lost), "{}", ran.out);
    }
    let deny = "paramRef: {name: limits, parameterNotFoundAction: Deny}";
    let ignored = with_params(deny).replace("failurePolicy: Fail", "failurePolicy: Ignore");
    let ran = polywatch(&["convert", "-f", "-"], ignored.as_bytes());
    assert!(ran.out.contains("parameterNotFoundAction: Allow"), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("# Not carried over: parameterNotFoundAction Deny, which"), "{}", ran.out);
}

#[test]
fn each_binding_has_params_of_its_own() {
    let one = with_params("paramRef: {name: one, namespace: a, parameterNotFoundAction: Deny}");
    let second = BINDING.replace("name: prod", "name: test").replace(
        "  matchResources:",
        "  paramRef: {name: two, namespace: b, parameterNotFoundAction: Deny}\n  matchResources:",
    );
    let ran = polywatch(&["convert", "-f", "-"], (one + &second).as_bytes());
    assert_eq!(ran.code, 0, "{}", ran.err);
    let [_, prod, test] = ran.out.split("---\n").collect::<Vec<_>>()[..] else {
        panic!("two in {}", ran.out)
    };
    assert!(prod.contains("name: replicas-prod") && prod.contains("name: one\n    namespace: a\n"), "{prod}");
    assert!(test.contains("name: replicas-test") && test.contains("name: two\n    namespace: b\n"), "{test}");
}

#[test]
fn params_that_would_mean_something_else_are_refused() {
    let reference = "paramRef: {name: limits, parameterNotFoundAction: Deny}";
    let bound = with_params(reference);
    for (text, told) in [
        (
            with_params("# no paramRef"),
            ":5:14: spec.paramKind: its binding has no paramRef, so that params are null",
        ),
        (
            bound.split("---").next().unwrap_or_default().to_owned(),
            ":5:14: spec.paramKind: which objects the params are, is said by the paramRef of a binding",
        ),
        (
            bound.replace("!object.spec.?paused.orValue(false)", "params.data.all == \"yes\""),
            "spec.matchConditions[0].expression: reads params: where there are none, an admission policy asks nothing",
        ),
        (with_params("paramRef: {parameterNotFoundAction: Deny}"), "spec.params"),
    ] {
        let ran = polywatch(&["convert", "-f", "-"], text.as_bytes());
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{text}: {}", ran.err);
        assert!(ran.err.contains(told), "{told:?} is not in {}", ran.err);
    }
    // What nobody reads changes nothing.
    let unread = with_params("# no paramRef").replace("int(params.data.most)", "5");
    let ran = polywatch(&["convert", "-f", "-"], unread.as_bytes());
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("# Not carried over: paramKind, which no expression reads"), "{}", ran.out);
    let unused =
        (VAP.to_owned() + BINDING).replace("  matchResources:", &format!("  {reference}\n  matchResources:"));
    let ran = polywatch(&["convert", "-f", "-"], unused.as_bytes());
    assert!(
        ran.out.contains("# Not carried over: paramRef of the binding; the policy has no paramKind"),
        "{}",
        ran.err
    );
}

/// What the page shows is what comes out.
#[test]
fn the_page_of_the_docs_is_true() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/from-validatingadmissionpolicy.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let blocks: Vec<&str> =
        page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let ran = polywatch(&["convert", "-f", "-"], blocks[0].as_bytes());
    assert_eq!(ran.out, blocks[1], "{}", ran.err);
}

#[test]
fn what_reads_the_state_before_becomes_a_rule_on_changes() {
    let immutable = VAP.replace("[CREATE, UPDATE, DELETE]", "[UPDATE, DELETE]").replace(
        "object.metadata.name != 'bad'",
        "object == null || oldObject.spec.selector == object.spec.selector",
    );
    let ran = polywatch(&["convert", "-f", "-"], immutable.as_bytes());
    assert_eq!(ran.code, 0, "{}", ran.err);
    let rules = ran.out.split("rules:").nth(1).unwrap_or_default();
    let [first, second] = rules.split("- name:").skip(1).collect::<Vec<_>>()[..] else {
        panic!("two rules are not in {}", ran.out);
    };
    assert!(!first.contains("on\""), "about states: {first}");
    assert!(second.contains("\"on\":\n    - Update\n    - Delete\n"), "about changes: {second}");

    let only_deletes = VAP
        .replace("[CREATE, UPDATE, DELETE]", "[DELETE]")
        .replace("object.spec.?paused", "oldObject.spec.?paused");
    let ran = polywatch(&["convert", "-f", "-"], only_deletes.as_bytes());
    assert_eq!(ran.code, 0, "what all rules share reads it: {}", ran.err);
    assert_eq!(ran.out.matches("\"on\":\n    - Delete\n").count(), 2, "{}", ran.out);
}
