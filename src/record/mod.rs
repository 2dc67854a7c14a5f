//! What the world is told, one file each.
//!
//! In: nudges, reports of the judge, states of the board, the published policies. Out: writes to the API
//! server. Every recorder is level triggered: it compares what is true with what it last wrote and writes the
//! difference, within its own bound. `app` starts them while this process is the leader.

pub mod alerts;
mod chain;
pub mod events;
mod fields;
pub mod memory;
mod patch;
pub mod reports;
pub mod restore;
pub mod status;
pub mod store;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use tokio::sync::watch;

use crate::judge::Judge;
use crate::metrics::Metrics;
use crate::nudge::Nudges;
use crate::policy::Published;
use crate::watch::Board;

/// A write that is not answered by then counts as failed.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// What every recorder works with.
#[derive(Clone)]
pub struct Sources {
    /// The cluster.
    pub client: Client,
    /// Findings.
    pub judge: Judge,
    /// States of watches.
    pub board: Arc<Board>,
    /// How it goes with sinks.
    pub alerts: Arc<alerts::Board>,
    /// Policies in force.
    pub published: watch::Receiver<Published>,
    /// Which policies to look at.
    pub nudges: Arc<Nudges>,
    /// What became of reports.
    pub reports: Arc<reports::Outcomes>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
}

#[cfg(test)]
impl Sources {
    /// With nobody told anything yet, neither by sinks nor by reports.
    fn of(
        client: Client,
        (judge, board): (Judge, Arc<Board>),
        published: watch::Receiver<Published>,
        (nudges, metrics): (Arc<Nudges>, Arc<Metrics>),
    ) -> Self {
        let alerts = Arc::new(alerts::Board::new(Arc::default()));
        let reports = Arc::default();
        Self { client, judge, board, alerts, published, nudges, reports, metrics }
    }
}

/// Times are shown in whole seconds.
fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
