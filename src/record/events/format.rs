//! What an Event says, and how a later process reads it again. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Resource;

use super::super::{chain as record_chain, fields as record_fields};
use super::{BURST, REFILL};
use crate::api::status::{FieldStatus, LinkStatus};
use crate::api::{MonitorPolicy, REPORTING_CONTROLLER};
use crate::core::chain::Chain;
use crate::core::check::Warnings;
use crate::core::fields::Fields;
use crate::core::finding::{Finding, FindingKey, ObjectId, Occurrence, PolicyKey, Severity};
use crate::core::hash::fnv1a;
use crate::core::policy::CompiledPolicy;
use crate::core::rules::one_line;
use crate::core::tags::Tags;

/// Longest note that the API server accepts, in bytes.
const MAX_NOTE_LEN: usize = 1024;
/// Longest name of a reporting instance that it accepts, in bytes.
const MAX_INSTANCE_LEN: usize = 128;
/// Where Events on cluster scoped objects are kept, as `kubectl` expects it.
const CLUSTER_NAMESPACE: &str = "default";

const POLICY: &str = "polywatch.dev/policy";
const POLICY_UID: &str = "polywatch.dev/policy-uid";
const RULE: &str = "polywatch.dev/rule";
const SELECTION: &str = "polywatch.dev/resource";
const GROUP: &str = "polywatch.dev/group";
const SEVERITY: &str = "polywatch.dev/severity";
const SINCE: &str = "polywatch.dev/since";
const FIELDS: &str = "polywatch.dev/fields";
const CHAIN: &str = "polywatch.dev/chain";
const FLAPS: &str = "polywatch.dev/flaps";

/// Why an Event is written: stable words that users select by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// A finding opened.
    FindingOpened,
    /// A finding is no longer open.
    FindingResolved,
    /// A change occurred that a rule does not allow.
    ChangeOccurred,
    /// Findings opened or resolved without Events of their own, for the time being.
    EventsHeldBack,
    /// Expressions of the policy do not fit the schemas of its kinds.
    SchemaWarnings,
}

impl Reason {
    fn as_str(self) -> &'static str {
        match self {
            Self::FindingOpened => "FindingOpened",
            Self::FindingResolved => "FindingResolved",
            Self::ChangeOccurred => "ChangeOccurred",
            Self::EventsHeldBack => "EventsHeldBack",
            Self::SchemaWarnings => "SchemaWarnings",
        }
    }
}

/// The policy that Events are about.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Its name.
    pub name: PolicyKey,
    /// Its UID.
    pub uid: Arc<str>,
    /// Whether it still exists.
    pub exists: bool,
}

impl Subject {
    /// A policy, or what is left of one that is gone: its name.
    pub fn new(name: &PolicyKey, policy: Option<&CompiledPolicy>) -> Self {
        let uid = policy.map_or_else(|| "".into(), |policy| policy.uid.clone());
        Self { name: name.clone(), uid, exists: policy.is_some() }
    }
}

/// What an Event of an earlier process says.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Policy.
    pub policy: PolicyKey,
    /// Its UID.
    pub policy_uid: Arc<str>,
    /// The finding.
    pub finding: Finding,
    /// Whether the Event says that it opened; else, that it resolved.
    pub opened: bool,
    /// When the Event last happened.
    pub at: Timestamp,
}

/// The Event on the object that does not comply.
pub fn on_object(
    subject: &Subject,
    reason: Reason,
    finding: &Finding,
    instance: &str,
    now: Timestamp,
) -> Event {
    let note = note(reason, finding, &suffix(subject, finding));
    let mut event = event(subject, reason, Some(finding), reference(&finding.object), note, instance, now);
    event.metadata.namespace =
        Some(finding.object.namespace.as_deref().unwrap_or(CLUSTER_NAMESPACE).to_owned());
    event.metadata.annotations = Some(annotations(subject, finding));
    event.related = subject.exists.then(|| policy_reference(subject));
    event
}

/// The Events on the objects that failed on the way to what is wrong: those of the failed link of the finding's chain.
/// They say whom it hurts, and carry nothing that [`parse`] reads.
pub fn on_failed(
    subject: &Subject,
    reason: Reason,
    finding: &Finding,
    instance: &str,
    now: Timestamp,
) -> Vec<Event> {
    let objects = finding.chain.failed().map(|link| link.objects.as_slice()).unwrap_or_default();
    let event = |object: &ObjectId| {
        let suffix = format!(" ({}, policy {}, rule {})", finding.object, subject.name, finding.key.rule);
        let note = note(reason, finding, &suffix);
        let mut event = event(subject, reason, Some(finding), reference(object), note, instance, now);
        event.metadata.namespace = Some(object.namespace.as_deref().unwrap_or(CLUSTER_NAMESPACE).to_owned());
        event.related = Some(reference(&finding.object));
        event
    };
    objects.iter().filter(|object| **object != finding.object).map(event).collect()
}

