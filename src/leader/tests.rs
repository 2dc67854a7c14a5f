//! Two holders of one lease, an API server in this process that can be made to fail, and a clock that runs only
//! while everybody waits.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::*;
use crate::testing::{ApiServer, Part, Reply};

/// The lease as the server keeps it, and what the server does instead of answering.
#[derive(Default)]
struct Store {
    lease: Option<Value>,
    version: u64,
    /// How many writes of others come in between from now on.
    overtaken: u32,
    down: Option<Reply>,
    /// Writes are done at once, but their answer takes this long.
    slow: Duration,
}

type Shared = Arc<Mutex<Store>>;

impl Store {
    fn put(&mut self, mut lease: Value) -> Reply {
        self.version += 1;
        lease["metadata"]["resourceVersion"] = self.version.to_string().into();
        let answer = Part::Text(lease.to_string());
        self.lease = Some(lease);
        Reply::Stream(vec![Part::Pause(self.slow), answer])
    }

    fn spec(&self) -> Value {
        self.lease.as_ref().map_or(Value::Null, |lease| lease["spec"].clone())
    }
}

fn locked(store: &Shared) -> std::sync::MutexGuard<'_, Store> {
    store.lock().expect("store")
}

fn server(store: &Shared) -> ApiServer {
    let store = store.clone();
    ApiServer::new(move |asked| {
        let mut store = locked(&store);
        if let Some(reply) = &store.down {
            return reply.clone();
        }
        let sent = asked.body["metadata"]["resourceVersion"].clone();
        match (asked.method.as_str(), &store.lease) {
            ("GET", Some(lease)) => Reply::json(lease),
            ("GET", None) => Reply::error(404, "NotFound", "leases \"polywatch\" not found"),
            ("POST", Some(_)) => Reply::error(409, "AlreadyExists", "it exists"),
            ("PUT", Some(lease)) if store.overtaken > 0 || lease["metadata"]["resourceVersion"] != sent => {
                store.overtaken = store.overtaken.saturating_sub(1);
                Reply::error(409, "Conflict", "the object has been modified")
            }
            ("POST" | "PUT", _) => {
                let lease = asked.body.clone();
                store.put(lease)
            }
            other => panic!("{other:?}"),
        }
    })
}

const DURATION: Duration = Duration::from_secs(15);

fn elector(store: &Shared, identity: &str) -> Elector {
    let settings = Settings {
        namespace: "system".into(),
        name: "polywatch".into(),
        identity: identity.into(),
        duration: DURATION,
    };
    Elector::new(server(store).client(), settings)
}

/// A lease of somebody else, renewed at `renewed` by the clock of that somebody.
fn held_by(holder: &str, renewed: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "polywatch", "namespace": "system"},
        "spec": {
            "holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 3,
            "acquireTime": renewed, "renewTime": renewed,
        },
    })
}

const LONG_AGO: &str = "1999-01-01T00:00:00.000000Z";
const FAR_FUTURE: &str = "2999-01-01T00:00:00.000000Z";

fn store(lease: Option<Value>) -> Shared {
    let store = Shared::default();
    if let Some(lease) = lease {
        locked(&store).put(lease);
    }
    store
}

/// Seconds until the lease is held.
async fn acquires(elector: &mut Elector) -> u64 {
    let (start, metrics) = (Instant::now(), Metrics::default());
    let acquired = tokio::time::timeout(Duration::from_secs(600), elector.acquire(&metrics));
    acquired.await.expect("held within ten minutes");
    start.elapsed().as_secs()
}

