//! From a syntax tree to the compiled form: names, types, literals.
//!
//! In: a syntax tree whose depth is checked, and the scope it stands in. Out: [`Code`] with the type it comes out
//! as, and everything that is wrong. The types follow cel-go's checker (`checker/checker.go`) with the options that
//! Kubernetes sets, so that what a kube-apiserver refuses is refused here. Only `compile.rs` calls.

mod calls;
mod macros;
mod operators;

use std::collections::BTreeSet;
use std::sync::Arc;

use cel::common::ast::{EntryExpr, Expr, IdedExpr, ListExpr, LiteralValue, MapExpr, SelectExpr};

use super::code::{Code, Entry};
use super::error::{CompileError, Position, Text};
use super::libraries;
use super::parse::Places;
use super::scope::{Root, Roots, Scope};
use super::types::{Form, Type, Unifier};
use super::value::Value;
use crate::core::near;

/// Fields of `request` that exist without an admission request.
const REQUEST_FIELDS: [&str; 5] = ["kind", "name", "namespace", "operation", "resource"];
/// Fields of `request` that only an admission request has.
const ADMISSION_FIELDS: [&str; 8] = [
    "dryRun",
    "options",
    "requestKind",
    "requestResource",
    "requestSubResource",
    "subResource",
    "uid",
    "userInfo",
];
/// Most bytes of a list of names in a message.
const MAX_LISTING: usize = 200;
/// Most faults that are reported of one expression.
const MAX_FAULTS: usize = 16;

/// What a syntax tree comes to.
pub(super) struct Checked {
    pub(super) code: Code,
    /// What it comes out as; what is not known is dyn.
    pub(super) result: Type,
    /// The roots it reads itself.
    pub(super) roots: Roots,
    /// The variables it reads itself, by their place in the scope; sorted, each once.
    pub(super) variables: Vec<usize>,
    /// The lookups it reads itself, by their place in the scope.
    pub(super) lookups: BTreeSet<usize>,
    /// How many local values it has at the same time.
    pub(super) slots: usize,
    /// What is wrong, in the order of the source as far as it was read.
    pub(super) faults: Vec<CompileError>,
}

/// Checks `expr`. With faults its code is of no use.
pub(super) fn check(expr: &IdedExpr, scope: &Scope, places: &Places) -> Checked {
    let mut checker = Checker {
        scope,
        places,
        types: Unifier::default(),
        locals: Vec::new(),
        roots: Roots::default(),
        variables: Vec::new(),
        lookups: BTreeSet::new(),
        slots: 0,
        faults: Vec::new(),
        literals: Vec::new(),
        exempt: false,
        last_list: Vec::new(),
    };
    let (code, result) = checker.expr(expr);
    checker.check_literals();
    let result = checker.types.settle(&result);
    checker.variables.sort_unstable();
    checker.variables.dedup();
    Checked {
        code,
        result,
        roots: checker.roots,
        variables: checker.variables,
        lookups: checker.lookups,
        slots: checker.slots,
        faults: checker.faults,
    }
}

struct Checker<'s> {
    scope: &'s Scope,
    places: &'s Places,
    types: Unifier,
    /// Names that loops around the current place have bound, and the types of their values.
    locals: Vec<(String, Type)>,
    roots: Roots,
    variables: Vec<usize>,
    lookups: BTreeSet<usize>,
    slots: usize,
    faults: Vec<CompileError>,
    /// The types of what stands in lists and maps that are written out.
    literals: Vec<Vec<(Type, Position)>>,
    /// Within the arguments of `format`, whose lists may mix types.
    exempt: bool,
    /// The types of the elements of the list that was checked last.
    last_list: Vec<Type>,
}

/// What stands for a part that is wrong.
const NOTHING: Code = Code::Constant(Value::Null);

type Part = (Code, Type);

