//! Rooms that are relayed through GStreamer: the same calls, each packet through a jitter buffer.

use std::time::Duration;

use kith_voip::Rooms;

use crate::{
    proxy::{Impairment, Proxy},
    server::Server,
    story::{assert_story, python},
};

const CAME_OUT: &str = "calls_pipeline_seconds_count";

async fn call(encryption: &str) -> Server {
    let rooms = Rooms::Named(["call".to_owned()].into());
    let server = Server::with(|config| config.through_pipeline = rooms).await;
    let [ann, bob, cid] = ["ann", "bob", "cid"].map(|identity| server.token(identity));
    let seen = python("call.py", &[&server.url, &ann, &bob, &cid, "VP8", encryption]).await;
    assert_story(&seen, &["picture", "sound", "answer", "late joiner", "data", "left"]);
    server
}

#[tokio::test]
async fn people_see_and_hear_each_other_through_gstreamer() {
    let server = call("plain").await;
    assert!(server.metric(CAME_OUT) > 500.0);
}

#[tokio::test]
async fn what_is_encrypted_end_to_end_goes_around_gstreamer() {
    let server = call("encrypted").await;
    assert_eq!(server.metric(CAME_OUT), 0.0);
    assert!(server.metric("calls_packets_forwarded_total") > 500.0);
}

/// Packets that overtake each other by up to 50 ms come out in order and in time.
#[tokio::test]
async fn jitter_is_taken_out_and_next_to_nothing_comes_too_late() {
    let proxy = Proxy::bind().await;
    let address = proxy.address;
    let server = Server::with(|config| {
        config.advertised = vec![address];
        config.through_pipeline = Rooms::All;
    })
    .await;
    proxy.run(server.relay.udp_address(), 20_261_122);
    let jitter = Duration::from_millis(50);
    proxy.newcomers_have(Impairment { jitter, ..Impairment::NONE });
    let ann = server.token("ann");
    assert_story(&python("sends.py", &[&server.url, &ann, "15"]).await, &["sends"]);
    let came_out = server.metric(CAME_OUT);
    let (lost, delay) =
        (server.metric("calls_pipeline_lost_total"), server.metric("calls_pipeline_seconds_sum"));
    println!("{lost} of {came_out} given up, {:.1} ms each", delay * 1000.0 / came_out);
    // `make bench-calls` asks for 1 %; this machine may be busy with other tests.
    assert!(came_out > 500.0 && lost <= came_out * 0.03, "{lost} of {came_out} given up");
    assert!(delay / came_out <= 0.12, "{} s each", delay / came_out);
}
