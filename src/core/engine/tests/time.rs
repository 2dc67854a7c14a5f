//! What becomes of things because time passes.

use super::*;

/// An item must not be above 3 for a minute, and is fine again when it was not for half a minute.
const PATIENT: &str = "
rules:
- {name: low, expression: object.spec.level <= 3, messageExpression: string(object.spec.level), for: 1m, keepFor: 30s}
";

impl World {
    /// Time passes to a second, from moment to moment.
    fn pass(&mut self, second: i64) -> Vec<String> {
        let mut said = Vec::new();
        while let Some(due) = self.engine.next_deadline().filter(|due| *due <= at(second)) {
            self.engine.tick(due);
            while self.engine.has_work() {
                let outcome = self.engine.work(2, due);
                said.extend(self.hear(outcome).into_iter().map(|line| format!("{due}: {line}")));
            }
        }
        self.clock = second;
        self.engine.tick(at(second));
        assert!(!self.engine.has_work(), "nothing is due by {second}");
        said
    }

    fn pending(&self) -> Vec<String> {
        self.report().oldest_pending.iter().map(|f| format!("{} since {}", f.object.name, f.since)).collect()
    }
}

fn bad(path: &str) -> Item {
    item(path).level(9)
}

#[test]
fn a_finding_opens_when_it_was_wrong_for_long_enough_and_not_before() {
    let (mut world, said) = World::listed(policy(PATIENT), &[bad("shop/a"), item("shop/b")]);
    assert_eq!(said, NOTHING);
    assert_eq!((world.report().pending, world.report().rules[0].pending, world.report().open()), (1, 1, 0));
    assert_eq!(world.pending(), ["a since 1970-01-01T00:00:00Z"]);
    assert_eq!(world.pass(59), NOTHING);
    assert_eq!(world.seen(&bad("shop/b")), NOTHING);
    assert_eq!(world.pass(60), ["1970-01-01T00:01:00Z: opened low shop/a"]);
    assert_eq!(world.open()[0].since, at(0));
    assert_eq!(world.report().pending, 1);
    assert_eq!(world.pass(118), NOTHING);
    assert_eq!(world.pass(119), ["1970-01-01T00:01:59Z: opened low shop/b"]);
    // And it ends when it was right for long enough.
    assert_eq!(world.seen(&item("shop/b")), NOTHING);
    assert_eq!(world.pass(148), NOTHING);
    assert_eq!(world.pass(149), ["1970-01-01T00:02:29Z: resolved low shop/b Compliant"]);
}

#[test]
fn what_is_right_or_gone_or_not_selected_in_between_is_not_waited_for() {
    let spec = PATIENT
        .replace("rules:", "matchConditions: [{name: noted, expression: '!has(object.spec.note)'}]\nrules:");
    let items = [bad("shop/right"), bad("shop/gone"), bad("shop/skipped"), bad("shop/again")];
    let (mut world, _) = World::listed(policy(&spec), &items);
    assert_eq!(world.report().pending, 4);
    world.pass(30);
    assert_eq!(world.seen(&item("shop/right")), NOTHING);
    assert_eq!(world.gone(&bad("shop/gone")), NOTHING);
    assert_eq!(world.seen(&bad("shop/skipped").note("x")), NOTHING);
    assert_eq!(world.seen(&bad("shop/again").again()), NOTHING);
    assert_eq!(world.report().pending, 1, "another object of the same name begins anew");
    assert_eq!(world.pass(89), NOTHING);
    assert_eq!(world.pass(90), ["1970-01-01T00:01:30Z: opened low shop/again"]);
}

#[test]
fn an_error_does_not_open_what_is_pending() {
    let (mut world, _) = World::listed(policy(PATIENT), &[bad("shop/a")]);
    world.pass(30);
    assert_eq!(world.seen(&item("shop/a").without_level()), NOTHING);
    assert_eq!(world.pass(600), NOTHING);
    assert_eq!((world.report().pending, world.report().rule_errors), (1, 1));
    assert_eq!(world.seen(&bad("shop/a")), ["opened low shop/a"]);
}

