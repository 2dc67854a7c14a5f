//! What one sink was told of one policy: the part that survives a restart.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::notice::{Item, Reason};

/// Most findings of a policy that one sink is told of one by one; groups that come after that are told as summaries.
pub const MAX_ONE_BY_ONE: usize = 3_000;
/// Most findings in summaries, of one policy, whose identities are remembered; of more only their number is.
pub const MAX_MEMBERS: usize = 10_000;

/// Most findings of a group of which it is remembered that a notice of them may have arrived.
pub const MAX_IN_FLIGHT: usize = 200;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// Name of the sink.
    pub sink: String,
    /// Name of the policy.
    pub policy: String,
    /// Its UID.
    pub uid: String,
    /// For each selection that was complete, since when its findings are news to the sink.
    pub selections: BTreeMap<String, Timestamp>,
    /// By [`super::Group::id`]: those of which something stands open, or was refused.
    pub groups: BTreeMap<String, ToldGroup>,
    /// Identities of the occurrences that were told, as far as they are still known.
    pub occurrences: BTreeSet<String>,
    /// All occurrences of the policy when the sink was last told of one.
    pub occurred: u64,
    /// The sequence that the next group begins with: more than that of any group that is over, so that what is told
    /// later is never taken for what was told before.
    #[serde(default)]
    pub next_sequence: u64,
}

impl Told {
    /// A group, which is a new one if nothing of it was told.
    pub(super) fn group(&mut self, id: &str) -> &mut ToldGroup {
        let sequence = self.next_sequence;
        let new = || ToldGroup { sequence, ..ToldGroup::default() };
        self.groups.entry(id.to_owned()).or_insert_with(new)
    }

    /// Forgets a group that is over; whether there was one.
    pub(super) fn forget(&mut self, id: &str) -> bool {
        let Some(group) = self.groups.remove(id) else { return false };
        self.next_sequence = self.next_sequence.max(group.sequence.saturating_add(1));
        true
    }

    /// How much is remembered of all groups.
    pub(super) fn remembered(&self) -> Room {
        let groups = || self.groups.values();
        Room {
            items: groups().map(|group| group.items.len()).sum(),
            members: groups().filter_map(|group| Some(group.summary.as_ref()?.members.len())).sum(),
        }
    }
}

/// Numbers of findings, by the form in which they are told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) items: usize,
    pub(super) members: usize,
}

impl Room {
    /// What may be remembered of a group, of which `told` is, when so much is remembered of all.
    pub(super) fn left_for(self, told: Option<&ToldGroup>) -> Self {
        let own = told.map_or(0, |group| group.items.len());
        let members =
            told.and_then(|group| group.summary.as_ref()).map_or(0, |summary| summary.members.len());
        Self {
            items: (MAX_ONE_BY_ONE + own).saturating_sub(self.items),
            members: (MAX_MEMBERS + members).saturating_sub(self.members),
        }
    }
}

/// What was told of one group.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToldGroup {
    /// As [`super::Group::by`].
    pub by: BTreeMap<String, String>,
    /// What was told to stand open, by identity. Empty when it was told as a summary.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub items: BTreeMap<String, Item>,
    /// Set when it was told as a summary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
    /// What it may know beside that: it was sent, and it is not known whether it arrived.
    #[serde(default, skip_serializing_if = "InFlight::is_empty")]
    pub in_flight: InFlight,
    /// When; the beginning of time if it never was.
    pub at: Timestamp,
    /// One more for each notice of it that arrived, and for each that contradicts one that may have arrived.
    pub sequence: u64,
    /// What the sink gave as reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The last notice, when it was refused for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead: Option<Dead>,
}

impl ToldGroup {
    /// Whether the sink takes something of it to be open.
    pub fn is_open(&self) -> bool {
        !self.items.is_empty() || self.summary.is_some()
    }

    /// Whether it may.
    pub fn may_be_open(&self) -> bool {
        self.is_open() || !self.in_flight.is_empty()
    }

    /// Takes what the sink knows to be open: these, or so many and their hashes.
    pub(super) fn note_open(&mut self, items: &[Item], summary: Option<(usize, BTreeSet<u64>)>) {
        let one_by_one = items.iter().filter(|_| summary.is_none());
        self.items = one_by_one.map(|item| (item.id.clone(), item.clone())).collect();
        self.summary = summary.map(|(count, members)| Summary { count, members });
    }
}

/// What was told to stand open, of a group that is told as a summary.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// How many.
    pub count: usize,
    /// A hash of each identity; none when there are more than [`MAX_MEMBERS`].
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub members: BTreeSet<u64>,
}

/// What was sent of a group since the last notice that is known to have arrived. Whatever of it ends is told to be
/// resolved, so that nothing stays open at a sink because the operator was killed, or a connection broke.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InFlight {
    /// What was told to have opened or changed, by identity; at most [`MAX_IN_FLIGHT`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub items: BTreeMap<String, Item>,
    /// Those of them of which different things were sent.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unsure: BTreeSet<String>,
    /// The same, told as a summary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
}

impl InFlight {
    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty() && self.summary.is_none()
    }

    /// Whether the sink may know something else of a finding than this.
    pub(super) fn may_differ(&self, item: &Item) -> bool {
        self.unsure.contains(&item.id) || self.items.get(&item.id).is_some_and(|sent| item.differs(sent))
    }

    /// Adds what is about to be sent.
    pub(super) fn add<'i>(
        &mut self,
        news: impl Iterator<Item = &'i Item>,
        summary: Option<(usize, &BTreeSet<u64>)>,
    ) {
        let Some((count, members)) = summary else {
            let room = MAX_IN_FLIGHT.saturating_sub(self.items.len());
            let known = |item: &&Item| self.items.contains_key(&item.id);
            let (again, first): (Vec<&Item>, Vec<&Item>) = news.partition(known);
            let other =
                again.iter().filter(|item| self.items.get(&item.id).is_some_and(|known| item.differs(known)));
            self.unsure.extend(other.map(|item| item.id.clone()));
            let news = again.into_iter().chain(first.into_iter().take(room));
            self.items.extend(news.map(|item| (item.id.clone(), item.clone())));
            return;
        };
        let known = self.summary.take().unwrap_or_default();
        let members: BTreeSet<u64> = known.members.union(members).copied().collect();
        let fits = members.len() <= MAX_MEMBERS && !members.is_empty();
        self.summary = Some(Summary {
            count: if fits { members.len() } else { count.max(known.count) },
            members: if fits { members } else { BTreeSet::new() },
        });
    }
}

/// A notice that was refused for good.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dead {
    /// A hash of what it said.
    pub content: u64,
    /// Why it was owed.
    pub reason: Reason,
    /// What it told of first.
    pub finding: String,
    /// What the sink said.
    pub error: String,
    /// When.
    pub at: Timestamp,
    /// Generation of the sink that refused it.
    pub generation: i64,
}
