//! Every mistake is answered with the path of its field and words that teach, and what is right is in force.

mod lookups;
mod notify;

use super::*;

fn compiled(spec: &str) -> CompiledPolicy {
    let spec: MonitorPolicySpec = crate::yaml::from_str(spec).unwrap_or_else(|e| panic!("{e} in {spec}"));
    compile(PolicyKey("p".into()), "uid".into(), 7, &spec)
}

const POD: &str = "resources: [{name: pods, apiVersion: v1, kind: Pod}]";

/// The one problem of a spec, as `FIELD: MESSAGE`.
fn problem(spec: &str) -> String {
    let problems = compiled(spec).problems;
    let [problem] = problems.as_slice() else {
        panic!("one problem expected in {problems:#?}");
    };
    assert!(problem.message.len() <= MAX_MESSAGE_LEN && !problem.message.contains(char::is_control));
    format!("{}: {}", problem.field, problem.message)
}

fn names(policy: &CompiledPolicy) -> Vec<&str> {
    policy.rules.iter().filter(|rule| rule.kind.is_some()).map(|rule| &*rule.name).collect()
}

#[test]
fn a_correct_policy_has_no_problems_and_keeps_everything() {
    let policy = compiled(
        "
severity: low
resources:
- name: pods
  apiVersion: v1
  kind: Pod
  namespaces: [b, a]
  names: [x]
  labelSelector:
    matchLabels: {app: web}
    matchExpressions:
    - {key: tier, operator: In, values: [front, back]}
    - {key: old, operator: DoesNotExist}
  fieldSelector: status.phase!=Succeeded
- {name: apps, apiVersion: apps/*, kind: Deployment, excludeNamespaces: [kube-system]}
variables:
- {name: owner, expression: 'object.metadata.?labels.owner.orValue(\"\")'}
matchConditions:
- {name: alive, expression: '!has(object.metadata.deletionTimestamp)'}
rules:
- {name: owned, expression: variables.owner != '', message: nobody owns it}
- {name: other, resources: [apps], severity: critical, expression: 'true', messageExpression: string(variables.owner)}
",
    );
    assert_eq!(policy.problems, []);
    assert_eq!((policy.generation, policy.suspended, &*policy.uid), (7, false, "uid"));
    let pods = &policy.selections[0].target;
    assert_eq!((pods.group.as_str(), pods.version.as_deref(), pods.kind.as_str()), ("", Some("v1"), "Pod"));
    assert_eq!(pods.namespaces.len() + pods.names.len(), 3);
    assert_eq!(pods.labels.to_string(), "app=web,tier in (back,front),!old");
    assert_eq!(pods.field_selector, "status.phase!=Succeeded");
    let apps = &policy.selections[1];
    assert_eq!((apps.target.group.as_str(), &apps.target.version), ("apps", &None));
    assert!(apps.filter.exclude.contains("kube-system"));
    assert_eq!(names(&policy), ["owned", "other"]);
    let rule = |n: usize| (policy.rules[n].severity, policy.rules[n].selections.as_slice());
    assert_eq!(rule(0), (Severity::Low, &[true, true][..]));
    assert_eq!(rule(1), (Severity::Critical, &[false, true][..]));
}

#[test]
fn what_does_not_compile_is_named_with_its_field() {
    let cases = [
        ("rules: [{name: a, expression: object.spec.}]", "spec.rules[0].expression: ", "1:13"),
        ("rules: [{name: a, expression: object.spec.replicas + 1}]", "spec.rules[0].expression: ", "bool"),
        (
            "rules: [{name: a, expression: 'true'}, {name: b, expression: obiect.x == 1}]",
            "spec.rules[1].expression: ",
            "object",
        ),
        (
            "rules: [{name: a, expression: 'true', messageExpression: '1 + 1'}]",
            "spec.rules[0].messageExpression: ",
            "string",
        ),
        (
            "rules: [{name: a, expression: variables.limt > 1}]\nvariables: [{name: limit, expression: '1'}]",
            "spec.rules[0].expression: ",
            "variables.limit",
        ),
        (
            "rules: [{name: a, expression: 'true'}]\nvariables: [{name: x, expression: '1 +'}]",
            "spec.variables[0].expression: ",
            "1:",
        ),
        (
            "rules: [{name: a, expression: 'true'}]\nvariables: [{name: x, expression: variables.z}, {name: z, expression: '1'}]",
            "spec.variables[0].expression: ",
            "variables.z",
        ),
        (
            "rules: [{name: a, expression: 'true'}]\nmatchConditions: [{name: x, expression: '\"yes\"'}]",
            "spec.matchConditions[0].expression: ",
            "bool",
        ),
        (
            "rules: [{name: a, expression: 'authorizer != null'}]",
            "spec.rules[0].expression: ",
            "only while a request is admitted",
        ),
        (
            "rules: [{name: a, expression: 'request.userInfo.username == \"x\"'}]",
            "spec.rules[0].expression: ",
            "only while a request is admitted",
        ),
        (
            "rules: [{name: a, resources: [pods, pod], expression: 'true'}]",
            "spec.rules[0].resources[1]: ",
            "there is no resource named \"pod\" in spec.resources; did you mean \"pods\"?",
        ),
        (
            "rules: [{name: a, resources: [gateways], expression: 'true'}]",
            "spec.rules[0].resources[0]: ",
            "there is no resource named \"gateways\" in spec.resources",
        ),
        (
            "rules: [{name: a, expression: 'true'}, {name: b, expression: 'true'}, {name: a, expression: 'true'}]",
            "spec.rules[2].name: ",
            "the name \"a\" is already taken; names must be unique in spec.rules",
        ),
        (
            "rules: [{name: a, expression: 'true'}]\nvariables: [{name: x, expression: '1'}, {name: x, expression: '2'}]",
            "spec.variables[1].name: ",
            "already taken",
        ),
        (
            "rules: [{name: a, expression: 'true'}]\nmatchConditions: [{name: x, expression: 'true'}, {name: x, expression: 'true'}]",
            "spec.matchConditions[1].name: ",
            "already taken",
        ),
    ];
    for (more, field, words) in cases {
        let problem = problem(&format!("{POD}\n{more}"));
        assert!(problem.starts_with(field), "{problem}");
        assert!(problem.contains(words), "{words:?} is not in: {problem}");
    }
}

#[test]
fn selections_that_ask_for_nothing_possible_are_invalid() {
    let cases = [
        (
            "labelSelector: {matchExpressions: [{key: a, operator: Is, values: [b]}]}",
            "spec.resources[1].labelSelector.matchExpressions[0].operator",
            "\"Is\" is not an operator; use In, NotIn, Exists or DoesNotExist",
        ),
        (
            "labelSelector: {matchExpressions: [{key: a, operator: Exists}, {key: a, operator: NotIn}]}",
            "spec.resources[1].labelSelector.matchExpressions[1].values",
            "In and NotIn need at least one value",
        ),
        (
            "namespaceSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}",
            "spec.resources[1].namespaceSelector.matchExpressions[0].values",
            "Exists and DoesNotExist take no values",
        ),
        (
            "fieldSelector: 'spec.x=1,status.phase'",
            "spec.resources[1].fieldSelector",
            "\"status.phase\" is not a requirement; write FIELD=VALUE or FIELD!=VALUE, separated by commas",
        ),
        ("fieldSelector: '=x'", "spec.resources[1].fieldSelector", "\"=x\" is not a requirement"),
    ];
    for (selector, field, words) in cases {
        let policy = compiled(&format!(
            "resources: [{{name: fine, apiVersion: v1, kind: Pod}}, {{name: odd, apiVersion: v1, kind: Pod, {selector}}}]
rules: [{{name: a, expression: 'true'}}]"
        ));
        assert_eq!(policy.problems.len(), 1);
        assert_eq!((policy.problems[0].field.as_str(), &policy.problems[0].rule), (field, &None));
        assert!(policy.problems[0].message.starts_with(words), "{}", policy.problems[0].message);
        let invalid = policy.selections[1].invalid.as_deref().expect("invalid");
        assert_eq!(invalid, format!("{field}: {}", policy.problems[0].message));
        // Its neighbour is watched and judged.
        assert_eq!(policy.selections[0].invalid, None);
        assert_eq!(names(&policy), ["a"]);
    }
}

#[test]
fn an_api_version_of_any_form_is_taken_apart() {
    for (api_version, group, version) in [
        ("v1", "", Some("v1")),
        ("apps/v1", "apps", Some("v1")),
        ("gw.example.io/*", "gw.example.io", None),
        ("*", "", None),
    ] {
        let policy = compiled(&format!(
            "resources: [{{name: x, apiVersion: '{api_version}', kind: Z}}]\nrules: [{{name: a, expression: 'true'}}]"
        ));
        let target = &policy.selections[0].target;
        assert_eq!((target.group.as_str(), target.version.as_deref()), (group, version));
    }
}

#[test]
fn what_is_about_a_group_has_other_names_than_what_is_about_an_object() {
    let problem = |rule: &str| {
        let policy = compiled(&format!(
            "{POD}\nvariables: [{{name: v, expression: '1'}}]\nrules: [{{name: a, {rule}}}]"
        ));
        policy.problems.iter().map(|p| format!("{} {}", p.field, p.message)).collect::<Vec<_>>().join("; ")
    };
    assert_eq!(
        problem("groupBy: string(variables.v), expression: objects.size() > 0, messageExpression: group"),
        ""
    );
    for (rule, field, text) in [
        (
            "groupBy: object.kind, expression: object.x",
            "expression",
            "`object` can not be read here (at 1:1); ",
        ),
        (
            "groupBy: object.kind, expression: variables.v == 1",
            "expression",
            "`variables.v` can not be read here",
        ),
        ("groupBy: oldObject.kind, expression: 'true'", "groupBy", "`oldObject` can not be read here"),
        ("groupBy: objects, expression: 'true'", "groupBy", "`objects` can not be read here"),
        ("expression: group == ''", "expression", "`group` can not be read here"),
        ("groupBy: object.kind, 'on': [Update], expression: 'true'", "", "exclude each other"),
        (
            "groupBy: object.kind, groups: {resource: other, expression: '1'}, expression: 'true'",
            "groups.resource",
            "there is no resource",
        ),
        ("groupBy: object.kind, groups: {}, expression: 'true'", "groups", "expected groups are either"),
    ] {
        let said = problem(rule);
        let field =
            if field.is_empty() { "spec.rules[0]".to_owned() } else { format!("spec.rules[0].{field}") };
        assert!(said.starts_with(&format!("{field} ")) && said.contains(text), "{rule}: {said}");
    }
}

#[test]
fn what_only_names_groups_is_judged_if_it_is_said_to_be() {
    let selections = |resources: &str| {
        let policy = compiled(&format!(
            "resources:
- {{name: x, apiVersion: v1, kind: Pod}}
- {{name: other, apiVersion: v1, kind: Node}}
rules: [{{name: a, groupBy: object.kind, groups: {{resource: other, expression: object.kind}}, expression: 'true'{resources}}}]"
        ));
        assert_eq!(policy.problems, []);
        policy.rules[0].selections.clone()
    };
    assert_eq!(selections(""), [true, false]);
    assert_eq!(selections(", resources: [other]"), [false, true]);
}

#[test]
fn one_broken_rule_leaves_the_others_in_force() {
    let policy = compiled(&format!(
        "{POD}\nrules: [{{name: a, expression: '1'}}, {{name: b, expression: 'true'}}, {{name: c, expression: '('}}]"
    ));
    assert_eq!(names(&policy), ["b"]);
    let broken: Vec<_> = policy.problems.iter().map(|p| p.rule.as_deref().expect("a rule")).collect();
    assert_eq!(broken, ["a", "c"]);
}

#[test]
fn a_message_expression_that_does_not_compile_leaves_the_message() {
    let policy = compiled(&format!(
        "{POD}\nrules: [{{name: a, expression: 'false', message: as said, messageExpression: 'nope'}}]"
    ));
    assert_eq!(names(&policy), ["a"]);
    let Some(RuleKind::State(state)) = &policy.rules[0].kind else { panic!("a rule on states, in force") };
    assert_eq!(state.wording.message.as_deref(), Some("as said"));
    assert!(state.wording.expression.is_none());
    assert_eq!(policy.problems[0].field, "spec.rules[0].messageExpression");
}

/// A broken condition would let objects through that the policy does not mean.
#[test]
fn a_broken_condition_takes_every_rule_out_of_force() {
    let policy = compiled(&format!(
        "{POD}\nmatchConditions: [{{name: x, expression: '('}}]\nrules: [{{name: a, expression: 'true'}}]"
    ));
    assert_eq!(names(&policy), [""; 0]);
    assert_eq!(policy.problems.len(), 1);
    assert_eq!(policy.selections.len(), 1, "watched nevertheless");
}

#[test]
fn whoever_reads_a_broken_variable_is_told_so() {
    let policy = compiled(&format!(
        "{POD}\nvariables: [{{name: x, expression: '('}}]
rules: [{{name: a, expression: variables.x == 1}}, {{name: b, expression: 'true'}}]"
    ));
    let fields: Vec<_> = policy.problems.iter().map(|p| p.field.as_str()).collect();
    assert_eq!(fields, ["spec.variables[0].expression", "spec.rules[0].expression"]);
    assert_eq!(names(&policy), ["b"]);
}

#[test]
fn hostile_text_stays_one_bounded_line() {
    for source in ["x".repeat(4096), "((((".repeat(1000), "\u{1b}[2J\n\u{0}é".repeat(500), "1+".repeat(2000)]
    {
        let spec = serde_json::json!({
            "resources": [{"name": "pods", "apiVersion": "v1", "kind": "Pod"}],
            "rules": [{"name": "a", "expression": source}],
        });
        problem(&spec.to_string());
    }
}

#[test]
fn what_a_policy_needs_follows_from_its_expressions() {
    let with = |rule: &str| compiled(&format!("{POD}\nrules: [{{name: a, expression: '{rule}'}}]"));
    assert!(!with("object.spec.x").needs_namespaces());
    assert!(with("namespaceObject != null").needs_namespaces());
    assert!(with("now > timestamp(0)").uses(Root::Now));
    let selector = compiled(
        "resources: [{name: pods, apiVersion: v1, kind: Pod, namespaceSelector: {}}]
rules: [{name: a, expression: 'true'}]",
    );
    assert!(selector.needs_namespaces());
}

#[test]
fn a_rule_is_about_a_state_a_change_or_drift() {
    let policy = compiled(&format!(
        "{POD}\nrules:
- {{name: state, expression: 'true'}}
- {{name: change, on: [Update, Delete], expression: 'oldObject.a == object.a'}}
- {{name: drift, drift: {{paths: [spec], ignore: [spec.replicas]}}}}"
    ));
    assert_eq!(policy.problems, []);
    let kinds: Vec<bool> = policy.rules.iter().map(CompiledRule::asks_who).collect();
    assert_eq!(kinds, [false, true, true]);
    let on = &policy.rules[1].as_change().expect("a rule on changes").on;
    assert_eq!(on.iter().map(|operation| operation.as_str()).collect::<Vec<_>>(), ["UPDATE", "DELETE"]);
    assert!(policy.asks_who());
}

#[test]
fn a_rule_that_is_neither_or_both_is_a_problem() {
    let policy = compiled(&format!(
        "{POD}\nrules: [{{name: a}}, {{name: b, expression: 'true', drift: {{}}}}, {{name: c, drift: {{baseline: {{}}}}}},
         {{name: d, drift: {{baseline: {{inline: 3}}}}}}]"
    ));
    assert_eq!(names(&policy), [""; 0]);
    let fields: Vec<&str> = policy.problems.iter().map(|problem| problem.field.as_str()).collect();
    let wanted = [
        "spec.rules[0]",
        "spec.rules[1]",
        "spec.rules[2].drift.baseline",
        "spec.rules[3].drift.baseline.inline",
    ];
    assert_eq!(fields, wanted);
}

#[test]
fn a_path_that_is_none_is_told_with_its_place() {
    let policy =
        compiled(&format!("{POD}\nrules: [{{name: a, drift: {{paths: [spec, spec..x], ignore: ['/y']}}}}]"));
    let told: Vec<String> = policy.problems.iter().map(|p| format!("{}: {}", p.field, p.message)).collect();
    assert!(
        told[0].starts_with("spec.rules[0].drift.paths[1]: \"spec..x\" is not a path: '.' at position 6"),
        "{told:?}"
    );
    assert!(told[1].starts_with("spec.rules[0].drift.ignore[0]: \"/y\""), "{told:?}");
}

#[test]
fn the_object_that_is_the_baseline_is_a_selection_of_its_own_that_no_rule_judges() {
    let policy = compiled(&format!(
        "{POD}\nrules:
- {{name: all, expression: 'true'}}
- {{name: same, drift: {{baseline: {{object: {{apiVersion: apps/v1, kind: Deployment, namespace: golden, name: web}}}}}}}}"
    ));
    assert_eq!(policy.problems, []);
    let baseline = &policy.selections[1];
    assert_eq!((&*baseline.name, baseline.is_baseline()), ("same/baseline", true));
    assert_eq!(baseline.target.display(), "apps/v1 Deployment");
    assert_eq!(policy.rules[1].baseline(), Some(&baseline.name));
    assert!(policy.rules.iter().all(|rule| rule.judges(0) && !rule.judges(1)));
}

#[test]
fn a_time_to_wait_that_is_none_is_refused_with_its_place() {
    let rule = |more: &str| format!("{POD}\nrules: [{{name: a, expression: 'true', {more}}}]");
    for (more, said) in [
        ("for: soon", "spec.rules[0].for: \"soon\" is no time to wait; write 30s, 5m or 1h30m, at most 720h"),
        ("for: 0s", "spec.rules[0].for: \"0s\" is no time to wait"),
        ("keepFor: -5m", "spec.rules[0].keepFor: \"-5m\" is no time to wait"),
        ("keepFor: 721h", "spec.rules[0].keepFor: \"721h\" is no time to wait"),
        ("flapping: {opens: 3, within: 5d}", "spec.rules[0].flapping.within: \"5d\" is no time to wait"),
        ("flapping: {opens: 1, within: 5m}", "spec.rules[0].flapping.opens: opens must be from 2 to 16"),
        ("for: 5m, on: [Create]", "spec.rules[0]: for, keepFor and flapping are about findings that stand"),
    ] {
        let told = problem(&rule(more));
        assert!(told.starts_with(said), "{more}: {told}");
        assert!(names(&compiled(&rule(more))).is_empty(), "{more}: without its wait it would say too much");
    }
    let policy = compiled(&rule("for: 1h30m, keepFor: 30s, flapping: {opens: 2, within: 720h}"));
    assert_eq!(policy.problems, []);
    let patience = policy.rules[0].patience;
    assert_eq!((patience.hold.as_secs(), patience.keep.as_secs()), (5400, 30));
    assert_eq!(patience.flapping.map(|f| (f.opens, f.within.as_hours())), Some((2, 720)));
}
