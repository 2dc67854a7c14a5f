//! Where notices go, one file per kind of sink: what users write of it, and how a [`Notice`] is handed over.
//!
//! In: a notice, and the values of the Secrets that the sink names. Out: that it arrived, or why not and what may be
//! done about it. No sink retries, waits or keeps anything: `record::alerts` calls, and decides when. None names
//! Kubernetes.

pub mod alertmanager;
pub mod email;
pub mod http;
pub mod log;
pub mod pager_duty;
pub mod slack;
#[cfg(test)]
mod testing;
pub mod text;
pub mod webhook;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::core::alert::Notice;

/// One key of a Secret in the namespace of the operator.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "camelCase")]
pub struct SecretKey {
    /// Name of the Secret. It lives in the namespace of polywatch.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// Key in its data.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

impl fmt::Display for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {} of Secret {}", self.key, self.name)
    }
}

/// The values of Secrets, read for one delivery. They are in no log, error or status, nor in what `Debug` shows.
#[derive(Default)]
pub struct Secrets(BTreeMap<SecretKey, Vec<u8>>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Secrets {
    /// Takes what was read.
    pub fn new(values: BTreeMap<SecretKey, Vec<u8>>) -> Self {
        Self(values)
    }

    /// The bytes of a value.
    ///
    /// # Errors
    /// When it was not read, which is so when the sink did not name it in [`Sink::secrets`].
    pub fn bytes(&self, key: &SecretKey) -> Result<&[u8], SendError> {
        self.0
            .get(key)
            .map(Vec::as_slice)
            .ok_or_else(|| SendError::Credentials(format!("{key} was not read")))
    }

    /// A value that is text, without the line break that files end with.
    ///
    /// # Errors
    /// As [`Self::bytes`], and when it is empty or not UTF-8.
    pub fn text(&self, key: &SecretKey) -> Result<&str, SendError> {
        let text = std::str::from_utf8(self.bytes(key)?)
            .map_err(|_| SendError::Credentials(format!("{key} is not text in UTF-8")))?;
        match text.trim_end_matches(['\r', '\n']) {
            "" => Err(SendError::Credentials(format!("{key} is empty"))),
            text => Ok(text),
        }
    }
}

/// What a sink says of a notice that arrived.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// What later notices of the group refer to, such as the message that they follow. None leaves what was known.
    pub reference: Option<String>,
}

/// Why a notice did not arrive. Texts name the destination and what to do; no credential is in them, nor an address that
/// is one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The same notice will never be taken.
    #[error("{0}")]
    Permanent(String),
    /// It may be taken later.
    #[error("{why}")]
    Passing {
        /// Why not now.
        why: String,
        /// How long the destination asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// A credential is missing or refused: nothing will be taken until somebody mends that.
    #[error("{0}")]
    Credentials(String),
}

/// Somewhere to send notices.
pub trait Sink: Send + Sync + fmt::Debug {
    /// Its kind, as in the spec: `alertmanager`, `slack`.
    fn kind(&self) -> &'static str;

    /// The Secrets that [`Self::send`] needs.
    fn secrets(&self) -> Vec<SecretKey>;

    /// How often it has to hear again that what is open is so; none for a destination that remembers.
    fn resend(&self) -> Option<Duration> {
        None
    }

    /// Hands a notice over, once. The caller limits the time.
    fn send<'a>(
        &'a self,
        notice: &'a Notice,
        secrets: &'a Secrets,
    ) -> BoxFuture<'a, Result<Receipt, SendError>>;
}

/// What is wrong with the spec of a sink that the API server took.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct SpecError {
    /// Path of the field below `spec`, such as `slack.text`.
    pub field: String,
    /// What is wrong and what to do.
    pub message: String,
}
