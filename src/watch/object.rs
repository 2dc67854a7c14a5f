//! The object type that `kube::runtime::watcher` is run with: it keeps only what the watch's projection keeps,
//! and decides so while the bytes are parsed.

use std::borrow::Cow;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::{ApiResource, DynamicResourceScope};
use serde::de::{Deserialize, Deserializer, Error as _};

use crate::core::project::{ProjectedObject, Projection};

tokio::task_local! {
    /// The projection of the watch that the running task serves. Deserialising takes no arguments, so this is
    /// how it learns what to keep.
    pub static PROJECTION: Arc<Projection>;
}

/// An object as a watch delivers it.
#[derive(Debug, Clone)]
pub struct WatchedObject {
    /// Holds the resource version only: the watcher resumes from it.
    meta: ObjectMeta,
    /// The kept fields.
    pub object: Arc<ProjectedObject>,
}

impl<'de> Deserialize<'de> for WatchedObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let projection = PROJECTION
            .try_with(Arc::clone)
            .map_err(|_| D::Error::custom("objects are decoded within the scope of a projection only"))?;
        let object = projection.decode(deserializer)?;
        let meta = ObjectMeta {
            resource_version: Some(object.resource_version().to_owned()),
            ..ObjectMeta::default()
        };
        Ok(Self { meta, object: Arc::new(object) })
    }
}

impl Resource for WatchedObject {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn api_version(resource: &ApiResource) -> Cow<'_, str> {
        resource.api_version.as_str().into()
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}
