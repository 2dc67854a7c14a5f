//! Named formats: what Kubernetes demands of names, labels and a few formats of schemas, and what it says when a text
//! does not comply.
//!
//! The rules and the messages, which expressions may show, are those of `k8s.io/apimachinery/pkg/util/validation`,
//! `k8s.io/apimachinery/pkg/api/validate/content` and `k8s.io/kube-openapi/pkg/validation/strfmt`.

mod rules;
#[cfg(test)]
mod tests;

use std::any::Any;

use super::super::cost::{Cost, Meter};
use super::super::fault::Fault;
use super::super::value::{Opaque, Value};
use super::{Function, Library, Overload};

pub(super) const LIBRARY: Library = Library {
    name: "format",
    doc: "Named formats: what Kubernetes demands of names and labels, to be asked with `validate`.",
    upstream: "https://pkg.go.dev/k8s.io/apiserver/pkg/cel/library#Format",
    in_admission: true,
    types: &[],
    functions: &[
        Function {
            name: "validate",
            doc: "What is wrong with a text: none when it complies with the format, else a list of messages.",
            examples: &[
                "!format.dns1123Label().validate('my-name').hasValue()",
                "format.dns1123Label().validate('my.name').value() == ['must not contain dots']",
            ],
            overloads: &[Overload::new(
                "NamedFormat.validate(string) -> optional(list(string))",
                // The rest depends on the format.
                Cost::Read { arg: 1, times: 1 },
                validate,
            )],
        },
        Function {
            name: "format.named",
            doc: "The format of this name; none when there is none.",
            examples: &[
                "format.named('labelValue').value() == format.labelValue()",
                "!format.named('other').hasValue()",
            ],
            overloads: &[Overload::new(
                "format.named(string) -> optional(NamedFormat)",
                Cost::Fixed(1),
                named,
            )],
        },
        Function {
            name: "format.dns1123Label",
            doc: "A DNS label: at most 63 bytes of a-z, 0-9 and -, the ends a letter or digit.",
            examples: &[
                "!format.dns1123Label().validate('my-name').hasValue()",
                "format.dns1123Label().validate('My.Name').hasValue()",
            ],
            overloads: &[Overload::new("format.dns1123Label() -> NamedFormat", Cost::Fixed(1), |_, _| {
                of(DNS1123_LABEL)
            })],
        },
        Function {
            name: "format.dns1123Subdomain",
            doc: "A DNS subdomain: DNS labels with dots between, at most 253 bytes.",
            examples: &[
                "!format.dns1123Subdomain().validate('example.com').hasValue()",
                "format.dns1123Subdomain().validate('Example.com').hasValue()",
            ],
            overloads: &[Overload::new(
                "format.dns1123Subdomain() -> NamedFormat",
                Cost::Fixed(1),
                |_, _| of(DNS1123_SUBDOMAIN),
            )],
        },
        Function {
            name: "format.dns1035Label",
            doc: "A DNS label that starts with a letter.",
            examples: &[
                "!format.dns1035Label().validate('my-name').hasValue()",
                "format.dns1035Label().validate('1-name').hasValue()",
            ],
            overloads: &[Overload::new("format.dns1035Label() -> NamedFormat", Cost::Fixed(1), |_, _| {
                of(DNS1035_LABEL)
            })],
        },
        Function {
            name: "format.qualifiedName",
            doc: "The key of a label: a name, perhaps with a DNS subdomain and / in front.",
            examples: &[
                "!format.qualifiedName().validate('example.com/MyName').hasValue()",
                "format.qualifiedName().validate('example.com/').hasValue()",
            ],
            overloads: &[Overload::new("format.qualifiedName() -> NamedFormat", Cost::Fixed(1), |_, _| {
                of(QUALIFIED_NAME)
            })],
        },
        Function {
            name: "format.dns1123LabelPrefix",
            doc: "The start of a DNS label: it may end in -.",
            examples: &[
                "!format.dns1123LabelPrefix().validate('my-').hasValue()",
                "format.dns1123LabelPrefix().validate('-my').hasValue()",
            ],
            overloads: &[Overload::new(
                "format.dns1123LabelPrefix() -> NamedFormat",
                Cost::Fixed(1),
                |_, _| of(DNS1123_LABEL_PREFIX),
            )],
        },
        Function {
            name: "format.dns1123SubdomainPrefix",
            doc: "The start of a DNS subdomain: it may end in -.",
            examples: &[
                "!format.dns1123SubdomainPrefix().validate('example.my-').hasValue()",
                "format.dns1123SubdomainPrefix().validate('Example-').hasValue()",
            ],
            overloads: &[Overload::new(
                "format.dns1123SubdomainPrefix() -> NamedFormat",
                Cost::Fixed(1),
                |_, _| of(DNS1123_SUBDOMAIN_PREFIX),
            )],
        },
        Function {
            name: "format.dns1035LabelPrefix",
            doc: "The start of a DNS label that starts with a letter: it may end in -.",
            examples: &[
                "!format.dns1035LabelPrefix().validate('my-').hasValue()",
                "format.dns1035LabelPrefix().validate('1a-').hasValue()",
            ],
            overloads: &[Overload::new(
                "format.dns1035LabelPrefix() -> NamedFormat",
                Cost::Fixed(1),
                |_, _| of(DNS1035_LABEL_PREFIX),
            )],
        },
        Function {
            name: "format.labelValue",
            doc: "The value of a label: at most 63 bytes of letters, digits, -, _ and ., the ends a letter or digit; or empty.",
            examples: &[
                "!format.labelValue().validate('my_value').hasValue()",
                "format.labelValue().validate('-my').hasValue()",
            ],
            overloads: &[Overload::new("format.labelValue() -> NamedFormat", Cost::Fixed(1), |_, _| {
                of(LABEL_VALUE)
            })],
        },
        Function {
            name: "format.uri",
            doc: "A URL, as isURL() has it.",
            examples: &[
                "!format.uri().validate('https://example.com/a').hasValue()",
                "format.uri().validate('../a').hasValue()",
            ],
            overloads: &[Overload::new("format.uri() -> NamedFormat", Cost::Fixed(1), |_, _| of(URI))],
        },
        Function {
            name: "format.uuid",
            doc: "A UUID, with or without dashes.",
            examples: &[
                "!format.uuid().validate('123e4567-e89b-12d3-a456-426614174000').hasValue()",
                "format.uuid().validate('123e4567').hasValue()",
            ],
            overloads: &[Overload::new("format.uuid() -> NamedFormat", Cost::Fixed(1), |_, _| of(UUID))],
        },
        Function {
            name: "format.byte",
            doc: "Base64 with padding; not empty.",
            examples: &[
                "!format.byte().validate('aGVsbG8=').hasValue()",
                "format.byte().validate('aGVsbG8').hasValue()",
            ],
            overloads: &[Overload::new("format.byte() -> NamedFormat", Cost::Fixed(1), |_, _| of(BYTE))],
        },
        Function {
            name: "format.date",
            doc: "A date such as 2006-01-02.",
            examples: &[
                "!format.date().validate('2024-02-29').hasValue()",
                "format.date().validate('2023-02-29').hasValue()",
            ],
            overloads: &[Overload::new("format.date() -> NamedFormat", Cost::Fixed(1), |_, _| of(DATE))],
        },
        Function {
            name: "format.datetime",
            doc: "A date and time such as 2006-01-02T15:04:05Z.",
            examples: &[
                "!format.datetime().validate('2024-02-29T15:04:05.5+02:00').hasValue()",
                "format.datetime().validate('2024-02-29').hasValue()",
            ],
            overloads: &[Overload::new("format.datetime() -> NamedFormat", Cost::Fixed(1), |_, _| {
                of(DATETIME)
            })],
        },
    ],
};

