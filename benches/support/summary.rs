//! `target/bench/summary.json`: every figure of every benchmark, each benchmark under its own name.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

/// Where results go: `target/bench` of this repository.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench")
}

/// Adds `figures` at the top of the summary, and `raw` under `raw.BENCHMARK`; what is there already and not named stays.
///
/// # Panics
/// When the file cannot be written: a benchmark without its result is none.
pub fn record(benchmark: &str, figures: Map<String, Value>, raw: Value) {
    let path = folder().join("summary.json");
    fs::create_dir_all(folder()).expect("target/bench can be made");
    let known = fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str(&text).ok());
    let mut summary: Map<String, Value> = known.unwrap_or_default();
    summary.extend(figures);
    let all = summary.entry("raw").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(all) = all {
        all.insert(benchmark.to_owned(), raw);
    }
    let text = serde_json::to_string_pretty(&summary).expect("numbers and texts");
    fs::write(&path, text + "\n").expect("target/bench/summary.json can be written");
}
