//! The operator and receivers that fail, in each way that they can: what arrives afterwards, what is said meanwhile, and
//! who else notices.

use std::time::Duration;

use serde_json::json;

use crate::delivery::{lines, log_sink, ready, sink_when, told_policy};
use crate::harness::{
    SOON, change_sink, map, routes, secret, secret_of_pager_duty, secret_of_slack, sink, to_pager_duty,
    to_slack, to_webhook,
};
use crate::support::receiver::{CloudEvents, Fault, PagerDuty, Receiver, Slack};
use crate::support::{PATIENCE, eventually, start_with_operator};

const SIGNING: &str = "signing-key-5f3e7b11";

struct Receivers {
    pager: Receiver<PagerDuty>,
    chat: Receiver<Slack>,
    hook: Receiver<CloudEvents>,
}

const SINKS: [&str; 3] = ["chat", "hook", "pager"];

impl Receivers {
    fn start() -> Receivers {
        Receivers {
            pager: PagerDuty::start(),
            chat: Slack::start(&["alerts"]),
            hook: CloudEvents::start(Some(SIGNING.as_bytes())),
        }
    }

    fn secrets(&self) -> String {
        let signing = secret("hook", &[("signing", SIGNING)]);
        [secret_of_pager_duty(&self.pager), secret_of_slack(&self.chat), signing].concat()
    }

    fn sinks(&self) -> String {
        let specs = [
            to_slack(&self.chat, "alerts"),
            to_webhook(&self.hook, "Structured"),
            to_pager_duty(&self.pager),
        ];
        let with_timeout = |(name, mut spec): (&str, serde_json::Value)| {
            spec["timeoutSeconds"] = json!(1);
            sink(name, &spec)
        };
        SINKS.into_iter().zip(specs).map(with_timeout).collect()
    }

    fn set(&self, fault: Fault) {
        self.pager.set(fault);
        self.chat.set(fault);
        self.hook.set(fault);
    }

    /// Attempts to reach each of them, also those that broke before anything was read.
    fn attempts(&self) -> [u64; 3] {
        [
            self.chat.seen().attempts + self.chat.broken(),
            self.hook.seen().attempts + self.hook.broken(),
            self.pager.seen().attempts + self.pager.broken(),
        ]
    }

    /// How often each of them was told that an object is in a bad state: messages, deliveries of the event, calls.
    fn told_of(&self, name: &str) -> [usize; 3] {
        let object = format!("ConfigMap default/{name}");
        let chat = self.chat.seen();
        let messages = chat.view.messages.values().filter(|message| message.text.contains(&object));
        let hook = self.hook.seen();
        let events = hook.view.events.values().filter(|event| event.event["subject"] == object);
        let pager = self.pager.seen();
        let incidents =
            pager.view.incidents.values().filter(|incident| incident.payload["component"] == object);
        [
            messages.count(),
            events.map(|event| event.times as usize).sum(),
            incidents.map(|incident| incident.opened as usize).sum(),
        ]
    }

    async fn told_when(&self, name: &str, what: &str, holds: impl Fn([usize; 3]) -> bool) -> [usize; 3] {
        eventually(&format!("{name}: {what}"), PATIENCE, async || {
            let told = self.told_of(name);
            if holds(told) { Ok(told) } else { Err(format!("chat, hook and pager were told {told:?} times")) }
        })
        .await
    }

    fn assert_well_behaved(&self) {
        self.pager.assert_no_violations();
        self.chat.assert_no_violations();
        self.hook.assert_no_violations();
        let early = [self.chat.seen().early, self.hook.seen().early, self.pager.seen().early];
        assert_eq!(early, [0, 0, 0], "who asks to be left alone is");
    }
}

