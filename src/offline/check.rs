//! Policies judged on manifests.

mod groups;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;

use self::groups::Groups;
use super::manifests::{Manifest, Manifests};
use super::related::Index;
use super::select::{Matcher, is_of_group, is_of_kind};
use crate::core::cel::Root;
use crate::core::engine::{Facts, Judgement, judge};
use crate::core::finding::{ObjectId, Severity};
use crate::core::policy::{CompiledPolicy, Role, Selection};
use crate::core::project::ProjectedObject;
use crate::core::rules::{Baseline, CompiledRule, RuleKind, Verdict};

/// Why nothing is judged by params that are not there.
const NO_PARAMS: &str = "there are no params for it";

/// What a rule says about an object that it selects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// It satisfies the rule.
    Compliant,
    /// It does not: what is wrong.
    Violation(Arc<str>),
    /// It is not judged: why.
    Skipped(Arc<str>),
    /// It could not be judged: why not.
    Error(Arc<str>),
}

/// One rule and one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The policy.
    pub policy: Arc<str>,
    /// The rule.
    pub rule: Arc<str>,
    /// The object.
    pub object: ObjectId,
    /// The severity that a finding has.
    pub severity: Severity,
    /// The verdict.
    pub said: Said,
}

/// What came of it, and what was not looked at.
#[derive(Debug, Default)]
pub struct Report {
    /// One entry for each rule and object that it selects, by policy, then object in the order of the manifests,
    /// then rule; of a rule on groups one for each group, after those of the objects, and one for each object that
    /// could not be placed.
    pub entries: Vec<Entry>,
    /// Objects at hand.
    pub objects: usize,
    /// Objects that a policy selects.
    pub selected: usize,
    /// Policies that were judged.
    pub policies: usize,
    /// Kinds that no policy watches, as `KIND (APIVERSION)`, and how many objects there are of them.
    pub unwatched: BTreeMap<String, usize>,
    /// Objects of a watched kind that no selection selects.
    pub unselected: usize,
    /// Objects that no policy judges, of kinds that are looked up.
    pub looked_up: usize,
    /// Whatever else is to be known, a sentence each.
    pub notes: Vec<String>,
}

impl Report {
    /// Whether every object satisfies every rule that is about it.
    pub fn is_compliant(&self) -> bool {
        self.entries.iter().all(|entry| matches!(entry.said, Said::Compliant | Said::Skipped(_)))
    }

    /// How many entries say something for which `which` holds.
    pub fn count(&self, which: impl Fn(&Said) -> bool) -> usize {
        self.entries.iter().filter(|entry| which(&entry.said)).count()
    }
}

/// Judges every object by every policy that selects it.
pub fn check(policies: &[Arc<CompiledPolicy>], manifests: &Manifests, now: Timestamp) -> Report {
    let mut report = Report { objects: manifests.objects.len(), ..Report::default() };
    let namespaces = Namespaces(manifests);
    let index = Index::new(manifests);
    let mut selected = HashSet::new();
    let mut assumed = BTreeSet::new();
    for policy in policies {
        if policy.suspended {
            report.notes.push(format!("policy {} is suspended; it judges nothing", policy.key));
            continue;
        }
        report.policies += 1;
        let mut groups = Groups::new(policy);
        let targets: Vec<Matcher<'_>> = policy.selections.iter().map(|s| Matcher::new(&s.target)).collect();
        for (at, manifest) in manifests.objects.iter().enumerate() {
            let mut gathered =
                Gathered { judged: HashSet::new(), groups: &mut groups, entries: &mut report.entries };
            let judging = policy.selections.iter().enumerate().filter(|(_, selection)| selection.is_judged());
            for (n, selection) in judging {
                if !targets[n].matches(&manifest.object) {
                    continue;
                }
                let own = manifest.object.id().namespace.as_ref();
                if let Some(own) =
                    own.filter(|own| policy.needs_namespaces() && manifests.assumed.contains_key(*own))
                {
                    assumed.insert(own.clone());
                }
                if !namespaces.admit(selection, &manifest.object) {
                    continue;
                }
                selected.insert(at);
                entries(policy, n, manifest, &index, now, &mut gathered);
            }
        }
        groups.judge(policy, &index.of(policy), now, &mut report.entries);
        idle(policy, &index, &mut report.notes);
    }
    report.selected = selected.len();
    unwatched(policies, manifests, &selected, &mut report);
    for namespace in assumed {
        report.notes.push(format!(
            "Namespace {namespace} is not among the manifests; it is taken as one without labels of its own"
        ));
    }
    for kind in &manifests.guessed {
        report.notes.push(format!(
            "whether {kind} lives in namespaces is not known, so it is taken to; add its CustomResourceDefinition"
        ));
    }
    if manifests.replaced > 0 {
        let count = manifests.replaced;
        report.notes.push(format!(
            "manifests of an object that is given again: {count}; the last counts, as for kubectl apply"
        ));
    }
    report
}

/// What is gathered while the objects are gone through.
struct Gathered<'g, 'm> {
    /// The rules that have judged the object already.
    judged: HashSet<Arc<str>>,
    groups: &'g mut Groups<'m>,
    entries: &'g mut Vec<Entry>,
}

