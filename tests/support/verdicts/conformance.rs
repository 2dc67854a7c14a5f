//! The conformance cases of cel-spec, `tests/conformance/cel-spec.json`, as rules: a rule is true when the expression
//! has the value that the case names.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::json;

use super::{Case, Data, Rule, Subject, Verdict, manifest_of};

/// Files about libraries that ValidatingAdmissionPolicy does not have, and polywatch has.
const EXTENSIONS: [&str; 3] = ["bindings_ext", "encoders_ext", "math_ext"];

/// One conformance case.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conformance {
    /// The file of cel-spec.
    pub file: String,
    section: String,
    name: String,
    expr: String,
    /// Names and their values, written in CEL.
    #[serde(default)]
    bindings: BTreeMap<String, String>,
    /// The value, written in CEL; none when the expression is to fail.
    value: Option<String>,
    /// What the failure is called. Its wording is left to implementations.
    #[serde(rename = "error")]
    _error: Option<String>,
    /// Meant for evaluation without a check of types. Kubernetes always checks.
    #[serde(default, rename = "unchecked")]
    _unchecked: bool,
}

impl Conformance {
    /// All of them.
    pub fn load() -> Vec<Conformance> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/cel-spec.json");
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Whether the API server has the library that it is about.
    pub fn is_in_kubernetes(&self) -> bool {
        !EXTENSIONS.contains(&self.file.as_str())
    }

    /// Whether the verdict on [`Conformance::case`] is the one that the case asks for.
    pub fn is_met_by(&self, verdict: &Verdict) -> bool {
        match self.value {
            Some(_) => *verdict == Verdict::Compliant,
            None => matches!(verdict, Verdict::Error(_) | Verdict::Rejected(_)),
        }
    }

    /// As a rule about an object that it does not read. Loops over one element stand for names, so that each has the
    /// type of its value; equal numbers of different types do not pass for the same value.
    pub fn case(&self) -> Case {
        let Conformance { file, section, name, expr, bindings, value, .. } = self;
        let is_it = match value.as_deref() {
            None => "true".to_owned(),
            Some("double('NaN')") => "outcome != outcome".to_owned(),
            Some(value) => format!("outcome == dyn({value}) && type(outcome) == type(dyn({value}))"),
        };
        let mut expression = format!("[dyn(\n{expr}\n)].all(outcome, {is_it})");
        for (name, value) in bindings {
            expression = format!("[{value}].all({name}, {expression})");
        }
        Case {
            id: format!("{THEME}/{file}/{section}/{name}"),
            theme: THEME.to_owned(),
            subject: Subject { object: Some(OBJECT.to_owned()), old_object: None },
            rule: Rule { expression, ..Rule::default() },
            extension: None,
        }
    }
}

const THEME: &str = "cel-spec";
const OBJECT: &str = "cel-spec/empty";

/// Adds the cases whose libraries the API server has to those that it is asked.
pub fn add_to(data: &mut Data) {
    data.objects.insert(OBJECT.to_owned(), manifest_of("empty", json!({})));
    data.cases
        .extend(Conformance::load().iter().filter(|case| case.is_in_kubernetes()).map(Conformance::case));
}
