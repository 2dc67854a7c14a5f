//! What works on an object is not warned of when the object's own shape is the schema: every case of
//! `tests/verdicts/`.

#[path = "support/verdicts/mod.rs"]
mod verdicts;

use std::sync::Arc;

use polywatch::core::check::check;
use polywatch::core::schema::Schema;
use serde_json::Value;
use verdicts::Verdict;
use verdicts::ours;
use verdicts::truth::Truth;

/// What runs without failing and is still worth a warning: it reads what is not there where that does no harm, fails
/// where something else decides, or looks for a value among values of other types. (A list is indexed by other numbers than ints, and flattened when
/// it is flat, where only the types are known at run time; that is left as a kube-apiserver has it.)
const WORTH_A_WARNING: &[&str] = &[
    "there is no field",
    "has no field",
    "want a bool",
    "`==` does not take",
    "`!=` does not take",
    "`in` does not take",
    "`[?]` does not take",
    "`[]` does not take",
    "`indexOf` does not take",
    "`flatten` does not take",
    "`sets.contains` does not take",
    "`sets.intersects` does not take",
];

#[test]
fn what_works_is_not_warned_of() {
    let data = verdicts::load();
    let truth = Truth::read();
    let (mut silent, mut wrong) = (0, Vec::new());
    for case in &data.cases {
        let stored = truth.stored(case);
        if !matches!(ours::judge(case, &stored), Verdict::Compliant | Verdict::Violation(_)) {
            continue;
        }
        let schema = stored.object.iter().chain(&stored.old_object).map(shape).reduce(join);
        let warnings = check(&ours::policy(case, &stored), &[schema.map(Arc::new)]);
        silent += usize::from(warnings.listed.is_empty());
        // When a message fails, there is another one.
        let of_the_rule =
            warnings.listed.iter().filter(|warning| !warning.field.ends_with("messageExpression"));
        let odd = of_the_rule.filter(|w| !WORTH_A_WARNING.iter().any(|words| w.message.contains(words)));
        wrong.extend(odd.map(|warning| format!("{}: {}", case.id, warning.message)));
    }
    println!("{silent} of {} cases work and have no warning", data.cases.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(silent > 1000, "{silent}");
}

/// The schema of just this value.
fn shape(value: &Value) -> Schema {
    match value {
        Value::Null => Schema::Any,
        Value::Bool(_) => Schema::Bool,
        Value::Number(number) if number.is_f64() => Schema::Double,
        Value::Number(_) => Schema::Int,
        Value::String(_) => Schema::String,
        Value::Array(items) => Schema::List {
            element: Box::new(items.iter().map(shape).reduce(join).unwrap_or(Schema::Any)),
            keys: Vec::new(),
        },
        Value::Object(fields) => Schema::Object {
            fields: fields.iter().map(|(name, value)| (Arc::from(name.as_str()), shape(value))).collect(),
            open: false,
        },
    }
}

/// The schema of values of both.
fn join(a: Schema, b: Schema) -> Schema {
    match (a, b) {
        (a, b) if a == b => a,
        (Schema::List { element: a, keys }, Schema::List { element: b, .. }) => {
            Schema::List { element: Box::new(join(*a, *b)), keys }
        }
        (Schema::Object { fields: mut a, open }, Schema::Object { fields: b, .. }) => {
            for (name, schema) in b {
                let both =
                    a.remove(&name).map_or_else(|| schema.clone(), |known| join(known, schema.clone()));
                a.insert(name, both);
            }
            Schema::Object { fields: a, open }
        }
        _ => Schema::Any,
    }
}
