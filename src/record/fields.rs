//! Changed fields as a status and an Event show them, and how a later process reads them again. Pure.

use crate::api::status::FieldStatus;
use crate::core::fields::{FieldChange, Fields};
use crate::core::managed::Actor;
use crate::core::rules::one_line;

/// Between the names of several managers.
const SEPARATOR: &str = ", ";
/// Longest text of them, in bytes.
const MAX_MANAGERS_LEN: usize = 512;

/// As a status lists them.
pub fn listed(fields: &Fields) -> Vec<FieldStatus> {
    fields.listed.iter().map(shown).collect()
}

fn shown(field: &FieldChange) -> FieldStatus {
    let actor = field.actor.as_ref();
    FieldStatus {
        path: field.path.to_string(),
        from: field.from.as_ref().map(ToString::to_string),
        to: field.to.as_ref().map(ToString::to_string),
        manager: actor.map(|actor| one_line(&actor.managers.join(SEPARATOR), MAX_MANAGERS_LEN)),
        operation: actor.map(|actor| actor.operation.to_string()),
        subresource: actor.and_then(|actor| actor.subresource.as_ref()).map(ToString::to_string),
        time: super::whole_second(field.time).to_string(),
    }
}

/// From a list; what cannot be read is left out.
pub fn read(listed: &[FieldStatus], omitted: i64) -> Fields {
    let listed = listed.iter().filter_map(|field| {
        let time = field.time.parse().ok()?;
        let managers = field.manager.as_deref().filter(|names| !names.is_empty());
        let actor = managers.map(|names| Actor {
            managers: names.split(SEPARATOR).map(Into::into).collect(),
            operation: field.operation.as_deref().unwrap_or_default().into(),
            time: Some(time),
            subresource: field.subresource.as_deref().map(Into::into),
        });
        Some(FieldChange {
            path: field.path.as_str().into(),
            from: field.from.as_deref().map(Into::into),
            to: field.to.as_deref().map(Into::into),
            actor,
            time,
        })
    });
    Fields { listed: listed.collect(), omitted: usize::try_from(omitted).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn what_is_listed_is_read_as_what_it_was() {
        let time = Timestamp::from_second(1_000).expect("a time");
        let field = |from: Option<&str>, managers: &[&str]| FieldChange {
            path: "spec.limit".into(),
            from: from.map(Into::into),
            to: Some("2".into()),
            actor: (!managers.is_empty()).then(|| Actor {
                managers: managers.iter().map(|name| (*name).into()).collect(),
                operation: "Apply".into(),
                time: Some(time),
                subresource: Some("scale".into()),
            }),
            time,
        };
        let fields = Fields {
            listed: [field(Some("1"), &["a"]), field(None, &["b", "c"]), field(None, &[])].into(),
            omitted: 3,
        };
        assert_eq!(read(&listed(&fields), 3), fields);
    }
}