/// A format as a value.
#[derive(Debug, Clone, Copy)]
struct NamedFormat {
    /// What expressions call it.
    name: &'static str,
    /// The messages for a text; none when it complies.
    check: fn(&str) -> Vec<String>,
    /// How long the regular expression is that Kubernetes checks it with, or takes for the cost.
    weight: u64,
}

const DNS1123_LABEL: NamedFormat =
    NamedFormat { name: "dns1123Label", check: rules::dns1123_label, weight: 30 };
const DNS1123_SUBDOMAIN: NamedFormat =
    NamedFormat { name: "dns1123Subdomain", check: rules::dns1123_subdomain, weight: 60 };
const DNS1035_LABEL: NamedFormat =
    NamedFormat { name: "dns1035Label", check: rules::dns1035_label, weight: 30 };
const QUALIFIED_NAME: NamedFormat =
    NamedFormat { name: "qualifiedName", check: rules::qualified_name, weight: 60 };
const DNS1123_LABEL_PREFIX: NamedFormat =
    NamedFormat { name: "dns1123LabelPrefix", check: rules::dns1123_label_prefix, weight: 30 };
const DNS1123_SUBDOMAIN_PREFIX: NamedFormat =
    NamedFormat { name: "dns1123SubdomainPrefix", check: rules::dns1123_subdomain_prefix, weight: 60 };
