//! One object, one policy: the namespace filter, the match conditions, the rules.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Engine, Outcome, Reader};
use crate::core::cel::{Bindings, Inputs};
use crate::core::diff::GuessedKeys;
use crate::core::event::WatchId;
use crate::core::finding::{FindingKey, ObjectId, Resolution};
use crate::core::policy::CompiledPolicy;
use crate::core::project::ProjectedObject;
use crate::core::rules::{Case, Judgement, Operation, RuleKind, Verdict, error_text};
use crate::core::tree::Node;

impl Engine {
    pub(super) fn judge(
        &mut self,
        reader: &Reader,
        watch: WatchId,
        before: Option<&ProjectedObject>,
        object: &ProjectedObject,
        now: Timestamp,
        out: &mut Outcome,
    ) {
        let Some(tracked) = self.policies.get_mut(&reader.policy) else {
            return;
        };
        let policy = tracked.policy.clone();
        let Some(index) = policy.selections.iter().position(|s| s.name == reader.selection) else {
            return;
        };
        if tracked.needs_namespaces && !self.watches.namespaces_synced() {
            return;
        }
        let uid = &object.id().uid;
        if !self.watches.admits(&policy.selections[index], object) {
            tracked.forget(&reader.selection, uid.clone(), Resolution::NotSelected, &reader.policy, out);
            return;
        }
        let namespace_object =
            object.id().namespace.as_deref().and_then(|name| self.watches.namespace(name)).map(|o| o.root());
        let resource = self.watches.by_id.get(&watch).map(|w| w.route.resource.clone()).unwrap_or_default();
        let request = tracked.uses_request.then(|| request(Operation::Create, &resource, object.id()));
        let mut bindings = Bindings::new(Inputs {
            object: Some(object.root()),
            old_object: None,
            namespace_object,
            request: request.as_ref(),
            now,
            variables: &policy.variables,
        });
        let admitted = match_conditions(&policy, &mut bindings);
        for rule in policy.rules.iter().filter(|rule| rule.judges(index) && rule.as_change().is_none()) {
            let key =
                FindingKey { rule: rule.name.clone(), selection: reader.selection.clone(), uid: uid.clone() };
            let ledger = &mut tracked.ledger;
            let judgement = match (&rule.kind, &admitted) {
                // What was found before stays until the rule can be judged again.
                (None | Some(RuleKind::Change(_)), _) => Judgement::Wait,
                (_, Admission::Skipped) => {
                    let skipped = ledger.forget(&key, Resolution::NotSelected);
                    out.extend(skipped.map(|t| (reader.policy.clone(), t)));
                    continue;
                }
                (_, Admission::Failed(error)) => {
                    let drifted = ledger.drifted(&key).cloned();
                    Judgement::Known(Verdict::Error(error.clone()), drifted)
                }
                (Some(RuleKind::State(state)), Admission::Judged) => {
                    Judgement::Known(state.judge(&rule.name, &mut bindings), None)
                }
                (Some(RuleKind::Drift(drift)), Admission::Judged) => {
                    let feeds = rule.baseline().and_then(|baseline| tracked.feeds.get(baseline));
                    let reference = self.watches.only(feeds.into_iter().flatten());
                    let case = Case {
                        object,
                        before,
                        open: ledger.get(&key).map(|finding| &**finding),
                        drifted: ledger.drifted(&key),
                        reference: reference.map(|reference| reference.map(|object| &**object)),
                        keys: &GuessedKeys,
                        now,
                    };
                    drift.judge(&mut bindings, case)
                }
            };
            let transition = match judgement {
                Judgement::Known(verdict, drifted) => {
                    let transition = ledger.enter(key.clone(), rule.severity, object.id(), verdict, now);
                    ledger.keep_drifted(&key, drifted);
                    transition
                }
                Judgement::Wait => {
                    ledger.confirm(&key);
                    None
                }
                Judgement::Lost => ledger.forget(&key, Resolution::BaselineLost),
            };
            out.extend(transition.map(|t| (reader.policy.clone(), t)));
        }
    }
}

pub(super) enum Admission {
    Judged,
    Skipped,
    Failed(Arc<str>),
}

/// As in admission policies: one false condition skips the object, whatever the others say.
pub(super) fn match_conditions(policy: &CompiledPolicy, bindings: &mut Bindings<'_>) -> Admission {
    let mut failed = None;
    for condition in &policy.match_conditions {
        match condition.program.evaluate_bool(bindings) {
            Ok(true) => {}
            Ok(false) => return Admission::Skipped,
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
    let text = |text: &Arc<str>| Node::Str(text.clone());
    Node::Map(
        [
            ("operation".into(), Node::Str(operation.as_str().into())),
            ("kind".into(), map(&[("group", group), ("version", version), ("kind", &object.kind)])),
            ("resource".into(), map(&[("group", group), ("version", version), ("resource", resource)])),
            ("namespace".into(), text(object.namespace.as_ref().unwrap_or(&empty))),
            ("name".into(), text(&object.name)),
        ]
        .into(),
    )
}
