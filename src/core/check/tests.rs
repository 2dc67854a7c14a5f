//! What is warned of, and what is not: each on kinds whose schemas are real or written out here.

use std::sync::Arc;

use super::*;
use crate::core::finding::PolicyKey;
use crate::core::schema::{Definition, Document};
use crate::policy::compile;

fn deployment() -> Arc<Schema> {
    let document: Document =
        serde_json::from_str(include_str!("../schema/tests/deployment.json")).expect("a document");
    Arc::new(document.kind("apps", "v1", "Deployment").expect("it is there"))
}

/// A kind with a field of each type in its `spec`.
fn sample() -> Arc<Schema> {
    let definition: Definition = crate::yaml::from_str(
        "
spec:
  versions:
  - name: v1
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              text: {type: string}
              date: {type: string, format: date-time}
              whole: {type: integer}
              ratio: {type: number}
              flag: {type: boolean}
              port: {x-kubernetes-int-or-string: true}
              maybe: {type: string, nullable: true}
              texts: {type: array, items: {type: string}}
              parts: {type: array, items: {type: object, properties: {name: {type: string}}}}
              labels: {type: object, additionalProperties: {type: string}}
              selector: {type: object, properties: {app: {type: string}}}
              other: {type: object, properties: {app: {type: string}}}
              anything: {type: object, x-kubernetes-preserve-unknown-fields: true}
              some:
                type: object
                x-kubernetes-preserve-unknown-fields: true
                properties: {known: {type: string}}
",
    )
    .expect("a definition");
    Arc::new(definition.version("v1").expect("a schema"))
}

fn policy(spec: &str) -> CompiledPolicy {
    let spec = crate::yaml::from_str(spec).expect("a spec");
    let policy = compile(PolicyKey("p".into()), "uid".into(), 1, &spec);
    assert!(policy.problems.is_empty(), "{:?}", policy.problems);
    policy
}

/// Each warning as `FIELD LINE:COLUMN [SELECTIONS] MESSAGE`.
fn said(warnings: &Warnings) -> Vec<String> {
    let line = |w: &Warning| format!("{} {} [{}] {}", w.field, w.at, w.selections.join(" "), w.message);
    warnings.listed.iter().map(line).collect()
}

/// What is said of one expression about the sample kind.
fn warned(expression: &str) -> Vec<String> {
    let spec = serde_json::json!({
        "resources": [{"name": "samples", "apiVersion": "x.io/v1", "kind": "Sample"}],
        "variables": [{"name": "it", "expression": expression}],
        "rules": [{"name": "r", "expression": "variables.it == variables.it"}],
    });
    let warnings = check(&policy(&spec.to_string()), &[Some(sample())]);
    warnings.listed.iter().map(|warning| format!("{} {}", warning.at, warning.message)).collect()
}

#[test]
fn what_can_not_be_right_is_warned_of_where_it_stands() {
    for (expression, expected) in [
        // Unknown fields, however they are read.
        ("object.spec.txt == 'a'", "1:12"),
        ("has(object.spec.txt)", "1:16"),
        ("object.spec.?wole.orValue(1) > 0", "1:12"),
        ("object.metadata.lables", "1:16"),
        ("object.spec['txt'] == 'a'", "1:12"),
        ("object.spec[?'wole'].orValue(1) > 0", "1:12"),
        ("object.spec.parts.all(p, p.nmae == 'a')", "1:27"),
        ("object.spec.some.known.more", "1:23"),
        // Comparisons and sums of wrong types.
        ("object.spec.whole == '3'", "1:19"),
        ("object.spec.text > 3", "1:18"),
        ("object.spec['whole'] == '3'", "1:22"),
        ("object.spec.date < timestamp('2024-05-01T12:00:00Z')", "1:18"),
        ("object.spec.text == null", "1:18"),
        ("object.spec.texts == 'a'", "1:19"),
        ("object.spec.ratio + 1", "1:19"),
        // A list is no map, and neither is one value.
        ("object.spec.parts.name", "1:18"),
        ("object.spec.parts['name']", "1:18"),
        ("object.spec.texts.a.b", "1:18"),
        ("object.spec.whole.all(x, true)", "1:12"),
        // Functions of other types.
        ("object.spec.whole.startsWith('a')", "1:29"),
        ("object.spec.text.sum()", "1:21"),
        ("object.spec.flag && object.spec.text", "1:32"),
        ("size(object.spec.whole)", "1:5"),
    ] {
        let said = warned(expression);
        assert!(said.len() == 1 && said[0].starts_with(&format!("{expected} ")), "{expression}: {said:?}");
    }
}

