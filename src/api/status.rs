//! The status of a `MonitorPolicy`: what is watched, what is wrong, and how sure that is.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::monitor_policy::{Operation, Severity};
use crate::core::is_zero;

/// Most findings that a status lists; the totals in its summary are exact beyond it.
pub const MAX_LISTED_FINDINGS: usize = 20;
/// Most occurrences that a status lists.
pub const MAX_LISTED_OCCURRENCES: usize = 20;
/// Most that a status lists of what is pending.
pub const MAX_LISTED_PENDING: usize = 20;

/// What polywatch found. Written by the operator only, at most once a second, and only when it changed.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct MonitorPolicyStatus {
    /// Generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready: every rule compiled and every resource is being watched. Compliant: no finding is open; Unknown
    /// while not everything is watched, so that "no findings" never means "not looking". Notifying: what is owed to the
    /// sinks of spec.notify arrives; absent when there are none. Reports: all open findings are listed in Reports and
    /// ClusterReports of openreports.io, or why they are not; nothing else depends on that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,

    /// Exact totals.
    #[serde(default)]
    pub summary: Summary,

    /// One state for each entry of spec.resources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub resources: Vec<ResourceStatus>,

    /// One entry for each rule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub rules: Vec<RuleStatus>,

    /// The worst open findings, the oldest first among equals. At most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub findings: Vec<FindingStatus>,

    /// What is wrong and is no finding yet, because it has not been for as long as its rule asks for; the oldest first.
    /// At most 20; summary.pending counts all. Refreshed with other changes, and otherwise every 30 seconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub pending: Vec<FindingStatus>,

    /// Open findings that are not listed here.
    #[serde(default)]
    pub findings_omitted: i64,

    /// Expressions that do not fit the schema of a kind that they are about, in the order of the spec. At most 20.
    /// The policy is in force nevertheless.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub warnings: Vec<ExpressionWarning>,

    /// Warnings that are not listed here.
    #[serde(default)]
    pub warnings_omitted: i64,

    /// How it goes with each sink of spec.notify.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["sink".into()]))]
    pub notify: Vec<NotifyStatus>,

    /// The latest changes that a rule with on does not allow, the newest first. At most 20; the totals in summary
    /// and rules count all. They happened, and stand for nothing that is wrong now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub occurrences: Vec<OccurrenceStatus>,
}

/// Exact totals of a policy.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Resources being watched, of those that the policy names, such as "3/3".
    #[serde(default)]
    pub watching: String,
    /// Objects selected by the policy. Refreshed with other changes, and otherwise every 30 seconds.
    #[serde(default)]
    pub objects: i64,
    /// Open findings.
    #[serde(default)]
    pub open_findings: i64,
    /// Open findings of severity critical.
    #[serde(default)]
    pub critical: i64,
    /// Open findings of severity high.
    #[serde(default)]
    pub high: i64,
    /// Open findings of severity medium.
    #[serde(default)]
    pub medium: i64,
    /// Open findings of severity low.
    #[serde(default)]
    pub low: i64,
    /// Open findings of severity info.
    #[serde(default)]
    pub info: i64,
    /// Objects that do not satisfy a rule, and not for as long as it asks for. Refreshed with other changes, and otherwise
    /// every 30 seconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pending: i64,
    /// Pairs of rule and object that could not be judged because the rule failed on the object.
    #[serde(default)]
    pub rule_errors: i64,
    /// Changes that a rule with on does not allow and that happened, since the policy exists.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub occurrences: i64,
}

/// What becomes of one entry of spec.resources.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ResourceStatus {
    /// Name of the entry.
    pub name: String,
    /// Whether its objects are being watched, and if not, why.
    pub state: ResourceState,
    /// Group, version and plural that are watched, such as "deployments.v1.apps". Absent while not installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Objects selected now. Refreshed with other changes, and otherwise every 30 seconds.
    #[serde(default)]
    pub objects: i64,
    /// What is wrong and what to do. While the state is Watching: that there is more than is remembered over a restart, so
    /// that rules on changes and drift do not judge what changes while polywatch is down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Since when the state is what it is (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// State of a watched resource.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResourceState {
    /// All objects are known and every change arrives.
    Watching,
    /// The first list is still being read, or the objects are still being judged.
    Syncing,
    /// Was watched, and the connection is lost at present: what is known may be out of date.
    Stale,
    /// The API server does not serve this kind, or not in this version. The watch starts when it does.
    NotInstalled,
    /// polywatch may not list and watch it. The message says what is missing and which rule grants it.
    Forbidden,
    /// The API server rejects the selection as it is written.
    Invalid,
}

