//! `/healthz`, `/readyz` and `/metrics`.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::metrics::Metrics;
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
    let app = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .with_state(Shared { metrics, published, lease });
    axum::serve(listener, app).with_graceful_shutdown(stop).await
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

async fn scrape(State(shared): State<Shared>) -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    match shared.metrics.encode() {
        Ok(text) => (StatusCode::OK, kind, text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, kind, error.to_string()),
    }
}
