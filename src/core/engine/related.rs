//! What lookups find in the watches, who depends on it, and who is judged again because of that.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;

use super::backlog::Work;
use super::plan::{Comparison, Plan};
use super::subject::Subject;
use super::watches::{Watched, Watches};
use super::{Engine, Outcome, Reader, Tracked};
use crate::core::event::{ObjectKey, WatchId};
use crate::core::finding::PolicyKey;
use crate::core::lookup::{Answer, MAX_FOUND, Query, Related, Wanted};
use crate::core::policy::{CompiledPolicy, Role};
use crate::core::project::ProjectedObject;
use crate::core::store::Cursor;

/// Where a lookup finds its objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Source {
    /// The kind is not installed.
    NotServed,
    /// Its watches are not complete.
    #[default]
    NotKnown,
    /// In these watches.
    Known {
        /// Each with the position of the lookup's plan in it.
        feeds: Vec<(WatchId, usize)>,
        /// Whether the kind lives in namespaces.
        namespaced: bool,
    },
}

/// Objects of a policy to be judged again, each once.
#[derive(Debug, Default)]
pub(super) struct Affected {
    queue: VecDeque<Arc<Subject>>,
    queued: HashSet<Arc<Subject>>,
}

impl Affected {
    fn add(&mut self, subject: Arc<Subject>) {
        if self.queued.insert(subject.clone()) {
            self.queue.push_back(subject);
        }
    }

    fn next(&mut self) -> Option<Arc<Subject>> {
        let subject = self.queue.pop_front()?;
        self.queued.remove(&subject);
        Some(subject)
    }

    fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether an object of the selection is among them.
    pub(super) fn concerns(&self, selection: usize) -> bool {
        self.queue.iter().any(|subject| subject.selection == selection)
    }
}

/// The objects of the watches, as the lookups of one policy see them.
#[derive(Debug)]
pub(super) struct InWatches<'a> {
    pub(super) watches: &'a Watches,
    pub(super) policy: &'a CompiledPolicy,
    pub(super) sources: &'a [Source],
}

impl Related for InWatches<'_> {
    fn find(&self, selection: usize, query: &Query) -> Answer {
        let Some(Role::Lookup(place)) = self.policy.selections.get(selection).map(|s| s.role) else {
            return Answer::NotKnown;
        };
        let (feeds, namespaced) = match self.sources.get(place) {
            Some(Source::NotServed) => return Answer::NotServed,
            Some(Source::NotKnown) | None => return Answer::NotKnown,
            Some(Source::Known { feeds, namespaced }) => (feeds, *namespaced),
        };
        let namespace = query.namespace.as_ref().filter(|_| namespaced);
        let of_one_place = matches!(query.wanted, Wanted::Names(_)) || self.policy.is_params(place);
        if namespaced && namespace.is_none() && of_one_place {
            return Answer::NoNamespace;
        }
        let query = &narrowed(query, self.policy, selection);
        let mut found = Vec::new();
        for (id, plan) in feeds {
            let Some(watch) = self.watches.by_id.get(id) else { continue };
            let selects =
                |object: &ProjectedObject| watch.plans.get(*plan).is_some_and(|plan| plan.selects(object));
            find_in(watch, namespace, query, |object| {
                if selects(&object) {
                    found.push(object);
                }
                found.len() <= MAX_FOUND
            });
            if found.len() > MAX_FOUND {
                return Answer::TooMany;
            }
        }
        found.sort_by(|a, b| {
            let (a, b) = (a.id(), b.id());
            (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name))
        });
        Answer::Objects(found)
    }
}

/// A query for all that a selection by names leaves is one for these names: nothing else is looked at.
fn narrowed<'q>(query: &'q Query, policy: &CompiledPolicy, selection: usize) -> Cow<'q, Query> {
    let names = policy.selections.get(selection).map(|selection| &selection.target.names);
    match (names, &query.wanted) {
        (Some(names), Wanted::All) if !names.is_empty() => {
            let names = names.iter().map(|name| name.as_str().into()).collect();
            Cow::Owned(Query { namespace: query.namespace.clone(), wanted: Wanted::Names(names) })
        }
        _ => Cow::Borrowed(query),
    }
}

