//! Crashes, restarts, lost history and floods: nothing is lost, told twice or resolved wrongly.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use polywatch::api::MonitorPolicy;
use polywatch::api::status::{MAX_LISTED_FINDINGS, ResourceState};
use polywatch::record::events::{BURST, REFILL};
use serde_json::json;

use crate::support::{
    ControlPlane, Link, Operator, PATIENCE, condition, custom_kind, eventually, in_state, is, map_policy,
    names, occurrences, offenders, start_with_operator,
};

/// An operator that outlives an API server that is away for longer than the usual lease.
fn patient(cluster: &ControlPlane) -> Operator {
    Operator::with(cluster, &cluster.admin_kubeconfig()).arg("--lease-seconds").arg("300").start()
}

/// An operator whose lease nobody waits for when it is killed.
fn short_lived(cluster: &ControlPlane) -> Operator {
    Operator::with(cluster, &cluster.admin_kubeconfig()).arg("--lease-seconds").arg("3").start()
}

const MAPS: &[(&str, &str)] = &[("resource", "configmaps.v1")];

fn numbered(range: std::ops::Range<u32>) -> impl Iterator<Item = String> {
    range.map(|n| format!("map-{n:04}"))
}

/// How often each Event happened, by its name and what it is about.
fn counts(events: &[Event]) -> BTreeMap<(String, String), i32> {
    let about = |event: &Event| {
        let object = event.regarding.as_ref();
        object.and_then(|o| o.name.clone()).unwrap_or_default()
    };
    let name = |event: &Event| event.metadata.name.clone().unwrap_or_default();
    events.iter().map(|event| ((name(event), about(event)), occurrences(event))).collect()
}

/// The objects of Events, each once; the policies are among them.
fn subjects(counts: &BTreeMap<(String, String), i32>) -> BTreeSet<&str> {
    counts.keys().map(|(_, about)| about.as_str()).collect()
}

/// When findings opened, by object, as Events on the objects tell it.
fn opened_at(events: &[Event]) -> BTreeMap<String, String> {
    let told = events.iter().filter_map(|event| {
        let object = event.regarding.as_ref().filter(|o| o.kind.as_deref() == Some("ConfigMap"))?;
        let since = event.metadata.annotations.as_ref()?.get("polywatch.dev/since")?;
        // The status tells whole seconds.
        let seconds = since.split(['.', 'Z']).next()?;
        Some((object.name.clone()?, format!("{seconds}Z")))
    });
    told.collect()
}

