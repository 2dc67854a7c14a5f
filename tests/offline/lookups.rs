//! `polywatch check` on policies that join objects to others.

use crate::{Folder, Ran, polywatch, verdicts};

const ROUTES: &str = "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: routes}
spec:
  resources: [{name: routes, apiVersion: shop.example.io/v1, kind: Route}]
  lookups:
  - {name: service, apiVersion: v1, kind: Service, nameExpression: object.spec.service}
  - name: slices
    apiVersion: discovery.k8s.io/v1
    kind: EndpointSlice
    labels: {kubernetes.io/service-name: lookups.service.metadata.name}
    expression: lookups.slices.exists(s, s.endpoints.exists(e, e.conditions.ready))
    message: no ready endpoint
  rules:
  - name: serves
    severity: critical
    expression: >-
      lookups.service != null && lookups.slices.exists(s, s.endpoints.exists(e, e.conditions.ready))
    message: nothing serves the route
";

fn route(name: &str, service: &str) -> String {
    format!(
        "---\n{{apiVersion: shop.example.io/v1, kind: Route, metadata: {{namespace: shop, name: {name}}}, \
         spec: {{service: {service}}}}}\n"
    )
}

fn service(namespace: &str, name: &str) -> String {
    format!("---\n{{apiVersion: v1, kind: Service, metadata: {{namespace: {namespace}, name: {name}}}}}\n")
}

fn slice(name: &str, service: &str, ready: bool) -> String {
    format!(
        "---\n{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{namespace: shop, name: {name}, \
         labels: {{kubernetes.io/service-name: {service}}}}}, endpoints: [{{conditions: {{ready: {ready}}}}}]}}\n"
    )
}

/// What `check -o json` says of manifests.
fn check(name: &str, policy: &str, manifests: &[String]) -> Ran {
    let folder = Folder::new(name);
    let policy = folder.write("policy.yaml", policy);
    polywatch(&["check", "-f", &policy, "-r", "-", "-o", "json"], manifests.concat().as_bytes())
}

#[test]
fn a_chain_is_found_among_manifests_and_named() {
    let manifests = [
        route("whole", "a"),
        route("broken", "b"),
        route("bare", "c"),
        route("lost", "d"),
        service("shop", "a"),
        service("shop", "b"),
        service("shop", "c"),
        service("bank", "d"),
        slice("a-1", "a", false),
        slice("a-2", "a", true),
        slice("b-1", "b", false),
    ];
    let ran = check("lookups-chain", ROUTES, &manifests);
    assert_eq!(ran.code, 1, "{}", ran.err);
    let broken = "Violation routes/serves Route shop";
    assert_eq!(
        verdicts(&ran.out),
        [
            "Compliant routes/serves Route shop/whole: ".to_owned(),
            format!(
                "{broken}/broken: nothing serves the route [Service b → EndpointSlice b-1: no ready endpoint]"
            ),
            format!("{broken}/bare: nothing serves the route [Service c → EndpointSlice no ready endpoint]"),
            format!("{broken}/lost: nothing serves the route [Service d does not exist]"),
        ]
    );
    assert!(ran.err.contains("11 objects, of which 4 judged by 1 policy"), "{}", ran.err);
    assert!(ran.err.contains("\n7 objects of kinds that are looked up and not judged\n"), "{}", ran.err);
    assert!(!ran.err.contains("no policy selects"), "{}", ran.err);
}

