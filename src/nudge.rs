//! A set of policies that somebody should look at again.
//!
//! Nudges carry no content: whoever takes one compares what is true with what it last wrote. So they may be
//! lost in each other, and a slow taker costs one entry per policy, never a queue.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::core::finding::PolicyKey;

/// Between two takings: whoever takes compares all that is true with all that was written, and is not woken for each
/// change of many.
const INTERVAL: Duration = Duration::from_millis(100);

/// One taker's set.
#[derive(Debug, Default)]
pub struct Nudges {
    policies: Mutex<BTreeSet<PolicyKey>>,
    wake: Notify,
    /// When something was last taken.
    taken: Mutex<Option<Instant>>,
    /// See [`Nudges::of_all`].
    of_all: bool,
}

impl Nudges {
    /// For a taker that looks also at what is only waiting to be a finding, or to end.
    pub fn of_all() -> Self {
        Self { of_all: true, ..Self::default() }
    }

    /// Adds a policy.
    pub fn add(&self, policy: &PolicyKey) {
        self.policies.lock().unwrap_or_else(PoisonError::into_inner).insert(policy.clone());
        self.wake.notify_one();
    }

    /// Takes all, and waits for at least one; not sooner than [`INTERVAL`] after it last took any.
    pub async fn take(&self) -> BTreeSet<PolicyKey> {
        loop {
            let taken = *self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(taken) = taken {
                tokio::time::sleep_until(taken + INTERVAL).await;
            }
            let policies = self.take_now();
            if !policies.is_empty() {
                *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
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

    /// Adds a policy of which only what waits changed.
    pub fn add_waiting(&self, policy: &PolicyKey) {
        self.0.iter().filter(|nudges| nudges.of_all).for_each(|nudges| nudges.add(policy));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(name: &str) -> PolicyKey {
        PolicyKey(name.into())
    }

    #[tokio::test(start_paused = true)]
    async fn nudges_of_one_policy_are_one_and_taking_waits_for_the_next() {
        let nudges = Nudges::default();
        for name in ["b", "a", "b", "b"] {
            nudges.add(&policy(name));
        }
        assert_eq!(nudges.take().await, [policy("a"), policy("b")].into());
        let none = tokio::time::timeout(Duration::from_secs(3600), nudges.take()).await;
        assert!(none.is_err(), "nothing came since");
    }

    #[tokio::test(start_paused = true)]
    async fn a_nudge_wakes_whoever_waits() {
        let nudges = Arc::new(Nudges::default());
        let waiting = tokio::spawn({
            let nudges = nudges.clone();
            async move { nudges.take().await }
        });
        tokio::task::yield_now().await;
        nudges.add(&policy("a"));
        let taken = tokio::time::timeout(Duration::from_secs(1), waiting).await;
        assert_eq!(taken.expect("awake").expect("no panic"), [policy("a")].into());
    }

    #[tokio::test(start_paused = true)]
    async fn a_taker_that_gave_up_loses_nothing() {
        let nudges = Nudges::default();
        let given_up = tokio::time::timeout(Duration::from_secs(1), nudges.take()).await;
        assert!(given_up.is_err());
        nudges.add(&policy("a"));
        assert_eq!(nudges.take().await, [policy("a")].into());
    }

    #[tokio::test(start_paused = true)]
    async fn many_nudges_are_few_takings() {
        let nudges = Arc::new(Nudges::default());
        let mut nudging = tokio::spawn({
            let nudges = nudges.clone();
            async move {
                for _ in 0..1000 {
                    nudges.add(&policy("a"));
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        });
        let mut takings = 0;
        loop {
            tokio::select! {
                _ = nudges.take() => takings += 1,
                _ = &mut nudging => break,
            }
        }
        assert!((10..=12).contains(&takings), "{takings} in a second");
    }

    #[test]
    fn every_taker_of_a_fan_has_its_own_set() {
        let (fast, slow) = (Arc::new(Nudges::default()), Arc::new(Nudges::default()));
        let fan = Fan(vec![fast.clone(), slow.clone()]);
        fan.add(&policy("a"));
        assert_eq!(fast.take_now(), [policy("a")].into());
        fan.add(&policy("b"));
        assert_eq!(slow.take_now(), [policy("a"), policy("b")].into());
        assert_eq!(fast.take_now(), [policy("b")].into());
        assert!(fast.take_now().is_empty());
        let (fast, all) = (Arc::new(Nudges::default()), Arc::new(Nudges::of_all()));
        let fan = Fan(vec![fast.clone(), all.clone()]);
        fan.add_waiting(&policy("a"));
        assert_eq!((fast.take_now().len(), all.take_now().len()), (0, 1), "one of them does not care");
    }
}
