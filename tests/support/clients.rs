//! Identities, and what a test does with the API.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, RoleRef, Subject};
use kube::api::{DeleteParams, DynamicObject, ObjectMeta, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use kube::discovery::{self, Scope};
use kube::{Api, Client, Config};

use super::control_plane::ControlPlane;
use super::wait::eventually;

/// How long the server may take to see its own changes (RBAC caches, new kinds) on a loaded machine.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Somebody who may ask the API server: a service account.
pub struct User {
    /// The name as RBAC knows it, `system:serviceaccount:NAMESPACE:NAME`.
    pub name: String,
    /// A kubeconfig with its token, for a child process.
    pub kubeconfig: PathBuf,
}

impl User {
    /// A client for the runtime of the calling test.
    pub async fn client(&self) -> Client {
        client(&self.kubeconfig).await
    }

    /// The name of the ClusterRole and its binding that [`ControlPlane::grant`] writes.
    fn role(&self) -> String {
        format!("test-{}", self.name.replace(':', "-"))
    }
}

/// One rule of [`ControlPlane::grant`]: `rule(&["apps"], &["deployments"], &["list", "watch"])`.
pub fn rule(groups: &[&str], resources: &[&str], verbs: &[&str]) -> PolicyRule {
    let owned = |items: &[&str]| items.iter().map(|&item| item.to_owned()).collect();
    PolicyRule {
        api_groups: Some(owned(groups)),
        resources: Some(owned(resources)),
        verbs: owned(verbs),
        ..PolicyRule::default()
    }
}

/// A client for the runtime of the calling test.
///
/// # Panics
/// If the kubeconfig cannot be used.
pub async fn client(kubeconfig: &Path) -> Client {
    try_client(kubeconfig).await.unwrap_or_else(|e| panic!("{e}"))
}

pub(super) async fn try_client(kubeconfig: &Path) -> Result<Client, String> {
    let explain = |e: &dyn std::fmt::Display| format!("no client from {}: {e}", kubeconfig.display());
    let parsed = Kubeconfig::read_from(kubeconfig).map_err(|e| explain(&e))?;
    let config = Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default()).await;
    Client::try_from(config.map_err(|e| explain(&e))?).map_err(|e| explain(&e))
}

impl ControlPlane {
    /// A new user without any right but to discover the API, as every authenticated user may.
    ///
    /// `name` is what logs show; it is made unique, so tests that share a control plane may choose the same.
    pub async fn restricted(&self, name: &str) -> User {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let account = format!("{name}-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let accounts: Api<ServiceAccount> = Api::namespaced(self.admin().await, "default");
        let metadata = ObjectMeta { name: Some(account.clone()), ..ObjectMeta::default() };
        let object = ServiceAccount { metadata, ..ServiceAccount::default() };
        let create = accounts.create(&PostParams::default(), &object).await;
        create.unwrap_or_else(|e| panic!("cannot create the service account {account}: {e}"));
        self.service_account("default", &account).await
    }

    /// The user that a service account is, with the rights that it has.
    pub async fn service_account(&self, namespace: &str, account: &str) -> User {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.admin().await, namespace);
        let request = TokenRequest { spec: Some(TokenRequestSpec::default()), ..TokenRequest::default() };
        let token = accounts
            .create_token_request(account, &PostParams::default(), &request)
            .await
            .unwrap_or_else(|e| panic!("cannot get a token for {account}: {e}"))
            .status
            .and_then(|status| status.token)
            .unwrap_or_else(|| panic!("the server gave no token for {account}"));
        User {
            name: format!("system:serviceaccount:{namespace}:{account}"),
            kubeconfig: self.write_kubeconfig(&format!("{namespace}-{account}"), token),
        }
    }

    /// The admin's kubeconfig with another token.
    fn write_kubeconfig(&self, name: &str, token: String) -> PathBuf {
        let path = self.dir().state().join(format!("kubeconfig-{name}"));
        let kubeconfig = Kubeconfig::read_from(self.admin_kubeconfig()).unwrap_or_else(|e| panic!("{e}"));
        let mut yaml = serde_json::to_value(kubeconfig).unwrap_or_else(|e| panic!("{e}"));
        yaml["users"][0]["user"]["token"] = token.into();
        let text = polywatch::yaml::to_string(&yaml).unwrap_or_else(|e| panic!("{e}"));
        std::fs::write(&path, text).unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
        path
    }

