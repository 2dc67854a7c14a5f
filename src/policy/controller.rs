//! Follows the MonitorPolicies of the cluster and publishes what is in force.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use futures::StreamExt;
use kube::api::Api;
use kube::core::DeserializeGuard;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt};
use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::compile::compile;
use crate::api::{MonitorPolicy, MonitorPolicyStatus};
use crate::core::finding::PolicyKey;
use crate::core::policy::{CompiledPolicy, PolicySet, Problem};
use crate::core::rules::{MAX_MESSAGE_LEN, one_line};
use crate::metrics::{ErrorKind, Metrics};

/// What is in force.
#[derive(Debug, Clone, Default)]
pub struct Published {
    /// Whether all policies of the cluster have been read once.
    pub loaded: bool,
    /// Why they cannot be read at present.
    pub trouble: Option<String>,
    /// The compiled policies.
    pub policies: Arc<PolicySet>,
    /// The status that each policy has in the cluster.
    pub statuses: BTreeMap<PolicyKey, Arc<MonitorPolicyStatus>>,
}

/// An API server or CRD that comes back is noticed within this time.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A list that brings nothing for this long is given up and begun again.
const LIST_SILENCE: Duration = Duration::from_secs(30);

type Guarded = DeserializeGuard<MonitorPolicy>;

/// Follows the policies until the receiver of `publish` is gone. An absent API server or CRD is waited for,
/// with back-off.
pub async fn run(client: Client, publish: watch::Sender<Published>, metrics: Arc<Metrics>) {
    let api = Api::<Guarded>::all_with(client, &());
    let follow = || watcher(api.clone(), watcher::Config::default()).boxed();
    let mut events = follow();
    let mut pauses = pauses();
    let mut relisted: BTreeMap<PolicyKey, Known> = BTreeMap::new();
    let mut known: BTreeMap<PolicyKey, Known> = BTreeMap::new();
    let mut listing = true;
    while let Some(event) = within(listing, events.next()).await {
        match event {
            Ok(Event::Init) => {
                listing = true;
                relisted.clear();
                continue;
            }
            Ok(Event::InitApply(policy)) => {
                let (key, entry) = reconcile(&known, policy);
                relisted.insert(key, entry);
                continue;
            }
            Ok(Event::InitDone) => {
                listing = false;
                known = std::mem::take(&mut relisted);
                pauses = self::pauses();
                info!(policies = known.len(), "policies loaded");
            }
            Ok(Event::Apply(policy)) => {
                let (key, entry) = reconcile(&known, policy);
                known.insert(key, entry);
            }
            Ok(Event::Delete(policy)) => {
                info!(policy = policy.name_any(), "policy deleted; its findings are forgotten");
                known.remove(&PolicyKey(policy.name_any().into()));
            }
            Err(error) => {
                metrics.error(ErrorKind::PolicyWatch);
                let text = explain(&error);
                let news = publish.borrow().trouble.as_ref() != Some(&text);
                if is_expired(&error) {
                    debug!(error = %text, "policies are listed again");
                } else if news {
                    warn!(error = %text, "policies cannot be read; trying again");
                    publish.send_modify(|published| published.trouble = Some(text));
                }
                if publish.is_closed() {
                    return;
                }
                let pause = pauses.next().unwrap_or(LONGEST_PAUSE);
                tokio::time::sleep(pause.mul_f64(0.75 + 0.25 * fastrand::f64())).await;
                // A watch that is taken up again says nothing until a policy changes; only a complete list
                // tells that the trouble is over.
                events = follow();
                listing = true;
                continue;
            }
        }
        announce(&publish, &known);
        if publish.is_closed() {
            return;
        }
    }
}

type Next = Option<Result<Event<Guarded>, watcher::Error>>;

/// What comes next; in a list, silence is an error. On a watch it is nothing, and the watcher minds its end.
async fn within(listing: bool, next: impl Future<Output = Next>) -> Next {
    if !listing {
        return next.await;
    }
    tokio::time::timeout(LIST_SILENCE, next).await.unwrap_or_else(|_| {
        let text = format!("the list brought nothing for {} s", LIST_SILENCE.as_secs());
        Some(Err(watcher::Error::InitialListFailed(kube::Error::Service(text.into()))))
    })
}

/// Between two attempts to read the policies: doubling from a quarter of a second.
fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(250))
        .with_max_delay(LONGEST_PAUSE)
        .with_factor(2.0)
        .without_max_times()
        .build()
}

struct Known {
    compiled: Arc<CompiledPolicy>,
    status: Arc<MonitorPolicyStatus>,
}

