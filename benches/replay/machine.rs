//! What is measured on: figures of a busy machine are worth less.

use std::fs;
use std::thread::available_parallelism;

/// Processor, cores and how busy they are, in one line.
pub fn describe() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("an unknown processor", |(_, name)| name);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    let cores = available_parallelism().map_or(0, usize::from);
    format!("{cores} cores of {model}; load average before {load}")
}
