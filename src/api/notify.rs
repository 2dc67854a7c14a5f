//! Who is told of the findings of a policy: `spec.notify`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::monitor_policy::{MAX_RULES, Severity, TIME_TO_WAIT};

/// Most sinks that one policy names.
pub const MAX_ROUTES: usize = 16;
/// Most labels by which findings are grouped.
pub const MAX_GROUP_LABELS: usize = 4;
/// Most windows of time in which one sink is left alone.
pub const MAX_SCHEDULES: usize = 8;

/// One sink, and what it is told of. Until a selection of the policy is complete nobody is told anything of it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.groupByLabels) || (has(self.groupBy) && 'Label' in self.groupBy)")
        .message("groupByLabels belongs to groupBy with Label in it"),
    validation = Rule::new("!has(self.groupBy) || !('Label' in self.groupBy) || has(self.groupByLabels)")
        .message("groupBy with Label needs groupByLabels, the keys of the labels")
)]
pub struct Notify {
    /// Name of the AlertSink. It need not exist yet; the condition Notifying says so while it does not.
    #[schemars(length(min = 1, max = 253))]
    pub sink: String,

    /// Only findings that are at least this bad. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Severity")]
    pub min_severity: Option<Severity>,

    /// Only findings of these rules. Absent: of all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = MAX_RULES), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub rules: Vec<String>,

    /// Only findings on objects in these namespaces. Absent: in all, and on objects that live in none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub namespaces: Vec<String>,

    /// No findings on objects in these namespaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub exclude_namespaces: Vec<String>,

    /// Only findings on objects whose labels match. A finding on a group of objects has no labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<LabelSelector>,

    /// What findings that are told in one message have in common, beside the policy. Absent: the rule. An empty list: all
    /// findings of the policy are one group. Of a group of more than 100 findings the sink is told totals and the worst
    /// ones, until none is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<GroupBy>", length(max = 3))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub group_by: Option<Vec<GroupBy>>,

    /// With Label in groupBy: the keys of the labels, whose values are of the object.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = MAX_GROUP_LABELS), inner(length(min = 1, max = 317)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub group_by_labels: Vec<String>,

    /// How long the first message of a group waits for more findings to tell with it. Absent: 10s; for an alertmanager
    /// sink, which groups by itself, 1s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 2, max = 16))]
    #[x_kube(
        validation = Rule::new(TIME_TO_WAIT)
            .message("groupWait must be a time in hours, minutes and seconds, such as 30s, 5m or 1h30m, and at most 720h")
    )]
    pub group_wait: Option<String>,

    /// Least time between two messages of a group that have news. Absent: 1m; for an alertmanager sink 5s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 2, max = 16))]
    #[x_kube(
        validation = Rule::new(TIME_TO_WAIT)
            .message("groupInterval must be a time in hours, minutes and seconds, such as 30s, 5m or 1h30m, and at most 720h")
    )]
    pub group_interval: Option<String>,

    /// After this time without news the sink is told again what is open. Absent: never; an alertmanager sink is told each
    /// minute, or as its own resendInterval says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 2, max = 16))]
    #[x_kube(
        validation = Rule::new(TIME_TO_WAIT)
            .message("resendInterval must be a time in hours, minutes and seconds, such as 30s, 5m or 1h30m, and at most 720h")
    )]
    pub resend_interval: Option<String>,

    /// Whether the sink is told when findings are resolved. Absent: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub send_resolved: Option<bool>,

    /// What the sink is told of what was wrong before the policy was first judged. Absent: Summary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "OnFirstSync")]
    pub on_first_sync: Option<OnFirstSync>,

    /// When the sink is not told anything new. What is true afterwards is told then. To silence a single object, annotate
    /// it: polywatch.dev/silence-until=2026-12-31T18:00:00Z.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = MAX_SCHEDULES))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub mute: Vec<MuteWindow>,
}

/// By what findings are grouped.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupBy {
    /// The rule.
    Rule,
    /// The namespace of the object.
    Namespace,
    /// The values of the labels that groupByLabels names.
    Label,
}

/// What is told of what was wrong before.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFirstSync {
    /// One summary of the policy, which is kept up to date until all of it is resolved.
    Summary,
    /// The same as of what is news.
    Each,
    /// Nothing.
    Nothing,
}

/// A time of the day on some days of the week.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct MuteWindow {
    /// The days on which it begins. Absent: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 7))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub days: Vec<Day>,

    /// When it begins, such as 22:00.
    #[schemars(length(min = 5, max = 5))]
    #[x_kube(
        validation = Rule::new("self.matches('^([01][0-9]|2[0-3]):[0-5][0-9]$')")
            .message("from must be a time of the day such as 22:00")
    )]
    pub from: String,

    /// When it ends, such as 06:00: on the next day, when that is not later than from.
    #[schemars(length(min = 5, max = 5))]
    #[x_kube(
        validation = Rule::new("self.matches('^([01][0-9]|2[0-3]):[0-5][0-9]$')")
            .message("to must be a time of the day such as 06:00")
    )]
    pub to: String,

    /// Time zone of the IANA database, such as Europe/Berlin. Absent: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
}

/// A day of the week.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Day {
    /// Monday.
    Monday,
    /// Tuesday.
    Tuesday,
    /// Wednesday.
    Wednesday,
    /// Thursday.
    Thursday,
    /// Friday.
    Friday,
    /// Saturday.
    Saturday,
    /// Sunday.
    Sunday,
}
