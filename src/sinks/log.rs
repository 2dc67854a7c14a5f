//! Lines of JSON, for whatever gathers logs.
//!
//! One line for each finding that is new, changed or resolved and for each change that occurred, one for a group that is
//! too large to be told finding by finding, and one for a test message. Nothing is written when nothing is new.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::text::default_title;
use super::{Receipt, SecretKey, Secrets, SendError, Sink, SpecError};
use crate::core::alert::{Group, Item, Notice, Reason, Totals};
use crate::core::finding::Severity;

/// What `schema` is in each line. Fields may be added; what is there keeps its name and meaning, or this changes.
pub const SCHEMA: &str = "polywatch.dev/alert/v1";
/// Most bytes of a path, as Linux has it.
const MAX_PATH: usize = 4096;

/// Writes lines of JSON.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct LogConfig {
    /// File to append to, such as "/var/log/polywatch/alerts.jsonl" on a volume of the pod. It is opened for each
    /// notice, so it may be moved away at any time; the folder must exist. Absent: the standard output of polywatch,
    /// where nothing else is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = MAX_PATH))]
    #[x_kube(
        validation = Rule::new("self.startsWith('/') && !self.endsWith('/')")
            .message("path must be the absolute path of a file, such as /var/log/polywatch/alerts.jsonl")
    )]
    pub path: Option<String>,
}

/// What happened, in one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// A finding is new.
    Opened,
    /// A finding has another severity, message or list of fields.
    Changed,
    /// A finding is resolved.
    Resolved,
    /// A change occurred.
    Occurred,
    /// What stands open of a group that is too large to be told finding by finding.
    Summary,
    /// A person asked for it.
    Test,
}

/// One line. Of summaries and tests there is no item, but totals and a message.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    schema: &'static str,
    time: Timestamp,
    event: Event,
    /// The id of the notice: the same when it was written again because it was not known whether it was written.
    notice: &'a str,
    reason: Reason,
    group: &'a Group,
    #[serde(flatten)]
    about: About<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum About<'a> {
    Item(&'a Item),
    Group { policy: &'a str, severity: Severity, message: String, totals: &'a Totals },
}

/// Writes lines to a file, or to the standard output.
#[derive(Debug, Clone)]
pub struct Log {
    path: Option<Arc<PathBuf>>,
}

impl Log {
    /// Takes the spec.
    ///
    /// # Errors
    /// When the path is not absolute, or can be none of a file.
    pub fn new(config: &LogConfig) -> Result<Self, Vec<SpecError>> {
        let Some(path) = &config.path else { return Ok(Self { path: None }) };
        let fits =
            path.starts_with('/') && !path.ends_with('/') && !path.contains('\0') && path.len() <= MAX_PATH;
        if !fits {
            let message =
                format!("{path:?} is not the absolute path of a file, such as /var/log/alerts.jsonl");
            return Err(vec![SpecError { field: "log.path".to_owned(), message }]);
        }
        Ok(Self { path: Some(Arc::new(PathBuf::from(path))) })
    }

    async fn write(&self, lines: Vec<u8>) -> Result<Receipt, SendError> {
        let path = self.path.clone();
        let write = move || match &path {
            Some(path) => append(path, &lines).map_err(|e| refusal(path, &e)),
            None => print(&lines).map_err(|e| passing(format!("standard output: {e}"))),
        };
        let written = tokio::task::spawn_blocking(write).await;
        written.unwrap_or_else(|_| Err(passing("the lines were not written".to_owned())))?;
        Ok(Receipt::default())
    }
}

impl Sink for Log {
    fn kind(&self) -> &'static str {
        "log"
    }

    fn secrets(&self) -> Vec<SecretKey> {
        Vec::new()
    }

    fn send<'a>(&'a self, notice: &'a Notice, _: &'a Secrets) -> BoxFuture<'a, Result<Receipt, SendError>> {
        async move {
            let lines = lines(notice).map_err(|e| SendError::Permanent(format!("no JSON: {e}")))?;
            if lines.is_empty() { Ok(Receipt::default()) } else { self.write(lines).await }
        }
        .boxed()
    }
}

/// The lines of a notice, each with its line break.
fn lines(notice: &Notice) -> serde_json::Result<Vec<u8>> {
    let mut lines = Vec::new();
    let mut line = |event, about| {
        let line = Line {
            schema: SCHEMA,
            time: notice.time,
            event,
            notice: &notice.id,
            reason: notice.reason,
            group: &notice.group,
            about,
        };
        serde_json::to_writer(&mut lines, &line)?;
        lines.push(b'\n');
        Ok(())
    };
    let whole = || About::Group {
        policy: &notice.policy,
        severity: notice.severity(),
        message: default_title(notice),
        totals: &notice.totals,
    };
    match notice.reason {
        // A log remembers what it was told.
        Reason::Resend => {}
        Reason::Test => line(Event::Test, whole())?,
        _ if notice.collapsed => line(Event::Summary, whole())?,
        _ => {
            let lists = [
                (Event::Opened, &notice.opened),
                (Event::Changed, &notice.changed),
                (Event::Resolved, &notice.resolved),
                (Event::Occurred, &notice.occurred),
            ];
            for (event, items) in lists {
                items.iter().try_for_each(|item| line(event, About::Item(item)))?;
            }
        }
    }
    Ok(lines)
}