/// Seconds for which it is held.
async fn holds(elector: &mut Elector, at_most: Duration) -> Option<u64> {
    let (start, metrics) = (Instant::now(), Metrics::default());
    let held = tokio::time::timeout(at_most, elector.hold(&metrics));
    held.await.ok().map(|()| start.elapsed().as_secs())
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_does_not_exist_is_created_and_kept() {
    let store = store(None);
    let mut a = elector(&store, "a");
    assert_eq!(acquires(&mut a).await, 0);
    assert_eq!(holds(&mut a, Duration::from_secs(3600)).await, None, "never lost");
    let spec = locked(&store).spec();
    assert_eq!(spec["holderIdentity"], "a");
    assert_eq!((&spec["leaseTransitions"], &spec["leaseDurationSeconds"]), (&json!(0), &json!(15)));
}

/// Whatever time its holder writes into it: clocks of nodes differ.
#[tokio::test(start_paused = true)]
async fn a_lease_is_taken_when_it_was_not_seen_to_change_for_its_duration() {
    for renewed in [LONG_AGO, FAR_FUTURE] {
        let store = store(Some(held_by("gone", renewed)));
        let waited = acquires(&mut elector(&store, "a")).await;
        assert!((15..=19).contains(&waited), "{waited} s with a lease of {renewed}");
        let spec = locked(&store).spec();
        assert_eq!((&spec["holderIdentity"], &spec["leaseTransitions"]), (&json!("a"), &json!(4)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_its_holder_renews_is_waited_for() {
    let store = store(None);
    let mut a = elector(&store, "a");
    acquires(&mut a).await;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { a.hold(&Metrics::default()).await });
    let mut b = elector(&store, "b");
    let waiting = tokio::time::timeout(Duration::from_secs(3600), b.acquire(&Metrics::default())).await;
    assert!(waiting.is_err(), "a is alive");
    // a dies without a word.
    tasks.shutdown().await;
    let waited = acquires(&mut b).await;
    assert!((10..=19).contains(&waited), "{waited}");
    assert_eq!(locked(&store).spec()["holderIdentity"], "b");
}

#[tokio::test(start_paused = true)]
async fn a_released_lease_is_taken_at_once() {
    let store = store(None);
    let mut a = elector(&store, "a");
    acquires(&mut a).await;
    a.release().await;
    assert_eq!(locked(&store).spec()["holderIdentity"], Value::Null);
    assert_eq!(acquires(&mut elector(&store, "b")).await, 0);
    assert_eq!(locked(&store).spec()["leaseTransitions"], 1);
}

#[tokio::test(start_paused = true)]
async fn only_the_holder_releases() {
    let store = store(Some(held_by("other", LONG_AGO)));
    elector(&store, "a").release().await;
    assert_eq!(locked(&store).spec()["holderIdentity"], "other");
}

/// Two take over at the same moment; the resource version decides.
#[tokio::test(start_paused = true)]
async fn whoever_is_overtaken_goes_on_waiting() {
    let store = store(Some(held_by("", LONG_AGO)));
    locked(&store).overtaken = 1;
    let mut a = elector(&store, "a");
    let start = Instant::now();
    assert!(is_conflict(&a.attempt().await.expect_err("overtaken")));
    assert_eq!(locked(&store).spec()["holderIdentity"], "");
    acquires(&mut a).await;
    assert!(start.elapsed() < DURATION);
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_cannot_renew_gives_up_before_another_may_take_over() {
    for down in [Reply::error(500, "InternalError", "no"), Reply::Silence] {
        let store = store(None);
        let mut a = elector(&store, "a");
        acquires(&mut a).await;
        locked(&store).down = Some(down);
        let held = holds(&mut a, Duration::from_secs(3600)).await.expect("given up");
        assert!((8..15).contains(&held), "{held} s");
    }
}

/// Others count from the write, so its late answer does not count for more.
#[tokio::test(start_paused = true)]
async fn a_late_answer_does_not_prolong_the_lease() {
    let store = store(None);
    let mut a = elector(&store, "a");
    locked(&store).slow = Duration::from_secs(6);
    assert_eq!(acquires(&mut a).await, 6);
    locked(&store).down = Some(Reply::Silence);
    let held = holds(&mut a, Duration::from_secs(3600)).await.expect("given up");
    assert!(held < 15 - 6, "{held} s after an answer that took 6 s");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_hangs_is_given_up_and_made_again() {
    let store = store(None);
    locked(&store).down = Some(Reply::Silence);
    let mut a = elector(&store, "a");
    let metrics = Metrics::default();
    let acquired = tokio::join!(a.acquire(&metrics), async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        locked(&store).down = None;
    });
    let ((), ()) = acquired;
    locked(&store).down = Some(Reply::Silence);
    let start = Instant::now();
    a.release().await;
    assert!(start.elapsed() < Duration::from_secs(5), "the process has to end");
}

#[tokio::test(start_paused = true)]
async fn a_short_failure_is_survived() {
    let store = store(None);
    let mut a = elector(&store, "a");
    acquires(&mut a).await;
    locked(&store).down = Some(Reply::error(500, "InternalError", "no"));
    assert_eq!(holds(&mut a, Duration::from_secs(5)).await, None);
    locked(&store).down = None;
    assert_eq!(holds(&mut a, Duration::from_secs(3600)).await, None);
}

/// Such as somebody who writes an annotation to it.
#[tokio::test(start_paused = true)]
async fn a_holder_whose_lease_somebody_else_wrote_to_goes_on_leading() {
    let store = store(None);
    let mut a = elector(&store, "a");
    acquires(&mut a).await;
    locked(&store).overtaken = 1;
    assert_eq!(holds(&mut a, Duration::from_secs(3600)).await, None);
    assert_eq!(locked(&store).overtaken, 0);
}

#[tokio::test(start_paused = true)]
async fn a_holder_whose_lease_was_taken_stops_leading() {
    let store = store(None);
    let mut a = elector(&store, "a");
    acquires(&mut a).await;
    locked(&store).put(held_by("other", LONG_AGO));
    let held = holds(&mut a, Duration::from_secs(3600)).await.expect("lost");
    assert!(held < 5, "{held} s");
    assert_eq!(locked(&store).spec()["holderIdentity"], "other");
}

#[tokio::test(start_paused = true)]
async fn an_absent_server_is_waited_for() {
    let store = store(None);
    locked(&store).down = Some(Reply::error(503, "ServiceUnavailable", "starting"));
    let mut a = elector(&store, "a");
    let early = tokio::time::timeout(Duration::from_secs(60), a.acquire(&Metrics::default())).await;
    assert!(early.is_err());
    locked(&store).down = None;
    assert!(acquires(&mut a).await < 5);
}
