//! Reads and writes reports.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::ObjectList;
use kube::core::response::Status;
use serde::de::DeserializeOwned;

use super::super::WRITE_TIMEOUT;
use super::format::{Body, Found, Place, SELECTOR, resource};
use crate::api::FIELD_MANAGER;
use crate::core::rules::one_line;

/// Reports read at once, whole: each may be as large as a slice.
const PAGE: u32 = 20;
/// Reports of which the metadata are read at once.
const METADATA_PAGE: u32 = 500;
/// Longest text of an error, in bytes.
const MAX_ERROR_LEN: usize = 512;

/// Why a report was not read or written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReportError {
    /// The API server does not serve this kind.
    NotInstalled(&'static str),
    /// The operator lacks the right.
    Refused(String),
    /// Its namespace is gone or going: nobody could read it.
    Useless,
    /// The API server will never take this report.
    Rejected(String),
    /// It may succeed later.
    Failed(String),
}

/// Every report of ours, whole.
pub async fn read(client: &Client) -> Result<Vec<Found>, ReportError> {
    let mut found = Vec::new();
    for namespaced in [false, true] {
        let api = api(client, None, namespaced);
        let list = |params: ListParams| {
            let api = api.clone();
            async move { api.list(&params).await }
        };
        found.extend(pages(namespaced, PAGE, list, Found::read).await?);
    }
    Ok(found)
}

/// The version of each report of ours, and its policy.
pub async fn look(client: &Client) -> Result<BTreeMap<Place, Found>, ReportError> {
    let mut found = BTreeMap::new();
    for namespaced in [false, true] {
        let api = api(client, None, namespaced);
        let list = |params: ListParams| {
            let api = api.clone();
            async move { api.list_metadata(&params).await }
        };
        let objects = pages(namespaced, METADATA_PAGE, list, |object| Found::of(&object.metadata)).await?;
        found.extend(objects.into_iter().map(|found| (found.place.clone(), found)));
    }
    Ok(found)
}

async fn pages<T: Clone + DeserializeOwned, F: Future<Output = kube::Result<ObjectList<T>>>>(
    namespaced: bool,
    page: u32,
    list: impl Fn(ListParams) -> F,
    read: impl Fn(T) -> Option<Found>,
) -> Result<Vec<Found>, ReportError> {
    let mut params = ListParams::default().labels(SELECTOR).limit(page);
    let mut found = Vec::new();
    loop {
        let page = answer(namespaced, list(params.clone())).await?;
        found.extend(page.items.into_iter().filter_map(&read));
        params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
        if params.continue_token.is_none() {
            return Ok(found);
        }
    }
}

/// Writes a report whole, in place of what it was. Returns its version.
pub async fn write(client: &Client, place: &Place, body: &Body) -> Result<String, ReportError> {
    let namespaced = place.namespace.is_some();
    let api = api(client, place.namespace.as_deref(), namespaced);
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let patch = Patch::Apply(body);
    let written = answer(namespaced, api.patch_metadata(&place.name, &params, &patch)).await?;
    let ObjectMeta { resource_version, .. } = written.metadata;
    Ok(resource_version.unwrap_or_default())
}

/// Deletes a report. That it is not there is no error.
pub async fn delete(client: &Client, place: &Place) -> Result<(), ReportError> {
    let namespaced = place.namespace.is_some();
    let api = api(client, place.namespace.as_deref(), namespaced);
    let gone = async {
        match api.delete(&place.name, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 && !is_kind_missing(&status) => Ok(()),
            other => other.map(drop),
        }
    };
    answer(namespaced, gone).await
}

fn api(client: &Client, namespace: Option<&str>, namespaced: bool) -> Api<DynamicObject> {
    let resource = resource(namespaced);
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

async fn answer<T>(
    namespaced: bool,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, ReportError> {
    match tokio::time::timeout(WRITE_TIMEOUT, request).await {
        Ok(result) => result.map_err(|error| report_error(namespaced, &error)),
        Err(_) => Err(ReportError::Failed(format!("no answer within {} s", WRITE_TIMEOUT.as_secs()))),
    }
}

fn report_error(namespaced: bool, error: &kube::Error) -> ReportError {
    let kube::Error::Api(status) = error else {
        return ReportError::Failed(one_line(&error.to_string(), MAX_ERROR_LEN));
    };
    let message = one_line(&status.message, MAX_ERROR_LEN);
    match status.code {
        404 if is_kind_missing(status) => {
            ReportError::NotInstalled(if namespaced { "Report" } else { "ClusterReport" })
        }
        404 => ReportError::Useless,
        403 if status.message.contains("being terminated") => ReportError::Useless,
        403 => ReportError::Refused(message),
        400 | 413 | 422 => ReportError::Rejected(message),
        _ => ReportError::Failed(message),
    }
}

/// What names an object is about that object, or about its namespace.
fn is_kind_missing(status: &Status) -> bool {
    status.details.as_ref().is_none_or(|details| details.name.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::core::finding::PolicyKey;
    use crate::record::reports::format::Subject;
    use crate::testing::{ApiServer, Reply, status};

    async fn written(reply: Reply, namespace: Option<&str>) -> Result<String, ReportError> {
        let server = ApiServer::new(move |_| reply.clone());
        let key = PolicyKey("p".into());
        let subject = Subject { key: &key, uid: "u" };
        let place = Place { namespace: namespace.map(Into::into), name: "r".into() };
        let body = Body::new(&place, &subject.slice_head(place.namespace.as_ref(), 0), Vec::new());
        write(&server.client(), &place, &body).await
    }

    fn named(mut status: Value, kind: &str, name: &str) -> Reply {
        status["details"] = json!({"name": name, "kind": kind});
        Reply::Body(404, status.to_string())
    }

    #[tokio::test]
    async fn a_missing_kind_is_told_from_a_missing_namespace() {
        let plain = || Reply::Body(404, "404 page not found\n".into());
        assert_eq!(written(plain(), None).await, Err(ReportError::NotInstalled("ClusterReport")));
        assert_eq!(written(plain(), Some("a")).await, Err(ReportError::NotInstalled("Report")));
        let message = "the server could not find the requested resource";
        let going = Reply::error(404, "NotFound", message);
        assert_eq!(written(going, None).await, Err(ReportError::NotInstalled("ClusterReport")));
        let reply = named(status(404, "NotFound", "namespaces \"a\" not found"), "namespaces", "a");
        assert_eq!(written(reply, Some("a")).await, Err(ReportError::Useless));
        let terminating = "unable to create new content in namespace a because it is being terminated";
        let reply = Reply::error(403, "Forbidden", terminating);
        assert_eq!(written(reply, Some("a")).await, Err(ReportError::Useless));
    }

    #[tokio::test]
    async fn what_is_refused_or_rejected_says_what_the_server_said() {
        let refused = Reply::error(403, "Forbidden", "user may not patch");
        assert_eq!(written(refused, None).await, Err(ReportError::Refused("user may not patch".into())));
        for code in [400, 413, 422] {
            let reply = Reply::error(code, "Invalid", "no such field");
            assert_eq!(written(reply, None).await, Err(ReportError::Rejected("no such field".into())));
        }
        for code in [409, 429, 500, 503] {
            let reply = Reply::error(code, "Trouble", "later");
            assert_eq!(written(reply, None).await, Err(ReportError::Failed("later".into())));
        }
    }
}
