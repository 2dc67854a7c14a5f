//! Conversions between types, and sizes.
//!
//! Text is read and written as Go does it, because that is what a kube-apiserver does: see `doubles.rs` and
//! `instants.rs`. One difference: a timestamp here has no zone of its own, so `string(timestamp(x))` is always in
//! UTC, where cel-go keeps the offset that was written.

use super::super::cost::{Cost, Meter};
use super::super::fault::Fault;
use super::super::operators;
use super::super::value::Value;
use super::{Function, Library, Overload, Run, doubles, instants};

pub(super) const LIBRARY: Library = Library {
    name: "conversions",
    doc: "Conversions between types, and the sizes of values.",
    upstream: "https://github.com/google/cel-spec/blob/master/doc/langdef.md#standard-definitions",
    in_admission: true,
    types: &[],
    functions: &[
        Function {
            name: "size",
            doc: "How many characters (Unicode code points), bytes, elements or entries a value has.",
            examples: &[
                "size('caf\u{e9}') == 4",
                "[1, 2].size() == 2",
                "{'a': 1}.size() == 1",
                "b'abc'.size() == 3",
            ],
            overloads: &[
                one("size(string) -> int", size),
                one("string.size() -> int", size),
                one("size(bytes) -> int", size),
                one("bytes.size() -> int", size),
                one("size(list(A)) -> int", size),
                one("list(A).size() -> int", size),
                one("size(map(A, B)) -> int", size),
                one("map(A, B).size() -> int", size),
            ],
        },
        Function {
            name: "type",
            doc: "The type of a value when the expression is evaluated.",
            examples: &["type(1) == int", "type(dyn('a')) == string", "type(int) == type"],
            overloads: &[one("type(A) -> type(A)", type_of)],
        },
        Function {
            name: "bool",
            doc: "Reads `1`, `t`, `T`, `true`, `TRUE`, `True` as true and `0`, `f`, `F`, `false`, `FALSE`, `False` as \
                  false.",
            examples: &["bool('true')", "!bool('0')"],
            overloads: &[one("bool(bool) -> bool", same), one("bool(string) -> bool", read)],
        },
        Function {
            name: "bytes",
            doc: "The bytes of a text in UTF-8.",
            examples: &["bytes('abc') == b'abc'", "size(bytes('\u{e9}')) == 2"],
            overloads: &[
                one("bytes(bytes) -> bytes", same),
                Overload::new("bytes(string) -> bytes", Cost::Read { arg: 0, times: 1 }, bytes),
            ],
        },
        Function {
            name: "double",
            doc: "A number as a floating point number; or reads one.",
            examples: &["double(1) == 1.0", "double('-1.5e3') == -1500.0", "double('Inf') > 1e308"],
            overloads: &[
                one("double(double) -> double", same),
                one("double(int) -> double", double),
                one("double(string) -> double", double),
                one("double(uint) -> double", double),
            ],
        },
        Function {
            name: "duration",
            doc: "Reads a length of time: numbers with the units `h`, `m`, `s`, `ms`, `us`, `ns`.",
            examples: &["duration('1h30m') == duration('5400s')", "duration('-1.5s') < duration('0')"],
            overloads: &[
                one("duration(duration) -> duration", same),
                one("duration(string) -> duration", duration),
            ],
        },
        Function {
            name: "dyn",
            doc: "The same value, whose type is then looked at only when the expression is evaluated.",
            examples: &["dyn(1) == 1", "[dyn(1), dyn('a')].size() == 2"],
            overloads: &[one("dyn(A) -> dyn", same)],
        },
        Function {
            name: "int",
            doc: "A number as a signed 64 bit number: what is behind the point is cut off, what does not fit fails. A \
                  timestamp in seconds since 1970, a duration in nanoseconds. Or reads a whole number.",
            examples: &[
                "int(1.9) == 1",
                "int(-1.9) == -1",
                "int('-42') == -42",
                "int(timestamp('1970-01-01T00:01:00Z')) == 60",
                "int(duration('1us')) == 1000",
            ],
            overloads: &[
                one("int(int) -> int", same),
                one("int(double) -> int", int),
                one("int(duration) -> int", int),
                one("int(string) -> int", int),
                one("int(timestamp) -> int", int),
                one("int(uint) -> int", int),
            ],
        },
        Function {
            name: "string",
            doc: "A value as text. Doubles have as few digits as identify them, durations are in seconds, timestamps in \
                  RFC 3339 and UTC; bytes must be UTF-8.",
            examples: &[
                "string(1) == '1'",
                "string(1.0) == '1'",
                "string(1e6) == '1e+06'",
                "string(true) == 'true'",
                "string(b'abc') == 'abc'",
                "string(duration('1h0.5s')) == '3600.5s'",
                "string(timestamp('2024-02-29T12:00:00.50Z')) == '2024-02-29T12:00:00.5Z'",
            ],
            overloads: &[
                one("string(string) -> string", same),
                one("string(bool) -> string", string),
                Overload::new("string(bytes) -> string", Cost::Read { arg: 0, times: 1 }, string),
                one("string(double) -> string", string),
                one("string(duration) -> string", string),
                one("string(int) -> string", string),
                one("string(timestamp) -> string", string),
                one("string(uint) -> string", string),
            ],
        },
        Function {
            name: "timestamp",
            doc: "Reads a point in time in RFC 3339, or takes one in seconds since 1970. From year 1 to year 9999.",
            examples: &[
                "timestamp('1970-01-01T01:00:00+01:00') == timestamp(0)",
                "timestamp('2024-02-29T00:00:00Z') < timestamp('2024-03-01T00:00:00Z')",
            ],
            overloads: &[
                one("timestamp(timestamp) -> timestamp", same),
                one("timestamp(int) -> timestamp", timestamp),
                one("timestamp(string) -> timestamp", timestamp),
            ],
        },
        Function {
            name: "uint",
            doc: "A number as an unsigned 64 bit number: what is behind the point is cut off, what does not fit fails. \
                  Or reads a whole number without a sign.",
            examples: &["uint(1.9) == 1u", "uint('42') == 42u"],
            overloads: &[
                one("uint(uint) -> uint", same),
                one("uint(double) -> uint", uint),
                one("uint(int) -> uint", uint),
                one("uint(string) -> uint", uint),
            ],
        },
    ],
};

