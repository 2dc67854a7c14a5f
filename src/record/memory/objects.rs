//! Writes the last known objects of rules on changes, each watch in up to four Secrets: the first time soon, and again at
//! most every ten seconds.
//!
//! A kill loses the changes since then. Those that were told are recognised by what occurred, which is written sooner; of
//! the others the last known state is older than it was, and they are judged once more. Of a watch that is too large
//! nothing is kept: its selections say so, and begin with what is after a restart.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::form::{self, Content};
use crate::core::engine::{Reader, WatchMemory};
use crate::core::remembered::place::{Place, grown};
use crate::core::remembered::{MAX_PARTS, Part, ReaderId};
use crate::metrics::ErrorKind;
use crate::record::Sources;
use crate::record::store::{Entry, Purpose, Store, StoreError};

/// Most objects of a watch that are remembered.
pub const MAX_OBJECTS: usize = 2_000;
/// Most bytes that they may take in the engine: what takes more is too much when it is packed, too.
const MAX_BYTES: usize = 16 << 20;
/// Most bytes of one of the Secrets, packed.
pub const MAX_PACKED: usize = 256 << 10;
/// Between two looks at what changed.
const TICK: Duration = Duration::from_secs(1);
/// Between two writes of one Secret, at least.
const MIN_INTERVAL: Duration = Duration::from_secs(10);
/// And so long for each of these bytes of it: an API server keeps what was before for minutes.
const BYTES_A_SECOND: usize = 16 << 10;
/// Selections that were not told yet what became of what an earlier process knew are waited for so long.
const CATCH_UP: Duration = Duration::from_secs(60);
/// A watch that was too large is looked at again after this time.
const TOO_LARGE: Duration = Duration::from_secs(600);
/// Longest pause after failed writes.
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// What an earlier process left of each watch, by the watch's name.
pub type LeftByWatch = HashMap<Arc<str>, Vec<Part>>;

/// Reads what an earlier process left.
///
/// # Errors
/// When the API server does not answer, or refuses.
pub async fn read(store: &Store) -> Result<LeftByWatch, StoreError> {
    let entries = store.list::<Content>(Purpose::Objects).await?;
    Ok(form::left(entries.into_iter().map(|entry| entry.content)))
}

/// What is there of one watch, and for whom, without its objects.
#[derive(Debug, Clone, Default)]
pub struct Account {
    of: u32,
    /// By place.
    written: BTreeMap<u32, Written>,
    /// Set while it is too large: when it is packed again to see.
    too_large: Option<Instant>,
}

#[derive(Debug, Clone, Default)]
struct Written {
    /// What it was written of; none by this process.
    state: Option<(Place, u64, Vec<ReaderId>)>,
    readers: Vec<ReaderId>,
    /// When it may be written again.
    next: Option<Instant>,
}

/// The accounts that follow from what an earlier process left.
pub fn accounts(left: &LeftByWatch) -> HashMap<Arc<str>, Account> {
    let account = |(name, parts): (&Arc<str>, &Vec<Part>)| {
        let of = parts.iter().map(|part| part.place.of).max().unwrap_or_default();
        let written = parts
            .iter()
            .map(|part| (part.place.index, Written { readers: part.readers.clone(), ..Written::default() }));
        (name.clone(), Account { of, written: written.collect(), too_large: None })
    };
    left.iter().map(account).collect()
}

/// Runs until `stop` changes; then writes what is owed once more and returns.
pub async fn run(
    sources: Sources,
    store: Store,
    accounts: HashMap<Arc<str>, Account>,
    mut stop: watch::Receiver<bool>,
) {
    let mut recorder =
        Recorder { started: Instant::now(), sources, store, accounts, failures: 0, pause_until: None };
    loop {
        tokio::select! {
            () = tokio::time::sleep(TICK) => recorder.look(false).await,
            _ = stop.changed() => break,
        }
    }
    recorder.look(true).await;
}

struct Recorder {
    started: Instant,
    sources: Sources,
    store: Store,
    accounts: HashMap<Arc<str>, Account>,
    /// Failed looks in a row; that they fail is said once.
    failures: u32,
    pause_until: Option<Instant>,
}

impl Recorder {
    async fn look(&mut self, last_call: bool) {
        let now = Instant::now();
        if !last_call && self.pause_until.is_some_and(|until| until > now) {
            return;
        }
        match self.write(last_call).await {
            Ok(()) => {
                self.pause_until = None;
                if std::mem::take(&mut self.failures) > 0 {
                    info!("the last known objects of rules on changes are written again");
                }
            }
            Err(error) => {
                self.sources.metrics.error(ErrorKind::Memory);
                self.failures = self.failures.saturating_add(1);
                let pause = TICK.saturating_mul(1 << self.failures.min(6)).min(MAX_BACKOFF);
                self.pause_until = Some(now + pause.mul_f64(0.5 + 0.5 * fastrand::f64()));
                match self.failures {
                    1 => warn!(
                        %error,
                        "the last known objects of rules on changes can not be written; trying again. A restart would \
                         judge changes of meanwhile by older ones, or not at all"
                    ),
                    _ => debug!(%error, "the last known objects can still not be written"),
                }
            }
        }
    }

