//! What other servers say of their users beside the rooms' events: who types, how far they read, how they
//! are, which devices they have, and what these say to ours.
//!
//! Nothing of it is believed of users of a third server, or in rooms in which they are not. What is
//! malformed or unknown is passed over: it is never a reason to refuse a transaction.
//! [Spec](https://spec.matrix.org/latest/server-server-api/#edus)

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ruma::{
    OwnedRoomId, OwnedUserId, RoomId, ServerName, UserId,
    api::federation::transactions::edu::{
        DeviceListUpdateContent, DirectDeviceContent, PresenceUpdate, ReceiptData,
        SigningKeyUpdateContent, TypingContent,
    },
    events::receipt::{ReceiptThread, ReceiptType},
    presence::PresenceState,
    serde::Raw,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::{
    presence::Presence,
    receipts::Receipts,
    remote_devices::RemoteDevices,
    room::{Room, RoomError, Rooms},
    to_device::{ToDevice, ToDeviceError},
    typing::Typing,
};

/// How many receipts one transaction moves.
const RECEIPTS: usize = 1_000;
/// How many users' presence one transaction tells.
const PRESENCES: usize = 1_000;
/// The longest status message, in bytes.
const STATUS: usize = 1024;

/// What becomes of EDUs. Cheap to clone.
#[derive(Clone)]
pub struct Edus {
    rooms: Rooms,
    typing: Typing,
    receipts: Receipts,
    presence: Presence,
    to_device: ToDevice,
    remote_devices: RemoteDevices,
}

/// How much a transaction may still ask for.
#[derive(Debug)]
pub struct Budget {
    receipts: usize,
    presences: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { receipts: RECEIPTS, presences: PRESENCES }
    }
}

/// Why an EDU has no effect.
#[derive(Debug, thiserror::Error)]
pub enum EduError {
    #[error("malformed: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error("it is about {0}, who is a user of another server")]
    NotTheirs(OwnedUserId),
    #[error(transparent)]
    ToDevice(#[from] ToDeviceError),
    #[error(transparent)]
    Room(#[from] RoomError),
}

impl From<kith_store::Error> for EduError {
    fn from(error: kith_store::Error) -> Self {
        Self::Room(error.into())
    }
}

impl EduError {
    /// Whether it is our database that failed: the EDU should come again.
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::Room(RoomError::Store(_)) | Self::ToDevice(ToDeviceError::Store(_)))
    }
}

#[derive(Deserialize)]
struct Edu {
    edu_type: String,
    content: Box<RawValue>,
}

/// A room's receipts by their kind, then by user.
type ByKind = BTreeMap<String, Raw<BTreeMap<String, Raw<ReceiptData>>>>;

#[derive(Deserialize)]
struct PresenceContent {
    push: Vec<Raw<PresenceUpdate>>,
}

impl Edus {
    pub fn new(
        rooms: Rooms,
        typing: Typing,
        receipts: Receipts,
        presence: Presence,
        to_device: ToDevice,
        remote_devices: RemoteDevices,
    ) -> Self {
        Self { rooms, typing, receipts, presence, to_device, remote_devices }
    }

    /// Does what an EDU of this server asks for, as far as the server may.
    pub async fn receive(
        &self,
        origin: &ServerName,
        edu: &RawValue,
        budget: &mut Budget,
    ) -> Result<(), EduError> {
        let Edu { edu_type, content } = serde_json::from_str(edu.get())?;
        match edu_type.as_str() {
            "m.typing" => self.typing(origin, parse(&content)?).await,
            "m.receipt" => self.receipts(origin, parse(&content)?, budget).await,
            "m.presence" => self.presence(origin, parse(&content)?, budget).await,
            "m.direct_to_device" => self.to_device(origin, parse(&content)?).await,
            "m.device_list_update" => {
                let update: DeviceListUpdateContent = parse(&content)?;
                check_origin(origin, &update.user_id)?;
                Ok(self.remote_devices.device_changed(update).await?)
            }
            "m.signing_key_update" => {
                let update: SigningKeyUpdateContent = parse(&content)?;
                check_origin(origin, &update.user_id)?;
                Ok(self.remote_devices.cross_signing_changed(update).await?)
            }
            _ => Ok(()),
        }
    }

