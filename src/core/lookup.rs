//! Related objects: what a policy looks up for each object that it judges.
//!
//! In: the lookups of a policy, the bindings of one object, and [`Related`], which knows the objects. Out: what each
//! lookup found, bound for the expressions that read it, and the [`Query`] that found it, by which whoever keeps the
//! objects knows what depends on what. The engine and `offline` call.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::cel::{Bindings, Found, Program, Value};
use super::policy::{CompiledPolicy, Selection};
use super::project::ProjectedObject;
use super::tree::Node;

/// Most objects that one lookup finds for one object.
pub const MAX_FOUND: usize = 1_000;
/// Most names that one lookup looks for.
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
    /// By labels with the values that these give.
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

/// What is looked for within a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The objects of these names.
    Names(BTreeSet<Arc<str>>),
    /// Those that have all of these labels; none when there are no labels.
    Labels(BTreeMap<Arc<str>, Arc<str>>),
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
                !labels.is_empty() && labels.iter().all(|(key, wanted)| value(key) == Some(wanted))
            }
            Self::All => true,
        }
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

/// Knows none.
#[derive(Debug)]
pub struct Unrelated;

impl Related for Unrelated {
    fn find(&self, _: usize, _: &Query) -> Answer {
        Answer::NotKnown
    }
}

/// Holds what lookups find while one object is judged.
#[derive(Debug)]
pub struct Arena(Vec<OnceCell<Vec<ProjectedObject>>>);

impl Arena {
    /// For the lookups of a policy.
    pub fn new(policy: &CompiledPolicy) -> Self {
        Self(policy.lookups.iter().map(|_| OnceCell::new()).collect())
    }

    /// What a lookup found; none when it was not made, or could not.
    pub fn found(&self, place: usize) -> Option<&[ProjectedObject]> {
        self.0.get(place)?.get().map(Vec::as_slice)
    }
}

/// One object's lookups, as far as they were made.
pub struct Joined<'a> {
    policy: &'a CompiledPolicy,
    /// The namespace of the object.
    namespace: Option<Arc<str>>,
    arena: &'a Arena,
    related: &'a dyn Related,
    /// What was made, by place; none where there was nothing to look for.
    pub queries: BTreeMap<usize, Option<Query>>,
    /// Those whose objects are not known yet.
    pub unknown: BTreeSet<usize>,
}

impl<'a> Joined<'a> {
    /// Nothing was looked up yet.
    pub fn new(
        policy: &'a CompiledPolicy,
        namespace: Option<Arc<str>>,
        arena: &'a Arena,
        related: &'a dyn Related,
    ) -> Self {
        Self { policy, namespace, arena, related, queries: BTreeMap::new(), unknown: BTreeSet::new() }
    }

    /// Makes those of the lookups that were not made, and binds what they find. Those that take what is not known
    /// yet are not known either.
    pub fn look_up(&mut self, places: &BTreeSet<usize>, bindings: &mut Bindings<'a>) {
        for place in places {
            if self.queries.contains_key(place) || self.unknown.contains(place) {
                continue;
            }
            let Some(Some(lookup)) = self.policy.lookups.get(*place) else { continue };
            if lookup.takes().iter().any(|taken| self.unknown.contains(taken)) {
                self.unknown.insert(*place);
                continue;
            }
            let mut query = query(lookup, self.namespace.as_ref(), bindings);
            let found = match &query {
                Ok(Some(wanted)) => match self.related.find(lookup.selection, wanted) {
                    Answer::NotKnown => {
                        self.unknown.insert(*place);
                        continue;
                    }
                    Answer::NotServed => {
                        let kind = self.policy.selections.get(lookup.selection).map(selected);
                        Found::not_served(kind.as_deref().unwrap_or_default())
                    }
                    Answer::TooMany => {
                        let text = format!("it finds more than {MAX_FOUND} objects; look for fewer");
                        Found::failed(&lookup.name, &text)
                    }
                    Answer::NoNamespace => {
                        // Whatever is there, it finds nothing, and depends on nothing.
                        query = Ok(None);
                        let text = "its kind lives in namespaces and the object in none; write a namespaceExpression";
                        Found::failed(&lookup.name, text)
                    }
                    Answer::Objects(objects) => {
                        let cell = self.arena.0.get(*place);
                        let objects = cell.map(|cell| cell.get_or_init(|| objects).as_slice());
                        let objects = objects.unwrap_or_default();
                        match lookup.is_many() {
                            true => Found::many(objects.iter().map(ProjectedObject::root)),
                            false => Found::One(objects.first().map(ProjectedObject::root)),
                        }
                    }
                },
                Ok(None) if lookup.is_many() => Found::many(std::iter::empty()),
                Ok(None) => Found::One(None),
                Err(text) => Found::failed(&lookup.name, text),
            };
            bindings.bind_lookup(*place, found);
            self.queries.insert(*place, query.ok().flatten());
        }
    }
}

