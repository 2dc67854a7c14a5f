//! What is wrong with lookups, params and what reads them, each with its field and what to do.

use super::*;

/// A policy with these lookups and further parts.
fn with(lookups: &str, more: &str) -> String {
    format!("{POD}\nlookups: [{lookups}]\n{more}")
}

const RULE: &str = "rules: [{name: a, expression: 'true'}]";

/// A lookup with these fields.
fn service(name: &str, more: &str) -> String {
    format!("{{name: {name}, apiVersion: v1, kind: Service{more}}}")
}

/// All that is wrong, as `FIELD: MESSAGE`.
fn told(spec: &str) -> Vec<String> {
    compiled(spec).problems.iter().map(|p| format!("{}: {}", p.field, p.message)).collect()
}

#[test]
fn every_way_to_find_objects_compiles_in_whatever_order_it_is_written() {
    let policy = compiled(
        "
resources: [{name: routes, apiVersion: example.io/v1, kind: Route}]
params: {apiVersion: v1, kind: ConfigMap, name: limits}
variables:
- {name: shop, expression: lookups.service.metadata.labels.shop}
lookups:
- {name: slices, apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, labels: {kubernetes.io/service-name: lookups.service.metadata.name},
   expression: 'lookups.slices.size() > 0', message: none}
- {name: service, apiVersion: v1, kind: Service, nameExpression: object.spec.?service, namespaceExpression: params.data.namespace}
- {name: peers, apiVersion: v1, kind: Service, namesExpression: 'object.spec.peers.map(p, p.name)'}
- {name: pods, apiVersion: v1, kind: Pod, labelsExpression: lookups.service.spec.selector}
- {name: quotas, apiVersion: v1, kind: ResourceQuota, namespaceExpression: variables.shop}
rules:
- {name: all, expression: 'lookups.slices.size() + lookups.peers.size() + lookups.pods.size() + lookups.quotas.size() > 0'}
- {name: peers, expression: lookups.peers.size() > 0}
",
    );
    assert_eq!(policy.problems, []);
    let names: Vec<&str> = policy.lookups.iter().flatten().map(|lookup| &*lookup.name).collect();
    assert_eq!(names, ["params()", "service", "slices", "peers", "pods", "quotas"]);
    assert_eq!(policy.rules[0].lookups, [0, 1, 2, 3, 4, 5].into(), "with those that they are found by");
    assert_eq!(policy.rules[1].lookups, [3].into());
    let selections: Vec<&str> = policy.selections.iter().map(|selection| &*selection.name).collect();
    let found = ["params/ConfigMap", "lookups/service", "lookups/slices", "lookups/peers", "lookups/pods"];
    assert_eq!(selections, [&["routes"][..], &found, &["lookups/quotas"]].concat());
    assert!(policy.rules[0].judges(0) && (1..7).all(|found| !policy.rules[0].judges(found)));
}

#[test]
fn what_is_wrong_with_a_lookup_is_named_with_its_field_and_a_remedy() {
    let cases = [
        (
            with(&service("service", ", nameExpression: lookups.servce.x"), RULE),
            "spec.lookups[0].nameExpression: there is no lookup `lookups.servce` (at 1:8)",
            "",
        ),
        (
            with(
                &service("service", ", nameExpression: object.x"),
                "rules: [{name: a, expression: has(lookups.servise)}]",
            ),
            "spec.rules[0].expression: there is no lookup `lookups.servise` (at 1:12); did you mean `lookups.service`?",
            "",
        ),
        (
            with(
                &service("service", ", nameExpression: object.x"),
                "rules: [{name: a, expression: lookups.x == null}]",
            ),
            "spec.rules[0].expression: there is no lookup `lookups.x` (at 1:8); there are lookups.service",
            "",
        ),
        (
            format!("{POD}\nrules: [{{name: a, expression: lookups.x == null}}]"),
            "spec.rules[0].expression: there is no lookup `lookups.x` (at 1:8); spec.lookups has none",
            "",
        ),
        (
            with(&service("s", ", nameExpression: object.x, namesExpression: object.y"), RULE),
            "spec.lookups[0]: give one of nameExpression, namesExpression, labels and labelsExpression",
            "or none for all objects of the namespace",
        ),
        (
            with(&service("s", ", labels: {a: object.x}, labelsExpression: object.y"), RULE),
            "spec.lookups[0]: give one of",
            "",
        ),
        (
            with(&service("s", ", labels: {a b: object.x}"), RULE),
            "spec.lookups[0].labels: \"a b\" is not a label key; write NAME or PREFIX/NAME",
            "",
        ),
        (
            with(&service("if", ", nameExpression: object.x"), RULE),
            "spec.lookups[0].name: `if` is a reserved word of CEL and cannot be a name",
            "",
        ),
        (
            with(&[service("s", ""), service("s", "")].join(", "), RULE),
            "spec.lookups[1].name: the name \"s\" is already taken; names must be unique in spec.lookups",
            "",
        ),
        (
            with(&service("s", ", nameExpression: object.x, message: m"), RULE),
            "spec.lookups[0].message: ",
            "give an expression, or leave message out",
        ),
        (
            with(&service("s", ", nameExpression: object.x, expression: lookups.s"), RULE),
            "spec.lookups[0].expression: ",
            "want a bool",
        ),
        (with(&service("s", ", nameExpression: 'x +'"), RULE), "spec.lookups[0].nameExpression: ", "(at 1:"),
    ];
    for (spec, begins, has) in cases {
        let problem = problem(&spec);
        assert!(problem.starts_with(begins) && problem.contains(has), "{problem}");
    }
}

