//! The graph of an object, by walking over all queries of all objects that are judged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::history::History;
use super::naive::Scan;
use crate::core::finding::{FindingKey, PolicyKey};
use crate::core::graph::{Edge, Graph, Vertex};
use crate::core::lookup::{Answer, Lookup, Query, Related, Wanted, label_term};
use crate::core::policy::CompiledPolicy;
use crate::core::project::ProjectedObject;

/// An object that is judged, and what is looked up for it.
struct Judged<'h> {
    key: &'h PolicyKey,
    policy: &'h CompiledPolicy,
    selection: usize,
    object: &'h Arc<ProjectedObject>,
    queries: BTreeMap<usize, Query>,
}

/// Edges and vertices of the graph of an object.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Drawn {
    vertices: BTreeSet<Vertex>,
    edges: BTreeSet<Edge>,
}

pub(super) fn drawn(graph: Graph) -> Drawn {
    let vertices: BTreeSet<Vertex> = graph.vertices.iter().cloned().collect();
    let edges: BTreeSet<Edge> = graph.edges.iter().cloned().collect();
    assert_eq!((vertices.len(), edges.len()), (graph.vertices.len(), graph.edges.len()), "each once");
    Drawn { vertices, edges }
}

/// The graphs of objects, as things are.
pub(super) struct Walk<'h> {
    history: &'h History,
    all: Vec<Judged<'h>>,
}

impl<'h> Walk<'h> {
    pub(super) fn new(history: &'h History) -> Self {
        let mut all = Vec::new();
        for (key, (_, policy)) in &history.policies {
            let judged = policy.selections.iter().enumerate().filter(|(_, selection)| selection.is_judged());
            for (selection, _) in judged {
                for object in Scan::new(history, policy).judged(selection) {
                    let scan = Scan::new(history, policy);
                    scan.judge(selection, object, |_, _| {});
                    let queries = scan.asked.into_inner();
                    all.push(Judged { key, policy, selection, object, queries });
                }
            }
        }
        Self { history, all }
    }

    pub(super) fn of(&self, root: &Arc<ProjectedObject>) -> Drawn {
        let mut drawn = Drawn { vertices: [Vertex::of(root.id())].into(), edges: BTreeSet::new() };
        let mut open = vec![root.clone()];
        let mut seen = BTreeSet::new();
        while let Some(object) = open.pop() {
            if !seen.insert(object.id().clone()) {
                continue;
            }
            for judged in &self.all {
                for place in judged.queries.keys() {
                    if self.found(judged, *place).iter().any(|found| found.id() == object.id()) {
                        self.draw(judged, Some(*place), &mut drawn);
                        open.push(judged.object.clone());
                    }
                }
            }
        }
        for judged in self.all.iter().filter(|judged| judged.object.id() == root.id()) {
            self.draw(judged, None, &mut drawn);
        }
        drawn
    }

    fn found(&self, judged: &Judged<'_>, place: usize) -> Vec<ProjectedObject> {
        let lookup = lookup(judged, place);
        match Scan::new(self.history, judged.policy).find(lookup.selection, &judged.queries[&place]) {
            Answer::Objects(found) => found,
            _ => Vec::new(),
        }
    }

    fn draw(&self, judged: &Judged<'_>, towards: Option<usize>, drawn: &mut Drawn) {
        let policy = judged.policy;
        let own = Vertex::of(judged.object.id());
        drawn.vertices.insert(own.clone());
        let mut ends: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        let wanted = |place: usize| {
            towards.is_none_or(|towards| place == towards || lookup(judged, towards).takes().contains(&place))
        };
        for (place, query) in judged.queries.iter().filter(|(place, _)| wanted(**place)) {
            let looked_up = lookup(judged, *place);
            let found = self.found(judged, *place);
            let mut to: Vec<Vertex> = found.iter().map(|object| Vertex::of(object.id())).collect();
            let target = &policy.selections[looked_up.selection].target;
            let version = target.version.clone().unwrap_or_default();
            let api_version = match &*target.group {
                "" => version,
                group => format!("{group}/{version}"),
            };
            to.extend(missing(query, &found).into_iter().map(|name| {
                let namespace = query.namespace.as_ref().map(ToString::to_string);
                Vertex::missing(&api_version, &target.kind, namespace, name)
            }));
            // Of what it is found by, that by which nothing else of it is found.
            let takes = looked_up.takes();
            let through =
                |one: &usize| takes.iter().any(|other| lookup(judged, *other).takes().contains(one));
            let parents = takes.iter().filter(|one| !through(one)).filter_map(|one| ends.get(one)).flatten();
            let mut parents: Vec<String> = parents.cloned().collect();
            if parents.is_empty() {
                parents.push(own.id.clone());
            }
            let rules = policy.rules.iter().filter(|rule| rule.lookups.contains(place));
            let mut wrong = self.history.engine.open(judged.key);
            wrong.extend(self.history.engine.pending(judged.key));
            let violated = rules.clone().filter(|rule| {
                let selection = policy.selections[judged.selection].name.clone();
                let uid = judged.object.id().uid.clone();
                wrong.iter().any(|finding| {
                    finding.key
                        == FindingKey {
                            rule: rule.name.clone(),
                            selection: selection.clone(),
                            uid: uid.clone(),
                        }
                })
            });
            for from in &parents {
                for to in &to {
                    drawn.edges.insert(Edge {
                        from: from.clone(),
                        to: to.id.clone(),
                        policy: judged.key.to_string(),
                        lookup: looked_up.name.to_string(),
                        judged: own.id.clone(),
                        rules: rules.clone().map(|rule| rule.name.to_string()).collect(),
                        violated: violated.clone().map(|rule| rule.name.to_string()).collect(),
                    });
                }
            }
            ends.insert(*place, to.iter().map(|vertex| vertex.id.clone()).collect());
            drawn.vertices.extend(to);
        }
    }
}

fn lookup<'j>(judged: &'j Judged<'_>, place: usize) -> &'j Lookup {
    judged.policy.lookups[place].as_ref().expect("a lookup")
}

fn missing(query: &Query, found: &[ProjectedObject]) -> Vec<String> {
    match &query.wanted {
        Wanted::Names(names) => {
            let is_found = |name: &Arc<str>| found.iter().any(|object| object.id().name == *name);
            names.iter().filter(|name| !is_found(name)).map(ToString::to_string).collect()
        }
        _ if !found.is_empty() => Vec::new(),
        Wanted::All => vec!["[any]".to_owned()],
        Wanted::Labels(labels) => {
            let labels: Vec<String> = labels.iter().map(|(key, values)| label_term(key, values)).collect();
            vec![format!("[{}]", labels.join(","))]
        }
    }
}
