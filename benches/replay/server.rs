//! The API server as a process of its own, so that what it uses is not counted as anybody else's: this program,
//! started again. It ends when its standard input does, which is when the harness ends, however that happens.

use std::io::{BufRead, BufReader, Write, stdin, stdout};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;

use axum::serve::ListenerExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;

use super::api::{Cluster, router};
use super::play::{Play, Played, Setup};

/// The argument that makes this program the server.
pub const ARGUMENT: &str = "serve";

/// The running server.
pub struct Server {
    child: Child,
    plays: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// Where it listens on 127.0.0.1.
    pub port: u16,
}

impl Server {
    /// Starts it.
    pub fn start(setup: &Setup) -> Self {
        let program = std::env::current_exe().expect("this program has a path");
        let mut command = Command::new(program);
        command.arg(ARGUMENT).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("this program can be started again");
        let mut plays = child.stdin.take().expect("its input is a pipe");
        let mut answers = BufReader::new(child.stdout.take().expect("its output is a pipe"));
        write(&mut plays, setup);
        let port = read(&mut answers).expect("the server says where it listens");
        Self { child, plays, answers, port }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends this next on the watch of Pods.
    pub fn play(&mut self, play: &Play) {
        write(&mut self.plays, play);
    }

    /// Waits until the oldest play that was not waited for is sent.
    pub fn played(&mut self) -> Played {
        read(&mut self.answers).expect("the server plays as long as it is asked to")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails only for a process that has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves until standard input ends.
pub fn serve() {
    let mut lines = BufReader::new(stdin());
    let setup = read(&mut lines).expect("the harness says what is in the cluster");
    let (plays, played) = mpsc::channel();
    // The runtime writes to connections; the watch of Pods is made by a thread of its own.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("threads can be started");
    let app = router(Cluster::new(setup, played, |played| write(&mut stdout(), &played)));
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port of 127.0.0.1");
    let port = listener.local_addr().expect("a listener has an address").port();
    let listener = listener.tap_io(|connection| {
        // A small block must not wait for the next one.
        connection.set_nodelay(true).expect("a connection of TCP");
    });
    runtime.spawn(async move { axum::serve(listener, app).await });
    write(&mut stdout(), &port);
    while let Some(play) = read(&mut lines) {
        plays.send(play).expect("somebody watches Pods");
    }
}

fn write(to: &mut impl Write, message: &impl Serialize) {
    let line = serde_json::to_string(message).expect("a message is JSON") + "\n";
    to.write_all(line.as_bytes()).and_then(|()| to.flush()).expect("the other process runs");
}

/// None at the end.
fn read<T: DeserializeOwned>(from: &mut impl BufRead) -> Option<T> {
    let mut line = String::new();
    from.read_line(&mut line).expect("a pipe can be read");
    (!line.is_empty()).then(|| serde_json::from_str(&line).expect("a message of the other process"))
}
