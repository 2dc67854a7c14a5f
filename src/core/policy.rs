//! A policy after compiling: all that the engine and the watches need, and nothing of its spec.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::alert::Route;
use super::cel::{NowUse, Program, Reads, Root, Variable, Want};
use super::finding::PolicyKey;
use super::labels::LabelMatcher;
use super::lookup::{Lookup, NoParams};
use super::project::ProjectedObject;
use super::rules::{CompiledRule, Group};
use super::tree::Node;

/// Every policy that is in force, by key. Published whole; readers compare, they are not told differences.
pub type PolicySet = BTreeMap<PolicyKey, Arc<CompiledPolicy>>;

/// One policy, compiled.
#[derive(Debug)]
pub struct CompiledPolicy {
    /// Which policy.
    pub key: PolicyKey,
    /// UID of its object: a policy of the same name that was created later is another policy.
    pub uid: Arc<str>,
    /// Generation of the spec that was compiled.
    pub generation: i64,
    /// True when the policy asks not to be judged.
    pub suspended: bool,
    /// What to watch.
    pub selections: Vec<Selection>,
    /// An object is judged only if all of these are true.
    pub match_conditions: Vec<Condition>,
    /// Values that the other expressions may read, in an order in which they may read each other.
    pub variables: Vec<Variable>,
    /// Related objects, by the places that programs know them by: each after those that it is found by. None for one
    /// that did not compile, which no rule in force reads.
    pub lookups: Vec<Option<Lookup>>,
    /// The place of `params` among the lookups, and what follows when there are none.
    pub params: Option<(usize, NoParams)>,
    /// Who is told of findings.
    pub routes: Vec<Route>,
    /// The labels of objects that routes read.
    pub noted_labels: BTreeSet<Arc<str>>,
    /// The rules, those that did not compile among them.
    pub rules: Vec<CompiledRule>,
    /// Every expression that compiled, in the order in which they may read each other.
    pub expressions: Vec<Located>,
    /// What did not compile. The rest of the policy is in force nevertheless.
    pub problems: Vec<Problem>,
}

impl CompiledPolicy {
    /// Whether any expression reads this name.
    pub fn uses(&self, root: Root) -> bool {
        self.programs().any(|program| program.uses(root))
    }

    /// The fields that any of its expressions reads.
    pub fn reads(&self) -> Reads {
        let mut reads = Reads::default();
        self.programs().for_each(|program| reads.add(program.reads()));
        reads
    }

    fn programs(&self) -> impl Iterator<Item = &Program> {
        let conditions = self.match_conditions.iter().map(|condition| &condition.program);
        let variables = self.variables.iter().map(|variable| &variable.program);
        let rules = self.rules.iter().flat_map(CompiledRule::programs);
        let lookups = self.lookups.iter().flatten().flat_map(Lookup::programs);
        conditions.chain(variables).chain(lookups).chain(rules)
    }

    /// The lookups that it takes to judge an object of the selection at `index`, or to tell which group it names.
    pub fn lookups_for(&self, index: usize) -> BTreeSet<usize> {
        // What is only found is not judged, whatever the match conditions look up.
        let is_judged = self.selections.get(index).is_some_and(Selection::is_judged);
        if self.lookups.is_empty() || !is_judged {
            return BTreeSet::new();
        }
        let rules = self.rules.iter().filter(|rule| rule.concerns(index));
        let of_groups = rules.clone().filter(|rule| rule.as_group().is_some_and(Group::reads_params));
        let of_groups = of_groups.flat_map(|_| self.params.map(|(place, _)| place));
        let of_rules = rules.flat_map(|rule| rule.lookups.iter().copied()).chain(of_groups);
        of_rules.chain(self.lookups_of_conditions()).collect()
    }

    /// The position of the selection of this name.
    pub fn selection(&self, name: &str) -> Option<usize> {
        self.selections.iter().position(|selection| *selection.name == *name)
    }