const DNS1035_LABEL_PREFIX: NamedFormat =
    NamedFormat { name: "dns1035LabelPrefix", check: rules::dns1035_label_prefix, weight: 30 };
const LABEL_VALUE: NamedFormat = NamedFormat { name: "labelValue", check: rules::label_value, weight: 40 };
const URI: NamedFormat = NamedFormat { name: "uri", check: rules::uri, weight: 1103 };
const UUID: NamedFormat = NamedFormat { name: "uuid", check: rules::uuid, weight: 70 };
const BYTE: NamedFormat = NamedFormat { name: "byte", check: rules::byte, weight: 84 };
const DATE: NamedFormat = NamedFormat { name: "date", check: rules::date, weight: 71 };
const DATETIME: NamedFormat = NamedFormat { name: "datetime", check: rules::datetime, weight: 71 };

const FORMATS: [NamedFormat; 13] = [
    DNS1123_LABEL,
    DNS1123_SUBDOMAIN,
    DNS1035_LABEL,
    QUALIFIED_NAME,
    DNS1123_LABEL_PREFIX,
    DNS1123_SUBDOMAIN_PREFIX,
    DNS1035_LABEL_PREFIX,
    LABEL_VALUE,
    URI,
    UUID,
    BYTE,
    DATE,
    DATETIME,
];

impl Opaque for NamedFormat {
    fn type_name(&self) -> &'static str {
        "kubernetes.NamedFormat"
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        (other as &dyn Any).downcast_ref::<Self>().is_some_and(|other| self.name == other.name)
    }
}

fn validate<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    let [format, Value::Str(text)] = args else { return Err(Fault::no_such_overload("validate", args)) };
    let format = format.downcast::<NamedFormat>().ok_or_else(|| Fault::no_such_overload("validate", args))?;
    // A tenth of the text, which is already charged, times a quarter of the regular expression.
    let length = text.len() as u64;
    meter.charge((1 + length).div_ceil(10) * format.weight.div_ceil(4) - length.div_ceil(10))?;
    let messages = (format.check)(text);
    Ok(match messages.is_empty() {
        true => Value::Optional(None),
        false => Value::some(Value::list(messages.into_iter().map(Value::text).collect())),
    })
}

fn named<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::Str(name)] = args else { return Err(Fault::no_such_overload("format.named", args)) };
    let format = FORMATS.iter().find(|format| format.name == &**name);
    Ok(format.map_or(Value::Optional(None), |format| Value::some(Value::opaque(*format))))
}

fn of<'a>(format: NamedFormat) -> Result<Value<'a>, Fault> {
    Ok(Value::opaque(format))
}
