//! What an earlier process left in the cluster: what was open or pending, what occurred, and what was told of it.
//!
//! What `record::memory` wrote is complete, and as exact as the process knew it. The status of each policy, which lists
//! the worst, and the Events on objects, which last for as long as the API server keeps Events, add what they know beyond
//! it: what changed in the last second, and all where there is no memory. What one of the three has open is open: the
//! first list resolves it if it is not. What was told is in the Events; of what is too old for those it is taken for told.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::events::v1::Event;
use kube::Client;
use kube::api::{Api, ListParams};
use tracing::{info, warn};

use super::events::{Announced, Told, ToldByPolicy, happened, parse};
use super::memory::findings::Left;
use super::memory::{self, Known};
use super::store::{Store, StoreError};
use super::{chain, fields};
use crate::api::REPORTING_CONTROLLER;
use crate::api::status::{FindingStatus, MonitorPolicyStatus, ObjectRef, OccurrenceStatus};
use crate::core::chain::Chain;
use crate::core::engine::Engine;
use crate::core::finding::{Finding, FindingKey, ObjectId, Occurrence, OccurrenceId, PolicyKey};
use crate::core::history::History;
use crate::core::tags::Tags;
use crate::metrics::{ErrorKind, Metrics};
use crate::policy::Published;

/// Most Events that are read.
const MAX_EVENTS: usize = 20_000;
const PAGE: u32 = 500;
const TIMEOUT: Duration = Duration::from_secs(30);
/// Events are there for longer than this: for an hour, unless the API server was told otherwise.
const EVENTS_LAST: SignedDuration = SignedDuration::from_mins(50);
/// Between two attempts.
const RETRY: Duration = Duration::from_secs(1);

/// Fills a new engine with what was open; returns what was told, and what is remembered as it is written.
pub async fn restore(
    client: &Client,
    store: &Store,
    published: &Published,
    metrics: &Metrics,
    engine: &mut Engine,
) -> (ToldByPolicy, Known) {
    let (events, left, objects) = tokio::join!(
        read_patiently(|| read(client)),
        read_patiently(|| memory::read(store)),
        read_patiently(|| memory::objects::read(store)),
    );
    let events = events.inspect_err(|error| {
        metrics.error(ErrorKind::EventWrite);
        warn!(%error, "the Events of an earlier process can not be read; some findings may be announced again");
    });
    let left = left.inspect_err(|error| {
        metrics.error(ErrorKind::Memory);
        warn!(%error, "what an earlier process remembers can not be read; what status and Events say is restored");
    });
    let objects = objects.inspect_err(|error| {
        metrics.error(ErrorKind::Memory);
        warn!(%error, "the last known objects can not be read; what changed while nobody looked is not judged");
    });
    let objects = objects.unwrap_or_default();
    let watches = memory::objects::accounts(&objects);
    objects.into_iter().for_each(|(watch, parts)| engine.recall(watch, parts));
    let (left, now) = (left.unwrap_or_default(), Timestamp::now());
    let complete = events.is_ok();
    let events = events.unwrap_or_default();
    let mut told = last_told(published, &events);
    let (mut count, nothing) = (0, Left::default());
    for (key, policy) in published.policies.iter() {
        let Announced { findings: told, occurrences } = told.entry(key.clone()).or_default();
        let (status, left) = (published.statuses.get(key), left.get(&policy.uid).unwrap_or(&nothing));
        let listed: Vec<Arc<Finding>> = status
            .into_iter()
            .flat_map(|status| &status.findings)
            .filter_map(from_status)
            .map(Arc::new)
            .collect();
        // What was told, though no Event says so.
        for finding in listed.iter().chain(&left.open) {
            // It opened when its rule had waited.
            let rule = policy.rules.iter().find(|rule| rule.name == finding.key.rule);
            let opened = rule.map_or(finding.since, |rule| rule.patience.opens(finding.since));
            // Of a young finding there would be an Event if it had been told.
            if !(complete && now.duration_since(opened) < EVENTS_LAST) {
                told.entry(finding.key.clone()).or_insert_with(|| finding.clone());
            }
        }
        let open = merged_open(told, listed, left);
        if let Some(history) = merged_history(status.map(|status| history(status)), &left.history) {
            let known = history.latest().filter(|occurrence| {
                let young = now.duration_since(occurrence.finding.since) < EVENTS_LAST;
                !(complete && young) || happened(key, policy, occurrence, &events)
            });
            occurrences.extend(known.map(|occurrence| occurrence.id()));
            engine.restore_history(key.clone(), policy.uid.clone(), history);
        }
        // What the status says is up to half a minute old.
        let of_status = status.filter(|_| left.written.is_empty());
        let of_status = of_status.into_iter().flat_map(|status| &status.pending).filter_map(from_status);
        let mut pending: HashMap<FindingKey, Arc<Finding>> =
            of_status.map(|pending| (pending.key.clone(), Arc::new(pending))).collect();
        pending.extend(left.pending.iter().map(|pending| (pending.key.clone(), pending.clone())));
        let uid = || policy.uid.clone();
        engine.restore_pending(key.clone(), uid(), pending.into_values().map(Arc::unwrap_or_clone).collect());
        engine.restore_complying(key.clone(), uid(), left.complying.clone());
        count += open.len();
        engine.restore(key.clone(), uid(), open.into_values().map(Arc::unwrap_or_clone).collect());
    }
    info!(findings = count, "restored what an earlier process had open");
    (told, Known { policies: left, watches })
}

