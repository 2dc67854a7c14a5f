//! A token bucket. Pure: the time is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// Lets `burst` through at once and then one every `refill`.
#[derive(Debug, Clone)]
pub struct Budget {
    burst: u32,
    refill: Duration,
    /// When the bucket will be full again.
    full_at: Instant,
}

impl Budget {
    /// A full bucket.
    pub fn new(burst: u32, refill: Duration, now: Instant) -> Self {
        Self { burst, refill, full_at: now }
    }

    /// Takes a token when there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        let there_is = self.has_one(now);
        if there_is {
            self.spend(now);
        }
        there_is
    }

    /// Takes a token, the next one if there is none now; returns how long to wait for it.
    pub fn wait(&mut self, now: Instant) -> Duration {
        let wait = self.next(now);
        self.spend(now);
        wait
    }

    /// Whether there is a token.
    pub fn has_one(&self, now: Instant) -> bool {
        self.next(now).is_zero()
    }

    fn next(&self, now: Instant) -> Duration {
        let after = self.full_at.max(now) + self.refill;
        after.saturating_duration_since(now + self.refill * self.burst)
    }

    fn spend(&mut self, now: Instant) {
        self.full_at = self.full_at.max(now) + self.refill;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_for_each_refill() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut budget = Budget::new(3, second, start);
        let taken = |budget: &mut Budget, at: Instant| (0..10).filter(|_| budget.take(at)).count();
        assert_eq!(taken(&mut budget, start), 3);
        assert_eq!(taken(&mut budget, start + second / 2), 0);
        assert_eq!(taken(&mut budget, start + second), 1);
        assert_eq!(taken(&mut budget, start + second * 3), 2);
        assert_eq!(taken(&mut budget, start + second * 3600), 3);
    }

    #[test]
    fn who_waits_gets_one_token_for_each_refill() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut budget = Budget::new(2, second, start);
        let waits: Vec<_> = (0..5).map(|_| budget.wait(start)).collect();
        assert_eq!(waits, [0, 0, 1, 2, 3].map(Duration::from_secs));
        // What comes no faster than the refill never waits.
        let mut budget = Budget::new(2, second, start);
        assert!((0..100).all(|n| budget.wait(start + second * n).is_zero()));
    }
}
