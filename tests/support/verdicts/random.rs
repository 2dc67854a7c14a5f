//! Random changes of objects.

use fastrand::Rng;
use serde_json::{Map, Value, json};

use super::truth::Stored;

/// Changes a few parts of the objects: takes them away, makes them something else, or adds to them.
pub fn change(stored: &mut Stored, random: &mut Rng) {
    for object in [&mut stored.object, &mut stored.old_object].into_iter().flatten() {
        (0..random.usize(1..4)).for_each(|_| part(object, random));
    }
}

fn part(value: &mut Value, random: &mut Rng) {
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
                _ => part(&mut entries[&name], random),
            }
        }
        Value::Array(items) if deeper && !items.is_empty() => {
            let at = random.usize(0..items.len());
            match random.u8(0..8) {
                0 => drop(items.remove(at)),
                1 => items.push(items[at].clone()),
                _ => part(&mut items[at], random),
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
