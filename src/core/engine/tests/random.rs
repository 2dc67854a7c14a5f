//! Histories at random: whatever happened on the way, what is open in the end follows from how things are.

use proptest::prelude::*;

use super::*;

const SLOTS: [&str; 4] = ["x/a", "x/b", "y/a", "y/c"];
const SPACES: [&str; 2] = ["x", "y"];
const POLICIES: [&str; 2] = ["p", "q"];

/// The selections of a policy, and from which watches each is fed.
type Feeds = &'static [(&'static str, &'static [Feed])];

/// What a policy may ask for, and how it is fed.
const SPECS: [(&str, Feeds); 11] = [
    (
        "resources: [{name: items, apiVersion: example.io/v1, kind: Item}]
rules: [{name: low, expression: object.spec.level <= 1, messageExpression: string(object.spec.level)}]",
        &[("items", &[Feed::All])],
    ),
    (
        "resources: [{name: items, apiVersion: example.io/v1, kind: Item}]
severity: critical
rules: [{name: low, expression: object.spec.level <= 0}, {name: here, expression: request.namespace == 'x'}]",
        &[("items", &[Feed::All])],
    ),
    (
        "resources: [{name: items, apiVersion: example.io/v1, kind: Item, namespaces: [x]}]
rules: [{name: low, expression: object.spec.level <= 1}]",
        &[("items", &[Feed::In("x")])],
    ),
    (
        "resources: [{name: items, apiVersion: example.io/v1, kind: Item, namespaces: [x, 'y']}]
rules: [{name: low, expression: object.spec.level <= 1, message: high}]",
        &[("items", &[Feed::In("x"), Feed::In("y")])],
    ),
    (
        "resources:
- {name: items, apiVersion: example.io/v1, kind: Item, namespaceSelector: {matchLabels: {tier: public}}}
rules: [{name: low, expression: object.spec.level <= 0}]",
        &[("items", &[Feed::All])],
    ),
    (
        "resources: [{name: items, apiVersion: example.io/v1, kind: Item, excludeNamespaces: ['y']}]
matchConditions: [{name: some, expression: object.spec.level > 0}]
rules: [{name: low, expression: object.spec.level <= 1}, {name: never, expression: 'false'}]",
        &[("items", &[Feed::All])],
    ),
    (
        "resources:
- {name: items, apiVersion: example.io/v1, kind: Item, namespaces: [x]}
- {name: others, apiVersion: example.io/v1, kind: Item}
rules:
- {name: public, resources: [others], expression: 'has(namespaceObject.metadata.labels.tier)'}
- {name: low, expression: object.spec.level <= 1}",
        &[("items", &[Feed::In("x")]), ("others", &[Feed::All])],
    ),
    (
        "resources: [{name: others, apiVersion: example.io/v1, kind: Item}]
rules: [{name: low, expression: object.spec.level <= 1}]",
        &[("others", &[Feed::All])],
    ),
    (
        "resources:
- {name: items, apiVersion: example.io/v1, kind: Item, namespaces: [x]}
- {name: others, apiVersion: example.io/v1, kind: Item, namespaceSelector: {matchLabels: {tier: public}}}
rules:
- name: few
  groupBy: object.metadata.namespace
  groups: {values: [x]}
  expression: objects.size() == 1
  messageExpression: objects.map(o, o.metadata.name).join(',')",
        &[("items", &[Feed::In("x")]), ("others", &[Feed::All])],
    ),
    (
        "resources:
- {name: items, apiVersion: example.io/v1, kind: Item}
- {name: naming, apiVersion: example.io/v1, kind: Item, namespaces: ['y']}
matchConditions: [{name: some, expression: '!has(object.spec.level) || object.spec.level > 0'}]
rules:
- name: few
  resources: [items]
  groupBy: object.metadata.name
  groups: {resource: naming, expression: object.metadata.name}
  expression: objects.all(a, objects.all(b, a.metadata.namespace == b.metadata.namespace)) && objects.size() > 0
  messageExpression: objects.map(o, o.metadata.namespace).join(',')
- {name: low, groupBy: string(object.spec.level), expression: objects.size() < 2}",
        &[("items", &[Feed::In("x"), Feed::In("y")]), ("naming", &[Feed::In("y")])],
    ),
    (
        "suspend: true
resources: [{name: items, apiVersion: example.io/v1, kind: Item}]
rules: [{name: low, expression: object.spec.level <= 1}]",
        &[],
    ),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Feed {
    All,
    In(&'static str),
    Namespaces,
}

#[derive(Debug, Clone)]
enum Step {
    /// No level: the item cannot be judged by rules that read it.
    Put(usize, Option<i64>),
    Delete(usize),
    Relabel(usize, bool),
    RemoveNamespace(usize),
    /// The nth watch, round about, brings nothing until it is listed again.
    Lose(usize),
    /// It is listed, but the list breaks off after some items.
    BreakOff(usize, usize),
    List(usize),
    /// Created, edited or, with `true`, deleted and created again.
    Apply(usize, usize, bool),
    Withdraw(usize),
    Work(usize),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..4usize, prop::option::weighted(0.85, 0..4i64)).prop_map(|(slot, level)| Step::Put(slot, level)),
        2 => (0..4usize).prop_map(Step::Delete),
        2 => (0..2usize, any::<bool>()).prop_map(|(space, public)| Step::Relabel(space, public)),
        1 => (0..2usize).prop_map(Step::RemoveNamespace),
        1 => (0..8usize).prop_map(Step::Lose),
        1 => (0..8usize, 0..3usize).prop_map(|(watch, items)| Step::BreakOff(watch, items)),
        4 => (0..8usize).prop_map(Step::List),
        4 => (0..2usize, 0..SPECS.len(), prop::bool::weighted(0.2)).prop_map(|(p, spec, new)| Step::Apply(p, spec, new)),
        1 => (0..2usize).prop_map(Step::Withdraw),
        3 => (1..4usize).prop_map(Step::Work),
        1 => Just(Step::Restart),
    ]
}

