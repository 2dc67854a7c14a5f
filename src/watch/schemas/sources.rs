//! Every source of a schema that is wanted, what it said, and when to ask it again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::fetch::{Answer, FetchError, Kind, Schemas, Source};
use crate::core::policy::{CompiledPolicy, PolicySet};
use crate::core::schema::{Schema, SchemaSet};
use crate::watch::catalog::{Catalog, Unresolved};

/// Documents of OpenAPI are looked at again this often: the index tells whether one changed.
const REFRESH: Duration = Duration::from_secs(300);
/// First pause after a source did not answer; it doubles up to [`REFRESH`].
const RETRY: Duration = Duration::from_secs(2);
/// Between two questions to one source, however often it changes.
const INTERVAL: Duration = Duration::from_secs(1);

/// The sources of every kind that is selected, and what they said.
#[derive(Default)]
pub struct Sources(BTreeMap<Source, Entry>);

/// The state of the definition that is wanted, as catalogs name it; none for a document.
type Revision = Option<(String, i64)>;

struct Entry {
    /// The kinds that are selected.
    kinds: BTreeSet<Kind>,
    revision: Revision,
    /// What was read, and where.
    schemas: Schemas,
    address: Option<String>,
    busy: bool,
    asked: Option<Instant>,
    /// When to ask, unless it is being asked. A definition need not be asked before it changes.
    due: Option<Instant>,
    /// Failed attempts in a row.
    failures: u32,
}

impl Sources {
    /// Takes the whole of what is selected. What is not is forgotten.
    pub fn want(&mut self, policies: &PolicySet, catalog: &Catalog, now: Instant) {
        let mut wanted: BTreeMap<Source, (BTreeSet<Kind>, Revision)> = BTreeMap::new();
        let policies = policies.values().filter(|policy| !policy.suspended);
        for selection in policies.flat_map(|policy| &policy.selections) {
            let Ok(served) = catalog.resolve(&selection.target) else { continue };
            let revision = served.definition.as_ref().map(|definition| definition.revision.clone());
            let entry = wanted.entry(Source::of(served)).or_insert_with(|| (BTreeSet::new(), revision));
            entry.0.insert(Kind::of(served));
        }
        self.0.retain(|source, _| wanted.contains_key(source));
        for (source, (kinds, revision)) in wanted {
            let entry = self.0.entry(source).or_insert_with(|| Entry {
                kinds: BTreeSet::new(),
                revision: revision.clone(),
                schemas: Schemas::new(),
                address: None,
                busy: false,
                asked: None,
                due: Some(now),
                failures: 0,
            });
            if entry.revision != revision || !kinds.is_subset(&entry.kinds) {
                // What is known may be of another state, or not of all.
                let earliest = entry.asked.map_or(now, |asked| now.max(asked + INTERVAL));
                (entry.due, entry.failures) = (Some(earliest), 0);
            }
            entry.schemas.retain(|kind, _| kinds.contains(kind));
            (entry.kinds, entry.revision) = (kinds, revision);
        }
    }

    /// When to ask the next source, if one is to be asked.
    pub fn due(&self) -> Option<Instant> {
        self.0.values().filter(|entry| !entry.busy).filter_map(|entry| entry.due).min()
    }

    /// A source to ask now, for which kinds, and the address of what is known of them.
    pub fn next(&mut self, now: Instant) -> Option<(Source, BTreeSet<Kind>, Option<String>)> {
        let due = self.0.iter_mut().filter(|(_, entry)| !entry.busy);
        let due =
            due.filter_map(|(source, entry)| Some((entry.due.filter(|due| *due <= now)?, source, entry)));
        let (_, source, entry) = due.min_by_key(|(due, ..)| *due)?;
        (entry.busy, entry.asked) = (true, Some(now));
        // Unless something changes, or it fails.
        entry.due = match source {
            Source::Definition(_) => None,
            Source::Document(_) => Some(now + REFRESH.mul_f64(1.0 + 0.1 * fastrand::f64())),
        };
        let all_known = entry.kinds.iter().all(|kind| entry.schemas.contains_key(kind));
        Some((source.clone(), entry.kinds.clone(), entry.address.clone().filter(|_| all_known)))
    }

    /// Takes what a source answered.
    pub fn answered(&mut self, source: &Source, answer: Result<Answer, FetchError>, now: Instant) {
        let Some(entry) = self.0.get_mut(source) else { return };
        entry.busy = false;
        match answer {
            Ok(Answer::Unchanged) => entry.failures = 0,
            Ok(Answer::Read(schemas, address)) => {
                entry.failures = 0;
                entry.address = Some(address);
                for (kind, schema) in schemas.into_iter().filter(|(kind, _)| entry.kinds.contains(kind)) {
                    // What is the same stays the same, so that nothing is checked again.
                    if entry.schemas.get(&kind) != Some(&schema) {
                        entry.schemas.insert(kind, schema);
                    }
                }
            }
            Err(_) => {
                let pause = RETRY.saturating_mul(1 << entry.failures.min(8)).min(REFRESH);
                entry.failures = entry.failures.saturating_add(1);
                let again = now + pause.mul_f64(0.5 + 0.5 * fastrand::f64());
                entry.due = Some(entry.due.map_or(again, |due| due.min(again)));
            }
        }
    }

    /// The schemas that are known.
    pub fn known(&self) -> SchemaSet {
        let mut known = SchemaSet::default();
        for (kind, schema) in self.0.values().flat_map(|entry| &entry.schemas) {
            if let Some(schema) = schema {
                known.insert(&kind.group, &kind.version, &kind.kind, schema.clone());
            }
        }
        known
    }

    /// The schema of each selection; nothing while some are still to be read.
    pub fn schemas(&self, policy: &CompiledPolicy, catalog: &Catalog) -> Option<Vec<Option<Arc<Schema>>>> {
        let schema = |target| match catalog.resolve(target) {
            Ok(served) => {
                let entry = self.0.get(&Source::of(served))?;
                match entry.schemas.get(&Kind::of(served)) {
                    Some(schema) => Some(schema.clone()),
                    None => (entry.failures > 0).then_some(None),
                }
            }
            Err(Unresolved::Unknown) => None,
            Err(Unresolved::NotInstalled(_) | Unresolved::Invalid(_)) => Some(None),
        };
        policy.selections.iter().map(|selection| schema(&selection.target)).collect()
    }
}
