//! Lists: the library of Kubernetes, and version 3 of cel-go's.

use std::cmp::Ordering;

use super::super::cost::{Cost, LIST, Meter};
use super::super::fault::Fault;
use super::super::operators::{Arithmetic, calculate, compare, equal};
use super::super::value::{List, Value};
use super::{Function, Library, Overload, Run};

pub(super) const KUBERNETES: Library = Library {
    name: "lists",
    doc: "Order, sums and positions in lists.",
    upstream: "https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-list-library",
    in_admission: true,
    types: &[],
    functions: &[
        Function {
            name: "isSorted",
            doc: "Whether no element is greater than the next one.",
            examples: &["[1, 2, 2].isSorted()", "!['b', 'a'].isSorted()", "[].isSorted()"],
            overloads: &[
                each("list(int).isSorted() -> bool", is_sorted),
                each("list(uint).isSorted() -> bool", is_sorted),
                each("list(double).isSorted() -> bool", is_sorted),
                each("list(bool).isSorted() -> bool", is_sorted),
                each("list(duration).isSorted() -> bool", is_sorted),
                each("list(timestamp).isSorted() -> bool", is_sorted),
                each("list(string).isSorted() -> bool", is_sorted),
                each("list(bytes).isSorted() -> bool", is_sorted),
            ],
        },
        Function {
            name: "sum",
            doc: "The elements, added up; zero for an empty list.",
            examples: &["[1, 2, 3].sum() == 6", "[duration('1m'), duration('1s')].sum() == duration('61s')"],
            overloads: &[
                each("list(int).sum() -> int", sum_of_ints),
                each("list(uint).sum() -> uint", sum_of_uints),
                each("list(double).sum() -> double", sum_of_doubles),
                each("list(duration).sum() -> duration", sum_of_durations),
            ],
        },
        Function {
            name: "max",
            doc: "The greatest element; fails for an empty list.",
            examples: &["[1, 3, 2].max() == 3", "['b', 'a'].max() == 'b'"],
            overloads: &[
                each("list(int).max() -> int", max),
                each("list(uint).max() -> uint", max),
                each("list(double).max() -> double", max),
                each("list(bool).max() -> bool", max),
                each("list(duration).max() -> duration", max),
                each("list(timestamp).max() -> timestamp", max),
                each("list(string).max() -> string", max),
                each("list(bytes).max() -> bytes", max),
            ],
        },
        Function {
            name: "min",
            doc: "The least element; fails for an empty list.",
            examples: &["[3, 1, 2].min() == 1", "['b', 'a'].min() == 'a'"],
            overloads: &[
                each("list(int).min() -> int", min),
                each("list(uint).min() -> uint", min),
                each("list(double).min() -> double", min),
                each("list(bool).min() -> bool", min),
                each("list(duration).min() -> duration", min),
                each("list(timestamp).min() -> timestamp", min),
                each("list(string).min() -> string", min),
                each("list(bytes).min() -> bytes", min),
            ],
        },
        Function {
            name: "indexOf",
            doc: "Where the element is for the first time, from 0; -1 if it is not there.",
            examples: &["['a', 'b', 'a'].indexOf('a') == 0", "[1, 2].indexOf(3) == -1"],
            overloads: &[each("list(A).indexOf(A) -> int", index_of)],
        },
        Function {
            name: "lastIndexOf",
            doc: "Where the element is for the last time, from 0; -1 if it is not there.",
            examples: &["['a', 'b', 'a'].lastIndexOf('a') == 2", "[1, 2].lastIndexOf(3) == -1"],
            overloads: &[each("list(A).lastIndexOf(A) -> int", last_index_of)],
        },
    ],
};

pub(super) const INCLUDES: Library = Library {
    name: "lists, from Kubernetes 1.38",
    doc: "A kube-apiserver 1.37 knows it in policies that are stored already, but refuses it in new ones.",
    upstream: "https://pkg.go.dev/k8s.io/apiserver/pkg/cel/library#Lists",
    in_admission: false,
    types: &[],
    functions: &[Function {
        name: "includes",
        doc: "Whether a list has the element; whether a value that is no list equals it.",
        examples: &["[1, 2].includes(2)", "'a'.includes('a')", "!'abc'.includes('a')"],
        overloads: &[each("dyn.includes(dyn) -> bool", includes)],
    }],
};

