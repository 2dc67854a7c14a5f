//! The decisions: what changed, what is wrong, what opened and what resolved.
//!
//! In: compiled policies and the events of objects, with the time as an argument. Out: transitions and
//! reports. No async, no client, no clock, no randomness; nothing of Kubernetes' client libraries and nothing
//! of the rest of this crate is imported here. Anyone may call.

pub mod alert;
pub mod cel;
pub mod chain;
pub mod check;
pub mod diff;
pub mod engine;
pub mod event;
pub mod few;
pub mod field_path;
pub mod fields;
pub mod finding;
pub mod graph;
pub mod hash;
pub mod history;
pub mod labels;
pub mod ledger;
pub mod lookup;
pub mod managed;
pub mod members;
pub mod near;
pub mod needs;
pub mod paths;
pub mod patience;
pub mod policy;
pub mod project;
pub mod remembered;
pub mod rules;
pub mod schema;
pub mod secret;
pub mod settled;
pub mod slices;
pub mod store;
pub mod tags;
pub mod timers;
pub mod tree;

/// Whether a number is none, so that it need not be written.
pub fn is_zero<N: Default + PartialEq>(number: &N) -> bool {
    *number == N::default()
}
