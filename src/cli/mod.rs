//! The command line, one file per command.

mod check;
mod convert;
mod crds;
mod explain;
mod graph;
mod output;
mod record;
mod run;
mod sink;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tracing::error;

/// Tells when anything in a Kubernetes cluster is wrong: any kind of object, judged by rules written in YAML.
#[derive(Debug, Parser)]
#[command(
    name = "polywatch",
    version,
    after_help = "Policies are MonitorPolicy objects: kubectl explain monitorpolicy.spec shows their form.\n\n\
                  Environment: KUBECONFIG names the cluster, RUST_LOG the level of the log, and each option of \
                  run can be set by a variable POLYWATCH_OPTION, such as POLYWATCH_LISTEN.",
    arg_required_else_help = true,
    max_term_width = 100
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(Box<run::Run>),
    Check(check::Check),
    Test(test::Test),
    Record(record::Record),
    Explain(explain::Explain),
    Graph(graph::Graph),
    Convert(convert::Convert),
    Sink(sink::Sink),
    Crds(crds::Crds),
}

/// Parses the arguments and does what they say.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(command) => command.execute(),
        Command::Check(command) => command.execute(),
        Command::Test(command) => command.execute(),
        Command::Record(command) => command.execute(),
        Command::Explain(command) => command.execute(),
        Command::Graph(command) => command.execute(),
        Command::Convert(command) => command.execute(),
        Command::Sink(command) => command.execute(),
        Command::Crds(command) => command.execute(),
    }
}

/// Done at SIGTERM or Ctrl-C.
async fn asked_to_stop() {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(cause) => {
                error!(%cause, "SIGTERM can not be listened for");
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        () = terminated => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
