//! Between two flips nothing changes: compared with evaluating at every nanosecond.

use jiff::Timestamp;
use proptest::prelude::*;

use crate::core::cel::{Bindings, Inputs, NowUse, Program, Root, Scope, Variable, Want, compile};
use crate::core::tree::Node;

fn at(nanosecond: i64) -> Timestamp {
    Timestamp::from_nanosecond(nanosecond.into()).expect("a time")
}

/// With `variables.age`, which moves, and `variables.old`, which a comparison decides.
fn scope() -> (Scope, Vec<Variable>) {
    let mut scope = Scope::new(&Root::ALL);
    let mut variables = Vec::new();
    for (name, source) in [
        ("age", "now - timestamp('1970-01-01T00:00:00.000000020Z')"),
        ("old", "variables.age > duration('15ns')"),
        ("hour", "now.getHours()"),
    ] {
        let program = compile(source, &scope, Want::Any).expect("a variable");
        scope.declare(name, &program);
        variables.push(Variable { name: name.into(), program });
    }
    (scope, variables)
}

fn now_use(source: &str) -> NowUse {
    compile(source, &scope().0, Want::Bool).unwrap_or_else(|error| panic!("{source}: {error}")).now_use()
}

/// An expression, compiled once.
struct Judge(Program, Vec<Variable>);

impl Judge {
    fn of(source: &str) -> Self {
        let (scope, variables) = scope();
        let program = compile(source, &scope, Want::Bool).unwrap_or_else(|error| panic!("{source}: {error}"));
        Self(program, variables)
    }

    /// What it comes out as at a nanosecond, and when it may come out otherwise.
    fn at(&self, object: &Node, nanosecond: i64) -> (Option<bool>, Option<i64>) {
        let (now, variables) = (at(nanosecond), &*self.1);
        let mut bindings =
            Bindings::new(Inputs { object: Some(object), now, variables, ..Inputs::default() });
        let verdict = self.0.evaluate_bool(&mut bindings).ok();
        (verdict, bindings.next_flip().map(|at| at.as_nanosecond() as i64))
    }
}

fn object() -> Node {
    let text = r#"{"at": "1970-01-01T00:00:00.000000030Z", "ats": ["1970-01-01T00:00:00.000000010Z",
        "1970-01-01T00:00:00.000000040Z"], "wait": "10ns"}"#;
    serde_json::from_str(text).expect("an object")
}

#[test]
fn a_comparison_flips_at_the_very_nanosecond() {
    for (source, now, flip) in [
        ("now > timestamp(object.at)", 0, Some(31)),
        ("now >= timestamp(object.at)", 0, Some(30)),
        ("now < timestamp(object.at)", 0, Some(30)),
        ("now <= timestamp(object.at)", 0, Some(31)),
        ("timestamp(object.at) < now", 0, Some(31)),
        ("now > timestamp(object.at)", 31, None),
        ("now - timestamp(object.at) > duration(object.wait)", 0, Some(41)),
        ("timestamp(object.at) - now < duration(object.wait)", 0, Some(21)),
        ("duration(object.wait) + now < timestamp(object.at)", 0, Some(20)),
        ("now - duration(object.wait) < timestamp(object.at)", 0, Some(40)),
        ("(now - timestamp(object.at)) + (now - timestamp(object.at)) > duration('5ns')", 0, Some(33)),
        ("now - now < duration('5ns')", 0, None),
        ("variables.age > duration('1ns')", 0, Some(22)),
        ("!variables.old", 0, Some(36)),
        ("object.ats.exists(t, timestamp(t) < now)", 0, Some(11)),
        ("object.ats.all(t, timestamp(t) < now)", 11, Some(41)),
        ("cel.bind(t, now - duration('1ns'), t > timestamp(object.at))", 0, Some(32)),
        // What decides is looked at, and nothing else.
        ("false && now > timestamp(object.at)", 0, None),
        ("has(object.gone) && now > timestamp(object.gone)", 0, None),
        ("object.wait == '10ns' ? now > timestamp(object.at) : now.getHours() > 3", 0, Some(31)),
    ] {
        let judge = Judge::of(source);
        let (verdict, found) = judge.at(&object(), now);
        assert_eq!(found, flip, "{source}");
        let Some(flip) = flip else { continue };
        let later = |nanosecond| judge.at(&object(), nanosecond).0;
        assert_eq!((later(flip - 1), later(flip)), (verdict, verdict.map(|verdict| !verdict)), "{source}");
    }
}

