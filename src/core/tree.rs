//! The value tree that a projected object is kept as.
//!
//! Built once while the watch bytes are parsed, never changed afterwards, shared by all policies that
//! watch the object. Map keys and short strings repeat between objects and are shared through an
//! [`Interner`].

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashSet;

use serde::{Serialize, Serializer};

/// One value of a Kubernetes object, as JSON has it.
///
/// Numbers follow the API server's rule for CEL: a JSON number without fraction or exponent that fits
/// 64 bits is an integer, anything else a double.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Node {
    /// JSON null, and what was too deep to keep (see [`crate::core::project::MAX_DEPTH`]).
    #[default]
    Null,
    /// JSON true or false.
    Bool(bool),
    /// A whole number within 64 bits, signed.
    Int(i64),
    /// Any other number.
    Double(f64),
    /// A string.
    Str(Arc<str>),
    /// A list.
    List(Box<[Node]>),
    /// A map, in the order the API server wrote it; keys are unique.
    Map(Box<[(Arc<str>, Node)]>),
}

impl Node {
    /// The value under `key`, when this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match self {
            Node::Map(entries) => entries.iter().find(|(k, _)| &**k == key).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The value at a path of map keys, when every step is there.
    pub fn at(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// The string, when this is one.
    pub fn as_str(&self) -> Option<&Arc<str>> {
        match self {
            Node::Str(s) => Some(s),
            _ => None,
        }
    }

    /// The string at a path of map keys.
    pub fn str_at(&self, path: &[&str]) -> Option<&Arc<str>> {
        self.at(path).and_then(Node::as_str)
    }

    /// Entries of a map; nothing for any other value.
    pub fn entries(&self) -> &[(Arc<str>, Node)] {
        match self {
            Node::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Elements of a list; nothing for any other value.
    pub fn items(&self) -> &[Node] {
        match self {
            Node::List(items) => items,
            _ => &[],
        }
    }

    /// What this value is called in messages to users: CEL's names for its types.
    pub fn type_name(&self) -> &'static str {
        match self {
            Node::Null => "null",
            Node::Bool(_) => "bool",
            Node::Int(_) => "int",
            Node::Double(_) => "double",
            Node::Str(_) => "string",
            Node::List(_) => "list",
            Node::Map(_) => "map",
        }
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Node::Null => serializer.serialize_unit(),
            Node::Bool(value) => serializer.serialize_bool(*value),
            Node::Int(number) => serializer.serialize_i64(*number),
            Node::Double(number) => serializer.serialize_f64(*number),
            Node::Str(text) => serializer.serialize_str(text),
            Node::List(items) => serializer.collect_seq(items),
            Node::Map(entries) => serializer.collect_map(entries.iter().map(|(key, value)| (&**key, value))),
        }
    }
}

/// Shares equal strings between the objects of one watch.
///
/// Bounded: once [`Interner::LIMIT`] distinct strings are known, new ones are no longer remembered.
#[derive(Debug, Default)]
pub struct Interner {
    known: Mutex<RefCell<HashSet<Arc<str>>>>,
}

impl Interner {
    /// Most distinct strings remembered.
    pub const LIMIT: usize = 16_384;
    /// Longest string, in bytes, worth sharing.
    pub const MAX_LEN: usize = 64;

    /// Takes hold of it for one object: nobody else interns meanwhile.
    pub fn lock(&self) -> Known<'_> {
        // A panic while the set was held cannot leave it half written: inserting is the last step.
        Known(self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An [`Interner`], taken hold of.
#[derive(Debug)]
pub struct Known<'i>(MutexGuard<'i, RefCell<HashSet<Arc<str>>>>);

impl Known<'_> {
    /// The shared copy of `text`.
    pub fn intern(&self, text: &str) -> Arc<str> {
        if text.len() > Interner::MAX_LEN {
            return Arc::from(text);
        }
        let mut known = self.0.borrow_mut();
        if let Some(shared) = known.get(text) {
            return shared.clone();
        }
        let shared: Arc<str> = Arc::from(text);
        if known.len() < Interner::LIMIT {
            known.insert(shared.clone());
        }
        shared
    }
}
