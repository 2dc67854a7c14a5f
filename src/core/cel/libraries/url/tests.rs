//! What Go 1.26 gives for the same texts (`net/url`).

use super::super::testing::{call, charged, shown, text};
use super::*;

/// Scheme, host, host name, port, escaped path and query.
type Seen<'t> = [&'t str; 6];

#[test]
#[rustfmt::skip]
fn texts_are_read_as_go_reads_them() {
    // None when it is no URL for isURL; None in it when it is one, and url() fails all the same.
    let table: &[(&str, Option<Option<Seen<'_>>>)] = &[
        ("https://example.com/", Some(Some(["https", "example.com", "example.com", "", "/", "{}"]))),
        ("HTTPS://Example.COM/A", Some(Some(["https", "Example.COM", "Example.COM", "", "/A", "{}"]))),
        ("http://user:pass@example.com:80/path?query=val#fragment", Some(Some(["http", "example.com:80", "example.com", "80", "/path", "{query: [val]}"]))),
        ("http://u@v@h/", Some(Some(["http", "h", "h", "", "/", "{}"]))),
        ("http://a b@h/", None),
        ("http://é@h/", None),
        ("http://h:", Some(Some(["http", "h:", "h", "", "", "{}"]))),
        ("http://h:x/", None),
        ("http://h:80:90/", None),
        ("ftp://h:80:90/", Some(Some(["ftp", "h:80:90", "h:80", "90", "/", "{}"]))),
        ("http://[::1]:80/", Some(Some(["http", "[::1]:80", "::1", "80", "/", "{}"]))),
        ("http://[::1]", Some(Some(["http", "[::1]", "::1", "", "", "{}"]))),
        ("http://[::1", None),
        ("http://::1/", None),
        ("http://x[::1]/", None),
        ("http://[1.2.3.4]/", None),
        ("http://[v1.a]/", None),
        ("http://[fe80::1%25en0]:8/", Some(Some(["http", "[fe80::1%en0]:8", "fe80::1%en0", "8", "/", "{}"]))),
        ("http://[fe80::1%en0]/", None),
        ("http://[fe80::1%25%20]/", Some(Some(["http", "[fe80::1% ]", "fe80::1% ", "", "/", "{}"]))),
        ("http://[::1%25]/", None),
        ("http://[%3A%3A1]/", None),
        ("http://h%20x/", None),
        ("http://h x/", None),
        ("http://h%41/", None),
        ("http://h%C3%A9/", Some(Some(["http", "hé", "hé", "", "/", "{}"]))),
        ("http://h%ff/", Some(Some(["http", "h\u{fffd}", "h\u{fffd}", "", "/", "{}"]))),
        ("http://é/", Some(Some(["http", "é", "é", "", "/", "{}"]))),
        ("http://h<>\"'/", Some(Some(["http", "h<>\"'", "h<>\"'", "", "/", "{}"]))),
        ("http://h^/", None),
        ("http://h/a b", Some(Some(["http", "h", "h", "", "/a%20b", "{}"]))),
        ("http://h/%2f%2F", Some(Some(["http", "h", "h", "", "/%2f%2F", "{}"]))),
        ("http://h/%zz", None),
        ("http://h/%4", None),
        ("http://h/%61", Some(Some(["http", "h", "h", "", "/%61", "{}"]))),
        ("http://h/é", Some(Some(["http", "h", "h", "", "/%C3%A9", "{}"]))),
        ("http://h/%C3%A9", Some(Some(["http", "h", "h", "", "/%C3%A9", "{}"]))),
        ("http://h/[x]", Some(Some(["http", "h", "h", "", "/[x]", "{}"]))),
        ("http://h/^", Some(Some(["http", "h", "h", "", "/%5E", "{}"]))),
        ("http://h/a;b,c'(!)*", Some(Some(["http", "h", "h", "", "/a;b,c'(!)*", "{}"]))),
        ("http://h//x/../y", Some(Some(["http", "h", "h", "", "//x/../y", "{}"]))),
        ("http://h?", Some(Some(["http", "h", "h", "", "", "{}"]))),
        ("http://h??", Some(Some(["http", "h", "h", "", "", "{?: []}"]))),
        ("http://h/?a=1&b=2&a=3", Some(Some(["http", "h", "h", "", "/", "{a: [1, 3], b: [2]}"]))),
        ("http://h/?a", Some(Some(["http", "h", "h", "", "/", "{a: []}"]))),
        ("http://h/?=&=x&&", Some(Some(["http", "h", "h", "", "/", "{: [, x]}"]))),
        ("http://h/?a;b=1&c", Some(Some(["http", "h", "h", "", "/", "{c: []}"]))),
        ("http://h/?a=%zz&b=1", Some(Some(["http", "h", "h", "", "/", "{b: [1]}"]))),
        ("http://h/?a+b=c+d%2Be", Some(Some(["http", "h", "h", "", "/", "{a b: [c d+e]}"]))),
        ("http://h/?a=b=c", Some(Some(["http", "h", "h", "", "/", "{a: [b=c]}"]))),
        ("http://h/?%ff=1", Some(Some(["http", "h", "h", "", "/", "{\u{fffd}: [1]}"]))),
        ("http://h/?x?y", Some(Some(["http", "h", "h", "", "/", "{x?y: []}"]))),
        ("http://h/#", Some(Some(["http", "h", "h", "", "/", "{}"]))),
        ("http://h/#%zz", None),
        ("http://h/?#%zz", Some(None)),
        ("http://h/?q#a b'", Some(Some(["http", "h", "h", "", "/", "{q: []}"]))),
        ("http://h#f", None),
        ("/", Some(Some(["", "", "", "", "/", "{}"]))),
        ("/path", Some(Some(["", "", "", "", "/path", "{}"]))),
        ("/a b", Some(Some(["", "", "", "", "/a%20b", "{}"]))),
        ("/a:b", Some(Some(["", "", "", "", "/a:b", "{}"]))),
        ("//h/p", Some(Some(["", "h", "h", "", "/p", "{}"]))),
        ("///h/p", Some(Some(["", "", "", "", "///h/p", "{}"]))),
        ("//[bad/p", Some(None)),
        ("//u@h:1/", Some(Some(["", "h:1", "h", "1", "/", "{}"]))),
        ("*", Some(Some(["", "", "", "", "*", "{}"]))),
        ("*#f", None),
        ("", None),
        ("?", None),
        ("#", None),
        ("a", None),
        ("a/b", None),
        ("../path", None),
        (".", None),
        ("a:b", Some(Some(["a", "", "", "", "", "{}"]))),
        ("mailto:a@example.com?x=1", Some(Some(["mailto", "", "", "", "", "{x: [1]}"]))),
        ("urn:isbn:1", Some(Some(["urn", "", "", "", "", "{}"]))),
        ("data:,a b", Some(Some(["data", "", "", "", "", "{}"]))),
        ("http:", Some(Some(["http", "", "", "", "", "{}"]))),
        ("http://", Some(Some(["http", "", "", "", "", "{}"]))),
        ("http:/", Some(Some(["http", "", "", "", "/", "{}"]))),
        ("http:/p", Some(Some(["http", "", "", "", "/p", "{}"]))),
        ("http:///p", Some(Some(["http", "", "", "", "/p", "{}"]))),
        ("http://@/", Some(Some(["http", "", "", "", "/", "{}"]))),
        (":x", None),
        ("1a:b", None),
        ("a+b.c-d:/x", Some(Some(["a+b.c-d", "", "", "", "/x", "{}"]))),
        ("a_b:/x", None),
        ("http://h/\t", None),
        ("http://h/\x7f", None),
        ("file:///etc/hosts", Some(Some(["file", "", "", "", "/etc/hosts", "{}"]))),
        ("postgres://u:p%40@h1:1,h2:2/d", Some(Some(["postgres", "h1:1,h2:2", "h1:1,h2", "2", "/d", "{}"]))),
    ];
    let getters = ["getScheme", "getHost", "getHostname", "getPort", "getEscapedPath", "getQuery"];
    for (written, wanted) in table {
        assert_eq!(shown(&call("isURL", &[text(written)])), wanted.is_some().to_string(), "{written:?}");
        let url = call("url", &[text(written)]).ok();
        let seen = url.map(|url| getters.map(|getter| shown(&call(getter, std::slice::from_ref(&url)))));
        assert_eq!(seen, wanted.flatten().map(|wanted| wanted.map(str::to_owned)), "{written:?}");
    }
}

#[test]
#[rustfmt::skip]
fn urls_are_equal_when_go_writes_them_alike() {
    let table: &[(&str, &str, bool)] = &[
        ("http:", "http://", true),
        ("HTTP://h/", "http://h/", true),
        ("http://H/", "http://h/", false),
        ("http://h/a b", "http://h/a%20b", true),
        ("http://h/%61", "http://h/a", false),
        ("http://h/%2f", "http://h/%2F", false),
        ("http://h/", "http://h/#", true),
        ("http://h", "http://h/", false),
        ("http://h/", "http://h/?", false),
        ("http://u@h/", "http://u:@h/", false),
        ("http://u%41@h/", "http://uA@h/", true),
        ("http://h/#a b", "http://h/#a%20b", true),
        ("file:/p", "file:///p", false),
        ("http://é/", "http://%c3%a9/", true),
    ];
    for (a, b, wanted) in table {
        let [a, b] = [a, b].map(|written| Url::parse(written).expect("a URL"));
        assert_eq!(a.equals(&b), *wanted, "{} {}", a.text, b.text);
    }
}

#[test]
fn a_query_with_too_many_parameters_is_empty() {
    let query = |count: usize| {
        let url = call("url", &[text(&format!("/?{}", vec!["a"; count].join("&")))]).expect("a URL");
        let (query, cost) = charged("getQuery", &[url]);
        match query {
            Ok(Value::Map(map)) => (map.len(), cost),
            other => panic!("{other:?}"),
        }
    };
    let (found, cost) = query(10_000);
    assert_eq!(found, 1);
    assert!(cost > 50_000);
    assert_eq!(query(10_001).0, 0);
}

#[test]
fn faults_hold_no_values() {
    let fault = call("url", &[text("sesame")]).expect_err("no URL");
    assert!(!format!("{fault:?}").contains("sesame"));
}
