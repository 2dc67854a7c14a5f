//! What the API server would reject of an object, by the schema of its CustomResourceDefinition, with the place of
//! each fault: the keywords of a structural schema that our definitions use, and unknown fields as
//! `kubectl --validate=strict` has them.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value as Json;

use crate::core::cel::{self, Bindings, Inputs, Root, Scope, Want};
use crate::core::near::nearest;
use crate::core::tree::Node;
use crate::yaml::{Entry, Place, Tree, Value};

/// Most faults that are told of one object.
const MAX_FAULTS: usize = 50;

/// What is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub at: Place,
    /// The field and what is wrong with it.
    pub text: String,
}

/// Everything that `schema` does not allow of `tree`, in the order of the text; at most [`MAX_FAULTS`].
pub fn faults(schema: &Json, tree: &Tree) -> Vec<Fault> {
    let check = || {
        let mut checker = Checker { faults: Vec::new() };
        checker.value(schema, tree, "");
        checker.faults
    };
    // One roomy stack for every expression of the schema.
    let mut faults = cel::with_large_stack(check).unwrap_or_else(|_| check());
    faults.sort_by_key(|fault| fault.at);
    faults.truncate(MAX_FAULTS);
    faults
}

struct Checker {
    faults: Vec<Fault>,
}

impl Checker {
    fn fault(&mut self, at: Place, path: &str, text: impl std::fmt::Display) {
        if self.faults.len() <= MAX_FAULTS {
            let path = if path.is_empty() { "the object" } else { path };
            self.faults.push(Fault { at, text: format!("{path}: {text}") });
        }
    }

