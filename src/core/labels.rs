//! Label selectors: matching here, and their text form for the API server.

use std::collections::BTreeSet;
use std::fmt;

use super::tree::Node;

/// One requirement on a label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Requirement {
    /// The label exists and has one of these values.
    In(String, BTreeSet<String>),
    /// The label does not exist, or has none of these values.
    NotIn(String, BTreeSet<String>),
    /// The label exists.
    Exists(String),
    /// The label does not exist.
    DoesNotExist(String),
}

impl Requirement {
    fn matches<'a>(&self, value: &impl Fn(&str) -> Option<&'a str>) -> bool {
        match self {
            Self::In(key, values) => value(key).is_some_and(|v| values.contains(v)),
            Self::NotIn(key, values) => value(key).is_none_or(|v| !values.contains(v)),
            Self::Exists(key) => value(key).is_some(),
            Self::DoesNotExist(key) => value(key).is_none(),
        }
    }
}

/// A label selector. The order of its requirements carries no meaning, so equal selectors compare equal.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LabelMatcher(BTreeSet<Requirement>);

impl LabelMatcher {
    /// A selector that wants all of `requirements`; none selects everything.
    pub fn new(requirements: impl IntoIterator<Item = Requirement>) -> Self {
        Self(requirements.into_iter().collect())
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The labels that it asks for.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|requirement| match requirement {
            Requirement::In(key, _)
            | Requirement::NotIn(key, _)
            | Requirement::Exists(key)
            | Requirement::DoesNotExist(key) => key.as_str(),
        })
    }

    /// Whether the labels (a map of strings, or nothing) match.
    pub fn matches(&self, labels: Option<&Node>) -> bool {
        self.matches_values(|key| labels.and_then(|l| l.get(key)).and_then(Node::as_str).map(|v| &**v))
    }

    /// Whether labels match of which `value` gives the values.
    pub fn matches_values<'a>(&self, value: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.0.iter().all(|r| r.matches(&value))
    }
}

/// The form of the API server's `labelSelector` parameter.
impl fmt::Display for LabelMatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, requirement) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str(",")?;
            }
            let join = |values: &BTreeSet<String>| values.iter().cloned().collect::<Vec<_>>().join(",");
            match requirement {
                Requirement::In(key, values) if values.len() == 1 => write!(f, "{key}={}", join(values))?,
                Requirement::In(key, values) => write!(f, "{key} in ({})", join(values))?,
                Requirement::NotIn(key, values) => write!(f, "{key} notin ({})", join(values))?,
                Requirement::Exists(key) => write!(f, "{key}")?,
                Requirement::DoesNotExist(key) => write!(f, "!{key}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::project::testing::node;

    fn set(values: &[&str]) -> BTreeSet<String> {
        values.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn matches_as_the_api_server_does() {
        let labels = node(r#"{"tier":"public","app":"shop"}"#);
        let cases = [
            (Requirement::In("tier".into(), set(&["public", "internal"])), true),
            (Requirement::In("tier".into(), set(&["internal"])), false),
            (Requirement::In("zone".into(), set(&["a"])), false),
            (Requirement::NotIn("tier".into(), set(&["internal"])), true),
            (Requirement::NotIn("tier".into(), set(&["public"])), false),
            // A label that is absent satisfies NotIn.
            (Requirement::NotIn("zone".into(), set(&["a"])), true),
            (Requirement::Exists("app".into()), true),
            (Requirement::Exists("zone".into()), false),
            (Requirement::DoesNotExist("zone".into()), true),
            (Requirement::DoesNotExist("app".into()), false),
        ];
        for (requirement, expected) in cases {
            let matcher = LabelMatcher::new([requirement]);
            assert_eq!(matcher.matches(Some(&labels)), expected, "{matcher}");
        }
        assert!(LabelMatcher::default().matches(None));
    }

    #[test]
    fn equal_selectors_have_the_same_text() {
        let a = LabelMatcher::new([
            Requirement::Exists("z".into()),
            Requirement::In("a".into(), set(&["2", "1"])),
        ]);
        let b = LabelMatcher::new([
            Requirement::In("a".into(), set(&["1", "2"])),
            Requirement::Exists("z".into()),
        ]);
        assert_eq!(a.to_string(), b.to_string());
        assert_eq!(a.to_string(), "a in (1,2),z");
        assert_eq!(LabelMatcher::new([Requirement::In("a".into(), set(&["x"]))]).to_string(), "a=x");
    }
}
