//! From what users wrote to what is in force: MonitorPolicies and AlertSinks.
//!
//! In: the MonitorPolicies of the cluster. Out: the whole set of compiled policies, published at each change,
//! with the status that each policy has now. `app` starts it; the watches and the recorders read what it
//! publishes. Nobody else reads a spec.

mod compile;
mod controller;
mod follow;
mod sinks;

pub use compile::compile;
pub use controller::{Published, run};
pub use sinks::{CompiledSink, SinkSet, run as run_sinks};
