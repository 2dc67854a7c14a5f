//! What the schemas of its kinds say of a policy's expressions, before any object is judged.
//!
//! In: a compiled policy, and the schema of each of its selections as far as they are known. Out: [`Warnings`] in
//! the order of the spec, bounded. They are advice: the policy is in force as it is. The watches call, which know
//! the schemas.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::cel::{self, Position, Scope};
use super::lookup::Lookup;
use super::policy::{CompiledPolicy, Located, Part};
use super::schema::Schema;

/// Most warnings of one policy; those that are left out are counted.
pub const MAX_WARNINGS: usize = 20;

/// What is found in one policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Warnings {
    /// The first [`MAX_WARNINGS`], in the order of the spec.
    pub listed: Vec<Warning>,
    /// How many more there are.
    pub omitted: usize,
}

/// One thing that cannot be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Path of the field, such as `spec.rules[2].expression`.
    pub field: String,
    /// The rule, when the expression is of one.
    pub rule: Option<Arc<str>>,
    /// Where in the expression.
    pub at: Position,
    /// What is wrong, and the name that was probably meant.
    pub message: Arc<str>,
    /// The selections for whose kinds it is so, in the order of the spec.
    pub selections: Vec<Arc<str>>,
}

/// Checks a policy. `schemas` has an entry for each of its selections; one without a schema is not checked.
pub fn check(policy: &CompiledPolicy, schemas: &[Option<Arc<Schema>>]) -> Warnings {
    // One roomy stack serves the whole policy; without it each expression asks for one of its own.
    cel::with_large_stack(|| check_here(policy, schemas)).unwrap_or_else(|_| check_here(policy, schemas))
}

fn check_here(policy: &CompiledPolicy, schemas: &[Option<Arc<Schema>>]) -> Warnings {
    let mut kinds = kinds(policy, schemas);
    let judged = Judged::new(policy);
    let mut found = Vec::new();
    for expression in &policy.expressions {
        // Selections of kinds that agree on it share one warning.
        let mut here: BTreeMap<(usize, usize, Arc<str>), Vec<usize>> = BTreeMap::new();
        for kind in &mut kinds {
            let scope = match &expression.part {
                Part::Group(_, n) if judged.mixes(*n, &kind.selections) => continue,
                Part::Group(..) => &kind.group,
                _ => &kind.scope,
            };
            let (warnings, result) = cel::check_types(expression.program.source(), scope);
            if let Part::Variable(name) = &expression.part {
                kind.scope.declare_type(name, result);
            }
            let selections = kind.selections.iter().filter(|n| judged.reaches(expression, **n));
            let selections: Vec<usize> = selections.copied().collect();
            for warning in warnings.iter().filter(|_| !selections.is_empty()) {
                let key = (warning.at.line, warning.at.column, warning.message.as_str().into());
                here.entry(key).or_default().extend(&selections);
            }
        }
        found.extend(here.into_iter().map(|((line, column, message), mut selections)| {
            selections.sort_unstable();
            let names = selections.iter().filter_map(|n| policy.selections.get(*n));
            Warning {
                field: expression.field.clone(),
                rule: expression.part.rule().cloned(),
                at: Position { line, column },
                message,
                selections: names.map(|selection| selection.name.clone()).collect(),
            }
        }));
    }
    let omitted = found.len().saturating_sub(MAX_WARNINGS);
    found.truncate(MAX_WARNINGS);
    Warnings { listed: found, omitted }
}

/// One kind, and what its expressions may read.
struct Kind<'a> {
    /// None for all kinds whose schemas are not known: of what is joined to their objects it may be.
    schema: Option<&'a Arc<Schema>>,
    scope: Scope,
    /// The same for expressions about groups.
    group: Scope,
    /// Which selections are of it.
    selections: Vec<usize>,
}

/// The distinct kinds of which something is known.
fn kinds<'s>(policy: &CompiledPolicy, schemas: &'s [Option<Arc<Schema>>]) -> Vec<Kind<'s>> {
    let schema_of = |selection: usize| schemas.get(selection).and_then(Option::as_ref);
    let joined = policy.lookups.iter().flatten().any(|lookup| schema_of(lookup.selection).is_some());
    let mut kinds: Vec<Kind<'_>> = Vec::new();
    for (n, selection) in policy.selections.iter().enumerate() {
        let schema = schema_of(n);
        if !selection.is_judged() || (schema.is_none() && !joined) {
            continue;
        }
        let same = |known: Option<&Arc<Schema>>| match (known, schema) {
            (Some(known), Some(schema)) => Arc::ptr_eq(known, schema),
            (None, None) => true,
            _ => false,
        };
        match kinds.iter_mut().find(|kind| same(kind.schema)) {
            Some(kind) => kind.selections.push(n),
            None => {
                let object = schema.map_or(cel::Type::Dyn, |schema| schema.to_type("object"));
                let mut scope = Scope::new(&cel::Root::OF_OBJECT).typed(object.clone());
                declare_lookups(policy, schemas, &mut scope);
                let mut group = Scope::new(&cel::Root::OF_GROUP).typed(object);
                if let Some(params) = params_type(policy, schemas) {
                    group.declare_params(params);
                }
                kinds.push(Kind { schema, scope, group, selections: vec![n] });
            }
        }
    }
    kinds
}

