//! The engine: policies, the objects that watches report, and what follows from both.
//!
//! Everything is synchronous and bounded: a call handles one event, or a slice of the work that a changed
//! policy or namespace leaves behind. Time is an argument.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::cel::{Bindings, Inputs, Root};
use super::event::{ObjectEvent, ObjectKey, WatchId};
use super::finding::{Finding, FindingKey, ObjectId, PolicyKey, Resolution, Severity, Transition};
use super::ledger::Ledger;
use super::policy::{CompiledPolicy, PolicySet, Selection};
use super::project::ProjectedObject;
use super::rules::{MAX_MESSAGE_LEN, Verdict, one_line};
use super::tree::Node;

/// Policies that read `now` are judged again this often, beside every change.
pub const NOW_INTERVAL: SignedDuration = SignedDuration::from_secs(60);

/// One selection of one policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reader {
    /// The policy.
    pub policy: PolicyKey,
    /// The selection's name.
    pub selection: Arc<str>,
}

/// What a watch is of, and for whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Route {
    /// Who reads it.
    pub readers: BTreeSet<Reader>,
    /// Group, version and plural, for `request.resource`.
    pub resource: [Arc<str>; 3],
}

/// What is to be judged: always the whole of it, never a difference.
#[derive(Debug, Clone, Default)]
pub struct Assignment {
    /// The policies in force.
    pub policies: Arc<PolicySet>,
    /// Which watch feeds whom.
    pub routes: BTreeMap<WatchId, Route>,
    /// The watch of all namespaces, when a policy needs it.
    pub namespaces: Option<WatchId>,
    /// Selections whose kind is known not to be served.
    pub absent: BTreeSet<Reader>,
}

/// Transitions, each with the policy that it belongs to.
pub type Outcome = Vec<(PolicyKey, Transition)>;

/// State and totals of one policy.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyReport {
    /// UID of the policy that was judged.
    pub uid: Arc<str>,
    /// Generation of its spec that was judged.
    pub generation: i64,
    /// One entry for each selection, in the order of the spec.
    pub selections: Vec<SelectionReport>,
    /// One entry for each rule that compiled.
    pub rules: Vec<RuleReport>,
    /// Open findings, worst and oldest first, at most as many as asked for.
    pub worst: Vec<Arc<Finding>>,
    /// Open findings by severity, in the order of [`Severity::ALL`].
    pub by_severity: [usize; 5],
    /// Pairs of rule and object that could not be judged.
    pub rule_errors: usize,
}

impl PolicyReport {
    /// All open findings.
    pub fn open(&self) -> usize {
        self.by_severity.iter().sum()
    }
}

/// What one selection covers.
#[derive(Debug, Clone, PartialEq)]
pub struct SelectionReport {
    /// Its name.
    pub name: Arc<str>,
    /// Objects that it selects.
    pub objects: usize,
    /// Whether all its objects are known and judged.
    pub settled: bool,
}

/// What one rule found.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleReport {
    /// Its name.
    pub name: Arc<str>,
    /// Open findings.
    pub open: usize,
    /// Objects that it could not be judged on.
    pub errors: usize,
    /// The last such error, while there is one.
    pub last_error: Option<Arc<str>>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Engine {
    policies: BTreeMap<PolicyKey, Tracked>,
    watches: Watches,
    work: VecDeque<Work>,
    restored: HashMap<PolicyKey, (Arc<str>, Vec<Finding>)>,
}

