//! What an earlier process had open is handed over.

use super::*;

fn bad(path: &str) -> Item {
    item(path).level(9)
}

/// What a process left behind that saw these items at second 0.
fn left_behind(items: &[Item]) -> Vec<Finding> {
    let (world, _) = World::listed(policy(LOW), items);
    world.open().iter().map(|finding| (**finding).clone()).collect()
}

/// A process that takes over at second 50.
fn takes_over(findings: Vec<Finding>, policy: Arc<CompiledPolicy>) -> (World, Vec<String>) {
    let mut world = World::default();
    world.wait(50);
    let covered = findings.iter().filter(|finding| {
        policy.uid == "uid-1".into() && { policy.rules.iter().any(|rule| rule.name == finding.key.rule) }
    });
    for finding in covered {
        let key = (PolicyKey("p".into()), finding.key.clone());
        world.told.insert(key, Arc::new(finding.clone()));
    }
    world.engine.restore(PolicyKey("p".into()), "uid-1".into(), findings);
    let mut said = world.assign([(policy, [ITEMS])]);
    said.extend(world.work());
    (world, said)
}

#[test]
fn what_is_still_wrong_is_not_announced_again_and_keeps_its_age() {
    let (mut world, said) = takes_over(left_behind(&[bad("shop/a")]), policy(LOW));
    assert_eq!(said, NOTHING);
    assert_eq!(world.report().open(), 1, "open before anything was seen");
    assert!(!world.settled());
    assert_eq!(world.list(&[bad("shop/a")]), NOTHING);
    assert!(world.settled());
    assert_eq!(world.open()[0].since, at(0));
}

#[test]
fn what_is_gone_or_mended_is_resolved_once() {
    let (mut world, said) =
        takes_over(left_behind(&[bad("shop/a"), bad("shop/b"), bad("shop/c")]), policy(LOW));
    assert_eq!(said, NOTHING);
    assert_eq!(
        world.list(&[item("shop/a"), bad("shop/b").again(), bad("shop/d")]),
        [
            "resolved low shop/a Compliant",
            "opened low shop/b",
            "opened low shop/d",
            "resolved low shop/b NotSeen",
            "resolved low shop/c NotSeen",
        ]
    );
    assert_eq!(world.list(&[item("shop/a"), bad("shop/b").again(), bad("shop/d")]), NOTHING);
}

#[test]
fn what_cannot_be_judged_any_more_stays_open() {
    let (mut world, _) = takes_over(left_behind(&[bad("shop/a")]), policy(LOW));
    assert_eq!(world.list(&[item("shop/a").without_level()]), NOTHING);
    let report = world.report();
    assert_eq!((report.open(), report.rule_errors), (1, 1));
}

#[test]
fn findings_of_a_policy_created_again_are_not_taken_over() {
    let other = named("p", "uid-2", 1, &format!("{SELECTION}\n{LOW}"));
    let (mut world, said) = takes_over(left_behind(&[bad("shop/a")]), other);
    assert_eq!(said, NOTHING);
    assert_eq!(world.report().open(), 0);
    assert_eq!(world.list(&[bad("shop/a")]), ["opened low shop/a"]);
}

#[test]
fn findings_of_a_rule_that_is_gone_are_not_taken_over() {
    let renamed = policy(&LOW.replace("name: low", "name: renamed"));
    let (mut world, said) = takes_over(left_behind(&[bad("shop/a")]), renamed);
    assert_eq!(said, NOTHING);
    assert_eq!(world.report().open(), 0);
    assert_eq!(world.list(&[bad("shop/a")]), ["opened renamed shop/a"]);
}

#[test]
fn a_message_that_changed_meanwhile_is_a_change() {
    let (mut world, _) = takes_over(left_behind(&[bad("shop/a")]), policy(LOW));
    assert_eq!(world.list(&[item("shop/a").level(12)]), ["changed low shop/a: level 12"]);
}