/// The Event on the policy.
pub fn on_policy(
    subject: &Subject,
    reason: Reason,
    finding: &Finding,
    instance: &str,
    now: Timestamp,
) -> Event {
    let suffix = on_policy_suffix(finding);
    let note = note(reason, finding, &suffix);
    let mut event = event(subject, reason, Some(finding), policy_reference(subject), note, instance, now);
    match finding.key.group() {
        None => event.related = Some(reference(&finding.object)),
        // There is no other Event that a later process could read.
        Some(_) => event.metadata.annotations = Some(annotations(subject, finding)),
    }
    event
}

/// The Event on the policy that says that others are held back. The same words each time, so that it is one
/// series; how many they are is in the metrics.
pub fn summary(subject: &Subject, instance: &str, now: Timestamp) -> Event {
    let note = format!(
        "more findings opened or resolved than may have Events of their own at once ({BURST}, then one every \
         {} s); these follow, worst first. status.summary counts all, status.findings names the worst",
        REFILL.as_secs(),
    );
    event(subject, Reason::EventsHeldBack, None, policy_reference(subject), note, instance, now)
}

/// The Event on the policy that says that expressions do not fit the schemas. One for each generation, whatever
/// the schemas say later; nothing without warnings.
pub fn warnings(
    subject: &Subject,
    generation: i64,
    warnings: &Warnings,
    instance: &str,
    now: Timestamp,
) -> Option<Event> {
    let first = warnings.listed.first()?;
    let others = match warnings.listed.len() + warnings.omitted {
        1 => String::new(),
        count => format!(" (and {} more, see status.warnings)", count - 1),
    };
    let text = format!("{} at {}: {}", first.field, first.at, first.message);
    let note = one_line(&text, MAX_NOTE_LEN - others.len()) + &others;
    let mut event =
        event(subject, Reason::SchemaWarnings, None, policy_reference(subject), note, instance, now);
    let own = [&*subject.uid, Reason::SchemaWarnings.as_str(), &generation.to_string()];
    event.metadata.name = Some(name(subject, fnv1a(own)));
    event.action = Some("Check".into());
    Some(event)
}

/// When an Event last happened.
pub fn last_time(event: &Event) -> Option<Timestamp> {
    let again = event.series.as_ref().map(|series| series.last_observed_time.0);
    again.or_else(|| event.event_time.as_ref().map(|time| time.0))
}

/// Reads an Event on an object, or on the policy for a group, back; nothing for Events of another shape.
pub fn parse(event: &Event) -> Option<Told> {
    let annotations = event.metadata.annotations.as_ref()?;
    let text = |key: &str| annotations.get(key).map(|text| Arc::<str>::from(text.as_str()));
    let regarding = event.regarding.as_ref()?;
    let opened = match event.reason.as_deref()? {
        "FindingOpened" => true,
        "FindingResolved" => false,
        _ => return None,
    };
    let severity =
        Severity::ALL.into_iter().find(|s| annotations.get(SEVERITY).is_some_and(|t| t == s.as_str()))?;
    let subject = Subject { name: PolicyKey(text(POLICY)?), uid: text(POLICY_UID)?, exists: true };
    let group = annotations.get(GROUP);
    let named = |regarding: &ObjectReference| {
        Some(ObjectId {
            api_version: regarding.api_version.as_deref()?.into(),
            kind: regarding.kind.as_deref()?.into(),
            namespace: regarding.namespace.as_deref().filter(|n| !n.is_empty()).map(Into::into),
            name: regarding.name.as_deref()?.into(),
            uid: regarding.uid.as_deref()?.into(),
        })
    };
    let object = match group {
        Some(key) => ObjectId::of_group(key),
        None => named(regarding)?,
    };
    let mut finding = Finding {
        key: FindingKey { rule: text(RULE)?, selection: text(SELECTION)?, uid: object.uid.clone() },
        severity,
        object,
        message: "".into(),
        fields: fields(annotations.get(FIELDS).map(String::as_str)),
        chain: chain(annotations.get(CHAIN).map(String::as_str)),
        tags: Tags::default(),
        since: annotations.get(SINCE)?.parse().ok()?,
        flaps: annotations.get(FLAPS).and_then(|text| text.parse().ok()).unwrap_or_default(),
    };
    let note = event.note.as_deref().unwrap_or_default();
    let suffix = if group.is_some() { on_policy_suffix(&finding) } else { suffix(&subject, &finding) };
    finding.message = note.strip_suffix(&suffix).unwrap_or(note).into();
    let at = last_time(event)?;
    Some(Told { policy: subject.name, policy_uid: subject.uid, finding, opened, at })
}

