//! A second opinion: what the evaluator of the `cel` crate says of the expressions of `tests/verdicts/`, where it says
//! anything. It has no type checker and lacks much of what Kubernetes has; where both give a verdict, it is the same,
//! but for what is listed here with the reason.

#[path = "support/verdicts/mod.rs"]
mod verdicts;

use std::collections::HashMap;
use std::sync::Arc;

use cel::{Context, Env, Program, Value, extensions};
use verdicts::Verdict;
use verdicts::ours;
use verdicts::truth::Truth;

/// Expressions of which `cel` says something else than a kube-apiserver does, with what it does.
const CEL_DIFFERS: &[(&str, &str)] = &[];

#[test]
fn where_both_have_an_opinion_it_is_the_same() {
    let (data, truth) = (verdicts::load(), Truth::read());
    let mut env = Env::stdlib();
    for extension in [extensions::strings, extensions::math, extensions::lists, extensions::encoders] {
        env.add_extension(extension).expect("an extension");
    }
    let env = Arc::new(env);
    let (mut same, mut differ) = (0, Vec::new());
    for case in &data.cases {
        let rule = &case.rule;
        if !rule.variables.is_empty() || !rule.match_conditions.is_empty() {
            continue;
        }
        let stored = truth.stored(case);
        let ours = match ours::judge(case, &stored) {
            Verdict::Compliant => true,
            Verdict::Violation(_) => false,
            _ => continue,
        };
        let Ok(program) = Program::compile(&rule.expression) else { continue };
        let mut context = Context::with_env(env.clone());
        for (name, object) in [("object", &stored.object), ("oldObject", &stored.old_object)] {
            context.add_variable_from_value(name, object.as_ref().map_or(Value::Null, value));
        }
        match program.execute(&context) {
            Ok(Value::Bool(theirs)) if theirs == ours => same += 1,
            Ok(Value::Bool(_)) if CEL_DIFFERS.iter().any(|(known, _)| *known == rule.expression) => {}
            Ok(Value::Bool(theirs)) => differ.push(format!("{}: cel says {theirs}", case.id)),
            _ => {}
        }
    }
    println!("the same of {same}");
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    assert!(same > 500, "{same}");
}

fn value(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(b) => Value::Bool(*b),
        serde_json::Value::Number(n) => {
            n.as_i64().map_or_else(|| Value::Float(n.as_f64().unwrap_or(f64::NAN)), Value::Int)
        }
        serde_json::Value::String(s) => Value::String(Arc::new(s.clone())),
        serde_json::Value::Array(items) => Value::List(Arc::new(items.iter().map(value).collect())),
        serde_json::Value::Object(entries) => {
            let entries: HashMap<String, Value> =
                entries.iter().map(|(key, entry)| (key.clone(), value(entry))).collect();
            entries.into()
        }
    }
}
