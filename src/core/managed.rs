//! Who changed a field: what `metadata.managedFields` says of exactly that path.
//!
//! The format is FieldsV1: `f:` names a field, `k:` an element by its keys, `v:` one by its value, `i:` one by its
//! position (<https://kubernetes.io/docs/reference/using-api/server-side-apply/>). Its times are whole seconds and
//! tell of the last write of each manager.
//!
//! * **A field that is there** was written by the manager that owns it: the API server takes a field away from all
//!   others when its value changes. Where several own it, those whose entry is new, or has a new time, since the
//!   state before are named, or all when there are none.
//! * **A field that is gone** has no owner. Of the entries that are new or have a new time, those that owned it
//!   before are named, otherwise all of them. An update that only removes fields leaves no trace of its manager:
//!   then there is none, and the manager is unknown.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::field_path::{FieldPath, Step};
use super::project::ProjectedObject;
use super::tree::Node;

/// Most managers named for one field.
pub const MAX_MANAGERS: usize = 3;

/// Who changed a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Actor {
    /// Names of field managers, that of the latest write first; more than one when managedFields does not tell
    /// which. Never empty, at most [`MAX_MANAGERS`].
    pub managers: Vec<Arc<str>>,
    /// `Apply` or `Update`, of the first.
    pub operation: Arc<str>,
    /// When the first wrote last.
    pub time: Option<Timestamp>,
    /// Subresource through which the first wrote, such as `scale`.
    pub subresource: Option<Arc<str>>,
}

/// One entry of managedFields.
#[derive(Clone, Copy)]
struct Entry<'a>(&'a Node);

impl<'a> Entry<'a> {
    fn text(self, key: &str) -> Option<&'a Arc<str>> {
        self.0.get(key).and_then(Node::as_str)
    }

    fn identity(self) -> [Option<&'a Arc<str>>; 4] {
        ["manager", "operation", "apiVersion", "subresource"].map(|key| self.text(key))
    }

    fn time(self) -> Option<Timestamp> {
        self.text("time").and_then(|text| text.parse().ok())
    }

    fn owns(self, path: &FieldPath, root: &Node) -> bool {
        self.0.get("fieldsV1").is_some_and(|fields| owns(fields, &path.0, root))
    }
}

fn entries(object: &ProjectedObject) -> impl Iterator<Item = Entry<'_>> {
    object.managed_fields().map(Node::items).unwrap_or_default().iter().map(Entry)
}

/// Follows a path through a set of fields, beside the object that it is about.
fn owns(fields: &Node, path: &[Step], root: &Node) -> bool {
    let (mut at, mut node) = (fields, root);
    for (n, step) in path.iter().enumerate() {
        // Nothing below: the field is owned as a whole.
        if at.entries().is_empty() {
            return n > 0;
        }
        let (Some(child), below) = (child(at, step, node), step.from(node)) else {
            return false;
        };
        let Some(below) = below else { return false };
        (at, node) = (child, below);
    }
    !path.is_empty()
}

fn child<'a>(fields: &'a Node, step: &Step, node: &Node) -> Option<&'a Node> {
    let find = |fits: &dyn Fn(&str) -> bool| {
        fields.entries().iter().find(|(key, _)| fits(key)).map(|(_, below)| below)
    };
    if let Step::Field(name) = step {
        return find(&|key| key.strip_prefix("f:") == Some(name));
    }
    let (position, element) = node.items().iter().enumerate().find(|(n, item)| step.leads_to(*n, item))?;
    find(&|key| match key.split_at_checked(2) {
        // The keys of the schema, which need not be those that the path is written with.
        Some(("k:", keys)) => serde_json::from_str::<Node>(keys).is_ok_and(|keys| {
            !keys.entries().is_empty()
                && keys.entries().iter().all(|(key, value)| element.get(key) == Some(value))
        }),
        Some(("v:", value)) => serde_json::from_str::<Node>(value).is_ok_and(|value| value == *element),
        Some(("i:", index)) => index.parse() == Ok(position),
        _ => false,
    })
}

