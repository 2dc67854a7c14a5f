//! Versions: `1.2.3-rc.1+build`, with the order of <https://semver.org>.
//!
//! Kubernetes reads them with `github.com/blang/semver/v4`, this program with the crate `semver`; they accept the
//! same texts but for numbers in a pre-release that do not fit 64 bits, which are refused here as well.

use std::any::Any;
use std::borrow::Cow;
use std::cmp::Ordering;

use semver::Version;

use super::super::cost::{Cost, Meter};
use super::super::fault::Fault;
use super::super::value::{Opaque, Value};
use super::{Function, Library, Overload};

const READ: Cost = Cost::Read { arg: 0, times: 1 };

pub(super) const LIBRARY: Library = Library {
    name: "semver",
    doc: "Semantic versions such as `1.2.3-rc.1`.",
    upstream: "https://pkg.go.dev/k8s.io/apiserver/pkg/cel/library#SemverLib",
    in_admission: true,
    types: &[],
    functions: &[
        Function {
            name: "semver",
            doc: "Reads a version: major.minor.patch, perhaps with a pre-release and a build. With true as second \
                  argument a leading v, leading zeros and missing parts are allowed. Fails when the text is none.",
            examples: &[
                "semver('1.2.3').major() == 1",
                "semver('v01.2', true) == semver('1.2.0')",
                "semver('1.2.3+a') == semver('1.2.3+b')",
            ],
            overloads: &[
                Overload::new("semver(string) -> Semver", READ, semver),
                Overload::new("semver(string, bool) -> Semver", READ, semver),
            ],
        },
        Function {
            name: "isSemver",
            doc: "Whether a text is a version. With true as second argument a leading v, leading zeros and missing \
                  parts are allowed.",
            examples: &["isSemver('1.2.3')", "!isSemver('v1.2')", "isSemver('v1.2', true)"],
            overloads: &[
                Overload::new("isSemver(string) -> bool", READ, is_semver),
                Overload::new("isSemver(string, bool) -> bool", READ, is_semver),
            ],
        },
        Function {
            name: "major",
            doc: "The first number.",
            examples: &["semver('1.2.3').major() == 1"],
            overloads: &[Overload::new("Semver.major() -> int", Cost::Fixed(1), major)],
        },
        Function {
            name: "minor",
            doc: "The second number.",
            examples: &["semver('1.2.3').minor() == 2"],
            overloads: &[Overload::new("Semver.minor() -> int", Cost::Fixed(1), minor)],
        },
        Function {
            name: "patch",
            doc: "The third number.",
            examples: &["semver('1.2.3').patch() == 3"],
            overloads: &[Overload::new("Semver.patch() -> int", Cost::Fixed(1), patch)],
        },
        Function {
            name: "isLessThan",
            doc: "Whether a version comes before another. The build does not count.",
            examples: &["semver('1.2.3-rc.1').isLessThan(semver('1.2.3'))"],
            overloads: &[Overload::new("Semver.isLessThan(Semver) -> bool", Cost::Fixed(1), is_less_than)],
        },
        Function {
            name: "isGreaterThan",
            doc: "Whether a version comes after another. The build does not count.",
            examples: &["semver('1.10.0').isGreaterThan(semver('1.9.0'))"],
            overloads: &[Overload::new(
                "Semver.isGreaterThan(Semver) -> bool",
                Cost::Fixed(1),
                is_greater_than,
            )],
        },
        Function {
            name: "compareTo",
            doc: "0 when two versions are equal, -1 when the first comes before, 1 when it comes after.",
            examples: &["semver('1.2.3').compareTo(semver('1.2.4')) == -1"],
            overloads: &[Overload::new("Semver.compareTo(Semver) -> int", Cost::Fixed(1), compare_to)],
        },
    ],
};

/// A version as a value.
#[derive(Debug)]
struct Semver(Version);

impl Opaque for Semver {
    fn type_name(&self) -> &'static str {
        "kubernetes.Semver"
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        (other as &dyn Any)
            .downcast_ref::<Self>()
            .is_some_and(|other| self.0.cmp_precedence(&other.0).is_eq())
    }

    fn size(&self) -> u64 {
        self.0.pre.len().max(1) as u64
    }
}

