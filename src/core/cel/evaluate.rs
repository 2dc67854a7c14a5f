//! Runs compiled expressions on one object.
//!
//! Recursion is as deep as the code, whose depth is bounded when it is compiled; work is bounded by the meter.

mod loops;
mod totals;

use std::collections::BTreeMap;

use jiff::Timestamp;

pub use totals::{Contributions, Kept, Totals};

use super::code::{Call, Code, Entry};
use super::compile::Program;
use super::cost::{self, Meter};
use super::error::{EvalError, Text};
use super::fault::Fault;
use super::libraries::DeclaredOverload;
use super::operators::{self, Arithmetic};
use super::scope::Root;
use super::value::{Key, Map, Str, Value};
use super::{MAX_POLICY_STEPS, MAX_STEPS};
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

/// What a lookup found.
#[derive(Debug, Clone, Default)]
pub enum Found<'a> {
    /// It was not looked.
    #[default]
    Nothing,
    /// The one object, if it exists.
    One(Option<&'a Node>),
    /// A list of objects; see [`Found::many`].
    Many(Value<'a>),
    /// The kind, named here, is not installed.
    NotServed(Text),
    /// It could not be looked, or not be told for what.
    Failed(EvalError),
}

impl<'a> Found<'a> {
    /// These objects.
    pub fn many(objects: impl Iterator<Item = &'a Node>) -> Self {
        Self::Many(Value::list(objects.map(Value::from).collect()))
    }

    /// The kind is not installed.
    pub fn not_served(kind: &str) -> Self {
        Self::NotServed(Text::bounded(kind, 96))
    }

    /// The lookup `name` could not be made.
    pub fn failed(name: &str, reason: &str) -> Self {
        Self::Failed(EvalError::Lookup { name: Text::word(name), reason: Text::bounded(reason, 160) })
    }
}

/// What the names in expressions stand for while a group of objects is judged.
#[derive(Debug, Clone, Copy)]
pub struct GroupInputs<'a> {
    /// `objects`, in their order.
    pub objects: &'a [&'a Node],
    /// `group`.
    pub group: &'a str,
    /// `now`.
    pub now: Timestamp,
}

/// [`Inputs`], and what of them has been looked at. Evaluates each variable at most once, and only if a program
/// that is evaluated gets to read it.
pub struct Bindings<'a> {
    inputs: Inputs<'a>,
    /// What was found for each lookup of the policy, by its place.
    lookups: Vec<Found<'a>>,
    /// For each variable that was evaluated: its value, or why it has none.
    variables: Vec<Option<Result<Value<'a>, EvalError>>>,
    /// `objects` and `group`, while a group is judged.
    group: Option<(Value<'a>, &'a str)>,
    /// What its objects contribute to.
    totals: Option<&'a dyn Totals>,
    /// What all evaluations together may still cost.
    left: u64,
    /// When a comparison that was evaluated comes out otherwise, in nanoseconds since 1970.
    next_flip: Option<i128>,
}

impl<'a> Bindings<'a> {
    /// Binds, and looks at nothing yet.
    pub fn new(inputs: Inputs<'a>) -> Self {
        let variables = vec![None; inputs.variables.len()];
        let (lookups, left) = (Vec::new(), MAX_POLICY_STEPS);
        Self { inputs, lookups, variables, group: None, totals: None, left, next_flip: None }
    }

    /// Binds a group.
    pub fn of_group(inputs: GroupInputs<'a>) -> Self {
        let GroupInputs { objects, group, now } = inputs;
        let objects = Value::list(objects.iter().map(|object| Value::from(*object)).collect());
        Self { group: Some((objects, group)), ..Self::new(Inputs { now, ..Inputs::default() }) }
    }

    /// Binds a group of which only what its objects contribute is known, for programs that read nothing else of them.
    pub fn of_totals(totals: &'a dyn Totals, group: &'a str, now: Timestamp) -> Self {
        let inputs = GroupInputs { objects: &[], group, now };
        Self { totals: Some(totals), ..Self::of_group(inputs) }
    }

