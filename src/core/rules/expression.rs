//! A rule that is one CEL expression: true is compliant.

use std::sync::Arc;

use super::{MAX_MESSAGE_LEN, Verdict, one_line};
use crate::core::cel::{Bindings, Program};

/// An expression and how its findings are worded.
#[derive(Debug)]
pub struct Expression {
    /// True for a compliant object.
    pub validation: Program,
    /// Text of the finding.
    pub message: Option<Arc<str>>,
    /// Computes the text of the finding; when it fails, `message` is used.
    pub message_expression: Option<Program>,
}

impl Expression {
    pub(super) fn judge(&self, rule: &str, bindings: &mut Bindings<'_>) -> Verdict {
        match self.validation.evaluate_bool(bindings) {
            Ok(true) => Verdict::Compliant,
            Ok(false) => Verdict::Violation(self.word(rule, bindings)),
            Err(error) => Verdict::Error(one_line(&error.to_string(), MAX_MESSAGE_LEN).into()),
        }
    }

    fn word(&self, rule: &str, bindings: &mut Bindings<'_>) -> Arc<str> {
        let computed = self
            .message_expression
            .as_ref()
            .and_then(|program| program.evaluate_string(bindings).ok())
            .map(|text| one_line(&text, MAX_MESSAGE_LEN))
            .filter(|text| !text.is_empty());
        match (computed, &self.message) {
            (Some(text), _) => text.into(),
            (None, Some(message)) => message.clone(),
            (None, None) => format!("rule {rule} is not satisfied").into(),
        }
    }

    pub(super) fn programs(&self) -> impl Iterator<Item = &Program> {
        std::iter::once(&self.validation).chain(&self.message_expression)
    }
}
