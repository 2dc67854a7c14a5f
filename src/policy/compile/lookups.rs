//! Variables, lookups and params: what rules read beside the object. Variables and lookups may read each other, so
//! they are compiled in an order in which each comes after what it reads.

use std::sync::Arc;

use super::circles::{Entry, Order};
use super::{Compiler, PARAMS_PLACE, Params, label_key_problem, label_matcher};
use crate::api::MonitorPolicySpec;
use crate::api::lookup::{self as api, ParameterNotFoundAction};
use crate::core::cel::{self, Program, Type, Variable, Want};
use crate::core::lookup::{By, Check, Lookup, NoParams, PARAMS, Place};
use crate::core::policy::{NamespaceFilter, Part, Role, Selection, Target};
use crate::core::rules::CompiledRule;

/// What rules read beside the object.
pub(super) struct Joined {
    pub(super) variables: Vec<Variable>,
    pub(super) lookups: Vec<Option<Lookup>>,
    pub(super) params: Option<(usize, NoParams)>,
}

impl Compiler {
    /// Compiles what rules read beside the object, and adds the selections that find it.
    pub(super) fn joined(&mut self, spec: &MonitorPolicySpec, selections: &mut Vec<Selection>) -> Joined {
        self.unique("spec.lookups", spec.lookups.iter().map(|lookup| lookup.name.as_str()));
        let mut joined = Joined { variables: Vec::new(), lookups: Vec::new(), params: None };
        // Whatever reads it comes later.
        if let Some(params) = &spec.params {
            self.params(params, &mut joined, selections);
        }
        let order = Order::of(spec);
        let mut places = Vec::new();
        for entry in order.entries {
            match entry {
                Entry::Variable(n) => self.variable(n, spec, &mut joined.variables),
                Entry::Lookup(n) => {
                    let lookup = self.lookup(n, spec, selections, joined.lookups.len());
                    places.push((n, joined.lookups.len()));
                    joined.lookups.push(lookup);
                }
            }
        }
        // What is said of what was found may read all of it.
        for (n, place) in places {
            let checked = joined.lookups[place].take().and_then(|lookup| self.checked(n, spec, lookup));
            joined.lookups[place] = checked;
        }
        // That something is not known there says nothing else.
        self.problems.retain(|problem| order.circles.iter().all(|circle| circle.field != problem.field));
        for circle in order.circles {
            self.problem(circle.field, None, circle.text);
        }
        joined
    }

    /// The lookup that finds `params`. One that does not compile keeps its place; rules that read it are out of force.
    fn params(&mut self, params: &api::Params, joined: &mut Joined, selections: &mut Vec<Selection>) {
        self.scope.declare_params(Type::Dyn);
        self.params = match params.namespace {
            Some(_) => Params::Fixed,
            None => Params::OfNamespace,
        };
        self.many_params = params.label_selector.is_some() && params.name.is_none();
        let problems = self.problems.len();
        // The definition of the resource refuses it as well.
        let wrong = match (&params.name, &params.label_selector) {
            (None, None) => Some("say which objects they are: give name, or labelSelector"),
            (Some(_), Some(_)) => Some("give either name or labelSelector: params are found by one of them"),
            _ => None,
        };
        if let Some(text) = wrong {
            self.problem("spec.params".to_owned(), None, text.to_owned());
        }
        let selection = selections.len();
        let (target, invalid) = self.params_target(params);
        selections.push(found_by(&format!("params/{}", params.kind), target, PARAMS_PLACE, invalid));
        let place = match &params.namespace {
            Some(namespace) => Place::Namespace(namespace.as_str().into()),
            None => Place::OwnNamespace,
        };
        let by = By::All { one: params.name.is_some() };
        let lookup = Lookup { name: PARAMS.into(), selection, place, by, check: None };
        joined.lookups.push(Some(lookup).filter(|_| self.problems.len() == problems));
        let otherwise = match params.parameter_not_found_action {
            ParameterNotFoundAction::Allow => NoParams::Skip,
            ParameterNotFoundAction::Deny => NoParams::Violate,
        };
        joined.params = Some((PARAMS_PLACE, otherwise));
    }

