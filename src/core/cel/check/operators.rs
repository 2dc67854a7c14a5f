//! What the operators take and return.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use cel::common::ast::operators as op;

use super::super::libraries::Signature;
use super::super::operators::{Arithmetic, Order};

/// Pairs that `<` and the like order: of one type, or two types of numbers.
const ORDERED: &str = "(bool, bool) (int, int) (int, double) (int, uint) (uint, uint) (uint, double) (uint, int) \
                       (double, double) (double, int) (double, uint) (string, string) (bytes, bytes) \
                       (timestamp, timestamp) (duration, duration)";

/// Arguments of each operator, and what it returns where that is not the same for all.
const OPERATORS: &[(&str, &str)] = &[
    (
        op::ADD,
        "(bytes, bytes) -> bytes; (double, double) -> double; (duration, duration) -> duration; \
         (duration, timestamp) -> timestamp; (timestamp, duration) -> timestamp; (int, int) -> int; \
         (list(A), list(A)) -> list(A); (string, string) -> string; (uint, uint) -> uint",
    ),
    (
        op::SUBSTRACT,
        "(double, double) -> double; (duration, duration) -> duration; (int, int) -> int; \
         (timestamp, duration) -> timestamp; (timestamp, timestamp) -> duration; (uint, uint) -> uint",
    ),
    (op::MULTIPLY, "(double, double) -> double; (int, int) -> int; (uint, uint) -> uint"),
    (op::DIVIDE, "(double, double) -> double; (int, int) -> int; (uint, uint) -> uint"),
    (op::MODULO, "(int, int) -> int; (uint, uint) -> uint"),
    (op::NEGATE, "(double) -> double; (int) -> int"),
    (op::LOGICAL_NOT, "(bool) -> bool"),
    (op::EQUALS, "(A, A) -> bool"),
    (op::NOT_EQUALS, "(A, A) -> bool"),
    (op::CONDITIONAL, "(bool, A, A) -> A"),
    (op::IN, "(A, list(A)) -> bool; (A, map(A, B)) -> bool"),
    (
        op::INDEX,
        "(list(A), int) -> A; (map(A, B), A) -> B; (optional(list(A)), int) -> optional(A); \
         (optional(map(A, B)), A) -> optional(B)",
    ),
    (
        op::OPT_INDEX,
        "(list(A), int) -> optional(A); (map(A, B), A) -> optional(B); \
         (optional(list(A)), int) -> optional(A); (optional(map(A, B)), A) -> optional(B)",
    ),
];

static SIGNATURES: LazyLock<BTreeMap<&'static str, Vec<Signature>>> = LazyLock::new(|| {
    let read = |text: &str| Signature::parse("f", &format!("f{}", text.trim()));
    let mut all: BTreeMap<_, Vec<Signature>> = OPERATORS
        .iter()
        .map(|(name, signatures)| (*name, signatures.split(';').filter_map(read).collect()))
        .collect();
    for name in [op::LESS, op::LESS_EQUALS, op::GREATER, op::GREATER_EQUALS] {
        let pairs = ORDERED.split_inclusive(')');
        all.insert(name, pairs.filter_map(|pair| read(&format!("{} -> bool", pair.trim()))).collect());
    }
    all
});

/// What the operator of this name takes and returns.
pub(super) fn signatures(name: &str) -> Option<&'static [Signature]> {
    SIGNATURES.get(name).map(Vec::as_slice)
}

/// How people write the operator.
pub(super) fn symbol(name: &str) -> &str {
    match name {
        op::IN => "in",
        op::INDEX => "[]",
        op::OPT_INDEX => "[?]",
        op::CONDITIONAL => "?:",
        other => other.trim_matches('_'),
    }
}

pub(super) fn order(name: &str) -> Option<Order> {
    Some(match name {
        op::LESS => Order::Less,
        op::LESS_EQUALS => Order::LessOrEqual,
        op::GREATER => Order::Greater,
        op::GREATER_EQUALS => Order::GreaterOrEqual,
        _ => return None,
    })
}

pub(super) fn arithmetic(name: &str) -> Option<Arithmetic> {
    Some(match name {
        op::ADD => Arithmetic::Add,
        op::SUBSTRACT => Arithmetic::Subtract,
        op::MULTIPLY => Arithmetic::Multiply,
        op::DIVIDE => Arithmetic::Divide,
        op::MODULO => Arithmetic::Modulo,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signature_can_be_read() {
        for (name, signatures) in OPERATORS {
            assert_eq!(SIGNATURES[name].len(), signatures.split(';').count(), "{name}");
        }
        assert_eq!(SIGNATURES[op::LESS].len(), 14);
    }
}
