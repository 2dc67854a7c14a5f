//! Which names an expression may use, and of which types they are.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use super::compile::Program;
use super::moments::Motion;
use super::reads::{Reads, Traced};
use super::types::{Form, ObjectType, Type};

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
    /// The objects of the group that is judged, in the order of kind, namespace and name.
    Objects,
    /// The key of the group that is judged.
    Group,
}

impl Root {
    /// All of them.
    pub const ALL: [Root; 7] = [
        Root::Object,
        Root::OldObject,
        Root::NamespaceObject,
        Root::Request,
        Root::Now,
        Root::Objects,
        Root::Group,
    ];
    /// Those of expressions that are about one object.
    pub const OF_OBJECT: [Root; 5] =
        [Root::Object, Root::OldObject, Root::NamespaceObject, Root::Request, Root::Now];
    /// Those of expressions that say to which group an object belongs: a state, not a change.
    pub const OF_KEY: [Root; 4] = [Root::Object, Root::NamespaceObject, Root::Request, Root::Now];
    /// Those of expressions that are about a group of objects.
    pub const OF_GROUP: [Root; 3] = [Root::Objects, Root::Group, Root::Now];

    /// As it is written in an expression.
    pub fn name(self) -> &'static str {
        match self {
            Root::Object => "object",
            Root::OldObject => "oldObject",
            Root::NamespaceObject => "namespaceObject",
            Root::Request => "request",
            Root::Now => "now",
            Root::Objects => "objects",
            Root::Group => "group",
        }
    }

    pub(super) fn named(name: &str) -> Option<Root> {
        Root::ALL.into_iter().find(|root| root.name() == name)
    }
}

/// A set of [`Root`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Roots(u16);

impl Roots {
    pub(super) fn insert(&mut self, root: Root) {
        self.0 |= 1 << root as u8;
    }

    pub(super) fn contains(self, root: Root) -> bool {
        self.0 & (1 << root as u8) != 0
    }
}

/// The names that exist for one expression: some [`Root`]s, and the variables declared before it.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    roots: Roots,
    /// What `object` and `oldObject` are, where a schema says so.
    object: Option<Type>,
    variables: Vec<Declared>,
    lookups: Vec<Lookup>,
    /// The place of `params` among the lookups.
    params: Option<usize>,
    /// Names that exist elsewhere, and what to do instead of reading them here.
    elsewhere: Vec<(&'static str, &'static str)>,
}

#[derive(Debug, Clone)]
struct Declared {
    name: String,
    result: Type,
    depth: usize,
    motion: Motion,
    /// What it reads, and what its value may be a part of.
    traced: (Reads, Traced),
    lookups: BTreeSet<usize>,
}

/// Objects that are found by what is read of others.
#[derive(Debug, Clone)]
struct Lookup {
    /// None for one that does not compile: it keeps its place, and cannot be read.
    name: Option<String>,
    /// Whether it is a list.
    many: bool,
    element: Type,
    /// What finding the objects reads.
    reads: Reads,
    motion: Motion,
    /// The lookups that it takes to find them, and itself.
    lookups: BTreeSet<usize>,
}

impl Scope {
    /// A scope with these roots and no variables.
    pub fn new(roots: &[Root]) -> Self {
        let mut scope = Self::default();
        roots.iter().for_each(|root| scope.roots.insert(*root));
        scope
    }

    /// The same variables, and these roots.
    pub fn with_roots(&self, roots: &[Root]) -> Self {
        Self { roots: Self::new(roots).roots, ..self.clone() }
    }

    /// The same roots and no variables, for objects whose schema is known.
    pub fn typed(&self, object: Type) -> Self {
        Self { roots: self.roots, object: Some(object), ..Self::default() }
    }

    /// Says what to do instead of reading names that do not exist here: each with its remedy.
    pub fn explain(mut self, elsewhere: &[(&'static str, &'static str)]) -> Self {
        self.elsewhere = elsewhere.to_vec();
        self
    }

    /// Lets expressions that are compiled from here on read `variables.NAME`. Bindings must have the variables in
    /// the order in which they are declared.
    pub fn declare(&mut self, name: &str, program: &Program) {
        self.variables.push(Declared {
            name: name.to_owned(),
            result: program.result().clone(),
            depth: program.depth(),
            motion: program.motion(),
            traced: (program.reads().clone(), program.traced().clone()),
            lookups: program.lookups().clone(),
        });
    }

