//! Projection: the fields of an object that are kept, decided while its bytes are parsed.
//!
//! A [`Projection`] belongs to one watch. It decodes an object straight from any serde deserializer into a
//! [`ProjectedObject`] and skips what nobody reads without building it. It never fails on the shape of an
//! object: a watch line that is JSON becomes an object, whatever is in it.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::event::ObjectKey;
use super::finding::ObjectId;
use super::hash::fnv1a;
use super::paths::{Keep, Paths};
use super::secret;
use super::tree::{Interner, Known, Node};

/// Levels of nesting that are kept. What lies deeper is null; the parser itself never recurses further, so
/// that no object can overflow a stack.
pub const MAX_DEPTH: usize = 96;

static NO_PATHS: Paths = Paths::NONE;

/// What is kept of the objects of a watch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    /// The fields that expressions see.
    pub paths: Paths,
    /// Whether managedFields are kept, beside what expressions see.
    pub managed_fields: bool,
}

impl From<Paths> for Shape {
    fn from(paths: Paths) -> Self {
        Self { paths, managed_fields: false }
    }
}

impl Shape {
    /// Nothing but which object it is.
    pub const NONE: Self = Self { paths: Paths::NONE, managed_fields: false };

    /// Keeps what `other` keeps, too.
    pub fn add(&mut self, other: &Shape) {
        self.paths.add(&other.paths);
        self.managed_fields |= other.managed_fields;
    }

    /// Whether it keeps all that `other` keeps.
    pub fn includes(&self, other: &Shape) -> bool {
        self.paths.includes(&other.paths) && (self.managed_fields || !other.managed_fields)
    }

    /// The same in every process for what keeps the same.
    pub fn identity(&self) -> u64 {
        let lines = self.paths.lines();
        let managed = self.managed_fields.then_some("managedFields");
        fnv1a(lines.iter().map(String::as_str).chain(managed))
    }

    /// Whether `metadata` is all that is read of the objects, so that nothing else has to be sent.
    pub fn is_metadata_only(&self) -> bool {
        self.paths.is_within("metadata", &["apiVersion", "kind"])
    }
}

/// How the objects of one watch are decoded.
///
/// What is kept may change while the watch runs. Less may be kept from one object to the next; more only from one
/// list to the next, since what is known has to be read again for it. Each change is a generation, and each object
/// tells by which it was decoded.
#[derive(Debug)]
pub struct Projection {
    shapes: Mutex<Shapes>,
    api_version: Arc<str>,
    kind: Arc<str>,
    interner: Interner,
    secrets: Option<RandomState>,
}

#[derive(Debug)]
struct Shapes {
    now: (u32, Arc<Shape>),
    /// From the next list on.
    next: Option<(u32, Arc<Shape>)>,
}

impl Projection {
    /// For objects of this kind, in generation 0. Items of a list carry no `apiVersion` and `kind` of their own, so
    /// both are given here.
    pub fn new(shape: impl Into<Shape>, api_version: &str, kind: &str) -> Self {
        Self {
            shapes: Mutex::new(Shapes { now: (0, Arc::new(shape.into())), next: None }),
            api_version: api_version.into(),
            kind: kind.into(),
            interner: Interner::default(),
            secrets: None,
        }
    }

    /// For whole objects, with their managedFields beside them.
    pub fn whole(api_version: &str, kind: &str) -> Self {
        Self::new(Shape { paths: Paths::whole(), managed_fields: true }, api_version, kind)
    }

    /// Lets states of one Secret be told apart, by a key that must be random and stay within the process; without
    /// it, another value of a Secret is no change.
    pub fn telling_secrets_apart(mut self, key: RandomState) -> Self {
        self.secrets = Some(key);
        self
    }

    /// Keeps less from the next object on, or from the next list on when that was to keep more.
    pub fn narrow(&self, generation: u32, shape: Arc<Shape>) {
        let mut shapes = self.shapes();
        match &mut shapes.next {
            Some(next) => *next = (generation, shape),
            None => shapes.now = (generation, shape),
        }
    }

    /// Keeps more from the next list on.
    pub fn widen(&self, generation: u32, shape: Arc<Shape>) {
        self.shapes().next = Some((generation, shape));
    }

    /// A list is about to be asked for: what is decoded from now on is of it. Returns what is kept.
    pub fn begin_list(&self) -> Arc<Shape> {
        let mut shapes = self.shapes();
        if let Some(next) = shapes.next.take() {
            shapes.now = next;
        }
        shapes.now.1.clone()
    }

