//! Rules on drift: a finding stands until the fields are back, whatever happens in between.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::core::project::testing::managed_object;

const STRICT: &str = "rules: [{name: same, drift: {paths: [spec], ignore: [spec.replicas]}}]";
const PIPELINE: &str =
    "rules: [{name: same, drift: {paths: [spec], ignore: [spec.replicas], allowedManagers: [pipeline]}}]";

/// A cluster of one item, with managedFields as the API server keeps them for fields of one level.
#[derive(Clone)]
struct Server {
    spec: BTreeMap<&'static str, Value>,
    owners: BTreeMap<&'static str, (&'static str, u32)>,
    second: u32,
}

impl Server {
    fn new() -> Self {
        let mut server = Self { spec: BTreeMap::new(), owners: BTreeMap::new(), second: 0 };
        for (field, value) in [("limit", json!(100)), ("mode", json!("on")), ("replicas", json!(1))] {
            server.set("pipeline", field, Some(value));
        }
        server
    }

    fn set(
        &mut self,
        manager: &'static str,
        field: &'static str,
        value: Option<Value>,
    ) -> Arc<ProjectedObject> {
        self.second += 1;
        match value {
            Some(value) => {
                if self.spec.insert(field, value.clone()) != Some(value) {
                    self.owners.insert(field, (manager, self.second));
                }
            }
            None => {
                self.spec.remove(field);
                self.owners.remove(field);
                // Another field of the same manager tells of the write.
                self.owners.insert("note", (manager, self.second));
                self.spec.insert("note", json!(self.second));
            }
        }
        self.object()
    }

    fn object(&self) -> Arc<ProjectedObject> {
        let mut managers: BTreeMap<&str, (u32, Value)> = BTreeMap::new();
        for (field, (manager, second)) in &self.owners {
            let (last, fields) = managers.entry(manager).or_insert_with(|| (0, json!({})));
            *last = (*last).max(*second);
            fields[format!("f:{field}")] = json!({});
        }
        let managed: Vec<Value> = managers
            .into_iter()
            .map(|(manager, (second, fields))| {
                json!({"manager": manager, "operation": "Update", "apiVersion": "example.io/v1",
                    "time": at(i64::from(second)).to_string(), "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": fields}})
            })
            .collect();
        managed_object(&json!({
            "apiVersion": "example.io/v1", "kind": "Item",
            "metadata": {"namespace": "x", "name": "a", "uid": "u", "resourceVersion": self.second.to_string(),
                "managedFields": managed},
            "spec": self.spec,
        }))
    }
}

fn seen(world: &mut World, object: Arc<ProjectedObject>) -> Vec<String> {
    world.event(ITEMS, ObjectEvent::Seen(object))
}

fn started(rules: &str) -> (World, Server) {
    let server = Server::new();
    let mut world = World::of(policy(rules));
    assert_eq!(world.list_of(ITEMS, &[server.object()]), NOTHING);
    (world, server)
}

pub(super) fn fields(world: &World) -> Vec<String> {
    let open = world.open();
    let listed = open.iter().flat_map(|finding| finding.fields.listed.iter());
    let text = |value: &Option<Arc<str>>| value.as_deref().unwrap_or("-").to_owned();
    listed
        .map(|field| {
            let by = field.actor.as_ref().map_or("unknown".to_owned(), |actor| actor.managers.join("+"));
            format!("{} {} {} {by}", field.path, text(&field.from), text(&field.to))
        })
        .collect()
}

/// Ends the process and starts another one, which knows what the status lists.
pub(super) fn restarted(world: &World, rules: &str, object: Arc<ProjectedObject>) -> (World, Vec<String>) {
    let mut next = World::default();
    let key = PolicyKey("p".into());
    for finding in world.open() {
        next.told.insert((key.clone(), finding.key.clone()), finding);
    }
    let open = world.open().iter().map(|finding| (**finding).clone()).collect();
    next.engine.restore(key, "uid-1".into(), open);
    let told = next.told.clone();
    next.assignment.policies = Arc::new(BTreeMap::from([(PolicyKey("p".into()), policy(rules))]));
    let mut said = next.assign([(policy(rules), [ITEMS])]);
    assert_eq!(next.told, told);
    said.extend(next.list_of(ITEMS, &[object]));
    (next, said)
}

