//! Optionals: values that may be absent.

use super::super::cost::{Cost, Meter};
use super::super::fault::Fault;
use super::super::value::{EARLIEST, Value};
use super::{Function, Library, Overload, Run};

pub(super) const LIBRARY: Library = Library {
    name: "optionals",
    doc: "Values that may be absent, as `object.?field`, `map[?key]` and `list[?index]` give them.",
    upstream: "https://pkg.go.dev/github.com/google/cel-go/cel#OptionalTypes",
    in_admission: true,
    types: &[],
    functions: &[
        Function {
            name: "optional.of",
            doc: "An optional that has this value.",
            examples: &["optional.of(1).value() == 1"],
            overloads: &[one("optional.of(A) -> optional(A)", of)],
        },
        Function {
            name: "optional.ofNonZeroValue",
            doc: "An optional that has this value, or none if it is null, false, 0, empty, or the first timestamp.",
            examples: &["optional.ofNonZeroValue('a').hasValue()", "!optional.ofNonZeroValue('').hasValue()"],
            overloads: &[one("optional.ofNonZeroValue(A) -> optional(A)", of_non_zero)],
        },
        Function {
            name: "optional.none",
            doc: "An optional that has no value.",
            examples: &["!optional.none().hasValue()"],
            overloads: &[one("optional.none() -> optional(A)", none)],
        },
        Function {
            name: "value",
            doc: "The value; fails if there is none.",
            examples: &["[1, 2][?1].value() == 2"],
            overloads: &[one("optional(A).value() -> A", value)],
        },
        Function {
            name: "hasValue",
            doc: "Whether there is a value.",
            examples: &["{'a': 1}[?'a'].hasValue()", "!{'a': 1}[?'b'].hasValue()"],
            overloads: &[one("optional(A).hasValue() -> bool", has_value)],
        },
        Function {
            name: "first",
            doc: "The first element, or none of an empty list.",
            examples: &["[1, 2].first().value() == 1", "![].first().hasValue()"],
            overloads: &[one("list(A).first() -> optional(A)", first)],
        },
        Function {
            name: "last",
            doc: "The last element, or none of an empty list.",
            examples: &["[1, 2].last().value() == 2", "![].last().hasValue()"],
            overloads: &[one("list(A).last() -> optional(A)", last)],
        },
        Function {
            name: "optional.unwrap",
            doc: "The values of those optionals that have one.",
            examples: &["optional.unwrap([optional.of(1), optional.none()]) == [1]"],
            overloads: &[one("optional.unwrap(list(optional(A))) -> list(A)", unwrap)],
        },
        Function {
            name: "unwrapOpt",
            doc: "The values of those optionals that have one.",
            examples: &["[optional.of(1), optional.none()].unwrapOpt() == [1]"],
            overloads: &[one("list(optional(A)).unwrapOpt() -> list(A)", unwrap)],
        },
    ],
};

const fn one(signature: &'static str, run: Run) -> Overload {
    Overload::new(signature, Cost::Fixed(1), run)
}

fn of<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let [value] = args else { return Err(Fault::no_such_overload("optional.of", args)) };
    Ok(Value::some(value.clone()))
}

fn of_non_zero<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let [value] = args else { return Err(Fault::no_such_overload("optional.ofNonZeroValue", args)) };
    Ok(if is_zero(value) { Value::Optional(None) } else { Value::some(value.clone()) })
}

fn is_zero(value: &Value<'_>) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Int(i) => *i == 0,
        Value::Uint(u) => *u == 0,
        Value::Double(d) => *d == 0.0,
        Value::Str(text) => text.is_empty(),
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::List(list) => list.is_empty(),
        Value::Map(map) => map.is_empty(),
        Value::Duration(nanoseconds) => *nanoseconds == 0,
        // What Go calls its zero time.
        Value::Timestamp(t) => *t == EARLIEST,
        Value::Type(_) | Value::Optional(_) | Value::Opaque(_) => false,
    }
}

fn none<'a>(_: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    Ok(Value::Optional(None))
}

fn value<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    match args {
        [Value::Optional(Some(value))] => Ok((**value).clone()),
        [Value::Optional(None)] => Err(Fault::new("optional.none() dereference")),
        _ => Err(Fault::no_such_overload("value", args)),
    }
}

fn has_value<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::Optional(value)] = args else { return Err(Fault::no_such_overload("hasValue", args)) };
    Ok(value.is_some().into())
}

fn first<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::List(list)] = args else { return Err(Fault::no_such_overload("first", args)) };
    Ok(list.get(0).map_or(Value::Optional(None), Value::some))
}

fn last<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::List(list)] = args else { return Err(Fault::no_such_overload("last", args)) };
    Ok(list.len().checked_sub(1).and_then(|at| list.get(at)).map_or(Value::Optional(None), Value::some))
}

fn unwrap<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::List(list)] = args else { return Err(Fault::no_such_overload("unwrapOpt", args)) };
    // cel-go takes it as one step; here the elements are copied.
    meter.charge(list.len() as u64)?;
    let mut values = Vec::new();
    for element in list.iter() {
        match element {
            Value::Optional(Some(value)) => values.push((*value).clone()),
            Value::Optional(None) => {}
            other => {
                return Err(Fault::new(format!("a list element is {}, not optional", other.type_name())));
            }
        }
    }
    Ok(Value::list(values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_what_go_calls_zero() {
        for zero in
            [Value::Null, false.into(), 0.into(), Value::Double(-0.0), Value::text(""), Value::list(vec![])]
        {
            assert!(is_zero(&zero), "{zero:?}");
        }
        assert!(is_zero(&Value::Timestamp(EARLIEST)));
        for other in [Value::Timestamp(0), Value::Type("int"), Value::Optional(None), Value::Double(f64::NAN)]
        {
            assert!(!is_zero(&other), "{other:?}");
        }
    }

    #[test]
    fn unwrapping_keeps_values_and_refuses_anything_but_optionals() {
        let meter = &mut Meter::new(10);
        let mixed = Value::list(vec![Value::some(1.into()), Value::Optional(None), Value::some(2.into())]);
        assert_eq!(format!("{:?}", unwrap(&[mixed], meter)), "Ok(List(Made([Int(1), Int(2)])))");
        assert!(unwrap(&[Value::list(vec![1.into()])], meter).is_err());
        assert!(value(&[Value::Optional(None)], meter).is_err());
        let long = Value::list(vec![Value::Optional(None); 11]);
        assert!(matches!(unwrap(&[long], meter), Err(Fault::Budget)));
    }
}
