//! The operators: equality, order, arithmetic, membership.
//!
//! They follow cel-go (`common/types`) as Kubernetes sets it up: numbers of all three types are one line of numbers
//! for `==` and `<`, and never mix in arithmetic; values of different types are unequal, not an error.

use std::cmp::Ordering;

use super::cost::Meter;
use super::error::EvalError;
use super::fault::Fault;
use super::value::{EARLIEST, LATEST, List, Map, Value};

/// An operator on two numbers, texts, lists or times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

/// A comparison by order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }

    fn symbol(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

impl Arithmetic {
    fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
        }
    }
}

/// Whether two values are equal. What is compared within lists and maps is charged.
pub(super) fn equal(a: &Value<'_>, b: &Value<'_>, meter: &mut Meter) -> Result<bool, Fault> {
    Ok(match (a, b) {
        (Value::List(a), Value::List(b)) => return equal_lists(a, b, meter),
        (Value::Map(a), Value::Map(b)) => return equal_maps(a, b, meter),
        (Value::Optional(Some(a)), Value::Optional(Some(b))) => return equal(a, b, meter),
        (Value::Optional(a), Value::Optional(b)) => a.is_none() && b.is_none(),
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Str(a), Value::Str(b)) => **a == **b,
        (Value::Bytes(a), Value::Bytes(b)) => a == b,
        (Value::Timestamp(a), Value::Timestamp(b)) => a == b,
        (Value::Duration(a), Value::Duration(b)) => a == b,
        (Value::Type(a), Value::Type(b)) => a == b,
        (Value::Opaque(a), Value::Opaque(b)) if a.type_name() == b.type_name() => a.equals(&**b),
        // As Kubernetes' libraries do.
        (Value::Opaque(_), Value::Null) => false,
        (Value::Opaque(_), _) => return Err(Fault::no_such_overload("==", &[a.clone(), b.clone()])),
        _ => numbers(a, b) == Some(Some(Ordering::Equal)),
    })
}