#[test]
fn what_is_lost_from_sight_opens_when_it_is_seen_again() {
    let (mut world, _) = World::listed(policy(PATIENT), &[bad("shop/a"), bad("shop/b")]);
    let other = WatchId(7);
    assert_eq!(world.assign([(policy(PATIENT), [other])]), NOTHING);
    world.work();
    assert_eq!(world.pass(300), NOTHING, "nobody knows whether it is still wrong");
    assert_eq!(world.list_of(other, &[bad("shop/a").object()]), ["opened low shop/a"]);
    assert_eq!(world.report().pending, 0);
}

#[test]
fn a_finding_that_flaps_is_kept_open() {
    let spec = "
rules:
- {name: low, expression: object.spec.level <= 3, flapping: {opens: 3, within: 10m}}
";
    let (mut world, _) = World::listed(policy(spec), &[item("shop/a")]);
    for (second, flaps) in [(10, 0), (20, 2), (30, 3)] {
        world.pass(second);
        assert_eq!(world.seen(&bad("shop/a")), ["opened low shop/a"]);
        assert_eq!(world.open()[0].flaps, flaps);
        world.pass(second + 5);
        if flaps < 3 {
            assert_eq!(world.seen(&item("shop/a")), ["resolved low shop/a Compliant"]);
        }
    }
    assert_eq!(world.seen(&item("shop/a")), NOTHING);
    world.pass(100);
    assert_eq!(world.seen(&bad("shop/a")), NOTHING);
    assert_eq!(world.seen(&item("shop/a")), NOTHING);
    assert_eq!(world.pass(699), NOTHING);
    assert_eq!(world.pass(700), ["1970-01-01T00:11:40Z: resolved low shop/a Compliant"]);
}

#[test]
fn a_drift_rule_waits_as_well() {
    let spec = "
rules:
- {name: same, drift: {paths: [spec.level, spec.note]}, for: 1m, keepFor: 1m}
";
    let (mut world, _) = World::listed(policy(spec), &[item("shop/a")]);
    assert_eq!(world.seen(&bad("shop/a")), NOTHING);
    world.pass(30);
    assert_eq!(world.seen(&bad("shop/a").note("x")), NOTHING, "it goes on to differ");
    assert_eq!(world.pass(60), ["1970-01-01T00:01:00Z: opened same shop/a"]);
    assert_eq!(world.open()[0].fields.listed.len(), 2);
    assert_eq!(world.seen(&item("shop/a")), NOTHING);
    // While it is kept open, another field differs from the same baseline.
    let said = world.seen(&item("shop/a").note("y"));
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("changed same shop/a"), "{said:?}");
    assert_eq!(world.seen(&item("shop/a")), NOTHING);
    assert_eq!(world.pass(120), ["1970-01-01T00:02:00Z: resolved same shop/a Compliant"]);
}

#[test]
fn an_edit_of_the_time_to_wait_counts_from_when_it_began() {
    let (mut world, _) = World::listed(policy(PATIENT), &[bad("shop/a"), bad("shop/b")]);
    world.pass(40);
    let edited = |wait: &str, generation| {
        named("p", "uid-1", generation, &format!("{SELECTION}\n{}", PATIENT.replace("for: 1m", wait)))
    };
    assert_eq!(world.assign([(edited("for: 50s", 2), [ITEMS])]), NOTHING);
    assert_eq!(world.work(), NOTHING);
    assert_eq!(world.engine.next_deadline(), Some(at(50)));
    assert_eq!(world.assign([(edited("for: 2m", 3), [ITEMS])]), NOTHING);
    assert_eq!(world.work(), NOTHING);
    assert_eq!(world.pass(119), NOTHING);
    assert_eq!(world.assign([(edited("for: 10s", 4), [ITEMS])]), NOTHING);
    assert_eq!(world.work(), ["opened low shop/a", "opened low shop/b"]);
    // An edit that makes it right ends what is pending.
    let (mut world, _) = World::listed(policy(PATIENT), &[bad("shop/a")]);
    world.pass(40);
    let lax = named("p", "uid-1", 2, &format!("{SELECTION}\n{}", PATIENT.replace("<= 3", "<= 10")));
    assert_eq!(world.assign([(lax, [ITEMS])]), NOTHING);
    assert_eq!(world.work(), NOTHING);
    assert_eq!((world.report().pending, world.engine.next_deadline()), (0, None));
}

