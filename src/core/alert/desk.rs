//! What is owed to one sink of one policy: what is true against what the sink was told.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::item::{content, id};
use super::known::Known;
use super::news::News;
use super::notice::{Group, Item, MAX_SAMPLES, Notice, Reason, Totals};
use super::route::Route;
use super::told::{Begun, Dead, InFlight, Told, ToldGroup};
use super::wanted::{Wanted, Wants};
use crate::core::finding::{Finding, Severity};
use crate::core::history::History;
use crate::core::policy::CompiledPolicy;

/// How long a notice holds for a sink that does not hear again of itself.
const HOLDS: SignedDuration = SignedDuration::from_hours(24);
/// So many times in a row a sink may miss what it is told again before what is open expires there.
const RESENDS_MISSED: i32 = 4;

/// What is true of a policy.
#[derive(Debug, Clone)]
pub struct Truth {
    /// The policy, while it exists.
    pub policy: Option<Arc<CompiledPolicy>>,
    /// Its open findings, worst first.
    pub open: Vec<Arc<Finding>>,
    /// Its selections for which that is all there is to know; that of no name stands for groups of objects.
    pub settled: HashSet<Arc<str>>,
    /// What occurred.
    pub history: History,
}

/// What has to be known of a sink to say what is owed to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Terms {
    /// Its name.
    pub sink: Arc<str>,
    /// Generation of its spec: what was refused for good is tried again by another.
    pub generation: i64,
    /// How often it has to hear again of what is open, of itself.
    pub resend: Option<SignedDuration>,
}

/// The times that hold for one route.
#[derive(Debug, Clone, Copy)]
struct Pace {
    wait: SignedDuration,
    interval: SignedDuration,
    resend: Option<SignedDuration>,
}

impl Terms {
    fn pace(&self, route: Option<&Route>) -> Pace {
        // A sink that has to hear again and again groups by itself, and nobody reads each notice.
        let (wait, interval) = if self.resend.is_some() { (1, 5) } else { (10, 60) };
        let Some(route) = route else {
            return Pace { wait: SignedDuration::ZERO, interval: SignedDuration::ZERO, resend: None };
        };
        Pace {
            wait: route.wait.unwrap_or(SignedDuration::from_secs(wait)),
            interval: route.interval.unwrap_or(SignedDuration::from_secs(interval)),
            resend: route.resend.or(self.resend),
        }
    }
}

/// What is to be done.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decision {
    /// To be told now, the worst first.
    pub due: Vec<Outgoing>,
    /// When there is something to be told next, or to decide anew, if nothing happens before.
    pub next: Option<Timestamp>,
    /// Groups of which there is news, due or not.
    pub owed: usize,
    /// Findings for the sink that stand open.
    pub open: usize,
    /// Findings for the sink that are not told because their object asks for silence.
    pub silenced: usize,
    /// Until when nothing new is told.
    pub muted_until: Option<Timestamp>,
}

impl Decision {
    fn ask_again(&mut self, at: Timestamp) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }
}

/// A notice, and what is noted when it has arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    /// The notice.
    pub notice: Notice,
    /// Since when it is owed.
    pub owed_since: Timestamp,
    /// All occurrences of the policy when it was made.
    occurred: u64,
    members: BTreeSet<u64>,
    begun: Begun,
}

/// What one sink was told of one policy, and since when it is owed what it was not told.
#[derive(Debug, Clone, Default)]
pub struct Desk {
    told: Told,
    /// By group: since when there is news.
    waiting: HashMap<String, Timestamp>,
    /// Whether `told` is other than it was when it was last written down.
    unsaved: bool,
}

impl Desk {
    /// Goes on from what an earlier process noted.
    pub fn restored(told: Told) -> Self {
        Self { told, ..Self::default() }
    }

    /// Of a sink and a policy that have nothing to do with each other yet.
    pub fn new(sink: &str, policy: &str, uid: &str) -> Self {
        let told = Told { sink: sink.into(), policy: policy.into(), uid: uid.into(), ..Told::default() };
        Self::restored(told)
    }

    /// What was told.
    pub fn told(&self) -> &Told {
        &self.told
    }

    /// Whether it has to be written down, which is taken to be done from now on.
    pub fn take_unsaved(&mut self) -> bool {
        std::mem::take(&mut self.unsaved)
    }

    /// The groups of which the last notice was refused for good, and that notice.
    pub fn dead(&self) -> impl Iterator<Item = (&ToldGroup, &Dead)> {
        self.told.groups.values().filter_map(|group| Some((group, group.dead.as_ref()?)))
    }

