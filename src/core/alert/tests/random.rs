//! Whatever happens between operator and sink: at last the sink knows what is true, and what it hears again it can tell
//! by its identity.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    /// A finding opens, or changes if it is open.
    Open(u8, Severity),
    /// The same, and it stands since when it stood before: so an earlier process may have known it.
    Reopen(u8),
    /// A finding is resolved.
    Resolve(u8),
    /// Somebody asks for silence about an object, or no longer.
    Silence(u8, bool),
    /// A change occurs.
    Occur(u8),
    /// Time passes.
    Wait(u8),
    /// What is due is sent, and this becomes of it.
    Tell(Fate),
    /// The operator is killed and starts again; for a while it does not know what is open.
    Restart,
    /// It knows again.
    Settle,
}

#[derive(Debug, Clone, Copy)]
enum Fate {
    /// It arrives, and that is noted.
    Arrives,
    /// It does not arrive.
    Fails,
    /// The operator is killed before it arrives.
    Dies,
    /// It arrives, and the operator is killed before that is noted.
    ArrivesAndDies,
}

fn step() -> impl Strategy<Value = Step> {
    let severity = prop_oneof![Just(Severity::Low), Just(Severity::High), Just(Severity::Critical)];
    prop_oneof![
        4 => (0_u8..12, severity).prop_map(|(n, severity)| Step::Open(n, severity)),
        1 => (0_u8..12).prop_map(Step::Reopen),
        4 => (0_u8..12).prop_map(Step::Resolve),
        1 => (0_u8..12, any::<bool>()).prop_map(|(n, on)| Step::Silence(n, on)),
        1 => (0_u8..12).prop_map(Step::Occur),
        3 => (1_u8..40).prop_map(Step::Wait),
        3 => Just(Step::Tell(Fate::Arrives)),
        1 => Just(Step::Tell(Fate::Fails)),
        1 => Just(Step::Tell(Fate::Dies)),
        1 => Just(Step::Tell(Fate::ArrivesAndDies)),
        1 => Just(Step::Restart),
        1 => Just(Step::Settle),
    ]
}

/// What somebody knows who believes every notice.
#[derive(Default)]
struct Receiver {
    /// By group, by finding.
    open: BTreeMap<String, BTreeMap<String, Item>>,
    occurred: BTreeMap<String, usize>,
    heard: BTreeSet<String>,
    repeats: usize,
    /// Findings that were open to it and of which it was never told that they are resolved.
    missed: usize,
    /// The same of somebody who looks at single events, and drops those that he knows.
    by_event: BTreeMap<String, Severity>,
    events: BTreeSet<String>,
}

