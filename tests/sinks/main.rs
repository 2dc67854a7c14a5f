//! Tests of what leaves the operator, against those who receive it: real ones where they can be had, and ours where
//! not. One file per topic.

// Signals and process attributes have no safe form in the standard library; a panic is how a test fails.
#![allow(unsafe_code, clippy::expect_used)]

#[path = "../support/mod.rs"]
mod support;

mod alertmanager;
mod delivery;
mod docs;
mod examples;
mod faults;
mod harness;
mod metrics;
mod receiver;
mod smtp;
mod soak;
mod to_alertmanager;
mod to_people;
