//! Calls of functions in tests, without an expression around them.

use super::super::cost::Meter;
use super::super::fault::Fault;
use super::super::value::Value;
use super::DeclaredOverload;

/// What a call gives.
pub(super) fn call<'a>(name: &str, args: &[Value<'a>]) -> Result<Value<'a>, Fault> {
    charged(name, args).0
}

/// What a call gives, and what it costs.
pub(super) fn charged<'a>(name: &str, args: &[Value<'a>]) -> (Result<Value<'a>, Fault>, u64) {
    let budget = 1_000_000_000;
    let mut meter = Meter::new(budget);
    let overloads = super::find(name).map_or(&[][..], |declared| &declared.overloads);
    let fitting = overloads.iter().find(|DeclaredOverload { signature, .. }| {
        signature.args.len() == args.len() && signature.args.iter().zip(args).all(|(t, arg)| arg.fits(t))
    });
    let result = match fitting {
        Some(DeclaredOverload { overload, .. }) => {
            meter.charge(overload.cost.of(args)).and_then(|()| (overload.run)(args, &mut meter))
        }
        None => Err(Fault::no_such_overload(name, args)),
    };
    (result, budget - meter.left())
}

/// A value in words: `err` for an error, texts as they are.
pub(super) fn shown(value: &Result<Value<'_>, Fault>) -> String {
    match value {
        Err(_) => "err".to_owned(),
        Ok(Value::Bool(b)) => b.to_string(),
        Ok(Value::Int(i)) => i.to_string(),
        Ok(Value::Double(d)) => d.to_string(),
        Ok(Value::Str(text)) => text.to_string(),
        Ok(Value::Optional(None)) => "none".to_owned(),
        Ok(Value::Optional(Some(value))) => shown(&Ok((**value).clone())),
        Ok(Value::List(list)) => {
            let elements: Vec<String> = list.iter().map(|element| shown(&Ok(element))).collect();
            format!("[{}]", elements.join(", "))
        }
        Ok(Value::Map(map)) => {
            let entry = |(key, value)| format!("{}: {}", shown(&Ok(key)), shown(&Ok(value)));
            let entries: Vec<String> = map.iter().map(entry).collect();
            format!("{{{}}}", entries.join(", "))
        }
        Ok(other) => format!("{other:?}"),
    }
}

/// A text that a call gives, for tables.
pub(super) fn text<'a>(text: &str) -> Value<'a> {
    Value::text(text)
}
