//! What outlives the process: all that stands and occurred in each policy, in Secrets of the operator's namespace.
//!
//! In: nudges and what the judge says of each policy. Out: Secrets, by way of `record::store`; and for `record::restore`
//! what an earlier process left. A kill loses at most the changes of the last second and of the pass under way; the status
//! and the Events, which are written at the same pace, are read as well. While the Secrets cannot be written all goes on,
//! and a restart knows what status and Events say.

pub mod findings;
mod layout;
mod policies;

use std::collections::HashMap;
use std::sync::Arc;

pub use policies::run;

use self::findings::{Content, Left};
use super::store::{Purpose, Store, StoreError};

/// What an earlier process left of each policy, by the policy's UID.
pub type LeftByUid = HashMap<Arc<str>, Left>;

/// Reads what an earlier process left.
///
/// # Errors
/// When the API server does not answer, or refuses.
pub async fn read(store: &Store) -> Result<LeftByUid, StoreError> {
    let entries = store.list::<Content>(Purpose::Findings).await?;
    Ok(findings::left(entries.into_iter().map(|entry| entry.content)))
}
