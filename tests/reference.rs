//! The reference page of functions is the one that this version has.

// A panic is how a test fails.
#![allow(clippy::expect_used)]

use std::path::Path;
use std::{env, fs};

#[test]
fn docs_cel_functions_md_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cel/functions.md");
    let page = polywatch::core::cel::reference();
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::create_dir_all(path.parent().expect("the file is in a directory")).expect("directory made");
        fs::write(&path, &page).expect("page written");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/cel/functions.md is not what the libraries say; run `UPDATE_DOCS=1 cargo test --test reference` and \
         commit it"
    );
}
