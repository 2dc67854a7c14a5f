//! `/debug/pprof/profile`: where CPU time goes.

use std::collections::HashMap;
use std::time::Duration;

use axum::extract::RawQuery;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use thiserror::Error;

use super::Answer;
use super::pprof::{Profile, Sample};
use super::sampler::{FREQUENCY, Recording, Stack};

/// Seconds that may be asked for.
const SECONDS: std::ops::RangeInclusive<u64> = 1..=60;
/// Seconds when nothing is said.
const USUAL_SECONDS: u64 = 10;
const PERIOD: i64 = 1_000_000_000 / FREQUENCY as i64;

/// Why there is no profile.
#[derive(Debug, Error)]
pub enum ProfileError {
    /// The query is wrong.
    #[error("{0:?} is no time to record for: seconds={from}..{to}, or nothing for {USUAL_SECONDS}",
        from = SECONDS.start(), to = SECONDS.end())]
    Seconds(String),
    /// One at a time, so that none shows another.
    #[error("another profile is being recorded; try again when it is done, within {} seconds", SECONDS.end())]
    Busy,
    /// The operating system refuses.
    #[error("the CPU time can not be sampled: {0}")]
    Failed(#[from] std::io::Error),
}

impl IntoResponse for ProfileError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Seconds(_) => StatusCode::BAD_REQUEST,
            Self::Busy => StatusCode::CONFLICT,
            Self::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, format!("{self}\n")).into_response()
    }
}

/// Records for as long as the query says, `seconds=10`.
pub async fn answer(RawQuery(query): RawQuery) -> Result<Answer, ProfileError> {
    let duration = Duration::from_secs(seconds(query.as_deref().unwrap_or_default())?);
    let recording = Recording::start()?.ok_or(ProfileError::Busy)?;
    // Whoever goes away meanwhile ends it.
    tokio::time::sleep(duration).await;
    let (stacks, lost) = recording.finish();
    let encode = move || profile(stacks, lost, duration, thread_name).encode();
    let bytes = tokio::task::spawn_blocking(encode).await.map_err(std::io::Error::other)??;
    Ok(Answer::Profile(bytes))
}

fn seconds(query: &str) -> Result<u64, ProfileError> {
    let given = query.split('&').find_map(|pair| pair.strip_prefix("seconds="));
    match given.map(|text| (text, text.parse())) {
        None => Ok(USUAL_SECONDS),
        Some((_, Ok(seconds))) if SECONDS.contains(&seconds) => Ok(seconds),
        Some((text, _)) => Err(ProfileError::Seconds(text.chars().take(20).collect())),
    }
}

/// The kernel's name of a thread, while it is there.
fn thread_name(thread: usize) -> Option<String> {
    let name = std::fs::read_to_string(format!("/proc/self/task/{thread}/comm")).ok()?;
    Some(name.trim_end().to_owned())
}

/// Equal stacks are one sample.
fn profile(
    stacks: Vec<Stack>,
    lost: usize,
    duration: Duration,
    name: impl Fn(usize) -> Option<String>,
) -> Profile {
    let mut counts: HashMap<Stack, i64> = HashMap::new();
    stacks.into_iter().for_each(|stack| *counts.entry(stack).or_default() += 1);
    let mut names: HashMap<usize, Option<String>> = HashMap::new();
    let samples = counts.into_iter().map(|(stack, count)| Sample {
        thread: names.entry(stack.thread).or_insert_with(|| name(stack.thread)).clone(),
        stack: stack.frames,
        values: [count, count * PERIOD],
    });
    Profile {
        samples: samples.collect(),
        kinds: [("samples", "count"), ("cpu", "nanoseconds")],
        period: (("cpu", "nanoseconds"), PERIOD),
        duration,
        hidden: None,
        comment: (lost > 0).then(|| format!("{lost} later samples are missing: ask for fewer seconds")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_to_record_is_bounded_and_has_a_default() {
        assert_eq!(seconds("").expect("the default"), 10);
        assert_eq!(seconds("debug=1&seconds=60").expect("the longest"), 60);
        for wrong in ["0", "61", "-1", "1.5", "", "ten", "99999999999999999999999"] {
            let error = seconds(&format!("seconds={wrong}")).expect_err(wrong).to_string();
            assert!(error.contains("seconds=1..60"), "{error}");
        }
    }

    #[test]
    fn equal_stacks_are_counted_and_what_is_missing_is_said() {
        let stack = |thread, frame| Stack { thread, frames: vec![frame, 7] };
        let stacks = vec![stack(1, 5), stack(1, 5), stack(2, 5)];
        let name = |thread| (thread == 1).then(|| "judge".to_owned());
        let mut profile = profile(stacks, 3, Duration::from_secs(1), name);
        profile.samples.sort_by_key(|sample| sample.values);
        let sample = |count, thread: Option<&str>| Sample {
            stack: vec![5, 7],
            values: [count, count * 10_000_000],
            thread: thread.map(str::to_owned),
        };
        assert_eq!(profile.samples, [sample(1, None), sample(2, Some("judge"))]);
        assert!(profile.comment.expect("a comment").starts_with("3 later samples"));
    }
}
