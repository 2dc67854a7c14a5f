//! A real mail server (exim), which tests send to and read the mailboxes of. It comes from
//! `tests/receivers/smtp/install.sh`, and what it does is in `tests/receivers/smtp/exim.conf`.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::process::{Process, free_port};
use super::run_dir::RunDir;
use super::tls::Authority;
use super::wait::eventually;

const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Long enough for a loaded machine to deliver one message.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);

/// Takes mail for `oncall@mail.test` and `boss@mail.test` from who logs in. Ends with its value.
pub struct MailServer {
    // Dropped from top to bottom: the server before its folder.
    process: Process,
    dir: RunDir,
    port: u16,
    tls_port: u16,
    authority: Authority,
}

impl MailServer {
    /// Who may log in.
    pub const USER: &str = "alerts";
    /// The password of [`Self::USER`].
    pub const PASSWORD: &str = "correct-horse-9";
    /// The name that its certificate is for; it listens on the address of it.
    pub const HOST: &str = "localhost";

    /// Starts one for the calling test.
    ///
    /// # Panics
    /// If it is not installed.
    pub async fn start() -> MailServer {
        let test = std::thread::current().name().unwrap_or("test").replace("::", "-");
        let dir = RunDir::create(&test);
        let authority = Authority::new();
        let (certificate, key) = authority.issue(&[Self::HOST]);
        let state = dir.state();
        for (name, text) in [
            ("tls.crt", certificate),
            ("tls.key", key),
            ("users", format!("{}: {}\n", Self::USER, Self::PASSWORD)),
            ("mailboxes", "oncall: oncall\nboss: boss\n".to_owned()),
        ] {
            let path = state.join(name);
            std::fs::write(&path, text).unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let log = dir.log("exim");
        let (port, tls_port) = (free_port(), free_port());
        let mut command = Command::new(root.join("tests/receivers/smtp/start.sh"));
        command.arg(&state).arg(log.with_file_name("")).arg(port.to_string()).arg(tls_port.to_string());
        let process = Process::start("the mail server", command, log);
        let mut server = MailServer { process, dir, port, tls_port, authority };
        eventually("the mail server answers", START_TIMEOUT, async || {
            server.process.assert_running();
            greeting(server.port).await
        })
        .await;
        server
    }

    /// The port that begins in the clear.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port that is encrypted from the beginning.
    pub fn tls_port(&self) -> u16 {
        self.tls_port
    }

    /// The certificate of the authority that issued its certificate, in PEM.
    pub fn ca(&self) -> String {
        self.authority.pem()
    }

    /// It takes connections and says nothing until [`MailServer::resume`].
    pub fn pause(&self) {
        self.process.pause();
    }

    /// The end of [`MailServer::pause`].
    pub fn resume(&self) {
        self.process.resume();
    }

    /// What is in a mailbox, in any order.
    pub fn mails(&self, mailbox: &str) -> Vec<Mail> {
        let folder = self.dir.state().join("mail").join(mailbox).join("new");
        let Ok(entries) = std::fs::read_dir(&folder) else { return Vec::new() };
        let paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.iter().map(|path| Mail::read(path)).collect()
    }

    /// The message with this Message-ID, as soon as it is in the mailbox.
    pub async fn mail(&self, mailbox: &str, id: &str) -> Mail {
        eventually(&format!("{mailbox} has {id}"), DELIVERY_TIMEOUT, async || {
            let mails = self.mails(mailbox);
            let ids: Vec<_> = mails.iter().map(|mail| mail.header("Message-ID").map(str::to_owned)).collect();
            let found = mails.into_iter().find(|mail| mail.header("Message-ID") == Some(id));
            found.ok_or_else(|| format!("it has {ids:?}"))
        })
        .await
    }
}

/// Whether a server greets.
async fn greeting(port: u16) -> Result<(), String> {
    let ask = move || {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        Ok::<_, std::io::Error>(line)
    };
    match tokio::task::spawn_blocking(ask).await.expect("no panic") {
        Ok(line) if line.starts_with("220 ") => Ok(()),
        Ok(line) => Err(format!("it says {line:?}")),
        Err(e) => Err(e.to_string()),
    }
}

/// A message as it was delivered.
#[derive(Debug, Clone)]
pub struct Mail {
    headers: Vec<(String, String)>,
    /// The text, decoded, with plain line breaks.
    pub body: String,
}

impl Mail {
    fn read(path: &Path) -> Mail {
        let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let text = text.replace("\r\n", "\n");
        let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
        let unfolded = head.replace("\n ", " ").replace("\n\t", " ");
        let pairs = unfolded.lines().filter_map(|line| line.split_once(": "));
        let headers = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut mail = Mail { headers, body: String::new() };
        mail.body = match mail.header("Content-Transfer-Encoding") {
            Some("quoted-printable") => quoted_printable(body),
            Some("base64") => {
                let letters: String = body.split_whitespace().collect();
                let bytes = BASE64.decode(letters).expect("base64");
                String::from_utf8(bytes).expect("UTF-8").replace("\r\n", "\n")
            }
            _ => body.to_owned(),
        };
        mail
    }

    /// The first header of a name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter().filter(|(there, _)| there.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.as_str())
    }
}

fn quoted_printable(text: &str) -> String {
    let joined = text.replace("=\n", "");
    let mut bytes = Vec::new();
    let mut rest = joined.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match code.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) if *first == b'=' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}
