//! Params and lookups, explained: what they find and by what, what is kept of it, and who reads them.

use std::sync::Arc;

use super::{Page, below, fields, named, selected};
use crate::core::cel::Reads;
use crate::core::check::Warning;
use crate::core::lookup::{By, Check, Lookup, NoParams, PARAMS, Place};
use crate::core::policy::{CompiledPolicy, Selection};
use crate::core::rules::{CompiledRule, Group};
use crate::core::schema::Schema;

/// What the policy finds beside what it judges.
pub(super) fn explain(
    page: &mut Page,
    policy: &CompiledPolicy,
    schemas: &[Option<Arc<Schema>>],
    warnings: &[Warning],
) {
    let found = |place: usize| policy.lookup(place).zip(policy.looked_among(place));
    if let Some((place, otherwise)) = policy.params
        && let Some((lookup, selection)) = found(place)
    {
        page.line(1, format!("params: {}", selected(selection)));
        if matches!(lookup.place, Place::OwnNamespace) {
            page.fact("looks in", "the namespace of the object that is judged");
        }
        page.watched(policy, schemas, lookup.selection);
        page.fact(
            "without",
            match otherwise {
                NoParams::Skip => "rules that read them are not judged",
                NoParams::Violate => "rules that read them are findings",
            },
        );
        page.fact("read by", &readers(policy, place));
    }
    let is_named = |lookup: &Lookup| *lookup.name != *PARAMS;
    if policy.lookups.iter().flatten().any(is_named) {
        page.line(1, "lookups: objects that are found for each that is judged, and not judged themselves");
    }
    for place in 0..policy.lookups.len() {
        let Some((lookup, selection)) = found(place).filter(|(lookup, _)| is_named(lookup)) else { continue };
        one(page, policy, place, lookup, selection);
        page.watched(policy, schemas, lookup.selection);
        if let Some(Check { expression, message }) = &lookup.check {
            page.program(policy, "in order if", expression);
            page.fact("else says", message.as_deref().unwrap_or("not in order"));
        }
        page.fact("read by", &readers(policy, place));
        page.warnings(warnings, |warning| {
            warning.field.starts_with("spec.lookups[")
                && lookup.programs().any(|program| named(policy, warning, program))
        });
    }
}

fn one(page: &mut Page, policy: &CompiledPolicy, place: usize, lookup: &Lookup, selection: &Selection) {
    let name = name(policy, place).unwrap_or_default();
    let many = if lookup.is_many() { "a list of" } else { "one" };
    page.line(2, format!("{name}: {many} {}", selected(selection)));
    match &lookup.place {
        Place::OwnNamespace => page.fact("looks in", "the namespace of the object that is judged"),
        Place::Namespace(namespace) => page.fact("looks in", namespace),
        Place::Computed(program) => page.program(policy, "looks in", program),
    }
    match &lookup.by {
        By::Name(program) => page.program(policy, "by name", program),
        By::Names(program) => page.program(policy, "by names", program),
        By::LabelMap(program) => page.program(policy, "by labels", program),
        By::Labels(labels) => {
            for (key, program) in labels {
                page.fact("by label", key);
                page.program(policy, "its value", program);
            }
        }
        By::All { .. } => page.fact("finds", "all of the namespace"),
    }
}

/// How expressions name the lookup at a place.
pub(super) fn name(policy: &CompiledPolicy, place: usize) -> Option<String> {
    let lookup = policy.lookup(place)?;
    Some(match policy.is_params(place) {
        true => "params".to_owned(),
        false => format!("lookups.{}", lookup.name),
    })
}

/// The rules that read it, and the match conditions, which all rules depend on.
fn readers(policy: &CompiledPolicy, place: usize) -> String {
    let is_params = policy.is_params(place);
    let of_group = |rule: &CompiledRule| is_params && rule.as_group().is_some_and(Group::reads_params);
    let conditions = policy.match_conditions.iter();
    let conditions = conditions.filter(|condition| condition.program.lookups().contains(&place));
    let conditions = conditions.map(|condition| format!("match condition {}", condition.name));
    let rules = policy.rules.iter().filter(|rule| rule.lookups.contains(&place) || of_group(rule));
    let readers: Vec<String> = conditions.chain(rules.map(|rule| rule.name.to_string())).collect();
    if readers.is_empty() { "nothing".to_owned() } else { readers.join(", ") }
}

/// The fields that are read of what lookups find.
pub(super) fn paths(policy: &CompiledPolicy, reads: &Reads) -> Vec<String> {
    let mut lines = Vec::new();
    for (place, lookup) in policy.lookups.iter().enumerate() {
        let (Some(lookup), Some(name)) = (lookup, name(policy, place)) else { continue };
        let paths = reads.of_lookup(place);
        let name = if lookup.is_many() && name != "params" { format!("{name}[]") } else { name };
        if paths.keeps_the_rest() {
            lines.push(format!("{name}, {}", fields(paths)));
            continue;
        }
        lines.extend(below(&name, paths));
    }
    lines
}
