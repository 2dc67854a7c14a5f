//! Writes what stands and occurred in each policy: a first change at once, further ones a second after the pass before.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::LeftByUid;
use super::findings::{Content, MAX_KEPT, Remembered, name_of};
use crate::api::MonitorPolicy;
use crate::core::finding::PolicyKey;
use crate::core::policy::CompiledPolicy;
use crate::metrics::ErrorKind;
use crate::record::Sources;
use crate::record::store::{Entry, Purpose, Store, StoreError};

/// Between the end of a pass over a policy and the next.
const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// Several changes at once are one pass.
const SETTLE: Duration = Duration::from_millis(100);
/// Longest pause after failed passes.
const MAX_BACKOFF: Duration = Duration::from_secs(60);
/// Passes under way at once.
const CONCURRENT: usize = 4;

/// Runs until `stop` changes; then writes what is owed once more and returns. `left` is what an earlier process wrote.
pub async fn run(sources: Sources, store: Store, left: LeftByUid, mut stop: watch::Receiver<bool>) {
    let accounts = left.into_iter().map(|(uid, left)| (uid, Account::of(left.written)));
    let mut recorder =
        Recorder { sources, store, accounts: accounts.collect(), passes: JoinSet::new(), failing: false };
    // Of policies that went or were suspended while nobody looked.
    recorder.schedule(BTreeSet::new());
    loop {
        let next = recorder.next_due();
        tokio::select! {
            nudged = async { recorder.sources.nudges.take().await } => recorder.schedule(nudged),
            Some(done) = recorder.passes.join_next() => if let Ok(done) = done { recorder.passed(done) },
            () = tokio::time::sleep_until(next) => {}
            _ = stop.changed() => break,
        }
        recorder.start_due(Instant::now());
    }
    recorder.finish().await;
}

/// What is written of one policy.
#[derive(Default)]
struct Account {
    written: Remembered,
    due: Option<Instant>,
    last_pass: Option<Instant>,
    busy: bool,
    failures: u32,
}

impl Account {
    fn of(written: Remembered) -> Self {
        Self { written, ..Self::default() }
    }
}

struct Recorder {
    sources: Sources,
    store: Store,
    /// By UID: a policy that comes in place of one of the same name remembers nothing of it.
    accounts: BTreeMap<Arc<str>, Account>,
    passes: JoinSet<Passed>,
    /// Whether the last pass failed, which is said once.
    failing: bool,
}

struct Passed {
    uid: Arc<str>,
    /// What is written by now, also when the pass failed.
    written: Remembered,
    result: Result<(), StoreError>,
}

impl Recorder {
    fn schedule(&mut self, policies: BTreeSet<PolicyKey>) {
        let now = Instant::now();
        let known = self.sources.published.borrow().policies.clone();
        for policy in policies {
            if let Some(policy) = known.get(&policy) {
                self.accounts.entry(policy.uid.clone()).or_default().put_down(now);
            }
        }
        let remembered = known.values().filter(|policy| !policy.suspended);
        let remembered: HashSet<&Arc<str>> = remembered.map(|policy| &policy.uid).collect();
        self.accounts.retain(|uid, account| {
            if remembered.contains(uid) {
                return true;
            }
            // There is nothing to remember of it any more.
            if !account.written.is_empty() {
                account.put_down(now);
            }
            account.busy || !account.written.is_empty()
        });
    }

    fn next_due(&self) -> Instant {
        let far = Instant::now() + Duration::from_secs(3600);
        if self.passes.len() >= CONCURRENT {
            // The next pass to end makes room.
            return far;
        }
        self.accounts.values().filter(|account| !account.busy).filter_map(|it| it.due).min().unwrap_or(far)
    }

    fn start_due(&mut self, now: Instant) {
        let is_due = |account: &Account| !account.busy && account.due.is_some_and(|due| due <= now);
        let due = self.accounts.iter().filter(|(_, account)| is_due(account));
        let due: Vec<Arc<str>> = due.map(|(uid, _)| uid.clone()).collect();
        for uid in due {
            if self.passes.len() >= CONCURRENT {
                return;
            }
            self.start(&uid);
        }
    }

    fn start(&mut self, uid: &Arc<str>) {
        let Some(account) = self.accounts.get_mut(uid) else { return };
        let policies = self.sources.published.borrow().policies.clone();
        let policy = policies.values().find(|policy| policy.uid == *uid && !policy.suspended).cloned();
        (account.due, account.busy) = (None, true);
        let pass =
            Pass { store: self.store.clone(), uid: uid.clone(), policy, written: account.written.clone() };
        self.passes.spawn(pass.run(self.sources.clone()));
    }

