//! The watch of Pods, as the server writes it: plays become lines, lines become large blocks.

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use tokio::sync::mpsc::Sender;

use super::play::{CHURN_EVENTS_PER_TOGGLE, Field, Play, Played, now};
use super::pod::{State, TOO_MANY_RESTARTS, Template};

/// Bytes that are handed over at once: few system calls, and still in the cache.
const BLOCK: usize = 256 * 1024;
/// Between two looks at the clock when events come at a pace.
const TICK: Duration = Duration::from_millis(2);
/// Pods among which violations begin and end in churn; each of them is met once in so many toggles.
const TOGGLED_PODS: u32 = 500;

/// Writes plays to one connection.
pub struct Stream {
    template: Template,
    blocks: Sender<Bytes>,
    block: Vec<u8>,
    version: u64,
    bytes: u64,
}

/// The reader is gone.
pub struct Disconnected;

impl Stream {
    /// To the connection that sends these blocks.
    pub fn new(blocks: Sender<Bytes>) -> Self {
        Self { template: Template::new(), blocks, block: Vec::new(), version: 1000, bytes: 0 }
    }

    /// Plays what comes until there is no more, and tells of each when it is handed over.
    pub fn run(mut self, plays: &Receiver<Play>, tell: impl Fn(Played)) -> Result<(), Disconnected> {
        for play in plays {
            self.bytes = 0;
            let mut played = Played { bytes: 0, behind_us: 0, toggled: Vec::new() };
            match play {
                Play::Added(pods) => self.each("ADDED", pods.map(|pod| (pod, State::default())))?,
                Play::Deleted(pods) => self.each("DELETED", pods.map(|pod| (pod, State::default())))?,
                Play::Modified { pods, events, field } => {
                    self.each("MODIFIED", (0..events).map(|event| modified(event, pods, field)))?;
                }
                Play::Synced => self.bookmark(),
                Play::Churn { pods, rate, seconds } => self.churn(pods, rate, seconds, &mut played)?,
            }
            self.flush()?;
            tell(Played { bytes: self.bytes, ..played });
        }
        Ok(())
    }

    fn each(&mut self, kind: &str, states: impl Iterator<Item = (u32, State)>) -> Result<(), Disconnected> {
        for (pod, state) in states {
            self.line(kind, pod, state);
            if self.block.len() >= BLOCK {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Sends at each tick what is due by then.
    fn churn(&mut self, pods: u32, rate: u32, seconds: u32, played: &mut Played) -> Result<(), Disconnected> {
        let start = Instant::now();
        let mut sent = 0;
        while sent < rate * seconds {
            let due = (start.elapsed().as_secs_f64() * f64::from(rate)) as u32;
            let due = due.min(rate * seconds);
            if due == sent {
                std::thread::sleep(TICK);
                continue;
            }
            let late = start.elapsed().as_secs_f64() - f64::from(sent) / f64::from(rate);
            played.behind_us = played.behind_us.max((late * 1e6) as u64);
            let before = played.toggled.len();
            for event in sent..due {
                let (pod, state, toggles) = churned(event, pods);
                self.line("MODIFIED", pod, state);
                if toggles {
                    played.toggled.push((pod, 0));
                }
            }
            let written = now();
            played.toggled[before..].iter_mut().for_each(|(_, at)| *at = written);
            self.flush()?;
            sent = due;
        }
        Ok(())
    }

    fn line(&mut self, kind: &str, pod: u32, state: State) {
        self.version += 1;
        // The type comes first, as an API server writes it.
        self.block.extend_from_slice(b"{\"type\":\"");
        self.block.extend_from_slice(kind.as_bytes());
        self.block.extend_from_slice(b"\",\"object\":");
        self.template.write(&mut self.block, pod, self.version, state);
        self.block.extend_from_slice(b"}\n");
    }

    fn bookmark(&mut self) {
        self.block.extend_from_slice(end_of_list("v1", "Pod", self.version).as_bytes());
    }

    /// Waits while the reader has enough to read.
    fn flush(&mut self) -> Result<(), Disconnected> {
        if self.block.is_empty() {
            return Ok(());
        }
        self.bytes += self.block.len() as u64;
        // A line may begin when the block is almost full.
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK + BLOCK / 8));
        self.blocks.blocking_send(block.into()).map_err(|_| Disconnected)
    }
}

/// The bookmark that ends a streamed list.
pub fn end_of_list(api_version: &str, kind: &str, version: u64) -> String {
    format!(
        "{{\"type\":\"BOOKMARK\",\"object\":{{\"kind\":\"{kind}\",\"apiVersion\":\"{api_version}\",\"metadata\":\
         {{\"resourceVersion\":\"{version}\",\"annotations\":{{\"k8s.io/initial-events-end\":\"true\"}}}}}}}}\n"
    )
}

/// Each Pod once in a round, and each round another value, so that every event is a change.
fn modified(event: u32, pods: u32, field: Field) -> (u32, State) {
    let round = event / pods + 1;
    let state = match field {
        Field::Read => State { restarts: round, seen: 0 },
        Field::Unread => State { restarts: 0, seen: round },
    };
    (shuffled(event % pods, pods), state)
}

/// Toggles go round among the first Pods, the others among the rest.
fn churned(event: u32, pods: u32) -> (u32, State, bool) {
    if event.is_multiple_of(CHURN_EVENTS_PER_TOGGLE) {
        let toggle = event / CHURN_EVENTS_PER_TOGGLE;
        let toggled = TOGGLED_PODS.min(pods / 2);
        let begins = (toggle / toggled).is_multiple_of(2);
        let restarts = if begins { TOO_MANY_RESTARTS } else { 0 };
        return (toggle % toggled, State { restarts, seen: event }, true);
    }
    let rest = pods - TOGGLED_PODS.min(pods / 2);
    let pod = pods - rest + shuffled(event % rest, rest);
    (pod, State { restarts: event / rest + 1, seen: event }, false)
}

/// A permutation of `0..count`, so that neighbours in time are none in memory.
fn shuffled(index: u32, count: u32) -> u32 {
    // A prime: it divides no count that a benchmark has.
    const STEP: u64 = 7_368_787;
    (u64::from(index) * STEP % u64::from(count)) as u32
}
