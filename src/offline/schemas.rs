//! What CustomResourceDefinitions among the manifests say of their kinds.

use std::sync::Arc;

use serde::Deserialize;

use super::input::Source;
use super::{InputError, items};
use crate::core::policy::{CompiledPolicy, Selection};
use crate::core::schema::{Definition, Schema};
use crate::yaml::Tree;

/// One definition.
#[derive(Debug)]
pub struct Defined {
    pub(super) group: String,
    pub(super) kind: String,
    pub(super) plural: String,
    pub(super) namespaced: bool,
    /// Versions that are served, the preferred one first as far as the definition tells.
    served: Vec<String>,
    /// The schemas, or why they cannot be read.
    pub(super) definition: Result<Definition, String>,
}

impl Defined {
    /// Reads an object whose kind is CustomResourceDefinition.
    pub(super) fn read(tree: &Tree) -> Self {
        let json = tree.to_json();
        let text = |path: &[&str]| tree.str_at(path).unwrap_or_default().to_owned();
        let versions = json["spec"]["versions"].as_array().into_iter().flatten();
        let served = versions.filter(|version| version["served"] != false);
        Self {
            group: text(&["spec", "group"]),
            kind: text(&["spec", "names", "kind"]),
            plural: text(&["spec", "names", "plural"]),
            namespaced: text(&["spec", "scope"]) != "Cluster",
            served: served.filter_map(|version| version["name"].as_str().map(str::to_owned)).collect(),
            definition: Definition::deserialize(&json).map_err(|error| error.to_string()),
        }
    }
}

/// Reads the definitions in `sources`; whatever else is there is left alone.
///
/// # Errors
/// Texts that cannot be read, and definitions that are none.
pub fn read(sources: &[Source]) -> Result<Vec<Defined>, Vec<InputError>> {
    let (mut all, mut errors) = (Vec::new(), Vec::new());
    for source in sources {
        match items(source) {
            Ok(found) => all.extend(found),
            Err(error) => errors.push(error),
        }
    }
    let mut defined = Vec::new();
    for item in all.iter().filter(|item| item.tree.str_at(&["kind"]) == Some("CustomResourceDefinition")) {
        let found = Defined::read(&item.tree);
        match &found.definition {
            Ok(_) => defined.push(found),
            Err(error) => {
                errors.push(item.error(item.tree.at, format!("this is no CustomResourceDefinition: {error}")))
            }
        }
    }
    if errors.is_empty() { Ok(defined) } else { Err(errors) }
}

/// For each selection of a policy the schema of its kind, as far as it is known.
pub fn of(policy: &CompiledPolicy, defined: &[Defined]) -> Vec<Option<Arc<Schema>>> {
    policy.selections.iter().map(|selection| of_selection(selection, defined).map(Arc::new)).collect()
}

fn of_selection(selection: &Selection, defined: &[Defined]) -> Option<Schema> {
    let target = &selection.target;
    let found = defined.iter().find(|found| found.group == target.group && found.kind == target.kind)?;
    let version = target.version.as_ref().or(found.served.first())?;
    found.definition.as_ref().ok()?.version(version)
}
