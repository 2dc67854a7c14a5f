//! What an earlier process knew of objects: what became of them meanwhile is judged once.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::core::remembered::Part;
use crate::core::remembered::place::Place;

/// Whatever happens is not in order, and a level may not drift.
const ANY: &str = "
rules:
- {name: any, on: [Create, Update, Delete], expression: 'false'}
- {name: same, drift: {paths: [spec.level]}}
";

type Memory = HashMap<Arc<str>, Vec<Part>>;

impl World {
    /// What a later process gets to know, each watch in so many parts.
    fn remember(&self, of: u32) -> Memory {
        let now = at(self.clock);
        let parts = |memory: &super::super::WatchMemory| {
            let places = (0..of).map(|index| Place { index, of });
            places.map(|place| self.engine.part(memory, place, now)).collect()
        };
        self.engine.memories().iter().map(|memory| (memory.name.clone(), parts(memory))).collect()
    }

    /// Another process takes over, which knows what stood and occurred, and these objects.
    fn restarted(&self, memory: Memory) -> (Self, Vec<String>) {
        let mut next = Self { clock: self.clock, told: self.told.clone(), ..Self::default() };
        for (key, policy) in self.assignment.policies.iter() {
            let Some(standing) = self.engine.standing(key, usize::MAX) else { continue };
            let uid = || policy.uid.clone();
            let open = standing.open.into_iter().map(Arc::unwrap_or_clone).collect();
            next.engine.restore(key.clone(), uid(), open);
            next.engine.restore_history(key.clone(), uid(), standing.history);
        }
        for (watch, parts) in memory {
            next.engine.recall(watch, parts);
        }
        next.assignment.policies = self.assignment.policies.clone();
        let mut said = next.take(self.assignment.clone());
        said.extend(next.work());
        (next, said)
    }
}

fn known() -> (World, Memory) {
    let (world, _) = World::listed(policy(ANY), &[item("x/a"), item("x/b"), item("y/c"), item("y/d")]);
    let memory = world.remember(2);
    assert_eq!(memory.len(), 1);
    (world, memory)
}

const CHANGED: [&str; 5] = [
    "occurred any x/a: spec.level: 1 → 2 by an unknown manager",
    "occurred any x/b: deleted",
    "occurred any y/d: created",
    "occurred any y/d: deleted",
    "opened same x/a",
];

fn changed() -> Vec<Item> {
    vec![item("x/a").level(2).version(2), item("y/c").version(9), item("y/d").again().version(3)]
}

fn sorted(mut said: Vec<String>) -> Vec<String> {
    said.sort();
    said
}

#[test]
fn what_changed_came_or_went_while_nobody_looked_is_judged_once() {
    let (world, memory) = known();
    let (mut next, said) = world.restarted(memory);
    assert_eq!(said, NOTHING);
    assert_eq!(sorted(next.list(&changed())), CHANGED);
    assert_eq!(next.list(&changed()), NOTHING, "a further list is compared with this one");
    assert_eq!(next.report().occurred, 4);
    assert_eq!(next.seen(&item("x/new").version(7)), ["occurred any x/new: created"]);
    // And a process that begins with what this one knows has nothing to say.
    let (mut third, said) = next.restarted(next.remember(4));
    assert_eq!(said, NOTHING);
    let all: Vec<Item> = changed().into_iter().chain([item("x/new").version(7)]).collect();
    assert_eq!(third.list(&all), NOTHING);
}

#[test]
fn without_a_memory_a_first_list_says_what_there_is() {
    let (world, _) = known();
    let (mut next, _) = world.restarted(Memory::new());
    assert_eq!(next.list(&changed()), NOTHING);
}

#[test]
fn a_list_that_breaks_off_says_nothing_and_what_follows_from_both_is_said_once() {
    let (world, memory) = known();
    let (mut next, _) = world.restarted(memory);
    next.event(ITEMS, ObjectEvent::Relisting);
    assert_eq!(next.seen(&changed()[0]), ["opened same x/a"], "drift is a state");
    assert_eq!(next.seen(&changed()[1]), NOTHING);
    let mut said = next.list(&changed());
    said.push("opened same x/a".into());
    assert_eq!(sorted(said), CHANGED);
}

