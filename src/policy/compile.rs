//! Spec → [`CompiledPolicy`]. Pure: the same spec gives the same result. What does not compile becomes a
//! [`Problem`] with the path of its field, and the rest of the policy is in force.

mod circles;
mod groups;
mod lookups;
mod names;
mod notify;
mod patience;

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::Deserialize;

use crate::api::MonitorPolicySpec;
use crate::api::monitor_policy::{DriftRule, PolicyRule, ResourceSelection};
use crate::core::alert::Route;
use crate::core::cel::{self, Program, Root, Scope, Want};
use crate::core::diff::FieldScope;
use crate::core::field_path::{FieldPattern, PatternStep, Step};
use crate::core::finding::{PolicyKey, Severity};
use crate::core::labels::{LabelMatcher, Requirement};
use crate::core::near::nearest;
use crate::core::policy::{
    CompiledPolicy, Condition, Located, NamespaceFilter, Part, Problem, Role, Selection, Target,
};
use crate::core::rules::{
    Baseline, Change, CompiledRule, Drift, Expression, MAX_MESSAGE_LEN, RuleKind, Wording, one_line,
};
use crate::core::tree::Node;

/// Compiles a policy.
pub fn compile(key: PolicyKey, uid: Arc<str>, generation: i64, spec: &MonitorPolicySpec) -> CompiledPolicy {
    // What rules that judge a state may read; `oldObject` is null for them.
    let compiler = || Compiler {
        problems: Vec::new(),
        expressions: Vec::new(),
        scope: Scope::new(&Root::OF_OBJECT).explain(names::OF_OBJECT),
        params: Params::None,
        many_params: false,
    };
    // One roomy stack serves the whole policy; without it each expression asks for one of its own.
    let compiled = cel::with_large_stack(|| compiler().policy(key.clone(), uid.clone(), generation, spec));
    compiled.unwrap_or_else(|_| compiler().policy(key, uid, generation, spec))
}

struct Compiler {
    problems: Vec<Problem>,
    expressions: Vec<Located>,
    scope: Scope,
    params: Params,
    /// Whether there may be several.
    many_params: bool,
}

/// Where `params` are among the lookups: first, so that all others may read them.
const PARAMS_PLACE: usize = 0;
const SEVERAL_PARAMS: &str = "params that labelSelector finds may be several, and this is asked once for an object; read \
                              them in the expressions of rules, or find them by name";

/// For whom the params of a policy are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Params {
    /// There are none.
    None,
    /// The same for all objects.
    Fixed,
    /// Those of the namespace of each object.
    OfNamespace,
}

impl Compiler {
    fn policy(
        mut self,
        key: PolicyKey,
        uid: Arc<str>,
        generation: i64,
        spec: &MonitorPolicySpec,
    ) -> CompiledPolicy {
        self.unique("spec.resources", spec.resources.iter().map(|r| r.name.as_str()));
        self.unique("spec.variables", spec.variables.iter().map(|v| v.name.as_str()));
        self.unique("spec.rules", spec.rules.iter().map(|r| r.name.as_str()));
        self.unique("spec.matchConditions", spec.match_conditions.iter().map(|c| c.name.as_str()));

        let mut selections: Vec<Selection> =
            spec.resources.iter().enumerate().map(|(n, resource)| self.selection(n, resource)).collect();
        selections.extend(spec.rules.iter().filter_map(baseline_selection));

        let lookups::Joined { variables, lookups, params } = self.joined(spec, &mut selections);

        let mut match_conditions = Vec::new();
        for (n, condition) in spec.match_conditions.iter().enumerate() {
            let field = format!("spec.matchConditions[{n}].expression");
            if let Some(program) =
                self.program(field, Part::MatchCondition, &condition.expression, Want::Bool)
            {
                match_conditions.push(Condition { name: condition.name.as_str().into(), program });
            }
        }

        let mut rules = Vec::new();
        for (n, rule) in spec.rules.iter().enumerate() {
            rules.push(self.rule(n, rule, spec.severity.into(), &selections));
        }
        rules.iter_mut().for_each(|rule| lookups::add_checked(rule, &lookups));
        // Nor may one be judged that reads what cannot be looked up.
        let broken = |place: &usize| lookups.get(*place).is_none_or(Option::is_none);
        let reads_broken = |rule: &CompiledRule| {
            let of_group = rule.as_group().filter(|group| group.reads_params());
            let of_group = of_group.and_then(|_| params.as_ref().map(|(place, _)| *place));
            rule.lookups.iter().chain(&of_group).any(broken)
        };
        for rule in &mut rules {
            if reads_broken(rule) {
                rule.kind = None;
            }
        }
        // Without all of its conditions a policy would judge objects that it does not mean.
        let mut taken = match_conditions.iter().flat_map(|condition| condition.program.lookups());
        if match_conditions.len() < spec.match_conditions.len() || taken.any(broken) {
            rules.iter_mut().for_each(|rule| rule.kind = None);
        }

        let routes = self.routes(&spec.notify, &rules);

        CompiledPolicy {
            key,
            uid,
            generation,
            suspended: spec.suspend,
            selections,
            match_conditions,
            variables,
            lookups,
            params,
            noted_labels: routes.iter().flat_map(Route::reads_labels).collect(),
            routes,
            rules,
            expressions: self.expressions,
            problems: self.problems,
        }
    }

