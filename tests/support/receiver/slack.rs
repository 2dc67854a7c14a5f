//! Slack: incoming webhooks (<https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>),
//! <https://docs.slack.dev/reference/methods/chat.postMessage> and
//! <https://docs.slack.dev/reference/methods/chat.update>.

mod blocks;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::check::Findings;
use super::server::{Answer, Judgement, Receiver, Request, Vendor};

/// A workspace with some channels, a bot's token, and an incoming webhook for the first channel.
#[derive(Debug)]
pub struct Slack {
    token: String,
    /// IDs by name.
    channels: BTreeMap<String, String>,
    /// Of the first channel.
    webhook_channel: String,
}

/// A message in a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// ID of the channel.
    pub channel: String,
    /// Its time, which is its name.
    pub ts: String,
    /// The first message of the thread that it is in; none for one in the channel itself.
    pub thread: Option<String>,
    /// Text; empty when there are blocks only.
    pub text: String,
    /// Blocks.
    pub blocks: Vec<Value>,
    /// Attachments.
    pub attachments: Vec<Value>,
    /// How often it was updated.
    pub edits: u32,
    /// Whether it came by the webhook.
    pub by_webhook: bool,
}

/// What can be read in the workspace.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SlackView {
    /// Messages by time, which is how they are ordered.
    pub messages: BTreeMap<String, Message>,
    /// How many there have been.
    count: u64,
}

impl SlackView {
    /// Messages in channels themselves, oldest first.
    pub fn roots(&self) -> Vec<&Message> {
        self.messages.values().filter(|message| message.thread.is_none()).collect()
    }

    /// Replies in the thread of a message, oldest first.
    pub fn replies(&self, ts: &str) -> Vec<&Message> {
        let below = |message: &&Message| message.thread.as_deref() == Some(ts);
        self.messages.values().filter(below).collect()
    }
}

impl Slack {
    /// The path of the webhook, which is its credential.
    pub const WEBHOOK_PATH: &'static str = "/services/T00000000/B00000000/abcdefghijklmnopqrstuvwx";
    /// The path below which methods are.
    pub const API_PATH: &'static str = "/api";

    /// Starts a workspace with channels, by name without `#`.
    ///
    /// # Panics
    /// Without a channel.
    pub fn start(channels: &[&str]) -> Receiver<Slack> {
        let id = |n: usize| format!("C{n:010}");
        assert!(!channels.is_empty(), "a workspace has a channel");
        let channels: BTreeMap<_, _> =
            channels.iter().enumerate().map(|(n, name)| (name.to_string(), id(n))).collect();
        // No word that scanners take for a token of Slack.
        let token = format!("{}-{:032x}", "xoxb", 7);
        Receiver::run(Slack { token, channels, webhook_channel: id(0) })
    }

    /// The bot's token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The ID of a channel.
    ///
    /// # Panics
    /// If there is none of that name.
    pub fn channel(&self, name: &str) -> &str {
        self.channels.get(name).unwrap_or_else(|| panic!("there is no channel {name}"))
    }

    /// By name, with or without `#`, or by ID.
    fn find(&self, channel: &str) -> Option<&str> {
        let name = channel.strip_prefix('#').unwrap_or(channel);
        self.channels.iter().find(|(known, id)| *known == name || *id == channel).map(|(_, id)| id.as_str())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Webhook,
    Post,
    Update,
}

impl Way {
    /// What it takes. Names and icons of their own are no longer for webhooks of apps.
    fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Webhook => {
                &["text", "blocks", "attachments", "thread_ts", "mrkdwn", "unfurl_links", "unfurl_media"]
            }
            Self::Post => &[
                "channel",
                "text",
                "blocks",
                "attachments",
                "thread_ts",
                "reply_broadcast",
                "mrkdwn",
                "parse",
                "link_names",
                "unfurl_links",
                "unfurl_media",
                "metadata",
                "username",
                "icon_emoji",
                "icon_url",
            ],
            Self::Update => &[
                "channel",
                "ts",
                "text",
                "blocks",
                "attachments",
                "parse",
                "link_names",
                "metadata",
                "reply_broadcast",
            ],
        }
    }

    /// Errors of methods are answered with 200.
    fn error(self, word: &str) -> Answer {
        match self {
            Self::Webhook => Answer::text(400, word),
            _ => Answer::json(200, &json!({"ok": false, "error": word})),
        }
    }
}

/// What is to be written where.
pub struct Writing {
    way: Way,
    channel: String,
    /// Of the message that is updated.
    ts: Option<String>,
    thread: Option<String>,
    body: Map<String, Value>,
    /// Whether Slack warns that no charset is named.
    without_charset: bool,
}

impl Vendor for Slack {
    type View = SlackView;
    type Message = Writing;

