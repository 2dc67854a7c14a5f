//! Stories that test policies: a folder of `policy.yaml`, `events.yaml` and `expected.yaml`, whose form
//! `docs/offline.md` describes. In: their texts. Out: what is not as it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::{Value as Json, json};

use super::input::Source;
use super::kinds::Kind;
use super::replay::Replay;
use super::validate::faults;
use super::{InputError, Item, manifests, policies};
use crate::core::engine::Outcome;
use crate::core::event::ObjectKey;
use crate::core::finding::{Finding, PolicyKey, Transition};
use crate::yaml::{self, Document, Tree, Value};

const OPEN: &str = "open at the end";
const ERRORS: &str = "errors at the end";

/// The files of a story.
#[derive(Debug, Clone)]
pub struct Story {
    /// `policy.yaml`.
    pub policy: Source,
    /// `events.yaml`.
    pub events: Source,
    /// `expected.yaml`.
    pub expected: Source,
}

/// How a story went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Played {
    /// How many steps it has.
    pub steps: usize,
    /// What came out other than expected, in the order of the steps: `-` before what is missing, `+` before what
    /// nobody expected.
    pub differences: Vec<String>,
    /// The text of an `expected.yaml` that expects what came out.
    pub actual: String,
}

/// Plays a story.
///
/// # Errors
/// Everything that is wrong with its files.
pub fn play(story: &Story) -> Result<Played, Vec<InputError>> {
    let mut told = Told { replay: Replay::default(), schema: policies::schema(), steps: Vec::new() };
    for policy in policies::read(std::slice::from_ref(&story.policy))? {
        told.replay.apply(policy);
    }
    let events = document(&story.events, &steps_schema())?;
    let names: Vec<&str> = events.tree.items().iter().filter_map(|step| step.str_at(&["step"])).collect();
    let mut expected = Expected::read(&story.expected, &names)?;

    let said = told.replay.assign();
    told.said("the beginning", &said);
    for step in events.tree.items() {
        let item = Item { file: events.file.clone(), document: events.document, tree: step.clone() };
        let said = told.take(&item)?;
        told.said(step.str_at(&["step"]).unwrap_or_default(), &said);
    }
    let end = End::of(&told.replay);
    let mut differences = Vec::new();
    let mut compare = |step: &str, said: &[String]| {
        let mut missing = expected.steps.remove(step).unwrap_or_default();
        let mut lines = Vec::new();
        for line in said {
            match missing.iter().position(|expected| expected == line) {
                Some(at) => drop(missing.remove(at)),
                None => lines.push(format!("  + {line}")),
            }
        }
        lines.splice(0..0, missing.into_iter().map(|line| format!("  - {line}")));
        if !lines.is_empty() {
            differences.push(format!("{step}:"));
            differences.append(&mut lines);
        }
    };
    for (step, lines) in &told.steps {
        compare(step, lines);
    }
    compare(OPEN, &end.open);
    if end.errors != expected.errors {
        differences.push(format!("{ERRORS}:\n  - {:?}\n  + {:?}", expected.errors, end.errors));
    }
    for policy in &end.unsettled {
        differences.push(format!("{policy}: not everything that it watches was listed"));
    }
    Ok(Played { steps: names.len(), differences, actual: actual(&told.steps, &end) })
}

struct Told {
    replay: Replay,
    schema: Json,
    /// What each step brought out.
    steps: Vec<(String, Vec<String>)>,
}

impl Told {
    fn said(&mut self, step: &str, outcome: &Outcome) {
        self.steps.push((step.to_owned(), outcome.iter().map(in_words).collect()));
    }

