//! Faults that a real API server does not produce on demand, from one in this process, on a clock that runs only
//! while everybody waits.

use std::sync::Mutex;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::*;
use crate::core::event::WatchId;
use crate::core::paths::Paths;
use crate::nudge::Fan;
use crate::testing::{ApiServer, Asked, Part, Reply, status};
use crate::watch::Board;

/// What a request of a stream is for, in one line.
fn purpose(asked: &Asked) -> String {
    let query = |key: &str| asked.query.get(key).map_or("", String::as_str);
    if asked.path.ends_with("selfsubjectaccessreviews") {
        let verb = &asked.body["spec"]["resourceAttributes"]["verb"];
        return format!("may I {}", verb.as_str().unwrap_or_default());
    }
    match (query("watch"), query("sendInitialEvents"), query("continue")) {
        ("true", "true", _) => "streamed list".into(),
        ("true", ..) => format!("watch from {}", query("resourceVersion")),
        (_, _, "") => "page".into(),
        (_, _, token) => format!("page {token}"),
    }
}

fn pod(name: &str, version: u32) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "uid": name, "resourceVersion": version.to_string()},
    })
}

fn line(kind: &str, object: &Value) -> Part {
    // The API server writes the type first.
    Part::Text(format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n"))
}

fn added(name: &str, version: u32) -> Part {
    line("ADDED", &pod(name, version))
}

fn bookmark(version: u32, end_of_list: bool) -> Part {
    let annotations = match end_of_list {
        true => json!({"k8s.io/initial-events-end": "true"}),
        false => json!({}),
    };
    let metadata = json!({"resourceVersion": version.to_string(), "annotations": annotations});
    line("BOOKMARK", &json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata}))
}

/// A streamed list of these pods, as of version 10, and what follows.
fn list(names: &[&str], then: Vec<Part>) -> Reply {
    let mut parts: Vec<Part> = names.iter().map(|name| added(name, 5)).collect();
    parts.push(bookmark(10, true));
    parts.extend(then);
    Reply::Stream(parts)
}

fn page(names: &[&str], next: &str) -> Reply {
    let items: Vec<Value> = names.iter().map(|name| pod(name, 5)).collect();
    Reply::json(&json!({
        "apiVersion": "v1", "kind": "PodList", "items": items,
        "metadata": {"resourceVersion": "10", "continue": next},
    }))
}

