//! Policies come, change and go while objects stay.

use super::*;

const LOW_AND_NOTED: &str = "
rules:
- name: low
  severity: high
  expression: object.spec.level <= 3
  messageExpression: \"'level ' + string(object.spec.level)\"
- {name: noted, expression: has(object.spec.note)}
";

fn edited(more: &str) -> Arc<CompiledPolicy> {
    named("p", "uid-1", 2, &format!("{SELECTION}\n{more}"))
}

#[test]
fn a_rule_that_is_removed_takes_its_findings_along_and_leaves_the_others() {
    let (mut world, said) = World::listed(policy(LOW_AND_NOTED), &[item("shop/a").level(9)]);
    assert_eq!(said, ["opened low shop/a", "opened noted shop/a"]);
    world.wait(5);
    assert_eq!(world.assign([(edited(LOW), [ITEMS])]), ["resolved noted shop/a RuleGone"]);
    assert!(!world.settled(), "not judged under the new generation yet");
    assert_eq!(world.work(), NOTHING);
    assert!(world.settled());
    assert_eq!(world.open()[0].since, at(0));
    assert_eq!(world.report().generation, 2);
}

#[test]
fn a_rule_that_no_longer_compiles_keeps_its_findings_until_it_does_again() {
    let bad = |path| item(path).level(9);
    let (mut world, said) = World::listed(policy(LOW), &[bad("shop/a"), bad("shop/b"), bad("shop/c")]);
    assert_eq!(said.len(), 3);
    let broken = format!("{SELECTION}\nrules: [{{name: low, expression: 'object.spec.level <='}}]");
    let broken = with_problems("p", "uid-1", 2, &broken);
    assert!(!broken.problems.is_empty());
    assert_eq!(world.assign([(broken, [ITEMS])]), NOTHING, "a typo mends nothing");
    assert_eq!(world.work(), NOTHING);
    assert!(world.settled());
    assert_eq!(world.seen(&item("shop/a").level(1)), NOTHING, "nothing can be said of it");
    assert_eq!(world.gone(&bad("shop/b")), ["resolved low shop/b ObjectGone"]);
    world.wait(5);
    let mended = named("p", "uid-1", 3, &format!("{SELECTION}\n{LOW}"));
    assert_eq!(world.assign([(mended, [ITEMS])]), NOTHING);
    assert_eq!(world.work(), ["resolved low shop/a Compliant"]);
    assert_eq!(world.open()[0].since, at(0), "shop/c was wrong all the time");
}

#[test]
fn a_rule_that_changes_is_judged_on_what_is_known_already() {
    let (mut world, _) = World::listed(policy(LOW), &[item("shop/a").level(2), item("shop/b").level(9)]);
    let stricter = LOW.replace("<= 3", "<= 1").replace("severity: high", "severity: critical");
    assert_eq!(world.assign([(edited(&stricter), [ITEMS])]), NOTHING);
    assert_eq!(world.work(), ["opened low shop/a", "changed low shop/b: level 9"], "the severity changed");
}

#[test]
fn a_rule_that_no_longer_judges_a_selection_lets_go_of_it() {
    let spec = "
resources:
- {name: items, apiVersion: example.io/v1, kind: Item}
- {name: others, apiVersion: example.io/v1, kind: Item}
rules:
- {name: low, resources: [items], expression: object.spec.level <= 3}
";
    let (mut world, said) = World::listed(named("p", "uid-1", 1, spec), &[item("shop/a").level(9)]);
    assert_eq!(said, ["opened low shop/a"]);
    let moved = named("p", "uid-1", 2, &spec.replace("[items]", "[others]"));
    assert_eq!(world.assign([(moved, [ITEMS])]), ["resolved low shop/a RuleGone"]);
    assert_eq!(world.work(), NOTHING);
}

#[test]
fn findings_that_persist_do_not_flap_when_the_selection_moves_to_another_watch() {
    let bad = |path| item(path).level(9);
    let (mut world, said) = World::listed(policy(LOW), &[bad("shop/a"), bad("bank/b")]);
    assert_eq!(said.len(), 2);
    world.wait(100);
    let narrow = WatchId(7);
    assert_eq!(world.assign([(edited(LOW), [narrow])]), NOTHING);
    assert_eq!(world.work(), NOTHING);
    assert_eq!(world.report().open(), 2, "in doubt, not resolved");
    assert!(!world.settled());
    let list = [bad("shop/a").object()];
    assert_eq!(
        world.list_of(narrow, &list),
        ["resolved low bank/b NotSeen"],
        "only what the new watch does not have"
    );
    assert!(world.settled());
    let open = world.open();
    assert_eq!((open.len(), open[0].since), (1, at(0)));
}