#[derive(Debug)]
struct Tracked {
    policy: Arc<CompiledPolicy>,
    ledger: Ledger,
    /// Selections whose objects are all known and judged.
    settled: HashSet<Arc<str>>,
    feeds: HashMap<Arc<str>, BTreeSet<WatchId>>,
    needs_namespaces: bool,
    uses_namespace_object: bool,
    uses_request: bool,
    judge_again: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Watches {
    by_id: HashMap<WatchId, Watched>,
    namespaces: Option<WatchId>,
}

#[derive(Debug, Default)]
struct Watched {
    route: Route,
    objects: BTreeMap<ObjectKey, Kept>,
    per_namespace: BTreeMap<Option<Arc<str>>, usize>,
    epoch: u64,
    synced: bool,
}

#[derive(Debug)]
struct Kept {
    object: Arc<ProjectedObject>,
    epoch: u64,
}

/// Objects of one watch to judge again for one reader.
#[derive(Debug)]
struct Work {
    reader: Reader,
    watch: WatchId,
    /// Only this namespace; none for all.
    namespace: Option<Arc<str>>,
    after: Option<ObjectKey>,
}

impl Work {
    /// Whether it is a pass over all that has not come to this namespace.
    fn is_before(&self, namespace: Option<&Arc<str>>) -> bool {
        self.namespace.is_none()
            && self.after.as_ref().is_none_or(|after| after.namespace.as_ref() < namespace)
    }
}

impl Watches {
    fn namespace(&self, name: &str) -> Option<&Arc<ProjectedObject>> {
        let key = ObjectKey { namespace: None, name: name.into() };
        self.by_id.get(&self.namespaces?)?.objects.get(&key).map(|kept| &kept.object)
    }

    fn namespaces_synced(&self) -> bool {
        self.namespaces.and_then(|id| self.by_id.get(&id)).is_some_and(|watch| watch.synced)
    }

    fn admits(&self, selection: &Selection, object: &ProjectedObject) -> bool {
        let id = object.id();
        // A Namespace object is matched by its own labels, as in admission policies.
        if id.namespace.is_none() && &*id.kind == "Namespace" && &*id.api_version == "v1" {
            return selection.filter.admits(Some(&id.name), |_| Some(object.labels()));
        }
        self.passes(selection, id.namespace.as_deref())
    }

    fn cluster_scoped(&self, watch: &Watched, selection: &Selection) -> usize {
        watch
            .objects
            .iter()
            .take_while(|(key, _)| key.namespace.is_none())
            .filter(|(_, kept)| self.admits(selection, &kept.object))
            .count()
    }

    fn passes(&self, selection: &Selection, namespace: Option<&str>) -> bool {
        selection.filter.admits(namespace, |name| self.namespace(name).map(|object| object.labels()))
    }
}

impl Engine {
    /// Hands over what an earlier process had open for a policy. To be called before the policy is assigned;
    /// ignored when the policy that is assigned has another UID.
    pub fn restore(&mut self, policy: PolicyKey, uid: Arc<str>, findings: Vec<Finding>) {
        self.restored.insert(policy, (uid, findings));
    }

    /// Takes the whole of what is to be judged. Findings that the change ends are resolved at once; objects that
    /// have to be judged again are queued for [`Engine::work`].
    pub fn assign(&mut self, assignment: Assignment, now: Timestamp) -> Outcome {
        let mut out = Vec::new();
        self.policies.retain(|key, tracked| {
            assignment.policies.get(key).is_some_and(|p| p.uid == tracked.policy.uid && !p.suspended)
        });
        // What was open before a policy was suspended is forgotten.
        self.restored.retain(|key, _| !assignment.policies.get(key).is_some_and(|policy| policy.suspended));
        let mut changed: HashSet<PolicyKey> = HashSet::new();
        for (key, policy) in assignment.policies.iter().filter(|(_, policy)| !policy.suspended) {
            match self.policies.get_mut(key) {
                Some(tracked) if Arc::ptr_eq(&tracked.policy, policy) => {}
                Some(tracked) => {
                    changed.insert(key.clone());
                    out.extend(tracked.replace(policy.clone(), now).into_iter().map(|t| (key.clone(), t)));
                }
                None => {
                    let mut tracked = Tracked::new(policy.clone(), now);
                    if let Some((uid, findings)) = self.restored.remove(key)
                        && uid == policy.uid
                    {
                        for finding in findings.into_iter().filter(|finding| covers(policy, &finding.key)) {
                            tracked.ledger.restore(finding);
                        }
                    }
                    self.policies.insert(key.clone(), tracked);
                }
            }
        }
        self.route(assignment.routes, assignment.namespaces, &changed);
        for reader in &assignment.absent {
            if let Some(tracked) = self.policies.get_mut(&reader.policy) {
                tracked.settled.insert(reader.selection.clone());
                let gone = tracked.ledger.settle(&reader.selection);
                out.extend(gone.into_iter().map(|t| (reader.policy.clone(), t)));
            }
        }
        let readers: Vec<Reader> = self.readers();
        for reader in readers {
            self.settle(&reader, &mut out);
        }
        out
    }