    async fn typing(&self, origin: &ServerName, content: TypingContent) -> Result<(), EduError> {
        let TypingContent { room_id, user_id, typing, .. } = content;
        check_origin(origin, &user_id)?;
        if let Some(room) = self.room(origin, &room_id).await?
            && self.is_joined(&room, &user_id).await?
        {
            self.typing.set_remote(room.number, &user_id, typing).await?;
        }
        Ok(())
    }

    /// One malformed part hides none of the others.
    async fn receipts(
        &self,
        origin: &ServerName,
        rooms: BTreeMap<String, Raw<ByKind>>,
        budget: &mut Budget,
    ) -> Result<(), EduError> {
        for (room_id, kinds) in rooms {
            let Ok(room_id) = OwnedRoomId::try_from(room_id) else { continue };
            let Ok(kinds) = kinds.deserialize() else { continue };
            let read = kinds.get(ReceiptType::Read.as_str());
            let Some(Ok(read)) = read.map(Raw::deserialize) else { continue };
            let Some(room) = self.room(origin, &room_id).await? else { continue };
            for (user_id, data) in read {
                let (Ok(user_id), Ok(data)) = (UserId::parse(user_id), data.deserialize()) else {
                    continue;
                };
                if budget.receipts == 0 {
                    return Ok(());
                }
                budget.receipts -= 1;
                if user_id.server_name() == origin && self.is_joined(&room, &user_id).await? {
                    self.receipt(&room, &user_id, data).await?;
                }
            }
        }
        Ok(())
    }

    async fn receipt(
        &self,
        room: &Room,
        user_id: &UserId,
        data: ReceiptData,
    ) -> Result<(), EduError> {
        let ReceiptData { data, event_ids, .. } = data;
        let thread = match data.thread {
            thread @ (ReceiptThread::Unthreaded
            | ReceiptThread::Main
            | ReceiptThread::Thread(_)) => thread,
            _ => return Ok(()),
        };
        let Some(ts) = data.ts else { return Ok(()) };
        // The specification has one event here, in a list of its own.
        let Some(event_id) = event_ids.first() else { return Ok(()) };
        // An event that this server does not know cannot be ordered among those that it does.
        let Some(event) = self.rooms.event_by_id(room, event_id).await? else { return Ok(()) };
        if event.position() == 0 {
            return Ok(());
        }
        let kind = ReceiptType::Read;
        Ok(self.receipts.set_as_of(room, user_id, &kind, &thread, &event, ts).await?)
    }

    async fn presence(
        &self,
        origin: &ServerName,
        content: PresenceContent,
        budget: &mut Budget,
    ) -> Result<(), EduError> {
        for update in content.push {
            let Ok(update) = update.deserialize() else { continue };
            if budget.presences == 0 {
                return Ok(());
            }
            budget.presences -= 1;
            let known = matches!(
                update.presence,
                PresenceState::Online | PresenceState::Offline | PresenceState::Unavailable
            );
            if update.user_id.server_name() != origin
                || !known
                || !self.remote_devices.is_known(&update.user_id).await?
            {
                continue;
            }
            let status = update.status_msg.filter(|status| status.len() <= STATUS);
            let ago = Duration::from_millis(update.last_active_ago.into());
            self.presence.set_remote(&update.user_id, update.presence, status, ago).await?;
        }
        Ok(())
    }

    async fn to_device(
        &self,
        origin: &ServerName,
        content: DirectDeviceContent,
    ) -> Result<(), EduError> {
        let DirectDeviceContent { sender, ev_type, message_id, messages, .. } = content;
        check_origin(origin, &sender)?;
        let kind = ev_type.to_string();
        Ok(self.to_device.receive(&sender, &kind, &message_id, &messages).await?)
    }

    /// The room, if it lets this server take part.
    async fn room(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
    ) -> Result<Option<Arc<Room>>, EduError> {
        let Some(room) = self.rooms.get(room_id).await? else { return Ok(None) };
        Ok(self.rooms.check_acl(&room, origin).await?.then_some(room))
    }

    async fn is_joined(&self, room: &Room, user_id: &UserId) -> Result<bool, EduError> {
        Ok(self.rooms.members().is_joined(room.number, user_id).await?)
    }
}

fn check_origin(origin: &ServerName, user_id: &UserId) -> Result<(), EduError> {
    if user_id.server_name() == origin {
        return Ok(());
    }
    Err(EduError::NotTheirs(user_id.to_owned()))
}

fn parse<T: DeserializeOwned>(content: &RawValue) -> Result<T, serde_json::Error> {
    serde_json::from_str(content.get())
}
