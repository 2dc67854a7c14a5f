//! `polywatch check`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use jiff::Timestamp;

use super::output::{self, Failed, Output};
use crate::core::policy::CompiledPolicy;
use crate::offline::{check, history, input, manifests, policies, report};

/// Judges manifests by policies, without a cluster: what a running operator would say of them.
#[derive(Debug, Args)]
#[command(after_help = "\
An object that is given again counts as given last, as for kubectl apply. Namespaces are looked
for among the manifests. docs/offline.md says what differs from a cluster.

Exit code: 0 every object is compliant, 1 a violation, or a rule that fails on an object,
2 an input that can not be read, or a policy that would not become Ready.

Examples:
  polywatch check -f policies/ -r manifests/
  helm template charts/shop | polywatch check -f policies/ -r -
  kubectl get pods,deployments -A -o yaml | polywatch check -f policy.yaml -r - -o json
  polywatch check -f policies/ -r manifests/ -o junit > report.xml
  polywatch check -f policies/ --history events.jsonl")]
pub struct Check {
    /// Policies: a file, a folder, or - for standard input; may be given again
    #[arg(short = 'f', long = "filename", value_name = "POLICIES", required = true)]
    policies: Vec<PathBuf>,

    /// Manifests to judge: a file, a folder, or - for standard input; may be given again
    #[arg(short = 'r', long = "resources", value_name = "MANIFESTS", required_unless_present = "history")]
    resources: Vec<PathBuf>,

    /// Instead of manifests, replay the events that polywatch record wrote, and print what opened, changed and
    /// resolved, in order; - for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["resources", "namespace", "now"])]
    history: Option<PathBuf>,

    /// Namespace of objects that live in one and name none
    #[arg(short = 'n', long, value_name = "NAME", default_value = "default")]
    namespace: String,

    /// What policies read as now, such as 2026-01-31T12:00:00Z [default: the time of the clock]
    #[arg(long, value_name = "TIME")]
    now: Option<Timestamp>,

    /// Form of the report
    #[arg(short = 'o', long, value_enum, default_value = "table")]
    output: Output,
}

impl Check {
    pub fn execute(self) -> ExitCode {
        output::exit(self.run())
    }

    fn run(self) -> Result<bool, Failed> {
        input::stdin_once(self.policies.iter().chain(&self.resources).chain(&self.history))?;
        let policies = policies::read(&input::read_all(&self.policies)?)?;
        if let Some(file) = &self.history {
            return self.replay(&policies, file);
        }
        let now = self.now.unwrap_or_else(Timestamp::now);
        let manifests = manifests::read(&input::read_all(&self.resources)?, &self.namespace)?;
        let report = check::check(&policies, &manifests, now);
        let summary = report::summary(&report);
        match self.output {
            Output::Table => output::print(&(report::table(&report) + &summary))?,
            other => {
                output::print(&match other {
                    Output::Json => report::json(&report)?,
                    Output::Yaml => report::yaml(&report)?,
                    Output::Table | Output::Junit => report::junit(&report)?,
                })?;
                eprint!("{summary}");
            }
        }
        Ok(report.is_compliant())
    }

    fn replay(&self, policies: &[Arc<CompiledPolicy>], file: &Path) -> Result<bool, Failed> {
        if self.output == Output::Junit {
            let text = "a history has no test cases; with --history choose table, json or yaml";
            return Err(Failed::Refused(text.to_owned()));
        }
        let lines = input::open_lines(file)?;
        let replayed =
            history::replay(policies, &file.display().to_string(), lines).map_err(|error| vec![error])?;
        let summary = report::history_summary(&replayed);
        match self.output {
            Output::Table | Output::Junit => output::print(&(report::history_table(&replayed) + &summary))?,
            other => {
                output::print(&match other {
                    Output::Json => report::history_json(&replayed)?,
                    _ => report::history_yaml(&replayed)?,
                })?;
                eprint!("{summary}");
            }
        }
        Ok(replayed.is_compliant())
    }
}