    /// Compares the routes with those in force: what a reader no longer gets is put in doubt, what it newly
    /// gets is queued.
    fn route(
        &mut self,
        routes: BTreeMap<WatchId, Route>,
        namespaces: Option<WatchId>,
        changed: &HashSet<PolicyKey>,
    ) {
        let namespaces_changed = self.watches.namespaces != namespaces;
        self.watches.namespaces = namespaces;
        let nobody = Route::default();
        let ended: Vec<WatchId> = self.watches.by_id.keys().copied().collect();
        for id in ended {
            let wanted = routes.get(&id);
            let Some(watch) = self.watches.by_id.get(&id) else {
                continue;
            };
            for reader in watch.route.readers.difference(&wanted.unwrap_or(&nobody).readers) {
                if let Some(tracked) = self.policies.get_mut(&reader.policy) {
                    tracked.lose(&reader.selection, id, watch);
                }
            }
            if wanted.is_none() && namespaces != Some(id) {
                self.watches.by_id.remove(&id);
            }
        }
        if let Some(id) = namespaces {
            self.watches.by_id.entry(id).or_default();
        }
        for (id, route) in routes {
            let watch = self.watches.by_id.entry(id).or_default();
            let mut again = Vec::new();
            for reader in &route.readers {
                let Some(tracked) = self.policies.get_mut(&reader.policy) else {
                    continue;
                };
                let new = tracked.feeds.entry(reader.selection.clone()).or_default().insert(id);
                if new || changed.contains(&reader.policy) || (namespaces_changed && tracked.needs_namespaces)
                {
                    tracked.settled.remove(&reader.selection);
                    again.push(reader.clone());
                }
            }
            watch.route = route;
            again.into_iter().for_each(|reader| self.queue(reader, id, None));
        }
        // What an earlier assignment queued may be of a watch that its reader no longer reads.
        let by_id = &self.watches.by_id;
        self.work.retain(|work| {
            let watch = by_id.get(&work.watch);
            watch.is_some_and(|watch| watch.route.readers.contains(&work.reader))
        });
    }

    /// Takes one event of a watch.
    pub fn step(&mut self, id: WatchId, event: ObjectEvent, now: Timestamp) -> Outcome {
        let mut out = Vec::new();
        // An event of a watch that has just been stopped is nobody's.
        let Some(watch) = self.watches.by_id.get_mut(&id) else {
            return out;
        };
        match event {
            ObjectEvent::Relisting => watch.epoch += 1,
            ObjectEvent::Seen(object) => self.seen(id, object, now, &mut out),
            ObjectEvent::Gone(key) => self.gone(id, &key, &mut out),
            ObjectEvent::Synced => {
                let epoch = watch.epoch;
                watch.synced = true;
                let missed: Vec<ObjectKey> = watch
                    .objects
                    .iter()
                    .filter(|(_, kept)| kept.epoch != epoch)
                    .map(|(key, _)| key.clone())
                    .collect();
                missed.iter().for_each(|key| self.gone(id, key, &mut out));
                if self.watches.namespaces == Some(id) {
                    self.queue_for_namespaces(None);
                }
                let readers: Vec<Reader> = self
                    .watches
                    .by_id
                    .get(&id)
                    .map(|w| w.route.readers.iter().cloned().collect())
                    .unwrap_or_default();
                readers.iter().for_each(|reader| self.settle(reader, &mut out));
            }
        }
        out
    }

    fn seen(&mut self, id: WatchId, object: Arc<ProjectedObject>, now: Timestamp, out: &mut Outcome) {
        let key = object.key();
        let known =
            self.watches.by_id.get(&id).and_then(|w| w.objects.get(&key)).map(|kept| kept.object.clone());
        if known.as_ref().is_some_and(|known| known.id().uid != object.id().uid) {
            // Deleted and created again while nobody looked.
            self.gone(id, &key, out);
        }
        let Some(watch) = self.watches.by_id.get_mut(&id) else {
            return;
        };
        let epoch = watch.epoch;
        if watch.objects.insert(key.clone(), Kept { object: object.clone(), epoch }).is_none() {
            *watch.per_namespace.entry(key.namespace.clone()).or_default() += 1;
        }
        if known.as_ref().is_some_and(|known| known.fingerprint() == object.fingerprint()) {
            return;
        }
        let readers = watch.route.readers.clone();
        for reader in &readers {
            self.judge(reader, id, &object, now, out);
        }
        if self.watches.namespaces == Some(id) {
            let relabelled = known.is_none_or(|known| known.labels() != object.labels());
            self.queue_for_namespace(&key.name, relabelled);
        }
    }

