//! One watch: `kube::runtime::watcher` turned into object events and signs of health.
//!
//! It never ends by itself. What the watcher leaves to its user is done here: back-off by the kind of error, a
//! bound on lists in flight, pages where lists cannot be streamed, a fresh list where a resource version expired.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures::{FutureExt, StreamExt};
use kube::Client;
use kube::api::Api;
use kube::core::{ApiResource, Status};
use kube::discovery::Scope;
use kube::runtime::watcher::{self, Event, watcher};
use tokio::sync::{Notify, Semaphore};
use tracing::{debug, warn};

use super::access;
use super::board::Health;
use super::interest::WatchKey;
use super::metadata;
use super::object::{PROJECTION, WatchedObject};
use super::transport::{CONVERSATION, Conversation};
use crate::api::MEMORY_LABEL;
use crate::api::status::ResourceState;
use crate::core::event::ObjectEvent;
use crate::core::project::Projection;
use crate::core::rules::one_line;
use crate::metrics::{ErrorKind, Metrics, ResourceLabel};

/// A list that brings nothing for this long is given up and begun again.
const LIST_SILENCE: Duration = Duration::from_secs(30);
/// Most events that are delivered at once.
pub const MAX_BATCH: usize = 64;
/// Longest text of an API server's error that is kept, in bytes.
const MAX_ERROR_LEN: usize = 300;

/// What every stream needs, whatever it watches.
#[derive(Clone)]
pub struct Settings {
    /// The cluster.
    pub client: Client,
    /// How long a watch request lasts before it is made again; half of it to all of it, at random.
    pub watch_timeout: Duration,
    /// Bounds the lists in flight.
    pub lists: Arc<Semaphore>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
}

/// Where a stream delivers. Waiting in a method holds the stream up, and only this stream.
pub trait Deliver: Send {
    /// Takes events of objects, in order, at most [`MAX_BATCH`].
    fn events(&mut self, events: Vec<ObjectEvent>) -> impl Future<Output = ()> + Send;
    /// Takes a sign of health.
    fn health(&mut self, health: Health);
}

/// Follows `key` for ever. Whenever `relist` is notified, everything is listed again: after more is to be kept of
/// each object than before.
pub async fn follow(
    settings: Settings,
    key: WatchKey,
    projection: Arc<Projection>,
    relist: Arc<Notify>,
    mut deliver: impl Deliver,
) {
    let conversation = Arc::new(Conversation::default());
    let work = run(&settings, &key, &projection, &conversation, &relist, &mut deliver);
    CONVERSATION.scope(conversation.clone(), PROJECTION.scope(projection.clone(), work)).await;
}

/// How the first list is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Lists {
    Streamed,
    Paged,
}

