//! `polywatch check --history`.

use crate::{Folder, polywatch};

const POLICY: &str = "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: p}
spec:
  resources:
  - {name: pods, apiVersion: v1, kind: Pod, namespaceSelector: {matchLabels: {tier: front}}}
  rules:
  - {name: r, expression: object.spec.count == 1, message: the count is not 1}
  - {name: fresh, expression: now < timestamp(object.spec.until), message: it is over}
";

const HEADER: &str = r#"{"format":"polywatch-history","version":1}"#;

fn line(time: &str, kind: &str, event: &str, rest: &str) -> String {
    let resource = format!("{}s", kind.to_lowercase());
    format!(
        r#"{{"time":"2026-01-01T{time}Z","apiVersion":"v1","kind":"{kind}","resource":"{resource}","event":"{event}"{rest}}}"#
    )
}

fn pod(time: &str, n: u8) -> String {
    let rest = format!(
        r#","object":{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"a","namespace":"shop","uid":"u"}},"spec":{{"count":{n},"until":"2026-01-01T00:30:00Z"}}}}"#
    );
    line(time, "Pod", "Seen", &rest)
}

fn namespace(time: &str, tier: &str) -> String {
    let rest = format!(
        r#","object":{{"apiVersion":"v1","kind":"Namespace","metadata":{{"name":"shop","uid":"n","labels":{{"tier":"{tier}"}}}}}}"#
    );
    line(time, "Namespace", "Seen", &rest)
}

fn replay(name: &str, lines: &[String], form: &str) -> crate::Ran {
    let folder = Folder::new(name);
    let policy = folder.write("policy.yaml", POLICY);
    let history = folder.write("events.jsonl", lines.join("\n") + "\n");
    let mut ran = polywatch(&["check", "-f", &policy, "--history", &history, "-o", form], b"");
    ran.err = ran.err.replace(&format!("{}/", folder.path()), "");
    ran
}

fn story() -> Vec<String> {
    vec![
        HEADER.to_owned(),
        line("00:00:00", "Namespace", "Relisting", ""),
        namespace("00:00:00", "front"),
        line("00:00:01", "Namespace", "Synced", ""),
        line("00:00:01", "Pod", "Relisting", ""),
        pod("00:00:02", 2),
        line("00:00:03", "Pod", "Synced", ""),
        pod("00:10:00", 1),
        pod("00:11:00", 3),
        namespace("01:00:00", "back"),
        namespace("01:10:00", "front"),
        line("02:00:00", "Pod", "Gone", r#","namespace":"shop","name":"a""#),
    ]
}

#[test]
fn transitions_come_in_order_and_with_the_recorded_time() {
    let ran = replay("order", &story(), "json");
    assert_eq!(ran.code, 1, "{}", ran.err);
    let changes: Vec<serde_json::Value> = serde_json::from_str(&ran.out).expect("JSON");
    let text = |change: &serde_json::Value, key: &str| change[key].as_str().unwrap_or_default().to_owned();
    let lines: Vec<String> = changes
        .iter()
        .map(|c| {
            format!(
                "{} {} {} {}",
                &text(c, "time")[11..],
                text(c, "transition"),
                text(c, "rule"),
                text(c, "reason")
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            "00:00:02Z Opened r ",
            "00:10:00Z Resolved r the object is compliant again",
            "00:11:00Z Opened r ",
            // Judged again at its moment, since no event tells of time.
            "00:30:00Z Opened fresh ",
            "01:00:00Z Resolved r the policy no longer selects the object",
            "01:00:00Z Resolved fresh the policy no longer selects the object",
            "01:10:00Z Opened r ",
            "01:10:00Z Opened fresh ",
            "02:00:00Z Resolved r the object is gone",
            "02:00:00Z Resolved fresh the object is gone",
        ]
    );
    assert_eq!(
        changes[0]["resource"],
        serde_json::json!({"apiVersion": "v1", "kind": "Pod", "namespace": "shop", "name": "a"})
    );
    let table = replay("order", &story(), "table");
    assert!(table.out.contains("11 events, 10 transitions, 0 findings open at the end"), "{}", table.out);
    let yaml = replay("order", &story(), "yaml");
    assert_eq!(polywatch::yaml::from_str::<Vec<serde_json::Value>>(&yaml.out).expect("YAML"), changes);
}

#[test]
fn what_the_history_lacks_is_said() {
    let mut lines = story();
    lines.truncate(6);
    let ran = replay("lacks", &lines, "table");
    assert!(
        ran.out.contains("policy p, resource pods: the history has no complete list of it"),
        "{}",
        ran.out
    );
    assert_eq!(replay("quiet", &story()[..5], "table").code, 0);
}

#[test]
fn histories_that_are_none_are_refused_with_their_place() {
    let good = story();
    let with = |at: usize, line: &str| {
        let mut lines = good.clone();
        lines[at] = line.to_owned();
        lines
    };
    for (name, lines, told) in [
        ("empty", vec![String::new()], ": the history is empty"),
        ("manifest", vec!["apiVersion: v1".to_owned()], "events.jsonl:1:1: this is no history"),
        (
            "version",
            with(0, r#"{"format":"polywatch-history","version":2}"#),
            "the format is of version 2; this polywatch reads 1",
        ),
        ("junk", with(3, "{\"time\":"), "events.jsonl:4:"),
        ("event", with(3, &good[3].replace("Synced", "Done")), "events.jsonl:4:"),
        (
            "back",
            with(3, &good[3].replace("2026-01", "2025-01")),
            "events.jsonl:4:1: its time is before that of the line above",
        ),
        (
            "object",
            with(5, &line("00:00:02", "Pod", "Seen", r#","object":1"#)),
            "events.jsonl:6:1: a Kubernetes object must be a JSON object",
        ),
    ] {
        let ran = replay(&format!("history-{name}"), &lines, "json");
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{name}");
        assert!(ran.err.contains(told), "{name}: {told:?} is not in {}", ran.err);
    }
    assert_eq!(replay("history-junit", &good, "junit").code, 2);
}
