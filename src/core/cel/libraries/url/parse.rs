//! Reading a URL, by the rules of Go's `url.ParseRequestURI` and `url.Parse`.

use core::net::{IpAddr, Ipv6Addr};
use std::fmt;
use std::sync::Arc;

use super::escape::{Part, escaped, is_escaped_fragment, is_escaped_path, unescaped};

/// The parts of a URL that functions give.
#[derive(Debug)]
pub(super) struct Url {
    /// In lower case; empty for a path.
    pub(super) scheme: Arc<str>,
    /// With the port.
    pub(super) host: Arc<str>,
    pub(super) escaped_path: Arc<str>,
    /// Between ? and #.
    pub(super) raw_query: String,
    /// The whole, written one way: equal for equal URLs.
    pub(super) text: String,
}

/// Why a text is not a URL, in the words of Go, which `format.uri().validate()` shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Refusal {
    Control,
    Empty,
    NoScheme,
    NotAbsolute,
    ColonInFirstSegment,
    User,
    Bracket,
    NoClosingBracket,
    /// What stands in the brackets, which is no address.
    Address(Vec<u8>),
    Port(String),
    Escape(Vec<u8>),
    HostCharacter(char),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Control => f.write_str("net/url: invalid control character in URL"),
            Self::Empty => f.write_str("empty url"),
            Self::NoScheme => f.write_str("missing protocol scheme"),
            Self::NotAbsolute => f.write_str("invalid URI for request"),
            Self::ColonInFirstSegment => f.write_str("first path segment in URL cannot contain colon"),
            Self::User => f.write_str("net/url: invalid userinfo"),
            Self::Bracket => f.write_str("invalid IP-literal"),
            Self::NoClosingBracket => f.write_str("missing ']' in host"),
            // Go goes on to say what is wrong with the address.
            Self::Address(text) => write!(f, "invalid host: ParseAddr({}): unable to parse IP", quoted(text)),
            Self::Port(text) => write!(f, "invalid port {} after host", quoted(text.as_bytes())),
            Self::Escape(text) => write!(f, "invalid URL escape {}", quoted(text)),
            Self::HostCharacter(c) => {
                write!(f, "invalid character {} in host name", quoted(c.encode_utf8(&mut [0; 4]).as_bytes()))
            }
        }
    }
}

/// Whether a text is a URL, in the sense of `isURL`.
///
/// # Errors
/// What is wrong with it.
pub(in super::super) fn check(text: &str) -> Result<(), Refusal> {
    Parts::read(text, true).map(drop)
}

/// A text in quotes, as Go writes it.
pub(in super::super) fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from('"');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => text.extend(['\\', c]),
                '\x07' => text.push_str("\\a"),
                '\x08' => text.push_str("\\b"),
                '\x0c' => text.push_str("\\f"),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                '\x0b' => text.push_str("\\v"),
                c if c < ' ' || c == '\x7f' => text.push_str(&format!("\\x{:02x}", u32::from(c))),
                '\'' => text.push(c),
                c if c.escape_debug().count() == 1 => text.push(c),
                c if u32::from(c) < 0x1_0000 => text.push_str(&format!("\\u{:04x}", u32::from(c))),
                c => text.push_str(&format!("\\U{:08x}", u32::from(c))),
            }
        }
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    text.push('"');
    text
}

impl Url {
    /// Reads a URL. As in Kubernetes it is one for `url.ParseRequestURI`, which knows no fragments, and then read by
    /// `url.Parse`, which does.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        check(text)?;
        let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
        let parts = Parts::read(text, false)?;
        let fragment_bytes = unescaped(fragment, Part::Fragment)?;
        let escaped_path = parts.escaped_path();
        let mut text = parts.without_fragment(&escaped_path);
        if !fragment.is_empty() {
            text.push('#');
            match is_escaped_fragment(fragment) {
                true => text.push_str(fragment),
                false => text.push_str(&escaped(&fragment_bytes, Part::Fragment)),
            }
        }
        Ok(Self {
            scheme: parts.scheme.into(),
            host: String::from_utf8_lossy(&parts.host).into(),
            escaped_path: escaped_path.into(),
            raw_query: parts.query.unwrap_or_default().to_owned(),
            text,
        })
    }

    /// The host without port and brackets, and the port.
    pub(super) fn hostname_and_port(&self) -> (&str, &str) {
        let split = self.host.rsplit_once(':').filter(|(_, port)| is_port(port));
        let (name, port) = split.unwrap_or((&self.host, ""));
        (name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name), port)
    }
}

/// A URL without its fragment, taken apart.
#[derive(Default)]
struct Parts<'t> {
    scheme: String,
    /// What follows a scheme without a slash, as in `mailto:a@example.com`.
    opaque: &'t str,
    /// The name and, when there is one, the password, not escaped.
    user: Option<(Vec<u8>, Option<Vec<u8>>)>,
    /// Not escaped.
    host: Vec<u8>,
    /// Whether `//` stands before the host, which may be empty.
    had_slashes: bool,
    path: &'t str,
    path_bytes: Vec<u8>,
    /// None without a question mark.
    query: Option<&'t str>,
}

