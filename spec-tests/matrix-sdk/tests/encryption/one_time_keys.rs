//! What if more people want to begin an encrypted conversation than a sleeping device has keys for?

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use kith_spec_tests::{TestServer, TestUser};
use serde_json::{Value, json};

use super::{direct_chat, hear, say};
use crate::person::Person;

/// So many matrix-sdk uploads when a device is new.
const UPLOADED: usize = 50;
/// More than a client ever uploads.
const MANY: usize = 200;

#[tokio::test]
async fn a_device_without_one_time_keys_is_reached_by_its_fallback_key() -> Result<()> {
    let server = TestServer::start().await;
    let proxy = server.recording_proxy().await;
    let alice = Person::register(&proxy.url(), "alice").await?;
    let bob = Person::register(&proxy.url(), "bob").await?;
    let (alices, bobs) = direct_chat(&alice, &bob).await?;

    // Alice's device sleeps while somebody takes all that she has.
    let mallory = server.register("mallory").await;
    let mut taken = BTreeSet::new();
    let fallback = loop {
        let key = claim(&mallory, &alice).await?;
        if key["fallback"] == true {
            break key;
        }
        ensure!(taken.insert(public(&key)?), "a one-time key was given out twice");
        ensure!(taken.len() < MANY, "one-time keys without end");
    };
    ensure!(taken.len() == UPLOADED, "{} one-time keys", taken.len());
    let again = claim(&mallory, &alice).await?;
    ensure!(again == fallback, "{again} instead of {fallback}");

    let hello = say(&bobs, "are you asleep?").await?;
    ensure!(hear(&alice, &alices, &hello).await? == "are you asleep?");
    // Awake, the device uploads new ones. (It keeps its fallback key for a week.)
    let key = claim(&mallory, &alice).await?;
    ensure!(key.get("fallback").is_none() && !taken.contains(&public(&key)?), "{key}");
    Ok(())
}

/// One signed key of Alice's device.
async fn claim(who: &TestUser, whose: &Person) -> Result<Value> {
    let user = whose.id().as_str();
    let device = whose.client.device_id().context("signed in")?.as_str();
    let body = json!({ "one_time_keys": { user: { device: "signed_curve25519" } } });
    let answer = who.post("v3/keys/claim", body).await.ok();
    let keys = answer["one_time_keys"][user][device].as_object().context("no keys")?;
    ensure!(keys.len() == 1, "{answer}");
    Ok(keys.values().next().context("no key")?.clone())
}

fn public(key: &Value) -> Result<String> {
    Ok(key["key"].as_str().context("no public key")?.to_owned())
}
