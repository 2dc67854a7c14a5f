//! Texts that are JSON, made ready for the parser of YAML, which tells the places of their values.

use std::borrow::Cow;

use super::tree::Place;

/// The values of a text that is JSON and nothing else, one after another, and where each begins. As for `kubectl`,
/// a text that begins with a brace and is no JSON is YAML.
pub(super) fn values(text: &str) -> Option<Vec<(&str, Place)>> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let mut values = Vec::new();
    let (mut at, mut place) = (0, Place::START);
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<serde::de::IgnoredAny>();
    while let Some(value) = stream.next() {
        value.ok()?;
        let value = &text[at..stream.byte_offset()];
        values.push((value, place));
        at = stream.byte_offset();
        place = match value.rsplit_once('\n') {
            Some((above, last)) => {
                Place { line: place.line + above.matches('\n').count() + 1, column: last.chars().count() + 1 }
            }
            None => Place { column: place.column + value.chars().count(), ..place },
        };
    }
    Some(values)
}

/// JSON writes a character beyond 16 bits as two escapes, and YAML has another escape for it.
pub(super) fn join_surrogates(text: &str) -> Cow<'_, str> {
    let lower = text.to_ascii_lowercase();
    if !lower.contains("\\ud8")
        && !lower.contains("\\ud9")
        && !lower.contains("\\uda")
        && !lower.contains("\\udb")
    {
        return text.into();
    }
    let unit = |at: usize| -> Option<u32> {
        let escape = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u32::from_str_radix(escape, 16).ok()
    };
    let mut joined = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        // A backslash that is itself escaped begins no escape.
        if c == '\\' && text[at + 1..].starts_with('\\') {
            joined.push_str("\\\\");
            at += 2;
            continue;
        }
        if let (Some(high @ 0xd800..=0xdbff), Some(low @ 0xdc00..=0xdfff)) = (unit(at), unit(at + 6)) {
            let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
            joined.push_str(&format!("\\U{code:08x}"));
            at += 12;
            continue;
        }
        joined.push(c);
        at += c.len_utf8();
    }
    joined.into()
}
