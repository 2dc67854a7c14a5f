//! What a real API server says of every case of `tests/verdicts/`: each case is a ValidatingAdmissionPolicy, all of
//! them stand at once, and each is asked alone because it is for one user only, whom the request impersonates.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::{Method, Request};
use futures::{StreamExt, stream};
use kube::Client;
use serde_json::{Value, json};

use crate::support::verdicts::truth::{HOW, RECORD, Stored, Truth, plural, settled};
use crate::support::verdicts::{Case, Data, Named, Rule, SAMPLE, Subject, Verdict, load, ours};
use crate::support::{ControlPlane, custom_kind, eventually};

/// Requests under way at once.
const AT_ONCE: usize = 16;
/// Policies that are made, asked and deleted together. Each request is checked against the conditions of all that
/// stand, so that all at once would take far longer.
const BATCH: usize = 200;
/// Batches under way at once: while one waits to be in force, another is asked.
const BATCHES_AT_ONCE: usize = 3;
const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
const BINDINGS: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";
/// All policies are compiled by then, on a machine that compiles other things at the same time.
const IN_FORCE: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_server_says_what_is_recorded() {
    let cluster = ControlPlane::start().await;
    let server = Server { client: cluster.admin().await };
    cluster.apply_yaml(&custom_kind("verdicts", SAMPLE.1, &[("v1", true)])).await;

    let data = load();
    let truth = server.truth(&data).await;
    if std::env::var_os(RECORD).is_some() {
        truth.write();
    }
    let recorded = Truth::read();
    assert_eq!(truth.server, recorded.server, "{HOW}");
    assert_eq!(truth.namespaces, recorded.namespaces, "{HOW}");
    assert_eq!(truth.subjects, recorded.subjects, "{HOW}");
    let mut wrong = Vec::new();
    for case in &data.cases {
        let (now, then) = (truth.verdict(case), recorded.verdict(case));
        if !now.agrees(then) {
            wrong.push(format!("{}: was {then}, is {now}", case.id));
        }
    }
    assert!(wrong.is_empty(), "{HOW}:\n{}", wrong.join("\n"));
    let known: Vec<_> = data.cases.iter().map(|case| &case.id).collect();
    let gone: Vec<_> = recorded.verdicts.keys().filter(|id| !known.contains(id)).collect();
    assert!(gone.is_empty(), "recorded, but no longer asked: {gone:#?}; {HOW}");
}

struct Server {
    client: Client,
}

impl Server {
    async fn truth(&self, data: &Data) -> Truth {
        let version = self.client.apiserver_version().await.unwrap_or_else(|e| panic!("{e}"));
        let mut truth = Truth { server: version.git_version, ..Truth::default() };
        truth.namespaces = self.namespaces(data).await;
        let mut live = BTreeMap::new();
        for case in &data.cases {
            let subject = case.subject.to_string();
            if !live.contains_key(&subject) {
                let stored = self.stored(&case.subject, data).await;
                live.insert(subject.clone(), stored.clone());
                let settle = |object: Option<Value>| object.map(settled);
                let (object, old_object) = (settle(stored.object), settle(stored.old_object));
                truth.subjects.insert(subject, Stored { object, old_object, namespace: None });
            }
        }
        let batches = data.cases.chunks(BATCH).enumerate();
        let asked = stream::iter(batches).map(|(n, cases)| self.verdicts(n, cases, &live));
        let verdicts: Vec<_> = asked.buffered(BATCHES_AT_ONCE).collect().await;
        truth.verdicts = verdicts.into_iter().flatten().collect();
        truth
    }

