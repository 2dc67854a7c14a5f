//! Kinds, and what an API server knows of those that it has built in: their name in paths, and whether they live in
//! namespaces. From the reference of the Kubernetes API, 1.37.

use crate::core::policy::Target;
use crate::core::project::ProjectedObject;

/// A kind in one version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind {
    /// Group and version, as in `apiVersion`.
    pub api_version: String,
    /// Kind.
    pub kind: String,
}

impl Kind {
    /// The kind of Namespaces.
    pub fn namespaces() -> Self {
        Self { api_version: "v1".to_owned(), kind: "Namespace".to_owned() }
    }

    /// The kind of an object.
    pub fn of(object: &ProjectedObject) -> Self {
        Self { api_version: object.id().api_version.to_string(), kind: object.id().kind.to_string() }
    }

    /// The kind that a target names, when it names a version.
    pub fn named(target: &Target) -> Option<Self> {
        let version = target.version.as_deref()?;
        let api_version = match target.group.as_str() {
            "" => version.to_owned(),
            group => format!("{group}/{version}"),
        };
        Some(Self { api_version, kind: target.kind.clone() })
    }

    /// API group; empty for the core group.
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// Version.
    pub fn version(&self) -> &str {
        self.api_version.split_once('/').map_or(&self.api_version, |(_, version)| version)
    }

    /// Whether a target is about it. One without a version is about any.
    pub fn is_meant_by(&self, target: &Target) -> bool {
        target.kind == self.kind
            && target.group == self.group()
            && target.version.as_deref().is_none_or(|version| version == self.version())
    }
}

/// As it is written in events: `APIVERSION KIND`.
impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.api_version, self.kind)
    }
}

/// A kind of Kubernetes itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuiltIn {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Name in paths.
    pub plural: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

/// The kind of a name in paths.
pub fn by_plural(group: &str, plural: &str) -> Option<BuiltIn> {
    all().find(|known| known.group == group && known.plural == plural)
}

/// A kind by its name.
pub fn by_kind(group: &str, kind: &str) -> Option<BuiltIn> {
    all().find(|known| known.group == group && known.kind == kind)
}

/// The name in paths that a kind most likely has: lower case, in the plural of English.
pub fn guess_plural(kind: &str) -> String {
    let lower = kind.to_lowercase();
    match lower.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'i', 'o', 'u']) => format!("{stem}ies"),
        _ if lower.ends_with(['s', 'x']) || lower.ends_with("ch") || lower.ends_with("sh") => {
            format!("{lower}es")
        }
        _ => format!("{lower}s"),
    }
}

fn all() -> impl Iterator<Item = BuiltIn> {
    GROUPS.iter().flat_map(|(group, namespaced, kinds)| {
        kinds.iter().map(|(plural, kind)| BuiltIn { group, plural, kind, namespaced: *namespaced })
    })
}

type Group = (&'static str, bool, &'static [(&'static str, &'static str)]);

