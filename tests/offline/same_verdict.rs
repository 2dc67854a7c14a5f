//! Whatever the policies and objects: what `check` says of manifests is what is open when the same objects are listed
//! to the operator's engine, in any order.

use std::collections::{BTreeMap, BTreeSet};

use polywatch::offline::check::{Said, check};
use polywatch::offline::input::Source;
use polywatch::offline::scenario::{Story, play};
use polywatch::offline::{manifests, policies};
use proptest::prelude::*;

fn source(file: &str, text: String) -> Source {
    Source { file: file.into(), text }
}

fn policy(name: &str, selection: &str, (needs, rule): (&str, &str)) -> String {
    format!(
        "---
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {{name: {name}}}
spec:
  resources: [{{name: all, apiVersion: v1, kind: Pod{selection}}}]
  {needs}
  matchConditions: [{{name: known, expression: \"object.metadata.name != 'c'\"}}]
  rules: [{{name: r, {rule}}}]
"
    )
}

const SELECTIONS: &[&str] = &[
    "",
    ", namespaces: [ns-a]",
    ", names: [a, b]",
    ", excludeNamespaces: [ns-b]",
    ", namespaceSelector: {matchLabels: {tier: front}}",
    ", labelSelector: {matchExpressions: [{key: l, operator: NotIn, values: ['1']}]}",
    ", fieldSelector: spec.count!=2",
];
const RULES: &[&str] = &[
    "expression: object.spec.count == 1",
    "expression: has(namespaceObject.metadata.labels.tier)",
    "expression: request.namespace == 'ns-a'",
    "expression: 'false'",
    "groupBy: object.metadata.namespace, expression: 'objects.map(o, o.spec.count).sum() < 3'",
    "groupBy: object.metadata.?labels.?l, groups: {values: ['9']}, expression: objects.size() > 1, messageExpression: group",
];
/// With whatever else of a policy they need.
const JOINED: &[(&str, &str)] = &[
    (
        "lookups: [{name: own, apiVersion: v1, kind: Service, nameExpression: object.metadata.name}]",
        "expression: lookups.own != null && lookups.own.spec.count > 1",
    ),
    (
        "lookups:
  - {name: next, apiVersion: v1, kind: Service, namespaceExpression: \"object.metadata.namespace == 'ns-a' ? 'ns-b' : ''\",
     namesExpression: \"[string(object.metadata.name), 'b']\"}",
        "expression: lookups.next.size() > 1",
    ),
    (
        "lookups:
  - {name: own, apiVersion: v1, kind: Service, nameExpression: object.metadata.name}
  - {name: peers, apiVersion: v1, kind: Pod, labels: {l: string(lookups.own.spec.count)}, message: too few,
     expression: lookups.peers.size() > 1}",
        "expression: 'lookups.peers.all(p, p.spec.count > 1) && lookups.peers.size() > 1'",
    ),
    (
        "lookups:
  - {name: like, apiVersion: v1, kind: Service, namespaceExpression: 'null', labelsExpression: object.metadata.labels}
  - {name: all, apiVersion: v1, kind: Service}",
        "expression: lookups.like.size() == 1, messageExpression: \"lookups.all.map(s, s.metadata.name).join(',')\"",
    ),
    (
        "lookups: [{name: none, apiVersion: v1, kind: Secret, nameExpression: object.metadata.name}]",
        "expression: has(lookups.none) && lookups.none != null",
    ),
    (
        "lookups: [{name: own, apiVersion: v1, kind: Service, nameExpression: object.metadata.name}]",
        "groupBy: lookups.own.spec.count, expression: objects.size() > 1",
    ),
    (
        "params: {apiVersion: v1, kind: Service, name: a}",
        "expression: object.spec.count >= params.spec.count",
    ),
    (
        "params: {apiVersion: v1, kind: Service, labelSelector: {matchLabels: {l: '1'}}, parameterNotFoundAction: Deny}",
        "expression: object.spec.count >= params.spec.count",
    ),
    (
        "params: {apiVersion: v1, kind: Service, labelSelector: {}, namespace: ns-b}",
        "groupBy: object.metadata.namespace, expression: objects.size() >= params.spec.count",
    ),
    (
        "params: {apiVersion: v1, kind: Service, name: b, namespace: ns-a, parameterNotFoundAction: Deny}",
        "groupBy: object.metadata.name, expression: 'objects.all(o, o.spec.count >= params.spec.count)'",
    ),
];

/// A rule, and what it needs of the policy.
fn rule(n: usize) -> (&'static str, &'static str) {
    match RULES.get(n) {
        Some(rule) => ("", rule),
        None => JOINED[n - RULES.len()],
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn check_and_the_engine_agree(
        chosen in prop::collection::vec((0..SELECTIONS.len(), 0..RULES.len() + JOINED.len()), 1..4),
        pods in prop::collection::btree_map(("ns-[ab]", "[abc]"), (0..3u8, 0..3u8), 0..6),
        services in prop::collection::btree_map(("ns-[ab]", "[abc]"), (0..3u8, 0..3u8), 0..6),
        tier in "front|back",
        order in Just([0, 1, 2, 3]).prop_shuffle(),
    ) {
        let text: String = chosen
            .iter()
            .enumerate()
            .map(|(n, (selection, chosen))| policy(&format!("p{n}"), SELECTIONS[*selection], rule(*chosen)))
            .collect();
        let objects = |kind: &str, of: &BTreeMap<(String, String), (u8, u8)>| -> Vec<String> {
            of.iter()
                .map(|((namespace, name), (label, n))| {
                    // Without a count the rule fails.
                    let spec = if *n == 0 { String::new() } else { format!("count: {n}") };
                    format!("{{apiVersion: v1, kind: {kind}, metadata: {{namespace: {namespace}, name: {name}, labels: {{l: '{label}'}}}}, spec: {{{spec}}}}}")
                })
                .collect()
        };
        let (pods, services) = (objects("Pod", &pods), objects("Service", &services));
        let namespace = |name: &str, labels: &str| {
            format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}, labels: {{kubernetes.io/metadata.name: {name}{labels}}}}}}}")
        };
        let namespaces = [namespace("ns-a", &format!(", tier: {tier}")), namespace("ns-b", "")];

        let compiled = policies::read(&[source("p", text.clone())]).expect("policies");
        let all = [&namespaces[..], &pods[..], &services[..]].concat().join("\n---\n");
        let manifests = manifests::read(&[source("m", all)], "default").expect("manifests");
        let report = check(&compiled, &manifests, jiff::Timestamp::UNIX_EPOCH);
        let open: BTreeSet<String> = report
            .entries
            .iter()
            .filter_map(|entry| match &entry.said {
                Said::Violation(message) => {
                    Some(format!("{}/{} medium {}: {message}", entry.policy, entry.rule, entry.object))
                }
                _ => None,
            })
            .collect();
        let errors = report.count(|said| matches!(said, Said::Error(_)));

        let list = |kind: &str, objects: &[String]| {
            let objects = objects.join(", ");
            format!("- {{step: {kind}, list: v1 {kind}, objects: [{objects}]}}\n")
        };
        let lists = [list("Namespace", &namespaces), list("Pod", &pods), list("Service", &services), list("Secret", &[])];
        let lists = order.map(|n: usize| lists[n].clone());
        let story = Story {
            policy: source("p", text),
            events: source("e", lists.concat()),
            expected: source("x", "open at the end: []".to_owned()),
        };
        let actual = play(&story).expect("a story").actual;
        let actual: serde_json::Value = polywatch::yaml::from_str(&actual).expect("YAML");
        let lines = |value: &serde_json::Value| -> BTreeSet<String> {
            value.as_array().into_iter().flatten().filter_map(|v| v.as_str()).map(str::to_owned).collect()
        };
        prop_assert_eq!(lines(&actual["open at the end"]), open);
        let counted = actual["errors at the end"].as_object().into_iter().flatten();
        prop_assert_eq!(counted.map(|(_, n)| n.as_u64().unwrap_or_default() as usize).sum::<usize>(), errors);
    }
}
