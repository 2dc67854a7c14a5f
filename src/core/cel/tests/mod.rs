//! The language as rules use it, over a pod and a custom resource.

mod costs;
mod errors;
mod libraries;
mod limits;
mod variables;
mod verdicts;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Bindings, CompileError, EvalError, Inputs, Program, Root, Scope, Want, compile};
use crate::core::tree::Node;

/// JSON as the watch decodes it.
pub(super) fn tree(json: &Value) -> Node {
    match json {
        Value::Null => Node::Null,
        Value::Bool(b) => Node::Bool(*b),
        Value::Number(n) => {
            n.as_i64().map_or_else(|| Node::Double(n.as_f64().unwrap_or(f64::NAN)), Node::Int)
        }
        Value::String(s) => Node::Str(Arc::from(s.as_str())),
        Value::Array(items) => Node::List(items.iter().map(tree).collect()),
        Value::Object(entries) => {
            Node::Map(entries.iter().map(|(key, value)| (Arc::from(key.as_str()), tree(value))).collect())
        }
    }
}

pub(super) fn pod() -> Node {
    tree(&json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "web-0", "namespace": "shop", "generation": 3,
            "creationTimestamp": "2024-05-01T11:50:00Z",
            "labels": {"app": "web", "tier": "front", "app.kubernetes.io/part-of": "shop"},
            "annotations": {},
        },
        "spec": {
            "nodeName": null, "hostNetwork": false, "priority": 0, "weight": 1.5,
            "containers": [
                {"name": "app", "image": "registry.example/app:1.2",
                 "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}},
                 "ports": [{"containerPort": 8080}], "args": ["--port", "8080"]},
                {"name": "side", "image": "registry.example/side:latest", "resources": {"limits": {}}},
            ],
        },
        "status": {"phase": "Running", "restarts": 7, "conditions": [{"type": "Ready", "status": "True"}]},
    }))
}

pub(super) fn route() -> Node {
    tree(&json!({
        "apiVersion": "gateway.example.io/v1", "kind": "APIRoute",
        "metadata": {"name": "api", "namespace": "shop"},
        "spec": {"auth": {"required": true}, "hosts": ["a.example", "b.example"], "rateLimit": {"rps": 20},
                 "backends": [{"name": "x", "weight": 1}, {"name": "y", "weight": 3}]},
    }))
}

pub(super) fn now() -> Timestamp {
    "2024-05-01T12:00:00Z".parse().expect("a time")
}

pub(super) fn scope() -> Scope {
    Scope::new(&Root::OF_OBJECT)
}

pub(super) fn rule(source: &str) -> Program {
    compile(source, &scope(), Want::Bool).unwrap_or_else(|error| panic!("{source}: {error}"))
}

pub(super) fn judge(source: &str, object: &Node) -> Result<bool, EvalError> {
    let program = rule(source);
    program.evaluate_bool(&mut Bindings::new(Inputs {
        object: Some(object),
        now: now(),
        ..Inputs::default()
    }))
}

/// The message of the error that judging ends in.
pub(super) fn fault(source: &str, object: &Node) -> String {
    let error = judge(source, object).expect_err(source).to_string();
    assert!(error.len() <= super::MAX_EVAL_MESSAGE && !error.contains(char::is_control), "{error}");
    error
}

/// The message of the error that compiling ends in.
pub(super) fn refusal(source: &str, want: Want) -> String {
    let error: CompileError = compile(source, &scope(), want).expect_err(source);
    let error = error.to_string();
    assert!(error.len() <= super::MAX_COMPILE_MESSAGE && !error.contains(char::is_control), "{error}");
    error
}
