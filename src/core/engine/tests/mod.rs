//! The engine in the words of its users: a cluster of items in namespaces, policies about them, and every
//! transition that comes out. A test that does not expect a transition fails when it comes.

mod changes;
mod cluster;
mod drift;
mod findings;
mod groups;
mod joined;
mod lists;
mod lookups;
mod missed;
mod namespaces;
mod policies;
mod projected;
mod random;
mod reports;
mod restarts;
mod tags;
mod time;
mod totals;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::{Assignment, Engine, Outcome, PolicyReport, Reader, Route, RouteMemory, Terms};
use crate::api::MonitorPolicySpec;
use crate::core::event::{ObjectEvent, ObjectKey, WatchId};
use crate::core::finding::{Finding, FindingKey, PolicyKey, Transition};
use crate::core::policy::CompiledPolicy;
use crate::core::project::testing::object;
use crate::core::project::{ProjectedObject, Shape};
use crate::policy::compile;

/// The watch of all items, unless a test says otherwise.
pub(super) const ITEMS: WatchId = WatchId(1);
/// The watch of the namespaces.
pub(super) const NAMESPACES: WatchId = WatchId(2);

/// A policy of one selection, `items`, that is fed by [`ITEMS`]; `more` is the rest of its spec.
pub(super) fn policy(more: &str) -> Arc<CompiledPolicy> {
    named("p", "uid-1", 1, &format!("{SELECTION}\n{more}"))
}

pub(super) const SELECTION: &str = "resources:\n- {name: items, apiVersion: example.io/v1, kind: Item}";

/// An item complies when its level is at most 3. An item without a level cannot be judged.
pub(super) const LOW: &str = "
rules:
- name: low
  severity: high
  expression: object.spec.level <= 3
  messageExpression: \"'level ' + string(object.spec.level)\"
";

pub(super) fn named(name: &str, uid: &str, generation: i64, spec: &str) -> Arc<CompiledPolicy> {
    let policy = with_problems(name, uid, generation, spec);
    assert_eq!(policy.problems, [], "{name}");
    policy
}

pub(super) fn with_problems(name: &str, uid: &str, generation: i64, spec: &str) -> Arc<CompiledPolicy> {
    let spec: MonitorPolicySpec = crate::yaml::from_str(spec).unwrap_or_else(|e| panic!("{e} in {spec}"));
    Arc::new(compile(PolicyKey(name.into()), uid.into(), generation, &spec))
}

/// An item of the cluster, written down as a test needs it.
#[derive(Debug, Clone)]
pub(super) struct Item {
    namespace: String,
    name: String,
    incarnation: u32,
    level: Option<i64>,
    note: Option<&'static str>,
    version: u32,
}

/// An item that complies with [`LOW`]. `path` is `NAMESPACE/NAME`.
pub(super) fn item(path: &str) -> Item {
    let (namespace, name) = path.split_once('/').expect("NAMESPACE/NAME");
    Item {
        namespace: namespace.into(),
        name: name.into(),
        incarnation: 0,
        level: Some(1),
        note: None,
        version: 1,
    }
}

impl Item {
    pub(super) fn level(self, level: i64) -> Self {
        Item { level: Some(level), ..self }
    }

    pub(super) fn without_level(self) -> Self {
        Item { level: None, ..self }
    }

    /// The same name, deleted and created again.
    pub(super) fn again(self) -> Self {
        Item { incarnation: self.incarnation + 1, ..self }
    }

    pub(super) fn note(self, note: &'static str) -> Self {
        Item { note: Some(note), ..self }
    }

    pub(super) fn version(self, version: u32) -> Self {
        Item { version, ..self }
    }

    fn uid(&self) -> String {
        format!("{}-{}-{}", self.namespace, self.name, self.incarnation)
    }

    fn key(&self) -> ObjectKey {
        ObjectKey { namespace: Some(self.namespace.as_str().into()), name: self.name.as_str().into() }
    }

    fn object(&self) -> Arc<ProjectedObject> {
        let metadata = serde_json::json!({
            "namespace": self.namespace, "name": self.name, "uid": self.uid(), "resourceVersion": self.version.to_string(),
        });
        let mut item = serde_json::json!({
            "apiVersion": "example.io/v1", "kind": "Item", "metadata": metadata, "spec": {},
        });
        if let Some(level) = self.level {
            item["spec"]["level"] = level.into();
        }
        if let Some(note) = self.note {
            item["spec"]["note"] = note.into();
        }
        object(&item.to_string())
    }
}

/// A namespace with the label `tier`, when there is one.
pub(super) fn namespace(name: &str, tier: Option<&str>) -> Arc<ProjectedObject> {
    let labels = tier.map_or(serde_json::json!({}), |tier| serde_json::json!({"tier": tier}));
    let metadata = serde_json::json!({"name": name, "uid": format!("namespace-{name}"), "labels": labels});
    object(&serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}).to_string())
}

/// An engine, what it was assigned, and what it said so far.
#[derive(Default)]
pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) assignment: Assignment,
    /// What the transitions come to when somebody only listens to them.
    told: BTreeMap<(PolicyKey, FindingKey), Arc<Finding>>,
    clock: i64,
}

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

impl World {
    /// One policy, named `p`, that reads [`ITEMS`]; nothing is listed yet.
    pub(super) fn of(policy: Arc<CompiledPolicy>) -> Self {
        let mut world = Self::default();
        assert_eq!(world.assign([(policy, [ITEMS])]), NOTHING);
        assert_eq!(world.work(), NOTHING);
        world
    }

