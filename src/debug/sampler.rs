//! Where the threads of this process are, a hundred times in each second of CPU time.
//!
//! The kernel interrupts a running thread with SIGPROF; the handler notes its stack and returns. It may interrupt
//! anything, so it neither allocates nor waits: it writes into a table of fixed size, which takes memory only as far as
//! it was ever used.
#![allow(unsafe_code)] // A handler of a signal has no safe form.

use std::ffi::{c_int, c_void};
use std::mem::zeroed;
use std::ptr::null_mut;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Samples for each second of CPU time.
pub const FREQUENCY: u32 = 100;
/// Frames that are noted of each stack, the innermost.
const DEPTH: usize = 126;
/// Samples of one recording: forty seconds of two threads that never rest. What is more is counted.
const SLOTS: usize = 8192;

struct Slot {
    /// Of the frames; 0 until they are written.
    depth: AtomicUsize,
    thread: AtomicUsize,
    frames: [AtomicUsize; DEPTH],
}

/// All zero, so it is no part of the binary, and no page of it is in memory before it is written to.
static TABLE: [Slot; SLOTS] = [const {
    Slot {
        depth: AtomicUsize::new(0),
        thread: AtomicUsize::new(0),
        frames: [const { AtomicUsize::new(0) }; DEPTH],
    }
}; SLOTS];
/// Samples taken, those for which there was no slot among them.
static TAKEN: AtomicUsize = AtomicUsize::new(0);
static RECORDING: AtomicBool = AtomicBool::new(false);

/// One stack.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Stack {
    /// The kernel's number of the thread.
    pub thread: usize,
    /// Addresses, the innermost first.
    pub frames: Vec<usize>,
}

/// A recording that goes on until it is dropped; there is one at a time.
#[derive(Debug)]
pub struct Recording(());

impl Recording {
    /// Begins one; none while another goes on.
    ///
    /// # Errors
    /// When the kernel refuses the timer.
    pub fn start() -> std::io::Result<Option<Self>> {
        static INSTALL: Once = Once::new();
        if RECORDING.swap(true, Ordering::AcqRel) {
            return Ok(None);
        }
        let recording = Self(());
        let used = TAKEN.swap(0, Ordering::AcqRel).min(SLOTS);
        TABLE.iter().take(used).for_each(|slot| slot.depth.store(0, Ordering::Release));
        // For good: a signal that comes late would end the process.
        INSTALL.call_once(install);
        set_timer(i64::from(1_000_000 / FREQUENCY))?;
        Ok(Some(recording))
    }

    /// Ends it. Returns the stacks, and how many more there was no place for.
    pub fn finish(self) -> (Vec<Stack>, usize) {
        self.stop();
        let taken = TAKEN.load(Ordering::Acquire);
        let stacks = TABLE.iter().take(taken).filter_map(|slot| {
            let depth = slot.depth.load(Ordering::Acquire);
            let frames = slot.frames.iter().take(depth).map(|frame| frame.load(Ordering::Relaxed));
            (depth > 0)
                .then(|| Stack { thread: slot.thread.load(Ordering::Relaxed), frames: frames.collect() })
        });
        (stacks.collect(), taken.saturating_sub(SLOTS))
    }

    fn stop(&self) {
        // Not to be set can only be refused with a wrong time.
        let _ = set_timer(0);
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.stop();
        RECORDING.store(false, Ordering::Release);
    }
}

fn install() {
    // The first use sets up what later ones only read.
    backtrace::trace(|_| true);
    // SAFETY: zeros are a valid sigaction; the handler has the signature that SA_SIGINFO asks for and does what
    // handlers may do. Interrupted system calls are begun again.
    unsafe {
        let mut action: libc::sigaction = zeroed();
        action.sa_sigaction = on_sigprof as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
        libc::sigaction(libc::SIGPROF, &action, null_mut());
    }
}

