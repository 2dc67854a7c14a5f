//! A port, the vendor behind it, and what was seen.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use tokio::sync::oneshot;

use super::super::wait::eventually;
use super::check::Findings;
use super::fault::{Fault, Gate};
use super::line::{Port, Wire};

const PATIENCE: Duration = Duration::from_secs(60);
/// No vendor takes more.
const MAX_BODY: usize = 1 << 20;
/// How many breaches are told in full.
const MAX_VIOLATIONS: usize = 100;
/// How many of the last attempts are known.
const MAX_ATTEMPTS: usize = 256;

/// A request, read whole.
pub struct Request {
    pub method: Method,
    /// Path with query.
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Request {
    /// A header as text; none when it is absent, no text, or there more than once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(value)
    }

    /// Media type in lower case, and its charset.
    pub fn media_type(&self) -> (String, Option<String>) {
        let value = self.header("content-type").unwrap_or_default().to_ascii_lowercase();
        let mut parts = value.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_owned();
        let charset = parts.find_map(|part| part.strip_prefix("charset=").map(str::to_owned));
        (kind, charset.map(|name| name.trim_matches('"').to_owned()))
    }
}

/// What a vendor answers.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub kind: &'static str,
    pub body: String,
}

impl Answer {
    pub fn json(status: u16, body: &serde_json::Value) -> Answer {
        Answer { status, kind: "application/json; charset=utf-8", body: body.to_string() }
    }

    pub fn text(status: u16, body: &str) -> Answer {
        Answer { status, kind: "text/plain; charset=utf-8", body: body.to_owned() }
    }
}

/// What a vendor makes of a request.
pub enum Judgement<M> {
    /// A message to take, and what the vendor lets pass in it.
    Good(M, Vec<String>),
    /// It breaks the documented format, in these ways.
    Bad(Answer, Vec<String>),
    /// It is well formed and not taken: the credential is another, what it is about is not there.
    Refused(Answer),
}

impl<M> Judgement<M> {
    /// By what was found.
    pub fn of(message: M, findings: Findings, refusal: impl FnOnce(&[String]) -> Answer) -> Judgement<M> {
        if findings.fatal.is_empty() {
            return Judgement::Good(message, findings.lenient);
        }
        let answer = refusal(&findings.fatal);
        Judgement::Bad(answer, [findings.fatal, findings.lenient].concat())
    }
}

/// Whom a receiver plays.
pub trait Vendor: Send + Sync + 'static {
    /// What the receiver holds for true.
    type View: Clone + Default + Send + Sync + 'static;
    /// A message that was understood.
    type Message;

    /// Reads a request strictly. Changes nothing.
    fn judge(&self, request: &Request, view: &Self::View) -> Judgement<Self::Message>;

    /// Takes a message.
    fn take(&self, message: Self::Message, view: &mut Self::View) -> Answer;

    /// How it says that a request is wrong.
    fn refusal(&self, request: &Request) -> Answer;

    /// How it says that there are too many requests.
    fn too_many(&self, _request: &Request) -> Answer {
        Answer::text(429, "too many requests")
    }
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The message was taken.
    Taken,
    /// The vendor refused it.
    Refused,
    /// The fault kept it away.
    Failed(Fault),
}

/// One request that was read whole.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    /// When.
    pub at: Instant,
    /// What became of it.
    pub outcome: Outcome,
}

/// What a receiver has seen up to a moment.
#[derive(Debug, Clone, Default)]
pub struct Seen<V> {
    /// Requests that were read whole.
    pub attempts: u64,
    /// Those whose message was taken.
    pub taken: u64,
    /// Those that the vendor refused, by its rules.
    pub refused: u64,
    /// Those of which nothing was taken because of a fault.
    pub failed: u64,
    /// Those that came while the receiver had asked, by 429 and `Retry-After`, to be left alone.
    pub early: u64,
    /// Breaches of the documented format, the first hundred.
    pub violations: Vec<String>,
    /// All of them.
    pub violation_count: u64,
    /// The last 256 attempts, oldest first.
    pub last: VecDeque<Attempt>,
    /// What the receiver holds for true.
    pub view: V,
}

