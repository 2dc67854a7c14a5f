//! What an earlier process left in the cluster: the findings that were open or pending, and what was told of them.
//!
//! Sources are the status of each policy, which lists the worst, and the Events on objects, which last for as
//! long as the API server keeps Events. A finding in neither is announced once more.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::events::v1::Event;
use kube::Client;
use kube::api::{Api, ListParams};
use tracing::{info, warn};

use super::events::{Announced, Told, ToldByPolicy, happened, parse};
use super::{chain, fields};
use crate::api::REPORTING_CONTROLLER;
use crate::api::status::{FindingStatus, MonitorPolicyStatus, ObjectRef, OccurrenceStatus};
use crate::core::chain::Chain;
use crate::core::engine::Engine;
use crate::core::finding::{Finding, FindingKey, ObjectId, Occurrence, PolicyKey};
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

/// Fills a new engine with what was open and returns what was told.
pub async fn restore(
    client: &Client,
    published: &Published,
    metrics: &Metrics,
    engine: &mut Engine,
) -> ToldByPolicy {
    let events = match read_patiently(client).await {
        Ok(events) => Some(events),
        Err(error) => {
            metrics.error(ErrorKind::EventWrite);
            warn!(%error, "the Events of an earlier process can not be read; some findings may be announced again");
            None
        }
    };
    let complete = events.is_some();
    let events = events.unwrap_or_default();
    let mut told = last_told(published, &events);
    let (mut count, now) = (0, Timestamp::now());
    for (key, policy) in published.policies.iter() {
        let Announced { findings: told, occurrences } = told.entry(key.clone()).or_default();
        let mut open: HashMap<FindingKey, Arc<Finding>> = told.clone();
        let status = published.statuses.get(key);
        let listed = status.into_iter().flat_map(|status| &status.findings);
        for finding in listed.filter_map(from_status) {
            // It opened when its rule had waited.
            let rule = policy.rules.iter().find(|rule| rule.name == finding.key.rule);
            let opened = rule.map_or(finding.since, |rule| rule.patience.opens(finding.since));
            let young = now.duration_since(opened) < EVENTS_LAST;
            // Of a young finding there would be an Event if it had been told.
            if !(complete && young) {
                told.entry(finding.key.clone()).or_insert_with(|| Arc::new(finding.clone()));
            }
            // The status has the last word, and the Event the exact time.
            let since = open.get(&finding.key).map_or(finding.since, |known| known.since);
            open.insert(finding.key.clone(), Arc::new(Finding { since, ..finding }));
        }
        if let Some(status) = status {
            let history = history(status);
            let known = history.latest().filter(|occurrence| {
                let young = now.duration_since(occurrence.finding.since) < EVENTS_LAST;
                !(complete && young) || happened(key, policy, occurrence, &events)
            });
            occurrences.extend(known.map(|occurrence| occurrence.id()));
            engine.restore_history(key.clone(), policy.uid.clone(), history);
        }
        let pending = status.into_iter().flat_map(|status| &status.pending).filter_map(from_status);
        engine.restore_pending(key.clone(), policy.uid.clone(), pending.collect());
        count += open.len();
        let open = open.into_values().map(Arc::unwrap_or_clone).collect();
        engine.restore(key.clone(), policy.uid.clone(), open);
    }
    info!(findings = count, "restored what an earlier process had open");
    told
}

/// A new leader may start when the API server has just come back and refuses some requests.
async fn read_patiently(client: &Client) -> Result<Vec<Event>, String> {
    let mut last = format!("no answer within {} s", TIMEOUT.as_secs());
    let attempts = async {
        loop {
            match read(client).await {
                Ok(events) => return Ok(events),
                Err(kube::Error::Api(status)) if status.is_forbidden() => return Err(status.message),
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(RETRY.mul_f64(0.5 + fastrand::f64())).await;
        }
    };
    let read = tokio::time::timeout(TIMEOUT, attempts).await;
    read.unwrap_or(Err(last))
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