impl Receiver {
    fn hear(&mut self, notice: &Notice) {
        for (what, items) in
            [("opened", &notice.opened), ("changed", &notice.changed), ("resolved", &notice.resolved)]
        {
            for item in items.iter().filter(|item| self.events.insert(item.event_id(what))) {
                match what {
                    "resolved" => drop(self.by_event.remove(&item.id)),
                    _ => drop(self.by_event.insert(item.id.clone(), item.severity)),
                }
            }
        }
        if !self.heard.insert(notice.id.clone()) {
            self.repeats += 1;
            return;
        }
        let group = self.open.entry(notice.group.id.clone()).or_default();
        let ended = notice.resolved.iter().chain(&notice.replaced);
        ended.for_each(|item| drop(group.remove(&item.id)));
        for item in notice.opened.iter().chain(&notice.changed) {
            group.insert(item.id.clone(), item.clone());
        }
        let listed: BTreeSet<&String> = notice.open.iter().map(|item| &item.id).collect();
        let stale: Vec<String> = group.keys().filter(|id| !listed.contains(id)).cloned().collect();
        self.missed += stale.len();
        stale.iter().for_each(|id| drop(group.remove(id)));
        assert_eq!(listed, group.keys().collect(), "what is said to be open was told to be");
        for item in &notice.occurred {
            *self.occurred.entry(item.id.clone()).or_default() += 1;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn at_last_the_sink_knows_what_is_true_and_repeats_are_those_in_flight(
        steps in prop::collection::vec(step(), 1..120)
    ) {
        let mut case = Case::new("groupWait: 2s, groupInterval: 5s, groupBy: [Rule]");
        let (mut receiver, mut now, mut deaths, mut version) = (Receiver::default(), 1_i64, 0, 0_u32);
        let mut occurred: BTreeSet<String> = BTreeSet::new();
        let everything = ["pods", "routes", ""];
        // Repeats have another identity when the truth moved on between the two; they tell nothing twice nevertheless.
        for step in steps {
            match step {
                Step::Open(n, severity) => {
                    let rule = if n % 2 == 0 { "ready" } else { "limits" };
                    let name = format!("pod-{n}");
                    let known = case.open.values().find(|finding| *finding.key.uid == *name);
                    let since = known.map_or(now, |known| known.since.as_second() - at(0).as_second());
                    let silence = known.and_then(|known| known.tags.silence.clone());
                    let mut finding = finding(rule, &name, severity, since);
                    finding.tags.silence = silence;
                    case.open(finding);
                }
                Step::Reopen(n) => {
                    let rule = if n % 2 == 0 { "ready" } else { "limits" };
                    let again = finding(rule, &format!("pod-{n}"), Severity::High, 1);
                    if !case.open.contains_key(&again.key) {
                        case.open(again);
                    }
                }
                Step::Resolve(n) => {
                    let rule = if n % 2 == 0 { "ready" } else { "limits" };
                    let name = format!("pod-{n}");
                    if case.open.keys().any(|key| *key.uid == *name) {
                        case.resolve(rule, &name);
                    }
                }
                Step::Silence(n, on) => {
                    let known = case.open.values().find(|finding| *finding.key.uid == *format!("pod-{n}")).cloned();
                    if let Some(known) = known {
                        let mut finding = (*known).clone();
                        finding.tags.silence = None;
                        case.open(if on { silenced(finding, 1_000_000) } else { finding });
                    }
                }
                Step::Occur(n) => {
                    version += 1;
                    case.occur(&format!("pod-{n}"), &version.to_string(), now);
                    let last = case.truth.history.latest().next().expect("it occurred");
                    occurred.insert(Item::of_occurrence("p", last).id);
                }
                Step::Wait(seconds) => now += i64::from(seconds),
                Step::Tell(fate) => {
                    if let Some(out) = case.decide(now).due.into_iter().next() {
                        case.desk.begin(&out);
                        match fate {
                            Fate::Fails => {}
                            Fate::Dies => case.restart(),
                            Fate::Arrives => {
                                receiver.hear(&out.notice);
                                case.desk.sent(&out, None, at(now));
                            }
                            Fate::ArrivesAndDies => {
                                receiver.hear(&out.notice);
                                deaths += 1;
                                case.restart();
                            }
                        }
                    }
                }
                Step::Restart => {
                    case.restart();
                    case.settle(&[]);
                }
                Step::Settle => case.settle(&everything),
            }
            now += 1;
        }
        case.settle(&everything);
        for _ in 0..20 {
            now += 10;
            for out in case.decide(now).due {
                case.desk.begin(&out);
                receiver.hear(&out.notice);
                case.desk.sent(&out, None, at(now));
            }
        }
        prop_assert_eq!(case.decide(now).owed, 0);
        let known: BTreeMap<&String, Severity> =
            receiver.open.values().flatten().map(|(id, item)| (id, item.severity)).collect();
        let truth: BTreeMap<String, Severity> = case.open.values().filter(|finding| finding.tags.silence.is_none())
            .map(|finding| (Item::of_finding("p", finding).id, finding.severity)).collect();
        let truth: BTreeMap<&String, Severity> = truth.iter().map(|(id, severity)| (id, *severity)).collect();
        prop_assert_eq!(known, truth.clone());
        let by_event: BTreeMap<&String, Severity> = receiver.by_event.iter().map(|(id, severity)| (id, *severity)).collect();
        prop_assert_eq!(by_event, truth, "by single events");
        prop_assert_eq!(receiver.occurred.keys().cloned().collect::<BTreeSet<_>>(), occurred);
        prop_assert_eq!(receiver.missed, 0, "findings ended and the sink was not told");
        let told_again = receiver.occurred.values().filter(|times| **times > 1).count();
        prop_assert!(told_again == 0 || deaths > 0, "{told_again} occurrences were told again");
        prop_assert!(receiver.repeats <= deaths, "{} repeats, {deaths} deaths", receiver.repeats);
    }
}
