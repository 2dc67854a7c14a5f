use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::core::project::testing::managed_object;
use crate::core::project::{Projection, Shape};

fn object(value: &Value) -> ProjectedObject {
    Arc::unwrap_or_clone(managed_object(value))
}

fn pod(namespace: Option<&str>, name: &str, version: u64, spec: &Value) -> ProjectedObject {
    let uid = format!("0a1b2c3d-0000-4000-8000-{:012x}", name.len());
    let mut metadata = json!({"name": name, "uid": uid, "resourceVersion": version.to_string()});
    if let Some(namespace) = namespace {
        metadata["namespace"] = namespace.into();
    }
    object(&json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}))
}

fn all(store: &Store) -> Vec<String> {
    store.objects().map(|object| object.id().to_string()).collect()
}

#[test]
fn an_object_comes_out_as_it_went_in() {
    let odd = object(&json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "uid": "0A1B2C3D-0000-4000-8000-000000000001", "name": "a", "namespace": "n", "resourceVersion": "007",
            "labels": {"app": "v1", "kind": "Pod", "": ""},
            "managedFields": [{"manager": "m", "fieldsV1": {"f:spec": {}}}],
        },
        "spec": {
            "numbers": [0, -1, i64::MAX, i64::MIN, 1.5, -0.0, 1e300], "null": null, "yes": true, "no": false,
            "empty": {}, "none": [], "long": "x".repeat(300), "name": "a", "metadata": {"name": "a"},
        },
    }));
    let mut store = Store::default();
    assert!(matches!(store.put(&odd, 1), Put::New));
    assert_eq!(store.objects().collect::<Vec<_>>(), std::slice::from_ref(&odd));
    assert_eq!(store.remove(&odd.key()), Some(odd.clone()));
    assert_eq!((store.len(), store.remove(&odd.key())), (0, None));
}

#[test]
fn what_changed_is_told_with_the_state_before() {
    let mut store = Store::default();
    let first = pod(Some("n"), "a", 1, &json!({"x": "same", "y": "same"}));
    assert!(matches!(store.put(&first, 1), Put::New));
    // Another version is no change; nor is that a text has got a number by now.
    let newer = pod(Some("n"), "a", 2, &json!({"x": "same", "y": "same"}));
    assert!(matches!(store.put(&newer, 1), Put::Same { managers_known: true, generation: 0 }));
    assert_eq!(store.objects().next().map(|kept| kept.resource_version().to_owned()).as_deref(), Some("2"));
    match store.put(&pod(Some("n"), "a", 3, &json!({"x": "other"})), 1) {
        Put::Changed(before) => assert_eq!(before, newer),
        other => panic!("{other:?}"),
    }
    let mut again = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"x": "other"}});
    again["metadata"] = json!({"namespace": "n", "name": "a", "uid": "another", "resourceVersion": "4"});
    assert!(matches!(store.put(&object(&again), 1), Put::Replaced(_)));
}

#[test]
fn what_a_list_no_longer_has_is_known_by_not_being_seen() {
    let mut store = Store::default();
    for name in ["a", "bb", "ccc"] {
        store.put(&pod(Some("n"), name, 1, &json!({})), 1);
    }
    store.put(&pod(Some("n"), "bb", 1, &json!({})), 2);
    let names: Vec<String> = store.not_seen_in(2).iter().map(|key| key.name.to_string()).collect();
    assert_eq!(names, ["a", "ccc"]);
}

#[test]
fn slices_come_to_every_object_once_while_others_come_and_go() {
    let mut store = Store::default();
    for n in 0..10 {
        store.put(&pod(Some(if n % 2 == 0 { "x" } else { "y" }), &"n".repeat(n + 1), 1, &json!({})), 1);
    }
    let (mut seen, mut from) = (Vec::new(), None);
    loop {
        let (slice, next) = store.slice(from.as_ref(), false, 3);
        seen.extend(slice.iter().map(|object| object.id().to_string()));
        // It was seen already, and its place is taken by another.
        if let Some(gone) = slice.first() {
            store.remove(&gone.key());
            store.put(&pod(gone.id().namespace.as_deref(), &format!("new-{}", seen.len()), 1, &json!({})), 1);
        }
        from = next;
        if from.is_none() {
            break;
        }
    }
    seen.retain(|name| !name.contains("new"));
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 10);
    let (of_y, next) = store.slice(Some(&Cursor::before(Some("y".into()))), true, 100);
    assert!(of_y.iter().all(|object| object.id().namespace.as_deref() == Some("y")) && next.is_none());
}

