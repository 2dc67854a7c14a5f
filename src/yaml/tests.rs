use serde_json::{Value as Json, json};

use super::*;

fn one(text: &str) -> Json {
    let mut documents = read(text).unwrap_or_else(|error| panic!("{error} in {text}"));
    assert_eq!(documents.len(), 1, "{text}");
    documents.remove(0).tree.to_json()
}

fn wrong(text: &str) -> String {
    read(text).expect_err(text).to_string()
}

/// What `YAMLToJSON` of sigs.k8s.io/yaml 1.6.0 makes of the same texts.
#[test]
fn scalars_mean_what_kubectl_takes_them_for() {
    let cases = [
        ("a: on", json!({"a": true})),
        ("a: n", json!({"a": false})),
        ("a: 0644", json!({"a": 420})),
        ("a: 08", json!({"a": 8})),
        ("a: 0o17", json!({"a": 15})),
        ("a: 0x1F", json!({"a": 31})),
        ("a: -0b11", json!({"a": -3})),
        ("a: 1_000", json!({"a": 1000})),
        ("a: 1.0", json!({"a": 1})),
        ("a: 1e3", json!({"a": 1000})),
        ("a: .5", json!({"a": 0.5})),
        ("a: 1e400", json!({"a": "1e400"})),
        ("a: 1:30", json!({"a": "1:30"})),
        ("a: 2001-01-01", json!({"a": "2001-01-01"})),
        ("a: 18446744073709551615", json!({"a": 18_446_744_073_709_551_615.0})),
        ("a: '0644'", json!({"a": "0644"})),
        ("a: !!str 5", json!({"a": "5"})),
        ("a: ~", json!({"a": null})),
        ("a:", json!({"a": null})),
        ("a: +-5", json!({"a": "+-5"})),
        ("on: 1", json!({"true": 1})),
        ("1: 1", json!({"1": 1})),
        ("a: &x {b: 1}\nc: {<<: *x, d: 2}", json!({"a": {"b": 1}, "c": {"b": 1, "d": 2}})),
        ("a: |\n  x\n  y\n", json!({"a": "x\ny\n"})),
        ("\u{feff}a: 1", json!({"a": 1})),
        ("a: 1\r\nb:\r\n- 2\r\n", json!({"a": 1, "b": [2]})),
    ];
    for (text, expected) in cases {
        assert_eq!(one(text), expected, "{text:?}");
    }
}