/// What was open, of each finding as it is known best: the memory is exact, the status has whole seconds, and an Event
/// says how it was when it opened.
fn merged_open(
    told: &HashMap<FindingKey, Arc<Finding>>,
    listed: Vec<Arc<Finding>>,
    left: &Left,
) -> HashMap<FindingKey, Arc<Finding>> {
    let mut open = told.clone();
    for finding in listed {
        let since = open.get(&finding.key).map_or(finding.since, |known| known.since);
        open.insert(finding.key.clone(), Arc::new(Finding { since, ..Arc::unwrap_or_clone(finding) }));
    }
    open.extend(left.open.iter().map(|finding| (finding.key.clone(), finding.clone())));
    open
}

/// What occurred, by the memory and what the status knows beyond it, which is the latest.
fn merged_history(status: Option<History>, left: &History) -> Option<History> {
    let status = status.unwrap_or_default();
    if status.total().max(left.total()) == 0 {
        return None;
    }
    if status.total() <= left.total() {
        return Some(left.clone());
    }
    let known: HashSet<OccurrenceId> = left.latest().map(|occurrence| occurrence.id()).collect();
    let news = usize::try_from(status.total() - left.total()).unwrap_or(usize::MAX);
    let latest = status.latest().filter(|occurrence| !known.contains(&occurrence.id())).take(news);
    let latest: Vec<Arc<Occurrence>> = latest.chain(left.latest()).cloned().collect();
    let mut by_rule: BTreeMap<Arc<str>, u64> = BTreeMap::new();
    for (rule, count) in status.by_rule().chain(left.by_rule()) {
        let known = by_rule.entry(rule.clone()).or_default();
        *known = (*known).max(count);
    }
    Some(History::restored(latest, status.total(), by_rule))
}

/// A new leader may start when the API server has just come back and refuses some requests.
async fn read_patiently<T, E: Refusal, F: Future<Output = Result<T, E>>>(
    read: impl Fn() -> F,
) -> Result<T, String> {
    let mut last = format!("no answer within {} s", TIMEOUT.as_secs());
    let attempts = async {
        loop {
            match read().await {
                Ok(known) => return Ok(known),
                Err(error) if error.is_refusal() => return Err(error.to_string()),
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(RETRY.mul_f64(0.5 + fastrand::f64())).await;
        }
    };
    let read = tokio::time::timeout(TIMEOUT, attempts).await;
    read.unwrap_or(Err(last))
}

/// An error that another attempt will not change.
trait Refusal: std::fmt::Display {
    fn is_refusal(&self) -> bool;
}

impl Refusal for kube::Error {
    fn is_refusal(&self) -> bool {
        matches!(self, Self::Api(status) if status.is_forbidden())
    }
}

impl Refusal for StoreError {
    fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { source, .. } if source.is_refusal())
    }
}

async fn read(client: &Client) -> Result<Vec<Event>, kube::Error> {
    let api: Api<Event> = Api::all(client.clone());
    let mut params =
        ListParams::default().fields(&format!("reportingController={REPORTING_CONTROLLER}")).limit(PAGE);
    let mut events = Vec::new();
    loop {
        let page = api.list(&params).await?;
        events.extend(page.items);
        params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
        if params.continue_token.is_none() || events.len() >= MAX_EVENTS {
            return Ok(events);
        }
    }
}

/// The last word on each finding decides.
fn last_told(published: &Published, events: &[Event]) -> ToldByPolicy {
    let mut last: BTreeMap<(PolicyKey, FindingKey), Told> = BTreeMap::new();
    for told in events.iter().filter_map(parse) {
        let same_policy = published.policies.get(&told.policy).is_some_and(|p| p.uid == told.policy_uid);
        let key = (told.policy.clone(), told.finding.key.clone());
        if same_policy && last.get(&key).is_none_or(|known| known.at <= told.at) {
            last.insert(key, told);
        }
    }
    let mut by_policy = ToldByPolicy::new();
    for ((policy, key), told) in last {
        if told.opened {
            by_policy.entry(policy).or_default().findings.insert(key, Arc::new(told.finding));
        }
    }
    by_policy
}

