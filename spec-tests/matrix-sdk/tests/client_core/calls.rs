//! Calls as far as they are Matrix. Carol's server has a relay, and she is in the call already.

use anyhow::{Context, Result, ensure};
use futures_util::StreamExt;
use kith_client_core::{
    ErrorKind,
    calls::{Call, CallMember},
};
use kith_spec_tests::{PageServer, TestServer, TestUser};
use serde_json::json;

use super::someone::{Shown, Someone, until};
use crate::person::PATIENCE;

/// A room of Carol's with everybody in it, encrypted, where everybody may take part in calls.
async fn room_of(carol: &TestUser, others: [&Someone; 2]) -> Result<String> {
    let room = carol
        .create_room_from(json!({
            "preset": "private_chat",
            "invite": others.map(Someone::id),
            "initial_state": [{
                "type": "m.room.encryption",
                "content": { "algorithm": "m.megolm.v1.aes-sha2" },
            }],
            "power_level_content_override": {
                "events": { "org.matrix.msc3401.call.member": 0 },
            },
        }))
        .await;
    for other in others {
        let list = other.account.rooms().await?;
        let mut rooms = Shown::new(list.rows());
        rooms.until("the invitation", |it| it.len() == 1).await?;
        other.account.accept_invite(&room).await?;
    }
    Ok(room)
}

fn names(members: &[CallMember]) -> Vec<&str> {
    members.iter().map(|it| &*it.identity).collect()
}

async fn until_in_call(call: &Call, expected: &[&str]) -> Result<Vec<CallMember>> {
    until(&format!("{expected:?}"), &mut call.members(), |it| names(it) == expected).await
}

#[tokio::test]
async fn people_enter_a_call_give_each_other_their_keys_and_leave() -> Result<()> {
    let server = TestServer::start().await;
    let relay = PageServer::start().await;
    let answer = json!({ "url": "wss://relay.example", "jwt": "ticket" }).to_string();
    relay.put("/rtc/sfu/get", 200, &[("content-type", "application/json")], answer);
    let alice = Someone::register(&server.url(), "alice").await?;
    let bob = Someone::register(&server.url(), "bob").await?;
    let carol = server.register("carol").await;
    let room = room_of(&carol, [&alice, &bob]).await?;
    let membership = json!({
        "application": "m.call", "call_id": "", "scope": "m.room", "device_id": "CAROL",
        "expires": 3_600_000,
        "focus_active": { "type": "livekit", "focus_selection": "oldest_membership" },
        "foci_preferred": [{
            "type": "livekit", "livekit_alias": room, "livekit_service_url": relay.url("/rtc"),
        }],
    });
    let kind = "org.matrix.msc3401.call.member";
    let key = format!("_{}_CAROL_m.call", carol.user_id);
    carol.set_state(&room, kind, &key, membership).await;

    let (hers, his) = (alice.account.call(&room)?, bob.account.call(&room)?);
    let carols = format!("{}:CAROL", carol.user_id);
    until_in_call(&his, &[&carols]).await?;
    until_in_call(&hers, &[&carols]).await?;
    let ticket = hers.join().await?;
    ensure!((&*ticket.url, &*ticket.jwt) == ("wss://relay.example", "ticket"), "{ticket:?}");
    let alices = format!("{}:{}", alice.id(), alice.account.device_id());
    ensure!(ticket.identity == alices, "{ticket:?}");
    let alices_key = ticket.key.clone().context("the room is encrypted")?;
    ensure!(alices_key.identity == alices && alices_key.key.len() == 16, "{alices_key:?}");
    let mut alices_keys = hers.run(&ticket);

    let members = until_in_call(&his, &[&carols, &alices]).await?;
    ensure!(members.iter().all(|it| !it.own) && members[1].person.id == alice.id());
    let bobs_ticket = his.join().await?;
    let mut bobs_keys = his.run(&bobs_ticket);
    let bobs = bobs_ticket.identity.clone();
    let members = until_in_call(&hers, &[&carols, &alices, &bobs]).await?;
    ensure!(members[1].own && !members[2].own, "{members:?}");
    let (mut hers_got, mut his_got) = (None, None);
    let given = async {
        while hers_got.is_none() || his_got.is_none() {
            tokio::select! {
                key = alices_keys.next() => hers_got = key,
                key = bobs_keys.next() => his_got = key,
            }
        }
    };
    tokio::time::timeout(PATIENCE, given).await.context("no keys")?;
    ensure!(his_got == Some(alices_key.clone()), "not what she encrypts with");
    ensure!(hers_got == bobs_ticket.key, "not what he encrypts with");
    let key = format!("_{}_{}_m.call", bob.id(), bob.account.device_id());
    let written = carol.state(&room, kind, &key).await;
    ensure!(written["device_id"] == bob.account.device_id(), "{written}");

    drop(bobs_keys);
    his.leave().await?;
    let new = until("a new key", &mut alices_keys, |key| key.identity == alices).await?;
    ensure!(new.index == 1 && new.key != alices_key.key, "{new:?}");
    until_in_call(&his, &[&carols, &alices]).await?;
    Ok(())
}

#[tokio::test]
async fn without_a_relay_there_is_no_call() -> Result<()> {
    let server = TestServer::start().await;
    let alice = Someone::register(&server.url(), "alice").await?;
    let room = alice.account.create_room(&Default::default()).await?;
    alice.open(&room).await?;
    let call = alice.account.call(&room)?;
    let error = call.join().await.err().context("who relays?")?;
    ensure!(error.kind() == ErrorKind::NotSupported, "{error:?}");
    Ok(())
}
