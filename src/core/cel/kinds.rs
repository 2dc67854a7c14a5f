//! What an expression can come out as, as far as that shows without an object.
//!
//! Not a type checker: a field of the object may be anything. It finds the rule that is a text, and the
//! message that is a comparison.

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue, operators as op};

use super::functions;
use super::scope::{Root, Scope};

/// A set of CEL types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kinds(u16);

impl Kinds {
    pub(super) const BOOL: Self = Self(1);
    pub(super) const NUMBER: Self = Self(1 << 1);
    pub(super) const STRING: Self = Self(1 << 2);
    pub(super) const BYTES: Self = Self(1 << 3);
    pub(super) const LIST: Self = Self(1 << 4);
    pub(super) const MAP: Self = Self(1 << 5);
    pub(super) const NULL: Self = Self(1 << 6);
    pub(super) const TIMESTAMP: Self = Self(1 << 7);
    pub(super) const DURATION: Self = Self(1 << 8);
    pub(super) const OPTIONAL: Self = Self(1 << 9);
    pub(super) const TYPE: Self = Self(1 << 10);
    pub(super) const ANY: Self = Self((1 << 11) - 1);
    /// What `+` can make of two values that are not known.
    const SUM: Self = Self(
        Self::NUMBER.0 | Self::STRING.0 | Self::BYTES.0 | Self::LIST.0 | Self::TIMESTAMP.0 | Self::DURATION.0,
    );
    /// What `-` can make of two values that are not known.
    const DIFFERENCE: Self = Self(Self::NUMBER.0 | Self::TIMESTAMP.0 | Self::DURATION.0);

    pub(super) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it can only be a bool.
    pub(super) fn is_bool(self) -> bool {
        self == Self::BOOL
    }

    fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The types in words, with the article of the first.
    fn describe(self) -> String {
        const NAMES: [&str; 11] = [
            "a bool",
            "a number",
            "a string",
            "bytes",
            "a list",
            "a map",
            "null",
            "a timestamp",
            "a duration",
            "an optional",
            "a type",
        ];
        let names: Vec<&str> = NAMES
            .iter()
            .enumerate()
            .filter(|(bit, _)| self.0 & (1 << bit) != 0)
            .map(|(_, name)| *name)
            .collect();
        names.join(" or ")
    }
}

/// The first part of `expr` that can only come out as something that is not in `want`: its id and what
/// it is instead. Looks into both arms of a conditional, and into the operands of `&&`, `||` and `!`.
pub(super) fn mismatch(expr: &IdedExpr, want: Kinds, scope: &Scope) -> Option<(u64, String)> {
    if let Expr::Call(call) = &expr.expr {
        match (call.func_name.as_str(), call.args.as_slice()) {
            (op::CONDITIONAL, [condition, yes, no]) => {
                return mismatch(condition, Kinds::BOOL, scope)
                    .or_else(|| mismatch(yes, want, scope))
                    .or_else(|| mismatch(no, want, scope));
            }
            (op::LOGICAL_AND | op::LOGICAL_OR | op::LOGICAL_NOT, operands) if want.meets(Kinds::BOOL) => {
                return operands.iter().find_map(|operand| mismatch(operand, Kinds::BOOL, scope));
            }
            _ => {}
        }
    }
    let kinds = kinds_of(expr, scope);
    (!kinds.meets(want)).then(|| (expr.id, kinds.describe()))
}

/// What `expr`, whose names are resolved, can come out as.
///
/// Never looks inside a loop, where names may mean something else.
pub(super) fn kinds_of(expr: &IdedExpr, scope: &Scope) -> Kinds {
    match &expr.expr {
        Expr::Literal(literal) => match literal {
            LiteralValue::Boolean(_) => Kinds::BOOL,
            LiteralValue::Bytes(_) => Kinds::BYTES,
            LiteralValue::Double(_) | LiteralValue::Int(_) | LiteralValue::UInt(_) => Kinds::NUMBER,
            LiteralValue::Null => Kinds::NULL,
            LiteralValue::String(_) => Kinds::STRING,
        },
        Expr::List(_) => Kinds::LIST,
        Expr::Map(_) | Expr::Struct(_) => Kinds::MAP,
        Expr::Select(select) if select.test => Kinds::BOOL,
        Expr::Select(_) | Expr::Unspecified => Kinds::ANY,
        Expr::Ident(name) => match Root::named(name) {
            Some(Root::Now) => Kinds::TIMESTAMP,
            Some(_) => Kinds::MAP.or(Kinds::NULL),
            None if functions::is_type_name(name) => Kinds::TYPE,
            None => scope.variable_kinds(name),
        },
        Expr::Comprehension(loops) => kinds_of_loop(loops, scope),
        Expr::Call(call) => kinds_of_call(call, scope),
    }
}

fn kinds_of_loop(loops: &ComprehensionExpr, scope: &Scope) -> Kinds {
    let returns_accumulator = matches!(&loops.result.expr, Expr::Ident(name) if *name == loops.accu_var);
    match &loops.result.expr {
        // all, exists, map and filter give back what they collected
        _ if returns_accumulator => kinds_of(&loops.accu_init, scope),
        // existsOne compares a count, sortBy calls a function
        Expr::Call(call) if call.func_name == op::EQUALS || call.target.is_some() => {
            kinds_of_call(call, scope)
        }
        _ => Kinds::ANY,
    }
}

fn kinds_of_call(call: &CallExpr, scope: &Scope) -> Kinds {
    match (call.func_name.as_str(), call.args.as_slice()) {
        (op::CONDITIONAL, [_, yes, no]) => kinds_of(yes, scope).or(kinds_of(no, scope)),
        (op::ADD, [a, b]) => sum(kinds_of(a, scope), kinds_of(b, scope)),
        (op::SUBSTRACT, _) => Kinds::DIFFERENCE,
        (op::NEGATE, _) => Kinds::NUMBER.or(Kinds::DURATION),
        (op::MULTIPLY | op::DIVIDE | op::MODULO, _) => Kinds::NUMBER,
        (op::OPT_SELECT | op::OPT_INDEX, _) => Kinds::OPTIONAL,
        (op::INDEX, _) => Kinds::ANY,
        (
            op::LOGICAL_AND
            | op::LOGICAL_OR
            | op::LOGICAL_NOT
            | op::EQUALS
            | op::NOT_EQUALS
            | op::LESS
            | op::LESS_EQUALS
            | op::GREATER
            | op::GREATER_EQUALS
            | op::IN
            | op::NOT_STRICTLY_FALSE,
            _,
        ) => Kinds::BOOL,
        _ => functions::called(call).map_or(Kinds::ANY, |function| function.result),
    }
}

/// Both operands of `+` have the type of the sum, except that a timestamp takes a duration.
fn sum(a: Kinds, b: Kinds) -> Kinds {
    let time = Kinds::TIMESTAMP.or(Kinds::DURATION);
    if a.meets(time) && b.meets(time) {
        return a.or(b).and(Kinds::SUM);
    }
    let both = a.and(b).and(Kinds::SUM);
    // two that cannot be added fail when they are evaluated, with the types in the message
    if both == Kinds(0) { Kinds::SUM } else { both }
}
