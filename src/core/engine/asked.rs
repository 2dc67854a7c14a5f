//! One object while a policy is asked about it: its bindings, and what is looked up for it.

use std::collections::BTreeMap;

use super::judge::{Admission, match_conditions};
use crate::core::cel::{Bindings, Found};
use crate::core::chain::Chain;
use crate::core::fields::Fields;
use crate::core::lookup::{Arena, Joined, NoParams, Query, Related};
use crate::core::policy::CompiledPolicy;
use crate::core::project::ProjectedObject;
use crate::core::rules::{CompiledRule, Expression, MAX_MESSAGE_LEN, Verdict, Violation, one_line};

/// The lookups that were made for an object, by their places; none where there was nothing to look for.
pub(super) type Queries = BTreeMap<usize, Option<Query>>;

/// See the module.
pub(super) struct Asked<'a> {
    policy: &'a CompiledPolicy,
    object: &'a ProjectedObject,
    pub(super) bindings: Bindings<'a>,
    arena: &'a Arena,
    pub(super) joined: Joined<'a>,
}

impl<'a> Asked<'a> {
    pub(super) fn new(
        policy: &'a CompiledPolicy,
        object: &'a ProjectedObject,
        bindings: Bindings<'a>,
        arena: &'a Arena,
        related: &'a dyn Related,
    ) -> Self {
        let joined = Joined::new(policy, object.id().namespace.clone(), arena, related);
        Self { policy, object, bindings, arena, joined }
    }

    /// What the match conditions say, with what they look up.
    pub(super) fn admission(&mut self) -> Admission {
        if !self.policy.lookups.is_empty() {
            self.joined.look_up(&self.policy.lookups_of_conditions(), &mut self.bindings);
            if !self.joined.unknown.is_empty() {
                return Admission::NotKnown;
            }
        }
        match_conditions(self.policy, &mut self.bindings)
    }

    /// Looks up what a rule reads.
    pub(super) fn look_up(&mut self, rule: &CompiledRule) {
        self.joined.look_up(&rule.lookups, &mut self.bindings);
    }

    /// Whether all that a rule looks up is known.
    pub(super) fn knows(&self, rule: &CompiledRule) -> bool {
        self.joined.unknown.is_disjoint(&rule.lookups)
    }

    /// Judges the object by a rule on its state; none when there are no params to judge it by.
    pub(super) fn state(&mut self, rule: &CompiledRule, state: &Expression) -> Option<Verdict> {
        let params = self.policy.params.filter(|(place, _)| rule.lookups.contains(place));
        let Some((place, otherwise)) = params else { return Some(self.once(rule, state)) };
        match self.arena.found(place) {
            // Not installed, or too many: whoever reads them says so.
            None => Some(self.once(rule, state)),
            Some([]) => match otherwise {
                NoParams::Skip => None,
                NoParams::Violate => Some(Verdict::Violation(Violation {
                    message: self.no_params(place).into(),
                    fields: Fields::default(),
                    chain: Chain::default(),
                })),
            },
            Some(found) => {
                let mut failed = None;
                for params in found {
                    self.bindings.bind_lookup(place, Found::One(Some(params.root())));
                    self.bindings.forget_variables();
                    match self.once(rule, state) {
                        Verdict::Compliant => {}
                        violation @ Verdict::Violation(_) => return Some(violation),
                        error @ Verdict::Error(_) => drop(failed.get_or_insert(error)),
                    }
                }
                Some(failed.unwrap_or(Verdict::Compliant))
            }
        }
    }

    fn once(&mut self, rule: &CompiledRule, state: &Expression) -> Verdict {
        match state.judge(&rule.name, &mut self.bindings) {
            Verdict::Violation(violation) => Verdict::Violation(self.with_chain(rule, violation)),
            other => other,
        }
    }

    /// A violation with what was looked up on the way, in its words as well.
    pub(super) fn with_chain(&mut self, rule: &CompiledRule, violation: Violation) -> Violation {
        if rule.lookups.is_empty() {
            return violation;
        }
        let queries = &self.joined.queries;
        let query = |place: usize| queries.get(&place).and_then(Option::as_ref);
        let chain = Chain::of(self.policy, rule, self.arena, query, &mut self.bindings);
        let described = chain.describe(self.object.id().namespace.as_ref());
        let message = match described.is_empty() {
            true => violation.message,
            false => one_line(&format!("{} [{described}]", violation.message), MAX_MESSAGE_LEN).into(),
        };
        Violation { message, chain, ..violation }
    }

    fn no_params(&self, place: usize) -> String {
        let lookup = self.policy.lookups.get(place).and_then(Option::as_ref);
        let selection = lookup.and_then(|lookup| self.policy.selections.get(lookup.selection));
        let Some(target) = selection.map(|selection| &selection.target) else {
            return "there are no params".to_owned();
        };
        let query = self.joined.queries.get(&place).and_then(Option::as_ref);
        let within = query.and_then(|query| query.namespace.as_ref());
        let within = within.map(|namespace| format!(" in namespace {namespace}")).unwrap_or_default();
        let named = match target.names.first() {
            Some(name) => format!("{} {name}", target.kind),
            None => format!("{} with labels [{}]", target.kind, target.labels),
        };
        format!("there are no params: there is no {named}{within}")
    }
}
