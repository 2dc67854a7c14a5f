//! From the resources of an admission policy, which are plurals, to kinds.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::admissionregistration::v1::{NamedRuleWithOperations, ValidatingAdmissionPolicySpec};

use super::bindings::{Bound, both};
use super::refuse::about_changes;
use crate::api::monitor_policy::{Operation, ResourceSelection};
use crate::offline::kinds::by_plural;
use crate::offline::{InputError, Item};

/// Kinds by plural and group, of resources that are not built in.
pub type PluralNames = BTreeMap<(String, String), String>;

/// The selections that the rules of a policy mean.
pub(super) fn resources(
    item: &Item,
    spec: &ValidatingAdmissionPolicySpec,
    bound: &Bound,
    names: &PluralNames,
    dropped: &mut Vec<String>,
) -> Result<Vec<ResourceSelection>, Vec<InputError>> {
    let matched = spec.match_constraints.clone().unwrap_or_default();
    let namespaces = both(matched.namespace_selector.as_ref(), bound.resources.namespace_selector.as_ref());
    let labels = both(matched.object_selector.as_ref(), bound.resources.object_selector.as_ref());
    let (mut selections, mut errors, mut taken) = (Vec::new(), Vec::new(), BTreeSet::new());
    let states = spec.validations.iter().flatten().any(|validation| !about_changes(spec, validation));
    for (n, rule) in matched.resource_rules.iter().flatten().enumerate() {
        let mut wrong = |field: &str, text: String| {
            let path = format!("spec.matchConstraints.resourceRules[{n}].{field}");
            errors.push(item.error(item.tree.place_of(&path), format!("{path}: {text}")));
        };
        if states && let Some(text) = operations(rule, dropped) {
            wrong("operations", text);
        }
        let plurals: Vec<&str> = rule.resources.iter().flatten().map(String::as_str).collect();
        let (subs, plurals): (Vec<&str>, Vec<&str>) =
            plurals.into_iter().partition(|name| name.contains('/'));
        match (subs.is_empty(), plurals.is_empty()) {
            (false, true) => wrong("resources", format!("{} have no objects to watch", subs.join(", "))),
            (false, false) => dropped.push(format!("{}, which have no objects to watch", subs.join(", "))),
            _ => {}
        }
        for group in rule.api_groups.iter().flatten() {
            for plural in &plurals {
                if group == "*" || *plural == "*" {
                    let text = "every kind at once is too much to watch; name the resources";
                    wrong(if group == "*" { "apiGroups" } else { "resources" }, text.to_owned());
                    continue;
                }
                let kind_in = |group: &String| {
                    let own = names.get(&((*plural).to_owned(), group.clone())).cloned();
                    own.or_else(|| by_plural(group, plural).map(|known| known.kind.to_owned()))
                };
                let Some(kind) = kind_in(group) else {
                    // Every group with every plural is what such a rule says, and not what it means.
                    if rule.api_groups.iter().flatten().any(|other| kind_in(other).is_some()) {
                        dropped.push(format!("{plural} of the group {group:?}, which has none"));
                        continue;
                    }
                    let dot = if group.is_empty() { "" } else { "." };
                    let text = format!(
                        "which kind {plural}{dot}{group} is, is not known; say --kind {plural}{dot}{group}=KIND"
                    );
                    wrong("resources", text);
                    continue;
                };
                let mut name = (*plural).to_owned();
                if !taken.insert(name.clone()) {
                    name = format!("{plural}-{}", selections.len() + 1);
                    taken.insert(name.clone());
                }
                selections.push(ResourceSelection {
                    name,
                    api_version: api_version(group, rule, dropped),
                    kind,
                    namespaces: Vec::new(),
                    names: rule.resource_names.clone().unwrap_or_default(),
                    namespace_selector: namespaces.clone(),
                    exclude_namespaces: Vec::new(),
                    label_selector: labels.clone(),
                    field_selector: None,
                });
            }
        }
    }
    if selections.is_empty() && errors.is_empty() {
        let path = "spec.matchConstraints.resourceRules";
        errors.push(item.error(item.tree.place_of(path), format!("{path}: it selects nothing")));
    }
    if errors.is_empty() { Ok(selections) } else { Err(errors) }
}

/// A kind is watched in one version, into which the server converts whatever is stored.
fn api_version(group: &str, rule: &NamedRuleWithOperations, dropped: &mut Vec<String>) -> String {
    let versions: Vec<&str> = rule.api_versions.iter().flatten().map(String::as_str).collect();
    let version = match versions.as_slice() {
        [first, others @ ..] if *first != "*" => {
            if !others.is_empty() {
                let others = others.join(", ");
                dropped.push(format!("versions {others} of {group:?}; the server converts to {first}"));
            }
            first
        }
        _ if group.is_empty() => "v1",
        _ => "*",
    };
    match group {
        "" => version.to_owned(),
        group => format!("{group}/{version}"),
    }
}

/// The changes that a policy is about, of whichever of its resources.
pub(super) fn changes(spec: &ValidatingAdmissionPolicySpec) -> Vec<Operation> {
    let rules = spec.match_constraints.iter().flat_map(|matched| matched.resource_rules.iter().flatten());
    let named: BTreeSet<&str> =
        rules.flat_map(|rule| rule.operations.iter().flatten()).map(String::as_str).collect();
    let operations =
        [("CREATE", Operation::Create), ("UPDATE", Operation::Update), ("DELETE", Operation::Delete)];
    let of = |name: &str| named.contains(name) || named.contains("*");
    operations.into_iter().filter(|(name, _)| of(name)).map(|(_, operation)| operation).collect()
}

/// What is watched is the state that objects have, however they came to it.
fn operations(rule: &NamedRuleWithOperations, dropped: &mut Vec<String>) -> Option<String> {
    let operations: Vec<&str> = rule.operations.iter().flatten().map(String::as_str).collect();
    let states = operations.iter().any(|operation| ["CREATE", "UPDATE", "*"].contains(operation));
    if !states {
        let text = "a rule judges the state of objects, which only CREATE and UPDATE bring about";
        return Some(format!("{} can not be watched for: {text}", operations.join(", ")));
    }
    let lost: Vec<&str> = operations.into_iter().filter(|o| ["DELETE", "CONNECT"].contains(o)).collect();
    if !lost.is_empty() {
        dropped.push(format!("operations {}: a rule judges the state of objects", lost.join(", ")));
    }
    None
}
