//! What do other servers say of rooms in which this one is not?
//!
//! [Spec](https://spec.matrix.org/latest/server-server-api/#spaces)

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use ruma::{
    OwnedRoomId, OwnedServerName, RoomId, UserId,
    api::federation::space::get_hierarchy,
    room::{JoinRuleSummary, RoomSummary, RoomType},
};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{RoomError, Rooms};

/// How many servers are asked for one room.
const ASKED: usize = 3;
/// How many children of a space are taken.
const CHILDREN: usize = 500;
/// How long an answer is believed, and how many are remembered.
const REMEMBERED_FOR: Duration = Duration::from_secs(5 * 60);
const REMEMBERED: usize = 2_000;

/// A room as another server tells of it.
#[derive(Debug)]
pub struct RemoteRoom {
    pub summary: RoomSummary,
    /// Those that are well-formed.
    pub children: Vec<RemoteChild>,
}

#[derive(Debug)]
pub struct RemoteChild {
    pub room_id: OwnedRoomId,
    pub via: Vec<OwnedServerName>,
    pub suggested: bool,
    /// The `m.space.child` event, stripped, with its time.
    pub event: Value,
}

/// What was answered; nothing if nobody knew.
#[derive(Default)]
pub(super) struct RemoteRooms(Mutex<HashMap<OwnedRoomId, (Instant, Option<Arc<RemoteRoom>>)>>);

impl RemoteRooms {
    fn get(&self, room_id: &RoomId) -> Option<Option<Arc<RemoteRoom>>> {
        let rooms = self.0.lock();
        let (until, room) = rooms.get(room_id)?;
        (*until > Instant::now()).then(|| room.clone())
    }

    fn remember(&self, room_id: OwnedRoomId, room: Option<Arc<RemoteRoom>>) {
        let now = Instant::now();
        let mut rooms = self.0.lock();
        if rooms.len() >= REMEMBERED {
            rooms.retain(|_, (until, _)| *until > now);
        }
        if rooms.len() >= REMEMBERED {
            rooms.clear();
        }
        rooms.insert(room_id, (now + REMEMBERED_FOR, room));
    }
}

impl Rooms {
    /// Asks these servers in their order until one knows the room.
    pub async fn ask_of_room(
        &self,
        room_id: &RoomId,
        via: &[OwnedServerName],
    ) -> Option<Arc<RemoteRoom>> {
        if let Some(known) = self.remote_rooms().get(room_id) {
            return known;
        }
        let own = self.team().server_name();
        let servers = via.iter().filter(|server| *server != own).take(ASKED);
        for server in servers {
            let request = get_hierarchy::v1::Request::new(room_id.to_owned());
            match self.remotes().request(server, request).await {
                Ok(answer) if answer.room.summary.room_id == room_id => {
                    return Some(self.take(room_id, answer));
                }
                Ok(_) => tracing::debug!(%server, %room_id, "told of another room"),
                Err(error) => tracing::debug!(%server, %room_id, %error, "told nothing of a room"),
            }
        }
        self.remote_rooms().remember(room_id.to_owned(), None);
        None
    }

    fn take(&self, room_id: &RoomId, answer: get_hierarchy::v1::Response) -> Arc<RemoteRoom> {
        let children = answer.room.children_state.iter().take(CHILDREN);
        let children = children.filter_map(|child| RemoteChild::of(child.json())).collect();
        let room = Arc::new(RemoteRoom { summary: answer.room.summary, children });
        self.remote_rooms().remember(room_id.to_owned(), Some(Arc::clone(&room)));
        // Of rooms that are no spaces there is no more to know.
        for summary in answer.children.into_iter().take(CHILDREN) {
            if summary.room_type != Some(RoomType::Space) {
                let (room_id, children) = (summary.room_id.clone(), Vec::new());
                let room = Arc::new(RemoteRoom { summary, children });
                self.remote_rooms().remember(room_id, Some(room));
            }
        }
        room
    }

    /// Whether a user, or anybody, could join, knock on or read a room of which another server tells.
    pub async fn may_find_remote(
        &self,
        summary: &RoomSummary,
        user_id: Option<&UserId>,
    ) -> Result<bool, RoomError> {
        if summary.world_readable {
            return Ok(true);
        }
        if let Some(user_id) = user_id
            && let Some(room) = self.get(&summary.room_id).await?
            && self.may_find(&room, Some(user_id)).await?
        {
            return Ok(true);
        }
        match (&summary.join_rule, user_id) {
            (JoinRuleSummary::Public | JoinRuleSummary::Knock, _) => Ok(true),
            (JoinRuleSummary::KnockRestricted(_), _) => Ok(true),
            (JoinRuleSummary::Restricted(restricted), Some(user_id)) => {
                for room_id in &restricted.allowed_room_ids {
                    if let Some(room) = self.get(room_id).await?
                        && self.members().is_joined(room.number, user_id).await?
                    {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            _ => Ok(false),
        }
    }
}

impl RemoteChild {
    fn of(event: &RawValue) -> Option<Self> {
        #[derive(Deserialize)]
        struct Child {
            state_key: OwnedRoomId,
            content: Content,
        }
        #[derive(Deserialize)]
        struct Content {
            via: Vec<OwnedServerName>,
            #[serde(default)]
            suggested: Value,
        }
        let child: Child = serde_json::from_str(event.get()).ok()?;
        if child.content.via.is_empty() {
            return None;
        }
        Some(Self {
            room_id: child.state_key,
            via: child.content.via,
            suggested: child.content.suggested.as_bool().unwrap_or(false),
            event: serde_json::from_str(event.get()).ok()?,
        })
    }
}
