//! Resolves the names of an expression: every variable and function exists, or the nearest that does is
//! named in the error. Recurses; the depth is checked before.

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr};
use cel::common::ast::{ListExpr, operators as op};

use super::calls::{self, nearest};
use super::error::{CompileError, Position, Text};
use super::functions;
use super::parse::Places;
use super::scope::{Root, Roots, Scope, VARIABLES};

/// Fields of `request` that exist without an admission request.
const REQUEST_FIELDS: [&str; 5] = ["kind", "name", "namespace", "operation", "resource"];
/// Fields of `request` that only an admission request has.
const ADMISSION_FIELDS: [&str; 7] =
    ["dryRun", "options", "requestKind", "requestResource", "subResource", "uid", "userInfo"];
/// Most bytes of a list of names in a message.
const MAX_LISTING: usize = 200;

/// The names an expression uses.
#[derive(Debug, Default)]
pub(super) struct Used {
    pub(super) roots: Roots,
    /// Sorted, each once.
    pub(super) variables: Vec<String>,
}

/// Checks the names in `expr`, and turns each `variables.NAME` into a single name.
pub(super) fn resolve(expr: &mut IdedExpr, scope: &Scope, places: &Places) -> Result<Used, CompileError> {
    let mut resolver = Resolver { scope, places, locals: Vec::new(), used: Used::default() };
    resolver.resolve(expr)?;
    let mut used = resolver.used;
    used.variables.sort();
    used.variables.dedup();
    Ok(used)
}

struct Resolver<'s> {
    scope: &'s Scope,
    places: &'s Places,
    /// Names that loops around the current place have bound.
    locals: Vec<String>,
    used: Used,
}

