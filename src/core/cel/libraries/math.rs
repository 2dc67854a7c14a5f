//! Calculating.

use std::cmp::Ordering;

use super::super::cost::{Cost, Meter};
use super::super::fault::Fault;
use super::super::operators::compare;
use super::super::value::Value;
use super::{Function, Library, Overload, Run};

pub(super) const LIBRARY: Library = Library {
    name: "math",
    doc: "Calculating beyond the operators.",
    upstream: "https://pkg.go.dev/github.com/google/cel-go/ext#Math",
    in_admission: false,
    types: &[],
    functions: &[
        // `math.greatest(…)` and `math.least(…)` are macros for these two, as in cel-go: more than two arguments
        // become one list.
        Function {
            name: "math.@max",
            doc: "The greatest of one or more numbers, or of a list of numbers.",
            examples: &["math.greatest(1, 3, 2) == 3", "math.greatest([1.5, -2.0]) == 1.5"],
            overloads: &[
                one("math.@max(double) -> double", max),
                one("math.@max(int) -> int", max),
                one("math.@max(uint) -> uint", max),
                one("math.@max(double, double) -> double", max),
                one("math.@max(int, int) -> int", max),
                one("math.@max(uint, uint) -> uint", max),
                one("math.@max(int, uint) -> dyn", max),
                one("math.@max(int, double) -> dyn", max),
                one("math.@max(double, int) -> dyn", max),
                one("math.@max(double, uint) -> dyn", max),
                one("math.@max(uint, int) -> dyn", max),
                one("math.@max(uint, double) -> dyn", max),
                one("math.@max(list(double)) -> double", max_list),
                one("math.@max(list(int)) -> int", max_list),
                one("math.@max(list(uint)) -> uint", max_list),
            ],
        },
        Function {
            name: "math.@min",
            doc: "The least of one or more numbers, or of a list of numbers.",
            examples: &["math.least(3, 1, 2) == 1", "math.least([1.5, -2.0]) == -2.0"],
            overloads: &[
                one("math.@min(double) -> double", min),
                one("math.@min(int) -> int", min),
                one("math.@min(uint) -> uint", min),
                one("math.@min(double, double) -> double", min),
                one("math.@min(int, int) -> int", min),
                one("math.@min(uint, uint) -> uint", min),
                one("math.@min(int, uint) -> dyn", min),
                one("math.@min(int, double) -> dyn", min),
                one("math.@min(double, int) -> dyn", min),
                one("math.@min(double, uint) -> dyn", min),
                one("math.@min(uint, int) -> dyn", min),
                one("math.@min(uint, double) -> dyn", min),
                one("math.@min(list(double)) -> double", min_list),
                one("math.@min(list(int)) -> int", min_list),
                one("math.@min(list(uint)) -> uint", min_list),
            ],
        },
        Function {
            name: "math.abs",
            doc: "The number without its sign.",
            examples: &["math.abs(-1.5) == 1.5"],
            overloads: &[
                one("math.abs(double) -> double", abs),
                one("math.abs(int) -> int", abs),
                one("math.abs(uint) -> uint", abs),
            ],
        },
        Function {
            name: "math.sign",
            doc: "-1, 0 or 1 for numbers below, at and above zero.",
            examples: &["math.sign(-42) == -1", "math.sign(0.5) == 1.0"],
            overloads: &[
                one("math.sign(double) -> double", sign),
                one("math.sign(int) -> int", sign),
                one("math.sign(uint) -> uint", sign),
            ],
        },
        Function {
            name: "math.ceil",
            doc: "The next whole number that is not less.",
            examples: &["math.ceil(1.2) == 2.0", "math.ceil(-1.2) == -1.0"],
            overloads: &[one("math.ceil(double) -> double", ceil)],
        },
        Function {
            name: "math.floor",
            doc: "The next whole number that is not greater.",
            examples: &["math.floor(1.2) == 1.0", "math.floor(-1.2) == -2.0"],
            overloads: &[one("math.floor(double) -> double", floor)],
        },
        Function {
            name: "math.round",
            doc: "The nearest whole number; the one further from zero if two are.",
            examples: &["math.round(2.5) == 3.0", "math.round(-2.5) == -3.0"],
            overloads: &[one("math.round(double) -> double", round)],
        },
        Function {
            name: "math.trunc",
            doc: "The number without what is behind the point.",
            examples: &["math.trunc(-1.7) == -1.0"],
            overloads: &[one("math.trunc(double) -> double", trunc)],
        },
        Function {
            name: "math.isInf",
            doc: "Whether the number is infinite.",
            examples: &["math.isInf(1.0 / 0.0)"],
            overloads: &[one("math.isInf(double) -> bool", is_infinite)],
        },
        Function {
            name: "math.isNaN",
            doc: "Whether the value is not a number.",
            examples: &["math.isNaN(0.0 / 0.0)"],
            overloads: &[one("math.isNaN(double) -> bool", is_nan)],
        },
        Function {
            name: "math.isFinite",
            doc: "Whether the number is neither infinite nor not a number.",
            examples: &["math.isFinite(1.5)"],
            overloads: &[one("math.isFinite(double) -> bool", is_finite)],
        },
        Function {
            name: "math.sqrt",
            doc: "The square root; not a number for numbers below zero.",
            examples: &["math.sqrt(81) == 9.0"],
            overloads: &[
                one("math.sqrt(double) -> double", sqrt),
                one("math.sqrt(int) -> double", sqrt),
                one("math.sqrt(uint) -> double", sqrt),
            ],
        },
        Function {
            name: "math.bitAnd",
            doc: "The bits that both numbers have.",
            examples: &["math.bitAnd(6, 3) == 2"],
            overloads: &[
                one("math.bitAnd(int, int) -> int", bit_and),
                one("math.bitAnd(uint, uint) -> uint", bit_and),
            ],
        },
        Function {
            name: "math.bitOr",
            doc: "The bits that any of the numbers has.",
            examples: &["math.bitOr(6, 3) == 7"],
            overloads: &[
                one("math.bitOr(int, int) -> int", bit_or),
                one("math.bitOr(uint, uint) -> uint", bit_or),
            ],
        },
        Function {
            name: "math.bitXor",
            doc: "The bits that one of the numbers has and the other has not.",
            examples: &["math.bitXor(6, 3) == 5"],
            overloads: &[
                one("math.bitXor(int, int) -> int", bit_xor),
                one("math.bitXor(uint, uint) -> uint", bit_xor),
            ],
        },
        Function {
            name: "math.bitNot",
            doc: "The bits that the number does not have.",
            examples: &["math.bitNot(0) == -1"],
            overloads: &[one("math.bitNot(int) -> int", bit_not), one("math.bitNot(uint) -> uint", bit_not)],
        },
        Function {
            name: "math.bitShiftLeft",
            doc: "The bits, moved to the left by so many places, which must not be below zero.",
            examples: &["math.bitShiftLeft(1, 3) == 8", "math.bitShiftLeft(1, 64) == 0"],
            overloads: &[
                one("math.bitShiftLeft(int, int) -> int", shift_left),
                one("math.bitShiftLeft(uint, int) -> uint", shift_left),
            ],
        },
        Function {
            name: "math.bitShiftRight",
            doc: "The bits, moved to the right by so many places, which must not be below zero. The sign moves along.",
            examples: &["math.bitShiftRight(8, 3) == 1", "math.bitShiftRight(-1, 63) == 1"],
            overloads: &[
                one("math.bitShiftRight(int, int) -> int", shift_right),
                one("math.bitShiftRight(uint, int) -> uint", shift_right),
            ],
        },
    ],
};