/// Hands out what a query finds in a watch until `take` says that it is enough.
fn find_in(
    watch: &Watched,
    namespace: Option<&Arc<str>>,
    query: &Query,
    mut take: impl FnMut(ProjectedObject) -> bool,
) {
    match &query.wanted {
        Wanted::Names(names) => {
            for name in names {
                let key = ObjectKey { namespace: namespace.cloned(), name: name.clone() };
                if let Some(object) = watch.objects.get(&key)
                    && !take(object)
                {
                    return;
                }
            }
        }
        Wanted::Labels(labels) => {
            let candidates = watch.by_label.borrow_mut().candidates(&watch.objects, namespace, labels);
            for key in candidates {
                if let Some(object) = watch.objects.get(&key).filter(|object| query.wanted_by(object))
                    && !take(object)
                {
                    return;
                }
            }
        }
        Wanted::All => {
            // Whoever takes may leave most of them.
            let mut from = namespace.map(|namespace| Cursor::before(Some(namespace.clone())));
            loop {
                let (objects, next) = watch.objects.slice(from.as_ref(), namespace.is_some(), MAX_FOUND);
                if !objects.into_iter().all(&mut take) || next.is_none() {
                    return;
                }
                from = next;
            }
        }
    }
}

impl Engine {
    /// What a lookup of a policy may find came, changed or went: who depends on it is queued.
    pub(super) fn related_changed(
        &mut self,
        plan: &Plan,
        place: usize,
        before: Option<&ProjectedObject>,
        after: Option<&ProjectedObject>,
        comparison: Option<&Comparison<'_>>,
    ) {
        // A watch may be of more than the lookup finds.
        let selected = |object: &&ProjectedObject| plan.selects(object);
        let (before, after) = (before.filter(selected), after.filter(selected));
        if before.is_none() && after.is_none() {
            return;
        }
        let Some(tracked) = self.policies.get_mut(&plan.reader.policy) else { return };
        let for_groups = !tracked.groups.is_empty() && tracked.policy.is_params(place);
        if tracked.dependents.len() == 0 && !for_groups {
            return;
        }
        let same = comparison.is_some_and(|comparison| {
            // Of two states that were not kept alike nothing can be said.
            comparison.before.generation() >= plan.terms.since
                && !plan.views.iter().any(|view| comparison.differs(*view))
                && !(plan.by_labels && comparison.relabelled())
        });
        if same {
            return;
        }
        let was_empty = tracked.affected.is_empty();
        for subject in tracked.dependents.of(place, before, after) {
            tracked.affected.add(subject);
        }
        if for_groups {
            tracked.groups.queue_all();
        }
        if was_empty && !tracked.affected.is_empty() {
            self.work.push_back(Work::Affected(plan.reader.policy.clone()));
        }
        if for_groups {
            self.wake_groups(&plan.reader.policy);
        }
    }

    /// Judges up to `limit` objects that depend on what changed.
    pub(super) fn work_on_affected(
        &mut self,
        key: PolicyKey,
        limit: usize,
        now: Timestamp,
        out: &mut Outcome,
    ) {
        for _ in 0..limit {
            let Some(subject) = self.policies.get_mut(&key).and_then(|tracked| tracked.affected.next())
            else {
                break;
            };
            self.judge_again(&key, &subject, now, out);
        }
        let Some(tracked) = self.policies.get(&key) else { return };
        if !tracked.affected.is_empty() {
            // Back of the queue, as any other pass.
            self.work.push_back(Work::Affected(key));
            return;
        }
        let unsettled = |reader: &Reader| !tracked.settled.contains(&reader.selection);
        let waiting: Vec<Reader> = tracked.readers(&key).into_iter().filter(unsettled).collect();
        waiting.iter().for_each(|reader| self.settle(reader, now, out));
    }

