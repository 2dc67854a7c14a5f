//! Calls: operators, functions of the libraries, and which of their forms fit.

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators as op};

use super::super::code::{Call, Code};
use super::super::cost::Meter;
use super::super::error::{CompileError, Position, Text};
use super::super::fault::Fault;
use super::super::libraries::{self, Declared, DeclaredOverload, Signature};
use super::super::moments::Comparison;
use super::super::types::{Form, Type};
use super::super::value::Value;
use super::operators::{self, symbol};
use super::{Checker, MAX_LISTING, Part, nearest};

/// What making a constant at compile time may cost, and how large it may be.
const MAX_CONSTANT: u64 = 10_000;

impl Checker<'_> {
    pub(super) fn call(&mut self, call: &CallExpr, at: Position) -> Part {
        let name = call.func_name.as_str();
        match (name, call.args.as_slice()) {
            (op::LOGICAL_AND | op::LOGICAL_OR, terms) => return self.logic(name, terms),
            (op::OPT_SELECT, [operand, field]) => return self.select_if_there(operand, field, at),
            (op::INDEX | op::OPT_INDEX, [whole, key]) if self.is_name(whole, "request") => {
                if let Expr::Literal(LiteralValue::String(key)) = &key.expr
                    && let Some(part) = self.request_field(key.inner(), at)
                {
                    return part;
                }
            }
            _ => {}
        }
        if let Some(signatures) = operators::signatures(name).filter(|_| call.target.is_none()) {
            return self.operator(name, signatures, &call.args, at);
        }
        if let Some(part) = self.macro_call(call, at) {
            return part;
        }
        self.function(call, at)
    }

    /// `a && b`, `a || b`, with chains of them flat.
    fn logic(&mut self, name: &str, terms: &[IdedExpr]) -> Part {
        let mut flat = Vec::new();
        self.flatten(name, terms, &mut flat);
        let code = match name {
            op::LOGICAL_AND => Code::And(flat),
            _ => Code::Or(flat),
        };
        (code, Type::Bool)
    }

    fn flatten(&mut self, name: &str, terms: &[IdedExpr], flat: &mut Vec<Code>) {
        for term in terms {
            match &term.expr {
                Expr::Call(inner) if inner.func_name == name => self.flatten(name, &inner.args, flat),
                _ => {
                    let (code, got) = self.expr(term);
                    self.want(&Type::Bool, &got, self.places.of(term.id));
                    flat.push(code);
                }
            }
        }
    }

    /// `operand.?field`.
    fn select_if_there(&mut self, operand: &IdedExpr, field: &IdedExpr, at: Position) -> Part {
        let Expr::Literal(LiteralValue::String(field)) = &field.expr else {
            return self.fault(CompileError::Internal { reason: Text::word("a field that is no name") });
        };
        let field = field.inner();
        if self.is_name(operand, "request")
            && let Some(part) = self.request_field(field, at)
        {
            return part;
        }
        if self.is_name(operand, "lookups") {
            return self.lookup(field, at, Code::LookupIfThere, Type::optional);
        }
        let (code, own) = self.expr(operand);
        let (_, result) = self.field_type(&own, field, at);
        (Code::SelectIfThere { operand: Box::new(code), field: field.into() }, Type::optional(result))
    }

    fn operator(&mut self, name: &str, signatures: &[Signature], args: &[IdedExpr], at: Position) -> Part {
        let parts: Vec<Part> = args.iter().map(|arg| self.expr(arg)).collect();
        let (codes, types): (Vec<Code>, Vec<Type>) = parts.into_iter().unzip();
        if let Some(result) = self.field_by_key(name, &codes, &types, at) {
            return (assemble(name, codes), result);
        }
        let fitting = self.fitting(signatures, |known| known, &types).map(|(_, result)| result);
        let Some(result) = fitting.or_else(|| self.works_nevertheless(name, &types)) else {
            let got = self.listed(&types, " and ");
            return self.fault(CompileError::WrongTypes {
                name: Text::word(symbol(name)),
                got: Text::bounded(&got, MAX_LISTING),
                at,
            });
        };
        if let (op::INDEX | op::OPT_INDEX, [_, Code::Constant(key)]) = (name, codes.as_slice())
            && !matches!(
                key,
                Value::Str(_) | Value::Int(_) | Value::Uint(_) | Value::Bool(_) | Value::Double(_)
            )
        {
            let (got, want) = (Text::word(&types[1].describe()), Text::word("a string or a number"));
            return self.fault(CompileError::Mismatch { got, want, at });
        }
        let code = assemble(name, codes);
        (fold(code), result)
    }

    /// What comes out of reading a field of an object that a schema describes as the key of a map that it is.
    fn field_by_key(&mut self, name: &str, codes: &[Code], types: &[Type], at: Position) -> Option<Type> {
        let ([_, Code::Constant(Value::Str(key))], [whole, _]) = (codes, types) else { return None };
        let Type::Object(object) = self.types.resolve(whole).unwrap_optional().0 else { return None };
        if object.form == Form::Message {
            return None;
        }
        let key = key.to_string();
        match name {
            op::INDEX => match self.field_type(whole, &key, at) {
                (true, field) => Some(Type::optional(field)),
                (false, field) => Some(field),
            },
            op::OPT_INDEX => Some(Type::optional(self.field_type(whole, &key, at).1)),
            _ => None,
        }
    }

    /// What comes out of an operator whose types do not fit by the declarations, when they come from a schema and
    /// it works all the same: with what is known only at run time it would have been accepted.
    fn works_nevertheless(&mut self, name: &str, types: &[Type]) -> Option<Type> {
        match (name, types) {
            _ if !self.scope.is_typed() => None,
            (op::CONDITIONAL, [condition, _, _]) => {
                self.types.assign(&Type::Bool, condition).then_some(Type::Dyn)
            }
            (op::EQUALS | op::NOT_EQUALS, [a, b]) => self.may_be_equal(a, b).then_some(Type::Bool),
            (op::IN, [element, whole]) => match self.types.resolve(whole) {
                Type::List(known) => self.may_be_equal(element, &known).then_some(Type::Bool),
                _ => None,
            },
            _ => None,
        }
    }

    /// Numbers of all types are compared by their value.
    fn may_be_equal(&mut self, a: &Type, b: &Type) -> bool {
        let is_number = |t: &Type| matches!(t, Type::Int | Type::Uint | Type::Double);
        match (self.types.resolve(a), self.types.resolve(b)) {
            (a, b) if is_number(&a) && is_number(&b) => true,
            (Type::List(a), Type::List(b)) => self.may_be_equal(&a, &b),
            (a, b) => self.types.assign(&a, &b),
        }
    }

    /// Which of the forms take these arguments, and what comes out.
    fn fitting<'f, F>(
        &mut self,
        forms: impl IntoIterator<Item = &'f F>,
        signature_of: impl Fn(&'f F) -> &'f Signature,
        args: &[Type],
    ) -> Option<(Vec<&'f F>, Type)> {
        let mut fitting = Vec::new();
        let mut result: Option<Type> = None;
        for form in forms {
            let signature = signature_of(form);
            if signature.args.len() != args.len() {
                continue;
            }
            let first = self.types.reserve(signature.params);
            let wanted: Vec<Type> =
                signature.args.iter().map(|wanted| self.types.instantiate(wanted, first)).collect();
            if !self.types.assign_all(args, &wanted) {
                continue;
            }
            fitting.push(form);
            let instance = self.types.instantiate(&signature.result, first);
            let own = self.types.resolve(&instance);
            result = Some(match result {
                None => own,
                Some(before) if before == Type::Dyn || before == own => before,
                Some(_) => Type::Dyn,
            });
        }
        Some((fitting, result?))
    }

    fn function(&mut self, call: &CallExpr, at: Position) -> Part {
        // `a.b.c()` is a function of that name, or a call of `c` on `a.b`.
        let qualified =
            call.target.as_deref().and_then(qualified_name).map(|q| format!("{q}.{}", call.func_name));
        let namespaced = qualified.as_deref().and_then(libraries::find);
        let (declared, target) = match (namespaced, &call.target) {
            (Some(declared), _) => (declared, None),
            (None, target) => match libraries::find(call.func_name.trim_start_matches('.')) {
                Some(declared) => (declared, target.as_deref()),
                None => return self.unknown_function(call, qualified.as_deref(), at),
            },
        };
        let args: Vec<&IdedExpr> = target.into_iter().chain(&call.args).collect();
        let outside = self.exempt;
        self.exempt |= declared.name == "format";
        let parts: Vec<Part> = args.iter().map(|arg| self.expr(arg)).collect();
        self.exempt = outside;
        if let ("format", [text, values]) = (declared.name, args.as_slice())
            && let (Expr::Literal(LiteralValue::String(text)), Expr::List(_)) = (&text.expr, &values.expr)
        {
            let types: Vec<Type> = self.last_list.iter().map(|own| self.types.settle(own)).collect();
            if let Err(reason) = libraries::format::check(text.inner(), &types) {
                return self.fault(CompileError::Syntax { at, message: Text::bounded(&reason, MAX_LISTING) });
            }
        }
        // Of a call with a regular expression that one counts.
        let literal = match declared.overloads.iter().find_map(|form| form.overload.pattern) {
            Some(pattern) => args.get(pattern).is_some_and(|arg| is_literal(arg)),
            None => args.iter().all(|arg| is_literal(arg)),
        };
        let (codes, types): (Vec<Code>, Vec<Type>) = parts.into_iter().unzip();
        self.call_declared(declared, target.is_some(), codes, &types, literal, at)
    }

    /// A call of a function whose arguments are checked.
    pub(super) fn call_declared(
        &mut self,
        declared: &'static Declared,
        member: bool,
        mut args: Vec<Code>,
        types: &[Type],
        literal: bool,
        at: Position,
    ) -> Part {
        let forms = declared.overloads.iter().filter(|form| form.signature.member == member);
        let Some((candidates, result)) = self.fitting(forms, |form| &form.signature, types) else {
            return self.wrong_call(declared, types, member, at);
        };
        if let Err(reason) = prepare_pattern(&candidates, &mut args)
            && literal
        {
            return self.fault(CompileError::Syntax { at, message: Text::bounded(&reason, MAX_LISTING) });
        }
        let code = Code::Call(Box::new(Call { name: declared.name, candidates, args }));
        match made(&code) {
            Some(Ok(value)) => (Code::Constant(value), result),
            // As a kube-apiserver, which converts literals when it compiles.
            Some(Err(Fault::Error(error))) if literal && CONVERSIONS.contains(&declared.name) => self
                .fault(CompileError::Syntax { at, message: Text::bounded(&error.to_string(), MAX_LISTING) }),
            _ => (code, result),
        }
    }

    fn wrong_call(&mut self, declared: &Declared, types: &[Type], member: bool, at: Position) -> Part {
        let name = Text::word(declared.name);
        let signatures = declared.overloads.iter().map(|form| &form.signature);
        let mut styled = signatures.filter(|signature| signature.member == member);
        let same_count = styled.any(|signature| signature.args.len() == types.len());
        if same_count {
            let got = self.listed(types, if member { " with " } else { " and " });
            return self.fault(CompileError::WrongTypes { name, got: Text::bounded(&got, MAX_LISTING), at });
        }
        let usage: Vec<&str> = declared
            .overloads
            .iter()
            .map(|form| form.overload.signature.split(" ->").next().unwrap_or_default())
            .collect();
        let usage = Text::bounded(&usage.join(" or "), MAX_LISTING);
        self.fault(CompileError::WrongCall { name, at, usage })
    }

    fn unknown_function(&mut self, call: &CallExpr, qualified: Option<&str>, at: Position) -> Part {
        if let Some(target) = call.target.as_deref() {
            let namespace = matches!(&target.expr, Expr::Ident(name) if !self.is_local(name) && libraries::is_namespace(name));
            // What is wrong before the dot was meant to be right first.
            if !namespace {
                let faults = self.faults.len();
                self.expr(target);
                if self.faults.len() > faults {
                    return (super::NOTHING, Type::Error);
                }
            }
        }
        let name = match call.target.as_deref().map(|target| &target.expr) {
            Some(Expr::Ident(first)) if libraries::is_namespace(first) => {
                qualified.unwrap_or(&call.func_name)
            }
            _ => &call.func_name,
        };
        let known = libraries::names().filter(|name| !name.contains('@'));
        let near = nearest(name, known.chain(libraries::macros::MACROS.iter().map(|known| known.name)));
        self.fault(CompileError::UnknownFunction { name: Text::word(name), at, near })
    }

    fn listed(&self, types: &[Type], first: &str) -> String {
        let names: Vec<String> = types.iter().map(|t| self.types.settle(t).describe()).collect();
        match names.as_slice() {
            [target, args @ ..] if !args.is_empty() => format!("{target}{first}{}", args.join(" and ")),
            _ => names.join(" and "),
        }
    }
}

