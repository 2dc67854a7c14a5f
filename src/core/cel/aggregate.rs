//! What a program over a group says of `objects` that can be kept up to date object by object.
//!
//! In: the programs of a rule on groups. Out: the same programs with each such part replaced by a number, and the parts.
//! A part begins at `objects`, goes through `filter` and `map` whose bodies read nothing but the element and the key
//! of the group, and ends in a number, a verdict or a list of values. Each object contributes to it by itself; how
//! contributions come to a value is `evaluate/totals.rs`.

use super::code::{Body, Call, Code, Loop};
use super::compile::Program;
use super::scope::Root;
use super::types::Type;

/// The parts of some programs that are kept up to date.
#[derive(Debug)]
pub struct Aggregates {
    pub(super) each: Vec<Aggregate>,
    /// How many local values their bodies have at the same time.
    pub(super) slots: usize,
}

/// One part.
#[derive(Debug)]
pub(super) struct Aggregate {
    /// What is made of each object, one after the other.
    pub(super) stages: Vec<Stage>,
    pub(super) end: End,
}

/// What is made of an element, which is in a slot.
#[derive(Debug)]
pub(super) enum Stage {
    /// It is left out unless the condition holds.
    Filter { slot: usize, condition: Code },
    /// The value takes its place; it is left out if there is a condition that does not hold.
    Map { slot: usize, condition: Option<Code>, value: Code },
}

/// What is made of all.
#[derive(Debug)]
pub(super) enum End {
    /// How many they are.
    Size,
    /// Whether the condition holds for all, for any, or for exactly one.
    Decide { quantifier: Quantifier, slot: usize, condition: Code },
    /// Their sum, which the call makes of a list of them.
    Sum { of: Summand, call: Box<Call> },
    /// The list of them, which are no objects.
    List,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantifier {
    All,
    Exists,
    ExistsOne,
}

/// What is added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Summand {
    Int,
    Uint,
    Duration,
    /// The sum depends on the order: it is made anew of all values.
    Double,
}

/// What keeping a rule up to date takes when one object of a group changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upkeep {
    /// That object is looked at, and nothing else.
    Incremental,
    /// What is kept of each object, a value or a few, is gone through.
    Values,
    /// All objects of the group are read again.
    Whole,
}

/// The parts of `programs` that can be kept up to date, and the programs as they read these. None when they have to
/// read objects nevertheless.
pub fn aggregates(programs: &[&Program]) -> Option<(Vec<Program>, Aggregates)> {
    let slots = programs.iter().map(|program| program.slots()).max().unwrap_or_default();
    let mut found = Aggregates { each: Vec::new(), slots };
    let mut rewritten = Vec::new();
    for program in programs {
        let mut code = program.code().clone();
        found.replace(&mut code);
        if reads_objects(&code) {
            return None;
        }
        rewritten.push(program.with_code(code));
    }
    Some((rewritten, found))
}

impl Aggregates {
    /// What keeping them up to date takes.
    pub fn upkeep(&self) -> Upkeep {
        let of_values =
            |aggregate: &Aggregate| matches!(aggregate.end, End::List | End::Sum { of: Summand::Double, .. });
        if self.each.iter().any(of_values) { Upkeep::Values } else { Upkeep::Incremental }
    }

    /// Replaces each part of `code` that is one; the outermost, which have the most in them.
    fn replace(&mut self, code: &mut Code) {
        match aggregate(code) {
            Some(aggregate) => {
                *code = Code::Aggregate(self.each.len());
                self.each.push(aggregate);
            }
            None => code.for_each_part_mut(|part| self.replace(part)),
        }
    }
}

