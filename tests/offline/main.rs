//! The commands that need no cluster, as users run them: arguments, output, exit codes. One file per command.

// A panic is how a test fails.
#![allow(clippy::expect_used)]

mod check;
mod convert;
mod explain;
mod graph;
mod history;
mod inputs;
mod lookups;
mod same_verdict;
mod stories;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a command left behind.
pub struct Ran {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Runs polywatch in the folder of the project.
pub fn polywatch(arguments: &[&str], input: &[u8]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_polywatch"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).env_clear();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    // It may end without having read everything.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("written");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Ran {
        code: output.status.code().expect("an exit code"),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

/// A folder of a test's own, empty.
pub struct Folder(PathBuf);

impl Folder {
    /// One of this name, which no other test has.
    pub fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("offline").join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    /// Writes a file; returns its path.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, text).expect("a file");
        path.display().to_string()
    }

    /// Its path.
    pub fn path(&self) -> String {
        self.0.display().to_string()
    }
}

/// The verdicts of `check -o json` as `VERDICT POLICY/RULE KIND NAMESPACE/NAME: MESSAGE`.
pub fn verdicts(out: &str) -> Vec<String> {
    let entries: Vec<serde_json::Value> =
        serde_json::from_str(out).unwrap_or_else(|e| panic!("{e} in {out}"));
    let text = |entry: &serde_json::Value, pointer: &str| {
        entry.pointer(pointer).and_then(|value| value.as_str()).unwrap_or("-").to_owned()
    };
    let line = |entry: &serde_json::Value| {
        let [verdict, policy, rule, message] =
            ["/verdict", "/policy", "/rule", "/message"].map(|pointer| text(entry, pointer));
        let [kind, namespace, name] =
            ["kind", "namespace", "name"].map(|f| text(entry, &format!("/resource/{f}")));
        if let Some(group) = entry["group"].as_str() {
            assert!(entry.get("resource").is_none(), "{entry}");
            return format!("{verdict} {policy}/{rule} group {group}: {message}");
        }
        format!("{verdict} {policy}/{rule} {kind} {namespace}/{name}: {message}")
    };
    entries.iter().map(line).collect()
}
