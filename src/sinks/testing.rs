//! A destination on this host that records what it is sent and answers as a test wants, notices to send, and the
//! faults that destinations have.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response};
use futures::stream::{self, StreamExt};
use jiff::Timestamp;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::{SecretKey, Secrets, SendError, Sink};
use crate::core::alert::{Group, Item, Notice, ObjectName, Reason, Totals};
use crate::core::finding::Severity;

/// What arrived.
#[derive(Debug, Clone)]
pub struct Received {
    pub method: String,
    pub path: String,
    pub query: Option<String>,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Received {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// The header of that name; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// All that was sent, as a chatty server would repeat it.
    fn echo(&self) -> String {
        let head = format!("{} {}?{:?}", self.method, self.path, self.query);
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
        format!("{} {head} {}", headers.join(" "), String::from_utf8_lossy(&self.body))
    }
}

/// What a request gets.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Status, headers and body.
    Whole(u16, Vec<(&'static str, String)>, String),
    /// A body that goes on for ever.
    Endless(u16),
    /// A body that stops amid, with the connection kept.
    Stalled(u16, String),
    /// A body amid which the connection breaks.
    Broken(u16, String),
    /// Not even a status.
    Silence,
}

impl Reply {
    pub fn status(status: u16, body: &str) -> Self {
        Self::Whole(status, Vec::new(), body.to_owned())
    }
}

type Answer = Box<dyn FnMut(&Received) -> Reply + Send>;

struct Shared {
    answer: Mutex<Answer>,
    received: Mutex<Vec<Received>>,
    arrived: Notify,
}

/// A destination.
pub struct Receiver {
    url: String,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Receiver {
    pub async fn new(answer: impl FnMut(&Received) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let shared = Arc::new(Shared {
            answer: Mutex::new(Box::new(answer)),
            received: Mutex::default(),
            arrived: Notify::new(),
        });
        let app = axum::Router::new().fallback(receive).with_state(shared.clone());
        let server = tokio::spawn(async { axum::serve(listener, app).await.expect("it serves") });
        Self { url, shared, server }
    }

    /// One that answers each request in the same way.
    pub async fn always(reply: Reply) -> Self {
        Self::new(move |_| reply.clone()).await
    }

    /// Its address with this path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Everything that arrived so far.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().expect("no panic in an answer").clone()
    }

    /// The one request that arrived.
    pub fn only(&self) -> Received {
        let mut received = self.received();
        assert_eq!(received.len(), 1, "{received:#?}");
        received.remove(0)
    }

    /// Waits until another request has arrived.
    pub async fn arrived(&self) {
        self.shared.arrived.notified().await;
    }
}

async fn receive(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
    let received = Received {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().map(str::to_owned),
        headers: head.headers,
        body: body.to_vec(),
    };
    let reply = (shared.answer.lock().expect("no panic in an answer"))(&received);
    shared.received.lock().expect("no panic in an answer").push(received);
    shared.arrived.notify_one();
    let first = |text: String| stream::iter([io::Result::Ok(text)]);
    let (status, headers, body) = match reply {
        Reply::Whole(status, headers, body) => (status, headers, Body::from(body)),
        Reply::Endless(status) => {
            let chunks = stream::repeat_with(|| io::Result::Ok("and so on ".repeat(100)));
            (status, Vec::new(), Body::from_stream(chunks))
        }
        Reply::Stalled(status, text) => {
            (status, Vec::new(), Body::from_stream(first(text).chain(stream::pending())))
        }
        Reply::Broken(status, text) => {
            // What came first is to be on its way by then.
            let reset = stream::once(async {
                tokio::task::yield_now().await;
                Err(io::ErrorKind::ConnectionReset.into())
            });
            (status, Vec::new(), Body::from_stream(first(text).chain(reset)))
        }
        Reply::Silence => std::future::pending().await,
    };
    let response = headers
        .into_iter()
        .fold(Response::builder().status(status), |response, (name, value)| response.header(name, value));
    response.body(body).expect("a response")
}

/// The address of a server that takes a request and answers these bytes, whatever they are; without any, the connection
/// is reset.
pub async fn bare(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.windows(4).any(|window| window == b"\r\n\r\n") {
                match connection.read_buf(&mut head).await {
                    Ok(1..) => {}
                    _ => break,
                }
            }
            if answer.is_empty() {
                // What is not read yet makes the end of the connection a reset.
                let _ = connection.set_zero_linger();
            } else {
                let _ = connection.write_all(answer).await;
            }
        }
    });
    url
}

