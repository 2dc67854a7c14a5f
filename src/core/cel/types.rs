//! What an expression can come out as, and what functions take and return: the types of CEL.
//!
//! The rules of assigning and unifying follow cel-go's checker (<https://github.com/google/cel-go>,
//! `checker/types.go`), so that an expression is refused here exactly when a kube-apiserver refuses it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A type of CEL.
#[derive(Clone, PartialEq, Eq)]
pub enum Type {
    /// Known only when the expression is evaluated.
    Dyn,
    /// What a part that is wrong comes out as, so that one fault is reported once.
    Error,
    /// Only null.
    Null,
    /// true or false.
    Bool,
    /// A signed 64 bit number.
    Int,
    /// An unsigned 64 bit number.
    Uint,
    /// A 64 bit floating point number.
    Double,
    /// Text.
    String,
    /// Bytes.
    Bytes,
    /// A point in time.
    Timestamp,
    /// A length of time.
    Duration,
    /// A list of elements of one type.
    List(Arc<Type>),
    /// A map from keys of one type to values of one type.
    Map(Arc<Type>, Arc<Type>),
    /// A value that may be absent.
    Optional(Arc<Type>),
    /// A type as a value, as `type(x)` gives it.
    Type(Arc<Type>),
    /// A map with known fields.
    Object(Arc<ObjectType>),
    /// A type of a library, by its name, such as `kubernetes.Quantity`.
    Opaque(&'static str),
    /// A type that is still to be found out, by number.
    Param(u32),
}

/// The fields of an object, as a schema declares them.
#[derive(PartialEq, Eq)]
pub struct ObjectType {
    /// What it is called in messages, such as `spec.backend`.
    pub name: String,
    /// Its fields.
    pub fields: BTreeMap<Arc<str>, Type>,
    /// What else can be done with it.
    pub form: Form,
}

/// What an object with known fields is when it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// What a kube-apiserver declares with its fields, such as `request`: nothing but its fields.
    Message,
    /// What a schema describes: a map, which can be indexed, looped over and compared as any.
    Map,
    /// The same, with fields that no schema names.
    OpenMap,
}

impl Type {
    /// A list of these.
    pub fn list(element: Type) -> Self {
        Self::List(Arc::new(element))
    }

    /// A map of these.
    pub fn map(key: Type, value: Type) -> Self {
        Self::Map(Arc::new(key), Arc::new(value))
    }

    /// An optional of this.
    pub fn optional(inner: Type) -> Self {
        Self::Optional(Arc::new(inner))
    }

    /// The type of the type.
    pub fn type_of(inner: Type) -> Self {
        Self::Type(Arc::new(inner))
    }

    /// Whether anything goes.
    pub(super) fn is_dyn_or_error(&self) -> bool {
        matches!(self, Self::Dyn | Self::Error)
    }

    /// What an optional holds, and whether it is one.
    pub(super) fn unwrap_optional(self) -> (Type, bool) {
        match self {
            Self::Optional(inner) => ((*inner).clone(), true),
            other => (other, false),
        }
    }

    /// The type in words, with its article.
    pub fn describe(&self) -> String {
        match self {
            Self::Dyn | Self::Error | Self::Param(_) => {
                "a value whose type is known only at run time".to_owned()
            }
            Self::Null => "null".to_owned(),
            Self::Bytes => "bytes".to_owned(),
            Self::Int => "an int".to_owned(),
            Self::List(_) => "a list".to_owned(),
            Self::Map(..) | Self::Object(_) => "a map".to_owned(),
            Self::Optional(_) => "an optional".to_owned(),
            Self::Type(_) => "a type".to_owned(),
            other => format!("a {other}"),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dyn | Self::Error => f.write_str("dyn"),
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Uint => f.write_str("uint"),
            Self::Double => f.write_str("double"),
            Self::String => f.write_str("string"),
            Self::Bytes => f.write_str("bytes"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Duration => f.write_str("duration"),
            Self::List(element) => write!(f, "list({element})"),
            Self::Map(key, value) => write!(f, "map({key}, {value})"),
            Self::Optional(inner) => write!(f, "optional({inner})"),
            Self::Type(inner) => write!(f, "type({inner})"),
            Self::Object(object) => f.write_str(&object.name),
            Self::Opaque(name) => f.write_str(name),
            Self::Param(n) => f.write_str(char::from(b'A' + (*n % 26) as u8).encode_utf8(&mut [0; 4])),
        }
    }
}

// Objects may hold objects that hold themselves: only the name.
impl fmt::Debug for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for ObjectType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The types that an expression leaves open, and what has been found out of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Unifier {
    known: Vec<Option<Type>>,
}

impl Unifier {
    /// A type that is not known yet.
    pub(super) fn fresh(&mut self) -> Type {
        self.known.push(None);
        Type::Param(self.known.len() as u32 - 1)
    }

    /// `signature`, whose own parameters are `0..params`, with fresh ones in their place.
    pub(super) fn instantiate(&mut self, signature: &Type, first: u32) -> Type {
        self.map_params(signature, &mut |n| Type::Param(first + n))
    }

    /// Reserves `count` parameters and returns the first.
    pub(super) fn reserve(&mut self, count: u32) -> u32 {
        let first = self.known.len() as u32;
        self.known.resize(self.known.len() + count as usize, None);
        first
    }