const fn one(signature: &'static str, run: Run) -> Overload {
    Overload::new(signature, Cost::Fixed(1), run)
}

fn max<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    extreme("math.@max", args.iter().cloned(), Ordering::Less)
}

fn max_list<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    extreme_of_list("math.@max", args, meter, Ordering::Less)
}

fn min<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    extreme("math.@min", args.iter().cloned(), Ordering::Greater)
}

fn min_list<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    extreme_of_list("math.@min", args, meter, Ordering::Greater)
}

fn extreme_of_list<'a>(
    name: &str,
    args: &[Value<'a>],
    meter: &mut Meter,
    worse: Ordering,
) -> Result<Value<'a>, Fault> {
    let [Value::List(list)] = args else { return Err(Fault::no_such_overload(name, args)) };
    // cel-go takes it as one step.
    meter.charge(list.len() as u64)?;
    extreme(name, list.iter(), worse)
}

/// The first number to which no other one compares as better; the least is best if the greater is worse.
fn extreme<'a>(
    name: &str,
    mut numbers: impl Iterator<Item = Value<'a>>,
    worse: Ordering,
) -> Result<Value<'a>, Fault> {
    let Some(mut best) = numbers.next() else {
        return Err(Fault::new(format!("{name}(list) argument must not be empty")));
    };
    for number in numbers {
        if compare(name, &best, &number)? == worse {
            best = number;
        }
    }
    match best {
        Value::Int(_) | Value::Uint(_) | Value::Double(_) => Ok(best),
        other => Err(Fault::no_such_overload(name, &[other])),
    }
}