#[derive(Default)]
struct Cluster {
    items: BTreeMap<usize, Item>,
    created: u32,
    namespaces: BTreeMap<&'static str, bool>,
    policies: BTreeMap<&'static str, (Arc<CompiledPolicy>, usize)>,
    /// What runs, and whether it is connected.
    watches: BTreeMap<Feed, (WatchId, bool)>,
    last_id: u64,
    world: World,
}

impl Cluster {
    fn objects(&self, feed: Feed) -> Vec<Arc<ProjectedObject>> {
        match feed {
            Feed::Namespaces => self.namespaces.keys().map(|name| self.namespace(name)).collect(),
            Feed::All => self.items.values().map(Item::object).collect(),
            Feed::In(space) => {
                let there = self.items.values().filter(|item| item.namespace == space);
                there.map(Item::object).collect()
            }
        }
    }

    fn namespace(&self, name: &str) -> Arc<ProjectedObject> {
        namespace(name, self.namespaces[name].then_some("public"))
    }

    fn deliver(&mut self, feeds: &[Feed], event: &ObjectEvent) {
        for feed in feeds {
            if let Some((id, true)) = self.watches.get(feed) {
                self.world.event(*id, event.clone());
            }
        }
    }

    fn put(&mut self, slot: usize, level: Option<i64>) {
        let path = SLOTS[slot];
        let space = SPACES.into_iter().find(|space| path.starts_with(space)).expect("a namespace");
        if self.namespaces.insert(space, *self.namespaces.get(space).unwrap_or(&false)).is_none() {
            self.deliver(&[Feed::Namespaces], &ObjectEvent::Seen(self.namespace(space)));
        }
        let known = self.items.get(&slot).map(|item| item.incarnation);
        self.created += u32::from(known.is_none());
        let item = Item { incarnation: known.unwrap_or(self.created), level, ..item(path) };
        let event = ObjectEvent::Seen(item.object());
        self.items.insert(slot, item);
        self.deliver(&[Feed::All, Feed::In(space)], &event);
    }