#[test]
fn room_is_given_back() {
    let mut store = Store::default();
    let names: Vec<String> = (0..5_000).map(|n| format!("pod-{n}")).collect();
    let pods = |names: &[String]| {
        names.iter().map(|name| pod(None, name, 1, &json!({"x": name}))).collect::<Vec<_>>()
    };
    pods(&names).iter().for_each(|pod| drop(store.put(pod, 1)));
    let full = store.bytes();
    pods(&names[10..]).iter().for_each(|pod| drop(store.remove(&pod.key())));
    assert_eq!(all(&store).len(), 10);
    // Symbols stay; what is kept of objects does not.
    let symbols = store.symbols.bytes();
    assert!((store.bytes() - symbols) * 50 < full - symbols, "{} of {full} bytes", store.bytes());
}

#[test]
fn an_ordinary_object_is_small() {
    let shape = Shape::from(Paths::only([
        &["spec", "containers", "[]", "resources", "limits", "memory"][..],
        &["metadata", "labels", "team"],
    ]));
    let projection = Projection::new(shape, "v1", "Pod");
    let mut store = Store::default();
    for n in 0..1_000 {
        let uid = format!("0a1b2c3d-0000-4000-8000-{n:012x}");
        let container = json!({"image": "i", "resources": {"limits": {"memory": "64Mi", "cpu": "1"}}});
        let pod = json!({
            "metadata": {"name": format!("checkout-7d4b9c6f5-{n:05}"), "namespace": "shop", "uid": uid,
                         "resourceVersion": (1_000_000 + n).to_string(), "labels": {"team": "payments", "x": "y"}},
            "spec": {"containers": [container, container]},
        });
        store.put(&projection.decode(pod).expect("an object"), 1);
    }
    let each = store.bytes() / 1_000;
    assert!(each < 160, "{each} bytes an object");
}

/// A tree of texts that repeat and of some that do not.
fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_filter("JSON has no others", |f| f.is_finite()).prop_map(Into::into),
        "[ab]{0,2}".prop_map(Into::into),
        "\\PC{0,80}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map("[a-c]{1,2}|\\PC{0,70}", inner, 0..4)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    /// After any history the store is the map that it stands for, and told each change.
    #[test]
    fn the_store_is_a_map(steps in prop::collection::vec((0..6usize, prop::option::weighted(0.8, tree())), 1..40)) {
        let mut store = Store::default();
        let mut known: BTreeMap<ObjectKey, ProjectedObject> = BTreeMap::new();
        for (n, (slot, value)) in steps.into_iter().enumerate() {
            let namespace = [None, Some("x"), Some("y")][slot % 3];
            let version = n as u64;
            let object = pod(namespace, &"a".repeat(slot + 1), version, &value.clone().unwrap_or_default());
            let before = known.get(&object.key()).cloned();
            if value.is_none() {
                prop_assert_eq!(store.remove(&object.key()), before);
                known.remove(&object.key());
            } else {
                match (store.put(&object, 1), before) {
                    (Put::New, None) => {}
                    (Put::Same { .. }, Some(before)) => {
                        prop_assert_eq!(before.root().get("spec"), object.root().get("spec"));
                    }
                    (Put::Changed(told), Some(before)) => {
                        prop_assert_ne!(before.root().get("spec"), object.root().get("spec"));
                        prop_assert_eq!(told, before);
                    }
                    (put, before) => prop_assert!(false, "{put:?} after {before:?}"),
                }
                known.insert(object.key(), object);
            }
            prop_assert_eq!(store.len(), known.len());
            let mut kept: Vec<ProjectedObject> = store.objects().collect();
            kept.sort_by_key(ProjectedObject::key);
            prop_assert_eq!(kept, known.values().cloned().collect::<Vec<_>>());
        }
    }

    /// Bytes that nobody wrote do no harm.
    #[test]
    fn other_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let record = Record::read(&bytes);
        record.object(&["v1".into(), "Pod".into()], None, &Symbols::default(), 0);
    }
}
