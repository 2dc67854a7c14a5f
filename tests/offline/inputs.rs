//! What can be read, and what is said of what can not: always with its place, and exit code 2.

use crate::{Folder, polywatch, verdicts};

const POLICY: &str = "apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: p}
spec:
  resources:
  - {name: pods, apiVersion: v1, kind: Pod}
  rules:
  - {name: r, expression: object.spec.count == 1}
";

const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\nspec:\n  count: 1\n";

fn check(policies: &[u8], manifests: &[u8], name: &str) -> crate::Ran {
    let folder = Folder::new(name);
    let (p, m) = (folder.write("p.yaml", policies), folder.write("m.yaml", manifests));
    let mut ran = polywatch(&["check", "-o", "json", "-f", &p, "-r", &m], b"");
    ran.err = ran.err.replace(&format!("{}/", folder.path()), "");
    ran
}

#[test]
fn good_inputs_come_in_many_forms() {
    let json = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"count":1}}"#;
    let list = format!(r#"{{"apiVersion":"v1","kind":"List","items":[{json}]}}"#);
    for (name, manifests) in [
        ("plain", POD.to_owned()),
        ("bom", format!("\u{feff}{POD}")),
        ("crlf", POD.replace('\n', "\r\n")),
        ("json", json.to_owned()),
        ("tabs", json.replace(',', ",\n\t")),
        ("list", list.clone()),
        ("lists", format!(r#"{{"apiVersion":"v1","kind":"List","items":[{list}]}}"#)),
        (
            "typed-list",
            "apiVersion: v1\nkind: PodList\nitems:\n- metadata: {name: a}\n  spec: {count: 1}\n".to_owned(),
        ),
        ("empty-documents", format!("---\n---\n# nothing\n---\n{POD}---\n")),
        (
            "aliases",
            "apiVersion: v1\nkind: Pod\nmetadata: &m {name: a}\nspec: {count: 1, m: *m, o: {<<: *m, p: 1}}\n"
                .to_owned(),
        ),
        ("generated", POD.replace("name: a", "generateName: a")),
        ("twice", format!("{}---\n{POD}", POD.replace("count: 1", "count: 2"))),
    ] {
        let ran = check(POLICY.as_bytes(), manifests.as_bytes(), &format!("good-{name}"));
        assert_eq!(
            (ran.code, verdicts(&ran.out)),
            (0, vec!["Compliant p/r Pod default/a: ".to_owned()]),
            "{name}: {}",
            ran.err
        );
    }
}

#[test]
fn manifests_that_are_none_are_refused_with_their_place() {
    let deep = format!("{}1{}", "{a: ".repeat(3000), "}".repeat(3000));
    for (name, manifests, expected) in [
        ("junk", "a: [\n".as_bytes().to_vec(), "m.yaml:1:4: unclosed bracket '['"),
        ("tab", b"a:\n\t- b".to_vec(), "m.yaml:2:"),
        ("binary", b"\x00\x01\x02\xff".to_vec(), "m.yaml:1:4: the text is not UTF-8"),
        ("nul", b"a: \x00b".to_vec(), "m.yaml:1:"),
        ("utf16", b"\xff\xfea\x00".to_vec(), "m.yaml:1:1: the text is not UTF-8"),
        (
            "second",
            format!("{POD}---\nkind: Pod\n").into_bytes(),
            "m.yaml:8:1: document 2: apiVersion is missing",
        ),
        ("scalar", b"hello".to_vec(), "m.yaml:1:1: an object was expected; this is string"),
        ("list", b"- a\n".to_vec(), "an object was expected; this is array"),
        ("empty", b"".to_vec(), "m.yaml:1:1: there is no object"),
        ("comment", b"# x\n".to_vec(), "m.yaml:1:1: there is no object"),
        ("no-kind", b"apiVersion: v1\nmetadata: {name: a}\n".to_vec(), "m.yaml:1:1: kind is missing"),
        ("no-name", b"apiVersion: v1\nkind: Pod\n".to_vec(), "m.yaml:1:1: metadata.name is missing"),
        (
            "name",
            POD.replace("name: a", "name: 1").into_bytes(),
            "m.yaml:4:9: metadata.name must be a text; it is integer",
        ),
        ("kind", POD.replace("Pod", "[Pod]").into_bytes(), "m.yaml:2:7: kind must be a text; it is array"),
        (
            "label",
            POD.replace("name: a", "name: a\n  labels: {on: yes}").into_bytes(),
            "metadata.labels.true: must be a text, and is boolean",
        ),
        (
            "twice",
            POD.replace("spec:", "kind: Node\nspec:").into_bytes(),
            "m.yaml:5:1: the key \"kind\" is given twice; first in line 2",
        ),
        ("tag", POD.replace("count: 1", "count: !Ref x").into_bytes(), "!Ref"),
        (
            "unknown-alias",
            POD.replace("count: 1", "count: *x").into_bytes(),
            "m.yaml:6:10: while parsing node, found unknown anchor",
        ),
        ("deep", deep.into_bytes(), "m.yaml:1:"),
    ] {
        let ran = check(POLICY.as_bytes(), &manifests, &format!("bad-{name}"));
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{name}: {}", ran.err);
        assert!(ran.err.contains(expected), "{name}: {expected:?} is not in {}", ran.err);
        assert!(ran.err.len() < 2_000, "{name}: {} bytes", ran.err.len());
    }
}

/// As the API server with `kubectl --validate=strict`, and as the operator's Ready condition.
#[test]
fn policies_that_could_never_work_are_refused_with_their_place() {
    let with = |from: &str, to: &str| POLICY.replace(from, to);
    for (name, policy, expected) in [
        (
            "typo",
            with("expression", "expresion"),
            "p.yaml:8:15: spec.rules[0].expresion: unknown field; did you mean expression?",
        ),
        (
            "metadata",
            with("{name: p}", "{name: p, lables: {}}"),
            "p.yaml:3:21: metadata.lables: unknown field; did you mean labels?",
        ),
        (
            "boolean-name",
            with("name: r", "name: y"),
            "p.yaml:8:12: spec.rules[0].name: must be of type string, and is boolean; write it in quotes",
        ),
        ("boolean-key", with("name: r", "'name': r, no: x"), "unknown field, which is what no means in YAML"),
        (
            "severity",
            with("spec:", "spec:\n  severity: hihg"),
            "p.yaml:5:13: spec.severity: must be one of info, low, medium, high, critical, and is \"hihg\"; did you mean high?",
        ),
        ("pattern", with("name: p", "name: A_b"), "p.yaml:3:18: metadata.name: \"A_b\" does not match"),
        (
            "length",
            with("name: r", &format!("name: {}", "r".repeat(64))),
            "must have at most 63 characters, and has 64",
        ),
        (
            "empty",
            with("rules:\n  - {name: r, expression: object.spec.count == 1}", "rules: []"),
            "spec.rules: must have at least 1 entries, and has 0",
        ),
        ("required", with("name: r, ", ""), "spec.rules[0].name: is missing; it is required"),
        (
            "null",
            with("object.spec.count == 1", ""),
            "spec.rules[0]: a rule has either expression, for what must be true, or drift",
        ),
        (
            "group-and-drift",
            with("expression: object.spec.count == 1", "groupBy: object.kind, drift: {}"),
            "spec.rules[0]: groupBy belongs to expression",
        ),
        (
            "group-and-on",
            with("name: r,", "name: r, groupBy: object.kind, on: [Update],"),
            "spec.rules[0]: groupBy and on exclude each other",
        ),
        (
            "groups-alone",
            with("name: r,", "name: r, groups: {values: [a]},"),
            "spec.rules[0]: groups belongs to groupBy",
        ),
        (
            "groups-both",
            with(
                "name: r,",
                "name: r, groupBy: object.kind, groups: {values: [a], resource: pods, expression: '1'},",
            ),
            "spec.rules[0].groups: expected groups are either values, the keys themselves, or resource",
        ),
        (
            "groups-half",
            with("name: r,", "name: r, groupBy: object.kind, groups: {resource: pods},"),
            "spec.rules[0].groups: resource and expression belong together",
        ),
        (
            "groups-of-nothing",
            with("name: r,", "name: r, groupBy: object.kind, groups: {resource: pod, expression: '1'},"),
            "rules[].groups.resource must be the name of an entry in spec.resources",
        ),
        ("names-of-groups", with("name: r,", "name: r, groupBy: object.kind,"), "p.yaml:8:"),
        (
            "exclusive",
            with("kind: Pod", "kind: Pod, namespaces: [a], namespaceSelector: {}"),
            "p.yaml:6:5: spec.resources[0]: namespaces and namespaceSelector exclude each other",
        ),
        (
            "reference",
            with("name: r", "name: r, resources: [pod]"),
            "every name in rules[].resources must be the name of an entry in spec.resources",
        ),
        ("kind", with("kind: Pod}", "kind: 'Pod*'}"), "kind must be the name of one kind such as Pod"),
        (
            "taken",
            with("  rules:", "  - {name: pods, apiVersion: v1, kind: Node}\n  rules:"),
            "p.yaml:7:5: spec.resources[1]: name \"pods\" is already taken",
        ),
        (
            "selector",
            with("kind: Pod", "kind: Pod, labelSelector: {matchExpressions: [{key: a, operator: Has}]}"),
            "\"Has\" is not an operator",
        ),
        (
            "expression",
            with("object.spec.count == 1", "objct.spec.n == 1"),
            "p.yaml:8:27: spec.rules[0].expression: ",
        ),
        (
            "wait",
            with("name: r", "name: r, for: 5 minutes"),
            "p.yaml:8:20: spec.rules[0].for: for must be a time in hours, minutes and seconds, such as 30s, 5m or 1h30m",
        ),
        (
            "long-wait",
            with("name: r", "name: r, keepFor: 721h"),
            "spec.rules[0].keepFor: keepFor must be a time in",
        ),
        ("no-wait", with("name: r", "name: r, for: 0s"), "spec.rules[0].for: for must be a time in"),
        (
            "flapping",
            with("name: r", "name: r, flapping: {opens: 1, within: 10m}"),
            "spec.rules[0].flapping.opens: must be at least 2",
        ),
        (
            "wait-for-changes",
            with("name: r", "name: r, for: 5m, 'on': [Update]"),
            "spec.rules[0]: for, keepFor and flapping are about findings that stand",
        ),
        (
            "not-ours",
            POD.to_owned(),
            "p.yaml:2:7: this is a Pod of v1; a MonitorPolicy of polywatch.dev/v1alpha1 is expected here",
        ),
        ("version", with("v1alpha1", "v1"), "p.yaml:1:13: apiVersion must be polywatch.dev/v1alpha1"),
        ("twice", format!("{POLICY}---\n{POLICY}"), "p.yaml:12:18: document 2: the policy p is already in"),
    ] {
        let ran = check(policy.as_bytes(), POD.as_bytes(), &format!("policy-{name}"));
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{name}: {}", ran.err);
        assert!(ran.err.contains(expected), "{name}: {expected:?} is not in {}", ran.err);
    }
}

#[test]
fn folders_are_read_whole_and_in_order() {
    let folder = Folder::new("folders");
    let policy = folder.write("policies/p.yml", POLICY);
    folder.write("policies/kustomization.yaml", "resources: [p.yml]");
    folder.write("manifests/b/z.yaml", POD.replace("name: a", "name: z"));
    folder.write(
        "manifests/a.json",
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"j"},"spec":{"count":1}}"#,
    );
    folder.write("manifests/.hidden.yaml", "junk: [");
    folder.write("manifests/.git/x.yaml", "junk: [");
    folder.write("manifests/README.md", "junk: [");
    let (policies, manifests) = (folder.path() + "/policies", folder.path() + "/manifests");
    let ran = polywatch(&["check", "-f", &policies, "-r", &manifests, "-o", "json"], b"");
    assert_eq!(
        verdicts(&ran.out),
        ["Compliant p/r Pod default/j: ", "Compliant p/r Pod default/z: "],
        "{}",
        ran.err
    );

    folder.write("empty/README.md", "");
    for (arguments, expected) in [
        (vec!["-f", &policy, "-r", "nowhere.yaml"], "nowhere.yaml: can not be read: No such file"),
        (
            vec!["-f", &policy, "-r", &(folder.path() + "/empty")],
            "there is no .yaml, .yml or .json file in this folder",
        ),
        (vec!["-f", "-", "-r", "-"], "standard input (-) can be read for one option only"),
        (vec!["-f", "-", "-r", &manifests], "standard input:1:1: there is no MonitorPolicy"),
    ] {
        let ran = polywatch(&[&["check"], arguments.as_slice()].concat(), b"");
        assert_eq!(ran.code, 2);
        assert!(ran.err.contains(expected), "{expected:?} is not in {}", ran.err);
    }
}

#[test]
fn many_objects_are_judged_in_reasonable_memory_and_bombs_are_not_expanded() {
    let many: String =
        (0..5_000).map(|n| format!("---\n{}", POD.replace("name: a", &format!("name: a{n}")))).collect();
    let ran = check(POLICY.as_bytes(), many.as_bytes(), "many");
    assert_eq!((ran.code, verdicts(&ran.out).len()), (0, 5_000), "{}", ran.err);

    let mut bomb = "apiVersion: v1\nkind: Pod\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let list = vec![format!("*a{}", n - 1); 10].join(", ");
        bomb.push_str(&format!("a{n}: &a{n} [{list}]\n"));
    }
    let ran = check(POLICY.as_bytes(), bomb.as_bytes(), "bomb");
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("values, aliases replaced"), "{}", ran.err);
}
