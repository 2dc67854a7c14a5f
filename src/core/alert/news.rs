//! How a group differs from what a sink was told of it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;

use super::item::member;
use super::known::Known;
use super::notice::{Item, MAX_ITEMS, MAX_SAMPLES, Reason};
use super::told::{Room, ToldGroup};
use super::wanted::Wanted;

/// See the module.
#[derive(Default)]
pub(super) struct News {
    /// Why there is something to tell; none when there is nothing.
    pub(super) reason: Option<Reason>,
    /// Whether the group is told as a summary.
    pub(super) collapsed: bool,
    pub(super) opened: Vec<Item>,
    pub(super) changed: Vec<Item>,
    pub(super) resolved: Vec<Item>,
    /// See [`super::Notice::replaced`].
    pub(super) replaced: Vec<Item>,
    pub(super) occurred: Vec<Item>,
    /// What was told to be open and of which nothing else is known.
    pub(super) held: Vec<Item>,
    pub(super) opened_count: usize,
    pub(super) resolved_count: usize,
    /// Of a summary: what makes each finding the same, as long as they are not too many.
    pub(super) members: BTreeSet<u64>,
    wanted: usize,
    /// Whether something may be open to the sink of which nothing else is known.
    may_be_open: bool,
}

impl News {
    /// None when it cannot be told.
    pub(super) fn of(
        policy: &str,
        wanted: &Wanted,
        told: Option<&ToldGroup>,
        known: &Known<'_>,
        because: &HashMap<String, String>,
        (room, next): (Room, u64),
        now: Timestamp,
    ) -> Option<Self> {
        // Once a summary, always one, until nothing is open: a group at the limit would be told in turns.
        let summary = |told: &ToldGroup| told.summary.is_some() || told.in_flight.summary.is_some();
        let was_summary = told.is_some_and(summary);
        let collapsed = wanted.is_summary() || was_summary || wanted.open.len() > MAX_ITEMS.min(room.items);
        // It is not noted of which selections the findings of a summary are.
        if collapsed && !known.everything() {
            return None;
        }
        let mut news = match collapsed {
            true => Self::of_summary(policy, wanted, told, room.members, now),
            false => Self::one_by_one((policy, next), wanted, told, known, because, now),
        };
        news.collapsed = collapsed;
        news.wanted = wanted.open.len();
        news.occurred.clone_from(&wanted.occurred);
        news.reason = news.why(wanted.is_first_sync(), told.is_some_and(ToldGroup::is_open));
        Some(news)
    }

    fn why(&self, is_first_sync: bool, was_open: bool) -> Option<Reason> {
        let reasons = [
            (self.opened_count > 0 && !was_open && is_first_sync, Reason::Baseline),
            (self.opened_count > 0 && !was_open, Reason::Opened),
            (self.count() == 0 && self.resolved_count > 0, Reason::AllResolved),
            (self.opened_count > 0, Reason::MoreOpened),
            (!self.changed.is_empty() || !self.replaced.is_empty(), Reason::Changed),
            (self.resolved_count > 0, Reason::SomeResolved),
            (!self.occurred.is_empty(), Reason::Occurred),
        ];
        reasons.into_iter().find(|(applies, _)| *applies).map(|(_, reason)| reason)
    }

    /// How many stand open.
    pub(super) fn count(&self) -> usize {
        self.wanted + self.held.len()
    }

    /// Whether there is nothing to tell, and nothing that could be told again.
    pub(super) fn is_nothing(&self) -> bool {
        self.reason.is_none() && self.count() == 0 && !self.may_be_open
    }

    /// Whether all that there is to tell is what is resolved.
    pub(super) fn is_only_resolved(&self) -> bool {
        matches!(self.reason, Some(Reason::SomeResolved | Reason::AllResolved)) && self.occurred.is_empty()
    }

