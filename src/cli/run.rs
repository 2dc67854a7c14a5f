//! `polywatch run`.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tracing::error;

use super::asked_to_stop;
use crate::app::{self, Options};
use crate::leader;
use crate::telemetry::{self, LogFormat};

/// Runs the operator: reads the MonitorPolicies of a cluster, watches what they name, judges every object and
/// writes findings to their status and to Events. Finds the cluster by KUBECONFIG, ~/.kube/config, or the
/// service account of its Pod. RUST_LOG sets the level of the log.
#[derive(Debug, Args)]
pub struct Run {
    /// Context of the kubeconfig to use, instead of its current one
    #[arg(long, env = "POLYWATCH_CONTEXT", value_name = "NAME")]
    context: Option<String>,

    /// Address of /healthz, /readyz and /metrics
    #[arg(long, env = "POLYWATCH_LISTEN", value_name = "IP:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    /// Address of profiles and state for engineers: /debug/pprof/profile?seconds=N (CPU), /debug/pprof/heap, both for
    /// "go tool pprof", and /debug/state (JSON). Off when not given. Whoever reaches it reads names of objects, so keep
    /// it on the loopback, as in 127.0.0.1:6060, where "kubectl port-forward" reaches it, too
    #[arg(long, env = "POLYWATCH_DEBUG_LISTEN", value_name = "IP:PORT")]
    debug_listen: Option<SocketAddr>,

    /// Form of the log
    #[arg(long, env = "POLYWATCH_LOG_FORMAT", value_enum, default_value = "text")]
    log_format: LogFormat,

    /// Lead without a lease: for a single process on a cluster of its own
    #[arg(long, env = "POLYWATCH_NO_LEADER_ELECTION", value_parser = clap::builder::BoolishValueParser::new())]
    no_leader_election: bool,

    /// The operator's own namespace: of the lease by which replicas elect the one that works, of what it remembers
    /// over a restart, and of the Secrets that AlertSinks name
    #[arg(long, env = "POLYWATCH_NAMESPACE", value_name = "NAMESPACE", default_value = "polywatch-system")]
    namespace: String,

    /// Name of the lease
    #[arg(long, env = "POLYWATCH_LEASE_NAME", value_name = "NAME", default_value = "polywatch")]
    lease_name: String,

    /// Seconds after which a lease that was not renewed may be taken
    #[arg(long, env = "POLYWATCH_LEASE_SECONDS", value_name = "SECONDS", default_value_t = 15,
          value_parser = clap::value_parser!(u64).range(3..=300))]
    lease_seconds: u64,

    /// Name of this process in leases and Events [default: host name and process id]
    #[arg(long, env = "POLYWATCH_IDENTITY", value_name = "NAME")]
    identity: Option<String>,

    /// Seconds for which one watch request lasts, at most. A permission that is withdrawn is noticed when the
    /// request is made again
    #[arg(long, env = "POLYWATCH_WATCH_SECONDS", value_name = "SECONDS", default_value_t = 300,
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    watch_seconds: u64,

    /// Lists that may be read from the API server at once
    #[arg(long, env = "POLYWATCH_CONCURRENT_LISTS", value_name = "NUMBER", default_value_t = 4,
          value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrent_lists: u16,
}

impl Run {
    pub fn execute(self) -> ExitCode {
        telemetry::init(self.log_format);
        let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(cause) => {
                error!(%cause, "threads can not be started");
                return ExitCode::FAILURE;
            }
        };
        let result = runtime.block_on(app::run(self.options(), asked_to_stop()));
        // Somebody may wait for a rule that takes long; the process does not.
        runtime.shutdown_background();
        match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(cause) => {
                error!("{cause}");
                ExitCode::FAILURE
            }
        }
    }

    fn options(self) -> Options {
        let identity = self.identity.unwrap_or_else(|| {
            let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            format!("{}-{}", host.trim(), std::process::id()).trim_start_matches('-').to_owned()
        });
        let lease = (!self.no_leader_election).then(|| leader::Settings {
            namespace: self.namespace.clone(),
            name: self.lease_name,
            identity: identity.clone(),
            duration: Duration::from_secs(self.lease_seconds),
        });
        Options {
            context: self.context,
            listen: self.listen,
            debug_listen: self.debug_listen,
            lease,
            namespace: self.namespace,
            identity,
            watch_timeout: Duration::from_secs(self.watch_seconds),
            concurrent_lists: usize::from(self.concurrent_lists),
        }
    }
}
