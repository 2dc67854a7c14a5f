//! What a report says, and how a later process reads it again. Pure.
//!
//! The form is `openreports.io/v1alpha1`, see `config/openreports`
//! (<https://github.com/openreports/reports-api/blob/main/docs/api-docs.md>). Where it leaves something open, the keys of
//! `properties` are ours; docs/reports.md lists them.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::{chain, fields};
use crate::api::{FIELD_MANAGER, MonitorPolicy};
use crate::core::finding::{Finding, FindingKey, PolicyKey, Severity};
use crate::core::hash::{fnv1a, mixed};
use crate::core::slices::Leaf;

/// Group of the API.
pub const GROUP: &str = "openreports.io";
const VERSION: &str = "v1alpha1";
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
const POLICY: &str = "polywatch.dev/policy";
/// Tells the overview from the slices.
const REPORT: &str = "polywatch.dev/report";
/// What the labels of our reports are found by.
pub const SELECTOR: &str = "app.kubernetes.io/managed-by=polywatch,polywatch.dev/report";
/// Longest value of a label, in bytes.
const MAX_LABEL_LEN: usize = 63;
/// Most bytes of a policy's name in the name of a report: with what follows it stays below 253.
const MAX_POLICY_LEN: usize = 120;
/// Most bytes of fields, and of the chain, in the properties of a result.
const MAX_LIST_LEN: usize = 4096;

/// Where a report is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Namespace; none for a ClusterReport.
    pub namespace: Option<Arc<str>>,
    /// Name.
    pub name: Arc<str>,
}

impl Place {
    /// Its kind.
    pub fn resource(&self) -> ApiResource {
        resource(self.namespace.is_some())
    }
}

/// The kind of reports in namespaces, or of those of the cluster.
pub fn resource(namespaced: bool) -> ApiResource {
    let (kind, plural) = match namespaced {
        true => ("Report", "reports"),
        false => ("ClusterReport", "clusterreports"),
    };
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, VERSION, kind), plural)
}

/// All that a report says beside its results. What others add to labels and annotations is not ours.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Head {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    owners: Vec<OwnerReference>,
    source: String,
    scope: Option<ObjectReference>,
    summary: Summary,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Summary {
    #[serde(default)]
    fail: i64,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReportResult {
    source: String,
    policy: String,
    rule: String,
    severity: Severity,
    timestamp: Seconds,
    result: String,
    scored: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    resources: Vec<ObjectReference>,
    message: String,
    #[serde(default)]
    properties: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Seconds {
    seconds: i64,
    nanos: i32,
}

/// Exact totals of a policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Open findings.
    pub open: usize,
    /// Those that reports list.
    pub listed: usize,
    /// By severity, in the order of [`Severity::ALL`].
    pub by_severity: [usize; 5],
    /// Selections of which not everything is known, in the order of their names.
    pub not_known: Vec<Arc<str>>,
}

/// The policy that reports are about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Its name.
    pub key: &'a PolicyKey,
    /// Its UID.
    pub uid: &'a str,
}

