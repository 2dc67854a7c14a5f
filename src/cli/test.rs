//! `polywatch test`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::output::{self, Failed};
use crate::offline::InputError;
use crate::offline::input;
use crate::offline::scenario::{self, Played};

/// Tests policies: plays the events of each folder and compares what comes out with what is expected.
#[derive(Debug, Args)]
#[command(after_help = "\
A test is a folder of policy.yaml (the policies), events.yaml (what happens, in steps) and
expected.yaml (which findings open, change and resolve at each step, and which are open at the
end). docs/offline.md describes them.

Exit code: 0 all is as expected, 1 something is not, 2 a file can not be read or is wrong.

Examples:
  polywatch test policies/tests
  polywatch test policies/tests -o junit > report.xml
  polywatch test --update policies/tests/route-made-public   # then read what it wrote")]
pub struct Test {
    /// Folders of a test each, or folders of such folders
    #[arg(value_name = "DIR", required = true)]
    folders: Vec<PathBuf>,

    /// Form of the report
    #[arg(short = 'o', long, value_enum, default_value = "text")]
    output: Form,

    /// Write expected.yaml of the tests that differ, instead of failing; comments in it are lost
    #[arg(long)]
    update: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// What differs, for people
    Text,
    /// JUnit XML, which CI systems show
    Junit,
}

/// How a test went, or why it cannot be played.
type Outcome = Result<Played, Vec<InputError>>;

impl Test {
    pub fn execute(self) -> ExitCode {
        output::exit(self.run())
    }

    fn run(self) -> Result<bool, Failed> {
        let mut results: Vec<(String, Outcome)> = Vec::new();
        let (mut wrong, mut differ) = (Vec::new(), 0);
        for folder in input::stories(&self.folders)? {
            let story = input::read_story(&folder, self.update)?;
            let mut result = scenario::play(&story);
            if let Ok(played) = &mut result
                && self.update
                && !played.differences.is_empty()
            {
                std::fs::write(folder.join(input::EXPECTED), &played.actual)?;
                played.differences.clear();
                eprintln!("{}: {} written", folder.display(), input::EXPECTED);
            }
            match &result {
                Ok(played) => differ += usize::from(!played.differences.is_empty()),
                Err(errors) => wrong.extend(errors.iter().cloned()),
            }
            results.push((name(&folder), result));
        }
        output::print(&match self.output {
            Form::Text => text(&results, differ),
            Form::Junit => junit(&results)?,
        })?;
        if wrong.is_empty() { Ok(differ == 0) } else { Err(wrong.into()) }
    }
}

fn name(folder: &Path) -> String {
    folder.display().to_string()
}

fn text(results: &[(String, Outcome)], differ: usize) -> String {
    let mut text = String::new();
    for (name, result) in results {
        match result {
            Ok(played) if played.differences.is_empty() => text.push_str(&format!("ok     {name}\n")),
            Ok(played) => {
                text.push_str(&format!("FAILED {name}\n"));
                played.differences.iter().for_each(|line| text.push_str(&format!("       {line}\n")));
            }
            Err(_) => text.push_str(&format!("WRONG  {name}\n")),
        }
    }
    let wrong = results.iter().filter(|(_, result)| result.is_err()).count();
    if differ > 0 {
        text.push_str("- is expected and did not come out, + came out and is not expected\n");
    }
    let passed = results.len() - differ - wrong;
    text.push_str(&format!("{passed} passed, {differ} failed, {wrong} can not be played\n"));
    text
}

fn junit(results: &[(String, Outcome)]) -> Result<String, quick_junit::SerializeError> {
    let mut suite = TestSuite::new("polywatch test");
    for (name, result) in results {
        let failed = |kind, message: &str, lines: Vec<String>| {
            let mut status = TestCaseStatus::non_success(kind);
            status.set_message(message).set_description(lines.join("\n"));
            status
        };
        let status = match result {
            Ok(played) if played.differences.is_empty() => TestCaseStatus::success(),
            Ok(played) => {
                failed(NonSuccessKind::Failure, "came out other than expected", played.differences.clone())
            }
            Err(errors) => {
                let lines = errors.iter().map(ToString::to_string).collect();
                failed(NonSuccessKind::Error, "can not be played", lines)
            }
        };
        suite.add_test_case(TestCase::new(name, status));
    }
    let mut report = Report::new("polywatch test");
    report.add_test_suite(suite);
    report.to_string()
}