    /// Asks about the cases of a batch: makes their policies, waits for them, changes the objects, deletes the
    /// policies. Those of another batch may be in force meanwhile, so that no name is used twice.
    async fn verdicts(
        &self,
        batch: usize,
        cases: &[Case],
        live: &BTreeMap<String, Stored>,
    ) -> Vec<(String, Verdict)> {
        let batch = format!("batch{batch}");
        let name = |n: usize| format!("{batch}-{n}");
        let numbered = || (0..).zip(cases).map(|(n, case)| (n, case, &live[&case.subject.to_string()]));
        let creations = stream::iter(numbered()).map(|(n, case, stored)| async move {
            let rejected = self.create(&name(n), case, stored).await;
            if rejected.is_none() && !case.rule.match_conditions.is_empty() {
                assert_eq!(self.create(&reached(&name(n)), &always_false(case), stored).await, None);
            }
            rejected
        });
        let created: Vec<Option<Verdict>> = creations.buffered(AT_ONCE).collect().await;
        self.wait_until_in_force(&name(cases.len()), &cases[0], live).await;
        let asked = stream::iter(numbered().zip(created)).map(|((n, case, stored), rejected)| async move {
            let verdict = match rejected {
                Some(rejected) => rejected,
                None => self.ask(&name(n), &case.subject, stored).await,
            };
            let conditional = verdict == Verdict::Compliant && !case.rule.match_conditions.is_empty();
            let verdict = match conditional {
                true if self.ask(&reached(&name(n)), &case.subject, stored).await == Verdict::Compliant => {
                    Verdict::Skipped
                }
                _ => verdict,
            };
            (case.id.clone(), verdict)
        });
        let verdicts = asked.buffered(AT_ONCE).collect().await;
        for path in [BINDINGS, POLICIES] {
            self.must(Method::DELETE, &format!("{path}?labelSelector=batch={batch}"), &Value::Null).await;
        }
        verdicts
    }

    async fn namespaces(&self, data: &Data) -> BTreeMap<String, Value> {
        for manifest in data.namespaces.values() {
            self.must(Method::POST, "/api/v1/namespaces", manifest).await;
        }
        let mut found = BTreeMap::new();
        for name in data.namespaces.keys().map(String::as_str).chain(["default"]) {
            let path = format!("/api/v1/namespaces/{name}");
            found.insert(name.to_owned(), settled(self.must(Method::GET, &path, &Value::Null).await));
        }
        found
    }

    /// The objects as the server hands them to its policies. What is changed or deleted is created for that.
    async fn stored(&self, subject: &Subject, data: &Data) -> Stored {
        let manifest = |name: &Option<String>| name.as_ref().map(|name| data.objects[name].clone());
        let mut old_object = manifest(&subject.old_object);
        if let Some(old) = &mut old_object {
            *old = match self.send(None, Method::GET, &path(old, true), &Value::Null).await {
                Ok(present) => present,
                Err(_) => self.must(Method::POST, &path(old, false), old).await,
            };
        }
        let mut object = manifest(&subject.object);
        if let Some(new) = &mut object {
            if let Some(old) = &old_object {
                for key in ["name", "namespace", "resourceVersion"] {
                    new["metadata"][key] = old["metadata"][key].clone();
                }
            }
            let (method, path) = change(subject, new);
            *new = self.must(method, &path, new).await;
        }
        Stored { object, old_object, namespace: None }
    }

