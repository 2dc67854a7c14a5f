//! How deep a syntax tree goes. The first look at a tree, since all others recurse.

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr};

use super::error::CompileError;
use super::parse::Places;
use super::{MAX_DEPTH, MAX_LOOPS};

/// Checks [`MAX_DEPTH`] and [`MAX_LOOPS`], without recursion.
pub(super) fn check(expr: &IdedExpr, places: &Places) -> Result<(), CompileError> {
    let mut open = vec![(expr, 1, 0)];
    while let Some((expr, depth, loops)) = open.pop() {
        if depth > MAX_DEPTH {
            return Err(CompileError::TooDeep { at: places.of(expr.id), max: MAX_DEPTH });
        }
        match &expr.expr {
            Expr::Call(call) if repeats(call) => {
                if loops == MAX_LOOPS {
                    return Err(CompileError::TooNested { at: places.of(expr.id), max: MAX_LOOPS });
                }
                open.extend(call.target.as_deref().map(|range| (range, depth + 1, loops)));
                open.extend(call.args.iter().map(|arg| (arg, depth + 1, loops + 1)));
            }
            _ => for_each_part(expr, |part| open.push((part, depth + 1, loops))),
        }
    }
    Ok(())
}

/// Whether it is a macro that evaluates its arguments for each element of a list or map.
fn repeats(call: &CallExpr) -> bool {
    const LOOPS: [&str; 10] = [
        "all",
        "exists",
        "existsOne",
        "exists_one",
        "filter",
        "map",
        "sortBy",
        "transformList",
        "transformMap",
        "transformMapEntry",
    ];
    call.target.is_some()
        && LOOPS.contains(&call.func_name.as_str())
        && matches!(call.args.as_slice(), [first, _, ..] if matches!(first.expr, Expr::Ident(_)))
}

/// Hands out the expressions directly within `expr`.
pub(super) fn for_each_part<'e>(expr: &'e IdedExpr, mut hand: impl FnMut(&'e IdedExpr)) {
    let mut entry = |entry: &'e EntryExpr| match entry {
        EntryExpr::StructField(field) => hand(&field.value),
        EntryExpr::MapEntry(pair) => {
            hand(&pair.key);
            hand(&pair.value);
        }
    };
    match &expr.expr {
        Expr::Unspecified | Expr::Literal(_) | Expr::Ident(_) => {}
        Expr::Map(map) => map.entries.iter().for_each(|e| entry(&e.expr)),
        Expr::Struct(message) => message.entries.iter().for_each(|e| entry(&e.expr)),
        Expr::Select(select) => hand(&select.operand),
        Expr::List(list) => list.elements.iter().for_each(hand),
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).for_each(hand),
        Expr::Comprehension(l) => {
            [&l.iter_range, &l.accu_init, &l.loop_cond, &l.loop_step, &l.result].into_iter().for_each(hand);
        }
    }
}
