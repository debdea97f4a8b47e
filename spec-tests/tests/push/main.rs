//! Pushers, and what push gateways hear: each test has a real gateway of its own.

#![allow(
    clippy::unwrap_used,
    clippy::cloned_ref_to_slice_refs,
    reason = "a test fails by panicking, and its helpers are not marked as tests"
)]

mod badges;
mod counts;
mod crash;
mod delivery;
mod failures;
mod notifications;
mod pushers;
mod threads;

use kith_spec_tests::{PushGateway, TestServer, TestUser};
use serde_json::{Value, json};

/// A server that may connect to this machine, where the gateway is.
async fn server() -> TestServer {
    TestServer::with(allow_loopback).await
}

fn allow_loopback(config: &mut kith_homeserver::config::Config) {
    config.outgoing.allowed_ranges = vec!["127.0.0.0/8".parse().expect("a network")];
}

/// The body of a request that sets a pusher.
fn pusher(url: &str, pushkey: &str) -> Value {
    json!({
        "kind": "http",
        "app_id": "test.kith.app",
        "pushkey": pushkey,
        "app_display_name": "App",
        "device_display_name": "Phone",
        "lang": "en",
        "data": { "url": url, "brand": "kith" },
    })
}

/// Gives the user a pusher whose pushkey is their localpart.
async fn set_pusher(user: &TestUser, gateway: &PushGateway) {
    let body = pusher(&gateway.url(), user.localpart());
    user.post("v3/pushers/set", body).await.ok();
}

async fn pushkeys(user: &TestUser) -> Vec<String> {
    let pushers = user.get("v3/pushers").await.ok();
    let pushers = pushers["pushers"].as_array().expect("a list");
    pushers.iter().map(|pusher| pusher["pushkey"].as_str().unwrap().to_owned()).collect()
}

async fn read(user: &TestUser, room: &str, event: &str, body: Value) {
    let path = kith_spec_tests::path!("v3/rooms/{}/receipt/m.read/{}", room, event);
    user.post(&path, body).await.ok();
}
