//! When something is told, and what is not told.

use super::*;

#[test]
fn the_first_notice_waits_for_more_and_the_next_for_the_interval() {
    let mut case = Case::new("groupWait: 10s, groupInterval: 1m");
    case.open(finding("ready", "a", Severity::High, 5));
    let decision = case.decide(5);
    assert!(decision.due.is_empty() && decision.owed == 1);
    assert_eq!(decision.next, Some(at(15)));
    case.open(finding("ready", "b", Severity::High, 9));
    assert_eq!(case.tell(15), ["Opened rule=ready: +a +b"]);
    case.resolve("ready", "a");
    assert!(case.tell(74).is_empty());
    assert_eq!(case.decide(74).next, Some(at(75)));
    assert_eq!(case.tell(75), ["SomeResolved rule=ready: -a"]);
    case.resolve("ready", "b");
    assert_eq!(case.tell(135), ["AllResolved rule=ready: -b"]);
    // It is over, and what comes is a beginning again.
    case.open(finding("ready", "a", Severity::High, 200));
    assert!(case.tell(200).is_empty());
    assert_eq!(case.tell(210), ["Opened rule=ready: +a"]);
}

#[test]
fn what_comes_and_goes_before_it_is_told_is_not_told() {
    let mut case = Case::new("groupWait: 10s");
    case.open(finding("ready", "a", Severity::High, 5));
    case.decide(5);
    case.resolve("ready", "a");
    let decision = case.decide(6);
    assert_eq!((decision.owed, decision.next), (0, None));
    assert!(case.tell(100).is_empty());
}

#[test]
fn a_finding_that_opened_anew_unseen_is_told_as_such_and_one_with_another_severity_as_changed() {
    let mut case = Case::new("groupWait: 1s, groupInterval: 1s");
    case.open(finding("ready", "a", Severity::High, 5));
    case.tell(5);
    assert_eq!(case.tell(6), ["Opened rule=ready: +a"]);
    case.open(finding("ready", "a", Severity::High, 9));
    assert_eq!(case.tell(9), ["MoreOpened rule=ready: +a"]);
    case.open(finding("ready", "a", Severity::Critical, 9));
    let decision = case.decide(20);
    assert_eq!(short(&decision.due[0].notice), "Changed rule=ready: !a");
    assert_eq!(decision.due[0].notice.changed[0].previous_severity, Some(Severity::High));
}

#[test]
fn who_wants_to_hear_again_hears_again_and_until_when_it_holds() {
    let mut case = Case::new("groupWait: 1s");
    case.terms.resend = Some(seconds(60));
    case.open(finding("ready", "a", Severity::High, 5));
    case.decide(5);
    let out = case.decide(6).due.remove(0);
    assert_eq!(out.notice.valid_until, at(6 + 240));
    case.desk.sent(&out, None, at(6));
    assert_eq!(case.decide(65).next, Some(at(66)));
    assert_eq!(case.tell(66), ["Resend rule=ready:"]);
    assert_eq!(case.tell(126), ["Resend rule=ready:"]);
    case.resolve("ready", "a");
    assert_eq!(case.tell(131), ["AllResolved rule=ready: -a"]);
    assert_eq!(case.tell(300), Vec::<String>::new());
}

#[test]
fn who_does_not_want_to_hear_of_what_is_resolved_does_not() {
    let mut case = Case::new("groupWait: 1s, groupInterval: 1s, sendResolved: false");
    case.open(finding("ready", "a", Severity::High, 5));
    case.open(finding("ready", "b", Severity::High, 5));
    case.tell(5);
    assert_eq!(case.tell(6), ["Opened rule=ready: +a +b"]);
    case.resolve("ready", "a");
    assert!(case.tell(20).is_empty());
    assert!(case.desk.take_unsaved(), "otherwise a restart would not know");
    case.open(finding("ready", "c", Severity::High, 21));
    case.resolve("ready", "b");
    assert_eq!(case.tell(30), ["MoreOpened rule=ready: +c"]);
    case.resolve("ready", "c");
    assert!(case.tell(60).is_empty());
    assert!(case.desk.told().groups.is_empty());
}