/// An overload that costs the same for all arguments.
const fn one(signature: &'static str, run: Run) -> Overload {
    Overload::new(signature, Cost::Fixed(1), run)
}

/// cel-go takes reading a text as one step, as numbers are short. What is not costs what reading it takes.
fn charge_long(text: &str, meter: &mut Meter) -> Result<(), Fault> {
    meter.charge(if text.len() > 64 { text.len() as u64 / 4 } else { 0 })
}

fn unreadable(wanted: &str) -> Fault {
    Fault::new(format!("type conversion error from 'string' to '{wanted}'"))
}

fn same<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    args.first().cloned().ok_or_else(|| Fault::no_such_overload("conversion", args))
}

fn type_of<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let [value] = args else { return Err(Fault::no_such_overload("type", args)) };
    Ok(Value::Type(value.type_name()))
}

fn size<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    let size = match args {
        [Value::Str(text)] => {
            meter.charge(text.len() as u64 / 256)?;
            text.chars().count()
        }
        [Value::Bytes(bytes)] => bytes.len(),
        [Value::List(list)] => list.len(),
        [Value::Map(map)] => map.len(),
        _ => return Err(Fault::no_such_overload("size", args)),
    };
    Ok(Value::Int(size as i64))
}

fn read<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::Str(text)] = args else { return Err(Fault::no_such_overload("bool", args)) };
    match &**text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true.into()),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false.into()),
        _ => Err(unreadable("bool")),
    }
}

