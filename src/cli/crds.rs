//! `polywatch crds`.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;

use crate::api;

/// Prints the CustomResourceDefinitions as YAML, for kubectl apply -f -.
#[derive(Debug, Args)]
pub struct Crds {}

impl Crds {
    pub fn execute(self) -> ExitCode {
        match self.print(&mut std::io::stdout().lock()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("polywatch: the CustomResourceDefinitions can not be printed: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn print(&self, out: &mut impl Write) -> Result<(), Box<dyn std::error::Error>> {
        for crd in api::crds()? {
            writeln!(out, "---\n{}", crate::yaml::to_string(&crd)?.trim_end())?;
        }
        Ok(())
    }
}
