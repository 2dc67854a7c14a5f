//! Just enough of a Kubernetes API server for polywatch, over plain HTTP: what it asks when it starts, one watch of
//! Pods, and places where it writes.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch, post};
use futures::stream;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::play::{Play, Played, Setup};
use super::stream::{Stream, end_of_list};

/// Blocks on their way to the connection: enough that it never waits for the next one.
const BLOCKS: usize = 4;

/// What the server knows.
pub struct Cluster {
    policies: Vec<Value>,
    /// The last status of each policy.
    statuses: Mutex<BTreeMap<String, Value>>,
    /// What the watch of Pods sends; taken by the first one, because there must not be a second.
    plays: Mutex<Option<Receiver<Play>>>,
    tell: fn(Played),
}

type Shared = State<Arc<Cluster>>;

impl Cluster {
    /// Sends `plays` on its watch of Pods, and tells of each.
    pub fn new(setup: Setup, plays: Receiver<Play>, tell: fn(Played)) -> Self {
        Self { policies: setup.policies, statuses: Mutex::default(), plays: Mutex::new(Some(plays)), tell }
    }

    /// A policy as it was applied, with the status that was written last.
    fn policy(&self, name: &str) -> Option<Value> {
        let mut policy = self.policies.iter().find(|policy| policy["metadata"]["name"] == name)?.clone();
        let statuses = self.statuses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(status) = statuses.get(name) {
            policy["status"] = status.clone();
        }
        Some(policy)
    }
}

/// Its addresses.
pub fn router(cluster: Cluster) -> Router {
    let policies = "/apis/polywatch.dev/v1alpha1/monitorpolicies";
    Router::new()
        .route("/api", get(core_discovery))
        .route("/apis", get(async || answer(&json!({"kind": "APIGroupDiscoveryList", "items": []}))))
        .route("/openapi/v3", get(async || answer(&json!({"paths": {}}))))
        .route("/api/v1/pods", get(pods))
        .route(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            get(async || nothing("apiextensions.k8s.io/v1", "CustomResourceDefinition")),
        )
        .route(
            "/apis/apiregistration.k8s.io/v1/apiservices",
            get(async || nothing("apiregistration.k8s.io/v1", "APIService")),
        )
        .route("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", post(allowed))
        .route("/apis/events.k8s.io/v1/events", get(no_events))
        .route("/apis/events.k8s.io/v1/namespaces/{namespace}/events", post(echo))
        .route("/apis/events.k8s.io/v1/namespaces/{namespace}/events/{name}", patch(echo))
        .route(policies, get(list_policies))
        .route(&format!("{policies}/{{name}}"), get(read_policy))
        .route(&format!("{policies}/{{name}}/status"), patch(write_status))
        .with_state(Arc::new(cluster))
}

async fn core_discovery() -> Response {
    let pods = json!({
        "resource": "pods", "singularResource": "pod", "scope": "Namespaced", "verbs": ["get", "list", "watch"],
        "responseKind": {"group": "", "version": "v1", "kind": "Pod"},
    });
    let version = json!({"version": "v1", "freshness": "Current", "resources": [pods]});
    answer(&json!({"kind": "APIGroupDiscoveryList", "items": [{"metadata": {}, "versions": [version]}]}))
}

/// The list is streamed and part of the plays: where it ends is the harness's to say.
async fn pods(State(cluster): Shared) -> Response {
    let plays = cluster.plays.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(plays) = plays else {
        let text = "there is one watch of Pods; if it broke, what is measured is worth nothing";
        return (StatusCode::INTERNAL_SERVER_ERROR, text).into_response();
    };
    let (blocks, mut sent) = mpsc::channel(BLOCKS);
    let tell = cluster.tell;
    // A connection that ends is noticed by polywatch and by whoever waits for it.
    std::thread::spawn(move || Stream::new(blocks).run(&plays, tell));
    watch(stream::poll_fn(move |context| sent.poll_recv(context).map(|block| block.map(Ok))))
}

/// A list of nothing, and silence after it.
fn nothing(api_version: &str, kind: &str) -> Response {
    let list = Bytes::from(end_of_list(api_version, kind, 1));
    let mut list = Some(list);
    watch(stream::poll_fn(move |_| match list.take() {
        Some(list) => std::task::Poll::Ready(Some(Ok(list))),
        None => std::task::Poll::Pending,
    }))
}

fn watch(blocks: impl stream::Stream<Item = Result<Bytes, Infallible>> + Send + 'static) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(blocks)).into_response()
}

async fn list_policies(State(cluster): Shared, RawQuery(query): RawQuery) -> Response {
    if query.is_some_and(|query| query.contains("watch=true")) {
        return watch(stream::pending());
    }
    list("polywatch.dev/v1alpha1", "MonitorPolicyList", &cluster.policies)
}

async fn read_policy(State(cluster): Shared, Path(name): Path<String>) -> Response {
    cluster.policy(&name).map_or_else(|| StatusCode::NOT_FOUND.into_response(), |policy| answer(&policy))
}

async fn write_status(State(cluster): Shared, Path(name): Path<String>, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut statuses = cluster.statuses.lock().unwrap_or_else(PoisonError::into_inner);
    statuses.insert(name.clone(), body["status"].clone());
    drop(statuses);
    cluster.policy(&name).map_or_else(|| StatusCode::NOT_FOUND.into_response(), |policy| answer(&policy))
}

async fn no_events() -> Response {
    list("events.k8s.io/v1", "EventList", &[])
}

async fn allowed(body: Bytes) -> Response {
    let mut review: Value = serde_json::from_slice(&body).unwrap_or_default();
    review["status"] = json!({"allowed": true});
    answer(&review)
}

/// Accepted, and forgotten.
async fn echo(body: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn list(api_version: &str, kind: &str, items: &[Value]) -> Response {
    let metadata = json!({"resourceVersion": "1"});
    answer(&json!({"apiVersion": api_version, "kind": kind, "metadata": metadata, "items": items}))
}

fn answer(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}
