//! Events that the API server accepts, and that a later process reads as they were meant.

use std::collections::BTreeSet;

use k8s_openapi::api::events::v1::EventSeries;
use proptest::prelude::*;

use super::*;
use crate::core::cel::Position;
use crate::core::check::Warning;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

fn subject(name: &str) -> Subject {
    Subject { name: PolicyKey(name.into()), uid: "policy-uid".into(), exists: true }
}

fn finding(rule: &str, selection: &str, uid: &str) -> Finding {
    Finding {
        key: FindingKey { rule: rule.into(), selection: selection.into(), uid: uid.into() },
        severity: Severity::High,
        object: ObjectId {
            api_version: "apps/v1".into(),
            kind: "Deployment".into(),
            namespace: Some("shop".into()),
            name: "web".into(),
            uid: uid.into(),
        },
        message: "no limits".into(),
        fields: Default::default(),
        chain: Chain::default(),
        tags: Tags::default(),
        since: at(100),
        flaps: 0,
    }
}

fn name(event: &Event) -> String {
    event.metadata.name.clone().expect("a name")
}

/// As the API server checks names of Events.
fn is_subdomain(name: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 253
        && name.split('.').all(|label| {
            label.starts_with(alphanumeric)
                && label.ends_with(alphanumeric)
                && label.chars().all(|c| alphanumeric(c) || c == '-')
        })
}

#[test]
fn an_event_on_an_object_is_read_back_as_it_was_meant() {
    let finding = finding("limits", "apps", "u1");
    let opened = on_object(&subject("p"), Reason::FindingOpened, &finding, "host_1", at(200));
    let told = parse(&opened).expect("ours");
    let expected = Told {
        policy: PolicyKey("p".into()),
        policy_uid: "policy-uid".into(),
        finding: finding.clone(),
        opened: true,
        at: at(200),
    };
    assert_eq!(told, expected);
    let resolved = on_object(&subject("p"), Reason::FindingResolved, &finding, "host_1", at(300));
    let told = parse(&resolved).expect("ours");
    assert!(!told.opened);
    assert_eq!((told.finding.key, told.at), (finding.key, at(300)));
    assert_eq!(resolved.note.as_deref(), Some("resolved: no limits (policy p, rule limits, high)"));
}

#[test]
fn an_event_says_how_often_a_finding_opened_and_is_read_back_with_it() {
    let flaps = Finding { flaps: 4, ..finding("limits", "apps", "u") };
    let event = on_object(&subject("p"), Reason::FindingOpened, &flaps, "i", at(200));
    let note = "no limits (policy p, rule limits, high, opened 4 times lately)";
    assert_eq!(event.note.as_deref(), Some(note));
    assert_eq!(parse(&event).expect("an Event of ours").finding, flaps);
    let event = on_policy(&subject("p"), Reason::FindingOpened, &flaps, "i", at(200));
    assert!(event.note.is_some_and(|note| note.ends_with("rule limits, high, opened 4 times lately)")));
}

#[test]
fn an_event_that_happened_again_tells_when_it_did_last() {
    let mut event = on_object(&subject("p"), Reason::FindingOpened, &finding("r", "s", "u"), "i", at(200));
    event.series = Some(EventSeries { count: 3, last_observed_time: MicroTime(at(900)) });
    assert_eq!(parse(&event).expect("ours").at, at(900));
}

#[test]
fn events_of_others_are_left_alone() {
    let ours = || on_object(&subject("p"), Reason::FindingOpened, &finding("r", "s", "u"), "i", at(200));
    assert!(parse(&ours()).is_some());
    let spoilt: [fn(&mut Event); 5] = [
        |event| event.metadata.annotations = None,
        |event| event.regarding = None,
        |event| event.reason = Some("Started".into()),
        |event| drop(event.metadata.annotations.as_mut().map(|a| a.insert(SEVERITY.into(), "odd".into()))),
        |event| drop(event.metadata.annotations.as_mut().map(|a| a.insert(SINCE.into(), "soon".into()))),
    ];
    for spoil in spoilt {
        let mut event = ours();
        spoil(&mut event);
        assert_eq!(parse(&event), None);
    }
    assert_eq!(parse(&Event::default()), None);
    // The one on the policy is for people.
    assert_eq!(
        parse(&on_policy(&subject("p"), Reason::FindingOpened, &finding("r", "s", "u"), "i", at(1))),
        None
    );
}

