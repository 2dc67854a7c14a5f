//! Whether what is not open is known not to be.

use std::collections::HashSet;
use std::sync::Arc;

use super::policy::CompiledPolicy;

/// Not open may mean not known yet, unless the selection is complete (`settled`), or gone with or without its policy.
pub fn is_known(policy: Option<&CompiledPolicy>, settled: &HashSet<Arc<str>>, selection: &str) -> bool {
    // Groups are in a selection without a name, for as long as there is a policy.
    let exists = |policy: &CompiledPolicy| {
        selection.is_empty() || policy.selections.iter().any(|known| *known.name == *selection)
    };
    settled.contains(selection) || !policy.is_some_and(exists)
}
