//! The alerts that a notice is.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::labels::{self, Labels};
use crate::core::alert::{Item, Notice};
use crate::core::finding::Severity;
use crate::core::rules::one_line;

/// Most bytes of an annotation.
const MAX_ANNOTATION: usize = 2048;
/// Names of the alerts that stand for a whole group: of what is open, and of what occurred.
pub(super) const SUMMARY: &str = "PolywatchSummary";
pub(super) const OCCURRENCES: &str = "PolywatchOccurrences";
/// Name of the alert of a test that is about nothing.
pub(super) const TEST: &str = "PolywatchTest";

/// One alert as it is posted (<https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml>).
#[derive(Serialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Alert {
    pub labels: Labels,
    pub annotations: Labels,
    pub starts_at: Timestamp,
    pub ends_at: Timestamp,
}

/// For how long alerts are.
#[derive(Debug, Clone)]
pub(super) struct Times {
    pub resend: Duration,
    pub occurrences: Duration,
}

/// All of a notice that is sent `now`, with the labels of the sink.
pub(super) fn alerts(notice: &Notice, sink: &Labels, times: &Times, now: Timestamp) -> Vec<Alert> {
    let mut made = Maker { sink, now, open_until: open_until(notice, times, now), times, alerts: Vec::new() };
    match notice {
        _ if notice.is_test() => made.test(notice),
        Notice { collapsed: true, .. } => made.summary(notice),
        _ => made.each(notice),
    }
    made.alerts
}

/// A notice may be late. What is open is to be an alert all the same, until it is told of again.
fn open_until(notice: &Notice, times: &Times, now: Timestamp) -> Timestamp {
    notice.valid_until.max(later(now, times.resend * 2))
}

struct Maker<'a> {
    sink: &'a Labels,
    now: Timestamp,
    open_until: Timestamp,
    times: &'a Times,
    alerts: Vec<Alert>,
}

impl Maker<'_> {
    fn each(&mut self, notice: &Notice) {
        for item in &notice.open {
            self.item(item, item.severity, self.open_until);
        }
        for item in &notice.changed {
            if let Some(before) = item.previous_severity.filter(|before| *before != item.severity) {
                self.item(item, before, notice.time);
            }
        }
        for item in &notice.resolved {
            self.item(item, item.severity, item.ended.unwrap_or(notice.time));
        }
        let until = self.occurrences_until();
        for item in &notice.occurred {
            self.item(item, item.severity, until);
        }
    }

    /// One alert for what is open and one for what occurred. Those of single findings, told before the group was so
    /// large, are ended.
    fn summary(&mut self, notice: &Notice) {
        for item in &notice.replaced {
            self.item(item, item.severity, item.ended.unwrap_or(notice.time));
        }
        let totals = &notice.totals;
        if totals.open > 0 || totals.resolved > 0 {
            let since = |items: &[Item]| items.iter().map(|item| item.since).min();
            let since = since(&notice.open).or_else(|| since(&notice.resolved));
            let until = if totals.open > 0 { self.open_until } else { notice.time };
            let by = totals.by_severity.iter().rev();
            let by: Vec<_> = by.map(|(severity, number)| format!("{number} {}", severity.as_str())).collect();
            let summary = match totals.open {
                0 => format!("all findings of {} are resolved", whom(notice)),
                open => format!("{open} findings of {} are open: {}", whom(notice), by.join(", ")),
            };
            let described = if totals.open > 0 { &notice.open } else { &notice.resolved };
            self.group(notice, SUMMARY, summary, described, since, until);
        }
        if totals.occurred > 0 {
            let summary =
                format!("{} changes occurred that {} does not allow", totals.occurred, whom(notice));
            let since = notice.occurred.iter().map(|item| item.since).min();
            self.group(notice, OCCURRENCES, summary, &notice.occurred, since, self.occurrences_until());
        }
    }

    /// What a test is about, if it is about something, with a label by which it can be routed elsewhere.
    fn test(&mut self, notice: &Notice) {
        let until = self.occurrences_until();
        for item in notice.open.iter().chain(&notice.occurred) {
            self.item(item, item.severity, until);
        }
        if self.alerts.is_empty() {
            let summary = "polywatch sends this because a person asked for a test".to_owned();
            self.group(notice, TEST, summary, &[], None, until);
        }
        for alert in &mut self.alerts {
            alert.labels.insert("polywatch_test".to_owned(), "true".to_owned());
        }
    }

    fn item(&mut self, item: &Item, severity: Severity, until: Timestamp) {
        let mut annotations = Labels::new();
        let mut say = |name: &str, text: String| {
            if !text.is_empty() {
                annotations.insert(name.to_owned(), one_line(&text, MAX_ANNOTATION));
            }
        };
        say("summary", format!("{}: {}", item.subject(), item.message));
        say("description", item.message.clone());
        say("since", item.since.to_string());
        say("fields", item.fields.clone());
        say("flaps", if item.flaps > 0 { item.flaps.to_string() } else { String::new() });
        say("operation", item.operation.clone().unwrap_or_default());
        say("ended_because", item.ended_because.clone().unwrap_or_default());
        let labels = labels::of_item(self.sink, item, severity);
        self.push(labels, annotations, item.since, until);
    }

    fn group(
        &mut self,
        notice: &Notice,
        name: &str,
        summary: String,
        worst: &[Item],
        since: Option<Timestamp>,
        until: Timestamp,
    ) {
        let since = since.unwrap_or(notice.time);
        let totals = &notice.totals;
        let mut annotations = Labels::from([
            ("summary".to_owned(), one_line(&summary, MAX_ANNOTATION)),
            ("since".to_owned(), since.to_string()),
        ]);
        let line = |item: &Item| format!("{} {}: {}", item.severity.as_str(), item.subject(), item.message);
        let lines: Vec<_> = worst.iter().map(line).collect();
        if !lines.is_empty() {
            annotations.insert("description".to_owned(), one_line(&lines.join("; "), MAX_ANNOTATION));
        }
        for (name, number) in [
            ("open", totals.open),
            ("opened", totals.opened),
            ("changed", totals.changed),
            ("resolved", totals.resolved),
            ("occurred", totals.occurred),
        ] {
            annotations.insert(name.to_owned(), number.to_string());
        }
        let labels = labels::of_group(self.sink, notice, name);
        self.push(labels, annotations, since, until);
    }

    /// Alertmanager refuses an alert that ends before it begins.
    fn push(&mut self, labels: Labels, annotations: Labels, starts_at: Timestamp, until: Timestamp) {
        self.alerts.push(Alert { labels, annotations, starts_at, ends_at: until.max(starts_at) });
    }

    /// From now, so that also what is told late is an alert for so long.
    fn occurrences_until(&self) -> Timestamp {
        later(self.now, self.times.occurrences)
    }
}

fn whom(notice: &Notice) -> String {
    match notice.group.to_string() {
        group if group.is_empty() => format!("policy {}", notice.policy),
        group => format!("policy {} with {group}", notice.policy),
    }
}

fn later(moment: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| moment.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
