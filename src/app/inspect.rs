//! What `/debug/state` tells, gathered from the parts.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};

use crate::core::engine::Reader;
use crate::core::graph;
use crate::core::policy::CompiledPolicy;
use crate::judge::Judge;
use crate::metrics::Metrics;
use crate::policy::Published;
use crate::watch::interest::Part;
use crate::watch::manager::Intent;
use crate::watch::{Board, SelectionState};

/// The parts of a replica that leads.
#[derive(Clone)]
pub struct Working {
    /// Has the objects.
    pub judge: Judge,
    /// Has the states.
    pub board: Arc<Board>,
    /// Has what is wanted of each watch.
    pub wanted: watch::Receiver<Arc<Intent>>,
    /// Has a permit for each list that is not in flight.
    pub lists: Arc<Semaphore>,
    /// All of its permits.
    pub concurrent_lists: usize,
}

/// The parts of any replica.
#[derive(Clone)]
pub struct Inspect {
    pub metrics: Arc<Metrics>,
    pub published: watch::Receiver<Published>,
    /// What it works with once it leads.
    pub at_work: watch::Receiver<Option<Working>>,
}

impl Inspect {
    /// What depends on the object that a text names; none when this replica knows it not.
    pub async fn draw(self, object: String) -> Result<Option<Value>, String> {
        let wanted = object.parse().map_err(|error: graph::NoObject| format!("{object:?}: {error}"))?;
        let working = self.at_work.borrow().clone();
        let Some(working) = working else {
            return Err("this replica does not lead, so it watches nothing".to_owned());
        };
        let graph = working.judge.graph(wanted).await;
        graph.map(serde_json::to_value).transpose().map_err(|error| error.to_string())
    }

    /// The state at this moment. Waits until the engine is between two inputs.
    pub async fn describe(self) -> Value {
        let leader = self.metrics.leader.get() == 1;
        let working = self.at_work.borrow().clone();
        let Some(working) = working else {
            return json!({ "leader": leader });
        };
        let wanted = working.wanted.borrow().clone();
        let states = working.board.watches();
        let kept = working.judge.kept(wanted.keys().copied().collect()).await;
        let watches = wanted.iter().map(|(id, (key, want))| {
            let kept = kept.get(id).copied().unwrap_or_default();
            json!({
                "id": id.0,
                "resource": key.resource(),
                "namespace": key.namespace,
                "labelSelector": key.label_selector,
                "fieldSelector": key.field_selector,
                "state": states.get(id).map(|watch| state(&watch.state)),
                "keeps": want.shape.paths.lines(),
                "keepsManagedFields": want.shape.managed_fields,
                "metadataOnly": want.shape.is_metadata_only(),
                "readers": want.readers.iter().map(reader).collect::<Vec<_>>(),
                "objects": kept.objects,
                "bytes": kept.bytes,
                "views": kept.views,
            })
        });
        let watches: Vec<Value> = watches.collect();
        let policies = self.published.borrow().policies.clone();
        let policies: Vec<Value> = policies.values().map(|policy| describe(policy, &working.board)).collect();
        json!({
            "leader": leader,
            "policies": policies,
            "watches": watches,
            "engine": { "queueLength": self.metrics.queue_length.get() },
            "lists": {
                "inFlight": working.concurrent_lists.saturating_sub(working.lists.available_permits()),
                "limit": working.concurrent_lists,
            },
        })
    }
}

/// Who reads a watch, and whether the watch is of more than that, so that its selection is applied here.
fn reader((reader, part): (&Reader, &Part)) -> Value {
    json!({
        "policy": *reader.policy.0,
        "selection": *reader.selection,
        "selectedHere": part.select,
        "needs": part.shape.paths.lines(),
    })
}

fn describe(policy: &CompiledPolicy, board: &Board) -> Value {
    let selections = policy.selections.iter().map(|selection| {
        let reader = Reader { policy: policy.key.clone(), selection: selection.name.clone() };
        // None of a policy that is suspended, or has only just come.
        let known = board.selection(&reader, policy.needs_namespaces());
        json!({
            "name": *selection.name,
            "resource": known.as_ref().and_then(|known| known.resource.clone()),
            "state": known.as_ref().map(state),
        })
    });
    json!({
        "name": *policy.key.0,
        "generation": policy.generation,
        "suspended": policy.suspended,
        "problems": policy.problems.len(),
        "selections": selections.collect::<Vec<_>>(),
    })
}

fn state(known: &SelectionState) -> Value {
    json!({ "is": known.state, "since": known.since.to_string(), "message": known.message })
}
