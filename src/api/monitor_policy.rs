//! `MonitorPolicy`: what to watch and which rules apply.

// Each `printcolumn(...)` has its own `type_`, which the lint takes for one attribute given twice.
#![allow(clippy::duplicated_attributes)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::lookup::{Lookup, MAX_LOOKUPS, Params};
use super::notify::{MAX_ROUTES, Notify};
use super::status::MonitorPolicyStatus;
use super::{IS_API_VERSION, IS_KIND, NO_API_VERSION};
use crate::core::cel::MAX_EXPRESSION_LENGTH;
use crate::core::patience::{MAX_OPENS, MIN_OPENS};

/// Most resources one policy may select.
pub const MAX_RESOURCES: usize = 32;
/// Most rules in one policy.
pub const MAX_RULES: usize = 64;
/// Most variables, and most match conditions, in one policy.
pub const MAX_VARIABLES: usize = 32;
/// Most paths of a rule on changes or drift, and most ignored paths and allowed managers of one on drift.
pub const MAX_PATHS: usize = 64;
/// Most groups that a rule on groups names as expected.
pub const MAX_GROUPS: usize = 256;
/// Most namespaces, and most object names, in one resource selection. Each pair is a watch of its own.
pub const MAX_SELECTED: usize = 16;
/// What a time to wait is.
pub(super) const TIME_TO_WAIT: &str = "self.matches('^([0-9]+h)?([0-9]+m)?([0-9]+s)?$') && duration(self) > duration('0s') && \
                            duration(self) <= duration('720h')";

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
    .message("every name in rules[].resources must be the name of an entry in spec.resources"),
    validation = Rule::new(
        "self.rules.all(r, !has(r.groups) || !has(r.groups.resource) || self.resources.exists(x, x.name == r.groups.resource))"
    )
    .message("rules[].groups.resource must be the name of an entry in spec.resources"),
    validation = Rule::new(
        "!has(self.notify) || self.notify.all(n, !has(n.rules) || n.rules.all(r, self.rules.exists(x, x.name == r)))"
    )
    .message("every name in notify[].rules must be the name of an entry in spec.rules")
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

    /// Values that are kept elsewhere, such as thresholds in a ConfigMap of each team; expressions read the object
    /// as params. A change of it judges again what it governs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<Params>,

    /// Related objects, which expressions read as lookups.NAME: the Service that a route names, the EndpointSlices of
    /// that Service. Each is watched, with the fields that are read of it, and a change of one judges again just the
    /// objects that depend on it. Lookups and variables may read each other, but not in a circle.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_LOOKUPS))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub lookups: Vec<Lookup>,

    /// The rules. One with an expression says what a compliant object is, as a validation of a
    /// ValidatingAdmissionPolicy does; with on as well, which changes are in order. One with drift says which
    /// fields must stay as they are.
    #[schemars(length(min = 1, max = MAX_RULES))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub rules: Vec<PolicyRule>,

    /// Who is told when a finding opens, changes or is resolved, beside this status and Events: AlertSinks, each at most
    /// once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_ROUTES))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["sink".into()]))]
    pub notify: Vec<Notify>,
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
        validation = Rule::new(IS_API_VERSION).message(NO_API_VERSION)
    )]
    pub api_version: String,

    /// Kind, such as "Pod". It need not be installed yet: the watch starts when it is.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(
        validation = Rule::new(IS_KIND)
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

