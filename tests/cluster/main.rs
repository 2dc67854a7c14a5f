//! Tests against a real Kubernetes API server: one file per topic.

// Signals and process attributes have no safe form in the standard library; a panic is how a test fails.
#![allow(unsafe_code, clippy::expect_used)]

#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod changes;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod debug;
mod examples;
mod findings;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod graph;
mod groups;
mod harness;
mod history;
mod install;
mod kept;
mod lookups;
mod manifests;
mod memory;
mod replicas;
mod reports;
mod resilience;
mod schema;
mod verdicts;
mod watching;