pub(super) const EXTENDED: Library = Library {
    name: "lists, extended",
    doc: "Lists made of lists.",
    upstream: "https://pkg.go.dev/github.com/google/cel-go/ext#Lists",
    in_admission: true,
    types: &[],
    functions: &[
        Function {
            name: "slice",
            doc: "The elements from the first position up to, not with, the second one.",
            examples: &["[1, 2, 3, 4].slice(1, 3) == [2, 3]", "[1].slice(1, 1) == []"],
            overloads: &[made("list(A).slice(int, int) -> list(A)", slice)],
        },
        Function {
            name: "flatten",
            doc: "The elements of the lists in a list, one level deep or as many as are said.",
            examples: &[
                "[[1], [2, 3]].flatten() == [1, 2, 3]",
                "[dyn([[1]]), dyn([2])].flatten(2) == [1, 2]",
            ],
            overloads: &[
                Overload::new("list(list(A)).flatten() -> list(A)", Cost::Copy, flatten),
                Overload::new("list(dyn).flatten(int) -> list(dyn)", Cost::Copy, flatten),
            ],
        },
        Function {
            name: "sort",
            doc: "The elements in ascending order; all must be of one type.",
            examples: &["[3, 1, 2].sort() == [1, 2, 3]", "['b', 'a'].sort() == ['a', 'b']"],
            overloads: &[
                sorting("list(int).sort() -> list(int)"),
                sorting("list(uint).sort() -> list(uint)"),
                sorting("list(double).sort() -> list(double)"),
                sorting("list(bool).sort() -> list(bool)"),
                sorting("list(duration).sort() -> list(duration)"),
                sorting("list(timestamp).sort() -> list(timestamp)"),
                sorting("list(string).sort() -> list(string)"),
                sorting("list(bytes).sort() -> list(bytes)"),
            ],
        },
        Function {
            name: "lists.range",
            doc: "The numbers from 0 up to, not with, the given one, which is at most a million.",
            examples: &["lists.range(3) == [0, 1, 2]"],
            overloads: &[made("lists.range(int) -> list(int)", range)],
        },
        Function {
            name: "reverse",
            doc: "The elements from the last to the first.",
            examples: &["[1, 2, 3].reverse() == [3, 2, 1]"],
            overloads: &[Overload::new("list(A).reverse() -> list(A)", Cost::Copy, reverse)],
        },
        Function {
            name: "distinct",
            doc: "The elements without those that equal an earlier one.",
            examples: &["[1, 2, 1].distinct() == [1, 2]"],
            overloads: &[Overload::new("list(A).distinct() -> list(A)", Cost::Square, distinct)],
        },
    ],
};

/// Costs what looking at each element takes.
const fn each(signature: &'static str, run: Run) -> Overload {
    Overload::new(signature, Cost::Traverse, run)
}

/// Costs what a call and a list take; the function charges for the elements.
const fn made(signature: &'static str, run: Run) -> Overload {
    Overload::new(signature, Cost::Fixed(LIST + 1), run)
}

const fn sorting(signature: &'static str) -> Overload {
    Overload::new(signature, Cost::Square, sort)
}

fn is_comparable(value: &Value<'_>) -> bool {
    matches!(
        value,
        Value::Bool(_)
            | Value::Int(_)
            | Value::Uint(_)
            | Value::Double(_)
            | Value::Str(_)
            | Value::Bytes(_)
            | Value::Timestamp(_)
            | Value::Duration(_)
    )
}

/// Which of two elements comes first, if there is an order between them.
fn order(a: &Value<'_>, b: &Value<'_>) -> Option<Ordering> {
    let is_number = |value: &Value<'_>| match value {
        Value::Int(_) | Value::Uint(_) => true,
        Value::Double(d) => !d.is_nan(),
        _ => false,
    };
    let of_one_type =
        std::mem::discriminant(a) == std::mem::discriminant(b) && !matches!(a, Value::Double(_));
    // Comparing is asked only for what can be compared: a fault is slow to make.
    if of_one_type || (is_number(a) && is_number(b)) { compare("<", a, b).ok() } else { None }
}

fn is_sorted<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::List(list)] = args else { return Err(Fault::no_such_overload("isSorted", args)) };
    let mut previous: Option<Value<'a>> = None;
    for element in list.iter() {
        if !is_comparable(&element) {
            return Err(Fault::no_such_overload("isSorted", &[element]));
        }
        if previous.is_some_and(|previous| order(&previous, &element) == Some(Ordering::Greater)) {
            return Ok(false.into());
        }
        previous = Some(element);
    }
    Ok(true.into())
}

