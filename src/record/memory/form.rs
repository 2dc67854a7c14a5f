//! The last known objects of a watch as a Secret holds them. Pure.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::core::finding::ObjectId;
use crate::core::hash::fnv1a;
use crate::core::project::ProjectedObject;
use crate::core::remembered::place::Place;
use crate::core::remembered::{Part, ReaderId};
use crate::core::tree::Node;

/// The form that this version writes and reads.
const VERSION: u32 = 1;

/// What one Secret holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Content {
    version: u32,
    /// What the watch is of.
    watch: Arc<str>,
    index: u32,
    of: u32,
    time: Timestamp,
    readers: Vec<ReaderId>,
    objects: Vec<Object>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    id: ObjectId,
    resource_version: Arc<str>,
    object: Node,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    managed_fields: Option<Node>,
}

/// The name of the Secret for a place of a watch.
pub fn name_of(watch: &str, index: u32) -> String {
    format!("{:016x}-{index}", fnv1a([watch]))
}

/// As a Secret holds it.
pub fn content(watch: &Arc<str>, part: &Part) -> Content {
    let object = |object: &Arc<ProjectedObject>| Object {
        id: object.id().clone(),
        resource_version: object.resource_version().into(),
        object: object.root().clone(),
        managed_fields: object.managed_fields().cloned(),
    };
    let Part { place, time, readers, objects } = part;
    Content {
        version: VERSION,
        watch: watch.clone(),
        index: place.index,
        of: place.of,
        time: *time,
        readers: readers.clone(),
        objects: objects.values().map(object).collect(),
    }
}

/// What is left of each watch, by its name. What another version wrote is left out.
pub fn left(contents: impl IntoIterator<Item = Content>) -> HashMap<Arc<str>, Vec<Part>> {
    let mut all: HashMap<Arc<str>, Vec<Part>> = HashMap::new();
    for content in contents.into_iter().filter(|content| content.version == VERSION && content.of > 0) {
        let object = |object: Object| {
            let Object { id, resource_version, object, managed_fields } = object;
            let object = ProjectedObject::remembered(object, managed_fields, id, resource_version);
            (object.key(), Arc::new(object))
        };
        let Content { watch, index, of, time, readers, objects, .. } = content;
        let objects: BTreeMap<_, _> = objects.into_iter().map(object).collect();
        all.entry(watch).or_default().push(Part { place: Place { index, of }, time, readers, objects });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::project::testing::managed_object;

    #[test]
    fn what_is_written_is_read_as_what_it_was() {
        let object = managed_object(&serde_json::json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {
                "name": "a", "namespace": "n", "uid": "u", "resourceVersion": "17",
                "managedFields": [{"manager": "m", "fieldsV1": {"f:data": {"f:a": {}}}}],
            },
            "data": {"text": "x", "int": 5, "double": 1.0, "large": 1e300, "null": null, "list": [true, {}]},
        }));
        let reader =
            ReaderId { policy: "uid".into(), generation: 3, selection: "maps".into(), needs: u64::MAX };
        let part = Part {
            place: Place { index: 1, of: 2 },
            time: Timestamp::new(5, 123_456_789).expect("a time"),
            readers: vec![reader],
            objects: [(object.key(), object.clone())].into(),
        };
        let text = serde_json::to_string(&content(&"watch".into(), &part)).expect("JSON");
        let mut read: Content = serde_json::from_str(&text).expect("content");
        let left_of = left([read.clone()]).remove("watch").expect("parts");
        assert_eq!((left_of.len(), &left_of[0].readers, left_of[0].time), (1, &part.readers, part.time));
        let known = &left_of[0].objects[&object.key()];
        assert_eq!((known.root(), known.managed_fields()), (object.root(), object.managed_fields()));
        assert_eq!((known.id(), known.resource_version()), (object.id(), object.resource_version()));
        read.version = 2;
        assert!(left([read]).is_empty());
    }
}