    fn rule(
        &mut self,
        n: usize,
        rule: &PolicyRule,
        severity: Severity,
        selections: &[Selection],
    ) -> CompiledRule {
        let name: Arc<str> = rule.name.as_str().into();
        for (m, wanted) in rule.resources.iter().enumerate() {
            if selections.iter().all(|selection| *selection.name != **wanted) {
                let known = selections.iter().map(|selection| &*selection.name);
                let near = nearest(wanted, known)
                    .map(|near| format!("; did you mean {near:?}?"))
                    .unwrap_or_default();
                let text = format!("there is no resource named {wanted:?} in spec.resources{near}");
                self.problem(format!("spec.rules[{n}].resources[{m}]"), Some(&name), text);
            }
        }
        let is_group = rule.group_by.is_some();
        let part = || match is_group {
            true => Part::Group(name.clone(), n),
            false => Part::Rule(name.clone(), n),
        };
        let programs = |compiler: &mut Self| {
            let validation = rule.expression.as_ref().filter(|_| rule.drift.is_none()).and_then(|source| {
                compiler.program(format!("spec.rules[{n}].expression"), part(), source, Want::Bool)
            });
            let message_expression = rule.message_expression.as_ref().and_then(|source| {
                compiler.program(format!("spec.rules[{n}].messageExpression"), part(), source, Want::String)
            });
            (validation, message_expression)
        };
        let (validation, message_expression) = match is_group {
            true => self.with_group_names(programs),
            false => programs(self),
        };
        let wording = Wording {
            message: rule.message.as_deref().map(|text| one_line(text, MAX_MESSAGE_LEN).into()),
            expression: message_expression,
        };
        // What only names groups is judged by the rule if it is said to be.
        let names_groups = |selection: &Selection| {
            let resource = rule.groups.as_ref().and_then(|groups| groups.resource.as_deref());
            is_group && resource == Some(&*selection.name)
        };
        let judged = |selection: &Selection| {
            let named = rule.resources.iter().any(|wanted| **wanted == *selection.name);
            let all = rule.resources.is_empty() && !names_groups(selection);
            selection.is_judged() && (all || named)
        };
        let field = format!("spec.rules[{n}]");
        let patience = self.patience(&field, &name, rule);
        let kind = match (&rule.expression, &rule.drift) {
            (Some(_), None) if is_group => {
                let whole = validation.map(|validation| Expression { validation, wording });
                self.group(n, rule, whole, selections)
            }
            (Some(_), None) => {
                let on: BTreeSet<_> = rule.operations().map(Into::into).collect();
                let paths = self.patterns(&rule.paths, &format!("{field}.paths"), &name);
                validation.zip(paths).map(|(validation, paths)| match on.is_empty() {
                    true => RuleKind::State(Expression { validation, wording }),
                    false => {
                        let scope = FieldScope::new(paths, Vec::new());
                        RuleKind::Change(Change { on, scope, validation, wording })
                    }
                })
            }
            (None, Some(drift)) => self.drift(&format!("{field}.drift"), &name, drift, wording),
            // The definition of the resource refuses it as well.
            _ => {
                let text = "a rule has either expression, for what must be true, or drift, for fields that must \
                            stay as they are";
                self.problem(field, Some(&name), text.to_owned());
                None
            }
        };
        let mut compiled = CompiledRule {
            severity: rule.severity.map_or(severity, Into::into),
            selections: selections.iter().map(judged).collect(),
            links: BTreeSet::new(),
            lookups: BTreeSet::new(),
            kind: kind.filter(|_| patience.is_some()),
            patience: patience.unwrap_or_default(),
            name,
        };
        let taken = |program: &Program| program.lookups().iter().copied().collect::<Vec<usize>>();
        compiled.links = match compiled.as_group() {
            // What is asked of the group as a whole is no matter of single objects.
            Some(group) => group.keys().flat_map(taken).collect(),
            None => compiled.programs().flat_map(taken).collect(),
        };
        compiled
    }

