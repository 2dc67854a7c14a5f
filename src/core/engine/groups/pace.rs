//! How often groups may be judged that take reading many objects: a small part of the time, for all of them together.

use jiff::{SignedDuration, Timestamp};

/// What one member that is read counts for. To unpack an object and to look at it is taken to be 2 µs, so that this is
/// 5 % of the time.
const PER_MEMBER: SignedDuration = SignedDuration::from_micros(40);
/// Time that may be saved up: what 25,000 members count for.
const SAVED: SignedDuration = SignedDuration::from_secs(1);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// From when on the next may be judged; none before the first.
    free_at: Option<Timestamp>,
}

impl Pace {
    /// Whether a group of this many members may be judged now; if so, it counts.
    pub(super) fn take(&mut self, members: usize, now: Timestamp) -> bool {
        let earliest = now.saturating_sub(SAVED).unwrap_or(Timestamp::MIN);
        let free_at = self.free_at.unwrap_or(earliest);
        if free_at > now {
            return false;
        }
        let cost = PER_MEMBER.saturating_mul(i32::try_from(members).unwrap_or(i32::MAX));
        self.free_at = Some(free_at.max(earliest).saturating_add(cost).unwrap_or(Timestamp::MAX));
        true
    }

    /// From when on the next may be judged.
    pub(super) fn free_at(&self) -> Timestamp {
        self.free_at.unwrap_or(Timestamp::MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_groups_take_a_twentieth_of_the_time_and_may_save_up_a_second() {
        let at = |millis: i64| Timestamp::from_millisecond(1_000_000 + millis).expect("a time");
        let mut pace = Pace::default();
        assert!(pace.take(25_000, at(0)), "a second was saved up");
        assert!(pace.take(50_000, at(0)), "and what is left of it is no debt");
        assert!(!pace.take(300, at(1_999)));
        assert!(pace.take(300, at(2_000)));
        assert_eq!(pace.free_at(), at(2_012));
        // All that was saved is a second, however long nothing happened.
        assert!(pace.take(25_000, at(100_000)) && pace.take(1, at(100_000)));
        assert!(!pace.take(1, at(100_000)));
    }
}
