//! What the server can do at most: its watch, read by a client that looks at nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::play::{Play, Setup};
use super::server::Server;
use super::support::process::usage;

/// Bytes read at once.
const BLOCK: usize = 256 * 1024;
/// A server that sends nothing for so long has failed.
const SILENCE: Duration = Duration::from_secs(30);

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Ceiling {
    /// Events.
    pub events: u32,
    /// Their bytes.
    pub bytes: u64,
    /// Until all was read.
    pub seconds: f64,
    /// CPU of the server.
    pub server_cpu_seconds: f64,
}

/// Reads a list of so many Pods.
pub fn run(events: u32) -> Ceiling {
    let mut server = Server::start(&Setup { policies: Vec::new() });
    let mut connection = TcpStream::connect(("127.0.0.1", server.port)).expect("the server listens");
    connection.set_read_timeout(Some(SILENCE)).expect("a timeout that is not zero");
    let request = b"GET /api/v1/pods?watch=true&sendInitialEvents=true HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    connection.write_all(request).expect("the server reads");
    let start = Instant::now();
    server.play(&Play::Added(0..events));
    server.play(&Play::Synced);
    let mut buffer = vec![0; BLOCK];
    // What was read last, since the mark of the end may come in two pieces.
    let mut tail = Vec::new();
    while !tail.windows(END.len()).any(|window| window == END) {
        let read = connection.read(&mut buffer).expect("the server sends");
        assert!(read > 0, "the server ends no watch");
        tail.extend_from_slice(&buffer[read.saturating_sub(END.len() * 8)..read]);
        tail.drain(..tail.len().saturating_sub(END.len() * 16));
    }
    let seconds = start.elapsed().as_secs_f64();
    let server_cpu_seconds = usage(server.pid()).expect("the server runs").cpu.as_secs_f64();
    Ceiling { events, bytes: server.played().bytes, seconds, server_cpu_seconds }
}

/// In the bookmark that ends a list, and in no Pod.
const END: &[u8] = b"initial-events-end";

/// Prints it.
pub fn print(ceiling: &Ceiling) {
    println!(
        "\nThe server's own ceiling: {:.0} events and {:.0} MB a second ({} bytes each), {:.0} events a CPU second",
        f64::from(ceiling.events) / ceiling.seconds,
        ceiling.bytes as f64 / ceiling.seconds / 1e6,
        ceiling.bytes / u64::from(ceiling.events),
        f64::from(ceiling.events) / ceiling.server_cpu_seconds
    );
}
