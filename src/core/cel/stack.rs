//! A thread with room for what recurses.

use std::cell::Cell;
use std::io;
use std::panic::resume_unwind;
use std::thread;

/// Stack that reading the worst expression within the limits needs, with a wide margin. Only the pages
/// that are touched take memory.
pub const LARGE_STACK: usize = 64 << 20;

thread_local! {
    static IS_LARGE: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` where [`super::compile()`] can work directly, so that a policy with many expressions
/// costs one thread and not one for each. Panics where `work` does.
///
/// # Errors
/// When no thread can be started; `work` has not run then.
pub fn with_large_stack<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    if IS_LARGE.get() {
        return Ok(work());
    }
    thread::scope(|scope| {
        let worker = thread::Builder::new().name("cel-compile".to_owned()).stack_size(LARGE_STACK);
        let worker = worker.spawn_scoped(scope, || {
            IS_LARGE.set(true);
            work()
        })?;
        worker.join().map_or_else(|panic| resume_unwind(panic), Ok)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_policy_takes_one_thread() {
        let ids = with_large_stack(|| {
            (thread::current().id(), with_large_stack(|| thread::current().id()).expect("already there"))
        });
        let (outer, inner) = ids.expect("a thread");
        assert_eq!(outer, inner);
        assert_ne!(outer, thread::current().id());
    }
}
