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

#[test]
fn what_is_looked_up_is_told_with_what_is_kept_of_it_and_who_reads_it() {
    let folder = Folder::new("explain-lookups");
    let policy = folder.write(
        "policy.yaml",
        "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: routes}
spec:
  resources: [{name: routes, apiVersion: example.io/v1, kind: Route}]
  params: {apiVersion: v1, kind: ConfigMap, name: limits, namespace: platform, parameterNotFoundAction: Deny}
  matchConditions: [{name: used, expression: lookups.service != null}]
  variables: [{name: ready, expression: 'lookups.slices.exists(s, s.endpoints.exists(e, e.ready))'}]
  lookups:
  - {name: service, apiVersion: v1, kind: Service, nameExpression: object.spec.service}
  - name: slices
    apiVersion: discovery.k8s.io/v1
    kind: EndpointSlice
    labels: {kubernetes.io/service-name: lookups.service.metadata.name}
    expression: lookups.slices.exists(s, s.addressType == 'IPv4')
    message: no address
  - {name: peers, apiVersion: v1, kind: Pod, namespaceExpression: \"''\", labelsExpression: object.spec.selector}
  - {name: widget, apiVersion: example.io/*, kind: Widget, nameExpression: object.spec.widgt}
  - {name: unread, apiVersion: v1, kind: Secret}
  rules:
  - {name: serves, expression: variables.ready}
  - {name: few, expression: 'size(object.spec.backends) < int(params.data.most)'}
  - {name: coloured, expression: lookups.widget.spec.colour == 'red' && lookups.peers.size() > 0}
  - {name: grouped, groupBy: object.metadata.namespace, expression: objects.size() < int(params.data.total)}
",
    );
    let definition = folder.write("crd.yaml", DEFINITION);
    let told = polywatch(&["explain", "-f", &policy, "-r", &definition], b"");
    assert_eq!(told.code, 0, "{}", told.err);
    for line in [
        "  params: v1 ConfigMap in platform named limits\n      keeps       data.most\n                  data.total\n",
        "      without     rules that read them are findings\n      read by     few, grouped\n",
        "  lookups: objects that are found for each that is judged, and not judged themselves\n",
        "    lookups.service: one v1 Service\n      looks in    the namespace of the object that is judged\n      by name     object.spec.service\n",
        "      read by     match condition used, serves\n",
        "    lookups.slices: a list of discovery.k8s.io/v1 EndpointSlice\n",
        "      by label    kubernetes.io/service-name\n      its value   lookups.service.metadata.name\n",
        "      in order if lookups.slices.exists(s, s.addressType == 'IPv4')\n",
        "      else says   no address\n      read by     serves\n",
        "      looks in    ''\n",
        "      by labels   object.spec.selector\n",
        "    lookups.unread: a list of v1 Secret\n      looks in    the namespace of the object that is judged\n      finds       all of the namespace\n",
        "      read by     nothing\n",
        "      expression  variables.ready\n      reads       variables.ready, lookups.service, lookups.slices\n",
        "                  lookups.slices[].endpoints[].ready\n",
        "      warning     spec.rules[2].expression 1:20: there is no field `colour` in lookups.widget.spec; did you mean \
         `color`? (of routes)\n",
        "      judges      routes\n",
    ] {
        assert!(told.out.contains(line), "{line:?} is not in\n{}", told.out);
    }
    assert!(!told.out.contains("judges      routes, "), "{}", told.out);
    assert_eq!(told.out.matches("warning").count(), 1, "{}", told.out);
}