fn equal_lists(a: &List<'_>, b: &List<'_>, meter: &mut Meter) -> Result<bool, Fault> {
    if a.len() != b.len() {
        return Ok(false);
    }
    for (a, b) in a.iter().zip(b.iter()) {
        meter.charge(1 + a.size().min(b.size()) / 10)?;
        if !equal(&a, &b, meter)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn equal_maps(a: &Map<'_>, b: &Map<'_>, meter: &mut Meter) -> Result<bool, Fault> {
    if a.len() != b.len() {
        return Ok(false);
    }
    for (key, a) in a.iter() {
        meter.charge(1 + lookup_cost(b))?;
        let Some(b) = b.get(&key) else { return Ok(false) };
        meter.charge(a.size().min(b.size()) / 10)?;
        if !equal(&a, &b, meter)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Looking something up in a map of the tree reads its keys one after the other. What cel-go does not charge,
/// because its maps are hashed.
pub(super) fn lookup_cost(map: &Map<'_>) -> u64 {
    map.len() as u64 / 16
}

/// The order of two numbers; `Some(None)` when one is not a number.
fn numbers(a: &Value<'_>, b: &Value<'_>) -> Option<Option<Ordering>> {
    Some(match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Uint(a), Value::Uint(b)) => Some(a.cmp(b)),
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Int(a), Value::Uint(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Value::Uint(a), Value::Int(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        // As in cel-go both are compared as doubles.
        (Value::Int(a), Value::Double(b)) => (*a as f64).partial_cmp(b),
        (Value::Uint(a), Value::Double(b)) => (*a as f64).partial_cmp(b),
        (Value::Double(a), Value::Int(b)) => a.partial_cmp(&(*b as f64)),
        (Value::Double(a), Value::Uint(b)) => a.partial_cmp(&(*b as f64)),
        _ => return None,
    })
}

/// `<`, `<=`, `>`, `>=`.
pub(super) fn ordered<'a>(order: Order, a: &Value<'a>, b: &Value<'a>) -> Result<bool, Fault> {
    compare(order.symbol(), a, b).map(|ordering| order.holds(ordering))
}

/// Which of two values comes first.
pub(super) fn compare<'a>(name: &str, a: &Value<'a>, b: &Value<'a>) -> Result<Ordering, Fault> {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Ok(a.cmp(b)),
        (Value::Str(a), Value::Str(b)) => Ok((**a).cmp(&**b)),
        (Value::Bytes(a), Value::Bytes(b)) => Ok(a.cmp(b)),
        (Value::Timestamp(a), Value::Timestamp(b)) => Ok(a.cmp(b)),
        (Value::Duration(a), Value::Duration(b)) => Ok(a.cmp(b)),
        _ => match numbers(a, b) {
            Some(Some(ordering)) => Ok(ordering),
            Some(None) => Err(Fault::new("NaN values cannot be ordered")),
            None => Err(Fault::no_such_overload(name, &[a.clone(), b.clone()])),
        },
    }
}

/// `+`, `-`, `*`, `/`, `%`.
pub(super) fn calculate<'a>(
    operator: Arithmetic,
    a: &Value<'a>,
    b: &Value<'a>,
    meter: &mut Meter,
) -> Result<Value<'a>, Fault> {
    use Arithmetic::{Add, Divide, Modulo, Multiply, Subtract};
    match (operator, a, b) {
        (_, Value::Int(a), Value::Int(b)) => {
            let by =
                [i64::checked_add, i64::checked_sub, i64::checked_mul, i64::checked_div, i64::checked_rem];
            whole(operator, *a, *b, by, "integer overflow").map(Value::Int)
        }
        (_, Value::Uint(a), Value::Uint(b)) => {
            let by =
                [u64::checked_add, u64::checked_sub, u64::checked_mul, u64::checked_div, u64::checked_rem];
            whole(operator, *a, *b, by, "unsigned integer overflow").map(Value::Uint)
        }
        (Add, Value::Double(a), Value::Double(b)) => Ok(Value::Double(a + b)),
        (Subtract, Value::Double(a), Value::Double(b)) => Ok(Value::Double(a - b)),
        (Multiply, Value::Double(a), Value::Double(b)) => Ok(Value::Double(a * b)),
        (Divide, Value::Double(a), Value::Double(b)) => Ok(Value::Double(a / b)),
        (Add, Value::Str(a), Value::Str(b)) => Ok(Value::text([&**a, &**b].concat())),
        (Add, Value::Bytes(a), Value::Bytes(b)) => Ok(Value::Bytes([&**a, &**b].concat().into())),
        (Add, Value::List(a), Value::List(b)) => {
            // cel-go links the two lists and charges nothing; here they are copied.
            meter.charge(3 * (a.len() as u64 + b.len() as u64))?;
            Ok(Value::List(List::Made(a.iter().chain(b.iter()).collect::<Vec<_>>().into())))
        }
        (Add, Value::Timestamp(t), Value::Duration(d)) | (Add, Value::Duration(d), Value::Timestamp(t)) => {
            timestamp(*t + i128::from(*d))
        }
        (Subtract, Value::Timestamp(t), Value::Duration(d)) => timestamp(*t - i128::from(*d)),
        (Subtract, Value::Timestamp(a), Value::Timestamp(b)) => {
            i64::try_from(a - b).map(Value::Duration).map_err(|_| Fault::new("duration overflow"))
        }
        (Add, Value::Duration(a), Value::Duration(b)) => {
            a.checked_add(*b).map(Value::Duration).ok_or_else(|| Fault::new("duration overflow"))
        }
        (Subtract, Value::Duration(a), Value::Duration(b)) => {
            a.checked_sub(*b).map(Value::Duration).ok_or_else(|| Fault::new("duration overflow"))
        }
        (Multiply | Divide | Modulo | Add | Subtract, ..) => {
            Err(Fault::no_such_overload(operator.symbol(), &[a.clone(), b.clone()]))
        }
    }
}

