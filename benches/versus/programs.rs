//! The programs that are compared.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::free_port;
use crate::rules::RULES;
use crate::support::summary;

/// How the reference learns of changes.
#[derive(Debug, Clone, Copy)]
pub enum Mode {
    /// An informer.
    Watch,
    /// An informer that drops `metadata.managedFields`, as careful authors let it.
    WatchStripped,
    /// A list every ten seconds.
    Poll,
}

/// The operator, as its users run it.
pub fn polywatch(program: &Path, kubeconfig: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .args(["run", "--no-leader-election", "--log-format", "json", "--listen"])
        .arg(format!("127.0.0.1:{}", free_port()))
        .env("KUBECONFIG", kubeconfig)
        .env_remove("RUST_LOG");
    command
}

/// The reference, with the same rules.
pub fn reference(program: &Path, kubeconfig: &Path, mode: Mode) -> Command {
    let mut command = Command::new(program);
    command.args(match mode {
        Mode::Watch => ["--mode=watch"].as_slice(),
        Mode::WatchStripped => &["--mode=watch", "--strip-managed-fields"],
        Mode::Poll => &["--mode=poll"],
    });
    command.arg("--kubeconfig").arg(kubeconfig);
    for (name, expression) in RULES {
        command.arg("--rule").arg(format!("{name}={expression}"));
    }
    // The settings of Go that everybody has.
    for variable in ["GOGC", "GOMEMLIMIT", "GOMAXPROCS", "GODEBUG"] {
        command.env_remove(variable);
    }
    command
}

/// Builds the reference, unless it is built.
pub fn build_reference() -> PathBuf {
    let program = summary::folder().join("reference");
    let built = Command::new("go")
        .args(["build", "-trimpath", "-mod=readonly", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/reference"))
        .status()
        .expect("go is installed");
    assert!(built.success(), "the reference can not be built");
    program
}
