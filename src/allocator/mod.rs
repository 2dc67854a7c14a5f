//! The allocator of the process, and what it tells: jemalloc where that is at home, on Linux with glibc; elsewhere
//! the system's, which tells nothing.
//!
//! Chosen by measurement: of a million objects that were replaced at random and deleted, jemalloc gives the memory back
//! where glibc keeps it, and it can say which code allocated what is there.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod jemalloc;

#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub use jemalloc::{Refused, dump_heap, sample_heap, usage};

/// What the allocator holds, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Handed out to the program.
    pub allocated: u64,
    /// In physical memory: handed out, the gaps between, and what the allocator needs itself.
    pub resident: u64,
    /// Addresses that are kept for later, without memory behind them.
    pub retained: u64,
}

/// Nothing: the allocator does not tell.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn usage() -> Option<Usage> {
    None
}
