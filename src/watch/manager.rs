//! Compares the watches that are wanted with those that run, and starts and stops accordingly.

use std::collections::BTreeMap;
use std::hash::RandomState;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tracing::info;

use super::board::{Board, Health};
use super::catalog::{Catalog, Unresolved};
use super::interest::{Part, Want, WatchKey, resource_of, wanted};
use super::kept::{Kept, Step};
use super::stream::{Deliver, Settings, follow};
use crate::api::status::ResourceState;
use crate::core::engine::{Assignment, Route, RouteMemory, Terms};
use crate::core::event::{ObjectEvent, WatchId};
use crate::core::policy::{CompiledPolicy, PolicySet};
use crate::core::project::{Projection, Shape};
use crate::judge::Judge;
use crate::metrics::{Metrics, ResourceLabel};

/// How long a list that is needed because more is to be kept waits for further reasons.
const DEBOUNCE: Duration = Duration::from_millis(500);

/// Everything a manager works with.
pub struct Manager {
    /// For the streams.
    pub settings: Settings,
    /// Takes the events.
    pub judge: Judge,
    /// Takes the states.
    pub board: Arc<Board>,
    /// Tells values of Secrets apart: random, and of this process only.
    pub secrets: RandomState,
    /// Takes what is wanted of each watch.
    pub intent: watch::Sender<Arc<Intent>>,
}

/// What is wanted of each watch.
pub type Intent = BTreeMap<WatchId, (WatchKey, Want)>;

struct Running {
    id: WatchId,
    projection: Arc<Projection>,
    kept: Kept,
    relist: Arc<Notify>,
    /// When what is known has to be listed again, because more is to be kept of it.
    relist_at: Option<Instant>,
    stream: Option<AbortHandle>,
}

impl Running {
    /// Keeps what is wanted now. More is kept after the next list, which is put off for a moment: where one policy
    /// changes, others follow.
    fn keep(&mut self, wanted: &Shape, now: Instant) {
        match self.kept.want(wanted) {
            None => {}
            Some(Step::Narrow(generation, shape)) => self.projection.narrow(generation, shape),
            Some(Step::Widen(generation, shape)) => {
                self.projection.widen(generation, shape);
                self.relist_at.get_or_insert(now + DEBOUNCE);
            }
        }
    }
}

impl Manager {
    /// Runs until one of the inputs ends, or a stream does, which none should. Dropping the future stops every stream.
    pub async fn run(
        self,
        mut policies: watch::Receiver<Arc<PolicySet>>,
        mut catalog: watch::Receiver<Arc<Catalog>>,
    ) {
        let mut running: BTreeMap<WatchKey, Running> = BTreeMap::new();
        // Told when a watch is refused, or no longer: then others are served otherwise.
        let reconsider: Arc<Notify> = Arc::default();
        let mut streams = JoinSet::new();
        let mut last_id = 0;
        loop {
            let set = policies.borrow_and_update().clone();
            let served = catalog.borrow_and_update().clone();
            self.reconcile(&set, &served, &reconsider, &mut running, &mut streams, &mut last_id).await;
            let ended = loop {
                let due = running.values().filter_map(|watch| watch.relist_at).min();
                tokio::select! {
                    () = until(due) => relist(&mut running),
                    () = reconsider.notified() => break false,
                    changed = policies.changed() => break changed.is_err(),
                    changed = catalog.changed() => break changed.is_err(),
                    // Those that were stopped are only reaped; none ends by itself.
                    Some(ended) = streams.join_next() => if !ended.is_err_and(|e| e.is_cancelled()) { break true },
                }
            };
            if ended {
                return;
            }
        }
    }