    /// The paths of a list of texts; none when one of them is no path.
    fn patterns(&mut self, texts: &[String], field: &str, rule: &Arc<str>) -> Option<Vec<FieldPattern>> {
        let mut parsed = Vec::new();
        for (n, text) in texts.iter().enumerate() {
            parsed.push(text.parse().map_err(|error| {
                self.problem(format!("{field}[{n}]"), Some(rule), format!("{text:?} is not a path: {error}"));
            }));
        }
        parsed.into_iter().collect::<Result<_, ()>>().ok()
    }

    fn drift(
        &mut self,
        field: &str,
        rule: &Arc<str>,
        drift: &DriftRule,
        wording: Wording,
    ) -> Option<RuleKind> {
        let include = self.patterns(&drift.paths, &format!("{field}.paths"), rule);
        let exclude = self.patterns(&drift.ignore, &format!("{field}.ignore"), rule);
        let baseline = match drift.baseline.as_ref().map(|baseline| (&baseline.object, &baseline.inline)) {
            None => Some(Baseline::LastCompliant),
            Some((Some(_), None)) => Some(Baseline::Object(baseline_name(rule))),
            Some((None, Some(declared))) => match Node::deserialize(declared) {
                Ok(declared @ Node::Map(_)) => Some(Baseline::Inline(declared)),
                _ => {
                    let text = "inline must be an object with the fields as they should be, such as {spec: {replicas: 3}}";
                    self.problem(format!("{field}.baseline.inline"), Some(rule), text.to_owned());
                    None
                }
            },
            Some(_) => {
                let text = "a baseline is either object, the name of one, or inline, the fields themselves";
                self.problem(format!("{field}.baseline"), Some(rule), text.to_owned());
                None
            }
        };
        let (include, mut exclude, baseline) = (include?, exclude?, baseline?);
        if include.is_empty() && !matches!(baseline, Baseline::Inline(_)) {
            let field = |name: &str| FieldPattern(vec![PatternStep::One(Step::Field(name.into()))]);
            exclude.extend(["metadata", "status"].map(field));
        }
        Some(RuleKind::Drift(Drift {
            scope: FieldScope::new(include, exclude),
            allowed_managers: drift.allowed_managers.iter().map(|name| name.as_str().into()).collect(),
            baseline,
            wording,
        }))
    }

