//! A document as a tree that knows where everything stands.

use std::fmt;

/// A place in a text; both count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

impl Place {
    /// Where a text begins.
    pub const START: Place = Place { line: 1, column: 1 };
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    /// Where it begins. What an alias stands for is where its anchor is.
    pub at: Place,
    /// The value.
    pub value: Value,
}

/// A value as JSON has it.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Null.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number; finite.
    Double(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Tree>),
    /// A map in the order of the text; its keys are unique.
    Map(Vec<Entry>),
}

/// An entry of a map.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Where the key stands.
    pub at: Place,
    /// The key.
    pub key: String,
    /// The key as it is written, when that is another: YAML takes `on` for true.
    pub written: Option<String>,
    /// The value.
    pub value: Tree,
}

impl Tree {
    /// The value under a key, when this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Tree> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// The entries of a map; nothing for any other value.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The elements of a list; nothing for any other value.
    pub fn items(&self) -> &[Tree] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The text, when this is one.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text at a path of keys.
    pub fn str_at(&self, path: &[&str]) -> Option<&str> {
        path.iter().try_fold(self, |tree, key| tree.get(key))?.as_str()
    }

    /// Where `path` stands, written as `spec.rules[2].expression`; if it is not there, the last of it that is.
    pub fn place_of(&self, path: &str) -> Place {
        let mut at = self;
        for step in path.split(['.', '[']) {
            let below = match step.strip_suffix(']') {
                Some(index) => index.parse().ok().and_then(|index: usize| at.items().get(index)),
                None => at.get(step),
            };
            match below {
                Some(below) => at = below,
                None => break,
            }
        }
        at.at
    }

    /// Sets a field of a map, in front of the others; does nothing to any other value.
    pub fn set(&mut self, key: &str, value: Value) {
        let at = self.at;
        if let Value::Map(entries) = &mut self.value {
            entries.retain(|entry| entry.key != key);
            let value = Tree { at, value };
            entries.insert(0, Entry { at, key: key.to_owned(), written: None, value });
        }
    }

    /// The field of a map, to be changed; none for any other value.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Tree> {
        match &mut self.value {
            Value::Map(entries) => {
                entries.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.value)
            }
            _ => None,
        }
    }

    /// The same without places.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Int(value) => (*value).into(),
            Value::Double(value) => (*value).into(),
            Value::Text(text) => text.as_str().into(),
            Value::List(items) => items.iter().map(Tree::to_json).collect(),
            Value::Map(entries) => {
                let entries = entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json()));
                serde_json::Value::Object(entries.collect())
            }
        }
    }
}

impl Value {
    /// What it is called in messages: the words of JSON schema.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Int(_) => "integer",
            Value::Double(_) => "number",
            Value::Text(_) => "string",
            Value::List(_) => "array",
            Value::Map(_) => "object",
        }
    }
}
