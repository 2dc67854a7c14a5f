//! Follows all objects of one of our own kinds: what comes, changes and goes, with lists after interruptions.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use futures::StreamExt;
use kube::api::Api;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tracing::debug;

use crate::core::rules::{MAX_MESSAGE_LEN, one_line};

/// An API server or CRD that comes back is noticed within this time.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A list that brings nothing for this long is given up and begun again.
const LIST_SILENCE: Duration = Duration::from_secs(30);

/// What becomes of the objects, each under its name.
pub(super) trait Follower {
    /// The kind, or a guard around it.
    type Object: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static;
    /// What is made of an object.
    type Known;

    /// Plural and group of the kind, for messages.
    const RESOURCE: &'static str;

    /// Makes something of an object; `known` is what was made of it before.
    fn take(&mut self, known: Option<&Self::Known>, object: Self::Object) -> Self::Known;

    /// Tells all that there is. `listed` when a list is complete.
    fn announce(&mut self, known: &BTreeMap<String, Self::Known>, listed: bool);

    /// Tells why the objects cannot be read at present.
    fn trouble(&mut self, error: String);

    /// Whether nobody listens any more.
    fn is_over(&self) -> bool;
}

/// Follows until [`Follower::is_over`]. An absent API server or CRD is waited for, with back-off.
pub(super) async fn follow<F: Follower>(client: Client, mut follower: F) {
    let api = Api::<F::Object>::all_with(client, &());
    let begin = || watcher(api.clone(), watcher::Config::default()).boxed();
    let mut events = begin();
    let mut pauses = pauses();
    let mut relisted: BTreeMap<String, F::Known> = BTreeMap::new();
    let mut known: BTreeMap<String, F::Known> = BTreeMap::new();
    let mut listing = true;
    while let Some(event) = within(listing, events.next()).await {
        let mut listed = false;
        match event {
            Ok(Event::Init) => {
                listing = true;
                relisted.clear();
                continue;
            }
            Ok(Event::InitApply(object)) => {
                let name = object.name_any();
                let taken = follower.take(known.get(&name), object);
                relisted.insert(name, taken);
                continue;
            }
            Ok(Event::InitDone) => {
                (listing, listed) = (false, true);
                known = std::mem::take(&mut relisted);
                pauses = self::pauses();
            }
            Ok(Event::Apply(object)) => {
                let name = object.name_any();
                let taken = follower.take(known.get(&name), object);
                known.insert(name, taken);
            }
            Ok(Event::Delete(object)) => drop(known.remove(&object.name_any())),
            Err(error) => {
                let text = explain(F::RESOURCE, &error);
                if is_expired(&error) {
                    debug!(error = %text, resource = F::RESOURCE, "listed again");
                } else {
                    follower.trouble(text);
                }
                if follower.is_over() {
                    return;
                }
                let pause = pauses.next().unwrap_or(LONGEST_PAUSE);
                tokio::time::sleep(pause.mul_f64(0.75 + 0.25 * fastrand::f64())).await;
                // A watch that is taken up again says nothing until something changes; only a complete list
                // tells that the trouble is over.
                events = begin();
                listing = true;
                continue;
            }
        }
        follower.announce(&known, listed);
        if follower.is_over() {
            return;
        }
    }
}

/// What comes next; in a list, silence is an error. On a watch it is nothing, and the watcher minds its end.
async fn within<K>(
    listing: bool,
    next: impl Future<Output = Option<Result<Event<K>, watcher::Error>>>,
) -> Option<Result<Event<K>, watcher::Error>> {
    if !listing {
        return next.await;
    }
    tokio::time::timeout(LIST_SILENCE, next).await.unwrap_or_else(|_| {
        let text = format!("the list brought nothing for {} s", LIST_SILENCE.as_secs());
        Some(Err(watcher::Error::InitialListFailed(kube::Error::Service(text.into()))))
    })
}

/// Between two attempts: doubling from a quarter of a second.
fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(250))
        .with_max_delay(LONGEST_PAUSE)
        .with_factor(2.0)
        .without_max_times()
        .build()
}

/// The server has forgotten what came after the last change that was seen: no trouble, only a list more.
fn is_expired(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::WatchError(status) | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => {
            status.code == 410
        }
        _ => false,
    }
}

fn explain(resource: &str, error: &watcher::Error) -> String {
    let status = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status,
        other => return one_line(&other.to_string(), MAX_MESSAGE_LEN),
    };
    match status.code {
        404 => format!("the CustomResourceDefinition {resource} is not installed: kubectl apply -k crds/"),
        403 => {
            one_line(&format!("{}; apply config/rbac, or grant it by hand", status.message), MAX_MESSAGE_LEN)
        }
        _ => one_line(&status.message, MAX_MESSAGE_LEN),
    }
}
