//! What is said of a policy as a whole, and how work is shared out.

use super::*;

#[test]
fn totals_are_exact_and_the_list_is_bounded_worst_first() {
    let spec = "
rules:
- {name: low, severity: low, expression: object.spec.level <= 3}
- {name: very-low, severity: critical, expression: object.spec.level <= 7}
";
    let items: Vec<Item> = (0..10)
        .map(|n| item(&format!("shop/i{n}")).level(n))
        .chain([item("shop/x").without_level()])
        .collect();
    let (world, said) = World::listed(policy(spec), &items);
    assert_eq!(said.len(), 6 + 2);
    let report = world.engine.report(&PolicyKey("p".into()), 3).expect("a report");
    assert_eq!(report.by_severity, [0, 6, 0, 0, 2]);
    assert_eq!((report.open(), report.rule_errors), (8, 2));
    let rules: Vec<_> = report.rules.iter().map(|r| (&*r.name, r.open, r.errors)).collect();
    assert_eq!(rules, [("low", 6, 1), ("very-low", 2, 1)]);
    let worst: Vec<_> = report.worst.iter().map(|f| (&*f.key.rule, &*f.object.name)).collect();
    assert_eq!(worst, [("very-low", "i8"), ("very-low", "i9"), ("low", "i4")]);
    assert_eq!(report.selections[0].objects, 11);
}

#[test]
fn a_selection_is_settled_only_when_everything_listed_is_judged() {
    let mut world = World::of(policy(LOW));
    assert!(!world.settled(), "nothing was listed");
    assert_eq!(world.event(ITEMS, ObjectEvent::Relisting), NOTHING);
    assert_eq!(world.seen(&item("shop/a")), NOTHING);
    assert!(!world.settled(), "the list is not complete");
    assert_eq!(world.event(ITEMS, ObjectEvent::Synced), NOTHING);
    assert!(world.settled());
    // Another policy joins the watch: its objects are known, but not judged.
    let other = named("q", "uid-q", 1, &format!("{SELECTION}\n{LOW}"));
    assert_eq!(world.assign([(policy(LOW), [ITEMS]), (other, [ITEMS])]), NOTHING);
    assert!(!world.report_of("q").selections[0].settled);
    assert_eq!(world.work(), NOTHING);
    assert!(world.report_of("q").selections[0].settled);
}

#[test]
fn a_large_watch_does_not_keep_a_small_one_waiting() {
    let small = WatchId(3);
    let mut world = World::default();
    let other = || named("q", "uid-q", 1, &format!("{SELECTION}\n{LOW}"));
    assert_eq!(world.assign([(policy(LOW), [ITEMS])]), NOTHING);
    let many: Vec<Item> = (0..1000).map(|n| item(&format!("shop/i{n}"))).collect();
    assert_eq!(world.list(&many), NOTHING);
    let mut next = world.assignment.clone();
    let reader = Reader { policy: PolicyKey("q".into()), selection: "items".into() };
    next.routes.entry(small).or_default().readers = [reader].into();
    let edited = named("p", "uid-1", 2, &format!("{SELECTION}\n{LOW}"));
    next.policies = Arc::new([(edited.key.clone(), edited), (other().key.clone(), other())].into());
    assert_eq!(world.take(next), NOTHING);
    // The small watch is listed and waits behind the large one only for a slice.
    assert_eq!(world.list_of(small, &[item("bank/a").level(9).object()]), ["opened q: low bank/a"]);
    let slices = (1..=20)
        .find(|_| {
            assert_eq!(world.engine.work(10, at(0)), []);
            world.report_of("q").selections[0].settled
        })
        .expect("the small watch is settled after few slices");
    assert!(slices <= 3, "{slices}");
    assert!(!world.settled(), "the large one is still being judged");
    assert_eq!(world.work(), NOTHING);
    assert!(world.settled());
}

#[test]
fn a_slice_is_bounded_and_names_the_policy_it_is_for() {
    let many: Vec<Item> = (0..10).map(|n| item(&format!("shop/i{n}")).level(2)).collect();
    let (mut world, _) = World::listed(policy(LOW), &many);
    let stricter = named("p", "uid-1", 2, &format!("{SELECTION}\n{}", LOW.replace("<= 3", "<= 1")));
    assert_eq!(world.assign([(stricter, [ITEMS])]), NOTHING);
    assert_eq!(world.engine.next_work(), Some(PolicyKey("p".into())));
    let outcome = world.engine.work(4, at(0));
    assert_eq!(outcome.len(), 4);
    world.hear(outcome);
    assert_eq!(world.work().len(), 6);
    assert_eq!(world.engine.next_work(), None);
    assert_eq!(world.engine.readers_of(ITEMS), [PolicyKey("p".into())].into());
}
