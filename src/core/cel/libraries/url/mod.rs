//! URLs, read as Go reads them (`net/url`), which is not how browsers do.
//!
//! In come texts of objects, out go opaque values and their parts. The list of libraries calls this, and the named
//! formats call [`parse::check`].
//!
//! Go keeps bytes that are no UTF-8 where a text escapes them (`%ff`); here they come out as U+FFFD.

mod escape;
pub(super) mod parse;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::cost::{Cost, Meter};
use super::super::fault::Fault;
use super::super::value::{Key, Opaque, Str, Value};
use super::{Function, Library, Overload};
use parse::Url;

const READ: Cost = Cost::Read { arg: 0, times: 1 };
/// Most parameters of a query; one that has more counts as empty, as in Go 1.26.
const MAX_PARAMETERS: usize = 10_000;

pub(super) const LIBRARY: Library = Library {
    name: "url",
    doc: "URLs: absolute ones such as `https://example.com/path`, or a path that starts with /.",
    upstream: "https://pkg.go.dev/k8s.io/apiserver/pkg/cel/library#URLs",
    in_admission: true,
    types: &[],
    functions: &[
        Function {
            name: "url",
            doc: "Reads a URL. Fails when the text is none.",
            examples: &["url('https://example.com/').getScheme() == 'https'"],
            overloads: &[Overload::new("url(string) -> URL", READ, url)],
        },
        Function {
            name: "isURL",
            doc: "Whether a text is a URL.",
            examples: &[
                "isURL('https://user:pass@example.com:80/path?query=val#fragment')",
                "!isURL('../path')",
            ],
            overloads: &[Overload::new("isURL(string) -> bool", READ, is_url)],
        },
        Function {
            name: "getScheme",
            doc: "What stands before the first colon, in lower case; empty for a path.",
            examples: &[
                "url('HTTPS://example.com/').getScheme() == 'https'",
                "url('/path').getScheme() == ''",
            ],
            overloads: &[Overload::new("URL.getScheme() -> string", Cost::Fixed(1), get_scheme)],
        },
        Function {
            name: "getHost",
            doc: "The host, with the port when there is one; IPv6 addresses are in brackets.",
            examples: &[
                "url('https://example.com:80/').getHost() == 'example.com:80'",
                "url('https://[::1]:80/').getHost() == '[::1]:80'",
            ],
            overloads: &[Overload::new("URL.getHost() -> string", Cost::Fixed(1), get_host)],
        },
        Function {
            name: "getHostname",
            doc: "The host without the port and without brackets.",
            examples: &["url('https://[::1]:80/').getHostname() == '::1'"],
            overloads: &[Overload::new("URL.getHostname() -> string", Cost::Fixed(1), get_hostname)],
        },
        Function {
            name: "getPort",
            doc: "The port as text; empty when there is none.",
            examples: &["url('https://example.com:80/').getPort() == '80'", "url('/path').getPort() == ''"],
            overloads: &[Overload::new("URL.getPort() -> string", Cost::Fixed(1), get_port)],
        },
        Function {
            name: "getEscapedPath",
            doc: "The path, with what must not stand in a path escaped.",
            examples: &["url('https://example.com/with space/').getEscapedPath() == '/with%20space/'"],
            overloads: &[Overload::new("URL.getEscapedPath() -> string", Cost::Fixed(1), get_escaped_path)],
        },
        Function {
            name: "getQuery",
            doc: "The parameters after the question mark, each with all its values. Parts that are wrong are left out.",
            examples: &[
                "url('https://example.com/?k=a&k=b%20c').getQuery() == {'k': ['a', 'b c']}",
                "url('https://example.com/').getQuery() == {}",
            ],
            overloads: &[Overload::new(
                "URL.getQuery() -> map(string, list(string))",
                Cost::Fixed(1),
                get_query,
            )],
        },
    ],
};

impl Opaque for Url {
    fn type_name(&self) -> &'static str {
        "kubernetes.URL"
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        (other as &dyn Any).downcast_ref::<Self>().is_some_and(|other| self.text == other.text)
    }

    fn size(&self) -> u64 {
        self.text.len() as u64
    }
}

fn url<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::Str(text)] = args else { return Err(Fault::no_such_overload("url", args)) };
    let url = Url::parse(text).map_err(|_| {
        Fault::new("the text is not a URL: url() wants one such as 'https://example.com/path' or '/path'")
    })?;
    Ok(Value::opaque(url))
}

fn is_url<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::Str(text)] = args else { return Err(Fault::no_such_overload("isURL", args)) };
    Ok(parse::check(text).is_ok().into())
}

fn get_scheme<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    part("getScheme", args, |url| url.scheme.clone())
}

fn get_host<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    part("getHost", args, |url| url.host.clone())
}

fn get_hostname<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    let url = only("getHostname", args)?;
    meter.charge(url.host.len() as u64 / 10)?;
    Ok(Value::text(url.hostname_and_port().0))
}

fn get_port<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    let url = only("getPort", args)?;
    meter.charge(url.host.len() as u64 / 10)?;
    Ok(Value::text(url.hostname_and_port().1))
}

fn get_escaped_path<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    part("getEscapedPath", args, |url| url.escaped_path.clone())
}

fn get_query<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    let query = &only("getQuery", args)?.raw_query;
    meter.charge(query.len() as u64 / 10)?;
    let mut parameters: BTreeMap<String, Vec<Value<'a>>> = BTreeMap::new();
    if query.bytes().filter(|b| *b == b'&').count() < MAX_PARAMETERS {
        for pair in query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')) {
            // What making the text, the list and the entry takes.
            meter.charge(5)?;
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if let Some((key, value)) = escape::query_unescaped(key).zip(escape::query_unescaped(value)) {
                parameters.entry(key).or_default().push(Value::text(value));
            }
        }
    }
    let entries = parameters.into_iter();
    Ok(Value::map(
        entries.map(|(key, values)| (Key::Str(Str::Made(key.into())), Value::list(values))).collect(),
    ))
}

fn only<'v>(name: &str, args: &'v [Value<'_>]) -> Result<&'v Url, Fault> {
    match args {
        [url] => url.downcast(),
        _ => None,
    }
    .ok_or_else(|| Fault::no_such_overload(name, args))
}

fn part<'a>(name: &str, args: &[Value<'a>], get: fn(&Url) -> Arc<str>) -> Result<Value<'a>, Fault> {
    only(name, args).map(|url| Value::text(get(url)))
}
