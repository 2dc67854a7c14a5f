//! Texts: what every CEL has.

use super::super::cost::{Cost, Meter};
use super::super::fault::Fault;
use super::super::value::Value;
use super::{Function, Library, Overload, Run, regex};

pub(super) const LIBRARY: Library = Library {
    name: "strings, standard",
    doc: "Looking for a text in a text.",
    upstream: "https://github.com/google/cel-spec/blob/master/doc/langdef.md#standard-definitions",
    in_admission: true,
    types: &[],
    functions: &[
        Function {
            name: "contains",
            doc: "Whether a text has the other one in it.",
            examples: &["'hello'.contains('ell')", "'hello'.contains('')"],
            overloads: &[Overload::new("string.contains(string) -> bool", Cost::Search, contains)],
        },
        Function {
            name: "startsWith",
            doc: "Whether a text begins with the other one.",
            examples: &["'hello'.startsWith('he')"],
            overloads: &[Overload::new(
                "string.startsWith(string) -> bool",
                Cost::Read { arg: 1, times: 1 },
                starts_with,
            )],
        },
        Function {
            name: "endsWith",
            doc: "Whether a text ends with the other one.",
            examples: &["'hello'.endsWith('lo')"],
            overloads: &[Overload::new(
                "string.endsWith(string) -> bool",
                Cost::Read { arg: 1, times: 1 },
                ends_with,
            )],
        },
        Function {
            name: "matches",
            doc: "Whether a regular expression matches any part of the text; `^` and `$` make it the whole text.",
            examples: &[
                "'web-1'.matches('^[a-z]+-[0-9]+$')",
                "matches('hello', 'l{2}')",
                "!'a'.matches('^b')",
            ],
            overloads: &[
                pattern("string.matches(string) -> bool", matches),
                pattern("matches(string, string) -> bool", matches),
            ],
        },
    ],
};

/// One with a regular expression, which charges for itself.
const fn pattern(signature: &'static str, run: Run) -> Overload {
    Overload { signature, cost: Cost::Fixed(0), run, pattern: Some(1) }
}

fn contains<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::Str(text), Value::Str(part)] = args else {
        return Err(Fault::no_such_overload("contains", args));
    };
    Ok(text.contains(&**part).into())
}

fn starts_with<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::Str(text), Value::Str(start)] = args else {
        return Err(Fault::no_such_overload("startsWith", args));
    };
    Ok(text.starts_with(&**start).into())
}

fn ends_with<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::Str(text), Value::Str(end)] = args else {
        return Err(Fault::no_such_overload("endsWith", args));
    };
    Ok(text.ends_with(&**end).into())
}

fn matches<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::Str(text), pattern] = args else { return Err(Fault::no_such_overload("matches", args)) };
    regex::with(pattern, text, meter, |regex, _| Ok(regex.is_match(text).into()))
}
