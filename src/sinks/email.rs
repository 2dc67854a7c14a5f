//! Mail by SMTP (RFC 5321): one connection and one message for each notice.
//!
//! Nothing is kept between messages, so that a password or a certificate that is exchanged counts from the next one on.
//! Mail programs show the messages of one group as a thread (RFC 5322, section 3.6.4), and those that know the identity
//! of a message show one that was sent twice once.

mod session;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::SystemTime;

use futures::FutureExt;
use futures::future::BoxFuture;
use kube::KubeSchema;
use lettre::Address;
use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, SinglePart};
use lettre::transport::smtp::client::{Certificate, CertificateStore, TlsParameters};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::session::{Login, Server};
use super::text::{Template, default_text, default_title};
use super::{Receipt, SecretKey, Secrets, SendError, Sink, SpecError};
use crate::core::alert::Notice;
use crate::core::rules::one_line;

/// Most recipients of one sink.
pub const MAX_RECIPIENTS: usize = 32;
/// Most bytes of a subject. RFC 5322 asks for lines below 998; people see about 100.
const MAX_SUBJECT: usize = 300;

const IS_ADDRESS: &str = "self.matches('^([^@<>]*<)?[^@<>, ]+@[^@<>, ]+>?$')";
const NO_ADDRESS: &str =
    "must be one address such as alerts@example.com, or with a name: Alerts <alerts@example.com>";

/// Sends mail through an SMTP server.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.auth) || self.tls != 'None'")
        .message("auth needs tls: with None anybody on the way could read the password"),
    validation = Rule::new("!has(self.ca) || self.tls != 'None'")
        .message("ca belongs to tls: with None no certificate is looked at")
)]
pub struct EmailConfig {
    /// Name or address of the SMTP server, such as "smtp.example.com". The certificate of the server must be for it.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(
        validation = Rule::new("self.matches('^([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)$')")
            .message("host must be a name such as smtp.example.com, or an address; the port is given in port")
    )]
    pub host: String,

    /// Port of the server. Absent: 587 for StartTls, 465 for Tls, and 25 for None.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,

    /// How the connection is encrypted. StartTls: it begins in the clear and is encrypted before anything is said;
    /// without that nothing is sent. Tls: encrypted from the first byte on. None: not at all, for a relay on the
    /// loopback only, such as a sidecar: anybody on the way can read what objects of the cluster say.
    #[serde(default)]
    pub tls: EmailTls,

    /// Certificates in PEM of the authorities that may have issued the certificate of the server, in place of those
    /// that the image of polywatch brings. For servers with an authority of your own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<SecretKey>,

    /// Who to log in as. Absent: the server takes mail without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<EmailAuth>,

    /// Address of the sender, such as "alerts@example.com" or "Alerts <alerts@example.com>". Undeliverable mail goes
    /// there.
    #[schemars(length(min = 3, max = 320))]
    #[x_kube(validation = Rule::new(IS_ADDRESS).message(NO_ADDRESS))]
    pub from: String,

    /// Addresses of the recipients. When the server knows some of them only, those get the message, and the sink says
    /// who did not.
    #[schemars(length(min = 1, max = MAX_RECIPIENTS), inner(length(min = 3, max = 320)))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new("self.all(a, a.matches('^([^@<>]*<)?[^@<>, ]+@[^@<>, ]+>?$'))").message(NO_ADDRESS)
    )]
    pub to: Vec<String>,

    /// Template of the subject, in the language of Jinja, such as "[{{ severity }}] {{ policy }} {{ group }}". Line
    /// breaks become spaces. Absent: what is new, as in title. Gmail shows mail as one conversation only while the
    /// subject stays the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8192))]
    pub subject: Option<String>,

    /// Template of the message, in the language of Jinja: plain text of at most 64 KiB. It reads the notice as webhooks
    /// get it, and also severity, title and text (what is sent without a template), and subject of each finding. Absent:
    /// a list of what is new, changed, resolved, occurred and open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8192))]
    pub text: Option<String>,
}

/// How a connection to an SMTP server is encrypted.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EmailTls {
    /// The connection is encrypted by the command STARTTLS, or nothing is sent.
    #[default]
    StartTls,
    /// The connection is encrypted from the beginning.
    Tls,
    /// The connection is not encrypted.
    None,
}

