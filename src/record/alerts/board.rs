//! How it goes between policies and sinks, for the status of policies.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use crate::core::finding::PolicyKey;
use crate::nudge::Nudges;

/// Of one policy: how it goes with each of its sinks.
pub type BySink = BTreeMap<Arc<str>, Standing>;

/// How it goes with one sink.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Whether what is owed arrives.
    pub state: SinkState,
    /// Findings for the sink that stand open.
    pub open: usize,
    /// Groups of which there is something to tell.
    pub owed: usize,
    /// Findings that are not told because their object asks for silence.
    pub silenced: usize,
    /// Until when nothing new is told.
    pub muted_until: Option<Timestamp>,
}

impl Standing {
    /// Of a sink that is owed nothing.
    pub fn of_state(state: SinkState) -> Self {
        Self { state, open: 0, owed: 0, silenced: 0, muted_until: None }
    }
}

/// Whether what is owed to a sink arrives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkState {
    /// It does.
    Ready,
    /// It does not, and why.
    NotReady(String),
    /// There is no such sink.
    NotFound,
}

/// See the module.
#[derive(Debug)]
pub struct Board {
    standings: Mutex<BTreeMap<PolicyKey, BySink>>,
    nudges: Arc<Nudges>,
}

impl Board {
    /// Whoever takes the nudges looks again at policies of which something changed.
    pub fn new(nudges: Arc<Nudges>) -> Self {
        Self { standings: Mutex::default(), nudges }
    }

    /// How it goes with the sinks of a policy, as far as it is known.
    pub fn of(&self, policy: &PolicyKey) -> BySink {
        self.standings.lock().unwrap_or_else(PoisonError::into_inner).get(policy).cloned().unwrap_or_default()
    }

    /// Notes how it goes; none when policy and sink have nothing to do with each other any more.
    pub fn note(&self, policy: &PolicyKey, sink: &Arc<str>, standing: Option<Standing>) {
        let mut standings = self.standings.lock().unwrap_or_else(PoisonError::into_inner);
        let of_policy = standings.entry(policy.clone()).or_default();
        let is_news = of_policy.get(sink) != standing.as_ref();
        match standing {
            Some(standing) => drop(of_policy.insert(sink.clone(), standing)),
            None => drop(of_policy.remove(sink)),
        }
        if of_policy.is_empty() {
            standings.remove(policy);
        }
        drop(standings);
        if is_news {
            self.nudges.add(policy);
        }
    }
}
