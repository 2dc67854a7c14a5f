//! `polywatch explain`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::output::{self, Failed};
use crate::offline::{explain, input, policies};

/// Explains policies: what each selects, and what each of its expressions reads.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit code: 0, or 2 when a policy can not be read or would not become Ready.

Example:
  polywatch explain -f policies/gateway-routes.yaml")]
pub struct Explain {
    /// Policies: a file, a folder, or - for standard input; may be given again
    #[arg(short = 'f', long = "filename", value_name = "POLICIES", required = true)]
    policies: Vec<PathBuf>,
}

impl Explain {
    pub fn execute(self) -> ExitCode {
        output::exit(self.run())
    }

    fn run(self) -> Result<bool, Failed> {
        input::stdin_once(&self.policies)?;
        let policies = policies::read(&input::read_all(&self.policies)?)?;
        let pages: Vec<String> = policies.iter().map(|policy| explain::explain(policy)).collect();
        output::print(&pages.join("\n"))?;
        Ok(true)
    }
}
