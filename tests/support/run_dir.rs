//! The folder of one control plane or receiver: logs, which are kept when a test fails, and state, which never is.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use super::process;

/// `target/test-logs/NAME-PID-N`, with `state` (data, keys, kubeconfigs) and `logs`.
pub struct RunDir(PathBuf);

impl RunDir {
    /// Makes a folder that nothing else uses, in this test process or another one.
    ///
    /// # Panics
    /// If it cannot be created.
    pub fn create(name: &str) -> RunDir {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            remove_leftovers();
            notice_failures();
            // SAFETY: registers a function that neither unwinds nor needs anything of its caller.
            unsafe { libc::atexit(at_exit) };
        });
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = parent().join(format!("{name}-{}-{number}", std::process::id()));
        for part in ["state", "logs"] {
            let part = path.join(part);
            std::fs::create_dir_all(&part)
                .unwrap_or_else(|e| panic!("cannot create {}: {e}", part.display()));
        }
        lock_live().push(path.clone());
        RunDir(path)
    }

    /// Data, keys and kubeconfigs.
    pub fn state(&self) -> PathBuf {
        self.0.join("state")
    }

    /// The log file of a process.
    pub fn log(&self, process: &str) -> PathBuf {
        self.0.join("logs").join(format!("{process}.log"))
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        lock_live().retain(|live| live != &self.0);
        finish(&self.0, std::thread::panicking());
    }
}

/// The folders in use.
static LIVE: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Whether any test of this process panicked.
static FAILED: AtomicBool = AtomicBool::new(false);

fn lock_live() -> std::sync::MutexGuard<'static, Vec<PathBuf>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn parent() -> PathBuf {
    // Cargo's folder for integration tests is target/tmp.
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("test-logs")
}

/// Removes what is of no use any more. Errors do not matter: what stays is removed by the next run.
fn finish(path: &Path, failed: bool) {
    let _ = std::fs::remove_dir_all(path.join("state"));
    if failed {
        eprintln!("logs: {}", path.join("logs").display());
    } else {
        let _ = std::fs::remove_dir_all(path);
    }
}

/// What a static owns (the shared control plane) is not dropped, so its end is here.
extern "C" fn at_exit() {
    process::kill_all();
    for path in std::mem::take(&mut *lock_live()) {
        finish(&path, FAILED.load(Ordering::Relaxed));
    }
}

fn notice_failures() {
    let inner = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        FAILED.store(true, Ordering::Relaxed);
        inner(panic);
    }));
}

/// Removes folders of test processes that were killed: they still have state, and nobody owns them.
pub fn remove_leftovers() {
    let Ok(entries) = std::fs::read_dir(parent()) else {
        return; // the first run
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let owner = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.rsplit('-').nth(1))
            .and_then(|pid| pid.parse().ok());
        if let Some(owner) = owner
            && !process::alive(owner)
            && path.join("state").exists()
        {
            let _ = std::fs::remove_dir_all(path);
        }
    }
}
