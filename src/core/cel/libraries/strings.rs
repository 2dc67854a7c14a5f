//! Texts: version 2 of cel-go's extension, which Kubernetes has. Positions and lengths count characters (Unicode code
//! points).

use std::ops::Range;

use super::super::cost::{Cost, Meter};
use super::super::fault::Fault;
use super::super::value::{Str, Value};
use super::{Function, Library, Overload, Run, format};

pub(super) const LIBRARY: Library = Library {
    name: "strings, extended",
    doc: "Taking texts apart and putting them together. Positions and lengths count characters (Unicode code points).",
    upstream: "https://pkg.go.dev/github.com/google/cel-go/ext#Strings",
    in_admission: true,
    types: &[],
    functions: &[
        Function {
            name: "charAt",
            doc: "The character at a position, from 0; an empty text at the end.",
            examples: &["'hello'.charAt(4) == 'o'", "'hello'.charAt(5) == ''"],
            overloads: &[Overload::new("string.charAt(int) -> string", Cost::Fixed(1), char_at)],
        },
        Function {
            name: "indexOf",
            doc: "Where a text is in another one for the first time, from 0 or from a position on; -1 if it is not.",
            examples: &[
                "'hello'.indexOf('l') == 2",
                "'hello'.indexOf('l', 3) == 3",
                "'hello'.indexOf('x') == -1",
            ],
            overloads: &[
                read("string.indexOf(string) -> int", 1, index_of),
                read("string.indexOf(string, int) -> int", 1, index_of),
            ],
        },
        Function {
            name: "lastIndexOf",
            doc: "Where a text is in another one for the last time, or for the last time up to a position; -1 if it is \
                  not.",
            examples: &["'hello'.lastIndexOf('l') == 3", "'hello'.lastIndexOf('l', 2) == 2"],
            overloads: &[
                read("string.lastIndexOf(string) -> int", 1, last_index_of),
                read("string.lastIndexOf(string, int) -> int", 1, last_index_of),
            ],
        },
        Function {
            name: "lowerAscii",
            doc: "The text with `a` to `z` in place of `A` to `Z`.",
            examples: &["'HeLLo'.lowerAscii() == 'hello'"],
            overloads: &[read("string.lowerAscii() -> string", 1, lower)],
        },
        Function {
            name: "upperAscii",
            doc: "The text with `A` to `Z` in place of `a` to `z`.",
            examples: &["'HeLLo'.upperAscii() == 'HELLO'"],
            overloads: &[read("string.upperAscii() -> string", 1, upper)],
        },
        Function {
            name: "replace",
            doc: "The text with another one in place of each part that equals the first, or in place of the first few; \
                  all if their number is below zero.",
            examples: &["'hello'.replace('l', 'L') == 'heLLo'", "'hello'.replace('l', 'L', 1) == 'heLlo'"],
            overloads: &[
                read("string.replace(string, string) -> string", 2, replace),
                read("string.replace(string, string, int) -> string", 2, replace),
            ],
        },
        Function {
            name: "split",
            doc: "The parts of a text between separators, or at most so many; all if their number is below zero. An \
                  empty separator gives characters.",
            examples: &[
                "'a,b,c'.split(',') == ['a', 'b', 'c']",
                "'a,b,c'.split(',', 2) == ['a', 'b,c']",
                "'abc'.split('') == ['a', 'b', 'c']",
            ],
            overloads: &[
                read("string.split(string) -> list(string)", 2, split),
                read("string.split(string, int) -> list(string)", 2, split),
            ],
        },
        Function {
            name: "substring",
            doc: "The text from a position on, or up to, not with, another one.",
            examples: &["'hello'.substring(1) == 'ello'", "'hello'.substring(1, 3) == 'el'"],
            overloads: &[
                read("string.substring(int) -> string", 1, substring),
                read("string.substring(int, int) -> string", 1, substring),
            ],
        },
        Function {
            name: "trim",
            doc: "The text without white space at its ends.",
            examples: &["' hello\\n'.trim() == 'hello'"],
            overloads: &[read("string.trim() -> string", 1, trim)],
        },
        Function {
            name: "join",
            doc: "The texts in a list as one, with a separator between them if there is one.",
            examples: &["['a', 'b'].join() == 'ab'", "['a', 'b'].join(', ') == 'a, b'"],
            overloads: &[
                Overload::new("list(string).join() -> string", Cost::Fixed(0), join),
                Overload::new("list(string).join(string) -> string", Cost::Fixed(0), join),
            ],
        },
        Function {
            name: "strings.quote",
            doc: "The text in double quotes, with escapes as CEL has them.",
            examples: &["strings.quote('a\"b') == '\"a\\\\\"b\"'"],
            overloads: &[read("strings.quote(string) -> string", 1, quote)],
        },
        Function {
            name: "format",
            doc: "The text with values in place of verbs, one after the other: `%s` any value, `%d` a whole number, \
                  `%f` a double, `%e` one with an exponent, `%b` binary, `%x` and `%X` hexadecimal, `%o` octal, `%%` a \
                  percent sign. `%.2f` has two digits behind the point.",
            examples: &[
                "'%s has %d of %d'.format(['web', 1, 3]) == 'web has 1 of 3'",
                "'%.2f%%'.format([99.5]) == '99.50%'",
                "'%s'.format([['a', 1.5]]) == '[\"a\", 1.500000]'",
                "'%x'.format([255]) == 'ff'",
            ],
            overloads: &[read("string.format(list(dyn)) -> string", 1, format)],
        },
    ],
};

