//! What is right, worked out from scratch: every object and every group is judged by going through all objects.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::super::params::missing;
use super::super::super::{Facts, Judgement, judge};
use super::history::History;
use super::objects::is_cluster_scoped;
use crate::core::cel::{Bindings, Found, GroupInputs};
use crate::core::chain::Chain;
use crate::core::fields::Fields;
use crate::core::finding::{FindingKey, ObjectId, PolicyKey, Severity};
use crate::core::lookup::{Answer, NoParams, Place, Query, Related, Wanted};
use crate::core::policy::{CompiledPolicy, Role, Selection};
use crate::core::project::ProjectedObject;
use crate::core::rules::{CompiledRule, Expected, Group, Verdict, Violation};
use crate::core::tree::Node;

/// What can be said of one rule and one object or group.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) object: ObjectId,
    pub(super) severity: Severity,
    /// None while not all is known that it takes.
    pub(super) verdict: Option<Verdict>,
}

/// What can be said of one policy.
#[derive(Debug, Default)]
pub(super) struct Picture {
    pub(super) said: BTreeMap<FindingKey, Said>,
    /// The objects that were told, by selection: what is not said of them is not so.
    pub(super) told: BTreeSet<(Arc<str>, Arc<str>)>,
    /// Whether nothing is judged because the namespaces are not known.
    pub(super) is_blind: bool,
    /// Whether groups wait for params.
    pub(super) waits: bool,
    /// Selections of which all is known.
    pub(super) settled: BTreeSet<Arc<str>>,
    /// Rules on groups of which the groups are known at present.
    pub(super) grouped: BTreeSet<Arc<str>>,
}

/// Finds by going through all objects, and remembers what it was asked.
pub(super) struct Scan<'h> {
    pub(super) history: &'h History,
    pub(super) policy: &'h CompiledPolicy,
    pub(super) asked: RefCell<BTreeMap<usize, Query>>,
}

impl std::fmt::Debug for Scan<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scan")
    }
}

impl Related for Scan<'_> {
    fn find(&self, selection: usize, query: &Query) -> Answer {
        let selection = &self.policy.selections[selection];
        let Role::Lookup(place) = selection.role else { panic!("a selection of a lookup") };
        let kind = &*selection.target.kind;
        let mut query = query.clone();
        if is_cluster_scoped(kind) {
            query.namespace = None;
        }
        self.asked.borrow_mut().insert(place, query.clone());
        let Some(watch) = self.history.watches.get(kind) else { return Answer::NotServed };
        if !watch.synced {
            return Answer::NotKnown;
        }
        if !is_cluster_scoped(kind) && query.namespace.is_none() && matches!(query.wanted, Wanted::Names(_)) {
            self.asked.borrow_mut().remove(&place);
            return Answer::NoNamespace;
        }
        let found = watch.told.values().filter(|object| finds(selection, &query, object));
        Answer::Objects(found.map(|object| (**object).clone()).collect())
    }
}

fn finds(selection: &Selection, query: &Query, object: &ProjectedObject) -> bool {
    let label = |key: &str| object.root().get("metadata")?.get("labels")?.get(key)?.as_str().cloned();
    let target = &selection.target;
    let wanted = match &query.wanted {
        Wanted::All => true,
        Wanted::Names(names) => names.iter().any(|name| *name == object.id().name),
        Wanted::Labels(labels) => {
            labels.iter().all(|(key, values)| label(key).is_some_and(|own| values.contains(&own)))
        }
    };
    let here = query.namespace.is_none() || query.namespace == object.id().namespace;
    let named = target.names.is_empty() || target.names.contains(&*object.id().name);
    let within = target.namespaces.is_empty()
        || object.id().namespace.as_ref().is_some_and(|namespace| target.namespaces.contains(&**namespace));
    wanted && here && named && within && target.labels.matches(object.labels())
}

impl<'h> Scan<'h> {
    pub(super) fn new(history: &'h History, policy: &'h CompiledPolicy) -> Self {
        Self { history, policy, asked: RefCell::default() }
    }

