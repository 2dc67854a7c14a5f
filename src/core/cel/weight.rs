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

/// The name the budget is bound to.
pub(super) const BUDGET: &str = "@budget";
/// Bytes of text that are read in one step.
const BYTES_READ: u64 = 10;
/// Bytes of text that are copied in one step.
const BYTES_COPIED: u64 = 2;
/// Steps that a new element of a list or map costs: it takes about 60 bytes.
pub(super) const ELEMENT: u64 = 8;

/// What is done to a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Touch {
    /// All of it is read.
    Read,
    /// All of it is written into a text.
    Write,
    /// It is copied. Of the object's own lists and maps that is a handle.
    Copy,
    /// It is copied element by element, into another list.
    Spill,
}

/// Steps that touching `value` takes: exact up to `enough`, at least that beyond. Does not recurse.
pub(super) fn weight(value: &dyn Val, touch: Touch, enough: u64) -> u64 {
    let (element, bytes) = match touch {
        Touch::Read => (1, BYTES_READ),
        Touch::Write | Touch::Copy | Touch::Spill => (ELEMENT, BYTES_COPIED),
    };
    if touch == Touch::Spill && view::id_of(value).is_some() {
        return element.saturating_mul(1 + elements(value));
    }
    let handles = matches!(touch, Touch::Copy | Touch::Spill);
    let mut total = 0;
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        total += element;
        if total > enough {
            break;
        }
        if handles && view::id_of(value).is_some() {
            continue;
        }
        if let Some(text) = value.downcast_ref::<CelString>() {
            total += text.inner().len() as u64 / bytes;
        } else if let Some(text) = value.downcast_ref::<CelBytes>() {
            total += text.inner().len() as u64 / bytes;
        } else if let Some(list) = value.downcast_ref::<CelList>() {
            open.extend(list.inner().iter().map(|item| item.as_ref()));
        } else if let Some(map) = value.downcast_ref::<CelMap>() {
            open.extend(map.inner().values().map(|item| item.as_ref()));
            open.extend(map.inner().keys().map(|key| key.inner()));
        } else if let Some(optional) = value.downcast_ref::<CelOptional>() {
            open.extend(optional.option());
        }
    }
    total
}

/// Steps that making a text of this many bytes takes.
pub(super) fn making(bytes: u64) -> u64 {
    1 + bytes / BYTES_COPIED
}

/// Elements of a list or entries of a map; 0 for anything else.
pub(super) fn elements(value: &dyn Val) -> u64 {
    let size = value.as_sizer().filter(|_| value.as_iterable().is_some()).map(Sizer::size);
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
        let account =
            Account { left: AtomicU64::new(0), overdrawn: AtomicU64::new(0), longest: AtomicU64::new(0) };
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
