//! What one selection of one policy makes of the events of one watch, worked out once for each assignment.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use super::{Reader, Terms};
use crate::core::lookup::By;
use crate::core::paths::Paths;
use crate::core::policy::{CompiledPolicy, Role};
use crate::core::project::ProjectedObject;
use crate::core::rules::CompiledRule;

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) reader: Reader,
    pub(super) policy: Arc<CompiledPolicy>,
    /// The selection's position in the policy.
    pub(super) index: usize,
    pub(super) terms: Terms,
    /// What the objects are for.
    pub(super) role: Role,
    /// For each rule of the policy, which view of an object decides it; for a lookup, the one view that decides whatever
    /// depends on it.
    pub(super) views: Box<[usize]>,
    /// Whether it depends on the object's labels that it is judged.
    pub(super) by_labels: bool,
}

impl Plan {
    /// Whether its rules compare the objects with what they were before. Values of Secrets are told apart by a key of
    /// the process, and so mean nothing to another.
    pub(super) fn remembers(&self) -> bool {
        let target = &self.policy.selections[self.index].target;
        let is_secret = target.group.is_empty() && target.kind == "Secret";
        let rules = || self.policy.rules.iter().filter(|rule| rule.judges(self.index));
        self.role == Role::Judged && !is_secret && rules().any(CompiledRule::reads_the_past)
    }

    /// Whether the object is one that the reader selects, as far as the watch did not see to that.
    pub(super) fn selects(&self, object: &ProjectedObject) -> bool {
        !self.terms.select || self.policy.selections[self.index].target.selects(object)
    }

    /// The labels by which a lookup finds the objects, as far as its expressions do not make them up.
    pub(super) fn labels_looked_for(&self) -> impl Iterator<Item = &Arc<str>> {
        let place = match self.role {
            Role::Lookup(place) => Some(place),
            Role::Judged | Role::Baseline => None,
        };
        let lookup = place.and_then(|place| self.policy.lookup(place));
        let labels = lookup.map(|lookup| match &lookup.by {
            By::Labels(labels) => labels.as_slice(),
            _ => &[],
        });
        labels.into_iter().flatten().map(|(label, _)| label)
    }

    /// Whether it counts among the objects of the reader.
    pub(super) fn counts(&self, object: &ProjectedObject) -> bool {
        object.generation() >= self.terms.since && self.selects(object)
    }
}

/// The distinct views that the readers of a watch have of its objects. Rules that read the same fields share one.
#[derive(Debug, Default)]
pub(super) struct Views {
    known: HashMap<Paths, usize>,
    paths: Vec<Paths>,
}

impl Views {
    pub(super) fn of(&mut self, paths: Paths) -> usize {
        let next = self.paths.len();
        *self.known.entry(paths).or_insert_with_key(|paths| {
            self.paths.push(paths.clone());
            next
        })
    }

    pub(super) fn into_paths(self) -> Arc<[Paths]> {
        self.paths.into()
    }
}

/// Two states of an object. Each view is compared once, when somebody asks.
pub(super) struct Comparison<'a> {
    views: &'a [Paths],
    pub(super) before: &'a ProjectedObject,
    pub(super) after: &'a ProjectedObject,
    known: RefCell<Vec<Option<bool>>>,
}

impl<'a> Comparison<'a> {
    pub(super) fn new(views: &'a [Paths], before: &'a ProjectedObject, after: &'a ProjectedObject) -> Self {
        Self { views, before, after, known: RefCell::new(vec![None; views.len()]) }
    }

    /// Whether any field of the view differs.
    pub(super) fn differs(&self, view: usize) -> bool {
        let mut known = self.known.borrow_mut();
        let (Some(known), Some(paths)) = (known.get_mut(view), self.views.get(view)) else {
            return true;
        };
        *known.get_or_insert_with(|| !paths.same(Some(self.before.root()), Some(self.after.root())))
    }

    pub(super) fn relabelled(&self) -> bool {
        self.before.labels() != self.after.labels()
    }
}
