//! SECURITY.md, lines 8 and 9: the authorization rules, rule by rule, in every room version. Each event
//! is made by a peer that signs whatever it likes, and comes to the server in a transaction.
//!
//! All events of a table come after the same event, so that the state before them is the same, and each
//! is judged by itself: whether it is rejected or not is what the rules say of it.

use kith_spec_tests::{RemoteServer, TestServer, TestUser, new_key, path};
use ruma::{
    RoomVersionId,
    serde::{Base64, base64::UrlSafe},
};
use serde_json::{Map, Value, json};

const VERSIONS: [RoomVersionId; 7] = [
    RoomVersionId::V6,
    RoomVersionId::V7,
    RoomVersionId::V8,
    RoomVersionId::V9,
    RoomVersionId::V10,
    RoomVersionId::V11,
    RoomVersionId::V12,
];

/// A server with a user, and a peer with rooms.
pub(crate) struct Court {
    pub(crate) server: TestServer,
    pub(crate) remote: RemoteServer,
    pub(crate) alice: TestUser,
    pub(crate) version: RoomVersionId,
}

impl Court {
    pub(crate) async fn of(version: RoomVersionId) -> Self {
        let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
        let alice = server.register("alice").await;
        Self { server, remote, alice, version }
    }

    /// 6 to 12.
    pub(crate) fn number(&self) -> u32 {
        self.version.as_str().parse().expect("a numbered version")
    }

    pub(crate) fn user(&self, localpart: &str) -> String {
        self.remote.user(localpart)
    }

    /// A room with people of all kinds, which Alice is in, and then has this join rule. Its creator is
    /// Bob; Max and Mia have power 50, Vera 30, which is what invites need; Uma has none. Ivan is
    /// invited, Leo has left, Bart is banned, Kim knocks (where that is possible).
    async fn room(&self, join_rule: &str) -> String {
        let room = self.remote.create_room(&self.version, "bob");
        let add = |sender: &str, kind: &str, state_key: &str, content: Value| {
            let event = json!({ "sender": self.user(sender), "type": kind, "state_key": state_key,
                "content": content });
            self.remote.append(&room, event)
        };
        add("bob", "m.room.power_levels", "", self.levels());
        for user in ["max", "mia", "vera", "uma", "leo", "bart"] {
            add(user, "m.room.member", &self.user(user), json!({ "membership": "join" }));
        }
        for (sender, user, membership) in
            [("leo", "leo", "leave"), ("bob", "bart", "ban"), ("bob", "ivan", "invite")]
        {
            add(sender, "m.room.member", &self.user(user), json!({ "membership": membership }));
        }
        if self.number() >= 7 {
            add("bob", "m.room.join_rules", "", json!({ "join_rule": "knock" }));
            add("kim", "m.room.member", &self.user("kim"), json!({ "membership": "knock" }));
            add("bob", "m.room.join_rules", "", json!({ "join_rule": "public" }));
        }
        let path = format!("{}?via={}", path!("v3/join/{}", room), self.remote.name());
        self.alice.post(&path, json!({})).await.ok();
        let rules = json!({ "sender": self.user("bob"), "type": "m.room.join_rules", "state_key": "",
            "content": { "join_rule": join_rule } });
        self.remote.send_event(&self.server, &room, rules).await;
        room
    }

    fn levels(&self) -> Value {
        let (max, mia, vera) = (self.user("max"), self.user("mia"), self.user("vera"));
        let mut users = json!({ max: 50, mia: 50, vera: 30 });
        if self.number() < 12 {
            users[self.user("bob")] = json!(100);
        }
        json!({
            "users": users, "users_default": 0, "events_default": 0, "state_default": 50,
            "ban": 50, "kick": 50, "redact": 100, "invite": 30,
            "events": { "test.high": 100, "test.special": 50, "test.own": 0 },
            "notifications": { "room": 50, "high": 100 },
        })
    }

