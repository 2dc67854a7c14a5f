//! Rules on changes: each change is judged once, when it happens.

use proptest::prelude::*;

use super::*;

/// Not in order: a level that rises, what begins high, and what goes while it is high.
const RISES: &str = "
rules:
- name: rises
  on: [Create, Update, Delete]
  severity: high
  expression: >-
    request.operation == 'CREATE' ? object.spec.level <= 3 && oldObject == null
    : request.operation == 'DELETE' ? oldObject.spec.level <= 3 && object == null
    : object.spec.level <= oldObject.spec.level
";

fn rises() -> Arc<CompiledPolicy> {
    policy(RISES)
}

#[test]
fn each_change_that_is_not_in_order_occurs_once_and_nothing_stands() {
    let (mut world, said) = World::listed(rises(), &[item("x/a")]);
    assert_eq!(said, NOTHING, "a first list says what there is");
    assert_eq!(
        world.seen(&item("x/a").level(2)),
        ["occurred rises x/a: spec.level: 1 → 2 by an unknown manager"]
    );
    assert_eq!(world.seen(&item("x/a").level(2)), NOTHING, "the same state again is no change");
    assert_eq!(world.seen(&item("x/a").level(1)), NOTHING);
    assert_eq!(world.seen(&item("x/a").level(9)).len(), 1);
    assert_eq!(world.seen(&item("x/b").level(9)), ["occurred rises x/b: created"]);
    assert_eq!(world.seen(&item("x/c").level(3)), NOTHING);
    assert_eq!(world.gone(&item("x/c")), NOTHING);
    assert_eq!(world.gone(&item("x/a")), ["occurred rises x/a: deleted"]);
    assert_eq!(world.gone(&item("x/a")), NOTHING);
    let report = world.report();
    assert_eq!((report.open(), report.occurred, report.rules[0].occurred), (0, 4, 4));
    let latest: Vec<&str> = report.latest.iter().map(|o| o.operation.as_str()).collect();
    assert_eq!(latest, ["DELETE", "CREATE", "UPDATE", "UPDATE"]);
}

#[test]
fn what_happened_while_nobody_looked_is_judged_against_the_last_known_state() {
    let (mut world, _) = World::listed(rises(), &[item("x/a"), item("x/b").level(5), item("x/c").level(7)]);
    let said = world.list(&[item("x/a").level(4), item("x/c").again().level(8), item("x/d").level(6)]);
    assert_eq!(
        said,
        [
            "occurred rises x/a: spec.level: 1 → 4 by an unknown manager",
            "occurred rises x/c: deleted",
            "occurred rises x/c: created",
            "occurred rises x/d: created",
            "occurred rises x/b: deleted",
        ]
    );
    let same = [item("x/a").level(4), item("x/c").again().level(8), item("x/d").level(6)];
    assert_eq!(world.list(&same), NOTHING);
}

#[test]
fn a_first_list_that_breaks_off_creates_nothing() {
    let mut world = World::of(rises());
    world.event(ITEMS, ObjectEvent::Relisting);
    assert_eq!(world.seen(&item("x/a").level(9)), NOTHING);
    assert_eq!(world.list(&[item("x/a").level(9), item("x/b").level(9)]), NOTHING);
    assert_eq!(world.seen(&item("x/c").level(9)), ["occurred rises x/c: created"]);
}

#[test]
fn an_edited_policy_repeats_nothing_and_a_new_rule_begins_with_what_is() {
    let (mut world, _) = World::listed(rises(), &[item("x/a")]);
    assert_eq!(world.seen(&item("x/a").level(5)).len(), 1);
    let edited = format!("{RISES}\n- {{name: any, on: [Update], expression: 'false', message: not allowed}}");
    assert_eq!(world.assign([(policy(&edited), [ITEMS])]), NOTHING);
    assert_eq!(world.work(), NOTHING);
    assert_eq!(
        world.seen(&item("x/a").level(4)),
        ["occurred any x/a: not allowed: spec.level: 5 → 4 by an unknown manager"]
    );
    let report = world.report();
    assert_eq!((report.occurred, report.rules[0].occurred, report.rules[1].occurred), (2, 1, 1));
}

