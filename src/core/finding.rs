//! Findings, and how they come and go.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::chain::Chain;
use super::fields::Fields;
use super::is_zero;
use super::rules::{MAX_MESSAGE_LEN, Operation, one_line};
use super::tags::Tags;

/// How bad a finding is; the order is from harmless to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Should be mended some day.
    Low,
    /// Should be mended soon.
    Medium,
    /// Will hurt users if it stays.
    High,
    /// Hurts users now.
    Critical,
}

impl Severity {
    /// All, in order.
    pub const ALL: [Severity; 5] = [Self::Info, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The lower-case name that policies and metrics use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// Names a policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyKey(pub Arc<str>);

impl fmt::Display for PolicyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names one object of the cluster. Remembered in the cluster in this form: see [`Finding`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectId {
    /// Group and version, as in `apiVersion`.
    pub api_version: Arc<str>,
    /// Kind.
    pub kind: Arc<str>,
    /// Namespace; none for cluster scoped objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Arc<str>>,
    /// Name.
    pub name: Arc<str>,
    /// Tells an object from a later one of the same name. Where the server gives none, namespace and name.
    pub uid: Arc<str>,
}

impl ObjectId {
    /// Its name, fit for people. Of some kinds names may be of any length and have almost any characters.
    pub fn readable_name(&self) -> String {
        one_line(&self.name, MAX_MESSAGE_LEN)
    }

    /// What stands for a group of objects where an object is named.
    pub fn of_group(key: &str) -> Self {
        Self {
            api_version: GROUP_VERSION.into(),
            kind: "Group".into(),
            namespace: None,
            name: key.into(),
            uid: format!("{GROUP}{key}").into(),
        }
    }

    /// The key of the group, when it stands for one.
    pub fn group(&self) -> Option<&str> {
        self.uid.strip_prefix(GROUP).filter(|_| *self.api_version == *GROUP_VERSION && *self.kind == *"Group")
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.readable_name();
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{name}", self.kind),
            None => write!(f, "{} {name}", self.kind),
        }
    }
}

/// What makes a finding the same finding: one rule, one object, seen through one selection of the policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FindingKey {
    /// Name of the rule.
    pub rule: Arc<str>,
    /// Name of the selection that found the object.
    pub selection: Arc<str>,
    /// [`ObjectId::uid`].
    pub uid: Arc<str>,
}

/// What the UID of a group begins with.
const GROUP: &str = "group/";
/// Groups are no objects of any API; this is where they would be.
const GROUP_VERSION: &str = "polywatch.dev/v1alpha1";

impl FindingKey {
    /// That of a rule on groups and one group.
    pub fn of_group(rule: Arc<str>, key: &str) -> Self {
        // No selection has an empty name.
        Self { rule, selection: "".into(), uid: format!("{GROUP}{key}").into() }
    }

    /// The key of the group, when it is about one.
    pub fn group(&self) -> Option<&str> {
        self.uid.strip_prefix(GROUP).filter(|_| self.selection.is_empty())
    }
}

/// An object that does not satisfy a rule.
///
/// Remembered in the cluster in this form, so a new field needs a default: an earlier version wrote none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Its identity.
    pub key: FindingKey,
    /// How bad it is.
    pub severity: Severity,
    /// The object.
    pub object: ObjectId,
    /// What is wrong: one line, bounded (see [`crate::core::rules::MAX_MESSAGE_LEN`]).
    pub message: Arc<str>,
    /// The fields that make it so, where the rule is about fields.
    #[serde(default, skip_serializing_if = "Fields::is_empty")]
    pub fields: Fields,
    /// What was looked up on the way, where the rule looks something up.
    #[serde(default, skip_serializing_if = "Chain::is_empty")]
    pub chain: Chain,
    /// What of the object decides who is told.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// When it began: when it opened, and where the rule waits, when it began to be wrong.
    pub since: Timestamp,
    /// How often it opened lately, this time included, where the rule asks whether it flaps; 0 while that is once.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub flaps: u32,
}

/// A change that does not satisfy a rule. It happened: nothing stands open. Remembered in this form, as [`Finding`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Occurrence {
    /// Rule, selection, object, message and changed fields; `since` is when it was seen.
    pub finding: Arc<Finding>,
    /// What happened.
    pub operation: Operation,
    /// Resource version of the state that the change led to; of an object that went, of its last known state.
    pub resource_version: Arc<str>,
}

/// What makes an occurrence the same occurrence: a state of an object comes about once.
pub type OccurrenceId = (FindingKey, Operation, Arc<str>);

impl Occurrence {
    /// Its identity.
    pub fn id(&self) -> OccurrenceId {
        (self.finding.key.clone(), self.operation, self.resource_version.clone())
    }
}

/// Why a finding is no longer open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// The object satisfies the rule now.
    Compliant,
    /// The object is gone.
    ObjectGone,
    /// The policy no longer selects the object.
    NotSelected,
    /// A complete list no longer has it: it is gone, or the policy came to select other objects.
    NotSeen,
    /// The rule or its policy changed so that it no longer applies.
    RuleGone,
    /// There are no params to judge it by.
    NoParams,
    /// The state that the object drifted from is not known any more.
    BaselineLost,
}

impl Resolution {
    /// How messages put it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Compliant => "the object is compliant again",
            Self::ObjectGone => "the object is gone",
            Self::NotSelected => "the policy no longer selects the object",
            Self::NotSeen => "the object is gone or no longer selected",
            Self::RuleGone => "the rule no longer exists",
            Self::NoParams => "there are no params to judge it by",
            Self::BaselineLost => {
                "the state that it drifted from is not known any more; what it has now is the baseline"
            }
        }
    }
}

/// A change of what is open, or something that occurred.
#[derive(Debug, Clone, PartialEq)]
pub enum Transition {
    /// A finding opened.
    Opened(Arc<Finding>),
    /// The message or severity of an open finding changed.
    Changed(Arc<Finding>),
    /// A finding is no longer open.
    Resolved(Arc<Finding>, Resolution),
    /// A change that a rule does not allow happened.
    Occurred(Arc<Occurrence>),
}

impl Transition {
    /// The finding that it is about, or what occurred in the form of one.
    pub fn finding(&self) -> &Arc<Finding> {
        match self {
            Self::Occurred(occurrence) => &occurrence.finding,
            Self::Opened(finding) | Self::Changed(finding) | Self::Resolved(finding, _) => finding,
        }
    }
}
