//! `make bench-calls`: is the relay as good as was asked for (docs/benchmarks.md)? A relay in a process of its
//! own, clients on loopback: other people's (LiveKit's for Python, `voip/setup-clients.sh`) where quality is
//! judged, ours where packets are counted. Ends with 1 if a gate is missed.
//!
//! A word as argument chooses measurements whose name contains it; behind `loss` another one chooses networks.

mod forwarding;
mod network;
mod participant;
mod people;
mod pipeline;
#[path = "../../tests/calls/proxy.rs"]
#[allow(dead_code, reason = "tests use more of it")]
mod proxy;
mod relay;
#[path = "../../tests/calls/story.rs"]
#[allow(dead_code, reason = "tests use more of it")]
mod story;
mod table;

use std::process::ExitCode;

use table::Table;

#[tokio::main]
async fn main() -> ExitCode {
    // Cargo adds `--bench`.
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let word = arguments.next().unwrap_or_default();
    if word == "relay" {
        relay::serve(arguments).await;
        return ExitCode::SUCCESS;
    }
    let mut table = Table::default();
    table.head();
    let wanted = |name: &str| name.contains(&word);
    if wanted("join") {
        people::join(&mut table).await;
    }
    if wanted("forward") {
        forwarding::cost(&mut table).await;
    }
    if wanted("layers") {
        forwarding::layers(&mut table).await;
    }
    if wanted("keyframes") {
        forwarding::keyframes(&mut table).await;
    }
    if wanted("resume") {
        forwarding::resume(&mut table).await;
    }
    if wanted("sync") {
        people::sync(&mut table).await;
    }
    if wanted("nack") {
        network::recovered(&mut table).await;
    }
    if wanted("loss") {
        network::quality(&mut table, &arguments.next().unwrap_or_default()).await;
    }
    if wanted("pipeline") {
        pipeline::cost(&mut table).await;
        pipeline::jitter(&mut table).await;
    }
    println!(
        "\nNot measured, as it is not built: time to a lower layer when the bandwidth drops (no congestion \
         control towards subscribers)."
    );
    if table.all_met() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
