//! Plain HTTP to a port of 127.0.0.1: metrics and health of the operator, the gateway of etcd, what receives alerts.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longer than any answer takes; a server that accepts and says nothing must not hang a test.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// The lines after the first one.
    head: String,
    /// Body, whatever it is.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut pairs = self.head.lines().filter_map(|line| line.split_once(':'));
        pairs.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// The body as text.
    ///
    /// # Errors
    /// When it is not UTF-8.
    pub fn text(self) -> io::Result<String> {
        String::from_utf8(self.body).map_err(io::Error::other)
    }
}

/// Status code and body of `GET path`.
pub async fn get(port: u16, path: &str) -> io::Result<(u16, String)> {
    get_accepting(port, path, "*/*").await
}

/// Status code and body of `GET path` in a form that is asked for.
pub async fn get_accepting(port: u16, path: &str, accept: &str) -> io::Result<(u16, String)> {
    let answer = send(port, "GET", path, &[("Accept", accept)], b"").await?;
    Ok((answer.status, answer.text()?))
}

/// Status code and body of `GET path`, whatever the body is.
pub async fn get_bytes(port: u16, path: &str) -> io::Result<(u16, Vec<u8>)> {
    let answer = send(port, "GET", path, &[], b"").await?;
    Ok((answer.status, answer.body))
}

/// Status code and body of `POST path` with a JSON body.
pub async fn post(port: u16, path: &str, body: &str) -> io::Result<(u16, String)> {
    let answer = send(port, "POST", path, &[("Content-Type", "application/json")], body.as_bytes()).await?;
    Ok((answer.status, answer.text()?))
}

/// Any request. It is HTTP/1.0, so that the answer ends with the connection and is never chunked.
pub async fn send(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Answer> {
    let mut request = format!("{method} {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    if method != "GET" {
        request.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    let mut request = request.into_bytes();
    request.extend_from_slice(b"\r\n");
    request.extend_from_slice(body);
    let exchange = move || {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.write_all(&request)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        parse(&answer).ok_or_else(|| {
            let answer = String::from_utf8_lossy(&answer);
            io::Error::new(io::ErrorKind::InvalidData, format!("no HTTP answer from port {port}: {answer:?}"))
        })
    };
    tokio::task::spawn_blocking(exchange).await.map_err(io::Error::other)?
}

fn parse(answer: &[u8]) -> Option<Answer> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let (first, head) = head.split_once("\r\n").unwrap_or((head, ""));
    let status = first.strip_prefix("HTTP/")?.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, head: head.to_owned(), body: answer[end + 4..].to_vec() })
}
