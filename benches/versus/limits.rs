//! What nobody who reads all Pods can do without: downloading them, and looking at each byte once.
//!
//! Each is done by a process of its own, so that its CPU can be told from that of the benchmark: this program again,
//! with other arguments.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use futures::AsyncBufReadExt;
use futures::io::AsyncBufRead;
use http::Request;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::cluster::{Process, client};
use crate::support::process::usage;
use crate::support::summary;

/// The first argument of such a process.
const ARGUMENT: &str = "--limit";
const LIST: &str = "/api/v1/pods";
/// The list as a watch, as both the operator and client-go ask for it.
const STREAM: &str = "/api/v1/pods?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan\
                      &allowWatchBookmarks=true&timeoutSeconds=60";
/// In the bookmark that ends the list; that line is short.
const END: &[u8] = b"k8s.io/initial-events-end";
const BOOKMARK_LENGTH: usize = 1000;

/// What to do with the Pods.
#[derive(Debug, Clone, Copy)]
pub enum Limit {
    /// One response with all of them, thrown away.
    List,
    /// All of them as a stream, thrown away line by line.
    Download,
    /// As a stream, each line read as JSON of which nothing is kept.
    Skim,
}

impl Limit {
    fn name(self) -> &'static str {
        match self {
            Limit::List => "list",
            Limit::Download => "download",
            Limit::Skim => "skim",
        }
    }

    fn named(name: &str) -> Option<Limit> {
        [Limit::List, Limit::Download, Limit::Skim].into_iter().find(|limit| limit.name() == name)
    }
}

/// What that took.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Cost {
    pub cpu_seconds: f64,
    pub wall_seconds: f64,
    pub bytes: u64,
}

/// Does it in a process of its own.
pub fn measure(limit: Limit, kubeconfig: &Path) -> Cost {
    let mut command = Command::new(std::env::current_exe().expect("the path of this program"));
    command.args([ARGUMENT, limit.name()]).arg(kubeconfig);
    let (_process, mut pipe) = Process::start_piped("limit", command, summary::folder().join("limit.log"));
    let mut said = String::new();
    pipe.read_to_string(&mut said).expect("the pipe can be read");
    serde_json::from_str(&said)
        .unwrap_or_else(|_| panic!("the limit {} was not measured: {said}", limit.name()))
}

/// What this process was started for, and the cluster, if that is a limit.
pub fn asked_for() -> Option<(Limit, PathBuf)> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [argument, name, kubeconfig] = arguments.as_slice() else { return None };
    (argument == ARGUMENT).then(|| (Limit::named(name).expect("a limit"), kubeconfig.into()))
}

/// Reads all Pods and prints the cost, in the process that is for that.
pub async fn run(limit: Limit, kubeconfig: &Path) {
    let begin = Instant::now();
    let bytes = read(limit, kubeconfig).await;
    let used = usage(std::process::id()).expect("this process");
    let (cpu_seconds, wall_seconds) = (used.cpu.as_secs_f64(), begin.elapsed().as_secs_f64());
    println!("{}", serde_json::to_string(&Cost { cpu_seconds, wall_seconds, bytes }).expect("numbers"));
}

async fn read(limit: Limit, kubeconfig: &Path) -> u64 {
    let path = if matches!(limit, Limit::List) { LIST } else { STREAM };
    let request = Request::get(path).body(Vec::new()).expect("a request");
    let body = client(kubeconfig).await.request_stream(request).await.expect("pods");
    let body = std::pin::pin!(body);
    match limit {
        Limit::List => discard(body).await,
        Limit::Download => lines(body, |_| {}).await,
        Limit::Skim => {
            lines(body, |line| {
                serde_json::from_slice::<IgnoredAny>(line).expect("JSON");
            })
            .await
        }
    }
}

async fn discard(mut body: impl AsyncBufRead + Unpin) -> u64 {
    let mut bytes = 0;
    loop {
        let length = body.fill_buf().await.expect("pods").len();
        if length == 0 {
            return bytes;
        }
        bytes += length as u64;
        body.consume_unpin(length);
    }
}

async fn lines(mut body: impl AsyncBufRead + Unpin, mut each: impl FnMut(&[u8])) -> u64 {
    let (mut bytes, mut line) = (0, Vec::new());
    loop {
        line.clear();
        let length = body.read_until(b'\n', &mut line).await.expect("pods");
        assert!(length > 0, "the stream ended before the list did");
        bytes += length as u64;
        each(&line);
        if length < BOOKMARK_LENGTH && line.windows(END.len()).any(|part| part == END) {
            return bytes;
        }
    }
}
