//! The rules of the formats. Each gives the messages for a text; none when it complies.

use super::super::url;

const LABEL_FORM: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN_FORM: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const LABEL_KEY_FORM: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_KEY: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const LABEL_KEY_EXAMPLES: &[&str] = &["MyName", "my.name", "123-abc"];

const MOST_OF_LABEL: usize = 63;
const MOST_OF_SUBDOMAIN: usize = 253;

pub(super) fn dns1123_label(text: &str) -> Vec<String> {
    label(text.as_bytes())
}

pub(super) fn dns1123_label_prefix(text: &str) -> Vec<String> {
    label(&without_dash(text))
}

pub(super) fn dns1123_subdomain(text: &str) -> Vec<String> {
    subdomain(text.as_bytes(), "characters")
}

pub(super) fn dns1123_subdomain_prefix(text: &str) -> Vec<String> {
    subdomain(&without_dash(text), "characters")
}

pub(super) fn dns1035_label(text: &str) -> Vec<String> {
    letter_label(text.as_bytes())
}

pub(super) fn dns1035_label_prefix(text: &str) -> Vec<String> {
    letter_label(&without_dash(text))
}

pub(super) fn qualified_name(text: &str) -> Vec<String> {
    let mut messages = Vec::new();
    let name = match text.split_once('/') {
        None => text,
        Some((_, name)) if name.contains('/') => {
            let form = form(LABEL_KEY, LABEL_KEY_FORM, LABEL_KEY_EXAMPLES);
            return vec![format!(
                "a valid label key {form} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
        Some((prefix, name)) => {
            let wrong = match prefix.is_empty() {
                true => vec!["must be non-empty".to_owned()],
                false => subdomain(prefix.as_bytes(), "bytes"),
            };
            messages.extend(wrong.into_iter().map(|message| format!("prefix part {message}")));
            name
        }
    };
    if name.is_empty() {
        messages.push("name part must be non-empty".to_owned());
    }
    messages.extend(
        too_long(name.as_bytes(), MOST_OF_LABEL, "bytes").map(|message| format!("name part {message}")),
    );
    if !is_label_key(name.as_bytes()) {
        messages.push(format!("name part {}", form(LABEL_KEY, LABEL_KEY_FORM, LABEL_KEY_EXAMPLES)));
    }
    messages
}

pub(super) fn label_value(text: &str) -> Vec<String> {
    let mut messages: Vec<String> = too_long(text.as_bytes(), MOST_OF_LABEL, "bytes").into_iter().collect();
    if !text.is_empty() && !is_label_key(text.as_bytes()) {
        messages.push(form(
            &format!("a valid label must be an empty string or {}", LABEL_KEY.trim_start_matches("must ")),
            &format!("({LABEL_KEY_FORM})?"),
            &["MyValue", "my_value", "12345"],
        ));
    }
    messages
}

pub(super) fn uri(text: &str) -> Vec<String> {
    let wrong = url::parse::check(text).err();
    let quoted = || url::parse::quoted(text.as_bytes());
    wrong.map(|refusal| format!("parse {}: {refusal}", quoted())).into_iter().collect()
}

pub(super) fn uuid(text: &str) -> Vec<String> {
    complies(is_uuid(text).is_some(), "does not match the UUID format")
}

pub(super) fn byte(text: &str) -> Vec<String> {
    let digits = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text);
    let all = digits.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/');
    complies(all && !text.is_empty() && text.len().is_multiple_of(4), "invalid base64")
}

pub(super) fn date(text: &str) -> Vec<String> {
    complies(is_date(text), "invalid date")
}

pub(super) fn datetime(text: &str) -> Vec<String> {
    complies(is_datetime(text).is_some(), "invalid datetime")
}

fn label(text: &[u8]) -> Vec<String> {
    let mut messages: Vec<String> = too_long(text, MOST_OF_LABEL, "characters").into_iter().collect();
    if !is_label(text) {
        messages.push(match is_subdomain(text) {
            true => "must not contain dots".to_owned(),
            false => form(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
                 and end with an alphanumeric character",
                LABEL_FORM,
                &["my-name", "123-abc"],
            ),
        });
    }
    messages
}

fn letter_label(text: &[u8]) -> Vec<String> {
    let mut messages: Vec<String> = too_long(text, MOST_OF_LABEL, "characters").into_iter().collect();
    if !(is_label(text) && text[0].is_ascii_lowercase()) {
        messages.push(form(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
             character, and end with an alphanumeric character",
            "[a-z]([-a-z0-9]*[a-z0-9])?",
            &["my-name", "abc-123"],
        ));
    }
    messages
}

fn subdomain(text: &[u8], unit: &str) -> Vec<String> {
    let mut messages: Vec<String> = too_long(text, MOST_OF_SUBDOMAIN, unit).into_iter().collect();
    if !is_subdomain(text) {
        messages.push(form(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
             start and end with an alphanumeric character",
            SUBDOMAIN_FORM,
            &["example.com"],
        ));
    }
    messages
}

/// Kubernetes puts a letter in place of a dash at the end and of what stands before it.
fn without_dash(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    if bytes.len() > 1 && bytes.ends_with(b"-") {
        bytes.truncate(bytes.len() - 2);
        bytes.push(b'a');
    }
    bytes
}

fn is_label(text: &[u8]) -> bool {
    let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.first().is_some_and(inner)
        && text.last().is_some_and(inner)
        && text.iter().all(|b| inner(b) || *b == b'-')
}

fn is_subdomain(text: &[u8]) -> bool {
    text.split(|b| *b == b'.').all(is_label)
}

fn is_label_key(text: &[u8]) -> bool {
    text.first().is_some_and(u8::is_ascii_alphanumeric)
        && text.last().is_some_and(u8::is_ascii_alphanumeric)
        && text.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}

fn is_uuid(text: &str) -> Option<()> {
    let mut rest = text.as_bytes();
    for (n, length) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        if n > 0 {
            rest = rest.strip_prefix(b"-").unwrap_or(rest);
        }
        let (digits, after) = rest.split_at_checked(length)?;
        digits.iter().all(u8::is_ascii_hexdigit).then_some(())?;
        rest = after;
    }
    rest.is_empty().then_some(())
}

fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    let form = bytes.len() == 10
        && bytes
            .iter()
            .enumerate()
            .all(|(n, b)| if n == 4 || n == 7 { *b == b'-' } else { b.is_ascii_digit() });
    form && text.parse::<jiff::civil::Date>().is_ok()
}