    fn gone(&mut self, id: WatchId, key: &ObjectKey, out: &mut Outcome) {
        let Some(watch) = self.watches.by_id.get_mut(&id) else {
            return;
        };
        let Some(kept) = watch.objects.remove(key) else {
            return;
        };
        if let Some(count) = watch.per_namespace.get_mut(&key.namespace) {
            *count -= 1;
            if *count == 0 {
                watch.per_namespace.remove(&key.namespace);
            }
        }
        for reader in &watch.route.readers {
            let Some(tracked) = self.policies.get_mut(&reader.policy) else {
                continue;
            };
            tracked.forget(
                &reader.selection,
                kept.object.id().uid.clone(),
                Resolution::ObjectGone,
                &reader.policy,
                out,
            );
        }
        // Watches are not in step: a namespace may go before its objects do.
        if self.watches.namespaces == Some(id) {
            self.queue_for_namespaces(Some(&key.name));
        }
    }

    /// Judges up to `limit` queued objects; returns what came of it. Call again while [`Engine::has_work`].
    pub fn work(&mut self, limit: usize, now: Timestamp) -> Outcome {
        let mut out = Vec::new();
        let Some(mut work) = self.work.pop_front() else {
            return out;
        };
        let start = match (&work.after, &work.namespace) {
            (Some(after), _) => Bound::Excluded(after.clone()),
            (None, Some(_)) => {
                Bound::Included(ObjectKey { namespace: work.namespace.clone(), name: "".into() })
            }
            (None, None) => Bound::Unbounded,
        };
        let slice: Vec<Arc<ProjectedObject>> = match self.watches.by_id.get(&work.watch) {
            Some(watch) => watch
                .objects
                .range((start, Bound::Unbounded))
                .take_while(|(key, _)| work.namespace.is_none() || key.namespace == work.namespace)
                .take(limit)
                .map(|(_, kept)| kept.object.clone())
                .collect(),
            None => Vec::new(),
        };
        for object in &slice {
            self.judge(&work.reader, work.watch, object, now, &mut out);
        }
        match slice.last() {
            // Back of the queue: one large watch does not keep others waiting.
            Some(last) if slice.len() == limit => {
                work.after = Some(last.key());
                self.work.push_back(work);
            }
            _ => self.settle(&work.reader, &mut out),
        }
        out
    }

    /// Whether objects are queued to be judged again.
    pub fn has_work(&self) -> bool {
        !self.work.is_empty()
    }

    /// The policy that [`Engine::work`] turns to next.
    pub fn next_work(&self) -> Option<PolicyKey> {
        self.work.front().map(|work| work.reader.policy.clone())
    }

    /// The policies that read a watch.
    pub fn readers_of(&self, id: WatchId) -> BTreeSet<PolicyKey> {
        let readers = self.watches.by_id.get(&id).into_iter().flat_map(|watch| &watch.route.readers);
        readers.map(|reader| reader.policy.clone()).collect()
    }

    /// Those of the policies that read a watch whose rule errors changed since the last call: no transition tells
    /// of them.
    pub fn errors_changed(&mut self, id: WatchId) -> Vec<PolicyKey> {
        let Some(watch) = self.watches.by_id.get(&id) else {
            return Vec::new();
        };
        let changed = |policy: &&PolicyKey| {
            let tracked = self.policies.get_mut(*policy);
            tracked.is_some_and(|tracked| tracked.ledger.take_errors_changed())
        };
        let readers = watch.route.readers.iter().map(|reader| &reader.policy);
        readers.filter(changed).cloned().collect()
    }

    /// Queues what the passing of time may have changed.
    pub fn tick(&mut self, now: Timestamp) {
        let due: Vec<Reader> = self
            .policies
            .iter_mut()
            .filter(|(_, tracked)| tracked.judge_again.is_some_and(|at| at <= now))
            .flat_map(|(key, tracked)| {
                tracked.judge_again = Some(now.saturating_add(NOW_INTERVAL).unwrap_or(Timestamp::MAX));
                tracked.readers(key)
            })
            .collect();
        for reader in due {
            for watch in self.feeds(&reader) {
                self.queue(reader.clone(), watch, None);
            }
        }
    }

