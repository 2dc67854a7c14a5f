//! The parser's complaints in words for whoever wrote the expression.

use cel::ParseError;

use super::MAX_DEPTH;
use super::error::{CompileError, Position, Text};

const MAX_MESSAGE: usize = 240;

/// Whether CEL keeps this word for itself, so that nothing can be called so.
pub fn is_reserved(word: &str) -> bool {
    const WORDS: [&str; 21] = [
        "as",
        "break",
        "const",
        "continue",
        "else",
        "false",
        "for",
        "function",
        "if",
        "import",
        "in",
        "let",
        "loop",
        "namespace",
        "null",
        "package",
        "return",
        "true",
        "var",
        "void",
        "while",
    ];
    WORDS.contains(&word)
}

/// The first of the parser's errors that says something.
pub(super) fn explain(errors: &[ParseError], source: &str) -> CompileError {
    // These follow from an error that is reported as well, though they can stand before it.
    let follows = |error: &&ParseError| {
        ["Incomplete ", "No `", "Syntax error: error recovery"]
            .iter()
            .any(|noise| error.msg.starts_with(noise))
    };
    let Some(error) = errors.iter().find(|error| !follows(error)).or(errors.first()) else {
        return CompileError::Internal { reason: Text::word("the parser failed without a reason") };
    };
    let at = position(error.pos, source);
    if error.msg.contains("Recursion limit") {
        return CompileError::TooDeep { at: Position { line: 1, column: 1 }, max: MAX_DEPTH };
    }
    CompileError::Syntax { at, message: Text::bounded(&message(&error.msg), MAX_MESSAGE) }
}

fn position((line, column): (isize, isize), source: &str) -> Position {
    let within = |n: isize| usize::try_from(n).unwrap_or(1).clamp(1, source.len() + 1);
    Position { line: within(line), column: within(column) }
}

fn message(raw: &str) -> String {
    let raw = raw.strip_prefix("Syntax error: ").unwrap_or(raw);
    if let Some(missing) = between(raw, "missing '", "' at ") {
        return format!("`{missing}` is missing");
    }
    if let Some(token) = raw.strip_prefix("token recognition error at: '") {
        return unreadable(token.strip_suffix('\'').unwrap_or(token));
    }
    for start in ["mismatched input '", "extraneous input '", "no viable alternative at input '"] {
        if let Some(rest) = raw.strip_prefix(start) {
            let token = rest.find("' expecting ").map_or(rest, |end| &rest[..end]);
            return unexpected(token.strip_suffix('\'').unwrap_or(token));
        }
    }
    if let Some(word) = raw.strip_prefix("reserved identifier: ") {
        return format!("`{word}` is a reserved word of CEL and cannot be a name");
    }
    match raw {
        "invalid int literal" | "invalid uint literal" => "this number does not fit into 64 bits".to_owned(),
        _ if raw.starts_with("Incomplete ") || raw.starts_with("No `") => {
            "the expression is incomplete".to_owned()
        }
        other => other.to_owned(),
    }
}

fn between<'s>(text: &'s str, start: &str, end: &str) -> Option<&'s str> {
    let rest = text.strip_prefix(start)?;
    rest.find(end).map(|at| &rest[..at])
}

fn unexpected(token: &str) -> String {
    match token {
        "<EOF>" => "the expression ends too early".to_owned(),
        _ => format!("unexpected `{}`", Text::word(token)),
    }
}

/// Characters that begin no token.
fn unreadable(token: &str) -> String {
    match token.trim_end() {
        t if t.starts_with(['\'', '"']) => {
            "a string is not closed, or has an escape that CEL does not know".to_owned()
        }
        "=" => "unexpected `=`; two things are compared with `==`".to_owned(),
        "|" => "unexpected `|`; write `||` for or".to_owned(),
        "&" => "unexpected `&`; write `&&` for and".to_owned(),
        t => format!("unexpected character `{}`", Text::word(t)),
    }
}
