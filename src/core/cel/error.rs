//! What can be wrong with an expression, before and while it runs, in words for whoever wrote it.

use std::fmt;

/// Most bytes of any [`CompileError`] message.
pub const MAX_COMPILE_MESSAGE: usize = 512;
/// Most bytes of any [`EvalError`] message.
pub const MAX_EVAL_MESSAGE: usize = 256;
/// Most bytes of one name or word that is quoted in a message.
const MAX_WORD: usize = 64;

/// Where in an expression: both count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Line of the expression.
    pub line: usize,
    /// Character in that line.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Text that came from an expression or from a library: one line, no control characters, cut to a bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(String);

impl Text {
    /// A name or a single word.
    pub(super) fn word(text: &str) -> Self {
        Self::bounded(text, MAX_WORD)
    }

    /// `text` in at most `max` bytes (at least 3), `…` in place of what was cut off.
    pub(super) fn bounded(text: &str, max: usize) -> Self {
        let mut out = String::with_capacity(text.len().min(max));
        for c in text.chars() {
            let c = if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { '\u{fffd}' } else { c };
            if out.len() + c.len_utf8() > max {
                while out.len() + '…'.len_utf8() > max {
                    out.pop();
                }
                out.push('…');
                break;
            }
            out.push(c);
        }
        Self(out)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why an expression cannot be used. The message reads well after the path of the field it stands in,
/// has one line and at most [`MAX_COMPILE_MESSAGE`] bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// Nothing but white space.
    #[error("the expression is empty; write one, or leave the field out")]
    Empty,
    /// More characters than a field may have.
    #[error("the expression has {len} characters, more than {max}; move parts of it into variables")]
    TooLong {
        /// Characters it has.
        len: usize,
        /// Characters it may have.
        max: usize,
    },
    /// Not an expression.
    #[error("{message} (at {at})")]
    Syntax {
        /// Where reading stopped.
        at: Position,
        /// What is wrong there.
        message: Text,
    },
    /// Operations within operations within operations.
    #[error("operations are nested more than {max} deep (at {at}); move parts of it into variables")]
    TooDeep {
        /// Where the limit is passed.
        at: Position,
        /// The limit.
        max: usize,
    },
    /// Loops within loops within loops.
    #[error("loops are nested more than {max} deep (at {at}); flatten the inner lists in a variable first")]
    TooNested {
        /// The first loop too many.
        at: Position,
        /// The limit.
        max: usize,
    },
    /// A name that nothing has here.
    #[error("there is no variable `{name}` (at {at}); {}", remedy(.near, .known))]
    UnknownVariable {
        /// The name as written.
        name: Text,
        /// Where.
        at: Position,
        /// The one that was probably meant.
        near: Option<Text>,
        /// All that exist here, separated by commas.
        known: Text,
    },
    /// A lookup that the policy does not have.
    #[error("there is no lookup `{name}` (at {at}); {}", lookups(.near, .known))]
    UnknownLookup {
        /// The name as written.
        name: Text,
        /// Where.
        at: Position,
        /// The one that was probably meant.
        near: Option<Text>,
        /// All that exist here, separated by commas; empty when there is none.
        known: Text,
    },
    /// A name that exists elsewhere.
    #[error("`{name}` can not be read here (at {at}); {remedy}")]
    NotHere {
        /// The name as written.
        name: Text,
        /// Where.
        at: Position,
        /// What to do.
        remedy: &'static str,
    },
    /// A function that does not exist.
    #[error("there is no function `{name}` (at {at}){}", did_you_mean(.near))]
    UnknownFunction {
        /// The name as written, with its namespace if it has one.
        name: Text,
        /// Where.
        at: Position,
        /// The one that was probably meant.
        near: Option<Text>,
    },
    /// A function called in a way it cannot be called.
    #[error("`{name}` cannot be called like this (at {at}); write {usage}")]
    WrongCall {
        /// The function or macro.
        name: Text,
        /// Where.
        at: Position,
        /// How it is called.
        usage: Text,
    },
    /// An operator or function that does not take values of these types.
    #[error("`{name}` does not take {got} (at {at})")]
    WrongTypes {
        /// The operator or function.
        name: Text,
        /// What it is given.
        got: Text,
        /// Where.
        at: Position,
    },
    /// One type where another is needed.
    #[error("this is {got} (at {at}), want {want}")]
    Mismatch {
        /// What it is, with its article.
        got: Text,
        /// What it must be, with its article.
        want: Text,
        /// Where.
        at: Position,
    },
    /// Elements of a list or map of several types.
    #[error("this is {got} (at {at}) among others that are {want}; use dyn(…) around each to mix them")]
    Mixed {
        /// What it is, with its article.
        got: Text,
        /// What those before it are.
        want: Text,
        /// Where.
        at: Position,
    },
    /// A field that a type with known fields does not have.
    #[error("there is no field `{name}` in {of} (at {at}){}", did_you_mean(.near))]
    UnknownField {
        /// The field as written.
        name: Text,
        /// What does not have it.
        of: Text,
        /// Where.
        at: Position,
        /// The one that was probably meant.
        near: Option<Text>,
    },
    /// A field of something that has none.
    #[error("this is {got} and has no field `{field}` (at {at})")]
    NoFields {
        /// What it is, with its article.
        got: Text,
        /// The field as written.
        field: Text,
        /// Where.
        at: Position,
    },
    /// A loop over something else than a list or a map.
    #[error("{got} is looped over (at {at}); want a list or a map")]
    NoLoop {
        /// What it is, with its article.
        got: Text,
        /// Where.
        at: Position,
    },
    /// Something that exists only while the API server admits a request.
    #[error(
        "`{name}` exists only while a request is admitted (at {at}), not when objects are watched; rewrite \
         the expression without it"
    )]
    AdmissionOnly {
        /// `authorizer`, or a field of `request`.
        name: Text,
        /// Where.
        at: Position,
    },
    /// A rule or condition that can never be true or false.
    #[error("this is {got} (at {at}), want a bool; compare it with something")]
    NotBool {
        /// What it is instead, with its article.
        got: Text,
        /// Where.
        at: Position,
    },
    /// A message that can never be a string.
    #[error("this is {got} (at {at}), want a string; use string(…) to convert it")]
    NotString {
        /// What it is instead, with its article.
        got: Text,
        /// Where.
        at: Position,
    },
    /// A fault of this program, not of the expression.
    #[error("the expression could not be checked: {reason}; please report it")]
    Internal {
        /// What happened.
        reason: Text,
    },
}