#[test]
fn every_use_of_now_is_seen_for_what_it_is() {
    for (source, use_of_now) in [
        ("object.wait == 'x'", NowUse::None),
        (
            "now > timestamp(object.at) || object.ats.exists(t, now - timestamp(t) > duration('1h'))",
            NowUse::Moments,
        ),
        ("variables.old && object.?at.hasValue()", NowUse::Moments),
        ("(has(object.at) ? timestamp(object.at) : timestamp(object.ats[0])) < now", NowUse::Moments),
        ("(has(object.at) ? now : now + duration('1h')) > timestamp(object.ats[0])", NowUse::Moments),
        ("(variables.old ? now : timestamp(object.at)) > timestamp(object.ats[0])", NowUse::Unforeseen),
        ("now.getDayOfWeek() < 6", NowUse::Unforeseen),
        ("(now - timestamp(object.at)).getHours() > 3", NowUse::Unforeseen),
        ("variables.hour > 3", NowUse::Unforeseen),
        ("now == timestamp(object.at)", NowUse::Unforeseen),
        ("string(now) > '2024'", NowUse::Unforeseen),
        ("[now].exists(t, t > timestamp(object.at))", NowUse::Unforeseen),
        ("now in [timestamp(object.at)]", NowUse::Unforeseen),
    ] {
        assert_eq!(now_use(source), use_of_now, "{source}");
    }
}

/// A timestamp, in nanoseconds.
fn moment() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("now".to_owned()),
        (0..60).prop_map(|n| format!("timestamp('1970-01-01T00:00:00.{n:09}Z')")),
        Just("timestamp(object.at)".to_owned()),
    ];
    (leaf, prop::option::of((prop_oneof![Just('+'), Just('-')], 0..20))).prop_map(|(leaf, shift)| match shift
    {
        Some((sign, by)) => format!("({leaf} {sign} duration('{by}ns'))"),
        None => leaf,
    })
}

fn span() -> impl Strategy<Value = String> {
    let difference = (moment(), moment()).prop_map(|(a, b)| format!("({a} - {b})"));
    let leaf = prop_oneof![
        (0..40).prop_map(|n| format!("duration('{n}ns')")),
        difference,
        Just("variables.age".to_owned()),
    ];
    let sign = prop_oneof![Just('+'), Just('-')];
    (leaf.clone(), prop::option::of((sign, leaf))).prop_map(|(leaf, more)| match more {
        Some((sign, more)) => format!("({leaf} {sign} {more})"),
        None => leaf,
    })
}

fn condition() -> impl Strategy<Value = String> {
    let order = || prop_oneof![Just("<"), Just("<="), Just(">"), Just(">=")];
    let leaf = prop_oneof![
        (moment(), order(), moment()).prop_map(|(a, order, b)| format!("{a} {order} {b}")),
        (span(), order(), span()).prop_map(|(a, order, b)| format!("{a} {order} {b}")),
        Just("variables.old".to_owned()),
        Just("object.gone > now".to_owned()),
        order().prop_map(|order| format!("object.ats.exists(t, timestamp(t) {order} now)")),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            inner.clone().prop_map(|a| format!("!({a})")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
        ]
    })
}

proptest! {
    #[test]
    fn nothing_changes_before_the_next_flip(source in condition()) {
        let object = object();
        let judge = Judge::of(&source);
        prop_assert_ne!(judge.0.now_use(), NowUse::Unforeseen, "{}", source);
        let mut now = 0;
        // From flip to flip, as the engine goes.
        for _ in 0..100 {
            let (verdict, flip) = judge.at(&object, now);
            for nanosecond in now..flip.unwrap_or(150).min(150) {
                prop_assert_eq!(judge.at(&object, nanosecond).0, verdict, "{} at {}", &source, nanosecond);
            }
            match flip {
                Some(flip) => now = flip,
                None => return Ok(()),
            }
        }
        prop_assert!(false, "{} flips for ever", source);
    }
}
