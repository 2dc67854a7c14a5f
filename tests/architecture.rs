//! Which module may know which: read from the sources, so that a wall that moves is moved on purpose.

// A panic is how a test fails.
#![allow(clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each module of `src/`, and what it may name of the others. Policies say what to watch, `watch` reports
/// objects, `core` decides what changed, `record` tells the world: they meet in `core`'s types, in `judge`, and
/// in `app`.
const MAY_KNOW: &[(&str, &[&str])] = &[
    // The decisions know nobody, so that they can be tested with nothing but themselves.
    ("core", &[]),
    // What users write; the severities and limits are those of core.
    // How one notice is handed over; a sink knows neither the API server nor when.
    ("sinks", &["core"]),
    ("api", &["core", "sinks"]),
    ("nudge", &["core"]),
    ("metrics", &["core", "process"]),
    ("process", &["allocator"]),
    ("allocator", &[]),
    ("budget", &[]),
    ("judge", &["core", "metrics", "nudge"]),
    ("cluster", &[]),
    ("telemetry", &[]),
    ("leader", &["api", "metrics"]),
    ("policy", &["api", "core", "metrics", "sinks"]),
    // Streams deliver to the judge; the board nudges.
    ("watch", &["api", "budget", "core", "judge", "metrics", "nudge"]),
    // Recorders compare: what is in force (`policy::Published`), what is watched (`watch::Board`), what is wrong
    // (`judge`).
    ("record", &["api", "budget", "core", "judge", "metrics", "nudge", "policy", "sinks", "watch"]),
    // Readiness is that the policies are loaded.
    ("http", &["metrics", "policy"]),
    // Manifests as kubectl reads them.
    ("yaml", &[]),
    // Without a cluster: the operator's judging, and around it what an API server does for the operator.
    ("offline", &["api", "core", "policy", "yaml"]),
    // The operator's watches, written down as offline reads them.
    ("capture", &["cluster", "core", "metrics", "offline", "watch"]),
    // Profiles and a function that tells the state: it knows no part of the operator.
    ("debug", &["allocator"]),
    (
        "app",
        &[
            "cluster", "core", "debug", "http", "judge", "leader", "metrics", "nudge", "policy", "record",
            "watch",
        ],
    ),
    ("cli", &["api", "app", "capture", "cluster", "core", "leader", "offline", "telemetry", "yaml"]),
];

/// Of these, recorders may name no more than this, whatever they may know.
const RECORD_SEES: &[(&str, &[&str])] =
    &[("policy", &["CompiledSink", "Published", "SinkSet"]), ("watch", &["Board", "SelectionState"])];

/// What `core` is made with. `serde_json` is for values as text: those of managedFields, and those that findings show.
const CORE_CRATES: &[&str] = &[
    "base64",
    "cel",
    "core",
    "crate",
    "hashbrown",
    "jiff",
    "regex",
    "self",
    "semver",
    "serde",
    "serde_json",
    "std",
    "strsim",
    "super",
    "thiserror",
    "uuid",
];

/// Words that must not be in files that promise to be pure: no waiting, no client, no clock, no chance.
const IMPURE: &[&str] = &[
    "async ",
    ".await",
    "tokio::",
    "Client",
    "Instant::now",
    "SystemTime",
    "Timestamp::now",
    "Zoned::now",
    "fastrand",
    "tracing",
    "std::fs",
    "std::net",
    "std::env",
];

/// Files outside of `core` that promise it.
const PURE: &[&str] = &[
    "offline/check.rs",
    "offline/convert/bindings.rs",
    "offline/convert/kinds.rs",
    "offline/convert/mod.rs",
    "offline/convert/params.rs",
    "offline/convert/refuse.rs",
    "offline/explain.rs",
    "offline/history.rs",
    "offline/kinds.rs",
    "offline/manifests.rs",
    "offline/policies.rs",
    "offline/replay.rs",
    "offline/report/history.rs",
    "offline/report/json.rs",
    "offline/report/junit.rs",
    "offline/report/table.rs",
    "offline/scenario.rs",
    "offline/select.rs",
    "offline/validate.rs",
    "policy/compile.rs",
    "record/events/format.rs",
    "record/events/owed.rs",
    "record/fields.rs",
    "record/memory/findings.rs",
    "record/memory/form.rs",
    "record/reports/format.rs",
    "record/reports/plan.rs",
    "record/status/render.rs",
    "watch/catalog.rs",
    "watch/interest.rs",
    "yaml/json.rs",
    "yaml/read.rs",
    "yaml/scalar.rs",
    "yaml/tree.rs",
];

struct Source {
    /// Below `src/`.
    path: PathBuf,
    /// Without comments and tests.
    code: String,
}

impl Source {
    fn module(&self) -> String {
        let first = self.path.iter().next().expect("a path").to_string_lossy();
        first.trim_end_matches(".rs").to_owned()
    }