    /// Binds what a lookup found. What was evaluated before does not change.
    pub fn bind_lookup(&mut self, place: usize, found: Found<'a>) {
        if self.lookups.len() <= place {
            self.lookups.resize(place + 1, Found::default());
        }
        self.lookups[place] = found;
    }

    /// Whether a lookup was made of a kind that is not installed.
    pub fn is_absent(&self, place: usize) -> bool {
        matches!(self.lookups.get(place), Some(Found::NotServed(_)))
    }

    /// Has variables evaluated anew when they are read again.
    pub fn forget_variables(&mut self) {
        self.variables.fill(None);
    }

    fn lookup(&self, place: usize) -> Result<Option<Value<'a>>, EvalError> {
        match self.lookups.get(place) {
            Some(Found::One(object)) => Ok(Some(object.map_or(Value::Null, Value::from))),
            Some(Found::Many(objects)) => Ok(Some(objects.clone())),
            Some(Found::NotServed(_)) => Ok(None),
            Some(Found::Failed(error)) => Err(error.clone()),
            Some(Found::Nothing) | None => {
                Err(EvalError::Internal { reason: Text::word("a lookup is not bound") })
            }
        }
    }

    /// What the evaluations so far have cost, in the unit of [`MAX_STEPS`].
    pub fn spent(&self) -> u64 {
        MAX_POLICY_STEPS - self.left
    }

    /// The earliest moment at which a comparison with `now` that was evaluated so far comes out otherwise, the object
    /// being as it is; none for never. See [`super::NowUse`].
    pub fn next_flip(&self) -> Option<Timestamp> {
        self.next_flip.and_then(|at| Timestamp::from_nanosecond(at).ok())
    }

    fn note_flip(&mut self, flips_in: Option<i128>) {
        let at = flips_in.map(|nanoseconds| self.inputs.now.as_nanosecond().saturating_add(nanoseconds));
        self.next_flip = self.next_flip.into_iter().chain(at).min();
    }

    fn evaluate(&mut self, program: &Program) -> Result<Value<'a>, EvalError> {
        if self.left == 0 {
            return Err(EvalError::PolicyTooCostly { max: MAX_POLICY_STEPS });
        }
        let budget = self.left.min(MAX_STEPS);
        let mut meter = Meter::new(budget);
        let result = self.run(program, &mut meter);
        self.left -= budget - meter.left();
        match result {
            Ok(value) => Ok(value),
            Err(Fault::Error(error)) => Err(*error),
            Err(Fault::Budget) if budget < MAX_STEPS => {
                Err(EvalError::PolicyTooCostly { max: MAX_POLICY_STEPS })
            }
            Err(Fault::Budget) => Err(EvalError::TooCostly { max: MAX_STEPS }),
        }
    }

    fn run(&mut self, program: &Program, meter: &mut Meter) -> Result<Value<'a>, Fault> {
        Run { locals: vec![Value::Null; program.slots()], bindings: Some(self), meter }.eval(program.code())
    }

    fn root(&self, root: Root) -> Value<'a> {
        let node = match root {
            Root::Object => self.inputs.object,
            Root::OldObject => self.inputs.old_object,
            Root::NamespaceObject => self.inputs.namespace_object,
            Root::Request => self.inputs.request,
            Root::Now => return Value::Timestamp(self.inputs.now.as_nanosecond()),
            Root::Objects => return self.group.as_ref().map_or(Value::Null, |(objects, _)| objects.clone()),
            Root::Group => {
                return self.group.as_ref().map_or(Value::Null, |(_, key)| Value::Str(Str::Tree(key)));
            }
        };
        node.map_or(Value::Null, Value::from)
    }

    fn variable(&mut self, place: usize, meter: &mut Meter) -> Result<Value<'a>, Fault> {
        if let Some(Some(known)) = self.variables.get(place) {
            return known.clone().map_err(Fault::from);
        }
        let Some(variable) = self.inputs.variables.get(place) else {
            return Err(EvalError::Internal { reason: Text::word("a variable is not bound") }.into());
        };
        let value = match self.run(&variable.program, meter) {
            Ok(value) => Ok(value),
            Err(Fault::Budget) => return Err(Fault::Budget),
            Err(Fault::Error(error)) => Err(match *error {
                // the one where it began says more than those that read it
                inner @ EvalError::Variable { .. } => inner,
                error => EvalError::Variable {
                    name: Text::word(&variable.name),
                    reason: Text::bounded(&error.to_string(), 160),
                },
            }),
        };
        self.variables[place] = Some(value.clone());
        value.map_err(Fault::from)
    }
}

