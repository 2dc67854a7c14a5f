//! Child processes that never outlive the test run, however it ends.
//!
//! - The owner is dropped, also by a panic: killed and waited for.
//! - The test process exits: [`kill_all`], called at exit, for what statics own.
//! - The test process is killed (SIGKILL, Ctrl-C): the kernel kills each child, because the child asked
//!   for it (`PR_SET_PDEATHSIG`) before it became the program. The kernel does that when the *thread*
//!   that forked ends, and the thread of a test ends with the test; so all children are forked by one
//!   thread that lives as long as the test process.

use std::collections::BTreeSet;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, PipeReader};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError, mpsc};
use std::time::Duration;

use super::wait::eventually;

/// Long enough for a loaded machine; a process that needs longer hangs.
const EXIT_TIMEOUT: Duration = Duration::from_secs(60);

/// A running child whose output goes to a log file.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with its output appended to `log`.
    ///
    /// # Panics
    /// If it cannot be started: there is no test without it.
    pub fn start(name: &str, mut command: Command, log: PathBuf) -> Process {
        let output = File::options().create(true).append(true).open(&log);
        let output = output.unwrap_or_else(|e| panic!("cannot write {}: {e}", log.display()));
        let errors = output.try_clone().unwrap_or_else(|e| panic!("cannot write {}: {e}", log.display()));
        command.stdout(output).stderr(errors);
        Process::launch(name, command, log)
    }

    /// Like [`Process::start`], but with both outputs in a pipe. Whoever reads it writes to `log` what is worth it.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start_piped(name: &str, mut command: Command, log: PathBuf) -> (Process, PipeReader) {
        let pipe = io::pipe().and_then(|(reader, writer)| Ok((reader, writer.try_clone()?, writer)));
        let (reader, output, errors) = pipe.unwrap_or_else(|e| panic!("{name}: no pipe: {e}"));
        command.stdout(output).stderr(errors);
        (Process::launch(name, command, log), reader)
    }

    fn launch(name: &str, mut command: Command, log: PathBuf) -> Process {
        command.stdin(Stdio::null());
        let program = command.get_program().to_owned();
        let child = spawn(command).unwrap_or_else(|e| panic!("{name}: cannot start {program:?}: {e}"));
        lock_running().insert(child.id());
        Process { name: name.to_owned(), child, log }
    }

    /// The process id, which is that of the program itself: nothing stands between.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last lines of its log, for messages.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// How it ended, if it did.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        // An error means that there is no such child any more; the caller sees it as running and times out.
        let status = self.child.try_wait().ok().flatten();
        if status.is_some() {
            lock_running().remove(&self.child.id());
        }
        status
    }

    /// Panics with the end of the log if the process has ended although it should run.
    pub fn assert_running(&mut self) {
        if let Some(status) = self.exited() {
            panic!("{} ended ({status}). The end of {}:\n{}", self.name, self.log.display(), self.log_tail());
        }
    }

    /// SIGKILL, and waits until it is gone: what a crash looks like to everybody else.
    pub fn kill_hard(&mut self) {
        // Fails only for a process that has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
        lock_running().remove(&self.child.id());
    }

    /// SIGSTOP: it stands still until [`Process::resume`], as on a machine that is out of breath.
    pub fn pause(&self) {
        send(self.child.id(), libc::SIGSTOP);
    }

    /// SIGCONT.
    pub fn resume(&self) {
        send(self.child.id(), libc::SIGCONT);
    }

    /// SIGTERM, and waits until the process has ended by itself.
    pub async fn terminate(&mut self) -> ExitStatus {
        if let Some(status) = self.exited() {
            return status;
        }
        send(self.child.id(), libc::SIGTERM);
        let what = format!("{} ends after SIGTERM", self.name);
        eventually(&what, EXIT_TIMEOUT, async || self.exited().ok_or_else(|| "it still runs".to_owned()))
            .await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill_hard();
    }
}

/// Kills all children that still run. For the end of the test process, where statics are not dropped.
pub fn kill_all() {
    for pid in std::mem::take(&mut *lock_running()) {
        send(pid, libc::SIGKILL);
        // SAFETY: a null status is allowed; the child is ours and nobody else waits for it any more.
        unsafe { libc::waitpid(pid.cast_signed(), std::ptr::null_mut(), 0) };
    }
}

/// Whether a process exists and is more than an entry that nobody has waited for.
pub fn alive(pid: u32) -> bool {
    if cfg!(not(target_os = "linux")) {
        // SAFETY: signal 0 only asks.
        return unsafe { libc::kill(pid.cast_signed(), 0) } == 0;
    }
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        // "PID (NAME) STATE ...": a name may hold anything, also parentheses.
        Ok(stat) => stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X'])),
        Err(_) => false,
    }
}

/// A port of 127.0.0.1 that nothing uses and that is given to nobody else in this test run.
///
/// It lies below the range from which the kernel takes the ports of outgoing connections, so it stays
/// free until it is used, and while its process is restarted.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    for attempt in 0..10_000_u32 {
        // A new RandomState has new keys, so two test processes do not walk the same ports.
        let port = 20_000 + (RandomState::new().hash_one(attempt) % 12_768) as u16;
        if !given.contains(&port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            given.insert(port);
            return port;
        }
    }
    panic!("no free port between 20000 and 32767 on 127.0.0.1: are old test processes still running?");
}

/// The children that run, by process id.
static RUNNING: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

fn lock_running() -> std::sync::MutexGuard<'static, BTreeSet<u32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn send(pid: u32, signal: libc::c_int) {
    // SAFETY: a plain system call. The id is of a child that has not been waited for, so it is not reused.
    unsafe { libc::kill(pid.cast_signed(), signal) };
}

type SpawnJob = (Command, mpsc::Sender<io::Result<Child>>);

/// The thread that forks all children. It ends only with the test process.
static FORKER: LazyLock<mpsc::Sender<SpawnJob>> = LazyLock::new(|| {
    let (jobs, inbox) = mpsc::channel::<SpawnJob>();
    std::thread::Builder::new()
        .name("forker".to_owned())
        .spawn(move || {
            for (mut command, answer) in inbox {
                // The receiver waits for exactly this answer.
                let _ = answer.send(command.spawn());
            }
        })
        .expect("the forker thread starts");
    jobs
});

/// Starts a child that the kernel kills when this process ends; whoever drops it has to end it.
pub fn spawn(mut command: Command) -> io::Result<Child> {
    // In a process group of its own, so that Ctrl-C reaches the test process alone.
    command.process_group(0);
    #[cfg(target_os = "linux")]
    {
        let parent = std::process::id();
        // SAFETY: between fork and exec only async-signal-safe calls are made: prctl, getppid.
        unsafe {
            command.pre_exec(move || {
                if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                    return Err(io::Error::last_os_error());
                }
                // The parent may have died before the request was made; then nobody will kill us.
                if libc::getppid().cast_unsigned() != parent {
                    return Err(io::Error::from_raw_os_error(libc::ESRCH));
                }
                Ok(())
            });
        }
    }
    let (answer, result) = mpsc::channel();
    let gone = || io::Error::other("the forker thread is gone");
    FORKER.send((command, answer)).map_err(|_| gone())?;
    result.recv().map_err(|_| gone())?
}