#[test]
fn rules_on_groups_are_checked_where_all_objects_are_of_the_kind() {
    let spec = "
resources:
- {name: samples, apiVersion: x.io/v1, kind: Sample}
- {name: apps, apiVersion: apps/v1, kind: Deployment}
rules:
- name: one
  resources: [samples]
  groupBy: object.spec.txt
  groups: {resource: apps, expression: object.spec.replica}
  expression: objects.all(o, o.spec.wole > 1) && objects[0].spec.text == group
- name: mixed
  groupBy: object.kind
  expression: objects.all(o, o.spec.replicas > 1 || o.spec.whole > 1)
";
    let warnings = check(&policy(spec), &[Some(sample()), Some(deployment())]);
    let places: Vec<String> =
        said(&warnings).iter().map(|line| line.split("] ").next().unwrap_or("").into()).collect();
    assert_eq!(
        places,
        [
            "spec.rules[0].expression 1:22 [samples",
            "spec.rules[0].groupBy 1:12 [samples",
            "spec.rules[0].groups.expression 1:12 [apps",
        ]
    );
}

/// Related objects of the sample kind, and of one whose schema is not known.
const JOINED: &str = "
resources:
- {name: apps, apiVersion: apps/v1, kind: Deployment}
- {name: unknown, apiVersion: x.io/v1, kind: Unknown}
params: {apiVersion: x.io/v1, kind: Sample, name: limits, namespace: platform}
lookups:
- {name: sample, apiVersion: x.io/v1, kind: Sample, nameExpression: object.metadata.name}
- {name: samples, apiVersion: x.io/v1, kind: Sample, labels: {app: lookups.sample.spec.text}}
- {name: unknown, apiVersion: x.io/v1, kind: Unknown, nameExpression: object.metadata.name}
";

/// What is said of a policy with these lookups.
fn joined(more: &str) -> Vec<String> {
    let policy = policy(&format!("{JOINED}{more}"));
    let (sample, deployment) = (sample(), deployment());
    let schema = |kind: &str| match kind {
        "Sample" => Some(sample.clone()),
        "Deployment" => Some(deployment.clone()),
        _ => None,
    };
    let schemas: Vec<_> = policy.selections.iter().map(|selection| schema(&selection.target.kind)).collect();
    said(&check(&policy, &schemas))
}

#[test]
fn what_is_looked_up_is_checked_by_the_schema_of_its_kind() {
    for (expression, expected) in [
        (
            "lookups.sample.spec.txt == 'a'",
            "1:20 [apps unknown] there is no field `txt` in lookups.sample.spec; did you mean `text`?",
        ),
        ("lookups.?sample.?spec.?wole.orValue(1) > 0", "1:22 [apps unknown] "),
        ("has(lookups.sample) && lookups.sample.spec.whole == '3'", "1:50 [apps unknown] "),
        ("lookups.samples.all(s, s.spec.prts.size() > 0)", "1:30 [apps unknown] there is no field `prts`"),
        (
            "params.spec.wole > 1",
            "1:12 [apps unknown] there is no field `wole` in params.spec; did you mean `whole`?",
        ),
        ("lookups.sample.metadata.labels == object.metadata.lables", "1:50 [apps] "),
        ("object.spec.replicas == lookups.sample.spec.text", "1:22 [apps] "),
    ] {
        let told = joined(&format!("rules: [{{name: r, expression: \"{expression}\"}}]"));
        assert!(
            told.len() == 1 && told[0].starts_with(&format!("spec.rules[0].expression {expected}")),
            "{expression}: {told:#?}"
        );
    }
}

#[test]
fn what_may_be_of_a_lookup_is_not_warned_of() {
    for expression in [
        "lookups.sample != null && lookups.sample.spec.text == 'a'",
        "lookups.sample == null || lookups.samples.size() > 0 && lookups.samples[0].spec.whole > 1",
        "!has(lookups.unknown) || lookups.unknown == null || lookups.unknown.any.thing > 3",
        "lookups.?sample.orValue(null) == null",
        "lookups.?samples.orValue([]).exists(s, s.metadata.name == object.metadata.name)",
        "params != null && params.spec.whole > 1",
        "lookups.samples.map(s, s.spec.text).join(',') != ''",
    ] {
        let told = joined(&format!("rules: [{{name: r, expression: \"{expression}\"}}]"));
        assert_eq!(told, [""; 0], "{expression}");
    }
}