/// Microseconds of CPU time between two signals; 0 ends them.
fn set_timer(microseconds: i64) -> std::io::Result<()> {
    let interval = libc::timeval { tv_sec: 0, tv_usec: microseconds };
    let timer = libc::itimerval { it_interval: interval, it_value: interval };
    // SAFETY: the pointer is to a local; nothing is written to the other.
    match unsafe { libc::setitimer(libc::ITIMER_PROF, &timer, null_mut()) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

extern "C" fn on_sigprof(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    if !RECORDING.load(Ordering::Acquire) {
        return;
    }
    let Some(slot) = TABLE.get(TAKEN.fetch_add(1, Ordering::AcqRel)) else {
        return;
    };
    // SAFETY: each thread has its own; the interrupted code must not see that we were here.
    let errno = unsafe { *libc::__errno_location() };
    // SAFETY: the kernel passes the context, because of SA_SIGINFO.
    let interrupted = unsafe { program_counter(context) };
    let mut depth = 0;
    // The first frames are our own.
    let mut begun = false;
    // SAFETY: the lock that this does without guards the naming of addresses. Unwinding itself takes none since
    // glibc 2.35, and allocates nothing.
    unsafe {
        backtrace::trace_unsynchronized(|frame| {
            let address = frame.ip() as usize;
            begun |= address == interrupted;
            // What called the first function of a thread is 0.
            if let Some(place) = slot.frames.get(depth).filter(|_| begun && address != 0) {
                place.store(address, Ordering::Relaxed);
                depth += 1;
            }
            depth < DEPTH
        });
    }
    if depth == 0 {
        slot.frames[0].store(interrupted, Ordering::Relaxed);
        depth = 1;
    }
    // SAFETY: a plain system call.
    slot.thread.store(unsafe { libc::gettid() } as usize, Ordering::Relaxed);
    slot.depth.store(depth, Ordering::Release);
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

/// Where the thread was when it was interrupted.
///
/// # Safety
/// The context is one that the kernel passed to a handler.
unsafe fn program_counter(context: *mut c_void) -> usize {
    // SAFETY: the caller's promise.
    let context = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext };
    #[cfg(target_arch = "x86_64")]
    return context.gregs[libc::REG_RIP as usize] as usize;
    #[cfg(target_arch = "aarch64")]
    return context.pc as usize;
}

/// Held by tests that record: there is one recording in a process.
#[cfg(test)]
pub(super) static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_function_is_seen_and_there_is_one_recording_at_a_time() {
        let _alone = ALONE.blocking_lock();
        let recording = Recording::start().expect("a timer").expect("the only one");
        assert!(Recording::start().expect("a timer").is_none());
        // SAFETY: a plain system call.
        let thread = unsafe { libc::gettid() } as usize;
        // Other tests are seen as well.
        let seen = |slot: &Slot| {
            slot.depth.load(Ordering::Acquire) > 0 && slot.thread.load(Ordering::Relaxed) == thread
        };
        let start = std::time::Instant::now();
        while !TABLE.iter().take(TAKEN.load(Ordering::Acquire)).any(seen) {
            assert!(start.elapsed().as_secs() < 60, "no sample is taken");
            busy();
        }
        let (stacks, lost) = recording.finish();
        assert_eq!(lost, 0);
        let mut names = String::new();
        let ours = stacks.iter().filter(|stack| stack.thread == thread);
        for address in ours.flat_map(|stack| &stack.frames) {
            backtrace::resolve(*address as *mut c_void, |symbol| names += &format!("{:?}\n", symbol.name()));
        }
        assert!(names.contains("a_busy_function_is_seen"), "the stack goes on to who called: {names}");
        assert!(!names.contains("on_sigprof"), "{names}");
        drop(Recording::start().expect("a timer").expect("the other one has ended"));
    }

    #[inline(never)]
    fn busy() {
        let mut hash = 1_u64;
        for n in 0..1_000_000 {
            hash = std::hint::black_box(hash.wrapping_mul(31) ^ n);
        }
    }
}
