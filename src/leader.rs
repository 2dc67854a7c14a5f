//! Leader election by a `coordination.k8s.io` Lease, in client-go's manner: whether another holder is alive is
//! judged by this process' own clock since it last saw the lease change, so clock skew between nodes does not
//! matter, and a holder that can not renew gives up before another may take over.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Client;
use kube::api::{Api, PostParams};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::api::FIELD_MANAGER;
use crate::metrics::{ErrorKind, Metrics};

/// How a lease is held.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Namespace of the lease.
    pub namespace: String,
    /// Name of the lease.
    pub name: String,
    /// Names this process among those that want the lease.
    pub identity: String,
    /// A lease that was not renewed for this long may be taken.
    pub duration: Duration,
}

impl Settings {
    /// A holder that has not managed to renew for this long stops leading.
    fn deadline(&self) -> Duration {
        self.duration * 2 / 3
    }

    /// Between two attempts.
    fn retry(&self) -> Duration {
        (self.duration / 7).max(Duration::from_millis(200)).mul_f64(0.8 + 0.4 * fastrand::f64())
    }
}

/// Holds or wants a lease.
pub struct Elector {
    api: Api<Lease>,
    settings: Settings,
    /// The lease as it was last seen, and when it was seen to change.
    observed: Option<(LeaseSpec, Instant)>,
    /// When the request was made that last took or renewed the lease: others count from no earlier.
    renewed: Instant,
    trouble: watch::Sender<Option<String>>,
}

/// A process that ends does not wait longer than this for its lease to be released.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(3);

impl Elector {
    /// An elector that holds nothing yet.
    pub fn new(client: Client, settings: Settings) -> Self {
        let api = Api::namespaced(client, &settings.namespace);
        let trouble = watch::Sender::new(None);
        Self { api, settings, observed: None, renewed: Instant::now(), trouble }
    }

    /// Waits until this process holds the lease.
    pub async fn acquire(&mut self, metrics: &Metrics) {
        let mut waiting_for = String::new();
        let mut last_error = String::new();
        let mut failing_since = None;
        loop {
            match tokio::time::timeout(self.settings.deadline(), self.attempt()).await {
                Ok(Ok(None)) => {
                    info!(lease = %self.settings.name, identity = %self.settings.identity, "leading");
                    self.trouble.send_replace(None);
                    return;
                }
                Ok(Ok(Some(holder))) if holder != waiting_for => {
                    info!(lease = %self.settings.name, %holder, "another replica leads; waiting");
                    waiting_for = holder;
                }
                Ok(Ok(Some(_))) => {}
                // Another replica may have been faster; the next attempt shows it.
                Ok(Err(error)) if is_conflict(&error) => {}
                Ok(Err(error)) => {
                    metrics.error(ErrorKind::Lease);
                    let error = self.explain(&error);
                    if error != last_error {
                        warn!("{error}; trying again");
                        last_error = error;
                    }
                    // A moment without an answer is nothing; nobody leading for long is.
                    if failing_since.get_or_insert_with(Instant::now).elapsed() >= self.settings.duration {
                        self.trouble.send_replace(Some(last_error.clone()));
                    }
                    tokio::time::sleep(self.settings.retry()).await;
                    continue;
                }
                Err(_) => {
                    metrics.error(ErrorKind::Lease);
                    warn!(lease = %self.settings.name, "no answer from the API server; trying again");
                }
            }
            failing_since = None;
            self.trouble.send_replace(None);
            tokio::time::sleep(self.settings.retry()).await;
        }
    }

