use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flate2::read::GzDecoder;
use http::Method;
use serde_json::{Value, json};

use super::*;
use crate::core::engine::{Assignment, Engine, Reader, Route};
use crate::core::event::{ObjectEvent, WatchId};
use crate::core::policy::PolicySet;
use crate::core::project::testing::object;
use crate::judge::Judge;
use crate::metrics::{Metrics, ResourceLabel};
use crate::nudge::{Fan, Nudges};
use crate::policy::{Published, compile};
use crate::testing::{ApiServer, Asked, Reply};
use crate::watch::Board;

const SPEC: &str = "{resources: [{name: pods, apiVersion: v1, kind: Pod}], \
                    rules: [{name: r, expression: object.spec.fine == true}]}";

fn key() -> PolicyKey {
    PolicyKey("p".into())
}

fn policy(suspended: bool) -> Arc<CompiledPolicy> {
    let mut spec: crate::api::MonitorPolicySpec = crate::yaml::from_str(SPEC).expect("a spec");
    spec.suspend = suspended;
    Arc::new(compile(key(), "uid".into(), 1, &spec))
}

/// A recorder at work, and what it works with.
struct World {
    server: ApiServer,
    sources: Sources,
    publish: watch::Sender<Published>,
    stop: watch::Sender<bool>,
    recorder: tokio::task::JoinHandle<()>,
}

impl World {
    /// One policy, of which an earlier process left nothing.
    async fn new(server: ApiServer) -> Self {
        Self::with(server, LeftByUid::new(), policy(false)).await
    }

    async fn with(server: ApiServer, left: LeftByUid, policy: Arc<CompiledPolicy>) -> Self {
        let (metrics, nudges) = (Arc::new(Metrics::default()), Arc::new(Nudges::of_all()));
        let fan = Fan(vec![nudges.clone()]);
        let mut engine = Engine::default();
        if let Some(left) = left.get("uid") {
            let open = left.open.iter().map(|finding| (**finding).clone()).collect();
            engine.restore(key(), "uid".into(), open);
        }
        let judge = Judge::start(engine, fan.clone(), metrics.clone()).expect("a thread");
        let policies: Arc<PolicySet> = Arc::new([(key(), policy)].into());
        let reader = Reader { policy: key(), selection: "pods".into() };
        let route = Route { readers: [reader].into(), ..Route::default() };
        let routes = [(WatchId(1), route)].into();
        judge.assign(Assignment { policies: policies.clone(), routes, ..Assignment::default() }).await;
        let published = Published { loaded: true, policies, ..Published::default() };
        let (publish, published) = watch::channel(published);
        let board = Arc::new(Board::new(fan));
        let sources = Sources::of(server.client(), (judge, board), published, (nudges, metrics));
        let (stop, stopping) = watch::channel(false);
        let store = Store::new(server.client(), "system".into());
        let recorder = tokio::spawn(run(sources.clone(), store, left, stopping));
        Self { server, sources, publish, stop, recorder }
    }

    /// Says how a pod is, and that the list of them is complete; waits until the judge knows.
    async fn pod(&self, name: &str, fine: bool) {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "n", "uid": name}, "spec": {"fine": fine},
        });
        let label = Arc::new(ResourceLabel { resource: "pods.v1".into() });
        let events = vec![ObjectEvent::Seen(object(&pod.to_string())), ObjectEvent::Synced];
        self.sources.judge.events(WatchId(1), &label, events).await;
        // Time does not pass meanwhile.
        while self.is_open(name).await == fine {
            tokio::task::yield_now().await;
        }
    }

    async fn is_open(&self, name: &str) -> bool {
        let (open, _) = self.sources.judge.open(&key()).await;
        open.iter().any(|finding| *finding.object.name == *name)
    }

    fn publish(&self, policies: PolicySet) {
        self.publish.send_modify(|published| published.policies = Arc::new(policies));
        self.sources.nudges.add(&key());
    }

    async fn asked(&self, what: &str, holds: impl Fn(&[Asked]) -> bool) {
        let done = async {
            while !holds(&self.server.asked()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(300), done).await;
        assert!(in_time.is_ok(), "{what}: {:?}", told(&self.server.asked()));
    }

    async fn end(self) -> Vec<Asked> {
        self.stop.send_replace(true);
        self.recorder.await.expect("it ends");
        self.server.asked()
    }
}

fn taken() -> Reply {
    Reply::json(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}))
}

/// Method and name of what was asked for.
fn told(asked: &[Asked]) -> Vec<String> {
    let name = |asked: &Asked| asked.path.rsplit('/').next().unwrap_or_default().to_owned();
    asked.iter().map(|asked| format!("{} {}", asked.method, name(asked))).collect()
}

