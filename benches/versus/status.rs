//! The status of the policy, as one sees it who watches it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use polywatch::api::{MonitorPolicy, MonitorPolicyStatus};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::book::Book;
use crate::cluster::is;
use crate::rules::{POLICY, PROBE_RULE};

/// Follows the status until it is dropped.
pub struct Status {
    current: watch::Receiver<MonitorPolicyStatus>,
    task: JoinHandle<()>,
}

impl Status {
    /// Begins; notes in the book when a probe is among the findings.
    pub fn follow(client: Client, probes: Arc<Book>) -> Status {
        let (tell, current) = watch::channel(MonitorPolicyStatus::default());
        let config = watcher::Config::default().fields(&format!("metadata.name={POLICY}"));
        let policies = watcher(Api::<MonitorPolicy>::all(client), config).default_backoff().applied_objects();
        let task = tokio::spawn(async move {
            let mut policies = std::pin::pin!(policies);
            while let Some(policy) = policies.next().await {
                let now = Instant::now();
                // After an error the watcher begins anew.
                let Ok(policy) = policy else { continue };
                let status = policy.status.unwrap_or_default();
                for finding in status.findings.iter().filter(|finding| finding.rule == PROBE_RULE) {
                    let Some(resource) = &finding.resource else { continue };
                    let namespace = resource.namespace.as_deref().unwrap_or_default();
                    probes.seen(&format!("{namespace}/{}", resource.name), true, now);
                }
                tell.send_replace(status);
            }
        });
        Status { current, task }
    }

    /// Waits until the policy is ready with exactly these totals.
    pub async fn ready(&mut self, objects: usize, findings: usize, limit: Duration) {
        let holds = |status: &MonitorPolicyStatus| {
            is(status, "Ready", "True")
                && status.summary.objects == objects as i64
                && status.summary.open_findings == findings as i64
        };
        let became = matches!(timeout(limit, self.current.wait_for(holds)).await, Ok(Ok(_)));
        if !became {
            let status = self.current.borrow();
            panic!(
                "waited {limit:?} for {objects} objects and {findings} findings: {:?}, {:?}",
                status.summary, status.conditions
            );
        }
    }
}

impl Drop for Status {
    fn drop(&mut self) {
        self.task.abort();
    }
}