impl Program {
    /// Evaluates a condition.
    ///
    /// # Errors
    /// When it fails, costs too much, or comes out as something other than a bool.
    pub fn evaluate_bool(&self, bindings: &mut Bindings<'_>) -> Result<bool, EvalError> {
        match bindings.evaluate(self)? {
            Value::Bool(verdict) => Ok(verdict),
            other => Err(EvalError::NotBool { got: other.describe() }),
        }
    }

    /// Evaluates a message. As long as it comes out; whoever shows it cuts it.
    ///
    /// # Errors
    /// When it fails, costs too much, or comes out as something other than a string.
    pub fn evaluate_string(&self, bindings: &mut Bindings<'_>) -> Result<String, EvalError> {
        match bindings.evaluate(self)? {
            Value::Str(text) => Ok((*text).to_owned()),
            other => Err(EvalError::NotString { got: other.describe() }),
        }
    }

    /// Evaluates anything.
    ///
    /// # Errors
    /// When it fails or costs too much.
    pub fn evaluate<'a>(&self, bindings: &mut Bindings<'a>) -> Result<Value<'a>, EvalError> {
        bindings.evaluate(self)
    }
}

/// Evaluates code that reads nothing.
///
/// # Errors
/// When it has no value, costs more than the meter has, or reads something after all.
pub(super) fn constant(code: &Code, meter: &mut Meter) -> Result<Value<'static>, Fault> {
    Run { locals: Vec::new(), bindings: None, meter }.eval(code)
}

/// One evaluation under way.
struct Run<'r, 'a> {
    /// What loops and `cel.bind` have bound, by slot.
    locals: Vec<Value<'a>>,
    /// None while constants are made.
    bindings: Option<&'r mut Bindings<'a>>,
    meter: &'r mut Meter,
}

