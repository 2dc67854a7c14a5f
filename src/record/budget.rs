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
        Self {
            burst,
            refill,
            full_at: now,
        }
    }

    /// Takes a token when there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.max(now) + self.refill;
        let fits = full_at <= now + self.refill * self.burst;
        if fits {
            self.full_at = full_at;
        }
        fits
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
}
