//! How the elements of lists are named for one object, so that a finding names them the same for as long as it is
//! open.

use std::sync::Arc;

use crate::core::diff::ListKeys;
use crate::core::field_path::{FieldPath, Step};
use crate::core::finding::Finding;
use crate::core::schema::Schema;

/// The keys of the schema. While it is not known, those of the open finding: an earlier process may have known it.
pub(super) struct Keys<'a> {
    pub(super) schema: Option<&'a Schema>,
    pub(super) open: Option<&'a Finding>,
}

impl ListKeys for Keys<'_> {
    fn keys(&self, list: &[Step]) -> Option<Vec<Arc<str>>> {
        self.schema.keys(list).or_else(|| {
            let listed = self.open?.fields.listed.iter();
            listed.filter_map(|field| field.path.parse().ok()).find_map(|path| named(&path, list))
        })
    }
}

/// The keys by which a path names an element of this list.
fn named(path: &FieldPath, list: &[Step]) -> Option<Vec<Arc<str>>> {
    match path.0.strip_prefix(list)?.first()? {
        Step::Element(keys) => Some(keys.iter().map(|(key, _)| key.clone()).collect()),
        Step::Field(_) | Step::Index(_) => None,
    }
}
