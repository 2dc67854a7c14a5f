//! What one object costs, step by step: decoding, evaluating, recording. `make bench-micro`.

// A benchmark that cannot go on ends.
#![allow(missing_docs, dead_code, clippy::expect_used)]

#[path = "replay/pod.rs"]
mod pod;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput};
use jiff::Timestamp;
use polywatch::api::MonitorPolicySpec;
use polywatch::core::alert::{Desk, Terms, Truth};
use polywatch::core::cel::{Bindings, Inputs, Program, Root, Scope, Want, compile};
use polywatch::core::chain::Chain;
use polywatch::core::fields::Fields;
use polywatch::core::finding::{Finding, FindingKey, ObjectId, PolicyKey, Severity};
use polywatch::core::history::History;
use polywatch::core::ledger::Ledger;
use polywatch::core::paths::Paths;
use polywatch::core::project::{ProjectedObject, Projection};
use polywatch::core::rules::{Verdict, Violation};
use polywatch::core::tags::Tags;

const TWO_PATHS: &[&[&str]] =
    &[&["metadata", "labels", "tier"], &["spec", "containers", "[]", "resources", "limits", "memory"]];

const SEVEN_PATHS: &[&[&str]] = &[
    &["metadata", "labels"],
    &["spec", "containers", "[]", "name"],
    &["spec", "containers", "[]", "image"],
    &["spec", "containers", "[]", "resources"],
    &["spec", "priority"],
    &["status", "containerStatuses", "[]", "restartCount"],
    &["status", "conditions"],
];

const RULES: &[(&str, &str)] = &[
    ("number", "object.status.containerStatuses[0].restartCount < 1000"),
    ("label", "object.metadata.labels.exists(k, k == 'tier')"),
    ("presence", "object.spec.containers.all(c, has(c.resources.limits) && 'memory' in c.resources.limits)"),
    ("expression", "object.metadata.name.matches('^web-[0-9]+-[0-9a-f]+-[0-9a-f]+$')"),
    (
        "quantity",
        "object.spec.containers.all(c, quantity(c.resources.limits.memory).isLessThan(quantity('2Gi')))",
    ),
];

/// Findings that are open already.
const OPEN: [usize; 3] = [0, 1_000, 100_000];

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
        .configure_from_args();
    decoding(&mut criterion);
    evaluating(&mut criterion);
    recording(&mut criterion);
    telling(&mut criterion);
    criterion.final_summary();
}

fn decoding(criterion: &mut Criterion) {
    let bytes = pod_bytes();
    let mut group = criterion.benchmark_group("decode a Pod of 11 KB");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    for (name, projection) in [
        ("2 paths", keeping(Some(TWO_PATHS))),
        ("7 paths", keeping(Some(SEVEN_PATHS))),
        ("whole", keeping(None)),
    ] {
        group.bench_function(name, |bencher| bencher.iter(|| decode(&projection, black_box(&bytes))));
    }
    group.finish();
}

fn evaluating(criterion: &mut Criterion) {
    let object = decode(&keeping(None), &pod_bytes());
    let mut group = criterion.benchmark_group("evaluate");
    for (name, rule) in RULES {
        let program = compiled(rule);
        group.bench_function(*name, |bencher| bencher.iter(|| program.evaluate_bool(&mut bindings(&object))));
    }
    group.finish();
}

fn recording(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ledger");
    let mine = identity(usize::MAX);
    for open in OPEN {
        let mut ledger = Ledger::default();
        (0..open).for_each(|number| enter(&mut ledger, &identity(number), violation()));
        let name = |what: &str| format!("{what}, {open} open");
        group.bench_function(name("compliant"), |bencher| {
            bencher.iter(|| enter(&mut ledger, &mine, Verdict::Compliant));
        });
        group.bench_function(name("opened and resolved"), |bencher| {
            let open_and_resolve = |violation| {
                enter(&mut ledger, &mine, violation);
                enter(&mut ledger, &mine, Verdict::Compliant);
            };
            bencher.iter_batched(violation, open_and_resolve, BatchSize::SmallInput);
        });
        enter(&mut ledger, &mine, violation());
        group.bench_function(name("still violated"), |bencher| {
            let violate_again = |violation| enter(&mut ledger, &mine, violation);
            bencher.iter_batched(violation, violate_again, BatchSize::SmallInput);
        });
    }
    group.finish();
}

