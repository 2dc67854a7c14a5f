//! What every request to the API server passes through: it is counted, watches are paced, and a stream learns
//! that it is connected (the watcher itself tells only of objects and errors).

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Method, Request, Response};
use tokio::sync::Notify;
use tokio::time::Instant;
use tower::{BoxError, Layer, Service};

use crate::budget::Budget;
use crate::metrics::{Metrics, RequestLabel};

/// Watch requests that a stream may make in quick succession.
const BURST: u32 = 5;
/// And after that one in this time.
const INTERVAL: Duration = Duration::from_secs(5);

tokio::task_local! {
    /// The conversation of the watch that the running task serves.
    pub static CONVERSATION: Arc<Conversation>;
}

/// What the transport and one stream tell each other.
#[derive(Debug)]
pub struct Conversation {
    /// Notified when the API server accepted a watch request.
    pub connected: Notify,
    pace: Mutex<Budget>,
}

impl Default for Conversation {
    fn default() -> Self {
        Self { connected: Notify::new(), pace: Mutex::new(Budget::new(BURST, INTERVAL, Instant::now())) }
    }
}

impl Conversation {
    /// Waits for its turn. A server that ends watches cleanly at once is asked again at once by the watcher;
    /// without this that is a loop of thousands of requests a second.
    async fn pace(&self) {
        let pause = self.pace.lock().unwrap_or_else(PoisonError::into_inner).wait(Instant::now());
        if !pause.is_zero() {
            tokio::time::sleep(pause.mul_f64(1.0 + 0.2 * fastrand::f64())).await;
        }
    }
}

/// The layer to build clients with.
#[derive(Debug, Clone)]
pub struct Observe(pub Arc<Metrics>);

impl<S> Layer<S> for Observe {
    type Service = Observed<S>;

    fn layer(&self, inner: S) -> Observed<S> {
        Observed { inner, metrics: self.0.clone() }
    }
}

/// A service that observes.
#[derive(Debug)]
pub struct Observed<S> {
    inner: S,
    metrics: Arc<Metrics>,
}

impl<S, B, R> Service<Request<B>> for Observed<S>
where
    S: Service<Request<B>, Response = Response<R>, Error = BoxError>,
    S::Future: Send + 'static,
    R: Send + 'static,
{
    type Response = Response<R>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (verb, resource) = describe(request.method(), request.uri());
        let metrics = self.metrics.clone();
        let response = self.inner.call(request);
        // The future is polled by the task that asked, so the task local is that of its watch.
        Box::pin(async move {
            let conversation = CONVERSATION.try_with(Arc::clone).ok().filter(|_| verb == "watch");
            if let Some(conversation) = &conversation {
                conversation.pace().await;
            }
            let result = response.await;
            let code = match &result {
                Ok(response) => response.status().as_u16().to_string(),
                Err(_) => "none".to_owned(),
            };
            metrics.requests.get_or_create(&RequestLabel { verb, resource, code }).inc();
            if let (Ok(response), Some(conversation)) = (&result, conversation)
                && response.status().is_success()
            {
                conversation.connected.notify_one();
            }
            result
        })
    }
}

/// Verb and `PLURAL.GROUP` of a request; names of objects and namespaces never become labels.
fn describe(method: &Method, uri: &http::Uri) -> (&'static str, String) {
    let mut parts = uri.path().trim_matches('/').split('/');
    let group = match parts.next() {
        Some("api") => "",
        Some("apis") => parts.next().unwrap_or_default(),
        Some("openapi") => return ("get", "openapi".into()),
        _ => return (if method == Method::GET { "get" } else { "other" }, "none".into()),
    };
    let rest: Vec<&str> = parts.skip(1).collect();
    let rest = match rest.as_slice() {
        ["namespaces", _, below @ ..] if !below.is_empty() && !matches!(below, ["status" | "finalize"]) => {
            below
        }
        all => all,
    };
    let Some(plural) = rest.first() else {
        return ("get", "discovery".into());
    };
    let resource = match (group, rest.get(2)) {
        ("", None) => (*plural).to_owned(),
        (group, None) => format!("{plural}.{group}"),
        ("", Some(sub)) => format!("{plural}/{sub}"),
        (group, Some(sub)) => format!("{plural}.{group}/{sub}"),
    };
    let watching = uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "watch=true"));
    let verb = match (method.as_str(), rest.len()) {
        ("GET", _) if watching => "watch",
        ("GET", 1) => "list",
        ("GET", _) => "get",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", _) => "delete",
        _ => "other",
    };
    (verb, resource)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_described_without_names_of_objects() {
        let cases = [
            ("GET", "/api/v1/pods?watch=true&x=y", "watch", "pods"),
            ("GET", "/api/v1/namespaces/a/pods?limit=500", "list", "pods"),
            ("GET", "/apis/apps/v1/namespaces/a/deployments/b", "get", "deployments.apps"),
            (
                "PATCH",
                "/apis/polywatch.dev/v1alpha1/monitorpolicies/p/status",
                "patch",
                "monitorpolicies.polywatch.dev/status",
            ),
            ("GET", "/api/v1/namespaces", "list", "namespaces"),
            ("GET", "/api/v1/namespaces/a", "get", "namespaces"),
            ("POST", "/apis/events.k8s.io/v1/namespaces/a/events", "create", "events.events.k8s.io"),
            ("GET", "/apis", "get", "discovery"),
            ("GET", "/openapi/v3/apis/apps/v1?hash=0", "get", "openapi"),
            ("GET", "/version", "get", "none"),
        ];
        for (method, uri, verb, resource) in cases {
            let method: Method = method.parse().expect("method");
            assert_eq!(describe(&method, &uri.parse().expect("uri")), (verb, resource.to_owned()), "{uri}");
        }
    }
}