#[test]
fn what_changes_again_between_two_attempts_to_list_is_two_changes() {
    let (world, memory) = known();
    let (mut next, _) = world.restarted(memory);
    next.event(ITEMS, ObjectEvent::Relisting);
    next.seen(&changed()[0]);
    let said = next.list(&[item("x/a").level(5).version(6), item("x/b"), item("y/c"), item("y/d")]);
    assert_eq!(
        said,
        [
            "changed same x/a: drifted: spec.level: 1 → 5 by an unknown manager",
            "occurred any x/a: spec.level: 1 → 2 by an unknown manager",
            "occurred any x/a: spec.level: 2 → 5 by an unknown manager",
        ]
    );
}

#[test]
fn who_was_not_there_begins_with_what_is() {
    // A policy that is new, of the same watch.
    let (mut world, memory) = known();
    let q = || named("q", "uid-q", 1, &format!("{SELECTION}\n{ANY}"));
    world.assign([(policy(ANY), [ITEMS]), (q(), [ITEMS])]);
    let (mut next, _) = world.restarted(memory.clone());
    let said = next.list(&changed());
    assert!(said.len() == 5 && !said.iter().any(|line| line.starts_with("q: ")), "{said:?}");
    // One that was edited, or created again.
    for (uid, generation) in [("uid-1", 2), ("uid-2", 1)] {
        let mut next = World::default();
        memory.clone().into_iter().for_each(|(watch, parts)| next.engine.recall(watch, parts));
        next.assign([(named("p", uid, generation, &format!("{SELECTION}\n{ANY}")), [ITEMS])]);
        assert_eq!(next.list(&changed()), NOTHING);
    }
}

#[test]
fn what_was_kept_for_other_needs_is_not_compared() {
    let (world, mut memory) = known();
    memory.values_mut().flatten().flat_map(|part| &mut part.readers).for_each(|reader| reader.needs = 8);
    let (mut next, _) = world.restarted(memory);
    assert_eq!(next.list(&changed()), NOTHING);
}

#[test]
fn of_a_part_that_is_missing_nothing_is_known_not_even_that_there_was_nothing() {
    let (world, _) = known();
    let mut memory = world.remember(4);
    for parts in memory.values_mut() {
        let key = item("x/a").key();
        parts.retain(|part| part.is_for(&key));
        assert_eq!(parts.len(), 1);
    }
    let kept = |line: &&&str| line.contains("x/a");
    let expected: Vec<&str> = CHANGED.iter().filter(kept).copied().collect();
    let (mut next, _) = world.restarted(memory);
    let said: Vec<String> = sorted(next.list(&changed()));
    let (own, others): (Vec<String>, Vec<String>) = said.into_iter().partition(|line| line.contains("x/a"));
    assert_eq!(own, expected);
    // Those of others whose names happen to be in the same part.
    assert!(others.len() < CHANGED.len() - expected.len(), "{others:?}");
}

#[test]
fn the_finer_of_two_divisions_counts() {
    let (mut world, coarse) = known();
    world.seen(&item("x/a").level(2).version(2));
    let key = item("x/a").key();
    let fine = world.remember(4).into_values().flatten().filter(|part| part.is_for(&key));
    let both: Vec<Part> = coarse.into_values().flatten().chain(fine).collect();
    let (mut next, _) = world.restarted(Memory::from([("watch 1".into(), both)]));
    assert_eq!(
        next.list(&[item("x/a").level(2).version(2), item("x/b"), item("y/c"), item("y/d")]),
        NOTHING,
        "that it changed was known"
    );
}