impl<'t> Parts<'t> {
    /// Takes a text apart; `request` as `url.ParseRequestURI`, else as `url.Parse`.
    fn read(text: &'t str, request: bool) -> Result<Self, Refusal> {
        if text.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(Refusal::Control);
        }
        if text.is_empty() && request {
            return Err(Refusal::Empty);
        }
        if text == "*" {
            return Ok(Self { path: text, path_bytes: text.into(), ..Self::default() });
        }
        let (scheme, rest) = scheme(text)?;
        let mut parts = Self { scheme: scheme.to_ascii_lowercase(), ..Self::default() };
        let (mut rest, query) =
            rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        parts.query = query;
        if !rest.starts_with('/') {
            if !scheme.is_empty() {
                parts.opaque = rest;
                return Ok(parts);
            }
            if request {
                return Err(Refusal::NotAbsolute);
            }
            if rest.split('/').next().is_some_and(|segment| segment.contains(':')) {
                return Err(Refusal::ColonInFirstSegment);
            }
        }
        let has_authority = !scheme.is_empty() || (!request && !rest.starts_with("///"));
        if let Some(after) = rest.strip_prefix("//").filter(|_| has_authority) {
            let (authority, path) = after.split_at(after.find('/').unwrap_or(after.len()));
            parts.read_authority(authority)?;
            parts.had_slashes = true;
            rest = path;
        }
        parts.path = rest;
        parts.path_bytes = unescaped(rest, Part::Path)?;
        Ok(parts)
    }

    fn read_authority(&mut self, authority: &str) -> Result<(), Refusal> {
        let Some((user, host)) = authority.rsplit_once('@') else {
            self.host = read_host(authority, &self.scheme)?;
            return Ok(());
        };
        self.host = read_host(host, &self.scheme)?;
        if !user.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&b)) {
            return Err(Refusal::User);
        }
        let (name, password) = user.split_once(':').map_or((user, None), |(name, word)| (name, Some(word)));
        let name = unescaped(name, Part::User)?;
        let password = password.map(|password| unescaped(password, Part::User)).transpose()?;
        self.user = Some((name, password));
        Ok(())
    }

    fn escaped_path(&self) -> String {
        match is_escaped_path(self.path) {
            true => self.path.to_owned(),
            false => escaped(&self.path_bytes, Part::Path),
        }
    }

    /// The URL as text. What makes no difference to Go (`http:` and `http://`) makes none here.
    fn without_fragment(&self, escaped_path: &str) -> String {
        let mut text = String::new();
        if !self.scheme.is_empty() {
            text.push_str(&self.scheme);
            text.push(':');
        }
        if self.opaque.is_empty() {
            self.write_authority(&mut text);
            text.push_str(escaped_path);
        } else {
            text.push_str(self.opaque);
        }
        if let Some(query) = self.query {
            text.push('?');
            text.push_str(query);
        }
        text
    }

    fn write_authority(&self, text: &mut String) {
        let none = self.host.is_empty() && self.user.is_none();
        if none && (self.scheme.is_empty() || !self.had_slashes) {
            return;
        }
        if !none || !self.path.is_empty() {
            text.push_str("//");
        }
        if let Some((name, password)) = &self.user {
            text.push_str(&escaped(name, Part::User));
            if let Some(password) = password {
                text.push(':');
                text.push_str(&escaped(password, Part::User));
            }
            text.push('@');
        }
        text.push_str(&escaped(&self.host, Part::Host));
    }
}

/// The scheme and what follows its colon; no scheme and all of it when there is none.
fn scheme(text: &str) -> Result<(&str, &str), Refusal> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c))).unwrap_or(text.len());
    match text[end..].strip_prefix(':') {
        Some(_) if end == 0 => Err(Refusal::NoScheme),
        Some(rest) if text.starts_with(|c: char| c.is_ascii_alphabetic()) => Ok((&text[..end], rest)),
        _ => Ok(("", text)),
    }
}

fn read_host(host: &str, scheme: &str) -> Result<Vec<u8>, Refusal> {
    match host.rfind('[') {
        Some(0) => {
            let (address, port) = host[1..].rsplit_once(']').ok_or(Refusal::NoClosingBracket)?;
            check_port(port)?;
            let mut bytes = vec![b'['];
            let (address, zone) = address.split_at(address.find("%25").unwrap_or(address.len()));
            bytes.extend(unescaped(address, Part::Host)?);
            bytes.extend(unescaped(zone, Part::Zone)?);
            check_address(&bytes[1..])?;
            bytes.push(b']');
            bytes.extend(port.bytes());
            Ok(bytes)
        }
        Some(_) => Err(Refusal::Bracket),
        None => {
            // Some schemes have several hosts; only http takes the first colon for that of the port.
            let colon = if matches!(scheme, "http" | "https") { host.find(':') } else { host.rfind(':') };
            check_port(colon.map_or("", |colon| &host[colon..]))?;
            unescaped(host, Part::Host)
        }
    }
}

fn check_port(port: &str) -> Result<(), Refusal> {
    match port.is_empty() || port.strip_prefix(':').is_some_and(is_port) {
        true => Ok(()),
        false => Err(Refusal::Port(port.to_owned())),
    }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether an IPv6 address stands in the brackets, with or without a zone.
fn check_address(bytes: &[u8]) -> Result<(), Refusal> {
    let text = str::from_utf8(bytes).map_err(|_| Refusal::Address(bytes.into()))?;
    let valid = match text.split_once('%') {
        Some((address, zone)) => !zone.is_empty() && address.parse::<Ipv6Addr>().is_ok(),
        None => match text.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => return Err(Refusal::Bracket),
            other => other.is_ok(),
        },
    };
    if valid { Ok(()) } else { Err(Refusal::Address(bytes.into())) }
}
