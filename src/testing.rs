//! An API server in this process, for the faults that a real one will not produce on demand. Everything else is
//! tested against a real one.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::stream;
use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::Instant;
use tower::{BoxError, Layer, Service};

use crate::metrics::Metrics;
use crate::watch::transport::Observe;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: Method,
    pub path: String,
    pub query: BTreeMap<String, String>,
    /// The header of that name.
    pub accept: String,
    pub body: Value,
    pub at: Instant,
}

/// A piece of an answer. An answer whose pieces are all sent ends cleanly.
#[derive(Debug, Clone)]
pub enum Part {
    Text(String),
    Pause(Duration),
    /// The connection breaks.
    Reset,
    /// Nothing more comes, and the connection stays.
    Open,
}

/// What a request gets.
#[derive(Debug, Clone)]
pub enum Reply {
    Body(u16, String),
    Stream(Vec<Part>),
    /// Not even a status.
    Silence,
}

impl Reply {
    pub fn json(value: &Value) -> Self {
        Self::Body(200, value.to_string())
    }

    /// An error as API servers word it.
    pub fn error(code: u16, reason: &str, message: &str) -> Self {
        Self::Body(code, status(code, reason, message).to_string())
    }
}

pub fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
        "code": code, "reason": reason, "message": message,
    })
}

type Answer = Box<dyn FnMut(&Asked) -> Reply + Send>;

#[derive(Clone)]
pub struct ApiServer {
    answer: Arc<Mutex<Answer>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl ApiServer {
    pub fn new(answer: impl FnMut(&Asked) -> Reply + Send + 'static) -> Self {
        Self { answer: Arc::new(Mutex::new(Box::new(answer))), asked: Arc::default() }
    }

    /// Everything that was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no panic in an answer").clone()
    }

    /// A client whose requests pass through the layer that the operator's own pass through.
    pub fn client(&self) -> Client {
        let layer = Observe(Arc::new(Metrics::default()));
        Client::new(layer.layer(self.clone()), "default")
    }

    fn reply(&self, asked: Asked) -> Reply {
        let reply = (self.answer.lock().expect("no panic in an answer"))(&asked);
        self.asked.lock().expect("no panic in an answer").push(asked);
        reply
    }
}

impl Service<Request<Body>> for ApiServer {
    type Response = Response<axum::body::Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let server = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect_bytes().await?;
            let accept = head.headers.get(http::header::ACCEPT).and_then(|value| value.to_str().ok());
            let query = head.uri.query().unwrap_or_default().split('&');
            let query = query.filter_map(|pair| pair.split_once('='));
            let reply = server.reply(Asked {
                accept: accept.unwrap_or_default().to_owned(),
                method: head.method,
                path: head.uri.path().to_owned(),
                query: query.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
                body: serde_json::from_slice(&body).unwrap_or_default(),
                at: Instant::now(),
            });
            let (code, body) = match reply {
                Reply::Body(code, text) => (code, axum::body::Body::from(text)),
                Reply::Stream(parts) => (200, axum::body::Body::from_stream(stream_of(parts))),
                Reply::Silence => std::future::pending().await,
            };
            Ok(Response::builder().status(code).body(body)?)
        })
    }
}

fn stream_of(parts: Vec<Part>) -> impl futures::Stream<Item = Result<String, io::Error>> {
    stream::unfold(VecDeque::from(parts), |mut parts| async {
        loop {
            match parts.pop_front()? {
                Part::Text(text) => return Some((Ok(text), parts)),
                Part::Pause(pause) => tokio::time::sleep(pause).await,
                Part::Reset => {
                    let error = io::Error::new(io::ErrorKind::ConnectionReset, "connection reset by peer");
                    return Some((Err(error), parts));
                }
                Part::Open => std::future::pending::<()>().await,
            }
        }
    })
}
