//! Many items in slices of bounded size, so that whoever writes them down writes little when one changes.
//!
//! Each item has a place in a binary trie: the bits of its hash. A slice is a leaf, and a leaf that would be larger than
//! the bound is split by the next bit. So the slices follow from the set of items and from nothing else: not from their
//! order, nor from what was before. Another item beside the same ones changes one slice, or it splits one in two, or two
//! become one.

use std::fmt;

/// Bits of a hash.
const BITS: u32 = u64::BITS;

/// One item to be placed. Items are told apart by `id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item<T> {
    /// Where it belongs: well mixed, see [`crate::core::hash::mixed`].
    pub hash: u64,
    /// What it takes of the bound.
    pub size: usize,
    /// Which one it is; decides among items of one hash.
    pub id: T,
}

/// Names a slice among those of one set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Leaf {
    /// The bits that its items begin with, from the left; the others are 0.
    bits: u64,
    /// How many bits that are.
    depth: u32,
    /// Items of one and the same hash cannot be split by bits: the first of their slices is 0.
    part: usize,
}

impl Leaf {
    const ROOT: Self = Self { bits: 0, depth: 0, part: 0 };

    fn children(self) -> [Self; 2] {
        let depth = self.depth + 1;
        let bit = 1 << (BITS - depth);
        [Self { depth, ..self }, Self { bits: self.bits | bit, depth, ..self }]
    }

    /// Whether an item of this hash is in it, or below it.
    pub fn covers(self, hash: u64) -> bool {
        self.depth == 0 || (hash ^ self.bits) >> (BITS - self.depth) == 0
    }
}

/// Its bits as digits, such as `0110`, which fit into a name; nothing for the only slice. Of items of one hash,
/// `-1`, `-2` and so on follow.
impl fmt::Display for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in 1..=self.depth {
            write!(f, "{}", (self.bits >> (BITS - place)) & 1)?;
        }
        match self.part {
            0 => Ok(()),
            part => write!(f, "-{part}"),
        }
    }
}

/// Puts each item into a slice. No slice is empty, and none is larger than `bound`, unless it is a single item that is.
/// Slices are in the order of their names, items in the order of hash and id.
pub fn place<T: Ord>(mut items: Vec<Item<T>>, bound: usize) -> Vec<(Leaf, Vec<Item<T>>)> {
    items.sort_unstable_by(|a, b| (a.hash, &a.id).cmp(&(b.hash, &b.id)));
    let mut slices = Vec::new();
    // The rightmost first, so that items are taken off the end.
    let mut open = vec![(Leaf::ROOT, 0)];
    while let Some((leaf, start)) = open.pop() {
        let own = &items[start..];
        if own.is_empty() {
            continue;
        }
        let size: usize = own.iter().map(|item| item.size).sum();
        if size <= bound || own.len() == 1 {
            slices.push((leaf, items.split_off(start)));
        } else if leaf.depth == BITS {
            slices.extend(chunks(leaf, items.split_off(start), bound).into_iter().rev());
        } else {
            let [left, right] = leaf.children();
            let border = start + own.partition_point(|item| left.covers(item.hash));
            open.extend([(left, start), (right, border)]);
        }
    }
    slices.reverse();
    slices
}

