//! `polywatch sink`.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::json;
use tower::layer::util::Identity;

use super::output::{self, Failed};
use crate::api::alert_sink::{TEST_REQUESTED, TestResult};
use crate::api::{AlertSink, FIELD_MANAGER};
use crate::cluster;

/// Between two looks at whether the operator has sent it.
const LOOK: Duration = Duration::from_millis(500);

/// Tries AlertSinks.
#[derive(Debug, Args)]
pub struct Sink {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Test(Test),
}

impl Sink {
    pub fn execute(self) -> ExitCode {
        match self.command {
            Command::Test(test) => test.execute(),
        }
    }
}

/// Lets the running operator send a test message, marked as such, through an AlertSink.
#[derive(Debug, Args)]
#[command(after_help = "\
The operator sends it, with its own network and credentials, as it would send an alert. It is asked by the
annotation polywatch.dev/test-requested of the AlertSink, which takes the right to patch alertsinks.

Exit code: 0 the destination took it, 1 it did not; it says why, 2 the operator can not be asked.

Examples:
  polywatch sink test on-call
  polywatch sink test on-call --context production")]
struct Test {
    /// Name of the AlertSink
    #[arg(value_name = "NAME")]
    name: String,

    /// Context of the kubeconfig to use, instead of its current one
    #[arg(long, env = "POLYWATCH_CONTEXT", value_name = "NAME")]
    context: Option<String>,

    /// Seconds to wait for the operator
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
}

impl Test {
    fn execute(self) -> ExitCode {
        output::exit(self.run())
    }

    fn run(self) -> Result<bool, Failed> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| Failed::Refused(error.to_string()))?;
        let result = runtime.block_on(self.test())?;
        match &result.error {
            None => output::print(&format!("AlertSink {}: the test message was delivered\n", self.name))?,
            Some(error) => eprintln!("AlertSink {}: the test message was not delivered: {error}", self.name),
        }
        Ok(result.delivered)
    }

    async fn test(&self) -> Result<TestResult, Failed> {
        let refused = |error: &dyn std::fmt::Display| Failed::Refused(error.to_string());
        let client: Client = cluster::connect(self.context.as_deref(), &Identity::new())
            .await
            .map_err(|error| refused(&error))?;
        let sinks: Api<AlertSink> = Api::all(client);
        let requested = format!("{}-{:08x}", Timestamp::now(), fastrand::u32(..));
        let patch = json!({"metadata": {"annotations": {TEST_REQUESTED: requested}}});
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        let patched = sinks.patch(&self.name, &params, &Patch::Merge(patch)).await;
        patched.map_err(|error| match error {
            kube::Error::Api(status) if status.code == 404 => Failed::Refused(format!(
                "there is no AlertSink {}; kubectl get alertsinks lists them",
                self.name
            )),
            error => refused(&error),
        })?;
        eprintln!("AlertSink {}: asked the operator for a test message, waiting for it", self.name);
        let answer =
            tokio::time::timeout(Duration::from_secs(self.timeout), self.answer(&sinks, &requested)).await;
        answer.unwrap_or_else(|_| {
            Err(Failed::Refused(format!(
                "the operator sent no test message within {} s; is it running? kubectl -n polywatch-system get pods",
                self.timeout
            )))
        })
    }

    async fn answer(&self, sinks: &Api<AlertSink>, requested: &str) -> Result<TestResult, Failed> {
        loop {
            let sink = sinks.get(&self.name).await.map_err(|error| Failed::Refused(error.to_string()))?;
            if let Some(other) = sink.annotations().get(TEST_REQUESTED).filter(|known| *known != requested) {
                return Err(Failed::Refused(format!("somebody else asked for a test meanwhile ({other})")));
            }
            let test = sink.status.and_then(|status| status.last_test);
            if let Some(test) = test.filter(|test| test.requested == requested) {
                return Ok(test);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
