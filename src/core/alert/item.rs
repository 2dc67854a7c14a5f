//! Findings and occurrences in the form in which sinks are told of them.

use jiff::Timestamp;

use super::notice::{Item, ObjectName};
use crate::core::finding::{Finding, FindingKey, Occurrence};
use crate::core::hash::fnv1a;

/// 32 hexadecimal digits that stand for these texts, the same in every process and version.
pub fn id<'a>(texts: impl IntoIterator<Item = &'a str> + Clone) -> String {
    // Two salts, so that what collides in one half does not in the other.
    let half = |salt: &'a str| fnv1a(std::iter::once(salt).chain(texts.clone()));
    format!("{:016x}{:016x}", half("1"), half("2"))
}

/// The identity of a finding.
pub fn finding_id(policy: &str, FindingKey { rule, selection, uid }: &FindingKey) -> String {
    id([policy, &**rule, &**selection, &**uid])
}

/// What makes a finding of a summary the same: its identity, and that it has not been resolved meanwhile.
pub(super) fn member(id: &str, since: Timestamp) -> u64 {
    fnv1a([id, &since.as_second().to_string()])
}

impl Item {
    /// What a sink is told of an open finding.
    pub fn of_finding(policy: &str, finding: &Finding) -> Self {
        let FindingKey { rule, selection, uid } = &finding.key;
        let object = &finding.object;
        let is_group = finding.key.group().is_some();
        Self {
            id: finding_id(policy, &finding.key),
            edition: 0,
            policy: policy.to_owned(),
            rule: rule.to_string(),
            severity: finding.severity,
            previous_severity: None,
            selected_by: selection.to_string(),
            object: (!is_group).then(|| ObjectName {
                api_version: object.api_version.to_string(),
                kind: object.kind.to_string(),
                namespace: object.namespace.as_ref().map(ToString::to_string),
                name: object.readable_name(),
                uid: uid.to_string(),
            }),
            object_group: finding.key.group().map(str::to_owned),
            message: finding.message.to_string(),
            since: finding.since,
            ended: None,
            ended_because: None,
            labels: finding
                .tags
                .labels
                .iter()
                .map(|(key, value)| (key.to_string(), value.to_string()))
                .collect(),
            fields: finding.fields.describe(),
            flaps: finding.flaps,
            operation: None,
            resource_version: None,
        }
    }

    /// What a sink is told of a change that occurred.
    pub fn of_occurrence(policy: &str, occurrence: &Occurrence) -> Self {
        let FindingKey { rule, selection, uid } = &occurrence.finding.key;
        let (operation, version) = (occurrence.operation.as_str(), &*occurrence.resource_version);
        Self {
            id: id([policy, &**rule, &**selection, &**uid, operation, version]),
            operation: Some(operation.to_owned()),
            resource_version: Some(version.to_owned()),
            ..Self::of_finding(policy, &occurrence.finding)
        }
    }

    /// What makes it the same that something happened to it, such as that it opened, in whichever notice that is told.
    pub fn event_id(&self, what: &str) -> String {
        let since = format!("{} {}", self.since.as_second(), self.edition);
        id([&*self.id, what, &*since, self.severity.as_str(), &*self.message, &*self.fields])
    }

    /// Whether it says something else than `told` did.
    pub fn differs(&self, told: &Item) -> bool {
        (self.severity, &self.message, &self.fields, &self.labels)
            != (told.severity, &told.message, &told.fields, &told.labels)
    }
}

/// A hash of what a notice says, so that the same is known when it is said again.
pub(super) fn content<'a>(items: impl Iterator<Item = &'a Item>, counts: &[usize]) -> u64 {
    let said = items.flat_map(|item| {
        let (since, ended) = (item.since.as_second().to_string(), item.ended.is_some().to_string());
        [item.id.clone(), item.severity.as_str().to_owned(), item.message.clone(), since, ended]
    });
    let texts: Vec<String> = said.chain(counts.iter().map(ToString::to_string)).collect();
    fnv1a(texts.iter().map(String::as_str))
}
