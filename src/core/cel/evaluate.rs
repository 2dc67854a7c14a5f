//! Runs programs on one object.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cel::common::types::{CelBool, CelNull, CelString};
use cel::common::value::Val;
use cel::{Context, Value};
use jiff::Timestamp;

use super::compile::Program;
use super::error::{EvalError, Text};
use super::kept::{Kept, SLOT, Slot};
use super::scope::{Root, Roots, VARIABLES};
use super::view::{self, Registry};
use super::weight::{BUDGET, Budget, Touch, weight};
use super::{MAX_STEPS, MAX_VARIABLE, environment, failure};
use crate::core::tree::Node;

/// A named expression that others read as `variables.NAME`.
#[derive(Debug, Clone)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// What it comes to; may read the variables before it.
    pub program: Program,
}

/// What the names in expressions stand for while one object is judged. What is `None` is null.
#[derive(Debug, Clone, Copy, Default)]
pub struct Inputs<'a> {
    /// `object`.
    pub object: Option<&'a Node>,
    /// `oldObject`.
    pub old_object: Option<&'a Node>,
    /// `namespaceObject`.
    pub namespace_object: Option<&'a Node>,
    /// `request`.
    pub request: Option<&'a Node>,
    /// `now`.
    pub now: Timestamp,
    /// `variables`, in the order they were declared.
    pub variables: &'a [Variable],
}

/// [`Inputs`], and what of them has been looked at. Converts each value and evaluates each variable at most
/// once, and only if a program that is evaluated uses it.
pub struct Bindings<'a> {
    inputs: Inputs<'a>,
    context: Context<'a, 'a>,
    roots: Roots,
    /// For each variable that was evaluated: whether it has a value, or why not.
    variables: Vec<Option<Result<(), EvalError>>>,
    budget: Budget,
    slot: Slot,
    registry: Arc<Registry<'a>>,
}

impl<'a> Bindings<'a> {
    /// Binds, and looks at nothing yet.
    pub fn new(inputs: Inputs<'a>) -> Self {
        let budget = Budget::new();
        let mut context = Context::with_env(environment::env().clone());
        context.add_variable_as_val(BUDGET, Box::new(budget.clone()));
        let slot = Slot::default();
        context.add_variable_as_val(SLOT, Box::new(slot.clone()));
        let variables = vec![None; inputs.variables.len()];
        let (roots, registry) = (Roots::default(), Arc::default());
        Self { inputs, context, roots, variables, budget, slot, registry }
    }