#[test]
fn what_a_lookup_goes_by_and_says_is_checked_for_whoever_takes_it() {
    let told = joined(
        "
- {name: by-name, apiVersion: x.io/v1, kind: Unknown, nameExpression: object.spec.template.spec.nodename}
- {name: by_map, apiVersion: x.io/v1, kind: Unknown, labelsExpression: object.spec.selector.matchLables}
- {name: by_label, apiVersion: x.io/v1, kind: Unknown, labels: {app: lookups.sample.spec.txt}, namespaceExpression: variables.v}
- {name: checked, apiVersion: x.io/v1, kind: Sample, nameExpression: object.metadata.name, expression: lookups.checked.spec.wole > 1}
- {name: unread, apiVersion: x.io/v1, kind: Unknown, nameExpression: object.spec.nothing}
variables: [{name: v, expression: object.metadata.namspace}]
rules:
- {name: r, resources: [apps], expression: 'lookups.by_name == null && lookups.by_map == [] && lookups.by_label == []'}
- {name: c, resources: [unknown], expression: lookups.checked != null}
"
        .replace("by-name", "by_name")
        .as_str(),
    );
    let places: Vec<&str> = told.iter().map(|line| line.split(" in ").next().unwrap_or("")).collect();
    assert_eq!(
        places,
        [
            "spec.variables[0].expression 1:16 [apps] there is no field `namspace`",
            "spec.lookups[3].nameExpression 1:26 [apps] there is no field `nodename`",
            "spec.lookups[4].labelsExpression 1:21 [apps] there is no field `matchLables`",
            "spec.lookups[5].labels[app] 1:20 [apps] there is no field `txt`",
            "spec.lookups[6].expression 1:21 [unknown] there is no field `wole`",
        ],
        "{told:#?}"
    );
}

#[test]
fn params_are_known_to_rules_on_groups() {
    let group = |expression: &str| {
        joined(&format!(
            "rules: [{{name: r, resources: [apps], groupBy: object.kind, expression: {expression}}}]"
        ))
    };
    assert_eq!(group("objects.size() > params.spec.whole"), [""; 0]);
    let told = group("objects.size() > params.spec.wole");
    assert!(
        told.len() == 1 && told[0].contains("1:29 [apps] there is no field `wole` in params.spec"),
        "{told:?}"
    );
}

#[test]
fn the_nearest_name_is_said() {
    let said = warned("object.spec.txt == 'a'");
    assert!(said[0].contains("`txt`") && said[0].contains("did you mean `text`?"), "{said:?}");
}

/// Objects are plain JSON when expressions run; what works on them is not warned of, even where types differ.
#[test]
fn what_works_on_some_object_is_not_warned_of() {
    for expression in [
        "object.spec.text == 'a' && object.kind == 'Sample' && object.metadata.labels['a'] == 'b'",
        "object.spec.?text.orValue(null) == null",
        "object.spec.?whole.orValue('none') == 'none'",
        "has(object.spec.text) ? object.spec.text : null",
        "[object.spec.text, object.spec.whole]",
        "{'a': object.spec.text, 'b': object.spec.parts}",
        "object.spec.ratio == 1 || object.spec.ratio != 1.5 || object.spec.ratio > 1",
        "object.spec.whole in [1.5, 2.0] && [object.spec.whole] == [1.0]",
        "object.spec.port == 80 || object.spec.port == 'http' || object.spec.port.matches('a')",
        "object.spec.maybe == null || object.spec.maybe == 'a'",
        "timestamp(object.spec.date) < now",
        // An object with known fields is a map.
        "object.spec['text'] == 'a' && 'text' in object.spec && size(object.spec) > 0",
        "object.spec.all(k, k != 'x') && object.spec.exists(k, v, v == 'a')",
        "object.spec.selector == {'app': 'a'} && object.spec.selector == object.spec.other",
        "object.spec.selector == null",
        "object.spec.?selector.orValue({}) == {}",
        "object.spec.parts == [{'name': 'a'}]",
        "object.spec.labels == {} && object.spec.labels.all(k, v, v != '')",
        // Where the schema leaves open what there is.
        "object.spec.anything.at.all > 3",
        "object.spec.some.other.more == 'a' && object.spec.some.known == 'a'",
        "oldObject == null || oldObject.spec.text == object.spec.text",
        "object.metadata.managedFields.exists(f, f.manager == 'a')",
        "object.spec.parts.map(p, p.name).isSorted() && object.spec.texts.join(',') == ''",
    ] {
        assert_eq!(warned(expression), [] as [String; 0], "{expression}");
    }
}

