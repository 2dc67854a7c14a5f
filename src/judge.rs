//! The thread that owns the engine's time: object events in, nudges out.
//!
//! Rules run here and nowhere else, on a stack of their own size. Streams wait when the queue is full, each for
//! itself; recorders read reports between two inputs.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use tokio::sync::mpsc;
use tracing::{debug, info};

use crate::core::alert::Truth;
use crate::core::engine::{Assignment, Engine, KeptReport, Outcome, PolicyReport, Standing, WatchMemory};
use crate::core::event::{ObjectEvent, WatchId};
use crate::core::finding::{Finding, PolicyKey, Transition};
use crate::core::graph::{Graph, Wanted};
use crate::core::history::History;
use crate::core::remembered::Part;
use crate::core::remembered::place::Place;
use crate::core::schema::SchemaSet;
use crate::metrics::{FindingLabel, Metrics, ResourceLabel};
use crate::nudge::Fan;

/// Inputs that may wait; beyond it streams wait. What streams hand over at once is one of them.
const QUEUE: usize = 64;
/// Stack of the thread; evaluating an expression of the greatest depth takes less than a quarter of it.
const STACK_SIZE: usize = 8 * 1024 * 1024;
/// Objects judged again in one go, between two events.
const SLICE: usize = 64;
/// Longest time between two looks at what is due: clocks jump.
const TICK: Duration = Duration::from_secs(1);
/// How long what is due may wait while one input follows the other.
const LATENESS: Duration = Duration::from_millis(10);

enum Input {
    Assign(Assignment),
    Know(SchemaSet),
    Events(WatchId, Arc<ResourceLabel>, Vec<ObjectEvent>),
}

/// Handle to the thread. The thread ends when the last clone is gone.
#[derive(Clone)]
pub struct Judge {
    engine: Arc<Mutex<Engine>>,
    inputs: mpsc::Sender<Input>,
    metrics: Arc<Metrics>,
}

impl Judge {
    /// Starts the thread around an engine, which may hold restored findings already.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(engine: Engine, fan: Fan, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let (inputs, queue) = mpsc::channel(QUEUE);
        let engine = Arc::new(Mutex::new(engine));
        let worker = Worker {
            engine: engine.clone(),
            fan,
            metrics: metrics.clone(),
            counted: HashMap::new(),
            handled: HashMap::new(),
            clock: tokio::runtime::Builder::new_current_thread().enable_time().build()?,
            ticked: Instant::now(),
            judged: 0,
        };
        thread::Builder::new()
            .name("judge".into())
            .stack_size(STACK_SIZE)
            .spawn(move || worker.run(queue))?;
        Ok(Self { engine, inputs, metrics })
    }

    /// Hands over the whole of what is to be judged.
    pub async fn assign(&self, assignment: Assignment) {
        self.send(Input::Assign(assignment)).await;
    }

    /// Hands over the whole of the schemas that are known.
    pub async fn know(&self, schemas: SchemaSet) {
        self.send(Input::Know(schemas)).await;
    }

    /// Hands over events of a watch, in order; waits while the queue is full.
    pub async fn events(&self, watch: WatchId, label: &Arc<ResourceLabel>, events: Vec<ObjectEvent>) {
        self.send(Input::Events(watch, label.clone(), events)).await;
    }

    /// Waits until the thread is gone, which it is not while there is a handle, unless it panicked.
    pub async fn ended(&self) {
        self.inputs.closed().await;
    }

    async fn send(&self, input: Input) {
        if self.inputs.send(input).await.is_err() {
            debug!("the judge has ended");
        }
        self.metrics.queue_length.set((QUEUE - self.inputs.capacity()) as i64);
    }

    /// State and totals of a policy, with its `limit` worst findings.
    pub async fn report(&self, policy: &PolicyKey, limit: usize) -> Option<PolicyReport> {
        let policy = policy.clone();
        self.ask(move |engine| engine.report(&policy, limit)).await
    }

    /// All open findings of a policy, and the selections for which that is all there is to know.
    pub async fn open(&self, policy: &PolicyKey) -> (Vec<Arc<Finding>>, HashSet<Arc<str>>) {
        let policy = policy.clone();
        self.ask(move |engine| (engine.open(&policy), engine.settled(&policy))).await
    }

    /// What is true of a policy, for those who tell of it; none when it is not judged.
    pub async fn truth(&self, policy: &PolicyKey) -> Option<Truth> {
        let policy = policy.clone();
        self.ask(move |engine| engine.truth(&policy)).await
    }

    /// What occurred in a policy.
    pub async fn history(&self, policy: &PolicyKey) -> History {
        let policy = policy.clone();
        self.ask(move |engine| engine.history(&policy)).await
    }

    /// What of a policy outlives the process, up to `limit` of each; none when it is not judged.
    pub async fn standing(&self, policy: &PolicyKey, limit: usize) -> Option<Standing> {
        let policy = policy.clone();
        self.ask(move |engine| engine.standing(&policy, limit)).await
    }

    /// What there is to remember of watches.
    pub async fn memories(&self) -> Vec<WatchMemory> {
        self.ask(Engine::memories).await
    }

    /// The objects of a watch that are in a place, as they are now; none when the process is ending.
    pub async fn part(&self, memory: &WatchMemory, place: Place) -> Option<Part> {
        let memory = memory.clone();
        self.ask(move |engine| Some(engine.part(&memory, place, Timestamp::now()))).await
    }

    /// What is kept of each of these watches.
    pub async fn kept(&self, watches: Vec<WatchId>) -> HashMap<WatchId, KeptReport> {
        self.ask(move |engine| watches.into_iter().map(|id| (id, engine.kept(id))).collect()).await
    }

    /// What depends on an object; none when no policy knows it.
    pub async fn graph(&self, wanted: Wanted) -> Option<Graph> {
        self.ask(move |engine| engine.graph(&wanted)).await
    }

    /// Asks the engine between two inputs. Rules may hold it for long: whoever asks waits on a thread that renews
    /// no lease and answers no probe.
    async fn ask<T: Default + Send + 'static>(
        &self,
        question: impl FnOnce(&Engine) -> T + Send + 'static,
    ) -> T {
        let engine = self.engine.clone();
        // Only a process that is ending answers nothing.
        tokio::task::spawn_blocking(move || question(&lock(&engine))).await.unwrap_or_default()
    }
}

