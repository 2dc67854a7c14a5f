//! Memory: how it grows with the number of objects, and whether it comes back when they are gone.

use std::time::Duration;

use serde::Serialize;
use tokio::time::sleep;

use super::fit::{Line, fit};
use super::play::Play;
use super::pod::violating;
use super::policies;
use super::stage::{Cost, Stage};

/// Parts of all objects at which memory is read, in percent.
const STEPS: [u32; 7] = [1, 2, 5, 10, 20, 50, 100];
/// Part of the objects that is loaded again in the end, in percent.
const AGAIN: u32 = 10;
/// Allocators give back with a delay.
const RETURN: Duration = Duration::from_secs(5);

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Load {
    /// Resident without any object, in bytes.
    pub empty: u64,
    /// Resident at each step.
    pub steps: Vec<Step>,
    /// The line through the steps.
    pub line: Line,
    /// The most that was resident while loading.
    pub peak: u64,
    /// Loading all.
    pub loading: Total,
    /// Deleting all.
    pub deleting: Total,
    /// Resident when all was deleted.
    pub deleted: u64,
    /// And a little later.
    pub returned: u64,
    /// With a part of them loaded again: what an allocator kept is used again, what leaked is not.
    pub again: Step,
}

/// Resident memory with so many objects.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Step {
    /// Objects.
    pub objects: u32,
    /// Bytes.
    pub resident: u64,
}

/// What something took.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Total {
    /// Time.
    pub seconds: f64,
    /// CPU of polywatch.
    pub cpu_seconds: f64,
    /// CPU of the server.
    pub server_cpu_seconds: f64,
}

impl Total {
    fn add(&mut self, cost: Cost) {
        self.seconds += cost.seconds;
        self.cpu_seconds += cost.cpu_seconds;
        self.server_cpu_seconds += cost.server_cpu_seconds;
    }
}

/// Loads so many Pods in a first list, under a policy that reads two fields, and deletes them.
pub async fn run(pods: u32) -> Load {
    let policy = policies::two_fields();
    let name = policy["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let mut stage = Stage::start(vec![policy]).await;
    let empty = stage.usage().resident;
    let (mut loading, mut deleting) = (Total::default(), Total::default());
    let (mut steps, mut from) = (Vec::new(), 0);
    for percent in STEPS {
        let to = part(pods, percent);
        let (cost, _) = stage.play("loading", Play::Added(from..to)).await;
        loading.add(cost);
        steps.push(Step { objects: to, resident: stage.usage().resident });
        from = to;
    }
    loading.add(stage.play("loading", Play::Synced).await.0);
    stage.expect_findings(&name, violating(pods)).await;
    let peak = stage.usage().peak;
    deleting.add(stage.play("deleting", Play::Deleted(0..pods)).await.0);
    stage.expect_findings(&name, 0).await;
    let deleted = stage.usage().resident;
    sleep(RETURN).await;
    let returned = stage.usage().resident;
    let objects = part(pods, AGAIN);
    stage.play("loading again", Play::Added(0..objects)).await;
    let again = Step { objects, resident: stage.usage().resident };
    let line = fit(steps.iter().map(|step| (f64::from(step.objects), step.resident as f64)));
    Load { empty, steps, line, peak, loading, deleting, deleted, returned, again }
}

fn part(pods: u32, percent: u32) -> u32 {
    (u64::from(pods) * u64::from(percent) / 100) as u32
}

impl Load {
    /// With all objects.
    pub fn full(&self) -> Step {
        *self.steps.last().expect("there are steps")
    }
}

/// Prints the table.
pub fn print(load: &Load) {
    let mb = |bytes: u64| bytes as f64 / 1e6;
    println!("\nMemory by objects (Pods of 11 KB, a rule that reads two fields; 1 MB = 1,000,000 bytes)");
    println!(
        "{:>9} {:>12} {:>26} {:>14}",
        "objects", "resident MB", "bytes for each one more", "off the line"
    );
    let mut before = Step { objects: 0, resident: load.empty };
    println!("{:>9} {:>12.1}", 0, mb(load.empty));
    for step in &load.steps {
        let more = step.resident as f64 - before.resident as f64;
        let each = more / f64::from(step.objects - before.objects);
        let off = load.line.deviation(f64::from(step.objects), step.resident as f64);
        println!("{:>9} {:>12.1} {each:>26.0} {:>12.1} %", step.objects, mb(step.resident), off * 100.0);
        before = *step;
    }
    println!("line: {:.1} MB and {:.0} bytes an object", load.line.at_zero / 1e6, load.line.slope);
    println!(
        "peak while loading {:.1} MB; over the empty operator {:.1} MB",
        mb(load.peak),
        mb(load.full().resident - load.empty)
    );
    println!(
        "all deleted: {:.1} MB, {} s later {:.1} MB; with {} loaded again {:.1} MB",
        mb(load.deleted),
        RETURN.as_secs(),
        mb(load.returned),
        load.again.objects,
        mb(load.again.resident)
    );
    for (what, total) in [("loading", load.loading), ("deleting", load.deleting)] {
        println!(
            "{what} took {:.1} s, {:.1} s of CPU ({:.1} s of the server)",
            total.seconds, total.cpu_seconds, total.server_cpu_seconds
        );
    }
}
