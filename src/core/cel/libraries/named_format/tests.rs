//! What Kubernetes 1.37 says about the same texts.

use super::super::testing::{call, charged, shown, text};
use super::*;

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
    start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or \
    '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LETTER_LABEL: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
    alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
    validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const NAME: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with \
    an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const KEY: &str = "a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end \
    with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. \
    'example.com/MyName')";
const VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and \
    must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for \
    validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const LONG_LABEL: &str = "must be no more than 63 characters";
const LONG_SUBDOMAIN: &str = "must be no more than 253 characters";
const DOTS: &str = "must not contain dots";

fn messages(format: &str, written: &str) -> Vec<String> {
    let format = call(&format!("format.{format}"), &[]).expect("a format");
    match call("validate", &[format, text(written)]) {
        Ok(Value::Optional(None)) => Vec::new(),
        Ok(Value::Optional(Some(list))) => match &*list {
            Value::List(list) => list.iter().map(|message| shown(&Ok(message))).collect(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
#[rustfmt::skip]
fn names_and_labels_are_judged_as_kubernetes_does() {
    let a = |n: usize| "a".repeat(n);
    let table: &[(&str, Vec<String>, &[&str])] = &[
        ("dns1123Label", vec!["a".into(), "0".into(), "a-b".into(), a(63)], &[]),
        ("dns1123Label", vec!["-a".into(), "a-".into(), "A".into(), "".into(), "é".into(), "a\n".into()], &[LABEL]),
        ("dns1123Label", vec!["a.b".into()], &[DOTS]),
        ("dns1123Label", vec![a(64)], &[LONG_LABEL]),
        ("dns1123Label", vec!["A".repeat(64)], &[LONG_LABEL, LABEL]),
        ("dns1123Label", vec!["a.".repeat(32) + "a"], &[LONG_LABEL, DOTS]),
        ("dns1123Subdomain", vec!["a.b".into(), a(253)], &[]),
        ("dns1123Subdomain", vec!["a..b".into(), ".a".into(), "a.".into(), "A".into()], &[SUBDOMAIN]),
        ("dns1123Subdomain", vec![a(254)], &[LONG_SUBDOMAIN]),
        ("dns1035Label", vec!["a".into(), "a0".into()], &[]),
        ("dns1035Label", vec!["0a".into(), "a.b".into(), "".into()], &[LETTER_LABEL]),
        ("dns1035Label", vec![a(64)], &[LONG_LABEL]),
        ("dns1123LabelPrefix", vec!["a-".into(), "--".into(), "A-".into(), a(63) + "-"], &[]),
        ("dns1123LabelPrefix", vec!["-".into(), "aA-a".into(), "-a-".into()], &[LABEL]),
        ("dns1123LabelPrefix", vec![a(64) + "-"], &[LONG_LABEL]),
        ("dns1123SubdomainPrefix", vec!["a.b-".into(), "a.-".into(), "a--".into()], &[]),
        ("dns1123SubdomainPrefix", vec!["é-".into()], &[SUBDOMAIN]),
        ("dns1035LabelPrefix", vec!["0-".into(), "a0-".into()], &[]),
        ("dns1035LabelPrefix", vec!["00-".into()], &[LETTER_LABEL]),
        ("qualifiedName", vec!["a".into(), "a/b".into(), "a/B_b.b".into()], &[]),
        ("qualifiedName", vec!["_a".into()], &[NAME]),
        ("qualifiedName", vec!["a_.b/c".into(), "A/b".into()], &[&format!("prefix part {SUBDOMAIN}")]),
        ("qualifiedName", vec!["/b".into()], &["prefix part must be non-empty"]),
        ("qualifiedName", vec!["a/".into(), "".into()], &["name part must be non-empty", NAME]),
        ("qualifiedName", vec!["/".into()], &["prefix part must be non-empty", "name part must be non-empty", NAME]),
        ("qualifiedName", vec!["a/b/c".into(), "//".into()], &[KEY]),
        ("qualifiedName", vec![a(64), "a/".to_owned() + &a(64)], &["name part must be no more than 63 bytes"]),
        ("qualifiedName", vec![a(254) + "/b"], &["prefix part must be no more than 253 bytes"]),
        ("labelValue", vec!["".into(), "a".into(), "A.b".into(), a(63)], &[]),
        ("labelValue", vec!["-a".into(), "a_".into(), "é".into()], &[VALUE]),
        ("labelValue", vec![a(64)], &["must be no more than 63 bytes"]),
        ("uri", vec!["https://a/".into(), "/a".into(), "mailto:a".into()], &[]),
        ("uri", vec!["".into()], &["parse \"\": empty url"]),
        ("uri", vec!["a".into()], &["parse \"a\": invalid URI for request"]),
        ("uri", vec![":a".into()], &["parse \":a\": missing protocol scheme"]),
        ("uri", vec!["http://a b/".into()], &["parse \"http://a b/\": invalid character \" \" in host name"]),
        ("uri", vec!["http://[::1".into()], &["parse \"http://[::1\": missing ']' in host"]),
        ("uri", vec!["http://a:b".into()], &["parse \"http://a:b\": invalid port \":b\" after host"]),
        ("uri", vec!["http://%41/".into()], &["parse \"http://%41/\": invalid URL escape \"%41\""]),
        ("uri", vec!["http://h/%zé".into()], &["parse \"http://h/%zé\": invalid URL escape \"%z\\xc3\""]),
        ("uri", vec!["/\n".into()], &["parse \"/\\n\": net/url: invalid control character in URL"]),
        ("uri", vec!["http://ü@h/".into()], &["parse \"http://ü@h/\": net/url: invalid userinfo"]),
        ("uri", vec!["http://x[::1]".into()], &["parse \"http://x[::1]\": invalid IP-literal"]),
    ];
    for (format, texts, wanted) in table {
        for written in texts {
            assert_eq!(messages(format, written), *wanted, "{format} {written:?}");
        }
    }
}

#[test]
#[rustfmt::skip]
fn formats_of_schemas_are_judged_as_kubernetes_does() {
    // Texts that comply, and texts that do not.
    let table: &[(&str, &[&str], &[&str], &str)] = &[
        (
            "uuid",
            &[
                "123e4567-e89b-12d3-a456-426614174000", "123E4567e89b12d3a456426614174000",
                "123e4567-e89b12d3-a456-426614174000",
            ],
            &[
                "123e4567--e89b-12d3-a456-426614174000", "123e4567-e89b-12d3-a456-42661417400",
                "g23e4567-e89b-12d3-a456-426614174000", "", "123e4567-e89b-12d3-a456-426614174000-",
            ],
            "does not match the UUID format",
        ),
        (
            "byte",
            &["aGVsbG8=", "aGVsbA==", "aG/+"],
            &["", "aGVsbG8", "aGVsb===", "a=Vs", "aGV-", "====", "YQ==\n"],
            "invalid base64",
        ),
        (
            "date",
            &["2024-02-29", "2000-02-29", "0000-02-29", "9999-12-31"],
            &[
                "2023-02-29", "1900-02-29", "2024-13-01", "2024-00-01", "2024-1-1", "2024-01-32", "2024-01-00",
                "02024-01-01", "2024-01-01T", "2024/01/01", "", "+2024-01-0",
            ],
            "invalid date",
        ),
        (
            "datetime",
            &[
                "2024-02-29T23:59:59Z", "2024-02-29t23:59:59z", "2024-02-29T23:59:59.5Z", "2024-02-29T23:59:59é5Z",
                "2024-02-29T23:59:59+99:99", "2024-02-29T23:59:59+02+02:00", "2024-02-29T23:59:59ZTx",
            ],
            &[
                "2024-02-29 23:59:59Z", "2024-02-29T24:00:00Z", "2024-02-29T23:60:00Z", "2024-02-29T23:59:60Z",
                "2024-02-29T23:59:59", "2024-02-29T23:59:59.Z", "2024-02-29T23:59:59+0200", "2023-02-29T23:59:59Z",
                "2024-02-29", "T", "", "2024-02-29T23:59:59\n5Z", "2024-02-29T23:59:5éZ",
            ],
            "invalid datetime",
        ),
    ];
    for (format, valid, invalid, message) in table {
        for written in *valid {
            assert_eq!(messages(format, written), [""; 0], "{format} {written:?}");
        }
        for written in *invalid {
            assert_eq!(messages(format, written), [*message], "{format} {written:?}");
        }
    }
}

#[test]
fn formats_are_found_by_name() {
    for format in FORMATS {
        let called = call(&format!("format.{}", format.name), &[]).expect("a format");
        let found = call("format.named", &[text(format.name)]).expect("an optional");
        let Value::Optional(Some(found)) = found else { panic!("{}", format.name) };
        let (Value::Opaque(found), Value::Opaque(called)) = (&*found, &called) else { panic!() };
        assert!(found.equals(&**called), "{}", format.name);
    }
    assert_eq!(shown(&call("format.named", &[text("DNS1123Label")])), "none");
    assert!(!DNS1123_LABEL.equals(&DNS1035_LABEL));
}

#[test]
fn costs_are_those_of_kubernetes() {
    let cost = |format: &str, length: usize| {
        let format = call(&format!("format.{format}"), &[]).expect("a format");
        charged("validate", &[format, text(&"a".repeat(length))]).1
    };
    assert_eq!(cost("dns1123Label", 1), 8);
    assert_eq!(cost("qualifiedName", 0), 15);
    assert_eq!(cost("uri", 1), 276);
    assert_eq!(cost("uuid", 1), 18);
    assert_eq!(cost("byte", 10), 42);
    assert_eq!(cost("datetime", 9), 18);
}