impl Subject<'_> {
    /// The report that says how many findings there are.
    pub fn overview(&self) -> Place {
        Place { namespace: None, name: self.name().into() }
    }

    /// The report of a slice.
    pub fn slice(&self, namespace: Option<&Arc<str>>, leaf: Leaf) -> Place {
        Place { namespace: namespace.cloned(), name: format!("{}-s{leaf}", self.name()).into() }
    }

    /// Another one for a policy that comes in place of one of the same name: what is deleted with the first is not what
    /// is written for the second.
    fn name(&self) -> String {
        let name = &self.key.0;
        // It must not end where a name may not: `-` follows.
        let cut = &name[..name.floor_char_boundary(MAX_POLICY_LEN)];
        let cut = cut.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        format!("polywatch-{cut}-{:08x}", mixed(fnv1a([name, self.uid])) >> 32)
    }

    /// The head of the overview.
    pub fn overview_head(&self, totals: &Totals) -> Head {
        let mut annotations = BTreeMap::new();
        let mut note = |key: &str, text: String| annotations.insert(format!("polywatch.dev/{key}"), text);
        note("findings-open", totals.open.to_string());
        note("findings-listed", totals.listed.to_string());
        note("findings-omitted", totals.open.saturating_sub(totals.listed).to_string());
        let by_severity = Severity::ALL.iter().zip(totals.by_severity).rev();
        let by_severity: Vec<String> =
            by_severity.map(|(severity, count)| format!("{}={count}", severity.as_str())).collect();
        note("findings-by-severity", by_severity.join(" "));
        if !totals.not_known.is_empty() {
            note("resources-not-known", totals.not_known.join(" "));
        }
        Head { annotations, ..self.head("overview", None, totals.open) }
    }

    /// The head of a slice of so many findings.
    pub fn slice_head(&self, namespace: Option<&Arc<str>>, findings: usize) -> Head {
        self.head("findings", namespace, findings)
    }

    fn head(&self, report: &str, namespace: Option<&Arc<str>>, findings: usize) -> Head {
        let owner = OwnerReference {
            api_version: MonitorPolicy::api_version(&()).into_owned(),
            kind: MonitorPolicy::kind(&()).into_owned(),
            name: self.key.to_string(),
            uid: self.uid.to_owned(),
            ..OwnerReference::default()
        };
        // What names no object, which is a group, is about the scope.
        let scope = namespace.is_none().then(|| ObjectReference {
            api_version: Some(owner.api_version.clone()),
            kind: Some(owner.kind.clone()),
            name: Some(owner.name.clone()),
            uid: Some(owner.uid.clone()),
            ..ObjectReference::default()
        });
        let labels = [(MANAGED_BY, FIELD_MANAGER), (POLICY, &policy_label(self.key)), (REPORT, report)];
        Head {
            labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            annotations: BTreeMap::new(),
            owners: vec![owner],
            source: FIELD_MANAGER.to_owned(),
            scope,
            summary: Summary { fail: i64::try_from(findings).unwrap_or(i64::MAX) },
        }
    }

    /// What a report says of a finding that is open since a second.
    pub fn result(&self, finding: &Finding, since: i64) -> ReportResult {
        let object = &finding.object;
        let resource = ObjectReference {
            api_version: Some(object.api_version.to_string()),
            kind: Some(object.kind.to_string()),
            namespace: object.namespace.as_ref().map(ToString::to_string),
            name: Some(object.readable_name()),
            uid: Some(object.uid.to_string()),
            ..ObjectReference::default()
        };
        let mut properties = BTreeMap::new();
        let mut note = |key: &str, text: String| properties.insert(key.to_owned(), text);
        note("policyUid", self.uid.to_owned());
        if let Ok(since) = Timestamp::from_second(since) {
            note("since", since.to_string());
        }
        match finding.key.group() {
            Some(group) => note("group", group.to_owned()),
            None => note("selection", finding.key.selection.to_string()),
        };
        if finding.flaps > 0 {
            note("flaps", finding.flaps.to_string());
        }
        let mut list = |key: &str, (text, omitted): (String, usize)| {
            if text != "[]" {
                note(key, text);
            }
            if omitted > 0 {
                note(&format!("{key}Omitted"), omitted.to_string());
            }
        };
        list("fields", as_many(&fields::listed(&finding.fields), finding.fields.omitted));
        list("chain", as_many(&chain::listed(&finding.chain), 0));
        ReportResult {
            source: FIELD_MANAGER.to_owned(),
            policy: self.key.to_string(),
            rule: finding.key.rule.to_string(),
            severity: finding.severity,
            timestamp: Seconds { seconds: since, nanos: 0 },
            result: "fail".to_owned(),
            scored: true,
            resources: if finding.key.group().is_none() { vec![resource] } else { Vec::new() },
            message: finding.message.to_string(),
            properties,
        }
    }
}

/// JSON of as many items as fit, and how many are left out with those that were before.
fn as_many<T: Serialize>(items: &[T], omitted: usize) -> (String, usize) {
    let mut text = String::from("[");
    let mut fit = 0;
    for item in items {
        let item = serde_json::to_string(item).unwrap_or_default();
        if item.is_empty() || text.len() + item.len() + ",]".len() > MAX_LIST_LEN {
            break;
        }
        if fit > 0 {
            text.push(',');
        }
        text.push_str(&item);
        fit += 1;
    }
    text.push(']');
    (text, omitted + items.len() - fit)
}

/// A policy's name as the value of a label: cut, with a hash, when it is too long for one.
pub fn policy_label(policy: &PolicyKey) -> String {
    let name = &*policy.0;
    if name.len() <= MAX_LABEL_LEN {
        return name.to_owned();
    }
    format!("{}-{:016x}", &name[..name.floor_char_boundary(MAX_LABEL_LEN - 17)], fnv1a([name]))
}

