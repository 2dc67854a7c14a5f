//! A rule that fields stay as they are: what differs from the baseline is a finding until it is back.
//!
//! The last compliant state is not kept for objects that comply: it is the state that they have. Of an object that
//! drifted, the baseline is kept until the finding ends. A later process makes it again from the fields that the
//! finding lists, which are the only ones in which the baseline and the object differ.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::change::show;
use super::keys::Keys;
use super::{Verdict, Violation, Wording};
use crate::core::cel::Bindings;
use crate::core::chain::Chain;
use crate::core::diff::{Change, FieldScope, Mode, diff};
use crate::core::field_path::FieldPath;
use crate::core::fields::{FieldChange, Fields, path_text, value_of, value_text};
use crate::core::finding::Finding;
use crate::core::managed::{Actor, who};
use crate::core::project::ProjectedObject;
use crate::core::schema::Schema;
use crate::core::secret::{REDACTED, is_redacted};
use crate::core::tree::Node;

/// Which fields may not differ, and from what.
#[derive(Debug)]
pub struct Drift {
    /// The fields.
    pub scope: FieldScope,
    /// Field managers whose changes are in order: what they set is the baseline from then on.
    pub allowed_managers: BTreeSet<Arc<str>>,
    /// How the fields should be.
    pub baseline: Baseline,
    /// Text of the finding; the changed fields are added to it.
    pub wording: Wording,
}

/// How the fields of an object should be.
#[derive(Debug, Clone, PartialEq)]
pub enum Baseline {
    /// As they were when the object was first seen, and as allowed managers changed them since then.
    LastCompliant,
    /// As those of the one object that this selection of the policy finds.
    Object(Arc<str>),
    /// As it is declared; what is not mentioned is free.
    Inline(Node),
}

/// An object that differs from its last compliant state.
#[derive(Debug, Clone, PartialEq)]
pub struct Drifted {
    /// The last compliant state.
    baseline: Node,
    /// Fields of which only the text of the compliant value is known.
    by_text: Vec<(FieldPath, FieldChange)>,
}

/// One object to judge.
#[derive(Clone, Copy)]
pub struct Case<'a> {
    /// As it is.
    pub object: &'a ProjectedObject,
    /// As it was before the change that is judged; none when it is judged for another reason.
    pub before: Option<&'a ProjectedObject>,
    /// The finding, while one is open or pending.
    pub open: Option<&'a Finding>,
    /// What is kept of it.
    pub drifted: Option<&'a Drifted>,
    /// The object of [`Baseline::Object`]: none while its watch is incomplete, `Some(None)` when there is no such
    /// object.
    pub reference: Option<Option<&'a ProjectedObject>>,
    /// The schema of its kind, when it is known.
    pub schema: Option<&'a Schema>,
    /// The time.
    pub now: Timestamp,
}

impl<'a> Case<'a> {
    fn keys(self) -> Keys<'a> {
        Keys { schema: self.schema, open: self.open }
    }
}

/// What comes of it.
#[derive(Debug, PartialEq)]
pub enum DriftVerdict {
    /// A verdict, and what is to be kept while the finding is open.
    Known(Verdict, Option<Drifted>),
    /// It cannot be judged yet: what is open stays.
    Wait,
    /// The state that the object drifted from is not known any more.
    Lost,
}

impl Drift {
    /// Judges one object.
    pub fn judge(&self, bindings: &mut Bindings<'_>, case: Case<'_>) -> DriftVerdict {
        if !self.allowed_managers.is_empty() && !case.object.knows_managers() {
            // The rule is new to the watch, which reads again what is known.
            return DriftVerdict::Wait;
        }
        let (differing, drifted) = match &self.baseline {
            Baseline::Inline(declared) => match self.against(declared, Mode::Declared, case) {
                Ok(differing) => (differing, None),
                Err(error) => return DriftVerdict::Known(error, None),
            },
            Baseline::Object(selection) => match case.reference {
                None => return DriftVerdict::Wait,
                Some(None) => {
                    let text = format!("the baseline, see {selection} in status.resources, does not exist");
                    return DriftVerdict::Known(Verdict::Error(text.into()), None);
                }
                // Two watches may know the one object in two states.
                Some(Some(reference)) if reference.id() == case.object.id() => (Fields::default(), None),
                Some(Some(reference)) => match self.against(reference.root(), Mode::Exact, case) {
                    Ok(differing) => (differing, None),
                    Err(error) => return DriftVerdict::Known(error, None),
                },
            },
            Baseline::LastCompliant => {
                let Some(drifted) = self.last_compliant(case) else {
                    return match (case.open, case.drifted) {
                        (Some(_), None) => DriftVerdict::Lost,
                        _ => DriftVerdict::Known(Verdict::Compliant, None),
                    };
                };
                (self.since(&drifted, case), Some(drifted))
            }
        };
        if differing.is_empty() {
            // The finding may stay open for a while, and so does what it is compared with.
            return DriftVerdict::Known(Verdict::Compliant, drifted.filter(|_| case.open.is_some()));
        }
        let message = self.wording.with_fields(bindings, "drifted", &differing);
        DriftVerdict::Known(
            Verdict::Violation(Violation { message, fields: differing, chain: Chain::default() }),
            drifted,
        )
    }

    fn allows(&self, actor: Option<&Actor>) -> bool {
        // When it may have been another one, it was not allowed.
        actor.is_some_and(|actor| actor.managers.iter().all(|name| self.allowed_managers.contains(name)))
    }

