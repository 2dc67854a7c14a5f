//! Keeps the [`Catalog`] true: CustomResourceDefinitions by watching them, everything else by the API server's
//! discovery, which is asked again when an APIService changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::Client;
use kube::discovery::{Discovery, Scope, verbs};
use tokio::sync::{Notify, watch};
use tracing::{debug, warn};

use super::board::Health;
use super::catalog::{Catalog, DefinitionRef, Served};
use super::interest::WatchKey;
use super::stream::{Deliver, Settings, follow};
use crate::api::status::ResourceState;
use crate::core::event::{ObjectEvent, ObjectKey};
use crate::core::paths::Paths;
use crate::core::project::{ProjectedObject, Projection};
use crate::core::tree::Node;
use crate::metrics::ErrorKind;

/// Discovery is asked this often even when nothing tells of a change.
const REFRESH: Duration = Duration::from_secs(300);
/// And this often when definitions or APIServices cannot be watched.
const REFRESH_BLIND: Duration = Duration::from_secs(10);
/// A discovery request that is not answered by then is given up.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Between two questions that failed; half of it to one and a half.
const RETRY: Duration = Duration::from_secs(2);
/// Several changes at once are one question.
const SETTLE: Duration = Duration::from_millis(300);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// What is defined or discovered changed.
    changed: Notify,
    /// Discovery should be asked.
    ask: Notify,
}

#[derive(Default)]
struct State {
    definitions: BTreeMap<ObjectKey, Definition>,
    /// Keys not seen in the list that is being read.
    unseen: BTreeSet<ObjectKey>,
    /// Every group that a definition ever had.
    groups: BTreeSet<String>,
    listed: bool,
    /// Definitions may not be watched: discovery has to tell of them, too.
    blind: bool,
    /// What discovery said last.
    discovered: Option<Discovered>,
}

struct Definition {
    served: Vec<Served>,
    fingerprint: u64,
}

/// Runs until it is dropped.
pub async fn run(settings: Settings, catalog: watch::Sender<Arc<Catalog>>) {
    let shared = Arc::new(Shared::default());
    let definitions = key("apiextensions.k8s.io", "customresourcedefinitions", "CustomResourceDefinition");
    let services = key("apiregistration.k8s.io", "apiservices", "APIService");
    tokio::join!(
        follow(
            settings.clone(),
            definitions.clone(),
            projection(&definitions, DEFINITION),
            Arc::default(),
            Definitions(shared.clone())
        ),
        follow(
            settings.clone(),
            services.clone(),
            projection(&services, SERVICE),
            Arc::default(),
            Services::new(shared.clone())
        ),
        ask(&settings, &shared),
        publish(&shared, catalog),
    );
}

const DEFINITION: &[&[&str]] = &[
    &["metadata", "name"],
    &["metadata", "resourceVersion"],
    &["metadata", "uid"],
    &["metadata", "generation"],
    &["spec", "group"],
    &["spec", "scope"],
    &["spec", "names"],
    &["spec", "versions", "[]", "name"],
    &["spec", "versions", "[]", "served"],
    &["status", "acceptedNames"],
    &["status", "conditions", "[]", "type"],
    &["status", "conditions", "[]", "status"],
];

const SERVICE: &[&[&str]] = &[
    &["metadata", "name"],
    &["metadata", "resourceVersion"],
    &["metadata", "uid"],
    &["spec", "service"],
    &["status", "conditions", "[]", "type"],
    &["status", "conditions", "[]", "status"],
];

fn key(group: &str, plural: &str, kind: &str) -> WatchKey {
    WatchKey { group: group.into(), plural: plural.into(), kind: kind.into(), ..WatchKey::namespaces() }
}

fn projection(key: &WatchKey, paths: &[&[&str]]) -> Arc<Projection> {
    Arc::new(Projection::new(Paths::only(paths.iter().copied()), &key.api_version(), &key.kind))
}

/// Merges what is defined with what is discovered and publishes each change.
async fn publish(shared: &Shared, catalog: watch::Sender<Arc<Catalog>>) {
    while !catalog.is_closed() {
        let next = {
            let state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
            let complete = state.discovered.is_some() && (state.listed || state.blind);
            let defined = state.definitions.values().flat_map(|definition| definition.served.iter().cloned());
            let found = state.discovered.clone().unwrap_or_default();
            Catalog::new(complete, found.served, defined, &state.groups).with_uncertain(found.uncertain)
        };
        catalog.send_if_modified(|known| {
            let changed = **known != next;
            if changed {
                *known = Arc::new(next);
            }
            changed
        });
        shared.changed.notified().await;
    }
}

