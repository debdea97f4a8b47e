//! Three servers in one room, cut off from one another again and again while all of them write: in the
//! end they agree. Everything follows from a seed, which a failure names.

use kith_spec_tests::{Gate, TestServer, TestUser, path, until};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use ruma::RoomVersionId;
use serde_json::json;

const STEPS: usize = 80;

struct Member {
    _server: TestServer,
    gate: Gate,
    /// Never put out.
    admin: TestUser,
    /// Put out now and then.
    others: Vec<TestUser>,
}

impl Member {
    async fn start(n: usize) -> Self {
        let server = TestServer::federating_behind_gate().await;
        let gate = server.gate().await;
        let admin = server.register(&format!("admin{n}")).await;
        let others =
            vec![server.register(&format!("u{n}")).await, server.register(&format!("v{n}")).await];
        Self { _server: server, gate, admin, others }
    }
}

async fn simulate(seed: u64, version: RoomVersionId) {
    eprintln!("seed {seed}, room version {version}");
    let mut random = StdRng::seed_from_u64(seed);
    let (a, b, c) = tokio::join!(Member::start(0), Member::start(1), Member::start(2));
    let members = [a, b, c];
    let founder = &members[0].admin;
    let room = founder
        .create_room_from(json!({ "preset": "public_chat", "room_version": version.as_str() }))
        .await;
    let via =
        founder.user_id.split_once(':').map(|(_, server)| server.to_owned()).unwrap_or_default();
    for member in &members {
        for user in member.others.iter().chain([&member.admin]) {
            let join = format!("{}?via={via}", path!("v3/join/{}", room));
            user.post(&join, json!({})).await.ok();
        }
    }
    let mut levels = founder.state(&room, "m.room.power_levels", "").await;
    for member in &members[1..] {
        levels["users"][&member.admin.user_id] = json!(90);
    }
    levels["events"]["m.room.power_levels"] = json!(50);
    founder.set_state(&room, "m.room.power_levels", "", levels).await;
    for member in &members {
        until("power everywhere", async || {
            let path = path!("v3/rooms/{}/state/m.room.power_levels/", room);
            let levels = member.admin.get(&path).await;
            (levels["users"][&members[2].admin.user_id] == 90).then_some(())
        })
        .await;
    }

    let mut sent: Vec<String> = Vec::new();
    for step in 0..STEPS {
        let member = any(&members, &mut random);
        match random.random_range(0..10) {
            0 => member.gate.shut(),
            1 => member.gate.open_again(),
            2..5 => {
                let body = format!("message {step}");
                member.admin.send_text(&room, &body).await;
                sent.push(body);
            }
            action => write(member, &members, &room, action, step, &mut random).await,
        }
    }
    for member in &members {
        member.gate.open_again();
    }
    agree(&members, &room, &sent).await;
}

fn any<'a, T>(of: &'a [T], random: &mut StdRng) -> &'a T {
    of.choose(random).expect("there is one")
}

/// Something that may be refused: the writer may have lost its right by what it has heard.
async fn write(
    member: &Member,
    members: &[Member],
    room: &str,
    action: u32,
    step: usize,
    random: &mut StdRng,
) {
    let target = any(&any(members, random).others, random);
    let admin = &member.admin;
    let (path, body) = match action {
        5 => (path!("v3/rooms/{}/state/m.room.name/", room), json!({ "name": step.to_string() })),
        6 => {
            let key = random.random_range(0..4).to_string();
            (path!("v3/rooms/{}/state/test.state/{}", room, key), json!({ "step": step }))
        }
        7 => {
            let mut levels = admin.state(room, "m.room.power_levels", "").await;
            levels["users"][&target.user_id] = json!(random.random_range(0..50));
            levels["events"]["test.state"] = json!(random.random_range(0..90));
            (path!("v3/rooms/{}/state/m.room.power_levels/", room), levels)
        }
        8 => {
            let membership = any(&["ban", "leave", "invite"], random);
            let path = path!("v3/rooms/{}/state/m.room.member/{}", room, target.user_id);
            (path, json!({ "membership": membership }))
        }
        _ => {
            let own = any(&member.others, random);
            own.post(&path!("v3/join/{}", room), json!({})).await;
            let path = path!("v3/rooms/{}/send/m.room.message/{}", room, own.new_transaction());
            own.put(&path, json!({ "msgtype": "m.text", "body": format!("own {step}") })).await;
            return;
        }
    };
    let answer = admin.put(&path, body).await;
    // An invite needs the invited server, which may be cut off.
    assert!([200, 400, 403, 502].contains(&answer.status), "{answer}");
}

/// Everybody says something until everybody has heard everybody: then the state is one, and every
/// message of an admin is in every timeline.
async fn agree(members: &[Member], room: &str, sent: &[String]) {
    let last = until("one state on all servers", async || {
        let mut ids = Vec::new();
        for member in members {
            ids.push(member.admin.send_text(room, "hello?").await);
        }
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let mut states = Vec::new();
        for member in members {
            for id in &ids {
                let path = path!("v3/rooms/{}/event/{}", room, id);
                if member.admin.get(&path).await.status != 200 {
                    eprintln!("{} has not heard of {id}", member.admin.user_id);
                    return None;
                }
            }
            states.push(member.admin.state_ids(room).await);
        }
        for (member, state) in members.iter().zip(&states) {
            let apart = state.iter().filter(|(key, id)| states[0].get(key) != Some(id));
            for (key, id) in apart {
                let first = states[0].get(key);
                eprintln!("{}: {key:?} is {id}, for the first {first:?}", member.admin.user_id);
            }
        }
        (states[0] == states[1] && states[1] == states[2]).then(|| states.swap_remove(0))
    })
    .await;
    assert!(last.len() > 5, "{last:?}");
    for member in members {
        let bodies = member.admin.history(room).await;
        for body in sent {
            let times = bodies.iter().filter(|seen| *seen == body).count();
            assert_eq!(times, 1, "{body} for {}", member.admin.user_id);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_agree_in_version_10() {
    Box::pin(simulate(10, RoomVersionId::V10)).await;
    Box::pin(simulate(110, RoomVersionId::V10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_agree_in_version_11() {
    Box::pin(simulate(11, RoomVersionId::V11)).await;
    Box::pin(simulate(111, RoomVersionId::V11)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_agree_in_version_12() {
    Box::pin(simulate(12, RoomVersionId::V12)).await;
    Box::pin(simulate(112, RoomVersionId::V12)).await;
}
