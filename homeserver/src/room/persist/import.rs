//! A room as another server gave it becomes a room of this server.

use std::sync::Arc;

use kith_store::tables::{Awaits, Verdict};
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedServerName, RoomVersionId,
    events::{StateEventType, TimelineEventType},
};
use serde::Deserialize;

use super::{Extremity, ReceiveError, RoomWriter, Spot};
use crate::room::{Room, RoomError, Rooms, authorise::authorise_in, pdu::Pdu};

/// What a server answered to a join, each event with its format, signatures and hash checked.
/// [Spec](https://spec.matrix.org/latest/server-server-api/#put_matrixfederationv2send_joinroomideventid)
#[derive(Debug)]
pub struct Import {
    pub room_id: OwnedRoomId,
    pub version: RoomVersionId,
    /// Our user's join.
    pub join: Pdu,
    /// The room's state before the join.
    pub state: Vec<Pdu>,
    pub auth_chain: Vec<Pdu>,
    /// Who answered.
    pub origin: OwnedServerName,
    /// If most members were left out of the state: the servers that are in the room.
    pub servers: Option<Vec<OwnedServerName>>,
}

#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("room version {0} is not supported")]
    UnsupportedVersion(RoomVersionId),
    #[error("the answer has no create event of this room")]
    NoCreateEvent,
    #[error("the room's state does not allow the join: {0}")]
    Unauthorized(String),
    #[error("the answer is of another room")]
    WrongRoom,
    #[error(transparent)]
    Room(#[from] RoomError),
}

impl From<kith_store::Error> for ImportError {
    fn from(error: kith_store::Error) -> Self {
        Self::Room(error.into())
    }
}

impl Rooms {
    /// Takes over the room, in one commit with the join. A room that this server was in before gets the
    /// new state and keeps its history.
    pub async fn import(&self, import: Import) -> Result<Arc<Room>, ImportError> {
        let Import { room_id, version, join, state, auth_chain, origin, servers } = import;
        let rules = version.rules();
        let rules = rules.ok_or_else(|| ImportError::UnsupportedVersion(version.clone()))?;
        check_rooms(&room_id, &version, &join, &state)?;
        let known = self.get(&room_id).await?;
        let mut writer = match &known {
            Some(room) if room.version == version => self.writer(room).await?,
            Some(room) if Self::is_hearsay(room) => {
                let new = self.new_room(room_id.clone(), version, rules);
                self.writer_instead_of(room, &new).await?
            }
            Some(_) => return Err(ImportError::WrongRoom),
            None => {
                let room = self.new_room(room_id.clone(), version, rules);
                self.new_room_writer(&room).await
            }
        };
        if known.is_some() {
            self.store().settled().await?;
        }
        let room = Arc::clone(writer.room());
        if self.is_resident(&room).await? {
            // Somebody else of this server joined meanwhile: the room goes its way.
            drop(writer);
            return match self.receive(&room, &origin, join).await {
                Ok(_) => Ok(room),
                Err(error) => Err(ImportError::Unauthorized(error.to_string())),
            };
        }
        let servers = servers.map(|servers| [vec![origin], servers].concat());
        writer.take_over(join, state, auth_chain, servers).await?;
        writer.commit().await?;
        Ok(room)
    }

    /// Whether this server takes part in the room: it hears of every event.
    pub async fn is_resident(&self, room: &Room) -> Result<bool, kith_store::Error> {
        // Not `local_joined`, which waits for the room's lock.
        if let Some(users) = room.local_joined.read().as_ref() {
            return Ok(!users.is_empty());
        }
        let rows = self.members().of_room(room.number).await?;
        Ok(rows.iter().any(|(user, row)| {
            row.membership == ruma::events::room::member::MembershipState::Join
                && self.team().is_ours(user)
        }))
    }
}

/// All events are of the room, and its create event is the right one.
fn check_rooms(
    room_id: &OwnedRoomId,
    version: &RoomVersionId,
    join: &Pdu,
    state: &[Pdu],
) -> Result<(), ImportError> {
    #[derive(Deserialize)]
    struct Create {
        #[serde(default)]
        room_version: Option<RoomVersionId>,
    }
    if state.iter().chain([join]).any(|event| event.room_id != *room_id) {
        return Err(ImportError::WrongRoom);
    }
    let is_create = |event: &&Pdu| {
        event.kind == TimelineEventType::RoomCreate && event.state_key.as_deref() == Some("")
    };
    let mut creates = state.iter().filter(is_create);
    let (Some(create), None) = (creates.next(), creates.next()) else {
        return Err(ImportError::NoCreateEvent);
    };
    let content: Option<Create> = create.content_as();
    let says = content.map(|content| content.room_version.unwrap_or(RoomVersionId::V1));
    let begins = create.prev_events.is_empty()
        && room_id.server_name().is_none_or(|server| server == create.sender.server_name());
    if says.as_ref() != Some(version) || !begins {
        return Err(ImportError::NoCreateEvent);
    }
    Ok(())
}

impl RoomWriter {
    async fn take_over(
        &mut self,
        join: Pdu,
        state: Vec<Pdu>,
        auth_chain: Vec<Pdu>,
        partial: Option<Vec<OwnedServerName>>,
    ) -> Result<(), ImportError> {
        let ids: Vec<OwnedEventId> = state.iter().map(|event| event.event_id.clone()).collect();
        self.add_outliers(auth_chain.into_iter().chain(state).collect()).await?;
        let mut before = self.snapshot_of(&ids).await?;
        if !self.has_state(before, &StateEventType::RoomCreate).await? {
            return Err(ImportError::NoCreateEvent);
        }
        let mut event = join.into_event();
        event.standing.index = self.state.head.next_event;
        if let Some(known) = self.rooms.stored_event(&self.room, &event.event_id).await? {
            event.standing.index = known.index();
        }
        let mut learned = Vec::new();
        if partial.is_some() {
            let auth_events = self.auth_events(&event).await.map_err(unreadable)?;
            before = self.with_members_of(before, &auth_events, &mut learned).await?;
        }
        event.standing.state_before = before;
        event.standing.verdict = Verdict::Accepted;
        let allowed = self.auth_state_in(&event, before).await?;
        let rules = &self.room.rules.authorization;
        allowed
            .and_then(|state| authorise_in(rules, &event, &state))
            .map_err(ImportError::Unauthorized)?;
        self.state.extremities = vec![Extremity::of(&event)];
        self.state.head.forward_extremities = vec![event.index()];
        let from = self.state.head.snapshot;
        let after = self.state_after(&event).await?;
        self.state.head.snapshot = after;
        self.note_members(event.index(), partial, learned);
        let event = Arc::new(event);
        let members = self.move_members(Some(&event), from, after).await?;
        for missing in &event.prev_events {
            self.await_event(missing, Awaits::Previous, event.index());
        }
        self.keeps_lock = true;
        self.put(event, Spot::Live, members).await?;
        Ok(())
    }
}

fn unreadable(error: ReceiveError) -> ImportError {
    match error {
        ReceiveError::Room(error) => ImportError::Room(error),
        error => ImportError::Unauthorized(error.to_string()),
    }
}
