//! The kinds of rule, one file each.
//!
//! In: a compiled rule and the bindings of one object. Out: a [`Verdict`]. Only the engine calls.

mod expression;

use std::sync::Arc;

pub use expression::Expression;

use super::cel::{Bindings, Program};
use super::finding::Severity;

/// Longest message of a finding or rule error, in bytes.
pub const MAX_MESSAGE_LEN: usize = 512;

/// What a rule says about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The object satisfies the rule.
    Compliant,
    /// It does not; the text says what is wrong.
    Violation(Arc<str>),
    /// The rule could not be judged on this object.
    Error(Arc<str>),
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
    /// What it asks. None while it does not compile: its findings stay as they are until it does.
    pub expression: Option<Expression>,
}

impl CompiledRule {
    /// Whether it can be judged.
    pub fn is_in_force(&self) -> bool {
        self.expression.is_some()
    }

    /// Judges one object, if it is in force.
    pub fn judge(&self, bindings: &mut Bindings<'_>) -> Option<Verdict> {
        Some(self.expression.as_ref()?.judge(&self.name, bindings))
    }

    /// The programs that it is made of.
    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        self.expression.iter().flat_map(Expression::programs)
    }
}

/// Makes any text fit for a status, an Event and a log line: one line, no control characters, at most `max`
/// bytes, whole characters. The API server reads what is applied as YAML and refuses the whole of it for one
/// character that YAML does not have.
pub fn one_line(text: &str, max: usize) -> String {
    let clean = |c: char| {
        // Separators of lines, marks that turn the direction of what follows, and what YAML does not have.
        let odd = matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}');
        if c.is_control() || odd { ' ' } else { c }
    };
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
