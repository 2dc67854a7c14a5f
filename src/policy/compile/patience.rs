//! What a rule waits for.

use std::sync::Arc;

use jiff::SignedDuration;

use super::Compiler;
use crate::api::monitor_policy::PolicyRule;
use crate::core::patience::{Flapping, MAX_OPENS, MAX_WAIT, MIN_OPENS, Patience};

impl Compiler {
    /// What a rule waits for; none when a part of it is wrong, so that the rule does not do without it.
    pub(super) fn patience(&mut self, field: &str, name: &Arc<str>, rule: &PolicyRule) -> Option<Patience> {
        let mut wait = |part: &str, text: &Option<String>| match text {
            None => Some(SignedDuration::ZERO),
            Some(text) => self.wait(&format!("{field}.{part}"), Some(name), text),
        };
        let (hold, keep) = (wait("for", &rule.hold_for), wait("keepFor", &rule.keep_for));
        let flapping = match &rule.flapping {
            None => Some(None),
            Some(flapping) => {
                let within = self.wait(&format!("{field}.flapping.within"), Some(name), &flapping.within);
                let opens = Some(flapping.opens).filter(|opens| (MIN_OPENS..=MAX_OPENS).contains(opens));
                if opens.is_none() {
                    let text = format!("opens must be from {MIN_OPENS} to {MAX_OPENS}");
                    self.problem(format!("{field}.flapping.opens"), Some(name), text);
                }
                within.zip(opens).map(|(within, opens)| Some(Flapping { opens, within }))
            }
        };
        let patience = Patience { hold: hold?, keep: keep?, flapping: flapping? };
        // The definition of the resource refuses it as well.
        if patience != Patience::default() && rule.operations().next().is_some() {
            let text = "for, keepFor and flapping are about findings that stand; a rule with on is about changes, of \
                        which nothing stands";
            self.problem(field.to_owned(), Some(name), text.to_owned());
            return None;
        }
        Some(patience)
    }

    /// A time to wait: more than none, and no more than [`MAX_WAIT`].
    pub(super) fn wait(
        &mut self,
        field: &str,
        rule: Option<&Arc<str>>,
        text: &str,
    ) -> Option<SignedDuration> {
        let wait = text.parse().ok().filter(|wait| *wait > SignedDuration::ZERO && *wait <= MAX_WAIT);
        if wait.is_none() {
            let most = MAX_WAIT.as_hours();
            let text = format!("{text:?} is no time to wait; write 30s, 5m or 1h30m, at most {most}h");
            self.problem(field.to_owned(), rule, text);
        }
        wait
    }
}