    /// Sends these after the room's last event, each with what it is called and whether the rules allow
    /// it; all that were judged wrongly are named at the end.
    pub(crate) async fn judge(&self, room: &str, cases: Vec<(String, Value, bool)>) {
        let mut wrong = Vec::new();
        let mut next = cases.into_iter().peekable();
        while next.peek().is_some() {
            let (mut pdus, mut expected) = (Vec::new(), Vec::new());
            for (what, event, allowed) in next.by_ref().take(40) {
                let (id, pdu) = self.remote.build(room, event);
                pdus.push(pdu);
                expected.push((what, id, allowed));
            }
            let answer = self.remote.send(&self.server, pdus, Vec::new()).await.ok();
            for (what, id, allowed) in expected {
                let result = &answer["pdus"][&id];
                if (*result == json!({})) != allowed || !result.is_object() {
                    wrong.push(format!("{what}: {result}"));
                }
            }
        }
        assert!(wrong.is_empty(), "version {}: {wrong:#?}", self.version);
    }
}

fn member(court: &Court, sender: &str, user: &str, membership: &str) -> Value {
    json!({ "sender": court.user(sender), "type": "m.room.member", "state_key": court.user(user),
        "content": { "membership": membership } })
}

/// The cases of a table of member events: `sender user membership`.
fn members(court: &Court, rule: &str, table: &[(&str, bool)]) -> Vec<(String, Value, bool)> {
    let cases = table.iter().map(|(what, allowed)| {
        let words: Vec<&str> = what.split(' ').collect();
        let [sender, user, membership] = words[..] else { panic!("{what}") };
        (format!("{rule}: {what}"), member(court, sender, user, membership), *allowed)
    });
    cases.collect()
}

#[tokio::test]
async fn memberships_change_as_the_rules_of_each_version_say() {
    for version in VERSIONS {
        let court = Court::of(version).await;
        let n = court.number();
        let (knock, restricted, both) = (n >= 7, n >= 8, n >= 10);
        // Whoever is in the room or invited may join it under these rules.
        let table: [(&str, &[(&str, bool)]); 6] = [
            (
                "public",
                &[
                    ("nora nora join", true),
                    ("leo leo join", true),
                    ("ivan ivan join", true),
                    ("uma uma join", true),
                    ("bart bart join", false),
                    ("uma nora join", false),
                    ("bob leo join", false),
                    ("nora nora knock", false),
                    ("nora nora lurk", false),
                    ("vera nora invite", true),
                    ("vera leo invite", true),
                    ("vera ivan invite", true),
                    ("uma nora invite", false),
                    ("leo nora invite", false),
                    ("nora nora invite", false),
                    ("bob uma invite", false),
                    ("bob bart invite", false),
                    ("uma uma leave", true),
                    ("ivan ivan leave", true),
                    ("leo leo leave", false),
                    ("nora nora leave", false),
                    ("bart bart leave", false),
                    ("max uma leave", true),
                    ("max ivan leave", true),
                    ("max bart leave", true),
                    ("vera uma leave", false),
                    ("vera bart leave", false),
                    ("uma ivan leave", false),
                    ("max mia leave", false),
                    ("max bob leave", false),
                    ("leo uma leave", false),
                    ("max uma ban", true),
                    ("max leo ban", true),
                    ("max nora ban", true),
                    ("max bart ban", true),
                    ("max max ban", false),
                    ("max mia ban", false),
                    ("max bob ban", false),
                    ("vera uma ban", false),
                    ("leo uma ban", false),
                    ("bob max ban", true),
                ],
            ),
            (
                "invite",
                &[
                    ("nora nora join", false),
                    ("leo leo join", false),
                    ("bart bart join", false),
                    ("ivan ivan join", true),
                    ("uma uma join", true),
                    ("nora nora knock", false),
                ],
            ),
            (
                "knock",
                &[
                    ("nora nora knock", knock),
                    ("leo leo knock", knock),
                    ("bart bart knock", false),
                    ("ivan ivan knock", false),
                    ("uma uma knock", false),
                    ("uma nora knock", false),
                    ("nora nora join", false),
                    ("kim kim join", false),
                    ("ivan ivan join", knock),
                    ("uma uma join", knock),
                    ("kim kim leave", knock),
                    ("vera kim invite", true),
                    ("max kim leave", true),
                ],
            ),
            (
                "restricted",
                &[
                    ("nora nora join", false),
                    ("bart bart join", false),
                    ("ivan ivan join", restricted),
                    ("uma uma join", restricted),
                    ("nora nora knock", false),
                ],
            ),
            (
                "knock_restricted",
                &[
                    ("nora nora join", false),
                    ("ivan ivan join", both),
                    ("uma uma join", both),
                    ("nora nora knock", both),
                    ("bart bart knock", false),
                ],
            ),
            ("private", &[("nora nora join", false), ("ivan ivan join", false)]),
        ];
        for (rule, table) in table {
            let room = court.room(rule).await;
            court.judge(&room, members(&court, rule, table)).await;
        }
    }
}

