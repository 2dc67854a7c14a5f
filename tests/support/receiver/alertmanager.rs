//! Whom an Alertmanager tells: <https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::server::{Answer, Judgement, Receiver, Request, Vendor};

/// A webhook for an Alertmanager.
#[derive(Debug)]
pub struct Hook;

/// What was last told of an alert.
#[derive(Debug, Clone, PartialEq)]
pub struct HookedAlert {
    /// Whether it stands.
    pub firing: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Since when.
    pub starts_at: Timestamp,
    /// Until when; the year 1 while it stands.
    pub ends_at: Timestamp,
    /// How often it began to stand.
    pub opened: u32,
    /// Notifications that it stands.
    pub told_firing: u32,
    /// Notifications that it does not.
    pub told_resolved: u32,
}

/// What was told of a group.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HookGroup {
    /// By what its alerts are grouped.
    pub labels: BTreeMap<String, String>,
    /// Notifications.
    pub notifications: u32,
    /// Whether any alert of it stood in the last one.
    pub firing: bool,
}

/// What was told.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HookView {
    /// Alerts by fingerprint.
    pub alerts: BTreeMap<String, HookedAlert>,
    /// Groups by their key.
    pub groups: BTreeMap<String, HookGroup>,
}

impl HookView {
    /// Alerts that stand.
    pub fn firing(&self) -> impl Iterator<Item = &HookedAlert> {
        self.alerts.values().filter(|alert| alert.firing)
    }
}

impl Hook {
    /// Where it is told.
    pub const PATH: &'static str = "/alertmanager";

    /// Starts one.
    pub fn start() -> Receiver<Hook> {
        Receiver::run(Hook)
    }
}

/// A message.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notification {
    version: String,
    group_key: String,
    status: String,
    group_labels: BTreeMap<String, String>,
    truncated_alerts: u64,
    alerts: Vec<Notified>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Notified {
    status: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    starts_at: Timestamp,
    ends_at: Timestamp,
    fingerprint: String,
}

impl Vendor for Hook {
    type View = HookView;
    type Message = Notification;

    fn judge(&self, request: &Request, _view: &HookView) -> Judgement<Notification> {
        if request.path != Self::PATH || request.method != "POST" {
            return Judgement::Bad(Answer::text(404, "not found"), vec!["nobody is there".to_owned()]);
        }
        match serde_json::from_slice::<Notification>(&request.body) {
            Ok(message) if message.version == "4" && message.truncated_alerts == 0 => {
                Judgement::Good(message, Vec::new())
            }
            Ok(message) => {
                let why =
                    format!("version {}, {} alerts left out", message.version, message.truncated_alerts);
                Judgement::Bad(Answer::text(400, &why), vec![why])
            }
            Err(error) => Judgement::Bad(Answer::text(400, "no message"), vec![error.to_string()]),
        }
    }

    fn take(&self, message: Notification, view: &mut HookView) -> Answer {
        let group = view.groups.entry(message.group_key).or_default();
        group.labels = message.group_labels;
        group.notifications += 1;
        group.firing = message.status == "firing";
        for told in message.alerts {
            let firing = told.status == "firing";
            let before = view.alerts.remove(&told.fingerprint);
            let was_firing = before.as_ref().is_some_and(|alert| alert.firing);
            let count = |of: fn(&HookedAlert) -> u32| before.as_ref().map_or(0, of);
            let alert = HookedAlert {
                firing,
                labels: told.labels,
                annotations: told.annotations,
                starts_at: told.starts_at,
                ends_at: told.ends_at,
                opened: count(|alert| alert.opened) + u32::from(firing && !was_firing),
                told_firing: count(|alert| alert.told_firing) + u32::from(firing),
                told_resolved: count(|alert| alert.told_resolved) + u32::from(!firing),
            };
            view.alerts.insert(told.fingerprint, alert);
        }
        Answer::text(200, "")
    }

    fn refusal(&self, _request: &Request) -> Answer {
        Answer::text(400, "refused")
    }
}