/// The address of nobody.
pub async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    format!("http://{}", listener.local_addr().expect("an address"))
}

/// Sends to destinations that have one fault each, and repeat in their answers all that they were sent; gives what
/// becomes of it.
pub async fn at_fault<S: Sink + 'static>(
    notice: &Notice,
    sink: impl Fn(&str) -> (S, Secrets),
) -> BTreeMap<String, SendError> {
    let mut outcomes = BTreeMap::new();
    let statuses = [300, 307, 400, 401, 403, 404, 408, 409, 410, 413, 425, 429, 500, 502, 503];
    for status in statuses {
        let headers = vec![("retry-after", "17".to_owned()), ("location", "/elsewhere".to_owned())];
        let receiver =
            Receiver::new(move |received| Reply::Whole(status, headers.clone(), received.echo())).await;
        let (sink, secrets) = sink(&receiver.url);
        let error = sink.send(notice, &secrets).await.expect_err("an error");
        assert!(!receiver.received().iter().any(|received| received.path == "/elsewhere"), "{status}");
        outcomes.insert(status.to_string(), error);
    }
    let tls = nobody().await.replace("http:", "https:");
    let plain = Receiver::always(Reply::status(200, "ok")).await;
    for (fault, url) in [
        ("reset", bare(b"").await),
        ("garbage", bare(b"what do you mean?\r\n\r\n").await),
        ("nobody", nobody().await),
        ("nobody, by TLS", tls),
        ("no TLS there", plain.url.replace("http:", "https:")),
        ("no such host", "http://host.invalid".to_owned()),
    ] {
        let (sink, secrets) = sink(&url);
        let error = sink.send(notice, &secrets).await.expect_err(fault);
        assert!(matches!(error, SendError::Passing { retry_after: None, .. }), "{fault}: {error:?}");
        outcomes.insert(fault.to_owned(), error);
    }
    for (status, error) in &outcomes {
        let right = match &**status {
            "401" | "403" => matches!(error, SendError::Credentials(_)),
            "408" | "425" | "429" | "500" | "502" | "503" => {
                let asked = Some(Duration::from_secs(17));
                matches!(error, SendError::Passing { retry_after, .. } if *retry_after == asked)
            }
            status if status.parse::<u16>().is_ok() => matches!(error, SendError::Permanent(_)),
            _ => true,
        };
        assert!(right, "{status}: {error:?}");
        let text = error.to_string();
        assert!(text.len() < 600 && !text.contains('\n'), "{status}: {text}");
    }
    outcomes
}

/// Holds that none of these texts is in an error, nor what they look like in base64 or JSON.
pub fn nothing_shows<'a>(errors: impl IntoIterator<Item = &'a SendError>, hidden: &[&str]) {
    use base64::Engine;
    for error in errors {
        let text = format!("{error} {error:?}");
        for hidden in hidden {
            let coded = base64::engine::general_purpose::STANDARD.encode(hidden);
            let escaped = Value::from(*hidden).to_string();
            for form in [hidden, coded.as_str(), escaped.trim_matches('"')] {
                assert!(!text.contains(form), "{form} is in {text}");
            }
        }
    }
}

/// What an API server says of a configuration, by the schema of its type and the rules in it.
pub fn refused<T: schemars::JsonSchema>(config: &Value) -> String {
    let settings = schemars::generate::SchemaSettings::openapi3().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let settings = settings
        .with_transform(schemars::transform::AddNullable::default())
        .with_transform(kube::core::schema::StructuralSchemaRewriter)
        .with_transform(kube::core::schema::OptionalEnum);
    let schema = Value::from(settings.into_generator().into_root_schema_for::<T>());
    let document = crate::yaml::read(&config.to_string()).expect("YAML").remove(0);
    let faults = crate::offline::validate::faults(&schema, &document.tree);
    faults.into_iter().map(|fault| fault.text).collect::<Vec<_>>().join("\n")
}