    fn namespace(&self, name: &str) -> Option<&'h Arc<ProjectedObject>> {
        self.history.watches["Namespace"].told.values().find(|namespace| *namespace.id().name == *name)
    }

    fn knows_namespaces(&self) -> bool {
        !self.policy.needs_namespaces() || self.history.watches["Namespace"].synced
    }

    /// The objects that a selection of the policy judges; nothing while that is not known.
    pub(super) fn judged(&self, index: usize) -> Vec<&'h Arc<ProjectedObject>> {
        let selection = &self.policy.selections[index];
        let Some(watch) = self.history.watches.get(&*selection.target.kind) else { return Vec::new() };
        let all = Query { namespace: None, wanted: Wanted::All };
        let selected = |object: &&'h Arc<ProjectedObject>| {
            let labels = |name: &str| self.namespace(name).map(|namespace| namespace.labels());
            finds(selection, &all, object) && selection.admits(object, labels)
        };
        watch.told.values().filter(selected).collect()
    }

    /// Judges one object by the rules of the policy.
    pub(super) fn judge(
        &self,
        index: usize,
        object: &ProjectedObject,
        each: impl FnMut(&CompiledRule, Judgement),
    ) {
        let namespace = object.id().namespace.as_ref().and_then(|name| self.namespace(name));
        let facts = Facts {
            namespace_object: namespace.map(|namespace| namespace.root()),
            resource: None,
            schema: None,
            now: self.history.now,
            related: self,
        };
        judge(self.policy, index, object, facts, each);
    }

    fn is_known(&self, place: usize) -> bool {
        let lookup = self.policy.lookups[place].as_ref().expect("a lookup");
        let kind = &*self.policy.selections[lookup.selection].target.kind;
        self.history.watches.get(kind).is_none_or(|watch| watch.synced)
    }

    fn is_settled(&self, index: usize) -> bool {
        let Some(watch) = self.history.watches.get(&*self.policy.selections[index].target.kind) else {
            return true;
        };
        let rules = self.policy.rules.iter().filter(|rule| rule.concerns(index));
        let mut takes = self.policy.lookups_of_conditions();
        for rule in rules {
            takes.extend(&rule.lookups);
            takes.extend(self.params_of(rule));
        }
        watch.synced && self.knows_namespaces() && takes.iter().all(|place| self.is_known(*place))
    }

    /// The params that groups are judged by.
    fn params_of(&self, rule: &CompiledRule) -> Option<usize> {
        let reads = rule.as_group().is_some_and(Group::reads_params);
        self.policy.params.filter(|_| reads).map(|(place, _)| place)
    }

    fn groups(
        &self,
        rule: &CompiledRule,
        members: &BTreeMap<Arc<str>, Vec<&ProjectedObject>>,
        picture: &mut Picture,
    ) {
        let group = rule.as_group().expect("a rule on groups");
        let kinds = self.policy.selections.iter().filter_map(|s| self.history.watches.get(&*s.target.kind));
        let held = kinds.into_iter().any(|watch| watch.listing.is_some());
        let mut concerned = (0..self.policy.selections.len()).filter(|index| rule.concerns(*index));
        let known = concerned.all(|index| picture.settled.contains(&self.policy.selections[index].name));
        if held || !known {
            return;
        }
        picture.grouped.insert(rule.name.clone());
        for (key, objects) in members {
            let mut objects = objects.clone();
            objects.sort_by_key(|object| {
                let id = object.id();
                (id.kind.clone(), id.namespace.clone(), id.name.clone(), id.uid.clone())
            });
            objects.dedup_by_key(|object| object.id().uid.clone());
            let roots: Vec<&Node> = objects.iter().map(|object| object.root()).collect();
            let inputs = || GroupInputs { objects: &roots, group: key, now: self.history.now };
            let object = ObjectId::of_group(key);
            let mut said = Said { object, severity: rule.severity, verdict: None };
            let finding = FindingKey::of_group(rule.name.clone(), key);
            if self.params_of(rule).is_some_and(|place| !self.is_known(place)) {
                picture.said.insert(finding, said);
                picture.waits = true;
                continue;
            }
            let verdict = match self.params_of(rule) {
                None => Some(group.judge(&rule.name, &mut Bindings::of_group(inputs()))),
                Some(place) => self.by_params(place, |params| {
                    let mut bindings = Bindings::of_group(inputs());
                    bindings.bind_lookup(place, Found::One(Some(params.root())));
                    group.judge(&rule.name, &mut bindings)
                }),
            };
            if verdict.is_some() {
                said.verdict = verdict;
                picture.said.insert(finding, said);
            }
        }
    }

    fn by_params(&self, place: usize, mut judge: impl FnMut(&ProjectedObject) -> Verdict) -> Option<Verdict> {
        let lookup = self.policy.lookups[place].as_ref()?;
        let Place::Namespace(namespace) = &lookup.place else { panic!("params of one place") };
        let query = Query { namespace: Some(namespace.clone()), wanted: Wanted::All };
        let Answer::Objects(found) = self.find(lookup.selection, &query) else { panic!("they are known") };
        if found.is_empty() {
            let message = missing(self.policy, place, Some(&query)).into();
            let violation = Violation { message, fields: Fields::default(), chain: Chain::default() };
            let deny = self.policy.params.is_some_and(|(_, otherwise)| otherwise == NoParams::Violate);
            return deny.then_some(Verdict::Violation(violation));
        }
        let verdicts: Vec<Verdict> = found.iter().map(&mut judge).collect();
        let violation = verdicts.iter().find(|verdict| matches!(verdict, Verdict::Violation(_)));
        let error = verdicts.iter().find(|verdict| matches!(verdict, Verdict::Error(_)));
        Some(violation.or(error).cloned().unwrap_or(Verdict::Compliant))
    }
}

