//! Variables, lookups and params: what rules read beside the object. Variables and lookups may read each other, so
//! they are compiled in an order in which each comes after what it reads.

use std::sync::Arc;

use super::{Compiler, label_key_problem, label_matcher};
use crate::api::MonitorPolicySpec;
use crate::api::lookup::{self as api, ParameterNotFoundAction};
use crate::core::cel::{self, Program, References, Type, Variable, Want, references};
use crate::core::lookup::{By, Check, Lookup, NoParams, PARAMS, Place};
use crate::core::policy::{NamespaceFilter, Part, Role, Selection, Target};

/// What rules read beside the object.
pub(super) struct Joined {
    pub(super) variables: Vec<Variable>,
    pub(super) lookups: Vec<Option<Lookup>>,
    pub(super) params: Option<(usize, NoParams)>,
}

/// One entry of `spec.variables` or `spec.lookups`, by its place there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Variable(usize),
    Lookup(usize),
}

impl Compiler {
    /// Compiles what rules read beside the object, and adds the selections that find it.
    pub(super) fn joined(&mut self, spec: &MonitorPolicySpec, selections: &mut Vec<Selection>) -> Joined {
        self.unique("spec.lookups", spec.lookups.iter().map(|lookup| lookup.name.as_str()));
        let mut joined = Joined { variables: Vec::new(), lookups: Vec::new(), params: None };
        // Whatever reads it comes later.
        if let Some(params) = &spec.params {
            self.scope.declare_params();
            self.fixed_params = params.namespace.is_some();
            let selection = selections.len();
            let (target, invalid) = self.params_target(params);
            selections.push(found_by(&format!("params/{}", params.kind), target, 0, invalid));
            let place = match &params.namespace {
                Some(namespace) => Place::Namespace(namespace.as_str().into()),
                None => Place::OwnNamespace,
            };
            let by = By::All { one: params.name.is_some() };
            joined.lookups.push(Some(Lookup { name: PARAMS.into(), selection, place, by, check: None }));
            let otherwise = match params.parameter_not_found_action {
                ParameterNotFoundAction::Allow => NoParams::Skip,
                ParameterNotFoundAction::Deny => NoParams::Violate,
            };
            joined.params = Some((0, otherwise));
        }
        let (order, circles) = self.order(spec);
        for entry in order {
            match entry {
                Entry::Variable(n) => self.variable(n, spec, &mut joined.variables),
                Entry::Lookup(n) => {
                    let lookup = self.lookup(n, spec, selections, joined.lookups.len());
                    joined.lookups.push(lookup);
                }
            }
        }
        // That something is not known there says nothing else.
        let said = |field: &str| circles.iter().find(|(circular, _)| circular == field);
        self.problems.retain(|p| said(&p.field).is_none_or(|(_, text)| *text == p.message));
        joined
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
        let mut compiled = within.zip(by).map(|(within, by)| Lookup {
            name: lookup.name.as_str().into(),
            selection,
            place: within,
            by,
            check: None,
        });
        // Who reads one that does not compile has nothing else wrong.
        let many = compiled.as_ref().is_none_or(Lookup::is_many);
        let element = Type::Dyn;
        let keys = compiled.iter().flat_map(Lookup::keys).cloned().collect::<Vec<Program>>();
        let result = if compiled.is_some() { many } else { false };
        self.scope.declare_lookup(&lookup.name, result, element, &keys);
        if let (Some(source), Some(compiled)) = (&lookup.expression, &mut compiled)
            && let Some(expression) = program(self, "expression", source, Want::Bool)
        {
            self.scope.add_to_lookup(&expression);
            let message = lookup.message.as_deref().map(Into::into);
            compiled.check = Some(Check { expression, message });
        }
        compiled.filter(|_| self.problems.len() == problems)
    }

