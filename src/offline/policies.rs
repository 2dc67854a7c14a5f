//! From files to policies: what the API server would take and the operator would put in force, or why not.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::input::Source;
use super::validate::faults;
use super::{InputError, Item, items};
use crate::api::{self, MonitorPolicy};
use crate::core::finding::PolicyKey;
use crate::core::policy::CompiledPolicy;
use crate::policy::compile;
use crate::yaml::{Place, Tree};

/// Reads and compiles every MonitorPolicy of `sources`, sorted by name.
///
/// # Errors
/// Everything that is wrong with them: what the schema rejects, what does not compile, names that are given twice;
/// and whatever is no MonitorPolicy.
pub fn read(sources: &[Source]) -> Result<Vec<Arc<CompiledPolicy>>, Vec<InputError>> {
    let schema = schema();
    let mut policies: BTreeMap<PolicyKey, (Arc<CompiledPolicy>, Arc<str>, Place)> = BTreeMap::new();
    let mut errors = Vec::new();
    for source in sources {
        let found = match items(source) {
            Ok(found) => found,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        for item in &found {
            match one(&schema, item) {
                Ok(policy) => {
                    let at = item.tree.place_of("metadata.name");
                    if let Some((_, file, first)) = policies.get(&policy.key) {
                        let text = format!("the policy {} is already in {file}:{first}", policy.key);
                        errors.push(item.error(at, text));
                    } else {
                        policies.insert(policy.key.clone(), (policy, item.file.clone(), at));
                    }
                }
                Err(wrong) => errors.extend(wrong),
            }
        }
    }
    if policies.is_empty() && errors.is_empty() {
        let at = Place::START;
        let file = sources.first().map_or("no file".into(), |source| source.file.clone());
        errors.push(InputError { file, document: 1, at, text: "there is no MonitorPolicy".to_owned() });
    }
    match errors.is_empty() {
        true => Ok(policies.into_values().map(|(policy, ..)| policy).collect()),
        false => Err(errors),
    }
}

/// The schema of a whole MonitorPolicy.
pub(super) fn schema() -> Json {
    // It is made of our own types: there is always one.
    let crds = api::crds().ok().and_then(|crds| serde_json::to_value(crds).ok()).unwrap_or_default();
    let mut crds = crds.as_array().into_iter().flatten();
    let crd = crds.find(|crd| crd["spec"]["names"]["kind"] == "MonitorPolicy").cloned().unwrap_or_default();
    let mut schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
    let text = json!({"type": "string"});
    let texts = json!({"type": "object", "additionalProperties": text});
    let any = json!({"x-kubernetes-preserve-unknown-fields": true, "nullable": true});
    schema["properties"]["apiVersion"] = text.clone();
    schema["properties"]["kind"] = text.clone();
    // What the server itself knows of every object.
    schema["properties"]["metadata"] = json!({
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 253,
                     "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"},
            "labels": texts, "annotations": texts,
            "generateName": text, "namespace": text, "uid": text, "resourceVersion": text, "selfLink": text,
            "generation": any, "creationTimestamp": any, "deletionTimestamp": any, "deletionGracePeriodSeconds": any,
            "finalizers": any, "ownerReferences": any, "managedFields": any,
        },
    });
    schema
}

/// One policy of an item.
pub(super) fn one(schema: &Json, item: &Item) -> Result<Arc<CompiledPolicy>, Vec<InputError>> {
    let typed = typed(schema, item)?;
    let name: Arc<str> = typed.metadata.name.as_deref().unwrap_or_default().into();
    let uid = typed.metadata.uid.as_deref().map_or(name.clone(), Into::into);
    let generation = typed.metadata.generation.unwrap_or(1);
    let policy = compile(PolicyKey(name), uid, generation, &typed.spec);
    if policy.problems.is_empty() {
        return Ok(Arc::new(policy));
    }
    let wrong = policy.problems.iter().map(|problem| {
        item.error(item.tree.place_of(&problem.field), format!("{}: {}", problem.field, problem.message))
    });
    Err(wrong.collect())
}

fn typed(schema: &Json, item: &Item) -> Result<MonitorPolicy, Vec<InputError>> {
    let (api_version, kind) = (item.text(&["apiVersion"]), item.text(&["kind"]));
    let is_ours = matches!((&api_version, &kind), (Ok(version), Ok(kind))
        if *kind == "MonitorPolicy" && version.starts_with(api::GROUP));
    if !is_ours {
        let what = match (api_version, kind) {
            (Ok(api_version), Ok(kind)) => format!("{kind} of {api_version}"),
            (Err(error), _) | (_, Err(error)) => return Err(vec![error]),
        };
        let text = format!(
            "this is a {what}; a MonitorPolicy of {}/v1alpha1 is expected here, and manifests with -r",
            api::GROUP
        );
        return Err(vec![item.error(item.tree.place_of("kind"), text)]);
    }
    let wanted = format!("{}/v1alpha1", api::GROUP);
    if api_version != Ok(&wanted) {
        let text = format!("apiVersion must be {wanted}");
        return Err(vec![item.error(item.tree.place_of("apiVersion"), text)]);
    }
    let faults = faults(schema, &item.tree);
    if !faults.is_empty() {
        return Err(faults.into_iter().map(|fault| item.error(fault.at, fault.text)).collect());
    }
    serde_json::from_value(item.tree.to_json())
        .map_err(|error| vec![item.error(item.tree.at, error.to_string())])
}

/// A policy that stands within another file.
pub(super) fn within(
    schema: &Json,
    file: &Arc<str>,
    tree: &Tree,
) -> Result<Arc<CompiledPolicy>, Vec<InputError>> {
    one(schema, &Item { file: file.clone(), document: 1, tree: tree.clone() })
}