/// A restricted room is entered with the word of a member who may invite, and nobody else's.
#[tokio::test]
async fn somebody_who_may_invite_answers_for_those_who_join_a_restricted_room() {
    for version in VERSIONS {
        let court = Court::of(version).await;
        for (rule, since) in [("restricted", 8), ("knock_restricted", 10)] {
            let room = court.room(rule).await;
            let case = |user: &str, via: String, allowed: bool| {
                let mut event = member(&court, user, user, "join");
                event["content"]["join_authorised_via_users_server"] = json!(via);
                (format!("{rule}: {user} by the word of {via}"), event, allowed)
            };
            let possible = court.number() >= since;
            let mut cases = vec![
                case("nora", court.user("vera"), possible),
                case("nora", court.user("bob"), possible),
                case("leo", court.user("max"), possible),
                case("bart", court.user("bob"), false),
                case("nora", court.user("uma"), false),
                case("nora", court.user("leo"), false),
                case("nora", court.user("ivan"), false),
                case("nora", court.user("nobody"), false),
                case("nora", court.user("nora"), false),
                case("nora", "bob".to_owned(), false),
            ];
            // Where the word counts, it needs the signature of that member's server.
            cases.push(case("nora", court.alice.user_id.clone(), false));
            court.judge(&room, cases).await;
        }
    }
}

/// Whoever shows that they have the address that a member of the room invited is invited by that member.
#[tokio::test]
async fn an_invite_by_an_address_needs_the_proof_that_the_room_waits_for() {
    for version in VERSIONS {
        let court = Court::of(version).await;
        let room = court.room("invite").await;
        let key = Base64::<UrlSafe>::new(court.remote.key().public_key().to_vec()).encode();
        let pending = |token: &str, content: Value| {
            json!({ "sender": court.user("vera"), "type": "m.room.third_party_invite",
                "state_key": token, "content": content })
        };
        let other = Base64::<UrlSafe>::new(new_key("other").public_key().to_vec()).encode();
        for (token, content) in [
            ("one", json!({ "display_name": "n...", "public_key": key })),
            (
                "list",
                json!({ "display_name": "n...", "public_key": other, "public_keys": [
                { "public_key": other }, { "public_key": key }] }),
            ),
            ("other", json!({ "display_name": "n...", "public_key": other })),
            ("gone", json!({})),
        ] {
            court.remote.send_event(&court.server, &room, pending(token, content)).await;
        }
        let signed = |user: &str, token: &str| {
            court.remote.sign(json!({ "mxid": court.user(user), "token": token }))
        };
        let case = |what: &str, sender: &str, user: &str, signed: Value, allowed: bool| {
            let mut event = member(&court, sender, user, "invite");
            event["content"]["third_party_invite"] = json!({ "display_name": "n" });
            if !signed.is_null() {
                event["content"]["third_party_invite"]["signed"] = signed;
            }
            (what.to_owned(), event, allowed)
        };
        let without = |field: &str| {
            let mut signed = signed("nora", "one");
            signed.as_object_mut().expect("an object").remove(field);
            signed
        };
        let mut moved = signed("nora", "other");
        moved["token"] = json!("one");
        let cases = vec![
            case("the proof", "vera", "nora", signed("nora", "one"), true),
            case("with one key of several", "vera", "nora", signed("nora", "list"), true),
            case("by who left", "vera", "leo", signed("leo", "one"), true),
            case("with another key", "vera", "nora", signed("nora", "other"), false),
            case("taken back", "vera", "nora", signed("nora", "gone"), false),
            case("never sent", "vera", "nora", signed("nora", "never"), false),
            case("of another invite", "vera", "nora", moved, false),
            case("of another user", "vera", "nora", signed("leo", "one"), false),
            case("of another member", "bob", "nora", signed("nora", "one"), false),
            case("of nobody", "uma", "nora", signed("nora", "one"), false),
            case("of who is banned", "vera", "bart", signed("bart", "one"), false),
            case("unsigned", "vera", "nora", without("signatures"), false),
            case("without a user", "vera", "nora", without("mxid"), false),
            case("without a token", "vera", "nora", without("token"), false),
            case("without anything", "vera", "nora", Value::Null, false),
        ];
        court.judge(&room, cases).await;
    }
}

