//! Paths of fields, as people write them: `spec.template.spec.containers[name=app].image`.
//!
//! A [`FieldPath`] names one field of one object; a [`FieldPattern`] may have `[*]` for every element of a list or
//! entry of a map. Elements of lists are named by their keys (`[containerPort=80,protocol=TCP]`) or, where a list
//! has none, by their position (`[2]`). A name that is not a plain word stands in brackets and quotes:
//! `metadata.labels["example.com/tier"]`. What is displayed can be parsed again.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use super::tree::Node;

/// Most steps of a path. Objects are kept only so deep.
pub const MAX_STEPS: usize = super::project::MAX_DEPTH;

/// Why a text is not a path. Positions count characters from 1.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PathError {
    /// Nothing there.
    #[error("a path names a field, such as spec.replicas; this one is empty")]
    Empty,
    /// A character that cannot stand there.
    #[error("{found:?} at position {at}: {expected}")]
    Unexpected {
        /// The character.
        found: char,
        /// Where.
        at: usize,
        /// What could.
        expected: &'static str,
    },
    /// The end came too soon.
    #[error("the path ends too soon: {expected}")]
    End {
        /// What is missing.
        expected: &'static str,
    },
    /// Too long to be true.
    #[error("a path has at most {MAX_STEPS} steps")]
    TooDeep,
    /// `[*]` where one field is meant.
    #[error("[*] means every element, and here one field must be named")]
    Wildcard,
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// An entry of a map.
    Field(Arc<str>),
    /// The element of a list whose fields have these values, each as text.
    Element(Box<[(Arc<str>, Arc<str>)]>),
    /// The element of a list at this position, counted from 0.
    Index(usize),
}

/// The text by which a value serves as key of a list element; nothing for lists and maps.
pub fn key_text(value: &Node) -> Option<Arc<str>> {
    match value {
        Node::Str(text) => Some(text.clone()),
        Node::Int(number) => Some(number.to_string().into()),
        Node::Bool(value) => Some(if *value { "true" } else { "false" }.into()),
        Node::Null | Node::Double(_) | Node::List(_) | Node::Map(_) => None,
    }
}

impl Step {
    /// Whether the step leads to this element of a list.
    pub fn leads_to(&self, position: usize, element: &Node) -> bool {
        match self {
            Step::Field(_) => false,
            Step::Index(wanted) => *wanted == position,
            Step::Element(keys) => keys
                .iter()
                .all(|(key, text)| element.get(key).and_then(key_text).is_some_and(|value| value == *text)),
        }
    }

    /// Where the step leads from a value.
    pub fn from<'a>(&self, node: &'a Node) -> Option<&'a Node> {
        match self {
            Step::Field(name) => node.get(name),
            _ => node.items().iter().enumerate().find(|(n, item)| self.leads_to(*n, item)).map(|(_, i)| i),
        }
    }
}

/// The path of one field.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath(pub Vec<Step>);

impl FieldPath {
    /// The value at this path.
    pub fn of<'a>(&self, root: &'a Node) -> Option<&'a Node> {
        self.0.iter().try_fold(root, |node, step| step.from(node))
    }

    /// Puts a value at this path, or removes what is there. Maps on the way are made where they are missing; an
    /// element of a list that is missing is appended.
    pub fn set(&self, root: &mut Node, value: Option<Node>) {
        set(root, &self.0, value);
    }
}

fn set(node: &mut Node, steps: &[Step], value: Option<Node>) {
    let Some((step, rest)) = steps.split_first() else {
        if let Some(value) = value {
            *node = value;
        }
        return;
    };
    if let Step::Field(name) = step {
        let mut entries = match std::mem::replace(node, Node::Null) {
            Node::Map(entries) => entries.into_vec(),
            _ => Vec::new(),
        };
        match (entries.iter().position(|(key, _)| key == name), rest.is_empty(), value) {
            (Some(at), true, None) => drop(entries.remove(at)),
            (Some(at), _, value) => set(&mut entries[at].1, rest, value),
            (None, _, Some(value)) => {
                let mut made = Node::Null;
                set(&mut made, rest, Some(value));
                entries.push((name.clone(), made));
            }
            (None, _, None) => {}
        }
        *node = Node::Map(entries.into());
        return;
    }
    let mut items = match std::mem::replace(node, Node::Null) {
        Node::List(items) => items.into_vec(),
        _ => Vec::new(),
    };
    let at = items.iter().enumerate().position(|(n, item)| step.leads_to(n, item));
    match (at, rest.is_empty(), value) {
        (Some(at), true, None) => drop(items.remove(at)),
        (Some(at), _, value) => set(&mut items[at], rest, value),
        (None, _, Some(value)) => {
            let mut made = Node::Null;
            set(&mut made, rest, Some(value));
            items.push(made);
        }
        (None, _, None) => {}
    }
    *node = Node::List(items.into());
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(n, step)| write_step(f, n, step))
    }
}