/// Who changed the field at `path` between two states, or who owns it when there is no state before; nothing when
/// managedFields does not tell.
pub fn who(path: &FieldPath, before: Option<&ProjectedObject>, after: &ProjectedObject) -> Option<Actor> {
    let known = |entry: Entry<'_>| {
        before.into_iter().flat_map(entries).find(|known| known.identity() == entry.identity())
    };
    let wrote = |entry: &Entry<'_>| known(*entry).is_none_or(|known| known.time() != entry.time());
    let owned = |entry: &Entry<'_>| {
        before.is_some_and(|before| known(*entry).is_some_and(|known| known.owns(path, before.root())))
    };
    if path.of(after.root()).is_some() {
        let owners: Vec<Entry<'_>> = entries(after).filter(|entry| entry.owns(path, after.root())).collect();
        let fresh: Vec<Entry<'_>> =
            owners.iter().copied().filter(|entry| wrote(entry) || !owned(entry)).collect();
        return actor(if fresh.is_empty() { owners } else { fresh });
    }
    // Without a state before nobody can be told from those who wrote anything at all.
    before?;
    let writers: Vec<Entry<'_>> = entries(after).filter(wrote).collect();
    let owners: Vec<Entry<'_>> = writers.iter().copied().filter(owned).collect();
    actor(if owners.is_empty() { writers } else { owners })
}

/// Who created an object: known while one manager alone has written it.
pub fn creator(object: &ProjectedObject) -> Option<Actor> {
    let mut all = entries(object);
    match (all.next(), all.next()) {
        (Some(only), None) => actor(vec![only]),
        _ => None,
    }
}