    /// Gives a user these rights in all namespaces, instead of those it was granted before. Returns when the
    /// server allows what the rules say (of an earlier grant, more may hold for a moment).
    pub async fn grant(&self, user: &User, rules: &[PolicyRule]) {
        let client = self.admin().await;
        let name = user.role();
        let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
        let role =
            ClusterRole { metadata: metadata.clone(), rules: Some(rules.to_vec()), ..ClusterRole::default() };
        let subject = Subject {
            api_group: Some("rbac.authorization.k8s.io".to_owned()),
            kind: "User".to_owned(),
            name: user.name.clone(),
            namespace: None,
        };
        let binding = ClusterRoleBinding {
            metadata,
            role_ref: RoleRef {
                api_group: Some("rbac.authorization.k8s.io".to_owned()),
                kind: "ClusterRole".to_owned(),
                name: name.clone(),
            },
            subjects: Some(vec![subject]),
        };
        let (roles, bindings): (Api<ClusterRole>, Api<ClusterRoleBinding>) =
            (Api::all(client.clone()), Api::all(client.clone()));
        let params = PatchParams::apply("tests").force();
        let applied = roles.patch(&name, &params, &Patch::Apply(&role)).await;
        applied.unwrap_or_else(|e| panic!("cannot apply ClusterRole {name}: {e}"));
        let applied = bindings.patch(&name, &params, &Patch::Apply(&binding)).await;
        applied.unwrap_or_else(|e| panic!("cannot apply ClusterRoleBinding {name}: {e}"));
        settle(&client, user, rules, true).await;
    }

    /// Takes away what [`ControlPlane::grant`] gave. Returns when the server forbids it.
    pub async fn revoke(&self, user: &User) {
        let client = self.admin().await;
        let name = user.role();
        let (roles, bindings): (Api<ClusterRole>, Api<ClusterRoleBinding>) =
            (Api::all(client.clone()), Api::all(client.clone()));
        let role = roles.get(&name).await;
        let role = role.unwrap_or_else(|e| panic!("nothing was granted to {}: {e}", user.name));
        let deleted = bindings.delete(&name, &DeleteParams::default()).await;
        deleted.unwrap_or_else(|e| panic!("cannot delete ClusterRoleBinding {name}: {e}"));
        let deleted = roles.delete(&name, &DeleteParams::default()).await;
        deleted.unwrap_or_else(|e| panic!("cannot delete ClusterRole {name}: {e}"));
        settle(&client, user, &role.rules.unwrap_or_default(), false).await;
    }

    /// Creates or changes the objects of a multi-document YAML text, in order, by server-side apply.
    ///
    /// Objects without a namespace go to `default`. After a CustomResourceDefinition the next document may be of
    /// its kind.
    ///
    /// # Panics
    /// If the server refuses one.
    pub async fn apply_yaml(&self, yaml: &str) {
        let client = self.admin().await;
        for object in documents(yaml) {
            let label = label(&object);
            let api = api(&client, &object).await;
            let name = object.metadata.name.as_deref().unwrap_or_default();
            let params = PatchParams::apply("tests").force();
            // A kind is discovered a moment before its objects are accepted.
            eventually(&format!("{label} is applied"), SETTLE_TIMEOUT, async || {
                match api.patch(name, &params, &Patch::Apply(&object)).await {
                    Ok(_) => Ok(()),
                    Err(kube::Error::Api(status)) if status.code == 404 => Err(status.message.clone()),
                    Err(e) => panic!("cannot apply {label}: {e}"),
                }
            })
            .await;
        }
    }

    /// Deletes the objects of a multi-document YAML text, in order. Those that are not there are passed over.
    ///
    /// Returns when the server has accepted the deletion; finalizers may still hold an object.
    pub async fn delete_yaml(&self, yaml: &str) {
        let client = self.admin().await;
        for object in documents(yaml) {
            let api = api(&client, &object).await;
            let name = object.metadata.name.as_deref().unwrap_or_default();
            match api.delete(name, &DeleteParams::default()).await {
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(e) => panic!("cannot delete {}: {e}", label(&object)),
                Ok(_) => {}
            }
        }
    }

