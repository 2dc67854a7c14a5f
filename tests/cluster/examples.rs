//! The case study in `examples/api-gateway`, run for real: what its `expected.yaml` promises, and the commands
//! of its README. And the policies of `examples/cluster-health`, as far as their stories cannot tell.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use polywatch::api::MonitorPolicy;
use polywatch::api::status::{ResourceState, ResourceStatus};
use serde::Deserialize;

use crate::support::{ControlPlane, Operator, PATIENCE, Workloads, eventually, is, start_with_operator};

const KINDS: &str = "the kinds of the example are served";

#[derive(Deserialize)]
struct Expected {
    healthy: Vec<Finding>,
    broken: Vec<Broken>,
}

/// One mistake: a file that is applied, or a Deployment that is scaled.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Broken {
    apply: Option<String>,
    scale: Option<Scale>,
    repair: Repair,
    findings: Vec<Finding>,
    #[serde(default)]
    occurrences: Vec<Finding>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scale {
    /// `NAMESPACE/NAME`.
    deployment: String,
    replicas: u32,
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
    /// The object, or else the group.
    resource: Option<Resource>,
    group: Option<String>,
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
    for (namespace, deployment) in [
        ("gateway-system", "gateway"),
        ("team-a", "checkout"),
        ("team-a", "catalog"),
        ("team-b", "assistant"),
    ] {
        let deployment = format!("deployment/{deployment}");
        example.kubectl(&["-n", namespace, "rollout", "status", &deployment]).await;
    }
    let policies = folder().join("3-policies").display().to_string();
    let policies = example.kubectl(&["kustomize", &policies]).await;
    cluster.apply_yaml(&hurried(&policies)).await;
    example.has("the healthy state", &expected.healthy).await;

    let files = std::fs::read_dir(folder().join("4-broken")).expect("4-broken is there");
    let files: BTreeSet<String> = files
        .map(|file| file.expect("a file").file_name().to_string_lossy().into_owned())
        .map(|name| format!("4-broken/{name}"))
        .collect();
    let listed: BTreeSet<String> = expected.broken.iter().filter_map(|b| b.apply.clone()).collect();
    assert_eq!(files, listed, "the files of 4-broken, and those of expected.yaml");

    for broken in &expected.broken {
        let what = example.break_it(broken).await;
        example.has(&what, &broken.findings).await;
        match (&broken.repair, &broken.apply) {
            (Repair::Delete, Some(file)) => drop(example.kubectl(&["delete", "-f", file]).await),
            (Repair::Delete, None) => panic!("{what} is nothing that can be deleted"),
            (Repair::Restore, _) => example.restore().await,
        }
        example.has(&format!("{what} is repaired"), &[]).await;
    }

    // What was open for a moment only has left an Event as well.
    let promised = expected.broken.iter().flat_map(|broken| &broken.findings);
    // Groups are no objects that an Event could be on.
    let promised = promised.filter(|finding| finding.group.is_none());
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

#[tokio::test]
async fn the_policies_on_cluster_health_fit_the_kinds_that_an_api_server_has() {
    let (cluster, _operator) = start_with_operator().await;
    let folder = folder().with_file_name("cluster-health");
    cluster.kubectl(&["apply", "-k", &folder.display().to_string()]).await;
    let secrets = folder.join("policies/missing-secrets.yaml");
    cluster.kubectl(&["apply", "-f", &secrets.display().to_string()]).await;
    let policies: Api<MonitorPolicy> = Api::all(cluster.admin().await);
    let list = policies.list(&ListParams::default()).await.expect("policies can be listed");
    let files = std::fs::read_dir(folder.join("policies")).expect("policies").count();
    assert_eq!(list.items.len(), files, "each is applied");
    for policy in list {
        let name = policy.metadata.name.unwrap_or_default();
        // Their kinds are not built in.
        let installed = !["certificates", "http-routes"].contains(&name.as_str());
        let ready = if installed { "True" } else { "False" };
        let what = format!("Ready is {ready}");
        let status = cluster.status_when(&name, &what, |status| is(status, "Ready", ready)).await;
        assert_eq!(status.warnings, [], "{name} does not fit the schemas");
        assert_eq!(status.summary.rule_errors, 0, "{name}: {:?}", status.rules);
        let absent = |resource: &ResourceStatus| resource.state == ResourceState::NotInstalled;
        assert_eq!(status.resources.iter().any(absent), !installed, "{name}: {:?}", status.resources);
    }
}

struct Example<'a>(&'a ControlPlane);

