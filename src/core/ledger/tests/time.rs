//! Rules that wait: pending, kept and flapping findings.

use std::collections::BTreeMap;

use super::*;
use crate::core::patience::Flapping;
use jiff::SignedDuration;

const HIGH: Severity = Severity::High;

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

/// What the rule `r` waits for, in seconds.
fn waiting(hold: i64, keep: i64, flapping: Option<(u32, i64)>) -> Ledger {
    let mut ledger = Ledger::default();
    heed(&mut ledger, hold, keep, flapping);
    ledger
}

fn heed(ledger: &mut Ledger, hold: i64, keep: i64, flapping: Option<(u32, i64)>) {
    let flapping = flapping.map(|(opens, within)| Flapping { opens, within: seconds(within) });
    let patience = Patience { hold: seconds(hold), keep: seconds(keep), flapping };
    ledger.heed([(&"r".into(), Some(patience))].into_iter());
}

fn wrong(ledger: &mut Ledger, t: i64) -> String {
    said(enter(ledger, "r", "a", HIGH, violation("x"), t))
}

fn right(ledger: &mut Ledger, t: i64) -> String {
    said(enter(ledger, "r", "a", HIGH, Verdict::Compliant, t))
}

fn fails(ledger: &mut Ledger, t: i64) -> String {
    said(enter(ledger, "r", "a", HIGH, Verdict::Error("e".into()), t))
}

fn passes(ledger: &mut Ledger, t: i64) -> Vec<String> {
    ledger.expire(usize::MAX, at(t)).into_iter().map(|transition| said(Some(transition))).collect()
}

fn said(transition: Option<Transition>) -> String {
    match transition {
        None => String::new(),
        Some(Transition::Opened(f)) => format!("opened since {} flaps {}", f.since.as_second(), f.flaps),
        Some(Transition::Changed(f)) => format!("changed: {}", f.message),
        Some(Transition::Resolved(_, why)) => format!("resolved {why:?}"),
        Some(Transition::Occurred(_)) => "occurred".into(),
    }
}

const NOTHING: [&str; 0] = [];

#[test]
fn what_is_wrong_is_pending_and_opens_at_its_moment_with_when_it_began() {
    let mut ledger = waiting(60, 0, None);
    assert_eq!(wrong(&mut ledger, 10), "");
    assert_eq!((ledger.len(), ledger.count_of_pending(), ledger.pending_of_rule("r")), (0, 1, 1));
    assert_eq!(said(enter(&mut ledger, "r", "a", HIGH, violation("worse"), 30)), "");
    assert_eq!(ledger.next_deadline(), Some(at(70)), "another message does not begin anew");
    assert_eq!(passes(&mut ledger, 69), NOTHING);
    assert_eq!(passes(&mut ledger, 70), ["opened since 10 flaps 0"]);
    assert_eq!(&*ledger.open().next().expect("open").message, "worse");
    assert_eq!((ledger.len(), ledger.count_of_pending(), ledger.pending_of_rule("r")), (1, 0, 0));
    assert_eq!(ledger.next_deadline(), None);
    assert_eq!(right(&mut ledger, 71), "resolved Compliant");
}

#[test]
fn compliant_or_gone_in_between_begins_anew_and_says_nothing() {
    let mut ledger = waiting(60, 0, None);
    wrong(&mut ledger, 0);
    assert_eq!(right(&mut ledger, 59), "");
    assert_eq!((ledger.count_of_pending(), ledger.next_deadline()), (0, None));
    wrong(&mut ledger, 60);
    assert_eq!(ledger.next_deadline(), Some(at(120)));
    assert!(!ledger.is_blank());
    assert_eq!(ledger.forget(&key("r", "a"), Resolution::ObjectGone), None);
    assert!(ledger.is_blank() && ledger.next_deadline().is_none());
}

