//! From the events of the parser to documents.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use granit_parser::{Event, Marker, Options, Parser, ScalarStyle, Tag};
use thiserror::Error;

use super::json::{join_surrogates, values};
use super::scalar::{self, Form};
use super::tree::{Entry, Place, Tree, Value};
use super::{MAX_BYTES, MAX_DEPTH, MAX_DOCUMENTS, MAX_NODES};

/// One document of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Its number in the text, from 1; empty documents count.
    pub number: usize,
    /// What it says.
    pub tree: Tree,
}

/// Why a text cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{at}: {text}")]
pub struct ReadError {
    /// Where.
    pub at: Place,
    /// Which document, from 1.
    pub document: usize,
    /// What is wrong.
    pub text: String,
}

/// Reads every document of a text. Documents that say nothing are left out.
///
/// # Errors
/// The first thing that is wrong: the grammar, a key that is given twice, or a bound.
pub fn read(text: &str) -> Result<Vec<Document>, ReadError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader::new();
    if text.len() > MAX_BYTES {
        return Err(reader.error(Place::START, format!("the text has more than {MAX_BYTES} bytes")));
    }
    match values(text) {
        Some(values) => {
            reader.form = Form::Json;
            for (value, start) in values {
                reader.start = start;
                reader.parse(&join_surrogates(value))?;
            }
        }
        None => reader.parse(text)?,
    }
    Ok(reader.documents)
}

/// A list or map that is not complete yet.
struct Open {
    at: Place,
    anchor: usize,
    inside: Inside,
}

enum Inside {
    List(Vec<Tree>),
    Map { entries: Vec<Entry>, keys: HashSet<String>, merged: Vec<Tree>, key: Option<Key> },
}

enum Key {
    Named {
        at: Place,
        key: String,
        written: Option<String>,
    },
    /// `<<`
    Merge(Place),
}

/// What an alias stands for.
struct Anchored {
    tree: Tree,
    size: Size,
}

/// How much a tree is.
#[derive(Debug, Clone, Copy)]
struct Size {
    nodes: usize,
    /// Levels; 0 for what has nothing within it.
    depth: usize,
}

struct Reader {
    form: Form,
    /// Where the text that is parsed begins.
    start: Place,
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Anchored>>,
    documents: Vec<Document>,
    number: usize,
    nodes: usize,
}

impl Reader {
    fn new() -> Self {
        let (open, anchors, documents) = (Vec::new(), HashMap::new(), Vec::new());
        Self { form: Form::Yaml, start: Place::START, open, anchors, documents, number: 0, nodes: 0 }
    }

    fn parse(&mut self, text: &str) -> Result<(), ReadError> {
        let mut options = Options::default();
        options.set_emit_comments(false);
        options.simple_key_max_lookahead = 4096;
        options.flow_nesting_limit = MAX_DEPTH + 1;
        options.block_nesting_limit = MAX_DEPTH + 1;
        for event in Parser::new_from_str_with_options(text, options) {
            let (event, span) =
                event.map_err(|error| self.error(self.place(error.marker()), error.info()))?;
            self.take(event, self.place(&span.start))?;
        }
        Ok(())
    }

    fn place(&self, marker: &Marker) -> Place {
        let (line, column) = (marker.line().max(1), marker.col() + 1);
        match line {
            1 => Place { line: self.start.line, column: self.start.column + column - 1 },
            _ => Place { line: self.start.line + line - 1, column },
        }
    }

    fn error(&self, at: Place, text: impl Into<String>) -> ReadError {
        ReadError { at, document: self.number.max(1), text: text.into() }
    }

