//! How sources are asked, by an API server in this process, on a clock that runs only while everybody waits.

use std::sync::Mutex;

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Duration;

use super::*;
use crate::core::engine::Engine;
use crate::core::policy::PolicySet;
use crate::nudge::{Fan, Nudges};
use crate::policy::compile;
use crate::testing::{ApiServer, Reply};
use crate::watch::catalog::{DefinitionRef, Served};

const LONG: Duration = Duration::from_secs(100_000);

/// A checker at work, and all that it sees.
struct Setting {
    server: ApiServer,
    board: Arc<Board>,
    nudges: Arc<Nudges>,
    policies: watch::Sender<Arc<PolicySet>>,
    catalog: watch::Sender<Arc<Catalog>>,
    task: JoinHandle<()>,
}

impl Setting {
    fn new(server: ApiServer, policies: &[&Arc<CompiledPolicy>], served: Vec<Served>) -> Self {
        let nudges = Arc::new(Nudges::default());
        let board = Arc::new(Board::new(Fan(vec![nudges.clone()])));
        let (policies, set) = watch::channel(set(policies));
        let (catalog, kinds) = watch::channel(catalog(served));
        let judge = Judge::start(Engine::default(), Fan::default(), Arc::default()).expect("a thread");
        let checker =
            Checker { client: server.client(), judge, board: board.clone(), metrics: Arc::default() };
        let task = tokio::spawn(checker.run(set, kinds));
        Self { server, board, nudges, policies, catalog, task }
    }

    /// The messages for a policy, once there are news of one.
    async fn news(&self, policy: &CompiledPolicy) -> Vec<String> {
        tokio::time::timeout(LONG, self.nudges.take()).await.expect("there are news");
        self.known(policy).expect("it was checked")
    }

    fn known(&self, policy: &CompiledPolicy) -> Option<Vec<String>> {
        let warnings = self.board.warnings(policy)?;
        Some(warnings.listed.iter().map(|warning| warning.message.to_string()).collect())
    }

