//! `polywatch explain`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use super::output::{self, Failed};
use crate::core::policy::CompiledPolicy;
use crate::offline::{explain, input, policies, schemas};

/// Explains policies: what each selects, which fields its rules read, what they cost, and what its kinds say against it.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit code: 0, or 2 when a policy can not be read or would not become Ready.

Example:
  polywatch explain -f policies/gateway-routes.yaml -r crds/")]
pub struct Explain {
    /// Policies: a file, a folder, or - for standard input; may be given again
    #[arg(short = 'f', long = "filename", value_name = "POLICIES", required = true)]
    policies: Vec<PathBuf>,

    /// CustomResourceDefinitions of the kinds, to check fields by; anything else in there is left alone
    #[arg(short = 'r', long = "resources", value_name = "DEFINITIONS")]
    definitions: Vec<PathBuf>,
}

impl Explain {
    pub fn execute(self) -> ExitCode {
        output::exit(self.run())
    }

    fn run(self) -> Result<bool, Failed> {
        input::stdin_once(self.policies.iter().chain(&self.definitions))?;
        let policies = policies::read(&input::read_all(&self.policies)?)?;
        let defined = schemas::read(&input::read_all(&self.definitions)?)?;
        let explained =
            |policy: &Arc<CompiledPolicy>| explain::explain(policy, &schemas::of(policy, &defined));
        let pages: Vec<String> = policies.iter().map(explained).collect();
        output::print(&pages.join("\n"))?;
        Ok(true)
    }
}
