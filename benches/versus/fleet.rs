//! The pods of the cluster, and which of them have a `team` at present.

use std::io::IsTerminal;
use std::sync::Arc;

use futures::{StreamExt, stream};
use serde_json::{Value, json};

use crate::book::Book;
use crate::pods;
use crate::writer::Writer;

/// Requests in flight.
pub const CONCURRENT: usize = 32;
/// Who creates pods, and changes labels later: one manager, so that no change makes the list of managers longer.
const CREATOR: &str = "kube-controller-manager";
const KUBELET: &str = "kubelet";
/// One of so many pods violates the rule from the beginning.
const VIOLATING: usize = 10;

/// All pods.
pub struct Fleet {
    has_team: Vec<bool>,
}

/// A label that changes.
pub struct Toggle {
    /// The pod.
    pub id: String,
    /// The patch.
    pub body: Value,
}

impl Fleet {
    /// Creates that many, bound to nodes and running, for all that the API server can tell.
    pub async fn create(writer: &Writer, count: usize) -> Fleet {
        for n in 0..pods::NAMESPACES {
            let body = json!({"metadata": {"name": pods::namespace(n)}});
            writer.create("namespaces", CREATOR, &body).await;
        }
        let create = async |n: usize| {
            let id = pods::id(n);
            writer.create(&pods::collection(&id), CREATOR, &pods::pod(&id, n, !violates(n))).await;
            writer.merge(&format!("{}/status", pods::path(&id)), KUBELET, &pods::status(n)).await;
        };
        let mut created = stream::iter(0..count).map(create).buffer_unordered(CONCURRENT);
        let mut done = 0;
        while created.next().await.is_some() {
            done += 1;
            if done % 1000 == 0 || done == count {
                progress(done, count);
            }
        }
        drop(created);
        Fleet { has_team: vec![true; count] }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.has_team.len()
    }

    /// How many violate the rule.
    pub fn findings(&self) -> usize {
        let violating = |&n: &usize| violates(n) || !self.has_team[n];
        (0..self.len()).filter(violating).count()
    }

    /// Gives a random pod a team or takes it away, and expects in the book what follows from that. None when every
    /// pod that was tried still waits to be seen.
    pub fn toggle(&mut self, book: &Arc<Book>) -> Option<Toggle> {
        for _ in 0..1000 {
            let n = fastrand::usize(..self.len());
            let id = pods::id(n);
            if violates(n) || !book.expect(&id, self.has_team[n]) {
                continue;
            }
            self.has_team[n] = !self.has_team[n];
            return Some(Toggle { id, body: self.patch(n) });
        }
        None
    }

    /// Gives a team to every pod that has none.
    pub async fn restore(&mut self, writer: &Writer) {
        let without: Vec<usize> = (0..self.len()).filter(|&n| !self.has_team[n]).collect();
        without.iter().for_each(|&n| self.has_team[n] = true);
        let give = async |n: usize| relabel(writer, &pods::id(n), &self.patch(n)).await;
        stream::iter(without).for_each_concurrent(CONCURRENT, give).await;
    }

    fn patch(&self, n: usize) -> Value {
        let team = self.has_team[n].then(|| format!("team-{}", n % 40));
        json!({"metadata": {"labels": {"team": team}}})
    }
}

/// Patches the labels of a pod.
pub async fn relabel(writer: &Writer, id: &str, body: &Value) {
    writer.merge(&pods::path(id), CREATOR, body).await;
}

/// Creates a pod that violates the rule about probes alone.
pub async fn create_probe(writer: &Writer, id: &str) {
    let mut pod = pods::pod(id, 0, true);
    pod["metadata"]["labels"]["probe"] = "true".into();
    writer.create(&pods::collection(id), CREATOR, &pod).await;
}

fn violates(n: usize) -> bool {
    n.is_multiple_of(VIOLATING)
}

fn progress(done: usize, count: usize) {
    let end = if std::io::stderr().is_terminal() && done < count { "\r" } else { "\n" };
    eprint!("  {done} of {count} pods created{end}");
}
