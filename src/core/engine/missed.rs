//! What became of objects while no process looked: what an earlier one knew, against the first complete list.
//!
//! A reader is owed a comparison of each object that it knew, or that is new. It gets them when its selection is complete
//! and all that judging takes is known; that of an object that changes before that, just before that change.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::changes::Happened;
use super::plan::{Comparison, Plan};
use super::watches::Watched;
use super::{Engine, Outcome, Reader};
use crate::core::event::{ObjectKey, WatchId};
use crate::core::project::ProjectedObject;
use crate::core::remembered::place::Place;
use crate::core::remembered::{self, MAX_PARTS, Part, ReaderId};
use crate::core::tree::Node;

/// No change of its own.
const VERSION: &[&str] = &["metadata", "resourceVersion"];

/// What one reader is owed.
#[derive(Debug)]
pub(super) struct Owed {
    reader: ReaderId,
    parts: Vec<Arc<Part>>,
    /// Objects that it has been told of.
    done: HashSet<ObjectKey>,
}

impl Owed {
    /// Whether it is owed to this plan: a policy that was edited begins with what is.
    pub(super) fn is_of(&self, plan: &Plan) -> bool {
        (&self.reader.policy, self.reader.generation) == (&plan.policy.uid, plan.policy.generation)
    }

    /// What is known of objects of this name; none when nothing is, not even that there was none.
    fn part(&self, key: &ObjectKey) -> Option<&Arc<Part>> {
        // The finer one is the later one.
        let part = self.parts.iter().filter(|part| part.is_for(key)).max_by_key(|part| part.place.of);
        part.filter(|part| part.readers.contains(&self.reader))
    }
}

/// What there is to remember of one watch.
#[derive(Debug, Clone, PartialEq)]
pub struct WatchMemory {
    /// The watch.
    pub id: WatchId,
    /// By what a later process knows it.
    pub name: Arc<str>,
    /// Whose rules compare its objects with what they were.
    pub readers: BTreeSet<Reader>,
    /// Those of them who know all objects, as a later process knows them.
    pub known_to: Vec<ReaderId>,
    /// Whether one of them is still to be told what became of what an earlier process knew.
    pub owing: bool,
    /// Objects.
    pub objects: usize,
    /// Bytes that they take here.
    pub bytes: usize,
    /// How often the objects in each place of [`MAX_PARTS`] changed.
    pub revisions: [u64; MAX_PARTS as usize],
}

impl WatchMemory {
    /// A number that is another one when an object of the place changed.
    pub fn revision(&self, place: Place) -> u64 {
        let parts = (0..MAX_PARTS).zip(self.revisions);
        parts.filter(|(part, _)| part % place.of.max(1) == place.index).map(|(_, revision)| revision).sum()
    }
}

impl Watched {
    /// Takes what an earlier process knew of its objects.
    pub(super) fn recall(&mut self, parts: Vec<Arc<Part>>) {
        if parts.is_empty() {
            return;
        }
        for plan in self.plans.iter().filter(|plan| plan.remembers()) {
            let Some(reader) = self.reader_id(plan) else { continue };
            if parts.iter().any(|part| part.readers.contains(&reader)) {
                let owed = Owed { reader, parts: parts.clone(), done: HashSet::new() };
                self.owed.insert(plan.reader.clone(), owed);
            }
        }
    }

    fn reader_id(&self, plan: &Plan) -> Option<ReaderId> {
        Some(ReaderId {
            policy: plan.policy.uid.clone(),
            generation: plan.policy.generation,
            selection: plan.reader.selection.clone(),
            needs: *self.route.memory.as_ref()?.needs.get(&plan.reader)?,
        })
    }
}

impl Engine {
    /// Hands over what an earlier process knew of the objects of a watch, by the watch's name. To be called before the
    /// watch is assigned.
    pub fn recall(&mut self, watch: Arc<str>, parts: Vec<Part>) {
        self.last_known.insert(watch, parts.into_iter().map(Arc::new).collect());
    }

    /// What there is to remember, of watches whose first list is complete.
    pub fn memories(&self) -> Vec<WatchMemory> {
        let memory = |(id, watch): (&WatchId, &Watched)| {
            let name = watch.route.memory.as_ref()?.name.clone();
            let revisions = watch.revisions.filter(|_| watch.synced)?;
            let plans = || watch.plans.iter().filter(|plan| plan.remembers());
            let knows = |plan: &&Plan| {
                let tracked = self.policies.get(&plan.reader.policy);
                watch.is_complete(plan.terms.since)
                    && !watch.owed.contains_key(&plan.reader)
                    && tracked.is_some_and(|tracked| self.watches.knows_namespaces_for(tracked))
            };
            Some(WatchMemory {
                id: *id,
                name,
                readers: plans().map(|plan| plan.reader.clone()).collect(),
                known_to: plans().filter(knows).filter_map(|plan| watch.reader_id(plan)).collect(),
                owing: !watch.owed.is_empty(),
                objects: watch.objects.len(),
                bytes: watch.objects.bytes(),
                revisions,
            })
        };
        let mut memories: Vec<WatchMemory> = self.watches.by_id.iter().filter_map(memory).collect();
        memories.sort_by_key(|memory| memory.id);
        memories
    }

