//! How much work a value makes for whoever reads or copies it, and the budget that pays for it.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cel::ExecutionError;
use cel::common::traits::Sizer;
use cel::common::types::{CelBytes, CelList, CelMap, CelNull, CelOptional, CelString, Type};
use cel::common::value::{StaticVal, Val};

use super::MAX_STEPS;
use super::view;

/// Bytes of text that cost one step.
const BYTES_PER_STEP: u64 = 10;

/// What of a value is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Touch {
    /// All of it.
    Read,
    /// What a copy copies: of the object's own lists and maps, only handles to their elements.
    Copy,
}

/// Steps that touching `value` costs; exact up to `enough`, at least that beyond. Does not recurse.
pub(super) fn weight(value: &dyn Val, touch: Touch, enough: u64) -> u64 {
    let mut total = 0;
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        total += 1;
        if total > enough {
            break;
        }
        if touch == Touch::Copy && view::id_of(value).is_some() {
            total += elements(value);
        } else if let Some(text) = value.downcast_ref::<CelString>() {
            total += text.inner().len() as u64 / BYTES_PER_STEP;
        } else if let Some(bytes) = value.downcast_ref::<CelBytes>() {
            total += bytes.inner().len() as u64 / BYTES_PER_STEP;
        } else if let Some(list) = value.downcast_ref::<CelList>() {
            open.extend(list.inner().iter().map(|item| item.as_ref()));
        } else if let Some(map) = value.downcast_ref::<CelMap>() {
            open.extend(map.inner().values().map(|item| item.as_ref()));
            total += map.inner().len() as u64;
        } else if let Some(optional) = value.downcast_ref::<CelOptional>() {
            open.extend(optional.option());
        }
    }
    total
}

/// Elements of a list or entries of a map; 0 for anything else.
pub(super) fn elements(value: &dyn Val) -> u64 {
    let size = value
        .as_sizer()
        .filter(|_| value.as_iterable().is_some())
        .map(Sizer::size);
    size.map_or(0, |size| u64::try_from(*size.inner()).unwrap_or(0))
}

/// Steps left to one evaluation. A value, so that the functions that charge it can take it as an argument.
#[derive(Debug, Clone)]
pub(super) struct Budget(Arc<Account>);

#[derive(Debug)]
struct Account {
    left: AtomicU64,
    overdrawn: AtomicU64,
    longest: AtomicU64,
}

impl Budget {
    /// A full budget.
    pub(super) fn new() -> Self {
        let account = Account {
            left: AtomicU64::new(0),
            overdrawn: AtomicU64::new(0),
            longest: AtomicU64::new(0),
        };
        let budget = Self(Arc::new(account));
        budget.refill();
        budget
    }

    /// Full again.
    pub(super) fn refill(&self) {
        self.0.left.store(MAX_STEPS, Ordering::Relaxed);
        self.0.overdrawn.store(0, Ordering::Relaxed);
        self.0.longest.store(0, Ordering::Relaxed);
    }

    /// Steps left.
    pub(super) fn left(&self) -> u64 {
        self.0.left.load(Ordering::Relaxed)
    }

    /// Takes `steps`. Once it could not, nothing more can be taken.
    pub(super) fn spend(&self, steps: u64) -> Result<(), ExecutionError> {
        // One thread evaluates with a budget; atomics only because values must be `Sync`.
        match self.left().checked_sub(steps) {
            Some(left) => {
                self.0.left.store(left, Ordering::Relaxed);
                Ok(())
            }
            None => {
                self.0.left.store(0, Ordering::Relaxed);
                self.0.overdrawn.store(1, Ordering::Relaxed);
                Err(ExecutionError::function_error("@spend", "the budget is spent"))
            }
        }
    }

    /// Remembers that something with this many elements was looped over.
    pub(super) fn saw(&self, elements: u64) {
        self.0.longest.fetch_max(elements, Ordering::Relaxed);
    }

    /// The longest that was looped over, when more was asked for than there was.
    pub(super) fn overdrawn(&self) -> Option<u64> {
        (self.0.overdrawn.load(Ordering::Relaxed) != 0).then(|| self.0.longest.load(Ordering::Relaxed))
    }
}

impl Val for Budget {
    fn get_type(&self) -> &Type {
        Self::cel_type()
    }

    fn cel_type() -> &'static Type {
        <CelNull as Val>::cel_type()
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Budget {}
