//! Waiting for conditions.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

/// How often a condition is looked at. The only sleep in the tests.
const INTERVAL: Duration = Duration::from_millis(50);

/// Asks `probe` until it answers `Ok`, and returns that answer.
///
/// # Panics
/// After `limit`, saying what was waited for and the last reason why it was not so. A probe that hangs is cut
/// off, too.
pub async fn eventually<T>(
    what: &str,
    limit: Duration,
    mut probe: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let deadline = Instant::now() + limit;
    let mut last = "it was never answered".to_owned();
    loop {
        match timeout_at(deadline, probe()).await {
            Ok(Ok(value)) => return value,
            Ok(Err(reason)) => last = reason,
            Err(_) => {
                panic!("waited {limit:?} until {what}, and the last question hangs; before that: {last}")
            }
        }
        if Instant::now() + INTERVAL > deadline {
            panic!("waited {limit:?} until {what}: {last}");
        }
        sleep(INTERVAL).await;
    }
}
