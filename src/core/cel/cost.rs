//! What an evaluation costs, counted as a kube-apiserver counts it.
//!
//! The unit is one step of cel-go's runtime cost (`interpreter/runtimecost.go`) with the costs of Kubernetes'
//! libraries (`k8s.io/apiserver/pkg/cel/library/cost.go`). Where cel-go counts nothing although work grows with
//! the input, this program charges for it as well: an expression may cost more here, never less by much.

use super::fault::Fault;
use super::value::Value;

/// The cost of making a list.
pub(super) const LIST: u64 = 10;
/// The cost of making a map.
pub(super) const MAP: u64 = 30;

/// How a call is charged before it is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cost {
    /// The same for all arguments.
    Fixed(u64),
    /// A tenth of the size of one argument, rounded up, times a factor: reading a text.
    Read {
        /// Which argument.
        arg: usize,
        /// How often it is read.
        times: u64,
    },
    /// A tenth of the one times a tenth of the other: searching a text in a text.
    Search,
    /// A tenth of a text times a quarter of a regular expression.
    Match,
    /// Each element of the first argument, with what reading it takes if it is a text, and the entries of what it
    /// holds.
    Traverse,
    /// A list with each element of the first argument.
    Copy,
    /// As [`Cost::Copy`], comparing each element with each, there and back.
    Square,
    /// Each pair of elements of the first two arguments.
    Product,
}

impl Cost {
    /// The cost of a call with these arguments.
    pub(super) fn of(self, args: &[Value<'_>]) -> u64 {
        match self {
            Self::Traverse => args.first().map_or(1, traversal),
            _ => self.of_sizes(|n| args.get(n).map_or(1, Value::size)),
        }
    }

    /// The cost of a call whose arguments have these sizes, by position.
    pub(super) fn of_sizes(self, size: impl Fn(usize) -> u64) -> u64 {
        match self {
            Self::Fixed(cost) => cost,
            Self::Read { arg, times } => tenth(size(arg).saturating_mul(times)),
            Self::Search => tenth(size(0)).saturating_mul(tenth(size(1))),
            Self::Match => tenth(1 + size(0)).saturating_mul(size(1).div_ceil(4)),
            Self::Traverse => size(0),
            Self::Copy => (LIST + 1).saturating_add(size(0)),
            Self::Square => (LIST + 1).saturating_add(size(0).saturating_mul(size(0)).saturating_mul(2)),
            Self::Product => size(0).saturating_mul(size(1)),
        }
    }
}

fn tenth(size: u64) -> u64 {
    size.div_ceil(10)
}

/// Goes no deeper than one level: a value may hold another one many times over.
fn traversal(value: &Value<'_>) -> u64 {
    let shallow = |value: &Value<'_>| match value {
        Value::Str(_) | Value::Bytes(_) => tenth(value.size()),
        _ => value.size().max(1),
    };
    match value {
        Value::List(list) => list.iter().map(|element| shallow(&element).max(1)).sum(),
        other => shallow(other),
    }
}

/// What is left of a budget.
#[derive(Debug, Clone, Copy)]
pub struct Meter {
    left: u64,
}

impl Meter {
    /// With this much to spend.
    pub fn new(budget: u64) -> Self {
        Self { left: budget }
    }

    /// What is left.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Pays for work, before it is done.
    ///
    /// # Errors
    /// [`Fault::Budget`] when it costs more than is left; then nothing is.
    pub fn charge(&mut self, cost: u64) -> Result<(), Fault> {
        match self.left.checked_sub(cost) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                self.left = 0;
                Err(Fault::Budget)
            }
        }
    }
}
