//! What every object has: definitions leave it out, the API server adds it.

use super::Schema;

/// `apiVersion`, `kind` and `metadata` of any object.
pub(super) fn of_any_object() -> [(&'static str, Schema); 3] {
    [("apiVersion", Schema::String), ("kind", Schema::String), ("metadata", object_meta())]
}

/// `ObjectMeta` of `meta/v1`.
fn object_meta() -> Schema {
    use Schema::{Any, Bool, Int, String};
    let text_map = || Schema::Map(Box::new(String));
    let owner = Schema::object([
        ("apiVersion", String),
        ("blockOwnerDeletion", Bool),
        ("controller", Bool),
        ("kind", String),
        ("name", String),
        ("uid", String),
    ]);
    let managed = Schema::object([
        ("apiVersion", String),
        ("fieldsType", String),
        ("fieldsV1", Any),
        ("manager", String),
        ("operation", String),
        ("subresource", String),
        ("time", String),
    ]);
    Schema::object([
        ("annotations", text_map()),
        ("creationTimestamp", String),
        ("deletionGracePeriodSeconds", Int),
        ("deletionTimestamp", String),
        ("finalizers", Schema::list(String)),
        ("generateName", String),
        ("generation", Int),
        ("labels", text_map()),
        ("managedFields", Schema::list(managed)),
        ("name", String),
        ("namespace", String),
        ("ownerReferences", Schema::List { element: Box::new(owner), keys: vec!["uid".into()] }),
        ("resourceVersion", String),
        ("selfLink", String),
        ("uid", String),
    ])
}
