//! In which order variables and lookups are compiled, so that each comes after what it reads, and which of them read
//! each other in a circle.

use crate::api::MonitorPolicySpec;
use crate::core::cel::{References, references};

/// One entry of `spec.variables` or `spec.lookups`, by its place there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    Variable(usize),
    Lookup(usize),
}

/// Variables and lookups, each after what it reads. As in a ValidatingAdmissionPolicy a variable reads variables before
/// it only.
pub(super) struct Order {
    /// All of them.
    pub(super) entries: Vec<Entry>,
    /// What reads itself on the way: such a field does not compile, since what it reads is not known there.
    pub(super) circles: Vec<Circle>,
}

/// Variables and lookups that read each other in a circle.
pub(super) struct Circle {
    /// The field that closes it.
    pub(super) field: String,
    /// The whole of it, and what to do.
    pub(super) text: String,
}

impl Order {
    pub(super) fn of(spec: &MonitorPolicySpec) -> Self {
        let mut walk = Walk { spec, done: Vec::new(), open: Vec::new(), circles: Vec::new() };
        (0..spec.variables.len()).for_each(|n| walk.visit(Entry::Variable(n)));
        (0..spec.lookups.len()).for_each(|n| walk.visit(Entry::Lookup(n)));
        Self { entries: walk.done, circles: walk.circles }
    }
}

struct Walk<'s> {
    spec: &'s MonitorPolicySpec,
    done: Vec<Entry>,
    /// The way to where it is.
    open: Vec<Entry>,
    circles: Vec<Circle>,
}

/// A field and its expression.
struct Source<'s> {
    field: String,
    text: &'s str,
}

impl<'s> Walk<'s> {
    fn visit(&mut self, entry: Entry) {
        if self.done.contains(&entry) {
            return;
        }
        if let Some(first) = self.open.iter().position(|open| *open == entry) {
            let circle = self.circle(&self.open[first..], entry);
            self.circles.push(circle);
            return;
        }
        self.open.push(entry);
        let sources = self.sources(entry);
        let needed: Vec<Entry> = sources.iter().flat_map(|source| self.needed(entry, source)).collect();
        needed.into_iter().for_each(|needed| self.visit(needed));
        self.open.pop();
        self.done.push(entry);
    }

    /// The circle of these, of which the last reads the first.
    fn circle(&self, way: &[Entry], first: Entry) -> Circle {
        let names: Vec<String> = way.iter().chain([&first]).map(|entry| self.name(*entry)).collect();
        let last = way.last().copied().unwrap_or(first);
        let sources = self.sources(last);
        let reads = |source: &&Source<'_>| self.needed(last, source).contains(&first);
        let field = sources.iter().find(reads).or(sources.first()).map(|source| source.field.clone());
        let text = match names.as_slice() {
            [one, _] => {
                format!("{one} is found by what it finds itself; find it by the object or by another lookup")
            }
            _ => format!("{} read each other in a circle; leave one of these steps out", names.join(" → ")),
        };
        Circle { field: field.unwrap_or_default(), text }
    }

    fn needed(&self, entry: Entry, source: &Source<'_>) -> Vec<Entry> {
        let spec = self.spec;
        let References { variables: read, lookups: taken } = references(source.text);
        // A variable cannot read one that comes later: it is not known there.
        let known = match entry {
            Entry::Variable(n) => n,
            Entry::Lookup(_) => spec.variables.len(),
        };
        let variables = spec.variables.iter().take(known).enumerate();
        let variables = variables.filter(|(_, variable)| read.contains(&variable.name));
        let lookups = spec.lookups.iter().enumerate();
        let lookups = lookups.filter(|(_, lookup)| taken.contains(&lookup.name));
        let variables = variables.map(|(n, _)| Entry::Variable(n));
        variables.chain(lookups.map(|(n, _)| Entry::Lookup(n))).collect()
    }

    fn name(&self, entry: Entry) -> String {
        match entry {
            Entry::Variable(n) => format!("variables.{}", self.spec.variables[n].name),
            Entry::Lookup(n) => format!("lookups.{}", self.spec.lookups[n].name),
        }
    }

    /// The expressions that have to be compiled before others may read an entry. What a lookup says of what it found is
    /// none of them: nobody reads that.
    fn sources(&self, entry: Entry) -> Vec<Source<'s>> {
        let spec = self.spec;
        match entry {
            Entry::Variable(n) => vec![Source {
                field: format!("spec.variables[{n}].expression"),
                text: &spec.variables[n].expression,
            }],
            Entry::Lookup(n) => {
                let lookup = &spec.lookups[n];
                let fields = [
                    ("namespaceExpression", &lookup.namespace_expression),
                    ("nameExpression", &lookup.name_expression),
                    ("namesExpression", &lookup.names_expression),
                    ("labelsExpression", &lookup.labels_expression),
                ];
                let given =
                    fields.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text.as_deref()?)));
                let labels =
                    lookup.labels.iter().map(|(key, text)| (format!("labels[{key}]"), text.as_str()));
                let source = |(name, text): (String, &'s str)| Source {
                    field: format!("spec.lookups[{n}].{name}"),
                    text,
                };
                given.chain(labels).map(source).collect()
            }
        }
    }
}
