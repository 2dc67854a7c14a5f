//! polywatch as users run it: the release binary as a process, its metrics and its log.

use std::collections::VecDeque;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde::Deserialize;

use super::child::{free_port, spawn};
use super::http;
use super::play::now;
use super::support::summary::folder;

/// Lines of the log that are kept, for messages.
const LAST_LINES: usize = 20;

/// A running polywatch.
pub struct Operator {
    child: Child,
    kubeconfig: PathBuf,
    port: u16,
    log: Arc<Mutex<Log>>,
}

#[derive(Default)]
struct Log {
    last: VecDeque<String>,
    findings: Vec<Told>,
}

/// A finding that the log told of.
#[derive(Debug, Clone)]
pub struct Told {
    /// Name of the object.
    pub object: String,
    /// When the line was read, in nanoseconds since 1970.
    pub at: u64,
}

impl Operator {
    /// Starts it on the API server at this port.
    pub fn start(server: u16) -> Self {
        let port = free_port();
        let kubeconfig = kubeconfig(server);
        let mut command = Command::new(binary());
        command
            .args(["run", "--no-leader-election", "--log-format", "json"])
            .args(["--listen", &format!("127.0.0.1:{port}")])
            // A watch that is made again would be part of what is measured.
            .args(["--watch-seconds", "3600"])
            .env("KUBECONFIG", &kubeconfig)
            .env("RUST_LOG", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = spawn(command).expect("polywatch can be started");
        let lines = child.stderr.take().expect("its log is a pipe");
        let log = Arc::<Mutex<Log>>::default();
        let reader = log.clone();
        std::thread::spawn(move || read(lines, &reader));
        Self { child, kubeconfig, port, log }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Panics with the end of the log if it has ended although it should run.
    pub fn assert_running(&mut self) {
        if let Ok(Some(status)) = self.child.try_wait() {
            panic!("polywatch ended ({status}). Its log ends:\n{}", self.last_lines());
        }
    }

    /// Metrics, each named as the text form names it, with its labels; 0 before it is first counted, and while
    /// nobody answers.
    pub async fn metrics<const N: usize>(&self, names: [&str; N]) -> [f64; N] {
        let text = http::get(self.port, "/metrics").await.map(|(_, text)| text).unwrap_or_default();
        names.map(|name| {
            let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
            text.lines().find_map(value).unwrap_or_default()
        })
    }

    /// The findings that the log told of, in order.
    pub fn told(&self) -> Vec<Told> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).findings.clone()
    }

    /// The end of its log, for messages.
    pub fn last_lines(&self) -> String {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.last.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // Fails only for a process that has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.kubeconfig);
    }
}

#[derive(Deserialize)]
struct Line {
    message: String,
    object: Option<String>,
}

/// Reads the log to its end, so that polywatch never waits for its reader.
fn read(log: ChildStderr, into: &Mutex<Log>) {
    for line in BufReader::new(log).lines().map_while(Result::ok) {
        let at = now();
        let told =
            serde_json::from_str::<Line>(&line).ok().filter(|line| line.message.starts_with("finding "));
        let object = told.and_then(|line| Some(line.object?.rsplit_once('/')?.1.to_owned()));
        let mut log = into.lock().unwrap_or_else(PoisonError::into_inner);
        log.findings.extend(object.map(|object| Told { object, at }));
        log.last.push_back(line);
        if log.last.len() > LAST_LINES {
            log.last.pop_front();
        }
    }
}

/// `POLYWATCH_BIN`, or the one that cargo builds beside this program.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(binary) = env::var_os("POLYWATCH_BIN") {
            return binary.into();
        }
        // What cargo builds along with a benchmark has the features of the tests' dependencies, too.
        let mut build = Command::new("cargo");
        build.args(["build", "--locked", "--release"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        // Some build scripts run again when these are there, and a lot is compiled again after them.
        for (name, _) in env::vars() {
            if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
                build.env_remove(name);
            }
        }
        assert!(build.status().is_ok_and(|status| status.success()), "polywatch can be built");
        let program = env::current_exe().expect("this program has a path");
        let release = program.parent().and_then(Path::parent).expect("cargo puts benchmarks in deps");
        release.join("polywatch")
    })
}

fn kubeconfig(server: u16) -> PathBuf {
    let path = folder().join(format!("replay-{}.kubeconfig", std::process::id()));
    let text = format!(
        "apiVersion: v1
kind: Config
current-context: replay
contexts: [{{name: replay, context: {{cluster: replay, user: replay}}}}]
clusters: [{{name: replay, cluster: {{server: 'http://127.0.0.1:{server}'}}}}]
users: [{{name: replay, user: {{}}}}]
"
    );
    fs::create_dir_all(folder()).expect("target/bench can be made");
    fs::write(&path, text).expect("the kubeconfig can be written");
    path
}
