//! Tests against a real Kubernetes API server: one file per topic.

#[path = "../support/mod.rs"]
mod support;

mod harness;
