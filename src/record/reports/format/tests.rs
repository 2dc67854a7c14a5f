//! What tools read, and that a later process reads it as it was.

use std::hash::RandomState;

use serde_json::json;

use super::*;
use crate::core::chain::{Chain, Link};
use crate::core::fields::{FieldChange, Fields};
use crate::core::finding::ObjectId;
use crate::core::slices::{Item, place};

fn key(name: &str) -> PolicyKey {
    PolicyKey(name.into())
}

fn object(name: &str) -> ObjectId {
    ObjectId {
        api_version: "v1".into(),
        kind: "Pod".into(),
        namespace: Some("shop".into()),
        name: name.into(),
        uid: format!("uid-{name}").into(),
    }
}

fn finding() -> Finding {
    Finding {
        key: FindingKey { rule: "limits".into(), selection: "pods".into(), uid: "uid-web".into() },
        severity: Severity::High,
        object: object("web"),
        message: "no limits".into(),
        fields: Fields::default(),
        chain: Chain::default(),
        tags: crate::core::tags::Tags::default(),
        since: "2024-05-01T12:00:00.75Z".parse().expect("a time"),
        flaps: 0,
    }
}

fn leaf() -> Leaf {
    let items = vec![Item { hash: 0, size: 9, id: 1 }, Item { hash: u64::MAX, size: 9, id: 2 }];
    place(items, 10)[1].0
}

fn json_of(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("JSON")
}

/// As the API server has it after it was applied.
fn stored(place: &Place, head: &Head, results: &[ReportResult]) -> DynamicObject {
    let mut body = json_of(&Body::new(place, head, results.to_vec()));
    body["metadata"]["resourceVersion"] = json!("7");
    body["metadata"]["labels"]["team"] = json!("a");
    serde_json::from_value(body).expect("an object")
}

#[test]
fn a_report_is_read_as_what_it_was() {
    let (policy, hasher) = (key("p"), RandomState::new());
    let subject = Subject { key: &policy, uid: "policy-uid" };
    let mut group = finding();
    group.key = FindingKey::of_group("limits".into(), "team a");
    group.object = ObjectId::of_group("team a");
    let results = [subject.result(&finding(), 5), subject.result(&group, 6)];
    let digests = || results.iter().map(|result| result.measure(&hasher).1);
    for namespace in [None, Some(Arc::from("shop"))] {
        let place = subject.slice(namespace.as_ref(), leaf());
        let head = subject.slice_head(namespace.as_ref(), 2);
        let found = Found::read(stored(&place, &head, &results)).expect("one of ours");
        assert_eq!((&found.place, &found.version), (&place, &"7".to_owned()));
        assert_eq!(found.policy, (policy.clone(), "policy-uid".to_owned()));
        assert_eq!(found.results, results);
        let read = found.head.expect("a head");
        assert_eq!(digest(&read, digests(), &hasher), digest(&head, digests(), &hasher));
        assert_ne!(digest(&read, digests().rev(), &hasher), digest(&head, digests(), &hasher));
    }
    assert_eq!(results.each_ref().map(ReportResult::key), [Some(finding().key), Some(group.key)]);
    assert_eq!(results.each_ref().map(ReportResult::namespace), [Some("shop".into()), None]);
    assert_eq!(results[0].measure(&hasher).0, json_of(&results[0]).to_string().len() + 1);
}

#[test]
fn what_others_made_of_a_report_differs_or_is_none_of_ours() {
    let policy = key("p");
    let subject = Subject { key: &policy, uid: "policy-uid" };
    let place = subject.overview();
    let head = subject.overview_head(&Totals { open: 3, listed: 2, ..Totals::default() });
    let mut object = stored(&place, &head, &[subject.result(&finding(), 5)]);
    assert_eq!(Found::read(object.clone()).expect("ours").head.as_ref(), Some(&head));
    object.data["results"] = json!([{"policy": "somebody's"}]);
    let found = Found::read(object.clone()).expect("still ours");
    assert_eq!((found.head, found.results), (None, Vec::new()));
    object.data["results"] = json!("nothing that can be read");
    assert_eq!(Found::read(object.clone()).expect("still ours").head, None);
    object.metadata.owner_references = None;
    assert_eq!(Found::read(object), None);
}