async fn run(
    settings: &Settings,
    key: &WatchKey,
    projection: &Projection,
    conversation: &Conversation,
    relist: &Notify,
    deliver: &mut impl Deliver,
) {
    let label = ResourceLabel { resource: key.resource() };
    let mut lists = Lists::Streamed;
    let mut backoff = Backoff::default();
    let mut told = None;
    // Each turn is one watcher; a turn ends when its state can only be mended by a fresh one.
    loop {
        let shape = projection.begin_list();
        let client = match shape.is_metadata_only() {
            true => metadata::client(&settings.client),
            false => settings.client.clone(),
        };
        let mut events = pin!(watcher(api(client, key), config(settings, key, lists)));
        let mut listing = true;
        let mut permit = None;
        loop {
            if listing && permit.is_none() {
                // The semaphore is never closed.
                permit = settings.lists.clone().acquire_owned().await.ok();
            }
            let next = tokio::select! {
                biased;
                () = relist.notified() => break,
                next = within(listing, events.next()) => next,
                () = conversation.connected.notified() => {
                    // A list that is being read says more when it is complete.
                    if !listing {
                        // Else every break of a long life would make the next pause longer.
                        backoff = Backoff::default();
                        deliver.health(Health::Connected);
                    }
                    continue;
                }
            };
            let mut next = match next {
                Ok(next) => next,
                Err(Silence) => {
                    lists = Lists::Paged;
                    let text = format!("the list brought nothing for {} s", LIST_SILENCE.as_secs());
                    deliver.health(Health::Trouble(ResourceState::Syncing, text));
                    break;
                }
            };
            let mut batch = Vec::new();
            // What is there already goes along: handing over wakes another thread, which costs more than an event.
            let end = loop {
                match next {
                    Some(Ok(event)) => {
                        if let Event::Init = event {
                            settings.metrics.resyncs.get_or_create(&label).inc();
                        }
                        listing =
                            matches!(event, Event::Init) || (listing && !matches!(event, Event::InitDone));
                        batch.push(object_event(event));
                    }
                    Some(Err(error)) => break End::Failed(error),
                    None => break End::Over,
                }
                let complete = matches!(batch.last(), Some(ObjectEvent::Synced));
                // No list is asked for without a permit.
                if complete || batch.len() == MAX_BATCH || (listing && permit.is_none()) {
                    break End::Handed;
                }
                match events.next().now_or_never() {
                    Some(more) => next = more,
                    None => break End::Handed,
                }
            };
            let complete = matches!(batch.last(), Some(ObjectEvent::Synced));
            if !batch.is_empty() {
                deliver.events(batch).await;
            }
            if complete {
                permit = None;
                backoff = Backoff::default();
                told = None;
                deliver.health(Health::Complete);
            }
            let error = match end {
                End::Handed => continue,
                End::Over => break,
                End::Failed(error) => error,
            };
            // Others may list while this stream waits.
            drop(permit.take());
            settings.metrics.error(ErrorKind::Watch);
            let trouble = classify(&error);
            debug!(watch = %key, ?trouble, "watch in trouble");
            match trouble {
                Trouble::Expired => {
                    tokio::time::sleep(backoff.next(Duration::from_secs(5))).await;
                    break;
                }
                Trouble::NotStreamable if lists == Lists::Streamed => {
                    lists = Lists::Paged;
                    break;
                }
                Trouble::Garbled => {
                    let text = "the API server sent a line that can not be read; listing again".to_owned();
                    deliver.health(Health::Trouble(ResourceState::Syncing, text));
                    tokio::time::sleep(backoff.next(Duration::from_secs(10))).await;
                    break;
                }
                Trouble::Forbidden => {
                    let missing = access::missing_verbs(&settings.client, key).await;
                    let text = access::explain(key, &missing);
                    // Once, not at every attempt.
                    if told.as_ref() != Some(&text) {
                        warn!(watch = %key, "{text}");
                        told = Some(text.clone());
                    }
                    deliver.health(Health::Trouble(ResourceState::Forbidden, text));
                    tokio::time::sleep(backoff.next(Duration::from_secs(10))).await;
                }
                Trouble::NotServed => {
                    let text = format!("{} is not served at present: {}", key.resource(), text_of(&error));
                    deliver.health(Health::Trouble(ResourceState::NotInstalled, text));
                    tokio::time::sleep(backoff.next(Duration::from_secs(5))).await;
                }
                Trouble::Rejected | Trouble::NotStreamable => {
                    deliver.health(Health::Trouble(ResourceState::Invalid, text_of(&error)));
                    tokio::time::sleep(backoff.next(Duration::from_secs(60))).await;
                }
                Trouble::Lost => {
                    deliver.health(Health::Trouble(ResourceState::Syncing, text_of(&error)));
                    tokio::time::sleep(backoff.next(Duration::from_secs(10))).await;
                }
            }
        }
    }
}

fn object_event(event: Event<WatchedObject>) -> ObjectEvent {
    match event {
        Event::Init => ObjectEvent::Relisting,
        Event::InitApply(object) | Event::Apply(object) => ObjectEvent::Seen(object.object),
        Event::Delete(object) => ObjectEvent::Gone(object.object.key()),
        Event::InitDone => ObjectEvent::Synced,
    }
}

/// Why a batch ends.
enum End {
    /// There is no more at this moment.
    Handed,
    /// The watcher met an error.
    Failed(watcher::Error),
    /// The watcher has ended, which it does not do by itself.
    Over,
}

struct Silence;

