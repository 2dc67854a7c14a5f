//! Every open finding as OpenReports (`openreports.io/v1alpha1`): those on objects of a namespace in Reports beside them,
//! those on cluster scoped objects and on groups in ClusterReports, and one ClusterReport with the totals of each policy.
//!
//! The findings of a policy in one namespace are slices, as endpoints of a Service are: each at most so many bytes, and
//! which finding is in which follows from the findings alone (`core::slices`). So a finding that changes is one write,
//! one that opens or resolves is another one for the totals, and a process that starts and finds what it would write
//! writes nothing. What is owed is the difference between what should be there and what is; new reports come before old
//! ones go, so that no finding is missing in between. Where the API is not installed, or may not be used, the condition
//! `Reports` of each policy says so ([`Outcomes`]), and the rest of the operator goes on.

mod format;
mod outcome;
mod plan;
mod writer;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::RandomState;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, info, warn};

pub use outcome::{Outcome, Outcomes};

use format::{Body, Found, Place, Subject};
use plan::{Memory, Plan, Truth};
use writer::ReportError;

use super::Sources;
use crate::budget::Budget;
use crate::core::finding::{Finding, PolicyKey};
use crate::core::policy::CompiledPolicy;
use crate::metrics::{ErrorKind, PolicyLabel};

/// Most bytes of the findings in one report, as JSON. API servers take 3 MiB, etcd 1.5 MiB; whoever reads one reads all
/// of it, and whoever changes one finding writes all of it.
pub const MAX_SLICE_LEN: usize = 128 * 1024;
/// Most findings of one policy that reports list, the worst first; the totals count all.
pub const MAX_LISTED: usize = 10_000;
/// Writes of all policies at once.
const BURST: u32 = 20;
/// And after that one in this time: 20 a second.
const REFILL: Duration = Duration::from_millis(50);
/// Writes under way at once.
const CONCURRENT: usize = 4;
/// Between two looks at one policy.
const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// Several changes at once are one look.
const SETTLE: Duration = Duration::from_millis(100);
/// Longest pause after failed writes of one policy.
const MAX_BACKOFF: Duration = Duration::from_secs(60);
/// After the API was not there, it is asked again.
const NOT_INSTALLED: Duration = Duration::from_secs(10);
/// After a refusal.
const REFUSED: Duration = Duration::from_secs(30);
/// Longest pause after a failed look at what there is.
const MAX_READ_BACKOFF: Duration = Duration::from_secs(30);
/// What others did to reports is noticed within this time, and a kind that is no longer served.
const LOOK_AGAIN: Duration = Duration::from_secs(300);
/// The totals of a policy of which not everything is known yet are left as they are for this long.
const TAKEOVER: Duration = Duration::from_secs(30);

/// Runs until `stop` changes; then writes what the rate still allows and returns.
pub async fn run(sources: Sources, mut stop: watch::Receiver<bool>) {
    let now = Instant::now();
    let mut recorder = Recorder {
        sources,
        hasher: RandomState::new(),
        budget: Budget::new(BURST, REFILL, now),
        room: Arc::new(Semaphore::new(CONCURRENT)),
        access: Access::Unknown { again: now, failures: 0, trouble: None },
        inherited: false,
        accounts: BTreeMap::new(),
        writes: JoinSet::new(),
    };
    loop {
        let next = recorder.next_due();
        tokio::select! {
            nudged = async { recorder.sources.nudges.take().await } => recorder.schedule(nudged),
            Some(done) = recorder.writes.join_next() => if let Ok(done) = done { recorder.done(done) },
            () = tokio::time::sleep_until(next) => {}
            _ = stop.changed() => break,
        }
        tokio::select! {
            () = recorder.work() => {}
            _ = stop.changed() => break,
        }
    }
    recorder.finish().await;
}

struct Recorder {
    sources: Sources,
    hasher: RandomState,
    /// Of all writes.
    budget: Budget,
    room: Arc<Semaphore>,
    access: Access,
    /// Whether what an earlier process left was read.
    inherited: bool,
    accounts: BTreeMap<PolicyKey, Account>,
    writes: JoinSet<Done>,
}

/// Whether the reports in the cluster are known.
enum Access {
    /// They are not: it is not known whether the API is there, or may be used.
    Unknown { again: Instant, failures: u32, trouble: Option<Outcome> },
    /// All were read; whether they still are what they were is looked at again.
    Known { again: Instant },
}

