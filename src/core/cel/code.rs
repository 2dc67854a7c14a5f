//! The compiled form of an expression: names are slots, functions are what they call, literals are values.
//!
//! The checker makes it, the evaluator runs it, the path analysis walks it. It nests no deeper than
//! [`super::MAX_DEPTH`], so that all of them may recurse.

use std::sync::Arc;

use super::libraries::DeclaredOverload;
use super::moments::Comparison;
use super::operators::Arithmetic;
use super::scope::Root;
use super::value::Value;

/// A part of an expression.
#[derive(Debug, Clone)]
pub(super) enum Code {
    /// A literal, or what was made of literals only.
    Constant(Value<'static>),
    /// `object` and the like.
    Root(Root),
    /// A variable of the policy, by its place in the order of declaration.
    Variable(usize),
    /// What the policy's lookup at this place finds.
    Lookup(usize),
    /// `lookups.?NAME`.
    LookupIfThere(usize),
    /// `has(lookups.NAME)`: whether the kind is installed.
    HasLookup(usize),
    /// What the objects of a group contribute to, by its number.
    Aggregate(usize),
    /// The value of a name that a loop or `cel.bind` binds.
    Local(usize),
    /// `operand.field`.
    Select { operand: Box<Code>, field: Arc<str> },
    /// `has(operand.field)`.
    Has { operand: Box<Code>, field: Arc<str> },
    /// `operand.?field`.
    SelectIfThere { operand: Box<Code>, field: Arc<str> },
    /// `operand[key]`.
    Index { operand: Box<Code>, key: Box<Code> },
    /// `operand[?key]`.
    IndexIfThere { operand: Box<Code>, key: Box<Code> },
    /// `a && b && …`: false if any is false, whatever fails.
    And(Vec<Code>),
    /// `a || b || …`: true if any is true, whatever fails.
    Or(Vec<Code>),
    /// `!x`.
    Not(Box<Code>),
    /// `condition ? yes : no`.
    Conditional { condition: Box<Code>, yes: Box<Code>, no: Box<Code> },
    /// `a == b`, or its negation.
    Equal { sides: Box<[Code; 2]>, negated: bool },
    /// `a < b` and the like.
    Ordered(Comparison, Box<[Code; 2]>),
    /// `a + b` and the like.
    Calculate(Arithmetic, Box<[Code; 2]>),
    /// `-x`.
    Negate(Box<Code>),
    /// `element in whole`.
    In { element: Box<Code>, whole: Box<Code> },
    /// A call of a library function.
    Call(Box<Call>),
    /// `[a, ?b]`; whether each element is put in only if it has a value.
    List(Vec<(Code, bool)>),
    /// `{a: b, ?c: d}`.
    Map(Vec<Entry>),
    /// A loop.
    Loop(Box<Loop>),
    /// `cel.bind(name, value, body)`.
    Bind { slot: usize, value: Box<Code>, body: Box<Code> },
    /// `optional.optMap(name, body)`, or `optFlatMap`, whose body is an optional itself.
    OptionalMap { operand: Box<Code>, slot: usize, body: Box<Code>, flat: bool },
    /// `optional.or(other)`: the other is looked at only if it is needed.
    OptionalOr { operand: Box<Code>, other: Box<Code> },
    /// `optional.orValue(value)`: as above.
    OptionalOrValue { operand: Box<Code>, value: Box<Code> },
}

/// An entry of a map that is written out.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: Code,
    pub(super) value: Code,
    /// Put in only if the value, an optional, has one.
    pub(super) optional: bool,
}

/// A call.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// The name of the function.
    pub(super) name: &'static str,
    /// What may be called, in the order in which it is tried: what the types at compile time leave.
    pub(super) candidates: Vec<&'static DeclaredOverload>,
    /// The value it is called on first.
    pub(super) args: Vec<Code>,
}

/// A loop over a list or over the keys of a map.
#[derive(Debug, Clone)]
pub(super) struct Loop {
    pub(super) range: Code,
    /// Where the element goes; for a map its key. With two names: the index, or the key.
    pub(super) first: usize,
    /// With two names: where the element, or the value, goes.
    pub(super) second: Option<usize>,
    pub(super) body: Body,
}

/// What a loop does.
#[derive(Debug, Clone)]
pub(super) enum Body {
    /// Whether the condition holds for all; one false decides, whatever fails.
    All(Code),
    /// Whether it holds for any; one true decides, whatever fails.
    Exists(Code),
    /// Whether it holds for exactly one.
    ExistsOne(Code),
    /// The elements for which it holds.
    Filter(Code),
    /// A list of values, of those elements for which the condition holds.
    Map { condition: Option<Code>, value: Code },
    /// A map with the same keys, of those for which the condition holds.
    TransformMap { condition: Option<Code>, value: Code },
    /// A map of the entries of the maps that the body makes.
    TransformMapEntry { condition: Option<Code>, entries: Code },
    /// The elements, by the order of the keys that the body makes.
    SortBy(Code),
}

