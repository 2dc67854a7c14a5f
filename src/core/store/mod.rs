//! The objects of one watch, kept small.
//!
//! In: what the watch saw, as trees. Out: the same trees, made again when somebody asks. In between an object is one
//! run of bytes ([`record`]) without anything that all objects of the watch have in common; its name is in it and
//! nowhere else. Only the engine calls.

mod partition;
mod record;
mod symbols;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use self::partition::Partition;
use self::record::Record;
use self::symbols::Symbols;
use super::event::ObjectKey;
use super::paths::Paths;
use super::project::ProjectedObject;

/// What rules can tell two states apart by.
static ALL_BUT_VERSION: LazyLock<Paths> = LazyLock::new(|| {
    let mut paths = Paths::whole();
    paths.forget(&["metadata", "resourceVersion"]);
    paths
});

/// See the module.
#[derive(Debug, Default)]
pub struct Store {
    /// By namespace, so that those of one can be gone through; cluster scoped objects are in none.
    partitions: BTreeMap<Option<Arc<str>>, Partition>,
    symbols: Symbols,
    /// `apiVersion` and `kind` of all objects; none before the first.
    kind: Option<[Arc<str>; 2]>,
    len: usize,
    bytes: usize,
    /// What the next object is packed in, before it is known whether it has to be kept.
    scratch: Vec<u8>,
    /// How many objects were made again, for tests of what is not read.
    #[cfg(test)]
    pub(in crate::core) reads: std::sync::atomic::AtomicUsize,
}

/// What keeping an object came to.
#[derive(Debug)]
pub enum Put {
    /// It was not known.
    New,
    /// It was known in a state that no rule can tell from this one.
    Same {
        /// Whether its managedFields were kept already.
        managers_known: bool,
        /// The generation of the projection by which it was known.
        generation: u32,
    },
    /// It was known in this state, which is another one.
    Changed(ProjectedObject),
    /// Another object of its name was known.
    Replaced(ProjectedObject),
}

/// A place in the store, between two objects. Places are in the order in which the store is gone through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    namespace: Option<Arc<str>>,
    slot: usize,
}

impl Cursor {
    /// Before the objects of a namespace.
    pub fn before(namespace: Option<Arc<str>>) -> Self {
        Self { namespace, slot: 0 }
    }

    /// The namespace that it is in.
    pub fn namespace(&self) -> Option<&Arc<str>> {
        self.namespace.as_ref()
    }
}

impl Store {
    /// Keeps an object as it is now, seen in this pass over the watch.
    pub fn put(&mut self, object: &ProjectedObject, pass: u32) -> Put {
        let id = object.id();
        let kind = self.kind.get_or_insert_with(|| [id.api_version.clone(), id.kind.clone()]).clone();
        self.scratch.clear();
        record::write(object, &mut self.symbols, &mut self.scratch);
        if !self.partitions.contains_key(&id.namespace) {
            self.partitions.insert(id.namespace.clone(), Partition::default());
        }
        let Some(partition) = self.partitions.get_mut(&id.namespace) else {
            return Put::New;
        };
        let generation = object.generation();
        let Some(slot) = partition.find(&id.name) else {
            self.bytes += self.scratch.len();
            self.len += 1;
            partition.insert(&id.name, self.scratch.as_slice().into(), pass, generation);
            return Put::New;
        };
        let (before, after) = (Record::read(&slot.bytes), Record::read(&self.scratch));
        let known = || before.object(&kind, id.namespace.clone(), &self.symbols, slot.generation);
        let same = Put::Same { managers_known: before.managed.is_some(), generation: slot.generation };
        let put = if before.uid != after.uid {
            Put::Replaced(known())
        } else if before.tree == after.tree {
            same
        } else {
            // A text that has got a number since then is other bytes, and no other text.
            let known = known();
            let equal = ALL_BUT_VERSION.same(Some(known.root()), Some(object.root()));
            if equal { same } else { Put::Changed(known) }
        };
        if *slot.bytes != *self.scratch {
            self.bytes = self.bytes - slot.bytes.len() + self.scratch.len();
            slot.bytes = self.scratch.as_slice().into();
        }
        (slot.pass, slot.generation) = (pass, generation);
        put
    }