fn pod_bytes() -> Vec<u8> {
    let mut bytes = Vec::new();
    pod::Template::new().write(&mut bytes, 7, 1000, pod::State::default());
    bytes
}

// What follows is all that knows how objects are decoded, judged and recorded.

/// What comparing all open findings of a policy with what one sink was told of them costs.
fn telling(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("telling");
    for open in [100, 1_000, 10_000] {
        let spec = "{resources: [{name: pods, apiVersion: v1, kind: Pod}], rules: [{name: rule, expression: 'true'}],
            notify: [{sink: s, groupBy: [Namespace], groupWait: 1s, onFirstSync: Each}]}";
        let spec: MonitorPolicySpec = polywatch::yaml::from_str(spec).expect("a spec");
        let policy = Arc::new(polywatch::policy::compile(PolicyKey("p".into()), "uid".into(), 1, &spec));
        let finding = |number: usize| {
            let (key, mut object) = identity(number);
            object.namespace = Some(format!("ns-{}", number / 50).into());
            let (fields, chain, tags) = Default::default();
            let (message, severity) = ("not as it should be".into(), Severity::Medium);
            let since = Timestamp::from_second(number as i64).expect("a time");
            Arc::new(Finding { key, severity, object, message, fields, chain, tags, since, flaps: 0 })
        };
        let truth = Truth {
            policy: Some(policy),
            open: (0..open).map(finding).collect(),
            settled: ["pods".into(), "".into()].into(),
            history: History::default(),
        };
        let terms = Terms { sink: "s".into(), generation: 1, resend: None };
        let mut desk = Desk::new("s", "p", "uid");
        let at = |second: i64| Timestamp::from_second(1_000_000 + second).expect("a time");
        desk.decide(&truth, &terms, at(0));
        while let Some(out) = desk.decide(&truth, &terms, at(10)).due.into_iter().next() {
            desk.sent(&out, None, at(10));
        }
        group.bench_function(format!("nothing_new/{open}_open"), |b| {
            b.iter(|| black_box(desk.decide(&truth, &terms, at(20))));
        });
    }
    group.finish();
}

fn keeping(paths: Option<&[&[&str]]>) -> Projection {
    let paths = paths.map_or_else(Paths::whole, |paths| Paths::only(paths.iter().copied()));
    Projection::new(paths, "v1", "Pod")
}

fn decode(projection: &Projection, bytes: &[u8]) -> ProjectedObject {
    projection.decode(&mut serde_json::Deserializer::from_slice(bytes)).expect("a Pod")
}

fn compiled(rule: &str) -> Program {
    compile(rule, &Scope::new(&Root::ALL), Want::Bool).expect(rule)
}

fn bindings(object: &ProjectedObject) -> Bindings<'_> {
    Bindings::new(Inputs { object: Some(object.root()), ..Inputs::default() })
}

fn identity(number: usize) -> (FindingKey, ObjectId) {
    let uid: std::sync::Arc<str> = format!("uid-{number}").into();
    let key = FindingKey { rule: "rule".into(), selection: "pods".into(), uid: uid.clone() };
    let name = format!("web-{number}").into();
    let namespace = Some("shop".into());
    (key, ObjectId { api_version: "v1".into(), kind: "Pod".into(), namespace, name, uid })
}

fn violation() -> Verdict {
    Verdict::Violation(Violation {
        message: "not as it should be".into(),
        fields: Fields::default(),
        chain: Chain::default(),
    })
}

fn enter(ledger: &mut Ledger, (key, object): &(FindingKey, ObjectId), verdict: Verdict) {
    black_box(ledger.enter(
        key,
        Severity::Medium,
        (object, &Tags::default()),
        verdict,
        Timestamp::UNIX_EPOCH,
    ));
}
