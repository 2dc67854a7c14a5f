//! What each object of a group contributes to aggregates, and what the contributions come to: the value, or the fault,
//! that evaluating the whole gives, with one exception. What it costs is counted for each object by itself, so that a
//! group may have any number of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::super::MAX_STEPS;
use super::super::aggregate::{Aggregate, Aggregates, End, Quantifier, Stage, Summand};
use super::super::cost::Meter;
use super::super::error::{EvalError, Text};
use super::super::fault::Fault;
use super::super::value::{List, Value};
use super::{Bindings, GroupInputs, Run};
use crate::core::tree::Node;

/// Longest text that is kept of an object, in bytes, and most elements of a list.
const MAX_KEPT: usize = 256;

/// What one object contributes to each of some aggregates.
#[derive(Debug)]
pub struct Contributions(Box<[Contribution]>);

#[derive(Debug)]
enum Contribution {
    /// It is left out.
    Out,
    /// It counts.
    In,
    /// Whether the condition holds.
    Holds(bool),
    /// A value.
    Value(Value<'static>),
    /// A value that is too large to be kept, or has an order that would be lost.
    Unkept,
    /// A fault in a stage, or in what comes after the last.
    Failed(usize, Fault),
}

impl Contribution {
    /// Whether nothing that is made of it is another.
    fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Out, Self::Out) | (Self::In, Self::In) => true,
            (Self::Holds(a), Self::Holds(b)) => a == b,
            (Self::Failed(a, x), Self::Failed(b, y)) => a == b && x == y,
            (Self::Value(a), Self::Value(b)) => match (a, b) {
                (Value::Null, Value::Null) => true,
                (Value::Bool(a), Value::Bool(b)) => a == b,
                (Value::Int(a), Value::Int(b)) => a == b,
                (Value::Uint(a), Value::Uint(b)) => a == b,
                (Value::Double(a), Value::Double(b)) => a.to_bits() == b.to_bits(),
                (Value::Str(a), Value::Str(b)) => **a == **b,
                (Value::Timestamp(a), Value::Timestamp(b)) => a == b,
                (Value::Duration(a), Value::Duration(b)) => a == b,
                _ => false,
            },
            _ => false,
        }
    }
}

impl Aggregates {
    /// What an object of the group with this key contributes.
    pub fn contributions(&self, object: &Node, group: &str) -> Contributions {
        Contributions(self.each.iter().map(|aggregate| self.contribution(aggregate, object, group)).collect())
    }

    fn contribution(&self, aggregate: &Aggregate, object: &Node, group: &str) -> Contribution {
        // Neither objects nor the time are read.
        let inputs = GroupInputs { objects: &[], group, now: Timestamp::UNIX_EPOCH };
        let (mut bindings, mut meter) = (Bindings::of_group(inputs), Meter::new(MAX_STEPS));
        let locals = vec![Value::Null; self.slots];
        let mut run = Run { locals, bindings: Some(&mut bindings), meter: &mut meter };
        let mut value = Value::from(object);
        for (n, stage) in aggregate.stages.iter().enumerate() {
            match run.stage(stage, value) {
                Ok(Some(made)) => value = made,
                Ok(None) => return Contribution::Out,
                Err(fault) => return Contribution::Failed(n, fault),
            }
        }
        match &aggregate.end {
            End::Size => Contribution::In,
            End::Decide { slot, condition, .. } => {
                run.set(*slot, value);
                match run.holds(Some(condition), 0) {
                    Ok(holds) => Contribution::Holds(holds),
                    Err(fault) => Contribution::Failed(aggregate.stages.len(), fault),
                }
            }
            End::Sum { .. } | End::List => keep(&value).map_or(Contribution::Unkept, Contribution::Value),
        }
    }
}

impl<'a> Run<'_, 'a> {
    /// What a stage makes of an element; none when it leaves it out.
    fn stage(&mut self, stage: &Stage, element: Value<'a>) -> Result<Option<Value<'a>>, Fault> {
        match stage {
            Stage::Filter { slot, condition } => {
                self.set(*slot, element.clone());
                Ok(self.holds(Some(condition), 0)?.then_some(element))
            }
            Stage::Map { slot, condition, value } => {
                self.set(*slot, element);
                if !self.holds(condition.as_ref(), 0)? {
                    return Ok(None);
                }
                self.eval(value).map(Some)
            }
        }
    }

    /// The value of an aggregate.
    #[inline(never)]
    pub(super) fn aggregate(&mut self, n: usize) -> Result<Value<'a>, Fault> {
        self.meter.charge(1)?;
        let Some(totals) = self.bindings()?.totals else {
            return Err(EvalError::Internal { reason: Text::word("no aggregates are bound") }.into());
        };
        match totals.total(n)? {
            Total::Value(value) => Ok(value),
            Total::List(values) => {
                self.meter.charge(values.len() as u64)?;
                Ok(Value::list(values))
            }
            Total::Summands(values) => {
                self.meter.charge(values.len() as u64)?;
                match totals.aggregates().each.get(n).map(|aggregate| &aggregate.end) {
                    Some(End::Sum { call, .. }) => self.apply(call, &[Value::list(values)]),
                    _ => Ok(Value::list(values)),
                }
            }
        }
    }
}

