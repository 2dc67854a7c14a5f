//! What the API server said and stored: `tests/verdicts/truth.json`, one line for each.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Case, Verdict, folder};

/// Set to anything, the tests write what they find instead of comparing with it.
pub const RECORD: &str = "RECORD_VERDICTS";

/// All that was recorded.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// Version of the API server.
    pub server: String,
    /// The namespaces, by name.
    pub namespaces: BTreeMap<String, Value>,
    /// The objects, by subject.
    pub subjects: BTreeMap<String, Stored>,
    /// The verdicts, by the id of the case.
    pub verdicts: BTreeMap<String, Verdict>,
}

/// The objects of a subject as rules see them.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stored {
    /// Present unless it is deleted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub object: Option<Value>,
    /// Present unless it is created.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub old_object: Option<Value>,
    /// The namespace they are in; recorded once for all.
    #[serde(skip)]
    pub namespace: Option<Value>,
}

impl Stored {
    fn either(&self) -> &Value {
        self.object.as_ref().or(self.old_object.as_ref()).unwrap_or(&Value::Null)
    }

    /// Kind and API version.
    pub fn kind(&self) -> (&str, &str) {
        let text = |key: &str| self.either()[key].as_str().unwrap_or_default();
        (text("kind"), text("apiVersion"))
    }

    /// The namespace's name; empty for objects without one.
    pub fn namespace_name(&self) -> &str {
        self.either()["metadata"]["namespace"].as_str().unwrap_or_default()
    }

    /// What `request` is, as far as both have it.
    pub fn request(&self, operation: &str) -> Value {
        let (kind, api_version) = self.kind();
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        json!({
            "operation": operation,
            "kind": {"group": group, "version": version, "kind": kind},
            "resource": {"group": group, "version": version, "resource": plural(kind)},
            // A namespace is in itself, as far as requests are concerned.
            "namespace": if kind == "Namespace" { self.either()["metadata"]["name"].clone() } else { self.namespace_name().into() },
            "name": self.either()["metadata"]["name"],
        })
    }
}

/// The resource of a kind.
pub fn plural(kind: &str) -> String {
    format!("{}s", kind.to_lowercase())
}

/// An object without what differs each time it is stored.
pub fn settled(mut object: Value) -> Value {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
        for (key, value) in [
            ("uid", "12345678-1234-1234-1234-123456789012"),
            ("creationTimestamp", "2026-01-02T03:04:05Z"),
            ("resourceVersion", "1000"),
        ] {
            metadata.entry(key).and_modify(|present| *present = value.into());
        }
    }
    object
}

impl Truth {
    fn path() -> PathBuf {
        folder().join("truth.json")
    }

    /// Reads what was recorded.
    pub fn read() -> Truth {
        let path = Truth::path();
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Writes it, so that a change of one case is a change of one line.
    pub fn write(&self) {
        fn line(text: &mut String, key: &str, value: &impl Serialize, end: &str) {
            let value = serde_json::to_string(value).unwrap_or_else(|error| panic!("{error}"));
            let _ = write!(text, "{}: {value}{end}", json!(key));
        }
        fn map(text: &mut String, key: &str, values: &BTreeMap<String, impl Serialize>) {
            let _ = write!(text, ",\n{}: {{", json!(key));
            for (n, (key, value)) in values.iter().enumerate() {
                text.push_str(if n == 0 { "\n" } else { ",\n" });
                line(text, key, value, "");
            }
            text.push_str("\n}");
        }
        let mut text = "{\n".to_owned();
        line(&mut text, "server", &self.server, "");
        map(&mut text, "namespaces", &self.namespaces);
        map(&mut text, "subjects", &self.subjects);
        map(&mut text, "verdicts", &self.verdicts);
        text.push_str("\n}\n");
        let path = Truth::path();
        std::fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// The objects of a case, with their namespace.
    pub fn stored(&self, case: &Case) -> Stored {
        let subject = case.subject.to_string();
        let stored = self.subjects.get(&subject);
        let mut stored = stored.unwrap_or_else(|| panic!("{subject} is not recorded; {HOW}")).clone();
        stored.namespace = self.namespaces.get(stored.namespace_name()).cloned();
        stored
    }

    /// What the server said of a case.
    pub fn verdict(&self, case: &Case) -> &Verdict {
        self.verdicts.get(&case.id).unwrap_or_else(|| panic!("not recorded: {}; {HOW}", case.id))
    }
}

/// What to do about a record that is not up to date.
pub const HOW: &str = "run `make verdicts`, which asks a real API server, and read what changed";