#[test]
fn a_built_in_kind_is_checked_to_its_depths() {
    let policy = policy(
        "
resources: [{name: apps, apiVersion: apps/v1, kind: Deployment}]
rules:
- name: replicas
  expression: object.spec.replica > 1
  messageExpression: \"'only ' + object.spec.replicas\"
- name: ports
  expression: |
    object.spec.template.spec.containers
      .all(c, c.ports.all(p, p.containerport < 1024))
- name: fine
  expression: object.spec.template.spec.containers.all(c, 'memory' in c.resources.limits)
",
    );
    let said = said(&check(&policy, &[Some(deployment())]));
    assert_eq!(said.len(), 3, "{said:#?}");
    assert!(said[0].starts_with("spec.rules[0].expression 1:12 [apps] "), "{said:#?}");
    assert!(said[0].contains("did you mean `replicas`?"), "{said:#?}");
    assert!(said[1].starts_with("spec.rules[0].messageExpression 1:9 [apps] "), "{said:#?}");
    assert!(said[2].starts_with("spec.rules[1].expression 2:27 [apps] "), "{said:#?}");
    assert!(said[2].contains("did you mean `containerPort`?"), "{said:#?}");
}

#[test]
fn each_kind_is_checked_for_itself_and_kinds_that_agree_share_a_warning() {
    let policy = policy(
        "
resources:
- {name: apps, apiVersion: apps/v1, kind: Deployment}
- {name: samples, apiVersion: x.io/v1, kind: Sample}
- {name: labelled, apiVersion: x.io/v1, kind: Sample, labelSelector: {matchLabels: {a: b}}}
- {name: unknown, apiVersion: x.io/v1, kind: Unknown}
matchConditions:
- {name: named, expression: object.metadata.nmae != ''}
rules:
- {name: text, expression: object.spec.text != ''}
- {name: only-samples, resources: [samples], expression: object.spec.text != ''}
- {name: only-unknown, resources: [unknown], expression: object.spec.nothing != ''}
",
    );
    let sample = sample();
    let schemas = [Some(deployment()), Some(sample.clone()), Some(sample), None];
    let warnings = check(&policy, &schemas);
    let places = said(&warnings);
    assert_eq!(places.len(), 2, "{places:#?}");
    assert!(
        places[0].starts_with("spec.matchConditions[0].expression 1:16 [apps samples labelled]"),
        "{places:#?}"
    );
    assert!(places[1].starts_with("spec.rules[0].expression 1:12 [apps]"), "{places:#?}");
    assert_eq!(warnings.listed[0].rule, None);
    assert_eq!(warnings.listed[1].rule.as_deref(), Some("text"));
    assert_eq!(check(&policy, &[None, None, None, None]), Warnings::default());
}

/// Variables are evaluated when they are read, and have the type of their expression.
#[test]
fn variables_are_checked_for_the_kinds_whose_rules_read_them() {
    let policy = policy(
        "
resources:
- {name: apps, apiVersion: apps/v1, kind: Deployment}
- {name: samples, apiVersion: x.io/v1, kind: Sample}
variables:
- {name: text, expression: object.spec.text}
- {name: long, expression: variables.text + '!'}
- {name: unread, expression: object.spec.nothing}
- {name: count, expression: object.spec.replicas}
rules:
- {name: samples, resources: [samples], expression: variables.long != ''}
- {name: apps, resources: [apps], expression: variables.count != 'many'}
",
    );
    let said = said(&check(&policy, &[Some(deployment()), Some(sample())]));
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(said[0].starts_with("spec.rules[1].expression 1:17 [apps] "), "{said:#?}");
}

#[test]
fn a_fault_in_a_variable_is_said_once() {
    let policy = policy(
        "
resources: [{name: samples, apiVersion: x.io/v1, kind: Sample}]
variables:
- {name: it, expression: object.spec.txt}
rules:
- {name: one, expression: variables.it > 3}
- {name: two, expression: variables.it == 'a'}
",
    );
    let said = said(&check(&policy, &[Some(sample())]));
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(said[0].starts_with("spec.variables[0].expression 1:12 [samples] "), "{said:#?}");
}

#[test]
fn warnings_are_bounded_and_the_rest_is_counted() {
    let rules: Vec<_> = (0..64)
        .map(|n| serde_json::json!({"name": format!("r{n}"), "expression": "object.spec.a == object.spec.b"}))
        .collect();
    let resources = [serde_json::json!({"name": "samples", "apiVersion": "x.io/v1", "kind": "Sample"})];
    let policy = policy(&serde_json::json!({"resources": resources, "rules": rules}).to_string());
    let warnings = check(&policy, &[Some(sample())]);
    assert_eq!((warnings.listed.len(), warnings.omitted), (MAX_WARNINGS, 128 - MAX_WARNINGS));
    assert_eq!(warnings.listed[3].field, "spec.rules[1].expression");
}