/// What a Secret holds.
fn content(asked: &Asked) -> Value {
    let packed = asked.body["data"]["content.json.gz"].as_str().expect("content");
    let packed = BASE64_STANDARD.decode(packed).expect("base64");
    let mut text = String::new();
    GzDecoder::new(packed.as_slice()).read_to_string(&mut text).expect("packed");
    serde_json::from_str(&text).expect("JSON")
}

#[tokio::test(start_paused = true)]
async fn what_stands_is_written_at_once_with_its_policy_as_owner_and_not_again() {
    let world = World::new(ApiServer::new(|_| taken())).await;
    let before = Instant::now();
    world.pod("a", false).await;
    world.asked("it is written", |asked| !asked.is_empty()).await;
    assert!(before.elapsed() <= Duration::from_millis(300), "after {:?}", before.elapsed());
    for _ in 0..50 {
        world.sources.nudges.add(&key());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let asked = world.end().await;
    assert_eq!(told(&asked), [format!("PATCH polywatch-findings-{}-0", name_of("uid"))]);
    let written = content(&asked[0]);
    assert_eq!((&written["policy"], &written["uid"]), (&json!("p"), &json!("uid")));
    assert_eq!(written.pointer("/part/findings/open/0/object/name"), Some(&json!("a")), "{written}");
    assert_eq!(asked[0].body["metadata"]["ownerReferences"][0]["uid"], "uid");
    assert_eq!(asked[0].body["metadata"]["labels"]["polywatch.dev/remembers"], "findings");
}

#[tokio::test(start_paused = true)]
async fn many_changes_are_one_pass_a_second() {
    let world = World::new(ApiServer::new(|_| taken())).await;
    for n in 0..100 {
        world.pod(&n.to_string(), false).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let asked = world.end().await;
    assert!((8..=12).contains(&asked.len()), "{:?} in ten seconds", told(&asked));
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_tried_again_ever_more_rarely_until_it_is_taken() {
    let (open, refused) = (Arc::new(AtomicBool::new(false)), "secrets is forbidden");
    let server = ApiServer::new({
        let open = open.clone();
        move |_| if open.load(Ordering::Relaxed) { taken() } else { Reply::error(403, "Forbidden", refused) }
    });
    let world = World::new(server).await;
    for n in 0..1200 {
        world.pod(&n.to_string(), false).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let times = world.server.asked().len();
    assert!((4..=10).contains(&times), "{times} attempts in two minutes");
    let text = world.sources.metrics.encode().expect("text");
    assert!(text.contains(&format!("polywatch_errors_total{{kind=\"memory\"}} {times}")), "{text}");
    open.store(true, Ordering::Relaxed);
    world.asked("it is written in the end", |asked| asked.len() > times).await;
    let asked = world.end().await;
    let open = |asked: &Asked| content(asked)["part"]["findings"]["open"].as_array().map_or(0, Vec::len);
    assert_eq!(asked[times..].iter().map(open).sum::<usize>(), 1200, "{:?}", told(&asked));
}

#[tokio::test(start_paused = true)]
async fn of_a_policy_that_is_suspended_or_gone_nothing_is_kept() {
    for policies in [PolicySet::new(), PolicySet::from([(key(), policy(true))])] {
        let world = World::new(ApiServer::new(|_| taken())).await;
        world.pod("a", false).await;
        world.asked("it is written", |asked| !asked.is_empty()).await;
        world.publish(policies);
        world
            .asked("it is deleted", |asked| asked.last().is_some_and(|it| it.method == Method::DELETE))
            .await;
        let asked = world.end().await;
        assert_eq!(told(&asked)[1..], [format!("DELETE polywatch-findings-{}-0", name_of("uid"))]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_process_left_of_others_goes_and_what_it_left_of_the_same_stays() {
    let world = World::new(ApiServer::new(|_| taken())).await;
    world.pod("a", false).await;
    world.asked("it is written", |asked| !asked.is_empty()).await;
    let asked = world.end().await;
    let read = |uid: &str| {
        let mut content = content(&asked[0]);
        content["uid"] = uid.into();
        serde_json::from_value::<Content>(content).expect("content")
    };
    let left = super::super::findings::left([read("uid"), read("gone")]);
    let world = World::with(ApiServer::new(|_| taken()), left, policy(false)).await;
    world.asked("what is of no use is deleted", |asked| !asked.is_empty()).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let asked = world.end().await;
    assert_eq!(told(&asked), [format!("DELETE polywatch-findings-{}-0", name_of("gone"))]);
}

#[tokio::test(start_paused = true)]
async fn what_is_owed_at_the_end_is_written() {
    let world = World::new(ApiServer::new(|_| taken())).await;
    world.pod("a", false).await;
    world.asked("it is written", |asked| !asked.is_empty()).await;
    world.pod("b", false).await;
    let asked = world.end().await;
    let written = content(asked.last().expect("it is"));
    assert_eq!(written.pointer("/part/findings/open/1/object/name"), Some(&json!("b")), "{written}");
}
