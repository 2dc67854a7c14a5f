//! The state of every watch, and from it one honest state for each selection; and what the schemas of its kinds
//! say of each policy.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::catalog::Unresolved;
use crate::api::status::ResourceState;
use crate::core::check::Warnings;
use crate::core::engine::Reader;
use crate::core::event::WatchId;
use crate::core::finding::PolicyKey;
use crate::core::policy::CompiledPolicy;
use crate::nudge::Fan;

/// State of one selection or watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectionState {
    /// The state.
    pub state: ResourceState,
    /// Group, version and plural, when known.
    pub resource: Option<String>,
    /// What is wrong and what to do.
    pub message: Option<String>,
    /// Since when.
    pub since: Timestamp,
}

impl SelectionState {
    fn new(state: ResourceState, message: Option<String>, since: Timestamp) -> Self {
        Self { state, resource: None, message, since }
    }
}

/// State of one watch, and for whom it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchState {
    /// Group, version and plural.
    pub resource: String,
    /// Who reads it.
    pub readers: BTreeSet<Reader>,
    /// The state.
    pub state: SelectionState,
}

/// See the module. Written by the manager, the streams and the checker, read by recorders.
#[derive(Debug)]
pub struct Board {
    inner: Mutex<Inner>,
    fan: Fan,
}

#[derive(Debug, Default)]
struct Inner {
    unresolved: BTreeMap<Reader, SelectionState>,
    streams: BTreeMap<WatchId, Stream>,
    namespaces: Option<WatchId>,
    checked: BTreeMap<PolicyKey, Checked>,
    /// Selections whose objects do not outlive the process, and why.
    unremembered: BTreeMap<Reader, Arc<str>>,
}

#[derive(Debug)]
struct Checked {
    uid: Arc<str>,
    generation: i64,
    warnings: Arc<Warnings>,
}

#[derive(Debug)]
struct Stream {
    resource: String,
    readers: BTreeSet<Reader>,
    /// Whether the first list was complete once.
    synced: bool,
    state: SelectionState,
}

/// What a stream says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Everything is known and changes arrive.
    Complete,
    /// The API server accepted the watch again.
    Connected,
    /// Not connected, or refused; the state is what it means when nothing was known before.
    Trouble(ResourceState, String),
}