    fn variable(&mut self, n: usize, spec: &MonitorPolicySpec, variables: &mut Vec<Variable>) {
        let variable = &spec.variables[n];
        if cel::is_reserved(&variable.name) {
            let text = format!("`{}` is a reserved word of CEL and cannot be a name", variable.name);
            self.problem(format!("spec.variables[{n}].name"), None, text);
            return;
        }
        let field = format!("spec.variables[{n}].expression");
        let part = Part::Variable(variable.name.as_str().into());
        if let Some(program) = self.program(field, part, &variable.expression, Want::Any) {
            self.scope.declare(&variable.name, &program);
            variables.push(Variable { name: variable.name.clone(), program });
        }
    }

    fn lookup(
        &mut self,
        n: usize,
        spec: &MonitorPolicySpec,
        selections: &mut Vec<Selection>,
        place: usize,
    ) -> Option<Lookup> {
        let lookup = &spec.lookups[n];
        let field = format!("spec.lookups[{n}]");
        if cel::is_reserved(&lookup.name) {
            let text = format!("`{}` is a reserved word of CEL and cannot be a name", lookup.name);
            self.problem(format!("{field}.name"), None, text);
            self.scope.skip_lookup();
            return None;
        }
        let problems = self.problems.len();
        // The definition of the resource refuses it as well.
        if lookup.message.is_some() && lookup.expression.is_none() {
            let text =
                "message is what is wrong when expression is false; give an expression, or leave message out";
            self.problem(format!("{field}.message"), None, text.to_owned());
        }
        let program = |compiler: &mut Self, name: &str, source: &String, want: Want| {
            let part = Part::Lookup(lookup.name.as_str().into());
            let field = format!("{field}.{name}");
            let program = compiler.program(field.clone(), part, source, want)?;
            compiler.fits(&program, name, &field).then_some(program)
        };
        let within = lookup.namespace_expression.as_ref();
        let within = within.map(|source| program(self, "namespaceExpression", source, Want::Any));
        let by = match (&lookup.name_expression, &lookup.names_expression, &lookup.labels_expression) {
            (Some(source), None, None) if lookup.labels.is_empty() => {
                program(self, "nameExpression", source, Want::Any).map(By::Name)
            }
            (None, Some(source), None) if lookup.labels.is_empty() => {
                program(self, "namesExpression", source, Want::Whole).map(By::Names)
            }
            (None, None, Some(source)) if lookup.labels.is_empty() => {
                program(self, "labelsExpression", source, Want::Whole).map(By::LabelMap)
            }
            (None, None, None) if lookup.labels.is_empty() => Some(By::All { one: false }),
            (None, None, None) => {
                let mut labels = Vec::new();
                for (key, source) in &lookup.labels {
                    if let Some(text) = label_key_problem(key) {
                        self.problem(format!("{field}.labels"), None, text);
                    }
                    let value = program(self, &format!("labels[{key}]"), source, Want::Whole);
                    labels.extend(value.map(|value| (key.as_str().into(), value)));
                }
                (labels.len() == lookup.labels.len()).then_some(By::Labels(labels))
            }
            // The definition of the resource refuses it as well.
            _ => {
                let text = "give one of nameExpression, namesExpression, labels and labelsExpression, or none for \
                            all objects of the namespace";
                self.problem(field.clone(), None, text.to_owned());
                None
            }
        };
        let within = match within {
            None => Some(Place::OwnNamespace),
            Some(program) => program.map(Place::Computed),
        };
        let target = target(&lookup.api_version, &lookup.kind);
        let selection = selections.len();
        selections.push(found_by(&format!("lookups/{}", lookup.name), target, place, None));
        let compiled = within.zip(by).map(|(within, by)| Lookup {
            name: lookup.name.as_str().into(),
            selection,
            place: within,
            by,
            check: None,
        });
        // Who reads one that does not compile has nothing else wrong.
        let many = compiled.as_ref().is_some_and(Lookup::is_many);
        let keys = compiled.iter().flat_map(Lookup::keys).cloned().collect::<Vec<Program>>();
        self.scope.declare_lookup(&lookup.name, many, Type::Dyn, &keys);
        compiled.filter(|_| self.problems.len() == problems)
    }

