//! Quantities: amounts of resources such as `250m`, `1.5Gi` or `1e3`, exact to a billionth.
//!
//! In come texts of objects and numbers of expressions, out go opaque values and what they are. Only the list of
//! libraries calls this.
//!
//! As in Kubernetes (`k8s.io/apiserver/pkg/cel/library/quantity.go`), with two differences: one number has at most
//! [`decimal::MAX_DIGITS`] digits, and looking at a value never changes what `isInteger` says about it later.

mod amount;
mod decimal;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::cmp::Ordering;

use super::super::cost::{Cost, Meter};
use super::super::fault::Fault;
use super::super::value::{Opaque, Value};
use super::{Function, Library, Overload};
use amount::Amount;

const READ: Cost = Cost::Read { arg: 0, times: 1 };

pub(super) const LIBRARY: Library = Library {
    name: "quantity",
    doc: "Amounts of resources as Kubernetes writes them: `250m`, `1.5Gi`, `1e3`.",
    upstream: "https://pkg.go.dev/k8s.io/apiserver/pkg/cel/library#Quantity",
    in_admission: true,
    types: &[],
    functions: &[
        Function {
            name: "quantity",
            doc: "Reads a quantity: a number and one of the suffixes n u m k M G T P E, Ki Mi Gi Ti Pi Ei, or an \
                  exponent such as e3. Fails when the text is none.",
            examples: &["quantity('1.5Gi') == quantity('1536Mi')", "quantity('200M') == quantity('0.2G')"],
            overloads: &[Overload::new("quantity(string) -> Quantity", READ, quantity)],
        },
        Function {
            name: "isQuantity",
            doc: "Whether a text is a quantity. `200K` is none: the suffix is k.",
            examples: &["isQuantity('1.3Gi')", "!isQuantity('200K')", "!isQuantity('1,3G')"],
            overloads: &[Overload::new("isQuantity(string) -> bool", READ, is_quantity)],
        },
        Function {
            name: "isInteger",
            doc: "Whether asInteger() succeeds. It does not for all whole numbers: `1000m` is kept as thousandths, \
                  and numbers of more than 18 digits and binary ones from about 1Pi on are kept as decimals.",
            examples: &["quantity('50k').isInteger()", "!quantity('1500m').isInteger()"],
            overloads: &[Overload::new("Quantity.isInteger() -> bool", Cost::Fixed(1), is_integer)],
        },
        Function {
            name: "asInteger",
            doc: "The quantity as an int. Fails when isInteger() is false.",
            examples: &["quantity('50k').asInteger() == 50000"],
            overloads: &[Overload::new("Quantity.asInteger() -> int", Cost::Fixed(1), as_integer)],
        },
        Function {
            name: "asApproximateFloat",
            doc: "The quantity as a double, which may not be exact; infinite when it is too large for one.",
            examples: &["quantity('1500m').asApproximateFloat() == 1.5"],
            overloads: &[Overload::new(
                "Quantity.asApproximateFloat() -> double",
                Cost::Fixed(1),
                as_approximate_float,
            )],
        },
        Function {
            name: "sign",
            doc: "1 for a positive quantity, -1 for a negative one, 0 for zero. It is called as `sign(q)`, not on \
                  the quantity.",
            examples: &["sign(quantity('-5m')) == -1", "sign(quantity('0')) == 0"],
            overloads: &[Overload::new("sign(Quantity) -> int", Cost::Fixed(1), sign)],
        },
        Function {
            name: "add",
            doc: "The sum with another quantity or an int.",
            examples: &[
                "quantity('50k').add(quantity('20k')) == quantity('70k')",
                "quantity('50k').add(20) == quantity('50020')",
            ],
            overloads: &[
                Overload::new("Quantity.add(Quantity) -> Quantity", Cost::Fixed(1), add),
                Overload::new("Quantity.add(int) -> Quantity", Cost::Fixed(1), add),
            ],
        },
        Function {
            name: "sub",
            doc: "The difference to another quantity or an int.",
            examples: &[
                "quantity('50k').sub(quantity('20k')) == quantity('30k')",
                "quantity('50k').sub(20000) == quantity('30k')",
            ],
            overloads: &[
                Overload::new("Quantity.sub(Quantity) -> Quantity", Cost::Fixed(1), sub),
                Overload::new("Quantity.sub(int) -> Quantity", Cost::Fixed(1), sub),
            ],
        },
        Function {
            name: "isLessThan",
            doc: "Whether a quantity is less than another.",
            examples: &["quantity('50M').isLessThan(quantity('50Mi'))"],
            overloads: &[Overload::new(
                "Quantity.isLessThan(Quantity) -> bool",
                Cost::Fixed(1),
                is_less_than,
            )],
        },
        Function {
            name: "isGreaterThan",
            doc: "Whether a quantity is greater than another.",
            examples: &["quantity('150Mi').isGreaterThan(quantity('100Mi'))"],
            overloads: &[Overload::new(
                "Quantity.isGreaterThan(Quantity) -> bool",
                Cost::Fixed(1),
                is_greater_than,
            )],
        },
        Function {
            name: "compareTo",
            doc: "0 when two quantities are equal, -1 when the first is less, 1 when it is greater.",
            examples: &[
                "quantity('200M').compareTo(quantity('0.2G')) == 0",
                "quantity('50M').compareTo(quantity('50Mi')) == -1",
            ],
            overloads: &[Overload::new("Quantity.compareTo(Quantity) -> int", Cost::Fixed(1), compare_to)],
        },
    ],
};

