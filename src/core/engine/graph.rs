//! What depends on an object, told from what lookups found.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::Engine;
use super::Tracked;
use super::related::InWatches;
use super::subject::Subject;
use crate::core::event::ObjectKey;
use crate::core::finding::{FindingKey, PolicyKey};
use crate::core::graph::{Edge, Graph, MAX_VERTICES, Vertex, Wanted as Asked};
use crate::core::lookup::{Answer, Lookup, Query, Related, Wanted, label_term};
use crate::core::project::ProjectedObject;

impl Engine {
    /// What depends on an object, directly and through others, and what it depends on itself. None when no policy
    /// knows it.
    pub fn graph(&self, asked: &Asked) -> Option<Graph> {
        let roots = self.named(asked);
        let first = roots.first()?;
        let mut drawn = Drawn::default();
        let root = drawn.vertex(Vertex::of(first.id()));
        let mut open: VecDeque<ProjectedObject> = roots.into();
        let mut seen = BTreeSet::new();
        while let Some(object) = open.pop_front() {
            if !seen.insert(Vertex::of(object.id()).id) {
                continue;
            }
            for (key, tracked) in &self.policies {
                for (place, subject) in dependents(tracked, &object) {
                    let Some(judged) = self.object(&subject) else { continue };
                    self.draw(key, tracked, &subject, &judged, Some(place), &mut drawn);
                    open.push_back(judged);
                }
            }
        }
        for (key, tracked) in &self.policies {
            for (subject, judged) in self.subjects(tracked, asked) {
                self.draw(key, tracked, &subject, &judged, None, &mut drawn);
            }
        }
        Some(Graph {
            root,
            vertices: drawn.vertices.into_values().collect(),
            edges: drawn.edges.into_iter().collect(),
            truncated: drawn.truncated,
        })
    }

    /// The objects of this name; of several kinds when their group is not told.
    fn named(&self, asked: &Asked) -> Vec<ProjectedObject> {
        let mut found: BTreeMap<String, ProjectedObject> = BTreeMap::new();
        let ids: BTreeSet<_> = self.watches.by_id.keys().collect();
        for object in ids.into_iter().filter_map(|id| self.watches.by_id[id].objects.get(&key_of(asked))) {
            let group = object.id().api_version.split_once('/').map_or("", |(group, _)| group);
            if asked.is_of(group, &object.id().kind) {
                found.entry(Vertex::of(object.id()).id).or_insert(object);
            }
        }
        found.into_values().collect()
    }

    fn object(&self, subject: &Subject) -> Option<ProjectedObject> {
        self.watches.by_id.get(&subject.watch)?.objects.get(&subject.key)
    }

    /// The object that was asked for, as selections of a policy judge it.
    fn subjects(&self, tracked: &Tracked, asked: &Asked) -> Vec<(Subject, ProjectedObject)> {
        let mut subjects = Vec::new();
        for (selection, known) in tracked.policy.selections.iter().enumerate() {
            for watch in tracked.feeds.get(&known.name).into_iter().flatten() {
                let subject = Subject { selection, watch: *watch, key: key_of(asked) };
                let of_kind = asked.is_of(&known.target.group, &known.target.kind);
                if let Some(object) = self.object(&subject).filter(|_| of_kind) {
                    subjects.push((subject, object));
                }
            }
        }
        subjects
    }

