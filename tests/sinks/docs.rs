//! That `docs/alerts.md` is true: its manifests compile, its commands run, its tables name what there is.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use polywatch::api::AlertSink;
use polywatch::core::alert::Notice;
use polywatch::offline::input::Source;
use polywatch::offline::policies;
use polywatch::sinks::text::Template;
use polywatch::sinks::webhook::{Webhook, WebhookConfig};
use polywatch::sinks::{SecretKey, Secrets, Sink};
use polywatch::yaml;
use serde_json::{Value, json};

use crate::delivery::{log_sink, ready, sink_when};
use crate::support::{condition, program, start_with_operator};

const PAGE: &str = include_str!("../../docs/alerts.md");

/// The blocks of a language.
fn blocks(language: &str) -> Vec<&'static str> {
    let begin = format!("```{language}\n");
    PAGE.split(begin.as_str()).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

fn documents(text: &str) -> Vec<Value> {
    let documents = yaml::read(text).unwrap_or_else(|e| panic!("{e} in {text}"));
    documents.iter().map(|document| document.tree.to_json()).collect()
}

fn compiles(policy: &Value) {
    let source = Source { file: "docs.json".into(), text: policy.to_string() };
    let said = policies::read(&[source]).err().unwrap_or_default();
    assert!(said.is_empty(), "{policy}: {said:?}");
}

#[test]
fn its_manifests_compile() {
    let yaml = blocks("yaml");
    assert_eq!(yaml.len(), 4, "sink and policy, Splunk, mute, rules for Prometheus");
    let splunk: AlertSink = serde_json::from_value(documents(yaml[1])[0].clone()).expect("an AlertSink");
    splunk.spec.destination().unwrap_or_else(|problems| panic!("{problems:?}"));
    let mut policy = Value::Null;
    for document in documents(yaml[0]) {
        match document["kind"].as_str() {
            Some("AlertSink") => {
                let sink: AlertSink = serde_json::from_value(document).expect("an AlertSink");
                sink.spec.destination().unwrap_or_else(|problems| panic!("{problems:?}"));
            }
            Some("MonitorPolicy") => {
                compiles(&document);
                policy = document;
            }
            other => assert_eq!(other, Some("Secret")),
        }
    }
    policy["spec"]["notify"] = documents(yaml[2])[0]["notify"].clone();
    assert_eq!(policy["spec"]["notify"][0]["mute"].as_array().map(Vec::len), Some(2));
    compiles(&policy);
}

#[test]
fn prometheus_takes_its_rules_and_their_metrics_exist() {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("docs-alert-rules.yaml");
    std::fs::write(&path, blocks("yaml")[3]).expect("a file");
    let output = Command::new(program("promtool")).args(["check", "rules"]).arg(&path).output();
    let output = output.expect("promtool runs");
    assert!(output.status.success(), "{output:?}");

    let source = include_str!("../../src/metrics.rs");
    let words = PAGE.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let named: BTreeSet<&str> = words.filter_map(|word| word.strip_prefix("polywatch_")).collect();
    // Labels that alerts have.
    let labels = ["id", "test"];
    for name in named.iter().filter(|name| !labels.contains(*name)) {
        let name = name.trim_end_matches("_total");
        assert!(source.contains(&format!("\"{name}\"")), "there is no metric polywatch_{name}");
    }
    let registered = source.split('"').filter(|text| text.starts_with("sink_"));
    for name in registered.filter(|name| !["sink_watch", "sink_memory"].contains(name)) {
        assert!(
            named.iter().any(|named| named.trim_end_matches("_total") == name),
            "polywatch_{name} is missing"
        );
    }
}

