//! Regular expressions: the library of Kubernetes, and what all functions with a pattern share.
//!
//! Patterns are read as RE2 has them (see `re2.rs`) and run by the `regex` crate, whose time grows with the text and
//! never explodes. A call is charged as cel-go charges it, or by how many states of the pattern may be in play where
//! that is more: `[a-z]{1000}` is short and heavy. A pattern that is known only when the expression is evaluated is
//! compiled in each call, and charged for.

use super::super::cost::{Cost, Meter};
use super::super::fault::Fault;
use super::super::value::{Opaque, Str, Value};
use super::strings::{PIECE, part};
use super::{Function, Library, Overload, Run, re2};

pub(super) const LIBRARY: Library = Library {
    name: "regex",
    doc: "Finding what a regular expression matches. The syntax is RE2's.",
    upstream: "https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-regex-library",
    in_admission: true,
    types: &[],
    functions: &[
        Function {
            name: "find",
            doc: "The first part that matches; an empty text if none does.",
            examples: &["'abc 123'.find('[0-9]+') == '123'", "'abc'.find('[0-9]+') == ''"],
            overloads: &[overload("string.find(string) -> string", find)],
        },
        Function {
            name: "findAll",
            doc: "The parts that match, or the first few; all if their number is below zero.",
            examples: &[
                "'1 and 22'.findAll('[0-9]+') == ['1', '22']",
                "'1 and 22'.findAll('[0-9]+', 1) == ['1']",
            ],
            overloads: &[
                overload("string.findAll(string) -> list(string)", find_all),
                overload("string.findAll(string, int) -> list(string)", find_all),
            ],
        },
    ],
};

/// One that takes a text and a pattern.
pub(super) const fn overload(signature: &'static str, run: Run) -> Overload {
    Overload { signature, cost: Cost::Match, run, pattern: Some(1) }
}

/// A pattern, ready to be used.
#[derive(Debug)]
struct Pattern {
    /// What is charged for: its length as it was written, or more if it is heavy.
    size: u64,
    regex: regex::Regex,
}

impl Opaque for Pattern {
    fn type_name(&self) -> &'static str {
        "string"
    }

    fn equals(&self, _: &dyn Opaque) -> bool {
        // Expressions never get to see one.
        false
    }

    fn size(&self) -> u64 {
        self.size
    }
}

/// Compiles a pattern that is written in an expression.
///
/// # Errors
/// What is wrong with it, in words.
pub(in super::super) fn prepare(pattern: &str) -> Result<Value<'static>, String> {
    let translated = re2::translate(pattern)?;
    Ok(Value::opaque(compile(pattern, &translated)?))
}

/// Most bytes of a compiled pattern. More than the heaviest one that [`re2::translate`] lets through takes.
const MOST_BYTES: usize = 8 << 20;
/// Most bytes that running a pattern may keep to be faster; more only makes it slow for longer on texts that it does
/// not help with.
const MOST_CACHED: usize = 256 << 10;

fn compile(pattern: &str, translated: &re2::Translated) -> Result<Pattern, String> {
    let mut builder = regex::RegexBuilder::new(&translated.pattern);
    let regex = builder.size_limit(MOST_BYTES).dfa_size_limit(MOST_CACHED).build();
    // What else could be wrong was found before.
    let regex =
        regex.map_err(|_| "invalid regular expression: it is too large or not supported".to_owned())?;
    Ok(Pattern { size: size(pattern, translated), regex })
}

/// Patterns of few states are run in one step for each byte, whatever the text; others may take up to about 8
/// nanoseconds for each state and byte, which is what eight characters of a pattern stand for.
fn size(pattern: &str, translated: &re2::Translated) -> u64 {
    (translated.active.saturating_sub(10) * 8).max(pattern.len() as u64)
}

/// What compiling takes: about so much for each pattern, and for each state of it.
const COMPILING: u64 = 700;
const COMPILING_STATE: u64 = 8;

/// Does something with a text and a pattern, for which a [`Cost::Match`] has been charged.
pub(super) fn with<'a>(
    pattern: &Value<'a>,
    text: &Str<'a>,
    meter: &mut Meter,
    run: impl FnOnce(&regex::Regex, &mut Meter) -> Result<Value<'a>, Fault>,
) -> Result<Value<'a>, Fault> {
    if let Some(prepared) = pattern.downcast::<Pattern>() {
        return run(&prepared.regex, meter);
    }
    let Value::Str(pattern) = pattern else {
        return Err(Fault::no_such_overload("matches", &[Value::Str(text.clone()), pattern.clone()]));
    };
    meter.charge(COMPILING + pattern.len() as u64)?;
    let translated = re2::translate(pattern).map_err(Fault::new)?;
    meter.charge(translated.weight.saturating_mul(COMPILING_STATE))?;
    let compiled = compile(pattern, &translated).map_err(Fault::new)?;
    // What was charged is for its length; it may be heavier.
    let cost = |size| Cost::Match.of_sizes(|n| if n == 0 { text.len() as u64 } else { size });
    meter.charge(cost(compiled.size) - cost(pattern.len() as u64))?;
    run(&compiled.regex, meter)
}

