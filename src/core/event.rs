//! What a watch says about its objects.

use std::sync::Arc;

use super::project::ProjectedObject;

/// Names one running watch. Never reused while the process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchId(pub u64);

/// Names an object within one watch. Ordered by namespace, so that a namespace is one range of keys.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Namespace; none for cluster scoped objects.
    pub namespace: Option<Arc<str>>,
    /// Name.
    pub name: Arc<str>,
}

/// One event of a watch. First list, list after an expired resource version and takeover are the same
/// sequence: `Relisting`, every object as `Seen`, then `Synced`.
#[derive(Debug, Clone)]
pub enum ObjectEvent {
    /// A complete list begins: what is not seen until `Synced` no longer exists.
    Relisting,
    /// The object exists, in this state.
    Seen(Arc<ProjectedObject>),
    /// The object no longer exists.
    Gone(ObjectKey),
    /// The list is complete.
    Synced,
}