#[test]
fn its_tables_name_every_field_reason_and_filter() {
    let named = |name: &str| ["`", ".", " "].iter().any(|before| PAGE.contains(&format!("{before}{name}`")));
    // Lines such as `pub valid_until: Timestamp,` and variants such as `MoreOpened,`.
    let source = include_str!("../../src/core/alert/notice.rs");
    let fields = source.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(": "));
    let mut seen = 0;
    for (field, _) in fields.filter(|(field, _)| field.chars().all(|c| c.is_lowercase() || c == '_')) {
        let mut parts = field.split('_');
        let mut name = parts.next().unwrap_or_default().to_owned();
        parts.for_each(|part| name.push_str(&(part[..1].to_uppercase() + &part[1..])));
        assert!(named(&name), "the field {name} of a notice is not in the page");
        seen += 1;
    }
    assert!(seen > 40, "only {seen} fields were found");
    let reasons = source.lines().filter_map(|line| line.trim().strip_prefix("Self::")?.split_once(" => \""));
    let reasons: Vec<&str> = reasons.map(|(reason, _)| reason).collect();
    assert_eq!(reasons.len(), 9);
    let routes = include_str!("../../src/api/notify.rs").split("/// By what findings are grouped.").next();
    let routes = routes.unwrap_or_default().lines().filter_map(|line| line.trim().strip_prefix("pub "));
    let routes = routes.filter_map(|line| line.split_once(": ")).map(|(field, _)| field.replace('_', ""));
    let routes: Vec<String> = routes.filter(|field| !field.starts_with("const ")).collect();
    assert!(routes.len() > 10, "{routes:?}");
    let lower = PAGE.to_lowercase();
    for field in routes {
        assert!(lower.contains(&format!("`{field}`")), "spec.notify[].{field} is not in the page");
    }
    let filters = include_str!("../../src/sinks/text/filters.rs").split("= [").nth(1).unwrap_or_default();
    let filters = filters.split(']').next().unwrap_or_default().split('"').skip(1).step_by(2);
    let filters: Vec<&str> = filters.collect();
    assert!(filters.len() > 40, "{filters:?}");
    for name in filters.iter().chain(&reasons) {
        assert!(named(name) || PAGE.contains(&format!("`{name}(")), "{name} is not in the page");
    }
}

fn notice() -> Notice {
    let item = json!({
        "id": "00112233445566778899aabbccddeeff", "policy": "maps", "rule": "fine", "severity": "high",
        "selectedBy": "maps", "message": "it is broken", "since": "2026-05-01T10:00:00Z", "labels": {"team": "shop"},
        "object": {"apiVersion": "v1", "kind": "ConfigMap", "namespace": "default", "name": "a", "uid": "u"},
    });
    let notice = json!({
        "id": "0123456789abcdef0123456789abcdef", "reason": "Opened", "policy": "maps",
        "group": {"id": "fedcba9876543210fedcba9876543210", "by": {"rule": "fine"}}, "collapsed": false,
        "open": [item], "opened": [item], "changed": [], "resolved": [], "occurred": [],
        "totals": {"open": 1, "bySeverity": {"high": 1}, "opened": 1, "changed": 0, "resolved": 0, "occurred": 0, "unlisted": 0},
        "time": "2026-05-01T10:00:05Z", "validUntil": "2026-05-02T10:00:05Z",
    });
    serde_json::from_value(notice).expect("a notice")
}

#[test]
fn its_template_compiles_and_says_what_it_is_to_say() {
    let template = Template::new("email.text", blocks("jinja")[0]).unwrap_or_else(|e| panic!("{e}"));
    let text = template.render(&notice()).expect("a text");
    for part in ["- HIGH ConfigMap default/a: it is broken\n", "since 01.05. 12:00, team shop\n"] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    let example = include_str!("../../examples/alerts/slack-bot.yaml");
    let text = documents(example)[0]["spec"]["slack"]["text"].as_str().expect("a template").to_owned();
    let text = Template::new("slack.text", &text).unwrap_or_else(|e| panic!("{e}"));
    let said = ":red_circle: *[high] maps / fine: ConfigMap default/a: it is broken*\n\n\
                • `high` ConfigMap default/a: it is broken _(12:00)_";
    assert_eq!(text.render(&notice()).expect("a text").trim(), said);
}

/// Takes one request, answers it, and gives its header X-Polywatch-Signature and its body.
fn take_one(listener: &TcpListener) -> (String, Vec<u8>) {
    let (mut stream, _) = listener.accept().expect("a connection");
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = stream.read(&mut chunk).expect("a request");
        assert_ne!(read, 0, "the request ends early");
        bytes.extend_from_slice(&chunk[..read]);
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let header = |name: &str| {
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            lines
                .filter(|(known, _)| known.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.to_owned())
                .next()
        };
        let length: usize = header("content-length").expect("a length").parse().expect("a number");
        if bytes.len() < end + 4 + length {
            continue;
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").expect("an answer");
        return (header("x-polywatch-signature").expect("a signature"), bytes[end + 4..].to_vec());
    }
}

