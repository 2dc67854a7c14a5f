//! Everything at once, for a while: findings open and are resolved at random, the operator is killed again and again,
//! and every receiver fails in turn. Afterwards each of them knows what is true, and what it was told twice is what was
//! under way when somebody died.
//!
//! What has to be told is what stands long enough. A sink is *calm* from one moment to another when all that time the
//! operator ran and the receiver had no fault; when that lasts for [`CALM`], whatever has not changed since it began has
//! been told when it ends, whether a finding opened, changed or was resolved before. What came and went while nobody
//! could be told need not be. This is held against the records of those receivers that keep all (webhook and log); at
//! the end, everything stands, and it is held against what every receiver has.
//!
//! Not among the faults is what loses a message by what is documented: a refusal for good, and any 2xx of a webhook. See
//! `faults.rs` for those.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use fastrand::Rng;
use futures::{StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::delivery::{lines, log_sink, ready, sink_when, told_policy};
use crate::harness::{
    secret, secret_of_mail, secret_of_pager_duty, secret_of_slack, sink, to_alertmanager, to_mail,
    to_pager_duty, to_slack, to_webhook,
};
use crate::support::receiver::{CloudEvents, Fault, PagerDuty, Receiver, Slack};
use crate::support::{Alertmanager, ControlPlane, MailServer, Operator, Route, eventually};

const MAPS: usize = 200;
/// So that no group comes near the size from which on it is told as a summary.
const TEAMS: usize = 8;
const ROUNDS: usize = 4;
const KILLS: usize = 20;
/// How long the operator is left alone at the end of each round.
const REST: Duration = Duration::from_secs(11);
/// Three seconds for the longest pause that is left of a fault, one for groupWait, one for groupInterval, one for
/// Retry-After, and two for a machine that does something else.
const CALM: Duration = Duration::from_secs(8);
/// Shorter than three failures in a row take, so that the pause after the last is short.
const LONGEST_FAULT: f64 = 2.5;
const SIGNING: &str = "signing-key-5f3e7b11";
const SINKS: [&str; 6] = ["alerts", "chat", "file", "hook", "mail", "pager"];
const STATES: [&str; 3] = ["fine", "broken", "worse"];

/// A write of a ConfigMap.
#[derive(Clone, Copy)]
struct Written {
    /// One of [`STATES`].
    state: &'static str,
    from: Timestamp,
    to: Timestamp,
}

/// From one moment to another.
type Span = (Timestamp, Timestamp);

/// What a receiver believes of the findings of one object: the state that it was told; none when it was told that it is
/// resolved, or nothing.
type Beliefs = BTreeMap<String, Option<String>>;

/// A record of a receiver: when, of which object, and what it is to be believed since.
type Record = (Timestamp, String, Option<String>);

struct Soak {
    cluster: ControlPlane,
    alerts: Alertmanager,
    pager: Receiver<PagerDuty>,
    chat: Receiver<Slack>,
    hook: Receiver<CloudEvents>,
    mail: MailServer,
    file: PathBuf,
    /// Files that were moved away.
    moved: Cell<usize>,
    /// By map, what was written, oldest first.
    written: RefCell<Vec<Vec<Written>>>,
    /// When an operator ran and was ready.
    alive: RefCell<Vec<Span>>,
    /// By sink, when it had a fault.
    faults: RefCell<BTreeMap<&'static str, Vec<Span>>>,
    /// By sink, messages that were taken while their answers were lost.
    lossy: RefCell<BTreeMap<&'static str, u64>>,
    /// Whether those that keep all their records fail no more, so that there is time to compare.
    spares: Cell<bool>,
    is_over: Cell<bool>,
}

fn name(n: usize) -> String {
    format!("map-{n:03}")
}

/// Two teams are so small that all of theirs is resolved now and then.
fn team(n: usize) -> String {
    match n {
        0..3 => "t0".to_owned(),
        3..6 => "t1".to_owned(),
        _ => format!("t{}", 2 + n % (TEAMS - 2)),
    }
}

/// A random time up to some seconds.
fn up_to(rng: &mut Rng, seconds: f64) -> Duration {
    Duration::from_secs_f64(rng.f64() * seconds)
}

impl Soak {
    async fn start() -> Soak {
        let cluster = ControlPlane::start().await;
        cluster.install_crds().await;
        let file = cluster.dir().state().join("alerts.jsonl");
        Soak {
            cluster,
            alerts: Alertmanager::start(&Route::default()).await,
            pager: PagerDuty::start(),
            chat: Slack::start(&["alerts"]),
            hook: CloudEvents::start(Some(SIGNING.as_bytes())),
            mail: MailServer::start().await,
            file,
            moved: Cell::new(0),
            written: RefCell::new(vec![Vec::new(); MAPS]),
            alive: RefCell::default(),
            faults: RefCell::default(),
            lossy: RefCell::default(),
            spares: Cell::new(false),
            is_over: Cell::new(false),
        }
    }

    async fn prepare(&self) {
        let secrets = [
            secret_of_pager_duty(&self.pager),
            secret_of_slack(&self.chat),
            secret_of_mail(&self.mail),
            secret("hook", &[("signing", SIGNING)]),
        ];
        self.cluster.apply_yaml(&secrets.concat()).await;
        let said = "{{ group.by['label team'] }} open={{ totals.open }} id={{ id }}";
        let mut chat = to_slack(&self.chat, "alerts");
        chat["slack"]["text"] = json!(said);
        let mut mail = to_mail(&self.mail);
        mail["email"]["subject"] = json!(said);
        let specs = [
            ("alerts", to_alertmanager(&self.alerts)),
            ("chat", chat),
            ("hook", to_webhook(&self.hook, "Batched")),
            ("mail", mail),
            ("pager", to_pager_duty(&self.pager)),
        ];
        for (name, mut spec) in specs {
            spec["timeoutSeconds"] = json!(2);
            self.cluster.apply_yaml(&sink(name, &spec)).await;
        }
        self.cluster.apply_yaml(&log_sink("file", &self.file)).await;
        let route = |sink: &str| {
            let further = match sink {
                // It is told again what it forgot when it was killed.
                "alerts" => ", resendInterval: 2s",
                _ => "",
            };
            // Real mail takes a process each.
            let interval = if sink == "mail" { "5s" } else { "1s" };
            format!(
                "{{sink: {sink}, groupWait: 1s, groupInterval: {interval}, onFirstSync: Each, groupBy: [Label], \
                 groupByLabels: [team]{further}}}"
            )
        };
        let notify = format!("[{}]", SINKS.map(route).join(", "));
        self.write(&(0..MAPS).map(|n| (n, "fine")).collect::<Vec<_>>()).await;
        self.cluster.apply_yaml(&told_policy("soak", &notify)).await;
    }

    async fn write(&self, changes: &[(usize, &'static str)]) {
        let maps: Api<ConfigMap> = Api::default_namespaced(self.cluster.admin().await);
        let params = PatchParams::apply("tests").force();
        let write = async |(n, state): (usize, &'static str)| {
            let body = json!({
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": name(n), "labels": {"team": team(n)}},
                "data": {"state": state},
            });
            let from = Timestamp::now();
            let done = maps.patch(&name(n), &params, &Patch::Apply(&body)).await;
            done.unwrap_or_else(|e| panic!("cannot write {}: {e}", name(n)));
            self.written.borrow_mut()[n].push(Written { state, from, to: Timestamp::now() });
        };
        stream::iter(changes.iter().copied()).for_each_concurrent(16, write).await;
    }

    /// Opens, changes and resolves findings until it is over.
    async fn change(&self, mut rng: Rng) {
        while !self.is_over.get() {
            let some: BTreeSet<usize> = (0..rng.usize(1..=6)).map(|_| rng.usize(0..MAPS)).collect();
            let change = |n: &usize| {
                let now = self.written.borrow()[*n].last().map_or("fine", |last| last.state);
                let others: Vec<_> = STATES.into_iter().filter(|state| *state != now).collect();
                // Of three that are not fine, two are mended.
                (
                    *n,
                    if now == "fine" || rng.f64() < 0.33 {
                        others[rng.usize(0..others.len())]
                    } else {
                        "fine"
                    },
                )
            };
            let changes: Vec<_> = some.iter().map(change).collect();
            self.write(&changes).await;
            sleep(up_to(&mut rng, 0.5)).await;
        }
    }

    /// Kills the operator and starts it again; gives the last one.
    async fn kill(&self, mut rng: Rng) -> Operator {
        let start = || {
            // The lease of one that was killed is nobody's for a while, and that is not what this is about.
            let lease = format!("soak-{}", Timestamp::now().as_nanosecond());
            Operator::with(&self.cluster, &self.cluster.admin_kubeconfig()).lease(&lease).start()
        };
        let mut operator = start();
        operator.wait_ready().await;
        for round in 1..=ROUNDS {
            self.spares.set(round == ROUNDS);
            for n in 0..KILLS / ROUNDS {
                // Also while it is starting.
                let ready = if n == 1 && rng.bool() {
                    sleep(up_to(&mut rng, 0.3)).await;
                    Timestamp::now()
                } else {
                    operator.wait_ready().await;
                    let ready = Timestamp::now();
                    sleep(up_to(&mut rng, 3.0)).await;
                    ready
                };
                operator.kill_hard();
                self.alive.borrow_mut().push((ready, Timestamp::now()));
                sleep(up_to(&mut rng, 0.3)).await;
                operator = start();
            }
            operator.wait_ready().await;
            let ready = Timestamp::now();
            sleep(REST).await;
            self.alive.borrow_mut().push((ready, Timestamp::now()));
        }
        self.is_over.set(true);
        operator
    }

    /// Lets each receiver fail in turn until it is over.
    async fn fail(&self, mut rng: Rng) {
        for sink in SINKS.into_iter().cycle() {
            sleep(up_to(&mut rng, 1.0)).await;
            if self.is_over.get() {
                return;
            }
            if self.spares.get() && ["hook", "file"].contains(&sink) {
                continue;
            }
            let from = Timestamp::now();
            let time = Duration::from_secs_f64(1.0 + rng.f64() * (LONGEST_FAULT - 1.0));
            match sink {
                "alerts" if rng.bool() => {
                    self.alerts.pause();
                    sleep(time).await;
                    self.alerts.resume();
                }
                "alerts" => {
                    self.alerts.kill();
                    sleep(time / 2).await;
                    self.alerts.start_again().await;
                }
                "mail" => {
                    self.mail.pause();
                    sleep(time).await;
                    self.mail.resume();
                    *self.lossy.borrow_mut().entry(sink).or_default() += 1;
                }
                "file" => {
                    self.take_file_away();
                    sleep(time).await;
                    std::fs::remove_dir(&self.file).expect("an empty folder");
                }
                "chat" => self.fail_at(sink, &self.chat, time, &mut rng, true).await,
                "hook" => self.fail_at(sink, &self.hook, time, &mut rng, false).await,
                _ => self.fail_at(sink, &self.pager, time, &mut rng, true).await,
            }
            self.faults.borrow_mut().entry(sink).or_default().push((from, Timestamp::now()));
        }
    }

    async fn fail_at<V: crate::support::receiver::Vendor>(
        &self,
        sink: &'static str,
        receiver: &Receiver<V>,
        time: Duration,
        rng: &mut Rng,
        reads_answers: bool,
    ) {
        let faults = [
            Fault::Slow(Duration::from_secs(30)),
            Fault::CutAnswer,
            Fault::ResetBefore,
            Fault::ResetAfter,
            Fault::TooMany { retry_after: 1 },
            Fault::Broken(500),
            Fault::NotHttp,
            Fault::Garbage,
        ];
        let fault = faults[rng.usize(0..faults.len() - usize::from(!reads_answers))];
        let before = receiver.seen().taken;
        receiver.set(fault);
        sleep(time).await;
        receiver.set(Fault::None);
        if fault.takes() {
            *self.lossy.borrow_mut().entry(sink).or_default() += receiver.seen().taken - before;
        }
    }

    /// Puts a folder in place of the file.
    fn take_file_away(&self) {
        // The operator may make a file in between.
        while std::fs::create_dir(&self.file).is_err() {
            let number = self.moved.get() + 1;
            self.moved.set(number);
            std::fs::rename(&self.file, self.file.with_extension(number.to_string())).expect("it is moved");
        }
    }

    fn lines(&self) -> Vec<Value> {
        let moved = (1..=self.moved.get()).map(|number| self.file.with_extension(number.to_string()));
        moved.chain([self.file.clone()]).flat_map(|path| lines(&path)).collect()
    }

    fn of_lines(&self) -> Vec<Record> {
        let record = |line: &Value| {
            let at: Timestamp = line["time"].as_str().and_then(|time| time.parse().ok()).expect("a time");
            (at, object(line), believed(line["event"] == "resolved", line))
        };
        self.lines().iter().map(record).collect()
    }

    fn of_events(&self) -> Vec<Record> {
        let seen = self.hook.seen();
        let record = |delivered: &crate::support::receiver::Delivered| {
            let event = &delivered.event;
            let is_over = event["type"] == "dev.polywatch.finding.resolved";
            (delivered.at, object(&event["data"]), believed(is_over, &event["data"]))
        };
        seen.view.in_order().map(record).collect()
    }

    /// What is true of what has not changed since a moment, at another.
    fn standing(&self, (from, to): Span) -> Beliefs {
        let written = self.written.borrow();
        let stands = |(n, writes): (usize, &Vec<Written>)| {
            let last = writes.iter().rfind(|write| write.from <= to)?;
            (last.to <= from).then(|| (name(n), state(last.state)))
        };
        written.iter().enumerate().filter_map(stands).collect()
    }

    /// What is true at the end.
    fn truth(&self) -> Beliefs {
        let written = self.written.borrow();
        let last = |writes: &Vec<Written>| writes.last().and_then(|write| state(write.state));
        written.iter().enumerate().map(|(n, writes)| (name(n), last(writes))).collect()
    }

    /// When a sink was calm for long enough.
    fn calm(&self, sink: &str) -> Vec<Span> {
        let faults = self.faults.borrow();
        let nothing = Vec::new();
        let faults = faults.get(sink).unwrap_or(&nothing);
        let mut spans = Vec::new();
        for (from, to) in self.alive.borrow().iter() {
            let mut from = *from;
            for (begins, ends) in faults.iter().filter(|(begins, _)| begins < to) {
                spans.push((from, (*begins).max(from)));
                from = from.max(*ends);
            }
            spans.push((from, (*to).max(from)));
        }
        spans.retain(|(from, to)| to.duration_since(*from).unsigned_abs() >= CALM);
        spans
    }
}

/// What is wrong with an object in a state.
fn state(state: &str) -> Option<String> {
    (state != "fine").then(|| format!("it is {state}"))
}

fn object(finding: &Value) -> String {
    finding["object"]["name"].as_str().unwrap_or_else(|| panic!("no object: {finding}")).to_owned()
}

fn believed(is_over: bool, finding: &Value) -> Option<String> {
    (!is_over).then(|| finding["message"].as_str().unwrap_or_default().to_owned())
}

fn beliefs(records: &[Record], until: Timestamp) -> Beliefs {
    let heard = records.iter().filter(|(at, ..)| *at <= until);
    let mut beliefs: Beliefs = (0..MAPS).map(|n| (name(n), None)).collect();
    beliefs.extend(heard.map(|(_, name, state)| (name.clone(), state.clone())));
    beliefs
}

/// Where a receiver is wrong: object, what is true, and what it believes.
fn wrong<'a>(
    truth: &'a Beliefs,
    believed: &'a Beliefs,
) -> Vec<(&'a str, &'a Option<String>, &'a Option<String>)> {
    let wrong = truth.iter().filter(|(name, state)| believed.get(*name) != Some(state));
    wrong.map(|(name, state)| (name.as_str(), state, believed.get(name).unwrap_or(&None))).collect()
}

/// What a text made by the template says: team, open findings, and the notice.
fn said(text: &str) -> Option<(String, usize, String)> {
    let mut words = text.split_whitespace();
    let team = words.next()?.to_owned();
    let open = words.next()?.strip_prefix("open=")?.parse().ok()?;
    Some((team, open, words.next()?.strip_prefix("id=")?.to_owned()))
}

/// By team, what was said last, of texts in order; and how many were said before.
fn last_said<'a>(texts: impl Iterator<Item = &'a str>) -> (BTreeMap<String, usize>, u64) {
    let (mut last, mut ids, mut repeats) = (BTreeMap::new(), BTreeSet::new(), 0);
    for text in texts {
        let (team, open, id) = said(text).unwrap_or_else(|| panic!("it says {text:?}"));
        repeats += u64::from(!ids.insert(id));
        last.insert(team, open);
    }
    last.retain(|_, open| *open > 0);
    (last, repeats)
}

fn by_team(truth: &Beliefs) -> BTreeMap<String, usize> {
    let mut teams = BTreeMap::new();
    for (n, (_, state)) in truth.iter().enumerate() {
        if state.is_some() {
            *teams.entry(team(n)).or_default() += 1;
        }
    }
    teams
}

async fn settles<T>(what: &str, probe: impl AsyncFnMut() -> Result<T, String>) -> T {
    eventually(&format!("at the end, {what}"), Duration::from_secs(45), probe).await
}

fn same<T: PartialEq + std::fmt::Debug>(is: T, wanted: &T) -> Result<(), String> {
    if is == *wanted { Ok(()) } else { Err(format!("it is {is:?}, not {wanted:?}")) }
}

/// About 95 s, and it ends by itself. `POLYWATCH_SEED` repeats the choices of a run, as far as time lets them be the
/// same.
#[tokio::test]
async fn whatever_happens_every_receiver_knows_what_is_true_in_the_end() {
    let seed = std::env::var("POLYWATCH_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("POLYWATCH_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let soak = Soak::start().await;
    soak.prepare().await;
    let ((), operator, ()) =
        tokio::join!(soak.change(rng.fork()), soak.kill(rng.fork()), soak.fail(rng.fork()));
    let truth = soak.truth();
    let open: BTreeSet<&str> =
        truth.iter().filter(|(_, state)| state.is_some()).map(|(name, _)| name.as_str()).collect();
    let writes: usize = soak.written.borrow().iter().map(|writes| writes.len() - 1).sum();
    println!("{writes} changes, {KILLS} kills, {} stand open", open.len());
    assert!(open.len() > 20, "there is something to compare");

    all_know(&soak, &truth, &open).await;
    for sink in SINKS {
        operator.metric_when("polywatch_sink_owed", &[("sink", sink)], |owed| owed == 0.0).await;
        sink_when(&soak.cluster, sink, "it is well", |status| ready(status).0 == "True").await;
    }
    let late = what_was_calm_was_told(&soak);
    repeats_are_few(&soak);
    assert!(late.is_empty(), "{late:#?}");
}

/// Waits until every receiver has what is true.
async fn all_know(soak: &Soak, truth: &Beliefs, open: &BTreeSet<&str>) {
    let teams = by_team(truth);
    soak.alerts
        .alerts_when("at the end, its alerts are what stands", |alerts| {
            let names: BTreeSet<&str> = alerts.iter().map(|alert| alert.label("name")).collect();
            names == *open && alerts.len() == open.len()
        })
        .await;
    settles("the webhook knows what is true", async || {
        match wrong(truth, &beliefs(&soak.of_events(), Timestamp::MAX)) {
            wrong if wrong.is_empty() => Ok(()),
            wrong => Err(format!("object, truth, belief: {wrong:?}")),
        }
    })
    .await;
    settles("the file says what is true", async || {
        match wrong(truth, &beliefs(&soak.of_lines(), Timestamp::MAX)) {
            wrong if wrong.is_empty() => Ok(()),
            wrong => Err(format!("object, truth, belief: {wrong:?}")),
        }
    })
    .await;
    let groups: BTreeSet<String> = teams.keys().map(|team| format!("label team={team}")).collect();
    settles("an incident is open for each group with findings", async || {
        let seen = soak.pager.seen();
        let open = seen.view.incidents.values().filter(|incident| incident.is_open());
        let group = |payload: &Value| payload["group"].as_str().unwrap_or_default().to_owned();
        same(open.map(|incident| group(&incident.payload)).collect(), &groups)
    })
    .await;
    settles("the last message of each group has its number", async || {
        let seen = soak.chat.seen();
        same(last_said(seen.view.messages.values().map(|message| message.text.as_str())).0, &teams)
    })
    .await;
    settles("the last mail of each group has its number", async || same(mailed(soak).0, &teams)).await;
}

/// By team, what the last mail says, and how many mails were sent before.
fn mailed(soak: &Soak) -> (BTreeMap<String, usize>, u64) {
    let mut mails = soak.mail.mails("oncall");
    let date = |mail: &crate::support::Mail| {
        let date = mail.header("Date").and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
        date.expect("a date").timestamp()
    };
    mails.sort_by_key(date);
    last_said(mails.iter().filter_map(|mail| mail.header("Subject")))
}

/// Of each time at which a sink was calm: what stood for as long and was not told.
fn what_was_calm_was_told(soak: &Soak) -> Vec<String> {
    let (mut late, mut times) = (Vec::new(), 0);
    for (sink, records) in [("hook", soak.of_events()), ("file", soak.of_lines())] {
        let calm = soak.calm(sink);
        times += calm.len();
        let mut stood = 0;
        for span in &calm {
            let standing = soak.standing(*span);
            stood += standing.len();
            let believed = beliefs(&records, span.1);
            let wrong = wrong(&standing, &believed);
            late.extend(
                wrong
                    .iter()
                    .map(|wrong| format!("{sink}, calm in {span:?}: object, truth, belief: {wrong:?}")),
            );
        }
        println!("{sink}: calm {} times, {stood} states stood and were told", calm.len());
    }
    assert!(times > 0, "nobody had time");
    late
}

/// Counts what was told twice, and holds it against how often that could not be helped.
fn repeats_are_few(soak: &Soak) {
    let kills = KILLS as u64;
    let lossy = |sink: &str| soak.lossy.borrow().get(sink).copied().unwrap_or_default();

    let hook = soak.hook.seen();
    let (repeating, allowed) = (hook.view.repeating, kills + lossy("hook"));
    println!(
        "hook: {} events, {} repeats in {repeating} requests (at most {allowed}), {} failed",
        hook.view.order.len(),
        hook.view.repeats(),
        hook.failed
    );
    assert!(repeating <= allowed, "hook: {repeating} requests told what had been told");
    // A process does not know what its predecessor was asked.
    assert!(hook.early <= kills, "hook: {} came too early", hook.early);

    // The same twice, with nothing about the object in between.
    let (mut last, mut repeating) = (BTreeMap::new(), BTreeSet::new());
    let lines = soak.lines();
    for line in &lines {
        let said = [&line["event"], &line["since"], &line["message"]].map(Value::to_string);
        if last.insert(line["id"].to_string(), said.clone()) == Some(said) {
            repeating.insert((line["notice"].to_string(), line["time"].to_string()));
        }
    }
    println!("file: {} lines, repeats in {} notices (at most {kills})", lines.len(), repeating.len());
    assert!(repeating.len() as u64 <= kills, "file: {} notices told what had been told", repeating.len());

    let chat = soak.chat.seen();
    let repeats = last_said(chat.view.messages.values().map(|message| message.text.as_str())).1;
    let allowed = kills + lossy("chat");
    println!(
        "chat: {} messages in {} threads, {repeats} repeats (at most {allowed}), {} failed",
        chat.view.messages.len(),
        chat.view.roots().len(),
        chat.failed
    );
    assert!(repeats <= allowed, "chat: {repeats} messages twice");
    assert!(chat.early <= kills, "chat: {} came too early", chat.early);

    let repeats = mailed(soak).1;
    let allowed = kills + lossy("mail");
    println!("mail: {} mails, {repeats} repeats (at most {allowed})", soak.mail.mails("oncall").len());
    assert!(repeats <= allowed, "mail: {repeats} mails twice");

    let pager = soak.pager.seen();
    let count = |of: fn(&crate::support::receiver::Incident) -> u32| {
        pager.view.incidents.values().map(of).sum::<u32>()
    };
    // An end is told as well of what may have been told, and that it never arrived is not known.
    let allowed = kills + lossy("pager") + pager.failed + soak.pager.broken();
    println!(
        "pager: {} incidents, {} triggers, {} resolved, {} resolved for nothing (at most {allowed}), {} failed",
        count(|incident| incident.opened),
        count(|incident| incident.triggers),
        count(|incident| incident.resolved),
        pager.view.idle,
        pager.failed
    );
    assert!(pager.view.idle <= allowed, "pager: {} ends of nothing", pager.view.idle);
    assert!(pager.early <= kills, "pager: {} came too early", pager.early);

    soak.pager.assert_no_violations();
    soak.chat.assert_no_violations();
    // What is sent again may have been found out anew by another process: the same event, at another time.
    let others: Vec<_> =
        hook.violations.iter().filter(|text| !text.contains("was another event of this source")).collect();
    assert!(others.is_empty(), "{others:#?}");
    println!("hook: {} repeats say another time or reason", hook.violation_count);
    assert!(hook.violation_count <= hook.view.repeats(), "{:#?}", hook.violations);
}
