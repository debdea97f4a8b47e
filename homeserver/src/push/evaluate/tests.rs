//! Every condition, and every default rule in its place.

use kith_store::tables::Verdict;
use ruma::{
    CanonicalJsonObject, events::room::power_levels::RoomPowerLevelsSource, owned_event_id,
    owned_room_id, room_version_rules::AuthorizationRules, user_id,
};
use serde_json::json;

use super::*;
use crate::room::event::Standing;

/// A message of @bob with these fields instead of the usual ones.
fn event(fields: Value) -> Event {
    let mut pdu = json!({
        "type": "m.room.message",
        "sender": "@bob:kith",
        "content": { "msgtype": "m.text", "body": "hello" },
        "origin_server_ts": 7,
        "depth": 1,
    });
    for (field, value) in fields.as_object().expect("an object") {
        pdu[field] = value.clone();
    }
    let pdu: CanonicalJsonObject = serde_json::from_value(pdu).expect("canonical");
    let (id, room) = (owned_event_id!("$event"), owned_room_id!("!room:kith"));
    let (verdict, redacted_by) = (Verdict::Accepted, None);
    let standing = Standing { index: 1, verdict, state_before: 0, apart: false, redacted_by };
    Event::from_pdu(id, room, &pdu, standing).expect("an event")
}

fn content(content: Value) -> Event {
    event(json!({ "content": content }))
}

/// @alice in a room of three, where @mod may notify the room.
fn context() -> Context {
    let levels = json!({
        "users": { "@mod:kith": 60 },
        "notifications": { "room": 50, "alarm": 70, "nudge": 1 },
    });
    let power_levels_event = event(json!({
        "type": "m.room.power_levels", "state_key": "", "content": levels,
    }));
    let source: RoomPowerLevelsSource = serde_json::from_value::<
        ruma::events::room::power_levels::RoomPowerLevelsEventContent,
    >(levels)
    .ok()
    .into();
    Context {
        user_id: user_id!("@alice:kith").to_owned(),
        display_name: "Alice (she)".to_owned(),
        joined: 3,
        power_levels: Arc::new(RoomPowerLevels::new(source, &AuthorizationRules::V11, [])),
        power_levels_event: Some(Arc::new(power_levels_event)),
        subscribed: None,
    }
}

/// Whether a rule with nothing but this condition matches.
fn holds(condition: Value, event: &Event, context: &Context) -> bool {
    let rule = json!({
        "rule_id": "x", "default": false, "enabled": true,
        "conditions": [condition], "actions": ["notify"],
    });
    let rules = serde_json::from_value(json!({ "override": [rule] })).expect("rules");
    evaluate(&rules, event, context).is_some()
}

#[test]
fn event_match_looks_at_strings_only() {
    let matches = |key: &str, pattern: &str, event: &Event| {
        let condition = json!({ "kind": "event_match", "key": key, "pattern": pattern });
        holds(condition, event, &context())
    };
    let topic = |topic: Value| content(json!({ "topic": topic, "m.x": { "a\\b.c": "deep" } }));
    assert!(matches("content.topic", "lunc?*", &topic("Lunch plans".into())));
    for value in [json!(" lunch"), json!("lunc"), json!(null), json!(7), json!(["lunch"])] {
        assert!(!matches("content.topic", "lunc?*", &topic(value)));
    }
    assert!(!matches("content.nothing", "*", &topic("x".into())));
    assert!(matches(r"content.m\.x.a\\b\.c", "deep", &topic("x".into())));
    assert!(!matches(r"content.m.x.a\\b\.c", "*", &topic("x".into())));
    let hello = event(json!({}));
    assert!(matches("sender", "@BOB:*", &hello) && matches("room_id", "!room:kith", &hello));
    assert!(matches("event_id", "$event", &hello) && !matches("state_key", "*", &hello));
    assert!(matches("state_key", "", &event(json!({ "state_key": "" }))));
    assert!(!matches("origin_server_ts", "*", &hello), "a number is no string");
    assert!(!matches("content", "*", &hello) && !matches("", "*", &hello));
    let body = |body: &str| content(json!({ "body": body }));
    assert!(matches("content.body", "ex*ple", &body("An exciting triple-whammy")));
    assert!(!matches("content.body", "cake", &body("pancakes")));
}

