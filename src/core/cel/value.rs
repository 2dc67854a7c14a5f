//! The values that expressions work on: borrowed from the object's tree wherever they come from there.

use std::any::Any;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::types::Type;
use crate::core::tree::Node;

/// The first point in time that CEL has, 0001-01-01T00:00:00Z, in nanoseconds since 1970.
pub const EARLIEST: i128 = -62_135_596_800 * 1_000_000_000;
/// The last one, 9999-12-31T23:59:59.999999999Z.
pub const LATEST: i128 = 253_402_300_800 * 1_000_000_000 - 1;

/// A value. Cheap to clone: nothing in it is copied.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    /// null.
    Null,
    /// true or false.
    Bool(bool),
    /// A signed number.
    Int(i64),
    /// An unsigned number.
    Uint(u64),
    /// A floating point number.
    Double(f64),
    /// Text.
    Str(Str<'a>),
    /// Bytes.
    Bytes(Arc<[u8]>),
    /// A list.
    List(List<'a>),
    /// A map.
    Map(Map<'a>),
    /// A point in time: nanoseconds since 1970, within [`EARLIEST`] and [`LATEST`].
    Timestamp(i128),
    /// A length of time, in nanoseconds.
    Duration(i64),
    /// A type, by its name.
    Type(&'static str),
    /// A value that may be absent.
    Optional(Option<Arc<Value<'a>>>),
    /// A value of a library.
    Opaque(Arc<dyn Opaque>),
}

/// A value that only the functions of its library look into.
pub trait Opaque: Any + fmt::Debug + Send + Sync {
    /// The name of its type, as expressions know it.
    fn type_name(&self) -> &'static str;
    /// Whether it equals `other`, which is of the same type.
    fn equals(&self, other: &dyn Opaque) -> bool;
    /// How much there is to read when it is compared, as [`Value::size`].
    fn size(&self) -> u64 {
        1
    }
}

/// Text of the tree, or text that an expression made.
#[derive(Debug, Clone)]
pub enum Str<'a> {
    /// Of the tree.
    Tree(&'a str),
    /// Made, or written in the expression.
    Made(Arc<str>),
}

impl Deref for Str<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Tree(text) => text,
            Self::Made(text) => text,
        }
    }
}

/// A list of the tree, or one that an expression made.
#[derive(Debug, Clone)]
pub enum List<'a> {
    /// Of the tree.
    Tree(&'a [Node]),
    /// Made.
    Made(Arc<[Value<'a>]>),
}

impl<'a> List<'a> {
    /// How many elements.
    pub fn len(&self) -> usize {
        match self {
            Self::Tree(nodes) => nodes.len(),
            Self::Made(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at `index`.
    pub fn get(&self, index: usize) -> Option<Value<'a>> {
        match self {
            Self::Tree(nodes) => nodes.get(index).map(Value::from),
            Self::Made(values) => values.get(index).cloned(),
        }
    }

    /// The elements.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Value<'a>> + '_ {
        (0..self.len()).map(|index| match self {
            Self::Tree(nodes) => Value::from(&nodes[index]),
            Self::Made(values) => values[index].clone(),
        })
    }
}

/// A map of the tree, or one that an expression made.
#[derive(Debug, Clone)]
pub enum Map<'a> {
    /// Of the tree; keys are unique.
    Tree(&'a [(Arc<str>, Node)]),
    /// Made; sorted by key.
    Made(Arc<[(Key<'a>, Value<'a>)]>),
}

impl<'a> Map<'a> {
    /// How many entries.
    pub fn len(&self) -> usize {
        match self {
            Self::Tree(entries) => entries.len(),
            Self::Made(entries) => entries.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entry at `n`, in the order of the map.
    pub fn at(&self, n: usize) -> Option<(Value<'a>, Value<'a>)> {
        match self {
            Self::Tree(entries) => {
                entries.get(n).map(|(key, node)| (Value::Str(Str::Tree(key)), node.into()))
            }
            Self::Made(entries) => entries.get(n).map(|(key, value)| (key.clone().into(), value.clone())),
        }
    }

    /// The value under a text.
    pub fn field(&self, name: &str) -> Option<Value<'a>> {
        match self {
            Self::Tree(entries) => {
                entries.iter().find(|(key, _)| &**key == name).map(|(_, node)| node.into())
            }
            Self::Made(entries) => find(entries, (3, 0, name)),
        }
    }

    /// The value under any key. Numbers that are equal are one key, whatever their types.
    pub fn get(&self, key: &Value<'a>) -> Option<Value<'a>> {
        match (self, key) {
            (Self::Tree(_), Value::Str(name)) => self.field(name),
            (Self::Tree(_), _) => None,
            (Self::Made(entries), _) => find(entries, Key::new(key)?.rank()),
        }
    }

    /// The entries.
    pub fn iter(&self) -> impl Iterator<Item = (Value<'a>, Value<'a>)> + '_ {
        (0..self.len()).filter_map(|n| self.at(n))
    }
}

fn find<'a>(entries: &[(Key<'a>, Value<'a>)], rank: Rank<'_>) -> Option<Value<'a>> {
    let at = entries.binary_search_by(|(key, _)| key.rank().cmp(&rank)).ok()?;
    entries.get(at).map(|(_, value)| value.clone())
}

/// What keys are sorted by: kind of type, number, text.
type Rank<'k> = (u8, i128, &'k str);

/// What a map has its values under. In the order of CEL's types, so that maps have one order.
#[derive(Debug, Clone)]
pub enum Key<'a> {
    /// null.
    Null,
    /// false or true.
    Bool(bool),
    /// A signed number.
    Int(i64),
    /// An unsigned number.
    Uint(u64),
    /// A number that is not whole, by its bits.
    Double(u64),
    /// Text.
    Str(Str<'a>),
}

impl<'a> Key<'a> {
    /// A key to put something under, or to look it up. A double that is a whole number is that number.
    pub fn new(value: &Value<'a>) -> Option<Self> {
        match value {
            Value::Null => Some(Self::Null),
            Value::Bool(b) => Some(Self::Bool(*b)),
            Value::Int(i) => Some(Self::Int(*i)),
            Value::Uint(u) => Some(Self::Uint(*u)),
            Value::Double(d) if d.fract() == 0.0 && (-9.2e18..9.2e18).contains(d) => {
                Some(Self::Int(*d as i64))
            }
            Value::Double(d) if d.fract() == 0.0 && (0.0..1.8e19).contains(d) => Some(Self::Uint(*d as u64)),
            Value::Double(d) => Some(Self::Double(d.to_bits())),
            Value::Str(s) => Some(Self::Str(s.clone())),
            _ => None,
        }
    }

    fn rank(&self) -> Rank<'_> {
        match self {
            Self::Null => (0, 2, ""),
            Self::Bool(b) => (0, (*b).into(), ""),
            Self::Int(i) => (1, (*i).into(), ""),
            Self::Uint(u) => (1, (*u).into(), ""),
            Self::Double(bits) => (2, (*bits).into(), ""),
            Self::Str(s) => (3, 0, s),
        }
    }
}

impl<'a> From<Key<'a>> for Value<'a> {
    fn from(key: Key<'a>) -> Self {
        match key {
            Key::Null => Self::Null,
            Key::Bool(b) => Self::Bool(b),
            Key::Int(i) => Self::Int(i),
            Key::Uint(u) => Self::Uint(u),
            Key::Double(bits) => Self::Double(f64::from_bits(bits)),
            Key::Str(s) => Self::Str(s),
        }
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Key<'_> {}

impl PartialOrd for Key<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl<'a> Value<'a> {
    /// Text that an expression made.
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self::Str(Str::Made(text.into()))
    }

    /// A list that an expression made.
    pub fn list(values: Vec<Value<'a>>) -> Self {
        Self::List(List::Made(values.into()))
    }

    /// A map that an expression made.
    pub fn map(entries: BTreeMap<Key<'a>, Value<'a>>) -> Self {
        Self::Map(Map::Made(entries.into_iter().collect()))
    }

    /// An optional that has a value.
    pub fn some(value: Value<'a>) -> Self {
        Self::Optional(Some(Arc::new(value)))
    }

    /// A value of a library.
    pub fn opaque(value: impl Opaque) -> Self {
        Self::Opaque(Arc::new(value))
    }

    /// What a library keeps in a value of its own.
    pub fn downcast<T: Opaque>(&self) -> Option<&T> {
        match self {
            Self::Opaque(value) => (&**value as &dyn Any).downcast_ref(),
            _ => None,
        }
    }

    /// The name of its type, as `type(x)` has it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::Str(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Timestamp(_) => "google.protobuf.Timestamp",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::Type(_) => "type",
            Self::Optional(_) => "optional_type",
            Self::Opaque(value) => value.type_name(),
        }
    }

    /// The name of its type in messages, with the article.
    pub fn describe(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a bool",
            Self::Int(_) => "an int",
            Self::Uint(_) => "a uint",
            Self::Double(_) => "a double",
            Self::Str(_) => "a string",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
            Self::Timestamp(_) => "a timestamp",
            Self::Duration(_) => "a duration",
            Self::Type(_) => "a type",
            Self::Optional(_) => "an optional",
            Self::Opaque(value) => value.type_name(),
        }
    }

    /// Whether a function that takes `wanted` takes this. As in cel-go, elements of lists and maps are not looked
    /// at.
    pub fn fits(&self, wanted: &Type) -> bool {
        match (wanted, self) {
            (Type::Dyn | Type::Error | Type::Param(_), _) => true,
            (Type::Null, Self::Null)
            | (Type::Bool, Self::Bool(_))
            | (Type::Int, Self::Int(_))
            | (Type::Uint, Self::Uint(_))
            | (Type::Double, Self::Double(_))
            | (Type::String, Self::Str(_))
            | (Type::Bytes, Self::Bytes(_))
            | (Type::Timestamp, Self::Timestamp(_))
            | (Type::Duration, Self::Duration(_))
            | (Type::List(_), Self::List(_))
            | (Type::Map(..) | Type::Object(_), Self::Map(_))
            | (Type::Optional(_), Self::Optional(_))
            | (Type::Type(_), Self::Type(_)) => true,
            (Type::Opaque(name), Self::Opaque(value)) => *name == value.type_name(),
            _ => false,
        }
    }

    /// What costs are counted by: characters (here: bytes), elements, entries; 1 for anything else.
    pub fn size(&self) -> u64 {
        match self {
            Self::Str(s) => s.len() as u64,
            Self::Bytes(b) => b.len() as u64,
            Self::List(l) => l.len() as u64,
            Self::Map(m) => m.len() as u64,
            Self::Optional(Some(inner)) => inner.size(),
            Self::Opaque(value) => value.size(),
            _ => 1,
        }
    }
}

impl<'a> From<&'a Node> for Value<'a> {
    fn from(node: &'a Node) -> Self {
        match node {
            Node::Null => Self::Null,
            Node::Bool(b) => Self::Bool(*b),
            Node::Int(i) => Self::Int(*i),
            Node::Double(d) => Self::Double(*d),
            Node::Str(s) => Self::Str(Str::Tree(s)),
            Node::List(items) => Self::List(List::Tree(items)),
            Node::Map(entries) => Self::Map(Map::Tree(entries)),
        }
    }
}

impl From<bool> for Value<'_> {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}

impl From<i64> for Value<'_> {
    fn from(i: i64) -> Self {
        Self::Int(i)
    }
}
