//! What depends on an object, and what it depends on: the part of a cluster that lookups of policies join to it.
//!
//! Made by the engine (`Engine::graph`), shown by `polywatch graph` and `/debug/graph`; the JSON form is the same for
//! both.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::finding::ObjectId;

/// Most objects of one graph; beyond them it is cut off and says so.
pub const MAX_VERTICES: usize = 1_000;

/// A part of what lookups join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Graph {
    /// The object that was asked for, by its [`Vertex::id`].
    pub root: String,
    /// The objects, each once, in the order of their ids.
    pub vertices: Vec<Vertex>,
    /// What each depends on, in order.
    pub edges: Vec<Edge>,
    /// Whether there is more than [`MAX_VERTICES`].
    pub truncated: bool,
}

/// An object, or what is looked for and does not exist.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Vertex {
    /// `KIND[.GROUP]/[NAMESPACE/]NAME`.
    pub id: String,
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name; of several that are looked for by labels and do not exist, the labels.
    pub name: String,
    /// Whether it does not exist.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub missing: bool,
}

/// That an object depends on another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Edge {
    /// What depends.
    pub from: String,
    /// On what.
    pub to: String,
    /// The policy that looks it up.
    pub policy: String,
    /// Its lookup.
    pub lookup: String,
    /// The object that is judged by it.
    pub judged: String,
    /// The rules that read the lookup.
    pub rules: Vec<String>,
    /// Those of them that the judged object does not satisfy at present, for long enough or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub violated: Vec<String>,
}

impl Vertex {
    /// Of an object that exists.
    pub fn of(object: &ObjectId) -> Self {
        let namespace = object.namespace.as_ref().map(ToString::to_string);
        Self::new(&object.api_version, &object.kind, namespace, object.readable_name(), false)
    }

    /// Of one that does not.
    pub fn missing(api_version: &str, kind: &str, namespace: Option<String>, name: String) -> Self {
        Self::new(api_version, kind, namespace, name, true)
    }

    fn new(api_version: &str, kind: &str, namespace: Option<String>, name: String, missing: bool) -> Self {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let target = Wanted {
            kind: kind.to_owned(),
            group: Some(group.to_owned()),
            namespace: namespace.clone(),
            name: name.clone(),
        };
        let id = target.to_string();
        Self { id, api_version: api_version.to_owned(), kind: kind.to_owned(), namespace, name, missing }
    }
}

/// The object that a graph is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its kind.
    pub kind: String,
    /// Its API group; none for any, empty for the core group.
    pub group: Option<String>,
    /// Its namespace.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

/// Why a text names no object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "an object is written as KIND/NAMESPACE/NAME, KIND.GROUP/NAMESPACE/NAME, or KIND/NAME where it lives in no namespace, such as Service/shop/checkout"
)]
pub struct NoObject;

impl FromStr for Wanted {
    type Err = NoObject;

    fn from_str(text: &str) -> Result<Self, NoObject> {
        let parts: Vec<&str> = text.split('/').collect();
        let (kind, namespace, name) = match parts.as_slice() {
            [kind, namespace, name] => (*kind, Some(*namespace), *name),
            [kind, name] => (*kind, None, *name),
            _ => return Err(NoObject),
        };
        let (kind, group) = match kind.split_once('.') {
            Some((kind, group)) => (kind, Some(group.to_owned())),
            None => (kind, None),
        };
        if kind.is_empty() || name.is_empty() || namespace.is_some_and(str::is_empty) {
            return Err(NoObject);
        }
        Ok(Self {
            kind: kind.to_owned(),
            group,
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if let Some(group) = self.group.as_ref().filter(|group| !group.is_empty()) {
            write!(f, ".{group}")?;
        }
        if let Some(namespace) = &self.namespace {
            write!(f, "/{namespace}")?;
        }
        write!(f, "/{}", self.name)
    }
}

impl Wanted {
    /// Whether a kind of this name and API group is meant.
    pub fn is_of(&self, group: &str, kind: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind) && self.group.as_ref().is_none_or(|wanted| wanted == group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_named_as_people_name_them() {
        for text in ["Service/shop/checkout", "Node/n1", "Route.example.io/shop/checkout"] {
            assert_eq!(text.parse::<Wanted>().map(|wanted| wanted.to_string()).as_deref(), Ok(text));
        }
        for text in ["", "Service", "Service/", "/shop/checkout", "Service//checkout", "a/b/c/d"] {
            assert_eq!(text.parse::<Wanted>(), Err(NoObject), "{text}");
        }
        let wanted: Wanted = "service/shop/checkout".parse().expect("an object");
        assert!(wanted.is_of("", "Service") && wanted.is_of("serving.knative.dev", "Service"));
    }
}
