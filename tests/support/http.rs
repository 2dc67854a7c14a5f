//! Plain HTTP to a port of 127.0.0.1: metrics and health of the operator, the gateway of etcd.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longer than any answer takes; a server that accepts and says nothing must not hang a test.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Status code and body of `GET path`.
pub async fn get(port: u16, path: &str) -> io::Result<(u16, String)> {
    text(get_bytes(port, path).await?)
}

/// Status code and body of `GET path`, whatever the body is.
pub async fn get_bytes(port: u16, path: &str) -> io::Result<(u16, Vec<u8>)> {
    request(port, format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")).await
}

/// Status code and body of `POST path` with a JSON body.
pub async fn post(port: u16, path: &str, body: &str) -> io::Result<(u16, String)> {
    let length = body.len();
    let head = "Host: 127.0.0.1\r\nContent-Type: application/json";
    let request = self::request(
        port,
        format!("POST {path} HTTP/1.0\r\n{head}\r\nContent-Length: {length}\r\n\r\n{body}"),
    );
    text(request.await?)
}

fn text((status, body): (u16, Vec<u8>)) -> io::Result<(u16, String)> {
    Ok((status, String::from_utf8(body).map_err(io::Error::other)?))
}

/// HTTP/1.0, so that the answer ends with the connection and is never chunked.
async fn request(port: u16, request: String) -> io::Result<(u16, Vec<u8>)> {
    let exchange = move || {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        parse(&answer).ok_or_else(|| {
            let answer = String::from_utf8_lossy(&answer);
            io::Error::other(format!("no HTTP answer from port {port}: {answer:?}"))
        })
    };
    tokio::task::spawn_blocking(exchange).await.map_err(io::Error::other)?
}

fn parse(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, answer[end + 4..].to_vec()))
}
