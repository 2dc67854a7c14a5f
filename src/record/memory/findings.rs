//! What is remembered of one policy, and how it is divided. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::core::engine::Standing;
use crate::core::finding::{Finding, FindingKey, Occurrence};
use crate::core::hash::fnv1a;
use crate::core::history::History;
use crate::core::remembered::place::{Place, grown};

/// Most open findings of a policy that are remembered, the worst, and as many of what is pending, the oldest.
pub const MAX_KEPT: usize = 10_000;
/// Most bytes of them, as JSON, about: of what takes more the first are remembered.
const MAX_BYTES: usize = 32 << 20;
/// Entries of one slice, about.
const ENTRIES: usize = 256;
/// Bytes of one slice, as JSON, about. Packed they are less than half.
const BYTES: usize = 512 << 10;
/// Most slices of one policy.
const MAX_SLICES: u32 = 64;
/// Most bytes of occurrences, as JSON, about: of what takes more the latest are remembered.
const HISTORY_BYTES: usize = 512 << 10;
/// The form that this version writes and reads.
const VERSION: u32 = 1;

/// What one Secret holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Content {
    version: u32,
    /// Name of the policy, for people.
    policy: String,
    /// UID of the policy.
    uid: Arc<str>,
    part: Part,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Part {
    Findings(Slice),
    History(Occurred),
}

/// Some of what stands in a policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    index: u32,
    of: u32,
    open: Vec<Arc<Finding>>,
    pending: Vec<Arc<Finding>>,
    /// Since when the objects of open findings comply.
    complying: Vec<(FindingKey, Timestamp)>,
}

/// What occurred in a policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Occurred {
    /// The latest first.
    latest: Vec<Arc<Occurrence>>,
    total: u64,
    by_rule: BTreeMap<Arc<str>, u64>,
}

/// All that is remembered of one policy, as it is divided. Empty slices are not written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Remembered {
    of: u32,
    slices: BTreeMap<u32, Slice>,
    occurred: Option<Occurred>,
}

/// What an earlier process left of one policy.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Left {
    /// Open findings, in no order.
    pub open: Vec<Arc<Finding>>,
    /// What was pending, in no order.
    pub pending: Vec<Arc<Finding>>,
    /// Since when the objects of open findings comply.
    pub complying: Vec<(FindingKey, Timestamp)>,
    /// What occurred.
    pub history: History,
    /// The same as it is written.
    pub written: Remembered,
}

/// A Secret to write, or to delete when there is nothing to be in it.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// The slice at this place.
    Slice(u32, Option<Slice>),
    /// What occurred.
    History(Option<Occurred>),
}

/// What the names of the Secrets of a policy begin with: its UID may be longer than there is room.
pub fn name_of(uid: &str) -> String {
    format!("{:016x}", fnv1a([uid]))
}

impl Step {
    /// What the name of the Secret ends with.
    pub fn name(&self) -> String {
        match self {
            Self::Slice(index, _) => index.to_string(),
            Self::History(_) => "history".to_owned(),
        }
    }

    /// What is to be in it.
    pub fn content(&self, policy: &str, uid: &Arc<str>) -> Option<Content> {
        let part = match self {
            Self::Slice(_, slice) => Part::Findings(slice.clone()?),
            Self::History(occurred) => Part::History(occurred.clone()?),
        };
        Some(Content { version: VERSION, policy: policy.to_owned(), uid: uid.clone(), part })
    }
}

impl Remembered {
    /// What is to be remembered, in no fewer slices than were `written`.
    pub fn of(standing: &Standing, written: &Remembered) -> Self {
        let mut bytes = 0;
        let mut fits = |finding: &&Arc<Finding>| {
            bytes += weight(finding);
            bytes <= MAX_BYTES
        };
        let open: Vec<_> = standing.open.iter().take(MAX_KEPT).take_while(&mut fits).collect();
        let pending: Vec<_> = standing.pending.iter().take(MAX_KEPT).take_while(&mut fits).collect();
        let load = (open.len() + pending.len()).div_ceil(ENTRIES).max(bytes.div_ceil(BYTES));
        // Nothing is left of what was divided otherwise when there is nothing.
        let now = if written.slices.is_empty() { 1 } else { written.of };
        let mut slices = Slices { of: grown(now, load, MAX_SLICES), filled: BTreeMap::new() };
        open.into_iter().for_each(|finding| slices.of(&finding.key).open.push(finding.clone()));
        pending.into_iter().for_each(|finding| slices.of(&finding.key).pending.push(finding.clone()));
        let complying = standing.complying.iter().take(MAX_KEPT);
        complying.for_each(|(key, since)| slices.of(key).complying.push((key.clone(), *since)));
        let Slices { of, filled: mut slices } = slices;
        // What is the same is equal, whatever else came and went.
        for slice in slices.values_mut() {
            slice.open.sort_by(|a, b| a.key.cmp(&b.key));
            slice.pending.sort_by(|a, b| a.key.cmp(&b.key));
            slice.complying.sort();
        }
        Self { of, slices, occurred: Occurred::of(&standing.history) }
    }