/// The reports of one policy, by its name.
#[derive(Default)]
struct Account {
    due: Option<Instant>,
    /// When it was first and last looked at.
    first: Option<Instant>,
    last: Option<Instant>,
    memory: Memory,
    /// What is in the cluster.
    written: BTreeMap<Place, Written>,
    /// What is being written or deleted.
    busy: BTreeSet<Place>,
    /// Failed writes in a row.
    failures: u32,
    /// What the API server will not take, until it is looked at again.
    rejected: Option<String>,
}

struct Written {
    /// A hash of what it says; none when that is not known, or is no longer so.
    digest: Option<u64>,
    /// Its version; empty when the write came to nothing, and will until something else changes.
    version: String,
}

struct Done {
    policy: PolicyKey,
    place: Place,
    result: Result<Change, ReportError>,
    /// What it was to say; none when it was to go.
    digest: Option<u64>,
}

enum Change {
    Written { version: String },
    Deleted,
}

enum Task {
    Write(Box<Body>, u64),
    Delete,
}

impl Recorder {
    fn schedule(&mut self, policies: BTreeSet<PolicyKey>) {
        let now = Instant::now();
        for policy in policies {
            if let Access::Unknown { trouble: Some(trouble), .. } = &self.access {
                self.tell(&policy, trouble.clone());
            }
            let account = self.accounts.entry(policy).or_default();
            if account.failures > 0 && account.due.is_some() {
                // What is new is in the next attempt, too.
                continue;
            }
            let earliest = account.last.map_or(now, |last| last + MIN_INTERVAL).max(now + SETTLE);
            account.due = Some(account.due.map_or(earliest, |due| due.min(earliest)));
        }
    }

    fn next_due(&self) -> Instant {
        match &self.access {
            Access::Unknown { again, .. } if self.writes.is_empty() => *again,
            // What is under way comes first, and tells when it is done.
            Access::Unknown { .. } => Instant::now() + MAX_BACKOFF,
            Access::Known { again } => {
                let due = self.accounts.values().filter_map(|account| account.due).min();
                match due.map_or(*again, |due| due.min(*again)) {
                    // Likewise, before all is looked at again.
                    _ if *again <= Instant::now() && !self.writes.is_empty() => Instant::now() + MAX_BACKOFF,
                    next => next,
                }
            }
        }
    }

    /// Whatever is due by now.
    async fn work(&mut self) {
        let now = Instant::now();
        let (again, failures) = match &self.access {
            Access::Known { again } => (*again, None),
            Access::Unknown { again, failures, .. } => (*again, Some(*failures)),
        };
        if again <= now {
            // It would be compared with what is being written.
            if !self.writes.is_empty() {
                return;
            }
            match failures {
                Some(failures) => self.read(failures).await,
                None => self.look_again().await,
            }
        }
        for policy in self.due(now) {
            if matches!(self.access, Access::Unknown { .. }) {
                return;
            }
            self.look(&policy).await;
        }
    }

    /// The policies that are due, those first that wait longest.
    fn due(&self, now: Instant) -> Vec<PolicyKey> {
        let due = self.accounts.iter().filter_map(|(policy, account)| Some((account.due?, policy)));
        let mut due: Vec<_> = due.filter(|(due, _)| *due <= now).collect();
        due.sort();
        due.into_iter().map(|(_, policy)| policy.clone()).collect()
    }

    /// Reads what is in the cluster, and whether anything may be.
    async fn read(&mut self, failures: u32) {
        if !self.sources.published.borrow().loaded {
            self.access = Access::Unknown { again: Instant::now() + MIN_INTERVAL, failures, trouble: None };
            return;
        }
        match writer::read(&self.sources.client).await {
            Ok(found) => self.take_over(found),
            Err(error) => self.lose(error, failures.saturating_add(1)),
        }
    }

