//! `AlertSink`: where findings are told.

// Each `printcolumn(...)` has its own `type_`, which the lint takes for one attribute given twice.
#![allow(clippy::duplicated_attributes)]

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::core::is_zero;
use crate::sinks::alertmanager::{Alertmanager, AlertmanagerConfig};
use crate::sinks::email::{Email, EmailConfig};
use crate::sinks::log::{Log, LogConfig};
use crate::sinks::pager_duty::{PagerDuty, PagerDutyConfig};
use crate::sinks::slack::{Slack, SlackConfig};
use crate::sinks::webhook::{Webhook, WebhookConfig};
use crate::sinks::{Sink, SpecError};

/// Annotation whose value is new when somebody asks for a test message.
pub const TEST_REQUESTED: &str = "polywatch.dev/test-requested";
/// Most dead letters that a status lists.
pub const MAX_LISTED_DEAD: usize = 10;
/// Default of `spec.timeoutSeconds`.
pub const DEFAULT_TIMEOUT_SECONDS: u32 = 10;
/// Default of `spec.concurrency`.
pub const DEFAULT_CONCURRENCY: u32 = 4;

/// Where to send, and how.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "polywatch.dev",
    version = "v1alpha1",
    kind = "AlertSink",
    plural = "alertsinks",
    shortname = "asink",
    category = "polywatch",
    status = "AlertSinkStatus",
    derive = "PartialEq",
    doc = "AlertSink is somewhere to tell of findings. A MonitorPolicy names it in spec.notify. Credentials are keys of \
           Secrets in the namespace of polywatch, read each time they are used.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#,
        description = "True while what is owed arrives."
    ),
    printcolumn(
        name = "Type",
        type_ = "string",
        json_path = ".status.type",
        description = "The kind of destination."
    ),
    printcolumn(
        name = "Owed",
        type_ = "integer",
        json_path = ".status.owed",
        description = "Groups of findings of which there is something to tell."
    ),
    printcolumn(
        name = "Dead",
        type_ = "integer",
        json_path = ".status.deadLetters",
        description = "Groups whose last message the destination refused for good."
    ),
    printcolumn(name = "Last Success", type_ = "date", json_path = ".status.lastSuccess"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        priority = 1,
        description = "Why the sink is ready, or is not."
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "[has(self.alertmanager), has(self.email), has(self.log), has(self.pagerDuty), has(self.slack), has(self.webhook)]\
         .filter(given, given).size() == 1"
    )
    .message("give exactly one destination: alertmanager, email, log, pagerDuty, slack or webhook")
)]
pub struct AlertSinkSpec {
    /// Sends nothing while true. What is owed then is told afterwards.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,

    /// Seconds after which a message that was not answered counts as failed. Absent: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32", range(min = 1, max = 30))]
    pub timeout_seconds: Option<u32>,

    /// Messages under way at once, each of another policy. Absent: 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32", range(min = 1, max = 16))]
    pub concurrency: Option<u32>,

    /// A Prometheus Alertmanager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "AlertmanagerConfig")]
    pub alertmanager: Option<AlertmanagerConfig>,

    /// Mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "EmailConfig")]
    pub email: Option<EmailConfig>,

    /// Lines of JSON, to the standard output of polywatch or to a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "LogConfig")]
    pub log: Option<LogConfig>,

    /// PagerDuty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PagerDutyConfig")]
    pub pager_duty: Option<PagerDutyConfig>,

    /// Slack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SlackConfig")]
    pub slack: Option<SlackConfig>,

    /// Any HTTP server, which gets CloudEvents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "WebhookConfig")]
    pub webhook: Option<WebhookConfig>,
}

impl AlertSinkSpec {
    /// The destination.
    ///
    /// # Errors
    /// What is wrong with the spec, beyond what the API server refuses.
    pub fn destination(&self) -> Result<Arc<dyn Sink>, Vec<SpecError>> {
        fn of<C, S: Sink + 'static>(
            config: Option<&C>,
            make: impl Fn(&C) -> Result<S, Vec<SpecError>>,
        ) -> Option<Result<Arc<dyn Sink>, Vec<SpecError>>> {
            config.map(|config| make(config).map(|sink| Arc::new(sink) as Arc<dyn Sink>))
        }
        let given = [
            of(self.alertmanager.as_ref(), Alertmanager::new),
            of(self.email.as_ref(), Email::new),
            of(self.log.as_ref(), Log::new),
            of(self.pager_duty.as_ref(), PagerDuty::new),
            of(self.slack.as_ref(), Slack::new),
            of(self.webhook.as_ref(), Webhook::new),
        ];
        let mut given = given.into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(one), None) => one,
            // The API server refuses it as well.
            _ => Err(vec![SpecError {
                field: "webhook".to_owned(),
                message: "give exactly one destination".to_owned(),
            }]),
        }
    }
}

/// How delivery goes. Written by the operator only, at most once a second, and only when it changed.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AlertSinkStatus {
    /// Generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready: what is owed arrives. False says why not and what to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,

    /// The kind of destination, such as slack.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,

    /// Groups of findings of which there is something to tell now.
    #[serde(default)]
    pub owed: i64,

    /// Messages that arrived since this process leads. Refreshed with other changes, and otherwise every 30 seconds.
    #[serde(default)]
    pub sent: i64,

    /// Attempts that failed since this process leads.
    #[serde(default)]
    pub failed: i64,

    /// Attempts that failed in a row, up to now.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failures_in_a_row: i64,

    /// When a message arrived last (RFC 3339). Refreshed with other changes, and otherwise every 30 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success: Option<String>,

    /// When an attempt failed last (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,

    /// Why. No credential is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,

    /// Groups whose last message the destination refused for good. Each is tried again when there is news of the group,
    /// or when this sink is changed.
    #[serde(default)]
    pub dead_letters: i64,

    /// The latest of them. At most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub dead: Vec<DeadLetter>,

    /// What became of the last test message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TestResult")]
    pub last_test: Option<TestResult>,
}

/// A message that was refused for good.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// Policy that it is of.
    pub policy: String,
    /// What its findings have in common; empty for the whole policy.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Why it was owed.
    pub reason: String,
    /// What it told of first.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub finding: String,
    /// What the destination said.
    pub error: String,
    /// When (RFC 3339).
    pub time: String,
}

/// What became of a test message.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TestResult {
    /// The value of the annotation polywatch.dev/test-requested that asked for it.
    pub requested: String,
    /// Whether it arrived.
    pub delivered: bool,
    /// What the destination said when it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When (RFC 3339).
    pub time: String,
}