    /// What leads from here to what is wanted, in the order in which nothing is lost on the way.
    pub fn steps_to(&self, wanted: &Remembered) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.occurred != wanted.occurred {
            steps.push(Step::History(wanted.occurred.clone()));
        }
        let places: BTreeSet<u32> = self.slices.keys().chain(wanted.slices.keys()).copied().collect();
        for index in places.into_iter().rev() {
            let (is, wanted) = (self.slices.get(&index), wanted.slices.get(&index));
            if !is.zip(wanted).is_some_and(|(is, wanted)| is.is_same(wanted)) {
                steps.push(Step::Slice(index, wanted.cloned()));
            }
        }
        steps
    }

    /// A step was taken.
    pub fn note(&mut self, step: Step) {
        match step {
            Step::Slice(index, Some(slice)) => {
                self.of = self.of.max(slice.of);
                self.slices.insert(index, slice);
            }
            Step::Slice(index, None) => drop(self.slices.remove(&index)),
            Step::History(occurred) => self.occurred = occurred,
        }
    }

    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        self.slices.is_empty() && self.occurred.is_none()
    }
}

struct Slices {
    of: u32,
    filled: BTreeMap<u32, Slice>,
}

impl Slices {
    fn of(&mut self, key: &FindingKey) -> &mut Slice {
        let Place { index, of } = Place::of_hash(hash(key), self.of);
        let empty = Slice { index, of, open: Vec::new(), pending: Vec::new(), complying: Vec::new() };
        self.filled.entry(index).or_insert(empty)
    }
}

impl Slice {
    fn place(&self) -> Place {
        Place { index: self.index, of: self.of }
    }

    /// Compares what is shared by its address, which is most of it.
    fn is_same(&self, other: &Slice) -> bool {
        let same = |a: &[Arc<Finding>], b: &[Arc<Finding>]| {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(a, b) || a == b)
        };
        self.place() == other.place()
            && same(&self.open, &other.open)
            && same(&self.pending, &other.pending)
            && self.complying == other.complying
    }
}

impl Occurred {
    fn of(history: &History) -> Option<Self> {
        let mut bytes = 0;
        let fits = |occurrence: &&Arc<Occurrence>| {
            bytes += weight(&occurrence.finding);
            bytes <= HISTORY_BYTES
        };
        let latest: Vec<_> = history.latest().take_while(fits).cloned().collect();
        let by_rule = history.by_rule().map(|(rule, count)| (rule.clone(), count)).collect();
        (history.total() > 0).then(|| Self { latest, total: history.total(), by_rule })
    }
}

/// What is left of each policy, by its UID. What another version wrote is left out.
pub fn left(contents: impl IntoIterator<Item = Content>) -> HashMap<Arc<str>, Left> {
    let mut all: HashMap<Arc<str>, Left> = HashMap::new();
    for content in contents.into_iter().filter(|content| content.version == VERSION) {
        let left = all.entry(content.uid).or_default();
        left.written.note(match content.part {
            Part::Findings(slice) => Step::Slice(slice.index, Some(slice)),
            Part::History(occurred) => Step::History(Some(occurred)),
        });
    }
    for left in all.values_mut() {
        let places: Vec<Place> = left.written.slices.values().map(Slice::place).collect();
        for slice in left.written.slices.values() {
            let counts = |key: &FindingKey| slice.place().counts(hash(key), &places);
            left.open.extend(slice.open.iter().filter(|finding| counts(&finding.key)).cloned());
            left.pending.extend(slice.pending.iter().filter(|finding| counts(&finding.key)).cloned());
            left.complying.extend(slice.complying.iter().filter(|(key, _)| counts(key)).cloned());
        }
        if let Some(Occurred { latest, total, by_rule }) = left.written.occurred.clone() {
            left.history = History::restored(latest, total, by_rule);
        }
    }
    all
}

