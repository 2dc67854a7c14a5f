//! What changed between two states of an object: each changed field with both values.
//!
//! A field that came or went is one change, however much is below it. Elements of lists are matched by their keys
//! (see [`ListKeys`]), or by usual ones where none are known; a list without keys is compared by position while its
//! length stays, and is one change when it does not. So is a list that the schema calls `atomic` or a `set`: what
//! is replaced as a whole still has elements that changed and others that did not. As many changes come out as the
//! objects have; whoever shows them sets the bound.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::field_path::{FieldPath, FieldPattern, PatternStep, Step, key_text};
use super::paths::{Keep, Paths};
use super::secret::LAST_APPLIED;
use super::tree::Node;

/// Names the fields that tell the elements of a list apart.
pub trait ListKeys {
    /// The keys of the list at `path`, as `x-kubernetes-list-map-keys` gives them; none when it is not known.
    fn keys(&self, path: &[Step]) -> Option<Vec<Arc<str>>>;
}

/// Keys of the lists of built-in kinds, the most usual first
/// (<https://kubernetes.io/docs/reference/using-api/server-side-apply/#merge-strategy>). A list of which
/// [`ListKeys`] knows none is matched by the first that all of its elements have, each with another value.
const USUAL_KEYS: [&[&str]; 10] = [
    &["name"],
    &["type"],
    &["containerPort", "protocol"],
    &["port", "protocol"],
    &["key"],
    &["id"],
    &["mountPath"],
    &["ip"],
    &["uid"],
    &["topologyKey"],
];

const BOOKKEEPING: [&[&str]; 3] = [
    &["metadata", "resourceVersion"],
    &["metadata", "generation"],
    &["metadata", "annotations", LAST_APPLIED],
];

/// One changed field.
#[derive(Debug, Clone, PartialEq)]
pub struct Change<'a> {
    /// Where.
    pub path: FieldPath,
    /// Before; none when there was nothing.
    pub from: Option<&'a Node>,
    /// After; none when there is nothing.
    pub to: Option<&'a Node>,
}

/// Which fields are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldScope {
    include: Vec<FieldPattern>,
    exclude: Vec<FieldPattern>,
}

impl FieldScope {
    /// These fields with all below them, without others; no `include` means everything. What only follows from
    /// other changes is left out always: `metadata.resourceVersion`, `metadata.generation`, and the copy of itself
    /// that `kubectl apply` keeps in an annotation.
    pub fn new(include: Vec<FieldPattern>, mut exclude: Vec<FieldPattern>) -> Self {
        exclude.extend(BOOKKEEPING.iter().map(|path| {
            let field = |name: &&str| PatternStep::One(Step::Field((*name).into()));
            FieldPattern(path.iter().map(field).collect())
        }));
        Self { include, exclude }
    }

    /// The fields that are compared.
    pub fn compared(&self) -> Paths {
        self.paths(false)
    }

    /// The fields that comparing them takes: of elements of lists on the way also what may be their keys, which are
    /// texts and numbers in the element itself.
    pub fn needed(&self) -> Paths {
        self.paths(true)
    }

    fn paths(&self, with_keys: bool) -> Paths {
        let mut paths = if self.include.is_empty() { Paths::whole() } else { Paths::NONE };
        for pattern in &self.include {
            if let Keep::Some(below) = keep(&pattern.0, with_keys) {
                paths.add(&below);
            }
        }
        for pattern in &self.exclude {
            let names = pattern.0.iter().map(|step| match step {
                PatternStep::One(Step::Field(name)) => Some(&**name),
                _ => None,
            });
            // What is left out of elements is compared first and left out then.
            if let Some(names) = names.collect::<Option<Vec<&str>>>() {
                paths.forget(&names);
            }
        }
        paths
    }

    fn tails<'s>(&'s self, patterns: &'s [FieldPattern]) -> Vec<&'s [PatternStep]> {
        patterns.iter().map(|pattern| pattern.0.as_slice()).collect()
    }
}