#[tokio::test]
async fn a_killed_operator_goes_on_where_it_was() {
    let cluster = ControlPlane::start().await;
    cluster.install_crds().await;
    cluster.apply_yaml(&map_policy("maps")).await;
    // More than a status lists, all within the budget of Events.
    cluster.put_maps(numbered(0..40), "broken").await;
    let mut operator = short_lived(&cluster);
    operator.wait_ready().await;
    let before = cluster.open("maps", 40).await;
    let told = eventually("all findings are told", PATIENCE, async || {
        let events = cluster.all_events("FindingOpened").await;
        if events.len() == 80 { Ok(events) } else { Err(format!("{} Events", events.len())) }
    })
    .await;
    let opened = opened_at(&told);
    assert_eq!(opened.len(), 40);
    let policies: Api<MonitorPolicy> = Api::all(cluster.admin().await);
    let changed_at = |status: &polywatch::api::MonitorPolicyStatus| {
        let ready = status.conditions.iter().find(|c| c.type_ == "Ready");
        ready.map(|c| c.last_transition_time.clone()).expect("a condition")
    };
    let ready_since = changed_at(&before);
    operator.kill_hard();

    // While nobody looks: all that the status lists is mended, but for one that is deleted; another breaks.
    let listed: Vec<String> =
        before.findings.iter().map(|f| f.resource.as_ref().expect("an object").name.clone()).collect();
    assert_eq!(listed.len(), MAX_LISTED_FINDINGS);
    let (deleted, mended) = listed.split_first().expect("not empty");
    cluster.put_maps(mended.iter().cloned(), "fine").await;
    cluster.kubectl(&["delete", "configmap", deleted]).await;
    eventually("another second has begun since the findings opened", PATIENCE, async || {
        let now = jiff::Timestamp::now().to_string();
        match opened.values().all(|since| since[..19] < now[..19]) {
            true => Ok(()),
            false => Err(format!("it is {now}")),
        }
    })
    .await;
    cluster.put_map("late", "broken").await;

    let mut operator = short_lived(&cluster);
    operator.wait_ready().await;
    let after = cluster.open("maps", 21).await;
    assert_eq!(after.findings_omitted, 1);
    for finding in &after.findings {
        let name = &finding.resource.as_ref().expect("an object").name;
        assert_eq!(Some(&finding.since), opened.get(name), "{name} opened when it did");
    }
    assert_eq!(changed_at(&after), ready_since, "the policy was ready all the time");

    // Events of one policy are written in order: when these are there, nothing earlier is owed.
    cluster.event("ConfigMap", "late", "FindingOpened", 1).await;
    for name in &listed {
        cluster.event("ConfigMap", name, "FindingResolved", 1).await;
    }
    cluster.put_map("later", "broken").await;
    cluster.event("ConfigMap", "later", "FindingOpened", 1).await;
    let told = counts(&told);
    let told_after = counts(&cluster.all_events("FindingOpened").await);
    for (event, times) in &told {
        assert_eq!(told_after.get(event), Some(times), "{event:?} is not told again");
    }
    assert_eq!(told_after.len(), told.len() + 4, "two findings opened, each told in two places");
    let resolved = counts(&cluster.all_events("FindingResolved").await);
    let expected: BTreeSet<&str> = listed.iter().map(String::as_str).chain(["maps"]).collect();
    assert_eq!(subjects(&resolved), expected);
    assert_eq!(resolved.len(), 40);

    // Once more, with nothing changed meanwhile: nothing is written at all.
    let settled = cluster.open("maps", 22).await;
    operator.kill_hard();
    let mut operator = short_lived(&cluster);
    operator.wait_listening().await;
    operator.metric_when("polywatch_cache_objects", MAPS, |n| n > 0.0).await;
    operator.metric_when("polywatch_watches_running", &[], |n| n == 1.0).await;
    cluster.apply_yaml(&map_policy("marker")).await;
    cluster.open("marker", 22).await;
    let status = policies.get("maps").await.expect("the policy").status;
    assert_eq!(status.as_ref(), Some(&settled));
    assert_eq!(counts(&cluster.all_events("FindingResolved").await), resolved);
}

/// Two rules on the maps, of which the second has this name.
fn two_rules(second: &str) -> String {
    format!(
        "{}  - {{name: {second}, expression: object.?data.?state.orValue('') != 'broken', message: broken}}\n",
        map_policy("edited")
    )
}

#[tokio::test]
async fn a_policy_that_was_edited_while_the_operator_was_down_keeps_the_findings_of_its_old_rules() {
    let cluster = ControlPlane::start().await;
    cluster.install_crds().await;
    cluster.apply_yaml(&two_rules("old")).await;
    cluster.put_map("one", "broken").await;
    let mut operator = short_lived(&cluster);
    operator.wait_ready().await;
    let before = cluster.open("edited", 2).await;
    let opened = eventually("both are told", PATIENCE, async || {
        let events = cluster.events("ConfigMap", "one", "FindingOpened").await;
        if events.len() == 2 { Ok(events) } else { Err(format!("{events:?}")) }
    })
    .await;
    operator.kill_hard();

    cluster.apply_yaml(&two_rules("new")).await;
    let mut operator = short_lived(&cluster);
    operator.wait_ready().await;
    let after = cluster.open("edited", 2).await;
    let of = |status: &polywatch::api::MonitorPolicyStatus, rule: &str| {
        status.findings.iter().find(|f| f.rule == rule).cloned()
    };
    assert_eq!(of(&after, "not-broken"), of(&before, "not-broken"));
    assert!(of(&after, "old").is_none() && of(&after, "new").is_some(), "{after:?}");
    // The Event of the rule that is gone, and nothing else, says that it resolved.
    let resolved = cluster.event("ConfigMap", "one", "FindingResolved", 1).await;
    assert!(resolved.note.as_deref().unwrap_or_default().contains("rule old"), "{resolved:?}");
    let told = counts(&cluster.events("ConfigMap", "one", "FindingOpened").await);
    assert_eq!(told.len(), 3, "one for each rule that there was");
    assert!(counts(&opened).keys().all(|event| told.get(event) == Some(&1)), "{told:?}");
}

