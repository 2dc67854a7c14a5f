//! What is noted of an object with its findings, because it decides who is told.

use super::*;
use crate::core::tags::{Silence, Tags};

const NOTIFY: &str =
    "notify: [{sink: on-call, labelSelector: {matchExpressions: [{key: team, operator: Exists}]}}]";

fn item_with(level: i64, metadata: &str) -> Arc<ProjectedObject> {
    object(&format!(
        r#"{{"apiVersion":"example.io/v1","kind":"Item","metadata":{{"name":"a","namespace":"n","uid":"u","resourceVersion":"1"{metadata}}},"spec":{{"level":{level}}}}}"#
    ))
}

fn tags(world: &World) -> Tags {
    world.open()[0].tags.clone()
}

#[test]
fn labels_that_routes_read_and_the_wish_for_silence_are_noted_and_kept_up_to_date() {
    let mut world = World::of(policy(&format!("{LOW}\n{NOTIFY}")));
    let labelled = item_with(9, r#","labels":{"team":"shop","other":"x"}"#);
    world.list_of(ITEMS, &[labelled]);
    assert_eq!(tags(&world).labels, [("team".into(), "shop".into())].into());
    assert_eq!(tags(&world).silence, None);
    let silenced = item_with(
        9,
        r#","labels":{"team":"till"},"annotations":{"polywatch.dev/silence-until":"2030-01-01T00:00:00Z"}"#,
    );
    let said = world.event(ITEMS, ObjectEvent::Seen(silenced));
    assert_eq!(said.len(), 1, "who tells of it has to look again: {said:?}");
    assert_eq!(tags(&world).label("team"), Some("till"));
    let until = "2030-01-01T00:00:00Z".parse().expect("a time");
    assert_eq!(tags(&world).silence, Some(Silence::Until(until)));
    let unreadable = item_with(9, r#","annotations":{"polywatch.dev/silence-until":"next week"}"#);
    world.event(ITEMS, ObjectEvent::Seen(unreadable));
    assert_eq!(tags(&world).silence, Some(Silence::Unreadable("next week".into())));
    assert!(tags(&world).labels.is_empty());
    // What no route reads is no news.
    let other =
        item_with(9, r#","labels":{"other":"y"},"annotations":{"polywatch.dev/silence-until":"next week"}"#);
    assert!(world.event(ITEMS, ObjectEvent::Seen(other)).is_empty());
}

#[test]
fn a_policy_that_tells_nobody_notes_nothing() {
    let mut world = World::of(policy(LOW));
    let silenced = item_with(
        9,
        r#","labels":{"team":"a"},"annotations":{"polywatch.dev/silence-until":"2030-01-01T00:00:00Z"}"#,
    );
    world.list_of(ITEMS, &[silenced]);
    assert!(tags(&world).is_empty());
    assert!(world.event(ITEMS, ObjectEvent::Seen(item_with(9, ""))).is_empty());
}