fn abs<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    match args {
        [Value::Double(d)] => Ok(Value::Double(d.abs())),
        [Value::Int(i)] => i.checked_abs().map(Value::Int).ok_or_else(|| Fault::new("integer overflow")),
        [Value::Uint(u)] => Ok(Value::Uint(*u)),
        _ => Err(Fault::no_such_overload("math.abs", args)),
    }
}

fn sign<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    match args {
        [Value::Double(d)] if d.is_nan() => Ok(Value::Double(*d)),
        [Value::Double(d)] if *d == 0.0 => Ok(Value::Double(0.0)),
        [Value::Double(d)] => Ok(Value::Double(d.signum())),
        [Value::Int(i)] => Ok(Value::Int(i.signum())),
        [Value::Uint(u)] => Ok(Value::Uint((*u).min(1))),
        _ => Err(Fault::no_such_overload("math.sign", args)),
    }
}

fn double(name: &str, args: &[Value<'_>]) -> Result<f64, Fault> {
    let [Value::Double(d)] = args else { return Err(Fault::no_such_overload(name, args)) };
    Ok(*d)
}

fn ceil<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    double("math.ceil", args).map(|d| Value::Double(d.ceil()))
}

fn floor<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    double("math.floor", args).map(|d| Value::Double(d.floor()))
}

fn round<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    double("math.round", args).map(|d| Value::Double(d.round()))
}

fn trunc<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    double("math.trunc", args).map(|d| Value::Double(d.trunc()))
}

fn is_infinite<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    double("math.isInf", args).map(|d| d.is_infinite().into())
}

fn is_nan<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    double("math.isNaN", args).map(|d| d.is_nan().into())
}

fn is_finite<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    double("math.isFinite", args).map(|d| d.is_finite().into())
}

fn sqrt<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    match args {
        [Value::Double(d)] => Ok(Value::Double(d.sqrt())),
        [Value::Int(i)] => Ok(Value::Double((*i as f64).sqrt())),
        [Value::Uint(u)] => Ok(Value::Double((*u as f64).sqrt())),
        _ => Err(Fault::no_such_overload("math.sqrt", args)),
    }
}

fn bit_and<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    match args {
        [Value::Int(a), Value::Int(b)] => Ok(Value::Int(a & b)),
        [Value::Uint(a), Value::Uint(b)] => Ok(Value::Uint(a & b)),
        _ => Err(Fault::no_such_overload("math.bitAnd", args)),
    }
}

fn bit_or<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    match args {
        [Value::Int(a), Value::Int(b)] => Ok(Value::Int(a | b)),
        [Value::Uint(a), Value::Uint(b)] => Ok(Value::Uint(a | b)),
        _ => Err(Fault::no_such_overload("math.bitOr", args)),
    }
}

fn bit_xor<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    match args {
        [Value::Int(a), Value::Int(b)] => Ok(Value::Int(a ^ b)),
        [Value::Uint(a), Value::Uint(b)] => Ok(Value::Uint(a ^ b)),
        _ => Err(Fault::no_such_overload("math.bitXor", args)),
    }
}

fn bit_not<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    match args {
        [Value::Int(i)] => Ok(Value::Int(!i)),
        [Value::Uint(u)] => Ok(Value::Uint(!u)),
        _ => Err(Fault::no_such_overload("math.bitNot", args)),
    }
}

