//! What machine this is, since figures are those of one machine.

use std::fs;

use serde::Serialize;

/// A machine.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    pub cores: usize,
    pub cpu: String,
    pub kernel: String,
}

/// This one.
pub fn describe() -> Machine {
    let text = |path| fs::read_to_string(path).unwrap_or_default();
    let cpu = text("/proc/cpuinfo");
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    Machine {
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        cpu: cpu.map_or_else(|| "unknown".to_owned(), |(_, model)| model.to_owned()),
        kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
    }
}