#[test]
fn names_are_the_same_for_the_same_and_differ_for_what_differs() {
    let opened = Reason::FindingOpened;
    let first = on_object(&subject("p"), opened, &finding("r", "s", "u"), "i", at(1));
    let again = on_object(&subject("p"), opened, &finding("r", "s", "u"), "another", at(999));
    assert_eq!(name(&first), name(&again));
    // A later process, maybe of a later version, must find it again: the name is part of the format.
    assert_eq!(name(&first), "p.d466bdadf62f255a");
    // The API server lets no note be changed, so other words are another Event.
    let mut reworded = finding("r", "s", "u");
    reworded.message = "worse".into();

    let mut other_uid = subject("p");
    other_uid.uid = "created again".into();
    let events = [
        first,
        on_policy(&subject("p"), opened, &finding("r", "s", "u"), "i", at(1)),
        on_object(&subject("p"), Reason::FindingResolved, &finding("r", "s", "u"), "i", at(1)),
        on_object(&subject("p"), opened, &finding("r2", "s", "u"), "i", at(1)),
        on_object(&subject("p"), opened, &finding("r", "s2", "u"), "i", at(1)),
        on_object(&subject("p"), opened, &finding("r", "s", "u2"), "i", at(1)),
        // The parts do not run into one another.
        on_object(&subject("p"), opened, &finding("rs", "", "u"), "i", at(1)),
        on_object(&other_uid, opened, &finding("r", "s", "u"), "i", at(1)),
        on_object(&subject("p"), opened, &reworded, "i", at(1)),
        summary(&subject("p"), "i", at(1)),
    ];
    let names: BTreeSet<String> = events.iter().map(name).collect();
    assert_eq!(names.len(), events.len(), "{names:?}");
}

#[test]
fn every_valid_policy_name_gives_a_valid_event_name() {
    let long = format!("{}.{}", "a".repeat(199), "b".repeat(53));
    let dashed = format!("a{}-b{}", "-".repeat(198), "c".repeat(52));
    for policy in ["p", "a.b-c.d", &"x".repeat(253), &long, &dashed, "a.".repeat(126).trim_end_matches('.')] {
        assert!(is_subdomain(policy), "{policy}");
        let event = on_object(&subject(policy), Reason::FindingOpened, &finding("r", "s", "u"), "i", at(1));
        assert!(is_subdomain(&name(&event)), "{}", name(&event));
    }
}

#[test]
fn cluster_scoped_objects_have_their_events_where_kubectl_looks() {
    let mut finding = finding("r", "s", "u");
    finding.object.namespace = None;
    let event = on_object(&subject("p"), Reason::FindingOpened, &finding, "i", at(1));
    assert_eq!(event.metadata.namespace.as_deref(), Some("default"));
    assert_eq!(event.regarding.as_ref().and_then(|r| r.namespace.as_deref()), None);
    assert_eq!(parse(&event).expect("ours").finding.object.namespace, None);
    let event = on_policy(&subject("p"), Reason::FindingOpened, &finding, "i", at(1));
    assert_eq!(event.metadata.namespace.as_deref(), Some("default"));
}

#[test]
fn types_follow_from_what_happened() {
    let mut finding = finding("r", "s", "u");
    let kind = |reason, finding: &Finding| on_object(&subject("p"), reason, finding, "i", at(1)).type_;
    assert_eq!(kind(Reason::FindingOpened, &finding).as_deref(), Some("Warning"));
    assert_eq!(kind(Reason::FindingResolved, &finding).as_deref(), Some("Normal"));
    finding.severity = Severity::Info;
    assert_eq!(kind(Reason::FindingOpened, &finding).as_deref(), Some("Normal"));
}

