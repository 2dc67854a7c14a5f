//! The one way in which sinks speak HTTP.
//!
//! In: an address, headers and a body. Out: what was answered, or why nothing was, in a text without any credential.
//! Sinks call it. It follows no redirect, since credentials would follow, reads no more than [`MAX_BODY`] of an answer,
//! and retries nothing.

pub mod address;
pub mod answer;
pub mod config;
pub mod mask;

use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Certificate, ClientBuilder, Response};

pub use address::Address;
pub use answer::{Answer, MAX_BODY, MAX_SHOWN};
pub use config::{Auth, BasicAuth, Tls};
pub use mask::Mask;

use super::{SecretKey, Secrets, SendError};

/// Longest until there is a connection, with the handshake of TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest that a request takes. Whoever calls may allow less.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Longest that the rest of an answer takes whose status is known.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// Most clients that are kept: one for each way to trust that was used last.
const MAX_CLIENTS: usize = 2;
const USER_AGENT: &str = concat!("polywatch/", env!("CARGO_PKG_VERSION"));

/// Whose word counts for the identity of a destination.
#[derive(Clone, PartialEq, Eq)]
enum Trust {
    /// There is no TLS. The authorities of the system are not read, which may have none.
    Plain,
    /// The authorities of the system.
    System,
    /// These, in PEM.
    Only(Vec<u8>),
    /// Everybody.
    Anybody,
}

/// Sends requests. Connections are kept for as long as it lives and those whom it trusts are the same.
pub struct Http {
    tls: Tls,
    auth: Option<Auth>,
    clients: Mutex<Vec<(Trust, reqwest::Client)>>,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("tls", &self.tls).field("auth", &self.auth).finish_non_exhaustive()
    }
}

impl Http {
    /// With what users wrote of the connection.
    pub fn new(tls: Option<&Tls>, auth: Option<&Auth>) -> Self {
        Self { tls: tls.cloned().unwrap_or_default(), auth: auth.cloned(), clients: Mutex::default() }
    }

    /// The Secrets that it reads for each request.
    pub fn secrets(&self) -> Vec<SecretKey> {
        let auth = self.auth.as_ref().and_then(Auth::secret);
        self.tls.ca.iter().chain(auth).cloned().collect()
    }

    /// Posts a body to an address. What `mask` hides is in no error: see [`Self::mask`].
    ///
    /// # Errors
    /// When there is no answer, which may pass, or when a credential is missing. What status the answer has is not
    /// judged: see [`Answer::accepted`].
    pub async fn post<'m>(
        &self,
        address: &Address,
        mut headers: HeaderMap,
        body: Vec<u8>,
        secrets: &Secrets,
        mask: &'m Mask,
    ) -> Result<Answer<'m>, SendError> {
        if let Some(auth) = &self.auth {
            headers.insert(AUTHORIZATION, authorization(auth, secrets)?);
        }
        let client = self.client(address, secrets)?;
        let request = client.post(address.url.clone()).headers(headers).body(body);
        let response =
            request.send().await.map_err(|error| unanswered(address.name(), error.without_url(), mask))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let (body, cut) = read(response).await;
        Ok(Answer { name: address.name().to_owned(), status, headers, body, cut, mask })
    }

    /// A mask of everything that its requests are made of, and of what `others` name.
    pub fn mask(&self, secrets: &Secrets, others: &[SecretKey]) -> Mask {
        let auth = self.auth.as_ref().and_then(Auth::secret).cloned();
        let keys: Vec<_> = auth.into_iter().chain(others.iter().cloned()).collect();
        let mut mask = Mask::new(secrets, &keys);
        // Where it is the last word of a header: user and password together.
        if let Some(Ok(header)) = self.auth.as_ref().map(|auth| authorization(auth, secrets))
            && let Ok(text) = header.to_str()
            && let Some((_, credentials)) = text.split_once(' ')
        {
            mask.hide(credentials);
        }
        mask
    }

    fn client(&self, address: &Address, secrets: &Secrets) -> Result<reqwest::Client, SendError> {
        let trust = match &self.tls {
            _ if address.url.scheme() == "http" => Trust::Plain,
            Tls { insecure_skip_verify: true, .. } => Trust::Anybody,
            Tls { ca: Some(key), .. } => Trust::Only(secrets.bytes(key)?.to_vec()),
            Tls { ca: None, .. } => Trust::System,
        };
        // A panic elsewhere leaves the list as good as it was.
        let mut clients = self.clients.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, client)) = clients.iter().find(|(known, _)| *known == trust) {
            return Ok(client.clone());
        }
        let client = self.build(address, &trust)?;
        if clients.len() >= MAX_CLIENTS {
            clients.remove(0);
        }
        clients.push((trust, client.clone()));
        Ok(client)
    }

    fn build(&self, address: &Address, trust: &Trust) -> Result<reqwest::Client, SendError> {
        // The one that is in the binary; that another came first does not matter.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .redirect(Policy::none())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT);
        let builder = match trust {
            Trust::Plain => builder.tls_certs_only([]),
            Trust::System => builder,
            Trust::Anybody => builder.tls_danger_accept_invalid_certs(true),
            Trust::Only(pem) => self.trusting(builder, pem)?,
        };
        builder.build().map_err(|error| match trust {
            Trust::Only(_) => self.no_authority(),
            _ => {
                let why = format!("{} can not be asked: {}", address.name(), innermost(&error));
                SendError::Passing { why, retry_after: None }
            }
        })
    }

    fn trusting(&self, builder: ClientBuilder, pem: &[u8]) -> Result<ClientBuilder, SendError> {
        let certificates = Certificate::from_pem_bundle(pem).unwrap_or_default();
        if certificates.is_empty() {
            Err(self.no_authority())
        } else {
            Ok(builder.tls_certs_only(certificates))
        }
    }

    fn no_authority(&self) -> SendError {
        let key = self.tls.ca.as_ref().map(ToString::to_string).unwrap_or_default();
        SendError::Credentials(format!(
            "{key} has no certificates in PEM; tls.ca must name those of the authorities to trust"
        ))
    }
}

