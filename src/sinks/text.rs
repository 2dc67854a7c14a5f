//! What people read of a notice: the texts that are sent where the spec has none, and the templates that users write.
//!
//! In: a notice. Out: text, bounded by [`MAX_OUTPUT`] bytes. Every sink that tells people calls it.

mod context;
mod filters;
mod plain;
mod samples;
mod template;

pub use plain::{MAX_TITLE, default_text, default_title};
#[cfg(test)]
pub use samples::one as sample;
pub use template::{MAX_OUTPUT, MAX_SOURCE, Template};