impl CompileError {
    /// Where in the expression it is, if that can be said.
    pub fn at(&self) -> Option<Position> {
        match self {
            Self::Empty | Self::TooLong { .. } | Self::Internal { .. } => None,
            Self::Syntax { at, .. }
            | Self::TooDeep { at, .. }
            | Self::TooNested { at, .. }
            | Self::UnknownVariable { at, .. }
            | Self::UnknownLookup { at, .. }
            | Self::NotHere { at, .. }
            | Self::UnknownFunction { at, .. }
            | Self::WrongCall { at, .. }
            | Self::WrongTypes { at, .. }
            | Self::Mismatch { at, .. }
            | Self::Mixed { at, .. }
            | Self::UnknownField { at, .. }
            | Self::NoFields { at, .. }
            | Self::NoLoop { at, .. }
            | Self::AdmissionOnly { at, .. }
            | Self::NotBool { at, .. }
            | Self::NotString { at, .. } => Some(*at),
        }
    }

    /// The message without the position.
    pub(super) fn without_position(&self) -> String {
        let text = self.to_string();
        self.at().map_or_else(|| text.clone(), |at| text.replacen(&format!(" (at {at})"), "", 1))
    }
}

fn did_you_mean(near: &Option<Text>) -> String {
    near.as_ref().map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
}

fn lookups(near: &Option<Text>, known: &Text) -> String {
    match known.as_str() {
        "" => "spec.lookups has none that can be read here".to_owned(),
        _ => remedy(near, known),
    }
}

fn remedy(near: &Option<Text>, known: &Text) -> String {
    match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are {known}"),
    }
}

/// Why an expression gave no answer about one object. The message has one line, at most
/// [`MAX_EVAL_MESSAGE`] bytes, and no values of the object: a Secret may be what was judged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// A condition that came out as something else.
    #[error("evaluated to {got}, want a bool")]
    NotBool {
        /// Its type, with the article.
        got: &'static str,
    },
    /// A message that came out as something else.
    #[error("evaluated to {got}, want a string")]
    NotString {
        /// Its type, with the article.
        got: &'static str,
    },
    /// A field or key that the object does not have. The name is given when it stands in the expression.
    #[error("no such key{}", .key.as_ref().map(|k| format!(": {k}")).unwrap_or_default())]
    NoSuchKey {
        /// The key, unless it was computed.
        key: Option<Text>,
    },
    /// An operator or function that failed.
    #[error("{reason}")]
    Failed {
        /// In which way, by types.
        reason: Text,
    },
    /// A variable that failed and was read.
    #[error("variable `{name}`: {reason}")]
    Variable {
        /// The variable in which it began.
        name: Text,
        /// Why it failed.
        reason: Text,
    },
    /// What is looked up is of a kind that is not installed.
    #[error("the kind {kind} is not installed; has(lookups.NAME) tells")]
    NotServed {
        /// The kind.
        kind: Text,
    },
    /// What is looked up and cannot be had.
    #[error("lookup `{name}`: {reason}")]
    Lookup {
        /// The lookup.
        name: Text,
        /// Why.
        reason: Text,
    },
    /// More work than one evaluation may do.
    #[error(
        "too costly: takes more than {max} steps; narrow its lists down and make its texts shorter first"
    )]
    TooCostly {
        /// The budget, [`super::MAX_STEPS`].
        max: u64,
    },
    /// More work than all expressions of a policy may do for one object.
    #[error(
        "too costly: the expressions of the policy take more than {max} steps for one object; split the policy"
    )]
    PolicyTooCostly {
        /// The budget, [`super::MAX_POLICY_STEPS`].
        max: u64,
    },
    /// A fault of this program, not of the expression.
    #[error("the expression could not be evaluated: {reason}; please report it")]
    Internal {
        /// What happened.
        reason: Text,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_has_one_line_and_a_bound() {
        assert_eq!(Text::word("a\nb\u{0}c\u{2028}").as_str(), "a\u{fffd}b\u{fffd}c\u{fffd}");
        let long = Text::word(&"é".repeat(100));
        assert!(long.as_str().len() <= MAX_WORD && long.as_str().ends_with('…'), "{long}");
    }
}
