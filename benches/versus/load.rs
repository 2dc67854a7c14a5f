//! Updates at a given rate, and probes beside them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::book::Book;
use crate::cluster::eventually;
use crate::fleet::{CONCURRENT, Fleet, create_probe, relabel};
use crate::pods;
use crate::writer::Writer;

/// How long the last writes may take to be seen; of one who lists every ten seconds, the next list.
const PATIENCE: Duration = Duration::from_secs(60);
/// A status lists 20 findings, so that a probe too many would not be listed.
const PROBES_AT_ONCE: usize = 15;

/// Writes `rate` updates a second for that long, and returns how many when all have been seen. Whoever reads the
/// contender notes in the book what it sees.
pub async fn updates(
    writer: &Writer,
    fleet: &mut Fleet,
    book: &Arc<Book>,
    rate: u32,
    seconds: Duration,
) -> usize {
    let places = Arc::new(Semaphore::new(CONCURRENT));
    let mut tokens = interval(Duration::from_secs(1) / rate);
    // A late token is made up for, so that the rate is that on average.
    tokens.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut writes = JoinSet::new();
    let mut count = 0;
    let end = Instant::now() + seconds;
    while Instant::now() < end {
        tokens.tick().await;
        let place = places.clone().acquire_owned().await.expect("never closed");
        let Some(toggle) = fleet.toggle(book) else { continue };
        count += 1;
        let (writer, book) = (writer.clone(), book.clone());
        writes.spawn(async move {
            relabel(&writer, &toggle.id, &toggle.body).await;
            book.acknowledged(&toggle.id);
            drop(place);
        });
        while let Some(done) = writes.try_join_next() {
            done.expect("a write succeeds");
        }
    }
    while let Some(done) = writes.join_next().await {
        done.expect("a write succeeds");
    }
    all_seen(book).await;
    count
}

/// About once a second for that long, creates a pod that is worst of all; deletes it once it was seen.
pub async fn probes(writer: &Writer, book: &Arc<Book>, seconds: Duration) {
    let mut alive: Vec<String> = Vec::new();
    let end = Instant::now() + seconds;
    for n in 0.. {
        if Instant::now() >= end {
            break;
        }
        // Not in step with whoever writes once a second.
        sleep(Duration::from_millis(fastrand::u64(700..1300))).await;
        let (seen, waiting): (Vec<_>, Vec<_>) = alive.into_iter().partition(|id| !book.waits(id));
        alive = waiting;
        remove(writer, &seen).await;
        if alive.len() < PROBES_AT_ONCE {
            let id = format!("{}/probe-{n}", pods::namespace(n % pods::NAMESPACES));
            book.expect(&id, true);
            create_probe(writer, &id).await;
            book.acknowledged(&id);
            alive.push(id);
        }
    }
    all_seen(book).await;
    remove(writer, &alive).await;
}

async fn remove(writer: &Writer, probes: &[String]) {
    for id in probes {
        writer.delete(&pods::path(id)).await;
    }
}

async fn all_seen(book: &Book) {
    eventually("all writes were seen", PATIENCE, async || match book.waiting() {
        0 => Ok(()),
        waiting => Err(format!("{waiting} were not")),
    })
    .await;
}
