//! The writes of the benchmark. What the server answers is read to its end, and not looked at.

use http::Request;
use kube::Client;
use serde_json::Value;

/// Writes objects of `/api/v1`.
#[derive(Clone)]
pub struct Writer {
    client: Client,
}

impl Writer {
    /// With the rights of a client.
    pub fn new(client: Client) -> Writer {
        Writer { client }
    }

    /// Creates an object of `collection`, such as `namespaces/NAME/pods`.
    pub async fn create(&self, collection: &str, manager: &str, body: &Value) {
        self.write("POST", collection, manager, "application/json", body).await;
    }

    /// Merges into an object, or a part of it such as `namespaces/NAME/pods/NAME/status`.
    pub async fn merge(&self, object: &str, manager: &str, body: &Value) {
        self.write("PATCH", object, manager, "application/merge-patch+json", body).await;
    }

    /// Deletes an object, with no kubelet to wait for.
    pub async fn delete(&self, object: &str) {
        let body = serde_json::json!({"gracePeriodSeconds": 0});
        self.write("DELETE", object, "", "application/json", &body).await;
    }

    async fn write(&self, method: &str, path: &str, manager: &str, content_type: &str, body: &Value) {
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1/{path}?fieldManager={manager}"))
            .header(http::header::CONTENT_TYPE, content_type)
            .body(body.to_string().into_bytes())
            .expect("a request");
        let answer = self.client.request_text(request).await;
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
    }
}
