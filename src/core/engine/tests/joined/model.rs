//! What becomes of verdicts over time, one key at a time and without any queue: the ledger, naively.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::history::History;
use super::naive::{Said, picture};
use crate::core::chain::Chain;
use crate::core::finding::{Finding, FindingKey, PolicyKey};
use crate::core::patience::Patience;
use crate::core::policy::CompiledPolicy;
use crate::core::rules::Verdict;

/// What is wrong.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wrong {
    severity: String,
    object: String,
    message: Arc<str>,
    chain: Chain,
    since: Timestamp,
    flaps: u32,
}

impl Wrong {
    /// All but since when and how often.
    pub(super) fn what(&self) -> String {
        format!("{} {}: {} {:?}", self.severity, self.object, self.message, self.chain)
    }

    pub(super) fn of(finding: &Finding) -> Self {
        Self {
            severity: finding.severity.as_str().to_owned(),
            object: finding.object.to_string(),
            message: finding.message.clone(),
            chain: finding.chain.clone(),
            since: finding.since,
            flaps: finding.flaps,
        }
    }
}

#[derive(Debug, Clone, Default)]
struct State {
    wrong: Option<Wrong>,
    is_open: bool,
    right_since: Option<Timestamp>,
    openings: Vec<Timestamp>,
    error: Option<String>,
    /// Nothing is known of it for the time being.
    in_doubt: bool,
    /// It is of an earlier process, and this one was not told of the object yet.
    is_left: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Model {
    states: BTreeMap<PolicyKey, BTreeMap<FindingKey, State>>,
}

/// What a policy says: open, pending, errors.
pub(super) type Words =
    (BTreeMap<FindingKey, Wrong>, BTreeMap<FindingKey, Wrong>, BTreeMap<FindingKey, String>);

impl Model {
    /// A process that ended left what is open and pending, and the rest is forgotten.
    pub(super) fn restart(&mut self, history: &History) {
        for (key, states) in &mut self.states {
            let policy = &history.policies[key].1;
            states.retain(|_, state| state.wrong.is_some());
            for (key, state) in states {
                let patience = patience(policy, key);
                let last = state.wrong.as_ref().map(|wrong| later(wrong.since, patience.hold));
                let times = state.wrong.as_ref().map_or(1, |wrong| wrong.flaps.max(1));
                let flapping = patience.flapping.is_some() && state.is_open;
                state.openings = last
                    .filter(|_| flapping)
                    .into_iter()
                    .flat_map(|last| vec![last; times as usize])
                    .collect();
                (state.right_since, state.error) = (None, None);
                (state.in_doubt, state.is_left) = (true, true);
            }
        }
    }

    /// What waits is in doubt until it is judged by the rules as they are now.
    pub(super) fn edit(&mut self, key: &PolicyKey) {
        let states = self.states.get_mut(key).into_iter().flat_map(BTreeMap::values_mut);
        states
            .filter(|state| !state.is_open || state.right_since.is_some())
            .for_each(|state| state.in_doubt = true);
    }

    /// Takes things as they are, and the time; returns whether all is known that it takes to judge all.
    pub(super) fn look(&mut self, history: &History, key: &PolicyKey) -> bool {
        let policy = &history.policies[key].1;
        let now = history.now;
        let mut picture = picture(history, key);
        let states = self.states.entry(key.clone()).or_default();
        let keys: BTreeSet<FindingKey> = states.keys().chain(picture.said.keys()).cloned().collect();
        for key in keys {
            let is_told = picture.told.contains(&(key.selection.clone(), key.uid.clone()));
            if let Some(state) = states.get_mut(&key).filter(|_| is_told) {
                state.is_left = false;
            }
            let rule = policy.rules.iter().find(|rule| rule.name == key.rule);
            let Some(rule) = rule.filter(|rule| rule.as_group().is_some() || key.group().is_none()) else {
                states.remove(&key);
                continue;
            };
            let patience = rule.patience;
            match picture.said.remove(&key) {
                Some(Said { verdict: Some(verdict), object, severity }) => {
                    let state = states.entry(key.clone()).or_default();
                    state.in_doubt = false;
                    let wrong = |message, chain, since, flaps| Wrong {
                        severity: severity.as_str().to_owned(),
                        object: object.to_string(),
                        message,
                        chain,
                        since,
                        flaps,
                    };
                    state.take(verdict, &object.to_string(), patience, now, wrong);
                }
                // What is not known stays as it is, and time does not count.
                Some(Said { verdict: None, .. }) => {
                    if let Some(state) = states.get_mut(&key) {
                        state.in_doubt = true;
                    }
                }
                None if key.group().is_some() => {
                    if picture.grouped.contains(&key.rule) {
                        states.remove(&key);
                    }
                }
                None if picture.is_blind && is_told => {
                    if let Some(state) = states.get_mut(&key) {
                        state.in_doubt = true;
                    }
                }
                None => {
                    let covered = policy.selections.iter().position(|s| s.name == key.selection);
                    let covered =
                        covered.is_some_and(|index| rule.judges(index) && rule.as_group().is_none());
                    let is_left = states.get(&key).is_some_and(|state| state.is_left);
                    if !is_left || picture.settled.contains(&key.selection) || !covered {
                        states.remove(&key);
                    }
                }
            }
            if let Some(state) = states.get_mut(&key) {
                state.pass(patience, now);
            }
        }
        let groups = policy.rules.iter().filter(|rule| rule.as_group().is_some());
        picture.settled.len() == policy.selections.len()
            && groups.into_iter().all(|rule| picture.grouped.contains(&rule.name))
            && !picture.waits
    }