    fn value(&mut self, schema: &Json, tree: &Tree, path: &str) {
        if tree.value == Value::Null {
            // As the server: null is dropped where there is a default.
            if schema["nullable"] != true && schema.get("default").is_none() {
                self.fault(tree.at, path, "has no value; give one or remove the field");
            }
            return;
        }
        if let Some(wanted) = schema["type"].as_str()
            && !fits(wanted, &tree.value)
        {
            let quote = match (wanted, &tree.value) {
                ("string", Value::Bool(_) | Value::Int(_) | Value::Double(_)) => "; write it in quotes",
                _ => "",
            };
            let got = tree.value.type_name();
            return self.fault(tree.at, path, format_args!("must be of type {wanted}, and is {got}{quote}"));
        }
        if let Some(known) = schema["enum"].as_array() {
            let value = tree.to_json();
            if !known.contains(&value) {
                let names = || known.iter().filter_map(Json::as_str);
                let list = names().collect::<Vec<_>>().join(", ");
                let near = tree.as_str().and_then(|text| nearest(text, names()));
                let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                self.fault(tree.at, path, format_args!("must be one of {list}, and is {value}{near}"));
            }
        }
        match &tree.value {
            Value::Text(text) => self.text(schema, tree.at, text, path),
            Value::Int(_) | Value::Double(_) => self.number(schema, tree, path),
            Value::List(items) => self.list(schema, tree.at, items, path),
            Value::Map(entries) => self.map(schema, tree.at, entries, path),
            Value::Bool(_) | Value::Null => {}
        }
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            self.rule(rule, tree, path);
        }
    }

    fn text(&mut self, schema: &Json, at: Place, text: &str, path: &str) {
        let length = text.chars().count() as u64;
        self.size(schema, at, length, ["minLength", "maxLength"], "characters", path);
        if let Some(pattern) = schema["pattern"].as_str() {
            let matches = format!("object.matches({})", Json::from(pattern));
            if evaluate(&matches, Node::Str(text.into())) != Ok(true) {
                self.fault(at, path, format_args!("{text:?} does not match {pattern}"));
            }
        }
    }

    fn number(&mut self, schema: &Json, tree: &Tree, path: &str) {
        let Some(number) = tree.to_json().as_f64() else { return };
        if schema["minimum"].as_f64().is_some_and(|least| number < least) {
            self.fault(tree.at, path, format_args!("must be at least {}", schema["minimum"]));
        }
        if schema["maximum"].as_f64().is_some_and(|most| number > most) {
            self.fault(tree.at, path, format_args!("must be at most {}", schema["maximum"]));
        }
    }

    fn list(&mut self, schema: &Json, at: Place, items: &[Tree], path: &str) {
        self.size(schema, at, items.len() as u64, ["minItems", "maxItems"], "entries", path);
        let keys: Vec<&str> = schema["x-kubernetes-list-map-keys"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Json::as_str)
            .collect();
        let is_set = schema["x-kubernetes-list-type"] == "set";
        let mut seen = HashSet::new();
        for (n, item) in items.iter().enumerate() {
            let path = format!("{path}[{n}]");
            let identity = match keys.as_slice() {
                [] if is_set => Some(item.to_json().to_string()),
                [] => None,
                keys => Some(
                    keys.iter()
                        .map(|key| item.get(key).map(Tree::to_json).unwrap_or_default().to_string())
                        .collect(),
                ),
            };
            if let Some(identity) = identity
                && !seen.insert(identity.clone())
            {
                let what = if is_set { "is" } else { keys.first().copied().unwrap_or_default() };
                self.fault(
                    item.at,
                    &path,
                    format_args!("{what} {identity} is already taken; it must be unique"),
                );
            }
            if schema["items"].is_object() {
                self.value(&schema["items"], item, &path);
            }
        }
    }

    fn map(&mut self, schema: &Json, at: Place, entries: &[Entry], path: &str) {
        self.size(schema, at, entries.len() as u64, ["minProperties", "maxProperties"], "entries", path);
        let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        for entry in entries {
            let path = below(&entry.key);
            if let Some(field) = schema["properties"].get(&entry.key) {
                self.value(field, &entry.value, &path);
            } else if schema["additionalProperties"].is_object() {
                self.value(&schema["additionalProperties"], &entry.value, &path);
            } else if schema["x-kubernetes-preserve-unknown-fields"] != true
                && schema["additionalProperties"] != true
            {
                self.unknown(schema, entry, &path);
            }
        }
        for required in schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str) {
            if entries.iter().all(|entry| entry.key != required) {
                self.fault(at, &below(required), "is missing; it is required");
            }
        }
    }

    fn unknown(&mut self, schema: &Json, entry: &Entry, path: &str) {
        let known = || schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str());
        // YAML takes some words for true and false, as keys, too.
        let written = entry.written.as_deref().unwrap_or(&entry.key);
        let text = if entry.written.is_some() && known().any(|name| name == written) {
            format!("the key {written} means {} in YAML; write it in quotes: '{written}'", entry.key)
        } else {
            let near = nearest(written, known()).map(|near| format!("; did you mean {near}?"));
            let means =
                entry.written.as_ref().map(|written| format!(", which is what {written} means in YAML"));
            format!("unknown field{}{}", means.unwrap_or_default(), near.unwrap_or_default())
        };
        self.fault(entry.at, path, text);
    }

    fn rule(&mut self, rule: &Json, tree: &Tree, path: &str) {
        let Some(source) = rule["rule"].as_str() else { return };
        match evaluate(&about_object(source), node(tree)) {
            Ok(true) => {}
            Ok(false) => {
                let message = rule["message"].as_str().map(str::to_owned);
                self.fault(tree.at, path, message.unwrap_or_else(|| format!("failed rule: {source}")));
            }
            // What is of another type than the rule expects has a fault of its own.
            Err(error) if self.faults.is_empty() => self.fault(tree.at, path, error),
            Err(_) => {}
        }
    }

    fn size(&mut self, schema: &Json, at: Place, size: u64, limits: [&str; 2], what: &str, path: &str) {
        let [least, most] = limits.map(|limit| schema[limit].as_u64());
        if let Some(least) = least.filter(|least| size < *least) {
            self.fault(at, path, format_args!("must have at least {least} {what}, and has {size}"));
        }
        if let Some(most) = most.filter(|most| size > *most) {
            self.fault(at, path, format_args!("must have at most {most} {what}, and has {size}"));
        }
    }
}

