//! Slack: messages for people, those of one group together.
//!
//! In: a notice. Out: a message by an incoming webhook
//! (<https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>), or by `chat.postMessage` and
//! `chat.update` (<https://docs.slack.dev/reference/methods/chat.postMessage>). The reference that it gives is
//! `CHANNEL:TS`, where the first message of a group is.

mod answer;
mod config;
mod message;

use futures::future::BoxFuture;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Serialize;

use answer::{Failure, Place};
use message::{Message, escaped};

pub use config::{OnUpdate, SlackConfig};

use super::http::{Address, Auth, Http, Mask};
use super::text::{Template, default_text};
use super::{Receipt, SecretKey, Secrets, SendError, Sink, SpecError};
use crate::core::alert::{Notice, Reason};

const API: &str = "https://slack.com/api";

/// One channel.
#[derive(Debug)]
pub struct Slack {
    http: Http,
    way: Way,
    text: Option<Template>,
}

#[derive(Debug)]
enum Way {
    Webhook { url: SecretKey },
    App { api: Address, channel: String, on_update: OnUpdate },
}

/// What a method of the API is told.
#[derive(Serialize)]
struct Call<'a> {
    channel: &'a str,
    /// The message to edit.
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<&'a str>,
    /// The message whose thread it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_ts: Option<&'a str>,
    #[serde(flatten)]
    message: &'a Message,
}

/// Secrets and what hides them, for one notice.
struct Delivery<'a> {
    secrets: &'a Secrets,
    mask: Mask,
}

impl Slack {
    /// From what users wrote.
    ///
    /// # Errors
    /// Everything in it that can not work.
    pub fn new(config: &SlackConfig) -> Result<Self, Vec<SpecError>> {
        let mut problems = config.problems();
        let mut noted = |problem| problems.push(problem);
        let api = Address::base("slack.apiUrl", config.api_url.as_deref().unwrap_or(API));
        let api = api.map_err(&mut noted).ok();
        let text = config.text.as_deref().map(|source| Template::new("slack.text", source)).transpose();
        let text = text.map_err(&mut noted).ok();
        let way = match (&config.webhook_url, &config.channel, api) {
            (Some(url), ..) => Some(Way::Webhook { url: url.clone() }),
            (None, Some(channel), Some(api)) => {
                let on_update = config.on_update.unwrap_or_default();
                Some(Way::App { api, channel: channel.clone(), on_update })
            }
            _ => None,
        };
        let auth =
            config.token.clone().map(|token| Auth { basic_auth: None, bearer_token_secret: Some(token) });
        match (way, text) {
            (Some(way), Some(text)) if problems.is_empty() => {
                Ok(Self { http: Http::new(config.tls.as_ref(), auth.as_ref()), way, text })
            }
            _ => Err(problems),
        }
    }

    fn own_secrets(&self) -> Vec<SecretKey> {
        match &self.way {
            Way::Webhook { url } => vec![url.clone()],
            Way::App { .. } => Vec::new(),
        }
    }

    /// None when there is nothing to say.
    fn message(&self, notice: &Notice) -> Result<Option<Message>, SendError> {
        let notice =
            escaped(notice).map_err(|error| SendError::Permanent(format!("the notice as JSON: {error}")))?;
        let text = match &self.text {
            // What users write need not say that it is a test.
            Some(template) if notice.is_test() => format!("[test] {}", template.render(&notice)?),
            Some(template) => template.render(&notice)?,
            None => {
                let text = default_text(&notice);
                let (title, rest) = text.split_once('\n').unwrap_or((&text, ""));
                format!("*{}*\n{rest}", title.replace('*', "∗"))
            }
        };
        Ok(Message::new(&text))
    }

    /// The first message of a group, or the next one in the way that the spec wants it. What can not be followed any
    /// more is left where it is.
    async fn tell(
        &self,
        api: &Address,
        channel: &str,
        on_update: OnUpdate,
        notice: &Notice,
        message: &Message,
        delivery: &Delivery<'_>,
    ) -> Result<Receipt, SendError> {
        let first = notice.reference.as_deref().and_then(Place::parse).filter(|_| !notice.is_test());
        // An ID can be compared; a name may be that of the same channel.
        if let Some(first) = first.filter(|first| !is_id(channel) || first.channel == channel) {
            let (channel, ts) = (first.channel.as_str(), Some(first.ts.as_str()));
            let done = match on_update {
                OnUpdate::Thread => {
                    let call = Call { channel, ts: None, thread_ts: ts, message };
                    self.call(api, "chat.postMessage", &call, delivery).await
                }
                OnUpdate::Update => {
                    let call = Call { channel, ts, thread_ts: None, message };
                    self.call(api, "chat.update", &call, delivery).await
                }
            };
            match done {
                Ok(_) => return Ok(Receipt::default()),
                Err(Failure::Unreachable(_)) => {}
                Err(Failure::Other(error)) => return Err(error),
            }
        }
        let call = Call { channel, ts: None, thread_ts: None, message };
        let place = self.call(api, "chat.postMessage", &call, delivery).await?;
        let reference = place.filter(|_| !notice.is_test()).map(|place| place.to_string());
        Ok(Receipt { reference })
    }

    async fn call(
        &self,
        api: &Address,
        method: &str,
        call: &Call<'_>,
        delivery: &Delivery<'_>,
    ) -> Result<Option<Place>, Failure> {
        let answer = self.post(&api.join(method), call, delivery).await.map_err(Failure::Other)?;
        answer::of_method(answer)
    }

    async fn post<'m>(
        &self,
        address: &Address,
        body: &impl Serialize,
        delivery: &'m Delivery<'_>,
    ) -> Result<super::http::Answer<'m>, SendError> {
        let body = serde_json::to_vec(body)
            .map_err(|error| SendError::Permanent(format!("the message as JSON: {error}")))?;
        let json = HeaderValue::from_static("application/json; charset=utf-8");
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, json)]);
        self.http.post(address, headers, body, delivery.secrets, &delivery.mask).await
    }
}

/// Whether it is the ID of a channel, a group or a conversation, and not a name, which has no capitals.
fn is_id(channel: &str) -> bool {
    channel.starts_with(['C', 'G', 'D'])
        && channel.len() >= 9
        && channel.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
}

impl Sink for Slack {
    fn kind(&self) -> &'static str {
        "slack"
    }

    fn secrets(&self) -> Vec<SecretKey> {
        self.http.secrets().into_iter().chain(self.own_secrets()).collect()
    }

    fn send<'a>(
        &'a self,
        notice: &'a Notice,
        secrets: &'a Secrets,
    ) -> BoxFuture<'a, Result<Receipt, SendError>> {
        Box::pin(async move {
            // Slack remembers.
            let message = if notice.reason == Reason::Resend { None } else { self.message(notice)? };
            let Some(message) = message else { return Ok(Receipt::default()) };
            let delivery = Delivery { secrets, mask: self.http.mask(secrets, &self.own_secrets()) };
            match &self.way {
                Way::Webhook { url } => {
                    let address = Address::secret(url, secrets.text(url)?)?;
                    let answer = self.post(&address, &message, &delivery).await?;
                    answer::of_webhook(answer).map(|()| Receipt::default())
                }
                Way::App { api, channel, on_update } => {
                    self.tell(api, channel, *on_update, notice, &message, &delivery).await
                }
            }
        })
    }
}

#[cfg(test)]
mod tests;
