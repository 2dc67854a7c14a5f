//! CEL: the language of rules, conditions, variables and messages.
//!
//! In comes the text of an expression and the [`Scope`] it stands in; out comes a [`Program`], or a
//! [`CompileError`] in words for whoever wrote it. In come a program and the [`Bindings`] of one object;
//! out comes a bool, a string, or an [`EvalError`]. Whoever compiles policies calls [`compile()`]; the
//! rules of `core` call [`Program::evaluate_bool`] and [`Program::evaluate_string`].
//!
//! ```text
//! source ── parse ── shape ── check ──▶ Code ──▶ Program ──┬─ evaluate ──▶ verdict, or why there is none
//!           syntax   limits   types     │                  ├─ reads ─────▶ the fields it reads
//!                             libraries │                  └─ estimate ──▶ what it may cost
//!                                       └─ with a schema's types ──▶ warnings
//! ```
//!
//! Values borrow from the object's tree (`value`), operators are in `operators`, functions in `libraries`, one file
//! each. Nothing here waits, logs, reads a clock or touches a cluster, and no type of the crate that parses shows
//! outside of this folder.
//!
//! **Bounds.** A source has at most [`MAX_EXPRESSION_LENGTH`] characters, its operations nest at most
//! [`MAX_DEPTH`] deep and its loops [`MAX_LOOPS`]; one evaluation takes at most [`MAX_STEPS`] steps, all of a policy
//! on one object [`MAX_POLICY_STEPS`], after which they fail as [`EvalError::TooCostly`]. Compiling needs [`LARGE_STACK`] bytes of stack and brings
//! its own ([`with_large_stack`]); evaluating the deepest program takes 0.8 MiB, so that the 2 MiB of an ordinary
//! thread do, in builds without optimisation as well.

mod aggregate;
mod check;
mod code;
mod compile;
mod cost;
mod error;
mod estimate;
mod evaluate;
mod fault;
mod libraries;
mod moments;
mod operators;
mod parse;
mod reads;
mod references;
mod scope;
mod shape;
mod stack;
mod syntax;
#[cfg(test)]
mod tests;
mod types;
mod value;

pub use aggregate::{Aggregates, Upkeep, aggregates};
pub use compile::{Program, Want, Warning, check_types, compile};
pub use error::{CompileError, EvalError, MAX_COMPILE_MESSAGE, MAX_EVAL_MESSAGE, Position, Text};
pub use estimate::Sizes;
pub use evaluate::{Bindings, Contributions, Found, GroupInputs, Inputs, Kept, Totals, Variable};
pub use libraries::reference;
pub use moments::NowUse;
pub use reads::Reads;
pub use references::{References, references};
pub use scope::{Root, Scope};
pub use stack::{LARGE_STACK, with_large_stack};
pub use syntax::is_reserved;
pub use types::{Form, ObjectType, Type};
pub use value::Value;

/// Most characters of an expression; the CRDs have the same number as `maxLength`.
pub const MAX_EXPRESSION_LENGTH: usize = 4096;
/// Most operations within one another. A chain like `a + b + c` nests too, to the left.
pub const MAX_DEPTH: usize = 200;
/// Most loops (`all`, `exists`, `map`, …) within one another.
pub const MAX_LOOPS: usize = 8;
/// Most operations within one another when variables that read variables are taken together.
pub const MAX_TOTAL_DEPTH: usize = 600;
/// Most steps of one evaluation, counted as a kube-apiserver counts them (`PerCallLimit` in
/// k8s.io/apiserver/pkg/apis/cel/config.go).
pub const MAX_STEPS: u64 = 1_000_000;
/// Most steps of all evaluations of a policy for one object (`RuntimeCELCostBudget` there).
pub const MAX_POLICY_STEPS: u64 = 10_000_000;
