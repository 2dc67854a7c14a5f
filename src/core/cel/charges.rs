//! The functions that charge an expression for its work; see [`super::meter`] for who calls them.
//!
//! Each takes the budget first, charges it, and hands its last argument on:
//!
//! | | charges |
//! |---|---|
//! | `@loop(budget, n, list)` | n for each element, and what copying the elements takes |
//! | `@copy(budget, x)` | what a copy of x takes |
//! | `@spill(budget, x)` | what a copy of each of its elements takes |
//! | `@read(budget, x)` | what reading all of x takes |
//! | `@write(budget, x)` | what writing all of x into a text takes |
//! | `@bytes(budget, text)` | what a list of its bytes takes |
//! | `@square(budget, x)` | the square of its length |
//! | `@count(budget, n)` | what a list of n elements takes |
//! | `@keep(budget, slot, x)` | what a copy of x takes; leaves x in the slot and comes to null |
//! | `@replace(budget, text, old, new, …)`, `@join(budget, list, …)` | what they make; they do it as well |

use cel::common::types::{CelInt, CelList, CelNull, CelString, DYN_TYPE, INT_TYPE};
use cel::common::value::{CowVal, Val};
use cel::{DeclarationError, Env, ExecutionError};

use super::kept::{Kept, Slot};
use super::weight::{Budget, ELEMENT, Touch, elements, making, weight};

type Args<'b, 'v> = Vec<CowVal<'b, 'v>>;
type Answer<'b, 'v> = Result<CowVal<'b, 'v>, ExecutionError>;

/// Adds the functions that charge.
pub(super) fn extension(env: &mut Env) -> Result<(), DeclarationError> {
    let any = |n| (0..n).map(|_| DYN_TYPE).collect::<Vec<_>>();
    env.add_overload("@loop", "@loop", vec![DYN_TYPE, INT_TYPE, DYN_TYPE], charge_loop)?;
    env.add_overload("@copy", "@copy", any(2), charge_copy)?;
    env.add_overload("@spill", "@spill", any(2), charge_spill)?;
    env.add_overload("@read", "@read", any(2), charge_read)?;
    env.add_overload("@write", "@write", any(2), charge_write)?;
    env.add_overload("@bytes", "@bytes", any(2), charge_bytes)?;
    env.add_overload("@square", "@square", any(2), charge_square)?;
    env.add_overload("@keep", "@keep", any(3), keep_value)?;
    env.add_overload("@count", "@count", any(2), charge_count)?;
    env.add_overload("@replace", "@replace3", any(4), replace)?;
    env.add_overload("@replace", "@replace4", any(5), replace)?;
    env.add_overload("@join", "@join0", any(2), join)?;
    env.add_overload("@join", "@join1", any(3), join)
}

fn budget_of<'b>(args: &'b Args<'_, '_>) -> Result<&'b Budget, ExecutionError> {
    let budget = args.first().and_then(|arg| arg.downcast_ref::<Budget>());
    budget.ok_or_else(ExecutionError::missing_argument_or_target)
}

/// Charges what `steps` says about the last argument, and hands that on.
fn charged<'b, 'v>(mut args: Args<'b, 'v>, steps: impl FnOnce(&dyn Val, &Budget) -> u64) -> Answer<'b, 'v> {
    let budget = budget_of(&args)?.clone();
    let value = args.pop().ok_or_else(ExecutionError::missing_argument_or_target)?;
    let steps = steps(value.as_ref(), &budget);
    budget.spend(steps)?;
    Ok(value)
}

fn charge_loop<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    let each = args.get(1).and_then(|n| n.downcast_ref::<CelInt>()).map_or(1, |n| n.inner().unsigned_abs());
    charged(args, |list, budget| {
        let len = elements(list);
        budget.saw(len);
        len.saturating_mul(each).saturating_add(weight(list, Touch::Copy, budget.left()))
    })
}

fn charge_copy<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    charged(args, |value, budget| weight(value, Touch::Copy, budget.left()))
}

fn charge_spill<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    charged(args, |value, budget| weight(value, Touch::Spill, budget.left()))
}

fn charge_read<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    charged(args, |value, budget| weight(value, Touch::Read, budget.left()))
}

fn charge_write<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    charged(args, |value, budget| weight(value, Touch::Write, budget.left()))
}

fn keep_value<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    let slot = args.get(1).and_then(|arg| arg.downcast_ref::<Slot>()).cloned();
    let slot = slot.ok_or_else(ExecutionError::missing_argument_or_target)?;
    let value = charge_copy(args)?;
    slot.put(Kept::of(value.as_ref()));
    Ok(CowVal::owned(CelNull))
}

fn charge_bytes<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    let len = |text: &CelString<'_>| text.inner().len() as u64;
    charged(args, |value, _| value.downcast_ref::<CelString>().map_or(1, len).saturating_mul(ELEMENT))
}

fn charge_square<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    charged(args, |value, budget| {
        let all = weight(value, Touch::Read, budget.left());
        // a text costs its length for each of its steps, a list all of it for each of its elements
        match value.downcast_ref::<CelString>() {
            Some(text) => all.saturating_mul(text.inner().len() as u64),
            None => all.saturating_mul(elements(value).max(1)),
        }
    })
}

fn charge_count<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    // a negative count is refused by the function itself
    let count = |n: &CelInt| u64::try_from(*n.inner()).unwrap_or(1);
    charged(args, |value, _| value.downcast_ref::<CelInt>().map_or(1, count).saturating_mul(ELEMENT))
}

fn no_overload(function: &str, args: &[CowVal<'_, '_>]) -> ExecutionError {
    let types = args.iter().skip(1).map(|arg| arg.get_type().name().to_owned()).collect();
    ExecutionError::no_such_member_overload(function, types)
}

/// `text.replace(old, new)` and `text.replace(old, new, times)`.
fn replace<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    let text =
        |at: usize| args.get(at).and_then(|arg| arg.downcast_ref::<CelString>()).map(|text| text.inner());
    let (Some(whole), Some(old), Some(new)) = (text(1), text(2), text(3)) else {
        return Err(no_overload("replace", &args));
    };
    let times = match args.get(4) {
        None => usize::MAX,
        // as often as there are, for a negative number
        Some(n) => match n.downcast_ref::<CelInt>() {
            Some(n) => usize::try_from(*n.inner()).unwrap_or(usize::MAX),
            None => return Err(no_overload("replace", &args)),
        },
    };
    let found = whole.matches(old).take(times).count();
    let made = (found as u64).saturating_mul(new.len() as u64).saturating_add(whole.len() as u64);
    budget_of(&args)?.spend(making(made))?;
    Ok(CowVal::owned(CelString::from(whole.replacen(old, new, times))))
}

/// `list.join()` and `list.join(separator)`.
fn join<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    let list = args.get(1).and_then(|arg| arg.downcast_ref::<CelList>());
    let between = match args.get(2) {
        None => Some(""),
        Some(arg) => arg.downcast_ref::<CelString>().map(|text| text.inner()),
    };
    let (Some(list), Some(between)) = (list, between) else {
        return Err(no_overload("join", &args));
    };
    let texts = list.inner().iter().map(|item| item.downcast_ref::<CelString>().map(|text| text.inner()));
    let Some(texts) = texts.collect::<Option<Vec<&str>>>() else {
        return Err(ExecutionError::function_error("join", "not a list of strings"));
    };
    let made: u64 = texts.iter().map(|text| (text.len() + between.len()) as u64).sum();
    budget_of(&args)?.spend(texts.len() as u64 + making(made))?;
    Ok(CowVal::owned(CelString::from(texts.join(between))))
}
