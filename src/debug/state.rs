//! `/debug/state`: what the operator does at this moment, as JSON.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::Value;

use super::Answer;

/// Tells the state. Supplied by the composition root, so that this module knows no part of the operator.
pub type Describe = Arc<dyn Fn() -> BoxFuture<'static, Value> + Send + Sync>;

/// The state, laid out for people.
pub async fn answer(describe: Describe) -> Answer {
    Answer::Json(format!("{:#}\n", describe().await))
}