    fn take(&mut self, item: &Item) -> Result<Outcome, Vec<InputError>> {
        let step = &item.tree;
        let one = |error: InputError| vec![error];
        let mut actions = step.entries().iter().filter(|entry| !["step", "objects"].contains(&&*entry.key));
        let (Some(action), None) = (actions.next(), actions.next()) else {
            let text =
                "a step has a name and one of list, seen, gone, apply, withdraw, uninstall, restart and wait";
            return Err(vec![item.error(step.at, text)]);
        };
        let (value, text) = (&action.value, action.value.as_str().unwrap_or_default());
        let refuse = |text: String| Err(vec![item.error(value.at, text)]);
        match action.key.as_str() {
            "list" => {
                let kind = kind(item, value).map_err(one)?;
                let mut outcome = self.replay.relisting(&kind);
                for tree in step.get("objects").into_iter().flat_map(Tree::items) {
                    let object = object(item, tree).map_err(one)?;
                    if Kind::of(&object) != kind {
                        let text = format!("this is of {}, in a list of {kind}", Kind::of(&object));
                        return Err(vec![item.error(tree.at, text)]);
                    }
                    outcome.extend(self.replay.seen(object));
                }
                outcome.extend(self.replay.synced(&kind));
                Ok(outcome)
            }
            "seen" => Ok(self.replay.seen(object(item, value).map_err(one)?)),
            "gone" => {
                let name = |key| value.str_at(&[key]).map(Arc::from);
                let key = ObjectKey { namespace: name("namespace"), name: name("name").unwrap_or_default() };
                let kind = kind(item, value.get("kind").unwrap_or(value)).map_err(one)?;
                Ok(self.replay.gone(&kind, &key))
            }
            "apply" => {
                let policy = policies::within(&self.schema, &item.file, value)?;
                self.replay.apply(policy);
                Ok(self.replay.assign())
            }
            "withdraw" => match self.replay.withdraw(&PolicyKey(text.into())) {
                true => Ok(self.replay.assign()),
                false => refuse(format!("there is no policy {text} in force")),
            },
            "uninstall" => match self.replay.uninstall(&kind(item, value).map_err(one)?) {
                Some(outcome) => Ok(outcome),
                None => refuse(format!("{text} was not listed before, so it can not go")),
            },
            "restart" => Ok(self.replay.restart()),
            _ => {
                let wait: Result<SignedDuration, _> = text.parse();
                let until = wait.ok().filter(|wait| !wait.is_negative());
                let Some(until) = until.and_then(|wait| self.replay.now().checked_add(wait).ok()) else {
                    return refuse(format!("{text:?} is no time to wait; write 90s, 5m or 2h"));
                };
                Ok(self.replay.advance(until).into_iter().flat_map(|(_, outcome)| outcome).collect())
            }
        }
    }
}

fn kind(item: &Item, tree: &Tree) -> Result<Kind, InputError> {
    match tree.as_str().unwrap_or_default().split_once(' ') {
        Some((api_version, kind)) if !api_version.is_empty() && !kind.is_empty() => {
            Ok(Kind { api_version: api_version.to_owned(), kind: kind.trim().to_owned() })
        }
        _ => Err(item.error(tree.at, "a kind is written as apiVersion and kind, such as apps/v1 Deployment")),
    }
}

fn object(item: &Item, tree: &Tree) -> Result<Arc<crate::core::project::ProjectedObject>, InputError> {
    let (file, document) = (item.file.clone(), item.document);
    manifests::verbatim(&Item { file, document, tree: tree.clone() })
}

/// What is open when all is told.
struct End {
    open: Vec<String>,
    errors: BTreeMap<String, usize>,
    unsettled: Vec<String>,
}

impl End {
    fn of(replay: &Replay) -> Self {
        let mut end = Self { open: Vec::new(), errors: BTreeMap::new(), unsettled: Vec::new() };
        for key in replay.policies().keys() {
            let findings = replay.engine().open(key);
            end.open.extend(findings.iter().map(|finding| line(key, finding, &finding.message)));
            let Some(report) = replay.engine().report(key, 0) else { continue };
            if report.selections.iter().any(|selection| !selection.settled) {
                end.unsettled.push(key.to_string());
            }
            if report.rule_errors > 0 {
                end.errors.insert(key.to_string(), report.rule_errors);
            }
        }
        end
    }
}

fn line(policy: &PolicyKey, finding: &Finding, end: &str) -> String {
    let severity = finding.severity.as_str();
    format!("{policy}/{} {severity} {}: {end}", finding.key.rule, finding.object)
}

