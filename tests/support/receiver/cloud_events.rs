//! A webhook that takes CloudEvents, by <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md>, its JSON
//! format and its HTTP binding, and believes only what is signed.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use ring::hmac;
use serde_json::{Map, Value};

use super::check::Findings;
use super::server::{Answer, Judgement, Receiver, Request, Vendor};

/// How far the time of a signature may be from ours, in seconds.
const TOLERANCE: i64 = 300;
const SINGLE: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

/// A webhook.
#[derive(Debug)]
pub struct CloudEvents {
    secret: Option<Vec<u8>>,
}

/// An event, by source and ID.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivered {
    /// How often it was delivered.
    pub times: u32,
    /// The whole of it, as it came first.
    pub event: Value,
    /// Whether it came in a batch.
    pub in_batch: bool,
    /// When it came first.
    pub at: Timestamp,
}

/// What was delivered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CloudEventsView {
    /// Events by source and ID, which together are one event.
    pub events: BTreeMap<(String, String), Delivered>,
    /// In the order in which they came first.
    pub order: Vec<(String, String)>,
    /// Batches, the empty ones included.
    pub batches: u64,
    /// Requests with an event that had been delivered before.
    pub repeating: u64,
    /// Headers of the last request that was taken, in lower case.
    pub headers: BTreeMap<String, String>,
}

impl CloudEventsView {
    /// Events in the order in which they came first.
    pub fn in_order(&self) -> impl Iterator<Item = &Delivered> {
        self.order.iter().filter_map(|name| self.events.get(name))
    }

    /// Deliveries of events that had been delivered before.
    pub fn repeats(&self) -> u64 {
        self.events.values().map(|event| u64::from(event.times - 1)).sum()
    }
}

impl CloudEvents {
    /// Where it takes events.
    pub const PATH: &'static str = "/events";

    /// Starts one that takes everything, or with a secret only what is signed by that.
    pub fn start(secret: Option<&[u8]>) -> Receiver<CloudEvents> {
        Receiver::run(CloudEvents { secret: secret.map(<[u8]>::to_vec) })
    }
}

/// The value of `X-Polywatch-Signature` at a time, in seconds since 1970.
pub fn signature(secret: &[u8], time: i64, body: &[u8]) -> String {
    let signed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), &signed_text(time, body));
    let hex: String = signed.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={time},v1={hex}")
}

fn signed_text(time: i64, body: &[u8]) -> Vec<u8> {
    [time.to_string().as_bytes(), b".", body].concat()
}

/// The events of one request.
pub struct Delivery {
    events: Vec<((String, String), Value)>,
    in_batch: bool,
    headers: BTreeMap<String, String>,
}

fn bad(errors: &[String]) -> Answer {
    Answer::text(400, &errors.join("\n"))
}

impl Vendor for CloudEvents {
    type View = CloudEventsView;
    type Message = Delivery;

    fn judge(&self, request: &Request, view: &CloudEventsView) -> Judgement<Delivery> {
        if request.path != Self::PATH {
            let why = format!("there is no {}", request.path);
            return Judgement::Bad(Answer::text(404, "not found"), vec![why]);
        }
        if request.method != "POST" {
            let why = format!("{} is not POST", request.method);
            return Judgement::Bad(Answer::text(405, "method not allowed"), vec![why]);
        }
        let (kind, charset) = request.media_type();
        let known = [SINGLE, BATCH].contains(&kind.as_str());
        if !known || charset.as_ref().is_some_and(|charset| charset != "utf-8") {
            let why = format!("the content type is {kind:?} with charset {charset:?}");
            return Judgement::Bad(Answer::text(415, "unsupported media type"), vec![why]);
        }
        let mut findings = Findings::default();
        if let Some(secret) = &self.secret {
            match check_signature(secret, request) {
                Ok(true) => {}
                Ok(false) => return Judgement::Refused(Answer::text(401, "signature")),
                Err(why) => return Judgement::Bad(Answer::text(401, &why), vec![why]),
            }
        }
        let body: Value = match serde_json::from_slice(&request.body) {
            Ok(body) => body,
            Err(error) => {
                return Judgement::Bad(bad(&[error.to_string()]), vec![format!("no JSON: {error}")]);
            }
        };
        let in_batch = kind == BATCH;
        let list = match (in_batch, body) {
            (true, Value::Array(list)) => list,
            (true, _) => {
                findings.fatal("a batch is no list");
                Vec::new()
            }
            (false, event) => vec![event],
        };
        let mut events = Vec::new();
        for (n, event) in list.into_iter().enumerate() {
            let at = if in_batch { format!("[{n}].") } else { String::new() };
            if let Some(name) = read(&event, &at, &mut findings) {
                if view.events.get(&name).is_some_and(|known| known.event != event) {
                    findings.lenient(format!("{at}id {} was another event of this source before", name.1));
                }
                events.push((name, event));
            }
        }
        let headers = request.headers.iter();
        let headers = headers.map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        let delivery = Delivery { events, in_batch, headers: headers.collect() };
        Judgement::of(delivery, findings, bad)
    }

    fn take(&self, delivery: Delivery, view: &mut CloudEventsView) -> Answer {
        view.batches += u64::from(delivery.in_batch);
        view.headers = delivery.headers;
        let is_known = |(name, _): &((String, String), Value)| view.events.contains_key(name);
        view.repeating += u64::from(delivery.events.iter().any(is_known));
        let at = Timestamp::now();
        for (name, event) in delivery.events {
            match view.events.get_mut(&name) {
                Some(known) => known.times += 1,
                None => {
                    let delivered = Delivered { times: 1, event, in_batch: delivery.in_batch, at };
                    view.events.insert(name.clone(), delivered);
                    view.order.push(name);
                }
            }
        }
        Answer::text(204, "")
    }

