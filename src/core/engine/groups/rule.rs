//! The groups of one rule: which objects belong to which, which groups are expected, and which are to be judged.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use crate::core::cel::{Aggregates, Kept};
use crate::core::event::WatchId;
use crate::core::members::Member;
use crate::core::project::ProjectedObject;
use crate::core::rules::{Expected, Group, Keys};

/// Who says what an object is to the groups: a selection, by its position in the policy, and the watch that feeds it.
pub(in crate::core::engine) type Witness = (usize, WatchId);

/// The key that a witness says.
#[derive(Debug, Clone, PartialEq)]
struct Said {
    by: Witness,
    keys: Keys,
}

/// Whether a group is to be judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Due {
    #[default]
    No,
    /// It is in the queue.
    Queued,
    /// It is large, and waits for its time.
    Waiting,
    /// It is in the queue, and its time has come.
    Released,
}

/// One group.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Its members, each with the watch that its state is read from.
    members: BTreeMap<Member, WatchId>,
    /// How many say that it is expected.
    expected: usize,
    due: Due,
    /// Whether it was judged before, so that there is a verdict to go by while it waits.
    judged: bool,
    /// What the members contribute, when the rule reads nothing else of them.
    kept: Option<Kept<Member>>,
}

impl State {
    pub(super) fn members(&self) -> impl Iterator<Item = (&Member, WatchId)> {
        self.members.iter().map(|(member, watch)| (member, *watch))
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// What the members contribute, when that is all that judging takes.
    pub(super) fn kept(&self) -> Option<&Kept<Member>> {
        self.kept.as_ref().filter(|kept| !kept.lacks_values())
    }

    /// Whether it is there no longer.
    pub(super) fn is_gone(&self) -> bool {
        self.members.is_empty() && self.expected == 0
    }

    /// Whether it need not wait for its time: it has come, or nothing is known of the group yet.
    pub(super) fn is_free(&self) -> bool {
        self.due == Due::Released || !self.judged
    }
}

/// See the module.
#[derive(Debug)]
pub(in crate::core::engine) struct RuleGroups {
    /// Name of the rule.
    pub(super) name: Arc<str>,
    groups: BTreeMap<Arc<str>, State>,
    /// What each object belongs to. The first of those who see it decides; it counts once.
    members: HashMap<Member, Vec<Said>>,
    /// What each object names as expected.
    naming: HashMap<Member, Vec<Said>>,
    /// Groups to judge, the first to change first.
    queue: VecDeque<Arc<str>>,
    /// Whether all objects are known, so that groups may be judged.
    pub(super) complete: bool,
    /// Whether what was open of groups that are not there was resolved, since all objects are known.
    pub(super) reviewed: bool,
    /// Whether there are groups that were never judged, so that what is not open is not known to be well.
    fresh: bool,
    /// See [`Group::aggregates`].
    aggregates: Option<Arc<Aggregates>>,
}

/// An object that is a member, or what can read one.
pub(super) trait Read {
    /// The object that a witness sees, as it is now.
    fn read(&self, by: Witness, member: &Member) -> Option<ProjectedObject>;
}

impl RuleGroups {
    pub(super) fn new(name: Arc<str>, rule: &Group) -> Self {
        let mut groups = Self {
            name,
            groups: BTreeMap::new(),
            members: HashMap::new(),
            naming: HashMap::new(),
            queue: VecDeque::new(),
            complete: false,
            reviewed: false,
            fresh: true,
            aggregates: rule.aggregates().cloned(),
        };
        if let Expected::Values(keys) = &rule.expected {
            keys.iter().for_each(|key| groups.expect(key, true));
        }
        groups
    }

    /// An object, as it is now, is for one of those who see it a member of the groups with these keys; of none when there
    /// is no object. `others` reads the object as others see it.
    pub(super) fn place(
        &mut self,
        member: &Member,
        by: Witness,
        now: Option<(&Keys, &ProjectedObject)>,
        others: &impl Read,
    ) {
        let (before, after) = say(&mut self.members, member, by, now.map(|(keys, _)| keys));
        let stays = |key: &&Arc<str>| after.as_ref().is_some_and(|after| after.keys.contains(key));
        for key in before.iter().flat_map(|said| said.keys.iter()).filter(|key| !stays(key)) {
            self.leave(member, key);
        }
        let Some(Said { by: first, keys }) = after else {
            return;
        };
        if first == by {
            if let Some((_, object)) = now {
                keys.iter().for_each(|key| self.join(member, first, key, object));
            }
        } else if before.is_none_or(|before| before.by != first) {
            // What another one sees counts from here on.
            match others.read(first, member) {
                Some(object) => keys.iter().for_each(|key| self.join(member, first, key, &object)),
                // It is about to tell that it is gone.
                None => keys.iter().for_each(|key| self.leave(member, key)),
            }
        }
    }

    fn join(&mut self, member: &Member, by: Witness, key: &Arc<str>, object: &ProjectedObject) {
        let contributions =
            self.aggregates.as_ref().map(|aggregates| aggregates.contributions(object.root(), key));
        self.change(key, |group| {
            group.members.insert(member.clone(), by.1);
            match (&mut group.kept, contributions) {
                (Some(kept), Some(contributions)) => kept.insert(member, contributions),
                _ => true,
            }
        });
    }

    fn leave(&mut self, member: &Member, key: &Arc<str>) {
        self.change(key, |group| {
            if let Some(kept) = &mut group.kept {
                kept.remove(member);
            }
            group.members.remove(member).is_some()
        });
    }

