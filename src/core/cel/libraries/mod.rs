//! The functions that expressions may call: one file for each library, one line for each file.
//!
//! A library declares its functions with their signatures as text, their documentation and examples; the checker
//! reads the signatures, the evaluator calls what stands beside them, and the reference page is made of the rest.

mod cidr;
mod conversions;
mod doubles;
mod encoders;
pub(super) mod format;
mod instants;
mod ip;
mod jsonpatch;
pub(super) mod lists;
pub(super) mod macros;
mod math;
mod named_format;
mod optionals;
mod quantity;
mod re2;
mod reference;
pub(super) mod regex;
mod semver;
mod sets;
mod signature;
mod strings;
mod strings_standard;
#[cfg(test)]
mod testing;
mod time;
mod url;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::cost::{Cost, Meter};
use super::fault::Fault;
use super::types::Type;
use super::value::Value;

pub use reference::reference;
pub(super) use signature::Signature;

/// All of them, in the order of the reference page.
pub(super) const LIBRARIES: &[Library] = &[
    conversions::LIBRARY,
    strings_standard::LIBRARY,
    strings::LIBRARY,
    regex::LIBRARY,
    time::LIBRARY,
    lists::KUBERNETES,
    lists::EXTENDED,
    lists::INCLUDES,
    sets::LIBRARY,
    optionals::LIBRARY,
    quantity::LIBRARY,
    semver::LIBRARY,
    url::LIBRARY,
    ip::LIBRARY,
    cidr::LIBRARY,
    named_format::LIBRARY,
    math::LIBRARY,
    encoders::LIBRARY,
    jsonpatch::LIBRARY,
];

/// Functions that belong together.
pub(super) struct Library {
    /// What it is called.
    pub(super) name: &'static str,
    /// What it is for.
    pub(super) doc: &'static str,
    /// The page that it follows.
    pub(super) upstream: &'static str,
    /// Whether a kube-apiserver has it in a ValidatingAdmissionPolicy; what it does not have is an extension.
    pub(super) in_admission: bool,
    /// The names of types that it brings, as expressions may write them.
    pub(super) types: &'static [&'static str],
    /// Its functions.
    pub(super) functions: &'static [Function],
}

/// One function, by its name.
pub(super) struct Function {
    /// The name, with the namespace in front for one that has it.
    pub(super) name: &'static str,
    /// What it does.
    pub(super) doc: &'static str,
    /// Expressions that are true. A test evaluates each.
    pub(super) examples: &'static [&'static str],
    /// The ways to call it, in the order in which they are tried.
    pub(super) overloads: &'static [Overload],
}

/// One way to call a function.
pub(super) struct Overload {
    /// Such as `string.matches(string) -> bool` or `sets.contains(list(A), list(A)) -> bool`.
    pub(super) signature: &'static str,
    /// What a call costs.
    pub(super) cost: Cost,
    /// What it does. Gets arguments of the types in the signature, the value it is called on first; elements of lists
    /// and maps may be of any type.
    pub(super) run: Run,
    /// The argument that is a regular expression. One that is written out is prepared once, when the expression is
    /// compiled: then the function gets it prepared.
    pub(super) pattern: Option<usize>,
}

impl Overload {
    /// One without a regular expression.
    pub(super) const fn new(signature: &'static str, cost: Cost, run: Run) -> Self {
        Self { signature, cost, run, pattern: None }
    }
}

/// The work of an overload. What grows with the input beyond the declared cost is charged to the meter.
pub(super) type Run = for<'a> fn(&[Value<'a>], &mut Meter) -> Result<Value<'a>, Fault>;

/// A function as the checker wants it.
pub(super) struct Declared {
    pub(super) name: &'static str,
    pub(super) overloads: Vec<DeclaredOverload>,
}

/// An overload whose signature is read.
pub(super) struct DeclaredOverload {
    pub(super) signature: Signature,
    pub(super) overload: &'static Overload,
}

impl std::fmt::Debug for DeclaredOverload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.overload.signature)
    }
}

static DECLARED: LazyLock<BTreeMap<&'static str, Declared>> = LazyLock::new(|| {
    let mut declared: BTreeMap<&'static str, Declared> = BTreeMap::new();
    for function in LIBRARIES.iter().flat_map(|library| library.functions) {
        let entry = declared
            .entry(function.name)
            .or_insert_with(|| Declared { name: function.name, overloads: Vec::new() });
        // A test reads every signature: none is left out here.
        entry.overloads.extend(function.overloads.iter().filter_map(|overload| {
            let signature = Signature::parse(function.name, overload.signature)?;
            Some(DeclaredOverload { signature, overload })
        }));
    }
    declared
});

/// The function of this name; several libraries may add ways to call it.
pub(super) fn find(name: &str) -> Option<&'static Declared> {
    DECLARED.get(name)
}

/// The names of all functions.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    DECLARED.keys().copied()
}

/// Whether functions have names that begin with this and a dot.
pub(super) fn is_namespace(name: &str) -> bool {
    ["cel"]
        .into_iter()
        .chain(names().filter_map(|known| known.split_once('.').map(|(first, _)| first)))
        .any(|n| n == name)
}

/// Types that expressions may write by name, as in `type(x) == net.IP`.
pub(super) fn type_named(name: &str) -> Option<(&'static str, Type)> {
    let own = LIBRARIES.iter().flat_map(|library| library.types).find(|known| **known == name);
    own.map(|known| (*known, Type::Opaque(known)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signature_can_be_read_and_names_its_function() {
        for library in LIBRARIES {
            for function in library.functions {
                assert!(!function.doc.is_empty() && !function.examples.is_empty(), "{}", function.name);
                for overload in function.overloads {
                    assert!(
                        Signature::parse(function.name, overload.signature).is_some(),
                        "{}",
                        overload.signature
                    );
                }
            }
        }
    }
}
