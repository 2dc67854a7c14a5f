//! What users write of Slack.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sinks::http::Tls;
use crate::sinks::{SecretKey, SpecError};

/// A channel of Slack: by an incoming webhook, or as an app with a token, which can keep what it says of a group
/// together.
///
/// As an app, the first message of a group begins a thread or is edited later, as onUpdate says. An app needs the scope
/// chat:write, and must be invited to the channel. Slack does not tell messages that are sent twice, so one whose answer
/// was lost may appear twice.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.webhookUrl) != has(self.token)")
        .message("give either webhookUrl, of an incoming webhook, or token and channel, of an app"),
    validation = Rule::new("has(self.token) == has(self.channel)")
        .message("token and channel belong together; an incoming webhook has its channel"),
    validation = Rule::new("!has(self.onUpdate) || has(self.token)")
        .message("onUpdate belongs to token: an incoming webhook can not refer to what it said"),
    validation = Rule::new("!has(self.apiUrl) || has(self.token)")
        .message("apiUrl belongs to token: an incoming webhook has its address")
)]
pub struct SlackConfig {
    /// The address of an incoming webhook. Whoever knows it can post, so it is in a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SecretKey")]
    pub webhook_url: Option<SecretKey>,

    /// The bot token of an app, such as xoxb-...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SecretKey")]
    pub token: Option<SecretKey>,

    /// The channel: its ID, such as C0123456789, or its name, which may change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 80))]
    #[x_kube(
        validation = Rule::new("self.matches('^[#@]?[^#@[:space:]]+$')")
            .message("channel is the ID or the name of one channel")
    )]
    pub channel: Option<String>,

    /// What becomes of later messages about a group. Absent: Thread.
    // Of an optional enumeration the schema would show the description of the type instead of this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "OnUpdate")]
    pub on_update: Option<OnUpdate>,

    /// The message: a template whose variables are the fields of the notice, with Slack's markup. In what comes from
    /// findings, the characters &, < and > are replaced, so that no text of an object can mention anybody. An empty
    /// result sends nothing. At most 12,000 bytes are sent. Absent: a title and a line for each finding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8192))]
    pub text: Option<String>,

    /// Where the API is. Absent: https://slack.com/api.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = 2048))]
    #[x_kube(
        validation = Rule::new("self.matches('^https?://[^/?#@[:space:]]+(/[^?#[:space:]]*)?$')")
            .message("apiUrl must be an address such as https://slack-gov.com/api, without query")
    )]
    pub api_url: Option<String>,

    /// How Slack proves who it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Tls")]
    pub tls: Option<Tls>,
}

/// What becomes of later messages about a group.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUpdate {
    /// They are replies in the thread of the first.
    #[default]
    Thread,
    /// The first one is edited, which notifies nobody.
    Update,
}

impl SlackConfig {
    /// What the API server would refuse, of one that it did not see.
    pub(super) fn problems(&self) -> Vec<SpecError> {
        let (webhook, app) = (self.webhook_url.is_some(), self.token.is_some());
        let channel = self.channel.as_deref().unwrap_or_default().trim_start_matches(['#', '@']);
        let odd = channel.is_empty() || channel.contains(|c: char| c.is_whitespace() || "#@".contains(c));
        [
            (
                webhook == app,
                "slack",
                "give either webhookUrl, of an incoming webhook, or token and channel, of an app",
            ),
            (app != self.channel.is_some(), "slack.channel", "token and channel belong together"),
            (self.channel.is_some() && odd, "slack.channel", "is not the ID or the name of one channel"),
            (self.on_update.is_some() && !app, "slack.onUpdate", "belongs to token; remove it"),
            (self.api_url.is_some() && !app, "slack.apiUrl", "belongs to token; remove it"),
        ]
        .into_iter()
        .filter(|(wrong, ..)| *wrong)
        .map(|(_, field, message)| SpecError { field: field.to_owned(), message: message.to_owned() })
        .collect()
    }
}
