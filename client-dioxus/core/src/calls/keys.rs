//! The keys of a call go from device to device, encrypted, as Element Call sends them.

use matrix_sdk::{
    Client, Room,
    deserialized_responses::EncryptionInfo,
    event_handler::EventHandlerDropGuard,
    ruma::{
        OwnedDeviceId, OwnedRoomId, OwnedUserId,
        events::{AnyToDeviceEvent, AnyToDeviceEventContent},
        serde::Raw,
    },
};
use matrix_sdk_base::crypto::CollectStrategy;
use rand::Rng;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::MediaKey;
use crate::{Account, Error};

const TYPE: &str = "io.element.call.encryption_keys";
/// A key is 16 bytes; others may choose longer ones.
const MAX_KEY: usize = 64;

#[derive(Debug, Serialize, Deserialize)]
struct Content {
    keys: Keys,
    room_id: OwnedRoomId,
    member: Sender,
    session: Session,
    /// Milliseconds since the epoch.
    sent_ts: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Keys {
    index: u8,
    /// Base64.
    key: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Sender {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    claimed_device_id: OwnedDeviceId,
}

#[derive(Debug, Serialize, Deserialize)]
struct Session {
    application: String,
    call_id: String,
    scope: String,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    content: serde_json::Value,
}

impl MediaKey {
    pub(super) fn new(identity: String, index: u8) -> Self {
        Self { identity, index, key: rand::rng().random::<[u8; 16]>().to_vec() }
    }
}

/// Gives a key to devices, and returns those that were asked to take it; of the others nothing is known
/// yet.
pub(super) async fn give(
    account: &Account,
    room: &Room,
    key: &MediaKey,
    receivers: &[(OwnedUserId, OwnedDeviceId)],
) -> Result<Vec<OwnedDeviceId>, Error> {
    let encryption = account.client().encryption();
    let mut devices = Vec::new();
    for (user, id) in receivers {
        let mut device = encryption.get_device(user, id).await.map_err(Error::store)?;
        if device.is_none() {
            // Asks the server for the user's devices.
            encryption.request_user_identity(user).await?;
            device = encryption.get_device(user, id).await.map_err(Error::store)?;
        }
        devices.extend(device);
    }
    if devices.is_empty() {
        return Ok(Vec::new());
    }
    let content = Content {
        keys: Keys { index: key.index, key: base64(&key.key) },
        room_id: room.room_id().to_owned(),
        member: Sender {
            id: Some(key.identity.clone()),
            claimed_device_id: account.device_id().into(),
        },
        session: Session {
            application: "m.call".to_owned(),
            call_id: String::new(),
            scope: "m.room".to_owned(),
        },
        sent_ts: matrix_sdk::ruma::MilliSecondsSinceUnixEpoch::now().get().into(),
    };
    let content: Raw<AnyToDeviceEventContent> = Raw::new(&content)?.cast_unchecked();
    let strategy = CollectStrategy::AllDevices;
    let failed = encryption
        .encrypt_and_send_raw_to_device(devices.iter().collect(), TYPE, content, strategy)
        .await?;
    if !failed.is_empty() {
        tracing::warn!(devices = failed.len(), "some devices did not get the key of the call");
    }
    Ok(devices.iter().map(|device| device.device_id().to_owned()).collect())
}

/// Listens for the keys of the room's call. Only what came encrypted counts, and for the device that
/// has sent it.
pub(super) fn listen(room: &Room, found: mpsc::Sender<MediaKey>) -> EventHandlerDropGuard {
    let client = room.client();
    let room_id = room.room_id().to_owned();
    let handler = client.add_event_handler(
        move |event: Raw<AnyToDeviceEvent>, info: Option<EncryptionInfo>, _: Client| {
            let (found, room_id) = (found.clone(), room_id.clone());
            async move {
                if let Some(key) = received(&event, info, &room_id)
                    && found.try_send(key).is_err()
                {
                    tracing::warn!("a key of the call was lost");
                }
            }
        },
    );
    client.event_handler_drop_guard(handler)
}

fn received(
    event: &Raw<AnyToDeviceEvent>,
    info: Option<EncryptionInfo>,
    room_id: &OwnedRoomId,
) -> Option<MediaKey> {
    let info = info?;
    let event: Event = serde_json::from_str(event.json().get()).ok()?;
    if event.kind != TYPE {
        return None;
    }
    let content: Content = serde_json::from_value(event.content).ok()?;
    let device = info.sender_device?;
    if content.room_id != *room_id || content.member.claimed_device_id != device {
        return None;
    }
    let key =
        from_base64(&content.keys.key).filter(|key| !key.is_empty() && key.len() <= MAX_KEY)?;
    Some(MediaKey { identity: format!("{}:{device}", info.sender), index: content.keys.index, key })
}

fn base64(bytes: &[u8]) -> String {
    matrix_sdk::ruma::serde::Base64::<matrix_sdk::ruma::serde::base64::Standard, &[u8]>::new(bytes)
        .encode()
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    use matrix_sdk::ruma::serde::{Base64, base64::Standard};
    Base64::<Standard>::parse(text).ok().map(Base64::into_inner)
}
