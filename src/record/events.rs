//! Kubernetes Events (`events.k8s.io/v1`) on the policy and on the offending object, when a finding opens and
//! when it resolves.
//!
//! What is owed is the difference between what is open and what was told, so a burst of changes costs what it
//! comes to. Each policy has a budget; what it holds back stays owed, worst first, and one summary Event on the
//! policy says how much that is. An Event that happens again is a series of the one that exists.

mod format;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::events::v1::Event;
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, warn};

use format::{Reason, Subject};
pub use format::{Told, parse};

use super::{Sources, WRITE_TIMEOUT};
use crate::api::FIELD_MANAGER;
use crate::budget::Budget;
use crate::core::finding::{Finding, FindingKey, PolicyKey};
use crate::metrics::{ErrorKind, PolicyLabel};

/// Findings of one policy that may open or resolve with Events of their own at once.
pub const BURST: u32 = 50;
/// And after that one in this time: at most 650 an hour, the time for which API servers keep Events.
pub const REFILL: Duration = Duration::from_secs(6);
/// Between two summary Events of one policy.
const SUMMARY_INTERVAL: Duration = Duration::from_secs(60);
/// Owed Events are tried again this often.
const RETRY: Duration = Duration::from_secs(2);
/// After a refusal, Events of that policy rest for this long.
const REFUSED: Duration = Duration::from_secs(60);

/// What an earlier process told, by policy.
pub type ToldByPolicy = HashMap<PolicyKey, HashMap<FindingKey, Arc<Finding>>>;