/// Asks for what is served, when something tells of a change and otherwise now and then. Apart from
/// [`publish`], so that a slow answer holds back no definition.
async fn ask(settings: &Settings, shared: &Shared) {
    let mut last_error = None;
    loop {
        match tokio::time::timeout(TIMEOUT, discover(&settings.client)).await {
            Ok(Ok(found)) => {
                let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
                state.discovered = Some(found.after(state.discovered.take()));
                drop(state);
                shared.changed.notify_one();
                last_error = None;
            }
            failed => {
                settings.metrics.error(ErrorKind::Discovery);
                let error = match failed {
                    Ok(Err(error)) => error.to_string(),
                    _ => format!("no answer within {} s", TIMEOUT.as_secs()),
                };
                if last_error.as_ref() != Some(&error) {
                    warn!(%error, "the served kinds cannot be read; trying again");
                    last_error = Some(error);
                }
                tokio::time::sleep(RETRY.mul_f64(0.5 + fastrand::f64())).await;
                continue;
            }
        }
        let blind = shared.state.lock().unwrap_or_else(PoisonError::into_inner).blind;
        let wait = if blind { REFRESH_BLIND } else { REFRESH };
        tokio::select! {
            () = shared.ask.notified() => tokio::time::sleep(SETTLE).await,
            () = tokio::time::sleep(wait.mul_f64(1.0 + 0.1 * fastrand::f64())) => {}
        }
    }
}

/// What discovery said.
#[derive(Debug, Clone, Default)]
struct Discovered {
    served: Vec<Served>,
    /// Groups of which the API server could not learn everything: their own server does not answer.
    uncertain: BTreeSet<String>,
}

async fn discover(client: &Client) -> Result<Discovered, kube::Error> {
    let groups = match client.list_api_groups_aggregated().await {
        Ok(groups) => groups,
        // Before Kubernetes 1.26 there is no aggregated form.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 406) => {
            return discover_each(client).await;
        }
        Err(error) => return Err(error),
    };
    let core = client.list_core_api_versions_aggregated().await?;
    let mut discovered = Discovered::default();
    for group in groups.items.into_iter().chain(core.items) {
        let name = group.metadata.and_then(|metadata| metadata.name).unwrap_or_default();
        for version in group.versions {
            if version.freshness.as_deref() == Some("Stale") {
                discovered.uncertain.insert(name.clone());
            }
            let api_version = version.version.unwrap_or_default();
            let kinds = version.resources.into_iter().filter_map(|resource| {
                Some(Served {
                    group: name.clone(),
                    version: api_version.clone(),
                    kind: resource.response_kind?.kind.filter(|kind| !kind.is_empty())?,
                    plural: resource.resource?,
                    namespaced: resource.scope.as_deref() == Some("Namespaced"),
                    watchable: [verbs::LIST, verbs::WATCH]
                        .iter()
                        .all(|verb| resource.verbs.iter().any(|v| v == verb)),
                    definition: None,
                })
            });
            discovered.served.extend(kinds);
        }
    }
    debug!(kinds = discovered.served.len(), uncertain = ?discovered.uncertain, "served kinds read");
    Ok(discovered)
}

/// One request for each group and version.
async fn discover_each(client: &Client) -> Result<Discovered, kube::Error> {
    let discovery = Discovery::new(client.clone()).run().await?;
    let mut discovered = Discovered::default();
    for group in discovery.groups() {
        for version in group.versions() {
            for (resource, capabilities) in group.versioned_resources(version) {
                discovered.served.push(Served {
                    namespaced: capabilities.scope == Scope::Namespaced,
                    watchable: capabilities.supports_operation(verbs::LIST)
                        && capabilities.supports_operation(verbs::WATCH),
                    group: resource.group,
                    version: resource.version,
                    kind: resource.kind,
                    plural: resource.plural,
                    definition: None,
                });
            }
        }
    }
    Ok(discovered)
}

impl Discovered {
    /// Keeps what was known of groups that are uncertain now: that their server does not answer does not mean
    /// that their kinds are gone.
    fn after(mut self, before: Option<Discovered>) -> Self {
        let same =
            |a: &Served, b: &Served| (&a.group, &a.version, &a.kind) == (&b.group, &b.version, &b.kind);
        for known in before.into_iter().flat_map(|before| before.served) {
            if self.uncertain.contains(&known.group) && !self.served.iter().any(|served| same(served, &known))
            {
                self.served.push(known);
            }
        }
        self
    }
}

struct Definitions(Arc<Shared>);

impl Definitions {
    fn take(&mut self, event: ObjectEvent) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            ObjectEvent::Relisting => state.unseen = state.definitions.keys().cloned().collect(),
            ObjectEvent::Seen(object) => {
                let key = object.key();
                state.unseen.remove(&key);
                if state.definitions.get(&key).is_some_and(|known| known.fingerprint == object.fingerprint())
                {
                    return;
                }
                state.groups.extend(object.root().str_at(&["spec", "group"]).map(ToString::to_string));
                let definition = Definition { served: served_by(&object), fingerprint: object.fingerprint() };
                state.definitions.insert(key, definition);
                // During the first list the catalog is not complete anyway.
                if !state.listed {
                    return;
                }
            }
            ObjectEvent::Gone(key) => {
                state.definitions.remove(&key);
            }
            ObjectEvent::Synced => {
                for key in std::mem::take(&mut state.unseen) {
                    state.definitions.remove(&key);
                }
                state.listed = true;
            }
        }
        drop(state);
        self.0.changed.notify_one();
    }
}