impl ReportResult {
    /// Which finding it is; none when it lacks what identifies one.
    pub fn key(&self) -> Option<FindingKey> {
        let rule = Arc::from(self.rule.as_str());
        if let Some(group) = self.properties.get("group") {
            return Some(FindingKey::of_group(rule, group));
        }
        let selection = self.properties.get("selection")?.as_str().into();
        Some(FindingKey { rule, selection, uid: self.resources.first()?.uid.as_deref()?.into() })
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// Since when it is open, in seconds.
    pub fn since(&self) -> i64 {
        self.timestamp.seconds
    }

    /// The namespace of its object; none for a cluster scoped one and for a group.
    pub fn namespace(&self) -> Option<Arc<str>> {
        self.resources.first()?.namespace.as_deref().map(Into::into)
    }

    /// Bytes that it takes in a report, and a hash of what it says.
    pub fn measure(&self, hasher: &impl BuildHasher) -> (usize, u64) {
        // A comma follows.
        serde_json::to_vec(self).map(|json| (json.len() + 1, hasher.hash_one(json))).unwrap_or_default()
    }
}

/// A hash of what a report says: its head, and those of its results in order.
pub fn digest(head: &Head, results: impl Iterator<Item = u64>, hasher: &impl BuildHasher) -> u64 {
    let head = serde_json::to_vec(head).unwrap_or_default();
    hasher.hash_one((head, results.collect::<Vec<_>>()))
}

/// A report as it is applied.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Body {
    api_version: String,
    kind: String,
    metadata: ObjectMeta,
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<ObjectReference>,
    summary: Summary,
    results: Vec<ReportResult>,
}

impl Body {
    /// The report at a place.
    pub fn new(place: &Place, head: &Head, results: Vec<ReportResult>) -> Self {
        let resource = place.resource();
        let metadata = ObjectMeta {
            name: Some(place.name.to_string()),
            namespace: place.namespace.as_ref().map(ToString::to_string),
            labels: Some(head.labels.clone()),
            annotations: Some(head.annotations.clone()).filter(|annotations| !annotations.is_empty()),
            owner_references: Some(head.owners.clone()),
            ..ObjectMeta::default()
        };
        Self {
            api_version: resource.api_version,
            kind: resource.kind,
            metadata,
            source: head.source.clone(),
            scope: head.scope.clone(),
            summary: head.summary,
            results,
        }
    }
}

/// A report of ours that is in the cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Where.
    pub place: Place,
    /// Its policy, by name and UID.
    pub policy: (PolicyKey, String),
    /// Its version.
    pub version: String,
    /// What it says beside its results; none when that, or a result, cannot be understood, or was not asked for.
    pub head: Option<Head>,
    /// The results that can be understood.
    pub results: Vec<ReportResult>,
}

impl Found {
    /// A report that was read whole. None when it names no policy: then it is none of ours.
    pub fn read(object: DynamicObject) -> Option<Self> {
        #[derive(Deserialize)]
        struct Content {
            #[serde(default)]
            source: String,
            scope: Option<ObjectReference>,
            #[serde(default)]
            summary: Summary,
            #[serde(default)]
            results: Vec<Value>,
        }
        let found = Self::of(&object.metadata)?;
        let metadata = object.metadata;
        let Ok(content) = serde_json::from_value::<Content>(object.data) else {
            return Some(found);
        };
        let count = content.results.len();
        let results: Vec<ReportResult> =
            content.results.into_iter().filter_map(|result| serde_json::from_value(result).ok()).collect();
        let ours = |texts: Option<BTreeMap<String, String>>| {
            let mut texts = texts.unwrap_or_default();
            texts.retain(|key, _| key.starts_with("polywatch.dev/") || key == MANAGED_BY);
            texts
        };
        let head = Head {
            labels: ours(metadata.labels),
            annotations: ours(metadata.annotations),
            owners: metadata.owner_references.unwrap_or_default(),
            source: content.source,
            scope: content.scope,
            summary: content.summary,
        };
        Some(Self { head: (results.len() == count).then_some(head), results, ..found })
    }

    /// One of which only the metadata was read.
    pub fn of(metadata: &ObjectMeta) -> Option<Self> {
        let kind = MonitorPolicy::kind(&());
        let owner = metadata.owner_references.iter().flatten().find(|owner| owner.kind == kind)?;
        Some(Self {
            place: Place {
                namespace: metadata.namespace.as_deref().map(Into::into),
                name: metadata.name.as_deref()?.into(),
            },
            policy: (PolicyKey(owner.name.as_str().into()), owner.uid.clone()),
            version: metadata.resource_version.clone().unwrap_or_default(),
            head: None,
            results: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests;
