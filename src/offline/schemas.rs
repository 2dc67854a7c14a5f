//! The schemas that CustomResourceDefinitions among the manifests give.

use std::sync::Arc;

use serde::Deserialize;

use super::input::Source;
use super::{InputError, items};
use crate::core::policy::{CompiledPolicy, Selection};
use crate::core::schema::{Definition, Schema};

/// One definition: the kind, and its versions.
#[derive(Debug)]
pub struct Defined {
    group: String,
    kind: String,
    /// Those that are served, the preferred one first as far as the definition tells.
    served: Vec<String>,
    definition: Definition,
}

/// Reads the definitions in `sources`; whatever else is there is left alone.
///
/// # Errors
/// Texts that cannot be read, and definitions that are none.
pub fn read(sources: &[Source]) -> Result<Vec<Defined>, Vec<InputError>> {
    let (mut defined, mut errors) = (Vec::new(), Vec::new());
    for source in sources {
        let found = match items(source) {
            Ok(found) => found,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        for item in
            found.iter().filter(|item| item.tree.str_at(&["kind"]) == Some("CustomResourceDefinition"))
        {
            let json = item.tree.to_json();
            let text = |path: &[&str]| item.tree.str_at(path).unwrap_or_default().to_owned();
            let versions = json["spec"]["versions"].as_array().cloned().unwrap_or_default();
            let served = versions
                .iter()
                .filter(|version| version["served"] != false)
                .filter_map(|version| version["name"].as_str().map(str::to_owned))
                .collect();
            match Definition::deserialize(&json) {
                Ok(definition) => defined.push(Defined {
                    group: text(&["spec", "group"]),
                    kind: text(&["spec", "names", "kind"]),
                    served,
                    definition,
                }),
                Err(error) => {
                    errors.push(
                        item.error(item.tree.at, format!("this is no CustomResourceDefinition: {error}")),
                    );
                }
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
    found.definition.version(version)
}