    fn take_over(&mut self, found: Vec<Found>) {
        let now = Instant::now();
        if !found.is_empty() && !self.inherited {
            info!(reports = found.len(), "read the reports of an earlier process");
        }
        self.accounts.values_mut().for_each(|account| account.written.clear());
        let policies = self.sources.published.borrow().policies.clone();
        for found in found {
            let (key, uid) = found.policy;
            let account = self.accounts.entry(key.clone()).or_default();
            let digests = found.results.iter().map(|result| result.measure(&self.hasher).1);
            let digest = found.head.map(|head| format::digest(&head, digests, &self.hasher));
            account.written.insert(found.place, Written { digest, version: found.version });
            let is_same = policies.get(&key).is_some_and(|policy| !policy.suspended && *policy.uid == *uid);
            // What this process knows by now is newer.
            if is_same && !self.inherited {
                account.memory.inherit(&uid, found.results);
            }
        }
        self.inherited = true;
        for policy in policies.keys() {
            self.accounts.entry(policy.clone()).or_default();
        }
        for account in self.accounts.values_mut() {
            account.due.get_or_insert(now);
            (account.failures, account.rejected) = (0, None);
        }
        self.access = Access::Known { again: now + LOOK_AGAIN.mul_f64(0.8 + 0.4 * fastrand::f64()) };
    }

    /// Compares what was written with what is there now: others may have changed or deleted it.
    async fn look_again(&mut self) {
        let found = match writer::look(&self.sources.client).await {
            Ok(found) => found,
            Err(ReportError::Failed(error)) => {
                debug!(error, "what became of the reports can not be looked at");
                self.access = Access::Known { again: Instant::now() + MAX_READ_BACKOFF };
                return;
            }
            Err(error) => return self.lose(error, 0),
        };
        let now = Instant::now();
        for account in self.accounts.values_mut() {
            let before = account.written.len();
            account.written.retain(|place, written| {
                found.get(place).is_some_and(|found| found.version == written.version)
            });
            if account.written.len() != before || account.rejected.take().is_some() {
                account.due.get_or_insert(now);
            }
        }
        for (place, found) in found {
            let account = self.accounts.entry(found.policy.0).or_default();
            account.written.entry(place).or_insert_with(|| {
                account.due.get_or_insert(now);
                Written { digest: None, version: found.version }
            });
        }
        self.access = Access::Known { again: now + LOOK_AGAIN.mul_f64(0.8 + 0.4 * fastrand::f64()) };
    }

    /// Nothing can be written any more, of no policy.
    fn lose(&mut self, error: ReportError, failures: u32) {
        let (pause, outcome) = match error {
            ReportError::NotInstalled(kind) => (NOT_INSTALLED, Outcome::NotInstalled(kind)),
            ReportError::Refused(why) => (REFUSED, Outcome::Forbidden(why)),
            ReportError::Failed(why) | ReportError::Rejected(why) => {
                let pause = MIN_INTERVAL.saturating_mul(1 << failures.min(5)).min(MAX_READ_BACKOFF);
                (pause, Outcome::Failed(why))
            }
            ReportError::Useless => (MIN_INTERVAL, Outcome::Failed("reports can not be read".into())),
        };
        let before = match &self.access {
            Access::Unknown { trouble, .. } => trouble.as_ref(),
            Access::Known { .. } => None,
        };
        if before != Some(&outcome) {
            match &outcome {
                // It is no error to do without.
                Outcome::NotInstalled(kind) => {
                    info!(
                        kind,
                        "the API server does not serve openreports.io; no reports are written until it does"
                    )
                }
                outcome => {
                    self.sources.metrics.error(ErrorKind::ReportWrite);
                    warn!(?outcome, "reports can not be written; trying again");
                }
            }
        }
        let policies = self.sources.published.borrow().policies.clone();
        policies.keys().for_each(|policy| self.tell(policy, outcome.clone()));
        let again = Instant::now() + pause.mul_f64(0.8 + 0.4 * fastrand::f64());
        self.access = Access::Unknown { again, failures, trouble: Some(outcome) };
    }