    /// State and totals of a policy, with its `limit` worst findings.
    pub fn report(&self, key: &PolicyKey, limit: usize) -> Option<PolicyReport> {
        let tracked = self.policies.get(key)?;
        let selections = tracked.policy.selections.iter().map(|selection| SelectionReport {
            name: selection.name.clone(),
            objects: self.objects_of(tracked, selection),
            settled: tracked.settled.contains(&selection.name),
        });
        let rules = tracked.policy.rules.iter().map(|rule| {
            let (errors, last_error) = tracked.ledger.errors_of_rule(&rule.name);
            RuleReport {
                name: rule.name.clone(),
                open: tracked.ledger.count_of_rule(&rule.name),
                errors,
                last_error: last_error.cloned(),
            }
        });
        Some(PolicyReport {
            uid: tracked.policy.uid.clone(),
            generation: tracked.policy.generation,
            selections: selections.collect(),
            rules: rules.collect(),
            worst: tracked.ledger.open().take(limit).cloned().collect(),
            by_severity: Severity::ALL.map(|severity| tracked.ledger.count(severity)),
            rule_errors: tracked.ledger.errors(),
        })
    }

    /// All open findings of a policy, worst and oldest first.
    pub fn open(&self, key: &PolicyKey) -> Vec<Arc<Finding>> {
        self.policies.get(key).map(|tracked| tracked.ledger.open().cloned().collect()).unwrap_or_default()
    }

    /// The selections of a policy that are settled, so that what is not open is not wrong.
    pub fn settled(&self, key: &PolicyKey) -> HashSet<Arc<str>> {
        self.policies.get(key).map(|tracked| tracked.settled.clone()).unwrap_or_default()
    }

    /// Objects kept for a watch.
    pub fn objects(&self, id: WatchId) -> usize {
        self.watches.by_id.get(&id).map_or(0, |watch| watch.objects.len())
    }

    fn objects_of(&self, tracked: &Tracked, selection: &Selection) -> usize {
        let feeds = tracked.feeds.get(&selection.name).into_iter().flatten();
        let watches = feeds.filter_map(|id| self.watches.by_id.get(id));
        watches
            .map(|watch| match selection.filter.is_empty() {
                true => watch.objects.len(),
                false => watch
                    .per_namespace
                    .iter()
                    .map(|(namespace, count)| match namespace {
                        Some(_) if self.watches.passes(selection, namespace.as_deref()) => *count,
                        Some(_) => 0,
                        // Namespaces are matched one by one, and other cluster scoped objects are few.
                        None => self.watches.cluster_scoped(watch, selection),
                    })
                    .sum(),
            })
            .sum()
    }

    fn judge(
        &mut self,
        reader: &Reader,
        watch: WatchId,
        object: &ProjectedObject,
        now: Timestamp,
        out: &mut Outcome,
    ) {
        let Some(tracked) = self.policies.get_mut(&reader.policy) else {
            return;
        };
        let policy = tracked.policy.clone();
        let Some(index) = policy.selections.iter().position(|s| s.name == reader.selection) else {
            return;
        };
        if tracked.needs_namespaces && !self.watches.namespaces_synced() {
            return;
        }
        let uid = &object.id().uid;
        if !self.watches.admits(&policy.selections[index], object) {
            tracked.forget(&reader.selection, uid.clone(), Resolution::NotSelected, &reader.policy, out);
            return;
        }
        let namespace_object =
            object.id().namespace.as_deref().and_then(|name| self.watches.namespace(name)).map(|o| o.root());
        let resource = self.watches.by_id.get(&watch).map(|w| w.route.resource.clone()).unwrap_or_default();
        let request = tracked.uses_request.then(|| request(&resource, object.id()));
        let mut bindings = Bindings::new(Inputs {
            object: Some(object.root()),
            old_object: None,
            namespace_object,
            request: request.as_ref(),
            now,
            variables: &policy.variables,
        });
        let admitted = match_conditions(&policy, &mut bindings);
        for rule in
            policy.rules.iter().filter(|rule| rule.selections.get(index).is_some_and(|judged| *judged))
        {
            let key =
                FindingKey { rule: rule.name.clone(), selection: reader.selection.clone(), uid: uid.clone() };
            let verdict = match &admitted {
                // What was found before stays until the rule can be judged again.
                _ if !rule.is_in_force() => None,
                Admission::Skipped => {
                    let skipped = tracked.ledger.forget(&key, Resolution::NotSelected);
                    out.extend(skipped.map(|t| (reader.policy.clone(), t)));
                    continue;
                }
                Admission::Failed(error) => Some(Verdict::Error(error.clone())),
                Admission::Judged => rule.judge(&mut bindings),
            };
            let transition = match verdict {
                Some(verdict) => tracked.ledger.enter(key, rule.severity, object.id(), verdict, now),
                None => {
                    tracked.ledger.confirm(&key);
                    None
                }
            };
            out.extend(transition.map(|t| (reader.policy.clone(), t)));
        }
    }

