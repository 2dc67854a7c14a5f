//! Which fields of an object are read, and therefore kept.
//!
//! A set of paths is a tree of the shape of the objects: map entries by name, all other entries, list elements.
//! What is on the way is kept as far as its shape goes: scalars as they are, maps and lists with what the tree says of
//! their entries and elements.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::tree::Node;

/// What is kept of one value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Keep {
    /// Nothing: the entry is left out, an element becomes null.
    #[default]
    Nothing,
    /// What it is, and of maps and lists what the paths say.
    Some(Box<Paths>),
    /// All of it.
    All,
}

/// What is kept of a map or list.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Paths {
    entries: BTreeMap<Box<str>, Keep>,
    /// Of the entries that are not named.
    rest: Keep,
    /// Of list elements.
    items: Keep,
}

/// One step from a value to a part of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The map entry of this name.
    Entry(Box<str>),
    /// Any map entry.
    AnyEntry,
    /// Any list element.
    Item,
}

impl Keep {
    /// What a value is, but nothing within it.
    pub fn shape() -> Self {
        Self::Some(Box::default())
    }

    /// Keeps what `other` keeps, too.
    pub fn add(&mut self, other: &Keep) {
        match (&mut *self, other) {
            (Self::All, _) | (_, Self::Nothing) => {}
            (_, Self::All) => *self = Self::All,
            (Self::Nothing, other) => *self = other.clone(),
            (Self::Some(mine), Self::Some(other)) => mine.add(other),
        }
    }

    /// Whether it keeps all that `other` keeps.
    pub fn includes(&self, other: &Keep) -> bool {
        match (self, other) {
            (Self::All, _) | (_, Self::Nothing) => true,
            (Self::Nothing, _) => false,
            (Self::Some(mine), Self::Some(other)) => mine.includes(other),
            (Self::Some(mine), Self::All) => mine.is_all(),
        }
    }

    /// Whether two values are the same as far as they are kept.
    fn same(&self, old: Option<&Node>, new: Option<&Node>) -> bool {
        match self {
            Self::Nothing => true,
            Self::Some(paths) => paths.same(old, new),
            Self::All => old == new,
        }
    }

    /// Keeps no longer what is at the end of a path of entries.
    fn forget(&mut self, path: &[&str]) {
        let Some((first, rest)) = path.split_first() else {
            *self = Self::Nothing;
            return;
        };
        if let Self::All = self {
            *self = Self::Some(Box::new(Paths::all()));
        }
        if let Self::Some(paths) = self {
            let mut below = paths.entry(first).clone();
            below.forget(rest);
            paths.entries.insert((*first).into(), below);
        }
    }
}

impl Paths {
    /// Nothing within.
    pub const NONE: Self = Self { entries: BTreeMap::new(), rest: Keep::Nothing, items: Keep::Nothing };

    /// Everything within.
    fn all() -> Self {
        Self { entries: BTreeMap::new(), rest: Keep::All, items: Keep::All }
    }

    /// Of maps and lists these parts: entries by name, all other entries, list elements.
    pub fn of(entries: impl IntoIterator<Item = (Box<str>, Keep)>, rest: Keep, items: Keep) -> Self {
        Self { entries: entries.into_iter().collect(), rest, items }
    }

    /// Whole objects, without `metadata.managedFields`.
    pub fn whole() -> Self {
        let metadata = Self {
            entries: BTreeMap::from([("managedFields".into(), Keep::Nothing)]),
            rest: Keep::All,
            items: Keep::All,
        };
        Self {
            entries: BTreeMap::from([("metadata".into(), Keep::Some(Box::new(metadata)))]),
            rest: Keep::All,
            items: Keep::All,
        }
    }

