//! Which fields of its inputs an expression reads.
//!
//! The compiled form is walked once, with what each value may be a part of instead of values. What is selected is
//! followed further; what is compared, passed on to a function or returned is kept as far as that can look into it.
//! Where it cannot be known, the whole of the value is kept. So judging what is kept gives the same verdict and the
//! same message as judging the object.

use std::collections::BTreeMap;

use super::code::{Body, Call, Code, Loop};
use super::scope::{Root, Scope};
use super::types::Type;
use super::value::Value;
use crate::core::paths::{Keep, Paths, Step};

/// Most parts of the inputs that one value is followed as; a value that may be more of them is kept whole.
const MAX_ORIGINS: usize = 16;
/// Longest path that is followed; what is deeper is kept whole.
const MAX_STEPS: usize = 48;

/// The fields that an expression reads, by root and of what is looked up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reads {
    roots: [Paths; Root::ALL.len()],
    lookups: BTreeMap<usize, Paths>,
}

impl Reads {
    /// What is read of `root`.
    pub fn of(&self, root: Root) -> &Paths {
        &self.roots[root as usize]
    }

    /// What is read of each object that the lookup at `place` finds.
    pub fn of_lookup(&self, place: usize) -> &Paths {
        static NOTHING: Paths = Paths::NONE;
        self.lookups.get(&place).unwrap_or(&NOTHING)
    }

    /// What is read of each object of `objects`.
    pub fn of_members(&self) -> Paths {
        match self.of(Root::Objects).items() {
            Keep::Nothing => Paths::NONE,
            Keep::Some(paths) => (**paths).clone(),
            Keep::All => Paths::whole(),
        }
    }

    /// Reads what `other` reads, too.
    pub fn add(&mut self, other: &Reads) {
        self.roots.iter_mut().zip(&other.roots).for_each(|(mine, other)| mine.add(other));
        for (place, paths) in &other.lookups {
            self.lookups.entry(*place).or_default().add(paths);
        }
    }

    fn keep(&mut self, origin: &Origin, what: &Keep) {
        let paths = match origin.source {
            Source::Root(root) => &mut self.roots[root as usize],
            Source::Lookup(place) => self.lookups.entry(place).or_default(),
        };
        paths.keep(&origin.path, what);
    }
}

/// What a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Root(Root),
    /// An object that the lookup at this place finds.
    Lookup(usize),
}

/// A part of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    source: Source,
    path: Vec<Step>,
}

/// What a value may be: parts of inputs, or a list or map that an expression makes of such.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Traced {
    origins: Vec<Origin>,
    /// What the elements, or the values, of one that is made may be.
    within: Option<Box<Traced>>,
}

impl Traced {
    fn whole_of(source: Source) -> Self {
        Self { origins: vec![Origin { source, path: Vec::new() }], within: None }
    }
}

/// What an expression reads, and what its value may be; `whole` if all of the value is looked at.
pub(super) fn trace(code: &Code, scope: &Scope, whole: bool) -> (Reads, Traced) {
    let mut walk = Walk { reads: Reads::default(), scope, locals: Vec::new() };
    let value = walk.visit(code);
    // Whether it is what is wanted shows in its type.
    match whole {
        true => walk.whole(&value),
        false => walk.look(&value),
    }
    (walk.reads, value)
}

struct Walk<'w> {
    reads: Reads,
    scope: &'w Scope,
    locals: Vec<Traced>,
}