/// One that costs what reading the text so many times takes.
const fn read(signature: &'static str, times: u64, run: Run) -> Overload {
    Overload::new(signature, Cost::Read { arg: 0, times }, run)
}

/// Part of a text; nothing is copied of the object's.
pub(super) fn part<'a>(text: &Str<'a>, range: Range<usize>) -> Value<'a> {
    match text {
        Str::Tree(text) => Value::Str(Str::Tree(&text[range])),
        Str::Made(text) => Value::text(&text[range]),
    }
}

/// What a piece of a text takes, made or not: cel-go counts the text only.
pub(super) const PIECE: u64 = 2;

/// The byte at which the character at `position` starts; the end counts as one.
fn byte_at(text: &str, position: i64) -> Option<usize> {
    let position = usize::try_from(position).ok()?;
    if text.is_ascii() {
        return (position <= text.len()).then_some(position);
    }
    text.char_indices().map(|(at, _)| at).chain([text.len()]).nth(position)
}

fn chars_before(text: &str, byte: usize) -> Value<'static> {
    Value::Int(text[..byte].chars().count() as i64)
}

fn out_of_range() -> Fault {
    Fault::new("index out of range")
}

fn char_at<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::Str(text), Value::Int(position)] = args else {
        return Err(Fault::no_such_overload("charAt", args));
    };
    meter.charge(text.len() as u64 / 10)?;
    let at = byte_at(text, *position).ok_or_else(out_of_range)?;
    let len = text[at..].chars().next().map_or(0, char::len_utf8);
    Ok(part(text, at..at + len))
}

fn index_of<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let (text, wanted, from) = match args {
        [Value::Str(text), Value::Str(wanted)] => (text, wanted, 0),
        [Value::Str(text), Value::Str(wanted), Value::Int(from)] => (text, wanted, *from),
        _ => return Err(Fault::no_such_overload("indexOf", args)),
    };
    if from < 0 {
        return Err(out_of_range());
    }
    let from = match byte_at(text, from) {
        Some(from) => from,
        // As in cel-go the empty text is found at the end, wherever one looks.
        None if wanted.is_empty() => text.len(),
        None => return Ok(Value::Int(-1)),
    };
    Ok(text[from..].find(&**wanted).map_or(Value::Int(-1), |at| chars_before(text, from + at)))
}

fn last_index_of<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let (text, wanted, to) = match args {
        [Value::Str(text), Value::Str(wanted)] => (text, wanted, text.len()),
        [Value::Str(text), Value::Str(wanted), Value::Int(to)] => {
            if *to < 0 {
                return Err(out_of_range());
            }
            match byte_at(text, *to) {
                // As in cel-go nothing is found from the end on, except the empty text.
                Some(to) if to < text.len() || wanted.is_empty() => (text, wanted, to),
                None if wanted.is_empty() => (text, wanted, text.len()),
                _ => return Ok(Value::Int(-1)),
            }
        }
        _ => return Err(Fault::no_such_overload("lastIndexOf", args)),
    };
    let end = text.floor_char_boundary(to.saturating_add(wanted.len()).min(text.len()));
    Ok(text[..end].rfind(&**wanted).map_or(Value::Int(-1), |at| chars_before(text, at)))
}

