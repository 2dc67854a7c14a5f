//! When a sink may be tried: pauses after failures, and a circuit breaker. Pure: time is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// After so many failures in a row the breaker is open: one attempt at a time, and a pause after each.
pub const OPENS_AFTER: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause that is chosen here.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);
/// Longest pause that a sink may ask for.
pub const LONGEST_ASKED: Duration = Duration::from_secs(60 * 60);
/// While a credential is missing or refused: somebody has to mend it, and waits to see that it is mended.
const CREDENTIALS_PAUSE: Duration = Duration::from_secs(30);

/// Whether a sink is believed to answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum State {
    /// It is.
    #[default]
    Closed,
    /// It is not, and it is time to try.
    HalfOpen,
    /// It is not, and it is left alone.
    Open,
}

impl State {
    /// As the metric has it.
    pub fn as_number(self) -> i64 {
        match self {
            Self::Closed => 0,
            Self::HalfOpen => 1,
            Self::Open => 2,
        }
    }
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Breaker {
    failures: u32,
    until: Option<Instant>,
}

impl Breaker {
    /// How many more messages may be under way, `running` being so already.
    pub fn room(&self, concurrency: usize, running: usize, now: Instant) -> usize {
        match self.state(now) {
            _ if self.until.is_some_and(|until| now < until) => 0,
            State::Open => 0,
            State::HalfOpen => 1_usize.saturating_sub(running),
            State::Closed => concurrency.saturating_sub(running),
        }
    }

    /// When it may be tried again; none when it may be tried now.
    pub fn opens_at(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| now < *until)
    }

    /// Whether the sink is believed to answer.
    pub fn state(&self, now: Instant) -> State {
        match self.failures >= OPENS_AFTER {
            false => State::Closed,
            true if self.until.is_some_and(|until| now < until) => State::Open,
            true => State::HalfOpen,
        }
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// It answered.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// It did not, or asks to be left alone for a time. `jitter` is between 0 and 1.
    pub fn failed(&mut self, asked: Option<Duration>, jitter: f64, now: Instant) {
        let doubled = FIRST_PAUSE.saturating_mul(1 << self.failures.min(10)).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        let pause = doubled.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0));
        let asked = asked.unwrap_or_default().min(LONGEST_ASKED);
        self.until = Some(self.until.unwrap_or(now).max(now + pause.max(asked)));
    }

    /// A credential is missing or refused.
    pub fn refused(&mut self, jitter: f64, now: Instant) {
        self.failed(None, jitter, now);
        let pause = CREDENTIALS_PAUSE.mul_f64(0.8 + 0.2 * jitter.clamp(0.0, 1.0));
        self.until = Some(now + pause);
    }

    /// It was changed: what failed before says nothing.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: u64, start: Instant) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn pauses_double_and_have_an_end() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        let mut now = start;
        let mut pauses = Vec::new();
        for _ in 0..12 {
            breaker.failed(None, 1.0, now);
            let until = breaker.opens_at(now).expect("a pause");
            pauses.push((until - now).as_secs());
            now = until;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    }

    #[test]
    fn after_some_failures_one_attempt_at_a_time_is_made() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        assert_eq!(breaker.room(4, 1, start), 3);
        for _ in 0..OPENS_AFTER {
            breaker.failed(None, 0.0, start);
        }
        assert_eq!((breaker.state(start), breaker.room(4, 0, start)), (State::Open, 0));
        let later = after(600, start);
        assert_eq!(breaker.state(later), State::HalfOpen);
        assert_eq!((breaker.room(4, 0, later), breaker.room(4, 1, later)), (1, 0));
        breaker.succeeded();
        assert_eq!((breaker.state(later), breaker.room(4, 0, later)), (State::Closed, 4));
    }

    #[test]
    fn what_a_sink_asks_for_is_heeded_within_bounds() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        breaker.failed(Some(Duration::from_secs(120)), 0.0, start);
        assert_eq!(breaker.room(4, 0, after(119, start)), 0);
        assert_eq!(breaker.room(4, 0, after(120, start)), 4);
        // A later failure does not shorten it.
        let mut breaker = Breaker::default();
        breaker.failed(Some(Duration::from_secs(120)), 0.0, start);
        breaker.failed(None, 0.0, start);
        assert_eq!(breaker.opens_at(start), Some(after(120, start)));
        let mut breaker = Breaker::default();
        breaker.failed(Some(Duration::from_secs(1_000_000)), 0.0, start);
        assert_eq!(breaker.opens_at(start), Some(start + LONGEST_ASKED));
    }
}
