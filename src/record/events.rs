//! Kubernetes Events (`events.k8s.io/v1`) on the policy and on the offending object, when a finding opens, when it
//! resolves, and when a change occurs that a rule does not allow.
//!
//! What is owed is the difference between what is open and what was told, so a burst of changes costs what it
//! comes to. Each policy has a budget; what it holds back stays owed, worst first, and one summary Event on the
//! policy says so. An Event that happens again is a series of the one that exists.

mod format;
mod owed;
mod writer;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, warn};

use format::{Reason, Subject};
pub use format::{Told, happened, parse};
use owed::{Owed, Truth, owed};
use writer::{WriteError, Writer};

use super::Sources;
use crate::budget::Budget;
use crate::core::finding::{Finding, FindingKey, OccurrenceId, PolicyKey};
use crate::core::policy::CompiledPolicy;
use crate::metrics::{ErrorKind, PolicyLabel};

/// Findings of one policy that may open or resolve with Events of their own at once.
pub const BURST: u32 = 50;
/// And after that one in this time: at most 650 an hour, the time for which API servers keep Events.
pub const REFILL: Duration = Duration::from_secs(6);
/// Between two summary Events of one policy.
const SUMMARY_INTERVAL: Duration = Duration::from_secs(60);
/// Owed Events are tried again this often, and less often after failures.
const RETRY: Duration = Duration::from_secs(2);
/// After a refusal, Events of that policy rest for this long.
const REFUSED: Duration = Duration::from_secs(60);

/// What was told and has not been taken back, by policy.
pub type ToldByPolicy = HashMap<PolicyKey, Announced>;

/// What was told of one policy.
#[derive(Debug, Clone, Default)]
pub struct Announced {
    /// Findings that opened and were not taken back.
    pub findings: HashMap<FindingKey, Arc<Finding>>,
    /// Of the occurrences that are kept, those that were told.
    pub occurrences: HashSet<OccurrenceId>,
}

/// Runs until `stop` changes; then tells what the budget still allows and returns. `told` is what an earlier
/// process told; `instance` names this process.
pub async fn run(sources: Sources, told: ToldByPolicy, instance: String, mut stop: watch::Receiver<bool>) {
    let mut owing: BTreeSet<PolicyKey> = told.keys().cloned().collect();
    let mut recorder = Recorder {
        policies: told.into_iter().map(|(policy, told)| (policy, Account::new(told))).collect(),
        writer: Writer { client: sources.client.clone(), instance },
        sources,
    };
    loop {
        let stopping = tokio::select! {
            nudged = async { recorder.sources.nudges.take().await } => { owing.extend(nudged); false }
            () = tokio::time::sleep(RETRY.mul_f64(0.8 + 0.4 * fastrand::f64())), if !owing.is_empty() => false,
            _ = stop.changed() => { owing.extend(recorder.sources.nudges.take_now()); true }
        };
        for policy in std::mem::take(&mut owing) {
            if recorder.tell(&policy).await == Owes::Something {
                owing.insert(policy);
            }
        }
        if stopping {
            return;
        }
    }
}

struct Recorder {
    sources: Sources,
    policies: HashMap<PolicyKey, Account>,
    writer: Writer,
}

/// What was told of one policy, and what it may still spend.
struct Account {
    /// UID of the policy; none before it was first looked at.
    uid: Option<Arc<str>>,
    told: Announced,
    budget: Budget,
    /// Whether the budget held something back when it was last asked.
    held_back: bool,
    summary_at: Option<Instant>,
    resting_until: Option<Instant>,
    /// The generation of which it was told that it does not fit the schemas.
    warned: Option<i64>,
    /// Failed attempts in a row.
    failures: u32,
}

#[derive(PartialEq)]
enum Owes {
    Nothing,
    Something,
}

