//! Findings, states and conditions in the status of each policy.
//!
//! At most one write a second for a policy, none when nothing changed; when only counts of objects changed, one
//! in thirty seconds.

mod notify;
mod render;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::Sources;
use super::patch::{PatchError, patch_status};
use crate::api::status::MAX_LISTED_FINDINGS;
use crate::api::{MonitorPolicy, MonitorPolicyStatus};
use crate::core::engine::Reader;
use crate::core::finding::{PolicyKey, Severity};
use crate::core::policy::CompiledPolicy;
use crate::metrics::{ErrorKind, FindingLabel, PolicyLabel};

/// Between two writes of one policy's status.
const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// Between two writes when nothing but counts of objects changed.
const COUNTS_INTERVAL: Duration = Duration::from_secs(30);
/// Several changes at once are one write.
const SETTLE: Duration = Duration::from_millis(100);
/// A status of an earlier process is left as it is for this long, while its watches sync again.
const TAKEOVER: Duration = Duration::from_secs(10);
/// Longest pause after failed writes of one policy.
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// Writes under way at once.
const CONCURRENT: usize = 8;

/// Runs until `stop` changes; then writes what is owed once more and returns.
pub async fn run(sources: Sources, mut stop: watch::Receiver<bool>) {
    let mut recorder =
        Recorder { started: Instant::now(), sources, entries: BTreeMap::new(), writes: JoinSet::new() };
    loop {
        let next = recorder.next_due();
        tokio::select! {
            nudged = async { recorder.sources.nudges.take().await } => recorder.schedule(nudged),
            Some(done) = recorder.writes.join_next() => if let Ok(done) = done { recorder.written(done) },
            () = tokio::time::sleep_until(next) => {}
            _ = stop.changed() => break,
        }
        recorder.write_due(Instant::now()).await;
    }
    recorder.finish().await;
}

#[derive(Default)]
struct Entry {
    /// UID of the policy that `written` was written to.
    uid: Arc<str>,
    due: Option<Instant>,
    last_write: Option<Instant>,
    written: Option<MonitorPolicyStatus>,
    busy: bool,
    failures: u32,
}

struct Recorder {
    started: Instant,
    sources: Sources,
    entries: BTreeMap<PolicyKey, Entry>,
    writes: JoinSet<Written>,
}

struct Written {
    policy: PolicyKey,
    status: MonitorPolicyStatus,
    result: Result<(), PatchError>,
}

impl Recorder {
    fn schedule(&mut self, policies: BTreeSet<PolicyKey>) {
        let now = Instant::now();
        let known = self.sources.published.borrow().policies.clone();
        for policy in policies {
            if !known.contains_key(&policy) {
                self.entries.remove(&policy);
                self.sources.metrics.forget_policy(&policy.0);
                continue;
            }
            let entry = self.entries.entry(policy).or_default();
            if entry.failures > 0 && entry.due.is_some() {
                // What is new is in the next attempt, too.
                continue;
            }
            let earliest = entry.last_write.map_or(now, |last| last + MIN_INTERVAL).max(now + SETTLE);
            entry.due = Some(entry.due.map_or(earliest, |due| due.min(earliest)));
        }
    }

    fn next_due(&self) -> Instant {
        let far = Instant::now() + Duration::from_secs(3600);
        if self.writes.len() >= CONCURRENT {
            // The next write to end makes room; what is due before that would only be looked at again and again.
            return far;
        }
        self.entries.values().filter(|entry| !entry.busy).filter_map(|entry| entry.due).min().unwrap_or(far)
    }

    async fn write_due(&mut self, now: Instant) {
        let due: Vec<PolicyKey> = self
            .entries
            .iter()
            .filter(|(_, entry)| !entry.busy && entry.due.is_some_and(|due| due <= now))
            .map(|(policy, _)| policy.clone())
            .collect();
        for policy in due {
            if self.writes.len() >= CONCURRENT {
                return;
            }
            self.write(policy, now, false).await;
        }
    }

    async fn write(&mut self, policy: PolicyKey, now: Instant, last_call: bool) {
        let (compiled, stored) = {
            let published = self.sources.published.borrow();
            (published.policies.get(&policy).cloned(), published.statuses.get(&policy).cloned())
        };
        let Some(compiled) = compiled else {
            self.entries.remove(&policy);
            return;
        };
        let Some(entry) = self.entries.get_mut(&policy) else {
            return;
        };
        entry.due = None;
        if entry.uid != compiled.uid {
            // A policy that came in place of one of the same name has none of its status.
            (entry.uid, entry.written) = (compiled.uid.clone(), None);
        }
        let before =
            entry.written.clone().or_else(|| stored.map(|stored| (*stored).clone())).unwrap_or_default();
        let Some(status) = status_of(&self.sources, &compiled, &before).await else {
            return;
        };
        if status == before {
            entry.written = Some(status);
            // Nothing tells of counts of objects.
            entry.due = Some(now + COUNTS_INTERVAL);
            return;
        }
        if !last_call {
            let fresh = entry.written.is_none() && before.observed_generation.is_some();
            if fresh && render::is_syncing(&status) && now < self.started + TAKEOVER {
                entry.due = Some(now + SETTLE * 3);
                return;
            }
            let counts_due = entry.last_write.map(|last| last + COUNTS_INTERVAL).filter(|due| *due > now);
            if let Some(due) = counts_due
                && render::without_counts(&status) == render::without_counts(&before)
            {
                entry.due = Some(due);
                return;
            }
        }
        entry.busy = true;
        entry.last_write = Some(now);
        let client = self.sources.client.clone();
        self.writes.spawn(async move {
            let result = patch_status::<MonitorPolicy, _>(client, &policy.0, &compiled.uid, &status).await;
            Written { policy, status, result }
        });
    }

