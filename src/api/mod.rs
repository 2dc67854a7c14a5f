//! The custom resources of polywatch, one file per kind.
//!
//! In: what users write with `kubectl apply`. Out: Rust types and the CustomResourceDefinitions made from
//! them (`polywatch crds`). Everything above `core` may use these types; `core` never does.

pub mod monitor_policy;
pub mod status;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

pub use monitor_policy::{MonitorPolicy, MonitorPolicySpec};
pub use status::MonitorPolicyStatus;

/// API group of all kinds defined here.
pub const GROUP: &str = "polywatch.dev";

/// Field manager of every write the operator makes, so that each one is attributable.
pub const FIELD_MANAGER: &str = "polywatch";

/// Value of `reportingController` in the Events that the operator writes.
pub const REPORTING_CONTROLLER: &str = "polywatch.dev/controller";

/// Every CustomResourceDefinition of the project, in the order `polywatch crds` prints them.
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![MonitorPolicy::crd()]
}
