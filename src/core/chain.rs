//! What a finding about several objects is about: the objects that were looked up on the way, and the one that failed.

use std::fmt::{self, Write};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::cel::Bindings;
use super::finding::ObjectId;
use super::lookup::{Arena, Lookup, PARAMS, Query, Wanted, label_term};
use super::policy::CompiledPolicy;
use super::project::ProjectedObject;
use super::rules::{CompiledRule, one_line};
use super::secret::without_digests;

/// Most objects of one link that are named.
pub const MAX_NAMED: usize = 3;
/// Longest text of what is wrong with a link, in bytes.
const MAX_FAILED: usize = 160;

/// The links from the object that is judged to what failed. Empty for a rule that looks nothing up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain(pub Arc<[Link]>);

/// What one lookup found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// The lookup.
    pub lookup: Arc<str>,
    /// Group and version of what it looks for.
    pub api_version: Arc<str>,
    /// Kind of what it looks for.
    pub kind: Arc<str>,
    /// The first [`MAX_NAMED`] objects that it found.
    pub objects: Vec<ObjectId>,
    /// How many more it found.
    #[serde(default)]
    pub omitted: usize,
    /// What is wrong with it, when this is the link that failed.
    pub failed: Option<Arc<str>>,
}

impl Chain {
    /// Whether nothing was looked up on the way.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The chain of a rule that is not satisfied: up to the first link that is not in order. `queries` are by place.
    pub fn of<'q>(
        policy: &CompiledPolicy,
        rule: &CompiledRule,
        arena: &Arena,
        query: impl Fn(usize) -> Option<&'q Query>,
        bindings: &mut Bindings<'_>,
    ) -> Self {
        let mut links = Vec::new();
        for place in &rule.links {
            let Some(lookup) = policy.lookup(*place) else { continue };
            let Some(selection) = policy.looked_among(*place) else { continue };
            let Some(query) = query(*place).filter(|_| *lookup.name != *PARAMS) else { continue };
            let found = arena.found(*place);
            let failed = match (found, &lookup.check) {
                (None, _) if bindings.is_absent(*place) => Some("the kind is not installed".to_owned()),
                // It could not be made, which is an error where it is read, and no link.
                (None, _) => continue,
                (Some(found), Some(check)) => match check.expression.evaluate_bool(bindings) {
                    // Of what does not exist nothing else can be wrong.
                    Ok(false) => Some(match missing(lookup, query, names(found)) {
                        Some(text) if matches!(query.wanted, Wanted::Names(_)) => text,
                        _ => check.message.as_deref().unwrap_or("not in order").to_owned(),
                    }),
                    _ => None,
                },
                (Some(found), None) => missing(lookup, query, names(found)),
            };
            let objects = found.unwrap_or_default();
            let failed = failed.map(|text| one_line(&without_digests(&text), MAX_FAILED).into());
            let ends = failed.is_some();
            links.push(Link {
                lookup: lookup.name.clone(),
                api_version: match objects.first() {
                    Some(object) => object.id().api_version.clone(),
                    None => selection.target.api_version().into(),
                },
                kind: selection.target.kind.as_str().into(),
                objects: objects.iter().take(MAX_NAMED).map(|object| object.id().clone()).collect(),
                omitted: objects.len().saturating_sub(MAX_NAMED),
                failed,
            });
            if ends {
                break;
            }
        }
        Self(links.into())
    }

    /// The link that failed, when one did.
    pub fn failed(&self) -> Option<&Link> {
        self.0.iter().find(|link| link.failed.is_some())
    }

    /// In words, for a finding on an object in `namespace`; empty without links.
    pub fn describe(&self, namespace: Option<&Arc<str>>) -> String {
        let mut text = String::new();
        for link in self.0.iter() {
            let separator = if text.is_empty() { "" } else { " → " };
            let _ = write!(text, "{separator}{}", Described(link, namespace));
        }
        text
    }
}

struct Described<'l>(&'l Link, Option<&'l Arc<str>>);

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(link, namespace) = self;
        f.write_str(&link.kind)?;
        for (n, object) in link.objects.iter().enumerate() {
            f.write_str(if n == 0 { " " } else { ", " })?;
            if let Some(own) = object.namespace.as_ref().filter(|own| Some(*own) != *namespace) {
                write!(f, "{own}/")?;
            }
            f.write_str(&object.readable_name())?;
        }
        if link.omitted > 0 {
            write!(f, " and {} more", link.omitted)?;
        }
        match &link.failed {
            Some(failed) if link.objects.is_empty() => write!(f, " {failed}"),
            Some(failed) => write!(f, ": {failed}"),
            None => Ok(()),
        }
    }
}

fn names(found: &[ProjectedObject]) -> impl Iterator<Item = &str> {
    found.iter().map(|object| &*object.id().name)
}

/// What a lookup looked for and did not find.
fn missing<'n>(lookup: &Lookup, query: &Query, found: impl Iterator<Item = &'n str>) -> Option<String> {
    let found: Vec<&str> = found.collect();
    match &query.wanted {
        Wanted::Names(names) => {
            let lost: Vec<&str> =
                names.iter().map(|name| &**name).filter(|name| !found.contains(name)).collect();
            let text = match lost.len() {
                0 => return None,
                1 => format!("{} does not exist", lost[0]),
                _ => format!("{} do not exist", lost.join(", ")),
            };
            // What is there is named before it.
            Some(text)
        }
        Wanted::Labels(labels) if found.is_empty() && lookup.is_many() => {
            let labels: Vec<String> = labels.iter().map(|(key, values)| label_term(key, values)).collect();
            Some(format!("with {}: there is none", labels.join(",")))
        }
        Wanted::All if found.is_empty() => Some("there is none".to_owned()),
        _ => None,
    }
}
