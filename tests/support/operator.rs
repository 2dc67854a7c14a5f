//! The operator as users run it: the built binary, as a process.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::control_plane::ControlPlane;
use super::http;
use super::process::{Process, free_port};
use super::wait::eventually;

/// Typically below a second.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// A running `polywatch run`.
///
/// Several operators on one control plane compete for its lease, as replicas do, unless
/// [`OperatorOptions::lease`] says otherwise.
pub struct Operator {
    process: Process,
    port: u16,
    debug_port: Option<u16>,
}

/// How an operator is started; from [`Operator::with`].
pub struct OperatorOptions {
    command: Command,
    log: PathBuf,
    port: u16,
    debug_port: Option<u16>,
    lease: String,
    namespace: String,
}

impl Operator {
    /// Starts the operator with the rights of a kubeconfig. Does not wait: see [`Operator::wait_ready`].
    pub fn start(control_plane: &ControlPlane, kubeconfig: &Path) -> Operator {
        Operator::with(control_plane, kubeconfig).start()
    }

    /// To start the operator with other than the usual arguments.
    pub fn with(control_plane: &ControlPlane, kubeconfig: &Path) -> OperatorOptions {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mut command = Command::new(env!("CARGO_BIN_EXE_polywatch"));
        command.arg("run").env("KUBECONFIG", kubeconfig);
        OperatorOptions {
            command,
            log: control_plane.dir().log(&format!("polywatch-{number}")),
            port: free_port(),
            debug_port: None,
            lease: "polywatch".to_owned(),
            namespace: "default".to_owned(),
        }
    }

    /// Waits until the operator says that it is ready.
    pub async fn wait_ready(&mut self) {
        let port = self.port;
        eventually("the operator is ready", READY_TIMEOUT, async || {
            self.process.assert_running();
            match http::get(port, "/readyz").await {
                Ok((200, _)) => Ok(()),
                Ok((status, body)) => Err(format!("/readyz answers {status}: {body}")),
                Err(e) => Err(format!("/readyz: {e}")),
            }
        })
        .await;
    }

    /// Waits until it serves HTTP at all, ready or not.
    pub async fn wait_listening(&mut self) {
        let port = self.port;
        eventually("the operator serves HTTP", READY_TIMEOUT, async || {
            self.process.assert_running();
            http::get(port, "/healthz").await.map(|_| ()).map_err(|e| e.to_string())
        })
        .await;
    }

    /// Waits until a metric is as `holds` says. One that is not there yet counts as 0.
    pub async fn metric_when(&self, name: &str, labels: &[(&str, &str)], holds: impl Fn(f64) -> bool) -> f64 {
        eventually(&format!("{name}{labels:?} is as wanted"), READY_TIMEOUT, async || {
            let value = self.metric(name, labels).await.unwrap_or_default();
            if holds(value) { Ok(value) } else { Err(format!("it is {value}")) }
        })
        .await
    }

    /// Status code and body of `/readyz`.
    pub async fn ready(&self) -> (u16, String) {
        self.get("/readyz").await
    }

    /// The text of `/metrics`.
    pub async fn metrics(&self) -> String {
        let (status, body) = self.get("/metrics").await;
        assert_eq!(status, 200, "/metrics answers: {body}");
        body
    }

    /// The text of `/metrics` in a form that is asked for.
    pub async fn metrics_as(&self, accept: &str) -> String {
        let answer = http::get_accepting(self.port, "/metrics", accept).await;
        let (status, body) = answer.unwrap_or_else(|e| panic!("the operator does not answer /metrics: {e}"));
        assert_eq!(status, 200, "/metrics answers: {body}");
        body
    }

