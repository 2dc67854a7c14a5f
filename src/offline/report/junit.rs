//! JUnit XML: a suite for each policy, a test case for each rule and object.

use std::collections::BTreeMap;

use quick_junit::{NonSuccessKind, Report as JUnit, SerializeError, TestCase, TestCaseStatus, TestSuite};

use crate::offline::check::{Entry, Report, Said};

/// The report as JUnit XML.
///
/// # Errors
/// None that can be met: characters that XML does not have are left out.
pub fn junit(report: &Report) -> Result<String, SerializeError> {
    let mut suites: BTreeMap<&str, TestSuite> = BTreeMap::new();
    for entry in &report.entries {
        let suite = suites.entry(&entry.policy).or_insert_with(|| TestSuite::new(&*entry.policy));
        suite.add_test_case(case(entry));
    }
    let mut junit = JUnit::new("polywatch check");
    junit.add_test_suites(suites.into_values());
    junit.to_string()
}

fn case(entry: &Entry) -> TestCase {
    let failed = |kind, message: &str| {
        let mut status = TestCaseStatus::non_success(kind);
        status.set_message(message).set_type(entry.severity.as_str());
        status
    };
    let status = match &entry.said {
        Said::Compliant => TestCaseStatus::success(),
        Said::Violation(message) => failed(NonSuccessKind::Failure, message),
        Said::Error(message) => failed(NonSuccessKind::Error, message),
        Said::Skipped(_) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(entry.said.message());
            status
        }
    };
    let mut case = TestCase::new(entry.object.to_string(), status);
    case.set_classname(format!("{}.{}", entry.policy, entry.rule));
    case
}