    /// Forgets an object; returns what was known of it.
    pub fn remove(&mut self, key: &ObjectKey) -> Option<ProjectedObject> {
        let kind = self.kind.clone()?;
        let partition = self.partitions.get_mut(&key.namespace)?;
        let slot = partition.remove(&key.name)?;
        if partition.is_empty() {
            self.partitions.remove(&key.namespace);
        }
        self.len -= 1;
        self.bytes -= slot.bytes.len();
        let record = Record::read(&slot.bytes);
        Some(record.object(&kind, key.namespace.clone(), &self.symbols, slot.generation))
    }

    /// An object, as it was kept last.
    pub fn get(&self, key: &ObjectKey) -> Option<ProjectedObject> {
        let slot = self.partitions.get(&key.namespace)?.get(&key.name)?;
        self.object(&key.namespace, slot)
    }

    /// Objects.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that the objects and what finds them take, without what the allocator adds.
    pub fn bytes(&self) -> usize {
        self.bytes + self.symbols.bytes() + self.partitions.values().map(Partition::bytes).sum::<usize>()
    }

    /// How many objects are in each namespace; none for none.
    pub fn namespaces(&self) -> impl Iterator<Item = (Option<&Arc<str>>, usize)> {
        self.partitions.iter().map(|(namespace, partition)| (namespace.as_ref(), partition.len()))
    }

    /// The next `limit` objects from a place on, and the place behind them; none at the end. With `within`, only
    /// those of the namespace that the place is in.
    pub fn slice(
        &self,
        from: Option<&Cursor>,
        within: bool,
        limit: usize,
    ) -> (Vec<ProjectedObject>, Option<Cursor>) {
        let mut found = Vec::new();
        let first = Cursor::before(None);
        let from = from.unwrap_or(&first);
        let partitions = self.partitions.range(from.namespace.clone()..);
        for (namespace, partition) in partitions.take_while(|(n, _)| !within || **n == from.namespace) {
            let start = if *namespace == from.namespace { from.slot } else { 0 };
            for (n, slot) in partition.slots(start) {
                if found.len() == limit {
                    return (found, Some(Cursor { namespace: namespace.clone(), slot: n }));
                }
                found.extend(self.object(namespace, slot));
            }
        }
        (found, None)
    }

    /// All objects, one after the other.
    pub fn objects(&self) -> impl Iterator<Item = ProjectedObject> {
        self.partitions.iter().flat_map(move |(namespace, partition)| {
            partition.slots(0).filter_map(move |(_, slot)| self.object(namespace, slot))
        })
    }

    /// The objects of some names.
    pub fn objects_named(&self, wanted: impl Fn(&ObjectKey) -> bool) -> Vec<ProjectedObject> {
        let mut found = Vec::new();
        for (namespace, partition) in &self.partitions {
            for (_, slot) in partition.slots(0) {
                let name = Record::read(&slot.bytes).name.into();
                if wanted(&ObjectKey { namespace: namespace.clone(), name }) {
                    found.extend(self.object(namespace, slot));
                }
            }
        }
        found
    }

    /// UIDs of all objects.
    pub fn uids(&self) -> impl Iterator<Item = Arc<str>> {
        let slots = self.partitions.values().flat_map(|partition| partition.slots(0));
        slots.map(|(_, slot)| Record::read(&slot.bytes).uid.text())
    }

    /// What was not seen in this pass.
    pub fn not_seen_in(&self, pass: u32) -> Vec<ObjectKey> {
        let key = |namespace: &Option<Arc<str>>, bytes: &[u8]| ObjectKey {
            namespace: namespace.clone(),
            name: Record::read(bytes).name.into(),
        };
        let stale = |(namespace, partition): (&Option<Arc<str>>, &Partition)| {
            let slots = partition.slots(0).filter(|(_, slot)| slot.pass != pass);
            slots.map(|(_, slot)| key(namespace, &slot.bytes)).collect::<Vec<_>>()
        };
        self.partitions.iter().flat_map(stale).collect()
    }

    fn object(&self, namespace: &Option<Arc<str>>, slot: &partition::Slot) -> Option<ProjectedObject> {
        let kind = self.kind.as_ref()?;
        #[cfg(test)]
        self.reads.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Some(Record::read(&slot.bytes).object(kind, namespace.clone(), &self.symbols, slot.generation))
    }
}

#[cfg(test)]
mod tests;
