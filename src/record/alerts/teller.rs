//! Tells one sink what it is owed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::warn;

use super::board::{Board, SinkState, Standing};
use super::breaker::Breaker;
use super::status::{Facts, StatusWriter};
use super::{Truths, deliver};
use crate::core::alert::item::id;
use crate::core::alert::{Decision, Desk, Group, Notice, Outgoing, Reason, Terms, Told, Totals, Truth};
use crate::core::finding::PolicyKey;
use crate::core::history::History;
use crate::metrics::Metrics;
use crate::nudge::Nudges;
use crate::policy::{CompiledSink, Published};
use crate::record::store::Store;
use crate::sinks::{Receipt, SendError};

/// Longest time between two looks: clocks jump.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// Shortest time between two looks that nothing but time asks for.
const SHORTEST_SLEEP: Duration = Duration::from_millis(20);

/// What every teller works with.
#[derive(Clone)]
pub struct Context {
    /// The cluster, for Secrets and statuses.
    pub client: Client,
    /// The operator's own namespace.
    pub namespace: String,
    /// Where it is written down what was told.
    pub store: Store,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// What is true.
    pub truths: Arc<Truths>,
    /// Policies in force.
    pub published: watch::Receiver<Published>,
    /// How it goes, for the status of policies.
    pub board: Arc<Board>,
}

/// A policy and its UID: one of the same name that comes later is another.
type SeatKey = (PolicyKey, Arc<str>);

/// One policy.
#[derive(Default)]
struct Seat {
    desk: Desk,
    /// What was decided last.
    decision: Decision,
    /// Whether it has to be decided anew.
    is_stale: bool,
    /// Whether something of it is under way.
    is_busy: bool,
    /// Failed attempts in a row.
    failures: u32,
}

/// See the module.
pub struct Teller {
    context: Context,
    sink: watch::Receiver<Arc<CompiledSink>>,
    nudges: Arc<Nudges>,
    seats: BTreeMap<SeatKey, Seat>,
    tasks: JoinSet<Done>,
    /// Messages under way.
    sending: usize,
    breaker: Breaker,
    facts: Facts,
    status: StatusWriter,
}

enum Done {
    Sent { seat: SeatKey, out: Box<Outgoing>, generation: i64, result: Result<Receipt, SendError> },
    Tested { requested: String, result: Result<Receipt, SendError> },
    Saved(SeatKey),
    Status(Box<super::status::Written>),
}

impl Teller {
    /// `told` is what an earlier process told this sink.
    pub fn new(
        context: Context,
        sink: watch::Receiver<Arc<CompiledSink>>,
        nudges: Arc<Nudges>,
        told: Vec<Told>,
    ) -> Self {
        let seats = told.into_iter().map(|told| {
            let key = (PolicyKey(told.policy.as_str().into()), told.uid.as_str().into());
            (key, Seat { desk: Desk::restored(told), is_stale: true, ..Seat::default() })
        });
        let (seats, status) = (seats.collect(), StatusWriter::new(&sink.borrow()));
        let (tasks, breaker, facts) = (JoinSet::new(), Breaker::default(), Facts::default());
        Self { context, sink, nudges, seats, tasks, sending: 0, breaker, facts, status }
    }