    /// What is to be told now and when to ask again. Nothing of what is not known: neither is it news, nor is it
    /// resolved.
    pub fn decide(&mut self, truth: &Truth, terms: &Terms, now: Timestamp) -> Decision {
        let policy = truth.policy.as_deref().filter(|policy| *policy.uid == *self.told.uid);
        // What was found before is forgotten and not resolved; it is found again.
        if policy.is_some_and(|policy| policy.suspended) {
            return Decision::default();
        }
        let route = policy.and_then(|policy| policy.routes.iter().find(|route| route.sink == terms.sink));
        let known = Known { policy, settled: &truth.settled };
        self.note_first_sync(&known, now);
        let wants = match route {
            Some(route) => Wants::of(truth, route, &known, &self.told, now),
            None => Wants::default(),
        };
        self.forget_occurrences(truth);
        let mut decision = Decision {
            silenced: wants.silenced,
            next: wants.next,
            muted_until: route.and_then(|route| route.muted_until(now)),
            ..Decision::default()
        };
        let groups: BTreeSet<String> = wants.groups.keys().chain(self.told.groups.keys()).cloned().collect();
        self.waiting.retain(|group, _| groups.contains(group));
        let (nothing, remembered) = (Wanted::default(), self.told.remembered());
        for group in groups {
            let wanted = wants.groups.get(&group).unwrap_or(&nothing);
            let told = self.told.groups.get(&group);
            let Some(news) = News::of(
                &self.told.policy,
                wanted,
                told,
                &known,
                &wants.because,
                (remembered.left_for(told), self.told.begun + 1),
                now,
            ) else {
                continue;
            };
            decision.open += news.count();
            self.settle_group(&group, wanted, news, (truth, terms, route), now, &mut decision);
        }
        decision.due.sort_by_key(|out| (Reverse(out.notice.severity()), out.owed_since));
        decision
    }

    /// Whether something of a group is to be told, now or later.
    fn settle_group(
        &mut self,
        group: &str,
        wanted: &Wanted,
        news: News,
        (truth, terms, route): (&Truth, &Terms, Option<&Route>),
        now: Timestamp,
        decision: &mut Decision,
    ) {
        let pace = terms.pace(route);
        let send_resolved = route.is_none_or(|route| route.send_resolved);
        if news.is_nothing() {
            self.waiting.remove(group);
            // What was refused is over.
            self.unsaved |= self.told.groups.remove(group).is_some();
            return;
        }
        if !send_resolved && news.is_only_resolved() {
            self.waiting.remove(group);
            self.note_open(group, &news);
            self.unsaved = true;
            return;
        }
        let told = self.told.groups.get(group);
        let resend = told.filter(|told| told.is_open() && news.count() > 0).zip(pace.resend);
        let resend = resend.map(|(told, resend)| later(told.at.max(told.resent.unwrap_or(told.at)), resend));
        let content = news_content(&news);
        let dead = told.and_then(|told| told.dead.as_ref());
        let is_dead = dead.is_some_and(|dead| dead.content == content && dead.generation == terms.generation);
        let hold = pace.resend.map_or(HOLDS, |resend| resend * RESENDS_MISSED);
        if let Some(reason) = news.reason.filter(|_| !is_dead) {
            let since = *self.waiting.entry(group.to_owned()).or_insert(now);
            let due = match told.filter(|told| told.is_open()) {
                None => later(since, pace.wait),
                Some(told) => since.max(later(told.at, pace.interval)),
            };
            let due = decision.muted_until.map_or(due, |until| due.max(until));
            decision.owed += 1;
            if due <= now {
                let begun =
                    told.and_then(|told| told.in_flight.begun).filter(|begun| begun.content == content);
                let begun = begun.unwrap_or(Begun { content, number: self.told.begun + 1 });
                let notice =
                    self.outgoing((group, begun), reason, wanted, &news, (truth, send_resolved, hold), now);
                let (occurred, members) = (truth.history.total(), news.members);
                decision.due.push(Outgoing { notice, owed_since: since, occurred, members, begun });
                return;
            }
            decision.ask_again(due);
        } else {
            self.waiting.remove(group);
        }
        // Also while news waits: who does not hear again of what is open takes it for resolved.
        let Some(resend) = resend else { return };
        if resend > now {
            decision.ask_again(resend);
            return;
        }
        let notice = self.again(group, wanted, &news, hold, now);
        let (occurred, members) = (truth.history.total(), BTreeSet::new());
        let begun = Begun { content: 0, number: 0 };
        decision.due.push(Outgoing { notice, owed_since: resend, occurred, members, begun });
    }

