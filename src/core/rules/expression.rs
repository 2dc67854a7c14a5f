//! A rule that is one CEL expression: true is compliant.

use super::{Verdict, Violation, Wording, error_text};
use crate::core::cel::{Bindings, Program};
use crate::core::chain::Chain;
use crate::core::fields::Fields;

/// An expression and how its findings are worded.
#[derive(Debug)]
pub struct Expression {
    /// True for a compliant object.
    pub validation: Program,
    /// Text of the finding.
    pub wording: Wording,
}

impl Expression {
    /// Judges the object that is bound.
    pub fn judge(&self, rule: &str, bindings: &mut Bindings<'_>) -> Verdict {
        match self.validation.evaluate_bool(bindings) {
            Ok(true) => Verdict::Compliant,
            Ok(false) => {
                let message = self.wording.own(bindings);
                let message = message.unwrap_or_else(|| format!("rule {rule} is not satisfied").into());
                Verdict::Violation(Violation { message, fields: Fields::default(), chain: Chain::default() })
            }
            Err(error) => Verdict::Error(error_text(&error)),
        }
    }
}
