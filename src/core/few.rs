//! A set that usually has very few elements, and sometimes thousands.

use std::collections::BTreeSet;

/// Elements up to which a list is searched.
const FEW: usize = 8;

/// See the module. In order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Few<T> {
    /// A sorted list.
    List(Vec<T>),
    /// More than that.
    Set(BTreeSet<T>),
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl<T: Ord> Few<T> {
    /// Adds an element, unless it is there.
    pub fn insert(&mut self, element: T) {
        match self {
            Self::List(list) => match list.binary_search(&element) {
                Ok(_) => {}
                Err(at) if list.len() < FEW => {
                    // What has one element mostly stays so.
                    list.reserve_exact(1);
                    list.insert(at, element);
                }
                Err(_) => {
                    let mut set: BTreeSet<T> = std::mem::take(list).into_iter().collect();
                    set.insert(element);
                    *self = Self::Set(set);
                }
            },
            Self::Set(set) => drop(set.insert(element)),
        }
    }

    /// Removes an element, if it is there.
    pub fn remove(&mut self, element: &T) {
        match self {
            Self::List(list) => {
                if let Ok(at) = list.binary_search(element) {
                    list.remove(at);
                }
            }
            Self::Set(set) => drop(set.remove(element)),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::List(list) => list.is_empty(),
            Self::Set(set) => set.is_empty(),
        }
    }

    /// The elements, in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let (list, set) = match self {
            Self::List(list) => (Some(list), None),
            Self::Set(set) => (None, Some(set)),
        };
        list.into_iter().flatten().chain(set.into_iter().flatten())
    }

    /// The elements from this one on, in order.
    pub fn from(&self, first: &T) -> impl Iterator<Item = &T> {
        let (list, set) = match self {
            Self::List(list) => (Some(&list[list.partition_point(|element| element < first)..]), None),
            Self::Set(set) => (None, Some(set.range(first..))),
        };
        list.into_iter().flatten().chain(set.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set(steps in prop::collection::vec((any::<bool>(), 0..20u8), 0..60), first in 0..20u8) {
            let (mut few, mut set) = (Few::default(), BTreeSet::new());
            for (add, element) in steps {
                match add {
                    true => { few.insert(element); set.insert(element); }
                    false => { few.remove(&element); set.remove(&element); }
                }
                prop_assert!(few.iter().eq(set.iter()));
                prop_assert!(few.from(&first).eq(set.range(first..)));
                prop_assert_eq!(few.is_empty(), set.is_empty());
            }
        }
    }
}