/// One rule: true is compliant, false is a finding, an error is neither and is counted as a rule error. Of a rule
/// with on, each false is one occurrence instead.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.expression) != has(self.drift)")
        .message("a rule has either expression, for what must be true, or drift, for fields that must stay as they are"),
    // Names that CEL reserves stand between underscores.
    validation = Rule::new("!(has(self.on) && has(self.__true__))")
        .message("true is what YAML 1.1 makes of the word on without quotes: give one of them"),
    validation = Rule::new("!((has(self.on) || has(self.__true__)) && has(self.drift))")
        .message("on belongs to expression: it makes a rule on changes of it; a drift rule looks at every change by itself"),
    validation = Rule::new("!has(self.paths) || has(self.on) || has(self.__true__)")
        .message("paths belongs to on: it says which changes count; of a drift rule, write drift.paths"),
    validation = Rule::new("!has(self.groupBy) || has(self.expression)")
        .message("groupBy belongs to expression: it makes a rule on groups of it"),
    validation = Rule::new("!(has(self.groupBy) && (has(self.on) || has(self.__true__)))")
        .message("groupBy and on exclude each other: a rule is either about what groups are, or about changes of objects"),
    validation = Rule::new("!has(self.groups) || has(self.groupBy)")
        .message("groups belongs to groupBy: it names the groups that are judged also when they are empty"),
    validation = Rule::new("!((has(self.on) || has(self.__true__)) && (has(self.__for__) || has(self.keepFor) || has(self.flapping)))")
        .message("for, keepFor and flapping are about findings that stand; a rule with on is about changes, of which nothing stands")
)]
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

    /// Makes this a rule on changes: it is judged once on each change of these kinds, with the state before in
    /// oldObject and the state after in object, and each false is one occurrence, listed in status.occurrences;
    /// nothing stands open. As in admission, oldObject is null on Create and object is null on Delete. What
    /// happened while the connection to the API server was lost is judged against the last known state; objects
    /// that exist when the policy or polywatch starts are not created. Status counts as part of the object. An
    /// object that begins or ceases to match labelSelector or fieldSelector counts as created or deleted. Absent:
    /// the expression is about the state of objects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 3))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub on: Vec<Operation>,

    /// The same as on. YAML 1.1 takes the word on without quotes for the boolean true, and kubectl reads manifests
    /// so: this is what arrives then.
    #[serde(rename = "true", default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 3))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub unquoted_on: Vec<Operation>,

    /// With on: the fields that count, each with all below it, such as spec or spec.containers[*].image. An update
    /// that leaves them as they were is not judged, only changes of them are listed, and only they and what the
    /// expressions read are kept in memory. Absent: any field counts, and whole objects are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = MAX_PATHS), inner(length(min = 1, max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub paths: Vec<String>,

    /// Makes this a rule on groups: CEL expression that gives the key of the group that an object belongs to, such
    /// as object.metadata.labels.app; a string of at most 256 bytes, an int or a bool, or a list of at most 64 such keys
    /// for an object in several groups; null or an empty optional for an object in no group. Variables: object,
    /// namespaceObject, request, variables, lookups, params and now. Each group is judged as
    /// a whole, by expression and messageExpression with the variables objects (the list of its objects), group (its
    /// key) and now, and is a finding of its own. An object that several entries of resources select counts once. A
    /// group is judged when all its objects are known; one that becomes empty is gone, unless it is expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_EXPRESSION_LENGTH))]
    pub group_by: Option<String>,

    /// With groupBy: groups that are expected, and judged with an empty list of objects when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ExpectedGroups")]
    pub groups: Option<ExpectedGroups>,

    /// CEL expression with a boolean result. Variables: object, oldObject (null unless the rule has on),
    /// namespaceObject (null for cluster scoped objects), request (operation, kind, resource, namespace, name),
    /// variables, lookups, params and now; with groupBy: objects, group and now. A comparison with now, such as
    /// now - timestamp(object.status.seen) > duration('5m'), is judged again at the moment when it comes out otherwise;
    /// a rule that uses now in another way, once a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_EXPRESSION_LENGTH))]
    pub expression: Option<String>,

    /// Makes this a rule on drift: fields must stay as they are in the baseline. A finding stands until they are
    /// back, and names each differing field with both values and who changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "DriftRule")]
    pub drift: Option<DriftRule>,

    /// For how long the rule must be false without a break before that is a finding, such as 30s, 5m or 1h30m. Until
    /// then it is pending: counted in status.summary.pending, listed in status.pending, and no Event tells of it. One
    /// true verdict ends it; a failure of the rule neither does that nor opens the finding.
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 2, max = 16))]
    #[x_kube(
        validation = Rule::new(TIME_TO_WAIT)
            .message("for must be a time in hours, minutes and seconds, such as 30s, 5m or 1h30m, and at most 720h")
    )]
    pub hold_for: Option<String>,

    /// For how long the rule must be true again without a break before its finding ends, such as 5m. Absent: at once.
    /// When the object is gone, or no longer selected, the finding ends at once in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 2, max = 16))]
    #[x_kube(
        validation = Rule::new(TIME_TO_WAIT)
            .message("keepFor must be a time in hours, minutes and seconds, such as 30s, 5m or 1h30m, and at most 720h")
    )]
    pub keep_for: Option<String>,

    /// Keeps a finding open that opens again and again, so that nobody is told of it each time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Flapping")]
    pub flapping: Option<Flapping>,

    /// Text of the finding. To that of a rule on changes or drift, the changed fields and who changed them are
    /// added. Absent: "rule NAME is not satisfied".
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