#[test]
fn nothing_new_is_told_while_the_sink_is_left_alone_and_what_is_true_afterwards_is() {
    // The case begins at 08:00 UTC.
    let mut case = Case::new("groupWait: 1s, mute: [{from: '08:00', to: '09:00'}]");
    case.terms.resend = Some(seconds(600));
    case.open(finding("ready", "a", Severity::High, 5));
    case.open(finding("ready", "b", Severity::High, 5));
    let decision = case.decide(10);
    assert!(decision.due.is_empty() && decision.owed == 1);
    assert_eq!((decision.next, decision.muted_until), (Some(at(3600)), Some(at(3600))));
    case.resolve("ready", "a");
    assert_eq!(case.tell(3600), ["Opened rule=ready: +b"]);
    // On the next day it still hears that what it knows is so: else it would take it for resolved.
    let day = 24 * 3600;
    case.tell(day - 100);
    assert_eq!(case.tell(day + 500), ["Resend rule=ready:"]);
}

#[test]
fn a_silenced_object_is_not_told_of_and_is_again_when_that_is_over() {
    let mut case = Case::new("groupWait: 1s, groupInterval: 1s");
    case.open(silenced(finding("ready", "a", Severity::High, 5), 100));
    let decision = case.decide(10);
    assert_eq!((decision.owed, decision.silenced, decision.next), (0, 1, Some(at(100))));
    case.decide(100);
    assert_eq!(case.tell(101), ["Opened rule=ready: +a"]);
    // One that the sink knows is taken back, and it is said why.
    case.open(silenced(finding("ready", "a", Severity::High, 5), 300));
    let decision = case.decide(200);
    assert_eq!(short(&decision.due[0].notice), "AllResolved rule=ready: -a");
    let why = decision.due[0].notice.resolved[0].ended_because.clone();
    assert_eq!(why, Some(format!("it is silenced until {}", at(300))));
}

#[test]
fn only_what_the_route_is_for_is_told() {
    let mut case = Case::new(
        "groupWait: 1s, groupInterval: 1s, minSeverity: high, rules: [ready], excludeNamespaces: [team-b]",
    );
    case.open(finding("ready", "minor", Severity::Medium, 5));
    case.open(finding("limits", "other", Severity::Critical, 5));
    let mut elsewhere = finding("ready", "elsewhere", Severity::High, 5);
    elsewhere.object.namespace = Some("team-b".into());
    case.open(elsewhere);
    case.decide(5);
    assert!(case.tell(6).is_empty());
    case.open(finding("ready", "major", Severity::High, 7));
    case.decide(7);
    assert_eq!(case.tell(8), ["Opened rule=ready: +major"]);
    // When it becomes less bad it is none that is told, though it is open.
    case.open(finding("ready", "major", Severity::Low, 7));
    let notice = case.decide(20).due.remove(0).notice;
    assert_eq!(short(&notice), "AllResolved rule=ready: -major");
    assert!(notice.resolved[0].ended_because.is_some());
}

#[test]
fn each_change_that_occurs_is_told_once_and_stands_nowhere() {
    let mut case = Case::new("groupWait: 1s, groupInterval: 1s");
    case.occur("a", "1", 5);
    case.decide(5);
    assert_eq!(case.tell(6), ["Occurred rule=limits: *a"]);
    assert!(case.desk.told().groups.is_empty());
    case.restart();
    assert!(case.tell(100).is_empty());
    case.occur("a", "2", 101);
    case.occur("b", "3", 102);
    case.decide(102);
    assert_eq!(case.tell(103), ["Occurred rule=limits: *a *b"]);
    // More than are known one by one are counted.
    for n in 0..150 {
        case.occur("a", &format!("n{n}"), 200);
    }
    case.decide(200);
    let notice = case.decide(201).due.remove(0).notice;
    assert_eq!((notice.totals.occurred, notice.totals.unlisted), (100, 50));
}

