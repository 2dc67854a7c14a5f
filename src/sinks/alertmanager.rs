//! Alertmanager: what is open is an alert, told again and again.
//!
//! In: a notice. Out: a POST of its alerts to each member of the cluster
//! (<https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml>). Every alert carries its end, so what is
//! no longer told of ends by itself, and so does an alert whose labels were others: Alertmanager knows it by all of
//! them. The one before a change of severity is ended at once.

mod alerts;
mod config;
mod labels;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use tokio::time::timeout;
use tracing::{info, warn};

use alerts::{Alert, Times, alerts};
use labels::Labels;

pub use config::{AlertmanagerConfig, MAX_LABELS, MAX_URLS};

use super::http::{Address, Http, Mask};
use super::{Receipt, SecretKey, Secrets, SendError, Sink, SpecError};
use crate::core::alert::Notice;

/// Most alerts in one request.
const MAX_ALERTS: usize = 64;
/// How long other members are waited for once one took everything.
const GRACE: Duration = Duration::from_secs(2);

/// The members of one cluster.
#[derive(Debug)]
pub struct Alertmanager {
    http: Http,
    members: Vec<Member>,
    labels: Labels,
    times: Times,
}

#[derive(Debug)]
struct Member {
    address: Address,
    /// What was logged last, so that nothing is logged each minute.
    failing: AtomicBool,
}

impl Alertmanager {
    /// From what users wrote.
    ///
    /// # Errors
    /// Everything in it that can not work.
    pub fn new(config: &AlertmanagerConfig) -> Result<Self, Vec<SpecError>> {
        let mut problems = config.problems();
        let mut members = Vec::new();
        for (n, url) in config.urls.iter().enumerate() {
            match Address::base(&format!("alertmanager.urls[{n}]"), url) {
                Ok(address) => members
                    .push(Member { address: address.join("api/v2/alerts"), failing: AtomicBool::new(false) }),
                Err(problem) => problems.push(problem),
            }
        }
        let resend = config.resend_interval().map_err(|problem| problems.push(problem));
        let occurrences = config.occurrences_last().map_err(|problem| problems.push(problem));
        match (resend, occurrences) {
            (Ok(resend), Ok(occurrences)) if problems.is_empty() => Ok(Self {
                http: Http::new(config.tls.as_ref(), config.auth.as_ref()),
                members,
                labels: config.labels.clone(),
                times: Times { resend, occurrences },
            }),
            _ => Err(problems),
        }
    }

    /// One member: every alert, or the first error.
    async fn tell(
        &self,
        member: &Member,
        bodies: &[Vec<u8>],
        secrets: &Secrets,
        mask: &Mask,
    ) -> Result<(), SendError> {
        for body in bodies {
            let headers =
                HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
            let answer = self.http.post(&member.address, headers, body.clone(), secrets, mask).await?;
            answer.accepted_by_api()?;
        }
        Ok(())
    }

    /// All members. One that took everything is enough: the others are told again at the next interval, and one that
    /// is gone for good must not keep the others from hearing what is open, nor make the sender wait.
    async fn tell_all(&self, bodies: &[Vec<u8>], secrets: &Secrets) -> Result<(), SendError> {
        let mask = self.http.mask(secrets, &[]);
        let tell = |(n, member)| {
            let told = self.tell(member, bodies, secrets, &mask);
            async move { (n, told.await) }
        };
        let mut telling: FuturesUnordered<_> = self.members.iter().enumerate().map(tell).collect();
        let late = || SendError::Passing { why: "it gives no answer".to_owned(), retry_after: None };
        let mut told: Vec<Result<(), SendError>> = self.members.iter().map(|_| Err(late())).collect();
        let mut one_did = false;
        loop {
            let next = match one_did {
                true => timeout(GRACE, telling.next()).await.unwrap_or_default(),
                false => telling.next().await,
            };
            let Some((n, outcome)) = next else { break };
            one_did |= outcome.is_ok();
            told[n] = outcome;
        }
        for (member, told) in self.members.iter().zip(&told).filter(|_| one_did) {
            let failed = member.failing.swap(told.is_err(), Ordering::Relaxed);
            let member = member.address.name();
            match told {
                Ok(()) if failed => info!(member, "this Alertmanager takes alerts again"),
                Err(error) if !failed => {
                    warn!(member, %error, "this Alertmanager takes no alerts; another of the sink does");
                }
                _ => {}
            }
        }
        if one_did { Ok(()) } else { Err(mildest(told)) }
    }
}

/// Of several, the one that leaves most hope: a member that can not be reached now may take what others refuse.
fn mildest(told: Vec<Result<(), SendError>>) -> SendError {
    let rank = |error: &SendError| match error {
        SendError::Passing { .. } => 0,
        SendError::Credentials(_) => 1,
        SendError::Permanent(_) => 2,
    };
    let none = || SendError::Permanent("alertmanager.urls is empty".to_owned());
    told.into_iter().filter_map(Result::err).min_by_key(rank).unwrap_or_else(none)
}

fn bodies(alerts: &[Alert]) -> Result<Vec<Vec<u8>>, SendError> {
    let pack = |alerts: &[Alert]| {
        serde_json::to_vec(alerts).map_err(|error| SendError::Permanent(format!("alerts as JSON: {error}")))
    };
    alerts.chunks(MAX_ALERTS).map(pack).collect()
}

impl Sink for Alertmanager {
    fn kind(&self) -> &'static str {
        "alertmanager"
    }

    fn secrets(&self) -> Vec<SecretKey> {
        self.http.secrets()
    }

    fn resend(&self) -> Option<Duration> {
        Some(self.times.resend)
    }

    fn send<'a>(
        &'a self,
        notice: &'a Notice,
        secrets: &'a Secrets,
    ) -> BoxFuture<'a, Result<Receipt, SendError>> {
        async {
            let alerts = alerts(notice, &self.labels, &self.times, Timestamp::now());
            self.tell_all(&bodies(&alerts)?, secrets).await?;
            Ok(Receipt::default())
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;
