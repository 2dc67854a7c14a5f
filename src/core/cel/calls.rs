//! Which functions may be called, and how.

use cel::common::ast::{CallExpr, operators as op};

use super::error::{CompileError, Position, Text};
use super::functions::{self, FUNCTIONS, MACROS};
use crate::core::near;

/// Most bytes of how a function is called.
const MAX_USAGE: usize = 200;

/// Operators are calls of functions whose names nobody can write.
fn is_operator(name: &str) -> bool {
    [
        op::CONDITIONAL,
        op::LOGICAL_AND,
        op::LOGICAL_OR,
        op::LOGICAL_NOT,
        op::SUBSTRACT,
        op::ADD,
        op::MULTIPLY,
        op::DIVIDE,
        op::MODULO,
        op::EQUALS,
        op::NOT_EQUALS,
        op::GREATER_EQUALS,
        op::LESS_EQUALS,
        op::GREATER,
        op::LESS,
        op::NEGATE,
        op::INDEX,
        op::OPT_INDEX,
        op::OPT_SELECT,
        op::NOT_STRICTLY_FALSE,
        op::IN,
    ]
    .contains(&name)
}

/// Checks that `call` calls something that exists, with as many arguments as it takes.
pub(super) fn check(call: &CallExpr, at: Position) -> Result<(), CompileError> {
    if is_operator(&call.func_name) {
        return Ok(());
    }
    let qualified = functions::qualified(call);
    let name = qualified.as_deref().unwrap_or(&call.func_name);
    if let Some((macro_name, usage)) = MACROS.iter().find(|(known, _)| *known == call.func_name) {
        return Err(wrong_call(macro_name, usage, at));
    }
    if let Some(function) = functions::called(call) {
        let (least, most) = function.args;
        return match (least..=most).contains(&call.args.len()) {
            true => Ok(()),
            false => Err(wrong_call(function.name, &usage(function), at)),
        };
    }
    // `x.size` and `size(x)` are the same function to most readers
    if let Some(function) = functions::find(&call.func_name, call.target.is_none()) {
        return Err(wrong_call(function.name, &usage(function), at));
    }
    if functions::is_not_yet(name) {
        return Err(CompileError::NotYet { name: Text::word(name), at });
    }
    let writable = FUNCTIONS.iter().map(|f| f.name).filter(|name| !name.contains('@'));
    let near = nearest(name, writable.chain(MACROS.iter().map(|(name, _)| *name)));
    Err(CompileError::UnknownFunction { name: Text::word(name), at, near })
}

fn usage(function: &functions::Function) -> String {
    let args = match function.args {
        (0, 0) => String::new(),
        (least, most) if least == most => vec!["…"; least].join(", "),
        (least, most) => format!("{least} to {most} arguments"),
    };
    let target = if function.member { "value." } else { "" };
    format!("{target}{}({args})", function.name)
}

fn wrong_call(name: &str, usage: &str, at: Position) -> CompileError {
    CompileError::WrongCall { name: Text::word(name), at, usage: Text::bounded(usage, MAX_USAGE) }
}

/// The known name that `name` was probably meant to be.
pub(super) fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<Text> {
    near::nearest(name, known).map(Text::word)
}