/// Runs until `stop` changes; then tells what the budget still allows and returns. `told` is what an earlier
/// process told; `instance` names this process.
pub async fn run(sources: Sources, told: ToldByPolicy, instance: String, mut stop: watch::Receiver<bool>) {
    let mut recorder = Recorder {
        policies: told
            .into_iter()
            .map(|(policy, told)| (policy, Ledger::new(told)))
            .collect(),
        writer: Writer {
            client: sources.client.clone(),
            instance,
        },
        sources,
    };
    let mut owing: BTreeSet<PolicyKey> = recorder.policies.keys().cloned().collect();
    loop {
        let stopping = tokio::select! {
            nudged = async { recorder.sources.nudges.take().await } => { owing.extend(nudged); false }
            () = tokio::time::sleep(RETRY), if !owing.is_empty() => false,
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
    policies: HashMap<PolicyKey, Ledger>,
    writer: Writer,
}

/// What was told of one policy.
struct Ledger {
    /// UID of the policy, once known.
    uid: Option<Arc<str>>,
    told: HashMap<FindingKey, Arc<Finding>>,
    budget: Budget,
    summary_at: Option<Instant>,
    resting_until: Option<Instant>,
    /// Failed attempts in a row.
    failures: u32,
}

impl Ledger {
    fn new(told: HashMap<FindingKey, Arc<Finding>>) -> Self {
        Self {
            uid: None,
            told,
            budget: Budget::new(BURST, REFILL, Instant::now()),
            summary_at: None,
            resting_until: None,
            failures: 0,
        }
    }
}

#[derive(PartialEq)]
enum Owes {
    Nothing,
    Something,
}

impl Recorder {
    async fn tell(&mut self, key: &PolicyKey) -> Owes {
        let policy = {
            let published = self.sources.published.borrow();
            if !published.loaded {
                return Owes::Something;
            }
            published.policies.get(key).cloned()
        };
        let now = Instant::now();
        let ledger = self
            .policies
            .entry(key.clone())
            .or_insert_with(|| Ledger::new(HashMap::new()));
        if let Some(policy) = &policy
            && ledger.uid.as_ref() != Some(&policy.uid)
        {
            // A policy of the same name that was created later has been told nothing.
            if ledger.uid.replace(policy.uid.clone()).is_some() {
                ledger.told.clear();
            }
        }
        if ledger.resting_until.is_some_and(|until| until > now) {
            return Owes::Something;
        }
        let (open, settled) = self.sources.judge.open(key);
        let still_open: HashSet<&FindingKey> = open.iter().map(|finding| &finding.key).collect();
        let opened = open
            .iter()
            .filter(|finding| !ledger.told.contains_key(&finding.key));
        // Not open may mean not known yet, unless the selection is complete or gone.
        let known = |selection: &Arc<str>| {
            settled.contains(selection)
                || policy
                    .as_ref()
                    .is_none_or(|p| p.selections.iter().all(|s| s.name != *selection))
        };
        let suspended = policy.as_ref().is_some_and(|policy| policy.suspended);
        let resolved = ledger.told.values().filter(|finding| {
            !suspended && !still_open.contains(&finding.key) && known(&finding.key.selection)
        });
        let owed: Vec<(Reason, Arc<Finding>)> = opened
            .map(|finding| (Reason::FindingOpened, finding.clone()))
            .chain(resolved.map(|finding| (Reason::FindingResolved, finding.clone())))
            .collect();
        if suspended {
            // Forgotten, not resolved; told again when the policy is judged again.
            ledger.told.clear();
        }
        let subject = match &policy {
            Some(policy) => Subject {
                name: key.clone(),
                uid: policy.uid.clone(),
                exists: true,
            },
            None => Subject {
                name: key.clone(),
                uid: "".into(),
                exists: false,
            },
        };
        let mut held_back = 0;
        for (reason, finding) in owed {
            if !ledger.budget.take(now) {
                held_back += 1;
                continue;
            }
            match self.writer.tell(&subject, reason, &finding).await {
                Ok(()) => self
                    .sources
                    .metrics
                    .events_written
                    .inc_by(if subject.exists { 2 } else { 1 }),
                Err(WriteError::Useless(why)) => {
                    debug!(policy = %key, object = %finding.object, why, "no Event for this object");
                    0
                }
                Err(WriteError::Failed { error, refused }) => {
                    self.sources.metrics.error(ErrorKind::EventWrite);
                    warn!(policy = %key, object = %finding.object, %error, "Event can not be written; trying again");
                    ledger.failures = ledger.failures.saturating_add(1);
                    let rest = if refused {
                        REFUSED
                    } else {
                        RETRY * (1 << (ledger.failures.min(5) - 1))
                    };
                    ledger.resting_until = Some(now + rest);
                    return Owes::Something;
                }
            };
            ledger.failures = 0;
            match reason {
                Reason::FindingOpened => ledger.told.insert(finding.key.clone(), finding),
                Reason::FindingResolved => ledger.told.remove(&finding.key),
                Reason::EventsHeldBack => None,
            };
        }
        let label = PolicyLabel {
            policy: key.to_string(),
        };
        if !subject.exists {
            // There is nothing left to describe.
            self.policies.remove(key);
            self.sources.metrics.forget_policy(&key.0);
            return Owes::Nothing;
        }
        self.sources
            .metrics
            .events_held_back
            .get_or_create(&label)
            .set(held_back);
        if held_back == 0 {
            return Owes::Nothing;
        }
        if ledger.summary_at.is_none_or(|at| at + SUMMARY_INTERVAL <= now) {
            ledger.summary_at = Some(now);
            if let Err(WriteError::Failed { error, .. }) = self.writer.summarise(&subject).await {
                self.sources.metrics.error(ErrorKind::EventWrite);
                warn!(policy = %key, %error, "summary Event can not be written");
            }
        }
        Owes::Something
    }
}

enum WriteError {
    /// The object's namespace is gone or going: nobody could read the Event.
    Useless(&'static str),
    Failed {
        error: String,
        refused: bool,
    },
}

struct Writer {
    client: Client,
    instance: String,
}

impl Writer {
    async fn tell(&self, subject: &Subject, reason: Reason, finding: &Finding) -> Result<(), WriteError> {
        let now = Timestamp::now();
        if subject.exists {
            self.write(format::on_policy(subject, reason, finding, &self.instance, now))
                .await?;
        }
        self.write(format::on_object(subject, reason, finding, &self.instance, now))
            .await
    }

    async fn summarise(&self, subject: &Subject) -> Result<(), WriteError> {
        self.write(format::summary(subject, &self.instance, Timestamp::now()))
            .await
    }

    /// Creates the Event, or makes it a series when it exists.
    async fn write(&self, event: Event) -> Result<(), WriteError> {
        let namespace = event.metadata.namespace.clone().unwrap_or_default();
        let name = event.metadata.name.clone().unwrap_or_default();
        let api: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.into()),
            ..PostParams::default()
        };
        let created = answer(api.create(&params, &event)).await;
        match created {
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            other => return other.map(|_| ()).map_err(write_error),
        }
        let known = match answer(api.get(&name)).await {
            Ok(known) => known,
            // Expired between the two requests.
            Err(kube::Error::Api(status)) if status.code == 404 => {
                return answer(api.create(&params, &event))
                    .await
                    .map(|_| ())
                    .map_err(write_error);
            }
            Err(error) => return Err(write_error(error)),
        };
        let count = known
            .series
            .as_ref()
            .map_or(1, |series| series.count)
            .saturating_add(1);
        let patch = json!({
            "metadata": {"annotations": event.metadata.annotations},
            "series": {"count": count, "lastObservedTime": event.event_time},
        });
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.into()),
            ..PatchParams::default()
        };
        answer(api.patch(&name, &params, &Patch::Merge(patch)))
            .await
            .map(|_| ())
            .map_err(write_error)
    }
}

async fn answer<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, kube::Error> {
    match tokio::time::timeout(WRITE_TIMEOUT, request).await {
        Ok(result) => result,
        Err(_) => Err(kube::Error::Service(
            format!("no answer within {} s", WRITE_TIMEOUT.as_secs()).into(),
        )),
    }
}

fn write_error(error: kube::Error) -> WriteError {
    match &error {
        kube::Error::Api(status) if status.code == 404 => WriteError::Useless("its namespace is gone"),
        kube::Error::Api(status) if status.code == 403 && status.message.contains("being terminated") => {
            WriteError::Useless("its namespace is being deleted")
        }
        kube::Error::Api(status) => WriteError::Failed {
            error: status.message.clone(),
            refused: (400..500).contains(&status.code) && status.code != 429,
        },
        other => WriteError::Failed {
            error: other.to_string(),
            refused: false,
        },
    }
}