#[test]
fn what_occurred_before_the_sink_could_hear_of_it_is_no_news() {
    let mut case = Case::unknown("groupWait: 1s");
    case.occur("a", "1", -10);
    case.settle(&["pods", "routes", ""]);
    case.decide(0);
    assert!(case.tell(100).is_empty());
}

#[test]
fn what_was_refused_for_good_is_tried_again_when_there_is_news_or_another_sink() {
    let mut case = Case::new("groupWait: 1s, groupInterval: 1s");
    case.open(finding("ready", "a", Severity::High, 5));
    case.decide(5);
    let out = case.decide(6).due.remove(0);
    case.desk.refused(&out, "no such channel".into(), 1, at(6));
    assert_eq!(case.desk.dead().count(), 1);
    assert_eq!(case.decide(100).due.len(), 0);
    case.restart();
    assert_eq!(case.decide(100).due.len(), 0);
    case.terms.generation = 2;
    case.decide(100);
    assert_eq!(case.decide(101).due.len(), 1);
    case.terms.generation = 1;
    case.open(finding("ready", "b", Severity::High, 102));
    case.decide(102);
    assert_eq!(case.tell(103), ["Opened rule=ready: +a +b"]);
    assert_eq!(case.desk.dead().count(), 0);
    // What is over need not be told at all.
    let mut case = Case::new("groupWait: 1s");
    case.open(finding("ready", "a", Severity::High, 5));
    case.decide(5);
    let out = case.decide(6).due.remove(0);
    case.desk.refused(&out, "no".into(), 1, at(6));
    case.resolve("ready", "a");
    case.decide(7);
    assert!(case.desk.told().groups.is_empty());
}

#[test]
fn a_notice_that_is_sent_again_is_the_same_and_the_next_one_is_not() {
    let mut case = Case::new("groupWait: 1s, groupInterval: 1s");
    case.open(finding("ready", "a", Severity::High, 5));
    case.decide(5);
    let first = case.decide(6).due.remove(0);
    // The operator was killed before it noted that it arrived.
    case.restart();
    case.decide(7);
    let again = case.decide(20).due.remove(0);
    assert_eq!(first.notice.id, again.notice.id);
    case.desk.sent(&again, None, at(20));
    case.resolve("ready", "a");
    case.open(finding("ready", "a", Severity::High, 30));
    let next = case.decide(40).due.remove(0);
    assert_ne!(next.notice.id, first.notice.id);
}

#[test]
fn the_reference_of_the_first_notice_is_handed_to_those_that_follow() {
    let mut case = Case::new("groupWait: 1s, groupInterval: 1s");
    case.open(finding("ready", "a", Severity::High, 5));
    case.decide(5);
    let first = case.decide(6).due.remove(0);
    assert_eq!(first.notice.reference, None);
    case.desk.sent(&first, Some("thread-1".into()), at(6));
    case.restart();
    case.open(finding("ready", "b", Severity::High, 8));
    let next = case.decide(20).due.remove(0);
    assert_eq!(next.notice.reference.as_deref(), Some("thread-1"));
    case.desk.sent(&next, None, at(20));
    case.resolve("ready", "a");
    assert_eq!(case.decide(40).due[0].notice.reference.as_deref(), Some("thread-1"));
}

#[test]
fn what_may_have_arrived_before_the_operator_was_killed_is_taken_back_when_it_is_over() {
    let mut case = Case::new("groupWait: 1s, groupInterval: 1s");
    case.open(finding("ready", "a", Severity::High, 5));
    case.decide(5);
    let out = case.decide(6).due.remove(0);
    case.desk.begin(&out);
    assert!(case.desk.take_unsaved(), "it has to be written down before it is sent");
    case.desk.begin(&out);
    assert!(!case.desk.take_unsaved(), "another attempt of the same is no news");
    case.restart();
    case.resolve("ready", "a");
    case.decide(100);
    assert_eq!(case.tell(101), ["AllResolved rule=ready: -a"]);
    assert!(case.desk.told().groups.is_empty());
    // The same of a summary.
    for n in 0..150 {
        case.open(finding("ready", &format!("pod-{n}"), Severity::High, 200));
    }
    case.decide(200);
    let out = case.decide(201).due.remove(0);
    case.desk.begin(&out);
    case.restart();
    case.open.clear();
    case.truth.open.clear();
    case.decide(300);
    assert_eq!(case.tell(301), ["AllResolved rule=ready: 0 open, +0 -150"]);
}