impl Recorder {
    /// Tells what is owed of one policy, as far as its budget goes.
    async fn tell(&mut self, key: &PolicyKey) -> Owes {
        let policy = {
            let published = self.sources.published.borrow();
            if !published.loaded {
                return Owes::Something;
            }
            published.policies.get(key).cloned()
        };
        let now = Instant::now();
        let account = self.policies.entry(key.clone()).or_insert_with(|| Account::new(Announced::default()));
        account.meet(policy.as_deref());
        if account.resting_until.is_some_and(|until| until > now) {
            return Owes::Something;
        }
        let summary_due = account.summary_at.is_none_or(|at| at + SUMMARY_INTERVAL <= now);
        if account.held_back && policy.is_some() && !account.budget.has_one(now) && !summary_due {
            // Whatever is owed by now, nothing of it may be told.
            return Owes::Something;
        }
        let (open, settled) = self.sources.judge.open(key).await;
        let history = self.sources.judge.history(key).await;
        account.told.occurrences.retain(|id| history.latest().any(|occurrence| occurrence.id() == *id));
        let truth = Truth { policy: policy.as_deref(), open: &open, settled: &settled, history: &history };
        let mut held_back = 0;
        let subject = Subject::new(key, policy.as_deref());
        for owed in owed(&account.told, &truth) {
            let finding = &owed.finding;
            if !account.budget.take(now) {
                held_back += 1;
                continue;
            }
            match self.writer.tell(&subject, &owed).await {
                Ok(written) => {
                    self.sources.metrics.events_written.inc_by(written);
                }
                Err(WriteError::Useless(why)) => {
                    debug!(policy = %key, object = %finding.object, why, "no Event for this object");
                }
                Err(WriteError::Rejected(error)) => {
                    self.sources.metrics.error(ErrorKind::EventWrite);
                    warn!(policy = %key, object = %finding.object, %error, "the API server takes no such Event; it is left out");
                }
                Err(WriteError::Failed { error, refused }) => {
                    self.sources.metrics.error(ErrorKind::EventWrite);
                    warn!(policy = %key, object = %finding.object, %error, "Event can not be written; trying again");
                    account.rest(refused, now);
                    return Owes::Something;
                }
            }
            account.failures = 0;
            account.note(owed);
        }
        if let Some(policy) = &policy
            && account.warned != Some(policy.generation)
            && let Some(warnings) = self.sources.board.warnings(policy).filter(|w| !w.listed.is_empty())
        {
            if account.budget.take(now) {
                match self.writer.warn(&subject, policy.generation, &warnings).await {
                    Err(WriteError::Failed { error, refused }) => {
                        self.sources.metrics.error(ErrorKind::EventWrite);
                        warn!(policy = %key, %error, "Event can not be written; trying again");
                        account.rest(refused, now);
                        return Owes::Something;
                    }
                    // Nothing that another attempt would change.
                    written => self.sources.metrics.events_written.inc_by(written.unwrap_or_default()),
                };
                account.warned = Some(policy.generation);
            } else {
                held_back += 1;
            }
        }
        if policy.is_none() {
            // There is nothing left to describe, and nobody to owe anything to.
            self.policies.remove(key);
            self.sources.metrics.forget_policy(&key.0);
            return Owes::Nothing;
        }
        let label = PolicyLabel { policy: key.to_string() };
        self.sources.metrics.events_held_back.get_or_create(&label).set(held_back);
        account.held_back = held_back > 0;
        if held_back == 0 {
            return Owes::Nothing;
        }
        if summary_due {
            account.summary_at = Some(now);
            if let Err(error) = self.writer.summarise(&subject).await {
                self.sources.metrics.error(ErrorKind::EventWrite);
                debug!(policy = %key, ?error, "summary Event can not be written");
            }
        }
        Owes::Something
    }
}

impl Account {
    fn new(told: Announced) -> Self {
        Self {
            uid: None,
            told,
            budget: Budget::new(BURST, REFILL, Instant::now()),
            held_back: false,
            summary_at: None,
            resting_until: None,
            warned: None,
            failures: 0,
        }
    }

    /// Forgets what was told of another policy of the same name, and of one that is suspended: its findings are
    /// forgotten, not resolved, and told again when it is judged again.
    fn meet(&mut self, policy: Option<&CompiledPolicy>) {
        let Some(policy) = policy else { return };
        let other = self.uid.replace(policy.uid.clone()).is_some_and(|uid| uid != policy.uid);
        if other || policy.suspended {
            self.told = Announced::default();
        }
        if other {
            self.warned = None;
        }
    }

    fn note(&mut self, owed: Owed) {
        let Owed { reason, finding, occurrence } = owed;
        match reason {
            Reason::FindingOpened => drop(self.told.findings.insert(finding.key.clone(), finding)),
            Reason::FindingResolved => drop(self.told.findings.remove(&finding.key)),
            Reason::ChangeOccurred => self.told.occurrences.extend(occurrence.map(|o| o.id())),
            Reason::EventsHeldBack | Reason::SchemaWarnings => {}
        }
    }

    fn rest(&mut self, refused: bool, now: Instant) {
        let pause = if refused { REFUSED } else { RETRY * (1 << self.failures.min(4)) };
        self.failures = self.failures.saturating_add(1);
        self.resting_until = Some(now + pause.mul_f64(0.8 + 0.4 * fastrand::f64()));
    }
}
