//! From the text of an expression to a program that can be run.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::MAX_TOTAL_DEPTH;
use super::check::{self, Checked};
use super::code::Code;
use super::error::{CompileError, Position, Text};
use super::estimate::{Sizes, estimate};
use super::moments::{self, Motion, NowUse};
use super::parse::{self, Parsed};
use super::reads::{self, Reads, Traced};
use super::scope::{Root, Roots, Scope};
use super::shape;
use super::stack::with_large_stack;
use super::types::Type;

const MAX_KIND: usize = 120;
/// How many operations deep the step into a variable counts: what it needs of the stack.
const VARIABLE_DEPTH: usize = 8;

/// What an expression has to come out as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// A verdict or a condition.
    Bool,
    /// A message.
    String,
    /// A variable.
    Any,
    /// A list or map whose parts are looked at.
    Whole,
}

/// An expression that parsed, whose names all exist and whose types fit. Cheap to clone and shared between threads.
#[derive(Clone)]
pub struct Program(Arc<Compiled>);

struct Compiled {
    source: String,
    code: Code,
    result: Type,
    roots: Roots,
    variables: Vec<String>,
    lookups: BTreeSet<usize>,
    slots: usize,
    depth: usize,
    motion: Motion,
    reads: Reads,
    traced: Traced,
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

    /// The places of the lookups that it takes, through variables and other lookups as well.
    pub fn lookups(&self) -> &BTreeSet<usize> {
        &self.0.lookups
    }

    /// The type it comes out as; dyn where only the object can tell.
    pub fn result(&self) -> &Type {
        &self.0.result
    }

    /// What evaluating it costs at most when lists and texts are of these sizes, in the unit of
    /// [`super::MAX_STEPS`]; without the variables it reads.
    pub fn estimate(&self, sizes: Sizes) -> u64 {
        estimate(&self.0.code, sizes)
    }

    /// How `now` decides what it comes out as, through the variables that it reads as well.
    pub fn now_use(&self) -> NowUse {
        self.0.motion.now_use()
    }

    /// How its value moves as `now` does.
    pub(super) fn motion(&self) -> Motion {
        self.0.motion
    }

    /// The fields it reads, through the variables that it reads as well.
    pub fn reads(&self) -> &Reads {
        &self.0.reads
    }

    /// What its value may be a part of.
    pub(super) fn traced(&self) -> &Traced {
        &self.0.traced
    }

    pub(super) fn code(&self) -> &Code {
        &self.0.code
    }

    /// The same program with other code, which has no more local values and is no deeper.
    pub(super) fn with_code(&self, code: Code) -> Self {
        let Compiled {
            source, result, roots, variables, lookups, slots, depth, motion, reads, traced, ..
        } = &*self.0;
        Self(Arc::new(Compiled {
            source: source.clone(),
            code,
            result: result.clone(),
            roots: *roots,
            variables: variables.clone(),
            lookups: lookups.clone(),
            slots: *slots,
            depth: *depth,
            motion: *motion,
            reads: reads.clone(),
            traced: traced.clone(),
        }))
    }

    /// How many local values it has at the same time.
    pub(super) fn slots(&self) -> usize {
        self.0.slots
    }

    /// How deep evaluating it goes, with the variables it reads.
    pub(super) fn depth(&self) -> usize {
        self.0.depth
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
    let (mut checked, at) = read(source, scope)?;
    if let Some(fault) = checked.faults.into_iter().next() {
        return Err(fault);
    }
    check_result(&checked.result, want, at)?;
    let depth = depth_of(&checked.code)
        + checked
            .variables
            .iter()
            .map(|place| VARIABLE_DEPTH + scope.variable_depth(*place))
            .max()
            .unwrap_or(0);
    if depth > MAX_TOTAL_DEPTH {
        return Err(CompileError::TooDeep { at, max: MAX_TOTAL_DEPTH });
    }
    let mut variables: Vec<String> =
        checked.variables.iter().map(|place| scope.variable_name(*place).to_owned()).collect();
    variables.sort();
    let of_variables = checked.variables.iter().flat_map(|place| scope.lookups_of_variable(*place));
    let of_lookups = checked.lookups.iter().flat_map(|place| scope.lookups_of_lookup(*place));
    let lookups = of_variables.chain(of_lookups).collect();
    let motion = moments::mark(&mut checked.code, scope);
    let (reads, traced) = reads::trace(&checked.code, scope, want == Want::Whole);
    let compiled = Compiled {
        source: source.to_owned(),
        code: checked.code,
        result: checked.result,
        roots: checked.roots,
        variables,
        lookups,
        slots: checked.slots,
        depth,
        motion,
        reads,
        traced,
    };
    Ok(Program(Arc::new(compiled)))
}

/// What checking gives, and where the outermost operation stands.
fn read(source: &str, scope: &Scope) -> Result<(Checked, Position), CompileError> {
    let parsed: Parsed = parse::parse(source)?;
    let (expr, places) = parsed.split();
    shape::check(&expr, &places)?;
    Ok((check::check(&expr, scope, &places), places.of(expr.id)))
}

/// As a kube-apiserver does: a verdict is a bool for certain, not something that may turn out to be one.
fn check_result(result: &Type, want: Want, at: Position) -> Result<(), CompileError> {
    let got = || Text::bounded(&result.describe(), MAX_KIND);
    match want {
        Want::Bool if *result != Type::Bool => Err(CompileError::NotBool { got: got(), at }),
        Want::String if *result != Type::String => Err(CompileError::NotString { got: got(), at }),
        _ => Ok(()),
    }
}

/// How deep code nests, without recursion.
fn depth_of(code: &Code) -> usize {
    let mut deepest = 0;
    let mut open = vec![(code, 1)];
    while let Some((code, depth)) = open.pop() {
        deepest = deepest.max(depth);
        code.for_each_part(|part| open.push((part, depth + 1)));
    }
    deepest
}

/// Something in an expression that the schema of the objects it reads says cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Where in the expression.
    pub at: Position,
    /// What is wrong, and the nearest field that exists.
    pub message: Text,
}

/// What is wrong with `source`, which compiles in a scope without types, in a `scope` that has the type of the
/// objects, and what it comes out as there. At most 16.
pub fn check_types(source: &str, scope: &Scope) -> (Vec<Warning>, Type) {
    let nothing = || (Vec::new(), Type::Dyn);
    with_large_stack(|| match read(source, scope) {
        Err(_) => nothing(),
        Ok((checked, _)) => {
            let warnings = checked.faults.iter().filter_map(|fault| {
                Some(Warning { at: fault.at()?, message: Text::bounded(&fault.without_position(), 240) })
            });
            (warnings.collect(), checked.result)
        }
    })
    .unwrap_or_else(|_| nothing())
}