    /// Lets expressions that are compiled from here on read `lookups.NAME`: a list if `many`, else one object or
    /// null. It takes the next place among the lookups; `programs` are what it is found by.
    pub fn declare_lookup<'p>(
        &mut self,
        name: &str,
        many: bool,
        element: Type,
        programs: impl IntoIterator<Item = &'p Program>,
    ) {
        let place = self.lookups.len();
        let mut lookup = Lookup {
            name: Some(name.to_owned()),
            many,
            element,
            reads: Reads::default(),
            motion: Motion::default(),
            lookups: [place].into(),
        };
        for program in programs {
            lookup.reads.add(program.reads());
            lookup.motion.find_by(program.motion());
            lookup.lookups.extend(program.lookups());
        }
        self.lookups.push(lookup);
    }

    /// Keeps a place for a lookup that does not compile.
    pub fn skip_lookup(&mut self) {
        self.lookups.push(Lookup {
            name: None,
            many: false,
            element: Type::Dyn,
            reads: Reads::default(),
            motion: Motion::default(),
            lookups: BTreeSet::new(),
        });
    }

    /// Lets expressions that are compiled from here on read `params`, an object of this type, which takes the next place
    /// among the lookups.
    pub fn declare_params(&mut self, element: Type) {
        self.params = Some(self.lookups.len());
        self.lookups.push(Lookup {
            name: None,
            many: false,
            element,
            reads: Reads::default(),
            motion: Motion::default(),
            lookups: [self.lookups.len()].into(),
        });
    }

    /// Declares a variable of which only the type matters.
    pub fn declare_type(&mut self, name: &str, result: Type) {
        let (motion, traced, lookups) = Default::default();
        self.variables.push(Declared { name: name.to_owned(), result, depth: 0, motion, traced, lookups });
    }

    /// Whether a schema says what the objects are. What is checked then compiles without it.
    pub(super) fn is_typed(&self) -> bool {
        self.object.is_some()
    }

    pub(super) fn has(&self, root: Root) -> bool {
        self.roots.contains(root)
    }

    pub(super) fn type_of(&self, root: Root) -> Type {
        match root {
            Root::Object | Root::OldObject => self.object.clone().unwrap_or(Type::Dyn),
            Root::NamespaceObject => NAMESPACE.clone(),
            Root::Request => REQUEST.clone(),
            Root::Now => Type::Timestamp,
            Root::Objects => Type::list(self.object.clone().unwrap_or(Type::Dyn)),
            Root::Group => Type::String,
        }
    }

    /// The place and the type of a variable.
    pub(super) fn variable(&self, name: &str) -> Option<(usize, &Type)> {
        let place = self.variables.iter().rposition(|known| known.name == name)?;
        Some((place, &self.variables[place].result))
    }

    pub(super) fn variable_name(&self, place: usize) -> &str {
        self.variables.get(place).map_or("", |known| &known.name)
    }

    /// What a variable reads, and what its value may be a part of.
    pub(super) fn traced(&self, place: usize) -> Option<&(Reads, Traced)> {
        self.variables.get(place).map(|known| &known.traced)
    }

    /// The lookups that a variable takes, through others as well.
    pub(super) fn lookups_of_variable(&self, place: usize) -> impl Iterator<Item = usize> {
        self.variables.get(place).into_iter().flat_map(|known| known.lookups.iter().copied())
    }

    /// The place of a lookup.
    pub(super) fn lookup(&self, name: &str) -> Option<usize> {
        self.lookups.iter().position(|known| known.name.as_deref() == Some(name))
    }

    /// The place of `params`.
    pub(super) fn params(&self) -> Option<usize> {
        self.params
    }

    /// What to do instead of reading a name that does not exist here and exists elsewhere.
    pub(super) fn elsewhere(&self, name: &str) -> Option<&'static str> {
        self.elsewhere.iter().find(|(known, _)| *known == name).map(|(_, remedy)| *remedy)
    }

    /// The lookups that can be written, the way they are written.
    pub(super) fn lookup_names(&self) -> impl Iterator<Item = String> {
        self.lookups.iter().filter_map(|known| Some(format!("lookups.{}", known.name.as_ref()?)))
    }

    pub(super) fn type_of_lookup(&self, place: usize) -> Type {
        match self.lookups.get(place) {
            Some(known) if known.many => Type::list(known.element.clone()),
            Some(known) => known.element.clone(),
            None => Type::Dyn,
        }
    }

    /// Whether a lookup is a list, and what finding its objects reads.
    pub(super) fn traced_lookup(&self, place: usize) -> Option<(bool, &Reads)> {
        self.lookups.get(place).map(|known| (known.many, &known.reads))
    }

    /// How what a lookup finds moves as `now` does.
    pub(super) fn lookup_motion(&self, place: usize) -> Motion {
        self.lookups.get(place).map(|known| known.motion).unwrap_or_default()
    }

    /// The lookups that one takes, itself among them.
    pub(super) fn lookups_of_lookup(&self, place: usize) -> impl Iterator<Item = usize> {
        self.lookups.get(place).into_iter().flat_map(|known| known.lookups.iter().copied())
    }

    /// How the value of a variable moves as `now` does.
    pub(super) fn motion(&self, place: usize) -> Motion {
        self.variables.get(place).map(|known| known.motion).unwrap_or_default()
    }

    /// How deep evaluating the variable goes.
    pub(super) fn variable_depth(&self, place: usize) -> usize {
        self.variables.get(place).map_or(0, |known| known.depth)
    }

    /// Every name that can be written, the way it is written.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        let roots = Root::ALL.into_iter().filter(|root| self.has(*root)).map(|root| root.name().to_owned());
        let variables = self.variables.iter().map(|known| format!("variables.{}", known.name));
        let params = self.params.map(|_| "params".to_owned());
        roots.chain(variables).chain(self.lookup_names()).chain(params)
    }
}