    /// Compares what should be there of one policy with what is, and begins to write the difference as far as the rate
    /// allows.
    async fn look(&mut self, key: &PolicyKey) {
        let now = Instant::now();
        let policy = self.sources.published.borrow().policies.get(key).cloned();
        let Some(account) = self.accounts.get_mut(key) else {
            return;
        };
        if !self.budget.has_one(now) {
            // Whatever is owed by now, none of it may be written.
            account.due = Some(now + SETTLE);
            return;
        }
        let judged = policy.as_ref().filter(|policy| !policy.suspended);
        let (plan, subject) = match judged {
            // What the judge knows of a suspended policy is from before it took the suspension.
            None => (Plan::default(), None),
            Some(policy) => {
                let Some((open, settled)) = truth(&self.sources, policy).await else {
                    // The judge tells when it has taken this generation.
                    account.due = None;
                    return;
                };
                let truth = Truth { policy, open: &open, settled: &settled };
                let plan = account.memory.plan(&truth, &self.hasher);
                (plan, Some(Subject { key: &policy.key, uid: &policy.uid }))
            }
        };
        if subject.is_none() {
            // When it is judged again, it begins anew.
            (account.memory, account.first) = (Memory::default(), None);
        }
        (account.due, account.last) = (None, Some(now));
        let known_by = subject.map(|_| *account.first.get_or_insert(now) + TAKEOVER);
        let waits_until = known_by.filter(|until| *until > now && !plan.totals.not_known.is_empty());
        let owed = owed(&plan, account, waits_until.is_some());
        let is_done = owed.is_empty() && account.busy.is_empty() && waits_until.is_none();
        let tasks = owed.tasks(&plan, subject.as_ref(), &mut self.budget, now);
        let held_back = owed.len() - tasks.len();
        let again = (held_back > 0).then_some(now + MIN_INTERVAL);
        // Nothing else may tell when a time is over.
        account.due = again.into_iter().chain(waits_until).min();
        account.busy.extend(tasks.iter().map(|(place, _)| place.clone()));
        let outcome = match &account.rejected {
            Some(why) => Outcome::Failed(why.clone()),
            None if plan.totals.listed < plan.totals.open => Outcome::Truncated(plan.totals.open),
            None => Outcome::Written,
        };
        for (place, task) in tasks {
            self.begin(key.clone(), place, task);
        }
        if policy.is_none() && is_done {
            // There is nothing left to report.
            self.accounts.remove(key);
            self.sources.metrics.forget_policy(&key.0);
            self.sources.reports.forget(key);
            return;
        }
        if policy.is_some() {
            let label = PolicyLabel { policy: key.to_string() };
            self.sources.metrics.reports_held_back.get_or_create(&label).set(held_back as i64);
        }
        if is_done {
            self.tell(key, outcome);
        }
    }

    fn begin(&mut self, policy: PolicyKey, place: Place, task: Task) {
        let (client, room) = (self.sources.client.clone(), self.room.clone());
        self.writes.spawn(async move {
            // It is never closed.
            let _room = room.acquire().await;
            let (result, digest) = match task {
                Task::Write(body, digest) => {
                    let written = writer::write(&client, &place, &body).await;
                    (written.map(|version| Change::Written { version }), Some(digest))
                }
                Task::Delete => (writer::delete(&client, &place).await.map(|()| Change::Deleted), None),
            };
            Done { policy, place, result, digest }
        });
    }

    fn done(&mut self, done: Done) {
        let Done { policy, place, result, digest } = done;
        let Some(account) = self.accounts.get_mut(&policy) else {
            return;
        };
        account.busy.remove(&place);
        let now = Instant::now();
        // Whether that was all is found out by looking once more.
        let next = account.last.map_or(now, |last| last + MIN_INTERVAL);
        match result {
            Ok(change) => {
                self.sources.metrics.report_writes.inc();
                account.failures = 0;
                match change {
                    Change::Written { version } => {
                        drop(account.written.insert(place, Written { digest, version }))
                    }
                    Change::Deleted => drop(account.written.remove(&place)),
                }
            }
            Err(ReportError::Useless) => {
                debug!(%policy, ?place, "no report for a namespace that is gone or going");
                account.give_up(place, digest);
            }
            Err(ReportError::Rejected(why)) => {
                self.sources.metrics.error(ErrorKind::ReportWrite);
                warn!(%policy, ?place, error = why, "the API server takes no such report; it is left out");
                account.give_up(place, digest);
                account.rejected = Some(why);
            }
            Err(ReportError::Failed(why)) => {
                self.sources.metrics.error(ErrorKind::ReportWrite);
                warn!(%policy, ?place, error = why, "report can not be written; trying again");
                account.failures = account.failures.saturating_add(1);
                let pause = MIN_INTERVAL.saturating_mul(1 << account.failures.min(6)).min(MAX_BACKOFF);
                account.due = Some(now + pause.mul_f64(0.5 + 0.5 * fastrand::f64()));
                self.tell(&policy, Outcome::Failed(why));
                return;
            }
            Err(error @ (ReportError::NotInstalled(_) | ReportError::Refused(_))) => {
                account.due.get_or_insert(next);
                // Those that are under way will say the same.
                if matches!(self.access, Access::Known { .. }) {
                    self.lose(error, 0);
                }
                return;
            }
        }
        if account.busy.is_empty() && account.failures == 0 {
            account.due = Some(account.due.map_or(next, |due| due.min(next)));
        }
    }

