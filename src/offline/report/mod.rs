//! Reports in the forms that people and programs read. In: what `check` and `history` found. Out: text.

mod graph;
mod history;
mod json;
mod junit;
mod table;

pub use graph::{dot, tree};
pub use history::{history_json, history_summary, history_table, history_yaml};
pub use json::{json, yaml};
pub use junit::junit;
pub use table::{summary, table};

use serde::Serialize;

use super::check::{Entry, Said};
use crate::core::finding::ObjectId;

/// An entry as JSON and YAML show it.
#[derive(Debug, Serialize)]
struct EntryView<'a> {
    policy: &'a str,
    rule: &'a str,
    /// Absent for a group.
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<ResourceView<'a>>,
    /// The key, for a group.
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    verdict: &'static str,
    message: String,
    severity: &'static str,
}

/// An object as JSON and YAML show it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResourceView<'a> {
    api_version: &'a str,
    kind: &'a str,
    /// Null for a cluster scoped object.
    namespace: Option<&'a str>,
    name: &'a str,
}

impl<'a> From<&'a ObjectId> for ResourceView<'a> {
    fn from(id: &'a ObjectId) -> Self {
        Self {
            api_version: &id.api_version,
            kind: &id.kind,
            namespace: id.namespace.as_deref(),
            name: &id.name,
        }
    }
}

impl<'a> From<&'a Entry> for EntryView<'a> {
    fn from(entry: &'a Entry) -> Self {
        Self {
            policy: &entry.policy,
            rule: &entry.rule,
            resource: entry.object.group().is_none().then(|| (&entry.object).into()),
            group: entry.object.group(),
            verdict: entry.said.verdict(),
            message: entry.said.message(),
            severity: entry.severity.as_str(),
        }
    }
}

impl Said {
    /// Its name.
    pub fn verdict(&self) -> &'static str {
        match self {
            Said::Compliant => "Compliant",
            Said::Violation(_) => "Violation",
            Said::Skipped(_) => "Skipped",
            Said::Error(_) => "Error",
        }
    }

    /// What there is to say; empty for a compliant object.
    pub fn message(&self) -> String {
        match self {
            Said::Compliant => String::new(),
            Said::Violation(text) | Said::Error(text) => text.to_string(),
            Said::Skipped(why) => why.to_string(),
        }
    }
}
