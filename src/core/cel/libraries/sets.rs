//! Sets: lists whose order and repetitions do not matter.

use super::super::cost::{Cost, Meter};
use super::super::fault::Fault;
use super::super::operators::equal;
use super::super::value::{List, Value};
use super::{Function, Library, Overload};

pub(super) const LIBRARY: Library = Library {
    name: "sets",
    doc: "Lists taken as sets: order and repetitions do not matter.",
    upstream: "https://pkg.go.dev/github.com/google/cel-go/ext#Sets",
    in_admission: true,
    types: &[],
    functions: &[
        Function {
            name: "sets.contains",
            doc: "Whether the first list has every element of the second.",
            examples: &[
                "sets.contains([1, 2, 3], [3, 1])",
                "sets.contains([], [])",
                "!sets.contains([1], [1, 2])",
            ],
            overloads: &[Overload::new("sets.contains(list(A), list(A)) -> bool", Cost::Product, contains)],
        },
        Function {
            name: "sets.equivalent",
            doc: "Whether each list has every element of the other.",
            examples: &["sets.equivalent([1, 2, 2], [2, 1])", "!sets.equivalent([1, 2], [1])"],
            overloads: &[Overload::new(
                "sets.equivalent(list(A), list(A)) -> bool",
                Cost::Product,
                equivalent,
            )],
        },
        Function {
            name: "sets.intersects",
            doc: "Whether the lists have an element in common.",
            examples: &["sets.intersects([1, 2], [2, 3])", "!sets.intersects([], [])"],
            overloads: &[Overload::new(
                "sets.intersects(list(A), list(A)) -> bool",
                Cost::Product,
                intersects,
            )],
        },
    ],
};

fn contains<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::List(all), Value::List(some)] = args else {
        return Err(Fault::no_such_overload("sets.contains", args));
    };
    Ok(has_each(all, some, meter)?.into())
}

fn equivalent<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::List(a), Value::List(b)] = args else {
        return Err(Fault::no_such_overload("sets.equivalent", args));
    };
    Ok((has_each(a, b, meter)? && has_each(b, a, meter)?).into())
}

fn intersects<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::List(a), Value::List(b)] = args else {
        return Err(Fault::no_such_overload("sets.intersects", args));
    };
    for element in b.iter() {
        if has(a, &element, meter)? {
            return Ok(true.into());
        }
    }
    Ok(false.into())
}

fn has_each(all: &List<'_>, some: &List<'_>, meter: &mut Meter) -> Result<bool, Fault> {
    for element in some.iter() {
        if !has(all, &element, meter)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn has(all: &List<'_>, element: &Value<'_>, meter: &mut Meter) -> Result<bool, Fault> {
    for known in all.iter() {
        if equal(&known, element, meter)? {
            return Ok(true);
        }
    }
    Ok(false)
}
