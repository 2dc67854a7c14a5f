//! What is kept decides as the whole object does: two engines see the same history, one of whole objects, one of what
//! the policies need, which changes as policies come and go.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::core::project::Projection;
use crate::watch::kept::{Kept, Step as Keeping};

const NAMES: [&str; 2] = ["p", "q"];

/// Rules of every kind, over parts of the items.
const RULES: [&str; 13] = [
    "{name: redone, 'on': [Update], paths: ['spec.containers[*].image'], expression: object.spec.level <= 2}",
    "{name: level, expression: object.spec.level <= 2, messageExpression: \"'level ' + string(object.spec.level)\"}",
    "{name: images, expression: 'object.spec.containers.all(c, c.image != \"bad\")'}",
    "{name: labels, expression: 'has(object.metadata.labels) && \"team\" in object.metadata.labels'}",
    "{name: note, expression: '!has(object.spec.note)', messageExpression: string(object.metadata.name)}",
    "{name: raised, 'on': [Update], expression: object.spec.level <= oldObject.spec.level}",
    "{name: came, 'on': [Create], expression: object.spec.level > 0}",
    "{name: went, 'on': [Delete], expression: oldObject.spec.level > 0}",
    "{name: noted, groupBy: object.spec.level, expression: 'objects.filter(o, has(o.spec.note)).size() < 1'}",
    "{name: alike, groupBy: 'object.metadata.?labels.?team', expression: 'objects[0].spec.level < 2', messageExpression: 'objects[0].metadata.name + group'}",
    "{name: same-spec, drift: {}}",
    "{name: same-images, drift: {paths: ['spec.containers[*].image'], allowedManagers: [boss]}}",
    "{name: same-level, drift: {paths: [spec, metadata.labels], ignore: [spec.note], allowedManagers: [boss]}}",
];

fn spec(rules: &[usize], condition: bool) -> String {
    let conditions =
        "matchConditions: [{name: wanted, expression: \"!('off' in object.metadata.?labels.orValue({}))\"}]";
    let rules: Vec<&str> = rules.iter().map(|n| RULES[*n]).collect();
    let conditions = if condition { conditions } else { "" };
    format!("{SELECTION}\n{conditions}\nrules: [{}]", rules.join(", "))
}

#[derive(Debug, Clone)]
struct State {
    level: i64,
    note: bool,
    image: &'static str,
    labels: Vec<&'static str>,
    manager: &'static str,
    unread: i64,
}

impl State {
    fn json(&self, name: &str, version: u64) -> Value {
        let mut fields =
            json!({"f:level": {}, "f:other": {}, "f:containers": {"k:{\"name\":\"app\"}": {"f:image": {}}}});
        let mut spec = json!({
            "level": self.level, "other": self.unread,
            "containers": [{"name": "app", "image": self.image, "n": self.unread}, {"name": "side", "image": "s"}],
        });
        if self.note {
            spec["note"] = "n".into();
            fields["f:note"] = json!({});
        }
        let labels: serde_json::Map<String, Value> =
            self.labels.iter().map(|l| ((*l).into(), "x".into())).collect();
        json!({
            "apiVersion": "example.io/v1", "kind": "Item", "spec": spec,
            "metadata": {
                "namespace": "x", "name": name, "uid": format!("uid-{name}"), "resourceVersion": version.to_string(),
                "labels": labels,
                "managedFields": [{
                    "manager": self.manager, "operation": "Update", "time": format!("2026-01-01T00:00:{:02}Z", version % 60),
                    "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": fields, "f:metadata": {"f:labels": {"f:team": {}}}},
                }],
            },
            "status": {"seen": self.unread},
        })
    }
}

#[derive(Debug, Clone)]
enum Step {
    Put(usize, State),
    Delete(usize),
    Apply(usize, Vec<usize>, bool),
    Withdraw(usize),
    Relist,
}

fn step() -> impl Strategy<Value = Step> {
    let state = (
        0..5i64,
        any::<bool>(),
        0..3usize,
        prop::sample::subsequence(vec!["team", "off", "z"], 0..3),
        any::<bool>(),
        0..3i64,
    )
        .prop_map(|(level, note, image, labels, boss, unread)| State {
            level,
            note,
            image: ["good", "bad", "new"][image],
            labels,
            manager: if boss { "boss" } else { "eve" },
            unread,
        });
    let rules = prop::sample::subsequence((0..RULES.len()).collect::<Vec<_>>(), 1..4);
    prop_oneof![
        8 => (0..3usize, state).prop_map(|(slot, state)| Step::Put(slot, state)),
        2 => (0..3usize).prop_map(Step::Delete),
        3 => (0..2usize, rules, any::<bool>()).prop_map(|(policy, rules, condition)| Step::Apply(policy, rules, condition)),
        1 => (0..2usize).prop_map(Step::Withdraw),
        1 => Just(Step::Relist),
    ]
}

/// An engine, and how its watch decodes.
struct Side {
    world: World,
    projection: Projection,
    kept: Option<Kept>,
}

impl Side {
    fn decode(&self, object: &Value) -> Arc<ProjectedObject> {
        Arc::new(self.projection.decode(object).expect("an object"))
    }

