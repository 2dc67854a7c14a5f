//! Expressions, objects, and what an API server says of them: the data of `tests/verdicts/`.
//!
//! [`load`] reads the cases, [`ours::judge`] is what this program says of one, [`truth`] is what the API server
//! said. `tests/cluster/verdicts.rs` asks the server, `tests/verdicts.rs` compares with what it said.

// Each of the two tests uses only a part.
#![allow(dead_code)]

pub mod conformance;
pub mod ours;
pub mod random;
pub mod report;
pub mod truth;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is said of a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// The rule is true: admitted.
    Compliant,
    /// The rule is false: denied, with this message.
    Violation(String),
    /// A match condition is false.
    Skipped,
    /// The rule or a match condition fails, and why.
    Error(String),
    /// An expression cannot be used, and why.
    Rejected(String),
}

impl Verdict {
    /// Whether both say the same. Why something fails may be worded differently.
    pub fn agrees(&self, other: &Verdict) -> bool {
        match (self, other) {
            (Verdict::Violation(one), Verdict::Violation(other)) => one == other,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Compliant => f.write_str("compliant"),
            Verdict::Violation(message) => write!(f, "violation {message:?}"),
            Verdict::Skipped => f.write_str("skipped"),
            Verdict::Error(why) => write!(f, "error: {why}"),
            Verdict::Rejected(why) => write!(f, "rejected: {why}"),
        }
    }
}

/// What happens to which object of the data: it is created, updated, or deleted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// `FILE/OBJECT` as it is written; none when it is deleted.
    pub object: Option<String>,
    /// `FILE/OBJECT` as it was before; none when it is created.
    pub old_object: Option<String>,
}

impl Subject {
    /// As in `request.operation`.
    pub fn operation(&self) -> &'static str {
        match (&self.object, &self.old_object) {
            (Some(_), None) => "CREATE",
            (Some(_), Some(_)) => "UPDATE",
            (None, _) => "DELETE",
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.object, &self.old_object) {
            (Some(object), None) => f.write_str(object),
            (Some(object), Some(old)) => write!(f, "{object} after {old}"),
            (None, old) => write!(f, "{} deleted", old.as_deref().unwrap_or("nothing")),
        }
    }
}

/// A name and an expression.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    pub name: String,
    pub expression: String,
}

/// What is asked about a subject.
#[derive(Debug, Clone, Default)]
pub struct Rule {
    pub expression: String,
    pub message: Option<String>,
    pub message_expression: Option<String>,
    pub variables: Vec<Named>,
    pub match_conditions: Vec<Named>,
}

/// One rule and one object.
#[derive(Debug, Clone)]
pub struct Case {
    /// What the case is called everywhere; unique.
    pub id: String,
    /// The file it stands in, without its ending.
    pub theme: String,
    pub subject: Subject,
    pub rule: Rule,
    /// Why we accept what the API server rejects, when that is on purpose.
    pub extension: Option<String>,
}

/// Everything in `tests/verdicts/*.yaml`.
#[derive(Debug, Default)]
pub struct Data {
    pub cases: Vec<Case>,
    /// Manifests by `FILE/OBJECT`.
    pub objects: BTreeMap<String, Value>,
    /// Manifests of namespaces, by name.
    pub namespaces: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    objects: BTreeMap<String, Value>,
    #[serde(default)]
    namespaces: Vec<Value>,
    cases: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Group {
    name: Option<String>,
    object: Option<String>,
    old_object: Option<String>,
    #[serde(default)]
    each: Vec<String>,
    #[serde(default)]
    expressions: String,
    #[serde(default)]
    messages: String,
    expression: Option<String>,
    message: Option<String>,
    message_expression: Option<String>,
    #[serde(default)]
    variables: Vec<Named>,
    #[serde(default)]
    match_conditions: Vec<Named>,
    extension: Option<String>,
}

/// The kind of objects that name no other: anything may be in it.
pub const SAMPLE: (&str, &str) = ("verdicts.example.io/v1", "Sample");

/// Where the data is.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/verdicts")
}

