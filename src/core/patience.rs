//! How long a state must last before a rule believes it.
//!
//! A rule may wait until something was wrong for a time (`for`) before it is a finding, until it was right for a time
//! (`keepFor`) before the finding ends, and longer than that when the finding opens again and again (`flapping`).
//! The ledger applies it; what it waits for is in its timers.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

/// Fewest openings that make a finding one that flaps.
pub const MIN_OPENS: u32 = 2;
/// Most openings that a policy may ask for, and so the most that are remembered of one finding.
pub const MAX_OPENS: u32 = 16;
/// The longest time that a policy may ask for: 30 days.
pub const MAX_WAIT: SignedDuration = SignedDuration::from_hours(720);

/// What a rule waits for. The default waits for nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Patience {
    /// So long it must be wrong before it is a finding.
    pub hold: SignedDuration,
    /// So long it must be right before the finding ends.
    pub keep: SignedDuration,
    /// When it flaps.
    pub flapping: Option<Flapping>,
}

/// When a finding flaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flapping {
    /// It opened at least so often,
    pub opens: u32,
    /// within this time. Once it flaps, it stays open until it was right for as long.
    pub within: SignedDuration,
}

impl Patience {
    /// When something that is wrong since a moment is a finding.
    pub fn opens(&self, since: Timestamp) -> Timestamp {
        later(since, self.hold)
    }

    /// When a finding that is right since a moment ends. `flaps` is how often it opened lately.
    pub fn ends(&self, since: Timestamp, flaps: u32) -> Timestamp {
        let damped = self.flapping.filter(|flapping| flaps >= flapping.opens);
        later(since, damped.map_or(self.keep, |flapping| self.keep.max(flapping.within)))
    }
}

/// A moment that is never reached when it would be beyond the end of time.
fn later(moment: Timestamp, by: SignedDuration) -> Timestamp {
    moment.saturating_add(by).unwrap_or(Timestamp::MAX)
}

/// When a finding opened lately, the last time last: at most [`Flapping::opens`] times.
#[derive(Debug, Clone, Default)]
pub(super) struct Openings(VecDeque<Timestamp>);

impl Openings {
    /// Those of a finding that is known to have opened so often, the last time at `last`. When it opened before is
    /// not known: the last time is taken, which forgets them latest.
    pub(super) fn restored(flaps: u32, last: Timestamp) -> Self {
        Self(std::iter::repeat_n(last, flaps.clamp(1, MAX_OPENS) as usize).collect())
    }

    /// It opens once more; returns how often it opened within the window, 0 for the first time.
    pub(super) fn add(&mut self, flapping: Flapping, now: Timestamp) -> u32 {
        self.forget(flapping, now);
        self.0.push_back(now);
        while self.0.len() > flapping.opens as usize {
            self.0.pop_front();
        }
        match self.0.len() as u32 {
            1 => 0,
            opened => opened,
        }
    }

    /// Forgets what is out of the window. An opening counts for as long as less than the window has passed.
    fn forget(&mut self, flapping: Flapping, now: Timestamp) {
        while self.0.front().is_some_and(|opened| later(*opened, flapping.within) <= now) {
            self.0.pop_front();
        }
    }

    /// When all of them are out of the window.
    pub(super) fn expire(&self, flapping: Flapping) -> Option<Timestamp> {
        self.0.back().map(|last| later(*last, flapping.within))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    #[test]
    fn openings_count_within_the_window_and_no_more_are_remembered_than_count() {
        let flapping = Flapping { opens: 3, within: SignedDuration::from_secs(10) };
        let mut openings = Openings::default();
        assert_eq!(openings.expire(flapping), None);
        assert_eq!(openings.add(flapping, at(0)), 0, "the first time is no repetition");
        assert_eq!(openings.add(flapping, at(9)), 2);
        assert_eq!(openings.add(flapping, at(10)), 2, "the first is out of the window");
        assert_eq!(openings.add(flapping, at(11)), 3);
        assert_eq!(openings.add(flapping, at(12)), 3);
        assert_eq!(openings.0.len(), 3);
        assert_eq!(openings.expire(flapping), Some(at(22)));
        assert_eq!(openings.add(flapping, at(22)), 0);
    }

    #[test]
    fn what_flaps_ends_later_and_nothing_ends_beyond_the_end_of_time() {
        let flapping = Flapping { opens: 3, within: SignedDuration::from_secs(10) };
        let second = SignedDuration::from_secs;
        let patience = Patience { hold: second(5), keep: second(2), flapping: Some(flapping) };
        assert_eq!((patience.opens(at(1)), patience.ends(at(1), 2)), (at(6), at(3)));
        assert_eq!(patience.ends(at(1), 3), at(11));
        let longer = Patience { keep: second(60), ..patience };
        assert_eq!(longer.ends(at(1), 3), at(61), "the longer of the two");
        assert_eq!(patience.opens(Timestamp::MAX), Timestamp::MAX);
    }
}