#[test]
fn a_selection_fed_by_several_watches_is_settled_when_all_of_them_are() {
    let (first, second) = (WatchId(5), WatchId(6));
    let mut world = World::default();
    assert_eq!(world.assign([(policy(LOW), [first, second])]), NOTHING);
    assert_eq!(world.work(), NOTHING);
    assert_eq!(world.list_of(first, &[item("shop/a").level(9).object()]), ["opened low shop/a"]);
    assert!(!world.settled());
    assert_eq!(world.list_of(second, &[]), NOTHING);
    assert!(world.settled());
    assert_eq!(world.report().selections[0].objects, 1);
}

/// The first edit left work behind; by the second one the policy reads another watch.
#[test]
fn what_is_queued_for_a_watch_that_a_policy_no_longer_reads_is_not_judged() {
    let shared = named("q", "uid-q", 1, &format!("{SELECTION}\n{LOW}"));
    let mut world = World::default();
    assert_eq!(world.assign([(policy(LOW), [ITEMS]), (shared.clone(), [ITEMS])]), NOTHING);
    assert_eq!(world.list(&[item("shop/a"), item("shop/b").level(2)]), NOTHING);
    let stricter = edited(&LOW.replace("<= 3", "<= 1"));
    assert_eq!(world.assign([(stricter.clone(), [ITEMS]), (shared.clone(), [ITEMS])]), NOTHING);
    let narrow = WatchId(7);
    let mut next = world.assignment.clone();
    let reader = |policy: &str| Reader { policy: PolicyKey(policy.into()), selection: "items".into() };
    next.routes.get_mut(&ITEMS).expect("route").readers = [reader("q")].into();
    next.routes.entry(narrow).or_default().readers = [reader("p")].into();
    assert_eq!(world.take(next), NOTHING);
    assert_eq!(world.work(), NOTHING, "b is not p's any more");
    assert_eq!(world.list_of(narrow, &[item("shop/a").object()]), NOTHING);
    assert!(world.settled());
}

#[test]
fn a_policy_that_is_deleted_leaves_nothing_and_one_created_again_starts_afresh() {
    let (mut world, _) = World::listed(policy(LOW), &[item("shop/a").level(9)]);
    world.wait(7);
    let other = named("p", "uid-2", 1, &format!("{SELECTION}\n{LOW}"));
    assert_eq!(world.assign([(other, [ITEMS])]), NOTHING);
    assert_eq!(world.report().open(), 0);
    assert_eq!(world.work(), ["opened low shop/a"]);
    assert_eq!(world.open()[0].since, at(7));
    assert_eq!(&*world.report().uid, "uid-2");
    assert_eq!(world.assign::<0>([]), NOTHING);
    assert!(world.engine.report(&PolicyKey("p".into()), 1).is_none());
    assert_eq!(world.engine.objects(ITEMS), 0, "nobody reads them");
}

#[test]
fn a_suspended_policy_is_not_judged_and_forgets() {
    let (mut world, _) = World::listed(policy(LOW), &[item("shop/a").level(9)]);
    let suspended = edited(&format!("suspend: true\n{LOW}"));
    assert_eq!(world.assign([(suspended, [ITEMS])]), NOTHING);
    assert!(world.engine.report(&PolicyKey("p".into()), 1).is_none());
    assert_eq!(world.seen(&item("shop/b").level(9)), NOTHING);
    let resumed = named("p", "uid-1", 3, &format!("{SELECTION}\n{LOW}"));
    assert_eq!(world.assign([(resumed, [ITEMS])]), NOTHING);
    assert_eq!(world.work(), ["opened low shop/a", "opened low shop/b"]);
}