#[test]
fn a_failure_neither_ends_what_is_pending_nor_opens_it() {
    let mut ledger = waiting(60, 0, None);
    wrong(&mut ledger, 0);
    fails(&mut ledger, 30);
    assert_eq!(passes(&mut ledger, 100), NOTHING, "it is not known to be wrong");
    assert_eq!((ledger.count_of_pending(), ledger.next_deadline()), (1, None));
    assert_eq!(wrong(&mut ledger, 100), "opened since 0 flaps 0", "and now it is, for long enough");
    fails(&mut ledger, 110);
    assert_eq!(ledger.len(), 1);
    let mut ledger = waiting(60, 0, None);
    fails(&mut ledger, 0);
    assert_eq!(ledger.count_of_pending(), 0, "a failure begins nothing");
    wrong(&mut ledger, 10);
    assert_eq!(passes(&mut ledger, 70), ["opened since 10 flaps 0"]);
}

#[test]
fn a_finding_is_kept_until_it_was_right_for_long_enough() {
    let mut ledger = waiting(0, 60, None);
    assert_eq!(wrong(&mut ledger, 0), "opened since 0 flaps 0");
    assert_eq!(right(&mut ledger, 10), "");
    assert_eq!(wrong(&mut ledger, 40), "", "the same finding");
    assert_eq!(ledger.next_deadline(), None);
    assert_eq!(said(enter(&mut ledger, "r", "a", HIGH, violation("y"), 41)), "changed: y");
    assert_eq!(right(&mut ledger, 50), "");
    assert_eq!(right(&mut ledger, 60), "", "right since 50");
    fails(&mut ledger, 100);
    assert_eq!(passes(&mut ledger, 110), NOTHING, "it is not known to be right");
    assert_eq!(right(&mut ledger, 120), "resolved Compliant");
    wrong(&mut ledger, 130);
    right(&mut ledger, 140);
    assert_eq!(ledger.next_deadline(), Some(at(200)));
    assert_eq!(passes(&mut ledger, 200), ["resolved Compliant"]);
    wrong(&mut ledger, 210);
    right(&mut ledger, 220);
    let gone = ledger.forget(&key("r", "a"), Resolution::ObjectGone);
    assert_eq!(said(gone), "resolved ObjectGone", "what is gone is not waited for");
    assert_eq!(ledger.next_deadline(), None);
}

#[test]
fn what_opens_too_often_stays_open_until_it_was_right_for_the_whole_window() {
    let mut ledger = waiting(0, 0, Some((3, 100)));
    assert_eq!(wrong(&mut ledger, 0), "opened since 0 flaps 0");
    assert_eq!(right(&mut ledger, 10), "resolved Compliant");
    assert_eq!(wrong(&mut ledger, 20), "opened since 20 flaps 2");
    assert_eq!(right(&mut ledger, 30), "resolved Compliant");
    assert_eq!(wrong(&mut ledger, 40), "opened since 40 flaps 3");
    assert_eq!(right(&mut ledger, 50), "", "it flaps");
    assert_eq!(wrong(&mut ledger, 60), "");
    assert_eq!(right(&mut ledger, 70), "");
    assert_eq!(passes(&mut ledger, 169), NOTHING);
    assert_eq!(passes(&mut ledger, 170), ["resolved Compliant"]);
    assert!(ledger.is_blank(), "by then all of it is out of the window");
    assert_eq!(wrong(&mut ledger, 171), "opened since 171 flaps 0");
}

#[test]
fn what_opened_lately_is_forgotten_when_its_time_is_over() {
    let mut ledger = waiting(0, 0, Some((3, 100)));
    wrong(&mut ledger, 0);
    right(&mut ledger, 10);
    assert!(!ledger.is_blank());
    assert_eq!(ledger.next_deadline(), Some(at(100)));
    assert_eq!(passes(&mut ledger, 100), NOTHING);
    assert!(ledger.is_blank() && ledger.next_deadline().is_none());
}

#[test]
fn an_edit_counts_on_from_when_it_began_once_the_edited_rule_says_so() {
    let mut ledger = waiting(60, 0, None);
    wrong(&mut ledger, 0);
    heed(&mut ledger, 30, 0, None);
    assert_eq!(passes(&mut ledger, 90), NOTHING, "the rule may be another one");
    assert_eq!(wrong(&mut ledger, 20), "");
    assert_eq!(ledger.next_deadline(), Some(at(30)));
    heed(&mut ledger, 10, 0, None);
    assert_eq!(wrong(&mut ledger, 20), "opened since 0 flaps 0");
    // What the edited rule says nothing of is forgotten with the rest of its selection.
    let mut ledger = waiting(60, 0, None);
    wrong(&mut ledger, 0);
    heed(&mut ledger, 0, 0, None);
    assert!(ledger.settle("all").is_empty());
    assert!(ledger.is_blank());
}