/// The page's way to check a signature, with Python; what it says of a key, a header and a body.
fn python_says(key: &str, header: &str, body: &[u8], oldest: i64) -> Option<String> {
    let program = format!(
        "{}\nimport sys\nprint(is_from_polywatch(sys.argv[1].encode(), sys.argv[2], sys.stdin.buffer.read(), \
         int(sys.argv[3])))",
        blocks("python")[0]
    );
    let mut command = Command::new("python3");
    command.args(["-c", &program, key, header, &oldest.to_string()]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
    child.stdin.take().expect("a pipe").write_all(body).expect("the body is read");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[tokio::test]
async fn its_way_to_check_a_signature_takes_what_polywatch_sends_and_nothing_else() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let taken = tokio::task::spawn_blocking(move || take_one(&listener));
    let key = SecretKey { name: "webhook".to_owned(), key: "signing-key".to_owned() };
    let config: WebhookConfig =
        serde_json::from_value(json!({"url": url, "signingKey": key})).expect("a config");
    let sink = Webhook::new(&config).expect("a sink");
    let secrets = Secrets::new([(key, b"s3cr3t\n".to_vec())].into());
    sink.send(&notice(), &secrets).await.expect("it is taken");
    let (header, body) = taken.await.expect("no panic");

    let Some(said) = python_says("s3cr3t", &header, &body, 300) else {
        eprintln!("there is no python3 on this machine: the snippet of docs/alerts.md was not run");
        return;
    };
    assert_eq!(said, "True", "{header}");
    let other_body = [&body[..], b" "].concat();
    let other_time = header.replacen("t=", "t=1", 1);
    for (what, said) in [
        ("another key", python_says("s3cr3t\n", &header, &body, 300)),
        ("another body", python_says("s3cr3t", &header, &other_body, 300)),
        ("another time", python_says("s3cr3t", &other_time, &body, i64::MAX)),
        ("too old", python_says("s3cr3t", &header, &body, -1)),
        ("no signature", python_says("s3cr3t", "", &body, 300)),
        ("no header at all of this form", python_says("s3cr3t", "v1=ü,t=soon", &body, 300)),
    ] {
        assert_eq!(said.as_deref(), Some("False"), "{what}");
    }
}

#[tokio::test]
async fn its_commands_run() {
    let (cluster, _operator) = start_with_operator().await;
    // The sink of the page is at Slack, which a test leaves alone.
    let path = cluster.dir().state().join("alerts.jsonl");
    cluster.apply_yaml(&log_sink("on-call", &path)).await;
    let policy = documents(blocks("yaml")[0]).into_iter().find(|one| one["kind"] == "MonitorPolicy");
    cluster.apply_yaml(&policy.expect("a policy").to_string()).await;
    cluster.put_map("broken", "broken").await;
    cluster.open("maps", 1).await;
    sink_when(&cluster, "on-call", "it is Ready", |status| ready(status).0 == "True").await;
    let mut seen = 0;
    for command in blocks("sh").into_iter().flat_map(str::lines) {
        let command = command.split(" # ").next().unwrap_or_default().trim();
        let mut words = shell_words(command);
        let program = words.remove(0);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match program.as_str() {
            "kubectl" => drop(cluster.kubectl(&words).await),
            "polywatch" => {
                let mut run = Command::new(env!("CARGO_BIN_EXE_polywatch"));
                run.args(&words).env("KUBECONFIG", cluster.admin_kubeconfig());
                let output = tokio::task::spawn_blocking(move || run.output()).await.expect("no panic");
                assert!(output.as_ref().is_ok_and(|output| output.status.success()), "{command}: {output:?}");
            }
            other => panic!("{other} is neither kubectl nor polywatch"),
        }
        seen += 1;
        if command.contains("silence-until=") {
            let silenced = |status: &polywatch::api::MonitorPolicyStatus| status.notify[0].silenced == 1;
            let status = cluster.status_when("maps", "it is silenced", silenced).await;
            assert_eq!(condition(&status, "Notifying").0, "True");
        }
    }
    assert!(seen >= 10, "only {seen} commands were found");
}

/// A line in words, as a shell takes it apart, without expansion.
fn shell_words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quoted) = (String::new(), false);
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(std::mem::take(&mut word)),
            c => word.push(c),
        }
    }
    words.push(word);
    words.into_iter().filter(|word| !word.is_empty()).collect()
}
