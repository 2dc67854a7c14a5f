//! etcd and kube-apiserver as processes of one test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::Api;

use super::process::{Process, free_port};
use super::run_dir::RunDir;
use super::wait::eventually;
use super::{clients, http};

/// Typically three seconds; a machine that compiles at the same time needs more.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// What differs from the usual control plane.
#[derive(Default)]
pub struct Options {
    /// Further flags of kube-apiserver. Of a flag that is given twice, the last one counts.
    pub apiserver_flags: Vec<String>,
    /// Further flags of etcd.
    pub etcd_flags: Vec<String>,
}

/// A Kubernetes API server with RBAC, and its etcd. Ends with its value.
///
/// There is no controller manager: nothing acts on objects, deleted namespaces stay `Terminating`. See
/// [`Workloads`](super::Workloads) for one. Pods need no service account.
pub struct ControlPlane {
    // Dropped from top to bottom: the server before its store, both before their folder.
    apiserver: Option<Process>,
    etcd: Process,
    dir: RunDir,
    etcd_port: u16,
    options: Options,
}

impl ControlPlane {
    /// Starts one for the calling test. Takes about three seconds; prefer [`shared`](super::shared).
    pub async fn start() -> ControlPlane {
        ControlPlane::start_with(Options::default()).await
    }

    /// Like [`ControlPlane::start`], with further flags.
    pub async fn start_with(options: Options) -> ControlPlane {
        let test = std::thread::current().name().unwrap_or("test").replace("::", "-");
        ControlPlane::start_as(&test, options).await
    }

    pub(super) async fn start_as(name: &str, options: Options) -> ControlPlane {
        let dir = RunDir::create(name);
        let etcd_port = free_port();
        prepare(&dir.state(), etcd_port);
        let etcd = component("etcd", &dir, &options.etcd_flags);
        let mut control_plane = ControlPlane { apiserver: None, etcd, dir, etcd_port, options };
        control_plane.start_apiserver().await;
        control_plane
    }

    /// Starts the API server (again), on the same port and etcd, and waits until it is ready.
    pub async fn start_apiserver(&mut self) {
        let apiserver = component("kube-apiserver", &self.dir, &self.options.apiserver_flags);
        let apiserver = self.apiserver.insert(apiserver);
        let kubeconfig = admin_kubeconfig(&self.dir);
        eventually("the API server is ready", START_TIMEOUT, async || {
            apiserver.assert_running();
            is_ready(&kubeconfig).await
        })
        .await;
    }

    /// Kills the API server. Its port stays closed until [`ControlPlane::start_apiserver`].
    pub fn stop_apiserver(&mut self) {
        self.apiserver = None;
    }

    /// Kills the API server and starts it again: all watches break, resource versions go on.
    pub async fn restart_apiserver(&mut self) {
        self.stop_apiserver();
        self.start_apiserver().await;
    }

    /// Makes etcd forget all revisions before the current one, which is returned.
    ///
    /// Reads and watches of an older resource version then get 410 from etcd. The API server may still serve
    /// them from its cache: stop it before and start it afterwards, or start it with `--watch-cache=false`.
    pub async fn compact_etcd(&self) -> u64 {
        let post = async |path, body: String| {
            let (status, answer) = http::post(self.etcd_port, path, &body)
                .await
                .unwrap_or_else(|e| panic!("etcd does not answer {path}: {e}"));
            assert_eq!(status, 200, "etcd answered {path} with {answer}");
            serde_json::from_str::<serde_json::Value>(&answer)
                .unwrap_or_else(|e| panic!("etcd answered {path} with {answer}: {e}"))
        };
        // Any key does (here the byte 0 in base 64): each answer names the current revision.
        let answer = post("/v3/kv/range", r#"{"key": "AA=="}"#.to_owned()).await;
        let revision = answer["header"]["revision"].as_str().and_then(|r| r.parse().ok());
        let revision: u64 = revision.unwrap_or_else(|| panic!("etcd named no revision: {answer}"));
        let body = format!(r#"{{"revision": "{revision}", "physical": true}}"#);
        post("/v3/kv/compaction", body).await;
        revision
    }

    /// A client with all rights, for the runtime of the calling test.
    pub async fn admin(&self) -> kube::Client {
        clients::client(&self.admin_kubeconfig()).await
    }

    /// The kubeconfig of a user with all rights.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        admin_kubeconfig(&self.dir)
    }

    /// Process ids of etcd and, if it runs, the API server.
    pub fn pids(&self) -> Vec<u32> {
        let apiserver = self.apiserver.as_ref().map(Process::pid);
        std::iter::once(self.etcd.pid()).chain(apiserver).collect()
    }

    pub fn dir(&self) -> &RunDir {
        &self.dir
    }
}

/// Starts one process of the cluster in `dir`. The script becomes the process.
pub(super) fn component(name: &str, dir: &RunDir, flags: &[String]) -> Process {
    let mut command = Command::new(script());
    command.arg("run").arg(name).arg(dir.state()).args(flags);
    Process::start(name, command, dir.log(name))
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("hack/cluster.sh")
}

fn prepare(state: &Path, etcd_port: u16) {
    let output = Command::new(script())
        .arg("prepare")
        .arg(state)
        .env("ETCD_PORT", etcd_port.to_string())
        .env("ETCD_PEER_PORT", free_port().to_string())
        .env("APISERVER_PORT", free_port().to_string())
        .output()
        .unwrap_or_else(|e| panic!("cannot run {}: {e}", script().display()));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "no control plane for the tests: {message}");
}

fn admin_kubeconfig(dir: &RunDir) -> PathBuf {
    dir.state().join("kubeconfig")
}

async fn is_ready(kubeconfig: &Path) -> Result<(), String> {
    let client = clients::try_client(kubeconfig).await?;
    let request = axum::http::Request::get("/readyz").body(Vec::new());
    let request = request.map_err(|e| e.to_string())?;
    client.request_text(request).await.map_err(|e| format!("/readyz: {e}"))?;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces.get("default").await.map_err(|e| format!("namespace default: {e}"))?;
    // One of those that are created last; they come after /readyz in some versions.
    let roles: Api<ClusterRole> = Api::all(client);
    roles.get("system:service-account-issuer-discovery").await.map_err(|e| format!("cluster roles: {e}"))?;
    Ok(())
}
