//! `/healthz`, `/readyz` and `/metrics`.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::metrics::{Format, Metrics};
use crate::policy::Published;

#[derive(Clone)]
struct Shared {
    metrics: Arc<Metrics>,
    published: watch::Receiver<Published>,
    lease: Lease,
}

/// Why the lease is out of reach, when it is; none without leader election.
pub type Lease = Option<watch::Receiver<Option<String>>>;

/// Listens at an address.
///
/// # Errors
/// When it cannot: the address is in use, or not one of this host.
pub async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until `stop` is done.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    published: watch::Receiver<Published>,
    lease: Lease,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let app = router(Shared { metrics, published, lease });
    axum::serve(listener, app).with_graceful_shutdown(stop).await
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .with_state(shared)
}

/// Ready as soon as the policies are read, which takes the operator's own CRDs; a replica that waits for the
/// lease is ready, too, unless nobody can hold it.
async fn ready(State(shared): State<Shared>) -> impl IntoResponse {
    let published = shared.published.borrow();
    let lease = shared.lease.as_ref().and_then(|lease| lease.borrow().clone());
    match (&published.trouble, published.loaded, lease) {
        (Some(trouble), _, _) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("policies can not be read: {trouble}\n"))
        }
        (None, false, _) => (StatusCode::SERVICE_UNAVAILABLE, "policies are being read\n".to_owned()),
        (None, true, Some(trouble)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{trouble}\n")),
        (None, true, None) => (StatusCode::OK, "ok\n".to_owned()),
    }
}

/// In the form that the scrape asks for.
async fn scrape(State(shared): State<Shared>, headers: HeaderMap) -> impl IntoResponse {
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = Format::wanted(accept);
    let vary = (header::VARY, "Accept");
    match shared.metrics.encode_as(format) {
        Ok(text) => (StatusCode::OK, [(header::CONTENT_TYPE, format.content_type()), vary], text),
        Err(error) => {
            let kind = (header::CONTENT_TYPE, "text/plain; charset=utf-8");
            (StatusCode::INTERNAL_SERVER_ERROR, [kind, vary], error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;

    async fn scraped(accept: Option<&str>) -> (String, String) {
        let published = watch::channel(Published::default()).1;
        let app = router(Shared { metrics: Arc::default(), published, lease: None });
        let mut request = Request::get("/metrics");
        if let Some(accept) = accept {
            request = request.header(header::ACCEPT, accept);
        }
        let answer = app.oneshot(request.body(Body::empty()).expect("a request")).await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK);
        let kind = answer.headers()[header::CONTENT_TYPE].to_str().expect("a content type").to_owned();
        let body = to_bytes(answer.into_body(), 1 << 20).await.expect("a body");
        (kind, String::from_utf8(body.to_vec()).expect("text"))
    }

    #[tokio::test]
    async fn a_scrape_gets_the_form_that_it_asks_for() {
        let (kind, text) = scraped(Some("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")).await;
        assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
        assert!(text.ends_with("# EOF\n"), "{text}");
        for accept in [None, Some("text/plain"), Some("*/*")] {
            let (kind, text) = scraped(accept).await;
            assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8", "{accept:?}");
            assert!(text.contains("# TYPE polywatch_status_writes_total counter\n"), "{text}");
        }
    }
}
