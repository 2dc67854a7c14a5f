//! Stories from `tests/scenarios/` and `examples/`: policies and events in, findings out, and nothing else.
//! `polywatch test` plays the same.

// A panic is how a test fails.
#![allow(clippy::expect_used)]

use std::path::{Path, PathBuf};

use polywatch::offline::{input, scenario};

#[test]
fn every_scenario_brings_out_what_is_expected_and_nothing_else() {
    play_all("tests/scenarios", 8);
}

#[test]
fn every_policy_of_the_examples_finds_what_its_story_says() {
    play_all("examples/api-gateway/5-stories", 2);
    let policies = std::fs::read_dir(root().join("examples/cluster-health/policies")).expect("policies");
    play_all("examples/cluster-health/tests", policies.count());
}

fn play_all(folder: &str, at_least: usize) {
    let stories = input::stories(&[root().join(folder)]).expect(folder);
    assert!(stories.len() >= at_least, "{} stories found in {folder}", stories.len());
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

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