    fn evaluate(&mut self, program: &Program) -> Result<Box<dyn Val + 'a>, EvalError> {
        self.prepare(program);
        Ok(self.run(program)?.restore(&self.registry))
    }

    /// Makes everything `program` can read available.
    fn prepare(&mut self, program: &Program) {
        self.bind_roots(program);
        if program.variables().is_empty() {
            return;
        }
        let needed = self.needed(program);
        // A variable reads only those before it, so this order needs no recursion.
        for at in (0..needed.len()).filter(|at| needed[*at]) {
            if self.variables[at].is_none() {
                self.variables[at] = Some(self.bind_variable(&self.inputs.variables[at]));
            }
        }
    }

    /// Which variables `program` reads, itself or through others.
    ///
    /// Those behind a `||` that is decided without them are evaluated too; that costs time but changes no
    /// answer, as a failed one fails only what reads its value.
    fn needed(&self, program: &Program) -> Vec<bool> {
        let mut needed = vec![false; self.inputs.variables.len()];
        let mark = |reader: &Program, before: usize, needed: &mut Vec<bool>| {
            for (at, variable) in self.inputs.variables[..before].iter().enumerate() {
                needed[at] |= reader.variables().contains(&variable.name);
            }
        };
        mark(program, needed.len(), &mut needed);
        for at in (0..needed.len()).rev() {
            if needed[at] {
                mark(&self.inputs.variables[at].program, at, &mut needed);
            }
        }
        needed
    }

    fn bind_variable(&mut self, variable: &Variable) -> Result<(), EvalError> {
        self.bind_roots(&variable.program);
        let value = self.run(&variable.program).and_then(|kept| {
            let value = kept.restore(&self.registry);
            match weight(value.as_ref(), Touch::Copy, MAX_VARIABLE) {
                small if small <= MAX_VARIABLE => Ok(value),
                _ => Err(EvalError::TooLarge),
            }
        });
        match value {
            Ok(value) => {
                self.context.add_variable_as_val(format!("{VARIABLES}{}", variable.name), value);
                Ok(())
            }
            // the one where it began says more than those that read it
            Err(inner @ EvalError::Variable { .. }) => Err(inner),
            Err(error) => Err(EvalError::Variable {
                name: Text::word(&variable.name),
                reason: Text::bounded(&error.to_string(), 160),
            }),
        }
    }

    fn bind_roots(&mut self, program: &Program) {
        for root in Root::ALL {
            if program.uses(root) && !self.roots.contains(root) {
                self.roots.insert(root);
                self.context.add_variable_as_val(root.name(), self.root(root));
            }
        }
    }

    fn root(&self, root: Root) -> Box<dyn Val + 'a> {
        let node = match root {
            Root::Object => self.inputs.object,
            Root::OldObject => self.inputs.old_object,
            Root::NamespaceObject => self.inputs.namespace_object,
            Root::Request => self.inputs.request,
            Root::Now => return environment::timestamp(self.inputs.now),
        };
        node.map_or_else(|| Box::new(CelNull) as Box<dyn Val + 'a>, |node| view::value(node, &self.registry))
    }

    fn run(&self, program: &Program) -> Result<Kept, EvalError> {
        self.budget.refill();
        let run = AssertUnwindSafe(|| Value::resolve(program.expr(), &self.context));
        let Ok(result) = catch_unwind(run) else {
            return Err(EvalError::Internal { reason: Text::word("the evaluator panicked") });
        };
        // Even with an answer: `||` may have swallowed the error.
        if let Some(longest) = self.budget.overdrawn() {
            return Err(EvalError::TooCostly { longest, max: MAX_STEPS });
        }
        match result {
            Ok(Value::Bool(verdict)) => Ok(Kept::Scalar(Box::new(CelBool::from(verdict)))),
            Ok(_) => {
                self.slot.take().ok_or(EvalError::Internal { reason: Text::word("the value was not kept") })
            }
            Err(error) => {
                let known = failure::missing_variable(&error).and_then(|name| self.failed(name));
                Err(known.unwrap_or_else(|| failure::explain(&error, program.source())))
            }
        }
    }

    /// Why the variable has no value.
    fn failed(&self, name: &str) -> Option<EvalError> {
        let mut both = self.inputs.variables.iter().zip(&self.variables);
        let (_, outcome) = both.find(|(variable, _)| variable.name == name)?;
        outcome.as_ref()?.as_ref().err().cloned()
    }
}

impl Program {
    /// Evaluates a condition.
    ///
    /// # Errors
    /// When it fails, costs too much, or comes out as something other than a bool.
    pub fn evaluate_bool(&self, bindings: &mut Bindings<'_>) -> Result<bool, EvalError> {
        let value = bindings.evaluate(self)?;
        let got = || EvalError::NotBool { got: failure::type_name(value.get_type().name()) };
        value.downcast_ref::<CelBool>().map(|b| *b.inner()).ok_or_else(got)
    }

    /// Evaluates a message. As long as it comes out; whoever shows it cuts it.
    ///
    /// # Errors
    /// When it fails, costs too much, or comes out as something other than a string.
    pub fn evaluate_string(&self, bindings: &mut Bindings<'_>) -> Result<String, EvalError> {
        let value = bindings.evaluate(self)?;
        let got = || EvalError::NotString { got: failure::type_name(value.get_type().name()) };
        value.downcast_ref::<CelString>().map(|text| text.inner().to_owned()).ok_or_else(got)
    }
}
