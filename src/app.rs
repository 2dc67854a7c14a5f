//! The composition root: puts the parts together, starts them in order, and stops them in order.
//!
//! Every replica reads the policies and serves HTTP; the one that holds the lease watches, judges and writes.

mod inspect;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use kube::Client;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tracing::{info, warn};

use self::inspect::{Inspect, Working};
use crate::cluster::{self, ConnectError};
use crate::core::engine::Engine;
use crate::debug;
use crate::http;
use crate::judge::Judge;
use crate::leader::{self, Elector};
use crate::metrics::Metrics;
use crate::nudge::{Fan, Nudges};
use crate::policy::{self, Published, SinkSet};
use crate::record::reports::Outcomes;
use crate::record::restore::restore;
use crate::record::store::Store;
use crate::record::{self, Sources};
use crate::watch::manager::Manager;
use crate::watch::schemas::Checker;
use crate::watch::stream::Settings;
use crate::watch::transport::{CONVERSATION, Observe};
use crate::watch::{Board, discovery};

/// Queued writes may take this long after the process was asked to stop. Shorter than the time for which the
/// lease stays valid, so that nobody else writes meanwhile.
const GRACE: Duration = Duration::from_secs(8);

/// What a process is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Context of the kubeconfig.
    pub context: Option<String>,
    /// Where HTTP is served.
    pub listen: SocketAddr,
    /// Where profiles and state are served; none for nowhere.
    pub debug_listen: Option<SocketAddr>,
    /// The lease; none to lead without one.
    pub lease: Option<leader::Settings>,
    /// The operator's own namespace.
    pub namespace: String,
    /// Names this process in Events.
    pub identity: String,
    /// How long a watch request lasts.
    pub watch_timeout: Duration,
    /// Lists in flight at once.
    pub concurrent_lists: usize,
}