    fn delete(&mut self, slot: usize) {
        if let Some(item) = self.items.remove(&slot) {
            let space = SPACES.into_iter().find(|space| item.namespace == *space).expect("a namespace");
            self.deliver(&[Feed::In(space), Feed::All], &ObjectEvent::Gone(item.key()));
        }
    }

    /// Starts and stops watches as the policies want, as the manager does.
    fn assign(&mut self) {
        let mut wanted: BTreeMap<Feed, BTreeSet<Reader>> = BTreeMap::new();
        let mut namespaces = false;
        for (policy, spec) in self.policies.values() {
            namespaces |= !policy.suspended && policy.needs_namespaces();
            for (selection, feeds) in SPECS[*spec].1 {
                for feed in *feeds {
                    wanted
                        .entry(*feed)
                        .or_default()
                        .insert(Reader { policy: policy.key.clone(), selection: (*selection).into() });
                }
            }
        }
        if namespaces {
            wanted.entry(Feed::Namespaces).or_default();
        }
        self.watches.retain(|feed, _| wanted.contains_key(feed));
        for feed in wanted.keys() {
            if !self.watches.contains_key(feed) {
                self.last_id += 1;
                self.watches.insert(*feed, (WatchId(self.last_id), false));
            }
        }
        let resource = || ["example.io".into(), "v1".into(), "items".into()];
        let routes = wanted.into_iter().map(|(feed, readers)| {
            let route = Route { readers, resource: resource(), ..Route::default() };
            (self.watches[&feed].0, route)
        });
        let assignment = Assignment {
            routes: routes.collect(),
            policies: Arc::new(self.policies.values().map(|(p, _)| (p.key.clone(), p.clone())).collect()),
            namespaces: self.watches.get(&Feed::Namespaces).map(|(id, _)| *id),
            ..Assignment::default()
        };
        self.world.take(assignment);
    }

    fn nth(&self, n: usize) -> Option<Feed> {
        let feeds: Vec<Feed> = self.watches.keys().copied().collect();
        (!feeds.is_empty()).then(|| feeds[n % feeds.len()])
    }

    fn list(&mut self, feed: Feed) {
        let objects = self.objects(feed);
        let watch = self.watches.get_mut(&feed).expect("a running watch");
        watch.1 = true;
        let id = watch.0;
        self.world.list_of(id, &objects);
    }

    fn apply(&mut self, policy: usize, spec: usize, new: bool) {
        let name = POLICIES[policy];
        let known = self.policies.get(name);
        let (uid, generation) = match known {
            Some((known, _)) if !new => (known.uid.to_string(), known.generation + 1),
            _ => {
                self.created += 1;
                (format!("{name}-{}", self.created), 1)
            }
        };
        let compiled = named(name, &uid, generation, SPECS[spec].0);
        self.policies.insert(name, (compiled, spec));
        self.assign();
    }

    fn restart(&mut self) {
        let before = std::mem::take(&mut self.world);
        self.world.clock = before.clock;
        for (policy, _) in self.policies.values() {
            let open = before.engine.open(&policy.key);
            let open = open.iter().map(|finding| (**finding).clone()).collect();
            self.world.engine.restore(policy.key.clone(), policy.uid.clone(), open);
        }
        self.world.told = before.told;
        self.watches.clear();
        self.assign();
    }

