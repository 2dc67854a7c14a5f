use super::super::{MAX_DEPTH, MAX_EXPRESSION_LENGTH};
use super::*;

fn nested(open: &str, inner: &str, close: &str, times: usize) -> String {
    open.repeat(times) + inner + &close.repeat(times)
}

#[test]
fn length_is_counted_in_characters_before_anything_else() {
    let longest = format!("'{}' == ''", "é".repeat(MAX_EXPRESSION_LENGTH - 8));
    assert_eq!(longest.chars().count(), MAX_EXPRESSION_LENGTH);
    rule(&longest);
    let message = "the expression has 4097 characters, more than 4096; move parts of it into variables";
    assert_eq!(refusal(&format!("{longest} "), Want::Bool), message);
    assert!(refusal(&"\u{1}".repeat(65_536), Want::Bool).contains("65536 characters"));
    assert!(refusal(&" ".repeat(65_536), Want::Bool).contains("65536 characters"));
    assert!(refusal(&"1+".repeat(100_000), Want::Bool).contains("200000 characters"));
}

#[test]
fn operations_nest_to_a_limit() {
    // each `+` is one deeper, the comparison and the innermost operand one each
    let sum = |plus: usize| format!("1{} > 0", " + 1".repeat(plus));
    rule(&sum(MAX_DEPTH - 2));
    assert_eq!(
        refusal(&sum(MAX_DEPTH - 1), Want::Bool),
        "operations are nested more than 200 deep (at 1:5); move parts of it into variables"
    );
    // the parser's own limit on brackets
    rule(&nested("(", "true", ")", 150));
    assert_eq!(
        refusal(&nested("(", "true", ")", 300), Want::Bool),
        "operations are nested more than 200 deep (at 1:1); move parts of it into variables"
    );
}

#[test]
fn loops_nest_to_a_limit() {
    let loops = |n: usize| nested("[1].all(x, ", "true", ")", n);
    rule(&loops(8));
    assert_eq!(
        refusal(&loops(9), Want::Bool),
        "loops are nested more than 8 deep (at 1:96); flatten the inner lists in a variable first"
    );
    // one after the other is not within one another
    rule(&vec!["[1].all(x, true)"; 50].join(" && "));
    rule(
        "optional.of(1).optMap(a, optional.of(a).optMap(b, [b].map(c, [c].map(d, [d].map(e, [e].all(f, true)))))).hasValue()",
    );
}

/// Every kind of nesting, as deep as it may be and a little more, on the 2 MiB stack of a test's thread.
#[test]
fn the_deepest_programs_run_on_an_ordinary_stack() {
    let object = pod();
    let mut deepest = 0;
    for depth in [10, 24, 44, 60, 90, 120, 196, 199] {
        for source in [
            format!("1{} > 0", " + 1".repeat(depth)),
            format!("'a'{} != ''", " + object.kind".repeat(depth)),
            format!("object{} == 1", ".a".repeat(depth)),
            format!("has(object{})", ".a".repeat(depth)),
            format!("object{}.hasValue()", ".?a".repeat(depth)),
            format!("object{} == 1", "['a']".repeat(depth)),
            nested("[", "1", "]", depth) + " == []",
            nested("{'a': ", "1", "}", depth) + " == {}",
            nested("(", "true", ")", depth),
            nested("!", "!true", "", depth),
            nested("-", "-1", "", depth) + " < 0",
            nested("true ? true : ", "false", "", depth),
            nested("(false || object.missing) && (", "true", ")", depth),
            nested("size([", "1", "])", depth) + " == 1",
            format!("'a'{} == 'a'", ".trim()".repeat(depth)),
            format!("'a'{} == 'a'", ".replace('a', 'a')".repeat(depth)),
            format!("['a']{} == ['a']", ".map(x, x)".repeat(depth / 2)),
            format!("['a']{} == ['a']", ".filter(x, x == 'a')".repeat(depth / 2)),
            format!("[2, 1]{} == [1, 2]", ".sortBy(x, x)".repeat(depth / 4)),
            format!("optional.of(1){} == optional.of(1)", ".optMap(x, x)".repeat(depth / 4)),
            nested("optional.of(1).optMap(x, ", "x", ")", depth / 4) + ".hasValue()",
            nested("[1].all(x, ", &nested("!", "!true", "", depth), ")", 8),
            nested("[1].exists(x, [", "1", "] == [x])", 4),
        ] {
            if let Ok(program) = compile(&source, &scope(), Want::Any) {
                deepest = deepest.max(depth);
                let _ = program
                    .evaluate_bool(&mut Bindings::new(Inputs { object: Some(&object), ..Inputs::default() }));
                let _ = judge("object == object", &object);
            }
        }
    }
    assert!(deepest >= 196, "the limit is what stops, not something before it: {deepest}");
}

/// Nothing that fits into the field may bring the process down.
#[test]
fn no_source_aborts_or_panics() {
    let full = |pattern: &str| pattern.chars().cycle().take(MAX_EXPRESSION_LENGTH).collect::<String>();
    let patterns = [
        "1+",
        "(",
        "[",
        "{",
        "!",
        "-",
        "- ",
        "a.b",
        "a.",
        "a?b:",
        "a?",
        "a&&",
        "a||!",
        "f(",
        "a[",
        "a[?",
        "a.?b",
        ".",
        "a.map(x,",
        "[1].all(x,",
        "has(a.b)&&",
        "{'a':",
        "'",
        "\"",
        "`",
        "\\",
        "'\\",
        "b'",
        "r\"",
        "'''",
        "\"\"\"a",
        "\u{0}",
        "\u{1b}[",
        "\u{202e}",
        "😀",
        "é",
        "a ",
        "0x",
        "1e",
        "9",
        "// ",
        "\n",
        "\r\n",
        "a==",
        "a in ",
        "(1+",
        "!-",
        "@",
        "#",
        "$",
        "%",
        "A{",
        "a.b{c:",
        "optional.of(",
        "x.optMap(y,",
        "x.sortBy(y,",
        "math.greatest(",
        "size(",
        "true?",
        "in",
        "null.",
        "1.",
        "1..",
        ",",
        ":",
        ";",
        "a.`b`",
        "=",
        "|",
        "&",
        "<=>",
    ];
    for pattern in patterns {
        let source = full(pattern);
        for source in [source.as_str(), &source[..source.floor_char_boundary(source.len() / 2)], pattern] {
            if let Err(error) = compile(source, &scope(), Want::Any) {
                let text = error.to_string();
                assert!(text.len() <= super::super::MAX_COMPILE_MESSAGE, "{pattern}: {}", text.len());
                assert!(!text.contains(char::is_control), "{pattern}: {text:?}");
            }
        }
    }
}

#[test]
fn a_name_as_long_as_the_field_is_cut_in_the_message() {
    let message = refusal(&"x".repeat(MAX_EXPRESSION_LENGTH), Want::Bool);
    assert!(
        message.starts_with("there is no variable `xxxx")
            && message.contains("…` (at 1:1); there are object")
    );
}