#[tokio::test]
async fn events_need_a_member_with_the_power_for_them() {
    for version in VERSIONS {
        let court = Court::of(version).await;
        let room = court.room("public").await;
        let event = |sender: &str, kind: &str, state_key: Option<&str>| {
            let mut event = json!({ "sender": court.user(sender), "type": kind, "content": {} });
            if let Some(state_key) = state_key {
                event["state_key"] = json!(state_key);
            }
            event
        };
        let (uma, max) = (court.user("uma"), court.user("max"));
        let table = [
            ("uma", "m.room.message", None, true),
            ("nora", "m.room.message", None, false),
            ("leo", "m.room.message", None, false),
            ("ivan", "m.room.message", None, false),
            ("bart", "m.room.message", None, false),
            ("uma", "m.room.name", Some(""), false),
            ("vera", "m.room.name", Some(""), false),
            ("max", "m.room.name", Some(""), true),
            ("ivan", "test.own", Some(""), false),
            ("uma", "test.special", None, false),
            ("max", "test.special", None, true),
            ("max", "test.high", None, false),
            ("bob", "test.high", None, true),
            ("uma", "test.own", Some(""), true),
            ("uma", "test.own", Some(&*uma), true),
            ("max", "test.own", Some(&*uma), false),
            ("bob", "test.own", Some(&*uma), false),
            ("max", "test.own", Some("@"), false),
            ("uma", "test.own", Some(&*max), false),
            // What an invite needs, not what state needs.
            ("vera", "m.room.third_party_invite", Some("token"), true),
            ("uma", "m.room.third_party_invite", Some("token"), false),
            ("leo", "m.room.third_party_invite", Some("token"), false),
            // Whether it redacts anything is another matter.
            ("uma", "m.room.redaction", None, true),
            ("uma", "m.room.aliases", Some(court.remote.name().as_str()), false),
            ("max", "m.room.aliases", Some("elsewhere.test"), true),
        ];
        let cases = table.into_iter().map(|(sender, kind, state_key, allowed)| {
            (format!("{sender} {kind} {state_key:?}"), event(sender, kind, state_key), allowed)
        });
        let mut cases: Vec<_> = cases.collect();
        let strange = |what: &str, change: &dyn Fn(&mut Value)| {
            let mut event = member(&court, "nora", "nora", "join");
            change(&mut event);
            (what.to_owned(), event, false)
        };
        cases.push(strange("no membership", &|event| event["content"] = json!({})));
        cases.push(strange("a number", &|event| event["content"]["membership"] = json!(1)));
        cases.push(strange("no user", &|event| event["state_key"] = json!("")));
        cases.push(strange("no state", &|event| {
            event.as_object_mut().expect("an object").remove("state_key");
        }));
        if court.number() < 12 {
            // In version 12 it would begin another room.
            let mut create = event("bob", "m.room.create", Some(""));
            create["content"] =
                json!({ "room_version": court.version, "creator": court.user("bob") });
            cases.push(("a second create event".to_owned(), create, false));
        }
        court.judge(&room, cases).await;
    }
}