/// Reads all cases, in the order of their files, and those of cel-spec.
///
/// # Panics
/// When a file is not as `tests/verdicts/README.md` says.
pub fn load() -> Data {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder())
        .unwrap_or_else(|error| panic!("{}: {error}", folder().display()))
        .map(|entry| entry.unwrap_or_else(|error| panic!("{error}")).path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .filter(|path| path.file_stem().is_some_and(|stem| stem != "differences"))
        .collect();
    paths.sort();
    let mut data = Data::default();
    for path in paths {
        let theme = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let file: File =
            polywatch::yaml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        data.add(&theme, file);
    }
    conformance::add_to(&mut data);
    let mut ids: Vec<&str> = data.cases.iter().map(|case| case.id.as_str()).collect();
    ids.sort_unstable();
    for pair in ids.windows(2) {
        assert_ne!(pair[0], pair[1], "two cases are the same");
    }
    data
}

impl Data {
    fn add(&mut self, theme: &str, file: File) {
        for (name, manifest) in file.objects {
            self.objects.insert(format!("{theme}/{name}"), manifest_of(&name, manifest));
        }
        for namespace in file.namespaces {
            let name = namespace["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let before = self.namespaces.insert(name.clone(), namespace);
            assert!(before.is_none(), "{theme}: there are two namespaces {name:?}");
        }
        for group in file.cases {
            self.add_group(theme, group);
        }
    }

    fn add_group(&mut self, theme: &str, group: Group) {
        let full = |name: &Option<String>| name.as_ref().map(|name| format!("{theme}/{name}"));
        let subject = Subject { object: full(&group.object), old_object: full(&group.old_object) };
        for name in subject.object.iter().chain(&subject.old_object) {
            assert!(self.objects.contains_key(name), "there is no object {name}");
        }
        let shared = Rule {
            variables: group.variables,
            match_conditions: group.match_conditions,
            message: group.message,
            message_expression: group.message_expression,
            ..Rule::default()
        };
        let mut add = |id: String, rule: Rule| {
            let extension = group.extension.clone();
            let (theme, subject) = (theme.to_owned(), subject.clone());
            self.cases.push(Case { id, theme, subject, rule, extension });
        };
        let of = group.name.as_deref().map(|name| format!("{theme}/{name}"));
        let of = of.unwrap_or_else(|| subject.to_string());
        if let Some(expression) = group.expression {
            add(of.clone(), Rule { expression, ..shared.clone() });
        }
        for expression in lines(&group.expressions).flat_map(|line| filled(line, &group.each)) {
            add(format!("{of}: {expression}"), Rule { expression, ..shared.clone() });
        }
        for message in lines(&group.messages).flat_map(|line| filled(line, &group.each)) {
            let (id, expression) = (format!("{of}: message {message}"), "false".to_owned());
            add(id, Rule { expression, message_expression: Some(message), ..shared.clone() });
        }
    }
}

/// One for each line; empty lines, and those that are a comment only, are for readers.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"))
}

/// A line with each value, and each pair of values, for the words ANY and OTHER.
fn filled(line: &str, values: &[String]) -> Vec<String> {
    let fill = |line: String, word: &str| -> Vec<String> {
        match line.contains(word) {
            true => values.iter().map(|value| line.replace(word, value)).collect(),
            false => vec![line],
        }
    };
    fill(line.to_owned(), "ANY").into_iter().flat_map(|line| fill(line, "OTHER")).collect()
}

/// An object of the data with what every manifest has.
fn manifest_of(name: &str, mut manifest: Value) -> Value {
    let mut default = |path: &[&str], value: &str| {
        let mut at = &mut manifest;
        for key in path {
            at = &mut at[*key];
        }
        if at.is_null() {
            *at = value.into();
        }
    };
    default(&["apiVersion"], SAMPLE.0);
    default(&["kind"], SAMPLE.1);
    default(&["metadata", "name"], name);
    if !matches!(manifest["kind"].as_str(), Some("Namespace" | "ClusterRole")) {
        let namespace = &mut manifest["metadata"]["namespace"];
        if namespace.is_null() {
            *namespace = "default".into();
        }
    }
    manifest
}