impl<'a> Run<'_, 'a> {
    fn eval(&mut self, code: &Code) -> Result<Value<'a>, Fault> {
        match code {
            Code::Constant(value) => Ok(value.clone()),
            Code::Root(root) => {
                self.meter.charge(1)?;
                Ok(self.bindings()?.root(*root))
            }
            Code::Local(slot) => {
                self.meter.charge(1)?;
                Ok(self.locals.get(*slot).cloned().unwrap_or(Value::Null))
            }
            Code::Variable(place) => self.variable(*place),
            Code::Lookup(place) => self.lookup(*place),
            Code::LookupIfThere(place) => {
                self.meter.charge(1)?;
                Ok(Value::Optional(self.bindings()?.lookup(*place)?.map(Into::into)))
            }
            Code::HasLookup(place) => {
                self.meter.charge(1)?;
                Ok(self.bindings()?.lookup(*place)?.is_some().into())
            }
            Code::Aggregate(n) => self.aggregate(*n),
            Code::Select { operand, field } => self.select(operand, field),
            Code::Has { operand, field } => self.has(operand, field),
            Code::SelectIfThere { operand, field } => self.select_if_there(operand, field),
            Code::And(terms) => self.logic(terms, false),
            Code::Or(terms) => self.logic(terms, true),
            Code::Not(operand) => {
                let operand = self.eval(operand)?;
                self.meter.charge(1)?;
                match operand {
                    Value::Bool(b) => Ok(Value::Bool(!b)),
                    other => Err(Fault::no_such_overload("!", &[other])),
                }
            }
            Code::Conditional { condition, yes, no } => match self.eval(condition)? {
                Value::Bool(true) => self.eval(yes),
                Value::Bool(false) => self.eval(no),
                other => Err(Fault::no_such_overload("?:", &[other])),
            },
            Code::Equal { sides, negated } => self.equal(sides, *negated),
            Code::Ordered(comparison, sides) => {
                let [a, b] = self.both(sides)?;
                self.meter.charge(text_cost(&a, &b, u64::min))?;
                let holds = operators::ordered(comparison.order, &a, &b)?;
                if comparison.slope != 0 {
                    self.bindings()?.note_flip(comparison.flips_in(&a, &b));
                }
                Ok(Value::Bool(holds))
            }
            Code::Calculate(operator, sides) => self.calculate(*operator, sides),
            Code::Negate(operand) => {
                let operand = self.eval(operand)?;
                self.meter.charge(1)?;
                operators::negate(&operand)
            }
            Code::Index { operand, key } => self.index(operand, key),
            Code::IndexIfThere { operand, key } => self.index_if_there(operand, key),
            Code::In { element, whole } => {
                let (element, whole) = (self.eval(element)?, self.eval(whole)?);
                self.meter.charge(if matches!(whole, Value::List(_)) { whole.size() } else { 1 })?;
                operators::within(&element, &whole, self.meter).map(Value::Bool)
            }
            Code::Call(call) => self.call(call),
            Code::List(elements) => self.list(elements),
            Code::Map(entries) => self.map(entries),
            Code::Loop(repeated) => self.repeat(repeated),
            Code::Bind { slot, value, body } => {
                let value = self.eval(value)?;
                self.set(*slot, value);
                self.eval(body)
            }
            Code::OptionalMap { operand, slot, body, flat } => self.optional_map(operand, *slot, body, *flat),
            Code::OptionalOr { operand, other } => match self.eval(operand)? {
                Value::Optional(None) => match self.eval(other)? {
                    chosen @ Value::Optional(_) => Ok(chosen),
                    got => Err(Fault::no_such_overload("or", &[got])),
                },
                chosen @ Value::Optional(_) => Ok(chosen),
                got => Err(Fault::no_such_overload("or", &[got])),
            },
            Code::OptionalOrValue { operand, value } => match self.eval(operand)? {
                Value::Optional(Some(inner)) => Ok((*inner).clone()),
                Value::Optional(None) => self.eval(value),
                got => Err(Fault::no_such_overload("orValue", &[got])),
            },
        }
    }

    fn bindings(&mut self) -> Result<&mut Bindings<'a>, Fault> {
        let unbound = || EvalError::Internal { reason: Text::word("nothing is bound") };
        self.bindings.as_deref_mut().ok_or_else(|| unbound().into())
    }

    fn set(&mut self, slot: usize, value: Value<'a>) {
        if self.locals.len() <= slot {
            self.locals.resize(slot + 1, Value::Null);
        }
        self.locals[slot] = value;
    }

    #[inline(never)]
    fn variable(&mut self, place: usize) -> Result<Value<'a>, Fault> {
        self.meter.charge(1)?;
        match self.bindings.as_deref_mut() {
            Some(bindings) => bindings.variable(place, self.meter),
            None => Err(EvalError::Internal { reason: Text::word("nothing is bound") }.into()),
        }
    }

    #[inline(never)]
    fn lookup(&mut self, place: usize) -> Result<Value<'a>, Fault> {
        self.meter.charge(1)?;
        let bindings = self.bindings()?;
        let found = bindings.lookup(place)?;
        found.ok_or_else(|| match bindings.lookups.get(place) {
            Some(Found::NotServed(kind)) => EvalError::NotServed { kind: kind.clone() }.into(),
            _ => EvalError::Internal { reason: Text::word("a lookup is not bound") }.into(),
        })
    }

    fn both(&mut self, sides: &[Code; 2]) -> Result<[Value<'a>; 2], Fault> {
        Ok([self.eval(&sides[0])?, self.eval(&sides[1])?])
    }

    #[inline(never)]
    fn select(&mut self, operand: &Code, field: &str) -> Result<Value<'a>, Fault> {
        let operand = self.eval(operand)?;
        self.meter.charge(1)?;
        match operand {
            Value::Map(map) => self.field(&map, field)?.ok_or_else(|| no_such_key(field)),
            Value::Optional(_) => self.field_if_there(&operand, field),
            other => Err(no_fields(&other)),
        }
    }

    /// What is no map has no field either.
    #[inline(never)]
    fn has(&mut self, operand: &Code, field: &str) -> Result<Value<'a>, Fault> {
        let operand = self.eval(operand)?;
        match self.field_if_there(&operand, field)? {
            Value::Optional(inner) => Ok(inner.is_some().into()),
            _ => Ok(false.into()),
        }
    }

    #[inline(never)]
    fn select_if_there(&mut self, operand: &Code, field: &str) -> Result<Value<'a>, Fault> {
        let operand = self.eval(operand)?;
        self.meter.charge(1)?;
        self.field_if_there(&operand, field)
    }

    fn field_if_there(&mut self, operand: &Value<'a>, field: &str) -> Result<Value<'a>, Fault> {
        let inner = match operand {
            Value::Optional(Some(inner)) => inner,
            other => other,
        };
        let map = match inner {
            Value::Map(map) => map,
            Value::List(_) => return Err(Fault::new("unsupported index type string in list")),
            _ => return Ok(Value::Optional(None)),
        };
        Ok(Value::Optional(self.field(map, field)?.map(Into::into)))
    }

    fn field(&mut self, map: &Map<'a>, field: &str) -> Result<Option<Value<'a>>, Fault> {
        self.meter.charge(operators::lookup_cost(map))?;
        Ok(map.field(field))
    }

    #[inline(never)]
    fn index(&mut self, operand: &Code, key: &Code) -> Result<Value<'a>, Fault> {
        let written = key;
        let (operand, key) = (self.eval(operand)?, self.eval(key)?);
        self.meter.charge(1)?;
        if let Value::Optional(inner) = &operand {
            let Some(inner) = inner else { return Ok(operand) };
            return Ok(Value::Optional(operators::index_if_there(inner, &key, self.meter)?.map(Into::into)));
        }
        operators::index(&operand, &key, self.meter).map_err(|fault| match (fault, written) {
            // A key that stands in the expression may be named.
            (Fault::Error(error), Code::Constant(Value::Str(name)))
                if matches!(*error, EvalError::NoSuchKey { .. }) =>
            {
                no_such_key(name)
            }
            (fault, _) => fault,
        })
    }

    #[inline(never)]
    fn index_if_there(&mut self, operand: &Code, key: &Code) -> Result<Value<'a>, Fault> {
        let (operand, key) = (self.eval(operand)?, self.eval(key)?);
        self.meter.charge(1)?;
        let found = match &operand {
            Value::Optional(None) => None,
            Value::Optional(Some(inner)) => operators::index_if_there(inner, &key, self.meter)?,
            other => operators::index_if_there(other, &key, self.meter)?,
        };
        Ok(Value::Optional(found.map(Into::into)))
    }

    /// `&&` is decided by a false, `||` by a true, whatever the other terms do.
    #[inline(never)]
    fn logic(&mut self, terms: &[Code], decisive: bool) -> Result<Value<'a>, Fault> {
        let mut failed = None;
        for term in terms {
            match self.eval(term) {
                Ok(Value::Bool(b)) if b == decisive => return Ok(Value::Bool(decisive)),
                Ok(Value::Bool(_)) => {}
                Ok(other) => {
                    let name = if decisive { "||" } else { "&&" };
                    failed.get_or_insert_with(|| Fault::no_such_overload(name, &[other]));
                }
                Err(Fault::Budget) => return Err(Fault::Budget),
                Err(error) => {
                    failed.get_or_insert(error);
                }
            }
        }
        failed.map_or(Ok(Value::Bool(!decisive)), Err)
    }

    #[inline(never)]
    fn equal(&mut self, sides: &[Code; 2], negated: bool) -> Result<Value<'a>, Fault> {
        let [a, b] = self.both(sides)?;
        self.meter.charge(a.size().min(b.size()).div_ceil(10))?;
        Ok(Value::Bool(operators::equal(&a, &b, self.meter)? != negated))
    }

    #[inline(never)]
    fn calculate(&mut self, operator: Arithmetic, sides: &[Code; 2]) -> Result<Value<'a>, Fault> {
        let [a, b] = self.both(sides)?;
        self.meter.charge(text_cost(&a, &b, u64::saturating_add))?;
        operators::calculate(operator, &a, &b, self.meter)
    }

    #[inline(never)]
    fn call(&mut self, call: &Call) -> Result<Value<'a>, Fault> {
        let mut args = Vec::with_capacity(call.args.len());
        for arg in &call.args {
            args.push(self.eval(arg)?);
        }
        self.apply(call, &args)
    }

    fn apply(&mut self, call: &Call, args: &[Value<'a>]) -> Result<Value<'a>, Fault> {
        // A regular expression that stands in the source is prepared.
        let takes = |candidate: &&&DeclaredOverload| {
            let mut each = candidate.signature.args.iter().zip(args).enumerate();
            each.all(|(n, (wanted, arg))| {
                arg.fits(wanted) || (candidate.overload.pattern == Some(n) && matches!(arg, Value::Opaque(_)))
            })
        };
        let Some(candidate) = call.candidates.iter().find(takes) else {
            return Err(Fault::no_such_overload(call.name, args));
        };
        self.meter.charge(candidate.overload.cost.of(args))?;
        (candidate.overload.run)(args, self.meter)
    }

    #[inline(never)]
    fn list(&mut self, elements: &[(Code, bool)]) -> Result<Value<'a>, Fault> {
        let mut values = Vec::with_capacity(elements.len());
        for (element, optional) in elements {
            let value = self.eval(element)?;
            values.extend(if *optional { held(value)? } else { Some(value) });
        }
        self.meter.charge(cost::LIST)?;
        Ok(Value::list(values))
    }

    #[inline(never)]
    fn map(&mut self, entries: &[Entry]) -> Result<Value<'a>, Fault> {
        let mut made = BTreeMap::new();
        for entry in entries {
            let (key, value) = (self.eval(&entry.key)?, self.eval(&entry.value)?);
            let Some(value) = (if entry.optional { held(value)? } else { Some(value) }) else { continue };
            // As in cel-go the last of the same key counts.
            made.insert(new_key(&key)?, value);
        }
        self.meter.charge(cost::MAP)?;
        Ok(Value::map(made))
    }

    #[inline(never)]
    fn optional_map(
        &mut self,
        operand: &Code,
        slot: usize,
        body: &Code,
        flat: bool,
    ) -> Result<Value<'a>, Fault> {
        match self.eval(operand)? {
            Value::Optional(None) => Ok(Value::Optional(None)),
            Value::Optional(Some(inner)) => {
                self.set(slot, (*inner).clone());
                match self.eval(body)? {
                    value if !flat => Ok(Value::some(value)),
                    value @ Value::Optional(_) => Ok(value),
                    other => Err(Fault::no_such_overload("optFlatMap", &[other])),
                }
            }
            other => Err(Fault::no_such_overload("optMap", &[other])),
        }
    }
}

