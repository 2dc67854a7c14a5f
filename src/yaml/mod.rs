//! YAML and JSON: read as `kubectl` reads them, with the place of every value; written so that it reads them back.
//!
//! In: text from outside. Out: [`Document`]s, or a [`ReadError`] with its line and column. Pure; anyone may call.
//!
//! What a scalar means is decided here and not by a general YAML crate, because manifests mean what `kubectl`
//! makes of them, and that is YAML 1.1: `0644` is 420, `on` is true, `1.0` is the integer 1. The crate
//! `granit-parser` does the grammar and tells places; `serde-saphyr`, its sister, writes. Both are here anyway:
//! kube reads kubeconfigs with them.
//!
//! **Bounds** of one text: [`MAX_BYTES`], [`MAX_DOCUMENTS`], [`MAX_NODES`] after aliases are replaced by what they
//! stand for, [`MAX_DEPTH`].

mod json;
mod read;
mod scalar;
mod tree;

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

pub use read::{Document, ReadError, read};
pub use tree::{Entry, Place, Tree, Value};

/// Most bytes of one text. A list of 10,000 ordinary Pods has 60 MB.
pub const MAX_BYTES: usize = 128 << 20;
/// Most documents of one text.
pub const MAX_DOCUMENTS: usize = 50_000;
/// Most values of one text, those that aliases stand for included.
pub const MAX_NODES: usize = 8_000_000;
/// Most levels of nesting. The API server's objects rarely have twenty.
pub const MAX_DEPTH: usize = 100;

/// Why a value cannot be read or written where nobody asks for places.
#[derive(Debug, Error)]
pub enum Error {
    /// No YAML.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Not one document.
    #[error("there is more than one document")]
    MoreThanOne,
    /// Not of this shape.
    #[error(transparent)]
    Shape(#[from] serde_json::Error),
    /// Cannot be written.
    #[error(transparent)]
    Write(#[from] serde_saphyr::ser::Error),
}

/// Reads a text of one document, where nobody asks for places.
///
/// # Errors
/// When it is not one document, or not of this shape.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    let mut documents = read(text)?.into_iter().map(|document| document.tree.to_json());
    match (documents.next(), documents.next()) {
        (only, None) => Ok(serde_json::from_value(only.unwrap_or_default())?),
        _ => Err(Error::MoreThanOne),
    }
}

/// Writes YAML.
///
/// # Errors
/// When the value has a map whose keys are no texts.
pub fn to_string<T: Serialize>(value: &T) -> Result<String, Error> {
    let options = serde_saphyr::ser_options! {
        compact_list_indent: true,
        // Texts of several lines as such, and nothing folded.
        prefer_block_scalars: true,
        min_fold_chars: usize::MAX,
        folded_wrap_chars: usize::MAX,
        // Quotes what YAML 1.1 would take for something else than a text.
        yaml_12: false,
    };
    Ok(serde_saphyr::to_string_with_options(value, options)?)
}

#[cfg(test)]
mod tests;