#[test]
fn json_is_read_as_json() {
    assert_eq!(
        one(r#"{"a": 1.0, "b": [true, null, 1e2], "c": "on"}"#),
        json!({"a": 1.0, "b": [true, null, 100.0], "c": "on"})
    );
    assert_eq!(one("{\n\t\"a\": \"\\ud83d\\ude00 \\\\ud83d\"\n}"), json!({"a": "😀 \\ud83d"}));
    assert_eq!(one(&format!("{{\"{}\": 1}}", "k".repeat(3000))).as_object().map(|o| o.len()), Some(1));
    // What begins with a brace and is no JSON is YAML.
    assert_eq!(one(r#"{"a": yes, b: 1.0}"#), json!({"a": true, "b": 1}));
    assert!(wrong(r#"{"a": 1"#).starts_with("1:"));
    // One after another, as kubectl takes them.
    let stream = read("{\"a\": 1}{\"a\": 2}\n  {\"a\": 3,\n\"b\": 4}").expect("reads");
    let places: Vec<String> = stream.iter().map(|d| d.tree.get("a").expect("a").at.to_string()).collect();
    assert_eq!(places, ["1:7", "1:15", "2:9"]);
    assert_eq!(stream[2].tree.get("b").map(|b| b.at.to_string()).as_deref(), Some("3:6"));
    assert_eq!(stream.iter().map(|d| d.number).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(wrong("{\"a\": 1}\n{\"a\": 1, \"a\": 2}").starts_with("2:10: the key"));
    assert_eq!(read("{\"a\": 1}\n---\n{\"a\": 2}").map(|d| d.len()), Ok(2));
}

#[test]
fn documents_are_counted_and_empty_ones_left_out() {
    let documents = read("# nothing\n---\na: 1\n---\n---\n# more\nb: 2\n...\n").expect("reads");
    assert_eq!(documents.iter().map(|d| d.number).collect::<Vec<_>>(), [1, 3]);
    assert!(read("").expect("reads").is_empty());
    assert!(read("# only a comment\n").expect("reads").is_empty());
}

#[test]
fn every_error_has_its_line_and_column() {
    assert_eq!(wrong("a: 1\nb: 2\na: 3\n"), "3:1: the key \"a\" is given twice; first in line 1");
    let places =
        ["a: [1,\nb: 2\n", "a: .inf", "a: &x [*x]", "? [a]\n: b", "a: !Ref x", "a: 1\n---\nb: *nobody\n"];
    let errors: Vec<String> = places.into_iter().map(wrong).collect();
    let expected = [
        "1:4: unclosed bracket '['",
        "1:4: .inf is no number that JSON has",
        "1:8: an alias stands within what it stands for",
        "1:3: a key must be a text; it is a list or a map",
        "1:9: the tag !Ref is not one of Kubernetes manifests",
        "3:4: while parsing node, found unknown anchor",
    ];
    assert_eq!(errors, expected);
    let error = read("a: 1\n---\nb: 1\nb: 2\n").expect_err("twice");
    assert_eq!((error.document, error.at.line), (2, 4));
}

#[test]
fn places_are_found_by_path() {
    let documents =
        read("spec:\n  rules:\n  - name: a\n  - name: b\n    expression: |\n      x\n").expect("reads");
    let tree = &documents[0].tree;
    let at = |path| tree.place_of(path).to_string();
    assert_eq!(at("spec.rules[1].name"), "4:11");
    assert_eq!(at("spec.rules[1].expression"), "6:7", "a block begins where its text does");
    assert_eq!(at("spec.rules[1].message"), "4:5", "what is not there stands where it would be");
    assert_eq!(at("spec.rules[7]"), at("spec.rules"));
}

#[test]
fn bombs_and_depths_are_bounded() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let list = vec![format!("*a{}", n - 1); 10].join(", ");
        bomb.push_str(&format!("a{n}: &a{n} [{list}]\n"));
    }
    assert!(wrong(&bomb).contains("aliases replaced"));
    assert!(wrong(&format!("{}{}", "[".repeat(5000), "]".repeat(5000))).contains("1:"));
    let deep: String = (0..5000).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    wrong(&deep);
    // Each alias adds its depth to that of where it stands.
    let mut chain = format!("a0: &a0 {}x{}\n", "[".repeat(60), "]".repeat(60));
    for n in 1..5_000 {
        chain.push_str(&format!("a{n}: &a{n} {}*a{}{}\n", "[".repeat(60), n - 1, "]".repeat(60)));
    }
    assert!(wrong(&chain).contains("nested more than 100 levels"));
    let limit = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
    assert!(read(&limit).is_ok());
}

#[test]
fn what_is_written_reads_back_as_kubectl_would() {
    let value = json!({
        "text": ["on", "y", "0644", "1e3", "~", "", "a: b", "- x", "#", "null", "2001-01-01", "1_000", "=", "<<",
                 "a\nb\n", "  lead", "trail ", "'", "\"", "é😀", "\t", "*x", "&x", "!x", "%", "@", "`", "0x1F", ".5", "+1",
                 "long ".repeat(60), "a\n\n  b", "---", "{", "[", "]", ",", "?", ": ", "a #b", "\u{7f}\u{85}\u{2028}"],
        "on": 1, "1": {"n": null, "t": true, "d": 1.5, "i": -3}, "empty": [[], {}],
    });
    let text = to_string(&value).expect("writes");
    assert_eq!(one(&text), value, "{text}");
}

proptest::proptest! {
    /// Whatever comes in, there is an answer.
    #[test]
    fn junk_is_refused_and_never_panics(text in "[-a\\[\\]{}:,&*!|>'\"#%@?<~ \\n\\t0-9é\u{feff}]{0,80}") {
        let _ = read(&text);
    }

    /// Any text that is written comes back as it was.
    #[test]
    fn texts_survive(text in "\\PC{0,40}", key in "[a-zA-Z0-9:#~ .-]{1,10}") {
        let mut map = serde_json::Map::new();
        map.insert(key, text.into());
        let value = Json::Object(map);
        let written = to_string(&value).expect("writes");
        proptest::prop_assert_eq!(one(&written), value, "{}", written);
    }
}