/// Nobody gives what they do not have, nor takes from those who have as much.
#[tokio::test]
async fn power_levels_change_within_the_power_of_who_changes_them() {
    for version in VERSIONS {
        let court = Court::of(version).await;
        let old = court.number() < 12;
        let user = |localpart: &str| court.user(localpart);
        let mut cases = Vec::new();
        let mut case = |sender: &str, at: &[&str], value: Option<Value>, allowed: bool| {
            let mut levels = court.levels();
            let (last, within) = at.split_last().expect("a place");
            let mut place: &mut Value = &mut levels;
            for part in within {
                place = &mut place[*part];
            }
            let place: &mut Map<String, Value> = place.as_object_mut().expect("an object");
            match &value {
                Some(value) => drop(place.insert((*last).to_owned(), value.clone())),
                None => drop(place.remove(*last)),
            }
            let what = format!("{sender} sets {at:?} to {value:?}");
            let event = json!({ "sender": court.user(sender), "type": "m.room.power_levels",
                "state_key": "", "content": levels });
            cases.push((what, event, allowed));
        };
        case("vera", &["ban"], Some(json!(40)), false);
        for field in ["users_default", "events_default", "state_default", "ban", "kick", "invite"] {
            case("max", &[field], Some(json!(50)), true);
            case("max", &[field], Some(json!(51)), false);
            case("max", &[field], Some(json!(-1)), true);
            case("max", &[field], None, true);
            case("bob", &[field], Some(json!(100)), true);
            case("bob", &[field], Some(json!(101)), !old);
        }
        case("max", &["redact"], Some(json!(50)), false);
        case("max", &["redact"], None, false);
        case("bob", &["redact"], Some(json!(50)), true);
        for (list, of_50) in [("events", "test.special"), ("notifications", "room")] {
            let high = if list == "events" { "test.high" } else { "high" };
            case("max", &[list, of_50], Some(json!(0)), true);
            case("max", &[list, of_50], Some(json!(51)), false);
            case("max", &[list, of_50], None, true);
            case("max", &[list, high], Some(json!(50)), false);
            case("max", &[list, high], None, false);
            case("max", &[list, "new"], Some(json!(50)), true);
            case("max", &[list, "new"], Some(json!(51)), false);
            case("max", &[list], Some(json!({})), false);
            case("bob", &[list, high], None, true);
            case("bob", &[list, "new"], Some(json!(101)), !old);
        }
        let (max, mia, vera, uma) = (user("max"), user("mia"), user("vera"), user("uma"));
        case("max", &["users", &uma], Some(json!(50)), true);
        case("max", &["users", &uma], Some(json!(51)), false);
        case("max", &["users", &vera], Some(json!(0)), true);
        case("max", &["users", &vera], None, true);
        case("max", &["users", &mia], Some(json!(0)), false);
        case("max", &["users", &mia], None, false);
        case("max", &["users", &max], Some(json!(0)), true);
        case("max", &["users", &max], None, true);
        case("max", &["users", &max], Some(json!(51)), false);
        case("max", &["users", &user("bob")], Some(json!(50)), false);
        case("bob", &["users", &max], Some(json!(0)), true);
        case("bob", &["users", &max], Some(json!(100)), true);
        case("bob", &["users", &max], Some(json!(101)), !old);
        // Creators of version 12 are not named at all.
        case("bob", &["users", &user("bob")], Some(json!(100)), old);
        case("bob", &["users", &user("bob")], Some(json!(0)), old);
        case("bob", &["users", "bob"], Some(json!(0)), false);
        case("bob", &["users", ""], Some(json!(0)), false);
        case("bob", &["users"], Some(json!([])), false);
        case("bob", &["users"], Some(json!("none")), false);
        // Every accepted one is an end of the room's graph, and what they say is resolved each time.
        while !cases.is_empty() {
            let rest = cases.split_off(cases.len().min(16));
            court.judge(&court.room("public").await, cases).await;
            cases = rest;
        }
    }
}

