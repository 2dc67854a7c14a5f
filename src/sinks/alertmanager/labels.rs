//! By what Alertmanager knows an alert: all of its labels.

use std::collections::BTreeMap;

use crate::core::alert::{Item, Notice};
use crate::core::finding::Severity;
use crate::core::rules::one_line;

/// Most bytes of a value. What is longer is no name of anything in Kubernetes.
const MAX_VALUE: usize = 512;

/// Labels, by name.
pub(super) type Labels = BTreeMap<String, String>;

/// Whether a name is ours to set, or Prometheus's.
pub(super) fn is_reserved(name: &str) -> bool {
    ["alertname", "policy", "severity", "kind", "namespace", "name"].contains(&name)
        || ["label_", "polywatch_", "__"].iter().any(|prefix| name.starts_with(prefix))
}

/// Those of a finding, or of a change that occurred.
pub(super) fn of_item(sink: &Labels, item: &Item, severity: Severity) -> Labels {
    let mut labels = Collected::new(sink);
    labels.set("alertname", &item.rule);
    labels.set("policy", &item.policy);
    labels.set("severity", severity.as_str());
    labels.set("polywatch_id", &item.id);
    match (&item.object, &item.object_group) {
        (Some(object), _) => {
            labels.set("kind", &object.kind);
            labels.set("namespace", object.namespace.as_deref().unwrap_or_default());
            labels.set("name", &object.name);
        }
        (None, Some(group)) => labels.set("name", group),
        (None, None) => {}
    }
    item.labels.iter().for_each(|(key, value)| labels.set_key(key, value));
    labels.0
}

/// Those of the alert that stands for a whole group.
pub(super) fn of_group(sink: &Labels, notice: &Notice, name: &str) -> Labels {
    let mut labels = Collected::new(sink);
    labels.set("alertname", name);
    labels.set("policy", &notice.policy);
    labels.set("severity", notice.severity().as_str());
    labels.set("polywatch_id", &notice.group.id);
    for (by, value) in &notice.group.by {
        match by.as_str() {
            "rule" => labels.set("polywatch_rule", value),
            "kind" | "namespace" | "name" => labels.set(by, value),
            "policy" | "severity" => {}
            key => labels.set_key(key, value),
        }
    }
    labels.0
}

struct Collected(Labels);

impl Collected {
    fn new(sink: &Labels) -> Self {
        Self(sink.clone())
    }

    /// Alertmanager takes a label without a value for none.
    fn set(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.0.insert(name.to_owned(), one_line(value, MAX_VALUE));
        }
    }

    /// The key of a label of Kubernetes, as Prometheus writes it
    /// (<https://prometheus.io/docs/concepts/data_model/>). Of keys that look the same then, later ones end in more
    /// underscores.
    fn set_key(&mut self, key: &str, value: &str) {
        let letters = key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
        let mut name: String = "label_".chars().chain(letters).collect();
        while self.0.contains_key(&name) {
            name.push('_');
        }
        self.set(&name, value);
    }
}
