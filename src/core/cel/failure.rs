//! The evaluator's errors in words, without the values that it puts into them.

use cel::{ExecutionError, OverloadError, Value};

use super::error::{EvalError, Text};
use super::scope::VARIABLES;

const MAX_REASON: usize = 160;

pub(super) const BAD_PATTERN: &str = "this is not a regular expression (RE2 syntax)";

/// `error` in words. Names are shown only if they stand in `source`: a computed key is a value.
pub(super) fn explain(error: &ExecutionError, source: &str) -> EvalError {
    let reason = match error {
        ExecutionError::NoSuchKey(key) => {
            let key = Some(key.as_str()).filter(|key| source.contains(*key)).map(Text::word);
            return EvalError::NoSuchKey { key };
        }
        ExecutionError::NoSuchOverload(overload) => overloads(overload),
        ExecutionError::UnexpectedType { got, want } => match want.as_str() {
            "bool" => format!("{} is used as a bool", type_name(got)),
            "iterable" => format!("{} is looped over; want a list or a map", type_name(got)),
            "map key" => format!("{} is used as a key", type_name(got)),
            _ => format!("{} is used as {}", type_name(got), type_name(want)),
        },
        ExecutionError::ValuesNotComparable(a, b) => {
            format!("{} cannot be compared with {}", value_type(a), value_type(b))
        }
        ExecutionError::UnsupportedBinaryOperator(operator, a, b) => {
            format!("`{}` does not take {} and {}", symbol(operator), value_type(a), value_type(b))
        }
        ExecutionError::UnsupportedKeyType(key) => format!("{} is used as a key", value_type(key)),
        ExecutionError::UnsupportedIndex(index, whole) => {
            format!("{} cannot be indexed with {}", value_type(whole), value_type(index))
        }
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            "division by zero".to_owned()
        }
        ExecutionError::Overflow(operator, ..) => format!("`{}` overflows", symbol(operator)),
        ExecutionError::IndexOutOfBounds(_) => "index out of bounds".to_owned(),
        ExecutionError::DuplicateKey(_) => "a map is given the same key twice".to_owned(),
        ExecutionError::FunctionError { function, .. } => function_failed(function),
        ExecutionError::UndeclaredReference(name) => format!("there is no `{}`", Text::word(name)),
        ExecutionError::InvalidArgumentCount { expected, actual } => {
            format!("a function takes {expected} arguments and was given {actual}")
        }
        _ => "an operation failed".to_owned(),
    };
    EvalError::Failed { reason: Text::bounded(&reason, MAX_REASON) }
}

/// The variable that was read and has no value.
pub(super) fn missing_variable(error: &ExecutionError) -> Option<&str> {
    match error {
        ExecutionError::UndeclaredReference(name) => name.strip_prefix(VARIABLES),
        _ => None,
    }
}

fn overloads(error: &OverloadError) -> String {
    let name = symbol(error.function());
    let types: Vec<&str> = error.argument_types().iter().map(|name| type_name(name)).collect();
    match (error.function(), types.as_slice()) {
        ("_._", [whole, _]) => format!("{whole} has no fields"),
        (_, [target, args @ ..]) if error.is_member_function() => match args {
            [] => format!("`{name}()` does not work on {target}"),
            args => format!("`{name}()` does not work on {target} with {}", args.join(" and ")),
        },
        (_, []) => format!("`{name}` needs arguments"),
        (_, types) => format!("`{name}` does not take {}", types.join(" and ")),
    }
}

fn function_failed(function: &str) -> String {
    let why = match function {
        "timestamp" => "want a time such as 2024-05-01T12:00:00Z",
        "duration" => "want a duration such as 1h30m",
        "timezone" => "want a time zone such as Europe/Berlin or +02:00",
        "value" => "the optional is empty",
        "matches" => return format!("`matches`: {BAD_PATTERN}"),
        "join" => "want a list of strings",
        "int" | "uint" | "double" | "bool" | "string" => "the value cannot be converted",
        "substring" | "charAt" | "indexOf" | "lastIndexOf" | "slice" => "index out of range",
        "format" => "the format and its arguments do not match",
        "lists.range" => "want a number from 0 to 1000000",
        _ => "failed on its arguments",
    };
    format!("`{}`: {why}", Text::word(function))
}

/// An operator as it is written.
fn symbol(name: &str) -> &str {
    match name {
        "add" => "+",
        "sub" => "-",
        "mul" => "*",
        "div" => "/",
        "rem" => "%",
        "@in" => "in",
        "_[_]" | "_[?_]" => "[]",
        "_?_:_" => "?:",
        "_?._" => ".?",
        other => other.trim_matches('_'),
    }
}

fn value_type(value: &Value) -> &'static str {
    type_name(&value.type_of().to_string())
}

/// A CEL type in words, with its article.
pub(super) fn type_name(name: &str) -> &'static str {
    match name {
        "bool" => "a bool",
        "int" => "an int",
        "uint" => "a uint",
        "double" | "float" => "a double",
        "string" => "a string",
        "bytes" => "bytes",
        "list" => "a list",
        "map" => "a map",
        "null" | "null_type" => "null",
        "duration" | "google.protobuf.Duration" => "a duration",
        "timestamp" | "google.protobuf.Timestamp" => "a timestamp",
        "optional" | "optional_type" | "opaque" => "an optional",
        "type" => "a type",
        _ => "another type",
    }
}
