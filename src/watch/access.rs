//! What the operator lacks to watch a resource, asked of the API server itself.

use std::time::Duration;

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::Client;
use kube::api::{Api, PostParams};

use super::interest::WatchKey;

/// Verbs that a watch needs: the list may be streamed, but after that or on older servers it is a list.
const VERBS: [&str; 2] = ["list", "watch"];

/// The verbs that are missing, by SelfSubjectAccessReview; all of them when the question is not answered.
pub async fn missing_verbs(client: &Client, key: &WatchKey) -> Vec<&'static str> {
    let mut missing = Vec::new();
    for verb in VERBS {
        if !allowed(client, key, verb).await {
            missing.push(verb);
        }
    }
    if missing.is_empty() { VERBS.to_vec() } else { missing }
}

async fn allowed(client: &Client, key: &WatchKey, verb: &str) -> bool {
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                group: Some(key.group.clone()),
                resource: Some(key.plural.clone()),
                namespace: key.namespace.clone(),
                verb: Some(verb.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let answer =
        tokio::time::timeout(Duration::from_secs(5), api.create(&PostParams::default(), &review)).await;
    matches!(answer, Ok(Ok(review)) if review.status.as_ref().is_some_and(|status| status.allowed))
}

/// What is missing, and the rule that grants it.
pub fn explain(key: &WatchKey, missing: &[&str]) -> String {
    let scope = match &key.namespace {
        Some(namespace) => format!("in namespace {namespace}"),
        None => "in all namespaces".to_owned(),
    };
    let scope = if key.namespaced { scope } else { "at cluster scope".to_owned() };
    let resource = match key.group.as_str() {
        "" => key.plural.clone(),
        group => format!("{}.{group}", key.plural),
    };
    format!(
        "polywatch may not {} {resource} {scope}. Grant it with a ClusterRole that has the label \
         polywatch.dev/aggregate-to-reader: \"true\" and the rule {{apiGroups: [{:?}], resources: [{:?}], \
         verbs: [get, list, watch]}}",
        missing.join(" and "),
        key.group,
        key.plural,
    )
}
