//! What a scalar means.
//!
//! For YAML as `kubectl` has it: `sigs.k8s.io/yaml` reads with `go.yaml.in/yaml/v2` (its `resolve.go` has the
//! rules of YAML 1.1 that follow), writes JSON, and the API server reads that. For JSON as JSON has it.

use super::tree::Value;

/// The form of a whole text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Yaml,
    Json,
}

/// A scalar without quotes and without a tag.
pub(super) fn plain(form: Form, text: &str) -> Result<Value, String> {
    match form {
        Form::Yaml => yaml(text),
        Form::Json => json(text),
    }
}

/// A scalar with a tag of YAML's own, such as `str` for `!!str`.
pub(super) fn tagged(tag: &str, text: &str) -> Result<Value, String> {
    let wrong = || Err(format!("{text:?} is no {tag}"));
    match (tag, yaml(text)?) {
        ("str" | "timestamp", _) => Ok(Value::Text(text.to_owned())),
        ("int", value @ Value::Int(_))
        | ("float", value @ (Value::Int(_) | Value::Double(_)))
        | ("bool", value @ Value::Bool(_))
        | ("null", value @ Value::Null) => Ok(value),
        ("int" | "float" | "bool" | "null", _) => wrong(),
        _ => Err(format!("the tag !!{tag} is not one of Kubernetes manifests; write the value without it")),
    }
}

fn json(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(serde_json::Value::Null) => Ok(Value::Null),
        Ok(serde_json::Value::Bool(value)) => Ok(Value::Bool(value)),
        Ok(serde_json::Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(int), _) => Ok(Value::Int(int)),
            (None, Some(double)) => Ok(Value::Double(double)),
            (None, None) => Err(format!("{text} is no number that can be kept")),
        },
        _ => Err(format!("{text:?} is no JSON; texts stand in double quotes")),
    }
}

fn yaml(text: &str) -> Result<Value, String> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Ok(Value::Bool(true));
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Ok(Value::Bool(false));
        }
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf"
        | "-.Inf" | "-.INF" => return Err(format!("{text} is no number that JSON has")),
        _ => {}
    }
    let number = match text.as_bytes()[0] {
        b'0'..=b'9' | b'+' | b'-' => {
            let digits = text.replace('_', "");
            integer(&digits).or_else(|| is_float(&digits).then(|| float(&digits)).flatten())
        }
        b'.' => is_float(text).then(|| float(text)).flatten(),
        _ => None,
    };
    Ok(number.unwrap_or_else(|| Value::Text(text.to_owned())))
}

/// As Go's `strconv.ParseInt` with base 0: the prefix tells the base, and a leading zero is octal.
fn integer(text: &str) -> Option<Value> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => ("-", &text[1..]),
        b'+' => ("", &text[1..]),
        _ => ("", text),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    // Rust takes a second sign, Go does not.
    if !digits.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    match i64::from_str_radix(&format!("{sign}{digits}"), base) {
        Ok(int) => Some(Value::Int(int)),
        // Beyond 64 bits with a sign the API server falls back to a double.
        Err(_) => u64::from_str_radix(digits, base)
            .ok()
            .filter(|_| sign.is_empty())
            .map(|int| Value::Double(int as f64)),
    }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let signless = |text: &str| text.strip_prefix(['-', '+']).map_or(text.to_owned(), str::to_owned);
    let text = signless(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa.to_owned(), Some(signless(exponent))),
        None => (text, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((&mantissa, ""));
    digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(&exponent))
}

/// On its way through JSON a double without fraction becomes an integer.
fn float(text: &str) -> Option<Value> {
    let value: f64 = text.parse().ok().filter(|value: &f64| value.is_finite())?;
    let whole = value.fract() == 0.0 && value.abs() < 9_223_372_036_854_775_807.0;
    Some(if whole { Value::Int(value as i64) } else { Value::Double(value) })
}