/// All that can be said of a policy, as things are.
pub(super) fn picture(history: &History, key: &PolicyKey) -> Picture {
    let policy = &history.policies[key].1;
    let scan = Scan::new(history, policy);
    let mut picture = Picture::default();
    let mut groups: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Vec<&ProjectedObject>>> = BTreeMap::new();
    for rule in &policy.rules {
        if let Some(Expected::Values(keys)) = rule.as_group().map(|group| &group.expected) {
            let known = groups.entry(rule.name.clone()).or_default();
            known.extend(keys.iter().map(|key| (key.clone(), Vec::new())));
        }
    }
    for (index, selection) in policy.selections.iter().enumerate() {
        if scan.is_settled(index) {
            picture.settled.insert(selection.name.clone());
        }
        let Some(watch) = history.watches.get(&*selection.target.kind).filter(|_| selection.is_judged())
        else {
            continue;
        };
        let told = watch.told.values().map(|object| (selection.name.clone(), object.id().uid.clone()));
        picture.told.extend(told);
        if !scan.knows_namespaces() {
            picture.is_blind = true;
            continue;
        }
        for object in scan.judged(index) {
            scan.judge(index, object, |rule, judgement| {
                let uid = object.id().uid.clone();
                let verdict = match judgement {
                    Judgement::Judged(verdict) => Some(verdict),
                    Judgement::NotInForce => None,
                    Judgement::Skipped(_) | Judgement::NoParams => return,
                    Judgement::Placed(place) => {
                        let groups = groups.entry(rule.name.clone()).or_default();
                        for key in place.member_of {
                            groups.entry(key).or_default().push(object);
                        }
                        for key in place.expects {
                            groups.entry(key).or_default();
                        }
                        return;
                    }
                };
                let key = FindingKey { rule: rule.name.clone(), selection: selection.name.clone(), uid };
                let said = Said { object: object.id().clone(), severity: rule.severity, verdict };
                picture.said.insert(key, said);
            });
        }
    }
    for rule in policy.rules.iter().filter(|rule| rule.as_group().is_some()) {
        let none = BTreeMap::new();
        scan.groups(rule, groups.get(&rule.name).unwrap_or(&none), &mut picture);
    }
    picture
}
