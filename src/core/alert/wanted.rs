//! What a sink should know of a policy: its findings in groups, as its route has them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::desk::Truth;
use super::item::{finding_id, id};
use super::known::Known;
use super::notice::Item;
use super::route::{Baseline, Route};
use super::told::Told;
use crate::core::finding::Finding;

/// Most groups of one policy that are told apart to one sink; what is in none of them is one more, told as a summary.
pub const MAX_GROUPS: usize = 200;
/// By what the group of what was wrong before is told apart from others.
const FIRST_SYNC: &str = "first sync";
/// By what the group of what is in no other group is told apart from others.
const REST: &str = "rest";

/// One group.
#[derive(Default)]
pub(super) struct Wanted {
    pub(super) by: BTreeMap<String, String>,
    /// Worst first, with their identities.
    pub(super) open: Vec<(String, Arc<Finding>)>,
    /// Oldest first.
    pub(super) occurred: Vec<Item>,
}

impl Wanted {
    /// Whether it is what was wrong before.
    pub(super) fn is_first_sync(&self) -> bool {
        self.by.contains_key(FIRST_SYNC)
    }

    /// Whether it is told as a summary, however small it is.
    pub(super) fn is_summary(&self) -> bool {
        self.is_first_sync() || self.by.contains_key(REST)
    }
}

/// All groups.
#[derive(Default)]
pub(super) struct Wants {
    pub(super) groups: BTreeMap<String, Wanted>,
    /// Findings that stay untold because their object asks for silence.
    pub(super) silenced: usize,
    /// When the first of them is not silenced any more.
    pub(super) next: Option<Timestamp>,
    /// By the identity of a finding: why the sink is not to know it, though it is open.
    pub(super) because: HashMap<String, String>,
    /// Groups that are told apart.
    apart: usize,
}

impl Wants {
    pub(super) fn of(truth: &Truth, route: &Route, known: &Known<'_>, told: &Told, now: Timestamp) -> Self {
        let apart = told.groups.values().filter(|group| !group.by.contains_key(REST)).count();
        let mut wants = Self { apart, ..Self::default() };
        let told_as_news = told_as_news(told);
        for finding in truth.open.iter().filter(|finding| known.finding(finding)) {
            let Some(since) = known.news_since(finding, told) else { continue };
            let id = finding_id(&told.policy, &finding.key);
            if !route.admits(finding) {
                wants.because.insert(id, "it is no longer one that is told here".to_owned());
                continue;
            }
            if let Some(until) = wants.silenced_until(finding, now) {
                wants.silenced += 1;
                wants.because.insert(id, format!("it is silenced until {until}"));
                continue;
            }
            let is_old = finding.since <= since && !told_as_news.contains(id.as_str());
            let by = match route.baseline {
                Baseline::Nothing if is_old => continue,
                Baseline::Summary if is_old => [(FIRST_SYNC.to_owned(), "open before".to_owned())].into(),
                _ => route.group(finding),
            };
            wants.group(by, told).open.push((id, finding.clone()));
        }
        for occurrence in truth.history.latest() {
            let finding = &occurrence.finding;
            // What occurred before is no news, and stays none.
            let is_news = known.news_since(finding, told).is_some_and(|since| finding.since > since);
            if !is_news || !known.finding(finding) || !route.admits(finding) {
                continue;
            }
            let item = Item::of_occurrence(&told.policy, occurrence);
            if !told.occurrences.contains(&item.id) && wants.silenced_until(finding, now).is_none() {
                wants.group(route.group(finding), told).occurred.insert(0, item);
            }
        }
        wants
    }

    fn silenced_until(&mut self, finding: &Finding, now: Timestamp) -> Option<Timestamp> {
        let until = finding.tags.silenced_until(now)?;
        self.next = Some(self.next.map_or(until, |next| next.min(until)));
        Some(until)
    }

    fn group(&mut self, by: BTreeMap<String, String>, told: &Told) -> &mut Wanted {
        let mut group = group_id(told, &by);
        let mut by = by;
        if !self.groups.contains_key(&group) && !told.groups.contains_key(&group) {
            if self.apart >= MAX_GROUPS {
                by = BTreeMap::from([(REST.to_owned(), "all other groups".to_owned())]);
                group = group_id(told, &by);
            } else {
                self.apart += 1;
            }
        }
        let wanted = self.groups.entry(group).or_default();
        wanted.by = by;
        wanted
    }
}

/// What the sink was told of as news, and so stays where it is.
fn told_as_news(told: &Told) -> HashSet<&str> {
    let groups = told.groups.values().filter(|group| !group.by.contains_key(FIRST_SYNC));
    groups.flat_map(|group| group.items.keys().map(String::as_str)).collect()
}

fn group_id(told: &Told, by: &BTreeMap<String, String>) -> String {
    let by = by.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
    let texts: Vec<&str> = [told.sink.as_str(), told.policy.as_str()].into_iter().chain(by).collect();
    id(texts.iter().copied())
}