#[test]
fn what_was_pending_goes_on_after_a_restart() {
    let (world, _) = World::listed(policy(PATIENT), &[bad("shop/a"), bad("shop/b"), bad("shop/c")]);
    let key = PolicyKey("p".into());
    let pending: Vec<Finding> = world.engine.pending(&key).iter().map(|f| (**f).clone()).collect();
    let mut next = World::default();
    next.wait(50);
    next.engine.restore_pending(key, "uid-1".into(), pending);
    assert_eq!(next.assign([(policy(PATIENT), [ITEMS])]), NOTHING);
    assert_eq!(next.work(), NOTHING);
    assert_eq!(next.report().pending, 3);
    assert_eq!(next.pass(59), NOTHING);
    // One was mended meanwhile, and one went.
    assert_eq!(next.list(&[bad("shop/a"), item("shop/b"), bad("shop/new")]), NOTHING);
    assert_eq!(next.report().pending, 2);
    assert_eq!(next.pass(60), ["1970-01-01T00:01:00Z: opened low shop/a"]);
    assert_eq!(next.pass(118), NOTHING);
    assert_eq!(next.pass(119), ["1970-01-01T00:01:59Z: opened low shop/new"]);
}

#[test]
fn a_finding_that_complies_and_stays_open_ends_after_a_restart_when_it_would_have_ended() {
    let (mut world, _) = World::listed(policy(PATIENT), &[bad("shop/a"), bad("shop/b"), bad("shop/c")]);
    world.pass(60);
    world.pass(70);
    for path in ["shop/a", "shop/b", "shop/c"] {
        assert_eq!(world.seen(&item(path)), NOTHING);
    }
    let key = PolicyKey("p".into());
    let standing = world.engine.standing(&key, usize::MAX).expect("a policy");
    assert_eq!((standing.open.len(), standing.complying.len()), (3, 3));

    let mut next = World::default();
    next.wait(80);
    next.told = world.told.clone();
    let open = standing.open.iter().map(|finding| (**finding).clone()).collect();
    next.engine.restore(key.clone(), "uid-1".into(), open);
    let mut complying = standing.complying;
    complying
        .push((FindingKey { rule: "low".into(), selection: "items".into(), uid: "unknown".into() }, at(1)));
    next.engine.restore_complying(key, "uid-1".into(), complying);
    next.assignment.policies = Arc::new(BTreeMap::from([(PolicyKey("p".into()), policy(PATIENT))]));
    assert_eq!(next.assign([(policy(PATIENT), [ITEMS])]), NOTHING);
    assert_eq!(next.work(), NOTHING);
    assert_eq!(next.pass(110), NOTHING, "nothing ends before somebody looked");
    // One is wrong again, one is late, and one is in time.
    assert_eq!(
        next.list(&[item("shop/a"), bad("shop/b")]),
        ["resolved low shop/a Compliant", "resolved low shop/c NotSeen"]
    );
    assert_eq!(next.pass(500), NOTHING);
    assert_eq!(next.report().open(), 1);
    assert_eq!(next.seen(&item("shop/b")), NOTHING);
    assert_eq!(next.pass(530), ["1970-01-01T00:08:50Z: resolved low shop/b Compliant"]);
}

#[test]
fn whoever_remembers_is_told_that_something_began_or_ceased_to_wait() {
    let (mut world, _) = World::listed(policy(PATIENT), &[item("shop/a")]);
    let told = |world: &mut World| !world.engine.take_waiting().is_empty();
    assert!(!told(&mut world));
    assert_eq!(world.seen(&bad("shop/a")), NOTHING);
    assert!(told(&mut world), "it is pending");
    assert_eq!(world.seen(&bad("shop/a").note("n")), NOTHING);
    assert!(!told(&mut world), "as it was");
    assert_eq!(world.seen(&item("shop/a")), NOTHING);
    assert!(told(&mut world), "it is not pending any more");
    assert_eq!(world.seen(&bad("shop/a")), NOTHING);
    world.pass(60);
    assert!(told(&mut world));
    assert_eq!(world.seen(&item("shop/a")), NOTHING);
    assert!(told(&mut world), "it complies, and stays open");
    assert_eq!(world.seen(&item("shop/a").level(2)), NOTHING);
    assert!(!told(&mut world), "it does so since then");
    assert_eq!(world.seen(&bad("shop/a")), NOTHING);
    assert!(told(&mut world), "it does not any more");
}

