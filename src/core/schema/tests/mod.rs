//! `deployment.json` and `definition.json` are parts of what kube-apiserver 1.37 publishes under
//! `/openapi/v3/apis/apps/v1` and `/openapi/v3/apis/apiextensions.k8s.io/v1`, without descriptions.

use serde_json::{Value, json};

use super::*;
use crate::core::cel::{Form, Type};
use crate::core::field_path::FieldPath;

fn deployment() -> Schema {
    let document: Document = serde_json::from_str(include_str!("deployment.json")).expect("a document");
    document.kind("apps", "v1", "Deployment").expect("it is there")
}

/// A definition whose version `v1` has this schema.
fn definition(schema: Value) -> Definition {
    let version = json!({"name": "v1", "served": true, "schema": {"openAPIV3Schema": schema}});
    serde_json::from_value(json!({"spec": {"group": "x.io", "versions": [version]}})).expect("a definition")
}

fn version(schema: Value) -> Schema {
    definition(schema).version("v1").expect("it has a schema")
}

/// The schema of `spec`, when the definition says this of it.
fn spec(schema: Value) -> Schema {
    let whole = version(json!({"type": "object", "properties": {"spec": schema}}));
    whole.field("spec").expect("it is declared").clone()
}

/// The type at a path of fields; `[]` is an element or a value of a map.
fn at(schema: &Schema, path: &str) -> String {
    let mut at = schema.to_type("object");
    for name in path.split('.') {
        at = match (&at, name) {
            (Type::List(element), "[]") => (**element).clone(),
            (Type::Map(_, value), "[]") => (**value).clone(),
            (Type::Object(object), name) => match object.fields.get(name) {
                Some(found) => found.clone(),
                None => return format!("no {name} in {}", object.name),
            },
            (other, name) => return format!("no {name} in {other}"),
        };
    }
    at.to_string()
}

#[test]
fn a_built_in_kind_is_read_through_its_references() {
    let deployment = deployment();
    for (path, expected) in [
        ("kind", "string"),
        ("metadata.labels", "map(string, string)"),
        ("metadata.ownerReferences.[].controller", "bool"),
        ("spec.replicas", "int"),
        ("spec.replica", "no replica in object.spec"),
        ("spec.selector.matchLabels", "map(string, string)"),
        ("spec.template.metadata.annotations.[]", "string"),
        ("spec.template.spec.hostNetwork", "bool"),
        ("spec.template.spec.containers.[].ports.[].containerPort", "int"),
        // Quantities, and numbers or names of ports.
        ("spec.template.spec.containers.[].resources.limits", "map(string, dyn)"),
        ("spec.strategy.rollingUpdate.maxSurge", "dyn"),
        // As they are read, dates are strings.
        ("status.conditions.[].lastUpdateTime", "string"),
    ] {
        assert_eq!(at(&deployment, path), expected, "{path}");
    }
}

#[test]
fn elements_of_lists_are_told_apart_by_the_keys_of_the_schema() {
    let deployment = deployment();
    let keys = |path: &str| {
        let path: FieldPath = path.parse().expect("a path");
        Some(&deployment).keys(&path.0).map(|keys| keys.join(","))
    };
    for (path, expected) in [
        ("spec.template.spec.containers", "name"),
        ("spec.template.spec.containers[name=app].ports", "containerPort,protocol"),
        ("spec.template.spec.containers[0].ports", "containerPort,protocol"),
        ("metadata.ownerReferences", "uid"),
    ] {
        assert_eq!(keys(path).as_deref(), Some(expected), "{path}");
    }
    for none in
        ["metadata.finalizers", "spec.replicas", "spec.nothing", "spec.template.spec.containers.ports"]
    {
        assert_eq!(keys(none), None, "{none}");
    }
    assert_eq!(Some(&deployment).keys(&[]), None);
}

#[test]
fn a_definition_is_read_with_what_every_object_has() {
    let schema = version(json!({"type": "object", "properties": {
        "metadata": {"type": "object"},
        "spec": {"type": "object", "properties": {
            "weight": {"type": "number"},
            "created": {"type": "string", "format": "date-time"},
            "port": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]},
            "routes": {"type": "array", "items": {"type": "object", "properties": {"path": {"type": "string"}}}},
            "limits": {"type": "object", "additionalProperties": {"type": "integer"}},
            "any": {"type": "object", "additionalProperties": true},
        }},
    }}));
    for (path, expected) in [
        ("apiVersion", "string"),
        ("metadata.name", "string"),
        ("spec.weight", "double"),
        ("spec.created", "string"),
        ("spec.port", "dyn"),
        ("spec.routes.[].path", "string"),
        ("spec.limits", "map(string, int)"),
        ("spec.any", "map(string, dyn)"),
        ("status", "no status in object"),
    ] {
        assert_eq!(at(&schema, path), expected, "{path}");
    }
    assert_eq!(definition(json!({"type": "object"})).version("v2"), None);
}