    fn take(&mut self, event: Event<'_>, at: Place) -> Result<(), ReadError> {
        match event {
            Event::DocumentStart(..) => {
                self.number += 1;
                self.anchors.clear();
                if self.number > MAX_DOCUMENTS {
                    return Err(self.error(at, format!("there are more than {MAX_DOCUMENTS} documents")));
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => self.scalar(&text, style, anchor, tag.as_deref(), at),
            Event::SequenceStart(_, anchor, tag) => {
                self.tag_of_collection(tag.as_deref(), "seq", at)?;
                self.begin(at, anchor, Inside::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                self.tag_of_collection(tag.as_deref(), "map", at)?;
                let (entries, keys, merged) = (Vec::new(), HashSet::new(), Vec::new());
                self.begin(at, anchor, Inside::Map { entries, keys, merged, key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => {
                let Some(anchored) = self.anchors.get(&anchor).cloned() else {
                    return Err(self.error(at, "an alias stands within what it stands for"));
                };
                // Before anything is copied.
                self.count(anchored.size.nodes, at)?;
                self.check_depth(self.open.len() + anchored.size.depth, at)?;
                if self.wants_key() {
                    return Err(self.error(at, "a key must be written out; it is an alias"));
                }
                self.complete(anchored.tree.clone(), 0)
            }
            _ => Ok(()),
        }
    }

    fn tag_of_collection(&self, tag: Option<&Tag>, own: &str, at: Place) -> Result<(), ReadError> {
        match tag {
            Some(tag) if !tag.is_yaml_core_schema_tag(own) => {
                Err(self.error(at, format!("the tag {} is not one of Kubernetes manifests", tag.original())))
            }
            _ => Ok(()),
        }
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        at: Place,
    ) -> Result<(), ReadError> {
        self.count(1, at)?;
        let is_plain = style == ScalarStyle::Plain;
        if is_plain && tag.is_none() && text == "<<" && self.wants_key() {
            return self.key(Key::Merge(at));
        }
        let value = match tag {
            None if is_plain => scalar::plain(self.form, text),
            None => Ok(Value::Text(text.to_owned())),
            Some(tag) => match tag.core_suffix() {
                Some(name) => scalar::tagged(name, text),
                None => Err(format!("the tag {} is not one of Kubernetes manifests", tag.original())),
            },
        };
        let value = value.map_err(|text| self.error(at, text))?;
        if self.wants_key() {
            let (key, written) = match value {
                Value::Text(key) => (key, None),
                Value::Bool(key) => (key.to_string(), Some(text.to_owned())),
                Value::Int(key) => (key.to_string(), Some(text.to_owned())),
                Value::Double(key) => (key.to_string(), Some(text.to_owned())),
                _ => return Err(self.error(at, "a key is missing, or null")),
            };
            return self.key(Key::Named { at, key, written });
        }
        self.complete(Tree { at, value }, anchor)
    }

    fn begin(&mut self, at: Place, anchor: usize, inside: Inside) -> Result<(), ReadError> {
        self.count(1, at)?;
        if self.wants_key() {
            return Err(self.error(at, "a key must be a text; it is a list or a map"));
        }
        self.check_depth(self.open.len() + 1, at)?;
        self.open.push(Open { at, anchor, inside });
        Ok(())
    }

    fn end(&mut self) -> Result<(), ReadError> {
        let Some(Open { at, anchor, inside }) = self.open.pop() else {
            return Ok(());
        };
        let value = match inside {
            Inside::List(items) => Value::List(items),
            Inside::Map { mut entries, mut keys, merged, .. } => {
                // What is written out wins over what is merged, and an earlier merge over a later one.
                for entry in merged.iter().flat_map(|tree| tree.entries()) {
                    if keys.insert(entry.key.clone()) {
                        entries.push(entry.clone());
                    }
                }
                Value::Map(entries)
            }
        };
        self.complete(Tree { at, value }, anchor)
    }

    fn wants_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { inside: Inside::Map { key: None, .. }, .. }))
    }

    fn key(&mut self, new: Key) -> Result<(), ReadError> {
        let mut twice = None;
        if let Some(Open { inside: Inside::Map { keys, key, entries, .. }, .. }) = self.open.last_mut() {
            if let Key::Named { at, key: name, .. } = &new
                && !keys.insert(name.clone())
            {
                let first = entries.iter().find(|entry| entry.key == *name).map_or(*at, |entry| entry.at);
                twice = Some((*at, format!("the key {name:?} is given twice; first in line {}", first.line)));
            }
            *key = Some(new);
        }
        twice.map_or(Ok(()), |(at, text)| Err(self.error(at, text)))
    }

    fn complete(&mut self, tree: Tree, anchor: usize) -> Result<(), ReadError> {
        if anchor != 0 {
            let size = size(&tree);
            self.count(size.nodes, tree.at)?;
            self.anchors.insert(anchor, Rc::new(Anchored { tree: tree.clone(), size }));
        }
        let Some(Open { inside, .. }) = self.open.last_mut() else {
            if tree.value != Value::Null {
                self.documents.push(Document { number: self.number, tree });
            }
            return Ok(());
        };
        match inside {
            Inside::List(items) => items.push(tree),
            Inside::Map { entries, merged, key, .. } => match key.take() {
                Some(Key::Named { at, key, written }) => {
                    entries.push(Entry { at, key, written, value: tree })
                }
                Some(Key::Merge(at)) => {
                    let maps = match tree.value {
                        Value::List(items) => items,
                        _ => vec![tree],
                    };
                    if maps.iter().any(|map| !matches!(map.value, Value::Map(_))) {
                        return Err(self.error(at, "<< merges a map, or a list of maps"));
                    }
                    merged.extend(maps);
                }
                None => {}
            },
        }
        Ok(())
    }

    fn check_depth(&self, depth: usize, at: Place) -> Result<(), ReadError> {
        match depth > MAX_DEPTH {
            true => Err(self.error(at, format!("values are nested more than {MAX_DEPTH} levels deep"))),
            false => Ok(()),
        }
    }

    fn count(&mut self, nodes: usize, at: Place) -> Result<(), ReadError> {
        self.nodes = self.nodes.saturating_add(nodes);
        match self.nodes > MAX_NODES {
            true => Err(self.error(at, format!("there are more than {MAX_NODES} values, aliases replaced"))),
            false => Ok(()),
        }
    }
}

/// Recurses no deeper than [`MAX_DEPTH`], which every tree keeps to.
fn size(tree: &Tree) -> Size {
    let sum = |below: &mut dyn Iterator<Item = &Tree>| {
        below.map(size).fold(Size { nodes: 1, depth: 1 }, |sum, next| Size {
            nodes: sum.nodes + next.nodes,
            depth: sum.depth.max(next.depth + 1),
        })
    };
    match &tree.value {
        Value::List(items) => sum(&mut items.iter()),
        Value::Map(entries) => sum(&mut entries.iter().map(|entry| &entry.value)),
        _ => Size { nodes: 1, depth: 0 },
    }
}