    fn judge(&self, request: &Request, view: &SlackView) -> Judgement<Writing> {
        let way = match request.path.as_str() {
            Self::WEBHOOK_PATH => Way::Webhook,
            "/api/chat.postMessage" => Way::Post,
            "/api/chat.update" => Way::Update,
            // Nobody knows whether this was once a webhook.
            path if path.starts_with("/services/") => {
                return Judgement::Refused(Answer::text(404, "no_service"));
            }
            path => {
                let error = json!({"ok": false, "error": "unknown_method"});
                return Judgement::Bad(Answer::json(200, &error), vec![format!("there is no {path}")]);
            }
        };
        if request.method != "POST" {
            return Judgement::Bad(
                Answer::text(405, "method not allowed"),
                vec![format!("{} is not POST", request.method)],
            );
        }
        let (kind, charset) = request.media_type();
        if kind != "application/json" || charset.as_ref().is_some_and(|charset| charset != "utf-8") {
            let why = format!("the content type is {kind:?} with charset {charset:?}");
            return Judgement::Bad(way.error("invalid_post_type"), vec![why]);
        }
        if way != Way::Webhook {
            match request.header("authorization").map(|value| value.strip_prefix("Bearer ")) {
                None => return Judgement::Refused(way.error("not_authed")),
                Some(None) => {
                    let why = "the token is not sent as Bearer".to_owned();
                    return Judgement::Bad(way.error("invalid_auth"), vec![why]);
                }
                Some(Some(token)) if token != self.token => {
                    return Judgement::Refused(way.error("invalid_auth"));
                }
                Some(Some(_)) => {}
            }
        }
        let body = match serde_json::from_slice(&request.body) {
            Ok(Value::Object(body)) => body,
            Ok(_) => return Judgement::Bad(way.error("json_not_object"), vec!["no object".to_owned()]),
            Err(error) => {
                let word = if way == Way::Webhook { "invalid_payload" } else { "invalid_json" };
                return Judgement::Bad(way.error(word), vec![format!("no JSON: {error}")]);
            }
        };
        self.read(way, body, charset.is_none(), view)
    }

    fn take(&self, writing: Writing, view: &mut SlackView) -> Answer {
        let text = |body: &Map<String, Value>| body.get("text").and_then(Value::as_str).map(str::to_owned);
        let list =
            |body: &Map<String, Value>, field: &str| body.get(field).and_then(Value::as_array).cloned();
        let body = &writing.body;
        let ts = match &writing.ts {
            Some(ts) => {
                if let Some(message) = view.messages.get_mut(ts) {
                    // What is not said stays.
                    message.text = text(body).unwrap_or_default();
                    message.blocks = list(body, "blocks").unwrap_or_else(|| message.blocks.clone());
                    message.attachments =
                        list(body, "attachments").unwrap_or_else(|| message.attachments.clone());
                    message.edits += 1;
                }
                ts.clone()
            }
            None => {
                view.count += 1;
                let ts = format!("{}.{:06}", Timestamp::now().as_second(), view.count);
                let message = Message {
                    channel: writing.channel.clone(),
                    ts: ts.clone(),
                    thread: writing.thread,
                    text: text(body).unwrap_or_default(),
                    blocks: list(body, "blocks").unwrap_or_default(),
                    attachments: list(body, "attachments").unwrap_or_default(),
                    edits: 0,
                    by_webhook: writing.way == Way::Webhook,
                };
                view.messages.insert(ts.clone(), message);
                ts
            }
        };
        if writing.way == Way::Webhook {
            return Answer::text(200, "ok");
        }
        let message = json!({"type": "message", "ts": ts, "text": text(body), "bot_id": "B00000000"});
        let mut answer = json!({"ok": true, "channel": writing.channel, "ts": ts, "message": message});
        if writing.way == Way::Update {
            answer["text"] = json!(text(body));
        }
        if writing.without_charset {
            answer["warning"] = json!("missing_charset");
            answer["response_metadata"] = json!({"warnings": ["missing_charset"]});
        }
        Answer::json(200, &answer)
    }

    fn refusal(&self, request: &Request) -> Answer {
        match request.path.as_str() {
            Self::WEBHOOK_PATH => Answer::text(400, "invalid_payload"),
            _ => Way::Post.error("invalid_arguments"),
        }
    }

    fn too_many(&self, request: &Request) -> Answer {
        match request.path.as_str() {
            Self::WEBHOOK_PATH => Answer::text(429, "rate_limited"),
            _ => Answer::json(429, &json!({"ok": false, "error": "ratelimited"})),
        }
    }
}

impl Slack {
    fn read(
        &self,
        way: Way,
        body: Map<String, Value>,
        without_charset: bool,
        view: &SlackView,
    ) -> Judgement<Writing> {
        let mut findings = Findings::default();
        findings.unknown(&body, "", way.fields());
        let word = blocks::check(&body, &mut findings);
        let channel = match way {
            Way::Webhook => self.webhook_channel.clone(),
            _ => findings.text(&body, "", "channel", true, 80).unwrap_or_default().to_owned(),
        };
        let ts = match way {
            Way::Update => findings.text(&body, "", "ts", true, 40).map(str::to_owned),
            _ => None,
        };
        let thread = findings.text(&body, "", "thread_ts", false, 40).map(str::to_owned);
        if !findings.fatal.is_empty() {
            return Judgement::Bad(way.error(word), [findings.fatal, findings.lenient].concat());
        }
        // An update names a channel by ID only.
        let found = match way {
            Way::Update => self.find(&channel).filter(|id| **id == channel),
            _ => self.find(&channel),
        };
        let Some(channel) = found.map(str::to_owned) else {
            return Judgement::Refused(way.error("channel_not_found"));
        };
        let there = |ts: &String| view.messages.get(ts).filter(|message| message.channel == channel);
        if ts.as_ref().is_some_and(|ts| there(ts).is_none()) {
            return Judgement::Refused(way.error("message_not_found"));
        }
        match thread.as_ref().map(there) {
            Some(None) => return Judgement::Refused(way.error("thread_not_found")),
            Some(Some(parent)) if parent.thread.is_some() => {
                findings.lenient("thread_ts is a reply, not the first message of a thread");
            }
            _ => {}
        }
        let writing = Writing { way, channel, ts, thread, body, without_charset };
        Judgement::Good(writing, findings.lenient)
    }
}
