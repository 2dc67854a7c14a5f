//! A real Alertmanager.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::http;
use super::programs::Server;
use super::wait::eventually;

const PATIENCE: Duration = Duration::from_secs(60);

/// What an Alertmanager does with alerts.
#[derive(Debug, Clone)]
pub struct Route {
    /// The labels that make a group; `...` for every label.
    pub group_by: Vec<String>,
    /// How long a new group waits for further alerts.
    pub group_wait: Duration,
    /// How long a group waits before it tells what is new. Not zero.
    pub group_interval: Duration,
    /// When it tells again what has not changed. Not zero.
    pub repeat_interval: Duration,
    /// Whom it tells: the address of a [`Hook`](super::receiver::Hook). None tells nobody.
    pub webhook: Option<String>,
    /// When it takes an alert without an end for resolved, if it hears no more of it.
    pub resolve_timeout: Duration,
}

impl Default for Route {
    /// Groups by name, at once.
    fn default() -> Self {
        Self {
            group_by: vec!["alertname".to_owned()],
            group_wait: Duration::from_millis(100),
            group_interval: Duration::from_secs(1),
            repeat_interval: Duration::from_secs(3600),
            webhook: None,
            resolve_timeout: Duration::from_secs(300),
        }
    }
}

/// A running Alertmanager without peers, with its storage in a folder of its own. Ends with its value.
pub struct Alertmanager(Server);

impl Alertmanager {
    /// Starts one and waits until it is ready.
    ///
    /// # Panics
    /// If it does not start, with the end of its log.
    pub async fn start(route: &Route) -> Alertmanager {
        let server = Server::new("alertmanager", "/-/ready", |state, port| {
            let state = state.display();
            vec![
                format!("--config.file={state}/alertmanager.yml"),
                format!("--storage.path={state}/data"),
                format!("--web.listen-address=127.0.0.1:{port}"),
                // No port for peers, none of whom exist.
                "--cluster.listen-address=".to_owned(),
            ]
        });
        let path = server.state().join("alertmanager.yml");
        // JSON is YAML.
        std::fs::write(&path, config(route).to_string())
            .unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
        server.start().await;
        Alertmanager(server)
    }

    /// Its address, without a path.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.0.port())
    }

    /// SIGKILL: connections are refused until [`Alertmanager::start_again`].
    pub fn kill(&self) {
        self.0.kill();
    }

    /// Starts it with what it has stored, which is silences and what it has told, and no alerts.
    pub async fn start_again(&self) {
        self.0.start().await;
    }

    /// It takes connections and says nothing until [`Alertmanager::resume`].
    pub fn pause(&self) {
        self.0.pause();
    }

    /// The end of [`Alertmanager::pause`].
    pub fn resume(&self) {
        self.0.resume();
    }

    /// The alerts that stand: resolved ones are not among them.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn try_alerts(&self) -> Result<Vec<Alert>, String> {
        self.get("/api/v2/alerts").await
    }

    /// Like [`Alertmanager::try_alerts`].
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn alerts(&self) -> Vec<Alert> {
        self.try_alerts().await.unwrap_or_else(|e| panic!("{e}"))
    }

    /// The alerts as they are grouped.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn groups(&self) -> Vec<AlertGroup> {
        self.get("/api/v2/alerts/groups").await.unwrap_or_else(|e| panic!("{e}"))
    }

    /// Waits until its alerts are as wanted.
    pub async fn alerts_when(&self, what: &str, holds: impl Fn(&[Alert]) -> bool) -> Vec<Alert> {
        eventually(&format!("Alertmanager: {what}"), PATIENCE, async || {
            self.0.assert_running();
            let alerts = self.try_alerts().await?;
            if holds(&alerts) { Ok(alerts) } else { Err(format!("its alerts are {alerts:#?}")) }
        })
        .await
    }

    /// Gives it alerts, as a client does: status code and body.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn post(&self, alerts: &serde_json::Value) -> (u16, String) {
        let answer = http::post(self.0.port(), "/api/v2/alerts", &alerts.to_string()).await;
        answer.unwrap_or_else(|e| panic!("Alertmanager does not answer: {e}"))
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, String> {
        let answer = http::get(self.0.port(), path).await;
        let (status, body) = answer.map_err(|e| format!("Alertmanager does not answer {path}: {e}"))?;
        if status != 200 {
            return Err(format!("Alertmanager answers {path} with {status}: {body}"));
        }
        serde_json::from_str(&body).map_err(|e| format!("Alertmanager answers {path} with {body}: {e}"))
    }
}

fn config(route: &Route) -> serde_json::Value {
    let time = |duration: Duration| format!("{}ms", duration.as_millis());
    let mut receiver = json!({"name": "ours"});
    if let Some(url) = &route.webhook {
        receiver["webhook_configs"] = json!([{"url": url, "send_resolved": true}]);
    }
    json!({
        "global": {"resolve_timeout": time(route.resolve_timeout)},
        "route": {
            "receiver": "ours",
            "group_by": route.group_by,
            "group_wait": time(route.group_wait),
            "group_interval": time(route.group_interval),
            "repeat_interval": time(route.repeat_interval),
        },
        "receivers": [receiver],
    })
}

/// An alert, as version 2 of the API has it:
/// <https://github.com/prometheus/alertmanager/blob/v0.25.0/api/v2/openapi.yaml>.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// What it is: alerts with equal labels are one.
    pub labels: BTreeMap<String, String>,
    /// What is said of it.
    pub annotations: BTreeMap<String, String>,
    /// Since when.
    pub starts_at: Timestamp,
    /// Until when, unless it is heard of again.
    pub ends_at: Timestamp,
    /// When it was last heard of.
    pub updated_at: Timestamp,
    /// Where it comes from; empty when nobody said.
    #[serde(default, rename = "generatorURL")]
    pub generator_url: String,
    /// A hash of the labels.
    pub fingerprint: String,
    /// Whether people are told.
    pub status: AlertStatus,
    /// Who is told.
    pub receivers: Vec<AlertReceiver>,
}

impl Alert {
    /// A label; empty when it has none of that name, which is the same to Alertmanager.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// What Alertmanager does with an alert.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertStatus {
    /// `unprocessed`, `active` or `suppressed`.
    pub state: String,
    /// Silences.
    pub silenced_by: Vec<String>,
    /// Alerts.
    pub inhibited_by: Vec<String>,
}

/// A receiver of the configuration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct AlertReceiver {
    /// Its name.
    pub name: String,
}

/// Alerts of which a receiver is told at once.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct AlertGroup {
    /// What they have in common, by [`Route::group_by`].
    pub labels: BTreeMap<String, String>,
    /// Who is told.
    pub receiver: AlertReceiver,
    /// The alerts.
    pub alerts: Vec<Alert>,
}
