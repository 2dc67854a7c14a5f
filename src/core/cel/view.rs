//! The object's tree as values of the evaluator.
//!
//! A map or list becomes the evaluator's own type when something first looks into it, level by level and
//! at most once; texts are borrowed. A rule that reads `object.spec.replicas` converts two levels, not
//! the object. Copies of a view are handles, so that a loop over containers copies no container.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use cel::ExecutionError;
use cel::common::traits::{Adder, Container, Indexer, Iterable, Sizer, Zeroer};
use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, Type};
use cel::common::value::{Builtin, BuiltinRef, CowVal, StaticVal, Val};

use crate::core::tree::Node;

/// `node` as the evaluator sees it. Whole numbers are `int`; times stay the texts they are in JSON.
pub(super) fn value<'a>(node: &'a Node, registry: &Arc<Registry<'a>>) -> Box<dyn Val + 'a> {
    match node {
        Node::Null => Box::new(CelNull),
        Node::Bool(b) => Box::new(CelBool::from(*b)),
        Node::Int(i) => Box::new(CelInt::from(*i)),
        Node::Double(d) => Box::new(CelDouble::from(*d)),
        Node::Str(s) => Box::new(CelString::from(&**s)),
        Node::List(items) => Box::new(View::new(Source::List(items), registry)),
        Node::Map(entries) => Box::new(View::new(Source::Map(entries), registry)),
    }
}

/// Which view `value` is, if it is one. Copying a view is cheap, however much is in it.
pub(super) fn id_of(value: &dyn Val) -> Option<ViewId> {
    value.downcast_ref::<ViewId>().copied()
}

/// The views of one set of bindings that were asked for their ids, to find them again by these.
#[derive(Default)]
pub(super) struct Registry<'a>(Mutex<Vec<Source<'a>>>);

impl<'a> Registry<'a> {
    fn enter(&self, source: Source<'a>) -> ViewId {
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sources.push(source);
        ViewId(sources.len() - 1)
    }

    /// The view with this id; null for an id of other bindings.
    pub(super) fn view(registry: &Arc<Self>, id: ViewId) -> Box<dyn Val + 'a> {
        let sources = registry.0.lock().unwrap_or_else(PoisonError::into_inner);
        match sources.get(id.0) {
            Some(source) => Box::new(View::new(*source, registry)),
            None => Box::new(CelNull),
        }
    }
}

/// A map or list of the object, looked into or not.
#[derive(Clone)]
struct View<'a>(Arc<Level<'a>>);

struct Level<'a> {
    source: Source<'a>,
    own: OnceLock<Own<'a>>,
    id: OnceLock<ViewId>,
    registry: Arc<Registry<'a>>,
}

#[derive(Clone, Copy)]
enum Source<'a> {
    List(&'a [Node]),
    Map(&'a [(Arc<str>, Node)]),
}

/// The evaluator's own types. It compares lists and maps only with these, so a view has to be one.
enum Own<'a> {
    List(CelList<'a>),
    Map(CelMap<'a>),
}

impl<'a> View<'a> {
    fn new(source: Source<'a>, registry: &Arc<Registry<'a>>) -> Self {
        let registry = registry.clone();
        Self(Arc::new(Level { source, own: OnceLock::new(), id: OnceLock::new(), registry }))
    }

    fn own(&self) -> &Own<'a> {
        let below = |node| value(node, &self.0.registry);
        self.0.own.get_or_init(|| match self.0.source {
            Source::List(items) => Own::List(CelList::from(items.iter().map(below).collect::<Vec<_>>())),
            Source::Map(entries) => {
                let entries = entries.iter().map(|(key, node)| (CelMapKey::from(&**key), below(node)));
                Own::Map(CelMap::from(entries.collect::<HashMap<_, _>>()))
            }
        })
    }

    fn own_val(&self) -> &(dyn Val + 'a) {
        match self.own() {
            Own::List(list) => list,
            Own::Map(map) => map,
        }
    }
}

/// Says what it is and not what is in it.
impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.source {
            Source::List(_) => "list",
            Source::Map(_) => "map",
        })
    }
}

impl Val for View<'_> {
    fn get_type(&self) -> &Type {
        match self.0.source {
            Source::List(_) => <CelList as Val>::cel_type(),
            Source::Map(_) => <CelMap as Val>::cel_type(),
        }
    }

    /// Asked only for overloads that take this Rust type; there are none.
    fn cel_type() -> &'static Type {
        <CelMap as Val>::cel_type()
    }

    fn as_adder<'b, 'v>(&'b self) -> Option<&'b (dyn Adder + 'v)>
    where
        Self: 'v,
    {
        match self.own() {
            Own::List(list) => list.as_adder(),
            Own::Map(map) => map.as_adder(),
        }
    }

    fn as_container(&self) -> Option<&dyn Container> {
        self.own_val().as_container()
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        match self.own() {
            Own::List(list) => list.as_indexer(),
            Own::Map(map) => map.as_indexer(),
        }
    }

    fn into_indexer<'v>(self: Box<Self>) -> Option<Box<dyn Indexer + 'v>>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_iterable<'b, 'v>(&'b self) -> Option<&'b (dyn Iterable + 'v)>
    where
        Self: 'v,
    {
        match self.own() {
            Own::List(list) => list.as_iterable(),
            Own::Map(map) => map.as_iterable(),
        }
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        Some(self)
    }

    fn as_zeroer(&self) -> Option<&dyn Zeroer> {
        Some(self)
    }

    fn equals(&self, other: &dyn Val) -> bool {
        self.own_val().equals(other)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self.0.id.get_or_init(|| self.0.registry.enter(self.0.source)))
    }

    // What makes `['a'] == object.spec.list` and every function over lists take a view for a list.
    fn as_builtin<'b, 'v>(&'b self) -> BuiltinRef<'b, 'v>
    where
        Self: 'v,
    {
        match self.own() {
            Own::List(list) => BuiltinRef::List(list),
            Own::Map(map) => BuiltinRef::Map(map),
        }
    }

    fn into_builtin<'v>(self: Box<Self>) -> Option<Builtin<'v>>
    where
        Self: 'v,
    {
        // One level is copied: what is below are views again.
        Some(match self.own() {
            Own::List(list) => Builtin::List(list.clone()),
            Own::Map(map) => Builtin::Map(map.clone()),
        })
    }
}

impl Indexer for View<'_> {
    fn get<'b, 'v>(&'b self, key: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        match self.own() {
            Own::List(list) => list.get(key),
            Own::Map(map) => map.get(key),
        }
    }

    fn steal<'v>(self: Box<Self>, key: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        // Other copies may share this level, so the element is copied out.
        self.get(key).map(CowVal::into_owned)
    }
}

impl Sizer for View<'_> {
    fn size(&self) -> CelInt {
        let len = match self.0.source {
            Source::List(items) => items.len(),
            Source::Map(entries) => entries.len(),
        };
        CelInt::from(i64::try_from(len).unwrap_or(i64::MAX))
    }
}

impl Zeroer for View<'_> {
    fn is_zero_value(&self) -> bool {
        *self.size().inner() == 0
    }
}

/// What a view answers when it is asked whether it is one: a type without lifetimes, since only those can be
/// asked for. No expression ever has it as a value.
#[derive(Debug, Clone, Copy)]
pub(super) struct ViewId(usize);

impl Val for ViewId {
    fn get_type(&self) -> &Type {
        Self::cel_type()
    }

    fn cel_type() -> &'static Type {
        <CelNull as Val>::cel_type()
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(*self)
    }
}

impl StaticVal for ViewId {}