impl Board {
    /// An empty board that nudges `fan` when the state of a policy's selection changed.
    pub fn new(fan: Fan) -> Self {
        Self { inner: Mutex::default(), fan }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the whole of what is wanted: streams that are not named are forgotten.
    pub fn assign(
        &self,
        streams: BTreeMap<WatchId, (String, BTreeSet<Reader>)>,
        namespaces: Option<WatchId>,
        unresolved: &BTreeMap<Reader, Unresolved>,
        now: Timestamp,
    ) {
        let mut inner = self.lock();
        inner.namespaces = namespaces;
        inner.streams.retain(|id, _| streams.contains_key(id));
        for (id, (resource, readers)) in streams {
            let stream = inner.streams.entry(id).or_insert_with(|| Stream {
                resource,
                readers: BTreeSet::new(),
                synced: false,
                state: SelectionState::new(ResourceState::Syncing, None, now),
            });
            stream.readers = readers;
        }
        let before = std::mem::take(&mut inner.unresolved);
        for (reader, why) in unresolved {
            let (state, message) = match why {
                Unresolved::Unknown => (
                    ResourceState::Syncing,
                    "it is not known yet whether the API server serves this kind".to_owned(),
                ),
                Unresolved::NotInstalled(text) => (ResourceState::NotInstalled, text.clone()),
                Unresolved::Invalid(text) => (ResourceState::Invalid, text.clone()),
            };
            let since =
                before.get(reader).filter(|known| known.state == state).map_or(now, |known| known.since);
            inner.unresolved.insert(reader.clone(), SelectionState::new(state, Some(message), since));
        }
        let readers: Vec<Reader> = inner.readers();
        drop(inner);
        readers.iter().chain(before.keys()).for_each(|reader| self.fan.add(&reader.policy));
    }

    /// Takes what a stream says. Returns whether its state changed.
    pub fn note(&self, id: WatchId, health: Health, now: Timestamp) -> bool {
        let mut inner = self.lock();
        let Some(stream) = inner.streams.get_mut(&id) else {
            return false;
        };
        let (state, message) = match health {
            Health::Complete => (ResourceState::Watching, None),
            // Before the first list is complete, a connection alone means little.
            Health::Connected if !stream.synced => return false,
            Health::Connected => (ResourceState::Watching, None),
            Health::Trouble(ResourceState::Syncing, text) if stream.synced => {
                (ResourceState::Stale, Some(text))
            }
            Health::Trouble(state, text) => (state, Some(text)),
        };
        stream.synced |= state == ResourceState::Watching;
        let since = if stream.state.state == state { stream.state.since } else { now };
        let message = match (state, message) {
            (ResourceState::Stale, Some(text)) => Some(format!("not connected since {since}: {text}")),
            (_, message) => message,
        };
        if stream.state.state == state && stream.state.message == message {
            return false;
        }
        stream.state = SelectionState::new(state, message, since);
        let everyone = inner.namespaces == Some(id);
        let readers: Vec<Reader> = match everyone {
            true => inner.readers(),
            false => inner
                .streams
                .get(&id)
                .map(|stream| stream.readers.iter().cloned().collect())
                .unwrap_or_default(),
        };
        drop(inner);
        readers.iter().for_each(|reader| self.fan.add(&reader.policy));
        true
    }

    /// The state of a selection: the worst of its watches, the namespaces among them if it needs them.
    pub fn selection(&self, reader: &Reader, needs_namespaces: bool) -> Option<SelectionState> {
        let inner = self.lock();
        if let Some(state) = inner.unresolved.get(reader) {
            return Some(state.clone());
        }
        let own = inner.streams.values().filter(|stream| stream.readers.contains(reader));
        let mut worst: Option<SelectionState> = None;
        for stream in own {
            let state = SelectionState { resource: Some(stream.resource.clone()), ..stream.state.clone() };
            if worst.as_ref().is_none_or(|known| known.state < state.state) {
                worst = Some(state);
            }
        }
        let namespaces = inner.namespaces.filter(|_| needs_namespaces).and_then(|id| inner.streams.get(&id));
        if let (Some(known), Some(namespaces)) = (&mut worst, namespaces)
            && known.state < namespaces.state.state
        {
            known.state = namespaces.state.state;
            known.message = namespaces.state.message.clone();
            known.since = namespaces.state.since;
        }
        if let Some(known) = worst.as_mut().filter(|known| known.state == ResourceState::Watching) {
            known.message = inner.unremembered.get(reader).map(ToString::to_string);
        }
        worst
    }

    /// Takes the selections of rules on changes whose objects do not outlive the process, all that there are, and why.
    pub fn note_unremembered(&self, unremembered: BTreeMap<Reader, Arc<str>>) {
        let before = std::mem::replace(&mut self.lock().unremembered, unremembered.clone());
        let readers = before.keys().chain(unremembered.keys());
        let changed = readers.filter(|reader| before.get(reader) != unremembered.get(reader));
        changed.for_each(|reader| self.fan.add(&reader.policy));
    }

    /// Takes the warnings of a policy, all that there are.
    pub fn warn(&self, policy: &CompiledPolicy, warnings: Warnings) {
        let (uid, generation) = (policy.uid.clone(), policy.generation);
        let checked = Checked { uid, generation, warnings: Arc::new(warnings) };
        let before = self.lock().checked.insert(policy.key.clone(), checked);
        // A first check without result is news, too: it clears what an earlier process found.
        if self.warnings(policy) != before.filter(|before| before.is_of(policy)).map(|before| before.warnings)
        {
            self.fan.add(&policy.key);
        }
    }

    /// Forgets the warnings of a policy that is not in force any more.
    pub fn forget_warnings(&self, policy: &PolicyKey) {
        self.lock().checked.remove(policy);
    }

    /// The warnings of a policy; nothing while it has not been checked as it is.
    pub fn warnings(&self, policy: &CompiledPolicy) -> Option<Arc<Warnings>> {
        let inner = self.lock();
        let checked = inner.checked.get(&policy.key).filter(|checked| checked.is_of(policy))?;
        Some(checked.warnings.clone())
    }

    /// Every watch that is wanted.
    pub fn watches(&self) -> BTreeMap<WatchId, WatchState> {
        let inner = self.lock();
        let watches = inner.streams.iter().map(|(id, stream)| {
            let (resource, readers) = (stream.resource.clone(), stream.readers.clone());
            (*id, WatchState { resource, readers, state: stream.state.clone() })
        });
        watches.collect()
    }

    /// Watches that are complete and connected.
    pub fn running(&self) -> usize {
        self.lock().streams.values().filter(|stream| stream.state.state == ResourceState::Watching).count()
    }
}

impl Checked {
    fn is_of(&self, policy: &CompiledPolicy) -> bool {
        (&self.uid, self.generation) == (&policy.uid, policy.generation)
    }
}

impl Inner {
    fn readers(&self) -> Vec<Reader> {
        self.streams
            .values()
            .flat_map(|stream| &stream.readers)
            .chain(self.unresolved.keys())
            .cloned()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader() -> Reader {
        Reader { policy: crate::core::finding::PolicyKey("p".into()), selection: "pods".into() }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn board() -> Board {
        let board = Board::new(Fan::default());
        let streams = [(WatchId(1), "pods.v1"), (WatchId(2), "pods.v1"), (WatchId(3), "namespaces.v1")];
        let streams = streams.map(|(id, name)| {
            let readers = if id == WatchId(3) { BTreeSet::new() } else { BTreeSet::from([reader()]) };
            (id, (name.to_owned(), readers))
        });
        board.assign(streams.into(), Some(WatchId(3)), &BTreeMap::new(), at(0));
        board
    }

    fn state(board: &Board, needs_namespaces: bool) -> ResourceState {
        board.selection(&reader(), needs_namespaces).expect("a state").state
    }

    #[test]
    fn a_selection_is_watching_when_all_its_watches_are() {
        let board = board();
        board.note(WatchId(1), Health::Complete, at(1));
        assert_eq!(state(&board, false), ResourceState::Syncing);
        board.note(WatchId(2), Health::Complete, at(1));
        assert_eq!(state(&board, false), ResourceState::Watching);
        assert_eq!(state(&board, true), ResourceState::Syncing, "the namespaces are not known yet");
        let refused = Health::Trouble(ResourceState::Forbidden, "may not".into());
        board.note(WatchId(3), refused, at(2));
        assert_eq!(state(&board, true), ResourceState::Forbidden);
    }

    #[test]
    fn a_lost_connection_is_stale_only_after_a_complete_list_and_keeps_its_time() {
        let board = board();
        let lost = || Health::Trouble(ResourceState::Syncing, "connection refused".into());
        board.note(WatchId(2), Health::Complete, at(1));
        board.note(WatchId(1), lost(), at(1));
        assert_eq!(state(&board, false), ResourceState::Syncing);
        board.note(WatchId(1), Health::Complete, at(2));
        assert!(board.note(WatchId(1), lost(), at(3)));
        assert!(!board.note(WatchId(1), lost(), at(9)), "the same trouble again is no news");
        let stale = board.selection(&reader(), false).expect("a state");
        assert_eq!((stale.state, stale.since), (ResourceState::Stale, at(3)));
        board.note(WatchId(1), Health::Connected, at(10));
        assert_eq!(state(&board, false), ResourceState::Watching);
    }

    #[test]
    fn every_watch_is_told_with_its_readers_and_state() {
        let board = board();
        board.note(WatchId(2), Health::Complete, at(1));
        let told = board
            .watches()
            .into_iter()
            .map(|(id, watch)| (id.0, watch.resource, watch.readers.len(), watch.state.state));
        let expected = [
            (1, "pods.v1".to_owned(), 1, ResourceState::Syncing),
            (2, "pods.v1".to_owned(), 1, ResourceState::Watching),
            (3, "namespaces.v1".to_owned(), 0, ResourceState::Syncing),
        ];
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_selection_that_is_watched_says_that_its_objects_do_not_outlive_the_process() {
        let board = board();
        let message = || board.selection(&reader(), false).expect("a state").message;
        board.note_unremembered([(reader(), "too many".into())].into());
        assert_eq!(message(), None, "it has other troubles");
        for id in [1, 2] {
            board.note(WatchId(id), Health::Complete, at(1));
        }
        assert_eq!(message().as_deref(), Some("too many"));
        board.note_unremembered(BTreeMap::new());
        assert_eq!(message(), None);
    }

    #[test]
    fn being_connected_says_nothing_before_the_first_list_is_complete() {
        let board = board();
        assert!(!board.note(WatchId(1), Health::Connected, at(1)));
        assert_eq!(state(&board, false), ResourceState::Syncing);
    }
}
