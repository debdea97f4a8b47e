use kith_spec_tests::{TestServer, TestUser, path, until};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{content, download, media, upload};

async fn admin(server: &TestServer) -> TestUser {
    let root = server.register("root").await;
    let user_id: &ruma::UserId = root.user_id.as_str().try_into().unwrap();
    server.app().users.set_admin(user_id, true).await.unwrap();
    root
}

fn synapse(path: &str) -> String {
    format!("/_synapse/admin/v1/{path}")
}

fn kith(path: &str) -> String {
    format!("/_kith/admin/v1/media{path}")
}

#[tokio::test]
async fn only_administrators_administer() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let file = media(&upload(&alice, "text/plain", b"x").await);
    for (method, path) in [
        (Method::GET, synapse("users/@alice:kith.test/media")),
        (Method::DELETE, synapse("users/@alice:kith.test/media")),
        (Method::GET, synapse("room/!a:kith.test/media")),
        (Method::POST, synapse("room/!a:kith.test/media/quarantine")),
        (Method::POST, synapse("user/@alice:kith.test/media/quarantine")),
        (Method::POST, synapse(&format!("media/quarantine/{file}"))),
        (Method::POST, synapse(&format!("media/unquarantine/{file}"))),
        (Method::POST, synapse("media/protect/abc")),
        (Method::POST, synapse("media/unprotect/abc")),
        (Method::POST, synapse("media/delete?before_ts=1")),
        (Method::GET, synapse(&format!("media/{file}"))),
        (Method::DELETE, synapse(&format!("media/{file}"))),
        (Method::POST, synapse("purge_media_cache?before_ts=1")),
        (Method::GET, synapse("statistics/users/media")),
        (Method::GET, kith("")),
        (Method::GET, kith("/usage")),
        (Method::GET, kith("/blocked")),
        (Method::PUT, kith("/blocked/abc")),
        (Method::DELETE, kith("/blocked/abc")),
        (Method::POST, kith(&format!("/restore/{file}"))),
        (Method::DELETE, kith(&format!("/file/{file}"))),
        (Method::GET, kith("/job")),
    ] {
        let body = (method != Method::GET).then(|| b"{}".to_vec());
        alice.request(method.clone(), &path, body.clone()).await.error(403, "M_FORBIDDEN");
        let nobody = server.anonymous();
        nobody.request(method, &path, body).await.error(401, "M_MISSING_TOKEN");
    }
    let job = alice.post(&kith("/job"), json!({ "job": "gc" })).await;
    job.error(403, "M_FORBIDDEN");
    assert_eq!(alice.get(&download(&file)).await.status, 200);
}