fn write_step(f: &mut fmt::Formatter<'_>, n: usize, step: &Step) -> fmt::Result {
    match step {
        Step::Field(name) if is_word(name) => write!(f, "{}{name}", if n == 0 { "" } else { "." }),
        Step::Field(name) => write!(f, "[{}]", quoted(name)),
        Step::Index(position) => write!(f, "[{position}]"),
        Step::Element(keys) => {
            f.write_str("[")?;
            for (n, (key, value)) in keys.iter().enumerate() {
                let comma = if n == 0 { "" } else { "," };
                let plain = !value.is_empty() && value.chars().all(is_plain);
                let value = if plain { value.to_string() } else { quoted(value) };
                write!(f, "{comma}{key}={value}")?;
            }
            f.write_str("]")
        }
    }
}

/// As JSON writes it, in ASCII: no text can be taken for another, nor break a line.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            _ => {
                let mut units = [0; 2];
                c.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
            }
        }
    }
    out.push('"');
    out
}

fn is_word_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$')
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_word_char)
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':' | '@' | '+')
}

/// One step of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatternStep {
    /// This step.
    One(Step),
    /// `[*]`: every element of a list, or entry of a map.
    Any,
}

/// A path that may stand for several fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPattern(pub Vec<PatternStep>);

impl FromStr for FieldPattern {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let mut parser = Parser { rest: text, at: 1 };
        let mut steps = Vec::new();
        while let Some(c) = parser.peek() {
            if steps.len() == MAX_STEPS {
                return Err(PathError::TooDeep);
            }
            steps.push(match c {
                '[' => parser.brackets()?,
                '.' if !steps.is_empty() => {
                    parser.skip();
                    PatternStep::One(Step::Field(parser.word()?))
                }
                _ if steps.is_empty() => PatternStep::One(Step::Field(parser.word()?)),
                _ => return Err(parser.unexpected("a dot or a bracket begins the next step")),
            });
        }
        if steps.is_empty() { Err(PathError::Empty) } else { Ok(Self(steps)) }
    }
}

impl FromStr for FieldPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let steps = text.parse::<FieldPattern>()?.0.into_iter().map(|step| match step {
            PatternStep::One(step) => Ok(step),
            PatternStep::Any => Err(PathError::Wildcard),
        });
        steps.collect::<Result<_, _>>().map(Self)
    }
}

