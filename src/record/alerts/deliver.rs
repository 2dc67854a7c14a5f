//! One attempt to hand a notice over, and one write of what was told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::Api;
use kube::{Client, Resource};
use tracing::{info, warn};

use crate::api::AlertSink;
use crate::core::alert::item::id;
use crate::core::alert::{Notice, Told};
use crate::core::rules::{MAX_MESSAGE_LEN, one_line};
use crate::metrics::{ErrorKind, Metrics};
use crate::policy::CompiledSink;
use crate::record::store::{Entry, Purpose, Store, StoreError};
use crate::sinks::{Receipt, SecretKey, Secrets, SendError, Sink};

/// Findings that a line of the audit log names.
const IN_LOG: usize = 20;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Hands a notice over, once, with credentials as they are now.
pub async fn send(
    client: &Client,
    namespace: &str,
    sink: &CompiledSink,
    destination: &dyn Sink,
    notice: &Notice,
) -> Result<Receipt, SendError> {
    let attempt = async {
        let secrets = read(client, namespace, destination.secrets()).await?;
        destination.send(notice, &secrets).await
    };
    let late = || {
        let why = format!("no answer within {} s", sink.timeout.as_secs());
        Err(SendError::Passing { why, retry_after: None })
    };
    let result = tokio::time::timeout(sink.timeout, attempt).await.unwrap_or_else(|_| late());
    // What others say is shown as it is nowhere: it may be long, or have line breaks.
    let result = result.map_err(|error| match error {
        SendError::Permanent(text) => SendError::Permanent(one_line(&text, MAX_MESSAGE_LEN)),
        SendError::Credentials(text) => SendError::Credentials(one_line(&text, MAX_MESSAGE_LEN)),
        SendError::Passing { why, retry_after } => {
            SendError::Passing { why: one_line(&why, MAX_MESSAGE_LEN), retry_after }
        }
    });
    audit(sink, notice, &result);
    result
}

/// Reads what a sink needs, each Secret once.
async fn read(client: &Client, namespace: &str, keys: Vec<SecretKey>) -> Result<Secrets, SendError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let mut known: BTreeMap<String, Secret> = BTreeMap::new();
    let mut values = BTreeMap::new();
    for key in keys {
        if !known.contains_key(&key.name) {
            let secret = api.get(&key.name).await.map_err(|error| match error {
                kube::Error::Api(status) if status.code == 404 => SendError::Credentials(format!(
                    "Secret {} does not exist in namespace {namespace}, where polywatch looks for it",
                    key.name
                )),
                kube::Error::Api(status) if status.code == 403 => SendError::Credentials(format!(
                    "Secret {} in namespace {namespace} may not be read: {}",
                    key.name, status.message
                )),
                error => SendError::Passing {
                    why: format!("Secret {} can not be read: {error}", key.name),
                    retry_after: None,
                },
            })?;
            known.insert(key.name.clone(), secret);
        }
        let data = known.get(&key.name).and_then(|secret| secret.data.as_ref());
        let Some(value) = data.and_then(|data| data.get(&key.key)) else {
            let text = format!("Secret {} in namespace {namespace} has no key {}", key.name, key.key);
            return Err(SendError::Credentials(text));
        };
        values.insert(key, value.0.clone());
    }
    Ok(Secrets::new(values))
}

/// One line for each attempt: who was told of what, and whether it arrived.
fn audit(sink: &CompiledSink, notice: &Notice, result: &Result<Receipt, SendError>) {
    let news = [&notice.opened, &notice.changed, &notice.resolved, &notice.occurred];
    let findings = news.into_iter().flatten().take(IN_LOG);
    let findings: Vec<String> = findings.map(|item| format!("{} of {}", item.rule, item.subject())).collect();
    let (outcome, error) = match result {
        Ok(_) => ("delivered", None),
        Err(error @ SendError::Permanent(_)) => ("refused", Some(error.to_string())),
        Err(error) => ("failed", Some(error.to_string())),
    };
    info!(
        target: "polywatch::audit",
        sink = &*sink.name,
        policy = notice.policy,
        group = %notice.group,
        notice = notice.id,
        reason = notice.reason.as_str(),
        open = notice.totals.open,
        opened = notice.totals.opened,
        changed = notice.totals.changed,
        resolved = notice.totals.resolved,
        occurred = notice.totals.occurred,
        findings = findings.join("; "),
        outcome,
        error,
        "notice"
    );
}

/// The name of what is remembered of a sink and a policy.
pub fn entry_name(sink: &str, policy_uid: &str) -> String {
    id([sink, policy_uid])
}

