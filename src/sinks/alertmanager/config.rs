//! What users write of an Alertmanager.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::labels::is_reserved;
use crate::sinks::SpecError;
use crate::sinks::http::{Auth, Tls};

/// Most members of a cluster.
pub const MAX_URLS: usize = 8;
/// Most labels of a sink.
pub const MAX_LABELS: usize = 32;
/// Between which a time may be.
const TIMES: [SignedDuration; 2] = [SignedDuration::from_secs(10), SignedDuration::from_hours(24)];
const IS_TIME: &str = "self.matches('^([0-9]+h)?([0-9]+m)?([0-9]+s)?$') && duration(self) >= duration('10s') && \
                       duration(self) <= duration('24h')";

/// An Alertmanager, or the members of a cluster of them. Each open finding is one alert that is repeated for as long as
/// it stands open, and ends by itself when polywatch no longer says so.
///
/// Labels of an alert: alertname (the rule), policy, severity, kind, namespace, name, polywatch_id (the finding's
/// identity), label_KEY for labels of the object by which the policy routes or groups, and labels of the sink.
/// Annotations: summary, description, since, fields and flaps. A finding of another severity is another alert, since
/// Alertmanager knows an alert by its labels; the one before is ended. Of a group too large to be told finding by
/// finding there is one alert PolywatchSummary with its numbers. A change that occurred is an alert that ends after
/// occurrencesLast.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AlertmanagerConfig {
    /// Addresses, without /api/v2, such as http://alertmanager.monitoring:9093; of a cluster, those of every member,
    /// since members do not hand alerts to each other. An alert counts as delivered when one of them took it: the
    /// others hear it again within resendInterval.
    #[schemars(length(min = 1, max = MAX_URLS), inner(length(min = 8, max = 2048)))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new(
            "self.all(u, u.matches('^https?://[^/?#@[:space:]]+(/[^?#[:space:]]*)?$') && !u.matches('/api/v[12]'))"
        )
        .message("each entry must be an address such as http://alertmanager.monitoring:9093, without /api/v2, query, user and password")
    )]
    pub urls: Vec<String>,

    /// Labels of every alert, such as the name of the cluster.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend(
        "maxProperties" = MAX_LABELS,
        "additionalProperties" = serde_json::json!({ "type": "string", "maxLength": 256 })
    ))]
    #[x_kube(
        validation = Rule::new("self.all(k, k.size() <= 128 && k.matches('^[a-zA-Z_][a-zA-Z0-9_]*$'))")
            .message("names of labels are letters, digits and underscores, and do not begin with a digit"),
        validation = Rule::new(
            "self.all(k, !(k in ['alertname', 'policy', 'severity', 'kind', 'namespace', 'name']) && \
             !k.startsWith('label_') && !k.startsWith('polywatch_') && !k.startsWith('__'))"
        )
        .message("alertname, policy, severity, kind, namespace, name, label_*, polywatch_* and __* are set by polywatch, or reserved")
    )]
    pub labels: BTreeMap<String, String>,

    /// How often what is open is told again, from 10s to 24h. Absent: 1m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 2, max = 16))]
    #[x_kube(
        validation = Rule::new(IS_TIME)
            .message("resendInterval must be a time in hours, minutes and seconds, such as 30s or 5m, from 10s to 24h")
    )]
    pub resend_interval: Option<String>,

    /// For how long a change that occurred is an alert, from 10s to 24h. Absent: 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 2, max = 16))]
    #[x_kube(
        validation = Rule::new(IS_TIME)
            .message("occurrencesLast must be a time in hours, minutes and seconds, such as 30s or 5m, from 10s to 24h")
    )]
    pub occurrences_last: Option<String>,

    /// User and password, or a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Auth")]
    pub auth: Option<Auth>,

    /// How the Alertmanager proves who it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Tls")]
    pub tls: Option<Tls>,
}

impl AlertmanagerConfig {
    /// What the API server would refuse, of one that it did not see.
    pub(super) fn problems(&self) -> Vec<SpecError> {
        let mut problems = Vec::new();
        let mut problem = |field: String, message: &str| {
            problems.push(SpecError { field, message: message.to_owned() });
        };
        if self.urls.is_empty() || self.urls.len() > MAX_URLS {
            problem("alertmanager.urls".to_owned(), "needs one address, and may have 8");
        }
        for (n, _) in self.urls.iter().enumerate().filter(|(_, url)| url.contains("/api/v")) {
            problem(
                format!("alertmanager.urls[{n}]"),
                "is followed by /api/v2/alerts by itself; remove /api/...",
            );
        }
        for name in self.labels.keys() {
            let field = format!("alertmanager.labels.{name}");
            let word = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !word || name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
                problem(field, "must be letters, digits and underscores, and not begin with a digit");
            } else if is_reserved(name) {
                problem(field, "is set by polywatch, or reserved; give the label another name");
            }
        }
        let auth = self.auth.iter().flat_map(|auth| auth.problems("alertmanager.auth"));
        problems.extend(auth);
        problems
    }

    pub(super) fn resend_interval(&self) -> Result<Duration, SpecError> {
        time("resendInterval", self.resend_interval.as_deref().unwrap_or("1m"))
    }

    pub(super) fn occurrences_last(&self) -> Result<Duration, SpecError> {
        time("occurrencesLast", self.occurrences_last.as_deref().unwrap_or("5m"))
    }
}

fn time(field: &str, text: &str) -> Result<Duration, SpecError> {
    let time = text.parse().ok().filter(|time| *time >= TIMES[0] && *time <= TIMES[1]);
    time.and_then(|time: SignedDuration| Duration::try_from(time).ok()).ok_or_else(|| SpecError {
        field: format!("alertmanager.{field}"),
        message: format!("{text:?} is no time from 10s to 24h; write 30s, 5m or 1h30m"),
    })
}