    fn shapes(&self) -> MutexGuard<'_, Shapes> {
        // Whole values are put in and taken out: a panic cannot leave half of one.
        self.shapes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decodes one object.
    ///
    /// # Errors
    /// Only when the bytes are not what the deserializer expects, or the value is not a map.
    pub fn decode<'de, D: Deserializer<'de>>(&self, deserializer: D) -> Result<ProjectedObject, D::Error> {
        let (generation, shape) = self.shapes().now.clone();
        let known = self.interner.lock();
        let about = RefCell::new(About {
            managed_fields: shape.managed_fields.then(Node::default),
            ..About::default()
        });
        let seed = Seed {
            keep: Part::Some(&shape.paths),
            known: &known,
            about: &about,
            depth: 0,
            place: Place::Root,
        };
        let mut root = seed.deserialize(deserializer)?;
        let Node::Map(entries) = &mut root else {
            return Err(D::Error::custom("a Kubernetes object must be a JSON object"));
        };
        let mut fields = std::mem::take(entries).into_vec();
        // Of what was asked for as metadata alone, both are those of the answer and not of the object.
        for (key, value) in [("apiVersion", &self.api_version), ("kind", &self.kind)] {
            let value = Node::Str(value.clone());
            match (fields.iter_mut().find(|(k, _)| &**k == key), shape.paths.entry(key)) {
                (_, Keep::Nothing) => {}
                (Some((_, known)), _) => *known = value,
                (None, _) => fields.push((known.intern(key), value)),
            }
        }
        if *shape.paths.entry("metadata") == Keep::Nothing {
            fields.retain(|(key, _)| &**key != "metadata");
        }
        let About { name, namespace, uid, resource_version, managed_fields } = about.into_inner();
        if secret::is_secret(&self.api_version, &self.kind) {
            // A manifest that was never applied has no UID.
            secret::redact(&mut fields, uid.as_deref().or(name.as_deref()), self.secrets.as_ref());
        }
        *entries = fields.into();
        let name = name.unwrap_or_default();
        let namespace = namespace.filter(|namespace| !namespace.is_empty());
        let uid = uid.unwrap_or_else(|| match &namespace {
            Some(namespace) => format!("{namespace}/{name}").into(),
            None => name.clone(),
        });
        let (api_version, kind) = (self.api_version.clone(), self.kind.clone());
        let id = ObjectId { api_version, kind, namespace, name, uid };
        let version = resource_version.unwrap_or_default();
        Ok(ProjectedObject::from_parts(root, managed_fields, id, version, generation))
    }
}

/// The kept fields of one object.
#[derive(Debug, Clone, PartialEq)]
pub struct ProjectedObject {
    root: Node,
    managed_fields: Option<Node>,
    id: ObjectId,
    resource_version: Arc<str>,
    generation: u32,
}

impl ProjectedObject {
    /// One that was taken apart.
    pub(super) fn from_parts(
        root: Node,
        managed_fields: Option<Node>,
        id: ObjectId,
        resource_version: Arc<str>,
        generation: u32,
    ) -> Self {
        Self { root, managed_fields, id, resource_version, generation }
    }

    /// One that an earlier process knew. It has all that was needed then.
    pub fn remembered(
        root: Node,
        managed_fields: Option<Node>,
        id: ObjectId,
        resource_version: Arc<str>,
    ) -> Self {
        Self::from_parts(root, managed_fields, id, resource_version, u32::MAX)
    }

    /// The kept fields.
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// `metadata.managedFields`; none when they are not kept.
    pub fn managed_fields(&self) -> Option<&Node> {
        self.managed_fields.as_ref()
    }

    /// Whether its managedFields are kept, so that it is known who owns which field.
    pub fn knows_managers(&self) -> bool {
        self.managed_fields.is_some()
    }

