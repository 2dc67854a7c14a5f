use http::Method;
use serde_json::json;

use super::*;
use crate::api::status::ResourceState;
use crate::core::engine::{Assignment, Engine, Route, RouteMemory};
use crate::core::event::{ObjectEvent, WatchId};
use crate::core::finding::PolicyKey;
use crate::core::policy::{CompiledPolicy, PolicySet};
use crate::core::project::testing::object;
use crate::judge::Judge;
use crate::metrics::{Metrics, ResourceLabel};
use crate::nudge::{Fan, Nudges};
use crate::policy::{Published, compile};
use crate::testing::{ApiServer, Asked, Reply};
use crate::watch::Board;
use crate::watch::board::Health;

const SPEC: &str = "{resources: [{name: pods, apiVersion: v1, kind: Pod}], \
                    rules: [{name: r, 'on': [Update], expression: 'false'}]}";

fn reader() -> Reader {
    Reader { policy: PolicyKey("p".into()), selection: "pods".into() }
}

fn policy(generation: i64) -> Arc<CompiledPolicy> {
    let spec = crate::yaml::from_str(SPEC).expect("a spec");
    Arc::new(compile(reader().policy, "uid".into(), generation, &spec))
}

struct World {
    server: ApiServer,
    sources: Sources,
    publish: watch::Sender<Published>,
    stop: watch::Sender<bool>,
    recorder: tokio::task::JoinHandle<()>,
}

impl World {
    async fn new(left: &LeftByWatch) -> Self {
        let server = ApiServer::new(|_| {
            Reply::json(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}))
        });
        let metrics = Arc::new(Metrics::default());
        let judge = Judge::start(Engine::default(), Fan::default(), metrics.clone()).expect("a thread");
        let policies: Arc<PolicySet> = Arc::new([(reader().policy, policy(1))].into());
        let published = Published { loaded: true, policies, ..Published::default() };
        let (publish, published) = watch::channel(published);
        let board = Arc::new(Board::new(Fan::default()));
        let streams = [(WatchId(1), ("pods.v1".to_owned(), [reader()].into()))].into();
        board.assign(streams, None, &BTreeMap::new(), jiff::Timestamp::UNIX_EPOCH);
        board.note(WatchId(1), Health::Complete, jiff::Timestamp::UNIX_EPOCH);
        let nudges = Arc::new(Nudges::default());
        let sources = Sources::of(server.client(), (judge, board), published, (nudges, metrics));
        let (stop, stopping) = watch::channel(false);
        let store = Store::new(server.client(), "system".into());
        let recorder = tokio::spawn(run(sources.clone(), store, accounts(left), stopping));
        let world = Self { server, sources, publish, stop, recorder };
        world.assign(true).await;
        world
    }

    async fn assign(&self, watched: bool) {
        let memory = RouteMemory { name: "all pods".into(), needs: [(reader(), 7)].into() };
        let route = Route { readers: [reader()].into(), memory: Some(memory), ..Route::default() };
        let routes = if watched { [(WatchId(1), route)].into() } else { BTreeMap::new() };
        let policies = self.sources.published.borrow().policies.clone();
        self.sources.judge.assign(Assignment { policies, routes, ..Assignment::default() }).await;
    }

    /// Says how pods are, and that the list of them is complete; waits until the judge knows.
    async fn pods(&self, names: std::ops::Range<usize>, state: &str) {
        let pod = |n: usize| {
            let metadata = json!({"name": format!("pod-{n}"), "namespace": "n", "uid": format!("uid-{n}")});
            let pod =
                json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"state": state}});
            ObjectEvent::Seen(object(&pod.to_string()))
        };
        let before = self.revisions().await;
        let label = Arc::new(ResourceLabel { resource: "pods.v1".into() });
        let events = names.clone().map(pod).chain([ObjectEvent::Synced]).collect();
        self.sources.judge.events(WatchId(1), &label, events).await;
        while self.revisions().await < before + names.len() as u64 {
            tokio::task::yield_now().await;
        }
    }

    async fn revisions(&self) -> u64 {
        self.sources.judge.memories().await.iter().flat_map(|memory| memory.revisions).sum()
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

    fn said(&self) -> Option<String> {
        let state = self.sources.board.selection(&reader(), false).expect("a state");
        assert_eq!(state.state, ResourceState::Watching);
        state.message
    }

    async fn end(self) -> Vec<Asked> {
        self.stop.send_replace(true);
        self.recorder.await.expect("it ends");
        self.server.asked()
    }
}

