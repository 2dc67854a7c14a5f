//! Objects come, change and go.

use super::*;

#[test]
fn a_finding_opens_changes_and_resolves_each_once() {
    let (mut world, said) = World::listed(policy(LOW), &[item("shop/a")]);
    assert_eq!(said, NOTHING);
    assert_eq!(world.seen(&item("shop/a").level(5)), ["opened low shop/a"]);
    assert_eq!(world.seen(&item("shop/a").level(5)), NOTHING, "the same state again");
    assert_eq!(world.seen(&item("shop/a").level(5).note("new")), NOTHING, "another state, the same finding");
    assert_eq!(world.seen(&item("shop/a").level(6)), ["changed low shop/a: level 6"]);
    assert_eq!(world.seen(&item("shop/a").level(2)), ["resolved low shop/a Compliant"]);
    assert_eq!(world.seen(&item("shop/a")), NOTHING);
}

#[test]
fn a_deletion_resolves_and_an_unknown_object_may_go() {
    let bad = item("shop/a").level(9);
    let (mut world, said) = World::listed(policy(LOW), std::slice::from_ref(&bad));
    assert_eq!(said, ["opened low shop/a"]);
    assert_eq!(world.gone(&item("shop/other")), NOTHING);
    assert_eq!(world.gone(&bad), ["resolved low shop/a ObjectGone"]);
    assert_eq!(world.gone(&bad), NOTHING);
    assert_eq!(world.report().selections[0].objects, 0);
}

#[test]
fn a_fresh_list_resolves_what_it_no_longer_has() {
    let bad = |path| item(path).level(9);
    let (mut world, said) = World::listed(policy(LOW), &[bad("shop/a"), bad("shop/b"), bad("shop/c")]);
    assert_eq!(said.len(), 3);
    // b was mended and c deleted while nobody looked; d came.
    assert_eq!(
        world.list(&[bad("shop/a"), item("shop/b"), bad("shop/d")]),
        ["resolved low shop/b Compliant", "opened low shop/d", "resolved low shop/c ObjectGone"]
    );
}

#[test]
fn a_list_that_broke_off_decides_nothing() {
    let bad = |path| item(path).level(9);
    let (mut world, _) = World::listed(policy(LOW), &[bad("shop/a"), bad("shop/b")]);
    assert_eq!(world.event(ITEMS, ObjectEvent::Relisting), NOTHING);
    assert_eq!(world.seen(&bad("shop/a")), NOTHING);
    // Begun again, and this time complete; now it is a that is gone.
    assert_eq!(world.list(&[bad("shop/b")]), ["resolved low shop/a ObjectGone"]);
}

#[test]
fn an_object_created_again_under_its_name_is_another_object() {
    let bad = item("shop/a").level(9);
    let (mut world, _) = World::listed(policy(LOW), std::slice::from_ref(&bad));
    world.wait(5);
    assert_eq!(world.seen(&bad.clone().again()), ["resolved low shop/a ObjectGone", "opened low shop/a"]);
    assert_eq!(world.open()[0].since, at(5));
    assert_eq!(world.report().selections[0].objects, 1);
}

#[test]
fn an_error_neither_opens_nor_resolves() {
    let (mut world, said) = World::listed(policy(LOW), &[item("shop/a").without_level()]);
    assert_eq!(said, NOTHING);
    assert_eq!(world.report().rule_errors, 1);
    let error = world.report().rules[0].last_error.clone().expect("an error");
    assert!(error.contains("level"), "{error}");
    assert_eq!(world.seen(&item("shop/a").level(9)), ["opened low shop/a"]);
    assert_eq!(world.report().rule_errors, 0);
    assert_eq!(world.report().rules[0].last_error, None);
    assert_eq!(world.seen(&item("shop/a").without_level()), NOTHING, "open stays open");
    let report = world.report();
    assert_eq!((report.open(), report.rule_errors), (1, 1));
    assert_eq!(world.gone(&item("shop/a")), ["resolved low shop/a ObjectGone"]);
    assert_eq!(world.report().rule_errors, 0);
}

const CONDITIONED: &str = "
matchConditions:
- {name: first, expression: object.spec.level > 0}
- {name: has-note, expression: has(object.spec.note)}
rules:
- {name: low, expression: object.spec.level <= 3}
- {name: short, expression: 'size(object.spec.note) < 5'}
";

#[test]
fn one_false_condition_skips_an_object_whatever_the_others_say() {
    let (mut world, said) = World::listed(policy(CONDITIONED), &[item("shop/a").level(9)]);
    assert_eq!(said, NOTHING, "no note");
    // The first condition fails, the second is false: skipped, as at admission.
    assert_eq!(world.seen(&item("shop/a").without_level()), NOTHING);
    assert_eq!(world.report().rule_errors, 0);
    assert_eq!(
        world.seen(&item("shop/a").level(9).note("a long note")),
        ["opened low shop/a", "opened short shop/a"]
    );
    assert_eq!(
        world.seen(&item("shop/a").level(9)),
        ["resolved low shop/a NotSelected", "resolved short shop/a NotSelected"]
    );
}

#[test]
fn a_condition_that_fails_is_an_error_of_every_rule() {
    let (mut world, said) =
        World::listed(policy(CONDITIONED), &[item("shop/a").level(9).note("a long note")]);
    assert_eq!(said.len(), 2);
    assert_eq!(world.seen(&item("shop/a").without_level().note("a long note")), NOTHING);
    let report = world.report();
    assert_eq!((report.open(), report.rule_errors), (2, 2));
    for rule in report.rules {
        let error = rule.last_error.expect("an error");
        assert!(error.starts_with("Item shop/a: matchCondition first: "), "{error}");
    }
}

#[test]
fn variables_are_read_by_conditions_rules_and_messages() {
    let spec = "
variables:
- {name: level, expression: object.spec.level}
- {name: twice, expression: variables.level * 2}
matchConditions:
- {name: some, expression: variables.level > 1}
rules:
- name: low
  expression: variables.twice <= 6
  messageExpression: \"'twice is ' + string(variables.twice)\"
";
    let (mut world, said) = World::listed(policy(spec), &[item("shop/a"), item("shop/b").level(4)]);
    assert_eq!(said, ["opened low shop/b"]);
    assert_eq!(&*world.open()[0].message, "twice is 8");
    assert_eq!(
        world.seen(&item("shop/b")),
        ["resolved low shop/b NotSelected"],
        "the condition reads it, too"
    );
}

#[test]
fn the_request_tells_what_was_asked_for() {
    let spec = "
rules:
- name: told
  expression: >-
    request.operation == 'CREATE' && request.namespace == 'shop' && request.name == 'a'
    && request.kind.kind == 'Item' && request.kind.group == 'example.io'
    && request.resource.resource == 'items' && request.resource.version == 'v1'
- {name: no-old-object, expression: oldObject == null}
";
    let (world, said) = World::listed(policy(spec), &[item("shop/a")]);
    assert_eq!(said, NOTHING);
    assert_eq!(world.report().rule_errors, 0);
}

#[test]
fn an_event_of_a_stopped_watch_is_nobodys() {
    let mut world = World::of(policy(LOW));
    assert_eq!(world.event(WatchId(99), ObjectEvent::Seen(item("shop/a").level(9).object())), NOTHING);
    assert_eq!(world.event(WatchId(99), ObjectEvent::Synced), NOTHING);
    assert_eq!(world.engine.objects(WatchId(99)), 0);
}
