//! One server and one polywatch, and what it takes polywatch to process what the server plays.

use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;
use tokio::time::sleep;

use super::http;
use super::operator::{Operator, Told};
use super::play::{Play, Played, Setup};
use super::server::Server;
use super::support::process::{Usage, usage};
use super::wait::eventually;

const PROCESSED: &str = "polywatch_events_processed_total{resource=\"pods.v1\"}";
const QUEUE: &str = "polywatch_engine_queue_length";
/// Between two looks at what is processed.
const LOOK: Duration = Duration::from_millis(50);
/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(5);
/// Nothing processed for so long is the end of the benchmark.
const STALLED: Duration = Duration::from_secs(60);
/// As is a play that takes so long.
const LONGEST: Duration = Duration::from_secs(300);
/// And a polywatch that takes so many bytes, before the machine has no more.
const MOST_RESIDENT: u64 = 12_000_000_000;

/// A cluster with an operator.
pub struct Stage {
    // Dropped first: a server that goes would be trouble to it.
    operator: Operator,
    server: Server,
    /// Events that polywatch has been sent.
    sent: u64,
}

/// What it took to process a play.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Cost {
    /// Events.
    pub events: u32,
    /// Bytes of the watch.
    pub bytes: u64,
    /// Until all was processed.
    pub seconds: f64,
    /// CPU of polywatch.
    pub cpu_seconds: f64,
    /// CPU of the server.
    pub server_cpu_seconds: f64,
    /// How full the queue before the judge was on average: full (1024) when judging is the bottleneck, empty when
    /// reading is.
    pub queue: f64,
}

impl Cost {
    /// Events a second of time.
    pub fn per_second(&self) -> f64 {
        f64::from(self.events) / self.seconds
    }

    /// Events a second of CPU.
    pub fn per_core(&self) -> f64 {
        f64::from(self.events) / self.cpu_seconds
    }
}

impl Stage {
    /// Starts both and waits until the watch of Pods has begun. No Pod is known then.
    pub async fn start(policies: Vec<Value>) -> Self {
        let server = Server::start(&Setup { policies });
        let operator = Operator::start(server.port);
        // That a list begins is the first event.
        let mut stage = Self { operator, server, sent: 1 };
        stage.settle("polywatch begins to list Pods").await;
        stage
    }

    /// What polywatch uses.
    pub fn usage(&self) -> Usage {
        usage(self.operator.pid()).expect("polywatch runs")
    }

    /// Plays and waits until polywatch has processed it all.
    pub async fn play(&mut self, what: &str, play: Play) -> (Cost, Played) {
        let server = |stage: &Self| usage(stage.server.pid()).expect("the server runs").cpu;
        let before = (self.usage().cpu, server(self));
        let start = Instant::now();
        self.server.play(&play);
        self.sent += u64::from(play.events());
        let queue = self.settle(what).await;
        let seconds = start.elapsed().as_secs_f64();
        let played = self.server.played();
        let cost = Cost {
            events: play.events(),
            bytes: played.bytes,
            seconds,
            cpu_seconds: (self.usage().cpu - before.0).as_secs_f64(),
            server_cpu_seconds: (server(self) - before.1).as_secs_f64(),
            queue,
        };
        (cost, played)
    }

    /// The findings that the log told of.
    pub fn told(&self) -> Vec<Told> {
        self.operator.told()
    }

    /// Waits until the status of a policy counts so many findings: what was measured was done, too.
    pub async fn expect_findings(&self, policy: &str, findings: u32) {
        let path = format!("/apis/polywatch.dev/v1alpha1/monitorpolicies/{policy}");
        let what = format!("{policy} has {findings} findings");
        eventually(&what, STALLED, async || {
            let (_, body) = http::get(self.server.port, &path).await.map_err(|error| error.to_string())?;
            let policy: Value = serde_json::from_str(&body).map_err(|error| error.to_string())?;
            let status = &policy["status"];
            let open = &status["summary"]["openFindings"];
            if *open == findings { Ok(()) } else { Err(format!("its status is {status}")) }
        })
        .await;
    }

    /// Waits until all that was sent is processed; returns how full the queue was on average.
    async fn settle(&mut self, what: &str) -> f64 {
        let start = Instant::now();
        let (mut processed, mut moved, mut shown) = (0, start, start);
        let (mut queue, mut looks) = (0.0, 0.0);
        loop {
            self.operator.assert_running();
            let [count, waiting] = self.operator.metrics([PROCESSED, QUEUE]).await;
            (queue, looks) = (queue + waiting, looks + 1.0);
            let now = Instant::now();
            if count as u64 > processed {
                (processed, moved) = (count as u64, now);
            }
            if processed >= self.sent {
                return queue / looks;
            }
            let resident = self.usage().resident;
            let progress = format!(
                "{what}: {processed} of {} events, {} s, {} MB",
                self.sent,
                (now - start).as_secs(),
                resident / 1_000_000
            );
            if now - moved > STALLED || now - start > LONGEST || resident > MOST_RESIDENT {
                panic!("given up: {progress}. The log ends:\n{}", self.operator.last_lines());
            }
            if now - shown > PROGRESS {
                shown = now;
                eprintln!("  {progress}");
            }
            sleep(LOOK).await;
        }
    }
}