fn object(name: &str, fields: &[(&str, Type)]) -> Type {
    let fields = fields.iter().map(|(name, of)| (Arc::from(*name), of.clone())).collect();
    Type::Object(Arc::new(ObjectType { name: name.to_owned(), fields, form: Form::Message }))
}

/// A Namespace as ValidatingAdmissionPolicies declare it (`BuildNamespaceType` in
/// k8s.io/apiserver/pkg/admission/plugin/cel/compile.go). Its times are declared as timestamps there, and are texts
/// when they are read: dyn says the truth.
static NAMESPACE: LazyLock<Type> = LazyLock::new(|| {
    let texts = Type::list(Type::String);
    let labels = Type::map(Type::String, Type::String);
    let metadata = object(
        "namespaceObject.metadata",
        &[
            ("name", Type::String),
            ("generateName", Type::String),
            ("namespace", Type::String),
            ("labels", labels.clone()),
            ("annotations", labels),
            ("UID", Type::String),
            ("creationTimestamp", Type::Dyn),
            ("deletionGracePeriodSeconds", Type::Int),
            ("deletionTimestamp", Type::Dyn),
            ("generation", Type::Int),
            ("resourceVersion", Type::String),
            ("finalizers", texts.clone()),
        ],
    );
    let condition = object(
        "namespaceObject.status.conditions[]",
        &[
            ("status", Type::String),
            ("type", Type::String),
            ("lastTransitionTime", Type::Dyn),
            ("message", Type::String),
            ("reason", Type::String),
        ],
    );
    let status =
        object("namespaceObject.status", &[("conditions", Type::list(condition)), ("phase", Type::String)]);
    let spec = object("namespaceObject.spec", &[("finalizers", texts)]);
    object("namespaceObject", &[("metadata", metadata), ("spec", spec), ("status", status)])
});

/// Of an admission request what exists without one.
static REQUEST: LazyLock<Type> = LazyLock::new(|| {
    let names = |name: &str, last: &str| {
        object(name, &[("group", Type::String), ("version", Type::String), (last, Type::String)])
    };
    object(
        "request",
        &[
            ("kind", names("request.kind", "kind")),
            ("resource", names("request.resource", "resource")),
            ("name", Type::String),
            ("namespace", Type::String),
            ("operation", Type::String),
        ],
    )
});
