//! Plain HTTP to a port of 127.0.0.1: metrics and health of the operator, the gateway of etcd.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longer than any answer takes; a server that accepts and says nothing must not hang a test.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Status code and body of `GET path`.
pub async fn get(port: u16, path: &str) -> io::Result<(u16, String)> {
    request(port, format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")).await
}

/// Status code and body of `POST path` with a JSON body.
pub async fn post(port: u16, path: &str, body: &str) -> io::Result<(u16, String)> {
    let length = body.len();
    let head = "Host: 127.0.0.1\r\nContent-Type: application/json";
    request(port, format!("POST {path} HTTP/1.0\r\n{head}\r\nContent-Length: {length}\r\n\r\n{body}")).await
}

/// HTTP/1.0, so that the answer ends with the connection and is never chunked.
async fn request(port: u16, request: String) -> io::Result<(u16, String)> {
    let exchange = move || {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        parse(&answer).ok_or_else(|| io::Error::other(format!("no HTTP answer from port {port}: {answer:?}")))
    };
    tokio::task::spawn_blocking(exchange).await.map_err(io::Error::other)?
}

fn parse(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}