fn lock(engine: &Mutex<Engine>) -> MutexGuard<'_, Engine> {
    engine.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the metrics know of a watch.
struct Counted {
    objects: i64,
    kept: Gauge,
    processed: Counter,
}

struct Worker {
    engine: Arc<Mutex<Engine>>,
    fan: Fan,
    metrics: Arc<Metrics>,
    counted: HashMap<WatchId, Counted>,
    handled: HashMap<&'static str, Histogram>,
    clock: tokio::runtime::Runtime,
    ticked: Instant,
    /// What the metrics know of [`Engine::judged`].
    judged: u64,
}

impl Worker {
    fn run(mut self, mut queue: mpsc::Receiver<Input>) {
        loop {
            let (busy, judged) = {
                let engine = lock(&self.engine);
                (engine.has_work(), engine.judged())
            };
            self.metrics.judgements.inc_by(judged - self.judged);
            self.judged = judged;
            let input = if busy { try_next(&mut queue) } else { self.wait_next(&mut queue) };
            self.metrics.queue_length.set(queue.len() as i64);
            let idle = !busy && matches!(input, Next::Nothing);
            match input {
                Next::Input(Input::Assign(assignment)) => {
                    let policies: Vec<PolicyKey> = assignment.policies.keys().cloned().collect();
                    let watches: HashSet<WatchId> = assignment.routes.keys().copied().collect();
                    let outcome = self.timed("assignment", |engine, now| engine.assign(assignment, now));
                    self.count_ended(&watches);
                    self.announce(outcome);
                    policies.iter().for_each(|policy| self.fan.add(policy));
                }
                Next::Input(Input::Events(watch, label, events)) => {
                    for event in events {
                        self.take(watch, &label, event);
                    }
                }
                Next::Input(Input::Know(schemas)) => lock(&self.engine).know(schemas),
                Next::Nothing => {}
                Next::Ended => return,
            }
            if idle || self.ticked.elapsed() >= LATENESS {
                self.ticked = Instant::now();
                lock(&self.engine).tick(Timestamp::now());
            }
            if lock(&self.engine).has_work() {
                let (outcome, policy) = self.timed("backlog", |engine, now| {
                    let policy = engine.next_work();
                    (engine.work(SLICE, now), policy)
                });
                self.announce(outcome);
                policy.iter().for_each(|policy| self.fan.add(policy));
            }
        }
    }

    fn take(&mut self, watch: WatchId, label: &Arc<ResourceLabel>, event: ObjectEvent) {
        let synced = matches!(event, ObjectEvent::Synced);
        let (outcome, erring, waiting, objects) = self.timed("event", |engine, now| {
            let outcome = engine.step(watch, event, now);
            (outcome, engine.take_erring(), engine.take_waiting(), engine.objects(watch))
        });
        self.count(watch, label, objects as i64);
        self.announce(outcome);
        erring.iter().for_each(|policy| self.fan.add(policy));
        waiting.iter().for_each(|policy| self.fan.add_waiting(policy));
        if synced {
            self.nudge_readers(watch);
        }
    }

    fn timed<T>(&mut self, handler: &'static str, work: impl FnOnce(&mut Engine, Timestamp) -> T) -> T {
        let start = Instant::now();
        let result = work(&mut lock(&self.engine), Timestamp::now());
        let durations = self.handled.entry(handler).or_insert_with(|| self.metrics.durations(handler));
        durations.observe(start.elapsed().as_secs_f64());
        result
    }

    /// Several watches may be of one resource: each adds its own difference.
    fn count(&mut self, watch: WatchId, label: &Arc<ResourceLabel>, objects: i64) {
        let metrics = &self.metrics;
        let counted = self.counted.entry(watch).or_insert_with(|| Counted {
            objects: 0,
            kept: metrics.cache_objects.get_or_create_owned(label),
            processed: metrics.events_processed.get_or_create_owned(label),
        });
        counted.processed.inc();
        if counted.objects != objects {
            counted.kept.inc_by(objects - counted.objects);
            counted.objects = objects;
        }
    }