fn entries<'m>(
    policy: &CompiledPolicy,
    index: usize,
    manifest: &'m Manifest,
    known: &Index<'_>,
    now: Timestamp,
    gathered: &mut Gathered<'_, 'm>,
) {
    let object = &manifest.object;
    let manifests = known.manifests;
    let namespaces = Namespaces(manifests);
    let namespace = object.id().namespace.as_deref().and_then(|name| namespaces.get(name));
    let resource = policy.uses(Root::Request).then_some(&manifest.resource);
    let mut said = HashMap::new();
    let facts = Facts {
        namespace_object: namespace.map(|namespace| namespace.root()),
        resource,
        schema: manifests.schemas.of(object.id()),
        now,
        related: &known.of(policy),
    };
    judge(policy, index, object, facts, |rule, judgement| {
        let verdict = match judgement {
            Judgement::Judged(Verdict::Compliant) => Said::Compliant,
            Judgement::Judged(Verdict::Violation(violation)) => Said::Violation(violation.message),
            Judgement::Judged(Verdict::Error(text)) => Said::Error(text),
            // It is in no group, and groups are what is judged.
            Judgement::Skipped(_) if rule.as_group().is_some() => return,
            Judgement::Skipped(condition) => {
                Said::Skipped(format!("matchCondition {condition} is false").into())
            }
            Judgement::NoParams => Said::Skipped(NO_PARAMS.into()),
            Judgement::Placed(place) => return gathered.groups.place(&rule.name, object, place),
            // Policies that do not compile are refused before.
            Judgement::NotInForce => return,
        };
        said.insert(rule.name.clone(), verdict);
    });
    for rule in policy.rules.iter().filter(|rule| rule.concerns(index)) {
        let unseen = unseen(rule).map(|why| Said::Skipped(why.into()));
        // Another selection of the same policy may select the same object: it is judged the same.
        if let Some(said) = unseen.or_else(|| said.remove(&rule.name))
            && gathered.judged.insert(rule.name.clone())
        {
            gathered.entries.push(Entry {
                policy: policy.key.0.clone(),
                rule: rule.name.clone(),
                object: object.id().clone(),
                severity: rule.severity,
                said,
            });
        }
    }
}

/// Why manifests, which have no past, do not show what a rule is about.
fn unseen(rule: &CompiledRule) -> Option<&'static str> {
    match &rule.kind {
        Some(RuleKind::Change(_)) => Some("about changes, which manifests do not show; give a --history"),
        Some(RuleKind::Drift(drift)) => match drift.baseline {
            Baseline::LastCompliant => Some(
                "about changes since the last compliant state, which manifests do not show; give a --history",
            ),
            Baseline::Object(_) => Some("about another object of a cluster, which is not looked up here"),
            Baseline::Inline(_) => None,
        },
        _ => None,
    }
}

/// The Namespaces at hand, and for objects whose own is not among them, one that has nothing but its name.
struct Namespaces<'a>(&'a Manifests);

impl Namespaces<'_> {
    fn get(&self, name: &str) -> Option<&Arc<ProjectedObject>> {
        self.0.namespaces.get(name).or_else(|| self.0.assumed.get(name))
    }

    fn admit(&self, selection: &Selection, object: &ProjectedObject) -> bool {
        selection.admits(object, |name| self.get(name).map(|namespace| namespace.labels()))
    }
}

/// Selections of which there is no object at all.
fn idle(policy: &CompiledPolicy, known: &Index<'_>, notes: &mut Vec<String>) {
    for selection in &policy.selections {
        let of = |which: fn(&crate::core::policy::Target, &ObjectId) -> bool| {
            known.manifests.objects.iter().find(|manifest| which(&selection.target, manifest.object.id()))
        };
        let (policy, kind) = (&policy.key, selection.target.display());
        let joined = matches!(selection.role, Role::Lookup(_));
        let name = if joined { selection.name.to_string() } else { format!("resource {}", selection.name) };
        match (of(is_of_kind), of(is_of_group)) {
            (Some(object), _) => {
                if object.object.id().namespace.is_none() && !selection.target.namespaces.is_empty() {
                    let field = if joined { "params.namespace" } else { "namespaces" };
                    notes.push(format!(
                        "policy {policy}, {name}: {kind} is cluster scoped, so {field} selects nothing; remove it"
                    ));
                }
            }
            (None, Some(other)) => notes.push(format!(
                "policy {policy}, {name}: no manifest is of {kind}; there are some of {}, which an API server may serve \
                 in both versions and this command can not",
                other.object.id().api_version
            )),
            (None, None) if joined && !known.is_served(&selection.target) => notes.push(format!(
                "policy {policy}, {name}: {kind} is taken as not installed: no manifest is of it, nor a \
                 CustomResourceDefinition that defines it"
            )),
            (None, None) => notes.push(format!("policy {policy}, {name}: no manifest is of {kind}")),
        }
    }
}

fn unwatched(
    policies: &[Arc<CompiledPolicy>],
    manifests: &Manifests,
    selected: &HashSet<usize>,
    report: &mut Report,
) {
    let active = || policies.iter().filter(|policy| !policy.suspended);
    for (at, manifest) in manifests.objects.iter().enumerate() {
        let id = manifest.object.id();
        if selected.contains(&at) {
            continue;
        }
        let selections = active().flat_map(|policy| &policy.selections);
        let mut of_kind = selections.filter(|selection| is_of_kind(&selection.target, id)).peekable();
        if of_kind.peek().is_some() {
            match of_kind.all(|selection| matches!(selection.role, Role::Lookup(_))) {
                true => report.looked_up += 1,
                false => report.unselected += 1,
            }
        } else {
            *report.unwatched.entry(format!("{} ({})", id.kind, id.api_version)).or_default() += 1;
        }
    }
}