#[test]
fn a_field_that_leaves_its_baseline_is_a_finding_until_it_is_back() {
    let (mut world, mut server) = started(STRICT);
    assert_eq!(seen(&mut world, server.set("hpa", "replicas", Some(json!(5)))), NOTHING);
    assert_eq!(seen(&mut world, server.set("eve", "limit", Some(json!(1000)))), ["opened same x/a"]);
    assert_eq!(&*world.open()[0].message, "drifted: spec.limit: 100 → 1000 by eve (Update)");
    assert_eq!(
        seen(&mut world, server.set("bob", "mode", Some(json!("off")))),
        [
            "changed same x/a: drifted: spec.limit: 100 → 1000 by eve (Update), spec.mode: \"on\" → \"off\" by bob (Update)"
        ]
    );
    assert_eq!(fields(&world), ["spec.limit 100 1000 eve", "spec.mode \"on\" \"off\" bob"]);
    assert_eq!(seen(&mut world, server.set("bob", "limit", Some(json!(100)))).len(), 1);
    assert_eq!(seen(&mut world, server.set("hpa", "replicas", Some(json!(7)))), NOTHING);
    assert_eq!(
        seen(&mut world, server.set("bob", "mode", Some(json!("on")))),
        ["resolved same x/a Compliant"]
    );
}

#[test]
fn an_allowed_manager_moves_the_baseline_of_the_fields_that_it_changes_and_of_no_other() {
    let (mut world, mut server) = started(PIPELINE);
    assert_eq!(seen(&mut world, server.set("pipeline", "limit", Some(json!(200)))), NOTHING);
    assert_eq!(seen(&mut world, server.set("eve", "limit", Some(json!(900)))).len(), 1);
    assert_eq!(seen(&mut world, server.set("eve", "mode", Some(json!("off")))).len(), 1);
    assert_eq!(seen(&mut world, server.set("pipeline", "mode", Some(json!("auto")))).len(), 1);
    assert_eq!(fields(&world), ["spec.limit 200 900 eve"]);
    // Back at what it was before the pipeline changed it is not back.
    assert_eq!(seen(&mut world, server.set("eve", "limit", Some(json!(100)))).len(), 1);
    assert_eq!(
        seen(&mut world, server.set("pipeline", "limit", Some(json!(300)))),
        ["resolved same x/a Compliant"]
    );
}

#[test]
fn a_removed_field_is_drift_and_its_remover_is_named() {
    let (mut world, mut server) = started("rules: [{name: same, drift: {paths: [spec.limit, spec.mode]}}]");
    assert_eq!(seen(&mut world, server.set("eve", "limit", None)), ["opened same x/a"]);
    assert_eq!(fields(&world), ["spec.limit 100 - eve"]);
}

#[test]
fn a_restart_keeps_the_finding_silently_and_closes_it_when_the_field_is_back() {
    let (mut world, mut server) = started(STRICT);
    seen(&mut world, server.set("eve", "limit", Some(json!(1000))));
    let before = world.open();
    let (mut next, said) = restarted(&world, STRICT, server.object());
    assert_eq!(said, NOTHING);
    assert_eq!(next.open(), before);
    assert_eq!(seen(&mut next, server.set("eve", "limit", Some(json!(2000)))).len(), 1);
    assert_eq!(fields(&next), ["spec.limit 100 2000 eve"]);
    assert_eq!(
        seen(&mut next, server.set("bob", "limit", Some(json!(100)))),
        ["resolved same x/a Compliant"]
    );

    // Back while nobody looked.
    let (_, said) = restarted(&world, STRICT, server.object());
    assert_eq!(said, ["resolved same x/a Compliant"]);
}

#[test]
fn an_allowed_change_while_nobody_looked_ends_the_finding() {
    let (mut world, mut server) = started(PIPELINE);
    seen(&mut world, server.set("eve", "limit", Some(json!(1000))));
    let moved = server.clone().set("pipeline", "limit", Some(json!(500)));
    assert_eq!(restarted(&world, PIPELINE, moved).1, ["resolved same x/a Compliant"]);
    let worse = server.set("eve", "limit", Some(json!(3000)));
    let (next, said) = restarted(&world, PIPELINE, worse);
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(fields(&next), ["spec.limit 100 3000 eve"]);
}

#[test]
fn a_long_value_is_recognised_by_its_text_after_a_restart() {
    let long = |end: &str| json!(format!("{}{end}", "x".repeat(500)));
    let (mut world, mut server) = started(STRICT);
    seen(&mut world, server.set("eve", "mode", Some(long("1"))));
    seen(&mut world, server.set("eve", "mode", Some(json!("on"))));
    let mut server = Server::new();
    server.set("pipeline", "mode", Some(long("1")));
    let mut world = World::of(policy(STRICT));
    world.list_of(ITEMS, &[server.object()]);
    seen(&mut world, server.set("eve", "mode", Some(long("2"))));
    let (mut next, said) = restarted(&world, STRICT, server.object());
    assert_eq!(said, NOTHING);
    assert_eq!(seen(&mut next, server.set("eve", "mode", Some(long("3")))).len(), 1, "another text");
    assert_eq!(seen(&mut next, server.set("eve", "mode", Some(long("1")))), ["resolved same x/a Compliant"]);
}