    /// The lookup at a place; none for one that did not compile.
    pub fn lookup(&self, place: usize) -> Option<&Lookup> {
        self.lookups.get(place)?.as_ref()
    }

    /// What the lookup at a place looks among.
    pub fn looked_among(&self, place: usize) -> Option<&Selection> {
        self.selections.get(self.lookup(place)?.selection)
    }

    /// Whether the lookup at a place is the one that finds `params`.
    pub fn is_params(&self, place: usize) -> bool {
        self.params.is_some_and(|(params, _)| params == place)
    }

    /// The lookups that match conditions take.
    pub fn lookups_of_conditions(&self) -> BTreeSet<usize> {
        let programs = self.match_conditions.iter().map(|condition| &condition.program);
        programs.flat_map(|program| program.lookups().iter().copied()).collect()
    }

    /// Whether any rule needs to know who changed which field.
    pub fn asks_who(&self) -> bool {
        self.rules.iter().any(CompiledRule::asks_who)
    }

    /// Whether the passing of time may change a verdict at a moment that cannot be told. What only words a finding does
    /// not count, nor do rules on changes, which are judged once.
    pub fn needs_interval(&self) -> bool {
        let states = self.rules.iter().filter(|rule| rule.as_change().is_none() && rule.kind.is_some());
        let conditions = self.match_conditions.iter().map(|condition| &condition.program);
        let judged = states.clone().next().into_iter().flat_map(|_| conditions.clone());
        let unforeseen = |program: &Program| program.now_use() == NowUse::Unforeseen;
        judged.chain(states.flat_map(CompiledRule::decisive)).any(unforeseen)
    }

    /// Whether judging it needs the namespaces of the cluster.
    pub fn needs_namespaces(&self) -> bool {
        self.selections.iter().any(|s| s.filter.labels.is_some()) || self.uses(Root::NamespaceObject)
    }
}

/// A match condition.
#[derive(Debug, Clone)]
pub struct Condition {
    /// Its name in the policy.
    pub name: Arc<str>,
    /// True for objects that are to be judged.
    pub program: Program,
}

/// An expression and where it stands.
#[derive(Debug, Clone)]
pub struct Located {
    /// Path of the field, such as `spec.rules[2].expression`.
    pub field: String,
    /// What it is for.
    pub part: Part,
    /// What it has to come out as.
    pub want: Want,
    /// The expression.
    pub program: Program,
}

/// What an expression is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The value of the variable of this name.
    Variable(Arc<str>),
    /// What the lookup of this name finds.
    Lookup(Arc<str>),
    /// Whether the policy is about an object.
    MatchCondition,
    /// The rule of this name, at this place in the list of rules.
    Rule(Arc<str>, usize),
    /// The same of a rule on groups, for what is about a group and not about an object.
    Group(Arc<str>, usize),
    /// The same of a rule on groups, for what says which group an object of its `groups.resource` names.
    Expected(Arc<str>, usize),
}

impl Part {
    /// The rule that it is part of, when it is part of one.
    pub fn rule(&self) -> Option<&Arc<str>> {
        match self {
            Self::Rule(name, _) | Self::Group(name, _) | Self::Expected(name, _) => Some(name),
            Self::Variable(_) | Self::Lookup(_) | Self::MatchCondition => None,
        }
    }
}

/// Why a part of a policy is not in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Path of the field, such as `spec.rules[2].expression`.
    pub field: String,
    /// The rule that is not in force because of it, when it is one.
    pub rule: Option<Arc<str>>,
    /// What is wrong and what to do.
    pub message: String,
}

/// One entry of `spec.resources`.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// How rules refer to it.
    pub name: Arc<str>,
    /// What the API server is asked for.
    pub target: Target,
    /// What is sorted out here.
    pub filter: NamespaceFilter,
    /// What its objects are for.
    pub role: Role,
    /// Set when the selection is written so that nothing can be asked for.
    pub invalid: Option<String>,
}

