//! One object, one policy: the namespace filter, the match conditions, the rules.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::asked::{Asked, Queries};
use super::plan::{Comparison, Plan};
use super::related::InWatches;
use super::subject::Subject;
use super::{Engine, Outcome};
use crate::core::cel::{Bindings, Inputs};
use crate::core::event::WatchId;
use crate::core::finding::{FindingKey, ObjectId, Resolution};
use crate::core::lookup::{Arena, Related};
use crate::core::policy::CompiledPolicy;
use crate::core::project::ProjectedObject;
use crate::core::rules::{self, CompiledRule, DriftVerdict, Operation, Place, RuleKind, Verdict, error_text};
use crate::core::schema::Schema;
use crate::core::tags::Tags;
use crate::core::tree::Node;

/// What an object is judged by, beside itself.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The Namespace that the object is in.
    pub namespace_object: Option<&'a Node>,
    /// Group, version and plural of its kind; none when the policy does not read `request`.
    pub resource: Option<&'a [Arc<str>; 3]>,
    /// The schema of its kind, when it is known.
    pub schema: Option<&'a Schema>,
    /// The time of judging.
    pub now: Timestamp,
    /// Knows what lookups find.
    pub related: &'a dyn Related,
}

/// What a rule makes of an object that its selection selects.
#[derive(Debug, Clone, PartialEq)]
pub enum Judgement {
    /// It was judged.
    Judged(Verdict),
    /// The match condition of this name is false.
    Skipped(Arc<str>),
    /// There are no params for it.
    NoParams,
    /// It is one of a group, names one, or neither; groups are judged when all objects are known.
    Placed(Place),
    /// Nothing can be said: the rule does not compile at present, or its baseline or what it looks up is not known.
    NotInForce,
}

/// Judges an object by each rule of `policy` that is about states of the selection at `index`, in the order of the
/// spec, as if it was never seen before. Whether the selection selects the object is not asked.
pub fn judge(
    policy: &CompiledPolicy,
    index: usize,
    object: &ProjectedObject,
    facts: Facts<'_>,
    mut each: impl FnMut(&CompiledRule, Judgement),
) {
    let rules = policy.rules.iter().filter(|rule| rule.concerns(index) && rule.as_change().is_none());
    let _ = ask(policy, rules, object, facts, |rule, admission, asked| {
        let case = rules::Case {
            object,
            before: None,
            open: None,
            drifted: None,
            reference: None,
            schema: facts.schema,
            now: facts.now,
        };
        let judgement = match (&rule.kind, admission) {
            (None | Some(RuleKind::Change(_)), _) | (_, Admission::NotKnown) => Judgement::NotInForce,
            (_, Admission::Skipped(condition)) => Judgement::Skipped(condition.clone()),
            (_, Admission::Failed(error)) => Judgement::Judged(Verdict::Error(error.clone())),
            (Some(RuleKind::Group(group)), Admission::Judged) => {
                match group.place(rule.judges(index), group.expects(index), &mut asked.bindings) {
                    Ok(place) => Judgement::Placed(place),
                    Err(text) => Judgement::Judged(Verdict::Error(text)),
                }
            }
            (Some(RuleKind::State(state)), Admission::Judged) => match asked.state(rule, state) {
                Some(verdict) => Judgement::Judged(verdict),
                None => Judgement::NoParams,
            },
            (Some(RuleKind::Drift(drift)), Admission::Judged) => match drift.judge(&mut asked.bindings, case)
            {
                DriftVerdict::Known(verdict, _) => Judgement::Judged(verdict),
                DriftVerdict::Wait | DriftVerdict::Lost => Judgement::NotInForce,
            },
        };
        each(rule, judgement);
    });
}

/// What asking a policy about an object came to, beside what its rules say.
struct Answered {
    /// When a comparison with `now` comes out otherwise, the object being as it is.
    moment: Option<Timestamp>,
    /// The lookups that were made.
    queries: Queries,
    /// Whether the object is one that the rules are about.
    admitted: bool,
}

/// Evaluates the match conditions, looks up what the rules read, and turns to each of them.
fn ask<'p>(
    policy: &'p CompiledPolicy,
    rules: impl Iterator<Item = &'p CompiledRule> + Clone,
    object: &ProjectedObject,
    facts: Facts<'_>,
    mut each: impl FnMut(&CompiledRule, &Admission, &mut Asked<'_>),
) -> Answered {
    let request = facts.resource.map(|resource| request(Operation::Create, resource, object.id()));
    let bindings = Bindings::new(Inputs {
        object: Some(object.root()),
        old_object: None,
        namespace_object: facts.namespace_object,
        request: request.as_ref(),
        now: facts.now,
        variables: &policy.variables,
    });
    let arena = Arena::new(policy);
    let mut asked = Asked::new(policy, object, bindings, &arena, facts.related);
    let admission = asked.admission();
    let admitted = matches!(admission, Admission::Judged);
    if admitted {
        rules.clone().for_each(|rule| asked.look_up(rule));
    }
    for rule in rules {
        match asked.knows(rule) {
            true => each(rule, &admission, &mut asked),
            false => each(rule, &Admission::NotKnown, &mut asked),
        }
    }
    Answered { moment: asked.bindings.next_flip(), queries: asked.joined.queries, admitted }
}

