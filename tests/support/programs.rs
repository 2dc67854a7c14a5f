//! Where the programs are that receive alerts and metrics, and how they live in a test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::http;
use super::process::{Process, free_port};
use super::run_dir::RunDir;
use super::wait::eventually;

/// Typically below a second; a machine that compiles at the same time needs more.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// One program, by the name that `tests/receivers/install.sh` gives it.
///
/// # Panics
/// If it is not there, with what to do.
pub fn program(name: &str) -> PathBuf {
    let set = std::env::var_os("POLYWATCH_RECEIVERS").filter(|folder| !folder.is_empty());
    let folder = set.as_ref().map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join(".receivers/bin"),
        |folder| PathBuf::from(folder.clone()),
    );
    let path = folder.join(name);
    let remedy = match set {
        Some(_) => "Put it there, or unset POLYWATCH_RECEIVERS and run tests/receivers/install.sh",
        None => "Fetch it: tests/receivers/install.sh",
    };
    assert!(path.is_file(), "no {name} in {}. {remedy}", folder.display());
    path
}

/// Arguments, of a folder and a port.
type Arguments = Box<dyn Fn(&Path, u16) -> Vec<String> + Send + Sync>;

/// A server with a port and a folder of its own, which may be killed and started again. Shared by reference.
pub struct Server {
    name: &'static str,
    arguments: Arguments,
    /// Of the path that answers 200 when it is ready.
    ready: &'static str,
    // The process is dropped before its folder.
    process: Mutex<Option<Process>>,
    dir: RunDir,
    port: u16,
}

impl Server {
    /// A server that does not run yet. `arguments` are made of its folder and port.
    pub fn new(
        name: &'static str,
        ready: &'static str,
        arguments: impl Fn(&Path, u16) -> Vec<String> + Send + Sync + 'static,
    ) -> Server {
        let test = std::thread::current().name().unwrap_or("test").replace("::", "-");
        Server {
            name,
            arguments: Box::new(arguments),
            ready,
            process: Mutex::default(),
            dir: RunDir::create(&format!("{test}-{name}")),
            port: free_port(),
        }
    }

    /// The folder that is left when it is started again.
    pub fn state(&self) -> PathBuf {
        self.dir.state()
    }

    /// The port of 127.0.0.1, the same for as long as it lives.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts it (again), with what it has stored, and waits until it is ready.
    pub async fn start(&self) {
        let mut command = Command::new(program(self.name));
        command.args((self.arguments)(&self.state(), self.port));
        *self.process() = Some(Process::start(self.name, command, self.dir.log(self.name)));
        eventually(&format!("{} is ready", self.name), START_TIMEOUT, async || {
            self.assert_running();
            match http::get(self.port, self.ready).await {
                Ok((200, _)) => Ok(()),
                Ok((status, body)) => Err(format!("{} answers {status}: {body}", self.ready)),
                Err(e) => Err(format!("{}: {e}", self.ready)),
            }
        })
        .await;
    }

    /// SIGKILL: its port is closed until [`Server::start`].
    pub fn kill(&self) {
        *self.process() = None;
    }

    /// SIGSTOP: it takes connections and says nothing until [`Server::resume`].
    pub fn pause(&self) {
        if let Some(process) = &*self.process() {
            process.pause();
        }
    }

    /// SIGCONT.
    pub fn resume(&self) {
        if let Some(process) = &*self.process() {
            process.resume();
        }
    }

    /// Panics with the end of the log if it has ended by itself.
    pub fn assert_running(&self) {
        if let Some(process) = &mut *self.process() {
            process.assert_running();
        }
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
