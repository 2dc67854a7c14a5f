//! How a Pod of a usual Deployment looks: about 11 KB of JSON, a good part of it `metadata.managedFields`.

use serde_json::{Value, json};

/// Namespaces over which pods are spread.
pub const NAMESPACES: usize = 50;

/// Where a pod is, as `NAMESPACE/NAME`.
pub fn id(n: usize) -> String {
    format!("{}/web-{:x}-{n:05}", namespace(n % NAMESPACES), 0x6c4d_5f7b + n / 10)
}

/// Name of a namespace.
pub fn namespace(n: usize) -> String {
    format!("shop-{n:02}")
}

/// The path of a pod below `/api/v1/`.
pub fn path(id: &str) -> String {
    let (namespace, name) = id.split_once('/').expect("namespace and name");
    format!("namespaces/{namespace}/pods/{name}")
}

/// The path of the pods beside a pod.
pub fn collection(id: &str) -> String {
    let (namespace, _) = id.split_once('/').expect("namespace and name");
    format!("namespaces/{namespace}/pods")
}

/// A pod as the controller of a ReplicaSet creates it, on a node already. One that is not `limited` has a container
/// without a memory limit.
pub fn pod(id: &str, n: usize, limited: bool) -> Value {
    let (namespace, name) = id.split_once('/').expect("namespace and name");
    let hash = format!("{:x}", 0x6c4d_5f7b + n / 10);
    let mut sidecar = container("proxy", "registry.example.com/mesh/proxy:1.29.2", 15_021, 3);
    if !limited {
        sidecar["resources"] = json!({"requests": {"cpu": "100m", "memory": "128Mi"}});
    }
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {
                "app": "web",
                "app.kubernetes.io/instance": format!("web-{}", n / 10),
                "app.kubernetes.io/name": "web",
                "app.kubernetes.io/version": "2.14.1",
                "pod-template-hash": hash,
                "team": format!("team-{}", n % 40),
            },
            "annotations": {
                "checksum/config": format!("{:064x}", n / 10),
                "prometheus.io/port": "9090",
                "prometheus.io/scrape": "true",
            },
            "ownerReferences": [{
                "apiVersion": "apps/v1",
                "kind": "ReplicaSet",
                "name": format!("web-{hash}"),
                "uid": format!("3f1c2a9e-7d44-4c1b-9a53-{:012x}", n / 10),
                "controller": true,
                "blockOwnerDeletion": true,
            }],
        },
        "spec": {
            "nodeName": node(n),
            "serviceAccountName": "web",
            "priority": 0,
            "terminationGracePeriodSeconds": 45,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 10_001, "fsGroup": 10_001},
            "containers": [container("web", "registry.example.com/shop/web:2.14.1", 8080, 7), sidecar],
            "tolerations": [
                {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute",
                 "tolerationSeconds": 300},
                {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute",
                 "tolerationSeconds": 300},
                {"key": "dedicated", "operator": "Equal", "value": "web", "effect": "NoSchedule"},
            ],
            "volumes": [
                {"name": "config", "configMap": {"name": "web-config"}},
                {"name": "cache", "emptyDir": {"sizeLimit": "1Gi"}},
                {"name": "kube-api-access", "projected": {"sources": [
                    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                    {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
                ]}},
            ],
        },
    })
}

fn container(name: &str, image: &str, port: u16, variables: usize) -> Value {
    let mut env: Vec<Value> = (0..variables)
        .map(
            |n| json!({"name": format!("{}_OPTION_{n}", name.to_uppercase()), "value": format!("value-{n}")}),
        )
        .collect();
    env.push(json!({"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}));
    let probe = |path: &str, period: u32| json!({"httpGet": {"path": path, "port": "http"}, "periodSeconds": period, "timeoutSeconds": 3});
    json!({
        "name": name,
        "image": image,
        "args": ["--config=/etc/web/config.yaml", format!("--listen=:{port}")],
        "ports": [{"name": "http", "containerPort": port}],
        "env": env,
        "resources": {
            "requests": {"cpu": "100m", "memory": "128Mi"},
            "limits": {"cpu": "1", "memory": "512Mi"},
        },
        "readinessProbe": probe("/ready", 5),
        "livenessProbe": probe("/alive", 10),
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/web", "readOnly": true},
            {"name": "cache", "mountPath": "/var/cache/web"},
            {"name": "kube-api-access", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
             "readOnly": true},
        ],
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        },
    })
}

/// What a kubelet writes once the pod runs.
pub fn status(n: usize) -> Value {
    let started = "2026-01-15T10:20:00Z";
    let condition = |kind: &str| json!({"type": kind, "status": "True", "lastProbeTime": null, "lastTransitionTime": started});
    let container = |name: &str, image: &str| {
        json!({
            "name": name,
            "image": image,
            "imageID": format!("registry.example.com/shop/{name}@sha256:{:064x}", 0x9e37_79b9_u64 * 77),
            "containerID": format!("containerd://{:064x}", 0x1_0000_0000_u64 + n as u64),
            "ready": true,
            "started": true,
            "restartCount": 0,
            "state": {"running": {"startedAt": started}},
        })
    };
    let address = format!("10.{}.{}.{}", 2 + n / 65_536, n / 256 % 256, n % 256);
    let host = format!("192.168.{}.{}", n % 200 / 100, n % 100);
    json!({"status": {
        "phase": "Running",
        "startTime": started,
        "hostIP": host,
        "hostIPs": [{"ip": host}],
        "podIP": address,
        "podIPs": [{"ip": address}],
        "qosClass": "Burstable",
        "conditions": [
            condition("PodReadyToStartContainers"),
            condition("Initialized"),
            condition("Ready"),
            condition("ContainersReady"),
            condition("PodScheduled"),
        ],
        "containerStatuses": [
            container("web", "registry.example.com/shop/web:2.14.1"),
            container("proxy", "registry.example.com/mesh/proxy:1.29.2"),
        ],
    }})
}

fn node(n: usize) -> String {
    format!("node-{:03}", n % 200)
}