/// Held while lines are written, so that those of two notices are not mixed when two sinks name one file.
static WRITING: Mutex<()> = Mutex::new(());

/// Appends lines as a whole. They are with the kernel then: that they reach the disk is not waited for, since what
/// gathers them reads the same cache, and a machine that dies takes the pod with it.
fn append(path: &Path, lines: &[u8]) -> io::Result<()> {
    let _alone = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    // Opening a pipe waits for who reads it, and a device takes anything: only a file is known to have the lines.
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(no_file(path));
    }
    let mut file = OpenOptions::new().append(true).read(true).create(true).open(path)?;
    let found = file.metadata()?;
    // What was left of a line when the disk was full must not spoil the next one.
    if ends_within_a_line(&mut file, &found)? {
        return file.write_all(&[b"\n", lines].concat());
    }
    file.write_all(lines)
}

fn ends_within_a_line(file: &mut File, found: &Metadata) -> io::Result<bool> {
    if found.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

fn print(lines: &[u8]) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(lines)?;
    output.flush()
}

fn no_file(path: &Path) -> io::Error {
    let kind = if path.is_dir() { ErrorKind::IsADirectory } else { ErrorKind::Unsupported };
    io::Error::new(kind, "it is no file")
}

fn refusal(path: &Path, error: &io::Error) -> SendError {
    let remedy = match error.kind() {
        ErrorKind::NotFound => "; the folder must exist: mount a volume there",
        ErrorKind::PermissionDenied => "; polywatch must be allowed to write there: see fsGroup of the pod",
        ErrorKind::ReadOnlyFilesystem => "; mount a volume there",
        _ => "",
    };
    let why = format!("{}: {error}{remedy}", path.display());
    match error.kind() {
        // No mount and no permission makes these work.
        ErrorKind::InvalidFilename | ErrorKind::InvalidInput => SendError::Permanent(why),
        _ => passing(why),
    }
}

