//! Related objects: lookups, which rules join to the object that is judged, and parameters.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{IS_API_VERSION, IS_KIND, NO_API_VERSION};
use crate::core::cel::MAX_EXPRESSION_LENGTH;

/// Most lookups in one policy.
pub const MAX_LOOKUPS: usize = 16;
/// Most labels that a lookup names.
pub const MAX_LOOKUP_LABELS: usize = 16;

/// Objects that are found by what is read of the object that is judged, or of those that other lookups find.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "[has(self.nameExpression), has(self.namesExpression), has(self.labels), has(self.labelsExpression)]\
         .filter(given, given).size() <= 1"
    )
    .message("nameExpression, namesExpression, labels and labelsExpression exclude each other: give one of them, or none for all objects of the namespace"),
    validation = Rule::new("!has(self.message) || has(self.expression)")
        .message("message belongs to expression: it is what is wrong when expression is false")
)]
pub struct Lookup {
    /// Name; expressions read it as lookups.NAME.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub name: String,

    /// Group and version, such as "v1" or "apps/v1". "GROUP/*" follows the version that the API server serves
    /// and prefers.
    #[schemars(length(min = 1, max = 317))]
    #[x_kube(
        validation = Rule::new(IS_API_VERSION).message(NO_API_VERSION)
    )]
    pub api_version: String,

    /// Kind, such as "Service". While it is not installed, has(lookups.NAME) is false.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(
        validation = Rule::new(IS_KIND)
            .message("kind must be the name of one kind such as Service, as in the manifests of its objects")
    )]
    pub kind: String,

    /// CEL expression with the namespace to look in as its result. Absent: the namespace of the object that is
    /// judged. Null, an empty text, or an object without a namespace: all namespaces. Of no meaning for kinds that
    /// live in none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_EXPRESSION_LENGTH))]
    pub namespace_expression: Option<String>,

    /// CEL expression with the name of one object as its result: lookups.NAME is that object, or null when it does
    /// not exist. Null or an empty text: there is nothing to look for, and lookups.NAME is null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_EXPRESSION_LENGTH))]
    pub name_expression: Option<String>,

    /// CEL expression with a list of at most 64 names as its result: lookups.NAME is the list of those objects that
    /// exist, sorted by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_EXPRESSION_LENGTH))]
    pub names_expression: Option<String>,

    /// For each label a CEL expression with its value as the result, or with a list of at most 64 values of which
    /// each will do: lookups.NAME is the list of objects that have all of the labels, sorted by namespace and name.
    /// Null, an empty text or an empty list for one of them finds nothing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("minProperties" = 1, "maxProperties" = MAX_LOOKUP_LABELS))]
    pub labels: BTreeMap<String, String>,

    /// CEL expression with a map of labels as its result, such as object.spec.selector of a Service: lookups.NAME is
    /// the list of objects that have all of them. An empty map finds nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_EXPRESSION_LENGTH))]
    pub labels_expression: Option<String>,

    /// CEL expression that says when what was found is in order; it may read lookups.NAME itself. It decides no rule:
    /// when a rule that reads this lookup is not satisfied, the finding names the first lookup on its way of which
    /// this is false, or that finds nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_EXPRESSION_LENGTH))]
    pub expression: Option<String>,

    /// What is wrong when expression is false, such as "no ready endpoint".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub message: Option<String>,
}

/// Values that are kept in objects of their own, as the parameters of a ValidatingAdmissionPolicy are.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.name) != has(self.labelSelector)")
        .message("params are found either by name or by labelSelector")
)]
pub struct Params {
    /// Group and version, such as "v1".
    #[schemars(length(min = 1, max = 317))]
    pub api_version: String,

    /// Kind, such as "ConfigMap".
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,

    /// Name of the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub name: Option<String>,

    /// Objects whose labels match: each rule that reads params is judged with each of them, and satisfied when it is
    /// with all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<LabelSelector>,

    /// Namespace of the object. Absent: that of the object that is judged, so that teams keep values of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,

    /// What becomes of rules that read params while there are none. Allow: they are not judged. Deny: each is a
    /// finding that says so.
    #[serde(default)]
    pub parameter_not_found_action: ParameterNotFoundAction,
}

/// What follows when there are no params.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ParameterNotFoundAction {
    /// Rules that read params are not judged.
    #[default]
    Allow,
    /// Rules that read params are not satisfied.
    Deny,
}
