//! What outlives the process, in Secrets of the operator's namespace: all that stands and occurred in each policy, and the
//! last known objects of rules on changes.
//!
//! In: nudges, and what the judge says of policies and watches. Out: Secrets, by way of `record::store`; and for
//! `record::restore` what an earlier process left. A kill loses at most the changes of the last second and of the pass under
//! way; the status and the Events, which are written at the same pace, are read as well. While the Secrets cannot be written
//! all goes on, and a restart knows what status and Events say.

pub mod findings;
pub mod form;
pub mod objects;
mod policies;

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;

use self::findings::Content;
use self::objects::Account;
use super::Sources;
use super::store::{Purpose, Store, StoreError};

/// What an earlier process left of each policy, by the policy's UID.
pub type LeftByUid = HashMap<Arc<str>, findings::Left>;

/// What is there already.
#[derive(Debug, Default)]
pub struct Known {
    /// Of each policy, by its UID.
    pub policies: LeftByUid,
    /// Of each watch, by its name.
    pub watches: HashMap<Arc<str>, Account>,
}

/// Reads what an earlier process left of policies.
///
/// # Errors
/// When the API server does not answer, or refuses.
pub async fn read(store: &Store) -> Result<LeftByUid, StoreError> {
    let entries = store.list::<Content>(Purpose::Findings).await?;
    Ok(findings::left(entries.into_iter().map(|entry| entry.content)))
}

/// Runs until `stop` changes; then writes what is owed once more and returns.
pub async fn run(sources: Sources, store: Store, known: Known, stop: watch::Receiver<bool>) {
    let Known { policies, watches } = known;
    tokio::join!(
        policies::run(sources.clone(), store.clone(), policies, stop.clone()),
        objects::run(sources, store, watches, stop),
    );
}