fn in_words((policy, transition): &(PolicyKey, Transition)) -> String {
    let finding = transition.finding();
    match transition {
        Transition::Opened(_) => format!("opened {}", line(policy, finding, &finding.message)),
        Transition::Changed(_) => format!("changed {}", line(policy, finding, &finding.message)),
        Transition::Occurred(_) => format!("occurred {}", line(policy, finding, &finding.message)),
        Transition::Resolved(_, why) => format!("resolved {}", line(policy, finding, why.as_str())),
    }
}

fn actual(steps: &[(String, Vec<String>)], end: &End) -> String {
    let write = |key: &str, value: Json| yaml::to_string(&json!({ key: value })).unwrap_or_default();
    let mut text = String::new();
    for (step, lines) in steps.iter().filter(|(_, lines)| !lines.is_empty()) {
        text.push_str(&write(step, json!(lines)));
    }
    text.push_str(&write(OPEN, json!(end.open)));
    if !end.errors.is_empty() {
        text.push_str(&write(ERRORS, json!(end.errors)));
    }
    text
}

#[derive(Default)]
struct Expected {
    steps: BTreeMap<String, Vec<String>>,
    errors: BTreeMap<String, usize>,
}

impl Expected {
    fn read(source: &Source, steps: &[&str]) -> Result<Self, Vec<InputError>> {
        let lines = json!({"type": "array", "items": {"type": "string"}});
        let mut fields: serde_json::Map<String, Json> =
            steps.iter().map(|step| ((*step).to_owned(), lines.clone())).collect();
        fields.insert(OPEN.to_owned(), lines);
        let counts = json!({"type": "object", "additionalProperties": {"type": "integer", "minimum": 1}});
        fields.insert(ERRORS.to_owned(), counts);
        let item = document(source, &json!({"type": "object", "properties": fields, "required": [OPEN]}))?;
        let mut expected = Self::default();
        for entry in item.tree.entries() {
            if entry.key == ERRORS {
                let counts = entry.value.entries().iter().map(|entry| match entry.value.value {
                    Value::Int(count) => (entry.key.clone(), usize::try_from(count).unwrap_or_default()),
                    _ => (entry.key.clone(), 0),
                });
                expected.errors = counts.collect();
            } else {
                let lines = entry.value.items().iter().filter_map(Tree::as_str).map(str::to_owned);
                expected.steps.insert(entry.key.clone(), lines.collect());
            }
        }
        Ok(expected)
    }
}

/// The only document of a file, which `schema` allows.
fn document(source: &Source, schema: &Json) -> Result<Item, Vec<InputError>> {
    let documents = yaml::read(&source.text).map_err(|error| vec![InputError::of(&source.file, error)])?;
    let mut items = documents.into_iter().map(|Document { number, tree }| Item {
        file: source.file.clone(),
        document: number,
        tree,
    });
    let (Some(item), None) = (items.next(), items.next()) else {
        let at = yaml::Place::START;
        let text = "one document is expected here".to_owned();
        return Err(vec![InputError { file: source.file.clone(), document: 1, at, text }]);
    };
    let mut wrong: Vec<InputError> =
        faults(schema, &item.tree).into_iter().map(|fault| item.error(fault.at, fault.text)).collect();
    let mut names = BTreeSet::new();
    for step in item.tree.items() {
        if let Some(name) = step.get("step")
            && !names.insert(name.as_str())
        {
            wrong.push(item.error(name.at, "another step has this name"));
        }
    }
    if wrong.is_empty() { Ok(item) } else { Err(wrong) }
}

fn steps_schema() -> Json {
    let text = json!({"type": "string", "minLength": 1});
    let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({
        "type": "array",
        "items": {
            "type": "object",
            "required": ["step"],
            "properties": {
                "step": text, "list": text, "withdraw": text, "uninstall": text, "wait": text,
                "restart": {"type": "boolean", "enum": [true]},
                "objects": {"type": "array", "items": any},
                "seen": any, "apply": any,
                "gone": {
                    "type": "object",
                    "required": ["kind", "name"],
                    "properties": {"kind": text, "namespace": text, "name": text},
                },
            },
        },
    })
}
