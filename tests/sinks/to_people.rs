//! The operator and those who tell people: what each of them has of a finding from beginning to end, whose credentials
//! those are, and that nobody can read them anywhere.

use std::io::Read;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::read::GzDecoder;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::delivery::{ready, sink_when, told_policy};
use crate::harness::{
    SOON, map, routes, secret, secret_of_mail, secret_of_pager_duty, secret_of_slack, sink, to_mail,
    to_pager_duty, to_slack, to_webhook,
};
use crate::support::receiver::{CloudEvents, CloudEventsView, IncidentState, PagerDuty, Receiver, Slack};
use crate::support::{ControlPlane, Mail, MailServer, Operator, PATIENCE, eventually};

const SIGNING: &str = "signing-key-5f3e7b11";
/// As long as keys are.
const WRONG_ROUTING: &str = "ffffffffeeeeeeeeddddddddcccccccc";
const WRONG_TOKEN: &str = "not-the-token-4711";
const WRONG_PATH: &str = "/services/T00000000/B00000000/zyxwvutsrqponmlkjihgfedc";
const WRONG_PASSWORD: &str = "incorrect-horse-9";
const WRONG_SIGNING: &str = "another-key-0c8a5f3e";

const SINKS: [&str; 5] = ["app", "channel", "mail", "pager", "webhook"];

struct People {
    app: Receiver<Slack>,
    channel: Receiver<Slack>,
    pager: Receiver<PagerDuty>,
    webhook: Receiver<CloudEvents>,
    mail: MailServer,
}

impl People {
    async fn start() -> People {
        People {
            app: Slack::start(&["alerts"]),
            channel: Slack::start(&["alerts"]),
            pager: PagerDuty::start(),
            webhook: CloudEvents::start(Some(SIGNING.as_bytes())),
            mail: MailServer::start().await,
        }
    }

    fn sinks(&self) -> String {
        let channel = json!({"slack": {"webhookUrl": {"name": "channel", "key": "url"}}});
        [
            ("app", to_slack(&self.app, "#alerts")),
            ("channel", channel),
            ("mail", to_mail(&self.mail)),
            ("pager", to_pager_duty(&self.pager)),
            ("webhook", to_webhook(&self.webhook, "Batched")),
        ]
        .map(|(name, spec)| sink(name, &spec))
        .concat()
    }

    fn right(&self) -> String {
        [
            secret_of_slack(&self.app),
            secret("channel", &[("url", &self.channel.url(Slack::WEBHOOK_PATH))]),
            secret_of_mail(&self.mail),
            secret_of_pager_duty(&self.pager),
            secret("hook", &[("signing", SIGNING)]),
        ]
        .concat()
    }

    fn wrong(&self) -> String {
        [
            secret("chat", &[("token", WRONG_TOKEN)]),
            secret("channel", &[("url", &self.channel.url(WRONG_PATH))]),
            secret("mail", &[("ca.crt", &self.mail.ca()), ("password", WRONG_PASSWORD)]),
            secret("pager", &[("routing", WRONG_ROUTING)]),
            secret("hook", &[("signing", WRONG_SIGNING)]),
        ]
        .concat()
    }

    /// Whatever would let a reader do what only polywatch may do.
    fn credentials(&self) -> Vec<String> {
        let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let plain = [
            self.app.vendor().token().to_owned(),
            last(Slack::WEBHOOK_PATH),
            MailServer::PASSWORD.to_owned(),
            self.pager.vendor().routing_key().to_owned(),
            SIGNING.to_owned(),
            WRONG_ROUTING.to_owned(),
            WRONG_TOKEN.to_owned(),
            last(WRONG_PATH),
            WRONG_PASSWORD.to_owned(),
            WRONG_SIGNING.to_owned(),
        ];
        let login = |password: &str| format!("\0{}\0{password}", MailServer::USER);
        let logins = [login(MailServer::PASSWORD), login(WRONG_PASSWORD)];
        let encoded: Vec<String> =
            plain.iter().chain(&logins).map(|text| BASE64_STANDARD.encode(text)).collect();
        plain.into_iter().chain(encoded).collect()
    }

    fn assert_no_violations(&self) {
        self.app.assert_no_violations();
        self.channel.assert_no_violations();
        self.pager.assert_no_violations();
        self.webhook.assert_no_violations();
    }

    async fn mails(&self, number: usize) -> Vec<Mail> {
        eventually(&format!("{number} mails are there"), PATIENCE, async || {
            let mut mails = self.mail.mails("oncall");
            mails.sort_by_key(|mail| mail.header("Date").map(str::to_owned));
            let subjects: Vec<_> = mails.iter().map(|mail| mail.header("Subject")).collect();
            if mails.len() == number { Ok(()) } else { Err(format!("there are {subjects:?}")) }?;
            Ok(mails)
        })
        .await
    }
}