#[test]
fn a_change_waits_until_the_namespaces_are_known() {
    let spec = "resources:
- {name: items, apiVersion: example.io/v1, kind: Item, namespaceSelector: {matchLabels: {tier: public}}}
rules:
- {name: any, on: [Create, Update, Delete], expression: 'false'}
- {name: same, drift: {paths: [spec.level]}}";
    let namespaces = || [namespace("x", Some("public")), namespace("y", None)];
    let mut world = World::default();
    world.assignment.namespaces = Some(NAMESPACES);
    world.assign([(named("p", "uid-1", 1, spec), [ITEMS])]);
    world.list(&[item("x/a"), item("x/b"), item("y/c")]);
    assert_eq!(world.engine.memories()[0].known_to, [], "nothing is judged yet");
    world.list_of(NAMESPACES, &namespaces());
    world.work();
    let (mut next, _) = world.restarted(world.remember(1));
    assert_eq!(next.list(&[item("x/a").level(2).version(2), item("y/c").level(2).version(2)]), NOTHING);
    assert!(next.engine.memories()[0].owing);
    let mut said = next.list_of(NAMESPACES, &namespaces());
    said.extend(next.work());
    assert_eq!(
        said,
        [
            "opened same x/a",
            "occurred any x/a: spec.level: 1 → 2 by an unknown manager",
            "occurred any x/b: deleted",
        ]
    );
    assert!(!next.engine.memories()[0].owing);
}

#[test]
fn only_what_rules_on_changes_read_is_remembered_and_no_secret() {
    let remembers = |kind: &str, rules: &str| {
        let group = if kind == "Secret" { "v1" } else { "example.io/v1" };
        let spec = format!("resources:\n- {{name: items, apiVersion: {group}, kind: {kind}}}\n{rules}");
        let (world, _) = World::listed(named("p", "uid-1", 1, &spec), &[]);
        !world.engine.memories().is_empty()
    };
    assert!(remembers("Item", ANY) && !remembers("Item", LOW) && !remembers("Secret", ANY));
    let inline = "rules: [{name: same, drift: {baseline: {inline: {spec: {level: 1}}}}}]";
    assert!(!remembers("Item", inline), "how it should be is written down");
    // And not before all is known.
    assert_eq!(World::of(policy(ANY)).engine.memories(), []);
}

#[test]
fn each_part_tells_when_it_is_not_as_it_was() {
    let (mut world, _) = known();
    let halves = [Place { index: 0, of: 2 }, Place { index: 1, of: 2 }];
    let revisions = |world: &World| halves.map(|place| world.engine.memories()[0].revision(place));
    let before = revisions(&world);
    world.seen(&item("x/a").version(5));
    assert_eq!(revisions(&world), before, "no rule can tell these states apart");
    world.seen(&item("x/a").level(2));
    let after = revisions(&world);
    let changed = halves.map(|place| place.has(crate::core::remembered::hash(&item("x/a").key())));
    assert_eq!([0, 1].map(|n| after[n] != before[n]), changed);
    world.gone(&item("x/a"));
    assert_eq!([0, 1].map(|n| revisions(&world)[n] != after[n]), changed);
}

#[test]
fn drift_that_was_open_and_goes_on_while_nobody_looks_keeps_its_baseline() {
    let drift = "rules: [{name: same, drift: {paths: [spec]}}]";
    let (mut world, _) = World::listed(policy(drift), &[item("x/a").note("n")]);
    world.seen(&item("x/a").level(2).note("n").version(2));
    let (mut next, _) = world.restarted(world.remember(1));
    assert_eq!(
        next.list(&[item("x/a").level(2).note("m").version(3)]),
        ["changed same x/a: drifted: spec.level: 1 → 2, spec.note: \"n\" → \"m\", by an unknown manager"]
    );
    assert_eq!(next.seen(&item("x/a").note("n").version(4)), ["resolved same x/a Compliant"]);
}

#[derive(Debug, Clone)]
enum Step {
    Put(usize, i64),
    Delete(usize),
    /// Events are lost until the next list.
    Lose,
    List,
    /// The process ends and another takes over, whose memory is in so many parts.
    Restart(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..4usize, 0..3i64).prop_map(|(slot, level)| Step::Put(slot, level)),
        3 => (0..4usize).prop_map(Step::Delete),
        2 => Just(Step::Lose),
        2 => Just(Step::List),
        3 => (0..3u32).prop_map(|doublings| Step::Restart(1 << doublings)),
    ]
}

/// What an API server knows.
#[derive(Default)]
struct Server {
    items: BTreeMap<usize, Item>,
    incarnation: u32,
    version: u32,
}