#[test]
fn a_result_says_what_is_known_in_the_words_of_openreports() {
    let policy = key("p");
    let subject = Subject { key: &policy, uid: "policy-uid" };
    let time = Timestamp::from_second(1_000).expect("a time");
    let field = FieldChange { path: "spec.a".into(), from: None, to: Some("1".into()), actor: None, time };
    let link = Link {
        lookup: "service".into(),
        api_version: "v1".into(),
        kind: "Service".into(),
        objects: vec![object("s")],
        omitted: 0,
        failed: Some("does not exist".into()),
    };
    let mut finding = finding();
    finding.fields = Fields { listed: [field].into(), omitted: 2 };
    finding.chain = Chain([link].into());
    finding.flaps = 3;
    let result = json_of(&subject.result(&finding, 1_714_564_800));
    let property = |name: &str| result["properties"][name].as_str().unwrap_or_default();
    assert_eq!(result["severity"], "high");
    assert_eq!(result["timestamp"], json!({"seconds": 1_714_564_800, "nanos": 0}));
    assert_eq!(result["resources"][0]["uid"], "uid-web");
    assert_eq!(property("since"), "2024-05-01T12:00:00Z");
    assert_eq!((property("selection"), property("flaps"), property("fieldsOmitted")), ("pods", "3", "2"));
    let fields: Value = serde_json::from_str(property("fields")).expect("JSON");
    assert_eq!((&fields[0]["path"], &fields[0]["to"]), (&json!("spec.a"), &json!("1")));
    let chain: Value = serde_json::from_str(property("chain")).expect("JSON");
    assert_eq!(chain[0]["failed"], "does not exist");
}

#[test]
fn long_lists_are_cut_between_their_entries() {
    let entries: Vec<String> = (0..100).map(|n| format!("{n:0>100}")).collect();
    let (text, omitted) = as_many(&entries, 5);
    let read: Vec<String> = serde_json::from_str(&text).expect("JSON");
    assert!(text.len() <= MAX_LIST_LEN && text.len() > MAX_LIST_LEN - 110, "{}", text.len());
    assert_eq!((read.len() + omitted, &read[..]), (105, &entries[..read.len()]));
    assert_eq!(as_many::<String>(&[], 0), ("[]".to_owned(), 0));
}

#[test]
fn names_and_labels_are_what_an_api_server_takes_whatever_the_policy_is_called() {
    let valid = |name: &str, max: usize| {
        let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        name.len() <= max
            && name.split('.').all(|part| ends(part.chars().next()) && ends(part.chars().last()))
    };
    let long = "a.".repeat(126) + "b";
    let cut_at_a_dot = "a".repeat(MAX_POLICY_LEN - 1) + ".b";
    let mut names = std::collections::BTreeSet::new();
    for name in ["p", "a.b-c.d", &long, &cut_at_a_dot, &(long[..251].to_owned() + "x")] {
        let policy = key(name);
        for uid in ["1", "2"] {
            let subject = Subject { key: &policy, uid };
            for place in [subject.overview(), subject.slice(None, leaf())] {
                assert!(valid(&place.name, 253), "{}", place.name);
                assert!(names.insert(place.name), "one name for two");
            }
        }
        let label = policy_label(&policy);
        assert!(
            label.len() <= MAX_LABEL_LEN && label.ends_with(|c: char| c.is_ascii_alphanumeric()),
            "{label}"
        );
    }
    assert_eq!(policy_label(&key("a.b-c.d")), "a.b-c.d");
    let policy = key("shop");
    let name = Subject { key: &policy, uid: "u" }.slice(None, leaf()).name;
    assert!(name.starts_with("polywatch-shop-") && name.ends_with("-s1"), "{name}");
}

#[test]
fn the_overview_counts_exactly() {
    let policy = key("p");
    let subject = Subject { key: &policy, uid: "policy-uid" };
    let totals = Totals {
        open: 12,
        listed: 10,
        by_severity: [1, 2, 3, 4, 2],
        not_known: vec!["a".into(), "b".into()],
    };
    let body = json_of(&Body::new(&subject.overview(), &subject.overview_head(&totals), Vec::new()));
    assert_eq!(body["summary"]["fail"], 12);
    assert_eq!(body["scope"]["kind"], "MonitorPolicy");
    assert_eq!(
        body["metadata"]["annotations"],
        json!({
            "polywatch.dev/findings-open": "12",
            "polywatch.dev/findings-listed": "10",
            "polywatch.dev/findings-omitted": "2",
            "polywatch.dev/findings-by-severity": "critical=2 high=4 medium=3 low=2 info=1",
            "polywatch.dev/resources-not-known": "a b",
        })
    );
}
