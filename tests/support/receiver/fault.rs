//! What may be wrong with a receiver and the way to it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

/// What a receiver does with the requests that it gets from now on.
///
/// Only [`Fault::None`], [`Fault::Slow`] and [`Fault::CutAnswer`] take messages. The latter two leave whoever sends in
/// doubt, which is where messages are lost or told twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It takes messages and answers as the vendor does.
    None,
    /// It takes them at once, and answers after this time, or as soon as the fault is another one.
    Slow(Duration),
    /// Connections break before a request is read, also those that were open already.
    ResetBefore,
    /// It reads a request whole, takes nothing of it, and the connection breaks.
    ResetAfter,
    /// It takes the message, and the connection breaks before the answer.
    CutAnswer,
    /// 429, with this many seconds in `Retry-After`.
    TooMany {
        /// For how long it wants to be left alone.
        retry_after: u32,
    },
    /// A status that means trouble on its side: 500, 502, 503.
    Broken(u16),
    /// It says that the request is wrong, in the vendor's way, although it is not.
    Refuses,
    /// 200 with a page in HTML, as proxies and portals answer.
    Garbage,
    /// Bytes that are no HTTP.
    NotHttp,
}

impl Fault {
    /// Whether messages are taken.
    pub fn takes(self) -> bool {
        matches!(self, Fault::None | Fault::Slow(_) | Fault::CutAnswer)
    }
}

/// The present fault, for those who cause it.
#[derive(Debug)]
pub struct Gate {
    fault: watch::Sender<Fault>,
    broken: AtomicU64,
}

impl Gate {
    pub fn new() -> Gate {
        Gate { fault: watch::Sender::new(Fault::None), broken: AtomicU64::new(0) }
    }

    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    pub fn fault(&self) -> Fault {
        *self.fault.borrow()
    }

    /// Notes a connection that broke before a request was read.
    pub fn note_broken(&self) {
        self.broken.fetch_add(1, Ordering::Relaxed);
    }

    pub fn broken(&self) -> u64 {
        self.broken.load(Ordering::Relaxed)
    }

    /// Waits for a time, or until the fault is another one.
    pub async fn linger(&self, fault: Fault, time: Duration) {
        let mut present = self.fault.subscribe();
        let other = present.wait_for(|present| *present != fault);
        // That the sender is gone cannot be, since it is ours; that time is over is one of two ends.
        let _ = tokio::time::timeout(time, other).await;
    }
}