const NAMES: [&str; 4] = ["x/a", "x/b", "y/c", "y/d"];

impl Server {
    fn put(&mut self, slot: usize, level: i64) -> Item {
        self.version += 1;
        let known = self.items.get(&slot).map(|item| item.incarnation);
        self.incarnation += u32::from(known.is_none());
        let incarnation = known.unwrap_or(self.incarnation);
        let item = Item { incarnation, ..item(NAMES[slot]).level(level).version(self.version) };
        self.items.insert(slot, item.clone());
        item
    }

    fn list(&self) -> Vec<Item> {
        self.items.values().cloned().collect()
    }
}

fn findings(world: &World) -> Vec<(FindingKey, String, Timestamp)> {
    world.open().iter().map(|f| (f.key.clone(), f.message.to_string(), f.since)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// A process that ends at any point, whether it is connected or not, and one that knows what it knew: together they
    /// say what one says that goes on all the time.
    #[test]
    fn a_restart_at_any_point_says_what_no_restart_says(steps in prop::collection::vec(step(), 0..40)) {
        let mut server = Server::default();
        let (mut plain, _) = World::listed(policy(ANY), &[]);
        let (mut restarting, _) = World::listed(policy(ANY), &[]);
        let (mut connected, mut said, mut said_by_restarting) = (true, Vec::new(), Vec::new());
        for step in steps.into_iter().chain([Step::List]) {
            plain.wait(1);
            restarting.wait(1);
            match step {
                Step::Put(slot, level) => {
                    let item = server.put(slot, level);
                    if connected {
                        said.extend(plain.seen(&item));
                        said_by_restarting.extend(restarting.seen(&item));
                    }
                }
                Step::Delete(slot) => if let Some(item) = server.items.remove(&slot) && connected {
                    said.extend(plain.gone(&item));
                    said_by_restarting.extend(restarting.gone(&item));
                },
                Step::Lose => connected = false,
                Step::List => {
                    connected = true;
                    said.extend(plain.list(&server.list()));
                    said_by_restarting.extend(restarting.list(&server.list()));
                }
                Step::Restart(of) => {
                    // One that has not listed yet has nothing to add to what was remembered.
                    if restarting.settled() {
                        let (next, said) = restarting.restarted(restarting.remember(of));
                        prop_assert_eq!(said, NOTHING);
                        restarting = next;
                        connected = false;
                    }
                }
            }
        }
        // Of what went while nobody looked it is not known why it is not there.
        let words = |said: Vec<String>| sorted(said.iter().map(|line| line.replace("ObjectGone", "NotSeen")).collect());
        prop_assert_eq!(words(said), words(said_by_restarting));
        prop_assert_eq!(findings(&plain), findings(&restarting));
        prop_assert_eq!(plain.report().occurred, restarting.report().occurred);
    }

    /// What is remembered may be older than what was told: nothing is told twice.
    #[test]
    fn a_memory_that_is_behind_repeats_nothing(
        before in prop::collection::vec(step(), 0..20),
        after in prop::collection::vec(step(), 0..20),
        of in 0..3u32,
    ) {
        let mut server = Server::default();
        let only_changes = "rules: [{name: any, on: [Create, Update, Delete], expression: 'false'}]";
        let (mut world, _) = World::listed(policy(only_changes), &[]);
        let mut memory = Memory::new();
        let (count, steps) = (before.len(), before.into_iter().chain(after));
        for (n, step) in steps.enumerate() {
            if n == count {
                memory = world.remember(1 << of);
            }
            world.wait(1);
            match step {
                Step::Put(slot, level) => drop(world.seen(&server.put(slot, level))),
                Step::Delete(slot) => if let Some(item) = server.items.remove(&slot) {
                    world.gone(&item);
                },
                Step::Lose | Step::List | Step::Restart(_) => {}
            }
        }
        let (mut next, said) = world.restarted(memory);
        prop_assert_eq!(said, NOTHING);
        next.wait(5);
        prop_assert_eq!(next.list(&server.list()), NOTHING);
        prop_assert_eq!(next.report().occurred, world.report().occurred);
    }
}
