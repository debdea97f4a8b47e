//! A signature that was not verified is not stored: whoever sees it here would believe it is good.

use kith_spec_tests::{CrossSigningKeys, DeviceKeys, SigningKey, TestServer, TestUser};
use serde_json::{Value, json};

const PATH: &str = "v3/keys/signatures/upload";

struct Person {
    user: TestUser,
    device: DeviceKeys,
    keys: CrossSigningKeys,
}

impl Person {
    async fn new(server: &TestServer, name: &str) -> Self {
        let user = server.register(name).await;
        let device = DeviceKeys::generate(&user);
        device.upload(&user).await.ok();
        let keys = CrossSigningKeys::generate(&user);
        keys.upload(&user).await.ok();
        Self { user, device, keys }
    }

    /// All that others see of this person's keys, and what they see themselves.
    async fn seen(&self, by: &TestUser) -> Value {
        let body = json!({ "device_keys": { &self.user.user_id: [] } });
        by.post("v3/keys/query", body).await.ok()
    }
}

/// Uploads it, and checks that it is refused.
async fn refused(signer: &Person, of: &Person, name: &str, object: Value) {
    let of = &of.user.user_id;
    let answer = signer.user.post(PATH, json!({ of: { name: object } })).await;
    let errcode = answer["failures"][of][name]["errcode"].as_str().unwrap_or_default();
    let known = ["M_INVALID_SIGNATURE", "M_NOT_FOUND", "M_INVALID_PARAM"];
    assert!(answer.status == 200 && known.contains(&errcode), "{answer}");
}

#[tokio::test]
async fn forged_malformed_and_unrelated_signatures_are_refused_and_nothing_is_stored() {
    let server = TestServer::start().await;
    let (alice, bob) = (Person::new(&server, "alice").await, Person::new(&server, "bob").await);
    let before = [alice.seen(&alice.user).await, bob.seen(&alice.user).await];
    let me = &alice.user.user_id;
    let (ssk, usk) = (&alice.keys.self_signing.public, &alice.keys.user_signing.public);
    let thief = SigningKey::generate();
    let own = &alice.user.device_id;

    // Forged: by a key that is not the one it names.
    refused(&alice, &alice, own, thief.sign(alice.device.unsigned(), me, ssk)).await;
    refused(&alice, &alice, own, thief.sign(alice.device.unsigned(), me, &thief.public)).await;
    let master = &alice.keys.master.public;
    refused(&alice, &alice, master, thief.sign(alice.keys.master_key(), me, own)).await;
    let bobs_master = &bob.keys.master.public;
    refused(&alice, &bob, bobs_master, thief.sign(bob.keys.master_key(), me, usk)).await;

    // Malformed.
    for signature in [json!("%%%"), json!(""), json!(7), Value::Null, json!({}), json!("AAAA")] {
        let mut object = alice.device.unsigned();
        object["signatures"] = json!({ me: { format!("ed25519:{ssk}"): signature } });
        refused(&alice, &alice, own, object).await;
    }
    for signatures in [json!(1), json!({}), json!({ me: 1 }), json!({ me: {} })] {
        let mut object = alice.device.unsigned();
        object["signatures"] = signatures;
        refused(&alice, &alice, own, object).await;
    }
    for object in [json!("text"), json!(1), json!([]), Value::Null] {
        refused(&alice, &alice, own, object).await;
    }

    // Real signatures of keys that have no say in it.
    let (users, selfs) = (&alice.keys.user_signing, &alice.keys.self_signing);
    refused(&alice, &alice, own, users.sign(alice.device.unsigned(), me, usk)).await;
    refused(&alice, &alice, master, selfs.sign(alice.keys.master_key(), me, ssk)).await;
    refused(&alice, &alice, master, alice.keys.sign_master(&alice.keys)).await;
    refused(&alice, &bob, bobs_master, selfs.sign(bob.keys.master_key(), me, ssk)).await;
    let by_device = alice.device.ed25519.sign(bob.keys.master_key(), me, own);
    refused(&alice, &bob, bobs_master, by_device).await;
    refused(&alice, &bob, &bob.user.device_id, alice.keys.sign_device(&bob.device)).await;
    let bobs_own = bob.keys.sign_device(&bob.device);
    refused(&alice, &bob, &bob.user.device_id, bobs_own).await;
    for field in ["self_signing_key", "user_signing_key"] {
        let key = bob.keys.object()[field].clone();
        let name = key["keys"].as_object().unwrap().values().next().unwrap().as_str().unwrap();
        refused(&alice, &bob, name, users.sign(key.clone(), me, usk)).await;
    }

    // A good one does not carry a bad one in.
    let both = alice.keys.sign_device(&alice.device);
    let both = thief.sign(both, me, "OTHER");
    refused(&alice, &alice, own, both).await;

    assert_eq!([alice.seen(&alice.user).await, bob.seen(&alice.user).await], before);
}

#[tokio::test]
async fn what_is_said_in_anothers_name_is_not_stored_with_what_is_said_in_ones_own() {
    let server = TestServer::start().await;
    let (alice, bob) = (Person::new(&server, "alice").await, Person::new(&server, "bob").await);
    let signed = alice.keys.sign_device(&alice.device);
    let with_another =
        bob.keys.user_signing.sign(signed, &bob.user.user_id, &bob.keys.user_signing.public);
    let id = &alice.user.device_id;
    let body = json!({ &alice.user.user_id: { id: with_another } });
    let answer = alice.user.post(PATH, body).await.ok();
    assert!(answer["failures"].as_object().is_none_or(serde_json::Map::is_empty), "{answer:#}");
    let seen = alice.seen(&bob.user).await;
    let signatures = &seen["device_keys"][&alice.user.user_id][id]["signatures"];
    assert_eq!(signatures.as_object().unwrap().keys().collect::<Vec<_>>(), [&alice.user.user_id]);
    assert_eq!(signatures[&alice.user.user_id].as_object().unwrap().len(), 2);
}
