//! Rules on groups: what belongs together is judged as a whole.

use super::*;

/// Each namespace has at least two items, whose levels come to at most 10.
const PAIRS: &str = "
rules:
- name: pairs
  groupBy: object.metadata.namespace
  expression: objects.size() >= 2 && objects.map(o, o.spec.level).sum() <= 10
  messageExpression: \"group + ': ' + objects.map(o, o.metadata.name + '=' + string(o.spec.level)).join(',')\"
";

/// By the level of the items.
const BY_LEVEL: &str = "
rules:
- name: few
  groupBy: object.spec.level
  expression: objects.size() < 2
  messageExpression: objects.map(o, o.metadata.name).join(',')
";

const EXPECTED: &str = "
rules:
- name: some
  groupBy: object.metadata.namespace
  groups: {values: [shop, bank]}
  expression: objects.exists(o, o.spec.level > 0)
";

fn edited(more: &str) -> Arc<CompiledPolicy> {
    named("p", "uid-1", 2, &format!("{SELECTION}\n{more}"))
}

/// What an event and the work that it leaves behind come to.
fn after(world: &mut World, event: impl FnOnce(&mut World) -> Vec<String>) -> Vec<String> {
    let mut said = event(world);
    said.extend(world.work());
    said
}

/// The same, for a policy whose items are listed.
fn listed(more: &str, items: &[Item]) -> (World, Vec<String>) {
    let mut world = World::of(policy(more));
    let said = after(&mut world, |world| world.list(items));
    (world, said)
}

fn messages(world: &World) -> Vec<String> {
    world.open().iter().map(|finding| finding.message.to_string()).collect()
}

#[test]
fn objects_come_to_groups_and_leave_them() {
    let (mut world, said) = listed(PAIRS, &[item("shop/a"), item("shop/b"), item("bank/a")]);
    assert_eq!(said, ["opened pairs /bank"]);
    assert_eq!(messages(&world), ["bank: a=1"]);
    world.wait(5);
    assert_eq!(after(&mut world, |w| w.seen(&item("bank/b"))), ["resolved pairs /bank Compliant"]);
    assert_eq!(after(&mut world, |w| w.seen(&item("shop/b").level(10))), ["opened pairs /shop"]);
    assert_eq!(
        after(&mut world, |w| w.seen(&item("shop/a").level(2))),
        ["changed pairs /shop: shop: a=2,b=10"]
    );
    assert_eq!(world.open()[0].since, at(5));
    assert_eq!(after(&mut world, |w| w.gone(&item("shop/a"))), ["changed pairs /shop: shop: b=10"]);
    assert_eq!(
        after(&mut world, |w| w.gone(&item("shop/b"))),
        ["resolved pairs /shop ObjectGone"],
        "a group without objects is none"
    );
    let finding = after(&mut world, |w| w.gone(&item("bank/b")));
    assert_eq!(finding, ["opened pairs /bank"]);
    let open = world.open();
    assert_eq!((open[0].key.group(), &*open[0].object.kind), (Some("bank"), "Group"));
}

#[test]
fn an_object_whose_key_changes_moves() {
    let (mut world, said) = listed(BY_LEVEL, &[item("x/a"), item("x/b"), item("x/c").level(2)]);
    assert_eq!(said, ["opened few /1"]);
    assert_eq!(
        after(&mut world, |w| w.seen(&item("x/b").level(2))),
        ["resolved few /1 Compliant", "opened few /2"]
    );
    assert_eq!(messages(&world), ["b,c"], "in the order of their names");
    // Deleted and created again while nobody looked.
    assert_eq!(after(&mut world, |w| w.seen(&item("x/c").again().level(3))), ["resolved few /2 Compliant"]);
}

