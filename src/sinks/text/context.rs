//! What templates can read of a notice: its fields under the names that webhooks have, and some that are made of them.
//!
//! A field that is absent is empty, so that a template needs no case for it; a name that no notice has is an error,
//! which names the nearest that there is. Rendered as a whole, an object or a group is what people call it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use minijinja::value::{Enumerator, Object, ObjectRepr, Value};
use minijinja::{Error, ErrorKind};

use super::plain::{default_text, default_title};
use crate::core::alert::{Group, Item, Notice, ObjectName, Totals};
use crate::core::finding::Severity;
use crate::core::near::nearest;

/// Functions that templates can call.
pub(super) const FUNCTIONS: [&str; 3] = ["dict", "namespace", "range"];

/// All that a template reads.
pub(super) fn of(notice: &Notice) -> Value {
    let items = |items: &[Item]| Value::from_iter(items.iter().map(item));
    Record::root(vec![
        ("id", text(&notice.id)),
        ("reason", text(notice.reason.as_str())),
        ("policy", text(&notice.policy)),
        ("group", group(&notice.group)),
        ("collapsed", notice.collapsed.into()),
        ("open", items(&notice.open)),
        ("opened", items(&notice.opened)),
        ("changed", items(&notice.changed)),
        ("resolved", items(&notice.resolved)),
        ("occurred", items(&notice.occurred)),
        ("totals", totals(&notice.totals)),
        ("time", moment(Some(notice.time))),
        ("validUntil", moment(Some(notice.valid_until))),
        ("reference", optional(notice.reference.as_deref())),
        ("severity", text(notice.severity().as_str())),
        ("title", text(&default_title(notice))),
        ("text", text(&default_text(notice))),
    ])
}

/// What is wrong with a path such as `totals.open`; none when it is right, or ends in a text or a list.
pub(super) fn wrong_path(context: &Value, path: &str) -> Option<String> {
    let mut value = context.clone();
    for name in path.split('.') {
        let record = value.downcast_object_ref::<Record>()?;
        let Some(below) = record.field(name) else { return Some(record.unknown(name)) };
        value = below;
    }
    None
}

fn item(item: &Item) -> Value {
    let fields = vec![
        ("id", text(&item.id)),
        ("edition", item.edition.into()),
        ("policy", text(&item.policy)),
        ("rule", text(&item.rule)),
        ("severity", text(item.severity.as_str())),
        ("previousSeverity", optional(item.previous_severity.map(Severity::as_str))),
        ("selectedBy", text(&item.selected_by)),
        ("object", object(item.object.as_ref())),
        ("objectGroup", optional(item.object_group.as_deref())),
        ("message", text(&item.message)),
        ("since", moment(Some(item.since))),
        ("ended", moment(item.ended)),
        ("endedBecause", optional(item.ended_because.as_deref())),
        ("labels", labels(&item.labels)),
        ("fields", text(&item.fields)),
        ("flaps", item.flaps.into()),
        ("operation", optional(item.operation.as_deref())),
        ("resourceVersion", optional(item.resource_version.as_deref())),
        ("subject", text(&item.subject())),
    ];
    Record::part("a finding", fields, format!("{}: {}", item.subject(), item.message))
}

fn object(object: Option<&ObjectName>) -> Value {
    let fields = vec![
        ("apiVersion", optional(object.map(|object| &*object.api_version))),
        ("kind", optional(object.map(|object| &*object.kind))),
        ("namespace", optional(object.and_then(|object| object.namespace.as_deref()))),
        ("name", optional(object.map(|object| &*object.name))),
        ("uid", optional(object.map(|object| &*object.uid))),
    ];
    Record::part("object", fields, object.map(ToString::to_string).unwrap_or_default())
}

fn group(group: &Group) -> Value {
    let fields = vec![("id", text(&group.id)), ("by", labels(&group.by))];
    Record::part("group", fields, group.to_string())
}

fn totals(totals: &Totals) -> Value {
    let number = |severity: Severity| totals.by_severity.get(&severity).copied().unwrap_or(0).into();
    let by_severity =
        Severity::ALL.into_iter().map(|severity| (severity.as_str(), number(severity))).collect();
    let worst_first = totals.by_severity.iter().rev().filter(|(_, number)| **number > 0);
    let worst_first: Vec<String> =
        worst_first.map(|(severity, number)| format!("{number} {}", severity.as_str())).collect();
    let fields = vec![
        ("open", totals.open.into()),
        ("bySeverity", Record::part("totals.bySeverity", by_severity, worst_first.join(", "))),
        ("opened", totals.opened.into()),
        ("changed", totals.changed.into()),
        ("resolved", totals.resolved.into()),
        ("occurred", totals.occurred.into()),
        ("unlisted", totals.unlisted.into()),
    ];
    Record::part("totals", fields, totals.open.to_string())
}