    /// Why the lease has not been within reach for as long as one lasts: nobody may be leading.
    pub fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.subscribe()
    }

    fn explain(&self, error: &kube::Error) -> String {
        let Settings { namespace, name, .. } = &self.settings;
        let what = format!("the lease {name} in namespace {namespace} can not be taken");
        match error {
            kube::Error::Api(status) => format!(
                "{what}: {}. config/rbac grants the right, --namespace names another namespace, \
                 --no-leader-election does without",
                status.message
            ),
            other => format!("{what}: {other}"),
        }
    }

    /// Renews the lease until it is lost.
    pub async fn hold(&mut self, metrics: &Metrics) {
        loop {
            let until = self.renewed + self.settings.deadline();
            let renewal = async {
                tokio::time::sleep(self.settings.retry()).await;
                self.attempt().await
            };
            match tokio::time::timeout_at(until, renewal).await {
                Ok(Ok(None)) => {}
                Ok(Ok(Some(holder))) => {
                    warn!(lease = %self.settings.name, %holder, "another replica took the lease");
                    return;
                }
                Ok(Err(error)) => {
                    metrics.error(ErrorKind::Lease);
                    warn!(lease = %self.settings.name, %error, "lease can not be renewed");
                }
                Err(_) => {}
            }
            if self.renewed.elapsed() >= self.settings.deadline() {
                warn!(lease = %self.settings.name, "lease could not be renewed in time; no longer leading");
                return;
            }
        }
    }

    /// Gives the lease up, so that another replica need not wait for it to expire.
    pub async fn release(&mut self) {
        if tokio::time::timeout(RELEASE_TIMEOUT, self.give_up()).await.is_err() {
            debug!("lease not released in time; it expires");
        }
    }

    async fn give_up(&mut self) {
        let Ok(Some(mut lease)) = self.api.get_opt(&self.settings.name).await else {
            return;
        };
        let Some(spec) = lease.spec.as_mut().filter(|spec| self.is_own(spec)) else {
            return;
        };
        spec.holder_identity = None;
        spec.lease_duration_seconds = Some(1);
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        match self.api.replace(&self.settings.name, &self.params(), &lease).await {
            Ok(_) => info!(lease = %self.settings.name, "lease released"),
            Err(error) => debug!(%error, "lease not released; it expires"),
        }
    }

    /// One attempt to take or renew. Returns who holds it when somebody else does. A conflict says only that
    /// somebody wrote to it meanwhile.
    async fn attempt(&mut self) -> Result<Option<String>, kube::Error> {
        let asked = Instant::now();
        let holder = self.take().await?;
        if holder.is_none() {
            self.renewed = asked;
        }
        Ok(holder)
    }

    async fn take(&mut self) -> Result<Option<String>, kube::Error> {
        let Some(mut lease) = self.api.get_opt(&self.settings.name).await? else {
            let lease = Lease {
                metadata: ObjectMeta { name: Some(self.settings.name.clone()), ..ObjectMeta::default() },
                spec: Some(self.spec(None)),
            };
            return self.api.create(&self.params(), &lease).await.map(|_| None);
        };
        let spec = lease.spec.clone().unwrap_or_default();
        if self.observed.as_ref().is_none_or(|(known, _)| *known != spec) {
            self.observed = Some((spec.clone(), Instant::now()));
        }
        let holder = spec.holder_identity.clone().filter(|holder| !holder.is_empty());
        let seen_for = self.observed.as_ref().map_or(Duration::ZERO, |(_, at)| at.elapsed());
        let valid =
            Duration::from_secs(spec.lease_duration_seconds.unwrap_or_default().max(0).unsigned_abs().into());
        if let Some(holder) = holder
            && holder != self.settings.identity
            && seen_for < valid
        {
            return Ok(Some(holder));
        }
        lease.spec = Some(self.spec(Some(&spec)));
        // The resource version of what was read makes sure that only one taker succeeds.
        let lease = self.api.replace(&self.settings.name, &self.params(), &lease).await?;
        self.observed = lease.spec.map(|spec| (spec, Instant::now()));
        Ok(None)
    }

    fn is_own(&self, spec: &LeaseSpec) -> bool {
        spec.holder_identity.as_deref() == Some(self.settings.identity.as_str())
    }

    fn spec(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let own = before.filter(|spec| self.is_own(spec));
        let transitions =
            before.map_or(0, |spec| spec.lease_transitions.unwrap_or_default() + i32::from(own.is_none()));
        LeaseSpec {
            holder_identity: Some(self.settings.identity.clone()),
            lease_duration_seconds: i32::try_from(self.settings.duration.as_secs()).ok(),
            acquire_time: own.and_then(|spec| spec.acquire_time.clone()).or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }

    fn params(&self) -> PostParams {
        PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() }
    }
}

fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

#[cfg(test)]
mod tests;