/// What is looked up is of the types that its schemas say, too.
fn declare_lookups(policy: &CompiledPolicy, schemas: &[Option<Arc<Schema>>], scope: &mut Scope) {
    for (place, lookup) in policy.lookups.iter().enumerate() {
        match (lookup, params_type(policy, schemas)) {
            (_, Some(params)) if policy.is_params(place) => {
                scope.declare_params(params);
            }
            (Some(lookup), _) => {
                let element = found_type(lookup, schemas, &format!("lookups.{}", lookup.name));
                scope.declare_lookup(&lookup.name, lookup.is_many(), element, []);
            }
            (None, _) => scope.skip_lookup(),
        }
    }
}

/// The type of `params`, when there are any. Of several each is bound by itself.
fn params_type(policy: &CompiledPolicy, schemas: &[Option<Arc<Schema>>]) -> Option<cel::Type> {
    let (place, _) = policy.params?;
    Some(policy.lookup(place).map_or(cel::Type::Dyn, |lookup| found_type(lookup, schemas, "params")))
}

/// The type of one object that a lookup finds.
fn found_type(lookup: &Lookup, schemas: &[Option<Arc<Schema>>], name: &str) -> cel::Type {
    let schema = schemas.get(lookup.selection).and_then(Option::as_ref);
    schema.map_or(cel::Type::Dyn, |schema| schema.to_type(name))
}

/// Which selections' objects an expression is evaluated for. Variables are evaluated when they are read, so one
/// that only rules about other kinds read says nothing of this one.
struct Judged<'a> {
    policy: &'a CompiledPolicy,
    /// By variable, the expressions that read it, through other variables, too.
    readers: BTreeMap<&'a str, Vec<&'a Part>>,
}

impl<'a> Judged<'a> {
    fn new(policy: &'a CompiledPolicy) -> Self {
        let programs: BTreeMap<&str, &cel::Program> = policy
            .expressions
            .iter()
            .filter_map(|expression| match &expression.part {
                Part::Variable(name) => Some((&**name, &expression.program)),
                _ => None,
            })
            .collect();
        let mut readers: BTreeMap<&str, Vec<&Part>> = BTreeMap::new();
        for expression in policy.expressions.iter().filter(|e| !matches!(e.part, Part::Variable(_))) {
            let mut read: BTreeSet<&str> = BTreeSet::new();
            let mut open: Vec<&cel::Program> = vec![&expression.program];
            while let Some(program) = open.pop() {
                for name in program.variables() {
                    if let Some((name, program)) = programs.get_key_value(name.as_str())
                        && read.insert(name)
                    {
                        open.push(program);
                    }
                }
            }
            read.into_iter().for_each(|name| readers.entry(name).or_default().push(&expression.part));
        }
        Self { policy, readers }
    }

    fn reaches(&self, expression: &Located, selection: usize) -> bool {
        match &expression.part {
            Part::Variable(name) => {
                let readers = self.readers.get(&**name).map(Vec::as_slice).unwrap_or_default();
                let lookups = readers.iter().filter_map(|part| match part {
                    Part::Lookup(name) => Some(&**name),
                    _ => None,
                });
                readers.iter().any(|part| self.part_reaches(part, selection))
                    || lookups.into_iter().any(|name| self.lookup_reaches(name, selection))
            }
            Part::Lookup(name) => self.lookup_reaches(name, selection),
            part => self.part_reaches(part, selection),
        }
    }

    /// Whether the groups of a rule have objects of other selections than these, whose fields may be others.
    fn mixes(&self, rule: usize, selections: &[usize]) -> bool {
        let judged =
            self.policy.rules.get(rule).into_iter().flat_map(|rule| rule.selections.iter().enumerate());
        judged.filter(|(_, judged)| **judged).any(|(n, _)| !selections.contains(&n))
    }

    fn part_reaches(&self, part: &Part, selection: usize) -> bool {
        match part {
            Part::MatchCondition => true,
            Part::Expected(_, n) => {
                let rule = self.policy.rules.get(*n).and_then(|rule| rule.as_group());
                rule.is_some_and(|group| group.expects(selection))
            }
            Part::Rule(_, n) | Part::Group(_, n) => {
                self.policy.rules.get(*n).is_some_and(|rule| rule.selections.get(selection) == Some(&true))
            }
            Part::Variable(_) | Part::Lookup(_) => false,
        }
    }

    /// Whether judging an object of the selection takes this lookup.
    fn lookup_reaches(&self, name: &str, selection: usize) -> bool {
        let mut places = self.policy.lookups.iter();
        let place = places.position(|lookup| lookup.as_ref().is_some_and(|lookup| *lookup.name == *name));
        let reads =
            |expression: &&Located| place.is_some_and(|place| expression.program.lookups().contains(&place));
        let mut expressions = self.policy.expressions.iter().filter(reads);
        expressions.any(|expression| self.part_reaches(&expression.part, selection))
    }
}

#[cfg(test)]
mod tests;