fn shift_left<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    shift("math.bitShiftLeft", args, u64::checked_shl)
}

fn shift_right<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    shift("math.bitShiftRight", args, u64::checked_shr)
}

/// Moves the bits; signed numbers are moved as if they were unsigned.
fn shift<'a>(name: &str, args: &[Value<'a>], shift: fn(u64, u32) -> Option<u64>) -> Result<Value<'a>, Fault> {
    let [bits, Value::Int(places)] = args else { return Err(Fault::no_such_overload(name, args)) };
    if *places < 0 {
        return Err(Fault::new(format!("{name}() negative offset")));
    }
    let places = u32::try_from(*places).unwrap_or(u32::MAX);
    match bits {
        Value::Int(i) => Ok(Value::Int(shift(*i as u64, places).unwrap_or(0) as i64)),
        Value::Uint(u) => Ok(Value::Uint(shift(*u, places).unwrap_or(0))),
        _ => Err(Fault::no_such_overload(name, args)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call<'a>(run: Run, args: &[Value<'a>]) -> String {
        match run(args, &mut Meter::new(100)) {
            Ok(value) => format!("{value:?}"),
            Err(Fault::Error(error)) => error.to_string(),
            Err(Fault::Budget) => "budget".to_owned(),
        }
    }

    // What cel-go 0.29.2 says.
    #[test]
    fn the_first_of_equals_is_greatest_and_least() {
        let (one, double_one) = (Value::Int(1), Value::Double(1.0));
        assert_eq!(call(max, &[one.clone(), double_one.clone()]), "Int(1)");
        assert_eq!(call(max, &[double_one, one]), "Double(1.0)");
        assert_eq!(call(max, &[Value::Int(1), Value::Uint(2)]), "Uint(2)");
        assert_eq!(call(min, &[Value::Int(-1), Value::Uint(2)]), "Int(-1)");
        assert_eq!(call(max_list, &[Value::list(vec![1.into(), 3.into(), 2.into()])]), "Int(3)");
        assert_eq!(call(min_list, &[Value::list(vec![1.into(), Value::Double(0.5)])]), "Double(0.5)");
    }

    #[test]
    fn what_is_not_a_number_has_no_order() {
        assert!(call(max, &[Value::Double(f64::NAN), Value::Int(1)]).contains("NaN"));
        assert!(call(max_list, &[Value::list(vec![])]).contains("must not be empty"));
        assert!(
            call(max_list, &[Value::list(vec![Value::text("s3cret")])])
                .contains("`math.@max` does not take a string")
        );
        assert!(
            call(max, &[Value::text("s3cret"), Value::Int(1)]).contains("does not take a string and an int")
        );
        assert_eq!(call(max_list, &[Value::list(vec![1.into(); 101])]), "budget");
    }

    #[test]
    fn edges_of_numbers() {
        assert!(call(abs, &[Value::Int(i64::MIN)]).contains("overflow"));
        assert_eq!(call(sign, &[Value::Double(-0.0)]), "Double(0.0)");
        assert_eq!(call(sign, &[Value::Uint(7)]), "Uint(1)");
        assert_eq!(call(sign, &[Value::Double(f64::NAN)]), "Double(NaN)");
        assert_eq!(call(round, &[Value::Double(-0.5)]), "Double(-1.0)");
        assert_eq!(call(round, &[Value::Double(0.499_999_999_999_999_94)]), "Double(0.0)");
        assert_eq!(call(sqrt, &[Value::Int(-1)]), "Double(NaN)");
    }

    #[test]
    fn bits_move_without_a_sign() {
        assert_eq!(call(shift_right, &[Value::Int(-1), Value::Int(1)]), format!("Int({})", i64::MAX));
        assert_eq!(call(shift_right, &[Value::Int(-1), Value::Int(64)]), "Int(0)");
        assert_eq!(call(shift_left, &[Value::Int(1), Value::Int(63)]), format!("Int({})", i64::MIN));
        assert_eq!(call(shift_left, &[Value::Uint(1), Value::Int(i64::MAX)]), "Uint(0)");
        assert!(call(shift_left, &[Value::Int(1), Value::Int(-1)]).contains("negative"));
    }
}