    /// Takes the policies as the manager of the watches does.
    fn assign(
        &mut self,
        policies: &BTreeMap<&'static str, Arc<CompiledPolicy>>,
        objects: &BTreeMap<usize, Value>,
    ) -> Vec<String> {
        let mut route =
            Route { resource: ["example.io".into(), "v1".into(), "items".into()], ..Route::default() };
        let mut lists = false;
        if let Some(kept) = &mut self.kept {
            let mut shape = Shape::NONE;
            policies.values().for_each(|policy| shape.add(&policy.needs(0, false)));
            match kept.want(&shape) {
                Some(Keeping::Narrow(generation, shape)) => self.projection.narrow(generation, shape),
                Some(Keeping::Widen(generation, shape)) => {
                    self.projection.widen(generation, shape);
                    lists = true;
                }
                None => {}
            }
        }
        for policy in policies.values() {
            let reader = Reader { policy: policy.key.clone(), selection: "items".into() };
            let since = self.kept.as_ref().map_or(0, |kept| kept.since(&policy.needs(0, false)));
            route.terms.insert(reader.clone(), Terms { since, select: false });
            route.readers.insert(reader);
        }
        let mut said = self.world.take(Assignment {
            policies: Arc::new(
                policies.values().map(|policy| (policy.key.clone(), policy.clone())).collect(),
            ),
            routes: BTreeMap::from([(ITEMS, route)]),
            ..Assignment::default()
        });
        said.extend(self.world.work());
        if lists {
            said.extend(self.list(objects));
        }
        said
    }

    fn list(&mut self, objects: &BTreeMap<usize, Value>) -> Vec<String> {
        self.projection.begin_list();
        let objects: Vec<_> = objects.values().map(|object| self.decode(object)).collect();
        let mut said = self.world.list_of(ITEMS, &objects);
        said.extend(self.world.work());
        said
    }

    /// Everything that is open, with what it says of fields.
    fn open(&self, policies: &BTreeMap<&'static str, Arc<CompiledPolicy>>) -> Vec<Arc<Finding>> {
        let mut open: Vec<_> =
            policies.values().flat_map(|policy| self.world.engine.open(&policy.key)).collect();
        open.sort_by_key(|finding| (finding.key.clone(), finding.message.clone()));
        open
    }
}

fn sorted(mut said: Vec<String>) -> Vec<String> {
    said.sort();
    said
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn what_is_kept_decides_as_the_whole_object_does(steps in prop::collection::vec(step(), 1..40)) {
        let mut whole = Side {
            world: World::default(),
            projection: Projection::whole("example.io/v1", "Item"),
            kept: None,
        };
        let mut part = Side {
            world: World::default(),
            projection: Projection::new(Shape::NONE, "example.io/v1", "Item"),
            kept: Some(Kept::new(Shape::NONE)),
        };
        let (mut policies, mut objects): (BTreeMap<&'static str, Arc<CompiledPolicy>>, BTreeMap<usize, Value>) = Default::default();
        prop_assert_eq!(whole.assign(&policies, &objects), part.assign(&policies, &objects));
        prop_assert_eq!(whole.list(&objects), part.list(&objects));
        let mut version = 0;
        for step in steps {
            version += 1;
            let sides = [&mut whole, &mut part];
            let [all, some] = sides.map(|side| {
                side.world.wait(1);
                match &step {
                    Step::Put(slot, state) => {
                        let object = state.json(&"i".repeat(slot + 1), version);
                        let object = side.decode(&object);
                        side.world.event(ITEMS, ObjectEvent::Seen(object))
                    }
                    Step::Delete(slot) => {
                        let key = ObjectKey { namespace: Some("x".into()), name: "i".repeat(slot + 1).into() };
                        side.world.event(ITEMS, ObjectEvent::Gone(key))
                    }
                    Step::Apply(n, rules, condition) => {
                        let mut policies = policies.clone();
                        policies.insert(NAMES[*n], named(NAMES[*n], &format!("uid-{n}"), version as i64, &spec(rules, *condition)));
                        side.assign(&policies, &objects)
                    }
                    Step::Withdraw(n) => {
                        let mut policies = policies.clone();
                        policies.remove(NAMES[*n]);
                        side.assign(&policies, &objects)
                    }
                    Step::Relist => side.list(&objects),
                }
            });
            match step {
                Step::Put(slot, state) => {
                    objects.insert(slot, state.json(&"i".repeat(slot + 1), version));
                }
                Step::Delete(slot) => {
                    objects.remove(&slot);
                }
                Step::Apply(n, rules, condition) => {
                    policies.insert(NAMES[n], named(NAMES[n], &format!("uid-{n}"), version as i64, &spec(&rules, condition)));
                }
                Step::Withdraw(n) => {
                    policies.remove(NAMES[n]);
                }
                Step::Relist => {}
            }
            prop_assert_eq!(sorted(all), sorted(some));
            prop_assert_eq!(whole.open(&policies), part.open(&policies));
        }
    }
}

/// A first list without any object says nothing of what is kept of those that come later.
#[test]
fn what_came_after_an_empty_list_lacks_what_is_kept_from_the_next_one_on() {
    let projection = Projection::new(Shape::NONE, "example.io/v1", "Item");
    let mut side = Side { world: World::default(), projection, kept: Some(Kept::new(Shape::NONE)) };
    let policies = |generation, rules: &[usize]| {
        BTreeMap::from([("p", named("p", "uid", generation, &spec(rules, false)))])
    };
    let (few, more) = (policies(1, &[8]), policies(2, &[8, 2]));
    assert_eq!(side.assign(&few, &BTreeMap::new()), NOTHING);
    assert_eq!(side.list(&BTreeMap::new()), NOTHING);
    let state = State { level: 0, note: true, image: "bad", labels: vec![], manager: "eve", unread: 0 };
    let object = side.decode(&state.json("i", 1));
    side.world.event(ITEMS, ObjectEvent::Seen(object));
    assert_eq!(side.world.work(), ["opened noted /0"]);
    let objects = BTreeMap::from([(0, state.json("i", 1))]);
    assert_eq!(side.assign(&more, &objects), ["opened images x/i"]);
}
