//! A rule on what happens to an object: a CEL expression over its state before and after that is true for a change
//! that is in order. Each change that is not is one occurrence, and nothing stands open.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Verdict, Violation, Wording, error_text};
use crate::core::cel::{Bindings, Program};
use crate::core::chain::Chain;
use crate::core::diff::{self, FieldScope, Mode, diff};
use crate::core::fields::{FieldChange, Fields, by, path_text, value_text};
use crate::core::managed::{creator, who};
use crate::core::project::ProjectedObject;
use crate::core::schema::Schema;

/// What happens to an object, in the words of admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Operation {
    /// It came.
    Create,
    /// It changed.
    Update,
    /// It went.
    Delete,
}

impl Operation {
    /// As `request.operation` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An expression over changes, and how its occurrences are worded.
#[derive(Debug)]
pub struct Change {
    /// Which changes it judges.
    pub on: BTreeSet<Operation>,
    /// Which fields count: a change of others is none.
    pub scope: FieldScope,
    /// True for a change that is in order.
    pub validation: Program,
    /// Text of the occurrence; the changed fields are added to it.
    pub wording: Wording,
}

impl Change {
    /// Judges one change of an object; of `before` and `after`, what is none did not exist. `schema` is
    /// that of its kind, when it is known.
    pub fn judge(
        &self,
        bindings: &mut Bindings<'_>,
        before: Option<&ProjectedObject>,
        after: Option<&ProjectedObject>,
        schema: Option<&Schema>,
        now: Timestamp,
    ) -> Verdict {
        match self.validation.evaluate_bool(bindings) {
            Ok(true) => Verdict::Compliant,
            Ok(false) => {
                let (otherwise, fields) = match (before, after) {
                    (Some(before), Some(after)) => (String::new(), self.changed(before, after, schema, now)),
                    (None, Some(after)) => {
                        let creator = creator(after);
                        let by = creator.as_ref().map(|creator| by(Some(creator))).unwrap_or_default();
                        (format!("created{by}"), Fields::default())
                    }
                    _ => ("deleted".to_owned(), Fields::default()),
                };
                let message = self.wording.with_fields(bindings, &otherwise, &fields);
                Verdict::Violation(Violation { message, fields, chain: Chain::default() })
            }
            Err(error) => Verdict::Error(error_text(&error)),
        }
    }

    fn changed(
        &self,
        before: &ProjectedObject,
        after: &ProjectedObject,
        schema: Option<&Schema>,
        now: Timestamp,
    ) -> Fields {
        let changes = diff(before.root(), after.root(), &self.scope, Mode::Exact, &schema);
        Fields::of(&changes, |change| show(change, Some(before), after, now))
    }
}

/// One changed field, for people.
pub(super) fn show(
    change: &diff::Change<'_>,
    before: Option<&ProjectedObject>,
    after: &ProjectedObject,
    now: Timestamp,
) -> FieldChange {
    let actor = who(&change.path, before, after);
    FieldChange {
        path: path_text(&change.path),
        from: change.from.map(value_text),
        to: change.to.map(value_text),
        time: actor.as_ref().and_then(|actor| actor.time).unwrap_or(now),
        actor,
    }
}