/// What a pattern keeps of the value that it starts from.
fn keep(pattern: &[PatternStep], with_keys: bool) -> Keep {
    let Some((first, rest)) = pattern.split_first() else {
        return Keep::All;
    };
    let below = keep(rest, with_keys);
    let mut element = below.clone();
    if let (true, Keep::Some(element)) = (with_keys, &mut element) {
        element.add(&Paths::of([], Keep::shape(), Keep::Nothing));
    }
    Keep::Some(Box::new(match first {
        PatternStep::One(Step::Field(name)) => {
            Paths::of([(Box::from(&**name), below)], Keep::Nothing, Keep::Nothing)
        }
        PatternStep::One(Step::Element(_) | Step::Index(_)) => Paths::of([], Keep::Nothing, element),
        PatternStep::Any => Paths::of([], below, element),
    }))
}

/// What is left of the patterns at one place of the tree.
#[derive(Clone)]
struct Place<'s> {
    /// Inside of an included field already.
    inside: bool,
    include: Vec<&'s [PatternStep]>,
    exclude: Vec<&'s [PatternStep]>,
}

impl<'s> Place<'s> {
    /// One step further down; none when nothing there is compared.
    fn below(&self, step: &Step, position: usize, values: [Option<&Node>; 2]) -> Option<Place<'s>> {
        let fits = |pattern: &PatternStep| match (pattern, step) {
            (PatternStep::Any, _) => true,
            (PatternStep::One(wanted), Step::Field(_)) => wanted == step,
            // A pattern may name other keys than those by which the elements were matched.
            (PatternStep::One(wanted), _) => {
                values.into_iter().flatten().any(|value| wanted.leads_to(position, value))
            }
        };
        let advance = |tails: &[&'s [PatternStep]]| -> Vec<&'s [PatternStep]> {
            let first = tails.iter().filter_map(|tail| tail.split_first());
            first.filter(|(step, _)| fits(step)).map(|(_, rest)| rest).collect()
        };
        let exclude = advance(&self.exclude);
        if exclude.iter().any(|tail| tail.is_empty()) {
            return None;
        }
        let include = advance(&self.include);
        let inside = self.inside || include.iter().any(|tail| tail.is_empty());
        (inside || !include.is_empty()).then_some(Place { inside, include, exclude })
    }

    /// Whether all that is below is compared.
    fn is_whole(&self) -> bool {
        self.inside && self.exclude.is_empty()
    }
}

/// How the second state is compared with the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Every difference counts.
    Exact,
    /// The first state is a declaration: what it does not mention is free, and null means that there is nothing.
    Declared,
}

/// Compares two states. Changes come in the order of the fields, those in `status` last: what somebody did stands
/// before what followed from it.
pub fn diff<'a>(
    old: &'a Node,
    new: &'a Node,
    scope: &FieldScope,
    mode: Mode,
    keys: &dyn ListKeys,
) -> Vec<Change<'a>> {
    let place = Place {
        inside: scope.include.is_empty(),
        include: scope.tails(&scope.include),
        exclude: scope.tails(&scope.exclude),
    };
    let mut walk = Walk { keys, mode, path: Vec::new(), changes: Vec::new() };
    walk.compare(Some(old), Some(new), &place);
    let mut changes = walk.changes;
    changes.sort_by_key(
        |change| matches!(change.path.0.first(), Some(Step::Field(name)) if &**name == "status"),
    );
    changes
}

struct Walk<'a, 'k> {
    keys: &'k dyn ListKeys,
    mode: Mode,
    path: Vec<Step>,
    changes: Vec<Change<'a>>,
}

