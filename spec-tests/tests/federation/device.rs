//! `user/devices`.

use kith_spec_tests::{DeviceKeys, RemoteServer, TestServer, path};
use serde_json::json;

#[tokio::test]
async fn the_devices_of_a_user_are_told_with_their_keys() {
    let server = TestServer::federating().await;
    let alice = server.register("alice").await;
    let path = path!("v3/devices/{}", alice.device_id);
    alice.put(&path, json!({ "display_name": "Alice's telephone" })).await.ok();
    let keys = DeviceKeys::generate(&alice);
    keys.upload(&alice).await.ok();
    let remote = RemoteServer::start().await;
    let path = path!("v1/user/devices/{}", alice.user_id);
    let answer = remote.get(&server, &path).await;
    assert!(!answer.text.contains("telephone"), "names of devices stay here: {answer}");
    let told = answer.ok();
    assert_eq!(told["user_id"], alice.user_id);
    assert_eq!(told["devices"][0]["device_id"], alice.device_id);
    assert_eq!(told["devices"][0]["keys"]["keys"], keys.object()["keys"]);

    let second = alice.log_in_again().await;
    DeviceKeys::generate(&second).upload(&second).await.ok();
    let later = remote.get(&server, &path).await.ok();
    assert_eq!(later["devices"].as_array().expect("a list").len(), 2);
    assert!(later["stream_id"].as_u64() > told["stream_id"].as_u64(), "{told} {later}");
}

#[tokio::test]
async fn the_devices_of_others_and_of_nobody_are_not_told() {
    let server = TestServer::federating().await;
    let remote = RemoteServer::start().await;
    let nobody = format!("@nobody:{}", server.name());
    let ask = async |user: &str| remote.get(&server, &path!("v1/user/devices/{}", user)).await;
    ask(&nobody).await.error(404, "M_NOT_FOUND");
    ask(&remote.user("bob")).await.error(400, "M_INVALID_PARAM");
    ask("bob").await.error(400, "M_INVALID_PARAM");
}
