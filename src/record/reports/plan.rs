//! Which reports there should be: what is true, in slices. Pure.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::BuildHasher;
use std::sync::Arc;

use jiff::Timestamp;

use super::format::{Body, Head, Place, ReportResult, Subject, Totals, digest};
use super::{MAX_LISTED, MAX_SLICE_LEN};
use crate::core::finding::{Finding, FindingKey, Severity};
use crate::core::hash::{fnv1a, mixed};
use crate::core::policy::CompiledPolicy;
use crate::core::settled::is_known;
use crate::core::slices::{Item, place};

/// What is true of a policy that is judged.
pub struct Truth<'a> {
    /// The policy.
    pub policy: &'a CompiledPolicy,
    /// Its open findings.
    pub open: &'a [Arc<Finding>],
    /// Its selections for which that is all there is to know; that of no name stands for groups.
    pub settled: &'a HashSet<Arc<str>>,
}

impl Truth<'_> {
    /// Whether what is not open of this key is no finding, and not only not known yet.
    fn is_known(&self, key: &FindingKey) -> bool {
        let has_rule = self.policy.rules.iter().any(|rule| rule.name == key.rule);
        !has_rule || is_known(Some(self.policy), self.settled, &key.selection)
    }

    /// Judged selections that are not settled, in the order of their names.
    fn not_known(&self) -> Vec<Arc<str>> {
        let judged = self.policy.selections.iter().filter(|selection| selection.is_judged());
        let names = judged.map(|selection| &selection.name).filter(|name| !self.settled.contains(*name));
        let mut names: Vec<Arc<str>> = names.cloned().collect();
        names.sort();
        names
    }
}

/// What is remembered of one policy between two plans.
#[derive(Debug, Default)]
pub struct Memory {
    /// UID of the policy that all of this is about.
    uid: Arc<str>,
    /// What an earlier process listed.
    inherited: HashMap<FindingKey, Inherited>,
    /// What was listed last, so that only what changed is put into words again.
    measured: HashMap<FindingKey, Measured>,
}

/// A finding that an earlier process listed.
#[derive(Debug)]
struct Inherited {
    /// Since when it is open, in seconds: this process may have found it only when it started.
    since: i64,
    now: Now,
}

#[derive(Debug)]
enum Now {
    /// Not open, and it is not known that it is not: it stays as it was written.
    Unknown(Arc<ReportResult>),
    /// Open, in this process since this moment. One that opens again has another.
    Open(Timestamp),
}

#[derive(Debug)]
struct Measured {
    finding: Arc<Finding>,
    since: i64,
    size: usize,
    digest: u64,
}

/// The reports that there should be.
#[derive(Debug, Default)]
pub struct Plan {
    /// Each by its place.
    pub reports: BTreeMap<Place, Wanted>,
    /// The one that has the totals; none for a policy that has no reports.
    pub overview: Option<Place>,
    /// The totals.
    pub totals: Totals,
}

/// One report that there should be.
#[derive(Debug)]
pub struct Wanted {
    /// A hash of what it says.
    pub digest: u64,
    head: Head,
    rows: Vec<Row>,
}

impl Wanted {
    /// It in full.
    pub fn body(&self, subject: &Subject<'_>, place: &Place) -> Body {
        let results = self.rows.iter().map(|row| match &row.what {
            What::Open(finding) => subject.result(finding, row.since),
            What::Kept(result) => ReportResult::clone(result),
        });
        Body::new(place, &self.head, results.collect())
    }
}

#[derive(Debug, Clone)]
struct Row {
    key: FindingKey,
    severity: Severity,
    since: i64,
    namespace: Option<Arc<str>>,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Open(Arc<Finding>),
    Kept(Arc<ReportResult>),
}

impl Memory {
    /// Takes over what an earlier process listed of the policy with this UID.
    pub fn inherit(&mut self, uid: &str, results: impl IntoIterator<Item = ReportResult>) {
        self.meet(uid);
        self.inherited.extend(results.into_iter().filter_map(|result| {
            let inherited = Inherited { since: result.since(), now: Now::Unknown(Arc::new(result.clone())) };
            Some((result.key()?, inherited))
        }));
    }

