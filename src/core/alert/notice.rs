//! One message to one sink. What is in it is the documented form of what `log` and `webhook` sinks hand on
//! (docs/alerts.md), so names and meanings stay.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::core::finding::Severity;
use crate::core::is_zero;

/// Most findings of one group that are told one by one; of a larger group sinks are told totals and the worst.
pub const MAX_ITEMS: usize = 100;
/// Most findings that the notice of a larger group names in each of its lists.
pub const MAX_SAMPLES: usize = 20;

/// Why a notice is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// What was open when the policy was first judged: one summary.
    Baseline,
    /// The first finding of a group, or the first after all had been resolved.
    Opened,
    /// More findings of a group that the sink knows, and perhaps others resolved.
    MoreOpened,
    /// A finding has another severity, message or list of fields.
    Changed,
    /// Some findings of the group are resolved, and others stay open.
    SomeResolved,
    /// Every finding of the group is resolved.
    AllResolved,
    /// A change occurred that a rule does not allow; nothing stands open because of it.
    Occurred,
    /// Nothing is new, and the sink wants to hear again that it is so.
    Resend,
    /// A person asked for a test message.
    Test,
}

impl Reason {
    /// How it is called wherever it is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Baseline => "Baseline",
            Self::Opened => "Opened",
            Self::MoreOpened => "MoreOpened",
            Self::Changed => "Changed",
            Self::SomeResolved => "SomeResolved",
            Self::AllResolved => "AllResolved",
            Self::Occurred => "Occurred",
            Self::Resend => "Resend",
            Self::Test => "Test",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a sink is told at once: how one group of one policy stands, and what is new of it.
///
/// Of a group of at most [`MAX_ITEMS`] findings every list is complete. A larger one is `collapsed`: `totals` are exact,
/// and each list has the worst [`MAX_SAMPLES`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// Idempotency key: the same when a notice is sent again because it is not known whether it arrived.
    pub id: String,
    /// Why it is owed.
    pub reason: Reason,
    /// Name of the policy.
    pub policy: String,
    /// Which findings belong together.
    pub group: Group,
    /// Whether the group is too large to be told finding by finding.
    pub collapsed: bool,
    /// All that stand open, worst and oldest first; what is new is among them.
    pub open: Vec<Item>,
    /// Those of them that the sink has not been told of.
    pub opened: Vec<Item>,
    /// Those of them of which the sink was told something else before.
    pub changed: Vec<Item>,
    /// Those that the sink was told of and that do not stand open any more.
    pub resolved: Vec<Item>,
    /// Those that the sink was told of one by one and that are part of a summary from now on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<Item>,
    /// Changes that occurred, the oldest first.
    pub occurred: Vec<Item>,
    /// Exact numbers.
    pub totals: Totals,
    /// When it was made.
    pub time: Timestamp,
    /// When the sink will have been told again that what is open is so. After that it may take it for resolved.
    pub valid_until: Timestamp,
    /// What the sink gave as reference to what it was told first of this group; none when this is the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

impl Notice {
    /// The severity of the worst finding that it is about: of those open, or else of what it tells of.
    pub fn severity(&self) -> Severity {
        let worst = |items: &[Item]| items.iter().map(|item| item.severity).max();
        worst(&self.open)
            .max(worst(&self.occurred))
            .or_else(|| worst(&self.resolved))
            .unwrap_or(Severity::Info)
    }

    /// Whether anything of the group stands open.
    pub fn is_open(&self) -> bool {
        self.totals.open > 0
    }

    /// Whether a person asked for it, so that nobody takes it for a finding.
    pub fn is_test(&self) -> bool {
        self.reason == Reason::Test
    }
}

/// Findings that are told together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// Identity: 32 hexadecimal digits, the same for as long as sink, policy and grouping are.
    pub id: String,
    /// By what they are grouped beside the policy, such as `rule` or `namespace`, or the key of a label.
    pub by: BTreeMap<String, String>,
}

impl fmt::Display for Group {
    /// Such as `rule=backend-available, namespace=team-a`; empty for a group of the whole policy.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (name, value)) in self.by.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(f, "{comma}{name}={value}")?;
        }
        Ok(())
    }
}

/// Exact numbers of a notice, also of what it does not list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Open findings of the group.
    pub open: usize,
    /// The same by severity; severities without any are left out.
    pub by_severity: BTreeMap<Severity, usize>,
    /// As [`Notice::opened`].
    pub opened: usize,
    /// As [`Notice::changed`].
    pub changed: usize,
    /// As [`Notice::resolved`].
    pub resolved: usize,
    /// As [`Notice::occurred`].
    pub occurred: usize,
    /// Changes that occurred in the policy since the sink was last told of any, and that are no longer known one by one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unlisted: u64,
}

/// One finding, or one change that occurred, as sinks are told of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// Identity: 32 hexadecimal digits, the same for policy, rule, selection and object; of an occurrence also what
    /// happened and the resource version.
    pub id: String,
    /// Number of what the sink was told of it: another one each time that it opened or changed to the sink.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub edition: u64,
    /// Name of the policy.
    pub policy: String,
    /// Name of the rule.
    pub rule: String,
    /// How bad it is.
    pub severity: Severity,
    /// Name of the entry of `spec.resources` that selects the object; empty when it is about a group of objects.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub selected_by: String,
    /// The object; none when it is about a group of objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectName>,
    /// The key of the group that it is about, of a rule with groupBy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_group: Option<String>,
    /// How bad it was when the sink was told last, when that was something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_severity: Option<Severity>,
    /// What is wrong: one line of at most 512 bytes.
    pub message: String,
    /// When it began to be wrong; of an occurrence, when it was seen.
    pub since: Timestamp,
    /// When it was resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// Why it no longer stands open, when that is not that it was mended: it is silenced, say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_because: Option<String>,
    /// Those labels of the object by which the policy routes or groups.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The fields that make it so, such as `spec.limit: 100 → 1000, by kubectl-edit (Update)`; empty where the rule is
    /// not about fields.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fields: String,
    /// How often it opened lately, when that is more than once and its rule asks.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub flaps: u32,
    /// What happened, of an occurrence: CREATE, UPDATE or DELETE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// Resource version of the object after what occurred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
}

impl Item {
    /// What it is about, for people: `APIRoute team-a/checkout`, or `group shop`.
    pub fn subject(&self) -> String {
        match (&self.object, &self.object_group) {
            (Some(object), _) => object.to_string(),
            (None, Some(group)) => format!("group {group}"),
            (None, None) => format!("policy {}", self.policy),
        }
    }
}

/// Names an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectName {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Namespace; none for cluster scoped objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}
