//! What users write of a webhook.

use std::collections::{BTreeMap, BTreeSet};

use kube::KubeSchema;
use reqwest::header::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sinks::http::config::{IS_URL, NO_URL};
use crate::sinks::http::{Auth, Tls};
use crate::sinks::{SecretKey, SpecError};

/// Most headers of each kind.
pub const MAX_HEADERS: usize = 16;

/// Headers that requests have anyway, or that are about the connection.
const RESERVED: [&str; 13] = [
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "idempotency-key",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-polywatch-signature",
];
/// Headers whose values are credentials.
const SECRET: [&str; 2] = ["authorization", "cookie"];

const IS_HEADER: &str = "self.all(k, k.size() <= 128 && k.matches('^[A-Za-z0-9][-A-Za-z0-9_]*$'))";
const NO_HEADER: &str =
    "names of headers are letters, digits, hyphens and underscores, and at most 128 of them";
const IS_FREE: &str = "self.all(k, !(k.lowerAscii() in ['connection', 'content-length', 'content-type', 'expect', \
                       'host', 'idempotency-key', 'proxy-authorization', 'te', 'trailer', 'transfer-encoding', \
                       'upgrade', 'user-agent', 'x-polywatch-signature']))";
const NOT_FREE: &str = "content-type, user-agent, idempotency-key, x-polywatch-signature and headers about the \
                        connection are set by polywatch";

/// A receiver of CloudEvents 1.0 in JSON. Each is about one finding:
/// dev.polywatch.finding.opened, .changed, .resolved or .occurred, with the finding as data, and why it is sent and its
/// group beside it. Of a group too large to be told finding by finding, and of what is open when a policy is first
/// judged, there is one dev.polywatch.group.summary. A test message is a dev.polywatch.test.
///
/// What is sent again, because nobody knows whether it arrived, has the same id, so a receiver can drop what it has.
/// Answers of 2xx are taken for success; 408, 425, 429 and 5xx are tried again, later if Retry-After says so.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.url) != has(self.urlSecret)")
        .message("a webhook has either url or, when the address is a credential itself, urlSecret"),
    validation = Rule::new(
        "!has(self.headers) || !has(self.secretHeaders) || \
         self.headers.all(k, !self.secretHeaders.exists(s, s.lowerAscii() == k.lowerAscii()))"
    )
    .message("a header is either in headers or in secretHeaders"),
    validation = Rule::new(
        "!has(self.auth) || !has(self.secretHeaders) || \
         !self.secretHeaders.exists(k, k.lowerAscii() == 'authorization')"
    )
    .message("auth sets the header Authorization: give one of them")
)]
pub struct WebhookConfig {
    /// Where events are posted to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = 2048))]
    #[x_kube(validation = Rule::new(IS_URL).message(NO_URL))]
    pub url: Option<String>,

    /// The same, of an address that whoever knows it can post to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SecretKey")]
    pub url_secret: Option<SecretKey>,

    /// Structured: a request for each event, with Content-Type application/cloudevents+json. Batched: requests with a
    /// list of at most 100, with Content-Type application/cloudevents-batch+json, which not every receiver knows.
    #[serde(default)]
    pub mode: WebhookMode,

    /// What the source of every event begins with; /policies/NAME follows. Tell clusters apart by it, such as
    /// //west.example/polywatch. Absent: /polywatch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(
        validation = Rule::new("self.matches('^[-A-Za-z0-9._~:/@%]+$')")
            .message("source must be a URI reference such as //west.example/polywatch, without query and fragment")
    )]
    pub source: Option<String>,

    /// Headers of every request.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend(
        "maxProperties" = MAX_HEADERS,
        "additionalProperties" = serde_json::json!({ "type": "string", "maxLength": 1024 })
    ))]
    #[x_kube(
        validation = Rule::new(IS_HEADER).message(NO_HEADER),
        validation = Rule::new(IS_FREE).message(NOT_FREE),
        validation = Rule::new("self.all(k, !(k.lowerAscii() in ['authorization', 'cookie']))")
            .message("credentials belong in auth or secretHeaders"),
        validation = Rule::new("self.all(k, self[k].matches('^[ -~]*$'))")
            .message("values of headers are printable ASCII")
    )]
    pub headers: BTreeMap<String, String>,

    /// Headers of every request whose values are in Secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = MAX_HEADERS))]
    #[x_kube(
        validation = Rule::new(IS_HEADER).message(NO_HEADER),
        validation = Rule::new(IS_FREE).message(NOT_FREE)
    )]
    pub secret_headers: BTreeMap<String, SecretKey>,

    /// A key by which the receiver can tell that polywatch sent a request: each has a header X-Polywatch-Signature:
    /// t=UNIX,v1=HEX. HEX is the HMAC-SHA256 of UNIX, a full stop and the body as it arrives, with this key. To check,
    /// make the same of what arrived and compare it in constant time; refuse what is older than five minutes by UNIX,
    /// the time of sending in seconds, so that nobody can send it once more, and drop events whose id is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SecretKey")]
    pub signing_key: Option<SecretKey>,

    /// User and password, or a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Auth")]
    pub auth: Option<Auth>,

    /// How the receiver proves who it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Tls")]
    pub tls: Option<Tls>,
}

/// How events are put into requests.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WebhookMode {
    /// Each in its own.
    #[default]
    Structured,
    /// Many in one, as a list.
    Batched,
}

impl WebhookConfig {
    /// What the API server would refuse, of one that it did not see.
    pub(super) fn problems(&self) -> Vec<SpecError> {
        let mut problems = Vec::new();
        let mut problem = |field: &str, message: &str| {
            problems.push(SpecError { field: format!("webhook{field}"), message: message.to_owned() });
        };
        if self.url.is_some() == self.url_secret.is_some() {
            problem("", "a webhook has either url or, when the address is a credential itself, urlSecret");
        }
        let source = |c: char| c.is_ascii_alphanumeric() || "-._~:/@%".contains(c);
        if self.source.as_ref().is_some_and(|text| text.is_empty() || !text.chars().all(source)) {
            problem(".source", "must be a URI reference such as //west.example/polywatch");
        }
        if self.headers.len().max(self.secret_headers.len()) > MAX_HEADERS {
            problem(".headers", "there may be 16 of each kind");
        }
        for (name, value) in &self.headers {
            let field = format!(".headers.{name}");
            if SECRET.contains(&&*name.to_ascii_lowercase()) {
                problem(&field, "credentials belong in auth or secretHeaders");
            } else if HeaderValue::from_str(value).is_err() {
                problem(&field, "the value of a header is printable ASCII");
            }
        }
        let mut seen = BTreeSet::new();
        let names = self.headers.keys().map(|name| ("headers", name));
        for (kind, name) in names.chain(self.secret_headers.keys().map(|name| ("secretHeaders", name))) {
            let field = format!(".{kind}.{name}");
            let lower = name.to_ascii_lowercase();
            if HeaderName::from_bytes(name.as_bytes()).is_err() {
                problem(&field, "is no name of a header");
            } else if RESERVED.contains(&&*lower) {
                problem(&field, "is set by polywatch; remove it");
            } else if self.auth.is_some() && lower == "authorization" {
                problem(&field, "auth sets the same header: give one of them");
            }
            if !seen.insert(lower) {
                problem(&field, "the header is given twice; case does not tell headers apart");
            }
        }
        problems.extend(self.auth.iter().flat_map(|auth| auth.problems("webhook.auth")));
        problems
    }
}
