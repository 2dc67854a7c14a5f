//! The MonitorPolicies that are measured.

use serde_json::{Value, json};

use super::pod::TOO_MANY_RESTARTS;

/// One rule that compares one number.
pub fn simple() -> Value {
    let restarts = format!("object.status.containerStatuses[0].restartCount < {TOO_MANY_RESTARTS}");
    policy("simple", &[restarts])
}

/// One rule that reads two fields: a label, and the memory of each container.
pub fn two_fields() -> Value {
    let rule = "object.metadata.labels.tier == 'none' || object.spec.containers.all(c, \
                quantity(c.resources.limits.memory).isLessThan(quantity('4Gi')))";
    policy("two-fields", &[rule.to_owned()])
}

/// So many policies of ten usual rules each; `number` makes rules of different policies different.
pub fn usual(count: u32) -> Vec<Value> {
    (0..count).map(|number| policy(&format!("usual-{number:03}"), &usual_rules(number))).collect()
}

/// Only the second one is violated by one Pod in a thousand, and the first one where churn says so.
fn usual_rules(number: u32) -> [String; 10] {
    [
        format!("object.status.containerStatuses.all(s, s.restartCount < {})", TOO_MANY_RESTARTS - number),
        format!(
            "object.spec.containers.all(c, quantity(c.resources.limits.memory).isLessThan(quantity('{}Mi')))",
            4096 + number
        ),
        format!("object.metadata.labels.exists(k, k == 'tier' || k == 'tier-{number}')"),
        format!(
            "object.spec.containers.all(c, c.image.startsWith('registry.example/') || c.name == '{number}')"
        ),
        format!("object.metadata.name.matches('^web-[0-9]{{3}}-[0-9a-f]+-[0-9a-f]{{8}}$|^other-{number}$')"),
        format!("object.spec.priority >= {number}"),
        format!("object.spec.containers.all(c, has(c.resources.requests) && size(c.name) != 1{number:03})"),
        format!("object.spec.containers.all(c, c.securityContext.runAsNonRoot || c.name == 'root-{number}')"),
        format!(
            "object.status.conditions.exists(c, c.type == 'Ready' && c.?reason.orValue('') != '{number}')"
        ),
        format!("!has(object.spec.hostNetwork) && object.metadata.namespace != 'kube-{number}'"),
    ]
}

fn policy(name: &str, rules: &[String]) -> Value {
    let rules = rules.iter().enumerate().map(|(number, expression)| {
        json!({"name": format!("rule-{number}"), "expression": expression, "message": "not as it should be"})
    });
    json!({
        "apiVersion": "polywatch.dev/v1alpha1", "kind": "MonitorPolicy",
        "metadata": {"name": name, "uid": format!("uid-of-{name}"), "generation": 1, "resourceVersion": "1"},
        "spec": {
            "severity": "medium",
            "resources": [{"name": "pods", "apiVersion": "v1", "kind": "Pod"}],
            "rules": rules.collect::<Vec<_>>(),
        },
    })
}
