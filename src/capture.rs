//! Recording: what the watches of a cluster say, as lines of a history.
//!
//! In: the kinds that are wanted, and a client. Out: lines (`offline::history` has their form), until it is asked to
//! stop. The watches are the operator's own (`watch::stream`), so that a history has what an operator would have
//! seen: lists begun again, connections lost, and no value of a Secret.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use kube::discovery::{self, Scope, verbs};
use thiserror::Error;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::cluster::{self, ConnectError};
use crate::core::event::ObjectEvent;
use crate::core::project::Projection;
use crate::core::tree::Node;
use crate::metrics::Metrics;
use crate::offline::history::{Event, Header, Line, to_json};
use crate::watch::board::Health;
use crate::watch::interest::WatchKey;
use crate::watch::stream::{Deliver, Settings, follow};
use crate::watch::transport::Observe;

/// Events that may wait to be written; then the watches wait.
const QUEUE: usize = 1024;
/// Lists in flight at once.
const LISTS: usize = 4;
/// A question to the API server that is not answered by then is given up.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A kind that is to be recorded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// API group; empty for the core group.
    pub group: String,
    /// Version; none for the one that the server prefers.
    pub version: Option<String>,
    /// Kind.
    pub kind: String,
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let version = self.version.as_deref().unwrap_or("*");
        match self.group.as_str() {
            "" => write!(f, "{version}/{}", self.kind),
            group => write!(f, "{group}/{version}/{}", self.kind),
        }
    }
}

/// What is recorded, and for how long.
#[derive(Debug, Clone)]
pub struct Options {
    /// Context of the kubeconfig.
    pub context: Option<String>,
    /// The kinds.
    pub kinds: BTreeSet<Wanted>,
    /// Only this namespace; none for all.
    pub namespace: Option<String>,
    /// Ends after this time.
    pub limit: Option<Duration>,
    /// Ends after this many events.
    pub max_events: Option<u64>,
}

