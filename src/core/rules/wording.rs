//! How findings are worded.

use std::sync::Arc;

use super::{MAX_MESSAGE_LEN, one_line};
use crate::core::cel::{Bindings, Program};
use crate::core::fields::Fields;
use crate::core::secret::without_digests;

/// The texts that a rule brings along.
#[derive(Debug, Default)]
pub struct Wording {
    /// Text of the finding.
    pub message: Option<Arc<str>>,
    /// Computes the text of the finding; when it fails, `message` is used.
    pub expression: Option<Program>,
}

impl Wording {
    /// What the rule itself says.
    pub(super) fn own(&self, bindings: &mut Bindings<'_>) -> Option<Arc<str>> {
        let computed = self
            .expression
            .as_ref()
            .and_then(|program| program.evaluate_string(bindings).ok())
            .map(|text| one_line(&without_digests(&text), MAX_MESSAGE_LEN))
            .filter(|text| !text.is_empty());
        computed.map(Into::into).or_else(|| self.message.clone())
    }

    /// What the rule itself says, and the changed fields. `otherwise` takes the place of what is missing.
    pub(super) fn with_fields(
        &self,
        bindings: &mut Bindings<'_>,
        otherwise: &str,
        fields: &Fields,
    ) -> Arc<str> {
        let (own, fields) = (self.own(bindings), fields.describe());
        let parts = match (own.as_deref(), fields.is_empty()) {
            (Some(own), false) => [own, &fields],
            (Some(own), true) => [own, otherwise],
            (None, _) => [otherwise, &fields],
        };
        let said: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let text = said.join(": ");
        one_line(&text, MAX_MESSAGE_LEN).into()
    }
}
