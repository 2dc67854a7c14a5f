//! What rules about several objects, about groups and about time cost the engine. `make bench-joined`.
//!
//! The engine alone, in the loop of the thread that runs it: an input, then a slice of what is queued.

// A benchmark that cannot go on ends.
#![allow(missing_docs, dead_code, clippy::expect_used)]

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::env;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use polywatch::core::engine::{Assignment, Engine, Reader, Route};
use polywatch::core::event::{ObjectEvent, WatchId};
use polywatch::core::finding::PolicyKey;
use polywatch::core::project::{ProjectedObject, Projection};
use polywatch::policy::compile;
use serde_json::{Map, Value, json};
use support::summary;

/// Objects judged again in one go, as the operator has it.
const SLICE: usize = 64;

const CHAIN: &str = "
resources:
- {name: routes, apiVersion: example.io/v1, kind: Route}
- {name: pods, apiVersion: v1, kind: Pod}
lookups:
- {name: service, apiVersion: v1, kind: Service, nameExpression: object.spec.service}
- name: slices
  apiVersion: discovery.k8s.io/v1
  kind: EndpointSlice
  labels: {kubernetes.io/service-name: lookups.service.metadata.name}
rules:
- name: serves
  resources: [routes]
  expression: lookups.slices.exists(s, s.endpoints.exists(e, e.conditions.ready))
- {name: named, resources: [pods], expression: object.spec.nodeName != ''}
";

const GROUPS: &str = "
resources: [{name: pods, apiVersion: v1, kind: Pod}]
rules:
- {name: sum, groupBy: object.metadata.namespace, expression: 'objects.map(p, p.spec.priority).sum() < 1000000000'}
- {name: unique, groupBy: object.spec.nodeName, expression: objects.size() <= 1}
";

const PENDING: &str = "
resources: [{name: pods, apiVersion: v1, kind: Pod}]
rules:
- {name: later, expression: object.spec.priority < 0, for: 1h}
";

/// A name, a title, and what is measured.
type Part = (&'static str, &'static str, fn() -> Value);

/// Each is a process of its own: memory that one leaves behind is no other's.
const PARTS: [Part; 4] = [
    (
        "fan-out",
        "One Service behind 5,000 routes; its EndpointSlice changes, and after each slice of work a Pod",
        || fan_out(5_000),
    ),
    ("dependents", "100,000 routes of as many Services", || dependents(100_000)),
    ("groups", "A group of 50,000 Pods, one of which changes", || groups(50_000)),
    ("pending", "100,000 rules that wait for an hour", || pending(100_000)),
];

fn main() {
    let asked = env::args().nth(1).unwrap_or_default();
    if let Some((_, _, part)) = PARTS.iter().find(|(name, ..)| *name == asked) {
        println!("{}", part());
        return;
    }
    let mut raw = Map::new();
    for (name, what, _) in PARTS {
        let program = env::current_exe().expect("this program");
        let output = Command::new(program).arg(name).stderr(Stdio::inherit()).output().expect("a child");
        let told: Value = serde_json::from_slice(&output.stdout).expect("its figures");
        println!("{what}\n{told:#}\n");
        raw.insert(name.to_owned(), told);
    }
    let mut figures = Map::new();
    figures.insert("fan_out_p99_of_unrelated_us".into(), raw["fan-out"]["unrelated p99 us"].clone());
    figures.insert("group_event_us".into(), raw["groups"]["event us"].clone());
    summary::record("joined", figures, raw.into());
}

/// An engine with one policy, whose selections are fed by one watch a kind.
struct Bench {
    engine: Engine,
    watches: BTreeMap<String, (WatchId, Projection)>,
    now: Timestamp,
}

impl Bench {
    fn new(spec: &str) -> Self {
        let spec = polywatch::yaml::from_str(spec).expect("a spec");
        let key = PolicyKey("bench".into());
        let policy = Arc::new(compile(key.clone(), "uid".into(), 1, &spec));
        assert!(policy.problems.is_empty(), "{:?}", policy.problems);
        let mut assignment = Assignment::default();
        let mut watches = BTreeMap::new();
        for (n, selection) in policy.selections.iter().enumerate() {
            let id = WatchId(n as u64 + 1);
            let reader = Reader { policy: key.clone(), selection: selection.name.clone() };
            assignment.routes.insert(id, Route { readers: [reader].into(), ..Route::default() });
            let target = &selection.target;
            let version = target.version.as_deref().unwrap_or_default();
            let api_version = if target.group.is_empty() {
                version.to_owned()
            } else {
                format!("{}/{version}", target.group)
            };
            let projection = Projection::new(policy.needs(n, false), &api_version, &target.kind);
            watches.insert(target.kind.clone(), (id, projection));
        }
        assignment.policies = Arc::new([(key, policy)].into());
        let mut engine = Engine::default();
        let now = Timestamp::from_second(1_000).expect("a time");
        engine.assign(assignment, now);
        Self { engine, watches, now }
    }

    fn object(&self, value: &Value) -> Arc<ProjectedObject> {
        let (_, projection) = &self.watches[value["kind"].as_str().expect("a kind")];
        Arc::new(projection.decode(value).expect("an object"))
    }

    fn seen(&mut self, value: &Value) -> usize {
        let object = self.object(value);
        self.step(value["kind"].as_str().expect("a kind"), ObjectEvent::Seen(object))
    }

    fn step(&mut self, kind: &str, event: ObjectEvent) -> usize {
        let id = self.watches[kind].0;
        self.engine.step(id, event, self.now).len()
    }

