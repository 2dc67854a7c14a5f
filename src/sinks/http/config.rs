//! What users write of a connection, in the same way for every sink that speaks HTTP.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sinks::{SecretKey, SpecError};

/// What a field with an address must look like.
pub const IS_URL: &str =
    "self.matches('^https?://[^/?#@[:space:]]+(/[^?#[:space:]]*)?([?][^#[:space:]]*)?$')";
/// Why another one is refused.
pub const NO_URL: &str = "must be an address such as https://host.example:8443/path, without user, password and fragment: \
                          credentials belong in a Secret";
/// Most characters of an address.
pub const MAX_URL: usize = 2048;

/// How the destination proves who it is.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.ca) && has(self.insecureSkipVerify) && self.insecureSkipVerify)")
        .message("ca and insecureSkipVerify exclude each other: with the second nobody looks at the first")
)]
pub struct Tls {
    /// Certificates in PEM of the authorities that alone are trusted to vouch for the destination. It is read for each
    /// message, so that a new one needs no restart. Absent: the authorities of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SecretKey")]
    pub ca: Option<SecretKey>,

    /// Trusts whoever answers, so that others can read along and pretend to be the destination. For tests only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub insecure_skip_verify: bool,
}

/// How polywatch proves who it is.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.basicAuth) != has(self.bearerTokenSecret)")
        .message("auth is either basicAuth or bearerTokenSecret")
)]
pub struct Auth {
    /// User and password, as in RFC 7617.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BasicAuth")]
    pub basic_auth: Option<BasicAuth>,

    /// A token, as in RFC 6750.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SecretKey")]
    pub bearer_token_secret: Option<SecretKey>,
}

/// User and password.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct BasicAuth {
    /// The user. A colon cannot be part of it.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^[^:\x00-\x1f\x7f]+$"))]
    pub username: String,

    /// The password.
    pub password_secret: SecretKey,
}

impl Auth {
    /// What is wrong with it; `field` is its path.
    pub fn problems(&self, field: &str) -> Vec<SpecError> {
        let mut problems = Vec::new();
        if self.basic_auth.is_some() == self.bearer_token_secret.is_some() {
            let message = "auth is either basicAuth or bearerTokenSecret".to_owned();
            problems.push(SpecError { field: field.to_owned(), message });
        }
        if let Some(basic) = &self.basic_auth
            && basic.username.contains(|c: char| c == ':' || c.is_control())
        {
            let message = "a user name has neither colons nor control characters".to_owned();
            problems.push(SpecError { field: format!("{field}.basicAuth.username"), message });
        }
        problems
    }

    /// What it reads.
    pub fn secret(&self) -> Option<&SecretKey> {
        let basic = self.basic_auth.as_ref().map(|basic| &basic.password_secret);
        basic.or(self.bearer_token_secret.as_ref())
    }
}