fn lower<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::Str(text)] = args else { return Err(Fault::no_such_overload("lowerAscii", args)) };
    Ok(Value::text(text.to_ascii_lowercase()))
}

fn upper<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::Str(text)] = args else { return Err(Fault::no_such_overload("upperAscii", args)) };
    Ok(Value::text(text.to_ascii_uppercase()))
}

fn replace<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    let (text, old, new, most) = match args {
        [Value::Str(text), Value::Str(old), Value::Str(new)] => (text, old, new, usize::MAX),
        [Value::Str(text), Value::Str(old), Value::Str(new), Value::Int(most)] => {
            (text, old, new, usize::try_from(*most).unwrap_or(usize::MAX))
        }
        _ => return Err(Fault::no_such_overload("replace", args)),
    };
    // An empty text is found before each character: more often than reading the text costs.
    meter.charge(if old.is_empty() { text.len() as u64 / 2 } else { 0 })?;
    let count = text.matches(&**old).take(most).count();
    let grown = count.saturating_mul(new.len().saturating_sub(old.len()));
    meter.charge(grown as u64 / 10)?;
    Ok(Value::text(text.replacen(&**old, new, count)))
}

fn split<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    let (text, separator, most) = match args {
        [Value::Str(text), Value::Str(separator)] => (text, separator, usize::MAX),
        [Value::Str(text), Value::Str(separator), Value::Int(most)] => {
            (text, separator, usize::try_from(*most).unwrap_or(usize::MAX))
        }
        _ => return Err(Fault::no_such_overload("split", args)),
    };
    let mut pieces = Vec::new();
    if most == 0 || (separator.is_empty() && text.is_empty()) {
        return Ok(Value::list(pieces));
    }
    let mut start = 0;
    while pieces.len() + 1 < most {
        let found = if separator.is_empty() {
            text[start..].char_indices().nth(1).map(|(len, _)| start + len)
        } else {
            text[start..].find(&**separator).map(|len| start + len)
        };
        let Some(end) = found else { break };
        meter.charge(PIECE)?;
        pieces.push(part(text, start..end));
        start = end + separator.len();
    }
    meter.charge(PIECE)?;
    pieces.push(part(text, start..text.len()));
    Ok(Value::list(pieces))
}

fn substring<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let (text, start, end) = match args {
        [Value::Str(text), Value::Int(start)] => (text, *start, None),
        [Value::Str(text), Value::Int(start), Value::Int(end)] => (text, *start, Some(*end)),
        _ => return Err(Fault::no_such_overload("substring", args)),
    };
    if end.is_some_and(|end| start > end) {
        return Err(Fault::new("invalid substring range: its start is greater than its end"));
    }
    let start = byte_at(text, start).ok_or_else(out_of_range)?;
    let end = end.map_or(Some(text.len()), |end| byte_at(text, end)).ok_or_else(out_of_range)?;
    Ok(part(text, start..end))
}

fn trim<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::Str(text)] = args else { return Err(Fault::no_such_overload("trim", args)) };
    let start = text.len() - text.trim_start().len();
    Ok(part(text, start..start + text[start..].trim_end().len()))
}

fn join<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    let (list, separator) = match args {
        [Value::List(list)] => (list, ""),
        [Value::List(list), Value::Str(separator)] => (list, &**separator),
        _ => return Err(Fault::no_such_overload("join", args)),
    };
    // cel-go counts the result only; here each element is looked at.
    meter.charge(list.len() as u64 / 10)?;
    let mut len = separator.len().saturating_mul(list.len().saturating_sub(1));
    for element in list.iter() {
        let Value::Str(text) = &element else {
            return Err(Fault::new(format!("join: invalid input of type {}", element.type_name())));
        };
        len = len.saturating_add(text.len());
    }
    meter.charge((len as u64).saturating_mul(2).div_ceil(10))?;
    let mut joined = String::with_capacity(len);
    for (nth, element) in list.iter().enumerate() {
        if nth > 0 {
            joined.push_str(separator);
        }
        if let Value::Str(text) = &element {
            joined.push_str(text);
        }
    }
    Ok(Value::text(joined))
}