#[test]
fn nothing_of_a_rule_that_is_not_in_force_opens_or_ends() {
    let mut ledger = waiting(60, 60, None);
    wrong(&mut ledger, 0);
    ledger.heed([(&"r".into(), None)].into_iter());
    ledger.confirm(&key("r", "a"));
    assert_eq!(passes(&mut ledger, 1000), NOTHING);
    assert_eq!(ledger.count_of_pending(), 1);
    heed(&mut ledger, 60, 60, None);
    assert_eq!(wrong(&mut ledger, 1000), "opened since 0 flaps 0");
}

#[test]
fn what_was_restored_goes_on_when_it_is_confirmed() {
    let finding = |uid: &str, flaps| Finding {
        key: key("r", uid),
        severity: HIGH,
        object: object(uid),
        message: "x".into(),
        fields: Fields::default(),
        chain: Chain::default(),
        tags: Tags::default(),
        since: at(100),
        flaps,
    };
    let mut ledger = waiting(60, 0, Some((3, 100)));
    ledger.restore_pending(finding("a", 0));
    ledger.restore_pending(finding("gone", 0));
    assert_eq!(ledger.count_of_pending(), 2);
    assert_eq!(passes(&mut ledger, 500), NOTHING, "nobody has seen it");
    assert_eq!(wrong(&mut ledger, 500), "opened since 100 flaps 0");
    assert!(ledger.settle("all").is_empty());
    assert_eq!((ledger.count_of_pending(), ledger.len()), (0, 1));

    // One that flapped goes on to be kept open, and its openings count.
    let mut ledger = waiting(60, 0, Some((3, 100)));
    ledger.restore(finding("a", 3));
    assert_eq!(right(&mut ledger, 200), "");
    assert_eq!(passes(&mut ledger, 300), ["resolved Compliant"]);
    let mut ledger = waiting(60, 0, Some((3, 100)));
    ledger.restore(finding("a", 2));
    assert_eq!(right(&mut ledger, 170), "resolved Compliant");
    assert_eq!(wrong(&mut ledger, 180), "");
    assert_eq!(passes(&mut ledger, 240), ["opened since 180 flaps 3"]);
}

#[test]
fn what_is_lost_from_sight_waits() {
    let mut ledger = waiting(60, 60, None);
    wrong(&mut ledger, 0);
    ledger.doubt(|_| true);
    assert_eq!(passes(&mut ledger, 100), NOTHING);
    ledger.confirm(&key("r", "a"));
    assert_eq!(passes(&mut ledger, 100), ["opened since 0 flaps 0"]);
    right(&mut ledger, 110);
    ledger.doubt(|_| true);
    assert_eq!(passes(&mut ledger, 300), NOTHING);
    assert_eq!(ledger.settle("all").len(), 1);
}

/// One rule and object, kept as naively as can be.
#[derive(Debug, Default, Clone)]
struct Model {
    wrong_since: Option<i64>,
    right_since: Option<i64>,
    failed: bool,
    open: Option<(i64, u32)>,
    openings: Vec<i64>,
}

impl Model {
    fn look(&mut self, patience: Patience, t: i64) {
        if self.failed {
            return;
        }
        match (self.open, self.wrong_since, self.right_since) {
            (None, Some(since), _) if t - since >= patience.hold.as_secs() => {
                let mut flaps = 0;
                if let Some(flapping) = patience.flapping {
                    self.openings.push(t);
                    let recent =
                        self.openings.iter().filter(|opened| t - **opened < flapping.within.as_secs());
                    flaps = (recent.count() as u32).min(flapping.opens);
                }
                self.open = Some((since, if flaps < 2 { 0 } else { flaps }));
            }
            (Some((_, flaps)), _, Some(since)) => {
                let damped = patience.flapping.filter(|flapping| flaps >= flapping.opens);
                let keep = damped.map_or(patience.keep, |flapping| patience.keep.max(flapping.within));
                if t - since >= keep.as_secs() {
                    self.open = None;
                }
            }
            _ => {}
        }
    }