pub fn key(name: &str) -> SecretKey {
    SecretKey { name: "alerts".to_owned(), key: name.to_owned() }
}

/// Values of keys of the Secret `alerts`.
pub fn secrets(values: &[(&str, &str)]) -> Secrets {
    Secrets::new(values.iter().map(|(name, value)| (key(name), value.as_bytes().to_vec())).collect())
}

pub fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// A finding that is open since 08:00.
pub fn item(name: &str, severity: Severity) -> Item {
    Item {
        id: format!("{:032x}", crate::core::hash::fnv1a([name])),
        policy: "routes".to_owned(),
        rule: "backend-available".to_owned(),
        severity,
        previous_severity: None,
        selected_by: "routes".to_owned(),
        object: Some(ObjectName {
            api_version: "example.dev/v1".to_owned(),
            kind: "APIRoute".to_owned(),
            namespace: Some("team-a".to_owned()),
            name: name.to_owned(),
            uid: "00000000-0000-0000-0000-000000000001".to_owned(),
        }),
        object_group: None,
        message: format!("no backend of {name} is ready"),
        since: time("2026-01-02T08:00:00Z"),
        ended: None,
        ended_because: None,
        labels: BTreeMap::new(),
        fields: String::new(),
        flaps: 0,
        operation: None,
        resource_version: None,
    }
}

/// The same, resolved at 08:30.
pub fn ended(name: &str, severity: Severity) -> Item {
    Item { ended: Some(time("2026-01-02T08:30:00Z")), ..item(name, severity) }
}

/// A change that occurred at 08:00.
pub fn occurrence(name: &str, severity: Severity) -> Item {
    Item {
        operation: Some("Update".to_owned()),
        resource_version: Some("17".to_owned()),
        fields: "spec.limit: 100 → 1000, by kubectl-edit (Update)".to_owned(),
        rule: "limits-stay".to_owned(),
        ..item(&format!("{name}-changed"), severity)
    }
}

/// A notice of 09:00 that says nothing, about the group of the rule.
pub fn notice(reason: Reason) -> Notice {
    Notice {
        id: "notice-1".to_owned(),
        reason,
        policy: "routes".to_owned(),
        group: Group {
            id: "0123456789abcdef0123456789abcdef".to_owned(),
            by: BTreeMap::from([("rule".to_owned(), "backend-available".to_owned())]),
        },
        collapsed: false,
        open: Vec::new(),
        opened: Vec::new(),
        changed: Vec::new(),
        resolved: Vec::new(),
        replaced: Vec::new(),
        occurred: Vec::new(),
        totals: Totals::default(),
        time: time("2026-01-02T09:00:00Z"),
        valid_until: time("2026-01-02T09:05:00Z"),
        reference: None,
        sequence: 0,
    }
}

/// The notice with its totals counted.
pub fn counted(mut notice: Notice) -> Notice {
    let mut totals = Totals {
        open: notice.open.len(),
        opened: notice.opened.len(),
        changed: notice.changed.len(),
        resolved: notice.resolved.len(),
        occurred: notice.occurred.len(),
        ..Totals::default()
    };
    for item in &notice.open {
        *totals.by_severity.entry(item.severity).or_default() += 1;
    }
    notice.totals = totals;
    notice
}

/// The first findings of a group.
pub fn opened(items: &[Item]) -> Notice {
    counted(Notice { open: items.to_vec(), opened: items.to_vec(), ..notice(Reason::Opened) })
}

/// Nothing of a group stands open any more.
pub fn all_resolved(items: &[Item]) -> Notice {
    counted(Notice { resolved: items.to_vec(), ..notice(Reason::AllResolved) })
}

/// Changes that occurred.
pub fn occurred(items: &[Item]) -> Notice {
    counted(Notice { occurred: items.to_vec(), ..notice(Reason::Occurred) })
}

/// A group of 250 findings, of which it names two.
pub fn collapsed() -> Notice {
    let items = [item("checkout", Severity::Critical), item("cart", Severity::High)];
    let mut notice = Notice { collapsed: true, ..opened(&items) };
    notice.totals.open = 250;
    notice.totals.opened = 250;
    notice.totals.by_severity = BTreeMap::from([(Severity::Critical, 50), (Severity::High, 200)]);
    notice
}