/// Why nothing could be recorded.
#[derive(Debug, Error)]
pub enum CaptureError {
    /// No client.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The API server does not answer.
    #[error("the API server can not be asked for its kinds: {0}")]
    Discovery(String),
    /// None of the kinds is served.
    #[error("the API server serves none of the kinds: {0}")]
    NothingServed(String),
    /// The lines cannot be written.
    #[error("the history can not be written: {0}")]
    Write(#[from] io::Error),
}

/// What was recorded.
#[derive(Debug, Default)]
pub struct Captured {
    /// Events.
    pub events: u64,
    /// Of each kind that is not complete, why.
    pub incomplete: Vec<String>,
}

/// Records until `stop` is done, or a limit is reached. `tell` takes a line of progress now and then.
///
/// # Errors
/// See [`CaptureError`].
pub async fn run(
    options: Options,
    stop: impl Future<Output = ()>,
    mut out: impl Write,
    tell: impl Fn(String),
) -> Result<Captured, CaptureError> {
    let metrics = Arc::new(Metrics::default());
    let client = cluster::connect(options.context.as_deref(), &Observe(metrics.clone())).await?;
    let (keys, mut captured) = resolve(&client, &options).await?;
    let settings = Settings {
        client,
        watch_timeout: Duration::from_secs(300),
        lists: Arc::new(Semaphore::new(LISTS)),
        metrics,
    };
    let (sender, mut said) = mpsc::channel(QUEUE);
    // Dropped at the end, and with it every task.
    let mut watches = JoinSet::new();
    for (at, key) in keys.iter().enumerate() {
        let projection = Arc::new(Projection::whole(&key.api_version(), &key.kind));
        let mouth = Mouth { at, sender: sender.clone() };
        watches.spawn(follow(settings.clone(), key.clone(), projection, Arc::default(), mouth));
    }
    write_line(&mut out, &Header::default())?;
    let mut states: Vec<State> = keys.iter().map(|_| State::default()).collect();
    let mut last = Timestamp::UNIX_EPOCH;
    let limit = async {
        match options.limit {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(stop, limit);
    while options.max_events.is_none_or(|most| captured.events < most) {
        let next = tokio::select! {
            biased;
            () = &mut stop => break,
            () = &mut limit => break,
            next = said.recv() => next,
        };
        let Some((at, next)) = next else { break };
        let (key, state) = (&keys[at], &mut states[at]);
        match next {
            Said::Event(event) => {
                // A clock may be set back, a history may not go back.
                last = last.max(Timestamp::now());
                let event = state.take(event);
                if matches!(event, Event::Synced {}) {
                    tell(format!("{}: {} objects listed, following changes", key.resource(), state.listed));
                }
                let (api_version, kind, resource) = (key.api_version(), key.kind.clone(), key.plural.clone());
                write_line(&mut out, &Line { time: last, api_version, kind, resource, event })?;
                captured.events += 1;
            }
            Said::Trouble(text) => {
                tell(format!("{}: {text}", key.resource()));
                state.trouble = Some(text);
            }
        }
    }
    for (key, state) in keys.iter().zip(&states).filter(|(_, state)| !state.complete) {
        let why = state.trouble.as_deref().unwrap_or("there was no time to list it");
        captured.incomplete.push(format!("{}: {why}", key.resource()));
    }
    Ok(captured)
}

fn write_line(out: &mut impl Write, line: &impl serde::Serialize) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    // Whole lines, so that what is there can be replayed whenever the recording ends.
    out.write_all(&text)?;
    out.flush()
}

/// What is known of the recording of one kind.
#[derive(Debug, Default)]
struct State {
    listed: usize,
    complete: bool,
    trouble: Option<String>,
}

impl State {
    fn take(&mut self, event: ObjectEvent) -> Event {
        match event {
            ObjectEvent::Relisting => {
                self.listed = 0;
                Event::Relisting {}
            }
            ObjectEvent::Seen(object) => {
                self.listed += 1;
                let mut json = to_json(object.root());
                if let Some(metadata) = json.get_mut("metadata").and_then(serde_json::Value::as_object_mut) {
                    // Beside what rules see: who changed a field is told from them when the history is replayed.
                    let managed = object
                        .managed_fields()
                        .map(Node::items)
                        .unwrap_or_default()
                        .iter()
                        .map(to_json)
                        .collect();
                    metadata.insert("managedFields".to_owned(), managed);
                }
                Event::Seen { object: json }
            }
            ObjectEvent::Gone(key) => Event::Gone { namespace: key.namespace, name: key.name },
            ObjectEvent::Synced => {
                self.complete = true;
                Event::Synced {}
            }
        }
    }
}

enum Said {
    Event(ObjectEvent),
    Trouble(String),
}

/// Hands on what one watch says.
struct Mouth {
    at: usize,
    sender: mpsc::Sender<(usize, Said)>,
}

impl Deliver for Mouth {
    async fn events(&mut self, events: Vec<ObjectEvent>) {
        for event in events {
            // Nobody listens any more when the recording ends.
            let _ = self.sender.send((self.at, Said::Event(event))).await;
        }
    }

    fn health(&mut self, health: Health) {
        if let Health::Trouble(_, text) = health {
            // Told again if it lasts.
            let _ = self.sender.try_send((self.at, Said::Trouble(text)));
        }
    }
}

/// The watches of the kinds that are served; the others are told of as incomplete.
async fn resolve(client: &Client, options: &Options) -> Result<(Vec<WatchKey>, Captured), CaptureError> {
    let (mut keys, mut captured) = (Vec::new(), Captured::default());
    for wanted in &options.kinds {
        let asked = tokio::time::timeout(TIMEOUT, discovery::group(client, &wanted.group));
        let group = match asked.await {
            Ok(Ok(group)) => group,
            Ok(Err(kube::Error::Discovery(_))) => {
                captured.incomplete.push(format!("{wanted}: the API server does not serve it"));
                continue;
            }
            Ok(Err(error)) => return Err(CaptureError::Discovery(error.to_string())),
            Err(_) => return Err(CaptureError::Discovery("it does not answer".to_owned())),
        };
        let version =
            wanted.version.clone().unwrap_or_else(|| group.preferred_version_or_latest().to_owned());
        let found = group.versioned_resources(&version).into_iter().find(|(resource, capabilities)| {
            resource.kind == wanted.kind && capabilities.supports_operation(verbs::WATCH)
        });
        let Some((resource, capabilities)) = found else {
            captured.incomplete.push(format!("{wanted}: the API server does not serve it"));
            continue;
        };
        let namespaced = capabilities.scope == Scope::Namespaced;
        let is_namespace = resource.group.is_empty() && resource.kind == "Namespace";
        let only = |applies: bool| options.namespace.clone().filter(|_| applies);
        keys.push(WatchKey {
            group: resource.group,
            version: resource.version,
            plural: resource.plural,
            kind: resource.kind,
            namespaced,
            namespace: only(namespaced),
            label_selector: String::new(),
            field_selector: only(is_namespace)
                .map(|name| format!("metadata.name={name}"))
                .unwrap_or_default(),
        });
    }
    if keys.is_empty() {
        return Err(CaptureError::NothingServed(captured.incomplete.join("; ")));
    }
    Ok((keys, captured))
}
