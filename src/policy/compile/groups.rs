//! Rules on groups.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Compiler, Params, names};
use crate::api::monitor_policy::PolicyRule;
use crate::core::cel::{Program, Root, Scope, Type, Want};
use crate::core::near::nearest;
use crate::core::policy::{Part, Selection};
use crate::core::rules::{Expected, Expression, Group, RuleKind, is_printable};

impl Compiler {
    /// Compiles what is about groups and not about an object: the names are others.
    pub(super) fn with_group_names<T>(&mut self, inside: impl FnOnce(&mut Self) -> T) -> T {
        let elsewhere = match self.params {
            Params::OfNamespace => names::OF_GROUP_WITHOUT_PARAMS,
            Params::None | Params::Fixed => names::OF_GROUP,
        };
        let mut of_group = Scope::new(&Root::OF_GROUP).explain(elsewhere);
        if self.params == Params::Fixed {
            of_group.declare_params(Type::Dyn);
        }
        let of_object = std::mem::replace(&mut self.scope, of_group);
        let done = inside(self);
        self.scope = of_object;
        done
    }

    /// The rule on groups that a rule with `groupBy` is; none when a part of it does not compile.
    pub(super) fn group(
        &mut self,
        n: usize,
        rule: &PolicyRule,
        whole: Option<Expression>,
        selections: &[Selection],
    ) -> Option<RuleKind> {
        let name: Arc<str> = rule.name.as_str().into();
        if rule.operations().next().is_some() {
            let text = "groupBy and on exclude each other: a rule is either about what groups are, or about changes \
                        of objects";
            self.problem(format!("spec.rules[{n}]"), Some(&name), text.to_owned());
            return None;
        }
        let source = rule.group_by.as_deref().unwrap_or_default();
        let by = self.key(format!("spec.rules[{n}].groupBy"), Part::Rule(name.clone(), n), source);
        let expected = self.expected(n, rule, &name, selections);
        Some(RuleKind::Group(Box::new(Group::new(by?, expected?, whole?))))
    }

    fn expected(
        &mut self,
        n: usize,
        rule: &PolicyRule,
        name: &Arc<str>,
        selections: &[Selection],
    ) -> Option<Expected> {
        let Some(groups) = &rule.groups else {
            return Some(Expected::None);
        };
        let field = format!("spec.rules[{n}].groups");
        match (&groups.resource, &groups.expression) {
            (None, None) if !groups.values.is_empty() => {
                if let Some(at) = groups.values.iter().position(|key| !key.chars().all(is_printable)) {
                    let text = "the key has characters that cannot be printed in one line";
                    self.problem(format!("{field}.values[{at}]"), Some(name), text.to_owned());
                    return None;
                }
                let keys: BTreeSet<Arc<str>> = groups.values.iter().map(|key| key.as_str().into()).collect();
                Some(Expected::Values(keys.into_iter().collect()))
            }
            (Some(resource), Some(source)) if groups.values.is_empty() => {
                let wanted = |selection: &Selection| selection.is_judged() && *selection.name == **resource;
                let selection = selections.iter().position(wanted);
                if selection.is_none() {
                    let near = nearest(resource, selections.iter().map(|selection| &*selection.name));
                    let near = near.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
                    let text = format!("there is no resource named {resource:?} in spec.resources{near}");
                    self.problem(format!("{field}.resource"), Some(name), text);
                }
                let by = self.key(format!("{field}.expression"), Part::Expected(name.clone(), n), source);
                Some(Expected::Named { selection: selection?, by: by? })
            }
            // The definition of the resource refuses it as well.
            _ => {
                let text = "expected groups are either values, the keys themselves, or resource and expression, whose \
                            objects name them";
                self.problem(field, Some(name), text.to_owned());
                None
            }
        }
    }

    /// An expression that gives the key of a group. It is about a state: there is no `oldObject`.
    fn key(&mut self, field: String, part: Part, source: &str) -> Option<Program> {
        let scope = self.scope.with_roots(&Root::OF_KEY).explain(names::OF_KEY);
        let of_object = std::mem::replace(&mut self.scope, scope);
        let program = self.program(field, part, source, Want::Whole);
        self.scope = of_object;
        program
    }
}