impl EmailTls {
    fn port(self) -> u16 {
        match self {
            Self::StartTls => 587,
            Self::Tls => 465,
            Self::None => 25,
        }
    }
}

/// Who to log in as, by AUTH PLAIN or AUTH LOGIN.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct EmailAuth {
    /// Name of the user.
    #[schemars(length(min = 1, max = 256))]
    pub username: String,

    /// The password.
    pub password: SecretKey,
}

/// Sends mail.
#[derive(Debug)]
pub struct Email {
    server: Server,
    ca: Option<SecretKey>,
    auth: Option<EmailAuth>,
    from: Mailbox,
    to: Vec<Mailbox>,
    subject: Option<Template>,
    text: Option<Template>,
}

impl Email {
    /// Takes the spec.
    ///
    /// # Errors
    /// All that is wrong with it, below `email`.
    pub fn new(config: &EmailConfig) -> Result<Self, Vec<SpecError>> {
        let mut errors = Vec::new();
        let mut refuse = |field: &str, message: String| {
            errors.push(SpecError { field: format!("email.{field}"), message });
        };
        if config.host.is_empty() || config.host.contains(|c: char| !c.is_ascii_graphic() || c == '/') {
            refuse("host", format!("{:?} is no name of a server such as smtp.example.com", config.host));
        }
        if config.tls == EmailTls::None && config.auth.is_some() {
            refuse("auth", "needs tls: with None anybody on the way could read the password".to_owned());
        }
        let from = mailbox(&config.from).map_err(|why| refuse("from", why)).ok();
        let mut to = Vec::new();
        let mut seen = BTreeSet::new();
        for (n, recipient) in config.to.iter().enumerate() {
            match mailbox(recipient) {
                Ok(recipient) if seen.insert(recipient.email.to_string()) => to.push(recipient),
                Ok(recipient) => refuse(&format!("to[{n}]"), format!("{} is given before", recipient.email)),
                Err(why) => refuse(&format!("to[{n}]"), why),
            }
        }
        if config.to.is_empty() || config.to.len() > MAX_RECIPIENTS {
            refuse("to", format!("has {} addresses; give 1 to {MAX_RECIPIENTS}", config.to.len()));
        }
        let mut template = |field: &str, source: &Option<String>| {
            let template = source.as_ref().map(|source| Template::new(&format!("email.{field}"), source));
            template.transpose().map_err(|error| errors.push(error)).ok().flatten()
        };
        let subject = template("subject", &config.subject);
        let text = template("text", &config.text);
        let server = Server {
            host: config.host.clone(),
            port: config.port.unwrap_or_else(|| config.tls.port()),
            tls: config.tls,
        };
        match from {
            Some(from) if errors.is_empty() => {
                Ok(Self { server, ca: config.ca.clone(), auth: config.auth.clone(), from, to, subject, text })
            }
            _ => Err(errors),
        }
    }