    /// Notes that a notice is about to be sent. That has to be written down before it is, if [`Self::take_unsaved`] says
    /// so: who is killed then does not know whether it arrived.
    pub fn begin(&mut self, out: &Outgoing) {
        let notice = &out.notice;
        if notice.reason == Reason::Resend {
            return;
        }
        self.told.begun = self.told.begun.max(out.begun.number);
        let group = self.told.groups.entry(notice.group.id.clone()).or_default();
        let before = (group.by.clone(), group.in_flight.clone());
        group.by.clone_from(&notice.group.by);
        group.in_flight.begun = Some(out.begun);
        group.in_flight.end(&notice.resolved);
        if notice.totals.opened + notice.totals.changed > 0 {
            let news = notice.opened.iter().chain(&notice.changed);
            group.in_flight.add(news, notice.collapsed.then_some((notice.totals.open, &out.members)));
        }
        self.unsaved |= before.0 != group.by || before.1 != group.in_flight;
    }

    /// Notes that a notice arrived.
    pub fn sent(&mut self, out: &Outgoing, reference: Option<String>, now: Timestamp) {
        let notice = &out.notice;
        if notice.reason == Reason::Resend {
            if let Some(group) = self.told.groups.get_mut(&notice.group.id) {
                group.resent = Some(now);
            }
            return;
        }
        self.unsaved = true;
        self.waiting.remove(&notice.group.id);
        self.note_occurred(out);
        if !notice.is_open() {
            self.told.groups.remove(&notice.group.id);
            return;
        }
        let group = self.told.groups.entry(notice.group.id.clone()).or_default();
        group.by.clone_from(&notice.group.by);
        (group.at, group.resent, group.dead) = (now, None, None);
        group.reference = reference.or(group.reference.take());
        group.in_flight = InFlight::default();
        group.note_open(&notice.open, notice.collapsed.then(|| (notice.totals.open, out.members.clone())));
    }

    /// Notes that a notice was refused for good by the sink as `generation` of its spec has it.
    pub fn refused(&mut self, out: &Outgoing, error: String, generation: i64, now: Timestamp) {
        let notice = &out.notice;
        if notice.reason == Reason::Resend {
            // It took the same before; the next attempt is at its time.
            return self.sent(out, None, now);
        }
        self.unsaved = true;
        self.waiting.remove(&notice.group.id);
        // The next notice does not tell of them: it would be refused again and again.
        self.note_occurred(out);
        let first = [&notice.opened, &notice.changed, &notice.occurred, &notice.resolved, &notice.open];
        let finding = first.iter().find_map(|items| items.first());
        let group = self.told.groups.entry(notice.group.id.clone()).or_default();
        group.by.clone_from(&notice.group.by);
        group.in_flight = InFlight::default();
        group.dead = Some(Dead {
            content: out.begun.content,
            reason: notice.reason,
            finding: finding.map_or_else(String::new, |item| format!("{}: {}", item.rule, item.subject())),
            error,
            at: now,
            generation,
        });
    }

    /// Whether nothing is left to be remembered of a policy that is gone, or names the sink no more.
    pub fn is_done(&self, truth: &Truth, sink: &str) -> bool {
        let policy = truth.policy.as_deref().filter(|policy| *policy.uid == *self.told.uid);
        let is_named = policy.is_some_and(|policy| policy.routes.iter().any(|route| *route.sink == *sink));
        !is_named && !self.told.groups.values().any(ToldGroup::may_be_open)
    }

    /// From the first time that a selection is complete on, what opens is news.
    fn note_first_sync(&mut self, known: &Known<'_>, now: Timestamp) {
        let Some(policy) = known.policy else { return };
        let judged = policy.selections.iter().filter(|selection| selection.is_judged());
        for name in judged.map(|selection| &*selection.name).filter(|name| known.selection(name)) {
            if !self.told.selections.contains_key(name) {
                self.told.selections.insert(name.to_owned(), now);
                self.unsaved = true;
            }
        }
    }

    /// What is not known any more cannot be told again.
    fn forget_occurrences(&mut self, truth: &Truth) {
        if self.told.occurrences.is_empty() {
            return;
        }
        let policy = &self.told.policy;
        let known: HashSet<String> =
            truth.history.latest().map(|occurrence| Item::of_occurrence(policy, occurrence).id).collect();
        self.told.occurrences.retain(|id| known.contains(id));
    }

    fn note_occurred(&mut self, out: &Outgoing) {
        if !out.notice.occurred.is_empty() {
            self.told.occurrences.extend(out.notice.occurred.iter().map(|item| item.id.clone()));
            self.told.occurred = out.occurred;
        }
    }

    fn note_open(&mut self, group: &str, news: &News) {
        let Some(told) = self.told.groups.get_mut(group) else { return };
        news.resolved.iter().for_each(|item| drop(told.items.remove(&item.id)));
        if news.collapsed {
            told.note_open(&[], Some((news.count(), news.members.clone())));
        }
        if news.count() == 0 {
            self.told.groups.remove(group);
        }
    }