#[test]
fn an_error_in_the_key_is_an_error_of_the_object_which_is_in_no_group() {
    let (mut world, said) = listed(BY_LEVEL, &[item("x/a"), item("x/b")]);
    assert_eq!(said, ["opened few /1"]);
    assert_eq!(after(&mut world, |w| w.seen(&item("x/b").without_level())), ["resolved few /1 Compliant"]);
    let report = world.report();
    assert_eq!(report.rule_errors, 1);
    assert_eq!(
        report.rules[0].last_error.as_deref(),
        Some("Item x/b: groupBy: no such key: level"),
        "it names the object"
    );
    assert_eq!(after(&mut world, |w| w.seen(&item("x/b"))), ["opened few /1"]);
    assert_eq!(world.report().rule_errors, 0);
    after(&mut world, |w| w.seen(&item("x/b").without_level()));
    after(&mut world, |w| w.gone(&item("x/b")));
    assert_eq!(world.report().rule_errors, 0, "it went with the object");
}

#[test]
fn an_error_in_a_group_is_neither_and_is_counted() {
    let (mut world, said) = listed(PAIRS, &[item("shop/a"), item("shop/b").without_level()]);
    assert_eq!(said, NOTHING);
    let report = world.report();
    assert_eq!((report.rule_errors, report.open()), (1, 0));
    assert_eq!(report.rules[0].last_error.as_deref(), Some("Group shop: no such key: level"));
    assert_eq!(after(&mut world, |w| w.gone(&item("shop/a"))), ["opened pairs /shop"]);
    assert_eq!(world.report().rule_errors, 0);
    after(&mut world, |w| w.seen(&item("shop/a")));
    after(&mut world, |w| w.gone(&item("shop/b")));
    after(&mut world, |w| w.gone(&item("shop/a")));
    assert_eq!((world.report().rule_errors, world.report().open()), (0, 0), "it went with the group");
}

#[test]
fn keys_are_texts_numbers_and_bools_and_null_is_no_group() {
    let by = |by: &str| format!("rules: [{{name: few, groupBy: \"{by}\", expression: objects.size() < 2}}]");
    let items = [item("x/a"), item("x/b")];
    for (key, group) in [
        ("object.spec.level > 0", "true"),
        ("object.spec.?note.orValue('none')", "none"),
        ("object.spec.?level", "1"),
        ("[6, 7][1]", "7"),
    ] {
        assert_eq!(listed(&by(key), &items).1, [format!("opened few /{group}")], "{key}");
    }
    for key in ["object.spec.?note", "object.spec.level > 5 ? dyn('a') : dyn(null)"] {
        let (world, said) = listed(&by(key), &items);
        assert_eq!((said, world.report().rule_errors), (Vec::new(), 0), "{key}");
    }
    for (key, error) in [
        ("1.5", "the key is of type double, want string, int or bool"),
        ("object.spec", "the key is of type map, want string, int or bool"),
        ("'a\\\\nb'", "the key has characters that cannot be printed in one line"),
        ("lists.range(300).map(n, 'x').join('')", "the key has 300 bytes, more than 256"),
    ] {
        let (world, said) = listed(&by(key), &items[..1]);
        assert_eq!(said, NOTHING);
        let error = format!("Item x/a: groupBy: {error}");
        assert_eq!(world.report().rules[0].last_error.as_deref(), Some(&*error), "{key}");
    }
}

#[test]
fn expected_groups_are_judged_without_objects_too() {
    let (mut world, said) = listed(EXPECTED, &[item("shop/a"), item("other/a").level(0)]);
    assert_eq!(said, ["opened some /bank", "opened some /other"]);
    assert_eq!(after(&mut world, |w| w.seen(&item("bank/a"))), ["resolved some /bank Compliant"]);
    assert_eq!(after(&mut world, |w| w.gone(&item("shop/a"))), ["opened some /shop"]);
    assert_eq!(after(&mut world, |w| w.gone(&item("other/a"))), ["resolved some /other ObjectGone"]);
}

/// Two selections; items in `wanted` name the groups that there are to be.
const NAMED: &str = "
resources:
- {name: items, apiVersion: example.io/v1, kind: Item}
- {name: wanted, apiVersion: example.io/v1, kind: Item, namespaces: [wanted]}
rules:
- name: some
  groupBy: object.metadata.namespace
  groups: {resource: wanted, expression: object.metadata.name}
  expression: objects.size() > 0
";
const WANTED: WatchId = WatchId(8);