impl Checker<'_> {
    fn expr(&mut self, expr: &IdedExpr) -> Part {
        let at = self.places.of(expr.id);
        match &expr.expr {
            Expr::Unspecified => self.fault(CompileError::Internal { reason: Text::word("an empty node") }),
            Expr::Literal(literal) => literal_value(literal),
            Expr::Ident(name) => self.ident(name, at),
            Expr::Select(select) => self.select(select, at),
            Expr::Call(call) => self.call(call, at),
            Expr::List(list) => self.list(list),
            Expr::Map(map) => self.map(map),
            Expr::Struct(message) => {
                let text =
                    format!("`{}{{…}}`: there are no message types to make", Text::word(&message.type_name));
                self.fault(CompileError::Syntax { at, message: Text::bounded(&text, MAX_LISTING) })
            }
            // The parser expands no macros.
            Expr::Comprehension(_) => self.fault(CompileError::Internal { reason: Text::word("a fold") }),
        }
    }

    fn ident(&mut self, name: &str, at: Position) -> Part {
        let (plain, absolute) = match name.strip_prefix('.') {
            Some(plain) => (plain, true),
            None => (name, false),
        };
        if !absolute && let Some(slot) = self.locals.iter().rposition(|(local, _)| local == plain) {
            return (Code::Local(slot), self.locals[slot].1.clone());
        }
        if let Some(type_value) = type_named(plain) {
            return type_value;
        }
        if let Some(place) = self.scope.params().filter(|_| plain == "params") {
            self.lookups.insert(place);
            return (Code::Lookup(place), self.scope.type_of_lookup(place));
        }
        match Root::named(plain) {
            Some(root) if self.scope.has(root) => {
                self.roots.insert(root);
                (Code::Root(root), self.scope.type_of(root))
            }
            _ if plain == "authorizer" => {
                self.fault(CompileError::AdmissionOnly { name: Text::word(plain), at })
            }
            _ => self.unknown(plain, at),
        }
    }

    /// `operand.field`, where operand and field may also be one name.
    fn select(&mut self, select: &SelectExpr, at: Position) -> Part {
        if self.is_name(&select.operand, "variables") {
            return self.variable(&select.field, at);
        }
        if self.is_name(&select.operand, "lookups") {
            return self.lookup(&select.field, at, Code::Lookup, |own| own);
        }
        if let Some(type_value) =
            dotted(select).filter(|(first, _)| !self.is_local(first)).and_then(|(_, n)| type_named(&n))
        {
            return type_value;
        }
        if self.is_name(&select.operand, "request")
            && let Some(part) = self.request_field(&select.field, at)
        {
            return part;
        }
        let (operand, operand_type) = self.expr(&select.operand);
        let (optional, result) = self.field_type(&operand_type, &select.field, at);
        let (operand, field) = (Box::new(operand), select.field.as_str().into());
        match optional {
            true => (Code::SelectIfThere { operand, field }, Type::optional(result)),
            false => (Code::Select { operand, field }, result),
        }
    }

    /// What `field` of an `operand` is, and whether the operand is an optional.
    fn field_type(&mut self, operand: &Type, field: &str, at: Position) -> (bool, Type) {
        let (target, optional) = self.types.resolve(operand).unwrap_optional();
        let result = match &target {
            Type::Map(_, value) => (**value).clone(),
            Type::Object(object) => match object.fields.get(field) {
                Some(known) => known.clone(),
                None if object.form == Form::OpenMap => Type::Dyn,
                None => {
                    let near = nearest(field, object.fields.keys().map(|name| &**name));
                    let of = Text::word(&object.name);
                    self.fault(CompileError::UnknownField { name: Text::word(field), of, at, near }).1
                }
            },
            Type::Param(_) => {
                self.types.assign(&Type::Dyn, &target);
                Type::Dyn
            }
            other if other.is_dyn_or_error() => Type::Dyn,
            other => {
                let got = Text::word(&other.describe());
                self.fault(CompileError::NoFields { got, field: Text::word(field), at }).1
            }
        };
        (optional, result)
    }

    fn variable(&mut self, name: &str, at: Position) -> Part {
        match self.scope.variable(name) {
            Some((place, declared)) => {
                let declared = declared.clone();
                self.variables.push(place);
                (Code::Variable(place), declared)
            }
            None => self.unknown(&format!("variables.{name}"), at),
        }
    }

    /// A way to read what is looked up, and the type that it comes out as.
    fn lookup(
        &mut self,
        name: &str,
        at: Position,
        read: fn(usize) -> Code,
        result: fn(Type) -> Type,
    ) -> Part {
        match self.scope.lookup(name) {
            Some(place) => {
                self.lookups.insert(place);
                (read(place), result(self.scope.type_of_lookup(place)))
            }
            None => {
                let name = format!("lookups.{name}");
                if let Some(fault) = self.elsewhere(&name, at) {
                    return self.fault(fault);
                }
                let known: Vec<String> = self.scope.lookup_names().collect();
                self.fault(CompileError::UnknownLookup {
                    name: Text::word(&name),
                    at,
                    near: nearest(&name, known.iter().map(String::as_str)),
                    known: Text::bounded(&known.join(", "), MAX_LISTING),
                })
            }
        }
    }

    /// What is wrong with reading `field` of `request`, if anything is.
    fn request_field(&mut self, field: &str, at: Position) -> Option<Part> {
        if REQUEST_FIELDS.contains(&field) {
            return None;
        }
        let name = format!("request.{field}");
        if ADMISSION_FIELDS.contains(&field) {
            return Some(self.fault(CompileError::AdmissionOnly { name: Text::word(&name), at }));
        }
        let known: Vec<String> = REQUEST_FIELDS.iter().map(|field| format!("request.{field}")).collect();
        Some(self.fault(unknown_of(&name, &known, at)))
    }

    fn list(&mut self, list: &ListExpr) -> Part {
        let mut element_type = None;
        let mut elements = Vec::with_capacity(list.elements.len());
        let mut types = Vec::with_capacity(list.elements.len());
        for (n, element) in list.elements.iter().enumerate() {
            let optional = list.optional_indices.contains(&n);
            let (code, own) = self.element(element, optional);
            types.push((own.clone(), self.places.of(element.id)));
            element_type = Some(self.join(element_type, own, self.places.of(element.id)));
            elements.push((code, optional));
        }
        self.last_list = types.iter().map(|(own, _)| own.clone()).collect();
        self.literal(types);
        let result = Type::list(element_type.unwrap_or_else(|| self.types.fresh()));
        let constants: Option<Vec<Value<'static>>> = elements
            .iter()
            .map(|(code, optional)| match code {
                Code::Constant(value) if !optional => Some(value.clone()),
                _ => None,
            })
            .collect();
        match constants {
            Some(values) => (Code::Constant(Value::list(values)), result),
            None => (Code::List(elements), result),
        }
    }

    fn map(&mut self, map: &MapExpr) -> Part {
        let (mut key_type, mut value_type) = (None, None);
        let mut entries = Vec::with_capacity(map.entries.len());
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for entry in &map.entries {
            let EntryExpr::MapEntry(pair) = &entry.expr else { continue };
            let (key, own) = self.expr(&pair.key);
            keys.push((own.clone(), self.places.of(pair.key.id)));
            key_type = Some(self.join(key_type, own, self.places.of(pair.key.id)));
            let (value, own) = self.element(&pair.value, pair.optional);
            values.push((own.clone(), self.places.of(pair.value.id)));
            value_type = Some(self.join(value_type, own, self.places.of(pair.value.id)));
            entries.push(Entry { key, value, optional: pair.optional });
        }
        self.literal(keys);
        self.literal(values);
        let key_type = key_type.unwrap_or_else(|| self.types.fresh());
        let value_type = value_type.unwrap_or_else(|| self.types.fresh());
        (calls::fold(Code::Map(entries)), Type::map(key_type, value_type))
    }

    fn literal(&mut self, types: Vec<(Type, Position)>) {
        // Refused for the sake of types alone: with those of a schema there is nothing to warn of.
        if !self.exempt && types.len() > 1 && !self.scope.is_typed() {
            self.literals.push(types);
        }
    }

    /// As Kubernetes does when all types are known: what stands in one list or map is of one type, and a value whose
    /// type is known only at run time is not of the same type as one that is known.
    fn check_literals(&mut self) {
        for types in std::mem::take(&mut self.literals) {
            let mut types = types.into_iter().map(|(own, at)| (self.types.settle(&own), at));
            let Some((first, _)) = types.next() else { continue };
            if let Some((other, at)) = types.find(|(own, _)| *own != first) {
                let (got, want) = (Text::word(&other.describe()), Text::word(&first.describe()));
                self.fault(CompileError::Mixed { got, want, at });
            }
        }
    }

    /// An element, or a value, that may be an optional to be put in only if it has a value.
    fn element(&mut self, expr: &IdedExpr, optional: bool) -> Part {
        let (code, own) = self.expr(expr);
        if !optional {
            return (code, own);
        }
        let (inner, is_optional) = self.types.resolve(&own).unwrap_optional();
        if !is_optional && !inner.is_dyn_or_error() {
            let got = Text::word(&inner.describe());
            self.fault(CompileError::Mismatch {
                got,
                want: Text::word("an optional"),
                at: self.places.of(expr.id),
            });
        }
        (code, inner)
    }

    /// The type of elements that are of `before` and of `own`: Kubernetes wants them to be of one type.
    fn join(&mut self, before: Option<Type>, own: Type, at: Position) -> Type {
        let Some(before) = before else { return own };
        if self.types.assign(&before, &own) || self.exempt {
            return Unifier::most_general(before, own);
        }
        if self.scope.is_typed() {
            return Type::Dyn;
        }
        let (want, got) = (self.types.settle(&before), self.types.settle(&own));
        let (want, got) = (Text::word(&want.describe()), Text::word(&got.describe()));
        self.fault(CompileError::Mixed { got, want, at }).1
    }

    /// Wants `got` to be a `want`.
    fn want(&mut self, want: &Type, got: &Type, at: Position) {
        if !self.types.assign(want, got) {
            let got = self.types.settle(got);
            let (want, got) = (Text::word(&want.describe()), Text::word(&got.describe()));
            self.fault(CompileError::Mismatch { got, want, at });
        }
    }

    /// Whether `expr` is this name, and nothing else has it here.
    fn is_name(&self, expr: &IdedExpr, name: &str) -> bool {
        matches!(&expr.expr, Expr::Ident(ident) if ident == name) && !self.is_local(name)
    }

    fn is_local(&self, name: &str) -> bool {
        self.locals.iter().any(|(local, _)| local == name)
    }

    /// Checks `inside` while `names` are bound; returns the slot of the first of them with it.
    fn bind<T>(&mut self, names: Vec<(String, Type)>, inside: impl FnOnce(&mut Self, usize) -> T) -> T {
        let first = self.locals.len();
        self.locals.extend(names);
        self.slots = self.slots.max(self.locals.len());
        let done = inside(self, first);
        self.locals.truncate(first);
        done
    }

    fn unknown(&mut self, name: &str, at: Position) -> Part {
        if let Some(fault) = self.elsewhere(name, at) {
            return self.fault(fault);
        }
        let locals = self.locals.iter().map(|(local, _)| local.clone());
        let known: Vec<String> = locals.chain(self.scope.names()).collect();
        self.fault(unknown_of(name, &known, at))
    }

    /// What is wrong with a name that exists elsewhere.
    fn elsewhere(&self, name: &str, at: Position) -> Option<CompileError> {
        let first = name.split('.').next().unwrap_or(name);
        let remedy = self.scope.elsewhere(first)?;
        Some(CompileError::NotHere { name: Text::word(name), at, remedy })
    }

    fn fault(&mut self, error: CompileError) -> Part {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(error);
        }
        (NOTHING, Type::Error)
    }
}