/// The name follows from what the Event says and of what, so that what happens again becomes a series, and a
/// restarted process does not tell it anew. The note is part of it: the API server lets no note be changed.
fn event(
    subject: &Subject,
    reason: Reason,
    finding: Option<&Finding>,
    regarding: ObjectReference,
    note: String,
    instance: &str,
    now: Timestamp,
) -> Event {
    let key = finding.map(|finding| [&*finding.key.rule, &finding.key.selection, &finding.key.uid]);
    let about = regarding.uid.as_deref().unwrap_or_default();
    let own = [&*subject.uid, reason.as_str(), about, &note];
    let id = fnv1a(own.into_iter().chain(key.into_iter().flatten()));
    let normal = reason == Reason::FindingResolved || finding.is_some_and(|f| f.severity == Severity::Info);
    Event {
        metadata: ObjectMeta {
            name: Some(name(subject, id)),
            namespace: Some(CLUSTER_NAMESPACE.into()),
            ..ObjectMeta::default()
        },
        regarding: Some(regarding),
        note: Some(note),
        action: Some("Judge".into()),
        reason: Some(reason.as_str().into()),
        type_: Some(if normal { "Normal" } else { "Warning" }.into()),
        reporting_controller: Some(REPORTING_CONTROLLER.into()),
        reporting_instance: Some(one_line(instance, MAX_INSTANCE_LEN)),
        event_time: Some(MicroTime(now)),
        ..Event::default()
    }
}

fn name(subject: &Subject, id: u64) -> String {
    let prefix: String = subject.name.0.chars().take(200).collect();
    format!("{}.{id:016x}", prefix.trim_end_matches(['.', '-']))
}

fn note(reason: Reason, finding: &Finding, suffix: &str) -> String {
    let prefix = if reason == Reason::FindingResolved { "resolved: " } else { "" };
    let room = MAX_NOTE_LEN.saturating_sub(prefix.len() + suffix.len());
    format!("{prefix}{}{suffix}", one_line(&finding.message, room))
}

fn suffix(subject: &Subject, finding: &Finding) -> String {
    let severity = finding.severity.as_str();
    format!(" (policy {}, rule {}, {severity}{})", subject.name, finding.key.rule, opened_often(finding))
}

/// How often it opened, where that is worth a word.
fn opened_often(finding: &Finding) -> String {
    match finding.flaps {
        0 => String::new(),
        flaps => format!(", opened {flaps} times lately"),
    }
}

fn on_policy_suffix(finding: &Finding) -> String {
    let Finding { object, key, severity, .. } = finding;
    format!(" ({object}, rule {}, {}{})", key.rule, severity.as_str(), opened_often(finding))
}

/// The fields of an annotation; none when it is not there or of another shape.
fn fields(annotation: Option<&str>) -> Fields {
    let listed: Vec<FieldStatus> =
        annotation.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    record_fields::read(&listed, 0)
}

/// The chain of an annotation; none when it is not there or of another shape.
fn chain(annotation: Option<&str>) -> Chain {
    let listed: Vec<LinkStatus> =
        annotation.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    record_chain::read(&listed)
}

/// Whether the Event on the policy tells of an occurrence already.
pub fn happened(
    name: &PolicyKey,
    policy: &CompiledPolicy,
    occurrence: &Occurrence,
    events: &[Event],
) -> bool {
    let (subject, since) = (Subject::new(name, Some(policy)), occurrence.finding.since);
    let wanted = on_policy(&subject, Reason::ChangeOccurred, &occurrence.finding, "", since).metadata.name;
    let known = events.iter().find(|event| event.metadata.name == wanted);
    known.and_then(last_time).is_some_and(|last| last >= since)
}

fn annotations(subject: &Subject, finding: &Finding) -> BTreeMap<String, String> {
    let fields = record_fields::listed(&finding.fields);
    // Only findings that list fields have them, each of a bounded size.
    let fields = (!fields.is_empty()).then(|| serde_json::to_string(&fields).unwrap_or_default());
    let always = [
        (POLICY, subject.name.to_string()),
        (POLICY_UID, subject.uid.to_string()),
        (RULE, finding.key.rule.to_string()),
        (SELECTION, finding.key.selection.to_string()),
        (SEVERITY, finding.severity.as_str().to_owned()),
        (SINCE, finding.since.to_string()),
    ];
    let chain = record_chain::listed(&finding.chain);
    let chain = (!chain.is_empty()).then(|| serde_json::to_string(&chain).unwrap_or_default());
    let group = finding.key.group().map(|key| (GROUP, key.to_owned()));
    let flaps = (finding.flaps > 0).then(|| (FLAPS, finding.flaps.to_string()));
    let all = always.into_iter().chain(group).chain(fields.map(|fields| (FIELDS, fields)));
    let all = all.chain(chain.map(|chain| (CHAIN, chain))).chain(flaps);
    all.map(|(key, value)| (key.to_owned(), value)).collect()
}

fn reference(object: &ObjectId) -> ObjectReference {
    ObjectReference {
        api_version: Some(object.api_version.to_string()),
        kind: Some(object.kind.to_string()),
        namespace: object.namespace.as_ref().map(ToString::to_string),
        name: Some(object.name.to_string()),
        uid: Some(object.uid.to_string()),
        ..ObjectReference::default()
    }
}

fn policy_reference(subject: &Subject) -> ObjectReference {
    ObjectReference {
        api_version: Some(MonitorPolicy::api_version(&()).into_owned()),
        kind: Some(MonitorPolicy::kind(&()).into_owned()),
        name: Some(subject.name.to_string()),
        uid: Some(subject.uid.to_string()),
        ..ObjectReference::default()
    }
}

#[cfg(test)]
mod tests;