fn semver<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let version = read("semver", args)?.ok_or_else(|| {
        Fault::new(
            "the text is not a version: semver() wants major.minor.patch such as '1.2.3-rc.1'; \
             with true as second argument it takes 'v1.2' as well",
        )
    })?;
    Ok(Value::opaque(Semver(version)))
}

fn is_semver<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    Ok(read("isSemver", args)?.is_some().into())
}

fn major<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    number("major", args, |version| version.major)
}

fn minor<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    number("minor", args, |version| version.minor)
}

fn patch<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    number("patch", args, |version| version.patch)
}

fn is_less_than<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    Ok(compare("isLessThan", args, meter)?.is_lt().into())
}

fn is_greater_than<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    Ok(compare("isGreaterThan", args, meter)?.is_gt().into())
}

fn compare_to<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    Ok((compare("compareTo", args, meter)? as i64).into())
}

fn read(name: &str, args: &[Value<'_>]) -> Result<Option<Version>, Fault> {
    match args {
        [Value::Str(text)] | [Value::Str(text), Value::Bool(false)] => Ok(parse(text)),
        [Value::Str(text), Value::Bool(true)] => Ok(normalized(text).and_then(|text| parse(&text))),
        _ => Err(Fault::no_such_overload(name, args)),
    }
}

fn parse(text: &str) -> Option<Version> {
    let numeric = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let version = Version::parse(text).ok()?;
    let pre = version.pre.as_str();
    let fits = pre.is_empty() || pre.split('.').all(|part| !numeric(part) || part.parse::<u64>().is_ok());
    fits.then_some(version)
}

/// Without a leading v and leading zeros, and with all three numbers. None for a short version with a pre-release.
fn normalized(text: &str) -> Option<String> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let mut parts: Vec<Cow<'_, str>> = text.splitn(3, '.').map(without_leading_zeros).collect();
    if parts.len() < 3 && parts.last()?.contains(['+', '-']) {
        return None;
    }
    parts.resize(3, "0".into());
    Some(parts.join("."))
}

fn without_leading_zeros(part: &str) -> Cow<'_, str> {
    let rest = part.trim_start_matches('0');
    if part.len() <= 1 || rest.starts_with(|c: char| c.is_ascii_digit()) {
        return if part.len() <= 1 { part } else { rest }.into();
    }
    format!("0{rest}").into()
}

fn number<'a>(name: &str, args: &[Value<'a>], get: fn(&Version) -> u64) -> Result<Value<'a>, Fault> {
    let version = match args {
        [version] => version.downcast::<Semver>(),
        _ => None,
    };
    // As in Kubernetes, a number above the largest int comes out negative.
    version.map(|version| (get(&version.0) as i64).into()).ok_or_else(|| Fault::no_such_overload(name, args))
}

