//! Whatever the policies and objects: what `check` says of manifests is what is open when the same objects are listed
//! to the operator's engine, in any order.

use std::collections::BTreeSet;

use polywatch::offline::check::{Said, check};
use polywatch::offline::input::Source;
use polywatch::offline::scenario::{Story, play};
use polywatch::offline::{manifests, policies};
use proptest::prelude::*;

fn source(file: &str, text: String) -> Source {
    Source { file: file.into(), text }
}

fn policy(name: &str, selection: &str, rule: &str) -> String {
    format!(
        "---
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {{name: {name}}}
spec:
  resources: [{{name: all, apiVersion: v1, kind: Pod{selection}}}]
  matchConditions: [{{name: known, expression: \"object.metadata.name != 'c'\"}}]
  rules: [{{name: r, expression: \"{rule}\"}}]
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
    "object.spec.count == 1",
    "has(namespaceObject.metadata.labels.tier)",
    "request.namespace == 'ns-a'",
    "false",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn check_and_the_engine_agree(
        chosen in prop::collection::vec((0..SELECTIONS.len(), 0..RULES.len()), 1..4),
        pods in prop::collection::btree_map(("ns-[ab]", "[abc]"), (0..3u8, 0..3u8), 0..6),
        tier in "front|back",
        namespaces_first: bool,
    ) {
        let text: String = chosen
            .iter()
            .enumerate()
            .map(|(n, (selection, rule))| policy(&format!("p{n}"), SELECTIONS[*selection], RULES[*rule]))
            .collect();
        let pods: Vec<String> = pods
            .iter()
            .map(|((namespace, name), (label, n))| {
                // Without a count the rule fails.
                let spec = if *n == 0 { String::new() } else { format!("count: {n}") };
                format!("{{apiVersion: v1, kind: Pod, metadata: {{namespace: {namespace}, name: {name}, labels: {{l: '{label}'}}}}, spec: {{{spec}}}}}")
            })
            .collect();
        let namespace = |name: &str, labels: &str| {
            format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}, labels: {{kubernetes.io/metadata.name: {name}{labels}}}}}}}")
        };
        let namespaces = [namespace("ns-a", &format!(", tier: {tier}")), namespace("ns-b", "")];

        let compiled = policies::read(&[source("p", text.clone())]).expect("policies");
        let all = [&namespaces[..], &pods[..]].concat().join("\n---\n");
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
        let mut lists = [list("Namespace", &namespaces), list("Pod", &pods)];
        if !namespaces_first {
            lists.reverse();
        }
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
