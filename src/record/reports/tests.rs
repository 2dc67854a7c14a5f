//! Faults of an API server, on a clock of their own. Everything else: tests/cluster/reports.rs.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Method;
use serde_json::{Value, json};

use super::*;
use crate::core::chain::Chain;
use crate::core::engine::{Assignment, Engine};
use crate::core::fields::Fields;
use crate::core::finding::{FindingKey, ObjectId, Severity};
use crate::core::policy::PolicySet;
use crate::judge::Judge;
use crate::metrics::Metrics;
use crate::nudge::Fan;
use crate::policy::{Published, compile};
use crate::testing::{ApiServer, Asked, Reply};
use crate::watch::Board;

const SPEC: &str =
    "{resources: [{name: pods, apiVersion: v1, kind: Pod}], rules: [{name: r, expression: 'true'}]}";

fn key() -> PolicyKey {
    PolicyKey("p".into())
}

fn finding(namespace: &str) -> Finding {
    Finding {
        key: FindingKey { rule: "r".into(), selection: "pods".into(), uid: namespace.into() },
        severity: Severity::High,
        object: ObjectId {
            api_version: "v1".into(),
            kind: "Pod".into(),
            namespace: Some(namespace.into()),
            name: "pod".into(),
            uid: namespace.into(),
        },
        message: "m".into(),
        fields: Fields::default(),
        chain: Chain::default(),
        tags: crate::core::tags::Tags::default(),
        since: jiff::Timestamp::UNIX_EPOCH,
        flaps: 0,
    }
}

/// What a recorder works with, when a Pod of each of these namespaces is a finding.
async fn sources(server: &ApiServer, namespaces: &[&str]) -> Sources {
    let metrics = Arc::new(Metrics::default());
    let policy = compile(key(), "uid".into(), 1, &crate::yaml::from_str(SPEC).expect("a spec"));
    let policies: Arc<PolicySet> = Arc::new([(key(), Arc::new(policy))].into());
    let mut engine = Engine::default();
    engine.restore(key(), "uid".into(), namespaces.iter().map(|namespace| finding(namespace)).collect());
    let judge = Judge::start(engine, Fan::default(), metrics.clone()).expect("a thread");
    judge.assign(Assignment { policies: policies.clone(), ..Assignment::default() }).await;
    while judge.report(&key(), 0).await.is_none() {
        tokio::task::yield_now().await;
    }
    let published = Published { loaded: true, policies, ..Published::default() };
    let board = Arc::new(Board::new(Fan::default()));
    let published = watch::channel(published).1;
    Sources::of(server.client(), (judge, board), published, (Arc::default(), metrics))
}

/// Reports as an API server keeps them, by path, and how many versions there were.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<BTreeMap<String, Value>>>, Arc<AtomicUsize>);

impl Kept {
    fn server(&self, mut fault: impl FnMut(&Asked) -> Option<Reply> + Send + 'static) -> ApiServer {
        let kept = self.clone();
        ApiServer::new(move |asked| fault(asked).unwrap_or_else(|| kept.answer(asked)))
    }

    fn answer(&self, asked: &Asked) -> Reply {
        let mut kept = self.0.lock().expect("no panic");
        match asked.method {
            Method::GET => {
                let plural = asked.path.rsplit('/').next().unwrap_or_default().to_owned();
                let of = |path: &str| path.split('/').rev().nth(1) == Some(&plural);
                let items: Vec<&Value> =
                    kept.iter().filter(|(path, _)| of(path)).map(|(_, object)| object).collect();
                Reply::json(&json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items}))
            }
            Method::DELETE => match kept.remove(&asked.path) {
                Some(_) => Reply::json(&json!({"kind": "Status", "status": "Success"})),
                None => Reply::error(404, "NotFound", "not found"),
            },
            _ => {
                let mut object = asked.body.clone();
                let version = self.1.fetch_add(1, Ordering::Relaxed);
                object["metadata"]["resourceVersion"] = json!(version.to_string());
                kept.insert(asked.path.clone(), object.clone());
                Reply::json(&object)
            }
        }
    }

    fn namespaces(&self) -> Vec<String> {
        let kept = self.0.lock().expect("no panic");
        let text = |object: &Value| object["metadata"]["namespace"].as_str().unwrap_or("overview").to_owned();
        kept.values().map(text).collect()
    }
}