    fn work(&mut self) -> usize {
        self.engine.work(SLICE, self.now).len()
    }

    fn synced(&mut self) {
        let kinds: Vec<String> = self.watches.keys().cloned().collect();
        kinds.iter().for_each(|kind| {
            self.step(kind, ObjectEvent::Synced);
        });
        while self.engine.has_work() {
            self.work();
        }
    }
}

fn metadata(name: &str) -> Value {
    json!({"namespace": "shop", "name": name, "uid": format!("uid-{name}")})
}

fn route(n: usize, service: &str) -> Value {
    json!({"apiVersion": "example.io/v1", "kind": "Route", "metadata": metadata(&format!("route-{n}")), "spec": {"service": service}})
}

fn service(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata(name)})
}

fn slice(service: &str, ready: bool) -> Value {
    let mut value = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata(&format!("{service}-x")),
        "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": ready}}]});
    value["metadata"]["labels"] = json!({"kubernetes.io/service-name": service});
    value
}

fn pod(n: usize, priority: i64) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata(&format!("pod-{n}")),
        "spec": {"nodeName": format!("node-{n}"), "priority": priority}})
}

fn fan_out(routes: usize) -> Value {
    let mut bench = Bench::new(CHAIN);
    bench.seen(&service("a"));
    bench.seen(&slice("a", true));
    (0..routes).for_each(|n| {
        bench.seen(&route(n, "a"));
    });
    bench.synced();
    let (mut waits, mut whole) = (Vec::new(), Vec::new());
    for round in 0..20 {
        bench.seen(&slice("a", round % 2 == 1));
        let began = Instant::now();
        let mut said = 0;
        while bench.engine.has_work() {
            // What comes now waits for this slice.
            let came = Instant::now();
            said += bench.work();
            bench.seen(&pod(round, round as i64 + 1));
            waits.push(came.elapsed());
        }
        assert_eq!(said, routes, "each route is told of");
        whole.push(began.elapsed());
    }
    json!({
        "routes": routes,
        "unrelated p50 us": percentile(&mut waits, 50),
        "unrelated p99 us": percentile(&mut waits, 99),
        "unrelated max us": percentile(&mut waits, 100),
        "all routes told p50 ms": percentile(&mut whole, 50) / 1e3,
        "us a route": (percentile(&mut whole, 50) / routes as f64 * 10.0).round() / 10.0,
    })
}

fn dependents(routes: usize) -> Value {
    let mut bench = Bench::new(CHAIN);
    for n in 0..routes {
        bench.seen(&service(&format!("s{n}")));
        bench.seen(&slice(&format!("s{n}"), true));
        bench.seen(&route(n, &format!("s{n}")));
    }
    let before = resident();
    bench.synced();
    let each = (resident() - before) / routes as f64;
    let mut times = Vec::new();
    for n in 0..1_000 {
        let changed = slice(&format!("s{n}"), false);
        let began = Instant::now();
        bench.seen(&changed);
        while bench.engine.has_work() {
            bench.work();
        }
        times.push(began.elapsed());
    }
    json!({
        "routes": routes,
        "bytes for what a route depends on": each.round(),
        "change to finding p50 us": percentile(&mut times, 50),
        "change to finding p99 us": percentile(&mut times, 99),
    })
}

fn groups(pods: usize) -> Value {
    let mut bench = Bench::new(GROUPS);
    (0..pods).for_each(|n| {
        bench.seen(&pod(n, 1));
    });
    bench.synced();
    let mut times = Vec::new();
    for n in 0..2_000 {
        let changed = pod(n, 2);
        let began = Instant::now();
        bench.seen(&changed);
        while bench.engine.has_work() {
            bench.work();
        }
        times.push(began.elapsed());
    }
    json!({"pods": pods, "event us": percentile(&mut times, 50), "event p99 us": percentile(&mut times, 99)})
}

fn pending(pods: usize) -> Value {
    let mut bench = Bench::new(PENDING);
    let before = resident();
    (0..pods).for_each(|n| {
        bench.seen(&pod(n, 1));
    });
    bench.synced();
    let each = (resident() - before) / pods as f64;
    let began = Instant::now();
    let looks = 100_000;
    for _ in 0..looks {
        bench.engine.tick(bench.now);
        assert!(bench.engine.next_deadline().is_some_and(|at| at > bench.now));
    }
    let look = began.elapsed().as_secs_f64() * 1e9 / f64::from(looks);
    bench.now = Timestamp::from_second(1_000 + 3_600).expect("a time");
    let began = Instant::now();
    bench.engine.tick(bench.now);
    let (mut opened, mut longest) = (0, Duration::ZERO);
    while bench.engine.has_work() {
        let came = Instant::now();
        opened += bench.work();
        longest = longest.max(came.elapsed());
    }
    assert_eq!(opened, pods);
    json!({
        "pods": pods,
        "bytes for each, its object included": each.round(),
        "a look while nothing is due, ns": look.round(),
        "all due at once, ms": (began.elapsed().as_secs_f64() * 1e3).round(),
        "longest slice us": longest.as_micros() as u64,
    })
}

/// In microseconds.
fn percentile(times: &mut [Duration], percent: usize) -> f64 {
    times.sort();
    let at = (times.len() * percent).div_ceil(100).clamp(1, times.len()) - 1;
    (times[at].as_secs_f64() * 1e7).round() / 10.0
}

fn resident() -> f64 {
    support::process::usage(std::process::id()).expect("this process").resident as f64
}
