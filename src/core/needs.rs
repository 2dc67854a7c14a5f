//! What of the objects a policy needs: which fields have to be kept, and which of them decide a rule.
//!
//! In: a compiled policy. Out: paths. Watches keep the union of what their readers need; the engine judges a rule again
//! when a field that decides it is another.

use super::cel::{Program, Root};
use super::lookup::Lookup;
use super::paths::{Keep, Paths};
use super::policy::{CompiledPolicy, Role, Selection};
use super::project::Shape;
use super::rules::{Change, CompiledRule, Expected, Group, Operation, RuleKind};

impl CompiledPolicy {
    /// What a watch has to keep of the objects of the selection at `index`. With `select` the selection's own
    /// conditions on objects are not the API server's to apply.
    pub fn needs(&self, index: usize, select: bool) -> Shape {
        let mut shape = Shape::default();
        let Some(selection) = self.selections.get(index) else {
            return shape;
        };
        if let Role::Lookup(place) = selection.role {
            shape.paths.add(self.reads().of_lookup(place));
            if self.lookup(place).is_some_and(Lookup::reads_labels) {
                shape.paths.add(&labels());
            }
        } else if selection.is_baseline() {
            let compared_with = self.rules.iter().filter(|rule| rule.baseline() == Some(&selection.name));
            compared_with.for_each(|rule| shape.paths.add(&self.needed(rule)));
        } else {
            for rule in self.rules.iter().filter(|rule| rule.concerns(index)) {
                match rule.as_group() {
                    Some(group) => shape.paths.add(&self.read_of_members(rule, group, index)),
                    None => shape.paths.add(&self.needed(rule)),
                }
                shape.managed_fields |= rule.asks_who();
            }
            shape.paths.add(&self.noted());
        }
        if selection.reads_labels() || (select && selection.target.reads_labels()) {
            shape.paths.add(&labels());
        }
        // They are kept beside the object, and no part of what expressions see.
        shape.paths.forget(&["metadata", "managedFields"]);
        shape
    }

    /// What a watch of the namespaces has to keep for this policy.
    pub fn needs_of_namespaces(&self) -> Paths {
        let mut paths = self.reads().of(Root::NamespaceObject).clone();
        paths.add(&labels());
        paths.forget(&["metadata", "managedFields"]);
        paths
    }

    /// The fields of an object of the selection at `index` that decide what a rule says of it: while they are the same,
    /// so is the verdict, as far as the object goes. For a rule on changes, those of which any change counts.
    pub fn decides(&self, rule: &CompiledRule, index: usize) -> Paths {
        match &rule.kind {
            None => Paths::NONE,
            Some(RuleKind::State(_)) => {
                let mut paths = self.read_by(rule, &[Root::Object]);
                paths.add(&self.noted());
                paths
            }
            Some(RuleKind::Change(change)) => change.scope.compared(),
            Some(RuleKind::Group(group)) => self.read_of_members(rule, group, index),
            Some(RuleKind::Drift(drift)) => {
                let mut paths = self.read_by(rule, &[Root::Object]);
                paths.add(&drift.scope.compared());
                paths.add(&self.noted());
                paths
            }
        }
    }

    /// The fields of what a lookup finds that decide what rules say of whatever depends on it.
    pub fn decides_by_lookup(&self, place: usize) -> Paths {
        self.reads().of_lookup(place).clone()
    }

    /// The fields that judging a rule takes.
    fn needed(&self, rule: &CompiledRule) -> Paths {
        let mut paths = self.read_by(rule, &[Root::Object, Root::OldObject]);
        match &rule.kind {
            Some(RuleKind::Change(change)) if compares(change) => paths.add(&change.scope.needed()),
            Some(RuleKind::Drift(drift)) => paths.add(&drift.scope.needed()),
            _ => {}
        }
        paths
    }

    /// What a rule on groups reads of the objects of the selection at `index`: to tell which groups they belong to and
    /// name, and as elements of `objects`.
    fn read_of_members(&self, rule: &CompiledRule, group: &Group, index: usize) -> Paths {
        let mut paths = Paths::NONE;
        let conditions = self.match_conditions.iter().map(|condition| &condition.program);
        conditions.for_each(|program| paths.add(program.reads().of(Root::Object)));
        if let Expected::Named { selection, by } = &group.expected
            && *selection == index
        {
            paths.add(by.reads().of(Root::Object));
        }
        if rule.judges(index) {
            paths.add(group.by.reads().of(Root::Object));
            rule.programs().for_each(|program| paths.add(&program.reads().of_members()));
        }
        paths
    }

    /// What the expressions of a rule read, the match conditions and what is said of what it looks up among them.
    fn read_by(&self, rule: &CompiledRule, roots: &[Root]) -> Paths {
        let mut paths = Paths::NONE;
        let conditions = self.match_conditions.iter().map(|condition| &condition.program);
        let mut add = |program: &Program| roots.iter().for_each(|root| paths.add(program.reads().of(*root)));
        conditions.for_each(&mut add);
        rule.programs().for_each(&mut add);
        let lookups = rule.lookups.iter().filter_map(|place| self.lookup(*place));
        lookups.flat_map(Lookup::programs).for_each(&mut add);
        paths
    }
}

/// What comes or goes is not compared with anything.
fn compares(change: &Change) -> bool {
    change.on.contains(&Operation::Update)
}

impl Selection {
    /// Whether it depends on the object's labels which objects it selects, whatever the API server applies.
    pub fn reads_labels(&self) -> bool {
        // A Namespace is matched by its own labels.
        self.filter.labels.is_some() && self.target.group.is_empty() && self.target.kind == "Namespace"
    }

    /// Whether its target can be applied to the objects of a watch of all of its kind.
    pub fn can_select_here(&self) -> bool {
        // A field selector is the API server's language, and a baseline is one object that a watch of its own finds.
        self.target.field_selector.is_empty() && self.filter.is_empty() && !self.is_baseline()
    }
}

/// Which object it is.
pub fn identity() -> Paths {
    Paths::only([
        &["apiVersion"][..],
        &["kind"],
        &["metadata", "name"],
        &["metadata", "namespace"],
        &["metadata", "uid"],
    ])
}

/// The labels of an object.
pub fn labels() -> Paths {
    let labels = Paths::of([("labels".into(), Keep::All)], Keep::Nothing, Keep::Nothing);
    Paths::of([("metadata".into(), Keep::Some(Box::new(labels)))], Keep::Nothing, Keep::Nothing)
}
