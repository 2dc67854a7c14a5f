//! What an engineer asks a running process, on an address of its own that is listened at only when asked for: profiles
//! and state name objects of the cluster.
//!
//! In: requests, and the functions that [`state::Describe`] and [`graph::Draw`] are. Out: `/debug/state` and
//! `/debug/graph` as JSON; `/debug/pprof/profile` and
//! `/debug/pprof/heap` for `go tool pprof` (on Linux with glibc). `app` starts it; nobody else may know it.

pub mod graph;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub mod heap;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod pprof;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub mod profile;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod sampler;
pub mod state;

use axum::Router;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use self::graph::Draw;
use self::state::Describe;

/// What is answered.
#[derive(Debug)]
pub enum Answer {
    /// For `go tool pprof`.
    Profile(Vec<u8>),
    /// For people and `jq`.
    Json(String),
}

/// Serves until the process ends. From now on the heap is sampled, so that a profile of it tells of what is allocated
/// later.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, describe: Describe, draw: Draw) -> std::io::Result<()> {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if let Err(why) = crate::allocator::sample_heap(true) {
        tracing::warn!("heap profiles will be empty: {why}");
    }
    axum::serve(listener, router(describe, draw)).await
}

fn router(describe: Describe, draw: Draw) -> Router {
    let router = Router::new()
        .route("/debug/state", get(move || state::answer(describe.clone())))
        .route("/debug/graph", get(move |asked| graph::answer(draw.clone(), asked)));
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    let router = router
        .route("/debug/pprof/profile", get(profile::answer))
        .route("/debug/pprof/heap", get(heap::answer));
    router
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self {
            Self::Profile(bytes) => {
                let kind = [
                    (CONTENT_TYPE, "application/octet-stream"),
                    (CONTENT_DISPOSITION, "attachment; filename=\"profile.pb.gz\""),
                ];
                (kind, bytes).into_response()
            }
            Self::Json(text) => ([(CONTENT_TYPE, "application/json")], text).into_response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::body::Body;
    use axum::http::{Request, StatusCode};
    use futures::FutureExt;
    use serde_json::json;
    use tower::Service;

    use super::*;

    async fn get(path: &str) -> (StatusCode, Vec<u8>) {
        let describe: Describe = Arc::new(|| async { json!({"leader": false}) }.boxed());
        let draw: Draw = Arc::new(|object| {
            async move {
                match object.as_str() {
                    "Service/n/a" => Ok(Some(json!({"root": object}))),
                    "Service/n/b" => Ok(None),
                    other => Err(format!("{other} is no object")),
                }
            }
            .boxed()
        });
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let answer = router(describe, draw).call(request).await.expect("an answer");
        let (head, body) = answer.into_parts();
        (head.status, axum::body::to_bytes(body, usize::MAX).await.expect("a body").to_vec())
    }

    #[tokio::test]
    async fn the_state_is_what_the_supplied_function_says() {
        let (status, body) = get("/debug/state").await;
        let state: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!((status, state), (StatusCode::OK, json!({"leader": false})));
    }

    #[tokio::test]
    async fn a_graph_is_of_one_object_that_is_known() {
        let (status, body) = get("/debug/graph?object=Service/n/a").await;
        let graph: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!((status, graph), (StatusCode::OK, json!({"root": "Service/n/a"})));
        assert_eq!(get("/debug/graph?object=Service/n/b").await.0, StatusCode::NOT_FOUND);
        let (status, body) = get("/debug/graph?object=x").await;
        assert_eq!((status, &*body), (StatusCode::BAD_REQUEST, &b"x is no object\n"[..]));
        assert_eq!(get("/debug/graph").await.0, StatusCode::BAD_REQUEST);
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[tokio::test]
    async fn a_second_profile_is_refused_and_one_that_nobody_waits_for_ends() {
        let _alone = sampler::ALONE.lock().await;
        let first = get("/debug/pprof/profile?seconds=60");
        tokio::select! {
            biased;
            _ = first => panic!("it takes a minute"),
            (status, text) = get("/debug/pprof/profile?seconds=1") => {
                assert_eq!(status, StatusCode::CONFLICT);
                let text = String::from_utf8(text).expect("text");
                assert!(text.contains("another profile is being recorded"), "{text}");
            }
        }
        let (status, profile) = get("/debug/pprof/profile?seconds=1").await;
        assert_eq!((status, &profile[..2]), (StatusCode::OK, b"\x1f\x8b".as_slice()));
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[tokio::test]
    async fn a_time_out_of_bounds_is_refused() {
        let (status, text) = get("/debug/pprof/profile?seconds=61").await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        let text = String::from_utf8(text).expect("text");
        assert_eq!(text, "\"61\" is no time to record for: seconds=1..60, or nothing for 10\n");
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[tokio::test]
    async fn what_is_allocated_while_sampled_is_in_the_heap_profile() {
        use std::io::Read;
        crate::allocator::sample_heap(true).expect("jemalloc");
        let kept = std::hint::black_box(a_large_allocation());
        let (status, profile) = get("/debug/pprof/heap").await;
        crate::allocator::sample_heap(false).expect("jemalloc");
        drop(kept);
        assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&profile));
        let mut message = Vec::new();
        flate2::read::GzDecoder::new(&*profile).read_to_end(&mut message).expect("gzip");
        let message = String::from_utf8_lossy(&message);
        assert!(message.contains("a_large_allocation"), "{message}");
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[inline(never)]
    fn a_large_allocation() -> Vec<u8> {
        std::hint::black_box(vec![1; 64 << 20])
    }
}
