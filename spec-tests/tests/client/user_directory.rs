//! Finding people.

use kith_spec_tests::{TestServer, TestUser, path};
use serde_json::{Value, json};

async fn search(user: &TestUser, term: &str) -> Vec<String> {
    let body = json!({ "search_term": term });
    let answer = user.post("v3/user_directory/search", body).await.ok();
    let results = answer["results"].as_array().expect("a list").iter();
    results.map(|found| found["user_id"].as_str().unwrap_or_default().to_owned()).collect()
}

async fn named(server: &TestServer, localpart: &str, name: &str) -> TestUser {
    let user = server.register(localpart).await;
    let path = path!("v3/profile/{}/displayname", user.user_id);
    user.put(&path, json!({ "displayname": name })).await.ok();
    user
}

#[tokio::test]
async fn people_are_found_by_the_beginnings_of_their_names() {
    let server = TestServer::start().await;
    let me = server.register("me").await;
    let zofie = named(&server, "zn", "Žofie Nováková-Dvořák").await.user_id;
    for term in ["Žofie", "žofie", "ŽOF", "nová", "Dvořák", "dvo žof", "zn", "ZN", "@zn", "@zn:ki"]
    {
        assert_eq!(search(&me, term).await, [zofie.as_str()], "{term}");
    }
    for term in ["ofie", "Zofie", "žofie smith", "@zn:elsewhere", "", " ", "@", "%", "\0"] {
        assert!(search(&me, term).await.is_empty(), "{term}");
    }
}

#[tokio::test]
async fn the_whole_user_id_finds_its_user_first() {
    let server = TestServer::start().await;
    let me = server.register("me").await;
    let annex = server.register("annex").await.user_id;
    let ann = server.register("ann").await.user_id;
    let named_ann = named(&server, "zz", "Ann Smith").await.user_id;
    let expected = [ann.as_str(), named_ann.as_str(), annex.as_str()];
    assert_eq!(search(&me, "@ann:kith.test").await, expected);
    assert_eq!(search(&me, "ann").await, expected);
    assert_eq!(search(&me, "ann smith").await, [named_ann.as_str()]);
}

#[tokio::test]
async fn results_show_name_and_avatar() {
    let server = TestServer::start().await;
    let me = server.register("me").await;
    let bob = named(&server, "bob", "Robert").await;
    let avatar = path!("v3/profile/{}/avatar_url", bob.user_id);
    bob.put(&avatar, json!({ "avatar_url": "mxc://kith.test/bob" })).await.ok();
    let body = json!({ "search_term": "rob" });
    let found = me.post("v3/user_directory/search", body).await.ok();
    let expected = json!({
        "limited": false,
        "results": [{
            "user_id": bob.user_id,
            "display_name": "Robert",
            "avatar_url": "mxc://kith.test/bob",
        }],
    });
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_new_name_replaces_the_old_one() {
    let server = TestServer::start().await;
    let me = server.register("me").await;
    let bob = named(&server, "bob", "Robert").await;
    let path = path!("v3/profile/{}/displayname", bob.user_id);
    bob.put(&path, json!({ "displayname": "Bobby" })).await.ok();
    assert!(search(&me, "robert").await.is_empty());
    assert_eq!(search(&me, "bobby").await, [bob.user_id.as_str()]);
    bob.delete(&path, json!({})).await.ok();
    assert!(search(&me, "bobby").await.is_empty());
    assert_eq!(search(&me, "bob").await, [bob.user_id.as_str()]);
}

#[tokio::test]
async fn long_results_are_cut_and_say_so() {
    let server = TestServer::start().await;
    let me = server.register("me").await;
    for n in 0..12 {
        server.register(&format!("team{n}")).await;
    }
    let results = |answer: &Value| answer["results"].as_array().map_or(0, Vec::len);
    let body = json!({ "search_term": "team" });
    let answer = me.post("v3/user_directory/search", body).await.ok();
    assert_eq!((results(&answer), &answer["limited"]), (10, &json!(true)));
    let body = json!({ "search_term": "team", "limit": 12 });
    let answer = me.post("v3/user_directory/search", body).await.ok();
    assert_eq!((results(&answer), &answer["limited"]), (12, &json!(false)));
}

#[tokio::test]
async fn nobody_finds_themselves_and_strangers_find_nobody() {
    let server = TestServer::start().await;
    let me = server.register("me").await;
    assert!(search(&me, "me").await.is_empty());
    let body = json!({ "search_term": "me" });
    let nobody = server.anonymous();
    nobody.post("v3/user_directory/search", body).await.error(401, "M_MISSING_TOKEN");
    me.post("v3/user_directory/search", json!({})).await.error(400, "M_BAD_JSON");
}
