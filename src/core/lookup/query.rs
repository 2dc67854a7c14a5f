//! What a lookup looks for, from what its expressions come to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{By, LabelIn, Lookup, MAX_NAMES, Place, Query, Wanted};
use crate::core::cel::{Bindings, Program, Value};

/// What a lookup looks for; nothing when what it goes by is null or empty.
pub(super) fn query(
    lookup: &Lookup,
    own: Option<&Arc<str>>,
    bindings: &mut Bindings<'_>,
) -> Result<Option<Query>, String> {
    let namespace = match &lookup.place {
        Place::OwnNamespace => own.cloned(),
        Place::Namespace(name) => Some(name.clone()),
        Place::Computed(program) => text("namespaceExpression", program, bindings)?,
    };
    let wanted = match &lookup.by {
        By::Name(program) => match text("nameExpression", program, bindings)? {
            Some(name) => Wanted::Names([name].into()),
            None => return Ok(None),
        },
        By::Names(program) => match names(program, bindings)? {
            names if names.is_empty() => return Ok(None),
            names => Wanted::Names(names.into_iter().collect()),
        },
        By::Labels(labels) => {
            let mut wanted = BTreeMap::new();
            for (key, program) in labels {
                let values = label_values(&format!("labels[{key}]"), program, bindings)?;
                if values.is_empty() {
                    return Ok(None);
                }
                wanted.insert(key.clone(), values.into_iter().collect());
            }
            Wanted::Labels(wanted.into_iter().collect())
        }
        By::LabelMap(program) => match label_map(program, bindings)? {
            labels if labels.is_empty() => return Ok(None),
            labels => Wanted::Labels(labels.into()),
        },
        By::All { .. } => Wanted::All,
    };
    Ok(Some(Query { namespace, wanted }))
}

/// A text; none for null, an optional without a value, and an empty text.
fn text(field: &str, program: &Program, bindings: &mut Bindings<'_>) -> Result<Option<Arc<str>>, String> {
    let value = program.evaluate(bindings).map_err(|error| format!("{field}: {error}"))?;
    as_text(&value).map_err(|got| format!("{field}: evaluated to {got}, want a string"))
}

fn as_text(value: &Value<'_>) -> Result<Option<Arc<str>>, &'static str> {
    match value {
        Value::Str(text) => Ok(Some(&**text).filter(|text| !text.is_empty()).map(Into::into)),
        Value::Null | Value::Optional(None) => Ok(None),
        Value::Optional(Some(inner)) => as_text(inner),
        other => Err(other.describe()),
    }
}

fn names(program: &Program, bindings: &mut Bindings<'_>) -> Result<BTreeSet<Arc<str>>, String> {
    let failed = |text: String| format!("namesExpression: {text}");
    let value = program.evaluate(bindings).map_err(|error| failed(error.to_string()))?;
    match held(&value) {
        None => Ok(BTreeSet::new()),
        Some(Value::List(list)) => texts(list.iter(), "names").map_err(failed),
        Some(other) => Err(failed(format!("evaluated to {}, want a list", other.describe()))),
    }
}

/// The value of a label, or each that it may have.
fn label_values(
    field: &str,
    program: &Program,
    bindings: &mut Bindings<'_>,
) -> Result<BTreeSet<Arc<str>>, String> {
    let failed = |text: String| format!("{field}: {text}");
    let value = program.evaluate(bindings).map_err(|error| failed(error.to_string()))?;
    match held(&value) {
        Some(Value::List(list)) => texts(list.iter(), "values").map_err(failed),
        _ => match as_text(&value) {
            Ok(text) => Ok(text.into_iter().collect()),
            Err(got) => Err(failed(format!("evaluated to {got}, want a string or a list of strings"))),
        },
    }
}

fn texts<'v>(list: impl Iterator<Item = Value<'v>>, what: &str) -> Result<BTreeSet<Arc<str>>, String> {
    let mut texts = BTreeSet::new();
    for element in list {
        texts.extend(as_text(&element).map_err(|got| format!("one is {got}, want strings"))?);
    }
    match texts.len() {
        many if many > MAX_NAMES => Err(format!("{many} {what}, more than {MAX_NAMES}")),
        _ => Ok(texts),
    }
}

fn label_map(program: &Program, bindings: &mut Bindings<'_>) -> Result<Vec<LabelIn>, String> {
    let failed = |text: String| format!("labelsExpression: {text}");
    let value = program.evaluate(bindings).map_err(|error| failed(error.to_string()))?;
    let mut labels: Vec<LabelIn> = Vec::new();
    match held(&value) {
        None => {}
        Some(Value::Map(map)) => {
            for (key, value) in map.iter() {
                let (Value::Str(key), Value::Str(value)) = (key, value) else {
                    return Err(failed("want a map of strings".into()));
                };
                labels.push(((*key).into(), [(*value).into()].into()));
            }
        }
        Some(other) => return Err(failed(format!("evaluated to {}, want a map", other.describe()))),
    }
    // Keys of a map are unique.
    labels.sort();
    Ok(labels)
}

fn held<'v, 'a>(value: &'v Value<'a>) -> Option<&'v Value<'a>> {
    match value {
        Value::Null | Value::Optional(None) => None,
        Value::Optional(Some(inner)) => held(inner),
        other => Some(other),
    }
}
