//! The decisions: what changed, what is wrong, what opened and what resolved.
//!
//! In: compiled policies and the events of objects, with the time as an argument. Out: transitions and
//! reports. No async, no client, no clock, no randomness; nothing of Kubernetes' client libraries and nothing
//! of the rest of this crate is imported here. Anyone may call.

pub mod cel;
pub mod check;
pub mod engine;
pub mod event;
pub mod finding;
pub mod hash;
pub mod labels;
pub mod ledger;
pub mod near;
pub mod paths;
pub mod policy;
pub mod project;
pub mod rules;
pub mod schema;
pub mod tree;