fn literal_value(literal: &LiteralValue) -> Part {
    let (value, own) = match literal {
        LiteralValue::Boolean(b) => (Value::Bool(*b.inner()), Type::Bool),
        LiteralValue::Bytes(b) => (Value::Bytes(Arc::from(b.inner())), Type::Bytes),
        LiteralValue::Double(d) => (Value::Double(*d.inner()), Type::Double),
        LiteralValue::Int(i) => (Value::Int(*i.inner()), Type::Int),
        LiteralValue::UInt(u) => (Value::Uint(*u.inner()), Type::Uint),
        LiteralValue::Null => (Value::Null, Type::Null),
        LiteralValue::String(s) => (Value::text(s.inner()), Type::String),
    };
    (Code::Constant(value), own)
}

/// A type as a value: its name, and the type of that.
fn type_named(name: &str) -> Option<Part> {
    let (name, of) = match name {
        "bool" => ("bool", Type::Bool),
        "bytes" => ("bytes", Type::Bytes),
        "double" => ("double", Type::Double),
        "int" => ("int", Type::Int),
        "uint" => ("uint", Type::Uint),
        "string" => ("string", Type::String),
        "list" => ("list", Type::list(Type::Dyn)),
        "map" => ("map", Type::map(Type::Dyn, Type::Dyn)),
        "null_type" => ("null_type", Type::Null),
        "type" => ("type", Type::type_of(Type::Dyn)),
        "optional_type" => ("optional_type", Type::optional(Type::Dyn)),
        "google.protobuf.Timestamp" => ("google.protobuf.Timestamp", Type::Timestamp),
        "google.protobuf.Duration" => ("google.protobuf.Duration", Type::Duration),
        other => libraries::type_named(other)?,
    };
    Some((Code::Constant(Value::Type(name)), Type::type_of(of)))
}

/// The first name and all of `a.b.c`, for a chain of plain selections on a name.
fn dotted(select: &SelectExpr) -> Option<(&str, String)> {
    let mut names = vec![select.field.as_str()];
    let mut operand = &select.operand.expr;
    loop {
        match operand {
            Expr::Ident(name) => {
                names.push(name);
                names.reverse();
                return Some((name, names.join(".")));
            }
            Expr::Select(inner) => {
                names.push(&inner.field);
                operand = &inner.operand.expr;
            }
            _ => return None,
        }
    }
}

fn unknown_of(name: &str, known: &[String], at: Position) -> CompileError {
    CompileError::UnknownVariable {
        name: Text::word(name),
        at,
        near: nearest(name, known.iter().map(String::as_str)),
        known: Text::bounded(&known.join(", "), MAX_LISTING),
    }
}

/// The known name that `name` was probably meant to be.
fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<Text> {
    near::nearest(name, known).map(Text::word)
}