#[test]
fn the_summary_has_the_same_words_each_time_so_that_it_is_one_series() {
    let first = summary(&subject("p"), "i", at(1));
    let later = summary(&subject("p"), "another", at(999));
    assert_eq!((name(&first), &first.note), (name(&later), &later.note));
    assert_eq!(first.reason.as_deref(), Some("EventsHeldBack"));
}

#[test]
fn warnings_are_one_event_for_each_generation_whatever_they_say() {
    let warning = |message: &str| Warning {
        field: "spec.rules[0].expression".into(),
        rule: None,
        at: Position { line: 1, column: 13 },
        message: message.into(),
        selections: Vec::new(),
    };
    let some = Warnings { listed: vec![warning("no such field")], omitted: 0 };
    let more = Warnings { listed: vec![warning(&"x".repeat(2000)), warning("b")], omitted: 7 };
    let event = |generation, of: &Warnings| warnings(&subject("p"), generation, of, "i", at(1));
    let first = event(1, &some).expect("something to say");
    assert_eq!(first.note.as_deref(), Some("spec.rules[0].expression at 1:13: no such field"));
    assert_eq!(first.reason.as_deref(), Some("SchemaWarnings"));
    assert!(is_subdomain(&name(&first)));
    let long = event(1, &more).expect("something to say");
    assert_eq!(name(&long), name(&first));
    let note = long.note.as_deref().expect("a note");
    assert!(note.len() <= MAX_NOTE_LEN && note.ends_with("(and 8 more, see status.warnings)"), "{note}");
    assert_ne!(name(&event(2, &some).expect("something to say")), name(&first));
    assert!(event(1, &Warnings::default()).is_none());
    assert!(parse(&first).is_none(), "it tells of no finding");
}

#[test]
fn a_policy_that_is_gone_is_not_pointed_at() {
    let gone = Subject { exists: false, ..subject("p") };
    assert_eq!(on_object(&gone, Reason::FindingResolved, &finding("r", "s", "u"), "i", at(1)).related, None);
}

proptest! {
    /// Whatever rules say and objects are called: within the API server's limits, and read back.
    #[test]
    fn notes_fit_and_messages_survive(
        message in "\\PC{0,400}",
        policy in "[a-z]{1,63}(\\.[a-z]{1,60}){0,3}",
        object in "[a-z]{1,253}",
        instance in "\\PC{0,200}",
    ) {
        let mut finding = finding("rule-of-some-length", "selection", "u");
        finding.message = one_line(&message, crate::core::rules::MAX_MESSAGE_LEN).into();
        finding.object.name = object.as_str().into();
        for reason in [Reason::FindingOpened, Reason::FindingResolved] {
            for event in [
                on_object(&subject(&policy), reason, &finding, &instance, at(500)),
                on_policy(&subject(&policy), reason, &finding, &instance, at(500)),
            ] {
                prop_assert!(event.note.as_ref().is_some_and(|note| note.len() <= MAX_NOTE_LEN));
                prop_assert!(event.reporting_instance.as_ref().is_some_and(|i| i.len() <= MAX_INSTANCE_LEN));
                prop_assert!(is_subdomain(&name(&event)));
            }
        }
        let opened = on_object(&subject(&policy), Reason::FindingOpened, &finding, &instance, at(500));
        // A group has no object that an Event could be on.
        let mut group = finding.clone();
        (group.key, group.object) = (FindingKey::of_group("r".into(), &object), ObjectId::of_group(&object));
        let on_group = on_policy(&subject(&policy), Reason::FindingOpened, &group, &instance, at(500));
        prop_assert_eq!(&on_group.related, &None);
        prop_assert!(on_group.note.as_ref().is_some_and(|note| note.len() <= MAX_NOTE_LEN));
        prop_assert_eq!(parse(&on_group).map(|told| told.finding), Some(group));
        let mut long = finding.clone();
        long.message = message.repeat(5).into();
        let note = on_object(&subject(&policy), Reason::FindingOpened, &long, "i", at(500)).note;
        prop_assert!(note.is_some_and(|note| note.len() <= MAX_NOTE_LEN));
        prop_assert_eq!(parse(&opened).map(|told| told.finding), Some(finding));
    }
}
