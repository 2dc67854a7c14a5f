//! What depends on an object among manifests: the operator's engine with all of them listed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::kinds::Kind;
use super::manifests::Manifests;
use super::replay::Replay;
use crate::core::graph::{Graph, Wanted};
use crate::core::policy::CompiledPolicy;

/// What depends on `wanted`, and what it depends on; none when it is not among what policies look at.
pub fn graph(
    policies: &[Arc<CompiledPolicy>],
    manifests: &Manifests,
    wanted: &Wanted,
    now: Timestamp,
) -> Option<Graph> {
    let mut replay = Replay::at(now);
    let mut by_kind: BTreeMap<Kind, Vec<_>> = BTreeMap::new();
    for manifest in &manifests.objects {
        let kind = Kind::of(&manifest.object);
        replay.name_plural(&kind, &manifest.resource[2]);
        by_kind.entry(kind).or_default().push(manifest.object.clone());
    }
    // Namespaces that objects are in, whether they are at hand or not.
    let assumed = manifests.assumed.values().cloned();
    by_kind.entry(Kind::namespaces()).or_default().extend(assumed);
    policies.iter().for_each(|policy| replay.apply(policy.clone()));
    replay.assign();
    // Of a kind of which there is no object, there is none.
    let targets = policies.iter().flat_map(|policy| &policy.selections).map(|selection| &selection.target);
    let others: BTreeSet<Kind> = targets.filter_map(Kind::named).collect();
    for kind in others {
        by_kind.entry(kind).or_default();
    }
    for (kind, objects) in by_kind {
        replay.relisting(&kind);
        for object in objects {
            replay.seen(object);
        }
        replay.synced(&kind);
    }
    replay.engine().graph(wanted)
}