fn writes(server: &ApiServer) -> Vec<Asked> {
    server.asked().into_iter().filter(|asked| asked.method != Method::GET).collect()
}

async fn when(what: &str, holds: impl Fn() -> bool) {
    let done = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    // The clock stands still but for timers, so that this is soon.
    tokio::time::timeout(Duration::from_secs(3_600), done).await.unwrap_or_else(|_| panic!("{what}"));
}

fn running(sources: &Sources) -> (watch::Sender<bool>, tokio::task::JoinHandle<()>) {
    let (stop, stopping) = watch::channel(false);
    (stop, tokio::spawn(run(sources.clone(), stopping)))
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_not_installed_is_asked_for_again_at_a_low_rate_and_written_once_it_is() {
    let kept = Kept::default();
    let installed = Arc::new(Mutex::new(false));
    let server = {
        let installed = installed.clone();
        kept.server(move |_| {
            (!*installed.lock().expect("no panic")).then(|| Reply::Body(404, "404 page not found\n".into()))
        })
    };
    let sources = sources(&server, &["a"]).await;
    let (_stop, recorder) = running(&sources);
    when("it says so", || sources.reports.of(&key()) == Some(Outcome::NotInstalled("ClusterReport"))).await;
    for _ in 0..600 {
        sources.nudges.add(&key());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let asked = server.asked().len();
    assert!((4..=9).contains(&asked), "{asked} requests in a minute");
    assert!(!sources.metrics.encode().expect("text").contains("report_write\""), "it is no error");
    *installed.lock().expect("no panic") = true;
    when("all is written", || sources.reports.of(&key()) == Some(Outcome::Written)).await;
    recorder.abort();
    assert_eq!(kept.namespaces(), ["overview", "a"]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_rests_and_names_what_was_refused() {
    // Reading is allowed.
    let refuse = |asked: &Asked| asked.method == Method::PATCH;
    let kept = Kept::default();
    let server =
        kept.server(move |asked| refuse(asked).then(|| Reply::error(403, "Forbidden", "may not patch")));
    let sources = sources(&server, &["a", "b"]).await;
    let (_stop, recorder) = running(&sources);
    when("it says so", || sources.reports.of(&key()) == Some(Outcome::Forbidden("may not patch".into())))
        .await;
    for _ in 0..3_000 {
        sources.nudges.add(&key());
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(sources.reports.of(&key()), Some(Outcome::Forbidden("may not patch".into())));
    }
    recorder.abort();
    let writes = writes(&server).len();
    assert!((8..=32).contains(&writes), "{writes} writes of two reports in five minutes");
}

#[tokio::test(start_paused = true)]
async fn failed_writes_are_tried_again_less_and_less_often_until_they_succeed() {
    let kept = Kept::default();
    let well = Arc::new(Mutex::new(false));
    let server = {
        let well = well.clone();
        kept.server(move |asked| {
            let ill = asked.method == Method::PATCH && !*well.lock().expect("no panic");
            ill.then(|| Reply::error(500, "InternalError", "no disk"))
        })
    };
    let sources = sources(&server, &["a"]).await;
    let (_stop, recorder) = running(&sources);
    for _ in 0..3_000 {
        sources.nudges.add(&key());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(sources.reports.of(&key()), Some(Outcome::Failed("no disk".into())));
    let writes = writes(&server).len();
    assert!((8..=40).contains(&writes), "{writes} writes in five minutes");
    *well.lock().expect("no panic") = true;
    when("all is written", || sources.reports.of(&key()) == Some(Outcome::Written)).await;
    recorder.abort();
    assert_eq!(kept.namespaces(), ["overview", "a"]);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_is_going_holds_up_no_other_and_is_not_tried_again_at_once() {
    let terminating = "unable to create new content in namespace going because it is being terminated";
    let kept = Kept::default();
    let server = kept.server(move |asked| {
        asked.path.contains("/namespaces/going/").then(|| Reply::error(403, "Forbidden", terminating))
    });
    let sources = sources(&server, &["a", "going", "z"]).await;
    let (_stop, recorder) = running(&sources);
    when("all is written", || sources.reports.of(&key()) == Some(Outcome::Written)).await;
    for _ in 0..600 {
        sources.nudges.add(&key());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    recorder.abort();
    assert_eq!(kept.namespaces(), ["overview", "a", "z"]);
    let going = writes(&server).iter().filter(|asked| asked.path.contains("/going/")).count();
    assert!((1..=2).contains(&going), "tried {going} times in a minute");
}

#[tokio::test(start_paused = true)]
async fn what_the_server_will_never_take_is_left_out_and_said() {
    let kept = Kept::default();
    let server = kept.server(|asked| {
        let invalid = asked.method == Method::PATCH && asked.path.contains("/namespaces/");
        invalid.then(|| Reply::error(422, "Invalid", "unknown severity"))
    });
    let sources = sources(&server, &["a"]).await;
    let (_stop, recorder) = running(&sources);
    when("it says so", || sources.reports.of(&key()) == Some(Outcome::Failed("unknown severity".into())))
        .await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    sources.nudges.add(&key());
    tokio::time::sleep(Duration::from_secs(60)).await;
    recorder.abort();
    assert_eq!(sources.reports.of(&key()), Some(Outcome::Failed("unknown severity".into())));
    assert_eq!(writes(&server).len(), 2, "each once");
}

#[tokio::test(start_paused = true)]
async fn what_others_delete_or_change_is_written_again_when_all_is_looked_at() {
    let kept = Kept::default();
    let server = kept.server(|_| None);
    let sources = sources(&server, &["a", "b"]).await;
    let (_stop, recorder) = running(&sources);
    when("all is written", || sources.reports.of(&key()) == Some(Outcome::Written)).await;
    let before = writes(&server).len();
    {
        let mut kept = kept.0.lock().expect("no panic");
        kept.retain(|path, _| !path.contains("/namespaces/a/"));
        let changed = kept.values_mut().next_back().expect("a report");
        changed["metadata"]["resourceVersion"] = json!("another");
        let mut leftover = changed.clone();
        leftover["metadata"]["name"] = json!("polywatch-p-leftover");
        kept.insert(
            "/apis/openreports.io/v1alpha1/namespaces/b/reports/polywatch-p-leftover".into(),
            leftover,
        );
    }
    tokio::time::sleep(LOOK_AGAIN * 2).await;
    recorder.abort();
    assert_eq!(kept.namespaces(), ["overview", "a", "b"]);
    let after = writes(&server);
    let methods: Vec<&Method> = after[before..].iter().map(|asked| &asked.method).collect();
    // New ones before old ones go.
    assert_eq!(methods, [&Method::PATCH, &Method::PATCH, &Method::DELETE]);
}

#[tokio::test(start_paused = true)]
async fn many_reports_are_written_at_their_rate() {
    let namespaces: Vec<String> = (0..200).map(|n| format!("team-{n}")).collect();
    let names: Vec<&str> = namespaces.iter().map(String::as_str).collect();
    let kept = Kept::default();
    let server = kept.server(|_| None);
    let sources = sources(&server, &names).await;
    let (_stop, recorder) = running(&sources);
    when("all is written", || sources.reports.of(&key()) == Some(Outcome::Written)).await;
    recorder.abort();
    let writes = writes(&server);
    assert_eq!(writes.len(), 201);
    for (n, first) in writes.iter().enumerate() {
        let within = writes[n..].iter().filter(|asked| asked.at < first.at + Duration::from_secs(5)).count();
        assert!(within <= 20 + 100 + 1, "{within} writes in five seconds");
    }
}