    /// Only these paths, each a list of map keys, with `[]` for the elements of a list.
    pub fn only<'p>(paths: impl IntoIterator<Item = &'p [&'p str]>) -> Self {
        let mut root = Self::default();
        for path in paths {
            let step = |key: &&str| if *key == "[]" { Step::Item } else { Step::Entry((*key).into()) };
            root.keep(&path.iter().map(step).collect::<Vec<_>>(), &Keep::All);
        }
        root
    }

    /// Keeps `what` at the end of a path, and what leads there.
    pub fn keep(&mut self, path: &[Step], what: &Keep) {
        let Some((first, rest)) = path.split_first() else {
            match what {
                Keep::Nothing => {}
                Keep::Some(paths) => self.add(paths),
                Keep::All => self.add(&Self::all()),
            }
            return;
        };
        let mut below = self.within(first).clone();
        match rest {
            [] => below.add(what),
            _ => {
                below.add(&Keep::shape());
                if let Keep::Some(paths) = &mut below {
                    paths.keep(rest, what);
                }
            }
        }
        match first {
            Step::Entry(name) => {
                self.entries.insert(name.clone(), below);
            }
            Step::AnyEntry => {
                self.entries.values_mut().for_each(|entry| entry.add(&below));
                self.rest = below;
            }
            Step::Item => self.items = below,
        }
    }

    /// Keeps what `other` keeps, too.
    pub fn add(&mut self, other: &Paths) {
        let names: BTreeSet<Box<str>> = self.entries.keys().chain(other.entries.keys()).cloned().collect();
        for name in names {
            let step = Step::Entry(name.clone());
            let mut both = self.within(&step).clone();
            both.add(other.within(&step));
            self.entries.insert(name, both);
        }
        self.rest.add(&other.rest);
        self.items.add(&other.items);
    }

    /// Keeps no longer what is at the end of a path of entries.
    pub fn forget(&mut self, path: &[&str]) {
        if let Some((first, rest)) = path.split_first() {
            let mut below = self.entry(first).clone();
            below.forget(rest);
            self.entries.insert((*first).into(), below);
        }
    }

    /// Whether it keeps all that `other` keeps.
    pub fn includes(&self, other: &Paths) -> bool {
        let mut names = self.entries.keys().chain(other.entries.keys());
        names.all(|name| self.entry(name).includes(other.entry(name)))
            && self.rest.includes(&other.rest)
            && self.items.includes(&other.items)
    }

    fn is_all(&self) -> bool {
        self.includes(&Self::all())
    }

    /// Whether everything is kept that is not named, as of whole objects.
    pub fn keeps_the_rest(&self) -> bool {
        self.rest == Keep::All
    }

    /// Whether all that is kept is below one entry, leaving aside some.
    pub fn is_within(&self, entry: &str, aside: &[&str]) -> bool {
        let named =
            self.entries.iter().filter(|(name, keep)| !aside.contains(&&***name) && **keep != Keep::Nothing);
        self.rest == Keep::Nothing
            && self.items == Keep::Nothing
            && named.clone().all(|(name, _)| **name == *entry)
    }

    /// Whether two values are the same as far as they are kept.
    pub fn same(&self, old: Option<&Node>, new: Option<&Node>) -> bool {
        match (old, new) {
            (Some(old @ Node::Map(_)), Some(new @ Node::Map(_))) if self.rest == Keep::Nothing => {
                self.entries.iter().all(|(name, keep)| keep.same(old.get(name), new.get(name)))
            }
            (Some(Node::Map(old)), Some(Node::Map(new))) => {
                // Rules may go through them in their order.
                let kept = |(key, _): &&(Arc<str>, Node)| *self.entry(key) != Keep::Nothing;
                let (mut old, mut new) = (old.iter().filter(kept), new.iter().filter(kept));
                loop {
                    match (old.next(), new.next()) {
                        (None, None) => return true,
                        (Some((key, a)), Some((other, b)))
                            if key == other && self.entry(key).same(Some(a), Some(b)) => {}
                        _ => return false,
                    }
                }
            }
            (Some(Node::List(old)), Some(Node::List(new))) => {
                let mut pairs = old.iter().zip(new.iter());
                old.len() == new.len() && pairs.all(|(old, new)| self.items.same(Some(old), Some(new)))
            }
            _ => old == new,
        }
    }

