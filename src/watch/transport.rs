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

use crate::metrics::{Metrics, RequestLabel};

/// Requests that a watch may make in quick succession before it is slowed down.
const BURST: u32 = 5;
/// A watch that was quiet for this long starts afresh.
const QUIET: Duration = Duration::from_secs(30);
/// Longest pause between two requests of one watch. A list that waits for so long must not pass for one that hangs.
const MAX_PAUSE: Duration = Duration::from_secs(15);

tokio::task_local! {
    /// The conversation of the watch that the running task serves.
    pub static CONVERSATION: Arc<Conversation>;
}

/// What the transport and one stream tell each other.
#[derive(Debug, Default)]
pub struct Conversation {
    /// Notified when the API server accepted a watch request.
    pub connected: Notify,
    pace: Mutex<Pace>,
}

#[derive(Debug, Default)]
struct Pace {
    last: Option<Instant>,
    asked: u32,
}

impl Conversation {
    /// How long to wait before the next request. A server that ends watches cleanly at once is asked again at
    /// once by the watcher; without this that is a loop of thousands of requests a second.
    fn pause(&self, now: Instant) -> Duration {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        if pace.last.is_none_or(|last| now.duration_since(last) > QUIET) {
            pace.asked = 0;
        }
        pace.asked = pace.asked.saturating_add(1);
        let pause = match pace.asked.checked_sub(BURST) {
            None | Some(0) => Duration::ZERO,
            Some(over) => Duration::from_millis(250)
                .saturating_mul(1 << over.min(8))
                .min(MAX_PAUSE),
        };
        // Waiting is not being quiet.
        pace.last = Some(now + pause);
        pause
    }

    /// The request failed, and whoever asked makes a pause of its own.
    fn failed(&self) {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner).asked = 0;
    }
}

/// The layer to build clients with.
#[derive(Debug, Clone)]
pub struct Observe(pub Arc<Metrics>);

impl<S> Layer<S> for Observe {
    type Service = Observed<S>;

    fn layer(&self, inner: S) -> Observed<S> {
        Observed {
            inner,
            metrics: self.0.clone(),
        }
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
            let conversation = CONVERSATION.try_with(Arc::clone).ok();
            if let Some(conversation) = &conversation {
                let pause = conversation.pause(Instant::now());
                if !pause.is_zero() {
                    tokio::time::sleep(pause.mul_f64(0.75 + 0.5 * fastrand::f64())).await;
                }
            }
            let result = response.await;
            let code = match &result {
                Ok(response) => response.status().as_u16().to_string(),
                Err(_) => "none".to_owned(),
            };
            metrics
                .requests
                .get_or_create(&RequestLabel { verb, resource, code })
                .inc();
            if let Some(conversation) = conversation {
                match &result {
                    Ok(response) if response.status().is_success() => {
                        if verb == "watch" {
                            conversation.connected.notify_one();
                        }
                    }
                    _ => conversation.failed(),
                }
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
    let watching = uri
        .query()
        .is_some_and(|query| query.split('&').any(|pair| pair == "watch=true"));
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
            (
                "GET",
                "/apis/apps/v1/namespaces/a/deployments/b",
                "get",
                "deployments.apps",
            ),
            (
                "PATCH",
                "/apis/polywatch.dev/v1alpha1/monitorpolicies/p/status",
                "patch",
                "monitorpolicies.polywatch.dev/status",
            ),
            ("GET", "/api/v1/namespaces", "list", "namespaces"),
            ("GET", "/api/v1/namespaces/a", "get", "namespaces"),
            (
                "POST",
                "/apis/events.k8s.io/v1/namespaces/a/events",
                "create",
                "events.events.k8s.io",
            ),
            ("GET", "/apis", "get", "discovery"),
            ("GET", "/version", "get", "none"),
        ];
        for (method, uri, verb, resource) in cases {
            let method: Method = method.parse().expect("method");
            assert_eq!(
                describe(&method, &uri.parse().expect("uri")),
                (verb, resource.to_owned()),
                "{uri}"
            );
        }
    }

    #[test]
    fn a_watch_that_ends_at_once_is_asked_less_and_less() {
        let conversation = Conversation::default();
        let start = Instant::now();
        let pauses: Vec<_> = (0..20).map(|_| conversation.pause(start)).collect();
        assert!(pauses[..BURST as usize].iter().all(Duration::is_zero));
        assert!(pauses[BURST as usize..].iter().all(|pause| !pause.is_zero()));
        assert_eq!(pauses.last(), Some(&MAX_PAUSE));
        assert!(
            conversation
                .pause(start + MAX_PAUSE + QUIET + Duration::from_secs(1))
                .is_zero()
        );
    }
}
