//! One of those that are compared, as a process whose output is read all the time.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader, PipeReader, Write};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::book::Book;
use crate::cluster::Process;
use crate::rules::{PROBE_RULE, RULE};
use crate::support::summary;

/// A running contender. Ends with its value.
pub struct Contender {
    process: Process,
    synced: watch::Receiver<Synced>,
    /// Updates, and when their finding was in its memory.
    pub updates: Arc<Book>,
    /// Probes, and when they were seen: in its memory, unless somebody else fills this book.
    pub probes: Arc<Book>,
}

/// What the reference says when it has judged a whole list.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Synced {
    /// How often it said so.
    pub lists: usize,
    pub objects: usize,
    pub findings: usize,
    /// Received so far, as it came over the wire.
    pub bytes: u64,
    pub requests: u64,
}

/// A line of a log, of any contender.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(borrow, default)]
    rule: Cow<'a, str>,
    #[serde(borrow, default)]
    object: Cow<'a, str>,
    #[serde(default)]
    objects: usize,
    #[serde(default)]
    findings: usize,
    #[serde(default)]
    bytes: u64,
    #[serde(default)]
    requests: u64,
}

impl Contender {
    /// Starts it. What it says besides verdicts goes to `target/bench/NAME.log`.
    pub fn start(name: &str, command: Command, probes_from_log: bool) -> Contender {
        let log = summary::folder().join(format!("{name}.log"));
        let rest = File::create(&log).expect("target/bench can be written");
        let (process, pipe) = Process::start_piped(name, command, log);
        let (tell, synced) = watch::channel(Synced::default());
        let (updates, probes) = (Arc::<Book>::default(), Arc::<Book>::default());
        let reader = Reader {
            updates: updates.clone(),
            probes: probes_from_log.then(|| probes.clone()),
            synced: tell,
            rest,
        };
        // Ends with the process, whose end of the pipe is then closed.
        thread::spawn(move || reader.run(pipe));
        Contender { process, synced, updates, probes }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Waits for something that takes a running contender.
    ///
    /// # Panics
    /// When it ends before.
    pub async fn running<T>(&self, something: impl Future<Output = T>) -> T {
        let mut synced = self.synced.clone();
        // Whoever sends ends with the process.
        let ended = async { while synced.changed().await.is_ok() {} };
        tokio::select! {
            done = something => done,
            () = ended => panic!("it ended. Its log:\n{}", self.process.log_tail()),
        }
    }

    /// Waits until the reference has judged that many lists.
    pub async fn synced(&self, lists: usize, limit: Duration) -> Synced {
        let mut synced = self.synced.clone();
        match timeout(limit, synced.wait_for(|synced| synced.lists >= lists)).await {
            Ok(Ok(synced)) => *synced,
            _ => panic!("no list was judged within {limit:?}:\n{}", self.process.log_tail()),
        }
    }
}

struct Reader {
    updates: Arc<Book>,
    probes: Option<Arc<Book>>,
    synced: watch::Sender<Synced>,
    rest: File,
}

impl Reader {
    fn run(mut self, pipe: PipeReader) {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let now = Instant::now();
            if !serde_json::from_slice(&line).is_ok_and(|line| self.read(&line, now)) {
                // A log that cannot be written is not what is measured.
                let _ = self.rest.write_all(&line);
            }
            line.clear();
        }
    }

    /// False when it is about something else.
    fn read(&self, line: &Line<'_>, now: Instant) -> bool {
        let opened = match &*line.message {
            "finding opened" => true,
            "finding resolved" => false,
            "synced" => {
                self.synced.send_modify(|synced| {
                    *synced = Synced {
                        lists: synced.lists + 1,
                        objects: line.objects,
                        findings: line.findings,
                        bytes: line.bytes,
                        requests: line.requests,
                    };
                });
                return true;
            }
            _ => return false,
        };
        let object = line.object.strip_prefix("Pod ").unwrap_or(&line.object);
        match &*line.rule {
            RULE => self.updates.seen(object, opened, now),
            PROBE_RULE => {
                if let Some(probes) = &self.probes {
                    probes.seen(object, opened, now);
                }
            }
            _ => return false,
        }
        true
    }
}
