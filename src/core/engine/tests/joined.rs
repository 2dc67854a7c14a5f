//! Lookups, groups and time together: whatever happens, and in whichever order it is told, what is said of each object
//! and each group is what going through all objects says.

mod history;
mod model;
mod naive;
mod objects;
mod policies;
mod walk;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use fastrand::Rng;

use self::history::History;
use self::model::{Model, words};
use self::objects::{KINDS, Maker, Step};
use self::policies::SPECS;
use self::walk::{Walk, drawn};
use super::at;
use crate::core::event::{ObjectEvent, ObjectKey};
use crate::core::finding::PolicyKey;
use crate::core::needs::identity;
use crate::core::project::{ProjectedObject, Projection, Shape};

const SEEDS: std::ops::Range<u64> = 0..20;
/// Events of one history.
const EVENTS: usize = 2_000;
/// Policies at once.
const POLICIES: usize = 3;

#[test]
fn every_form_of_every_policy_is_in_force() {
    for n in 0..SPECS.len() {
        (0..2).for_each(|form| drop(policies::compiled(n, form)));
    }
}

/// Whether a policy uses `now` in a way that is judged once a minute.
fn is_by_interval(n: usize) -> bool {
    SPECS[n].0 == "interval"
}

fn compare(history: &History, model: &mut Model, policies: &BTreeSet<PolicyKey>, place: &str) {
    for key in policies {
        let settled = model.look(history, key);
        let (engine, naive) = (words(history, key), model.words(key));
        assert_eq!(engine.0, naive.0, "open of {key}: engine and naive; {place}");
        assert_eq!(engine.1, naive.1, "pending of {key}: engine and naive; {place}");
        assert_eq!(engine.2, naive.2, "errors of {key}: engine and naive; {place}");
        let report = history.engine.report(key, 0).expect("a report");
        let all = report.selections.iter().all(|selection| selection.settled);
        assert!(all || !settled, "all of {key} is known: {report:?}; {place}");
    }
}

#[test]
fn what_is_said_is_what_judging_all_anew_says_after_every_event() {
    for seed in SEEDS {
        let mut maker = Maker::new(seed);
        let policies = maker.policies(POLICIES);
        let mut history = History::new(&policies);
        history.slice = Some([1, 3, 64][seed as usize % 3]);
        let all: BTreeSet<PolicyKey> = history.policies.keys().cloned().collect();
        let mut model = Model::default();
        for n in 0..EVENTS {
            let mut step = maker.next(&policies, history.now);
            if maker.random.u32(0..150) == 0 {
                step = Step::Restart;
            }
            let place = format!("seed {seed}, step {n}: {step:?}");
            // What is judged once a minute is judged at its beginning.
            let shifts =
                matches!(step, Step::Edit(n, _) if is_by_interval(n)) || matches!(step, Step::Restart);
            let seconds = match step {
                Step::Wait(seconds) => seconds,
                _ if shifts => 60 - history.now.as_second() % 60,
                _ => 0,
            };
            if seconds > 0 {
                let until = at(history.now.as_second() + seconds);
                while history.pass(until) {
                    compare(&history, &mut model, &all, &place);
                }
                compare(&history, &mut model, &all, &place);
            }
            let concerned = match step {
                Step::Wait(_) => continue,
                Step::Read(kind, some) => {
                    let Some(kind) = history.to_read(kind) else { continue };
                    let concerned = history.policies_that_read(kind);
                    for _ in 0..some {
                        history.read(kind);
                        compare(&history, &mut model, &concerned, &place);
                    }
                    continue;
                }
                Step::Restart => {
                    model.restart(&history);
                    history.take(step)
                }
                Step::Edit(n, _) => {
                    model.edit(&PolicyKey(SPECS[n].0.into()));
                    history.take(step)
                }
                _ => history.take(step),
            };
            match concerned {
                // An event that is nobody's changes nothing; looking now and then is enough for that.
                Some(kind) if n % 8 > 0 => {
                    compare(&history, &mut model, &history.policies_that_read(kind), &place);
                }
                _ => compare(&history, &mut model, &all, &place),
            }
        }
    }
}

