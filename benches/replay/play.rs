//! What the harness and the API server that it starts say to each other, a line of JSON each.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What the server is started with.
#[derive(Serialize, Deserialize)]
pub struct Setup {
    /// The MonitorPolicies of the cluster.
    pub policies: Vec<Value>,
}

/// Something that the server sends on its watch of Pods.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Play {
    /// These Pods come.
    Added(Range<u32>),
    /// The end of the first list.
    Synced,
    /// Pods change, all of the first `pods` equally often and in no order.
    Modified {
        /// How many there are.
        pods: u32,
        /// How many events.
        events: u32,
        /// What changes.
        field: Field,
    },
    /// Pods change at a steady pace; one event in [`CHURN_EVENTS_PER_TOGGLE`] begins or ends a violation.
    Churn {
        /// How many there are.
        pods: u32,
        /// Events a second.
        rate: u32,
        /// How long.
        seconds: u32,
    },
    /// These Pods go.
    Deleted(Range<u32>),
}

/// Of how many events of churn one begins or ends a violation.
pub const CHURN_EVENTS_PER_TOGGLE: u32 = 100;

/// A field of a Pod.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Field {
    /// One that rules read.
    Read,
    /// One that no rule reads.
    Unread,
}

impl Play {
    /// How many events it is.
    pub fn events(&self) -> u32 {
        match self {
            Self::Added(pods) | Self::Deleted(pods) => pods.end - pods.start,
            Self::Synced => 1,
            Self::Modified { events, .. } => *events,
            Self::Churn { rate, seconds, .. } => rate * seconds,
        }
    }
}

/// What the server did.
#[derive(Debug, Serialize, Deserialize)]
pub struct Played {
    /// Bytes of all lines.
    pub bytes: u64,
    /// Of churn: how far the server was behind its own pace at most, in microseconds. It is behind when the
    /// reader does not take what is sent, too.
    pub behind_us: u64,
    /// Of churn: which Pods began or ended a violation, and when that was written, in nanoseconds since 1970.
    pub toggled: Vec<(u32, u64)>,
}

/// Now, in nanoseconds since 1970: what both processes understand.
pub fn now() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed().expect("the clock is past 1970");
    u64::try_from(since.as_nanos()).expect("the clock is before 2500")
}
