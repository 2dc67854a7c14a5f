//! What a status says of sinks. Pure.

use super::render::{Verdict, number, second};
use crate::api::status::{NotifyState, NotifyStatus};
use crate::core::policy::CompiledPolicy;
use crate::record::alerts::{BySink, SinkState};

/// One entry for each sink that the policy names and of which something is known.
pub(super) fn listed(policy: &CompiledPolicy, sinks: &BySink) -> Vec<NotifyStatus> {
    let known = policy.routes.iter().filter_map(|route| Some((&route.sink, sinks.get(&route.sink)?)));
    known
        .map(|(sink, standing)| {
            let (state, message) = match &standing.state {
                SinkState::Ready => (NotifyState::Ready, None),
                SinkState::NotReady(why) => (NotifyState::NotReady, Some(why.clone())),
                SinkState::NotFound => {
                    let text = format!(
                        "there is no AlertSink {sink}; create it, or correct its name in spec.notify"
                    );
                    (NotifyState::NotFound, Some(text))
                }
            };
            NotifyStatus {
                sink: sink.to_string(),
                state,
                message,
                open: number(standing.open),
                owed: number(standing.owed),
                silenced: number(standing.silenced),
                muted_until: standing.muted_until.map(second),
            }
        })
        .collect()
}

/// Whether what is owed to the sinks arrives; none for a policy that names none.
pub(super) fn condition(policy: &CompiledPolicy, sinks: &BySink) -> Option<Verdict> {
    if policy.routes.is_empty() || policy.suspended {
        return None;
    }
    let listed = listed(policy, sinks);
    let wrong = |state| listed.iter().filter(move |sink| sink.state == state);
    let told = |sink: &NotifyStatus| {
        let why = sink.message.as_deref().unwrap_or_default();
        format!("sink {}: {why}", sink.sink)
    };
    let worst = [(NotifyState::NotFound, "SinkNotFound"), (NotifyState::NotReady, "SinkNotReady")];
    for (state, reason) in worst {
        let messages: Vec<String> = wrong(state).map(told).collect();
        if !messages.is_empty() {
            return Some(Verdict { status: "False", reason, message: messages.join("; ") });
        }
    }
    if listed.len() < policy.routes.len() {
        let message = "what the sinks were told is being read".to_owned();
        return Some(Verdict { status: "Unknown", reason: "Starting", message });
    }
    let sinks: Vec<&str> = listed.iter().map(|sink| sink.sink.as_str()).collect();
    Some(Verdict { status: "True", reason: "Notifying", message: format!("told: {}", sinks.join(", ")) })
}