/// How it goes with one sink.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NotifyStatus {
    /// Name of the AlertSink.
    pub sink: String,
    /// Whether what is owed to it arrives.
    pub state: NotifyState,
    /// Why not, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Open findings that the sink is told of. Refreshed with other changes, and otherwise every 30 seconds.
    #[serde(default)]
    pub open: i64,
    /// Groups of findings of which there is something to tell now. Refreshed as open is.
    #[serde(default)]
    pub owed: i64,
    /// Open findings that the sink is not told of, because their object has the annotation polywatch.dev/silence-until.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub silenced: i64,
    /// Until when nothing new is told, while a window of mute lasts (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub muted_until: Option<String>,
}

/// Whether what is owed to a sink arrives.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotifyState {
    /// It does.
    Ready,
    /// It does not; the status of the AlertSink says more.
    NotReady,
    /// There is no AlertSink of this name.
    NotFound,
}

/// What one rule found.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RuleStatus {
    /// Name of the rule.
    pub name: String,
    /// Open findings of this rule.
    #[serde(default)]
    pub open: i64,
    /// Objects that do not satisfy this rule, and not for as long as it asks for.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pending: i64,
    /// Objects on which the rule failed; they are neither compliant nor findings.
    #[serde(default)]
    pub errors: i64,
    /// Changes that this rule does not allow and that happened, since the policy has it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub occurrences: i64,
    /// Why the rule does not compile, or its last failure on an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// One open finding, or what is pending and will be one.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct FindingStatus {
    /// Rule that is not satisfied.
    pub rule: String,
    /// How bad it is.
    pub severity: Severity,
    /// The object that does not satisfy it. Absent for a group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ObjectRef")]
    pub resource: Option<ObjectRef>,
    /// The key of the group that does not satisfy it, of a rule with groupBy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// What is wrong.
    pub message: String,
    /// When the finding opened; of a rule with for, when it began to be false (RFC 3339).
    pub since: String,
    /// Until when no sink is told of it, as the annotation polywatch.dev/silence-until of the object says (RFC 3339).
    /// Absent when the policy has no notify.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silenced_until: Option<String>,
    /// What is wrong with that annotation, so that it silences nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silence_problem: Option<String>,
    /// How often it opened within the time of the rule's flapping, the last time included. Absent while that is once.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub flaps: i64,
    /// The fields that differ from their baseline, of a drift rule. At most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldStatus>,
    /// Fields that differ as well and are not listed here.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub fields_omitted: i64,
    /// What was looked up on the way to what is wrong, of a rule that reads lookups: up to the one that failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<LinkStatus>,
}

/// What one lookup found.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LinkStatus {
    /// Name of the lookup.
    pub lookup: String,
    /// Group and version of what it looks for.
    pub api_version: String,
    /// Kind of what it looks for.
    pub kind: String,
    /// The objects that it found. At most 3.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<LinkObject>,
    /// Objects that it found as well and that are not listed here.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub omitted: i64,
    /// What is wrong with it, when this is the link that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// One object that a lookup found.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LinkObject {
    /// Namespace; absent for cluster scoped objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
}

/// One change that a rule does not allow.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct OccurrenceStatus {
    /// Rule that does not allow it.
    pub rule: String,
    /// How bad it is.
    pub severity: Severity,
    /// The object that it happened to.
    pub resource: ObjectRef,
    /// What happened to it.
    pub operation: Operation,
    /// What is wrong with that.
    pub message: String,
    /// When it was seen (RFC 3339).
    pub time: String,
    /// Resource version of the object after the change; of one that was deleted, of its last known state. Audit logs
    /// of the API server have the same.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    /// The fields that changed. At most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldStatus>,
    /// Fields that changed as well and are not listed here.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub fields_omitted: i64,
}

/// One field that changed, or that differs from its baseline. Values are compact JSON, cut at 128 bytes; those of
/// Secrets are not shown.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct FieldStatus {
    /// Path of the field, such as spec.containers[name=app].image.
    pub path: String,
    /// Its value before, or in the baseline. Absent when the field was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Its value after. Absent when the field is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Field manager that did it, as metadata.managedFields tells; several, separated by commas, when it may have
    /// been any of them. Absent when it is not known: a manager that only removes fields leaves no trace there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<String>,
    /// Apply for server-side apply, otherwise Update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// Subresource through which it was done, such as scale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subresource: Option<String>,
    /// When the manager did it; when it was seen, if that is not known (RFC 3339).
    pub time: String,
}

/// Names one object of the cluster.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Namespace; absent for cluster scoped objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
    /// UID, which tells an object from a later one of the same name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Name of the entry of spec.resources that selected it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selected_by: Option<String>,
}

/// Something in an expression that does not fit the schema of a kind: a field that it does not have, a comparison
/// or a function of values of other types.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ExpressionWarning {
    /// Path of the expression, such as "spec.rules[2].expression".
    pub field: String,
    /// Rule that the expression is of; absent for match conditions and variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Line and column in the expression, such as "1:14".
    pub position: String,
    /// What is wrong, and the name that was probably meant.
    pub message: String,
    /// Names of the entries of spec.resources whose kinds it does not fit.
    pub resources: Vec<String>,
}