#[test]
fn what_a_schema_leaves_open_is_known_only_at_run_time() {
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    assert_eq!(spec(open.clone()), Schema::Any);
    assert_eq!(spec(json!({"type": "object"})), Schema::Any);
    assert_eq!(spec(json!({"x-kubernetes-preserve-unknown-fields": true})), Schema::Any);
    assert_eq!(spec(json!({"type": "array"})).element(), Some(&Schema::Any));
    // Some fields are known, and others may be there.
    let mut some = open.clone();
    some["properties"] = json!({"known": {"type": "string"}});
    let some = spec(some);
    assert_eq!(some.field("known"), Some(&Schema::String));
    let form = |schema: &Schema| match schema.to_type("object") {
        Type::Object(object) => Some(object.form),
        _ => None,
    };
    assert_eq!(form(&some), Some(Form::OpenMap));
    // Nothing is known but what every object has.
    let nothing = version(open);
    assert_eq!(nothing.field("kind"), Some(&Schema::String));
    assert_eq!(form(&nothing), Some(Form::OpenMap));
    // A definition from before schemas were asked for.
    let old = json!({"spec": {"preserveUnknownFields": true, "versions": [
        {"name": "v1", "schema": {"openAPIV3Schema": {"type": "object", "properties": {"a": {"type": "string"}}}}},
    ]}});
    let old: Definition = serde_json::from_value(old).expect("a definition");
    assert_eq!(form(&old.version("v1").expect("a schema")), Some(Form::OpenMap));
}

#[test]
fn null_is_expected_only_where_it_may_be() {
    let text = json!({"type": "string", "nullable": true});
    assert_eq!(spec(text).to_type("object.spec"), Type::Dyn);
    let object = json!({"type": "object", "nullable": true, "properties": {"a": {"type": "string"}}});
    let object = spec(object);
    // CEL lets null stand for an object.
    assert!(matches!(object.to_type("object.spec"), Type::Object(_)));
    let list = json!({"type": "array", "nullable": true, "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"], "items": {"type": "object", "properties": {"name": {"type": "string"}}}});
    assert_eq!(spec(list).keys().map(<[_]>::len), Some(1));
}

#[test]
fn an_embedded_object_has_what_every_object_has() {
    let embedded = json!({"type": "object", "x-kubernetes-embedded-resource": true, "properties": {
        "spec": {"type": "object", "properties": {"a": {"type": "integer"}}},
    }});
    let embedded = version(json!({"type": "object", "properties": {"template": embedded}}));
    assert_eq!(at(&embedded, "template.metadata.labels"), "map(string, string)");
    assert_eq!(at(&embedded, "template.spec.a"), "int");
    assert_eq!(at(&embedded, "template.spce"), "no spce in object.template");
}

#[test]
fn a_kind_within_itself_is_cut_off() {
    let document: Document = serde_json::from_str(include_str!("definition.json")).expect("a document");
    let kind = document.kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition").expect("it is there");
    let schema = "spec.versions.[].schema.openAPIV3Schema";
    assert_eq!(at(&kind, &format!("{schema}.type")), "string");
    assert_eq!(at(&kind, &format!("{schema}.properties")), "map(string, dyn)");
    assert_eq!(document.kind("apiextensions.k8s.io", "v1", "Other"), None);
}

#[test]
fn a_schema_of_any_size_stays_within_its_bounds() {
    fn parts(schema: &Schema) -> usize {
        1 + match schema {
            Schema::List { element: inner, .. } | Schema::Map(inner) | Schema::Nullable(inner) => {
                parts(inner)
            }
            Schema::Object { fields, .. } => fields.values().map(parts).sum(),
            _ => 0,
        }
    }
    // Each component has ten fields of the next: together ten thousand million.
    let component = |n: usize| {
        let next = json!({"$ref": format!("#/components/schemas/c{}", n + 1)});
        let fields: serde_json::Map<_, _> =
            (0..10).map(|field| (format!("f{field}"), next.clone())).collect();
        let mut component = json!({"type": "object", "properties": fields});
        if n == 0 {
            component["x-kubernetes-group-version-kind"] =
                json!([{"group": "x.io", "version": "v1", "kind": "Wide"}]);
        }
        component
    };
    let schemas: serde_json::Map<_, _> = (0..10).map(|n| (format!("c{n}"), component(n))).collect();
    let document: Document =
        serde_json::from_value(json!({"components": {"schemas": schemas}})).expect("a document");
    let wide = document.kind("x.io", "v1", "Wide").expect("it is there");
    assert!((MAX_PARTS / 2..MAX_PARTS * 2).contains(&parts(&wide)), "{}", parts(&wide));

    // As deep as the parser of JSON goes.
    let levels = 115;
    let deep = format!(
        r#"{}{{"type": "string"}}{}"#,
        r#"{"type": "array", "items": "#.repeat(levels),
        "}".repeat(levels)
    );
    let deep = format!(
        r#"{{"spec": {{"versions": [{{"name": "v1", "schema": {{"openAPIV3Schema":
        {{"type": "object", "properties": {{"spec": {deep}}}}}}}}}]}}}}"#
    );
    let deep: Definition = serde_json::from_str(&deep).expect("a definition");
    let deep = deep.version("v1").expect("a schema");
    let mut levels = 0;
    let mut at = deep.field("spec").expect("a field");
    while let Some(element) = at.element() {
        (at, levels) = (element, levels + 1);
    }
    assert_eq!((at, levels), (&Schema::Any, MAX_DEPTH));
}

#[test]
fn what_says_which_values_are_valid_says_nothing_of_types() {
    let schema = spec(
        json!({"type": "object", "properties": {"a": {"type": "string", "enum": ["x"], "default": "x"}},
        "required": ["a"], "oneOf": [{"required": ["a"]}, {"properties": {"b": {}}}], "not": {"required": ["c"]},
        "x-kubernetes-validations": [{"rule": "self.a == 'x'"}], "additionalProperties": false}),
    );
    assert_eq!(schema, Schema::object([("a", Schema::String)]));
}
