//! What a status says. Pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::super::alerts::BySink;
use super::super::reports::Outcome;
use super::super::{chain, fields, whole_second};
use super::notify;
use crate::api::MonitorPolicyStatus;
use crate::api::status::{
    ExpressionWarning, FindingStatus, MAX_LISTED_PENDING, ObjectRef, OccurrenceStatus, ResourceState,
    ResourceStatus, RuleStatus, Summary,
};
use crate::core::check::Warnings;
use crate::core::engine::PolicyReport;
use crate::core::finding::{Finding, Occurrence, Severity};
use crate::core::policy::CompiledPolicy;
use crate::core::rules::{MAX_MESSAGE_LEN, one_line};
use crate::core::tags::Silence;
use crate::watch::SelectionState;

/// Longest message of a condition, in bytes.
const MAX_CONDITION_LEN: usize = 2048;
/// The condition on reports.
const REPORTS: &str = "Reports";
/// Reason of conditions while objects are still being read or judged.
const SYNCING: &str = "Syncing";

/// What is known of a policy.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// What the judge says; none while it is suspended.
    pub report: Option<&'a PolicyReport>,
    /// One entry for each of its selections.
    pub states: &'a [Option<SelectionState>],
    /// There once it was checked.
    pub warnings: Option<&'a Warnings>,
    /// How it goes with the sinks that it names.
    pub sinks: &'a BySink,
}

/// The status of a policy; `before` is the one that it has.
pub fn render(
    policy: &CompiledPolicy,
    Known { report, states, warnings, sinks }: Known<'_>,
    before: &MonitorPolicyStatus,
    now: Timestamp,
) -> MonitorPolicyStatus {
    let resources = resources(policy, report, states, before, now);
    let watching = resources.iter().filter(|resource| resource.state == ResourceState::Watching).count();
    let count = |severity: Severity| {
        let position = Severity::ALL.iter().position(|known| *known == severity);
        report.zip(position).map_or(0, |(report, n)| number(report.by_severity[n]))
    };
    let open = report.map_or(0, PolicyReport::open);
    let findings: Vec<FindingStatus> =
        report.iter().flat_map(|report| &report.worst).map(|f| finding(f)).collect();
    let summary = Summary {
        watching: format!("{watching}/{}", resources.len()),
        objects: judged_objects(policy, &resources),
        open_findings: number(open),
        critical: count(Severity::Critical),
        high: count(Severity::High),
        medium: count(Severity::Medium),
        low: count(Severity::Low),
        info: count(Severity::Info),
        pending: report.map_or(0, |report| number(report.pending)),
        rule_errors: report.map_or(0, |report| number(report.rule_errors)),
        occurrences: report.map_or(0, |report| total(report.occurred)),
    };
    let (warnings, warnings_omitted) = self::warnings(policy, warnings, before);
    let warned = warnings.len().saturating_add(usize::try_from(warnings_omitted).unwrap_or_default());
    let ready = ready(policy, &resources, warned);
    let compliant = compliant(policy, &summary, &ready);
    let notifying = notify::condition(policy, sinks);
    let conditions = [("Ready", Some(ready)), ("Compliant", Some(compliant)), ("Notifying", notifying)];
    let conditions = conditions
        .into_iter()
        .filter_map(|(name, verdict)| Some(condition(name, verdict?, policy.generation, before, now)));
    MonitorPolicyStatus {
        observed_generation: Some(policy.generation),
        conditions: conditions.collect(),
        notify: notify::listed(policy, sinks),
        findings_omitted: number(open.saturating_sub(findings.len())),
        rules: rules(policy, report),
        summary,
        resources,
        findings,
        pending: report.iter().flat_map(|report| pending(report)).collect(),
        warnings,
        warnings_omitted,
        occurrences: report.iter().flat_map(|report| &report.latest).map(|o| occurrence(o)).collect(),
    }
}

/// Without those that others are only compared with.
fn judged_objects(policy: &CompiledPolicy, resources: &[ResourceStatus]) -> i64 {
    let both = policy.selections.iter().zip(resources);
    both.filter(|(selection, _)| selection.is_judged()).map(|(_, resource)| resource.objects).sum()
}

/// The status without what may change all the time in a healthy cluster.
pub fn without_counts(status: &MonitorPolicyStatus) -> MonitorPolicyStatus {
    let mut status = status.clone();
    status.summary.objects = 0;
    status.resources.iter_mut().for_each(|resource| resource.objects = 0);
    status.summary.pending = 0;
    status.rules.iter_mut().for_each(|rule| rule.pending = 0);
    status.pending.clear();
    for sink in &mut status.notify {
        (sink.open, sink.owed) = (0, 0);
    }
    status
}