fn selected(selection: &Selection) -> String {
    selection.target.display()
}

/// What a lookup looks for; nothing when what it goes by is null or empty.
fn query(
    lookup: &Lookup,
    own: Option<&Arc<str>>,
    bindings: &mut Bindings<'_>,
) -> Result<Option<Query>, String> {
    let namespace = match &lookup.place {
        Place::OwnNamespace => own.cloned(),
        Place::Namespace(name) => Some(name.clone()),
        Place::Computed(program) => text("namespaceExpression", program, bindings)?,
    };
    let wanted = match &lookup.by {
        By::Name(program) => match text("nameExpression", program, bindings)? {
            Some(name) => Wanted::Names([name].into()),
            None => return Ok(None),
        },
        By::Names(program) => match names(program, bindings)? {
            names if names.is_empty() => return Ok(None),
            names => Wanted::Names(names),
        },
        By::Labels(labels) => {
            let mut wanted = BTreeMap::new();
            for (key, program) in labels {
                match text(&format!("labels[{key}]"), program, bindings)? {
                    Some(value) => drop(wanted.insert(key.clone(), value)),
                    None => return Ok(None),
                }
            }
            Wanted::Labels(wanted)
        }
        By::LabelMap(program) => match label_map(program, bindings)? {
            labels if labels.is_empty() => return Ok(None),
            labels => Wanted::Labels(labels),
        },
        By::All { .. } => Wanted::All,
    };
    Ok(Some(Query { namespace, wanted }))
}

/// A text; none for null, an optional without a value, and an empty text.
fn text(field: &str, program: &Program, bindings: &mut Bindings<'_>) -> Result<Option<Arc<str>>, String> {
    let value = program.evaluate(bindings).map_err(|error| format!("{field}: {error}"))?;
    as_text(&value).map_err(|got| format!("{field}: evaluated to {got}, want a string"))
}

fn as_text(value: &Value<'_>) -> Result<Option<Arc<str>>, &'static str> {
    match value {
        Value::Str(text) => Ok(Some(&**text).filter(|text| !text.is_empty()).map(Into::into)),
        Value::Null | Value::Optional(None) => Ok(None),
        Value::Optional(Some(inner)) => as_text(inner),
        other => Err(other.describe()),
    }
}

fn names(program: &Program, bindings: &mut Bindings<'_>) -> Result<BTreeSet<Arc<str>>, String> {
    let failed = |text: String| format!("namesExpression: {text}");
    let value = program.evaluate(bindings).map_err(|error| failed(error.to_string()))?;
    let mut names = BTreeSet::new();
    match held(&value) {
        None => {}
        Some(Value::List(list)) => {
            for element in list.iter() {
                let name = as_text(&element).map_err(|got| failed(format!("one is {got}, want strings")))?;
                names.extend(name);
            }
        }
        Some(other) => return Err(failed(format!("evaluated to {}, want a list", other.describe()))),
    }
    if names.len() > MAX_NAMES {
        return Err(failed(format!("{} names, more than {MAX_NAMES}", names.len())));
    }
    Ok(names)
}

fn label_map(program: &Program, bindings: &mut Bindings<'_>) -> Result<BTreeMap<Arc<str>, Arc<str>>, String> {
    let failed = |text: String| format!("labelsExpression: {text}");
    let value = program.evaluate(bindings).map_err(|error| failed(error.to_string()))?;
    let mut labels = BTreeMap::new();
    match held(&value) {
        None => {}
        Some(Value::Map(map)) => {
            for (key, value) in map.iter() {
                let (Value::Str(key), Value::Str(value)) = (key, value) else {
                    return Err(failed("want a map of strings".into()));
                };
                labels.insert((*key).into(), (*value).into());
            }
        }
        Some(other) => return Err(failed(format!("evaluated to {}, want a map", other.describe()))),
    }
    Ok(labels)
}

fn held<'v, 'a>(value: &'v Value<'a>) -> Option<&'v Value<'a>> {
    match value {
        Value::Null | Value::Optional(None) => None,
        Value::Optional(Some(inner)) => held(inner),
        other => Some(other),
    }
}