fn assemble(name: &str, mut codes: Vec<Code>) -> Code {
    let last = codes.pop().map(Box::new);
    let before = codes.pop().map(Box::new);
    let first = codes.pop().map(Box::new);
    match (name, first, before, last) {
        (op::CONDITIONAL, Some(condition), Some(yes), Some(no)) => Code::Conditional { condition, yes, no },
        (op::LOGICAL_NOT, None, None, Some(operand)) => Code::Not(operand),
        (op::NEGATE, None, None, Some(operand)) => Code::Negate(operand),
        (op::INDEX, None, Some(operand), Some(key)) => Code::Index { operand, key },
        (op::OPT_INDEX, None, Some(operand), Some(key)) => Code::IndexIfThere { operand, key },
        (op::IN, None, Some(element), Some(whole)) => Code::In { element, whole },
        (op::EQUALS | op::NOT_EQUALS, None, Some(a), Some(b)) => {
            Code::Equal { sides: Box::new([*a, *b]), negated: name == op::NOT_EQUALS }
        }
        (_, None, Some(a), Some(b)) => match (operators::order(name), operators::arithmetic(name)) {
            (Some(order), _) => Code::Ordered(Comparison::new(order), Box::new([*a, *b])),
            (None, Some(arithmetic)) => Code::Calculate(arithmetic, Box::new([*a, *b])),
            (None, None) => super::NOTHING,
        },
        _ => super::NOTHING,
    }
}

