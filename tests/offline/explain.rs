//! `polywatch explain`.

use crate::{Folder, polywatch};

const POLICY: &str = "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: widgets}
spec:
  resources:
  - {name: widgets, apiVersion: example.io/*, kind: Widget}
  - {name: pods, apiVersion: v1, kind: Pod}
  variables:
  - {name: limits, expression: 'object.spec.parts.map(p, p.limit)'}
  rules:
  - name: parts
    resources: [widgets]
    expression: variables.limits.all(l, l < 5) && object.spec.colour == 'red'
    message: too much
  - name: relaxed
    resources: [pods]
    \"on\": [Update]
    expression: object.spec.hostNetwork == oldObject.spec.hostNetwork
  - name: stays
    resources: [pods]
    drift: {paths: [spec], allowedManagers: [pipeline]}
  - name: replicas
    resources: [pods]
    groupBy: object.metadata.namespace
    groups: {values: [shop]}
    expression: objects.map(o, o.spec.weight).sum() < 3
  - name: mutual
    resources: [pods]
    groupBy: object.metadata.namespace
    expression: objects[0].spec.weight == 1
";

const DEFINITION: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.io}
spec:
  group: example.io
  names: {kind: Widget, plural: widgets}
  versions:
  - name: v1
    served: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              color: {type: string}
              parts: {type: array, items: {type: object, properties: {limit: {type: integer}}}}
";

#[test]
fn what_a_rule_reads_costs_and_gets_wrong_is_told() {
    let folder = Folder::new("explain");
    let policy = folder.write("policy.yaml", POLICY);
    let definition = folder.write("crd.yaml", DEFINITION);
    let told = polywatch(&["explain", "-f", &policy, "-r", &definition], b"");
    assert_eq!(told.code, 0, "{}", told.err);
    for line in [
        "      groups by   object.metadata.namespace",
        "      expects     shop",
        "      fields      objects[].spec.weight",
        "      upkeep      incremental: of a group only the object that changed is looked at",
        "      upkeep      re-evaluated: all objects of a group are read when one changes; with more than 256 objects every \
         (objects / 25,000) seconds at most",
        "      fields      object.spec.colour",
        "                  object.spec.parts[].limit",
        "      warning     spec.rules[0].expression 1:46: there is no field `colour` in object.spec; did you mean `color`? \
         (of widgets)",
        "      fields not checked: its CustomResourceDefinition is not at hand",
        "      on          UPDATE",
        "                  oldObject.spec.hostNetwork",
        "      drift from  the last compliant state",
        "      allows      pipeline",
        "steps of 1000000 for lists of 100 elements and texts of 100 characters",
    ] {
        assert!(told.out.contains(line), "{line:?} is not in\n{}", told.out);
    }
    assert_eq!(told.out.matches("warning").count(), 1, "{}", told.out);
}

#[test]
fn what_a_rule_waits_for_and_when_time_matters_is_told() {
    let folder = Folder::new("explain-time");
    let policy = folder.write(
        "policy.yaml",
        "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: times}
spec:
  resources: [{name: pods, apiVersion: v1, kind: Pod}]
  matchConditions: [{name: office, expression: now.getHours() > 8}]
  rules:
  - {name: young, expression: \"now - timestamp(object.metadata.creationTimestamp) < duration('1h')\", for: 1h30m}
  - {name: quiet, expression: has(object.spec.quiet), keepFor: 90s, flapping: {opens: 4, within: 10m}}
",
    );
    let told = polywatch(&["explain", "-f", &policy], b"");
    assert_eq!(told.code, 0, "{}", told.err);
    for line in [
        "      judged again all objects every minute: now is not only compared with times",
        "      judged again each object at the moment when a comparison with now flips",
        "      for         1h 30m: false for so long is a finding, less is pending",
        "      keepFor     1m 30s: a finding ends when it was true for so long",
        "      flapping    a finding that opens 4 times within 10m ends when it was true for as long",
    ] {
        assert!(told.out.contains(line), "{line:?} is not in\n{}", told.out);
    }
    assert_eq!(told.out.matches("judged again").count(), 2, "{}", told.out);
}

#[test]
fn definitions_that_are_none_are_refused_with_their_place() {
    let folder = Folder::new("explain-wrong");
    let policy = folder.write("policy.yaml", POLICY);
    let definition = folder.write("crd.yaml", "kind: CustomResourceDefinition\nspec: {versions: 1}\n");
    let told = polywatch(&["explain", "-f", &policy, "-r", &definition], b"");
    assert_eq!(told.code, 2);
    assert!(told.err.contains("crd.yaml:1:1: this is no CustomResourceDefinition"), "{}", told.err);
}
