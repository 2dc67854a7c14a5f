//! Stories from `tests/scenarios/`: policies and events in, findings out, and nothing else. `polywatch test`
//! plays the same.

// A panic is how a test fails.
#![allow(clippy::expect_used)]

use std::path::Path;

use polywatch::offline::{input, scenario};

#[test]
fn every_scenario_brings_out_what_is_expected_and_nothing_else() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let stories = input::stories(&[root]).expect("tests/scenarios");
    assert!(stories.len() >= 8, "{} scenarios found", stories.len());
    let mut wrong = Vec::new();
    for folder in stories {
        let story = input::read_story(&folder, false).expect("three files");
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match scenario::play(&story) {
            Ok(played) => wrong.extend(played.differences.into_iter().map(|text| format!("{name}: {text}"))),
            Err(errors) => wrong.extend(errors.iter().map(ToString::to_string)),
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
