//! How deep a syntax tree goes. The first look at a tree, since all others recurse.

use cel::common::ast::{ComprehensionExpr, EntryExpr, Expr, IdedExpr};

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
        if let Expr::Comprehension(inner) = &expr.expr {
            let inside = loops + usize::from(repeats(inner));
            if inside > MAX_LOOPS {
                return Err(CompileError::TooNested { at: places.of(expr.id), max: MAX_LOOPS });
            }
            open.extend([&inner.iter_range, &inner.accu_init].map(|part| (part, depth + 1, loops)));
            open.extend(
                [&inner.loop_cond, &inner.loop_step, &inner.result].map(|part| (part, depth + 1, inside)),
            );
        } else {
            for_each_part(expr, |part| open.push((part, depth + 1, loops)));
        }
    }
    Ok(())
}

/// Whether it runs over a list. What only binds a name for `sortBy` and `optMap` does not: it looks like a
/// loop over an empty list.
pub(super) fn repeats(loops: &ComprehensionExpr) -> bool {
    !matches!(&loops.iter_range.expr, Expr::List(list) if list.elements.is_empty())
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

/// How many operations `expr` consists of, without recursion and without what loops inside of it repeat.
pub(super) fn operations(expr: &IdedExpr) -> u64 {
    let mut count = 0;
    let mut open = vec![expr];
    while let Some(expr) = open.pop() {
        count += 1;
        match &expr.expr {
            Expr::Comprehension(inner) if repeats(inner) => {
                open.extend([&inner.iter_range, &inner.accu_init])
            }
            _ => for_each_part(expr, |part| open.push(part)),
        }
        // A regular expression is compiled anew by each call.
        if matches!(&expr.expr, Expr::Call(call) if call.func_name == "matches") {
            count += 1000;
        }
    }
    count
}
