//! One object as bytes.
//!
//! ```text
//! record   name uid part(tree) part(managedFields)? resourceVersion
//! uid      1 and 16 bytes, or 0 and text         resourceVersion  1 and number, or 0 and text
//! part     length, value                         text             length, bytes
//! value    tag and what belongs to it; a map is a count and pairs of key and value
//! key      0 and text, or number of a symbol plus 1
//! ```
//!
//! All numbers are LEB128. Values that the record has anyway (name, namespace, UID, resource version) or that all
//! objects of the store share (`apiVersion`, `kind`) are a tag and nothing more, so two states of an object are the
//! same for rules when their trees are the same bytes.

use std::sync::Arc;

use uuid::Uuid;

use super::symbols::Symbols;
use crate::core::finding::ObjectId;
use crate::core::project::ProjectedObject;
use crate::core::tree::Node;

/// Tags of values.
mod tag {
    pub(super) const NULL: u8 = 0;
    pub(super) const FALSE: u8 = 1;
    pub(super) const TRUE: u8 = 2;
    /// A whole number, zigzag.
    pub(super) const INT: u8 = 3;
    /// Eight bytes, little endian.
    pub(super) const DOUBLE: u8 = 4;
    pub(super) const TEXT: u8 = 5;
    pub(super) const SYMBOL: u8 = 6;
    pub(super) const LIST: u8 = 7;
    pub(super) const MAP: u8 = 8;
    /// What stands elsewhere in the record or store.
    pub(super) const API_VERSION: u8 = 9;
    pub(super) const KIND: u8 = 10;
    pub(super) const NAME: u8 = 11;
    pub(super) const NAMESPACE: u8 = 12;
    pub(super) const UID: u8 = 13;
    pub(super) const RESOURCE_VERSION: u8 = 14;
}

/// Appends the record of an object.
pub(super) fn write(object: &ProjectedObject, symbols: &mut Symbols, out: &mut Vec<u8>) {
    let id = object.id();
    text(&id.name, out);
    match canonical(&id.uid) {
        Some(uid) => {
            out.push(1);
            out.extend_from_slice(uid.as_bytes());
        }
        None => {
            out.push(0);
            text(&id.uid, out);
        }
    }
    let mut writer = Writer { object, symbols, place: Place::Root };
    part(out, |out| writer.value(object.root(), out));
    out.push(object.managed_fields().is_some().into());
    if let Some(managed) = object.managed_fields() {
        writer.place = Place::Below;
        part(out, |out| writer.value(managed, out));
    }
    let version = object.resource_version();
    match version.parse::<u64>() {
        // Not one with zeros in front, which would come out without them.
        Ok(number) if number.to_string() == version => {
            out.push(1);
            varint(number, out);
        }
        _ => {
            out.push(0);
            text(version, out);
        }
    }
}

/// The UUID, when the text is the usual form of one.
fn canonical(uid: &str) -> Option<Uuid> {
    let parsed = Uuid::try_parse(uid).ok()?;
    (parsed.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == uid).then_some(parsed)
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn text(text: &str, out: &mut Vec<u8>) {
    varint(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

/// Appends what `write` appends, with its length before it.
fn part(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    write(out);
    let length = out.len() - start;
    varint(length as u64, out);
    // The length was written last and belongs first.
    let digits = out.len() - start - length;
    out[start..].rotate_right(digits);
}

/// Where a value stands: what stands elsewhere in the record is looked for at its own place only.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Root,
    Metadata,
    Below,
}

struct Writer<'w> {
    object: &'w ProjectedObject,
    symbols: &'w mut Symbols,
    place: Place,
}

impl Writer<'_> {
    fn value(&mut self, node: &Node, out: &mut Vec<u8>) {
        match node {
            Node::Null => out.push(tag::NULL),
            Node::Bool(value) => out.push(if *value { tag::TRUE } else { tag::FALSE }),
            Node::Int(number) => {
                out.push(tag::INT);
                varint(((number << 1) ^ (number >> 63)) as u64, out);
            }
            Node::Double(number) => {
                out.push(tag::DOUBLE);
                out.extend_from_slice(&number.to_bits().to_le_bytes());
            }
            Node::Str(value) => match self.symbols.value(value) {
                Some(number) => {
                    out.push(tag::SYMBOL);
                    varint(number.into(), out);
                }
                None => {
                    out.push(tag::TEXT);
                    text(value, out);
                }
            },
            Node::List(items) => {
                out.push(tag::LIST);
                varint(items.len() as u64, out);
                let place = std::mem::replace(&mut self.place, Place::Below);
                items.iter().for_each(|item| self.value(item, out));
                self.place = place;
            }
            Node::Map(entries) => {
                out.push(tag::MAP);
                varint(entries.len() as u64, out);
                let place = self.place;
                for (key, value) in entries {
                    match self.symbols.key(key) {
                        Some(number) => varint(u64::from(number) + 1, out),
                        None => {
                            out.push(0);
                            text(key, out);
                        }
                    }
                    if let Some(tag) = self.elsewhere(place, key, value) {
                        out.push(tag);
                        continue;
                    }
                    self.place = match (place, &**key) {
                        (Place::Root, "metadata") => Place::Metadata,
                        _ => Place::Below,
                    };
                    self.value(value, out);
                }
                self.place = place;
            }
        }
    }

    fn elsewhere(&self, place: Place, key: &str, value: &Node) -> Option<u8> {
        let id = self.object.id();
        let (tag, known) = match (place, key) {
            (Place::Root, "apiVersion") => (tag::API_VERSION, &*id.api_version),
            (Place::Root, "kind") => (tag::KIND, &*id.kind),
            (Place::Metadata, "name") => (tag::NAME, &*id.name),
            (Place::Metadata, "namespace") => (tag::NAMESPACE, id.namespace.as_deref()?),
            (Place::Metadata, "uid") => (tag::UID, &*id.uid),
            (Place::Metadata, "resourceVersion") => (tag::RESOURCE_VERSION, self.object.resource_version()),
            _ => return None,
        };
        value.as_str().is_some_and(|text| &**text == known).then_some(tag)
    }
}

