//! Which variables and lookups an expression names, before anything is known of them: what has to be compiled first.

use std::collections::BTreeSet;

use cel::common::ast::{Expr, LiteralValue, operators};

use super::parse;
use super::shape::for_each_part;
use super::stack::with_large_stack;

/// The names in an expression.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct References {
    /// Those of `variables.NAME`.
    pub variables: BTreeSet<String>,
    /// Those of `lookups.NAME`.
    pub lookups: BTreeSet<String>,
}

/// The names in `source`; none in one that does not parse. A name that a loop binds may be among them.
pub fn references(source: &str) -> References {
    with_large_stack(|| references_here(source)).unwrap_or_default()
}

fn references_here(source: &str) -> References {
    let mut found = References::default();
    let Ok(parsed) = parse::parse(source) else { return found };
    let (expr, _) = parsed.split();
    let mut open = vec![&expr];
    while let Some(expr) = open.pop() {
        let selected = match &expr.expr {
            Expr::Select(select) => Some((&*select.operand, select.field.as_str())),
            Expr::Call(call) if call.func_name == operators::OPT_SELECT => match call.args.as_slice() {
                [operand, field] => match &field.expr {
                    Expr::Literal(LiteralValue::String(field)) => Some((operand, field.inner())),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        };
        if let Some((operand, field)) = selected
            && let Expr::Ident(name) = &operand.expr
        {
            match name.as_str() {
                "variables" => drop(found.variables.insert(field.to_owned())),
                "lookups" => drop(found.lookups.insert(field.to_owned())),
                _ => {}
            }
        }
        for_each_part(expr, |part| open.push(part));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_however_they_are_read() {
        let found = references(
            "lookups.a.spec.x == variables.b && lookups.?c.hasValue() || has(lookups.d) || [lookups.a][0]",
        );
        assert_eq!(found.lookups, ["a", "c", "d"].map(str::to_owned).into());
        assert_eq!(found.variables, ["b".to_owned()].into());
        assert_eq!(references("lookups.a +"), References::default());
    }
}