impl<V> Seen<V> {
    fn violation(&mut self, text: String) {
        self.violation_count += 1;
        if self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(text);
        }
    }

    fn outcome(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Taken => self.taken += 1,
            Outcome::Refused => self.refused += 1,
            Outcome::Failed(_) => self.failed += 1,
        }
        self.attempts += 1;
        if self.last.len() == MAX_ATTEMPTS {
            self.last.pop_front();
        }
        self.last.push_back(Attempt { at: Instant::now(), outcome });
    }
}

struct Shared<V: Vendor> {
    vendor: V,
    gate: Arc<Gate>,
    /// Copied when it changes while somebody looks at it, so that looking costs nothing.
    seen: Mutex<Arc<Seen<V::View>>>,
    quiet_until: Mutex<Option<Instant>>,
}

/// A running receiver. Clones are the same one; it ends with the last.
pub struct Receiver<V: Vendor>(Arc<Running<V>>);

struct Running<V: Vendor> {
    shared: Arc<Shared<V>>,
    port: u16,
    /// Ends the thread when it is dropped.
    _stop: oneshot::Sender<()>,
}

impl<V: Vendor> Clone for Receiver<V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<V: Vendor> Receiver<V> {
    /// Starts on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// If there is none, or no thread.
    pub(super) fn run(vendor: V) -> Receiver<V> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket may be asynchronous");
        let port = listener.local_addr().expect("it is bound").port();
        let gate = Arc::new(Gate::new());
        let shared = Arc::new(Shared { vendor, gate, seen: Mutex::default(), quiet_until: Mutex::default() });
        let (stop, stopped) = oneshot::channel::<()>();
        let serves = shared.clone();
        let serve = async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            let port = Port::new(listener, serves.gate.clone());
            let app = Router::new().fallback(handle::<V>).with_state(serves);
            let app = app.into_make_service_with_connect_info::<Wire>();
            tokio::select! {
                served = axum::serve(port, app) => served.expect("it serves for ever"),
                // An error is how a sender says that it is dropped.
                _ = stopped => {}
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        std::thread::Builder::new()
            .name(format!("receiver-{port}"))
            .spawn(move || runtime.block_on(serve))
            .expect("a thread");
        Receiver(Arc::new(Running { shared, port, _stop: stop }))
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.0.port)
    }

    /// Whom it plays.
    pub fn vendor(&self) -> &V {
        &self.0.shared.vendor
    }

    /// Switches what is wrong with it, for requests that are not answered yet.
    pub fn set(&self, fault: Fault) {
        self.0.shared.gate.set(fault);
    }

    /// What is wrong with it.
    pub fn fault(&self) -> Fault {
        self.0.shared.gate.fault()
    }

    /// How many connections broke before a request was read.
    pub fn broken(&self) -> u64 {
        self.0.shared.gate.broken()
    }

    /// What it has seen up to now. Costs nothing; whoever keeps it makes the next request cost one copy.
    pub fn seen(&self) -> Arc<Seen<V::View>> {
        self.0.shared.seen().clone()
    }

    /// Waits until what it has seen is as wanted.
    pub async fn when(&self, what: &str, holds: impl Fn(&Seen<V::View>) -> bool) -> Arc<Seen<V::View>>
    where
        V::View: std::fmt::Debug,
    {
        eventually(what, PATIENCE, async || {
            let seen = self.seen();
            if holds(&seen) { Ok(seen) } else { Err(format!("the receiver has seen {seen:#?}")) }
        })
        .await
    }

    /// Panics if anything that came was not as the vendor documents it.
    pub fn assert_no_violations(&self) {
        let seen = self.seen();
        assert!(
            seen.violation_count == 0,
            "{} breaches of the format: {:#?}",
            seen.violation_count,
            seen.violations
        );
    }

    /// Changes what the receiver holds for true, as people do who use what it plays.
    pub fn by_hand(&self, change: impl FnOnce(&mut V::View)) {
        change(&mut Arc::make_mut(&mut self.0.shared.seen()).view);
    }
}

