//! The case study in `examples/api-gateway`, run for real: what its `expected.yaml` promises, and the commands
//! of its README.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use polywatch::api::MonitorPolicy;
use serde::Deserialize;

use crate::support::{ControlPlane, Operator, PATIENCE, Workloads, eventually, is};

const KINDS: &str = "the kinds of the example are served";

#[derive(Deserialize)]
struct Expected {
    healthy: Vec<Finding>,
    broken: Vec<Broken>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Broken {
    apply: String,
    repair: Repair,
    findings: Vec<Finding>,
    #[serde(default)]
    occurrences: Vec<Finding>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Repair {
    Restore,
    Delete,
}

#[derive(Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(deny_unknown_fields)]
struct Finding {
    policy: String,
    rule: String,
    severity: String,
    resource: Resource,
    message: String,
}

#[derive(Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(deny_unknown_fields)]
struct Resource {
    kind: String,
    namespace: Option<String>,
    name: String,
}

#[tokio::test]
async fn the_gateway_example_has_exactly_the_findings_that_it_promises() {
    let cluster = ControlPlane::start().await;
    let _workloads = Workloads::start(&cluster).await;
    cluster.install_crds().await;
    let mut operator = Operator::start(&cluster, &cluster.admin_kubeconfig());
    operator.wait_ready().await;
    let example = Example(&cluster);
    let text = std::fs::read_to_string(folder().join("expected.yaml")).expect("expected.yaml is there");
    let expected: Expected = polywatch::yaml::from_str(&text).expect("expected.yaml says what is expected");

    example.kubectl(&["apply", "-k", "1-crds"]).await;
    example.restore().await;
    let arguments = ["-n", "gateway-system", "rollout", "status", "deployment/gateway"];
    example.kubectl(&arguments).await;
    example.kubectl(&["apply", "-k", "3-policies"]).await;
    example.has("the healthy state", &expected.healthy).await;

    let files = std::fs::read_dir(folder().join("4-broken")).expect("4-broken is there");
    let files: BTreeSet<String> = files
        .map(|file| file.expect("a file").file_name().to_string_lossy().into_owned())
        .map(|name| format!("4-broken/{name}"))
        .collect();
    let listed: BTreeSet<String> = expected.broken.iter().map(|b| b.apply.clone()).collect();
    assert_eq!(files, listed, "the files of 4-broken, and those of expected.yaml");

    for broken in &expected.broken {
        example.kubectl(&["apply", "-f", &broken.apply]).await;
        example.has(&broken.apply, &broken.findings).await;
        match broken.repair {
            Repair::Restore => example.restore().await,
            Repair::Delete => {
                example.kubectl(&["delete", "-f", &broken.apply]).await;
            }
        }
        example.has(&format!("{} is repaired", broken.apply), &[]).await;
    }

    // What was open for a moment only has left an Event as well.
    let promised = expected.broken.iter().flat_map(|broken| &broken.findings);
    assert_eq!(
        example.ever_opened().await,
        promised.cloned().collect::<BTreeSet<_>>(),
        "the findings that ever opened, and those of expected.yaml"
    );

    let promised = expected.broken.iter().flat_map(|broken| &broken.occurrences);
    assert_eq!(
        example.ever_occurred().await,
        promised.cloned().collect::<BTreeSet<_>>(),
        "the changes that occurred, and those of expected.yaml"
    );

    example.follow_the_readme().await;
}

struct Example<'a>(&'a ControlPlane);

impl Example<'_> {
    async fn kubectl(&self, arguments: &[&str]) -> String {
        let root = folder();
        let mut arguments: Vec<String> = arguments.iter().map(|&a| a.to_owned()).collect();
        for n in 1..arguments.len() {
            if matches!(arguments[n - 1].as_str(), "-k" | "-f") {
                arguments[n] = root.join(&arguments[n]).display().to_string();
            }
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.0.kubectl(&arguments).await
    }

    /// The healthy state. A kind that was installed a moment ago may not be served yet.
    async fn restore(&self) {
        let healthy = folder().join("2-healthy").display().to_string();
        eventually(KINDS, PATIENCE, async || {
            self.0.try_kubectl(&["apply", "-k", &healthy]).await.map(|_| ())
        })
        .await;
    }

    /// Waits until exactly these findings are open, all policies are Ready, and those without findings are
    /// Compliant.
    async fn has(&self, what: &str, expected: &[Finding]) {
        let expected: BTreeSet<Finding> = expected.iter().cloned().collect();
        let policies: Api<MonitorPolicy> = Api::all(self.0.admin().await);
        let what = format!("{what}: every finding that is expected is open, and no other");
        eventually(&what, PATIENCE, async || {
            let mut open = BTreeSet::new();
            let list = policies.list(&ListParams::default()).await;
            for policy in list.map_err(|e| e.to_string())? {
                let name = policy.metadata.name.unwrap_or_default();
                let status = policy.status.unwrap_or_default();
                let compliant = if status.findings.is_empty() { "True" } else { "False" };
                if !is(&status, "Ready", "True") || !is(&status, "Compliant", compliant) {
                    return Err(format!("{name} has {:?}", status.conditions));
                }
                assert_eq!(status.summary.rule_errors, 0, "{name}: {:?}", status.rules);
                assert_eq!(status.warnings, [], "{name} does not fit the schemas");
                assert_eq!(status.findings_omitted, 0, "{name} has more than its status lists");
                open.extend(status.findings.into_iter().map(|finding| Finding {
                    policy: name.clone(),
                    rule: finding.rule,
                    severity: format!("{:?}", finding.severity).to_lowercase(),
                    resource: match (finding.resource, finding.group) {
                        (Some(object), _) => {
                            Resource { kind: object.kind, namespace: object.namespace, name: object.name }
                        }
                        (None, group) => Resource {
                            kind: "Group".to_owned(),
                            namespace: None,
                            name: group.unwrap_or_default(),
                        },
                    },
                    message: finding.message,
                }));
            }
            if open == expected {
                return Ok(());
            }
            let missing: Vec<_> = expected.difference(&open).collect();
            let besides: Vec<_> = open.difference(&expected).collect();
            Err(format!("missing: {missing:#?}, not expected: {besides:#?}"))
        })
        .await;
    }

    /// The findings that Events on objects tell of, without gateway Pods that start: each of them is a finding
    /// until it is Ready, as its policy says.
    async fn ever_opened(&self) -> BTreeSet<Finding> {
        let events: Api<Event> = Api::all(self.0.admin().await);
        let params = ListParams::default().fields("reason=FindingOpened");
        let events = events.list(&params).await.expect("Events can be listed");
        let told = events.into_iter().filter_map(|event| {
            let about = event.regarding.expect("an Event is about something");
            let kind = about.kind.expect("a kind");
            if kind == "MonitorPolicy" {
                return None;
            }
            let note = event.note.unwrap_or_default();
            let (message, rest) = note.rsplit_once(" (policy ").expect("the note names the policy");
            let words: Vec<&str> = rest.trim_end_matches(')').split(", ").collect();
            let [policy, rule, severity] = words[..] else {
                panic!("the note is {note}");
            };
            let finding = Finding {
                policy: policy.to_owned(),
                rule: rule.trim_start_matches("rule ").to_owned(),
                severity: severity.to_owned(),
                resource: Resource { kind, namespace: about.namespace, name: about.name.expect("a name") },
                message: message.to_owned(),
            };
            let starts = finding.rule == "gateway-is-ready" && finding.resource.name != "gateway-canary";
            (!starts).then_some(finding)
        });
        told.collect()
    }

    /// The changes that the policies list.
    async fn ever_occurred(&self) -> BTreeSet<Finding> {
        let policies: Api<MonitorPolicy> = Api::all(self.0.admin().await);
        let list = policies.list(&ListParams::default()).await.expect("policies can be listed");
        let mut occurred = BTreeSet::new();
        for policy in list {
            let name = policy.metadata.name.unwrap_or_default();
            let status = policy.status.unwrap_or_default();
            let listed = status.occurrences.len();
            assert_eq!(status.summary.occurrences, listed as i64, "{name} lists each once");
            occurred.extend(status.occurrences.into_iter().map(|change| Finding {
                policy: name.clone(),
                rule: change.rule,
                severity: format!("{:?}", change.severity).to_lowercase(),
                resource: Resource {
                    kind: change.resource.kind,
                    namespace: change.resource.namespace,
                    name: change.resource.name,
                },
                message: change.message,
            }));
        }
        occurred
    }

    /// Runs the `kubectl` lines of the README's `sh` blocks, in order: none of them may fail, and those of which
    /// it says so show the finding that it quotes.
    async fn follow_the_readme(&self) {
        let text = std::fs::read_to_string(folder().join("README.md")).expect("README.md is there");
        let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
        let commands: Vec<&str> =
            blocks.flat_map(str::lines).filter(|line| line.starts_with("kubectl ")).collect();
        assert!(commands.len() > 10, "the README has commands: {commands:?}");
        let quote = text.lines().find_map(|line| line.strip_prefix("> ")).expect("a quoted finding");
        let mut shown = 0;
        for command in commands {
            let arguments: Vec<&str> = command.split_whitespace().skip(1).collect();
            if !command.contains("describe monitorpolicy gateway-routes") && !command.contains("-n team-a") {
                self.kubectl(&arguments).await;
                continue;
            }
            shown += 1;
            eventually(&format!("{command:?} shows {quote:?}"), PATIENCE, async || {
                let output = self.kubectl(&arguments).await;
                if output.contains(quote) { Ok(()) } else { Err(output) }
            })
            .await;
        }
        assert_eq!(shown, 3, "the README shows the finding in three ways");
        let left: Api<MonitorPolicy> = Api::all(self.0.admin().await);
        let left = left.list(&ListParams::default()).await.expect("policies can be listed");
        assert!(left.items.is_empty(), "the README leaves {:?}", left.items);
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/api-gateway")
}
