//! From ValidatingAdmissionPolicies to MonitorPolicies.
//!
//! In: files with ValidatingAdmissionPolicies and their bindings. Out: the text of MonitorPolicies that
//! `polywatch check` accepts, one for each binding, with a comment for whatever has no counterpart; or why that
//! can not be.

mod bindings;
mod kinds;
mod params;
mod refuse;

use std::collections::BTreeMap;

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding, Validation,
};
use kube::api::ObjectMeta;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;

pub use kinds::PluralNames;

use self::bindings::Bound;
use super::input::Source;
use super::validate::faults;
use super::{InputError, Item, items, policies};
use crate::api::monitor_policy::{NamedExpression, Operation, PolicyRule, Severity, Variable};
use crate::api::{MonitorPolicy, MonitorPolicySpec};
use crate::yaml;

const GROUP: &str = "admissionregistration.k8s.io/";

/// Converts every ValidatingAdmissionPolicy of `sources`. `names` tells the kinds of plurals that are not built in.
///
/// # Errors
/// Everything that is wrong with the files, and everything that can not be converted, with the reason.
pub fn convert(sources: &[Source], names: &PluralNames) -> Result<String, Vec<InputError>> {
    let (mut found, mut bindings, mut errors) = (Vec::new(), BTreeMap::<String, Vec<_>>::new(), Vec::new());
    for source in sources {
        for item in items(source).map_err(|error| vec![error])? {
            match of(item, &mut found, &mut bindings) {
                Ok(()) => {}
                Err(wrong) => errors.extend(wrong),
            }
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut text = String::new();
    for (item, policy) in found {
        let bound = bindings.remove(policy.metadata.name.as_deref().unwrap_or_default()).unwrap_or_default();
        for bound in bindings::bound(&policy, bound) {
            match one(&item, &policy, &bound, names) {
                Ok(converted) => text.push_str(&converted),
                Err(wrong) => errors.extend(wrong),
            }
        }
    }
    for (policy, left) in bindings {
        for (item, _) in left {
            let text = format!("this binds the policy {policy}, which is not in these files");
            errors.push(item.error(item.tree.place_of("spec.policyName"), text));
        }
    }
    if text.is_empty() && errors.is_empty() {
        let at = yaml::Place::START;
        let file = sources.first().map_or("no file".into(), |source| source.file.clone());
        let text = "there is no ValidatingAdmissionPolicy".to_owned();
        errors.push(InputError { file, document: 1, at, text });
    }
    if errors.is_empty() { Ok(text) } else { Err(errors) }
}

type Found = Vec<(Item, ValidatingAdmissionPolicy)>;
type Bindings = BTreeMap<String, Vec<(Item, ValidatingAdmissionPolicyBinding)>>;

fn of(item: Item, found: &mut Found, bindings: &mut Bindings) -> Result<(), Vec<InputError>> {
    let api_version = item.text(&["apiVersion"]).map_err(|error| vec![error])?;
    let kind = item.text(&["kind"]).map_err(|error| vec![error])?;
    match (api_version.starts_with(GROUP), kind) {
        (true, "ValidatingAdmissionPolicy") => {
            let policy = typed(&item)?;
            found.push((item, policy));
        }
        (true, "ValidatingAdmissionPolicyBinding") => {
            let binding: ValidatingAdmissionPolicyBinding = typed(&item)?;
            let policy = binding.spec.policy_name.clone();
            bindings.entry(policy).or_default().push((item, binding));
        }
        _ => {
            let text = format!(
                "this is a {kind} of {api_version}; only ValidatingAdmissionPolicies and their bindings are converted"
            );
            return Err(vec![item.error(item.tree.place_of("kind"), text)]);
        }
    }
    Ok(())
}

/// By the type's own schema, so that a typo has a place.
fn typed<T: DeserializeOwned + schemars::JsonSchema>(item: &Item) -> Result<T, Vec<InputError>> {
    let settings = SchemaSettings::openapi3().with(|settings| settings.inline_subschemas = true);
    let schema =
        serde_json::to_value(settings.into_generator().into_root_schema_for::<T>()).unwrap_or_default();
    let faults = faults(&schema, &item.tree);
    if !faults.is_empty() {
        return Err(faults.into_iter().map(|fault| item.error(fault.at, fault.text)).collect());
    }
    item.text(&["metadata", "name"]).map_err(|error| vec![error])?;
    serde_json::from_value(item.tree.to_json())
        .map_err(|error| vec![item.error(item.tree.at, error.to_string())])
}

/// One policy as one of its bindings binds it.
fn one(
    item: &Item,
    policy: &ValidatingAdmissionPolicy,
    bound: &Bound,
    names: &PluralNames,
) -> Result<String, Vec<InputError>> {
    let mut wrong = refuse::refused(item, policy);
    wrong.extend(bound.refused());
    let spec = policy.spec.clone().unwrap_or_default();
    let mut dropped = refuse::dropped(&spec);
    dropped.extend(bound.dropped());
    let resources = kinds::resources(item, &spec, bound, names, &mut dropped);
    let params = match params::params(item, &spec, bound, &mut dropped) {
        Ok(params) => params,
        Err(more) => {
            wrong.extend(more);
            None
        }
    };
    let resources = match (wrong.is_empty(), resources) {
        (true, Ok(resources)) => resources,
        (_, Ok(_)) => return Err(wrong),
        (_, Err(more)) => {
            wrong.extend(more);
            return Err(wrong);
        }
    };
    let changes = kinds::changes(&spec);
    let rules = spec.validations.iter().flatten().enumerate().map(|(n, validation)| {
        let on = if refuse::about_changes(&spec, validation) { changes.clone() } else { Vec::new() };
        rule(n, validation.clone(), on)
    });
    let rules: Vec<PolicyRule> = rules.collect();
    let converted = MonitorPolicySpec {
        notify: Vec::new(),
        suspend: false,
        severity: bound.severity(),
        resources,
        match_conditions: spec
            .match_conditions
            .into_iter()
            .flatten()
            .map(|condition| NamedExpression { name: condition.name, expression: condition.expression })
            .collect(),
        variables: spec
            .variables
            .into_iter()
            .flatten()
            .map(|variable| Variable { name: variable.name, expression: variable.expression })
            .collect(),
        params,
        lookups: Vec::new(),
        rules,
    };
    let mut monitor = MonitorPolicy::new(&bound.name, converted);
    monitor.metadata = ObjectMeta { labels: policy.metadata.labels.clone(), ..monitor.metadata };
    write(item, bound, &monitor, &dropped)
}

fn rule(n: usize, validation: Validation, on: Vec<Operation>) -> PolicyRule {
    let reason = validation.reason.filter(|reason| !reason.is_empty()).unwrap_or("validation".to_owned());
    PolicyRule {
        name: format!("{}-{}", kebab(&reason), n + 1),
        description: None,
        resources: Vec::new(),
        on,
        unquoted_on: Vec::new(),
        paths: Vec::new(),
        group_by: None,
        groups: None,
        expression: Some(validation.expression),
        drift: None,
        hold_for: None,
        keep_for: None,
        flapping: None,
        message: validation.message,
        message_expression: validation.message_expression,
        severity: None::<Severity>,
    }
}

/// `RequestEntityTooLarge` as `request-entity-too-large`.
fn kebab(reason: &str) -> String {
    let mut name = String::new();
    for c in reason.chars().filter(char::is_ascii_alphanumeric) {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(c.to_ascii_lowercase());
    }
    name.truncate(40);
    name
}

/// The text, which must be one that `polywatch check` accepts.
fn write(
    item: &Item,
    bound: &Bound,
    monitor: &MonitorPolicy,
    dropped: &[String],
) -> Result<String, Vec<InputError>> {
    let body = yaml::to_string(monitor).map_err(|error| vec![item.error(item.tree.at, error.to_string())])?;
    let file = format!("the MonitorPolicy made of {}", item.file).into();
    policies::read(&[Source { file, text: body.clone() }])?;
    let mut text = format!("---\n# From ValidatingAdmissionPolicy {}", bound.policy);
    match &bound.binding {
        Some(binding) => text.push_str(&format!(" as bound by {binding}.\n")),
        None => text.push_str(", for which there is no binding in the files: its severity is a guess.\n"),
    }
    for line in dropped {
        text.push_str(&format!("# Not carried over: {line}\n"));
    }
    Ok(text + body.trim_end() + "\n")
}
