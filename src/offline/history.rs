//! Recorded events: one JSON object a line, as `docs/offline.md` describes them.
//!
//! In: lines that `polywatch record` wrote. Out: the transitions that the operator would have announced, in order,
//! each with the time at which the event that caused it was recorded.

use std::io::BufRead;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::InputError;
use super::kinds::Kind;
use super::replay::Replay;
use crate::core::engine::Outcome;
use crate::core::event::ObjectKey;
use crate::core::finding::{Finding, PolicyKey, Transition};
use crate::core::policy::CompiledPolicy;
use crate::core::project::Projection;
use crate::core::tree::Node;
use crate::yaml::Place;

/// What the first line says.
pub const FORMAT: &str = "polywatch-history";
/// Version of the format that is written, and the only one that is read.
pub const VERSION: u32 = 1;
/// Longest line, in bytes: etcd's objects have 1.5 MB.
const MAX_LINE: usize = 32 << 20;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
}

impl Default for Header {
    fn default() -> Self {
        Self { format: FORMAT.to_owned(), version: VERSION }
    }
}

/// Every other line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// When it was recorded; never before the line above.
    pub time: Timestamp,
    /// Group and version of the kind that was watched.
    pub api_version: String,
    /// The kind.
    pub kind: String,
    /// Its name in paths.
    pub resource: String,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What a watch said.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum Event {
    /// A complete list begins: what is not seen until `Synced` no longer exists.
    Relisting {},
    /// The object exists, in this state.
    Seen {
        /// The object, without managedFields; of a Secret, without values.
        object: Json,
    },
    /// The object no longer exists.
    Gone {
        /// Its namespace; none for cluster scoped objects.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        namespace: Option<Arc<str>>,
        /// Its name.
        name: Arc<str>,
    },
    /// The list is complete.
    Synced {},
}

/// A transition and its time.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// When the event that caused it was recorded.
    pub time: Timestamp,
    /// The policy.
    pub policy: PolicyKey,
    /// What changed.
    pub transition: Transition,
}

/// What came of a history.
#[derive(Debug, Default)]
pub struct Replayed {
    /// Transitions in order.
    pub changes: Vec<Change>,
    /// Events that were replayed.
    pub events: usize,
    /// Findings that are open at the end, with their policies.
    pub open: Vec<(PolicyKey, Arc<Finding>)>,
    /// Pairs of rule and object that can not be judged at the end, by policy, and the last such error.
    pub errors: Vec<(PolicyKey, usize, Arc<str>)>,
    /// Whatever else is to be known, a sentence each.
    pub notes: Vec<String>,
}

impl Replayed {
    /// Whether nothing was found at any time.
    pub fn is_compliant(&self) -> bool {
        self.changes.is_empty() && self.open.is_empty() && self.errors.is_empty()
    }
}

/// Replays a history.
///
/// # Errors
/// The first line that is none of this format, with its place.
pub fn replay(
    policies: &[Arc<CompiledPolicy>],
    file: &str,
    lines: impl BufRead,
) -> Result<Replayed, InputError> {
    let mut reader = Reader { file: file.into(), lines, line: 0 };
    reader.header()?;
    let mut next = reader.next()?;
    let mut replay = Replay::at(next.as_ref().map_or(Timestamp::UNIX_EPOCH, |line| line.time));
    policies.iter().for_each(|policy| replay.apply(policy.clone()));
    replay.assign();
    let mut out = Replayed::default();
    while let Some(line) = next {
        if line.time < replay.now() {
            return Err(reader.error(1, "its time is before that of the line above"));
        }
        for (time, outcome) in replay.advance(line.time) {
            note(&mut out.changes, time, outcome);
        }
        let kind = Kind { api_version: line.api_version, kind: line.kind };
        replay.name_plural(&kind, &line.resource);
        let outcome = match line.event {
            Event::Relisting {} => replay.relisting(&kind),
            Event::Synced {} => replay.synced(&kind),
            Event::Gone { namespace, name } => replay.gone(&kind, &ObjectKey { namespace, name }),
            Event::Seen { object } => {
                let projection = Projection::whole(&kind.api_version, &kind.kind);
                let object = projection.decode(object).map_err(|error| reader.error(1, error.to_string()))?;
                replay.seen(Arc::new(object))
            }
        };
        note(&mut out.changes, line.time, outcome);
        out.events += 1;
        next = reader.next()?;
    }
    end(&replay, &mut out);
    Ok(out)
}