#[tokio::test]
async fn an_operator_waits_for_the_api_server_and_for_its_crds() {
    let mut cluster = ControlPlane::start().await;
    cluster.put_map("one", "broken").await;
    cluster.stop_apiserver();
    let mut operator = short_lived(&cluster);
    operator.wait_listening().await;
    operator.metric_when("polywatch_errors_total", &[("kind", "policy_watch")], |n| n >= 4.0).await;
    operator.metric_when("polywatch_errors_total", &[("kind", "lease")], |n| n >= 8.0).await;
    let (status, reason) = operator.ready().await;
    assert_eq!((status, reason.starts_with("policies can not be read: ")), (503, true), "{reason}");
    assert_eq!(operator.get("/healthz").await.0, 200, "no reason to restart it");
    let log = operator.log();
    let warnings = log.matches(r#""level":"WARN""#).count() + log.matches(r#""level":"ERROR""#).count();
    assert!(warnings <= 4, "{warnings} warnings about one thing");

    cluster.start_apiserver().await;
    eventually("it says what is missing", PATIENCE, async || match operator.ready().await {
        (503, reason) if reason.contains("kubectl apply -k crds") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert_eq!(operator.get("/healthz").await.0, 200);

    cluster.kubectl(&["apply", "-k", concat!(env!("CARGO_MANIFEST_DIR"), "/crds")]).await;
    operator.wait_ready().await;
    cluster.apply_yaml(&map_policy("maps")).await;
    cluster.open("maps", 1).await;
}

#[tokio::test]
async fn a_restart_of_the_api_server_loses_and_doubles_nothing() {
    let mut cluster = ControlPlane::start().await;
    cluster.install_crds().await;
    let mut operator = patient(&cluster);
    operator.wait_ready().await;
    cluster.apply_yaml(&map_policy("maps")).await;
    cluster.put_maps(numbered(0..3), "broken").await;
    let before = cluster.open("maps", 3).await;
    for name in numbered(0..3) {
        cluster.event("ConfigMap", &name, "FindingOpened", 1).await;
    }

    // Twice: what is only mended by chance does not last.
    for round in ["first", "second"] {
        cluster.stop_apiserver();
        operator.metric_when("polywatch_watches_running", &[], |n| n == 0.0).await;
        eventually("it says that it can not read policies", PATIENCE, async || {
            match operator.ready().await {
                (503, _) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        assert_eq!(operator.get("/healthz").await.0, 200);

        cluster.start_apiserver().await;
        // Nothing changes in the cluster: being connected must do.
        operator.wait_ready().await;
        operator.metric_when("polywatch_watches_running", &[], |n| n == 1.0).await;
        let status = cluster.open("maps", if round == "first" { 3 } else { 4 }).await;
        for finding in &before.findings {
            assert!(status.findings.contains(finding), "{finding:?} is still open");
        }
        cluster.put_map(round, "broken").await;
        cluster.event("ConfigMap", round, "FindingOpened", 1).await;
    }
    cluster.open("maps", 5).await;
    cluster.kubectl(&["delete", "configmap", "map-0000"]).await;
    cluster.open("maps", 4).await;
    cluster.event("ConfigMap", "map-0000", "FindingResolved", 1).await;
    let told = counts(&cluster.all_events("FindingOpened").await);
    assert_eq!((told.len(), told.values().sum::<i32>()), (10, 10), "{told:?}");
    assert_eq!(cluster.all_events("FindingResolved").await.len(), 2);
}

#[tokio::test]
async fn a_network_that_was_cut_is_taken_up_where_it_broke() {
    let cluster = ControlPlane::start().await;
    cluster.install_crds().await;
    let link = Link::to(&cluster);
    let mut operator = Operator::with(&cluster, &link.kubeconfig).arg("--lease-seconds").arg("300").start();
    operator.wait_ready().await;
    cluster.apply_yaml(&map_policy("maps")).await;
    cluster.put_maps(numbered(0..2), "broken").await;
    cluster.open("maps", 2).await;
    // What was never told need not be taken back.
    for map in ["map-0000", "map-0001"] {
        cluster.event("ConfigMap", map, "FindingOpened", 1).await;
    }
    let resyncs = operator.metric("polywatch_resyncs_total", MAPS).await;

    for round in 0..2 {
        link.cut();
        operator.metric_when("polywatch_watches_running", &[], |n| n == 0.0).await;
        eventually("it says that it can not read policies", PATIENCE, async || {
            match operator.ready().await {
                (503, _) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        if round == 1 {
            cluster.kubectl(&["delete", "configmap", "map-0000"]).await;
            cluster.put_map("new", "broken").await;
        }
        link.mend();
        // In the first round nothing has changed: being connected must do.
        operator.wait_ready().await;
        operator.metric_when("polywatch_watches_running", &[], |n| n == 1.0).await;
    }
    cluster.event("ConfigMap", "map-0000", "FindingResolved", 1).await;
    cluster.event("ConfigMap", "new", "FindingOpened", 1).await;
    let expected = names(["default/map-0001", "default/new"]);
    cluster.status_when("maps", "it has both changes", |status| offenders(status) == expected).await;
    let now = operator.metric("polywatch_resyncs_total", MAPS).await;
    assert_eq!(now, resyncs, "what happened meanwhile is asked for, not everything");
}

/// Says that another server, which does not exist, serves the group of an APIService. The API server cares for
/// those that have the label.
const ELSEWHERE: &str = r#"{
    "metadata": {"labels": {"kube-aggregator.kubernetes.io/automanaged": null}},
    "spec": {"service": {"name": "nobody", "namespace": "default"}, "insecureSkipTLSVerify": true}
}"#;

#[tokio::test]
async fn a_kind_that_does_not_answer_any_more_is_stale_and_keeps_its_findings() {
    let cluster = ControlPlane::start().await;
    cluster.install_crds().await;
    cluster.apply_yaml(&custom_kind("away", "Parcel", &[("v1", true)])).await;
    // Watches are asked for again every second, as otherwise every few minutes.
    let mut operator =
        Operator::with(&cluster, &cluster.admin_kubeconfig()).arg("--watch-seconds").arg("1").start();
    operator.wait_ready().await;
    let parcel = |state: &str| {
        format!("{{apiVersion: away.example.io/v1, kind: Parcel, metadata: {{name: one}}, state: {state}}}")
    };
    cluster.apply_yaml(&parcel("broken")).await;
    cluster
        .apply_yaml(
            "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: parcels}
spec:
  resources: [{name: parcels, apiVersion: away.example.io/v1, kind: Parcel}]
  rules: [{name: not-broken, expression: object.state != 'broken'}]
",
        )
        .await;
    let before = cluster.open("parcels", 1).await;

    cluster.kubectl(&["patch", "apiservice", "v1.away.example.io", "--type=merge", "-p", ELSEWHERE]).await;
    let stale =
        cluster.status_when("parcels", "it is stale", |s| in_state(s, "parcels", ResourceState::Stale)).await;
    let (status, reason, message) = condition(&stale, "Ready");
    assert_eq!((status, reason), ("False", "Stale"));
    assert!(message.contains("not connected since 20"), "{message}");
    assert_eq!(stale.findings, before.findings, "not known to be mended");

    cluster.kubectl(&["delete", "apiservice", "v1.away.example.io"]).await;
    let after = cluster.open("parcels", 1).await;
    assert_eq!(after.findings, before.findings);
    cluster.apply_yaml(&parcel("fine")).await;
    cluster.open("parcels", 0).await;
    cluster.event("Parcel", "one", "FindingOpened", 1).await;
}

/// A group whose own server does not exist.
const NOWHERE: &str = "
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.nowhere.example.io}
spec:
  group: nowhere.example.io
  version: v1
  groupPriorityMinimum: 100
  versionPriority: 10
  insecureSkipTLSVerify: true
  service: {name: nobody, namespace: default}
";

#[tokio::test]
async fn a_kind_whose_server_does_not_answer_does_not_pass_for_one_that_is_not_installed() {
    let cluster = ControlPlane::start().await;
    cluster.install_crds().await;
    cluster.apply_yaml(NOWHERE).await;
    let mut operator = patient(&cluster);
    operator.wait_ready().await;
    cluster
        .apply_yaml(
            "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: things}
spec:
  resources:
  - {name: things, apiVersion: nowhere.example.io/v1, kind: Thing}
  - {name: missing, apiVersion: apps/v1, kind: Missing}
  rules: [{name: any, expression: 'true'}]
",
        )
        .await;
    let status = cluster
        .status_when("things", "what is served has been read", |status| {
            in_state(status, "missing", ResourceState::NotInstalled)
        })
        .await;
    assert!(in_state(&status, "things", ResourceState::Syncing), "{:?}", status.resources);
    assert_eq!(condition(&status, "Compliant").0, "Unknown");
    cluster.kubectl(&["delete", "apiservice", "v1.nowhere.example.io"]).await;
    cluster
        .status_when("things", "it is not installed", |s| in_state(s, "things", ResourceState::NotInstalled))
        .await;
}

#[tokio::test]
async fn what_happened_in_a_history_that_was_compacted_is_noticed() {
    let mut cluster = ControlPlane::start().await;
    cluster.install_crds().await;
    let mut operator = patient(&cluster);
    operator.wait_ready().await;
    cluster.apply_yaml(&map_policy("maps")).await;
    cluster.put_maps(numbered(0..3), "broken").await;
    cluster.open("maps", 3).await;
    for name in numbered(0..3) {
        cluster.event("ConfigMap", &name, "FindingOpened", 1).await;
    }
    let resyncs = operator.metric_when("polywatch_resyncs_total", MAPS, |n| n >= 1.0).await;

    // It stands still, as when its node is out of breath. The first restart breaks its connections, which else
    // would hold the changes ready for it; with the second, the history that it missed is gone.
    operator.pause();
    cluster.restart_apiserver().await;
    cluster.kubectl(&["delete", "configmap", "map-0000"]).await;
    cluster.put_map("map-0001", "fine").await;
    cluster.put_map("new", "broken").await;
    cluster.stop_apiserver();
    cluster.compact_etcd().await;
    cluster.start_apiserver().await;
    operator.resume();

    operator.metric_when("polywatch_resyncs_total", MAPS, |n| n > resyncs).await;
    let status = cluster
        .status_when("maps", "it knows what happened", |status| {
            is(status, "Ready", "True") && offenders(status) == names(["default/map-0002", "default/new"])
        })
        .await;
    assert_eq!(status.summary.objects, 3);
    cluster.event("ConfigMap", "new", "FindingOpened", 1).await;
    cluster.event("ConfigMap", "map-0000", "FindingResolved", 1).await;
    cluster.event("ConfigMap", "map-0001", "FindingResolved", 1).await;
    let told = counts(&cluster.all_events("FindingOpened").await);
    assert_eq!((told.len(), told.values().sum::<i32>()), (8, 8), "{told:?}");
    assert_eq!(cluster.all_events("FindingResolved").await.len(), 4);
}

#[tokio::test]
async fn five_thousand_findings_at_once_are_counted_and_flood_nobody() {
    const MANY: u32 = 5000;
    let (cluster, operator) = start_with_operator().await;
    cluster.put_maps(numbered(0..MANY), "broken").await;

    let start = Instant::now();
    let writes = async || {
        let writes = operator.metric("polywatch_status_writes_total", &[]).await;
        writes.expect("the counter is there")
    };
    cluster.apply_yaml(&map_policy("maps")).await;
    let status = cluster.open("maps", MANY.into()).await;
    assert_eq!(status.summary.objects, i64::from(MANY));
    assert_eq!(status.findings.len(), MAX_LISTED_FINDINGS);
    assert_eq!(status.findings_omitted, i64::from(MANY) - MAX_LISTED_FINDINGS as i64);
    assert_eq!(status.rules[0].open, i64::from(MANY));
    assert_eq!(
        operator.metric("polywatch_findings", &[("policy", "maps"), ("severity", "medium")]).await,
        Some(MANY.into())
    );
    let size = serde_json::to_string(&status).expect("JSON").len();
    assert!(size < 16 * 1024, "the status has {size} bytes");

    cluster.event("MonitorPolicy", "maps", "EventsHeldBack", 1).await;
    operator
        .metric_when("polywatch_kubernetes_events_held_back", &[("policy", "maps")], |n| {
            (MANY - BURST - 10..=MANY - BURST).contains(&(n as u32))
        })
        .await;
    let told = cluster.all_events("FindingOpened").await.len();
    let allowed =
        |elapsed: Duration| 2 * (BURST as usize + (elapsed.as_secs() / REFILL.as_secs()) as usize + 1);
    assert!((2 * BURST as usize..=allowed(start.elapsed())).contains(&told), "{told} Events");

    cluster.put_maps(numbered(0..MANY), "fine").await;
    let status = cluster.open("maps", 0).await;
    assert_eq!(condition(&status, "Compliant").0, "True");
    let written = writes().await;
    let most = start.elapsed().as_secs_f64() + 2.0;
    assert!((2.0..=most).contains(&written), "{written} status writes in {most} s");

    // Nothing changes for this policy while another one's finding opens and resolves again and again.
    let policies: Api<MonitorPolicy> = Api::all(cluster.admin().await);
    let version = async || policies.get("maps").await.expect("the policy").metadata.resource_version;
    let quiet = version().await;
    let accounts = map_policy("accounts")
        .replace("ConfigMap", "ServiceAccount")
        .replace("object.?data.?state", "object.metadata.?labels.?state");
    cluster.apply_yaml(&accounts).await;
    for (state, open) in [("broken", 1), ("fine", 0), ("broken", 1)] {
        let account = format!(
            "{{apiVersion: v1, kind: ServiceAccount, metadata: {{name: one, labels: {{state: {state}}}}}}}"
        );
        cluster.apply_yaml(&account).await;
        cluster.open("accounts", open).await;
    }
    assert_eq!(version().await, quiet, "nobody writes what did not change");

    // All Events of the flood and of its end, whatever it took.
    let told =
        cluster.all_events("FindingOpened").await.len() + cluster.all_events("FindingResolved").await.len();
    let most = allowed(start.elapsed()) + 6;
    assert!(told <= most, "{told} Events, at most {most} are allowed");
}

/// Sets the expression of the policy's only rule.
async fn edit(policies: &Api<MonitorPolicy>, name: &str, expression: &str) {
    let rules = json!([{"name": "not-broken", "expression": expression, "message": "the map is broken"}]);
    let patch = json!({"spec": {"rules": rules}});
    let edited = policies.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
    edited.unwrap_or_else(|e| panic!("cannot edit {name}: {e}"));
}

#[tokio::test]
async fn policies_come_go_and_change_without_disturbing_each_other() {
    let (cluster, operator) = start_with_operator().await;
    let policies: Api<MonitorPolicy> = Api::all(cluster.admin().await);
    cluster.put_maps(numbered(0..100), "fine").await;
    cluster.apply_yaml(&map_policy("steady")).await;
    cluster.open("steady", 0).await;
    let resyncs = operator.metric("polywatch_resyncs_total", MAPS).await;

    // Edited many times a second; the last edit counts, and the neighbour sees every change meanwhile.
    cluster.apply_yaml(&map_policy("edited")).await;
    for round in 0..4 {
        for n in 0..25 {
            edit(&policies, "edited", &format!("object.metadata.name != 'map-00{n:02}'")).await;
        }
        cluster.put_map("one", if round % 2 == 0 { "broken" } else { "fine" }).await;
        cluster.open("steady", 1 - round % 2).await;
    }
    let status = cluster.open("edited", 1).await;
    assert_eq!(offenders(&status), names(["default/map-0024"]));
    assert_eq!(status.observed_generation, Some(101), "each of the edits was a generation");

    // Deleted: the other one goes on with the same stream.
    policies.delete("edited", &DeleteParams::default()).await.expect("it is there");
    cluster.put_map("one", "broken").await;
    cluster.open("steady", 1).await;
    assert_eq!(operator.metric("polywatch_resyncs_total", MAPS).await, resyncs, "one stream for both");
    eventually("nothing is told of a policy that is gone", PATIENCE, async || {
        match operator.metric("polywatch_findings", &[("policy", "edited")]).await {
            None => Ok(()),
            Some(value) => Err(format!("it has {value} findings")),
        }
    })
    .await;

    // Suspended, the policy says nothing; resumed, it knows what happened meanwhile.
    let suspend = async |value: bool| {
        let patch = Patch::Merge(json!({"spec": {"suspend": value}}));
        let patched = policies.patch("steady", &PatchParams::default(), &patch).await;
        patched.expect("the policy is there");
    };
    suspend(true).await;
    let status =
        cluster.status_when("steady", "it is suspended", |s| condition(s, "Ready").1 == "Suspended").await;
    assert_eq!((status.summary.open_findings, condition(&status, "Compliant").0), (0, "Unknown"));
    operator.metric_when("polywatch_watches_running", &[], |n| n == 0.0).await;
    cluster.put_map("two", "broken").await;
    cluster.kubectl(&["delete", "configmap", "one"]).await;
    suspend(false).await;
    let status = cluster.open("steady", 1).await;
    assert_eq!(offenders(&status), names(["default/two"]));

    // Another in place of one of the same name gets a status and Events of its own.
    let quiet = map_policy("quiet").replace("'broken'", "'never'");
    cluster.apply_yaml(&quiet).await;
    cluster.open("quiet", 0).await;
    let first_uid = policies.get("steady").await.expect("it is there").metadata.uid;
    let yaml = map_policy("steady");
    cluster.event("ConfigMap", "two", "FindingOpened", 1).await;
    // It sees both at once: the moment without a policy is easily missed.
    operator.pause();
    for yaml in [&yaml, &quiet] {
        cluster.delete_yaml(yaml).await;
        cluster.apply_yaml(yaml).await;
    }
    operator.resume();
    cluster.open("quiet", 0).await;
    let second_uid = policies.get("steady").await.expect("it is there").metadata.uid;
    assert_ne!(first_uid, second_uid);
    cluster.open("steady", 1).await;
    eventually("the new policy has an Event of its own", PATIENCE, async || {
        let events = cluster.events("MonitorPolicy", "steady", "FindingOpened").await;
        let own = |event: &Event| event.regarding.as_ref().is_some_and(|r| r.uid == second_uid);
        if events.iter().any(own) { Ok(()) } else { Err(format!("{events:?}")) }
    })
    .await;

    // Deleted while its stream syncs, again and again: nothing is left of it.
    let watched = operator.metric("polywatch_watches_wanted", &[]).await;
    for n in 0..10 {
        let yaml = map_policy(&format!("brief-{n}")).replace("ConfigMap", "Secret");
        cluster.apply_yaml(&yaml).await;
        cluster.delete_yaml(&yaml).await;
    }
    cluster.apply_yaml(&map_policy("last")).await;
    cluster.open("last", 1).await;
    operator.metric_when("polywatch_watches_wanted", &[], |n| Some(n) == watched).await;
    operator.metric_when("polywatch_cache_objects", &[("resource", "secrets.v1")], |n| n == 0.0).await;
    cluster.put_map("two", "fine").await;
    cluster.open("steady", 0).await;
    let log = operator.log();
    assert!(!log.contains("panicked"), "{log}");
}
