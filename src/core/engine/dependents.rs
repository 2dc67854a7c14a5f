//! Which objects depend on what lookups find for them: for each object the queries that were made, and by what they
//! look for, the objects. A change is then told to exactly those that it may concern.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::subject::Subject;
use crate::core::event::WatchId;
use crate::core::few::Few;
use crate::core::lookup::{LabelIn, Query, Wanted};
use crate::core::project::ProjectedObject;
use crate::core::tree::Node;

/// By what something is looked for. Without a namespace: in all of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Term {
    Name(Option<Arc<str>>, Arc<str>),
    Label(Option<Arc<str>>, Arc<str>, Arc<str>),
    All(Option<Arc<str>>),
}

/// Of one policy, by the places of its lookups.
#[derive(Debug, Default)]
pub(super) struct Dependents {
    by_term: HashMap<(usize, Term), Few<Arc<Subject>>>,
    queries: HashMap<Arc<Subject>, Queries>,
}

/// What was looked for, by place; sorted.
pub(super) type Queries = Box<[(usize, Query)]>;

impl Dependents {
    /// The lookups of an object were made with these queries. Those that are not named stay as they were, unless these
    /// are `all` that were made.
    pub(super) fn set(&mut self, subject: Subject, queries: BTreeMap<usize, Option<Query>>, all: bool) {
        let known = self.queries.get_key_value(&subject);
        if known.is_none() && queries.values().all(Option::is_none) {
            return;
        }
        let before = known.map(|(_, queries)| queries.clone()).unwrap_or_default();
        let subject = known.map_or_else(|| Arc::new(subject), |(known, _)| known.clone());
        let stays = |place: &usize| !all && !queries.contains_key(place);
        let mut after: Vec<(usize, Query)> =
            before.iter().filter(|(place, _)| stays(place)).cloned().collect();
        after.extend(queries.iter().filter_map(|(place, query)| Some((*place, query.clone()?))));
        after.sort_by_key(|(place, _)| *place);
        if *before == *after {
            return;
        }
        for (place, query) in before.iter().filter(|known| !after.contains(known)) {
            self.withdraw(&subject, *place, query);
        }
        for (place, query) in after.iter().filter(|known| !before.contains(known)) {
            for term in terms(query) {
                self.by_term.entry((*place, term)).or_default().insert(subject.clone());
            }
        }
        match after.is_empty() {
            true => drop(self.queries.remove(&subject)),
            false => drop(self.queries.insert(subject, after.into())),
        }
    }

    /// An object is no longer judged.
    pub(super) fn forget(&mut self, subject: &Subject) {
        let Some((subject, queries)) = self.queries.remove_entry(subject) else { return };
        for (place, query) in &queries {
            self.withdraw(&subject, *place, query);
        }
    }

    /// A watch no longer feeds a selection.
    pub(super) fn forget_watch(&mut self, selection: usize, watch: WatchId) {
        let of = |subject: &Subject| subject.watch == watch && subject.selection == selection;
        let gone: Vec<Arc<Subject>> = self.queries.keys().filter(|subject| of(subject)).cloned().collect();
        gone.iter().for_each(|subject| self.forget(subject));
    }

    /// Those for which the lookup at `place` finds an object, or found it before it changed; in order.
    pub(super) fn of(
        &self,
        place: usize,
        before: Option<&ProjectedObject>,
        after: Option<&ProjectedObject>,
    ) -> BTreeSet<Arc<Subject>> {
        let mut found = BTreeSet::new();
        for object in before.into_iter().chain(after) {
            for term in terms_of(object) {
                let Some(subjects) = self.by_term.get(&(place, term)) else { continue };
                for subject in subjects.iter() {
                    let queries = self.queries.get(subject).into_iter().flatten();
                    let mut queries = queries.filter(|(known, _)| *known == place);
                    if queries.any(|(_, query)| query.finds(object)) {
                        found.insert(subject.clone());
                    }
                }
            }
        }
        found
    }

    /// What an object depends on, by lookup.
    pub(super) fn queries_of(&self, subject: &Subject) -> Option<&Queries> {
        self.queries.get(subject)
    }

    /// How many objects depend on others.
    pub(super) fn len(&self) -> usize {
        self.queries.len()
    }

    fn withdraw(&mut self, subject: &Arc<Subject>, place: usize, query: &Query) {
        for term in terms(query) {
            let at = (place, term);
            if let Some(subjects) = self.by_term.get_mut(&at) {
                subjects.remove(subject);
                if subjects.is_empty() {
                    self.by_term.remove(&at);
                }
            }
        }
    }
}

/// By what a query looks. Of several labels the first does: what has all of them has that one.
fn terms(query: &Query) -> Vec<Term> {
    let namespace = query.namespace.clone();
    match &query.wanted {
        Wanted::Names(names) => {
            names.iter().map(|name| Term::Name(namespace.clone(), name.clone())).collect()
        }
        Wanted::Labels(labels) => {
            let of = |(key, values): &LabelIn| {
                let term = |value: &Arc<str>| Term::Label(namespace.clone(), key.clone(), value.clone());
                values.iter().map(term).collect()
            };
            labels.first().map(of).unwrap_or_default()
        }
        Wanted::All => vec![Term::All(namespace)],
    }
}

/// By what an object may be looked for.
fn terms_of(object: &ProjectedObject) -> Vec<Term> {
    let id = object.id();
    let mut namespaces = vec![None];
    namespaces.extend(id.namespace.clone().map(Some));
    let labels = object.labels().map(Node::entries).unwrap_or_default();
    let mut terms = Vec::new();
    for namespace in namespaces {
        terms.push(Term::Name(namespace.clone(), id.name.clone()));
        for (key, value) in labels {
            if let Node::Str(value) = value {
                terms.push(Term::Label(namespace.clone(), key.clone(), value.clone()));
            }
        }
        terms.push(Term::All(namespace));
    }
    terms
}
