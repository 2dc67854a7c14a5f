//! A real Kubernetes API server for every test, without containers, and those who receive metrics and alerts.
//!
//! | I need | I take |
//! |---|---|
//! | an API server, nothing special | [`shared()`]: one per test run; use a namespace and names of your own |
//! | one that I restart, compact or start with other flags | [`ControlPlane::start`], [`ControlPlane::start_with`] |
//! | Deployments that run and Services with ready endpoints | [`shared_workloads()`], or [`Workloads::start`] on my own |
//! | an identity with few rights | [`ControlPlane::restricted`], then [`ControlPlane::grant`] and [`ControlPlane::revoke`] |
//! | the operator as a process | [`Operator`]; with everything it needs, [`start_with_operator`] |
//! | what users see of a policy | [`ControlPlane::status_when`], [`ControlPlane::event`] |
//! | somebody who scrapes metrics, and what promtool says of them | [`Prometheus`], [`check_metrics`] |
//! | somebody who is told: a real Alertmanager | [`Alertmanager`], and [`receiver::Hook`] for whom it tells |
//! | somebody who is told: Slack, PagerDuty, a webhook, and all that may be wrong with them | [`receiver`] |
//! | a mail server, and what it was sent | [`MailServer`] |
//! | certificates of an authority of my own | [`Authority`] |
//! | to wait | [`eventually`]: a condition, never a fixed time |
//! | to create and delete things | [`ControlPlane::apply_yaml`], [`ControlPlane::delete_yaml`], [`ControlPlane::kubectl`] |
//!
//! What lives longer than a test (the shared control plane) holds processes and files only. A
//! [`kube::Client`] dies with the runtime of the test that made it, so each test makes its own.
//!
//! Logs of all processes are in `target/test-logs/TEST-PID-N/`. They are removed when the test
//! succeeds; when it panics they are kept and their path is printed.
//!
//! The binaries come from `tests/controlplane/build.sh` or `KUBEBUILDER_ASSETS`, and every flag they
//! get is in `hack/cluster.sh`. Those that receive come from `tests/receivers/install.sh` or `POLYWATCH_RECEIVERS`.

// No single test uses everything that is offered here.
#![allow(dead_code, unused_imports)]

mod alertmanager;
mod clients;
mod control_plane;
pub mod http;
mod link;
mod operator;
mod policy;
mod process;
mod programs;
mod prometheus;
pub mod receiver;
mod run_dir;
mod smtp;
mod tls;
pub mod verdicts;
mod wait;
mod workloads;

pub use alertmanager::{Alert, AlertGroup, Alertmanager, Route};
pub use clients::{User, client, rule};
pub use control_plane::{ControlPlane, Options};
pub use link::Link;
pub use operator::Operator;
pub use policy::{
    PATIENCE, condition, custom_kind, in_state, is, map_policy, names, occurrences, offenders, resource,
    start_with_operator,
};
pub use process::{Process, alive, free_port};
pub use programs::program;
pub use prometheus::{Prometheus, Sample, Target, check_metrics};
pub use run_dir::remove_leftovers;
pub use smtp::{Mail, MailServer};
pub use tls::Authority;
pub use wait::eventually;
pub use workloads::Workloads;

use tokio::sync::OnceCell;

/// The control plane that most tests share: starting one takes seconds, and its memory.
///
/// It cannot be stopped or restarted (that takes a `&mut ControlPlane`). It ends with the test run.
pub async fn shared() -> &'static ControlPlane {
    static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
    SHARED.get_or_init(|| ControlPlane::start_as("shared", Options::default())).await
}

/// The shared control plane with a controller manager and two nodes, so that workloads run in it.
pub async fn shared_workloads() -> &'static ControlPlane {
    static WORKLOADS: OnceCell<Workloads> = OnceCell::const_new();
    let control_plane = shared().await;
    WORKLOADS.get_or_init(|| Workloads::start(control_plane)).await;
    control_plane
}
