//! Every case of `tests/verdicts/` against what a real API server said of it. That it still says so is tested in
//! `tests/cluster/verdicts.rs`.

#[path = "support/verdicts/mod.rs"]
mod verdicts;

use std::path::Path;

use verdicts::report::{PAGE, Report, page};
use verdicts::truth::{RECORD, Truth};

#[test]
fn we_say_what_the_api_server_says() {
    let data = verdicts::load();
    let report = Report::new(&data, &Truth::read());
    println!("{}", report.text());
    println!("{} cases, {} disagreements", data.cases.len(), report.disagreements());
    assert!(report.untrue.is_empty(), "{:#?}", report.untrue);
    assert_eq!(report.disagreements(), 0, "{}", report.text());
}

#[test]
fn the_page_on_differences_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let written = page(&verdicts::load(), &Truth::read());
    if std::env::var_os(RECORD).is_some() {
        std::fs::write(&path, &written).unwrap_or_else(|error| panic!("{PAGE}: {error}"));
    }
    let present = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{PAGE}: {error}"));
    assert!(
        present == written,
        "{PAGE} is not what the tests find; run `{RECORD}=1 cargo test --test verdicts`"
    );
}
