//! What an expression may cost at most, before it has met an object.
//!
//! Counted as the evaluator charges, for lists, maps and texts of an assumed size. An object may have larger ones: then
//! it is the budget that stops.

use super::code::{Body, Call, Code};
use super::cost::{self, Cost};
use super::types::Type;
use super::value::Value;

/// How large lists and texts are taken to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Elements of a list, entries of a map.
    pub elements: u64,
    /// Bytes of a text.
    pub text: u64,
}

/// What evaluating `code` costs at most for values of these sizes, without the variables that it reads.
pub(super) fn estimate(code: &Code, sizes: Sizes) -> u64 {
    let mut parts = 0_u64;
    code.for_each_part(|part| parts = parts.saturating_add(estimate(part, sizes)));
    let own = match code {
        Code::Constant(_) | Code::And(_) | Code::Or(_) | Code::Conditional { .. } | Code::Has { .. } => 0,
        Code::Bind { .. }
        | Code::OptionalMap { .. }
        | Code::OptionalOr { .. }
        | Code::OptionalOrValue { .. } => 0,
        Code::Root(_) | Code::Local(_) | Code::Variable(_) | Code::Not(_) | Code::Negate(_) => 1,
        Code::Lookup(_) | Code::LookupIfThere(_) | Code::HasLookup(_) | Code::Aggregate(_) => 1,
        Code::Select { .. } | Code::SelectIfThere { .. } => 1 + sizes.elements / 16,
        Code::Index { .. } | Code::IndexIfThere { .. } => 1 + sizes.elements / 16,
        Code::Equal { sides, .. } => {
            sides.iter().map(|side| size(side, sizes)).min().unwrap_or(1).div_ceil(10)
        }
        Code::Ordered(_, _) => sizes.text.div_ceil(10),
        Code::Calculate(_, _) => (2 * sizes.text).div_ceil(10).max(1),
        Code::In { .. } => sizes.elements,
        Code::Call(call) => call_cost(call, sizes),
        Code::List(_) => cost::LIST,
        Code::Map(_) => cost::MAP,
        Code::Loop(repeated) => {
            let mut body = 0_u64;
            let mut add = |code: &Code| body = body.saturating_add(estimate(code, sizes));
            let around = match &repeated.body {
                Body::All(c) | Body::Exists(c) | Body::ExistsOne(c) => {
                    add(c);
                    4
                }
                Body::Filter(c) | Body::SortBy(c) => {
                    add(c);
                    cost::LIST + 3
                }
                Body::Map { condition, value }
                | Body::TransformMap { condition, value }
                | Body::TransformMapEntry { condition, entries: value } => {
                    condition.iter().for_each(&mut add);
                    add(value);
                    cost::LIST + 3
                }
            };
            // The parts have the body once.
            let times = size(&repeated.range, sizes);
            body.saturating_mul(times.saturating_sub(1))
                .saturating_add(around * times)
                .saturating_add(cost::LIST)
        }
    };
    parts.saturating_add(own)
}

fn call_cost(call: &Call, sizes: Sizes) -> u64 {
    let of = |cost: Cost, takes: &[Type]| {
        let args: Vec<u64> = takes
            .iter()
            .zip(&call.args)
            .map(|(wanted, arg)| match (wanted, arg) {
                (_, Code::Constant(value)) => value.size(),
                (Type::String | Type::Bytes, _) => sizes.text,
                (Type::List(_) | Type::Map(..) | Type::Dyn | Type::Param(_), _) => size(arg, sizes),
                _ => 1,
            })
            .collect();
        cost.of_sizes(|n| args.get(n).copied().unwrap_or(1))
    };
    call.candidates
        .iter()
        .map(|candidate| of(candidate.overload.cost, &candidate.signature.args))
        .max()
        .unwrap_or(1)
}

/// How large the value of `code` may be.
fn size(code: &Code, sizes: Sizes) -> u64 {
    match code {
        Code::Constant(Value::Opaque(_)) => sizes.text,
        Code::Constant(value) => value.size(),
        Code::List(elements) => elements.len() as u64,
        Code::Map(entries) => entries.len() as u64,
        _ => sizes.elements.max(sizes.text),
    }
}