    fn passed(&mut self, done: Passed) {
        let now = Instant::now();
        let Some(account) = self.accounts.get_mut(&done.uid) else { return };
        (account.busy, account.last_pass, account.written) = (false, Some(now), done.written);
        if account.due.is_some() {
            account.due = Some(now + MIN_INTERVAL);
        }
        match done.result {
            Ok(()) => {
                account.failures = 0;
                if std::mem::take(&mut self.failing) {
                    info!("what outlives a restart is written again");
                }
            }
            Err(error) => {
                self.sources.metrics.error(ErrorKind::Memory);
                account.failures = account.failures.saturating_add(1);
                let pause = MIN_INTERVAL.saturating_mul(1 << account.failures.min(6)).min(MAX_BACKOFF);
                account.due = Some(now + pause.mul_f64(0.5 + 0.5 * fastrand::f64()));
                match std::mem::replace(&mut self.failing, true) {
                    true => debug!(%error, "what outlives a restart can still not be written"),
                    false => warn!(
                        %error,
                        "what outlives a restart can not be written; trying again. Until then a restart knows what \
                         status and Events say"
                    ),
                }
            }
        }
        // It may be of a policy that went meanwhile.
        self.schedule(BTreeSet::new());
    }

    /// Writes what is owed, whatever the intervals say, and waits for it.
    async fn finish(mut self) {
        let nudged = self.sources.nudges.take_now();
        self.schedule(nudged);
        while let Some(done) = self.passes.join_next().await {
            done.into_iter().for_each(|done| self.passed(done));
        }
        let owed = self.accounts.iter().filter(|(_, account)| account.due.is_some());
        let owed: Vec<Arc<str>> = owed.map(|(uid, _)| uid.clone()).collect();
        for uid in owed {
            self.start(&uid);
            if self.passes.len() >= CONCURRENT {
                let _ = self.passes.join_next().await;
            }
        }
        while self.passes.join_next().await.is_some() {}
    }
}

impl Account {
    /// Sees to it that there is a pass.
    fn put_down(&mut self, now: Instant) {
        if self.failures > 0 && self.due.is_some() {
            // What is new is in the next attempt, too.
            return;
        }
        let earliest = self.last_pass.map_or(now, |last| last + MIN_INTERVAL).max(now + SETTLE);
        self.due = Some(self.due.map_or(earliest, |due| due.min(earliest)));
    }
}

/// Writes what differs between what is true of one policy and what is written of it.
struct Pass {
    store: Store,
    uid: Arc<str>,
    /// None when there is nothing to remember of it any more.
    policy: Option<Arc<CompiledPolicy>>,
    written: Remembered,
}

impl Pass {
    async fn run(mut self, sources: Sources) -> Passed {
        let result = self.write(&sources).await;
        Passed { uid: self.uid, written: self.written, result }
    }

    async fn write(&mut self, sources: &Sources) -> Result<(), StoreError> {
        let wanted = match &self.policy {
            None => Remembered::default(),
            Some(policy) => match sources.judge.standing(&policy.key, MAX_KEPT).await {
                Some(standing) if standing.uid == self.uid => Remembered::of(&standing, &self.written),
                // The judge has not taken it yet: who assigns it nudges.
                _ => return Ok(()),
            },
        };
        let name = self.policy.as_ref().map(|policy| policy.key.to_string()).unwrap_or_default();
        let owner = self.policy.as_ref().map(|policy| owner(policy));
        for step in self.written.steps_to(&wanted) {
            let entry = format!("{}-{}", name_of(&self.uid), step.name());
            match step.content(&name, &self.uid) {
                Some(content) => {
                    let entry: Entry<Content> = Entry { name: entry, owner: owner.clone(), content };
                    self.store.save(Purpose::Findings, &entry).await?;
                }
                None => self.store.delete(Purpose::Findings, &entry).await?,
            }
            self.written.note(step);
        }
        Ok(())
    }
}

/// What is remembered goes when its policy goes, also while the operator is down.
fn owner(policy: &CompiledPolicy) -> OwnerReference {
    OwnerReference {
        api_version: MonitorPolicy::api_version(&()).into_owned(),
        kind: MonitorPolicy::kind(&()).into_owned(),
        name: policy.key.to_string(),
        uid: policy.uid.to_string(),
        ..OwnerReference::default()
    }
}

#[cfg(test)]
mod tests;
