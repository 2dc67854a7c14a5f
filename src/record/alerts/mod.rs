//! AlertSinks are told of findings: what is true is compared with what each sink was told, and the difference is
//! delivered.
//!
//! In: nudges, the truth about each policy from the judge, the published policies and sinks. Out: notices to sinks, what
//! they were told in Secrets of the operator's namespace, the status of each AlertSink, and the [`Board`] for the
//! status of policies. One task reads the truth for all; each sink has a task of its own ([`teller`]), so that a slow
//! one delays nobody. What waits while a sink does not answer is what it was told last, not messages.

mod board;
mod breaker;
mod deliver;
mod status;
mod teller;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{info, warn};

pub use board::{Board, BySink, SinkState, Standing};
use teller::{Context, Teller};

use super::Sources;
use super::store::{Purpose, Store};
use crate::core::alert::{Told, Truth};
use crate::core::finding::PolicyKey;
use crate::core::policy::CompiledPolicy;
use crate::metrics::ErrorKind;
use crate::nudge::Nudges;
use crate::policy::{CompiledSink, SinkSet};

/// Between two attempts to read what sinks were told.
const RETRY: Duration = Duration::from_secs(2);

/// What is true of each policy that has to do with sinks.
#[derive(Debug, Default)]
pub struct Truths(Mutex<BTreeMap<PolicyKey, Arc<Truth>>>);

impl Truths {
    fn get(&self, policy: &PolicyKey) -> Option<Arc<Truth>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(policy).cloned()
    }

    fn set(&self, policy: PolicyKey, truth: Option<Truth>) {
        let mut truths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match truth {
            Some(truth) => drop(truths.insert(policy, Arc::new(truth))),
            None => drop(truths.remove(&policy)),
        }
    }

    fn policies(&self) -> Vec<PolicyKey> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }
}

/// Runs until `stop` changes; then waits for what is under way, and returns.
pub async fn run(
    sources: Sources,
    mut sinks: watch::Receiver<SinkSet>,
    namespace: String,
    mut stop: watch::Receiver<bool>,
) {
    let store = Store::new(sources.client.clone(), namespace.clone());
    let told = tokio::select! {
        told = read_told(&store, &sources) => told,
        _ = stop.changed() => return,
    };
    let first = tokio::select! {
        first = sinks.wait_for(Option::is_some) => first.map(|sinks| sinks.clone()).unwrap_or_default(),
        _ = stop.changed() => return,
    };
    let context = Context {
        client: sources.client.clone(),
        namespace,
        store,
        metrics: sources.metrics.clone(),
        truths: Arc::default(),
        published: sources.published.clone(),
        board: sources.alerts.clone(),
    };
    let mut recorder = Recorder { sources, context, tellers: HashMap::new(), tasks: JoinSet::new(), told };
    recorder.meet(&first, &stop);
    // Whoever cares for a policy of an earlier process has to hear that it is gone.
    recorder.read_all().await;
    loop {
        tokio::select! {
            nudged = async { recorder.sources.nudges.take().await } => {
                for policy in nudged {
                    recorder.read(&policy).await;
                }
            }
            changed = sinks.changed() => {
                if changed.is_err() {
                    return;
                }
                let now = sinks.borrow_and_update().clone();
                recorder.meet(&now, &stop);
            }
            Some(ended) = recorder.tasks.join_next() => {
                if ended.is_err() {
                    // A bug; the process ends with it, as for any other part.
                    return;
                }
            }
            _ = stop.changed() => break,
        }
    }
    // Each of them has seen it, too.
    while recorder.tasks.join_next().await.is_some() {}
}

/// What sinks were told, by the UID of the sink. Nobody is told anything before it is known.
async fn read_told(store: &Store, sources: &Sources) -> HashMap<String, Vec<Told>> {
    let mut known = None;
    loop {
        match store.list::<Told>(Purpose::Told).await {
            Ok(entries) => {
                info!(entries = entries.len(), "read what sinks were told");
                let mut told: HashMap<String, Vec<Told>> = HashMap::new();
                for entry in entries {
                    let sink = entry.owner.map(|owner| owner.uid).unwrap_or_default();
                    told.entry(sink).or_default().push(entry.content);
                }
                return told;
            }
            Err(error) => {
                sources.metrics.error(ErrorKind::SinkMemory);
                let text = error.to_string();
                if known.as_ref() != Some(&text) {
                    warn!(%error, "what sinks were told can not be read; nobody is told anything until it is");
                    known = Some(text);
                }
                tokio::time::sleep(RETRY.mul_f64(0.8 + 0.4 * fastrand::f64())).await;
            }
        }
    }
}

