//! The events that a notice is, in the form of PagerDuty's Events API v2
//! (<https://developer.pagerduty.com/docs/events-api-v2/trigger-events/>).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::core::alert::{Item, Notice, Reason, Totals};
use crate::core::finding::Severity;
use crate::core::rules::one_line;

/// Most changes of one notice that are an incident each.
pub(super) const MAX_OCCURRENCES: usize = 10;
/// Most findings in the details of an incident, and most bytes of a text there: together far below the 512 KB that an
/// event may have.
const MAX_FINDINGS: usize = 20;
const MAX_DETAIL: usize = 2048;
/// Most bytes of a name, such as that of a component.
const MAX_NAME: usize = 255;

/// What is to be done with one incident.
#[derive(Debug)]
pub(super) enum Action {
    /// Open it, or add to it. The notice is what it is about.
    Trigger(Box<Notice>),
    /// Close it.
    Resolve,
}

/// One incident and what is to be done.
#[derive(Debug)]
pub(super) struct Event {
    /// What identifies the incident: the same when the event is sent again, which therefore does no harm.
    pub incident: String,
    pub action: Action,
}

/// All of a notice, in order.
pub(super) fn events(notice: &Notice) -> Vec<Event> {
    let trigger = |incident: &str, notice: Notice| Event {
        incident: incident.to_owned(),
        action: Action::Trigger(Box::new(notice)),
    };
    let totals = &notice.totals;
    let mut events = Vec::new();
    match notice.reason {
        Reason::Test => return vec![trigger(&notice.id, notice.clone())],
        // PagerDuty remembers.
        Reason::Resend => return events,
        _ => {}
    }
    let news = totals.opened > 0 || totals.changed > 0 || notice.reason == Reason::Baseline;
    if totals.open > 0 && news {
        events.push(trigger(&notice.group.id, notice.clone()));
    } else if totals.open == 0 && (totals.resolved > 0 || notice.reason == Reason::AllResolved) {
        events.push(Event { incident: notice.group.id.clone(), action: Action::Resolve });
    }
    let told = notice.occurred.len();
    if told == totals.occurred && told <= MAX_OCCURRENCES {
        for item in &notice.occurred {
            events.push(trigger(&item.id, about(notice, std::slice::from_ref(item), 1)));
        }
    } else {
        events.push(trigger(&notice.id, about(notice, &notice.occurred, totals.occurred)));
    }
    events
}

/// A notice about nothing but changes that occurred.
fn about(notice: &Notice, occurred: &[Item], number: usize) -> Notice {
    Notice {
        reason: Reason::Occurred,
        open: Vec::new(),
        opened: Vec::new(),
        changed: Vec::new(),
        resolved: Vec::new(),
        occurred: occurred.to_vec(),
        totals: Totals { occurred: number, ..Totals::default() },
        ..notice.clone()
    }
}

/// What an incident shows.
#[derive(Serialize, Debug)]
pub(super) struct Payload {
    summary: String,
    source: String,
    severity: &'static str,
    timestamp: Timestamp,
    #[serde(skip_serializing_if = "String::is_empty")]
    component: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    group: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    class: String,
    custom_details: Details,
}

#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
struct Details {
    policy: String,
    reason: Reason,
    totals: Totals,
    /// The worst of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<Detail>,
}

#[derive(Serialize, Debug)]
struct Detail {
    severity: Severity,
    rule: String,
    subject: String,
    message: String,
    since: Timestamp,
    #[serde(skip_serializing_if = "String::is_empty")]
    fields: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
}

impl Payload {
    /// Of what an incident is about. Component, class and time are those of the worst.
    pub(super) fn new(notice: &Notice, summary: String, source: Option<&str>) -> Self {
        let items = if notice.open.is_empty() { &notice.occurred } else { &notice.open };
        let worst = items.first();
        let subject = worst.map_or_else(|| format!("policy {}", notice.policy), Item::subject);
        let name = |text: &str| one_line(text, MAX_NAME);
        Self {
            summary,
            source: name(source.unwrap_or(&subject)),
            severity: if notice.is_test() { "info" } else { severity(notice.severity()) },
            timestamp: worst.map_or(notice.time, |item| item.since),
            component: worst.map(|item| name(&item.subject())).unwrap_or_default(),
            group: name(&notice.group.to_string()),
            class: worst.map(|item| name(&item.rule)).unwrap_or_default(),
            custom_details: Details {
                policy: notice.policy.clone(),
                reason: notice.reason,
                totals: notice.totals.clone(),
                findings: items.iter().take(MAX_FINDINGS).map(detail).collect(),
            },
        }
    }
}

fn detail(item: &Item) -> Detail {
    Detail {
        severity: item.severity,
        rule: item.rule.clone(),
        subject: one_line(&item.subject(), MAX_DETAIL),
        message: one_line(&item.message, MAX_DETAIL),
        since: item.since,
        fields: one_line(&item.fields, MAX_DETAIL),
        labels: item.labels.clone(),
    }
}

/// PagerDuty knows four.
fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "info",
    }
}
