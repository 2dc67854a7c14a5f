//! What has no counterpart: refused where the verdict would be another, said where it would not.

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicySpec, Validation,
};

use crate::offline::{InputError, Item};

/// Names that exist at admission only, and why they can not be watched for.
const ADMISSION_ONLY: &[(&str, &str)] = &[
    ("authorizer", "who may do what is asked at admission only; there is no user in the state of an object"),
    ("request.userInfo", "who asked is known at admission only; there is no user in the state of an object"),
    ("request.options", "the options of a request are known at admission only"),
    ("request.dryRun", "whether a request was a dry run is known at admission only"),
];

/// Every field that makes the policy one that can not be converted.
pub(super) fn refused(item: &Item, policy: &ValidatingAdmissionPolicy) -> Vec<InputError> {
    let mut wrong = Vec::new();
    let spec = policy.spec.clone().unwrap_or_default();
    let mut refuse = |path: &str, text: &str| {
        wrong.push(item.error(item.tree.place_of(path), format!("{path}: {text}")));
    };
    let matched = spec.match_constraints.clone().unwrap_or_default();
    if matched.exclude_resource_rules.is_some_and(|rules| !rules.is_empty()) {
        let text = "a MonitorPolicy names what it watches and excludes namespaces only; narrow resourceRules";
        refuse("spec.matchConstraints.excludeResourceRules", text);
    }
    for (path, expression) in expressions(&spec) {
        for (name, why) in ADMISSION_ONLY {
            if reads(&expression, name) {
                refuse(&path, &format!("reads {name}: {why}"));
            }
        }
    }
    wrong
}

/// What is left out, in words.
pub(super) fn dropped(spec: &ValidatingAdmissionPolicySpec) -> Vec<String> {
    let mut dropped = Vec::new();
    if spec.audit_annotations.as_ref().is_some_and(|annotations| !annotations.is_empty()) {
        dropped.push("auditAnnotations; there is no audit event to annotate".to_owned());
    }
    if spec.failure_policy.is_some() {
        dropped.push("failurePolicy; a rule that fails on an object is counted as a rule error".to_owned());
    }
    dropped
}

/// Whether a validation is about a change: it reads what the state of an object does not tell, by itself or by what
/// all validations share.
pub(super) fn about_changes(spec: &ValidatingAdmissionPolicySpec, validation: &Validation) -> bool {
    let conditions = spec.match_conditions.iter().flatten().map(|condition| &condition.expression);
    let variables = spec.variables.iter().flatten().map(|variable| &variable.expression);
    let own = [Some(&validation.expression), validation.message_expression.as_ref()];
    let mut all = conditions.chain(variables).chain(own.into_iter().flatten());
    all.any(|expression| reads(expression, "oldObject") || reads(expression, "request.operation"))
}

/// Every expression and its field.
fn expressions(spec: &ValidatingAdmissionPolicySpec) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (n, condition) in spec.match_conditions.iter().flatten().enumerate() {
        all.push((format!("spec.matchConditions[{n}].expression"), condition.expression.clone()));
    }
    for (n, variable) in spec.variables.iter().flatten().enumerate() {
        all.push((format!("spec.variables[{n}].expression"), variable.expression.clone()));
    }
    for (n, validation) in spec.validations.iter().flatten().enumerate() {
        all.push((format!("spec.validations[{n}].expression"), validation.expression.clone()));
        if let Some(message) = &validation.message_expression {
            all.push((format!("spec.validations[{n}].messageExpression"), message.clone()));
        }
    }
    all
}

/// Whether an expression has this name, with its fields, other than in a text. Blanks around dots are heeded.
pub(super) fn reads(expression: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let code = without_texts(expression);
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + name.len()..].chars().next();
        !before.is_some_and(|c| is_part(c) || c == '.') && !after.is_some_and(is_part)
    })
}

/// The expression without its texts, comments and blanks.
fn without_texts(expression: &str) -> String {
    let mut code = String::new();
    let mut rest = expression;
    while let Some(c) = rest.chars().next() {
        let text = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| rest.starts_with(quote));
        let skip = match text {
            Some(quote) => {
                let raw = code.ends_with(['r', 'R']);
                quote.len() + end_of_text(&rest[quote.len()..], quote, raw)
            }
            None if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            None => c.len_utf8(),
        };
        match text {
            // So that what stands on both sides stays apart.
            Some(_) => code.push('"'),
            None if !c.is_whitespace() && skip == c.len_utf8() => code.push(c),
            // `a in b` is three words.
            None if code.ends_with(|c: char| c.is_alphanumeric()) && c == ' ' && !joins(&rest[1..]) => {
                code.push(' ')
            }
            None => {}
        }
        rest = &rest[skip..];
    }
    code
}

fn joins(rest: &str) -> bool {
    rest.trim_start().starts_with('.')
}

/// Behind the end of a text.
fn end_of_text(text: &str, quote: &str, raw: bool) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if !escaped && text[at..].starts_with(quote) {
            return at + quote.len();
        }
        escaped = !raw && c == '\\' && !escaped;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_code_and_not_in_texts() {
        for expression in [
            "authorizer.group('').allowed()",
            "true && authorizer.x",
            "'a' in request . userInfo.groups",
            "request.userInfo.username == 'x'",
            "'it''s' == authorizer.x",
            "r'\\' == authorizer.x",
            "// authorizer\nauthorizer.x",
        ] {
            assert!(ADMISSION_ONLY.iter().any(|(name, _)| reads(expression, name)), "{expression}");
        }
        for expression in [
            "object.spec.authorizer == 1",
            "'authorizer' == object.x",
            "\"\"\"request.userInfo\"\"\" != ''",
            "object.authorizerOf",
            "myauthorizer",
            "'a\\' authorizer' != ''",
            "1 == 1 // authorizer",
            "request.operation == 'CREATE'",
        ] {
            assert!(!ADMISSION_ONLY.iter().any(|(name, _)| reads(expression, name)), "{expression}");
        }
    }
}