/// Compiles a policy, unless this generation of it is compiled already.
fn reconcile(known: &BTreeMap<PolicyKey, Known>, DeserializeGuard(policy): Guarded) -> (PolicyKey, Known) {
    let meta = policy.as_ref().map_or_else(|invalid| &invalid.metadata, |policy| &policy.metadata);
    let key = PolicyKey(meta.name.clone().unwrap_or_default().into());
    let uid: Arc<str> = meta.uid.clone().unwrap_or_default().into();
    let generation = meta.generation.unwrap_or_default();
    let status = policy.as_ref().ok().and_then(|policy| policy.status.clone()).unwrap_or_default();
    let same = known.get(&key).filter(|k| k.compiled.uid == uid && k.compiled.generation == generation);
    let compiled = match (same, &policy) {
        (Some(known), _) => known.compiled.clone(),
        (None, Ok(policy)) => {
            let compiled = compile(key.clone(), uid, generation, &policy.spec);
            info!(policy = %key, generation, problems = compiled.problems.len(), "policy compiled");
            Arc::new(compiled)
        }
        (None, Err(invalid)) => {
            warn!(policy = %key, error = %one_line(&invalid.error, MAX_MESSAGE_LEN), "policy cannot be read");
            Arc::new(unreadable(key.clone(), uid, generation, &invalid.error))
        }
    };
    (key, Known { compiled, status: Arc::new(status) })
}

/// A policy that was stored under another schema: nothing of it is in force, and its status says so.
fn unreadable(key: PolicyKey, uid: Arc<str>, generation: i64, error: &str) -> CompiledPolicy {
    let message = one_line(
        &format!("{error}; apply the policy again in the form of the installed CRD"),
        MAX_MESSAGE_LEN,
    );
    CompiledPolicy {
        key,
        uid,
        generation,
        suspended: false,
        selections: Vec::new(),
        match_conditions: Vec::new(),
        variables: Vec::new(),
        lookups: Vec::new(),
        params: None,
        rules: Vec::new(),
        expressions: Vec::new(),
        problems: vec![Problem { field: "spec".into(), rule: None, message }],
    }
}

/// Readers are woken only when the set itself changed: the operator's own status writes come back here, too.
fn announce(publish: &watch::Sender<Published>, known: &BTreeMap<PolicyKey, Known>) {
    publish.send_if_modified(|published| {
        let same = published.loaded
            && published.trouble.is_none()
            && published.policies.len() == known.len()
            && known.iter().all(|(key, k)| {
                published.policies.get(key).is_some_and(|before| Arc::ptr_eq(before, &k.compiled))
            });
        published.statuses = known.iter().map(|(key, k)| (key.clone(), k.status.clone())).collect();
        if same {
            return false;
        }
        published.loaded = true;
        published.trouble = None;
        published.policies =
            Arc::new(known.iter().map(|(key, k)| (key.clone(), k.compiled.clone())).collect());
        true
    });
}

/// The server has forgotten what came after the last change that was seen: no trouble, only a list more.
fn is_expired(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::WatchError(status) | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => {
            status.code == 410
        }
        _ => false,
    }
}

fn explain(error: &watcher::Error) -> String {
    let status = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status,
        other => return one_line(&other.to_string(), MAX_MESSAGE_LEN),
    };
    match status.code {
        404 => "the CustomResourceDefinition monitorpolicies.polywatch.dev is not installed: kubectl apply -k crds/".into(),
        403 => one_line(&format!("{}; apply config/rbac, or grant it by hand", status.message), MAX_MESSAGE_LEN),
        _ => one_line(&status.message, MAX_MESSAGE_LEN),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{ApiServer, Part, Reply};

    #[tokio::test(start_paused = true)]
    async fn a_list_that_is_not_answered_is_asked_for_again() {
        let mut lists = 0;
        let server = ApiServer::new(move |asked| {
            if asked.query.contains_key("watch") {
                return Reply::Stream(vec![Part::Open]);
            }
            lists += 1;
            match lists {
                1 => Reply::Silence,
                _ => Reply::json(&json!({
                    "apiVersion": "polywatch.dev/v1alpha1", "kind": "MonitorPolicyList",
                    "metadata": {"resourceVersion": "1"}, "items": [],
                })),
            }
        });
        let (publish, mut published) = watch::channel(Published::default());
        let policies = tokio::spawn(run(server.client(), publish, Arc::default()));
        let loaded = published.wait_for(|published| published.loaded);
        let loaded = tokio::time::timeout(Duration::from_secs(600), loaded).await;
        assert!(loaded.is_ok_and(|loaded| loaded.is_ok()));
        // A watch on which nothing happens is no trouble.
        tokio::time::sleep(Duration::from_secs(120)).await;
        assert_eq!(server.asked().len(), 3);
        policies.abort();
    }
}
