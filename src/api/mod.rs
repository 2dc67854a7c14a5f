//! The custom resources of polywatch, one file per kind.
//!
//! In: what users write with `kubectl apply`. Out: Rust types and the CustomResourceDefinitions made from
//! them (`polywatch crds`). Everything above `core` may use these types; `core` never does.

pub mod alert_sink;
pub mod lookup;
pub mod monitor_policy;
pub mod notify;
pub mod status;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

pub use alert_sink::{AlertSink, AlertSinkSpec, AlertSinkStatus};
pub use monitor_policy::{MonitorPolicy, MonitorPolicySpec};
pub use status::MonitorPolicyStatus;

/// API group of all kinds defined here.
pub const GROUP: &str = "polywatch.dev";

/// Field manager of every write the operator makes, so that each one is attributable.
pub const FIELD_MANAGER: &str = "polywatch";

/// Value of `reportingController` in the Events that the operator writes.
pub const REPORTING_CONTROLLER: &str = "polywatch.dev/controller";
/// Label of the Secrets in which the operator remembers; its value says what for.
pub const MEMORY_LABEL: &str = "polywatch.dev/remembers";

// Rules and no patterns: the server answers a pattern with the pattern, a rule with its message.

/// What group and version are, wherever a policy names a kind.
const IS_API_VERSION: &str =
    "self.matches('^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?([a-z0-9]([-a-z0-9]*[a-z0-9])?|[*])$')";
const NO_API_VERSION: &str = "apiVersion must be VERSION such as v1, GROUP/VERSION such as apps/v1, or GROUP/* for the \
                              preferred version";
/// What a kind is, wherever a policy names one.
const IS_KIND: &str = "self.matches('^[A-Za-z]([-A-Za-z0-9]*[A-Za-z0-9])?$')";

/// Every CustomResourceDefinition of the project, in the order `polywatch crds` prints them.
///
/// # Errors
/// None that can be met: a definition is made of what JSON has.
pub fn crds() -> serde_json::Result<Vec<CustomResourceDefinition>> {
    [AlertSink::crd(), MonitorPolicy::crd()].iter().map(flowing).collect()
}

/// Descriptions come from comments, whose lines end where the source is wide enough; `kubectl explain` breaks
/// lines itself.
fn flowing(crd: &CustomResourceDefinition) -> serde_json::Result<CustomResourceDefinition> {
    let mut value = serde_json::to_value(crd)?;
    flow(&mut value);
    serde_json::from_value(value)
}

fn flow(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            // API servers know none for unsigned numbers, and kubectl warns of each; minimum says the same.
            fields.retain(|name, value| {
                name != "format" || !value.as_str().is_some_and(|of| of.starts_with("uint"))
            });
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == "description" => {
                        let paragraphs = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " "));
                        *text = paragraphs.collect::<Vec<_>>().join("\n\n");
                    }
                    below => flow(below),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(flow),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_description_breaks_its_lines() {
        let crds = serde_json::to_string(&crds().expect("the definitions")).expect("JSON");
        assert!(crds.contains("skipped: it is neither compliant nor a finding"), "{crds}");
        assert!(!crds.replace("\\n\\n", "").contains("\\n"), "{crds}");
    }
}
