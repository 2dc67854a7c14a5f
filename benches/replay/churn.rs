//! A steady load: how long after an event was written its finding is told.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use serde::Serialize;

use super::play::Play;
use super::pod::{name, violating};
use super::policies;
use super::stage::{Cost, Stage};
use super::wait::eventually;

/// Pods that there are.
const PODS: u32 = 100_000;
/// Events a second.
const RATE: u32 = 5_000;
/// For the last line of the log, when all events are processed.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Churn {
    /// Events a second that were sent.
    pub rate: u32,
    /// Until the last one was processed.
    pub cost: Cost,
    /// Resident at the end, in bytes.
    pub resident: u64,
    /// How far the server was behind its own pace at most, in milliseconds.
    pub behind_ms: f64,
    /// From the write of an event to the line of the log that tells of its finding, in milliseconds, sorted.
    pub latencies_ms: Vec<f64>,
}

impl Churn {
    /// The latency that this part of all does not exceed.
    pub fn percentile(&self, part: f64) -> f64 {
        let rank = (part * self.latencies_ms.len() as f64).ceil() as usize;
        self.latencies_ms[rank.clamp(1, self.latencies_ms.len()) - 1]
    }
}

/// Holds the load for so many seconds, under a policy of ten rules, with at most so many Pods.
pub async fn run(seconds: u32, limit: u32) -> Churn {
    let pods = PODS.min(limit);
    let mut stage = Stage::start(policies::usual(1)).await;
    stage.play("churn, first list", Play::Added(0..pods)).await;
    stage.play("churn, first list", Play::Synced).await;
    let before = violating(pods) as usize;
    told(&stage, before).await;
    let (cost, played) = stage.play("churn", Play::Churn { pods, rate: RATE, seconds }).await;
    told(&stage, before + played.toggled.len()).await;
    let mut written: HashMap<String, VecDeque<u64>> = HashMap::new();
    for (pod, at) in played.toggled {
        written.entry(name(pod)).or_default().push_back(at);
    }
    let latency = |told: &super::operator::Told| {
        let at = written.get_mut(&told.object).and_then(VecDeque::pop_front);
        told.at.saturating_sub(at.expect("a line for each toggle")) as f64 / 1e6
    };
    let mut latencies_ms: Vec<f64> = stage.told()[before..].iter().map(latency).collect();
    latencies_ms.sort_by(f64::total_cmp);
    let resident = stage.usage().resident;
    Churn { rate: RATE, cost, resident, behind_ms: played.behind_us as f64 / 1e3, latencies_ms }
}

/// Waits until the log told of so many findings.
async fn told(stage: &Stage, count: usize) {
    let what = format!("the log has {count} lines on findings");
    eventually(&what, PATIENCE, async || match stage.told().len() {
        known if known == count => Ok(()),
        known => Err(format!("it has {known}")),
    })
    .await;
}

/// Prints the table.
pub fn print(churn: &Churn) {
    let cost = churn.cost;
    println!("\n{} events a second, of which one in a hundred opens or resolves a finding", churn.rate);
    println!(
        "{:>9} {:>8} {:>8} {:>8} {:>8}  ms from write to log line",
        "findings", "p50", "p90", "p99", "max"
    );
    let [p50, p90, p99, max] = [0.5, 0.9, 0.99, 1.0].map(|part| churn.percentile(part));
    println!("{:>9} {p50:>8.2} {p90:>8.2} {p99:>8.2} {max:>8.2}", churn.latencies_ms.len());
    println!(
        "{} events in {:.1} s, {:.1} s of CPU ({:.0} %), {:.0} MB resident; the server was at most {:.1} ms behind",
        cost.events,
        cost.seconds,
        cost.cpu_seconds,
        cost.cpu_seconds / cost.seconds * 100.0,
        churn.resident as f64 / 1e6,
        churn.behind_ms
    );
}
