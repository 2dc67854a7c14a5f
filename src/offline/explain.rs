//! What a policy means, in words: what it selects, and what each of its expressions reads.

use std::collections::BTreeSet;

use crate::core::cel::{Program, Root};
use crate::core::policy::{CompiledPolicy, Selection};
use crate::core::rules::{CompiledRule, RuleKind};

/// A policy, explained.
pub fn explain(policy: &CompiledPolicy) -> String {
    let mut page = Page::default();
    page.line(0, format!("policy {}{}", policy.key, if policy.suspended { " (suspended)" } else { "" }));
    if policy.needs_namespaces() {
        page.line(1, "needs the Namespaces of the cluster besides what it selects");
    }
    page.line(1, "resources");
    for selection in &policy.selections {
        page.line(2, format!("{}: {}", selection.name, selected(selection)));
    }
    if !policy.match_conditions.is_empty() {
        page.line(1, "match conditions: objects for which one is false are skipped");
    }
    for condition in &policy.match_conditions {
        page.line(2, &condition.name);
        page.program(policy, "expression", &condition.program);
    }
    if !policy.variables.is_empty() {
        page.line(1, "variables");
    }
    for variable in &policy.variables {
        page.line(2, variable.name.clone());
        page.program(policy, "expression", &variable.program);
    }
    page.line(1, "rules");
    for rule in &policy.rules {
        page.line(2, format!("{} ({})", rule.name, rule.severity.as_str()));
        for (label, text) in facts(policy, rule) {
            page.fact(label, &text);
        }
    }
    page.text
}

/// What is known of a rule, line by line.
fn facts(policy: &CompiledPolicy, rule: &CompiledRule) -> Vec<(&'static str, String)> {
    let judged = policy.selections.iter().zip(&rule.selections).filter(|(_, judged)| **judged);
    let judged: Vec<&str> = judged.map(|(selection, _)| &*selection.name).collect();
    let mut facts = vec![("judges", judged.join(", "))];
    let (validation, wording) = match &rule.kind {
        None => return facts,
        Some(RuleKind::State(state)) => (Some(&state.validation), &state.wording),
        Some(RuleKind::Change(change)) => {
            let on: Vec<&str> = change.on.iter().map(|operation| operation.as_str()).collect();
            facts.push(("on", on.join(", ")));
            (Some(&change.validation), &change.wording)
        }
        Some(RuleKind::Drift(drift)) => (None, &drift.wording),
    };
    if let Some(validation) = validation {
        facts.push(("expression", validation.source().to_owned()));
        facts.push(("reads", reads(policy, [validation])));
    }
    match (&wording.expression, &wording.message) {
        (Some(program), _) => {
            facts.push(("message", format!("computed by {}", program.source())));
            facts.push(("reads", reads(policy, [program])));
        }
        (None, Some(text)) => facts.push(("message", text.to_string())),
        (None, None) => {}
    }
    facts
}

/// The names that programs read, those that their variables read included.
fn reads<'a>(policy: &'a CompiledPolicy, programs: impl IntoIterator<Item = &'a Program>) -> String {
    let mut open: Vec<&Program> = programs.into_iter().collect();
    let (mut roots, mut variables) = (BTreeSet::new(), BTreeSet::new());
    while let Some(program) = open.pop() {
        roots.extend(Root::ALL.iter().enumerate().filter(|(_, root)| program.uses(**root)).map(|(n, _)| n));
        for name in program.variables() {
            if variables.insert(name.as_str()) {
                let known = policy.variables.iter().filter(|variable| variable.name == *name);
                open.extend(known.map(|variable| &variable.program));
            }
        }
    }
    let roots = roots.into_iter().map(|n| Root::ALL[n].name().to_owned());
    let names: Vec<String> =
        roots.chain(variables.into_iter().map(|name| format!("variables.{name}"))).collect();
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

    fn program(&mut self, policy: &CompiledPolicy, label: &str, program: &Program) {
        self.fact(label, program.source());
        self.fact("reads", &reads(policy, [program]));
    }

    /// A label, and a text whose further lines stand below its first.
    fn fact(&mut self, label: &str, text: &str) {
        for (n, line) in text.trim_end().lines().enumerate() {
            let label = if n == 0 { label } else { "" };
            self.line(3, format!("{label:12}{line}").trim_end());
        }
    }
}
