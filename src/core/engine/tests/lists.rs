//! Elements of lists are named by the keys of the schema, as soon as it is known and no matter since when.

use serde_json::{Value, json};

use super::drift::{fields, restarted};
use super::*;
use crate::core::schema::{Definition, SchemaSet};

const CHANGES: &str = "rules: [{name: kept, on: [Update], expression: 'false'}]";
const DRIFT: &str = "rules: [{name: same, drift: {paths: [spec]}}]";

/// Of items whose routes have `host`, `path` and `limit`; `list` is what else the schema says of the list.
fn schemas(list: &Value) -> SchemaSet {
    let text = json!({"type": "string"});
    let fields = json!({"host": text, "path": text, "limit": {"type": "integer"}});
    let mut routes = json!({"type": "array", "items": {"type": "object", "properties": fields}});
    for (key, value) in list.as_object().expect("a map") {
        routes[key] = value.clone();
    }
    let spec = json!({"type": "object", "properties": {"routes": routes}});
    let root = json!({"type": "object", "properties": {"spec": spec}});
    let version = json!({"name": "v1", "schema": {"openAPIV3Schema": root}});
    let definition: Definition =
        serde_json::from_value(json!({"spec": {"versions": [version]}})).expect("a definition");
    let mut schemas = SchemaSet::default();
    schemas.insert("example.io", "v1", "Item", Arc::new(definition.version("v1").expect("a schema")));
    schemas
}

/// Neither is a key that would be guessed.
fn by_host_and_path() -> SchemaSet {
    schemas(&json!({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["host", "path"]}))
}

fn item(routes: &[(&str, i64)]) -> Arc<ProjectedObject> {
    let route = |(host, limit): &(&str, i64)| json!({"host": host, "path": "/", "limit": limit});
    let routes: Vec<Value> = routes.iter().map(route).collect();
    let item = json!({
        "apiVersion": "example.io/v1", "kind": "Item",
        "metadata": {"namespace": "x", "name": "a", "uid": "u", "resourceVersion": "1"},
        "spec": {"routes": routes},
    });
    object(&item.to_string())
}

impl World {
    fn knows(&mut self, schemas: SchemaSet) {
        self.engine.know(schemas);
        assert_eq!(self.work(), NOTHING, "what is known is not judged again");
    }

    fn routes(&mut self, routes: &[(&str, i64)]) -> Vec<String> {
        self.event(ITEMS, ObjectEvent::Seen(item(routes)))
    }
}

#[test]
fn a_schema_takes_effect_at_the_next_change_and_so_does_its_end() {
    let mut world = World::of(policy(CHANGES));
    world.list_of(ITEMS, &[item(&[("a.example", 1), ("b.example", 1)])]);
    let told = |path: &str, how: &str| [format!("occurred kept x/a: {path}: {how} by an unknown manager")];
    let said = world.routes(&[("a.example", 1), ("b.example", 2)]);
    assert_eq!(said, told("spec.routes[1].limit", "1 → 2"));
    world.knows(by_host_and_path());
    let said = world.routes(&[("a.example", 1), ("b.example", 3)]);
    assert_eq!(said, told("spec.routes[host=b.example,path=/].limit", "2 → 3"));
    let said = world.routes(&[("b.example", 3)]);
    let gone = r#"removed, was {"host":"a.example","limit":1,"path":"/"}"#;
    assert_eq!(said, told("spec.routes[host=a.example,path=/]", gone));
    world.knows(SchemaSet::default());
    assert_eq!(world.routes(&[("b.example", 4)]), told("spec.routes[0].limit", "3 → 4"));
}

#[test]
fn a_list_that_is_atomic_has_no_keys() {
    let mut world = World::of(policy(CHANGES));
    world.knows(schemas(&json!({"x-kubernetes-list-type": "atomic"})));
    world.list_of(ITEMS, &[item(&[("a.example", 1)])]);
    let said = world.routes(&[("a.example", 2)]);
    assert_eq!(said, ["occurred kept x/a: spec.routes[0].limit: 1 → 2 by an unknown manager"]);
}

#[test]
fn drift_keeps_its_names_while_a_later_process_does_not_know_the_schema_yet() {
    let mut world = World::of(policy(DRIFT));
    world.knows(by_host_and_path());
    world.list_of(ITEMS, &[item(&[("a.example", 1), ("b.example", 1)])]);
    // One more, so that the lists differ in length.
    let drifted = [("a.example", 1), ("b.example", 2), ("c.example", 1)];
    assert_eq!(world.routes(&drifted), ["opened same x/a"]);
    let listed = fields(&world);
    assert_eq!(listed[0], "spec.routes[host=b.example,path=/].limit 1 2 unknown");
    assert!(listed[1].starts_with("spec.routes[host=c.example,path=/] - {"), "{listed:?}");

    let (mut next, said) = restarted(&world, DRIFT, item(&drifted));
    assert_eq!(said, NOTHING);
    assert_eq!(next.open(), world.open());
    assert_eq!(next.routes(&[("a.example", 1), ("b.example", 1)]), ["resolved same x/a Compliant"]);
}
