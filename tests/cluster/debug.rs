//! What engineers ask a running operator: state and profiles, when it was started with them.

use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::{Value, json};

use crate::support::{ControlPlane, Operator, PATIENCE, eventually, map_policy};

async fn state(operator: &Operator) -> Result<Value, String> {
    let (status, body) = operator.debug("/debug/state").await.map_err(|e| e.to_string())?;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    Ok(serde_json::from_slice(&body).expect("JSON"))
}

/// A profile, unpacked: names stand in it as they are.
async fn profile(operator: &Operator, path: &str) -> Result<String, String> {
    let (status, body) = operator.debug(path).await.map_err(|e| e.to_string())?;
    assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
    let mut message = Vec::new();
    GzDecoder::new(&*body).read_to_end(&mut message).expect("gzip");
    Ok(String::from_utf8_lossy(&message).into_owned())
}

fn has(profile: &str, name: &str) -> Result<(), String> {
    match profile.contains(name) {
        true => Ok(()),
        false => Err(format!("{name} is missing in a profile of {} bytes", profile.len())),
    }
}

#[tokio::test]
async fn state_and_profiles_tell_what_a_busy_operator_does() {
    let cluster = ControlPlane::start().await;
    cluster.install_crds().await;
    let mut operator = Operator::with(&cluster, &cluster.admin_kubeconfig()).with_debug().start();
    operator.wait_ready().await;
    cluster.apply_yaml(&map_policy("maps")).await;
    let names = || (0..40).map(|n| format!("map-{n}"));
    // 8 MB, of which the heap profile samples one in half of one.
    cluster.put_maps(names(), &"x".repeat(200_000)).await;
    cluster.ready("maps").await;

    eventually("all maps are kept, and nothing waits", PATIENCE, async || {
        let state = state(&operator).await?;
        let watch = &state["watches"][0];
        let policy = &state["policies"][0];
        // Of a namespace there is one map more, of the certificate of the API server.
        let holds = state["leader"] == true
            && watch["objects"].as_u64().is_some_and(|objects| objects >= 40)
            && (&watch["resource"], &watch["namespace"]) == (&json!("configmaps.v1"), &json!("default"))
            && (&watch["readers"][0]["policy"], &watch["readers"][0]["selectedHere"])
                == (&json!("maps"), &json!(false))
            && watch["keeps"].to_string().contains("data.")
            && watch["bytes"].as_u64().is_some_and(|bytes| bytes > 40 * 200_000)
            && watch["state"]["is"] == "Watching"
            && (&policy["name"], &policy["generation"]) == (&json!("maps"), &json!(1))
            && policy["selections"][0]["state"]["is"] == "Watching"
            && state["engine"]["queueLength"] == 0
            && (&state["lists"]["inFlight"], &state["lists"]["limit"]) == (&json!(0), &json!(4));
        if holds { Ok(()) } else { Err(format!("{state:#}")) }
    })
    .await;

    eventually("the heap profile names who keeps objects", PATIENCE, async || {
        has(&profile(&operator, "/debug/pprof/heap").await?, "polywatch::core::store")
    })
    .await;
    let mut turn = 0;
    eventually("the CPU profile names the thread that judges, and what it does", PATIENCE, async || {
        turn += 1;
        let state = turn.to_string().repeat(200_000);
        let recorded = profile(&operator, "/debug/pprof/profile?seconds=1");
        let (profile, ()) = tokio::join!(recorded, cluster.put_maps(names(), &state));
        let profile = profile?;
        has(&profile, "judge")?;
        has(&profile, "polywatch::")
    })
    .await;
}

#[tokio::test]
async fn a_replica_that_waits_says_that_it_does_not_lead_and_debug_is_off_unless_asked_for() {
    let cluster = ControlPlane::start().await;
    cluster.install_crds().await;
    let mut leader = Operator::start(&cluster, &cluster.admin_kubeconfig());
    leader.wait_ready().await;
    leader.metric_when("polywatch_leader", &[], |leads| leads == 1.0).await;
    assert_eq!(leader.get("/debug/state").await.0, 404);
    assert_eq!(leader.get("/debug/pprof/heap").await.0, 404);
    assert!(!leader.log().contains("serving /debug"), "{}", leader.log());

    let mut standby = Operator::with(&cluster, &cluster.admin_kubeconfig()).with_debug().start();
    standby.wait_ready().await;
    let state = state(&standby).await.expect("an answer");
    assert_eq!(state, json!({"leader": false}));
    assert_eq!(standby.get("/debug/state").await.0, 404, "not on the address of the metrics");
}
