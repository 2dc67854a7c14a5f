//! Makes an expression pay for its work: the evaluator itself stops at nothing.
//!
//! [`meter`] wraps what can be long in calls of functions that no expression can name, and [`extension`]
//! has these functions. Each takes the budget first, charges it, and hands its value on:
//!
//! | | charges |
//! |---|---|
//! | `@loop(budget, n, list)` | n for each element, and what copying the elements takes |
//! | `@copy(budget, x)` | what a copy of x takes |
//! | `@read(budget, x)` | what reading all of x takes |
//! | `@bytes(budget, text)` | one for each byte |
//! | `@square(budget, x)` | the square of its length |
//! | `@count(budget, n)` | n |
//! | `@keep(budget, slot, x)` | what a copy of x takes; leaves x in the slot and comes to null |
//! | `@replace(budget, text, old, new, …)`, `@join(budget, list, …)` | what they make; they do it as well |
//!
//! What can grow or be worse than linear is always charged. What only reads is charged inside loops; outside
//! of them its cost is bounded by the length of the expression times the size of the object.

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, ListExpr, LiteralValue, operators as op,
};
use cel::common::types::{CelInt, CelList, CelNull, CelString, DYN_TYPE, INT_TYPE};
use cel::common::value::{CowVal, Val};
use cel::{DeclarationError, Env, ExecutionError};

use super::functions;
use super::kept::{Kept, SLOT, Slot};
use super::shape;
use super::weight::{Budget, Touch, elements, weight};

/// The name the budget is bound to.
pub(super) const BUDGET: &str = "@budget";

/// Calls that neither copy nor walk what they are given, or that stop early.
const FREE: &[&str] = &[
    op::CONDITIONAL,
    op::LOGICAL_AND,
    op::LOGICAL_OR,
    op::LOGICAL_NOT,
    op::NOT_STRICTLY_FALSE,
    op::INDEX,
    op::OPT_INDEX,
    op::OPT_SELECT,
    "dyn",
    "hasValue",
    "or",
    "orValue",
    "size",
    "type",
    "value",
];

/// Wraps what can be long in `expr`. Recurses; the depth is checked before.
pub(super) fn meter(expr: &mut IdedExpr) {
    walk(expr, false);
}

/// Lets the value of `expr` out of the evaluation; see [`super::kept`].
pub(super) fn keep(expr: &mut IdedExpr) {
    charge(expr, "@keep", Some(ident(SLOT)));
}

fn walk(expr: &mut IdedExpr, in_loop: bool) {
    match &mut expr.expr {
        Expr::Unspecified | Expr::Literal(_) | Expr::Ident(_) => {}
        Expr::Select(select) => walk(&mut select.operand, in_loop),
        Expr::List(ListExpr { elements, .. }) => elements.iter_mut().for_each(|e| walk_copied(e, in_loop)),
        Expr::Map(map) => map.entries.iter_mut().for_each(|entry| match &mut entry.expr {
            EntryExpr::StructField(field) => walk_copied(&mut field.value, in_loop),
            EntryExpr::MapEntry(pair) => {
                walk(&mut pair.key, in_loop);
                walk_copied(&mut pair.value, in_loop);
            }
        }),
        Expr::Struct(_) => {} // refused when names are resolved
        Expr::Comprehension(loops) => walk_loop(loops, in_loop),
        Expr::Call(call) => walk_call(call, in_loop),
    }
}

/// `expr` is copied into a list or map.
fn walk_copied(expr: &mut IdedExpr, in_loop: bool) {
    walk(expr, in_loop);
    wrap(expr, "@copy");
}