fn fits(wanted: &str, value: &Value) -> bool {
    match wanted {
        "number" => matches!(value, Value::Int(_) | Value::Double(_)),
        wanted => value.type_name() == wanted,
    }
}

/// The rules of a schema are about `self`; the expressions of policies know the same thing as `object`.
fn about_object(rule: &str) -> String {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut source = String::with_capacity(rule.len());
    let mut rest = rule;
    while let Some(at) = rest.find("self") {
        let (before, after) = (&rest[..at], &rest[at + 4..]);
        source.push_str(before);
        let part = before.ends_with(|c| is_name(c) || c == '.') || after.starts_with(is_name);
        source.push_str(if part { "self" } else { "object" });
        rest = after;
    }
    source.push_str(rest);
    source
}

fn evaluate(source: &str, object: Node) -> Result<bool, String> {
    let program =
        cel::compile(source, &Scope::new(&[Root::Object]), Want::Bool).map_err(|error| error.to_string())?;
    let inputs = Inputs {
        object: Some(&object),
        old_object: None,
        namespace_object: None,
        request: None,
        now: Timestamp::UNIX_EPOCH,
        variables: &[],
    };
    program.evaluate_bool(&mut Bindings::new(inputs)).map_err(|error| error.to_string())
}

fn node(tree: &Tree) -> Node {
    match &tree.value {
        Value::Null => Node::Null,
        Value::Bool(value) => Node::Bool(*value),
        Value::Int(value) => Node::Int(*value),
        Value::Double(value) => Node::Double(*value),
        Value::Text(text) => Node::Str(text.as_str().into()),
        Value::List(items) => Node::List(items.iter().map(node).collect()),
        Value::Map(entries) => {
            let entry = |entry: &Entry| (Arc::from(entry.key.as_str()), node(&entry.value));
            Node::Map(entries.iter().map(entry).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every keyword that this file reads, and those that reject nothing.
    const KEYWORDS: &[&str] = &[
        "type",
        "properties",
        "required",
        "items",
        "additionalProperties",
        "enum",
        "nullable",
        "default",
        "minLength",
        "maxLength",
        "pattern",
        "minItems",
        "maxItems",
        "minProperties",
        "maxProperties",
        "minimum",
        "maximum",
        "description",
        "title",
        "format",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-map-type",
        "x-kubernetes-validations",
        "x-kubernetes-preserve-unknown-fields",
    ];

    fn walk(schema: &Json, path: &str, seen: &mut Vec<String>) {
        for (keyword, value) in schema.as_object().into_iter().flatten() {
            assert!(KEYWORDS.contains(&keyword.as_str()), "{path}: nobody reads {keyword}");
            match keyword.as_str() {
                "properties" => {
                    for (name, field) in value.as_object().into_iter().flatten() {
                        walk(field, &format!("{path}.{name}"), seen);
                    }
                }
                "items" | "additionalProperties" => walk(value, &format!("{path}[]"), seen),
                "x-kubernetes-validations" => {
                    for rule in value.as_array().into_iter().flatten() {
                        let source = about_object(rule["rule"].as_str().unwrap_or_default());
                        let scope = Scope::new(&[Root::Object]);
                        cel::compile(&source, &scope, Want::Bool)
                            .unwrap_or_else(|e| panic!("{path}: {source}: {e}"));
                        seen.push(source);
                    }
                }
                _ => {}
            }
        }
    }

    #[test]
    fn all_that_our_definitions_say_is_heeded() {
        let mut rules = Vec::new();
        for crd in crate::api::crds().expect("definitions") {
            let crd = serde_json::to_value(crd).expect("JSON");
            walk(
                &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"],
                "spec",
                &mut rules,
            );
        }
        assert!(rules.len() >= 6, "{rules:?}");
        assert!(rules.iter().all(|rule| rule.contains("object")), "{rules:?}");
    }

    #[test]
    fn only_the_name_self_becomes_object() {
        assert_eq!(
            about_object("self.a && x.self && myself && self"),
            "object.a && x.self && myself && object"
        );
    }
}
