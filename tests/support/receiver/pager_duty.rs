//! PagerDuty's Events API, version 2: <https://developer.pagerduty.com/docs/events-api-v2/overview/>, by its schema
//! <https://github.com/PagerDuty/api-schema/blob/main/reference/events-v2/openapiv3.json>.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::check::Findings;
use super::server::{Answer, Judgement, Receiver, Request, Vendor};

/// Larger events are refused.
const MAX_EVENT: usize = 512 * 1024;

/// A PagerDuty with one integration.
#[derive(Debug)]
pub struct PagerDuty {
    routing_key: String,
}

/// How an incident stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IncidentState {
    /// Somebody is called.
    Triggered,
    /// Somebody is at it.
    Acknowledged,
    /// It is over.
    Resolved,
}

/// What PagerDuty knows under one deduplication key.
#[derive(Debug, Clone, PartialEq)]
pub struct Incident {
    /// How it stands.
    pub state: IncidentState,
    /// Events that triggered it while it did not stand: how often people were called.
    pub opened: u32,
    /// All events that triggered it.
    pub triggers: u32,
    /// Events that resolved it while it stood.
    pub resolved: u32,
    /// `payload` of the last trigger.
    pub payload: Value,
    /// The whole of the last event.
    pub event: Value,
}

impl Incident {
    /// Whether it is not resolved.
    pub fn is_open(&self) -> bool {
        self.state != IncidentState::Resolved
    }
}

/// What PagerDuty holds for true.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PagerDutyView {
    /// Incidents by deduplication key. After a resolve a trigger with the same key opens a new one, counted here as the
    /// same.
    pub incidents: BTreeMap<String, Incident>,
    /// Acknowledges and resolves of what did not stand, which PagerDuty takes and forgets.
    pub idle: u64,
}

impl PagerDutyView {
    /// The keys of those that are not resolved.
    pub fn open(&self) -> Vec<&str> {
        let open = self.incidents.iter().filter(|(_, incident)| incident.is_open());
        open.map(|(key, _)| key.as_str()).collect()
    }
}

impl PagerDuty {
    /// The path of its API.
    pub const PATH: &'static str = "/v2/enqueue";

    /// Starts one.
    pub fn start() -> Receiver<PagerDuty> {
        Receiver::run(PagerDuty { routing_key: "0123456789abcdef0123456789abcdef".to_owned() })
    }

    /// The key of its integration.
    pub fn routing_key(&self) -> &str {
        &self.routing_key
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Trigger,
    Acknowledge,
    Resolve,
}

pub struct Event {
    action: Action,
    key: String,
    routing_key: String,
    body: Value,
}

fn invalid(errors: &[String]) -> Answer {
    let body = json!({"status": "invalid event", "message": "Event object is invalid", "errors": errors});
    Answer::json(400, &body)
}

impl Vendor for PagerDuty {
    type View = PagerDutyView;
    type Message = Event;

    fn judge(&self, request: &Request, _view: &PagerDutyView) -> Judgement<Event> {
        if request.path != Self::PATH {
            let why = format!("there is no {}", request.path);
            return Judgement::Bad(Answer::text(404, "not found"), vec![why]);
        }
        if request.method != "POST" {
            let why = format!("{} is not POST", request.method);
            return Judgement::Bad(Answer::text(405, "method not allowed"), vec![why]);
        }
        if request.body.len() > MAX_EVENT {
            let why = format!("the event has {} bytes, and may have {MAX_EVENT}", request.body.len());
            return Judgement::Bad(Answer::text(413, "request entity too large"), vec![why]);
        }
        let mut findings = Findings::default();
        let kind = request.media_type().0;
        if kind != "application/json" {
            findings.fatal(format!("the content type is {kind:?}, not application/json"));
        }
        let body: Value = match serde_json::from_slice(&request.body) {
            Ok(body) => body,
            Err(error) => {
                let message = "Event object format is unrecognized";
                let answer = json!({"status": "Unrecognized object", "message": message, "errors": ["JSON parse error"]});
                return Judgement::Bad(Answer::json(400, &answer), vec![format!("no JSON: {error}")]);
            }
        };
        let event = read(&body, &mut findings);
        match event {
            Some(event) if findings.fatal.is_empty() && event.routing_key != self.routing_key => {
                Judgement::Refused(invalid(&["'routing_key' is invalid".to_owned()]))
            }
            Some(event) => Judgement::of(event, findings, invalid),
            None => Judgement::Bad(invalid(&findings.fatal), findings.fatal),
        }
    }

