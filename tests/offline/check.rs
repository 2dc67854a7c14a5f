//! `polywatch check` on manifests.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::{Folder, polywatch, verdicts};

#[derive(Deserialize)]
struct Expected {
    broken: Vec<Broken>,
}

#[derive(Deserialize)]
struct Broken {
    /// None where something else is done in a cluster.
    apply: Option<String>,
    findings: Vec<Finding>,
}

#[derive(Deserialize)]
struct Finding {
    policy: String,
    rule: String,
    resource: Option<Resource>,
    group: Option<String>,
    message: String,
}

#[derive(Deserialize)]
struct Resource {
    kind: String,
    namespace: Option<String>,
    name: String,
}

/// These read what a controller or a kubelet writes, which no manifest has.
fn needs_a_cluster(rule: &str) -> bool {
    [
        "backends-are-ready",
        "enough-are-ready",
        "enough-gateways",
        "gateway-is-ready",
        "limits-by-pipeline",
        "prompts-by-pipeline",
    ]
    .contains(&rule)
}

#[test]
fn the_gateway_example_is_judged_as_in_a_cluster() {
    let example = "examples/api-gateway";
    let text = std::fs::read_to_string(format!("{}/{example}/expected.yaml", env!("CARGO_MANIFEST_DIR")));
    let expected: Expected = polywatch::yaml::from_str(&text.expect("expected.yaml")).expect("its form");
    let violations = |file: Option<&str>| {
        let folders = ["1-crds", "2-healthy", "3-policies"].map(|name| format!("{example}/{name}"));
        let mut arguments =
            vec!["check", "-o", "json", "-r", &folders[0], "-r", &folders[1], "-f", &folders[2]];
        arguments.extend(file.iter().flat_map(|file| ["-r", file]));
        let ran = polywatch(&arguments, b"");
        assert!([0, 1].contains(&ran.code), "{}", ran.err);
        let lines = verdicts(&ran.out).into_iter();
        assert!(lines.clone().all(|line| !line.starts_with("Error ")), "{}", ran.out);
        let wrong = lines.filter(|line| line.starts_with("Violation "));
        let only_here = |line: &String| needs_a_cluster(line.split([' ', '/']).nth(2).unwrap_or_default());
        wrong.filter(|line| !only_here(line)).collect()
    };
    let none: BTreeSet<String> = violations(None);
    assert_eq!(none, BTreeSet::new(), "the healthy state");
    let mut compared = 0;
    for broken in &expected.broken {
        let Some(apply) = &broken.apply else { continue };
        let findings: BTreeSet<String> = broken
            .findings
            .iter()
            .filter(|finding| !needs_a_cluster(&finding.rule))
            .map(|finding| {
                let Finding { policy, rule, resource, group, message } = finding;
                let about = match resource {
                    Some(Resource { kind, namespace, name }) => {
                        format!("{kind} {}/{name}", namespace.as_deref().unwrap_or("-"))
                    }
                    None => format!("group {}", group.as_deref().unwrap_or_default()),
                };
                format!("Violation {policy}/{rule} {about}: {message}")
            })
            .collect();
        compared += findings.len();
        let file = format!("{example}/{apply}");
        assert_eq!(violations(Some(&file)), findings, "{file}");
    }
    assert!(compared > 20, "{compared} findings");
}