async fn within<T>(listing: bool, next: impl Future<Output = T>) -> Result<T, Silence> {
    match listing {
        true => tokio::time::timeout(LIST_SILENCE, next).await.map_err(|_| Silence),
        false => Ok(next.await),
    }
}

fn api(client: Client, key: &WatchKey) -> Api<WatchedObject> {
    let resource = ApiResource {
        group: key.group.clone(),
        version: key.version.clone(),
        api_version: key.api_version(),
        kind: key.kind.clone(),
        plural: key.plural.clone(),
    };
    let scope = if key.namespaced { Scope::Namespaced } else { Scope::Cluster };
    let api = Api::dynamic(client, &resource, &scope);
    match &key.namespace {
        Some(namespace) => api.constrain(namespace),
        None => api,
    }
}

fn config(settings: &Settings, key: &WatchKey, lists: Lists) -> watcher::Config {
    let spread = settings.watch_timeout.as_secs_f64() * (0.5 + 0.5 * fastrand::f64());
    let mut config = watcher::Config::default().timeout((spread as u32).max(1));
    // What polywatch remembers is no concern of policies: one on Secrets would see each write, and so cause the next.
    let own = (key.group.is_empty() && key.plural == "secrets").then(|| format!("!{MEMORY_LABEL}"));
    let labels = Some(key.label_selector.clone()).filter(|text| !text.is_empty());
    let labels: Vec<String> = labels.into_iter().chain(own).collect();
    config.label_selector = Some(labels.join(",")).filter(|text| !text.is_empty());
    config.field_selector = Some(key.field_selector.clone()).filter(|text| !text.is_empty());
    match lists {
        Lists::Streamed => config.streaming_lists(),
        Lists::Paged => config,
    }
}

/// What an error of the watcher means.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Trouble {
    /// The resource version is too old: list again.
    Expired,
    /// A line could not be read, and what it said is lost: list again.
    Garbled,
    /// The server does not stream lists.
    NotStreamable,
    /// Not allowed.
    Forbidden,
    /// No such resource.
    NotServed,
    /// The request as such is wrong.
    Rejected,
    /// Anything that passes by itself.
    Lost,
}

fn status_of(error: &watcher::Error) -> Option<&Status> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => Some(status),
        _ => None,
    }
}

fn classify(error: &watcher::Error) -> Trouble {
    // JSON that is no watch event is taken for a status, and has nothing of one.
    if let watcher::Error::WatchFailed(cause) = error
        && match cause {
            kube::Error::SerdeError(_) => true,
            kube::Error::Api(status) => status.code == 0,
            _ => false,
        }
    {
        return Trouble::Garbled;
    }
    match status_of(error).map(|status| (status.code, status.message.as_str())) {
        Some((410, _)) => Trouble::Expired,
        Some((400 | 422, message))
            if message.contains("sendInitialEvents") || message.contains("resourceVersionMatch") =>
        {
            Trouble::NotStreamable
        }
        Some((403, _)) => Trouble::Forbidden,
        Some((404, _)) => Trouble::NotServed,
        Some((400 | 405 | 422, _)) => Trouble::Rejected,
        _ => Trouble::Lost,
    }
}

/// One bounded line. Transport errors carry their reason in their sources; the bytes of objects are in none.
fn text_of(error: &watcher::Error) -> String {
    if let Some(status) = status_of(error) {
        let text = if status.message.is_empty() { &status.reason } else { &status.message };
        return one_line(text, MAX_ERROR_LEN);
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    one_line(&text, MAX_ERROR_LEN)
}

/// Pauses between attempts: doubling from a quarter of a second, with jitter.
#[derive(Debug)]
struct Backoff(ExponentialBackoff);

impl Default for Backoff {
    fn default() -> Self {
        let builder = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(250))
            .with_max_delay(Duration::from_secs(60))
            .with_factor(2.0)
            .without_max_times();
        Self(builder.build())
    }
}

impl Backoff {
    fn next(&mut self, longest: Duration) -> Duration {
        let pause = self.0.next().unwrap_or(longest).min(longest);
        pause.mul_f64(0.75 + 0.25 * fastrand::f64())
    }
}

#[cfg(test)]
mod tests;
