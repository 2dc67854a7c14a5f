//! Source to syntax tree. Needs a large stack; see [`super::stack`].

use std::panic::{AssertUnwindSafe, catch_unwind};

use cel::Env;
use cel::common::ast::{IdedExpr, SourceInfo};

use super::error::{CompileError, Position, Text};
use super::{MAX_EXPRESSION_LENGTH, syntax};

/// How deep brackets may nest for the parser; cel-go stops at 250.
const MAX_BRACKETS: u16 = 250;

/// A syntax tree, and where each of its nodes stands in the source.
pub(super) struct Parsed {
    pub(super) expr: IdedExpr,
    places: Places,
}

impl Parsed {
    /// The tree, and the places of its nodes.
    pub(super) fn split(self) -> (IdedExpr, Places) {
        (self.expr, self.places)
    }
}

/// Where the nodes of a syntax tree stand in its source.
pub(super) struct Places(SourceInfo);

impl Places {
    /// Line and column of a node; the start for one that no source stands for.
    pub(super) fn of(&self, id: u64) -> Position {
        let source = &self.0.source;
        let start = self.0.offset_for(id).map_or(0, |(start, _)| start as usize);
        let before = source.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Position {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        }
    }
}

/// Reads `source`.
///
/// # Errors
/// [`CompileError::Empty`], [`CompileError::TooLong`], [`CompileError::Syntax`] with the first problem,
/// [`CompileError::TooDeep`] where brackets nest deeper than the parser goes.
pub(super) fn parse(source: &str) -> Result<Parsed, CompileError> {
    // Before anything else looks: the parser's effort grows with the square of junk.
    let len = source.chars().count();
    if len > MAX_EXPRESSION_LENGTH {
        return Err(CompileError::TooLong { len, max: MAX_EXPRESSION_LENGTH });
    }
    if source.trim().is_empty() {
        return Err(CompileError::Empty);
    }
    // Without macros: the checker knows them by their names.
    let parser = Env::default().parser().enable_ident_escape_syntax(true).max_recursion_depth(MAX_BRACKETS);
    match catch_unwind(AssertUnwindSafe(|| parser.parse_with_source_info(source))) {
        Ok(Ok((expr, info))) => Ok(Parsed { expr, places: Places(info) }),
        Ok(Err(errors)) => Err(syntax::explain(&errors.errors, source)),
        Err(_) => Err(CompileError::Internal { reason: Text::word("the parser panicked") }),
    }
}
