//! Percent-encoding, by Go's rules of what must be escaped where (`net/url`).

use super::parse::Refusal;

/// A part of a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    User = 1,
    Host = 2,
    /// Of an IPv6 address.
    Zone = 4,
    Path = 8,
    Fragment = 16,
}

/// With what may not stand in this part as it is escaped.
pub(super) fn escaped(bytes: &[u8], part: Part) -> String {
    let mut text = String::with_capacity(bytes.len());
    let digit = |n: u8| char::from(b"0123456789ABCDEF"[usize::from(n)]);
    for byte in bytes {
        match must_be_escaped(*byte, part) {
            true => text.extend(['%', digit(byte >> 4), digit(byte & 15)]),
            false => text.push(char::from(*byte)),
        }
    }
    text
}

/// The bytes that a part stands for.
///
/// # Errors
/// When an escape is broken, or something stands in a host that may not.
pub(super) fn unescaped(text: &str, part: Part) -> Result<Vec<u8>, Refusal> {
    let in_host = matches!(part, Part::Host | Part::Zone);
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            let refusal =
                || Refusal::Escape(std::iter::once(b'%').chain(after.iter().copied().take(2)).collect());
            let byte = hex(after).ok_or_else(refusal)?;
            // A host may escape what is not ASCII; a zone, what a host may hold and a space; both, %.
            let allowed = match part {
                Part::Host => byte >= 0x80 || byte == b'%',
                Part::Zone => byte == b'%' || byte == b' ' || !must_be_escaped(byte, Part::Host),
                _ => true,
            };
            if !allowed {
                return Err(refusal());
            }
            bytes.push(byte);
            rest = after.get(2..).unwrap_or_default();
        } else if in_host && first.is_ascii() && must_be_escaped(*first, part) {
            return Err(Refusal::HostCharacter(char::from(*first)));
        } else {
            bytes.push(*first);
        }
    }
    Ok(bytes)
}

/// What a part of a query stands for. None when an escape is broken.
pub(super) fn query_unescaped(text: &str) -> Option<String> {
    // A query may hold anything, as a path does when it is not checked; only + is special.
    let bytes = unescaped(&text.replace('+', " "), Part::Path).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether every byte may stand in a path as it is. What people write unescaped is let through.
pub(super) fn is_escaped_path(text: &str) -> bool {
    text.bytes().all(|byte| b"!'()*[]%".contains(&byte) || !must_be_escaped(byte, Part::Path))
}

/// [`is_escaped_path`] for a fragment.
pub(super) fn is_escaped_fragment(text: &str) -> bool {
    text.bytes().all(|byte| b"'[]%".contains(&byte) || !must_be_escaped(byte, Part::Fragment))
}

fn hex(bytes: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let [high, low, ..] = bytes else { return None };
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}

fn must_be_escaped(byte: u8, part: Part) -> bool {
    ALLOWED[usize::from(byte)] & part as u8 == 0
}

/// The parts that each byte may stand in as it is.
static ALLOWED: [u8; 256] = {
    let mut table = [0; 256];
    let everywhere = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~";
    let host = b"!$&'()*+,;=:[]<>\"";
    table = with(table, everywhere, Part::User);
    table = with(table, b"$&+,;=", Part::User);
    table = with(table, everywhere, Part::Host);
    table = with(table, host, Part::Host);
    table = with(table, everywhere, Part::Zone);
    table = with(table, host, Part::Zone);
    table = with(table, everywhere, Part::Path);
    table = with(table, b"$&+,/:;=@", Part::Path);
    table = with(table, everywhere, Part::Fragment);
    with(table, b"$&+,/:;=@?!()*", Part::Fragment)
};

const fn with(mut table: [u8; 256], bytes: &[u8], part: Part) -> [u8; 256] {
    let mut n = 0;
    while n < bytes.len() {
        table[bytes[n] as usize] |= part as u8;
        n += 1;
    }
    table
}
