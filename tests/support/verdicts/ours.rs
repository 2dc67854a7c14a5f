//! What this program says: the policy is compiled as the operator compiles it, and judged by its rules.

use std::sync::Arc;

use jiff::Timestamp;
use polywatch::core::cel::{Bindings, Inputs, Root};
use polywatch::core::finding::PolicyKey;
use polywatch::core::paths::Paths;
use polywatch::core::policy::CompiledPolicy;
use polywatch::core::project::{ProjectedObject, Projection};
use polywatch::core::rules;
use polywatch::core::tree::Node;
use polywatch::policy::compile;
use serde_json::{Value, json};

use super::truth::Stored;
use super::{Case, Verdict};

/// The message of a rule that names none: the API server's own default repeats the expression.
pub const MESSAGE: &str = "the rule is not satisfied";

/// The policy of a case as the operator has it.
pub fn policy(case: &Case, stored: &Stored) -> CompiledPolicy {
    let (kind, api_version) = stored.kind();
    let rule = &case.rule;
    let spec = json!({
        "resources": [{"name": "all", "apiVersion": api_version, "kind": kind}],
        "variables": rule.variables,
        "matchConditions": rule.match_conditions,
        "rules": [{
            "name": "case",
            "expression": rule.expression,
            "message": rule.message.as_deref().unwrap_or(MESSAGE),
            "messageExpression": rule.message_expression,
        }],
    });
    let spec = serde_json::from_value(spec).unwrap_or_else(|error| panic!("{}: {error}", case.id));
    compile(PolicyKey("case".into()), "uid".into(), 1, &spec)
}

/// What we say of a case, given the objects as the API server has them.
pub fn judge(case: &Case, stored: &Stored) -> Verdict {
    judge_kept(&policy(case, stored), case, stored, |_| Paths::whole())
}

/// What a policy says of a case when only these fields of the objects are kept.
pub fn judge_kept(
    policy: &CompiledPolicy,
    case: &Case,
    stored: &Stored,
    kept: impl Fn(Root) -> Paths,
) -> Verdict {
    if let Some(problem) = policy.problems.first() {
        return Verdict::Rejected(format!("{}: {}", problem.field, problem.message));
    }
    let projected =
        |object: &Option<Value>, root| object.as_ref().map(|object| projected(object, kept(root)));
    let object = projected(&stored.object, Root::Object);
    let old_object = projected(&stored.old_object, Root::OldObject);
    let namespace_object = projected(&stored.namespace, Root::NamespaceObject);
    let request = node(&stored.request(case.subject.operation()));
    let mut bindings = Bindings::new(Inputs {
        object: object.as_ref().map(ProjectedObject::root),
        old_object: old_object.as_ref().map(ProjectedObject::root),
        namespace_object: namespace_object.as_ref().map(ProjectedObject::root),
        request: Some(&request),
        now: Timestamp::UNIX_EPOCH,
        variables: &policy.variables,
    });
    let conditions: Vec<_> =
        policy.match_conditions.iter().map(|c| c.program.evaluate_bool(&mut bindings)).collect();
    if conditions.contains(&Ok(false)) {
        return Verdict::Skipped;
    }
    if let Some(error) = conditions.into_iter().find_map(Result::err) {
        return Verdict::Error(error.to_string());
    }
    let rule = &policy.rules[0];
    let Some(rules::RuleKind::State(state)) = &rule.kind else {
        return Verdict::Rejected("not in force".to_owned());
    };
    match state.judge(&rule.name, &mut bindings) {
        rules::Verdict::Compliant => Verdict::Compliant,
        rules::Verdict::Violation(violation) => Verdict::Violation(violation.message.to_string()),
        rules::Verdict::Error(error) => Verdict::Error(error.to_string()),
    }
}

fn projected(object: &Value, paths: Paths) -> ProjectedObject {
    let text = |key: &str| object[key].as_str().unwrap_or_default();
    let projection = Projection::new(paths, text("apiVersion"), text("kind"));
    projection.decode(object).unwrap_or_else(|error| panic!("{object}: {error}"))
}

/// A value that is no object of Kubernetes.
fn node(value: &Value) -> Node {
    match value {
        Value::Null => Node::Null,
        Value::Bool(value) => Node::Bool(*value),
        Value::Number(number) => {
            number.as_i64().map_or_else(|| Node::Double(number.as_f64().unwrap_or(f64::NAN)), Node::Int)
        }
        Value::String(text) => Node::Str(text.as_str().into()),
        Value::Array(items) => Node::List(items.iter().map(node).collect()),
        Value::Object(entries) => {
            Node::Map(entries.iter().map(|(key, value)| (Arc::from(key.as_str()), node(value))).collect())
        }
    }
}