#[test]
fn findings_of_a_kind_that_is_uninstalled_are_resolved() {
    let (mut world, _) = World::listed(policy(LOW), &[item("shop/a").level(9)]);
    let reader = Reader { policy: PolicyKey("p".into()), selection: "items".into() };
    let absent = Assignment {
        policies: world.assignment.policies.clone(),
        absent: [reader].into(),
        ..Assignment::default()
    };
    assert_eq!(world.take(absent), ["resolved low shop/a NotSeen"]);
    assert!(world.settled(), "that there is nothing is known");
    let again = WatchId(8);
    assert_eq!(world.assign([(policy(LOW), [again])]), NOTHING);
    assert!(!world.settled());
    assert_eq!(world.list_of(again, &[item("shop/a").again().level(9).object()]), ["opened low shop/a"]);
}

#[test]
fn policies_that_do_not_read_the_time_are_left_alone_by_it() {
    let (mut world, _) = World::listed(policy(LOW), &[item("shop/a")]);
    world.engine.tick(at(1_000_000));
    assert!(!world.engine.has_work());
}

#[test]
fn two_policies_on_one_watch_are_judged_each_by_its_own_rules() {
    let other = named(
        "q",
        "uid-q",
        1,
        &format!("{SELECTION}\nrules: [{{name: noted, expression: has(object.spec.note)}}]"),
    );
    let mut world = World::default();
    assert_eq!(world.assign([(policy(LOW), [ITEMS]), (other, [ITEMS])]), NOTHING);
    assert_eq!(world.list(&[item("shop/a").level(9)]), ["opened low shop/a", "opened q: noted shop/a"]);
    // One of them goes; the other does not notice.
    assert_eq!(world.assign([(policy(LOW), [ITEMS])]), NOTHING);
    assert_eq!(world.work(), NOTHING);
    assert_eq!(world.seen(&item("shop/a")), ["resolved low shop/a Compliant"]);
}

/// A policy that selects some of what its watch is of.
fn selecting(spec: &str, labels: &str) -> World {
    let policy = named("p", "uid-1", 1, &spec.replace("kind: Item", &format!("kind: Item{labels}")));
    let reader = Reader { policy: policy.key.clone(), selection: "items".into() };
    let route = Route {
        readers: [reader.clone()].into(),
        terms: [(reader, Terms { since: 0, select: true })].into(),
        ..Route::default()
    };
    let mut world = World::default();
    world.take(Assignment {
        policies: Arc::new([(policy.key.clone(), policy)].into()),
        routes: [(ITEMS, route)].into(),
        ..Assignment::default()
    });
    world
}

fn labelled(name: &str, level: i64, labels: serde_json::Value) -> Arc<ProjectedObject> {
    let metadata = serde_json::json!({"namespace": "x", "name": name, "uid": name, "labels": labels});
    let item = serde_json::json!({
        "apiVersion": "example.io/v1", "kind": "Item", "metadata": metadata, "spec": {"level": level},
    });
    object(&item.to_string())
}

#[test]
fn what_a_wider_watch_brings_is_selected_here() {
    let rules = "rules:
- {name: low, expression: object.spec.level <= 3}
- {name: came, 'on': [Create], expression: 'false'}
- {name: went, 'on': [Delete], expression: 'false'}";
    let mut world = selecting(&format!("{SELECTION}\n{rules}"), ", labelSelector: {matchLabels: {tier: a}}");
    let a = || serde_json::json!({"tier": "a"});
    let b = || serde_json::json!({"tier": "b"});
    let first = [labelled("one", 9, a()), labelled("two", 9, b())];
    assert_eq!(world.list_of(ITEMS, &first), ["opened low x/one"]);
    assert_eq!(world.report().selections[0].objects, 1);
    // As for a watch with a selector, who begins to match has come, and who ceases to has gone.
    let said = world.event(ITEMS, ObjectEvent::Seen(labelled("two", 9, a())));
    assert_eq!(said, ["opened low x/two", "occurred came x/two: created"]);
    assert_eq!(world.report().selections[0].objects, 2);
    let said = world.event(ITEMS, ObjectEvent::Seen(labelled("one", 9, b())));
    assert_eq!(said, ["resolved low x/one NotSelected", "occurred went x/one: deleted"]);
    let key = |name: &str| ObjectKey { namespace: Some("x".into()), name: name.into() };
    assert_eq!(world.event(ITEMS, ObjectEvent::Gone(key("one"))), NOTHING);
    let said = world.event(ITEMS, ObjectEvent::Gone(key("two")));
    assert_eq!(said, ["resolved low x/two ObjectGone", "occurred went x/two: deleted"]);
    assert_eq!(world.report().selections[0].objects, 0);
}