/// Answers each purpose from its own row of replies; what is asked beyond them is never answered.
fn script<const N: usize>(rows: [(&'static str, Vec<Reply>); N]) -> ApiServer {
    let mut rows = rows.map(|(purpose, replies)| (purpose, replies.into_iter()));
    ApiServer::new(move |asked| {
        let row = rows.iter_mut().find(|(wanted, _)| *wanted == purpose(asked));
        row.and_then(|(_, replies)| replies.next()).unwrap_or(Reply::Silence)
    })
}

struct Listener(mpsc::UnboundedSender<String>);

impl Deliver for Listener {
    async fn events(&mut self, events: Vec<ObjectEvent>) {
        for event in events {
            let text = match event {
                ObjectEvent::Relisting => "relisting".into(),
                ObjectEvent::Seen(object) => format!("seen {}", object.id().name),
                ObjectEvent::Gone(key) => format!("gone {}", key.name),
                ObjectEvent::Synced => "synced".into(),
            };
            // A test that ended listens no longer.
            let _ = self.0.send(text);
        }
    }

    fn health(&mut self, health: Health) {
        let text = match health {
            Health::Complete => "complete".into(),
            Health::Connected => "connected".into(),
            Health::Trouble(state, text) => format!("{state:?}: {text}"),
        };
        let _ = self.0.send(text);
    }
}

/// A stream under way. It ends with the test.
struct Following {
    server: ApiServer,
    heard: mpsc::UnboundedReceiver<String>,
    _task: JoinSet<()>,
}

fn pods() -> WatchKey {
    WatchKey { plural: "pods".into(), kind: "Pod".into(), namespaced: true, ..WatchKey::namespaces() }
}

fn settings(server: &ApiServer, lists: usize) -> Settings {
    Settings {
        client: server.client(),
        watch_timeout: Duration::from_secs(600),
        lists: Arc::new(Semaphore::new(lists)),
        metrics: Arc::default(),
    }
}

fn whole(key: &WatchKey) -> Arc<Projection> {
    Arc::new(Projection::new(Paths::whole(), &key.api_version(), &key.kind))
}

fn following(server: ApiServer) -> Following {
    let (tell, heard) = mpsc::unbounded_channel();
    let mut task = JoinSet::new();
    task.spawn(follow(settings(&server, 1), pods(), whole(&pods()), Arc::default(), Listener(tell)));
    Following { server, heard, _task: task }
}

impl Following {
    async fn next(&mut self) -> String {
        tokio::time::timeout(Duration::from_secs(3600), self.heard.recv())
            .await
            .expect("something is heard within an hour")
            .expect("the stream never ends")
    }

    /// Hears exactly this; that the connection stands is passed over unless it is asked for.
    async fn hears<const N: usize>(&mut self, expected: [&str; N]) {
        for expected in expected {
            let mut heard = self.next().await;
            while heard == "connected" && expected != "connected" {
                heard = self.next().await;
            }
            assert_eq!(heard, expected);
        }
    }

    async fn hears_trouble(&mut self, state: &str) -> String {
        loop {
            let heard = self.next().await;
            if heard != "connected" {
                let text = heard.strip_prefix(state).unwrap_or_else(|| panic!("{heard} is not {state}"));
                return text.trim_start_matches(": ").to_owned();
            }
        }
    }

    async fn hears_nothing_for(&mut self, seconds: u64) {
        let end = Instant::now() + Duration::from_secs(seconds);
        while let Ok(heard) = tokio::time::timeout_at(end, self.heard.recv()).await {
            assert_eq!(heard.as_deref(), Some("connected"));
        }
    }

    fn asked(&self) -> Vec<String> {
        self.server.asked().iter().map(purpose).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_may_not_be_streamed_is_read_in_pages() {
    let refused = Reply::error(
        422,
        "Invalid",
        "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden \
         for watch unless the WatchList feature gate is enabled",
    );
    let mut stream = following(script([
        ("streamed list", vec![refused]),
        ("page", vec![page(&["a"], "more")]),
        ("page more", vec![page(&["b"], "")]),
        ("watch from 10", vec![Reply::Stream(vec![added("c", 11), Part::Open])]),
    ]));
    stream.hears(["relisting", "seen a", "seen b", "synced", "complete", "seen c"]).await;
    stream.hears_nothing_for(300).await;
    assert_eq!(stream.asked(), ["streamed list", "page", "page more", "watch from 10"]);
}

/// A fresh list is how deletions that nobody saw are noticed.
#[tokio::test(start_paused = true)]
async fn a_version_that_expired_while_the_watch_was_down_lists_again() {
    let mut stream = following(script([
        ("streamed list", vec![list(&["a", "b"], vec![]), list(&["a"], vec![Part::Open])]),
        ("watch from 10", vec![Reply::error(410, "Expired", "too old resource version: 10 (50)")]),
    ]));
    stream.hears(["relisting", "seen a", "seen b", "synced", "complete"]).await;
    stream.hears(["relisting", "seen a", "synced", "complete"]).await;
    stream.hears_nothing_for(300).await;
    assert_eq!(stream.asked(), ["streamed list", "watch from 10", "streamed list"]);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_expires_within_a_watch_lists_again() {
    let expired = line("ERROR", &status(410, "Expired", "too old resource version"));
    let mut stream = following(script([(
        "streamed list",
        vec![list(&["a"], vec![expired, Part::Open]), list(&["b"], vec![Part::Open])],
    )]));
    stream.hears(["relisting", "seen a", "synced", "complete"]).await;
    stream.hears(["relisting", "seen b", "synced", "complete"]).await;
    stream.hears_nothing_for(300).await;
}

#[tokio::test(start_paused = true)]
async fn a_page_that_expired_begins_the_list_again() {
    let refused = Reply::error(400, "BadRequest", "resourceVersionMatch is forbidden for watch");
    let mut stream = following(script([
        ("streamed list", vec![refused]),
        ("page", vec![page(&["a"], "more"), page(&["b"], "")]),
        ("page more", vec![Reply::error(410, "Expired", "The provided continue parameter is too old")]),
    ]));
    stream.hears(["relisting", "seen a"]).await;
    stream.hears(["relisting", "seen b", "synced", "complete"]).await;
    stream.hears_nothing_for(1).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_cut_in_the_middle_of_a_line_goes_on_where_it_was() {
    for cut in [vec![], vec![Part::Reset]] {
        let Part::Text(whole) = added("b", 11) else { unreachable!() };
        let half = Part::Text(whole[..whole.len() / 2].to_owned());
        let mut then = vec![half];
        then.extend(cut.clone());
        let mut stream = following(script([
            ("streamed list", vec![list(&["a"], then)]),
            ("watch from 10", vec![Reply::Stream(vec![Part::Text(whole), Part::Open])]),
        ]));
        stream.hears(["relisting", "seen a", "synced", "complete"]).await;
        if !cut.is_empty() {
            let text = stream.hears_trouble("Syncing").await;
            assert!(text.contains("connection reset by peer"), "{text}");
        }
        stream.hears(["seen b"]).await;
        stream.hears_nothing_for(300).await;
        assert_eq!(stream.asked(), ["streamed list", "watch from 10"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_cut_off_is_begun_again_and_never_complete() {
    let cut = Reply::Stream(vec![added("a", 5), Part::Reset]);
    let mut stream = following(script([("streamed list", vec![cut, list(&["b"], vec![Part::Open])])]));
    stream.hears(["relisting", "seen a"]).await;
    stream.hears_trouble("Syncing").await;
    stream.hears(["relisting", "seen b", "synced", "complete"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_watches_at_once_is_not_asked_without_end() {
    let mut first = true;
    let mut count = 0;
    let mut stream = following(ApiServer::new(move |asked| {
        count += 1;
        match purpose(asked).as_str() {
            // Without any bound the clock would never run; the test would not end.
            _ if count > 2000 => Reply::Silence,
            "streamed list" if first => {
                first = false;
                list(&["a"], vec![])
            }
            _ => Reply::Stream(vec![]),
        }
    }));
    stream.hears(["relisting", "seen a", "synced", "complete"]).await;
    stream.hears_nothing_for(600).await;
    let asked = stream.asked().len();
    assert!((50..130).contains(&asked), "{asked} requests in ten minutes");
}

#[tokio::test(start_paused = true)]
async fn what_a_line_that_is_not_json_said_is_learnt_by_a_fresh_list() {
    let garbage = || Part::Text("<html>502 Bad Gateway</html>\n".into());
    let no_event = Part::Text("{\"type\":\"ADDED\",\"object\":\"Gateway\"}\n".into());
    let mut stream = following(script([(
        "streamed list",
        vec![
            list(&["a"], vec![garbage(), Part::Open]),
            // And again, this time within the list: it must not pass for complete.
            Reply::Stream(vec![added("a", 5), garbage(), added("b", 6), bookmark(10, true), Part::Open]),
            list(&["a", "b", "c"], vec![no_event, Part::Open]),
            list(&["a"], vec![Part::Open]),
        ],
    )]));
    stream.hears(["relisting", "seen a", "synced", "complete"]).await;
    let text = stream.hears_trouble("Syncing").await;
    assert!(!text.is_empty() && !text.contains("Gateway"), "{text}");
    stream.hears(["relisting", "seen a"]).await;
    stream.hears_trouble("Syncing").await;
    stream.hears(["relisting", "seen a", "seen b", "seen c", "synced", "complete"]).await;
    stream.hears_trouble("Syncing").await;
    stream.hears(["relisting", "seen a", "synced", "complete"]).await;
    stream.hears_nothing_for(300).await;
}

#[tokio::test(start_paused = true)]
async fn deeply_nested_objects_are_objects() {
    for depth in [200, 5000] {
        let nested = format!("{}1{}", "{\"a\":[".repeat(depth / 2), "]}".repeat(depth / 2));
        let pod = format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"deep","resourceVersion":"11"}},"spec":{nested}}}"#
        );
        let watched = Part::Text(format!("{{\"type\":\"MODIFIED\",\"object\":{pod}}}\n"));
        let listed = format!(
            r#"{{"kind":"PodList","apiVersion":"v1","metadata":{{"resourceVersion":"10"}},"items":[{pod}]}}"#
        );
        let refused = Reply::error(422, "Invalid", "sendInitialEvents is forbidden");
        let mut stream = following(script([
            ("streamed list", vec![refused]),
            ("page", vec![Reply::Body(200, listed)]),
            ("watch from 10", vec![Reply::Stream(vec![watched, added("after", 12), Part::Open])]),
        ]));
        stream.hears(["relisting", "seen deep", "synced", "complete", "seen deep", "seen after"]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_hangs_is_given_up_and_read_in_pages() {
    let start = Instant::now();
    let mut stream = following(script([
        ("streamed list", vec![Reply::Stream(vec![added("a", 5), Part::Open])]),
        ("page", vec![Reply::Silence, page(&["b"], "")]),
    ]));
    stream.hears(["relisting", "seen a"]).await;
    let text = stream.hears_trouble("Syncing").await;
    assert_eq!(text, "the list brought nothing for 30 s");
    assert_eq!(start.elapsed().as_secs(), 30);
    // Pages may hang, too.
    stream.hears(["relisting"]).await;
    stream.hears_trouble("Syncing").await;
    stream.hears(["relisting", "seen b", "synced", "complete"]).await;
    assert_eq!(start.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_watch_may_be_silent_for_as_long_as_it_likes() {
    let mut stream = following(script([("streamed list", vec![list(&[], vec![Part::Open])])]));
    stream.hears(["relisting", "synced", "complete"]).await;
    stream.hears_nothing_for(250).await;
    assert_eq!(stream.asked(), ["streamed list"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_forbidden_is_named_and_tried_again() {
    let forbidden = || Reply::error(403, "Forbidden", "pods is forbidden: User \"x\" cannot watch");
    let review = |allowed: bool| {
        Reply::Body(
            201,
            json!({
                "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "metadata": {},
                "spec": {}, "status": {"allowed": allowed},
            })
            .to_string(),
        )
    };
    let mut stream = following(script([
        ("streamed list", vec![forbidden(), forbidden(), list(&["a"], vec![Part::Open])]),
        ("may I list", vec![review(true), review(false)]),
        // The second question of the second round is not answered at all: then it counts as missing.
        ("may I watch", vec![review(false)]),
    ]));
    assert_eq!(
        stream.hears_trouble("Forbidden").await,
        "polywatch may not watch pods in all namespaces. Grant it with a ClusterRole that has the label \
         polywatch.dev/aggregate-to-reader: \"true\" and the rule {apiGroups: [\"\"], resources: [\"pods\"], \
         verbs: [get, list, watch]}"
    );
    let text = stream.hears_trouble("Forbidden").await;
    assert!(text.starts_with("polywatch may not list and watch pods"), "{text}");
    stream.hears(["relisting", "seen a", "synced", "complete"]).await;
}

/// Its own pauses must not make it look like a list that hangs, nor keep a grant from being noticed.
#[tokio::test(start_paused = true)]
async fn what_stays_forbidden_for_long_stays_forbidden_and_a_grant_is_noticed_soon() {
    let start = Instant::now();
    let granted = start + Duration::from_secs(1800);
    let server = ApiServer::new(move |asked| match purpose(asked).as_str() {
        "streamed list" if asked.at >= granted => list(&["a"], vec![Part::Open]),
        "streamed list" => Reply::error(403, "Forbidden", "no"),
        _ => Reply::error(500, "InternalError", "no review either"),
    });
    let mut stream = following(server);
    let mut heard = stream.next().await;
    while heard.starts_with("Forbidden") {
        heard = stream.next().await;
    }
    assert_eq!(heard, "relisting");
    // It asks every ten seconds at least, whatever else it asks meanwhile.
    let asked = stream.asked().iter().filter(|asked| *asked == "streamed list").count();
    assert!((180..300).contains(&asked), "{asked} times");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_served_or_fails_is_said_and_asked_again() {
    let mut stream = following(script([(
        "streamed list",
        vec![
            Reply::error(404, "NotFound", "the server could not find the requested resource"),
            Reply::error(500, "InternalError", "etcd is on fire"),
            Reply::error(400, "BadRequest", "field label not supported: spec.x"),
            list(&["a"], vec![Part::Open]),
        ],
    )]));
    let text = stream.hears_trouble("NotInstalled").await;
    assert!(text.starts_with("pods.v1 is not served at present"), "{text}");
    assert_eq!(stream.hears_trouble("Syncing").await, "etcd is on fire");
    assert_eq!(stream.hears_trouble("Invalid").await, "field label not supported: spec.x");
    stream.hears(["relisting", "seen a", "synced", "complete"]).await;
}

#[tokio::test(start_paused = true)]
async fn failures_are_asked_again_with_growing_pauses() {
    let mut stream = following(ApiServer::new(|_| Reply::error(500, "InternalError", "no")));
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(60) {
        stream.hears_trouble("Syncing").await;
    }
    let asked = stream.server.asked();
    assert!((6..25).contains(&asked.len()), "{} requests in a minute", asked.len());
    let last = &asked[asked.len() - 2..];
    assert!(last[1].at - last[0].at >= Duration::from_secs(7));
}

#[tokio::test(start_paused = true)]
async fn a_watch_goes_on_from_the_last_bookmark() {
    let mut stream = following(script([
        ("streamed list", vec![list(&["a"], vec![added("b", 20), bookmark(50, false)])]),
        ("watch from 50", vec![Reply::Stream(vec![line("DELETED", &pod("b", 51)), Part::Open])]),
    ]));
    stream.hears(["relisting", "seen a", "synced", "complete", "seen b", "gone b"]).await;
    stream.hears_nothing_for(250).await;
    assert_eq!(stream.asked(), ["streamed list", "watch from 50"]);
}

#[tokio::test(start_paused = true)]
async fn lists_wait_for_each_other_and_a_failing_one_keeps_nobody_waiting() {
    const LASTS: Duration = Duration::from_secs(5);
    let server = ApiServer::new(|asked| match asked.path.as_str() {
        "/api/v1/secrets" => Reply::error(500, "InternalError", "no"),
        _ => Reply::Stream(vec![added("a", 5), Part::Pause(LASTS), bookmark(10, true), Part::Open]),
    });
    let settings = settings(&server, 1);
    let (tell, heard) = mpsc::unbounded_channel();
    let mut streams = JoinSet::new();
    for plural in ["secrets", "pods", "services", "endpoints"] {
        let key = WatchKey { plural: plural.into(), ..pods() };
        streams.spawn(follow(
            settings.clone(),
            key.clone(),
            whole(&key),
            Arc::default(),
            Listener(tell.clone()),
        ));
    }
    let mut all = Following { server, heard, _task: streams };
    let start = Instant::now();
    let mut complete = 0;
    while complete < 3 {
        assert!(start.elapsed() < Duration::from_secs(600), "somebody waits for ever");
        complete += usize::from(all.next().await == "complete");
    }
    let asked = all.server.asked();
    let (failing, fine): (Vec<_>, Vec<_>) = asked.iter().partition(|asked| asked.path == "/api/v1/secrets");
    assert_eq!(fine.len(), 3);
    for list in &fine {
        let during = asked.iter().filter(|other| other.at > list.at && other.at < list.at + LASTS);
        assert_eq!(during.count(), 0, "one list at a time");
    }
    assert!(failing.len() > 1, "it is tried again in between");
}

/// The state that a selection has, from a stream that loses its connection and finds it again.
#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_stale_until_the_server_accepts_the_watch_again() {
    struct Shown {
        board: Arc<Board>,
        states: Arc<Mutex<Vec<ResourceState>>>,
    }
    impl Deliver for Shown {
        async fn events(&mut self, _: Vec<ObjectEvent>) {}

        fn health(&mut self, health: Health) {
            self.board.note(WatchId(1), health, Timestamp::UNIX_EPOCH);
            let reader = reader();
            let state = self.board.selection(&reader, false).expect("a state").state;
            let mut states = self.states.lock().expect("states");
            if states.last() != Some(&state) {
                states.push(state);
            }
        }
    }
    fn reader() -> crate::core::engine::Reader {
        crate::core::engine::Reader {
            policy: crate::core::finding::PolicyKey("p".into()),
            selection: "pods".into(),
        }
    }
    let server = script([
        ("streamed list", vec![list(&["a"], vec![Part::Pause(Duration::from_secs(60)), Part::Reset])]),
        (
            "watch from 10",
            vec![Reply::error(503, "ServiceUnavailable", "starting"), Reply::Stream(vec![Part::Open])],
        ),
    ]);
    let board = Arc::new(Board::new(Fan::default()));
    let streams = [(WatchId(1), ("pods.v1".to_owned(), [reader()].into()))];
    board.assign(streams.into(), None, &Default::default(), Timestamp::UNIX_EPOCH);
    let states = Arc::new(Mutex::new(vec![]));
    let shown = Shown { board, states: states.clone() };
    let stream = follow(settings(&server, 1), pods(), whole(&pods()), Arc::default(), shown);
    let _ = tokio::time::timeout(Duration::from_secs(120), stream).await;
    use ResourceState::{Stale, Watching};
    assert_eq!(*states.lock().expect("states"), [Watching, Stale, Watching]);
}

#[tokio::test(start_paused = true)]
async fn metadata_alone_is_asked_for_while_nothing_else_is_read() {
    let server =
        script([("streamed list", vec![list(&["a"], vec![Part::Open]), list(&["a"], vec![Part::Open])])]);
    let (tell, mut heard) = mpsc::unbounded_channel();
    let names = Paths::only([&["metadata", "name"][..]]);
    let projection = Arc::new(Projection::new(names.clone(), "v1", "Pod"));
    let relist: Arc<Notify> = Arc::default();
    let mut task = JoinSet::new();
    let sink = Listener(tell);
    task.spawn(follow(settings(&server, 1), pods(), projection.clone(), relist.clone(), sink));
    while heard.recv().await.expect("it goes on") != "complete" {}
    // More is kept from the next list on.
    let mut more = names;
    more.add(&Paths::only([&["spec", "nodeName"][..]]));
    projection.widen(1, Arc::new(more.into()));
    relist.notify_one();
    while heard.recv().await.expect("it goes on") != "complete" {}
    let asked: Vec<bool> =
        server.asked().iter().map(|asked| asked.accept.contains("as=PartialObjectMetadata;")).collect();
    assert_eq!(asked, [true, false]);
}
