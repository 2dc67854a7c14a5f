//! Which names an expression may use.

use super::compile::Program;
use super::kinds::Kinds;

/// A name that an object is bound to while it is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// The object that is judged.
    Object,
    /// The object as it was before an update; null otherwise.
    OldObject,
    /// The Namespace the object is in; null for a cluster scoped object.
    NamespaceObject,
    /// What happened to which object: operation, kind, resource, namespace, name.
    Request,
    /// The time of judging, as a CEL timestamp.
    Now,
}

impl Root {
    /// All of them.
    pub const ALL: [Root; 5] =
        [Root::Object, Root::OldObject, Root::NamespaceObject, Root::Request, Root::Now];

    /// As it is written in an expression.
    pub fn name(self) -> &'static str {
        match self {
            Root::Object => "object",
            Root::OldObject => "oldObject",
            Root::NamespaceObject => "namespaceObject",
            Root::Request => "request",
            Root::Now => "now",
        }
    }

    pub(super) fn named(name: &str) -> Option<Root> {
        Root::ALL.into_iter().find(|root| root.name() == name)
    }
}

/// A set of [`Root`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Roots(u8);

impl Roots {
    pub(super) fn insert(&mut self, root: Root) {
        self.0 |= 1 << root as u8;
    }

    pub(super) fn contains(self, root: Root) -> bool {
        self.0 & (1 << root as u8) != 0
    }
}

/// Before the name of a variable, where it is read and where it is bound.
pub(super) const VARIABLES: &str = "variables.";

/// The names that exist for one expression: some [`Root`]s, and the variables declared before it.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    roots: Roots,
    variables: Vec<(String, Kinds)>,
}

impl Scope {
    /// A scope with these roots and no variables.
    pub fn new(roots: &[Root]) -> Self {
        let mut scope = Self::default();
        roots.iter().for_each(|root| scope.roots.insert(*root));
        scope
    }

    /// Lets expressions that are compiled from here on read `variables.NAME`.
    pub fn declare(&mut self, name: &str, program: &Program) {
        self.variables.push((name.to_owned(), program.kinds()));
    }

    pub(super) fn has(&self, root: Root) -> bool {
        self.roots.contains(root)
    }

    pub(super) fn has_variable(&self, name: &str) -> bool {
        self.variables.iter().any(|(known, _)| known == name)
    }

    /// What `variables.NAME` can be; anything for a name that is not one of ours.
    pub(super) fn variable_kinds(&self, ident: &str) -> Kinds {
        ident
            .strip_prefix(VARIABLES)
            .and_then(|name| self.variables.iter().find(|(known, _)| known == name))
            .map_or(Kinds::ANY, |(_, kinds)| *kinds)
    }

    /// Every name that can be written, the way it is written.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        let roots = Root::ALL.into_iter().filter(|root| self.has(*root)).map(|root| root.name().to_owned());
        roots.chain(self.variables.iter().map(|(name, _)| format!("{VARIABLES}{name}")))
    }
}