    /// The message for a notice, and its Message-ID. Sent again it is the same message.
    fn message(&self, notice: &Notice) -> Result<(Message, String), SendError> {
        let id = message_id(&notice.id, &self.from.email);
        let (subject, text) = self.written(notice);
        let mut builder = Message::builder()
            .message_id(Some(id.clone()))
            .date(SystemTime::from(notice.time).max(SystemTime::UNIX_EPOCH))
            .from(self.from.clone())
            .subject(subject)
            // RFC 3834: nobody is out of office for it.
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ));
        for recipient in &self.to {
            builder = builder.to(recipient.clone());
        }
        if let Some(first) = notice.reference.as_ref().filter(|first| is_message_id(first) && **first != id) {
            builder = builder.in_reply_to(first.clone()).references(first.clone());
        }
        let message = builder
            .singlepart(SinglePart::plain(text))
            .map_err(|e| SendError::Permanent(format!("the message cannot be made: {e}")))?;
        Ok((message, id))
    }

    /// Subject and text. A plain message is better than none when a template fails that did not when it was tried.
    fn written(&self, notice: &Notice) -> (String, String) {
        let mut failed = Vec::new();
        let mut write = |template: &Option<Template>, default: fn(&Notice) -> String| {
            let written = template.as_ref().map(|template| template.render(notice));
            written
                .transpose()
                .map_err(|error| failed.push(error))
                .ok()
                .flatten()
                .unwrap_or_else(|| default(notice))
        };
        let subject = one_line(&write(&self.subject, default_title), MAX_SUBJECT);
        let mut text = write(&self.text, default_text);
        for error in failed {
            let _ =
                write!(text, "\n\nThis is not what the sink is to send, because a template failed: {error}");
        }
        (subject, text)
    }

    async fn deliver(&self, notice: &Notice, secrets: &Secrets) -> Result<Receipt, SendError> {
        let (message, id) = self.message(notice)?;
        let login = match &self.auth {
            Some(auth) => Some(Login::new(auth, secrets.text(&auth.password)?)),
            None => None,
        };
        let tls = self.tls(secrets).await?;
        let hello = self.from.email.domain();
        let envelope = Envelope::new(
            Some(self.from.email.clone()),
            self.to.iter().map(|recipient| recipient.email.clone()).collect(),
        )
        .map_err(|e| SendError::Permanent(e.to_string()))?;
        self.server.deliver(hello, tls, login.as_ref(), &envelope, &message.formatted()).await?;
        Ok(Receipt { reference: Some(notice.reference.clone().unwrap_or(id)) })
    }

    /// What the certificate of the server is judged by.
    async fn tls(&self, secrets: &Secrets) -> Result<Option<TlsParameters>, SendError> {
        if self.server.tls == EmailTls::None {
            return Ok(None);
        }
        let mut builder = TlsParameters::builder(self.server.host.clone());
        if let Some(ca) = &self.ca {
            let no_ca = || SendError::Credentials(format!("{ca} is not a certificate in PEM"));
            let pem = secrets.bytes(ca)?;
            // Text without any certificate is read as none.
            if !pem.windows(BEGIN.len()).any(|window| window == BEGIN) {
                return Err(no_ca());
            }
            let certificate = Certificate::from_pem(pem).map_err(|_| no_ca())?;
            builder = builder.certificate_store(CertificateStore::None).add_root_certificate(certificate);
        }
        // Reads the certificates of the system from files.
        let built = tokio::task::spawn_blocking(move || builder.build()).await;
        match built {
            Ok(Ok(tls)) => Ok(Some(tls)),
            Ok(Err(e)) => {
                let whose =
                    self.ca.as_ref().map_or("the certificates of the system".to_owned(), ToString::to_string);
                Err(SendError::Credentials(format!(
                    "{whose} cannot be used: {}",
                    one_line(&e.to_string(), 200)
                )))
            }
            Err(_) => Err(SendError::Passing {
                why: "the certificates of the system were not read".to_owned(),
                retry_after: None,
            }),
        }
    }
}

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";

impl Sink for Email {
    fn kind(&self) -> &'static str {
        "email"
    }

    fn secrets(&self) -> Vec<SecretKey> {
        self.ca.iter().chain(self.auth.as_ref().map(|auth| &auth.password)).cloned().collect()
    }

    fn send<'a>(
        &'a self,
        notice: &'a Notice,
        secrets: &'a Secrets,
    ) -> BoxFuture<'a, Result<Receipt, SendError>> {
        self.deliver(notice, secrets).boxed()
    }
}

/// Reads one address, with or without a name.
fn mailbox(text: &str) -> Result<Mailbox, String> {
    let no_address = || format!("{:?} {NO_ADDRESS}", one_line(text, 100));
    let mailbox: Mailbox = text.trim().parse().map_err(|_| no_address())?;
    let address: &str = mailbox.email.as_ref();
    if !text.trim().trim_end_matches('>').ends_with(address) || text.contains(char::is_control) {
        return Err(no_address());
    }
    if !address.is_ascii() {
        return Err(format!("{address} has letters that not every server takes; write the domain as xn--…"));
    }
    Ok(mailbox)
}

/// The same for the same notice. What may not stand in it is replaced.
fn message_id(notice: &str, from: &Address) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '-' };
    let left: String = notice.chars().map(plain).take(128).collect();
    format!("<{left}@{}>", from.domain())
}

/// Whether a text can stand in a header that refers to a message.
fn is_message_id(text: &str) -> bool {
    let inner = text.strip_prefix('<').and_then(|text| text.strip_suffix('>'));
    inner.is_some_and(|inner| {
        inner.len() < 500 && inner.chars().all(|c| c.is_ascii_graphic() && !"<>".contains(c))
    })
}