#[tokio::test]
async fn files_are_listed_quarantined_and_deleted() {
    let server = TestServer::start().await;
    let (root, alice) = (admin(&server).await, server.register("alice").await);
    let files: Vec<String> = {
        let mut files = Vec::new();
        for n in 0..3 {
            files.push(media(&upload(&alice, "text/plain", &content(n, 100)).await));
        }
        files
    };
    let of_alice = synapse("users/@alice:kith.test/media");
    let page = root.get(&format!("{of_alice}?limit=2")).await.ok();
    assert_eq!((page["media"].as_array().unwrap().len(), &page["total"]), (2, &json!(3)));
    let next = page["next_token"].as_str().unwrap();
    let rest = root.get(&format!("{of_alice}?limit=2&from={next}")).await.ok();
    assert_eq!(rest["media"].as_array().unwrap().len(), 1);
    assert_eq!(rest["next_token"], Value::Null);

    root.post(&synapse(&format!("media/quarantine/{}", files[0])), json!({})).await.ok();
    alice.get(&download(&files[0])).await.error(404, "M_NOT_FOUND");
    let info = root.get(&synapse(&format!("media/{}", files[0]))).await.ok();
    assert_eq!(info["media_info"]["quarantined_by"], root.user_id.as_str());
    root.post(&synapse(&format!("media/unquarantine/{}", files[0])), json!({})).await.ok();
    assert_eq!(alice.get(&download(&files[0])).await.status, 200);

    let id = files[1].rsplit('/').next().unwrap();
    root.post(&synapse(&format!("media/protect/{id}")), json!({})).await.ok();
    let all = synapse("user/@alice:kith.test/media/quarantine");
    assert_eq!(root.post(&all, json!({})).await.ok()["num_quarantined"], 2);
    assert_eq!(alice.get(&download(&files[1])).await.status, 200);

    let one = synapse(&format!("media/{}", files[1]));
    assert_eq!(root.request(Method::DELETE, &one, None).await.ok()["total"], 1);
    alice.get(&download(&files[1])).await.error(404, "M_NOT_FOUND");
    root.post(&kith(&format!("/restore/{}", files[1])), json!({})).await.ok();
    assert_eq!(alice.get(&download(&files[1])).await.status, 200);
    let for_good = kith(&format!("/file/{}", files[1]));
    root.request(Method::DELETE, &for_good, None).await.ok();
    root.request(Method::DELETE, &for_good, None).await.error(404, "M_NOT_FOUND");

    let users = root.get(&synapse("statistics/users/media")).await.ok();
    assert_eq!(users["users"][0]["user_id"], alice.user_id.as_str());
    assert_eq!(
        (&users["users"][0]["media_count"], &users["users"][0]["media_length"]),
        (&json!(2), &json!(200))
    );
    assert_eq!(root.get(&kith("/usage")).await.ok()["team"]["bytes"], 200);
}

#[tokio::test]
async fn a_rooms_files_are_quarantined_together() {
    let server = TestServer::start().await;
    let (root, alice) = (admin(&server).await, server.register("alice").await);
    let room = alice.create_room().await;
    let file = media(&upload(&alice, "text/plain", b"in the room").await);
    let message = json!({ "msgtype": "m.file", "body": "a", "url": format!("mxc://{file}") });
    alice.send(&room, "m.room.message", message).await;
    let path = synapse(&path!("room/{}/media", room));
    until("the reader of the log saw it", async || {
        let local = &root.get(&path).await.ok()["local"];
        (local == &json!([format!("mxc://{file}")])).then_some(())
    })
    .await;
    let answer = root.post(&format!("{path}/quarantine"), json!({})).await.ok();
    assert_eq!(answer["num_quarantined"], 1);
    alice.get(&download(&file)).await.error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn blocked_content_is_refused() {
    let server = TestServer::start().await;
    let (root, alice) = (admin(&server).await, server.register("alice").await);
    let file = media(&upload(&alice, "text/plain", b"hello").await);
    let path = kith("/blocked/2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    let blocked = root.put(&path, json!({ "reason": "a test" })).await.ok();
    assert_eq!(blocked["num_quarantined"], 1);
    alice.get(&download(&file)).await.error(404, "M_NOT_FOUND");
    upload(&alice, "text/plain", b"hello").await.error(403, "M_FORBIDDEN");
    assert_eq!(root.get(&kith("/blocked")).await.ok()["blocked"][0]["reason"], "a test");
    root.request(Method::DELETE, &path, None).await.ok();
    assert_eq!(upload(&alice, "text/plain", b"hello").await.status, 200);
    root.put(&kith("/blocked/abc"), json!({})).await.error(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn jobs_report_what_they_did() {
    let server = TestServer::start().await;
    let (root, alice) = (admin(&server).await, server.register("alice").await);
    upload(&alice, "text/plain", &content(1, 200_000)).await;
    for (job, field, expected) in [
        ("gc", "chunks_removed", 0),
        ("scrub", "checked", 0),
        ("fsck", "orphans", 0),
        ("verify", "files", 1),
    ] {
        assert_eq!(root.post(&kith("/job"), json!({ "job": job })).await.status, 202);
        let report = until("the job is done", async || {
            let status = root.get(&kith("/job")).await.ok();
            status.get("result").cloned()
        })
        .await;
        assert_eq!(report[field], expected, "{job}: {report}");
    }
    root.post(&kith("/job"), json!({ "job": "nonsense" })).await.error(400, "M_BAD_JSON");
}
