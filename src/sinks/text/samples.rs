//! Notices as they come, of every reason and with and without what may be absent: what templates are tried with.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::core::alert::{Group, Item, Notice, ObjectName, Reason, Totals};
use crate::core::finding::Severity;

/// Every reason; one, two and a collapsed number of findings; objects with and without a namespace, and groups.
pub fn samples() -> Vec<Notice> {
    let reasons = [
        Reason::Baseline,
        Reason::Opened,
        Reason::MoreOpened,
        Reason::Changed,
        Reason::SomeResolved,
        Reason::AllResolved,
        Reason::Occurred,
        Reason::Resend,
        Reason::Test,
    ];
    let mut samples = Vec::new();
    for (n, reason) in reasons.into_iter().enumerate() {
        samples.push(one(reason));
        let mut bare = notice(reason, vec![cluster_wide(), of_group()], 2);
        bare.reference = Some("reference".to_owned());
        bare.group.by.clear();
        for (n, item) in every_item(&mut bare).enumerate() {
            item.severity = Severity::ALL[n % Severity::ALL.len()];
        }
        samples.push(bare);
        let mut large = notice(reason, vec![item(), cluster_wide(), of_group()], 250);
        large.group.by.insert("namespace".to_owned(), String::new());
        for item in every_item(&mut large) {
            item.severity = Severity::ALL[n % Severity::ALL.len()];
        }
        samples.push(large);
    }
    samples
}

/// A notice about one finding that has everything.
pub fn one(reason: Reason) -> Notice {
    notice(reason, vec![item()], 1)
}

fn every_item(notice: &mut Notice) -> impl Iterator<Item = &mut Item> {
    let lists = [
        &mut notice.open,
        &mut notice.opened,
        &mut notice.changed,
        &mut notice.resolved,
        &mut notice.occurred,
    ];
    lists.into_iter().flatten()
}

fn notice(reason: Reason, items: Vec<Item>, total: usize) -> Notice {
    let listed = |reasons: &[Reason]| {
        if reasons.contains(&reason) { (items.clone(), total) } else { (Vec::new(), 0) }
    };
    let is_open = !matches!(reason, Reason::AllResolved | Reason::Occurred);
    let (opened, of_opened) = listed(&[Reason::Baseline, Reason::Opened, Reason::MoreOpened, Reason::Test]);
    let (mut changed, of_changed) = listed(&[Reason::Changed]);
    let (mut resolved, of_resolved) = listed(&[Reason::SomeResolved, Reason::AllResolved]);
    let (mut occurred, of_occurred) = listed(&[Reason::Occurred]);
    for item in &mut resolved {
        item.ended = Some(at(240));
    }
    if let Some(first) = resolved.first_mut() {
        first.ended_because = Some("it is silenced".to_owned());
    }
    if let Some(first) = changed.first_mut() {
        first.previous_severity = Some(Severity::Medium);
    }
    for item in &mut occurred {
        item.operation = Some("Update".to_owned());
        item.resource_version = Some("4711".to_owned());
        item.flaps = 0;
    }
    let totals = Totals {
        open: if is_open { total } else { 0 },
        by_severity: if is_open { BTreeMap::from([(Severity::High, total)]) } else { BTreeMap::new() },
        opened: of_opened,
        changed: of_changed,
        resolved: of_resolved,
        occurred: of_occurred,
        unlisted: 0,
    };
    Notice {
        id: "0123456789abcdef0123456789abcdef".to_owned(),
        reason,
        policy: "api-gateway".to_owned(),
        group: Group {
            id: "fedcba9876543210fedcba9876543210".to_owned(),
            by: BTreeMap::from([("rule".to_owned(), "backend-available".to_owned())]),
        },
        collapsed: total > items.len(),
        open: if is_open { items } else { Vec::new() },
        opened,
        changed,
        resolved,
        replaced: Vec::new(),
        occurred,
        totals,
        time: at(300),
        valid_until: at(3900),
        reference: None,
        sequence: 0,
    }
}

/// So many seconds after the beginning.
fn at(seconds: i64) -> Timestamp {
    /// 2026-05-01T10:00:00Z
    const BEGINNING: i64 = 1_777_629_600;
    Timestamp::from_second(BEGINNING + seconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn item() -> Item {
    Item {
        id: "00112233445566778899aabbccddeeff".to_owned(),
        policy: "api-gateway".to_owned(),
        rule: "backend-available".to_owned(),
        severity: Severity::High,
        previous_severity: None,
        selected_by: "routes".to_owned(),
        object: Some(ObjectName {
            api_version: "gateway.example.com/v1".to_owned(),
            kind: "APIRoute".to_owned(),
            namespace: Some("team-a".to_owned()),
            name: "checkout".to_owned(),
            uid: "6fd2ba2e-8f0a-4a53-9d0e-0c8a5f3e7b11".to_owned(),
        }),
        object_group: None,
        message: "no endpoint is ready".to_owned(),
        since: at(0),
        ended: None,
        ended_because: None,
        labels: BTreeMap::from([("team".to_owned(), "checkout".to_owned())]),
        fields: "spec.limit: 100 → 1000, by kubectl-edit (Update)".to_owned(),
        flaps: 3,
        operation: None,
        resource_version: None,
    }
}

/// About an object without a namespace, and with nothing else that may be absent.
fn cluster_wide() -> Item {
    let mut item = item();
    item.id = "102132435465768798a9bacbdcedfe0f".to_owned();
    if let Some(object) = &mut item.object {
        object.namespace = None;
    }
    item.labels.clear();
    item.fields.clear();
    item.flaps = 0;
    item
}

/// About a group of objects.
fn of_group() -> Item {
    let mut item = cluster_wide();
    item.id = "ffeeddccbbaa99887766554433221100".to_owned();
    item.object = None;
    item.object_group = Some("shop".to_owned());
    item
}
