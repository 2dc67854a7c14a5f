//! A cluster of several kinds, and policies that read them: each kind is one watch, of everything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value as Json;

use super::{Assignment, Engine, Outcome, Reader, Route, Terms, at, named};
use crate::core::event::{ObjectEvent, ObjectKey, WatchId};
use crate::core::finding::{PolicyKey, Transition};
use crate::core::policy::CompiledPolicy;
use crate::core::project::ProjectedObject;
use crate::core::project::testing::object;

pub(super) struct Cluster {
    pub(super) engine: Engine,
    pub(super) policies: BTreeMap<PolicyKey, Arc<CompiledPolicy>>,
    /// The kinds that are served, and their watches.
    pub(super) served: BTreeMap<String, WatchId>,
    pub(super) objects: BTreeMap<String, BTreeMap<ObjectKey, Arc<ProjectedObject>>>,
    synced: BTreeSet<String>,
    pub(super) now: Timestamp,
    /// Objects judged again in one go.
    pub(super) slice: usize,
    /// Whether selections are applied to the objects of the watches.
    pub(super) select: bool,
    ids: u64,
}

impl Cluster {
    /// One policy, named `p`, and these kinds, none of which is listed yet.
    pub(super) fn of(spec: &str, kinds: &[&str]) -> Self {
        let mut cluster = Self {
            engine: Engine::default(),
            policies: BTreeMap::new(),
            served: BTreeMap::new(),
            objects: BTreeMap::new(),
            synced: BTreeSet::new(),
            now: at(1_000),
            slice: 3,
            select: false,
            ids: 0,
        };
        kinds.iter().for_each(|kind| cluster.serve(kind));
        let policy = named("p", "uid-p", 1, spec);
        cluster.policies.insert(policy.key.clone(), policy);
        cluster.assign();
        cluster
    }

    /// The same, with all kinds listed, and empty.
    pub(super) fn synced(spec: &str, kinds: &[&str]) -> Self {
        let mut cluster = Self::of(spec, kinds);
        for kind in kinds {
            cluster.list(kind);
        }
        cluster
    }

    fn serve(&mut self, kind: &str) {
        self.ids += 1;
        self.served.insert(kind.to_owned(), WatchId(self.ids));
        self.objects.entry(kind.to_owned()).or_default();
    }

    /// Hands the engine what is to be judged.
    pub(super) fn assign(&mut self) -> Vec<String> {
        let mut assignment =
            Assignment { policies: Arc::new(self.policies.clone()), ..Assignment::default() };
        for policy in self.policies.values() {
            for selection in &policy.selections {
                let reader = Reader { policy: policy.key.clone(), selection: selection.name.clone() };
                match self.served.get(&selection.target.kind) {
                    Some(id) => {
                        let route: &mut Route = assignment.routes.entry(*id).or_default();
                        route.cluster_scoped = selection.target.kind == "Node";
                        if self.select || !selection.target.is_everything() {
                            route.terms.insert(reader.clone(), Terms { since: 0, select: true });
                        }
                        route.readers.insert(reader);
                    }
                    None => drop(assignment.absent.insert(reader)),
                }
            }
        }
        let outcome = self.engine.assign(assignment, self.now);
        self.settle(outcome)
    }

    pub(super) fn install(&mut self, kind: &str) -> Vec<String> {
        self.serve(kind);
        let mut said = self.assign();
        said.extend(self.list(kind));
        said
    }

    pub(super) fn uninstall(&mut self, kind: &str) -> Vec<String> {
        self.served.remove(kind);
        self.synced.remove(kind);
        self.objects.insert(kind.to_owned(), BTreeMap::new());
        self.assign()
    }

    /// Another process, with what was open.
    pub(super) fn restart(&mut self) -> Vec<String> {
        let before = std::mem::take(&mut self.engine);
        for (key, policy) in &self.policies {
            let open = before.open(key).iter().map(|finding| (**finding).clone()).collect();
            self.engine.restore(key.clone(), policy.uid.clone(), open);
        }
        self.synced.clear();
        for id in self.served.values_mut() {
            self.ids += 1;
            *id = WatchId(self.ids);
        }
        self.assign()
    }