    /// The reports that there should be of a policy that is judged.
    pub fn plan(&mut self, truth: &Truth<'_>, hasher: &impl BuildHasher) -> Plan {
        self.meet(&truth.policy.uid);
        let subject = Subject { key: &truth.policy.key, uid: &truth.policy.uid };
        let mut rows = self.rows(truth);
        let mut totals = Totals { open: rows.len(), not_known: truth.not_known(), ..Totals::default() };
        for row in &rows {
            totals.by_severity[row.severity as usize] += 1;
        }
        // They come in this order but for those with a `since` of an earlier process.
        rows.sort_by(|a, b| {
            (Reverse(a.severity), a.since, &a.key).cmp(&(Reverse(b.severity), b.since, &b.key))
        });
        rows.truncate(MAX_LISTED);
        totals.listed = rows.len();
        let measures = self.measure(&rows, &subject, hasher);

        let overview = subject.overview();
        let head = subject.overview_head(&totals);
        let mut reports = BTreeMap::from([(
            overview.clone(),
            Wanted { digest: digest(&head, std::iter::empty(), hasher), head, rows: Vec::new() },
        )]);
        let mut by_namespace: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (n, row) in rows.iter().enumerate() {
            let hash = mixed(fnv1a([&*row.key.rule, &*row.key.selection, &*row.key.uid]));
            let item = Item { hash, size: measures[n].0, id: (&row.key, n) };
            by_namespace.entry(row.namespace.as_ref()).or_default().push(item);
        }
        for (namespace, items) in by_namespace {
            for (leaf, items) in place(items, MAX_SLICE_LEN) {
                let mut places: Vec<usize> = items.iter().map(|item| item.id.1).collect();
                // The worst first, in each slice as in all of them.
                places.sort_unstable();
                let head = subject.slice_head(namespace, places.len());
                let digest = digest(&head, places.iter().map(|n| measures[*n].1), hasher);
                let rows = places.iter().map(|n| rows[*n].clone()).collect();
                reports.insert(subject.slice(namespace, leaf), Wanted { digest, head, rows });
            }
        }
        Plan { reports, overview: Some(overview), totals }
    }

    /// Another policy of the same name has nothing of what the first had.
    fn meet(&mut self, uid: &str) {
        if *self.uid != *uid {
            *self = Self { uid: uid.into(), ..Self::default() };
        }
    }

    /// What is open, and what is not known not to be.
    fn rows(&mut self, truth: &Truth<'_>) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::with_capacity(truth.open.len());
        let mut open = HashSet::new();
        for finding in truth.open {
            if !self.inherited.is_empty() {
                open.insert(&finding.key);
            }
            rows.push(Row {
                key: finding.key.clone(),
                severity: finding.severity,
                since: self.since(finding),
                namespace: finding.object.namespace.clone(),
                what: What::Open(finding.clone()),
            });
        }
        self.inherited.retain(|key, inherited| {
            open.contains(key) || matches!(inherited.now, Now::Unknown(_)) && !truth.is_known(key)
        });
        rows.extend(self.inherited.iter().filter_map(|(key, inherited)| match &inherited.now {
            Now::Open(_) => None,
            Now::Unknown(result) => Some(Row {
                key: key.clone(),
                severity: result.severity(),
                since: inherited.since,
                namespace: result.namespace(),
                what: What::Kept(result.clone()),
            }),
        }));
        rows
    }

    /// Since when a finding is open: as an earlier process has it, if it is older and did not end since.
    fn since(&mut self, finding: &Finding) -> i64 {
        let own = finding.since.as_second();
        let Some(inherited) = self.inherited.get_mut(&finding.key) else {
            return own;
        };
        if let Now::Unknown(_) = inherited.now {
            inherited.now = Now::Open(finding.since);
        }
        let older = inherited.since < own;
        match inherited.now {
            Now::Open(since) if older && since == finding.since => inherited.since,
            _ => {
                self.inherited.remove(&finding.key);
                own
            }
        }
    }

    /// Size and hash of each row.
    fn measure(
        &mut self,
        rows: &[Row],
        subject: &Subject<'_>,
        hasher: &impl BuildHasher,
    ) -> Vec<(usize, u64)> {
        let mut before = std::mem::take(&mut self.measured);
        let measure = |row: &Row| {
            let finding = match &row.what {
                What::Open(finding) => finding,
                What::Kept(result) => return result.measure(hasher),
            };
            let same = |known: &Measured| Arc::ptr_eq(&known.finding, finding) && known.since == row.since;
            let known = before.remove(&row.key).filter(same).unwrap_or_else(|| {
                let (size, digest) = subject.result(finding, row.since).measure(hasher);
                Measured { finding: finding.clone(), since: row.since, size, digest }
            });
            let measured = (known.size, known.digest);
            self.measured.insert(row.key.clone(), known);
            measured
        };
        rows.iter().map(measure).collect()
    }
}

#[cfg(test)]
mod tests;