    /// Makes a policy of a case; the answer is why it cannot be one.
    async fn create(&self, name: &str, case: &Case, stored: &Stored) -> Option<Verdict> {
        let (kind, api_version) = stored.kind();
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        let Rule { expression, message, message_expression, variables, match_conditions } = &case.rule;
        let only =
            Named { name: "only".to_owned(), expression: format!("request.userInfo.username == '{name}'") };
        let labels = json!({"batch": name.split('-').next()});
        let match_conditions: Vec<&Named> = [&only].into_iter().chain(match_conditions).collect();
        let policy = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name, "labels": labels},
            "spec": {
                "matchConstraints": {"resourceRules": [{
                    "apiGroups": [group],
                    "apiVersions": [version],
                    "operations": [case.subject.operation()],
                    "resources": [plural(kind)],
                }]},
                "matchConditions": match_conditions,
                "variables": variables,
                "validations": [{
                    "expression": expression,
                    "message": message.as_deref().unwrap_or(ours::MESSAGE),
                    "messageExpression": message_expression,
                }],
            },
        });
        if let Err(status) = self.send(None, Method::POST, POLICIES, &policy).await {
            assert_eq!(status.code, 422, "{}: {}", case.id, status.message);
            let reason = ["compilation failed: ", "Internal error: ", "must evaluate ", "is invalid: "]
                .iter()
                .find_map(|mark| Some(&status.message[status.message.find(mark)?..]));
            return Some(Verdict::Rejected(reason.unwrap_or(&status.message).to_owned()));
        }
        let binding = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name, "labels": labels},
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        });
        self.must(Method::POST, BINDINGS, &binding).await;
        None
    }

    /// A policy is in force a moment after it was created, and those before it are by then.
    async fn wait_until_in_force(&self, name: &str, case: &Case, live: &BTreeMap<String, Stored>) {
        let rule = Rule { expression: "false".to_owned(), ..Rule::default() };
        let last = Case { rule, ..case.clone() };
        let stored = &live[&last.subject.to_string()];
        assert_eq!(self.create(name, &last, stored).await, None);
        eventually("the last policy is in force", IN_FORCE, async || {
            match self.ask(name, &last.subject, stored).await {
                Verdict::Violation(_) => Ok(()),
                other => Err(other.to_string()),
            }
        })
        .await;
    }

    /// Does to the object what the case is about, as the one user whom the policy is for.
    async fn ask(&self, name: &str, subject: &Subject, stored: &Stored) -> Verdict {
        let body = stored.object.clone().unwrap_or_default();
        let (method, path) =
            change(subject, stored.object.as_ref().or(stored.old_object.as_ref()).unwrap_or(&body));
        let Err(status) = self.send(Some(name), method, &path, &body).await else {
            return Verdict::Compliant;
        };
        let denied = format!("ValidatingAdmissionPolicy '{name}' with binding '{name}' denied request: ");
        let Some((_, message)) = status.message.split_once(&denied) else {
            panic!("{name}: {} {}", status.code, status.message);
        };
        match message.split_once("' resulted in error: ") {
            Some((_, why)) => Verdict::Error(why.to_owned()),
            None => Verdict::Violation(message.to_owned()),
        }
    }

    async fn must(&self, method: Method, path: &str, body: &Value) -> Value {
        let sent = self.send(None, method, path, body).await;
        sent.unwrap_or_else(|status| panic!("{path}: {}", status.message))
    }

    async fn send(
        &self,
        user: Option<&str>,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<Value, Box<kube::core::Status>> {
        let mut request =
            Request::builder().method(method).uri(path).header("Content-Type", "application/json");
        if let Some(user) = user {
            request = request.header("Impersonate-User", user).header("Impersonate-Group", "system:masters");
        }
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = request.body(body).unwrap_or_else(|e| panic!("{path}: {e}"));
        match self.client.request(request).await {
            Ok(answer) => Ok(answer),
            Err(kube::Error::Api(status)) => Err(status),
            // A panic of the API server, as some expressions cause, ends the connection: its log tells.
            Err(other) => panic!("{path}: {other}"),
        }
    }
}

/// A policy that is admitted by only when its match conditions are not met: an object that is skipped looks like
/// one that is compliant.
fn always_false(case: &Case) -> Case {
    let rule = Rule { expression: "false".to_owned(), ..case.rule.clone() };
    Case { rule, ..case.clone() }
}

/// The name of that policy.
fn reached(name: &str) -> String {
    format!("{name}-reached")
}

/// Where an object is, or the collection it is in.
fn path(object: &Value, named: bool) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let api_version = text(&object["apiVersion"]);
    let root = if api_version.contains('/') { "apis" } else { "api" };
    let mut path = format!("/{root}/{api_version}");
    if let Some(namespace) = object["metadata"]["namespace"].as_str() {
        path += &format!("/namespaces/{namespace}");
    }
    path += &format!("/{}", plural(&text(&object["kind"])));
    if named {
        path += &format!("/{}", text(&object["metadata"]["name"]));
    }
    path
}

/// The request that creates, updates or deletes without doing it.
fn change(subject: &Subject, object: &Value) -> (Method, String) {
    let (method, named) = match subject.operation() {
        "CREATE" => (Method::POST, false),
        "UPDATE" => (Method::PUT, true),
        _ => (Method::DELETE, true),
    };
    (method, format!("{}?dryRun=All", path(object, named)))
}
