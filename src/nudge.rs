//! A set of policies that somebody should look at again.
//!
//! Nudges carry no content: whoever takes one compares what is true with what it last wrote. So they may be
//! lost in each other, and a slow taker costs one entry per policy, never a queue.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::core::finding::PolicyKey;

/// One taker's set.
#[derive(Debug, Default)]
pub struct Nudges {
    policies: Mutex<BTreeSet<PolicyKey>>,
    wake: Notify,
}

impl Nudges {
    /// Adds a policy.
    pub fn add(&self, policy: &PolicyKey) {
        self.policies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(policy.clone());
        self.wake.notify_one();
    }

    /// Takes all, and waits for at least one.
    pub async fn take(&self) -> BTreeSet<PolicyKey> {
        loop {
            let policies = self.take_now();
            if !policies.is_empty() {
                return policies;
            }
            self.wake.notified().await;
        }
    }

    /// Takes all there are now.
    pub fn take_now(&self) -> BTreeSet<PolicyKey> {
        std::mem::take(&mut *self.policies.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Nudges several takers at once.
#[derive(Debug, Clone, Default)]
pub struct Fan(pub Vec<Arc<Nudges>>);

impl Fan {
    /// Adds a policy to every set.
    pub fn add(&self, policy: &PolicyKey) {
        self.0.iter().for_each(|nudges| nudges.add(policy));
    }
}