fn bytes<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::Str(text)] = args else { return Err(Fault::no_such_overload("bytes", args)) };
    Ok(Value::Bytes(text.as_bytes().into()))
}

fn double<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    match args {
        [Value::Int(i)] => Ok(Value::Double(*i as f64)),
        [Value::Uint(u)] => Ok(Value::Double(*u as f64)),
        [Value::Str(text)] => {
            charge_long(text, meter)?;
            doubles::parse(text).map(Value::Double).ok_or_else(|| unreadable("double"))
        }
        _ => Err(Fault::no_such_overload("double", args)),
    }
}

fn duration<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::Str(text)] = args else { return Err(Fault::no_such_overload("duration", args)) };
    charge_long(text, meter)?;
    instants::parse_duration(text).map(Value::Duration).ok_or_else(|| unreadable("google.protobuf.Duration"))
}

fn int<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    let overflow = || Fault::new("integer overflow");
    match args {
        // As in cel-go both ends are left out, although the lower one would fit.
        [Value::Double(d)] if *d > i64::MIN as f64 && *d < i64::MAX as f64 => Ok(Value::Int(*d as i64)),
        [Value::Double(_)] => Err(overflow()),
        [Value::Uint(u)] => i64::try_from(*u).map(Value::Int).map_err(|_| overflow()),
        [Value::Duration(nanoseconds)] => Ok(Value::Int(*nanoseconds)),
        [Value::Timestamp(t)] => Ok(Value::Int(t.div_euclid(1_000_000_000) as i64)),
        [Value::Str(text)] => {
            charge_long(text, meter)?;
            text.parse().map(Value::Int).map_err(|_| unreadable("int"))
        }
        _ => Err(Fault::no_such_overload("int", args)),
    }
}

fn uint<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    let overflow = || Fault::new("unsigned integer overflow");
    match args {
        [Value::Double(d)] if *d >= 0.0 && *d < u64::MAX as f64 => Ok(Value::Uint(*d as u64)),
        [Value::Double(_)] => Err(overflow()),
        [Value::Int(i)] => u64::try_from(*i).map(Value::Uint).map_err(|_| overflow()),
        [Value::Str(text)] => {
            charge_long(text, meter)?;
            let unsigned = (!text.starts_with('+')).then(|| text.parse().ok()).flatten();
            unsigned.map(Value::Uint).ok_or_else(|| unreadable("uint"))
        }
        _ => Err(Fault::no_such_overload("uint", args)),
    }
}

fn string<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let [value] = args else { return Err(Fault::no_such_overload("string", args)) };
    if let Value::Str(_) = value {
        return Ok(value.clone());
    }
    text_of(value)?.map(Value::text).ok_or_else(|| Fault::no_such_overload("string", args))
}

/// A value as `string` and the verb `%s` write it; None for one without such a form.
pub(super) fn text_of(value: &Value<'_>) -> Result<Option<String>, Fault> {
    Ok(Some(match value {
        Value::Str(text) => text.to_string(),
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Uint(u) => u.to_string(),
        Value::Double(d) => doubles::format(*d),
        Value::Duration(nanoseconds) => instants::format_duration(*nanoseconds),
        Value::Timestamp(t) => instants::format_timestamp(*t),
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => return Err(Fault::new("invalid UTF-8 in bytes, cannot convert to string")),
        },
        _ => return Ok(None),
    }))
}

