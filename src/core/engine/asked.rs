//! One object while a policy is asked about it: its bindings, and what is looked up for it.

use std::collections::BTreeMap;

use super::judge::{Admission, match_conditions};
use super::params;
use crate::core::cel::{Bindings, Found};
use crate::core::chain::Chain;
use crate::core::lookup::{Arena, Joined, Query, Related};
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
        self.by_params(rule, |asked| state.judge(&rule.name, &mut asked.bindings))
    }

    /// Judges the object as `judge` does, with each of the params if the rule reads them; none when there are none to
    /// judge it by.
    pub(super) fn by_params(
        &mut self,
        rule: &CompiledRule,
        mut judge: impl FnMut(&mut Self) -> Verdict,
    ) -> Option<Verdict> {
        let mut once = |asked: &mut Self| match judge(asked) {
            Verdict::Violation(violation) => Verdict::Violation(asked.with_chain(rule, violation)),
            other => other,
        };
        let params = self.policy.params.filter(|(place, _)| rule.links.contains(place));
        let Some((place, otherwise)) = params else { return Some(once(self)) };
        // Not installed, or too many: whoever reads them says so.
        let Some(found) = self.arena.found(place) else { return Some(once(self)) };
        let query = self.joined.queries.get(&place).cloned().flatten();
        let policy = self.policy;
        let missing = || params::missing(policy, place, query.as_ref());
        params::by_each(found, otherwise, self, missing, |asked, params| {
            asked.bindings.bind_lookup(place, Found::One(Some(params.root())));
            asked.bindings.forget_variables();
            once(asked)
        })
    }

    /// A violation with what was looked up on the way, in its words as well.
    fn with_chain(&mut self, rule: &CompiledRule, violation: Violation) -> Violation {
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
}
