//! The phases, and the order in which the contenders go through them, each alone.

use std::path::PathBuf;
use std::time::Duration;

use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use polywatch::api::MonitorPolicy;
use serde::Serialize;
use tokio::time::sleep;

use crate::book::Delays;
use crate::cluster::ControlPlane;
use crate::contender::Contender;
use crate::fleet::Fleet;
use crate::load;
use crate::measure::{Used, Window, settle};
use crate::programs::{self, Mode};
use crate::rules::{POLICY, policy};
use crate::server::{Sent, Server};
use crate::settings::Settings;
use crate::status::Status;
use crate::support::process::reset_peak;
use crate::writer::Writer;

/// How long a contender may take until it has judged everything.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long idleness is measured.
const IDLE: Duration = Duration::from_secs(20);
/// Lists of the polling reference that are measured after its first.
const LISTS: usize = 2;
/// Of polling, delays are spread evenly over ten seconds: more updates would tell nothing new.
const POLLED_SECONDS: Duration = Duration::from_secs(20);

/// What everything runs in.
pub struct Bench {
    pub settings: Settings,
    pub reference: PathBuf,
    pub kubeconfig: PathBuf,
    pub client: Client,
    pub server: Server,
    pub writer: Writer,
    pub fleet: Fleet,
}

/// The figures of a contender that watches.
#[derive(Debug, Clone, Serialize)]
pub struct Watched {
    /// From its start until all was judged.
    pub first: Used,
    /// What the server sent for that.
    pub received: Sent,
    pub idle: Used,
    pub load: Used,
    pub updates: usize,
    /// Beyond what it uses when idle.
    pub cpu_per_update_us: f64,
    /// From an acknowledged write to the finding in memory.
    pub finding: Delays,
    /// From an acknowledged probe to where it is to be seen: in the status, of polywatch.
    pub probe: Delays,
}

impl Watched {
    /// What an update takes of API server and etcd. Where it is near a core's time by the rate, delays are theirs.
    pub fn server_cpu_per_update_us(&self) -> f64 {
        self.load.server_cpu_seconds / self.updates as f64 * 1e6
    }
}

/// The memory of an informer that drops managedFields; its delays are no others.
#[derive(Debug, Clone, Serialize)]
pub struct Stripped {
    pub first: Used,
    pub idle: Used,
}

/// The figures of the one that polls.
#[derive(Debug, Clone, Serialize)]
pub struct Polled {
    /// From its start until its first list was judged.
    pub first: Used,
    pub received: Sent,
    pub lists: usize,
    /// Of some lists after the first, with the pauses between.
    pub idle: Used,
    pub wire_bytes_per_list: f64,
    pub requests_per_list: f64,
    pub finding: Delays,
}

impl Bench {
    /// Creates everything that is judged.
    pub async fn prepare(settings: Settings, control_plane: &ControlPlane) -> Bench {
        let reference = programs::build_reference();
        control_plane.install_crds().await;
        let writer = Writer::new(control_plane.admin().await);
        let fleet = Fleet::create(&writer, settings.pods).await;
        let server = Server::of(control_plane).await;
        for &pid in &server.pids {
            settle(pid).await;
        }
        Bench {
            kubeconfig: control_plane.admin_kubeconfig(),
            client: control_plane.admin().await,
            settings,
            reference,
            server,
            writer,
            fleet,
        }
    }

    /// The operator without any policy.
    pub async fn empty(&self) -> Used {
        let command = programs::polywatch(&self.settings.polywatch, &self.kubeconfig);
        let contender = Contender::start("polywatch-empty", command, false);
        let window = Window::from_start(contender.pid(), &self.server);
        // Its start takes a moment; idle before that would be too early.
        sleep(Duration::from_secs(2)).await;
        contender.running(settle(contender.pid())).await;
        window.end()
    }