#[test]
fn the_graph_of_an_object_is_what_walking_over_all_queries_gives() {
    let mut edges = 0;
    for seed in SEEDS {
        let mut maker = Maker::new(1_000 + seed);
        let policies = maker.policies(POLICIES + 1);
        let mut history = History::new(&policies);
        for n in 0..EVENTS {
            let step = maker.next(&policies, history.now);
            history.take(step);
            if n % 100 > 0 {
                continue;
            }
            history.catch_up();
            let walk = Walk::new(&history);
            for watch in history.watches.values() {
                for object in watch.told.values() {
                    let wanted = super::super::super::graph::Vertex::of(object.id()).id;
                    let graph = history.engine.graph(&wanted.parse().expect("an object")).expect("a graph");
                    assert_eq!(graph.root, wanted);
                    edges += graph.edges.len();
                    assert_eq!(drawn(graph), walk.of(object), "{wanted}; seed {seed}, step {n}");
                }
            }
        }
    }
    assert!(edges > 10_000, "{edges}");
}

/// What is said of a cluster at rest, of each policy, but since when and how often. What a rule fails on stays what it was
/// before, which is the one thing that depends on what was.
fn at_rest(history: &mut History) -> BTreeMap<PolicyKey, [BTreeMap<String, String>; 3]> {
    history.come_to_rest();
    let of = |key: &PolicyKey| {
        let (open, pending, errors) = words(history, key);
        let known = |(key, wrong): (crate::core::finding::FindingKey, model::Wrong)| {
            (!errors.contains_key(&key)).then(|| (format!("{key:?}"), wrong.what()))
        };
        let open = open.into_iter().filter_map(known).collect();
        let pending = pending.into_iter().filter_map(known).collect();
        let errors = errors.iter().map(|(key, error)| (format!("{key:?}"), error.clone())).collect();
        (key.clone(), [open, pending, errors])
    };
    history.policies.keys().map(of).collect()
}

/// A history that was written down.
fn written(maker: &mut Maker, policies: &[usize], steps: usize) -> Vec<Step> {
    let mut now = at(1_200);
    let mut all = Vec::new();
    for _ in 0..steps {
        let step = maker.next(policies, now);
        if let Step::Wait(seconds) = step {
            now = at(now.as_second() + seconds);
        }
        all.push(step);
    }
    all
}

#[test]
fn a_restart_at_any_moment_comes_to_the_same() {
    for seed in SEEDS {
        let mut maker = Maker::new(2_000 + seed);
        let policies = maker.policies(POLICIES + 1);
        let steps = written(&mut maker, &policies, EVENTS);
        let mut plain = History::new(&policies);
        steps.iter().cloned().for_each(|step| plain.happen(step));
        let mut restarted = History::new(&policies);
        for (n, step) in steps.iter().enumerate() {
            restarted.take(step.clone());
            if n > 100 && maker.random.u32(0..100) == 0 {
                restarted.take(Step::Restart);
                let mut kinds = KINDS.map(|(kind, _)| kind);
                maker.random.shuffle(&mut kinds);
                let some = maker.random.usize(0..kinds.len() * 2).min(kinds.len());
                for kind in &kinds[..some] {
                    restarted.list(kind);
                    (0..20).for_each(|_| restarted.read(kind));
                }
            }
        }
        assert_eq!(at_rest(&mut restarted), at_rest(&mut plain), "restarted and not; seed {seed}");
    }
}

#[test]
fn judging_in_slices_comes_to_the_same() {
    for seed in SEEDS {
        let mut maker = Maker::new(3_000 + seed);
        let policies = maker.policies(POLICIES + 1);
        let steps = written(&mut maker, &policies, EVENTS / 2);
        let mut plain = History::new(&policies);
        steps.iter().cloned().for_each(|step| plain.happen(step));
        let plain = at_rest(&mut plain);
        for slice in [1, 3, usize::MAX] {
            let mut sliced = History::new(&policies);
            // Work does not keep up with what happens.
            sliced.slice = None;
            for step in &steps {
                sliced.take(step.clone());
                (0..maker.random.u32(0..3)).for_each(|_| sliced.work_some(slice));
            }
            sliced.slice = Some(slice);
            assert_eq!(at_rest(&mut sliced), plain, "slices of {slice} and not; seed {seed}");
        }
    }
}

/// What one kind's watch tells: a list, and what happens after it.
struct Told {
    listed: VecDeque<Arc<ProjectedObject>>,
    events: VecDeque<ObjectEvent>,
}

fn key_of(event: &ObjectEvent) -> Option<ObjectKey> {
    match event {
        ObjectEvent::Seen(object) => Some(object.key()),
        ObjectEvent::Gone(key) => Some(key.clone()),
        ObjectEvent::Relisting | ObjectEvent::Synced => None,
    }
}

/// In another order, each object's own order kept.
fn shuffled(events: &VecDeque<ObjectEvent>, random: &mut Rng) -> VecDeque<ObjectEvent> {
    let mut by_object: BTreeMap<Option<ObjectKey>, VecDeque<ObjectEvent>> = BTreeMap::new();
    for event in events {
        by_object.entry(key_of(event)).or_default().push_back(event.clone());
    }
    let mut turns: Vec<Option<ObjectKey>> = events.iter().map(key_of).collect();
    random.shuffle(&mut turns);
    turns.iter().filter_map(|key| by_object.get_mut(key)?.pop_front()).collect()
}