fn aggregate(code: &Code) -> Option<Aggregate> {
    match code {
        Code::Call(call) => match (call.name, call.args.as_slice()) {
            ("size", [list]) => Some(Aggregate { stages: stages(list)?, end: End::Size }),
            ("sum", [list]) => {
                let stages = stages(list).filter(|stages| makes_values(stages))?;
                Some(Aggregate { stages, end: End::Sum { of: summand(call)?, call: call.clone() } })
            }
            _ => None,
        },
        Code::Loop(repeated) => {
            let (quantifier, condition) = match &repeated.body {
                Body::All(condition) => (Quantifier::All, condition),
                Body::Exists(condition) => (Quantifier::Exists, condition),
                Body::ExistsOne(condition) => (Quantifier::ExistsOne, condition),
                _ => return list(code),
            };
            let slot = own(repeated, [condition])?;
            let end = End::Decide { quantifier, slot, condition: condition.clone() };
            Some(Aggregate { stages: stages(&repeated.range)?, end })
        }
        _ => None,
    }
}

/// A list of values that is used as one.
fn list(code: &Code) -> Option<Aggregate> {
    let stages = stages(code).filter(|stages| makes_values(stages))?;
    Some(Aggregate { stages, end: End::List })
}

fn makes_values(stages: &[Stage]) -> bool {
    stages.iter().any(|stage| matches!(stage, Stage::Map { .. }))
}

/// What is made of each object until it is an element of this list.
fn stages(list: &Code) -> Option<Vec<Stage>> {
    match list {
        Code::Root(Root::Objects) => Some(Vec::new()),
        Code::Loop(repeated) => {
            let stage = match &repeated.body {
                Body::Filter(condition) => {
                    Stage::Filter { slot: own(repeated, [condition])?, condition: condition.clone() }
                }
                Body::Map { condition, value } => Stage::Map {
                    slot: own(repeated, condition.iter().chain([value]))?,
                    condition: condition.clone(),
                    value: value.clone(),
                },
                _ => return None,
            };
            let mut stages = stages(&repeated.range)?;
            stages.push(stage);
            Some(stages)
        }
        _ => None,
    }
}

/// Where a loop puts its element, when its bodies read nothing else but the key of the group.
fn own<'c>(repeated: &Loop, bodies: impl IntoIterator<Item = &'c Code>) -> Option<usize> {
    let of_element = bodies.into_iter().all(|body| reads_only(body, repeated.first));
    (repeated.second.is_none() && of_element).then_some(repeated.first)
}

/// Whether code reads no local value from outside, which have the slots before `first`, and of the names only the key.
fn reads_only(code: &Code, first: usize) -> bool {
    match code {
        Code::Constant(_) => true,
        Code::Local(slot) => *slot >= first,
        Code::Root(root) => *root == Root::Group,
        Code::Variable(_) | Code::Aggregate(_) => false,
        Code::Lookup(_) | Code::LookupIfThere(_) | Code::HasLookup(_) => false,
        // Spelled out: what is added to the language is not taken to be fit for this.
        Code::Select { .. }
        | Code::Has { .. }
        | Code::SelectIfThere { .. }
        | Code::Index { .. }
        | Code::IndexIfThere { .. }
        | Code::And(_)
        | Code::Or(_)
        | Code::Not(_)
        | Code::Conditional { .. }
        | Code::Equal { .. }
        | Code::Ordered(..)
        | Code::Calculate(..)
        | Code::Negate(_)
        | Code::In { .. }
        | Code::Call(_)
        | Code::List(_)
        | Code::Map(_)
        | Code::Loop(_)
        | Code::Bind { .. }
        | Code::OptionalMap { .. }
        | Code::OptionalOr { .. }
        | Code::OptionalOrValue { .. } => {
            let mut fit = true;
            code.for_each_part(|part| fit = fit && reads_only(part, first));
            fit
        }
    }
}

fn reads_objects(code: &Code) -> bool {
    let mut reads = matches!(code, Code::Root(Root::Objects));
    code.for_each_part(|part| reads = reads || reads_objects(part));
    reads
}

/// What a sum adds up: of several forms that the types leave, the first takes any list.
fn summand(call: &Call) -> Option<Summand> {
    match call.candidates.first()?.signature.args.first()? {
        Type::List(element) => match **element {
            Type::Int => Some(Summand::Int),
            Type::Uint => Some(Summand::Uint),
            Type::Double => Some(Summand::Double),
            Type::Duration => Some(Summand::Duration),
            _ => None,
        },
        _ => None,
    }
}