    /// Runs until `stop` changes, or the sink is gone; then waits for what is under way.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            self.work();
            let next = self.next();
            tokio::select! {
                nudged = async { self.nudges.take().await } => nudged.iter().for_each(|policy| self.meet(policy)),
                changed = self.sink.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    self.changed();
                }
                Some(done) = self.tasks.join_next() => if let Ok(done) = done { self.done(done) },
                () = tokio::time::sleep_until(next) => {}
                _ = stop.changed() => break,
            }
        }
        while let Some(done) = self.tasks.join_next().await {
            if let Ok(done) = done {
                self.done(done);
            }
            self.save_all();
        }
        let sink = self.sink.borrow().name.clone();
        self.context.metrics.forget_sink(&sink);
    }

    /// The sink is another than it was, or its status is.
    fn changed(&mut self) {
        let sink = self.sink.borrow_and_update().clone();
        if self.facts.generation != sink.generation {
            self.facts.generation = sink.generation;
            self.breaker.reset();
            self.seats.values_mut().for_each(|seat| seat.is_stale = true);
        }
    }

    /// There is news of a policy.
    fn meet(&mut self, policy: &PolicyKey) {
        let sink = self.sink.borrow().name.clone();
        if let Some(truth) = self.context.truths.get(policy)
            && let Some(compiled) = &truth.policy
            && compiled.routes.iter().any(|route| route.sink == sink)
        {
            let key = (policy.clone(), compiled.uid.clone());
            self.seats.entry(key).or_insert_with(|| Seat {
                desk: Desk::new(&sink, &policy.0, &compiled.uid),
                ..Seat::default()
            });
        }
        let all = policy.0.is_empty();
        let concerned = self.seats.iter_mut().filter(|(key, _)| all || key.0 == *policy);
        concerned.for_each(|(_, seat)| seat.is_stale = true);
    }

    /// Decides what has to be decided, and begins what may be begun.
    fn work(&mut self) {
        let sink = self.sink.borrow().clone();
        self.facts.generation = sink.generation;
        let (now, clock) = (Instant::now(), Timestamp::now());
        self.decide(&sink, clock);
        self.test(&sink);
        self.tell(&sink, now);
        self.observe(&sink, now);
        let written = self.status.due(&sink, &self.facts, now);
        if let Some(write) = written {
            let client = self.context.client.clone();
            self.tasks.spawn(async move { Done::Status(Box::new(write.send(client).await)) });
        }
    }

    fn decide(&mut self, sink: &Arc<CompiledSink>, clock: Timestamp) {
        let resend = sink.destination.as_ref().ok().and_then(|destination| destination.resend());
        let resend = resend.and_then(|resend| resend.try_into().ok());
        let terms = Terms { sink: sink.name.clone(), generation: sink.generation, resend };
        let (mut gone, mut decided) = (Vec::new(), Vec::new());
        for (key, seat) in &mut self.seats {
            let is_due = seat.decision.next.is_some_and(|next| next <= clock);
            if seat.is_busy || !(seat.is_stale || is_due) {
                continue;
            }
            let Some(truth) = truth(&self.context, key) else { continue };
            seat.is_stale = false;
            seat.decision = seat.desk.decide(&truth, &terms, clock);
            if seat.desk.is_done(&truth, &sink.name) {
                gone.push(key.clone());
            } else {
                decided.push(key.clone());
            }
        }
        decided.iter().for_each(|key| self.save(key));
        for key in gone {
            self.seats.remove(&key);
            self.context.board.note(&key.0, &sink.name, None);
            let (store, metrics) = (self.context.store.clone(), self.context.metrics.clone());
            let name = sink.name.to_string();
            self.tasks.spawn(async move {
                deliver::forget(store, metrics, name, key.1.to_string()).await;
                Done::Saved(key)
            });
        }
    }

    /// Sends what is due, as much of it as may be under way at once, of each policy one message at a time.
    fn tell(&mut self, sink: &Arc<CompiledSink>, now: Instant) {
        let Ok(destination) = &sink.destination else { return };
        if sink.suspended {
            return;
        }
        let room = self.breaker.room(sink.concurrency, self.sending, now);
        let ready = self.seats.iter().filter(|(_, seat)| !seat.is_busy && !seat.decision.due.is_empty());
        // What failed again and again does not keep others from being told.
        let mut ready: Vec<_> = ready
            .map(|(key, seat)| {
                (seat.failures, seat.decision.due.first().map(|out| out.owed_since), key.clone())
            })
            .collect();
        ready.sort();
        for (_, _, key) in ready.into_iter().take(room) {
            let Some(seat) = self.seats.get_mut(&key) else { continue };
            // The next attempt is with another of its groups, for the same reason.
            let at = usize::try_from(seat.failures).unwrap_or_default() % seat.decision.due.len();
            let out = seat.decision.due.swap_remove(at);
            seat.is_busy = true;
            self.sending += 1;
            seat.desk.begin(&out);
            let unsaved = seat.desk.take_unsaved().then(|| seat.desk.told().clone());
            let (context, sink, destination) = (self.context.clone(), sink.clone(), destination.clone());
            self.tasks.spawn(async move {
                // Who is killed from here on does not know whether it arrived, and has to know that it may have.
                if let Some(told) = unsaved {
                    deliver::save(context.store.clone(), context.metrics.clone(), sink.clone(), told).await;
                }
                let sent =
                    deliver::send(&context.client, &context.namespace, &sink, &*destination, &out.notice);
                let result = sent.await;
                Done::Sent { seat: key, out: Box::new(out), generation: sink.generation, result }
            });
        }
    }

    /// Sends a test message, if somebody asked for one since the last.
    fn test(&mut self, sink: &Arc<CompiledSink>) {
        let Some(requested) = sink.test.clone() else { return };
        let known = sink.status.last_test.as_ref().map(|test| test.requested.as_str());
        if known == Some(&requested) || self.facts.testing.as_deref() == Some(&requested) {
            return;
        }
        self.facts.testing = Some(requested.clone());
        let (context, sink) = (self.context.clone(), sink.clone());
        self.tasks.spawn(async move {
            let result = match &sink.destination {
                Ok(destination) => {
                    let notice = test_notice(&sink.name, &requested, Timestamp::now());
                    deliver::send(&context.client, &context.namespace, &sink, &**destination, &notice).await
                }
                Err(problem) => Err(SendError::Permanent(problem.clone())),
            };
            Done::Tested { requested, result }
        });
    }

    fn done(&mut self, done: Done) {
        let (now, clock) = (Instant::now(), Timestamp::now());
        match done {
            Done::Sent { seat: key, out, generation, result } => {
                self.sending = self.sending.saturating_sub(1);
                self.count(&result, &out, clock);
                let Some(seat) = self.seats.get_mut(&key) else { return };
                (seat.is_busy, seat.is_stale) = (false, true);
                match result {
                    Ok(receipt) => {
                        seat.failures = 0;
                        seat.desk.sent(&out, receipt.reference, clock);
                        self.breaker.succeeded();
                    }
                    Err(SendError::Permanent(error)) => {
                        seat.failures = 0;
                        warn!(
                            sink = &*self.sink.borrow().name, policy = %key.0, group = %out.notice.group, error,
                            "the sink will never take this notice; it is tried again when there is news, or the sink is changed"
                        );
                        seat.desk.refused(&out, error, generation, clock);
                        // It answered.
                        self.breaker.succeeded();
                    }
                    Err(SendError::Credentials(_)) => self.breaker.refused(fastrand::f64(), now),
                    Err(SendError::Passing { retry_after, .. }) => {
                        seat.failures = seat.failures.saturating_add(1);
                        self.breaker.failed(retry_after, fastrand::f64(), now);
                    }
                }
                self.save(&key);
            }
            Done::Tested { requested, result } => self.facts.tested(requested, result, clock),
            Done::Saved(key) => {
                if let Some(seat) = self.seats.get_mut(&key) {
                    (seat.is_busy, seat.is_stale) = (false, true);
                }
            }
            Done::Status(written) => self.status.written(*written, &self.context.metrics),
        }
    }

    fn count(&mut self, result: &Result<Receipt, SendError>, out: &Outgoing, clock: Timestamp) {
        let sink = self.sink.borrow().name.clone();
        let outcome = match result {
            Ok(_) => {
                let waited = clock.duration_since(out.owed_since).as_secs_f64();
                self.context.metrics.sink_latency(&sink).observe(waited.max(0.0));
                "sent"
            }
            Err(SendError::Permanent(_)) => "dead",
            Err(_) => "failed",
        };
        self.context.metrics.count_notice(&sink, outcome);
        self.facts.attempted(result, clock);
    }

    /// Writes down what was told, before the sink is told more of that policy.
    fn save(&mut self, key: &SeatKey) {
        let Some(seat) = self.seats.get_mut(key).filter(|seat| !seat.is_busy) else { return };
        if !seat.desk.take_unsaved() {
            return;
        }
        seat.is_busy = true;
        let told = seat.desk.told().clone();
        let sink = self.sink.borrow().clone();
        let (store, metrics, key) = (self.context.store.clone(), self.context.metrics.clone(), key.clone());
        self.tasks.spawn(async move {
            deliver::save(store, metrics, sink, told).await;
            Done::Saved(key)
        });
    }

    fn save_all(&mut self) {
        let keys: Vec<SeatKey> = self.seats.keys().cloned().collect();
        keys.iter().for_each(|key| self.save(key));
    }

    /// Says how it goes.
    fn observe(&mut self, sink: &Arc<CompiledSink>, now: Instant) {
        self.facts.owed = self.seats.values().map(|seat| seat.decision.owed).sum();
        self.facts.breaker = self.breaker.state(now);
        self.facts.failures_in_a_row = self.breaker.failures();
        self.facts.note_dead(self.seats.iter().map(|(key, seat)| (&*key.0.0, &seat.desk)));
        self.context.metrics.set_sink(
            &sink.name,
            self.facts.owed,
            self.facts.breaker.as_number(),
            self.facts.dead_total,
        );
        let state = match self.facts.trouble(sink) {
            None => SinkState::Ready,
            Some((_, message)) => SinkState::NotReady(message),
        };
        for (key, seat) in &self.seats {
            let exists = self.context.published.borrow().policies.get(&key.0).is_some_and(|p| p.uid == key.1);
            let standing = Standing {
                state: state.clone(),
                open: seat.decision.open,
                owed: seat.decision.owed,
                silenced: seat.decision.silenced,
                muted_until: seat.decision.muted_until,
            };
            if exists {
                self.context.board.note(&key.0, &sink.name, Some(standing));
            }
        }
    }

    fn next(&self) -> Instant {
        let (now, clock) = (Instant::now(), Timestamp::now());
        let idle = self.seats.values().filter(|seat| !seat.is_busy);
        let due = idle.filter_map(|seat| seat.decision.next).min();
        let due = due.map(|due| now + Duration::try_from(due.duration_since(clock)).unwrap_or_default());
        let waits = self.seats.values().any(|seat| !seat.is_busy && !seat.decision.due.is_empty());
        let retry = self.breaker.opens_at(now).filter(|_| waits);
        let next = [due, retry, self.status.next()].into_iter().flatten().min();
        next.map_or(now + LONGEST_SLEEP, |at| at.clamp(now + SHORTEST_SLEEP, now + LONGEST_SLEEP))
    }
}

