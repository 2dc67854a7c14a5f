//! jemalloc: its settings, its figures, and its samples of the heap.
//!
//! The calls that are not safe stand here.

use std::ffi::CStr;

use tikv_jemalloc_ctl::{epoch, raw, stats};

use super::Usage;

/// Why the allocator does not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[error("jemalloc can not {what}; does _RJEM_MALLOC_CONF say prof:false? It answers: {why}")]
pub struct Refused {
    what: &'static str,
    why: tikv_jemalloc_ctl::Error,
}

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const SETTINGS: &CStr = c"narenas:1,background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0,\
    prof:true,prof_active:false,lg_prof_sample:19";

/// A pointer as C has it, that never changes.
#[repr(transparent)]
struct Settings(*const std::ffi::c_char);

// SAFETY: it points to a constant.
#[allow(unsafe_code)]
unsafe impl Sync for Settings {}

/// jemalloc reads this name before `main`; the environment variable `_RJEM_MALLOC_CONF` has the last word. One arena,
/// because objects are made by many threads and kept for long: with an arena for each, all of them have gaps. A thread
/// of its own gives unused pages back within a second or two. Samples of the heap can be taken, but are not until
/// [`sample_heap`], which makes one of about 512 KiB allocated.
// SAFETY: the name is jemalloc's, and this is what it declares: a pointer to a C string.
#[allow(unsafe_code)]
#[used]
#[unsafe(export_name = "_rjem_malloc_conf")]
static SETTINGS_OF_JEMALLOC: Settings = Settings(SETTINGS.as_ptr());

/// What the allocator holds at this moment; none where it does not tell.
pub fn usage() -> Option<Usage> {
    // Figures are those of the last epoch.
    epoch::advance().ok()?;
    Some(Usage {
        allocated: stats::allocated::read().ok()? as u64,
        resident: stats::resident::read().ok()? as u64,
        retained: stats::retained::read().ok()? as u64,
    })
}

/// Begins to sample what is allocated from now on, or ends it.
///
/// # Errors
/// When the allocator cannot.
pub fn sample_heap(active: bool) -> Result<(), Refused> {
    // SAFETY: `prof.active` is a bool that may be written.
    #[allow(unsafe_code)]
    let result = unsafe { raw::write(b"prof.active\0", active) };
    result.map_err(|why| Refused { what: "sample the heap", why })
}

/// Writes the samples of what is allocated now to a file, in jemalloc's own format.
///
/// # Errors
/// When the allocator cannot, or the file cannot be written.
pub fn dump_heap(file: &CStr) -> Result<(), Refused> {
    // SAFETY: `prof.dump` takes a pointer to a C string, which it does not keep.
    #[allow(unsafe_code)]
    let result = unsafe { raw::write(b"prof.dump\0", file.as_ptr()) };
    result.map_err(|why| Refused { what: "write a heap profile", why })
}

#[cfg(test)]
mod tests {
    use tikv_jemalloc_ctl::{opt, profiling};

    use super::*;

    #[test]
    fn jemalloc_runs_with_our_settings() {
        assert!(opt::background_thread::read().expect("an option"));
        assert!(profiling::prof::read().expect("an option"));
        assert_eq!(profiling::lg_prof_sample::read().expect("an option"), 19);
    }

    #[test]
    fn what_is_allocated_shows() {
        let large = std::hint::black_box(vec![1_u8; 64 << 20]);
        let usage = usage().expect("figures");
        assert!(usage.allocated >= 64 << 20, "{usage:?}");
        assert!(usage.resident >= usage.allocated, "{usage:?}");
        drop(large);
    }
}