fn quote<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::Str(text)] = args else { return Err(Fault::no_such_overload("strings.quote", args)) };
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match escape(c) {
            Some(escaped) => quoted.push_str(escaped),
            None => quoted.push(c),
        }
    }
    quoted.push('"');
    Ok(Value::text(quoted))
}

/// How a character is written within double quotes, if not as it is.
pub(super) fn escape(c: char) -> Option<&'static str> {
    Some(match c {
        '\u{7}' => "\\a",
        '\u{8}' => "\\b",
        '\u{c}' => "\\f",
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        '\u{b}' => "\\v",
        '\\' => "\\\\",
        '"' => "\\\"",
        _ => return None,
    })
}

fn format<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::Str(text), Value::List(values)] = args else {
        return Err(Fault::no_such_overload("format", args));
    };
    format::format(text, values, meter).map(Value::text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(run: Run, text: &str, more: &[Value<'static>]) -> String {
        let args: Vec<_> = [Value::text(text)].into_iter().chain(more.iter().cloned()).collect();
        let made = shown(run(&args, &mut Meter::new(1000)));
        // Texts of the object go the same way.
        let args: Vec<_> = [Value::Str(Str::Tree(text))].into_iter().chain(more.iter().cloned()).collect();
        assert_eq!(shown(run(&args, &mut Meter::new(1000))), made);
        made
    }

    fn shown(result: Result<Value<'_>, Fault>) -> String {
        let value = match result {
            Ok(value) => value,
            Err(Fault::Error(error)) => return error.to_string(),
            Err(Fault::Budget) => return "budget".to_owned(),
        };
        match value {
            Value::Str(text) => format!("{:?}", &*text),
            Value::List(list) => list.iter().map(|e| shown(Ok(e))).collect::<Vec<_>>().join(" "),
            other => format!("{other:?}"),
        }
    }

    fn t(text: &str) -> Value<'static> {
        Value::text(text)
    }

    // What cel-go 0.29.2 says, here and below.
    #[test]
    fn positions_count_characters() {
        assert_eq!(call(char_at, "h\u{e9}llo", &[2.into()]), "\"l\"");
        assert_eq!(call(char_at, "h\u{e9}llo", &[5.into()]), "\"\"");
        for wrong in [-1, 6, i64::MAX] {
            assert_eq!(call(char_at, "h\u{e9}llo", &[wrong.into()]), "index out of range");
        }
        assert_eq!(call(substring, "h\u{e9}llo", &[2.into()]), "\"llo\"");
        assert_eq!(call(substring, "h\u{e9}llo", &[1.into(), 2.into()]), "\"\u{e9}\"");
        assert_eq!(call(substring, "abc", &[3.into()]), "\"\"");
        for (start, end) in [(-1, 1), (1, 4), (4, 4)] {
            assert_eq!(call(substring, "abc", &[start.into(), end.into()]), "index out of range");
        }
        assert!(call(substring, "abc", &[2.into(), 1.into()]).contains("invalid substring range"));
    }

    #[test]
    fn searching_forwards() {
        for (text, wanted, from, at) in [
            ("tacocat", "", 0, 0),
            ("tacocat", "", 9, 7),
            ("tacocat", "a", 2, 5),
            ("tacocat", "a", 7, -1),
            ("tacocat", "a", 20, -1),
            ("\u{e9}\u{e9}a", "a", 1, 2),
        ] {
            let found = call(index_of, text, &[t(wanted), from.into()]);
            assert_eq!(found, format!("Int({at})"), "{text} {wanted} {from}");
        }
        assert_eq!(call(index_of, "\u{e9}a", &[t("a")]), "Int(1)");
        assert_eq!(call(index_of, "a", &[t("a"), (-1).into()]), "index out of range");
    }

    #[test]
    fn searching_backwards() {
        for (text, wanted, to, at) in [
            ("tacocat", "", 3, 3),
            ("tacocat", "", 9, 7),
            ("tacocat", "at", 5, 5),
            ("tacocat", "at", 4, -1),
            ("tacocat", "a", 4, 1),
            ("ab", "b", 9, -1),
            ("ab", "b", 2, -1),
            ("ab", "b", 1, 1),
            ("", "a", 0, -1),
            ("a", "ab", 0, -1),
            ("aaaa", "aa", 2, 2),
            ("a\u{e9}\u{e9}a", "\u{e9}", 1, 1),
            ("ba\u{1f600}", "ba", 1, 0),
        ] {
            let found = call(last_index_of, text, &[t(wanted), to.into()]);
            assert_eq!(found, format!("Int({at})"), "{text} {wanted} {to}");
        }
        assert_eq!(call(last_index_of, "tacocat", &[t("")]), "Int(7)");
        assert_eq!(call(last_index_of, "\u{e9}a\u{e9}a", &[t("a")]), "Int(3)");
        assert_eq!(call(last_index_of, "", &[t("a")]), "Int(-1)");
        assert_eq!(call(last_index_of, "a", &[t("a"), (-1).into()]), "index out of range");
    }

    #[test]
    fn replacing() {
        for (text, old, new, most, result) in [
            ("hello", "", "_", -1, "_h_e_l_l_o_"),
            ("h\u{e9}", "", "_", -1, "_h_\u{e9}_"),
            ("hello", "", "_", 2, "_h_ello"),
            ("hello", "l", "L", 1, "heLlo"),
            ("hello", "l", "L", -5, "heLLo"),
            ("hello", "l", "L", 0, "hello"),
            ("aaa", "aa", "b", 9, "ba"),
        ] {
            let replaced = call(replace, text, &[t(old), t(new), most.into()]);
            assert_eq!(replaced, format!("{result:?}"));
        }
        assert_eq!(call(replace, "hello", &[t("l"), t("")]), "\"heo\"");
    }

    #[test]
    fn splitting() {
        for (text, separator, most, pieces) in [
            ("h\u{e9}llo", "", -1, r#""h" "é" "l" "l" "o""#),
            ("h\u{e9}llo", "", 2, r#""h" "éllo""#),
            ("h\u{e9}llo", "", 99, r#""h" "é" "l" "l" "o""#),
            ("", "", -1, ""),
            ("", "", 1, ""),
            ("", ",", -1, r#""""#),
            ("a,b,c", ",", 2, r#""a" "b,c""#),
            ("a,b,c", ",", 1, r#""a,b,c""#),
            ("a,b,c", ",", 0, ""),
            (",a,", ",", -1, r#""" "a" """#),
            ("a--b", "--", -1, r#""a" "b""#),
        ] {
            assert_eq!(call(split, text, &[t(separator), most.into()]), pieces, "{text} {separator} {most}");
        }
    }

    #[test]
    fn white_space_is_that_of_unicode() {
        assert_eq!(call(trim, " \u{85}\u{a0}\u{2003}a\u{200b}", &[]), "\"a\\u{200b}\"");
        assert_eq!(call(trim, "\u{1c}a", &[]), "\"\\u{1c}a\"");
        assert_eq!(call(trim, " \n", &[]), "\"\"");
        assert_eq!(call(upper, "caf\u{e9}", &[]), "\"CAF\u{e9}\"");
    }

    #[test]
    fn joining_wants_texts() {
        let join = |elements: Vec<Value<'static>>| {
            shown(join(&[Value::list(elements), t(", ")], &mut Meter::new(10)))
        };
        assert_eq!(join(vec![t("a"), t("b")]), "\"a, b\"");
        assert_eq!(join(vec![]), "\"\"");
        assert_eq!(join(vec![t("a"), 42.into()]), "join: invalid input of type int");
        assert_eq!(join(vec![t(""); 30]), "budget");
    }

    #[test]
    fn quotes_escape_what_cel_escapes() {
        assert_eq!(call(quote, "a\"\\\n\0\u{e9}", &[]), format!("{:?}", "\"a\\\"\\\\\\n\0\u{e9}\""));
    }

    #[test]
    fn what_grows_is_paid_before_it_is_made() {
        let long = "a".repeat(1000);
        assert_eq!(call(replace, &long, &[t("a"), t(&"b".repeat(11))]), format!("{:?}", "b".repeat(11_000)));
        assert_eq!(call(replace, &long, &[t("a"), t(&"b".repeat(12))]), "budget");
        assert_eq!(call(split, &long, &[t("")]), "budget");
        assert_eq!(call(split, &long, &[t(""), 500.into()]).len(), 499 * 4 + 503);
        let list = Value::list(vec![t(&long); 6]);
        assert_eq!(shown(join(&[list], &mut Meter::new(1000))), "budget");
    }
}