/// Writes down what was told, as often as it takes: until it is, the sink is told nothing more of the policy.
pub async fn save(store: Store, metrics: Arc<Metrics>, sink: Arc<CompiledSink>, told: Told) {
    let owner = OwnerReference {
        api_version: AlertSink::api_version(&()).into_owned(),
        kind: AlertSink::kind(&()).into_owned(),
        name: sink.name.to_string(),
        uid: sink.uid.to_string(),
        ..OwnerReference::default()
    };
    let entry = Entry { name: entry_name(&told.sink, &told.uid), owner: Some(owner), content: told };
    let mut pause = FIRST_PAUSE;
    loop {
        let Err(error) = store.save(Purpose::Told, &entry).await else { return };
        metrics.error(ErrorKind::SinkMemory);
        let told = &entry.content;
        warn!(sink = told.sink, policy = told.policy, %error, "what the sink was told can not be written down");
        if !matches!(error, StoreError::Refused { .. }) {
            // Another attempt changes nothing; a restart repeats what is not written down.
            return;
        }
        tokio::time::sleep(pause.mul_f64(0.5 + 0.5 * fastrand::f64())).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Forgets what was told of a policy that is gone.
pub async fn forget(store: Store, metrics: Arc<Metrics>, sink: String, policy_uid: String) {
    let name = entry_name(&sink, &policy_uid);
    let mut pause = FIRST_PAUSE;
    // It goes with the sink at last; until then it is small.
    for _ in 0..5 {
        let Err(error) = store.delete(Purpose::Told, &name).await else { return };
        metrics.error(ErrorKind::SinkMemory);
        warn!(sink, %error, "what the sink was told of a policy that is gone can not be forgotten");
        tokio::time::sleep(pause.mul_f64(0.5 + 0.5 * fastrand::f64())).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::Timestamp;

    use super::*;
    use crate::core::alert::{
        Item, MAX_IN_FLIGHT, MAX_MEMBERS, MAX_ONE_BY_ONE, ObjectName, Summary, ToldGroup,
    };
    use crate::core::finding::Severity;
    use crate::record::store::{MAX_PACKED, pack};

    /// Nothing of it is like anything of another, as far as that is so in a cluster.
    fn item(n: usize) -> Item {
        let number = n.to_string();
        let hex = id(["item", &number]);
        Item {
            id: hex.clone(),
            edition: n as u64,
            policy: "api-gateway".into(),
            rule: "backend-available".into(),
            severity: Severity::High,
            previous_severity: None,
            selected_by: "routes".into(),
            object: Some(ObjectName {
                api_version: "gateway.example.io/v1".into(),
                kind: "APIRoute".into(),
                namespace: Some(format!("team-{}", n % 97)),
                name: format!("service-{}-{}", &hex[..10], &hex[27..]),
                uid: format!(
                    "{}-{}-{}-{}-{}",
                    &hex[..8],
                    &hex[8..12],
                    &hex[12..16],
                    &hex[16..20],
                    &hex[20..]
                ),
            }),
            object_group: None,
            message: format!(
                "no ready endpoint behind service-{}: EndpointSlice {}",
                &hex[..10],
                &hex[5..15]
            ),
            since: Timestamp::from_microsecond(1_800_000_000_000_000 + 7_919_131 * n as i64).expect("a time"),
            ended: None,
            ended_because: None,
            labels: [("team".to_owned(), format!("team-{}", n % 97))].into(),
            fields: String::new(),
            flaps: 0,
            operation: None,
            resource_version: None,
        }
    }

    #[test]
    fn the_most_that_is_remembered_of_a_policy_fits_into_one_entry() {
        let mut told = Told { sink: "on-call".into(), policy: "api-gateway".into(), ..Told::default() };
        for group in 0..MAX_ONE_BY_ONE / 100 {
            let items = (group * 100..(group + 1) * 100).map(|n| (item(n).id, item(n))).collect();
            told.groups
                .insert(id(["group", &group.to_string()]), ToldGroup { items, ..ToldGroup::default() });
        }
        let mut group = ToldGroup::default();
        let hash = |n: usize| crate::core::hash::fnv1a([n.to_string().as_str()]);
        let members: BTreeSet<u64> = (0..MAX_MEMBERS).map(hash).collect();
        group.summary = Some(Summary { count: members.len(), members });
        group.in_flight.items = (0..MAX_IN_FLIGHT).map(|n| (item(n).id, item(n))).collect();
        told.groups.insert("summary".into(), group);
        let packed = pack(&told).expect("packed").len();
        assert!(packed < MAX_PACKED * 9 / 10, "{packed} bytes");
    }
}