    async fn write(&mut self, last_call: bool) -> Result<(), StoreError> {
        let memories = self.sources.judge.memories().await;
        let mut unremembered: BTreeMap<Reader, Arc<str>> = BTreeMap::new();
        let mut failed = None;
        for memory in &memories {
            match self.write_watch(memory, last_call).await {
                Ok(None) => {}
                Ok(Some(why)) => {
                    unremembered.extend(memory.readers.iter().map(|reader| (reader.clone(), why.clone())));
                }
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        if failed.is_none() {
            self.sources.board.note_unremembered(unremembered);
            failed = self.prune(&memories).await.err();
        }
        failed.map_or(Ok(()), Err)
    }

    /// Writes what changed of one watch; returns why nothing of it is kept, if so.
    async fn write_watch(
        &mut self,
        memory: &WatchMemory,
        last_call: bool,
    ) -> Result<Option<Arc<str>>, StoreError> {
        let now = Instant::now();
        // What is remembered of it is better than what would be written, as long as somebody is to be told of it.
        let waits = memory.owing && (last_call || now < self.started + CATCH_UP);
        if waits || memory.known_to.is_empty() {
            return Ok(None);
        }
        let account = self.accounts.entry(memory.name.clone()).or_default();
        let too_many = memory.objects > MAX_OBJECTS || memory.bytes > MAX_BYTES;
        if too_many || account.too_large.is_some_and(|until| until > now) {
            return self.forget(memory, now).await.map(Some);
        }
        account.of = grown(account.of, memory.objects.div_ceil(MAX_OBJECTS / MAX_PARTS as usize), MAX_PARTS);
        let of = account.of;
        for index in (0..of).rev() {
            let place = Place { index, of };
            let state = (place, memory.revision(place), memory.known_to.clone());
            let Some(account) = self.accounts.get_mut(&memory.name) else { break };
            if let Some(written) = account.written.get(&index) {
                let is_same = written.state.as_ref() == Some(&state);
                // One that is divided anew is written whole.
                let is_divided_anew = written.state.as_ref().is_some_and(|(known, ..)| *known != place);
                let rests = written.next.is_some_and(|next| next > now) && !is_divided_anew && !last_call;
                if is_same || rests {
                    continue;
                }
            }
            let Some(part) = self.sources.judge.part(memory, place).await else { break };
            let name = form::name_of(&memory.name, index);
            let entry = Entry { name, owner: None, content: form::content(&memory.name, &part) };
            match self.store.save_within(Purpose::Objects, &entry, MAX_PACKED).await {
                Ok(size) => {
                    debug!(watch = %memory.name, index, of, size, "last known objects written");
                    let pause = Duration::from_secs((size / BYTES_A_SECOND) as u64).max(MIN_INTERVAL);
                    let readers = memory.known_to.clone();
                    let next = Some(Instant::now() + pause);
                    account.written.insert(index, Written { state: Some(state), readers, next });
                }
                Err(StoreError::TooLarge { .. }) => return self.forget(memory, now).await.map(Some),
                Err(error) => return Err(error),
            }
        }
        if let Some(account) = self.accounts.get_mut(&memory.name) {
            account.too_large = None;
        }
        Ok(None)
    }

    /// Keeps nothing of a watch that is too large; returns that in words.
    async fn forget(&mut self, memory: &WatchMemory, now: Instant) -> Result<Arc<str>, StoreError> {
        let text = format!(
            "there is more than is remembered over a restart ({MAX_OBJECTS} objects, {} KiB packed): what changes while \
             polywatch is down is not judged; select fewer objects, or name the paths that matter",
            (MAX_PACKED * MAX_PARTS as usize) >> 10,
        );
        let Some(account) = self.accounts.get_mut(&memory.name) else { return Ok(text.into()) };
        if account.too_large.is_none() {
            warn!(watch = %memory.name, objects = memory.objects, "{text}");
        }
        if account.too_large.is_none_or(|until| until <= now) {
            account.too_large = Some(now + TOO_LARGE);
        }
        delete(&self.store, &memory.name, account).await?;
        Ok(text.into())
    }

    /// Forgets watches that nobody reads who read them when they were written.
    async fn prune(&mut self, memories: &[WatchMemory]) -> Result<(), StoreError> {
        let policies = self.sources.published.borrow().policies.clone();
        let policies = policies.values().filter(|policy| !policy.suspended);
        let as_they_are: HashSet<(Arc<str>, i64)> =
            policies.map(|policy| (policy.uid.clone(), policy.generation)).collect();
        let wanted: HashSet<&Arc<str>> = memories.iter().map(|memory| &memory.name).collect();
        for (name, account) in &mut self.accounts {
            let mut readers = account.written.values().flat_map(|written| &written.readers);
            let is_read =
                |reader: &ReaderId| as_they_are.contains(&(reader.policy.clone(), reader.generation));
            if !wanted.contains(name) && !readers.any(is_read) {
                delete(&self.store, name, account).await?;
            }
        }
        self.accounts.retain(|name, account| wanted.contains(name) || !account.written.is_empty());
        Ok(())
    }
}

async fn delete(store: &Store, watch: &str, account: &mut Account) -> Result<(), StoreError> {
    while let Some(index) = account.written.keys().next_back().copied() {
        store.delete(Purpose::Objects, &form::name_of(watch, index)).await?;
        account.written.remove(&index);
    }
    account.of = 0;
    Ok(())
}

#[cfg(test)]
mod tests;
