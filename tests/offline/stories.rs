//! `polywatch test`.

use crate::{Folder, polywatch};

const POLICY: &str = "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: p}
spec:
  resources:
  - {name: pods, apiVersion: v1, kind: Pod, namespaces: [shop], labelSelector: {matchLabels: {tier: front}}}
  rules:
  - {name: r, expression: object.spec.count == 1, message: the count is not 1}
";

const EVENTS: &str = "
- step: two pods are listed
  list: v1 Pod
  objects:
  - {apiVersion: v1, kind: Pod, metadata: {namespace: shop, name: a, labels: {tier: front}}, spec: {count: 2}}
  - {apiVersion: v1, kind: Pod, metadata: {namespace: bank, name: b, labels: {tier: front}}, spec: {count: 2}}
- step: the first loses its label
  seen: {apiVersion: v1, kind: Pod, metadata: {namespace: shop, name: a}, spec: {count: 2}}
- step: and gets it back
  seen: {apiVersion: v1, kind: Pod, metadata: {namespace: shop, name: a, labels: {tier: front}}, spec: {count: 2}}
";

const EXPECTED: &str = "
two pods are listed:
- 'opened p/r medium Pod shop/a: the count is not 1'
the first loses its label:
- 'resolved p/r medium Pod shop/a: the object is gone'
and gets it back:
- 'opened p/r medium Pod shop/a: the count is not 1'
open at the end:
- 'p/r medium Pod shop/a: the count is not 1'
";

fn story(folder: &Folder, name: &str, events: &str, expected: &str) {
    folder.write(&format!("{name}/policy.yaml"), POLICY);
    folder.write(&format!("{name}/events.yaml"), events);
    folder.write(&format!("{name}/expected.yaml"), expected);
}

/// The API server tells those who watch what matches that an object is gone when it no longer does.
#[test]
fn selections_of_the_api_server_are_part_of_a_story() {
    let folder = Folder::new("story");
    story(&folder, "a", EVENTS, EXPECTED);
    let ran = polywatch(&["test", &folder.path()], b"");
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("1 passed, 0 failed"), "{}", ran.out);
}

#[test]
fn what_differs_is_shown_line_by_line_and_can_be_written() {
    let folder = Folder::new("differs");
    story(&folder, "good", EVENTS, EXPECTED);
    story(
        &folder,
        "sub/bad",
        EVENTS,
        "two pods are listed: ['opened p/r medium Pod shop/b: the count is not 1']\nopen at the end: []\n",
    );
    let ran = polywatch(&["test", &folder.path()], b"");
    assert_eq!(ran.code, 1, "{}", ran.err);
    for line in [
        "FAILED ",
        "two pods are listed:",
        "  - opened p/r medium Pod shop/b: the count is not 1",
        "  + opened p/r medium Pod shop/a: the count is not 1",
        "open at the end:",
        "1 passed, 1 failed, 0 can not be played",
    ] {
        assert!(ran.out.contains(line), "{line:?} is not in {}", ran.out);
    }
    let junit = polywatch(&["test", "-o", "junit", &folder.path()], b"");
    let report = quick_junit::Report::deserialize_from_str(&junit.out).expect("JUnit");
    assert_eq!((junit.code, report.tests, report.failures, report.errors), (1, 2, 1, 0));

    assert_eq!(polywatch(&["test", "--update", &folder.path()], b"").code, 0);
    let written = std::fs::read_to_string(folder.path() + "/sub/bad/expected.yaml").expect("written");
    assert!(
        written.contains("- p/r medium Pod shop/a: the count is not 1")
            || written.contains("p/r medium Pod shop/a"),
        "{written}"
    );
    assert_eq!(polywatch(&["test", &folder.path()], b"").code, 0);
}

#[test]
fn files_that_are_wrong_are_refused_with_their_place() {
    for (name, events, expected, told) in [
        (
            "field",
            EVENTS.replace("list:", "lists:"),
            EXPECTED.to_owned(),
            "events.yaml:3:3: [0].lists: unknown field; did you mean list?",
        ),
        (
            "two",
            EVENTS.replace("  list:", "  wait: 1s\n  list:"),
            EXPECTED.to_owned(),
            "a step has a name and one of",
        ),
        (
            "kind",
            EVENTS.replace("list: v1 Pod", "list: Pod"),
            EXPECTED.to_owned(),
            "events.yaml:3:9: a kind is written as apiVersion and kind",
        ),
        (
            "other",
            EVENTS.replace("list: v1 Pod", "list: v1 Node"),
            EXPECTED.to_owned(),
            "this is of v1 Pod, in a list of v1 Node",
        ),
        (
            "wait",
            "- {step: x, wait: soon}".to_owned(),
            "open at the end: []".to_owned(),
            "\"soon\" is no time to wait",
        ),
        (
            "withdraw",
            "- {step: x, withdraw: q}".to_owned(),
            "open at the end: []".to_owned(),
            "there is no policy q in force",
        ),
        (
            "same",
            format!("{EVENTS}- step: and gets it back\n  wait: 1s\n"),
            EXPECTED.to_owned(),
            "another step has this name",
        ),
        (
            "step",
            EVENTS.to_owned(),
            EXPECTED.replace("and gets", "and get"),
            "expected.yaml:6:1: and get it back: unknown field; did you mean and gets it back?",
        ),
        ("open", EVENTS.to_owned(), "{}".to_owned(), "open at the end: is missing"),
        (
            "lines",
            EVENTS.to_owned(),
            "open at the end: 1".to_owned(),
            "open at the end: must be of type array",
        ),
    ] {
        let folder = Folder::new(&format!("wrong-{name}"));
        story(&folder, "a", &events, &expected);
        let ran = polywatch(&["test", &folder.path()], b"");
        assert_eq!(ran.code, 2, "{name}: {}{}", ran.out, ran.err);
        assert!(ran.err.contains(told), "{name}: {told:?} is not in {}", ran.err);
    }
    let ran = polywatch(&["test", "src"], b"");
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("there is no folder with policy.yaml"), "{}", ran.err);
}

/// A selection that comes later begins with a list of what there is, as a new watch does.
#[test]
fn a_policy_that_comes_later_knows_what_was_there() {
    let folder = Folder::new("later");
    let second = POLICY.replace("name: p}", "name: later}").replace("tier: front", "tier: back");
    let second = second.trim().replace('\n', "\n    ");
    let events = EVENTS.replace("tier: front", "tier: back")
        + "- step: a policy comes\n  apply:\n    "
        + &second
        + "\n";
    let expected = "
a policy comes: ['opened later/r medium Pod shop/a: the count is not 1']
open at the end: ['later/r medium Pod shop/a: the count is not 1']
";
    story(&folder, "a", &events, expected);
    let ran = polywatch(&["test", &folder.path()], b"");
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
}