    fn outgoing(
        &self,
        (group, begun): (&str, Begun),
        reason: Reason,
        wanted: &Wanted,
        news: &News,
        (truth, send_resolved, hold): (&Truth, bool, SignedDuration),
        now: Timestamp,
    ) -> Notice {
        let told = self.told.groups.get(group);
        let most = if news.collapsed { MAX_SAMPLES } else { usize::MAX };
        let cut = |items: &[Item]| items.iter().take(most).cloned().collect::<Vec<Item>>();
        let open: Vec<Item> = wanted
            .open
            .iter()
            .take(most)
            .map(|(id, finding)| {
                let known = news.opened.iter().chain(&news.changed).find(|item| item.id == *id);
                let known = known.or_else(|| told?.items.get(id));
                let edition = known.map_or(0, |item| item.edition);
                Item { edition, ..Item::of_finding(&self.told.policy, finding) }
            })
            .chain(news.held.iter().cloned())
            .collect();
        let severities = wanted.open.iter().map(|(_, finding)| finding.severity);
        let by_severity = counted(severities.chain(news.held.iter().map(|item| item.severity)));
        let by = if wanted.by.is_empty() { told.map(|told| told.by.clone()) } else { None };
        let (number, said) = (begun.number.to_string(), format!("{:016x}", begun.content));
        Notice {
            id: id([&*self.told.sink, &*self.told.uid, group, &*number, &*said]),
            reason,
            policy: self.told.policy.clone(),
            group: Group { id: group.to_owned(), by: by.unwrap_or_else(|| wanted.by.clone()) },
            collapsed: news.collapsed,
            open,
            totals: Totals {
                open: news.count(),
                by_severity,
                opened: news.opened_count,
                changed: news.changed.len(),
                resolved: if send_resolved { news.resolved_count } else { 0 },
                occurred: wanted.occurred.len(),
                unlisted: if wanted.occurred.is_empty() { 0 } else { self.unlisted(truth) },
            },
            opened: cut(&news.opened),
            changed: cut(&news.changed),
            resolved: if send_resolved { cut(&news.resolved) } else { Vec::new() },
            replaced: news.replaced.clone(),
            occurred: wanted.occurred.clone(),
            time: now,
            valid_until: later(now, hold),
            reference: told.and_then(|told| told.reference.clone()),
        }
    }

    /// What the sink was told of a group, as far as it still stands: nothing in it is new.
    fn again(
        &self,
        group: &str,
        wanted: &Wanted,
        news: &News,
        hold: SignedDuration,
        now: Timestamp,
    ) -> Notice {
        let nothing = ToldGroup::default();
        let told = self.told.groups.get(group).unwrap_or(&nothing);
        let is_open: HashSet<&String> = wanted.open.iter().map(|(id, _)| id).collect();
        let held: HashSet<&String> = news.held.iter().map(|item| &item.id).collect();
        let stands = |item: &&Item| is_open.contains(&item.id) || held.contains(&item.id);
        let mut open: Vec<Item> = told.items.values().filter(stands).cloned().collect();
        open.sort_by_key(|item| (Reverse(item.severity), item.since));
        let (mut count, mut by_severity) = (open.len(), counted(open.iter().map(|item| item.severity)));
        if told.summary.is_some() {
            let of = |(_, finding): &(String, Arc<Finding>)| Item::of_finding(&self.told.policy, finding);
            open = wanted.open.iter().take(MAX_SAMPLES).map(of).collect();
            count = wanted.open.len();
            by_severity = counted(wanted.open.iter().map(|(_, finding)| finding.severity));
        }
        let time = now.to_string();
        Notice {
            id: id([&*self.told.sink, &*self.told.uid, group, "again", &*time]),
            reason: Reason::Resend,
            policy: self.told.policy.clone(),
            group: Group { id: group.to_owned(), by: told.by.clone() },
            collapsed: told.summary.is_some(),
            open,
            opened: Vec::new(),
            changed: Vec::new(),
            resolved: Vec::new(),
            replaced: Vec::new(),
            occurred: Vec::new(),
            totals: Totals { open: count, by_severity, ..Totals::default() },
            time: now,
            valid_until: later(now, hold),
            reference: told.reference.clone(),
        }
    }

    /// Occurrences that are not known one by one any more and were not told.
    fn unlisted(&self, truth: &Truth) -> u64 {
        let listed = truth.history.latest().count() as u64;
        match self.told.occurred {
            0 => 0,
            told => truth.history.total().saturating_sub(told).saturating_sub(listed),
        }
    }
}

/// A hash of what is new, and of how many are open.
fn news_content(news: &News) -> u64 {
    let items = [&news.opened, &news.changed, &news.resolved, &news.replaced, &news.occurred];
    let counts = [news.count(), news.opened_count, news.resolved_count];
    content(items.into_iter().flatten(), &counts)
}

fn counted(severities: impl Iterator<Item = Severity>) -> BTreeMap<Severity, usize> {
    let mut counts = BTreeMap::new();
    severities.for_each(|severity| *counts.entry(severity).or_default() += 1);
    counts
}

fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}
