//! Every case of `tests/verdicts/` against what a real API server said of it. That it still says so is tested in
//! `tests/cluster/verdicts.rs`.

#[path = "support/verdicts/mod.rs"]
mod verdicts;

use verdicts::report::Report;
use verdicts::truth::Truth;

/// Disagreements that are not explained. To come down to zero.
const KNOWN_GAPS: usize = 100_000;

#[test]
fn we_say_what_the_api_server_says() {
    let data = verdicts::load();
    let report = Report::new(&data, &Truth::read());
    println!("{}", report.text());
    println!("{} cases, {} disagreements", data.cases.len(), report.disagreements());
    assert!(report.untrue.is_empty(), "{:#?}", report.untrue);
    assert!(report.disagreements() <= KNOWN_GAPS, "{}", report.text());
}
