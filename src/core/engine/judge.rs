//! One object, one policy: the namespace filter, the match conditions, the rules.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Engine, Outcome, Reader};
use crate::core::cel::{Bindings, Inputs};
use crate::core::event::WatchId;
use crate::core::finding::{FindingKey, ObjectId, Resolution};
use crate::core::policy::CompiledPolicy;
use crate::core::project::ProjectedObject;
use crate::core::rules::{CompiledRule, MAX_MESSAGE_LEN, Verdict, one_line};
use crate::core::tree::Node;

/// What an object is judged by, beside itself.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The Namespace that the object is in.
    pub namespace_object: Option<&'a Node>,
    /// Group, version and plural of its kind; none when the policy does not read `request`.
    pub resource: Option<&'a [Arc<str>; 3]>,
    /// The time of judging.
    pub now: Timestamp,
}

/// What a rule makes of an object that its selection selects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// It was judged.
    Judged(Verdict),
    /// The match condition of this name is false.
    Skipped(Arc<str>),
    /// The rule does not compile at present, so nothing can be said.
    NotInForce,
}

/// Judges an object by each rule of `policy` that is about the selection at `index`, in the order of the spec.
/// Whether the selection selects the object is not asked.
pub fn judge(
    policy: &CompiledPolicy,
    index: usize,
    object: &ProjectedObject,
    facts: Facts<'_>,
    mut each: impl FnMut(&CompiledRule, Judgement),
) {
    let request = facts.resource.map(|resource| request(resource, object.id()));
    let mut bindings = Bindings::new(Inputs {
        object: Some(object.root()),
        old_object: None,
        namespace_object: facts.namespace_object,
        request: request.as_ref(),
        now: facts.now,
        variables: &policy.variables,
    });
    let admitted = match_conditions(policy, &mut bindings);
    for rule in policy.rules.iter().filter(|rule| rule.selections.get(index).is_some_and(|judged| *judged)) {
        let judgement = match &admitted {
            _ if !rule.is_in_force() => Judgement::NotInForce,
            Admission::Skipped(condition) => Judgement::Skipped(condition.clone()),
            Admission::Failed(error) => Judgement::Judged(Verdict::Error(error.clone())),
            Admission::Judged => rule.judge(&mut bindings).map_or(Judgement::NotInForce, Judgement::Judged),
        };
        each(rule, judgement);
    }
}

impl Engine {
    pub(super) fn judge(
        &mut self,
        reader: &Reader,
        watch: WatchId,
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
        let resource = self.watches.by_id.get(&watch).map(|w| &w.route.resource);
        let resource = resource.filter(|_| tracked.uses_request);
        let ledger = &mut tracked.ledger;
        judge(&policy, index, object, Facts { namespace_object, resource, now }, |rule, judgement| {
            let key =
                FindingKey { rule: rule.name.clone(), selection: reader.selection.clone(), uid: uid.clone() };
            let transition = match judgement {
                Judgement::Judged(verdict) => ledger.enter(key, rule.severity, object.id(), verdict, now),
                Judgement::Skipped(_) => ledger.forget(&key, Resolution::NotSelected),
                // What was found before stays until the rule can be judged again.
                Judgement::NotInForce => {
                    ledger.confirm(&key);
                    None
                }
            };
            out.extend(transition.map(|t| (reader.policy.clone(), t)));
        });
    }
}

enum Admission {
    Judged,
    /// By the condition of this name.
    Skipped(Arc<str>),
    Failed(Arc<str>),
}

/// As in admission policies: one false condition skips the object, whatever the others say.
fn match_conditions(policy: &CompiledPolicy, bindings: &mut Bindings<'_>) -> Admission {
    let mut failed = None;
    for condition in &policy.match_conditions {
        match condition.program.evaluate_bool(bindings) {
            Ok(true) => {}
            Ok(false) => return Admission::Skipped(condition.name.clone()),
            Err(error) => {
                let text = format!("matchCondition {}: {error}", condition.name);
                failed.get_or_insert_with(|| one_line(&text, MAX_MESSAGE_LEN).into());
            }
        }
    }
    failed.map_or(Admission::Judged, Admission::Failed)
}

/// `request`, as if the object was created in the state that it has.
fn request([group, version, resource]: &[Arc<str>; 3], object: &ObjectId) -> Node {
    let map = |fields: &[(&str, &Arc<str>)]| {
        let entries = fields.iter().map(|(key, value)| ((*key).into(), Node::Str((*value).clone())));
        Node::Map(entries.collect())
    };
    let empty: Arc<str> = "".into();
    let text = |text: &Arc<str>| Node::Str(text.clone());
    Node::Map(
        [
            ("operation".into(), Node::Str("CREATE".into())),
            ("kind".into(), map(&[("group", group), ("version", version), ("kind", &object.kind)])),
            ("resource".into(), map(&[("group", group), ("version", version), ("resource", resource)])),
            ("namespace".into(), text(object.namespace.as_ref().unwrap_or(&empty))),
            ("name".into(), text(&object.name)),
        ]
        .into(),
    )
}
