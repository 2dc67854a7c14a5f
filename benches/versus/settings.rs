//! What the environment says.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// How much is measured. Every switch has a default.
#[derive(Debug)]
pub struct Settings {
    /// `BENCH_PODS`.
    pub pods: usize,
    /// `BENCH_SECONDS`: how long updates are written.
    pub seconds: Duration,
    /// `BENCH_UPDATES_PER_SECOND`.
    pub rate: u32,
    /// `POLYWATCH_BIN`.
    pub polywatch: PathBuf,
}

impl Settings {
    /// Reads them.
    pub fn from_env() -> Settings {
        // cargo builds the operator with the profile of the benchmark before it starts us.
        let built = env!("CARGO_BIN_EXE_polywatch");
        Settings {
            pods: number("BENCH_PODS", 10_000),
            seconds: Duration::from_secs(number("BENCH_SECONDS", 60)),
            rate: number("BENCH_UPDATES_PER_SECOND", 300),
            polywatch: std::env::var_os("POLYWATCH_BIN").map_or_else(|| built.into(), PathBuf::from),
        }
    }
}

fn number<T: FromStr + PartialOrd + From<u8>>(name: &str, default: T) -> T {
    let Ok(text) = std::env::var(name) else { return default };
    let number = text.parse().ok().filter(|number| *number >= T::from(1));
    number.unwrap_or_else(|| panic!("{name}={text} is not a number of 1 or more"))
}