#[test]
fn what_a_lookup_goes_by_is_of_the_type_that_it_looks_for() {
    for (field, fits, said) in [
        ("nameExpression: '1 + 1'", false, "nameExpression: this is an int, want a string; use string(…)"),
        ("nameExpression: object.a == object.b", false, "nameExpression: this is a bool"),
        ("nameExpression: '[\"a\"]'", false, "for a list of names there is namesExpression"),
        ("nameExpression: 'optional.of(1)'", false, "nameExpression: this is an optional"),
        ("nameExpression: object.?spec.?name", true, ""),
        ("nameExpression: 'null'", true, ""),
        ("namesExpression: '\"a\"'", false, "namesExpression: this is a string, want a list of names"),
        ("namesExpression: '[1, 2]'", false, "namesExpression: this is a list"),
        ("namesExpression: 'object.spec.names.map(n, n.name)'", true, ""),
        ("namesExpression: '[]'", true, ""),
        ("labelsExpression: '\"a\"'", false, "labelsExpression: this is a string, want a map of labels"),
        ("labelsExpression: '{\"a\": 1}'", false, "labelsExpression: this is a map"),
        ("labelsExpression: '{\"a\": object.spec.app}'", true, ""),
        ("labelsExpression: object.spec.?selector", true, ""),
        ("labels: {a: object.metadata.name.size()}", false, "labels[a]: this is an int, want a string"),
        ("namespaceExpression: '1'", false, "namespaceExpression: this is an int"),
        ("namespaceExpression: object.spec.namespace", true, ""),
    ] {
        let told = told(&with(&service("s", &format!(", {field}")), RULE));
        match fits {
            true => assert_eq!(told, [""; 0], "{field}"),
            false => assert!(
                told.len() == 1 && told[0].starts_with("spec.lookups[0].") && told[0].contains(said),
                "{field}: {told:?}"
            ),
        }
    }
}

#[test]
fn a_circle_is_told_once_with_all_that_is_part_of_it() {
    let by = |name: &str, other: &str| service(name, &format!(", nameExpression: {other}.metadata.name"));
    let circle = [by("a", "lookups.b"), by("b", "lookups.c"), by("c", "lookups.a"), by("d", "lookups.b")];
    let policy = compiled(&with(
        &circle.join(", "),
        "rules: [{name: in, expression: lookups.b != null}, {name: beside, expression: lookups.d != null},
                 {name: other, expression: 'true'}]",
    ));
    let problems: Vec<String> =
        policy.problems.iter().map(|p| format!("{}: {}", p.field, p.message)).collect();
    assert_eq!(
        problems,
        [
            "spec.lookups[2].nameExpression: lookups.a → lookups.b → lookups.c → lookups.a read each other in a circle; \
             leave one of these steps out"
        ]
    );
    assert_eq!(names(&policy), ["other"]);

    let itself = service("a", ", labels: {app: 'lookups.a[0].metadata.name'}");
    assert_eq!(
        problem(&with(&itself, RULE)),
        "spec.lookups[0].labels[app]: lookups.a is found by what it finds itself; find it by the object or by another \
         lookup"
    );

    let through = with(
        &by("a", "variables.v"),
        "variables: [{name: u, expression: '1'}, {name: v, expression: lookups.a}]\nrules: [{name: r, expression: variables.v != null}]",
    );
    assert_eq!(
        problem(&through),
        "spec.lookups[0].nameExpression: variables.v → lookups.a → variables.v read each other in a circle; leave one of \
         these steps out"
    );
    assert_eq!(names(&compiled(&through)), [""; 0]);

    // What is said of what was found is no part of finding it.
    let checked = [
        service("a", ", nameExpression: object.x, expression: lookups.b != null"),
        service("b", ", nameExpression: lookups.a.x"),
    ];
    assert_eq!(told(&with(&checked.join(", "), RULE)), [""; 0]);
    let later =
        [service("a", ", nameExpression: object.x, expression: lookups.b.size() > 0"), service("b", "")];
    assert_eq!(told(&with(&later.join(", "), RULE)), [""; 0]);
}

