//! What the binding of a ValidatingAdmissionPolicy adds: selectors, severity, the name.

use k8s_openapi::api::admissionregistration::v1::{
    MatchResources, ParamRef, ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use crate::api::monitor_policy::Severity;
use crate::offline::{InputError, Item};

/// A policy as it is bound.
pub(super) struct Bound {
    /// Name of the MonitorPolicy.
    pub(super) name: String,
    /// Name of the ValidatingAdmissionPolicy.
    pub(super) policy: String,
    /// Name of the binding, when there is one.
    pub(super) binding: Option<String>,
    actions: Vec<String>,
    /// What the binding selects of what the policy selects.
    pub(super) resources: MatchResources,
    /// Which objects the binding says the params are.
    pub(super) params: Option<ParamRef>,
    wrong: Vec<InputError>,
}

/// The policy once for each of its bindings; once when there is none.
pub(super) fn bound(
    policy: &ValidatingAdmissionPolicy,
    bindings: Vec<(Item, ValidatingAdmissionPolicyBinding)>,
) -> Vec<Bound> {
    let name = policy.metadata.name.clone().unwrap_or_default();
    let several = bindings.len() > 1;
    let mut bound: Vec<Bound> = bindings
        .into_iter()
        .map(|(item, binding)| {
            let spec = binding.spec;
            let binding = binding.metadata.name.unwrap_or_default();
            let resources = spec.match_resources.unwrap_or_default();
            let has = |rules: &Option<Vec<_>>| rules.as_ref().is_some_and(|rules| !rules.is_empty());
            let narrower =
                "narrow the resourceRules of the policy instead; a MonitorPolicy has one list of them";
            let wrong = [
                ("spec.matchResources.resourceRules", has(&resources.resource_rules), narrower),
                (
                    "spec.matchResources.excludeResourceRules",
                    has(&resources.exclude_resource_rules),
                    narrower,
                ),
            ];
            let wrong = wrong.into_iter().filter(|(_, present, _)| *present);
            let wrong =
                wrong.map(|(path, _, text)| item.error(item.tree.place_of(path), format!("{path}: {text}")));
            Bound {
                name: if several { format!("{name}-{binding}") } else { name.clone() },
                policy: name.clone(),
                binding: Some(binding),
                actions: spec.validation_actions,
                resources,
                params: spec.param_ref,
                wrong: wrong.collect(),
            }
        })
        .collect();
    if bound.is_empty() {
        let resources = MatchResources::default();
        bound.push(Bound {
            policy: name.clone(),
            name,
            binding: None,
            actions: Vec::new(),
            resources,
            params: None,
            wrong: Vec::new(),
        });
    }
    bound
}

impl Bound {
    pub(super) fn refused(&self) -> Vec<InputError> {
        self.wrong.clone()
    }

    /// What was denied is worse than what was warned of.
    pub(super) fn severity(&self) -> Severity {
        let acts = |action: &str| self.actions.iter().any(|known| known == action);
        match (acts("Deny"), acts("Warn"), acts("Audit")) {
            (true, ..) => Severity::High,
            (_, false, true) => Severity::Low,
            _ => Severity::Medium,
        }
    }

    pub(super) fn dropped(&self) -> Vec<String> {
        let mut dropped = Vec::new();
        if !self.actions.is_empty() {
            let actions = self.actions.join(", ");
            dropped.push(format!("validationActions ({actions}), but as severity; polywatch denies nothing"));
        }
        dropped
    }
}

/// What both selectors select; none when neither selects.
pub(super) fn both(one: Option<&LabelSelector>, other: Option<&LabelSelector>) -> Option<LabelSelector> {
    let is_empty = |selector: &&LabelSelector| **selector == LabelSelector::default();
    let selectors: Vec<&LabelSelector> = one.into_iter().chain(other).filter(|s| !is_empty(s)).collect();
    if let [only] = selectors.as_slice() {
        return Some((*only).clone());
    }
    let mut expressions = Vec::new();
    for selector in &selectors {
        let labels = selector.match_labels.iter().flatten();
        expressions.extend(labels.map(|(key, value)| LabelSelectorRequirement {
            key: key.clone(),
            operator: "In".to_owned(),
            values: Some(vec![value.clone()]),
        }));
        expressions.extend(selector.match_expressions.iter().flatten().cloned());
    }
    let selector = LabelSelector { match_expressions: Some(expressions), match_labels: None };
    (!selectors.is_empty()).then_some(selector)
}
