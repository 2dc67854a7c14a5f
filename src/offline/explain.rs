//! What a policy means, in words: what it selects, which fields each of its expressions reads, what that may cost, and
//! what the schemas of its kinds say against it.

mod related;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::core::cel::{MAX_STEPS, NowUse, Program, Reads, Root, Sizes, Upkeep};
use crate::core::check::{self, Warning};
use crate::core::engine::{AT_ONCE, VALUES};
use crate::core::paths::Paths;
use crate::core::patience::{Flapping, Patience};
use crate::core::policy::{CompiledPolicy, Role, Selection};
use crate::core::project::Shape;
use crate::core::rules::{Baseline, CompiledRule, Expected, Operation, RuleKind};
use crate::core::schema::Schema;

/// How large lists and texts are taken to be where the cost of an expression is told.
const SIZES: Sizes = Sizes { elements: 100, text: 100 };

/// A policy, explained. `schemas` has one for each of its selections, as far as they are known.
pub fn explain(policy: &CompiledPolicy, schemas: &[Option<Arc<Schema>>]) -> String {
    let warnings = check::check(policy, schemas);
    let mut page = Page::default();
    page.line(0, format!("policy {}{}", policy.key, if policy.suspended { " (suspended)" } else { "" }));
    if policy.needs_namespaces() {
        page.line(1, "needs the Namespaces of the cluster besides what it selects");
    }
    page.line(1, "resources");
    let joined = |selection: &Selection| matches!(selection.role, Role::Lookup(_));
    for (n, selection) in policy.selections.iter().enumerate().filter(|(_, selection)| !joined(selection)) {
        page.line(2, format!("{}: {}", selection.name, selected(selection)));
        page.watched(policy, schemas, n);
    }
    related::explain(&mut page, policy, schemas, &warnings.listed);
    if !policy.match_conditions.is_empty() {
        page.line(1, "match conditions: objects for which one is false are skipped");
    }
    for condition in &policy.match_conditions {
        page.line(2, &condition.name);
        page.program(policy, "expression", &condition.program);
        if let Some(text) = again(&condition.program) {
            page.fact("judged again", text);
        }
        let field = |field: &str| field.starts_with("spec.matchConditions[");
        page.warnings(&warnings.listed, |warning| {
            field(&warning.field) && named(policy, warning, &condition.program)
        });
    }
    if !policy.variables.is_empty() {
        page.line(1, "variables");
    }
    for variable in &policy.variables {
        page.line(2, variable.name.clone());
        page.program(policy, "expression", &variable.program);
        let field = |field: &str| field.starts_with("spec.variables[");
        page.warnings(&warnings.listed, |warning| {
            field(&warning.field) && named(policy, warning, &variable.program)
        });
    }
    page.line(1, "rules");
    for rule in &policy.rules {
        page.line(2, format!("{} ({})", rule.name, rule.severity.as_str()));
        for (label, text) in facts(policy, rule) {
            page.fact(label, &text);
        }
        page.warnings(&warnings.listed, |warning| warning.rule.as_ref() == Some(&rule.name));
    }
    if warnings.omitted > 0 {
        page.line(1, format!("{} more warnings are not listed", warnings.omitted));
    }
    page.text
}

/// Whether a warning is about this program.
fn named(policy: &CompiledPolicy, warning: &Warning, program: &Program) -> bool {
    let of = policy.expressions.iter().find(|known| known.field == warning.field);
    of.is_some_and(|known| known.program.source() == program.source())
}