fn find<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::Str(text), pattern] = args else { return Err(Fault::no_such_overload("find", args)) };
    with(pattern, text, meter, |regex, _| {
        Ok(regex.find(text).map_or_else(|| Value::text(""), |found| part(text, found.range())))
    })
}

fn find_all<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    let (text, pattern, most) = match args {
        [Value::Str(text), pattern] => (text, pattern, usize::MAX),
        [Value::Str(text), pattern, Value::Int(most)] => {
            (text, pattern, usize::try_from(*most).unwrap_or(usize::MAX))
        }
        _ => return Err(Fault::no_such_overload("findAll", args)),
    };
    with(pattern, text, meter, |regex, meter| {
        let mut found = Vec::new();
        for one in regex.find_iter(text).take(most) {
            meter.charge(PIECE)?;
            found.push(part(text, one.range()));
        }
        Ok(Value::list(found))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same, prepared and not.
    fn call(run: Run, text: &str, pattern: &str, most: Option<i64>) -> String {
        let with = |pattern: Value<'static>| {
            let args: Vec<_> = [Value::text(text), pattern].into_iter().chain(most.map(Value::Int)).collect();
            match run(&args, &mut Meter::new(100_000)) {
                Ok(Value::List(list)) => list.iter().map(|e| format!("{e:?}")).collect::<String>(),
                Ok(value) => format!("{value:?}"),
                Err(Fault::Error(error)) => error.to_string(),
                Err(Fault::Budget) => "budget".to_owned(),
            }
            .replace("Str(Made", "")
            .replace("))", ")")
        };
        let unprepared = with(Value::text(pattern));
        if let Ok(prepared) = prepare(pattern) {
            assert_eq!(with(prepared), unprepared);
        }
        unprepared
    }

    // What Kubernetes 1.37 says.
    #[test]
    fn parts_that_match_are_found() {
        assert_eq!(call(find, "abc a1", "a[0-9]", None), "(\"a1\")");
        assert_eq!(call(find, "abc", "x", None), "(\"\")");
        assert_eq!(call(find_all, "aXbXc", "[a-c]", None), "(\"a\")(\"b\")(\"c\")");
        assert_eq!(call(find_all, "aXbXc", "[a-c]", Some(2)), "(\"a\")(\"b\")");
        assert_eq!(call(find_all, "aXbXc", "[a-c]", Some(-3)), "(\"a\")(\"b\")(\"c\")");
        assert_eq!(call(find_all, "aXbXc", "[a-c]", Some(0)), "");
        assert_eq!(call(find_all, "abc", "", None), "(\"\")(\"\")(\"\")(\"\")");
        assert_eq!(call(find_all, "a\u{e9}bc", "b*", None), "(\"\")(\"\")(\"b\")(\"\")");
        assert_eq!(call(find_all, "baaac", "a*", None), "(\"\")(\"aaa\")(\"\")");
    }

    #[test]
    fn what_is_wrong_with_a_pattern_is_told_without_it() {
        assert_eq!(
            prepare("s3cret(").err().as_deref(),
            Some("invalid regular expression: missing closing )")
        );
        assert_eq!(call(find, "", "s3cret(", None), "invalid regular expression: missing closing )");
        assert_eq!(
            call(find, "", r"\p{Cs}", None),
            "invalid regular expression: it is too large or not supported"
        );
    }

    #[test]
    fn a_prepared_pattern_costs_what_cel_go_counts() {
        let cost = |text: &str, pattern: &str| {
            let mut meter = Meter::new(1_000_000);
            let args = [Value::text(text), prepare(pattern).unwrap()];
            assert!(meter.charge(Cost::Match.of(&args)).is_ok());
            assert!(find(&args, &mut meter).is_ok());
            1_000_000 - meter.left()
        };
        assert_eq!(cost("aaaaaaaaaaaaaaa", "aaaaaaaaaaa"), 6);
        assert_eq!(cost("", "aaaa(|)"), 2);
        // A short one that is heavy costs more.
        assert!(cost(&"a".repeat(1000), "^[a-z]{500}$") > 12_000);
    }

    #[test]
    fn a_pattern_that_is_not_known_before_is_paid_for() {
        assert_eq!(call(find, "", "[a-z]{1000}{", None), "(\"\")");
        let mut meter = Meter::new(2_000);
        assert!(matches!(find(&[Value::text(""), Value::text("a{1000}")], &mut meter), Err(Fault::Budget)));
        let mut meter = Meter::new(10_000);
        let pieces = find_all(&[Value::text("a".repeat(6000)), prepare("a").unwrap()], &mut meter);
        assert!(matches!(pieces, Err(Fault::Budget)));
    }
}