    fn count_ended(&mut self, watches: &HashSet<WatchId>) {
        self.counted.retain(|watch, counted| {
            let keep = watches.contains(watch);
            if !keep {
                counted.kept.dec_by(counted.objects);
            }
            keep
        });
    }

    /// Waits for an input, but not beyond the moment at which something is due.
    fn wait_next(&self, queue: &mut mpsc::Receiver<Input>) -> Next {
        // Most of the time there is a next one, and a timer is not for free.
        match try_next(queue) {
            Next::Nothing => {}
            next => return next,
        }
        let due = lock(&self.engine).next_deadline();
        let wait = due.map_or(TICK, |due| until(due, Timestamp::now()).min(TICK));
        match self.clock.block_on(async { tokio::time::timeout(wait, queue.recv()).await }) {
            Ok(Some(input)) => Next::Input(input),
            Ok(None) => Next::Ended,
            Err(_) => Next::Nothing,
        }
    }

    fn nudge_readers(&self, watch: WatchId) {
        let policies = lock(&self.engine).readers_of(watch);
        policies.iter().for_each(|policy| self.fan.add(policy));
    }

    fn announce(&self, outcome: Outcome) {
        for (policy, transition) in outcome {
            let finding = transition.finding();
            if let Transition::Occurred(_) = &transition {
                let severity = finding.severity.as_str();
                self.metrics
                    .occurrences
                    .get_or_create(&FindingLabel { policy: policy.to_string(), severity })
                    .inc();
            }
            let (what, why) = match &transition {
                Transition::Occurred(occurrence) => ("change occurred", Some(occurrence.operation.as_str())),
                Transition::Opened(_) => ("finding opened", None),
                Transition::Changed(_) => ("finding changed", None),
                Transition::Resolved(_, why) => ("finding resolved", Some(why.as_str())),
            };
            info!(
                policy = %policy,
                rule = %finding.key.rule,
                severity = finding.severity.as_str(),
                object = %finding.object,
                finding = &*finding.message,
                why,
                "{what}"
            );
            self.fan.add(&policy);
        }
    }
}

/// How long it is until a moment; nothing when it has passed.
fn until(moment: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(moment.duration_since(now)).unwrap_or_default()
}

enum Next {
    Input(Input),
    Nothing,
    Ended,
}

fn try_next(queue: &mut mpsc::Receiver<Input>) -> Next {
    match queue.try_recv() {
        Ok(input) => Next::Input(input),
        Err(mpsc::error::TryRecvError::Empty) => Next::Nothing,
        Err(mpsc::error::TryRecvError::Disconnected) => Next::Ended,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge() -> (Judge, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::default());
        let judge = Judge::start(Engine::default(), Fan::default(), metrics.clone());
        (judge.expect("a thread"), metrics)
    }

    #[test]
    fn it_waits_until_what_is_due_and_not_at_all_when_that_has_passed() {
        let at = |millisecond| Timestamp::from_millisecond(millisecond).expect("a time");
        assert_eq!(until(at(1500), at(1000)), Duration::from_millis(500));
        assert_eq!(until(at(1000), at(1000)), Duration::ZERO);
        assert_eq!(until(at(0), at(1000)), Duration::ZERO);
        assert!(until(Timestamp::MAX, at(0)) > TICK);
    }

    #[tokio::test]
    async fn a_rule_that_takes_long_holds_up_recorders_and_no_other_task() {
        let (judge, _) = judge();
        let (done, rule) = std::sync::mpsc::channel();
        let (began, begin) = tokio::sync::oneshot::channel();
        let engine = judge.engine.clone();
        thread::spawn(move || {
            let _held = lock(&engine);
            began.send(()).expect("who waits for it");
            // Ends by itself when the test fails.
            let _ = rule.recv_timeout(Duration::from_secs(5));
        });
        begin.await.expect("begun");
        let start = Instant::now();
        let policy = PolicyKey("p".into());
        tokio::select! {
            _ = async { tokio::join!(judge.report(&policy, 1), judge.open(&policy)) } => {}
            () = tokio::time::sleep(Duration::from_millis(10)) => {}
        }
        assert!(start.elapsed() < Duration::from_secs(4), "the other task came too late");
        done.send(()).expect("the engine is held");
        assert!(judge.report(&policy, 1).await.is_none());
    }

    #[tokio::test]
    async fn the_length_of_the_queue_is_zero_when_all_is_done() {
        let (judge, metrics) = judge();
        let label = Arc::new(ResourceLabel { resource: "pods.v1".into() });
        for _ in 0..50 {
            judge.events(WatchId(1), &label, vec![ObjectEvent::Synced; 2]).await;
        }
        let empty = async {
            while metrics.events_processed.get_or_create(&label).get() < 100 || metrics.queue_length.get() > 0
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), empty).await.expect("nothing waits");
    }
}