/// Kubernetes is not strict: any character may stand before the fraction of the second, and after another t anything.
fn is_datetime(text: &str) -> Option<()> {
    let mut parts = text.split(['T', 't']);
    let (date, time) = (parts.next()?, parts.next()?);
    let (clock, rest) = time.split_at_checked(8)?;
    let [h1, h0, b':', m1, m0, b':', s1, s0] = *clock.as_bytes() else { return None };
    let below = |tens: u8, ones: u8, most: [u8; 2]| {
        tens.is_ascii_digit() && ones.is_ascii_digit() && [tens, ones] <= most
    };
    let clock = below(h1, h0, *b"23") && below(m1, m0, *b"59") && below(s1, s0, *b"59");
    (clock && is_date(date) && (is_zone(rest) || is_zone(without_fraction(rest)?))).then_some(())
}

/// Without a character, not a line break, and the digits after it.
fn without_fraction(text: &str) -> Option<&str> {
    let mut chars = text.chars();
    chars.next().filter(|c| *c != '\n')?;
    let digits = chars.as_str();
    let rest = digits.trim_start_matches(|c: char| c.is_ascii_digit());
    (rest.len() < digits.len()).then_some(rest)
}

fn is_zone(text: &str) -> bool {
    match *text.as_bytes() {
        [b'z' | b'Z'] => true,
        [b'+' | b'-', h1, h0, b':', m1, m0] => [h1, h0, m1, m0].iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

fn complies(valid: bool, message: &str) -> Vec<String> {
    if valid { Vec::new() } else { vec![message.to_owned()] }
}

fn too_long(text: &[u8], most: usize, unit: &str) -> Option<String> {
    (text.len() > most).then(|| format!("must be no more than {most} {unit}"))
}

/// What a text must look like, in the form that Kubernetes uses for all its regular expressions.
fn form(message: &str, expression: &str, examples: &[&str]) -> String {
    let examples: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
    format!("{message} (e.g. {}regex used for validation is '{expression}')", examples.join(" or "))
}
