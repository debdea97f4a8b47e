//! Rooms that are relayed through GStreamer: what does it add, and what comes too late?

use std::time::{Duration, Instant};

use kith_voip::Rooms;

use crate::{
    forwarding,
    network::{impaired, media_comes},
    participant::{Participant, Sends},
    proxy::Impairment,
    relay::Process,
    table::{Table, percentile},
};

/// The same measurements as without, on a good network.
pub(crate) async fn cost(table: &mut Table) {
    let relay = Process::start(None, &Rooms::All).await;
    forwarding::cost_of(table, &relay, "through GStreamer: ").await;
}

/// A sender whose packets overtake each other by up to 50 ms.
pub(crate) async fn jitter(table: &mut Table) {
    let (proxy, relay) = impaired(&Rooms::All).await;
    let jitter = Duration::from_millis(50);
    proxy.newcomers_have(Impairment { jitter, ..Impairment::NONE });
    let epoch = Instant::now();
    let sends = Sends { audio: true, video: 3, simulcast: false };
    let ann = Participant::join(&relay.url, &relay.token("ann"), sends, epoch).await;
    media_comes(&relay).await;
    proxy.newcomers_have(Impairment::NONE);
    let mut bob = Participant::join(&relay.url, &relay.token("bob"), Sends::NOTHING, epoch).await;
    bob.until(|arrival| !arrival.audio).await;
    let arrivals = bob.arrivals(Duration::from_secs(20)).await;
    let metrics = relay.metrics().await;
    let metric = |name: &str| metrics.get(name).copied().unwrap_or_default();
    let (lost, came) =
        (metric("calls_pipeline_lost_total"), metric("calls_pipeline_seconds_count"));
    let late = 100.0 * lost / (lost + came);
    table.at_most("through GStreamer: too late at 50 ms of jitter", 1.0, late, "%");
    let added = metric("calls_pipeline_seconds_sum") * 1000.0 / came;
    table.at_most("through GStreamer: delay of the jitter buffer, mean", 120.0, added, "ms");
    let millis =
        |arrival: &crate::participant::Arrival| (arrival.at - arrival.sent).as_secs_f64() * 1000.0;
    let mut delays: Vec<f64> = arrivals.iter().map(millis).collect();
    let whole = percentile(&mut delays, 0.99);
    table.at_most("through GStreamer: client to client p99, with the jitter", 170.0, whole, "ms");
    drop(ann);
}
