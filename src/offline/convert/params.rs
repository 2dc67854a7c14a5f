//! The params of an admission policy: their kind is the policy's to say, and which objects they are, its binding's.

use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicySpec;

use super::bindings::Bound;
use super::refuse::reads;
use crate::api::lookup::{ParameterNotFoundAction, Params};
use crate::offline::{InputError, Item};

/// The params that a policy has as it is bound.
pub(super) fn params(
    item: &Item,
    spec: &ValidatingAdmissionPolicySpec,
    bound: &Bound,
    dropped: &mut Vec<String>,
) -> Result<Option<Params>, Vec<InputError>> {
    let read = Read::of(spec);
    let refuse =
        |path: &str, text: &str| Err(vec![item.error(item.tree.place_of(path), format!("{path}: {text}"))]);
    let (kind, reference) = match (&spec.param_kind, &bound.params) {
        (Some(kind), Some(reference)) => (kind, reference),
        (None, Some(_)) => {
            dropped.push("paramRef of the binding; the policy has no paramKind".to_owned());
            return Ok(None);
        }
        // The API server asks with params that are null.
        (Some(_), None) if read.anywhere() => {
            let text = match bound.binding {
                Some(_) => "its binding has no paramRef, so that params are null; say which they are",
                None => {
                    "which objects the params are, is said by the paramRef of a binding; give the binding, too"
                }
            };
            return refuse("spec.paramKind", text);
        }
        (Some(_), None) => {
            dropped.push("paramKind, which no expression reads".to_owned());
            return Ok(None);
        }
        (None, None) => return Ok(None),
    };
    if let Some(n) = read.conditions.first() {
        let text = "reads params: where there are none, an admission policy asks nothing, and a match condition here is \
                    asked; move it into the validations";
        return refuse(&format!("spec.matchConditions[{n}].expression"), text);
    }
    if !read.no_validation.is_empty() {
        let which: Vec<String> = read.no_validation.iter().map(|n| (n + 1).to_string()).collect();
        dropped.push(format!(
            "that nothing is asked where there are no params: the validations {} do not read them, and are judged all the \
             same",
            which.join(", ")
        ));
    }
    let denies = reference.parameter_not_found_action.as_deref() == Some("Deny");
    let ignores = spec.failure_policy.as_deref() == Some("Ignore");
    if denies && ignores {
        dropped.push("parameterNotFoundAction Deny, which failurePolicy Ignore makes Allow".to_owned());
    }
    Ok(Some(Params {
        api_version: kind.api_version.clone().unwrap_or_default(),
        kind: kind.kind.clone().unwrap_or_default(),
        name: reference.name.clone().filter(|name| !name.is_empty()),
        label_selector: reference.selector.clone(),
        namespace: reference.namespace.clone().filter(|namespace| !namespace.is_empty()),
        parameter_not_found_action: match denies && !ignores {
            true => ParameterNotFoundAction::Deny,
            false => ParameterNotFoundAction::Allow,
        },
    }))
}

/// What reads params, itself or through variables.
struct Read {
    conditions: Vec<usize>,
    validations: Vec<usize>,
    no_validation: Vec<usize>,
}

impl Read {
    fn of(spec: &ValidatingAdmissionPolicySpec) -> Self {
        let mut names = vec!["params".to_owned()];
        // A variable reads those before it.
        for variable in spec.variables.iter().flatten() {
            if names.iter().any(|name| reads(&variable.expression, name)) {
                names.push(format!("variables.{}", variable.name));
            }
        }
        let any = |expression: &String| names.iter().any(|name| reads(expression, name));
        let conditions = spec.match_conditions.iter().flatten().enumerate();
        let conditions = conditions.filter(|(_, condition)| any(&condition.expression)).map(|(n, _)| n);
        let (validations, no_validation) = (0..spec.validations.iter().flatten().count()).partition(|n| {
            let validation = spec.validations.iter().flatten().nth(*n);
            validation.is_some_and(|one| any(&one.expression) || one.message_expression.iter().any(any))
        });
        Self { conditions: conditions.collect(), validations, no_validation }
    }

    fn anywhere(&self) -> bool {
        !self.conditions.is_empty() || !self.validations.is_empty()
    }
}
