//! `MonitorPolicy`: what to watch and which rules apply.

// Each `printcolumn(...)` has its own `type_`, which the lint takes for one attribute given twice.
#![allow(clippy::duplicated_attributes)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::status::MonitorPolicyStatus;
use crate::core::cel::MAX_EXPRESSION_LENGTH;

/// Most resources one policy may select.
pub const MAX_RESOURCES: usize = 32;
/// Most rules in one policy.
pub const MAX_RULES: usize = 64;
/// Most variables, and most match conditions, in one policy.
pub const MAX_VARIABLES: usize = 32;
/// Most namespaces, and most object names, in one resource selection. Each pair is a watch of its own.
pub const MAX_SELECTED: usize = 16;

/// What to watch, and when an object is compliant.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "polywatch.dev",
    version = "v1alpha1",
    kind = "MonitorPolicy",
    plural = "monitorpolicies",
    shortname = "mpol",
    category = "polywatch",
    status = "MonitorPolicyStatus",
    derive = "PartialEq",
    doc = "MonitorPolicy declares which kinds of objects to watch, built in or custom, and which rules each object \
           must satisfy. Findings appear in its status, in its conditions, and as Events on the policy and on the \
           offending objects.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#,
        description = "True when every rule compiled and every resource is being watched."
    ),
    printcolumn(
        name = "Compliant",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Compliant")].status"#,
        description = "True when there is no open finding; Unknown while not everything is watched."
    ),
    printcolumn(
        name = "Findings",
        type_ = "integer",
        json_path = ".status.summary.openFindings",
        description = "Open findings, all of them, also those that the status does not list."
    ),
    printcolumn(
        name = "Watching",
        type_ = "string",
        json_path = ".status.summary.watching",
        description = "Resources being watched, of those that the policy names."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Critical",
        type_ = "integer",
        json_path = ".status.summary.critical",
        priority = 1,
        description = "Open findings of severity critical."
    ),
    printcolumn(
        name = "Rule Errors",
        type_ = "integer",
        json_path = ".status.summary.ruleErrors",
        priority = 1,
        description = "Pairs of rule and object that could not be judged."
    ),
    printcolumn(
        name = "Objects",
        type_ = "integer",
        json_path = ".status.summary.objects",
        priority = 1,
        description = "Objects that the policy judges."
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        priority = 1,
        description = "Why the policy is ready, or is not."
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "self.rules.all(r, !has(r.resources) || r.resources.all(n, self.resources.exists(x, x.name == n)))"
    )
    .message("every name in rules[].resources must be the name of an entry in spec.resources")
)]
pub struct MonitorPolicySpec {
    /// Stops watching and judging for this policy while true. Its findings are forgotten, not resolved.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,

    /// Severity of rules that do not name their own.
    #[serde(default)]
    pub severity: Severity,

    /// The objects to watch. Each entry selects objects of one kind; the entries are independent.
    #[schemars(length(min = 1, max = MAX_RESOURCES))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub resources: Vec<ResourceSelection>,

    /// Conditions that an object must meet to be judged at all. An object for which one of them is false is
    /// skipped: it is neither compliant nor a finding.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_VARIABLES))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub match_conditions: Vec<NamedExpression>,

    /// Values that expressions can read as variables.NAME. A variable may read the variables before it. It is
    /// evaluated when a rule first reads it, at most once per object.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_VARIABLES))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub variables: Vec<Variable>,

    /// The rules. Each is a CEL expression that is true for a compliant object, as a validation of a
    /// ValidatingAdmissionPolicy is.
    #[schemars(length(min = 1, max = MAX_RULES))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub rules: Vec<PolicyRule>,
}

/// A selection of objects of one kind. Labels, fields, namespaces and names are matched by the API server;
/// namespaceSelector and excludeNamespaces by polywatch.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.namespaces) && has(self.namespaceSelector))")
        .message("namespaces and namespaceSelector exclude each other: give one of them, or neither for all namespaces")
)]
pub struct ResourceSelection {
    /// How rules refer to this selection.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,