#[test]
fn what_may_have_been_told_to_be_worse_than_it_is_is_put_right() {
    let mut case = Case::new("groupWait: 1s, groupInterval: 1s");
    case.open(finding("ready", "a", Severity::High, 5));
    case.decide(5);
    case.tell(6);
    case.open(finding("ready", "a", Severity::Critical, 5));
    let out = case.decide(20).due.remove(0);
    case.desk.begin(&out);
    case.restart();
    case.open(finding("ready", "a", Severity::High, 5));
    assert_eq!(case.tell(30), ["Changed rule=ready: !a"]);
    assert!(case.tell(60).is_empty());
}

#[test]
fn what_is_open_is_told_again_also_while_news_waits_and_when_news_is_refused() {
    // The case begins at 08:00 UTC.
    let mut case = Case::new("groupWait: 1s, groupInterval: 1s, mute: [{from: '09:00', to: '10:00'}]");
    case.terms.resend = Some(seconds(60));
    case.open(finding("ready", "a", Severity::High, 5));
    case.open(finding("ready", "b", Severity::High, 5));
    case.decide(5);
    assert_eq!(case.tell(3599), ["Opened rule=ready: +a +b"]);
    case.resolve("ready", "a");
    case.open(finding("ready", "c", Severity::High, 3600));
    assert_eq!(case.decide(3600).next, Some(at(3659)));
    let again = case.decide(3659).due.remove(0);
    let names: Vec<&str> =
        again.notice.open.iter().map(|item| item.object.as_ref().map_or("", |o| &o.name)).collect();
    assert_eq!(
        (again.notice.reason, names),
        (Reason::Resend, vec!["b"]),
        "nothing new, and nothing that is over"
    );
    case.desk.sent(&again, None, at(3659));
    assert!(!case.desk.take_unsaved() || case.desk.told().groups.len() == 1);
    assert_eq!(case.tell(3719), ["Resend rule=ready:"]);
    assert_eq!(case.tell(7200), ["MoreOpened rule=ready: +c -a"], "what waited is told all the same");
    case.open(finding("ready", "d", Severity::High, 7300));
    let out = case.decide(7300).due.remove(0);
    case.desk.refused(&out, "no".into(), 1, at(7300));
    assert_eq!(case.tell(7301), ["Resend rule=ready:"]);
    assert_eq!(case.tell(7330), Vec::<String>::new());
    assert_eq!(case.tell(7361), ["Resend rule=ready:"]);
}

#[test]
fn a_finding_that_is_told_a_second_time_is_another_event() {
    let mut case = Case::new("groupWait: 1s, groupInterval: 1s");
    let mut told = Vec::new();
    for round in 0..3 {
        let now = 100 * round;
        case.open(finding("ready", "a", Severity::High, 5));
        case.decide(now);
        told.push(case.decide(now + 1).due.remove(0));
        case.desk.begin(told.last().expect("told"));
        case.desk.sent(told.last().expect("told"), None, at(now + 1));
        case.open(silenced(finding("ready", "a", Severity::High, 5), now + 50));
        told.push(case.decide(now + 10).due.remove(0));
        case.desk.begin(told.last().expect("told"));
        case.desk.sent(told.last().expect("told"), None, at(now + 10));
        case.restart();
    }
    let ids: std::collections::BTreeSet<&str> = told.iter().map(|out| out.notice.id.as_str()).collect();
    assert_eq!(ids.len(), told.len());
    let events: std::collections::BTreeSet<String> = told
        .iter()
        .flat_map(|out| {
            let opened = out.notice.opened.iter().map(|item| item.event_id("opened"));
            opened.chain(out.notice.resolved.iter().map(|item| item.event_id("resolved")))
        })
        .collect();
    assert_eq!(events.len(), told.len());
}