    fn selection(&mut self, n: usize, resource: &ResourceSelection) -> Selection {
        let field = format!("spec.resources[{n}]");
        let (group, version) = resource.api_version.rsplit_once('/').unwrap_or(("", &resource.api_version));
        let mut invalid = None;
        let mut matcher = |selector: &Option<LabelSelector>, name: &str| {
            let selector = selector.as_ref()?;
            match label_matcher(selector) {
                Ok(matcher) => Some(matcher),
                Err((path, text)) => {
                    invalid.get_or_insert_with(|| format!("{field}.{name}.{path}: {text}"));
                    None
                }
            }
        };
        let labels = matcher(&resource.label_selector, "labelSelector");
        let namespace_labels = matcher(&resource.namespace_selector, "namespaceSelector");
        if let Some(text) = resource.field_selector.as_deref().and_then(field_selector_problem) {
            invalid.get_or_insert_with(|| format!("{field}.fieldSelector: {text}"));
        }
        if let Some(text) = &invalid {
            let (path, text) = text.split_once(": ").unwrap_or((&field, text));
            self.problem(path.to_owned(), None, text.to_owned());
        }
        Selection {
            name: resource.name.as_str().into(),
            target: Target {
                group: group.to_owned(),
                version: (version != "*").then(|| version.to_owned()),
                kind: resource.kind.clone(),
                namespaces: resource.namespaces.iter().cloned().collect(),
                names: resource.names.iter().cloned().collect(),
                labels: labels.unwrap_or_default(),
                field_selector: resource.field_selector.clone().unwrap_or_default(),
            },
            filter: NamespaceFilter {
                labels: namespace_labels,
                exclude: resource.exclude_namespaces.iter().map(|name| name.as_str().into()).collect(),
            },
            role: Role::Judged,
            invalid,
        }
    }

    fn program(&mut self, field: String, part: Part, source: &str, want: Want) -> Option<Program> {
        match cel::compile(source, &self.scope, want) {
            Ok(program) if self.asks_once(&field, &part) && self.several_params(&program) => {
                self.problem(field, part.rule(), SEVERAL_PARAMS.to_owned());
                None
            }
            Ok(program) => {
                self.expressions.push(Located { field, part, want, program: program.clone() });
                Some(program)
            }
            Err(error) => {
                self.problem(field, part.rule(), error.to_string());
                None
            }
        }
    }

    /// Whether an expression is asked once for an object, and not with each of the params.
    fn asks_once(&self, field: &str, part: &Part) -> bool {
        match part {
            Part::MatchCondition | Part::Lookup(_) | Part::Expected(..) => true,
            Part::Rule(..) => field.ends_with(".groupBy"),
            Part::Variable(_) | Part::Group(..) => false,
        }
    }

    /// Whether a program reads params of which there may be several.
    fn several_params(&self, program: &Program) -> bool {
        self.many_params && program.lookups().contains(&PARAMS_PLACE)
    }

    fn unique<'a>(&mut self, field: &str, names: impl Iterator<Item = &'a str>) {
        let mut seen = BTreeSet::new();
        for (n, name) in names.enumerate() {
            if !seen.insert(name) {
                let text = format!("the name {name:?} is already taken; names must be unique in {field}");
                self.problem(format!("{field}[{n}].name"), None, text);
            }
        }
    }

    fn problem(&mut self, field: String, rule: Option<&Arc<str>>, message: String) {
        self.problems.push(Problem {
            field,
            rule: rule.cloned(),
            message: one_line(&message, MAX_MESSAGE_LEN),
        });
    }
}

/// A name that no entry of `spec.resources` can have.
fn baseline_name(rule: &str) -> Arc<str> {
    format!("{rule}/baseline").into()
}

/// The selection that finds the object a drift rule compares with.
fn baseline_selection(rule: &PolicyRule) -> Option<Selection> {
    let object = rule.drift.as_ref()?.baseline.as_ref()?.object.as_ref()?;
    let (group, version) = object.api_version.rsplit_once('/').unwrap_or(("", &object.api_version));
    Some(Selection {
        name: baseline_name(&rule.name),
        target: Target {
            group: group.to_owned(),
            version: (version != "*").then(|| version.to_owned()),
            kind: object.kind.clone(),
            namespaces: object.namespace.iter().cloned().collect(),
            names: [object.name.clone()].into(),
            labels: LabelMatcher::new(Vec::new()),
            field_selector: String::new(),
        },
        filter: NamespaceFilter::default(),
        role: Role::Baseline,
        invalid: None,
    })
}

