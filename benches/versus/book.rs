//! Writes, and when each was seen.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

/// The time from the acknowledgement of each write to the moment when its effect was seen. Both are noted by threads
/// of their own, in any order.
#[derive(Default)]
pub struct Book(Mutex<Pages>);

#[derive(Default)]
struct Pages {
    waiting: HashMap<String, Entry>,
    delays: Vec<Duration>,
    early: usize,
}

struct Entry {
    opens: bool,
    acknowledged: Option<Instant>,
    seen: Option<Instant>,
}

impl Book {
    /// A finding of this object is about to open or to resolve. False, and nothing is noted, when an earlier write
    /// of the object still waits.
    pub fn expect(&self, object: &str, opens: bool) -> bool {
        let mut pages = self.pages();
        if pages.waiting.contains_key(object) {
            return false;
        }
        pages.waiting.insert(object.to_owned(), Entry { opens, acknowledged: None, seen: None });
        true
    }

    /// The server has answered.
    pub fn acknowledged(&self, object: &str) {
        let now = Instant::now();
        self.pages().note(object, |entry| entry.acknowledged = Some(now));
    }

    /// The finding was seen to open or to resolve, for the first time.
    pub fn seen(&self, object: &str, opens: bool, at: Instant) {
        self.pages().note(object, |entry| {
            if entry.opens == opens && entry.seen.is_none() {
                entry.seen = Some(at);
            }
        });
    }

    /// Whether a write of this object waits to be seen.
    pub fn waits(&self, object: &str) -> bool {
        self.pages().waiting.contains_key(object)
    }

    /// How many writes wait.
    pub fn waiting(&self) -> usize {
        self.pages().waiting.len()
    }

    /// The result; the book is empty afterwards.
    pub fn close(&self) -> Delays {
        let mut pages = std::mem::take(&mut *self.pages());
        pages.delays.sort_unstable();
        let milliseconds = |rank: f64| {
            // The smallest value that at least this share of all values does not exceed.
            let index = (rank * pages.delays.len() as f64).ceil() as usize;
            pages.delays.get(index.saturating_sub(1)).map_or(f64::NAN, |delay| delay.as_secs_f64() * 1000.0)
        };
        Delays {
            n: pages.delays.len(),
            p50_ms: milliseconds(0.5),
            p99_ms: milliseconds(0.99),
            max_ms: milliseconds(1.0),
            seen_before_acknowledged: pages.early,
        }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    fn note(&mut self, object: &str, note: impl FnOnce(&mut Entry)) {
        let Some(entry) = self.waiting.get_mut(object) else { return };
        note(entry);
        let (Some(acknowledged), Some(seen)) = (entry.acknowledged, entry.seen) else { return };
        self.waiting.remove(object);
        self.early += usize::from(seen < acknowledged);
        self.delays.push(seen.saturating_duration_since(acknowledged));
    }
}

/// Percentiles of a book.
#[derive(Debug, Clone, Serialize)]
pub struct Delays {
    pub n: usize,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
    /// Of those, seen before the server had answered: they count as 0.
    pub seen_before_acknowledged: usize,
}