fn labels(labels: &BTreeMap<String, String>) -> Value {
    Value::from_object(Labels(labels.clone()))
}

fn text(text: &str) -> Value {
    Value::from(text)
}

fn optional(of: Option<&str>) -> Value {
    text(of.unwrap_or_default())
}

/// As in JSON.
fn moment(time: Option<Timestamp>) -> Value {
    Value::from(time.map(|time| time.to_string()).unwrap_or_default())
}

/// Something with known fields.
#[derive(Debug)]
struct Record {
    /// What it is called in errors; none for the whole notice.
    of: Option<&'static str>,
    fields: Vec<(&'static str, Value)>,
    /// What it is when it is written as a whole; what is empty is false.
    text: String,
}

impl Record {
    fn root(fields: Vec<(&'static str, Value)>) -> Value {
        Value::from_object(Self { of: None, fields, text: String::new() })
    }

    fn part(of: &'static str, fields: Vec<(&'static str, Value)>, text: String) -> Value {
        Value::from_object(Self { of: Some(of), fields, text })
    }

    fn field(&self, name: &str) -> Option<Value> {
        self.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
    }

    fn unknown(&self, name: &str) -> String {
        let names = self.fields.iter().map(|(name, _)| *name);
        let mut why = match self.of {
            Some(of) => format!("there is no field {name:?} in {of}"),
            None => format!("there is no {name:?} in a notice"),
        };
        match nearest(name, names.clone()) {
            Some(near) => why.push_str(&format!("; did you mean {near:?}?")),
            None => why.push_str(&format!("; there are {}", names.collect::<Vec<_>>().join(", "))),
        }
        why
    }
}

impl Object for Record {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
        self.get_value_by_str(&name)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        match self.field(key) {
            // Names of functions are looked for in the notice first.
            None if self.of.is_none() && FUNCTIONS.contains(&key) => None,
            None => Some(Value::from(Error::new(ErrorKind::UndefinedError, self.unknown(key)))),
            known => known,
        }
    }

    fn is_true(self: &Arc<Self>) -> bool {
        !self.text.is_empty()
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Texts by keys of which any may be absent, and then are empty.
#[derive(Debug)]
pub(super) struct Labels(BTreeMap<String, String>);

impl Labels {
    /// Pairs of key and text.
    pub(super) fn pairs(&self) -> Value {
        Value::from_iter(self.0.iter().map(|(key, value)| Value::from(vec![text(key), text(value)])))
    }
}

impl Object for Labels {
    /// Not a map: `in` would ask for the value, and each key has one.
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Iterable
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        Some(optional(self.0.get(key.as_str()?).map(String::as_str)))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let keys: Vec<Value> = self.0.keys().map(|key| text(key)).collect();
        Enumerator::Iter(Box::new(keys.into_iter()))
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.0.len())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (key, value)) in self.0.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(f, "{comma}{key}={value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value as Json;

    use super::super::samples::samples;
    use super::*;

    /// Where both are objects, the template has each name of the JSON.
    fn assert_has(value: &Value, json: &Json, path: &str) {
        match json {
            Json::Object(fields) => {
                for (name, json) in fields {
                    let below = value.get_attr(name).expect("an attribute");
                    let path = format!("{path}.{name}");
                    assert_ne!(below.kind(), minijinja::value::ValueKind::Invalid, "{path}: {below:?}");
                    assert_has(&below, json, &path);
                }
            }
            Json::Array(items) => {
                for (n, json) in items.iter().enumerate() {
                    assert_has(&value.get_item_by_index(n).expect("an item"), json, &format!("{path}[{n}]"));
                }
            }
            Json::String(text) => assert_eq!(value.as_str(), Some(&**text), "{path}"),
            Json::Number(number) => assert_eq!(value.as_i64(), number.as_i64(), "{path}"),
            Json::Bool(is) => assert_eq!(value.is_true(), *is, "{path}"),
            Json::Null => panic!("{path}: nothing is null in a notice"),
        }
    }

    #[test]
    fn templates_read_all_that_webhooks_are_sent_under_the_same_names() {
        let mut names = BTreeSet::new();
        for notice in samples() {
            let json = serde_json::to_value(&notice).expect("JSON");
            assert_has(&of(&notice), &json, "notice");
            let items =
                ["opened", "changed", "resolved", "occurred"].map(|list| json[list].as_array().cloned());
            for item in items.into_iter().flatten().flatten() {
                names.extend(item.as_object().expect("an item").keys().cloned());
            }
        }
        // The samples have every field that there is, or this test would say nothing of one that is new.
        assert_eq!(names.len(), 18, "{names:?}");
    }
}