    /// Works out where the lookups of these policies find their objects; what changed is judged again by it.
    pub(super) fn note_sources<'k>(&mut self, policies: impl Iterator<Item = &'k PolicyKey>) {
        let mut again = Vec::new();
        for key in policies {
            let Some(tracked) = self.policies.get_mut(key) else { continue };
            let sources: Vec<Source> = (0..tracked.policy.lookups.len())
                .map(|place| source(key, tracked, &self.watches, place))
                .collect();
            if sources == tracked.sources {
                continue;
            }
            let changed: BTreeSet<usize> = (0..sources.len())
                .filter(|place| sources.get(*place) != tracked.sources.get(*place))
                .collect();
            tracked.sources = sources;
            if tracked.policy.params.is_some_and(|(place, _)| changed.contains(&place)) {
                tracked.groups.queue_all();
            }
            for (index, selection) in tracked.policy.selections.iter().enumerate() {
                // Of a kind that is not installed no object waits for what is looked up.
                let is_there = selection.is_judged() && !tracked.absent.contains(&selection.name);
                if is_there && !tracked.policy.lookups_for(index).is_disjoint(&changed) {
                    tracked.settled.remove(&selection.name);
                    let reader = Reader { policy: key.clone(), selection: selection.name.clone() };
                    let feeds = tracked.feeds.get(&selection.name).into_iter().flatten();
                    again.extend(feeds.map(|watch| (reader.clone(), *watch)));
                }
            }
        }
        for (reader, watch) in again {
            self.wake_groups(&reader.policy);
            self.queue(reader, watch, None);
        }
    }
}

fn source(key: &PolicyKey, tracked: &Tracked, watches: &Watches, place: usize) -> Source {
    let Some(selection) = tracked.policy.looked_among(place) else { return Source::NotKnown };
    if tracked.absent.contains(&selection.name) {
        return Source::NotServed;
    }
    let mut known = Vec::new();
    let mut namespaced = true;
    for id in tracked.feeds.get(&selection.name).into_iter().flatten() {
        let Some(watch) = watches.by_id.get(id) else { return Source::NotKnown };
        let reads = |plan: &Plan| plan.reader.policy == *key && plan.reader.selection == selection.name;
        let Some(at) = watch.plans.iter().position(reads) else { return Source::NotKnown };
        if !watch.is_complete(watch.plans[at].terms.since) {
            return Source::NotKnown;
        }
        namespaced &= !watch.route.cluster_scoped;
        known.push((*id, at));
    }
    if known.is_empty() { Source::NotKnown } else { Source::Known { feeds: known, namespaced } }
}

impl Tracked {
    /// Whether all that judging a selection takes of lookups is known.
    pub(super) fn knows_lookups(&self, selection: &str) -> bool {
        let policy = &self.policy;
        let Some(index) = policy.selection(selection) else { return true };
        let known =
            |place: &usize| self.sources.get(*place).is_some_and(|source| *source != Source::NotKnown);
        policy.lookups_for(index).iter().all(known)
    }

    /// An object is no longer judged: it depends on nothing.
    pub(super) fn unjoin(&mut self, watch: WatchId, plan: &Plan, object: &ProjectedObject) {
        if self.dependents.len() > 0 {
            self.dependents.forget(&Subject::new(watch, plan, object));
        }
    }

    /// The queries as the index of dependents has them: what lives in no namespace is looked for in none.
    pub(super) fn note_queries(
        &mut self,
        subject: Subject,
        mut queries: BTreeMap<usize, Option<Query>>,
        admitted: bool,
    ) {
        for (place, query) in &mut queries {
            if let (Some(Source::Known { namespaced: false, .. }), Some(query)) =
                (self.sources.get(*place), query.as_mut())
            {
                query.namespace = None;
            }
        }
        // What is not judged depends on nothing but what the conditions look up.
        self.dependents.set(subject, queries, !admitted);
    }
}
