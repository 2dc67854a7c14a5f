//! Compares the watches that are wanted with those that run, and starts and stops accordingly.

use std::collections::BTreeMap;
use std::hash::RandomState;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, JoinSet};
use tracing::info;

use super::board::{Board, Health};
use super::catalog::{Catalog, Unresolved};
use super::interest::{WatchKey, resource_of, wanted};
use super::stream::{Deliver, Settings, follow};
use crate::core::engine::{Assignment, Route};
use crate::core::event::{ObjectEvent, WatchId};
use crate::core::paths::Paths;
use crate::core::policy::PolicySet;
use crate::core::project::Projection;
use crate::judge::Judge;
use crate::metrics::{Metrics, ResourceLabel};

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
}

struct Running {
    id: WatchId,
    projection: Arc<Projection>,
    relist: Arc<Notify>,
    stream: Option<AbortHandle>,
}

impl Manager {
    /// Runs until one of the inputs ends, or a stream does, which none should. Dropping the future stops every stream.
    pub async fn run(
        self,
        mut policies: watch::Receiver<Arc<PolicySet>>,
        mut catalog: watch::Receiver<Arc<Catalog>>,
    ) {
        let mut running: BTreeMap<WatchKey, Running> = BTreeMap::new();
        let mut streams = JoinSet::new();
        let mut last_id = 0;
        loop {
            let set = policies.borrow_and_update().clone();
            let served = catalog.borrow_and_update().clone();
            self.reconcile(&set, &served, &mut running, &mut streams, &mut last_id).await;
            let ended = loop {
                tokio::select! {
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
        running: &mut BTreeMap<WatchKey, Running>,
        streams: &mut JoinSet<()>,
        last_id: &mut u64,
    ) {
        let mut wanted = wanted(policies, catalog);
        if wanted.namespaces {
            wanted.watches.entry(WatchKey::namespaces()).or_default();
        }
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
        for key in wanted.watches.keys().filter(|key| !running.contains_key(key)).cloned().collect::<Vec<_>>()
        {
            *last_id += 1;
            let projection = Projection::new(Paths::whole(), &key.api_version(), &key.kind);
            let projection = Arc::new(projection.telling_secrets_apart(self.secrets.clone()));
            let (id, relist) = (WatchId(*last_id), Arc::default());
            running.insert(key, Running { id, projection, relist, stream: None });
        }
        // From now on they are kept; what is known already is to be read again, once the judge knows why.
        let wider = wanted.managed_fields.iter().filter_map(|key| running.get(key));
        let wider = wider.filter(|watch| watch.projection.keep_managed_fields() && watch.stream.is_some());
        let relist: Vec<Arc<Notify>> = wider.map(|watch| watch.relist.clone()).collect();
        let id_of = |key: &WatchKey| running.get(key).map(|watch| watch.id);
        let namespaces = id_of(&WatchKey::namespaces()).filter(|_| wanted.namespaces);
        let routes: BTreeMap<WatchId, Route> = wanted
            .watches
            .iter()
            .filter_map(|(key, readers)| {
                Some((id_of(key)?, Route { readers: readers.clone(), resource: resource_of(key) }))
            })
            .collect();
        let board = wanted
            .watches
            .iter()
            .filter_map(|(key, readers)| Some((id_of(key)?, (key.resource(), readers.clone()))))
            .collect();
        self.settings.metrics.watches_wanted.set(wanted.watches.len() as i64);
        self.board.assign(board, namespaces, &wanted.unresolved, Timestamp::now());
        self.settings.metrics.watches_running.set(self.board.running() as i64);
        let absent = wanted.unresolved.into_iter();
        let absent =
            absent.filter(|(_, why)| matches!(why, Unresolved::NotInstalled(_))).map(|(reader, _)| reader);
        // Before any stream of it starts, the judge knows what its events are for.
        let assignment =
            Assignment { policies: policies.clone(), routes, namespaces, absent: absent.collect() };
        self.judge.assign(assignment).await;
        relist.into_iter().for_each(|relist| relist.notify_one());
        for (key, watch) in running.iter_mut().filter(|(_, watch)| watch.stream.is_none()) {
            info!(watch = %key, "watch started");
            let sink = Sink {
                id: watch.id,
                label: Arc::new(ResourceLabel { resource: key.resource() }),
                judge: self.judge.clone(),
                board: self.board.clone(),
                metrics: self.settings.metrics.clone(),
            };
            let (projection, relist) = (watch.projection.clone(), watch.relist.clone());
            let stream = follow(self.settings.clone(), key.clone(), projection, relist, sink);
            watch.stream = Some(streams.spawn(stream));
        }
    }
}

struct Sink {
    id: WatchId,
    label: Arc<ResourceLabel>,
    judge: Judge,
    board: Arc<Board>,
    metrics: Arc<Metrics>,
}

impl Deliver for Sink {
    async fn event(&mut self, event: ObjectEvent) {
        self.judge.event(self.id, &self.label, event).await;
    }

    fn health(&mut self, health: Health) {
        if self.board.note(self.id, health, Timestamp::now()) {
            self.metrics.watches_running.set(self.board.running() as i64);
        }
    }
}