    /// A complete list of what there is of a kind.
    pub(super) fn list(&mut self, kind: &str) -> Vec<String> {
        let objects: Vec<_> = self.objects[kind].values().cloned().collect();
        let mut said = self.event(kind, ObjectEvent::Relisting);
        for object in objects {
            said.extend(self.event(kind, ObjectEvent::Seen(object)));
        }
        self.synced.insert(kind.to_owned());
        said.extend(self.event(kind, ObjectEvent::Synced));
        said
    }

    pub(super) fn apply(&mut self, manifest: &Json) -> Vec<String> {
        let mut manifest = manifest.clone();
        let kind = manifest["kind"].as_str().expect("a kind").to_owned();
        if manifest["metadata"].get("uid").is_none() {
            let text = |key: &str| manifest["metadata"][key].as_str().unwrap_or_default().to_owned();
            manifest["metadata"]["uid"] = format!("{kind}-{}-{}", text("namespace"), text("name")).into();
        }
        let object = object(&manifest.to_string());
        self.objects.get_mut(&kind).expect("a kind that is served").insert(object.key(), object.clone());
        self.event(&kind, ObjectEvent::Seen(object))
    }

    pub(super) fn delete(&mut self, kind: &str, path: &str) -> Vec<String> {
        let key = key(path);
        self.objects.get_mut(kind).expect("a kind that is served").remove(&key);
        self.event(kind, ObjectEvent::Gone(key))
    }

    /// What comes of an event, with all that follows from it.
    fn event(&mut self, kind: &str, event: ObjectEvent) -> Vec<String> {
        let Some(id) = self.served.get(kind) else { return Vec::new() };
        let outcome = self.engine.step(*id, event, self.now);
        self.settle(outcome)
    }

    fn settle(&mut self, mut outcome: Outcome) -> Vec<String> {
        while self.engine.has_work() {
            outcome.extend(self.engine.work(self.slice, self.now));
        }
        outcome.iter().map(|(_, transition)| in_words(transition)).collect()
    }

    /// The findings that are open, in the order of their words.
    pub(super) fn open(&self) -> Vec<String> {
        let findings = self.policies.keys().flat_map(|key| self.engine.open(key));
        let mut open: Vec<String> =
            findings.map(|f| format!("{} {}: {}", f.key.rule, f.object, f.message)).collect();
        open.sort();
        open
    }

    /// Pairs of rule and object that could not be judged, and one such error for each rule.
    pub(super) fn errors(&self) -> Vec<String> {
        let reports = self.policies.keys().filter_map(|key| self.engine.report(key, 0));
        let rules = reports.flat_map(|report| report.rules);
        let erring = rules.filter(|rule| rule.errors > 0);
        erring
            .map(|rule| format!("{} {}: {}", rule.errors, rule.name, rule.last_error.unwrap_or_default()))
            .collect()
    }

    pub(super) fn is_settled(&self) -> bool {
        let mut reports = self.policies.keys().filter_map(|key| self.engine.report(key, 0));
        reports.all(|report| report.selections.iter().all(|selection| selection.settled))
    }
}

/// Of `NAMESPACE/NAME`, or of a name alone.
pub(super) fn key(path: &str) -> ObjectKey {
    match path.split_once('/') {
        Some((namespace, name)) => ObjectKey { namespace: Some(namespace.into()), name: name.into() },
        None => ObjectKey { namespace: None, name: path.into() },
    }
}

fn in_words(transition: &Transition) -> String {
    let finding = transition.finding();
    let what = format!("{} {}", finding.key.rule, finding.object);
    match transition {
        Transition::Opened(_) => format!("opened {what}: {}", finding.message),
        Transition::Changed(_) => format!("changed {what}: {}", finding.message),
        Transition::Occurred(_) => format!("occurred {what}: {}", finding.message),
        Transition::Resolved(_, why) => format!("resolved {what} {why:?}"),
    }
}
