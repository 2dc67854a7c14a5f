//! Texts that users write: templates over a notice.

use minijinja::Environment;

use super::{SendError, SpecError};
use crate::core::alert::Notice;

/// One line: what is new.
pub fn default_title(notice: &Notice) -> String {
    format!("[{}] {}: {} open", notice.severity().as_str(), notice.policy, notice.totals.open)
}

/// Several lines: the title, and what each finding is.
pub fn default_text(notice: &Notice) -> String {
    let lists = [&notice.open, &notice.resolved, &notice.occurred];
    let lines = lists.into_iter().flatten().map(|item| format!("{}: {}", item.subject(), item.message));
    std::iter::once(default_title(notice)).chain(lines).collect::<Vec<_>>().join("\n")
}

/// A text with places for what a notice says.
#[derive(Debug, Clone)]
pub struct Template {
    field: String,
    environment: Environment<'static>,
}

impl Template {
    /// Reads a template. `field` is its path below `spec`.
    ///
    /// # Errors
    /// When it is not one.
    pub fn new(field: &str, source: &str) -> Result<Self, SpecError> {
        let mut environment = Environment::new();
        environment
            .add_template_owned("text", source.to_owned())
            .map_err(|error| SpecError { field: field.to_owned(), message: error.to_string() })?;
        Ok(Self { field: field.to_owned(), environment })
    }

    /// The text for a notice.
    ///
    /// # Errors
    /// When the template fails.
    pub fn render(&self, notice: &Notice) -> Result<String, SendError> {
        let text = self
            .environment
            .get_template("text")
            .and_then(|template| template.render(minijinja::value::Serde(notice)));
        text.map_err(|error| SendError::Permanent(format!("{}: {error}", self.field)))
    }
}
