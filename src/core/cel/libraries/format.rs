//! `format`: values in place of verbs, as cel-go 0.29.2 does it up to version 3 of its extension.
//!
//! There `%f` and `%e` go through the locale `en_US` of golang.org/x/text: thousands have commas, exponents are
//! written as powers of ten in superscript, infinity is `∞`; and what stands as the precision of `%e` is the least
//! width, while there are always six digits. All of this is as it is in a kube-apiserver.

use super::super::cost::Meter;
use super::super::fault::Fault;
use super::super::types::Type;
use super::super::value::{List, Map, Value};
use super::conversions::text_of;
use super::strings::escape;
use super::{doubles, instants};

/// Digits behind the point where no precision is given.
const PRECISION: usize = 6;
/// More digits behind the point than any double has.
const MOST_DIGITS: usize = 1074;

/// `text` with `values` in place of its verbs. Values that no verb is for are left out.
pub(super) fn format(text: &str, values: &List<'_>, meter: &mut Meter) -> Result<String, Fault> {
    let mut out = Out { text: String::with_capacity(text.len()), meter };
    let mut values = values.iter();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.text.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            out.text.push('%');
            rest = after;
            continue;
        }
        let Some(value) = values.next() else {
            return Err(Fault::new("format: there are more verbs than values"));
        };
        let (precision, after) = precision(after)?;
        let mut chars = after.chars();
        match chars.next() {
            Some('s') => out.plain(&value)?,
            Some('d') => out.whole(&value)?,
            Some('f') => out.fixed(&value, precision.unwrap_or(PRECISION))?,
            Some('e') => out.scientific(&value, precision.unwrap_or(PRECISION))?,
            Some('b') => out.binary(&value)?,
            Some('x') => out.hexadecimal(&value, false)?,
            Some('X') => out.hexadecimal(&value, true)?,
            Some('o') => out.octal(&value)?,
            Some(_) => return Err(Fault::new("format: unrecognized formatting clause")),
            None => return Err(Fault::new("format: unexpected end of string after %")),
        }
        rest = chars.as_str();
    }
    out.text.push_str(rest);
    Ok(out.text)
}

/// What is wrong with `text` for values of these types, as far as types tell; as cel-go's validator of literals does.
pub(in super::super) fn check(text: &str, types: &[Type]) -> Result<(), String> {
    let mut types_left = types.iter();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('%') {
        if let Some(after) = after.strip_prefix('%') {
            rest = after;
            continue;
        }
        let reason = |fault: Fault| match fault {
            Fault::Error(error) => error.to_string(),
            Fault::Budget => String::new(),
        };
        let (_, after) = precision(after).map_err(reason)?;
        let mut chars = after.chars();
        let verb = chars.next().ok_or("format: unexpected end of string after %")?;
        if !"sdfebxXo".contains(verb) {
            return Err("format: unrecognized formatting clause".to_owned());
        }
        let given = types_left.next().ok_or("format: there are more verbs than values")?;
        if !takes(verb, given) {
            return Err(format!("format: %{verb} does not take {}", given.describe()));
        }
        rest = chars.as_str();
    }
    match types_left.next() {
        Some(_) => Err("format: there are more values than verbs".to_owned()),
        None => Ok(()),
    }
}

fn takes(verb: char, given: &Type) -> bool {
    use Type::{Bool, Bytes, Double, Dyn, Error, Int, Opaque, Optional, Param, String, Uint};
    match (verb, given) {
        (_, Dyn | Error | Param(_)) => true,
        ('s', given) => !matches!(given, Opaque(_) | Optional(_)),
        ('d' | 'o', given) => matches!(given, Int | Uint),
        // NaN and infinity may be written as texts.
        ('f' | 'e', given) => matches!(given, Double | String),
        ('b', given) => matches!(given, Int | Uint | Bool),
        (_, given) => matches!(given, Int | Uint | Bytes | String),
    }
}

