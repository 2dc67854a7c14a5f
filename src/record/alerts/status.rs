//! The status of an AlertSink: what it says, and when it is written.
//!
//! At most one write a second, none when nothing changed; when only counts and times changed, one in thirty seconds.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::Client;
use tokio::time::Instant;
use tracing::warn;

use super::breaker::State;
use crate::api::alert_sink::{DeadLetter, MAX_LISTED_DEAD, TestResult};
use crate::api::{AlertSink, AlertSinkStatus};
use crate::core::alert::Desk;
use crate::metrics::{ErrorKind, Metrics};
use crate::policy::CompiledSink;
use crate::record::patch::{PatchError, patch_status};
use crate::record::whole_second;
use crate::sinks::{Receipt, SendError};

const MIN_INTERVAL: Duration = Duration::from_secs(1);
const COUNTS_INTERVAL: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Failures in a row before the sink counts as not ready: one may be chance.
const NOT_READY_AFTER: u32 = 2;

/// What is known of a sink beside its spec.
#[derive(Debug, Default)]
pub struct Facts {
    pub generation: i64,
    pub owed: usize,
    pub breaker: State,
    pub failures_in_a_row: u32,
    pub dead_total: usize,
    /// The request for a test message that was taken up last.
    pub testing: Option<String>,
    sent: u64,
    failed: u64,
    last_success: Option<Timestamp>,
    last_failure: Option<(Timestamp, String)>,
    /// Why credentials are no good, since the last attempt.
    credentials: Option<String>,
    dead: Vec<DeadLetter>,
    last_test: Option<TestResult>,
}

impl Facts {
    /// Takes the outcome of an attempt.
    pub fn attempted(&mut self, result: &Result<Receipt, SendError>, now: Timestamp) {
        match result {
            Ok(_) => {
                self.sent += 1;
                self.last_success = Some(now);
                self.credentials = None;
            }
            Err(error) => {
                self.failed += 1;
                self.last_failure = Some((now, error.to_string()));
                self.credentials = match error {
                    SendError::Credentials(text) => Some(text.clone()),
                    SendError::Permanent(_) | SendError::Passing { .. } => None,
                };
            }
        }
    }

    /// Takes the outcome of a test.
    pub fn tested(&mut self, requested: String, result: Result<Receipt, SendError>, now: Timestamp) {
        let error = result.err().map(|error| error.to_string());
        self.last_test = Some(TestResult {
            requested,
            delivered: error.is_none(),
            error,
            time: whole_second(now).to_string(),
        });
    }

    /// Takes what was refused for good, by policy.
    pub fn note_dead<'d>(&mut self, desks: impl Iterator<Item = (&'d str, &'d Desk)>) {
        let mut dead: Vec<(Timestamp, DeadLetter)> = Vec::new();
        for (policy, desk) in desks {
            dead.extend(desk.dead().map(|(group, dead)| {
                let by = group.by.iter().map(|(name, value)| format!("{name}={value}"));
                let letter = DeadLetter {
                    policy: policy.to_owned(),
                    group: by.collect::<Vec<_>>().join(", "),
                    reason: dead.reason.to_string(),
                    finding: dead.finding.clone(),
                    error: dead.error.clone(),
                    time: whole_second(dead.at).to_string(),
                };
                (dead.at, letter)
            }));
        }
        dead.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        self.dead_total = dead.len();
        self.dead = dead.into_iter().take(MAX_LISTED_DEAD).map(|(_, letter)| letter).collect();
    }

    /// Why what is owed does not arrive: a reason and what to do.
    pub fn trouble(&self, sink: &CompiledSink) -> Option<(&'static str, String)> {
        let last = || self.last_failure.as_ref().map_or_else(String::new, |(_, error)| error.clone());
        if let Err(problem) = &sink.destination {
            return Some(("InvalidSpec", problem.clone()));
        }
        if sink.suspended {
            return Some(("Suspended", "spec.suspend is true: nothing is sent".to_owned()));
        }
        if let Some(text) = &self.credentials {
            return Some(("Credentials", format!("{text}; it is tried again every 30 s")));
        }
        if self.failures_in_a_row >= NOT_READY_AFTER {
            let text =
                format!("{} attempts in a row failed, the last one: {}", self.failures_in_a_row, last());
            return Some(("Failing", text));
        }
        if let Some(letter) = self.dead.first() {
            let text = format!(
                "{} of the groups of findings that are told here were refused for good, the latest of policy {}: {}; \
                 each is tried again when there is news of it, or when this sink is changed",
                self.dead_total, letter.policy, letter.error
            );
            return Some(("DeadLetters", text));
        }
        None
    }

    fn render(&self, sink: &CompiledSink, before: &AlertSinkStatus, now: Timestamp) -> AlertSinkStatus {
        let (status, reason, message) = match self.trouble(sink) {
            Some((reason, message)) => ("False", reason, message),
            None => match self.last_success.is_some() || before.last_success.is_some() {
                true => ("True", "Delivering", "what is owed arrives".to_owned()),
                false => (
                    "True",
                    "NothingSent",
                    "nothing was owed so far; try it: polywatch sink test NAME".replace("NAME", &sink.name),
                ),
            },
        };
        let known = before.conditions.iter().find(|known| known.type_ == "Ready" && known.status == status);
        let since = known.map_or_else(|| Time(whole_second(now)), |known| known.last_transition_time.clone());
        let time = |time: Timestamp| whole_second(time).to_string();
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        AlertSinkStatus {
            observed_generation: Some(sink.generation),
            conditions: vec![Condition {
                type_: "Ready".into(),
                status: status.into(),
                reason: reason.into(),
                message,
                observed_generation: Some(sink.generation),
                last_transition_time: since,
            }],
            kind: sink.destination.as_ref().ok().map(|destination| destination.kind().to_owned()),
            owed: number(self.owed as u64),
            sent: number(self.sent),
            failed: number(self.failed),
            failures_in_a_row: i64::from(self.failures_in_a_row),
            last_success: self.last_success.map(time).or_else(|| before.last_success.clone()),
            last_failure: self
                .last_failure
                .as_ref()
                .map(|(at, _)| time(*at))
                .or_else(|| before.last_failure.clone()),
            last_error: self
                .last_failure
                .as_ref()
                .map(|(_, error)| error.clone())
                .or_else(|| before.last_error.clone()),
            dead_letters: number(self.dead_total as u64),
            dead: self.dead.clone(),
            last_test: self.last_test.clone().or_else(|| before.last_test.clone()),
        }
    }
}

