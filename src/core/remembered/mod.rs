//! The last known objects of a watch, as they outlive a process.
//!
//! In: what an engine knows. Out: parts of it, each complete for the objects whose names it is for, so that a later engine
//! can tell what came, changed or went in between. The engine makes and takes them; `record::memory` writes and reads them.

pub mod place;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use self::place::Place;
use super::event::ObjectKey;
use super::hash::fnv1a;
use super::project::ProjectedObject;

/// The finest division of the objects of a watch.
pub const MAX_PARTS: u32 = 4;

/// Who compared changes with the objects: one selection of a policy as it was. A policy that was edited since then begins
/// with what is, as a new one does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReaderId {
    /// UID of the policy.
    pub policy: Arc<str>,
    /// Generation of its spec.
    pub generation: i64,
    /// Name of the selection.
    pub selection: Arc<str>,
    /// Identity of what it needs of each object (see [`super::project::Shape::identity`]): what was kept for other needs is
    /// not compared.
    pub needs: u64,
}

/// The objects of one watch whose names are in one place, all of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Which names it is for.
    pub place: Place,
    /// When the objects were known so.
    pub time: Timestamp,
    /// For whom they were complete, and kept as they need them.
    pub readers: Vec<ReaderId>,
    /// By name.
    pub objects: BTreeMap<ObjectKey, Arc<ProjectedObject>>,
}

impl Part {
    /// Whether it is for objects of this name.
    pub fn is_for(&self, key: &ObjectKey) -> bool {
        self.place.has(hash(key))
    }
}

/// What decides in which place an object is.
pub fn hash(key: &ObjectKey) -> u64 {
    fnv1a([key.namespace.as_deref().unwrap_or_default(), &*key.name])
}