    fn one_by_one(
        (policy, next): (&str, u64),
        wanted: &Wanted,
        told: Option<&ToldGroup>,
        known: &Known<'_>,
        because: &HashMap<String, String>,
        now: Timestamp,
    ) -> Self {
        let mut news = Self::default();
        let (nothing, in_flight) = (BTreeMap::new(), told.map(|told| &told.in_flight));
        let told = told.map_or(&nothing, |told| &told.items);
        let mut open = HashSet::new();
        for (id, finding) in &wanted.open {
            open.insert(id);
            let item = Item::of_finding(policy, finding);
            // What may have arrived is the same when it is told again. A status says times in whole seconds.
            let same = |known: &&Item| known.since.as_second() == item.since.as_second();
            let edition = in_flight.and_then(|in_flight| in_flight.edition(&item)).unwrap_or(next);
            match told.get(id).filter(same) {
                // Resolved and opened again, and nobody was told of that, or never told.
                None => news.opened.push(Item { edition, ..item }),
                Some(before) => {
                    if item.differs(before) || in_flight.is_some_and(|in_flight| in_flight.may_differ(&item))
                    {
                        let previous = Some(before.severity).filter(|severity| *severity != item.severity);
                        news.changed.push(Item { previous_severity: previous, edition, ..item });
                    }
                }
            }
        }
        // What was sent last is what is taken back.
        let sent = in_flight.into_iter().flat_map(|in_flight| &in_flight.items);
        let known_of: BTreeMap<&String, &Item> = told.iter().chain(sent).collect();
        for item in known_of.into_values().filter(|item| !open.contains(&item.id)) {
            if !known.rule(&item.selected_by, &item.rule) {
                match told.get(&item.id) {
                    Some(item) => news.held.push(item.clone()),
                    None => news.may_be_open = true,
                }
                continue;
            }
            let why = because.get(&item.id).cloned().or_else(|| known.gone(&item.rule));
            news.resolved.push(Item { ended: Some(now), ended_because: why, ..item.clone() });
        }
        (news.opened_count, news.resolved_count) = (news.opened.len(), news.resolved.len());
        news
    }

    fn of_summary(
        policy: &str,
        wanted: &Wanted,
        told: Option<&ToldGroup>,
        room: usize,
        now: Timestamp,
    ) -> Self {
        let mut news = Self::default();
        let is = wanted.open.len();
        if is <= room {
            news.members = wanted.open.iter().map(|(id, finding)| member(id, finding.since)).collect();
        }
        let one_by_one = |told: &ToldGroup| {
            let both = told.items.iter().chain(&told.in_flight.items);
            both.map(|(id, item)| (id.clone(), item.clone())).collect::<BTreeMap<String, Item>>()
        };
        let one_by_one = told.map(one_by_one).unwrap_or_default();
        news.replaced = one_by_one.into_values().map(|item| Item { ended: Some(now), ..item }).collect();
        let summary = told.and_then(|told| told.summary.clone()).unwrap_or_default();
        let told_items = told.into_iter().flat_map(|told| told.items.values());
        let told_items = told_items.map(|item| member(&item.id, item.since));
        let before: BTreeSet<u64> = summary.members.into_iter().chain(told_items).collect();
        let was = summary.count + told.map_or(0, |told| told.items.len());
        let are_known = before.len() == was && news.members.len() == is;
        let in_flight = told.and_then(|told| told.in_flight.summary.clone()).unwrap_or_default();
        (news.opened_count, news.resolved_count) = match are_known {
            true => {
                let maybe: BTreeSet<u64> = before.union(&in_flight.members).copied().collect();
                (news.members.difference(&before).count(), maybe.difference(&news.members).count())
            }
            false => (is.saturating_sub(was), was.max(in_flight.count).saturating_sub(is)),
        };
        let is_new = wanted.open.iter().filter(|(id, finding)| !before.contains(&member(id, finding.since)));
        let first = is_new.take(if news.opened_count > 0 { MAX_SAMPLES } else { 0 });
        news.opened = first.map(|(_, finding)| Item::of_finding(policy, finding)).collect();
        news
    }
}