    /// The objects of a watch that are in a place, for those who know them.
    pub fn part(&self, memory: &WatchMemory, place: Place, now: Timestamp) -> Part {
        let watch = self.watches.by_id.get(&memory.id);
        let wanted = |key: &ObjectKey| place.has(remembered::hash(key));
        let objects = watch.into_iter().flat_map(|watch| watch.objects.objects_named(wanted));
        let objects = objects.map(|object| (object.key(), Arc::new(object))).collect();
        Part { place, time: now, readers: memory.known_to.clone(), objects }
    }

    /// What an earlier process knew last of an object, for a reader who has not caught up.
    pub(super) fn last_known(
        &self,
        plan: &Plan,
        watch: WatchId,
        object: &ProjectedObject,
    ) -> Option<Arc<ProjectedObject>> {
        let owed = self.watches.by_id.get(&watch)?.owed.get(&plan.reader)?;
        let key = object.key();
        let known = owed.part(&key)?.objects.get(&key)?;
        (known.id().uid == object.id().uid).then(|| known.clone())
    }

    /// Judges what became of one object, which is `current` or gone, before anything that follows.
    pub(super) fn catch_up(
        &mut self,
        plan: &Plan,
        id: WatchId,
        key: &ObjectKey,
        current: Option<&ProjectedObject>,
        now: Timestamp,
        out: &mut Outcome,
    ) {
        let Some(watch) = self.watches.by_id.get(&id).filter(|watch| !watch.owed.is_empty()) else { return };
        if !watch.owed.contains_key(&plan.reader) {
            return;
        }
        let tracked = self.policies.get(&plan.reader.policy);
        if !tracked.is_some_and(|tracked| self.watches.knows_namespaces_for(tracked)) {
            return;
        }
        let owed = self.watches.by_id.get_mut(&id).and_then(|watch| watch.owed.get_mut(&plan.reader));
        let Some(owed) = owed.filter(|owed| !owed.done.contains(key)) else { return };
        owed.done.insert(key.clone());
        let Some(part) = owed.part(key).cloned() else { return };
        let before = part.objects.get(key).map(|known| &**known);
        self.judge_missed(plan, id, (before, current), part.time, now, out);
    }

    /// Judges what became of all objects of a selection that is complete.
    pub(super) fn catch_up_all(&mut self, reader: &Reader, now: Timestamp, out: &mut Outcome) {
        for id in self.feeds(reader) {
            let Some(watch) = self.watches.by_id.get_mut(&id) else { continue };
            let Some(owed) = watch.owed.remove(reader) else { continue };
            let plans = watch.plans.clone();
            let Some(plan) = plans.iter().find(|plan| plan.reader == *reader) else { continue };
            let known = owed.parts.iter().flat_map(|part| part.objects.keys().cloned());
            let keys: BTreeSet<ObjectKey> =
                known.chain(watch.objects.objects().map(|object| object.key())).collect();
            for key in keys.iter().filter(|key| !owed.done.contains(key)) {
                let Some(part) = owed.part(key) else { continue };
                let before = part.objects.get(key).map(|known| &**known);
                let current = self.watches.by_id.get(&id).and_then(|watch| watch.objects.get(key));
                self.judge_missed(plan, id, (before, current.as_ref()), part.time, now, out);
            }
        }
    }

    fn judge_missed(
        &mut self,
        plan: &Plan,
        id: WatchId,
        (before, after): (Option<&ProjectedObject>, Option<&ProjectedObject>),
        since: Timestamp,
        now: Timestamp,
        out: &mut Outcome,
    ) {
        let mut judge = |happened| self.judge_change(plan, id, happened, Some(since), now, out);
        match (before, after) {
            (None, None) => {}
            (None, Some(after)) => judge(Happened::Came(after)),
            (Some(before), None) => judge(Happened::Went(before)),
            (Some(before), Some(after)) if before.id().uid != after.id().uid => {
                judge(Happened::Went(before));
                judge(Happened::Came(after));
            }
            (Some(before), Some(after)) if same(before.root(), after.root(), VERSION) => {}
            (Some(before), Some(after)) => {
                let views = self.watches.by_id.get(&id).map(|watch| watch.views.clone()).unwrap_or_default();
                let comparison = Comparison::new(&views, before, after);
                self.judge_change(plan, id, Happened::Changed(&comparison), Some(since), now, out);
            }
        }
    }
}

/// Whether two states are the same but for the order of fields, in which an API server of another version may write them,
/// and the field at the end of `but`.
fn same(before: &Node, after: &Node, but: &[&str]) -> bool {
    match (before, after) {
        (Node::Map(before), Node::Map(after)) => {
            let left_out = |key: &str| matches!(but, [last] if *last == key);
            let count =
                |entries: &[(Arc<str>, Node)]| entries.iter().filter(|(key, _)| !left_out(key)).count();
            let equal = |(key, value): &(Arc<str>, Node)| {
                let below = match but {
                    [first, rest @ ..] if **first == **key => rest,
                    _ => &[],
                };
                let other = || after.iter().find(|(other, _)| other == key);
                left_out(key) || other().is_some_and(|(_, other)| same(value, other, below))
            };
            count(before) == count(after) && before.iter().all(equal)
        }
        (Node::List(before), Node::List(after)) => {
            before.len() == after.len() && before.iter().zip(after.iter()).all(|(a, b)| same(a, b, &[]))
        }
        _ => before == after,
    }
}