impl<'a> Walk<'a, '_> {
    fn compare(&mut self, old: Option<&'a Node>, new: Option<&'a Node>, place: &Place<'_>) {
        if old == new || (self.mode == Mode::Declared && self.is_as_declared(old, new)) {
            return;
        }
        match (old, new) {
            (Some(Node::Map(_)), Some(Node::Map(_))) => self.maps(old, new, place),
            (Some(Node::List(_)), Some(Node::List(_))) => self.lists(old, new, place),
            _ if place.is_whole() => self.note(old, new),
            // Only a part of what came or went is compared.
            (Some(Node::Map(_)), None) | (None, Some(Node::Map(_))) => self.maps(old, new, place),
            (Some(Node::List(_)), None) | (None, Some(Node::List(_))) => self.lists(old, new, place),
            _ if place.inside => self.note(old, new),
            _ => {}
        }
    }

    fn is_as_declared(&self, old: Option<&Node>, new: Option<&Node>) -> bool {
        match old {
            None => true,
            Some(Node::Null) => matches!(new, None | Some(Node::Null)),
            Some(_) => false,
        }
    }

    fn note(&mut self, from: Option<&'a Node>, to: Option<&'a Node>) {
        self.changes.push(Change { path: FieldPath(self.path.clone()), from, to });
    }

    fn step(
        &mut self,
        step: Step,
        position: usize,
        old: Option<&'a Node>,
        new: Option<&'a Node>,
        place: &Place<'_>,
    ) {
        if let Some(below) = place.below(&step, position, [old, new]) {
            self.path.push(step);
            self.compare(old, new, &below);
            self.path.pop();
        }
    }

    fn maps(&mut self, old: Option<&'a Node>, new: Option<&'a Node>, place: &Place<'_>) {
        for (key, value) in old.into_iter().flat_map(Node::entries) {
            self.step(Step::Field(key.clone()), 0, Some(value), new.and_then(|new| new.get(key)), place);
        }
        for (key, value) in new.into_iter().flat_map(Node::entries) {
            if old.is_none_or(|old| old.get(key).is_none()) {
                self.step(Step::Field(key.clone()), 0, None, Some(value), place);
            }
        }
    }

    fn lists(&mut self, old: Option<&'a Node>, new: Option<&'a Node>, place: &Place<'_>) {
        let items = |side: Option<&'a Node>| side.map(Node::items).unwrap_or_default();
        let (before, after) = (items(old), items(new));
        let known = self.keys.keys(&self.path).and_then(|keys| Identified::by(keys, before, after));
        let Some(Identified { keys, old_ids, new_ids }) = known.or_else(|| guess(before, after)) else {
            if before.len() == after.len() || !place.is_whole() {
                for n in 0..before.len().max(after.len()) {
                    self.step(Step::Index(n), n, before.get(n), after.get(n), place);
                }
            } else {
                self.note(old, new);
            }
            return;
        };
        let found = self.changes.len();
        let step_of = |id: &[Arc<str>]| Step::Element(keys.iter().cloned().zip(id.iter().cloned()).collect());
        let position: HashMap<&[Arc<str>], usize> =
            new_ids.iter().enumerate().map(|(n, id)| (&**id, n)).collect();
        let mut order = Vec::new();
        for (n, id) in old_ids.iter().enumerate() {
            let at = position.get(&**id).copied();
            order.extend(at);
            self.step(step_of(id), n, Some(&before[n]), at.map(|at| &after[at]), place);
        }
        let known: HashSet<&[Arc<str>]> = old_ids.iter().map(|id| &**id).collect();
        for (n, id) in new_ids.iter().enumerate().filter(|(_, id)| !known.contains(&***id)) {
            self.step(step_of(id), n, None, Some(&after[n]), place);
        }
        // Of some lists the order matters, and there is no telling of which.
        if self.changes.len() == found && !order.is_sorted() && place.is_whole() && self.mode == Mode::Exact {
            self.note(old, new);
        }
    }
}

/// The keys of each element; none when an element lacks one, or two have the same.
fn identify(items: &[Node], keys: &[Arc<str>]) -> Option<Vec<Vec<Arc<str>>>> {
    let id =
        |item: &Node| keys.iter().map(|key| item.get(key).and_then(key_text)).collect::<Option<Vec<_>>>();
    let ids = items.iter().map(id).collect::<Option<Vec<_>>>()?;
    let distinct: HashSet<&Vec<Arc<str>>> = ids.iter().collect();
    (distinct.len() == ids.len()).then_some(ids)
}

/// The elements of two lists, by keys that all of them have.
struct Identified {
    keys: Vec<Arc<str>>,
    old_ids: Vec<Vec<Arc<str>>>,
    new_ids: Vec<Vec<Arc<str>>>,
}

impl Identified {
    fn by(keys: Vec<Arc<str>>, old: &[Node], new: &[Node]) -> Option<Self> {
        let (old_ids, new_ids) = (identify(old, &keys)?, identify(new, &keys)?);
        Some(Self { keys, old_ids, new_ids })
    }
}

fn guess(old: &[Node], new: &[Node]) -> Option<Identified> {
    let first = old.first().or(new.first())?;
    let mut usual = USUAL_KEYS.iter().filter(|keys| keys.iter().all(|key| first.get(key).is_some()));
    usual.find_map(|keys| Identified::by(keys.iter().map(|key| Arc::from(*key)).collect(), old, new))
}

#[cfg(test)]
mod tests;
