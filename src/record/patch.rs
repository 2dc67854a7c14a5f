//! Writes the status of one of our own objects, whole.

use std::fmt::Debug;

use kube::api::{Api, Patch, PatchParams};
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::WRITE_TIMEOUT;
use crate::api::FIELD_MANAGER;

/// Why a status was not written.
pub enum PatchError {
    /// The object is gone or is another one by now, or a server that is only starting does not know it yet.
    Gone,
    /// Something else.
    Failed(String),
}

/// Writes the status of the object of this name and UID.
pub async fn patch_status<K, S>(client: Client, name: &str, uid: &str, status: &S) -> Result<(), PatchError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
    S: Serialize,
{
    let api: Api<K> = Api::all_with(client, &());
    // The UID makes sure that an object of the same name that came later does not get this status.
    let body = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {"name": name, "uid": uid},
        "status": status,
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let patch = Patch::Apply(body);
    let write = api.patch_status(name, &params, &patch);
    match tokio::time::timeout(WRITE_TIMEOUT, write).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => Err(PatchError::Gone),
        Ok(Err(error)) => Err(PatchError::Failed(error.to_string())),
        Err(_) => Err(PatchError::Failed(format!("no answer within {} s", WRITE_TIMEOUT.as_secs()))),
    }
}
