//! Transitions of a history, in the order in which they came.

use jiff::Timestamp;
use serde::Serialize;

use super::ResourceView;
use super::table::{columns, plural};
use crate::core::finding::Transition;
use crate::offline::history::{Change, Replayed};
use crate::yaml;

/// A transition as JSON and YAML show it.
#[derive(Debug, Serialize)]
struct ChangeView<'a> {
    time: Timestamp,
    transition: &'static str,
    policy: &'a str,
    rule: &'a str,
    /// Absent for a group.
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<ResourceView<'a>>,
    /// The key, for a group.
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    severity: &'static str,
    message: &'a str,
    /// Why a finding is no longer open.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

impl<'a> From<&'a Change> for ChangeView<'a> {
    fn from(change: &'a Change) -> Self {
        let finding = change.transition.finding();
        let (transition, reason) = named(&change.transition);
        Self {
            time: change.time,
            transition,
            policy: &change.policy.0,
            rule: &finding.key.rule,
            resource: finding.object.group().is_none().then(|| (&finding.object).into()),
            group: finding.object.group(),
            severity: finding.severity.as_str(),
            message: &finding.message,
            reason,
        }
    }
}

fn named(transition: &Transition) -> (&'static str, Option<&'static str>) {
    match transition {
        Transition::Opened(_) => ("Opened", None),
        Transition::Changed(_) => ("Changed", None),
        Transition::Occurred(occurrence) => ("Occurred", Some(occurrence.operation.as_str())),
        Transition::Resolved(_, why) => ("Resolved", Some(why.as_str())),
    }
}

/// An array of the transitions, as JSON.
///
/// # Errors
/// None that can be met: it is made of texts.
pub fn history_json(replayed: &Replayed) -> Result<String, yaml::Error> {
    Ok(serde_json::to_string_pretty(&views(replayed))? + "\n")
}

/// The same as YAML.
///
/// # Errors
/// As [`history_json`].
pub fn history_yaml(replayed: &Replayed) -> Result<String, yaml::Error> {
    Ok(yaml::to_string(&views(replayed))?.trim_end().to_owned() + "\n")
}

fn views(replayed: &Replayed) -> Vec<ChangeView<'_>> {
    replayed.changes.iter().map(ChangeView::from).collect()
}

/// The transitions in columns; empty when there are none.
pub fn history_table(replayed: &Replayed) -> String {
    if replayed.changes.is_empty() {
        return String::new();
    }
    let header = ["TIME", "TRANSITION", "SEVERITY", "POLICY/RULE", "OBJECT", "MESSAGE"].map(str::to_owned);
    let rows = replayed.changes.iter().map(|change| {
        let finding = change.transition.finding();
        let (transition, reason) = named(&change.transition);
        [
            format!("{:.3}", change.time),
            transition.to_owned(),
            finding.severity.as_str().to_owned(),
            format!("{}/{}", change.policy, finding.key.rule),
            finding.object.to_string(),
            reason.unwrap_or(&finding.message).to_owned(),
        ]
    });
    columns(std::iter::once(header).chain(rows).collect())
}

/// What was replayed, and what is left at the end: a line each.
pub fn history_summary(replayed: &Replayed) -> String {
    let mut text = format!(
        "{}, {}, {} open at the end\n",
        plural(replayed.events, "event"),
        plural(replayed.changes.len(), "transition"),
        plural(replayed.open.len(), "finding"),
    );
    for (policy, count, error) in &replayed.errors {
        text.push_str(&format!("rule errors of policy {policy}: {count}, the last on {error}\n"));
    }
    for note in &replayed.notes {
        text.push_str(&format!("note: {note}\n"));
    }
    text
}
