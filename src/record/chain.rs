//! The chain of a finding as a status and an Event show it, and how a later process reads it again. Pure.

use crate::api::status::{LinkObject, LinkStatus};
use crate::core::chain::{Chain, Link};
use crate::core::finding::ObjectId;

/// As a status lists it.
pub fn listed(chain: &Chain) -> Vec<LinkStatus> {
    chain.0.iter().map(shown).collect()
}

fn shown(link: &Link) -> LinkStatus {
    let object = |object: &ObjectId| LinkObject {
        namespace: object.namespace.as_ref().map(ToString::to_string),
        name: object.name.to_string(),
        uid: object.uid.to_string(),
    };
    LinkStatus {
        lookup: link.lookup.to_string(),
        api_version: link.api_version.to_string(),
        kind: link.kind.to_string(),
        objects: link.objects.iter().map(object).collect(),
        omitted: i64::try_from(link.omitted).unwrap_or(i64::MAX),
        failed: link.failed.as_ref().map(ToString::to_string),
    }
}

/// From a list.
pub fn read(listed: &[LinkStatus]) -> Chain {
    let link = |link: &LinkStatus| Link {
        lookup: link.lookup.as_str().into(),
        api_version: link.api_version.as_str().into(),
        kind: link.kind.as_str().into(),
        objects: link.objects.iter().map(|object| identity(link, object)).collect(),
        omitted: usize::try_from(link.omitted).unwrap_or_default(),
        failed: link.failed.as_deref().map(Into::into),
    };
    Chain(listed.iter().map(link).collect())
}

fn identity(link: &LinkStatus, object: &LinkObject) -> ObjectId {
    ObjectId {
        api_version: link.api_version.as_str().into(),
        kind: link.kind.as_str().into(),
        namespace: object.namespace.as_deref().map(Into::into),
        name: object.name.as_str().into(),
        uid: object.uid.as_str().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_is_read_as_what_it_was() {
        let object = |name: &str, namespace: Option<&str>| ObjectId {
            api_version: "v1".into(),
            kind: "Service".into(),
            namespace: namespace.map(Into::into),
            name: name.into(),
            uid: format!("uid-{name}").into(),
        };
        let link = |objects, failed: Option<&str>| Link {
            lookup: "service".into(),
            api_version: "v1".into(),
            kind: "Service".into(),
            objects,
            omitted: 4,
            failed: failed.map(Into::into),
        };
        let links = [
            link(vec![object("a", Some("n")), object("b", None)], None),
            link(Vec::new(), Some("does not exist")),
        ];
        let chain = Chain(links.into());
        assert_eq!(read(&listed(&chain)), chain);
    }
}
