//! Which objects of a group are the same object, and in which order they are.

use std::cmp::Ordering;
use std::sync::Arc;

use super::event::ObjectKey;
use super::finding::ObjectId;

/// A member of a group. Ordered by kind, namespace and name, which is the order of `objects` in expressions. An object
/// that is seen in two versions of its kind is one member.
#[derive(Debug, Clone)]
pub struct Member(Arc<ObjectId>);

impl Member {
    /// The member that an object is.
    pub fn of(object: &ObjectId) -> Self {
        Self(Arc::new(object.clone()))
    }

    /// Its name within a watch.
    pub fn key(&self) -> ObjectKey {
        ObjectKey { namespace: self.0.namespace.clone(), name: self.0.name.clone() }
    }

    /// What it is ordered by. The UID tells a later object of the same name; manifests without one have none that
    /// differs between kinds.
    fn rank(&self) -> (&str, Option<&str>, &str, &str, &str) {
        let ObjectId { api_version, kind, namespace, name, uid } = &*self.0;
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        (kind, namespace.as_deref(), name, group, uid)
    }
}

impl PartialEq for Member {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Member {}

impl PartialOrd for Member {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Member {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl std::hash::Hash for Member {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.rank().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(api_version: &str, kind: &str, namespace: Option<&str>, name: &str, uid: &str) -> Member {
        Member::of(&ObjectId {
            api_version: api_version.into(),
            kind: kind.into(),
            namespace: namespace.map(Into::into),
            name: name.into(),
            uid: uid.into(),
        })
    }

    #[test]
    fn they_are_in_the_order_of_kind_namespace_and_name() {
        let mut members = [
            member("v1", "Service", Some("a"), "a", "1"),
            member("v1", "Pod", Some("b"), "a", "2"),
            member("v1", "Pod", Some("a"), "z", "3"),
            member("v1", "Pod", None, "z", "4"),
        ];
        members.sort();
        let order: Vec<&str> = members.iter().map(|member| &*member.0.uid).collect();
        assert_eq!(order, ["4", "3", "2", "1"]);
    }

    #[test]
    fn versions_are_one_and_groups_kinds_and_later_objects_are_others() {
        let one = member("apps/v1", "Thing", Some("a"), "a", "1");
        assert_eq!(one, member("apps/v1beta1", "Thing", Some("a"), "a", "1"));
        for other in [
            member("v1", "Thing", Some("a"), "a", "1"),
            member("apps/v1", "Other", Some("a"), "a", "1"),
            member("apps/v1", "Thing", Some("a"), "a", "2"),
        ] {
            assert_ne!(one, other);
        }
    }
}