/// A value of its own; none when it would not be the same in every respect.
fn keep(value: &Value<'_>) -> Option<Value<'static>> {
    Some(match value {
        Value::Null => Value::Null,
        Value::Bool(b) => Value::Bool(*b),
        Value::Int(i) => Value::Int(*i),
        Value::Uint(u) => Value::Uint(*u),
        Value::Double(d) => Value::Double(*d),
        Value::Str(text) if text.len() <= MAX_KEPT => Value::text(&**text),
        Value::Bytes(bytes) if bytes.len() <= MAX_KEPT => Value::Bytes(bytes.clone()),
        Value::Timestamp(time) => Value::Timestamp(*time),
        Value::Duration(duration) => Value::Duration(*duration),
        Value::Type(name) => Value::Type(name),
        Value::Optional(None) => Value::Optional(None),
        Value::Optional(Some(inner)) => Value::some(keep(inner)?),
        Value::Opaque(value) if value.size() <= MAX_KEPT as u64 => Value::Opaque(value.clone()),
        // Of scalars only: what nests could be as large as the object.
        Value::List(list) if list.len() <= MAX_KEPT / 16 => {
            let scalar = |element: Value<'_>| match element {
                Value::List(_) | Value::Optional(_) => None,
                element => keep(&element),
            };
            Value::List(List::Made(list.iter().map(scalar).collect::<Option<Vec<_>>>()?.into()))
        }
        // Made anew, a map would be in the order of its keys.
        Value::Map(_) | Value::Str(_) | Value::Bytes(_) | Value::Opaque(_) | Value::List(_) => return None,
    })
}

/// What the contributions to an aggregate come to.
#[derive(Debug)]
pub enum Total {
    /// This value.
    Value(Value<'static>),
    /// A list of these.
    List(Vec<Value<'static>>),
    /// The sum of these, in this order.
    Summands(Vec<Value<'static>>),
}

/// Whoever knows the values of aggregates.
pub trait Totals: Sync {
    /// What they are.
    fn aggregates(&self) -> &Aggregates;
    /// One of them.
    ///
    /// # Errors
    /// What evaluating the whole comes upon first.
    fn total(&self, n: usize) -> Result<Total, Fault>;
}

/// The members of a group with what they contribute, and the totals.
#[derive(Debug)]
pub struct Kept<K> {
    aggregates: Arc<Aggregates>,
    members: BTreeMap<K, Contributions>,
    tallies: Box<[Tally<K>]>,
}

/// What is counted of the contributions to one aggregate.
#[derive(Debug)]
struct Tally<K> {
    /// Members that count, or whose value is there.
    counted: usize,
    /// Those for which the condition holds, and does not.
    holds: [usize; 2],
    /// Those that failed, in the order in which evaluating the whole would come upon them.
    failed: BTreeSet<(usize, K)>,
    /// Those that took more than an evaluation may.
    too_costly: usize,
    unkept: usize,
    /// Values that cannot be added up.
    others: usize,
    sum: i128,
    /// The sum without signs: while it is small no sum of some can be too large.
    magnitude: u128,
}

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self {
            counted: 0,
            holds: [0; 2],
            failed: BTreeSet::new(),
            too_costly: 0,
            unkept: 0,
            others: 0,
            sum: 0,
            magnitude: 0,
        }
    }
}

impl<K: Ord + Clone> Kept<K> {
    /// A group without members.
    pub fn new(aggregates: Arc<Aggregates>) -> Self {
        let tallies = aggregates.each.iter().map(|_| Tally::default()).collect();
        Self { aggregates, members: BTreeMap::new(), tallies }
    }

    /// A member is as it says; returns whether that may make a difference.
    pub fn insert(&mut self, key: &K, contributions: Contributions) -> bool {
        if let Some(known) = self.members.get(key)
            && known.0.iter().zip(&contributions.0).all(|(a, b)| a.same(b))
        {
            return false;
        }
        self.remove(key);
        self.count(key, &contributions, true);
        self.members.insert(key.clone(), contributions);
        true
    }

    /// Forgets a member.
    pub fn remove(&mut self, key: &K) {
        if let Some(contributions) = self.members.remove(key) {
            self.count(key, &contributions, false);
        }
    }

    /// Whether there is a value that is not kept, so that objects have to be read after all.
    pub fn lacks_values(&self) -> bool {
        self.tallies.iter().any(|tally| tally.unkept > 0)
    }

    fn count(&mut self, key: &K, contributions: &Contributions, comes: bool) {
        let each = self.tallies.iter_mut().zip(&self.aggregates.each).zip(&contributions.0);
        for ((tally, aggregate), contribution) in each {
            tally.count(key, aggregate, contribution, comes);
        }
    }

    /// The values that are kept for an aggregate, in the order of the members.
    fn values(&self, n: usize) -> Vec<Value<'static>> {
        let of = |contributions: &Contributions| match contributions.0.get(n) {
            Some(Contribution::Value(value)) => Some(value.clone()),
            _ => None,
        };
        self.members.values().filter_map(of).collect()
    }

