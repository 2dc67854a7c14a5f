//! Values of Secrets: replaced while they are read, so that no rule, message or log can show them.
//!
//! In place of a value stands [`REDACTED`]. With a key that only this process knows, it carries a keyed hash of the
//! value and of the object's UID: two states of one Secret can be told apart, while nobody can try guesses, nor
//! compare Secrets with each other. Texts that leave the
//! process are without it: see [`without_digests`].

use std::borrow::Cow;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::Arc;

use super::tree::Node;

/// What replaces the values of a Secret.
pub const REDACTED: &str = "<redacted>";

/// What it looks like with a hash: this, 16 hexadecimal digits, and `>`.
const WITH_DIGEST: &str = "<redacted:";
const DIGITS: usize = 16;

/// In place of a value that no other can equal.
const INCOMPARABLE: &str = "<redacted:>";

/// The annotation in which `kubectl apply` keeps a copy of what it applied.
pub(super) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Whether objects of this kind are Secrets.
pub(super) fn is_secret(api_version: &str, kind: &str) -> bool {
    api_version == "v1" && kind == "Secret"
}

/// Keys stay, so that rules can ask for them; values go, and with them the copy that `kubectl apply` keeps.
/// `identity` tells the Secret from others.
pub(super) fn redact(fields: &mut [(Arc<str>, Node)], identity: Option<&str>, key: Option<&RandomState>) {
    replace(fields, |value| match (key, value) {
        (Some(key), Node::Str(text)) => digest(key, identity, text).into(),
        _ => REDACTED.into(),
    });
}

/// The same for what is declared about a Secret, or is about another one: equal to no value.
pub(super) fn hide(fields: &mut [(Arc<str>, Node)]) {
    replace(fields, |_| INCOMPARABLE.into());
}

fn replace(fields: &mut [(Arc<str>, Node)], by: impl Fn(&Node) -> Arc<str>) {
    for (field, value) in fields {
        match (&**field, value) {
            ("data" | "stringData", Node::Map(entries)) => {
                for (_, value) in entries {
                    if *value != Node::Null {
                        *value = Node::Str(by(value));
                    }
                }
            }
            ("metadata", Node::Map(entries)) => {
                for (_, annotations) in entries.iter_mut().filter(|(key, _)| &**key == "annotations") {
                    if let Node::Map(annotations) = annotations {
                        for (_, value) in annotations.iter_mut().filter(|(key, _)| &**key == LAST_APPLIED) {
                            *value = Node::Str(REDACTED.into());
                        }
                    }
                }
            }
            _ => {}
        }
    }
}

/// Whether a text of an object stands in place of a value.
pub fn is_redacted(text: &str) -> bool {
    text == REDACTED || text.starts_with(WITH_DIGEST)
}

fn digest(key: &RandomState, identity: Option<&str>, value: &str) -> String {
    let mut hasher = key.build_hasher();
    identity.hash(&mut hasher);
    value.hash(&mut hasher);
    format!("{WITH_DIGEST}{:016x}>", hasher.finish())
}

/// A text that may leave the process: each replaced value as [`REDACTED`], without its hash.
pub fn without_digests(text: &str) -> Cow<'_, str> {
    if !text.contains(WITH_DIGEST) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(WITH_DIGEST) {
        out.push_str(&rest[..at]);
        out.push_str(REDACTED);
        // Whatever a rule made of it, no digit of the hash stays.
        let after = &rest[at + WITH_DIGEST.len()..];
        let digits = after.bytes().take(DIGITS).take_while(u8::is_ascii_hexdigit).count();
        rest = &after[digits..];
        rest = rest.strip_prefix('>').unwrap_or(rest);
    }
    out.push_str(rest);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_tells_values_of_one_object_apart_and_says_nothing() {
        let key = RandomState::new();
        let of = |identity, value| digest(&key, Some(identity), value);
        assert_eq!(of("u", "a"), of("u", "a"));
        assert_ne!(of("u", "a"), of("u", "b"));
        assert_ne!(of("u", "a"), of("v", "a"), "two Secrets can not be compared");
        assert_ne!(of("u", "a"), digest(&RandomState::new(), Some("u"), "a"), "nor two processes");
    }

    #[test]
    fn no_hash_leaves_the_process() {
        let text = format!("a {} b {}", digest(&RandomState::new(), None, "x"), "<redacted:12");
        assert_eq!(without_digests(&text), "a <redacted> b <redacted>");
        assert_eq!(without_digests("plain"), "plain");
    }
}