impl Walk<'_> {
    fn visit(&mut self, code: &Code) -> Traced {
        match code {
            // What an aggregate reads is seen before it is made one.
            Code::Constant(_) | Code::Aggregate(_) => Traced::default(),
            Code::Root(root) => Traced::whole_of(Source::Root(*root)),
            Code::Lookup(place) | Code::LookupIfThere(place) => self.lookup(*place),
            Code::HasLookup(place) => {
                self.lookup(*place);
                Traced::default()
            }
            Code::Local(slot) => self.locals.get(*slot).cloned().unwrap_or_default(),
            Code::Variable(place) => match self.scope.traced(*place) {
                Some((reads, value)) => {
                    self.reads.add(reads);
                    value.clone()
                }
                None => Traced::default(),
            },
            Code::Select { operand, field } | Code::SelectIfThere { operand, field } => {
                let operand = self.visit(operand);
                self.look(&operand);
                let part = self.step(&operand, Step::Entry((**field).into()));
                self.look(&part);
                part
            }
            Code::Has { operand, field } => {
                let operand = self.visit(operand);
                self.look(&operand);
                let part = self.step(&operand, Step::Entry((**field).into()));
                self.look(&part);
                Traced::default()
            }
            Code::Index { operand, key } | Code::IndexIfThere { operand, key } => self.index(operand, key),
            Code::And(terms) | Code::Or(terms) => {
                terms.iter().for_each(|term| self.look_at(term));
                Traced::default()
            }
            Code::Not(operand) | Code::Negate(operand) => {
                self.look_at(operand);
                Traced::default()
            }
            Code::Conditional { condition, yes, no } => {
                self.look_at(condition);
                let (yes, no) = (self.visit(yes), self.visit(no));
                self.either(yes, no)
            }
            Code::Equal { sides, .. } => {
                let [a, b] = &**sides;
                self.compare(a, b);
                Traced::default()
            }
            Code::Ordered(_, sides) => {
                sides.iter().for_each(|side| self.look_at(side));
                Traced::default()
            }
            Code::Calculate(_, sides) => {
                // Of the two only lists have parts, and the sum has the elements of both.
                let [a, b] = [self.visit(&sides[0]), self.visit(&sides[1])];
                self.look(&a);
                self.look(&b);
                self.either(a, b)
            }
            Code::In { element, whole } => {
                self.membership(element, whole);
                Traced::default()
            }
            Code::Call(call) => self.call(call),
            Code::List(elements) => {
                let mut within = Traced::default();
                for (element, _) in elements {
                    let element = self.visit(element);
                    within = self.either(within, element);
                }
                Traced { origins: Vec::new(), within: Some(Box::new(within)) }
            }
            Code::Map(entries) => {
                let mut within = Traced::default();
                for entry in entries {
                    self.look_at(&entry.key);
                    let value = self.visit(&entry.value);
                    within = self.either(within, value);
                }
                Traced { origins: Vec::new(), within: Some(Box::new(within)) }
            }
            Code::Loop(repeated) => self.repeat(repeated),
            Code::Bind { slot, value, body } => {
                let value = self.visit(value);
                self.bind(*slot, value);
                self.visit(body)
            }
            Code::OptionalMap { operand, slot, body, .. } => {
                let value = self.visit(operand);
                self.look(&value);
                self.bind(*slot, value);
                self.visit(body)
            }
            Code::OptionalOr { operand, other: b } | Code::OptionalOrValue { operand, value: b } => {
                let (a, b) = (self.visit(operand), self.visit(b));
                self.look(&a);
                self.either(a, b)
            }
        }
    }

    fn lookup(&mut self, place: usize) -> Traced {
        let object = Traced::whole_of(Source::Lookup(place));
        match self.scope.traced_lookup(place) {
            Some((many, reads)) => {
                self.reads.add(reads);
                if many { Traced { origins: Vec::new(), within: Some(Box::new(object)) } } else { object }
            }
            None => object,
        }
    }

    fn bind(&mut self, slot: usize, value: Traced) {
        if self.locals.len() <= slot {
            self.locals.resize(slot + 1, Traced::default());
        }
        self.locals[slot] = value;
    }

    /// `operand[key]`: by name, by place, or by something that is known only at run time.
    fn index(&mut self, operand: &Code, key: &Code) -> Traced {
        let operand = self.visit(operand);
        self.look(&operand);
        let part = match key {
            Code::Constant(Value::Str(name)) => self.step(&operand, Step::Entry((**name).into())),
            Code::Constant(_) => self.step(&operand, Step::Item),
            key => {
                self.look_at(key);
                let (entry, item) = (self.step(&operand, Step::AnyEntry), self.step(&operand, Step::Item));
                self.either(entry, item)
            }
        };
        self.look(&part);
        part
    }

    /// `element in whole`: whether a list has an element, or a map a key.
    fn membership(&mut self, element: &Code, whole: &Code) {
        let value = self.visit(whole);
        self.look(&value);
        let keys = match element {
            Code::Constant(Value::Str(name)) => self.step(&value, Step::Entry((**name).into())),
            _ => self.step(&value, Step::AnyEntry),
        };
        self.look(&keys);
        let items = self.step(&value, Step::Item);
        let looked_for = self.visit(element);
        match is_plain(element) {
            true => self.look(&items),
            false => self.whole(&items),
        }
        match whole {
            Code::Constant(Value::List(list)) if list.iter().all(|known| is_plain_value(&known)) => {
                self.look(&looked_for)
            }
            _ => self.whole(&looked_for),
        }
    }

    /// Two values that are compared. What is compared with a scalar is no other if it is not one itself.
    fn compare(&mut self, a: &Code, b: &Code) {
        let (left, right) = (self.visit(a), self.visit(b));
        match is_plain(b) {
            true => self.look(&left),
            false => self.whole(&left),
        }
        match is_plain(a) {
            true => self.look(&right),
            false => self.whole(&right),
        }
    }

    fn call(&mut self, call: &Call) -> Traced {
        let args: Vec<Traced> = call.args.iter().map(|arg| self.visit(arg)).collect();
        args.iter().for_each(|arg| self.look(arg));
        match (call.name, args.as_slice()) {
            // Give back what they are given.
            ("dyn" | "value" | "optional.of", [arg]) => return arg.clone(),
            ("hasValue" | "type", [_]) => return Traced::default(),
            ("first" | "last", [list]) => {
                let item = self.step(list, Step::Item);
                self.look(&item);
                return item;
            }
            ("reverse", [list]) => return list.clone(),
            ("size", [arg]) => {
                let keys = self.step(arg, Step::AnyEntry);
                self.look(&keys);
                return Traced::default();
            }
            _ => {}
        }
        for (n, arg) in args.iter().enumerate() {
            let needs = call.candidates.iter().filter_map(|candidate| candidate.signature.args.get(n));
            if needs.clone().all(is_scalar) {
                continue;
            }
            let of_scalars = |wanted: &Type| match wanted {
                Type::List(element) => is_scalar(element),
                other => is_scalar(other),
            };
            match needs.clone().all(of_scalars) {
                true => {
                    let items = self.step(arg, Step::Item);
                    self.look(&items);
                }
                false => self.whole(arg),
            }
        }
        Traced::default()
    }

    fn repeat(&mut self, repeated: &Loop) -> Traced {
        let range = self.visit(&repeated.range);
        self.look(&range);
        // Of a map the keys, of a list the elements.
        let (values, items) = (self.step(&range, Step::AnyEntry), self.step(&range, Step::Item));
        self.look(&values);
        match repeated.second {
            Some(second) => {
                let element = self.either(values, items.clone());
                self.bind(second, element);
                self.bind(repeated.first, Traced::default());
            }
            None => self.bind(repeated.first, items.clone()),
        }
        match &repeated.body {
            Body::All(condition) | Body::Exists(condition) | Body::ExistsOne(condition) => {
                self.look_at(condition);
                Traced::default()
            }
            Body::Filter(condition) => {
                self.look_at(condition);
                Traced { origins: Vec::new(), within: Some(Box::new(items)) }
            }
            Body::SortBy(key) => {
                self.look_at(key);
                Traced { origins: Vec::new(), within: Some(Box::new(items)) }
            }
            Body::Map { condition, value } | Body::TransformMap { condition, value } => {
                condition.iter().for_each(|condition| self.look_at(condition));
                let value = self.visit(value);
                Traced { origins: Vec::new(), within: Some(Box::new(value)) }
            }
            Body::TransformMapEntry { condition, entries } => {
                condition.iter().for_each(|condition| self.look_at(condition));
                let made = self.visit(entries);
                self.whole(&made);
                Traced::default()
            }
        }
    }

    fn step(&mut self, value: &Traced, step: Step) -> Traced {
        let mut part = match &value.within {
            Some(within) => (**within).clone(),
            None => Traced::default(),
        };
        for origin in &value.origins {
            if origin.path.len() >= MAX_STEPS {
                self.reads.keep(origin, &Keep::All);
                continue;
            }
            let mut path = origin.path.clone();
            path.push(step.clone());
            let origin = Origin { source: origin.source, path };
            if !part.origins.contains(&origin) {
                part.origins.push(origin);
            }
        }
        part
    }

    fn either(&mut self, mut a: Traced, b: Traced) -> Traced {
        for origin in b.origins {
            if !a.origins.contains(&origin) {
                a.origins.push(origin);
            }
        }
        if a.origins.len() > MAX_ORIGINS {
            for origin in std::mem::take(&mut a.origins) {
                self.reads.keep(&origin, &Keep::All);
            }
        }
        a.within = match (a.within, b.within) {
            (Some(a), Some(b)) => Some(Box::new(self.either(*a, *b))),
            (a, b) => a.or(b),
        };
        a
    }

    fn look_at(&mut self, code: &Code) {
        let value = self.visit(code);
        self.look(&value);
    }

    /// Keeps what a value is: a scalar as it is, of a list or map only that it is one.
    fn look(&mut self, value: &Traced) {
        for origin in &value.origins {
            self.reads.keep(origin, &Keep::shape());
        }
    }

    /// Keeps all of a value.
    fn whole(&mut self, value: &Traced) {
        for origin in &value.origins {
            self.reads.keep(origin, &Keep::All);
        }
        if let Some(within) = &value.within {
            self.whole(within);
        }
    }
}

/// Whether a function that takes this looks at nothing within it.
fn is_scalar(wanted: &Type) -> bool {
    !matches!(
        wanted,
        Type::Dyn
            | Type::Error
            | Type::Param(_)
            | Type::List(_)
            | Type::Map(..)
            | Type::Object(_)
            | Type::Optional(_)
    )
}

/// Whether code comes out as a scalar, whatever the object.
fn is_plain(code: &Code) -> bool {
    match code {
        Code::Constant(value) => is_plain_value(value),
        Code::And(_)
        | Code::Or(_)
        | Code::Not(_)
        | Code::Has { .. }
        | Code::Equal { .. }
        | Code::Ordered(..)
        | Code::In { .. }
        | Code::Negate(_)
        | Code::Root(Root::Now | Root::Group) => true,
        Code::Call(call) => call.candidates.iter().all(|candidate| is_scalar(&candidate.signature.result)),
        _ => false,
    }
}

fn is_plain_value(value: &Value<'_>) -> bool {
    !matches!(value, Value::List(_) | Value::Map(_) | Value::Optional(_))
}
