//! For people: what is wrong, worst first, and what was looked at.

use std::cmp::Reverse;

use crate::offline::check::{Entry, Report, Said};

/// The entries that are not well, in columns; empty when all are.
pub fn table(report: &Report) -> String {
    let mut wrong: Vec<&Entry> = report
        .entries
        .iter()
        .filter(|entry| matches!(entry.said, Said::Violation(_) | Said::Error(_)))
        .collect();
    wrong.sort_by_key(|entry| Reverse(entry.severity));
    if wrong.is_empty() {
        return String::new();
    }
    let header = ["SEVERITY", "VERDICT", "POLICY/RULE", "OBJECT", "MESSAGE"].map(str::to_owned);
    let rows = wrong.iter().map(|entry| {
        let rule = format!("{}/{}", entry.policy, entry.rule);
        let (severity, verdict) = (entry.severity.as_str().to_owned(), entry.said.verdict().to_owned());
        [severity, verdict, rule, entry.object.to_string(), entry.said.message()]
    });
    columns(std::iter::once(header).chain(rows).collect())
}

/// As `kubectl get` sets its columns: three spaces between them.
pub(in crate::offline) fn columns<const N: usize>(rows: Vec<[String; N]>) -> String {
    let width = |n: usize| rows.iter().map(|row| row[n].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:width$}   "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// What was judged, and what was not: a line each.
pub fn summary(report: &Report) -> String {
    let (objects, selected, policies) = (report.objects, report.selected, report.policies);
    let mut text = format!(
        "{}, of which {selected} judged by {}: {}, {}, {} skipped, {} compliant\n",
        plural(objects, "object"),
        plural(policies, "policy"),
        plural(report.count(|said| matches!(said, Said::Violation(_))), "violation"),
        plural(report.count(|said| matches!(said, Said::Error(_))), "error"),
        report.count(|said| matches!(said, Said::Skipped(_))),
        report.count(|said| *said == Said::Compliant),
    );
    if !report.unwatched.is_empty() {
        let kinds: Vec<String> =
            report.unwatched.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        text.push_str(&format!("watched by no policy: {}\n", kinds.join(", ")));
    }
    if report.unselected > 0 {
        let count = plural(report.unselected, "object");
        text.push_str(&format!("{count} of watched kinds that no policy selects\n"));
    }
    if report.looked_up > 0 {
        let count = plural(report.looked_up, "object");
        text.push_str(&format!("{count} of kinds that are looked up and not judged\n"));
    }
    for note in &report.notes {
        text.push_str(&format!("note: {note}\n"));
    }
    text
}

/// `1 object`, `2 objects`, `2 policies`.
pub(in crate::offline) fn plural(count: usize, word: &str) -> String {
    match (count, word.strip_suffix('y')) {
        (1, _) => format!("1 {word}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        _ => format!("{count} {word}s"),
    }
}
