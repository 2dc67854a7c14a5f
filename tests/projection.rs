//! What rules say of the fields that they read is what they say of the whole object: every case of
//! `tests/verdicts/`, on its object and on random changes of it.

#[path = "support/verdicts/mod.rs"]
mod verdicts;

use std::collections::BTreeMap;

use fastrand::Rng;
use polywatch::core::cel::Reads;
use polywatch::core::paths::Paths;
use serde_json::{Map, Value, json};
use verdicts::Verdict;
use verdicts::ours;
use verdicts::truth::Truth;

/// Random changes of each object; the seed is the place of the case.
const CHANGES: usize = 24;

#[test]
fn what_is_read_decides_alone() {
    let data = verdicts::load();
    let truth = Truth::read();
    let mut said = BTreeMap::new();
    for (n, case) in data.cases.iter().enumerate() {
        let stored = truth.stored(case);
        let policy = ours::policy(case, &stored);
        let reads: Reads = policy.reads();
        let mut random = Rng::with_seed(n as u64);
        for round in 0..=CHANGES {
            let mut stored = stored.clone();
            for object in [&mut stored.object, &mut stored.old_object].into_iter().flatten() {
                if let Some(metadata) = object["metadata"].as_object_mut() {
                    metadata.remove("managedFields");
                }
                if round > 0 {
                    (0..random.usize(1..4)).for_each(|_| change(object, &mut random));
                }
            }
            let whole = ours::judge_kept(&policy, case, &stored, |_| Paths::whole());
            let kept = ours::judge_kept(&policy, case, &stored, |root| reads.of(root).clone());
            let object = stored.object.unwrap_or_default();
            assert_eq!(kept, whole, "{}, which reads {reads:?}, of {object}", case.id);
            *said.entry(kind(&whole)).or_insert(0) += 1;
        }
    }
    println!("{said:?}");
    assert!(said.len() == 5 && said.values().all(|times| *times > 100), "all kinds of verdicts: {said:?}");
}

fn kind(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Compliant => "compliant",
        Verdict::Violation(_) => "violation",
        Verdict::Skipped => "skipped",
        Verdict::Error(_) => "error",
        Verdict::Rejected(_) => "rejected",
    }
}

/// Changes one part of a value: takes it away, makes it something else, or adds to it.
fn change(value: &mut Value, random: &mut Rng) {
    let deeper = random.u8(0..4) > 0;
    match value {
        Value::Object(entries) if deeper && !entries.is_empty() => {
            let name = entries.keys().nth(random.usize(0..entries.len())).cloned().unwrap_or_default();
            // What an object is stays.
            if ["apiVersion", "kind"].contains(&name.as_str()) {
                return;
            }
            match random.u8(0..8) {
                0 => drop(entries.remove(&name)),
                _ => change(&mut entries[&name], random),
            }
        }
        Value::Array(items) if deeper && !items.is_empty() => {
            let at = random.usize(0..items.len());
            match random.u8(0..8) {
                0 => drop(items.remove(at)),
                1 => items.push(items[at].clone()),
                _ => change(&mut items[at], random),
            }
        }
        other if other.get("apiVersion").is_none() => *other = anything(random),
        _ => {}
    }
}

fn anything(random: &mut Rng) -> Value {
    match random.u8(0..10) {
        0 => Value::Null,
        1 => random.bool().into(),
        2 => random.i64(-3..4).into(),
        3 => json!(1.5),
        4 => "text".into(),
        5 => "1500m".into(),
        6 => json!([]),
        7 => json!(["a", 1, {"name": "x"}]),
        8 => Value::Object(Map::new()),
        _ => json!({"name": "x", "a": {"b": [1, 2]}}),
    }
}