impl<V: Vendor> Shared<V> {
    fn seen(&self) -> MutexGuard<'_, Arc<Seen<V::View>>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Judges a request, takes its message if nothing is in the way, and says what to answer.
    fn meet(&self, request: &Request, fault: Fault) -> Answer {
        let mut seen = self.seen();
        let seen = Arc::make_mut(&mut seen);
        if self.is_quiet(fault) {
            seen.early += 1;
        }
        let (breaches, message) = match self.vendor.judge(request, &seen.view) {
            Judgement::Good(message, breaches) => (breaches, Ok(message)),
            Judgement::Bad(answer, breaches) => (breaches, Err(answer)),
            Judgement::Refused(answer) => (Vec::new(), Err(answer)),
        };
        for breach in breaches {
            seen.violation(format!("{} {}: {breach}", request.method, request.path));
        }
        let (outcome, answer) = match message {
            // A fault is in front of the vendor, also for what the vendor would refuse.
            _ if !fault.takes() => (Outcome::Failed(fault), self.faulty(request, fault)),
            Ok(message) => (Outcome::Taken, self.vendor.take(message, &mut seen.view)),
            Err(answer) => (Outcome::Refused, answer),
        };
        seen.outcome(outcome);
        answer
    }

    /// Whether the receiver had asked to be left alone; a further 429 asks anew.
    fn is_quiet(&self, fault: Fault) -> bool {
        let mut until = self.quiet_until.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let quiet = until.is_some_and(|until| now < until);
        if let Fault::TooMany { retry_after } = fault {
            *until = until.max(Some(now + Duration::from_secs(retry_after.into())));
        }
        quiet
    }

    fn faulty(&self, request: &Request, fault: Fault) -> Answer {
        match fault {
            Fault::TooMany { .. } => self.vendor.too_many(request),
            Fault::Broken(status) => Answer::text(status, "trouble"),
            Fault::Refuses => self.vendor.refusal(request),
            Fault::Garbage => Answer {
                status: 200,
                kind: "text/html; charset=utf-8",
                body: "<!DOCTYPE html><title>Sign in</title><p>Please sign in to this network.".to_owned(),
            },
            // The line sees to it that this is not sent.
            _ => Answer::text(200, ""),
        }
    }
}

async fn handle<V: Vendor>(
    State(shared): State<Arc<Shared<V>>>,
    ConnectInfo(wire): ConnectInfo<Wire>,
    request: axum::extract::Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        // It is longer than any vendor takes, or whoever sends went away.
        return response(&Answer::text(413, "too large"), None);
    };
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let request = Request { method: parts.method, path, headers: parts.headers, body };
    let fault = shared.gate.fault();
    let answer = shared.meet(&request, fault);
    match fault {
        Fault::ResetAfter | Fault::CutAnswer | Fault::ResetBefore => wire.cut(),
        Fault::NotHttp => wire.garble(),
        Fault::Slow(time) => shared.gate.linger(fault, time).await,
        _ => {}
    }
    match fault {
        Fault::TooMany { retry_after } => {
            response(&answer, Some((header::RETRY_AFTER, HeaderValue::from(retry_after))))
        }
        // So that nothing follows it on the connection.
        Fault::NotHttp => response(&answer, Some((header::CONNECTION, HeaderValue::from_static("close")))),
        _ => response(&answer, None),
    }
}

fn response(answer: &Answer, further: Option<(HeaderName, HeaderValue)>) -> Response {
    let mut response = Response::new(Body::from(answer.body.clone()));
    *response.status_mut() = StatusCode::from_u16(answer.status).expect("a status");
    if !answer.body.is_empty() {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(answer.kind));
    }
    response.headers_mut().extend(further);
    response
}