    fn refusal(&self, _request: &Request) -> Answer {
        Answer::text(400, "refused")
    }
}

/// Whether a signature is right.
///
/// # Errors
/// When there is none, or not in its form.
fn check_signature(secret: &[u8], request: &Request) -> Result<bool, String> {
    let header = request.header("x-polywatch-signature").ok_or("X-Polywatch-Signature is missing")?;
    let wrong = || format!("X-Polywatch-Signature is not t=UNIX,v1=HEX: {header}");
    let (mut time, mut signatures) = (None, Vec::new());
    for part in header.split(',') {
        match part.split_once('=').ok_or_else(wrong)? {
            ("t", text) if time.is_none() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
                time = Some(text.parse::<i64>().map_err(|_| wrong())?);
            }
            ("v1", hex) => signatures.push(decode(hex).ok_or_else(wrong)?),
            _ => return Err(wrong()),
        }
    }
    let time = time.ok_or_else(wrong)?;
    if signatures.is_empty() {
        return Err(wrong());
    }
    let now = Timestamp::now().as_second();
    if (now - time).abs() > TOLERANCE {
        return Err(format!("X-Polywatch-Signature is of {time}, and now is {now}"));
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let text = signed_text(time, &request.body);
    // While a secret is replaced, there are two.
    Ok(signatures.iter().any(|signature| hmac::verify(&key, &text, signature).is_ok()))
}

/// 64 digits, in lower case.
fn decode(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if hex.len() != 64 || !digits {
        return None;
    }
    (0..32).map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).ok()).collect()
}

/// Source and ID of an event that is one.
fn read(event: &Value, at: &str, findings: &mut Findings) -> Option<(String, String)> {
    let event = findings.object(event, if at.is_empty() { "the event" } else { at })?;
    if findings.text(event, at, "specversion", true, 255).is_some_and(|version| version != "1.0") {
        findings.fatal(format!("{at}specversion is not 1.0"));
    }
    let id = findings.text(event, at, "id", true, usize::MAX);
    let source = findings.text(event, at, "source", true, usize::MAX);
    findings.text(event, at, "type", true, usize::MAX);
    findings.text(event, at, "subject", false, usize::MAX);
    for (name, text) in
        [("source", source), ("dataschema", findings.text(event, at, "dataschema", false, usize::MAX))]
    {
        if text.is_some_and(|text| {
            text.contains(|c: char| c.is_whitespace() || c.is_control() || "<>\"{}|\\^`".contains(c))
        }) {
            findings.fatal(format!("{at}{name} is no URI: {text:?}"));
        }
    }
    let time = findings.text(event, at, "time", false, usize::MAX);
    if time.is_some_and(|time| !is_rfc3339(time)) {
        findings.fatal(format!("{at}time is no time of RFC 3339: {time:?}"));
    }
    data(event, at, findings);
    extensions(event, at, findings);
    Some((source?.to_owned(), id?.to_owned()))
}

fn is_rfc3339(text: &str) -> bool {
    // jiff takes more: other separators, and names of zones.
    let offset = |text: &str| {
        text.ends_with(['Z', 'z']) || text.len() > 6 && matches!(text.as_bytes()[text.len() - 6], b'+' | b'-')
    };
    text.as_bytes().get(10).is_some_and(|byte| matches!(byte, b'T' | b't'))
        && offset(text)
        && text.parse::<Timestamp>().is_ok()
}

fn data(event: &Map<String, Value>, at: &str, findings: &mut Findings) {
    let kind = findings.text(event, at, "datacontenttype", false, usize::MAX);
    let kind = kind.unwrap_or("application/json").split(';').next().unwrap_or_default().trim();
    let Some((_, subtype)) = kind.split_once('/') else {
        findings.fatal(format!("{at}datacontenttype is no media type: {kind}"));
        return;
    };
    match (event.get("data"), event.get("data_base64")) {
        (Some(_), Some(_)) => findings.fatal(format!("{at}data and data_base64 are both there")),
        (Some(data), None) if subtype != "json" && !subtype.ends_with("+json") && !data.is_string() => {
            findings.fatal(format!("{at}data is of type {kind}, and no text"));
        }
        (None, Some(data)) if data.as_str().is_none_or(|text| BASE64_STANDARD.decode(text).is_err()) => {
            findings.fatal(format!("{at}data_base64 is not in base 64"));
        }
        _ => {}
    }
}

fn extensions(event: &Map<String, Value>, at: &str, findings: &mut Findings) {
    let known = [
        "id",
        "source",
        "specversion",
        "type",
        "subject",
        "time",
        "datacontenttype",
        "dataschema",
        "data",
        "data_base64",
    ];
    for (name, value) in event.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
            findings.fatal(format!("{at}{name} is no name of an attribute: lower-case letters and digits"));
        } else if name.len() > 20 {
            findings.lenient(format!("{at}{name} has more than 20 characters"));
        }
        let allowed = match value {
            Value::Null | Value::Bool(_) | Value::String(_) => true,
            Value::Number(number) => number.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
            Value::Array(_) | Value::Object(_) => false,
        };
        if !allowed {
            findings.fatal(format!("{at}{name} is neither text nor boolean nor a small integer: {value}"));
        }
    }
}
