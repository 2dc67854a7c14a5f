//! Policies as their users see them: the status of a MonitorPolicy, and Events.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use polywatch::api::status::{ResourceState, ResourceStatus};
use polywatch::api::{MonitorPolicy, MonitorPolicyStatus};
use serde_json::json;

use super::control_plane::ControlPlane;
use super::operator::Operator;
use super::wait::eventually;

/// How long anything may take that users expect at once, on a machine that compiles at the same time.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A control plane with polywatch's CRDs, and an operator that may do everything and is ready.
pub async fn start_with_operator() -> (ControlPlane, Operator) {
    let cluster = ControlPlane::start().await;
    cluster.install_crds().await;
    let mut operator = Operator::start(&cluster, &cluster.admin_kubeconfig());
    operator.wait_ready().await;
    (cluster, operator)
}

/// A namespaced kind of the API group `GROUP.example.io`, whose objects may hold anything. The plural is the
/// kind in lower case with an `s`. Of the versions, `(name, served)`, the first is the one that is stored.
pub fn custom_kind(group: &str, kind: &str, versions: &[(&str, bool)]) -> String {
    let plural = format!("{}s", kind.to_lowercase());
    let versions: String = versions
        .iter()
        .enumerate()
        .map(|(n, (name, served))| {
            format!(
                "
  - name: {name}
    served: {served}
    storage: {}
    schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}",
                n == 0
            )
        })
        .collect();
    format!(
        "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {plural}.{group}.example.io}}
spec:
  group: {group}.example.io
  names: {{kind: {kind}, plural: {plural}}}
  scope: Namespaced
  versions:{versions}
"
    )
}

impl ControlPlane {
    /// Installs polywatch's own CRDs.
    pub async fn install_crds(&self) {
        self.apply_yaml(include_str!("../../crds/polywatch.dev.yaml")).await;
    }

    /// Waits until the status of a policy is about its present spec and `holds`; returns that status.
    pub async fn status_when(
        &self,
        policy: &str,
        what: &str,
        holds: impl Fn(&MonitorPolicyStatus) -> bool,
    ) -> MonitorPolicyStatus {
        self.status_within(PATIENCE, policy, what, holds).await
    }

    /// Like [`ControlPlane::status_when`], with another limit.
    pub async fn status_within(
        &self,
        limit: Duration,
        policy: &str,
        what: &str,
        holds: impl Fn(&MonitorPolicyStatus) -> bool,
    ) -> MonitorPolicyStatus {
        let policies: Api<MonitorPolicy> = Api::all(self.admin().await);
        eventually(&format!("{policy}: {what}"), limit, async || {
            let object = policies.get(policy).await.map_err(|e| e.to_string())?;
            let status = object.status.unwrap_or_default();
            if status.observed_generation == object.metadata.generation && holds(&status) {
                return Ok(status);
            }
            Err(polywatch::yaml::to_string(&status).unwrap_or_else(|e| e.to_string()))
        })
        .await
    }

    /// Waits until everything that the policy names is watched and judged.
    pub async fn ready(&self, policy: &str) -> MonitorPolicyStatus {
        self.status_when(policy, "it is ready", |status| is(status, "Ready", "True")).await
    }

    /// The Events about an object, by its kind and name, that have this reason.
    pub async fn events(&self, kind: &str, name: &str, reason: &str) -> Vec<Event> {
        let events: Api<Event> = Api::all(self.admin().await);
        let params = ListParams::default().fields(&format!("reason={reason}"));
        let events = events.list(&params).await;
        let about = |event: &Event| {
            let object = event.regarding.as_ref();
            object.is_some_and(|o| o.kind.as_deref() == Some(kind) && o.name.as_deref() == Some(name))
        };
        let events = events.unwrap_or_else(|e| panic!("cannot list Events: {e}"));
        events.into_iter().filter(about).collect()
    }