    /// Steps from the file's module to the root of the crate.
    fn depth(&self) -> usize {
        self.path.components().count() - usize::from(self.path.ends_with("mod.rs"))
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && name != "tests" {
                folders.push(path);
            } else if name.ends_with(".rs")
                && !["tests.rs", "testing.rs", "lib.rs", "main.rs"].contains(&&*name)
            {
                let text = fs::read_to_string(&path).expect("a source");
                sources.push(Source {
                    path: path.strip_prefix(&root).expect("below src").to_owned(),
                    code: code_of(&text),
                });
            }
        }
    }
    assert!(sources.len() > 40, "the sources are found");
    sources
}

/// Leaves out comments, and items for tests only (which rustfmt ends with a brace in the column they begin in).
fn code_of(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let trimmed = line.trim_start();
        if trimmed == "#[cfg(test)]" {
            let item = lines.next().unwrap_or_default();
            if item.ends_with('{') {
                let indent = item.len() - item.trim_start().len();
                let end = format!("{}}}", " ".repeat(indent));
                let _ = lines.by_ref().find(|line| *line == end);
            }
        } else if !trimmed.starts_with("//") {
            code.push_str(line);
            code.push('\n');
        }
    }
    code
}

fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// The other modules that a source names, however it gets there.
fn named(source: &Source) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    let up = "super::".repeat(source.depth());
    for prefix in ["crate::", up.as_str()] {
        for (at, _) in source.code.match_indices(prefix) {
            let before = &source.code[..at];
            if before.ends_with("super::") || before.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let rest = &source.code[at + prefix.len()..];
            assert!(!rest.starts_with(['{', '*']), "{}: name one module in one use", source.path.display());
            named.insert(word(rest).to_owned());
        }
    }
    named.remove(&source.module());
    named
}

#[test]
fn modules_know_only_those_they_may() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_KNOW.iter().copied().collect();
    let mut wrong = Vec::new();
    for source in sources() {
        let module = source.module();
        let Some(allowed) = allowed.get(&*module) else {
            wrong.push(format!("{module} is not in the table"));
            continue;
        };
        let strangers = named(&source).into_iter().filter(|name| !allowed.contains(&&**name));
        wrong.extend(strangers.map(|name| format!("{} names {name}", source.path.display())));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A table that allows more than there is says nothing.
#[test]
fn the_table_allows_nothing_that_nobody_needs() {
    let mut needed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources() {
        needed.entry(source.module()).or_default().extend(named(&source));
    }
    for (module, allowed) in MAY_KNOW {
        let needed = needed.get(*module).unwrap_or_else(|| panic!("there is no module {module}"));
        let allowed = allowed.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
        let idle: Vec<_> = allowed.difference(needed).collect();
        assert!(idle.is_empty(), "{module} no longer names {idle:?}");
    }
}

#[test]
fn nobody_knows_each_other() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_KNOW.iter().copied().collect();
    fn reaches(allowed: &BTreeMap<&str, &[&str]>, from: &str, to: &str) -> bool {
        allowed[from].iter().any(|next| *next == to || reaches(allowed, next, to))
    }
    for module in allowed.keys() {
        assert!(!reaches(&allowed, module, module), "{module} knows itself by way of others");
    }
}

#[test]
fn recorders_see_results_and_not_how_they_came_about() {
    for source in sources().iter().filter(|source| source.module() == "record") {
        for (module, names) in RECORD_SEES {
            let prefix = format!("crate::{module}::");
            for (at, _) in source.code.match_indices(&prefix) {
                let rest = &source.code[at + prefix.len()..];
                let list = match rest.strip_prefix('{') {
                    Some(list) => list.split('}').next().unwrap_or_default(),
                    None => word(rest),
                };
                for name in list.split(',').map(str::trim) {
                    assert!(names.contains(&name), "{} names {prefix}{name}", source.path.display());
                }
            }
        }
    }
}

#[test]
fn core_is_made_of_little_and_what_is_pure_stays_so() {
    let mut pure = 0;
    for source in sources() {
        let path = source.path.to_string_lossy().into_owned();
        let core = source.module() == "core";
        if core {
            for line in source.code.lines() {
                let line = line.trim_start().trim_start_matches("pub ");
                if let Some(used) = line.strip_prefix("use ") {
                    let used = word(used.trim_start_matches("::"));
                    let own = used.starts_with(|c: char| c.is_uppercase()) || is_sibling(&source, used);
                    assert!(own || CORE_CRATES.contains(&used), "{path} uses {used}");
                }
            }
            for stranger in ["kube::", "k8s_openapi::", "tokio::", "http::"] {
                assert!(!source.code.contains(stranger), "{path} names {stranger}");
            }
        }
        if core || PURE.contains(&&*path) {
            pure += 1;
            for word in IMPURE {
                assert!(!source.code.contains(word), "{path} promises to be pure and has {word:?}");
            }
        }
    }
    assert!(pure > PURE.len() + 15);
}

/// `use child::Item` names a module of the file's own.
fn is_sibling(source: &Source, name: &str) -> bool {
    source.code.contains(&format!("mod {name};"))
}
