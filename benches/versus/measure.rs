//! What one contender, the server and everybody else used during one phase.

use std::fs;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::time::sleep;

use crate::server::Server;
use crate::support::process::{Usage, usage};

/// A contender is idle when it used less CPU than this in a second.
const IDLE: Duration = Duration::from_millis(30);
/// How long to wait for that. Some never are.
const PATIENCE: usize = 15;

/// A phase that runs.
pub struct Window {
    pid: u32,
    begin: Totals,
    server: Vec<u32>,
}

/// What was used during a phase.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Used {
    pub wall_seconds: f64,
    pub cpu_seconds: f64,
    /// At the end.
    pub resident_mb: f64,
    /// Since the start of the process or since the peak was reset.
    pub peak_mb: f64,
    /// The API server and etcd.
    pub server_cpu_seconds: f64,
    /// Cores that processes of others kept busy, on average: what a figure is to be doubted for.
    pub others_cores: f64,
}

impl Window {
    /// Begins to measure a process that is about to do something.
    pub fn begin(pid: u32, server: &Server) -> Window {
        Window { pid, begin: Totals::now(pid, &server.pids), server: server.pids.clone() }
    }

    /// Begins with the start of the process, which was now.
    pub fn from_start(pid: u32, server: &Server) -> Window {
        let mut window = Window::begin(pid, server);
        window.begin.contender = Usage::default();
        window
    }

    /// The end of the phase.
    pub fn end(self) -> Used {
        let (begin, end) = (self.begin, Totals::now(self.pid, &self.server));
        let seconds = |begin: Duration, end: Duration| end.saturating_sub(begin).as_secs_f64();
        let wall_seconds = (end.at - begin.at).as_secs_f64();
        let cpu_seconds = seconds(begin.contender.cpu, end.contender.cpu);
        let server_cpu_seconds = seconds(begin.server, end.server);
        let known = cpu_seconds + server_cpu_seconds + seconds(begin.harness, end.harness);
        Used {
            wall_seconds,
            cpu_seconds,
            resident_mb: megabytes(end.contender.resident),
            peak_mb: megabytes(end.contender.peak),
            server_cpu_seconds,
            others_cores: ((seconds(begin.machine, end.machine) - known) / wall_seconds).max(0.0),
        }
    }
}

impl Used {
    /// Milliseconds of CPU in a second.
    pub fn cpu_ms_a_second(&self) -> f64 {
        self.cpu_seconds / self.wall_seconds * 1000.0
    }

    /// The same of API server and etcd.
    pub fn server_cpu_ms_a_second(&self) -> f64 {
        self.server_cpu_seconds / self.wall_seconds * 1000.0
    }
}

struct Totals {
    at: Instant,
    contender: Usage,
    server: Duration,
    harness: Duration,
    machine: Duration,
}

impl Totals {
    fn now(pid: u32, server: &[u32]) -> Totals {
        let read = |pid| usage(pid).unwrap_or_else(|e| panic!("process {pid} ended: {e}"));
        Totals {
            at: Instant::now(),
            contender: read(pid),
            server: server.iter().map(|&pid| read(pid).cpu).sum(),
            harness: read(std::process::id()).cpu,
            machine: machine(),
        }
    }
}

/// Waits until a process does nothing any more, or for as long as we care.
pub async fn settle(pid: u32) {
    let cpu = || usage(pid).unwrap_or_else(|e| panic!("process {pid} ended: {e}")).cpu;
    for _ in 0..PATIENCE {
        let before = cpu();
        sleep(Duration::from_secs(1)).await;
        if cpu() - before < IDLE {
            return;
        }
    }
}

/// Millions of bytes.
pub fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// CPU time of all processes: `cpu USER NICE SYSTEM IDLE IOWAIT IRQ SOFTIRQ ...`.
fn machine() -> Duration {
    let text = fs::read_to_string("/proc/stat").expect("/proc/stat");
    let line = text.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    let busy = ticks.iter().take(7).sum::<u64>() - ticks[3] - ticks[4];
    Duration::from_millis(busy * 10)
}