/// Line 8, and MSC4307: what an event rests on is of its room, was accepted, and is what it should name.
#[tokio::test]
async fn an_event_rests_on_accepted_events_of_its_own_room() {
    for version in VERSIONS {
        let court = Court::of(version).await;
        let (room, other) = (court.room("public").await, court.room("public").await);
        let (copy, of_other) = (court.remote.room(&room), court.remote.room(&other));
        let state = |kind: &str, state_key: &str| {
            copy.state[&(kind.to_owned(), state_key.to_owned())].clone()
        };
        // Uma gives herself power: rejected, and kept.
        let mut levels = court.levels();
        levels["users"][court.user("uma")] = json!(50);
        let levels = json!({ "sender": court.user("uma"), "type": "m.room.power_levels",
            "state_key": "", "content": levels });
        let (rejected, pdu) = court.remote.build(&room, levels);
        let answer = court.remote.send(&court.server, vec![pdu.clone()], Vec::new()).await.ok();
        assert!(answer["pdus"][&rejected]["error"].is_string(), "{answer}");
        court.remote.with_room(&room, |room| room.keep(pdu));

        let powers = state("m.room.power_levels", "");
        let uma = state("m.room.member", &court.user("uma"));
        let create = state("m.room.create", "");
        let rules = state("m.room.join_rules", "");
        let old_powers = copy.events[&uma]["auth_events"].as_array().cloned().unwrap_or_default();
        assert!(old_powers.contains(&json!(powers)), "the same levels all along");
        let theirs = |kind: &str, state_key: &str| {
            of_other.state[&(kind.to_owned(), state_key.to_owned())].clone()
        };
        let v12 = court.number() >= 12;
        let right = match v12 {
            true => vec![powers.clone(), uma.clone()],
            false => vec![create.clone(), powers.clone(), uma.clone()],
        };
        let swapped = |from: &str, to: &str| {
            right.iter().map(|id| if id == from { to.to_owned() } else { id.clone() }).collect()
        };
        let with = |id: &str| [right.clone(), vec![id.to_owned()]].concat();
        let without = |id: &str| right.iter().filter(|other| *other != id).cloned().collect();
        let table: Vec<(&str, Vec<String>, bool)> = vec![
            ("as it should be", right.clone(), true),
            ("named twice", with(&uma), false),
            ("another member", with(&state("m.room.member", &court.user("max"))), false),
            ("what it need not name", with(&rules), false),
            (
                "no create event, or one in version 12",
                if v12 { with(&create) } else { without(&create) },
                false,
            ),
            ("no member", without(&uma), false),
            ("rejected levels", swapped(&powers, &rejected), false),
            ("rejected levels too", with(&rejected), false),
            ("levels of another room", swapped(&powers, &theirs("m.room.power_levels", "")), false),
            (
                "a member of another room",
                swapped(&uma, &theirs("m.room.member", &court.user("uma"))),
                false,
            ),
            ("something of another room too", with(&theirs("m.room.join_rules", "")), false),
            ("the other room's create event too", with(&theirs("m.room.create", "")), false),
            ("nothing", Vec::new(), false),
            ("what is not there", with("$nowhere"), false),
        ];
        let cases = table.into_iter().map(|(what, auth_events, allowed)| {
            let event = json!({ "sender": court.user("uma"), "type": "m.room.message",
                "content": { "body": what }, "auth_events": auth_events });
            (what.to_owned(), event, allowed)
        });
        let mut cases: Vec<_> = cases.collect();
        // Rejected levels give no power, nor do levels that are left out.
        for (what, auth_events) in
            [("rejected levels", swapped(&powers, &rejected)), ("no levels", without(&powers))]
        {
            let event = json!({ "sender": court.user("uma"), "type": "m.room.name",
                "state_key": "", "content": { "name": "Uma's" }, "auth_events": auth_events });
            cases.push((format!("a name by {what}"), event, false));
        }
        court.judge(&room, cases).await;
        let name = path!("v3/rooms/{}/state/m.room.name/", room);
        court.alice.get(&name).await.error(404, "M_NOT_FOUND");
    }
}

#[tokio::test]
async fn a_room_that_does_not_federate_is_not_entered_from_elsewhere() {
    for version in VERSIONS {
        let court = Court::of(version).await;
        let content = json!({ "m.federate": false });
        let room = court.remote.create_room_from(&court.version, "bob", "public", content);
        let path = format!("{}?via={}", path!("v3/join/{}", room), court.remote.name());
        let answer = court.alice.post(&path, json!({})).await;
        assert!([403, 502].contains(&answer.status), "{answer}");
        // Nor does another server enter ours.
        let own = court.alice.create_room_from(json!({ "preset": "public_chat",
            "room_version": court.version, "creation_content": { "m.federate": false } }));
        let versions: Vec<String> = (6..=12).map(|version| format!("ver={version}")).collect();
        let make = path!("v1/make_join/{}/{}", own.await, court.user("bob"));
        let make = format!("{make}?{}", versions.join("&"));
        let answer = court.remote.get(&court.server, &make).await;
        assert!([403, 404].contains(&answer.status), "{answer}");
    }
}
