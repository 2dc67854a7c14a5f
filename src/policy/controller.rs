//! Follows the MonitorPolicies of the cluster and publishes what is in force.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::Client;
use kube::core::DeserializeGuard;
use tokio::sync::watch;
use tracing::{info, warn};

use super::compile::compile;
use super::follow::{Follower, follow};
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

type Guarded = DeserializeGuard<MonitorPolicy>;

/// Follows the policies until the receiver of `publish` is gone. An absent API server or CRD is waited for,
/// with back-off.
pub async fn run(client: Client, publish: watch::Sender<Published>, metrics: Arc<Metrics>) {
    follow(client, Policies { publish, metrics }).await;
}

struct Policies {
    publish: watch::Sender<Published>,
    metrics: Arc<Metrics>,
}

impl Follower for Policies {
    type Object = Guarded;
    type Known = Known;

    const RESOURCE: &'static str = "monitorpolicies.polywatch.dev";

    fn take(&mut self, known: Option<&Known>, policy: Guarded) -> Known {
        reconcile(known, policy)
    }

    fn announce(&mut self, known: &BTreeMap<String, Known>, listed: bool) {
        if listed {
            info!(policies = known.len(), "policies loaded");
        }
        announce(&self.publish, known);
    }

    fn trouble(&mut self, error: String) {
        self.metrics.error(ErrorKind::PolicyWatch);
        if self.publish.borrow().trouble.as_ref() != Some(&error) {
            warn!(%error, "policies cannot be read; trying again");
            self.publish.send_modify(|published| published.trouble = Some(error));
        }
    }

    fn is_over(&self) -> bool {
        self.publish.is_closed()
    }
}

struct Known {
    compiled: Arc<CompiledPolicy>,
    status: Arc<MonitorPolicyStatus>,
}

/// Compiles a policy, unless this generation of it is compiled already.
fn reconcile(known: Option<&Known>, DeserializeGuard(policy): Guarded) -> Known {
    let meta = policy.as_ref().map_or_else(|invalid| &invalid.metadata, |policy| &policy.metadata);
    let key = PolicyKey(meta.name.clone().unwrap_or_default().into());
    let uid: Arc<str> = meta.uid.clone().unwrap_or_default().into();
    let generation = meta.generation.unwrap_or_default();
    let status = policy.as_ref().ok().and_then(|policy| policy.status.clone()).unwrap_or_default();
    let same = known.filter(|k| k.compiled.uid == uid && k.compiled.generation == generation);
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
    Known { compiled, status: Arc::new(status) }
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
        routes: Vec::new(),
        noted_labels: Default::default(),
        rules: Vec::new(),
        expressions: Vec::new(),
        problems: vec![Problem { field: "spec".into(), rule: None, message }],
    }
}

/// Readers are woken only when the set itself changed: the operator's own status writes come back here, too.
fn announce(publish: &watch::Sender<Published>, known: &BTreeMap<String, Known>) {
    publish.send_if_modified(|published| {
        let same = published.loaded
            && published.trouble.is_none()
            && published.policies.len() == known.len()
            && known.values().all(|k| {
                published.policies.get(&k.compiled.key).is_some_and(|before| Arc::ptr_eq(before, &k.compiled))
            });
        let gone = published.policies.keys().filter(|key| !known.contains_key(&*key.0));
        gone.for_each(|policy| info!(%policy, "policy deleted; its findings are forgotten"));
        published.statuses = known.values().map(|k| (k.compiled.key.clone(), k.status.clone())).collect();
        if same {
            return false;
        }
        published.loaded = true;
        published.trouble = None;
        published.policies =
            Arc::new(known.values().map(|k| (k.compiled.key.clone(), k.compiled.clone())).collect());
        true
    });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
