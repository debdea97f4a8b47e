//! What of a room may another server read?
//!
//! A server reads in rooms in which it has joined users and which do not deny it. Events that none of its
//! users could see it gets as redacted copies: the graph stays whole, what was said stays hidden.
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#room-history-visibility)

use std::{collections::HashMap, sync::Arc};

use kith_store::tables::{SnapshotId, Verdict};
use ruma::{
    EventId, OwnedServerName, OwnedUserId, RoomId, ServerName, UserId,
    events::{
        StateEventType, TimelineEventType,
        room::{history_visibility::HistoryVisibility, member::MembershipState},
    },
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Room, RoomError, Rooms,
    event::Event,
    visibility::{Sees, membership_of},
};

#[derive(Debug, thiserror::Error)]
pub enum ServerReadError {
    /// Also said of rooms that are not there.
    #[error("your server is not in this room")]
    NotInRoom,
    #[error("the room's access control list denies your server")]
    Denied,
    /// Also said of events of other rooms, and of those that this server does not show to anybody.
    #[error("there is no such event in this room")]
    NoSuchEvent,
    #[error(transparent)]
    Room(#[from] RoomError),
}

impl From<kith_store::Error> for ServerReadError {
    fn from(error: kith_store::Error) -> Self {
        Self::Room(error.into())
    }
}

/// One server's eyes on one room. Remembers what it found for each state.
pub struct ServerView<'a> {
    rooms: &'a Rooms,
    pub room: Arc<Room>,
    server: OwnedServerName,
    users: Option<Vec<OwnedUserId>>,
    seen: HashMap<SnapshotId, bool>,
}

#[derive(Deserialize)]
struct Content {
    history_visibility: HistoryVisibility,
}

impl Rooms {
    /// The room, if the server may read in it.
    pub async fn server_view(
        &self,
        room_id: &RoomId,
        server: &ServerName,
    ) -> Result<ServerView<'_>, ServerReadError> {
        let room = self.get(room_id).await?.ok_or(ServerReadError::NotInRoom)?;
        if !self.has_server(&room, server).await? {
            return Err(ServerReadError::NotInRoom);
        }
        if !self.check_acl(&room, server).await? {
            return Err(ServerReadError::Denied);
        }
        let server = server.to_owned();
        Ok(ServerView { rooms: self, room, server, users: None, seen: HashMap::new() })
    }

    /// An event of whatever room, with the eyes of a server that may read in that room.
    pub async fn server_view_of_event(
        &self,
        event_id: &EventId,
        server: &ServerName,
    ) -> Result<(ServerView<'_>, Arc<Event>), ServerReadError> {
        let number = self.room_of_event(event_id).await?;
        let room_id = match number {
            Some(number) => self.room_id(number).await?,
            None => None,
        };
        // Nobody learns that an event exists in a room that is not theirs.
        let room_id = room_id.ok_or(ServerReadError::NoSuchEvent)?;
        let view = match self.server_view(&room_id, server).await {
            Err(ServerReadError::NotInRoom | ServerReadError::Denied) => {
                return Err(ServerReadError::NoSuchEvent);
            }
            view => view?,
        };
        let event = view.event(event_id).await?;
        Ok((view, event))
    }
}

impl<'a> ServerView<'a> {
    pub fn rooms(&self) -> &'a Rooms {
        self.rooms
    }

    /// An event of the room's timeline.
    pub async fn event(&self, event_id: &EventId) -> Result<Arc<Event>, ServerReadError> {
        let event = self.rooms.event_by_id(&self.room, event_id).await?;
        let event = event.filter(|event| event.standing.verdict == Verdict::Accepted);
        event.ok_or(ServerReadError::NoSuchEvent)
    }

    /// The event as the server may have it: itself, or a redacted copy.
    pub async fn copy(&mut self, event: &Event) -> Result<Box<RawValue>, RoomError> {
        let erased = self.rooms.is_erased_for_servers(event);
        if !erased && self.sees(event).await? {
            return Ok(event.pdu.clone());
        }
        let pruned = event.pruned(&self.room.rules.redaction, event.standing);
        let pruned = pruned.map_err(|reason| {
            RoomError::UnreadableEvent(self.room.room_id.clone(), event.index(), reason)
        })?;
        Ok(pruned.pdu)
    }

    /// Every user of the server that ever had to do with the room.
    async fn users(&mut self) -> Result<&[OwnedUserId], RoomError> {
        if self.users.is_none() {
            let servers = self.rooms.members().servers(self.room.number).await?;
            let mut users: Vec<_> = servers.users(&self.server).collect();
            // Those who are there now were most likely there before.
            users.sort_by_key(|(_, membership)| **membership != MembershipState::Join);
            self.users = Some(users.into_iter().map(|(user_id, _)| user_id.clone()).collect());
        }
        Ok(self.users.as_deref().unwrap_or_default())
    }

    /// Whether the history visibility of a state lets the server see what was sent in it.
    async fn sees_in(&mut self, snapshot: SnapshotId) -> Result<bool, RoomError> {
        if let Some(known) = self.seen.get(&snapshot) {
            return Ok(*known);
        }
        let kind = StateEventType::RoomHistoryVisibility;
        let content: Option<Content> =
            self.rooms.state_content(&self.room, snapshot, &kind).await?;
        let visibility = content.map_or(HistoryVisibility::Shared, |c| c.history_visibility);
        let enough: &[MembershipState] = match visibility {
            HistoryVisibility::Invited => &[MembershipState::Join, MembershipState::Invite],
            HistoryVisibility::Joined => &[MembershipState::Join],
            // An unknown visibility is treated as shared.
            _ => &[],
        };
        let sees = enough.is_empty() || self.had_user(snapshot, enough).await?;
        self.seen.insert(snapshot, sees);
        Ok(sees)
    }

    async fn had_user(
        &mut self,
        snapshot: SnapshotId,
        memberships: &[MembershipState],
    ) -> Result<bool, RoomError> {
        let (rooms, room) = (self.rooms, Arc::clone(&self.room));
        for user_id in self.users().await? {
            let kind = StateEventType::RoomMember;
            let member = rooms.state_event(&room, snapshot, &kind, user_id.as_str()).await?;
            if member.is_some_and(|event| memberships.contains(&membership_of(&event))) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Sees for ServerView<'_> {
    async fn sees(&mut self, event: &Event) -> Result<bool, RoomError> {
        if self.sees_in(event.standing.state_before).await? {
            return Ok(true);
        }
        // A change of the visibility counts by the more open of the two, and whoever is invited or
        // joins sees that.
        Ok(match event.kind {
            TimelineEventType::RoomHistoryVisibility => {
                event.content_as::<Content>().is_some_and(|content| {
                    !matches!(
                        content.history_visibility,
                        HistoryVisibility::Invited | HistoryVisibility::Joined
                    )
                })
            }
            TimelineEventType::RoomMember => {
                let user_id = event.state_key.as_deref().and_then(|id| UserId::parse(id).ok());
                user_id.is_some_and(|user_id| user_id.server_name() == self.server)
            }
            _ => false,
        })
    }
}
