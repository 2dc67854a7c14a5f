//! The release binary against an API server of ours that sends as fast as polywatch reads: events a second, a million
//! objects, latency under a steady load, growth of memory. `make bench-replay`.
//!
//! | variable | meaning |
//! |---|---|
//! | `POLYWATCH_BIN` | the binary, instead of the one that cargo builds |
//! | `BENCH_OBJECTS` | objects at most, 1,000,000 by default |
//! | `BENCH_EVENTS` | events of a series, 100,000 by default; larger sets of policies get a part of it |
//! | `BENCH_SECONDS` | how long the steady load is held, 60 by default |
//! | `BENCH_PLOTS` | folder of the plots, `target/bench` by default |

// A benchmark that cannot go on ends; and children that die with it need the kernel (`tests/support/process.rs`).
#![allow(missing_docs, unsafe_code, dead_code, clippy::expect_used)]

mod api;
mod ceiling;
#[path = "../../tests/support/process.rs"]
mod child;
mod churn;
mod fit;
#[path = "../../tests/support/http.rs"]
mod http;
mod load;
mod machine;
mod operator;
mod play;
mod plot;
mod pod;
mod policies;
mod server;
mod stage;
mod stream;
#[path = "../support/mod.rs"]
mod support;
mod throughput;
#[path = "../../tests/support/wait.rs"]
mod wait;

use std::env;
use std::path::PathBuf;

use serde_json::{Map, json};

use self::support::summary;

/// What `million_objects_rss_mb` is of.
const MILLION: u32 = 1_000_000;

fn main() {
    if env::args().nth(1).as_deref() == Some(server::ARGUMENT) {
        return server::serve();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(measure());
}

async fn measure() {
    let objects = number("BENCH_OBJECTS", MILLION);
    let events = number("BENCH_EVENTS", 100_000);
    let seconds = number("BENCH_SECONDS", 60);
    let machine = machine::describe();
    println!("{} on {machine}", operator::binary().display());

    let ceiling = ceiling::run(events);
    ceiling::print(&ceiling);
    let throughput = throughput::run(events).await;
    throughput::print(&throughput);
    let churn = churn::run(seconds, objects).await;
    churn::print(&churn);
    let load = load::run(objects).await;
    load::print(&load);

    let mut figures = Map::new();
    figures.insert("events_per_second_core".into(), json!(throughput[0].read.per_core().round()));
    if objects == MILLION {
        figures.insert("million_objects_rss_mb".into(), json!(load.full().resident as f64 / 1e6));
    } else {
        println!("\nmillion_objects_rss_mb is recorded with a million objects only");
    }
    let raw = json!({"machine": machine, "ceiling": ceiling, "throughput": throughput, "churn": churn, "load": load});
    summary::record("replay", figures, raw);
    let plots = env::var_os("BENCH_PLOTS").map_or_else(summary::folder, PathBuf::from);
    plot::all(&plots, &throughput, &churn, &load);
    println!("\n{}/summary.json, and plots in {}", summary::folder().display(), plots.display());
}

fn number(variable: &str, otherwise: u32) -> u32 {
    env::var(variable).map_or(otherwise, |text| text.parse().expect("a number"))
}
