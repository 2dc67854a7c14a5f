//! Judging by params: once for each, and what follows when there are none.

use crate::core::chain::Chain;
use crate::core::fields::Fields;
use crate::core::lookup::{NoParams, Query};
use crate::core::policy::CompiledPolicy;
use crate::core::project::ProjectedObject;
use crate::core::rules::{Verdict, Violation};

/// Judges with each of the params that were found: the first that is violated decides, then the first that fails. None
/// when there are none and the rule is not to be judged without.
pub(super) fn by_each<'p, T>(
    found: &'p [ProjectedObject],
    otherwise: NoParams,
    asked: &mut T,
    missing: impl FnOnce() -> String,
    mut judge: impl FnMut(&mut T, &'p ProjectedObject) -> Verdict,
) -> Option<Verdict> {
    if found.is_empty() {
        return match otherwise {
            NoParams::Skip => None,
            NoParams::Violate => Some(Verdict::Violation(Violation {
                message: missing().into(),
                fields: Fields::default(),
                chain: Chain::default(),
            })),
        };
    }
    let mut failed = None;
    for params in found {
        match judge(asked, params) {
            Verdict::Compliant => {}
            violation @ Verdict::Violation(_) => return Some(violation),
            error @ Verdict::Error(_) => drop(failed.get_or_insert(error)),
        }
    }
    Some(failed.unwrap_or(Verdict::Compliant))
}

/// Says which params there are not.
pub(super) fn missing(policy: &CompiledPolicy, place: usize, query: Option<&Query>) -> String {
    let lookup = policy.lookups.get(place).and_then(Option::as_ref);
    let selection = lookup.and_then(|lookup| policy.selections.get(lookup.selection));
    let Some(target) = selection.map(|selection| &selection.target) else {
        return "there are no params".to_owned();
    };
    let within = query.and_then(|query| query.namespace.as_ref());
    let within = within.map(|namespace| format!(" in namespace {namespace}")).unwrap_or_default();
    let named = match target.names.first() {
        Some(name) => format!("{} {name}", target.kind),
        None => format!("{} with labels [{}]", target.kind, target.labels),
    };
    format!("there are no params: there is no {named}{within}")
}