/// A record, taken apart.
#[derive(Debug)]
pub(super) struct Record<'r> {
    pub(super) name: &'r str,
    pub(super) uid: Uid<'r>,
    /// What rules can tell states apart by.
    pub(super) tree: &'r [u8],
    pub(super) managed: Option<&'r [u8]>,
    version: Version<'r>,
}

/// A UID as it is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Uid<'r> {
    Uuid(Uuid),
    Text(&'r str),
}

impl Uid<'_> {
    pub(super) fn text(self) -> Arc<str> {
        match self {
            Uid::Uuid(uuid) => (*uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer())).into(),
            Uid::Text(text) => text.into(),
        }
    }
}

#[derive(Debug)]
enum Version<'r> {
    Number(u64),
    Text(&'r str),
}

impl<'r> Record<'r> {
    /// Takes what [`write`] wrote. Of other bytes anything may come out, but no panic.
    pub(super) fn read(bytes: &'r [u8]) -> Self {
        let mut reader = Reader { bytes };
        let name = reader.text();
        let uid = match reader.byte() {
            1 => Uid::Uuid(reader.array().map(Uuid::from_bytes).unwrap_or_default()),
            _ => Uid::Text(reader.text()),
        };
        let tree = reader.part();
        let managed = (reader.byte() == 1).then(|| reader.part());
        let version = match reader.byte() {
            1 => Version::Number(reader.varint()),
            _ => Version::Text(reader.text()),
        };
        Self { name, uid, tree, managed, version }
    }

    /// The object as it was written.
    pub(super) fn object(
        &self,
        [api_version, kind]: &[Arc<str>; 2],
        namespace: Option<Arc<str>>,
        symbols: &Symbols,
        generation: u32,
    ) -> ProjectedObject {
        let id = ObjectId {
            api_version: api_version.clone(),
            kind: kind.clone(),
            namespace,
            name: self.name.into(),
            uid: self.uid.text(),
        };
        let version: Arc<str> = match self.version {
            Version::Number(number) => number.to_string().into(),
            Version::Text(text) => text.into(),
        };
        let value = |bytes: &[u8]| Reader { bytes }.value(symbols, &id, &version);
        let (root, managed) = (value(self.tree), self.managed.map(value));
        ProjectedObject::from_parts(root, managed, id, version, generation)
    }
}

/// Reads from the front. What is not there is empty: nobody but [`write`] makes the bytes.
struct Reader<'r> {
    bytes: &'r [u8],
}

impl<'r> Reader<'r> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        *first
    }

    fn varint(&mut self) -> u64 {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.byte();
            number |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 || shift > 63 {
                return number;
            }
        }
    }

    /// Of elements or entries, each of which takes a byte at least.
    fn count(&mut self) -> u64 {
        self.varint().min(self.bytes.len() as u64)
    }

    fn take(&mut self, length: u64) -> &'r [u8] {
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(self.bytes.len());
        let (taken, rest) = self.bytes.split_at(length);
        self.bytes = rest;
        taken
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N as u64).try_into().ok()
    }

    fn text(&mut self) -> &'r str {
        let length = self.varint();
        std::str::from_utf8(self.take(length)).unwrap_or_default()
    }

    fn part(&mut self) -> &'r [u8] {
        let length = self.varint();
        self.take(length)
    }

    /// Recurses as deep as objects are kept: see [`crate::core::project::MAX_DEPTH`].
    fn value(&mut self, symbols: &Symbols, id: &ObjectId, version: &Arc<str>) -> Node {
        match self.byte() {
            tag::FALSE => Node::Bool(false),
            tag::TRUE => Node::Bool(true),
            tag::INT => {
                let number = self.varint();
                Node::Int((number >> 1) as i64 ^ -((number & 1) as i64))
            }
            tag::DOUBLE => Node::Double(f64::from_bits(u64::from_le_bytes(self.array().unwrap_or_default()))),
            tag::TEXT => Node::Str(self.text().into()),
            tag::SYMBOL => {
                let number = self.varint();
                symbols.text(number as u32).map_or(Node::Null, |text| Node::Str(text.clone()))
            }
            tag::LIST => {
                let count = self.count();
                Node::List((0..count).map(|_| self.value(symbols, id, version)).collect())
            }
            tag::MAP => {
                let count = self.count();
                let entry = |_| {
                    let key = match self.varint() {
                        0 => self.text().into(),
                        number => symbols.text((number - 1) as u32).cloned().unwrap_or_else(|| "".into()),
                    };
                    (key, self.value(symbols, id, version))
                };
                Node::Map((0..count).map(entry).collect())
            }
            tag::API_VERSION => Node::Str(id.api_version.clone()),
            tag::KIND => Node::Str(id.kind.clone()),
            tag::NAME => Node::Str(id.name.clone()),
            tag::NAMESPACE => id.namespace.clone().map_or(Node::Null, Node::Str),
            tag::UID => Node::Str(id.uid.clone()),
            tag::RESOURCE_VERSION => Node::Str(version.clone()),
            _ => Node::Null,
        }
    }
}
