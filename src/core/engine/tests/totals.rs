//! What is kept up to date object by object comes to what evaluating the whole comes to, whatever happens.

use std::sync::atomic::Ordering::Relaxed;

use fastrand::Rng;
use serde_json::{Value, json};

use super::*;
use crate::core::cel::{Bindings, GroupInputs, Upkeep};
use crate::core::members::Member;
use crate::core::rules::Verdict;

/// Rules on groups: name, what keeping them takes, expression, expression of the message.
const RULES: [(&str, Upkeep, &str, &str); 22] = [
    ("count", Upkeep::Incremental, "objects.size() < 3", "group + string(size(objects))"),
    ("some", Upkeep::Incremental, "objects.exists(o, o.spec.level > 5)", "'none'"),
    ("every", Upkeep::Incremental, "objects.all(o, o.spec.level < 8)", "'too high'"),
    ("single", Upkeep::Incremental, "objects.exists_one(o, o.spec.level == 3)", "'not one'"),
    (
        "few",
        Upkeep::Incremental,
        "objects.filter(o, o.spec.level > 4).size() <= 1",
        "string(objects.filter(o, o.spec.level > 4).size())",
    ),
    (
        "sum",
        Upkeep::Incremental,
        "objects.map(o, o.spec.level).sum() < 20",
        "string(objects.map(o, o.spec.level).sum())",
    ),
    (
        "some-of-some",
        Upkeep::Incremental,
        "objects.filter(o, has(o.spec.note)).map(o, o.spec.level + 1).exists(l, l == 4)",
        "'no'",
    ),
    (
        "with-condition",
        Upkeep::Incremental,
        "objects.map(o, o.spec.level > 2, o.spec.level).sum() != 9",
        "'nine'",
    ),
    (
        "waits",
        Upkeep::Incremental,
        "objects.map(o, duration(o.spec.wait)).sum() < duration('90s')",
        "string(objects.map(o, duration(o.spec.wait)).sum())",
    ),
    (
        "uints",
        Upkeep::Incremental,
        "objects.map(o, uint(o.spec.level)).sum() < 12u",
        "string(objects.map(o, uint(o.spec.level)).sum())",
    ),
    ("here", Upkeep::Incremental, "objects.all(o, o.metadata.namespace == group)", "'elsewhere'"),
    (
        "either",
        Upkeep::Incremental,
        "objects.exists(o, o.spec.level == 1) || objects.size() > 4",
        "'neither'",
    ),
    ("no-bool", Upkeep::Incremental, "objects.all(o, o.spec.flag)", "'off'"),
    (
        "bound",
        Upkeep::Incremental,
        "objects.all(o, cel.bind(l, o.spec.level, [l, o.spec.weight].exists(x, x > 0 && l < 9)))",
        "'unbound'",
    ),
    (
        "weights",
        Upkeep::Values,
        "objects.map(o, double(o.spec.weight)).sum() < 1.0",
        "string(objects.map(o, double(o.spec.weight)).sum())",
    ),
    (
        "least",
        Upkeep::Values,
        "objects.map(o, o.spec.level).min() > 1",
        "string(objects.map(o, o.spec.level).min())",
    ),
    (
        "unique",
        Upkeep::Values,
        "objects.map(o, o.spec.note).distinct().size() == objects.size()",
        "objects.filter(o, has(o.spec.note)).map(o, o.metadata.name).join(',')",
    ),
    ("lists", Upkeep::Values, "objects.map(o, [o.spec.level, o.spec.flag])[0][1] == true", "'other'"),
    (
        "optionals",
        Upkeep::Values,
        "objects.map(o, o.?spec.?level).exists(l, l.hasValue()) && !(optional.of(2) in objects.map(o, o.?spec.?level))",
        "'two'",
    ),
    // Maps are not kept.
    (
        "maps",
        Upkeep::Values,
        "objects.map(o, o.spec).size() < 2 || objects.map(o, o.spec)[1].level > 2",
        "'low'",
    ),
    (
        "mutual",
        Upkeep::Whole,
        "objects.all(a, objects.exists_one(b, b.spec.level == a.spec.level))",
        "string(objects[0].metadata.name)",
    ),
    ("message", Upkeep::Whole, "objects.size() < 2", "string(objects[1].metadata.name)"),
];