/// The value of a header that is made of a Secret, marked so that nothing shows it.
///
/// # Errors
/// When it has characters that a header cannot have, as RFC 9110 has it.
pub fn secret_header(key: &SecretKey, text: &str) -> Result<HeaderValue, SendError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        SendError::Credentials(format!(
            "{key} has characters that a header can not have, such as a line break"
        ))
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn authorization(auth: &Auth, secrets: &Secrets) -> Result<HeaderValue, SendError> {
    match auth {
        Auth { basic_auth: Some(BasicAuth { username, password_secret: key }), .. } => {
            let pair = format!("{username}:{}", secrets.text(key)?);
            secret_header(key, &format!("Basic {}", base64(&pair)))
        }
        Auth { bearer_token_secret: Some(key), .. } => {
            secret_header(key, &format!("Bearer {}", secrets.text(key)?))
        }
        Auth { .. } => Err(SendError::Credentials("auth names no Secret".to_owned())),
    }
}

fn base64(text: &str) -> String {
    use ::base64::Engine;
    ::base64::engine::general_purpose::STANDARD.encode(text)
}

/// What is read of an answer within the bounds, and whether there is more. Its status counts also when the rest of it
/// never comes: a notice that was taken is not sent again for that.
async fn read(mut response: Response) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    let whole = tokio::time::timeout(BODY_TIMEOUT, async {
        while let Ok(chunk) = response.chunk().await {
            let Some(chunk) = chunk else { return true };
            let room = MAX_BODY - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                return false;
            }
        }
        false
    });
    let whole = whole.await.unwrap_or(false);
    (body, !whole)
}

fn unanswered(name: &str, error: reqwest::Error, mask: &Mask) -> SendError {
    let said = innermost(&error);
    let remedy = if said.contains("invalid peer certificate") {
        "; tls.ca names the authorities to trust, if they are not those of the system"
    } else {
        ""
    };
    let said = match () {
        () if error.is_timeout() && error.is_connect() => {
            format!("no connection within {} s", CONNECT_TIMEOUT.as_secs())
        }
        () if error.is_timeout() => format!("no answer within {} s", TIMEOUT.as_secs()),
        () => mask.line(said.as_bytes(), false, MAX_SHOWN),
    };
    SendError::Passing { why: format!("{name} gives no answer: {said}{remedy}"), retry_after: None }
}

/// The cause of an error, which says more than "error sending request".
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests;
