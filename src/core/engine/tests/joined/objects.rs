//! What happens in the cluster of the histories: few names, so that what is looked for is there as often as not.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::core::event::ObjectKey;
use crate::core::project::ProjectedObject;
use crate::core::project::testing::object;

use super::policies::SPECS;

/// The kinds, with group and version.
pub(super) const KINDS: [(&str, &str); 8] = [
    ("Route", "example.io/v1"),
    ("Service", "v1"),
    ("EndpointSlice", "discovery.k8s.io/v1"),
    ("Pod", "v1"),
    ("ConfigMap", "v1"),
    ("Limit", "example.io/v1"),
    ("Node", "v1"),
    ("Namespace", "v1"),
];

/// The kind that is installed and uninstalled.
pub(super) const OPTIONAL: &str = "Limit";

pub(super) fn is_cluster_scoped(kind: &str) -> bool {
    kind == "Node" || kind == "Namespace"
}

/// What happens.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Put(&'static str, Arc<ProjectedObject>),
    Delete(&'static str, ObjectKey),
    /// The watch brings nothing until it is listed again.
    Lose(&'static str),
    /// A list begins: of the next kind that is not in step, or when all are, of this. Until it is complete, the
    /// watch brings nothing else.
    List(&'static str),
    /// Some more of the next list that is being read.
    Read(&'static str, usize),
    Install,
    Uninstall,
    /// Policy and form.
    Edit(usize, usize),
    /// Seconds pass.
    Wait(i64),
    Restart,
}

/// Makes up what happens, of what is there.
pub(super) struct Maker {
    pub(super) random: Rng,
    there: BTreeMap<&'static str, BTreeMap<ObjectKey, Value>>,
    uids: u32,
}

impl Maker {
    pub(super) fn new(seed: u64) -> Self {
        let there = KINDS.iter().map(|(kind, _)| (*kind, BTreeMap::new())).collect();
        Self { random: Rng::with_seed(seed), there, uids: 0 }
    }

    /// The next step of a history in which some of these policies are edited.
    pub(super) fn next(&mut self, policies: &[usize], now: Timestamp) -> Step {
        let kind = self.kind();
        match self.random.u32(0..100) {
            0..50 => self.put(kind, now),
            50..60 => {
                let keys: Vec<ObjectKey> = self.there[kind].keys().cloned().collect();
                match self.pick(&keys) {
                    Some(key) => {
                        self.there.entry(kind).or_default().remove(&key);
                        Step::Delete(kind, key)
                    }
                    None => self.put(kind, now),
                }
            }
            60..62 => Step::Lose(kind),
            62..70 => Step::List(kind),
            70..82 => Step::Read(kind, self.random.usize(1..20)),
            82 => {
                self.there.insert(OPTIONAL, BTreeMap::new());
                Step::Uninstall
            }
            83..85 => Step::Install,
            85 | 86 => Step::Edit(policies[self.random.usize(0..policies.len())], self.random.usize(0..2)),
            _ => Step::Wait(self.random.i64(1..25)),
        }
    }

    fn kind(&mut self) -> &'static str {
        // Namespaces concern everything; they change less often.
        let weights = [22, 16, 14, 20, 8, 8, 6, 4];
        let mut left = self.random.u32(0..weights.iter().sum());
        for ((kind, _), weight) in KINDS.iter().zip(weights) {
            if left < weight {
                return kind;
            }
            left -= weight;
        }
        KINDS[0].0
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        (!of.is_empty()).then(|| of[self.random.usize(0..of.len())].clone())
    }

    fn word(&mut self, of: &[&str]) -> Value {
        of[self.random.usize(0..of.len())].into()
    }

    fn moment(&mut self, now: Timestamp, past: i64, future: i64) -> Value {
        let by = SignedDuration::from_secs(self.random.i64(-past..future));
        now.saturating_add(by).unwrap_or(now).to_string().into()
    }

    /// Now and then something that is not as it should be, so that rules fail.
    fn odd(&mut self) -> bool {
        self.random.u32(0..14) == 0
    }

    /// An object comes, or is another, or is one of the same name that was created again.
    pub(super) fn put(&mut self, kind: &'static str, now: Timestamp) -> Step {
        let namespace = (!is_cluster_scoped(kind)).then(|| self.word(&["dev", "ops"]));
        let name = match kind {
            "Namespace" => self.word(&["dev", "ops"]),
            "Node" => self.word(&["n1", "n2", "n3"]),
            "ConfigMap" => self.word(&["c1", "c2", "c3"]),
            "Service" => self.word(&["a", "b", "c"]),
            _ => self.word(&["a", "b", "c", "d"]),
        };
        let mut labels = json!({});
        let mut content = json!({});
        let spec = &mut content["spec"];
        match kind {
            "Route" => {
                *spec = json!({
                    "service": self.word(&["a", "b", "c", ""]), "node": self.word(&["n1", "n2", "n3", ""]),
                    "weight": self.random.i64(0..8), "where": self.word(&["dev", "ops"]),
                    "backends": [self.word(&["a", "b"]), self.word(&["b", "c", "d"])],
                    "pods": {"app": self.word(&["a", "b"])}, "until": self.moment(now, 20, 90),
                    "note": self.random.i64(0..5),
                });
                if self.random.bool() {
                    spec["pods"]["tier"] = self.word(&["x", "y"]);
                }
                if self.random.u32(0..6) == 0 {
                    spec["begins"] = self.moment(now, 20, 40);
                }
                if self.odd() {
                    spec["service"] = 3.into();
                }
                if self.odd() {
                    spec["weight"] = Value::Null;
                }
                if self.odd() {
                    spec["pods"] = Value::Null;
                }
                labels["app"] = self.word(&["a", "b"]);
            }
            "Service" => {
                *spec = json!({"port": self.random.i64(0..8), "note": self.random.i64(0..5)});
                if !self.odd() {
                    spec["selector"] = json!({"app": self.word(&["a", "b", "c"])});
                }
                if self.odd() {
                    spec["port"] = "http".into();
                }
            }
            "EndpointSlice" => {
                let endpoints = self.random.usize(0..3);
                let endpoint = |maker: &mut Self| json!({"ready": maker.random.bool(), "pod": maker.word(&["a", "b", "c", "d"]), "ip": maker.random.u8(..)});
                content =
                    json!({"endpoints": (0..endpoints).map(|_| endpoint(self)).collect::<Vec<Value>>()});
                labels["kubernetes.io/service-name"] = self.word(&["a", "b", "c"]);
            }
            "Pod" => {
                *spec = json!({
                    "weight": self.random.i64(0..8), "node": self.word(&["n1", "n2", "n3"]),
                    "since": self.moment(now, 60, 10), "note": self.random.i64(0..5),
                });
                if self.odd() {
                    spec["weight"] = "heavy".into();
                }
                labels["app"] = self.word(&["a", "b"]);
                labels["node"] = self.word(&["n1", "n2"]);
                if self.random.bool() {
                    labels["tier"] = self.word(&["x", "y"]);
                }
            }
            "ConfigMap" => {
                content = json!({"data": {"most": self.word(&["1", "2", "3", "5", "9"]), "app": self.word(&["a", "b"])}});
                if self.odd() {
                    content["data"]["most"] = "many".into();
                }
                labels["for"] = self.word(&["routes", "x"]);
            }
            "Limit" => {
                *spec = json!({"max": self.random.i64(0..8), "service": self.word(&["a", "b", "c", "x"])});
                labels["route"] = self.word(&["a", "b", "c", "d"]);
            }
            "Node" => {
                *spec = json!({"zone": self.word(&["z1", "z2", "off"])});
                if self.odd() {
                    spec["service"] = "a".into();
                }
            }
            _ => {
                if self.random.bool() {
                    labels["tier"] = self.word(&["public", "own"]);
                }
                if self.random.bool() {
                    labels["team"] = self.word(&["a", "b"]);
                }
            }
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let key = ObjectKey {
            namespace: namespace.as_ref().map(|namespace| text(namespace).into()),
            name: text(&name).into(),
        };
        let known = self.there[kind].get(&key).cloned();
        let uid = match known.as_ref().filter(|_| self.random.u32(0..12) > 0) {
            Some(known) => text(&known["metadata"]["uid"]),
            None => {
                self.uids += 1;
                format!("{kind}-{}-{}", text(&name), self.uids)
            }
        };
        let mut metadata = json!({"name": name, "uid": uid, "labels": labels});
        if let Some(namespace) = namespace {
            metadata["namespace"] = namespace;
        }
        if let Some(known) = known.filter(|_| self.random.u32(0..3) > 0) {
            content = self.with_one_of(&known, &content);
            metadata["labels"] = match self.random.u32(0..4) {
                0 => metadata["labels"].take(),
                _ => known["metadata"]["labels"].clone(),
            };
        }
        content["metadata"] = metadata;
        content["kind"] = kind.into();
        let version = KINDS.iter().find(|(known, _)| *known == kind).map(|(_, version)| *version);
        content["apiVersion"] = version.into();
        let made = object(&content.to_string());
        self.there.entry(kind).or_default().insert(key, content);
        Step::Put(kind, made)
    }

    /// An object with one field, or none, of another state of it.
    fn with_one_of(&mut self, known: &Value, other: &Value) -> Value {
        let mut content = known.clone();
        let root = ["spec", "data"].into_iter().find(|root| other.get(root).is_some());
        match (root, root.and_then(|root| other[root].as_object())) {
            (Some(root), Some(fields)) => {
                let fields: Vec<(&String, &Value)> = fields.iter().collect();
                let (name, value) = fields[self.random.usize(0..fields.len())];
                content[root][name] = value.clone();
            }
            _ => content["endpoints"] = other["endpoints"].clone(),
        }
        content
    }

    /// Which policies a history has.
    pub(super) fn policies(&mut self, count: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..SPECS.len()).collect();
        self.random.shuffle(&mut all);
        all.truncate(count);
        all
    }
}