#[test]
fn a_finding_whose_baseline_is_not_known_any_more_ends_and_says_so() {
    let (mut world, mut server) = started(STRICT);
    seen(&mut world, server.set("eve", "limit", Some(json!(1000))));
    let mut open = (*world.open()[0]).clone();
    open.fields = Default::default();
    let mut next = World::default();
    next.engine.restore(PolicyKey("p".into()), "uid-1".into(), vec![open.clone()]);
    next.told.insert((PolicyKey("p".into()), open.key.clone()), Arc::new(open));
    next.assignment.policies = Arc::new(BTreeMap::from([(PolicyKey("p".into()), policy(STRICT))]));
    next.assign([(policy(STRICT), [ITEMS])]);
    assert_eq!(next.list_of(ITEMS, &[server.object()]), ["resolved same x/a BaselineLost"]);
}

#[test]
fn a_declared_baseline_holds_from_the_first_sight_and_leaves_the_rest_free() {
    let rules = "rules: [{name: same, drift: {allowedManagers: [boss], baseline: {inline: {spec: {limit: 100, gone: null}}}}}]";
    let (mut world, mut server) = started(rules);
    assert_eq!(seen(&mut world, server.set("eve", "mode", Some(json!("off")))), NOTHING);
    assert_eq!(seen(&mut world, server.set("eve", "gone", Some(json!(1)))).len(), 1);
    assert_eq!(fields(&world), ["spec.gone null 1 eve"]);
    let (mut world, said) = restarted(&world, rules, server.object());
    assert_eq!(said, NOTHING);
    assert_eq!(seen(&mut world, server.set("boss", "gone", Some(json!(2)))), ["resolved same x/a Compliant"]);
}

#[test]
fn an_object_as_baseline_is_waited_for_and_followed() {
    const GOLDEN: WatchId = WatchId(7);
    let spec = format!(
        "{SELECTION}\nrules: [{{name: same, drift: {{paths: [spec], baseline: {{object: {{apiVersion: example.io/v1, kind: Item, namespace: g, name: gold}}}}}}}}]"
    );
    let policy = named("p", "uid-1", 1, &spec);
    let reader = |selection: &str| Reader { policy: policy.key.clone(), selection: selection.into() };
    let route = |selection: &str| Route { readers: [reader(selection)].into(), ..Route::default() };
    let mut world = World::default();
    world.take(Assignment {
        policies: Arc::new(BTreeMap::from([(policy.key.clone(), policy.clone())])),
        routes: BTreeMap::from([(ITEMS, route("items")), (GOLDEN, route("same/baseline"))]),
        ..Assignment::default()
    });
    assert_eq!(world.list(&[item("x/a"), item("x/b").level(2)]), NOTHING, "the baseline is not known yet");
    assert_eq!(world.list_of(GOLDEN, &[item("g/gold").object()]), NOTHING);
    assert_eq!(world.work(), ["opened same x/b"]);
    assert_eq!(world.report().rule_errors, 0);
    world.event(GOLDEN, ObjectEvent::Seen(item("g/gold").level(2).object()));
    assert_eq!(world.work(), ["opened same x/a", "resolved same x/b Compliant"]);
    world.event(GOLDEN, ObjectEvent::Gone(item("g/gold").key()));
    assert_eq!(world.work(), NOTHING);
    assert_eq!(world.report().rule_errors, 2, "there is nothing to compare with");
    world.event(GOLDEN, ObjectEvent::Seen(item("g/gold").object()));
    assert_eq!(world.work(), ["resolved same x/a Compliant", "opened same x/b"]);
    assert_eq!(world.report().rule_errors, 0);
}

#[test]
fn what_is_declared_for_a_secret_is_not_shown_and_cannot_be_compared() {
    let spec = "resources: [{name: items, apiVersion: v1, kind: Secret}]\n\
         rules: [{name: same, drift: {baseline: {inline: {data: {pw: aHVudGVyMg==}}}}}]";
    let mut world = World::of(named("p", "uid-1", 1, spec));
    let secret = |data: Value| {
        let metadata =
            json!({"namespace": "x", "name": "a", "uid": "1", "resourceVersion": data.to_string()});
        managed_object(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}))
    };
    world.list_of(ITEMS, &[secret(json!({"pw": "aHVudGVyMg=="}))]);
    assert_eq!((world.report().rule_errors, world.open().len()), (1, 0), "neither compliant nor a finding");
    seen(&mut world, secret(json!({"other": "eA=="})));
    assert_eq!(world.report().rule_errors, 0);
    let open = world.open();
    assert!(!format!("{open:?}").contains("aHVudGVyMg=="), "{open:?}");
    assert_eq!(&*open[0].fields.listed[0].path, "data.pw");
}

