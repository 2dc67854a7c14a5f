//! Judging by params: once for each, and what follows when there are none.

use crate::core::cel::{Bindings, Found};
use crate::core::chain::Chain;
use crate::core::fields::Fields;
use crate::core::lookup::{Answer, MAX_FOUND, NoParams, Place, Query, Related, Wanted};
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
    let Some(target) = policy.looked_among(place).map(|selection| &selection.target) else {
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

/// What there is of the params that all groups of a policy are judged by.
#[derive(Debug)]
pub struct GroupParams<'p> {
    policy: &'p CompiledPolicy,
    place: usize,
    otherwise: NoParams,
    query: Query,
    answer: Answer,
}

/// What judging a group by params came to.
#[derive(Debug)]
pub enum ByParams {
    /// The verdict.
    Known(Verdict),
    /// There are none, and groups are not judged without.
    None,
    /// It is not known yet which there are.
    NotKnown,
}

impl<'p> GroupParams<'p> {
    /// Looks for them; none where the policy has none that are the same for all objects.
    pub fn of(policy: &'p CompiledPolicy, related: &dyn Related) -> Option<Self> {
        let (place, otherwise) = policy.params?;
        let lookup = policy.lookup(place)?;
        let Place::Namespace(namespace) = &lookup.place else { return None };
        let query = Query { namespace: Some(namespace.clone()), wanted: Wanted::All };
        let answer = related.find(lookup.selection, &query);
        Some(Self { policy, place, otherwise, query, answer })
    }

    /// Judges a group, whose objects are bound, with each of them.
    pub fn judge<'a>(
        &'a self,
        bindings: &mut Bindings<'a>,
        mut once: impl FnMut(&mut Bindings<'a>) -> Verdict,
    ) -> ByParams {
        let Self { policy, place, otherwise, query, answer } = self;
        let instead = match answer {
            Answer::NotKnown => return ByParams::NotKnown,
            Answer::Objects(found) => {
                let missing = || missing(policy, *place, Some(query));
                let verdict = by_each(found, *otherwise, bindings, missing, |bindings, params| {
                    bindings.bind_lookup(*place, Found::One(Some(params.root())));
                    once(bindings)
                });
                return verdict.map_or(ByParams::None, ByParams::Known);
            }
            Answer::NotServed => {
                let kind = policy.looked_among(*place).map(|selection| selection.target.display());
                Found::not_served(&kind.unwrap_or_default())
            }
            Answer::TooMany | Answer::NoNamespace => {
                Found::failed("params", &format!("there are more than {MAX_FOUND} of them"))
            }
        };
        bindings.bind_lookup(*place, instead);
        ByParams::Known(once(bindings))
    }
}
