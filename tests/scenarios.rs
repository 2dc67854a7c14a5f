//! Stories from `tests/scenarios/`: policies and events in, findings out, and nothing else. The format is
//! described there.

// A panic is how a test fails.
#![allow(clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use polywatch::api::MonitorPolicy;
use polywatch::core::engine::{Assignment, Engine, Outcome, Reader, Route};
use polywatch::core::event::{ObjectEvent, ObjectKey, WatchId};
use polywatch::core::finding::{Finding, PolicyKey, Transition};
use polywatch::core::policy::{CompiledPolicy, PolicySet};
use polywatch::core::project::{Paths, ProjectedObject, Projection};
use polywatch::policy::compile;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    step: String,
    list: Option<String>,
    #[serde(default)]
    objects: Vec<Value>,
    seen: Option<Value>,
    gone: Option<Gone>,
    apply: Option<MonitorPolicy>,
    withdraw: Option<String>,
    uninstall: Option<String>,
    restart: Option<bool>,
    wait: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Gone {
    kind: String,
    namespace: Option<String>,
    name: String,
}

#[derive(Deserialize)]
struct Expected {
    #[serde(rename = "open at the end")]
    open: BTreeSet<String>,
    #[serde(rename = "errors at the end", default)]
    errors: BTreeMap<String, usize>,
    #[serde(flatten)]
    steps: BTreeMap<String, BTreeSet<String>>,
}

const NAMESPACE: &str = "v1 Namespace";

#[derive(Default)]
struct Story {
    engine: Engine,
    policies: BTreeMap<PolicyKey, Arc<CompiledPolicy>>,
    /// One watch for each kind, as `APIVERSION KIND`.
    watches: BTreeMap<String, WatchId>,
    uninstalled: BTreeSet<String>,
    started: u64,
    policies_seen: i64,
    now: Timestamp,
}

impl Story {
    fn watch(&mut self, kind: &str) -> WatchId {
        let next = WatchId(self.started + 1);
        let id = *self.watches.entry(kind.to_owned()).or_insert(next);
        self.started = self.started.max(id.0);
        id
    }

    fn apply(&mut self, policy: &MonitorPolicy) {
        let key = PolicyKey(policy.metadata.name.clone().expect("metadata.name").into());
        for resource in &policy.spec.resources {
            let at_server = !resource.namespaces.is_empty()
                || !resource.names.is_empty()
                || resource.label_selector.is_some()
                || resource.field_selector.is_some();
            assert!(!at_server, "{key}: the API server selects by that, and there is none here");
        }
        self.policies_seen += 1;
        let uid = format!("uid of {key}").into();
        let compiled = compile(key.clone(), uid, self.policies_seen, &policy.spec);
        assert_eq!(compiled.problems, [], "{key}");
        self.policies.insert(key, Arc::new(compiled));
    }

    fn assign(&mut self) -> Outcome {
        let mut assignment =
            Assignment { policies: Arc::new(PolicySet::clone(&self.policies)), ..Assignment::default() };
        for policy in self.policies.clone().values().filter(|policy| !policy.suspended) {
            for selection in &policy.selections {
                let reader = Reader { policy: policy.key.clone(), selection: selection.name.clone() };
                let kind = selection.target.display();
                if self.uninstalled.contains(&kind) {
                    assignment.absent.insert(reader);
                    continue;
                }
                let route: &mut Route = assignment.routes.entry(self.watch(&kind)).or_default();
                route.readers.insert(reader);
            }
            if policy.needs_namespaces() {
                assignment.namespaces = Some(self.watch(NAMESPACE));
                assignment.routes.entry(self.watch(NAMESPACE)).or_default();
            }
        }
        let mut outcome = self.engine.assign(assignment, self.now);
        outcome.extend(self.work());
        outcome
    }

    fn work(&mut self) -> Outcome {
        let mut outcome = Outcome::new();
        while self.engine.has_work() {
            outcome.extend(self.engine.work(8, self.now));
        }
        outcome
    }

    fn event(&mut self, kind: &str, event: ObjectEvent) -> Outcome {
        let watch = self.watch(kind);
        let mut outcome = self.engine.step(watch, event, self.now);
        outcome.extend(self.work());
        outcome
    }

