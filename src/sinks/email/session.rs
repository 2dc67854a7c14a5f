//! What is said to an SMTP server, and what its answers mean.
//!
//! `lettre` speaks; the order of commands is here, because a recipient that is refused must not keep the message from
//! the others, and because the same number means something else after another command.

use std::error::Error as _;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use lettre::Address;
use lettre::address::Envelope;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;

use super::{EmailAuth, EmailTls};
use crate::core::rules::one_line;
use crate::sinks::SendError;

/// How long one address of the server may take to answer; a name may have several, and one of them may be dead.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the server may take to say goodbye. The message has arrived by then.
const QUIT_TIMEOUT: Duration = Duration::from_secs(2);
/// Most bytes that are repeated of what a server says.
const MAX_ANSWER: usize = 300;
/// Most recipients that are named in an error.
const MAX_NAMED: usize = 3;

/// Where to connect to.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: EmailTls,
}

/// Who logs in. Has no `Debug`: it holds the password.
pub(super) struct Login {
    username: String,
    password: String,
    /// Which Secret it came from, for errors.
    source: String,
}

impl Login {
    pub(super) fn new(auth: &EmailAuth, password: &str) -> Self {
        let source = auth.password.to_string();
        Self { username: auth.username.clone(), password: password.to_owned(), source }
    }

    fn credentials(&self) -> Credentials {
        Credentials::new(self.username.clone(), self.password.clone())
    }

    /// What a server says, without the password in case it repeats what it was told.
    pub(super) fn without_password(&self, answer: &str) -> String {
        let both = format!("\0{}\0{}", self.username, self.password);
        let mut answer = answer.to_owned();
        for secret in [BASE64.encode(both), BASE64.encode(&self.password), self.password.clone()] {
            answer = answer.replace(&secret, "[password]");
        }
        answer
    }
}

/// What was being done when the server said no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Connect,
    StartTls,
    Login,
    Sender,
    Message,
}

impl Server {
    /// Hands one message over.
    ///
    /// # Errors
    /// As [`SendError`] says. When some recipients are refused for good and others are not, the others have the message,
    /// and the error names the refused.
    pub(super) async fn deliver(
        &self,
        hello: &str,
        tls: Option<TlsParameters>,
        login: Option<&Login>,
        envelope: &Envelope,
        message: &[u8],
    ) -> Result<(), SendError> {
        let hello = ClientId::Domain(hello.to_owned());
        let mut connection =
            self.connect(&hello, tls).await.map_err(|(step, e)| self.refusal(step, &e, login))?;
        let said = self.converse(&mut connection, login, envelope, message).await;
        // Says goodbye and closes; the answer changes nothing.
        let _ = tokio::time::timeout(QUIT_TIMEOUT, connection.abort()).await;
        said
    }

    async fn connect(
        &self,
        hello: &ClientId,
        tls: Option<TlsParameters>,
    ) -> Result<AsyncSmtpConnection, (Step, Error)> {
        let (at_once, later) = match self.tls {
            EmailTls::Tls => (tls, None),
            _ => (None, tls),
        };
        let address = (self.host.as_str(), self.port);
        let connection =
            AsyncSmtpConnection::connect_tokio1(address, Some(CONNECT_TIMEOUT), hello, at_once, None);
        let mut connection = connection.await.map_err(|e| (Step::Connect, e))?;
        if let Some(tls) = later {
            connection.starttls(tls, hello).await.map_err(|e| (Step::StartTls, e))?;
        }
        Ok(connection)
    }

