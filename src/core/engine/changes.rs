//! One change of one object, one policy: the rules on changes. Judged when the change is seen and never again,
//! whatever becomes of the policy.

use std::sync::Arc;

use jiff::Timestamp;

use super::asked::Asked;
use super::judge::{Admission, request};
use super::plan::{Comparison, Plan};
use super::related::InWatches;
use super::{Engine, Outcome};
use crate::core::cel::{Bindings, Inputs};
use crate::core::event::WatchId;
use crate::core::finding::{Finding, FindingKey, Occurrence, Resolution, Transition};
use crate::core::lookup::Arena;
use crate::core::project::ProjectedObject;
use crate::core::rules::{CompiledRule, Operation, Verdict, Violation};
use crate::core::tags::Tags;

/// A change is judged when it is seen or never.
const NOT_KNOWN: &str = "when it changed, what the rule looks up was not known yet";

/// What happened to an object.
#[derive(Clone, Copy)]
pub(super) enum Happened<'a> {
    Came(&'a ProjectedObject),
    Changed(&'a Comparison<'a>),
    Went(&'a ProjectedObject),
}

impl Engine {
    /// With `missed`, the change happened after an earlier process knew the object at that time: it may have told of it.
    pub(super) fn judge_change(
        &mut self,
        plan: &Plan,
        watch: WatchId,
        happened: Happened<'_>,
        missed: Option<Timestamp>,
        now: Timestamp,
        out: &mut Outcome,
    ) {
        let policy = &plan.policy;
        // For who selects by itself, what ceases to be selected is gone, as it is for who leaves it to the API server.
        let selected = |object: &&ProjectedObject| plan.selects(object);
        let (before, after, comparison) = match happened {
            Happened::Came(object) => (None, Some(object).filter(selected), None),
            Happened::Went(object) => (Some(object).filter(selected), None, None),
            Happened::Changed(c) => {
                (Some(c.before).filter(selected), Some(c.after).filter(selected), Some(c))
            }
        };
        let (operation, object) = match (before, after) {
            (Some(_), Some(after)) => (Operation::Update, after),
            (None, Some(after)) => (Operation::Create, after),
            (Some(before), None) => (Operation::Delete, before),
            (None, None) => return,
        };
        let asked = |(rule, view): &(&CompiledRule, &usize)| {
            let concerns = operation != Operation::Update || comparison.is_none_or(|c| c.differs(**view));
            rule.judges(plan.index)
                && rule.as_change().is_some_and(|change| change.on.contains(&operation))
                && concerns
        };
        let rules = || policy.rules.iter().zip(&plan.views).filter(asked).map(|(rule, _)| rule);
        if rules().next().is_none() {
            return;
        }
        let reader = &plan.reader;
        let Some(tracked) = self.policies.get_mut(&reader.policy) else {
            return;
        };
        // A policy begins to judge when it knows the namespaces: what was before is its baseline.
        if !self.watches.knows_namespaces_for(tracked) {
            return;
        }
        if !self.watches.admitted(&policy.selections[plan.index], object) {
            return;
        }
        let namespace = object.id().namespace.as_deref();
        let namespace_object =
            namespace.and_then(|name| self.watches.last_of_namespace(name)).map(|o| o.root());
        let resource = self.watches.by_id.get(&watch).map(|w| w.route.resource.clone()).unwrap_or_default();
        let request = tracked.uses_request.then(|| request(operation, &resource, object.id()));
        let bindings = Bindings::new(Inputs {
            object: after.map(ProjectedObject::root),
            old_object: before.map(ProjectedObject::root),
            namespace_object,
            request: request.as_ref(),
            now,
            variables: &policy.variables,
        });
        let arena = Arena::new(policy);
        let related = InWatches { watches: &self.watches, policy, sources: &tracked.sources };
        let mut asked = Asked::new(policy, object, bindings, &arena, &related);
        let admitted = asked.admission();
        if matches!(admitted, Admission::Judged) {
            rules().for_each(|rule| asked.look_up(rule));
        }
        for rule in rules() {
            let verdict = match (&admitted, rule.as_change()) {
                (Admission::Skipped(_), _) | (_, None) => continue,
                (Admission::Failed(error), _) => Verdict::Error(error.clone()),
                (Admission::NotKnown, Some(_)) => Verdict::Error(NOT_KNOWN.into()),
                (Admission::Judged, Some(_)) if !asked.knows(rule) => Verdict::Error(NOT_KNOWN.into()),
                (Admission::Judged, Some(change)) => {
                    let schema = self.schemas.of(object.id());
                    let verdict = asked.by_params(rule, |asked| {
                        change.judge(&mut asked.bindings, before, after, schema, now)
                    });
                    // Without params it is not judged, as if nothing had been asked of it.
                    verdict.unwrap_or(Verdict::Compliant)
                }
            };
            let uid = object.id().uid.clone();
            let key = FindingKey { rule: rule.name.clone(), selection: reader.selection.clone(), uid };
            // Nothing would ever take back the error of an object that is gone: one place holds the last.
            let gone = operation == Operation::Delete;
            let error_key = if gone { FindingKey { uid: "".into(), ..key.clone() } } else { key.clone() };
            let Verdict::Violation(Violation { message, fields, chain }) = verdict else {
                tracked.ledger.enter(
                    &error_key,
                    rule.severity,
                    (object.id(), &Tags::default()),
                    verdict,
                    now,
                );
                continue;
            };
            tracked.ledger.forget(&error_key, Resolution::Compliant);
            let object_id = object.id().clone();
            let finding = Finding {
                key,
                severity: rule.severity,
                object: object_id,
                message,
                fields,
                chain,
                tags: Tags::of(policy, object),
                since: now,
                flaps: 0,
            };
            let resource_version: Arc<str> = object.resource_version().into();
            let occurrence = Arc::new(Occurrence { finding: Arc::new(finding), operation, resource_version });
            if missed.is_some_and(|since| tracked.history.tells(&occurrence, since)) {
                continue;
            }
            tracked.history.add(occurrence.clone());
            out.push((reader.policy.clone(), Transition::Occurred(occurrence)));
        }
        self.quiet.note(&reader.policy, &mut tracked.ledger);
    }
}