    fn written(&mut self, done: Written) {
        let Some(entry) = self.entries.get_mut(&done.policy) else {
            return;
        };
        entry.busy = false;
        match done.result {
            Ok(()) => {
                debug!(policy = %done.policy, findings = done.status.summary.open_findings, "status written");
                self.sources.metrics.status_writes.inc();
                entry.failures = 0;
                entry.written = Some(done.status);
                entry.due.get_or_insert(Instant::now() + COUNTS_INTERVAL);
            }
            Err(PatchError::Gone) => {
                // If it is true, the set of policies will say so; the status of one that came in its place is owed.
                entry.due.get_or_insert(Instant::now() + MIN_INTERVAL);
            }
            Err(PatchError::Failed(error)) => {
                self.sources.metrics.error(ErrorKind::StatusWrite);
                entry.failures = entry.failures.saturating_add(1);
                let pause = MIN_INTERVAL.saturating_mul(1 << entry.failures.min(5)).min(MAX_BACKOFF);
                warn!(policy = %done.policy, %error, "status of MonitorPolicy can not be written; trying again");
                entry.due = Some(Instant::now() + pause.mul_f64(0.5 + 0.5 * fastrand::f64()));
            }
        }
    }

    /// Writes what is owed, whatever the intervals say, and waits for it.
    async fn finish(mut self) {
        self.schedule(self.sources.nudges.take_now());
        while let Some(Ok(done)) = self.writes.join_next().await {
            self.written(done);
        }
        let owed: Vec<PolicyKey> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.due.is_some())
            .map(|(policy, _)| policy.clone())
            .collect();
        for policy in owed {
            self.write(policy, Instant::now(), true).await;
            if self.writes.len() >= CONCURRENT
                && let Some(Ok(done)) = self.writes.join_next().await
            {
                self.written(done);
            }
        }
        while let Some(Ok(done)) = self.writes.join_next().await {
            self.written(done);
        }
    }
}

/// What the status of a policy should be now; nothing while the judge has not taken its present generation.
async fn status_of(
    sources: &Sources,
    policy: &Arc<CompiledPolicy>,
    before: &MonitorPolicyStatus,
) -> Option<MonitorPolicyStatus> {
    // What the judge knows of a suspended policy is from before it took the suspension.
    let report = match policy.suspended {
        true => None,
        false => {
            let report = sources.judge.report(&policy.key, MAX_LISTED_FINDINGS).await?;
            if (&report.uid, report.generation) != (&policy.uid, policy.generation) {
                return None;
            }
            Some(report)
        }
    };
    let (by_severity, rule_errors) =
        report.as_ref().map(|report| (report.by_severity, report.rule_errors)).unwrap_or_default();
    for (severity, open) in Severity::ALL.into_iter().zip(by_severity) {
        let label = FindingLabel { policy: policy.key.to_string(), severity: severity.as_str() };
        sources.metrics.findings.get_or_create(&label).set(open as i64);
    }
    let label = PolicyLabel { policy: policy.key.to_string() };
    sources.metrics.rule_errors.get_or_create(&label).set(rule_errors as i64);
    let pending = report.as_ref().map_or(0, |report| report.pending);
    sources.metrics.pending.get_or_create(&label).set(pending as i64);
    let states = policy.selections.iter().map(|selection| {
        let reader = Reader { policy: policy.key.clone(), selection: selection.name.clone() };
        sources.board.selection(&reader, policy.needs_namespaces())
    });
    let states: Vec<_> = states.collect();
    let warnings = sources.board.warnings(policy);
    let known = render::Known {
        report: report.as_ref(),
        states: &states,
        warnings: warnings.as_deref(),
        sinks: &sources.alerts.of(&policy.key),
    };
    let now = Timestamp::now();
    let mut status = render::render(policy, known, before, now);
    let outcome = sources.reports.of(&policy.key);
    status.conditions.push(render::reports(policy, outcome.as_ref(), before, now));
    Some(status)
}

#[cfg(test)]
mod tests;