#[test]
fn an_object_does_not_drift_from_itself() {
    const GOLDEN: WatchId = WatchId(7);
    let spec = format!(
        "{SELECTION}\nrules: [{{name: same, drift: {{paths: [spec], baseline: {{object: {{apiVersion: example.io/v1, kind: Item, namespace: g, name: gold}}}}}}}}]"
    );
    let policy = named("p", "uid-1", 1, &spec);
    let reader = |selection: &str| Reader { policy: policy.key.clone(), selection: selection.into() };
    let route = |selection: &str| Route { readers: [reader(selection)].into(), ..Route::default() };
    let mut world = World::default();
    world.take(Assignment {
        policies: Arc::new(BTreeMap::from([(policy.key.clone(), policy.clone())])),
        routes: BTreeMap::from([(ITEMS, route("items")), (GOLDEN, route("same/baseline"))]),
        ..Assignment::default()
    });
    world.list_of(GOLDEN, &[item("g/gold").object()]);
    assert_eq!(world.list(&[item("g/gold")]), NOTHING);
    world.event(GOLDEN, ObjectEvent::Seen(item("g/gold").level(2).object()));
    assert_eq!(world.work(), NOTHING, "the other watch is behind");
}

#[derive(Debug, Clone)]
enum Step {
    Set(&'static str, &'static str, i64),
    /// The change is not seen before the next list.
    Miss(&'static str, &'static str, i64),
    List,
    Restart,
    Edit,
}

fn step() -> impl Strategy<Value = Step> {
    let change = || {
        let manager = prop_oneof![Just("pipeline"), Just("eve"), Just("bob")];
        (manager, prop_oneof![Just("limit"), Just("mode")], 0..3i64)
    };
    prop_oneof![
        6 => change().prop_map(|(manager, field, value)| Step::Set(manager, field, value)),
        1 => change().prop_map(|(manager, field, value)| Step::Miss(manager, field, value)),
        2 => Just(Step::List),
        2 => Just(Step::Restart),
        1 => Just(Step::Edit),
    ]
}

proptest! {
    /// Without restarts the finding follows from the last known states and who owns what; with restarts, too,
    /// because what a finding lists is enough to go on.
    #[test]
    fn what_drifted_follows_from_the_history(steps in prop::collection::vec(step(), 0..30)) {
        let (mut world, mut server) = started(PIPELINE);
        let mut baseline = server.spec.clone();
        let mut known = server.clone();
        // Who brought a field to the value that it has, as far as it was seen.
        let mut actors: BTreeMap<&str, &str> = BTreeMap::new();
        let mut missed = false;
        for step in steps {
            // A restart while changes are missed would begin anew with what is not drifted.
            let step = if missed && matches!(step, Step::Restart) { Step::List } else { step };
            match step {
                Step::Set(manager, field, value) => {
                    let object = server.set(manager, field, Some(json!(value)));
                    if missed { continue; }
                    seen(&mut world, object);
                }
                Step::Miss(manager, field, value) => {
                    missed = true;
                    server.set(manager, field, Some(json!(value)));
                    continue;
                }
                Step::List => {
                    missed = false;
                    world.list_of(ITEMS, &[server.object()]);
                }
                Step::Restart => {
                    let (next, said) = restarted(&world, PIPELINE, server.object());
                    prop_assert_eq!(said, NOTHING, "a restart is silent");
                    world = next;
                }
                Step::Edit => {
                    world.assign([(policy(&format!("severity: low\n{PIPELINE}")), [ITEMS])]);
                    world.work();
                    world.assign([(policy(PIPELINE), [ITEMS])]);
                    world.work();
                    if missed { continue; }
                }
            }
            for field in ["limit", "mode"] {
                if known.spec.get(field) != server.spec.get(field) {
                    actors.insert(field, server.owners[field].0);
                    if server.owners[field].0 == "pipeline" {
                        baseline.insert(field, server.spec[field].clone());
                    }
                }
            }
            known = server.clone();
            let drifted: Vec<String> = ["limit", "mode"]
                .into_iter()
                .filter(|field| baseline.get(field) != server.spec.get(field))
                .map(|field| format!("spec.{field} {} {} {}", baseline[field], server.spec[field], actors[field]))
                .collect();
            prop_assert_eq!(fields(&world), drifted);
        }
    }
}
