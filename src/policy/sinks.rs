//! Follows the AlertSinks of the cluster and publishes what is in force.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kube::core::DeserializeGuard;
use kube::{Client, ResourceExt};
use tokio::sync::watch;
use tracing::{info, warn};

use super::follow::{Follower, follow};
use crate::api::alert_sink::{DEFAULT_CONCURRENCY, DEFAULT_TIMEOUT_SECONDS, TEST_REQUESTED};
use crate::api::{AlertSink, AlertSinkStatus};
use crate::core::rules::{MAX_MESSAGE_LEN, one_line};
use crate::metrics::{ErrorKind, Metrics};
use crate::sinks::Sink;

/// Every sink that exists, by name. None before they were read once.
pub type SinkSet = Option<Arc<BTreeMap<Arc<str>, Arc<CompiledSink>>>>;

/// One AlertSink, ready to use.
#[derive(Clone)]
pub struct CompiledSink {
    /// Its name.
    pub name: Arc<str>,
    /// UID of its object.
    pub uid: Arc<str>,
    /// Generation of its spec.
    pub generation: i64,
    /// Whether it asks to be left alone.
    pub suspended: bool,
    /// How long a message may take.
    pub timeout: Duration,
    /// Messages under way at once.
    pub concurrency: usize,
    /// The destination; what is wrong with the spec when there is none.
    pub destination: Result<Arc<dyn Sink>, String>,
    /// What asks for a test message.
    pub test: Option<String>,
    /// The status that it has in the cluster.
    pub status: Arc<AlertSinkStatus>,
}

impl fmt::Debug for CompiledSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompiledSink").field("name", &self.name).finish_non_exhaustive()
    }
}

type Guarded = DeserializeGuard<AlertSink>;

/// Follows the sinks until the receiver of `publish` is gone. An absent API server or CRD is waited for, with back-off.
pub async fn run(client: Client, publish: watch::Sender<SinkSet>, metrics: Arc<Metrics>) {
    follow(client, Sinks { publish, metrics, trouble: None }).await;
}

struct Sinks {
    publish: watch::Sender<SinkSet>,
    metrics: Arc<Metrics>,
    trouble: Option<String>,
}

impl Follower for Sinks {
    type Object = Guarded;
    type Known = Arc<CompiledSink>;

    const RESOURCE: &'static str = "alertsinks.polywatch.dev";

    fn take(&mut self, known: Option<&Self::Known>, sink: Guarded) -> Self::Known {
        Arc::new(reconcile(known, sink))
    }

    fn announce(&mut self, known: &BTreeMap<String, Self::Known>, listed: bool) {
        if listed {
            info!(sinks = known.len(), "sinks loaded");
        }
        self.trouble = None;
        let sinks = known.values().map(|sink| (sink.name.clone(), sink.clone())).collect();
        self.publish.send_replace(Some(Arc::new(sinks)));
    }

    fn trouble(&mut self, error: String) {
        self.metrics.error(ErrorKind::SinkWatch);
        if self.trouble.as_ref() != Some(&error) {
            warn!(%error, "AlertSinks cannot be read; trying again");
            self.trouble = Some(error);
        }
    }

    fn is_over(&self) -> bool {
        self.publish.is_closed()
    }
}

/// Compiles a sink, unless this generation of it is compiled already.
fn reconcile(known: Option<&Arc<CompiledSink>>, DeserializeGuard(sink): Guarded) -> CompiledSink {
    let meta = sink.as_ref().map_or_else(|invalid| &invalid.metadata, |sink| &sink.metadata);
    let name: Arc<str> = meta.name.clone().unwrap_or_default().into();
    let uid: Arc<str> = meta.uid.clone().unwrap_or_default().into();
    let generation = meta.generation.unwrap_or_default();
    let same = known.filter(|known| known.uid == uid && known.generation == generation);
    let destination = match (same, &sink) {
        (Some(known), _) => known.destination.clone(),
        (None, Ok(sink)) => sink.spec.destination().map_err(|problems| {
            let problems: Vec<String> = problems.iter().map(|problem| format!("spec.{problem}")).collect();
            problems.join("; ")
        }),
        (None, Err(invalid)) => {
            let text = format!("{}; apply the sink again in the form of the installed CRD", invalid.error);
            Err(one_line(&text, MAX_MESSAGE_LEN))
        }
    };
    let spec = sink.as_ref().ok().map(|sink| &sink.spec);
    let seconds = spec.and_then(|spec| spec.timeout_seconds).unwrap_or(DEFAULT_TIMEOUT_SECONDS);
    let concurrency = spec.and_then(|spec| spec.concurrency).unwrap_or(DEFAULT_CONCURRENCY);
    let test = sink.as_ref().ok().and_then(|sink| sink.annotations().get(TEST_REQUESTED).cloned());
    let status = sink.as_ref().ok().and_then(|sink| sink.status.clone()).unwrap_or_default();
    CompiledSink {
        name,
        uid,
        generation,
        suspended: spec.is_some_and(|spec| spec.suspend),
        timeout: Duration::from_secs(seconds.into()),
        concurrency: usize::try_from(concurrency).unwrap_or(1).max(1),
        destination,
        test,
        status: Arc::new(status),
    }
}