/// What the objects of a selection are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// To be judged.
    Judged,
    /// To be compared with, by a drift rule.
    Baseline,
    /// To be found by the lookup at this place.
    Lookup(usize),
}

impl Selection {
    /// Whether its objects are judged.
    pub fn is_judged(&self) -> bool {
        self.role == Role::Judged
    }

    /// Whether it finds what a drift rule compares with.
    pub fn is_baseline(&self) -> bool {
        self.role == Role::Baseline
    }

    /// Whether an object that the API server hands out for the target is selected. `labels_of` gives the labels of
    /// a namespace when it exists. A Namespace is matched by its own labels, as in admission policies.
    pub fn admits<'a>(
        &self,
        object: &'a ProjectedObject,
        labels_of: impl Fn(&str) -> Option<Option<&'a Node>>,
    ) -> bool {
        let id = object.id();
        if id.namespace.is_none() && &*id.kind == "Namespace" && &*id.api_version == "v1" {
            return self.filter.admits(Some(&id.name), |_| Some(object.labels()));
        }
        self.filter.admits(id.namespace.as_deref(), labels_of)
    }
}

/// The part of a selection that the API server applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// API group; empty for the core group.
    pub group: String,
    /// Version; none follows the version that the server prefers.
    pub version: Option<String>,
    /// Kind.
    pub kind: String,
    /// Only in these namespaces; empty for all.
    pub namespaces: BTreeSet<String>,
    /// Only objects with these names; empty for all.
    pub names: BTreeSet<String>,
    /// Only objects whose labels match.
    pub labels: LabelMatcher,
    /// Text of the field selector; empty for all.
    pub field_selector: String,
}

impl Target {
    /// Whether it is every object of the kind.
    pub fn is_everything(&self) -> bool {
        self.namespaces.is_empty()
            && self.names.is_empty()
            && self.labels.is_empty()
            && self.field_selector.is_empty()
    }

    /// Whether its label selector selects some objects and others not.
    pub fn reads_labels(&self) -> bool {
        !self.labels.is_empty()
    }

    /// Whether it selects this object of its kind, its field selector aside.
    pub fn selects(&self, object: &ProjectedObject) -> bool {
        let id = object.id();
        (self.namespaces.is_empty()
            || id.namespace.as_deref().is_some_and(|namespace| self.namespaces.contains(namespace)))
            && (self.names.is_empty() || self.names.contains(&*id.name))
            && self.labels.matches(object.labels())
    }

    /// `apiVersion` as the user wrote it, with `*` for whichever version the server prefers.
    pub fn api_version(&self) -> String {
        let version = self.version.as_deref().unwrap_or("*");
        match self.group.as_str() {
            "" => version.to_owned(),
            group => format!("{group}/{version}"),
        }
    }

    /// `apiVersion kind` as the user wrote it, for messages.
    pub fn display(&self) -> String {
        format!("{} {}", self.api_version(), self.kind)
    }
}

/// The part of a selection that is applied here, because the API server cannot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamespaceFilter {
    /// Only objects in namespaces whose labels match.
    pub labels: Option<LabelMatcher>,
    /// No objects in these namespaces.
    pub exclude: BTreeSet<Arc<str>>,
}

impl NamespaceFilter {
    /// Whether it lets everything through.
    pub fn is_empty(&self) -> bool {
        self.labels.is_none() && self.exclude.is_empty()
    }

    /// Whether an object in `namespace` passes. `labels_of` gives the labels of a namespace when it exists.
    ///
    /// As in admission policies, a cluster scoped object passes a label selector for namespaces.
    pub fn admits<'a>(
        &self,
        namespace: Option<&str>,
        labels_of: impl Fn(&str) -> Option<Option<&'a Node>>,
    ) -> bool {
        let Some(namespace) = namespace else { return true };
        if self.exclude.contains(namespace) {
            return false;
        }
        match &self.labels {
            None => true,
            Some(matcher) => labels_of(namespace).is_some_and(|labels| matcher.matches(labels)),
        }
    }
}