    /// A lookup with what says that what it found is in order; none when that does not compile.
    fn checked(&mut self, n: usize, spec: &MonitorPolicySpec, lookup: Lookup) -> Option<Lookup> {
        let written = &spec.lookups[n];
        let Some(source) = &written.expression else { return Some(lookup) };
        let part = Part::Lookup(lookup.name.clone());
        let expression = self.program(format!("spec.lookups[{n}].expression"), part, source, Want::Bool)?;
        let message = written.message.as_deref().map(Into::into);
        Some(Lookup { check: Some(Check { expression, message }), ..lookup })
    }

    /// Whether what an expression comes out as is of use for a lookup.
    fn fits(&mut self, program: &Program, name: &str, field: &str) -> bool {
        let is_text = |of: &Type| matches!(held(of), Type::Dyn | Type::Null | Type::String);
        let result = held(program.result());
        let (fits, want) = match name {
            "namesExpression" => {
                let fits = match result {
                    Type::List(element) => is_text(element),
                    other => matches!(other, Type::Dyn | Type::Null),
                };
                (fits, "a list of names")
            }
            "labelsExpression" => {
                let fits = match result {
                    Type::Map(key, value) => is_text(key) && is_text(value),
                    other => matches!(other, Type::Dyn | Type::Null | Type::Object(_)),
                };
                (fits, "a map of labels, both keys and values strings")
            }
            "nameExpression" if matches!(result, Type::List(_)) => {
                (false, "the name of one object; for a list of names there is namesExpression")
            }
            _ if name.starts_with("labels[") => {
                let fits = match result {
                    Type::List(element) => is_text(element),
                    other => is_text(other),
                };
                (fits, "a string or a list of strings; use string(…) to convert")
            }
            _ => (is_text(result), "a string; use string(…) to convert it"),
        };
        if !fits {
            let text = format!("this is {}, want {want}", program.result().describe());
            self.problem(field.to_owned(), None, text);
        }
        fits
    }

    fn params_target(&mut self, params: &api::Params) -> (Target, Option<String>) {
        let mut target = target(&params.api_version, &params.kind);
        target.names = params.name.iter().cloned().collect();
        target.namespaces = params.namespace.iter().cloned().collect();
        let mut invalid = None;
        match params.label_selector.as_ref().map(label_matcher) {
            Some(Ok(matcher)) => target.labels = matcher,
            Some(Err((path, text))) => {
                let field = format!("spec.params.labelSelector.{path}");
                invalid = Some(format!("{field}: {text}"));
                self.problem(field, None, text);
            }
            None => {}
        }
        (target, invalid)
    }
}

/// The type of what there is, if there is something.
fn held(of: &Type) -> &Type {
    match of {
        Type::Optional(inner) => held(inner),
        other => other,
    }
}

/// Gives a rule its lookups: its links, and those that are read to say whether one of them is in order.
pub(super) fn add_checked(rule: &mut CompiledRule, lookups: &[Option<Lookup>]) {
    rule.lookups = rule.links.clone();
    loop {
        let known = rule.lookups.iter().filter_map(|place| lookups.get(*place)?.as_ref()?.check.as_ref());
        let read = known.flat_map(|check| check.expression.lookups());
        let more: Vec<usize> = read.filter(|place| !rule.lookups.contains(place)).copied().collect();
        if more.is_empty() {
            return;
        }
        rule.lookups.extend(more);
    }
}

fn target(api_version: &str, kind: &str) -> Target {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    Target {
        group: group.to_owned(),
        version: (version != "*").then(|| version.to_owned()),
        kind: kind.to_owned(),
        namespaces: Default::default(),
        names: Default::default(),
        labels: Default::default(),
        field_selector: String::new(),
    }
}

/// The selection that watches what a lookup finds. No entry of `spec.resources` can have such a name.
fn found_by(name: &str, target: Target, place: usize, invalid: Option<String>) -> Selection {
    let name: Arc<str> = name.into();
    Selection { name, target, filter: NamespaceFilter::default(), role: Role::Lookup(place), invalid }
}