fn timestamp<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    match args {
        [Value::Int(seconds)] => operators::timestamp(i128::from(*seconds) * 1_000_000_000),
        [Value::Str(text)] => {
            charge_long(text, meter)?;
            let read = instants::parse_timestamp(text).map(Value::Timestamp);
            read.ok_or_else(|| unreadable("google.protobuf.Timestamp"))
        }
        _ => Err(Fault::no_such_overload("timestamp", args)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::value::{EARLIEST, LATEST};
    use super::*;

    fn run<'a>(function: Run, arg: Value<'a>) -> Result<String, String> {
        match function(&[arg], &mut Meter::new(1_000_000)) {
            Ok(value) => Ok(format!("{value:?}")),
            Err(Fault::Error(error)) => Err(error.to_string()),
            Err(Fault::Budget) => Err("budget".to_owned()),
        }
    }

    fn text(text: &str) -> Value<'_> {
        Value::text(text)
    }

    #[test]
    fn doubles_are_cut_off_and_must_fit() {
        assert_eq!(run(int, Value::Double(-1.9)), Ok("Int(-1)".to_owned()));
        assert_eq!(run(uint, Value::Double(1.9)), Ok("Uint(1)".to_owned()));
        for wrong in
            [9.3e18, 9_223_372_036_854_775_808.0, -9_223_372_036_854_775_808.0, f64::NAN, f64::INFINITY]
        {
            assert!(run(int, Value::Double(wrong)).is_err(), "{wrong}");
        }
        for wrong in [-0.5, 18_446_744_073_709_551_616.0, f64::NAN] {
            assert!(run(uint, Value::Double(wrong)).is_err(), "{wrong}");
        }
        assert_eq!(run(uint, Value::Double(-0.0)), Ok("Uint(0)".to_owned()));
        assert!(run(int, Value::Uint(u64::MAX)).is_err());
        assert!(run(uint, Value::Int(-1)).is_err());
    }

    #[test]
    fn whole_numbers_are_read_as_go_reads_them() {
        assert_eq!(run(int, text("+5")), Ok("Int(5)".to_owned()));
        assert_eq!(run(int, text("-0")), Ok("Int(0)".to_owned()));
        assert_eq!(run(uint, text("007")), Ok("Uint(7)".to_owned()));
        for wrong in ["", "1_000", " 1", "0x1", "1.0", "9223372036854775808"] {
            assert!(run(int, text(wrong)).is_err(), "{wrong}");
        }
        for wrong in ["+5", "-0", "18446744073709551616"] {
            assert!(run(uint, text(wrong)).is_err(), "{wrong}");
        }
        assert_eq!(run(read, text("True")), Ok("Bool(true)".to_owned()));
        assert!(run(read, text("tRUE")).is_err());
    }

    #[test]
    fn timestamps_stay_within_the_years_1_and_9999() {
        assert_eq!(run(timestamp, Value::Int(-62_135_596_800)), Ok(format!("Timestamp({EARLIEST})")));
        assert!(run(timestamp, Value::Int(-62_135_596_801)).is_err());
        assert!(run(timestamp, Value::Int(253_402_300_800)).is_err());
        assert!(run(timestamp, Value::Int(i64::MAX)).is_err());
        // Before 1970 whole seconds are cut off downwards.
        assert_eq!(run(int, Value::Timestamp(-500_000_000)), Ok("Int(-1)".to_owned()));
        assert_eq!(run(int, Value::Timestamp(LATEST)), Ok("Int(253402300799)".to_owned()));
    }

    #[test]
    fn sizes_of_texts_are_characters() {
        assert_eq!(run(size, text("\u{e9}\u{1f600}")), Ok("Int(2)".to_owned()));
        assert_eq!(run(size, Value::Bytes([0xc3, 0xa9][..].into())), Ok("Int(2)".to_owned()));
    }

    #[test]
    fn faults_tell_types_and_no_values() {
        let fault = run(int, text("s3cret"));
        assert_eq!(fault, Err("type conversion error from 'string' to 'int'".to_owned()));
        assert!(run(string, Value::Bytes([0xff][..].into())).is_err_and(|e| e.contains("UTF-8")));
        assert!(run(string, Value::Null).is_err());
    }

    #[test]
    fn long_texts_cost_what_reading_them_takes() {
        let zeros = "0".repeat(1000);
        let mut meter = Meter::new(1000);
        assert!(int(&[text(&zeros)], &mut meter).is_ok());
        assert_eq!(meter.left(), 750);
        assert!(int(&[text("12345")], &mut meter).is_ok());
        assert_eq!(meter.left(), 750);
    }
}
