//! polywatch and what people build by hand, side by side on the same API server: CPU, memory, delay.
//!
//! `make bench-versus` prints a table and writes `target/bench/summary.json`. `BENCH_PODS`, `BENCH_SECONDS` and
//! `BENCH_UPDATES_PER_SECOND` say how much is measured, `POLYWATCH_BIN` which operator.

// Numbers are for people to read; signals have no safe form in the standard library.
#![allow(missing_docs, unsafe_code, clippy::expect_used)]

mod bench;
mod book;
#[path = "../../tests/support/mod.rs"]
mod cluster;
mod contender;
mod fleet;
mod limits;
mod load;
mod machine;
mod measure;
mod pods;
mod programs;
mod results;
mod rules;
mod server;
mod settings;
mod status;
#[path = "../support/mod.rs"]
mod support;
mod table;
mod writer;

use tokio::runtime;

use bench::Bench;
use cluster::ControlPlane;
use limits::Limit;
use results::Results;
use settings::Settings;

fn main() {
    if let Some((limit, kubeconfig)) = limits::asked_for() {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        return runtime.block_on(limits::run(limit, &kubeconfig));
    }
    let runtime = runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let results = runtime.block_on(measure(Settings::from_env()));
    println!("{results}");
    results.record();
}

async fn measure(settings: Settings) -> Results {
    std::fs::create_dir_all(support::summary::folder()).expect("target/bench can be made");
    let machine = machine::describe();
    step("the control plane starts, and pods are created");
    let control_plane = ControlPlane::start().await;
    let mut bench = Bench::prepare(settings, &control_plane).await;
    step("the limits: downloading all pods, and skimming them");
    let limit = |limit| limits::measure(limit, &control_plane.admin_kubeconfig());
    let (list, download, skim) = (limit(Limit::List), limit(Limit::Download), limit(Limit::Skim));
    step("polywatch without a policy");
    let empty = bench.empty().await;
    step("polywatch");
    let polywatch = bench.polywatch().await;
    step("the informer");
    let informer = bench.informer().await;
    step("the informer, dropping managedFields");
    let stripped = bench.stripped().await;
    step("a list every ten seconds");
    let poll = bench.poll().await;
    Results {
        machine,
        pods: bench.fleet.len(),
        mean_pod_bytes: list.bytes as f64 / bench.fleet.len() as f64,
        rate: bench.settings.rate,
        list,
        download,
        skim,
        empty,
        polywatch,
        informer,
        stripped,
        poll,
    }
}

fn step(what: &str) {
    eprintln!("{what}");
}