fn with_two_feeds(policy: &Arc<CompiledPolicy>, first: WatchId, second: WatchId) -> Assignment {
    let mut assignment = Assignment::default();
    for (selection, watch) in policy.selections.iter().zip([first, second]) {
        let reader = Reader { policy: policy.key.clone(), selection: selection.name.clone() };
        let route: &mut Route = assignment.routes.entry(watch).or_default();
        route.readers.insert(reader);
    }
    assignment.policies = Arc::new([(policy.key.clone(), policy.clone())].into());
    assignment
}

#[test]
fn objects_of_another_selection_name_expected_groups() {
    let policy = named("p", "uid-1", 1, NAMED);
    let mut world = World::default();
    assert_eq!(world.take(with_two_feeds(&policy, ITEMS, WANTED)), NOTHING);
    assert_eq!(after(&mut world, |w| w.list(&[item("shop/a")])), NOTHING, "not all is known");
    let wanted = [item("wanted/shop").object(), item("wanted/bank").object()];
    assert_eq!(after(&mut world, |w| w.list_of(WANTED, &wanted)), ["opened some /bank"]);
    assert_eq!(after(&mut world, |w| w.gone(&item("shop/a"))), ["opened some /shop"]);
    let gone = |name| ObjectEvent::Gone(item(name).key());
    assert_eq!(
        after(&mut world, |w| w.event(WANTED, gone("wanted/bank"))),
        ["resolved some /bank ObjectGone"],
        "nobody expects it any more"
    );
    assert_eq!(after(&mut world, |w| w.seen(&item("shop/a"))), ["resolved some /shop Compliant"]);
    assert_eq!(after(&mut world, |w| w.event(WANTED, gone("wanted/shop"))), NOTHING);
    assert_eq!(after(&mut world, |w| w.gone(&item("shop/a"))), NOTHING);
}

#[test]
fn within_a_list_no_group_of_an_earlier_process_is_taken_for_gone() {
    let few = NAMED.replace("objects.size() > 0", "objects.size() > 5");
    let policy = named("p", "uid-1", 1, &few);
    let mut before = World::default();
    before.take(with_two_feeds(&policy, ITEMS, WANTED));
    after(&mut before, |w| w.list(&[item("shop/a")]));
    assert_eq!(after(&mut before, |w| w.list_of(WANTED, &[])), ["opened some /shop"]);
    let findings: Vec<Finding> = before.open().iter().map(|finding| (**finding).clone()).collect();
    let mut world = World { told: before.told.clone(), ..World::default() };
    world.engine.restore(PolicyKey("p".into()), "uid-1".into(), findings);
    assert_eq!(after(&mut world, |w| w.take(with_two_feeds(&policy, ITEMS, WANTED))), NOTHING);
    assert_eq!(after(&mut world, |w| w.list(&[])), NOTHING, "nothing is said before all is known");
    // It comes back with the list that is being read when the other one is complete.
    assert_eq!(after(&mut world, |w| w.event(ITEMS, ObjectEvent::Relisting)), NOTHING);
    assert_eq!(after(&mut world, |w| w.list_of(WANTED, &[])), NOTHING);
    assert_eq!(after(&mut world, |w| w.seen(&item("shop/a"))), NOTHING);
    assert_eq!(after(&mut world, |w| w.event(ITEMS, ObjectEvent::Synced)), NOTHING);
    assert_eq!(world.report().open(), 1);
}

#[test]
fn an_object_that_two_selections_select_counts_once() {
    let spec = "
resources:
- {name: items, apiVersion: example.io/v1, kind: Item}
- {name: others, apiVersion: example.io/v1, kind: Item}
rules:
- name: one
  groupBy: object.metadata.namespace
  expression: objects.size() == 1 && objects[0].spec.level < 5
  messageExpression: string(objects.size())
";
    let policy = named("p", "uid-1", 1, spec);
    for second in [ITEMS, WANTED] {
        let mut world = World::default();
        assert_eq!(world.take(with_two_feeds(&policy, ITEMS, second)), NOTHING);
        assert_eq!(after(&mut world, |w| w.list(&[item("x/a")])), NOTHING);
        if second != ITEMS {
            assert_eq!(after(&mut world, |w| w.list_of(second, &[item("x/a").object()])), NOTHING);
        }
        assert!(world.settled());
        assert_eq!(after(&mut world, |w| w.seen(&item("x/b"))), ["opened one /x"]);
        assert_eq!(messages(&world), ["2"]);
        assert_eq!(after(&mut world, |w| w.gone(&item("x/b"))), ["resolved one /x Compliant"]);
        // One of the two is told first that it is gone, and the group is there for as long as the other sees it.
        let said = after(&mut world, |w| w.gone(&item("x/a")));
        if second != ITEMS {
            assert_eq!(said, NOTHING);
            let news = ObjectEvent::Seen(item("x/a").level(9).object());
            assert_eq!(after(&mut world, |w| w.event(second, news)), ["opened one /x"]);
            let gone = ObjectEvent::Gone(item("x/a").key());
            assert_eq!(after(&mut world, |w| w.event(second, gone)), ["resolved one /x ObjectGone"]);
        } else {
            assert_eq!(said, NOTHING);
        }
    }
}

