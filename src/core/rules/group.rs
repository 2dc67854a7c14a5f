//! A rule on groups of objects: which group an object belongs to, and what must be true of each group as a whole.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Expression, Verdict, Wording, error_text, is_printable};
use crate::core::cel::{Aggregates, Bindings, Program, Upkeep, Value, aggregates};

/// Longest key of a group, in bytes; the CRD has the same bound for keys that are written down.
pub const MAX_GROUP_KEY: usize = 256;
/// Most groups that one object belongs to.
pub const MAX_KEYS: usize = 64;

/// How objects are grouped, and what is asked of each group.
#[derive(Debug)]
pub struct Group {
    /// The key of the group that an object belongs to.
    pub by: Program,
    /// The groups that are there without an object as well.
    pub expected: Expected,
    /// True for a compliant group, and how findings are worded.
    pub whole: Expression,
    /// The same, of what its objects contribute; none when objects have to be read for it.
    kept: Option<(Expression, Arc<Aggregates>)>,
}

/// Groups that are judged when they are empty, too.
#[derive(Debug)]
pub enum Expected {
    /// None.
    None,
    /// Those with these keys.
    Values(Vec<Arc<str>>),
    /// Those that the objects of a selection name.
    Named {
        /// The selection's position in the policy.
        selection: usize,
        /// The key that one of its objects names.
        by: Program,
    },
}

/// Keys of groups, sorted, each once.
pub type Keys = Box<[Arc<str>]>;

/// What an object is to a rule on groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The groups that it belongs to.
    pub member_of: Keys,
    /// The groups that it says are expected.
    pub expects: Keys,
}

impl Group {
    /// A rule, with what can be kept up to date object by object.
    pub fn new(by: Program, expected: Expected, whole: Expression) -> Self {
        let message = whole.wording.expression.as_ref();
        let programs: Vec<&Program> = std::iter::once(&whole.validation).chain(message).collect();
        let kept = aggregates(&programs).and_then(|(programs, aggregates)| {
            let mut programs = programs.into_iter();
            let validation = programs.next()?;
            let wording = Wording { message: whole.wording.message.clone(), expression: programs.next() };
            Some((Expression { validation, wording }, Arc::new(aggregates)))
        });
        Self { by, expected, whole, kept }
    }

    /// The programs that place objects.
    pub fn keys(&self) -> impl Iterator<Item = &Program> {
        let named = match &self.expected {
            Expected::Named { by, .. } => Some(by),
            Expected::None | Expected::Values(_) => None,
        };
        std::iter::once(&self.by).chain(named)
    }

    /// Whether what is asked of groups depends on params.
    pub fn reads_params(&self) -> bool {
        let message = self.whole.wording.expression.iter();
        message.chain([&self.whole.validation]).any(|program| !program.lookups().is_empty())
    }

    /// What keeping it up to date takes when one object of a group changes.
    pub fn upkeep(&self) -> Upkeep {
        self.kept.as_ref().map_or(Upkeep::Whole, |(_, aggregates)| aggregates.upkeep())
    }

    /// What objects contribute to, when that is all that it reads of them.
    pub fn aggregates(&self) -> Option<&Arc<Aggregates>> {
        self.kept.as_ref().map(|(_, aggregates)| aggregates)
    }

    /// Whether the objects of a selection, by its position in the policy, name groups.
    pub fn expects(&self, selection: usize) -> bool {
        matches!(&self.expected, Expected::Named { selection: named, .. } if *named == selection)
    }

    /// What the object that is bound is to the groups, as one that the rule judges (`is_member`), that names a group
    /// (`expects`), or both.
    ///
    /// # Errors
    /// When an expression fails or its value is no key; the object then belongs to no group and names none.
    pub fn place(
        &self,
        is_member: bool,
        expects: bool,
        bindings: &mut Bindings<'_>,
    ) -> Result<Place, Arc<str>> {
        let member_of = if is_member { keys("groupBy", &self.by, bindings)? } else { Keys::default() };
        let expects = match &self.expected {
            Expected::Named { by, .. } if expects => keys("groups.expression", by, bindings)?,
            _ => Keys::default(),
        };
        Ok(Place { member_of, expects })
    }

    /// Judges the group whose objects are bound.
    pub fn judge(&self, rule: &str, bindings: &mut Bindings<'_>) -> Verdict {
        self.whole.judge(rule, bindings)
    }

    /// Judges the group of which is bound what its objects contribute: with the same result.
    pub fn judge_kept(&self, rule: &str, bindings: &mut Bindings<'_>) -> Verdict {
        self.kept.as_ref().map_or(&self.whole, |(kept, _)| kept).judge(rule, bindings)
    }
}

/// The keys that an expression gives, one or a list of them; none when there is none to give.
fn keys(field: &str, by: &Program, bindings: &mut Bindings<'_>) -> Result<Keys, Arc<str>> {
    let wrong = |text: String| error_text(&format!("{field}: {text}"));
    let value = by.evaluate(bindings).map_err(|error| wrong(error.to_string()))?;
    let value = match &value {
        Value::Optional(None) => return Ok(Keys::default()),
        Value::Optional(Some(inner)) => inner,
        value => value,
    };
    let mut keys = BTreeSet::new();
    match value {
        Value::List(list) if list.len() > MAX_KEYS => {
            return Err(wrong(format!("{} keys, more than {MAX_KEYS}", list.len())));
        }
        Value::List(list) => {
            for element in list.iter() {
                keys.extend(key(&element).map_err(&wrong)?);
            }
        }
        value => keys.extend(key(value).map_err(&wrong)?),
    }
    Ok(keys.into_iter().collect())
}

fn key(value: &Value<'_>) -> Result<Option<Arc<str>>, String> {
    match value {
        Value::Null => Ok(None),
        Value::Bool(key) => Ok(Some(key.to_string().into())),
        Value::Int(key) => Ok(Some(key.to_string().into())),
        Value::Str(key) if key.len() > MAX_GROUP_KEY => {
            Err(format!("the key has {} bytes, more than {MAX_GROUP_KEY}", key.len()))
        }
        // It is shown in status and Events, and read back from there.
        Value::Str(key) if !key.chars().all(is_printable) => {
            Err("the key has characters that cannot be printed in one line".to_owned())
        }
        Value::Str(key) => Ok(Some((**key).into())),
        other => Err(format!("the key is of type {}, want string, int or bool", other.type_name())),
    }
}