    /// The generation of the projection that it was decoded by.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// What is declared about this object, with values hidden where this object's are.
    pub fn hides<'a>(&self, declared: &'a Node) -> Cow<'a, Node> {
        match declared {
            Node::Map(fields) if secret::is_secret(&self.id.api_version, &self.id.kind) => {
                let mut fields = fields.to_vec();
                secret::hide(&mut fields);
                Cow::Owned(Node::Map(fields.into()))
            }
            _ => Cow::Borrowed(declared),
        }
    }

    /// Which object it is.
    pub fn id(&self) -> &ObjectId {
        &self.id
    }

    /// Its name within the watch.
    pub fn key(&self) -> ObjectKey {
        ObjectKey { namespace: self.id.namespace.clone(), name: self.id.name.clone() }
    }

    /// `metadata.resourceVersion`, empty when the object has none.
    pub fn resource_version(&self) -> &str {
        &self.resource_version
    }

    /// Equal for two states of an object that no rule can tell apart: a hash of all kept fields but
    /// `metadata.resourceVersion`. Comparable within one process only.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        fingerprint(&self.root, Position::Root, &mut hasher);
        hasher.finish()
    }

    /// `metadata.labels`.
    pub fn labels(&self) -> Option<&Node> {
        self.root.at(&["metadata", "labels"])
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Position {
    Root,
    Metadata,
    Below,
}

fn fingerprint(node: &Node, position: Position, hasher: &mut DefaultHasher) {
    match node {
        Node::Null => hasher.write_u8(0),
        Node::Bool(b) => hasher.write_u8(if *b { 2 } else { 1 }),
        Node::Int(i) => {
            hasher.write_u8(3);
            hasher.write_i64(*i);
        }
        Node::Double(d) => {
            hasher.write_u8(4);
            hasher.write_u64(d.to_bits());
        }
        Node::Str(s) => {
            hasher.write_u8(5);
            s.hash(hasher);
        }
        Node::List(items) => {
            hasher.write_u8(6);
            hasher.write_usize(items.len());
            items.iter().for_each(|item| fingerprint(item, Position::Below, hasher));
        }
        Node::Map(entries) => {
            hasher.write_u8(7);
            for (key, value) in entries {
                let below = match (position, &**key) {
                    (Position::Root, "metadata") => Position::Metadata,
                    (Position::Metadata, "resourceVersion") => continue,
                    _ => Position::Below,
                };
                key.hash(hasher);
                fingerprint(value, below, hasher);
            }
            hasher.write_u8(8);
        }
    }
}

/// [`Keep`], borrowed.
#[derive(Clone, Copy)]
enum Part<'a> {
    Nothing,
    Some(&'a Paths),
    All,
}

impl<'a> From<&'a Keep> for Part<'a> {
    fn from(keep: &'a Keep) -> Self {
        match keep {
            Keep::Nothing => Self::Nothing,
            Keep::Some(paths) => Self::Some(paths),
            Keep::All => Self::All,
        }
    }
}

/// What is read on the way, kept or not: which object it is, and who manages it.
#[derive(Debug, Default)]
struct About {
    name: Option<Arc<str>>,
    namespace: Option<Arc<str>>,
    uid: Option<Arc<str>>,
    resource_version: Option<Arc<str>>,
    /// Some when they are wanted.
    managed_fields: Option<Node>,
}

impl About {
    /// Where the metadata field of this name goes, when it is one of these.
    fn place(&mut self, field: &str) -> Option<&mut Option<Arc<str>>> {
        match field {
            "name" => Some(&mut self.name),
            "namespace" => Some(&mut self.namespace),
            "uid" => Some(&mut self.uid),
            "resourceVersion" => Some(&mut self.resource_version),
            _ => None,
        }
    }
}

struct Seed<'a> {
    keep: Part<'a>,
    known: &'a Known<'a>,
    about: &'a RefCell<About>,
    depth: usize,
    place: Place,
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Root,
    Metadata,
    /// A text that no other object has.
    Unique,
    Below,
}

