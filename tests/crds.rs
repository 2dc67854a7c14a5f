//! The committed CustomResourceDefinitions are those of the code.

use std::path::Path;
use std::process::Command;

#[test]
fn the_committed_crds_are_what_the_binary_prints() {
    let output = Command::new(env!("CARGO_BIN_EXE_polywatch")).arg("crds").output().expect("the binary runs");
    assert!(output.status.success(), "polywatch crds failed: {output:?}");
    let printed = String::from_utf8(output.stdout).expect("YAML is UTF-8");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds/polywatch.dev.yaml");
    let committed = std::fs::read_to_string(&path).unwrap_or_default();

    let line = |text: &str, n: usize| text.lines().nth(n).unwrap_or("(nothing)").to_owned();
    let differs = (0..printed.lines().count().max(committed.lines().count()))
        .find(|&n| printed.lines().nth(n) != committed.lines().nth(n));
    if let Some(n) = differs {
        panic!(
            "{} is not what `polywatch crds` prints; run `make crds` and commit the result. First difference, \
             line {}:\n  committed: {}\n  printed:   {}",
            path.display(),
            n + 1,
            line(&committed, n),
            line(&printed, n),
        );
    }
}

#[test]
fn every_field_of_the_schema_is_described() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds/polywatch.dev.yaml");
    let text = std::fs::read_to_string(path).expect("the CRD is there");
    let crds = polywatch::yaml::read(&text).expect("the CRDs are YAML");
    assert_eq!(crds.len(), 2, "one for each kind");
    let mut missing = Vec::new();
    let mut seen = 0;
    for crd in crds {
        let crd = crd.tree.to_json();
        let kind = crd["spec"]["names"]["kind"].as_str().expect("a kind").to_owned();
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let mut open = vec![(kind, schema.clone())];
        while let Some((path, schema)) = open.pop() {
            for (name, field) in schema["properties"].as_object().into_iter().flatten() {
                let path = format!("{path}.{}", name);
                seen += 1;
                if field["description"].as_str().is_none_or(str::is_empty) {
                    missing.push(path.clone());
                }
                open.push((path, field.clone()));
            }
            if !schema["items"].is_null() {
                open.push((format!("{path}[]"), schema["items"].clone()));
            }
        }
    }
    assert!(seen > 50, "only {seen} fields were found");
    assert!(
        missing.is_empty(),
        "no doc comment in src/api for {missing:?}: kubectl explain has nothing to say"
    );
}