    /// Where it serves `/metrics`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The value of the first sample of a metric that has at least these labels.
    pub async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        sample(&self.metrics().await, name, labels)
    }

    /// Status code and body of any path.
    ///
    /// # Panics
    /// If there is no answer.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let answer = http::get(self.port, path).await;
        answer.unwrap_or_else(|e| {
            panic!("the operator does not answer {path}: {e}\n{}", self.process.log_tail())
        })
    }

    /// Status code and body of a path of an operator that was started [`OperatorOptions::with_debug`].
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn debug(&self, path: &str) -> std::io::Result<(u16, Vec<u8>)> {
        http::get_bytes(self.debug_port.expect("with_debug"), path).await
    }

    /// Where an operator that was started [`OperatorOptions::with_debug`] serves `/debug`.
    pub fn debug_address(&self) -> String {
        format!("127.0.0.1:{}", self.debug_port.expect("with_debug"))
    }

    /// All that the operator has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.process.log()).unwrap_or_default()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// How it ended, if it did.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.process.exited()
    }

    /// SIGSTOP: it stands still until [`Operator::resume`].
    pub fn pause(&self) {
        self.process.pause();
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.process.resume();
    }

    /// SIGKILL: a crash. Nothing is written, no lease is given back.
    pub fn kill_hard(mut self) {
        self.process.kill_hard();
    }

    /// SIGTERM: what Kubernetes sends. Returns how the operator ended.
    pub async fn terminate(mut self) -> ExitStatus {
        self.process.terminate().await
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the end of {}:\n{}", self.process.log().display(), self.process.log_tail());
        }
    }
}

impl OperatorOptions {
    /// Another lease than `default/polywatch`; operators with different leases know nothing of each other.
    pub fn lease(mut self, name: &str) -> OperatorOptions {
        name.clone_into(&mut self.lease);
        self
    }

    /// Another namespace for the lease than `default`.
    pub fn namespace(mut self, namespace: &str) -> OperatorOptions {
        namespace.clone_into(&mut self.namespace);
        self
    }

    /// With profiles and state, at an address of their own.
    pub fn with_debug(mut self) -> OperatorOptions {
        self.debug_port = Some(free_port());
        self
    }

    /// A further argument.
    pub fn arg(mut self, argument: &str) -> OperatorOptions {
        self.command.arg(argument);
        self
    }

    /// An environment variable.
    pub fn env(mut self, name: &str, value: &str) -> OperatorOptions {
        self.command.env(name, value);
        self
    }

    /// Starts it.
    pub fn start(mut self) -> Operator {
        self.command
            .arg("--listen")
            .arg(format!("127.0.0.1:{}", self.port))
            .args(["--log-format", "json", "--namespace"])
            .arg(&self.namespace)
            .arg("--lease-name")
            .arg(&self.lease);
        if let Some(port) = self.debug_port {
            self.command.arg("--debug-listen").arg(format!("127.0.0.1:{port}"));
        }
        Operator {
            process: Process::start("polywatch", self.command, self.log),
            port: self.port,
            debug_port: self.debug_port,
        }
    }
}

/// Reads the text format of Prometheus as far as tests need it: labels without escaped quotes.
fn sample(text: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    text.lines().find_map(|line| {
        let rest = line.strip_prefix(name)?;
        let (present, value) = match rest.strip_prefix('{') {
            Some(rest) => rest.split_once("} ")?,
            None => ("", rest.strip_prefix(' ')?),
        };
        let wanted = |(key, value): &(&str, &str)| {
            let pair = format!("{key}=\"{value}\"");
            present == pair
                || present.starts_with(&format!("{pair},"))
                || present.ends_with(&format!(",{pair}"))
                || present.contains(&format!(",{pair},"))
        };
        if !labels.iter().all(wanted) {
            return None;
        }
        value.split(' ').next()?.parse().ok()
    })
}

#[test]
fn a_sample_is_found_by_name_and_labels() {
    let text =
        "# TYPE x gauge\nx_more{a=\"1\"} 5\nx{a=\"1\",b=\"2\"} 7\nx{a=\"1\",b=\"3\"} 8 1700000000\ny 0.5\n";
    assert_eq!(sample(text, "x", &[("b", "3")]), Some(8.0));
    assert_eq!(sample(text, "x", &[("b", "2"), ("a", "1")]), Some(7.0));
    assert_eq!(sample(text, "x", &[("b", "")]), None);
    assert_eq!(sample(text, "y", &[]), Some(0.5));
}