/// The status without what may change all the time while everything is well.
fn without_counts(status: &AlertSinkStatus) -> AlertSinkStatus {
    AlertSinkStatus {
        owed: 0,
        sent: 0,
        failed: 0,
        failures_in_a_row: 0,
        last_success: None,
        last_failure: None,
        ..status.clone()
    }
}

/// When the status is written.
pub struct StatusWriter {
    written: AlertSinkStatus,
    last_write: Option<Instant>,
    next: Option<Instant>,
    is_busy: bool,
    failures: u32,
}

/// A write to be made.
pub struct Write {
    name: Arc<str>,
    uid: Arc<str>,
    status: AlertSinkStatus,
}

/// What became of a write.
pub struct Written {
    name: Arc<str>,
    status: AlertSinkStatus,
    result: Result<(), PatchError>,
}

impl Write {
    /// Makes it.
    pub async fn send(self, client: Client) -> Written {
        let result = patch_status::<AlertSink, _>(client, &self.name, &self.uid, &self.status).await;
        Written { name: self.name, status: self.status, result }
    }
}

impl StatusWriter {
    /// From the status that the sink has.
    pub fn new(sink: &CompiledSink) -> Self {
        Self { written: (*sink.status).clone(), last_write: None, next: None, is_busy: false, failures: 0 }
    }

    /// What is to be written now.
    pub fn due(&mut self, sink: &CompiledSink, facts: &Facts, now: Instant) -> Option<Write> {
        let status = facts.render(sink, &self.written, Timestamp::now());
        self.next = None;
        if self.is_busy || status == self.written {
            return None;
        }
        // That nothing is owed any more is what people wait to see.
        let is_done = self.written.owed > 0 && status.owed == 0;
        let is_counts = !is_done && without_counts(&status) == without_counts(&self.written);
        let interval = match (self.failures, is_counts) {
            (0, true) => COUNTS_INTERVAL,
            (0, false) => MIN_INTERVAL,
            (failures, _) => MIN_INTERVAL.saturating_mul(1 << failures.min(5)).min(LONGEST_PAUSE),
        };
        let due = self.last_write.map_or(now, |last| last + interval);
        if due > now {
            self.next = Some(due);
            return None;
        }
        (self.last_write, self.is_busy) = (Some(now), true);
        Some(Write { name: sink.name.clone(), uid: sink.uid.clone(), status })
    }

    /// When there is something to be written, if nothing changes.
    pub fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Takes what became of a write.
    pub fn written(&mut self, written: Written, metrics: &Metrics) {
        self.is_busy = false;
        match written.result {
            Ok(()) => {
                metrics.status_writes.inc();
                (self.failures, self.written) = (0, written.status);
            }
            // The set of sinks will say so.
            Err(PatchError::Gone) => {}
            Err(PatchError::Failed(error)) => {
                metrics.error(ErrorKind::StatusWrite);
                self.failures = self.failures.saturating_add(1);
                warn!(sink = &*written.name, %error, "status of AlertSink can not be written; trying again");
            }
        }
    }
}
