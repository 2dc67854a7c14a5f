//! Makes an expression pay for its work: the evaluator itself stops at nothing.
//!
//! Wraps what can be long in calls of the functions in [`super::charges`], which no expression can name. What
//! can grow or be worse than linear is always charged. What only reads is charged inside loops; outside of them
//! its cost is bounded by the length of the expression times the size of the object.

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, ListExpr, LiteralValue, operators as op,
};

use super::functions;
use super::kept::SLOT;
use super::shape;
use super::weight::BUDGET;

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
    let CallExpr { func_name, target, args } = call;
    match (func_name.as_str(), target.as_deref_mut(), args.as_mut_slice()) {
        (op::ADD, _, [a, b]) => {
            // `@result + …` is how a loop collects, and sums with a number written out stay short
            let collects = matches!(&a.expr, Expr::Ident(name) if name.starts_with('@'));
            if !collects && !is_number(a) && !is_number(b) {
                wrap(a, "@spill");
                wrap(b, "@spill");
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
            wrap(list, "@write");
        }
        ("encode" | "quote", _, [text]) => wrap(text, "@write"),
        ("range", _, [count]) => charge(count, "@count", None),
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
    let args = [Some(budget()), extra, Some(inner)].into_iter().flatten().collect();
    let call = CallExpr { func_name: function.to_owned(), target: None, args };
    *expr = IdedExpr { id, expr: Expr::Call(call) };
}

/// `x.replace(a, b)` becomes `@replace(@budget, x, a, b)`.
fn own(call: &mut CallExpr) {
    call.func_name.insert(0, '@');
    let target = call.target.take().map(|target| *target);
    call.args.splice(0..0, [Some(budget()), target].into_iter().flatten());
}

fn budget() -> IdedExpr {
    ident(BUDGET)
}

fn ident(name: &str) -> IdedExpr {
    IdedExpr { id: 0, expr: Expr::Ident(name.to_owned()) }
}

fn literal(n: i64) -> IdedExpr {
    IdedExpr { id: 0, expr: Expr::Literal(LiteralValue::Int(n.into())) }
}