    /// Waits for the one Event about an object that has this reason and happened `times` times.
    pub async fn event(&self, kind: &str, name: &str, reason: &str, times: i32) -> Event {
        let what = format!("{kind} {name} has one Event {reason} that happened {times} times");
        eventually(&what, PATIENCE, async || match self.events(kind, name, reason).await.as_slice() {
            [event] if occurrences(event) == times => Ok(event.clone()),
            others => Err(format!("it has {others:?}")),
        })
        .await
    }
}

/// How often an Event happened.
pub fn occurrences(event: &Event) -> i32 {
    event.series.as_ref().map_or(1, |series| series.count)
}

/// Whether a condition is there and has this status.
pub fn is(status: &MonitorPolicyStatus, condition: &str, value: &str) -> bool {
    status.conditions.iter().any(|known| known.type_ == condition && known.status == value)
}

/// Status, reason and message of a condition.
pub fn condition<'a>(status: &'a MonitorPolicyStatus, name: &str) -> (&'a str, &'a str, &'a str) {
    let known = status.conditions.iter().find(|known| known.type_ == name);
    let known = known.unwrap_or_else(|| panic!("no condition {name} in {status:?}"));
    (&known.status, &known.reason, &known.message)
}

/// What the status says of one entry of `spec.resources`.
pub fn resource<'a>(status: &'a MonitorPolicyStatus, name: &str) -> Option<&'a ResourceStatus> {
    status.resources.iter().find(|resource| resource.name == name)
}

/// Whether an entry of `spec.resources` is in this state.
pub fn in_state(status: &MonitorPolicyStatus, name: &str, state: ResourceState) -> bool {
    resource(status, name).is_some_and(|resource| resource.state == state)
}

/// The objects that findings are about, as `namespace/name`, or `name` without a namespace.
pub fn offenders(status: &MonitorPolicyStatus) -> BTreeSet<String> {
    status
        .findings
        .iter()
        .filter_map(|finding| finding.resource.as_ref())
        .map(|resource| match &resource.namespace {
            Some(namespace) => format!("{namespace}/{}", resource.name),
            None => resource.name.clone(),
        })
        .collect()
}

/// What [`offenders`] is compared with.
pub fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

/// A policy with one rule, `not-broken`, on the ConfigMaps of the namespace `default`: see
/// [`ControlPlane::put_maps`].
pub fn map_policy(name: &str) -> String {
    format!(
        "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {{name: {name}}}
spec:
  resources:
  - {{name: maps, apiVersion: v1, kind: ConfigMap, namespaces: [default]}}
  rules:
  - name: not-broken
    expression: object.?data.?state.orValue('') != 'broken'
    message: the map is broken
"
    )
}

impl ControlPlane {
    /// Creates or changes ConfigMaps in the namespace `default`, many at once, so that `data.state` is `state`.
    pub async fn put_maps(&self, names: impl IntoIterator<Item = String>, state: &str) {
        let maps: Api<ConfigMap> = Api::default_namespaced(self.admin().await);
        let params = PatchParams::apply("tests").force();
        let put = async |name: String| {
            let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"state": state}});
            let put = maps.patch(&name, &params, &Patch::Apply(&body)).await;
            put.unwrap_or_else(|e| panic!("cannot write ConfigMap {name}: {e}"));
        };
        stream::iter(names).for_each_concurrent(32, put).await;
    }

    /// [`ControlPlane::put_maps`] of one.
    pub async fn put_map(&self, name: &str, state: &str) {
        self.put_maps([name.to_owned()], state).await;
    }

    /// Waits until a policy is ready and this many findings are open.
    pub async fn open(&self, policy: &str, count: i64) -> MonitorPolicyStatus {
        let what = format!("it is ready with {count} open findings");
        self.status_when(policy, &what, |status| {
            is(status, "Ready", "True") && status.summary.open_findings == count
        })
        .await
    }

    /// All Events that an operator wrote for this reason, about policies and objects.
    pub async fn all_events(&self, reason: &str) -> Vec<Event> {
        let events: Api<Event> = Api::all(self.admin().await);
        let params = ListParams::default().fields(&format!("reason={reason}"));
        let events = events.list(&params).await;
        events.unwrap_or_else(|e| panic!("cannot list Events: {e}")).items
    }
}
