//! What both sides judge: one rule, and one that probes alone do not satisfy.

use serde_json::{Value, json};

/// Name of the rule that pods satisfy or not.
pub const RULE: &str = "owned-and-limited";
/// Name of the rule that only probes do not satisfy.
pub const PROBE_RULE: &str = "no-probe";
/// Name of the policy.
pub const POLICY: &str = "versus";

/// Names and expressions.
pub const RULES: [(&str, &str); 2] = [
    (
        RULE,
        "has(object.metadata.labels.team) && \
         object.spec.containers.all(c, has(c.resources.limits) && 'memory' in c.resources.limits)",
    ),
    (PROBE_RULE, "!has(object.metadata.labels.probe)"),
];

/// The same as a MonitorPolicy. Probes are critical, because a status lists the worst findings only.
pub fn policy() -> Value {
    let rules: Vec<Value> = RULES
        .iter()
        .map(|(name, expression)| {
            let severity = if *name == PROBE_RULE { "critical" } else { "medium" };
            json!({"name": name, "expression": expression, "severity": severity})
        })
        .collect();
    json!({
        "apiVersion": "polywatch.dev/v1alpha1",
        "kind": "MonitorPolicy",
        "metadata": {"name": POLICY},
        "spec": {"resources": [{"name": "pods", "apiVersion": "v1", "kind": "Pod"}], "rules": rules},
    })
}
