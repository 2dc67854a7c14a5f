//! The results as a table.

use std::fmt;

use crate::bench::{Polled, Watched};
use crate::measure::megabytes;
use crate::results::Results;

/// What a line is about, of a contender that watches, and of the one that polls.
type Row = (&'static str, fn(&Watched) -> f64, fn(&Polled) -> f64);

/// Shown as a dash.
const NOT_MEASURED: fn(&Polled) -> f64 = |_| f64::NAN;

const ROWS: &[Row] = &[
    ("start to first verdicts: CPU s", |w| w.first.cpu_seconds, |p| p.first.cpu_seconds),
    ("  time s", |w| w.first.wall_seconds, |p| p.first.wall_seconds),
    ("  peak MB", |w| w.first.peak_mb, |p| p.first.peak_mb),
    ("  CPU s of API server and etcd", |w| w.first.server_cpu_seconds, |p| p.first.server_cpu_seconds),
    ("  MB sent by the API server", |w| w.received.megabytes(), |p| p.received.megabytes()),
    ("idle: CPU ms a second", |w| w.idle.cpu_ms_a_second(), |p| p.idle.cpu_ms_a_second()),
    ("  resident MB", |w| w.idle.resident_mb, |p| p.idle.resident_mb),
    (
        "  CPU ms a second of API server and etcd",
        |w| w.idle.server_cpu_ms_a_second(),
        |p| p.idle.server_cpu_ms_a_second(),
    ),
    ("updates: CPU us each", |w| w.cpu_per_update_us, NOT_MEASURED),
    ("  CPU us each of API server and etcd", |w| w.server_cpu_per_update_us(), NOT_MEASURED),
    ("  written a second", |w| w.updates as f64 / w.load.wall_seconds, NOT_MEASURED),
    ("  resident MB", |w| w.load.resident_mb, NOT_MEASURED),
    ("  peak MB", |w| w.load.peak_mb, NOT_MEASURED),
    ("write to finding in memory: p50 ms", |w| w.finding.p50_ms, |p| p.finding.p50_ms),
    ("  p99 ms", |w| w.finding.p99_ms, |p| p.finding.p99_ms),
    ("  max ms", |w| w.finding.max_ms, |p| p.finding.max_ms),
    ("  n", |w| w.finding.n as f64, |p| p.finding.n as f64),
    (
        "  of which seen before acknowledged",
        |w| w.finding.seen_before_acknowledged as f64,
        |p| p.finding.seen_before_acknowledged as f64,
    ),
    ("busy with other things: cores, at start", |w| w.first.others_cores, |p| p.first.others_cores),
    ("  cores, during updates", |w| w.load.others_cores, NOT_MEASURED),
];

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = &self.machine;
        writeln!(f, "\n{} Pods of {:.0} bytes on average", self.pods, self.mean_pod_bytes)?;
        writeln!(f, "{} × {}, Linux {}\n", machine.cores, machine.cpu, machine.kernel)?;
        writeln!(f, "{:42} {:>10} {:>10} {:>7} {:>10}", "", "polywatch", "informer", "ratio", "poll")?;
        for (name, watched, polled) in ROWS {
            let (ours, theirs) = (watched(&self.polywatch), watched(&self.informer));
            let numbers = [number(ours), number(theirs), number(ours / theirs), number(polled(&self.poll))];
            let [ours, theirs, ratio, polled] = numbers;
            writeln!(f, "{name:42} {ours:>10} {theirs:>10} {ratio:>7} {polled:>10}")?;
        }
        writeln!(f)?;
        self.notes(f)
    }
}

impl Results {
    fn notes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (empty, stripped, poll, probe) = (&self.empty, &self.stripped, &self.poll, &self.polywatch.probe);
        writeln!(
            f,
            "polywatch without a policy: resident {:.1} MB, peak {:.1} MB",
            empty.resident_mb, empty.peak_mb
        )?;
        writeln!(
            f,
            "polywatch, write to finding in status: p50 {:.0} ms, max {:.0} ms; of {}, the p99 is the max",
            probe.p50_ms, probe.max_ms, probe.n
        )?;
        writeln!(
            f,
            "informer that drops managedFields: {:.2} CPU s, resident {:.1} MB, peak {:.1} MB",
            stripped.first.cpu_seconds, stripped.idle.resident_mb, stripped.first.peak_mb
        )?;
        let lists = poll.lists as f64;
        writeln!(
            f,
            "poll, each list: {:.2} CPU s, {:.2} CPU s of API server and etcd, {} request, {:.1} MB compressed",
            poll.idle.cpu_seconds / lists,
            poll.idle.server_cpu_seconds / lists,
            poll.requests_per_list,
            poll.wire_bytes_per_list / 1e6
        )?;
        let limits =
            [("one list", self.list), ("streamed", self.download), ("streamed, read as JSON", self.skim)];
        for (name, cost) in limits {
            let (cpu, wall) = (cost.cpu_seconds, cost.wall_seconds);
            writeln!(f, "limit, {name}: {cpu:.2} CPU s, {wall:.2} s, {:.1} MB", megabytes(cost.bytes))?;
        }
        Ok(())
    }
}

/// Three digits that count.
fn number(value: f64) -> String {
    match value.abs() {
        size if !size.is_finite() => "-".to_owned(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