struct Parser<'a> {
    rest: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn skip(&mut self) {
        let mut chars = self.rest.chars();
        if chars.next().is_some() {
            self.at += 1;
        }
        self.rest = chars.as_str();
    }

    fn unexpected(&self, expected: &'static str) -> PathError {
        match self.peek() {
            Some(found) => PathError::Unexpected { found, at: self.at, expected },
            None => PathError::End { expected },
        }
    }

    fn expect(&mut self, wanted: char, expected: &'static str) -> Result<(), PathError> {
        if self.peek() != Some(wanted) {
            return Err(self.unexpected(expected));
        }
        self.skip();
        Ok(())
    }

    fn take_while(&mut self, fits: fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !fits(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.at += taken.chars().count();
        self.rest = rest;
        taken
    }

    fn word(&mut self) -> Result<Arc<str>, PathError> {
        match self.take_while(is_word_char) {
            "" => {
                Err(self
                    .unexpected("the name of a field is expected; quote one that is no word: [\"a.b/c\"]"))
            }
            word => Ok(word.into()),
        }
    }

    fn brackets(&mut self) -> Result<PatternStep, PathError> {
        self.skip();
        let step = match self.peek() {
            Some('*') => {
                self.skip();
                PatternStep::Any
            }
            Some('"' | '\'') => PatternStep::One(Step::Field(self.quoted()?)),
            _ => PatternStep::One(self.element()?),
        };
        self.expect(']', "the bracket must be closed")?;
        Ok(step)
    }

    fn element(&mut self) -> Result<Step, PathError> {
        const EXPECTED: &str = "in brackets stand KEY=VALUE, a position, [*] or a quoted name";
        let mut keys = Vec::new();
        loop {
            let key = self.take_while(is_word_char);
            if key.is_empty() {
                return Err(self.unexpected(EXPECTED));
            }
            if keys.is_empty()
                && self.peek() == Some(']')
                && let Ok(position) = key.parse()
            {
                return Ok(Step::Index(position));
            }
            self.expect('=', EXPECTED)?;
            let value = match self.peek() {
                Some('"' | '\'') => self.quoted()?,
                _ => self.take_while(is_plain).into(),
            };
            keys.push((key.into(), value));
            if self.peek() != Some(',') {
                return Ok(Step::Element(keys.into()));
            }
            self.skip();
        }
    }

    fn quoted(&mut self) -> Result<Arc<str>, PathError> {
        const EXPECTED: &str = "the quote must be closed";
        let quote = self.peek();
        self.skip();
        let mut units: Vec<u16> = Vec::new();
        loop {
            let Some(c) = self.peek() else {
                return Err(PathError::End { expected: EXPECTED });
            };
            if Some(c) == quote {
                self.skip();
                return Ok(String::from_utf16_lossy(&units).into());
            }
            self.skip();
            if c != '\\' {
                units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
                continue;
            }
            match self.peek() {
                Some('u') => {
                    self.skip();
                    let digits = self.rest.get(..4).and_then(|hex| u16::from_str_radix(hex, 16).ok());
                    let Some(unit) = digits else {
                        return Err(self.unexpected("after \\u stand four hexadecimal digits"));
                    };
                    (0..4).for_each(|_| self.skip());
                    units.push(unit);
                }
                Some(c) => {
                    self.skip();
                    units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
                }
                None => return Err(PathError::End { expected: EXPECTED }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::project::testing::node;
    use proptest::prelude::*;

    fn path(text: &str) -> FieldPath {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_path_finds_its_field_by_name_key_and_position() {
        let root = node(
            r#"{"spec":{"containers":[{"name":"app","ports":[{"containerPort":80,"protocol":"TCP"}],"args":["a","b"]}]},
                "labels":{"a.b/c":"d"}}"#,
        );
        for (text, value) in [
            ("spec.containers[name=app].args[1]", Some(r#""b""#)),
            ("spec.containers[name=app].ports[containerPort=80,protocol=TCP].containerPort", Some("80")),
            ("labels[\"a.b/c\"]", Some(r#""d""#)),
            ("labels['a.b/c']", Some(r#""d""#)),
            ("spec.containers[name=other]", None),
            ("spec.containers[1]", None),
        ] {
            assert_eq!(path(text).of(&root), value.map(node).as_ref(), "{text}");
        }
    }

    #[test]
    fn what_is_no_path_is_told_where_and_why() {
        let error = |text: &str| text.parse::<FieldPattern>().map(|_| ()).expect_err(text).to_string();
        assert_eq!(error(""), "a path names a field, such as spec.replicas; this one is empty");
        assert!(
            error("spec..x").starts_with("'.' at position 6: the name of a field"),
            "{}",
            error("spec..x")
        );
        assert!(error("spec.a[name").contains("ends too soon"));
        assert!(error("spec.a[name=x").contains("must be closed"));
        assert!(error("/spec/x").contains("'/' at position 1"));
        assert!(error("spec.a[*]b").contains("a dot or a bracket"));
        assert!(error("a[\"x").contains("quote must be closed"));
        assert!(error(&"a.".repeat(200)).contains("at most"));
        assert_eq!("a[*]".parse::<FieldPath>(), Err(PathError::Wildcard));
    }

    #[test]
    fn a_value_is_put_where_the_path_says_and_taken_away_again() {
        let mut root = node(r#"{"spec":{"list":[{"name":"a","x":1}]}}"#);
        path("spec.list[name=a].x").set(&mut root, Some(Node::Int(2)));
        path("spec.new.deep").set(&mut root, Some(Node::Bool(true)));
        path("spec.list[name=b]").set(&mut root, Some(node(r#"{"name":"b"}"#)));
        path("spec.none.at.all").set(&mut root, None);
        assert_eq!(root, node(r#"{"spec":{"list":[{"name":"a","x":2},{"name":"b"}],"new":{"deep":true}}}"#));
        path("spec.list[name=a]").set(&mut root, None);
        path("spec.new").set(&mut root, None);
        assert_eq!(root, node(r#"{"spec":{"list":[{"name":"b"}]}}"#));
    }

    fn any_path() -> impl Strategy<Value = FieldPath> {
        let text = || prop_oneof!["[a-z]{1,3}", "[ -~]{0,4}", any::<String>()].prop_map(Arc::<str>::from);
        let keys = prop::collection::vec(("[a-z]{1,3}".prop_map(Arc::<str>::from), text()), 1..3);
        let step = prop_oneof![
            text().prop_map(Step::Field),
            keys.prop_map(|keys| Step::Element(keys.into())),
            (0..20usize).prop_map(Step::Index),
        ];
        prop::collection::vec(step, 1..5).prop_map(FieldPath)
    }

    proptest! {
        #[test]
        fn what_is_displayed_is_parsed_as_what_it_was(path in any_path()) {
            prop_assert_eq!(path.to_string().parse::<FieldPath>(), Ok(path));
        }

        #[test]
        fn no_text_makes_the_parser_fail_otherwise(text in any::<String>()) {
            let _ = text.parse::<FieldPattern>();
        }
    }
}
