//! An ordered queue of moments at which something is due.
//!
//! Each key has one moment at most. Setting, cancelling and taking what is due cost the logarithm of the number of
//! keys; looking for what is due next costs nothing, however many wait. Time is an argument, as everywhere in `core`.

use std::collections::BTreeSet;
use std::hash::Hash;

use hashbrown::HashMap;
use jiff::Timestamp;

/// See the module. Not bounded by itself: it holds what its owner sets, which is one moment for each thing it keeps.
#[derive(Debug)]
pub struct Timers<K> {
    queue: BTreeSet<(Timestamp, K)>,
    by_key: HashMap<K, Timestamp>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self { queue: BTreeSet::new(), by_key: HashMap::new() }
    }
}

impl<K: Ord + Hash + Clone> Timers<K> {
    /// Makes `key` due at a moment, and at no other; with none, at none.
    pub fn set(&mut self, key: &K, at: Option<Timestamp>) {
        let before = match at {
            Some(at) => self.by_key.insert(key.clone(), at),
            None if self.by_key.is_empty() => return,
            None => self.by_key.remove(key),
        };
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.queue.remove(&(before, key.clone()));
        }
        if let Some(at) = at {
            self.queue.insert((at, key.clone()));
        }
    }

    /// When `key` is due.
    pub fn get(&self, key: &K) -> Option<Timestamp> {
        self.by_key.get(key).copied()
    }

    /// When anything is due next.
    pub fn next(&self) -> Option<Timestamp> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Takes out what is due first, if it is due by now.
    pub fn pop(&mut self, now: Timestamp) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.queue.pop_first()?;
        self.by_key.remove(&key);
        Some(key)
    }

    /// Cancels all but those for which `keep` holds.
    pub fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        self.by_key.retain(|key, _| keep(key));
        self.queue.retain(|(_, key)| keep(key));
    }

    /// How many keys wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    #[test]
    fn each_key_is_due_once_at_its_last_moment_in_the_order_of_moments() {
        let mut timers = Timers::default();
        timers.set(&"a", Some(at(30)));
        timers.set(&"b", Some(at(20)));
        timers.set(&"c", Some(at(10)));
        timers.set(&"a", Some(at(15)));
        timers.set(&"c", None);
        timers.set(&"never", None);
        assert_eq!((timers.len(), timers.next(), timers.get(&"a")), (2, Some(at(15)), Some(at(15))));
        assert_eq!(timers.pop(at(14)), None);
        assert_eq!(timers.pop(at(15)), Some("a"));
        assert_eq!(timers.pop(at(15)), None);
        assert_eq!(timers.pop(at(99)), Some("b"));
        assert!(timers.is_empty() && timers.get(&"b").is_none());
    }

    #[test]
    fn what_is_not_kept_is_never_due() {
        let mut timers = Timers::default();
        (0..10).for_each(|n| timers.set(&n, Some(at(n))));
        timers.retain(|n| n % 2 == 0);
        assert_eq!(timers.len(), 5);
        assert_eq!(std::iter::from_fn(|| timers.pop(at(99))).collect::<Vec<_>>(), [0, 2, 4, 6, 8]);
    }
}