    /// The fault of a member.
    fn fault(&self, n: usize, key: &K) -> Fault {
        match self.members.get(key).and_then(|contributions| contributions.0.get(n)) {
            Some(Contribution::Failed(_, fault)) => fault.clone(),
            _ => EvalError::Internal { reason: Text::word("a fault is not known") }.into(),
        }
    }
}

impl<K: Ord + Clone> Tally<K> {
    fn count(&mut self, key: &K, aggregate: &Aggregate, contribution: &Contribution, comes: bool) {
        let add = |count: &mut usize| *count = if comes { *count + 1 } else { count.saturating_sub(1) };
        match contribution {
            Contribution::Out => {}
            Contribution::In => add(&mut self.counted),
            Contribution::Holds(holds) => add(&mut self.holds[usize::from(*holds)]),
            Contribution::Unkept => add(&mut self.unkept),
            Contribution::Failed(stage, fault) => {
                if *fault == Fault::Budget {
                    add(&mut self.too_costly);
                }
                let place = (*stage, key.clone());
                if comes {
                    self.failed.insert(place)
                } else {
                    self.failed.remove(&place)
                };
            }
            Contribution::Value(value) => match (&aggregate.end, summed(&aggregate.end, value)) {
                (End::Sum { .. }, None) => add(&mut self.others),
                (_, None) => add(&mut self.counted),
                (_, Some(number)) => {
                    add(&mut self.counted);
                    let (sign, magnitude) = (if comes { number } else { -number }, number.unsigned_abs());
                    self.sum += sign;
                    self.magnitude = match comes {
                        true => self.magnitude.saturating_add(magnitude),
                        false => self.magnitude.saturating_sub(magnitude),
                    };
                }
            },
        }
    }
}

/// A value as the number that is added up; none when it is not one of those.
fn summed(end: &End, value: &Value<'static>) -> Option<i128> {
    let End::Sum { of, .. } = end else { return None };
    match (of, value) {
        (Summand::Int, Value::Int(number)) | (Summand::Duration, Value::Duration(number)) => {
            Some(i128::from(*number))
        }
        (Summand::Uint, Value::Uint(number)) => Some(i128::from(*number)),
        _ => None,
    }
}

impl<K: Ord + Clone + Sync> Totals for Kept<K> {
    fn aggregates(&self) -> &Aggregates {
        &self.aggregates
    }

    fn total(&self, n: usize) -> Result<Total, Fault> {
        let (Some(tally), Some(aggregate)) = (self.tallies.get(n), self.aggregates.each.get(n)) else {
            return Err(EvalError::Internal { reason: Text::word("an aggregate is not known") }.into());
        };
        let failed = tally.failed.first();
        let decides =
            matches!(aggregate.end, End::Decide { quantifier: Quantifier::All | Quantifier::Exists, .. });
        // What fails after the last stage is done without if another decides, unless nothing goes on.
        let dispensable = |stage: usize| decides && stage == aggregate.stages.len();
        match failed {
            Some((stage, _)) if dispensable(*stage) && tally.too_costly > 0 => return Err(Fault::Budget),
            Some((stage, key)) if !dispensable(*stage) => return Err(self.fault(n, key)),
            _ => {}
        }
        let undecided = |value: bool| match failed {
            Some((_, key)) => Err(self.fault(n, key)),
            None => Ok(Total::Value(value.into())),
        };
        let [refused, held] = tally.holds;
        match &aggregate.end {
            End::Size => Ok(Total::Value(Value::Int(i64::try_from(tally.counted).unwrap_or(i64::MAX)))),
            End::Decide { quantifier: Quantifier::All, .. } if refused > 0 => Ok(Total::Value(false.into())),
            End::Decide { quantifier: Quantifier::All, .. } => undecided(true),
            End::Decide { quantifier: Quantifier::Exists, .. } if held > 0 => Ok(Total::Value(true.into())),
            End::Decide { quantifier: Quantifier::Exists, .. } => undecided(false),
            End::Decide { quantifier: Quantifier::ExistsOne, .. } => Ok(Total::Value((held == 1).into())),
            End::Sum { of, .. } => {
                let total = tally.total(*of).map(Total::Value);
                Ok(total.unwrap_or_else(|| Total::Summands(self.values(n))))
            }
            End::List => Ok(Total::List(self.values(n))),
        }
    }
}

impl<K> Tally<K> {
    /// The sum, unless adding up one value after the other may come to something else.
    fn total(&self, of: Summand) -> Option<Value<'static>> {
        if self.others > 0 || self.magnitude > u128::from(u64::MAX) {
            return None;
        }
        match of {
            Summand::Int if self.magnitude <= i64::MAX as u128 => {
                i64::try_from(self.sum).ok().map(Value::Int)
            }
            Summand::Duration if self.magnitude <= i64::MAX as u128 => {
                i64::try_from(self.sum).ok().map(Value::Duration)
            }
            Summand::Uint => u64::try_from(self.sum).ok().map(Value::Uint),
            Summand::Int | Summand::Duration | Summand::Double => None,
        }
    }
}
