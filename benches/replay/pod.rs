//! Pods made from one template: any number of them, none kept.

use std::io::Write;

/// A Pod of two containers as an API server sends it, managedFields of two managers included. `{{…}}` differs
/// between Pods and between their states.
const TEMPLATE: &str = include_str!("pod.json.template");
/// More restarts than any rule accepts.
pub const TOO_MANY_RESTARTS: u32 = 1_000_000;

/// What differs between two states of one Pod.
#[derive(Debug, Clone, Copy, Default)]
pub struct State {
    /// Restarts of its first container, which rules read.
    pub restarts: u32,
    /// An annotation that no rule reads.
    pub seen: u32,
}

/// The template, cut at its slots.
pub struct Template(Vec<Part>);

enum Part {
    Text(&'static [u8]),
    Slot(Slot),
}

#[derive(Clone, Copy)]
enum Slot {
    Name,
    Namespace,
    Uid,
    Version,
    App,
    Tier,
    Node,
    Subnet,
    Memory,
    Restarts,
    Seen,
}

impl Template {
    /// Reads it.
    pub fn new() -> Self {
        // It lives as long as the process; that spares a copy of each part.
        let mut rest: &'static str = compact(TEMPLATE).leak();
        let mut parts = Vec::new();
        // No JSON has two opening braces in a row, so they are slots.
        while let Some((text, after)) = rest.split_once("{{") {
            let (slot, after) = after.split_once("}}").expect("each slot of the template ends");
            parts.extend([Part::Text(text.as_bytes()), Part::Slot(Slot::named(slot))]);
            rest = after;
        }
        parts.push(Part::Text(rest.as_bytes()));
        Self(parts)
    }

    /// Appends the Pod of this index.
    pub fn write(&self, out: &mut Vec<u8>, index: u32, version: u64, state: State) {
        for part in &self.0 {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Slot(slot) => slot.write(out, index, version, state).expect("memory takes it"),
            }
        }
    }
}

impl Slot {
    fn named(name: &str) -> Self {
        match name {
            "name" => Self::Name,
            "namespace" => Self::Namespace,
            "uid" => Self::Uid,
            "version" => Self::Version,
            "app" => Self::App,
            "tier" => Self::Tier,
            "node" => Self::Node,
            "subnet" => Self::Subnet,
            "memory" => Self::Memory,
            "restarts" => Self::Restarts,
            "seen" => Self::Seen,
            other => panic!("the template has no slot {other}"),
        }
    }

    fn write(self, out: &mut Vec<u8>, index: u32, version: u64, state: State) -> std::io::Result<()> {
        match self {
            Self::Name => write!(out, "{}", name(index)),
            Self::Namespace => write!(out, "team-{:02}", index % 50),
            Self::Uid => write!(out, "{index:08x}-0d55-4b1c-9a3f-2f1f8d0b7a66"),
            Self::Version => write!(out, "{version}"),
            Self::App => write!(out, "web-{:03}", index % 400),
            Self::Tier => out.write_all(["gold", "silver", "bronze"][index as usize % 3].as_bytes()),
            Self::Node => write!(out, "node-{:04}", index / 50 % 5000),
            Self::Subnet => write!(out, "{}", index / 100 % 250),
            Self::Memory => out.write_all(if is_violating(index) { b"8Gi" } else { b"512Mi" }),
            Self::Restarts => write!(out, "{}", state.restarts),
            Self::Seen => write!(out, "{}", state.seen),
        }
    }
}

/// Name of the Pod of this index.
pub fn name(index: u32) -> String {
    format!("web-{:03}-7d9c5b8f64-{index:08x}", index % 400)
}

/// Whether the Pod has more memory than rules accept: one in a thousand.
pub fn is_violating(index: u32) -> bool {
    index % 1000 == 500
}

/// How many of the first Pods do.
pub fn violating(pods: u32) -> u32 {
    (pods + 499) / 1000
}

/// Without the white space between values: API servers send none.
fn compact(json: &str) -> String {
    let (mut quoted, mut escaped) = (false, false);
    let significant = |c: &char| {
        let keep = quoted || !c.is_ascii_whitespace();
        if *c == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = *c == '\\' && !escaped;
        keep
    };
    json.chars().filter(significant).collect()
}
