//! From the text of an expression to a program that can be run.

use std::fmt;
use std::sync::Arc;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue};

use super::error::{CompileError, Text};
use super::kinds::{self, Kinds};
use super::parse::{self, Parsed, Places};
use super::scope::{Root, Roots, Scope};
use super::stack::with_large_stack;
use super::{environment, failure, meter, names, shape};

const MAX_KINDS: usize = 120;

/// What an expression has to come out as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// A verdict or a condition.
    Bool,
    /// A message.
    String,
    /// A variable.
    Any,
}

/// An expression that parsed, whose names all exist and whose cost is metered. Cheap to clone and shared
/// between threads.
#[derive(Clone)]
pub struct Program(Arc<Compiled>);

struct Compiled {
    source: String,
    expr: IdedExpr,
    roots: Roots,
    variables: Vec<String>,
    kinds: Kinds,
}

impl Program {
    /// The text it was compiled from.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// Whether it reads `root` itself; what the variables it reads use is theirs.
    pub fn uses(&self, root: Root) -> bool {
        self.0.roots.contains(root)
    }

    /// The names of the variables it reads itself, sorted, each once.
    pub fn variables(&self) -> &[String] {
        &self.0.variables
    }

    pub(super) fn kinds(&self) -> Kinds {
        self.0.kinds
    }

    pub(super) fn expr(&self) -> &IdedExpr {
        &self.0.expr
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Program").field(&self.source()).finish()
    }
}

/// Compiles `source`, which may use the names in `scope`. Works on a thread of its own, unless called
/// within [`with_large_stack`].
///
/// # Errors
/// The first thing that is wrong. Never panics, whatever the source.
pub fn compile(source: &str, scope: &Scope, want: Want) -> Result<Program, CompileError> {
    with_large_stack(|| compile_here(source, scope, want))
        .unwrap_or_else(|_| Err(CompileError::Internal { reason: Text::word("no thread could be started") }))
}

fn compile_here(source: &str, scope: &Scope, want: Want) -> Result<Program, CompileError> {
    // What is thrown away on an error is dropped here, where the stack is large.
    let parsed: Parsed = parse::parse(source)?;
    let (mut expr, places) = parsed.split();
    shape::check(&expr, &places)?;
    let used = names::resolve(&mut expr, scope, &places)?;
    check_kinds(&expr, scope, want, &places)?;
    check_patterns(&expr, &places)?;
    let kinds = kinds::kinds_of(&expr, scope);
    meter::meter(&mut expr);
    if !kinds.is_bool() {
        meter::keep(&mut expr);
    }
    let compiled =
        Compiled { source: source.to_owned(), expr, roots: used.roots, variables: used.variables, kinds };
    Ok(Program(Arc::new(compiled)))
}

fn check_kinds(expr: &IdedExpr, scope: &Scope, want: Want, places: &Places) -> Result<(), CompileError> {
    let mismatch = |kinds| {
        kinds::mismatch(expr, kinds, scope).map(|(id, got)| (places.of(id), Text::bounded(&got, MAX_KINDS)))
    };
    match want {
        Want::Any => Ok(()),
        Want::Bool => {
            mismatch(Kinds::BOOL).map_or(Ok(()), |(at, got)| Err(CompileError::NotBool { got, at }))
        }
        Want::String => {
            mismatch(Kinds::STRING).map_or(Ok(()), |(at, got)| Err(CompileError::NotString { got, at }))
        }
    }
}

/// Regular expressions that are written out must be ones.
fn check_patterns(expr: &IdedExpr, places: &Places) -> Result<(), CompileError> {
    let mut open = vec![expr];
    while let Some(expr) = open.pop() {
        if let Expr::Call(CallExpr { func_name, args, .. }) = &expr.expr
            && func_name == "matches"
            && let Some(pattern) = args.last()
            && let Expr::Literal(LiteralValue::String(text)) = &pattern.expr
            && !environment::is_pattern(text.inner())
        {
            let message = Text::bounded(failure::BAD_PATTERN, MAX_KINDS);
            return Err(CompileError::Syntax { at: places.of(pattern.id), message });
        }
        shape::for_each_part(expr, |part| open.push(part));
    }
    Ok(())
}
