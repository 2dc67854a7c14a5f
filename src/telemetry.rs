//! Logs: one line for each event, as text for people or JSON for a log store.

use clap::ValueEnum;
use tracing_subscriber::filter::{Directive, EnvFilter, LevelFilter};

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging to standard error. `RUST_LOG` sets the levels; without it, info.
pub fn init(format: LogFormat) {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .from_env_lossy();
    // When a response does not decode, kube logs its body, and with it whatever a Secret holds. Its other lines
    // are failed requests, which whoever asked tells of, once and not at every attempt.
    let quiet = QUIET
        .iter()
        .filter_map(|directive| directive.parse::<Directive>().ok());
    let filter = quiet.fold(filter, EnvFilter::add_directive);
    let color = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(color);
    match format {
        LogFormat::Text => log.with_target(false).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}

const QUIET: [&str; 2] = ["kube_client=off", "kube_runtime=error"];