    /// What is kept of the map entry of this name.
    pub fn entry(&self, name: &str) -> &Keep {
        self.entries.get(name).unwrap_or(&self.rest)
    }

    /// What is kept of list elements.
    pub fn items(&self) -> &Keep {
        &self.items
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn within(&self, step: &Step) -> &Keep {
        match step {
            Step::Entry(name) => self.entry(name),
            Step::AnyEntry => &self.rest,
            Step::Item => &self.items,
        }
    }

    /// The paths, one a line, as `spec.containers[].image`; `.*` stands for any entry, `…` at the end for all that
    /// is below.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        self.write(&mut String::new(), &mut lines);
        lines
    }

    fn write(&self, at: &mut String, lines: &mut Vec<String>) {
        let before = lines.len();
        let length = at.len();
        for (name, keep) in &self.entries {
            let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
            let dot = if at.is_empty() { "" } else { "." };
            match plain {
                true => at.push_str(&format!("{dot}{name}")),
                false => at.push_str(&format!("[{name:?}]")),
            }
            keep.write(at, lines);
            at.truncate(length);
        }
        for (keep, text) in [(&self.rest, if length == 0 { "*" } else { ".*" }), (&self.items, "[]")] {
            at.push_str(text);
            keep.write(at, lines);
            at.truncate(length);
        }
        if lines.len() == before && !at.is_empty() {
            lines.push(at.clone());
        }
    }
}

impl Keep {
    fn write(&self, at: &mut String, lines: &mut Vec<String>) {
        match self {
            Self::Nothing => {}
            Self::Some(paths) => paths.write(at, lines),
            Self::All => lines.push(format!("{at}.…")),
        }
    }
}

impl fmt::Display for Paths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_add_up_whatever_the_order() {
        let named = Paths::only([&["spec", "containers", "[]", "image"][..], &["metadata", "labels"]]);
        let mut any = Paths::default();
        any.keep(
            &[Step::Entry("spec".into()), Step::AnyEntry, Step::Item, Step::Entry("name".into())],
            &Keep::shape(),
        );
        let (mut a, mut b) = (named.clone(), any.clone());
        a.add(&any);
        b.add(&named);
        assert_eq!(a, b);
        let Keep::Some(spec) = a.entry("spec") else { panic!("spec is kept") };
        let Keep::Some(containers) = spec.entry("containers") else { panic!("containers are kept") };
        let Keep::Some(container) = containers.items() else { panic!("their elements are kept") };
        assert_eq!((container.entry("image"), container.entry("name")), (&Keep::All, &Keep::shape()));
        assert_eq!(container.entry("env"), &Keep::Nothing);
    }

    #[test]
    fn whole_objects_take_in_what_they_left_out_when_it_is_read() {
        let mut paths = Paths::whole();
        paths.add(&Paths::only([&["metadata", "managedFields", "[]", "manager"][..], &["spec", "x"]]));
        let Keep::Some(metadata) = paths.entry("metadata") else { panic!("metadata is kept") };
        assert!(matches!(metadata.entry("managedFields"), Keep::Some(_)));
        assert_eq!((metadata.entry("name"), paths.entry("spec")), (&Keep::All, &Keep::All));
    }

    #[test]
    fn paths_are_written_as_people_write_them() {
        let mut paths =
            Paths::only([&["spec", "containers", "[]", "image"][..], &["metadata", "labels", "a/b"]]);
        paths.keep(&[Step::Entry("data".into()), Step::AnyEntry], &Keep::shape());
        assert_eq!(paths.to_string(), "data.*, metadata.labels[\"a/b\"].…, spec.containers[].image.…");
    }
}
