//! Which objects of a watch have a label: for those labels that lookups ask for, as they ask.

use std::collections::HashMap;
use std::sync::Arc;

use crate::core::event::ObjectKey;
use crate::core::few::Few;
use crate::core::lookup::LabelIn;
use crate::core::project::ProjectedObject;
use crate::core::store::{Cursor, Store};
use crate::core::tree::Node;

/// Most label keys of one watch that are kept track of; objects are gone through for others.
const MAX_KEYS: usize = 32;

/// The objects that have a label, by its value.
type ByValue = HashMap<Arc<str>, Few<ObjectKey>>;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct ByLabel {
    keys: HashMap<Arc<str>, ByValue>,
}

impl ByLabel {
    /// An object changed, came or went.
    pub(super) fn note(&mut self, before: Option<&ProjectedObject>, after: Option<&ProjectedObject>) {
        for (label, by_value) in &mut self.keys {
            let (old, new) = (before.and_then(|o| value(o, label)), after.and_then(|o| value(o, label)));
            if old == new {
                continue;
            }
            if let Some((object, old)) = before.zip(old) {
                let empty = by_value.get_mut(old).is_some_and(|known| {
                    known.remove(&object.key());
                    known.is_empty()
                });
                if empty {
                    by_value.remove(old);
                }
            }
            if let Some((object, new)) = after.zip(new) {
                by_value.entry(new.clone()).or_default().insert(object.key());
            }
        }
    }

    /// Objects among which all are that have each of `labels`, of one namespace or of all: those that have the one of
    /// them that fewest have; all, when none of them is kept track of.
    pub(super) fn candidates(
        &mut self,
        store: &Store,
        namespace: Option<&Arc<str>>,
        labels: &[LabelIn],
    ) -> Vec<ObjectKey> {
        for (label, _) in labels {
            self.learn(store, label);
        }
        let known = labels.iter().filter_map(|(label, values)| {
            let by_value = self.keys.get(label)?;
            let each = values.iter().filter_map(|value| by_value.get(value));
            Some(each.flat_map(|known| within(known, namespace)).collect::<Vec<_>>())
        });
        match known.min_by_key(Vec::len) {
            Some(fewest) => fewest,
            None => {
                let from = namespace.map(|namespace| Cursor::before(Some(namespace.clone())));
                let (objects, _) = store.slice(from.as_ref(), from.is_some(), usize::MAX);
                let mut all: Vec<ObjectKey> = objects.iter().map(ProjectedObject::key).collect();
                all.sort();
                all
            }
        }
    }

    /// Keeps track of a label from now on, if there is room for one more.
    pub(super) fn learn(&mut self, store: &Store, label: &Arc<str>) {
        if self.keys.contains_key(label) || self.keys.len() >= MAX_KEYS {
            return;
        }
        let mut by_value = ByValue::new();
        for object in store.objects() {
            if let Some(value) = value(&object, label) {
                by_value.entry(value.clone()).or_default().insert(object.key());
            }
        }
        self.keys.insert(label.clone(), by_value);
    }
}

fn within(known: &Few<ObjectKey>, namespace: Option<&Arc<str>>) -> Vec<ObjectKey> {
    match namespace {
        None => known.iter().cloned().collect(),
        Some(_) => {
            let first = ObjectKey { namespace: namespace.cloned(), name: "".into() };
            known.from(&first).take_while(|key| key.namespace.as_ref() == namespace).cloned().collect()
        }
    }
}

fn value<'o>(object: &'o ProjectedObject, label: &str) -> Option<&'o Arc<str>> {
    object.labels()?.get(label).and_then(Node::as_str)
}