fn actor(mut entries: Vec<Entry<'_>>) -> Option<Actor> {
    entries.retain(|entry| entry.text("manager").is_some_and(|name| !name.is_empty()));
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.time()));
    let first = *entries.first()?;
    let mut managers: Vec<Arc<str>> = Vec::new();
    for name in entries.iter().filter_map(|entry| entry.text("manager")) {
        if managers.len() < MAX_MANAGERS && !managers.contains(name) {
            managers.push(name.clone());
        }
    }
    Some(Actor {
        managers,
        operation: first.text("operation").cloned().unwrap_or_else(|| "".into()),
        time: first.time(),
        subresource: first.text("subresource").filter(|text| !text.is_empty()).cloned(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::core::project::testing::managed_object;

    fn object(spec: Value, managed: Value) -> Arc<ProjectedObject> {
        managed_object(&json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "a", "managedFields": managed},
            "spec": spec,
        }))
    }

    fn entry(manager: &str, operation: &str, time: &str, fields: Value) -> Value {
        json!({"manager": manager, "operation": operation, "apiVersion": "v1", "time": format!("2026-01-01T00:00:{time}Z"),
            "fieldsType": "FieldsV1", "fieldsV1": fields})
    }

    fn told(path: &str, before: Option<&ProjectedObject>, after: &ProjectedObject) -> String {
        let actor = who(&path.parse().expect("a path"), before, after);
        actor.map_or("unknown".into(), |a| format!("{} {}", a.managers.join("+"), a.operation))
    }

    #[test]
    fn the_owner_of_exactly_the_path_did_it() {
        let spec = json!({"replicas": 2, "containers": [
            {"name": "app", "image": "a", "ports": [{"containerPort": 80, "protocol": "TCP", "name": "web"}]},
            {"name": "side", "image": "s"},
        ], "finalizers": ["x", "y"], "args": ["1"]});
        let after = object(
            spec,
            json!([
                entry(
                    "helm",
                    "Apply",
                    "01",
                    json!({"f:spec": {"f:containers": {
                    "k:{\"name\":\"app\"}": {".": {}, "f:image": {}, "f:name": {}, "f:ports": {
                        "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:name": {}}}},
                    "k:{\"name\":\"side\"}": {".": {}, "f:name": {}}}, "f:args": {}}})
                ),
                entry(
                    "kubectl-edit",
                    "Update",
                    "05",
                    json!({"f:spec": {"f:replicas": {}, "f:containers": {
                    "k:{\"name\":\"side\"}": {"f:image": {}}}, "f:finalizers": {".": {}, "v:\"x\"": {}}}})
                ),
                entry("scaler", "Update", "06", json!({"f:spec": {"f:finalizers": {"v:\"y\"": {}}}})),
            ]),
        );
        for (path, by) in [
            ("spec.replicas", "kubectl-edit Update"),
            ("spec.containers[name=app].image", "helm Apply"),
            ("spec.containers[name=side].image", "kubectl-edit Update"),
            // Written with another key than the schema has.
            ("spec.containers[image=a].ports[name=web].name", "helm Apply"),
            ("spec.finalizers[0]", "kubectl-edit Update"),
            ("spec.finalizers[1]", "scaler Update"),
            ("spec.finalizers", "scaler+kubectl-edit Update"),
            // Atomic: owned as a whole.
            ("spec.args[0]", "helm Apply"),
            ("spec.containers[name=app].ports[name=web].protocol", "unknown"),
            ("spec.gone", "unknown"),
        ] {
            assert_eq!(told(path, None, &after), by, "{path}");
        }
    }

    #[test]
    fn of_several_owners_those_who_wrote_since_then_are_named() {
        let owner = |manager, time| entry(manager, "Apply", time, json!({"f:spec": {"f:x": {}}}));
        let before = object(json!({"x": 1}), json!([owner("a", "01"), owner("b", "02")]));
        let after = object(json!({"x": 2}), json!([owner("a", "01"), owner("b", "09")]));
        assert_eq!(told("spec.x", Some(&before), &after), "b Apply");
        let both = object(json!({"x": 2}), json!([owner("a", "08"), owner("b", "09")]));
        assert_eq!(told("spec.x", Some(&before), &both), "b+a Apply");
        // Two writes within one second can not be told apart.
        let same = object(json!({"x": 2}), json!([owner("a", "01"), owner("b", "02")]));
        assert_eq!(told("spec.x", Some(&before), &same), "b+a Apply");
    }

    #[test]
    fn who_removed_a_field_is_told_by_new_times_or_not_at_all() {
        let fields = || json!({"f:spec": {"f:x": {}, "f:y": {}}});
        let without = || json!({"f:spec": {"f:y": {}}});
        let before = object(
            json!({"x": 1, "y": 1}),
            json!([
                entry("a", "Apply", "01", fields()),
                entry("b", "Update", "01", json!({"f:spec": {"f:z": {}}}))
            ]),
        );
        let applied = object(
            json!({"y": 1}),
            json!([
                entry("a", "Apply", "05", without()),
                entry("b", "Update", "06", json!({"f:spec": {"f:z": {}}}))
            ]),
        );
        assert_eq!(told("spec.x", Some(&before), &applied), "a Apply", "who owned it and wrote since then");
        let other = object(
            json!({"y": 1}),
            json!([
                entry("a", "Apply", "01", without()),
                entry("b", "Update", "06", json!({"f:spec": {"f:z": {}}}))
            ]),
        );
        assert_eq!(told("spec.x", Some(&before), &other), "b Update", "the only one who wrote since then");
        let silent = object(
            json!({"y": 1}),
            json!([
                entry("a", "Apply", "01", without()),
                entry("b", "Update", "01", json!({"f:spec": {"f:z": {}}}))
            ]),
        );
        assert_eq!(told("spec.x", Some(&before), &silent), "unknown");
        assert_eq!(told("spec.x", None, &silent), "unknown");
    }

    #[test]
    fn odd_managed_fields_tell_nothing_and_harm_nothing() {
        for managed in [
            json!([]),
            json!("x"),
            json!([1, {"fieldsV1": 3}, {"manager": "", "fieldsV1": {"f:spec": {}}}]),
            json!([{"manager": "m", "fieldsV1": {"f:spec": {"k:{": {}, "é": {}, "v:": {}}}}]),
        ] {
            let after = object(json!({"x": [1]}), managed);
            assert_eq!(told("spec.x[0]", None, &after), "unknown");
        }
    }
}