    /// An object names, for one of those who see it, the groups with these keys as expected.
    pub(super) fn naming(&mut self, member: &Member, by: Witness, keys: Option<&Keys>) {
        let (before, after) = say(&mut self.naming, member, by, keys);
        let (before, after) = (before.map(|said| said.keys), after.map(|said| said.keys));
        if before != after {
            after.iter().flatten().for_each(|key| self.expect(key, true));
            before.iter().flatten().for_each(|key| self.expect(key, false));
        }
    }

    /// One of those who see objects sees none any more.
    pub(super) fn lose(&mut self, by: Witness, others: &impl Read) {
        let of = |said: &HashMap<Member, Vec<Said>>| -> Vec<Member> {
            let seen = said.iter().filter(|(_, said)| said.iter().any(|said| said.by == by));
            seen.map(|(member, _)| member.clone()).collect()
        };
        let (members, naming) = (of(&self.members), of(&self.naming));
        members.iter().for_each(|member| self.place(member, by, None, others));
        naming.iter().for_each(|member| self.naming(member, by, None));
    }

    fn expect(&mut self, key: &Arc<str>, is_expected: bool) {
        self.change(key, |group| {
            group.expected = if is_expected { group.expected + 1 } else { group.expected.saturating_sub(1) };
            true
        });
    }

    /// Changes a group; if `change` says that it did, the group is to be judged.
    fn change(&mut self, key: &Arc<str>, change: impl FnOnce(&mut State) -> bool) {
        let empty = || State { kept: self.aggregates.clone().map(Kept::new), ..State::default() };
        let group = self.groups.entry(key.clone()).or_insert_with(empty);
        if change(group) && group.due == Due::No {
            group.due = Due::Queued;
            self.queue.push_back(key.clone());
        }
    }

    /// All groups are to be judged.
    pub(super) fn queue_all(&mut self) {
        let keys: Vec<Arc<str>> = self.groups.keys().cloned().collect();
        keys.iter().for_each(|key| self.change(key, |_| true));
    }

    /// A group is to be judged, because of the time.
    pub(super) fn queue_again(&mut self, key: &Arc<str>) {
        if self.groups.contains_key(key) {
            self.change(key, |_| true);
        }
    }

    /// Whether a group may be judged now.
    pub(super) fn is_ready(&self) -> bool {
        self.complete && !self.queue.is_empty()
    }

    /// The next group to judge.
    pub(super) fn next(&mut self) -> Option<Arc<str>> {
        let next = if self.complete { self.queue.pop_front() } else { None };
        self.fresh &= !(self.complete && self.queue.is_empty());
        next
    }

    /// Whether all objects are known, and groups still to be judged for the first time.
    pub(super) fn is_fresh(&self) -> bool {
        self.complete && self.fresh
    }

    /// All objects are known, or not any more.
    pub(super) fn set_complete(&mut self, complete: bool) {
        self.complete = complete;
        self.fresh &= !(complete && self.queue.is_empty());
    }

    pub(super) fn get(&self, key: &str) -> Option<&State> {
        self.groups.get(key)
    }

    #[cfg(test)]
    pub(super) fn all(&self) -> impl Iterator<Item = (&Arc<str>, &State)> {
        self.groups.iter()
    }

    /// It has to wait for its time.
    pub(super) fn wait(&mut self, key: &str) {
        if let Some(group) = self.groups.get_mut(key) {
            group.due = Due::Waiting;
        }
    }

    /// A group, when it is one that waits for its time.
    pub(super) fn waiting(&self, key: &str) -> Option<&State> {
        self.groups.get(key).filter(|group| group.due == Due::Waiting)
    }

    /// Its time has come.
    pub(super) fn release(&mut self, key: &Arc<str>) {
        if let Some(group) = self.groups.get_mut(key) {
            group.due = Due::Released;
            self.queue.push_back(key.clone());
        }
    }

    /// It cannot be judged yet, and is not judged before it is queued again.
    pub(super) fn put_off(&mut self, key: &str) {
        self.fresh = true;
        if let Some(group) = self.groups.get_mut(key) {
            group.due = Due::No;
        }
    }

    /// It is judged now; what becomes of it from here on is another change.
    pub(super) fn begin(&mut self, key: &str) {
        if let Some(group) = self.groups.get_mut(key) {
            (group.due, group.judged) = (Due::No, true);
        }
    }

    /// It is there no longer.
    pub(super) fn remove(&mut self, key: &str) {
        self.groups.remove(key);
    }

    pub(super) fn contains(&self, key: &str) -> bool {
        self.groups.contains_key(key)
    }
}

/// Notes what one of those who see an object says, and returns what the first of them said before and says now.
fn say(
    said: &mut HashMap<Member, Vec<Said>>,
    member: &Member,
    by: Witness,
    keys: Option<&Keys>,
) -> (Option<Said>, Option<Said>) {
    let keys = keys.filter(|keys| !keys.is_empty());
    let Some(all) = said.get_mut(member) else {
        let after = keys.map(|keys| Said { by, keys: keys.clone() });
        if let Some(after) = &after {
            said.insert(member.clone(), vec![after.clone()]);
        }
        return (None, after);
    };
    let before = all.first().cloned();
    all.retain(|said| said.by != by);
    if let Some(keys) = keys {
        let at = all.partition_point(|said| said.by < by);
        all.insert(at, Said { by, keys: keys.clone() });
    }
    let after = all.first().cloned();
    if after.is_none() {
        said.remove(member);
    }
    (before, after)
}