fn passing(why: String) -> SendError {
    SendError::Passing { why, retry_after: None }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::{Value, json};

    use super::*;
    use crate::sinks::text::sample;

    /// A folder that is removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("polywatch-log-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).expect("a folder");
            Self(path)
        }

        fn file(&self) -> PathBuf {
            self.0.join("alerts.jsonl")
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn log(path: &Path) -> Log {
        Log::new(&LogConfig { path: Some(path.display().to_string()) }).expect("a sink")
    }

    async fn send(log: &Log, notice: &Notice) -> Result<Receipt, SendError> {
        log.send(notice, &Secrets::default()).await
    }

    fn read(path: &Path) -> Vec<Value> {
        let text = std::fs::read_to_string(path).expect("a file");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    fn parsed(notice: &Notice) -> Vec<Value> {
        let lines = String::from_utf8(lines(notice).expect("lines")).expect("UTF-8");
        assert!(lines.is_empty() || lines.ends_with('\n'));
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    #[test]
    fn each_line_is_one_finding_with_all_that_is_known_of_it() {
        let notice = sample(Reason::Opened);
        assert_eq!(
            parsed(&notice),
            [json!({
                "schema": "polywatch.dev/alert/v1",
                "time": "2026-05-01T10:05:00Z",
                "event": "opened",
                "notice": "0123456789abcdef0123456789abcdef",
                "reason": "Opened",
                "group": {"id": "fedcba9876543210fedcba9876543210", "by": {"rule": "backend-available"}},
                "id": "00112233445566778899aabbccddeeff",
                "policy": "api-gateway",
                "rule": "backend-available",
                "severity": "high",
                "selectedBy": "routes",
                "edition": 1,
                "object": {
                    "apiVersion": "gateway.example.com/v1",
                    "kind": "APIRoute",
                    "namespace": "team-a",
                    "name": "checkout",
                    "uid": "6fd2ba2e-8f0a-4a53-9d0e-0c8a5f3e7b11",
                },
                "message": "no endpoint is ready",
                "since": "2026-05-01T10:00:00Z",
                "labels": {"team": "checkout"},
                "fields": "spec.limit: 100 → 1000, by kubectl-edit (Update)",
                "flaps": 3,
            })]
        );
    }

    #[test]
    fn every_list_that_is_news_has_its_event() {
        let events =
            |notice: &Notice| parsed(notice).iter().map(|line| line["event"].clone()).collect::<Vec<_>>();
        let mut notice = sample(Reason::MoreOpened);
        notice.changed = sample(Reason::Changed).changed;
        notice.resolved = sample(Reason::SomeResolved).resolved;
        notice.occurred = sample(Reason::Occurred).occurred;
        assert_eq!(events(&notice), ["opened", "changed", "resolved", "occurred"]);
        assert_eq!(events(&sample(Reason::AllResolved)), ["resolved"]);
        assert_eq!(events(&sample(Reason::Resend)), [""; 0], "nothing is new");
    }

    #[test]
    fn a_group_that_is_too_large_is_one_line() {
        let mut notice = sample(Reason::MoreOpened);
        notice.collapsed = true;
        notice.totals.open = 250;
        notice.totals.opened = 3;
        let lines = parsed(&notice);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["event"], "summary");
        assert_eq!(lines[0]["totals"]["open"], 250);
        assert_eq!(lines[0]["severity"], "high");
        assert_eq!(lines[0]["message"], "[high] api-gateway / backend-available: 250 open, 3 new");
        assert_eq!(lines[0]["id"], Value::Null, "it is no finding");
    }

    #[test]
    fn a_test_message_is_no_finding() {
        let lines = parsed(&sample(Reason::Test));
        assert_eq!(lines.len(), 1);
        assert_eq!((&lines[0]["event"], &lines[0]["id"]), (&json!("test"), &Value::Null));
    }

    #[test]
    fn a_path_that_is_no_file_is_refused() {
        for path in ["alerts.jsonl", "./x", "/var/log/", "/a\0b", ""] {
            let errors = Log::new(&LogConfig { path: Some(path.to_owned()) }).expect_err(path);
            assert_eq!(errors[0].field, "log.path");
        }
        assert!(Log::new(&LogConfig::default()).is_ok());
    }

    #[tokio::test]
    async fn notices_are_appended_also_when_the_file_was_moved_away() {
        let folder = Folder::new("rotated");
        let (file, moved) = (folder.file(), folder.0.join("alerts.jsonl.1"));
        let log = log(&file);
        assert_eq!(send(&log, &sample(Reason::Opened)).await, Ok(Receipt::default()));
        send(&log, &sample(Reason::Changed)).await.expect("written");
        assert_eq!(read(&file).len(), 2);
        std::fs::rename(&file, &moved).expect("moved");
        send(&log, &sample(Reason::AllResolved)).await.expect("written");
        assert_eq!(read(&file).len(), 1);
        assert_eq!(read(&moved).len(), 2);
    }

    #[tokio::test]
    async fn what_was_left_of_a_line_does_not_spoil_the_next() {
        let folder = Folder::new("torn");
        std::fs::write(folder.file(), "{\"schema\": \"polyw").expect("written");
        send(&log(&folder.file()), &sample(Reason::Opened)).await.expect("written");
        let text = std::fs::read_to_string(folder.file()).expect("a file");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(serde_json::from_str::<Value>(lines[1]).is_ok(), "{text}");
    }

    #[tokio::test]
    async fn lines_of_many_notices_at_once_stay_whole() {
        let folder = Folder::new("many");
        let (one, other) = (log(&folder.file()), log(&folder.file()));
        let mut notice = sample(Reason::Opened);
        notice.opened = vec![notice.opened[0].clone(); 50];
        let sent = (0..20).map(|n| send(if n % 2 == 0 { &one } else { &other }, &notice));
        for result in futures::future::join_all(sent).await {
            result.expect("written");
        }
        assert_eq!(read(&folder.file()).len(), 1000);
    }

    #[tokio::test]
    async fn what_cannot_be_written_says_why() {
        let folder = Folder::new("refused");
        let refused =
            async |path: &Path| send(&log(path), &sample(Reason::Opened)).await.expect_err("an error");
        let missing = refused(&folder.0.join("no/folder/alerts.jsonl")).await;
        assert!(
            matches!(&missing, SendError::Passing { why, .. } if why.contains("the folder must exist")),
            "{missing:?}"
        );
        let inside = refused(&folder.0).await;
        assert!(
            matches!(&inside, SendError::Passing { why, .. } if why.contains("it is no file")),
            "{inside:?}"
        );
        let device = refused(Path::new("/dev/full")).await;
        assert!(
            matches!(&device, SendError::Passing { why, .. } if why.contains("it is no file")),
            "{device:?}"
        );
        let long = refused(&folder.0.join("x".repeat(300))).await;
        assert!(matches!(long, SendError::Permanent(_)), "{long:?}");
    }
}
