//! What evaluating costs: usual rules, and the worst that a budget of steps lets through.
//!
//! `make bench` prints nanoseconds for the first, and for the others how long it takes until they are done or stopped.
//! What the first of the usual rules costs goes to the summary as `simple_rule_ns`.

// Numbers are for people to read.
#![allow(missing_docs, clippy::expect_used)]

mod support;

use std::hint::black_box;
use std::time::{Duration, Instant};

use polywatch::core::cel::{Bindings, Inputs, Program, Root, Scope, Want, compile};
use polywatch::core::paths::Paths;
use polywatch::core::project::{ProjectedObject, Projection};
use serde_json::{Map, Value, json};

/// The first one is what `simple_rule_ns` is of.
const USUAL: &[&str] = &[
    "object.spec.replicas >= 3",
    "object.spec.replicas >= 3 && object.metadata.labels.exists(k, k == 'key-7')",
    "object.spec.containers.all(c, has(c.resources.limits) && 'memory' in c.resources.limits)",
    "object.metadata.name.matches('^web-[0-9]+-[a-z]+$')",
    "object.spec.containers.all(c, quantity(c.resources.limits.memory).isLessThan(quantity('2Gi')))",
];

/// `ints`, `names` and `map` have 10,000 entries, `text` a megabyte.
const HOSTILE: &[&str] = &[
    "object.ints.all(a, object.ints.all(b, a + b >= 0))",
    "object.ints.map(a, object.ints.map(b, [a, b])).size() > 0",
    "object.names.all(a, object.names.exists(b, a == b + 'x') || true)",
    "object.map.all(k, object.map[k] >= 0)",
    "object.ints.distinct().size() > 0",
    "object.names.sort().size() > 0",
    "object.ints.sortBy(x, -x).size() > 0",
    "lists.range(1000000).size() > 0",
    "lists.range(100000).map(x, [x]).flatten().size() > 0",
    "object.text.matches('(a*)*b')",
    "object.text.matches('[a-z]{1,200}[a-z]{1,200}x')",
    "object.names.all(x, object.names.all(y, y.matches('^' + y + '$')))",
    "object.text.findAll('a').size() > 0",
    "object.text.split('').size() > 0",
    "object.text.replace('a', 'aaaaaaaaaa').size() > 0",
    "object.text.replace('', 'x').size() > 0",
    "object.ints.map(b, object.text + 'x').size() > 0",
    "object.ints.all(x, object.map == object.map)",
    "object.ints.all(x, object.names == object.names)",
    "sets.equivalent(object.names, object.names)",
    "object.names.join(object.text).size() > 0",
    "object.ints.all(x, '%s'.format([object.ints]).size() > 0)",
    "object.ints.map(x, object.ints + object.ints).size() > 0",
    "object.ints.all(x, object.ints.sum() > 0)",
    "object.ints.all(x, object.names.indexOf('zzz') == -1)",
    "object.ints.all(x, object.text.lowerAscii() == object.text)",
    "object.ints.all(x, strings.quote(object.text) != '')",
    "object.ints.all(x, base64.encode(bytes(object.text)) != '')",
    "object.names.all(y, url('https://a.example/' + y).getHost() != '')",
    "object.names.all(x, !isIP(x) && !isURL(x) && !isQuantity(x) && !isSemver(x))",
    "object.ints.all(x, timestamp('2024-01-01T00:00:00Z').getHours('America/New_York') > -1)",
];

fn main() {
    let usual = object(json!({
        "metadata": {"name": "web-0-abcdef", "labels": entries(8, |_| "v".into())},
        "spec": {"replicas": 3, "containers": vec![json!({
            "name": "app", "image": "registry.example/app:1.2", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
        }); 3]},
    }));
    println!("{:>10} {:>10}  rule", "compile", "evaluate");
    let mut costs = Vec::new();
    for source in USUAL {
        let started = Instant::now();
        let program = compiled(source);
        let compiling = started.elapsed();
        let times = 200_000;
        let started = Instant::now();
        for _ in 0..times {
            let _ = black_box(program.evaluate_bool(&mut bindings(&usual)));
        }
        let evaluating = started.elapsed() / times;
        println!("{:>7} us {:>7} ns  {source}", compiling.as_micros(), evaluating.as_nanos());
        costs.push((*source, evaluating.as_nanos() as u64));
    }
    let large = object(json!({
        "metadata": {"name": "large"},
        "ints": (0..10_000).collect::<Vec<_>>(),
        "names": (0..10_000).map(|n| format!("name-{n}")).collect::<Vec<_>>(),
        "map": entries(10_000, Value::from),
        "text": "a".repeat(1 << 20),
    }));
    let mut worst = Duration::ZERO;
    println!("\n{:>10} {:>10}  hostile rule", "time", "steps");
    for source in HOSTILE {
        let program = compiled(source);
        let mut bindings = bindings(&large);
        let started = Instant::now();
        let _ = black_box(program.evaluate_bool(&mut bindings));
        let took = started.elapsed();
        worst = worst.max(took);
        println!("{:>7.1} ms {:>10}  {source}", took.as_secs_f64() * 1000.0, bindings.spent());
    }
    let worst_ms = worst.as_secs_f64() * 1000.0;
    println!("\nworst {worst_ms:.1} ms");
    let figures = Map::from_iter([("simple_rule_ns".to_owned(), json!(costs[0].1))]);
    support::summary::record("cel", figures, json!({"rules_ns": costs, "worst_hostile_ms": worst_ms}));
}

fn entries(count: usize, value: impl Fn(usize) -> Value) -> Value {
    Value::Object((0..count).map(|n| (format!("key-{n}"), value(n))).collect())
}

fn object(json: Value) -> ProjectedObject {
    Projection::new(Paths::whole(), "v1", "Sample").decode(json).expect("an object")
}

fn compiled(source: &str) -> Program {
    compile(source, &Scope::new(&Root::ALL), Want::Bool).expect(source)
}

fn bindings(object: &ProjectedObject) -> Bindings<'_> {
    Bindings::new(Inputs { object: Some(object.root()), ..Inputs::default() })
}