    fn hear(&mut self, what: u8, patience: Patience, t: i64) {
        match what {
            0 | 1 => {
                (self.right_since, self.failed) = (None, false);
                self.wrong_since.get_or_insert(t);
            }
            2 | 3 => {
                (self.wrong_since, self.failed) = (None, false);
                self.right_since.get_or_insert(t);
            }
            4 => self.failed = true,
            _ => *self = Self::default(),
        }
        self.look(patience, t);
    }
}

fn patiences() -> Vec<(Arc<str>, Patience)> {
    let of = |hold, keep, flapping: Option<(u32, i64)>| Patience {
        hold: seconds(hold),
        keep: seconds(keep),
        flapping: flapping.map(|(opens, within)| Flapping { opens, within: seconds(within) }),
    };
    let all =
        [of(0, 0, None), of(3, 0, None), of(2, 4, None), of(0, 1, Some((2, 9))), of(1, 2, Some((3, 20)))];
    all.into_iter().enumerate().map(|(n, patience)| (format!("r{n}").into(), patience)).collect()
}

proptest! {
    /// Second by second the model and the ledger know the same to be open and pending, with the same ages, and totals
    /// equal what counting gives.
    #[test]
    fn the_ledger_does_as_a_naive_model_does(
        steps in prop::collection::vec((0..4i64, 0..5usize, 0..2u8, 0..6u8), 0..150),
    ) {
        let rules = patiences();
        let mut ledger = Ledger::default();
        ledger.heed(rules.iter().map(|(name, patience)| (name, Some(*patience))));
        let mut models: BTreeMap<(usize, u8), Model> = BTreeMap::new();
        let mut now = 0;
        for (wait, rule, uid, what) in steps {
            for _ in 0..wait {
                now += 1;
                models.iter_mut().for_each(|((rule, _), model)| model.look(rules[*rule].1, now));
            }
            // From moment to moment, one at a time.
            while let Some(due) = ledger.next_deadline().filter(|due| *due <= at(now)) {
                ledger.expire(1, due);
            }
            let name = &*rules[rule].0;
            let id = format!("u{uid}");
            models.entry((rule, uid)).or_default().hear(what, rules[rule].1, now);
            match what {
                0 | 1 => drop(enter(&mut ledger, name, &id, HIGH, violation(&what.to_string()), now)),
                2 | 3 => drop(enter(&mut ledger, name, &id, HIGH, Verdict::Compliant, now)),
                4 => drop(enter(&mut ledger, name, &id, HIGH, Verdict::Error("e".into()), now)),
                _ => drop(ledger.forget(&key(name, &id), Resolution::ObjectGone)),
            }
            for ((rule, uid), model) in &models {
                let key = key(&rules[*rule].0, &format!("u{uid}"));
                let open = ledger.get(&key).map(|finding| (finding.since.as_second(), finding.flaps));
                prop_assert_eq!(open, model.open, "{:?} at {}", key, now);
                let pending = ledger.standing(&key).filter(|_| open.is_none());
                let expected = model.wrong_since.filter(|_| model.open.is_none());
                prop_assert_eq!(pending.map(|finding| finding.since.as_second()), expected, "{:?} at {}", key, now);
                prop_assert_eq!(ledger.errors.contains_key(&key), model.failed);
            }
            prop_assert_eq!(ledger.open().count(), ledger.len());
            prop_assert_eq!(ledger.count(HIGH), ledger.len());
            prop_assert_eq!(ledger.pending().count(), ledger.count_of_pending());
            let ages: Vec<_> = ledger.pending().map(|finding| finding.since).collect();
            prop_assert!(ages.is_sorted());
            for (name, _) in &rules {
                let of = |finding: &&Arc<Finding>| finding.key.rule == *name;
                prop_assert_eq!(ledger.open().filter(of).count(), ledger.count_of_rule(name));
                prop_assert_eq!(ledger.pending().filter(of).count(), ledger.pending_of_rule(name));
            }
        }
        // In the end nothing is left of what is gone.
        for (rule, uid) in models.keys() {
            ledger.forget(&key(&rules[*rule].0, &format!("u{uid}")), Resolution::ObjectGone);
        }
        prop_assert!(ledger.is_blank() && ledger.next_deadline().is_none() && ledger.complies.is_empty());
    }
}