/// Groups that are judged also when no object belongs to them.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.values) != has(self.resource)")
        .message("expected groups are either values, the keys themselves, or resource, whose objects name them"),
    validation = Rule::new("has(self.resource) == has(self.expression)")
        .message("resource and expression belong together: expression gives the key that an object of resource names")
)]
pub struct ExpectedGroups {
    /// The keys of the groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = MAX_GROUPS), inner(length(min = 1, max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub values: Vec<String>,

    /// Name of an entry in spec.resources: each of its objects names one group. Its objects are members of groups
    /// only if the rule names the entry in resources as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub resource: Option<String>,

    /// CEL expression that gives the key of the group that an object of resource names, of the same form and with the
    /// same variables as groupBy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_EXPRESSION_LENGTH))]
    pub expression: Option<String>,
}

/// When a finding flaps: it opens so often within a time. Then it stays open until the rule was true for that time
/// without a break, and findings[].flaps says how often it opened.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Flapping {
    /// So often.
    #[schemars(range(min = MIN_OPENS, max = MAX_OPENS))]
    pub opens: u32,

    /// Within this time, such as 10m.
    #[schemars(length(min = 2, max = 16))]
    #[x_kube(
        validation = Rule::new(TIME_TO_WAIT)
            .message("within must be a time in hours, minutes and seconds, such as 30s, 5m or 1h30m, and at most 720h")
    )]
    pub within: String,
}

/// What happens to an object.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// It came.
    Create,
    /// It changed.
    Update,
    /// It went.
    Delete,
}

impl PolicyRule {
    /// The changes that the rule is about, however they were written; none for a rule on states.
    pub fn operations(&self) -> impl Iterator<Item = Operation> {
        self.on.iter().chain(&self.unquoted_on).copied()
    }
}

impl From<Operation> for crate::core::rules::Operation {
    fn from(operation: Operation) -> Self {
        match operation {
            Operation::Create => Self::Create,
            Operation::Update => Self::Update,
            Operation::Delete => Self::Delete,
        }
    }
}

impl From<crate::core::rules::Operation> for Operation {
    fn from(operation: crate::core::rules::Operation) -> Self {
        use crate::core::rules::Operation as Core;
        match operation {
            Core::Create => Self::Create,
            Core::Update => Self::Update,
            Core::Delete => Self::Delete,
        }
    }
}

/// Fields that must stay as they are. Paths look like spec.replicas, spec.containers[name=app].image,
/// spec.tiers[*].limit, spec.args[0] and metadata.labels["example.com/tier"]; each means the field with all below it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DriftRule {
    /// The fields. Absent: everything but metadata and status.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = MAX_PATHS), inner(length(min = 1, max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub paths: Vec<String>,

    /// Fields that may change, such as spec.replicas below an autoscaler.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = MAX_PATHS), inner(length(min = 1, max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub ignore: Vec<String>,

    /// Field managers whose changes are in order, such as argocd-controller: what they set is the baseline from
    /// then on. See metadata.managedFields of an object (kubectl get --show-managed-fields) for the names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = MAX_PATHS), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub allowed_managers: Vec<String>,

    /// How the fields should be. Absent: as they were when the object was first seen, or as allowed managers set
    /// them since then. A restart of polywatch keeps open findings and what they list, and of objects without one the
    /// last known state, so that what changes while it is down is noticed. Where that state is not kept (of Secrets, of
    /// more than 2,000 objects, after an edit of the policy meanwhile) they begin anew with the state that they have.
    /// Values of Secrets are not read: they can be compared with earlier
    /// ones only, not with another object or with what is written here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "DriftBaseline")]
    pub baseline: Option<DriftBaseline>,
}

/// How fields should be.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.object) != has(self.inline)")
        .message("a baseline is either object, the name of one, or inline, the fields themselves")
)]
pub struct DriftBaseline {
    /// As those of this object. It is watched by itself: its state is in status.resources as RULE/baseline, and
    /// when it changes everything is compared again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BaselineObject")]
    pub object: Option<BaselineObject>,

    /// As written here, such as {spec: {replicas: 3}}. What is not mentioned is free; null means that the field
    /// must be absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub inline: Option<serde_json::Value>,
}

fn any_object(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// Names one object.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BaselineObject {
    /// Group and version, such as "v1" or "apps/v1". "GROUP/*" follows the version that the API server prefers.
    #[schemars(length(min = 1, max = 317))]
    #[x_kube(
        validation = Rule::new(IS_API_VERSION).message(NO_API_VERSION)
    )]
    pub api_version: String,

    /// Kind, such as "Deployment".
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,

    /// Namespace; absent for a cluster scoped object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,

    /// Name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
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