    /// What differs from a fixed baseline and was not set by an allowed manager; a verdict where that cannot be told.
    fn against(&self, baseline: &Node, mode: Mode, case: Case<'_>) -> Result<Fields, Verdict> {
        // What is declared for a Secret is as secret as what it holds.
        let baseline = case.object.hides(baseline);
        let mut changes = diff(&baseline, case.object.root(), &self.scope, mode, &case.keys());
        // The values of two Secrets have nothing in common by which they could be compared.
        let hidden =
            |value: Option<&Node>| value.and_then(Node::as_str).is_some_and(|text| is_redacted(text));
        if let Some(change) = changes.iter().find(|change| hidden(change.from) && hidden(change.to)) {
            let text = format!(
                "{}: values of Secrets are not read, so they cannot be compared with a baseline; put the field into \
                 drift.ignore, or leave out drift.baseline",
                path_text(&change.path)
            );
            return Err(Verdict::Error(text.into()));
        }
        if !self.allowed_managers.is_empty() {
            changes.retain(|change| !self.allows(who(&change.path, case.before, case.object).as_ref()));
        }
        Ok(list(&changes, &[], case))
    }

    /// The last compliant state of an object that may differ from it; none when it certainly does not.
    fn last_compliant(&self, case: Case<'_>) -> Option<Drifted> {
        let mut drifted = match (case.drifted, case.open) {
            (Some(drifted), _) => drifted.clone(),
            // What the finding lists is about the state before, when there is one.
            (None, Some(finding)) => self.recall(finding, case.before.unwrap_or(case.object))?,
            (None, None) => {
                let before = case.before?;
                let changes = diff(before.root(), case.object.root(), &self.scope, Mode::Exact, &case.keys());
                if changes.is_empty() {
                    return None;
                }
                Drifted { baseline: before.root().clone(), by_text: Vec::new() }
            }
        };
        // What an allowed manager changed is the baseline now, and only that.
        if let Some(before) = case.before.filter(|_| !self.allowed_managers.is_empty()) {
            for change in diff(before.root(), case.object.root(), &self.scope, Mode::Exact, &case.keys()) {
                if self.allows(who(&change.path, Some(before), case.object).as_ref()) {
                    change.path.set(&mut drifted.baseline, change.to.cloned());
                    drifted.by_text.retain(|(path, _)| !path.0.starts_with(&change.path.0));
                }
            }
        }
        // Fields of which only the text is known never differ from the tree, only from their text.
        for (path, _) in &drifted.by_text {
            path.set(&mut drifted.baseline, path.of(case.object.root()).cloned());
        }
        drifted.by_text.retain(|(path, known)| !is_back(known, path.of(case.object.root())));
        Some(drifted)
    }

    /// Makes the last compliant state from what the finding of an earlier process lists; none when it lists nothing.
    fn recall(&self, finding: &Finding, object: &ProjectedObject) -> Option<Drifted> {
        let mut drifted = Drifted { baseline: object.root().clone(), by_text: Vec::new() };
        let mut known = false;
        for field in finding.fields.listed.iter() {
            let Ok(path) = field.path.parse::<FieldPath>() else {
                continue;
            };
            known = true;
            let value = path.of(object.root());
            let changed_since = value.map(value_text) != field.to;
            let moved = changed_since && self.allows(who(&path, None, object).as_ref());
            if moved || is_back(field, value) {
                continue;
            }
            match field.from.as_deref().map(value_of) {
                None => path.set(&mut drifted.baseline, None),
                Some(Some(value)) => path.set(&mut drifted.baseline, Some(value)),
                Some(None) => drifted.by_text.push((path, field.clone())),
            }
        }
        known.then_some(drifted)
    }

    fn since(&self, drifted: &Drifted, case: Case<'_>) -> Fields {
        let changes = diff(&drifted.baseline, case.object.root(), &self.scope, Mode::Exact, &case.keys());
        list(&changes, &drifted.by_text, case)
    }
}

/// Whether a field has the value that it had, as far as its text tells.
fn is_back(field: &FieldChange, value: Option<&Node>) -> bool {
    let hidden = field.from.as_deref().is_some_and(|text| text.contains(REDACTED));
    !hidden && value.map(value_text) == field.from
}

/// The differing fields. Of one that differs as before, what is known stays: who did it, and when.
fn list(changes: &[Change<'_>], by_text: &[(FieldPath, FieldChange)], case: Case<'_>) -> Fields {
    let before: &[FieldChange] = case.open.map(|finding| &*finding.fields.listed).unwrap_or_default();
    let known = |fresh: &FieldChange| {
        let same = |known: &&FieldChange| {
            (&known.path, &known.from, &known.to) == (&fresh.path, &fresh.from, &fresh.to)
        };
        before.iter().find(same).cloned()
    };
    let mut fields = Fields::of(changes, |change| {
        let untold = FieldChange {
            path: path_text(&change.path),
            from: change.from.map(value_text),
            to: change.to.map(value_text),
            actor: None,
            time: case.now,
        };
        let known = known(&untold);
        if let Some(known) = known.as_ref().filter(|known| known.actor.is_some()) {
            return known.clone();
        }
        let fresh = show(change, case.before, case.object, case.now);
        known.filter(|_| fresh.actor.is_none()).unwrap_or(fresh)
    });
    if !by_text.is_empty() {
        let by_text = by_text.iter().map(|(path, old)| {
            let to = path.of(case.object.root()).map(value_text);
            let actor = who(path, case.before, case.object);
            let time = actor.as_ref().and_then(|actor| actor.time).unwrap_or(case.now);
            let fresh = FieldChange { to, actor, time, ..old.clone() };
            known(&fresh).unwrap_or(fresh)
        });
        let mut all: Vec<FieldChange> = by_text.chain(fields.listed.iter().cloned()).collect();
        let cut = all.len().saturating_sub(crate::core::fields::MAX_FIELDS);
        all.truncate(crate::core::fields::MAX_FIELDS);
        fields = Fields { listed: all.into(), omitted: fields.omitted + cut };
    }
    fields
}