fn sum_of_ints<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    sum(args, Value::Int(0), meter)
}

fn sum_of_uints<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    sum(args, Value::Uint(0), meter)
}

fn sum_of_doubles<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    sum(args, Value::Double(0.0), meter)
}

fn sum_of_durations<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    sum(args, Value::Duration(0), meter)
}

fn sum<'a>(args: &[Value<'a>], zero: Value<'a>, meter: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::List(list)] = args else { return Err(Fault::no_such_overload("sum", args)) };
    list.iter().try_fold(zero, |sum, element| {
        // A timestamp could be added to a duration.
        if std::mem::discriminant(&sum) != std::mem::discriminant(&element) {
            return Err(Fault::no_such_overload("sum", &[sum, element]));
        }
        calculate(Arithmetic::Add, &sum, &element, meter)
    })
}

fn max<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    extreme("max", args, Ordering::Less)
}

fn min<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    extreme("min", args, Ordering::Greater)
}

/// The first element to which no later one compares as better. As in Kubernetes, elements that have no order, like
/// NaN, are passed over.
fn extreme<'a>(name: &str, args: &[Value<'a>], worse: Ordering) -> Result<Value<'a>, Fault> {
    let [Value::List(list)] = args else { return Err(Fault::no_such_overload(name, args)) };
    let mut best: Option<Value<'a>> = None;
    for element in list.iter() {
        if !is_comparable(&element) {
            return Err(Fault::no_such_overload(name, &[element]));
        }
        if best.as_ref().is_none_or(|best| order(best, &element) == Some(worse)) {
            best = Some(element);
        }
    }
    best.ok_or_else(|| Fault::new(format!("{name} called on empty list")))
}

fn index_of<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::List(list), wanted] = args else { return Err(Fault::no_such_overload("indexOf", args)) };
    position(list, wanted, 0..list.len(), meter)
}

fn last_index_of<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::List(list), wanted] = args else { return Err(Fault::no_such_overload("lastIndexOf", args)) };
    position(list, wanted, (0..list.len()).rev(), meter)
}

fn position<'a>(
    list: &List<'a>,
    wanted: &Value<'a>,
    places: impl Iterator<Item = usize>,
    meter: &mut Meter,
) -> Result<Value<'a>, Fault> {
    for at in places {
        if let Some(element) = list.get(at)
            && equal(&element, wanted, meter)?
        {
            return Ok(Value::Int(at as i64));
        }
    }
    Ok(Value::Int(-1))
}

fn includes<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    match args {
        [Value::List(list), wanted] => {
            let at = position(list, wanted, 0..list.len(), meter)?;
            Ok((!matches!(at, Value::Int(-1))).into())
        }
        [value, wanted] => equal(value, wanted, meter).map(Value::from),
        _ => Err(Fault::no_such_overload("includes", args)),
    }
}

fn slice<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::List(list), Value::Int(start), Value::Int(end)] = args else {
        return Err(Fault::no_such_overload("slice", args));
    };
    let (Ok(start), Ok(end)) = (usize::try_from(*start), usize::try_from(*end)) else {
        return Err(Fault::new("cannot slice, negative indexes not supported"));
    };
    if start > end {
        return Err(Fault::new("cannot slice, start index must be less than or equal to end index"));
    }
    if end > list.len() {
        return Err(Fault::new("cannot slice, the end index is greater than the length of the list"));
    }
    meter.charge((end - start) as u64)?;
    Ok(match list {
        List::Tree(nodes) => Value::List(List::Tree(&nodes[start..end])),
        List::Made(values) => Value::List(List::Made(values[start..end].into())),
    })
}

fn flatten<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    let (list, depth) = match args {
        [Value::List(list)] => (list, 1),
        [Value::List(list), Value::Int(depth)] => match u64::try_from(*depth) {
            Ok(depth) => (list, depth),
            Err(_) => return Err(Fault::new("level must be non-negative")),
        },
        _ => return Err(Fault::no_such_overload("flatten", args)),
    };
    // The first level is in the declared cost.
    meter.charge((list.len() as u64).saturating_mul(depth.saturating_sub(1)))?;
    let mut flat = Vec::new();
    flatten_into(&mut flat, list, depth, meter)?;
    Ok(Value::list(flat))
}

