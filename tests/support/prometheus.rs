//! A real Prometheus, and what its tool says of metrics.

use std::collections::BTreeMap;
use std::io::{Seek, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::http;
use super::programs::{Server, program};
use super::wait::eventually;

const PATIENCE: Duration = Duration::from_secs(60);

/// A running Prometheus that scrapes `/metrics` of some addresses each second. Ends with its value.
pub struct Prometheus(Server);

/// An address that is scraped.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// With `instance`, which is the address.
    pub labels: BTreeMap<String, String>,
    /// `up`, `down` or `unknown`.
    pub health: String,
    /// Why it is down; empty otherwise.
    pub last_error: String,
}

/// A value that a query found.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Labels, with `__name__` where the query keeps it.
    pub labels: BTreeMap<String, String>,
    /// Value.
    pub value: f64,
}

impl Prometheus {
    /// Starts one that scrapes addresses such as `127.0.0.1:8080`, and waits until it is ready.
    ///
    /// # Panics
    /// If it does not start, with the end of its log.
    pub async fn scraping(addresses: &[&str]) -> Prometheus {
        let server = Server::new("prometheus", "/-/ready", |state, port| {
            let state = state.display();
            vec![
                format!("--config.file={state}/prometheus.yml"),
                format!("--storage.tsdb.path={state}/data"),
                format!("--web.listen-address=127.0.0.1:{port}"),
            ]
        });
        let config = json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "scrape_configs": [{"job_name": "tests", "static_configs": [{"targets": addresses}]}],
        });
        let path = server.state().join("prometheus.yml");
        // JSON is YAML.
        std::fs::write(&path, config.to_string())
            .unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
        server.start().await;
        Prometheus(server)
    }

    /// Waits until an address was scraped and what it said was understood.
    pub async fn target_up(&self, address: &str) -> Target {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Targets {
            active_targets: Vec<Target>,
        }
        eventually(&format!("Prometheus scrapes {address}"), PATIENCE, async || {
            self.0.assert_running();
            let targets: Targets = self.get("/api/v1/targets?state=active").await?;
            let ours = |target: &Target| target.labels.get("instance").is_some_and(|name| name == address);
            let target = targets.active_targets.into_iter().find(ours);
            let target = target.ok_or_else(|| "it has no such target".to_owned())?;
            if target.health == "up" { Ok(target) } else { Err(format!("{target:?}")) }
        })
        .await
    }

    /// What an expression is now.
    ///
    /// # Errors
    /// When the expression is none, does not result in a vector, or nobody answers.
    pub async fn query(&self, expression: &str) -> Result<Vec<Sample>, String> {
        #[derive(Deserialize)]
        struct Vector {
            result: Vec<Element>,
        }
        #[derive(Deserialize)]
        struct Element {
            metric: BTreeMap<String, String>,
            /// Seconds, and the value as text.
            value: (f64, String),
        }
        let vector: Vector = self.get(&format!("/api/v1/query?query={}", escape(expression))).await?;
        let sample = |element: Element| match element.value.1.parse() {
            Ok(value) => Ok(Sample { labels: element.metric, value }),
            Err(e) => Err(format!("{expression} is {}: {e}", element.value.1)),
        };
        vector.result.into_iter().map(sample).collect()
    }

    /// Waits until an expression is as wanted.
    pub async fn query_when(
        &self,
        expression: &str,
        what: &str,
        holds: impl Fn(&[Sample]) -> bool,
    ) -> Vec<Sample> {
        eventually(&format!("{expression}: {what}"), PATIENCE, async || {
            self.0.assert_running();
            let samples = self.query(expression).await?;
            if holds(&samples) { Ok(samples) } else { Err(format!("it is {samples:?}")) }
        })
        .await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, String> {
        #[derive(Deserialize)]
        struct Envelope<T> {
            data: Option<T>,
            error: Option<String>,
        }
        let answer = http::get(self.0.port(), path).await;
        let (_, body) = answer.map_err(|e| format!("Prometheus does not answer {path}: {e}"))?;
        let envelope: Envelope<T> =
            serde_json::from_str(&body).map_err(|e| format!("Prometheus answers {path} with {body}: {e}"))?;
        envelope.data.ok_or_else(|| format!("Prometheus answers {path}: {:?}", envelope.error))
    }
}

/// What is wrong with metrics in the text format, by `promtool check metrics`.
///
/// # Errors
/// What promtool complains of, one complaint a line.
pub async fn check_metrics(text: &str) -> Result<(), String> {
    let text = text.to_owned();
    let check = move || {
        // A file cannot make both wait for each other, as pipes can.
        let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!(
            "metrics-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        let mut file =
            std::fs::File::options().create(true).truncate(true).read(true).write(true).open(&path)?;
        file.write_all(text.as_bytes())?;
        file.rewind()?;
        std::fs::remove_file(&path)?;
        let mut command = Command::new(program("promtool"));
        command.args(["check", "metrics"]).stdin(Stdio::from(file)).output()
    };
    let output = tokio::task::spawn_blocking(check).await.map_err(|e| e.to_string())?;
    let output = output.map_err(|e| format!("promtool does not run: {e}"))?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if output.status.success() && said.is_empty() { Ok(()) } else { Err(said) }
}

/// Escapes a text for a query of an address.
fn escape(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}
