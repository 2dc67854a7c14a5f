//! `/debug/graph?object=KIND/NAMESPACE/NAME`: what depends on an object, as JSON.

use std::sync::Arc;

use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures::future::BoxFuture;
use serde::Deserialize;
use serde_json::Value;

use super::Answer;

/// Draws the graph of the object that a text names; none when nobody knows it. Supplied by the composition root.
pub type Draw = Arc<dyn Fn(String) -> BoxFuture<'static, Result<Option<Value>, String>> + Send + Sync>;

/// The question.
#[derive(Debug, Deserialize)]
pub struct Asked {
    object: String,
}

/// The graph, or why there is none.
pub async fn answer(draw: Draw, Query(asked): Query<Asked>) -> Response {
    match draw(asked.object).await {
        Ok(Some(graph)) => Answer::Json(format!("{graph:#}\n")).into_response(),
        Ok(None) => (StatusCode::NOT_FOUND, "no policy looks at it, or it does not exist\n").into_response(),
        Err(why) => (StatusCode::BAD_REQUEST, format!("{why}\n")).into_response(),
    }
}