/// A quantity as a value.
#[derive(Debug)]
struct Quantity(Amount);

impl Opaque for Quantity {
    fn type_name(&self) -> &'static str {
        "kubernetes.Quantity"
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        (other as &dyn Any).downcast_ref::<Self>().is_some_and(|other| self.0.compare(&other.0).is_eq())
    }
}

fn quantity<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::Str(text)] = args else { return Err(Fault::no_such_overload("quantity", args)) };
    let amount = Amount::parse(text).ok_or_else(|| {
        Fault::new(
            "the text is not a quantity: quantity() wants a number with a suffix, such as '250m', '1.5Gi' or '1e3'",
        )
    })?;
    Ok(Value::opaque(Quantity(amount)))
}

fn is_quantity<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::Str(text)] = args else { return Err(Fault::no_such_overload("isQuantity", args)) };
    Ok(Amount::parse(text).is_some().into())
}

fn is_integer<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    Ok(one("isInteger", args)?.as_i64().is_some().into())
}

fn as_integer<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let value = one("asInteger", args)?.as_i64();
    let value = value.ok_or_else(|| {
        Fault::new("the quantity is not an integer: ask isInteger() first, or use asApproximateFloat()")
    })?;
    Ok(value.into())
}

fn as_approximate_float<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    Ok(Value::Double(one("asApproximateFloat", args)?.as_f64()))
}

fn sign<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    Ok(one("sign", args)?.sign().into())
}

fn add<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    let (amount, other) = with_number("add", args)?;
    sum(&amount, &other, meter)
}

fn sub<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    let (amount, other) = with_number("sub", args)?;
    sum(&amount, &other.negated(), meter)
}

fn is_less_than<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    Ok(compare("isLessThan", args)?.is_lt().into())
}

fn is_greater_than<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    Ok(compare("isGreaterThan", args)?.is_gt().into())
}

fn compare_to<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    Ok((compare("compareTo", args)? as i64).into())
}

fn one<'v>(name: &str, args: &'v [Value<'_>]) -> Result<&'v Amount, Fault> {
    match args {
        [quantity] => quantity.downcast::<Quantity>().map(|quantity| &quantity.0),
        _ => None,
    }
    .ok_or_else(|| Fault::no_such_overload(name, args))
}

fn with_number(name: &str, args: &[Value<'_>]) -> Result<(Amount, Amount), Fault> {
    let [quantity, other] = args else { return Err(Fault::no_such_overload(name, args)) };
    let other = match other {
        Value::Int(units) => Some(Amount::units(*units)),
        other => other.downcast::<Quantity>().map(|other| other.0.clone()),
    };
    quantity
        .downcast::<Quantity>()
        .map(|quantity| quantity.0.clone())
        .zip(other)
        .ok_or_else(|| Fault::no_such_overload(name, args))
}

fn sum<'a>(a: &Amount, b: &Amount, meter: &mut Meter) -> Result<Value<'a>, Fault> {
    let (sum, digits) = a.plus(b).ok_or_else(|| {
        Fault::new(format!(
            "the quantities are too far apart to be added: at most {} digits are kept",
            decimal::MAX_DIGITS
        ))
    })?;
    meter.charge(digits as u64 / 10)?;
    Ok(Value::opaque(Quantity(sum)))
}

fn compare(name: &str, args: &[Value<'_>]) -> Result<Ordering, Fault> {
    let amounts = match args {
        [a, b] => a.downcast::<Quantity>().zip(b.downcast::<Quantity>()),
        _ => None,
    };
    let (a, b) = amounts.ok_or_else(|| Fault::no_such_overload(name, args))?;
    Ok(a.0.compare(&b.0))
}
