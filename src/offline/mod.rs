//! Policies without a cluster: judged on manifests, on recorded events and in tests; explained and converted.
//!
//! In: files and streams (`input` reads them, nothing else here touches the outside). Out: reports as text. Judging
//! is `core`'s, compiling `policy`'s: what the operator would say is said here by the same code. What an API server
//! does for an operator, is done here: what its schema rejects (`validate`), which objects a selection means
//! (`select`). Only `cli` calls.
//!
//! ```text
//!            ┌─ policies ── validate, policy::compile ─┐
//!  input ────┼─ manifests ─────────────────────────────┼─ check ── core::engine::judge ─┐
//!            ├─ history ──┐                            │                               ├─ report
//!            └─ scenario ─┴─ replay ── select, core::Engine ───────────────────────────┘
//! ```

pub mod check;
pub mod convert;
pub mod explain;
pub mod graph;
pub mod history;
pub mod input;
pub mod kinds;
pub mod manifests;
pub mod policies;
mod related;
mod replay;
pub mod report;
pub mod scenario;
pub mod schemas;
mod select;
pub(crate) mod validate;

use std::fmt;
use std::sync::Arc;

use crate::yaml::{Document, Place, ReadError, Tree};

/// What is wrong with an input, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct InputError {
    /// The file, or `standard input`.
    pub file: Arc<str>,
    /// Which document of the file, from 1.
    pub document: usize,
    /// The place in the file.
    pub at: Place,
    /// What is wrong, and what to do.
    pub text: String,
}

/// As compilers write it, so that editors find the place.
impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.at)?;
        if self.document > 1 {
            write!(f, "document {}: ", self.document)?;
        }
        f.write_str(&self.text)
    }
}

impl InputError {
    fn of(file: &Arc<str>, error: ReadError) -> Self {
        Self { file: file.clone(), document: error.document, at: error.at, text: error.text }
    }
}

/// An object of a file, lists taken apart.
struct Item {
    file: Arc<str>,
    document: usize,
    tree: Tree,
}

impl Item {
    fn error(&self, at: Place, text: impl Into<String>) -> InputError {
        InputError { file: self.file.clone(), document: self.document, at, text: text.into() }
    }

    /// What is at `path`, as a text that is not empty.
    fn text(&self, path: &[&str]) -> Result<&str, InputError> {
        let dotted = path.join(".");
        let found = path.iter().try_fold(&self.tree, |tree, key| tree.get(key));
        match found.map(|tree| (tree, tree.as_str())) {
            Some((_, Some(text))) if !text.is_empty() => Ok(text),
            Some((tree, _)) => {
                Err(self.error(tree.at, format!("{dotted} must be a text; it is {}", empty_or_type(tree))))
            }
            None => Err(self.error(self.tree.place_of(&dotted), format!("{dotted} is missing"))),
        }
    }
}

fn empty_or_type(tree: &Tree) -> &'static str {
    match tree.as_str() {
        Some(_) => "empty",
        None => tree.value.type_name(),
    }
}

/// The objects of a text: one of each document, or, of a kind that ends with `List` and has `items`, those. Items
/// of a typed list such as a PodList need not say what they are.
fn items(source: &input::Source) -> Result<Vec<Item>, InputError> {
    let documents = crate::yaml::read(&source.text).map_err(|error| InputError::of(&source.file, error))?;
    let mut items = Vec::new();
    for Document { number, tree } in documents {
        let item = Item { file: source.file.clone(), document: number, tree };
        if !matches!(item.tree.value, crate::yaml::Value::Map(_)) {
            let text = format!("an object was expected; this is {}", item.tree.value.type_name());
            return Err(item.error(item.tree.at, text));
        }
        take_apart(item, &mut items);
    }
    Ok(items)
}

fn take_apart(mut item: Item, items: &mut Vec<Item>) {
    use crate::yaml::Value;
    let kind = item.tree.str_at(&["kind"]).map(str::to_owned);
    let of = kind.as_deref().and_then(|kind| kind.strip_suffix("List")).map(str::to_owned);
    let is_list = |tree: &Tree| matches!(tree.value, Value::List(_));
    let (Some(of), true) = (of, item.tree.get("items").is_some_and(is_list)) else {
        items.push(item);
        return;
    };
    let api_version = item.tree.str_at(&["apiVersion"]).map(str::to_owned);
    let Some(Tree { value: Value::List(list), .. }) = item.tree.get_mut("items") else {
        return;
    };
    for mut tree in std::mem::take(list) {
        // A plain List says nothing of its items.
        for (key, known) in [("kind", Some(&of)), ("apiVersion", api_version.as_ref())] {
            if let Some(known) = known.filter(|_| !of.is_empty() && tree.get(key).is_none()) {
                tree.set(key, Value::Text(known.clone()));
            }
        }
        // Depth is bounded, and so is this.
        take_apart(Item { file: item.file.clone(), document: item.document, tree }, items);
    }
}