    /// What is known of `t`.
    pub(super) fn resolve(&self, t: &Type) -> Type {
        self.map_params(t, &mut |n| match self.find(n) {
            Some(known) => self.resolve(known),
            None => Type::Param(n),
        })
    }

    /// What is known of `t`; what is not is dyn.
    pub(super) fn settle(&self, t: &Type) -> Type {
        self.map_params(t, &mut |n| match self.find(n) {
            Some(known) => self.settle(known),
            None => Type::Dyn,
        })
    }

    /// Whether a value of type `b` can stand where `a` is wanted; remembers what that says of open types, if
    /// so.
    pub(super) fn assign(&mut self, a: &Type, b: &Type) -> bool {
        let before = self.clone();
        let fits = self.assignable(a, b);
        if !fits {
            *self = before;
        }
        fits
    }

    /// [`Unifier::assign`] for each pair, all or nothing.
    pub(super) fn assign_all(&mut self, got: &[Type], wanted: &[Type]) -> bool {
        let before = self.clone();
        let fits = got.len() == wanted.len()
            && got.iter().zip(wanted).all(|(got, wanted)| self.assignable(got, wanted));
        if !fits {
            *self = before;
        }
        fits
    }

    /// The more general of two types that unify.
    pub(super) fn most_general(a: Type, b: Type) -> Type {
        if equal_or_less_specific(&a, &b) { a } else { b }
    }

    fn find(&self, n: u32) -> Option<&Type> {
        self.known.get(n as usize).and_then(Option::as_ref)
    }

    fn map_params(&self, t: &Type, replace: &mut impl FnMut(u32) -> Type) -> Type {
        match t {
            Type::Param(n) => replace(*n),
            Type::List(e) => Type::list(self.map_params(e, replace)),
            Type::Map(k, v) => {
                let key = self.map_params(k, replace);
                Type::map(key, self.map_params(v, replace))
            }
            Type::Optional(inner) => Type::optional(self.map_params(inner, replace)),
            Type::Type(inner) => Type::type_of(self.map_params(inner, replace)),
            other => other.clone(),
        }
    }

    fn assignable(&mut self, a: &Type, b: &Type) -> bool {
        if let Type::Param(n) = b {
            match self.substitute(a, *n) {
                Substitution::Fits => return true,
                Substitution::Clashes => return false,
                Substitution::Impossible => {}
            }
        }
        if let Type::Param(n) = a {
            return matches!(self.substitute(b, *n), Substitution::Fits);
        }
        match (a, b) {
            _ if a.is_dyn_or_error() || b.is_dyn_or_error() => true,
            (Type::Null, other) | (other, Type::Null) => is_nullable(other),
            (Type::Type(_), Type::Type(_)) => true,
            (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) => self.assignable(a, b),
            (Type::Map(ak, av), Type::Map(bk, bv)) => self.assignable(ak, bk) && self.assignable(av, bv),
            (Type::Object(a), Type::Object(b)) => {
                Arc::ptr_eq(a, b) || a.name == b.name || (a.form != Form::Message && b.form != Form::Message)
            }
            (Type::Map(key, value), Type::Object(object)) | (Type::Object(object), Type::Map(key, value)) => {
                object.form != Form::Message
                    && self.assignable(key, &Type::String)
                    && self.assignable(value, &Type::Dyn)
            }
            _ => a == b,
        }
    }

    /// Whether parameter `n` can be `t`.
    fn substitute(&mut self, t: &Type, n: u32) -> Substitution {
        if *t == Type::Param(n) {
            return Substitution::Fits;
        }
        if let Some(known) = self.find(n).cloned() {
            if *t == known {
                return Substitution::Fits;
            }
            if self.assignable(t, &known) {
                let general = Self::most_general(t.clone(), known);
                if !self.occurs(n, &general) {
                    self.known[n as usize] = Some(general);
                }
                return Substitution::Fits;
            }
            return Substitution::Clashes;
        }
        if self.occurs(n, t) {
            return Substitution::Impossible;
        }
        self.known[n as usize] = Some(t.clone());
        Substitution::Fits
    }

    /// Whether parameter `n` is part of `t`.
    fn occurs(&self, n: u32, t: &Type) -> bool {
        match t {
            Type::Param(m) => *m == n || self.find(*m).is_some_and(|known| self.occurs(n, known)),
            Type::List(inner) | Type::Optional(inner) | Type::Type(inner) => self.occurs(n, inner),
            Type::Map(k, v) => self.occurs(n, k) || self.occurs(n, v),
            _ => false,
        }
    }
}

enum Substitution {
    Fits,
    /// It is already known to be something else.
    Clashes,
    /// It would be part of itself.
    Impossible,
}

/// cel-go lets null stand for these.
fn is_nullable(t: &Type) -> bool {
    matches!(
        t,
        Type::Null | Type::Opaque(_) | Type::Optional(_) | Type::Object(_) | Type::Duration | Type::Timestamp
    )
}

fn equal_or_less_specific(a: &Type, b: &Type) -> bool {
    match (a, b) {
        (Type::Dyn | Type::Param(_), _) => true,
        (_, Type::Dyn | Type::Param(_)) => false,
        (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) => {
            equal_or_less_specific(a, b)
        }
        (Type::Map(ak, av), Type::Map(bk, bv)) => {
            equal_or_less_specific(ak, bk) && equal_or_less_specific(av, bv)
        }
        (Type::Type(_), Type::Type(_)) => true,
        _ => a == b,
    }
}
