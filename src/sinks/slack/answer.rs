//! What Slack answers: the status does not say it all.

use serde::Deserialize;

use crate::sinks::SendError;
use crate::sinks::http::Answer;

/// Errors that another token or another scope mends.
const CREDENTIALS: [&str; 14] = [
    "access_denied",
    "account_inactive",
    "accesslimited",
    "ekm_access_denied",
    "invalid_auth",
    "missing_scope",
    "no_permission",
    "not_allowed_token_type",
    "not_authed",
    "org_login_required",
    "team_access_not_granted",
    "token_expired",
    "token_revoked",
    "two_factor_setup_required",
];
/// Errors that pass.
const PASSING: [&str; 9] = [
    "fatal_error",
    "internal_error",
    "message_limit_exceeded",
    "rate_limited",
    "ratelimited",
    "request_timeout",
    "service_unavailable",
    "team_added_to_org",
    "update_failed",
];
/// Errors that say that the message referred to can not be followed: it is gone, too old, or where we are not.
const UNREACHABLE: [&str; 9] = [
    "cannot_reply_to_message",
    "cant_update_message",
    "channel_not_found",
    "edit_window_closed",
    "invalid_thread_ts",
    "is_archived",
    "message_not_found",
    "not_in_channel",
    "thread_not_found",
];
/// What an incoming webhook says that was revoked, or never was.
const REVOKED: [&str; 5] = ["invalid_token", "no_active_hooks", "no_service", "no_team", "user_not_found"];

/// What every method answers (<https://docs.slack.dev/apis/web-api/#responses>), and those that post add.
#[derive(Deserialize)]
struct Body {
    ok: bool,
    #[serde(default)]
    error: String,
    #[serde(default)]
    channel: String,
    #[serde(default)]
    ts: String,
}

/// Where a message is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// ID of the channel.
    pub channel: String,
    /// What identifies it there.
    pub ts: String,
}

impl Place {
    /// From what was given as reference.
    pub(super) fn parse(reference: &str) -> Option<Self> {
        let (channel, ts) =
            reference.split_once(':').filter(|(channel, ts)| !channel.is_empty() && !ts.is_empty())?;
        Some(Self { channel: channel.to_owned(), ts: ts.to_owned() })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.channel, self.ts)
    }
}

/// Why a method did not do it.
pub(super) enum Failure {
    /// The message that it refers to can not be followed; a new one may.
    Unreachable(SendError),
    /// Anything else.
    Other(SendError),
}

impl From<Failure> for SendError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unreachable(error) | Failure::Other(error) => error,
        }
    }
}

/// Of a method of the API: where the message is, if it says so.
pub(super) fn of_method(answer: Answer<'_>) -> Result<Option<Place>, Failure> {
    let answer = answer.accepted().map_err(Failure::Other)?;
    let Some(body) = answer.json::<Body>() else { return Err(Failure::Other(answer.passing())) };
    if body.ok {
        return Ok(Place::parse(&format!("{}:{}", body.channel, body.ts)));
    }
    let error = body.error.as_str();
    Err(match error {
        _ if UNREACHABLE.contains(&error) => Failure::Unreachable(answer.permanent(remedy(error))),
        _ if CREDENTIALS.contains(&error) => Failure::Other(answer.refused()),
        _ if PASSING.contains(&error) => Failure::Other(answer.passing()),
        _ => Failure::Other(answer.permanent("")),
    })
}

/// Of an incoming webhook.
pub(super) fn of_webhook(answer: Answer<'_>) -> Result<(), SendError> {
    if !answer.status().is_success() && REVOKED.iter().any(|error| answer.says(error)) {
        return Err(answer.refused());
    }
    answer.accepted_by_api().map(drop)
}

fn remedy(error: &str) -> &'static str {
    match error {
        "channel_not_found" => "slack.channel must be the ID of a channel that the app can see",
        "not_in_channel" => "invite the app to the channel",
        "is_archived" => "give slack.channel one that is not archived",
        _ => "",
    }
}