#[test]
fn properties_are_compared_with_their_types() {
    let event = content(json!({
        "m.federate": true, "n": 7, "none": null, "text": "true", "deep": {},
        "list": ["a", 1, false, null, { "x": 1 }, ["b"]],
    }));
    let holds = |kind: &str, key: &str, value: Value| {
        let condition = json!({ "kind": kind, "key": key, "value": value });
        holds(condition, &event, &context())
    };
    let is = |key: &str, value: Value| holds("event_property_is", key, value);
    assert!(is(r"content.m\.federate", true.into()) && is("content.none", Value::Null));
    assert!(is("content.n", 7.into()) && is("content.text", "true".into()));
    assert!(!is(r"content.m\.federate", "true".into()) && !is(r"content.m\.federate", 1.into()));
    assert!(!is("content.text", "True".into()) && !is("content.absent", Value::Null));
    assert!(!is("content.deep", Value::Null) && !is("content.list", "a".into()));
    let contains = |key: &str, value: Value| holds("event_property_contains", key, value);
    for value in [json!("a"), json!(1), json!(false), json!(null)] {
        assert!(contains("content.list", value));
    }
    assert!(!contains("content.list", "b".into()) && !contains("content.list", "A".into()));
    assert!(!contains("content.text", "true".into()) && !contains("content.no", "a".into()));
}

#[test]
fn members_are_counted() {
    let hello = event(json!({}));
    let holds =
        |is: &str| holds(json!({ "kind": "room_member_count", "is": is }), &hello, &context());
    for is in ["3", "==3", "<4", ">2", ">=3", "<=3"] {
        assert!(holds(is), "{is}");
    }
    for is in ["2", "<3", ">3", ">=4", "<=2"] {
        assert!(!holds(is), "{is}");
    }
}

#[test]
fn a_sender_needs_the_level_that_the_room_asks_for() {
    let holds = |sender: &str, key: &str| {
        let condition = json!({ "kind": "sender_notification_permission", "key": key });
        holds(condition, &event(json!({ "sender": sender })), &context())
    };
    assert!(holds("@mod:kith", "room") && !holds("@bob:kith", "room"));
    assert!(!holds("@mod:kith", "alarm") && holds("@mod:kith", "nudge"));
    assert!(!holds("@bob:kith", "nudge"));
    assert!(holds("@mod:kith", "unsaid") && !holds("@bob:kith", "unsaid"), "50 without a word");
}

#[test]
fn display_names_are_words_and_unknown_conditions_never_hold() {
    let name = json!({ "kind": "contains_display_name" });
    let says = |body: &str| content(json!({ "body": body }));
    assert!(holds(name.clone(), &says("hi alice (SHE)!"), &context()));
    assert!(!holds(name.clone(), &says("hi alice"), &context()));
    let nameless = Context { display_name: String::new(), ..context() };
    assert!(!holds(name, &says(""), &nameless));
    let hello = event(json!({}));
    assert!(!holds(json!({ "kind": "org.example.moon", "full": true }), &hello, &context()));
    let feature = json!({
        "kind": "org.matrix.msc3931.room_version_supports", "feature": "org.example",
    });
    assert!(!holds(feature, &hello, &context()));
}

/// The rule that decides, with the actions as a client sees them.
fn decides(fields: Value, joined: u32) -> (String, bool, bool) {
    let rules = Ruleset::server_default(user_id!("@alice:kith"));
    let context = Context { joined, ..context() };
    let event = event(fields);
    let kind = event.kind.to_string();
    let mut matcher = Matcher { event: &event, kind, context: &context, budget: Budget::default() };
    let rule = rules.iter().find(|rule| rule.enabled() && matcher.matches(*rule));
    let notifies = evaluate(&rules, &event, &context);
    let id = rule.map(|rule| rule.rule_id().to_owned()).unwrap_or_default();
    (id, notifies.is_some(), notifies.is_some_and(|notifies| notifies.highlight))
}

