//! Expressions made of words of the language: what compiles has a cost, a type and paths that can be shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use polywatch_fuzz::compiled;
use polywatch_fuzz::core::cel::{Root, Sizes, Want};

/// Words that random bytes would hardly spell.
const WORDS: &[&str] = &[
    "object", ".spec", ".list", "[0]", "['a']", ".?a", "[?0]", "(", ")", "[", "]", "{", "}", ":", ",", " ? ", " : ",
    " && ", " || ", "!", "-", " + ", " - ", " * ", " / ", " % ", " == ", " != ", " < ", " >= ", " in ", "1", "2u", "1.5",
    "'a'", "b'a'", "null", "true", "false", "x", "y", "has(", ".all(x, ", ".exists(x, ", ".map(x, ", ".filter(x, ",
    ".existsOne(x, ", ".all(x, y, ", ".transformMap(x, y, ", ".transformMapEntry(x, y, ", ".sortBy(x, ", ".optMap(x, ",
    ".orValue(", ".or(", "cel.bind(x, ", "size(", "type(", "string(", "int(", "dyn(", "timestamp('2024-01-01T00:00:00Z')",
    "duration('1h')", "now", ".matches(", ".format(", ".split(", ".join(", "lists.range(", ".distinct()", ".flatten()",
    ".sort()", ".slice(", "quantity('1Gi')", "ip('10.0.0.1')", "cidr('10.0.0.0/8')", "semver('1.2.3')", "url('http://a')",
    "math.greatest(", "sets.contains(", "base64.encode(", "optional.of(", "optional.none()",
];

fuzz_target!(|data: &[u8]| {
    let source: String = data.iter().map(|byte| WORDS[usize::from(*byte) % WORDS.len()]).collect();
    if let Some(program) = compiled(&source, Want::Any) {
        program.estimate(Sizes { elements: 1000, text: 1000 });
        assert!(program.reads().of(Root::Object).lines().len() <= 4096);
        assert!(program.result().to_string().len() < 4096);
    }
});
