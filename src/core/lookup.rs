//! Related objects: what a policy looks up for each object that it judges.
//!
//! In: the lookups of a policy, the bindings of one object, and [`Related`], which knows the objects. Out: what each
//! lookup found, bound for the expressions that read it, and the [`Query`] that found it, by which whoever keeps the
//! objects knows what depends on what. The engine and `offline` call.

mod joined;
mod query;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use joined::{Arena, Joined};

use super::cel::Program;
use super::project::ProjectedObject;
use super::tree::Node;

/// Most objects that one lookup finds for one object.
pub const MAX_FOUND: usize = 1_000;
/// Most names, and most values of a label, that one lookup looks for.
pub const MAX_NAMES: usize = 64;
/// The name of the lookup that finds `params`; no other can have it.
pub const PARAMS: &str = "params()";

/// One lookup of a policy, compiled.
#[derive(Debug)]
pub struct Lookup {
    /// Its name in expressions.
    pub name: Arc<str>,
    /// The selection of the policy that watches its kind.
    pub selection: usize,
    /// Where it looks.
    pub place: Place,
    /// By what it finds objects.
    pub by: By,
    /// What says that what was found is in order.
    pub check: Option<Check>,
}

/// Where a lookup looks.
#[derive(Debug)]
pub enum Place {
    /// In the namespace of the object that is judged.
    OwnNamespace,
    /// In this namespace.
    Namespace(Arc<str>),
    /// In the namespace that this gives.
    Computed(Program),
}

/// By what a lookup finds objects.
#[derive(Debug)]
pub enum By {
    /// By the name that this gives: one object or none.
    Name(Program),
    /// By the names in the list that this gives.
    Names(Program),
    /// By labels with the values that these give, or with one of those.
    Labels(Vec<(Arc<str>, Program)>),
    /// By the labels in the map that this gives.
    LabelMap(Program),
    /// All of the namespace. `one` if the selection leaves one at most, which is then found as one.
    All {
        /// Whether there is one at most.
        one: bool,
    },
}

/// When what a lookup found is in order.
#[derive(Debug)]
pub struct Check {
    /// True when it is.
    pub expression: Program,
    /// What is wrong otherwise.
    pub message: Option<Arc<str>>,
}

/// What becomes of rules that read `params` when there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoParams {
    /// They are not judged.
    Skip,
    /// They are not satisfied.
    Violate,
}

impl Lookup {
    /// What it is found by, and what is said of it.
    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        self.keys().chain(self.check.iter().map(|check| &check.expression))
    }

    /// What it is found by.
    pub fn keys(&self) -> impl Iterator<Item = &Program> {
        let place = match &self.place {
            Place::Computed(program) => Some(program),
            Place::OwnNamespace | Place::Namespace(_) => None,
        };
        let (one, many) = match &self.by {
            By::Name(program) | By::Names(program) | By::LabelMap(program) => (Some(program), &[][..]),
            By::Labels(labels) => (None, labels.as_slice()),
            By::All { .. } => (None, &[][..]),
        };
        place.into_iter().chain(one).chain(many.iter().map(|(_, program)| program))
    }

    /// Whether it finds a list.
    pub fn is_many(&self) -> bool {
        !matches!(self.by, By::Name(_) | By::All { one: true })
    }

    /// Whether the labels of what it finds matter.
    pub fn reads_labels(&self) -> bool {
        matches!(self.by, By::Labels(_) | By::LabelMap(_))
    }

    /// The other lookups that it is found by, directly or through others.
    pub fn takes(&self) -> BTreeSet<usize> {
        self.keys().flat_map(|program| program.lookups().iter().copied()).collect()
    }
}

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// In which namespace; none for all.
    pub namespace: Option<Arc<str>>,
    /// What.
    pub wanted: Wanted,
}

/// A label, and the values of which it has to have one.
pub type LabelIn = (Arc<str>, Box<[Arc<str>]>);

/// What is looked for within a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The objects of these names, sorted, each once.
    Names(Box<[Arc<str>]>),
    /// Those that have all of these labels, each with one of its values, all sorted and each once; none when there are
    /// no labels.
    Labels(Box<[LabelIn]>),
    /// All.
    All,
}

impl Query {
    /// Whether an object is one that is looked for, wherever it is.
    pub fn wanted_by(&self, object: &ProjectedObject) -> bool {
        self.wanted.finds(object)
    }

    /// Whether an object of the kind is one that is looked for. One that lives in no namespace is in all.
    pub fn finds(&self, object: &ProjectedObject) -> bool {
        let (own, wanted) = (object.id().namespace.as_ref(), self.namespace.as_ref());
        own.zip(wanted).is_none_or(|(own, wanted)| own == wanted) && self.wanted.finds(object)
    }
}

impl Wanted {
    fn finds(&self, object: &ProjectedObject) -> bool {
        match self {
            Self::Names(names) => names.contains(&object.id().name),
            Self::Labels(labels) => {
                let value = |key: &str| object.labels().and_then(|own| own.get(key)).and_then(Node::as_str);
                !labels.is_empty()
                    && labels
                        .iter()
                        .all(|(key, wanted)| value(key).is_some_and(|value| wanted.contains(value)))
            }
            Self::All => true,
        }
    }
}

/// A label with its values, as label selectors are written.
pub fn label_term(key: &str, values: &[Arc<str>]) -> String {
    let values: Vec<&str> = values.iter().map(|value| &**value).collect();
    match values[..] {
        [value] => format!("{key}={value}"),
        _ => format!("{key} in ({})", values.join(",")),
    }
}

/// What there is of a query.
#[derive(Debug)]
pub enum Answer {
    /// The kind is not installed.
    NotServed,
    /// Not all objects of the kind are known yet.
    NotKnown,
    /// These objects, sorted by namespace and name.
    Objects(Vec<ProjectedObject>),
    /// More than [`MAX_FOUND`].
    TooMany,
    /// The kind lives in namespaces, and none is named.
    NoNamespace,
}

/// Knows the objects that lookups find.
pub trait Related: std::fmt::Debug {
    /// The objects that a selection of the policy selects and a query looks for.
    fn find(&self, selection: usize, query: &Query) -> Answer;
}