/// Why the process ends other than by being asked to.
#[derive(Debug, Error)]
pub enum AppError {
    /// No client.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The address cannot be listened at.
    #[error("can not listen at {address} ({source}); choose another address with {option}")]
    Listen {
        /// What sets the address.
        option: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A thread could not be started.
    #[error("the judge can not be started: {0}")]
    Thread(#[source] std::io::Error),
    /// Another replica may lead by now, so this one must not go on.
    #[error("the lease was lost; the process ends so that a fresh one can wait for it")]
    LeaseLost,
    /// A part of the operator is gone, so that the rest would only look alive.
    #[error("{0} ended unexpectedly; the process ends so that a fresh one does its work. This is a bug")]
    PartEnded(&'static str),
}

/// Runs until `stop` is done.
///
/// # Errors
/// See [`AppError`].
pub async fn run(options: Options, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), AppError> {
    let metrics = Arc::new(Metrics::default());
    let client = cluster::connect(options.context.as_deref(), &Observe(metrics.clone())).await?;
    let listener = listen(options.listen, "--listen").await?;
    let debug_listener = match options.debug_listen {
        Some(address) => Some(listen(address, "--debug-listen").await?),
        None => None,
    };
    let (stopped, stopping) = watch::channel(false);
    // Dropped at the end, and with it every task.
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        stop.await;
        info!("asked to stop");
        stopped.send_replace(true);
        // Receivers treat a channel without sender as stopped, too.
        stopped.closed().await;
    });
    let (publish, published) = watch::channel(Published::default());
    let elector = options.lease.clone().map(|lease| Elector::new(client.clone(), lease));
    let lease = elector.as_ref().map(Elector::trouble);
    spawn_http(&mut tasks, listener, metrics.clone(), published.clone(), lease);
    let (working, at_work) = watch::channel(None);
    if let Some(listener) = debug_listener {
        let published = published.clone();
        spawn_debug(&mut tasks, listener, Inspect { metrics: metrics.clone(), published, at_work });
    }
    // Their watches are paced as any other.
    let policies = policy::run(client.clone(), publish, metrics.clone());
    tasks.spawn(CONVERSATION.scope(Arc::default(), policies));
    let (publish, sinks) = watch::channel(SinkSet::default());
    let following = policy::run_sinks(client.clone(), publish, metrics.clone());
    tasks.spawn(CONVERSATION.scope(Arc::default(), following));

    let lead = |stopping| {
        let followed = Followed { published: published.clone(), sinks: sinks.clone() };
        lead(&options, client.clone(), metrics.clone(), followed, &working, stopping)
    };
    let Some(mut elector) = elector else {
        metrics.leader.set(1);
        return tokio::select! {
            result = lead(stopping) => result,
            _ = tasks.join_next() => Err(AppError::PartEnded("the reader of policies or the HTTP server")),
        };
    };
    let mut waiting = stopping.clone();
    tokio::select! {
        () = elector.acquire(&metrics) => {}
        _ = waiting.changed() => return Ok(()),
        _ = tasks.join_next() => return Err(AppError::PartEnded("the reader of policies or the HTTP server")),
    }
    metrics.leader.set(1);
    let result = tokio::select! {
        () = elector.hold(&metrics) => return Err(AppError::LeaseLost),
        _ = tasks.join_next() => Err(AppError::PartEnded("the reader of policies or the HTTP server")),
        result = lead(stopping) => result,
    };
    metrics.leader.set(0);
    elector.release().await;
    result
}

async fn listen(address: SocketAddr, option: &'static str) -> Result<TcpListener, AppError> {
    http::listen(address).await.map_err(|source| AppError::Listen { option, address, source })
}

fn spawn_debug(tasks: &mut JoinSet<()>, listener: TcpListener, inspect: Inspect) {
    match listener.local_addr() {
        Ok(address) => info!(%address, "serving /debug"),
        Err(error) => warn!(%error, "address of the debug server unknown"),
    }
    tasks.spawn(async move {
        let drawing = inspect.clone();
        let describe = Arc::new(move || inspect.clone().describe().boxed());
        let draw = Arc::new(move |object| drawing.clone().draw(object).boxed());
        if let Err(error) = debug::serve(listener, describe, draw).await {
            warn!(%error, "debug server ended");
        }
        // Nothing depends on it.
        std::future::pending().await
    });
}

fn spawn_http(
    tasks: &mut JoinSet<()>,
    listener: TcpListener,
    metrics: Arc<Metrics>,
    published: watch::Receiver<Published>,
    lease: http::Lease,
) {
    match listener.local_addr() {
        Ok(address) => info!(%address, "serving /healthz, /readyz and /metrics"),
        Err(error) => warn!(%error, "address of the HTTP server unknown"),
    }
    tasks.spawn(async move {
        // It ends with the process, so that probes are answered to the end.
        if let Err(error) = http::serve(listener, metrics, published, lease, std::future::pending()).await {
            warn!(%error, "HTTP server ended");
        }
    });
}

/// What users wrote, as it is at any time.
struct Followed {
    published: watch::Receiver<Published>,
    sinks: watch::Receiver<SinkSet>,
}

/// Watches, judges and writes until `stopping` changes; then finishes queued writes.
async fn lead(
    options: &Options,
    client: Client,
    metrics: Arc<Metrics>,
    Followed { mut published, sinks }: Followed,
    working: &watch::Sender<Option<Working>>,
    mut stopping: watch::Receiver<bool>,
) -> Result<(), AppError> {
    tokio::select! {
        loaded = published.wait_for(|published| published.loaded) => if loaded.is_err() { return Ok(()) },
        _ = stopping.changed() => return Ok(()),
    }
    let mut engine = Engine::default();
    let first = published.borrow().clone();
    let store = Store::new(client.clone(), options.namespace.clone());
    let (told, known) = tokio::select! {
        restored = restore(&client, &store, &first, &metrics, &mut engine) => restored,
        _ = stopping.changed() => return Ok(()),
    };

    let [status_nudges, event_nudges, report_nudges, alert_nudges]: [Arc<Nudges>; 4] =
        std::array::from_fn(|_| Arc::new(Nudges::default()));
    let memory_nudges = Arc::new(Nudges::of_all());
    let fan = [&status_nudges, &event_nudges, &report_nudges, &alert_nudges, &memory_nudges];
    let fan = Fan(fan.into_iter().cloned().collect());
    let alerts = Arc::new(record::alerts::Board::new(status_nudges.clone()));
    let judge = Judge::start(engine, fan.clone(), metrics.clone()).map_err(AppError::Thread)?;
    let board = Arc::new(Board::new(fan.clone()));
    let settings = Settings {
        client: client.clone(),
        watch_timeout: options.watch_timeout,
        lists: Arc::new(Semaphore::new(options.concurrent_lists)),
        metrics: metrics.clone(),
    };
    let (intent, wanted) = watch::channel(Arc::default());
    working.send_replace(Some(Working {
        judge: judge.clone(),
        board: board.clone(),
        wanted,
        lists: settings.lists.clone(),
        concurrent_lists: options.concurrent_lists,
    }));

    let mut watching = JoinSet::new();
    let (catalog, served) = watch::channel(Arc::default());
    watching.spawn(discovery::run(settings.clone(), catalog));
    let (policies, in_force) = watch::channel(first.policies.clone());
    watching.spawn(hand_over(published.clone(), policies, fan));
    let checker = Checker {
        client: client.clone(),
        judge: judge.clone(),
        board: board.clone(),
        metrics: metrics.clone(),
    };
    watching.spawn(checker.run(in_force.clone(), served.clone()));
    let secrets = std::hash::RandomState::new();
    let manager = Manager { settings, judge: judge.clone(), board: board.clone(), secrets, intent };
    watching.spawn(manager.run(in_force, served));

    let (finish, finishing) = watch::channel(false);
    let thread = judge.clone();
    let reports = Arc::new(Outcomes::new(status_nudges.clone()));
    let sources =
        Sources { client, judge, board, alerts, published, nudges: status_nudges, reports, metrics };
    let mut recorders = JoinSet::new();
    recorders.spawn(record::status::run(sources.clone(), finishing.clone()));
    let sources = Sources { nudges: report_nudges, ..sources };
    recorders.spawn(record::reports::run(sources.clone(), finishing.clone()));
    let sources = Sources { nudges: memory_nudges, ..sources };
    recorders.spawn(record::memory::run(sources.clone(), store, known, finishing.clone()));
    let sources = Sources { nudges: event_nudges, ..sources };
    recorders.spawn(record::events::run(sources.clone(), told, options.identity.clone(), finishing.clone()));
    let sources = Sources { nudges: alert_nudges, ..sources };
    recorders.spawn(record::alerts::run(sources, sinks, options.namespace.clone(), finishing));

    tokio::select! {
        // An error means that the sender is gone, which is the end, too.
        _ = stopping.changed() => {}
        () = thread.ended() => return Err(AppError::PartEnded("the judge")),
        _ = watching.join_next() => return Err(AppError::PartEnded("a watch")),
        _ = recorders.join_next() => return Err(AppError::PartEnded("a recorder")),
    }
    info!("stopping: watches first, then queued writes");
    watching.shutdown().await;
    finish.send_replace(true);
    let finished =
        tokio::time::timeout(GRACE, async { while recorders.join_next().await.is_some() {} }).await;
    match finished {
        Ok(()) => info!("stopped"),
        Err(_) => warn!(seconds = GRACE.as_secs(), "stopped before every queued write was done"),
    }
    Ok(())
}

/// Hands the set of policies to the manager, and those that are gone to the recorders.
async fn hand_over(
    mut published: watch::Receiver<Published>,
    policies: watch::Sender<Arc<crate::core::policy::PolicySet>>,
    fan: Fan,
) {
    while published.changed().await.is_ok() {
        let next = published.borrow_and_update().policies.clone();
        let before = policies.send_replace(next.clone());
        before.keys().filter(|key| !next.contains_key(*key)).for_each(|key| fan.add(key));
    }
}