impl Example<'_> {
    /// Makes one mistake, and says which.
    async fn break_it(&self, broken: &Broken) -> String {
        match (&broken.apply, &broken.scale) {
            (Some(file), None) => {
                self.kubectl(&["apply", "-f", file]).await;
                file.clone()
            }
            (None, Some(Scale { deployment, replicas })) => {
                let (namespace, name) = deployment.split_once('/').expect("NAMESPACE/NAME");
                let replicas = format!("--replicas={replicas}");
                self.kubectl(&["-n", namespace, "scale", "deployment", name, &replicas]).await;
                format!("{deployment} with {replicas}")
            }
            _ => panic!("a mistake is either apply or scale"),
        }
    }

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
                    resource: finding.resource.map(|object| Resource {
                        kind: object.kind,
                        namespace: object.namespace,
                        name: object.name,
                    }),
                    group: finding.group,
                    message: named_by_people(&finding.message),
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
            // Others are on the policy, or on what failed in the chain of a finding.
            event.related.filter(|related| related.kind.as_deref() == Some("MonitorPolicy"))?;
            let about = event.regarding.expect("an Event is about something");
            let kind = about.kind.expect("a kind");
            let note = event.note.unwrap_or_default();
            let (message, rest) = note.rsplit_once(" (policy ").expect("the note names the policy");
            let words: Vec<&str> = rest.trim_end_matches(')').split(", ").collect();
            let [policy, rule, severity] = words[..] else {
                panic!("the note is {note}");
            };
            let rule = rule.trim_start_matches("rule ");
            let object = Resource { kind, namespace: about.namespace, name: about.name.expect("a name") };
            let starts = rule == "gateway-is-ready" && object.name != "gateway-canary";
            (!starts).then(|| Finding {
                policy: policy.to_owned(),
                rule: rule.to_owned(),
                severity: severity.to_owned(),
                resource: Some(object),
                group: None,
                message: named_by_people(message),
            })
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
                resource: Some(Resource {
                    kind: change.resource.kind,
                    namespace: change.resource.namespace,
                    name: change.resource.name,
                }),
                group: None,
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
            let shows =
                ["describe monitorpolicy gateway-routes", "describe apiroute checkout", "-n team-a events"];
            if !shows.iter().any(|end| command.ends_with(end)) {
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

/// The policies, with rules that are as patient as a test can be. What time does to them, `polywatch test` tells.
fn hurried(policies: &str) -> String {
    let lines = policies.lines().map(|line| match line.split_once("for: ") {
        Some((indent, _)) if indent.trim().is_empty() => format!("{indent}for: 2s\n"),
        _ => format!("{line}\n"),
    });
    lines.collect()
}

/// A message with `*` for what a controller made up at the end of a name.
fn named_by_people(message: &str) -> String {
    let made_up =
        |end: &str| end.len() == 5 && end.bytes().all(|byte| b"bcdfghjklmnpqrstvwxz2456789".contains(&byte));
    let word = |word: &str| {
        let name = word.trim_end_matches([':', ',', ']']);
        match name.rsplit_once('-') {
            Some((kept, end)) if made_up(end) => format!("{kept}-*{}", &word[name.len()..]),
            _ => word.to_owned(),
        }
    };
    message.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/api-gateway")
}
