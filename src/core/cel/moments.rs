//! The moment at which an expression that reads `now` comes out otherwise, the object being as it is.
//!
//! A value that is made of `now` by adding and subtracting moves as time does, with a slope that the code tells: 1 for
//! `now + duration('1h')`, -1 for `timestamp(object.x) - now`. Two such values that are compared by order tell when the
//! comparison flips. Between two flips nothing else changes: whatever is made of the comparison stays as it is, and so
//! does which other comparisons are looked at. So an expression whose every use of `now` is in such a comparison comes
//! out the same until the earliest flip of those that were evaluated. An overflow, which takes 292 years, is not
//! foreseen.

use super::code::{Body, Code};
use super::operators::{Arithmetic, Order};
use super::scope::{Root, Scope};
use super::value::Value;

/// How `now` decides what an expression comes out as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NowUse {
    /// Not at all.
    #[default]
    None,
    /// Only by comparisons, which tell when they flip.
    Moments,
    /// In another way: it has to be evaluated again to be known.
    Unforeseen,
}

/// A comparison by order, and how the first side moves against the second: nanoseconds for each that passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Comparison {
    pub(super) order: Order,
    /// 0 while it is not known, and where they do not move.
    pub(super) slope: i32,
}

impl Comparison {
    pub(super) fn new(order: Order) -> Self {
        Self { order, slope: 0 }
    }

    /// In how many nanoseconds it comes out otherwise; none for never.
    pub(super) fn flips_in(self, a: &Value<'_>, b: &Value<'_>) -> Option<i128> {
        let difference = match (a, b) {
            (Value::Timestamp(a), Value::Timestamp(b)) => a - b,
            (Value::Duration(a), Value::Duration(b)) => i128::from(*a) - i128::from(*b),
            _ => return None,
        };
        // Turned so that the difference grows.
        let slope = i128::from(self.slope);
        let (difference, order) = match slope {
            0 => return None,
            1.. => (difference, self.order),
            _ => (-difference, turned(self.order)),
        };
        // It is below a bound, and will be at or above it.
        let bound = match order {
            Order::Less | Order::GreaterOrEqual => 0,
            Order::LessOrEqual | Order::Greater => 1,
        };
        let missing = bound - difference;
        let slope = slope.abs();
        (missing > 0).then(|| (missing + slope - 1) / slope)
    }
}

fn turned(order: Order) -> Order {
    match order {
        Order::Less => Order::Greater,
        Order::LessOrEqual => Order::GreaterOrEqual,
        Order::Greater => Order::Less,
        Order::GreaterOrEqual => Order::LessOrEqual,
    }
}

/// How a value moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Motion {
    /// Nanoseconds for each that passes, between two flips; none when that is not known.
    slope: Option<i32>,
    /// Whether `now` is read at all.
    reads_now: bool,
}

impl Default for Motion {
    fn default() -> Self {
        Self { slope: Some(0), reads_now: false }
    }
}

impl Motion {
    /// That of something that is found by values that move so: other objects, if they move at all.
    pub(super) fn find_by(&mut self, other: Motion) {
        self.slope = self.slope.filter(|_| other.slope == Some(0));
        self.reads_now |= other.reads_now;
    }

    /// What `now` means for a condition that moves so.
    pub(super) fn now_use(self) -> NowUse {
        match self {
            Self { reads_now: false, .. } => NowUse::None,
            Self { slope: Some(0), .. } => NowUse::Moments,
            _ => NowUse::Unforeseen,
        }
    }
}

/// Tells each comparison in the code how its sides move, and how the value of the whole moves.
pub(super) fn mark(code: &mut Code, scope: &Scope) -> Motion {
    let mut marks = Marks { scope, locals: Vec::new(), reads_now: false };
    let slope = marks.visit(code);
    Motion { slope, reads_now: marks.reads_now }
}

struct Marks<'m> {
    scope: &'m Scope,
    locals: Vec<Option<i32>>,
    reads_now: bool,
}