    /// Resolves what an earlier process or routing left in doubt, once all objects of a selection are judged.
    fn settle(&mut self, reader: &Reader, out: &mut Outcome) {
        let pending = self.work.iter().any(|work| work.reader == *reader);
        let Some(tracked) = self.policies.get_mut(&reader.policy) else {
            return;
        };
        let Some(feeds) = tracked.feeds.get(&reader.selection).filter(|feeds| !feeds.is_empty()) else {
            return;
        };
        let synced = feeds.iter().all(|id| self.watches.by_id.get(id).is_some_and(|watch| watch.synced));
        if pending || !synced || (tracked.needs_namespaces && !self.watches.namespaces_synced()) {
            return;
        }
        if tracked.settled.insert(reader.selection.clone()) {
            let gone = tracked.ledger.settle(&reader.selection);
            out.extend(gone.into_iter().map(|t| (reader.policy.clone(), t)));
        }
    }

    /// Queues a pass over a watch, or over one namespace of it. A pass over all that is under way begins again for
    /// another such, and goes on when it will come to the namespace anyway: changes of namespaces starve nobody.
    fn queue(&mut self, reader: Reader, watch: WatchId, namespace: Option<Arc<str>>) {
        let mut same = self.work.iter_mut().filter(|work| work.reader == reader && work.watch == watch);
        let covering = match &namespace {
            None => same.find(|work| work.namespace.is_none()),
            Some(_) => same.find(|work| work.namespace == namespace || work.is_before(namespace.as_ref())),
        };
        match covering {
            Some(work) if work.namespace == namespace => work.after = None,
            Some(_) => {}
            None => self.work.push_back(Work { reader, watch, namespace, after: None }),
        }
    }

    fn queue_for_namespaces(&mut self, namespace: Option<&Arc<str>>) {
        let readers: Vec<Reader> = self
            .policies
            .iter()
            .filter(|(_, tracked)| tracked.needs_namespaces)
            .flat_map(|(key, tracked)| tracked.readers(key))
            .collect();
        for reader in readers {
            for watch in self.feeds(&reader) {
                self.queue(reader.clone(), watch, namespace.cloned());
            }
        }
    }

    fn queue_for_namespace(&mut self, name: &Arc<str>, relabelled: bool) {
        if relabelled || self.policies.values().any(|tracked| tracked.uses_namespace_object) {
            self.queue_for_namespaces(Some(name));
        }
    }

    fn readers(&self) -> Vec<Reader> {
        self.policies.iter().flat_map(|(key, tracked)| tracked.readers(key)).collect()
    }