    fn take(&mut self, step: Step) -> Outcome {
        let mut outcome = Outcome::new();
        if let Some(kind) = step.list {
            if self.uninstalled.remove(&kind) {
                outcome.extend(self.assign());
            }
            outcome.extend(self.event(&kind, ObjectEvent::Relisting));
            for object in &step.objects {
                assert_eq!(kind_of(object), kind);
                outcome.extend(self.event(&kind, ObjectEvent::Seen(projected(object))));
            }
            outcome.extend(self.event(&kind, ObjectEvent::Synced));
        }
        if let Some(object) = step.seen {
            outcome.extend(self.event(&kind_of(&object), ObjectEvent::Seen(projected(&object))));
        }
        if let Some(gone) = step.gone {
            let key = ObjectKey { namespace: gone.namespace.map(Into::into), name: gone.name.into() };
            outcome.extend(self.event(&gone.kind, ObjectEvent::Gone(key)));
        }
        if let Some(policy) = step.apply {
            self.apply(&policy);
            outcome.extend(self.assign());
        }
        if let Some(name) = step.withdraw {
            self.policies.remove(&PolicyKey(name.as_str().into())).expect("a policy of that name");
            outcome.extend(self.assign());
        }
        if let Some(kind) = step.uninstall {
            self.watches.remove(&kind).expect("a kind that is watched");
            self.uninstalled.insert(kind);
            outcome.extend(self.assign());
        }
        if step.restart == Some(true) {
            let before = std::mem::take(&mut self.engine);
            self.watches.clear();
            for (key, policy) in &self.policies {
                let open = before.open(key).iter().map(|finding| (**finding).clone()).collect();
                self.engine.restore(key.clone(), policy.uid.clone(), open);
            }
            outcome.extend(self.assign());
        }
        if let Some(wait) = step.wait {
            let wait: SignedDuration = wait.parse().expect("a duration");
            self.now += wait;
            self.engine.tick(self.now);
            outcome.extend(self.work());
        }
        outcome
    }
}

fn kind_of(object: &Value) -> String {
    let text = |key: &str| object[key].as_str().expect("apiVersion and kind").to_owned();
    format!("{} {}", text("apiVersion"), text("kind"))
}

fn projected(object: &Value) -> Arc<ProjectedObject> {
    let kind = kind_of(object);
    let (api_version, kind) = kind.split_once(' ').expect("two words");
    let projection = Projection::new(Paths::whole(), api_version, kind);
    projection.keep_managed_fields();
    Arc::new(projection.decode(object).expect("an object"))
}

fn line(policy: &PolicyKey, finding: &Finding, end: &str) -> String {
    let severity = finding.severity.as_str();
    format!("{policy}/{} {severity} {}: {end}", finding.key.rule, finding.object)
}

fn lines(outcome: &Outcome) -> Vec<String> {
    let in_words = |(policy, transition): &(PolicyKey, Transition)| {
        let finding = transition.finding();
        match transition {
            Transition::Opened(_) => format!("opened {}", line(policy, finding, &finding.message)),
            Transition::Changed(_) => format!("changed {}", line(policy, finding, &finding.message)),
            Transition::Occurred(_) => format!("occurred {}", line(policy, finding, &finding.message)),
            Transition::Resolved(_, why) => format!("resolved {}", line(policy, finding, why.as_str())),
        }
    };
    outcome.iter().map(in_words).collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Plays one story and returns what is not as it is told.
fn play(folder: &Path) -> Vec<String> {
    let yaml = |file: &str| read(&folder.join(file));
    let steps: Vec<Step> = serde_yaml::from_str(&yaml("events.yaml")).expect("events.yaml");
    let mut expected: Expected = serde_yaml::from_str(&yaml("expected.yaml")).expect("expected.yaml");
    let mut story = Story::default();
    for document in serde_yaml::Deserializer::from_str(&yaml("policy.yaml")) {
        story.apply(&MonitorPolicy::deserialize(document).expect("policy.yaml"));
    }
    let mut wrong = Vec::new();
    let mut compare = |step: &str, said: Vec<String>, expected: BTreeSet<String>| {
        let mut missing = expected;
        for line in said {
            if !missing.remove(&line) {
                wrong.push(format!("{step}: not expected: {line}"));
            }
        }
        wrong.extend(missing.into_iter().map(|line| format!("{step}: missing: {line}")));
    };
    let said = story.assign();
    compare("the beginning", lines(&said), BTreeSet::new());
    for step in steps {
        let name = step.step.clone();
        let said = story.take(step);
        compare(&name, lines(&said), expected.steps.remove(&name).unwrap_or_default());
    }
    let mut open = Vec::new();
    let mut errors = BTreeMap::new();
    for key in story.policies.keys() {
        let findings = story.engine.open(key);
        open.extend(findings.iter().map(|finding| line(key, finding, &finding.message)));
        let report = story.engine.report(key, 0).expect("a report");
        assert!(report.selections.iter().all(|s| s.settled), "{key}: not everything was listed");
        if report.rule_errors > 0 {
            errors.insert(key.to_string(), report.rule_errors);
        }
    }
    compare("the end", open, expected.open);
    if errors != expected.errors {
        wrong.push(format!("errors at the end: {errors:?}"));
    }
    wrong.extend(expected.steps.keys().map(|step| format!("there is no step {step:?}")));
    wrong
}

#[test]
fn every_scenario_brings_out_what_is_expected_and_nothing_else() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut stories = 0;
    let mut wrong = Vec::new();
    for entry in fs::read_dir(root).expect("tests/scenarios") {
        let folder = entry.expect("an entry").path();
        if folder.is_dir() {
            stories += 1;
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            wrong.extend(play(&folder).into_iter().map(|text| format!("{name}: {text}")));
        }
    }
    assert!(stories >= 8, "{stories} scenarios found");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
