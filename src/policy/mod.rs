//! From what users wrote to what is in force.
//!
//! In: the MonitorPolicies of the cluster. Out: the whole set of compiled policies, published at each change,
//! with the status that each policy has now. `app` starts it; the watches and the recorders read what it
//! publishes. Nobody else reads a spec.

mod compile;
mod controller;

pub use compile::compile;
pub use controller::{Published, run};