fn hash(key: &FindingKey) -> u64 {
    fnv1a([&*key.rule, &*key.selection, &*key.uid])
}

/// Bytes as JSON, about.
fn weight(finding: &Finding) -> usize {
    /// Names of fields, UIDs, times.
    const FRAME: usize = 384;
    let Finding { key, object, message, fields, chain, .. } = finding;
    let text = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.len());
    let fields = fields.listed.iter().map(|field| {
        let managers = field.actor.iter().flat_map(|actor| &actor.managers).map(|name| name.len());
        FRAME / 2 + field.path.len() + text(&field.from) + text(&field.to) + managers.sum::<usize>()
    });
    let links = chain.0.iter().map(|link| {
        let objects = link.objects.iter().map(|object| FRAME / 2 + object.name.len());
        FRAME / 2 + link.lookup.len() + text(&link.failed) + objects.sum::<usize>()
    });
    let names = key.rule.len() + key.selection.len() + 2 * key.uid.len() + object.name.len();
    FRAME + names + message.len() + fields.sum::<usize>() + links.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::chain::{Chain, Link};
    use crate::core::fields::{FieldChange, Fields};
    use crate::core::finding::{ObjectId, Severity};
    use crate::core::managed::Actor;
    use crate::core::rules::Operation;

    fn at(second: i64) -> Timestamp {
        Timestamp::new(second, 123_456_789).expect("a time")
    }

    fn object(name: &str) -> ObjectId {
        ObjectId {
            api_version: "gateway.example.io/v1".into(),
            kind: "APIRoute".into(),
            namespace: Some("team-a".into()),
            name: name.into(),
            uid: format!("uid-{name}").into(),
        }
    }

    fn finding(name: &str, since: i64) -> Arc<Finding> {
        let object = object(name);
        Arc::new(Finding {
            key: FindingKey { rule: "r".into(), selection: "routes".into(), uid: object.uid.clone() },
            severity: Severity::High,
            object,
            message: "it is broken".into(),
            fields: Fields::default(),
            chain: Chain::default(),
            tags: crate::core::tags::Tags::default(),
            since: at(since),
            flaps: 0,
        })
    }

    fn with_all(name: &str) -> Arc<Finding> {
        let actor = Actor {
            managers: vec!["a, b".into(), "c".into()],
            operation: "Update".into(),
            time: Some(at(7)),
            subresource: Some("scale".into()),
        };
        let change = |actor| FieldChange {
            path: "spec.limit".into(),
            from: None,
            to: Some("2".into()),
            actor,
            time: at(9),
        };
        let link = Link {
            lookup: "backend".into(),
            api_version: "v1".into(),
            kind: "Service".into(),
            objects: vec![object("b")],
            omitted: 4,
            failed: Some("does not exist".into()),
        };
        let fields = Fields { listed: [change(Some(actor)), change(None)].into(), omitted: 3 };
        let chain = Chain([link].into());
        Arc::new(Finding { fields, chain, flaps: 2, ..Arc::unwrap_or_clone(finding(name, 1)) })
    }

    fn standing(names: impl IntoIterator<Item = u32>) -> Standing {
        Standing {
            uid: "uid".into(),
            open: names.into_iter().map(|n| finding(&n.to_string(), 1)).collect(),
            pending: Vec::new(),
            complying: Vec::new(),
            history: History::default(),
        }
    }

    /// What is written to the cluster and read again.
    fn read_again(remembered: &Remembered) -> HashMap<Arc<str>, Left> {
        let steps = Remembered::default().steps_to(remembered);
        let contents = steps.iter().filter_map(|step| step.content("p", &"uid".into()));
        let text = serde_json::to_string(&contents.collect::<Vec<_>>()).expect("JSON");
        left(serde_json::from_str::<Vec<Content>>(&text).expect("contents"))
    }

    fn names(findings: &[Arc<Finding>]) -> BTreeSet<String> {
        findings.iter().map(|finding| finding.object.name.to_string()).collect()
    }

    #[test]
    fn what_is_written_is_read_as_what_it_was() {
        let mut history = History::default();
        let occurrence = Occurrence {
            finding: with_all("changed"),
            operation: Operation::Update,
            resource_version: "17".into(),
        };
        history.add(Arc::new(occurrence));
        let standing = Standing {
            open: vec![with_all("open")],
            pending: vec![finding("pending", 5)],
            complying: vec![(finding("open", 1).key.clone(), at(6))],
            history,
            ..standing([])
        };
        let remembered = Remembered::of(&standing, &Remembered::default());
        let left = read_again(&remembered).remove("uid").expect("it is there");
        assert_eq!((&left.open, &left.pending), (&standing.open, &standing.pending));
        assert_eq!((&left.complying, &left.history), (&standing.complying, &standing.history));
        assert_eq!(left.written, remembered);
        assert_eq!(left.written.steps_to(&Remembered::of(&standing, &left.written)), [], "nothing is owed");
    }

    #[test]
    fn one_change_rewrites_one_slice() {
        let before = Remembered::of(&standing(0..2000), &Remembered::default());
        assert_eq!((before.of, before.slices.len()), (8, 8));
        let mut changed = standing(0..2000);
        changed.open[77] = finding("77", 2);
        let steps = before.steps_to(&Remembered::of(&changed, &before));
        assert_eq!(steps.len(), 1);
        // Fewer of them are not fewer slices, until there is nothing left.
        let few = Remembered::of(&standing(0..3), &before);
        assert_eq!(few.of, 8);
        let none = Remembered::of(&standing([]), &before);
        assert!(none.is_empty() && before.steps_to(&none).len() == 8);
        assert_eq!(Remembered::of(&standing(0..3), &none).of, 1);
    }

    #[test]
    fn what_another_version_wrote_is_left_out() {
        let step = Step::Slice(0, Remembered::of(&standing(0..1), &Remembered::default()).slices.remove(&0));
        let mut content = step.content("p", &"uid".into()).expect("content");
        content.version = 99;
        assert!(left([content]).is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_worst_of_it() {
        let remembered = Remembered::of(&standing(0..12_000), &Remembered::default());
        assert_eq!(remembered.of, 64);
        let left = read_again(&remembered).remove("uid").expect("it is there");
        assert_eq!(names(&left.open), (0..10_000).map(|n: u32| n.to_string()).collect());
        let large: Arc<str> = "x".repeat(1 << 20).into();
        let mut heavy = standing(0..100);
        for finding in &mut heavy.open {
            *finding = Arc::new(Finding { message: large.clone(), ..(**finding).clone() });
        }
        let bytes: usize = Remembered::of(&heavy, &Remembered::default())
            .slices
            .values()
            .flat_map(|slice| slice.open.iter().map(|finding| weight(finding)))
            .sum();
        assert!((MAX_BYTES / 2..=MAX_BYTES).contains(&bytes), "{bytes}");
    }

    #[test]
    fn the_weight_is_that_of_the_json_about() {
        for finding in [finding("a", 1), with_all("b")] {
            let json = serde_json::to_string(&finding).expect("JSON").len();
            let weight = weight(&finding);
            assert!((json * 2 / 3..=json * 2).contains(&weight), "{weight} for {json}: {finding:?}");
        }
    }

    proptest! {
        /// Whatever comes and goes, and wherever a pass is broken off: what does not change is there, and what comes is
        /// there when the pass was complete.
        #[test]
        fn nothing_that_stays_is_lost_wherever_a_pass_breaks_off(
            sets in prop::collection::vec(prop::collection::btree_set(0..1500u32, 0..1200), 1..4),
            taken in 0..12usize,
        ) {
            let (last, first) = sets.split_last().expect("one at least");
            let mut written = Remembered::default();
            let mut before = BTreeSet::new();
            for set in first {
                let wanted = Remembered::of(&standing(set.iter().copied()), &written);
                written.steps_to(&wanted).into_iter().for_each(|step| written.note(step));
                before = set.clone();
            }
            let wanted = Remembered::of(&standing(last.iter().copied()), &written);
            let steps = written.steps_to(&wanted);
            let complete = taken >= steps.len();
            steps.into_iter().take(taken).for_each(|step| written.note(step));
            let left = read_again(&written).remove("uid").unwrap_or_default();
            let there = names(&left.open);
            prop_assert_eq!(there.len(), left.open.len(), "each once");
            let text = |set: &BTreeSet<u32>| -> BTreeSet<String> { set.iter().map(u32::to_string).collect() };
            if complete {
                prop_assert_eq!(&there, &text(last));
            }
            let stays: BTreeSet<u32> = before.intersection(last).copied().collect();
            prop_assert!(there.is_superset(&text(&stays)));
        }
    }
}