impl Deliver for Definitions {
    async fn events(&mut self, events: Vec<ObjectEvent>) {
        events.into_iter().for_each(|event| self.take(event));
    }

    fn health(&mut self, health: Health) {
        let refused = matches!(&health, Health::Trouble(ResourceState::Forbidden, _));
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        if refused && !state.listed {
            state.blind = true;
            self.0.ask.notify_one();
        } else if health == Health::Complete {
            state.blind = false;
        }
        drop(state);
        self.0.changed.notify_one();
    }
}

/// What a definition serves, once the API server has established it.
fn served_by(definition: &ProjectedObject) -> Vec<Served> {
    let root = definition.root();
    let established =
        root.at(&["status", "conditions"]).map(Node::items).unwrap_or_default().iter().any(|condition| {
            condition.str_at(&["type"]).is_some_and(|text| &**text == "Established")
                && condition.str_at(&["status"]).is_some_and(|text| &**text == "True")
        });
    if !established {
        return Vec::new();
    }
    let text = |path: &[&str]| root.str_at(path).map(ToString::to_string).unwrap_or_default();
    let generation = match root.at(&["metadata", "generation"]) {
        Some(Node::Int(generation)) => *generation,
        _ => 0,
    };
    let definition = DefinitionRef {
        name: text(&["metadata", "name"]),
        revision: (text(&["metadata", "uid"]), generation),
    };
    let versions = root.at(&["spec", "versions"]).map(Node::items).unwrap_or_default().iter();
    versions
        .filter(|version| version.get("served") == Some(&Node::Bool(true)))
        .filter_map(|version| version.str_at(&["name"]))
        .map(|version| Served {
            group: text(&["spec", "group"]),
            version: version.to_string(),
            kind: text(&["status", "acceptedNames", "kind"]),
            plural: text(&["status", "acceptedNames", "plural"]),
            namespaced: text(&["spec", "scope"]) == "Namespaced",
            watchable: true,
            definition: Some(definition.clone()),
        })
        .collect()
}

struct Services {
    shared: Arc<Shared>,
    known: BTreeMap<ObjectKey, u64>,
}

impl Services {
    fn new(shared: Arc<Shared>) -> Self {
        Self { shared, known: BTreeMap::new() }
    }

    fn take(&mut self, event: ObjectEvent) {
        let changed = match event {
            ObjectEvent::Seen(object) => {
                self.known.insert(object.key(), object.fingerprint()) != Some(object.fingerprint())
            }
            ObjectEvent::Gone(key) => self.known.remove(&key).is_some(),
            ObjectEvent::Relisting | ObjectEvent::Synced => false,
        };
        if changed {
            self.shared.ask.notify_one();
        }
    }
}

impl Deliver for Services {
    async fn events(&mut self, events: Vec<ObjectEvent>) {
        events.into_iter().for_each(|event| self.take(event));
    }

    fn health(&mut self, _: Health) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::project::testing::object;

    fn definition(established: &str, v2_served: bool) -> Arc<ProjectedObject> {
        object(&format!(
            r#"{{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{{"name":"routes.x.io"}},
            "spec":{{"group":"x.io","scope":"Namespaced","versions":[{{"name":"v1","served":true}},{{"name":"v2","served":{v2_served}}}]}},
            "status":{{"acceptedNames":{{"kind":"Route","plural":"routes"}},"conditions":[{{"type":"Established","status":"{established}"}}]}}}}"#
        ))
    }

    #[test]
    fn a_server_that_does_not_answer_takes_no_kind_away() {
        let metrics = Served {
            group: "metrics.x.io".into(),
            version: "v1".into(),
            kind: "PodMetrics".into(),
            plural: "pods".into(),
            namespaced: true,
            watchable: true,
            definition: None,
        };
        let before = || Some(Discovered { served: vec![metrics.clone()], ..Discovered::default() });
        let stale = Discovered { uncertain: ["metrics.x.io".to_owned()].into(), ..Discovered::default() };
        assert_eq!(stale.after(before()).served, std::slice::from_ref(&metrics));
        assert_eq!(Discovered::default().after(before()).served, [], "gone for good");
        let again =
            Discovered { served: vec![metrics.clone()], uncertain: ["metrics.x.io".to_owned()].into() };
        assert_eq!(again.after(before()).served.len(), 1);
    }

    #[test]
    fn a_definition_serves_its_served_versions_once_established() {
        assert!(served_by(&definition("False", true)).is_empty());
        let versions = |d: &ProjectedObject| served_by(d).into_iter().map(|s| s.version).collect::<Vec<_>>();
        assert_eq!(versions(&definition("True", true)), ["v1", "v2"]);
        assert_eq!(versions(&definition("True", false)), ["v1"]);
        assert_eq!(served_by(&definition("True", false))[0].display(), "routes.v1.x.io");
    }
}