/// What is true of a policy that a desk is about; none while that is not known.
fn truth(context: &Context, (policy, uid): &SeatKey) -> Option<Arc<Truth>> {
    let truth = context.truths.get(policy);
    let same = |truth: &Arc<Truth>| truth.policy.as_ref().is_some_and(|policy| policy.uid == *uid);
    if let Some(truth) = truth.filter(same) {
        return Some(truth);
    }
    let published = context.published.borrow();
    let exists = published.policies.get(policy).is_some_and(|policy| policy.uid == *uid);
    let gone = published.loaded && !exists;
    gone.then(|| {
        let (open, settled) = Default::default();
        Arc::new(Truth { policy: None, open, settled, history: History::default() })
    })
}

/// A message that nobody takes for a finding.
fn test_notice(sink: &str, requested: &str, now: Timestamp) -> Notice {
    Notice {
        id: id([sink, "test", requested]),
        reason: Reason::Test,
        policy: "polywatch".to_owned(),
        group: Group { id: id([sink, "test"]), by: BTreeMap::new() },
        collapsed: false,
        open: Vec::new(),
        opened: Vec::new(),
        changed: Vec::new(),
        resolved: Vec::new(),
        replaced: Vec::new(),
        occurred: Vec::new(),
        totals: Totals::default(),
        time: now,
        valid_until: now,
        reference: None,
    }
}