struct Running {
    uid: Arc<str>,
    sink: watch::Sender<Arc<CompiledSink>>,
    nudges: Arc<Nudges>,
}

struct Recorder {
    sources: Sources,
    context: Context,
    tellers: HashMap<Arc<str>, Running>,
    tasks: JoinSet<()>,
    /// What an earlier process told, of sinks that have not been met yet.
    told: HashMap<String, Vec<Told>>,
}

impl Recorder {
    /// Starts, changes and ends tellers, so that there is one for each sink.
    fn meet(&mut self, sinks: &SinkSet, stop: &watch::Receiver<bool>) {
        let Some(sinks) = sinks else { return };
        let metrics = &self.sources.metrics;
        self.tellers.retain(|name, running| {
            // One that came in place of another of the same name was told nothing.
            let stays = sinks.get(name).is_some_and(|sink| sink.uid == running.uid);
            if !stays {
                metrics.forget_sink(name);
            }
            stays
        });
        for (name, sink) in sinks.iter() {
            if let Some(running) = self.tellers.get(name) {
                running.sink.send_if_modified(|known| {
                    let is_news = !Arc::ptr_eq(known, sink);
                    known.clone_from(sink);
                    is_news
                });
                continue;
            }
            let (sender, receiver) = watch::channel(sink.clone());
            let nudges = Arc::new(Nudges::default());
            self.context.truths.policies().iter().for_each(|policy| nudges.add(policy));
            let told = self.told.remove(&*sink.uid).unwrap_or_default();
            let teller = Teller::new(self.context.clone(), receiver, nudges.clone(), told);
            self.tasks.spawn(teller.run(stop.clone()));
            self.tellers.insert(name.clone(), Running { uid: sink.uid.clone(), sink: sender, nudges });
        }
        let policies = self.sources.published.borrow().policies.clone();
        policies.values().for_each(|policy| self.note_missing(policy));
    }

    /// Says which sinks that a policy names there are not, and nothing more of those that it names no more.
    fn note_missing(&self, policy: &CompiledPolicy) {
        for route in policy.routes.iter().filter(|route| !self.tellers.contains_key(&route.sink)) {
            let missing = Standing::of_state(SinkState::NotFound);
            self.context.board.note(&policy.key, &route.sink, Some(missing));
        }
        for sink in self.context.board.of(&policy.key).keys() {
            if !policy.routes.iter().any(|route| route.sink == *sink) {
                self.context.board.note(&policy.key, sink, None);
            }
        }
    }

    async fn read_all(&self) {
        let policies: Vec<PolicyKey> = self.sources.published.borrow().policies.keys().cloned().collect();
        for policy in policies {
            self.read(&policy).await;
        }
        self.tellers.values().for_each(|running| {
            // Those that nobody reads are gone.
            running.nudges.add(&PolicyKey("".into()));
        });
    }

    /// Reads what is true of a policy and hands it to the tellers.
    async fn read(&self, key: &PolicyKey) {
        let policy = self.sources.published.borrow().policies.get(key).cloned();
        let known = self.context.truths.get(key);
        let concerns = policy.as_ref().is_some_and(|policy| !policy.routes.is_empty());
        if !concerns && known.is_none() && policy.is_some() {
            return;
        }
        match policy {
            None => {
                self.context.truths.set(key.clone(), None);
                for sink in self.context.board.of(key).keys() {
                    self.context.board.note(key, sink, None);
                }
            }
            Some(policy) => {
                let Some(truth) = self.truth(policy.clone()).await else { return };
                self.context.truths.set(key.clone(), Some(truth));
                self.note_missing(&policy);
            }
        }
        self.tellers.values().for_each(|running| running.nudges.add(key));
    }

    /// None while the judge has not taken the policy as it is now.
    async fn truth(&self, policy: Arc<CompiledPolicy>) -> Option<Truth> {
        if policy.suspended {
            let (open, settled, history) = Default::default();
            return Some(Truth { policy: Some(policy), open, settled, history });
        }
        let truth = self.sources.judge.truth(&policy.key).await?;
        let judged = truth.policy.as_ref()?;
        ((&judged.uid, judged.generation) == (&policy.uid, policy.generation)).then_some(truth)
    }
}
