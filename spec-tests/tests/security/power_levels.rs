//! SECURITY.md, line 7: what counts as a power level, field by field, in every room version.

use ruma::RoomVersionId;
use serde_json::{Value, json};

use crate::auth_rules::Court;

const OLD: [RoomVersionId; 2] = [RoomVersionId::V6, RoomVersionId::V9];
const NEW: [RoomVersionId; 3] = [RoomVersionId::V10, RoomVersionId::V11, RoomVersionId::V12];

/// A level that Bob, who may do everything, sets somewhere in a room's power levels.
fn set(court: &Court, at: &[&str], value: &Value) -> Value {
    let mut content = levels(court);
    let mut place = &mut content;
    for part in at {
        place = &mut place[*part];
    }
    *place = value.clone();
    json!({ "sender": court.user("bob"), "type": "m.room.power_levels", "state_key": "",
        "content": content })
}

fn levels(court: &Court) -> Value {
    let mut users = json!({ court.user("uma"): 0 });
    if court.number() < 12 {
        users[court.user("bob")] = json!(100);
    }
    json!({ "users": users, "events": {}, "notifications": {} })
}

async fn room(court: &Court) -> String {
    let room = court.remote.create_room(&court.version, "bob");
    let path = kith_spec_tests::path!("v3/join/{}", room);
    let path = format!("{path}?via={}", court.remote.name());
    court.alice.post(&path, json!({})).await.ok();
    room
}

#[tokio::test]
async fn levels_are_integers_and_strings_of_integers_only_until_version_9() {
    for version in OLD.into_iter().chain(NEW) {
        let court = Court::of(version).await;
        let old = court.number() < 10;
        let uma = court.user("uma");
        let places: [&[&str]; 10] = [
            &["users_default"],
            &["events_default"],
            &["state_default"],
            &["ban"],
            &["redact"],
            &["kick"],
            &["invite"],
            &["events", "m.room.name"],
            &["notifications", "room"],
            &["users", &uma],
        ];
        let values = [
            (json!(0), true),
            (json!(-1), true),
            (json!(100), true),
            (json!(-9_007_199_254_740_991_i64), true),
            (json!("100"), old),
            (json!("000100"), old),
            (json!("+100"), old),
            (json!("-100"), old),
            (json!(" 100 "), old),
            (json!(" 00100 "), old),
            (json!(" +100 "), old),
            (json!(" -100 "), old),
            (json!("1.5"), false),
            (json!("1e2"), false),
            (json!("0x10"), false),
            (json!("1 0"), false),
            (json!("--1"), false),
            (json!("+ 1"), false),
            (json!(""), false),
            (json!(" "), false),
            (json!("abc"), false),
            (json!("99999999999999999999"), false),
            (json!(null), false),
            (json!(true), false),
            (json!([50]), false),
            (json!({ "level": 50 }), false),
        ];
        for at in places {
            let cases = values.iter().map(|(value, allowed)| {
                (format!("{at:?} = {value}"), set(&court, at, value), *allowed)
            });
            court.judge(&room(&court).await, cases.collect()).await;
        }
        let room = room(&court).await;
        let mut shapes = Vec::new();
        for field in ["users", "events", "notifications"] {
            for value in [json!([]), json!(""), json!(1), json!(null), json!(["@a:b"])] {
                shapes.push((format!("{field} = {value}"), set(&court, &[field], &value), false));
            }
        }
        court.judge(&room, shapes).await;
        // Nobody has more than they can have: above what integers reach, no creator does either.
        let most = 9_007_199_254_740_991_u64;
        let highest = set(&court, &["users", &uma], &json!(most));
        court.judge(&room, vec![("2^53 - 1".to_owned(), highest, court.number() == 12)]).await;
    }
}

/// Floats, and integers from 2^53 on.
#[tokio::test]
async fn levels_that_are_no_canonical_json_are_not_taken() {
    for version in [RoomVersionId::V6, RoomVersionId::V10, RoomVersionId::V12] {
        let court = Court::of(version).await;
        let room = room(&court).await;
        for field in ["ban", "users_default"] {
            for value in ["50.0", "1e1", "9007199254740992", "-9007199254740992", "1e400"] {
                let (id, pdu) = court.remote.build(&room, set(&court, &[field], &json!(47_114)));
                let forged = pdu.to_string().replace("47114", value);
                let body = format!(
                    r#"{{"origin":"{}","origin_server_ts":1,"pdus":[{forged}]}}"#,
                    court.remote.name()
                );
                let path = format!("v1/send/{id}").replace('$', "");
                let answer = court.remote.put_as_it_is(&court.server, &path, body).await;
                assert!([200, 400].contains(&answer.status), "{answer}");
                let event = kith_spec_tests::path!("v3/rooms/{}/event/{}", room, id);
                court.alice.get(&event).await.error(404, "M_NOT_FOUND");
            }
        }
        let state = kith_spec_tests::path!("v3/rooms/{}/state/m.room.power_levels/", room);
        let mut own = levels(&court);
        own["users_default"] = json!("100");
        let answer = court.alice.put(&state, own).await;
        assert!([400, 403].contains(&answer.status), "{answer}");
    }
}

/// Our own users' levels are no different: what is not an integer becomes no event in a new room.
#[tokio::test]
async fn our_own_rooms_get_no_levels_that_others_would_reject() {
    for version in ["9", "10", "12"] {
        let court = Court::of(version.try_into().expect("a version")).await;
        let alice = &court.alice;
        let room = alice.create_room_from(json!({ "room_version": version })).await;
        let before = alice.state(&room, "m.room.power_levels", "").await;
        let path = kith_spec_tests::path!("v3/rooms/{}/state/m.room.power_levels/", room);
        for value in [json!("50"), json!(50.0), json!(1.5), json!(null), json!(9.1e15), json!({})] {
            let mut levels = before.clone();
            levels["ban"] = value.clone();
            let answer = alice.put(&path, levels.clone()).await;
            let taken = answer.status == 200;
            assert_eq!(taken, version == "9" && value == "50", "{version}\n{answer}");
            if taken {
                // Read as the number that it stands for.
                let mut low = levels;
                low["ban"] = json!(50);
                alice.put(&path, low).await.ok();
            } else {
                assert!([400, 403].contains(&answer.status), "{answer}");
            }
            let body = json!({ "room_version": version,
                "power_level_content_override": { "kick": value } });
            let answer = alice.post("v3/createRoom", body).await;
            assert_eq!(answer.status == 200, taken, "{version}\n{answer}");
        }
    }
}