/// Items of one hash, as many in each slice as fit.
fn chunks<T>(leaf: Leaf, items: Vec<Item<T>>, bound: usize) -> Vec<(Leaf, Vec<Item<T>>)> {
    let mut slices: Vec<(Leaf, Vec<Item<T>>)> = Vec::new();
    let mut size = 0;
    for item in items {
        size += item.size;
        match slices.last_mut() {
            Some((_, last)) if size <= bound => last.push(item),
            _ => {
                size = item.size;
                slices.push((Leaf { part: slices.len(), ..leaf }, vec![item]));
            }
        }
    }
    slices
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::core::hash::{fnv1a, mixed};

    const BOUND: usize = 100;

    type Set = BTreeMap<u32, (u64, usize)>;
    type Slices = BTreeMap<Leaf, Vec<Item<u32>>>;

    fn placed(set: &Set) -> Slices {
        let items = set.iter().map(|(id, (hash, size))| Item { hash: *hash, size: *size, id: *id });
        place(items.collect(), BOUND).into_iter().collect()
    }

    fn size(items: &[Item<u32>]) -> usize {
        items.iter().map(|item| item.size).sum()
    }

    /// Usual hashes, and such as share many bits or all.
    fn hash() -> impl Strategy<Value = u64> {
        prop_oneof![8 => any::<u64>(), 1 => 0..4_u64, 1 => Just(7)]
    }

    fn set() -> impl Strategy<Value = Set> {
        let item = (hash(), prop_oneof![9 => 1..40_usize, 1 => 90..200_usize]);
        prop::collection::btree_map(any::<u32>(), item, 0..60)
    }

    /// The leaf that an item of this hash is in or would be in.
    fn home(set: &Set, hash: u64) -> Leaf {
        let mut leaf = Leaf::ROOT;
        loop {
            let own = set.values().filter(|(other, _)| leaf.covers(*other));
            if own.clone().map(|(_, size)| size).sum::<usize>() <= BOUND
                || own.count() <= 1
                || leaf.depth == BITS
            {
                return leaf;
            }
            let [left, right] = leaf.children();
            leaf = if left.covers(hash) { left } else { right };
        }
    }

    proptest! {
        #[test]
        fn the_slices_are_the_set_and_within_the_bound(set in set()) {
            let slices = placed(&set);
            let mut seen = Set::new();
            for (leaf, items) in &slices {
                prop_assert!(size(items) <= BOUND || items.len() == 1, "{leaf}");
                prop_assert!(!items.is_empty());
                for item in items {
                    prop_assert!(leaf.covers(item.hash));
                    prop_assert!(seen.insert(item.id, (item.hash, item.size)).is_none());
                }
            }
            prop_assert_eq!(seen, set);
            let names: std::collections::BTreeSet<String> = slices.keys().map(Leaf::to_string).collect();
            prop_assert_eq!(names.len(), slices.len());
        }

        #[test]
        fn the_slices_do_not_depend_on_the_order_of_the_items(set in set(), seed in any::<u64>()) {
            let mut items: Vec<_> =
                set.iter().map(|(id, (hash, size))| Item { hash: *hash, size: *size, id: *id }).collect();
            items.sort_by_key(|item| mixed(u64::from(item.id) ^ seed));
            let slices: Slices = place(items, BOUND).into_iter().collect();
            prop_assert_eq!(slices, placed(&set));
        }

        /// One item comes, goes, or takes another size: what changes is the leaf that it belongs to, and what that is
        /// split into, or made of.
        #[test]
        fn one_change_touches_one_slice_or_what_that_is_split_into(
            set in set(), which in any::<prop::sample::Index>(), to in prop::option::of(1..60_usize), fresh in hash(),
        ) {
            let mut after = set.clone();
            let changed = set.iter().nth(which.index(set.len().max(1)));
            let hash = match (changed, to) {
                (Some((id, (hash, _))), Some(to)) => { after.insert(*id, (*hash, to)); *hash }
                (Some((id, (hash, _))), None) => { after.remove(id); *hash }
                (None, _) => { after.insert(0, (fresh, 5)); fresh }
            };
            let (before_home, after_home) = (home(&set, hash), home(&after, hash));
            let touched = if before_home.depth <= after_home.depth { before_home } else { after_home };
            let outside = |slices: Slices| -> Slices {
                slices.into_iter().filter(|(leaf, _)| !(leaf.depth >= touched.depth && touched.covers(leaf.bits))).collect()
            };
            prop_assert_eq!(outside(placed(&set)), outside(placed(&after)));
        }
    }

    #[test]
    fn names_are_the_bits() {
        let set: Set = [(1, (0, 60)), (2, (1 << 63, 60)), (3, (0b11 << 62, 60))].into();
        let names: Vec<String> = placed(&set).keys().map(Leaf::to_string).collect();
        assert_eq!(names, ["0", "10", "11"]);
        let one: Set = [(1, (5, 60))].into();
        assert_eq!(placed(&one).keys().map(Leaf::to_string).collect::<Vec<_>>(), [""]);
    }

    #[test]
    fn items_that_no_bit_tells_apart_are_split_nevertheless() {
        let set: Set = (0..5).map(|id| (id, (7, 40))).collect();
        let names: Vec<String> = placed(&set).keys().map(|leaf| leaf.to_string().split_off(61)).collect();
        assert_eq!(names, ["111", "111-1", "111-2"]);
    }

    /// What the record of the reports says of its bounds rests on it.
    #[test]
    fn slices_of_many_items_are_well_filled() {
        let items = (0..10_000_u32).map(|id| {
            let hash = mixed(fnv1a([id.to_string().as_str()]));
            Item { hash, size: 600, id }
        });
        let slices = place(items.collect(), 128 * 1024);
        assert!((46..=96).contains(&slices.len()), "{} slices", slices.len());
    }
}
