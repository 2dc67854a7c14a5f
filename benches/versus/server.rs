//! The API server, its etcd, and what the server says that it sent.

use http::Request;
use kube::Client;
use serde::Serialize;

use crate::cluster::ControlPlane;

/// What runs beside the contenders.
pub struct Server {
    pub pids: Vec<u32>,
    client: Client,
}

/// What the server sent of Pods since it started, before encryption. It compresses lists for who accepts that, watches
/// never.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Sent {
    pub lists: f64,
    pub list_bytes: f64,
    pub watch_events: f64,
    pub watch_bytes: f64,
}

impl Server {
    /// That of a control plane.
    pub async fn of(control_plane: &ControlPlane) -> Server {
        Server { pids: control_plane.pids(), client: control_plane.admin().await }
    }

    /// Reads its metrics. That takes CPU of the server: not while something is measured.
    pub async fn sent(&self) -> Sent {
        let request = Request::get("/metrics").body(Vec::new()).expect("a request");
        let text = self.client.request_text(request).await.expect("metrics of the API server");
        let sum = |name: &str, label: &str| {
            text.lines()
                .filter(|line| {
                    line.starts_with(name) && line.contains(r#"resource="pods""#) && line.contains(label)
                })
                .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
                .sum()
        };
        let list = r#"verb="LIST""#;
        Sent {
            lists: sum("apiserver_response_sizes_count{", list),
            list_bytes: sum("apiserver_response_sizes_sum{", list),
            watch_events: sum("apiserver_watch_events_sizes_count{", ""),
            watch_bytes: sum("apiserver_watch_events_sizes_sum{", ""),
        }
    }
}

impl Sent {
    /// Millions of bytes.
    pub fn megabytes(&self) -> f64 {
        (self.list_bytes + self.watch_bytes) / 1e6
    }

    /// What was sent since then.
    pub fn since(self, before: Sent) -> Sent {
        Sent {
            lists: self.lists - before.lists,
            list_bytes: self.list_bytes - before.list_bytes,
            watch_events: self.watch_events - before.watch_events,
            watch_bytes: self.watch_bytes - before.watch_bytes,
        }
    }
}
