//! What sinks are told of findings. Pure.
//!
//! In: what is true of a policy, what one sink was told of it, and the time. Out: [`Notice`]s, each with the reason why
//! it is owed. `record::alerts` hands them to the sinks and keeps what was told.

pub mod notice;

pub use notice::{Group, Item, Notice, ObjectName, Reason, Totals};
