//! Writes Events.

use jiff::Timestamp;
use k8s_openapi::api::events::v1::Event;
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;

use super::super::WRITE_TIMEOUT;
use super::format::{self, Reason, Subject};
use super::owed::Owed;
use crate::api::FIELD_MANAGER;
use crate::core::check::Warnings;
use crate::core::rules::Operation;

/// Why an Event was not written.
#[derive(Debug)]
pub enum WriteError {
    /// The object's namespace is gone or going: nobody could read the Event.
    Useless(&'static str),
    /// The API server will never take this Event.
    Rejected(String),
    /// It may take it later; `refused` if only after somebody did something.
    Failed {
        /// Why.
        error: String,
        /// Whether the operator lacks the right to write it.
        refused: bool,
    },
}

/// Writes Events in the name of this process.
pub struct Writer {
    /// The cluster.
    pub client: Client,
    /// Names this process.
    pub instance: String,
}

impl Writer {
    /// Tells of one finding or occurrence, on its object, if that is there and no group, while it exists on the policy,
    /// and on those objects of its chain that failed.
    /// Returns the Events written.
    pub async fn tell(&self, subject: &Subject, owed: &Owed) -> Result<u64, WriteError> {
        let Owed { reason, finding, occurrence } = owed;
        let (now, reason) = (Timestamp::now(), *reason);
        // What an Event says since before the finding opened was said of an earlier time.
        let news = (reason != Reason::FindingResolved).then_some(finding.since);
        if occurrence.as_ref().is_some_and(|occurrence| occurrence.operation == Operation::Delete) {
            return self.write(format::on_policy(subject, reason, finding, &self.instance, now), news).await;
        }
        if finding.key.group().is_some() {
            // Of a policy that is gone nobody reads Events, and a group has none of its own.
            if !subject.exists {
                return Ok(0);
            }
            return self.write(format::on_policy(subject, reason, finding, &self.instance, now), news).await;
        }
        let on_object =
            self.write(format::on_object(subject, reason, finding, &self.instance, now), news).await;
        // What the object can never have, the policy may have nevertheless.
        if matches!(on_object, Err(WriteError::Failed { .. })) || !subject.exists {
            return on_object;
        }
        let mut written =
            self.write(format::on_policy(subject, reason, finding, &self.instance, now), news).await?;
        for event in format::on_failed(subject, reason, finding, &self.instance, now) {
            match self.write(event, news).await {
                Ok(count) => written += count,
                failed @ Err(WriteError::Failed { .. }) => return failed,
                // Where nobody can read it, those on the finding's object and on the policy do.
                Err(WriteError::Useless(_) | WriteError::Rejected(_)) => {}
            }
        }
        Ok(on_object? + written)
    }

    /// Tells that more is owed than the budget allows.
    pub async fn summarise(&self, subject: &Subject) -> Result<u64, WriteError> {
        self.write(format::summary(subject, &self.instance, Timestamp::now()), None).await
    }

    /// Tells that expressions do not fit the schemas, unless it was told of this generation already. Returns the
    /// Events written.
    pub async fn warn(
        &self,
        subject: &Subject,
        generation: i64,
        warnings: &Warnings,
    ) -> Result<u64, WriteError> {
        match format::warnings(subject, generation, warnings, &self.instance, Timestamp::now()) {
            Some(event) => self.write(event, Some(Timestamp::MIN)).await,
            None => Ok(0),
        }
    }