/// What is known of a rule, line by line.
fn facts(policy: &CompiledPolicy, rule: &CompiledRule) -> Vec<(&'static str, String)> {
    let judged = policy.selections.iter().zip(&rule.selections).filter(|(_, judged)| **judged);
    let judged = judged.filter(|(selection, _)| selection.is_judged());
    let judged: Vec<&str> = judged.map(|(selection, _)| &*selection.name).collect();
    let mut facts = vec![("judges", judged.join(", "))];
    match &rule.kind {
        None => {}
        Some(RuleKind::State(state)) => {
            of_program(policy, "expression", &state.validation, &mut facts);
            facts.extend(again(&state.validation).map(|text| ("judged again", text.to_owned())));
        }
        Some(RuleKind::Change(change)) => {
            let on: Vec<&str> = change.on.iter().map(|operation| operation.as_str()).collect();
            facts.push(("on", on.join(", ")));
            of_program(policy, "expression", &change.validation, &mut facts);
            if change.on.contains(&Operation::Update) {
                facts.push(("compares", fields(&change.scope.compared())));
            }
        }
        Some(RuleKind::Group(group)) => {
            of_program(policy, "groups by", &group.by, &mut facts);
            match &group.expected {
                Expected::None => {}
                Expected::Values(keys) => facts.push(("expects", keys.join(", "))),
                Expected::Named { selection, by } => {
                    let name = policy.selections.get(*selection).map_or("", |selection| &selection.name);
                    facts.push(("expects", format!("one group for each object of {name}")));
                    of_program(policy, "named by", by, &mut facts);
                }
            }
            of_program(policy, "expression", &group.whole.validation, &mut facts);
            facts.push(("upkeep", upkeep(group.upkeep())));
        }
        Some(RuleKind::Drift(drift)) => {
            facts.push((
                "drift from",
                match &drift.baseline {
                    Baseline::LastCompliant => "the last compliant state".to_owned(),
                    Baseline::Object(selection) => format!("the object of {selection}"),
                    Baseline::Inline(_) => "what the policy declares".to_owned(),
                },
            ));
            if !drift.allowed_managers.is_empty() {
                let managers: Vec<&str> = drift.allowed_managers.iter().map(|manager| &**manager).collect();
                facts.push(("allows", managers.join(", ")));
            }
            facts.push(("compares", fields(&drift.scope.compared())));
        }
    }
    facts.extend(waits(rule.patience));
    if let Some(wording) = rule.wording() {
        match (&wording.expression, &wording.message) {
            (Some(program), _) => of_program(policy, "message", program, &mut facts),
            (None, Some(text)) => facts.push(("message", text.to_string())),
            (None, None) => {}
        }
    }
    facts
}

/// What a rule waits for.
fn waits(patience: Patience) -> impl Iterator<Item = (&'static str, String)> {
    let Patience { hold, keep, flapping } = patience;
    let hold = (!hold.is_zero())
        .then(|| ("for", format!("{hold:#}: false for so long is a finding, less is pending")));
    let keep = (!keep.is_zero())
        .then(|| ("keepFor", format!("{keep:#}: a finding ends when it was true for so long")));
    let flapping = flapping.map(|Flapping { opens, within }| {
        (
            "flapping",
            format!("a finding that opens {opens} times within {within:#} ends when it was true for as long"),
        )
    });
    hold.into_iter().chain(keep).chain(flapping)
}

/// When time alone makes it a reason to judge again.
fn again(program: &Program) -> Option<&'static str> {
    match program.now_use() {
        NowUse::None => None,
        NowUse::Moments => Some("each object at the moment when a comparison with now flips"),
        NowUse::Unforeseen => Some(
            "all objects every minute: now is not only compared with times, so no moment is known at which that is due",
        ),
    }
}

/// What is looked at when one object of a group changes. How far apart large groups are judged is told for themselves
/// alone; they share the time.
fn upkeep(upkeep: Upkeep) -> String {
    let many = AT_ONCE * VALUES;
    match upkeep {
        Upkeep::Incremental => "incremental: of a group only the object that changed is looked at".to_owned(),
        Upkeep::Values => format!(
            "incremental, from a value kept of each object; with more than {many} objects judged every (objects / \
             400,000) seconds at most"
        ),
        Upkeep::Whole => format!(
            "re-evaluated: all objects of a group are read when one changes; with more than {AT_ONCE} objects every \
             (objects / 25,000) seconds at most"
        ),
    }
}

/// What a watch keeps of each object, one a line.
fn kept(shape: &Shape) -> String {
    let mut text = fields(&shape.paths);
    if shape.managed_fields {
        text.push_str("\nmetadata.managedFields, to tell by whom");
    }
    text
}

fn fields(paths: &Paths) -> String {
    match paths.lines() {
        _ if paths.keeps_the_rest() => "whole objects".to_owned(),
        lines if lines.is_empty() => "which objects there are, and nothing of them".to_owned(),
        lines => lines.join("\n"),
    }
}

