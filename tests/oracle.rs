//! A second opinion: what the evaluator of the `cel` crate says of the expressions of `tests/verdicts/` on objects that
//! no API server was asked about. It has no type checker, lacks much of what Kubernetes has, and of some expressions says
//! something else than a kube-apiserver on the recorded object: those are left out. Where both give a verdict, it is the
//! same.

#[path = "support/verdicts/mod.rs"]
mod verdicts;

use std::collections::HashMap;
use std::sync::Arc;

use cel::{Context, Env, Program, Value, extensions};
use fastrand::Rng;
use polywatch::core::paths::Paths;
use verdicts::truth::{Stored, Truth};
use verdicts::{Verdict, ours, random};

/// Random changes of each object; the seed is the place of the case.
const CHANGES: usize = 10;

#[test]
fn where_both_have_an_opinion_it_is_the_same() {
    let (data, truth) = (verdicts::load(), Truth::read());
    let mut env = Env::stdlib();
    for extension in [extensions::strings, extensions::math, extensions::lists, extensions::encoders] {
        env.add_extension(extension).expect("an extension");
    }
    let env = Arc::new(env);
    let (mut same, mut otherwise, mut differ) = (0, 0, Vec::new());
    for (n, case) in data.cases.iter().enumerate() {
        let rule = &case.rule;
        if !rule.variables.is_empty() || !rule.match_conditions.is_empty() {
            continue;
        }
        let stored = truth.stored(case);
        // Their values are not seen by ours.
        if stored.kind().0 == "Secret" {
            continue;
        }
        let Ok(program) = Program::compile(&rule.expression) else { continue };
        match (theirs(&program, &env, &stored), verdict(truth.verdict(case))) {
            (Some(theirs), Some(server)) if theirs == server => {}
            (Some(_), Some(_)) => {
                otherwise += 1;
                continue;
            }
            _ => continue,
        }
        let policy = ours::policy(case, &stored);
        let mut random = Rng::with_seed(n as u64);
        for _ in 0..CHANGES {
            let mut stored = stored.clone();
            random::change(&mut stored, &mut random);
            let ours = verdict(&ours::judge_kept(&policy, case, &stored, |_| Paths::whole()));
            match (ours, theirs(&program, &env, &stored)) {
                (Some(ours), Some(theirs)) if ours == theirs => same += 1,
                (Some(ours), Some(_)) => {
                    differ.push(format!("{}: we say {ours} of {:?}", case.id, stored.object))
                }
                _ => {}
            }
        }
    }
    println!("the same {same} times; {otherwise} expressions that the crate takes otherwise than Kubernetes");
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    assert!(same > 10_000 && otherwise < 60, "{same}, {otherwise}");
}

fn verdict(verdict: &Verdict) -> Option<bool> {
    match verdict {
        Verdict::Compliant => Some(true),
        Verdict::Violation(_) => Some(false),
        _ => None,
    }
}

fn theirs(program: &Program, env: &Arc<Env>, stored: &Stored) -> Option<bool> {
    let mut context = Context::with_env(env.clone());
    for (name, object) in [("object", &stored.object), ("oldObject", &stored.old_object)] {
        context.add_variable_from_value(name, object.as_ref().map_or(Value::Null, value));
    }
    match program.execute(&context) {
        Ok(Value::Bool(verdict)) => Some(verdict),
        _ => None,
    }
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
