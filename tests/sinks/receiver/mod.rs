//! That our receivers do what those do whom they play: what they take, what they refuse, and how they fail.

mod cloud_events;
mod faults;
mod pager_duty;
mod slack;
