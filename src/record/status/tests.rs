use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::*;
use crate::core::engine::{Assignment, Engine};
use crate::core::policy::PolicySet;
use crate::judge::Judge;
use crate::metrics::Metrics;
use crate::nudge::Fan;
use crate::policy::{Published, compile};
use crate::testing::{ApiServer, Reply};
use crate::watch::Board;

const SPEC: &str =
    "{resources: [{name: pods, apiVersion: v1, kind: Pod}], rules: [{name: r, expression: 'true'}]}";

fn key() -> PolicyKey {
    PolicyKey("p".into())
}

fn policy(suspended: bool) -> Arc<CompiledPolicy> {
    let mut spec: crate::api::MonitorPolicySpec = crate::yaml::from_str(SPEC).expect("a spec");
    spec.suspend = suspended;
    Arc::new(compile(key(), "uid".into(), 1, &spec))
}

/// What a recorder works with, when the judge has taken one policy.
async fn sources(server: &ApiServer, policy: Arc<CompiledPolicy>) -> Sources {
    let metrics = Arc::new(Metrics::default());
    let judge = Judge::start(Engine::default(), Fan::default(), metrics.clone()).expect("a thread");
    let suspended = policy.suspended;
    let policies: Arc<PolicySet> = Arc::new([(key(), policy)].into());
    judge.assign(Assignment { policies: policies.clone(), ..Assignment::default() }).await;
    while !suspended && judge.report(&key(), 0).await.is_none() {
        tokio::task::yield_now().await;
    }
    let published = Published { loaded: true, policies, ..Published::default() };
    let board = Arc::new(Board::new(Fan::default()));
    let published = watch::channel(published).1;
    Sources::of(server.client(), (judge, board), published, (Arc::default(), metrics))
}

fn written() -> Reply {
    let spec: serde_json::Value = crate::yaml::from_str(SPEC).expect("a spec");
    Reply::json(
        &json!({"apiVersion": "polywatch.dev/v1alpha1", "kind": "MonitorPolicy", "metadata": {"name": "p"}, "spec": spec}),
    )
}

/// A server whose first answers are errors of this code.
fn failing(times: usize, code: u16) -> ApiServer {
    let asked = AtomicUsize::new(0);
    ApiServer::new(move |_| match asked.fetch_add(1, Ordering::Relaxed) < times {
        true => Reply::error(code, "Failure", "not now"),
        false => written(),
    })
}

async fn asked(server: &ApiServer, times: usize) {
    let done = async {
        while server.asked().len() < times {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), done).await.expect("asked as often");
}

/// Both codes are answers for a policy that is gone, but also of a server that is only starting, or for a policy
/// that came in place of another a moment ago.
#[tokio::test(start_paused = true)]
async fn a_status_that_found_no_policy_is_written_again_while_there_is_one() {
    for code in [404, 409] {
        let server = failing(1, code);
        let sources = sources(&server, policy(false)).await;
        sources.nudges.add(&key());
        let (_stop, stopping) = watch::channel(false);
        let recorder = tokio::spawn(run(sources.clone(), stopping));
        asked(&server, 2).await;
        recorder.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn nudges_do_not_shorten_the_pause_after_failures() {
    let server = failing(usize::MAX, 500);
    let sources = sources(&server, policy(false)).await;
    let (_stop, stopping) = watch::channel(false);
    let recorder = tokio::spawn(run(sources.clone(), stopping));
    for _ in 0..1200 {
        sources.nudges.add(&key());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    recorder.abort();
    let times = server.asked().len();
    assert!((5..=20).contains(&times), "{times} writes in two minutes");
}

#[tokio::test(start_paused = true)]
async fn the_metrics_of_a_suspended_policy_are_zero() {
    let server = failing(0, 500);
    let sources = sources(&server, policy(true)).await;
    let high = FindingLabel { policy: "p".into(), severity: "high" };
    sources.metrics.findings.get_or_create(&high).set(5);
    sources.metrics.rule_errors.get_or_create(&PolicyLabel { policy: "p".into() }).set(5);
    sources.nudges.add(&key());
    let (_stop, stopping) = watch::channel(false);
    let recorder = tokio::spawn(run(sources.clone(), stopping));
    asked(&server, 1).await;
    recorder.abort();
    let text = sources.metrics.encode().expect("text");
    let not_zero = text.lines().find(|line| line.contains("policy=\"p\"") && !line.ends_with(" 0"));
    assert_eq!(not_zero, None);
}