    fn feeds(&self, reader: &Reader) -> Vec<WatchId> {
        let feeds =
            self.policies.get(&reader.policy).and_then(|tracked| tracked.feeds.get(&reader.selection));
        feeds.into_iter().flatten().copied().collect()
    }
}

enum Admission {
    Judged,
    Skipped,
    Failed(Arc<str>),
}

/// As in admission policies: one false condition skips the object, whatever the others say.
fn match_conditions(policy: &CompiledPolicy, bindings: &mut Bindings<'_>) -> Admission {
    let mut failed = None;
    for condition in &policy.match_conditions {
        match condition.program.evaluate_bool(bindings) {
            Ok(true) => {}
            Ok(false) => return Admission::Skipped,
            Err(error) => {
                let text = format!("matchCondition {}: {error}", condition.name);
                failed.get_or_insert_with(|| one_line(&text, MAX_MESSAGE_LEN).into());
            }
        }
    }
    failed.map_or(Admission::Judged, Admission::Failed)
}

/// `request`, as if the object was created in the state that it has.
fn request([group, version, resource]: &[Arc<str>; 3], object: &ObjectId) -> Node {
    let map = |fields: &[(&str, &Arc<str>)]| {
        let entries = fields.iter().map(|(key, value)| ((*key).into(), Node::Str((*value).clone())));
        Node::Map(entries.collect())
    };
    let empty: Arc<str> = "".into();
    let text = |text: &Arc<str>| Node::Str(text.clone());
    Node::Map(
        [
            ("operation".into(), Node::Str("CREATE".into())),
            ("kind".into(), map(&[("group", group), ("version", version), ("kind", &object.kind)])),
            ("resource".into(), map(&[("group", group), ("version", version), ("resource", resource)])),
            ("namespace".into(), text(object.namespace.as_ref().unwrap_or(&empty))),
            ("name".into(), text(&object.name)),
        ]
        .into(),
    )
}

impl Tracked {
    fn new(policy: Arc<CompiledPolicy>, now: Timestamp) -> Self {
        let mut tracked = Self {
            policy,
            ledger: Ledger::default(),
            settled: HashSet::new(),
            feeds: HashMap::new(),
            needs_namespaces: false,
            uses_namespace_object: false,
            uses_request: false,
            judge_again: None,
        };
        tracked.note_needs(now);
        tracked
    }

    fn note_needs(&mut self, now: Timestamp) {
        self.needs_namespaces = self.policy.needs_namespaces();
        self.uses_namespace_object = self.policy.uses(Root::NamespaceObject);
        self.uses_request = self.policy.uses(Root::Request);
        let next = now.saturating_add(NOW_INTERVAL).unwrap_or(Timestamp::MAX);
        self.judge_again = self.policy.uses(Root::Now).then_some(next);
    }

    fn replace(&mut self, policy: Arc<CompiledPolicy>, now: Timestamp) -> Vec<Transition> {
        self.policy = policy;
        self.note_needs(now);
        let Self { policy, ledger, feeds, settled, .. } = self;
        feeds.retain(|name, _| policy.selections.iter().any(|s| s.name == *name));
        settled.clear();
        let covered = |key: &FindingKey| covers(policy, key);
        ledger.retain(covered, Resolution::RuleGone)
    }

    /// The watch no longer feeds the selection. Its findings stay until what replaces it is complete.
    fn lose(&mut self, selection: &Arc<str>, id: WatchId, watch: &Watched) {
        if let Some(feeds) = self.feeds.get_mut(selection) {
            feeds.remove(&id);
        }
        self.settled.remove(selection);
        for kept in watch.objects.values() {
            for rule in &self.policy.rules {
                let key = FindingKey {
                    rule: rule.name.clone(),
                    selection: selection.clone(),
                    uid: kept.object.id().uid.clone(),
                };
                self.ledger.doubt(&key);
            }
        }
    }

    fn forget(
        &mut self,
        selection: &Arc<str>,
        uid: Arc<str>,
        why: Resolution,
        policy: &PolicyKey,
        out: &mut Outcome,
    ) {
        let mut key = FindingKey { rule: "".into(), selection: selection.clone(), uid };
        for rule in &self.policy.rules {
            key.rule = rule.name.clone();
            out.extend(self.ledger.forget(&key, why).map(|t| (policy.clone(), t)));
        }
    }

    fn readers(&self, key: &PolicyKey) -> Vec<Reader> {
        let names = self.policy.selections.iter().map(|selection| selection.name.clone());
        names.map(|selection| Reader { policy: key.clone(), selection }).collect()
    }
}

fn covers(policy: &CompiledPolicy, key: &FindingKey) -> bool {
    let selection = policy.selections.iter().position(|selection| selection.name == key.selection);
    let rule = policy.rules.iter().find(|rule| rule.name == key.rule);
    selection.zip(rule).is_some_and(|(index, rule)| rule.selections.get(index).is_some_and(|judged| *judged))
}

#[cfg(test)]
mod tests;
