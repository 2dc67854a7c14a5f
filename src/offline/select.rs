//! The part of a selection that the API server applies for the operator.

use crate::core::finding::ObjectId;
use crate::core::policy::Target;
use crate::core::project::ProjectedObject;
use crate::core::tree::Node;

/// Whether objects of this kind, in this version, are what `target` is about. Without a version it is about any:
/// which one an API server prefers is not known here.
pub fn is_of_kind(target: &Target, object: &ObjectId) -> bool {
    let (_, version) = object.api_version.split_once('/').unwrap_or(("", &object.api_version));
    is_of_group(target, object) && target.version.as_deref().is_none_or(|v| v == version)
}

/// The same in whatever version.
pub fn is_of_group(target: &Target, object: &ObjectId) -> bool {
    let (group, _) = object.api_version.split_once('/').unwrap_or(("", &object.api_version));
    target.group == group && target.kind == *object.kind
}

/// A target, ready to match.
#[derive(Debug)]
pub struct Matcher<'a> {
    target: &'a Target,
    fields: Vec<Field>,
}

#[derive(Debug)]
struct Field {
    path: Vec<String>,
    value: String,
    equal: bool,
}

impl<'a> Matcher<'a> {
    /// A field selector that does not parse, which compiling refuses, selects nothing.
    pub fn new(target: &'a Target) -> Self {
        let terms = split(&target.field_selector, ',').into_iter().filter(|term| !term.is_empty());
        let fields = terms.map(|term| field(&term)).collect();
        Self { target, fields }
    }

    /// Whether the API server would hand out the object for this target.
    pub fn matches(&self, object: &ProjectedObject) -> bool {
        is_of_kind(self.target, object.id())
            && self.target.selects(object)
            && self.fields.iter().all(|field| field.matches(object))
    }
}

impl Field {
    fn matches(&self, object: &ProjectedObject) -> bool {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let value = match object.root().at(&path) {
            Some(Node::Str(text)) => text.to_string(),
            Some(Node::Bool(value)) => value.to_string(),
            Some(Node::Int(value)) => value.to_string(),
            Some(Node::Double(value)) => value.to_string(),
            // As the server: what is absent is empty.
            _ => String::new(),
        };
        (value == self.value) == self.equal
    }
}

/// `FIELD=VALUE`, `FIELD==VALUE` or `FIELD!=VALUE`, with the escapes of `k8s.io/apimachinery/pkg/fields`.
fn field(term: &str) -> Field {
    let (path, value, equal) = match term.find('=') {
        Some(at) if term[..at].ends_with('!') => (&term[..at - 1], &term[at + 1..], false),
        Some(at) => (&term[..at], term[at + 1..].strip_prefix('=').unwrap_or(&term[at + 1..]), true),
        None => (term, "", true),
    };
    let mut plain = String::new();
    let mut characters = value.chars();
    while let Some(c) = characters.next() {
        plain.push(if c == '\\' { characters.next().unwrap_or(c) } else { c });
    }
    Field { path: path.trim().split('.').map(str::to_owned).collect(), value: plain, equal }
}

/// Splits at a character that no backslash precedes; escapes stay.
fn split(text: &str, at: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for c in text.chars() {
        match parts.last_mut() {
            Some(_) if c == at && !escaped => parts.push(String::new()),
            Some(part) => part.push(c),
            None => {}
        }
        escaped = c == '\\' && !escaped;
    }
    parts
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::core::labels::{LabelMatcher, Requirement};
    use crate::core::project::testing::object;

    fn target(change: impl FnOnce(&mut Target)) -> Target {
        let mut target = Target {
            group: "apps".into(),
            version: Some("v1".into()),
            kind: "Deployment".into(),
            namespaces: BTreeSet::new(),
            names: BTreeSet::new(),
            labels: LabelMatcher::default(),
            field_selector: String::new(),
        };
        change(&mut target);
        target
    }

    #[test]
    fn a_target_means_what_the_api_server_would_hand_out() {
        let web = object(
            r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"shop","labels":{"tier":"front"}},
                "spec":{"paused":true,"replicas":3,"odd":"a,b=c"}}"#,
        );
        let selects = |change: fn(&mut Target)| Matcher::new(&target(change)).matches(&web);
        assert!(selects(|_| {}));
        assert!(selects(|t| t.version = None));
        assert!(!selects(|t| t.version = Some("v1beta1".into())));
        assert!(!selects(|t| t.group = String::new()));
        assert!(!selects(|t| t.kind = "StatefulSet".into()));
        assert!(selects(|t| t.namespaces = ["shop".into(), "bank".into()].into()));
        assert!(!selects(|t| t.namespaces = ["bank".into()].into()));
        assert!(selects(|t| t.names = ["web".into()].into()));
        assert!(!selects(|t| t.names = ["api".into()].into()));
        assert!(!selects(|t| t.labels = LabelMatcher::new([Requirement::DoesNotExist("tier".into())])));
        for (selector, expected) in [
            ("metadata.name=web", true),
            ("metadata.name==web,metadata.namespace!=bank", true),
            ("metadata.name!=web", false),
            ("spec.paused=true,spec.replicas=3", true),
            ("spec.absent=", true),
            ("spec.absent!=", false),
            (r"spec.odd=a\,b\=c", true),
            ("spec.odd=a", false),
        ] {
            let target = target(|t| t.field_selector = selector.into());
            assert_eq!(Matcher::new(&target).matches(&web), expected, "{selector}");
        }
    }
}