#[test]
fn groups_are_not_judged_before_all_their_objects_are_known() {
    let mut world = World::of(policy(PAIRS));
    assert_eq!(world.event(ITEMS, ObjectEvent::Relisting), NOTHING);
    for item in [item("shop/a"), item("shop/b"), item("bank/a")] {
        assert_eq!(after(&mut world, |w| w.seen(&item)), NOTHING);
    }
    assert!(!world.engine.has_work());
    assert_eq!(world.event(ITEMS, ObjectEvent::Synced), NOTHING);
    assert!(!world.settled(), "nobody may take the policy for compliant yet");
    assert_eq!(world.work(), ["opened pairs /bank"]);
    assert!(world.settled());
}

#[test]
fn groups_are_not_judged_within_a_list() {
    let (mut world, said) = listed(BY_LEVEL, &[item("x/a"), item("x/b").level(2)]);
    assert_eq!(said, NOTHING);
    assert_eq!(world.event(ITEMS, ObjectEvent::Relisting), NOTHING);
    // It takes the place of one that is gone, of which the list will tell by its end.
    assert_eq!(after(&mut world, |w| w.seen(&item("x/c"))), NOTHING);
    assert_eq!(after(&mut world, |w| w.seen(&item("x/b").level(2))), NOTHING);
    assert!(!world.engine.has_work(), "nothing to do until then");
    assert_eq!(after(&mut world, |w| w.event(ITEMS, ObjectEvent::Synced)), NOTHING);
    assert_eq!(after(&mut world, |w| w.seen(&item("x/d"))), ["opened few /1"]);
}

#[test]
fn a_relabelled_namespace_takes_its_objects_along() {
    let spec = "
resources:
- {name: items, apiVersion: example.io/v1, kind: Item, namespaceSelector: {matchLabels: {tier: public}}}
rules:
- name: few
  groupBy: object.spec.level
  expression: objects.size() < 2
  messageExpression: objects.map(o, o.metadata.name).join(',')
";
    let mut world = World::default();
    world.assignment.namespaces = Some(NAMESPACES);
    assert_eq!(world.assign([(named("p", "uid-1", 1, spec), [ITEMS])]), NOTHING);
    let namespaces = [namespace("shop", Some("public")), namespace("bank", None)];
    assert_eq!(after(&mut world, |w| w.list_of(NAMESPACES, &namespaces)), NOTHING);
    let items = [item("shop/a"), item("bank/b"), item("bank/c"), item("bank/d")];
    assert_eq!(after(&mut world, |w| w.list(&items)), NOTHING);
    let relabel = |tier| ObjectEvent::Seen(namespace("bank", tier));
    assert_eq!(after(&mut world, |w| w.event(NAMESPACES, relabel(Some("public")))), ["opened few /1"]);
    assert_eq!(messages(&world), ["b,c,d,a"], "as a whole, and not slice by slice");
    assert_eq!(after(&mut world, |w| w.event(NAMESPACES, relabel(None))), ["resolved few /1 Compliant"]);
}