    /// Paths that were asked for, in order.
    fn asked(&self) -> Vec<String> {
        self.server.asked().into_iter().map(|asked| asked.path).collect()
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn set(policies: &[&Arc<CompiledPolicy>]) -> Arc<PolicySet> {
    Arc::new(policies.iter().map(|policy| (policy.key.clone(), (*policy).clone())).collect())
}

fn catalog(served: Vec<Served>) -> Arc<Catalog> {
    Arc::new(Catalog::new(true, served, [], &Default::default()))
}

/// A policy about a kind of `x.io/v1` that reads `object.spec.size`.
fn policy(name: &str, kind: &str) -> Arc<CompiledPolicy> {
    let spec = json!({
        "resources": [{"name": "r", "apiVersion": "x.io/v1", "kind": kind}],
        "rules": [{"name": "r", "expression": "object.spec.size > 1"}],
    });
    let spec = serde_json::from_value(spec).expect("a spec");
    Arc::new(compile(PolicyKey(name.into()), "uid".into(), 1, &spec))
}

/// A kind of `x.io/v1`; from a definition of this generation, or of another server.
fn served(kind: &str, generation: Option<i64>) -> Served {
    let plural = format!("{}s", kind.to_lowercase());
    let definition = generation.map(|generation| DefinitionRef {
        name: format!("{plural}.x.io"),
        revision: ("u".into(), generation),
    });
    Served {
        group: "x.io".into(),
        version: "v1".into(),
        kind: kind.into(),
        plural,
        namespaced: true,
        watchable: true,
        definition,
    }
}

fn schema(field: &str) -> Value {
    let spec = json!({"type": "object", "properties": {field: {"type": "integer"}}});
    json!({"type": "object", "properties": {"spec": spec}})
}

fn definition(field: &str) -> Reply {
    let version = json!({"name": "v1", "schema": {"openAPIV3Schema": schema(field)}});
    Reply::json(&json!({"spec": {"versions": [version]}}))
}

fn index(hash: &str) -> Reply {
    let address = format!("/openapi/v3/apis/x.io/v1?hash={hash}");
    Reply::json(&json!({"paths": {"apis/x.io/v1": {"serverRelativeURL": address}}}))
}

fn document(field: &str) -> Reply {
    let component = |kind: &str| {
        let mut component = schema(field);
        component["x-kubernetes-group-version-kind"] =
            json!([{"group": "x.io", "version": "v1", "kind": kind}]);
        component
    };
    Reply::json(&json!({"components": {"schemas": {"a": component("Box"), "b": component("Crate")}}}))
}

const UNKNOWN: &str = "there is no field `size` in object.spec; did you mean `sizes`?";

#[tokio::test(start_paused = true)]
async fn a_definition_is_read_again_when_it_changes_and_only_then() {
    let field = Arc::new(Mutex::new("sizes"));
    let now = field.clone();
    let server = ApiServer::new(move |_| definition(*now.lock().expect("no panic")));
    let policy = policy("p", "Box");
    let setting = Setting::new(server, &[&policy], vec![served("Box", Some(1))]);
    assert_eq!(setting.news(&policy).await, [UNKNOWN]);
    tokio::time::sleep(LONG).await;
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/boxs.x.io";
    assert_eq!(setting.asked(), [path]);

    *field.lock().expect("no panic") = "size";
    setting.catalog.send_replace(catalog(vec![served("Box", Some(2))]));
    assert_eq!(setting.news(&policy).await, [] as [String; 0]);
    *field.lock().expect("no panic") = "sizes";
    setting.catalog.send_replace(catalog(vec![served("Box", Some(3))]));
    assert_eq!(setting.news(&policy).await, [UNKNOWN]);
    assert_eq!(setting.asked(), [path; 3]);
    // A kind that is gone says nothing, and neither does a policy.
    setting.catalog.send_replace(catalog(vec![]));
    assert_eq!(setting.news(&policy).await, [] as [String; 0]);
    setting.policies.send_replace(set(&[]));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(setting.known(&policy), None);
}

#[tokio::test(start_paused = true)]
async fn a_document_is_read_again_when_the_index_says_so() {
    let state = Arc::new(Mutex::new(("1", "size")));
    let now = state.clone();
    let server = ApiServer::new(move |asked| {
        let (hash, field) = *now.lock().expect("no panic");
        match asked.path.as_str() {
            "/openapi/v3" => index(hash),
            _ => document(field),
        }
    });
    let (one, other) = (policy("one", "Box"), policy("other", "Crate"));
    let kinds = vec![served("Box", None), served("Crate", None)];
    let setting = Setting::new(server, &[&one, &other], kinds);
    assert_eq!(setting.news(&one).await, [] as [String; 0]);
    assert_eq!(setting.known(&other), Some(vec![]), "one document serves both");
    assert_eq!(setting.asked(), ["/openapi/v3", "/openapi/v3/apis/x.io/v1"]);
    tokio::time::sleep(Duration::from_secs(700)).await;
    assert_eq!(setting.asked()[2..], ["/openapi/v3"; 2], "what did not change is not read again");
    *state.lock().expect("no panic") = ("2", "sizes");
    assert_eq!(setting.news(&one).await, [UNKNOWN]);
    assert_eq!(setting.asked()[4..], ["/openapi/v3", "/openapi/v3/apis/x.io/v1"]);
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_selected_later_is_read_although_its_document_did_not_change() {
    let server = ApiServer::new(move |asked| match asked.path.as_str() {
        "/openapi/v3" => index("1"),
        _ => document("sizes"),
    });
    let (one, later) = (policy("one", "Box"), policy("later", "Crate"));
    let setting = Setting::new(server, &[&one], vec![served("Box", None), served("Crate", None)]);
    assert_eq!(setting.news(&one).await, [UNKNOWN]);
    setting.policies.send_replace(set(&[&one, &later]));
    assert_eq!(setting.news(&later).await, [UNKNOWN]);
    assert_eq!(setting.asked().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn kinds_that_are_looked_up_are_read_as_well() {
    let server = ApiServer::new(move |asked| match asked.path.as_str() {
        "/openapi/v3" => index("1"),
        "/openapi/v3/apis/x.io/v1" => document("sizes"),
        _ => definition("size"),
    });
    let spec = json!({
        "resources": [{"name": "r", "apiVersion": "x.io/v1", "kind": "Bag"}],
        "params": {"apiVersion": "x.io/v1", "kind": "Crate", "name": "c"},
        "lookups": [{"name": "box", "apiVersion": "x.io/v1", "kind": "Box", "nameExpression": "object.metadata.name"}],
        "rules": [{"name": "r", "expression": "object.spec.size > lookups.box.spec.size + params.spec.size"}],
    });
    let spec = serde_json::from_value(spec).expect("a spec");
    let policy = Arc::new(compile(PolicyKey("p".into()), "uid".into(), 1, &spec));
    let kinds = vec![served("Bag", Some(1)), served("Box", None), served("Crate", None)];
    let setting = Setting::new(server, &[&policy], kinds);
    let unknown = |of: &str| format!("there is no field `size` in {of}.spec; did you mean `sizes`?");
    assert_eq!(setting.news(&policy).await, [unknown("lookups.box"), unknown("params")]);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_is_asked_less_and_less_and_holds_up_nobody() {
    let server = ApiServer::new(move |asked| match asked.path.as_str() {
        "/openapi/v3" => Reply::Silence,
        _ => definition("sizes"),
    });
    let (defined, other) = (policy("defined", "Box"), policy("other", "Crate"));
    let kinds = vec![served("Box", Some(1)), served("Crate", None)];
    let setting = Setting::new(server, &[&defined, &other], kinds);
    assert_eq!(setting.news(&defined).await, [UNKNOWN]);
    assert_eq!(setting.known(&other), None, "not known yet");
    assert_eq!(setting.news(&other).await, [] as [String; 0], "not checked");
    let before = setting.asked().len();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let attempts = setting.asked().len() - before;
    assert!((12..40).contains(&attempts), "{attempts} attempts in an hour");
}

#[tokio::test(start_paused = true)]
async fn what_is_known_stays_while_its_source_fails() {
    let fails = Arc::new(Mutex::new(false));
    let now = fails.clone();
    let server = ApiServer::new(move |_| match *now.lock().expect("no panic") {
        true => Reply::error(500, "InternalError", "no"),
        false => definition("sizes"),
    });
    let policy = policy("p", "Box");
    let setting = Setting::new(server, &[&policy], vec![served("Box", Some(1))]);
    assert_eq!(setting.news(&policy).await, [UNKNOWN]);
    *fails.lock().expect("no panic") = true;
    setting.catalog.send_replace(catalog(vec![served("Box", Some(2))]));
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(setting.known(&policy), Some(vec![UNKNOWN.to_owned()]));
    assert!(setting.asked().len() > 2);
}

#[tokio::test(start_paused = true)]
async fn answers_that_make_no_sense_say_nothing() {
    let huge = format!("{{\"paths\": {{}}, \"x\": \"{}\"}}", "x".repeat(16 << 20));
    let absent = json!({"paths": {"apis/y.io/v1": {"serverRelativeURL": "/a"}}}).to_string();
    let elsewhere =
        json!({"paths": {"apis/x.io/v1": {"serverRelativeURL": "https://example.com/a"}}}).to_string();
    for body in [String::new(), "[1, 2]".into(), "{\"paths\": 3}".into(), absent, elsewhere, huge] {
        let server = ApiServer::new(move |_| Reply::Body(200, body.clone()));
        let policy = policy("p", "Box");
        let setting = Setting::new(server, &[&policy], vec![served("Box", None)]);
        assert_eq!(setting.news(&policy).await, [] as [String; 0]);
        assert!(setting.asked().iter().all(|path| path == "/openapi/v3"));
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_said_while_it_is_not_known_what_is_served() {
    let server = ApiServer::new(|_| definition("sizes"));
    let policy = policy("p", "Box");
    let setting = Setting::new(server, &[&policy], vec![]);
    assert_eq!(setting.news(&policy).await, [] as [String; 0], "not installed");
    setting.catalog.send_replace(Arc::new(Catalog::default()));
    let next = Arc::new(compile(
        policy.key.clone(),
        "uid".into(),
        2,
        &serde_json::from_value(json!({
            "resources": [{"name": "r", "apiVersion": "x.io/v1", "kind": "Box"}],
            "rules": [{"name": "r", "expression": "object.spec.size > 2"}],
        }))
        .expect("a spec"),
    ));
    setting.policies.send_replace(set(&[&next]));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(setting.known(&next), None);
    setting.catalog.send_replace(catalog(vec![served("Box", Some(1))]));
    assert_eq!(setting.news(&next).await, [UNKNOWN]);
}

#[tokio::test(start_paused = true)]
async fn a_definition_that_changes_all_the_time_is_read_once_a_second() {
    let policy = policy("p", "Box");
    let setting =
        Setting::new(ApiServer::new(|_| definition("sizes")), &[&policy], vec![served("Box", Some(1))]);
    for generation in 2..102 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        setting.catalog.send_replace(catalog(vec![served("Box", Some(generation))]));
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    let times: Vec<Instant> = setting.server.asked().iter().map(|asked| asked.at).collect();
    assert!((9..13).contains(&times.len()), "{}", times.len());
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_secs(1)));
}
