//! What users write of PagerDuty.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::sinks::SecretKey;
use crate::sinks::http::Tls;

/// A service of PagerDuty, by Events API v2. Each group of findings is one incident: it is triggered when a finding
/// opens or changes, and resolved when none stands open. That some of several findings are resolved is not sent, so that
/// an incident that a person closed is not opened again for it.
///
/// A change that occurred is an incident of its own, which nobody but a person resolves, because nothing says that it is
/// over. Of more than ten at once there is one incident.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PagerDutyConfig {
    /// The integration key of the service, of the type Events API v2: 32 characters.
    pub routing_key: SecretKey,

    /// Where this is, such as the name of the cluster. Clusters that share an integration key need one each, since it is
    /// also what tells their incidents apart. Absent: the object, or the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(
        validation = Rule::new("self.matches('^[!-~]([ -~]*[!-~])?$')")
            .message("source is one line of ASCII, such as the name of a cluster")
    )]
    pub source: Option<String>,

    /// The summary of an incident: a template whose variables are the fields of the notice. At most 1024 bytes of its
    /// result are sent, as one line. Absent, or when the result is empty: how bad it is, where, and what is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8192))]
    pub summary: Option<String>,

    /// Where the API is. Absent: https://events.pagerduty.com; of accounts in Europe, https://events.eu.pagerduty.com.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = 2048))]
    #[x_kube(
        validation = Rule::new("self.matches('^https?://[^/?#@[:space:]]+(/[^?#[:space:]]*)?$') && !self.contains('/v2/')")
            .message("url must be an address such as https://events.eu.pagerduty.com, without /v2/enqueue and query")
    )]
    pub url: Option<String>,

    /// How PagerDuty proves who it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Tls")]
    pub tls: Option<Tls>,
}
