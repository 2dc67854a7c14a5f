//! The groups that the objects at hand come to.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Entry, NO_PARAMS, Said};
use crate::core::cel::{Bindings, GroupInputs};
use crate::core::engine::{ByParams, GroupParams};
use crate::core::finding::ObjectId;
use crate::core::lookup::Related;
use crate::core::members::Member;
use crate::core::policy::CompiledPolicy;
use crate::core::project::ProjectedObject;
use crate::core::rules::{Expected, Group, Place, Verdict};

/// The objects of a group, in their order.
type Members<'m> = BTreeMap<Member, &'m ProjectedObject>;

/// The groups of one policy: by name of the rule, then by key.
#[derive(Default)]
pub(super) struct Groups<'m>(BTreeMap<Arc<str>, BTreeMap<Arc<str>, Members<'m>>>);

impl<'m> Groups<'m> {
    /// Those that rules expect whatever there is.
    pub(super) fn new(policy: &CompiledPolicy) -> Self {
        let mut groups = Self::default();
        for (rule, group) in rules(policy) {
            if let Expected::Values(keys) = &group.expected {
                for key in keys {
                    groups.group(rule, key);
                }
            }
        }
        groups
    }

    /// What an object is to the groups of a rule. One that several selections select counts once.
    pub(super) fn place(&mut self, rule: &Arc<str>, object: &'m ProjectedObject, place: Place) {
        for key in &place.member_of {
            self.group(rule, key).insert(Member::of(object.id()), object);
        }
        for key in &place.expects {
            self.group(rule, key);
        }
    }

    fn group(&mut self, rule: &Arc<str>, key: &Arc<str>) -> &mut Members<'m> {
        self.0.entry(rule.clone()).or_default().entry(key.clone()).or_default()
    }

    /// Judges them: one entry for each, by rule, then key.
    pub(super) fn judge(
        &self,
        policy: &CompiledPolicy,
        related: &dyn Related,
        now: Timestamp,
        out: &mut Vec<Entry>,
    ) {
        let params = GroupParams::of(policy, related);
        for rule in &policy.rules {
            let (Some(group), Some(groups)) = (rule.as_group(), self.0.get(&rule.name)) else { continue };
            for (key, members) in groups {
                let objects: Vec<_> = members.values().map(|object| object.root()).collect();
                let mut bindings = Bindings::of_group(GroupInputs { objects: &objects, group: key, now });
                let once = |bindings: &mut Bindings<'_>| group.judge(&rule.name, bindings);
                let judged = match params.as_ref().filter(|_| group.reads_params()) {
                    Some(params) => params.judge(&mut bindings, once),
                    None => ByParams::Known(once(&mut bindings)),
                };
                out.push(Entry {
                    policy: policy.key.0.clone(),
                    rule: rule.name.clone(),
                    object: ObjectId::of_group(key),
                    severity: rule.severity,
                    said: match judged {
                        ByParams::Known(Verdict::Compliant) => Said::Compliant,
                        ByParams::Known(Verdict::Violation(violation)) => Said::Violation(violation.message),
                        ByParams::Known(Verdict::Error(text)) => Said::Error(text),
                        // All manifests are known.
                        ByParams::None | ByParams::NotKnown => Said::Skipped(NO_PARAMS.into()),
                    },
                });
            }
        }
    }
}

fn rules(policy: &CompiledPolicy) -> impl Iterator<Item = (&Arc<str>, &Group)> {
    policy.rules.iter().filter_map(|rule| Some((&rule.name, rule.as_group()?)))
}
