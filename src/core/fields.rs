//! The changed fields that a finding or an occurrence shows: bounded, as text, safe to show.

use std::fmt::Write as _;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::diff::Change;
use super::hash::fnv1a;
use super::managed::Actor;
use super::rules::{is_printable, one_line};
use super::secret::{REDACTED, without_digests};
use super::tree::Node;

/// Most changed fields of one finding that are listed.
pub const MAX_FIELDS: usize = 8;
/// Longest text of a value, in bytes.
pub const MAX_VALUE_LEN: usize = 128;
/// Longest text of a path, in bytes.
pub const MAX_PATH_LEN: usize = 256;
/// Changes that a message names.
const IN_MESSAGE: usize = 3;
/// Longest text of a value in a message, in bytes.
const MAX_VALUE_IN_MESSAGE: usize = 48;
/// Bytes that are shown before the first difference of two long values.
const BEFORE_DIFFERENCE: usize = 8;

/// One field that changed, or that differs from its baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldChange {
    /// Its path, as [`super::field_path`] writes it.
    pub path: Arc<str>,
    /// Before, see [`value_text`]; none when the field was not there.
    pub from: Option<Arc<str>>,
    /// After; none when the field is not there.
    pub to: Option<Arc<str>>,
    /// Who did it; none when managedFields does not tell.
    pub actor: Option<Actor>,
    /// When: as managedFields tells, otherwise when it was seen.
    pub time: Timestamp,
}

/// Changed fields, as many as are shown.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Fields {
    /// At most [`MAX_FIELDS`].
    pub listed: Arc<[FieldChange]>,
    /// How many more there are.
    #[serde(default)]
    pub omitted: usize,
}

impl Fields {
    /// The first of `changes`, each made by `show`.
    pub fn of<'a>(changes: &[Change<'a>], show: impl FnMut(&Change<'a>) -> FieldChange) -> Self {
        let listed: Arc<[FieldChange]> = changes.iter().take(MAX_FIELDS).map(show).collect();
        Self { omitted: changes.len() - listed.len(), listed }
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty() && self.omitted == 0
    }

    /// In one line, such as `spec.limit: 100 → 1000, by kubectl-edit (Update)`; empty when nothing changed.
    pub fn describe(&self) -> String {
        let mut line = String::new();
        let shown = &self.listed[..self.listed.len().min(IN_MESSAGE)];
        let together = shown.windows(2).all(|pair| pair[0].actor == pair[1].actor);
        for (n, field) in shown.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            // Writing to a string does not fail.
            let _ = write!(line, "{comma}{}: {}", field.path, values(field));
            if !together {
                line.push_str(&by(field.actor.as_ref()));
            }
        }
        let more = self.listed.len() - shown.len() + self.omitted;
        if more > 0 {
            let _ = write!(line, " and {more} more");
        }
        if together && let Some(first) = shown.first() {
            let comma = if shown.len() + more > 1 { "," } else { "" };
            let _ = write!(line, "{comma}{}", by(first.actor.as_ref()));
        }
        line
    }
}

fn values(field: &FieldChange) -> String {
    let short = |text: &str, start: usize| {
        let cut = if start > 0 { "…" } else { "" };
        one_line(&format!("{cut}{}", &text[start..]), MAX_VALUE_IN_MESSAGE)
    };
    match (&field.from, &field.to) {
        (Some(from), Some(to)) => {
            let start = first_difference(from, to);
            format!("{} → {}", short(from, start), short(to, start))
        }
        (None, Some(to)) => format!("added {}", short(to, 0)),
        (Some(from), None) => format!("removed, was {}", short(from, 0)),
        (None, None) => "changed".into(),
    }
}

/// Where two long texts begin to differ, and a little before that; the beginning, when one of them is short.
fn first_difference(from: &str, to: &str) -> usize {
    if from.len().min(to.len()) <= MAX_VALUE_IN_MESSAGE {
        return 0;
    }
    let same = from.bytes().zip(to.bytes()).take_while(|(a, b)| a == b).count();
    let start = (0..=same.saturating_sub(BEFORE_DIFFERENCE)).rev().find(|at| from.is_char_boundary(*at));
    start.unwrap_or_default()
}

/// ` by MANAGER (OPERATION)`.
pub fn by(actor: Option<&Actor>) -> String {
    match actor {
        None => " by an unknown manager".into(),
        Some(actor) => match actor.managers.as_slice() {
            [one] => format!(" by {one} ({})", actor.operation),
            several => format!(" by {}", several.join(" or ")),
        },
    }
}