#[test]
fn a_kind_that_nobody_defines_is_absent_and_one_without_objects_is_empty() {
    let policy = "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: limits}
spec:
  resources: [{name: routes, apiVersion: shop.example.io/v1, kind: Route}]
  lookups:
  - {name: limit, apiVersion: shop.example.io/*, kind: Limit, nameExpression: object.metadata.name}
  - {name: node, apiVersion: v1, kind: Node, nameExpression: object.spec.service}
  rules:
  - {name: if-there, expression: '!has(lookups.limit) || lookups.limit != null', message: no limit}
  - {name: needed, expression: lookups.limit != null, message: no limit}
  - {name: placed, expression: lookups.node != null, message: no node}
";
    let manifests =
        [route("one", "a"), "---\n{apiVersion: v1, kind: Node, metadata: {name: a}}\n".to_owned()];
    let ran = check("lookups-absent", policy, &manifests);
    assert_eq!(
        verdicts(&ran.out),
        [
            "Compliant limits/if-there Route shop/one: ",
            "Error limits/needed Route shop/one: the kind shop.example.io/* Limit is not installed; has(lookups.NAME) tells",
            "Compliant limits/placed Route shop/one: ",
        ]
    );
    let note = "note: policy limits, lookups/limit: shop.example.io/* Limit is taken as not installed: no manifest is of \
                it, nor a CustomResourceDefinition that defines it\n";
    assert!(ran.err.contains(note), "{}", ran.err);

    let definition = "---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: limits.shop.example.io}
spec:
  group: shop.example.io
  scope: Namespaced
  names: {kind: Limit, plural: limits}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
";
    let ran = check("lookups-empty", policy, &[&manifests[..], &[definition.to_owned()]].concat());
    let none = "no limit [Limit one does not exist]";
    assert_eq!(
        verdicts(&ran.out),
        [
            format!("Violation limits/if-there Route shop/one: {none}"),
            format!("Violation limits/needed Route shop/one: {none}"),
            "Compliant limits/placed Route shop/one: ".to_owned(),
        ]
    );
    assert!(ran.err.contains("note: policy limits, lookups/limit: no manifest is of"), "{}", ran.err);
}

#[test]
fn what_lives_in_no_namespace_has_to_say_where_it_looks() {
    let policy = "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: nodes}
spec:
  resources: [{name: nodes, apiVersion: v1, kind: Node}]
  lookups:
  - {name: agent, apiVersion: v1, kind: Pod, nameExpression: object.metadata.name}
  - {name: said, apiVersion: v1, kind: Pod, nameExpression: object.metadata.name, namespaceExpression: \"'system'\"}
  rules:
  - {name: own, expression: lookups.agent != null}
  - {name: said, expression: lookups.said != null}
";
    let manifests = [
        "{apiVersion: v1, kind: Node, metadata: {name: a}}\n".to_owned(),
        "---\n{apiVersion: v1, kind: Pod, metadata: {namespace: system, name: a}}\n".to_owned(),
    ];
    for with_pod in [true, false] {
        let ran = check("lookups-nodes", policy, &manifests[..1 + usize::from(with_pod)]);
        let said = verdicts(&ran.out);
        assert!(
            said[0].starts_with("Error nodes/own Node -/a: lookup `agent`: its kind lives in namespaces"),
            "{said:?}"
        );
        assert_eq!(said[1].starts_with("Compliant"), with_pod, "{said:?}");
    }
}

const PARAMS: &str = "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: limits}
spec:
  resources: [{name: apps, apiVersion: apps/v1, kind: Deployment}]
  params: {apiVersion: v1, kind: ConfigMap, WHICH}
  rules:
  - name: few
    expression: object.spec.replicas <= int(params.data.most)
    messageExpression: \"'more than ' + params.data.most\"
  - {name: some, expression: object.spec.replicas > 0}
";

fn app(namespace: &str, replicas: u32) -> String {
    format!(
        "---\n{{apiVersion: apps/v1, kind: Deployment, metadata: {{namespace: {namespace}, name: web}}, \
         spec: {{replicas: {replicas}}}}}\n"
    )
}

fn limits(namespace: &str, name: &str, most: u32) -> String {
    format!(
        "---\n{{apiVersion: v1, kind: ConfigMap, metadata: {{namespace: {namespace}, name: {name}, \
         labels: {{for: apps}}}}, data: {{most: '{most}'}}}}\n"
    )
}

#[test]
fn params_are_those_of_each_namespace() {
    let manifests =
        [app("a", 5), app("b", 5), app("c", 5), limits("a", "limits", 3), limits("b", "limits", 9)];
    let compliant = |namespace: &str| format!("Compliant limits/some Deployment {namespace}/web: ");
    let ran = check("params-allow", &PARAMS.replace("WHICH", "name: limits"), &manifests);
    assert_eq!(
        verdicts(&ran.out),
        [
            "Violation limits/few Deployment a/web: more than 3".to_owned(),
            compliant("a"),
            "Compliant limits/few Deployment b/web: ".to_owned(),
            compliant("b"),
            "Skipped limits/few Deployment c/web: there are no params for it".to_owned(),
            compliant("c"),
        ]
    );
    let deny = PARAMS.replace("WHICH", "name: limits, parameterNotFoundAction: Deny");
    let said = verdicts(&check("params-deny", &deny, &manifests).out);
    assert_eq!(
        said[4],
        "Violation limits/few Deployment c/web: there are no params: there is no ConfigMap limits in namespace c"
    );
    let all = PARAMS.replace("WHICH", "labelSelector: {matchLabels: {for: apps}}");
    let both = [app("a", 5), limits("a", "one", 9), limits("a", "two", 4), limits("b", "three", 1)];
    let said = verdicts(&check("params-all", &all, &both).out);
    assert_eq!(said[0], "Violation limits/few Deployment a/web: more than 4", "each of them counts");
}

#[test]
fn groups_are_judged_by_params_of_one_place() {
    let policy = |more: &str| {
        format!(
            "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {{name: teams}}
spec:
  resources: [{{name: apps, apiVersion: apps/v1, kind: Deployment}}]
  params: {{apiVersion: v1, kind: ConfigMap, name: limits, namespace: platform{more}}}
  rules:
  - name: total
    groupBy: object.metadata.namespace
    expression: objects.map(o, o.spec.replicas).sum() <= int(params.data.most)
    messageExpression: group + ' has more than ' + params.data.most
"
        )
    };
    let apps = [app("a", 5), app("b", 2)];
    let with = [&apps[..], &[limits("platform", "limits", 3)]].concat();
    let ran = check("params-groups", &policy(""), &with);
    assert_eq!(
        verdicts(&ran.out),
        ["Violation teams/total group a: a has more than 3", "Compliant teams/total group b: "]
    );
    let ran = check("params-groups-none", &policy(""), &apps);
    assert_eq!(
        verdicts(&ran.out),
        ["a", "b"].map(|group| format!("Skipped teams/total group {group}: there are no params for it"))
    );
    let ran = check("params-groups-deny", &policy(", parameterNotFoundAction: Deny"), &apps);
    let missing = "there are no params: there is no ConfigMap limits in namespace platform";
    assert_eq!(
        verdicts(&ran.out),
        ["a", "b"].map(|group| format!("Violation teams/total group {group}: {missing}"))
    );
}

/// What is wrong with a policy is told before anything is judged.
#[test]
fn a_lookup_that_does_not_compile_is_refused_with_its_place() {
    let wrong = ROUTES.replace(
        "nameExpression: object.spec.service",
        "nameExpression: \"lookups.slices.map(s, s.x).join()\"",
    );
    let ran = check("lookups-circle", &wrong, &[route("one", "a")]);
    assert_eq!(ran.code, 2);
    let place = "policy.yaml:12:13: spec.lookups[1].labels[kubernetes.io/service-name]: lookups.service → ";
    assert!(ran.err.contains(place), "{}", ran.err);
}

/// The page of the docs: its first two blocks of YAML come to the findings that it shows, and all others compile.
#[test]
fn the_page_of_the_docs_is_true() {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/lookups.md")).expect("the page");
    let blocks = |language: &str| -> Vec<String> {
        let begin = format!("```{language}\n");
        let blocks = page.split(&begin).skip(1);
        blocks.map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
    };
    let yaml = blocks("yaml");
    let ran = check("lookups-docs", &yaml[0], &[yaml[1].clone()]);
    let said: Vec<String> =
        verdicts(&ran.out).into_iter().filter(|line| !line.starts_with("Compliant")).collect();
    assert_eq!(said.join("\n") + "\n", blocks("text")[0], "{}", ran.err);

    for block in &yaml[2..] {
        let mut spec =
            "resources: [{name: all, apiVersion: shop.example.io/v1, kind: Route}]\n".to_owned() + block;
        if !block.contains("rules:") {
            spec.push_str("rules: [{name: r, expression: 'true'}]\n");
        }
        let spec = spec.replace('\n', "\n  ");
        let policy = format!(
            "apiVersion: polywatch.dev/v1alpha1\nkind: MonitorPolicy\nmetadata: {{name: p}}\nspec:\n  {spec}\n"
        );
        let ran = check("lookups-docs-parts", &policy, &[route("one", "a")]);
        assert!(ran.code == 0, "{policy}{}{}", ran.out, ran.err);
    }
    assert_eq!(yaml.len(), 5);
}
