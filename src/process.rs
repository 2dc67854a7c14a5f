//! Memory and CPU time of this process, as metrics that are read when they are asked for.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::allocator;

/// What the kernel tells of this process under the names that are usual for any program, and what the allocator
/// tells. What is not told on this system is left out.
#[derive(Debug)]
pub struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        if let Some(seconds) = cpu_seconds() {
            let help = "User and system CPU time spent";
            let counter = ConstCounter::new(seconds);
            let metric =
                encoder.encode_descriptor("process_cpu", help, Some(&Unit::Seconds), MetricType::Counter)?;
            counter.encode(metric)?;
        }
        if let Some(bytes) = resident_bytes() {
            let help = "Physical memory of the process, the allocator's and all other";
            let gauge = ConstGauge::new(bytes);
            let metric = encoder.encode_descriptor(
                "process_resident_memory",
                help,
                Some(&Unit::Bytes),
                MetricType::Gauge,
            )?;
            gauge.encode(metric)?;
        }
        if let Some(usage) = allocator::usage() {
            let help =
                "Memory of the allocator: handed out, in physical memory, and addresses kept for later";
            let mut metric =
                encoder.encode_descriptor("polywatch_memory", help, Some(&Unit::Bytes), MetricType::Gauge)?;
            let states =
                [("allocated", usage.allocated), ("resident", usage.resident), ("retained", usage.retained)];
            for (state, bytes) in states {
                ConstGauge::new(bytes).encode(metric.encode_family(&[("state", state)])?)?;
            }
        }
        Ok(())
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    Some(cpu_ticks(&stat)? as f64 / rustix::param::clock_ticks_per_second() as f64)
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn cpu_seconds() -> Option<f64> {
    None
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn resident_bytes() -> Option<u64> {
    None
}

/// Clock ticks in user and in system mode, of `/proc/self/stat`.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn cpu_ticks(stat: &str) -> Option<u64> {
    // "PID (NAME) STATE ...": a name may hold anything, also parentheses. User time is the 14th field of all.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut times = fields.split(' ').skip(11);
    let user: u64 = times.next()?.parse().ok()?;
    let system: u64 = times.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194304 97 0 0 0 250 50 3 4 20 0 1 0 5 6 7";
        assert_eq!(cpu_ticks(stat), Some(300));
        assert_eq!(cpu_ticks("7 (a) S 1"), None);
    }

    #[test]
    fn cpu_time_goes_on_while_there_is_work() {
        let before = cpu_seconds().expect("a time");
        let start = std::time::Instant::now();
        while cpu_seconds().expect("a time") < before + 0.02 {
            assert!(start.elapsed().as_secs() < 60, "no CPU time is counted");
        }
    }
}
