//! What the kinds that policies select look like, and what that says of the policies' expressions.
//!
//! In: the policies in force and the catalog. Out: the schemas, for the judge, who compares lists by their keys; and
//! the warnings of each policy, on the [`Board`]. A policy is checked again when its spec or the schema of one of its
//! kinds changes. A kind whose schema cannot be had is not checked; nothing else waits for it.

mod fetch;
mod sources;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use kube::Client;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::debug;

use super::board::Board;
use super::catalog::Catalog;
use crate::core::check::check;
use crate::core::finding::PolicyKey;
use crate::core::policy::{CompiledPolicy, PolicySet};
use crate::core::schema::{Schema, SchemaSet};
use crate::judge::Judge;
use crate::metrics::{ErrorKind, Metrics};
use fetch::{Answer, FetchError, Source, fetch};
use sources::Sources;

/// Sources asked at once. Each answer is bounded.
const CONCURRENT: usize = 4;

/// Works for as long as somebody publishes policies and catalogs.
pub struct Checker {
    /// The cluster.
    pub client: Client,
    /// Takes the schemas.
    pub judge: Judge,
    /// Takes the warnings.
    pub board: Arc<Board>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
}

impl Checker {
    /// Runs until one of the inputs ends.
    pub async fn run(
        self,
        mut policies: watch::Receiver<Arc<PolicySet>>,
        mut catalog: watch::Receiver<Arc<Catalog>>,
    ) {
        let mut sources = Sources::default();
        let mut checked = BTreeMap::new();
        let mut known = SchemaSet::default();
        let mut asked: FuturesUnordered<BoxFuture<'static, Answered>> = FuturesUnordered::new();
        loop {
            let set = policies.borrow_and_update().clone();
            let served = catalog.borrow_and_update().clone();
            sources.want(&set, &served, Instant::now());
            while asked.len() < CONCURRENT
                && let Some((source, kinds, known)) = sources.next(Instant::now())
            {
                let answer = fetch(self.client.clone(), source.clone(), kinds, known);
                asked.push(Box::pin(async move { (source, answer.await) }));
            }
            let now_known = sources.known();
            if now_known != known {
                self.judge.know(now_known.clone()).await;
                known = now_known;
            }
            self.check(&set, &served, &sources, &mut checked).await;
            tokio::select! {
                changed = policies.changed() => if changed.is_err() { return },
                changed = catalog.changed() => if changed.is_err() { return },
                Some((source, answer)) = asked.next() => {
                    if let Err(error) = &answer {
                        debug!(?source, %error, "schemas can not be read; what is about them is not checked");
                        if !matches!(error, FetchError::Absent(_)) {
                            self.metrics.error(ErrorKind::Schema);
                        }
                    }
                    sources.answered(&source, answer, Instant::now());
                }
                () = until(sources.due()), if asked.len() < CONCURRENT => {}
            }
        }
    }

    /// Checks each policy that is not checked as it is now, with the schemas that are known now.
    async fn check(
        &self,
        policies: &PolicySet,
        catalog: &Catalog,
        sources: &Sources,
        checked: &mut BTreeMap<PolicyKey, Checked>,
    ) {
        let in_force = |key: &PolicyKey| policies.get(key).is_some_and(|policy| !policy.suspended);
        checked.retain(|key, _| {
            let keep = in_force(key);
            if !keep {
                self.board.forget_warnings(key);
            }
            keep
        });
        let mut due = Vec::new();
        for policy in policies.values().filter(|policy| in_force(&policy.key)) {
            // Until every source has been asked once, what is said would be half of it.
            let Some(schemas) = sources.schemas(policy, catalog) else { continue };
            let now = Checked { policy: policy.clone(), schemas };
            if checked.get(&policy.key).is_none_or(|before| !before.is(&now)) {
                due.push(now);
            }
        }
        if due.is_empty() {
            return;
        }
        let work = move || due.into_iter().map(|now| (check(&now.policy, &now.schemas), now)).collect();
        let done: Vec<_> = match tokio::task::spawn_blocking(work).await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The process ends.
                Err(_) => return,
            },
        };
        for (warnings, now) in done {
            self.board.warn(&now.policy, warnings);
            checked.insert(now.policy.key.clone(), now);
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

type Answered = (Source, Result<Answer, FetchError>);

/// What a policy was checked with.
struct Checked {
    policy: Arc<CompiledPolicy>,
    schemas: Vec<Option<Arc<Schema>>>,
}

impl Checked {
    fn is(&self, other: &Self) -> bool {
        let same = |pair: (&Option<Arc<Schema>>, &Option<Arc<Schema>>)| match pair {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (a, b) => a.is_none() && b.is_none(),
        };
        Arc::ptr_eq(&self.policy, &other.policy) && self.schemas.iter().zip(&other.schemas).all(same)
    }
}

#[cfg(test)]
mod tests;