    /// Draws what an object that is judged depends on; with `towards` only the way to what that lookup finds.
    fn draw(
        &self,
        key: &PolicyKey,
        tracked: &Tracked,
        subject: &Subject,
        judged: &ProjectedObject,
        towards: Option<usize>,
        drawn: &mut Drawn,
    ) {
        let Some(queries) = tracked.dependents.queries_of(subject) else { return };
        let policy = &tracked.policy;
        let takes = |place: usize| policy.lookup(place).map(Lookup::takes).unwrap_or_default();
        let places: BTreeSet<usize> = match towards {
            Some(place) => takes(place).into_iter().chain([place]).collect(),
            None => queries.iter().map(|(place, _)| *place).collect(),
        };
        let related = InWatches { watches: &self.watches, policy, sources: &tracked.sources };
        let own = drawn.vertex(Vertex::of(judged.id()));
        let mut ends: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for place in places {
            let lookup = policy.lookup(place);
            let query = queries.iter().find(|(known, _)| *known == place).map(|(_, query)| query);
            let (Some(lookup), Some(query)) = (lookup, query) else { continue };
            let Some(selection) = policy.looked_among(place) else { continue };
            let found = match related.find(lookup.selection, query) {
                Answer::Objects(found) => found,
                _ => Vec::new(),
            };
            let mut vertices: Vec<Vertex> = found.iter().map(|object| Vertex::of(object.id())).collect();
            vertices.extend(missing(query, &found).into_iter().map(|name| {
                let target = &selection.target;
                Vertex::missing(
                    &target.api_version(),
                    &target.kind,
                    query.namespace.as_ref().map(ToString::to_string),
                    name,
                )
            }));
            // What it is found by directly: not what that is found by in turn.
            let taken = takes(place);
            let direct = taken.iter().filter(|one| !taken.iter().any(|other| takes(*other).contains(one)));
            let mut parents: Vec<String> =
                direct.filter_map(|parent| ends.get(parent)).flatten().cloned().collect();
            if parents.is_empty() {
                parents.push(own.clone());
            }
            let reads: Vec<_> = policy.rules.iter().filter(|rule| rule.lookups.contains(&place)).collect();
            let violated = reads.iter().filter(|rule| {
                let selection = policy.selections[subject.selection].name.clone();
                let key = FindingKey { rule: rule.name.clone(), selection, uid: judged.id().uid.clone() };
                tracked.ledger.standing(&key).is_some()
            });
            let violated: Vec<String> = violated.map(|rule| rule.name.to_string()).collect();
            let to: Vec<String> = vertices.into_iter().map(|vertex| drawn.vertex(vertex)).collect();
            for from in &parents {
                for to in &to {
                    drawn.edge(Edge {
                        from: from.clone(),
                        to: to.clone(),
                        policy: key.to_string(),
                        lookup: lookup.name.to_string(),
                        judged: own.clone(),
                        rules: reads.iter().map(|rule| rule.name.to_string()).collect(),
                        violated: violated.clone(),
                    });
                }
            }
            ends.insert(place, to);
        }
    }
}

/// Those that one lookup or another finds an object for, with the lookup's place.
fn dependents(tracked: &Tracked, object: &ProjectedObject) -> Vec<(usize, Arc<Subject>)> {
    let policy = &tracked.policy;
    let id = object.id();
    let (group, version) = id.api_version.split_once('/').unwrap_or(("", &id.api_version));
    let finds = |place: usize| {
        let target = &policy.looked_among(place)?.target;
        let of_version = target.version.as_deref().is_none_or(|wanted| wanted == version);
        let of_kind = target.group == group && target.kind == *id.kind && of_version;
        Some(of_kind && target.selects(object))
    };
    let places = (0..policy.lookups.len()).filter(|place| finds(*place) == Some(true));
    places
        .flat_map(|place| {
            let subjects = tracked.dependents.of(place, None, Some(object));
            subjects.into_iter().map(move |subject| (place, subject))
        })
        .collect()
}

/// What a query looks for and does not find.
fn missing(query: &Query, found: &[ProjectedObject]) -> Vec<String> {
    match &query.wanted {
        Wanted::Names(names) => names
            .iter()
            .filter(|name| !found.iter().any(|object| object.id().name == **name))
            .map(ToString::to_string)
            .collect(),
        Wanted::Labels(labels) if found.is_empty() => {
            let labels: Vec<String> = labels.iter().map(|(key, values)| label_term(key, values)).collect();
            vec![format!("[{}]", labels.join(","))]
        }
        Wanted::All if found.is_empty() => vec!["[any]".to_owned()],
        Wanted::Labels(_) | Wanted::All => Vec::new(),
    }
}

fn key_of(asked: &Asked) -> ObjectKey {
    ObjectKey { namespace: asked.namespace.as_deref().map(Into::into), name: asked.name.as_str().into() }
}

#[derive(Default)]
struct Drawn {
    vertices: BTreeMap<String, Vertex>,
    edges: BTreeSet<Edge>,
    truncated: bool,
}

impl Drawn {
    fn vertex(&mut self, vertex: Vertex) -> String {
        let id = vertex.id.clone();
        if self.vertices.len() < MAX_VERTICES {
            self.vertices.entry(id.clone()).or_insert(vertex);
        } else if !self.vertices.contains_key(&id) {
            self.truncated = true;
        }
        id
    }

    fn edge(&mut self, edge: Edge) {
        if self.vertices.contains_key(&edge.from) && self.vertices.contains_key(&edge.to) {
            self.edges.insert(edge);
        }
    }
}
