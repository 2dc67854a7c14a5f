//! JSON and YAML: one array, an element for each rule and object.

use super::EntryView;
use crate::offline::check::Report;
use crate::yaml;

/// The array as JSON.
///
/// # Errors
/// None that can be met: it is made of texts.
pub fn json(report: &Report) -> Result<String, yaml::Error> {
    Ok(serde_json::to_string_pretty(&views(report))? + "\n")
}

/// The same as YAML.
///
/// # Errors
/// As [`json`].
pub fn yaml(report: &Report) -> Result<String, yaml::Error> {
    Ok(yaml::to_string(&views(report))?.trim_end().to_owned() + "\n")
}

fn views(report: &Report) -> Vec<EntryView<'_>> {
    report.entries.iter().map(EntryView::from).collect()
}