    /// The same, with these items listed.
    pub(super) fn listed(policy: Arc<CompiledPolicy>, items: &[Item]) -> (Self, Vec<String>) {
        let mut world = Self::of(policy);
        let said = world.list(items);
        (world, said)
    }

    /// Assigns policies whose first selection reads these watches.
    pub(super) fn assign<const N: usize>(
        &mut self,
        policies: impl IntoIterator<Item = (Arc<CompiledPolicy>, [WatchId; N])>,
    ) -> Vec<String> {
        let mut next = Assignment { namespaces: self.assignment.namespaces, ..Assignment::default() };
        let mut set = BTreeMap::new();
        for (policy, watches) in policies {
            let reader = Reader { policy: policy.key.clone(), selection: policy.selections[0].name.clone() };
            for watch in watches {
                let route = next.routes.entry(watch).or_insert_with(|| Route {
                    resource: ["example.io".into(), "v1".into(), "items".into()],
                    ..Route::default()
                });
                if !policy.suspended {
                    route.readers.insert(reader.clone());
                }
            }
            set.insert(policy.key.clone(), policy);
        }
        for (watch, route) in &mut next.routes {
            let needs = route.readers.iter().map(|reader| (reader.clone(), 7)).collect();
            route.memory = Some(RouteMemory { name: format!("watch {}", watch.0).into(), needs });
        }
        next.policies = Arc::new(set);
        self.take(next)
    }

    pub(super) fn take(&mut self, assignment: Assignment) -> Vec<String> {
        let before = std::mem::replace(&mut self.assignment, assignment).policies;
        let policies = self.assignment.policies.clone();
        // Of a policy that is deleted, created again or suspended nothing is open any more, and nothing is said.
        self.told.retain(|(policy, _), _| {
            let now = policies.get(policy).filter(|now| !now.suspended);
            now.is_some_and(|now| before.get(policy).is_none_or(|before| before.uid == now.uid))
        });
        let outcome = self.engine.assign(self.assignment.clone(), at(self.clock));
        self.hear(outcome)
    }

    pub(super) fn event(&mut self, watch: WatchId, event: ObjectEvent) -> Vec<String> {
        let outcome = self.engine.step(watch, event, at(self.clock));
        self.hear(outcome)
    }

    pub(super) fn seen(&mut self, item: &Item) -> Vec<String> {
        self.event(ITEMS, ObjectEvent::Seen(item.object()))
    }

    pub(super) fn gone(&mut self, item: &Item) -> Vec<String> {
        self.event(ITEMS, ObjectEvent::Gone(item.key()))
    }

    /// A complete list of one watch.
    pub(super) fn list_of(&mut self, watch: WatchId, objects: &[Arc<ProjectedObject>]) -> Vec<String> {
        let mut said = self.event(watch, ObjectEvent::Relisting);
        for object in objects {
            said.extend(self.event(watch, ObjectEvent::Seen(object.clone())));
        }
        said.extend(self.event(watch, ObjectEvent::Synced));
        said
    }

    pub(super) fn list(&mut self, items: &[Item]) -> Vec<String> {
        let objects: Vec<_> = items.iter().map(Item::object).collect();
        self.list_of(ITEMS, &objects)
    }

    /// Judges again whatever is queued.
    pub(super) fn work(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        while self.engine.has_work() {
            let outcome = self.engine.work(2, at(self.clock));
            said.extend(self.hear(outcome));
        }
        said
    }

    pub(super) fn wait(&mut self, seconds: i64) {
        self.clock += seconds;
    }

    pub(super) fn report(&self) -> PolicyReport {
        self.report_of("p")
    }

    pub(super) fn report_of(&self, policy: &str) -> PolicyReport {
        self.engine.report(&PolicyKey(policy.into()), 1000).expect("a report")
    }

    pub(super) fn open(&self) -> Vec<Arc<Finding>> {
        self.engine.open(&PolicyKey("p".into()))
    }

    pub(super) fn settled(&self) -> bool {
        self.report().selections.iter().all(|selection| selection.settled)
    }

    /// Puts transitions into words and holds that they are consistent with each other and with what is open.
    fn hear(&mut self, outcome: Outcome) -> Vec<String> {
        let mut said = Vec::new();
        for (policy, transition) in outcome {
            let finding = transition.finding().clone();
            let key = (policy.clone(), finding.key.clone());
            let object = &finding.object;
            let what = format!(
                "{}{} {}/{}",
                if &*policy.0 == "p" { String::new() } else { format!("{policy}: ") },
                finding.key.rule,
                object.namespace.as_deref().unwrap_or_default(),
                object.name
            );
            said.push(match transition {
                Transition::Opened(_) => {
                    assert!(self.told.insert(key, finding).is_none(), "opened twice: {what}");
                    format!("opened {what}")
                }
                Transition::Changed(_) => {
                    let before = self.told.insert(key, finding.clone()).expect("changed, but not open");
                    assert_eq!(before.since, finding.since, "a change keeps its age: {what}");
                    format!("changed {what}: {}", finding.message)
                }
                Transition::Occurred(_) => format!("occurred {what}: {}", finding.message),
                Transition::Resolved(_, why) => {
                    assert!(self.told.remove(&key).is_some(), "resolved, but not open: {what}");
                    format!("resolved {what} {why:?}")
                }
            });
        }
        let mut open = BTreeMap::new();
        for policy in self.assignment.policies.keys() {
            for finding in self.engine.open(policy) {
                open.insert((policy.clone(), finding.key.clone()), finding);
            }
        }
        assert_eq!(self.told, open, "what is open is what the transitions come to");
        said
    }
}

pub(super) const NOTHING: [&str; 0] = [];
