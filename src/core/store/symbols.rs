//! Texts that repeat, by number: keys of maps always, values when they are seen for the second time.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashMap};

/// Most texts that have a number.
const LIMIT: usize = 16_384;
/// Longest text, in bytes, that may have one.
const MAX_LEN: usize = 64;
/// How many of the values that were seen once are remembered, by hash.
const ONCE: usize = 4_096;

/// The texts of one store. Bounded; what does not fit is written where it stands.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    numbers: HashMap<Arc<str>, u32>,
    texts: Vec<Arc<str>>,
    /// Hashes of values seen once, each where it says itself: a newer one takes the place of an older. Names,
    /// addresses and times are seen once, and have no business among what repeats.
    once: Vec<u32>,
    hasher: DefaultHashBuilder,
    bytes: usize,
}

impl Symbols {
    /// The number of the key of a map, if it has one.
    pub(super) fn key(&mut self, text: &Arc<str>) -> Option<u32> {
        self.numbers.get(text).copied().or_else(|| self.number(text))
    }

    /// The number of a value, if it has one.
    pub(super) fn value(&mut self, text: &Arc<str>) -> Option<u32> {
        if text.len() > MAX_LEN {
            return None;
        }
        if let Some(number) = self.numbers.get(text) {
            return Some(*number);
        }
        self.once.resize(ONCE, 0);
        let hash = self.hasher.hash_one(&**text) as u32;
        let seen = std::mem::replace(&mut self.once[hash as usize % ONCE], hash);
        if seen == hash { self.number(text) } else { None }
    }

    /// The text of a number.
    pub(super) fn text(&self, number: u32) -> Option<&Arc<str>> {
        self.texts.get(number as usize)
    }

    /// Bytes of all of it.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.once.len() * size_of::<u32>()
    }

    fn number(&mut self, text: &Arc<str>) -> Option<u32> {
        if self.texts.len() == LIMIT || text.len() > MAX_LEN {
            return None;
        }
        let number = self.texts.len() as u32;
        self.numbers.insert(text.clone(), number);
        self.texts.push(text.clone());
        self.bytes += text.len() + 2 * size_of::<Arc<str>>() + 3 * size_of::<usize>();
        Some(number)
    }
}
