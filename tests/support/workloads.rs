//! Controllers and nodes for a control plane.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use super::control_plane::{ControlPlane, component};
use super::process::Process;
use super::wait::eventually;

const START_TIMEOUT: Duration = Duration::from_secs(120);

/// kube-controller-manager and KWOK. While it lives, a Deployment becomes running pods, a Service gets
/// EndpointSlices, and owned and deleted things are collected.
///
/// There are two nodes, `node-0` and `node-1`, which KWOK makes Ready, and no scheduler: a new pod that names no
/// node is given `node-0` at admission. One that must stay `Pending` says `schedulerName: nobody`. DaemonSets
/// do not work: their pods wait for a scheduler.
pub struct Workloads {
    controller_manager: Process,
    kwok: Process,
}

impl Workloads {
    /// Starts both and waits until nodes are Ready and new pods get one.
    pub async fn start(control_plane: &ControlPlane) -> Workloads {
        let mut workloads = Workloads {
            controller_manager: component("kube-controller-manager", control_plane.dir(), &[]),
            kwok: component("kwok", control_plane.dir(), &[]),
        };
        control_plane.apply_yaml(include_str!("../../hack/cluster.yaml")).await;
        let client = control_plane.admin().await;
        let nodes: Api<Node> = Api::all(client.clone());
        eventually("node-0 is Ready", START_TIMEOUT, async || {
            workloads.controller_manager.assert_running();
            workloads.kwok.assert_running();
            let node = nodes.get("node-0").await.map_err(|e| e.to_string())?;
            let conditions = node.status.unwrap_or_default().conditions.unwrap_or_default();
            match conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True") {
                true => Ok(()),
                false => Err(format!("its conditions are {conditions:?}")),
            }
        })
        .await;
        assigns_nodes(Api::namespaced(client, "default")).await;
        workloads
    }

    /// Process ids of the controller manager and KWOK.
    pub fn pids(&self) -> Vec<u32> {
        vec![self.controller_manager.pid(), self.kwok.pid()]
    }
}

/// The admission policy that assigns nodes takes a moment to become active.
async fn assigns_nodes(pods: Api<Pod>) {
    let probe = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "probe"},
        "spec": {"containers": [{"name": "probe", "image": "none"}]},
    });
    let probe: Pod = serde_json::from_value(probe).expect("the probe is a pod");
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    eventually("new pods get a node", START_TIMEOUT, async || {
        let pod = pods.create(&dry_run, &probe).await.map_err(|e| e.to_string())?;
        let node = pod.spec.and_then(|spec| spec.node_name);
        node.map(|_| ()).ok_or_else(|| "it got none".to_owned())
    })
    .await;
}
