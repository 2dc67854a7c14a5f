//! `/debug/pprof/heap`: which code allocated what is in memory now.
//!
//! jemalloc writes its samples to a file, which is one in memory: the container has no other that may be written to.

use std::ffi::CString;
use std::io::{Read, Seek};
use std::os::fd::AsRawFd;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use rustix::fs::MemfdFlags;
use thiserror::Error;
use tokio::sync::Semaphore;

use super::Answer;
use super::pprof::{Profile, Sample};
use crate::allocator::{self, Refused};

/// Of a profile that is read back from jemalloc, in bytes; one of a thousand different stacks has half of one.
const LIMIT: u64 = 64 << 20;

/// Functions of which nobody wants to know that they allocate.
const ALLOCATOR: &str = r".*__rust_(alloc|alloc_zeroed|realloc)|_rjem_.*";

/// Why there is no profile.
#[derive(Debug, Error)]
pub enum HeapError {
    /// The allocator does not sample.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// No file in memory.
    #[error("the heap profile can not be taken: {0}")]
    Failed(#[from] std::io::Error),
    /// What jemalloc wrote is not what this code reads.
    #[error("line {line} of jemalloc's heap profile is not understood: {text:?}. This is a bug")]
    Unreadable {
        /// Of the text, from 1.
        line: usize,
        /// What stands there, or the begin of it.
        text: String,
    },
}

impl IntoResponse for HeapError {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, format!("{self}\n")).into_response()
    }
}

/// Takes a profile; several wait for each other.
pub async fn answer() -> Result<Answer, HeapError> {
    static ONE: Semaphore = Semaphore::const_new(1);
    // An error would mean that it was closed, which it never is.
    let _turn = ONE.acquire().await;
    let take = || Ok::<_, HeapError>(parse(&dump()?)?.encode()?);
    let bytes = tokio::task::spawn_blocking(take).await.map_err(std::io::Error::other)??;
    Ok(Answer::Profile(bytes))
}

fn dump() -> Result<String, HeapError> {
    let file = rustix::fs::memfd_create("heap", MemfdFlags::CLOEXEC).map_err(std::io::Error::from)?;
    let path = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd())).map_err(std::io::Error::other)?;
    allocator::dump_heap(&path)?;
    let mut file = std::fs::File::from(file);
    file.rewind()?;
    let mut text = String::new();
    file.take(LIMIT).read_to_string(&mut text)?;
    Ok(text)
}

/// Reads `heap_v2/INTERVAL`, then for each stack `@ ADDRESS…` and the totals `t*: OBJECTS: BYTES [… of all times]`.
fn parse(text: &str) -> Result<Profile, HeapError> {
    let unreadable = |(at, line): (usize, &str)| HeapError::Unreadable {
        line: at + 1,
        text: line.chars().take(80).collect(),
    };
    let mut lines = text.lines().enumerate();
    let head = lines.next().unwrap_or_default();
    let interval = head.1.strip_prefix("heap_v2/").and_then(|text| text.parse::<u32>().ok());
    let interval = interval.ok_or_else(|| unreadable(head))?;
    let mut samples = Vec::new();
    let mut stack: Option<Vec<usize>> = None;
    for line in lines {
        let text = line.1.trim_start();
        if let Some(addresses) = text.strip_prefix("@ ") {
            let address = |word: &str| usize::from_str_radix(word.trim_start_matches("0x"), 16);
            let addresses = addresses.split_whitespace().map(address).collect::<Result<_, _>>();
            stack = Some(addresses.map_err(|_| unreadable(line))?);
        } else if let Some(totals) = text.strip_prefix("t*: ") {
            let mut words = totals.split([':', ' ']).filter(|word| !word.is_empty());
            let mut number = || words.next()?.parse::<u64>().ok();
            let (Some(objects), Some(bytes)) = (number(), number()) else {
                return Err(unreadable(line));
            };
            // The first totals are those of all stacks.
            if let Some(stack) = stack.take() {
                let values = unsampled(objects as f64, bytes as f64, f64::from(interval));
                samples.push(Sample { stack, values, thread: None });
            }
        } else if text.starts_with("MAPPED_LIBRARIES") {
            break;
        }
    }
    Ok(Profile {
        kinds: [("inuse_objects", "count"), ("inuse_space", "bytes")],
        period: (("space", "bytes"), i64::from(interval)),
        duration: Duration::ZERO,
        samples,
        hidden: Some(ALLOCATOR),
        comment: None,
    })
}

/// Objects and bytes that there are, from those that were sampled: an object of `n` bytes is sampled with probability
/// 1 - e^(-n / interval).
fn unsampled(objects: f64, bytes: f64, interval: f64) -> [i64; 2] {
    if objects == 0.0 {
        return [0, 0];
    }
    let scale = 1.0 / (1.0 - (-(bytes / objects) / interval).exp());
    [(objects * scale).round() as i64, (bytes * scale).round() as i64]
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "heap_v2/1000
  t*: 5: 2100 [0: 0]
  t0: 5: 2100 [0: 0]
@ 0x10 0x20 0x30
  t*: 4: 100 [9: 900]
  t1: 4: 100 [0: 0]
@ 0x10
  t*: 1: 5000000000 [0: 0]
@ 0x40
  t*: 0: 0 [3: 30]

MAPPED_LIBRARIES:
55e-56e r--p 00000000 00:00 1 @ t*: nonsense
";

    #[test]
    fn samples_are_scaled_to_what_there_is() {
        let profile = parse(DUMP).expect("a profile");
        let sample = |stack: &[usize], values| Sample { stack: stack.to_vec(), values, thread: None };
        let expected = [
            // Of objects of 25 bytes, one in 40.5 is sampled at an interval of 1000.
            sample(&[0x10, 0x20, 0x30], [162, 4050]),
            sample(&[0x10], [1, 5_000_000_000]),
            sample(&[0x40], [0, 0]),
        ];
        assert_eq!(profile.samples, expected);
        assert_eq!(profile.period, (("space", "bytes"), 1000));
    }

    #[test]
    fn what_is_not_understood_is_named_by_its_line() {
        for (text, line) in [("", 1), ("heap_v3/9", 1), ("heap_v2/9\n@ 0xg", 2), ("heap_v2/9\n  t*: 1 [", 2)]
        {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.starts_with(&format!("line {line} of")), "{error}");
        }
    }
}
