//! PagerDuty: one incident for each group of findings.
//!
//! In: a notice. Out: a POST for each event (<https://developer.pagerduty.com/docs/events-api-v2/overview/>), one after
//! the other. What is sent again is about the same incident, so it does no harm when a later one fails.

mod config;
mod events;

use futures::future::BoxFuture;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};

use events::{Action, Event, Payload, events};

pub use config::PagerDutyConfig;

use super::http::{Address, Http, Mask};
use super::text::{Template, default_title};
use super::{Receipt, SecretKey, Secrets, SendError, Sink, SpecError};
use crate::core::alert::Notice;
use crate::core::rules::one_line;

const API: &str = "https://events.pagerduty.com";
/// Most characters of a summary.
const MAX_SUMMARY: usize = 1024;

/// One service.
#[derive(Debug)]
pub struct PagerDuty {
    http: Http,
    address: Address,
    routing_key: SecretKey,
    source: Option<String>,
    summary: Option<Template>,
}

/// An event as it is posted.
#[derive(Serialize)]
struct Posted<'a> {
    routing_key: &'a str,
    event_action: &'static str,
    dedup_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Payload>,
}

/// What is said of an event that is not taken.
#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    errors: Vec<String>,
}

impl PagerDuty {
    /// From what users wrote.
    ///
    /// # Errors
    /// Everything in it that can not work.
    pub fn new(config: &PagerDutyConfig) -> Result<Self, Vec<SpecError>> {
        let mut problems = Vec::new();
        let mut noted = |problem| problems.push(problem);
        let address = Address::base("pagerDuty.url", config.url.as_deref().unwrap_or(API));
        let address = address.map_err(&mut noted).ok();
        let summary =
            config.summary.as_deref().map(|source| Template::new("pagerDuty.summary", source)).transpose();
        let summary = summary.map_err(&mut noted).ok();
        if config.source.as_ref().is_some_and(|source| source.trim().is_empty() || source.len() > 128) {
            let message = "is empty or has more than 128 bytes; give the name of the cluster".to_owned();
            noted(SpecError { field: "pagerDuty.source".to_owned(), message });
        }
        if config.url.as_ref().is_some_and(|url| url.contains("/v2/")) {
            let message = "is followed by /v2/enqueue by itself; remove /v2/...".to_owned();
            noted(SpecError { field: "pagerDuty.url".to_owned(), message });
        }
        match (address, summary) {
            (Some(address), Some(summary)) if problems.is_empty() => Ok(Self {
                http: Http::new(config.tls.as_ref(), None),
                address: address.join("v2/enqueue"),
                routing_key: config.routing_key.clone(),
                source: config.source.clone(),
                summary,
            }),
            _ => Err(problems),
        }
    }

    fn posted<'a>(&self, event: &Event, routing_key: &'a str) -> Result<Posted<'a>, SendError> {
        let dedup_key = match &self.source {
            Some(source) => format!("{source}/{}", event.incident),
            None => event.incident.clone(),
        };
        let posted = |event_action, payload: Option<Payload>| Posted {
            routing_key,
            event_action,
            dedup_key,
            client: payload.as_ref().map(|_| "polywatch"),
            payload,
        };
        match &event.action {
            Action::Resolve => Ok(posted("resolve", None)),
            Action::Trigger(notice) => {
                let summary = self.summary(notice)?;
                Ok(posted("trigger", Some(Payload::new(notice, summary, self.source.as_deref()))))
            }
        }
    }

    fn summary(&self, notice: &Notice) -> Result<String, SendError> {
        let own = self.summary.as_ref().map(|template| template.render(notice)).transpose()?;
        let summary = match own.filter(|text| !text.trim().is_empty()) {
            // What users write need not say that it is a test.
            Some(text) if notice.is_test() => format!("[test] {text}"),
            Some(text) => text,
            None => default_title(notice),
        };
        Ok(one_line(&summary, MAX_SUMMARY))
    }

    async fn post(&self, posted: &Posted<'_>, secrets: &Secrets, mask: &Mask) -> Result<(), SendError> {
        let body = serde_json::to_vec(posted)
            .map_err(|error| SendError::Permanent(format!("the event as JSON: {error}")))?;
        let json = HeaderValue::from_static("application/json");
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, json)]);
        let answer = self.http.post(&self.address, headers, body, secrets, mask).await?;
        let refusal =
            if answer.status() == StatusCode::BAD_REQUEST { answer.json::<Refusal>() } else { None };
        // Of a key that is none, the status says no more than of any other fault.
        if refusal.is_some_and(|refusal| refusal.errors.iter().any(|error| error.contains("routing_key"))) {
            return Err(answer.refused());
        }
        answer.accepted_by_api().map(drop)
    }
}

impl Sink for PagerDuty {
    fn kind(&self) -> &'static str {
        "pagerDuty"
    }

    fn secrets(&self) -> Vec<SecretKey> {
        self.http.secrets().into_iter().chain([self.routing_key.clone()]).collect()
    }

    fn send<'a>(
        &'a self,
        notice: &'a Notice,
        secrets: &'a Secrets,
    ) -> BoxFuture<'a, Result<Receipt, SendError>> {
        Box::pin(async move {
            let events = events(notice);
            if !events.is_empty() {
                let routing_key = secrets.text(&self.routing_key)?;
                let mask = self.http.mask(secrets, std::slice::from_ref(&self.routing_key));
                for event in &events {
                    self.post(&self.posted(event, routing_key)?, secrets, &mask).await?;
                }
            }
            Ok(Receipt::default())
        })
    }
}

#[cfg(test)]
mod tests;
