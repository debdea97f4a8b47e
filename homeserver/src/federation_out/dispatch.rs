//! Whom does a change concern, and what is said of it?

use std::collections::{BTreeSet, HashSet};

use kith_federation::queue::{About, DeviceUpdate, Input, Pdu, ReceiptUpdate, Volatile};
use kith_store::{
    Change, StreamPosition,
    tables::{self, EventIndex, ReceiptRow, RoomNumber},
};
use ruma::{
    OwnedDeviceId, OwnedServerName, OwnedUserId, UInt, UserId,
    api::federation::transactions::edu::PresenceUpdate,
    events::{
        StateEventType, TimelineEventType,
        receipt::{Receipt, ReceiptThread, ReceiptType},
        room::member::MembershipState,
    },
};

use super::{FederationOut, cursor::Cursor};
use crate::{
    ephemeral::News,
    presence::UserPresence,
    room::{Room, RoomError, event::Event, visibility::membership_of},
};

/// To how many of our users' presence a server is introduced that is new in a room.
const INTRODUCED: usize = 100;

impl FederationOut {
    pub(super) async fn dispatch(
        &self,
        cursor: &mut Cursor,
        position: StreamPosition,
        change: &Change,
    ) -> Result<(), RoomError> {
        match change {
            Change::Event { room, index } => self.event(cursor, position, *room, *index).await,
            Change::Receipt { room, user } if self.is_ours(user) => {
                self.receipt(cursor, position, *room, user).await
            }
            Change::DeviceList { user, device } if self.is_ours(user) => {
                self.device(cursor, position, user, device.clone()).await
            }
            Change::ToDevice { user, .. } if !self.is_ours(user) => {
                self.0.source.added(user.server_name()).await?;
                self.0.sender.send(user.server_name(), Input::Stored);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn event(
        &self,
        cursor: &mut Cursor,
        position: StreamPosition,
        room: RoomNumber,
        index: EventIndex,
    ) -> Result<(), RoomError> {
        let Some(room) = self.0.rooms.by_number(room).await? else { return Ok(()) };
        let servers = self.0.rooms.joined_servers(&room).await?;
        let event = self.0.rooms.event(&room, index).await?;
        let member = Moved::of(&event);
        let ours = self.is_ours(&event.sender);
        // Those who enter or leave through us are heard of by us alone.
        let handed_in =
            !ours && member.is_some() && self.0.rooms.was_handed_in(&room, index).await?;
        if ours || handed_in {
            let pdu = Pdu { position, room: room.number, event: index };
            let first = match &member {
                Some(moved) => self.is_first_join(&room, &event, moved).await?,
                None => false,
            };
            let target = member.as_ref().map(|moved| moved.user_id.server_name().to_owned());
            let target = target.filter(|server| !servers.contains(server));
            // An invited server is asked by a request of its own.
            let is_invite =
                member.as_ref().is_some_and(|moved| moved.to == MembershipState::Invite);
            let target: Vec<OwnedServerName> = target.filter(|_| !is_invite).into_iter().collect();
            for server in self.others(&servers).chain(self.others(&target)) {
                let knows = server == event.sender.server_name();
                if !first && !knows && self.is_for(cursor, &room, server, position).await? {
                    self.0.sender.send(server, Input::Pdu(pdu));
                    cursor.dispatched();
                }
            }
        }
        match member {
            Some(moved) if moved.to == MembershipState::Join && !cursor.is_behind() => {
                self.introduce(cursor, &room, &event, &moved.user_id).await
            }
            Some(moved) if moved.to != MembershipState::Join => self.parted(&room, moved).await,
            _ => Ok(()),
        }
    }

    /// Somebody went: the devices of those whom nobody here meets any more are of no interest.
    async fn parted(&self, room: &Room, moved: Moved) -> Result<(), RoomError> {
        let mut parted = HashSet::new();
        if !self.is_ours(&moved.user_id) {
            parted.insert(moved.user_id);
        } else if self.0.rooms.local_joined(room).await?.is_empty() {
            let members = self.0.rooms.members().of_room(room.number).await?;
            let others = members.into_iter().map(|(user_id, _)| user_id);
            parted.extend(others.filter(|user_id| !self.is_ours(user_id)));
        }
        self.0.remote_devices.left(parted).await
    }

    /// Whether a server lacks something of this room. While the log is read again: whether it was in
    /// the room then.
    async fn is_for(
        &self,
        cursor: &Cursor,
        room: &Room,
        server: &OwnedServerName,
        position: StreamPosition,
    ) -> Result<bool, RoomError> {
        if !cursor.lacks(server, position) {
            return Ok(false);
        }
        if !cursor.is_behind() {
            return Ok(true);
        }
        let since = self.0.rooms.server_since(room, server).await?;
        // One that is not in it now was put out by the event at hand.
        Ok(since.is_none_or(|since| since <= position))
    }

    /// Whether this is the join of the first of our users: it came to be by another server, which
    /// tells the others.
    async fn is_first_join(
        &self,
        room: &Room,
        event: &Event,
        moved: &Moved,
    ) -> Result<bool, RoomError> {
        if moved.to != MembershipState::Join || moved.user_id != event.sender {
            return Ok(false);
        }
        let joined = self.0.rooms.local_joined(room).await?;
        let alone = joined.iter().all(|user_id| *user_id == moved.user_id);
        Ok(alone && !self.was_joined(room, event, &moved.user_id).await?)
    }

    async fn was_joined(
        &self,
        room: &Room,
        event: &Event,
        user_id: &UserId,
    ) -> Result<bool, RoomError> {
        let kind = StateEventType::RoomMember;
        let before = event.standing.state_before;
        let before = self.0.rooms.state_event(room, before, &kind, user_id.as_str()).await?;
        Ok(before.is_some_and(|before| membership_of(&before) == MembershipState::Join))
    }

    /// Somebody joined: the servers that they meet are told of their devices and how they are, if
    /// they are ours; else their server is told how our users in the room are.
    async fn introduce(
        &self,
        cursor: &mut Cursor,
        room: &Room,
        event: &Event,
        user_id: &OwnedUserId,
    ) -> Result<(), RoomError> {
        if self.was_joined(room, event, user_id).await? {
            return Ok(());
        }
        let position = u64::try_from(event.position()).unwrap_or_default();
        if self.is_ours(user_id) {
            let servers = self.0.rooms.joined_servers(room).await?;
            let known = self.servers_of(user_id, Some(room.number)).await?;
            let stream = self.0.store.get(&tables::DEVICE_STREAMS, user_id).await?;
            for server in self.others(&servers).filter(|server| !known.contains(*server)) {
                if let Some(stream_id) = stream {
                    let (user_id, about) = (user_id.clone(), About::Everything);
                    let update = DeviceUpdate { position, stream_id, user_id, about };
                    self.0.sender.send(server, Input::DeviceUpdate(update));
                    cursor.dispatched();
                }
                self.send_presence(user_id, server);
            }
            return Ok(());
        }
        let server = user_id.server_name().to_owned();
        if self.others(std::slice::from_ref(&server)).next().is_some() {
            let joined = self.0.rooms.local_joined(room).await?;
            for user_id in joined.iter().take(INTRODUCED) {
                self.send_presence(user_id, &server);
            }
        }
        Ok(())
    }

    async fn receipt(
        &self,
        cursor: &mut Cursor,
        position: StreamPosition,
        room: RoomNumber,
        user_id: &OwnedUserId,
    ) -> Result<(), RoomError> {
        let Some(room) = self.0.rooms.by_number(room).await? else { return Ok(()) };
        let servers = self.0.rooms.joined_servers(&room).await?;
        if self.others(&servers).next().is_none() {
            return Ok(());
        }
        let row = self.0.receipts.get(room.number, user_id).await?;
        let Some(threads) = row.receipts.get(ReceiptType::Read.as_str()) else { return Ok(()) };
        // One that moved again meanwhile is told of when the log comes to that.
        let moved = threads.iter().filter(|(_, receipt)| receipt.position == position);
        for (thread, receipt) in moved {
            let update = receipt_update(&room, user_id, thread, receipt);
            for server in self.others(&servers) {
                if cursor.lacks(server, position) {
                    let volatile = Volatile::Receipt(update.clone());
                    self.0.sender.send(server, Input::Volatile(volatile));
                    cursor.dispatched();
                }
            }
        }
        Ok(())
    }

    async fn device(
        &self,
        cursor: &mut Cursor,
        position: StreamPosition,
        user_id: &OwnedUserId,
        device_id: Option<OwnedDeviceId>,
    ) -> Result<(), RoomError> {
        let servers = self.servers_of(user_id, None).await?;
        let about = match device_id {
            None => About::CrossSigning,
            Some(device_id) => {
                let known = match cursor.announced(user_id) {
                    Some(known) => Some(known),
                    None => self.0.store.get(&tables::ANNOUNCED_DEVICES, user_id).await?,
                };
                if known.is_none_or(|known| known < position) {
                    cursor.announce(user_id, position);
                    About::Device { device_id, previous: known }
                } else {
                    // The log is read again: what this update follows is not known any more.
                    About::Everything
                }
            }
        };
        let servers: Vec<OwnedServerName> = servers.into_iter().collect();
        for server in self.others(&servers) {
            if cursor.lacks(server, position) {
                let (user_id, about) = (user_id.clone(), about.clone());
                let update = DeviceUpdate { position, stream_id: position, user_id, about };
                self.0.sender.send(server, Input::DeviceUpdate(update));
                cursor.dispatched();
            }
        }
        Ok(())
    }

    /// The servers with which a user shares a room, one room excepted.
    async fn servers_of(
        &self,
        user_id: &UserId,
        without: Option<RoomNumber>,
    ) -> Result<BTreeSet<OwnedServerName>, RoomError> {
        let mut servers = BTreeSet::new();
        for (number, row) in self.0.rooms.members().of_user(user_id).await?.iter() {
            if row.membership != MembershipState::Join || Some(*number) == without {
                continue;
            }
            if let Some(room) = self.0.rooms.by_number(*number).await? {
                servers.extend(self.0.rooms.joined_servers(&room).await?.iter().cloned());
            }
        }
        Ok(servers)
    }

    /// Tells of typing and presence.
    pub(super) async fn dispatch_news(&self) -> Result<(), RoomError> {
        let News { typing, presence } = self.0.news.take();
        for ((room, user_id), typing) in typing {
            let Some(room) = self.0.rooms.by_number(room).await? else { continue };
            for server in self.others(&self.0.rooms.joined_servers(&room).await?) {
                let room_id = room.room_id.clone();
                let volatile = Volatile::Typing { room_id, user_id: user_id.clone(), typing };
                self.0.sender.send(server, Input::Volatile(volatile));
            }
        }
        for user_id in presence {
            let servers: Vec<_> = self.servers_of(&user_id, None).await?.into_iter().collect();
            for server in self.others(&servers) {
                self.send_presence(&user_id, server);
            }
        }
        Ok(())
    }

    fn send_presence(&self, user_id: &UserId, server: &OwnedServerName) {
        if let Some(presence) = self.0.presence.get(user_id) {
            let update = presence_update(user_id, &presence);
            self.0.sender.send(server, Input::Volatile(Volatile::Presence(update)));
        }
    }
}

/// Whose membership an event sets, and to what.
struct Moved {
    user_id: OwnedUserId,
    to: MembershipState,
}

impl Moved {
    fn of(event: &Event) -> Option<Self> {
        if event.kind != TimelineEventType::RoomMember {
            return None;
        }
        let user_id = UserId::parse(event.state_key.as_deref()?).ok()?;
        Some(Self { user_id, to: membership_of(event) })
    }
}

fn receipt_update(
    room: &Room,
    user_id: &OwnedUserId,
    thread: &str,
    row: &ReceiptRow,
) -> ReceiptUpdate {
    let mut receipt = Receipt::new(row.ts);
    receipt.thread = match thread {
        "" => ReceiptThread::Unthreaded,
        thread => ReceiptThread::try_from(Some(thread)).unwrap_or_default(),
    };
    ReceiptUpdate {
        position: row.position,
        room_id: room.room_id.clone(),
        user_id: user_id.clone(),
        event_id: row.event_id.clone(),
        receipt,
    }
}

fn presence_update(user_id: &UserId, presence: &UserPresence) -> PresenceUpdate {
    let ago = presence.last_active_ago().unwrap_or_default().as_millis();
    let ago = u64::try_from(ago).ok().and_then(|ago| UInt::try_from(ago).ok());
    let state = presence.state.clone();
    let mut update = PresenceUpdate::new(user_id.to_owned(), state, ago.unwrap_or(UInt::MAX));
    update.status_msg = presence.status.clone();
    update.currently_active = presence.currently_active();
    update
}
