//! Macros: calls whose arguments are names and expressions, not values.

use cel::common::ast::{CallExpr, Expr, IdedExpr};

use super::super::code::{Body, Code, Loop};
use super::super::error::{CompileError, Position, Text};
use super::super::libraries;
use super::super::libraries::macros::{MACROS, Macro};
use super::super::types::Type;
use super::{Checker, NOTHING, Part};

impl Checker<'_> {
    /// The macro that `call` is a call of, if it is one.
    pub(super) fn macro_call(&mut self, call: &CallExpr, at: Position) -> Option<Part> {
        let namespace = call.target.as_deref().and_then(|target| match &target.expr {
            Expr::Ident(name) if !self.is_local(name) => Some(name.as_str()),
            _ => None,
        });
        let args = call.args.as_slice();
        match (call.func_name.as_str(), call.target.as_deref(), args) {
            ("has", None, [field]) => Some(self.has(field)),
            ("bind", _, [name, value, body]) if namespace == Some("cel") => {
                Some(self.bound(name, value, body))
            }
            ("greatest", _, [_, ..]) if namespace == Some("math") => {
                Some(self.extreme("math.@max", args, at))
            }
            ("least", _, [_, ..]) if namespace == Some("math") => Some(self.extreme("math.@min", args, at)),
            ("optMap", Some(target), [name, body]) => Some(self.optional_map(target, name, body, false)),
            ("optFlatMap", Some(target), [name, body]) => Some(self.optional_map(target, name, body, true)),
            ("or", Some(target), [other]) => Some(self.optional_or(target, other, at)),
            ("orValue", Some(target), [value]) => Some(self.optional_or_value(target, value, at)),
            (name, Some(target), args) => self.loop_call(name, target, args),
            _ => None,
        }
        .or_else(|| {
            let name = match namespace.map(|namespace| format!("{namespace}.{}", call.func_name)) {
                Some(qualified) if MACROS.iter().any(|known| known.name == qualified) => qualified,
                _ => call.func_name.clone(),
            };
            let Macro { name, usage, .. } = MACROS.iter().find(|known| known.name == name)?;
            // lists have functions of the same names
            if libraries::find(name).is_some() {
                return None;
            }
            Some(self.fault(CompileError::WrongCall {
                name: Text::word(name),
                at,
                usage: Text::bounded(usage, super::MAX_LISTING),
            }))
        })
    }

    /// `has(operand.field)`.
    fn has(&mut self, argument: &IdedExpr) -> Part {
        let at = self.places.of(argument.id);
        let Expr::Select(select) = &argument.expr else {
            let message =
                Text::bounded("has() wants a field, as in has(object.spec.field)", super::MAX_LISTING);
            return self.fault(CompileError::Syntax { at, message });
        };
        if self.is_name(&select.operand, "variables") {
            // A variable that does not exist is a mistake; one that does has a value, or fails who reads it.
            let (_, own) = self.variable(&select.field, at);
            self.variables.pop();
            return match own {
                Type::Error => (NOTHING, Type::Error),
                _ => (Code::Constant(true.into()), Type::Bool),
            };
        }
        if self.is_name(&select.operand, "lookups") {
            return self.lookup(&select.field, at, Code::HasLookup, |_| Type::Bool);
        }
        if self.is_name(&select.operand, "request")
            && let Some(part) = self.request_field(&select.field, at)
        {
            return part;
        }
        let (operand, own) = self.expr(&select.operand);
        self.field_type(&own, &select.field, at);
        (Code::Has { operand: Box::new(operand), field: select.field.as_str().into() }, Type::Bool)
    }

    /// `cel.bind(name, value, body)`.
    fn bound(&mut self, name: &IdedExpr, value: &IdedExpr, body: &IdedExpr) -> Part {
        let Some(name) = self.simple_name(name) else { return (NOTHING, Type::Error) };
        let (value, own) = self.expr(value);
        self.bind(vec![(name, own)], |checker, slot| {
            let (body, result) = checker.expr(body);
            (Code::Bind { slot, value: Box::new(value), body: Box::new(body) }, result)
        })
    }

    /// `math.greatest(a, b, …)`: of one list, or of all arguments.
    fn extreme(&mut self, name: &str, args: &[IdedExpr], at: Position) -> Part {
        let Some(declared) = libraries::find(name) else {
            return self.fault(CompileError::Internal { reason: Text::word(name) });
        };
        let parts: Vec<Part> = args.iter().map(|arg| self.expr(arg)).collect();
        let (codes, types): (Vec<Code>, Vec<Type>) = parts.into_iter().unzip();
        if codes.len() <= 2 {
            return self.call_declared(declared, false, codes, &types, false, at);
        }
        for (arg, own) in args.iter().zip(&types) {
            let own = self.types.settle(own);
            if !matches!(own, Type::Int | Type::Uint | Type::Double | Type::Dyn | Type::Error) {
                let (got, want) = (Text::word(&own.describe()), Text::word("a number"));
                return self.fault(CompileError::Mismatch { got, want, at: self.places.of(arg.id) });
            }
        }
        let list = Code::List(codes.into_iter().map(|code| (code, false)).collect());
        self.call_declared(declared, false, vec![list], &[Type::list(Type::Dyn)], false, at)
    }

    /// `optional.optMap(name, body)`.
    fn optional_map(&mut self, target: &IdedExpr, name: &IdedExpr, body: &IdedExpr, flat: bool) -> Part {
        let (operand, own) = self.expr(target);
        let inner = self.optional_of(&own, self.places.of(target.id));
        let Some(name) = self.simple_name(name) else { return (NOTHING, Type::Error) };
        let body_at = self.places.of(body.id);
        self.bind(vec![(name, inner)], |checker, slot| {
            let (body, result) = checker.expr(body);
            let result = match flat {
                true => Type::optional(checker.optional_of(&result, body_at)),
                false => Type::optional(result),
            };
            (Code::OptionalMap { operand: Box::new(operand), slot, body: Box::new(body), flat }, result)
        })
    }

    /// `optional.or(other)`, of which the other is looked at only if it is needed.
    fn optional_or(&mut self, target: &IdedExpr, other: &IdedExpr, at: Position) -> Part {
        let (operand, a) = self.expr(target);
        let (code, b) = self.expr(other);
        let held = self.types.fresh();
        let either = Type::optional(held);
        let result = self.both(&[a, b], [either.clone(), either.clone()], either, "or", at);
        (Code::OptionalOr { operand: Box::new(operand), other: Box::new(code) }, result)
    }

    /// `optional.orValue(value)`, of which the value is looked at only if it is needed.
    fn optional_or_value(&mut self, target: &IdedExpr, value: &IdedExpr, at: Position) -> Part {
        let (operand, a) = self.expr(target);
        let (code, b) = self.expr(value);
        let held = self.types.fresh();
        let wanted = [Type::optional(held.clone()), held.clone()];
        let result = self.both(&[a, b], wanted, held, "orValue", at);
        (Code::OptionalOrValue { operand: Box::new(operand), value: Box::new(code) }, result)
    }

    /// What a call of two arguments comes out as.
    fn both(&mut self, got: &[Type; 2], wanted: [Type; 2], result: Type, name: &str, at: Position) -> Type {
        if self.types.assign_all(got, &wanted) {
            return self.types.resolve(&result);
        }
        // What an optional is without a value may be anything, once it runs.
        if self.scope.is_typed() && self.types.assign(&Type::optional(Type::Dyn), &got[0]) {
            return self.types.settle(&result);
        }
        let [a, b] = got.each_ref().map(|own| self.types.settle(own).describe());
        let got = Text::bounded(&format!("{a} with {b}"), super::MAX_LISTING);
        self.fault(CompileError::WrongTypes { name: Text::word(name), got, at }).1
    }

    /// What an optional holds.
    fn optional_of(&mut self, own: &Type, at: Position) -> Type {
        let open = self.types.fresh();
        let wanted = Type::optional(open.clone());
        if !self.types.assign(&wanted, own) {
            let got = Text::word(&self.types.settle(own).describe());
            return self.fault(CompileError::Mismatch { got, want: Text::word("an optional"), at }).1;
        }
        self.types.resolve(&open)
    }

    fn loop_call(&mut self, name: &str, target: &IdedExpr, args: &[IdedExpr]) -> Option<Part> {
        let two = match (name, args.len()) {
            ("all" | "exists" | "existsOne" | "exists_one" | "filter" | "sortBy", 2) | ("map", 2 | 3) => {
                false
            }
            ("all" | "exists" | "existsOne" | "exists_one", 3) => true,
            ("transformList" | "transformMap" | "transformMapEntry", 3 | 4) => true,
            _ => return None,
        };
        let (range, own) = self.expr(target);
        let range_at = self.places.of(target.id);
        let names = &args[..if two { 2 } else { 1 }];
        let rest = &args[names.len()..];
        let mut bound = Vec::with_capacity(2);
        for argument in names {
            let Some(name) = self.simple_name(argument) else { return Some((NOTHING, Type::Error)) };
            bound.push(name);
        }
        if two && bound[0] == bound[1] {
            let message = Text::bounded("the two names of a loop must differ", super::MAX_LISTING);
            let at = self.places.of(args[1].id);
            return Some(self.fault(CompileError::Syntax { at, message }));
        }
        let (key, element) = self.range_types(&own, two, range_at);
        let element_type = key.clone();
        let types: Vec<Type> = if two { vec![key, element] } else { vec![key] };
        let bound: Vec<(String, Type)> = bound.into_iter().zip(types).collect();
        Some(self.bind(bound, |checker, first| {
            let (body, result) = checker.body(name, rest, element_type);
            let second = two.then_some(first + 1);
            (Code::Loop(Box::new(Loop { range, first, second, body })), result)
        }))
    }

    /// The types of what a loop over a `range` binds.
    fn range_types(&mut self, range: &Type, two: bool, at: Position) -> (Type, Type) {
        match self.types.resolve(range) {
            Type::List(element) if two => (Type::Int, (*element).clone()),
            Type::List(element) => ((*element).clone(), Type::Error),
            Type::Map(key, value) => ((*key).clone(), (*value).clone()),
            // Of a map with known fields the keys are texts.
            Type::Object(_) => (Type::String, Type::Dyn),
            open @ Type::Param(_) => {
                self.types.assign(&Type::Dyn, &open);
                (Type::Dyn, Type::Dyn)
            }
            other if other.is_dyn_or_error() => (Type::Dyn, Type::Dyn),
            other => {
                let got = Text::word(&other.describe());
                self.fault(CompileError::NoLoop { got, at });
                (Type::Error, Type::Error)
            }
        }
    }

    /// What a loop does with each element, and what it comes out as.
    fn body(&mut self, name: &str, args: &[IdedExpr], element: Type) -> (Body, Type) {
        let conditional = |args: &[IdedExpr]| args.len() == 2;
        match name {
            "all" => (Body::All(self.condition(&args[0])), Type::Bool),
            "exists" => (Body::Exists(self.condition(&args[0])), Type::Bool),
            "existsOne" | "exists_one" => (Body::ExistsOne(self.condition(&args[0])), Type::Bool),
            "filter" => (Body::Filter(self.condition(&args[0])), Type::list(element)),
            "sortBy" => {
                let (key, own) = self.expr(&args[0]);
                let own = self.types.settle(&own);
                if matches!(
                    own,
                    Type::List(_) | Type::Map(..) | Type::Object(_) | Type::Null | Type::Optional(_)
                ) {
                    let (got, want) = (Text::word(&own.describe()), Text::word("a value that has an order"));
                    self.fault(CompileError::Mismatch { got, want, at: self.places.of(args[0].id) });
                }
                (Body::SortBy(key), Type::list(element))
            }
            "transformMap" => {
                let condition = conditional(args).then(|| self.condition(&args[0]));
                let (value, own) = self.expr(&args[args.len() - 1]);
                (Body::TransformMap { condition, value }, Type::map(element, own))
            }
            "transformMapEntry" => {
                let condition = conditional(args).then(|| self.condition(&args[0]));
                let last = &args[args.len() - 1];
                let (entries, own) = self.expr(last);
                let wanted = Type::map(self.types.fresh(), self.types.fresh());
                self.want(&wanted, &own, self.places.of(last.id));
                (Body::TransformMapEntry { condition, entries }, own)
            }
            // map, transformList
            _ => {
                let condition = conditional(args).then(|| self.condition(&args[0]));
                let (value, own) = self.expr(&args[args.len() - 1]);
                (Body::Map { condition, value }, Type::list(own))
            }
        }
    }

    fn condition(&mut self, expr: &IdedExpr) -> Code {
        let (code, own) = self.expr(expr);
        self.want(&Type::Bool, &own, self.places.of(expr.id));
        code
    }

    /// A name that a macro binds.
    fn simple_name(&mut self, expr: &IdedExpr) -> Option<String> {
        match &expr.expr {
            Expr::Ident(name) if !name.starts_with('.') => Some(name.clone()),
            _ => {
                let message = Text::bounded(
                    "the first argument must be a name, as in list.all(x, …)",
                    super::MAX_LISTING,
                );
                self.fault(CompileError::Syntax { at: self.places.of(expr.id), message });
                None
            }
        }
    }
}