#[test]
fn a_policy_that_comes_later_takes_the_present_for_its_beginning() {
    let q = named("q", "uid-q", 1, &format!("{SELECTION}\n{RISES}"));
    let (mut world, _) = World::listed(rises(), &[item("x/a")]);
    world.seen(&item("x/a").level(5));
    assert_eq!(world.assign([(rises(), [ITEMS]), (q, [ITEMS])]), NOTHING);
    assert_eq!(world.work(), NOTHING);
    assert_eq!(world.report_of("q").occurred, 0);
    let said = world.seen(&item("x/a").level(6));
    assert_eq!(said.len(), 2, "both judge it: {said:?}");
}

#[test]
fn a_change_that_can_not_be_judged_is_a_rule_error_until_one_can() {
    let (mut world, _) = World::listed(rises(), &[item("x/a"), item("x/b")]);
    assert_eq!(world.seen(&item("x/a").without_level()), NOTHING);
    assert_eq!(world.report().rule_errors, 1);
    assert_eq!(world.seen(&item("x/a").level(1)), NOTHING, "there is no level before it, either");
    assert_eq!(world.report().rule_errors, 1);
    assert_eq!(world.seen(&item("x/a").level(0)), NOTHING);
    assert_eq!(world.report().rule_errors, 0);
    // Of what is gone, one place holds the last error: nothing grows.
    for name in ["x/c", "x/d", "x/e"] {
        world.seen(&item(name));
        world.seen(&item(name).without_level());
        world.gone(&item(name).without_level());
    }
    assert_eq!(world.report().rule_errors, 1);
    world.gone(&item("x/b"));
    assert_eq!(world.report().rule_errors, 0, "a deletion was judged");
}

#[test]
fn match_conditions_hold_for_changes_as_in_admission() {
    let spec = format!("matchConditions: [{{name: noted, expression: 'has(oldObject.spec.note)'}}]\n{RISES}");
    let (mut world, _) = World::listed(policy(&spec), &[item("x/a"), item("x/b").note("n")]);
    assert_eq!(world.seen(&item("x/a").level(5)), NOTHING);
    assert_eq!(world.seen(&item("x/b").level(5).note("n")).len(), 1);
}

#[test]
fn the_deletion_of_an_object_is_judged_after_that_of_its_namespace_too() {
    let spec = "resources:
- {name: items, apiVersion: example.io/v1, kind: Item, namespaceSelector: {matchLabels: {tier: public}}}
rules: [{name: kept, on: [Delete], expression: \"namespaceObject.metadata.labels.tier != 'public'\"}]";
    let mut world = World::default();
    world.assignment.namespaces = Some(NAMESPACES);
    world.assign([(named("p", "uid-1", 1, spec), [ITEMS])]);
    world.list_of(NAMESPACES, &[namespace("x", Some("public")), namespace("y", None)]);
    world.list(&[item("x/a"), item("y/b")]);
    world.work();
    world.event(NAMESPACES, ObjectEvent::Gone(ObjectKey { namespace: None, name: "x".into() }));
    world.work();
    assert_eq!(world.gone(&item("x/a")), ["occurred kept x/a: deleted"]);
    assert_eq!(world.gone(&item("y/b")), NOTHING);
}

#[test]
fn what_is_kept_is_bounded_and_the_totals_are_exact() {
    let any = policy("rules: [{name: any, on: [Update], expression: 'false'}]");
    let (mut world, _) = World::listed(any, &[item("x/a")]);
    for level in 0..250 {
        world.seen(&item("x/a").level(level + 10));
    }
    let report = world.report();
    assert_eq!((report.occurred, report.latest.len()), (250, crate::core::history::MAX_KEPT));
    assert!(report.latest[0].finding.message.contains("→ 259"), "{}", report.latest[0].finding.message);
}

#[test]
fn an_earlier_process_hands_over_what_occurred() {
    let (mut world, _) = World::listed(rises(), &[item("x/a")]);
    world.seen(&item("x/a").level(5));
    let history = world.engine.history(&PolicyKey("p".into()));
    let mut next = World::default();
    next.engine.restore_history(PolicyKey("p".into()), "uid-1".into(), history.clone());
    next.assign([(rises(), [ITEMS])]);
    assert_eq!(next.list(&[item("x/a").level(9)]), NOTHING, "a first list says what there is");
    assert_eq!(next.engine.history(&PolicyKey("p".into())), history);
    // Another policy of the same name has a history of its own.
    let mut other = World::default();
    other.engine.restore_history(PolicyKey("p".into()), "uid-0".into(), history);
    other.assign([(rises(), [ITEMS])]);
    assert_eq!(other.report().occurred, 0);
}

#[derive(Debug, Clone)]
enum Step {
    Put(usize, i64),
    Delete(usize),
    /// Events are lost until the next list.
    Lose,
    List,
    Edit,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3usize, 0..4i64).prop_map(|(slot, level)| Step::Put(slot, level)),
        2 => (0..3usize).prop_map(Step::Delete),
        1 => Just(Step::Lose),
        2 => Just(Step::List),
        2 => Just(Step::Edit),
    ]
}