/// Calculates with whole numbers of one type. `by` has what adds, subtracts, multiplies, divides and leaves the rest.
fn whole<T: Copy + Default + PartialEq>(
    operator: Arithmetic,
    a: T,
    b: T,
    by: [fn(T, T) -> Option<T>; 5],
    overflow: &str,
) -> Result<T, Fault> {
    let [add, subtract, multiply, divide, rest] = by;
    let zero = b == T::default();
    let result = match operator {
        Arithmetic::Add => add(a, b),
        Arithmetic::Subtract => subtract(a, b),
        Arithmetic::Multiply => multiply(a, b),
        Arithmetic::Divide if zero => return Err(Fault::new("division by zero")),
        Arithmetic::Modulo if zero => return Err(Fault::new("modulus by zero")),
        Arithmetic::Divide => divide(a, b),
        Arithmetic::Modulo => rest(a, b),
    };
    result.ok_or_else(|| Fault::new(overflow))
}

/// A point in time, if CEL has it.
pub(super) fn timestamp<'a>(nanoseconds: i128) -> Result<Value<'a>, Fault> {
    (EARLIEST..=LATEST)
        .contains(&nanoseconds)
        .then_some(Value::Timestamp(nanoseconds))
        .ok_or_else(|| Fault::new("timestamp overflow"))
}

/// `-x`.
pub(super) fn negate<'a>(value: &Value<'a>) -> Result<Value<'a>, Fault> {
    match value {
        Value::Int(i) => i.checked_neg().map(Value::Int).ok_or_else(|| Fault::new("integer overflow")),
        Value::Double(d) => Ok(Value::Double(-d)),
        Value::Duration(d) => {
            d.checked_neg().map(Value::Duration).ok_or_else(|| Fault::new("duration overflow"))
        }
        other => Err(Fault::no_such_overload("-", std::slice::from_ref(other))),
    }
}

/// `x in y`.
pub(super) fn within<'a>(element: &Value<'a>, whole: &Value<'a>, meter: &mut Meter) -> Result<bool, Fault> {
    match whole {
        Value::List(list) => {
            for known in list.iter() {
                if equal(&known, element, meter)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Value::Map(map) => {
            meter.charge(lookup_cost(map))?;
            Ok(map.get(element).is_some())
        }
        _ => Err(Fault::no_such_overload("in", &[element.clone(), whole.clone()])),
    }
}

/// `x[i]`.
pub(super) fn index<'a>(whole: &Value<'a>, key: &Value<'a>, meter: &mut Meter) -> Result<Value<'a>, Fault> {
    match whole {
        Value::List(list) => {
            let at = list_index(key)?;
            let found = usize::try_from(at).ok().and_then(|at| list.get(at));
            found.ok_or_else(|| Fault::new("index out of bounds"))
        }
        Value::Map(map) => {
            meter.charge(lookup_cost(map))?;
            map.get(key).ok_or_else(|| EvalError::NoSuchKey { key: None }.into())
        }
        _ => Err(Fault::no_such_overload("[]", &[whole.clone(), key.clone()])),
    }
}

/// `x[?i]`: nothing where `x[i]` has no such key or index.
pub(super) fn index_if_there<'a>(
    whole: &Value<'a>,
    key: &Value<'a>,
    meter: &mut Meter,
) -> Result<Option<Value<'a>>, Fault> {
    match whole {
        Value::List(list) => Ok(usize::try_from(list_index(key)?).ok().and_then(|at| list.get(at))),
        Value::Map(map) => {
            meter.charge(lookup_cost(map))?;
            Ok(map.get(key))
        }
        _ => Ok(None),
    }
}

fn list_index(key: &Value<'_>) -> Result<i64, Fault> {
    match key {
        Value::Int(i) => Ok(*i),
        Value::Uint(u) => Ok(i64::try_from(*u).unwrap_or(i64::MAX)),
        Value::Double(d) if d.fract() == 0.0 && d.abs() < 9e15 => Ok(*d as i64),
        other => Err(Fault::new(format!("unsupported index type {} in list", other.type_name()))),
    }
}