/// Whether the policy is only waiting for its first complete picture.
pub fn is_syncing(status: &MonitorPolicyStatus) -> bool {
    status.conditions.iter().any(|condition| condition.type_ == "Ready" && condition.reason == SYNCING)
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn total(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(super) fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn resources(
    policy: &CompiledPolicy,
    report: Option<&PolicyReport>,
    states: &[Option<SelectionState>],
    before: &MonitorPolicyStatus,
    now: Timestamp,
) -> Vec<ResourceStatus> {
    let with_states = policy.selections.iter().zip(states);
    with_states
        .map(|(selection, state)| {
            let judged =
                report.and_then(|report| report.selections.iter().find(|s| s.name == selection.name));
            let (mut current, resource, mut message) = match state {
                Some(state) => (state.state, state.resource.clone(), state.message.clone()),
                None => (ResourceState::Syncing, None, None),
            };
            if current == ResourceState::Watching && !judged.is_some_and(|judged| judged.settled) {
                current = ResourceState::Syncing;
                message = Some("the objects are being judged".into());
            }
            let known = before.resources.iter().find(|r| r.name == *selection.name && r.state == current);
            let since = known.and_then(|known| known.since.clone());
            let began =
                state.as_ref().filter(|state| state.state == current).map_or(now, |state| state.since);
            ResourceStatus {
                name: selection.name.to_string(),
                state: current,
                resource,
                objects: judged.map_or(0, |judged| number(judged.objects)),
                message: message.map(|text| one_line(&text, MAX_CONDITION_LEN)),
                since: Some(since.unwrap_or_else(|| second(began))),
            }
        })
        .collect()
}

fn rules(policy: &CompiledPolicy, report: Option<&PolicyReport>) -> Vec<RuleStatus> {
    let mut rules: Vec<RuleStatus> = report
        .iter()
        .flat_map(|report| &report.rules)
        .map(|rule| RuleStatus {
            name: rule.name.to_string(),
            open: number(rule.open),
            pending: number(rule.pending),
            errors: number(rule.errors),
            occurrences: total(rule.occurred),
            last_error: rule.last_error.as_ref().map(ToString::to_string),
        })
        .collect();
    for problem in &policy.problems {
        let Some(name) = &problem.rule else { continue };
        let text = format!("{}: {}", problem.field, problem.message);
        match rules.iter_mut().find(|rule| rule.name == **name) {
            Some(rule) => rule.last_error = Some(text),
            None => rules.push(RuleStatus {
                name: name.to_string(),
                last_error: Some(text),
                ..RuleStatus::default()
            }),
        }
    }
    rules
}

fn finding(finding: &Finding) -> FindingStatus {
    FindingStatus {
        rule: finding.key.rule.to_string(),
        severity: finding.severity.into(),
        resource: finding.key.group().is_none().then(|| resource(finding)),
        group: finding.key.group().map(str::to_owned),
        message: finding.message.to_string(),
        since: second(finding.since),
        silenced_until: match &finding.tags.silence {
            Some(Silence::Until(until)) => Some(second(*until)),
            Some(Silence::Unreadable(_)) | None => None,
        },
        silence_problem: match &finding.tags.silence {
            Some(Silence::Unreadable(text)) => {
                Some(format!("{text:?} is no time; write it as 2026-12-31T18:00:00Z"))
            }
            Some(Silence::Until(_)) | None => None,
        },
        flaps: i64::from(finding.flaps),
        fields: fields::listed(&finding.fields),
        fields_omitted: number(finding.fields.omitted),
        chain: chain::listed(&finding.chain),
    }
}

fn pending(report: &PolicyReport) -> impl Iterator<Item = FindingStatus> {
    report.oldest_pending.iter().take(MAX_LISTED_PENDING).map(|pending| finding(pending))
}

fn occurrence(occurrence: &Occurrence) -> OccurrenceStatus {
    let finding = &occurrence.finding;
    OccurrenceStatus {
        rule: finding.key.rule.to_string(),
        severity: finding.severity.into(),
        resource: resource(finding),
        operation: occurrence.operation.into(),
        message: finding.message.to_string(),
        time: second(finding.since),
        resource_version: occurrence.resource_version.to_string(),
        fields: fields::listed(&finding.fields),
        fields_omitted: number(finding.fields.omitted),
    }
}

fn resource(finding: &Finding) -> ObjectRef {
    ObjectRef {
        api_version: finding.object.api_version.to_string(),
        kind: finding.object.kind.to_string(),
        namespace: finding.object.namespace.as_ref().map(ToString::to_string),
        name: finding.object.readable_name(),
        uid: Some(finding.object.uid.to_string()),
        selected_by: Some(finding.key.selection.to_string()),
    }
}

/// What is listed, and how many more there are. Until a policy is checked, what an earlier process found stays.
fn warnings(
    policy: &CompiledPolicy,
    warnings: Option<&Warnings>,
    before: &MonitorPolicyStatus,
) -> (Vec<ExpressionWarning>, i64) {
    let Some(warnings) = warnings else {
        let known = before.observed_generation == Some(policy.generation) && !policy.suspended;
        return if known { (before.warnings.clone(), before.warnings_omitted) } else { (Vec::new(), 0) };
    };
    let listed = warnings.listed.iter().map(|warning| ExpressionWarning {
        field: warning.field.clone(),
        rule: warning.rule.as_ref().map(ToString::to_string),
        position: warning.at.to_string(),
        message: one_line(&warning.message, MAX_MESSAGE_LEN),
        resources: warning.selections.iter().map(ToString::to_string).collect(),
    });
    (listed.collect(), number(warnings.omitted))
}

pub(super) struct Verdict {
    pub(super) status: &'static str,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

fn ready(policy: &CompiledPolicy, resources: &[ResourceStatus], warned: usize) -> Verdict {
    let not = |reason, message| Verdict { status: "False", reason, message };
    if policy.suspended {
        return not("Suspended", "spec.suspend is true: nothing is watched or judged".into());
    }
    if !policy.problems.is_empty() {
        let list: Vec<String> =
            policy.problems.iter().map(|p| format!("{}: {}", p.field, p.message)).collect();
        return not("InvalidSpec", list.join("; "));
    }
    let waiting: Vec<&ResourceStatus> =
        resources.iter().filter(|resource| resource.state != ResourceState::Watching).collect();
    let Some(worst) = waiting.iter().map(|resource| resource.state).max() else {
        let rules = counted(policy.rules.len(), "rule");
        let mut message = format!("{rules} in force, {} watched", counted(resources.len(), "resource"));
        if warned > 0 {
            let warnings = counted(warned, "schema warning");
            message.push_str(&format!("; {warnings}, see status.warnings"));
        }
        return Verdict { status: "True", reason: "Watching", message };
    };
    let list: Vec<String> = waiting
        .iter()
        .map(|resource| {
            let text = resource.message.as_deref().unwrap_or("the first list is being read");
            format!("resource {} is {:?}: {text}", resource.name, resource.state)
        })
        .collect();
    let reason = match worst {
        ResourceState::Watching => "Watching",
        ResourceState::Syncing => SYNCING,
        ResourceState::Stale => "Stale",
        ResourceState::NotInstalled => "NotInstalled",
        ResourceState::Forbidden => "Forbidden",
        ResourceState::Invalid => "InvalidResource",
    };
    not(reason, list.join("; "))
}

fn compliant(policy: &CompiledPolicy, summary: &Summary, ready: &Verdict) -> Verdict {
    let unknown = |reason, message: &str| Verdict { status: "Unknown", reason, message: message.into() };
    if policy.suspended {
        return unknown("Suspended", "nothing is judged while spec.suspend is true");
    }
    if summary.open_findings > 0 {
        let parts = [
            (summary.critical, "critical"),
            (summary.high, "high"),
            (summary.medium, "medium"),
            (summary.low, "low"),
            (summary.info, "info"),
        ];
        let parts: Vec<String> =
            parts.iter().filter(|(n, _)| *n > 0).map(|(n, name)| format!("{n} {name}")).collect();
        let open = counted(usize::try_from(summary.open_findings).unwrap_or_default(), "open finding");
        let message = format!("{open}: {}", parts.join(", "));
        return Verdict { status: "False", reason: "FindingsOpen", message };
    }
    if ready.status != "True" {
        return unknown(
            ready.reason,
            "no finding is open, but not everything is watched and judged; see Ready",
        );
    }
    if summary.rule_errors > 0 {
        let message =
            format!("no finding is open, but {} judgements failed; see status.rules", summary.rule_errors);
        return unknown("RuleErrors", &message);
    }
    Verdict { status: "True", reason: "NoFindings", message: "no finding is open".into() }
}

/// The condition that says what became of the reports. Nothing depends on it. Until they were tried, what an earlier
/// process said of them stays.
pub fn reports(
    policy: &CompiledPolicy,
    outcome: Option<&Outcome>,
    before: &MonitorPolicyStatus,
    now: Timestamp,
) -> Condition {
    let known = before.conditions.iter().find(|known| known.type_ == REPORTS && !policy.suspended);
    if let (None, Some(known)) = (outcome, known) {
        return Condition { observed_generation: Some(policy.generation), ..known.clone() };
    }
    let (status, reason, message) = match outcome {
        _ if policy.suspended => {
            ("Unknown", "Suspended", "nothing is reported while spec.suspend is true".to_owned())
        }
        None => ("Unknown", "Pending", "no report was written yet".to_owned()),
        Some(outcome) => outcome.condition(&policy.key),
    };
    condition(REPORTS, Verdict { status, reason, message }, policy.generation, before, now)
}

/// The time of a condition is when its status last changed, not when it was last written.
fn condition(
    name: &str,
    verdict: Verdict,
    generation: i64,
    before: &MonitorPolicyStatus,
    now: Timestamp,
) -> Condition {
    let known = before.conditions.iter().find(|known| known.type_ == name && known.status == verdict.status);
    let since = known.map_or_else(|| Time(whole_second(now)), |known| known.last_transition_time.clone());
    Condition {
        type_: name.into(),
        status: verdict.status.into(),
        reason: verdict.reason.into(),
        message: one_line(&verdict.message, MAX_CONDITION_LEN),
        observed_generation: Some(generation),
        last_transition_time: since,
    }
}

pub(super) fn second(time: Timestamp) -> String {
    whole_second(time).to_string()
}

#[cfg(test)]
mod tests;