#[test]
fn the_order_in_which_things_are_told_does_not_matter() {
    for seed in SEEDS {
        let mut maker = Maker::new(4_000 + seed);
        let policies = maker.policies(POLICIES + 1);
        let told: BTreeMap<&str, Told> = KINDS
            .iter()
            .map(|(kind, _)| {
                let mut listed = BTreeMap::new();
                let mut events = VecDeque::new();
                for n in 0..EVENTS / KINDS.len() {
                    let Step::Put(_, object) = maker.put(kind, at(1_200)) else { continue };
                    match n < 8 {
                        true => drop(listed.insert(object.key(), object)),
                        false if maker.random.u32(0..4) == 0 => {
                            events.push_back(ObjectEvent::Gone(object.key()))
                        }
                        false => events.push_back(ObjectEvent::Seen(object)),
                    }
                }
                (*kind, Told { listed: listed.into_values().collect(), events })
            })
            .collect();
        let mut first = None;
        for _ in 0..4 {
            let mut history = History::new(&policies);
            let random = &mut maker.random;
            let mut left: BTreeMap<&'static str, VecDeque<ObjectEvent>> = BTreeMap::new();
            for (kind, _) in KINDS {
                let told = &told[kind];
                let mut listed: Vec<_> = told.listed.iter().cloned().collect();
                random.shuffle(&mut listed);
                let mut all: VecDeque<ObjectEvent> = [ObjectEvent::Relisting].into();
                all.extend(listed.into_iter().map(ObjectEvent::Seen));
                all.push_back(ObjectEvent::Synced);
                all.extend(shuffled(&told.events, random));
                left.insert(kind, all);
            }
            while !left.is_empty() {
                let kinds: Vec<&'static str> = left.keys().copied().collect();
                let kind = kinds[random.usize(0..kinds.len())];
                // Now one by one, and now many of a kind before there is one of another.
                for _ in 0..random.usize(1..12) {
                    match left.get_mut(kind).and_then(VecDeque::pop_front) {
                        Some(event) => history.tell(kind, event),
                        None => drop(left.remove(kind)),
                    }
                }
            }
            let said = at_rest(&mut history);
            let first = first.get_or_insert_with(|| said.clone());
            assert_eq!(said, *first, "in one order and in another; seed {seed}");
        }
    }
}

/// Of each kind, what the policies need in whichever form.
fn needed(policies: &[usize]) -> BTreeMap<&'static str, Projection> {
    let mut shapes: BTreeMap<&'static str, Shape> =
        KINDS.iter().map(|(kind, _)| (*kind, identity().into())).collect();
    let forms = policies.iter().flat_map(|n| (0..2).map(|form| policies::compiled(*n, form)));
    for policy in forms {
        for (index, selection) in policy.selections.iter().enumerate() {
            let shape = shapes.get_mut(selection.target.kind.as_str()).expect("a kind");
            shape.add(&policy.needs(index, true));
        }
        let namespaces = shapes.get_mut("Namespace").expect("a kind");
        namespaces.paths.add(&policy.needs_of_namespaces());
    }
    let versions: BTreeMap<&str, &str> = KINDS.into();
    shapes.into_iter().map(|(kind, shape)| (kind, Projection::new(shape, versions[kind], kind))).collect()
}

#[test]
fn what_is_kept_decides_as_whole_objects_do() {
    for seed in SEEDS {
        let mut maker = Maker::new(5_000 + seed);
        let policies = maker.policies(POLICIES + 1);
        let steps = written(&mut maker, &policies, EVENTS / 2);
        let needed = needed(&policies);
        let (mut whole, mut part) = (History::new(&policies), History::new(&policies));
        let mut left_out = 0;
        for step in steps {
            let kept = match &step {
                Step::Put(kind, object) => {
                    let json = serde_json::to_value(object.root()).expect("JSON");
                    let kept = needed[kind].decode(&json).expect("an object");
                    left_out += usize::from(kept.root() != object.root());
                    Step::Put(kind, Arc::new(kept))
                }
                other => other.clone(),
            };
            whole.happen(step);
            part.happen(kept);
        }
        assert!(left_out > 0, "nothing is left out: this shows nothing; seed {seed}");
        assert_eq!(at_rest(&mut part), at_rest(&mut whole), "what is kept, and whole objects; seed {seed}");
    }
}