#[test]
fn the_default_rules_decide_in_their_order() {
    let alice = "@alice:kith";
    let mention = json!({ "body": "x", "m.mentions": { "user_ids": [alice] } });
    let room = json!({ "body": "x", "m.mentions": { "room": true } });
    let edit = json!({
        "body": "x", "m.relates_to": { "rel_type": "m.replace", "event_id": "$a" },
    });
    let edited_mention = json!({
        "body": "x", "m.mentions": { "user_ids": [alice] },
        "m.relates_to": { "rel_type": "m.replace", "event_id": "$a" },
    });
    let notice = json!({ "msgtype": "m.notice", "m.mentions": { "user_ids": [alice] } });
    let member = |membership: &str, whom: &str| {
        json!({
            "type": "m.room.member", "state_key": whom, "content": { "membership": membership },
        })
    };
    let of = |kind: &str, state_key: Option<&str>| match state_key {
        Some(state_key) => json!({ "type": kind, "state_key": state_key, "content": {} }),
        None => json!({ "type": kind, "content": {} }),
    };
    let said = |content: &Value| json!({ "content": content });
    let told = [
        (said(&notice), 3, ".m.rule.suppress_notices", false, false),
        (member("invite", alice), 3, ".m.rule.invite_for_me", true, false),
        (member("invite", "@eve:kith"), 3, ".m.rule.member_event", false, false),
        (member("join", alice), 3, ".m.rule.member_event", false, false),
        (said(&mention), 3, ".m.rule.is_user_mention", true, true),
        (said(&edited_mention), 3, ".m.rule.is_user_mention", true, true),
        (
            json!({ "sender": "@mod:kith", "content": room }),
            3,
            ".m.rule.is_room_mention",
            true,
            true,
        ),
        (said(&room), 3, ".m.rule.message", true, false),
        (of("m.room.tombstone", Some("")), 3, ".m.rule.tombstone", true, true),
        (of("m.room.tombstone", Some("x")), 3, "", false, false),
        (of("m.room.tombstone", None), 3, "", false, false),
        (of("m.reaction", None), 3, ".m.rule.reaction", false, false),
        (of("m.room.server_acl", Some("")), 3, ".m.rule.room.server_acl", false, false),
        (said(&edit), 3, ".m.rule.suppress_edits", false, false),
        (of("m.call.invite", None), 2, ".m.rule.call", true, false),
        (of("m.room.encrypted", None), 2, ".m.rule.encrypted_room_one_to_one", true, false),
        (of("m.room.encrypted", None), 3, ".m.rule.encrypted", true, false),
        (json!({}), 2, ".m.rule.room_one_to_one", true, false),
        (json!({}), 3, ".m.rule.message", true, false),
        (of("org.example.thing", None), 3, "", false, false),
    ];
    for (fields, joined, rule, notifies, highlight) in told {
        let decided = decides(fields.clone(), joined);
        assert_eq!(decided, (rule.to_owned(), notifies, highlight), "{fields:#}");
    }
}

#[test]
fn own_events_and_disabled_rules_do_not_notify() {
    let own = event(json!({ "sender": "@alice:kith" }));
    let rules = Ruleset::server_default(user_id!("@alice:kith"));
    assert!(evaluate(&rules, &own, &context()).is_none());
    let mut silent = rules.clone();
    silent.set_enabled(ruma::push::RuleKind::Override, ".m.rule.master", true).expect("known");
    let hello = event(json!({}));
    assert!(evaluate(&rules, &hello, &context()).is_some());
    assert!(evaluate(&silent, &hello, &context()).is_none());
}

#[test]
fn historical_actions_do_nothing() {
    let rule = |actions: Value| {
        let rule = json!({ "rule_id": "!room:kith", "default": false, "enabled": true, "actions": actions });
        serde_json::from_value::<Ruleset>(json!({ "room": [rule] })).expect("rules")
    };
    let hello = event(json!({}));
    assert!(evaluate(&rule(json!(["dont_notify"])), &hello, &context()).is_none());
    assert!(evaluate(&rule(json!(["coalesce"])), &hello, &context()).is_none());
    let highlight = json!({ "set_tweak": "highlight", "value": false });
    let rules = rule(json!(["notify", "coalesce", highlight]));
    assert!(evaluate(&rules, &hello, &context()).is_some_and(|notifies| !notifies.highlight));
}
