//! The conformance cases of cel-spec: how many do what they ask for. What they are and which are left out is in
//! `tests/conformance/README.md`.

#[path = "support/verdicts/mod.rs"]
mod verdicts;

use std::collections::BTreeMap;

use verdicts::conformance::Conformance;
use verdicts::truth::{Stored, Truth};
use verdicts::{Verdict, ours};

/// Percent of the cases that have to do what they ask for.
const WANTED: f64 = 99.0;

#[derive(Default)]
struct Count {
    met: usize,
    missed: Vec<String>,
    /// Not so in Kubernetes, as a real API server says.
    elsewhere: Vec<String>,
}

#[test]
fn cel_does_what_its_conformance_cases_ask_for() {
    let truth = Truth::read();
    let mut files: BTreeMap<String, Count> = BTreeMap::new();
    for conformance in Conformance::load() {
        let case = conformance.case();
        let count = files.entry(conformance.file.clone()).or_default();
        if conformance.is_in_kubernetes() {
            let server = truth.verdict(&case);
            if !conformance.is_met_by(server) {
                count.elsewhere.push(format!("{}: {}", case.id, brief(server)));
                continue;
            }
        }
        let said = ours::judge(&case, &Stored::default());
        match conformance.is_met_by(&said) {
            true => count.met += 1,
            false => count.missed.push(format!("{}: {}", case.id, brief(&said))),
        }
    }
    for (file, count) in &files {
        let all = count.met + count.missed.len();
        println!("{file}: {} of {all}; {} are otherwise in Kubernetes", count.met, count.elsewhere.len());
        count.missed.iter().for_each(|line| println!("  {line}"));
        count.elsewhere.iter().for_each(|line| println!("  otherwise in Kubernetes: {line}"));
    }
    let met: usize = files.values().map(|count| count.met).sum();
    let all: usize = met + files.values().map(|count| count.missed.len()).sum::<usize>();
    let elsewhere: usize = files.values().map(|count| count.elsewhere.len()).sum();
    let percent = met as f64 * 100.0 / all as f64;
    println!(
        "{met} of {all} conformance cases: {percent:.2} %; {elsewhere} more are otherwise in Kubernetes"
    );
    assert!(percent >= WANTED, "{percent:.2} % is less than {WANTED} %");
}

fn brief(verdict: &Verdict) -> String {
    verdict.to_string().lines().next().unwrap_or_default().to_owned()
}
