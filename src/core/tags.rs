//! What is noted of an object beside a finding, because it decides who is told of it: some labels, and whether somebody
//! asked for silence.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::paths::{Keep, Paths};
use super::policy::CompiledPolicy;
use super::project::ProjectedObject;
use super::rules::one_line;
use super::tree::Node;

/// The annotation by which an object asks that sinks are not told of it: a time (RFC 3339).
pub const SILENCE_UNTIL: &str = "polywatch.dev/silence-until";
/// Longest text of an annotation that is no time, in bytes.
const MAX_UNREADABLE: usize = 64;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tags {
    /// Those labels that routes of the policy read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// What [`SILENCE_UNTIL`] says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silence: Option<Silence>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Silence {
    /// Until then.
    Until(Timestamp),
    /// Nothing that can be understood; this is what is there.
    Unreadable(Arc<str>),
}

impl Tags {
    /// What a policy notes of an object.
    pub fn of(policy: &CompiledPolicy, object: &ProjectedObject) -> Self {
        if policy.routes.is_empty() {
            return Self::default();
        }
        let labels = object.labels().into_iter().flat_map(Node::entries);
        let labels = labels.filter(|(key, _)| policy.noted_labels.contains(key));
        let labels = labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.clone())));
        let silence = object.root().str_at(&["metadata", "annotations", SILENCE_UNTIL]);
        Self {
            labels: labels.collect(),
            silence: silence.map(|text| match text.trim().parse() {
                Ok(time) => Silence::Until(time),
                Err(_) => Silence::Unreadable(one_line(text, MAX_UNREADABLE).into()),
            }),
        }
    }

    /// The value of a label, when it is noted.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).map(|value| &**value)
    }

    /// Whether nothing is noted.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.silence.is_none()
    }

    /// Until when nobody is to be told, if that is after `now`.
    pub fn silenced_until(&self, now: Timestamp) -> Option<Timestamp> {
        match self.silence {
            Some(Silence::Until(time)) => Some(time).filter(|time| *time > now),
            Some(Silence::Unreadable(_)) | None => None,
        }
    }
}

impl CompiledPolicy {
    /// The fields of an object that are noted with its findings.
    pub fn noted(&self) -> Paths {
        if self.routes.is_empty() {
            return Paths::NONE;
        }
        let map = |name: &str, below: Paths| {
            Paths::of([(name.into(), Keep::Some(Box::new(below)))], Keep::Nothing, Keep::Nothing)
        };
        let all = |names: BTreeSet<Arc<str>>| {
            Paths::of(names.iter().map(|name| ((&**name).into(), Keep::All)), Keep::Nothing, Keep::Nothing)
        };
        let mut paths = map("metadata", map("annotations", all([SILENCE_UNTIL.into()].into())));
        if !self.noted_labels.is_empty() {
            paths.add(&map("metadata", map("labels", all(self.noted_labels.clone()))));
        }
        paths
    }
}