fn rules() -> Arc<CompiledPolicy> {
    let rules = RULES.iter().map(|(name, _, expression, message)| {
        json!({
            "name": name, "groupBy": "object.metadata.namespace", "expression": expression,
            "messageExpression": message,
        })
    });
    let rules: Vec<Value> = rules.collect();
    named("p", "uid-1", 1, &format!("{SELECTION}\nrules: {}", Value::from(rules)))
}

fn random_object(random: &mut Rng, namespace: &str, name: &str) -> Arc<ProjectedObject> {
    let level = match random.u32(0..16) {
        0 => Value::Null,
        1 => json!("high"),
        2 => json!(2.5),
        3 => json!(i64::MAX - random.i64(0..3)),
        4 => json!(-random.i64(0..5)),
        5 => json!({"a": 1}),
        _ => json!(random.i64(0..10)),
    };
    let mut spec =
        json!({"weight": f64::from(random.u32(0..7)) / 10.0, "wait": format!("{}s", random.u32(0..60))});
    if random.u32(0..14) > 0 {
        spec["level"] = level;
    }
    if random.bool() {
        spec["note"] = ["x", "y", "z"][random.usize(0..3)].into();
    }
    match random.u32(0..10) {
        0 => spec["flag"] = "yes".into(),
        1 => spec["wait"] = "long".into(),
        2 => spec["weight"] = "heavy".into(),
        n => spec["flag"] = (n > 3).into(),
    }
    let metadata = json!({"namespace": namespace, "name": name, "uid": format!("{namespace}-{name}")});
    let item = json!({"apiVersion": "example.io/v1", "kind": "Item", "metadata": metadata, "spec": spec});
    object(&item.to_string())
}

/// What evaluating the whole says.
fn whole(policy: &CompiledPolicy, rule: usize, key: &str, objects: &[Arc<ProjectedObject>]) -> Verdict {
    let rule = &policy.rules[rule];
    let mut objects: Vec<_> = objects.iter().map(|object| (Member::of(object.id()), object.root())).collect();
    objects.sort_by(|(a, _), (b, _)| a.cmp(b));
    let objects: Vec<_> = objects.into_iter().map(|(_, root)| root).collect();
    let mut bindings = Bindings::of_group(GroupInputs { objects: &objects, group: key, now: at(0) });
    rule.as_group().expect("a rule on groups").judge(&rule.name, &mut bindings)
}

#[test]
fn what_each_rule_takes_is_known() {
    let policy = rules();
    for (rule, (name, upkeep, ..)) in policy.rules.iter().zip(&RULES) {
        assert_eq!(rule.as_group().map(|group| group.upkeep()), Some(*upkeep), "{name}");
    }
}

#[test]
fn totals_come_to_what_the_whole_comes_to_after_every_event() {
    const SPACES: [&str; 2] = ["x", "y"];
    const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
    let policy = rules();
    let mut seen = BTreeMap::new();
    for seed in 0..20 {
        let mut random = Rng::with_seed(seed);
        let mut world = World::of(policy.clone());
        assert_eq!(world.list(&[]), NOTHING);
        let mut objects: BTreeMap<(&str, &str), Arc<ProjectedObject>> = BTreeMap::new();
        // What was found last, which stays while a rule fails.
        let mut open: BTreeMap<(&str, &str), String> = BTreeMap::new();
        for step in 0..120 {
            let (space, name) = (SPACES[random.usize(0..2)], NAMES[random.usize(0..5)]);
            if random.u32(0..4) == 0 {
                let Some(known) = objects.remove(&(space, name)) else { continue };
                world.event(ITEMS, ObjectEvent::Gone(known.key()));
            } else {
                let object = random_object(&mut random, space, name);
                objects.insert((space, name), object.clone());
                world.event(ITEMS, ObjectEvent::Seen(object));
            }
            world.work();
            let members: Vec<_> = objects
                .iter()
                .filter(|((of, _), _)| *of == space)
                .map(|(_, object)| object.clone())
                .collect();
            let totals = world.engine.by_totals(&policy.key, at(0));
            for (n, (rule, upkeep, ..)) in RULES.iter().enumerate() {
                let place = || format!("seed {seed}, step {step}, rule {rule}, group {space}: {members:?}");
                let known = totals.iter().find(|(of, key, _)| of == rule && *key == space);
                let known = known.map(|(_, _, verdict)| verdict.clone());
                if members.is_empty() {
                    assert_eq!(known, None, "{}", place());
                    open.remove(&(*rule, space));
                    continue;
                }
                let whole = whole(&policy, n, space, &members);
                match &known {
                    Some(verdict) => assert_eq!(*verdict, whole, "{}", place()),
                    None => assert!(
                        *upkeep == Upkeep::Whole
                            || ["maps", "least", "sum", "with-condition", "lists", "optionals", "unique"]
                                .contains(rule),
                        "{}",
                        place()
                    ),
                }
                *seen.entry((*rule, kind(&whole), known.is_some())).or_insert(0) += 1;
                match whole {
                    Verdict::Compliant => drop(open.remove(&(*rule, space))),
                    Verdict::Violation(violation) => {
                        open.insert((*rule, space), violation.message.to_string());
                    }
                    Verdict::Error(_) => {}
                }
            }
            let told: BTreeMap<(String, String), String> = world
                .open()
                .iter()
                .map(|finding| {
                    let group = finding.key.group().unwrap_or_default().to_owned();
                    ((finding.key.rule.to_string(), group), finding.message.to_string())
                })
                .collect();
            let open: BTreeMap<(String, String), String> = open
                .iter()
                .map(|((rule, group), message)| (((*rule).to_owned(), (*group).to_owned()), message.clone()))
                .collect();
            assert_eq!(told, open, "seed {seed}, step {step}");
        }
    }
    for (rule, upkeep, ..) in RULES {
        let times = |kind: &str| {
            let of = seen.iter().filter(|((of, known, by_totals), _)| {
                *of == rule && *known == kind && (*by_totals || upkeep == Upkeep::Whole || rule == "maps")
            });
            of.map(|(_, times)| times).sum::<usize>()
        };
        let (compliant, violations, errors) = (times("compliant"), times("violation"), times("error"));
        assert!(compliant + violations > 100, "{rule}: {seen:?}");
        let never_fails = ["count", "here", "message", "optionals"].contains(&rule);
        assert!(errors > 20 || never_fails, "{rule} fails too: {seen:?}");
    }
}

