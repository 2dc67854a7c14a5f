//! What comes of verdicts.

mod time;

use super::*;
use crate::core::chain::Chain;
use crate::core::fields::Fields;
use proptest::prelude::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

fn key(rule: &str, uid: &str) -> FindingKey {
    FindingKey { rule: rule.into(), selection: "all".into(), uid: uid.into() }
}

fn object(uid: &str) -> ObjectId {
    ObjectId {
        api_version: "v1".into(),
        kind: "Pod".into(),
        namespace: Some("n".into()),
        name: uid.into(),
        uid: uid.into(),
    }
}

fn enter(
    ledger: &mut Ledger,
    rule: &str,
    uid: &str,
    severity: Severity,
    verdict: Verdict,
    t: i64,
) -> Option<Transition> {
    ledger.enter(&key(rule, uid), severity, (&object(uid), &Tags::default()), verdict, at(t))
}

fn violation(text: &str) -> Verdict {
    Verdict::Violation(Violation { message: text.into(), fields: Fields::default(), chain: Chain::default() })
}

#[test]
fn a_finding_opens_once_changes_and_resolves_once() {
    let mut ledger = Ledger::default();
    let high = Severity::High;
    assert!(matches!(enter(&mut ledger, "r", "a", high, violation("x"), 1), Some(Transition::Opened(_))));
    assert_eq!(enter(&mut ledger, "r", "a", high, violation("x"), 2), None);
    let Some(Transition::Changed(changed)) = enter(&mut ledger, "r", "a", high, violation("y"), 3) else {
        panic!("a new message is a change");
    };
    assert_eq!(changed.since, at(1), "a change keeps its age");
    assert!(matches!(
        enter(&mut ledger, "r", "a", high, Verdict::Compliant, 4),
        Some(Transition::Resolved(_, Resolution::Compliant))
    ));
    assert_eq!(enter(&mut ledger, "r", "a", high, Verdict::Compliant, 5), None);
    assert!(ledger.is_empty());
}

#[test]
fn an_error_neither_opens_nor_resolves_and_is_counted_until_it_is_mended() {
    let mut ledger = Ledger::default();
    let error = || Verdict::Error("no such key".into());
    assert_eq!(enter(&mut ledger, "r", "a", Severity::Low, error(), 1), None);
    assert_eq!((ledger.len(), ledger.errors()), (0, 1));
    assert!(ledger.take_errors_changed() && !ledger.take_errors_changed());
    enter(&mut ledger, "r", "a", Severity::Low, error(), 1);
    assert!(!ledger.take_errors_changed(), "the same error again is no news");
    enter(&mut ledger, "r", "b", Severity::Low, violation("x"), 2);
    assert_eq!(enter(&mut ledger, "r", "b", Severity::Low, error(), 3), None);
    assert_eq!((ledger.len(), ledger.errors_of_rule("r").0), (1, 2));
    let text = |ledger: &Ledger| ledger.errors_of_rule("r").1.map(ToString::to_string);
    assert_eq!(text(&ledger).as_deref(), Some("Pod n/b: no such key"));
    enter(&mut ledger, "r", "b", Severity::Low, violation("x"), 4);
    assert_eq!(
        text(&ledger).as_deref(),
        Some("Pod n/a: no such key"),
        "an error that is mended is not shown while another is left"
    );
    enter(&mut ledger, "r", "a", Severity::Low, Verdict::Compliant, 5);
    assert_eq!((ledger.errors(), ledger.errors_of_rule("r")), (0, (0, None)));
    assert!(ledger.take_errors_changed());
}

#[test]
fn the_list_is_worst_and_oldest_first() {
    let mut ledger = Ledger::default();
    enter(&mut ledger, "r", "new-low", Severity::Low, violation("x"), 9);
    enter(&mut ledger, "r", "old-low", Severity::Low, violation("x"), 1);
    enter(&mut ledger, "r", "new-critical", Severity::Critical, violation("x"), 8);
    enter(&mut ledger, "r", "old-critical", Severity::Critical, violation("x"), 2);
    let order: Vec<_> = ledger.open().map(|f| f.object.name.to_string()).collect();
    assert_eq!(order, ["old-critical", "new-critical", "old-low", "new-low"]);
}

#[test]
fn what_was_restored_is_confirmed_silently_or_resolved_when_its_selection_is_complete() {
    let finding = |uid: &str| Finding {
        key: key("r", uid),
        severity: Severity::High,
        object: object(uid),
        message: "x".into(),
        fields: Fields::default(),
        chain: Chain::default(),
        tags: Tags::default(),
        since: at(1),
        flaps: 0,
    };
    let mut ledger = Ledger::default();
    ledger.restore(finding("stays"));
    ledger.restore(finding("went-away"));
    assert_eq!(enter(&mut ledger, "r", "stays", Severity::High, violation("x"), 50), None);
    assert!(ledger.settle("another-selection").is_empty());
    let settled = ledger.settle("all");
    assert_eq!(settled.len(), 1);
    assert_eq!(&*settled[0].finding().object.name, "went-away");
    assert_eq!(ledger.get(&key("r", "stays")).map(|f| f.since), Some(at(1)));
    assert!(ledger.settle("all").is_empty());
}

proptest! {
    /// Totals equal what counting the list gives, whatever came in.
    #[test]
    fn totals_are_exact(steps in prop::collection::vec((0..3u8, 0..4u8, 0..3u8, 0..4u8), 0..80)) {
        let mut ledger = Ledger::default();
        for (t, (rule, uid, severity, what)) in steps.into_iter().enumerate() {
            let (rule, uid) = (format!("r{rule}"), format!("u{uid}"));
            let severity = [Severity::Low, Severity::High, Severity::Critical][severity as usize];
            let verdict = match what {
                0 => Verdict::Compliant,
                1 => Verdict::Error("e".into()),
                n => violation(&n.to_string()),
            };
            enter(&mut ledger, &rule, &uid, severity, verdict, t as i64);
            let listed: Vec<_> = ledger.open().cloned().collect();
            prop_assert_eq!(listed.len(), ledger.len());
            for severity in Severity::ALL {
                prop_assert_eq!(listed.iter().filter(|f| f.severity == severity).count(), ledger.count(severity));
            }
            for rule in ["r0", "r1", "r2"] {
                prop_assert_eq!(listed.iter().filter(|f| &*f.key.rule == rule).count(), ledger.count_of_rule(rule));
            }
            let ranks: Vec<_> = listed.iter().map(|f| rank(f)).collect();
            prop_assert!(ranks.is_sorted());
        }
    }
}