    fn tell(&self, policy: &PolicyKey, outcome: Outcome) {
        if self.sources.published.borrow().policies.contains_key(policy) {
            self.sources.reports.set(policy, outcome);
        }
    }

    /// Writes of what is owed as much as the rate allows, and waits for it.
    async fn finish(mut self) {
        self.schedule(self.sources.nudges.take_now());
        let owing = self.accounts.iter().filter(|(_, account)| account.due.is_some());
        let owing: Vec<PolicyKey> = owing.map(|(policy, _)| policy.clone()).collect();
        for policy in owing {
            if matches!(self.access, Access::Known { .. }) {
                self.look(&policy).await;
            }
        }
        while let Some(Ok(done)) = self.writes.join_next().await {
            self.done(done);
        }
    }
}

impl Account {
    /// Takes what can not be written as written, until it is another, or others are looked at again.
    fn give_up(&mut self, place: Place, digest: Option<u64>) {
        match digest {
            Some(_) => drop(self.written.insert(place, Written { digest, version: String::new() })),
            None => drop(self.written.remove(&place)),
        }
    }
}

/// The difference between what should be there and what is, without what is under way.
struct Owed {
    /// Written first: nothing goes before what comes in its place.
    writes: Vec<Place>,
    /// Not while anything is being written.
    deletions: Vec<Place>,
}

impl Owed {
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn len(&self) -> usize {
        self.writes.len() + self.deletions.len()
    }

    /// As many as the budget allows.
    fn tasks(
        &self,
        plan: &Plan,
        subject: Option<&Subject<'_>>,
        budget: &mut Budget,
        now: Instant,
    ) -> Vec<(Place, Task)> {
        let write = |place: &Place| {
            let (wanted, subject) = (plan.reports.get(place)?, subject?);
            let body = Box::new(wanted.body(subject, place));
            Some((place.clone(), Task::Write(body, wanted.digest)))
        };
        let delete = |place: &Place| Some((place.clone(), Task::Delete));
        let mut may = move || budget.take(now);
        let mut tasks = Vec::new();
        for place in &self.writes {
            if !may() {
                return tasks;
            }
            tasks.extend(write(place));
        }
        if self.writes.is_empty() {
            tasks.extend(self.deletions.iter().take_while(|_| may()).filter_map(delete));
        }
        tasks
    }
}

/// What is owed. Totals that would say less than is known by those before (`waits`) are not; nor does anything go while
/// something is being written.
fn owed(plan: &Plan, account: &Account, waits: bool) -> Owed {
    let differs = |place: &Place, digest: u64| {
        account.written.get(place).is_none_or(|written| written.digest != Some(digest))
    };
    let writes = plan.reports.iter().filter(|(place, wanted)| differs(place, wanted.digest));
    let writes = writes.map(|(place, _)| place).filter(|place| !account.busy.contains(*place));
    let writes = writes.filter(|place| !(waits && plan.overview.as_ref() == Some(*place)));
    let deletions = account.written.keys().filter(|place| !plan.reports.contains_key(*place));
    let deletions = deletions.filter(|_| account.busy.is_empty());
    Owed { writes: writes.cloned().collect(), deletions: deletions.cloned().collect() }
}

/// What is open, and the selections of which that is all there is to know; none while the judge has not taken the
/// present generation.
async fn truth(sources: &Sources, policy: &CompiledPolicy) -> Option<(Vec<Arc<Finding>>, HashSet<Arc<str>>)> {
    let report = sources.judge.report(&policy.key, 0).await?;
    if (&report.uid, report.generation) != (&policy.uid, policy.generation) {
        return None;
    }
    // Whatever was settled then is so still, or was wrong to begin with.
    let (open, _) = sources.judge.open(&policy.key).await;
    let settled = report.selections.iter().filter(|selection| selection.settled);
    let mut settled: HashSet<Arc<str>> = settled.map(|selection| selection.name.clone()).collect();
    let mut judged = policy.selections.iter().filter(|selection| selection.is_judged());
    if judged.all(|selection| settled.contains(&selection.name)) {
        // Groups, in a selection without a name.
        settled.insert("".into());
    }
    Some((open, settled))
}

#[cfg(test)]
mod tests;