const GROUPS: &[Group] = &[
    (
        "",
        true,
        &[
            ("bindings", "Binding"),
            ("configmaps", "ConfigMap"),
            ("endpoints", "Endpoints"),
            ("events", "Event"),
            ("limitranges", "LimitRange"),
            ("persistentvolumeclaims", "PersistentVolumeClaim"),
            ("pods", "Pod"),
            ("podtemplates", "PodTemplate"),
            ("replicationcontrollers", "ReplicationController"),
            ("resourcequotas", "ResourceQuota"),
            ("secrets", "Secret"),
            ("serviceaccounts", "ServiceAccount"),
            ("services", "Service"),
        ],
    ),
    (
        "",
        false,
        &[
            ("componentstatuses", "ComponentStatus"),
            ("namespaces", "Namespace"),
            ("nodes", "Node"),
            ("persistentvolumes", "PersistentVolume"),
        ],
    ),
    (
        "admissionregistration.k8s.io",
        false,
        &[
            ("mutatingadmissionpolicies", "MutatingAdmissionPolicy"),
            ("mutatingadmissionpolicybindings", "MutatingAdmissionPolicyBinding"),
            ("mutatingwebhookconfigurations", "MutatingWebhookConfiguration"),
            ("validatingadmissionpolicies", "ValidatingAdmissionPolicy"),
            ("validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding"),
            ("validatingwebhookconfigurations", "ValidatingWebhookConfiguration"),
        ],
    ),
    ("apiextensions.k8s.io", false, &[("customresourcedefinitions", "CustomResourceDefinition")]),
    ("apiregistration.k8s.io", false, &[("apiservices", "APIService")]),
    (
        "apps",
        true,
        &[
            ("controllerrevisions", "ControllerRevision"),
            ("daemonsets", "DaemonSet"),
            ("deployments", "Deployment"),
            ("replicasets", "ReplicaSet"),
            ("statefulsets", "StatefulSet"),
        ],
    ),
    ("autoscaling", true, &[("horizontalpodautoscalers", "HorizontalPodAutoscaler")]),
    ("batch", true, &[("cronjobs", "CronJob"), ("jobs", "Job")]),
    (
        "certificates.k8s.io",
        false,
        &[
            ("certificatesigningrequests", "CertificateSigningRequest"),
            ("clustertrustbundles", "ClusterTrustBundle"),
        ],
    ),
    ("coordination.k8s.io", true, &[("leases", "Lease")]),
    ("discovery.k8s.io", true, &[("endpointslices", "EndpointSlice")]),
    ("events.k8s.io", true, &[("events", "Event")]),
    (
        "flowcontrol.apiserver.k8s.io",
        false,
        &[("flowschemas", "FlowSchema"), ("prioritylevelconfigurations", "PriorityLevelConfiguration")],
    ),
    ("networking.k8s.io", true, &[("ingresses", "Ingress"), ("networkpolicies", "NetworkPolicy")]),
    (
        "networking.k8s.io",
        false,
        &[("ingressclasses", "IngressClass"), ("ipaddresses", "IPAddress"), ("servicecidrs", "ServiceCIDR")],
    ),
    ("node.k8s.io", false, &[("runtimeclasses", "RuntimeClass")]),
    ("policy", true, &[("poddisruptionbudgets", "PodDisruptionBudget")]),
    ("polywatch.dev", false, &[("monitorpolicies", "MonitorPolicy")]),
    ("rbac.authorization.k8s.io", true, &[("rolebindings", "RoleBinding"), ("roles", "Role")]),
    (
        "rbac.authorization.k8s.io",
        false,
        &[("clusterrolebindings", "ClusterRoleBinding"), ("clusterroles", "ClusterRole")],
    ),
    (
        "resource.k8s.io",
        true,
        &[("resourceclaims", "ResourceClaim"), ("resourceclaimtemplates", "ResourceClaimTemplate")],
    ),
    ("resource.k8s.io", false, &[("deviceclasses", "DeviceClass"), ("resourceslices", "ResourceSlice")]),
    ("scheduling.k8s.io", false, &[("priorityclasses", "PriorityClass")]),
    ("storage.k8s.io", true, &[("csistoragecapacities", "CSIStorageCapacity")]),
    (
        "storage.k8s.io",
        false,
        &[
            ("csidrivers", "CSIDriver"),
            ("csinodes", "CSINode"),
            ("storageclasses", "StorageClass"),
            ("volumeattachments", "VolumeAttachment"),
            ("volumeattributesclasses", "VolumeAttributesClass"),
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_are_what_the_built_in_kinds_are_called() {
        let odd = ["endpoints"];
        for known in all().filter(|known| !odd.contains(&known.plural)) {
            assert_eq!(guess_plural(known.kind), known.plural);
        }
        assert_eq!(guess_plural("Gateway"), "gateways");
        assert_eq!(by_plural("apps", "deployments").map(|known| known.kind), Some("Deployment"));
        assert_eq!(by_kind("", "Node").map(|known| known.namespaced), Some(false));
    }
}
