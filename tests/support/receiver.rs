//! Receivers of alerts in the test process, for vendors of whom there is nothing to install.
//!
//! | I play | |
//! |---|---|
//! | Slack: incoming webhook, `chat.postMessage`, `chat.update` | [`Slack`] |
//! | PagerDuty Events v2 | [`PagerDuty`] |
//! | a webhook that takes CloudEvents, single and in batches, with a signature | [`CloudEvents`] |
//! | whom a real Alertmanager tells | [`Hook`] |
//!
//! In: requests of whoever is tested, on a port of each receiver. Out: [`Seen`], what the receiver holds for true after
//! them, with every breach of the vendor's documented format. Each has its [`Fault`], which a test may switch at any
//! time. Handles are cloned freely, and the last one ends the receiver. It runs on a thread of its own, so a test that
//! blocks does not make it slow.

mod alertmanager;
mod check;
mod cloud_events;
mod fault;
mod line;
mod pager_duty;
mod server;
mod slack;

pub use alertmanager::{Hook, HookGroup, HookView, HookedAlert};
pub use cloud_events::{CloudEvents, CloudEventsView, Delivered, signature};
pub use fault::Fault;
pub use pager_duty::{Incident, IncidentState, PagerDuty, PagerDutyView};
pub use server::{Attempt, Outcome, Receiver, Seen, Vendor};
pub use slack::{Message, Slack, SlackView};
