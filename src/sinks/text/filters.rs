//! The filters of templates: those of minijinja, and what times and what is absent need.

use jiff::Timestamp;
use jiff::fmt::strtime;
use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind, State};

use super::context::Labels;
use super::plain::lasted;

/// Every filter that a template can use.
pub(super) const ALL: [&str; 49] = [
    "abs",
    "age",
    "attr",
    "batch",
    "bool",
    "capitalize",
    "chain",
    "count",
    "d",
    "default",
    "dictsort",
    "e",
    "escape",
    "first",
    "float",
    "format",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "pprint",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "selectattr",
    "slice",
    "sort",
    "split",
    "string",
    "sum",
    "time",
    "title",
    "trim",
    "unique",
    "upper",
    "zip",
];

/// How a time is written when the template does not say.
const FORMAT: &str = "%Y-%m-%d %H:%M:%S %Z";

/// Adds those that are ours.
pub(super) fn add(environment: &mut Environment<'_>) {
    environment.add_filter("age", age);
    environment.add_filter("d", default);
    environment.add_filter("default", default);
    environment.add_filter("items", items);
    environment.add_filter("time", time);
}

/// `item.object.namespace | default("-")`: another value for what is absent, and so empty.
fn default(value: &Value, other: Option<Value>) -> Value {
    let absent = value.is_undefined() || value.is_none() || value.to_string().is_empty();
    if absent { other.unwrap_or_else(|| Value::from("")) } else { value.clone() }
}

/// `for name, value in item.labels | items`.
fn items(value: &Value) -> Result<Value, Error> {
    match value.downcast_object_ref::<Labels>() {
        Some(labels) => Ok(labels.pairs()),
        None => minijinja::filters::items(value),
    }
}

/// `item.since | time("%H:%M", "Europe/Berlin")`: a time as strftime writes it, in a zone of the IANA database; UTC when
/// none is named. An absent time stays empty.
fn time(value: &str, format: Option<&str>, zone: Option<&str>) -> Result<String, Error> {
    let Some(time) = moment(value)? else { return Ok(String::new()) };
    let zone = zone.unwrap_or("UTC");
    let time = time.in_tz(zone).map_err(|e| wrong(format!("time: there is no time zone {zone:?}: {e}")))?;
    let format = format.unwrap_or(FORMAT);
    strtime::format(format, &time).map_err(|e| wrong(format!("time: {format:?} is no format of times: {e}")))
}

/// `item.since | age`: how long ago it was when the notice was made, such as `2h 5m`. `item.since | age(item.ended)`: how
/// long it was until then. An absent time stays empty, and one that is absent for until is that of the notice.
fn age(state: &State<'_, '_>, value: &str, until: Option<&str>) -> Result<String, Error> {
    let Some(from) = moment(value)? else { return Ok(String::new()) };
    let made = state.lookup("time");
    let until = match until.filter(|until| !until.is_empty()) {
        Some(until) => moment(until)?,
        None => moment(made.as_ref().and_then(Value::as_str).unwrap_or_default())?,
    };
    Ok(until.map(|until| lasted(from, until)).unwrap_or_default())
}

fn moment(text: &str) -> Result<Option<Timestamp>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| wrong(format!("{text:?} is not a time such as 2026-05-01T10:00:00Z")))
}

fn wrong(why: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_are_those_that_there_are() {
        let mut environment = Environment::new();
        add(&mut environment);
        let mut state = environment.empty_state();
        for name in ALL {
            let unknown =
                state.apply_filter(name, &[]).err().map(|e| e.kind()) == Some(ErrorKind::UnknownFilter);
            assert!(!unknown, "{name}");
        }
        let there = state.apply_filter("tojson", &[]).err().map(|e| e.kind());
        assert_eq!(there, Some(ErrorKind::UnknownFilter), "tojson, which the list lacks");
        assert!(ALL.is_sorted());
    }
}