fn of_program(
    policy: &CompiledPolicy,
    label: &'static str,
    program: &Program,
    facts: &mut Vec<(&'static str, String)>,
) {
    facts.push((label, program.source().to_owned()));
    facts.push(("reads", reads(policy, [program])));
    let kept = paths(policy, program.reads());
    if !kept.is_empty() {
        facts.push(("fields", kept.join("\n")));
    }
    facts.push(("costs", cost(policy, program)));
}

/// The fields that are kept for it, those that its variables read among them.
fn paths(policy: &CompiledPolicy, reads: &Reads) -> Vec<String> {
    let roots = [Root::Object, Root::OldObject, Root::NamespaceObject];
    let of_roots = roots.into_iter().flat_map(|root| below(root.name(), reads.of(root)));
    let of_members = below(&format!("{}[]", Root::Objects.name()), &reads.of_members());
    of_roots.chain(of_members).chain(related::paths(policy, reads)).collect()
}

/// Paths as an expression writes them that reads them of what has this name.
fn below(name: &str, paths: &Paths) -> Vec<String> {
    let line = |line: String| match line.starts_with('[') {
        true => format!("{name}{line}"),
        false => format!("{name}.{line}"),
    };
    paths.lines().into_iter().map(line).collect()
}

/// The most that one evaluation takes, with the variables it reads.
fn cost(policy: &CompiledPolicy, program: &Program) -> String {
    let mut total = program.estimate(SIZES);
    let (mut open, mut seen) = (vec![program], BTreeSet::new());
    while let Some(program) = open.pop() {
        for variable in policy.variables.iter().filter(|v| program.variables().contains(&v.name)) {
            if seen.insert(&variable.name) {
                total = total.saturating_add(variable.program.estimate(SIZES));
                open.push(&variable.program);
            }
        }
    }
    let Sizes { elements, text } = SIZES;
    let over = if total > MAX_STEPS { "; more than it may take" } else { "" };
    format!(
        "at most {total} steps of {MAX_STEPS} for lists of {elements} elements and texts of {text} characters{over}"
    )
}

/// The names that programs read, those that their variables read and their lookups are found by included.
fn reads<'a>(policy: &'a CompiledPolicy, programs: impl IntoIterator<Item = &'a Program>) -> String {
    let mut open: Vec<&Program> = programs.into_iter().collect();
    let (mut roots, mut variables, mut lookups) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    while let Some(program) = open.pop() {
        lookups.extend(program.lookups());
        roots.extend(Root::ALL.iter().enumerate().filter(|(_, root)| program.uses(**root)).map(|(n, _)| n));
        for name in program.variables() {
            if variables.insert(name.as_str()) {
                let known = policy.variables.iter().filter(|variable| variable.name == *name);
                open.extend(known.map(|variable| &variable.program));
            }
        }
    }
    let roots = roots.into_iter().map(|n| Root::ALL[n].name().to_owned());
    let variables = variables.into_iter().map(|name| format!("variables.{name}"));
    let lookups = lookups.into_iter().filter_map(|place| related::name(policy, place));
    let names: Vec<String> = roots.chain(variables).chain(lookups).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

fn selected(selection: &Selection) -> String {
    let target = &selection.target;
    let list = |names: &mut dyn Iterator<Item = &str>| names.collect::<Vec<_>>().join(", ");
    let mut text = target.display();
    if !target.namespaces.is_empty() {
        text.push_str(&format!(" in {}", list(&mut target.namespaces.iter().map(String::as_str))));
    }
    if let Some(labels) = &selection.filter.labels {
        text.push_str(&format!(" in namespaces with [{labels}]"));
    }
    if !selection.filter.exclude.is_empty() {
        text.push_str(&format!(" not in {}", list(&mut selection.filter.exclude.iter().map(|name| &**name))));
    }
    if !target.names.is_empty() {
        text.push_str(&format!(" named {}", list(&mut target.names.iter().map(String::as_str))));
    }
    let labels = target.labels.to_string();
    for (what, selector) in [("labels", &labels), ("fields", &target.field_selector)] {
        if !selector.is_empty() {
            text.push_str(&format!(" with {what} [{selector}]"));
        }
    }
    text
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, depth: usize, text: impl AsRef<str>) {
        self.text.push_str(&"  ".repeat(depth));
        self.text.push_str(text.as_ref());
        self.text.push('\n');
    }

    /// What a watch of a selection keeps, and whether what is read of it can be checked.
    fn watched(&mut self, policy: &CompiledPolicy, schemas: &[Option<Arc<Schema>>], selection: usize) {
        self.fact("keeps", &kept(&policy.needs(selection, false)));
        if schemas.get(selection).is_none_or(Option::is_none) {
            self.line(3, "fields not checked: its CustomResourceDefinition is not at hand");
        }
    }

    fn program(&mut self, policy: &CompiledPolicy, label: &'static str, program: &Program) {
        let mut facts = Vec::new();
        of_program(policy, label, program, &mut facts);
        facts.iter().for_each(|(label, text)| self.fact(label, text));
    }

    fn warnings(&mut self, warnings: &[Warning], which: impl Fn(&Warning) -> bool) {
        for warning in warnings.iter().filter(|warning| which(warning)) {
            let Warning { field, at, message, selections, .. } = warning;
            self.fact("warning", &format!("{field} {at}: {message} (of {})", selections.join(", ")));
        }
    }

    /// A label, and a text whose further lines stand below its first.
    fn fact(&mut self, label: &str, text: &str) {
        for (n, line) in text.trim_end().lines().enumerate() {
            let label = if n == 0 { label } else { "" };
            self.line(3, format!("{label:11} {line}").trim_end());
        }
    }
}