fn kind(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Compliant => "compliant",
        Verdict::Violation(_) => "violation",
        Verdict::Error(_) => "error",
    }
}

#[test]
fn an_event_of_a_group_of_fifty_thousand_reads_no_other_object() {
    const MEMBERS: usize = 50_000;
    let sum = "
rules:
- name: sum
  groupBy: object.metadata.namespace
  expression: objects.map(o, o.spec.level).sum() <= 50000 && objects.exists(o, o.spec.level == 1)
  messageExpression: string(objects.map(o, o.spec.level).sum()) + ' of ' + string(objects.size())
";
    let mut world = World::of(policy(sum));
    assert_eq!(world.event(ITEMS, ObjectEvent::Relisting), NOTHING);
    for n in 0..MEMBERS {
        world.event(ITEMS, ObjectEvent::Seen(item(&format!("x/{n}")).object()));
    }
    world.event(ITEMS, ObjectEvent::Synced);
    assert_eq!(world.work(), NOTHING);
    let reads = |world: &World| world.engine.watches.by_id[&ITEMS].objects.reads.load(Relaxed);
    assert_eq!(reads(&world), 0, "to know them takes no reading either");
    world.seen(&item("x/7").level(2));
    assert_eq!(world.work(), ["opened sum /x"]);
    assert_eq!(&*world.open()[0].message, "50001 of 50000");
    world.gone(&item("x/9"));
    assert_eq!(world.work(), ["resolved sum /x Compliant"]);
    world.seen(&item("x/new").level(8));
    assert_eq!(world.work(), ["opened sum /x"]);
    assert_eq!(reads(&world), 0);
    assert_eq!(world.engine.next_group_deadline(), None, "and nothing waits for its time");
}

#[test]
fn a_total_that_may_come_to_another_in_another_order_is_made_anew() {
    let sum = "
rules:
- name: sum
  groupBy: object.metadata.namespace
  expression: objects.map(o, o.spec.level).sum() == 5
  messageExpression: string(objects.map(o, o.spec.level).sum())
";
    let mut world = World::of(policy(sum));
    let items =
        [("a", i64::MAX), ("b", 5), ("c", -i64::MAX)].map(|(n, level)| item(&format!("x/{n}")).level(level));
    world.list(&items);
    assert_eq!(world.work(), NOTHING);
    let error = |world: &World| world.report().rules[0].last_error.clone();
    assert_eq!(error(&world).as_deref(), Some("Group x: integer overflow"), "a and b are too much");
    world.gone(&items[1]);
    world.seen(&item("x/d").level(5));
    assert_eq!(world.work(), NOTHING);
    assert_eq!(error(&world), None, "and a and c are not");
}
