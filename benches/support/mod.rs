//! What the benchmarks share: reading what a process used, and writing down every figure.

#![allow(dead_code)]

pub mod process;
pub mod summary;