/// Method and end of the name of what was asked for.
fn told(asked: &[Asked]) -> Vec<String> {
    let end = |asked: &Asked| asked.path.rsplit('-').next().unwrap_or_default().to_owned();
    asked.iter().map(|asked| format!("{} {}", asked.method, end(asked))).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_known_is_written_soon_and_again_at_most_every_ten_seconds() {
    let world = World::new(&LeftByWatch::new()).await;
    let before = Instant::now();
    world.pods(0..10, "a").await;
    world.asked("it is written", |asked| !asked.is_empty()).await;
    assert!(before.elapsed() <= TICK * 2, "after {:?}", before.elapsed());
    for n in 0..30 {
        world.pods(3..4, &n.to_string()).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let times = world.server.asked().len();
    assert!((3..=5).contains(&times), "{times} in half a minute");
    world.pods(3..4, "last").await;
    let asked = world.end().await;
    assert_eq!(told(&asked), vec!["PATCH 0"; times + 1], "what is owed at the end is written");
}

#[tokio::test(start_paused = true)]
async fn what_grows_is_divided_from_the_highest_down_and_what_is_too_much_is_not_kept() {
    let world = World::new(&LeftByWatch::new()).await;
    world.pods(0..10, "a").await;
    world.asked("it is written", |asked| !asked.is_empty()).await;
    world.pods(10..800, "a").await;
    world.asked("it is divided", |asked| asked.len() == 3).await;
    assert_eq!(told(&world.server.asked()), ["PATCH 0", "PATCH 1", "PATCH 0"]);
    assert_eq!(world.said(), None);
    world.pods(800..MAX_OBJECTS + 1, "a").await;
    world.asked("it is deleted", |asked| asked.len() == 5).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(told(&world.server.asked())[3..], ["DELETE 1", "DELETE 0"]);
    let said = world.said().expect("it is said");
    assert!(said.starts_with("there is more than is remembered over a restart (2000 objects, "), "{said}");
}

#[tokio::test(start_paused = true)]
async fn what_is_too_much_only_when_it_is_packed_is_not_kept_either() {
    let world = World::new(&LeftByWatch::new()).await;
    let noise = std::iter::repeat_with(fastrand::alphanumeric).take(2000).collect::<String>();
    // Each another text, so that nothing is gained by packing.
    for n in 0..400 {
        let (front, back) = noise.split_at(n * 4);
        let salted: String = back
            .chars()
            .chain(front.chars())
            .map(|c| if fastrand::bool() { c } else { fastrand::alphanumeric() })
            .collect();
        world.pods(n..n + 1, &salted).await;
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(world.said().is_some());
    let written = world.server.asked().iter().filter(|asked| asked.method == Method::PATCH).count();
    let deleted = world.server.asked().iter().filter(|asked| asked.method == Method::DELETE).count();
    assert_eq!((written, deleted), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_reads_who_read_it_is_deleted() {
    let part = |name: &str, generation| {
        let reader = ReaderId { policy: "uid".into(), generation, selection: "pods".into(), needs: 7 };
        let (time, objects) = (jiff::Timestamp::UNIX_EPOCH, BTreeMap::new());
        let part = Part { place: Place { index: 0, of: 1 }, time, readers: vec![reader], objects };
        (Arc::from(name), vec![part])
    };
    // Of a policy that was edited, and of one that is as it was: its kind may come back.
    let world = World::new(&[part("old", 0), part("elsewhere", 1)].into()).await;
    world.asked("it is deleted", |asked| !asked.is_empty()).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let path = |asked: &Asked| asked.path.rsplit('/').next().unwrap_or_default().to_owned();
    let asked: Vec<String> = world.server.asked().iter().map(path).collect();
    assert_eq!(asked, [format!("polywatch-objects-{}", form::name_of("old", 0))]);
    // When the policy goes, all goes.
    world.pods(0..10, "a").await;
    world.asked("it is written", |asked| asked.len() == 2).await;
    world.publish.send_modify(|published| published.policies = Arc::default());
    world.assign(false).await;
    world.asked("it is deleted", |asked| asked.len() == 4).await;
    assert_eq!(told(&world.end().await)[2..], ["DELETE 0", "DELETE 0"]);
}