fn walk_loop(loops: &mut ComprehensionExpr, in_loop: bool) {
    let each = 2 + shape::operations(&loops.loop_step) + shape::operations(&loops.loop_cond);
    walk_copied(&mut loops.accu_init, in_loop);
    walk(&mut loops.iter_range, in_loop);
    if shape::repeats(loops) {
        let each = i64::try_from(each).unwrap_or(i64::MAX);
        charge(&mut loops.iter_range, "@loop", Some(literal(each)));
    }
    for inside in [&mut loops.loop_cond, &mut loops.loop_step, &mut loops.result] {
        walk(inside, true);
    }
}

fn walk_call(call: &mut CallExpr, in_loop: bool) {
    if let Some(target) = call.target.as_deref_mut() {
        walk(target, in_loop);
    }
    call.args.iter_mut().for_each(|arg| walk(arg, in_loop));
    let is_namespace = functions::is_qualified(call);
    let CallExpr {
        func_name,
        target,
        args,
    } = call;
    match (func_name.as_str(), target.as_deref_mut(), args.as_mut_slice()) {
        (op::ADD, _, [a, b]) => {
            // `@result + …` is how a loop collects, and sums with a number written out stay short
            let collects = matches!(&a.expr, Expr::Ident(name) if name.starts_with('@'));
            if !collects && !is_number(a) && !is_number(b) {
                wrap(a, "@copy");
                wrap(b, "@copy");
            }
        }
        ("replace" | "join", Some(_), _) => own(call),
        ("split", Some(text), _) => wrap(text, "@bytes"),
        ("distinct", Some(list), _) => wrap(list, "@square"),
        ("indexOf" | "lastIndexOf", Some(text), [needle, ..]) => {
            wrap(text, "@read");
            wrap(needle, "@square");
        }
        ("format", Some(text), [list]) => {
            wrap(text, "@read");
            wrap(list, "@read");
        }
        ("encode" | "quote", _, [text]) => wrap(text, "@read"),
        ("range", _, [count]) => wrap(count, "@count"),
        (name, _, _) if !in_loop || FREE.contains(&name) => {}
        // comparing with a text or number that is written out reads no more than that
        (
            op::EQUALS | op::NOT_EQUALS | op::LESS | op::LESS_EQUALS | op::GREATER | op::GREATER_EQUALS,
            _,
            operands,
        ) if operands.iter().any(is_scalar) => {}
        (_, target, args) => {
            if let Some(target) = target.filter(|_| !is_namespace) {
                wrap(target, "@read");
            }
            args.iter_mut().for_each(|arg| wrap(arg, "@read"));
        }
    }
}

fn is_scalar(expr: &IdedExpr) -> bool {
    matches!(expr.expr, Expr::Literal(_))
}

fn is_number(expr: &IdedExpr) -> bool {
    use LiteralValue::{Double, Int, UInt};
    matches!(expr.expr, Expr::Literal(Int(_) | UInt(_) | Double(_)))
}

/// Charges for `expr`, unless it stands in the source as it is.
fn wrap(expr: &mut IdedExpr, function: &str) {
    let free = match &expr.expr {
        Expr::Literal(_) => true,
        Expr::List(list) => list.elements.is_empty(),
        _ => false,
    };
    if !free {
        charge(expr, function, None);
    }
}

/// `expr` becomes `function(@budget, extra, expr)`.
fn charge(expr: &mut IdedExpr, function: &str, extra: Option<IdedExpr>) {
    let id = expr.id;
    let inner = std::mem::take(expr);
    let args = [Some(budget()), extra, Some(inner)]
        .into_iter()
        .flatten()
        .collect();
    let call = CallExpr {
        func_name: function.to_owned(),
        target: None,
        args,
    };
    *expr = IdedExpr {
        id,
        expr: Expr::Call(call),
    };
}

/// `x.replace(a, b)` becomes `@replace(@budget, x, a, b)`.
fn own(call: &mut CallExpr) {
    call.func_name.insert(0, '@');
    let target = call.target.take().map(|target| *target);
    call.args
        .splice(0..0, [Some(budget()), target].into_iter().flatten());
}

fn budget() -> IdedExpr {
    ident(BUDGET)
}

