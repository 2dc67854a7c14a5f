//! Compares what we say with what the API server said, and says so theme by theme; and writes the page on what is
//! to differ.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde::Deserialize;

use super::{Case, Data, Verdict, folder, ours, truth::Truth};

/// Cases in which we differ, all for one reason.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// A few words.
    pub title: String,
    /// Why, and what it means for a user.
    pub reason: String,
    /// Ids of cases.
    pub cases: BTreeSet<String>,
}

/// What is in `differences.yaml`.
pub fn differences() -> Vec<Difference> {
    let path = folder().join("differences.yaml");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    polywatch::yaml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Cases on which we and the API server do not say the same.
#[derive(Debug, Default)]
pub struct Report {
    /// For each theme: cases, and disagreements that nobody explained.
    pub themes: BTreeMap<String, (usize, Vec<String>)>,
    /// What is explained in `differences.yaml` or by `extension:`, but is not so.
    pub untrue: Vec<String>,
}

impl Report {
    /// Judges every case.
    pub fn new(data: &Data, truth: &Truth) -> Report {
        let mut explained: BTreeSet<String> =
            differences().into_iter().flat_map(|difference| difference.cases).collect();
        let mut report = Report::default();
        for case in &data.cases {
            let (server, ours) = (truth.verdict(case), ours::judge(case, &truth.stored(case)));
            let (cases, wrong) = report.themes.entry(case.theme.clone()).or_default();
            *cases += 1;
            if explained.remove(&case.id) {
                if server.agrees(&ours) {
                    report.untrue.push(format!("no longer a difference: {}", case.id));
                }
            } else if case.extension.is_some() {
                if !matches!(server, Verdict::Rejected(_)) {
                    report.untrue.push(format!("no extension, the API server says {server}: {}", case.id));
                }
                if ours != Verdict::Compliant {
                    wrong.push(line(case, "an extension", &ours));
                }
            } else if !server.agrees(&ours) {
                wrong.push(line(case, &format!("the API server says {server}"), &ours));
            }
        }
        report.untrue.extend(explained.into_iter().map(|id| format!("no such case: {id}")));
        report
    }

    /// How many disagreements nobody explained.
    pub fn disagreements(&self) -> usize {
        self.themes.values().map(|(_, wrong)| wrong.len()).sum()
    }

    /// All of it, for people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (theme, (cases, wrong)) in &self.themes {
            let _ = writeln!(text, "{theme}: {} of {cases} agree", cases - wrong.len());
            wrong.iter().for_each(|line| _ = writeln!(text, "{line}"));
        }
        self.untrue.iter().for_each(|line| _ = writeln!(text, "{line}"));
        text
    }
}

fn line(case: &Case, server: &str, ours: &Verdict) -> String {
    format!("  {}\n    {server}\n    we say {ours}", case.id)
}

/// Where the page is.
pub const PAGE: &str = "docs/cel/differences.md";

const INTRODUCTION: &str = "\
<!-- Written by `make verdicts` from tests/verdicts/. Change it there. -->

# Where verdicts differ from a kube-apiserver

A rule gives the verdict that a kube-apiserver gives when the same expression stands in a ValidatingAdmissionPolicy.
";

/// The page for users about what is to differ.
pub fn page(data: &Data, truth: &Truth) -> String {
    let mut text = INTRODUCTION.to_owned();
    let _ = writeln!(
        text,
        "The tests compare {} pairs of expression and object with what kube-apiserver {} says of them \
         (`tests/verdicts/`).\nWhat follows are all the differences that are known.\n\n## What polywatch has in addition\n\n\
         The API server refuses these, so a rule that uses them cannot become a ValidatingAdmissionPolicy.\n",
        data.cases.len(),
        truth.server
    );
    let mut extensions: Vec<(&str, Vec<&Case>)> = Vec::new();
    for case in &data.cases {
        let Some(extension) = &case.extension else { continue };
        match extensions.iter_mut().find(|(known, _)| known == extension) {
            Some((_, cases)) => cases.push(case),
            None => extensions.push((extension, vec![case])),
        }
    }
    for (extension, cases) in extensions {
        let example =
            cases[0].rule.match_conditions.first().map_or(&cases[0].rule.expression, |c| &c.expression);
        let _ = writeln!(text, "* {extension} For example `{example}`");
    }
    for Difference { title, reason, cases } in differences() {
        let _ = write!(
            text,
            "\n## {title}\n\n{reason}\n\n| case | kube-apiserver | polywatch |\n|---|---|---|\n"
        );
        for case in data.cases.iter().filter(|case| cases.contains(&case.id)) {
            let (server, ours) = (truth.verdict(case), ours::judge(case, &truth.stored(case)));
            let _ =
                writeln!(text, "| {} | {} | {} |", cell(&case.id), cell(&short(server)), cell(&short(&ours)));
        }
    }
    text
}

/// A verdict in a few words, without why.
fn short(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Violation(message) if message.chars().count() > 40 => {
            format!("violation, a message of {} bytes", message.len())
        }
        Verdict::Error(_) => "error".to_owned(),
        Verdict::Rejected(_) => "rejected".to_owned(),
        other => other.to_string(),
    }
}

/// Text as the cell of a table.
fn cell(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default().replace('|', "\\|");
    if line.contains('`') { format!("`` {line} ``") } else { format!("`{line}`") }
}