/// `.2` at the start of `text`, and what comes after it.
fn precision(text: &str) -> Result<(Option<usize>, &str), Fault> {
    let Some(digits) = text.strip_prefix('.') else { return Ok((None, text)) };
    let (digits, after) = digits.split_at(digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len()));
    // Go's numbers have 63 bits.
    match digits.parse::<i64>().ok().and_then(|n| usize::try_from(n).ok()) {
        Some(precision) => Ok((Some(precision), after)),
        None => Err(Fault::new("format: the precision is not a number")),
    }
}

fn wrong(verb: &str, takes: &str, value: &Value<'_>) -> Fault {
    Fault::new(format!("format: {verb} can only be used on {takes}, was given {}", value.type_name()))
}

/// The text so far. What is added is paid for: a step for each value and for 10 bytes.
struct Out<'m> {
    text: String,
    meter: &'m mut Meter,
}

impl Out<'_> {
    fn add(&mut self, text: &str) -> Result<(), Fault> {
        self.meter.charge(1 + text.len() as u64 / 10)?;
        self.text.push_str(text);
        Ok(())
    }

    /// `%s`.
    fn plain(&mut self, value: &Value<'_>) -> Result<(), Fault> {
        match value {
            Value::Null => self.add("null"),
            Value::Type(name) => self.add(name),
            Value::Str(text) => self.add(text),
            Value::List(list) => self.list(list),
            Value::Map(map) => self.map(map),
            Value::Bytes(bytes) => {
                self.meter.charge(bytes.len() as u64 / 10)?;
                self.converted(value)
            }
            _ => self.converted(value),
        }
    }

    fn converted(&mut self, value: &Value<'_>) -> Result<(), Fault> {
        let takes = "strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps";
        let text = text_of(value)?.ok_or_else(|| wrong("string clause", takes, value))?;
        self.add(&text)
    }

    /// Within a list or map values are written as literals.
    fn literal(&mut self, value: &Value<'_>) -> Result<(), Fault> {
        match value {
            Value::Str(text) => self.quoted(text),
            Value::Bytes(bytes) => {
                self.meter.charge(bytes.len() as u64 / 10)?;
                let text = text_of(value)?.unwrap_or_default();
                self.add("b")?;
                self.quoted(&text)
            }
            Value::Double(d) if d.is_finite() => {
                self.meter.charge(digits_before_point(*d) / 10)?;
                self.add(&format!("{d:.PRECISION$}"))
            }
            Value::Double(d) => self.quoted(&doubles::format(*d)),
            Value::Timestamp(t) => self.add(&format!("timestamp(\"{}\")", instants::format_timestamp(*t))),
            Value::Duration(d) => self.add(&format!("duration(\"{}\")", instants::format_duration(*d))),
            Value::Optional(_) | Value::Opaque(_) => {
                Err(Fault::new(format!("format: no formatting function for {}", value.type_name())))
            }
            other => self.plain(other),
        }
    }

    fn list(&mut self, list: &List<'_>) -> Result<(), Fault> {
        self.add("[")?;
        for (nth, element) in list.iter().enumerate() {
            self.text.push_str(if nth > 0 { ", " } else { "" });
            self.literal(&element)?;
        }
        self.add("]")
    }

    /// Entries are in the order of their keys as they are written.
    fn map(&mut self, map: &Map<'_>) -> Result<(), Fault> {
        let mut entries = Vec::new();
        for (key, value) in map.iter() {
            let mut written = Out { text: String::new(), meter: self.meter };
            written.literal(&key)?;
            entries.push((written.text, value));
        }
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.add("{")?;
        for (nth, (key, value)) in entries.iter().enumerate() {
            self.text.push_str(if nth > 0 { ", " } else { "" });
            self.add(key)?;
            self.text.push(':');
            self.literal(value)?;
        }
        self.add("}")
    }

    /// In double quotes, as Go quotes: what cannot be printed is escaped.
    fn quoted(&mut self, text: &str) -> Result<(), Fault> {
        // An escape takes up to five times the bytes.
        self.meter.charge(1 + text.len() as u64 / 2)?;
        self.text.push('"');
        for c in text.chars() {
            match escape(c) {
                Some(escaped) => self.text.push_str(escaped),
                None if is_printable(c) => self.text.push(c),
                None => match c as u32 {
                    code @ 0..=0x7f => self.text.push_str(&format!("\\x{code:02x}")),
                    code @ 0x80..=0xffff => self.text.push_str(&format!("\\u{code:04x}")),
                    code => self.text.push_str(&format!("\\U{code:08x}")),
                },
            }
        }
        self.text.push('"');
        Ok(())
    }

    /// `%d`.
    fn whole(&mut self, value: &Value<'_>) -> Result<(), Fault> {
        match value {
            Value::Int(i) => self.add(&i.to_string()),
            Value::Uint(u) => self.add(&u.to_string()),
            other => Err(wrong("decimal clause", "integers", other)),
        }
    }

    /// `%f`.
    fn fixed(&mut self, value: &Value<'_>, precision: usize) -> Result<(), Fault> {
        let Some(number) = number(value) else { return Err(wrong("fixed-point clause", "doubles", value)) };
        if let Some(name) = name_of_no_number(number) {
            return self.add(name);
        }
        // Digits beyond what identifies a double are slow to find.
        self.meter.charge(digits_before_point(number) + precision as u64)?;
        let digits = precision.min(MOST_DIGITS);
        let written = format!("{:.digits$}", number.abs());
        let (whole, fraction) = written.split_once('.').unwrap_or((&written, ""));
        // x/text keeps the number of zeros at the end in a byte.
        let fraction = if precision > 255 { fraction.trim_end_matches('0') } else { fraction };
        self.add(if number < 0.0 { "-" } else { "" })?;
        for (nth, digit) in whole.chars().enumerate() {
            if nth > 0 && (whole.len() - nth).is_multiple_of(3) {
                self.text.push(',');
            }
            self.text.push(digit);
        }
        if precision > 0 {
            self.text.push('.');
            self.text.push_str(fraction);
        }
        self.repeat('0', (precision % 256).saturating_sub(fraction.len()))
    }

    /// `%e`; `width` is the least number of characters.
    fn scientific(&mut self, value: &Value<'_>, width: usize) -> Result<(), Fault> {
        let Some(number) = number(value) else { return Err(wrong("scientific clause", "doubles", value)) };
        self.meter.charge(PRECISION as u64)?;
        let written = match name_of_no_number(number) {
            Some(name) => name.to_owned(),
            None => {
                let written = format!("{:.PRECISION$e}", number.abs());
                let (digits, exponent) = written.split_once('e').unwrap_or((&written, "0"));
                let sign = if number < 0.0 { "-" } else { "" };
                let negative = exponent.starts_with('-');
                let exponent = format!("{:0>2}", exponent.trim_start_matches('-'));
                let exponent: String = exponent.chars().map(superscript).collect();
                format!("{sign}{digits}\u{d7}10{}{exponent}", if negative { "\u{207b}" } else { "" })
            }
        };
        self.repeat(' ', width.saturating_sub(written.chars().count()))?;
        self.add(&written)
    }

    fn repeat(&mut self, c: char, count: usize) -> Result<(), Fault> {
        self.meter.charge(count as u64 / 10)?;
        self.text.extend(std::iter::repeat_n(c, count));
        Ok(())
    }

    /// `%b`.
    fn binary(&mut self, value: &Value<'_>) -> Result<(), Fault> {
        match value {
            Value::Int(i) => self.add(&format!("{}{:b}", minus(*i), i.unsigned_abs())),
            Value::Uint(u) => self.add(&format!("{u:b}")),
            Value::Bool(b) => self.add(if *b { "1" } else { "0" }),
            other => Err(wrong("binary clause", "integers and bools", other)),
        }
    }

    /// `%o`.
    fn octal(&mut self, value: &Value<'_>) -> Result<(), Fault> {
        match value {
            Value::Int(i) => self.add(&format!("{}{:o}", minus(*i), i.unsigned_abs())),
            Value::Uint(u) => self.add(&format!("{u:o}")),
            other => Err(wrong("octal clause", "integers", other)),
        }
    }

    /// `%x` and `%X`.
    fn hexadecimal(&mut self, value: &Value<'_>, upper: bool) -> Result<(), Fault> {
        let written = match value {
            Value::Int(i) => format!("{}{:x}", minus(*i), i.unsigned_abs()),
            Value::Uint(u) => format!("{u:x}"),
            Value::Str(text) => self.bytes(text.as_bytes())?,
            Value::Bytes(bytes) => self.bytes(bytes)?,
            other => return Err(wrong("hex clause", "integers, bytes, and strings", other)),
        };
        self.add(&if upper { written.to_ascii_uppercase() } else { written })
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<String, Fault> {
        self.meter.charge(bytes.len() as u64 / 2)?;
        let digit = |n: u8| char::from_digit(n.into(), 16).unwrap_or('0');
        Ok(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect())
    }
}

