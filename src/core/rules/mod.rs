//! The kinds of rule, one file each.
//!
//! In: a compiled rule, the bindings of one object and, for some, its state before. Out: a [`Verdict`]. Only the
//! engine calls.

mod change;
mod drift;
mod expression;
mod group;
mod keys;
mod wording;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use change::{Change, Operation};
pub use drift::{Baseline, Case, Drift, DriftVerdict, Drifted};
pub use expression::Expression;
pub use group::{Expected, Group, Keys, MAX_GROUP_KEY, Place};
pub use wording::Wording;

use super::cel::{NowUse, Program};
use super::chain::Chain;
use super::diff::FieldScope;
use super::fields::Fields;
use super::finding::Severity;
use super::patience::Patience;
use super::secret::without_digests;

/// Longest message of a finding or rule error, in bytes.
pub const MAX_MESSAGE_LEN: usize = 512;

/// What a rule says about an object.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The object satisfies the rule.
    Compliant,
    /// It does not.
    Violation(Violation),
    /// The rule could not be judged on this object.
    Error(Arc<str>),
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Violation {
    /// In words.
    pub message: Arc<str>,
    /// The fields that make it so, where a rule is about fields.
    pub fields: Fields,
    /// What was looked up on the way, where a rule looks something up.
    pub chain: Chain,
}

/// A rule of a policy, ready to judge.
#[derive(Debug)]
pub struct CompiledRule {
    /// Its name.
    pub name: Arc<str>,
    /// Severity of its findings.
    pub severity: Severity,
    /// For each selection of the policy, whether the rule judges its objects.
    pub selections: Vec<bool>,
    /// The lookups that it reads, by their places in the policy, with those that they are found by: the links of its
    /// chain.
    pub links: BTreeSet<usize>,
    /// All lookups that judging it takes: the links, and what is read to say whether a link is in order.
    pub lookups: BTreeSet<usize>,
    /// What it asks. None while it does not compile: its findings stay as they are until it does.
    pub kind: Option<RuleKind>,
    /// How long a state must last before the rule believes it.
    pub patience: Patience,
}

/// The kinds of rule.
#[derive(Debug)]
pub enum RuleKind {
    /// A state that must hold: a finding stands while it does not.
    State(Expression),
    /// Something that must not happen: each time is one occurrence.
    Change(Change),
    /// Fields that must stay as they are: a finding stands until they are back.
    Drift(Drift),
    /// A state of groups of objects: a finding stands for each group in which it does not hold.
    Group(Box<Group>),
}

impl CompiledRule {
    /// Whether it judges objects of this selection, by its position in the policy.
    pub fn judges(&self, selection: usize) -> bool {
        self.selections.get(selection).is_some_and(|judged| *judged)
    }

    /// The change rule, when it is one that is in force.
    pub fn as_change(&self) -> Option<&Change> {
        match &self.kind {
            Some(RuleKind::Change(change)) => Some(change),
            _ => None,
        }
    }

    /// The rule on groups, when it is one that is in force.
    pub fn as_group(&self) -> Option<&Group> {
        match &self.kind {
            Some(RuleKind::Group(group)) => Some(group),
            _ => None,
        }
    }

    /// Whether it has to be told of objects of this selection: it judges them, or they name groups that it expects.
    pub fn concerns(&self, selection: usize) -> bool {
        self.judges(selection) || self.as_group().is_some_and(|group| group.expects(selection))
    }

    /// Whether it needs to know who changed which field.
    pub fn asks_who(&self) -> bool {
        matches!(self.kind, Some(RuleKind::Change(_) | RuleKind::Drift(_)))
    }

    /// Whether it compares an object with what it was before.
    pub fn reads_the_past(&self) -> bool {
        match &self.kind {
            Some(RuleKind::Change(_)) => true,
            Some(RuleKind::Drift(drift)) => drift.baseline == Baseline::LastCompliant,
            None | Some(RuleKind::State(_) | RuleKind::Group(_)) => false,
        }
    }

    /// The fields that may not drift, when it is about drift.
    pub fn drift_scope(&self) -> Option<&FieldScope> {
        match &self.kind {
            Some(RuleKind::Drift(drift)) => Some(&drift.scope),
            _ => None,
        }
    }

    /// The selection that finds its baseline, when it has one.
    pub fn baseline(&self) -> Option<&Arc<str>> {
        match &self.kind {
            Some(RuleKind::Drift(Drift { baseline: Baseline::Object(selection), .. })) => Some(selection),
            _ => None,
        }
    }

    /// How its findings are worded, while it is in force.
    pub fn wording(&self) -> Option<&Wording> {
        self.kind.as_ref().map(|kind| match kind {
            RuleKind::State(rule) => &rule.wording,
            RuleKind::Change(rule) => &rule.wording,
            RuleKind::Drift(rule) => &rule.wording,
            RuleKind::Group(rule) => &rule.whole.wording,
        })
    }

    /// What has to be true, where it is an expression that says so.
    pub fn validation(&self) -> Option<&Program> {
        match &self.kind {
            Some(RuleKind::State(rule)) => Some(&rule.validation),
            Some(RuleKind::Change(rule)) => Some(&rule.validation),
            Some(RuleKind::Group(rule)) => Some(&rule.whole.validation),
            None | Some(RuleKind::Drift(_)) => None,
        }
    }

    /// Whether comparisons with `now` decide it.
    pub fn tells_moments(&self) -> bool {
        self.decisive().any(|program| program.now_use() != NowUse::None)
    }

    /// The programs that it is made of.
    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        let wording = self.wording().and_then(|wording| wording.expression.as_ref());
        self.decisive().chain(wording)
    }

    /// The programs that decide it.
    pub fn decisive(&self) -> impl Iterator<Item = &Program> {
        let keys = self.as_group().into_iter().flat_map(Group::keys);
        keys.chain(self.validation())
    }
}

/// The text of a failure.
pub fn error_text(error: &dyn std::fmt::Display) -> Arc<str> {
    one_line(&without_digests(&error.to_string()), MAX_MESSAGE_LEN).into()
}

/// Whether a character may stand in a line as it is.
pub fn is_printable(c: char) -> bool {
    // Separators of lines, marks that turn the direction of what follows, and what YAML does not have.
    let odd = matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}');
    !c.is_control() && !odd
}

/// Makes any text fit for a status, an Event and a log line: one line, no control characters, at most `max`
/// bytes, whole characters. The API server reads what is applied as YAML and refuses the whole of it for one
/// character that YAML does not have.
pub fn one_line(text: &str, max: usize) -> String {
    let clean = |c: char| if is_printable(c) { c } else { ' ' };
    let mut line = String::with_capacity(text.len().min(max));
    for c in text.trim().chars().map(clean) {
        if line.len() + c.len_utf8() > max.saturating_sub('…'.len_utf8()) {
            line.push('…');
            break;
        }
        line.push(c);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_one_bounded_line_of_whole_characters() {
        assert_eq!(one_line("a\nb\t\u{0}c", 100), "a b  c");
        assert_eq!(one_line("safe\u{202e}evas\u{fffe}!", 100), "safe evas !");
        assert_eq!(one_line("a\u{fffe}b\u{ffff}c", 100), "a b c");
        let long = one_line(&"é".repeat(1000), 512);
        assert!(long.len() <= 512 && long.ends_with('…'), "{}", long.len());
        assert_eq!(one_line("  spaced  ", 100), "spaced");
    }
}