impl Code {
    /// Hands out the parts directly within it, those of loops among them.
    pub(super) fn for_each_part<'c>(&'c self, mut hand: impl FnMut(&'c Code)) {
        match self {
            Self::Constant(_) | Self::Root(_) | Self::Variable(_) | Self::Aggregate(_) | Self::Local(_) => {}
            Self::Lookup(_) | Self::LookupIfThere(_) | Self::HasLookup(_) => {}
            Self::Select { operand, .. }
            | Self::Has { operand, .. }
            | Self::SelectIfThere { operand, .. } => {
                hand(operand);
            }
            Self::Not(operand) | Self::Negate(operand) => hand(operand),
            Self::Index { operand, key } | Self::IndexIfThere { operand, key } => {
                hand(operand);
                hand(key);
            }
            Self::And(terms) | Self::Or(terms) => terms.iter().for_each(hand),
            Self::Conditional { condition, yes, no } => {
                hand(condition);
                hand(yes);
                hand(no);
            }
            Self::Equal { sides, .. } | Self::Ordered(_, sides) | Self::Calculate(_, sides) => {
                sides.iter().for_each(hand);
            }
            Self::In { element: a, whole: b }
            | Self::Bind { value: a, body: b, .. }
            | Self::OptionalMap { operand: a, body: b, .. }
            | Self::OptionalOr { operand: a, other: b }
            | Self::OptionalOrValue { operand: a, value: b } => {
                hand(a);
                hand(b);
            }
            Self::Call(call) => call.args.iter().for_each(hand),
            Self::List(elements) => elements.iter().for_each(|(element, _)| hand(element)),
            Self::Map(entries) => entries.iter().for_each(|entry| {
                hand(&entry.key);
                hand(&entry.value);
            }),
            Self::Loop(l) => {
                hand(&l.range);
                match &l.body {
                    Body::All(c)
                    | Body::Exists(c)
                    | Body::ExistsOne(c)
                    | Body::Filter(c)
                    | Body::SortBy(c) => hand(c),
                    Body::Map { condition, value }
                    | Body::TransformMap { condition, value }
                    | Body::TransformMapEntry { condition, entries: value } => {
                        condition.iter().for_each(&mut hand);
                        hand(value);
                    }
                }
            }
        }
    }

    /// The same, to be changed.
    pub(super) fn for_each_part_mut(&mut self, mut hand: impl FnMut(&mut Code)) {
        match self {
            Self::Constant(_) | Self::Root(_) | Self::Variable(_) | Self::Aggregate(_) | Self::Local(_) => {}
            Self::Lookup(_) | Self::LookupIfThere(_) | Self::HasLookup(_) => {}
            Self::Select { operand, .. }
            | Self::Has { operand, .. }
            | Self::SelectIfThere { operand, .. } => {
                hand(operand);
            }
            Self::Not(operand) | Self::Negate(operand) => hand(operand),
            Self::Index { operand, key } | Self::IndexIfThere { operand, key } => {
                hand(operand);
                hand(key);
            }
            Self::And(terms) | Self::Or(terms) => terms.iter_mut().for_each(hand),
            Self::Conditional { condition, yes, no } => {
                hand(condition);
                hand(yes);
                hand(no);
            }
            Self::Equal { sides, .. } | Self::Ordered(_, sides) | Self::Calculate(_, sides) => {
                sides.iter_mut().for_each(hand);
            }
            Self::In { element: a, whole: b }
            | Self::Bind { value: a, body: b, .. }
            | Self::OptionalMap { operand: a, body: b, .. }
            | Self::OptionalOr { operand: a, other: b }
            | Self::OptionalOrValue { operand: a, value: b } => {
                hand(a);
                hand(b);
            }
            Self::Call(call) => call.args.iter_mut().for_each(hand),
            Self::List(elements) => elements.iter_mut().for_each(|(element, _)| hand(element)),
            Self::Map(entries) => entries.iter_mut().for_each(|entry| {
                hand(&mut entry.key);
                hand(&mut entry.value);
            }),
            Self::Loop(l) => {
                hand(&mut l.range);
                match &mut l.body {
                    Body::All(c)
                    | Body::Exists(c)
                    | Body::ExistsOne(c)
                    | Body::Filter(c)
                    | Body::SortBy(c) => hand(c),
                    Body::Map { condition, value }
                    | Body::TransformMap { condition, value }
                    | Body::TransformMapEntry { condition, entries: value } => {
                        condition.iter_mut().for_each(&mut hand);
                        hand(value);
                    }
                }
            }
        }
    }
}
