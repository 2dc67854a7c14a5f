//! Everything that was measured, and what is written down of it.

use serde::Serialize;
use serde_json::{Map, json};

use crate::bench::{Polled, Stripped, Watched};
use crate::limits::Cost;
use crate::machine::Machine;
use crate::measure::Used;
use crate::support::summary;

/// All results. As JSON they are the raw values.
#[derive(Debug, Serialize)]
pub struct Results {
    pub machine: Machine,
    pub pods: usize,
    pub mean_pod_bytes: f64,
    pub rate: u32,
    pub list: Cost,
    pub download: Cost,
    pub skim: Cost,
    pub empty: Used,
    pub polywatch: Watched,
    pub informer: Watched,
    pub stripped: Stripped,
    pub poll: Polled,
}

impl Results {
    /// Writes them down.
    pub fn record(&self) {
        let mut raw = serde_json::to_value(self).expect("numbers and texts");
        raw["download_cpu_seconds"] = self.download.cpu_seconds.into();
        raw["download_bytes"] = self.download.bytes.into();
        raw["skim_cpu_seconds"] = self.skim.cpu_seconds.into();
        raw["skim_bytes"] = self.skim.bytes.into();
        let (ours, theirs, empty) = (&self.polywatch, &self.informer, &self.empty);
        let figures = [
            ("cpu_ratio", ours.first.cpu_seconds / theirs.first.cpu_seconds),
            ("rss_over_empty_mb", ours.idle.resident_mb - empty.resident_mb),
            ("peak_over_empty_mb", ours.first.peak_mb - empty.peak_mb),
            ("update_cpu_ratio", ours.cpu_per_update_us / theirs.cpu_per_update_us),
            ("p99_finding_ms", ours.finding.p99_ms),
            ("p99_status_ms", ours.probe.p99_ms),
        ];
        let figures = figures.map(|(name, figure)| (name.to_owned(), json!(figure)));
        summary::record("versus", Map::from_iter(figures), raw);
    }
}
