//! Events a second through the whole of polywatch, by the number of rules.

use serde::Serialize;

use super::play::{Field, Play};
use super::pod::violating;
use super::policies;
use super::stage::{Cost, Stage};

/// Pods that events are of.
const PODS: u32 = 10_000;

/// What was measured of one set of policies.
#[derive(Debug, Serialize)]
pub struct Throughput {
    /// Policies in force.
    pub policies: u32,
    /// Rules of each.
    pub rules: u32,
    /// The first list.
    pub list: Cost,
    /// Changes of a field that no rule reads.
    pub unread: Cost,
    /// Changes of a field that rules read.
    pub read: Cost,
}

/// Measures each set of policies with so many events, the larger sets with fewer.
pub async fn run(events: u32) -> Vec<Throughput> {
    let mut all = Vec::new();
    for (policies, rules, share) in [(1, 1, 1), (1, 10, 1), (10, 10, 4), (100, 10, 20)] {
        all.push(measure(policies, rules, events / share).await);
    }
    all
}

async fn measure(policies: u32, rules: u32, events: u32) -> Throughput {
    let what = format!("{policies} × {rules} rules");
    let in_force = if rules == 1 { vec![policies::simple()] } else { policies::usual(policies) };
    let names: Vec<String> = in_force
        .iter()
        .map(|policy| policy["metadata"]["name"].as_str().unwrap_or_default().into())
        .collect();
    let mut stage = Stage::start(in_force).await;
    let (list, _) = stage.play(&what, Play::Added(0..PODS)).await;
    stage.play(&what, Play::Synced).await;
    for name in names {
        // The simple rule reads nothing that is wrong with any of them.
        stage.expect_findings(&name, if rules == 1 { 0 } else { violating(PODS) }).await;
    }
    // First what is not read: then the second series changes both, as it must not the other way round.
    let (unread, _) = stage.play(&what, Play::Modified { pods: PODS, events, field: Field::Unread }).await;
    let (read, _) = stage.play(&what, Play::Modified { pods: PODS, events, field: Field::Read }).await;
    Throughput { policies, rules, list, unread, read }
}

/// Prints the table.
pub fn print(all: &[Throughput]) {
    println!(
        "\nEvents through the whole of polywatch ({PODS} Pods; queue of 1024: full when judging is the bottleneck)"
    );
    println!(
        "{:>8} {:>5}  {:<22} {:>8} {:>9} {:>13} {:>6}",
        "policies", "rules", "events", "number", "per s", "per CPU s", "queue"
    );
    for row in all {
        let series = [
            ("first list", row.list),
            ("change what none reads", row.unread),
            ("change what rules read", row.read),
        ];
        for (name, cost) in series {
            println!(
                "{:>8} {:>5}  {name:<22} {:>8} {:>9.0} {:>13.0} {:>6.0}",
                row.policies,
                row.rules,
                cost.events,
                cost.per_second(),
                cost.per_core(),
                cost.queue
            );
        }
    }
}