    /// Creates the Event, or makes it a series when it exists; leaves it when it happened since `news` already,
    /// which is so when an attempt is repeated whose answer was lost.
    async fn write(&self, event: Event, news: Option<Timestamp>) -> Result<u64, WriteError> {
        let namespace = event.metadata.namespace.clone().unwrap_or_default();
        let name = event.metadata.name.clone().unwrap_or_default();
        let api: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        let params = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        match answer(api.create(&params, &event)).await {
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            other => return other.map(|_| 1).map_err(write_error),
        }
        let known = match answer(api.get(&name)).await {
            Ok(known) => known,
            // Expired between the two requests.
            Err(kube::Error::Api(status)) if status.code == 404 => {
                return answer(api.create(&params, &event)).await.map(|_| 1).map_err(write_error);
            }
            Err(error) => return Err(write_error(error)),
        };
        if news.zip(format::last_time(&known)).is_some_and(|(news, last)| last >= news) {
            return Ok(0);
        }
        let count = known.series.as_ref().map_or(1, |series| series.count).saturating_add(1);
        let patch = json!({
            "metadata": {"annotations": event.metadata.annotations},
            "series": {"count": count, "lastObservedTime": event.event_time},
        });
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        answer(api.patch(&name, &params, &Patch::Merge(patch))).await.map(|_| 1).map_err(write_error)
    }
}

async fn answer<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, kube::Error> {
    match tokio::time::timeout(WRITE_TIMEOUT, request).await {
        Ok(result) => result,
        Err(_) => Err(kube::Error::Service(format!("no answer within {} s", WRITE_TIMEOUT.as_secs()).into())),
    }
}

fn write_error(error: kube::Error) -> WriteError {
    let kube::Error::Api(status) = &error else {
        return WriteError::Failed { error: error.to_string(), refused: false };
    };
    match status.code {
        404 => WriteError::Useless("its namespace is gone"),
        403 if status.message.contains("being terminated") => {
            WriteError::Useless("its namespace is being deleted")
        }
        400 | 413 | 422 => WriteError::Rejected(status.message.clone()),
        code => WriteError::Failed {
            error: status.message.clone(),
            refused: (400..500).contains(&code) && !matches!(code, 408 | 409 | 429),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::Method;

    use super::*;
    use crate::core::cel::Position;
    use crate::core::chain::Chain;
    use crate::core::check::Warning;
    use crate::core::fields::Fields;
    use crate::core::finding::{Finding, FindingKey, ObjectId, PolicyKey, Severity};
    use crate::core::tags::Tags;
    use crate::testing::{ApiServer, Reply};

    fn resolved() -> Owed {
        let object = ObjectId {
            api_version: "v1".into(),
            kind: "Pod".into(),
            namespace: Some("going".into()),
            name: "a".into(),
            uid: "u".into(),
        };
        let key = FindingKey { rule: "r".into(), selection: "pods".into(), uid: "u".into() };
        let finding = Finding {
            key,
            severity: Severity::High,
            object,
            message: "m".into(),
            fields: Fields::default(),
            chain: Chain::default(),
            tags: Tags::default(),
            since: Timestamp::UNIX_EPOCH,
            flaps: 0,
        };
        Owed { reason: Reason::FindingResolved, finding: Arc::new(finding), occurrence: None }
    }

    fn subject() -> Subject {
        Subject { name: PolicyKey("p".into()), uid: "policy".into(), exists: true }
    }

    /// Events of the object's namespace get `reply`, those beside the policy are created.
    fn server(reply: Reply) -> ApiServer {
        ApiServer::new(move |asked| match asked.path.contains("/namespaces/going/") {
            true => reply.clone(),
            false => Reply::json(&asked.body),
        })
    }

    #[tokio::test]
    async fn the_policy_gets_its_event_when_the_object_can_have_none() {
        let terminating = "unable to create new content in namespace going because it is being terminated";
        for reply in [
            Reply::error(404, "NotFound", "namespaces \"going\" not found"),
            Reply::error(403, "Forbidden", terminating),
            Reply::error(422, "Invalid", "regarding.name: too long"),
        ] {
            let server = server(reply);
            let writer = Writer { client: server.client(), instance: "test".into() };
            let _ = writer.tell(&subject(), &resolved()).await;
            let asked = server.asked();
            let paths: Vec<&str> = asked.iter().map(|asked| asked.path.as_str()).collect();
            assert_eq!(
                paths,
                [
                    "/apis/events.k8s.io/v1/namespaces/going/events",
                    "/apis/events.k8s.io/v1/namespaces/default/events"
                ]
            );
        }
    }

    #[tokio::test]
    async fn what_may_be_taken_later_is_tried_again_as_a_whole() {
        let server = server(Reply::error(500, "InternalError", "no"));
        let writer = Writer { client: server.client(), instance: "test".into() };
        let told = writer.tell(&subject(), &resolved()).await;
        assert!(matches!(told, Err(WriteError::Failed { refused: false, .. })));
        assert_eq!(server.asked().len(), 1);
    }

    #[tokio::test]
    async fn warnings_that_an_earlier_process_told_of_are_not_told_again() {
        let warning = Warning {
            field: "spec.rules[0].expression".into(),
            rule: None,
            at: Position { line: 1, column: 1 },
            message: "m".into(),
            selections: Vec::new(),
        };
        let warnings = Warnings { listed: vec![warning], omitted: 0 };
        let known = format::warnings(&subject(), 1, &warnings, "earlier", Timestamp::UNIX_EPOCH);
        let server = ApiServer::new(move |asked| match asked.method {
            Method::POST => Reply::error(409, "AlreadyExists", "it exists"),
            _ => Reply::json(&json!(known)),
        });
        let writer = Writer { client: server.client(), instance: "test".into() };
        assert_eq!(writer.warn(&subject(), 1, &warnings).await.expect("nothing fails"), 0);
        let methods: Vec<Method> = server.asked().into_iter().map(|asked| asked.method).collect();
        assert_eq!(methods, [Method::POST, Method::GET]);
    }
}