impl Resolver<'_> {
    fn resolve(&mut self, expr: &mut IdedExpr) -> Result<(), CompileError> {
        let at = self.places.of(expr.id);
        if let Some(read) = self.variable_read(&expr.expr, at)? {
            expr.expr = read;
            return Ok(());
        }
        match &mut expr.expr {
            Expr::Unspecified | Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.ident(name, at),
            Expr::Select(select) => self.select(select, at),
            Expr::Call(call) => self.call(call, at),
            Expr::List(ListExpr { elements, .. }) => elements.iter_mut().try_for_each(|e| self.resolve(e)),
            Expr::Map(map) => map.entries.iter_mut().try_for_each(|entry| match &mut entry.expr {
                EntryExpr::StructField(field) => self.resolve(&mut field.value),
                EntryExpr::MapEntry(pair) => {
                    self.resolve(&mut pair.key)?;
                    self.resolve(&mut pair.value)
                }
            }),
            Expr::Struct(message) => Err(CompileError::Syntax {
                at,
                message: Text::bounded(
                    &format!("`{}{{…}}`: there are no message types to make", Text::word(&message.type_name)),
                    MAX_LISTING,
                ),
            }),
            Expr::Comprehension(loops) => self.comprehension(loops),
        }
    }

    fn is(&self, expr: &IdedExpr, wanted: &str) -> bool {
        matches!(&expr.expr, Expr::Ident(name) if name == wanted) && !self.is_local(wanted)
    }

    fn is_local(&self, name: &str) -> bool {
        self.locals.iter().any(|local| local == name)
    }

    /// What `variables.NAME` becomes: a name of its own, that no expression can write.
    fn variable_read(&mut self, expr: &Expr, at: Position) -> Result<Option<Expr>, CompileError> {
        let Expr::Select(select) = expr else {
            return Ok(None);
        };
        if !self.is(&select.operand, "variables") {
            return Ok(None);
        }
        let ident = format!("{VARIABLES}{}", select.field);
        if !self.scope.has_variable(&select.field) {
            return Err(self.unknown(&ident, at));
        }
        if select.test {
            return Ok(Some(Expr::Literal(LiteralValue::Boolean(true.into()))));
        }
        self.used.variables.push(select.field.clone());
        Ok(Some(Expr::Ident(ident)))
    }

    fn ident(&mut self, name: &str, at: Position) -> Result<(), CompileError> {
        // `@` and `#` begin the names that macros make up
        if self.is_local(name) || name.starts_with(['@', '#']) || functions::is_type_name(name) {
            return Ok(());
        }
        match Root::named(name) {
            Some(root) if self.scope.has(root) => {
                self.used.roots.insert(root);
                Ok(())
            }
            _ if name == "authorizer" => Err(CompileError::AdmissionOnly { name: Text::word(name), at }),
            _ => Err(self.unknown(name, at)),
        }
    }

    fn select(&mut self, select: &mut SelectExpr, at: Position) -> Result<(), CompileError> {
        if dotted(select).is_some_and(|name| functions::is_type_name(&name)) {
            return Ok(());
        }
        if self.is(&select.operand, "request") {
            self.request_field(&select.field, at)?;
        }
        self.resolve(&mut select.operand)
    }

    /// `field` of `request` must be one that a watch knows.
    fn request_field(&self, field: &str, at: Position) -> Result<(), CompileError> {
        if REQUEST_FIELDS.contains(&field) {
            return Ok(());
        }
        let name = format!("request.{field}");
        if ADMISSION_FIELDS.contains(&field) {
            return Err(CompileError::AdmissionOnly { name: Text::word(&name), at });
        }
        let known: Vec<String> = REQUEST_FIELDS.iter().map(|field| format!("request.{field}")).collect();
        Err(unknown_of(&name, known, at))
    }

    fn call(&mut self, call: &mut CallExpr, at: Position) -> Result<(), CompileError> {
        if let (op::OPT_SELECT | op::INDEX | op::OPT_INDEX, [whole, key]) =
            (call.func_name.as_str(), call.args.as_slice())
            && let Expr::Literal(LiteralValue::String(key)) = &key.expr
            && self.is(whole, "request")
        {
            self.request_field(key.inner(), at)?;
        }
        if let Some(target) = call.target.as_deref_mut()
            && !self.is_namespace(target)
        {
            self.resolve(target)?;
        }
        calls::check(call, at)?;
        call.args.iter_mut().try_for_each(|arg| self.resolve(arg))
    }

    /// Whether `expr` is what stands before the dot of `math.abs(…)`, and no value.
    fn is_namespace(&self, expr: &IdedExpr) -> bool {
        matches!(&expr.expr, Expr::Ident(name) if functions::is_namespace(name) && !self.is_local(name))
    }

    fn comprehension(&mut self, loops: &mut ComprehensionExpr) -> Result<(), CompileError> {
        self.resolve(&mut loops.iter_range)?;
        self.resolve(&mut loops.accu_init)?;
        let outside = self.locals.len();
        self.locals.extend([loops.iter_var.clone(), loops.accu_var.clone()]);
        self.locals.extend(loops.iter_var2.clone());
        let inside = [&mut loops.loop_cond, &mut loops.loop_step, &mut loops.result];
        let resolved = inside.into_iter().try_for_each(|part| self.resolve(part));
        self.locals.truncate(outside);
        resolved
    }

    fn unknown(&self, name: &str, at: Position) -> CompileError {
        let locals = self.locals.iter().filter(|local| !local.starts_with(['@', '#'])).cloned();
        unknown_of(name, locals.chain(self.scope.names()).collect(), at)
    }
}

fn unknown_of(name: &str, known: Vec<String>, at: Position) -> CompileError {
    CompileError::UnknownVariable {
        name: Text::word(name),
        at,
        near: nearest(name, known.iter().map(String::as_str)),
        known: Text::bounded(&known.join(", "), MAX_LISTING),
    }
}

/// `a.b.c` for a chain of plain selections on a name.
fn dotted(select: &SelectExpr) -> Option<String> {
    let mut names = vec![select.field.as_str()];
    let mut operand = &select.operand.expr;
    loop {
        match operand {
            Expr::Ident(name) => {
                names.push(name);
                names.reverse();
                return Some(names.join("."));
            }
            Expr::Select(inner) => {
                names.push(&inner.field);
                operand = &inner.operand.expr;
            }
            _ => return None,
        }
    }
}
