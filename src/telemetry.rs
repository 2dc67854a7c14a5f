//! Logs: one line for each event, as text for people or JSON for a log store.

use clap::ValueEnum;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{EnvFilter, FilterExt, LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

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
    let levels = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    let filter = levels.and(filter_fn(|metadata| may_be_logged(metadata.target())));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let log = tracing_subscriber::registry();
    match format {
        LogFormat::Text => {
            let color = std::io::IsTerminal::is_terminal(&std::io::stderr());
            log.with(lines.with_ansi(color).with_target(false).with_filter(filter)).init();
        }
        LogFormat::Json => log.with(lines.json().flatten_event(true).with_filter(filter)).init(),
    }
}

/// When a response does not decode, kube logs its body, and with it whatever a Secret holds: none of its lines
/// are logged, whatever `RUST_LOG` says. The others tell of failed requests, of which whoever asked tells, once
/// and not at every attempt.
fn may_be_logged(target: &str) -> bool {
    !["kube_client", "kube_runtime"].iter().any(|quiet| target.starts_with(quiet))
}
