//! One object's lookups: made in order, and bound for the expressions that read them.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::query::query;
use super::{Answer, MAX_FOUND, Query, Related};
use crate::core::cel::{Bindings, Found};
use crate::core::policy::CompiledPolicy;
use crate::core::project::ProjectedObject;

/// Holds what lookups find while one object is judged.
#[derive(Debug)]
pub struct Arena(Vec<OnceCell<Vec<ProjectedObject>>>);

impl Arena {
    /// For the lookups of a policy.
    pub fn new(policy: &CompiledPolicy) -> Self {
        Self(policy.lookups.iter().map(|_| OnceCell::new()).collect())
    }

    /// What a lookup found; none when it was not made, or could not.
    pub fn found(&self, place: usize) -> Option<&[ProjectedObject]> {
        self.0.get(place)?.get().map(Vec::as_slice)
    }
}

/// One object's lookups, as far as they were made.
pub struct Joined<'a> {
    policy: &'a CompiledPolicy,
    /// The namespace of the object.
    namespace: Option<Arc<str>>,
    arena: &'a Arena,
    related: &'a dyn Related,
    /// What was made, by place; none where there was nothing to look for.
    pub queries: BTreeMap<usize, Option<Query>>,
    /// Those whose objects are not known yet.
    pub unknown: BTreeSet<usize>,
}

impl<'a> Joined<'a> {
    /// Nothing was looked up yet.
    pub fn new(
        policy: &'a CompiledPolicy,
        namespace: Option<Arc<str>>,
        arena: &'a Arena,
        related: &'a dyn Related,
    ) -> Self {
        Self { policy, namespace, arena, related, queries: BTreeMap::new(), unknown: BTreeSet::new() }
    }

    /// Makes those of the lookups that were not made, and binds what they find. Those that take what is not known
    /// yet are not known either.
    pub fn look_up(&mut self, places: &BTreeSet<usize>, bindings: &mut Bindings<'a>) {
        for place in places {
            if self.queries.contains_key(place) || self.unknown.contains(place) {
                continue;
            }
            let Some(lookup) = self.policy.lookup(*place) else { continue };
            if lookup.takes().iter().any(|taken| self.unknown.contains(taken)) {
                self.unknown.insert(*place);
                continue;
            }
            let mut query = query(lookup, self.namespace.as_ref(), bindings);
            let found = match &query {
                Ok(Some(wanted)) => match self.related.find(lookup.selection, wanted) {
                    Answer::NotKnown => {
                        self.unknown.insert(*place);
                        continue;
                    }
                    Answer::NotServed => {
                        let kind =
                            self.policy.looked_among(*place).map(|selection| selection.target.display());
                        Found::not_served(kind.as_deref().unwrap_or_default())
                    }
                    Answer::TooMany => {
                        let text = format!("it finds more than {MAX_FOUND} objects; look for fewer");
                        Found::failed(&lookup.name, &text)
                    }
                    Answer::NoNamespace if self.policy.is_params(*place) => Found::failed(
                        "params",
                        "their kind lives in namespaces and the object in none; write params.namespace",
                    ),
                    Answer::NoNamespace => {
                        // Whatever is there, it finds nothing, and depends on nothing.
                        query = Ok(None);
                        let text = "its kind lives in namespaces and the object in none; write a namespaceExpression";
                        Found::failed(&lookup.name, text)
                    }
                    Answer::Objects(objects) => {
                        let cell = self.arena.0.get(*place);
                        let objects = cell.map(|cell| cell.get_or_init(|| objects).as_slice());
                        let objects = objects.unwrap_or_default();
                        match lookup.is_many() {
                            true => Found::many(objects.iter().map(ProjectedObject::root)),
                            false => Found::One(objects.first().map(ProjectedObject::root)),
                        }
                    }
                },
                Ok(None) if lookup.is_many() => Found::many(std::iter::empty()),
                Ok(None) => Found::One(None),
                Err(text) => Found::failed(&lookup.name, text),
            };
            bindings.bind_lookup(*place, found);
            self.queries.insert(*place, query.ok().flatten());
        }
    }
}
