//! What a process has used so far, as the kernel counts it (`/proc/PID`).

use std::fs;
use std::io;
use std::time::Duration;

/// The kernel's unit of CPU time in `/proc/PID/stat`: USER_HZ, which is 100 on every Linux that Rust supports.
const TICKS_PER_SECOND: f64 = 100.0;

/// What a process used.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// CPU time in user and system mode, of all its threads, ended ones included.
    pub cpu: Duration,
    /// Resident memory now, in bytes.
    pub resident: u64,
    /// The most that was resident since the start or since [`reset_peak`], in bytes.
    pub peak: u64,
}

/// Reads it.
///
/// # Errors
/// When the process is gone.
pub fn usage(pid: u32) -> io::Result<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold anything; the fields after it are numbers.
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |n: usize| fields.get(n).and_then(|text| text.parse::<f64>().ok()).unwrap_or_default();
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kilobytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        number.unwrap_or_default() * 1024
    };
    Ok(Usage {
        cpu: Duration::from_secs_f64((ticks(11) + ticks(12)) / TICKS_PER_SECOND),
        resident: kilobytes("VmRSS:"),
        peak: kilobytes("VmHWM:"),
    })
}

/// Begins to measure the peak anew.
///
/// # Errors
/// When the process is gone, or is another user's.
pub fn reset_peak(pid: u32) -> io::Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5")
}