/// Makes a constant of what works on constants only and has a value. What fails, fails when it is evaluated.
pub(super) fn fold(code: Code) -> Code {
    match made(&code) {
        Some(Ok(value)) => Code::Constant(value),
        _ => code,
    }
}

/// What code comes to that works on constants only.
fn made(code: &Code) -> Option<Result<Value<'static>, Fault>> {
    let mut constant = true;
    code.for_each_part(|part| constant &= matches!(part, Code::Constant(_)));
    constant.then(|| super::super::evaluate::constant(code, &mut Meter::new(MAX_CONSTANT)))
}

/// Prepares a regular expression that is constant.
fn prepare_pattern(candidates: &[&DeclaredOverload], args: &mut [Code]) -> Result<(), String> {
    let at = candidates.iter().find_map(|candidate| candidate.overload.pattern);
    if let Some(arg) = at.and_then(|at| args.get_mut(at))
        && let Code::Constant(Value::Str(pattern)) = arg
    {
        *arg = Code::Constant(libraries::regex::prepare(pattern)?);
    }
    Ok(())
}

/// Functions that a kube-apiserver calls on literals when it compiles.
const CONVERSIONS: [&str; 10] =
    ["bool", "bytes", "double", "duration", "dyn", "int", "string", "timestamp", "type", "uint"];

/// Whether a kube-apiserver knows the value when it compiles: a literal, or one that is converted.
fn is_literal(expr: &IdedExpr) -> bool {
    match &expr.expr {
        Expr::Literal(_) => true,
        Expr::Call(call) => {
            call.target.is_none()
                && CONVERSIONS.contains(&call.func_name.as_str())
                && call.args.iter().all(is_literal)
        }
        _ => false,
    }
}

/// `a.b` for a chain of plain selections on a name.
fn qualified_name(expr: &IdedExpr) -> Option<String> {
    match &expr.expr {
        Expr::Ident(name) => Some(name.trim_start_matches('.').to_owned()),
        Expr::Select(select) => super::dotted(select).map(|(_, name)| name),
        _ => None,
    }
}