    fn take(&mut self, step: Step) {
        self.world.wait(1);
        match step {
            Step::Put(slot, level) => self.put(slot, level),
            Step::Delete(slot) => self.delete(slot),
            Step::Relabel(space, public) => {
                if let Some(known) = self.namespaces.get_mut(SPACES[space]) {
                    *known = public;
                    self.deliver(&[Feed::Namespaces], &ObjectEvent::Seen(self.namespace(SPACES[space])));
                }
            }
            Step::RemoveNamespace(space) => {
                let space = SPACES[space];
                if self.namespaces.contains_key(space) {
                    let key = self.namespace(space).key();
                    self.namespaces.remove(space);
                    self.deliver(&[Feed::Namespaces], &ObjectEvent::Gone(key));
                    (0..SLOTS.len())
                        .filter(|slot| SLOTS[*slot].starts_with(space))
                        .for_each(|slot| self.delete(slot));
                }
            }
            Step::Lose(n) => {
                if let Some(feed) = self.nth(n) {
                    self.watches.entry(feed).and_modify(|watch| watch.1 = false);
                }
            }
            Step::BreakOff(n, some) => {
                if let Some(feed) = self.nth(n) {
                    self.watches.entry(feed).and_modify(|watch| watch.1 = false);
                    let id = self.watches[&feed].0;
                    self.world.event(id, ObjectEvent::Relisting);
                    for object in self.objects(feed).into_iter().take(some) {
                        self.world.event(id, ObjectEvent::Seen(object));
                    }
                }
            }
            Step::List(n) => {
                if let Some(feed) = self.nth(n) {
                    self.list(feed);
                }
            }
            Step::Apply(policy, spec, new) => self.apply(policy, spec, new),
            Step::Withdraw(policy) => {
                self.policies.remove(POLICIES[policy]);
                self.assign();
            }
            Step::Work(limit) => {
                let outcome = self.world.engine.work(limit, at(self.world.clock));
                self.world.hear(outcome);
            }
            Step::Restart => self.restart(),
        }
    }

    /// Everything is connected and judged.
    fn come_to_rest(&mut self) {
        let lost: Vec<Feed> = self.watches.iter().filter(|(_, (_, up))| !up).map(|(feed, _)| *feed).collect();
        lost.into_iter().for_each(|feed| self.list(feed));
        self.world.work();
    }

    /// All that can be said of how things are, but since when.
    fn picture(&self) -> Vec<String> {
        let unknown: BTreeSet<String> =
            self.items.values().filter(|item| item.level.is_none()).map(Item::uid).collect();
        let mut picture = Vec::new();
        for (policy, _) in self.policies.values() {
            let Some(report) = self.world.engine.report(&policy.key, usize::MAX) else {
                picture.push(format!("{}: suspended", policy.key));
                continue;
            };
            assert_eq!(report.worst.len(), report.open());
            for selection in &report.selections {
                picture.push(format!(
                    "{}: {} objects {} settled {}",
                    policy.key, selection.name, selection.objects, selection.settled
                ));
            }
            for rule in &report.rules {
                picture.push(format!("{}: {} errors {}", policy.key, rule.name, rule.errors));
            }
            // What an object without a level was before, it stays: that is the one thing that history decides.
            for finding in report.worst.iter().filter(|f| !unknown.contains(&*f.key.uid)) {
                picture.push(format!(
                    "{}: {:?} {:?} {}",
                    policy.key, finding.key, finding.severity, finding.message
                ));
            }
        }
        picture.sort();
        picture
    }

    /// The same cluster, seen by a process that has just begun.
    fn afresh(&self) -> Self {
        let mut fresh = Self {
            items: self.items.clone(),
            namespaces: self.namespaces.clone(),
            policies: self.policies.clone(),
            ..Self::default()
        };
        fresh.assign();
        fresh.come_to_rest();
        fresh
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// [`World`] holds at every step that transitions are consistent: nothing opens twice, nothing resolves
    /// that is not open, also over restarts, and together they come to what is open.
    #[test]
    fn what_is_open_in_the_end_follows_from_how_things_are(steps in prop::collection::vec(step(), 1..60)) {
        let mut cluster = Cluster::default();
        steps.into_iter().for_each(|step| cluster.take(step));
        cluster.come_to_rest();
        prop_assert_eq!(cluster.picture(), cluster.afresh().picture());
    }

    /// And a restart at rest says nothing at all.
    #[test]
    fn a_restart_at_rest_announces_nothing(steps in prop::collection::vec(step(), 1..40)) {
        let mut cluster = Cluster::default();
        steps.into_iter().for_each(|step| cluster.take(step));
        cluster.come_to_rest();
        let (told, picture) = (cluster.world.told.clone(), cluster.picture());
        cluster.restart();
        cluster.come_to_rest();
        prop_assert_eq!(cluster.picture(), picture);
        prop_assert_eq!(&cluster.world.told, &told, "since included");
    }
}
