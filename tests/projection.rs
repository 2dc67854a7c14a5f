//! What rules say of the fields that they read is what they say of the whole object: every case of
//! `tests/verdicts/`, on its object and on random changes of it.

#[path = "support/verdicts/mod.rs"]
mod verdicts;

use std::collections::BTreeMap;

use fastrand::Rng;
use polywatch::core::cel::Reads;
use polywatch::core::paths::Paths;
use verdicts::Verdict;
use verdicts::ours;
use verdicts::random;
use verdicts::truth::Truth;

/// Random changes of each object; the seed is the place of the case.
const CHANGES: usize = 12;

#[test]
fn what_is_read_decides_alone() {
    let data = verdicts::load();
    let truth = Truth::read();
    let mut said = BTreeMap::new();
    for (n, case) in data.cases.iter().enumerate() {
        let stored = truth.stored(case);
        let policy = ours::policy(case, &stored);
        let reads: Reads = policy.reads();
        let mut random = Rng::with_seed(n as u64);
        for round in 0..=CHANGES {
            let mut stored = stored.clone();
            if round > 0 {
                random::change(&mut stored, &mut random);
            }
            let whole = ours::judge_kept(&policy, case, &stored, |_| Paths::whole());
            let kept = ours::judge_kept(&policy, case, &stored, |root| reads.of(root).clone());
            let object = stored.object.unwrap_or_default();
            assert_eq!(kept, whole, "{}, which reads {reads:?}, of {object}", case.id);
            *said.entry(kind(&whole)).or_insert(0) += 1;
        }
    }
    println!("{said:?}");
    assert!(said.len() == 5 && said.values().all(|times| *times > 50), "all kinds of verdicts: {said:?}");
}

fn kind(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Compliant => "compliant",
        Verdict::Violation(_) => "violation",
        Verdict::Skipped => "skipped",
        Verdict::Error(_) => "error",
        Verdict::Rejected(_) => "rejected",
    }
}