/// What a watcher of the known states must see: creations, changes and deletions, each once.
fn expected(known: &BTreeMap<usize, (u32, i64)>, now: &BTreeMap<usize, (u32, i64)>) -> usize {
    let slots: BTreeSet<&usize> = known.keys().chain(now.keys()).collect();
    let changes = slots.into_iter().map(|slot| match (known.get(slot), now.get(slot)) {
        (Some((a, _)), Some((b, _))) if a != b => 2,
        (a, b) => usize::from(a != b),
    });
    changes.sum()
}

proptest! {
    /// Whatever is lost on the way and however often the policy is edited: the occurrences are the differences
    /// between one known state and the next, no more and no less.
    #[test]
    fn every_difference_between_known_states_occurs_exactly_once(steps in prop::collection::vec(step(), 0..40)) {
        const ANY: &str = "rules: [{name: any, on: [Create, Update, Delete], expression: 'false'}]";
        let names = ["x/a", "x/b", "y/c"];
        let (mut now, mut known) = (BTreeMap::<usize, (u32, i64)>::new(), BTreeMap::new());
        let (mut connected, mut created, mut wanted, mut generation) = (true, 0, 0, 1);
        let (mut world, _) = World::listed(policy(ANY), &[]);
        let item_of = |slot: usize, (incarnation, level): (u32, i64)| {
            (0..incarnation).fold(item(names[slot]).level(level), |item, _| item.again())
        };
        for step in steps {
            match step {
                Step::Put(slot, level) => {
                    let incarnation = now.get(&slot).map_or_else(|| { created += 1; created }, |(i, _)| *i);
                    now.insert(slot, (incarnation, level));
                    if connected { world.seen(&item_of(slot, now[&slot])); }
                }
                Step::Delete(slot) => if let Some(was) = now.remove(&slot) && connected {
                    world.gone(&item_of(slot, was));
                },
                Step::Lose => connected = false,
                Step::List => {
                    connected = true;
                    let items: Vec<Item> = now.iter().map(|(slot, state)| item_of(*slot, *state)).collect();
                    world.list(&items);
                }
                Step::Edit => {
                    generation += 1;
                    let spec = format!("{SELECTION}\nseverity: low\n{ANY}");
                    world.assign([(named("p", "uid-1", generation, &spec), [ITEMS])]);
                    world.work();
                }
            }
            if connected {
                wanted += expected(&known, &now);
                known = now.clone();
            }
            prop_assert_eq!(world.report().occurred as usize, wanted);
        }
    }
}

#[test]
fn of_a_rule_with_paths_other_changes_are_none() {
    let mut world = World::of(policy(
        "rules: [{name: still, 'on': [Update], paths: [spec.note], expression: object.spec.level > 5}]",
    ));
    world.list(&[item("x/a").note("one")]);
    assert_eq!(world.seen(&item("x/a").note("one").level(3)), NOTHING, "the level does not count");
    let said = world.seen(&item("x/a").note("two").level(4));
    assert_eq!(
        said,
        ["occurred still x/a: spec.note: \"one\" → \"two\" by an unknown manager"],
        "and is not listed, though it changed as well"
    );
    assert_eq!(
        world.seen(&item("x/a").note("three").level(6)),
        NOTHING,
        "what it reads is there all the same"
    );
}
