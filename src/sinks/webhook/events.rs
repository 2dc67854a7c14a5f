//! The CloudEvents that a notice is (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md>).

use jiff::Timestamp;
use serde::Serialize;

use crate::core::alert::{Group, Item, Notice, Reason};

/// What the source of events begins with when the spec has nothing else.
pub(super) const DEFAULT_SOURCE: &str = "/polywatch";

/// One event, in the JSON format
/// (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>).
#[derive(Serialize, Debug)]
pub(super) struct Event<'a> {
    specversion: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    source: String,
    /// The same when it is sent again, also in a notice that tells more than the one before, and together with the
    /// source no other event's.
    pub id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    subject: String,
    time: Timestamp,
    datacontenttype: &'static str,
    data: Data<'a>,
}

#[derive(Serialize, Debug)]
#[serde(untagged)]
enum Data<'a> {
    /// The fields of the finding, with these beside them.
    Finding {
        reason: Reason,
        group: &'a Group,
        #[serde(flatten)]
        item: &'a Item,
    },
    /// The whole notice.
    Notice(&'a Notice),
}

/// All of a notice; none of one that says nothing new.
pub(super) fn events<'a>(notice: &'a Notice, source: &str) -> Vec<Event<'a>> {
    let source = format!("{}/policies/{}", source.trim_end_matches('/'), notice.policy);
    let event = |kind, id: String, subject: String, time, data| Event {
        specversion: "1.0",
        kind,
        source: source.clone(),
        id,
        subject,
        time,
        datacontenttype: "application/json",
        data,
    };
    let whole = |kind| {
        vec![event(kind, notice.id.clone(), notice.group.to_string(), notice.time, Data::Notice(notice))]
    };
    match notice.reason {
        Reason::Test => return whole("dev.polywatch.test"),
        // Receivers remember.
        Reason::Resend => return Vec::new(),
        Reason::Baseline => return whole("dev.polywatch.group.summary"),
        _ if notice.collapsed => return whole("dev.polywatch.group.summary"),
        _ => {}
    }
    let each = |kind, items: &'a [Item], time: fn(&Item) -> Option<Timestamp>| {
        items.iter().map(move |item| (kind, item, time(item).unwrap_or(notice.time)))
    };
    each("dev.polywatch.finding.opened", &notice.opened, |item| Some(item.since))
        .chain(each("dev.polywatch.finding.changed", &notice.changed, |_| None))
        .chain(each("dev.polywatch.finding.resolved", &notice.resolved, |item| item.ended))
        .chain(each("dev.polywatch.finding.occurred", &notice.occurred, |item| Some(item.since)))
        .map(|(kind, item, time)| {
            let id = item.event_id(kind, notice);
            let data = Data::Finding { reason: notice.reason, group: &notice.group, item };
            event(kind, id, item.subject(), time, data)
        })
        .collect()
}

#[cfg(test)]
mod tests;