/// What an optional entry puts in.
fn held(value: Value<'_>) -> Result<Option<Value<'_>>, Fault> {
    match value {
        Value::Optional(inner) => Ok(inner.map(|inner| (*inner).clone())),
        other => Err(Fault::new(format!("cannot initialize optional entry from {}", other.type_name()))),
    }
}

fn new_key<'a>(key: &Value<'a>) -> Result<Key<'a>, Fault> {
    Key::new(key).ok_or_else(|| Fault::new(format!("unsupported key type: {}", key.type_name())))
}

/// Puts in what a loop makes.
fn insert<'a>(
    made: &mut BTreeMap<Key<'a>, Value<'a>>,
    key: &Value<'a>,
    value: Value<'a>,
) -> Result<(), Fault> {
    match made.insert(new_key(key)?, value) {
        None => Ok(()),
        Some(_) => Err(Fault::new("insert failed: the key is already there")),
    }
}

/// What reading two texts costs; 1 for anything else.
fn text_cost(a: &Value<'_>, b: &Value<'_>, of: fn(u64, u64) -> u64) -> u64 {
    match (a, b) {
        (Value::Str(_), Value::Str(_)) | (Value::Bytes(_), Value::Bytes(_)) => {
            of(a.size(), b.size()).div_ceil(10)
        }
        _ => 1,
    }
}

fn no_such_key(name: &str) -> Fault {
    EvalError::NoSuchKey { key: Some(Text::word(name)) }.into()
}

fn no_fields(value: &Value<'_>) -> Fault {
    Fault::new(format!("no such overload: {} has no fields", value.describe()))
}
