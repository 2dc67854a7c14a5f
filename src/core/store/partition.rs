//! The objects of one namespace: a list of slots, and an index that finds a slot by the name in its record.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::record::Record;

/// One object.
#[derive(Debug)]
pub(super) struct Slot {
    /// See [`super::record`].
    pub(super) bytes: Box<[u8]>,
    /// The pass over the watch in which it was last seen.
    pub(super) pass: u32,
    /// What was kept when it was decoded: see [`crate::core::project::Projection`].
    pub(super) generation: u32,
}

#[derive(Debug, Default)]
pub(super) struct Partition {
    slots: Vec<Option<Slot>>,
    /// Slots of objects that are gone, to be used again.
    free: Vec<u32>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Partition {
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Slot> {
        let at = *self.index.find(self.hasher.hash_one(name), |at| is_named(&self.slots, *at, name))?;
        self.slots.get(at as usize)?.as_ref()
    }

    pub(super) fn find(&mut self, name: &str) -> Option<&mut Slot> {
        let at = *self.index.find(self.hasher.hash_one(name), |at| is_named(&self.slots, *at, name))?;
        self.slots.get_mut(at as usize)?.as_mut()
    }

    /// Adds an object whose name is not known yet.
    pub(super) fn insert(&mut self, name: &str, bytes: Box<[u8]>, pass: u32, generation: u32) {
        let slot = Some(Slot { bytes, pass, generation });
        let at = match self.free_slot() {
            Some(at) => {
                self.slots[at as usize] = slot;
                at
            }
            None => {
                self.slots.push(slot);
                // Four thousand million objects do not fit into memory.
                (self.slots.len() - 1) as u32
            }
        };
        let Self { slots, index, hasher, .. } = self;
        let hash = |at: &u32| hasher.hash_one(name_of(slots, *at).unwrap_or_default());
        index.insert_unique(hasher.hash_one(name), at, hash);
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<Slot> {
        let Self { slots, index, hasher, free } = self;
        let found = index.find_entry(hasher.hash_one(name), |at| is_named(slots, *at, name)).ok()?;
        let (at, _) = found.remove();
        let slot = slots.get_mut(at as usize)?.take();
        free.push(at);
        // What is left at the end is given back; slots in the middle keep their places, which cursors name.
        while slots.last().is_some_and(Option::is_none) {
            slots.pop();
        }
        if slots.len() < slots.capacity() / 4 {
            slots.shrink_to(slots.len() * 2);
            free.retain(|at| (*at as usize) < slots.len());
            free.shrink_to_fit();
        }
        if index.len() < index.capacity() / 4 {
            let hash = |at: &u32| hasher.hash_one(name_of(slots, *at).unwrap_or_default());
            index.shrink_to(index.len() * 2, hash);
        }
        slot
    }

    /// What was noted as free may have been given back, or taken again, since then.
    fn free_slot(&mut self) -> Option<u32> {
        while let Some(at) = self.free.pop() {
            if self.slots.get(at as usize).is_some_and(Option::is_none) {
                return Some(at);
            }
        }
        None
    }

    /// The slots that are taken, from this one on, each with its number.
    pub(super) fn slots(&self, from: usize) -> impl Iterator<Item = (usize, &Slot)> {
        let slots = self.slots.iter().enumerate().skip(from);
        slots.filter_map(|(n, slot)| slot.as_ref().map(|slot| (n, slot)))
    }

    /// Bytes beside the records.
    pub(super) fn bytes(&self) -> usize {
        let slots = self.slots.capacity() * size_of::<Option<Slot>>();
        slots + (self.free.capacity() + self.index.capacity()) * size_of::<u32>()
    }
}

fn name_of(slots: &[Option<Slot>], at: u32) -> Option<&str> {
    slots.get(at as usize)?.as_ref().map(|slot| Record::read(&slot.bytes).name)
}

fn is_named(slots: &[Option<Slot>], at: u32, name: &str) -> bool {
    name_of(slots, at) == Some(name)
}