#[test]
fn match_conditions_decide_who_is_a_member() {
    let rule = BY_LEVEL.replace("object.spec.level\n", "object.metadata.namespace\n");
    let conditions = "matchConditions: [{name: low, expression: object.spec.level < 5}]";
    let (mut world, said) = listed(&format!("{conditions}{rule}"), &[item("x/a"), item("x/b").level(9)]);
    assert_eq!(said, NOTHING);
    assert_eq!(after(&mut world, |w| w.seen(&item("x/b"))), ["opened few /x"]);
    assert_eq!(after(&mut world, |w| w.seen(&item("x/b").level(7))), ["resolved few /x Compliant"]);
    assert_eq!(after(&mut world, |w| w.seen(&item("x/b").without_level())), NOTHING);
    assert_eq!(world.report().rule_errors, 1, "whether it is one is not known");
}

#[test]
fn an_edited_rule_keeps_the_groups_that_it_still_finds() {
    let (mut world, said) = listed(BY_LEVEL, &[item("x/a"), item("x/b"), item("y/a").level(2)]);
    assert_eq!(said, ["opened few /1"]);
    world.wait(9);
    let stricter = BY_LEVEL.replace("< 2", "< 1");
    assert_eq!(world.assign([(edited(&stricter), [ITEMS])]), NOTHING);
    assert_eq!(world.work(), ["opened few /2"]);
    assert_eq!(world.open()[0].since, at(0));
    let by_namespace = stricter.replace("object.spec.level", "object.metadata.namespace");
    assert_eq!(world.assign([(edited(&by_namespace), [ITEMS])]), NOTHING);
    let said = world.work();
    assert_eq!(
        said,
        ["resolved few /1 NotSeen", "resolved few /2 NotSeen", "opened few /x", "opened few /y"]
    );
    let broken = format!("{SELECTION}\n{}", by_namespace.replace("< 1", "<"));
    assert_eq!(
        world.assign([(with_problems("p", "uid-1", 3, &broken), [ITEMS])]),
        NOTHING,
        "a typo mends nothing"
    );
    assert_eq!(world.work(), NOTHING);
    let about_objects = "rules: [{name: few, expression: object.spec.level < 2}]";
    assert_eq!(
        world.assign([(edited(about_objects), [ITEMS])]),
        ["resolved few /x RuleGone", "resolved few /y RuleGone"]
    );
    assert_eq!(world.work(), ["opened few y/a"]);
    assert_eq!(world.assign([(edited(&by_namespace), [ITEMS])]), ["resolved few y/a RuleGone"]);
    assert_eq!(world.work(), ["opened few /x", "opened few /y"]);
}

#[test]
fn a_selection_that_moves_to_another_watch_changes_no_group() {
    let (mut world, said) = listed(BY_LEVEL, &[item("x/a"), item("x/b"), item("x/c").level(2)]);
    assert_eq!(said, ["opened few /1"]);
    let other = WatchId(7);
    assert_eq!(after(&mut world, |w| w.assign([(policy(BY_LEVEL), [other])])), NOTHING);
    assert_eq!(world.report().open(), 1);
    let items = [item("x/a"), item("x/b"), item("x/d").level(2)].map(|item| item.object());
    assert_eq!(after(&mut world, |w| w.list_of(other, &items)), NOTHING);
    assert_eq!(messages(&world), ["a,b"]);
    let d = ObjectEvent::Seen(item("x/e").level(2).object());
    assert_eq!(after(&mut world, |w| w.event(other, d)), ["opened few /2"]);
    assert_eq!(messages(&world), ["a,b", "d,e"], "and c was left behind");
}

#[test]
fn a_restart_restores_what_is_still_so_and_resolves_the_rest_once() {
    let items = [item("x/a"), item("x/b"), item("x/c").level(2), item("x/d").level(2)];
    let (before, said) = listed(BY_LEVEL, &items);
    assert_eq!(said, ["opened few /1", "opened few /2"]);
    let findings: Vec<Finding> = before.open().iter().map(|finding| (**finding).clone()).collect();
    let mut world = World { told: before.told.clone(), ..World::default() };
    world.wait(50);
    world.engine.restore(PolicyKey("p".into()), "uid-1".into(), findings);
    assert_eq!(after(&mut world, |w| w.assign([(policy(BY_LEVEL), [ITEMS])])), NOTHING);
    assert_eq!(world.report().open(), 2);
    let said = after(&mut world, |w| w.list(&[item("x/a"), item("x/b")]));
    assert_eq!(said, ["resolved few /2 NotSeen"]);
    assert_eq!(world.open()[0].since, at(0));
}

