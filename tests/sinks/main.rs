//! Tests of sinks against what they send to: one file per kind of receiver.

// Signals and process attributes have no safe form in the standard library; a panic is how a test fails.
#![allow(unsafe_code, clippy::expect_used)]

#[path = "../support/mod.rs"]
mod support;

mod smtp;