/// Recurses no deeper than values nest.
fn flatten_into<'a>(
    flat: &mut Vec<Value<'a>>,
    list: &List<'a>,
    depth: u64,
    meter: &mut Meter,
) -> Result<(), Fault> {
    for element in list.iter() {
        // cel-go does not count what is within the elements.
        meter.charge(1)?;
        match element {
            Value::List(inner) if depth > 0 => flatten_into(flat, &inner, depth - 1, meter)?,
            element => flat.push(element),
        }
    }
    Ok(())
}

fn sort<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::List(list)] = args else { return Err(Fault::no_such_overload("sort", args)) };
    check_sortable(list, meter)?;
    let mut sorted: Vec<Value<'a>> = list.iter().collect();
    sorted.sort_by(total_order);
    Ok(Value::list(sorted))
}

/// The elements of `list` in the order of `keys`, which has as many. Charges for sorting.
pub(in super::super) fn sort_by<'a>(
    list: &List<'a>,
    keys: &List<'a>,
    meter: &mut Meter,
) -> Result<Value<'a>, Fault> {
    let len = keys.len() as u64;
    meter.charge(len.saturating_mul(len).saturating_mul(2))?;
    check_sortable(keys, meter)?;
    let mut sorted: Vec<(Value<'a>, Value<'a>)> = keys.iter().zip(list.iter()).collect();
    sorted.sort_by(|(a, _), (b, _)| total_order(a, b));
    Ok(Value::list(sorted.into_iter().map(|(_, element)| element).collect()))
}

/// Whether all keys can be compared with each other; charges for reading texts.
fn check_sortable(keys: &List<'_>, meter: &mut Meter) -> Result<(), Fault> {
    let Some(first) = keys.get(0) else { return Ok(()) };
    charge_texts(keys, meter)?;
    if !is_comparable(&first) {
        return Err(Fault::new("list elements must be comparable"));
    }
    let rounds = u64::from(keys.len().ilog2()) + 1;
    for key in keys.iter() {
        if std::mem::discriminant(&key) != std::mem::discriminant(&first) {
            return Err(Fault::new("list elements must have the same type"));
        }
        // Long texts are read in each round.
        meter.charge(key.size() / 256 * rounds)?;
    }
    Ok(())
}

/// Of keys that can be sorted. NaN comes first; where cel-go leaves it is by chance.
fn total_order(a: &Value<'_>, b: &Value<'_>) -> Ordering {
    let is_number = |value: &Value<'_>| !matches!(value, Value::Double(d) if d.is_nan());
    order(a, b).unwrap_or_else(|| is_number(a).cmp(&is_number(b)))
}

/// What cel-go counts for comparing all elements with each other if they are texts, beside [`Cost::Square`].
fn charge_texts(list: &List<'_>, meter: &mut Meter) -> Result<(), Fault> {
    let len = list.len() as u64;
    let texts = matches!(list.get(0), Some(Value::Str(_) | Value::Bytes(_)));
    meter.charge(if texts { len.saturating_mul(len) / 10 } else { 0 })
}

/// The most that cel-go makes.
const LONGEST_RANGE: i64 = 1_000_000;

fn range<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::Int(size)] = args else { return Err(Fault::no_such_overload("lists.range", args)) };
    if *size < 0 {
        return Err(Fault::new("lists.range: size must be non-negative"));
    }
    if *size > LONGEST_RANGE {
        return Err(Fault::new(format!("lists.range: size exceeds maximum allowed ({LONGEST_RANGE})")));
    }
    meter.charge(size.unsigned_abs())?;
    Ok(Value::list((0..*size).map(Value::Int).collect()))
}

fn reverse<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::List(list)] = args else { return Err(Fault::no_such_overload("reverse", args)) };
    let mut reversed: Vec<Value<'a>> = list.iter().collect();
    reversed.reverse();
    Ok(Value::list(reversed))
}