fn note(changes: &mut Vec<Change>, time: Timestamp, outcome: Outcome) {
    changes.extend(outcome.into_iter().map(|(policy, transition)| Change { time, policy, transition }));
}

fn end(replay: &Replay, out: &mut Replayed) {
    for (key, policy) in replay.policies() {
        if policy.suspended {
            out.notes.push(format!("policy {key} is suspended; it judges nothing"));
            continue;
        }
        out.open.extend(replay.engine().open(key).into_iter().map(|finding| (key.clone(), finding)));
        let Some(report) = replay.engine().report(key, 0) else { continue };
        for selection in report.selections.iter().filter(|selection| !selection.settled) {
            out.notes.push(format!(
                "policy {key}, resource {}: the history has no complete list of it{}",
                selection.name,
                if policy.needs_namespaces() {
                    ", or none of Namespaces, which the policy needs"
                } else {
                    ""
                }
            ));
        }
        for rule in report.rules {
            if let Some(error) = rule.last_error {
                out.errors.push((key.clone(), rule.errors, error));
            }
        }
    }
}

struct Reader<R> {
    file: Arc<str>,
    lines: R,
    line: usize,
}

impl<R: BufRead> Reader<R> {
    fn header(&mut self) -> Result<(), InputError> {
        let Some(text) = self.text()? else {
            return Err(self.error(1, "the history is empty"));
        };
        match serde_json::from_str::<Header>(&text) {
            Ok(header) if header.format == FORMAT && header.version == VERSION => Ok(()),
            Ok(header) if header.format == FORMAT => {
                let text =
                    format!("the format is of version {}; this polywatch reads {VERSION}", header.version);
                Err(self.error(1, text))
            }
            _ => Err(self.error(1, "this is no history; polywatch record writes one")),
        }
    }

    fn next(&mut self) -> Result<Option<Line>, InputError> {
        let Some(text) = self.text()? else {
            return Ok(None);
        };
        serde_json::from_str(&text).map(Some).map_err(|error| {
            let cut = if text.ends_with('\n') { "" } else { "; the line is cut, remove it" };
            let why = error.to_string();
            let why = why.split(" at line ").next().unwrap_or_default();
            self.error(error.column().max(1), format!("{why}{cut}"))
        })
    }

    /// The next line that is not empty.
    fn text(&mut self) -> Result<Option<String>, InputError> {
        loop {
            let mut bytes = Vec::new();
            self.line += 1;
            let mut limited = std::io::Read::take(&mut self.lines, MAX_LINE as u64 + 1);
            limited.read_until(b'\n', &mut bytes).map_err(|error| self.error(1, error.to_string()))?;
            if bytes.is_empty() {
                return Ok(None);
            }
            if bytes.len() > MAX_LINE {
                return Err(self.error(1, format!("the line has more than {MAX_LINE} bytes")));
            }
            let text = String::from_utf8(bytes).map_err(|_| self.error(1, "the line is not UTF-8"))?;
            if !text.trim().is_empty() {
                return Ok(Some(text));
            }
        }
    }

    fn error(&self, column: usize, text: impl Into<String>) -> InputError {
        let at = Place { line: self.line, column };
        InputError { file: self.file.clone(), document: 1, at, text: text.into() }
    }
}

/// A kept object as JSON.
pub fn to_json(node: &Node) -> Json {
    match node {
        Node::Null => Json::Null,
        Node::Bool(value) => (*value).into(),
        Node::Int(value) => (*value).into(),
        Node::Double(value) => (*value).into(),
        Node::Str(text) => (**text).into(),
        Node::List(items) => items.iter().map(to_json).collect(),
        Node::Map(entries) => {
            Json::Object(entries.iter().map(|(key, value)| (key.to_string(), to_json(value))).collect())
        }
    }
}
