//! What the API server says that objects of a kind look like.
//!
//! In: a CustomResourceDefinition ([`Definition`]) or a document of OpenAPI v3 ([`Document`]), as the API server
//! serves them. Out: the [`Schema`] of one kind, and from it the type that expressions are checked against. The
//! watches read schemas; the check of policies and whoever compares lists by their keys uses them.
//!
//! A schema is what is true of objects as they are read, as plain JSON: dates and encoded bytes are strings, and
//! where a schema leaves open what may be there, it is [`Schema::Any`].
//!
//! **Bounds.** [`MAX_DEPTH`] levels and [`MAX_PARTS`] parts; what lies beyond, and a kind within itself, is
//! [`Schema::Any`].

mod metadata;
mod openapi;
mod types;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::diff::ListKeys;
use super::field_path::Step;
use super::finding::ObjectId;

pub use openapi::{Definition, Document};

/// Levels of fields, elements and values within one another.
pub const MAX_DEPTH: usize = 64;
/// Fields, elements and values of one kind. The largest built-in kinds have less than two thousand.
pub const MAX_PARTS: usize = 32_768;

/// The schemas that are known, by `apiVersion` and `kind` of the objects.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SchemaSet(HashMap<(Arc<str>, Arc<str>), Arc<Schema>>);

impl SchemaSet {
    /// Adds the schema of a kind; the group is empty for the core group.
    pub fn insert(&mut self, group: &str, version: &str, kind: &str, schema: Arc<Schema>) {
        let api_version = match group {
            "" => version.into(),
            group => format!("{group}/{version}").into(),
        };
        self.0.insert((api_version, kind.into()), schema);
    }

    /// The schema of an object's kind.
    pub fn of(&self, object: &ObjectId) -> Option<&Schema> {
        self.0.get(&(object.api_version.clone(), object.kind.clone())).map(|schema| &**schema)
    }
}

/// What one value of an object may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schema {
    /// Nothing is known.
    Any,
    /// true or false.
    Bool,
    /// A whole number.
    Int,
    /// Any number.
    Double,
    /// Text, dates and encoded bytes among it.
    String,
    /// A list.
    List {
        /// Each of its elements.
        element: Box<Schema>,
        /// The fields that tell its elements apart (`x-kubernetes-list-map-keys`), if it has some.
        keys: Vec<Arc<str>>,
    },
    /// A map with keys that users choose, to values of one shape.
    Map(Box<Schema>),
    /// A map with known fields.
    Object {
        /// The fields.
        fields: BTreeMap<Arc<str>, Schema>,
        /// Whether it may have others, too (`x-kubernetes-preserve-unknown-fields`).
        open: bool,
    },
    /// The same, or null.
    Nullable(Box<Schema>),
}

impl Schema {
    /// What is under a field or key, when this is a map that can have it.
    pub fn field(&self, name: &str) -> Option<&Schema> {
        match self {
            Self::Map(value) => Some(value),
            Self::Object { fields, .. } => fields.get(name),
            Self::Nullable(inner) => inner.field(name),
            _ => None,
        }
    }

    /// Each element, when this is a list.
    pub fn element(&self) -> Option<&Schema> {
        match self {
            Self::List { element, .. } => Some(element),
            Self::Nullable(inner) => inner.element(),
            _ => None,
        }
    }

    /// The fields that tell the elements of a list apart; nothing when this is no list or has none.
    pub fn keys(&self) -> Option<&[Arc<str>]> {
        match self {
            Self::List { keys, .. } if !keys.is_empty() => Some(keys),
            Self::Nullable(inner) => inner.keys(),
            _ => None,
        }
    }

    fn list(element: Schema) -> Self {
        Self::List { element: Box::new(element), keys: Vec::new() }
    }

    fn object<const N: usize>(fields: [(&str, Schema); N]) -> Self {
        let fields = fields.map(|(name, schema)| (Arc::from(name), schema));
        Self::Object { fields: fields.into(), open: false }
    }
}

/// None when no schema is known.
impl ListKeys for Option<&Schema> {
    fn keys(&self, path: &[Step]) -> Option<Vec<Arc<str>>> {
        let list = path.iter().try_fold((*self)?, |at, step| match step {
            Step::Field(name) => at.field(name),
            Step::Element(_) | Step::Index(_) => at.element(),
        })?;
        list.keys().map(<[_]>::to_vec)
    }
}

#[cfg(test)]
mod tests;