    async fn reconcile(
        &self,
        policies: &Arc<PolicySet>,
        catalog: &Catalog,
        reconsider: &Arc<Notify>,
        running: &mut BTreeMap<WatchKey, Running>,
        streams: &mut JoinSet<()>,
        last_id: &mut u64,
    ) {
        let states = self.board.watches();
        let refused = |watch: &Running| {
            states.get(&watch.id).is_some_and(|known| known.state.state == ResourceState::Forbidden)
        };
        let refused =
            running.iter().filter(|(_, watch)| refused(watch)).map(|(key, _)| key.clone()).collect();
        let wanted = wanted(policies, catalog, &refused);
        running.retain(|key, watch| {
            let keep = wanted.watches.contains_key(key);
            if !keep {
                info!(watch = %key, "watch stopped");
                if let Some(stream) = &watch.stream {
                    stream.abort();
                }
            }
            keep
        });
        let now = Instant::now();
        for (key, want) in &wanted.watches {
            let watch = running.entry(key.clone()).or_insert_with(|| {
                *last_id += 1;
                let projection = Projection::new(want.shape.clone(), &key.api_version(), &key.kind);
                Running {
                    id: WatchId(*last_id),
                    projection: Arc::new(projection.telling_secrets_apart(self.secrets.clone())),
                    kept: Kept::new(want.shape.clone()),
                    relist: Arc::default(),
                    relist_at: None,
                    stream: None,
                }
            });
            watch.keep(&want.shape, now);
        }
        let id_of = |key: &WatchKey| running.get(key).map(|watch| watch.id);
        let wants = wanted.watches.iter();
        let intent = wants.filter_map(|(key, want)| Some((id_of(key)?, (key.clone(), want.clone()))));
        self.intent.send_replace(Arc::new(intent.collect()));
        let namespaces = id_of(&WatchKey::namespaces()).filter(|_| wanted.namespaces);
        let route = |(key, want): (&WatchKey, &Want)| {
            let watch = running.get(key)?;
            let terms = |part: &Part| Terms { since: watch.kept.since(&part.shape), select: part.select };
            let terms = want.readers.iter().map(|(reader, part)| (reader.clone(), terms(part))).collect();
            let readers = want.readers.keys().cloned().collect();
            let needs = want.readers.iter();
            let needs = needs.map(|(reader, part)| (reader.clone(), part.shape.identity())).collect();
            let (resource, cluster_scoped) = (resource_of(key), !key.namespaced);
            let memory = Some(RouteMemory { name: key.identity().into(), needs });
            Some((watch.id, Route { readers, resource, terms, cluster_scoped, memory }))
        };
        let routes: BTreeMap<WatchId, Route> = wanted.watches.iter().filter_map(route).collect();
        let board = wanted.watches.iter().filter_map(|(key, want)| {
            Some((id_of(key)?, (key.resource(), want.readers.keys().cloned().collect())))
        });
        let board = board.collect();
        self.settings.metrics.watches_wanted.set(wanted.watches.len() as i64);
        self.board.assign(board, namespaces, &wanted.unresolved, Timestamp::now());
        self.settings.metrics.watches_running.set(self.board.running() as i64);
        let namespaces_since = running.get(&WatchKey::namespaces()).map(|watch| {
            let needing = policies.iter().filter(|(_, policy)| policy.needs_namespaces());
            let since = |policy: &CompiledPolicy| watch.kept.since(&policy.needs_of_namespaces().into());
            needing.map(|(key, policy)| (key.clone(), since(policy))).collect()
        });
        let namespaces_since = namespaces_since.unwrap_or_default();
        let absent = wanted.unresolved.into_iter();
        let absent =
            absent.filter(|(_, why)| matches!(why, Unresolved::NotInstalled(_))).map(|(reader, _)| reader);
        // Before any stream of it starts, the judge knows what its events are for.
        let assignment = Assignment {
            policies: policies.clone(),
            routes,
            namespaces,
            namespaces_since,
            absent: absent.collect(),
        };
        self.judge.assign(assignment).await;
        for (key, watch) in running.iter_mut().filter(|(_, watch)| watch.stream.is_none()) {
            info!(watch = %key, "watch started");
            let sink = Sink {
                id: watch.id,
                label: Arc::new(ResourceLabel { resource: key.resource() }),
                judge: self.judge.clone(),
                board: self.board.clone(),
                metrics: self.settings.metrics.clone(),
                refused: false,
                reconsider: reconsider.clone(),
            };
            let (projection, relist) = (watch.projection.clone(), watch.relist.clone());
            let stream = follow(self.settings.clone(), key.clone(), projection, relist, sink);
            watch.stream = Some(streams.spawn(stream));
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Has everything listed again that is due. What has not begun to list needs none.
fn relist(running: &mut BTreeMap<WatchKey, Running>) {
    let now = Instant::now();
    for (key, watch) in running.iter_mut().filter(|(_, watch)| watch.relist_at.is_some_and(|at| at <= now)) {
        watch.relist_at = None;
        info!(watch = %key, "listing again: more is kept of each object");
        watch.relist.notify_one();
    }
}

struct Sink {
    id: WatchId,
    label: Arc<ResourceLabel>,
    judge: Judge,
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    /// Whether the API server last refused it.
    refused: bool,
    reconsider: Arc<Notify>,
}

impl Deliver for Sink {
    async fn events(&mut self, events: Vec<ObjectEvent>) {
        self.judge.events(self.id, &self.label, events).await;
    }

    fn health(&mut self, health: Health) {
        let refused = matches!(health, Health::Trouble(ResourceState::Forbidden, _));
        if self.board.note(self.id, health, Timestamp::now()) {
            self.metrics.watches_running.set(self.board.running() as i64);
        }
        if std::mem::replace(&mut self.refused, refused) != refused {
            self.reconsider.notify_one();
        }
    }
}
