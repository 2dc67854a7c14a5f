//! One object, as one selection of a policy sees it.

use super::plan::Plan;
use crate::core::event::{ObjectKey, WatchId};
use crate::core::project::ProjectedObject;

/// See the module. Of no meaning when the policy changes, whose selections may have other positions then.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Subject {
    /// The selection's position in the policy.
    pub(super) selection: usize,
    pub(super) watch: WatchId,
    pub(super) key: ObjectKey,
}

impl Subject {
    pub(super) fn new(watch: WatchId, plan: &Plan, object: &ProjectedObject) -> Self {
        Self { selection: plan.index, watch, key: object.key() }
    }
}