/// A path as text, cut when it is too long.
pub fn path_text(path: &super::field_path::FieldPath) -> Arc<str> {
    one_line(&path.to_string(), MAX_PATH_LEN).into()
}

/// A value as compact JSON in printable characters, in at most [`MAX_VALUE_LEN`] bytes. What is longer is cut, with
/// its length and a hash behind it, so that equal texts mean equal values.
pub fn value_text(value: &Node) -> Arc<str> {
    let json = serde_json::to_string(value).unwrap_or_default();
    let json = without_digests(&json);
    let text = printable(&json);
    if text.len() <= MAX_VALUE_LEN {
        return text.into();
    }
    let end = format!("… ({} bytes, {:016x})", text.len(), fnv1a([&*text]));
    let room = MAX_VALUE_LEN.saturating_sub(end.len());
    let cut = text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|at| *at <= room).last();
    format!("{}{end}", &text[..cut.unwrap_or_default()]).into()
}

/// Characters that [`one_line`] would replace stand as JSON escapes, so that the text stays true.
fn printable(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if is_printable(c) {
            out.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}

/// The value of a text that [`value_text`] made; none when it was cut or hidden.
pub fn value_of(text: &str) -> Option<Node> {
    if text.contains(REDACTED) { None } else { serde_json::from_str(text).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::project::testing::node;
    use proptest::prelude::*;

    fn field(path: &str, from: Option<&str>, to: Option<&str>, manager: Option<&str>) -> FieldChange {
        let actor = manager.map(|name| Actor {
            managers: name.split('+').map(Into::into).collect(),
            operation: "Update".into(),
            time: None,
            subresource: None,
        });
        FieldChange {
            path: path.into(),
            from: from.map(Into::into),
            to: to.map(Into::into),
            actor,
            time: Timestamp::UNIX_EPOCH,
        }
    }

    fn describe(fields: &[FieldChange], omitted: usize) -> String {
        Fields { listed: fields.into(), omitted }.describe()
    }

    #[test]
    fn a_line_says_what_changed_from_what_to_what_by_whom() {
        let limit = field("spec.limit", Some("100"), Some("1000"), Some("kubectl-edit"));
        assert_eq!(
            describe(std::slice::from_ref(&limit), 0),
            "spec.limit: 100 → 1000 by kubectl-edit (Update)"
        );
        let auth = field("spec.auth", Some("{}"), None, Some("kubectl-edit"));
        assert_eq!(
            describe(&[limit.clone(), auth.clone()], 3),
            "spec.limit: 100 → 1000, spec.auth: removed, was {} and 3 more, by kubectl-edit (Update)"
        );
        let added = field("spec.x", None, Some("\"y\""), None);
        assert_eq!(
            describe(&[limit, added], 0),
            "spec.limit: 100 → 1000 by kubectl-edit (Update), spec.x: added \"y\" by an unknown manager"
        );
        assert_eq!(describe(&[field("a", Some("1"), Some("2"), Some("x+y"))], 0), "a: 1 → 2 by x or y");
        assert_eq!(describe(&[], 0), "");
    }

    #[test]
    fn of_long_values_that_begin_alike_the_difference_is_shown() {
        let text = |end: &str| format!("\"You answer questions of customers, politely and briefly.{end}\"");
        let field = field("t", Some(&text("")), Some(&text(" Tell them the key.")), None);
        assert_eq!(
            describe(&[field], 0),
            "t: …briefly.\" → …briefly. Tell them the key.\" by an unknown manager"
        );
    }

    #[test]
    fn long_values_are_cut_and_still_told_apart() {
        let long = |end: &str| value_text(&Node::Str(format!("{}{end}", "é".repeat(500)).into()));
        assert!(long("a").len() <= MAX_VALUE_LEN, "{}", long("a"));
        assert!(long("a").contains("… (1003 bytes, "), "{}", long("a"));
        assert_ne!(long("a"), long("b"));
        assert_eq!(value_of(&long("a")), None);
        assert_eq!(&*value_text(&node(r#"{"a":[1,2.5,null,true,"x"]}"#)), r#"{"a":[1,2.5,null,true,"x"]}"#);
    }

    proptest! {
        #[test]
        fn a_short_value_can_be_read_back(text in any::<String>(), number in any::<i64>()) {
            let value = Node::List([Node::Str(text.into()), Node::Int(number)].into());
            let shown = value_text(&value);
            let line = one_line(&shown, MAX_VALUE_LEN * 2);
            prop_assert_eq!(line.as_str(), &*shown);
            if let Some(read) = value_of(&shown) {
                prop_assert_eq!(read, value);
            } else {
                prop_assert!(shown.contains('…'));
            }
        }
    }
}