impl Marks<'_> {
    fn visit(&mut self, code: &mut Code) -> Option<i32> {
        match code {
            // Of an aggregate, which reads no name but the key, neither.
            Code::Constant(_) | Code::Aggregate(_) => Some(0),
            Code::Root(Root::Now) => {
                self.reads_now = true;
                Some(1)
            }
            Code::Root(_) => Some(0),
            Code::Variable(place) => {
                let motion = self.scope.motion(*place);
                self.reads_now |= motion.reads_now;
                motion.slope
            }
            Code::Lookup(place) | Code::LookupIfThere(place) | Code::HasLookup(place) => {
                let motion = self.scope.lookup_motion(*place);
                self.reads_now |= motion.reads_now;
                motion.slope
            }
            Code::Local(slot) => self.locals.get(*slot).copied().flatten(),
            Code::Calculate(operator, sides) => {
                let [a, b] = &mut **sides;
                let (a, b) = (self.visit(a), self.visit(b));
                let (a, b) = (a?, b?);
                match operator {
                    Arithmetic::Add => a.checked_add(b),
                    Arithmetic::Subtract => a.checked_sub(b),
                    _ => (a == 0 && b == 0).then_some(0),
                }
            }
            Code::Negate(operand) => self.visit(operand)?.checked_neg(),
            Code::Ordered(comparison, sides) => {
                let [a, b] = &mut **sides;
                let (a, b) = (self.visit(a), self.visit(b));
                comparison.slope = a?.checked_sub(b?)?;
                Some(0)
            }
            Code::Conditional { condition, yes, no } => {
                let condition = self.visit(condition);
                let (yes, no) = (self.visit(yes), self.visit(no));
                yes.filter(|_| condition == Some(0) && yes == no)
            }
            Code::Bind { slot, value, body } => {
                let value = self.visit(value);
                self.bind(*slot, value);
                self.visit(body)
            }
            Code::OptionalMap { operand, slot, body, .. } => {
                let operand = self.visit(operand);
                self.bind(*slot, operand);
                self.visit(body).filter(|slope| *slope == 0 && operand == Some(0))
            }
            Code::Loop(repeated) => {
                let range = self.visit(&mut repeated.range);
                self.bind(repeated.first, range);
                if let Some(second) = repeated.second {
                    self.bind(second, range);
                }
                let mut still = range == Some(0);
                match &mut repeated.body {
                    Body::All(part)
                    | Body::Exists(part)
                    | Body::ExistsOne(part)
                    | Body::Filter(part)
                    | Body::SortBy(part) => still &= self.visit(part) == Some(0),
                    Body::Map { condition, value: part }
                    | Body::TransformMap { condition, value: part }
                    | Body::TransformMapEntry { condition, entries: part } => {
                        for part in condition.iter_mut().chain([part]) {
                            still &= self.visit(part) == Some(0);
                        }
                    }
                }
                still.then_some(0)
            }
            // Whatever these make of a value that moves, it does not move with it.
            Code::Select { operand: a, .. }
            | Code::Has { operand: a, .. }
            | Code::SelectIfThere { operand: a, .. }
            | Code::Not(a) => self.still([&mut **a]),
            Code::Index { operand: a, key: b }
            | Code::IndexIfThere { operand: a, key: b }
            | Code::In { element: a, whole: b }
            | Code::OptionalOr { operand: a, other: b }
            | Code::OptionalOrValue { operand: a, value: b } => self.still([&mut **a, &mut **b]),
            Code::And(parts) | Code::Or(parts) => self.still(parts),
            Code::Equal { sides, .. } => self.still(sides.iter_mut()),
            Code::Call(call) => self.still(&mut call.args),
            Code::List(elements) => self.still(elements.iter_mut().map(|(element, _)| element)),
            Code::Map(entries) => {
                self.still(entries.iter_mut().flat_map(|entry| [&mut entry.key, &mut entry.value]))
            }
        }
    }

    /// Still if all the parts are.
    fn still<'c>(&mut self, parts: impl IntoIterator<Item = &'c mut Code>) -> Option<i32> {
        let mut still = true;
        for part in parts {
            still &= self.visit(part) == Some(0);
        }
        still.then_some(0)
    }

    fn bind(&mut self, slot: usize, slope: Option<i32>) {
        if self.locals.len() <= slot {
            self.locals.resize(slot + 1, None);
        }
        self.locals[slot] = slope;
    }
}

#[cfg(test)]
mod tests;