#[test]
fn a_hundred_thousand_that_wait_are_no_work() {
    let mut world = World::of(policy(PATIENT));
    // Without the bookkeeping of the test, which is more work than the engine's.
    let now = |n: i64| at(n / 100);
    world.engine.step(ITEMS, ObjectEvent::Relisting, at(0));
    for n in 0..100_000 {
        let seen = ObjectEvent::Seen(bad(&format!("shop/i{n}")).object());
        assert!(world.engine.step(ITEMS, seen, now(n)).is_empty());
    }
    world.engine.step(ITEMS, ObjectEvent::Synced, at(0));
    let key = PolicyKey("p".into());
    let report = world.engine.report(&key, 20).expect("a report");
    assert_eq!((report.pending, report.oldest_pending.len()), (100_000, 20));
    let judged = world.engine.judged;
    assert_eq!(world.engine.next_deadline(), Some(at(60)));
    for nanosecond in 0..1000 {
        world
            .engine
            .tick(at(59).saturating_add(jiff::SignedDuration::from_nanos(nanosecond)).expect("a time"));
        assert!(!world.engine.has_work());
    }
    // A hundred begin each second: those are worked off, a slice at a time, and nobody else is looked at.
    world.engine.tick(at(60));
    let mut slices = 0;
    let mut opened = 0;
    while world.engine.has_work() {
        let outcome = world.engine.work(64, at(60));
        assert!(outcome.len() <= 64);
        opened += outcome.len();
        slices += 1;
    }
    assert_eq!((opened, slices), (100, 2));
    assert_eq!(world.engine.judged, judged, "nothing is judged for that");
    assert_eq!(world.engine.next_deadline(), Some(at(61)));
}