fn distinct<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::List(list)] = args else { return Err(Fault::no_such_overload("distinct", args)) };
    charge_texts(list, meter)?;
    let mut distinct: Vec<Value<'a>> = Vec::new();
    for element in list.iter() {
        let mut seen = false;
        for other in &distinct {
            // Texts of different length are told apart at once.
            if element.size() == other.size() {
                meter.charge(element.size() / 256)?;
            }
            if equal(&element, other, meter)? {
                seen = true;
                break;
            }
        }
        if !seen {
            distinct.push(element);
        }
    }
    Ok(Value::list(distinct))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list<'a>(elements: &[Value<'a>]) -> Value<'a> {
        Value::list(elements.to_vec())
    }

    fn ints(elements: &[i64]) -> Value<'static> {
        Value::list(elements.iter().copied().map(Value::Int).collect())
    }

    fn call<'a>(run: Run, args: &[Value<'a>]) -> String {
        match run(args, &mut Meter::new(1000)) {
            Ok(value) => format!("{value:?}").replace("List(Made(", "(").replace("))", ")"),
            Err(Fault::Error(error)) => error.to_string(),
            Err(Fault::Budget) => "budget".to_owned(),
        }
    }

    // What Kubernetes 1.37 says.
    #[test]
    fn elements_without_an_order_are_passed_over() {
        let (one, nan, a) = (Value::Double(1.0), Value::Double(f64::NAN), Value::text("a"));
        assert_eq!(call(max, &[list(&[nan.clone(), one.clone()])]), "Double(NaN)");
        assert_eq!(call(max, &[list(&[one.clone(), nan.clone()])]), "Double(1.0)");
        assert_eq!(call(is_sorted, &[list(&[one, nan, Value::Double(0.5)])]), "Bool(true)");
        assert_eq!(call(max, &[list(&[1.into(), a.clone()])]), "Int(1)");
        assert_eq!(call(is_sorted, &[list(&[a, 1.into()])]), "Bool(true)");
        assert_eq!(call(max, &[list(&[1.into(), Value::Double(1.5), Value::Uint(2)])]), "Uint(2)");
        assert_eq!(call(min, &[list(&[2.into(), Value::Double(1.5)])]), "Double(1.5)");
    }

    #[test]
    fn elements_that_cannot_be_compared_or_added_fail() {
        let nested = list(&[ints(&[1])]);
        assert!(call(max, std::slice::from_ref(&nested)).contains("`max` does not take a list"));
        assert!(call(is_sorted, &[nested]).contains("`isSorted` does not take a list"));
        assert!(call(max, &[list(&[])]).contains("max called on empty list"));
        assert!(call(min, &[list(&[])]).contains("min called on empty list"));
        assert!(
            call(sum_of_ints, &[list(&[1.into(), Value::Double(2.0)])])
                .contains("`sum` does not take an int and a double")
        );
        assert!(call(sum_of_durations, &[list(&[Value::Timestamp(0)])]).contains("no such overload"));
        assert!(call(sum_of_ints, &[ints(&[i64::MAX, 1])]).contains("overflow"));
        assert_eq!(call(sum_of_ints, &[list(&[])]), "Int(0)");
        assert_eq!(call(sum_of_doubles, &[list(&[])]), "Double(0.0)");
    }

    #[test]
    fn positions_count_from_zero_and_numbers_equal_across_types() {
        assert_eq!(call(index_of, &[ints(&[1, 2, 1]), Value::Double(1.0)]), "Int(0)");
        assert_eq!(call(last_index_of, &[ints(&[1, 2, 1]), Value::Uint(1)]), "Int(2)");
        assert_eq!(call(last_index_of, &[ints(&[]), Value::Int(1)]), "Int(-1)");
        assert_eq!(call(includes, &[ints(&[1]), Value::Uint(1)]), "Bool(true)");
        assert_eq!(call(includes, &[Value::text("abc"), Value::text("a")]), "Bool(false)");
    }

    #[test]
    fn slices_stay_within_the_list() {
        let three = ints(&[1, 2, 3]);
        let of = |start: i64, end: i64| call(slice, &[three.clone(), start.into(), end.into()]);
        assert_eq!(of(1, 3), "([Int(2), Int(3)])");
        assert_eq!(of(3, 3), "([])");
        for (start, end) in [(2, 1), (-1, 1), (0, 4), (0, i64::MAX), (i64::MIN, i64::MAX)] {
            assert!(of(start, end).contains("cannot slice"), "{start} {end}");
        }
    }

    #[test]
    fn flattening_goes_as_deep_as_said() {
        let nested = list(&[1.into(), list(&[2.into(), ints(&[3])])]);
        assert_eq!(call(flatten, std::slice::from_ref(&nested)), "([Int(1), Int(2), ([Int(3)])])");
        assert_eq!(call(flatten, &[nested.clone(), 2.into()]), "([Int(1), Int(2), Int(3)])");
        assert_eq!(call(flatten, &[ints(&[1]), 0.into()]), "([Int(1)])");
        assert!(call(flatten, &[nested.clone(), (-1).into()]).contains("non-negative"));
        assert_eq!(call(flatten, &[nested, i64::MAX.into()]), "budget");
    }

    #[test]
    fn lists_that_hold_themselves_many_times_over_are_paid_for() {
        let mut doubled = ints(&[1]);
        for _ in 0..30 {
            doubled = list(&[doubled.clone(), doubled]);
        }
        assert_eq!(call(flatten, &[doubled, 31.into()]), "budget");
    }

    #[test]
    fn sorting_wants_one_type() {
        assert_eq!(call(sort, &[ints(&[3, 1, 2])]), "([Int(1), Int(2), Int(3)])");
        assert_eq!(call(sort, &[list(&[true.into(), false.into()])]), "([Bool(false), Bool(true)])");
        assert_eq!(call(sort, &[list(&[])]), "([])");
        assert!(call(sort, &[list(&[1.into(), Value::Double(1.0)])]).contains("same type"));
        assert!(call(sort, &[list(&[ints(&[1])])]).contains("comparable"));
        let by = sort_by(
            &List::Made([Value::text("a"), Value::text("b")].into()),
            &List::Made([2.into(), 1.into()].into()),
            &mut Meter::new(8),
        );
        assert!(
            matches!(by, Ok(Value::List(sorted)) if matches!(&sorted.get(0), Some(Value::Str(s)) if &**s == "b"))
        );
    }

    #[test]
    fn sorting_never_panics_whatever_has_no_order() {
        // A sort that notices an order that makes no sense may panic.
        let mixed =
            (0..100).map(|n| Value::Double(if n % 3 == 0 { f64::NAN } else { f64::from(n * 37 % 50) }));
        let mut meter = Meter::new(1_000_000);
        assert!(sort(&[Value::list(mixed.collect())], &mut meter).is_ok());
    }

    #[test]
    fn distinct_keeps_the_first() {
        let mixed = list(&[1.into(), Value::Double(1.0), Value::Uint(2), 2.into(), Value::text("1")]);
        assert_eq!(call(distinct, &[mixed]), "([Int(1), Uint(2), Str(Made(\"1\")])");
    }

    #[test]
    fn costs_are_those_of_cel_go() {
        let texts = list(&[Value::text("b"), Value::text("a"), Value::text("a"), Value::text("c")]);
        for (name, args, cost) in [
            ("sort", vec![ints(&[3, 1, 2])], 29),
            ("sort", vec![texts.clone()], 44),
            ("distinct", vec![ints(&[1, 2, 3])], 29),
            ("distinct", vec![texts], 44),
            ("lists.range", vec![10.into()], 21),
            ("reverse", vec![ints(&[1, 2, 3])], 14),
            ("slice", vec![ints(&[1, 2, 3]), 0.into(), 2.into()], 13),
            ("sum", vec![ints(&[1, 2, 3])], 3),
            ("indexOf", vec![list(&[Value::text("ab"), Value::text("c")]), Value::text("c")], 2),
        ] {
            let all = KUBERNETES.functions.iter().chain(EXTENDED.functions);
            let overload = &all.rev().find(|f| f.name == name).unwrap().overloads[0];
            let mut meter = Meter::new(1000);
            assert!(meter.charge(overload.cost.of(&args)).is_ok());
            assert!((overload.run)(&args, &mut meter).is_ok());
            assert_eq!(1000 - meter.left(), cost, "{name} {args:?}");
        }
    }

    #[test]
    fn ranges_are_paid_before_they_are_made() {
        assert_eq!(call(range, &[1001.into()]), "budget");
        assert!(call(range, &[(-1).into()]).contains("non-negative"));
        assert!(call(range, &[i64::MAX.into()]).contains("maximum"));
    }

    #[test]
    fn long_texts_are_paid_for_each_time_they_are_read() {
        let long = Value::text("x".repeat(512_000));
        assert_eq!(call(distinct, &[list(&[long.clone(), long.clone()])]), "budget");
        assert_eq!(call(sort, &[list(&[long.clone(), long])]), "budget");
    }
}