/// Events in short: what happened, and to which object.
fn events(view: &CloudEventsView) -> Vec<String> {
    let short = |event: &Value| {
        let kind = event["type"].as_str().unwrap_or_default().rsplit('.').next().unwrap_or_default();
        format!("{kind} {}", event["data"]["object"]["name"].as_str().unwrap_or_default())
    };
    view.in_order().map(|delivered| short(&delivered.event)).collect()
}

#[tokio::test]
async fn people_are_told_from_beginning_to_end_with_credentials_as_they_are_now() {
    let people = People::start().await;
    let cluster = ControlPlane::start().await;
    cluster.install_crds().await;
    // So that what libraries log is looked at as well.
    let options = Operator::with(&cluster, &cluster.admin_kubeconfig()).env("RUST_LOG", "debug");
    let mut operator = options.start();
    operator.wait_ready().await;
    cluster.apply_yaml(&people.right()).await;
    cluster.apply_yaml(&people.sinks()).await;
    let by_team = format!("{SOON}, groupBy: [Label], groupByLabels: [team]");
    cluster.apply_yaml(&told_policy("maps", &routes(&SINKS, &by_team))).await;
    cluster.ready("maps").await;

    // From beginning to end.
    cluster.apply_yaml(&map("a", "one", "broken")).await;
    first_opens(&people).await;
    cluster.apply_yaml(&map("b", "one", "broken")).await;
    another_opens(&people).await;
    cluster.apply_yaml(&map("a", "one", "fine")).await;
    cluster.apply_yaml(&map("b", "one", "fine")).await;
    all_is_resolved(&people).await;
    people.assert_no_violations();

    // Credentials that are no good: everything waits, and who has to mend what is said.
    cluster.apply_yaml(&people.wrong()).await;
    cluster.apply_yaml(&map("c", "two", "broken")).await;
    for (name, secret) in SINKS.into_iter().zip(["chat", "channel", "mail", "pager", "hook"]) {
        let status = sink_when(&cluster, name, "its credentials are refused", |status| {
            ready(status) == ("False", "Credentials") && status.owed == 1
        });
        let message = status.await.conditions[0].message.clone();
        // Only who knows how the value got there can mend it.
        assert!(message.contains(secret) || message.contains("give other credentials"), "{message}");
    }
    let refused = cluster
        .status_when("maps", "the policy says so as well", |status| {
            status.conditions.iter().any(|c| c.type_ == "Notifying" && c.status == "False")
        })
        .await;
    assert_eq!(refused.summary.open_findings, 1);
    assert_eq!(people.pager.seen().view.open(), [""; 0]);

    // Mended in place, with no restart and no change of the sink.
    cluster.apply_yaml(&people.right()).await;
    people.app.when("c is told", |seen| seen.view.roots().len() == 2).await;
    people.channel.when("c is told", |seen| mentions(&seen.view, "default/c") == 1).await;
    people.pager.when("c is told", |seen| seen.view.open().len() == 1).await;
    people
        .webhook
        .when("c is told", |seen| events(&seen.view).last().is_some_and(|event| event == "opened c"))
        .await;
    for name in SINKS {
        let status = sink_when(&cluster, name, "it delivers", |status| ready(status).0 == "True").await;
        assert_eq!(ready(&status).1, "Delivering");
        assert!(status.failed > 0 && status.last_error.is_some(), "{status:?}");
        // The status tells of counts only every 30 s.
        operator.metric_when("polywatch_sink_owed", &[("sink", name)], |owed| owed == 0.0).await;
    }
    people.assert_no_violations();
    assert_eq!(operator.exited(), None);
    nobody_can_read(&people.credentials(), &cluster, &operator).await;
}

/// How many messages are about something.
fn mentions(view: &crate::support::receiver::SlackView, what: &str) -> usize {
    view.messages.values().filter(|message| message.text.contains(what)).count()
}

async fn first_opens(people: &People) {
    let seen = people.app.when("the app says it", |seen| seen.view.roots().len() == 1).await;
    assert!(seen.view.roots()[0].text.contains("ConfigMap default/a: it is broken"), "{seen:#?}");
    let seen = people.channel.when("the webhook says it", |seen| seen.view.roots().len() == 1).await;
    assert!(seen.view.roots()[0].by_webhook, "{seen:#?}");
    let seen = people.pager.when("somebody is called", |seen| seen.view.open().len() == 1).await;
    let incident = seen.view.incidents.values().next().expect("an incident");
    assert_eq!((incident.opened, &incident.payload["severity"]), (1, &json!("error")));
    assert_eq!(incident.payload["component"], "ConfigMap default/a");
    people.webhook.when("the webhook has it", |seen| events(&seen.view) == ["opened a"]).await;
    let mail = &people.mails(1).await[0];
    assert_eq!(
        mail.header("Subject"),
        Some("[high] maps / label team one: ConfigMap default/a: it is broken")
    );
    let received = mail.header("Received").expect("the server says how it came");
    assert!(received.contains("esmtpsa"), "encrypted and logged in: {received}");
}

