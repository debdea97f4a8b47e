//! Keys of devices, and messages between them.

use std::path::Path;

use kith_spec_tests::{
    DeviceKeys,
    script::{assert_story, run_js},
};
use serde_json::json;

use crate::*;

#[tokio::test]
async fn device_lists_keys_and_messages_to_devices_cross() {
    let both = Both::start().await;
    let room = both.room_of_alice("11").await;
    let _ = room;
    for (from, to) in [(&both.alice, &both.bob), (&both.bob, &both.alice)] {
        let since = to.syncing(None).get().await.next_batch;
        let keys = DeviceKeys::generate(from);
        let body =
            json!({ "device_keys": keys.object(), "one_time_keys": keys.one_time_keys("k", 2) });
        from.post("v3/keys/upload", body).await.ok();
        until(&format!("{} has new devices", from.user_id), async || {
            let sync = to.syncing(Some(since.clone())).get().await;
            sync.changed_devices().contains(&from.user_id.as_str()).then_some(())
        })
        .await;
        let query = json!({ "device_keys": { from.user_id.clone(): [] } });
        let found = until("the device's keys", async || {
            let found = to.post("v3/keys/query", query.clone()).await.ok();
            let device = found["device_keys"][&from.user_id][&from.device_id].clone();
            device.is_object().then_some(device)
        })
        .await;
        assert_eq!(found["keys"], keys.object()["keys"]);
        let claim = json!({ "one_time_keys": {
            from.user_id.clone(): { from.device_id.clone(): "signed_curve25519" }
        } });
        let claimed = to.post("v3/keys/claim", claim).await.ok();
        let claimed = &claimed["one_time_keys"][&from.user_id][&from.device_id];
        assert_eq!(claimed.as_object().map(serde_json::Map::len), Some(1), "{claimed}");

        let since = to.syncing(None).get().await.next_batch;
        let path = path!("v3/sendToDevice/m.test/{}", from.new_transaction());
        let messages = json!({ "messages": { to.user_id.clone(): {
            to.device_id.clone(): { "hello": from.localpart() }
        } } });
        from.put(&path, messages).await.ok();
        until("the message to the device", async || {
            let sync = to.syncing(Some(since.clone())).get().await;
            let message = sync.to_device().last("m.test")?.clone();
            assert_eq!(message["sender"], from.user_id.as_str());
            (message["content"]["hello"] == from.localpart()).then_some(())
        })
        .await;
    }
}

/// With [matrix-js-sdk](https://github.com/matrix-org/matrix-js-sdk) and its Rust encryption on both sides,
/// in a room of each.
#[tokio::test]
async fn people_of_both_servers_share_secrets_also_with_devices_that_come_later() {
    let both = Both::start().await;
    let proxy = both.kith.recording_proxy().await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/js/two_servers.mjs");
    let seen = run_js(&script, &[proxy.url(), both.synapse.url()]).await;
    for side in ["kith", "synapse"] {
        let story = ["room", "decrypted", "answered", "new device of the guest", "read by all"];
        let then = ["new device of the host", "read by all", "without the device that left"];
        let story = story.iter().chain(&then).map(|chapter| format!("{side}: {chapter}"));
        let story: Vec<String> = story.collect();
        let story: Vec<&str> = story.iter().map(String::as_str).collect();
        assert_story(&seen, &story);
    }
}