#[test]
fn two_circles_that_close_in_one_field_and_long_ones_are_told() {
    let by = |name: &str, source: &str| service(name, &format!(", nameExpression: '{source}'"));
    let two = [by("a", "lookups.b.x"), by("b", "lookups.a.x + lookups.c.x"), by("c", "lookups.b.x")];
    let told = told(&with(&two.join(", "), RULE));
    assert_eq!(told.len(), 2, "{told:#?}");
    let long: Vec<String> = (0..16)
        .map(|n| {
            let name = |n: usize| format!("{}{n:02}", "x".repeat(60));
            by(&name(n), &format!("lookups.{}.x", name((n + 1) % 16)))
        })
        .collect();
    let problem = problem(&with(&long.join(", "), RULE));
    assert!(problem.starts_with("spec.lookups[15].nameExpression: lookups.xxx"), "{problem}");
}

#[test]
fn a_broken_lookup_puts_out_of_force_who_reads_it_and_nobody_else() {
    let lookups = [
        service("broken", ", nameExpression: '1'"),
        service("by-way", ", nameExpression: lookups.broken.x").replace("by-way", "by_way"),
        service("said", ", nameExpression: object.x, expression: '('"),
        service("fine", ", nameExpression: object.x"),
    ];
    let rules = "
rules:
- {name: direct, expression: lookups.broken != null}
- {name: indirect, expression: lookups.by_way != null}
- {name: by-variable, expression: variables.v != null}
- {name: in-message, expression: 'false', messageExpression: string(lookups.broken.x)}
- {name: checked, expression: lookups.said != null}
- {name: grouped, groupBy: lookups.broken.x, expression: objects.size() > 0}
- {name: fine, expression: lookups.fine != null}
- {name: plain, expression: 'true'}
variables: [{name: v, expression: lookups.broken}]
";
    let policy = compiled(&with(&lookups.join(", "), rules));
    let fields: Vec<&str> = policy.problems.iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(fields, ["spec.lookups[0].nameExpression", "spec.lookups[2].expression"]);
    assert_eq!(names(&policy), ["fine", "plain"]);
    let watched: Vec<&str> = policy.selections.iter().map(|selection| &*selection.name).collect();
    assert_eq!(
        watched,
        ["pods", "lookups/broken", "lookups/by_way", "lookups/said", "lookups/fine"],
        "in the order of the spec"
    );
}

/// A condition that cannot be asked would let objects through that the policy does not mean.
#[test]
fn a_condition_that_reads_a_broken_lookup_takes_every_rule_out_of_force() {
    let condition = "matchConditions: [{name: c, expression: lookups.broken != null}]";
    let policy =
        compiled(&with(&service("broken", ", nameExpression: '1'"), &format!("{condition}\n{RULE}")));
    assert_eq!(policy.problems.len(), 1);
    assert_eq!(names(&policy), [""; 0]);
}

