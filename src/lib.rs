//! polywatch tells when anything in a Kubernetes cluster is wrong: any kind of object, judged by rules written in YAML.
//!
//! **Policies say what to watch; `watch` reports objects; `core` decides what changed; `record` tells the
//! world.**
//!
//! ```text
//!  MonitorPolicy ─▶ policy ─────── PolicySet ───────┐
//!                   compile          │              ▼
//!                                    ▼            judge ── core::Engine ── reports ─▶ record ─▶ status
//!  API server ─▶ watch::discovery ─▶ watch::manager ▲                                 (by nudge) Events
//!                   Catalog          │ start, stop  │ ObjectEvents                         │   Reports
//!                                    ▼              │                                      ▼
//!  API server ═══ watch ═════════▶ watch::stream ───┘      AlertSink ─▶ policy ─▶ record::alerts ─▶ sinks
//! ```
//!
//! The modules, in the order of the data: [`api`] (the custom resources), [`policy`] (spec to what is in
//! force), [`watch`] (kinds, watches, objects), [`judge`] (the thread that runs the engine), [`core`] (what
//! changed, what is wrong, and who is owed to hear of it; pure), [`record`] (status, Events, reports, alerts, and what
//! outlives a restart), [`sinks`] (how an alert is handed over). Around them: [`cluster`] (clients),
//! [`app`] (puts everything together), [`cli`], [`offline`] (the same judging without a cluster), [`capture`]
//! (records events for it), [`yaml`], [`metrics`], [`process`], [`allocator`], [`http`], [`debug`], [`telemetry`],
//! [`nudge`], [`budget`], [`leader`].

pub mod allocator;
pub mod api;
pub mod app;
pub mod budget;
pub mod capture;
pub mod cli;
pub mod cluster;
pub mod core;
pub mod debug;
pub mod http;
pub mod judge;
pub mod leader;
pub mod metrics;
pub mod nudge;
pub mod offline;
pub mod policy;
pub mod process;
pub mod record;
pub mod sinks;
pub mod telemetry;
#[cfg(test)]
mod testing;
pub mod watch;
pub mod yaml;
