//! What tests of delivery have in common: sinks of every kind, their Secrets, and policies that name them.

use kube::Api;
use kube::api::{Patch, PatchParams};
use polywatch::api::AlertSink;
use serde_json::{Value, json};

use crate::support::receiver::{CloudEvents, PagerDuty, Receiver, Slack};
use crate::support::{Alertmanager, ControlPlane, MailServer};

/// Times of a route with which a test need not wait. What is wrong already is told like anything else.
pub const SOON: &str = "groupWait: 1s, groupInterval: 1s, onFirstSync: Each";

/// An AlertSink as YAML, one document of several.
pub fn sink(name: &str, spec: &Value) -> String {
    let object = json!({
        "apiVersion": "polywatch.dev/v1alpha1",
        "kind": "AlertSink",
        "metadata": {"name": name},
        "spec": spec,
    });
    format!("{object}\n---\n")
}

/// A Secret in the operator's namespace as YAML, one document of several.
pub fn secret(name: &str, values: &[(&str, &str)]) -> String {
    let data: serde_json::Map<String, Value> =
        values.iter().map(|(key, value)| (key.to_string(), json!(value))).collect();
    let object = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": "default"},
        "stringData": data,
    });
    format!("{object}\n---\n")
}

/// Routes to sinks, all with the same further fields, for [`told_policy`](super::delivery::told_policy).
pub fn routes(sinks: &[&str], fields: &str) -> String {
    let routes: Vec<String> = sinks.iter().map(|sink| format!("{{sink: {sink}, {fields}}}")).collect();
    format!("[{}]", routes.join(", "))
}

/// The spec of a sink for an Alertmanager. It is told again every ten seconds, the least that there may be.
pub fn to_alertmanager(receiver: &Alertmanager) -> Value {
    json!({"alertmanager": {"urls": [receiver.url()], "resendInterval": "10s"}})
}

/// The spec of a sink for PagerDuty, with a key of the Secret `pager`.
pub fn to_pager_duty(receiver: &Receiver<PagerDuty>) -> Value {
    json!({"pagerDuty": {"routingKey": {"name": "pager", "key": "routing"}, "url": receiver.url("")}})
}

/// The spec of a sink for Slack as an app, with a key of the Secret `chat`.
pub fn to_slack(receiver: &Receiver<Slack>, channel: &str) -> Value {
    json!({"slack": {
        "token": {"name": "chat", "key": "token"},
        "channel": channel,
        "apiUrl": receiver.url(Slack::API_PATH),
    }})
}

/// The spec of a sink for a webhook, signed with a key of the Secret `hook`.
pub fn to_webhook(receiver: &Receiver<CloudEvents>, mode: &str) -> Value {
    json!({"webhook": {
        "url": receiver.url(CloudEvents::PATH),
        "mode": mode,
        "signingKey": {"name": "hook", "key": "signing"},
    }})
}

/// The spec of a sink for mail, with keys of the Secret `mail`.
pub fn to_mail(server: &MailServer) -> Value {
    json!({"email": {
        "host": MailServer::HOST,
        "port": server.port(),
        "ca": {"name": "mail", "key": "ca.crt"},
        "auth": {"username": MailServer::USER, "password": {"name": "mail", "key": "password"}},
        "from": "Alerts <alerts@mail.test>",
        "to": ["oncall@mail.test"],
    }})
}

/// The Secret that [`to_pager_duty`] names, with the right key.
pub fn secret_of_pager_duty(receiver: &Receiver<PagerDuty>) -> String {
    secret("pager", &[("routing", receiver.vendor().routing_key())])
}

/// The Secret that [`to_slack`] names, with the right token.
pub fn secret_of_slack(receiver: &Receiver<Slack>) -> String {
    secret("chat", &[("token", receiver.vendor().token())])
}

/// The Secret that [`to_mail`] names, with the right password.
pub fn secret_of_mail(server: &MailServer) -> String {
    secret("mail", &[("ca.crt", &server.ca()), ("password", MailServer::PASSWORD)])
}

/// Changes the spec of a sink, so that it has another generation.
pub async fn change_sink(cluster: &ControlPlane, name: &str, spec: Value) {
    let sinks: Api<AlertSink> = Api::all(cluster.admin().await);
    let patch = json!({"spec": spec});
    let changed = sinks.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await;
    changed.unwrap_or_else(|e| panic!("cannot change the sink {name}: {e}"));
}

/// A ConfigMap with a label `team`, as YAML.
pub fn map(name: &str, team: &str, state: &str) -> String {
    let object = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"team": team}},
        "data": {"state": state},
    });
    object.to_string()
}
