//! Which watches the policies want. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::catalog::{Catalog, Served, Unresolved, resource_name};
use crate::core::engine::Reader;
use crate::core::policy::{PolicySet, Target};

/// What makes two watches the same watch, so that policies share it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchKey {
    /// API group; empty for the core group.
    pub group: String,
    /// Version.
    pub version: String,
    /// Name in paths.
    pub plural: String,
    /// Kind.
    pub kind: String,
    /// Whether the kind's objects live in namespaces.
    pub namespaced: bool,
    /// Only this namespace; none for all.
    pub namespace: Option<String>,
    /// Text of the label selector; empty for all.
    pub label_selector: String,
    /// Text of the field selector; empty for all.
    pub field_selector: String,
}

impl WatchKey {
    /// The watch of every namespace of the cluster.
    pub fn namespaces() -> Self {
        Self {
            group: String::new(),
            version: "v1".into(),
            plural: "namespaces".into(),
            kind: "Namespace".into(),
            namespaced: false,
            namespace: None,
            label_selector: String::new(),
            field_selector: String::new(),
        }
    }

    /// `GROUP/VERSION`, or the version alone in the core group.
    pub fn api_version(&self) -> String {
        match self.group.as_str() {
            "" => self.version.clone(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// See [`resource_name`]: the label of metrics, and what status shows.
    pub fn resource(&self) -> String {
        resource_name(&self.plural, &self.version, &self.group)
    }
}

impl fmt::Display for WatchKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.resource())?;
        if let Some(namespace) = &self.namespace {
            write!(f, " in {namespace}")?;
        }
        for selector in [&self.label_selector, &self.field_selector] {
            if !selector.is_empty() {
                write!(f, " [{selector}]")?;
            }
        }
        Ok(())
    }
}

/// What all policies together want.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Each wanted watch, and who reads it.
    pub watches: BTreeMap<WatchKey, BTreeSet<Reader>>,
    /// Those of which managedFields are wanted as well, because a rule asks who changed a field.
    pub managed_fields: BTreeSet<WatchKey>,
    /// Whether the watch of the namespaces is wanted besides.
    pub namespaces: bool,
    /// Selections that mean no watch, and why.
    pub unresolved: BTreeMap<Reader, Unresolved>,
}

/// Compares the policies with what is served.
pub fn wanted(policies: &PolicySet, catalog: &Catalog) -> Wanted {
    let mut wanted = Wanted::default();
    for (key, policy) in policies.iter().filter(|(_, policy)| !policy.suspended) {
        wanted.namespaces |= policy.needs_namespaces();
        for selection in &policy.selections {
            let reader = Reader { policy: key.clone(), selection: selection.name.clone() };
            let resolved = match &selection.invalid {
                Some(text) => Err(Unresolved::Invalid(text.clone())),
                None => catalog.resolve(&selection.target),
            };
            match resolved {
                Ok(served) => {
                    for watch in keys(served, &selection.target) {
                        if policy.asks_who() && !selection.is_baseline {
                            wanted.managed_fields.insert(watch.clone());
                        }
                        wanted.watches.entry(watch).or_default().insert(reader.clone());
                    }
                }
                Err(why) => {
                    wanted.unresolved.insert(reader, why);
                }
            }
        }
    }
    wanted
}

/// One watch for each namespace and name that the selection lists: the API server has no "or" for fields.
fn keys(served: &Served, target: &Target) -> Vec<WatchKey> {
    let each = |set: &BTreeSet<String>| match set.is_empty() {
        true => vec![None],
        false => set.iter().cloned().map(Some).collect(),
    };
    let mut keys = Vec::new();
    for namespace in each(&target.namespaces) {
        for name in each(&target.names) {
            let name = name.map(|name| format!("metadata.name={name}"));
            let fields = [name, Some(target.field_selector.clone()).filter(|text| !text.is_empty())];
            keys.push(WatchKey {
                group: served.group.clone(),
                version: served.version.clone(),
                plural: served.plural.clone(),
                kind: served.kind.clone(),
                namespaced: served.namespaced,
                namespace: namespace.clone(),
                label_selector: target.labels.to_string(),
                field_selector: fields.into_iter().flatten().collect::<Vec<_>>().join(","),
            });
        }
    }
    keys
}

/// Group, version and plural of a watch, as `request.resource` shows them.
pub fn resource_of(key: &WatchKey) -> [Arc<str>; 3] {
    [key.group.as_str().into(), key.version.as_str().into(), key.plural.as_str().into()]
}