    fn take(&self, event: Event, view: &mut PagerDutyView) -> Answer {
        let known = view.incidents.get_mut(&event.key);
        match (event.action, known) {
            (Action::Trigger, Some(incident)) => {
                if !incident.is_open() {
                    incident.opened += 1;
                    incident.state = IncidentState::Triggered;
                }
                incident.triggers += 1;
                incident.payload = event.body["payload"].clone();
                incident.event = event.body;
            }
            (Action::Trigger, None) => {
                let incident = Incident {
                    state: IncidentState::Triggered,
                    opened: 1,
                    triggers: 1,
                    resolved: 0,
                    payload: event.body["payload"].clone(),
                    event: event.body,
                };
                view.incidents.insert(event.key.clone(), incident);
            }
            (Action::Acknowledge, Some(incident)) if incident.is_open() => {
                incident.state = IncidentState::Acknowledged;
                incident.event = event.body;
            }
            (Action::Resolve, Some(incident)) if incident.is_open() => {
                incident.state = IncidentState::Resolved;
                incident.resolved += 1;
                incident.event = event.body;
            }
            _ => view.idle += 1,
        }
        let body = json!({"status": "success", "message": "Event processed", "dedup_key": event.key});
        Answer::json(202, &body)
    }

    fn refusal(&self, _request: &Request) -> Answer {
        invalid(&["the event is refused".to_owned()])
    }
}

fn read(body: &Value, findings: &mut Findings) -> Option<Event> {
    let event = findings.object(body, "the event")?;
    let known =
        ["payload", "routing_key", "event_action", "dedup_key", "client", "client_url", "links", "images"];
    findings.unknown(event, "", &known);
    let routing_key = findings.text(event, "", "routing_key", true, 32).unwrap_or_default().to_owned();
    if !routing_key.is_empty() && routing_key.chars().count() < 32 {
        findings.fatal("Length of 'routing_key' is incorrect (should be 32 characters)");
    }
    let action = match findings.text(event, "", "event_action", true, 11)? {
        "trigger" => Action::Trigger,
        "acknowledge" => Action::Acknowledge,
        "resolve" => Action::Resolve,
        other => {
            findings.fatal(format!("event_action is {other:?}"));
            return None;
        }
    };
    let key = findings.text(event, "", "dedup_key", action != Action::Trigger, 255);
    // PagerDuty makes one, and whoever sends has to remember it.
    let key = key.map_or_else(|| format!("made-{:032x}", fastrand::u128(..)), str::to_owned);
    if action == Action::Trigger {
        match event.get("payload") {
            Some(payload) => read_payload(payload, findings),
            None => findings.fatal("payload is missing"),
        }
        findings.text(event, "", "client", false, usize::MAX);
        url(event, "", "client_url", findings);
        for (n, link) in findings.list(event, "", "links", usize::MAX).iter().enumerate() {
            let at = format!("links[{n}].");
            if let Some(link) = findings.object(link, &at) {
                findings.unknown(link, &at, &["href", "text"]);
                findings.text(link, &at, "href", true, usize::MAX);
                url(link, &at, "href", findings);
                findings.text(link, &at, "text", false, usize::MAX);
            }
        }
        for (n, image) in findings.list(event, "", "images", usize::MAX).iter().enumerate() {
            let at = format!("images[{n}].");
            if let Some(image) = findings.object(image, &at) {
                findings.unknown(image, &at, &["src", "href", "alt"]);
                let src = findings.text(image, &at, "src", true, usize::MAX);
                if src.is_some_and(|src| !src.starts_with("https://")) {
                    findings.fatal(format!("{at}src is not served by HTTPS"));
                }
            }
        }
    }
    Some(Event { action, key, routing_key, body: body.clone() })
}

fn read_payload(payload: &Value, findings: &mut Findings) {
    let at = "payload.";
    let Some(payload) = findings.object(payload, "payload") else {
        return;
    };
    let known =
        ["summary", "timestamp", "severity", "source", "component", "group", "class", "custom_details"];
    findings.unknown(payload, at, &known);
    findings.text(payload, at, "summary", true, 1024);
    findings.text(payload, at, "source", true, usize::MAX);
    for field in ["component", "group", "class"] {
        findings.text(payload, at, field, false, usize::MAX);
    }
    let severity = findings.text(payload, at, "severity", true, usize::MAX);
    if severity.is_some_and(|word| !["critical", "error", "warning", "info"].contains(&word)) {
        findings.fatal(format!("{at}severity is {severity:?}"));
    }
    let timestamp = findings.text(payload, at, "timestamp", false, usize::MAX);
    if timestamp.is_some_and(|text| text.parse::<Timestamp>().is_err()) {
        findings.fatal(format!("{at}timestamp is no time in ISO 8601: {timestamp:?}"));
    }
    if payload.get("custom_details").is_some_and(|details| !details.is_object()) {
        findings.fatal(format!("{at}custom_details is no object"));
    }
}

fn url(object: &Map<String, Value>, at: &str, field: &str, findings: &mut Findings) {
    let Some(Value::String(text)) = object.get(field) else {
        return;
    };
    if !text.starts_with("https://") && !text.starts_with("http://") {
        findings.fatal(format!("{at}{field} is no URL: {text}"));
    }
}