#[tokio::test]
async fn after_each_fault_all_is_told_and_what_is_refused_for_good_is_a_dead_letter() {
    let receivers = Receivers::start();
    let (cluster, operator) = start_with_operator().await;
    cluster.apply_yaml(&receivers.secrets()).await;
    cluster.apply_yaml(&receivers.sinks()).await;
    let by_team = format!("{SOON}, groupBy: [Label], groupByLabels: [team]");
    cluster.apply_yaml(&told_policy("maps", &routes(&SINKS, &by_team))).await;
    cluster.ready("maps").await;

    let faults = [
        ("slow", Fault::Slow(Duration::from_secs(30))),
        ("reset-before", Fault::ResetBefore),
        ("reset-after", Fault::ResetAfter),
        ("cut", Fault::CutAnswer),
        ("too-many", Fault::TooMany { retry_after: 3 }),
        ("broken", Fault::Broken(500)),
        ("unavailable", Fault::Broken(503)),
        ("garbage", Fault::Garbage),
        ("not-http", Fault::NotHttp),
    ];
    for (name, fault) in faults {
        receivers.set(fault);
        let before = receivers.attempts();
        cluster.apply_yaml(&map(name, name, "broken")).await;
        eventually(&format!("{name}: each of them is tried"), PATIENCE, async || {
            let now = receivers.attempts();
            let tried = now.iter().zip(before).all(|(now, before)| *now > before);
            if tried { Ok(()) } else { Err(format!("{before:?} → {now:?}")) }
        })
        .await;
        if matches!(fault, Fault::Slow(_)) {
            // Longer than a message may take; otherwise the end of the fault would be the answer.
            for sink in SINKS {
                let failed = [("outcome", "failed"), ("sink", sink)];
                operator.metric_when("polywatch_sink_notices_total", &failed, |n| n > 0.0).await;
            }
        }
        receivers.set(Fault::None);
        // A webhook may answer 2xx with whatever it likes, as it is documented; vendors do not answer with pages.
        let hook = usize::from(fault != Fault::Garbage);
        let all = |told: [usize; 3]| told[0] > 0 && told[1] >= hook && told[2] > 0;
        let told = receivers.told_when(name, "it is told", all).await;
        match fault {
            _ if fault.takes() => {
                receivers
                    .told_when(name, "chat and hook hear it once more", |told| told[..2] == [2, 2])
                    .await;
            }
            _ => assert_eq!(told, [1, hook, 1], "{name}: nothing is told twice"),
        }
        let incidents = receivers.pager.seen();
        assert!(incidents.view.incidents.values().all(|incident| incident.opened == 1), "{name}");
    }
    receivers.assert_well_behaved();

    receivers.set(Fault::Refuses);
    cluster.apply_yaml(&map("refused", "refused", "broken")).await;
    for name in SINKS {
        let status =
            sink_when(&cluster, name, "there is a dead letter", |status| status.dead_letters == 1).await;
        assert_eq!(ready(&status), ("False", "DeadLetters"));
        let letter = &status.dead[0];
        assert_eq!((letter.policy.as_str(), letter.reason.as_str()), ("maps", "Opened"));
        assert_eq!(letter.finding, "fine: ConfigMap default/refused");
        assert_eq!(letter.group, "label team=refused");
        operator.metric_when("polywatch_sink_dead", &[("sink", name)], |dead| dead == 1.0).await;
        let dead = [("outcome", "dead"), ("sink", name)];
        operator.metric_when("polywatch_sink_notices_total", &dead, |dead| dead == 1.0).await;
    }
    receivers.set(Fault::None);
    // One is tried again because it is another sink now.
    change_sink(&cluster, "pager", json!({"timeoutSeconds": 2})).await;
    receivers.told_when("refused", "the changed one is told", |told| told == [0, 0, 1]).await;
    sink_when(&cluster, "pager", "it is well", |status| ready(status).0 == "True" && status.dead.is_empty())
        .await;
    operator.metric_when("polywatch_sink_dead", &[("sink", "pager")], |dead| dead == 0.0).await;
    // And the others because there is news of the group.
    cluster.apply_yaml(&map("after", "refused", "broken")).await;
    receivers.told_when("refused", "the others are told", |told| told == [1, 1, 1]).await;
    for name in SINKS {
        sink_when(&cluster, name, "it is well", |status| ready(status).0 == "True").await;
    }
    receivers.assert_well_behaved();
}

#[tokio::test]
async fn who_does_not_answer_delays_nobody_else() {
    let (hangs, fails, works) =
        (CloudEvents::start(None), CloudEvents::start(None), CloudEvents::start(None));
    let (cluster, operator) = start_with_operator().await;
    let path = cluster.dir().state().join("alerts.jsonl");
    let webhook = |receiver: &Receiver<CloudEvents>| json!({"timeoutSeconds": 30, "webhook": {"url": receiver.url(CloudEvents::PATH)}});
    cluster.apply_yaml(&log_sink("file", &path)).await;
    for (name, receiver) in [("hangs", &hangs), ("fails", &fails), ("works", &works)] {
        cluster.apply_yaml(&sink(name, &webhook(receiver))).await;
    }
    hangs.set(Fault::Slow(Duration::from_secs(600)));
    fails.set(Fault::Broken(500));
    let names = ["hangs", "fails", "works", "file"];
    cluster.apply_yaml(&told_policy("maps", &routes(&names, SOON))).await;
    cluster.ready("maps").await;

    for n in 1..=4 {
        cluster.put_map(&format!("map-{n}"), "broken").await;
        cluster.open("maps", n).await;
        let number = usize::try_from(n).expect("a number");
        works.when("who works is told", |seen| seen.view.order.len() == number).await;
        let written = async || match lines(&path).len() {
            len if len == number => Ok(()),
            len => Err(format!("{len} lines")),
        };
        eventually("the file has it", PATIENCE, written).await;
        // It still hangs with the first, and nothing more is sent there meanwhile.
        let seen = hangs.when("it hangs", |seen| seen.attempts > 0).await;
        assert_eq!(seen.attempts, 1);
    }

    // The breaker opens, and everybody can see it.
    let breaker = async |sink, state: f64| {
        operator.metric_when("polywatch_sink_breaker", &[("sink", sink)], |now| now == state).await;
    };
    breaker("fails", 2.0).await;
    for sink in ["hangs", "works", "file"] {
        breaker(sink, 0.0).await;
    }
    let status =
        sink_when(&cluster, "fails", "it fails", |status| ready(status) == ("False", "Failing")).await;
    assert!(status.failures_in_a_row >= 2, "{status:?}");
    let message = &status.conditions[0].message;
    assert!(message.contains("attempts in a row failed") && message.contains("500"), "{message}");
    let policy = cluster
        .status_when("maps", "the policy says so", |status| {
            status.conditions.iter().any(|c| c.type_ == "Notifying" && c.status == "False")
        })
        .await;
    assert_eq!(policy.summary.open_findings, 4);

    // Whoever changes the sink need not wait for the pause to end.
    fails.set(Fault::None);
    let attempts = fails.seen().attempts;
    // Each attempt is a request for each of up to four findings, and after five there is a pause.
    assert!(attempts <= 4 * 6, "it is not flooded: {attempts}");
    change_sink(&cluster, "fails", json!({"timeoutSeconds": 5})).await;
    fails.when("it is told all of it", |seen| seen.view.order.len() == 4).await;
    breaker("fails", 0.0).await;
    sink_when(&cluster, "fails", "it is well", |status| ready(status) == ("True", "Delivering")).await;
    hangs.set(Fault::None);
    hangs.when("it is told the rest", |seen| seen.view.order.len() == 4).await;
    for receiver in [&fails, &works] {
        receiver.assert_no_violations();
        assert_eq!(receiver.seen().view.repeats(), 0);
    }
}