/// What a status says that occurred.
pub fn history(status: &MonitorPolicyStatus) -> History {
    let count = |count: i64| u64::try_from(count).unwrap_or_default();
    let by_rule = status.rules.iter().filter(|rule| rule.occurrences > 0);
    let by_rule = by_rule.map(|rule| (rule.name.as_str().into(), count(rule.occurrences)));
    let latest = status.occurrences.iter().filter_map(occurrence).map(Arc::new);
    History::restored(latest, count(status.summary.occurrences), by_rule.collect())
}

/// The finding that a status lists; none when it lacks what identifies it.
pub fn from_status(status: &FindingStatus) -> Option<Finding> {
    let (key, object) = match (&status.group, &status.resource) {
        (Some(group), _) => {
            (FindingKey::of_group(status.rule.as_str().into(), group), ObjectId::of_group(group))
        }
        (None, Some(resource)) => identity(&status.rule, resource)?,
        (None, None) => return None,
    };
    Some(Finding {
        key,
        severity: status.severity.into(),
        object,
        message: status.message.as_str().into(),
        fields: fields::read(&status.fields, status.fields_omitted),
        chain: chain::read(&status.chain),
        tags: Tags::default(),
        since: status.since.parse().ok()?,
        flaps: u32::try_from(status.flaps).unwrap_or_default(),
    })
}

fn occurrence(status: &OccurrenceStatus) -> Option<Occurrence> {
    let (key, object) = identity(&status.rule, &status.resource)?;
    let finding = Finding {
        key,
        severity: status.severity.into(),
        object,
        message: status.message.as_str().into(),
        fields: fields::read(&status.fields, status.fields_omitted),
        chain: Chain::default(),
        tags: Tags::default(),
        since: status.time.parse().ok()?,
        flaps: 0,
    };
    Some(Occurrence {
        finding: Arc::new(finding),
        operation: status.operation.into(),
        resource_version: status.resource_version.as_str().into(),
    })
}

fn identity(rule: &str, resource: &ObjectRef) -> Option<(FindingKey, ObjectId)> {
    let object = ObjectId {
        api_version: resource.api_version.as_str().into(),
        kind: resource.kind.as_str().into(),
        namespace: resource.namespace.as_deref().map(Into::into),
        name: resource.name.as_str().into(),
        uid: resource.uid.as_deref()?.into(),
    };
    let selection = resource.selected_by.as_deref()?.into();
    Some((FindingKey { rule: rule.into(), selection, uid: object.uid.clone() }, object))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::rules::Operation;

    fn occurrence(version: u32) -> Arc<Occurrence> {
        let object = ObjectId {
            api_version: "v1".into(),
            kind: "ConfigMap".into(),
            namespace: None,
            name: "a".into(),
            uid: "u".into(),
        };
        let finding = Finding {
            key: FindingKey { rule: "r".into(), selection: "maps".into(), uid: "u".into() },
            severity: crate::core::finding::Severity::High,
            object,
            message: "m".into(),
            fields: crate::core::fields::Fields::default(),
            chain: Chain::default(),
            tags: crate::core::tags::Tags::default(),
            since: Timestamp::UNIX_EPOCH,
            flaps: 0,
        };
        let (operation, resource_version) = (Operation::Update, version.to_string().into());
        Arc::new(Occurrence { finding: Arc::new(finding), operation, resource_version })
    }

    fn history(versions: std::ops::Range<u32>) -> History {
        let mut history = History::default();
        versions.for_each(|version| history.add(occurrence(version)));
        history
    }

    fn told(history: &History) -> (u64, Vec<String>) {
        (history.total(), history.latest().map(|o| o.resource_version.to_string()).collect())
    }

    #[test]
    fn what_the_status_knows_beyond_the_memory_is_the_latest() {
        // A status lists the last 20.
        let of_status = |total: u32| {
            let all = history(0..total);
            let by_rule = all.by_rule().map(|(rule, count)| (rule.clone(), count)).collect();
            History::restored(all.latest().take(20).cloned(), all.total(), by_rule)
        };
        let merged = |status, left: &History| merged_history(status, left).expect("a history");
        assert_eq!(merged(Some(of_status(30)), &history(0..28)), history(0..30));
        assert_eq!(merged(Some(of_status(28)), &history(0..30)), history(0..30));
        assert_eq!(merged(None, &history(0..30)), history(0..30));
        assert_eq!(told(&merged(Some(of_status(30)), &History::default())), told(&of_status(30)));
        assert_eq!(merged_history(Some(History::default()), &History::default()), None);
    }
}