/// Why an object is judged.
#[derive(Clone, Copy)]
pub(super) enum Case<'a> {
    /// It is new to the reader, or something else changed on which verdicts depend: all rules are asked.
    Again,
    /// It changed: those rules are asked that read something of what changed.
    Changed(&'a Comparison<'a>),
}

impl Engine {
    pub(super) fn judge(
        &mut self,
        plan: &Plan,
        watch: WatchId,
        case: Case<'_>,
        object: &ProjectedObject,
        now: Timestamp,
        out: &mut Outcome,
    ) {
        let (reader, policy) = (&plan.reader, &plan.policy);
        // Not all that it reads is known yet; what is known of it stays.
        if object.generation() < plan.terms.since {
            return;
        }
        // Of what it was when an earlier process saw it last it may have drifted since.
        let last_known = matches!(case, Case::Again).then(|| self.last_known(plan, watch, object)).flatten();
        let (before, comparison) = match case {
            Case::Again => (last_known.as_deref(), None),
            Case::Changed(comparison) if plan.by_labels && comparison.relabelled() => {
                (Some(comparison.before), None)
            }
            Case::Changed(comparison) => (Some(comparison.before), Some(comparison)),
        };
        let asked = |(rule, view): &(&CompiledRule, &usize)| {
            rule.concerns(plan.index)
                && rule.as_change().is_none()
                && comparison.is_none_or(|comparison| comparison.differs(**view))
        };
        let rules = || policy.rules.iter().zip(&plan.views);
        let unasked = || rules().any(|pair| pair.0.tells_moments() && !asked(&pair));
        let rules = rules().filter(asked).map(|(rule, _)| rule);
        if comparison.is_some() && rules.clone().next().is_none() {
            return;
        }
        let Some(tracked) = self.policies.get_mut(&reader.policy) else {
            return;
        };
        if !self.watches.knows_namespaces_for(tracked) {
            return;
        }
        let uid = &object.id().uid;
        if !plan.selects(object) || !self.watches.admits(&policy.selections[plan.index], object) {
            tracked.forget(&reader.selection, uid.clone(), Resolution::NotSelected, &reader.policy, out);
            tracked.unjoin(watch, plan, object);
            tracked.groups.remove(object.id(), (plan.index, watch), &self.watches);
            tracked.forget_moment(watch, plan, object);
            self.quiet.note(&reader.policy, &mut tracked.ledger);
            self.wake_groups(&reader.policy);
            return;
        }
        let namespace_object =
            object.id().namespace.as_deref().and_then(|name| self.watches.namespace(name)).map(|o| o.root());
        let resource = self.watches.by_id.get(&watch).map(|w| &w.route.resource);
        let resource = resource.filter(|_| tracked.uses_request);
        let schema = self.schemas.of(object.id());
        let related = InWatches { watches: &self.watches, policy, sources: &tracked.sources };
        let facts = Facts { namespace_object, resource, schema, now, related: &related };
        self.judged += 1;
        let (ledger, feeds, watches) = (&mut tracked.ledger, &tracked.feeds, &self.watches);
        let (groups, by) = (&mut tracked.groups, (plan.index, watch));
        let noted = Noted { policy, object, tags: OnceCell::new() };
        let mut key = FindingKey { rule: "".into(), selection: reader.selection.clone(), uid: uid.clone() };
        let answered = ask(policy, rules, object, facts, |rule, admission, asked| {
            key.rule = rule.name.clone();
            if let Some(group) = rule.as_group() {
                let placed = match admission {
                    Admission::NotKnown => return,
                    Admission::Skipped(_) => Ok(Place::default()),
                    Admission::Failed(error) => Err(error.clone()),
                    Admission::Judged => {
                        group.place(rule.judges(plan.index), group.expects(plan.index), &mut asked.bindings)
                    }
                };
                // What it is to a group stands in no finding of its own, and why that is not known does.
                let transition = match &placed {
                    Ok(_) => ledger.forget(&key, Resolution::NotSelected),
                    Err(error) => ledger.enter(
                        &key,
                        rule.severity,
                        noted.about(false),
                        Verdict::Error(error.clone()),
                        now,
                    ),
                };
                out.extend(transition.map(|t| (reader.policy.clone(), t)));
                groups.place(rule, object, by, &placed.unwrap_or_default(), watches);
                return;
            }
            let verdict = match (&rule.kind, admission) {
                // What was found before stays until the rule can be judged again.
                (None | Some(RuleKind::Change(_) | RuleKind::Group(_)), _) => DriftVerdict::Wait,
                (_, Admission::NotKnown) => {
                    ledger.suspend(&key);
                    return;
                }
                (_, Admission::Skipped(_)) => {
                    let skipped = ledger.forget(&key, Resolution::NotSelected);
                    out.extend(skipped.map(|t| (reader.policy.clone(), t)));
                    return;
                }
                (_, Admission::Failed(error)) => {
                    let drifted = ledger.drifted(&key).cloned();
                    DriftVerdict::Known(Verdict::Error(error.clone()), drifted)
                }
                (Some(RuleKind::State(state)), Admission::Judged) => {
                    let Some(verdict) = asked.state(rule, state) else {
                        let skipped = ledger.forget(&key, Resolution::NoParams);
                        out.extend(skipped.map(|t| (reader.policy.clone(), t)));
                        return;
                    };
                    DriftVerdict::Known(verdict, None)
                }
                (Some(RuleKind::Drift(drift)), Admission::Judged) => {
                    let feeds = rule.baseline().and_then(|baseline| feeds.get(baseline));
                    let reference = watches.only(feeds.into_iter().flatten());
                    let case = rules::Case {
                        object,
                        before,
                        open: ledger.standing(&key).map(|finding| &**finding),
                        drifted: ledger.drifted(&key),
                        reference,
                        schema,
                        now,
                    };
                    drift.judge(&mut asked.bindings, case)
                }
            };
            let transition = match verdict {
                DriftVerdict::Known(verdict, drifted) => {
                    let about = noted.about(matches!(verdict, Verdict::Violation(_)));
                    let transition = ledger.enter(&key, rule.severity, about, verdict, now);
                    ledger.keep_drifted(&key, drifted);
                    transition
                }
                DriftVerdict::Wait => {
                    ledger.confirm(&key);
                    None
                }
                DriftVerdict::Lost => ledger.forget(&key, Resolution::BaselineLost),
            };
            out.extend(transition.map(|t| (reader.policy.clone(), t)));
        });
        // Of rules that were not asked, the moments that are known stay.
        tracked.note_moment(watch, plan, object, answered.moment, unasked);
        if !policy.lookups.is_empty() {
            let subject = Subject::new(watch, plan, object);
            tracked.note_queries(subject, answered.queries, answered.admitted);
        }
        self.quiet.note(&reader.policy, &mut tracked.ledger);
        if !tracked.groups.is_empty() {
            self.wake_groups(&reader.policy);
        }
    }
}