fn compare(name: &str, args: &[Value<'_>], meter: &mut Meter) -> Result<Ordering, Fault> {
    let versions = match args {
        [a, b] => a.downcast::<Semver>().zip(b.downcast::<Semver>()),
        _ => None,
    };
    let (a, b) = versions.ok_or_else(|| Fault::no_such_overload(name, args))?;
    meter.charge(a.size().min(b.size()) / 10)?;
    Ok(a.0.cmp_precedence(&b.0))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{call, charged, shown, text};
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn texts_are_read_as_kubernetes_reads_them() {
        // The three numbers, read as it is and with true as second argument.
        let table: &[(&str, &str, &str)] = &[
            ("1.2.3", "1 2 3", "1 2 3"),
            ("0.0.0", "0 0 0", "0 0 0"),
            ("1.2", "err", "1 2 0"),
            ("1", "err", "1 0 0"),
            ("v1.2.3", "err", "1 2 3"),
            ("V1.2.3", "err", "err"),
            ("1.2.3.4", "err", "err"),
            ("01.2.3", "err", "1 2 3"),
            ("1.02.3", "err", "1 2 3"),
            ("1.2.03", "err", "1 2 3"),
            ("1.2.3-rc.1", "1 2 3", "1 2 3"),
            ("1.2.3-", "err", "err"),
            ("1.2.3-01", "err", "err"),
            ("1.2.3-0a", "1 2 3", "1 2 3"),
            ("1.2.3--", "1 2 3", "1 2 3"),
            ("1.2.3-a..b", "err", "err"),
            ("1.2.3-a_b", "err", "err"),
            ("1.2.3-é", "err", "err"),
            ("1.2.3+001", "1 2 3", "1 2 3"),
            ("1.2.3+", "err", "err"),
            ("1.2.3+a+b", "err", "err"),
            ("1.2.3-a+b-c", "1 2 3", "1 2 3"),
            ("18446744073709551615.0.0", "-1 0 0", "-1 0 0"),
            ("18446744073709551616.0.0", "err", "err"),
            ("1.2.3-18446744073709551615", "1 2 3", "1 2 3"),
            ("1.2.3-18446744073709551616", "err", "err"),
            ("", "err", "err"),
            (".", "err", "err"),
            ("..", "err", "err"),
            ("1..3", "err", "err"),
            (" 1.2.3", "err", "err"),
            ("1.2.3 ", "err", "err"),
            ("-1.2.3", "err", "err"),
            ("+1.2.3", "err", "err"),
            ("v", "err", "err"),
            ("v1", "err", "1 0 0"),
            ("v01.002", "err", "1 2 0"),
            ("v1.2-rc", "err", "err"),
            ("v1.2+b", "err", "err"),
            ("1.2.3-rc", "1 2 3", "1 2 3"),
            ("00.00.00-rc", "err", "0 0 0"),
            ("1.2.0-00", "err", "err"),
            ("vv1.2.3", "err", "err"),
            ("1.x.3", "err", "err"),
            ("x", "err", "err"),
        ];
        for (written, strict, normalized) in table {
            let plain = [text(written)];
            let with = |normalize: bool| [text(written), normalize.into()];
            for (args, wanted) in [(&plain[..], strict), (&with(false), strict), (&with(true), normalized)] {
                let version = call("semver", args);
                assert_eq!(shown(&call("isSemver", args)), version.is_ok().to_string(), "{written}");
                let numbers = version.map_or("err".to_owned(), |version| {
                    ["major", "minor", "patch"].map(|name| shown(&call(name, std::slice::from_ref(&version)))).join(" ")
                });
                assert_eq!(numbers, *wanted, "{written}");
            }
        }
    }

    #[test]
    fn versions_have_the_order_of_the_standard() {
        let ordered = [
            "0.9.9",
            "1.0.0-0",
            "1.0.0-9",
            "1.0.0-10",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.1",
            "1.9.0",
            "1.10.0",
        ];
        let versions = ordered.map(|written| call("semver", &[text(written)]).expect("a version"));
        for (n, a) in versions.iter().enumerate() {
            for (m, b) in versions.iter().enumerate() {
                let pair = [a.clone(), b.clone()];
                assert_eq!(shown(&call("compareTo", &pair)), (n.cmp(&m) as i64).to_string());
                assert_eq!(shown(&call("isLessThan", &pair)), (n < m).to_string());
                assert_eq!(shown(&call("isGreaterThan", &pair)), (n > m).to_string());
                let [Value::Opaque(a), Value::Opaque(b)] = &pair else { panic!() };
                assert_eq!(a.equals(&**b), n == m);
            }
        }
    }

    #[test]
    fn builds_do_not_count_and_long_versions_are_charged() {
        let read = |written: &str| call("semver", &[text(written)]).expect("a version");
        assert_eq!(shown(&call("compareTo", &[read("1.0.0+a"), read("1.0.0+b")])), "0");
        assert_eq!(charged("compareTo", &[read("1.0.0-rc"), read("1.0.0-rc")]).1, 1);
        let long = read(&format!("1.0.0-{}", "a".repeat(1000)));
        assert_eq!(charged("compareTo", &[long.clone(), long]).1, 101);
    }

    #[test]
    fn faults_hold_no_values() {
        let fault = call("semver", &[text("sesame")]).expect_err("no version");
        assert!(!format!("{fault:?}").contains("sesame"));
    }
}