async fn another_opens(people: &People) {
    let root = people.app.seen().view.roots()[0].ts.clone();
    people.app.when("it is a reply", |seen| seen.view.replies(&root).len() == 1).await;
    people.channel.when("it is another message", |seen| seen.view.roots().len() == 2).await;
    let seen = people
        .pager
        .when("the incident has both", |seen| {
            seen.view.incidents.values().any(|incident| incident.triggers == 2)
        })
        .await;
    assert_eq!(seen.view.incidents.values().map(|incident| incident.opened).sum::<u32>(), 1);
    people.webhook.when("the webhook has it", |seen| events(&seen.view) == ["opened a", "opened b"]).await;
    people.mails(2).await;
}

async fn all_is_resolved(people: &People) {
    let root = people.app.seen().view.roots()[0].ts.clone();
    let ends = |text: &str| text.contains("[resolved]");
    people
        .app
        .when("the thread ends", |seen| {
            seen.view.replies(&root).last().is_some_and(|message| ends(&message.text))
        })
        .await;
    assert_eq!(people.app.seen().view.roots().len(), 1, "all of it is in one thread");
    people
        .channel
        .when("the channel has it", |seen| {
            seen.view.roots().last().is_some_and(|message| ends(&message.text))
        })
        .await;
    let seen = people.pager.when("the incident is over", |seen| seen.view.open().is_empty()).await;
    let incident = seen.view.incidents.values().next().expect("an incident");
    assert_eq!(
        (incident.state, incident.opened, incident.resolved, seen.view.idle),
        (IncidentState::Resolved, 1, 1, 0)
    );
    // Whether both go at once or one after the other depends on when they are seen.
    let seen = people.webhook.when("the webhook has it", |seen| events(&seen.view).len() == 4).await;
    let mut resolved = events(&seen.view)[2..].to_vec();
    resolved.sort();
    assert_eq!(resolved, ["resolved a", "resolved b"]);
    assert!(seen.view.in_order().all(|event| event.in_batch && event.times == 1), "{seen:#?}");
    let mails = eventually("the last mail is there", PATIENCE, async || {
        let mails = people.mail.mails("oncall");
        match mails.iter().any(|mail| mail.header("Subject").is_some_and(ends)) {
            true => Ok(mails),
            false => Err(format!("there are {}", mails.len())),
        }
    });
    let mails = mails.await;
    let (first, later): (Vec<&Mail>, Vec<&Mail>) =
        mails.iter().partition(|mail| mail.header("In-Reply-To").is_none());
    assert_eq!(first.len(), 1);
    assert!(later.iter().all(|mail| mail.header("In-Reply-To") == first[0].header("Message-ID")));
}

/// Searches all that the operator writes anywhere.
async fn nobody_can_read(credentials: &[String], cluster: &ControlPlane, operator: &Operator) {
    let mut written = vec![
        ("the log".to_owned(), operator.log()),
        ("/metrics".to_owned(), operator.metrics().await),
        ("/readyz".to_owned(), operator.ready().await.1),
    ];
    for kinds in ["alertsinks,monitorpolicies", "events", "leases"] {
        let objects = cluster.kubectl(&["get", kinds, "-A", "-o", "json", "--show-managed-fields"]).await;
        written.push((kinds.to_owned(), objects));
    }
    let secrets: Api<Secret> = Api::all(cluster.admin().await);
    let ours = ListParams::default().labels("app.kubernetes.io/managed-by=polywatch");
    let mut remembered = 0;
    for secret in secrets.list(&ours).await.expect("Secrets") {
        let name = secret.metadata.name.unwrap_or_default();
        for packed in secret.data.unwrap_or_default().into_values() {
            let mut text = String::new();
            GzDecoder::new(packed.0.as_slice()).read_to_string(&mut text).expect("packed text");
            remembered += 1;
            written.push((name.clone(), text));
        }
    }
    assert!(remembered >= SINKS.len(), "what each sink was told is remembered: {remembered}");
    for (place, text) in &written {
        assert!(!text.is_empty(), "{place}");
        for credential in credentials {
            assert!(!text.contains(credential), "{place} has {credential}");
        }
    }
    assert!(written[0].1.contains("DEBUG"), "the log has more than usual");
}