    /// Whether what an expression comes out as is of use for a lookup.
    fn fits(&mut self, program: &Program, name: &str, field: &str) -> bool {
        let result = match program.result() {
            Type::Optional(inner) => inner,
            other => other,
        };
        let (fits, want) = match name {
            "expression" => (true, ""),
            "namesExpression" => {
                (matches!(result, Type::Dyn | Type::Null | Type::List(_)), "a list of names")
            }
            "labelsExpression" => (
                matches!(result, Type::Dyn | Type::Null | Type::Map(..) | Type::Object(_)),
                "a map of labels",
            ),
            _ if name.starts_with("labels[") => (
                matches!(result, Type::Dyn | Type::Null | Type::String | Type::List(_)),
                "a string or a list of strings",
            ),
            _ => (matches!(result, Type::Dyn | Type::Null | Type::String), "a string"),
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

    /// Variables and lookups, each after what it reads. As in a ValidatingAdmissionPolicy a variable reads variables
    /// before it only; what reads itself on the way is a problem of each field that is part of the circle.
    fn order(&mut self, spec: &MonitorPolicySpec) -> (Vec<Entry>, Vec<(String, String)>) {
        let mut order = Order { spec, done: Vec::new(), open: Vec::new(), circles: Vec::new() };
        (0..spec.variables.len()).for_each(|n| order.visit(Entry::Variable(n)));
        (0..spec.lookups.len()).for_each(|n| order.visit(Entry::Lookup(n)));
        for (field, text) in &order.circles {
            self.problem(field.clone(), None, text.clone());
        }
        (order.done, order.circles)
    }
}

struct Order<'s> {
    spec: &'s MonitorPolicySpec,
    done: Vec<Entry>,
    /// The way to where it is.
    open: Vec<Entry>,
    circles: Vec<(String, String)>,
}

impl Order<'_> {
    fn visit(&mut self, entry: Entry) {
        if self.done.contains(&entry) {
            return;
        }
        if let Some(first) = self.open.iter().position(|open| *open == entry) {
            let circle: Vec<Entry> = self.open[first..].to_vec();
            let names: Vec<String> = circle.iter().chain([&entry]).map(|entry| self.name(*entry)).collect();
            // At the place that closes it.
            let last = circle.last().copied().unwrap_or(entry);
            self.circles.push((
                self.field_that_reads(last, entry),
                format!("{} read each other in a circle", names.join(" → ")),
            ));
            return;
        }
        self.open.push(entry);
        let sources = self.sources(entry);
        let needed: Vec<Entry> =
            sources.iter().flat_map(|(_, source)| self.needed(entry, &references(source))).collect();
        needed.into_iter().for_each(|needed| self.visit(needed));
        self.open.pop();
        self.done.push(entry);
    }

    fn needed(&self, entry: Entry, references: &References) -> Vec<Entry> {
        let spec = self.spec;
        // A variable cannot read one that comes later: it is not known there.
        let known = match entry {
            Entry::Variable(n) => n,
            Entry::Lookup(_) => spec.variables.len(),
        };
        let variables = spec.variables.iter().take(known).enumerate();
        let variables = variables.filter(|(_, variable)| references.variables.contains(&variable.name));
        let lookups = spec.lookups.iter().enumerate();
        let lookups = lookups.filter(|(_, lookup)| references.lookups.contains(&lookup.name));
        let variables = variables.map(|(n, _)| Entry::Variable(n));
        variables.chain(lookups.map(|(n, _)| Entry::Lookup(n))).collect()
    }

    fn name(&self, entry: Entry) -> String {
        match entry {
            Entry::Variable(n) => format!("variables.{}", self.spec.variables[n].name),
            Entry::Lookup(n) => format!("lookups.{}", self.spec.lookups[n].name),
        }
    }

    /// What is compiled of an entry before others may read it, by field. What a lookup says of itself may read it.
    fn sources(&self, entry: Entry) -> Vec<(String, &str)> {
        match entry {
            Entry::Variable(n) => {
                vec![(format!("spec.variables[{n}].expression"), &self.spec.variables[n].expression)]
            }
            Entry::Lookup(n) => {
                let lookup = &self.spec.lookups[n];
                let fields = [
                    ("namespaceExpression", &lookup.namespace_expression),
                    ("nameExpression", &lookup.name_expression),
                    ("namesExpression", &lookup.names_expression),
                    ("labelsExpression", &lookup.labels_expression),
                ];
                let given = fields
                    .into_iter()
                    .filter_map(|(name, source)| Some((name.to_owned(), source.as_deref()?)));
                let labels =
                    lookup.labels.iter().map(|(key, source)| (format!("labels[{key}]"), source.as_str()));
                given
                    .chain(labels)
                    .map(|(name, source)| (format!("spec.lookups[{n}].{name}"), source))
                    .collect()
            }
        }
    }

    fn field_that_reads(&self, entry: Entry, read: Entry) -> String {
        let sources = self.sources(entry);
        let reads = |(_, source): &&(String, &str)| self.needed(entry, &references(source)).contains(&read);
        sources.iter().find(reads).or(sources.first()).map(|(field, _)| field.clone()).unwrap_or_default()
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