fn ident(name: &str) -> IdedExpr {
    IdedExpr {
        id: 0,
        expr: Expr::Ident(name.to_owned()),
    }
}

fn literal(n: i64) -> IdedExpr {
    IdedExpr {
        id: 0,
        expr: Expr::Literal(LiteralValue::Int(n.into())),
    }
}

type Args<'b, 'v> = Vec<CowVal<'b, 'v>>;
type Answer<'b, 'v> = Result<CowVal<'b, 'v>, ExecutionError>;

/// Adds the functions that charge.
pub(super) fn extension(env: &mut Env) -> Result<(), DeclarationError> {
    let any = |n| (0..n).map(|_| DYN_TYPE).collect::<Vec<_>>();
    env.add_overload("@loop", "@loop", vec![DYN_TYPE, INT_TYPE, DYN_TYPE], charge_loop)?;
    env.add_overload("@copy", "@copy", any(2), charge_copy)?;
    env.add_overload("@read", "@read", any(2), charge_read)?;
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
    let value = args
        .pop()
        .ok_or_else(ExecutionError::missing_argument_or_target)?;
    let steps = steps(value.as_ref(), &budget);
    budget.spend(steps)?;
    Ok(value)
}

fn charge_loop<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    let each = args
        .get(1)
        .and_then(|n| n.downcast_ref::<CelInt>())
        .map_or(1, |n| n.inner().unsigned_abs());
    charged(args, |list, budget| {
        let len = elements(list);
        budget.saw(len);
        len.saturating_mul(each)
            .saturating_add(weight(list, Touch::Copy, budget.left()))
    })
}

fn charge_copy<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    charged(args, |value, budget| weight(value, Touch::Copy, budget.left()))
}

fn charge_read<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    charged(args, |value, budget| weight(value, Touch::Read, budget.left()))
}

fn keep_value<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    let slot = args.get(1).and_then(|arg| arg.downcast_ref::<Slot>()).cloned();
    let slot = slot.ok_or_else(ExecutionError::missing_argument_or_target)?;
    let value = charge_copy(args)?;
    slot.put(Kept::of(value.as_ref()));
    Ok(CowVal::owned(CelNull))
}

fn charge_bytes<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    charged(args, |value, _| {
        value
            .downcast_ref::<CelString>()
            .map_or(1, |text| text.inner().len() as u64)
    })
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
    charged(args, |value, _| {
        // a negative count is refused by the function itself
        value
            .downcast_ref::<CelInt>()
            .map_or(1, |n| u64::try_from(*n.inner()).unwrap_or(1))
    })
}

fn no_overload(function: &str, args: &[CowVal<'_, '_>]) -> ExecutionError {
    let types = args
        .iter()
        .skip(1)
        .map(|arg| arg.get_type().name().to_owned())
        .collect();
    ExecutionError::no_such_member_overload(function, types)
}

/// `text.replace(old, new)` and `text.replace(old, new, times)`.
fn replace<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    let text = |at: usize| {
        args.get(at)
            .and_then(|arg| arg.downcast_ref::<CelString>())
            .map(|text| text.inner())
    };
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
    let made = (found as u64)
        .saturating_mul(new.len() as u64)
        .saturating_add(whole.len() as u64);
    budget_of(&args)?.spend(1 + made / 10)?;
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
    let texts = list
        .inner()
        .iter()
        .map(|item| item.downcast_ref::<CelString>().map(|text| text.inner()));
    let Some(texts) = texts.collect::<Option<Vec<&str>>>() else {
        return Err(ExecutionError::function_error("join", "not a list of strings"));
    };
    let made: u64 = texts.iter().map(|text| (text.len() + between.len()) as u64).sum();
    budget_of(&args)?.spend(1 + texts.len() as u64 + made / 10)?;
    Ok(CowVal::owned(CelString::from(texts.join(between))))
}
