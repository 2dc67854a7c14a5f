//! What is owed, in the words of those who are told: a policy, its findings, a sink, and time as an argument.

mod groups;
mod random;
mod timing;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::core::chain::Chain;
use crate::core::fields::Fields;
use crate::core::finding::{Finding, FindingKey, ObjectId, Occurrence, PolicyKey, Severity};
use crate::core::history::History;
use crate::core::policy::CompiledPolicy;
use crate::core::rules::Operation;
use crate::core::tags::{Silence, Tags};

pub const SINK: &str = "on-call";

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).expect("a time")
}

/// A policy with two selections and two rules; `notify` is what its entry says beside the name of the sink.
pub fn policy(notify: &str) -> Arc<CompiledPolicy> {
    let spec = format!(
        "{{resources: [{{name: pods, apiVersion: v1, kind: Pod}}, {{name: routes, apiVersion: e.io/v1, kind: Route}}],
          rules: [{{name: ready, expression: 'true'}}, {{name: limits, expression: 'true'}}],
          notify: [{{sink: {SINK}, {notify}}}]}}"
    );
    let spec = crate::yaml::from_str(&spec).expect("a spec");
    let policy = crate::policy::compile(PolicyKey("p".into()), "uid".into(), 1, &spec);
    assert!(policy.problems.is_empty(), "{:?}", policy.problems);
    Arc::new(policy)
}

pub fn finding(rule: &str, name: &str, severity: Severity, since: i64) -> Finding {
    Finding {
        key: FindingKey { rule: rule.into(), selection: "pods".into(), uid: name.into() },
        severity,
        object: ObjectId {
            api_version: "v1".into(),
            kind: "Pod".into(),
            namespace: Some("team-a".into()),
            name: name.into(),
            uid: name.into(),
        },
        message: format!("{name} is wrong").into(),
        fields: Fields::default(),
        chain: Chain::default(),
        tags: Tags::default(),
        since: at(since),
        flaps: 0,
    }
}

/// A policy, what is true of it, and what one sink was told.
pub struct Case {
    pub desk: Desk,
    pub truth: Truth,
    pub terms: Terms,
    pub open: BTreeMap<FindingKey, Arc<Finding>>,
}

impl Case {
    /// Everything is known, and was when nothing was open.
    pub fn new(notify: &str) -> Self {
        let mut case = Self::unknown(notify);
        case.settle(&["pods", "routes", ""]);
        assert!(case.decide(0).due.is_empty());
        case
    }

    /// Nothing is known yet.
    pub fn unknown(notify: &str) -> Self {
        let truth = Truth {
            policy: Some(policy(notify)),
            open: Vec::new(),
            settled: HashSet::new(),
            history: History::default(),
        };
        let terms = Terms { sink: SINK.into(), generation: 1, resend: None };
        Self { desk: Desk::new(SINK, "p", "uid"), truth, terms, open: BTreeMap::new() }
    }

    pub fn settle(&mut self, selections: &[&str]) {
        self.truth.settled = selections.iter().map(|name| Arc::from(*name)).collect();
    }

    pub fn open(&mut self, finding: Finding) {
        self.open.insert(finding.key.clone(), Arc::new(finding));
        self.refresh();
    }

    pub fn resolve(&mut self, rule: &str, name: &str) {
        let key = FindingKey { rule: rule.into(), selection: "pods".into(), uid: name.into() };
        assert!(self.open.remove(&key).is_some(), "{name} is not open");
        self.refresh();
    }

    pub fn occur(&mut self, name: &str, version: &str, second: i64) {
        let finding = Arc::new(finding("limits", name, Severity::High, second));
        let (operation, resource_version) = (Operation::Update, version.into());
        self.truth.history.add(Arc::new(Occurrence { finding, operation, resource_version }));
    }

    fn refresh(&mut self) {
        self.truth.open = self.open.values().cloned().collect();
        self.truth.open.sort_by_key(|finding| (std::cmp::Reverse(finding.severity), finding.since));
    }

    pub fn decide(&mut self, second: i64) -> Decision {
        self.desk.decide(&self.truth, &self.terms, at(second))
    }

    /// Tells all that is due, and returns it in short.
    pub fn tell(&mut self, second: i64) -> Vec<String> {
        let mut said = Vec::new();
        while let Some(out) = self.decide(second).due.into_iter().next() {
            said.push(short(&out.notice));
            self.desk.begin(&out);
            self.desk.sent(&out, None, at(second));
        }
        said
    }

    /// As a new process of the operator would go on.
    pub fn restart(&mut self) {
        let text = serde_json::to_string(self.desk.told()).expect("JSON");
        self.desk = Desk::restored(serde_json::from_str(&text).expect("what was written"));
    }
}

/// Such as `MoreOpened rule=ready: +b -a`; an exclamation mark stands before what changed, a star before what occurred.
pub fn short(notice: &Notice) -> String {
    let mut said = format!("{} {}:", notice.reason, notice.group);
    if notice.collapsed {
        said +=
            &format!(" {} open, +{} -{}", notice.totals.open, notice.totals.opened, notice.totals.resolved);
        return said;
    }
    let lists =
        [("+", &notice.opened), ("!", &notice.changed), ("-", &notice.resolved), ("*", &notice.occurred)];
    for (sign, items) in lists {
        for item in items {
            let name = item.object.as_ref().map_or("", |object| object.name.as_str());
            said += &format!(" {sign}{name}");
        }
    }
    said
}

pub fn silenced(mut finding: Finding, until: i64) -> Finding {
    finding.tags.silence = Some(Silence::Until(at(until)));
    finding
}

pub fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}
