//! How what is remembered is divided, so that one change rewrites one part of it.
//!
//! An entry is in the slice that the hash of its key says. The number of slices is a power of two and only grows, by
//! doubling: what was in slice 1 of 2 is then in 1 or 3 of 4. While it grows the highest slice is written first; so after
//! a crash on the way each entry is still in one of them, and of two that have it the one of the finer division counts.

/// One slice of a division.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// Which of them, from 0.
    pub index: u32,
    /// How many there are.
    pub of: u32,
}

impl Place {
    /// Where an entry is.
    pub fn of_hash(hash: u64, of: u32) -> Self {
        // No more than fit in 32 bits.
        Self { index: (hash % u64::from(of.max(1))) as u32, of }
    }

    /// Whether an entry is in it.
    pub fn has(self, hash: u64) -> bool {
        Self::of_hash(hash, self.of) == self
    }

    /// Whether it counts for an entry beside these others.
    pub fn counts(self, hash: u64, among: &[Place]) -> bool {
        self.has(hash) && !among.iter().any(|other| other.of > self.of && other.has(hash))
    }
}

/// How many slices to have for what comes to `load` times what one slice should take: at least as many as there are.
pub fn grown(now: u32, load: usize, most: u32) -> u32 {
    let needed = u32::try_from(load.max(1)).ok().and_then(u32::checked_next_power_of_two).unwrap_or(most);
    now.max(needed.min(most)).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn there_are_as_many_slices_as_are_needed_and_never_fewer_than_before() {
        assert_eq!([0, 1, 2, 3, 5, 1000].map(|load| grown(1, load, 64)), [1, 1, 2, 4, 8, 64]);
        assert_eq!(grown(16, 1, 64), 16);
        assert_eq!(grown(0, usize::MAX, 4), 4);
    }

    proptest! {
        /// Wherever a process ends that doubles the slices once or twice, from the highest down: each entry counts in
        /// exactly one slice.
        #[test]
        fn an_entry_counts_once_wherever_growing_was_broken_off(
            hashes in prop::collection::vec(any::<u64>(), 1..50),
            before in 0..4u32,
            doublings in 1..3u32,
            written in 0..32u32,
        ) {
            let (old, new) = (1 << before, 1 << (before + doublings));
            let mut there: Vec<Place> = (0..old).map(|index| Place { index, of: old }).collect();
            for index in (0..new).rev().take(written as usize) {
                there.retain(|place| place.index != index);
                there.push(Place { index, of: new });
            }
            for hash in hashes {
                let counts = there.iter().filter(|place| place.counts(hash, &there)).count();
                prop_assert_eq!(counts, 1);
            }
        }
    }
}
