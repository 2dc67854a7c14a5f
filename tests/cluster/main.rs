//! Tests against a real Kubernetes API server: one file per topic.

// Signals and process attributes have no safe form in the standard library.
#![allow(unsafe_code)]

#[path = "../support/mod.rs"]
mod support;

mod findings;
mod harness;
mod replicas;
mod resilience;
mod watching;
