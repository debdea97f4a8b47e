//! Push rules.

use kith_spec_tests::{TestServer, TestUser};
use serde_json::{Value, json};

async fn rules(user: &TestUser) -> Value {
    user.get("v3/pushrules/").await.ok()["global"].clone()
}

fn ids(rules: &Value) -> Vec<&str> {
    let rules = rules.as_array().map(Vec::as_slice).unwrap_or_default();
    rules.iter().map(|rule| rule["rule_id"].as_str().unwrap_or_default()).collect()
}

fn content() -> Value {
    json!({ "pattern": "cake", "actions": ["notify"] })
}

#[tokio::test]
async fn a_new_user_has_the_default_rules() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let rules = rules(&alice).await;
    let override_rules = ids(&rules["override"]);
    assert_eq!(override_rules.first(), Some(&".m.rule.master"));
    assert!(override_rules.contains(&".m.rule.is_user_mention"));
    assert!(ids(&rules["underride"]).contains(&".m.rule.message"));
    assert_eq!(alice.get("v3/pushrules/global/").await.ok(), rules);
}

#[tokio::test]
async fn rules_of_every_kind_are_made_read_and_deleted() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let conditional = json!({
        "conditions": [{ "kind": "event_match", "key": "type", "pattern": "m.room.*" }],
        "actions": ["notify", { "set_tweak": "highlight" }],
    });
    let simple = json!({ "actions": [] });
    let made = [
        ("override", "mine", conditional.clone()),
        ("underride", "mine", conditional),
        ("sender", "@bob:kith.test", simple.clone()),
        ("room", "!room:kith.test", simple),
        ("content", "mine", content()),
    ];
    for (kind, id, rule) in made {
        let path = format!("v3/pushrules/global/{kind}/{}", kith_spec_tests::encode(id));
        alice.get(&path).await.error(404, "M_NOT_FOUND");
        alice.put(&path, rule.clone()).await.ok();
        let stored = alice.get(&path).await.ok();
        assert_eq!(stored["rule_id"], id);
        assert_eq!((&stored["enabled"], &stored["default"]), (&json!(true), &json!(false)));
        for (field, value) in rule.as_object().expect("an object") {
            assert_eq!(&stored[field], value, "{kind} {field}");
        }
        assert!(ids(&rules(&alice).await[kind]).contains(&id));
        alice.delete(&path, json!({})).await.ok();
        alice.get(&path).await.error(404, "M_NOT_FOUND");
        alice.delete(&path, json!({})).await.error(404, "M_NOT_FOUND");
    }
}

#[tokio::test]
async fn rules_are_switched_off_and_given_other_actions() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let rule = "v3/pushrules/global/underride/.m.rule.message";
    let (enabled, actions) = (format!("{rule}/enabled"), format!("{rule}/actions"));
    assert_eq!(alice.get(&enabled).await.ok(), json!({ "enabled": true }));
    alice.put(&enabled, json!({ "enabled": false })).await.ok();
    assert_eq!(alice.get(&enabled).await.ok(), json!({ "enabled": false }));
    let new = json!({ "actions": ["notify", { "set_tweak": "sound", "value": "default" }] });
    alice.put(&actions, new.clone()).await.ok();
    assert_eq!(alice.get(&actions).await.ok(), new);
    assert_eq!(alice.get(rule).await.ok()["enabled"], false);
    for part in ["enabled", "actions"] {
        let nowhere = format!("v3/pushrules/global/content/nowhere/{part}");
        alice.get(&nowhere).await.error(404, "M_NOT_FOUND");
        let body = json!({ "enabled": true, "actions": [] });
        alice.put(&nowhere, body).await.error(404, "M_NOT_FOUND");
    }
    alice.put(&enabled, json!({})).await.error(400, "M_BAD_JSON");
    alice.put(&actions, json!({ "actions": 7 })).await.error(400, "M_BAD_JSON");
}

#[tokio::test]
async fn rules_stand_where_they_are_put() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let put = async |id: &str, place: &str| {
        let path = format!("v3/pushrules/global/content/{id}{place}");
        alice.put(&path, content()).await
    };
    put("a", "").await.ok();
    put("b", "?after=a").await.ok();
    put("c", "?before=b").await.ok();
    put("d", "").await.ok();
    let own = async || {
        let rules = rules(&alice).await;
        let own = ids(&rules["content"]).into_iter().filter(|id| !id.starts_with('.'));
        own.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(own().await, ["d", "a", "c", "b"]);
    // A rule that is there already moves behind the last one.
    put("d", "?after=b").await.ok();
    assert_eq!(own().await, ["a", "c", "b", "d"]);
    put("a", "?after=d").await.ok();
    assert_eq!(own().await, ["c", "b", "d", "a"]);
    put("a", "?after=nowhere").await.error(404, "M_NOT_FOUND");
    put("a", "?before=nowhere").await.error(404, "M_NOT_FOUND");
    put("e", "?after=a&before=c").await.error(400, "M_UNKNOWN");
    put("e", "?after=e").await.error(400, "M_UNKNOWN");
    put("e", "?before=.m.rule.contains_user_name").await.error(400, "M_UNKNOWN");
    assert_eq!(own().await, ["c", "b", "d", "a"], "what was refused changed nothing");
}

#[tokio::test]
async fn the_servers_own_rules_can_be_neither_made_nor_deleted() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let own = "v3/pushrules/global/content/.mine";
    alice.put(own, content()).await.error(400, "M_UNKNOWN");
    let master = "v3/pushrules/global/override/.m.rule.master";
    alice.delete(master, json!({})).await.error(400, "M_UNKNOWN");
    let slash = "v3/pushrules/global/content/a%2Fb";
    alice.put(slash, content()).await.error(400, "M_UNKNOWN");
}

#[tokio::test]
async fn malformed_rules_are_refused() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let path = |path: &str| format!("v3/pushrules/global/{path}");
    let no_pattern = json!({ "actions": [] });
    alice.put(&path("content/x"), no_pattern.clone()).await.error(400, "M_BAD_JSON");
    alice.put(&path("override/x"), no_pattern.clone()).await.error(400, "M_BAD_JSON");
    alice.put(&path("sender/bob"), no_pattern.clone()).await.error(400, "M_INVALID_PARAM");
    alice.put(&path("pirate/x"), no_pattern).await.error(400, "M_INVALID_PARAM");
    let large = json!({ "pattern": "x".repeat(300_000), "actions": [] });
    alice.put(&path("content/x"), large).await.error(413, "M_TOO_LARGE");
    alice.get(&path("pirate/x")).await.error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn a_changed_rule_reaches_the_next_sync() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let first = alice.sync(None).await;
    let before = first.account_data().last("m.push_rules").expect("defaults");
    assert!(!ids(&before["content"]["global"]["content"]).contains(&"mine"));
    alice.put("v3/pushrules/global/content/mine", content()).await.ok();
    let sync = alice.sync(Some(first.next_batch.clone())).await;
    let after = sync.account_data().last("m.push_rules").expect("the change");
    assert!(ids(&after["content"]["global"]["content"]).contains(&"mine"));
}

#[tokio::test]
async fn rules_survive_a_restart() {
    let mut server = TestServer::durable().await;
    let alice = server.register("alice").await;
    alice.put("v3/pushrules/global/content/mine", content()).await.ok();
    server.restart().await;
    alice.get("v3/pushrules/global/content/mine").await.ok();
}