impl<'a> Seed<'a> {
    fn below(&self, keep: Part<'a>, place: Place) -> Seed<'a> {
        Seed { keep, place, depth: self.depth + 1, ..*self }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        // Skipping is iterative in serde_json, building is recursive: beyond the limit only the first is safe.
        if self.depth >= MAX_DEPTH || matches!(self.keep, Part::Nothing) {
            return deserializer.deserialize_ignored_any(IgnoredAny).map(|_| Node::Null);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        // Beyond i64 the API server's own decoding falls back to a double, too.
        Ok(i64::try_from(value).map_or(Node::Double(value as f64), Node::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Double(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Str(match self.place {
            Place::Unique => value.into(),
            _ => self.known.intern(value),
        }))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let keep = match self.keep {
            Part::Some(paths) => paths.items().into(),
            other => other,
        };
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.below(keep, Place::Below))? {
            list.push(item);
        }
        Ok(Node::List(list.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map: Vec<(Arc<str>, Node)> = Vec::new();
        while let Some(entry) = entries.next_key_seed(Key(&self))? {
            match entry {
                Entry::Skip => {
                    entries.next_value::<IgnoredAny>()?;
                }
                Entry::Keep(key, keep, place) => {
                    map.push((key, entries.next_value_seed(self.below(keep, place))?));
                }
                Entry::Identity(key, keep) => {
                    let place = if &*key == "namespace" { Place::Below } else { Place::Unique };
                    let value = entries.next_value_seed(self.below(Part::All, place))?;
                    if let (Node::Str(text), Some(place)) = (&value, self.about.borrow_mut().place(&key)) {
                        *place = Some(text.clone());
                    }
                    if keep {
                        map.push((key, value));
                    }
                }
                Entry::ManagedFields => {
                    let value = entries.next_value_seed(self.below(Part::All, Place::Below))?;
                    self.about.borrow_mut().managed_fields = Some(value);
                }
            }
        }
        Ok(Node::Map(map.into()))
    }
}

/// A value by itself, such as one that a policy declares.
impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let interner = Interner::default();
        let (known, about) = (interner.lock(), RefCell::default());
        Seed { keep: Part::All, known: &known, about: &about, depth: 0, place: Place::Below }
            .deserialize(deserializer)
    }
}

/// What is to be done with the entry of a map.
enum Entry<'a> {
    Skip,
    Keep(Arc<str>, Part<'a>, Place),
    /// It is read in any case, and kept when the flag says so.
    Identity(Arc<str>, bool),
    ManagedFields,
}

/// Decides by the key, which is not copied unless its entry is kept.
struct Key<'s, 'a>(&'s Seed<'a>);

impl<'de, 'a> DeserializeSeed<'de> for Key<'_, 'a> {
    type Value = Entry<'a>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Entry<'a>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for Key<'_, 'a> {
    type Value = Entry<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Entry<'a>, E> {
        let seed = self.0;
        let keep = match seed.keep {
            Part::Some(paths) => paths.entry(key).into(),
            other => other,
        };
        let kept = !matches!(keep, Part::Nothing);
        match seed.place {
            // Which object it is is read in any case.
            Place::Root if key == "metadata" => {
                let keep = if kept { keep } else { Part::Some(&NO_PATHS) };
                return Ok(Entry::Keep(seed.known.intern(key), keep, Place::Metadata));
            }
            Place::Metadata if key == "managedFields" && seed.about.borrow().managed_fields.is_some() => {
                return Ok(Entry::ManagedFields);
            }
            Place::Metadata if seed.about.borrow_mut().place(key).is_some() => {
                return Ok(Entry::Identity(seed.known.intern(key), kept));
            }
            _ => {}
        }
        Ok(match kept {
            true => Entry::Keep(seed.known.intern(key), keep, Place::Below),
            false => Entry::Skip,
        })
    }
}

/// Builders for tests of this crate.
#[cfg(test)]
pub mod testing {
    use super::*;

    /// The tree of a JSON text.
    pub fn node(json: &str) -> Node {
        serde_json::from_str(json).expect("test JSON")
    }

    /// A whole object with its managedFields.
    pub fn managed_object(value: &serde_json::Value) -> Arc<ProjectedObject> {
        let text = |key: &str| value[key].as_str().expect("apiVersion and kind");
        let projection = Projection::whole(text("apiVersion"), text("kind"));
        Arc::new(projection.decode(value).expect("test object"))
    }

    /// A whole object from JSON that names its apiVersion and kind.
    pub fn object(json: &str) -> Arc<ProjectedObject> {
        let tree = node(json);
        let text = |key| tree.str_at(&[key]).expect("apiVersion and kind").to_string();
        let projection = Projection::new(Paths::whole(), &text("apiVersion"), &text("kind"));
        Arc::new(projection.decode(&mut serde_json::Deserializer::from_str(json)).expect("test object"))
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{node, object};
    use super::*;
    use proptest::prelude::*;

    fn decode(paths: Paths, json: &str) -> ProjectedObject {
        Projection::new(paths, "v1", "Pod")
            .decode(&mut serde_json::Deserializer::from_str(json))
            .expect("decodes")
    }

    #[test]
    fn whole_objects_lose_only_their_managed_fields() {
        let pod = decode(
            Paths::whole(),
            r#"{"metadata":{"name":"a","namespace":"n","uid":"u","managedFields":[{"manager":"x"}]},"spec":{"n":1}}"#,
        );
        assert_eq!(pod.root().at(&["metadata", "managedFields"]), None);
        assert_eq!(pod.root().at(&["spec", "n"]), Some(&Node::Int(1)));
        assert_eq!(pod.id().to_string(), "Pod n/a");
        // Items of a list carry neither, yet rules may read both.
        assert_eq!(pod.root().str_at(&["kind"]).map(|s| &**s), Some("Pod"));
        assert_eq!(pod.root().str_at(&["apiVersion"]).map(|s| &**s), Some("v1"));
    }

    #[test]
    fn only_the_named_paths_are_kept_through_lists() {
        let paths = Paths::only([
            &["metadata", "name"][..],
            &["spec", "containers", "[]", "image"],
            &["spec", "nodeName"],
        ]);
        let pod = decode(
            paths,
            r#"{"metadata":{"name":"a","labels":{"x":"y"}},"spec":{"nodeName":"n1","containers":[{"image":"i","env":[1]},{"image":"j"}]},"status":{"phase":"x"}}"#,
        );
        assert_eq!(pod.root().at(&["metadata", "labels"]), None);
        assert_eq!(pod.root().get("status"), None);
        assert_eq!(pod.root().at(&["spec", "containers"]), Some(&node(r#"[{"image":"i"},{"image":"j"}]"#)));
    }

    #[test]
    fn numbers_follow_the_api_server() {
        let tree = node("[1, -1, 9223372036854775807, 18446744073709551615, 1.5, 1e3]");
        assert_eq!(
            tree.items(),
            [
                Node::Int(1),
                Node::Int(-1),
                Node::Int(i64::MAX),
                Node::Double(18_446_744_073_709_551_615.0),
                Node::Double(1.5),
                Node::Double(1000.0),
            ]
        );
    }

    #[test]
    fn nesting_beyond_the_limit_is_cut_and_does_not_fail() {
        let deep = format!(
            r#"{{"metadata":{{"name":"deep"}},"spec":{}1{}}}"#,
            r#"{"a":"#.repeat(5_000),
            "}".repeat(5_000)
        );
        let pod = decode(Paths::whole(), &deep);
        let mut levels = 0;
        let mut at = pod.root().get("spec");
        while let Some(next) = at.and_then(|n| n.get("a")) {
            at = Some(next);
            levels += 1;
        }
        assert_eq!(levels, MAX_DEPTH - 1);
        assert_eq!(at, Some(&Node::Null));
    }

    #[test]
    fn the_fingerprint_ignores_only_the_resource_version() {
        let pod = |rv: &str, phase: &str, spec_rv: &str| {
            object(&format!(
                r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"a","resourceVersion":"{rv}"}},"spec":{{"resourceVersion":"{spec_rv}"}},"status":{{"phase":"{phase}"}}}}"#
            ))
            .fingerprint()
        };
        assert_eq!(pod("1", "Running", "x"), pod("2", "Running", "x"));
        assert_ne!(pod("1", "Running", "x"), pod("1", "Pending", "x"));
        assert_ne!(pod("1", "Running", "x"), pod("1", "Running", "y"));
    }

    #[test]
    fn secrets_keep_their_keys_and_lose_their_values() {
        let secret = object(
            r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s","annotations":{"kubectl.kubernetes.io/last-applied-configuration":"hunter2","a":"b"}},"data":{"password":"aHVudGVyMg=="},"stringData":{"p":"hunter2"},"type":"Opaque"}"#,
        );
        let text = format!("{:?}", secret.root());
        assert!(!text.contains("hunter2") && !text.contains("aHVudGVyMg"), "{text}");
        let redacted = Some(crate::core::secret::REDACTED);
        assert_eq!(secret.root().str_at(&["data", "password"]).map(|s| &**s), redacted);
        assert_eq!(secret.root().str_at(&["metadata", "annotations", "a"]).map(|s| &**s), Some("b"));
        assert_eq!(secret.root().str_at(&["type"]).map(|s| &**s), Some("Opaque"));
    }

    #[test]
    fn an_object_without_uid_is_known_by_its_name() {
        let pod = decode(Paths::whole(), r#"{"metadata":{"name":"a","namespace":"n"}}"#);
        assert_eq!(&*pod.id().uid, "n/a");
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            "[a-z]{0,3}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::btree_map("[a-c]", inner, 0..4)
                    .prop_map(|m| serde_json::Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// What a projection keeps is what the whole object has at that path.
        #[test]
        fn kept_paths_equal_the_whole_object(value in json(), first in "[a-c]", second in "[a-c]") {
            let text = serde_json::json!({"metadata": {"name": "x"}, "spec": value}).to_string();
            let whole = decode(Paths::whole(), &text);
            let path = ["spec", first.as_str(), second.as_str()];
            let part = decode(Paths::only([&path[..]]), &text);
            prop_assert_eq!(whole.root().at(&path), part.root().at(&path));
        }
    }
}