#[test]
fn a_kind_that_is_not_there_has_no_objects() {
    let policy = policy(EXPECTED);
    let mut world = World::default();
    assert_eq!(world.assign::<1>([(policy.clone(), [ITEMS])]), NOTHING);
    assert_eq!(world.work(), NOTHING, "nothing is known");
    let reader = Reader { policy: policy.key.clone(), selection: "items".into() };
    let mut absent = world.assignment.clone();
    absent.routes.clear();
    absent.absent.insert(reader);
    assert_eq!(world.take(absent), NOTHING);
    assert_eq!(world.work(), ["opened some /bank", "opened some /shop"]);
}

#[test]
fn what_reads_the_time_is_judged_again_as_it_passes() {
    let old = "rules: [{name: young, groupBy: object.metadata.namespace, expression: now < timestamp(90)}]";
    let (mut world, said) = listed(old, &[item("x/a")]);
    assert_eq!(said, NOTHING);
    world.wait(60);
    world.engine.tick(at(60));
    assert_eq!(world.work(), NOTHING);
    world.wait(60);
    world.engine.tick(at(120));
    assert_eq!(world.work(), ["opened young /x"]);
}

/// One that has to be read as a whole.
const WHOLE: &str = "
rules:
- name: whole
  groupBy: object.metadata.namespace
  expression: objects.all(a, objects[0].spec.level <= 1)
";

#[test]
fn a_large_group_that_is_read_as_a_whole_waits_for_its_time() {
    let items = |level: i64| (0..30_000).map(move |n| item(&format!("x/{n:05}")).level(level));
    let all: Vec<Item> = items(1).collect();
    let (mut world, said) = listed(WHOLE, &all);
    assert_eq!(said, NOTHING);
    let first = |level| items(level).next().expect("one");
    // The first time that something changes, it is judged at once; what that takes has to be made up for.
    assert_eq!(after(&mut world, |w| w.seen(&first(2))), ["opened whole /x"]);
    assert_eq!(after(&mut world, |w| w.seen(&first(1))), NOTHING);
    assert!(!world.engine.has_work());
    let due = world.engine.next_group_deadline().expect("a time");
    assert_eq!(due, Timestamp::from_millisecond(200).expect("a time"));
    world.engine.tick(at(0));
    assert_eq!(world.work(), NOTHING);
    world.wait(1);
    world.engine.tick(at(1));
    assert_eq!(world.work(), ["resolved whole /x Compliant"]);
    assert_eq!(world.engine.next_group_deadline(), None);
}

#[test]
fn an_object_may_belong_to_several_groups() {
    use super::cluster::Cluster;
    use serde_json::json;

    let spec = "
resources: [{name: routes, apiVersion: example.io/v1, kind: Route}]
rules: [{name: unique, groupBy: object.spec.hosts, expression: objects.size() <= 1, message: taken}]
";
    let route = |name: &str, hosts: &[&str]| {
        json!({"apiVersion": "example.io/v1", "kind": "Route", "metadata": {"namespace": "n", "name": name},
               "spec": {"hosts": hosts}})
    };
    let mut cluster = Cluster::synced(spec, &["Route"]);
    cluster.apply(&route("one", &["a", "b", "b"]));
    assert_eq!(cluster.open(), NOTHING);
    cluster.apply(&route("two", &["b", "c"]));
    assert_eq!(cluster.open(), ["unique Group b: taken"]);
    cluster.apply(&route("three", &["c", "a"]));
    assert_eq!(cluster.open(), ["unique Group a: taken", "unique Group b: taken", "unique Group c: taken"]);
    cluster.apply(&route("two", &["d"]));
    assert_eq!(cluster.open(), ["unique Group a: taken"]);
    cluster.apply(&route("one", &[]));
    assert_eq!(cluster.open(), NOTHING);
    let keys: Vec<String> = (0..65).map(|n| n.to_string()).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    cluster.apply(&route("one", &keys));
    assert_eq!(cluster.errors(), ["1 unique: Route n/one: groupBy: 65 keys, more than 64"]);
}