    /// Group and version, such as "v1" or "apps/v1". "GROUP/*" follows the version that the API server serves
    /// and prefers.
    #[schemars(length(min = 1, max = 317))]
    #[x_kube(
        // Not a pattern: the server answers a pattern with the pattern, a rule with its message.
        validation = Rule::new(
            "self.matches('^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?([a-z0-9]([-a-z0-9]*[a-z0-9])?|[*])$')"
        )
        .message("apiVersion must be VERSION such as v1, GROUP/VERSION such as apps/v1, or GROUP/* for the preferred version")
    )]
    pub api_version: String,

    /// Kind, such as "Pod". It need not be installed yet: the watch starts when it is.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(
        validation = Rule::new("self.matches('^[A-Za-z]([-A-Za-z0-9]*[A-Za-z0-9])?$')")
            .message("kind must be the name of one kind such as Pod, as in the manifests of its objects")
    )]
    pub kind: String,

    /// Only objects in these namespaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = MAX_SELECTED), inner(length(min = 1, max = 63)))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new("self.all(n, n.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'))")
            .message("each entry must be the name of one namespace such as team-a; patterns are not possible, labels are: namespaceSelector")
    )]
    pub namespaces: Vec<String>,

    /// Only objects with one of these names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = MAX_SELECTED), inner(length(min = 1, max = 253)))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new("self.all(n, !n.matches('[*,=!/% ]'))")
            .message("each entry must be the name of one object; for patterns use labelSelector, or a match condition")
    )]
    pub names: Vec<String>,

    /// Only objects in namespaces whose labels match. Kept true when the labels of a namespace change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,

    /// No objects in these namespaces. Applied after the other selections.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 63)))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new("self.all(n, n.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'))")
            .message("each entry must be the name of one namespace such as team-a; patterns are not possible, labels are: namespaceSelector")
    )]
    pub exclude_namespaces: Vec<String>,

    /// Only objects whose labels match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<LabelSelector>,

    /// Only objects whose fields match, such as "status.phase!=Running". Which fields a kind supports is up to
    /// the API server; every kind supports metadata.name and metadata.namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub field_selector: Option<String>,
}

/// A CEL expression with a name.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NamedExpression {
    /// Name, unique in its list.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,

    /// CEL expression with a boolean result.
    #[schemars(length(min = 1, max = MAX_EXPRESSION_LENGTH))]
    pub expression: String,
}

/// A named value for other expressions.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Variable {
    /// Name; expressions read it as variables.NAME.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub name: String,

    /// CEL expression with a result of any type.
    #[schemars(length(min = 1, max = MAX_EXPRESSION_LENGTH))]
    pub expression: String,
}

/// One rule: true is compliant, false is a finding, an error is neither and is counted as a rule error.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRule {
    /// Name of the rule, unique in the policy.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,

    /// What the rule is for, in a sentence, for those who read the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,

    /// Names of entries in spec.resources whose objects this rule judges. All, when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = MAX_RESOURCES), inner(length(min = 1, max = 63)))]
    pub resources: Vec<String>,

    /// CEL expression with a boolean result. Variables: object, namespaceObject (null for cluster scoped
    /// objects), request (operation, kind, resource, namespace, name), variables and now.
    #[schemars(length(min = 1, max = MAX_EXPRESSION_LENGTH))]
    pub expression: String,

    /// Text of the finding. Absent: "rule NAME is not satisfied".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub message: Option<String>,

    /// CEL expression whose string result is the text of the finding. When it fails, or its result is not a
    /// string or empty, message is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_EXPRESSION_LENGTH))]
    pub message_expression: Option<String>,

    /// Severity of the findings of this rule. Absent: the severity of the policy.
    // Of an optional enumeration the schema would show the description of the type instead of this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Severity")]
    pub severity: Option<Severity>,
}

/// How bad a finding is.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Should be mended some day.
    Low,
    /// Should be mended soon.
    #[default]
    Medium,
    /// Will hurt users if it stays.
    High,
    /// Hurts users now.
    Critical,
}

impl From<Severity> for crate::core::finding::Severity {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Info => Self::Info,
            Severity::Low => Self::Low,
            Severity::Medium => Self::Medium,
            Severity::High => Self::High,
            Severity::Critical => Self::Critical,
        }
    }
}

impl From<crate::core::finding::Severity> for Severity {
    fn from(severity: crate::core::finding::Severity) -> Self {
        use crate::core::finding::Severity as Core;
        match severity {
            Core::Info => Self::Info,
            Core::Low => Self::Low,
            Core::Medium => Self::Medium,
            Core::High => Self::High,
            Core::Critical => Self::Critical,
        }
    }
}
