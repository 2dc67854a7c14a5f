//! What the commands that need no cluster have in common: forms of output, and exit codes.

use std::io::{self, Write};
use std::process::ExitCode;

use thiserror::Error;

use crate::offline::InputError;
use crate::offline::input::InputProblem;
use crate::yaml;

/// Forms of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// Columns for people, and what was not looked at
    Table,
    /// One JSON array
    Json,
    /// The same as YAML
    Yaml,
    /// JUnit XML, which CI systems show
    Junit,
}

/// Why a command could not do what it was asked.
#[derive(Debug, Error)]
pub enum Failed {
    /// An input cannot be read.
    #[error(transparent)]
    Input(#[from] InputProblem),
    /// Inputs are wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Inputs(Vec<InputError>),
    /// The report cannot be written.
    #[error("the report can not be written: {0}")]
    Write(#[from] io::Error),
    /// The report cannot be made.
    #[error("the report can not be made: {0}")]
    Yaml(#[from] yaml::Error),
    /// The report cannot be made.
    #[error("the report can not be made: {0}")]
    JUnit(#[from] quick_junit::SerializeError),
    /// Anything that the user asked for and cannot have.
    #[error("{0}")]
    Refused(String),
}

impl From<Vec<InputError>> for Failed {
    fn from(errors: Vec<InputError>) -> Self {
        Self::Inputs(errors)
    }
}

/// 0 when all is well, 1 when something was found, 2 when there is no saying.
pub fn exit(result: Result<bool, Failed>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(Failed::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(2),
        Err(failed) => {
            eprintln!("{failed}");
            ExitCode::from(2)
        }
    }
}

/// Writes to standard output.
///
/// # Errors
/// When nobody reads any more.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