    /// The output of `kubectl ARGUMENTS` as admin.
    ///
    /// # Panics
    /// If kubectl fails, with what it said.
    pub async fn kubectl(&self, arguments: &[&str]) -> String {
        let shown = format!("kubectl {}", arguments.join(" "));
        self.try_kubectl(arguments).await.unwrap_or_else(|e| panic!("{shown}: {e}"))
    }

    /// Like [`ControlPlane::kubectl`], for what is expected to fail: `Err` is what kubectl said.
    pub async fn try_kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(kubectl_binary());
        command
            .arg("--kubeconfig")
            .arg(self.admin_kubeconfig())
            .args(arguments)
            .env("KUBECACHEDIR", self.dir().state().join("kubectl-cache"));
        let output = tokio::task::spawn_blocking(move || command.output()).await;
        let output = output.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}

/// The same choice as in `hack/cluster.sh`.
fn kubectl_binary() -> PathBuf {
    match std::env::var_os("KUBEBUILDER_ASSETS") {
        Some(assets) => PathBuf::from(assets).join("kubectl"),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join(".controlplane/bin/kubectl"),
    }
}

/// Waits until the authorizer, which works from a cache, has seen a change of rights.
async fn settle(client: &Client, user: &User, rules: &[PolicyRule], allowed: bool) {
    let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
    let first = |items: &Option<Vec<String>>| items.as_ref().and_then(|items| items.first().cloned());
    for rule in rules {
        let Some(resource) = first(&rule.resources) else {
            continue; // a rule about paths
        };
        let (resource, subresource) = match resource.split_once('/') {
            Some((resource, sub)) => (resource.to_owned(), Some(sub.to_owned())),
            None => (resource, None),
        };
        let attributes = ResourceAttributes {
            group: first(&rule.api_groups),
            resource: Some(resource),
            subresource,
            name: first(&rule.resource_names),
            verb: rule.verbs.first().cloned(),
            ..ResourceAttributes::default()
        };
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(user.name.clone()),
                resource_attributes: Some(attributes),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let what = format!("{} may do {rule:?}: {allowed}", user.name);
        eventually(&what, SETTLE_TIMEOUT, async || {
            let answer = reviews.create(&PostParams::default(), &review).await;
            let status = answer.map_err(|e| e.to_string())?.status.unwrap_or_default();
            if status.allowed == allowed { Ok(()) } else { Err(format!("the server says {status:?}")) }
        })
        .await;
    }
}

fn documents(yaml: &str) -> Vec<DynamicObject> {
    let documents = polywatch::yaml::read(yaml).unwrap_or_else(|e| panic!("not YAML: {e}\n{yaml}"));
    let objects = documents.iter().map(|document| serde_json::from_value(document.tree.to_json()));
    objects.map(|object| object.unwrap_or_else(|e| panic!("not an object: {e}\n{yaml}"))).collect()
}

fn label(object: &DynamicObject) -> String {
    let kind = object.types.as_ref().map_or("object", |types| types.kind.as_str());
    format!("{kind} {}", object.metadata.name.as_deref().unwrap_or("without a name"))
}

async fn api(client: &Client, object: &DynamicObject) -> Api<DynamicObject> {
    let types =
        object.types.as_ref().unwrap_or_else(|| panic!("{} has no apiVersion or kind", label(object)));
    let kind = GroupVersionKind::try_from(types).unwrap_or_else(|e| panic!("{}: {e}", label(object)));
    let (resource, capabilities) = eventually(&format!("{kind:?} is served"), SETTLE_TIMEOUT, async || {
        discovery::pinned_kind(client, &kind).await.map_err(|e| e.to_string())
    })
    .await;
    match capabilities.scope {
        Scope::Cluster => Api::all_with(client.clone(), &resource),
        Scope::Namespaced => {
            let namespace = object.metadata.namespace.as_deref().unwrap_or("default");
            Api::namespaced_with(client.clone(), namespace, &resource)
        }
    }
}