/// The number that `%f` and `%e` write: texts stand for what JSON has no numbers for.
fn number(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Double(d) => Some(*d),
        Value::Str(text) => match &**text {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

fn name_of_no_number(number: f64) -> Option<&'static str> {
    match number {
        n if n.is_nan() => Some("NaN"),
        f64::INFINITY => Some("\u{221e}"),
        f64::NEG_INFINITY => Some("-\u{221e}"),
        _ => None,
    }
}

/// About how many digits a number has before its point.
fn digits_before_point(number: f64) -> u64 {
    number.abs().log10().clamp(0.0, 308.0) as u64
}

fn minus(number: i64) -> &'static str {
    if number < 0 { "-" } else { "" }
}

fn superscript(digit: char) -> char {
    match digit {
        '1' => '\u{b9}',
        '2' => '\u{b2}',
        '3' => '\u{b3}',
        other => other.to_digit(10).and_then(|n| char::from_u32(0x2070 + n)).unwrap_or(other),
    }
}

/// As Go's `unicode.IsPrint`: letters, marks, numbers, punctuation, symbols and the space.
fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    // The standard library asks the same question, except of a first character.
    let mut buffer = [b'a'; 5];
    let len = c.encode_utf8(&mut buffer[1..]).len();
    std::str::from_utf8(&buffer[..=len]).is_ok_and(|text| text.escape_debug().nth(1) == Some(c))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::super::value::Key;
    use super::*;

    fn with(text: &str, values: &[Value<'static>], budget: u64) -> String {
        match format(text, &List::Made(values.into()), &mut Meter::new(budget)) {
            Ok(text) => text,
            Err(Fault::Error(error)) => error.to_string(),
            Err(Fault::Budget) => "budget".to_owned(),
        }
    }

    fn one(text: &str, value: impl Into<Value<'static>>) -> String {
        with(text, &[value.into()], 100_000)
    }

    fn d(number: f64) -> Value<'static> {
        Value::Double(number)
    }

    // What cel-go 0.29.2 says, here and below.
    #[test]
    fn fixed_points_have_commas() {
        for (verb, number, text) in [
            ("%f", 1_234_567.891, "1,234,567.891000"),
            ("%f", -1_234_567.5, "-1,234,567.500000"),
            ("%f", 123.0, "123.000000"),
            ("%f", 999_999.999_999_9, "1,000,000.000000"),
            ("%f", 1e21, "1,000,000,000,000,000,000,000.000000"),
            ("%f", -0.0, "0.000000"),
            ("%f", -0.000_000_1, "-0.000000"),
            ("%.0f", 2.5, "2"),
            ("%.0f", 3.5, "4"),
            ("%.0f", 1234.5, "1,234"),
            ("%.0f", -0.4, "-0"),
            ("%.1f", 0.25, "0.2"),
            ("%.1f", 0.35, "0.3"),
            ("%.2f", 1.005, "1.00"),
            ("%.3f", 2.0005, "2.001"),
            ("%.20f", 0.1, "0.10000000000000000555"),
            ("%f", f64::NAN, "NaN"),
            ("%f", f64::INFINITY, "\u{221e}"),
            ("%f", f64::NEG_INFINITY, "-\u{221e}"),
        ] {
            assert_eq!(one(verb, d(number)), text, "{verb} {number}");
        }
        for (verb, number, len) in [
            ("%.1100f", 5e-324, 1076),
            ("%.200f", 123.0, 204),
            ("%.400f", 1.0, 146),
            ("%.500f", 1.0 / 3.0, 246),
            ("%.1074f", f64::MAX, 462),
        ] {
            assert_eq!(one(verb, d(number)).len(), len, "{verb}");
        }
        assert_eq!(one("%f", Value::text("-Infinity")), "-\u{221e}");
        assert!(one("%f", Value::text("1.5")).contains("was given string"));
        assert!(one("%f", 1).contains("was given int"));
    }

    #[test]
    fn exponents_are_superscripts_and_the_precision_is_a_width() {
        for (verb, number, text) in [
            ("%e", 1234.5, "1.234500\u{d7}10\u{2070}\u{b3}"),
            ("%e", -1234.5, "-1.234500\u{d7}10\u{2070}\u{b3}"),
            ("%.1e", 1052.032_911_275, "1.052033\u{d7}10\u{2070}\u{b3}"),
            ("%.20e", 1052.032_911_275, "       1.052033\u{d7}10\u{2070}\u{b3}"),
            ("%e", 0.0, "0.000000\u{d7}10\u{2070}\u{2070}"),
            ("%e", -0.0, "0.000000\u{d7}10\u{2070}\u{2070}"),
            ("%e", 1e-300, "1.000000\u{d7}10\u{207b}\u{b3}\u{2070}\u{2070}"),
            ("%e", 5e-324, "4.940656\u{d7}10\u{207b}\u{b3}\u{b2}\u{2074}"),
            ("%e", 1.000_000_5, "1.000001\u{d7}10\u{2070}\u{2070}"),
            ("%e", 10_000_025.0, "1.000002\u{d7}10\u{2070}\u{2077}"),
            ("%e", 9_999_999.9, "1.000000\u{d7}10\u{2070}\u{2077}"),
            ("%e", f64::NAN, "   NaN"),
            ("%e", f64::INFINITY, "     \u{221e}"),
            ("%e", f64::NEG_INFINITY, "    -\u{221e}"),
        ] {
            assert_eq!(one(verb, d(number)), text, "{verb} {number}");
        }
    }

    #[test]
    fn whole_numbers_in_other_bases_have_a_sign() {
        for (verb, value, text) in [
            ("%d", Value::Int(i64::MIN), "-9223372036854775808"),
            ("%.3d", Value::Uint(5), "5"),
            ("%b", Value::Int(-5), "-101"),
            ("%b", true.into(), "1"),
            ("%o", Value::Int(-8), "-10"),
            ("%x", Value::Int(-255), "-ff"),
            ("%X", Value::Uint(255), "FF"),
            ("%x", Value::text("h\u{e9}"), "68c3a9"),
            ("%X", Value::Bytes([0xff, 0][..].into()), "FF00"),
        ] {
            assert_eq!(one(verb, value), text, "{verb}");
        }
        for verb in ["%d", "%b", "%o", "%x"] {
            assert!(one(verb, d(1.0)).contains("was given double"), "{verb}");
        }
    }

    #[test]
    fn any_value_has_a_text() {
        for (value, text) in [
            (Value::Null, "null"),
            (d(1.0), "1"),
            (d(1e21), "1e+21"),
            (Value::Type("int"), "int"),
            (Value::Duration(90_000_000_000), "90s"),
            (Value::Timestamp(0), "1970-01-01T00:00:00Z"),
            (Value::Bytes(b"abc"[..].into()), "abc"),
        ] {
            assert_eq!(one("%.3s", value), text);
        }
        assert!(one("%s", Value::Optional(None)).contains("was given optional_type"));
        assert!(one("%s", Value::Bytes([0xff][..].into())).contains("UTF-8"));
    }

    #[test]
    fn within_lists_and_maps_values_are_literals() {
        let list = Value::list(vec![
            1.into(),
            Value::text("b\"\n"),
            true.into(),
            Value::Null,
            Value::Bytes("x\u{e9}".as_bytes().into()),
            Value::Duration(90_000_000_000),
            Value::Timestamp(0),
            d(1.5),
            d(1e6),
            d(f64::NAN),
            d(f64::INFINITY),
            Value::list(vec![Value::Uint(2)]),
        ]);
        assert_eq!(
            one("%s", list),
            "[1, \"b\\\"\\n\", true, null, b\"x\u{e9}\", duration(\"90s\"), timestamp(\"1970-01-01T00:00:00Z\"), \
             1.500000, 1000000.000000, \"NaN\", \"+Inf\", [2]]"
        );
        let map = BTreeMap::from([
            (Key::Str(super::super::super::value::Str::Tree("b")), 1.into()),
            (Key::Str(super::super::super::value::Str::Tree("a")), d(2.5)),
            (Key::Bool(true), Value::Null),
            (Key::Int(7), Value::text("x")),
        ]);
        assert_eq!(one("%s", Value::map(map)), "{\"a\":2.500000, \"b\":1, 7:\"x\", true:null}");
        assert!(one("%s", Value::list(vec![Value::Optional(None)])).contains("no formatting function"));
        let odd = Value::list(vec![Value::text("\0\u{7f}\u{200b}\u{1f600}\u{a0}'\\\u{7}e\u{301}\u{e0001}")]);
        assert_eq!(one("%s", odd), "[\"\\x00\\x7f\\u200b\u{1f600}\\u00a0'\\\\\\ae\u{301}\\U000e0001\"]");
    }

    #[test]
    fn verbs_and_values_must_fit_together() {
        assert_eq!(with("%%", &[], 0), "%");
        assert_eq!(with("a", &[1.into()], 0), "a");
        assert_eq!(with("\u{e9}%s\u{e9}", &[Value::text("x")], 9), "\u{e9}x\u{e9}");
        assert!(with("%s %s", &[1.into()], 9).contains("more verbs than values"));
        for text in ["%", "%.5", "%q", "%1f", "%\u{e9}", "%."] {
            assert!(one(text, d(1.0)).starts_with("format: "), "{text}");
        }
        for text in ["%.f", "%.99999999999999999999f", "%.-1f"] {
            assert!(one(text, d(1.0)).contains("precision"), "{text}");
        }
    }

    #[test]
    fn what_grows_is_paid_before_it_is_made() {
        assert_eq!(one("%.9000000000000000000e", d(1.0)), "budget");
        assert_eq!(one("%.9000000000000000000f", d(1.0)), "budget");
        assert_eq!(with("%x", &[Value::text("x".repeat(1000))], 499), "budget");
        assert_eq!(with("%s", &[Value::list(vec![1.into(); 100])], 99), "budget");
        let mut doubled = Value::list(vec![1.into()]);
        for _ in 0..30 {
            doubled = Value::list(vec![doubled.clone(), doubled]);
        }
        assert_eq!(one("%s", doubled), "budget");
    }
}
