//! `polywatch convert`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::output::{self, Failed};
use crate::offline::convert::{self, PluralNames};
use crate::offline::input;

/// Converts ValidatingAdmissionPolicies, with their bindings, to MonitorPolicies.
#[derive(Debug, Args)]
#[command(after_help = "\
Writes the MonitorPolicies to standard output, one for each binding; comments in them name what has
no counterpart. docs/from-validatingadmissionpolicy.md walks through it.

Exit code: 0 converted, 2 an input is wrong or can not be converted; it says why.

Examples:
  polywatch convert -f policy.yaml -f binding.yaml > monitorpolicy.yaml
  kubectl get validatingadmissionpolicies,validatingadmissionpolicybindings -o yaml | polywatch convert -f -
  polywatch convert -f policy.yaml --kind apiroutes.gateway.example.io=APIRoute")]
pub struct Convert {
    /// ValidatingAdmissionPolicies and bindings: a file, a folder, or - for standard input; may be given again
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// Kind of a resource that Kubernetes does not have by itself; may be given again
    #[arg(long = "kind", value_name = "PLURAL.GROUP=KIND", value_parser = kind)]
    kinds: Vec<((String, String), String)>,
}

impl Convert {
    pub fn execute(self) -> ExitCode {
        output::exit(self.run())
    }

    fn run(self) -> Result<bool, Failed> {
        input::stdin_once(&self.files)?;
        let names: PluralNames = self.kinds.into_iter().collect();
        output::print(&convert::convert(&input::read_all(&self.files)?, &names)?)?;
        Ok(true)
    }
}

fn kind(text: &str) -> Result<((String, String), String), String> {
    match text.split_once('=') {
        Some((resource, kind)) if !resource.is_empty() && !kind.is_empty() => {
            let (plural, group) = resource.split_once('.').unwrap_or((resource, ""));
            Ok(((plural.to_owned(), group.to_owned()), kind.to_owned()))
        }
        _ => Err("write PLURAL.GROUP=KIND, such as apiroutes.gateway.example.io=APIRoute".to_owned()),
    }
}