const POLICY: &str = "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: pods}
spec:
  severity: low
  resources:
  - {name: pods, apiVersion: v1, kind: Pod}
  matchConditions:
  - {name: not-a-job, expression: \"!has(object.metadata.labels) || !('job' in object.metadata.labels)\"}
  rules:
  - {name: pinned, severity: high, expression: \"!object.spec.image.endsWith(':latest')\", message: not pinned}
  - {name: few, expression: object.spec.replicas < 3}
";

fn pod(name: &str, rest: &str) -> String {
    format!("{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: shop}}, {rest}}}\n---\n")
}

#[test]
fn every_rule_and_object_has_an_entry_of_exactly_these_fields() {
    let folder = Folder::new("entries");
    let policy = folder.write("policy.yaml", POLICY);
    let objects = pod("a", "spec: {image: 'x:1', replicas: 1}")
        + &pod("b", "spec: {image: 'x:latest', replicas: 5}")
        + &pod("c", "spec: {image: 'x:1'}")
        + "{apiVersion: v1, kind: Pod, metadata: {name: d, labels: {job: x}}, spec: {}}";
    let ran = polywatch(&["check", "-f", &policy, "-r", "-", "-o", "json"], objects.as_bytes());
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert_eq!(
        verdicts(&ran.out),
        [
            "Compliant pods/pinned Pod shop/a: ",
            "Compliant pods/few Pod shop/a: ",
            "Violation pods/pinned Pod shop/b: not pinned",
            "Violation pods/few Pod shop/b: rule few is not satisfied",
            "Compliant pods/pinned Pod shop/c: ",
            "Error pods/few Pod shop/c: no such key: replicas",
            "Skipped pods/pinned Pod default/d: matchCondition not-a-job is false",
            "Skipped pods/few Pod default/d: matchCondition not-a-job is false",
        ]
    );
    let entries: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(
        entries[2],
        serde_json::json!({
            "policy": "pods", "rule": "pinned", "verdict": "Violation", "message": "not pinned", "severity": "high",
            "resource": {"apiVersion": "v1", "kind": "Pod", "namespace": "shop", "name": "b"},
        })
    );
    let yaml = polywatch(&["check", "-f", &policy, "-r", "-", "-o", "yaml"], objects.as_bytes());
    let same: serde_json::Value = polywatch::yaml::from_str(&yaml.out).expect("YAML");
    assert_eq!(same, entries);
}

#[test]
fn exit_codes_tell_compliant_from_findings_from_rule_errors_from_bad_input() {
    let folder = Folder::new("codes");
    let policy = folder.write("policy.yaml", POLICY);
    let code = |rest: &str| polywatch(&["check", "-f", &policy, "-r", "-"], pod("a", rest).as_bytes()).code;
    assert_eq!(code("spec: {image: 'x:1', replicas: 1}"), 0);
    assert_eq!(code("spec: {image: 'x:latest', replicas: 1}"), 1);
    assert_eq!(code("spec: {image: 'x:1'}"), 1, "a rule that fails says nothing good");
    assert_eq!(code("spec: {image: 'x:1'"), 2);
    let bad = folder.write("bad.yaml", POLICY.replace("object.spec.replicas", "objct.spec.replicas"));
    let ran = polywatch(&["check", "-f", &bad, "-r", "-"], pod("a", "spec: {}").as_bytes());
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(ran.err.contains("bad.yaml:13:29: spec.rules[1].expression: "), "{}", ran.err);
    assert_eq!(polywatch(&["check", "-f", &policy], b"").code, 2, "nothing to judge");
}

#[test]
fn junit_is_xml_with_a_case_for_each_verdict() {
    let folder = Folder::new("junit");
    let policy = folder.write("policy.yaml", POLICY.replace("not pinned", "'<not> & \"pinned\"'"));
    let objects = pod("a", "spec: {image: 'x:latest'}")
        + "{apiVersion: v1, kind: Pod, metadata: {name: d, labels: {job: x}}, spec: {}}";
    let ran = polywatch(&["check", "-f", &policy, "-r", "-", "-o", "junit"], objects.as_bytes());
    assert_eq!(ran.code, 1);
    let report =
        quick_junit::Report::deserialize_from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {}", ran.out));
    assert_eq!((report.tests, report.failures, report.errors), (4, 1, 1));
    let suite = &report.test_suites[0];
    assert_eq!((suite.name.as_str(), suite.test_cases.len()), ("pods", 4));
    let text = format!("{:?}", suite.test_cases[0]);
    assert!(text.contains("pods.pinned") && text.contains("Pod shop/a"), "{text}");
    assert!(ran.out.contains("&lt;not&gt; &amp; &quot;pinned&quot;"), "{}", ran.out);
}

const TIERS: &str = "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: tiers}
spec:
  resources:
  - name: maps
    apiVersion: v1
    kind: ConfigMap
    namespaceSelector: {matchExpressions: [{key: tier, operator: NotIn, values: [test]}]}
    excludeNamespaces: [kube-system]
    labelSelector: {matchLabels: {watch: 'yes'}}
    fieldSelector: metadata.name!=canary
  - {name: nodes, apiVersion: v1, kind: Node}
  - {name: namespaces, apiVersion: v1, kind: Namespace, namespaceSelector: {matchLabels: {tier: front}}}
  rules:
  - name: never
    resources: [maps]
    expression: 'false'
    messageExpression: \"'in ' + namespaceObject.metadata.name + ', ' + request.resource.resource\"
  - {name: cluster, resources: [nodes, namespaces], expression: namespaceObject == null}
";

#[test]
fn selections_mean_what_they_mean_in_a_cluster() {
    let folder = Folder::new("selections");
    let policy = folder.write("policy.yaml", TIERS);
    let map = |name: &str, namespace: &str, label: &str| {
        format!(
            "---\n{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, namespace: {namespace}, labels: {{watch: '{label}'}}}}}}\n"
        )
    };
    let namespace = |name: &str, tier: &str| {
        format!(
            "---\n{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}, labels: {{tier: {tier}}}}}}}\n"
        )
    };
    let objects = namespace("shop", "front")
        + &namespace("lab", "test")
        + &map("a", "shop", "yes")
        + &map("b", "lab", "yes")
        + &map("c", "kube-system", "yes")
        + &map("d", "unknown", "yes")
        + &map("e", "shop", "no")
        + &map("canary", "shop", "yes")
        // The server drops the namespace of what is cluster scoped.
        + "---\n{apiVersion: v1, kind: Node, metadata: {name: n1, namespace: shop}}\n"
        + "---\n{apiVersion: v1, kind: ConfigMapList, items: [{metadata: {name: f, labels: {watch: 'yes'}}}]}\n"
        + "---\n{apiVersion: example.io/v1, kind: Odd, metadata: {name: odd}}\n";
    let ran = polywatch(&["check", "-f", &policy, "-r", "-", "-n", "shop", "-o", "json"], objects.as_bytes());
    assert_eq!(
        verdicts(&ran.out),
        [
            "Compliant tiers/cluster Namespace -/shop: ",
            "Violation tiers/never ConfigMap shop/a: in shop, configmaps",
            "Violation tiers/never ConfigMap unknown/d: in unknown, configmaps",
            "Compliant tiers/cluster Node -/n1: ",
            "Violation tiers/never ConfigMap shop/f: in shop, configmaps",
        ]
    );
    for told in [
        "watched by no policy: 1 Odd (example.io/v1)",
        "5 objects of watched kinds that no policy selects",
        "Namespace unknown is not among the manifests",
        "whether Odd (example.io/v1) lives in namespaces is not known",
    ] {
        assert!(ran.err.contains(told), "{told:?} is not in {}", ran.err);
    }
}

#[test]
fn an_object_that_two_selections_select_is_judged_once_by_each_rule() {
    let folder = Folder::new("overlap");
    let policy = folder.write(
        "policy.yaml",
        "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: p}
spec:
  resources:
  - {name: pods, apiVersion: v1, kind: Pod}
  - {name: some, apiVersion: v1, kind: Pod, names: [a]}
  rules:
  - {name: all, expression: 'true'}
  - {name: one, resources: [some], expression: 'false'}
",
    );
    let objects = pod("a", "spec: {}") + &pod("b", "spec: {}");
    let ran = polywatch(&["check", "-f", &policy, "-r", "-", "-o", "json"], objects.as_bytes());
    let expected = [
        "Compliant p/all Pod shop/a: ",
        "Violation p/one Pod shop/a: rule one is not satisfied",
        "Compliant p/all Pod shop/b: ",
    ];
    assert_eq!(verdicts(&ran.out), expected, "{}", ran.err);
}

#[test]
fn groups_are_judged_over_the_manifests() {
    let folder = Folder::new("groups");
    let policy = folder.write(
        "policy.yaml",
        "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: p}
spec:
  resources:
  - {name: pods, apiVersion: v1, kind: Pod}
  - {name: again, apiVersion: v1, kind: Pod, names: [a]}
  matchConditions:
  - {name: no-job, expression: '!has(object.spec.job)'}
  rules:
  - name: two
    groupBy: object.spec.app
    groups: {values: [none]}
    expression: objects.size() == 2
    messageExpression: objects.map(o, o.metadata.name).join(',')
",
    );
    let objects = pod("a", "spec: {app: web}")
        + &pod("b", "spec: {app: web}")
        + &pod("c", "spec: {app: api}")
        + &pod("d", "spec: {app: api, job: x}")
        + &pod("e", "spec: {}");
    let ran = polywatch(&["check", "-f", &policy, "-r", "-", "-o", "json"], objects.as_bytes());
    let expected = [
        "Error p/two Pod shop/e: groupBy: no such key: app",
        "Violation p/two group api: c",
        "Violation p/two group none: rule two is not satisfied",
        "Compliant p/two group web: ",
    ];
    assert_eq!((ran.code, verdicts(&ran.out)), (1, expected.map(str::to_owned).into()), "{}", ran.err);
    let table = polywatch(&["check", "-f", &policy, "-r", "-"], objects.as_bytes());
    assert!(table.out.contains("p/two         Group api"), "{}", table.out);
}

#[test]
fn elements_of_lists_are_matched_by_the_keys_of_a_definition_among_the_manifests() {
    let folder = Folder::new("keys");
    let policy = folder.write(
        "policy.yaml",
        "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: p}
spec:
  resources: [{name: gateways, apiVersion: x.io/v1, kind: Gateway}]
  rules:
  - name: limits
    drift: {baseline: {inline: {spec: {rules: [{host: a.example, limit: 1}, {host: b.example, limit: 2}]}}}}
",
    );
    let definition = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gateways.x.io}
spec:
  group: x.io
  names: {kind: Gateway, plural: gateways}
  scope: Cluster
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              rules:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [host]
                items: {type: object, properties: {host: {type: string}, limit: {type: integer}}}
---
";
    let gateway = "
apiVersion: x.io/v1
kind: Gateway
metadata: {name: g}
spec: {rules: [{host: b.example, limit: 9}, {host: a.example, limit: 1}]}
";
    let said = |manifests: &str| {
        let ran = polywatch(&["check", "-f", &policy, "-r", "-", "-o", "json"], manifests.as_bytes());
        verdicts(&ran.out)
    };
    let keyed = said(&format!("{definition}{gateway}"));
    let only = "Violation p/limits Gateway -/g: drifted: spec.rules[host=b.example].limit: 2 → 9";
    assert!(keyed.len() == 1 && keyed[0].starts_with(only) && !keyed[0].contains("a.example"), "{keyed:?}");
    assert!(said(gateway)[0].contains("spec.rules[0].host"), "nothing tells the keys");
}

#[test]
fn what_is_not_looked_at_is_said() {
    let folder = Folder::new("unwatched");
    let policy = folder
        .write("policy.yaml", POLICY.to_owned() + "---" + &TIERS.replace("spec:", "spec:\n  suspend: true"));
    let other = folder.write(
        "other.yaml",
        "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: other}
spec:
  resources:
  - {name: old, apiVersion: apps/v1beta1, kind: Deployment}
  - {name: any, apiVersion: apps/*, kind: Deployment}
  rules: [{name: fine, expression: 'true'}]
",
    );
    let objects = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}}";
    let ran = polywatch(&["check", "-f", &policy, "-f", &other, "-r", "-"], objects.as_bytes());
    assert_eq!(ran.code, 0);
    for told in [
        "1 object, of which 1 judged by 2 policies: 0 violations, 0 errors, 0 skipped, 1 compliant",
        "policy pods, resource pods: no manifest is of v1 Pod",
        "policy tiers is suspended",
        "policy other, resource old: no manifest is of apps/v1beta1 Deployment; there are some of apps/v1",
    ] {
        assert!(ran.out.contains(told), "{told:?} is not in {}", ran.out);
    }
    assert!(!ran.out.contains("resource any"), "{}", ran.out);
}

#[test]
fn now_is_the_time_that_is_given() {
    let folder = Folder::new("now");
    let policy = folder.write(
        "policy.yaml",
        "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: certificates}
spec:
  resources: [{name: all, apiVersion: pki.example.io/v1, kind: Certificate}]
  rules: [{name: valid, expression: now < timestamp(object.status.notAfter)}]
",
    );
    let object = b"{apiVersion: pki.example.io/v1, kind: Certificate, metadata: {name: a}, status: {notAfter: '2030-01-01T00:00:00Z'}}";
    let code = |now: &str| polywatch(&["check", "-f", &policy, "-r", "-", "--now", now], object).code;
    assert_eq!([code("2029-12-31T23:59:59Z"), code("2030-01-01T00:00:00Z"), code("tomorrow")], [0, 1, 2]);
}

#[test]
fn values_of_secrets_are_never_shown() {
    let folder = Folder::new("secrets");
    let policy = folder.write(
        "policy.yaml",
        "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: secrets}
spec:
  resources: [{name: all, apiVersion: v1, kind: Secret}]
  rules:
  - {name: shown, expression: 'false', messageExpression: string(object.stringData.password)}
  - {name: failed, expression: object.stringData.password + 1 == 2}
",
    );
    let secret = b"{apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: {password: hunter2}}";
    for form in ["table", "json", "yaml", "junit"] {
        let ran = polywatch(&["check", "-f", &policy, "-r", "-", "-o", form], secret);
        assert_eq!(ran.code, 1);
        assert!(ran.out.contains("redacted") && !(ran.out + &ran.err).contains("hunter2"), "{form}");
    }
}

/// What the page shows is what comes out.
#[test]
fn the_page_of_the_docs_is_true() {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/offline.md")).expect("the page");
    let block = page.split("```console\n$ polywatch check").nth(1).expect("an example");
    let (command, output) = block.split_once("/api-key-in-url.yaml\n").expect("a command");
    let command = format!("check{command}/api-key-in-url.yaml");
    let arguments: Vec<&str> = command.split_whitespace().filter(|word| *word != "\\").collect();
    let ran = polywatch(&arguments, b"");
    assert_eq!(Some(ran.out.as_str()), output.split("```").next(), "{}", ran.err);
    let entry = page.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an entry");
    let json = polywatch(&[arguments.as_slice(), &["-o", "json"]].concat(), b"");
    let entries: Vec<serde_json::Value> = serde_json::from_str(&json.out).expect("JSON");
    let entry: serde_json::Value = serde_json::from_str(entry).expect("JSON");
    assert!(entries.contains(&entry), "{}", json.out);
}
