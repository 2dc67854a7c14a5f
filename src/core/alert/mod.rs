//! What sinks are told of findings. Pure.
//!
//! In: what is true of a policy, what one sink was told of it, and the time. Out: [`Notice`]s, each with the reason why
//! it is owed. `record::alerts` hands them to the sinks and keeps what was told.

mod desk;
pub mod item;
mod known;
mod news;
pub mod notice;
pub mod route;
mod told;
mod wanted;

pub use desk::{Decision, Desk, Outgoing, Terms, Truth};
pub use notice::{Group, Item, Notice, ObjectName, Reason, Totals};
pub use route::{Baseline, Dimension, Route, Schedule};
pub use told::{Begun, Dead, InFlight, MAX_IN_FLIGHT, MAX_MEMBERS, MAX_ONE_BY_ONE, Summary, Told, ToldGroup};
pub use wanted::MAX_GROUPS;

#[cfg(test)]
mod tests;