    pub(super) fn words(&self, key: &PolicyKey) -> Words {
        let none = BTreeMap::new();
        let states = self.states.get(key).unwrap_or(&none);
        let wrong = |is_open: bool| {
            let of = states.iter().filter(move |(_, state)| state.is_open == is_open);
            of.filter_map(|(key, state)| Some((key.clone(), state.wrong.clone()?))).collect()
        };
        let errors = states.iter().filter_map(|(key, state)| Some((key.clone(), state.error.clone()?)));
        (wrong(true), wrong(false), errors.collect())
    }
}

/// What the engine says.
pub(super) fn words(history: &History, key: &PolicyKey) -> Words {
    let of = |findings: Vec<Arc<Finding>>| {
        findings.iter().map(|finding| (finding.key.clone(), Wrong::of(finding))).collect()
    };
    let errors = history.engine.policies[key].ledger.all_errors();
    (of(history.engine.open(key)), of(history.engine.pending(key)), errors)
}

fn patience(policy: &CompiledPolicy, key: &FindingKey) -> Patience {
    let rule = policy.rules.iter().find(|rule| rule.name == key.rule);
    rule.map(|rule| rule.patience).unwrap_or_default()
}

fn later(moment: Timestamp, by: SignedDuration) -> Timestamp {
    moment.saturating_add(by).unwrap_or(Timestamp::MAX)
}

impl State {
    fn take(
        &mut self,
        verdict: Verdict,
        object: &str,
        patience: Patience,
        now: Timestamp,
        wrong: impl Fn(Arc<str>, Chain, Timestamp, u32) -> Wrong,
    ) {
        self.error = None;
        match verdict {
            Verdict::Error(text) => self.error = Some(format!("{object}: {text}")),
            Verdict::Compliant if self.is_open => self.right_since = self.right_since.or(Some(now)),
            Verdict::Compliant => self.wrong = None,
            Verdict::Violation(violation) => {
                self.right_since = None;
                let (since, flaps) = self.wrong.as_ref().map_or((now, 0), |wrong| (wrong.since, wrong.flaps));
                self.wrong = Some(wrong(violation.message, violation.chain, since, flaps));
            }
        }
        self.pass(patience, now);
    }

    /// What is wrong for long enough opens, what is right for long enough ends.
    fn pass(&mut self, patience: Patience, now: Timestamp) {
        let within = patience.flapping.map(|flapping| flapping.within);
        match within {
            Some(within) if !self.is_open => self.openings.retain(|opening| later(*opening, within) > now),
            Some(_) => {}
            None => self.openings.clear(),
        }
        if self.error.is_some() || self.in_doubt {
            return;
        }
        let Some(wrong) = &mut self.wrong else { return };
        if !self.is_open && later(wrong.since, patience.hold) <= now {
            self.is_open = true;
            if let Some(flapping) = patience.flapping {
                self.openings.push(now);
                let excess = self.openings.len().saturating_sub(flapping.opens as usize);
                self.openings.drain(..excess);
                wrong.flaps = if self.openings.len() == 1 { 0 } else { self.openings.len() as u32 };
            }
        }
        if let Some(right) = self.right_since {
            let flaps = patience.flapping.filter(|flapping| wrong.flaps >= flapping.opens);
            let keep = flaps.map_or(patience.keep, |flapping| flapping.within.max(patience.keep));
            if later(right, keep) <= now {
                (self.wrong, self.is_open, self.right_since) = (None, false, None);
            }
        }
    }
}