    /// The operator with the policy.
    pub async fn polywatch(&mut self) -> Watched {
        let policies = Api::<MonitorPolicy>::all(self.client.clone());
        let body: MonitorPolicy = serde_json::from_value(policy()).expect("a policy");
        policies.create(&PostParams::default(), &body).await.expect("the policy is created");
        let before = self.server.sent().await;
        let command = programs::polywatch(&self.settings.polywatch, &self.kubeconfig);
        let contender = Contender::start("polywatch", command, false);
        let window = Window::from_start(contender.pid(), &self.server);
        let mut status = Status::follow(self.client.clone(), contender.probes.clone());
        contender.running(status.ready(self.fleet.len(), self.fleet.findings(), PATIENCE)).await;
        let watched = self.watched(&contender, window.end(), before).await;
        drop(contender);
        policies.delete(POLICY, &DeleteParams::default()).await.expect("the policy is deleted");
        self.fleet.restore(&self.writer).await;
        watched
    }

    /// The informer.
    pub async fn informer(&mut self) -> Watched {
        let before = self.server.sent().await;
        let (contender, first) = self.reference("reference", Mode::Watch).await;
        let watched = self.watched(&contender, first, before).await;
        drop(contender);
        self.fleet.restore(&self.writer).await;
        watched
    }

    /// The informer again, without managedFields.
    pub async fn stripped(&self) -> Stripped {
        let (contender, first) = self.reference("reference-stripped", Mode::WatchStripped).await;
        Stripped { first, idle: self.idle(&contender).await }
    }

    /// A list every ten seconds.
    pub async fn poll(&mut self) -> Polled {
        let before = self.server.sent().await;
        let (contender, first) = self.reference("reference-poll", Mode::Poll).await;
        let received = self.server.sent().await.since(before);
        let begin = contender.synced(1, PATIENCE).await;
        let window = Window::begin(contender.pid(), &self.server);
        let end = contender.synced(begin.lists + LISTS, PATIENCE).await;
        let idle = window.end();
        let lists = end.lists - begin.lists;
        let per_list = |begin: u64, end: u64| (end - begin) as f64 / lists as f64;
        let seconds = self.settings.seconds.min(POLLED_SECONDS);
        let updates = contender.updates.clone();
        load::updates(&self.writer, &mut self.fleet, &updates, self.settings.rate, seconds).await;
        Polled {
            first,
            received,
            lists,
            idle,
            wire_bytes_per_list: per_list(begin.bytes, end.bytes),
            requests_per_list: per_list(begin.requests, end.requests),
            finding: updates.close(),
        }
    }

    /// The reference, started and with its first verdicts, which are checked.
    async fn reference(&self, name: &str, mode: Mode) -> (Contender, Used) {
        let command = programs::reference(&self.reference, &self.kubeconfig, mode);
        let contender = Contender::start(name, command, true);
        let window = Window::from_start(contender.pid(), &self.server);
        let synced = contender.synced(1, PATIENCE).await;
        let first = window.end();
        let totals = (synced.objects, synced.findings);
        assert_eq!(totals, (self.fleet.len(), self.fleet.findings()), "the reference judged otherwise");
        (contender, first)
    }

    /// The phases after the first verdicts.
    async fn watched(&mut self, contender: &Contender, first: Used, before: Sent) -> Watched {
        let pid = contender.pid();
        let received = self.server.sent().await.since(before);
        let idle = self.idle(contender).await;
        reset_peak(pid).expect("it runs");
        let window = Window::begin(pid, &self.server);
        let (seconds, rate) = (self.settings.seconds, self.settings.rate);
        let (updates, ()) = contender
            .running(futures::future::join(
                load::updates(&self.writer, &mut self.fleet, &contender.updates, rate, seconds),
                load::probes(&self.writer, &contender.probes, seconds),
            ))
            .await;
        let load = window.end();
        let of_idle = idle.cpu_seconds / idle.wall_seconds * load.wall_seconds;
        Watched {
            first,
            received,
            idle,
            load,
            updates,
            cpu_per_update_us: (load.cpu_seconds - of_idle) / updates as f64 * 1e6,
            finding: contender.updates.close(),
            probe: contender.probes.close(),
        }
    }

    async fn idle(&self, contender: &Contender) -> Used {
        settle(contender.pid()).await;
        let window = Window::begin(contender.pid(), &self.server);
        sleep(IDLE).await;
        window.end()
    }
}