/// The selector, or the path within it that is wrong and why.
fn label_matcher(selector: &LabelSelector) -> Result<LabelMatcher, (String, String)> {
    let mut requirements = Vec::new();
    for (key, value) in selector.match_labels.iter().flatten() {
        let problem = label_key_problem(key).or_else(|| label_value_problem(value));
        if let Some(text) = problem {
            return Err(("matchLabels".to_owned(), text));
        }
        requirements.push(Requirement::In(key.clone(), [value.clone()].into()));
    }
    for (n, expression) in selector.match_expressions.iter().flatten().enumerate() {
        let key = expression.key.clone();
        let values: BTreeSet<String> = expression.values.iter().flatten().cloned().collect();
        let wrong =
            |field: &str, text: &str| Err((format!("matchExpressions[{n}].{field}"), text.to_owned()));
        if let Some(text) = label_key_problem(&key) {
            return wrong("key", &text);
        }
        if let Some(text) = values.iter().find_map(|value| label_value_problem(value)) {
            return wrong("values", &text);
        }
        requirements.push(match (expression.operator.as_str(), values.is_empty()) {
            ("In", false) => Requirement::In(key, values),
            ("NotIn", false) => Requirement::NotIn(key, values),
            ("Exists", true) => Requirement::Exists(key),
            ("DoesNotExist", true) => Requirement::DoesNotExist(key),
            ("In" | "NotIn", true) => return wrong("values", "In and NotIn need at least one value"),
            ("Exists" | "DoesNotExist", false) => {
                return wrong("values", "Exists and DoesNotExist take no values");
            }
            (other, _) => {
                let text = format!("{other:?} is not an operator; use In, NotIn, Exists or DoesNotExist");
                return wrong("operator", &text);
            }
        });
    }
    Ok(LabelMatcher::new(requirements))
}

// The text of a selector has no quotes: a value with a comma in it would be two values there.

fn label_key_problem(key: &str) -> Option<String> {
    let (prefix, name) = key.split_once('/').unwrap_or(("prefix.example", key));
    let prefix_fits = (1..=253).contains(&prefix.len())
        && prefix.split('.').all(|part| is_name(part, |c| c.is_ascii_lowercase() || c.is_ascii_digit(), "-"));
    if prefix_fits && is_label(name) {
        return None;
    }
    Some(format!(
        "{key:?} is not a label key; write NAME or PREFIX/NAME, NAME being at most 63 letters, digits, '-', '_' and '.'"
    ))
}

fn label_value_problem(value: &str) -> Option<String> {
    if value.is_empty() || is_label(value) {
        return None;
    }
    Some(format!(
        "{value:?} is not a label value; one has at most 63 letters, digits, '-', '_' and '.', and begins and ends \
         with a letter or digit"
    ))
}

fn is_label(text: &str) -> bool {
    text.len() <= 63 && is_name(text, |c| c.is_ascii_alphanumeric(), "-_.")
}

/// Whether `text` begins and ends with a character of `plain` and has those of `between` at most between them.
fn is_name(text: &str, plain: fn(char) -> bool, between: &str) -> bool {
    text.starts_with(plain) && text.ends_with(plain) && text.chars().all(|c| plain(c) || between.contains(c))
}

/// What the API server would reject whatever the kind; which fields a kind supports only the server knows.
fn field_selector_problem(selector: &str) -> Option<String> {
    let wrong = selector.split(',').find(|term| {
        let field = term.split_once("!=").or_else(|| term.split_once('='));
        field.is_none_or(|(name, _)| name.trim().is_empty())
    })?;
    Some(format!("{wrong:?} is not a requirement; write FIELD=VALUE or FIELD!=VALUE, separated by commas"))
}

#[cfg(test)]
mod tests;