/// What is noted of an object, once a finding asks for it.
struct Noted<'a> {
    policy: &'a CompiledPolicy,
    object: &'a ProjectedObject,
    tags: OnceCell<Tags>,
}

impl Noted<'_> {
    fn about(&self, is_finding: bool) -> (&ObjectId, &Tags) {
        static NOTHING: Tags = Tags { labels: BTreeMap::new(), silence: None };
        let tags = || self.tags.get_or_init(|| Tags::of(self.policy, self.object));
        (self.object.id(), if is_finding { tags() } else { &NOTHING })
    }
}

pub(super) enum Admission {
    Judged,
    /// What the conditions or the rule look up is not known yet.
    NotKnown,
    /// By the condition of this name.
    Skipped(Arc<str>),
    Failed(Arc<str>),
}

/// As in admission policies: one false condition skips the object, whatever the others say.
pub(super) fn match_conditions(policy: &CompiledPolicy, bindings: &mut Bindings<'_>) -> Admission {
    let mut failed = None;
    for condition in &policy.match_conditions {
        match condition.program.evaluate_bool(bindings) {
            Ok(true) => {}
            Ok(false) => return Admission::Skipped(condition.name.clone()),
            Err(error) => {
                let text = format!("matchCondition {}: {error}", condition.name);
                failed.get_or_insert_with(|| error_text(&text));
            }
        }
    }
    failed.map_or(Admission::Judged, Admission::Failed)
}

/// `request`. A state is judged as if the object was created in it.
pub(super) fn request(
    operation: Operation,
    [group, version, resource]: &[Arc<str>; 3],
    object: &ObjectId,
) -> Node {
    let map = |fields: &[(&str, &Arc<str>)]| {
        let entries = fields.iter().map(|(key, value)| ((*key).into(), Node::Str((*value).clone())));
        Node::Map(entries.collect())
    };
    let empty: Arc<str> = "".into();
    // To an API server a Namespace is in itself.
    let namespace = match (&**group, &*object.kind) {
        ("", "Namespace") => &object.name,
        _ => object.namespace.as_ref().unwrap_or(&empty),
    };
    let text = |text: &Arc<str>| Node::Str(text.clone());
    Node::Map(
        [
            ("operation".into(), Node::Str(operation.as_str().into())),
            ("kind".into(), map(&[("group", group), ("version", version), ("kind", &object.kind)])),
            ("resource".into(), map(&[("group", group), ("version", version), ("resource", resource)])),
            ("namespace".into(), text(namespace)),
            ("name".into(), text(&object.name)),
        ]
        .into(),
    )
}