    async fn converse(
        &self,
        connection: &mut AsyncSmtpConnection,
        login: Option<&Login>,
        envelope: &Envelope,
        message: &[u8],
    ) -> Result<(), SendError> {
        let refused = |step: Step| move |e: Error| self.refusal(step, &e, login);
        if let Some(login) = login {
            let login = login.credentials();
            connection.auth(DEFAULT_MECHANISMS, &login).await.map_err(refused(Step::Login))?;
        }
        let sender = Mail::new(envelope.from().cloned(), Vec::new());
        connection.command(sender).await.map_err(refused(Step::Sender))?;
        let mut unknown: Vec<(&Address, String)> = Vec::new();
        for recipient in envelope.to() {
            match connection.command(Rcpt::new(recipient.clone(), Vec::new())).await {
                Ok(_) => {}
                Err(e) if e.is_permanent() && !is_about_login(&e) => {
                    unknown.push((recipient, answer(&e, login)))
                }
                // All wait for one that may be taken later: what is sent twice would be read twice.
                Err(e) => return Err(self.refusal(Step::Message, &e, login)),
            }
        }
        if unknown.len() == envelope.to().len() {
            return Err(SendError::Permanent(format!("{self} refuses {}", named(&unknown))));
        }
        connection.command(Data).await.map_err(refused(Step::Message))?;
        connection.message(message).await.map_err(refused(Step::Message))?;
        if unknown.is_empty() {
            return Ok(());
        }
        let others = envelope.to().len() - unknown.len();
        Err(SendError::Permanent(format!(
            "{self} took the message for {others} of {} recipients and refuses {}; mend email.to",
            envelope.to().len(),
            named(&unknown)
        )))
    }

    fn refusal(&self, step: Step, error: &Error, login: Option<&Login>) -> SendError {
        let said = answer(error, login);
        let passing = |why: String| SendError::Passing { why, retry_after: None };
        let mend = || match login {
            Some(login) => format!("mend email.auth.username or {}", login.source),
            None => "give email.auth".to_owned(),
        };
        match step {
            // Nothing was said of the notice yet, so nothing of it is refused for good.
            Step::Connect => passing(format!("{self} cannot be reached: {said}{}", remedy(&said))),
            Step::StartTls if error.is_client() => passing(format!(
                "{self} offers no STARTTLS, so nothing is sent; give the port that does, or email.tls as Tls"
            )),
            Step::StartTls => passing(format!("{self} does not begin TLS: {said}{}", remedy(&said))),
            // Not an answer of the server: it offers no way to log in that is known here.
            Step::Login if error.is_client() => SendError::Credentials(format!(
                "{self} offers neither AUTH PLAIN nor AUTH LOGIN; leave out email.auth, or give the port that does"
            )),
            Step::Login if error.is_permanent() => {
                let who = login.map(|login| login.username.as_str()).unwrap_or_default();
                SendError::Credentials(format!("{self} refuses the login of {who}: {said}; {}", mend()))
            }
            Step::Login => passing(format!("{self} takes no login now: {said}")),
            _ if is_about_login(error) => {
                SendError::Credentials(format!("{self} wants a login: {said}; {}", mend()))
            }
            Step::Sender if error.is_permanent() => {
                SendError::Permanent(format!("{self} refuses the sender: {said}; mend email.from"))
            }
            Step::Message if error.is_permanent() => {
                SendError::Permanent(format!("{self} refuses the message: {said}"))
            }
            _ => passing(format!("{self} does not take the message now: {said}")),
        }
    }
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Authentication is required, too weak, refused, or needs encryption (RFC 4954, section 6).
fn is_about_login(error: &Error) -> bool {
    error.status().is_some_and(|code| matches!(code.into(), 530 | 534 | 535 | 538))
}

/// What a server said, with its number, or what went wrong with the connection: one line.
fn answer(error: &Error, login: Option<&Login>) -> String {
    // Every layer repeats what is below it, and the innermost says what it is.
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let text = match error.status() {
        Some(code) => format!("{code} {}", error.source().map(ToString::to_string).unwrap_or_default()),
        None => innermost.to_string(),
    };
    let text = match login {
        Some(login) => login.without_password(&text),
        None => text,
    };
    one_line(&text, MAX_ANSWER)
}

/// What to do about a certificate that is not trusted.
fn remedy(said: &str) -> &'static str {
    // Of an authority that was made anew under its old name, the signature is bad.
    if said.contains("UnknownIssuer") || said.contains("BadSignature") {
        "; give the certificate of the authority that issued it in email.ca"
    } else if said.contains("not valid for name") || said.contains("NotValidForName") {
        "; email.host must be a name that the certificate has"
    } else {
        ""
    }
}

fn named(refused: &[(&Address, String)]) -> String {
    let shown = refused.iter().take(MAX_NAMED).map(|(address, said)| format!("{address} ({said})"));
    let mut named = shown.collect::<Vec<_>>().join(", ");
    if refused.len() > MAX_NAMED {
        named.push_str(&format!(" and {} more", refused.len() - MAX_NAMED));
    }
    named
}