#[test]
fn params_are_found_in_one_way() {
    let spec = |params: &str, rule: &str| {
        format!(
            "{POD}\nparams: {{apiVersion: v1, kind: ConfigMap{params}}}\nrules: [{{name: a, {rule}}}, {{name: b, expression: 'true'}}]"
        )
    };
    let reads = "expression: params.data.x == 'y'";
    for (params, said) in [
        ("", "spec.params: say which objects they are: give name, or labelSelector"),
        (", name: x, labelSelector: {}", "spec.params: give either name or labelSelector"),
        (
            ", labelSelector: {matchExpressions: [{key: a, operator: Is}]}",
            "spec.params.labelSelector.matchExpressions[0].operator: \"Is\" is not an operator",
        ),
    ] {
        for rule in [reads, "groupBy: object.kind, expression: params.data.x == 'y'"] {
            let spec = spec(&format!(", namespace: ns{params}"), rule);
            let problem = problem(&spec);
            assert!(problem.starts_with(said), "{problem}");
            assert_eq!(names(&compiled(&spec)), ["b"]);
        }
    }
    for params in [", name: x", ", labelSelector: {}", ", name: x, namespace: ns"] {
        let policy = compiled(&spec(params, reads));
        assert_eq!(policy.problems, []);
        assert_eq!(names(&policy), ["a", "b"]);
    }
    let without = problem(&format!("{POD}\nrules: [{{name: a, {reads}}}]"));
    assert_eq!(
        without,
        "spec.rules[0].expression: `params` can not be read here (at 1:1); the policy has no params; say in spec.params \
         what they are"
    );
}

/// Rules are judged with each of them; what is asked once would have to know which one is meant.
#[test]
fn params_that_may_be_several_are_read_in_rules_only() {
    let spec = |params: &str, more: &str| {
        format!(
            "{POD}\nparams: {{apiVersion: v1, kind: ConfigMap, namespace: ns, {params}}}
variables: [{{name: v, expression: params.data.x}}]\n{more}"
        )
    };
    for (more, field) in [
        (
            format!("matchConditions: [{{name: c, expression: variables.v == 'x'}}]\n{RULE}"),
            "spec.matchConditions[0].expression",
        ),
        (
            format!(
                "lookups: [{{name: s, apiVersion: v1, kind: Service, nameExpression: params.data.x}}]\n{RULE}"
            ),
            "spec.lookups[0].nameExpression",
        ),
        (
            "rules: [{name: a, groupBy: params.data.x, expression: objects.size() > 0}]".to_owned(),
            "spec.rules[0].groupBy",
        ),
    ] {
        let told = problem(&spec("labelSelector: {}", &more));
        assert!(
            told.starts_with(&format!("{field}: params that labelSelector finds may be several")),
            "{told}"
        );
        assert_eq!(self::told(&spec("name: x", &more)), [""; 0]);
    }
    let rules = "rules: [{name: a, expression: variables.v == 'x'}, {name: b, groupBy: object.kind, expression: params.data.x == group}]";
    assert_eq!(told(&spec("labelSelector: {}", rules)), [""; 0]);
}

#[test]
fn a_rule_on_groups_is_told_what_to_do_about_what_is_about_one_object() {
    let spec = |params: &str, rule: &str| {
        format!(
            "{POD}\nparams: {{apiVersion: v1, kind: ConfigMap, name: x{params}}}
variables: [{{name: v, expression: '1'}}]
lookups: [{{name: s, apiVersion: v1, kind: Service, nameExpression: object.x}}]
rules: [{{name: a, groupBy: object.kind, {rule}}}]"
        )
    };
    for (rule, field, remedy) in [
        (
            "expression: params.data.x == 'y'",
            "expression",
            "say in params.namespace where those are that hold for all groups",
        ),
        (
            "expression: 'true', messageExpression: params.data.x",
            "messageExpression",
            "say in params.namespace",
        ),
        (
            "expression: lookups.s != null",
            "expression",
            "read them in groupBy, in a match condition, or in a rule without groupBy",
        ),
        ("expression: 'has(lookups.s)'", "expression", "lookups are about one object"),
        ("expression: 'objects.all(o, lookups.?s.hasValue())'", "expression", "lookups are about one object"),
        ("expression: variables.v == 1", "expression", "write it out, such as objects.all(o, o.spec.x == 1)"),
        ("expression: object.spec.x == 1", "expression", "read its objects by objects"),
        ("expression: namespaceObject != null", "expression", "read its objects by objects"),
    ] {
        let told = problem(&spec("", rule));
        assert!(told.starts_with(&format!("spec.rules[0].{field}: `")) && told.contains(remedy), "{told}");
    }
    let fixed = spec(", namespace: ns", "expression: params.data.x == group");
    assert_eq!(told(&fixed), [""; 0]);
    let key = "groupBy: lookups.s.metadata.name + params.data.x + string(variables.v), expression: objects.size() > 0";
    assert_eq!(
        told(&spec("", key).replace("groupBy: object.kind, ", "")),
        [""; 0],
        "keys are about one object"
    );
}
