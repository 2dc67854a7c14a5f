//! Webhooks: CloudEvents 1.0 over HTTP, signed if a key is given.
//!
//! In: a notice. Out: a POST for each of its events, or for lists of them
//! (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md>). When one fails,
//! the rest waits, and everything is sent again with the ids that it had.

mod config;
mod events;

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use ring::hmac;
use serde::Serialize;

use events::{DEFAULT_SOURCE, Event, events};

pub use config::{MAX_HEADERS, WebhookConfig, WebhookMode};

use super::http::{Address, Http, Mask, secret_header};
use super::{Receipt, SecretKey, Secrets, SendError, Sink, SpecError};
use crate::core::alert::Notice;

/// Most events in one request.
const MAX_BATCH: usize = 100;
/// Most requests under way at once.
const MAX_REQUESTS: usize = 8;
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const SIGNATURE: HeaderName = HeaderName::from_static("x-polywatch-signature");

/// One receiver.
#[derive(Debug)]
pub struct Webhook {
    http: Http,
    to: To,
    mode: WebhookMode,
    source: String,
    headers: HeaderMap,
    secret_headers: BTreeMap<String, (HeaderName, SecretKey)>,
    signing_key: Option<SecretKey>,
}

#[derive(Debug)]
enum To {
    Address(Address),
    Secret(SecretKey),
}

/// What is the same for all requests of one notice.
struct Delivery<'a> {
    address: Address,
    headers: HeaderMap,
    key: Option<hmac::Key>,
    secrets: &'a Secrets,
    mask: Mask,
}

impl Webhook {
    /// From what users wrote.
    ///
    /// # Errors
    /// Everything in it that can not work.
    pub fn new(config: &WebhookConfig) -> Result<Self, Vec<SpecError>> {
        let mut problems = config.problems();
        let to = match (&config.url, &config.url_secret) {
            (Some(url), _) => Address::new("webhook.url", url)
                .map(To::Address)
                .map_err(|problem| problems.push(problem))
                .ok(),
            (None, secret) => secret.clone().map(To::Secret),
        };
        let Some(to) = to.filter(|_| problems.is_empty()) else { return Err(problems) };
        let name = |name: &str| HeaderName::from_bytes(name.as_bytes()).ok();
        let header = |(key, value): (&String, &String)| name(key).zip(HeaderValue::from_str(value).ok());
        let secret = |(key, secret): (&String, &SecretKey)| {
            name(key).map(|name| (name.as_str().to_owned(), (name, secret.clone())))
        };
        Ok(Self {
            http: Http::new(config.tls.as_ref(), config.auth.as_ref()),
            to,
            mode: config.mode,
            source: config.source.clone().unwrap_or_else(|| DEFAULT_SOURCE.to_owned()),
            headers: config.headers.iter().filter_map(header).collect(),
            secret_headers: config.secret_headers.iter().filter_map(secret).collect(),
            signing_key: config.signing_key.clone(),
        })
    }

    /// Its Secrets beside those of the connection.
    fn own_secrets(&self) -> Vec<SecretKey> {
        let url = match &self.to {
            To::Secret(key) => Some(key),
            To::Address(_) => None,
        };
        let headers = self.secret_headers.values().map(|(_, key)| key);
        url.into_iter().chain(headers).chain(&self.signing_key).cloned().collect()
    }

    fn delivery<'a>(&self, secrets: &'a Secrets) -> Result<Delivery<'a>, SendError> {
        let address = match &self.to {
            To::Address(address) => address.clone(),
            To::Secret(key) => Address::secret(key, secrets.text(key)?)?,
        };
        let mut headers = self.headers.clone();
        for (name, key) in self.secret_headers.values() {
            headers.insert(name, secret_header(key, secrets.text(key)?)?);
        }
        // As other values: without the line break that files end with.
        let signing_key = self.signing_key.as_ref().map(|key| secrets.text(key)).transpose()?;
        let key = signing_key.map(|key| hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()));
        let mut mask = self.http.mask(secrets, &self.own_secrets());
        mask.hide_query(&address);
        Ok(Delivery { address, headers, key, secrets, mask })
    }

    async fn post(
        &self,
        delivery: &Delivery<'_>,
        kind: &'static str,
        id: &str,
        body: &impl Serialize,
    ) -> Result<(), SendError> {
        let name = delivery.address.name();
        let bug = |error: &dyn std::fmt::Display| SendError::Permanent(format!("{name}: {error}"));
        let body = serde_json::to_vec(body).map_err(|error| bug(&error))?;
        let mut headers = delivery.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_str(id).map_err(|error| bug(&error))?);
        if let Some(key) = &delivery.key {
            let signature = signature(key, Timestamp::now().as_second(), &body);
            headers.insert(SIGNATURE, HeaderValue::from_str(&signature).map_err(|error| bug(&error))?);
        }
        let answer =
            self.http.post(&delivery.address, headers, body, delivery.secrets, &delivery.mask).await?;
        answer.accepted().map(drop)
    }

    async fn post_each(&self, delivery: &Delivery<'_>, events: &[Event<'_>]) -> Result<(), SendError> {
        let mut requests = Vec::new();
        for event in events {
            requests.push(self.post(delivery, "application/cloudevents+json", &event.id, event));
        }
        stream::iter(requests).buffered(MAX_REQUESTS).try_collect().await
    }

    async fn post_lists(&self, delivery: &Delivery<'_>, events: &[Event<'_>]) -> Result<(), SendError> {
        for events in events.chunks(MAX_BATCH) {
            // That of the first is that of the list: lists of one notice are the same each time.
            let Some(Event { id, .. }) = events.first() else { break };
            self.post(delivery, "application/cloudevents-batch+json; charset=UTF-8", id, &events).await?;
        }
        Ok(())
    }
}

/// By which a receiver knows that the body is ours and how old it is; the time is signed with it.
fn signature(key: &hmac::Key, seconds: i64, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(key);
    context.update(format!("{seconds}.").as_bytes());
    context.update(body);
    let digits: String = context.sign().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={seconds},v1={digits}")
}

impl Sink for Webhook {
    fn kind(&self) -> &'static str {
        "webhook"
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
            let events = events(notice, &self.source);
            if !events.is_empty() {
                let delivery = self.delivery(secrets)?;
                match self.mode {
                    WebhookMode::Structured => self.post_each(&delivery, &events).await?,
                    WebhookMode::Batched => self.post_lists(&delivery, &events).await?,
                }
            }
            Ok(Receipt::default())
        })
    }
}

#[cfg(test)]
mod tests;