/// An item is too old when its note is more than ten seconds ago.
const AGEING: &str = "
rules:
- {name: young, expression: \"!(now - timestamp(object.spec.note) > duration('10s'))\"}
";

#[test]
fn a_comparison_with_now_is_judged_at_its_moment_for_that_object_only() {
    let items = [
        item("shop/a").note("1970-01-01T00:00:05Z"),
        item("shop/b").note("1970-01-01T00:00:20Z"),
        item("shop/c").note("1970-01-01T00:00:20Z"),
    ];
    let (mut world, said) = World::listed(policy(AGEING), &items);
    assert_eq!(said, NOTHING);
    let judged = world.engine.judged;
    assert_eq!(world.pass(15), NOTHING, "ten seconds are not more than ten seconds");
    assert_eq!(world.engine.judged, judged);
    assert_eq!(world.pass(29), ["1970-01-01T00:00:15.000000001Z: opened young shop/a"]);
    assert_eq!(world.engine.judged, judged + 1, "nobody else is judged");
    // Another moment takes the place of the one before, and none is left of what is gone.
    assert_eq!(world.seen(&item("shop/b").note("1970-01-01T00:01:00Z")), NOTHING);
    assert_eq!(world.gone(&items[2]), NOTHING);
    assert_eq!(world.pass(70), NOTHING);
    assert_eq!(world.pass(71), ["1970-01-01T00:01:10.000000001Z: opened young shop/b"]);
    assert_eq!(world.engine.judged, judged + 3);
    assert_eq!(world.engine.next_deadline(), None, "and there is no pass over all of them either");
}

#[test]
fn what_depends_on_now_in_another_way_is_judged_at_intervals() {
    let spec = "
rules:
- {name: early, expression: 'now.getMinutes() < 2'}
";
    let items: Vec<Item> = (0..5).map(|n| item(&format!("shop/{n}"))).collect();
    let (mut world, _) = World::listed(policy(spec), &items);
    let judged = world.engine.judged;
    assert_eq!(world.engine.next_deadline(), Some(at(60)));
    assert_eq!(world.pass(119), NOTHING);
    assert_eq!(world.engine.judged, judged + 5);
    assert_eq!(world.pass(120).len(), 5);
    // What only words a finding is no reason, nor are rules on changes.
    let spec = "
rules:
- {name: low, expression: object.spec.level <= 3, messageExpression: string(now)}
- {name: kept, expression: now.getMinutes() < 2, on: [Delete]}
";
    let (world, _) = World::listed(policy(spec), &items);
    assert_eq!(world.engine.next_deadline(), None);
}

#[test]
fn an_edit_forgets_the_moments_of_the_rule_before() {
    let noted = item("shop/a").note("1970-01-01T00:00:05Z");
    let (mut world, _) = World::listed(policy(AGEING), &[noted]);
    assert!(world.engine.next_deadline().is_some());
    let later = AGEING.replace("10s", "40s");
    let edited = named("p", "uid-1", 2, &format!("{SELECTION}\n{later}"));
    assert_eq!(world.assign([(edited, [ITEMS])]), NOTHING);
    assert_eq!(world.work(), NOTHING);
    assert_eq!(world.pass(45), NOTHING);
    assert_eq!(world.pass(46), ["1970-01-01T00:00:45.000000001Z: opened young shop/a"]);
}

#[test]
fn a_moment_and_a_wait_follow_each_other() {
    let spec = AGEING.replace("name: young,", "name: young, for: 5s,");
    let (mut world, _) = World::listed(policy(&spec), &[item("shop/a").note("1970-01-01T00:00:05Z")]);
    assert_eq!(world.pass(20), NOTHING);
    assert_eq!(world.report().pending, 1);
    assert_eq!(world.pass(21), ["1970-01-01T00:00:20.000000001Z: opened young shop/a"]);
}

#[test]
fn a_rule_on_groups_waits_as_well() {
    let spec = "
rules:
- {name: pair, groupBy: object.metadata.namespace, expression: objects.size() >= 2, for: 1m, keepFor: 30s}
";
    let (mut world, said) = World::listed(policy(spec), &[item("shop/a"), item("bank/a"), item("bank/b")]);
    assert_eq!((said.as_slice(), world.work().as_slice()), (&NOTHING.map(String::from)[..], &[][..]));
    assert_eq!(world.report().pending, 1);
    world.pass(30);
    world.gone(&item("bank/b"));
    assert_eq!(world.work(), NOTHING);
    assert_eq!(world.pass(60), ["1970-01-01T00:01:00Z: opened pair /shop"]);
    // The group is gone, and what was pending of it is forgotten.
    world.gone(&item("bank/a"));
    assert_eq!(world.work(), NOTHING);
    assert_eq!(world.report().pending, 0);
    world.seen(&item("shop/b"));
    assert_eq!(world.work(), NOTHING);
    assert_eq!(world.pass(90), ["1970-01-01T00:01:30Z: resolved pair /shop Compliant"]);
}

#[test]
fn a_group_is_judged_at_the_moment_of_its_comparison_with_now() {
    let spec = "
rules:
- name: alive
  groupBy: object.metadata.namespace
  expression: objects.exists(o, now - timestamp(o.spec.note) < duration('10s'))
";
    let items = [
        item("shop/a").note("1970-01-01T00:00:00Z"),
        item("shop/b").note("1970-01-01T00:00:20Z"),
        item("bank/a").note("1970-01-01T00:01:00Z"),
    ];
    let (mut world, _) = World::listed(policy(spec), &items);
    assert_eq!(world.work(), NOTHING);
    let judged = world.engine.judged;
    assert_eq!(world.pass(29), NOTHING);
    assert_eq!(world.pass(69), ["1970-01-01T00:00:30Z: opened alive /shop"]);
    world.gone(&items[2]);
    assert_eq!(world.work(), NOTHING);
    assert_eq!(world.pass(1000), NOTHING);
    assert_eq!(world.engine.judged, judged, "no object is judged for that");
    assert_eq!(world.engine.next_deadline(), None);
}
